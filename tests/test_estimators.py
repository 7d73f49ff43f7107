from __future__ import annotations

import sys
from collections.abc import Callable

import numpy as np
import pandas as pd
import pytest
from numpy.typing import NDArray
from sklearn.covariance import ledoit_wolf as sklearn_ledoit_wolf

from mcvar import config as c
from mcvar.building.market import sample_market
from mcvar.correlation import Estimate, historical, positive
from mcvar.errors import SettingError
from mcvar.estimators import ledoit_wolf, random_matrix, shrink_to_constant, tau, volatilities

Floats = NDArray[np.float64]
Estimator = Callable[..., Estimate]
rng = np.random.default_rng(53)
MOVES = rng.normal(size=(120, 6)) @ rng.normal(size=(6, 6)) * [0.01, 0.02, 0.001, 5.0, 1.0, 0.01]
COMPLETE: list[Estimator] = [ledoit_wolf, shrink_to_constant, random_matrix]
NEW: list[Estimator] = [*COMPLETE, tau]


def standardised(moves: Floats) -> Floats:
    return np.asarray((moves - moves.mean(axis=0)) / moves.std(axis=0))


def student(count: int, correlation: Floats, dof: float) -> Floats:
    """Multivariate t by its definition."""
    rng = np.random.default_rng(7)
    normal = rng.multivariate_normal(np.zeros(len(correlation)), correlation, size=count)
    return np.asarray(normal / np.sqrt(rng.chisquare(dof, size=(count, 1)) / dof))


# What all have in common.


@pytest.mark.parametrize("estimator", NEW)
@pytest.mark.parametrize("window", [0, 40, 120])
def test_volatilities_are_the_samples_and_windows_the_last_moves(estimator: Estimator, window: int) -> None:
    estimate, used = estimator(MOVES, 252.0, window=window), MOVES[-window:]
    np.testing.assert_allclose(estimate.volatility, used.std(axis=0, ddof=1) * np.sqrt(252.0), rtol=1e-12)
    np.testing.assert_array_equal(estimate.correlation, estimator(used, 252.0).correlation)
    assert estimate.observations == len(used)
    np.testing.assert_array_equal(np.diag(estimate.correlation), 1.0)
    np.testing.assert_array_equal(estimate.correlation, estimate.correlation.T)
    assert positive(estimate) is estimate
    with pytest.raises(SettingError, match=r"correlation\.window is 121 but the history has 120 moves"):
        estimator(MOVES, 252.0, window=121)


@pytest.mark.parametrize("estimator", NEW)
def test_units_do_not_matter(estimator: Estimator) -> None:
    scaled = estimator(MOVES * 10.0 ** np.arange(-3, 3), 1.0).correlation
    np.testing.assert_allclose(scaled, estimator(MOVES, 1.0).correlation, atol=1e-12)


@pytest.mark.parametrize("estimator", NEW)
@pytest.mark.parametrize("still", [0.0, 0.1])
def test_a_factor_that_stands_still_changes_nothing_for_the_others(estimator: Estimator, still: float) -> None:
    estimate = estimator(np.insert(MOVES, 2, still, axis=1), 1.0)
    others = [0, 1, 3, 4, 5, 6]
    np.testing.assert_array_equal(estimate.correlation[2], np.eye(7)[2])
    np.testing.assert_allclose(
        estimate.correlation[np.ix_(others, others)], estimator(MOVES, 1.0).correlation, atol=1e-14
    )


@pytest.mark.parametrize("estimator", NEW)
@pytest.mark.parametrize("moves", [MOVES[:, :1], np.zeros((9, 2))])
def test_little_to_correlate(estimator: Estimator, moves: Floats) -> None:
    np.testing.assert_array_equal(estimator(moves, 1.0).correlation, np.eye(moves.shape[1]))


@pytest.mark.parametrize("estimator", COMPLETE)
def test_blanks_are_refused_by_name(estimator: Estimator) -> None:
    blank = MOVES.copy()
    blank[[3, 90], 1] = np.nan
    blank[7, 4] = np.nan
    with pytest.raises(SettingError, match=rf"correlation={estimator.__name__} .* 120 are missing: B 2, E 1.*=common"):
        estimator(blank, 1.0, names=tuple("ABCDEF"))
    with pytest.raises(SettingError, match="factor 2 1, factor 5 1"):
        estimator(blank, 1.0, window=115)
    assert estimator(blank, 1.0, window=29).observations == 29


