"""Passes over the scenarios: which rows run together, and which have to run again, how."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace

import numpy as np
from numpy.typing import NDArray

from mcvar.engines import Device, EngineChoice, Reference
from mcvar.errors import CapacityError
from mcvar.measures import Estimate, Measures, certain
from mcvar.memory import Plan
from mcvar.precision import Precision
from mcvar.rescreen import AUDIT, Rescreened, audited_bound
from mcvar.shards import Progress, simulate
from mcvar.sweep import MARGIN, Spans, row_bytes, sweep
from mcvar.tail import Worst

Floats = NDArray[np.float64]
Ints = NDArray[np.int64]
_WIDER = 4.0  # how much wider the margin of a row that has to run again
_NONE = np.zeros(0, dtype=np.int64)


@dataclass(frozen=True)
class Pass:
    """Rows that run together.

    Parameters
    ----------
    rows : ndarray
    margin : float
        Of their pilot (see `mcvar.sweep`).
    doubled : bool
        In double precision, whatever the precision of the run.
    """

    rows: Ints
    margin: float
    doubled: bool = False


def first_passes(rows: Ints, plan: Plan) -> list[Pass]:
    """All rows, as many at once as the plan says."""
    return [Pass(rows[at : at + plan.rows], MARGIN) for at in range(0, len(rows), plan.rows)]


@dataclass(frozen=True)
class Measured:
    """What a pass found: the tail and the estimates of all its rows, and which of these do not count.

    Parameters
    ----------
    missed : ndarray
        Rows of which the pilot was off: a wanted rank is not in the tail.
    unsettled : ndarray
        Rows that single precision cannot put in order.
    weight : ndarray [R, K], optional
        Of the worst losses, where scenarios weigh.
    """

    tail: Worst
    estimates: list[Estimate]
    missed: Ints
    unsettled: Ints
    weight: Floats | None = None

    @property
    def failed(self) -> Ints:
        """Rows that run again."""
        return np.union1d(self.missed, self.unsettled)


def measured(
    made: Reference | Device,
    exact: Device | None,
    each: Pass,
    *,
    engine: EngineChoice,
    count: int,
    asked: Measures,
    plan: Plan,
    progress: Progress | None,
) -> Measured:
    """Run a pass.

    Parameters
    ----------
    exact : Device, optional
        The same in double precision, for a run that is not.
    asked : Measures
        Of the whole run, not of the pass alone; what is joint over rows is still to be settled.
    """
    if not isinstance(made, Device):
        found, moments = simulate(made, count, plan.depth, workers=plan.workers, chunk=plan.chunk, progress=progress)
        estimates, weight = asked.read(found, moments, each.rows, made.book.row)
        return Measured(found, estimates, _NONE, _NONE, weight)
    spans = plan.spans if np.isfinite(each.margin) else whole(plan)
    screened, moments, missed = sweep(made, count, spans, margin=each.margin, progress=progress)
    tail: Worst = screened
    unsettled, bound = _NONE, np.zeros(made.rows)
    if exact is not None:
        bound = audited_bound(made, exact, count)
        if engine.precision is Precision.mixed:
            rescreened, unsettled = Rescreened.of(screened, exact, asked.wanted(count), bound)
            tail, bound = rescreened, rescreened.bound
    estimates, weight = asked.read(tail, moments, each.rows, made.book.row)
    if engine.precision is not Precision.fp64:
        method = "double precision" if each.doubled else f"audit of {min(count, AUDIT)} scenarios"
        estimates.append(certain("fp32_bound", bound, asked.confidence, method))
    return Measured(tail, estimates, missed, np.setdiff1d(unsettled, missed), weight)


def again(each: Pass, found: Measured, count: int, plan: Plan) -> list[Pass]:
    """The passes of the rows that the pilot missed, as many at once as fit into the memory of the plan."""
    if not len(found.missed):
        return []
    rows = each.rows[found.missed]
    wider = each.margin * _WIDER if each.margin < _WIDER * MARGIN else np.inf
    one = row_bytes(count, plan.spans if np.isfinite(wider) else whole(plan), wider)
    if one > plan.budget - plan.fixed:
        raise CapacityError(
            f"{len(rows)} rows have tails that a pilot cannot bound, and to keep all {count} losses of one takes "
            f"{one / 1e9:.2f} GB of the {(plan.budget - plan.fixed) / 1e9:.2f} GB that are left: raise "
            "executor.memory_gb or lower scenarios.count"
        )
    most = max(1, plan.rows * row_bytes(count, plan.spans) // one)
    return [replace(each, rows=rows[at : at + most], margin=wider) for at in range(0, len(rows), most)]


def doubled_passes(rows: Sequence[Ints], plan: Plan) -> list[Pass]:
    """Passes in double precision of all rows that were not settled."""
    together = np.sort(np.concatenate([*rows, _NONE]))
    return [Pass(together[at : at + plan.rows], MARGIN, doubled=True) for at in range(0, len(together), plan.rows)]


def whole(plan: Plan) -> Spans:
    """The span of all ranks down to the last that is read."""
    return [(1, max(last for _, last in plan.spans))]
