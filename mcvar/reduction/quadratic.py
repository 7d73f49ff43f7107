"""The exact law of the delta-gamma approximation: Q = c + delta'x + x' Gamma x / 2 under normal or t moves.

With x = mean + A z and A' Gamma A / 2 = U diag(lambda) U', Q = c + sum of b_j Z_j + lambda_j Z_j^2, Z = U'z
(P. Glasserman, "Monte Carlo Methods in Financial Engineering", 2004, section 9.2).
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass

import numpy as np
from numpy.typing import ArrayLike, NDArray
from scipy.special import ndtri

from mcvar.errors import McvarError, SettingError
from mcvar.reduction.delta_gamma import Expansion
from mcvar.reduction.elliptical import Elliptical
from mcvar.reduction.inversion import exceedance, excess

Floats = NDArray[np.float64]
Score = Callable[[NDArray[np.int64], Floats], Floats]
_ROUNDS = 60


@dataclass(frozen=True)
class QuadraticLaw:
    """The law of R quadratics, each in its own independent coordinates.

    Parameters
    ----------
    constant : ndarray [R]
    linear, square : ndarray [R, F]
        b and lambda, of coordinates of variance 1.
    dof : float or None
        The coordinates are normal, or sqrt((dof - 2) / W) times normal with one W ~ chi2(dof) for all.

    Examples
    --------
    >>> chi_square = QuadraticLaw(np.zeros(1), np.zeros((1, 3)), np.ones((1, 3)))
    >>> chi_square.exceedance([[7.8147279]]).round(8).tolist(), chi_square.quantile([0.95]).round(4).tolist()
    ([[0.05]], [[7.8147]])
    """

    constant: Floats
    linear: Floats
    square: Floats
    dof: float | None = None

    @classmethod
    def of(cls, expansion: Expansion, moves: Elliptical) -> QuadraticLaw:
        """The law of every row of an expansion; for losses take `expansion.loss`."""
        rows, size = expansion.delta.shape
        constant, linear, square = np.empty(rows), np.empty((rows, size)), np.empty((rows, size))
        for r in range(rows):
            constant[r], linear[r], square[r], _ = diagonal(expansion, r, moves)
        return cls(constant, linear, square, moves.dof)

    @property
    def mean(self) -> Floats:
        """E[Q], [R]."""
        return np.asarray(self.constant + self.square.sum(axis=1))

    def exceedance(self, q: ArrayLike) -> Floats:
        """P(Q > q), [R, n], to an absolute error below 1e-8.

        Parameters
        ----------
        q : array [R, n]

        Raises
        ------
        McvarError
            A probability that cannot be found to that error.
        """
        q = np.asarray(q, dtype=np.float64)
        rows = np.repeat(np.arange(len(q)), q.shape[1])
        return self._exceedance(rows, q.ravel()).reshape(q.shape)

    def excess(self, q: ArrayLike) -> Floats:
        """E[max(Q - q, 0)], [R, n], to 1e-8 of the law's width; arguments as for `exceedance`."""
        q = np.asarray(q, dtype=np.float64)
        rows = np.repeat(np.arange(len(q)), q.shape[1])
        return excess(*self._terms(rows), q.ravel() - self.constant[rows]).reshape(q.shape)

    def quantile(self, level: ArrayLike, tolerance: float = 1e-8) -> Floats:
        """inf{q : P(Q > q) <= 1 - level}, [R, n].

        Parameters
        ----------
        level : array [n]
            In (0, 1).
        tolerance : float
            Of the normal score of the probability, or of q relative to the law's width.

        Raises
        ------
        SettingError
            A level outside (0, 1).
        McvarError
            A quantile that cannot be found to that error.
        """
        level = np.asarray(level, dtype=np.float64)
        if not ((level > 0) & (level < 1)).all():
            raise SettingError(f"levels {level.tolist()}: they must lie between 0 and 1, such as 0.99")
        rows, goal = np.repeat(np.arange(len(self.constant)), len(level)), np.tile(ndtri(level), len(self.constant))
        width = np.sqrt((self.linear**2).sum(axis=1) + 2 * (self.square**2).sum(axis=1))[rows]

        def score(at: NDArray[np.int64], q: Floats) -> Floats:  # nearly linear in q
            p = np.clip(self._exceedance(rows[at], q), 1e-300, 1 - 1e-16)
            return np.asarray(-ndtri(p) - goal[at])

        found = self.mean[rows] + width * self._guess(rows, goal, width)
        moving = np.flatnonzero(width > 0)
        found[moving] = _root(lambda at, q: score(moving[at], q), found[moving], width[moving], tolerance)
        return np.asarray(found.reshape(len(self.constant), len(level)))

    def _guess(self, rows: NDArray[np.int64], z: Floats, width: Floats) -> Floats:
        """About the quantiles of normal scores z, in deviations of normal Q: the Cornish-Fisher expansion."""
        b2, square = self.linear**2, self.square
        with np.errstate(divide="ignore", invalid="ignore"):
            third = (6 * b2 * square + 8 * square**3).sum(axis=1)[rows] / width**3
            fourth = 48 * (b2 * square**2 + square**4).sum(axis=1)[rows] / width**4
        turn = (z**2 - 1) * third / 6 + (z**3 - 3 * z) * fourth / 24 - (2 * z**3 - 5 * z) * third**2 / 36
        return np.asarray(z + np.clip(np.nan_to_num(turn), -1.5, 1.5))

    def _exceedance(self, rows: NDArray[np.int64], q: Floats) -> Floats:
        """P(Q > q) of one row each, [P]."""
        return exceedance(*self._terms(rows), q - self.constant[rows])

    def _terms(self, rows: NDArray[np.int64]) -> tuple[Floats, Floats, float | None]:
        """The rows' terms as `inversion` has them: t variates there have a scale of 1, not a variance of 1."""
        shrink = 1.0 if self.dof is None else (self.dof - 2) / self.dof
        return self.linear[rows] * np.sqrt(shrink), self.square[rows] * shrink, self.dof