@pytest.mark.parametrize(
    "option",
    [
        c.HistoricalCorrelation(window=500),
        c.EwmaCorrelation(decay=0.97),
        c.LedoitWolfCorrelation(window=500),
        c.ShrinkToConstantCorrelation(intensity=0.25, window=500),
        c.RandomMatrixCorrelation(window=500),
        c.TauCorrelation(window=500),
    ],
)
def test_every_option_is_built_with_its_settings(option: c.CorrelationConfig) -> None:
    market = sample_market(c.SampleMarket(), c.Config(correlation=option))
    assert market.correlation[0, 1] > 0.5  # the S&P 500 and the NASDAQ
    other = type(option)(window=0) if hasattr(option, "window") else c.EwmaCorrelation()
    assert (
        np.abs(sample_market(c.SampleMarket(), c.Config(correlation=other)).correlation - market.correlation).max() > 0
    )
    if isinstance(option, c.ShrinkToConstantCorrelation):
        assert "shrunk by 0.25 towards its mean" in market.notes[0]


# Ledoit and Wolf, towards the identity.


@pytest.mark.parametrize("count", [4, 30, 120])
def test_ledoit_wolf_is_scikit_learns(count: int) -> None:
    shrunk, intensity = sklearn_ledoit_wolf(standardised(MOVES[:count]))
    estimate = ledoit_wolf(MOVES[:count], 252.0)
    np.testing.assert_allclose(estimate.correlation, shrunk, atol=1e-12)
    sample = np.corrcoef(MOVES[:count], rowvar=False)
    np.testing.assert_allclose(estimate.correlation, (1 - intensity) * sample + intensity * np.eye(6), atol=1e-12)
    assert estimate.notes == (f"correlation shrunk by {intensity:.3g} towards none (Ledoit-Wolf 2004)",)


