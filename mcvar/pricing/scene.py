"""What a contract's value depends on beside its own terms."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

Floats = NDArray[np.float64]
Terms = Mapping[str, Floats]  # by name, [G, 1]


@dataclass(frozen=True)
class Scene:
    """One underlying in N scenarios, `years` before the expiry of the contracts on it.

    Parameters
    ----------
    spot : ndarray [N]
        Its price; of contracts on a future the future's.
    volatility : ndarray [N]
        Factor of the volatilities.
    rate, carry : ndarray [N] or float
        Added to the annual discount rate and to the growth of the forward.
    years : ndarray []
    path : ndarray [N] or None
        The level that the statistic of the path leads to; None where there is no path.
    """

    spot: Floats
    volatility: Floats
    rate: Floats | float
    carry: Floats | float
    years: Floats
    path: Floats | None

    def market(self, terms: Terms) -> tuple[Floats, Floats, Floats]:
        """Volatility, rate and carry of each contract, [G, N] or [G, 1]."""
        return terms["volatility"] * self.volatility, terms["rate"] + self.rate, terms["carry"] + self.carry
