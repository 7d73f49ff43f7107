"""`mcvar.simulate_moves`: what a configured model makes of each factor, as a table."""

from __future__ import annotations

import time
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from typing import Any

import pyarrow as pa
import pyarrow.parquet

from mcvar import build
from mcvar.api import engine_of
from mcvar.config import Config
from mcvar.engines.host import free_memory
from mcvar.jobs import moves
from mcvar.limits import check_numbers
from mcvar.market import Market
from mcvar.provenance import provenance
from mcvar.report import digest_of, plain, write_run

_SHARE = 0.5  # of the free memory; quantiles take as much again


@dataclass(frozen=True)
class MovesReport:
    """What was found, and what it was; `record` is the content of run.json."""

    market: Market
    moves: moves.Moves
    record: Mapping[str, Any]

    @property
    def notes(self) -> tuple[str, ...]:
        """What the reader must know."""
        return tuple(self.record["notes"])

    def table(self) -> pa.Table:
        """`factor, kind`, then the columns of `mcvar.jobs.moves.Moves`; a row a factor."""
        factors = self.market.factors
        return pa.table({"factor": factors.name, "kind": [k.value for k in factors.kind], **self.moves.columns})

    def write(self, folder: Path, extra: Mapping[str, Callable[[Path], None]]) -> None:
        """Write moves.parquet, further files and, last, run.json."""
        write_run(folder, {"moves.parquet": partial(pyarrow.parquet.write_table, self.table()), **extra}, self.record)


def simulate_moves(config: Config) -> MovesReport:
    """Simulate the factors of a configuration; its book says only what expires when.

    Raises
    ------
    McvarError
        Whatever is wrong with files or settings.

    Examples
    --------
    >>> from mcvar.config import Config, SimulatedScenarios
    >>> made = simulate_moves(Config(scenarios=SimulatedScenarios(count=2_000)))
    >>> made.table().column_names[:5]
    ['factor', 'kind', 'mean', 'mean_stderr', 'std']
    """
    start = time.perf_counter()
    check_numbers(config)
    engine = engine_of(config)
    given = build.inputs(config)
    budget = int(config.executor.memory_gb * 1e9) or int(_SHARE * free_memory())
    found = moves.run(
        given.market, given.book, given.scenarios, decay=given.horizon.decay, engine=engine, budget=budget
    )
    settings = plain(config)
    record = {
        **provenance(),
        "job": "moves",
        "configuration": settings,
        "configuration_sha256": digest_of(settings),
        "inputs": given.files,
        "engine": {"name": engine.name, "device": engine.device_name},
        "scenarios": given.scenarios.count,
        "steps": given.scenarios.steps,
        "horizon": {"variance_years": given.horizon.variance, "decay_years": given.horizon.decay},
        "fitted": given.fitted,
        "notes": [*given.market.notes, *given.notes],
        "timings": {"total_seconds": time.perf_counter() - start},
    }
    return MovesReport(given.market, found, record)
