"""An exchange's scan grid: a table of moves, what a move of volatility is, and how much of each loss counts."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from enum import Enum

import numpy as np
from numpy.typing import NDArray

from mcvar.market import DAYS_PER_YEAR
from mcvar.scan.grid import Grid
from mcvar.scan.per import Per

Floats = NDArray[np.float64]
SKEWS = ("linear", "abs")


class Reduction(Enum):
    """From losses at the points to scan risk; see the functions of these names in `mcvar.scan.exchange.margins`.

    `worst`: each commodity's own worst point. `cells`: one point for all commodities, gains of a commodity in part.
    `expiries`: as worst, each expiry's options discounted. `span`: the whole SPAN algorithm, elsewhere.
    """

    worst = "worst"
    cells = "cells"
    expiries = "expiries"
    span = "span"


@dataclass(frozen=True)
class Points:
    """S points.

    Parameters
    ----------
    name : str
        Of the grid.
    price : ndarray [S]
        In price ranges; where `extended` as a part of the price itself.
    volatility : ndarray [S]
        Above 0 in volatility ranges up, below in ranges down.
    weight : ndarray [S]
        Of the P&L; NaN: the damping over the size of the move, at most 1.
    extended : ndarray [S] of bool
    skew : tuple of str [S]
        `linear` or `abs` where the smile turns instead; else "".
    """

    name: str
    price: Floats
    volatility: Floats
    weight: Floats
    extended: NDArray[np.bool_]
    skew: tuple[str, ...]

    def __len__(self) -> int:
        """S."""
        return len(self.price)

    def label(self, at: int) -> str:
        """What people read: `3: price +1/3, volatility up`."""
        if self.skew[at]:
            return f"{at + 1}: skew {self.skew[at]}"
        price = f"{100 * self.price[at]:+.3g} %" if self.extended[at] else f"{self.price[at]:+.3g} ranges"
        way = ("down", "unchanged", "up")[int(np.sign(self.volatility[at])) + 1]
        return f"{at + 1}: price {price}, volatility {way}"

    def grid(self) -> Grid:
        """The same for the SPAN algorithm, which pairs points of one price and opposite volatilities."""
        pair = np.arange(len(self))
        for at in range(len(self)):
            same = (self.price == self.price[at]) & (self.volatility == -self.volatility[at]) & (self.volatility != 0)
            if same.any():
                pair[at] = int(np.flatnonzero(same)[0])
        return Grid(self.name, self.price, self.volatility, self.weight, pair)


@dataclass(frozen=True)
class VolatilityRange:
    """Volatilities s become max(s (1 + up (30 days / d)^p), least) and max(s (1 - down (30 days / d)^p), 0).

    Parameters
    ----------
    up, down : Per
        As a part of each volatility or, unless `relative`, in points of it.
    relative : bool
    short_power, long_power : float
        p for expiries nearer than `pivot` and for the others.
    pivot : float
        Days to expiry of the ranges as stated.
    least_days : float
        Nearer expiries count as this many days.
    least : float
        Volatility after a move up is at least so much.

    Examples
    --------
    >>> deribit = VolatilityRange(Per({"default": 0.5}), Per({"default": 0.25}), short_power=0.3, long_power=0.13)
    >>> deribit.moved(np.array([0.6]), np.array([30 / 365]), np.array([0.5]), np.array([0.25]), 1.0).round(3).tolist()
    [0.9]
    """

    up: Per
    down: Per
    relative: bool = True
    short_power: float = 0.0
    long_power: float = 0.0
    pivot: float = 30.0
    least_days: float = 0.0
    least: float = 0.0

    def moved(self, volatility: Floats, years: Floats, up: Floats, down: Floats, move: float) -> Floats:
        """Volatilities [n] after `move` ranges; `up` and `down` [n] are those of their commodities."""
        if move == 0:
            return volatility
        days = np.maximum(np.where(np.isfinite(years), years, 1.0) * DAYS_PER_YEAR, max(self.least_days, 1e-9))
        power = np.where(days < self.pivot, self.short_power, self.long_power)
        size = (up if move > 0 else down) * (self.pivot / days) ** power * move
        to = volatility * (1.0 + size) if self.relative else volatility + size
        return np.maximum(to, self.least if move > 0 else 0.0)


@dataclass(frozen=True)
class Skew:
    """A turn of the smile: volatility of log moneyness k = ln(K/F) times 1 + clip(k c / k*, -c, c); |k| for `abs`.

    c = cap + slope sqrt(T), at least 0, and k* = max(least, width sqrt(T) (level + tilt sqrt(T))) is where the smile is
    taken to be flat. Source: Derive, v2-core, PMRMLib_2.sol.
    """

    linear_cap: float = 0.15
    linear_slope: float = 0.1
    abs_cap: float = 0.2
    abs_slope: float = 0.1
    least: float = 0.01
    width: float = 4.0
    level: float = 1.0
    tilt: float = -0.2

    def moved(self, volatility: Floats, years: Floats, moneyness: Floats, kind: str) -> Floats:
        """Volatilities [n] of log moneyness [n]; a NaN, of what has no strike, leaves them."""
        root = np.sqrt(np.where(np.isfinite(years), years, 0.0))
        cap, slope = (self.linear_cap, self.linear_slope) if kind == "linear" else (self.abs_cap, self.abs_slope)
        limit = np.maximum(cap + slope * root, 0.0)
        edge = np.maximum(self.least, self.width * root * (self.level + self.tilt * root))
        k = moneyness if kind == "linear" else np.abs(moneyness)
        turn = np.where(np.isnan(k), 0.0, np.clip(k * limit / edge, -limit, limit))
        return np.maximum(volatility * (1.0 + turn), 0.0)


@dataclass(frozen=True)
class Discounts:
    """What the options of an expiry count for when they are worth something, and when they are owed.

    Worth: base exp(-T (multiple r + add)); owed: base exp(T (multiple r + add)), at most exp(T r), or 1 where r < 0.
    Source: Derive, v2-core, PMRMLib_2.sol.
    """

    long_base: float = 1.0
    long_multiple: float = 0.0
    long_add: float = 0.0
    short_base: float = 1.0
    short_multiple: float = 0.0
    short_add: float = 0.0

    def factors(self, years: Floats, rate: Floats) -> tuple[Floats, Floats]:
        """Of what is worth something, and of what is owed, [n] each."""
        long = self.long_base * np.exp(-years * (self.long_multiple * rate + self.long_add))
        short = self.short_base * np.exp(years * (self.short_multiple * rate + self.short_add))
        return long, np.minimum(short, np.maximum(np.exp(years * rate), 1.0))


@dataclass(frozen=True)
class ExpiryBasis:
    """One more loss beside the points: prices of each expiry move for themselves, not together (`expiries`).

    The sum over expiries of (add + multiple T) times what the expiry's options lose, undiscounted, at prices up by a
    part `up` or down by a part `down`, whichever is more, at least 0. Source: Derive, v2-core, PMRMLib_2.sol.
    """

    up: float = 0.05
    down: float = 0.05
    add: float = 0.25
    multiple: float = 0.01


@dataclass(frozen=True)
class Rule:
    """A contingency by name, see `mcvar.scan.exchange.contingency`.

    Parameters
    ----------
    name : str
    floor : bool
        The requirement is at least so much; else it is added.
    initial, maintenance : float
        How much of it counts in each margin.
    settings : mapping of str
        What the rule is told.
    """

    name: str
    floor: bool = False
    initial: float = 1.0
    maintenance: float = 1.0
    settings: Mapping[str, object] = field(default_factory=dict)
