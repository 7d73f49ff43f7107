"""Runs of one book again and again, with other seeds: what each found of every row, and how long it took."""

from __future__ import annotations

import time
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace

import numpy as np
from numpy.typing import NDArray

from mcvar.book import Book, take_rows
from mcvar.engines import Device, EngineChoice, Reference
from mcvar.engines.laws import law_memory
from mcvar.errors import McvarError
from mcvar.intervals.order import Bounds
from mcvar.jobs.passes import Measured, Pass, again, doubled_passes, first_passes, measured
from mcvar.market import Market
from mcvar.measures import Estimate, Measures
from mcvar.memory import EXACT_WIDTH, Plan, plan
from mcvar.moments import Moments
from mcvar.reduction.reduced import Reduced
from mcvar.scenarios import Simulated
from mcvar.shards import Progress
from mcvar.tail import Worst

Floats = NDArray[np.float64]
Ints = NDArray[np.int64]
MEASURES = ("var", "es")  # at each level
ARRAYS = ("value", "stderr", "low", "high")


@dataclass(frozen=True)
class Case:
    """A way of sampling at one number of scenarios, and the intervals that are read from it.

    Parameters
    ----------
    scheme : str
    scenarios : Simulated
        Of any seed.
    readings : mapping of str to Measures
        By the name of the interval, at least one; all of the same levels and confidence.
    """

    scheme: str
    scenarios: Simulated
    readings: Mapping[str, Measures]

    @property
    def count(self) -> int:
        """N."""
        return self.scenarios.count

    @property
    def asked(self) -> Measures:
        """The first reading."""
        return next(iter(self.readings.values()))

    @property
    def measures(self) -> list[tuple[str, float]]:
        """Q measures with their levels."""
        return [(measure, level) for level in self.asked.levels for measure in MEASURES]

    def of(self, seed: int) -> Case:
        """Other draws of it."""
        scenarios = replace(self.scenarios, seed=seed)
        readings = {
            name: asked.redrawn(scenarios) if isinstance(asked, Reduced) else replace(asked, seed=seed)
            for name, asked in self.readings.items()
        }
        return Case(self.scheme, scenarios, readings)


@dataclass(frozen=True)
class Repeated:
    """What K runs of a case found; NaN is an end that a one-sided interval lacks.

    Parameters
    ----------
    value, stderr, low, high : ndarray [K, J, Q, R]
        Of J readings, Q measures (`Case.measures`) and R rows.
    seconds : ndarray [K, J]
        From generator to measures with that reading; without what the engine takes to prepare.
    """

    value: Floats
    stderr: Floats
    low: Floats
    high: Floats
    seconds: Floats

    @property
    def number(self) -> int:
        """K."""
        return len(self.seconds)

    def head(self, number: int) -> Repeated:
        """The first runs."""
        return Repeated(*(getattr(self, name)[:number] for name in (*ARRAYS, "seconds")))

    @staticmethod
    def joined(parts: Sequence[Repeated]) -> Repeated:
        """All runs, in turn."""
        return Repeated(*(np.concatenate([getattr(p, name) for p in parts]) for name in (*ARRAYS, "seconds")))


@dataclass(frozen=True, kw_only=True)
class Gathered(Measures):
    """What of a tail several readings take together; it is kept for them, and not read."""

    parts: tuple[Measures, ...]

    @classmethod
    def of(cls, parts: Sequence[Measures]) -> Gathered:
        """Readings of the same levels."""
        return cls(parts[0].levels, parts[0].confidence, parts=tuple(parts))

    @property
    def whole(self) -> bool:
        """See `Settings.whole`."""
        return any(part.whole for part in self.parts)

    @property
    def row_bytes(self) -> int:
        """See `Measures.row_bytes`."""
        return max(part.row_bytes for part in self.parts)

    def ranks(self, count: int, level: float) -> Bounds:
        """See `Measures.ranks`: of the first."""
        return self.parts[0].ranks(count, level)

    def wanted(self, count: int) -> list[int]:
        """See `Measures.wanted`."""
        return sorted({rank for part in self.parts for rank in part.wanted(count)})

    def spans(self, count: int, keep: int) -> list[tuple[int, int]]:
        """See `Measures.spans`."""
        each = [part.spans(count, keep) for part in self.parts]
        return [(min(a for a, _ in same), max(b for _, b in same)) for same in zip(*each, strict=True)]

    def depth(self, count: int) -> int:
        """See `Measures.depth`."""
        return max(part.depth(count) for part in self.parts)

    def read(
        self, tail: Worst, moments: Moments, rows: Ints, names: Sequence[str] | None = None
    ) -> tuple[list[Estimate], None]:
        """Nothing: see the class."""
        return [], None


