"""VaR and expected shortfall of every row of a book, with as many scenarios as a precision takes."""

from __future__ import annotations

import time
from dataclasses import replace

import numpy as np
from numpy.typing import NDArray

from mcvar.book import Book, take_rows
from mcvar.engines import Device, EngineChoice, Precision, Reference
from mcvar.engines.levels import ratio
from mcvar.errors import CapacityError, SettingError
from mcvar.jobs.until import Reached, check_memory, reach, unit_of
from mcvar.jobs.var import VarResult, check_finite, highest, severity, worst_of
from mcvar.market import Market
from mcvar.measures import Measures, certain
from mcvar.memory import EXACT_WIDTH, Plan
from mcvar.rescreen import audited_bound
from mcvar.scenarios import Explicit, Simulated
from mcvar.shards import Progress
from mcvar.until import Until

Floats = NDArray[np.float64]
Ints = NDArray[np.int64]


def run(
    market: Market,
    book: Book,
    scenarios: Simulated | Explicit,
    *,
    decay: float,
    asked: Measures,
    until: Until,
    plan: Plan,
    engine: EngineChoice,
    keep: int = 1000,
    draw: int = 4,
    rows: Ints | None = None,
    progress: Progress | None = None,
) -> tuple[VarResult, Reached]:
    """Simulate until the rule holds; parameters are those of `mcvar.jobs.var.run`, and the rule.

    Parameters
    ----------
    scenarios : Simulated or Explicit
        Their number is that of the first look.
    plan : Plan
        Of a run of as many: its workers and chunk are taken, and all rows run at once.

    Raises
    ------
    CapacityError
        Rows or, at the cap, tails that do not fit.
    SettingError
        Scenarios that cannot be extended, as given ones, or mixed precision.
    """
    rows = np.arange(len(book.row)) if rows is None else rows
    if engine.precision is Precision.mixed:
        raise SettingError(
            "scenarios.until keeps tails of segments, which engine.precision=mixed has in single precision: take "
            "engine.precision=fp64 or fp32"
        )
    if plan.rows < len(rows):
        raise CapacityError(
            f"scenarios.until runs all rows at once, and {plan.rows} of {len(rows)} fit into memory: raise "
            "executor.memory_gb, or leave scenarios.until away"
        )
    unit = unit_of(scenarios, scenarios.count, until.cap)
    check_memory(len(rows), max(asked.depth(until.cap), keep), plan.budget - plan.fixed)
    start = time.perf_counter()
    held = take_rows(book, rows)
    made = engine.make(market, held, scenarios, decay, width=plan.chunk)
    preparation = time.perf_counter() - start
    accounts = np.flatnonzero(rows < book.accounts)
    reached = reach(
        made, asked, until, accounts if len(accounts) else np.arange(len(rows)), gross_value(made),
        first=scenarios.count, unit=unit, workers=plan.workers, chunk=plan.chunk, rows=rows, keep=keep,
        progress=progress,
    )  # fmt: skip
    estimates, tail = reached.estimates, reached.tail
    if isinstance(made, Device) and engine.exact is not None:
        bound = audited_bound(made, made.beside(engine.exact, EXACT_WIDTH), scenarios.count)
        estimates = [*estimates, certain("fp32_bound", bound, asked.confidence, "audit")]
    check_finite(estimates, book, rows)
    if reached.weight is not None:
        tail = replace(tail, weight=reached.weight[:, : tail.loss.shape[1]])
    worst = worst_of(severity(highest(estimates).value.tolist(), market, book, rows), book, draw)
    place = {int(r): at for at, r in enumerate(rows)}
    result = VarResult(
        estimates=[e.over(rows, len(book.row)) for e in estimates],
        tail=tail.head(keep),
        rows=rows,
        drawn={r: tail.row(place[r]) for r in worst},
        settling=made.settling,
        seconds=time.perf_counter() - start - preparation,
        preparation=preparation,
        revaluations=len(book.instruments) * tail.count,
    )
    return result, reached


def gross_value(made: Reference | Device) -> Floats:
    """What each row of an engine holds, all as if long, in the row's currency, [R].

    What is settled in variation margin is worth nothing: it counts with the value that it is on.
    """
    level, held = made.market.factors.level, made.book.instruments
    rate = np.array([float(ratio(level, *pair)) for pair in made.book.convert])
    paid = np.array([float(ratio(level, *pair)) for pair in held.convert])
    price = level[np.maximum(held.underlying, 0)]
    notional = held.multiplier * np.where(held.inverse, 1.0 / price, price) * paid
    worth = np.abs(made.value_0) + np.where(held.margined, np.abs(notional), 0.0)
    return np.asarray(abs(made.book.quantity) @ worth / rate)
