import re
from collections.abc import Callable
from fractions import Fraction

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from numpy.typing import NDArray
from scipy import stats
from scipy.special import ndtri

from mcvar.errors import CapacityError, SettingError
from mcvar.measures import Estimate, depth, exact, expected_shortfall, measure, ranks, value_at_risk
from mcvar.moments import Moments
from mcvar.tail import Tail

Floats = NDArray[np.float64]


def tail_of(loss: Floats, levels: list[float], confidence: float) -> Tail:
    return Tail.of(loss, 0, depth(loss.shape[1], levels, confidence))


@pytest.mark.parametrize(
    ("count", "level", "rank"),
    [
        (200_000, 0.99, 2001),  # in floating point 200000 * (1 - 0.99) is 2000.0000000000018
        (100_000, 0.95, 5001),
        (1_000_000, 0.999, 1001),
        (1_000_000, 0.975, 25_001),
        (10**9, 0.9999, 100_001),
        (1000, 0.9, 101),
        (1001, 0.9, 101),
        (1009, 0.9, 101),
        (1010, 0.9, 102),
        (400, 0.99, 5),
        (499, 0.99, 5),
        (500, 0.99, 6),
    ],
)
def test_exact_ranks(count: int, level: float, rank: int) -> None:
    assert ranks(count, level, 0.95).var == rank


def test_levels_are_the_decimals_that_were_written() -> None:
    assert exact(0.1) + exact(0.2) == exact(0.3)
    assert exact(np.float64(0.999)) == Fraction(999, 1000)


LEVELS = st.sampled_from([0.5, 0.75, 0.9, 0.95, 0.03])


@given(
    values=st.lists(st.integers(-20, 20), min_size=130, max_size=200), level=LEVELS, scale=st.sampled_from([1, 0.25])
)
@settings(max_examples=150, deadline=None, derandomize=True)
def test_var_and_es_by_definition(values: list[int], level: float, scale: float) -> None:
    loss = np.array([values], dtype=float) * scale
    n, a = len(values), Fraction(str(level))
    exact_losses = [Fraction(x) for x in loss[0].tolist()]
    # VaR = inf{l : F_N(l) >= a}, and ES = VaR + E[max(L - VaR, 0)] / (1 - a) (Rockafellar and Uryasev).
    var = min(x for x in set(exact_losses) if Fraction(sum(y <= x for y in exact_losses), n) >= a)
    es = var + sum(max(x - var, Fraction(0)) for x in exact_losses) / n / (1 - a)
    # The same once more from the worst n (1 - a) losses, the last one in part (Acerbi and Tasche).
    worst, share = sorted(exact_losses, reverse=True), n * (1 - a)
    whole = share.numerator // share.denominator
    assert es == (sum(worst[:whole]) + (share - whole) * worst[min(whole, n - 1)]) / share
    tail = tail_of(loss, [level], 0.9)
    got = value_at_risk(tail, level, 0.9)
    assert Fraction(float(got.value[0])) == var
    assert got.low[0] <= got.value[0] <= got.high[0]
    assert float(expected_shortfall(tail, level, 0.9).value[0]) == pytest.approx(float(es), rel=1e-13, abs=1e-13)


@pytest.mark.parametrize("confidence", [0.8, 0.95, 0.99])
@pytest.mark.parametrize("level", [0.5, 0.9, 0.95, 0.975, 0.99])
@pytest.mark.parametrize("count", [1000, 1234, 10_000])
def test_interval_ranks_against_scipy(count: int, level: float, confidence: float) -> None:
    r = ranks(count, level, confidence)
    test = stats.quantile_test(np.arange(1.0, count + 1), p=level)
    interval = test.confidence_interval(confidence)
    assert (count + 1 - r.low, count + 1 - r.high) == (interval.low, interval.high)