class Repeater:
    """A market and a book, run again and again; the engine is made once for each law.

    Parameters
    ----------
    market, book
        What may happen to what is held.
    decay : float
        Years that pass over the horizon.
    engine : EngineChoice
    workers : int
        Threads; 0: one a core.
    memory_gb : float
        That a run may take; 0: most of what is free.
    """

    def __init__(
        self, market: Market, book: Book, decay: float, engine: EngineChoice, workers: int = 0, memory_gb: float = 0.0
    ) -> None:
        self.market, self.book, self.decay, self.engine = market, book, decay, engine
        self.workers, self.memory_gb = workers, memory_gb
        self._key: object = None
        self._made: tuple[Reference | Device, Device | None] | None = None

    def run(self, case: Case, seeds: Sequence[int], progress: Progress | None = None) -> Repeated:
        """One run for each seed, read in all of the case's ways.

        Parameters
        ----------
        progress : callable, optional
            Called with the number of scenarios done since the last call.

        Raises
        ------
        CapacityError
            Less memory than one row takes.
        McvarError
            Losses that are not finite.
        """
        asked = Gathered.of(list(case.readings.values()))
        planned = self.plan(case)
        rows = np.arange(len(self.book.row))
        shape = (len(seeds), len(case.readings), len(case.measures), len(rows))
        found = Repeated(**{name: np.full(shape, np.nan) for name in ARRAYS}, seconds=np.zeros(shape[:2]))
        runs = [case.of(seed) for seed in seeds]
        waiting = [(each, list(range(len(seeds)))) for each in first_passes(rows, planned)]
        first, done = len(waiting), 0
        while waiting:
            each, which = waiting.pop(0)
            made, exact = self._engine(each, case.scenarios, planned)
            for k in which:
                own = made.redrawn(runs[k].scenarios)
                doubled = None if exact is None else exact.redrawn(runs[k].scenarios)
                began = time.perf_counter()
                result = measured(
                    own, doubled, each, engine=self.engine, count=case.count, asked=asked, plan=planned, progress=None
                )
                found.seconds[k] += time.perf_counter() - began
                _fill(found, k, runs[k], result, each, self.book)
                if progress is not None and done < first:  # rows that run again are no progress
                    progress((done + 1) * case.count // first - done * case.count // first)
                rest = again(each, result, case.count, planned)
                rest += doubled_passes([each.rows[result.unsettled]], planned)
                waiting += [(other, [k]) for other in rest]
            done += 1
        bad = np.argwhere(~np.isfinite(found.value) | np.isinf(found.stderr))
        if len(bad):
            k, _, q, r = bad[0].tolist()
            measure, level = case.measures[q]
            value, error = found.value[tuple(bad[0])], found.stderr[tuple(bad[0])]
            raise McvarError(
                f"{measure} at {level} of '{self.book.row[r]}' is {value} +- {error} with seed {seeds[k]}: its losses "
                "are too large for double precision to square. Check the quantities, or state them in larger units"
            )
        return found

    def plan(self, case: Case) -> Plan:
        """What a run of the case takes."""
        instruments = self.book.instruments
        return plan(
            rows=len(self.book.row),
            instruments=len(instruments),
            count=case.count,
            asked=Gathered.of(list(case.readings.values())),
            workers=self.workers,
            memory_gb=self.memory_gb,
            engine=self.engine,
            state=law_memory(self.market, case.scenarios, self.decay, instruments),
            positions=self.book.quantity.nnz,
            keep=1,
        )

    def _engine(self, each: Pass, scenarios: Simulated, planned: Plan) -> tuple[Reference | Device, Device | None]:
        """The engine of a pass: the one that is there, if it is of the same rows and law."""
        width = planned.chunk // 2 if each.doubled else planned.chunk
        key = (id(scenarios.law), each.rows.tobytes(), each.doubled, width)  # what is made holds the law
        if self._made is None or key != self._key:
            self._made = None  # the memory is wanted
            chosen = self.engine.doubled if each.doubled else self.engine
            made = chosen.make(self.market, take_rows(self.book, each.rows), scenarios, self.decay, width=width)
            exact = None
            if isinstance(made, Device) and chosen.exact is not None:
                exact = made.beside(chosen.exact, EXACT_WIDTH)
            self._key, self._made = key, (made, exact)
        return self._made


def _fill(found: Repeated, k: int, run: Case, result: Measured, each: Pass, book: Book) -> None:
    """Read run k's estimates of the rows of a pass that count."""
    good = np.setdiff1d(np.arange(len(each.rows)), result.failed)
    nothing = np.zeros(len(each.rows))
    moments = Moments(run.count, nothing, nothing, nothing, nothing)  # what is read of them is not asked for
    names = [book.row[r] for r in each.rows]
    for j, asked in enumerate(run.readings.values()):
        began = time.perf_counter()
        estimates, _ = asked.read(result.tail, moments, each.rows, names)
        at = {(e.measure, e.level): e for e in estimates}
        found.seconds[k, j] += time.perf_counter() - began
        for q, key in enumerate(run.measures):
            for name in ARRAYS:
                getattr(found, name)[k, j, q, each.rows[good]] = getattr(at[key], name)[good]
