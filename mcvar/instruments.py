"""Instruments: the table people write, checked row by row, becomes columns of numbers for engines.

Every quantity that a file may leave blank is decided here, once: currencies, carry from a quoted
forward, volatility from a quoted price or from the volatility factors.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass
from enum import IntEnum
from itertools import islice

import numpy as np
from numpy.typing import NDArray

from mcvar.columns import Columns
from mcvar.errors import InputError
from mcvar.market import FactorKind, Market, Shock
from mcvar.pricing.black import implied_deviation

Floats = NDArray[np.float64]
Ints = NDArray[np.int64]


class Kind(IntEnum):
    """Families of instruments that engines value."""

    spot = 0
    cash = 1
    future = 2
    perpetual = 3
    option = 4


REQUIRED = ("instrument", "kind")
OPTIONAL = (
    "underlying", "option_type", "strike", "expiry", "exercise", "multiplier", "settlement", "quote",
    "settlement_currency", "volatility", "rate", "carry", "forward", "price", "commodity", "premium_style", "funding",
)  # fmt: skip
_NOT_HERE = ("barrier", "barrier_type", "rebate", "payout", "cash", "average")  # columns of kinds without an engine


@dataclass(frozen=True)
class Instruments:
    """I instruments in resolved form: indices, years and numbers.

    Parameters
    ----------
    name : tuple of str [I]
    kind : ndarray [I] of Kind
    underlying : ndarray [I]
        Price factor; -1 for cash.
    sign : ndarray [I]
        +1 call, -1 put, 0 else.
    strike : ndarray [I]
        NaN where there is none.
    years : ndarray [I]
        ACT/365 to expiry; infinite where there is none.
    multiplier : ndarray [I]
    inverse : ndarray [I] of bool
    margined : ndarray [I] of bool
        Settled in variation margin (futures, perpetuals, futures-style options): worth 0 at valuation.
    convert : ndarray [I, 2]
        Price factors whose ratio S[first] / S[second] converts the settlement currency to the
        reporting currency; -1 stands for 1.
    volatility : ndarray [I]
        Annual; NaN but for options.
    rate, carry, funding : ndarray [I]
        Annual, continuous.
    rate_currency : tuple of str [I]
        The currency whose rate factors shift the discount rate.
    """

    name: tuple[str, ...]
    kind: Ints
    underlying: Ints
    sign: Floats
    strike: Floats
    years: Floats
    multiplier: Floats
    inverse: NDArray[np.bool_]
    margined: NDArray[np.bool_]
    convert: Ints
    volatility: Floats
    rate: Floats
    carry: Floats
    funding: Floats
    rate_currency: tuple[str, ...]

    def __len__(self) -> int:
        return len(self.name)


def resolve_instruments(table: Columns, market: Market) -> Instruments:
    """Check an instrument table against a market and resolve it.

    Parameters
    ----------
    table : Columns
        `instrument, kind` and by kind the other columns of `OPTIONAL`.
    market : Market

    Raises
    ------
    InputError
        All bad rows at once.
    """
    table.check_names(REQUIRED, (*OPTIONAL, *_NOT_HERE))
    problems: list[str] = []
    names = table.texts("instrument")

    def refuse(mask: NDArray[np.bool_], message: Callable[[int], str]) -> None:
        for row in np.flatnonzero(mask & sound):
            problems.append(f"{table.where(row)}: instrument '{names[row]}' {message(int(row))}")

    kinds = table.choices("kind", [k.name for k in Kind], problems, "")
    types = table.choices("option_type", ["", "call", "put"], problems, "")
    styles = table.choices("exercise", ["european", "american"], problems, "european")
    settlements = table.choices("settlement", ["linear", "inverse"], problems, "linear")
    premiums = table.choices("premium_style", ["upfront", "futures"], problems, "upfront")
    expiry = table.times("expiry", problems)
    number = {
        name: table.floats(name, problems)
        for name in ("strike", "multiplier", "volatility", "rate", "carry", "forward", "price", "funding")
    }
    underlyings, quotes = table.texts("underlying"), table.texts("quote")
    currencies = table.texts("settlement_currency")
    sound = table.sound(problems)  # rows that are bad already are checked no further

    kind = np.array([Kind.__members__.get(k, -1) for k in kinds], dtype=np.int64)
    option, cash = kind == Kind.option, kind == Kind.cash
    future, perpetual = kind == Kind.future, kind == Kind.perpetual
    inverse = np.array([s == "inverse" for s in settlements], dtype=bool)
    futures_style = np.array([p == "futures" for p in premiums], dtype=bool)
    american = np.array([s == "american" for s in styles], dtype=bool)
    sign = np.array([{"call": 1.0, "put": -1.0}.get(t, 0.0) for t in types], dtype=np.float64)
    years = market.years_to(expiry)
    prices = market.price_factor()
    underlying = np.array(
        [-1 if c else prices.get(u, -2) for u, c in zip(underlyings, cash, strict=True)], dtype=np.int64
    )

    first_row: dict[str, int] = {}
    for row, name in enumerate(names):
        first_row.setdefault(name, row)
    refuse(np.array([not n for n in names], dtype=bool), lambda i: "has no name")
    refuse(
        np.array([first_row[n] != i for i, n in enumerate(names)], dtype=bool),
        lambda i: f"is there twice (first in {table.where(first_row[names[i]])}): remove one",
    )
    refuse(
        underlying == -2,
        lambda i: f"has underlying '{underlyings[i]}', which no price factor has: there are {_some(prices)}",
    )
    refuse(option & (sign == 0), lambda i: "is an option without an option_type: write call or put")
    refuse(~option & (sign != 0), lambda i: f"of kind {kinds[i]} cannot have an option_type")
    refuse(option & np.isnat(expiry), lambda i: "is an option without an expiry: give it in ISO, UTC")
    refuse(option & np.isnan(number["strike"]), lambda i: "is an option without a strike: give a positive number")
    refuse(number["strike"] <= 0, lambda i: f"has strike {number['strike'][i]:g}: it must be positive")
    refuse(~option & ~np.isnan(number["strike"]), lambda i: f"of kind {kinds[i]} cannot have a strike")
    refuse(~(option | future) & ~np.isnat(expiry), lambda i: f"of kind {kinds[i]} cannot have an expiry")
    refuse(
        years <= 0,
        lambda i: f"expired at {expiry[i]}Z, not after the valuation {market.valuation}Z: remove it, or value earlier",
    )
    refuse(american, lambda i: "has exercise american, which is not supported: only european options can be valued")
    refuse(futures_style & ~option, lambda i: f"of kind {kinds[i]} cannot have premium_style futures")
    refuse(inverse & ~(option | future | perpetual), lambda i: f"of kind {kinds[i]} cannot have settlement inverse")
    refuse(~perpetual & ~np.isnan(number["funding"]), lambda i: f"of kind {kinds[i]} cannot have a funding")
    for name in _NOT_HERE:
        refuse(
            np.array([bool(cell) for cell in table.texts(name)], dtype=bool),
            lambda i, name=name: f"has a {name}, but kind {kinds[i]} has none: leave it blank",  # type: ignore[misc]
        )
    multiplier = np.where(np.isnan(number["multiplier"]), 1.0, number["multiplier"])
    refuse(
        ~(np.isfinite(multiplier) & (multiplier > 0)),
        lambda i: f"has multiplier {multiplier[i]:g}: it must be positive and finite; sell by a negative quantity",
    )
    for name in ("volatility", "price"):
        refuse(number[name] < 0, lambda i, name=name: f"has {name} {number[name][i]:g}: it must not be negative")  # type: ignore[misc]
        refuse(~option & ~np.isnan(number[name]), lambda i, name=name: f"of kind {kinds[i]} cannot have a {name}")  # type: ignore[misc]
    for name in ("strike", "volatility", "price", "rate", "carry", "forward", "funding"):
        refuse(
            np.isinf(number[name]),
            lambda i, name=name: f"has {name} {number[name][i]:g}: it must be finite",  # type: ignore[misc]
        )
    refuse(
        ~np.isnan(number["volatility"]) & ~np.isnan(number["price"]),
        lambda i: "has both a volatility and a price: the price would be inverted for the volatility; leave one blank",
    )
    refuse(
        ~np.isnan(number["carry"]) & ~np.isnan(number["forward"]),
        lambda i: "has both a carry and a forward: the carry follows from the forward; leave one blank",
    )
    for name in ("carry", "forward"):
        refuse(
            (future | (name == "forward")) & ~np.isnan(number[name]) & np.isnat(expiry),
            lambda i, name=name: f"has a {name} but no expiry to count it to: leave it blank, or give an expiry",  # type: ignore[misc]
        )
    sound = table.sound(problems)

    factors = market.factors
    spot = np.where(underlying >= 0, factors.level[np.maximum(underlying, 0)], np.nan)
    refuse(
        (option | inverse) & ~(spot > 0),
        lambda i: f"needs a positive price of {underlyings[i]}, which is {spot[i]:g}",
    )
    refuse(
        ~np.isnan(number["forward"]) & ~((number["forward"] > 0) & (spot > 0)),
        lambda i: f"has forward {number['forward'][i]:g} on spot {spot[i]:g}: both must be positive to give a carry",
    )
    refuse(
        inverse & np.array([u >= 0 and factors.shock[u] is not Shock.log for u in underlying], dtype=bool),
        lambda i: (
            f"is inverse, but {underlyings[i]} moves by {factors.shock[underlying[i]].value} shocks and could "
            "reach 0, where a coin payoff is infinite: give the factor shock=log"
        ),
    )
    quote = [q or (factors.currency[u] if u >= 0 else "") for q, u in zip(quotes, underlying, strict=True)]
    settle = [
        c or (market.currency if cash[i] else underlyings[i] if inverse[i] else quote[i])
        for i, c in enumerate(currencies)
    ]
    refuse(
        cash
        & np.array(
            [any(c not in ("", s) for c in (u, q)) for u, q, s in zip(underlyings, quotes, settle, strict=True)],
            dtype=bool,
        ),
        lambda i: (
            f"is cash in {settle[i]}, but has underlying '{underlyings[i]}' and quote '{quotes[i]}': "
            "write its currency in the column settlement_currency and leave those two blank"
        ),
    )
    refuse(
        np.array([u >= 0 and q != factors.currency[u] for q, u in zip(quote, underlying, strict=True)], dtype=bool),
        lambda i: (
            f"is quoted in {quote[i]}, but the factor of {underlyings[i]} is in "
            f"{factors.currency[underlying[i]]}: quantos are not supported; give both one currency"
        ),
    )
    refuse(
        ~inverse & ~cash & np.array([s != q for s, q in zip(settle, quote, strict=True)], dtype=bool),
        lambda i: f"is linear and quoted in {quote[i]} but settles in {settle[i]}: quantos are not supported",
    )
    refuse(
        inverse & np.array([s == q for s, q in zip(settle, quote, strict=True)], dtype=bool),
        lambda i: f"is inverse but settles in its quote currency {settle[i]}: give the coin as settlement_currency",
    )
    converters = {currency: conversion(market, currency, market.currency) for currency in set(settle)}
    refuse(
        np.array([converters[s] is None for s in settle], dtype=bool),
        lambda i: (
            f"settles in {settle[i]}, which no price factor converts to {market.currency}: "
            f"add a price factor with underlying {settle[i]} and currency {market.currency}"
        ),
    )
    refuse(
        np.array([not invertible(market, converters[s]) for s in settle], dtype=bool),
        lambda i: (
            f"settles in {settle[i]}: converting to {market.currency} divides by the price of {market.currency}, "
            "which could reach 0: give its factor shock=log"
        ),
    )
    sound = table.sound(problems)

    rate, carry = _rates(market, number, kind, underlying, years, spot, settle)
    volatility = _volatilities(market, number, option, underlying, years)
    to_expiry = np.where(np.isfinite(years), years, 0.0)
    with np.errstate(all="ignore"):
        forward, discount = spot * np.exp(carry * to_expiry), np.where(futures_style, 1.0, np.exp(-rate * to_expiry))
        undiscounted = number["price"] * np.where(inverse, forward, 1.0) / discount
    refuse(
        (option | future)
        & ~(np.isfinite(forward) & np.isfinite(discount) & (discount > 0) & ((forward > 0) | ~option)),
        lambda i: (
            f"has forward {forward[i]:g} and discount factor {discount[i]:g}, by spot {spot[i]:g}, carry {carry[i]:g}, "
            f"rate {rate[i]:g} and {years[i]:g} years: correct the rates (decimals, 0.05 is 5 %) or the expiry"
        ),
    )
    sound = table.sound(problems)
    quoted = ~np.isnan(number["price"])
    if (at := quoted & sound).any():
        deviation = implied_deviation(undiscounted[at], forward[at], number["strike"][at], sign[at])
        volatility[at] = deviation / np.sqrt(years[at])
        refuse(
            quoted & ~(volatility > 0),
            lambda i: (
                f"has price {number['price'][i]:g}, which no volatility gives (it is not strictly inside the arbitrage "
                f"bounds) for forward {forward[i]:g}, strike {number['strike'][i]:g} and discount factor "
                f"{discount[i]:.6g}: correct it or give a volatility"
            ),
        )
    refuse(
        option & ~quoted & np.isnan(volatility),
        lambda i: f"has neither volatility nor price, and {underlyings[i]} has no volatility factor: give one",
    )
    if problems:
        raise InputError(table.source, problems)
    return Instruments(
        name=tuple(names),
        kind=kind,
        underlying=underlying,
        sign=sign,
        strike=number["strike"],
        years=years,
        multiplier=multiplier,
        inverse=inverse,
        margined=future | perpetual | futures_style,
        convert=np.array([converters[s] for s in settle], dtype=np.int64).reshape(-1, 2),
        volatility=volatility,
        rate=np.where(futures_style, 0.0, rate),
        carry=carry,
        funding=np.where(np.isnan(number["funding"]), 0.0, number["funding"]),
        rate_currency=tuple("" if style else s for s, style in zip(settle, futures_style, strict=True)),
    )


def conversion(market: Market, currency: str, reporting: str) -> tuple[int, int] | None:
    """Price factors (first, second) with S[first] / S[second] units of `reporting` per unit of `currency`.

    Returns
    -------
    (int, int) or None
        -1 stands for the constant 1; None when the factors do not connect the two.
    """
    if currency == reporting:
        return -1, -1
    prices, quote = market.price_factor(), market.factors.currency
    up, down = prices.get(currency, -1), prices.get(reporting, -1)
    if up >= 0 and quote[up] == reporting:
        return up, -1
    if down >= 0 and quote[down] == currency:
        return -1, down
    if up >= 0 and down >= 0 and quote[up] == quote[down]:
        return up, down
    return None


def invertible(market: Market, converter: tuple[int, int] | None) -> bool:
    """Whether the price that a conversion divides by stays positive."""
    return converter is None or converter[1] < 0 or market.factors.shock[converter[1]] is Shock.log


def pillar_weights(tenors: Floats, years: float, *, root: bool) -> Floats:
    """Weights [P] of sorted pillars at `years`: linear in time or in its square root, flat outside.

    Examples
    --------
    >>> pillar_weights(np.array([0.25, 1.0]), 0.5625, root=True).tolist()
    [0.5, 0.5]
    """
    grid, at = (np.sqrt(tenors), np.sqrt(years)) if root else (tenors, years)
    return np.array([np.interp(at, grid, unit) for unit in np.eye(len(tenors))])


def _pillar_levels(market: Market, kind: FactorKind, owners: Sequence[str], years: Floats) -> Floats:
    """Level of the owners' vol, rate or carry factors at `years` [n], interpolated as the shocks are; NaN for none."""
    level = np.full(len(owners), np.nan)
    rows: dict[str, list[int]] = {}
    for row, owner in enumerate(owners):
        rows.setdefault(owner, []).append(row)
    for owner, at in rows.items():
        if pillars := market.factors.pillars(kind, owner):
            grid, when = market.factors.tenor[pillars], np.maximum(years[at], 0.0)
            if kind is FactorKind.vol:
                grid, when = np.sqrt(grid), np.sqrt(when)
            level[at] = np.interp(when, grid, market.factors.level[pillars])
    return level


