"""Intervals by order statistics and by the normal limit, one-sided too, and what is refused."""

from __future__ import annotations

import re
from typing import Any

import numpy as np
import pytest
from numpy.typing import NDArray
from scipy import stats

from mcvar.errors import CapacityError, SettingError
from mcvar.intervals import asymptotic
from mcvar.intervals.estimate import Ends, Sides, kept_for
from mcvar.intervals.order import bounds
from mcvar.measures import Estimate, Interval, Joint, Measures, exact, measure
from mcvar.moments import Moments
from mcvar.tail import Tail

Floats = NDArray[np.float64]
METHODS = [Interval.order, Interval.asymptotic, Interval.sections, Interval.bootstrap]


def measured(loss: Floats, asked: Measures) -> dict[str, Estimate]:
    tail = Tail.of(loss, 0, asked.depth(loss.shape[1]))
    return {e.measure: e for e in asked.measure(tail, Moments.of(loss))}


@pytest.fixture(scope="module")
def loss() -> Floats:
    return np.random.default_rng(3).standard_t(5, (4, 10_000))


@pytest.mark.parametrize("confidence", [0.8, 0.95, 0.99])
@pytest.mark.parametrize("level", [0.5, 0.95, 0.99])
@pytest.mark.parametrize("count", [1000, 12_345])
def test_one_sided_ranks_against_scipy(count: int, level: float, confidence: float) -> None:
    ascending = np.arange(1.0, count + 1)
    lower = bounds(count, level, confidence, Ends.of(confidence, Sides.lower))
    upper = bounds(count, level, confidence, Ends.of(confidence, Sides.upper))
    assert lower.high is None
    assert upper.low is None
    test = stats.quantile_test(ascending, p=level, alternative="less")
    assert count + 1 - upper.high == test.confidence_interval(confidence).high
    # The lower end: L_low > q when fewer than its ascending rank of the losses lie below q.
    rank, law = count + 1 - lower.low, stats.binom(count, level)
    assert law.cdf(rank - 1) <= 1 - confidence < law.cdf(rank)


def test_a_one_sided_interval_takes_fewer_scenarios() -> None:
    with pytest.raises(CapacityError, match=r"set scenarios\.count to 299 or more"):  # 0.99^299 < 0.05
        bounds(298, 0.99, 0.95, Ends.of(0.95, Sides.upper))
    assert bounds(299, 0.99, 0.95, Ends.of(0.95, Sides.upper)).high == 1


@pytest.mark.parametrize("interval", METHODS)
def test_one_sided_intervals_and_upper_limits(loss: Floats, interval: Interval) -> None:
    two = measured(loss, Measures((0.99,), 0.90, interval))
    low, high = (measured(loss, Measures((0.99,), 0.95, interval, sides)) for sides in (Sides.lower, Sides.upper))
    further = measured(loss, Measures((0.99,), 0.90, interval, upper=0.95))
    for name in ("var", "es", "mean", "std"):
        assert np.isnan(low[name].high).all()
        assert np.isnan(high[name].low).all()
        if (interval, name) != (Interval.asymptotic, "var"):  # whose bandwidth follows from the confidence
            np.testing.assert_array_equal(low[name].low, two[name].low)
            np.testing.assert_array_equal(high[name].high, two[name].high)
        assert np.isfinite(low[name].stderr).all()
    for name in ("var", "es"):
        np.testing.assert_array_equal(further[f"{name}_upper"].value, high[name].high)
        assert (further[f"{name}_upper"].value > two[name].value).all()
        assert further[f"{name}_upper"].confidence == 0.95
        assert np.isnan(further[f"{name}_upper"].stderr).all()


@pytest.mark.parametrize("interval", METHODS)
def test_every_method_agrees_on_values_and_about_on_errors(loss: Floats, interval: Interval) -> None:
    plain = measured(loss, Measures((0.95,)))
    other = measured(loss, Measures((0.95,), interval=interval, sections=100))
    for name in ("var", "es"):
        np.testing.assert_allclose(other[name].value, plain[name].value, rtol=1e-13)
        assert (other[name].low < other[name].value).all()
        assert (other[name].value < other[name].high).all()
        np.testing.assert_allclose(other[name].stderr, plain[name].stderr, rtol=0.35)


