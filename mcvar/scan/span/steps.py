"""The steps of SPAN for a block of accounts: each is an array over pairs of an account and a commodity."""

from __future__ import annotations

from dataclasses import dataclass, field

import numpy as np
from numpy.typing import NDArray

from mcvar.scan.span.holdings import Holdings, sum_by
from mcvar.scan.span.inter import Credited, give, weighted_price_risk
from mcvar.scan.span.intra import DUST, Formed, deliver, form, sides
from mcvar.scan.span.plan import Plan
from mcvar.scan.span.short import count_short
from mcvar.scan.span.worst import Worst, worst

Floats = NDArray[np.float64]


@dataclass
class Record:
    """What a single account formed, and what its deltas were before and after.

    Parameters
    ----------
    intra : dict of int to list of Formed
        By commodity.
    delta : dict of int to (ndarray [K], ndarray [K])
        Net deltas by slot, before and after spreads, by commodity.
    inter : list of Credited
    net, risk : dict of int to float
        Net delta before inter-commodity spreads and WFPR, by commodity that such spreads name.
    """

    intra: dict[int, list[Formed]] = field(default_factory=dict)
    delta: dict[int, tuple[Floats, Floats]] = field(default_factory=dict)
    inter: list[Credited] = field(default_factory=list)
    net: dict[int, float] = field(default_factory=dict)
    risk: dict[int, float] = field(default_factory=dict)


@dataclass(frozen=True)
class Steps:
    """Amounts of each pair, [G], in the plan's currency.

    Parameters
    ----------
    worst : Worst
    scan : ndarray
        max(0, R_a).
    intra, delivery, credit : ndarray
    short : ndarray
        Short options that count.
    minimum : ndarray
        Short option minimum.
    risk : ndarray
        max(scan + intra + delivery - credit, minimum).
    """

    worst: Worst
    scan: Floats
    intra: Floats
    delivery: Floats
    credit: Floats
    short: Floats
    minimum: Floats
    risk: Floats


def take_steps(plan: Plan, held: Holdings, record: Record | None = None) -> Steps:
    """All steps but the sum over commodities.

    Parameters
    ----------
    plan : Plan
    held : Holdings
    record : Record, optional
        Filled for one account.
    """
    found = worst(plan, held)
    scan, size = np.maximum(found.loss, 0.0), np.diff(held.bound)
    intra, delivery, credit = np.zeros(held.pairs), np.zeros(held.pairs), np.zeros(held.pairs)
    deltas, gross = slot_deltas(plan, held)
    pools = plan.pools
    pooled, risk = np.zeros((2, len(pools), held.accounts)), np.zeros((len(pools.commodity), held.accounts))
    for c, before in deltas.items():
        at, terms = slice(held.bound[c], held.bound[c + 1]), plan.terms[c]
        if c in pools.commodity:
            net = before.sum(axis=0)
            net[np.abs(net) <= DUST * gross[at]] = 0.0  # 0.1 + 0.2 - 0.3
            weighted, owner = weighted_price_risk(net, found.price_risk[at]), held.owner[at]
            risk[pools.commodity.index(c), owner] = weighted
            pooled[:, pools.commodity.index(c), owner] = sides(np.where(weighted > 0, net, 0.0))
            for pool, slots in pools.tiers_of(c):
                pooled[:, pool, owner] = sides(before[list(slots)].sum(axis=0))
            if record is not None:
                record.net[c], record.risk[c] = float(net[0]), float(weighted[0])
        if terms.spreads or terms.near or record is not None:
            formed = None if record is None else record.intra.setdefault(c, [])
            able = np.flatnonzero((before.min(axis=0) < 0) & (before.max(axis=0) > 0))  # others form no spread
            free = sides(before[:, able])
            intra[held.bound[c] + able] = form(free, terms.spreads, formed)
            delivery[at] = deliver(before, free, able, terms.near)
            if record is not None:
                record.delta[c] = before[:, 0], free[0, :, 0] - free[1, :, 0] if len(able) else before[:, 0]
    if pools.spreads:
        saved = give(pooled, risk, pools, None if record is None else record.inter)
        for pool, c in enumerate(pools.commodity):
            at = slice(held.bound[c], held.bound[c + 1])
            credit[at] = saved[pool, held.owner[at]]
    short = short_options(plan, held)
    minimum = short * np.repeat(plan.minimum, size)
    total = np.maximum(scan + intra + delivery - credit, minimum)
    return Steps(found, scan, intra, delivery, credit, short, minimum, total)


def slot_deltas(plan: Plan, held: Holdings) -> tuple[dict[int, Floats], Floats]:
    """Net composite deltas by commodity, of those that are held: [K, accounts that hold it]; and gross ones [G]."""
    size = np.diff(held.bound)
    slots = np.array([len(plan.terms[c].slots.label) if c in plan.terms else 0 for c in range(len(size))], np.int64)
    begin = np.append(0, np.cumsum(size * slots))  # of each commodity, in one stretch of memory
    of = plan.commodity[held.contract]
    delta = held.quantity * plan.delta[held.contract]
    where = (begin[:-1] - held.bound[:-1])[of] + plan.slot[held.contract] * size[of] + held.pair
    net = sum_by(where, delta, int(begin[-1]))
    gross = sum_by(held.pair, np.abs(delta), held.pairs)
    present = np.flatnonzero(size).tolist()
    return {c: net[begin[c] : begin[c + 1]].reshape(-1, size[c]) for c in present}, gross


def short_options(plan: Plan, held: Holdings) -> Floats:
    """Short options of each pair, [G]."""
    options = held.quantity * plan.option[held.contract]
    short, at = count_short(options, plan.kind[held.contract], held.row)
    return sum_by(held.pair[at], short, held.pairs)
