"""Contracts of the book, priced on a grid by mcvar's own pricers."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray
from scipy import sparse

from mcvar.book import take_rows
from mcvar.building.scan.build import Scan, build_scan
from mcvar.columns import Columns
from mcvar.config import Config
from mcvar.export import Files, export_files, stated_of
from mcvar.io.scan.grid_file import grid_text
from mcvar.jobs.compare import ScanOf
from mcvar.market import DAYS_PER_YEAR
from mcvar.scan.comparison.compare import Scans
from mcvar.scan.exchange import text as exchange_text
from mcvar.scan.exchange.margins import ScanMargins, margins
from mcvar.scan.exchange.price import price_exchange
from mcvar.scan.exchange.system import Exchange
from mcvar.scan.pricing.contracts import Contracts, commodity_names
from mcvar.scan.span.algorithm import span
from mcvar.scan.span.breakdown import Breakdown
from mcvar.scan.span.margins import Margins
from mcvar.scan.span.text import text
from mcvar.scanners.desk import Desk
from mcvar.settings.scan import ScanConfig

Floats = NDArray[np.float64]
_LEAST = 0.01  # of a price: what ranges that are tried out leave of it


@dataclass(frozen=True)
class Priced:
    """A scan engine on mcvar's own risk arrays.

    Parameters
    ----------
    desk : Desk
    scan : Scan
    commodity : tuple of str [I]
    contracts : Contracts
    """

    desk: Desk
    scan: Scan
    commodity: tuple[str, ...]
    contracts: Contracts

    @property
    def name(self) -> str:
        """Of the grid."""
        return self.scan.exchange.points.name

    @property
    def inputs(self) -> Mapping[str, str]:
        """Files that were read, with their digests."""
        return self.scan.inputs

    @property
    def horizon(self) -> float:
        """Years of moves that the ranges are of; NaN: nobody said."""
        return self.scan.horizon

    @property
    def lookahead(self) -> float:
        """Years that pass until the prices of the scenarios."""
        return self.scan.exchange.lookahead

    @property
    def notes(self) -> tuple[str, ...]:
        """What the reader must know."""
        return self.scan.notes

    def margins(self) -> Margins | ScanMargins:
        """Of all accounts, in the run's currency."""
        return _margins(self.desk, self.contracts, self.scan.exchange, self.desk.held)

    def scans(self) -> Scans:
        """As a side of a comparison, each account in its currency."""
        alone = _margins(self.desk, self.contracts, self.scan.exchange, self.desk.units)
        return self.desk.scans(self.name, self.margins(), alone)

    @property
    def ranged(self) -> ScanOf:
        """What gives the risk component of the accounts with ranges so many times as large."""
        return self._ranged

    def _ranged(self, price: float, volatility: float) -> Floats:
        exchange = self.scan.exchange.scaled(price, volatility)
        contracts = _contracts(self.desk, self.commodity, exchange, floor=_LEAST)
        return np.asarray(_margins(self.desk, contracts, exchange, self.desk.held).risk / self.desk.worth)

    def breakdown(self, row: int) -> str:
        """Every step of an account's margin, to be checked by hand."""
        desk, exchange, held = self.desk, self.scan.exchange, self.desk.held[[row]]
        made = _margins(desk, self.contracts, exchange, held, desk.account[row : row + 1])
        if isinstance(made, Margins):
            said = text(Breakdown.of(made, 0))
        else:
            said = exchange_text.text(
                self.contracts, exchange, held, account=desk.account[row], currency=desk.market.currency
            )
        return desk.stated(said, row, float(made.requirement[0]))

    def export(self, config: Config) -> Files:
        """Book, market, arrays and parameters: see `mcvar.export.export_files`."""
        exchange, market, arrays = self.scan.exchange, self.desk.market, self.contracts.arrays
        return export_files(
            config, self.desk.given, arrays, exchange.points, exchange.parameters,
            stated=stated_of(market, DAYS_PER_YEAR * self.horizon), lookahead=self.lookahead,
            scan=grid_text(config.scan, exchange, arrays.commodity, self.horizon),
        )  # fmt: skip

    def record(self) -> dict[str, object]:
        """What run.json says of it."""
        exchange = self.scan.exchange
        return {
            "name": self.name, "points": len(exchange.points.price),
            "price_range": dict(exchange.price_range.of), "volatility_range": dict(exchange.volatility.up.of),
            "relative": exchange.relative, "horizon_years": None if np.isnan(self.horizon) else self.horizon,
            "lookahead_years": exchange.lookahead,
        }  # fmt: skip


def priced(config: ScanConfig, desk: Desk, table: Columns | None) -> Priced:
    """Price the contracts of a book on the grid of a configuration.

    Parameters
    ----------
    table : Columns or None
        Instruments as they were brought, held or not, with `commodity`, perhaps.

    Raises
    ------
    SettingError
        Whatever is wrong with the grid; prices that would reach 0.
    """
    market, instruments, horizon = desk.market, desk.book.instruments, desk.given.horizon
    names = commodity_names(market, instruments, table)
    scan = build_scan(config, market, instruments, names, variance=horizon.variance, decay=horizon.decay, table=table)
    return Priced(desk, scan, names, _contracts(desk, names, scan.exchange))


def _contracts(desk: Desk, commodity: tuple[str, ...], exchange: Exchange, floor: float = 0.0) -> Contracts:
    one = take_rows(desk.book, np.arange(1))  # who holds the contracts does not matter
    return price_exchange(desk.market, one, commodity, exchange, desk.engine, floor=floor)


def _margins(
    desk: Desk, contracts: Contracts, exchange: Exchange, held: sparse.csr_array, account: tuple[str, ...] = ()
) -> Margins | ScanMargins:
    if exchange.parameters is None:
        return margins(contracts, exchange, held)
    rates = desk.rates(contracts.arrays, exchange.parameters)
    return span(
        contracts.arrays, exchange.points.grid(), exchange.parameters, held, account=account,
        currency=desk.market.currency, rates=rates, workers=desk.workers,
    )  # fmt: skip