def diagonal(expansion: Expansion, r: int, moves: Elliptical) -> tuple[float, Floats, Floats, Floats]:
    """c, b, lambda and U of a row: its quadratic in the coordinates U'z."""
    gamma = expansion.gamma_of(r)
    tilted = gamma @ moves.mean
    constant = expansion.constant[r] + (expansion.delta[r] + 0.5 * tilted) @ moves.mean
    square, rotation = np.linalg.eigh(0.5 * moves.root.T @ gamma @ moves.root)
    linear = rotation.T @ (moves.root.T @ (expansion.delta[r] + tilted))
    return float(constant), linear, square, rotation


def _root(score: Score, guess: Floats, width: Floats, tolerance: float) -> Floats:
    """Zeros of increasing functions, [P]: bracketed by steps that double, then by the Illinois rule."""
    every = np.arange(len(guess))
    low, at_low = guess.copy(), score(every, guess)
    high, at_high, step = low.copy(), at_low.copy(), 0.05 * width
    for _ in range(_ROUNDS):
        down, up = np.flatnonzero(at_low > 0), np.flatnonzero(at_high < 0)
        if not len(down) + len(up):
            break
        # The end that is left behind encloses the zero from the other side.
        high[down], at_high[down] = low[down], at_low[down]
        low[up], at_low[up] = high[up], at_high[up]
        low[down] -= step[down]
        high[up] += step[up]
        at_low[down], at_high[up] = score(down, low[down]), score(up, high[up])
        step *= 2
    best, error, side = np.where(at_low == 0, low, high), np.where(at_low == 0, 0.0, at_high), np.zeros(len(guess))
    for _ in range(_ROUNDS):
        left = np.flatnonzero((np.abs(error) > tolerance) & (high - low > tolerance * width))
        if not len(left):
            return best
        rise = at_high[left] - at_low[left]
        trial = high[left] - at_high[left] * (high[left] - low[left]) / np.where(rise > 0, rise, 1.0)
        trial = np.clip(trial, low[left], high[left])
        value = score(left, trial)
        best[left], error[left] = trial, value
        for above, end, at_end, at_other in ((1.0, high, at_high, at_low), (-1.0, low, at_low, at_high)):
            moved = np.flatnonzero(np.where(value >= 0, 1.0, -1.0) == above)
            here = left[moved]
            end[here], at_end[here] = trial[moved], value[moved]
            at_other[here[side[here] == above]] *= 0.5  # this end moved twice: the other counts for half
            side[here] = above
    raise McvarError("a quantile of a delta-gamma approximation was not found: run without variance reduction")
