"""Correlation: estimated, given or read, checked and repaired, and factorised.

An `Estimate` is what the market needs of the second moments: a correlation matrix and, when it
comes from a history, annual volatilities. Estimators that shrink, filter or rank are in `mcvar.estimators`.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace

import numpy as np
from numpy.typing import ArrayLike, NDArray

from mcvar.columns import Columns
from mcvar.errors import SHOWN, InputError, SettingError

Floats = NDArray[np.float64]
# Moves in common of two factors of an incomplete history. From 20, independent factors show correlations up to 0.44
# (95 %) and a volatility errs by 16 %; from fewer the matrix would be noise that looks like an estimate.
ENOUGH = 20


@dataclass(frozen=True)
class Estimate:
    """Second moments of the factors' moves.

    Parameters
    ----------
    correlation : ndarray [F, F]
    volatility : ndarray [F]
        Annual; NaN where it is not estimated.
    notes : tuple of str
        What the reader of the result must know.
    observations : float
        Moves of equal weight that would say as much: T, or (sum w)^2 / sum w^2 of moves with weights w (Kish 1965).
        Of a history with blanks the smallest of any pair; NaN for a matrix that is not estimated.
    """

    correlation: Floats
    volatility: Floats
    notes: tuple[str, ...] = ()
    observations: float = float("nan")


def historical(moves: Floats, steps_per_year: float, *, window: int = 0, names: Sequence[str] = ()) -> Estimate:
    """Sample covariance about the mean (n - 1), of the last `window` moves (0: all).

    Parameters
    ----------
    moves : ndarray [T, F]
        NaN where a factor has none: then each pair is correlated over the moves that both have, about their means
        over these, and each volatility is that of all moves of the factor. Such a matrix may need `positive`.
    names : sequence of str [F]
        Of the factors, for messages.

    Raises
    ------
    SettingError
        A window that does not fit; pairs of an incomplete history with fewer than `ENOUGH` moves in common.
    """
    used = last_moves(moves, window)
    return _pair_by_pair(used, np.ones(len(used)), steps_per_year, names, centred=True)


def ewma(moves: Floats, steps_per_year: float, *, decay: float = 0.94, names: Sequence[str] = ()) -> Estimate:
    """Exponentially weighted second moments about zero (RiskMetrics 1996).

    Parameters
    ----------
    moves : ndarray [T, F]
        NaN where a factor has none, as for `historical`; the weights go by the row.
    decay : float
        Weight of a move relative to the next one, in (0, 1); 0.94 is the RiskMetrics daily value.
    names : sequence of str [F]
        Of the factors, for messages.
    """
    if not 0 < decay < 1:
        raise SettingError(f"correlation.decay is {decay}: it must lie between 0 and 1, such as 0.94")
    weight = decay ** np.arange(len(moves) - 1, -1, -1.0)
    kept = weight > 1e-150  # of lesser ones the squares would vanish, and pairs with only such have nothing to say
    return _pair_by_pair(moves[kept], weight[kept], steps_per_year, names, centred=False)


def last_moves(moves: Floats, window: int) -> Floats:
    """The last `window` moves, [window, F]; all for 0. A window of one move or beyond the history is refused."""
    if window < 0 or window == 1:
        raise SettingError(f"correlation.window is {window}: give the number of moves, at least 2, or 0 for all")
    if window > len(moves):
        raise SettingError(f"correlation.window is {window} but the history has {len(moves)} moves: lower it")
    return moves[-window:] if window else moves


def refuse_few(there: NDArray[np.bool_], names: Sequence[str] = ()) -> None:
    """Refuse an incomplete history in which some pair of factors has fewer than `ENOUGH` moves in common.

    Parameters
    ----------
    there : ndarray [T, F]
        Where a factor has a move.
    """
    if there.all():
        return
    names = names or [f"factor {f + 1}" for f in range(there.shape[1])]
    common = there.astype(np.float64).T @ there
    own = np.diag(common)
    short = own < ENOUGH
    problems = [f"{names[f]} has {own[f]:.0f} moves in all" for f in np.flatnonzero(short).tolist()]
    problems += [
        f"{names[f]} and {names[g]} have {common[f, g]:.0f} in common ({own[f]:.0f} and {own[g]:.0f} of their own)"
        for f, g in np.argwhere(np.triu(common < ENOUGH, 1)).tolist()
        if not (short[f] or short[g])
    ]
    if problems:
        shown = problems[:SHOWN] + [f"and {len(problems) - SHOWN} more"] * (len(problems) > SHOWN)
        raise SettingError(
            f"of {len(there)} moves, {'; '.join(shown)}: a correlation needs at least {ENOUGH}. Use a history, or a "
            "longer correlation.window, in which they overlap, leave factors out, or give a matrix (correlation=matrix)"
        )


def constant(size: int, value: float) -> Estimate:
    """One correlation between all factors; no volatilities."""
    if not -1 <= value <= 1:
        raise SettingError(f"correlation.value is {value}: a correlation lies between -1 and 1")
    matrix = np.full((size, size), value)
    np.fill_diagonal(matrix, 1.0)
    return Estimate(matrix, np.full(size, np.nan))


def given(values: ArrayLike) -> Estimate:
    """A correlation matrix that somebody wrote down; no volatilities."""
    matrix = np.asarray(values, dtype=np.float64)
    return Estimate(matrix, np.full(len(matrix), np.nan))


def read_matrix(table: Columns, names: tuple[str, ...]) -> Floats:
    """A correlation matrix with factor names as header and first column, in the order of `names`.

    Raises
    ------
    InputError
        Names that differ from the factors', cells that are not numbers.
    """
    header = list(table.data)
    problems: list[str] = []
    rows = table.texts(header[0]) if header else []
    for label, found in (("column", header[1:]), ("row", rows)):
        problems += [f"no {label} for factor '{name}': add it" for name in names if name not in found]
        problems += [
            f"{label} '{name}' is not a factor: remove it; the factors are {', '.join(names)}"
            for name in dict.fromkeys(found)
            if name not in names
        ]
        problems += [f"{label} '{name}' is there twice: remove one" for name in names if found.count(name) > 1]
    if problems:
        raise InputError(table.source, problems)
    values = {name: table.floats(name, problems) for name in names}
    for name, column in values.items():
        problems += [
            f"{table.where(row)}: the correlation of {rows[row]} and {name} is missing or not finite"
            for row in np.flatnonzero(~np.isfinite(column))
            if not any(p.startswith(f"{table.where(row)}: {name} ") for p in problems)
        ]
    if problems:
        raise InputError(table.source, problems)
    order = [rows.index(name) for name in names]
    return np.column_stack([values[name] for name in names])[order]


def positive(estimate: Estimate, *, repair: bool = False, tolerance: float = 1e-10) -> Estimate:
    """Check that a correlation matrix is one; repair it when that is allowed.

    Parameters
    ----------
    estimate : Estimate
    repair : bool
        Replace a matrix that is not positive semi-definite by the nearest one (Higham 2002),
        and note by how much it moved.
    tolerance : float
        Eigenvalues above -tolerance x F count as rounding.

    Raises
    ------
    SettingError
        Not a correlation matrix, or not positive semi-definite while `repair` is False.
    """
    matrix = estimate.correlation
    if matrix.ndim != 2 or matrix.shape[0] != matrix.shape[1]:
        raise SettingError(f"the correlation matrix has shape {matrix.shape}: it must be square")
    if not np.isfinite(matrix).all():
        raise SettingError(
            f"the correlation matrix has {int((~np.isfinite(matrix)).sum())} entries that are not finite"
        )
    if np.abs(matrix - matrix.T).max() > 1e-8:
        i, j = np.unravel_index(int(np.abs(matrix - matrix.T).argmax()), matrix.shape)
        raise SettingError(
            f"the correlation matrix is not symmetric: row {i + 1} column {j + 1} is {matrix[i, j]:g}, "
            f"row {j + 1} column {i + 1} is {matrix[j, i]:g}"
        )
    if np.abs(np.diag(matrix) - 1).max() > 1e-8 or np.abs(matrix).max() > 1 + 1e-8:
        raise SettingError("the correlation matrix needs ones on its diagonal and no entry beyond -1 or 1")
    smallest = float(np.linalg.eigvalsh(matrix)[0])
    if smallest >= -tolerance * len(matrix):
        return estimate
    if not repair:
        raise SettingError(
            f"the correlation matrix is not positive semi-definite: its smallest eigenvalue is {smallest:.6g}; "
            "correct it, or set correlation.repair=true to take the nearest correlation matrix (Higham 2002)"
        )
    nearest = nearest_correlation(matrix)
    note = (
        f"correlation repaired (Higham 2002): smallest eigenvalue {smallest:.6g}, distance "
        f"{np.linalg.norm(nearest - matrix):.6g} (Frobenius), largest change {np.abs(nearest - matrix).max():.6g}"
    )
    return replace(estimate, correlation=nearest, notes=(*estimate.notes, note))


def nearest_correlation(matrix: Floats, *, tolerance: float = 1e-12, limit: int = 10_000) -> Floats:
    """The correlation matrix nearest in the Frobenius norm.

    Alternating projections with Dykstra's correction, Algorithm 3.3 of N. J. Higham, "Computing
    the nearest correlation matrix - a problem from finance", IMA J. Numer. Anal. 22 (2002).

    Parameters
    ----------
    matrix : ndarray [F, F]
        Symmetric.

    Raises
    ------
    SettingError
        If the projections have not settled after `limit` rounds.

    Examples
    --------
    >>> tridiagonal = np.array([[1.0, 1.0, 0.0], [1.0, 1.0, 1.0], [0.0, 1.0, 1.0]])
    >>> nearest_correlation(tridiagonal).round(4)[0].tolist()
    [1.0, 0.7607, 0.1573]
    """
    y: Floats = matrix.copy()
    correction = np.zeros_like(matrix)
    for _ in range(limit):
        r = y - correction
        value, vector = np.linalg.eigh(r)
        x = (vector * np.maximum(value, 0.0)) @ vector.T
        correction = x - r
        before, y = y, (x + x.T) / 2
        np.fill_diagonal(y, 1.0)
        if np.linalg.norm(y - before) <= tolerance * np.linalg.norm(y):
            return np.asarray(y)
    raise SettingError(f"the nearest correlation matrix was not found in {limit} rounds: correct the matrix by hand")


def factor_of(correlation: Floats) -> Floats:
    """A lower triangular L, L L' = correlation, also for singular matrices, [F, F].

    From the eigenvectors V and values w, C = B B' with B = V sqrt(w), and B' = Q R gives L = R'.
    For a positive definite matrix that is the Cholesky factor.
    """
    value, vector = np.linalg.eigh(correlation)
    noise = np.finfo(float).eps * len(value) * value[-1]  # its root would part factors that move as one
    value = np.where(value > noise, value, 0.0)
    r = np.asarray(np.linalg.qr((vector * np.sqrt(value)).T, mode="r"))
    sign = np.where(np.diag(r) < 0, -1.0, 1.0)
    return (r * sign[:, None]).T.copy()


def _pair_by_pair(
    moves: Floats, weight: Floats, steps_per_year: float, names: Sequence[str], *, centred: bool
) -> Estimate:
    """Weighted moments of each pair over the moves that both have: products of matrices with zeros for blanks."""
    there = ~np.isnan(moves)
    refuse_few(there, names)
    # Any origin gives the same centred moments; near the mean the least is lost to rounding.
    origin = np.where(there, moves, 0.0).sum(axis=0) / there.sum(axis=0) if centred else 0.0
    x = np.where(there, moves - origin, 0.0)
    heavy = there * weight[:, None]
    total = there.T @ heavy  # [i, j]: weight of the moves that i and j have in common
    second = (x * x).T @ heavy  # [i, j]: sum of w x_i^2 over these
    root = x * np.sqrt(weight)[:, None]
    cross = root.T @ root
    if centred:
        first = x.T @ heavy
        cross = cross - first * first.T / total
        spread = second - first**2 / total
        second = np.where(spread > len(moves) * np.finfo(float).eps * second, spread, 0.0)  # else it stands still
    scale = np.sqrt(second * second.T)
    correlation = np.divide(cross, scale, out=np.zeros_like(cross), where=scale > 0).clip(-1.0, 1.0)
    np.fill_diagonal(correlation, 1.0)
    volatility = np.sqrt(np.diag(second) / (np.diag(total) - centred) * steps_per_year)
    observations = float((total**2 / (there.T @ (heavy * weight[:, None]))).min())
    return Estimate(correlation, volatility, observations=observations)
