"""VaR and expected shortfall of every row of a book."""

from __future__ import annotations

import time
from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np

from mcvar import measures
from mcvar.book import Book, take_rows
from mcvar.engines import MakeEngine, Reference
from mcvar.engines.levels import ratio
from mcvar.errors import McvarError
from mcvar.market import Market
from mcvar.measures import Estimate
from mcvar.memory import Plan
from mcvar.scenarios import Scenarios
from mcvar.shards import Progress, simulate
from mcvar.tail import Tail


@dataclass(frozen=True)
class VarResult:
    """What the job found.

    Parameters
    ----------
    estimates : list of Estimate
        VaR and ES at each level, mean and std; arrays are [R].
    tail : Tail
        The `keep` worst losses of every row.
    drawn : dict of int to Tail
        The whole tails of the worst rows, for pictures.
    settling : int
        Held instruments that expire inside the horizon.
    seconds : float
        From generator to tail.
    revaluations : int
    """

    estimates: list[Estimate]
    tail: Tail
    drawn: dict[int, Tail]
    settling: int
    seconds: float
    revaluations: int


def run(
    market: Market,
    book: Book,
    scenarios: Scenarios,
    *,
    decay: float,
    levels: Sequence[float],
    confidence: float,
    plan: Plan,
    make_engine: MakeEngine = Reference,
    keep: int = 1000,
    draw: int = 4,
    progress: Progress | None = None,
) -> VarResult:
    """Simulate, revalue, reduce.

    Parameters
    ----------
    market, book, scenarios
        What may happen to what is held.
    decay : float
        Years that pass over the horizon.
    levels, confidence
        See `mcvar.measures.measure`.
    plan : Plan
        Workers, chunk, and how many rows fit into memory at once; rows beyond that are further
        passes over the same scenarios, which cost only time.
    make_engine : callable
        The engine's class.
    keep, draw : int
        Losses a row in the result's tail; rows whose whole tail is kept.
    progress : callable, optional
        Called with the number of scenarios done since the last call.
    """
    start = time.perf_counter()
    found: list[list[Estimate]] = []
    tails: list[Tail] = []
    drawn: dict[int, Tail] = {}
    worst: dict[int, float] = {}
    settling = 0
    advance = _in_scenarios(progress, -(-len(book.row) // plan.rows))
    for first in range(0, len(book.row), plan.rows):
        rows = slice(first, min(first + plan.rows, len(book.row)))
        engine = make_engine(market, take_rows(book, rows), scenarios, decay)
        settling = engine.settling
        tail, moments = simulate(
            engine, scenarios.count, plan.depth, workers=plan.workers, chunk=plan.chunk, progress=advance
        )
        estimates = measures.measure(tail, moments, levels, confidence)
        _check_finite(estimates, book, first)
        worst |= severity(highest(estimates).value.tolist(), market, book, first)
        drawn |= {
            r: Tail(tail.loss[r - first, None], tail.scenario[r - first, None], tail.count)
            for r in range(rows.start, rows.stop)
        }
        drawn = {
            r: drawn[r]
            for r in sorted(drawn.keys() & worst.keys(), key=lambda r: (r >= book.accounts, -worst[r]))[:draw]
        }
        tails.append(Tail(tail.loss[:, :keep].copy(), tail.scenario[:, :keep].copy(), tail.count))
        found.append(estimates)
    return VarResult(
        estimates=[Estimate.stack(parts) for parts in zip(*found, strict=True)],
        tail=Tail.stack(tails),
        drawn=drawn,
        settling=settling,
        seconds=time.perf_counter() - start,
        revaluations=len(book.instruments) * scenarios.count * len(found),
    )


def _in_scenarios(progress: Progress | None, passes: int) -> Progress | None:
    """Progress over several passes, told as if it were one."""
    if progress is None or passes == 1:
        return progress
    done = 0

    def advance(scenarios: int) -> None:
        nonlocal done
        before, done = done // passes, done + scenarios
        progress(done // passes - before)

    return advance


def _check_finite(estimates: Sequence[Estimate], book: Book, first: int) -> None:
    for e in estimates:
        bad = np.flatnonzero(~(np.isfinite(e.value) & np.isfinite(e.stderr) & np.isfinite(e.low) & np.isfinite(e.high)))
        if len(bad):
            r = int(bad[0])
            raise McvarError(
                f"{e.measure} of '{book.row[first + r]}' is {e.value[r]} +- {e.stderr[r]}: its losses are too large "
                "for double precision to square. Check the quantities, or state them in larger units"
            )


def severity(var: Sequence[float], market: Market, book: Book, first: int = 0) -> dict[int, float]:
    """VaR [rows from `first` on] in the run's currency, to rank rows by; the netted row is left out."""
    worth = {
        first + r: float(v) * float(ratio(market.factors.level, *book.convert[first + r])) for r, v in enumerate(var)
    }
    worth.pop(len(book.row) - 1, None)
    return worth


def highest(estimates: Sequence[Estimate], measure: str = "var") -> Estimate:
    """The estimate of a measure at its highest level."""
    return max((e for e in estimates if e.measure == measure), key=lambda e: e.level or 0.0)
