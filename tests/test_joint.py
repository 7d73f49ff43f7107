"""Intervals that hold for all rows together: by Bonferroni's inequality, and by resampling."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest
from numpy.typing import NDArray
from scipy import stats

from mcvar import build, memory
from mcvar.config import Config, SimulatedScenarios
from mcvar.intervals import joint
from mcvar.jobs import var
from mcvar.measures import Estimate, Joint, Measures, Sides, ranks
from mcvar.moments import Moments
from mcvar.tail import Tail

Floats = NDArray[np.float64]


def measured(loss: Floats, asked: Measures) -> dict[str, Estimate]:
    asked = asked.over(len(loss), 3)
    tail = Tail.of(loss, 0, asked.depth(loss.shape[1]))
    return {e.measure: e for e in asked.measure(tail, Moments.of(loss))}


def test_bonferroni_divides_what_may_be_missed() -> None:
    loss = np.random.default_rng(1).normal(size=(20, 20_000))
    found = measured(loss, Measures((0.99,), 0.95, joint=Joint.bonferroni, upper=0.9))
    single = measured(loss, Measures((0.99,), 0.9975, upper=0.995))  # 0.05 / 20, 0.1 / 20
    for name in ("var", "es", "mean", "std", "var_upper", "es_upper"):
        np.testing.assert_allclose(found[name].value, single[name].value, rtol=1e-14)
        np.testing.assert_allclose(found[name].low, single[name].low, rtol=1e-12)
        np.testing.assert_allclose(found[name].high, single[name].high, rtol=1e-12)
    assert found["var"].confidence == 0.95
    assert found["var"].method == "order statistics, 20 rows together (Bonferroni)"
    asked = Measures((0.99,), 0.95, joint=Joint.bonferroni, rows=20)
    assert vars(asked.ranks(20_000, 0.99)) == vars(ranks(20_000, 0.99, 0.9975))


@pytest.fixture(scope="module")
def correlated() -> list[Floats]:
    """80 samples of 20 rows with a common factor, each row with its own weight of it and its own scale."""
    rng, made = np.random.default_rng(17), []
    for _ in range(80):
        common, own = rng.normal(size=4_000), rng.normal(size=(20, 4_000))
        made.append(np.geomspace(1, 1e4, 20)[:, None] * (0.95 * common + np.sqrt(1 - 0.95**2) * own))
    return made


def test_joint_intervals_hold_for_all_rows(correlated: list[Floats]) -> None:
    truth = {"var": stats.norm.ppf(0.95), "es": stats.norm.pdf(stats.norm.ppf(0.95)) / 0.05}
    scale = np.geomspace(1, 1e4, 20)
    held = {way: dict.fromkeys(truth, 0) for way in Joint}
    width = {way: dict.fromkeys(truth, 0.0) for way in Joint}
    for sample in correlated:
        for way in Joint:
            found = measured(sample, Measures((0.95,), 0.9, joint=way, resamples=100))
            for name, true in truth.items():
                e = found[name]
                held[way][name] += bool(((e.low <= true * scale) & (true * scale <= e.high)).all())
                width[way][name] += float(((e.high - e.low) / scale).mean())
    error = 3.5 * np.sqrt(0.9 * 0.1 * 80)
    for name in truth:
        assert abs(held[Joint.bootstrap][name] - 0.9 * 80) < error
        assert held[Joint.bonferroni][name] > 0.9 * 80 - error
        assert held[Joint.none][name] < held[Joint.bootstrap][name]
        assert width[Joint.none][name] < width[Joint.bootstrap][name] < 0.97 * width[Joint.bonferroni][name]


def test_equal_rows_are_one_row() -> None:
    one = np.random.default_rng(2).normal(size=(1, 5_000))
    asked = Measures((0.95,), 0.9, joint=Joint.bootstrap, resamples=300, upper=0.9)
    alone, many = measured(one, asked), measured(np.repeat(one, 50, axis=0), asked)
    for name in ("var", "es", "var_upper", "es_upper"):
        assert np.array_equal(many[name].value, np.repeat(alone[name].value, 50))
        np.testing.assert_array_equal(many[name].high, np.repeat(alone[name].high, 50))
    assert many["var"].method == "bootstrap, 300 resamples, 50 rows together"
    assert many["mean"].method == "asymptotic, 50 rows together (Bonferroni)"  # of a tail, means are not resampled


def test_a_limit_that_holds_together_is_one_end_of_an_interval() -> None:
    loss = np.random.default_rng(2).normal(size=(8, 5_000))
    asked = Measures((0.95,), 0.9, joint=Joint.bootstrap, resamples=300)
    upper = measured(loss, replace(asked, sides=Sides.upper))
    lower = measured(loss, replace(asked, sides=Sides.lower))
    limit = measured(loss, replace(asked, upper=0.9))
    two = measured(loss, asked)
    for name in ("var", "es"):
        np.testing.assert_array_equal(limit[f"{name}_upper"].value, upper[name].high)
        assert np.isnan(limit[f"{name}_upper"].high).all()
        assert np.isnan(upper[name].low).all()
        assert (upper[name].high < two[name].high).all()
        assert (lower[name].low > two[name].low).all()


def test_a_row_without_risk_has_no_say() -> None:
    loss = np.random.default_rng(2).normal(size=(3, 5_000))
    asked = Measures((0.95,), 0.9, joint=Joint.bootstrap, resamples=300)
    with_flat = measured(np.vstack([loss, np.full((1, 5_000), 2.0)]), asked)
    alone = measured(loss, asked)
    for name in ("var", "es"):
        np.testing.assert_array_equal(with_flat[name].high[:3], alone[name].high)
        assert (with_flat[name].low[3], with_flat[name].high[3]) == (2.0, 2.0)


def test_a_row_whose_losses_differ_by_rounding_has_no_say() -> None:
    loss = np.random.default_rng(2).normal(size=(3, 5_000))
    rounding = np.where(np.random.default_rng(3).uniform(size=5_000) < 0.004, 100.0 * (1 + 4e-16), 100.0)
    asked = Measures((0.95,), 0.9, joint=Joint.bootstrap, resamples=300)
    beside, alone = measured(np.vstack([loss, rounding]), asked), measured(loss, asked)
    for name in ("var", "es"):
        np.testing.assert_array_equal(beside[name].high[:3], alone[name].high)


def test_the_largest_of_parts_is_the_largest_of_all() -> None:
    deviation = np.random.default_rng(1).normal(size=(7, 50))
    zero = np.zeros(7)
    whole = Estimate("var", 0.99, zero, zero, zero, zero, 0.95, "", deviation)
    plain = replace(whole, deviation=None)
    parts = [whole.take(np.array(rows, dtype=np.int64)) for rows in ([4, 0], [], [1, 2, 3, 5, 6])]
    (found, nothing) = joint.merged([joint.largest([part, plain]) for part in parts])
    assert nothing is None
    np.testing.assert_array_equal(found, [deviation.max(axis=0), (-deviation).max(axis=0)])
    assert joint.stripped([whole])[0].deviation is None


def test_passes_over_some_of_the_rows_make_the_same_joint_intervals() -> None:
    given = build.inputs(Config(scenarios=SimulatedScenarios(count=4_000)))
    rows = len(given.book.row)
    asked = Measures((0.95,), joint=Joint.bootstrap, resamples=200, upper=0.9)
    plan = memory.plan(rows=rows, instruments=1, count=4_000, asked=asked, workers=2, keep=50)
    assert plan.depth == asked.depth(4_000)
    whole, blocks = (
        var.run(
            given.market, given.book, given.scenarios, decay=given.horizon.decay, asked=asked,
            plan=replace(plan, rows=at_once), keep=50,
        ).estimates
        for at_once in (rows, 70)
    )  # fmt: skip
    for a, b in zip(whole, blocks, strict=True):
        assert a.deviation is None
        assert a.method == b.method
        for name in ("value", "stderr", "low", "high"):
            np.testing.assert_array_equal(getattr(a, name), getattr(b, name))
    assert whole[0].method == f"bootstrap, 200 resamples, {rows} rows together"
