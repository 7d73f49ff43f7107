"""`mcvar.find_margins`: what a scan engine asks of each account, without any simulation."""

from __future__ import annotations

import time
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa
import pyarrow.parquet
from numpy.typing import NDArray

from mcvar import build
from mcvar import config as c
from mcvar.api import engine_of
from mcvar.book import rows_of
from mcvar.engines.host import cores
from mcvar.errors import SettingError
from mcvar.limits import check_limits, check_numbers
from mcvar.provenance import provenance
from mcvar.report import digest_of, plain, write_run
from mcvar.scanners import Desk, scanner_of

Writers = Mapping[str, Callable[[Path], object]]


@dataclass(frozen=True)
class MarginReport:
    """What was found, and what it was.

    Parameters
    ----------
    account, kind, currency : tuple of str [R]
    worst : ndarray [R]
        Number of the scenario behind the scan risk, from 1; 0 where nothing is lost at any.
    steps : mapping of str to ndarray [R]
        `scan`, ..., `nov`, `requirement`, in each account's currency.
    breakdowns : tuple of str
        Of the accounts that were asked for, to be read.
    worth : ndarray [R]
        Units of the run's currency for one of each account's.
    files : mapping of file name to function
        The export; empty where none was asked for.
    record : mapping
        The content of run.json.
    """

    account: tuple[str, ...]
    kind: tuple[str, ...]
    currency: tuple[str, ...]
    worst: NDArray[np.int64]
    steps: Mapping[str, NDArray[np.generic]]
    breakdowns: tuple[str, ...]
    worth: NDArray[np.float64]
    files: Writers
    record: Mapping[str, Any]

    @property
    def notes(self) -> tuple[str, ...]:
        """What the reader must know."""
        return tuple(self.record["notes"])

    def table(self) -> pa.Table:
        """`account, kind, worst_scenario, scan, ..., nov, requirement, currency`: a row an account.

        Between them stand the steps of the grid at hand: `intra, delivery, credit, minimum` of SPAN; of others each
        contingency by its name, and `maintenance`; then `risk`, all that is to cover losses, before net option value.
        """
        return pa.table(
            {
                "account": list(self.account),
                "kind": list(self.kind),
                "worst_scenario": pa.array(self.worst, pa.int64(), mask=self.worst == 0),
                **self.steps,
                "currency": list(self.currency),
            }
        )

    def write(self, folder: Path, extra: Mapping[str, Callable[[Path], object]]) -> None:
        """Write margins.parquet, breakdown.txt where accounts were asked for, further files and, last, run.json."""
        files: dict[str, Callable[[Path], object]] = {
            "margins.parquet": partial(pyarrow.parquet.write_table, self.table()), **self.files, **extra
        }  # fmt: skip
        if self.breakdowns:
            said = "\n\n".join(self.breakdowns) + "\n"
            files["breakdown.txt"] = lambda path: path.write_text(said, encoding="utf-8")
        write_run(folder, files, self.record)


def find_margins(config: c.Config) -> MarginReport:
    """Scan the book of a configuration.

    Parameters
    ----------
    config : Config
        Its `job` is a `ScanJob`, and `scan` the grid.

    Raises
    ------
    McvarError
        Whatever is wrong with files or settings.

    Examples
    --------
    >>> found = find_margins(c.Config(book=c.SampleBook(accounts=5), job=c.ScanJob(accounts=["short-straddle-001"])))
    >>> found.table().column_names[3:]
    ['scan', 'intra', 'delivery', 'credit', 'minimum', 'risk', 'nov', 'requirement', 'currency']
    >>> found.breakdowns[0].splitlines()[0]
    'short-straddle-001, amounts in USD'
    """
    start = time.perf_counter()
    job = config.job
    if not isinstance(job, c.ScanJob):
        raise SettingError(f"job={c.option_name(job)}: find_margins takes job=scan")
    check_numbers(config)
    check_limits(config)
    given = build.inputs(config)
    desk = Desk(given, engine_of(config), config.executor.workers or cores())
    book, chosen = desk.book, own_rows(desk, job.accounts)
    scanner = scanner_of(config.scan, desk)
    files = scanner.export(config) if job.export else {}
    scanning = time.perf_counter()
    made = scanner.margins()
    seconds = time.perf_counter() - scanning
    settings = plain(config)
    record = {
        **provenance(),
        "job": "scan",
        "configuration": settings,
        "configuration_sha256": digest_of(settings),
        "inputs": {**given.files, **scanner.inputs},
        "engine": {"name": desk.engine.name, "device": desk.engine.device_name, "workers": desk.workers},
        "scan": scanner.record(),
        "valuation": f"{desk.market.valuation}Z",
        "currency": desk.market.currency,
        "instruments": len(book.instruments),
        "positions": book.positions,
        "accounts": book.accounts,
        "notes": [*desk.market.notes, *scanner.notes],
        "timings": {"margin_seconds": seconds, "total_seconds": time.perf_counter() - start},
    }
    return MarginReport(
        account=desk.account,
        kind=book.kind[: book.accounts],
        currency=desk.currency,
        worst=np.where(made.scan > 0, made.worst_scenario, 0),
        steps=desk.columns(made),
        breakdowns=tuple(scanner.breakdown(row) for row in chosen),
        worth=desk.worth,
        files=files,
        record=record,
    )


def own_rows(desk: Desk, accounts: list[str]) -> list[int]:
    """Rows of `job.accounts`.

    Raises
    ------
    SettingError
        Unknown ones; parents.
    """
    chosen: list[int] = rows_of(desk.book, accounts, "job.accounts").tolist() if accounts else []
    if parents := [desk.book.row[r] for r in chosen if r >= desk.book.accounts]:
        raise SettingError(f"job.accounts has {', '.join(parents)}, which are sums of accounts: name accounts")
    return chosen
