from functools import reduce

import numpy as np
import pytest
from numpy.typing import NDArray
from scipy import stats

from mcvar.moments import Moments

Floats = NDArray[np.float64]
rng = np.random.default_rng(12)
SAMPLES = {
    "normal": rng.normal(size=(3, 5000)),
    "skewed": rng.exponential(size=(3, 5000)) ** 2,
    "far from zero": 1e6 + rng.gamma(2.0, size=(3, 5000)),
    "unlike parts": np.concatenate([rng.normal(size=(3, 100)), 50 + 9 * rng.gamma(1.0, size=(3, 4900))], axis=1),
}


def assert_moments(moments: Moments, value: Floats, rtol: float) -> None:
    n = value.shape[1]
    assert moments.count == n
    np.testing.assert_allclose(moments.mean, value.mean(axis=1), rtol=1e-13, atol=1e-14)
    np.testing.assert_allclose(moments.variance, value.var(axis=1, ddof=1), rtol=rtol)
    deviation = np.sqrt(moments.m2 / n)
    for order, power in ((3, moments.m3), (4, moments.m4)):
        want = stats.moment(value, order, axis=1)
        np.testing.assert_allclose(power / n, want, rtol=rtol, atol=rtol * float((deviation**order).max()))


@pytest.mark.parametrize("name", SAMPLES)
def test_moments_against_scipy(name: str) -> None:
    assert_moments(Moments.of(SAMPLES[name]), SAMPLES[name], 1e-9)


@pytest.mark.parametrize("edges", [[1], [100], [2500], [1, 2, 3, 4999], [1000, 2000, 3000, 4000]])
@pytest.mark.parametrize("name", SAMPLES)
def test_merged_moments(name: str, edges: list[int]) -> None:
    parts = [Moments.of(part) for part in np.split(SAMPLES[name], edges, axis=1)]
    assert_moments(reduce(Moments.merge, parts), SAMPLES[name], 1e-9)
    assert_moments(reduce(Moments.merge, parts[::-1]), SAMPLES[name], 1e-9)


def test_skewness_and_kurtosis_of_a_pair_of_merges() -> None:
    value = SAMPLES["skewed"]
    a, b, c = (Moments.of(part) for part in np.split(value, [700, 3000], axis=1))
    for merged in (a.merge(b).merge(c), a.merge(b.merge(c))):
        n = merged.count
        skewness = merged.m3 / n / (merged.m2 / n) ** 1.5
        np.testing.assert_allclose(skewness, stats.skew(value, axis=1), rtol=1e-11)
        np.testing.assert_allclose(merged.m4 * n / merged.m2**2 - 3, stats.kurtosis(value, axis=1), rtol=1e-11)


def test_one_value_and_constant_values() -> None:
    one = Moments.of(np.array([[7.0]]))
    assert (one.count, one.mean[0], one.variance[0]) == (1, 7.0, 0.0)
    both = one.merge(Moments.of(np.full((1, 9), 7.0)))
    assert (both.count, both.mean[0], both.m2[0], both.m3[0], both.m4[0]) == (10, 7.0, 0.0, 0.0, 0.0)


def test_some_of_the_rows() -> None:
    whole = Moments.of(SAMPLES["normal"])
    part = whole.take(slice(1, 3))
    np.testing.assert_array_equal(part.m4, whole.m4[1:])
    assert part.count == whole.count
