"""Mixed precision: a tail screened in single precision, exact in double for every scenario that may have a wanted rank.

If no loss of the screen errs by more than b, the scenario whose exact loss has rank r is among
those whose screened loss lies within 2 b of the screened one of that rank: all others are on the
side where the screen sees them. These few are revalued in double and put in order; where they are
many, the row is left to an engine in double precision. The bound b comes from an audit, both
precisions on the first scenarios, and from what the formulas can err by. Every revaluation is a
further audit, and the bound is widened where one exceeds it.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from mcvar.engines.device import Device
from mcvar.engines.groups import OptionGroup
from mcvar.engines.levels import ratio
from mcvar.engines.reference import Reference
from mcvar.sweep import KeptTail
from mcvar.tail import Tail

Floats = NDArray[np.float64]
AUDIT = 1024  # scenarios
_SAFETY = 4.0  # times the largest error of the audit
_OPTION_ERROR = 4e-7  # of the larger of forward and strike (kernels/black.cuh), and some room for forwards that rise
_LINEAR_ERROR = 6e-8  # of the value: one rounding
_REACH = 256  # neighbours of a rank, to either side, that are looked at
_CELLS = 2**23  # losses at once


def audited_bound(screen: Device, exact: Device, count: int) -> Floats:
    """A bound on the error of a loss in single precision, [R].

    It is some times the largest difference on the first scenarios, and never less than what the
    formulas can err by: an option may be worthless in all of those scenarios and not in the tail.
    """
    count = min(count, AUDIT)
    seen = np.abs(screen.pnl(0, count) - exact.pnl(0, count)).max(axis=1)
    return np.asarray(np.maximum(_SAFETY * seen, _largest_error(screen.reference)))


def _largest_error(reference: Reference) -> Floats:
    """What the formulas can err by in the sum of a row, [R].

    The errors of different options are independent, so they add in squares; taking the largest error of each, which is
    six of its standard deviations, leaves room for those that are not.
    """
    level, size = reference.market.factors.level, np.zeros(len(reference.book.instruments))
    for panel, _ in reference.panels:
        for group, value_0 in panel:
            if isinstance(group, OptionGroup):
                options = group.options
                terms = np.maximum(np.abs(options.first[:, 0]), np.abs(options.second[:, 0]))
                worth = float(ratio(level, *group.convert))
                size[group.index] = _OPTION_ERROR * worth * np.concatenate([terms, terms[options.formula]])
            else:
                size[group.index] = _LINEAR_ERROR * np.abs(value_0[:, 0])
    rate = np.array([float(ratio(level, *pair)) for pair in reference.book.convert])
    return np.asarray(np.sqrt(reference.book.quantity.power(2) @ size**2) / rate)


@dataclass(frozen=True)
class Rescreened:
    """See `mcvar.tail.Worst`: the losses at the wanted ranks are exact, all others those of the screen.

    Parameters
    ----------
    screen : KeptTail
    exact : mapping of rank to ndarray [R]
    bound : ndarray [R]
        On the error of a loss of the screen.
    """

    screen: KeptTail
    exact: dict[int, Floats]
    bound: Floats

    @classmethod
    def of(
        cls, screen: KeptTail, engine: Device, ranks: Sequence[int], bound: Floats
    ) -> tuple[Rescreened, NDArray[np.int64]]:
        """Revalue what may have one of the ranks.

        Parameters
        ----------
        engine : Device
            In double precision.
        bound : ndarray [R]
            Of `audited_bound`.

        Returns
        -------
        tail : Rescreened
        unsettled : ndarray
            Rows where too many losses lie within the error of a rank, as in a hedged book or one whose losses are
            all equal: they are for an engine in double precision.
        """
        while True:
            near = [_Near.of(screen, rank, bound) for rank in ranks]
            true = _losses(engine, near)
            error = np.zeros(len(bound))
            for part, losses in zip(near, true, strict=True):
                np.maximum.at(error, part.row, np.abs(losses - part.loss))
            if (error <= bound).all():
                exact = {r: n.exact(t) for r, n, t in zip(ranks, near, true, strict=True)}
                return cls(screen, exact, bound), np.flatnonzero(np.any([part.unsettled for part in near], axis=0))
            bound = np.maximum(bound, _SAFETY * error)

    @property
    def count(self) -> int:
        """N."""
        return self.screen.count

    def at(self, rank: int) -> Floats:
        """See `Worst.at`."""
        return self.exact[rank] if rank in self.exact else self.screen.at(rank)

    def excess(self, rank: int) -> tuple[Floats, Floats]:
        """See `Worst.excess`: the screen's sums, about the exact loss."""
        first, second = self.screen.excess(rank)
        shift = self.screen.at(rank) - self.at(rank)
        return first + (rank - 1) * shift, second + 2 * shift * first + (rank - 1) * shift**2

    def head(self, depth: int) -> Tail:
        """See `Worst.head`."""
        return self.screen.head(depth)

    def row(self, r: int) -> Tail:
        """See `Worst.row`."""
        return self.screen.row(r)


