"""What contracts must be worth in every scenario, whatever the formulas: parities, bounds, limits.

Values at the horizon are today's and the P&L, of the reference engine and of the kernels.
"""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest
from worth import (
    AMERICAN,
    ASIAN,
    BARRIER,
    COMMON,
    DIGITAL,
    INSIDE,
    LEVELS,
    OPTION,
    PUT,
    STEPS,
    STRIKE,
    TOUCH,
    YEARS,
    Price,
    Row,
    last,
)

from mcvar.pricing.settings import AmericanMethod, Pricing


@pytest.mark.parametrize("years", [0.25, INSIDE])
@pytest.mark.parametrize("monitoring", ["", 2.0, 3.0])
@pytest.mark.parametrize("side", ["up", "down"])
def test_knock_in_and_knock_out_are_the_whole(price: Price, side: str, monitoring: Any, years: float) -> None:
    kinds = [(OPTION, BARRIER), (DIGITAL, DIGITAL), ({**DIGITAL, "payout": "asset"},) * 2]
    rows = []
    for whole, parts in kinds:
        for option_type in ("call", "put"):
            common = {"option_type": option_type, "years": years}
            for way in (f"{side}_in", f"{side}_out"):
                barred = {"barrier": LEVELS[way], "barrier_type": way, "monitoring": monitoring}
                rows.append({**parts, **common, **barred})
            rows.append({**whole, **common})
    values = price(rows).values.reshape(-1, 3, 2_000)
    assert abs(values[:, 0] + values[:, 1] - values[:, 2]).max() < 1e-10
    assert (values[:, :2].max(axis=2) > 0.01).all(), "both live in some scenarios"


def test_barriers_out_of_reach(price: Price) -> None:
    pairs: list[tuple[Row, Row | None]] = []
    for way, level in (("up_out", 5e3), ("down_out", 2.0), ("up_in", 5e3), ("down_in", 2.0)):
        out = way.endswith("out")
        for contract, same in ((BARRIER, OPTION), (DIGITAL, DIGITAL)):
            for change in ({}, PUT):
                barred = {"barrier": level, "barrier_type": way}
                pairs.append(({**contract, **change, **barred}, {**same, **change} if out else None))
    values = price([row for pair in pairs for row in pair if row is not None]).values
    at = 0
    for _, european in pairs:
        expected = values[at + 1] if european is not None else 0.0
        assert values[at] == pytest.approx(expected, rel=1e-12, abs=1e-10)
        at += 1 + (european is not None)


def test_touches_and_no_touches_are_worth_the_cash(price: Price) -> None:
    rows = [
        {**TOUCH, "barrier_type": f"{side}_{way}", "barrier": LEVELS[f"{side}_{way}"], "cash": 7.0}
        for side in ("up", "down")
        for way in ("in", "out")
    ]
    values = price(rows).values
    cash = np.full(2_000, 7.0 * np.exp(-0.05 * (0.25 - YEARS)))
    assert values[0] + values[1] == pytest.approx(cash, rel=1e-12)
    assert values[2] + values[3] == pytest.approx(cash, rel=1e-12)


@pytest.mark.parametrize("pricing", list(AmericanMethod))
@pytest.mark.parametrize("years", [0.25, 3.0, INSIDE])
def test_american_options_are_worth_more_than_what_they_could_be(
    price: Price, years: float, pricing: AmericanMethod
) -> None:
    """More than the European option, which is more than the discounted forward's payoff; more than the payoff now."""
    carries, types = (-0.03, 0.02, 0.05, 0.09), (1.0, -1.0)
    rows: list[Row] = [{"kind": "spot", "underlying": "XYZ"}]
    for carry in carries:
        for sign in types:
            common = {"carry": carry, "years": years, "option_type": "call" if sign > 0 else "put"}
            rows += [{**AMERICAN, **common}, {**OPTION, **common}]
    spot, *values = price(rows, count=500, pricing=Pricing(american=pricing)).values
    left, settled = max(years - YEARS, 0.0), years < YEARS
    rounding = 2e-6 * STRIKE  # the accuracy of a price table and of what it is compared with
    premium = np.zeros(len(spot))
    for at, (carry, sign) in enumerate((carry, sign) for carry in carries for sign in types):
        early, late = values[2 * at], values[2 * at + 1]
        assert (early >= late - rounding).all()
        premium = np.maximum(premium, early - late)
        if settled:
            assert early == pytest.approx(late, abs=1e-12)
            continue
        intrinsic = np.exp(-0.05 * left) * np.maximum(sign * (spot * np.exp(carry * left) - STRIKE), 0.0)
        assert (late >= intrinsic - 1e-11).all()
        assert (early >= np.maximum(sign * (spot - STRIKE), 0.0) - 1e-11).all()
    assert settled or (premium > 0.05).all()


@pytest.mark.parametrize("pricing", list(AmericanMethod))
def test_calls_that_cost_no_carry_are_never_exercised(price: Price, pricing: AmericanMethod) -> None:
    """Nor are puts where rates are not positive."""
    rows = []
    for change in ({"carry": 0.05}, {"carry": 0.08}, {**PUT, "rate": 0.0, "carry": 0.0}):
        rows += [{**AMERICAN, **change}, {**OPTION, **change}]
    values = price(rows, count=500, pricing=Pricing(american=pricing)).values
    assert values[::2] == pytest.approx(values[1::2], rel=1e-12, abs=1e-12)


