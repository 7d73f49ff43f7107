"""Small risk arrays by hand, and SPAN once more: one account at a time, in fractions, straight from the rules."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from fractions import Fraction
from typing import Any

import numpy as np

from mcvar.scan.arrays import RiskArrays
from mcvar.scan.grid import Grid
from mcvar.scan.parameters import Commodity, Leg, Parameters, Spread

# A long future of price range 300: thirds of 100, and 35 % of a move of 600.
FUTURE = (0, 0, -100, -100, 100, 100, -200, -200, 200, 200, -300, -300, 300, 300, -210, 210)
FIELDS = {"commodity": "X", "currency": "USD", "loss": FUTURE, "delta": 1.0, "value": 0.0, "option": False, "month": ""}


def make_arrays(*rows: Mapping[str, Any]) -> RiskArrays:
    """Contracts by name; other columns default to those of a future of commodity X."""
    full = [{**FIELDS, **row} for row in rows]
    commodities = tuple(dict.fromkeys(row["commodity"] for row in full))
    return RiskArrays(
        name=tuple(row["name"] for row in full),
        commodity=commodities,
        of=np.array([commodities.index(row["commodity"]) for row in full], dtype=np.int64),
        currency=tuple(row["currency"] for row in full),
        loss=np.array([row["loss"] for row in full], dtype=np.float64),
        delta=np.array([row["delta"] for row in full], dtype=np.float64),
        value=np.array([row["value"] for row in full], dtype=np.float64),
        option=np.array([row["option"] for row in full]),
        month=tuple(row["month"] for row in full),
    )


def intra(commodity: str, priority: int, *legs: tuple[int, float, int], charge: float) -> Spread:
    """Legs are (tier, ratio, side)."""
    return Spread(priority, tuple(Leg(commodity, *leg) for leg in legs), charge)


def inter(priority: int, *legs: tuple[str, int, float, int, float]) -> Spread:
    """Legs are (commodity, tier, ratio, side, credit)."""
    return Spread(priority, tuple(Leg(*leg) for leg in legs))


def reference(
    arrays: RiskArrays, grid: Grid, parameters: Parameters, quantity: Sequence[float], rates: Mapping[str, float]
) -> dict[str, Any]:
    """One account: sums over commodities, and the steps of each."""
    steps = {
        commodity.name: _commodity(arrays, grid, parameters.tie, commodity, quantity, rates)
        for commodity in parameters.commodities
    }
    steps = {name: step for name, step in steps.items() if step}
    left = {name: dict(step["by_tier"]) for name, step in steps.items()}
    for spread in sorted(parameters.spreads, key=lambda s: s.priority):
        for turn in (1, -1):
            _credit(spread, turn, steps, left)
    total: dict[str, Any] = dict.fromkeys(("scan", "intra", "delivery", "credit", "minimum", "risk"), Fraction(0))
    for step in steps.values():
        step["risk"] = max(step["scan"] + step["intra"] + step["delivery"] - step["credit"], step["minimum"])
        for name in total:
            total[name] += step[name]
    total["nov"] = sum(
        (Fraction(q) * Fraction(arrays.value[i]) * Fraction(rates[arrays.currency[i]]) for i, q in enumerate(quantity)),
        start=Fraction(0),
    )
    total["requirement"] = max(Fraction(0), total["risk"] - total["nov"])
    largest = max(steps.values(), key=lambda step: step["scan"], default={"active": -1})  # the first of equals
    return {**total, "worst_scenario": largest["active"] + 1, "steps": steps}


def _commodity(
    arrays: RiskArrays,
    grid: Grid,
    tie: str,
    commodity: Commodity,
    quantity: Sequence[float],
    rates: Mapping[str, float],
) -> dict[str, Any] | None:
    mine = [i for i in range(len(arrays)) if arrays.commodity[arrays.of[i]] == commodity.name]
    held = {i: Fraction(quantity[i]) for i in mine if quantity[i]}
    if not held:
        return None
    rate = Fraction(rates[commodity.currency])
    losses = [
        sum(q * Fraction(arrays.loss[i, j]) * Fraction(rates[arrays.currency[i]]) for i, q in held.items())
        for j in range(len(grid))
    ]
    worst = [j for j, loss in enumerate(losses) if loss == max(losses)]
    active = worst[0] if tie == "lowest" else worst[-1]
    level = next(j for j in range(len(grid)) if grid.price[j] == 0)
    adjusted = (losses[active] + losses[grid.pair[active]]) / 2
    price_risk = adjusted - (losses[level] + losses[grid.pair[level]]) / 2

    months: dict[str, Fraction] = {arrays.month[i]: Fraction(0) for i in sorted(mine, key=lambda i: arrays.month[i])}
    for i, q in held.items():
        months[arrays.month[i]] += q * Fraction(arrays.delta[i])
    tier = {
        m: next((t.number for t in commodity.tiers if t.first <= m and (not t.last or m <= t.last)), 0) for m in months
    }
    net = sum(months.values())
    by_tier = {t.number: sum(d for m, d in months.items() if tier[m] == t.number) for t in commodity.tiers}
    charge, delivery = _inside(commodity, months, tier)

    short: dict[Any, Fraction] = {}
    for i, q in held.items():
        if arrays.option[i]:
            key = (arrays.month[i], arrays.delta[i] > 0) if commodity.short_netted else i
            short[key] = short.get(key, Fraction(0)) - q
    count = sum(max(Fraction(0), each) for each in short.values())
    return {
        "active": active,
        "scan": max(Fraction(0), losses[active]),
        "intra": charge * rate,
        "delivery": delivery * rate,
        "credit": Fraction(0),
        "minimum": count * Fraction(commodity.short_option_minimum) * rate,
        "weighted": max(Fraction(0), price_risk / abs(net)) if net else Fraction(0),
        "by_tier": {0: net, **by_tier},
    }


def _inside(commodity: Commodity, months: dict[str, Fraction], tier: dict[str, int]) -> tuple[Fraction, Fraction]:
    """Charges of intra-commodity spreads and of months near delivery."""

    def both_sides(number: int) -> bool:
        return any({leg.side for leg in s.legs if leg.tier == number} == {1, -1} for s in commodity.spreads)

    near = {d.month: d for d in commodity.delivery}
    merged: dict[Any, Fraction] = {}
    place: dict[Any, int] = {}
    for month, delta in months.items():
        apart = not tier[month] or month in near or both_sides(tier[month])
        key = month if apart else tier[month]
        merged[key] = merged.get(key, Fraction(0)) + delta
        place[key] = tier[month]
    spreads = [
        Spread(-1, (Leg("", t.number, 1.0, 1), Leg("", t.number, 1.0, -1)))
        for t in commodity.tiers
        if not both_sides(t.number)
    ] + sorted(commodity.spreads, key=lambda s: s.priority)
    left, charge = dict(merged), Fraction(0)
    for spread in spreads:
        for turn in (1, -1):
            pick = [
                [k for k in left if (leg.tier == 0 or place[k] == leg.tier) and left[k] * leg.side * turn > 0]
                for leg in spread.legs
            ]
            n = min(
                sum(abs(left[k]) for k in keys) / Fraction(leg.ratio)
                for keys, leg in zip(pick, spread.legs, strict=True)
            )
            charge += n * Fraction(spread.charge)
            for keys, leg in zip(pick, spread.legs, strict=True):
                need = n * Fraction(leg.ratio)
                for k in keys:
                    take = min(need, abs(left[k]))
                    left[k] -= take * leg.side * turn
                    need -= take
    delivery = sum(
        (
            (abs(merged[m]) - abs(left[m])) * Fraction(d.spread) + abs(left[m]) * Fraction(d.outright)
            for m, d in near.items()
            if m in merged
        ),
        start=Fraction(0),
    )
    return charge, delivery


def _credit(spread: Spread, turn: int, steps: dict[str, Any], left: dict[str, dict[int, Fraction]]) -> None:
    """Credits of an inter-commodity spread in one orientation."""
    if any(leg.commodity not in steps or not steps[leg.commodity]["weighted"] for leg in spread.legs):
        return
    limits = []
    for leg in spread.legs:
        whole = sum(Fraction(other.ratio) for other in spread.legs if other.commodity == leg.commodity)
        limits.append(left[leg.commodity][0] * leg.side * turn / whole)
        limits.append(left[leg.commodity][leg.tier] * leg.side * turn / Fraction(leg.ratio))
    n = max(Fraction(0), min(limits))
    for leg in spread.legs:
        used = n * Fraction(leg.ratio)
        steps[leg.commodity]["credit"] += steps[leg.commodity]["weighted"] * used * Fraction(leg.credit)
        for pool in {0, leg.tier}:
            left[leg.commodity][pool] -= used * leg.side * turn
