"""Digitals, with or without a barrier, and touches."""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

from mcvar.draft import Draft
from mcvar.families.barrier import TYPES, knocked, knocking, moved_barrier, resolve_barrier, watch_barrier
from mcvar.families.family import Clock, Family
from mcvar.pricing.digital import barrier_digital, digital, touch
from mcvar.pricing.scene import Scene, Terms

Floats = NDArray[np.float64]
Mask = NDArray[np.bool_]


def _resolve(d: Draft, here: Mask) -> dict[str, Floats]:
    """A digital without a barrier needs a type and a strike; with one it may have neither: then it is a touch."""
    barred = here & (~np.isnan(d.numbers["barrier"]) | (d.words["barrier_type"] != ""))
    touching = barred & (d.sign == 0) & np.isnan(d.strike)
    plain = here & ~touching
    d.refuse(plain & (d.sign == 0), lambda i: "is a digital without an option_type: write call or put")
    d.refuse(plain & np.isnan(d.strike), lambda i: "is a digital without a strike: give a positive number")
    payout, payment, cash = d.words["payout"], d.words["payment"], d.numbers["cash"]
    d.refuse(
        here & (payout == "asset") & ~np.isnan(cash),
        lambda i: f"pays the asset, but has cash {cash[i]:g}: leave it blank, or write payout cash",
    )
    d.refuse(
        here & ~(np.isnan(cash) | ((cash > 0) & np.isfinite(cash))),
        lambda i: f"has cash {cash[i]:g}: it must be positive and finite; sell by a negative quantity",
    )
    at_hit = payment == "hit"
    out = np.isin(d.words["barrier_type"], ["up_out", "down_out"])
    d.refuse(
        here & at_hit & (~touching | out),
        lambda i: "is paid at the hit, which only a touch with barrier_type up_in or down_in is: write payment expiry",
    )
    d.refuse(here & ~barred & ~np.isnan(d.numbers["monitoring"]), lambda i: "is monitored, but has no barrier")
    terms = resolve_barrier(d, barred)
    return {
        **terms,
        "cash": np.where(np.isnan(cash), 1.0, cash),
        "asset": (payout == "asset").astype(np.float64),
        "at_hit": at_hit.astype(np.float64),
    }


def _record(terms: Terms, clock: Clock) -> dict[str, Floats]:
    paid = {"asset": terms["asset"], "at_hit": terms["at_hit"]}
    return {**knocking(terms, clock), **paid, "cash": terms["cash"]}


def _value(terms: Terms, scene: Scene) -> Floats:
    volatility, rate, carry = scene.market(terms)
    at = (volatility, rate, carry, scene.years)
    strike, sign, up = terms["strike"], terms["sign"], terms["up"]
    asset, out, at_hit = terms["asset"] > 0, terms["out"] > 0, terms["at_hit"] > 0
    touching, barred = sign == 0, up != 0
    k = np.where(touching, 1.0, strike)
    plain = digital(scene.spot, k, np.where(touching, 1.0, sign), asset, *at)
    level = np.where(barred, moved_barrier(terms, volatility), 1.0)
    alive = np.where(
        touching,
        touch(scene.spot, level, up, out, asset, at_hit, *at),
        barrier_digital(scene.spot, k, np.where(touching, 1.0, sign), level, up, out, asset, *at),
    )
    at_expiry = np.where(asset, scene.spot * np.exp((carry - rate) * scene.years), np.exp(-rate * scene.years))
    hit = np.where(at_hit, np.where(asset, terms["barrier"], 1.0), at_expiry)
    after = np.where(out, 0.0, np.where(touching, hit, plain))
    return terms["cash"] * np.where(barred, np.where(knocked(terms, scene), after, alive), plain)


DIGITAL = Family(
    number=5,
    resolve=_resolve,
    watch=watch_barrier,
    record=_record,
    value=_value,
    numbers=("cash", "barrier", "monitoring"),
    choices={"payout": ("cash", "asset"), "payment": ("expiry", "hit"), "barrier_type": TYPES},
)
