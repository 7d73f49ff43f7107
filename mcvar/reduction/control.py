"""The delta-gamma control variate: every row's scenarios weighted by strata of its own quadratic, for shared scenarios.

The losses of a row beyond VaR are nearly those whose quadratic is beyond its own quantile. How many scenarios lie in
which part of the quadratic's tail is chance, and its probability is known: weighting by strata takes that chance out
of the row's VaR and ES. What the quadratic does not explain stays, so a row of which it explains nothing loses nothing.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Protocol

import numpy as np
from numpy.typing import NDArray
from scipy.special import ndtri

from mcvar.errors import SettingError
from mcvar.measures import exact
from mcvar.reduction.delta_gamma import Expansion
from mcvar.reduction.quadratic import QuadraticLaw
from mcvar.reduction.strata import Excess, Strata, section_of
from mcvar.scenarios import BLOCK
from mcvar.tail import Tail

Floats = NDArray[np.float64]
Ints = NDArray[np.int64]
LEAST = 20  # scenarios that a stratum should have
_STEP = 0.1  # of 1 - level: the strata near VaR
_REACH = 2.5  # times 1 - level: how far they go; then each holds half as much again
_EVERY = 4  # of the cuts one is a quantile, the others lie between
_CELLS = 2**22  # quadratics at once


class Moving(Protocol):
    """Scenarios whose moves can be had: `mcvar.scenarios.Simulated`."""

    @property
    def count(self) -> int:
        """N."""
        ...

    def moves(self, start: int, stop: int) -> Floats:
        """Moves over the horizon, [F, stop - start]."""
        ...


def shares(levels: Sequence[float], count: int, least: int = LEAST) -> Floats:
    """Probabilities beyond the cuts between strata, ascending, [H - 1].

    Steps of a tenth of 1 - level up to 2.5 times it, then wider ones; none that leaves a stratum with fewer than
    `least` expected scenarios.

    Examples
    --------
    >>> shares([0.99], 10_000).round(4).tolist()[:4]
    [0.002, 0.004, 0.006, 0.008]
    """
    wanted = []
    for level in levels:
        beyond = float(1 - exact(level))
        fine = beyond * _STEP * np.arange(1, round(_REACH / _STEP) + 1)
        wide = beyond * _REACH * 1.5 ** np.arange(1, 12)
        deep = fine[0] * 0.5 ** np.arange(1, 12)
        wanted += [*fine, *wide[wide < 0.75], *deep]
    kept, gap = [0.0], least / count
    for share in sorted(wanted):
        if share - kept[-1] >= gap * (1 - 1e-9) and share <= 1 - gap:
            kept.append(share)
    return np.array(kept[1:])


@dataclass(frozen=True)
class Partition:
    """H strata of the quadratic loss of each of R rows, from the worst on, and its mean excess over A quantiles.

    Parameters
    ----------
    cut : ndarray [R, H - 1]
        Descending.
    probability : ndarray [R, H]
    levels : tuple of float [A]
        Of the quantiles.
    knot, expected : ndarray [R, A]
        The quantiles, about, and E[max(Q - knot, 0)].

    Examples
    --------
    >>> law = QuadraticLaw(np.zeros(1), np.ones((1, 1)), np.zeros((1, 1)))
    >>> Partition.of(law, np.array([0.01, 0.5])).cut.round(2).tolist()
    [[2.33, 0.0]]
    """

    cut: Floats
    probability: Floats
    levels: tuple[float, ...]
    knot: Floats
    expected: Floats

    def take(self, rows: Ints) -> Partition:
        """Some of the rows, in that order."""
        cut, probability, knot, expected = self.cut, self.probability, self.knot, self.expected
        return Partition(cut[rows], probability[rows], self.levels, knot[rows], expected[rows])

    @staticmethod
    def stack(parts: Sequence[Partition]) -> Partition:
        """Those of further rows, one after another."""
        names = ("cut", "probability", "knot", "expected")
        cut, probability, knot, expected = (np.concatenate([getattr(p, name) for p in parts]) for name in names)
        return Partition(cut, probability, parts[0].levels, knot, expected)

    @classmethod
    def of(cls, law: QuadraticLaw, share: Floats, levels: Sequence[float] = ()) -> Partition:
        """With these probabilities beyond the cuts, about, ascending: see `shares`.

        Parameters
        ----------
        law : QuadraticLaw
            Of the LOSS under the law of the scenarios: `QuadraticLaw.of(loss, Elliptical.of(scenarios.law))`.
        levels : sequence of float
            Of ES that is to have a linear control in its strata.
        """
        rows = len(law.constant)
        # A cut may lie anywhere, if only its probability is exact.
        few = np.unique(np.concatenate([share[:_EVERY], share[::_EVERY], share[-_EVERY:]]))
        nodes = law.quantile(1 - few, tolerance=1e-3)
        at = ndtri(share)
        cut = np.array([np.interp(at, ndtri(few), row) for row in nodes]).reshape(rows, len(share))
        cut = -np.sort(-cut, axis=1)
        beyond = np.maximum.accumulate(law.exceedance(cut), axis=1)
        probability = np.diff(np.column_stack([np.zeros(rows), beyond, np.ones(rows)]), axis=1)
        knot = law.quantile(np.array(levels), tolerance=1e-3)
        return cls(cut, probability, tuple(levels), knot, law.excess(knot))


def stratify(
    loss: Expansion,
    partition: Partition,
    scenarios: Moving,
    tail: Tail,
    *,
    sections: int = 1,
    unit: int = BLOCK,
) -> Strata:
    """Strata of every row's quadratic loss over all scenarios, and where those of the tail fell.

    Parameters
    ----------
    loss : Expansion
        Of the LOSS of each row: `expand(...).loss`.
    partition : Partition
        Of the law of the same.
    scenarios : Simulated
        Those of the run. One pass over their moves, without any revaluation.
    tail : Tail
        Of the run.
    sections, unit : int
        For `weighted.by_sections`.

    Returns
    -------
    Strata
        For `weighted.measure`.

    Raises
    ------
    SettingError
        Rows or scenarios that are not those of the tail, or of another law than the partition's.
    """
    rows, size = partition.probability.shape
    if not len(loss.constant) == rows == len(tail.loss) or scenarios.count != tail.count:
        raise SettingError(
            f"{len(loss.constant)} expansions, strata of {rows} rows and {scenarios.count} scenarios for a tail of "
            f"{len(tail.loss)} rows and {tail.count} scenarios: take those of the run"
        )
    levels = len(partition.levels)
    if not ((tail.scenario >= 0) & (tail.scenario < tail.count)).all():
        raise SettingError("the tail lacks scenarios of some of its losses: read it from the worst loss on (`head`)")
    count = np.zeros((sections, rows, size), dtype=np.int64)
    first, second = np.zeros((levels, sections, rows, size)), np.zeros((levels, rows, size))
    named, depth = tail.scenario.ravel(), tail.scenario.shape[1]
    index, quadratic = np.empty(len(named), dtype=np.int64), np.empty(len(named))
    order = np.argsort(named)
    ordered = named[order]
    step = unit * max(1, _CELLS // (rows * unit))
    for start in range(0, tail.count, step):
        stop = min(start + step, tail.count)
        q = loss(scenarios.moves(start, stop))  # [R, n]
        found = _places(q, partition.cut)
        own = section_of(np.arange(start, stop), sections, unit) * size
        for r in range(rows):
            count[:, r] += np.bincount(own + found[r], minlength=sections * size).reshape(sections, size)
            for a in range(levels):
                over = np.flatnonzero(q[r] > partition.knot[r, a])
                x = q[r, over] - partition.knot[r, a]
                sums = np.bincount(own[over] + found[r, over], x, sections * size)
                first[a, :, r] += sums.reshape(sections, size)
                second[a, r] += np.bincount(found[r, over], x * x, size)
        low, high = np.searchsorted(ordered, (start, stop)).tolist()
        here = order[low:high]
        row, scenario = here // depth, named[here] - start
        index[here], quadratic[here] = found[row, scenario], q[row, scenario]
    worst = quadratic.reshape(rows, depth)
    excess = {}
    for a, level in enumerate(partition.levels):
        knot = partition.knot[:, a]
        beyond = np.maximum(worst - knot[:, None], 0.0)
        excess[level] = Excess(knot, partition.expected[:, a], first[a], second[a], beyond)
    return Strata(partition.probability, count, index.reshape(rows, depth), unit, excess).joined()


def _places(q: Floats, cut: Floats) -> Ints:
    """The stratum of each quadratic, [R, n]: how many cuts it does not exceed."""
    found = np.full(q.shape, cut.shape[1], dtype=np.int64)
    for r in range(len(q)):
        far = np.flatnonzero(q[r] > cut[r, -1]) if cut.shape[1] else np.zeros(0, np.int64)
        found[r, far] = np.searchsorted(-cut[r], -q[r, far], side="right")
    return found
