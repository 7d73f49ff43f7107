"""Asian options: the past of the average, what the path adds to it, and what is left."""

from __future__ import annotations

from collections.abc import Mapping

import numpy as np
from numpy.typing import NDArray

from mcvar.draft import Draft
from mcvar.families.family import Clock, Family, Watch
from mcvar.pricing.asian import Method, asian
from mcvar.pricing.scene import Scene, Terms
from mcvar.watched import Statistic

Floats = NDArray[np.float64]
Mask = NDArray[np.bool_]
_NEAR = 1e-9  # of a distance between two fixings: a fixing that falls on a time but for rounding


def _resolve(d: Draft, here: Mask) -> dict[str, Floats]:
    """The terms of an average: `geometric, start` (years), `fixings` (0: continuous), `so_far, conditioning`."""
    word, begins = d.words["average"], d.times["averaging_start"]
    fixings, so_far = d.numbers["fixings"], d.numbers["average_so_far"]
    start = d.market.years_to(begins)
    d.refuse(here & (word == ""), lambda i: "is without an average: write geometric or arithmetic")
    d.refuse(
        here & np.isnat(begins),
        lambda i: "is without an averaging_start: give the time of the first fixing, or from which the average runs",
    )
    bad = ~np.isnan(fixings) & ~((fixings >= 1) & (fixings == np.floor(fixings)) & np.isfinite(fixings))
    d.refuse(
        here & bad, lambda i: f"has fixings {fixings[i]:g}: a whole number, or blank where the average is continuous"
    )
    d.refuse(
        here & ~np.isnat(begins) & ((start > d.years) | ((start >= d.years) & (fixings != 1))),
        lambda i: f"starts to average at {begins[i]}Z, not before its expiry {d.expiry[i]}Z",
    )
    running = here & (start < 0) & (fixings != 1)
    d.refuse(
        running & ~((so_far > 0) & np.isfinite(so_far)),
        lambda i: f"averages since {begins[i]}Z, before the valuation: give average_so_far, which is positive",
    )
    d.refuse(
        here & ~running & ~np.isnan(so_far) & ~np.isnat(begins),
        lambda i: f"has an average_so_far, but starts to average at {begins[i]}Z only: leave it blank",
    )
    conditioning = d.pricing.asian is Method.conditioning
    return {
        "geometric": (word == "geometric").astype(np.float64),
        "start": np.where(here, start, np.nan),
        "fixings": np.nan_to_num(fixings),
        "so_far": np.where(running, so_far, 1.0),
        "conditioning": np.full(len(start), float(conditioning)),
    }


def _gap(terms: Mapping[str, Floats]) -> Floats:
    """Years between two fixings; of a continuous average, or of one fixing, the whole time."""
    return np.asarray((terms["years"] - terms["start"]) / np.maximum(terms["fixings"] - 1.0, 1.0))


def _passed(terms: Mapping[str, Floats], time: float, gap: Floats) -> Floats:
    """The share of the average that lies before a time; a fixing today is still to come."""
    start, fixings, years = terms["start"], terms["fixings"], terms["years"]
    whole = np.where(years > start, years - start, 1.0)
    first = np.where(fixings == 1, years, start)
    near = _NEAR if time > 0 else -_NEAR
    count = np.floor((time - first) / np.where(gap > 0, gap, 1.0) + near) + 1.0
    share = np.where(fixings > 0, count / np.maximum(fixings, 1.0), (time - start) / whole)
    return np.asarray(np.clip(share, 0.0, 1.0))


def _watch(term: Mapping[str, float], clock: Clock) -> Watch | None:
    """The average of the path so far: at the fixings where those are steps, else over time."""
    if clock.elapsed <= 0 or term["start"] >= clock.elapsed:
        return None
    logs = term["geometric"] > 0
    step = clock.step_of(term["years"])
    gap = (term["years"] - term["start"]) / max(term["fixings"] - 1.0, 1.0)
    if term["fixings"] == 1:
        return Watch(Statistic.last, step) if term["years"] <= clock.elapsed else None
    every, ahead = gap / clock.step, max(np.ceil(-term["start"] / gap - _NEAR), 0.0)
    first = (term["start"] + ahead * gap) / clock.step
    whole = all(abs(x - round(x)) < 1e-6 * max(x, 1.0) for x in (every, first))
    if term["fixings"] and whole and round(every) >= 1:
        begin = round(first)  # 0: today
        return (
            Watch(Statistic.log_average if logs else Statistic.average, step, begin, round(every))
            if (begin <= step)
            else None
        )
    if term["fixings"] and every > 0.75:  # nearly at steps: the last passed at the first step at or after it
        count = int(np.floor((min(clock.elapsed, term["years"]) - term["start"]) / gap + _NEAR) - ahead) + 1
        end = clock.step_of(term["start"] + (ahead + count - 1) * gap) if count > 1 or first > _NEAR else 0
        apart = max(round(every), 1)
        begin = max(end - (count - 1) * apart, 0)
        kind = Statistic.log_average if logs else Statistic.average
        return Watch(kind, max(end, 1), begin, apart if end else clock.steps + 1) if count > 0 else None
    begin = min(int(max(term["start"], 0.0) / clock.step) + 1, step)
    return Watch(Statistic.log_integral if logs else Statistic.integral, step, begin)


def _record(terms: Terms, clock: Clock) -> dict[str, Floats]:
    gap = _gap(terms)
    past, before = _passed(terms, clock.elapsed, gap), _passed(terms, 0.0, gap)
    fixings, start = terms["fixings"], terms["start"]
    passed = np.round(past * fixings)
    ahead = np.where(fixings == 1, terms["years"], start + passed * gap)
    return {
        "geometric": terms["geometric"],
        "past": past,
        "so_far": terms["so_far"],
        "share": np.where(past > 0, (past - before) / np.where(past > 0, past, 1.0), 0.0),
        "wait": np.maximum(np.where(fixings > 0, ahead, start) - clock.elapsed, 0.0),
        "fixings": fixings - passed,
        "conditioning": terms["conditioning"],
    }


def _value(terms: Terms, scene: Scene) -> Floats:
    volatility, rate, carry = scene.market(terms)
    so_far, share = terms["so_far"], terms["share"]
    path = scene.spot if scene.path is None else scene.path
    with np.errstate(divide="ignore", invalid="ignore"):
        logs = (1.0 - share) * np.log(so_far) + share * np.log(np.maximum(path, 0.0))
    level = (1.0 - share) * so_far + share * path
    so_far = np.where(share > 0, np.where(terms["geometric"] > 0, np.exp(logs), level), so_far)
    return asian(
        scene.spot, terms["strike"], terms["sign"], terms["geometric"] > 0, volatility, rate, carry, scene.years,
        past=terms["past"], so_far=so_far, wait=np.minimum(terms["wait"], scene.years), fixings=terms["fixings"],
        method=Method.conditioning if terms["conditioning"].any() else Method.moments,
    )  # fmt: skip


ASIAN = Family(
    number=7,
    resolve=_resolve,
    watch=_watch,
    record=_record,
    value=_value,
    numbers=("fixings", "average_so_far"),
    times=("averaging_start",),
    choices={"average": ("geometric", "arithmetic")},
)
