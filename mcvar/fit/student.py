"""Degrees of freedom of Student t laws by profile likelihood."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import ArrayLike
from scipy.optimize import minimize_scalar
from scipy.special import gammaln

from mcvar.errors import SettingError
from mcvar.fit.fitted import Fitted, Floats, checked, kurtosis

LEAST = 100
LOWEST, HIGHEST = 2.05, 200.0  # no variance at 2; beyond 200 no sample tells t from normal
STEP = 0.05  # of ln dof, for the curvature


@dataclass(frozen=True)
class Dof:
    """Degrees of freedom at the maximum, their error (None at a bound), and the log likelihood there."""

    value: float
    error: float | None
    loglikelihood: float

    @property
    def is_normal(self) -> bool:
        """At the upper bound, where t and normal are the same."""
        return self.value >= HIGHEST


def fit_student_t(
    moves: ArrayLike, names: Sequence[str], steps_per_year: float, *, dates: Sequence[str] | None = None
) -> Fitted:
    """One number of degrees of freedom for all factors: maximum likelihood of the multivariate t.

    The t law is the one that the model simulates: with the sample's mean and covariance, whatever the dof (its
    scatter is (dof - 2) / dof of that; McNeil, Frey and Embrechts, "Quantitative Risk Management", 2015, section
    6.2). With a free scatter the dof of a sample that is fatter than any t comes out near 2, and with the sample's
    variance such a law has a smaller 99 % quantile than the normal one. Moves count as independent: clusters of
    volatility make the dof smaller than that of moves given their volatility.

    Parameters
    ----------
    moves : array_like [T, F]
        Per step, finite; at least 100 and more than 2 F.
    names : sequence of str [F]
    steps_per_year : float
    dates : sequence of str [T], optional
        Names of the rows, for messages.

    Returns
    -------
    Fitted
        settings: dof. Its error is from the curvature of the likelihood, and takes the covariance as known.

    Raises
    ------
    InputError
        Moves that cannot be fitted.
    SettingError
        Factors that move as one; shapes that do not go together.
    """
    x = checked(moves, names, steps_per_year, least=max(LEAST, 2 * len(names) + 1), dates=dates)
    apart(x, names)
    found = profile_t(x)
    notes = ["student_t: moves count as independent and identically distributed", *bound_notes("dof", found)]
    standard = (x - x.mean(axis=0)) / x.std(axis=0)
    diagnostics = {
        "observations": len(x),
        "years": len(x) / steps_per_year,
        "loglikelihood": found.loglikelihood,
        "kurtosis": {name: kurtosis(standard[:, f]) for f, name in enumerate(names)},
    }
    return Fitted({"dof": found.value}, {"dof": found.error}, diagnostics, tuple(notes))


def profile_t(x: Floats) -> Dof:
    """Maximum likelihood degrees of freedom of [T, F] moves, mean and covariance being the sample's."""
    scale = x.std(axis=0)
    y = (x - x.mean(axis=0)) / scale
    mean, covariance = np.zeros(y.shape[1]), np.atleast_2d(np.cov(y, rowvar=False, bias=True))
    found = maximise(lambda dof: loglikelihood(y, dof, mean, covariance * ((dof - 2.0) / dof)))
    return Dof(found.value, found.error, found.loglikelihood - len(x) * float(np.log(scale).sum()))


def maximise(profile: Callable[[float], float]) -> Dof:
    """The dof in [2.05, 200] where a log likelihood is largest; searched in ln dof, where it is nearly parabolic."""
    low, high = np.log(LOWEST), np.log(HIGHEST)
    found = minimize_scalar(
        lambda s: -profile(np.exp(s)), bounds=(low, high), method="bounded", options={"xatol": 1e-6}
    )
    at, best = float(found.x), -float(found.fun)
    ends = {end: profile(np.exp(end)) for end in (low, high)}
    end = max(ends, key=lambda s: ends[s])
    if ends[end] >= best:  # the search stays inside its bounds
        return Dof(LOWEST if end == low else HIGHEST, None, ends[end])
    step = min(STEP, at - low, high - at)
    curvature = -(profile(np.exp(at + step)) - 2 * best + profile(np.exp(at - step))) / step**2
    error = float(np.exp(at) / np.sqrt(curvature)) if curvature > 0 else None
    return Dof(float(np.exp(at)), error, best)


def distances(x: Floats, mean: Floats, scatter: Floats) -> Floats:
    """Squared Mahalanobis distances, [T]."""
    half = np.linalg.solve(np.linalg.cholesky(scatter), (x - mean).T)
    return np.asarray((half * half).sum(axis=0))


def loglikelihood(x: Floats, dof: float, mean: Floats, scatter: Floats) -> float:
    """Log likelihood of a multivariate t with density at [T, F] moves."""
    count, size = x.shape
    constant = gammaln((dof + size) / 2) - gammaln(dof / 2) - size / 2 * np.log(dof * np.pi)
    half = np.log(np.diag(np.linalg.cholesky(scatter))).sum()
    return float(count * (constant - half) - (dof + size) / 2 * np.log1p(distances(x, mean, scatter) / dof).sum())


def apart(x: Floats, names: Sequence[str]) -> None:
    """Refuse factors that are linear combinations of others: their joint density does not exist.

    Raises
    ------
    SettingError
        Names the factors.
    """
    value, vector = np.linalg.eigh(np.atleast_2d(np.corrcoef(x, rowvar=False)))
    if value[0] < 1e-10 * len(value):
        together = [name for f, name in enumerate(names) if abs(vector[f, 0]) > 1e-3]
        raise SettingError(
            f"{', '.join(together)} move as one (smallest eigenvalue of the correlation {value[0]:.2g}), so their "
            "joint density does not exist: leave one of them out of the fit"
        )


def bound_notes(what: str, found: Dof) -> list[str]:
    """What to say of degrees of freedom at a bound, or without an error."""
    if found.is_normal:
        return [f"{what} is at its bound {HIGHEST:g}: the moves look normal; it has no error"]
    if found.value <= LOWEST:
        return [f"{what} is at its bound {LOWEST:g}: the variance hardly exists; it has no error"]
    return [] if found.error is not None else [f"{what} has no error: the likelihood is flat there"]
