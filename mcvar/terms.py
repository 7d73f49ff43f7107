"""The terms of instruments as people write them: read, checked row by row, blanks filled, resolved.

Every quantity that a file may leave blank is decided here, once: currencies, carry from a quoted
forward, volatility from a quoted price or from the volatility factors. Checks come in stages; a row
that one stage refuses is left out of the next, so that each bad row is reported once, with its cause.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable
from itertools import islice

import numpy as np
from numpy.typing import NDArray

from mcvar.columns import Columns
from mcvar.currencies import conversion, invertible
from mcvar.errors import InputError
from mcvar.instruments import Instruments, Kind
from mcvar.market import FactorKind, Market, Shock
from mcvar.pillars import pillar_levels
from mcvar.pricing.black import implied_deviation

Floats = NDArray[np.float64]
Mask = NDArray[np.bool_]

REQUIRED = ("instrument", "kind")
OPTIONAL = (
    "underlying", "option_type", "strike", "expiry", "exercise", "multiplier", "settlement", "quote",
    "settlement_currency", "volatility", "rate", "carry", "forward", "price", "commodity", "premium_style", "funding",
)  # fmt: skip
_NOT_HERE = ("barrier", "barrier_type", "rebate", "payout", "cash", "average")  # columns of kinds without an engine


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
    terms = _Terms(table, market)
    _check_terms(terms)
    _check_settlement(terms)
    rate, carry = _rates(terms)
    volatility = _volatilities(terms, rate, carry)
    if terms.problems:
        raise InputError(table.source, terms.problems)
    return Instruments(
        name=tuple(terms.name),
        kind=terms.kind,
        underlying=terms.underlying,
        sign=terms.sign,
        strike=terms.strike,
        years=terms.years,
        multiplier=terms.multiplier,
        inverse=terms.inverse,
        margined=terms.of(Kind.future) | terms.of(Kind.perpetual) | terms.futures_style,
        convert=np.array([terms.convert[c] for c in terms.settle], dtype=np.int64).reshape(-1, 2),
        volatility=volatility,
        rate=np.where(terms.futures_style, 0.0, rate),
        carry=carry,
        funding=np.where(np.isnan(terms.funding), 0.0, terms.funding),
        rate_currency=tuple("" if style else c for c, style in zip(terms.settle, terms.futures_style, strict=True)),
    )


class _Terms:
    """The columns of the table [n], blanks as NaN, NaT or their default, and what is wrong so far."""

    def __init__(self, table: Columns, market: Market) -> None:
        table.check_names(REQUIRED, (*OPTIONAL, *_NOT_HERE))
        self.table, self.market, self.problems = table, market, list[str]()
        problems = self.problems
        self.name = table.texts("instrument")
        self.kinds = table.choices("kind", [k.name for k in Kind], problems, "")
        types = table.choices("option_type", ["", "call", "put"], problems, "")
        self.american = _are(table.choices("exercise", ["european", "american"], problems, "european"), "american")
        self.inverse = _are(table.choices("settlement", ["linear", "inverse"], problems, "linear"), "inverse")
        self.futures_style = _are(
            table.choices("premium_style", ["upfront", "futures"], problems, "upfront"), "futures"
        )
        self.expiry = table.times("expiry", problems)
        self.strike = table.floats("strike", problems)
        self.multiplier = table.floats("multiplier", problems, 1.0)
        self.volatility, self.price = table.floats("volatility", problems), table.floats("price", problems)
        self.rate, self.carry = table.floats("rate", problems), table.floats("carry", problems)
        self.forward, self.funding = table.floats("forward", problems), table.floats("funding", problems)
        self.underlyings, self.quotes = table.texts("underlying"), table.texts("quote")
        self.kind = np.array([Kind.__members__.get(k, -1) for k in self.kinds], dtype=np.int64)
        self.sign = np.array([{"call": 1.0, "put": -1.0}.get(t, 0.0) for t in types], dtype=np.float64)
        self.years = market.years_to(self.expiry)
        self.prices = market.price_factor()
        self.underlying = np.array(
            [
                -1 if kind == Kind.cash else self.prices.get(u, -2)
                for u, kind in zip(self.underlyings, self.kind, strict=True)
            ],
            dtype=np.int64,
        )
        level = market.factors.level
        self.spot = np.where(self.underlying >= 0, level[np.maximum(self.underlying, 0)], np.nan)
        self.quote = [
            q or (market.factors.currency[u] if u >= 0 else "")
            for q, u in zip(self.quotes, self.underlying, strict=True)
        ]
        self.settle = [
            c or (market.currency if kind == Kind.cash else underlying if inverse else quote)
            for c, kind, underlying, inverse, quote in zip(
                table.texts("settlement_currency"), self.kind, self.underlyings, self.inverse, self.quote, strict=True
            )
        ]
        self.convert = {c: conversion(market, c, market.currency) for c in set(self.settle)}
        self.next_stage()

    def of(self, kind: Kind) -> Mask:
        """The rows of one kind."""
        return np.asarray(self.kind == kind)

    def next_stage(self) -> None:
        """From here on, leave out the rows that are refused already."""
        self.sound = self.table.sound(self.problems)

    def refuse(self, mask: Mask, message: Callable[[int], str]) -> None:
        """Note a problem for each row of the mask that is sound so far."""
        for row in np.flatnonzero(mask & self.sound):
            self.problems.append(f"{self.table.where(row)}: instrument '{self.name[row]}' {message(int(row))}")

    def rows(self, test: Callable[[int], bool]) -> Mask:
        """The rows that pass a test."""
        return np.array([test(row) for row in range(len(self.name))], dtype=bool)


def _check_terms(t: _Terms) -> None:
    """What is wrong with a row by itself."""
    option, future, perpetual = t.of(Kind.option), t.of(Kind.future), t.of(Kind.perpetual)
    first: dict[str, int] = {}
    for row, name in enumerate(t.name):
        first.setdefault(name, row)
    t.refuse(t.rows(lambda i: not t.name[i]), lambda i: "has no name")
    t.refuse(
        t.rows(lambda i: first[t.name[i]] != i),
        lambda i: f"is there twice (first in {t.table.where(first[t.name[i]])}): remove one",
    )
    t.refuse(
        t.underlying == -2,
        lambda i: f"has underlying '{t.underlyings[i]}', which no price factor has: there are {_some(t.prices)}",
    )
    t.refuse(option & (t.sign == 0), lambda i: "is an option without an option_type: write call or put")
    t.refuse(option & np.isnat(t.expiry), lambda i: "is an option without an expiry: give it in ISO, UTC")
    t.refuse(option & np.isnan(t.strike), lambda i: "is an option without a strike: give a positive number")
    t.refuse(t.strike <= 0, lambda i: f"has strike {t.strike[i]:g}: it must be positive")
    t.refuse(
        t.years <= 0,
        lambda i: (
            f"expired at {t.expiry[i]}Z, not after the valuation {t.market.valuation}Z: remove it, or value earlier"
        ),
    )
    t.refuse(t.american, lambda i: "has exercise american, which is not supported: only european options can be valued")
    for what, there, allowed in (
        ("an option_type", t.sign != 0, option),
        ("a strike", ~np.isnan(t.strike), option),
        ("an expiry", ~np.isnat(t.expiry), option | future),
        ("premium_style futures", t.futures_style, option),
        ("settlement inverse", t.inverse, option | future | perpetual),
        ("a funding", ~np.isnan(t.funding), perpetual),
        ("a volatility", ~np.isnan(t.volatility), option),
        ("a price", ~np.isnan(t.price), option),
    ):
        _refuse_for_kind(t, there & ~allowed, what)
    for name in _NOT_HERE:
        _check_blank(t, name)
    t.refuse(
        ~(np.isfinite(t.multiplier) & (t.multiplier > 0)),
        lambda i: f"has multiplier {t.multiplier[i]:g}: it must be positive and finite; sell by a negative quantity",
    )
    for name in ("strike", "volatility", "price", "rate", "carry", "forward", "funding"):
        _check_number(t, name, getattr(t, name), signed=name not in ("volatility", "price"))
    t.refuse(
        ~np.isnan(t.volatility) & ~np.isnan(t.price),
        lambda i: "has both a volatility and a price: the price would be inverted for the volatility; leave one blank",
    )
    t.refuse(
        ~np.isnan(t.carry) & ~np.isnan(t.forward),
        lambda i: "has both a carry and a forward: the carry follows from the forward; leave one blank",
    )
    t.refuse(
        ((future & ~np.isnan(t.carry)) | ~np.isnan(t.forward)) & np.isnat(t.expiry),
        lambda i: (
            f"has a {'carry' if np.isnan(t.forward[i]) else 'forward'} but no expiry to count it to: leave it blank, "
            "or give an expiry"
        ),
    )
    t.next_stage()


def _refuse_for_kind(t: _Terms, mask: Mask, what: str) -> None:
    t.refuse(mask, lambda i: f"of kind {t.kinds[i]} cannot have {what}")


def _check_blank(t: _Terms, name: str) -> None:
    filled = np.array([bool(cell) for cell in t.table.texts(name)], dtype=bool)
    t.refuse(filled, lambda i: f"has a {name}, but kind {t.kinds[i]} has none: leave it blank")


def _check_number(t: _Terms, name: str, number: Floats, *, signed: bool) -> None:
    t.refuse(np.isinf(number), lambda i: f"has {name} {number[i]:g}: it must be finite")
    if not signed:
        t.refuse(number < 0, lambda i: f"has {name} {number[i]:g}: it must not be negative")


def _check_settlement(t: _Terms) -> None:
    """What is wrong with a row in this market: its price, its currencies, what converts them."""
    factors, cash = t.market.factors, t.of(Kind.cash)
    t.refuse(
        (t.of(Kind.option) | t.inverse) & ~(t.spot > 0),
        lambda i: f"needs a positive price of {t.underlyings[i]}, which is {t.spot[i]:g}",
    )
    t.refuse(
        ~np.isnan(t.forward) & ~((t.forward > 0) & (t.spot > 0)),
        lambda i: f"has forward {t.forward[i]:g} on spot {t.spot[i]:g}: both must be positive to give a carry",
    )
    t.refuse(
        t.inverse & t.rows(lambda i: t.underlying[i] >= 0 and factors.shock[t.underlying[i]] is not Shock.log),
        lambda i: (
            f"is inverse, but {t.underlyings[i]} moves by {factors.shock[t.underlying[i]].value} shocks and could "
            "reach 0, where a coin payoff is infinite: give the factor shock=log"
        ),
    )
    t.refuse(
        cash & t.rows(lambda i: any(c not in ("", t.settle[i]) for c in (t.underlyings[i], t.quotes[i]))),
        lambda i: (
            f"is cash in {t.settle[i]}, but has underlying '{t.underlyings[i]}' and quote '{t.quotes[i]}': "
            "write its currency in the column settlement_currency and leave those two blank"
        ),
    )
    t.refuse(
        t.rows(lambda i: t.underlying[i] >= 0 and t.quote[i] != factors.currency[t.underlying[i]]),
        lambda i: (
            f"is quoted in {t.quote[i]}, but the factor of {t.underlyings[i]} is in "
            f"{factors.currency[t.underlying[i]]}: quantos are not supported; give both one currency"
        ),
    )
    same = t.rows(lambda i: t.settle[i] == t.quote[i])
    t.refuse(
        ~t.inverse & ~cash & ~same,
        lambda i: f"is linear and quoted in {t.quote[i]} but settles in {t.settle[i]}: quantos are not supported",
    )
    t.refuse(
        t.inverse & same,
        lambda i: f"is inverse but settles in its quote currency {t.settle[i]}: give the coin as settlement_currency",
    )
    t.refuse(
        t.rows(lambda i: t.convert[t.settle[i]] is None),
        lambda i: (
            f"settles in {t.settle[i]}, which no price factor converts to {t.market.currency}: "
            f"add a price factor with underlying {t.settle[i]} and currency {t.market.currency}"
        ),
    )
    t.refuse(
        t.rows(lambda i: not invertible(t.market, t.convert[t.settle[i]])),
        lambda i: (
            f"settles in {t.settle[i]}: converting to {t.market.currency} divides by the price of {t.market.currency}, "
            "which could reach 0: give its factor shock=log"
        ),
    )
    t.next_stage()


def _rates(t: _Terms) -> tuple[Floats, Floats]:
    """Discount rate and carry of each instrument [n]: its own, else the underlying's, else the factors'.

    A rate that nobody gives is 0; a carry that nobody gives is the rate (no dividend yield). An inverse contract is
    discounted in coins: the underlying's rate, of its quote currency, less its carry is the coin's rate.
    """
    factors, priced, f = t.market.factors, t.underlying >= 0, np.maximum(t.underlying, 0)
    rate = np.where(np.isnan(t.rate) & priced, factors.rate[f], t.rate)
    rate = np.where(np.isnan(rate), pillar_levels(t.market, FactorKind.rate, t.settle, t.years), rate)
    rate = np.where(np.isnan(rate), 0.0, rate)
    with np.errstate(all="ignore"):
        carry = np.where(np.isnan(t.forward), t.carry, np.log(t.forward / t.spot) / t.years)
    carry = np.where(np.isnan(carry) & priced, factors.carry[f], carry)
    carry = np.where(np.isnan(carry), pillar_levels(t.market, FactorKind.carry, t.underlyings, t.years), carry)
    carry = np.where(t.of(Kind.cash), 0.0, np.where(np.isnan(carry), rate, carry))
    of_coin = t.inverse & np.isnan(t.rate) & ~np.isnan(factors.rate[f])
    with np.errstate(invalid="ignore"):  # rows refused before may hold infinities
        return np.where(of_coin, rate - carry, rate), carry


def _volatilities(t: _Terms, rate: Floats, carry: Floats) -> Floats:
    """An option's own volatility, else that of its quoted price, else the level of its factors at its expiry, [n]."""
    option, quoted = t.of(Kind.option), ~np.isnan(t.price)
    blank = option & np.isnan(t.volatility) & ~quoted
    volatility = np.where(blank, pillar_levels(t.market, FactorKind.vol, t.underlyings, t.years), t.volatility)
    years = np.where(np.isfinite(t.years), t.years, 0.0)
    with np.errstate(all="ignore"):
        forward, discount = t.spot * np.exp(carry * years), np.where(t.futures_style, 1.0, np.exp(-rate * years))
        undiscounted = t.price * np.where(t.inverse, forward, 1.0) / discount
    usable = np.isfinite(forward) & np.isfinite(discount) & (discount > 0) & ((forward > 0) | ~option)
    t.refuse(
        (option | t.of(Kind.future)) & ~usable,
        lambda i: (
            f"has forward {forward[i]:g} and discount factor {discount[i]:g}, by spot {t.spot[i]:g}, carry {carry[i]:g}"
            f", rate {rate[i]:g} and {t.years[i]:g} years: correct the rates (decimals, 0.05 is 5 %) or the expiry"
        ),
    )
    t.next_stage()
    if (at := quoted & t.sound).any():
        deviation = implied_deviation(undiscounted[at], forward[at], t.strike[at], t.sign[at])
        volatility[at] = deviation / np.sqrt(t.years[at])
        t.refuse(
            at & ~(volatility > 0),
            lambda i: (
                f"has price {t.price[i]:g}, which no volatility gives (it is not strictly inside the arbitrage "
                f"bounds) for forward {forward[i]:g}, strike {t.strike[i]:g} and discount factor "
                f"{discount[i]:.6g}: correct it or give a volatility"
            ),
        )
    t.refuse(
        option & ~quoted & np.isnan(volatility),
        lambda i: f"has neither volatility nor price, and {t.underlyings[i]} has no volatility factor: give one",
    )
    return volatility


def _are(cells: list[str], value: str) -> Mask:
    return np.array([cell == value for cell in cells], dtype=bool)


def _some(names: Iterable[str]) -> str:
    first = list(islice(names, 11))
    return ", ".join(first[:10]) + (", ..." if len(first) > 10 else "") if first else "none"
