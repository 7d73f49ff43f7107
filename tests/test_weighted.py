from __future__ import annotations

import numpy as np
import pytest
from numpy.typing import NDArray
from scipy.stats import binom, norm

from mcvar import measures
from mcvar.errors import CapacityError, SettingError
from mcvar.reduction import weighted
from mcvar.reduction.strata import Excess, Strata, section_of, section_sizes
from mcvar.tail import Tail

Floats = NDArray[np.float64]
VAR99, ES99 = float(norm.isf(0.01)), float(norm.pdf(norm.isf(0.01)) / 0.01)


def sample(seed: int = 0, rows: int = 3, count: int = 2000) -> Floats:
    return np.random.default_rng(seed).standard_normal((rows, count))


@pytest.mark.parametrize("level", [0.9, 0.975, 0.99, 0.9905])
def test_with_all_weights_one_the_values_are_the_plain_ones(level: float) -> None:
    tail = Tail.of(sample(), 0, 500)
    for weight in (1.0, np.ones(500), np.ones((3, 500))):
        var, es = weighted.measure(tail, weight, [level], 0.95)
        assert var.value.tolist() == measures.value_at_risk(tail, level, 0.95).value.tolist()
        plain = measures.expected_shortfall(tail, level, 0.95)
        np.testing.assert_allclose(es.value, plain.value, rtol=1e-13)
        np.testing.assert_allclose(es.stderr, plain.stderr, rtol=1e-10)
        assert ((var.low <= var.value) & (var.value <= var.high)).all()


def test_the_definition_with_ties_and_zero_weights() -> None:
    random, tested = np.random.default_rng(5), 0
    for _ in range(200):
        loss = random.integers(0, 12, 40) / 4.0
        weight = random.choice([0.0, 0.5, 1.0, 2.5], 40)
        tail = Tail.of(loss[None, :], 0, 40)
        own = weight[tail.scenario]
        level = random.choice([0.75, 0.5, 0.875])
        share = 40 * (1 - level)
        if weight.sum() <= share:
            continue
        # Weight beyond l falls in steps at the losses: the least of them that leaves no more than the share.
        lowest = min(value for value in loss if weight[loss > value].sum() <= share)
        worst, taken, total = np.argsort(-loss, kind="stable"), 0.0, 0.0
        for n in worst:
            part = min(weight[n], share - taken)
            taken, total = taken + part, total + part * loss[n]
        var = weighted._quantile(tail, own, np.array([share]))
        assert var[0] == lowest
        if weight.sum() > 1.9 * share:  # enough for the interval too
            tested += 1
            found = weighted.expected_shortfall(tail, own, level, 0.1)
            assert found.value[0] == pytest.approx(total / share)
    assert tested > 100


@pytest.mark.parametrize("share", [0.0085, 0.0095, 0.0099, 0.0105])
def test_intervals_hold_where_many_losses_are_equal(share: float) -> None:
    """A premium that is all that can be lost, with a probability near 1 - level."""
    rng, count, repetitions = np.random.default_rng(5), 10_000, 1_000
    lost = rng.binomial(count, share, repetitions)
    loss = np.where(np.arange(400) < lost[:, None], 1000.0, -1.0)
    tail = Tail(loss, np.broadcast_to(np.arange(400), loss.shape), count)
    found = weighted.value_at_risk(tail, 1.0, 0.99, 0.95)
    truth = 1000.0 if share > 0.01 else -1.0
    covered = ((found.low <= truth) & (truth <= found.high)).mean()
    assert covered > 0.95 - 3.5 * np.sqrt(0.95 * 0.05 / repetitions)


def test_weights_are_not_normalised() -> None:
    tail = Tail.of(np.arange(100.0)[None, :], 0, 100)
    assert weighted._quantile(tail, np.full((1, 100), 2.0), np.array([10.0]))[0] == 94.0


