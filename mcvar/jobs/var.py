"""VaR and expected shortfall of every row of a book."""

from __future__ import annotations

import time
from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from mcvar import measures
from mcvar.book import Book, take_rows
from mcvar.engines import Device, EngineChoice, Reference
from mcvar.engines.levels import ratio
from mcvar.errors import CapacityError, McvarError
from mcvar.market import Market
from mcvar.measures import Estimate
from mcvar.memory import Plan
from mcvar.precision import Precision
from mcvar.rescreen import AUDIT, Rescreened, audited_bound
from mcvar.scenarios import Scenarios
from mcvar.shards import Progress, simulate
from mcvar.sweep import MARGIN, Spans, row_bytes, sweep
from mcvar.tail import Tail, Worst

_NUMPY = EngineChoice("numpy")
_WIDER = 4.0  # how much wider the margin of a row that has to run again


@dataclass(frozen=True)
class VarResult:
    """What the job found.

    Parameters
    ----------
    estimates : list of Estimate
        VaR and ES at each level, mean and std, and in single precision the bound on its error; arrays are [R].
    tail : Tail
        The `keep` worst losses of every row.
    drawn : dict of int to Tail
        The whole tails of the worst rows, for pictures.
    settling : int
        Held instruments that expire inside the horizon.
    seconds, preparation : float
        From generator to measures; before that, to plan the engine.
    revaluations : int
    """

    estimates: list[Estimate]
    tail: Tail
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
    levels: Sequence[float],
    confidence: float,
    plan: Plan,
    engine: EngineChoice = _NUMPY,
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
    engine : EngineChoice
        What makes the P&L.
    keep, draw : int
        Losses a row in the result's tail; rows whose whole tail is kept.
    progress : callable, optional
        Called with the number of scenarios done since the last call.
    """
    start = time.perf_counter()
    preparation = 0.0
    found: list[_Block] = []
    passes = -(-len(book.row) // plan.rows)
    advance = _in_scenarios(progress, passes)
    waiting = [(np.arange(at, min(at + plan.rows, len(book.row))), MARGIN) for at in range(0, len(book.row), plan.rows)]
    settling = 0
    while waiting:
        rows, margin = waiting.pop(0)
        began = time.perf_counter()
        made = engine.make(market, take_rows(book, rows), scenarios, decay, width=plan.chunk)
        exact = made.beside(engine.exact) if isinstance(made, Device) and engine.exact is not None else None
        preparation += time.perf_counter() - began
        settling = made.settling
        tail, estimates, failed = _measured(
            made, exact, engine, scenarios.count, levels, confidence, plan, margin, advance
        )
        if len(failed):
            waiting += _again(rows[failed], margin, scenarios.count, plan)
        if len(found) + 1 >= passes:
            advance = None  # rows that run again are no progress
        found.append(_read(tail, estimates, rows, failed, market, book, keep, draw))
        del made, exact, tail  # the memory is wanted for the next rows
    blocks = _in_row_order(found)
    drawn = {r: tail for block in found for r, tail in block.drawn.items()}
    worst = severity(highest(blocks.estimates).value.tolist(), market, book)
    chosen = sorted(drawn.keys() & worst.keys(), key=lambda r: (r >= book.accounts, -worst[r]))[:draw]
    return VarResult(
        estimates=blocks.estimates,
        tail=blocks.tail,
        drawn={r: drawn[r] for r in chosen},
        settling=settling,
        seconds=time.perf_counter() - start - preparation,
        preparation=preparation,
        revaluations=len(book.instruments) * scenarios.count * len(found),
    )


def _measured(
    made: Reference | Device,
    exact: Device | None,
    engine: EngineChoice,
    count: int,
    levels: Sequence[float],
    confidence: float,
    plan: Plan,
    margin: float,
    progress: Progress | None,
) -> tuple[Worst, list[Estimate], NDArray[np.int64]]:
    """Simulate and measure all rows of an engine; the rows that have to run again are returned, too."""
    if not isinstance(made, Device):
        found, moments = simulate(made, count, plan.depth, workers=plan.workers, chunk=plan.chunk, progress=progress)
        return found, measures.measure(found, moments, levels, confidence), np.zeros(0, dtype=np.int64)
    spans = plan.spans if np.isfinite(margin) else _whole(plan)
    tail: Worst
    screened, moments, failed = sweep(made, count, spans, margin=margin, progress=progress)
    tail = screened
    bound: NDArray[np.float64] | None = None
    if exact is not None:
        bound = audited_bound(made, exact, count)
        if engine.precision is Precision.mixed:
            tail = Rescreened.of(screened, exact, measures.wanted(count, levels, confidence), bound)
            bound = tail.bound
    estimates = measures.measure(tail, moments, levels, confidence)
    if bound is not None:
        estimates.append(measures.certain("fp32_bound", bound, confidence, f"audit of {AUDIT} scenarios"))
    return tail, estimates, failed


def _again(rows: NDArray[np.int64], margin: float, count: int, plan: Plan) -> list[tuple[NDArray[np.int64], float]]:
    """Rows with a wider margin, as many at once as fit into the memory of the plan."""
    wider = margin * _WIDER if margin < _WIDER * MARGIN else np.inf
    one = row_bytes(count, plan.spans if np.isfinite(wider) else _whole(plan), wider)
    if one > plan.budget:
        raise CapacityError(
            f"{len(rows)} rows have tails that a pilot cannot bound, and to keep all {count} losses of one takes "
            f"{one / 1e9:.2f} GB of the {plan.budget / 1e9:.2f} GB that may be used: raise executor.memory_gb or lower "
            "scenarios.count"
        )
    most = max(1, plan.rows * row_bytes(count, plan.spans) // one)
    return [(rows[at : at + most], wider) for at in range(0, len(rows), most)]


def _whole(plan: Plan) -> Spans:
    return [(1, max(last for _, last in plan.spans))]


@dataclass(frozen=True)
class _Block:
    """What was found for some rows."""

    rows: NDArray[np.int64]
    estimates: list[Estimate]
    tail: Tail
    drawn: dict[int, Tail]


def _read(
    tail: Worst,
    estimates: list[Estimate],
    rows: NDArray[np.int64],
    failed: NDArray[np.int64],
    market: Market,
    book: Book,
    keep: int,
    draw: int,
) -> _Block:
    """Read a tail; rows that failed are left out."""
    good = np.setdiff1d(np.arange(len(rows)), failed)
    estimates = [e.take(good) for e in estimates]
    head = tail.head(keep)
    rows = rows[good]
    _check_finite(estimates, book, rows)
    worst = severity(highest(estimates).value.tolist(), market, book, rows)
    drawn = sorted(worst, key=lambda r: (r >= book.accounts, -worst[r]))[:draw]
    place = {int(r): int(at) for r, at in zip(rows, good, strict=True)}
    return _Block(
        rows, estimates, Tail(head.loss[good], head.scenario[good], head.count), {r: tail.row(place[r]) for r in drawn}
    )


def _in_row_order(found: Sequence[_Block]) -> _Block:
    order = np.argsort(np.concatenate([block.rows for block in found]))
    tail = Tail.stack([block.tail for block in found])
    estimates = [Estimate.stack(parts).take(order) for parts in zip(*(b.estimates for b in found), strict=True)]
    return _Block(order, estimates, Tail(tail.loss[order], tail.scenario[order], tail.count), {})


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


def _check_finite(estimates: Sequence[Estimate], book: Book, rows: NDArray[np.int64]) -> None:
    for e in estimates:
        bad = np.flatnonzero(~(np.isfinite(e.value) & np.isfinite(e.stderr) & np.isfinite(e.low) & np.isfinite(e.high)))
        if len(bad):
            r = int(bad[0])
            raise McvarError(
                f"{e.measure} of '{book.row[rows[r]]}' is {e.value[r]} +- {e.stderr[r]}: its losses are too large "
                "for double precision to square. Check the quantities, or state them in larger units"
            )


def severity(
    var: Sequence[float], market: Market, book: Book, rows: NDArray[np.int64] | None = None
) -> dict[int, float]:
    """VaR [of `rows`, default all] in the run's currency, to rank rows by; the netted row is left out."""
    at = range(len(book.row)) if rows is None else rows.tolist()
    worth = {r: float(v) * float(ratio(market.factors.level, *book.convert[r])) for r, v in zip(at, var, strict=True)}
    worth.pop(len(book.row) - 1, None)
    return worth


def highest(estimates: Sequence[Estimate], measure: str = "var") -> Estimate:
    """The estimate of a measure at its highest level."""
    return max((e for e in estimates if e.measure == measure), key=lambda e: e.level or 0.0)
