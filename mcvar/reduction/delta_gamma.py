"""The delta-gamma approximation of every row, by differences of the engine's own full revaluation.

    P&L(x) is nearly c + delta'x + x' Gamma x / 2

in the moves x over the horizon, each in its factor's own shock convention. The constant is the P&L when nothing moves
and time passes; what expires inside the horizon has settled. Bumps are of the size of the moves themselves: what is
wanted is a quadratic that follows the P&L over the horizon's moves, not derivatives today.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from mcvar.engines import Engine
from mcvar.errors import CapacityError, SettingError
from mcvar.scenarios import Explicit

Floats = NDArray[np.float64]
Ints = NDArray[np.int64]
BUMP = 2.5  # standard deviations of the move: measured by benchmarks/reduction.py
BUMPS = (2.5, 1.0, 3.5, 5.0)  # for `best`
LARGEST = 2**28  # cross terms of all rows: 2 GB
_CELLS = 2**24  # numbers at once, of bumped moves or of P&L
_MARGIN = 0.08  # of the two shares of the worst that a row's own quadratic finds, together
_FITTED = (0.2, 10.0)  # times 1 - level: the shares of the worst scenarios between which a quadratic is refitted
_DEEPEST = 0.25  # of all scenarios
_EACH = 8  # scenarios for each coefficient that is fitted
_NOTHING = 1e-11  # of a row's P&L under bumps: a second difference that is rounding


@dataclass(frozen=True)
class Expansion:
    """Quadratics of the moves, one a row; Gamma is kept for pairs of factors that have any.

    Parameters
    ----------
    constant : ndarray [R]
    delta : ndarray [R, F]
    pair : ndarray [M, 2]
        Factors of each element of Gamma on and above the diagonal.
    gamma : ndarray [R, M]

    Examples
    --------
    >>> square = Expansion(np.ones(1), np.array([[2.0, 0.0]]), np.array([[0, 0], [0, 1]]), np.array([[6.0, 1.0]]))
    >>> square(np.array([[0.0, 1.0], [5.0, 2.0]])).tolist()  # 1 + 2 x + 3 x^2 + x y
    [[1.0, 8.0]]
    """

    constant: Floats
    delta: Floats
    pair: Ints
    gamma: Floats

    def __call__(self, x: Floats) -> Floats:
        """Values at moves [F, N], [R, N]."""
        first, second = self.pair.T
        half = np.where(first == second, 0.5, 1.0)
        return np.asarray(self.constant[:, None] + self.delta @ x + (self.gamma * half) @ (x[first] * x[second]))

    @property
    def loss(self) -> Expansion:
        """Of minus the P&L."""
        return Expansion(0.0 - self.constant, 0.0 - self.delta, self.pair, 0.0 - self.gamma)

    def gamma_of(self, r: int) -> Floats:
        """Gamma of a row, [F, F]."""
        whole = np.zeros((self.delta.shape[1],) * 2)
        first, second = self.pair.T
        whole[first, second] = self.gamma[r]
        whole[second, first] = self.gamma[r]
        return whole

    def take(self, rows: Ints) -> Expansion:
        """Some of the rows, in that order."""
        return Expansion(self.constant[rows], self.delta[rows], self.pair, self.gamma[rows])

    def combined(self, weight: Floats) -> Expansion:
        """Sums of the rows, weighted [R]: one row."""
        w = weight[None, :]
        return Expansion(w @ self.constant, w @ self.delta, self.pair, w @ self.gamma)


def expand(make: Callable[[Explicit], Engine], deviation: Floats, *, bump: float = BUMP) -> Expansion:
    """Expand the P&L of every row of an engine: as many revaluations as F^2 + F + 1 scenarios take.

    Central differences: Gamma_ij of two factors is that of f(+i +j) + f(-i -j) with f(+-i) and f(+-j) taken off.

    Parameters
    ----------
    make : callable
        The engine of market, book and decay for given moves: `lambda s: choice.make(market, book, s, decay)`.
    deviation : ndarray [F]
        Standard deviations of the moves over the horizon; where it is 0, nothing is expanded.
    bump : float
        Of the moves, in these.

    Raises
    ------
    SettingError
        A bump that is not positive.
    CapacityError
        More cross terms than can be kept.
    McvarError
        P&L that is not finite under a bump.
    """
    if not 0 < bump < np.inf:
        raise SettingError(f"bump is {bump:g}: it must be positive, such as {BUMP:g} standard deviations")
    moving = np.flatnonzero(deviation > 0)
    size = bump * deviation[moving]
    grid = _Grid(len(deviation), moving, size)
    start = grid.pnl(make, 0, grid.singles)
    rows, m = len(start), len(moving)
    if (terms := rows * m * (m + 1) // 2) > LARGEST:
        raise CapacityError(
            f"the delta-gamma approximation of {rows} rows in {m} factors has {terms:.3g} cross terms, but at most "
            f"{LARGEST:.3g} are kept: take fewer rows at once, or run without variance reduction"
        )
    still, up, down = start[:, :1], start[:, 1 : m + 1], start[:, m + 1 :]
    delta = np.zeros((rows, len(deviation)))
    delta[:, moving] = (up - down) / (2 * size)
    largest = np.abs(start).max(axis=1, keepdims=True)
    kept = [(moving[:, None][:, [0, 0]], up - 2 * still + down, size**2)]
    first, second = grid.pairs
    step = max(1, _CELLS // (2 * max(rows, len(deviation))))
    for at in range(0, len(first), step):
        i, j = first[at : at + step], second[at : at + step]
        both = grid.pnl(make, grid.singles + 2 * at, grid.singles + 2 * (at + len(i)))
        cross = 0.5 * (both[:, ::2] + both[:, 1::2] - up[:, i] - down[:, i] - up[:, j] - down[:, j] + 2 * still)
        there = (np.abs(cross) > _NOTHING * np.maximum(largest, np.abs(both).max(axis=1, keepdims=True))).any(axis=0)
        kept.append((moving[np.column_stack([i, j])[there]], cross[:, there], (size[i] * size[j])[there]))
    pair = np.concatenate([each[0] for each in kept])
    gamma = np.concatenate([each[1] / each[2] for each in kept], axis=1)
    return Expansion(still[:, 0], delta, pair, gamma)


def best(candidates: Sequence[Expansion], moves: Floats, pnl: Floats, level: float) -> Expansion:
    """Of several expansions, as of different bumps, the one for each row that tells its worst scenarios best.

    That is how many of a pilot's worst n (1 - level) losses, and of twice as many, are among those of the quadratic.
    On ten names, options of 0.1 years and a horizon of 0.04 the best bump is from 1 to 5 deviations, and the factor by
    which it beats the worst is up to 9 (`benchmarks/reduction.py --bumps`).

    Parameters
    ----------
    candidates : sequence of Expansion
        Of the same rows; the first unless another is better by more than chance.
    moves, pnl : ndarray [F, n], [R, n]
        Of a pilot: some thousands of scenarios.
    level : float
        Of VaR, in (0, 1).
    """
    depth = max(1, round(pnl.shape[1] * (1 - level)))
    depths = (depth, min(2 * depth, pnl.shape[1]))
    worst = np.argsort(pnl, axis=1, kind="stable")
    hits = np.zeros((len(candidates), len(pnl)))
    for c, each in enumerate(candidates):
        seen = np.argsort(each(moves), axis=1, kind="stable")
        for r, k in ((r, k) for r in range(len(pnl)) for k in depths):
            hits[c, r] += len(np.intersect1d(worst[r, :k], seen[r, :k], assume_unique=True)) / k
    hits[0] += _MARGIN
    chosen, rows = hits.argmax(axis=0), np.arange(len(pnl))
    pair, place = np.unique(np.concatenate([each.pair for each in candidates]), axis=0, return_inverse=True)
    gamma = np.zeros((len(candidates), len(rows), len(pair)))
    parts = np.split(place.reshape(-1), np.cumsum([len(each.pair) for each in candidates])[:-1])
    for own, each, at in zip(gamma, candidates, parts, strict=True):
        own[:, at] = each.gamma
    constant, delta = (np.stack([getattr(each, name) for each in candidates]) for name in ("constant", "delta"))
    return Expansion(constant[chosen, rows], delta[chosen, rows], pair, gamma[chosen, rows])


def refitted(expansion: Expansion, moves: Floats, pnl: Floats, level: float) -> Expansion:
    """The same with constant, deltas and squares of each row fitted to its losses around VaR, by least squares.

    Of a pilot's scenarios, those of which the quadratic says that they are worst but for the very worst: these lie
    beyond VaR in any order, and under t moves they would outweigh the others. Cross terms stay. A row of too many
    factors for the pilot stays as it is.

    Parameters
    ----------
    expansion, moves, pnl, level
        As for `best`.

    Examples
    --------
    >>> x = np.random.default_rng(1).normal(size=(1, 4000))
    >>> tangent = Expansion(np.zeros(1), np.ones((1, 1)), np.array([[0, 0]]), np.zeros((1, 1)))
    >>> found = refitted(tangent, x, 1 + x - 3 * x**2, 0.99)
    >>> found.constant.round(9).tolist(), found.delta.round(9).tolist(), found.gamma.round(9).tolist()
    ([1.0], [[1.0]], [[-6.0]])
    """
    size = pnl.shape[1]
    first, last = (round(size * min(times * (1 - level), _DEEPEST)) for times in _FITTED)
    constant, delta, gamma = expansion.constant.copy(), expansion.delta.copy(), expansion.gamma.copy()
    scale, known = moves.std(axis=1), expansion(moves)
    own = np.flatnonzero(expansion.pair[:, 0] == expansion.pair[:, 1])  # squares
    factor = expansion.pair[own, 0]
    for r in range(len(pnl)):
        part = np.abs(delta[r]) * scale
        for end in expansion.pair.T:
            np.maximum.at(part, end, np.abs(gamma[r]) * scale[expansion.pair].prod(axis=1))
        moved = part[factor] > _NOTHING * part.max(initial=0.0)
        f, at = factor[moved], own[moved]
        stop = first + max(last - first, _EACH * (2 * len(f) + 1))
        there = np.argsort(known[r], kind="stable")[first:stop]
        error = (pnl[r] - known[r])[there]
        if stop > _DEEPEST * size or np.abs(error).max() <= _NOTHING * np.abs(pnl[r]).max():
            continue
        z = moves[np.ix_(f, there)] / scale[f, None]
        found = np.linalg.lstsq(np.vstack([np.ones(len(there)), z, z * z]).T, error, rcond=None)[0]
        constant[r] += found[0]
        delta[r, f] += found[1 : len(f) + 1] / scale[f]
        gamma[r, at] += 2 * found[len(f) + 1 :] / scale[f] ** 2
    return Expansion(constant, delta, expansion.pair, gamma)


@dataclass(frozen=True)
class _Grid:
    """Bumped moves by number: none, each factor up, each down, then each pair both up and both down."""

    factors: int
    moving: Ints  # [m]
    size: Floats  # [m]

    @property
    def singles(self) -> int:
        return 2 * len(self.moving) + 1

    @property
    def pairs(self) -> tuple[Ints, Ints]:
        first, second = np.triu_indices(len(self.moving), 1)
        return first, second

    def shocks(self, start: int, stop: int) -> Floats:
        """Moves of the numbers from start to stop, [F, stop - start]."""
        m, number = len(self.moving), np.arange(start, stop)
        x = np.zeros((self.factors, stop - start))
        alone = np.flatnonzero((number > 0) & (number < self.singles))
        factor = (number[alone] - 1) % m if m else alone
        x[self.moving[factor], alone] = np.where(number[alone] <= m, 1.0, -1.0) * self.size[factor]
        both = np.flatnonzero(number >= self.singles)
        which, side = np.divmod(number[both] - self.singles, 2)
        for end in self.pairs:
            x[self.moving[end[which]], both] = np.where(side == 0, 1.0, -1.0) * self.size[end[which]]
        return x

    def pnl(self, make: Callable[[Explicit], Engine], start: int, stop: int) -> Floats:
        return make(Explicit(self.shocks(start, stop))).pnl(0, stop - start)