def _rates(
    market: Market,
    number: dict[str, Floats],
    kind: Ints,
    underlying: Ints,
    years: Floats,
    spot: Floats,
    settle: list[str],
) -> tuple[Floats, Floats]:
    """Discount rate and carry of each instrument [I]: its own, else the underlying's, else the factors'.

    A rate that nobody gives is 0; a carry that nobody gives is the rate (no dividend yield).
    """
    factors, priced = market.factors, underlying >= 0
    f = np.maximum(underlying, 0)
    names = [factors.underlying[u] if u >= 0 else "" for u in underlying]
    rate = np.where(np.isnan(number["rate"]) & priced, factors.rate[f], number["rate"])
    rate = np.where(np.isnan(rate), _pillar_levels(market, FactorKind.rate, settle, years), rate)
    rate = np.where(np.isnan(rate), 0.0, rate)
    with np.errstate(all="ignore"):
        carry = np.where(np.isnan(number["forward"]), number["carry"], np.log(number["forward"] / spot) / years)
    carry = np.where(np.isnan(carry) & priced, factors.carry[f], carry)
    carry = np.where(np.isnan(carry) & priced, _pillar_levels(market, FactorKind.carry, names, years), carry)
    return rate, np.where(np.isnan(carry), np.where(kind == Kind.cash, 0.0, rate), carry)


def _volatilities(
    market: Market, number: dict[str, Floats], option: NDArray[np.bool_], underlying: Ints, years: Floats
) -> Floats:
    """An option's own volatility, else the level of the volatility factors at its expiry."""
    names = [market.factors.underlying[u] if u >= 0 else "" for u in underlying]
    blank = option & np.isnan(number["volatility"]) & np.isnan(number["price"])
    return np.where(blank, _pillar_levels(market, FactorKind.vol, names, years), number["volatility"])


def _some(names: Iterable[str]) -> str:
    first = list(islice(names, 11))
    return ", ".join(first[:10]) + (", ..." if len(first) > 10 else "") if first else "none"
