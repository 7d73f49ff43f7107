"""Ranges that nobody gives: what covers most of the run's own moves."""

from __future__ import annotations

from collections.abc import Collection, Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray
from scipy.special import ndtri

from mcvar.errors import SettingError
from mcvar.instruments import Instruments
from mcvar.market import DAYS_PER_YEAR, FactorKind, Market, Shock
from mcvar.scan.per import Per
from mcvar.scan.times import days

Floats = NDArray[np.float64]
RELATIVE = 0.10  # of each volatility, where no factor says how it moves
_PIVOT = 30.0 / DAYS_PER_YEAR


@dataclass(frozen=True)
class Ranges:
    """Ranges of the commodities that were asked for, and what the record of the run says of them."""

    price: Per
    volatility: Per
    notes: tuple[str, ...] = ()


def default_ranges(
    market: Market,
    instruments: Instruments,
    commodity: Sequence[str],
    years: float,
    *,
    coverage: float = 0.99,
    relative: bool = True,
    relative_volatility: bool = True,
    price_of: Collection[str] | None = None,
    volatility_of: Collection[str] | None = None,
) -> Ranges:
    """Ranges in which a part `coverage` of normal moves of the factors' own deviations ends.

    A price factor's deviation over the horizon is s = volatility sqrt(years), and z = N^-1((1 + coverage) / 2). For
    log shocks the range is exp(z s) - 1 of the price, the larger of both sides; for simple ones z s; for absolute ones
    z s in the price's units. Of several factors the largest counts. The range of volatilities is that of the factor
    nearest to 30 days, as a part of them, else 10 %.

    Parameters
    ----------
    market : Market
    instruments : Instruments
    commodity : sequence of str [I]
    years : float
        Of variance in the horizon, > 0.
    relative, relative_volatility : bool
        Whether ranges are parts of prices and of volatilities, or in their units.
    price_of, volatility_of : collection of str, optional
        Commodities whose range is asked for; without it, all.

    Raises
    ------
    SettingError
        No time for moves, a coverage out of range; a price at 0, of which no part is a range.

    Examples
    --------
    99 % of the moves of a day end within 2.58 deviations of 1 %.

    >>> from mcvar import book, correlation, market
    >>> from mcvar.columns import Columns
    >>> factors, volatility = market.read_factors(Columns.of("factors", factor=["A"], kind=["price"], level=[100.0],
    ...     volatility=[0.01 * np.sqrt(365)]))
    >>> m = market.build(factors=factors, volatility=volatility, estimate=correlation.constant(1, 0.0),
    ...     valuation=np.datetime64("2026-01-02", "us"), currency="USD")
    >>> spot = Columns.of("instruments", instrument=["S"], kind=["spot"], underlying=["A"])
    >>> held = Columns.of("positions", account=["X"], instrument=["S"], quantity=[1.0])
    >>> found = default_ranges(m, book.resolve(spot, held, m).instruments, ["A"], 1 / 365)
    >>> round(found.price("A"), 6) == round(float(np.expm1(0.01 * ndtri(0.995))), 6), found.volatility("A")
    (True, 0.1)
    >>> found.notes[0][:40]
    'scan ranges of A: price 0.0260929 of the'
    """
    names = tuple(dict.fromkeys(commodity))
    wanted = {
        "price": set(names) if price_of is None else set(price_of),
        "volatility": set(names) if volatility_of is None else set(volatility_of),
    }
    missing = [f"scan.{name}" for name, of in (("price_range", "price"), ("volatility_up", "volatility")) if wanted[of]]
    if not (years > 0 and 0 < coverage < 1):
        raise SettingError(
            f"{' and '.join(missing)}, not given, would cover {coverage:g} of the moves of {years:g} years: "
            f"give {' and '.join(missing)}, or a positive horizon and a coverage between 0 and 1"
        )
    z = float(ndtri(0.5 * (1.0 + coverage)))
    price: dict[str, float] = {}
    volatility: dict[str, float] = {}
    notes = []
    for name in names:
        used = {f for c, f in zip(commodity, instruments.underlying.tolist(), strict=True) if c == name and f >= 0}
        said = []
        if name in wanted["price"]:
            price[name] = max((_price(market, f, z * np.sqrt(years), relative) for f in used), default=0.0)
            unit = " of the price" if relative else ""
            said.append(f"price {price[name]:.6g}{unit}, covering {coverage:g} of normal moves over {days(years)}")
        if name in wanted["volatility"]:
            pillars = [p for f in used for p in market.factors.pillars(FactorKind.vol, market.factors.underlying[f])]
            near = min(pillars, key=lambda p: abs(float(market.factors.tenor[p]) - _PIVOT), default=-1)
            part = RELATIVE if near < 0 else float(np.expm1(z * market.volatility[near] * np.sqrt(years)))
            level = 1.0 if relative_volatility else _level(market, instruments, commodity, name, near)
            volatility[name] = part * level
            source = f"the moves of {market.factors.name[near]}" if near >= 0 else "no volatility factor: 10 %"
            said.append(f"volatility {volatility[name]:.6g} ({source})")
        if said and used:  # cash has no range
            notes.append(f"scan ranges of {name}: {'; '.join(said)}")
    return Ranges(Per(price), Per(volatility), tuple(notes))


def _price(market: Market, f: int, deviations: float, relative: bool) -> float:
    move, level = float(market.volatility[f] * deviations), abs(float(market.factors.level[f]))
    match market.factors.shock[f]:
        case Shock.log:
            part = float(np.expm1(move))
        case Shock.simple:
            part = move
        case Shock.absolute:
            part = move / level if level > 0 else np.inf
    if not np.isfinite(part):
        if relative:
            raise SettingError(f"{market.factors.name[f]} is at 0: give its scan.price_range with scan.relative=false")
        return move
    return part if relative else part * level


def _level(market: Market, i: Instruments, commodity: Sequence[str], name: str, near: int) -> float:
    """What a range of volatility is a part of, where it is in points: the factor's level, else the median's."""
    if near >= 0:
        return float(market.factors.level[near])
    own = i.volatility[[c == name for c in commodity]]
    own = own[np.isfinite(own)]
    return float(np.median(own)) if len(own) else 0.0
