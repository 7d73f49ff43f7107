"""Correlations that are more than sample moments: shrunk, filtered, or from ranks.

All are functions of moves [T, F] to an `Estimate`, with the sample's volatilities. Shrinking and filtering work on
moves in units of their sample deviations: in units of their own the answer would depend on whether a price is quoted
in dollars or cents, and factors that move much would decide for those that move little. A factor that stands still
takes no part and is correlated with nothing. The sample moments themselves are in `mcvar.correlation`.
"""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
from numpy.typing import NDArray
from scipy.stats import kendalltau

from mcvar.correlation import ENOUGH, Estimate, last_moves, refuse_few
from mcvar.errors import SettingError

Floats = NDArray[np.float64]


def ledoit_wolf(moves: Floats, steps_per_year: float, *, window: int = 0, names: Sequence[str] = ()) -> Estimate:
    """The sample correlation R shrunk towards none: (1 - d) R + d I, with the optimal d.

    d is that of O. Ledoit and M. Wolf, "A well-conditioned estimator for large-dimensional covariance matrices",
    J. Multivariate Anal. 88 (2004), as scikit-learn computes it, of moves in units of their sample deviations.

    Parameters
    ----------
    moves : ndarray [T, F]
        Complete.
    window : int
        The last moves that are used; 0: all.
    names : sequence of str [F]
        Of the factors, for messages.

    Raises
    ------
    SettingError
        Without scikit-learn; moves with blanks; a window that does not fit.
    """
    try:
        from sklearn.covariance import ledoit_wolf as optimal  # type: ignore[import-untyped]  # has no types
    except ImportError as error:
        raise SettingError(
            f"correlation=ledoit_wolf needs scikit-learn ({error}): pip install scikit-learn, "
            "or take correlation=shrink_to_constant"
        ) from error
    used = _complete(last_moves(moves, window), "ledoit_wolf", names)
    z, moving = _standardised(used)
    if len(moving) < 2:
        return _estimate(np.eye(len(moving)), moving, used, steps_per_year)
    shrunk, intensity = optimal(z, assume_centered=True)
    note = f"correlation shrunk by {intensity:.3g} towards none (Ledoit-Wolf 2004)"
    return _estimate(np.asarray(shrunk), moving, used, steps_per_year, note)


def shrink_to_constant(
    moves: Floats,
    steps_per_year: float,
    *,
    intensity: float | None = None,
    window: int = 0,
    names: Sequence[str] = (),
) -> Estimate:
    """The sample correlation R shrunk towards its mean: (1 - d) R + d C, C with the mean correlation everywhere.

    O. Ledoit and M. Wolf, "Honey, I shrunk the sample covariance matrix" (2003), appendices A and B, whose covariances
    are here those of moves in units of their sample deviations: pi sums the asymptotic variances of the entries of R,
    rho their asymptotic covariances with those of C, gamma is the squared distance of R and C, and
    d = (pi - rho) / (gamma T), at least 0 and at most 1.

    Parameters
    ----------
    moves : ndarray [T, F]
        Complete.
    intensity : float, optional
        d, from 0 (R) to 1 (C); the optimal one where it is not given.
    window, names
        As for `ledoit_wolf`.
    """
    if intensity is not None and not 0 <= intensity <= 1:
        raise SettingError(
            f"correlation.intensity is {intensity}: it must lie between 0 and 1, or be null for the optimal one"
        )
    used = _complete(last_moves(moves, window), "shrink_to_constant", names)
    z, moving = _standardised(used)
    count, size = z.shape
    sample = z.T @ z / count
    if size < 3:
        return _estimate(sample, moving, used, steps_per_year)  # the mean of one correlation is that correlation
    off = ~np.eye(size, dtype=bool)
    mean = float(sample[off].mean())
    target = np.where(off, mean, 1.0)
    if intensity is None:
        pi = (z**2).T @ z**2 / count - sample**2
        theta = (z**3).T @ z / count - sample  # [i, j]: of the variance of i with the covariance of i and j
        rho = np.trace(pi) + mean * theta[off].sum()
        gamma = float(((target - sample) ** 2).sum())
        intensity = float(np.clip((pi.sum() - rho) / (gamma * count), 0.0, 1.0)) if gamma > 0 else 0.0
    note = f"correlation shrunk by {intensity:.3g} towards its mean {mean:.3g} (Ledoit-Wolf 2003)"
    return _estimate((1 - intensity) * sample + intensity * target, moving, used, steps_per_year, note)


