"""Split, map, merge: an engine's P&L of many scenarios becomes a tail and moments.

Chunks of scenarios are mapped over threads (numpy, BLAS and scipy release the interpreter lock)
and taken in again in scenario order. Moments are kept per block of `SHARD` scenarios and merged in
block order. So the result has the same bits for any chunk size and any number of workers.
"""

from __future__ import annotations

from collections import deque
from collections.abc import Callable, Iterator
from concurrent.futures import Future, ThreadPoolExecutor
from contextlib import AbstractContextManager, nullcontext
from typing import TypeVar

import numpy as np

from mcvar.engines import Engine
from mcvar.engines.device import SHARD
from mcvar.errors import SettingError
from mcvar.moments import Moments
from mcvar.scenarios import BLOCK
from mcvar.tail import Candidates, Collector, Tail, collector_width

CHUNK = 8_192  # scenarios of one task, at most
_CHUNK_BYTES = 256 * 2**20  # P&L of one task, at most, unless a single block is more

Progress = Callable[[int], None]
T = TypeVar("T")


def simulate(
    engine: Engine,
    count: int,
    depth: int,
    *,
    start: int = 0,
    workers: int = 1,
    chunk: int = CHUNK,
    progress: Progress | None = None,
) -> tuple[Tail, Moments]:
    """Run `count` scenarios from `start` on and keep the `depth` worst losses and the moments of every row.

    Parameters
    ----------
    engine : Engine
    count : int
        N.
    depth : int
        K <= N.
    start : int
        The first scenario; the tail has the scenarios' own numbers.
    workers : int
        Threads.
    chunk : int
        Scenarios a task, a multiple of `BLOCK`; does not change any result.
    progress : callable, optional
        Called with the number of scenarios done since the last call.

    Returns
    -------
    tail : Tail
    moments : Moments
        Of the loss.
    """
    if workers < 1:
        raise SettingError(f"executor.workers is {workers}: give at least 1 thread, or 0 for one a core")
    if chunk < BLOCK or chunk % BLOCK or SHARD % chunk:
        raise SettingError(f"the chunk is {chunk}: it must be a multiple of {BLOCK} that divides {SHARD}")
    collector = Collector(engine.rows, depth, chunk, expected=count)
    with _one_blas_thread():
        moments = _collect(engine, start, count, collector, workers, chunk, progress)
        if not collector.complete:  # the pilot of some row was far off: once more without it
            collector = Collector(engine.rows, depth, chunk)
            _collect(engine, start, count, collector, workers, chunk, None)
    return collector.tail(), moments


def _collect(
    engine: Engine, start: int, count: int, collector: Collector, workers: int, chunk: int, progress: Progress | None
) -> Moments:
    """Fill the collector from `count` scenarios from `start` on; returns the moments of the loss."""
    merged: Moments | None = None
    shard: Moments | None = None

    def task(first: int) -> tuple[Candidates, list[Moments]]:
        loss = engine.pnl(first, min(first + chunk, start + count))
        np.subtract(0.0, loss, out=loss)  # not the negative: that of 0 would be -0
        tiles = [Moments.of(loss[:, at : at + BLOCK]) for at in range(0, loss.shape[1], BLOCK)]
        return Candidates.of(loss, first, collector.threshold), tiles

    for first, (found, tiles) in _in_order(task, range(start, start + count, chunk), workers):
        collector.add(found)
        if (first - start) % SHARD == 0:
            merged, shard = _join(merged, shard), None
        for tile in tiles:
            shard = _join(shard, tile)
        if progress is not None:
            progress(found.count)
    moments = _join(merged, shard)
    assert moments is not None  # count >= 1
    return moments


def chunk_for(rows: int) -> int:
    """The largest chunk whose P&L of that many rows stays within the budget of one task."""
    chunk = CHUNK
    while chunk > BLOCK and rows * chunk * 8 > _CHUNK_BYTES:
        chunk //= 2
    return chunk


def memory_per_row(depth: int, chunk: int, workers: int) -> int:
    """Bytes that one more row takes: the collector, the tail made from it, and P&L in flight."""
    return 16 * (collector_width(depth, chunk) + depth) + 24 * chunk * (workers + 1)


def _join(a: Moments | None, b: Moments | None) -> Moments | None:
    if a is None or b is None:
        return b if a is None else a
    return a.merge(b)


def _in_order(task: Callable[[int], T], starts: range, workers: int) -> Iterator[tuple[int, T]]:
    """Results of `task` in the order of `starts`, with at most `workers` + 1 of them under way."""
    if workers == 1:
        yield from ((start, task(start)) for start in starts)
        return
    with ThreadPoolExecutor(workers) as pool:
        waiting: deque[tuple[int, Future[T]]] = deque()
        try:
            for start in starts:
                waiting.append((start, pool.submit(task, start)))
                if len(waiting) > workers:
                    first, result = waiting.popleft()
                    yield first, result.result()
            while waiting:
                first, result = waiting.popleft()
                yield first, result.result()
        finally:
            for _, result in waiting:
                result.cancel()


def _one_blas_thread() -> AbstractContextManager[object]:
    """The workers are the threads; BLAS must not add its own to each.

    threadpoolctl comes with the package; a bare node without it is only slower.
    """
    try:
        from threadpoolctl import threadpool_limits
    except ImportError:
        return nullcontext()
    limits: AbstractContextManager[object] = threadpool_limits(1, user_api="blas")
    return limits
