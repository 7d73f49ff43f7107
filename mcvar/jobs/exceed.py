"""How often, and by how much, losses exceed given thresholds such as margins: one pass over the scenarios of an engine.

A loss exceeds a threshold if it is greater. Kernels count and sum the excess where they make the P&L; the numpy engine
does it block by block. Of each row the worst losses are kept beside.
"""

from __future__ import annotations

from dataclasses import dataclass
from math import ceil, sqrt
from threading import Lock

import numpy as np
from numpy.typing import ArrayLike, NDArray

from mcvar.engines import Device, Reference
from mcvar.engines.device import SHARD
from mcvar.engines.kept import Bounds, Kept
from mcvar.errors import SettingError
from mcvar.scenarios import BLOCK
from mcvar.shards import CHUNK, chunk_for, simulate
from mcvar.tail import Candidates, Collector, Tail

Floats = NDArray[np.float64]
Ints = NDArray[np.int64]


@dataclass(frozen=True)
class Exceedances:
    """Losses of R rows beyond M thresholds each.

    Parameters
    ----------
    threshold : ndarray [R, M]
        NaN where there is none.
    scenarios : int
        N, that were looked at.
    count : ndarray [R, M]
        How many losses are greater.
    excess : ndarray [R, M]
        Sum of what these exceed the threshold by.
    tail : Tail
        The worst losses of each row, whether beyond a threshold or not.

    Examples
    --------
    >>> tail = Tail.of(np.array([[1.0, 5.0, 3.0]]), 0, depth=2)
    >>> found = Exceedances(np.array([[2.5]]), 3, np.array([[2]]), np.array([[3.0]]), tail)
    >>> found.probability.round(3).tolist()
    [[0.667]]
    """

    threshold: Floats
    scenarios: int
    count: Ints
    excess: Floats
    tail: Tail

    @property
    def probability(self) -> Floats:
        """Part of the scenarios with a greater loss, [R, M]; NaN without a threshold."""
        return np.where(np.isnan(self.threshold), np.nan, self.count / self.scenarios)


def exceedances(
    made: Reference | Device,
    threshold: ArrayLike,
    start: int,
    stop: int,
    *,
    keep: int = 1,
    workers: int = 1,
    chunk: int = CHUNK,
) -> Exceedances:
    """Count the losses of scenarios [start, stop) beyond thresholds, and sum what they exceed them by.

    Counts and worst losses are exact for the P&L of the engine; sums are those of doubles, with the same bits for any
    number of workers and any chunk.

    Parameters
    ----------
    made : Reference or Device
        R rows.
    threshold : array_like [R] or [R, M]
        In each row's currency; NaN: none.
    start, stop : int
        0 <= start < stop.
    keep : int
        K >= 1, worst losses of each row that are kept with their scenarios.
    workers, chunk : int
        Of the numpy engine: see `mcvar.shards.simulate`.

    Raises
    ------
    SettingError
        Thresholds of another shape, or infinite.

    Examples
    --------
    >>> from mcvar import build
    >>> from mcvar.config import Config, SimulatedScenarios
    >>> given = build.inputs(Config(scenarios=SimulatedScenarios(count=2_000)))
    >>> made = Reference(given.market, given.book, given.scenarios, given.horizon.decay)
    >>> loss = -made.pnl(0, 2_000)
    >>> found = exceedances(made, loss[:, 7], 0, 2_000)
    >>> bool(np.all(found.count[:, 0] == (loss > loss[:, [7]]).sum(axis=1)))
    True
    """
    limit = np.asarray(threshold, dtype=np.float64)
    limit = limit[:, None] if limit.ndim == 1 else limit
    if limit.ndim != 2 or limit.shape[0] != made.rows:
        raise SettingError(
            f"thresholds have shape {np.shape(threshold)}: give one or more for each of {made.rows} rows"
        )
    if (bad := np.flatnonzero(np.isinf(limit).any(axis=1))).size:
        names = ", ".join(f"'{made.book.row[r]}'" for r in bad[:20].tolist())
        raise SettingError(f"thresholds of {names} are infinite: give finite ones, or NaN for none")
    if keep < 1:
        raise SettingError(f"keep is {keep}: the worst loss of a row is kept at least")
    known = np.where(np.isnan(limit), np.inf, limit)  # what nothing exceeds
    if isinstance(made, Device):
        return _on_device(made, limit, known, start, stop, min(keep, stop - start))
    counting = _Counting(made, known, start)
    tail, _ = simulate(counting, stop - start, min(keep, stop - start), start=start, workers=workers, chunk=chunk)
    return Exceedances(limit, stop - start, counting.count, counting.excess, tail)