@dataclass(frozen=True)
class _Near:
    """What may have one rank: M losses of the screen, row by row and the worst first.

    Parameters
    ----------
    row, scenario, loss : ndarray [M]
    place : ndarray [R]
        Which of its row's losses has the rank in the screen, counted from 0; -1 where the row has none here.
    unsettled : ndarray [R] of bool
        There may be more than what was looked at.
    """

    row: NDArray[np.int64]
    scenario: NDArray[np.int64]
    loss: Floats
    place: NDArray[np.int64]
    unsettled: NDArray[np.bool_]

    @classmethod
    def of(cls, screen: KeptTail, rank: int, bound: Floats) -> _Near:
        first, last = max(rank - _REACH, 1), min(rank + _REACH, screen.count)
        loss, scenario = screen.part(rank, first, last)
        there = scenario >= 0  # a window may end here
        with np.errstate(invalid="ignore"):  # of rows that lack the rank
            near = there & (np.abs(loss - loss[:, rank - first, None]) <= 2 * bound[:, None])
        sure = bound == 0  # as where nothing is held: losses are exact, equal ones however many
        near[sure] = there[sure] & (np.arange(near.shape[1]) == rank - first)
        # At the first and the last loss of all there is nothing beyond; at the ends of what is kept there is.
        ahead, behind = there.argmax(axis=1), there.shape[1] - 1 - there[:, ::-1].argmax(axis=1)
        rows = np.arange(len(there))
        unsettled = (near[rows, ahead] & (first + ahead > 1)) | (near[rows, behind] & (first + behind < screen.count))
        near[unsettled] = False
        place = np.where(near.any(axis=1), rank - first - near.argmax(axis=1), -1)
        return cls(np.nonzero(near)[0], scenario[near], loss[near], place, unsettled)

    def exact(self, true: Floats) -> Floats:
        """The loss of the rank in each row, given those of all that may have it, [R]."""
        order = np.lexsort((-true, self.row))
        begin = np.searchsorted(self.row, np.arange(len(self.place)))
        at = np.minimum(begin + self.place, len(order) - 1)
        return np.where(self.place >= 0, true[order[at]], -np.inf) if len(order) else np.full(len(self.place), -np.inf)


def _losses(engine: Device, near: Sequence[_Near]) -> list[Floats]:
    """Losses of the named rows and scenarios, in as many passes as bound the memory."""
    row, scenario = (np.concatenate([getattr(part, name) for part in near]) for name in ("row", "scenario"))
    named, place = np.unique(scenario, return_inverse=True)
    losses = np.empty(len(row))
    step = max(AUDIT, _CELLS // engine.rows)
    for at in range(0, len(named), step):
        pnl = engine.pnl_at(named[at : at + step])  # [R, n]
        here = np.flatnonzero((place >= at) & (place < at + step))
        losses[here] = 0.0 - pnl[row[here], place[here] - at]
    return np.split(losses, np.cumsum([len(part.row) for part in near])[:-1])