def test_the_interval_of_var_is_about_the_binomial_one() -> None:
    count = 200_000
    tail = Tail.of(sample(1, 20, count), 0, 3000)
    found = weighted.value_at_risk(tail, 1.0, 0.99, 0.95)
    plain = measures.value_at_risk(tail, 0.99, 0.95)
    np.testing.assert_allclose(found.low, plain.low, atol=0.1 * plain.stderr.mean())
    np.testing.assert_allclose(found.high, plain.high, atol=0.1 * plain.stderr.mean())
    exact = np.sqrt(0.01 * 0.99 / count) / norm.pdf(VAR99)
    np.testing.assert_allclose(found.stderr.mean(), exact, rtol=0.1)


def test_the_mean_of_weighted_losses() -> None:
    x = sample(2, 2, 100_000) + 1.0
    found = weighted.mean(x**2, np.exp(0.5 - x), 0.95)  # back to the standard normal law
    assert (np.abs(found.value - 1.0) < 3.5 * found.stderr).all()
    assert (found.stderr < 0.02).all()


def coverage(low: Floats, high: Floats, exact: float) -> float:
    return float(((low <= exact) & (exact <= high)).mean())


def test_intervals_cover_under_importance_sampling() -> None:
    # Losses drawn about VaR and weighted back; each row is a repetition.
    repetitions, count, shift = 400, 5000, 2.0
    loss = sample(7, repetitions, count) + shift
    tail = Tail.of(loss, 0, count)
    ratio = np.exp(0.5 * shift**2 - shift * tail.loss)
    assert abs(ratio.mean() - 1) < 3.5 * ratio.std() / np.sqrt(ratio.size)
    found = weighted.measure(tail, ratio, [0.99], 0.95)
    plain = np.sqrt(0.01 * 0.99 / count) / norm.pdf(VAR99)
    for each, exact in zip(found, (VAR99, ES99), strict=True):
        share = coverage(each.low, each.high, exact)
        assert binom.ppf(1e-4, repetitions, 0.95) <= share * repetitions <= binom.ppf(1 - 1e-4, repetitions, 0.95)
        assert abs(each.value.mean() - exact) < 3.5 * each.value.std() / np.sqrt(repetitions)
        np.testing.assert_allclose(each.stderr.mean(), each.value.std(), rtol=0.15)
        assert each.value.std() < 0.5 * plain
    sections = weighted.by_sections(tail, ratio, [0.99], 0.95, sections=20, unit=25)
    for each, exact in zip(sections, (VAR99, ES99), strict=True):
        share = coverage(each.low, each.high, exact)
        assert 0.9 < share < 0.99
        np.testing.assert_allclose(each.stderr.mean(), each.value.std(), rtol=0.15)
    assert sections[0].value.tolist() == found[0].value.tolist()


def test_sections_see_dependence_that_independence_does_not() -> None:
    # Every scenario four times over, the copies in one section: the error is twice that of independent ones.
    loss = np.repeat(sample(3, 50, 3000), 4, axis=1)
    tail = Tail.of(loss, 0, 600)
    alone = weighted.value_at_risk(tail, 1.0, 0.975, 0.95).stderr.mean()
    whole = weighted.by_sections(tail, 1.0, [0.975], 0.95, sections=25, unit=80)[0].stderr.mean()
    assert 1.7 < whole / alone < 2.3


def by_hand(strata: Strata, value: Floats, row: int) -> tuple[float, float]:
    mean, variance = 0.0, 0.0
    for h, p in enumerate(strata.probability[row]):
        n = int(strata.count[:, row, h].sum())
        inside = np.zeros(n)
        seen = value[row, strata.index[row] == h]
        inside[: len(seen)] = seen
        if n:
            mean += p * inside.mean()
            variance += p**2 * inside.var(ddof=1) / n
    return mean, variance


@pytest.fixture
def strata() -> Strata:
    random = np.random.default_rng(4)
    index = random.integers(0, 4, (2, 60))
    inside = np.stack([np.bincount(row, minlength=4) for row in index])
    count = np.stack([inside, random.integers(0, 30, (2, 4)) + 5])
    return Strata(np.array([[0.1, 0.2, 0.3, 0.4], [0.4, 0.3, 0.2, 0.1]]), count, index, 8)


