"""How much memory a run takes, decided before it starts."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

from mcvar.engines import EngineChoice, Launcher
from mcvar.engines.device import SHARD
from mcvar.engines.host import cores, free_memory
from mcvar.engines.segments import LONGEST
from mcvar.errors import CapacityError, SettingError
from mcvar.measures import Measures
from mcvar.shards import chunk_for, memory_per_row
from mcvar.sweep import Spans, row_bytes

_SHARE = 0.7  # of the free memory, unless the user names an amount
_DEVICE_SHARE = 0.9  # of a GPU's: nobody else should be there
_BASE = 400 * 2**20  # interpreter, libraries, market and book
_LEAST_WIDTH = 1024  # scenarios of a tile on a GPU
EXACT_WIDTH = 1024  # scenarios of a tile in double precision beside a run in single


@dataclass(frozen=True)
class Plan:
    """What a run takes.

    Parameters
    ----------
    depth : int
        K, losses kept a row where the whole tail is kept.
    spans : sequence of (int, int)
        Ranks kept: one span from 1 to K for the whole tail (`form` full), else windows around those that are read.
    form : str
        `full` or `window`.
    rows : int
        Rows at once.
    chunk : int
        Scenarios a task of the numpy engine; of a tile, for kernels.
    workers : int
        Threads.
    memory, budget, fixed : int
        Bytes at the peak, about; that were to be had; that the run takes without any row.
    """

    depth: int
    spans: Spans
    form: str
    rows: int
    chunk: int
    workers: int
    memory: int
    budget: int
    fixed: int

    def __str__(self) -> str:
        return (
            f"{self.memory / 1e9:.2f} of {self.budget / 1e9:.2f} GB: {self.rows:,} rows at once, {self.form} tails, "
            f"tiles of {self.chunk:,} scenarios"
        )


def plan(
    *,
    rows: int,
    instruments: int,
    count: int,
    levels: Sequence[float] = (),
    confidence: float = 0.95,
    asked: Measures | None = None,
    workers: int = 0,
    memory_gb: float = 0.0,
    engine: EngineChoice | None = None,
    state: tuple[int, int] = (1, 0),
    positions: int = 0,
    keep: int = 1000,
) -> Plan:
    """Find how many rows fit at once, and in which form their tails.

    Parameters
    ----------
    rows, instruments, count : int
        R, I, N.
    asked : Measures, optional
        What is measured: it decides the depth of the tail. Default: `levels` with intervals of that `confidence`.
    workers : int
        0: one a core.
    memory_gb : float
        0: most of what is free.
    engine : EngineChoice, optional
        Default: numpy.
    state : (int, int)
        Numbers that a scenario takes until it is valued, and bytes of the law's tables (`engines.laws.law_memory`).
    positions : int
        Entries of the quantities.
    keep : int
        Worst losses of a row that are kept in any case.

    Raises
    ------
    CapacityError
        Not even one row fits; the message says what would.
    """
    if workers < 0 or not memory_gb >= 0:
        raise SettingError(
            f"executor.workers={workers} and executor.memory_gb={memory_gb:g} must not be negative: 0 means automatic"
        )
    workers = min(workers or cores(), 4 * cores())  # more only wait for each other
    asked = (asked or Measures(tuple(levels), confidence)).over(rows)
    depth = max(asked.depth(count), min(keep, count))
    full: Spans = [(1, depth)]
    if engine is None or engine.launcher is None:
        budget = int(memory_gb * 1e9) if memory_gb else int(_SHARE * free_memory())
        fixed = _BASE + workers * min(instruments, 2048) * 1024 * 8 * 3 + state[1]
        chunk = chunk_for(rows)
        forms = {"full": (full, memory_per_row(depth, chunk, workers) + asked.row_bytes)}
    else:
        launcher, on_gpu = engine.launcher, engine.name == "cuda"
        budget = int((_DEVICE_SHARE if on_gpu else _SHARE) * launcher.free_bytes())
        budget = int(memory_gb * 1e9) if memory_gb else budget
        chunk = min(launcher.width, SHARD)
        segments = 2 + positions / LONGEST / rows  # of a row; the netted one has as many as the instruments ask for

        def tile(at: Launcher, width: int, rows: float) -> int:
            real = at.precision.real.itemsize
            sums = real * width * (segments * rows + instruments / LONGEST)
            return int(8 * width * (state[0] + 1) + real * instruments * at.held(width) + sums)

        while on_gpu and tile(launcher, chunk, rows) > budget // 4 and chunk > _LEAST_WIDTH:
            chunk //= 2
        copies = 1 if on_gpu else 3  # of the tables: the law's, the kernels', and one on the way
        fixed = (0 if on_gpu else _BASE) + tile(launcher, chunk, 0) + 250 * instruments + 40 * positions
        fixed += copies * state[1]
        read = depth if asked.whole else min(keep, depth)  # losses of a row that leave the engine
        beside = tile(launcher, chunk, 1) - tile(launcher, chunk, 0) + 16 * read + 300 + asked.row_bytes
        if engine.exact is not None:  # and P&L of both precisions, for the audit
            fixed += tile(engine.exact, EXACT_WIDTH, 0) + 250 * instruments + 40 * positions + copies * state[1]
            beside += tile(engine.exact, EXACT_WIDTH, 1) - tile(engine.exact, EXACT_WIDTH, 0) + 16 * EXACT_WIDTH
        window = asked.spans(count, keep)
        forms = {name: (s, row_bytes(count, s) + beside) for name, s in (("full", full), ("window", window))}
        if asked.whole or budget - fixed >= rows * forms["full"][1] or forms["full"][1] <= forms["window"][1]:
            del forms["window"]
    form, (spans, one) = min(forms.items(), key=lambda item: item[1][1])
    left = budget - fixed
    if left < one:
        takes = f"{budget / 1e9:.3g} GB may be used, but the run takes {fixed / 1e9:.3g} GB and each account "
        needed = f"raise executor.memory_gb to {1.05 * (fixed + one) / 1e9 + 0.005:.2f} or more"
        if left <= 0:
            raise CapacityError(f"{takes}{one / 1e6:.3g} MB more: {needed}")
        raise CapacityError(
            f"{takes}{one / 1e9:.3g} GB more: {needed}, lower scenarios.count, or raise the lowest of measure.levels "
            f"({min(asked.levels):g} reads down to the {depth}-th loss)"
        )
    at_once = min(rows, left // one)
    return Plan(depth, tuple(spans), form, at_once, chunk, workers, fixed + at_once * one, budget, fixed)
