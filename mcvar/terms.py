"""The terms of instruments as people write them: read, checked row by row, blanks filled, resolved.

Every quantity that a file may leave blank is decided here, once: currencies, carry from a quoted
forward, volatility from a quoted price or from the volatility factors, the value of cash dividends.
"""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

from mcvar.columns import Columns
from mcvar.dividends import dividend_values
from mcvar.draft import Draft
from mcvar.errors import InputError
from mcvar.families import FAMILIES
from mcvar.instruments import Instruments, Kind
from mcvar.market import FactorKind, Market
from mcvar.pillars import pillar_levels
from mcvar.pricing.settings import DEFAULT, Pricing
from mcvar.quotes import implied_volatility
from mcvar.term_checks import check_settlement, check_terms

Floats = NDArray[np.float64]


def resolve_instruments(table: Columns, market: Market, pricing: Pricing = DEFAULT) -> Instruments:
    """Check an instrument table against a market and resolve it.

    Parameters
    ----------
    table : Columns
        `instrument, kind` and by kind the other columns of `mcvar.draft.OPTIONAL` and of `mcvar.families`.
    market : Market
    pricing : Pricing

    Raises
    ------
    InputError
        All bad rows at once.
    """
    families = FAMILIES.values()
    d = Draft(
        table,
        market,
        pricing,
        numbers=tuple(dict.fromkeys(name for family in families for name in family.numbers)),
        times=tuple(dict.fromkeys(name for family in families for name in family.times)),
        choices={name: words for family in families for name, words in family.choices.items()},
    )
    check_terms(d)
    term: dict[str, Floats] = {}
    for kind, family in FAMILIES.items():
        here = d.of(kind)
        for name, values in family.resolve(d, here).items():
            term[name] = np.where(here, values, term.get(name, 0.0))
    d.next_stage()
    check_settlement(d)
    rate, carry, dividends = _rates(d)
    volatility = _volatilities(d, rate, carry, dividends)
    if d.problems:
        raise InputError(table.source, d.problems)
    return Instruments(
        name=tuple(d.name),
        kind=d.kind,
        underlying=d.underlying,
        sign=d.sign,
        strike=d.strike,
        years=d.years,
        multiplier=d.multiplier,
        inverse=d.inverse,
        margined=d.of(Kind.future, Kind.perpetual) | d.futures_style,
        convert=np.array([d.convert[c] for c in d.settle], dtype=np.int64).reshape(-1, 2),
        volatility=volatility,
        rate=np.where(d.futures_style, 0.0, rate),
        carry=carry,
        funding=np.where(np.isnan(d.funding), 0.0, d.funding),
        rate_currency=tuple("" if style else c for c, style in zip(d.settle, d.futures_style, strict=True)),
        american=d.american,
        delivery=d.delivery_years,
        dividends=dividends,
        term=term,
    )


def _rates(d: Draft) -> tuple[Floats, Floats, Floats]:
    """Discount rate, carry and value of dividends of each instrument [n]: its own, its underlying's, or the factors'.

    A rate that nobody gives is 0; a carry that nobody gives is the rate (no dividend yield). An inverse contract is
    discounted in coins: the underlying's rate, of its quote currency, less its carry is the coin's rate.
    """
    factors, priced, f = d.market.factors, d.underlying >= 0, np.maximum(d.underlying, 0)
    rate = np.where(np.isnan(d.rate) & priced, factors.rate[f], d.rate)
    rate = np.where(np.isnan(rate), pillar_levels(d.market, FactorKind.rate, d.settle, d.years), rate)
    rate = np.where(np.isnan(rate), 0.0, rate)
    dividends = dividend_values(d, rate)
    reach = np.where(np.isnan(d.delivery_years), d.years, d.delivery_years)
    with np.errstate(all="ignore"):
        carry = np.where(np.isnan(d.forward), d.carry, np.log(d.forward / (d.spot - dividends)) / reach)
    carry = np.where(np.isnan(carry) & priced, factors.carry[f], carry)
    carry = np.where(np.isnan(carry), pillar_levels(d.market, FactorKind.carry, d.underlyings, reach), carry)
    carry = np.where(d.of(Kind.cash), 0.0, np.where(np.isnan(carry), rate, carry))
    of_coin = d.inverse & np.isnan(d.rate) & ~np.isnan(factors.rate[f])
    with np.errstate(invalid="ignore"):  # rows refused before may hold infinities
        return np.where(of_coin, rate - carry, rate), carry, dividends


def _volatilities(d: Draft, rate: Floats, carry: Floats, dividends: Floats) -> Floats:
    """A contract's own volatility, else that of its quoted price, else the level of its factors at its expiry, [n]."""
    contract, quoted = d.of(Kind.option, *FAMILIES), ~np.isnan(d.price)
    blank = contract & np.isnan(d.volatility) & ~quoted
    volatility = np.where(blank, pillar_levels(d.market, FactorKind.vol, d.underlyings, d.years), d.volatility)
    years = np.where(np.isfinite(d.years), d.years, 0.0)
    reach = np.where(np.isnan(d.delivery_years), years, d.delivery_years)
    with np.errstate(all="ignore"):
        forward = (d.spot - dividends) * np.exp(carry * reach)
        discount = np.where(d.futures_style, 1.0, np.exp(-rate * years))
    usable = np.isfinite(forward) & np.isfinite(discount) & (discount > 0) & ((forward > 0) | ~contract)
    d.refuse(
        (contract | d.of(Kind.future)) & ~usable,
        lambda i: (
            f"has forward {forward[i]:g} and discount factor {discount[i]:g}, by spot {d.spot[i]:g}, carry {carry[i]:g}"
            f", rate {rate[i]:g} and {d.years[i]:g} years"
            + (f" and dividends worth {dividends[i]:g}" if dividends[i] else "")
            + ": correct the rates (decimals, 0.05 is 5 %), the expiry or the dividends"
        ),
    )
    d.next_stage()
    if (at := np.flatnonzero(quoted & d.sound)).size:
        volatility[at] = implied_volatility(d, at, forward, rate, carry)
        d.refuse(
            quoted & d.sound & ~(volatility > 0),
            lambda i: (
                f"has price {d.price[i]:g}, which no volatility gives (it is not strictly inside the arbitrage "
                f"bounds) for forward {forward[i]:g}, strike {d.strike[i]:g} and discount factor "
                f"{discount[i]:.6g}: correct it or give a volatility"
            ),
        )
    d.refuse(
        contract & ~quoted & np.isnan(volatility),
        lambda i: (
            f"has neither volatility nor price, and {d.underlyings[i]} has no volatility factor: give one"
            if d.kind[i] == Kind.option
            else f"has no volatility, and {d.underlyings[i]} has no volatility factor: give one"
        ),
    )
    return volatility
