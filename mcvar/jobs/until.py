"""A run that stops when it is precise enough: segments are added until the rule holds, or the cap is reached."""

from __future__ import annotations

import logging
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from mcvar.engines import Device, Reference
from mcvar.errors import CapacityError, SettingError
from mcvar.intervals import joint
from mcvar.intervals.estimate import kept_for
from mcvar.jobs.segment import extended, whole_tail
from mcvar.measures import Estimate, Measures
from mcvar.moments import Moments
from mcvar.sampling import Quasi, Strata
from mcvar.scenarios import BLOCK, Scenarios, Simulated
from mcvar.shards import Progress
from mcvar.tail import Tail
from mcvar.until import Look, Until, sizes

Floats = NDArray[np.float64]
Ints = NDArray[np.int64]
_LOSS_BYTES = 72  # of one kept loss, where two tails merge: 16 there, 16 joined, 40 in order
_log = logging.getLogger(__name__)


@dataclass(frozen=True)
class Reached:
    """Where a run stopped.

    Parameters
    ----------
    tail : Tail
        The worst losses of all rows, with the scenarios that there were: as deep as a run of so many keeps.
    moments : Moments
        Of the loss.
    estimates : list of Estimate
    looks : tuple of Look
        All of them, the last where it stopped.
    held : bool
        Whether it was precise enough there; else the cap was reached (`Until.not_reached`).
    weight : ndarray [R, K], optional
        Of the worst losses, where scenarios weigh.
    """

    tail: Tail
    moments: Moments
    estimates: list[Estimate]
    looks: tuple[Look, ...]
    held: bool
    weight: Floats | None = None

    def record(self) -> dict[str, Any]:
        """What run.json says of it."""
        return {"reached": self.held, "looks": [look.record() for look in self.looks]}


def reach(
    made: Reference | Device,
    asked: Measures,
    until: Until,
    accounts: Ints,
    gross: Floats,
    *,
    first: int,
    unit: int,
    workers: int,
    chunk: int,
    rows: Ints | None = None,
    keep: int = 1,
    progress: Progress | None = None,
) -> Reached:
    """Run until it is precise enough, or the cap is reached.

    A run that stops at N has the same tail as one of N scenarios, and so the same VaR, bit for bit; what is
    added up, as ES, mean and std, is that of the run but for rounding.

    Parameters
    ----------
    made : Reference or Device
        Of all rows.
    asked : Measures
        What is measured, over these rows; of it VaR at `until.level` is looked at.
    until : Until
    accounts : ndarray
        Which of the rows are accounts.
    gross : ndarray [R]
        What each row holds, all as if long, in its currency.
    first, unit : int
        Scenarios at the first look, and between looks: see `sizes`, `unit_of`.
    workers, chunk : int
        See `whole_tail`.
    rows : ndarray, optional
        Which of the book's they are; default: all.
    keep : int
        Losses of a row that are kept in any case.
    progress : callable, optional
        Called with the number of scenarios done since the last call.

    Raises
    ------
    CapacityError
        A level that the scenarios of the first look are too few for; the message says how many it takes.
    """
    rows = np.arange(made.rows) if rows is None else rows
    names = made.book.row
    steps = sizes(first, until.cap, unit)
    depths = [max(asked.depth(count), min(keep, count)) for count in steps]  # errors before anything runs
    tail: Tail | None = None
    moments: Moments | None = None
    looks: list[Look] = []
    for start, stop, depth in zip([0, *steps], steps, depths, strict=False):
        room = kept_for(depth)  # so deep that later looks find their ranks, too
        own = kept_for(depth * (stop - start) / stop)
        part, seen = whole_tail(made, start, stop, own, workers=workers, chunk=chunk, progress=progress)
        tail = part if tail is None else extended(made, tail, part, depth, room)
        moments = seen if moments is None else moments.merge(seen)
        del part
        if tail is None:  # the worst losses crowd in one segment: hardly ever
            tail, _ = whole_tail(made, 0, stop, room, workers=workers, chunk=chunk)
        found, weight = asked.read(tail, moments, rows, names)
        estimates = asked.settled(found, joint.largest(found))
        var = next(each for each in estimates if (each.measure, each.level) == ("var", until.level))
        looks.append(until.look(var, gross, accounts, names, stop))
        _log.info("%s", looks[-1])
        if start == 0 and looks[0].needed > until.cap:
            _log.warning(
                "scenarios.until=%g may be out of reach: it takes about %s scenarios, and scenarios.cap is %s",
                until.precision, f"{looks[0].needed:,.0f}", f"{until.cap:,}",
            )  # fmt: skip
        if until.held(looks[-1]):
            break
    assert tail is not None
    assert moments is not None
    return Reached(tail.head(depth), moments, estimates, tuple(looks), until.held(looks[-1]), weight)


