"""VaR and expected shortfall of every row of a book."""

from __future__ import annotations

import time
from collections.abc import Sequence
from dataclasses import dataclass, replace
from math import isnan

import numpy as np
from numpy.typing import NDArray

from mcvar.book import Book, take_rows
from mcvar.engines import Device, EngineChoice
from mcvar.engines.levels import ratio
from mcvar.errors import McvarError
from mcvar.intervals import joint
from mcvar.jobs.passes import Measured, again, doubled_passes, first_passes, measured, whole
from mcvar.market import Market
from mcvar.measures import Estimate, Measures
from mcvar.memory import EXACT_WIDTH, Plan
from mcvar.precision import Precision
from mcvar.scenarios import Scenarios
from mcvar.shards import Progress
from mcvar.sweep import row_bytes, sweep
from mcvar.tail import Tail

Floats = NDArray[np.float64]
_NUMPY = EngineChoice("numpy")


@dataclass(frozen=True)
class VarResult:
    """What the job found.

    Parameters
    ----------
    estimates : list of Estimate
        VaR and ES at each level, mean and std, and in single precision the bound on its error; arrays are [R], NaN in
        rows that were not run.
    tail : Tail
        The `keep` worst losses of every row that was run.
    rows : ndarray
        These rows, ascending.
    drawn : dict of int to Tail
        The whole tails of the worst rows, for pictures; empty where memory is too short for them.
    settling : int
        Held instruments that expire inside the horizon.
    seconds, preparation : float
        From generator to measures; before that, to plan the engine.
    revaluations : int
        Instruments times scenarios, in all passes.
    """

    estimates: list[Estimate]
    tail: Tail
    rows: NDArray[np.int64]
    drawn: dict[int, Tail]
    settling: int
    seconds: float
    preparation: float
    revaluations: int


def run(
    market: Market,
    book: Book,
    scenarios: Scenarios,
    *,
    decay: float,
    levels: Sequence[float] = (),
    confidence: float = 0.95,
    asked: Measures | None = None,
    plan: Plan,
    engine: EngineChoice = _NUMPY,
    keep: int = 1000,
    draw: int = 4,
    rows: NDArray[np.int64] | None = None,
    progress: Progress | None = None,
) -> VarResult:
    """Simulate, revalue, reduce.

    Parameters
    ----------
    market, book, scenarios
        What may happen to what is held.
    decay : float
        Years that pass over the horizon.
    asked : Measures, optional
        What is measured. Default: `levels` with intervals of that `confidence`.
    plan : Plan
        Workers, chunk, and how many rows fit into memory at once; rows beyond that are further
        passes over the same scenarios, which cost only time.
    engine : EngineChoice
        What makes the P&L.
    keep, draw : int
        Losses a row in the result's tail; rows whose whole tail is kept.
    rows : ndarray, optional
        Rows of the book that are run, ascending; default: all.
    progress : callable, optional
        Called with the number of scenarios done since the last call.
    """
    start = time.perf_counter()
    rows = np.arange(len(book.row)) if rows is None else rows
    asked = (asked or Measures(tuple(levels), confidence)).over(len(rows), scenarios.seed)
    preparation, revaluations, settling = 0.0, 0, 0
    found: list[_Block] = []
    waiting = first_passes(rows, plan)
    planned = len(waiting)
    advance = _in_scenarios(progress, planned)
    unsettled: list[NDArray[np.int64]] = []
    while waiting:
        each = waiting.pop(0)
        chosen = engine.doubled if each.doubled else engine
        began = time.perf_counter()
        width = plan.chunk // 2 if each.doubled else plan.chunk
        made = chosen.make(market, take_rows(book, each.rows), scenarios, decay, width=width)
        exact = None
        if isinstance(made, Device) and chosen.exact is not None:
            exact = made.beside(chosen.exact, EXACT_WIDTH)
        preparation += time.perf_counter() - began
        settling = made.settling
        result = measured(
            made, exact, each, engine=engine, count=scenarios.count, asked=asked, plan=plan,
            progress=advance if len(found) < planned else None,  # rows that run again are no progress
        )  # fmt: skip
        revaluations += len(made.book.instruments) * scenarios.count
        waiting += again(each, result, scenarios.count, plan)
        unsettled.append(each.rows[result.unsettled])
        if not waiting:
            waiting, unsettled = doubled_passes(unsettled, plan), []
        found.append(_read(result, each.rows, market, book, keep, draw if plan.form == "full" else 0))
        del made, exact, result  # the memory is wanted for the next rows
    blocks = _in_row_order(found)
    worst = severity(highest(blocks.estimates).value.tolist(), market, book, rows)
    drawn = {r: tail for block in found for r, tail in block.drawn.items()}
    if plan.form == "window":
        drawn = _whole_tails(worst_of(worst, book, draw), engine, market, book, scenarios, decay, plan)
    return VarResult(
        estimates=[e.over(rows, len(book.row)) for e in asked.settled(blocks.estimates, blocks.largest)],
        tail=blocks.tail,
        rows=rows,
        drawn={r: drawn[r] for r in worst_of({r: worst[r] for r in drawn}, book, draw)},
        settling=settling,
        seconds=time.perf_counter() - start - preparation,
        preparation=preparation,
        revaluations=revaluations,
    )


