"""GJR-GARCH(1,1): the variance of a factor's next step follows from its last innovation."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

Floats = NDArray[np.float64]


@dataclass(frozen=True)
class Garch:
    """h' = omega + (alpha + gamma 1[e < 0]) e^2 + beta h, e = sqrt(h) times the innovation.

    L. R. Glosten, R. Jagannathan and D. E. Runkle, "On the relation between the expected value and the
    volatility of the nominal excess return on stocks", Journal of Finance 48 (1993). An exponentially weighted
    filter is omega = gamma = 0, alpha = 1 - decay, beta = decay.

    Parameters
    ----------
    omega, alpha, gamma, beta : ndarray [F]
        Per step, in squared moves.
    start : ndarray [F]
        Variance of the first step.
    """

    omega: Floats
    alpha: Floats
    gamma: Floats
    beta: Floats
    start: Floats

    @property
    def persistence(self) -> Floats:
        """Alpha + gamma / 2 + beta, [F]: the variance is stationary below 1."""
        return np.asarray(self.alpha + 0.5 * self.gamma + self.beta)

    @property
    def long_run(self) -> Floats:
        """Unconditional variance of a step, [F]; infinite where it does not exist."""
        left = 1.0 - self.persistence
        return np.where(left > 0, self.omega / np.where(left > 0, left, 1.0), np.inf)

    def next(self, h: Floats, innovation: Floats) -> Floats:
        """Variances of the next step, [F, N]."""
        square = h * innovation**2
        news = np.where(innovation < 0, (self.alpha + self.gamma)[:, None], self.alpha[:, None])
        return np.asarray(self.omega[:, None] + news * square + self.beta[:, None] * h)
