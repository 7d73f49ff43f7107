"""Digitals, touches and binary barriers: published and exact values, QuantLib, identities and limits."""

from __future__ import annotations

import csv
from pathlib import Path
from typing import Any

import numpy as np
import oracle
import pytest
from numpy.typing import NDArray

from mcvar.pricing.digital import barrier_digital, digital, first_passage, touch

Array = NDArray[Any]
CASES = Path(__file__).parents[2] / "shared" / "cases" / "option_values.csv"


def rows(*families: str) -> list[Any]:
    """Published rows whose product starts with one of the names; one skipped case without the file."""
    if not CASES.exists():
        return [pytest.param(None, marks=pytest.mark.skip(reason="published values are not in this checkout"))]
    with CASES.open(newline="") as file:
        found = [row for row in csv.DictReader(file) if row["product"].startswith(families)]
    return [pytest.param(row, id=row["case_id"]) for row in found]


def moves(row: dict[str, str]) -> tuple[float, float, float, float]:
    rate = float(row["r"])
    return float(row["vol"]), rate, rate - float(row["q"]), float(row["t_effective_act360"])


def near(value: float, row: dict[str, str]) -> bool:
    """Values that are their payment are published to 1e-16: then to the last digits."""
    expected = float(row["expected"])
    return bool(abs(value - expected) <= float(row["tolerance"]) + 4e-16 * abs(expected))


@pytest.mark.parametrize("row", rows("digital_"))
def test_published_digitals(row: dict[str, str]) -> None:
    asset = "asset" in row["product"]
    sign = 1.0 if row["option_type"] == "call" else -1.0
    cash = 1.0 if asset else float(row["rebate_or_cash"])
    assert near(cash * float(digital(float(row["spot"]), float(row["strike"]), sign, asset, *moves(row))), row)


@pytest.mark.parametrize("row", rows("onetouch_", "touch_"))
def test_published_touches(row: dict[str, str]) -> None:
    """There a call is an upper barrier, which a price above has touched."""
    asset, at_hit = "asset" in row["product"], row["product"].endswith("hit")
    up = 1.0 if row["option_type"] == "call" else -1.0
    out = "knock-out" in row["barrier_type"]
    cash = 1.0 if asset else float(row["rebate_or_cash"])
    value = touch(float(row["spot"]), float(row["barrier"]), up, out, asset, at_hit, *moves(row))
    assert near(cash * float(value), row)


@pytest.mark.parametrize("row", rows("binary_barrier_"))
def test_published_binary_barriers(row: dict[str, str]) -> None:
    asset = "asset" in row["product"]
    sign = 1.0 if row["option_type"] == "call" else -1.0
    up = 1.0 if row["barrier_type"].startswith("up") else -1.0
    out = row["barrier_type"].endswith("out")
    cash = 1.0 if asset else float(row["rebate_or_cash"])
    terms = float(row["strike"]), sign, float(row["barrier"]), up, out, asset
    assert near(cash * float(barrier_digital(float(row["spot"]), *terms, *moves(row))), row)


EXACT_TOUCHES = [
    # barrier, up, asset, at the hit, volatility, rate, carry, years, value; the price is 100
    (95.0, -1.0, False, False, 0.2, 0.05, 0.03, 0.5, 0.6901173624772077),
    (90.0, -1.0, False, True, 0.06, 0.1, 0.09, 2.0, 0.004557978966350729),
    (62.0, -1.0, False, False, 0.0627, -0.0026, -0.0717, 5.0, 0.2678388728989516),
    (140.0, 1.0, True, False, 0.08, 0.1, 0.15, 1.5, 18.889755276837935),
    (110.0, 1.0, False, True, 0.2, -0.03, 0.02, 3.0, 0.7971736394255339),
    (99.0, -1.0, True, True, 0.3, -0.1, 0.04, 10.0, 99.21586402035645),
    (150.0, 1.0, False, True, 0.15, -0.2, 0.01, 2.0, 0.07353514015992221),
    (100.5, 1.0, False, True, 0.02, -0.05, 0.0, 1.0, 0.8082681374262358),
]


def test_exact_touches() -> None:
    """Haug's formula in 60 digits: large powers of small probabilities, and roots that are imaginary."""
    for barrier, up, asset, at_hit, volatility, rate, carry, years, value in EXACT_TOUCHES:
        got = touch(100.0, barrier, up, False, asset, at_hit, volatility, rate, carry, years)
        assert float(got) == pytest.approx(value, rel=1e-13)