def test_ledoit_wolf_without_scikit_learn(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(sys.modules, "sklearn.covariance", None)
    with pytest.raises(SettingError, match=r"pip install scikit-learn, or take correlation=shrink_to_constant"):
        ledoit_wolf(MOVES, 252.0)


# Ledoit and Wolf, towards the mean correlation.


def honey(y: Floats) -> tuple[Floats, float]:
    """Appendices A and B of "Honey, I shrunk the sample covariance matrix", written as they are printed."""
    count, size = y.shape
    y = y - y.mean(axis=0)
    s = np.array([[sum(y[t, i] * y[t, j] for t in range(count)) / count for j in range(size)] for i in range(size)])
    r_bar = 0.0
    for i in range(size - 1):
        for j in range(i + 1, size):
            r_bar += 2 / ((size - 1) * size) * s[i, j] / np.sqrt(s[i, i] * s[j, j])
    f = np.array(
        [[s[i, i] if i == j else r_bar * np.sqrt(s[i, i] * s[j, j]) for j in range(size)] for i in range(size)]
    )
    pi, rho, gamma = 0.0, 0.0, 0.0
    for i in range(size):
        for j in range(size):
            pi_ij = sum((y[t, i] * y[t, j] - s[i, j]) ** 2 for t in range(count)) / count
            pi += pi_ij
            gamma += (f[i, j] - s[i, j]) ** 2
            if i == j:
                rho += pi_ij
                continue
            theta_i = sum((y[t, i] ** 2 - s[i, i]) * (y[t, i] * y[t, j] - s[i, j]) for t in range(count)) / count
            theta_j = sum((y[t, j] ** 2 - s[j, j]) * (y[t, i] * y[t, j] - s[i, j]) for t in range(count)) / count
            rho += r_bar / 2 * (np.sqrt(s[j, j] / s[i, i]) * theta_i + np.sqrt(s[i, i] / s[j, j]) * theta_j)
    delta = max(0.0, min((pi - rho) / gamma / count, 1.0))
    return delta * f + (1 - delta) * s, delta


def test_shrinking_to_the_mean_correlation_as_published() -> None:
    rng, inner = np.random.default_rng(13), 0
    for count, size, shared in ((25, 5, 0.5), (60, 4, 0.0), (40, 8, 1.5), (6, 6, 1.0), (300, 4, 0.3)):
        moves = rng.standard_t(5, size=(count, size)) + shared * rng.normal(size=(count, 1)) * np.arange(1, size + 1)
        matrix, delta = honey(standardised(moves))
        estimate = shrink_to_constant(moves, 1.0)
        np.testing.assert_allclose(estimate.correlation, matrix, atol=1e-12)
        assert f"shrunk by {delta:.3g} towards its mean" in estimate.notes[0]
        inner += 0 < delta < 1
    assert inner >= 3


def test_given_intensities() -> None:
    sample = np.corrcoef(MOVES, rowvar=False)
    np.testing.assert_allclose(shrink_to_constant(MOVES, 1.0, intensity=0.0).correlation, sample, atol=1e-14)
    whole = shrink_to_constant(MOVES, 1.0, intensity=1.0).correlation
    mean = sample[np.triu_indices(6, 1)].mean()
    np.testing.assert_allclose(whole[~np.eye(6, dtype=bool)], mean, rtol=1e-12)
    half = shrink_to_constant(MOVES, 1.0, intensity=0.5).correlation
    np.testing.assert_allclose(half, (sample + whole) / 2, atol=1e-14)
    two = np.corrcoef(MOVES[:, :2], rowvar=False)
    np.testing.assert_allclose(shrink_to_constant(MOVES[:, :2], 1.0, intensity=1.0).correlation, two, atol=1e-14)
    for wrong in (-0.1, 1.1, float("nan")):
        with pytest.raises(SettingError, match=rf"correlation\.intensity is {wrong}: .* between 0 and 1, or be null"):
            shrink_to_constant(MOVES, 1.0, intensity=wrong)


@pytest.mark.parametrize("estimator", [ledoit_wolf, shrink_to_constant])
def test_shrinking_comes_nearer_to_the_truth_than_the_sample(estimator: Estimator) -> None:
    rng, truth = np.random.default_rng(3), np.full((30, 30), 0.1) + 0.9 * np.eye(30)
    errors = []
    for _ in range(20):
        moves = rng.multivariate_normal(np.zeros(30), truth, size=40)
        errors.append([np.linalg.norm(e(moves, 1.0).correlation - truth) for e in (estimator, historical)])
    assert np.mean(errors, axis=0) @ [1.0, -0.8] < 0


# Eigenvalues within the noise.


def eigenvalues(matrix: Floats) -> Floats:
    return np.asarray(np.linalg.eigvalsh(matrix))


def test_independent_factors_are_all_noise() -> None:
    moves = np.random.default_rng(9).normal(size=(1000, 200))
    sample = np.corrcoef(moves, rowvar=False)
    kept = eigenvalues(sample) > (1 + np.sqrt(0.2)) ** 2
    assert kept.sum() <= 2  # the largest eigenvalue fluctuates about the edge
    filtered = random_matrix(moves, 1.0).correlation
    assert np.linalg.norm(filtered - np.eye(200)) < 0.3 * np.linalg.norm(sample - np.eye(200))
    assert np.trace(filtered) == pytest.approx(200, rel=1e-12)


def test_a_common_factor_survives_and_the_trace_is_kept() -> None:
    rng = np.random.default_rng(11)
    loading = rng.uniform(0.3, 0.9, size=50)
    moves = rng.normal(size=(250, 1)) * loading + rng.normal(size=(250, 50)) * np.sqrt(1 - loading**2)
    sample = np.corrcoef(moves, rowvar=False)
    value, vector = np.linalg.eigh(sample)
    edge = (1 + np.sqrt(50 / 250)) ** 2
    assert (value > edge).sum() == 1
    by_hand = value[-1] * np.outer(vector[:, -1], vector[:, -1])
    by_hand += (50 - value[-1]) / 49 * (np.eye(50) - np.outer(vector[:, -1], vector[:, -1]))
    assert np.trace(by_hand) == pytest.approx(50, rel=1e-12)
    by_hand /= np.sqrt(np.outer(np.diag(by_hand), np.diag(by_hand)))
    estimate = random_matrix(moves, 1.0)
    np.testing.assert_allclose(estimate.correlation, by_hand, atol=1e-12)
    top = np.linalg.eigh(estimate.correlation)[1][:, -1]
    assert abs(top @ vector[:, -1]) > 0.99
    assert estimate.notes == ("49 of 50 eigenvalues of the correlation are below the edge 2.09 of noise: made equal",)


def test_filtering_comes_nearer_to_one_common_factor_than_the_sample() -> None:
    rng, truth = np.random.default_rng(5), np.full((50, 50), 0.4) + 0.6 * np.eye(50)
    moves = rng.multivariate_normal(np.zeros(50), truth, size=100)
    filtered, sample = random_matrix(moves, 1.0).correlation, historical(moves, 1.0).correlation
    assert np.linalg.norm(filtered - truth) < 0.7 * np.linalg.norm(sample - truth)


def test_more_factors_than_moves_still_give_a_positive_definite_matrix() -> None:
    estimate = random_matrix(rng.normal(size=(20, 60)) + rng.normal(size=(20, 1)), 1.0)
    assert eigenvalues(estimate.correlation)[0] > 0.01


# Kendall's tau.


@pytest.mark.parametrize("dof", [1.0, 3.0, 300.0])
def test_tau_finds_the_correlation_of_a_t_law_whatever_its_dof(dof: float) -> None:
    truth = np.array([[1.0, 0.7, -0.3], [0.7, 1.0, 0.0], [-0.3, 0.0, 1.0]])
    found = tau(student(20_000, truth, dof), 1.0).correlation
    # sin(pi tau / 2) has the slope pi / 2 at most, and tau the error 2 / (3 sqrt(T)) at independence, at dof 1 somewhat
    # more: four times 1.5 of them.
    np.testing.assert_allclose(found, truth, atol=4 * 1.5 * np.pi / 2 * 2 / (3 * np.sqrt(20_000)))


def test_tau_sees_ranks_only() -> None:
    bent = np.column_stack([np.exp(MOVES[:, 0]), MOVES[:, 1] ** 3, -MOVES[:, 2]])
    straight = tau(MOVES[:, :3], 1.0).correlation
    flipped = np.array([1.0, 1.0, -1.0])
    np.testing.assert_array_equal(tau(bent, 1.0).correlation, straight * np.outer(flipped, flipped))
    wild = MOVES.copy()
    wild[50] *= 1e6
    assert np.abs(tau(wild, 1.0).correlation - tau(MOVES, 1.0).correlation).max() < 0.05


def test_tau_pair_by_pair() -> None:
    blank = np.where(rng.random(MOVES.shape) < 0.2, np.nan, MOVES)
    blank[:30, 0] = np.nan
    blank[:, 5] = np.where(np.isnan(blank[:, 5]), np.nan, np.sign(blank[:, 5]))  # ties
    estimate = tau(blank, 252.0)
    frame = pd.DataFrame(blank)
    want = np.sin(np.pi / 2 * frame.corr(method="kendall").to_numpy())
    np.testing.assert_allclose(estimate.correlation, want, atol=1e-14)
    np.testing.assert_allclose(estimate.volatility, frame.std().to_numpy() * np.sqrt(252.0), rtol=1e-12)
    there = ~np.isnan(blank)
    assert estimate.observations == min((there[:, i] & there[:, j]).sum() for i in range(6) for j in range(6))
    blank[: 120 - 15, 1] = np.nan
    with pytest.raises(SettingError, match=r"B has \d+ moves in all: a correlation needs at least 20"):
        tau(blank, 1.0, names=tuple("ABCDEF"))


def test_a_tau_matrix_may_need_repair() -> None:
    rng = np.random.default_rng(15)
    x = rng.normal(size=(25, 1))
    moves = np.column_stack([x, x + 0.3 * rng.normal(size=(25, 11))])
    estimate = tau(moves, 1.0)
    with pytest.raises(SettingError, match=r"correlation\.repair=true"):
        positive(estimate)
    repaired = positive(estimate, repair=True)
    assert repaired.observations == 25
    assert eigenvalues(repaired.correlation)[0] > -1e-10


# Volatilities alone.


def test_volatilities_from_own_moves() -> None:
    blank = MOVES.copy()
    blank[:100, 0] = np.nan
    blank[:101, 1] = np.nan
    blank[:, 2] = np.nan
    got = volatilities(blank, 252.0)
    want = pd.DataFrame(blank).std().to_numpy() * np.sqrt(252.0)
    np.testing.assert_allclose(got[[0, 3, 4, 5]], want[[0, 3, 4, 5]], rtol=1e-12)
    assert np.isnan(got[[1, 2]]).all()  # 19 moves, and none
    np.testing.assert_allclose(volatilities(MOVES[:3], 1.0), MOVES[:3].std(axis=0, ddof=1), rtol=1e-12)
