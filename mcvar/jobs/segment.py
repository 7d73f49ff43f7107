"""The whole tail of some of the scenarios of a run, whatever engine makes them."""

from __future__ import annotations

from mcvar.engines import Device, Reference
from mcvar.moments import Moments
from mcvar.shards import Progress, chunk_for, simulate
from mcvar.sweep import sweep
from mcvar.tail import Candidates, Collector, Tail


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
