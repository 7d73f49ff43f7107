"""`mcvar.find_greeks`: sensitivities of a configured book, as tables."""

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
from mcvar.book import Book
from mcvar.config import Config
from mcvar.jobs import greeks
from mcvar.limits import check_numbers
from mcvar.market import Market
from mcvar.provenance import provenance
from mcvar.report import digest_of, plain, write_run


@dataclass(frozen=True)
class GreeksReport:
    """What was found, and what it was; `record` is the content of run.json."""

    market: Market
    book: Book
    greeks: greeks.Greeks
    record: Mapping[str, Any]

    @property
    def notes(self) -> tuple[str, ...]:
        """What the reader must know."""
        return tuple(self.record["notes"])

    def instruments(self) -> pa.Table:
        """`instrument, value, delta, gamma, vega, theta`; see `mcvar.jobs.greeks.Greeks`."""
        return pa.table({"instrument": self.book.instruments.name, **self.greeks.instrument})

    def accounts(self) -> pa.Table:
        """`account, underlying, value, delta, gamma, vega, theta`; a row for each underlying that an account is on."""
        found = self.greeks
        return pa.table({"account": found.row, "underlying": found.underlying, **found.account})

    def write(self, folder: Path, extra: Mapping[str, Callable[[Path], None]]) -> None:
        """Write greeks.parquet, account_greeks.parquet, further files and, last, run.json."""
        tables = {
            "greeks.parquet": partial(pyarrow.parquet.write_table, self.instruments()),
            "account_greeks.parquet": partial(pyarrow.parquet.write_table, self.accounts()),
        }
        write_run(folder, {**tables, **extra}, self.record)


def find_greeks(config: Config) -> GreeksReport:
    """Sensitivities of the book of a configuration.

    Raises
    ------
    McvarError
        Whatever is wrong with files or settings.

    Examples
    --------
    >>> from mcvar.config import Config
    >>> find_greeks(Config()).instruments().column_names
    ['instrument', 'value', 'delta', 'gamma', 'vega', 'theta']
    """
    start = time.perf_counter()
    check_numbers(config)
    market, book, files = build.market_and_chain(config)
    found = greeks.run(market, book)
    settings = plain(config)
    record = {
        **provenance(),
        "job": "greeks",
        "configuration": settings,
        "configuration_sha256": digest_of(settings),
        "inputs": files,
        "valuation": f"{market.valuation}Z",
        "currency": market.currency,
        "instruments": len(book.instruments),
        "positions": book.positions,
        "notes": list(market.notes),
        "timings": {"total_seconds": time.perf_counter() - start},
    }
    return GreeksReport(market, book, found, record)