@pytest.mark.parametrize("confidence", [0.9, 0.95, 0.99])
@pytest.mark.parametrize("level", [0.95, 0.99, 0.999])
@pytest.mark.parametrize("count", [10_000, 10_001, 200_000])
def test_interval_ranks_cover_with_the_stated_probability(count: int, level: float, confidence: float) -> None:
    # X_(l) <= q < X_(u), ascending, when l <= B < u with B ~ binomial(N, a); one rank less on a side is too few.
    r = ranks(count, level, confidence)
    lower, upper = count + 1 - r.low, count + 1 - r.high
    law, side = stats.binom(count, level), (1 - confidence) / 2
    assert law.cdf(lower - 1) <= side < law.cdf(lower)
    assert law.sf(upper - 1) <= side < law.sf(upper - 2)


@pytest.mark.parametrize("confidence", [0.5, 0.95, 0.99])
@pytest.mark.parametrize("level", [0.01, 0.5, 0.95, 0.99, 0.999, 0.99999])
def test_too_few_scenarios(level: float, confidence: float) -> None:
    with pytest.raises(CapacityError, match=r"set scenarios\.count to \d+ or more") as error:
        ranks(1, level, confidence)
    least = int(re.search(r"scenarios\.count to (\d+)", str(error.value)).group(1))  # type: ignore[union-attr]
    r = ranks(least, level, confidence)
    assert 1 <= r.high <= r.low <= least
    with pytest.raises(CapacityError, match=f"^{least - 1} scenarios are too few .* to {least} or more"):
        ranks(least - 1, level, confidence)


def test_the_last_levels_before_none_take_counts_that_are_told() -> None:
    for level, least in ((0.9999999999999999, 36888794541139361), (0.999999999999, 3688879454113)):  # ln(40) / (1 - a)
        with pytest.raises(CapacityError, match=rf"level {level!r} with .* set scenarios\.count") as error:
            ranks(10**6, level, 0.95)
        told = int(re.search(r"scenarios\.count to (\d+)", str(error.value)).group(1))  # type: ignore[union-attr]
        assert told == pytest.approx(least, rel=1e-12)


@pytest.mark.parametrize("level", [0.0, 1.0, -0.01, 1.5, float("nan"), 99.0])
def test_levels_outside_their_range(level: float) -> None:
    with pytest.raises(SettingError, match=r"measure\.levels"):
        depth(10_000, [0.9, level], 0.95)
    with pytest.raises(SettingError, match=r"measure\.confidence"):
        depth(10_000, [0.9], level)


def test_no_level_and_a_level_twice() -> None:
    with pytest.raises(SettingError, match="empty"):
        depth(10_000, [], 0.95)
    with pytest.raises(SettingError, match="twice"):
        depth(10_000, [0.99, 0.95, 0.99], 0.95)


@pytest.mark.parametrize("levels", [[0.95, 0.99], [0.99, 0.95], [0.5], [0.999]])
def test_a_tail_of_the_planned_depth_answers_like_all_losses(levels: list[float]) -> None:
    loss = np.random.default_rng(1).standard_t(4, (3, 5000))
    moments = Moments.of(loss)
    short = measure(tail_of(loss, levels, 0.95), moments, levels, 0.95)
    whole = measure(Tail.of(loss, 0, 5000), moments, levels, 0.95)
    assert [(e.measure, e.level) for e in short] == [
        *((name, level) for level in levels for name in ("var", "es")),
        ("mean", None),
        ("std", None),
    ]
    for a, b in zip(short, whole, strict=True):
        for name in ("value", "stderr", "low", "high"):
            np.testing.assert_array_equal(getattr(a, name), getattr(b, name))


@pytest.mark.parametrize("read", [value_at_risk, expected_shortfall])
def test_a_tail_that_is_too_short(read: Callable[[Tail, float, float], Estimate]) -> None:
    loss = np.random.default_rng(1).normal(size=(2, 10_000))
    assert depth(10_000, [0.99], 0.95) == ranks(10_000, 0.99, 0.95).low == 121
    need = 121 if read is value_at_risk else 101
    assert read(Tail.of(loss, 0, need), 0.99, 0.95).value.shape == (2,)
    with pytest.raises(CapacityError, match=rf"keeps the {need - 1} worst of 10000 losses.* reads number {need}:"):
        read(Tail.of(loss, 0, need - 1), 0.99, 0.95)


