"""Margins beside a finished Monte Carlo run: what takes further passes over its scenarios."""

from __future__ import annotations

import logging
from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace
from typing import Any

import numpy as np
from numpy.typing import NDArray

from mcvar.book import Book, take_rows
from mcvar.engines import Device, EngineChoice, Reference
from mcvar.engines.levels import ratios
from mcvar.errors import SettingError
from mcvar.intervals.estimate import Estimate
from mcvar.jobs.exceed import Exceedances, exceedances, row_bytes
from mcvar.jobs.var import VarResult
from mcvar.market import Market
from mcvar.memory import Plan
from mcvar.precision import Precision
from mcvar.sampling import Plain
from mcvar.scan.comparison.compare import Compared, Scans, compare
from mcvar.scan.comparison.groups import Group, summarised
from mcvar.scan.comparison.ranges import Solution, sensitivity
from mcvar.scan.pricing.contracts import optional
from mcvar.scenarios import Explicit, Scenarios, Simulated
from mcvar.tail import Tail

Floats = NDArray[np.float64]
Ints = NDArray[np.int64]
ScanOf = Callable[[float, float], Floats]  # multiples of the price and volatility ranges -> risk components [R]
DRAWN = 200_000  # scenarios whose losses are drawn, at most
_log = logging.getLogger(__name__)


@dataclass(frozen=True)
class Simulation:
    """A Monte Carlo run: what it was made of, and what it found.

    Parameters
    ----------
    market, book, scenarios
    decay : float
        Years that pass over the horizon.
    engine : EngineChoice
    plan : Plan
        Of the run.
    result : VarResult
    """

    market: Market
    book: Book
    scenarios: Scenarios
    decay: float
    engine: EngineChoice
    plan: Plan
    result: VarResult

    @property
    def count(self) -> int:
        """N, the scenarios that were run."""
        return self.result.tail.count

    @property
    def exact(self) -> EngineChoice:
        """The engine of further passes: what mixed precision settles in double is in double here."""
        return self.engine.doubled if self.engine.precision is Precision.mixed else self.engine

    def estimate(self, measure: str, level: float) -> Estimate:
        """VaR or ES of the accounts at a level.

        Raises
        ------
        SettingError
            It was not measured.
        """
        for each in self.result.estimates:
            if (each.measure, each.level) == (measure, level):
                return each.take(np.arange(self.book.accounts))
        levels = sorted({each.level for each in self.result.estimates if each.measure == "var" and each.level})
        raise SettingError(
            f"the comparison is at level {level:g}, and the run measured {', '.join(f'{each:g}' for each in levels)}: "
            "add it to measure.levels, or compare at one of these"
        )

    @property
    def worth(self) -> Floats:
        """Units of the run's currency for one of each account's, [accounts]."""
        return ratios(self.market.factors.level, self.book.convert[: self.book.accounts])


@dataclass(frozen=True)
class Comparison:
    """What was found of one engine beside Monte Carlo."""

    compared: Compared
    groups: list[Group]
    solutions: list[Solution]


def compare_all(
    run: Simulation,
    scans: Sequence[Scans],
    level: float,
    *,
    ranges: Sequence[ScanOf | None] = (),
    alone: Floats | None = None,
) -> list[Comparison]:
    """Compare engines with one Monte Carlo run.

    Parameters
    ----------
    run : Simulation
    scans : sequence of Scans
        Of the book's accounts; the losses beyond all of them are counted in one pass.
    level : float
        Of VaR and ES, and the coverage that is aimed at.
    ranges : sequence of callable or None
        Of each engine, its margins as a function of its scan ranges; None: not to be solved for. Each takes
        `1 + mcvar.scan.comparison.ranges.PASSES` further passes.
    alone : ndarray [accounts], optional
        See `mcvar.jobs.alone.alone_var`.

    Raises
    ------
    SettingError
        Scenarios that are not independent and alike; a level that was not measured; margins of other accounts.
    """
    _check(run, scans)
    measured, value_at_risk, shortfall = run.result.rows, run.estimate("var", level), run.estimate("es", level)
    rows = measured[measured < run.book.accounts]
    if not len(rows):
        raise SettingError("no account of the book was simulated, so there is nothing to compare: run accounts, too")
    known = np.zeros(run.book.accounts, dtype=bool)
    known[rows] = True
    scans = [replace(each, scan=np.where(known, each.scan, np.nan)) for each in scans]
    passes = Passes(run, rows)
    names = ", ".join(each.engine for each in scans)
    _log.info("losses beyond the margins of %s: %s accounts, %s scenarios", names, f"{len(rows):,}", f"{run.count:,}")
    beyond = passes(np.column_stack([each.scan[rows] for each in scans]))
    kinds = run.book.kind[: run.book.accounts]
    found = []
    for at, each in enumerate(scans):
        compared = compare(
            each, value_at_risk, shortfall, scenarios=run.count,
            count=_placed(beyond.count[:, at], rows, known.size, 0),
            excess=_placed(beyond.excess[:, at], rows, known.size, np.nan),
            worst=_placed(beyond.tail.loss[:, 0], rows, known.size, np.nan),
            alone=alone,
        )  # fmt: skip
        scan_of = ranges[at] if at < len(ranges) else None
        solutions = [] if scan_of is None else _solved(passes, compared, scan_of, kinds)
        found.append(Comparison(compared, summarised(compared, kinds, run.worth), solutions))
    return found


