"""The bootstrap: its weights, its resamples against resampled losses, its intervals against the others."""

from __future__ import annotations

import numpy as np
import pytest
from scipy import stats

from mcvar.errors import SettingError
from mcvar.intervals.bootstrap import Resampled, check_resamples, depth, others, weights
from mcvar.intervals.estimate import Ends
from mcvar.measures import Interval, Measures, expected_shortfall, value_at_risk
from mcvar.moments import Moments
from mcvar.philox import Stream, philox
from mcvar.tail import Tail


def test_weights_are_poisson() -> None:
    drawn = weights(7, np.arange(20_000), 0, 50)
    seen = np.bincount(drawn.ravel(), minlength=13)
    assert len(seen) == 13
    law = stats.poisson(1.0)
    expected = np.append(law.pmf(np.arange(7)), law.sf(6)) * drawn.size
    assert stats.chisquare(np.append(seen[:7], seen[7:].sum()), expected).pvalue > 1e-4
    across = np.corrcoef(drawn[:, :2_000])  # resamples are independent of each other
    np.fill_diagonal(across, 0.0)
    assert np.abs(across).max() < 5 / np.sqrt(2_000)


def test_weights_are_a_function_of_seed_resample_and_scenario() -> None:
    scenario = np.array([5, 2**40 + 3, 0])
    whole = weights(7, scenario, 0, 23)
    np.testing.assert_array_equal(weights(7, scenario[::-1], 8, 23), whole[8:, ::-1])
    assert (weights(8, np.arange(1000), 0, 4) != weights(7, np.arange(1000), 0, 4)).any(axis=1).all()
    for b, n in ((0, 0), (6, 1), (22, 2)):  # one word each: that of the counter, by inversion
        at = int(scenario[n])
        counter = (at & 0xFFFFFFFF, at >> 32, b // 4, int(Stream.resample) << 24)
        words = philox(tuple(np.array([c], dtype=np.uint64) for c in counter), (7, 0))  # type: ignore[arg-type]
        assert whole[b, n] == stats.poisson(1.0).ppf((int(words[b % 4][0]) + 0.5) / 2**32)


def test_the_weight_of_what_is_not_kept() -> None:
    drawn = others(3, 90_000, 2_000)
    assert abs(drawn.mean() - 90_000) < 3.5 * 300 / np.sqrt(2_000)
    assert drawn.std() == pytest.approx(300, rel=0.06)
    np.testing.assert_array_equal(others(3, 90_000, 10), drawn[:10])


@pytest.mark.parametrize("level", [0.9, 0.95, 0.97])
def test_resamples_are_those_of_the_repeated_losses(level: float) -> None:
    loss = np.random.default_rng(2).standard_t(3, (2, 700))
    (found,) = Resampled.of(Tail.of(loss, 0, 700), [level], 9, 30)
    drawn = weights(9, np.arange(700), 0, 30)
    for r in range(2):
        for b in range(30):
            repeated = Tail.of(np.repeat(loss[r], drawn[b])[None], 0, 10**4)
            assert found.var[r, b] == pytest.approx(value_at_risk(repeated, level, 0.9).value[0], rel=1e-12)
            shortfall = expected_shortfall(repeated, level, 0.9)
            assert found.es[r, b] == pytest.approx(shortfall.value[0], rel=1e-11)
            assert found.error[r, b] == pytest.approx(shortfall.stderr[0], rel=1e-9)


def test_rows_alone_and_together_have_the_same_bits() -> None:
    loss = np.random.default_rng(2).normal(size=(5, 6_000))
    asked = Measures((0.95, 0.98), interval=Interval.bootstrap, resamples=250, seed=4)
    tail, moments = Tail.of(loss, 0, asked.depth(6_000)), Moments.of(loss)
    whole = asked.measure(tail, moments)
    for rows in (slice(0, 1), slice(1, 5)):
        part = asked.measure(Tail(tail.loss[rows], tail.scenario[rows], 6_000), moments.take(rows))
        for a, b in zip(whole, part, strict=True):
            for name in ("value", "stderr", "low", "high"):
                np.testing.assert_array_equal(getattr(a, name)[rows], getattr(b, name))


def test_percentiles_of_var_are_about_the_exact_order_statistics() -> None:
    """Of losses that are their own ranks; 2,000 resamples place a 2.5 % quantile within 1.2 ranks."""
    loss = -np.random.default_rng(1).permutation(10_000)[None] - 1.0
    asked = Measures((0.99,), interval=Interval.bootstrap, resamples=2_000)
    found = asked.measure(Tail.of(loss, 0, asked.depth(10_000)), Moments.of(loss))[0]
    assert asked.depth(10_000) == depth(10_000, 0.99) < 250
    exact = Measures((0.99,)).ranks(10_000, 0.99)
    assert -found.high[0] == pytest.approx(exact.high, abs=4.5)
    assert -found.low[0] == pytest.approx(exact.low, abs=4.5)
    assert found.method == "bootstrap, percentile, 2000 resamples"


def test_the_interval_of_es_is_skewed_like_its_error() -> None:
    loss = np.random.default_rng(8).standard_t(4, (100, 2_000))
    asked = Measures((0.975,), interval=Interval.bootstrap, resamples=500)
    found = asked.measure(Tail.of(loss, 0, asked.depth(2_000)), Moments.of(loss))[1]
    assert ((found.high - found.value) > (found.value - found.low)).mean() > 0.9
    normal = expected_shortfall(Tail.of(loss, 0, 60), 0.975, 0.95)
    np.testing.assert_array_equal(found.stderr, normal.stderr)
    assert np.median(found.value - found.low) == pytest.approx(np.median(normal.value - normal.low), rel=0.25)


def test_losses_that_come_in_a_few_values_only() -> None:
    loss = np.zeros((1, 2_000))
    loss[0, ::50] = 1.0  # 2 % lose 1: VaR at 99 % is 1 in nearly all resamples, and all of the tail is equal
    asked = Measures((0.99,), interval=Interval.bootstrap, resamples=400)
    var, es, *_ = asked.measure(Tail.of(loss, 0, asked.depth(2_000)), Moments.of(loss))
    assert (var.low[0], var.value[0], var.high[0]) == (1.0, 1.0, 1.0)
    assert es.value[0] == 1.0
    assert np.isfinite([es.low[0], es.high[0], es.stderr[0]]).all()


def test_too_few_resamples_for_an_end() -> None:
    with pytest.raises(SettingError, match=r"resamples is 199: an end that misses with probability 0.025 takes 200"):
        check_resamples(199, Ends.of(0.95))
    check_resamples(200, Ends.of(0.95))
    with pytest.raises(SettingError, match="takes 10000 or more"):
        Measures((0.95,), interval=Interval.bootstrap, upper=0.9995).depth(10_000)
