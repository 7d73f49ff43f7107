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
_BATCH = 16 * SHARD  # scenarios between two looks at the device


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
    """Memory that a row of a run takes for its tail, its pilots' included."""
    pilot = _Pilot.of(total, spans, margin)
    own = 16 * len(spans) * pilot.capacity + 100 * len(spans)
    return own if not pilot.count else max(own, row_bytes(pilot.count, [(r, r) for r in pilot.ranks], margin))


def sweep(
    engine: Device, count: int, spans: Spans, *, margin: float = MARGIN, progress: Callable[[int], None] | None = None
) -> tuple[KeptTail, Moments, NDArray[np.int64]]:
    """Run scenarios 0 to `count`.

    Parameters
    ----------
    spans : sequence of (int, int)
        First and last of the ranks that are wanted.
    margin : float
        Standard errors of the pilot; infinite: no pilot, everything is kept.

    Returns
    -------
    tail : KeptTail
    moments : Moments
        Of the loss.
    failed : ndarray
        Rows of which a wanted rank is not there: to be run again with a wider margin.
    """
    pivot = np.zeros(engine.rows)
    first = min(count, PILOT)
    opening = _Run(engine, first, [(1, 1)], np.inf, pivot)
    pivot = opening.powers[0, :, 0] / first
    run = _Run(engine, count, spans, margin, pivot, opening, progress)
    moments: Moments | None = None
    for k, powers in enumerate(run.powers):
        part = Moments.of_powers(min(SHARD, count - k * SHARD), pivot, powers)
        moments = part if moments is None else moments.merge(part)
    assert moments is not None  # count >= 1
    return KeptTail(run.kept, spans, count), moments, run.failed


class _Run:
    """One pass, after the pilots that it needs. `opening` holds the first scenarios whole."""

    def __init__(
        self,
        engine: Device,
        count: int,
        spans: Spans,
        margin: float,
        pivot: Floats,
        opening: _Run | None = None,
        progress: Callable[[int], None] | None = None,
    ) -> None:
        self.count, self.spans = count, spans
        plan = _Pilot.of(count, spans, margin)
        bounds = Bounds.all(engine.rows) if not plan.count else self._bounds(engine, plan, margin, pivot, opening)
        if not plan.count and len(spans) > 1:
            bounds = Bounds(*(np.repeat(column, len(spans), axis=0) for column in vars(bounds).values()))
        self.kept = engine.kept(bounds, plan.capacity, pivot)
        parts = []
        for start in range(0, count, _BATCH):
            stop = min(start + _BATCH, count)
            parts.append(self.kept.screen(start, stop, SHARD))
            if progress is not None:
                progress(stop - start)
        self.powers = np.concatenate(parts)  # [shards, R, 4]
        self.kept.sort()
        inside, above = self.kept.counts()
        wrong = inside > plan.capacity
        for w, (first, last) in enumerate(spans):
            wrong[w] |= (above[w] >= first) | (above[w] + inside[w] < last)
        self.failed = np.flatnonzero(wrong.any(axis=0))

    def at(self, rank: int) -> tuple[Floats, NDArray[np.int64]]:
        """Loss and scenario of a rank, [R]; -inf where it is not kept."""
        window = next(w for w, (first, last) in enumerate(self.spans) if first <= rank <= last)
        loss, scenario = self.kept.slice(window, rank - 1, 1)
        return loss[:, 0], scenario[:, 0]

    def _bounds(self, engine: Device, plan: _Pilot, margin: float, pivot: Floats, opening: _Run | None) -> Bounds:
        if opening is not None and plan.count == opening.count:
            pilot, opening.spans = opening, [(1, opening.count)]
        else:
            pilot = _Run(engine, plan.count, [(rank, rank) for rank in plan.ranks], margin, pivot, opening)
        stretch = self.count / plan.count
        shape = (len(self.spans), engine.rows)
        low, high = np.full(shape, -np.inf), np.full(shape, np.inf)
        low_at, high_at = np.zeros(shape, np.int64), np.zeros(shape, np.int64)
        for w, (below, above) in enumerate(zip(plan.low, plan.high, strict=True)):
            if below:
                low[w], at = pilot.at(below)
                low_at[w] = np.ceil((at + 1) * stretch)
            if above:
                high[w], at = pilot.at(above)
                high_at[w] = np.floor(at * stretch)
                high[w][at < 0] = np.inf  # the pilot lost it: no bound
        return Bounds(low, low_at, high, high_at)
