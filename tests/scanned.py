"""A sixteen-point scan in a few lines, for tests of what margins are compared with, and a finished run to do it."""

from __future__ import annotations

from dataclasses import replace
from functools import lru_cache
from typing import Any

import numpy as np
from numpy.typing import NDArray
from scipy import sparse

from mcvar import api, build
from mcvar import config as c
from mcvar.book import Book
from mcvar.engines import Reference
from mcvar.jobs.compare import Simulation
from mcvar.market import FactorKind, Market
from mcvar.memory import plan
from mcvar.scan.comparison.compare import Basis, Scans, alone_scans
from mcvar.scan.grid import SPAN16
from mcvar.scenarios import Explicit

Floats = NDArray[np.float64]


class Scanned:
    """Scan margins of a book: the price range `psr` [F], the volatility range `vsr`, both of log moves."""

    def __init__(self, market: Market, book: Book, decay: float, psr: Floats, vsr: float) -> None:
        one = sparse.eye_array(len(book.instruments)).tocsr()
        count = len(book.instruments)
        rows = replace(
            book, quantity=one, row=book.instruments.name, currency=(market.currency,) * count,
            convert=np.full((count, 2), -1), kind=("",) * count, accounts=count,
        )  # fmt: skip
        self.market, self.rows, self.decay, self.psr, self.vsr = market, rows, decay, psr, vsr
        self.quantity = book.quantity[: book.accounts]
        self.loss = lru_cache(maxsize=None)(self._loss)

    def _loss(self, price: float, volatility: float) -> Floats:
        kind = np.array(self.market.factors.kind)
        is_price = kind == FactorKind.price
        moves = np.outer(SPAN16.price, np.where(is_price, price * self.psr, 0.0))
        moves += np.outer(SPAN16.volatility, np.where(kind == FactorKind.vol, volatility * self.vsr, 0.0))
        pnl = Reference(self.market, self.rows, Explicit.of(moves), self.decay).pnl(0, len(moves))
        return -pnl * SPAN16.weight

    def margins(self, price: float = 1.0, volatility: float = 1.0) -> tuple[Floats, NDArray[np.int64]]:
        """Scan margins and the scenario of the largest commodity's."""
        loss, of = self.loss(price, volatility), np.asarray(self.rows.instruments.underlying)
        each = np.stack([self.quantity[:, of == u] @ loss[of == u] for u in np.unique(of)], axis=1)
        risk = np.maximum(each.max(axis=2), 0.0)
        largest = risk.argmax(axis=1)
        at = np.arange(len(risk))
        return risk.sum(axis=1), np.where(risk.sum(axis=1) > 0, each[at, largest].argmax(axis=1) + 1, 0)

    def alone(self) -> tuple[Floats, Floats]:
        """Margins of one long and one short contract."""
        loss = self.loss(1.0, 1.0)
        return np.maximum(loss.max(axis=1), 0.0), np.maximum(-loss.min(axis=1), 0.0)

    def scans(self, name: str = "span16") -> Scans:
        scan, worst = self.margins()
        none = np.full(len(scan), np.nan)
        return Scans(name, scan, worst, none, none, alone_scans(*self.alone(), self.quantity))


def finished(config: c.Config) -> tuple[Simulation, dict[str, Any], float]:
    """A Monte Carlo run as job=compare would have it: what it was made of, its record, its horizon in years."""
    report = api.run(config)
    given, engine = build.inputs(config), api.engine_of(config)
    asked = api.measures_of(config.measure, given.scenarios)
    planned = plan(
        rows=len(given.book.row), instruments=len(given.book.instruments), count=given.scenarios.count, asked=asked,
        workers=config.executor.workers, engine=engine, positions=given.book.quantity.nnz,
    )  # fmt: skip
    run = Simulation(given.market, given.book, given.scenarios, given.horizon.decay, engine, planned, report.result)
    return run, dict(report.record), given.horizon.variance


def scanned(run: Simulation, horizon: float, sigmas: float = 2.6, vsr: float = 0.10) -> Scanned:
    law: Any = run.scenarios
    return Scanned(run.market, run.book, run.decay, sigmas * law.law.first_deviation, vsr)


def basis(run: Simulation, horizon: float) -> Basis:
    return Basis(horizon, run.decay, run.book.currency[: run.book.accounts])