def test_mean_and_standard_deviation() -> None:
    loss = np.random.default_rng(2).exponential(3.0, (2, 20_000))
    *_, mean, std = measure(tail_of(loss, [0.9], 0.95), Moments.of(loss), [0.9], 0.95)
    np.testing.assert_allclose(mean.value, loss.mean(axis=1))
    np.testing.assert_allclose(mean.stderr, stats.sem(loss, axis=1))
    np.testing.assert_allclose(std.value, loss.std(axis=1, ddof=1))
    # Exponential: kurtosis 9, so Var(s) = (9 - 1) s^2 / 4 N.
    np.testing.assert_allclose(std.stderr, 3.0 * np.sqrt(2 / 20_000), rtol=0.15)
    for estimate in (mean, std):
        np.testing.assert_allclose(estimate.high - estimate.low, 2 * 1.959964 * estimate.stderr, rtol=1e-6)


@pytest.mark.parametrize("value", [0.0, -3.5])
def test_a_book_without_risk(value: float) -> None:
    loss = np.full((1, 1000), value)
    for estimate in measure(tail_of(loss, [0.99], 0.95), Moments.of(loss), [0.99], 0.95):
        expected = 0.0 if estimate.measure == "std" else value
        assert (estimate.value[0], estimate.low[0], estimate.high[0]) == (expected,) * 3
        assert estimate.stderr[0] == 0.0


# Coverage, with only the order statistics drawn: the K smallest of N uniforms are Gamma_k / Gamma_{N + 1}, with Gamma_k
# the sum of k exponentials (Renyi), and their normal quantiles are the K worst of N normal losses.

COUNT, TRIALS, LEVEL = 10_000, 10_000, 0.99


@pytest.fixture(scope="module")
def worst() -> Tail:
    rng = np.random.default_rng(20)
    k = depth(COUNT, [LEVEL], 0.95)
    gamma = np.cumsum(rng.exponential(size=(TRIALS, k)), axis=1)
    total = gamma[:, -1] + rng.gamma(COUNT + 1 - k, size=TRIALS)
    return Tail(-ndtri(gamma / total[:, None]), np.zeros((TRIALS, k), dtype=np.int64), COUNT)


def coverage(estimate: Estimate, truth: float) -> float:
    return float(((estimate.low <= truth) & (truth <= estimate.high)).mean())


def test_coverage_of_the_interval_of_var(worst: Tail) -> None:
    r = ranks(COUNT, LEVEL, 0.95)
    law = stats.binom(COUNT, LEVEL)
    nominal = float(law.cdf(COUNT - r.high) - law.cdf(COUNT - r.low))
    assert nominal == pytest.approx(0.95575, abs=5e-6)
    found = coverage(value_at_risk(worst, LEVEL, 0.95), float(ndtri(LEVEL)))
    assert abs(found - nominal) < 3.5 * np.sqrt(nominal * (1 - nominal) / TRIALS)


def test_coverage_of_the_interval_of_es(worst: Tail) -> None:
    # Asymptotic, from 100 losses: a little short of 95 %.
    truth = float(stats.norm.pdf(ndtri(LEVEL))) / (1 - LEVEL)
    estimate = expected_shortfall(worst, LEVEL, 0.95)
    assert 0.93 < coverage(estimate, truth) < 0.965
    assert estimate.stderr.mean() == pytest.approx(estimate.value.std(), rel=0.05)
    assert estimate.value.mean() == pytest.approx(truth, rel=0.005)


def test_standard_error_of_var(worst: Tail) -> None:
    estimate = value_at_risk(worst, LEVEL, 0.95)
    assert estimate.stderr.mean() == pytest.approx(estimate.value.std(), rel=0.1)
    z = -float(ndtri(0.025))
    np.testing.assert_array_equal(estimate.stderr, (estimate.high - estimate.low) / (2 * z))
