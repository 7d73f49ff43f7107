"""Barrier options: published and exact values, QuantLib, identities and limits."""

from __future__ import annotations

import csv
from pathlib import Path
from typing import Any

import numpy as np
import oracle
import pytest
from numpy.typing import NDArray

from mcvar.pricing.barrier import barrier, monitoring_correction
from mcvar.pricing.black import black76
from mcvar.pricing.digital import touch

Array = NDArray[Any]
CASES = Path(__file__).parents[2] / "shared" / "cases" / "option_values.csv"


def rows() -> list[Any]:
    """European rows; one skipped case without the file."""
    if not CASES.exists():
        return [pytest.param(None, marks=pytest.mark.skip(reason="published values are not in this checkout"))]
    with CASES.open(newline="") as file:
        found = [r for r in csv.DictReader(file) if (r["product"], r["style"]) == ("barrier_continuous", "european")]
    return [pytest.param(row, id=row["case_id"]) for row in found]


@pytest.mark.parametrize("row", rows())
def test_published(row: dict[str, str]) -> None:
    sign = 1.0 if row["option_type"] == "call" else -1.0
    up, out = 1.0 if row["barrier_type"].startswith("up") else -1.0, row["barrier_type"].endswith("out")
    terms = float(row["strike"]), sign, float(row["barrier"]), up, out, float(row["rebate_or_cash"])
    rate = float(row["r"])
    more = float(row["vol"]), rate, rate - float(row["q"]), float(row["t_effective_act360"])
    assert abs(float(barrier(float(row["spot"]), *terms, *more)) - float(row["expected"])) <= float(row["tolerance"])


EXACT = [
    # strike, sign, barrier, up, out, rebate, volatility, rate, carry, years, value; the price is 100
    (100.0, 1.0, 95.0, -1.0, True, 0.0, 0.25, 0.08, 0.04, 0.5, 4.512598607823689),
    (110.0, -1.0, 97.0, -1.0, True, 0.0, 0.1, 0.03, 0.02, 2.0, 0.25544764468437325),
    (105.0, 1.0, 130.0, 1.0, False, 2.0, 0.3, 0.05, -0.02, 1.0, 9.053431549166444),
    (105.0, -1.0, 110.0, 1.0, False, 0.0, 0.08, 0.1, 0.15, 1.5, 0.01816193965869355),
    (120.0, 1.0, 110.0, 1.0, False, 0.0, 0.2, -0.03, 0.02, 3.0, 10.494882922694243),
    (85.0, -1.0, 80.0, -1.0, False, 0.0, 0.05, 0.02, -0.15, 1.0, 0.5801468086840427),
    (100.0, 1.0, 99.0, -1.0, True, 5.0, 0.3, -0.1, 0.04, 10.0, 11.347448590131581),
    (98.0, -1.0, 101.0, 1.0, True, 4.0, 0.04, -0.05, 0.001, 0.25, 2.631832318521022),
]


def test_exact() -> None:
    """Haug's formulas in 60 digits."""
    for *terms, value in EXACT:
        assert float(barrier(100.0, *terms)) == pytest.approx(value, rel=1e-12, abs=1e-13)


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
        "rebate": random.uniform(0, 10, count),
        "volatility": random.uniform(0.03, 0.9, count),
        "rate": random.uniform(0.0, 0.15, count),
        "carry": random.uniform(-0.15, 0.15, count),
        "years": random.integers(1, 2000, count) / 365,
    }


def vanilla(c: dict[str, Array]) -> Array:
    forward, discount = c["spot"] * np.exp(c["carry"] * c["years"]), np.exp(-c["rate"] * c["years"])
    return discount * black76(forward, c["strike"], c["volatility"] * np.sqrt(c["years"]), c["sign"])


def scale(c: dict[str, Array]) -> Array:
    grown = np.maximum(c["carry"] - c["rate"], 0) * c["years"]
    return np.maximum(c["spot"] * np.exp(grown), c["strike"] * np.exp(np.maximum(-c["rate"] * c["years"], 0)))


def test_quantlib() -> None:
    """To 1e-8: tails of QuantLib's normal distribution err by 1e-9 once multiplied by the power of the barrier."""
    ql = oracle.quantlib()
    today = ql.Date(1, 6, 2026)
    ql.Settings.instance().evaluationDate = today
    c = contracts(oracle.many(400), 1)
    values = barrier(**c)
    for i, value in enumerate(values):
        row = {name: column[i].item() for name, column in c.items()}
        process = oracle.process(*(row[name] for name in ("spot", "rate", "carry", "volatility")))
        kind = ("Up" if row["up"] > 0 else "Down") + ("Out" if row["out"] else "In")
        option = ql.BarrierOption(
            getattr(ql.Barrier, kind),
            row["barrier"],
            row["rebate"],
            ql.PlainVanillaPayoff(ql.Option.Call if row["sign"] > 0 else ql.Option.Put, row["strike"]),
            ql.EuropeanExercise(today + round(row["years"] * 365)),
        )
        option.setPricingEngine(ql.AnalyticBarrierEngine(process))
        assert abs(value - option.NPV()) < 1e-8 * max(row["spot"], row["strike"]), row


@pytest.mark.parametrize("lowest", [0.03, 1e-3, 1e-5, 1e-8])
def test_in_and_out_add_up(lowest: float) -> None:
    c = contracts(100_000, 2)
    c["barrier"] = c["barrier"] * np.exp(-0.1 * c["up"])  # some have touched
    c["rebate"] = np.zeros(100_000)
    c["volatility"] = c["volatility"] / 0.03 * lowest
    c["rate"] = c["rate"] - 0.05
    once, never = (barrier(**{**c, "out": np.full(100_000, out)}) for out in (False, True))
    assert np.max(np.abs(once + never - vanilla(c)) / scale(c)) < 1e-13
    assert min(once.min(), never.min()) >= 0