def worst_of(severities: dict[int, float], book: Book, count: int) -> list[int]:
    """Accounts before parents, the worst first."""
    return sorted(severities, key=lambda r: (r >= book.accounts, -severities[r]))[:count]


def _whole_tails(
    rows: list[int],
    engine: EngineChoice,
    market: Market,
    book: Book,
    scenarios: Scenarios,
    decay: float,
    plan: Plan,
) -> dict[int, Tail]:
    """Tails of a few rows down to the last rank that is read, by a pass of their own; none if they do not fit."""
    spans, count = whole(plan), scenarios.count
    if not rows or plan.fixed + len(rows) * row_bytes(count, spans) > plan.budget:
        return {}
    if engine.precision is Precision.mixed:
        engine = engine.doubled
    made = engine.make(market, take_rows(book, np.array(rows)), scenarios, decay, width=plan.chunk // 2)
    assert isinstance(made, Device)  # only kernels keep windows
    tail, _, missed = sweep(made, count, spans)
    return {r: tail.row(i) for i, r in enumerate(rows) if i not in missed}


@dataclass(frozen=True)
class _Block:
    """What was found for some rows."""

    rows: NDArray[np.int64]
    estimates: list[Estimate]
    tail: Tail
    drawn: dict[int, Tail]
    largest: list[Floats | None]  # deviations over the rows, where intervals are joint by resampling


def _read(result: Measured, rows: NDArray[np.int64], market: Market, book: Book, keep: int, draw: int) -> _Block:
    """Read what a pass found of the rows that count."""
    good = np.setdiff1d(np.arange(len(rows)), result.failed)
    estimates = [e.take(good) for e in result.estimates]
    head = result.tail.head(keep)
    rows = rows[good]
    check_finite(estimates, book, rows)
    drawn = worst_of(severity(highest(estimates).value.tolist(), market, book, rows), book, draw)
    place = {int(r): int(at) for r, at in zip(rows, good, strict=True)}
    weight = None if result.weight is None else result.weight[good]
    tail = Tail(head.loss[good], head.scenario[good], head.count, None if weight is None else weight[:, :keep])
    whole = {r: result.tail.row(place[r]) for r in drawn}
    if result.weight is not None:
        whole = {r: replace(part, weight=result.weight[place[r], None]) for r, part in whole.items()}
    return _Block(rows, joint.stripped(estimates), tail, whole, joint.largest(estimates))


def _in_row_order(found: Sequence[_Block]) -> _Block:
    order = np.argsort(np.concatenate([block.rows for block in found]))
    tail = Tail.stack([block.tail for block in found])
    estimates = [Estimate.stack(parts).take(order) for parts in zip(*(b.estimates for b in found), strict=True)]
    return _Block(order, estimates, tail.take(order), {}, joint.merged([block.largest for block in found]))


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


def check_finite(estimates: Sequence[Estimate], book: Book, rows: NDArray[np.int64]) -> None:
    """Refuse estimates that overflowed, naming the first row."""
    for e in estimates:
        finite = ~(np.isinf(e.value) | np.isinf(e.stderr) | np.isinf(e.low) | np.isinf(e.high))
        if e.measure in ("var", "es", "mean", "std"):  # a value of NaN says that there is none
            finite &= np.isnan(e.value) | ~np.isnan(e.stderr)
        bad = np.flatnonzero(~finite)
        if len(bad):
            r = int(bad[0])
            raise McvarError(
                f"{e.measure} of '{book.row[rows[r]]}' is {e.value[r]} +- {e.stderr[r]}: its losses are too large "
                "for double precision to square. Check the quantities, or state them in larger units"
            )


def severity(
    var: Sequence[float], market: Market, book: Book, rows: NDArray[np.int64] | None = None
) -> dict[int, float]:
    """VaR [of `rows`, default all] in the run's currency, to rank rows by; no NaN; the netted row only alone."""
    at = range(len(book.row)) if rows is None else rows.tolist()
    worth = {r: float(v) * float(ratio(market.factors.level, *book.convert[r])) for r, v in zip(at, var, strict=True)}
    return {r: v for r, v in worth.items() if (r < len(book.row) - 1 or len(worth) == 1) and not isnan(v)}


def highest(estimates: Sequence[Estimate], measure: str = "var") -> Estimate:
    """The estimate of a measure at its highest level."""
    return max((e for e in estimates if e.measure == measure), key=lambda e: e.level or 0.0)