class Passes:
    """Further passes over the scenarios of a run, for some of its rows: the engine is made once where all rows fit."""

    def __init__(self, run: Simulation, rows: Ints) -> None:
        self.run, self.rows = run, rows
        self._made: Reference | Device | None = None

    def __call__(self, threshold: Floats) -> Exceedances:
        """Losses beyond thresholds [rows, M], as many rows at once as the run's plan has memory for.

        See `mcvar.jobs.exceed.exceedances`.
        """
        run, parts = self.run, []
        most = (run.plan.budget - run.plan.fixed) // row_bytes(threshold.shape[1], 1)
        most = max(1, min(run.plan.rows, most))
        for at in range(0, len(self.rows), most):
            part = slice(at, at + most)
            made = self._engine(part)
            parts.append(
                exceedances(made, threshold[part], 0, run.count, workers=run.plan.workers, chunk=run.plan.chunk)
            )
        return Exceedances(
            threshold,
            run.count,
            np.concatenate([part.count for part in parts]),
            np.concatenate([part.excess for part in parts]),
            Tail.stack([part.tail for part in parts]),
        )

    def _engine(self, part: slice) -> Reference | Device:
        if self._made is not None and part.start == 0 and part.stop >= len(self.rows):
            return self._made
        self._made, run = None, self.run
        made = run.exact.make(
            run.market, take_rows(run.book, self.rows[part]), run.scenarios, run.decay, width=run.plan.chunk
        )
        if made.rows == len(self.rows):
            self._made = made
        return made


def option_value(market: Market, book: Book) -> Floats:
    """Net option value of each account in its currency: of long less of short options whose premium is paid up front.

    Returns
    -------
    ndarray [accounts]
    """
    still = Reference(market, book, Explicit.of(np.zeros((1, len(market.factors)))), 0.0)
    value = book.quantity[: book.accounts] @ np.where(optional(book.instruments), still.value_0, 0.0)
    return np.asarray(value / ratios(market.factors.level, book.convert[: book.accounts]))


def losses(run: Simulation, rows: Ints) -> Floats:
    """Losses of a few rows in the first scenarios, at most `DRAWN` of them, [rows, n]: for pictures."""
    made = run.exact.make(run.market, take_rows(run.book, rows), run.scenarios, run.decay, width=run.plan.chunk)
    count = min(run.count, DRAWN)
    return np.hstack([0.0 - made.pnl(at, min(at + 8192, count)) for at in range(0, count, 8192)])


def _solved(passes: Passes, compared: Compared, scan_of: ScanOf, kinds: Sequence[str]) -> list[Solution]:
    """What ranges give the coverage that is aimed at, of the accounts that were run."""
    rows = passes.rows

    def probability(threshold: Floats) -> Floats:
        _log.info("scan ranges of %s: losses beyond %d margins an account", compared.scans.engine, threshold.shape[1])
        return passes(threshold).probability

    return sensitivity(
        compared.scans.engine, lambda price, volatility: scan_of(price, volatility)[rows], probability,
        [kinds[r] for r in rows], compared.level,
    )  # fmt: skip


def _placed(values: NDArray[Any], rows: Ints, size: int, missing: float) -> NDArray[Any]:
    whole = np.full(size, missing, dtype=values.dtype)
    whole[rows] = values
    return whole


def _check(run: Simulation, scans: Sequence[Scans]) -> None:
    sampling = run.scenarios.sampling if isinstance(run.scenarios, Simulated) else Plain()
    if not isinstance(sampling, Plain) or run.result.tail.weight is not None:
        raise SettingError(
            "the chance that a loss exceeds a margin is counted over scenarios that are independent and weigh alike: "
            "take sampling=plain"
        )
    for each in scans:
        if len(each.scan) != run.book.accounts:
            raise SettingError(
                f"{each.engine} has margins of {len(each.scan)} accounts, and the book has {run.book.accounts}: give "
                "one of each, NaN where there is none"
            )
