"""The scan engine of a run: contracts priced on a grid by mcvar, or risk arrays and parameters from a file."""

from __future__ import annotations

import shutil
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path

import numpy as np
from numpy.typing import NDArray
from scipy import sparse

from mcvar import config as c
from mcvar.api import Prepared
from mcvar.book import take_rows
from mcvar.building.scan import Scan, build_scan
from mcvar.columns import Columns
from mcvar.currencies import conversion
from mcvar.engines.levels import ratio
from mcvar.errors import SettingError
from mcvar.instruments import Kind
from mcvar.io.contracts import Contracts as ContractTerms
from mcvar.io.contracts import described
from mcvar.io.pa2 import read_pa2
from mcvar.io.scan_file import ScanFile
from mcvar.io.scan_tables import read_scan_tables, write_scan_tables
from mcvar.io.spn import read_spn
from mcvar.io.spn_write import write_spn
from mcvar.io.tables import digest, read_table
from mcvar.scan.compare import Scans, alone_scans
from mcvar.scan.exchange import Exchange, margins
from mcvar.scan.exchange_price import price_exchange
from mcvar.scan.grid import SPAN16, Grid
from mcvar.scan.parameters import Parameters
from mcvar.scan.price import scaled
from mcvar.scan.price_contracts import Contracts, commodity_names
from mcvar.scan.span import span

Floats = NDArray[np.float64]
Ints = NDArray[np.int64]
_YEAR = 365 * 86_400_000_000  # microseconds
_LEAST = 0.01  # of a price: what scaled ranges leave of it


@dataclass(frozen=True)
class Priced:
    """Contracts of a run's book, priced on a grid.

    Parameters
    ----------
    run : Prepared
    scan : Scan
    commodity : tuple of str [I]
    contracts : Contracts
    """

    run: Prepared
    scan: Scan
    commodity: tuple[str, ...]
    contracts: Contracts
    inputs: Mapping[str, str] = field(default_factory=dict)

    @property
    def lookahead(self) -> float:
        """Years that pass until the prices of the scenarios."""
        return self.scan.exchange.lookahead

    @property
    def notes(self) -> tuple[str, ...]:
        """What the reader must know."""
        return self.scan.notes

    def scans(self) -> Scans:
        """Margins of the accounts, each in its own currency."""
        exchange, parameters = self.scan.exchange, self.scan.parameters
        found = _margins(self.run, self.contracts, exchange, parameters)
        return _scans(exchange.points.name, self.run, found, self.contracts.arrays.loss * self.contracts.rate[:, None])

    def risk(self, price: float, volatility: float) -> Floats:
        """Scan risk of the accounts with ranges so many times as large."""
        exchange, parameters = self.scan.exchange.scaled(price, volatility), self.scan.parameters
        contracts = _priced(self.run, self.commodity, exchange)
        parameters = None if parameters is None else scaled(parameters, price, volatility)
        return np.asarray(_margins(self.run, contracts, exchange, parameters)[0] / _worth(self.run))

    def record(self) -> dict[str, object]:
        """What run.json says of it."""
        exchange = self.scan.exchange
        return {
            "name": exchange.points.name, "points": len(exchange.points.price),
            "price_range": dict(exchange.price_range.of), "lookahead_years": exchange.lookahead,
        }  # fmt: skip


@dataclass(frozen=True)
class Published:
    """Risk arrays and parameters of a file: prices are not mcvar's.

    Parameters
    ----------
    run : Prepared
    file : ScanFile
    grid : Grid
    inputs : mapping of path to digest
    """

    run: Prepared
    file: ScanFile
    grid: Grid
    inputs: Mapping[str, str]

    @property
    def lookahead(self) -> float:
        """Years that pass until the prices of the scenarios, of all commodities.

        Raises
        ------
        SettingError
            They differ.
        """
        found = {each.lookahead for each in self.file.parameters.commodities}
        if len(found) != 1:
            raise SettingError(
                f"scan.file has commodities with look-aheads of {sorted(365 * each for each in found)} days: a "
                "comparison takes one for all"
            )
        return found.pop()

    @property
    def notes(self) -> tuple[str, ...]:
        """What the reader must know."""
        return self.file.notes

    def scans(self) -> Scans:
        """Margins of the accounts, each in its own currency."""
        market, book, arrays = self.run.given.market, self.run.given.book, self.file.arrays
        rates = {}
        for currency in {*arrays.currency, *(each.currency for each in self.file.parameters.commodities)}:
            if (
                pair := conversion(market, currency, market.currency)
            ) is not None:  # else span says that it has no rate
                rates[currency] = float(ratio(market.factors.level, *pair))
        held = _held(self.run)
        made = span(
            arrays, self.grid, self.file.parameters, held, account=book.row[: book.accounts],
            contract=book.instruments.name, currency=market.currency, rates=rates, workers=self.run.plan.workers,
        )  # fmt: skip
        at = {name: i for i, name in enumerate(arrays.name)}
        place = np.array([at[name] for name in book.instruments.name])  # or span had refused
        rate = np.array([rates[arrays.currency[i]] for i in place])
        found = made.scan, made.worst_scenario, made.requirement, made.nov
        return _scans(self.grid.name, self.run, found, arrays.loss[place] * rate[:, None])

    def record(self) -> dict[str, object]:
        """What run.json says of it."""
        return {"name": self.grid.name, "points": self.file.arrays.points, "lookahead_years": self.lookahead}