def unit_of(scenarios: Scenarios, first: int, cap: int) -> int:
    """How many scenarios a run may be extended by: whole blocks, and whole rounds through strata.

    Raises
    ------
    SettingError
        Scenarios that cannot be extended, as Sobol points and those of a history; counts that strata do not take.

    Examples
    --------
    >>> from mcvar.scenarios import Explicit
    >>> unit_of(Explicit.of([[0.1]]), 1, 2)
    Traceback (most recent call last):
    mcvar.errors.SettingError: scenarios.until adds scenarios, and the moves of model=historical are all that there...
    """
    if not isinstance(scenarios, Simulated):
        raise SettingError(
            "scenarios.until adds scenarios, and the moves of model=historical are all that there are: take "
            "model=filtered_historical, or leave scenarios.until away"
        )
    sampling = scenarios.sampling
    if isinstance(sampling, Quasi):
        raise SettingError(
            "scenarios.until adds scenarios, and Sobol points are spread for one number of them: take sampling=plain, "
            "stratified or control_variate, or leave scenarios.until away"
        )
    if not isinstance(sampling, Strata):
        return BLOCK
    whole = sampling.replicates * sampling.unit
    for name, count in (("count", first), ("cap", cap)):
        if count % whole:
            above = -(-count // whole) * whole
            raise SettingError(
                f"scenarios.{name} is {count}, but sampling=stratified with sampling.strata={sampling.strata} takes a "
                f"multiple of {whole}: set scenarios.{name} to {above}"
            )
    return max(whole, BLOCK)


def check_memory(rows: int, depth_at_cap: int, budget_bytes: int) -> None:
    """Refuse tails that would not fit once the cap is reached: those of all rows are kept, to be merged.

    Parameters
    ----------
    rows : int
        R.
    depth_at_cap : int
        K, of a run of as many scenarios as the cap: `asked.depth(cap)`.
    budget_bytes : int
        What may be used beside the engine.

    Raises
    ------
    CapacityError
        See the message.

    Examples
    --------
    >>> check_memory(200_000, 20_000, 2**30)
    Traceback (most recent call last):
    mcvar.errors.CapacityError: scenarios.until keeps the 20000 worst losses of all 200000 rows at scenarios.cap, \
which takes 303 GB, and 1.07 GB may be used: raise executor.memory_gb by 302, lower scenarios.cap to 0.35 % of what \
it is, or raise the lowest of measure.levels
    """
    takes = _LOSS_BYTES * rows * kept_for(depth_at_cap)
    if takes <= budget_bytes:
        return
    part = 100 * max(budget_bytes, 0) / takes
    raise CapacityError(
        f"scenarios.until keeps the {depth_at_cap} worst losses of all {rows} rows at scenarios.cap, which takes "
        f"{takes / 1e9:.3g} GB, and {max(budget_bytes, 0) / 1e9:.3g} GB may be used: raise executor.memory_gb by "
        f"{(takes - budget_bytes) / 1e9:.3g}, lower scenarios.cap to {part:.2g} % of what it is, or raise the lowest "
        "of measure.levels"
    )