def test_rebates_are_touches() -> None:
    c = contracts(20_000, 3)
    more = [c[name] for name in ("volatility", "rate", "carry", "years")]
    without = barrier(**{**c, "rebate": np.zeros(20_000)})
    at_hit = touch(c["spot"], c["barrier"], c["up"], False, False, True, *more)
    if_never = touch(c["spot"], c["barrier"], c["up"], True, False, False, *more)
    np.testing.assert_allclose(barrier(**c) - without, c["rebate"] * np.where(c["out"], at_hit, if_never), atol=1e-12)


def test_far_barriers() -> None:
    """Never reached: what knocks out is the European option, what knocks in is its rebate."""
    c = contracts(20_000, 4)
    c["volatility"] = np.minimum(c["volatility"], 0.3)
    c["barrier"] = c["spot"] * np.exp(20 * c["up"])
    rebate = c["rebate"] * np.exp(-c["rate"] * c["years"])
    np.testing.assert_allclose(barrier(**c), np.where(c["out"], vanilla(c), rebate), atol=1e-12)


def test_calls_and_puts_have_parity() -> None:
    """A call less a put that both knock out: the asset less the strike, if never touched."""
    c = contracts(20_000, 5)
    c.update(out=np.ones(20_000, bool), rebate=np.zeros(20_000))
    more = [c[name] for name in ("volatility", "rate", "carry", "years")]
    call, put = (barrier(**{**c, "sign": np.full(20_000, sign)}) for sign in (1.0, -1.0))
    asset, cash = (touch(c["spot"], c["barrier"], c["up"], True, asset, False, *more) for asset in (True, False))
    assert np.max(np.abs(call - put - asset + c["strike"] * cash) / scale(c)) < 1e-14


def test_values_meet_at_the_barrier() -> None:
    """Just before the barrier an option is worth what it is once touched, in all eight kinds, rebates included."""
    for sign in (-1.0, 1.0):
        for up in (-1.0, 1.0):
            for out in (False, True):
                at, before = (
                    float(barrier(100.0 * np.exp(-up * gap), 95.0, sign, 100.0, up, out, 3.0, 0.2, -0.02, 0.01, 1.0))
                    for gap in (0.0, 1e-10)
                )
                assert before == pytest.approx(at, abs=1e-6)


@pytest.mark.parametrize("volatility", [0.0, 1e-16, 1e-9])
@pytest.mark.parametrize(("carry", "hits"), [(0.2, True), (0.05, False), (-0.3, False)])
@pytest.mark.parametrize("sign", [-1.0, 1.0])
def test_without_volatility_the_forward_is_the_path(volatility: float, carry: float, hits: bool, sign: float) -> None:
    """Towards 110 in one year: exp(0.2) = 1.22 touches, at the time ln(1.1) / 0.2."""
    late, sooner = np.exp(-0.1), np.exp(-0.1 * np.log(1.1) / 0.2)
    payoff = late * max(sign * (100 * np.exp(carry) - 103), 0.0)
    more = volatility, 0.1, carry, 1.0
    out, into = (float(barrier(100.0, 103.0, sign, 110.0, 1.0, knocks_out, 3.0, *more)) for knocks_out in (True, False))
    assert out == pytest.approx(3 * sooner if hits else payoff, abs=1e-7)
    assert into == pytest.approx(payoff if hits else 3 * late, abs=1e-7)


def test_touched_now_and_expired() -> None:
    c = {"strike": 100.0, "sign": 1.0, "barrier": 110.0, "up": 1.0, "rebate": 3.0, "rate": 0.05, "carry": 0.02}
    live, over = {**c, "volatility": 0.2, "years": 0.5}, {**c, "volatility": 0.2, "years": 0.0}
    for spot in (110.0, 130.0):
        assert float(barrier(spot=spot, out=True, **live)) == 3.0
        assert float(barrier(spot=spot, out=False, **live)) == pytest.approx(
            float(vanilla({"spot": spot, **live})), rel=1e-15
        )
        assert float(barrier(spot=spot, out=False, **over)) == spot - 100
    assert float(barrier(spot=109.0, out=True, **over)) == 9.0
    assert float(barrier(spot=109.0, out=False, **over)) == 3.0
    put = {**live, "sign": -1.0}
    forward = -5 * np.exp(0.01)
    assert float(barrier(spot=-5.0, out=True, **put)) == pytest.approx((100 - forward) * np.exp(-0.025), rel=1e-15)
    assert float(barrier(spot=0.0, out=False, **put)) == pytest.approx(3 * np.exp(-0.025), rel=1e-15)
    assert float(barrier(spot=0.0, out=True, **{**put, "up": -1.0})) == 3.0


@pytest.mark.parametrize("position", [0, 1, 3, 6, 7, 8, 9, 10])
@pytest.mark.parametrize("out", [True, False])
def test_nan_is_kept(position: int, out: bool) -> None:
    inputs = [100.0, 100.0, 1.0, 90.0, -1.0, out, 3.0, 0.2, 0.05, 0.02, 0.5]
    inputs[position] = np.nan
    assert np.isnan(barrier(*inputs))


def test_monitoring_moves_the_barrier_away() -> None:
    up, down = np.array([110.0, 95.0]) * np.exp(0.3 * monitoring_correction(np.array([1.0, -1.0]), 0.2 / 50))
    assert up == pytest.approx(110 * np.exp(0.5825971579390106 * 0.3 * np.sqrt(0.004)), rel=1e-15)
    assert down == pytest.approx(95 * np.exp(-0.5825971579390106 * 0.3 * np.sqrt(0.004)), rel=1e-15)