def scanner_of(config: c.Config, run: Prepared) -> Priced | Published:
    """The scan engine that a configuration asks for.

    Raises
    ------
    McvarError
        Whatever is wrong with the grid or the file.
    """
    if config.scan.file:
        return _published(config.scan, run)
    given = run.given
    table = read_table(config.book.instruments) if isinstance(config.book, c.FilesBook) else None
    names = commodity_names(given.market, given.book.instruments, table)
    scan = build_scan(
        config.scan, given.market, given.book.instruments, names, variance=given.horizon.variance,
        decay=given.horizon.decay,
    )  # fmt: skip
    return Priced(run, scan, names, _priced(run, names, scan.exchange))


def exported(scanner: Priced | Published) -> Callable[[Path], None]:
    """What writes risk arrays and parameters as tables, and as XML where they have sixteen points.

    Raises
    ------
    SettingError
        A grid without parameters of SPAN.
    """
    if isinstance(scanner, Published):
        arrays, parameters, grid = scanner.file.arrays, scanner.file.parameters, scanner.grid
        contracts = scanner.file.contracts
    elif scanner.scan.parameters is None:
        raise SettingError("job.export writes parameters of SPAN: take scan=span16, or scan.reduction=span")
    else:
        arrays, parameters = scanner.contracts.arrays, scanner.scan.parameters
        grid, contracts = scanner.scan.exchange.points.grid(), _terms(scanner.run)
    date = str(scanner.run.given.market.valuation)[:10].replace("-", "")

    def write(folder: Path) -> None:
        shutil.rmtree(folder, ignore_errors=True)
        write_scan_tables(folder, arrays, parameters)
        if arrays.points == len(SPAN16):
            write_spn(folder / "risk_arrays.spn", arrays, parameters, date=date, grid=grid, contracts=contracts)

    return write


def _terms(run: Prepared) -> ContractTerms:
    """What the book's instruments are."""
    market, i = run.given.market, run.given.book.instruments
    names = [*market.factors.underlying, ""]  # of -1: cash
    expiry = [
        "" if not np.isfinite(years) else str(market.valuation + np.timedelta64(round(years * _YEAR), "us"))
        for years in i.years.tolist()
    ]
    table = Columns.of(
        "instruments", instrument=list(i.name), kind=[Kind(int(kind)).name for kind in i.kind],
        underlying=[names[u] for u in i.underlying.tolist()],
        option_type=["call" if sign > 0 else "put" if sign < 0 else "" for sign in i.sign.tolist()],
        strike=i.strike.tolist(), expiry=expiry,
    )  # fmt: skip
    return described(i.name, table)


def _published(asked: c.ScanConfig, run: Prepared) -> Published:
    path = Path(asked.file)
    if path.is_dir():
        found = read_scan_tables(path, tie=asked.tie)
        inputs = {str(each): digest(each) for each in sorted(path.glob("*.csv"))}
    else:
        readers: dict[str, Callable[..., ScanFile]] = {".pa2": read_pa2, ".spn": read_spn, ".xml": read_spn}
        if path.suffix.lower() not in readers:
            raise SettingError(
                f"scan.file is {asked.file}: give a folder of tables, or a file named .pa2, .spn or .xml"
            )
        found = readers[path.suffix.lower()](path, tie=asked.tie)
        inputs = {str(path): digest(path)}
    grid = found.grid or SPAN16
    if found.arrays.points != len(grid):
        raise SettingError(
            f"scan.file has arrays of {found.arrays.points} points, and {grid.name} has {len(grid)}: give those"
        )
    return Published(run, found, grid, inputs)


def _priced(run: Prepared, commodity: Sequence[str], exchange: Exchange) -> Contracts:
    market, book = run.given.market, run.given.book
    return price_exchange(market, take_rows(book, np.arange(1)), commodity, exchange, run.engine, floor=_LEAST)


def _held(run: Prepared) -> sparse.csr_array:
    return run.given.book.quantity[: run.given.book.accounts]


def _worth(run: Prepared) -> Floats:
    """Units of the run's currency for one of each account's."""
    book, level = run.given.book, run.given.market.factors.level
    return np.array([float(ratio(level, up, down)) for up, down in book.convert[: book.accounts]])


def _scans(name: str, run: Prepared, found: tuple[Floats, Ints, Floats, Floats], loss: Floats) -> Scans:
    """In the accounts' currencies; losses [I, S] are in the run's."""
    risk, worst, requirement, nov = found
    worth = _worth(run)
    return Scans(name, risk / worth, worst, requirement / worth, nov / worth, alone_scans(loss, _held(run)) / worth)


def _margins(
    run: Prepared, contracts: Contracts, exchange: Exchange, parameters: Parameters | None
) -> tuple[Floats, Ints, Floats, Floats]:
    """Scan risk, worst scenario, requirement and net option value in the run's currency."""
    if parameters is None:
        found = margins(contracts, exchange, _held(run))
        return found.scan, found.worst_scenario, found.requirement, found.nov
    rates = dict(zip(contracts.arrays.currency, contracts.rate.tolist(), strict=True))
    made = span(
        contracts.arrays, exchange.points.grid(), parameters, _held(run), currency=run.given.market.currency,
        rates=rates, workers=run.plan.workers,
    )  # fmt: skip
    return made.scan, made.worst_scenario, made.requirement, made.nov
