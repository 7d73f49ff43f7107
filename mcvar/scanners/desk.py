"""What is scanned: a book in its market, and the engine that revalues it."""

from __future__ import annotations

from dataclasses import dataclass
from functools import cached_property

import numpy as np
from numpy.typing import NDArray
from scipy import sparse

from mcvar.book import Book
from mcvar.build import Inputs
from mcvar.currencies import conversion
from mcvar.engines import EngineChoice
from mcvar.engines.levels import ratio, ratios
from mcvar.market import Market
from mcvar.scan.arrays import RiskArrays
from mcvar.scan.comparison.compare import Scans, alone_scans
from mcvar.scan.exchange.margins import ScanMargins
from mcvar.scan.parameters import Parameters
from mcvar.scan.pricing.contracts import settlement_currencies
from mcvar.scan.span.margins import Margins
from mcvar.scan.span.text import number

Floats = NDArray[np.float64]
_NAMED = 5


@dataclass(frozen=True)
class Desk:
    """A book to be scanned.

    Parameters
    ----------
    given : Inputs
    engine : EngineChoice
    workers : int
        Threads of the SPAN algorithm.
    """

    given: Inputs
    engine: EngineChoice
    workers: int

    @property
    def market(self) -> Market:
        """Its market."""
        return self.given.market

    @property
    def book(self) -> Book:
        """All rows, accounts first."""
        return self.given.book

    @property
    def account(self) -> tuple[str, ...]:
        """Names, [R]."""
        return self.book.row[: self.book.accounts]

    @property
    def currency(self) -> tuple[str, ...]:
        """Of each account, [R]."""
        return self.book.currency[: self.book.accounts]

    @cached_property
    def held(self) -> sparse.csr_array:
        """Contracts that each account holds, signed, [R, I]."""
        return self.book.quantity[: self.book.accounts]

    @cached_property
    def worth(self) -> Floats:
        """Units of the run's currency for one of each account's, [R]."""
        return ratios(self.market.factors.level, self.book.convert[: self.book.accounts])

    @property
    def units(self) -> sparse.csr_array:
        """Rows that hold one long unit of one contract, then as many that hold a short one, [2 I, I]."""
        one = sparse.eye_array(len(self.book.instruments), format="csr")
        return sparse.csr_array(sparse.vstack([one, -one], format="csr"))

    def scans(self, name: str, made: Margins | ScanMargins, alone: Margins | ScanMargins) -> Scans:
        """Margins in the accounts' currencies, as a side of a comparison.

        The risk component is all that covers losses, before net option value: of SPAN scan risk with its charges,
        credits and minimums, of other grids the initial margin.

        Parameters
        ----------
        name : str
        made : Margins or ScanMargins
            Of the accounts, in the run's currency.
        alone : Margins or ScanMargins
            Of `units`.
        """
        worth, long, short = self.worth, *np.split(alone.risk, 2)
        return Scans(
            name, made.risk / worth, np.where(made.scan > 0, made.worst_scenario, 0), made.requirement / worth,
            made.nov / worth, alone_scans(long, short, self.held) / worth,
        )  # fmt: skip

    def rates(self, arrays: RiskArrays, parameters: Parameters) -> dict[str, float]:
        """The run's currency for one unit of each that arrays and charges are in; span says which has no rate."""
        market, level = self.market, self.market.factors.level
        named = {*arrays.currency, *(each.currency for each in parameters.commodities)}
        pairs = {currency: conversion(market, currency, market.currency) for currency in named}
        return {currency: float(ratio(level, *pair)) for currency, pair in pairs.items() if pair is not None}

    def stated(self, breakdown: str, row: int, requirement: float) -> str:
        """A breakdown, which is in the run's currency, with what it comes to in the account's."""
        currency, worth = self.currency[row], float(self.worth[row])
        if currency == self.market.currency:
            return breakdown
        said = f"{number(requirement)} / {number(worth)} = {number(requirement / worth)} {currency}"
        return f"{breakdown}\n{f'in {currency}':<19} {said}"

    def columns(self, made: Margins | ScanMargins) -> dict[str, NDArray[np.generic]]:
        """Every step that has a number for each account, in its currency: columns of margins.parquet."""
        steps: dict[str, Floats] = {"scan": made.scan}
        if isinstance(made, Margins):
            steps |= {name: getattr(made, name) for name in ("intra", "delivery", "credit", "minimum")}
        else:
            steps |= made.contingency | {"maintenance": made.maintenance}
        steps |= {"risk": made.risk, "nov": made.nov, "requirement": made.requirement}
        return {name: step / self.worth for name, step in steps.items()}

    def notes(self) -> tuple[str, ...]:
        """Accounts whose exchange rate stands still in a scan, and moves in Monte Carlo."""
        held, own = self.held.tocoo(), np.array(self.currency)
        settles = np.array(settlement_currencies(self.market, self.book.instruments))
        apart = (own[held.row] != settles[held.col]) & (held.data != 0)
        rows = np.unique(held.row[apart])
        if not len(rows):
            return ()
        names = ", ".join(self.account[r] for r in rows[:_NAMED].tolist()) + (", ..." if len(rows) > _NAMED else "")
        money = ", ".join(sorted({*settles[held.col[apart]].tolist()}))
        return (
            f"{len(rows)} accounts ({names}) hold contracts that settle in {money}, not in the account's currency: a "
            "scan converts their losses at today's rate, while in VaR the rate moves too",
        )