def contracts(count: int, seed: int) -> dict[str, Array]:
    """Prices on the live side of their barrier."""
    random = np.random.default_rng(seed)
    spot, up = 100 * np.exp(random.normal(0, 0.3, count)), random.choice([-1.0, 1.0], count)
    return {
        "spot": spot,
        "strike": spot * np.exp(random.normal(0, 0.25, count)),
        "sign": random.choice([-1.0, 1.0], count),
        "barrier": spot * np.exp(up * (0.001 + 0.25 * np.abs(random.normal(0, 1, count)))),
        "up": up,
        "out": random.random(count) < 0.5,
        "asset": random.random(count) < 0.5,
        "volatility": random.uniform(0.03, 0.9, count),
        "rate": random.uniform(0.0, 0.15, count),
        "carry": random.uniform(-0.15, 0.15, count),
        "years": random.integers(1, 2000, count) / 365,
    }


def columns(c: dict[str, Array], *names: str) -> list[Array]:
    return [c[name] for name in (*names, "volatility", "rate", "carry", "years")]


def test_quantlib() -> None:
    """To 1e-8: tails of QuantLib's normal distribution err by 1e-9 once multiplied by the power of the barrier."""
    ql = oracle.quantlib()
    today = ql.Date(1, 6, 2026)
    ql.Settings.instance().evaluationDate = today
    c = contracts(oracle.many(400), 1)
    plain = digital(*columns(c, "spot", "strike", "sign", "asset"))
    binary = barrier_digital(*columns(c, "spot", "strike", "sign", "barrier", "up", "out", "asset"))
    touches = {
        (late, out): touch(c["spot"], c["barrier"], c["up"], out, c["asset"], not late, *columns(c))
        for late, out in ((False, False), (True, False), (True, True))
    }
    for i in range(len(plain)):
        row = {name: values[i].item() for name, values in c.items()}
        process = oracle.process(*(row[name] for name in ("spot", "rate", "carry", "volatility")))
        expiry = today + round(row["years"] * 365)
        unit = row["spot"] if row["asset"] else 1.0

        def payoff(call: bool, strike: float, asset: bool) -> Any:
            kind = ql.Option.Call if call else ql.Option.Put
            return ql.AssetOrNothingPayoff(kind, strike) if asset else ql.CashOrNothingPayoff(kind, strike, 1.0)

        pays = payoff(row["sign"] > 0, row["strike"], row["asset"])
        option = ql.VanillaOption(pays, ql.EuropeanExercise(expiry))
        option.setPricingEngine(ql.AnalyticEuropeanEngine(process))
        assert abs(plain[i] - option.NPV()) < 1e-13 * unit, row
        kind = ("Up" if row["up"] > 0 else "Down") + ("Out" if row["out"] else "In")
        option = ql.BarrierOption(
            getattr(ql.Barrier, kind), row["barrier"], 0.0, pays, ql.AmericanExercise(today, expiry, True)
        )
        option.setPricingEngine(ql.AnalyticBinaryBarrierEngine(process))
        assert abs(binary[i] - option.NPV()) < 1e-8 * unit, row
        for (late, out), values in touches.items():
            option = ql.VanillaOption(
                payoff(row["up"] > 0, row["barrier"], row["asset"]), ql.AmericanExercise(today, expiry, late)
            )
            engine = ql.AnalyticDigitalAmericanKOEngine if out else ql.AnalyticDigitalAmericanEngine
            option.setPricingEngine(engine(process))
            assert abs(values[i] - option.NPV()) < 1e-8 * unit, (row, late, out)


def test_in_and_out_add_up() -> None:
    c = contracts(100_000, 2)
    c["barrier"] = c["barrier"] * np.exp(-0.1 * c["up"])  # some have touched
    terms = columns(c, "spot", "strike", "sign", "barrier", "up")
    once, never = (barrier_digital(*terms[:5], out, c["asset"], *terms[5:]) for out in (False, True))
    unit = np.where(c["asset"], c["spot"] * np.exp(np.maximum(c["carry"] - c["rate"], 0) * c["years"]), 1.0)
    assert np.max(np.abs(once + never - digital(*columns(c, "spot", "strike", "sign", "asset"))) / unit) < 1e-14
    assert min(once.min(), never.min()) >= 0


def test_touch_and_no_touch_add_up_to_what_they_pay() -> None:
    c = contracts(100_000, 3)
    pair = [touch(c["spot"], c["barrier"], c["up"], out, c["asset"], False, *columns(c)) for out in (False, True)]
    paid = np.where(c["asset"], c["spot"] * np.exp(c["carry"] * c["years"]), 1.0) * np.exp(-c["rate"] * c["years"])
    np.testing.assert_allclose(pair[0] + pair[1], paid, rtol=1e-14)
    assert min(pair[0].min(), pair[1].min()) >= 0


def test_calls_and_puts_that_knock_out_add_up_to_a_no_touch() -> None:
    c = contracts(100_000, 4)
    pair = [
        barrier_digital(c["spot"], c["strike"], sign, c["barrier"], c["up"], True, False, *columns(c))
        for sign in (-1, 1)
    ]
    np.testing.assert_allclose(
        sum(pair), touch(c["spot"], c["barrier"], c["up"], True, False, False, *columns(c)), atol=1e-14
    )


