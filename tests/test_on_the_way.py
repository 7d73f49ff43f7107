"""What a path decides of a contract: whether a barrier was touched, the average so far, a settlement before the end."""

from __future__ import annotations

import numpy as np
import pytest
from scipy.stats import norm
from worth import (
    AMERICAN,
    ASIAN,
    BARRIER,
    DIGITAL,
    DOWN,
    INSIDE,
    LEVELS,
    OPTION,
    PUT,
    SPOT,
    STEP,
    STEPS,
    STRIKE,
    TOUCH,
    UP,
    VOLATILITY,
    YEARS,
    Price,
    Row,
    last,
)

from mcvar.models import Drift
from mcvar.watched import Statistic, Watched


@pytest.mark.parametrize("way", ["up_out", "down_out"])
def test_what_knocked_out_on_the_path_stays_out(price: Price, way: str) -> None:
    """Worth its rebate at the horizon, even where the price has come back."""
    side = Statistic.bridge_maximum if way == "up_out" else Statistic.bridge_minimum
    extreme = Watched(0, side, STEPS)
    row = {**BARRIER, "barrier": LEVELS[way], "barrier_type": way, "rebate": 2.0}
    worth = price([row, {"kind": "spot", "underlying": "XYZ"}], watched=(extreme,))
    value, spot = worth.values
    sign = 1.0 if way == "up_out" else -1.0
    out = sign * (worth.level(extreme) - LEVELS[way]) >= 0
    back = out & (sign * (spot - LEVELS[way]) < -1.0)
    assert back.sum() > 20
    assert value[out] == pytest.approx(np.full(out.sum(), 2.0), abs=1e-12)
    assert (abs(value[~out] - 2.0) > 1e-9).all()


@pytest.mark.parametrize("off", [0.0, 0.5])
def test_expiries_on_the_way_settle_at_their_step(price: Price, off: float) -> None:
    """At the first step at or after the expiry; averages and extremes are of the path until there."""
    years, rows = INSIDE - off * STEP, list[Row]()
    fixings, steps = tuple(last(step) for step in (1, 2, 3)), range(1, 4)
    high, low = (Watched(0, s, 3) for s in (Statistic.bridge_maximum, Statistic.bridge_minimum))
    extremes = {"up": high, "down": low}
    for change in ({}, PUT):
        rows += [{**row, **change} for row in (OPTION, AMERICAN, DIGITAL, {**DIGITAL, "payout": "asset"})]
        rows += [{**BARRIER, **change, "barrier": level, "barrier_type": way} for way, level in LEVELS.items()]
    rows += [{**TOUCH, "barrier": level, "barrier_type": way} for way, level in LEVELS.items()]
    worth = price([{**row, "years": years} for row in rows], watched=(*fixings, high, low))
    path = {step: worth.level(last(step)) for step in steps}
    for row, value in zip(rows, worth.values, strict=True):
        sign = -1.0 if row.get("option_type") == "put" else 1.0
        paid = np.maximum(sign * (path[3] - STRIKE), 0.0)
        if row["kind"] == "digital":
            paid = (sign * (path[3] - row["strike"]) > 0).astype(float) if "strike" in row else np.ones(len(value))
            paid = paid * (path[3] if row.get("payout") == "asset" else 1.0)
        if "barrier" in row:
            side, _, way = row["barrier_type"].partition("_")
            touched = worth.level(extremes[side]) >= UP if side == "up" else worth.level(extremes[side]) <= DOWN
            paid = np.where(touched == (way == "in"), paid, 0.0)
        assert value == pytest.approx(paid, abs=1e-10), row


@pytest.mark.parametrize("average", ["arithmetic", "geometric"])
def test_averages_that_end_on_the_way(price: Price, average: str) -> None:
    """Of the fixings at steps, of those before today, and of the time between steps."""
    whole = {**ASIAN, "average": average, "years": INSIDE}
    start = str(np.datetime64("2026-01-02", "us") + np.timedelta64(2, "D"))
    earlier = str(np.datetime64("2026-01-02", "us") - np.timedelta64(2, "D"))
    today = "2026-01-02"
    rows = [
        {**whole, "averaging_start": start, "fixings": 3},  # steps 1, 2 and 3
        {**whole, "averaging_start": earlier, "fixings": 5, "average_so_far": 90.0},  # -1 is past, 0 to 3 are not
        {**whole, "averaging_start": today},  # continuous
        {**whole, "averaging_start": earlier, "average_so_far": 90.0},
        {**whole, "averaging_start": "2026-01-08", "fixings": 1},
    ]
    worth = price(rows, watched=tuple(last(step) for step in (1, 2, 3)), count=500)
    path = np.stack([np.full(500, SPOT), *(worth.level(last(step)) for step in (1, 2, 3))])
    f, back = (np.log, np.exp) if average == "geometric" else (np.array, np.array)
    path, so_far = f(path), f(90.0)
    mean = path[1:].mean(axis=0)
    over_time = (path[0] / 2 + path[1] + path[2] + path[3] / 2) / 3
    fixed = [mean, (so_far + path.sum(axis=0)) / 5, over_time, so_far / 4 + 3 * over_time / 4, path[3]]
    for value, of in zip(worth.values, fixed, strict=True):
        assert value == pytest.approx(np.maximum(back(of) - STRIKE, 0.0), abs=1e-9)


