"""Multivariate normal moves."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from mcvar.market import Market
from mcvar.models.common import Drift, mean_move
from mcvar.models.innovations import Correlated
from mcvar.models.law import Law

Floats = NDArray[np.float64]


@dataclass(frozen=True)
class Gaussian:
    """Jointly normal moves with the market's covariance over the horizon.

    With log shocks this is geometric Brownian motion, observed at every step.

    Parameters
    ----------
    drift : Drift
    """

    drift: Drift = Drift.zero

    def law(self, market: Market, years: float, carry: Floats, steps: int = 1) -> Law:
        """See `ShockModel.law`."""
        deviation = market.volatility * np.sqrt(years / steps)
        mean = mean_move(market, years / steps, carry, self.drift, 0.5 * deviation**2)
        return Law(Correlated.of(market.correlation), np.tile(mean, (steps, 1)), deviation)