def test_hits_are_worth_more_the_sooner_they_are_paid() -> None:
    """At rates of either sign, through the point where the root becomes imaginary, without a jump."""
    rate = np.linspace(-0.4, 0.4, 8001)
    value = touch(100.0, 110.0, 1.0, False, False, True, 0.2, rate, 0.02, 3.0)
    assert (np.diff(value) < 0).all()
    late = touch(100.0, 110.0, 1.0, False, False, False, 0.2, rate, 0.02, 3.0)
    assert (np.sign(value - late) == np.sign(rate)).all()
    assert np.abs(np.diff(value, 3)).max() < 1e-9


def test_first_passage_of_a_drifting_path() -> None:
    """Where the path is drawn to the barrier it arrives, after distance / drift on average."""
    assert float(first_passage(2.0, -40.0, 0.0)) == pytest.approx(1.0, abs=1e-15)
    assert float(first_passage(2.0, -2000.0, 0.3)) == pytest.approx(np.exp(-0.3 / 1000), rel=1e-9)
    assert float(first_passage(0.0, 3.0, 0.1)) == pytest.approx(1.0, abs=1e-15)


@pytest.mark.parametrize("volatility", [0.0, 1e-16, 1e-9])
@pytest.mark.parametrize(("spot", "carry", "hits"), [(100, 0.2, True), (100, 0.05, False), (100, -0.3, False)])
def test_without_volatility_the_forward_is_the_path(volatility: float, spot: float, carry: float, hits: bool) -> None:
    """Towards 110 in one year: exp(0.2) = 1.22 touches, at the time ln(1.1) / 0.2."""
    late = np.exp(-0.1)
    sooner = np.exp(-0.1 * np.log(1.1) / 0.2)
    more = volatility, 0.1, carry, 1.0
    assert float(touch(spot, 110.0, 1.0, False, False, True, *more)) == pytest.approx(hits * sooner, abs=1e-8)
    assert float(touch(spot, 110.0, 1.0, False, True, True, *more)) == pytest.approx(hits * 110 * sooner, abs=1e-6)
    assert float(touch(spot, 110.0, 1.0, True, False, False, *more)) == pytest.approx((not hits) * late, abs=1e-12)
    forward = spot * np.exp(carry)
    for sign in (-1.0, 1.0):
        pays = (sign * (forward - 103.0) > 0) * late
        assert float(digital(spot, 103.0, sign, False, *more)) == pytest.approx(pays, abs=1e-12)
        for out in (False, True):
            value = barrier_digital(spot, 103.0, sign, 110.0, 1.0, out, False, *more)
            assert float(value) == pytest.approx(pays * (hits != out), abs=1e-12)


def test_touched_now_and_expired() -> None:
    more = 0.2, 0.05, 0.02, 0.5
    late = np.exp(-0.025)
    for spot in (110.0, 120.0):
        assert float(touch(spot, 110.0, 1.0, False, False, True, *more)) == 1.0
        assert float(touch(spot, 110.0, 1.0, False, True, True, *more)) == spot
        assert float(touch(spot, 110.0, 1.0, False, False, False, *more)) == pytest.approx(late, rel=1e-15)
        assert float(touch(spot, 110.0, 1.0, True, False, False, *more)) == 0.0
        knocked = barrier_digital(spot, 100.0, 1.0, 110.0, 1.0, False, True, *more)
        assert float(knocked) == float(digital(spot, 100.0, 1.0, True, *more))
    over = 0.2, 0.05, 0.02, 0.0
    assert float(touch(109.0, 110.0, 1.0, False, False, True, *over)) == 0.0
    assert float(touch(109.0, 110.0, 1.0, True, True, False, *over)) == 109.0
    assert float(barrier_digital(109.0, 100.0, 1.0, 110.0, 1.0, True, True, *over)) == 109.0
    assert float(digital(100.0, 100.0, 1.0, False, *over)) == 0.0  # at the money is not in it
    assert float(touch(-3.0, 110.0, 1.0, True, False, False, *more)) == pytest.approx(late, rel=1e-15)
    assert float(touch(-3.0, 90.0, -1.0, False, False, True, *more)) == 1.0


@pytest.mark.parametrize("position", [0, 1, 3, 7, 8, 9, 10])
def test_nan_is_kept(position: int) -> None:
    for spot in (100.0, 85.0):
        inputs = [spot, 100.0, 1.0, 90.0, -1.0, True, False, 0.2, 0.05, 0.02, 0.5]
        inputs[position] = np.nan
        assert np.isnan(barrier_digital(*inputs))
        if position != 1:
            assert np.isnan(touch(inputs[0], inputs[3], -1.0, False, False, True, *inputs[7:]))
        if position != 3:
            assert np.isnan(digital(inputs[0], inputs[1], 1.0, False, *inputs[7:]))