@pytest.mark.parametrize(("level", "count"), [(0.95, 5_000), (0.99, 100_000), (0.5, 999)])
def test_the_spacing_by_hand(level: float, count: int) -> None:
    ascending = np.sort(np.random.default_rng(1).normal(size=count))
    law = stats.norm()
    q = law.ppf(level)
    reach = count ** (-1 / 3) * law.ppf(0.975) ** (2 / 3) * (1.5 * law.pdf(q) ** 2 / (2 * q * q + 1)) ** (1 / 3)
    assert asymptotic.bandwidth(count, level, Ends.of(0.95).given[0]) == pytest.approx(reach, rel=1e-12)
    m, at = round(count * reach), int(np.ceil(count * level)) - 1  # of n, the a-quantile is number ceil(n a)
    sparsity = (ascending[at + m] - ascending[at - m]) * count / (2 * m)
    found = asymptotic.value_at_risk(Tail.of(ascending[None], 0, count), level, 0.95)
    assert found.value[0] == ascending[at]
    assert found.stderr[0] == pytest.approx(np.sqrt(level * (1 - level) / count) * sparsity, rel=1e-12)
    assert found.stderr[0] == pytest.approx(np.sqrt(level * (1 - level) / count) / law.pdf(q), rel=0.2)


def test_few_losses_in_the_tail_are_said() -> None:
    loss = np.random.default_rng(1).normal(size=(1, 4_900))
    assert measured(loss, Measures((0.99,)))["es"].method == "asymptotic, only 49 losses in the tail"
    assert measured(loss, Measures((0.98,)))["es"].method == "asymptotic"
    assert "only 49 losses lie beyond level 0.99" in Measures((0.9, 0.99)).notes(4_900, [])[0]
    assert Measures((0.9, 0.99)).notes(5_000, []) == []


@pytest.mark.parametrize(
    ("asked", "least"),
    [
        ({"interval": Interval.asymptotic}, 500),
        ({"interval": Interval.bootstrap}, 500),
        ({"interval": Interval.sections}, 1600),
        ({"interval": Interval.sections, "sections": 30}, 3000),
        ({"joint": Joint.bonferroni, "rows": 200}, 895),  # 0.99^895 < 0.05 / 400
    ],
)
def test_too_few_scenarios_name_a_count_that_is_enough(asked: dict[str, Any], least: int) -> None:
    with pytest.raises(CapacityError, match=r"set scenarios\.count to \d+ or more") as error:
        Measures((0.9, 0.99), **asked).depth(200)
    assert int(re.findall(r"scenarios\.count to (\d+)", str(error.value))[0]) == least
    assert Measures((0.9, 0.99), **asked).depth(least) <= least
    with pytest.raises(CapacityError):
        Measures((0.9, 0.99), **asked).depth(least - 1)


@pytest.mark.parametrize(
    ("asked", "message"),
    [
        ({"confidence": 0.4, "sides": Sides.upper}, "measure.confidence is 0.4: a one-sided limit"),
        ({"upper": 0.5}, "measure.upper is 0.5"),
        ({"upper": 99.0}, "measure.upper is 99"),
        ({"sections": 1}, "measure.sections is 1: it must be a whole number, at least 2"),
        ({"sections": 2.5}, "measure.sections is 2.5: it must be a whole number"),
        ({"resamples": 0}, "measure.resamples is 0"),
        ({"upper": "x"}, "measure.upper is x: a one-sided limit"),
        ({"confidence": "x"}, "measure.confidence has x: it must lie between 0 and 1"),
        ({"confidence": 1e-17}, "measure.confidence is 1e-17: so small that an interval has no width"),
        ({"pareto": "false"}, "measure.pareto is 'false': it is true or false"),
        ({"interval": "boot"}, "measure.interval is 'boot': it is one of auto, order, asymptotic, sections, bootstrap"),
        ({"joint": 3}, "measure.joint is 3: it is one of none, bonferroni, bootstrap"),
        ({"unit": 64, "interval": Interval.order}, "measure.interval=order"),
        ({"unit": 1, "joint": Joint.bootstrap}, "^measure.joint=bootstrap takes .*: set it to bonferroni or none"),
        ({"unit": 1, "interval": Interval.bootstrap}, "^measure.interval=bootstrap takes .*: set it to auto"),
        ({"unit": 1, "pareto": True}, "measure.pareto takes independent scenarios"),
        ({"joint": Joint.bootstrap, "interval": Interval.sections}, "measure.joint=bootstrap resamples"),
    ],
)
def test_settings_that_no_run_can_have(asked: dict[str, Any], message: str) -> None:
    with pytest.raises(SettingError, match=message):
        Measures((0.99,), **asked)


def test_choices_may_be_named() -> None:
    asked = Measures((0.99,), interval="bootstrap", sides="upper", joint="bootstrap")  # type: ignore[arg-type]
    assert (asked.chosen, asked.sides, asked.joint) == (Interval.bootstrap, Sides.upper, Joint.bootstrap)


def test_auto_follows_the_way_of_sampling() -> None:
    assert Measures((0.99,)).chosen is Interval.order
    assert Measures((0.99,), unit=1).chosen is Interval.sections
    assert Measures((0.99,), joint=Joint.bootstrap).chosen is Interval.bootstrap


