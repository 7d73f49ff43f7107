"""Mean reversion of an index variance, and what follows from it for the variance of Heston's model."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from mcvar.errors import SettingError
from mcvar.fit.fitted import Bools, Floats

FLOOR = 0.01  # of theta, for variances that the map makes smaller or negative


@dataclass(frozen=True)
class Series:
    """One underlying: returns [T], index variance V [T + 1], which returns count [T], tenor and step in years."""

    name: str
    returns: Floats
    variance: Floats
    calm: Bools
    tenor: float
    step: float


@dataclass(frozen=True)
class Variance:
    """What follows from kappa and theta: (sigma, rho, v0) with the errors of the first two at given kappa and theta."""

    values: Floats
    errors: Floats
    residuals: Floats
    floored: int


def mean_reversion(s: Series) -> tuple[Floats, Floats]:
    """(kappa, theta) and their covariance [2, 2].

    Raises
    ------
    SettingError
        No mean reversion, or a long-run variance that is not positive.
    """
    root = np.sqrt(s.variance[:-1])
    y, x = np.diff(s.variance) / root, np.column_stack([1 / root, root])
    bread = np.linalg.inv(x.T @ x)
    c = bread @ (x.T @ y)
    e = y - x @ c
    white = bread @ (x.T * e**2) @ x @ bread
    remedy = "give a longer history, or calibrate to a chain of options"
    if not -1 < c[1] < 0:
        raise SettingError(
            f"{s.name}: the squared index moves by {c[1]:+.4g} of its level a step, so kappa is not positive: {remedy}"
        )
    kappa, theta = -np.log1p(c[1]) / s.step, -c[0] / c[1]
    if theta <= 0:
        raise SettingError(f"{s.name}: the long-run variance of the index is {theta:.4g}, not positive: {remedy}")
    slope = np.array([[0.0, -1 / ((1 + c[1]) * s.step)], [-1 / c[1], c[0] / c[1] ** 2]])
    return np.array([kappa, theta]), slope @ white @ slope.T


def given_reversion(s: Series, reversion: Floats) -> Variance:
    """Sigma, rho and v0 at given kappa and theta.

    Var[v' given v] = sigma^2 q(v), q = v (e - e^2) / kappa + theta (1 - e)^2 / (2 kappa), e = exp(-kappa dt); sigma^2
    is the mean square of the residuals of v over sqrt(q). Returns: (r - mean + v dt / 2) / sqrt(v dt).
    """
    kappa, theta = reversion
    a = -np.expm1(-kappa * s.tenor) / (kappa * s.tenor)
    raw = theta + (s.variance - theta) / a
    low = raw < FLOOR * theta
    v = np.where(low, FLOOR * theta, raw)
    used = ~(low[1:] | low[:-1])
    e = np.exp(-kappa * s.step)
    q = v[:-1] * (e - e * e) / kappa + theta * (1 - e) ** 2 / (2 * kappa)
    z = ((v[1:] - theta - (v[:-1] - theta) * e) / np.sqrt(q))[used]
    sigma = np.sqrt(np.mean(z * z))
    drift = s.returns + v[:-1] * s.step / 2
    w = (drift - drift[s.calm].mean()) / np.sqrt(v[:-1] * s.step)
    calm = s.calm[used]
    rho = np.corrcoef(z[calm], w[used][calm])[0, 1]
    own = np.array([np.std(z * z) / (2 * sigma * np.sqrt(len(z))), (1 - rho**2) / np.sqrt(calm.sum()), 0.0])
    return Variance(np.array([sigma, rho, v[-1]]), own, z / sigma, int(low.sum()))
