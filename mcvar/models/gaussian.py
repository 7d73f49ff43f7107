"""Multivariate normal moves: x = mean + L z."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from mcvar.market import Market
from mcvar.models.common import Drift, factor_matrix, mean_move
from mcvar.philox import normals

Floats = NDArray[np.float64]


@dataclass(frozen=True)
class Gaussian:
    """Jointly normal moves with the market's covariance over the horizon.

    With log shocks this is geometric Brownian motion observed at the horizon.

    Parameters
    ----------
    drift : Drift
    """

    drift: Drift = Drift.zero

    def law(self, market: Market, years: float, carry: Floats) -> GaussianLaw:
        """See `ShockModel.law`."""
        return GaussianLaw(factor_matrix(market, years), mean_move(market, years, carry, self.drift))


@dataclass(frozen=True)
class GaussianLaw:
    """x = mean + L z; `factor` L [F, F], `mean` [F]."""

    factor: Floats
    mean: Floats
    notes: tuple[str, ...] = ()

    def moves(self, seed: int, start: int, stop: int) -> Floats:
        """See `Law.moves`."""
        z = normals(seed, start, stop, len(self.mean))
        return np.asarray(self.factor @ z + self.mean[:, None])