class _Counting(Reference):
    """The numpy engine, counting what it makes, in scenario order whatever the order of the work."""

    def __init__(self, made: Reference, limit: Floats, start: int) -> None:
        vars(self).update(vars(made))
        self.limit, self.next = limit, start
        self.count, self.excess = np.zeros(limit.shape, dtype=np.int64), np.zeros(limit.shape)
        self._waiting: dict[int, tuple[int, list[tuple[Ints, Floats]]]] = {}
        self._lock = Lock()

    def pnl(self, start: int, stop: int) -> Floats:
        """See `Engine.pnl`."""
        pnl = super().pnl(start, stop)
        found = [_beyond(pnl[:, at : at + BLOCK], self.limit) for at in range(0, stop - start, BLOCK)]
        with self._lock:
            if start >= self.next:  # else a second look at what is counted
                self._waiting[start] = stop, found
            while self.next in self._waiting:
                self.next, found = self._waiting.pop(self.next)
                for count, excess in found:
                    self.count += count
                    self.excess += excess
        return pnl


def _beyond(pnl: Floats, limit: Floats) -> tuple[Ints, Floats]:
    """Number and sum of the excesses of losses -pnl [R, n] over each limit, [R, M] each."""
    count, excess = np.empty(limit.shape, dtype=np.int64), np.empty(limit.shape)
    for m in range(limit.shape[1]):
        over = np.maximum(-pnl - limit[:, m, None], 0.0)
        count[:, m], excess[:, m] = np.count_nonzero(over, axis=1), over.sum(axis=1)
    return count, excess


def _on_device(made: Device, limit: Floats, known: Floats, start: int, stop: int, keep: int) -> Exceedances:
    """In batches, each as long as all before: a window a threshold, and one for what is worse than the worst so far."""
    rows, windows = limit.shape
    room = _room(keep)
    count, excess = np.zeros((rows, windows), dtype=np.int64), np.zeros((rows, windows))
    loss, scenario = np.empty((rows, 0)), np.empty((rows, 0), dtype=np.int64)
    at = start
    while at < stop:
        end = min(at + max(room, at - start), stop)
        least = loss[:, -1] if at > start else np.full(rows, -np.inf)
        low = np.vstack([known.T, least])
        high = np.vstack([known.T, np.full(rows, np.inf)])
        none = np.zeros(low.shape, dtype=np.int64)
        kept = Kept(made, Bounds(low, none, high, none), room, np.zeros(rows))
        for begin in range(at, end, SHARD):
            kept.screen(begin, min(begin + SHARD, end), SHARD)
        above = kept.above()
        count += above[:windows, :, 0].T.astype(np.int64)
        excess += above[:windows, :, 1].T
        inside, _ = kept.counts()
        kept.sort()
        found, found_at = kept.slice(windows, 0, min(room, end - at))
        crowded = np.flatnonzero(inside[windows] > room)
        loss, scenario = _worst(np.hstack([loss, found]), np.hstack([scenario, found_at]), keep)
        if len(crowded):  # scenarios in the order of their losses, as some given ones are
            del kept
            loss[crowded], scenario[crowded] = _looked_up(made, crowded, start, end, keep)
        at = end
    return Exceedances(limit, stop - start, count, excess, Tail(loss, scenario, stop - start))


def _worst(loss: Floats, scenario: Ints, keep: int) -> tuple[Floats, Ints]:
    """Of losses whose equals come in scenario order."""
    order = np.argsort(-loss, axis=1, kind="stable")[:, :keep]
    return np.take_along_axis(loss, order, axis=1), np.take_along_axis(scenario, order, axis=1)


def _looked_up(made: Device, rows: Ints, start: int, stop: int, keep: int) -> tuple[Floats, Ints]:
    """The worst losses of some rows, from P&L that leaves the engine."""
    step = chunk_for(made.rows)
    collector = Collector(len(rows), keep, step)
    for at in range(start, stop, step):
        loss = 0.0 - made.pnl(at, min(at + step, stop))[rows]
        collector.add(Candidates.of(loss, at, collector.threshold))
    tail = collector.tail()
    return tail.loss, tail.scenario


def row_bytes(thresholds: int, keep: int) -> int:
    """Memory that a row takes where kernels count: of all windows and of what is kept of it.

    Examples
    --------
    >>> row_bytes(1, 1), row_bytes(20, 1)
    (1744, 11472)
    """
    return (thresholds + 1) * (16 * _room(keep) + 48) + 24 * (keep + _room(keep))


def _room(keep: int) -> int:
    """For the losses of a batch worse than the `keep` worst of as many scenarios: about as many, of variance 2 keep."""
    return keep + ceil(8 * sqrt(2 * keep)) + 16
