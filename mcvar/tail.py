"""The worst losses of every row: all that VaR and expected shortfall need, kept exactly.

A `Tail` holds the K worst of N losses with their scenarios, so that two tails of different
scenarios merge into the tail of both, in any order: ties go to the lower scenario.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Any, Protocol

import numpy as np
from numpy.typing import NDArray

from mcvar.errors import CapacityError

Floats = NDArray[np.float64]
Ints = NDArray[np.int64]


class Worst(Protocol):
    """What measures read of the worst losses of R rows, wherever those are kept."""

    @property
    def count(self) -> int:
        """N, the scenarios seen."""
        ...

    def at(self, rank: int) -> Floats:
        """The loss of that descending rank (1 = worst) of each row, [R].

        Raises
        ------
        CapacityError
            A rank that is not kept.
        """
        ...

    def excess(self, rank: int) -> tuple[Floats, Floats]:
        """Sums, over the losses worse than that of the rank, of the excess over it and of its square, [R] each."""
        ...

    def head(self, depth: int) -> Tail:
        """The `depth` worst, or as many as are kept."""
        ...

    def row(self, r: int) -> Tail:
        """All that is kept of one row from its worst loss on."""
        ...


@dataclass(frozen=True)
class Tail:
    """The K worst losses of each of R rows, worst first.

    Parameters
    ----------
    loss : ndarray [R, K]
        Descending; loss = -P&L.
    scenario : ndarray [R, K]
    count : int
        N, the scenarios seen.
    weight : ndarray [R, K], optional
        Of the scenarios, of mean 1 over all of them; default: all alike.

    Examples
    --------
    >>> a = Tail.of(np.array([[1.0, 5.0, 3.0]]), 0, depth=2)
    >>> b = Tail.of(np.array([[4.0, 2.0, 6.0]]), 3, depth=2)
    >>> a.merge(b).loss.tolist(), a.merge(b).scenario.tolist(), a.merge(b).count
    ([[6.0, 5.0, 4.0]], [[5, 1, 3]], 6)
    """

    loss: Floats
    scenario: Ints
    count: int
    weight: Floats | None = None

    @classmethod
    def of(cls, loss: Floats, start: int, depth: int) -> Tail:
        """The tail of losses [R, n] in scenarios start, start + 1, ..."""
        rows, n = loss.shape
        scenario = np.broadcast_to(np.arange(start, start + n), (rows, n))
        return cls(*_worst(loss, scenario, depth), count=n)

    def at(self, rank: int) -> Floats:
        """See `Worst.at`."""
        if rank > (kept := self.loss.shape[1]):
            raise CapacityError(
                f"the tail keeps the {kept} worst of {self.count} losses, but a measure reads number {rank}: keep "
                "that many (mcvar.measures.depth), or ask for a higher level"
            )
        return self.loss[:, rank - 1]

    def excess(self, rank: int) -> tuple[Floats, Floats]:
        """See `Worst.excess`."""
        beyond = self.loss[:, : rank - 1] - self.at(rank)[:, None]
        return beyond.sum(axis=1), (beyond * beyond).sum(axis=1)

    def head(self, depth: int) -> Tail:
        """See `Worst.head`."""
        return self._each(lambda values: values[:, :depth].copy())

    def row(self, r: int) -> Tail:
        """See `Worst.row`."""
        return self._each(lambda values: values[r, None])

    def take(self, rows: Ints) -> Tail:
        """Some of the rows, in that order."""
        return self._each(lambda values: values[rows])

    def merge(self, other: Tail) -> Tail:
        """The tail of the scenarios of both, as deep as it is exact in every row; weights are of one tail, not kept.

        See `join`; rows that are known to different depths are cut to the least.
        """
        both, known = self.join(other)
        return both.head(int(known.min(initial=both.loss.shape[1])))

    def join(self, other: Tail) -> tuple[Tail, Ints]:
        """All losses that the two tails of different scenarios keep, and how many of each row are the worst, [R].

        What a tail has cut off comes after its last kept loss in the order (loss descending, scenario ascending). So
        all is known down to the worse of the two last ones. A tail that holds all of its scenarios sets no limit.
        """
        own, others = self.loss.shape[1], other.loss.shape[1]
        loss, scenario, order = _merged(
            np.concatenate([self.loss, other.loss], axis=1), np.concatenate([self.scenario, other.scenario], axis=1)
        )
        known = np.full(len(loss), own + others)
        for tail, kept, last in ((self, own, own - 1), (other, others, own + others - 1)):
            if kept == 0 < tail.count:
                known[:] = 0
            elif kept < tail.count:
                known = np.minimum(known, (order == last).argmax(axis=1) + 1)
        return Tail(loss, scenario, self.count + other.count), known

    @staticmethod
    def stack(parts: Sequence[Tail]) -> Tail:
        """Tails of different rows in the same scenarios, one above the other."""
        loss, scenario = (np.concatenate([getattr(p, name) for p in parts]) for name in ("loss", "scenario"))
        weights = [p.weight for p in parts if p.weight is not None]
        return Tail(loss, scenario, parts[0].count, np.concatenate(weights) if weights else None)

    def _each(self, part: Callable[[NDArray[Any]], NDArray[Any]]) -> Tail:
        weight = None if self.weight is None else part(self.weight)
        return Tail(part(self.loss), part(self.scenario), self.count, weight)


def _merged(loss: Floats, scenario: Ints) -> tuple[Floats, Ints, Ints]:
    """Rows that are two sorted pieces, sorted, and their order: in linear time but for equal losses out of turn."""
    order = np.argsort(-loss, axis=1, kind="stable")
    loss, scenario = np.take_along_axis(loss, order, axis=1), np.take_along_axis(scenario, order, axis=1)
    turned = (loss[:, 1:] == loss[:, :-1]) & (scenario[:, 1:] < scenario[:, :-1])
    for r in np.flatnonzero(turned.any(axis=1)):
        again = np.lexsort((scenario[r], -loss[r]))
        loss[r], scenario[r], order[r] = loss[r, again], scenario[r, again], order[r, again]
    return loss, scenario, order


def _worst(loss: Floats, scenario: Ints, depth: int) -> tuple[Floats, Ints]:
    order = np.lexsort((scenario, -loss), axis=1)[:, :depth]
    return np.take_along_axis(loss, order, axis=1), np.take_along_axis(scenario, order, axis=1)


@dataclass(frozen=True)
class Candidates:
    """Losses of one chunk beyond a threshold, row by row and in scenario order within a row."""

    row: Ints  # [M]
    loss: Floats  # [M]
    scenario: Ints  # [M]
    count: int  # scenarios in the chunk

    @classmethod
    def of(cls, loss: Floats, start: int, threshold: Floats) -> Candidates:
        """What of losses [R, n] in scenarios from `start` on exceeds the row's threshold [R]."""
        at = np.flatnonzero(loss > threshold[:, None])
        row, scenario = np.divmod(at, loss.shape[1])
        scenario += start
        return cls(row, loss.reshape(-1)[at], scenario, loss.shape[1])

    def beyond(self, threshold: Floats) -> Candidates:
        """Those of the candidates that exceed the row's threshold [R]."""
        keep = self.loss > threshold[self.row]
        if keep.all():
            return self
        return Candidates(self.row[keep], self.loss[keep], self.scenario[keep], self.count)


