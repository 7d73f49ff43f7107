"""The report: tables, provenance, and how they are written so that a half-written run never looks whole."""

from __future__ import annotations

import dataclasses
import enum
import hashlib
import json
import shutil
import tempfile
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa
import pyarrow.parquet

from mcvar.book import Book
from mcvar.jobs.var import VarResult, highest, severity
from mcvar.market import Market
from mcvar.measures import Estimate

RESULT_FILES = (
    "measures.parquet", "tail.parquet", "moves.parquet", "greeks.parquet", "account_greeks.parquet",
    "contributions.parquet", "incremental.parquet", "comparison.parquet", "comparison_groups.parquet",
    "comparison_ranges.parquet", "comparison.html", "coverage.parquet", "calibration.png", "calibration.svg",
    "loss_tail.png", "loss_tail.svg", "margins.parquet", "breakdown.txt",
    *(
        f"export/{name}"
        for name in (
            "instruments.csv", "positions.csv", "accounts.csv", "factors.csv", "correlation.csv", "history.csv",
            "risk_arrays.csv", "commodities.csv", "tiers.csv", "spreads.csv", "delivery.csv", "risk_arrays.spn",
            "about.json", "scan/exported.yaml",
        )
    ),
    "composed.yaml", "run.json",
)  # fmt: skip


@dataclass(frozen=True)
class Report:
    """What a run found, and what it was.

    Parameters
    ----------
    market, book
        What was valued.
    result : VarResult
    record : mapping
        The content of run.json: configuration, seed, machine, versions, inputs, timings, notes.
    """

    market: Market
    book: Book
    result: VarResult
    record: Mapping[str, Any]

    @property
    def notes(self) -> tuple[str, ...]:
        """What the reader must know about these numbers."""
        return tuple(self.record["notes"])

    def estimate(self, measure: str, level: float | None = None) -> Estimate:
        """One measure of all rows, in the order of `book.row`; without a level, at the highest."""
        if level is None:
            return highest(self.result.estimates, measure)
        for estimate in self.result.estimates:
            if (estimate.measure, estimate.level) == (measure, level):
                return estimate
        known = ", ".join(f"{e.measure} {e.level or ''}".strip() for e in self.result.estimates)
        raise KeyError(f"no {measure} at level {level}: there are {known}")

    def worst_rows(self, count: int) -> list[int]:
        """Rows by their VaR at the highest level in the run's currency, worst first, without the netted row."""
        loss = severity(self.estimate("var").value.tolist(), self.market, self.book)
        return sorted(loss, key=lambda r: -loss[r])[:count]

    def measures(self) -> pa.Table:
        """`account, measure, level, value, stderr, low, high, confidence, method, currency`; a row an estimate.

        Null: an end that a one-sided interval has not, the error of an upper limit, a fit that failed, a row that was
        not run.
        """
        rows, estimates = len(self.book.row), self.result.estimates

        def column(name: str) -> Any:  # NaN is what there is none of
            return pa.array(np.stack([getattr(e, name) for e in estimates], axis=1).reshape(-1), from_pandas=True)

        return pa.table(
            {
                "account": np.repeat(np.array(self.book.row, dtype=object), len(estimates)),
                "measure": [e.measure for e in estimates] * rows,
                "level": pa.array([e.level for e in estimates] * rows, pa.float64()),
                **{name: column(name) for name in ("value", "stderr", "low", "high")},
                "confidence": [e.confidence for e in estimates] * rows,
                "method": [e.method for e in estimates] * rows,
                "currency": np.repeat(np.array(self.book.currency, dtype=object), len(estimates)),
            }
        )

    def tail(self) -> pa.Table:
        """`account, rank (1 = worst), loss, scenario, weight` of the rows that were run; weights are 1 on average."""
        tail, names = self.result.tail, [self.book.row[r] for r in self.result.rows]
        rows, depth = tail.loss.shape
        weight = np.ones(tail.loss.shape) if tail.weight is None else tail.weight
        return pa.table(
            {
                "account": pa.DictionaryArray.from_arrays(
                    np.repeat(np.arange(rows, dtype=np.int32), depth), pa.array(names)
                ),
                "rank": np.tile(np.arange(1, depth + 1), rows),
                "loss": tail.loss.reshape(-1),
                "scenario": tail.scenario.reshape(-1),
                "weight": weight.reshape(-1),
            }
        )

    def write(self, folder: Path, extra: Mapping[str, Callable[[Path], None]]) -> None:
        """Write all files into `folder`, run.json last: it marks a complete run.

        Everything is written into a temporary folder beside and moved file by file, so that a run
        that breaks off leaves either the files of the run before without its run.json, or none.

        Parameters
        ----------
        folder : Path
        extra : mapping of file name to function
            Further files, such as plots: each function writes to the path that it is given.
        """
        tables = {
            "measures.parquet": partial(pyarrow.parquet.write_table, self.measures()),
            "tail.parquet": partial(pyarrow.parquet.write_table, self.tail()),
        }
        write_run(folder, {**tables, **extra}, self.record)


def write_run(folder: Path, files: Mapping[str, Callable[[Path], object]], record: Mapping[str, Any]) -> None:
    """Write the files of a run, run.json last: see `Report.write`.

    Parameters
    ----------
    folder : Path
    files : mapping of file name to function
    record : mapping
        The content of run.json.
    """
    folder.mkdir(parents=True, exist_ok=True)
    scratch = Path(tempfile.mkdtemp(prefix=".unfinished-", dir=folder))
    try:
        for name, write in files.items():
            (scratch / name).parent.mkdir(parents=True, exist_ok=True)
            write(scratch / name)
        (scratch / "run.json").write_text(json.dumps(record, indent=2, ensure_ascii=False, allow_nan=False) + "\n")
        read = {Path(path).resolve() for path in record.get("inputs", {})}
        for name in RESULT_FILES[::-1]:
            if (folder / name).resolve() not in read:  # such as what an earlier run exported there
                (folder / name).unlink(missing_ok=True)
        for name in [*files, "run.json"]:
            (folder / name).parent.mkdir(parents=True, exist_ok=True)
            (scratch / name).replace(folder / name)
    finally:
        shutil.rmtree(scratch, ignore_errors=True)


def plain(value: Any) -> Any:
    """A configuration as JSON can hold it: dataclasses become mappings with their option's class, enums their names."""
    if dataclasses.is_dataclass(value) and not isinstance(value, type):
        fields = {f.name: plain(getattr(value, f.name)) for f in dataclasses.fields(value)}
        return {"type": type(value).__name__, **fields}
    if isinstance(value, enum.Enum):
        return value.name
    if isinstance(value, list | tuple):
        return [plain(item) for item in value]
    return value


def digest_of(value: Any) -> str:
    """SHA-256 of a value's JSON."""
    return hashlib.sha256(json.dumps(value, sort_keys=True).encode()).hexdigest()
