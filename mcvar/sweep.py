"""A run of an engine that keeps the tail where it makes the P&L: pilot, bounds, one pass, and a count that proves it.

A pilot on the first scenarios tells between which losses the wanted ranks of all scenarios will
lie, six standard errors to either side. The pass then keeps only losses between those bounds, and
counts and sums what is worse. If the counts say that a wanted rank lies outside, that row has to
run again; otherwise the result is exact. A pilot of many scenarios has a pilot of its own.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from math import ceil, sqrt

import numpy as np
from numpy.typing import NDArray

from mcvar.engines.device import SHARD, Device
from mcvar.engines.kept import Bounds, Kept
from mcvar.errors import CapacityError
from mcvar.moments import Moments
from mcvar.tail import Tail

Floats = NDArray[np.float64]
Spans = Sequence[tuple[int, int]]  # first and last rank, 1 = worst
PILOT = 4096  # scenarios of the first pilot, all kept
_GROWTH = 64  # scenarios of a run for each of its pilot
MARGIN = 6.0  # standard errors
_SHARDS = 16  # between two looks at the device, unless somebody watches


@dataclass(frozen=True)
class KeptTail:
    """See `mcvar.tail.Worst`: the tail of a run, read where it is kept."""

    kept: Kept
    spans: Spans
    count: int

    def at(self, rank: int) -> Floats:
        """See `Worst.at`."""
        return self.kept.slice(self._window(rank), rank - 1, 1)[0][:, 0]

    def excess(self, rank: int) -> tuple[Floats, Floats]:
        """See `Worst.excess`."""
        return self.kept.excess(self._window(rank), rank - 1)

    def head(self, depth: int) -> Tail:
        """See `Worst.head`."""
        window = self._window(1)
        return Tail(*self.kept.slice(window, 0, min(depth, self.spans[window][1])), self.count)

    def row(self, r: int) -> Tail:
        """See `Worst.row`."""
        window = self._window(1)
        return Tail(*self.kept.slice(window, 0, self.spans[window][1], slice(r, r + 1)), self.count)

    def part(self, rank: int, first: int, last: int) -> tuple[Floats, NDArray[np.int64]]:
        """Losses of the ranks `first` to `last` and their scenarios, from the window that holds `rank`."""
        return self.kept.slice(self._window(rank), first - 1, last - first + 1)

    def failed(self) -> NDArray[np.int64]:
        """Rows that lack a rank of a span: its window was too narrow, or held more than there was room for."""
        inside, above = self.kept.counts()
        wrong = inside > self.kept.capacity
        for w, (first, last) in enumerate(self.spans):
            wrong[w] |= (above[w] >= first) | (above[w] + inside[w] < last)
        return np.flatnonzero(wrong.any(axis=0))

    def _window(self, rank: int) -> int:
        holding = [w for w, (first, last) in enumerate(self.spans) if first <= rank <= last]
        if not holding:
            raise CapacityError(f"the tail keeps the ranks {list(self.spans)} of {self.count}, not {rank}: ask for it")
        return max(holding, key=lambda w: self.spans[w][1])


@dataclass(frozen=True)
class _Pilot:
    """What a run of `count` scenarios asks of its pilot: the ranks there that bound each span."""

    count: int
    low: tuple[int, ...]  # [W], 0: no bound
    high: tuple[int, ...]  # [W], 0: no bound
    capacity: int

    @classmethod
    def of(cls, total: int, spans: Spans, margin: float) -> _Pilot:
        if total <= PILOT or not np.isfinite(margin):
            return cls(0, (), (), total)
        count = max(PILOT, ceil(total / _GROWTH / 1024) * 1024)
        share = count / total
        low, high, most = [], [], 0.0
        for first, last in spans:
            below = ceil(last * share + margin * sqrt(last * share * (1 - share)) + margin)
            above = int(first * share - margin * sqrt(first * share * (1 - share)) - margin)
            low.append(below if below <= count else 0)
            high.append(max(above, 0))
            between = (low[-1] or count) - high[-1]
            most = max(most, (between + margin * sqrt(between) + margin) / share)
        return cls(count, tuple(low), tuple(high), min(ceil(most), total))

    @property
    def ranks(self) -> list[int]:
        return sorted({rank for rank in (*self.low, *self.high) if rank})


def row_bytes(total: int, spans: Spans, margin: float = MARGIN) -> int:
    """Memory that a row of a run takes for its tail, or for that of a pilot if that is more."""
    pilot = _Pilot.of(total, spans, margin)
    own = len(spans) * (16 * pilot.capacity + 100)
    opening = 16 * min(total, PILOT) + 100
    if not pilot.count:
        return max(own, opening)
    return max(own, opening + row_bytes(pilot.count, [(r, r) for r in pilot.ranks], margin))


def sweep(
    engine: Device,
    count: int,
    spans: Spans,
    *,
    start: int = 0,
    margin: float = MARGIN,
    progress: Callable[[int], None] | None = None,
) -> tuple[KeptTail, Moments, NDArray[np.int64]]:
    """Run `count` scenarios from `start` on.

    Parameters
    ----------
    spans : sequence of (int, int)
        First and last of the ranks that are wanted.
    start : int
        The first scenario; the tail has the scenarios' own numbers.
    margin : float
        Standard errors of the pilot; infinite: no pilot, everything is kept.
    progress : callable, optional
        Called with the number of scenarios done since the last call.

    Returns
    -------
    tail : KeptTail
    moments : Moments
        Of the loss.
    failed : ndarray
        Rows of which a wanted rank is not there: to be run again with a wider margin.
    """
    first = min(count, PILOT)
    everything = Bounds.all(engine.rows)
    opening, powers = _run(engine, start, first, [(1, first)], everything, first, np.zeros(engine.rows))
    pivot = powers[0, :, 0] / first
    bounds, capacity = _bounds(engine, start, count, spans, margin, pivot, opening)
    del opening  # its memory is wanted
    tail, powers = _run(engine, start, count, spans, bounds, capacity, pivot, progress)
    moments: Moments | None = None
    for k, sums in enumerate(powers):
        part = Moments.of_powers(min(SHARD, count - k * SHARD), pivot, sums)
        moments = part if moments is None else moments.merge(part)
    assert moments is not None  # count >= 1
    return tail, moments, tail.failed()


def _run(
    engine: Device,
    start: int,
    count: int,
    spans: Spans,
    bounds: Bounds,
    capacity: int,
    pivot: Floats,
    progress: Callable[[int], None] | None = None,
) -> tuple[KeptTail, Floats]:
    """One pass; the tail, and sums of powers [shards, R, 4]."""
    kept = Kept(engine, bounds, capacity, pivot)
    powers = []
    batch = SHARD if progress is not None else _SHARDS * SHARD
    for at in range(start, start + count, batch):
        stop = min(at + batch, start + count)
        powers.append(kept.screen(at, stop, SHARD))
        if progress is not None:
            progress(stop - at)
    kept.sort()
    return KeptTail(kept, spans, count), np.concatenate(powers)


def _bounds(
    engine: Device, start: int, count: int, spans: Spans, margin: float, pivot: Floats, opening: KeptTail
) -> tuple[Bounds, int]:
    """Between which losses the spans of `count` scenarios from `start` on will lie, and room for what is there."""
    plan = _Pilot.of(count, spans, margin)
    if not plan.count:
        return Bounds.all(engine.rows, windows=len(spans)), plan.capacity
    pilot = opening
    if plan.count > opening.count:
        inner = [(rank, rank) for rank in plan.ranks]
        between = _bounds(engine, start, plan.count, inner, margin, pivot, opening)
        pilot, _ = _run(engine, start, plan.count, inner, *between, pivot)
    stretch = count / plan.count
    shape = (len(spans), engine.rows)
    low, high = np.full(shape, -np.inf), np.full(shape, np.inf)
    low_at, high_at = np.zeros(shape, np.int64), np.zeros(shape, np.int64)
    for w, (below, above) in enumerate(zip(plan.low, plan.high, strict=True)):
        if below:
            loss, at = pilot.part(below, below, below)
            low[w], low_at[w] = loss[:, 0], start + np.ceil((at[:, 0] - start + 1) * stretch)
        if above:
            loss, at = pilot.part(above, above, above)
            lost = at[:, 0] < 0  # by the pilot: no bound
            high[w] = np.where(lost, np.inf, loss[:, 0])
            high_at[w] = start + np.floor((at[:, 0] - start) * stretch)
    return Bounds(low, low_at, high, high_at), plan.capacity