class Collector:
    """Builds the tail of a run chunk by chunk, in scenario order, in memory for about 2 K losses a row.

    The threshold of a row is its K-th worst loss so far: what is not beyond it can never be among
    the K worst, ties included, since later scenarios lose them. Filtering by it keeps the tail
    exact and costs one comparison a value.

    A run of known length can do better: the first chunk is a pilot, whose losses tell about where
    the K-th worst of all will be. The threshold starts there, six standard errors of the pilot's
    count lower; `complete` tells in the end whether every row kept K, which makes the tail exact.

    Parameters
    ----------
    rows, depth : int
        R and K.
    chunk : int
        Most scenarios added at once.
    expected : int
        Scenarios of the whole run, for the pilot; 0: no pilot.
    """

    def __init__(self, rows: int, depth: int, chunk: int, expected: int = 0) -> None:
        capacity = collector_width(depth, chunk)
        self.depth, self.count, self._expected = depth, 0, expected
        self.threshold = np.full(rows, -np.inf)
        self._loss = np.empty((rows, capacity))
        self._scenario = np.empty((rows, capacity), dtype=np.int64)
        self._fill = np.zeros(rows, dtype=np.int64)

    def add(self, found: Candidates) -> None:
        """Take in the next chunk's candidates; they must be later than all before."""
        found = found.beyond(self.threshold)  # a worker may have filtered by an earlier, lower threshold
        extra = np.bincount(found.row, minlength=len(self._fill))
        if (self._fill + extra > self._loss.shape[1]).any():
            self._compact()
        first = np.arange(len(extra)) * self._loss.shape[1] + self._fill - (np.cumsum(extra) - extra)
        at = np.repeat(first, extra)
        at += np.arange(len(at))  # the candidates come row by row
        self._loss.reshape(-1)[at] = found.loss
        self._scenario.reshape(-1)[at] = found.scenario
        self._fill += extra
        self.count += found.count
        if self.count == found.count < self._expected:
            self._start_from_pilot()

    @property
    def complete(self) -> bool:
        """Whether every row holds the K worst of what was seen."""
        return bool((self._fill >= min(self.depth, self.count)).all())

    def tail(self) -> Tail:
        """The tail of all chunks added."""
        self._compact()
        depth = int(self._fill.max(initial=0))
        loss, scenario = self._loss[:, :depth], self._scenario[:, :depth]
        for r in range(len(loss)):
            order = np.argsort(-loss[r], kind="stable")
            loss[r], scenario[r] = loss[r, order], scenario[r, order]
        return Tail(loss.copy(), scenario.copy(), self.count)

    def _start_from_pilot(self) -> None:
        share = self.depth / self._expected
        rank = int(self.count * share + 6 * np.sqrt(self.count * share * (1 - share))) + 1
        if rank >= self.count or (self._fill < self.count).any():
            return
        seen = self._loss[:, : self.count]
        threshold = np.partition(seen, self.count - rank, axis=1)[:, self.count - rank]
        for r, least in enumerate(threshold):
            keep = seen[r] > least
            if (kept := int(keep.sum())) == rank - 1:  # else the row has ties there, and goes without a pilot
                self._loss[r, :kept] = seen[r, keep]
                self._scenario[r, :kept] = self._scenario[r, : self.count][keep]
                self._fill[r], self.threshold[r] = kept, least

    def _compact(self) -> None:
        for r in np.flatnonzero(self._fill > self.depth):
            loss = self._loss[r, : self._fill[r]]
            least = np.partition(loss, len(loss) - self.depth)[len(loss) - self.depth]
            keep = loss > least
            ties = np.flatnonzero(loss == least)[: self.depth - int(keep.sum())]
            keep[ties] = True
            self._loss[r, : self.depth] = loss[keep]
            self._scenario[r, : self.depth] = self._scenario[r, : len(loss)][keep]
            self._fill[r], self.threshold[r] = self.depth, least


def collector_width(depth: int, chunk: int) -> int:
    """Losses a row that a `Collector` holds at once; 16 bytes each."""
    return depth + max(depth, chunk)
