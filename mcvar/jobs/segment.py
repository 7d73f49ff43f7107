"""The whole tail of some of the scenarios of a run, whatever engine makes them, and that of all from such pieces."""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

from mcvar.engines import Device, Reference
from mcvar.moments import Moments
from mcvar.scenarios import BLOCK
from mcvar.shards import Progress, chunk_for, simulate
from mcvar.sweep import sweep
from mcvar.tail import Candidates, Collector, Tail

Floats = NDArray[np.float64]
Ints = NDArray[np.int64]


def whole_tail(
    made: Reference | Device,
    start: int,
    stop: int,
    depth: int,
    *,
    workers: int,
    chunk: int,
    progress: Progress | None = None,
) -> tuple[Tail, Moments]:
    """The `depth` worst losses and the moments of every row in scenarios [start, stop).

    Tails of segments merge into that of all of them (`Tail.merge`), since they name scenarios by their own numbers.

    Parameters
    ----------
    made : Reference or Device
    start, stop : int
        0 <= start < stop.
    depth : int
        K; all losses where that is more than there are.
    workers, chunk : int
        Of the numpy engine: threads, and scenarios a task (see `mcvar.shards.simulate`); neither changes a result.
    progress : callable, optional
        Called with the number of scenarios done since the last call.

    Returns
    -------
    tail : Tail
        With `count` = stop - start.
    moments : Moments
        Of the loss.
    """
    count = stop - start
    depth = min(depth, count)
    if not isinstance(made, Device):
        return simulate(made, count, depth, start=start, workers=workers, chunk=chunk, progress=progress)
    kept, moments, missed = sweep(made, count, [(1, depth)], start=start, progress=progress)
    tail = kept.head(depth)
    if len(missed):  # their pilot was off: without any, in the memory of two tails instead of that of all losses
        del kept
        step = chunk_for(made.rows)
        collector = Collector(len(missed), depth, step)
        for at in range(start, stop, step):
            loss = 0.0 - made.pnl(at, min(at + step, stop))[missed]
            collector.add(Candidates.of(loss, at, collector.threshold))
        again = collector.tail()
        loss, scenario = tail.loss.copy(), tail.scenario.copy()
        loss[missed], scenario[missed] = again.loss, again.scenario
        tail = Tail(loss, scenario, count)
    return tail, moments


def extended(made: Reference | Device, tail: Tail, part: Tail, least: int, most: int) -> Tail | None:
    """The tail of all scenarios before some, and of these: from `least` to `most` deep, and None where less is known.

    Of equal losses the lower scenario is the worse. So the worst losses of a row whose losses are all equal, or of one
    that often loses all that it can, are the first scenarios of all, and its tail of those ends in the midst of a run
    of equal losses. How many there are in all is known; which scenarios come next is found by valuing them again,
    and these are few where equal losses are many.

    Parameters
    ----------
    made : Reference or Device
    tail, part : Tail
        Of scenarios [0, start) and [start, stop).
    """
    both, known = tail.join(part)
    short = np.flatnonzero(known < least)
    depth = int(known.min(initial=most, where=known >= least))
    at = known[short] - 1
    value, after = both.loss[short, at], both.scenario[short, at]
    sure = (both.loss[short] >= value[:, None]).sum(axis=1)  # losses, whatever their scenarios
    depth = min(depth, int(sure.min(initial=depth)))
    if depth < least:
        return None
    found = _next_equal(made, short, value, after, depth - known[short], both.count)
    for r, first, scenarios in zip(short.tolist(), known[short].tolist(), found, strict=True):
        both.scenario[r, first:depth] = scenarios
    return both.head(depth)


def _next_equal(
    made: Reference | Device, rows: Ints, value: Floats, after: Ints, wanted: Ints, stop: int
) -> list[Ints]:
    """Of each of the rows, the first `wanted` scenarios beyond `after` with a loss of that value."""
    found = [np.zeros(0, dtype=np.int64) for _ in rows]
    lacking, at = np.flatnonzero(wanted > 0), 0
    while len(lacking):
        at = max(at, (int(after[lacking].min()) + 1) // BLOCK * BLOCK)
        least = max(int(wanted[i]) - len(found[i]) for i in lacking.tolist())
        step = min(-(-least // BLOCK) * BLOCK, chunk_for(made.rows))
        loss = 0.0 - made.pnl(at, min(at + step, stop))[rows[lacking]]
        for i, losses in zip(lacking.tolist(), loss, strict=True):
            here = at + np.flatnonzero(losses == value[i])
            found[i] = np.concatenate([found[i], here[here > after[i]]])[: wanted[i]]
        at += step
        lacking = np.array([i for i in lacking if len(found[i]) < wanted[i]], dtype=np.int64)
    return found
