"""Barrier options: knocked in or out on the path, and revalued if they live."""

from __future__ import annotations

from collections.abc import Mapping

import numpy as np
from numpy.typing import NDArray

from mcvar.draft import Draft
from mcvar.families.family import Clock, Family, Watch
from mcvar.market import DAYS_PER_YEAR
from mcvar.pricing.barrier import barrier, monitoring_correction
from mcvar.pricing.black import black76
from mcvar.pricing.scene import Scene, Terms
from mcvar.watched import Statistic

Floats = NDArray[np.float64]
Mask = NDArray[np.bool_]
FARTHEST = 50.0  # logarithm of how far a barrier is moved at most: no price gets there
TYPES = ("up_in", "up_out", "down_in", "down_out")


def resolve_barrier(d: Draft, here: Mask) -> dict[str, Floats]:
    """The terms of a barrier: `barrier, up, out, rebate, monitoring, ratio`.

    `monitoring` is in years between two observations, 0 where it is always observed; `ratio` is today's price over the
    barrier.
    """
    level, word = d.numbers["barrier"], d.words["barrier_type"]
    d.refuse(here & np.isnan(level), lambda i: f"is a {d.kinds[i]} without a barrier: give the level")
    d.refuse(
        here & ~((level > 0) & np.isfinite(level)) & ~np.isnan(level),
        lambda i: f"has barrier {level[i]:g}: it must be positive and finite",
    )
    d.refuse(here & (word == ""), lambda i: f"is without a barrier_type: write one of {', '.join(TYPES)}")
    monitoring, rebate = d.numbers["monitoring"], d.numbers["rebate"]
    d.refuse(
        here & ~(np.isnan(monitoring) | ((monitoring > 0) & np.isfinite(monitoring))),
        lambda i: f"has monitoring {monitoring[i]:g}: days between two observations, or blank if always observed",
    )
    d.refuse(
        here & ~(np.isnan(rebate) | ((rebate >= 0) & np.isfinite(rebate))),
        lambda i: f"has rebate {rebate[i]:g}: it must be finite and not negative",
    )
    up = np.where(np.isin(word, ["up_in", "up_out"]), 1.0, -1.0)
    with np.errstate(all="ignore"):  # a level may be refused, or next to nothing
        ratio = np.where(here, d.spot / level, 1.0)
    return {
        "barrier": np.where(here, level, np.nan),
        "up": np.where(here, up, 0.0),
        "out": np.isin(word, ["up_out", "down_out"]).astype(np.float64),
        "rebate": np.nan_to_num(rebate),
        "monitoring": np.nan_to_num(monitoring) / DAYS_PER_YEAR,
        "ratio": ratio,
    }


def watch_barrier(term: Mapping[str, float], clock: Clock) -> Watch | None:
    """The extreme on the barrier's side: at the observations if they are steps, else between the steps too."""
    if not term["up"]:
        return None
    step = clock.step_of(term["years"])
    every = term["monitoring"] / clock.step if clock.step > 0 else 0.0
    if every and abs(every - round(every)) < 1e-6 * every and round(every) >= 1:
        kind = Statistic.maximum if term["up"] > 0 else Statistic.minimum
        first = round(every)
        return Watch(kind, step, min(first, step), first) if first <= step else None
    return Watch(Statistic.bridge_maximum if term["up"] > 0 else Statistic.bridge_minimum, step)


def knocking(terms: Terms, clock: Clock) -> dict[str, Floats]:
    """What decides on a knock: the `barrier`, how it moves with the volatility, and `decided`, the level on the path.

    The barrier of a contract that is observed at times is moved away from the price (Broadie, Glasserman and
    Kou 1997), with today's volatility on the path; one that is observed at the steps themselves is not moved there.
    """
    up, gap = terms["up"], terms["monitoring"]
    correction = monitoring_correction(up, gap)
    farther = np.exp(np.clip(correction * terms["volatility"], -FARTHEST, FARTHEST))
    by_step = gap / clock.step if clock.step > 0 else np.zeros_like(gap)
    observed = (by_step > 0.5) & (np.abs(by_step - np.round(by_step)) < 1e-6 * by_step)
    return {
        "barrier": terms["barrier"],
        "up": up,
        "out": terms["out"],
        "correction": correction,
        "decided": np.where(observed, terms["barrier"], terms["barrier"] * farther),
        "knocked": (up * (terms["ratio"] - farther) >= 0).astype(np.float64) * np.abs(up),
    }


def moved_barrier(terms: Terms, volatility: Floats) -> Floats:
    """The barrier that is worth as much if always observed, [G, N]."""
    return np.asarray(terms["barrier"] * np.exp(np.clip(terms["correction"] * volatility, -FARTHEST, FARTHEST)))


def touched_today(terms: Mapping[str, Floats], volatility: Floats) -> Mask:
    """Contracts with a barrier that the price is beyond today, [I]; observed at times, beyond the moved one."""
    still = Clock(0.0, 0.0, 1)
    return np.asarray(knocking({**terms, "volatility": volatility}, still)["knocked"] > 0)


def knocked(terms: Terms, scene: Scene) -> Mask:
    """Whether the path has touched the barrier, [G, N]."""
    before = terms["knocked"] > 0
    if scene.path is None:
        return np.asarray(before)
    return before | (terms["up"] * (scene.path - terms["decided"]) >= 0)


def _record(terms: Terms, clock: Clock) -> dict[str, Floats]:
    return {**knocking(terms, clock), "rebate": terms["rebate"]}


def _value(terms: Terms, scene: Scene) -> Floats:
    volatility, rate, carry = scene.market(terms)
    strike, sign, out = terms["strike"], terms["sign"], terms["out"] > 0
    level = moved_barrier(terms, volatility)
    alive = barrier(
        scene.spot, strike, sign, level, terms["up"], out, terms["rebate"], volatility, rate, carry, scene.years
    )
    forward, deviation = scene.spot * np.exp(carry * scene.years), volatility * np.sqrt(scene.years)
    european = np.exp(-rate * scene.years) * black76(forward, strike, deviation, sign)
    return np.where(knocked(terms, scene), np.where(out, terms["rebate"], european), alive)


BARRIER = Family(
    number=6,
    resolve=resolve_barrier,
    watch=watch_barrier,
    record=_record,
    value=_value,
    numbers=("barrier", "rebate", "monitoring"),
    choices={"barrier_type": TYPES},
)
