"""Tenor pillars: where a volatility, rate or carry stands between its factors."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
from numpy.typing import NDArray

from mcvar.market import FactorKind, Market

Floats = NDArray[np.float64]


def pillar_weights(tenors: Floats, years: float, *, root: bool) -> Floats:
    """Weights [P] of sorted pillars at `years`: linear in time or in its square root, flat outside.

    Examples
    --------
    >>> pillar_weights(np.array([0.25, 1.0]), 0.5625, root=True).tolist()
    [0.5, 0.5]
    """
    grid, at = (np.sqrt(tenors), np.sqrt(years)) if root else (tenors, years)
    return np.array([np.interp(at, grid, unit) for unit in np.eye(len(tenors))])


def pillar_levels(market: Market, kind: FactorKind, owners: Sequence[str], years: Floats) -> Floats:
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