def every_family(scale: float = 1.0) -> list[Row]:
    """Contracts that are worth `scale` times as much where all prices are; without averages that have begun."""
    money = {"strike": STRIKE * scale}
    rows: list[Row] = []
    for change in ({}, PUT):
        common = {**money, **change}
        rows += [{**row, **common} for row in (OPTION, AMERICAN, ASIAN, {**ASIAN, "average": "geometric"})]
        rows += [{**DIGITAL, **common, "payout": "asset"}, {**DIGITAL, **common, "cash": 3.0 * scale}]
        on_future = {**common, "delivery_years": 0.5}
        rows += [{**row, **on_future} for row in (OPTION, AMERICAN, {**DIGITAL, "cash": 3.0 * scale})]
        rows.append({**ASIAN, **common, "fixings": 7})
        for way, level in LEVELS.items():
            barred = {"barrier": level * scale, "barrier_type": way}
            rows.append({**BARRIER, **common, **barred, "rebate": 2.0 * scale})
            rows.append({**BARRIER, **common, **barred, "monitoring": 1.0})
            rows.append({**DIGITAL, **common, **barred, "payout": "asset"})
            if not change:
                rows.append({**TOUCH, **barred, "cash": 4.0 * scale})
                rows.append({**TOUCH, **barred, "payout": "asset"})
                if way.endswith("in"):
                    rows.append({**TOUCH, **barred, "payment": "hit", "cash": 4.0 * scale})
                    rows.append({**TOUCH, **barred, "payment": "hit", "payout": "asset"})
    return rows


@pytest.mark.parametrize("scale", [4.0, 1e-3])
def test_values_are_homogeneous(price: Price, scale: float) -> None:
    values, scaled = price(every_family()).values, price(every_family(scale), scale=scale).values
    # Multiplying by 1e-3 is not exact: a price can be on the other side of a barrier, by its last digit.
    assert np.quantile(abs(scaled / scale - values).max(axis=0), 0.999) < 1e-9
    assert (values.max(axis=1) > 0.01).all()


@pytest.mark.parametrize("delivery", [None, COMMON["years"]])
def test_values_in_coins(price: Price, delivery: float | None) -> None:
    """An inverse contract pays the linear one over the price, discounted at the coin's rate."""
    rows = [row for row in every_family() if ("delivery_years" in row) == (delivery is not None)]
    rows = [{k: v for k, v in row.items() if k not in ("rate", "carry")} for row in rows]
    rows = [{**row, "delivery_years": delivery} if delivery else row for row in rows]
    coins = [{**row, "settlement": "inverse"} for row in rows]
    values = price([*rows, *coins], factor={"rate": 0.05, "carry": 0.02}, count=500).values
    tolerance = [3e-6 * STRIKE if "exercise" in row else 1e-10 for row in rows]
    assert (abs(values[: len(rows)] - values[len(rows) :]).max(axis=1) < tolerance).all()


def test_values_in_coins_that_settle_on_the_way(price: Price) -> None:
    """Coins are paid at the price of the settlement, so at the horizon they are worth more or less."""
    rows = [{**row, "years": INSIDE} for row in every_family() if "delivery_years" not in row]
    rows = [{k: v for k, v in row.items() if k not in ("rate", "carry")} for row in rows]
    coins = [{**row, "settlement": "inverse"} for row in rows]
    step = last(3)
    worth = price([*rows, *coins], factor={"rate": 0.05, "carry": 0.02}, count=500, watched=(step, last(STEPS)))
    values, ratio = worth.values, worth.level(last(STEPS)) / worth.level(step)
    assert values[len(rows) :] == pytest.approx(values[: len(rows)] * ratio, rel=1e-9, abs=1e-9)


def test_values_rise_with_the_volatility(price: Price) -> None:
    """Where payoffs are convex; those of digitals and barriers are not."""
    contracts = [OPTION, AMERICAN, ASIAN, {**ASIAN, "fixings": 5}]
    contracts += [{**row, **PUT} for row in contracts]
    volatilities = (0.05, 0.2, 0.21, 0.5, 1.2)
    rows = [{**row, "volatility": v} for row in contracts for v in volatilities]
    values = price(rows, count=500).values.reshape(len(contracts), len(volatilities), -1)
    assert (np.diff(values, axis=1) > -1e-6 * STRIKE).all()
    assert (np.diff(values, axis=1).mean(axis=2) > 1e-3).all()


def test_futures_delivered_when_the_option_expires(price: Price) -> None:
    rows, futures = [], []
    for years in (0.25, INSIDE):
        for change in ({}, PUT):
            for contract in (OPTION, DIGITAL, {**DIGITAL, "payout": "asset"}, {**OPTION, "premium_style": "futures"}):
                rows.append({**contract, **change, "years": years})
                futures.append({**rows[-1], "delivery_years": years})
    values = price([*rows, *futures]).values
    assert values[len(rows) :] == pytest.approx(values[: len(rows)], rel=1e-11, abs=1e-11)


def test_options_on_futures_are_on_the_forward_price(price: Price) -> None:
    """A European option on a future is one on a price without carry that stands at the future's."""
    later = {"delivery_years": 0.75}
    rows: list[Row] = [{**row, **change, **later} for row in (OPTION, DIGITAL) for change in ({}, PUT)]
    rows += [{**AMERICAN, **change, **later} for change in ({}, PUT)]
    same = [{**row, "carry": 0.0, "strike": STRIKE * np.exp(-0.02 * (0.75 - YEARS)), "years": 0.25} for row in rows]
    for row in same:
        del row["delivery_years"]
    values, at_forward = price(rows, count=500).values, price(same, count=500).values
    factor = np.exp(0.02 * (0.75 - YEARS))  # from the spot to the future, at the horizon
    digital = [row["kind"] == "digital" for row in rows]
    expected = at_forward * np.where(digital, 1.0, factor)[:, None]
    assert abs(values - expected).max() < 3e-6 * STRIKE
    assert abs(values - expected)[:4].max() < 1e-10
