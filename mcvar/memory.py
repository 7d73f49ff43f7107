"""How much memory a run takes, decided before it starts."""

from __future__ import annotations

import os
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

from mcvar import measures
from mcvar.errors import CapacityError, SettingError
from mcvar.shards import chunk_for, memory_per_row

_SHARE = 0.7  # of the free memory, unless the user names an amount
_BASE = 400 * 2**20  # interpreter, libraries, market and book


@dataclass(frozen=True)
class Plan:
    """What a run takes.

    Parameters
    ----------
    depth : int
        K, losses kept a row.
    rows : int
        Rows at once.
    chunk : int
        Scenarios a task.
    workers : int
        Threads.
    memory : int
        Bytes, about, at the peak.
    """

    depth: int
    rows: int
    chunk: int
    workers: int
    memory: int


def plan(
    *,
    rows: int,
    instruments: int,
    count: int,
    levels: Sequence[float],
    confidence: float,
    workers: int = 0,
    memory_gb: float = 0.0,
) -> Plan:
    """Find how many rows fit at once.

    Parameters
    ----------
    rows, instruments, count : int
        R, I, N.
    levels, confidence
        See `mcvar.measures`; they decide the depth of the tail.
    workers : int
        0: one a core.
    memory_gb : float
        0: most of what is free.

    Raises
    ------
    CapacityError
        Not even one row fits; the message says what would.
    """
    if workers < 0 or not memory_gb >= 0:
        raise SettingError(
            f"executor.workers={workers} and executor.memory_gb={memory_gb:g} must not be negative: 0 means automatic"
        )
    workers = workers or cores()
    depth = measures.depth(count, levels, confidence)
    budget = int(memory_gb * 1e9) if memory_gb else int(_SHARE * free_memory())
    panels = workers * min(instruments, 2048) * 1024 * 8 * 3
    left = budget - _BASE - panels
    chunk = chunk_for(rows)
    most = left // memory_per_row(depth, chunk, workers)
    if most < 1:
        one = memory_per_row(depth, chunk, workers)
        fits = int(count * max(left, 0) / one)
        raise CapacityError(
            f"{budget / 1e9:.2f} GB may be used, but the run takes {(budget - left) / 1e9:.2f} GB and each account "
            f"{one / 1e9:.3f} GB more: raise executor.memory_gb, lower scenarios.count (about {fits} would fit), or "
            f"raise the lowest of measure.levels ({min(levels):g} keeps {depth} losses an account)"
        )
    at_once = min(rows, most)
    return Plan(depth, at_once, chunk, workers, _BASE + panels + at_once * memory_per_row(depth, chunk, workers))


def cores() -> int:
    """Cores that this process may use."""
    return len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count() or 1


def free_memory() -> int:
    """Bytes available on this machine; 4 GB where the system does not say."""
    try:
        for line in Path("/proc/meminfo").read_text().splitlines():
            if line.startswith("MemAvailable:"):
                return int(line.split()[1]) * 1024
    except OSError:
        pass
    return 4 * 10**9