def random_matrix(moves: Floats, steps_per_year: float, *, window: int = 0, names: Sequence[str] = ()) -> Estimate:
    """The sample correlation with the eigenvalues that noise alone would give replaced by their mean.

    Of T independent moves of F independent factors the eigenvalues stay below the edge (1 + sqrt(F / T))^2 (Marchenko
    and Pastur 1967). L. Laloux, P. Cizeau, J.-P. Bouchaud and M. Potters, "Noise dressing of financial correlation
    matrices", Phys. Rev. Lett. 83 (1999), keep those above with their vectors. The mean keeps the trace; then the
    diagonal is brought back to 1. It is meant for many factors: what two of them share beyond the kept vectors is in
    small eigenvalues and goes with the noise, so among few factors a pair that moves nearly as one is torn apart.

    Parameters
    ----------
    moves : ndarray [T, F]
        Complete.
    window, names
        As for `ledoit_wolf`.
    """
    used = _complete(last_moves(moves, window), "random_matrix", names)
    z, moving = _standardised(used)
    count, size = z.shape
    value, vector = np.linalg.eigh(z.T @ z / count)
    edge = (1 + np.sqrt(size / count)) ** 2
    noise = value <= edge
    if noise.any():
        value = np.where(noise, value[noise].mean(), value)
    filtered = (vector * value) @ vector.T
    scale = np.sqrt(np.diag(filtered))
    note = f"{noise.sum()} of {size} eigenvalues of the correlation are below the edge {edge:.3g} of noise: made equal"
    return _estimate(filtered / scale[:, None] / scale, moving, used, steps_per_year, note)


def tau(moves: Floats, steps_per_year: float, *, window: int = 0, names: Sequence[str] = ()) -> Estimate:
    """Correlation from Kendall's tau of each pair, R = sin(pi tau / 2).

    That relation holds for elliptical laws, and for copulas of them whatever the margins are (A. J. McNeil, R. Frey and
    P. Embrechts, Quantitative Risk Management, chapter on copulas; F. Lindskog, A. McNeil and U. Schmock, "Kendall's
    tau for elliptical distributions", 2003): R is what a copula wants, and single large moves do not bend it. Pairs do
    not know of each other, so the matrix may need `positive`.

    Parameters
    ----------
    moves : ndarray [T, F]
        NaN where a factor has none: each pair is ranked over the moves that both have. Ties count as in tau-b.
    window, names
        As for `ledoit_wolf`.

    Raises
    ------
    SettingError
        A window that does not fit; pairs of an incomplete history with fewer than 20 moves in common.
    """
    used = last_moves(moves, window)
    there = ~np.isnan(used)
    refuse_few(there, names)
    matrix = np.eye(used.shape[1])
    for i, j in zip(*np.triu_indices(len(matrix), 1), strict=True):
        both = there[:, i] & there[:, j]
        rank = float(kendalltau(used[both, i], used[both, j]).statistic)
        matrix[i, j] = matrix[j, i] = 0.0 if np.isnan(rank) else np.sin(np.pi / 2 * rank)  # NaN: one stands still
    observations = float((there.astype(np.float64).T @ there).min())
    return Estimate(matrix, volatilities(used, steps_per_year), observations=observations)


def volatilities(moves: Floats, steps_per_year: float) -> Floats:
    """Annual sample volatility (n - 1) of each factor from all of its own moves, [F].

    NaN for a factor with blanks and fewer than `ENOUGH` moves.
    """
    there = ~np.isnan(moves)
    count = there.sum(axis=0)
    mean = np.where(there, moves, 0.0).sum(axis=0) / np.maximum(count, 1)
    square = (np.where(there, moves - mean, 0.0) ** 2).sum(axis=0) / np.maximum(count - 1, 1)
    enough = count >= np.where(count < len(moves), ENOUGH, 2)
    return np.asarray(np.where(enough, np.sqrt(square * steps_per_year), np.nan))


def _complete(moves: Floats, option: str, names: Sequence[str]) -> Floats:
    """The moves, which must have no blanks."""
    blank = np.isnan(moves)
    if not blank.any():
        return moves
    names = names or [f"factor {f + 1}" for f in range(moves.shape[1])]
    which = ", ".join(f"{names[f]} {blank[:, f].sum()}" for f in np.flatnonzero(blank.any(axis=0)).tolist())
    raise SettingError(
        f"correlation={option} needs complete moves, and of {len(moves)} are missing: {which}. Take "
        "market.missing=common to leave out dates with blanks, or correlation=historical, ewma or tau"
    )


def _standardised(moves: Floats) -> tuple[Floats, NDArray[np.intp]]:
    """Moves about their means in units of their deviations (1 / T), [T, moving], and which factors move."""
    centred = moves - moves.mean(axis=0)
    deviation = np.sqrt((centred**2).mean(axis=0))
    # Of a constant, centring leaves rounding.
    moving = np.flatnonzero(deviation > 1e-14 * np.abs(moves).max(axis=0, initial=0.0))
    return centred[:, moving] / deviation[moving], moving


def _estimate(among: Floats, moving: NDArray[np.intp], moves: Floats, steps_per_year: float, *notes: str) -> Estimate:
    """The correlation among the factors that move, in its place among all, with the sample's volatilities."""
    correlation = np.eye(moves.shape[1])
    correlation[np.ix_(moving, moving)] = ((among + among.T) / 2).clip(-1.0, 1.0)
    np.fill_diagonal(correlation, 1.0)
    return Estimate(correlation, volatilities(moves, steps_per_year), notes, float(len(moves)))