def test_windows_hold_what_the_normal_limit_reads() -> None:
    asked = Measures((0.99,), interval=Interval.asymptotic, upper=0.999)
    assert not asked.whole
    (first, last), span = asked.spans(100_000, 10)[0], asked.spans(100_000, 10)[1]
    assert (first, last) == (1, 10)
    assert span == (min(asked.wanted(100_000)), max(asked.wanted(100_000)))
    assert len(asked.wanted(100_000)) == 5  # VaR, and two ends of each of two widths


@pytest.mark.parametrize("interval", [Interval.order, Interval.asymptotic, Interval.sections])
def test_low_levels_are_not_told_to_go_lower(interval: Interval) -> None:
    with pytest.raises(CapacityError, match=r"level 1e-08[ ,]") as error:
        Measures((1e-8,), interval=interval).depth(1_000)
    assert str(error.value).endswith("or measure.levels nearer to 0.5")
    with pytest.raises(CapacityError, match=r"level 0\.99999999[ ,]"):
        Measures((0.99999999,), interval=interval).depth(1_000)


@pytest.mark.parametrize("joint", [Joint.none, Joint.bonferroni])
@pytest.mark.parametrize("confidence", [0.99999999999999, 0.9999999999999999])
@pytest.mark.parametrize("interval", [Interval.order, Interval.asymptotic, Interval.sections])
def test_confidence_close_to_one(interval: Interval, confidence: float, joint: Joint) -> None:
    """Upper tails: 1 - 1e-16 / 400 is 1 in floating point."""
    loss = np.random.default_rng(1).normal(size=(1, 20_000))
    asked = Measures((0.95,), confidence, interval, joint=joint, rows=200, upper=confidence)
    found = measured(loss, asked)
    miss = float((1 - exact(confidence)) / asked.shared / 2)
    law = stats.t(15) if interval is Interval.sections else stats.norm()
    for name in ("var", "es"):
        e = found[name]
        assert np.isfinite([e.low, e.high, e.stderr, found[f"{name}_upper"].value]).all()
        if (interval, name) != (Interval.order, "var"):
            np.testing.assert_allclose((e.high - e.value) / e.stderr, law.isf(miss), rtol=1e-8)
    if interval is Interval.order:
        r = asked.ranks(20_000, 0.95)
        assert r.high is not None
        below = stats.binom(20_000, 0.05)  # losses beyond the quantile: fewer than r.high so rarely
        assert below.cdf(r.high - 1) <= miss < below.cdf(r.high)
    with pytest.raises(CapacityError, match=rf"{confidence!r} interval.* set scenarios\.count to \d+ or more"):
        Measures((0.99,), confidence, joint=joint, rows=200).depth(200)
    with pytest.raises(SettingError, match=r"measure\.resamples is 1000"):
        Measures((0.95,), confidence, Interval.bootstrap).depth(20_000)


def test_rows_that_a_pilot_missed_are_left_open() -> None:
    """They run again; until then there is no number of theirs, and no error."""
    loss = np.random.default_rng(5).exponential(size=(2, 8_000))
    for asked in (Measures((0.95,), interval=i, pareto=True) for i in (Interval.sections, Interval.bootstrap)):
        tail = Tail.of(loss, 0, asked.depth(8_000))
        tail.loss[1, -40:], tail.scenario[1, -40:] = -np.inf, -1
        found = {e.measure: e for e in asked.measure(tail, Moments.of(loss))}
        for name in ("var", "es", "var_pareto", "es_pareto"):
            assert np.isfinite([found[name].stderr[0], found[name].low[0]]).all()
            assert np.isnan(found[name].low[1])


@pytest.mark.parametrize("interval", METHODS)
@pytest.mark.parametrize("value", [0.0, -3.5])
def test_a_book_without_risk(interval: Interval, value: float) -> None:
    found = measured(np.full((2, 4_000), value), Measures((0.95,), interval=interval, upper=0.99))
    for name in ("var", "es"):
        for number in (found[name].value, found[name].low, found[name].high, found[f"{name}_upper"].value):
            assert number.tolist() == [value, value]
        assert found[name].stderr.tolist() == [0.0, 0.0]


@pytest.mark.parametrize("number", [0.5, 5, 101, 20_000])
def test_what_is_kept_is_enough(number: float) -> None:
    kept = kept_for(number)
    assert stats.poisson(kept).cdf(number) <= 1e-12 < stats.poisson(0.93 * kept - 2).cdf(number)


def test_levels_and_confidence_alone_are_what_they_were(loss: Floats) -> None:
    tail, moments = Tail.of(loss, 0, 200), Moments.of(loss)
    for a, b in zip(measure(tail, moments, [0.99], 0.95), Measures((0.99,), 0.95).measure(tail, moments), strict=True):
        for name in ("value", "stderr", "low", "high"):
            np.testing.assert_array_equal(getattr(a, name), getattr(b, name))
