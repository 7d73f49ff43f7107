"""Factor levels in a block of scenarios, in the forms that pricers want."""

from __future__ import annotations

from functools import cached_property

import numpy as np
from numpy.typing import NDArray

from mcvar.market import FactorKind, Market, Shock
from mcvar.pillars import pillar_weights

Floats = NDArray[np.float64]
Pillars = tuple[tuple[int, float], ...]  # (factor, weight)


class Levels:
    """What the moves x make of the market, computed once a block and shared by all groups.

    Parameters
    ----------
    market : Market
    x : ndarray [F, N]
        Moves.
    """

    def __init__(self, market: Market, x: Floats) -> None:
        self.market, self.x = market, x
        self._shifts: dict[Pillars, Floats] = {}

    @cached_property
    def price(self) -> Floats:
        """Levels of the price factors, [F, N]; rows of other kinds are NaN."""
        level = np.full(self.x.shape, np.nan)
        factors = self.market.factors
        for f in factors.of_kind(FactorKind.price):
            s, x = factors.level[f], self.x[f]
            match factors.shock[f]:
                case Shock.log:
                    level[f] = s * np.exp(x)
                case Shock.simple:
                    level[f] = np.maximum(s * (1.0 + x), 0.0)
                case Shock.absolute:
                    level[f] = s + x
        return level

    def log_growth(self, f: int) -> Floats:
        """ln(S_h / S_0) of a price factor with S_0 > 0, [N]; -inf where S_h <= 0."""
        if self.market.factors.shock[f] is Shock.log:
            return np.asarray(self.x[f])
        return np.asarray(np.log(np.maximum(self.growth(f), 0.0)))

    def growth(self, f: int) -> Floats:
        """S_h / S_0 of a price factor with S_0 > 0, [N]; negative where S_h is."""
        if self.market.factors.shock[f] is Shock.log:
            return np.asarray(np.exp(self.x[f]))
        return np.asarray(self.price[f] / self.market.factors.level[f])

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


def ratio(price: Floats, up: int, down: int) -> Floats | float:
    """S[up] / S[down], where the index -1 stands for 1; `price` is [F] or [F, N]."""
    top = price[up] if up >= 0 else 1.0
    return top / price[down] if down >= 0 else top
