"""Factor levels in a block of scenarios, in the forms that pricers want."""

from __future__ import annotations

from functools import cached_property

import numpy as np
from numpy.typing import NDArray

from mcvar.engines.rows import Implied, Rows
from mcvar.market import FactorKind, Market, Shock
from mcvar.pillars import pillar_weights
from mcvar.shocks import moved

Floats = NDArray[np.float64]
Pillars = tuple[tuple[int, float], ...]  # (factor, weight)


class Levels:
    """What the moves x make of the market, computed once a block and shared by all groups.

    Parameters
    ----------
    rows : Rows
        What the rows of x are.
    x : ndarray [F + S + U, N]
        Moves, and variances.
    """

    def __init__(self, rows: Rows, x: Floats) -> None:
        self.rows, self.x = rows, x
        self._shifts: dict[Pillars, Floats] = {}

    @cached_property
    def price(self) -> Floats:
        """Levels of the price factors and of what is watched of them, [F + S, N]; rows of other kinds are NaN."""
        factors, factor = self.rows.market.factors, self.rows.factor
        level = np.full((len(factor), self.x.shape[1]), np.nan)
        for row, f in enumerate(factor):
            if factors.kind[f] is FactorKind.price:
                level[row] = moved(factors.shock[f], factors.level[f], self.x[row])
        return level

    def log_growth(self, row: int) -> Floats:
        """ln(S_h / S_0) of a row of prices with S_0 > 0, [N]; -inf where S_h <= 0."""
        if self._shock(row) is Shock.log:
            return np.asarray(self.x[row])
        return np.asarray(np.log(np.maximum(self.growth(row), 0.0)))

    def growth(self, row: int) -> Floats:
        """S_h / S_0 of a row of prices with S_0 > 0, [N]; negative where S_h is."""
        if self._shock(row) is Shock.log:
            return np.asarray(np.exp(self.x[row]))
        return np.asarray(self.price[row] / self.rows.market.factors.level[self.rows.factor[row]])

    def implied(self, implied: Implied) -> Floats:
        """Factor of the implied volatilities under a stochastic variance, [N]."""
        row, first, second = implied
        return np.asarray(np.sqrt(first + second * self.x[row]))

    def _shock(self, row: int) -> Shock:
        return self.rows.market.factors.shock[self.rows.factor[row]]

    def shift(self, pillars: Pillars) -> Floats | None:
        """Sum of weight x move over some factors, [N]; None for no factor. Computed once a block."""
        if not pillars:
            return None
        if pillars not in self._shifts:
            (f, weight), *rest = pillars
            moved = weight * self.x[f]
            for f, weight in rest:
                moved += weight * self.x[f]
            self._shifts[pillars] = moved
        return self._shifts[pillars]


def pillars_at(market: Market, kind: FactorKind, owner: str, years: float) -> Pillars:
    """The factors, with weights, that move a volatility, rate or carry at an expiry `years` after valuation.

    Linear in time for rates and carries and in its square root for volatilities, flat outside.
    """
    of = market.factors.pillars(kind, owner) if owner else []
    if not of:
        return ()
    weights = pillar_weights(market.factors.tenor[of], years, root=kind is FactorKind.vol)
    return tuple((f, float(w)) for f, w in zip(of, weights, strict=True) if w)


def convert(value: Floats, levels: Levels, pair: tuple[int, int]) -> None:
    """Convert values [G, N] into the reporting currency, in place."""
    if pair != (-1, -1):
        value *= ratio(levels.price, *pair)


def ratio(price: Floats, up: int, down: int) -> Floats | float:
    """S[up] / S[down], where the index -1 stands for 1; `price` is [F] or [F, N]."""
    top = price[up] if up >= 0 else 1.0
    return top / price[down] if down >= 0 else top


def ratios(price: Floats, pairs: NDArray[np.int64]) -> Floats:
    """S[up] / S[down] of pairs [R, 2] of factors, where the index -1 stands for 1, [R]; `price` is [F].

    Examples
    --------
    >>> ratios(np.array([4.0, 2.0]), np.array([[0, -1], [0, 1], [-1, 1], [-1, -1]])).tolist()
    [4.0, 2.0, 0.5, 1.0]
    """
    one = np.append(price, 1.0)  # which the index -1 reads
    up, down = np.asarray(pairs).reshape(-1, 2).T
    return np.asarray(one[up] / one[down])