def test_the_stratified_mean_and_its_variance(strata: Strata) -> None:
    value = np.random.default_rng(1).random((2, 60))
    mean, variance = strata.mean(value)
    for row in (0, 1):
        np.testing.assert_allclose((mean[row], variance[row]), by_hand(strata, value, row))
    total = strata.count.sum(axis=(0, 2))
    np.testing.assert_allclose((strata.weight() * value).sum(axis=1) / total, mean)


def test_a_linear_control_within_strata_is_a_regression(strata: Strata) -> None:
    random = np.random.default_rng(9)
    x, noise = random.random((2, 60)), random.random((2, 60))
    number = np.stack([np.bincount(row, minlength=4) for row in strata.index])
    tail = Strata(strata.probability, number[None], strata.index)  # everything is in the tail
    first, second = (tail._sums(power)[None] for power in (x, x * x))
    control = Excess(np.zeros(2), np.array([0.5, 0.6]), first, second[0], x)
    controlled = Strata(tail.probability, tail.count, tail.index, excess={0.99: control})
    y = 3.0 * x + 0.1 * noise
    mean, variance = controlled.mean(y, 0.99)
    for row in (0, 1):
        inside = [strata.index[row] == h for h in range(4)]
        p = strata.probability[row]
        part = [p[h] / k.sum() for h, k in enumerate(inside)]
        centred = [(v - v.mean()) for k in inside for v in (x[row, k], y[row, k])]
        xx = sum(w * (c @ c) for w, c in zip(part, centred[::2], strict=True))
        xy = sum(w * (c @ d) for w, c, d in zip(part, centred[::2], centred[1::2], strict=True))
        slope = xy / xx
        rest, error = by_hand(tail, y - slope * x, row)
        np.testing.assert_allclose((mean[row], variance[row]), (rest + slope * control.expected[row], error))
    assert (variance < 0.05 * tail.mean(y)[1]).all()
    assert controlled.mean(y, 0.975)[0].tolist() == tail.mean(y)[0].tolist()  # no control of that level


def test_empty_strata_join_the_next() -> None:
    strata = Strata(np.array([[0.1, 0.2, 0.7]]), np.array([[[0, 5, 15]], [[1, 5, 14]]]), np.array([[0, 1, 1, 2]]))
    joined = strata.joined()
    assert joined.index.tolist() == [[1, 1, 1, 2]]
    np.testing.assert_allclose(joined.weight(), [[0.3 * 40 / 11] * 3 + [0.7 * 40 / 29]])
    left_out = joined.mean(np.array([[1.0, 0.0, 0.0, 1.0]]), without=0)[0]
    np.testing.assert_allclose(left_out, 0.3 / 6 + 0.7 / 14)
    with pytest.raises(SettingError, match="give the law of these scenarios"):
        Strata(np.array([[0.5, 0.5]]), np.array([[[20, 0]]]), np.array([[0]])).joined()


def test_sections() -> None:
    own = section_of(np.arange(1000), 3, 16)
    assert section_sizes(1000, 3, 16).tolist() == np.bincount(own).tolist()
    with pytest.raises(SettingError, match="takes at least 2"):
        section_sizes(1000, 1, 16)
    with pytest.raises(SettingError, match=r"do not fill 3 sections: set scenarios.count to 48"):
        section_sizes(32, 3, 16)


def test_what_is_refused(strata: Strata) -> None:
    tail = Tail.of(sample(), 0, 40)
    with pytest.raises(CapacityError, match="40 worst of 2000 losses"):
        weighted.value_at_risk(tail, 1.0, 0.975, 0.95)
    with pytest.raises(SettingError, match=r"measure\.levels has 1"):
        weighted.value_at_risk(tail, 1.0, 1.0, 0.95)
    for bad in (-1.0, np.nan, np.inf):
        with pytest.raises(SettingError, match="weights of scenarios are finite"):
            weighted.expected_shortfall(tail, bad, 0.99, 0.95)
    with pytest.raises(SettingError, match="cannot be read by 4 of 8"):
        weighted.by_sections(tail, 1.0, [0.99], 0.95, sections=4, unit=8, strata=strata)