def test_fixings_between_steps_are_read_at_the_next_one(price: Price) -> None:
    """Two fixings, 30 days ago and the 9th of ten days in one step; one each 8 days, the last of six on the 7th."""
    known = {**ASIAN, "average_so_far": 100.0, "volatility": 0.2, "rate": 0.0, "carry": 0.0, "strike": 1.0}
    two = {**known, "averaging_start": "2025-12-03", "fixings": 2, "years": 9 / 365}
    six = {**known, "averaging_start": "2025-11-30", "fixings": 6, "years": 7 / 365}
    worth = price([two, six], steps=1, watched=(last(1),), count=500)
    end = worth.level(last(1))
    for value, fixings in zip(worth.values, (2, 6), strict=True):
        assert value == pytest.approx((100.0 * (fixings - 1) + end) / fixings - 1.0, rel=1e-12)


def test_fixings_that_are_nearly_steps(price: Price) -> None:
    """Each 2.2 days on a path of steps of 2 days: the last at the step after it, the others a step before each."""
    fixed = {**ASIAN, "averaging_start": "2026-01-04T14:24", "fixings": 3, "years": 7 / 365, "strike": 1.0}
    fixed |= {"rate": 0.0, "carry": 0.0}
    worth = price([fixed], watched=tuple(last(step) for step in (2, 3, 4)), count=500)
    mean = np.mean([worth.level(last(step)) for step in (2, 3, 4)], axis=0)
    assert worth.values[0] == pytest.approx(mean - 1.0, rel=1e-12)


def test_one_fixing_has_no_past(price: Price) -> None:
    """Whenever its average started."""
    option = {**OPTION, "averaging_start": "2025-12-03", "fixings": 1}
    values = price([{**option, "kind": "asian", "average": "arithmetic"}, OPTION], count=500).values
    assert values[0] == pytest.approx(values[1], rel=1e-12, abs=1e-12)


@pytest.mark.parametrize("steps", [1, 43])
def test_averages_that_start_where_the_horizon_is(price: Price, steps: int) -> None:
    """Nothing of them has passed, however many steps add up to the horizon."""
    later = {**ASIAN, "averaging_start": "2026-01-03"}
    values = price([later, {**later, "averaging_start": "2026-01-03T00:00:01"}], years=1 / 365, steps=steps).values
    assert values[0] == pytest.approx(values[1], rel=1e-6)


@pytest.mark.parametrize("steps", [1, 4])
@pytest.mark.parametrize("drift", [Drift.zero, Drift.martingale, Drift.risk_neutral])
@pytest.mark.parametrize("side", ["up", "down"])
def test_as_many_knock_as_brownian_motion_does(price: Price, side: str, drift: Drift, steps: int) -> None:
    """The bridge makes continuous observation exact, with one step and with more (Karatzas and Shreve 1991, 3.5.C)."""
    count = 60_000
    barrier = 106.0 if side == "up" else 93.0
    row = {**TOUCH, "barrier": barrier, "barrier_type": f"{side}_in", "cash": 1.0, "years": YEARS}
    knocked = price([row], count=count, steps=steps, drift=drift).values[0]
    assert np.isin(np.round(knocked, 12), (0.0, 1.0)).all()
    deviation = VOLATILITY * np.sqrt(YEARS)
    mean = {Drift.zero: 0.0, Drift.martingale: 0.0, Drift.risk_neutral: 0.02 * YEARS}[drift]
    mean -= 0.0 if drift is Drift.zero else deviation**2 / 2
    sign = 1.0 if side == "up" else -1.0
    far, mean = sign * np.log(barrier / SPOT), sign * mean
    share = norm.cdf((mean - far) / deviation)
    share += np.exp(2 * mean * far / deviation**2) * norm.cdf((-mean - far) / deviation)
    assert abs(knocked.mean() - share) < 4 * np.sqrt(share * (1 - share) / count)


@pytest.mark.parametrize("days", [2.0, 4.0])
@pytest.mark.parametrize("side", ["up", "down"])
def test_observations_that_are_steps_need_no_bridge(price: Price, side: str, days: float) -> None:
    """What counts is the price at those steps, against the barrier as it is."""
    seen = range(int(days / 2), 5, int(days / 2))
    row = {**BARRIER, "barrier": LEVELS[f"{side}_out"], "barrier_type": f"{side}_out", "rebate": 2.0}
    rows = [{**row, "monitoring": days}, row]
    worth = price(rows, watched=tuple(last(step) for step in seen), steps=4, years=4 * STEP)
    kinds = {w.statistic for w in worth.engine.axes.watched}
    assert kinds & {Statistic.maximum, Statistic.minimum}
    path = np.stack([worth.level(last(step)) for step in seen])
    out = (path.max(axis=0) >= UP) if side == "up" else (path.min(axis=0) <= DOWN)
    value, always = worth.values
    assert 0.02 < out.mean() < 0.98
    assert (abs(value[out] - 2.0) < 1e-12).all()
    assert (abs(value[~out] - 2.0) > 1e-9).all()
    assert (abs(always[out] - 2.0) < 1e-12).all(), "whoever looks always sees more"
    assert (abs(always - 2.0) < 1e-12).mean() > out.mean() + 0.02
