from collections.abc import Callable

import numpy as np
import pandas as pd
import pytest
from numpy.typing import NDArray

from mcvar.correlation import (
    Estimate,
    constant,
    ewma,
    factor_of,
    given,
    historical,
    nearest_correlation,
    positive,
)
from mcvar.errors import SettingError

Floats = NDArray[np.float64]
Cases = Callable[[str], list[dict[str, str]]]
rng = np.random.default_rng(31)
MOVES = rng.normal(size=(250, 4)) @ rng.normal(size=(4, 4)) * 0.01


@pytest.mark.parametrize("window", [0, 2, 60, 250])
def test_historical_covariance(window: int) -> None:
    estimate = historical(MOVES, 252.0, window=window)
    used = MOVES[-window:] if window else MOVES
    np.testing.assert_allclose(estimate.correlation, np.corrcoef(used, rowvar=False), rtol=1e-12)
    np.testing.assert_allclose(estimate.volatility, used.std(axis=0, ddof=1) * np.sqrt(252.0), rtol=1e-12)


@pytest.mark.parametrize("window", [-1, 1, 251])
def test_windows_that_do_not_fit(window: int) -> None:
    with pytest.raises(SettingError, match=rf"correlation\.window is {window}"):
        historical(MOVES, 252.0, window=window)


@pytest.mark.parametrize("decay", [0.94, 0.5, 0.9999])
def test_ewma(decay: float) -> None:
    # The RiskMetrics recursion S = decay S + (1 - decay) x x', started at nothing and made whole at the end.
    s, whole = np.zeros((4, 4)), 0.0
    for x in MOVES:
        s, whole = decay * s + (1 - decay) * np.outer(x, x), decay * whole + (1 - decay)
    s /= whole
    deviation = np.sqrt(np.diag(s))
    estimate = ewma(MOVES, 365.0, decay=decay)
    np.testing.assert_allclose(estimate.correlation, s / np.outer(deviation, deviation), rtol=1e-10)
    np.testing.assert_allclose(estimate.volatility, deviation * np.sqrt(365.0), rtol=1e-10)


@pytest.mark.parametrize("decay", [0.0, 1.0, -0.1, 2.0, float("nan")])
def test_decays_outside_their_range(decay: float) -> None:
    with pytest.raises(SettingError, match=r"correlation\.decay"):
        ewma(MOVES, 365.0, decay=decay)


def test_one_factor_and_a_factor_that_stands_still() -> None:
    one = historical(MOVES[:, :1], 252.0)
    np.testing.assert_array_equal(one.correlation, [[1.0]])
    still = historical(np.c_[MOVES[:, 0], np.zeros(250)], 252.0)
    np.testing.assert_array_equal(still.correlation, np.eye(2))
    assert still.volatility[1] == 0.0


def test_a_constant_correlation() -> None:
    estimate = constant(3, 0.4)
    np.testing.assert_array_equal(estimate.correlation, [[1, 0.4, 0.4], [0.4, 1, 0.4], [0.4, 0.4, 1]])
    assert np.isnan(estimate.volatility).all()
    with pytest.raises(SettingError, match=r"correlation\.value is 1\.5"):
        constant(3, 1.5)
    with pytest.raises(SettingError, match=r"smallest eigenvalue is -1"):
        positive(constant(5, -0.5))


# How much the estimate rests on, and moves that are missing.

BLANK = np.where(rng.random(MOVES.shape) < 0.2, np.nan, MOVES + 0.05)
BLANK[:100, 3] = np.nan


@pytest.mark.parametrize("decay", [0.94, 0.99])
def test_observations(decay: float) -> None:
    long = np.tile(MOVES, (10, 1))
    assert historical(long, 252.0).observations == 2500
    assert historical(long, 252.0, window=60).observations == 60
    assert ewma(long, 252.0, decay=decay).observations == pytest.approx((1 + decay) / (1 - decay), rel=1e-8)
    assert np.isnan(constant(2, 0.1).observations)
    assert np.isnan(given(np.eye(2)).observations)


@pytest.mark.parametrize("window", [0, 100])
def test_historical_pair_by_pair(window: int) -> None:
    frame = pd.DataFrame(BLANK[-window:])
    estimate = historical(BLANK, 252.0, window=window)
    np.testing.assert_allclose(estimate.correlation, frame.corr().to_numpy(), atol=1e-13)
    np.testing.assert_allclose(estimate.volatility, np.sqrt(252.0 * np.diag(frame.cov())), rtol=1e-12)
    there = frame.notna().to_numpy().astype(int)
    assert estimate.observations == (there.T @ there).min()


def test_ewma_pair_by_pair() -> None:
    estimate = ewma(BLANK, 365.0, decay=0.97)
    weight = 0.97 ** np.arange(249, -1, -1.0)
    observations = []
    for i in range(4):
        own = ~np.isnan(BLANK[:, i])
        variance = np.average(BLANK[own, i] ** 2, weights=weight[own])
        np.testing.assert_allclose(estimate.volatility[i], np.sqrt(variance * 365.0), rtol=1e-12)
        for j in range(4):
            both = own & ~np.isnan(BLANK[:, j])
            x, y, w = BLANK[both, i], BLANK[both, j], weight[both]
            want = (w * x * y).sum() / np.sqrt((w * x * x).sum() * (w * y * y).sum())
            np.testing.assert_allclose(estimate.correlation[i, j], want, atol=1e-13)
            observations.append(w.sum() ** 2 / (w**2).sum())
    assert estimate.observations == pytest.approx(min(observations), rel=1e-12)


def test_a_factor_that_stands_still_where_another_has_moves() -> None:
    moves = MOVES[:, :2].copy()
    moves[:50, 0] = np.nan
    moves[50:, 1] = 0.3
    estimate = historical(moves, 1.0)
    np.testing.assert_array_equal(estimate.correlation, np.eye(2))
    np.testing.assert_allclose(estimate.volatility[1], moves[:, 1].std(ddof=1), rtol=1e-12)


def test_pairs_that_contradict_each_other_need_repair() -> None:
    moves = np.full((90, 3), np.nan)
    x = rng.normal(size=90)
    moves[:30, 0], moves[:30, 1] = x[:30], x[:30]
    moves[30:60, 1], moves[30:60, 2] = x[30:60], x[30:60]
    moves[60:, 0], moves[60:, 2] = x[60:], -x[60:]
    estimate = historical(moves, 1.0)
    np.testing.assert_allclose(estimate.correlation, [[1, 1, -1], [1, 1, 1], [-1, 1, 1]], atol=1e-14)
    with pytest.raises(SettingError, match=r"smallest eigenvalue is -1.*correlation\.repair=true"):
        positive(estimate)
    repaired = positive(estimate, repair=True)
    assert repaired.observations == 30
    assert np.linalg.eigvalsh(repaired.correlation)[0] > -1e-10


@pytest.mark.parametrize("estimator", [historical, ewma])
def test_pairs_with_too_little_in_common(estimator: Callable[..., Estimate]) -> None:
    moves = MOVES.copy()
    moves[:150, 0] = np.nan  # 100 moves
    moves[169:, 1] = np.nan  # 169 moves, 19 of them in common
    moves[5:, 2] = np.nan
    with pytest.raises(SettingError) as error:
        estimator(moves, 1.0, names=("A", "B", "C", "D"))
    said = str(error.value)
    assert "of 250 moves, C has 5 moves in all; A and B have 19 in common (100 and 169 of their own): " in said
    assert "needs at least 20" in said
    assert "correlation=matrix" in said
    with pytest.raises(SettingError, match="factor 1 and factor 2 have 19 in common"):
        estimator(moves[:, :2], 1.0)
    moves[169, 1] = 0.0
    assert np.isfinite(estimator(moves[:, :2], 1.0).correlation).all()


def test_moves_too_old_to_weigh_anything_do_not_count() -> None:
    moves = np.tile(MOVES[:, :2], (10, 1))
    moves[30:, 0] = np.nan
    with pytest.raises(SettingError, match="factor 1 has 0 moves in all"):
        ewma(moves, 1.0, decay=0.5)


# What is a correlation matrix, and the nearest one to what is not.

INDEFINITE = np.array([[1.0, 1.0, 0.0], [1.0, 1.0, 1.0], [0.0, 1.0, 1.0]])


def test_published_nearest_correlations(cases: Cases) -> None:
    rows = [r for r in cases("correlation_repair.csv") if r["method"].startswith("nearest correlation")]
    names = list(dict.fromkeys(row["case_id"] for row in rows))
    assert len(names) >= 4
    for name in names:
        of = [row for row in rows if row["case_id"] == name]
        size = 1 + max(int(row["i"]) for row in of)
        matrix, expected = np.zeros((size, size)), np.zeros((size, size))
        for row in of:
            at = int(row["i"]), int(row["j"])
            matrix[at], expected[at] = float(row["input"]), float(row["expected"])
        nearest = nearest_correlation(matrix)
        np.testing.assert_allclose(nearest, expected, atol=1e-8, err_msg=name)
        np.testing.assert_array_equal(np.diag(nearest), 1.0)
        np.testing.assert_array_equal(nearest, nearest.T)
        assert np.linalg.eigvalsh(nearest)[0] > -1e-10


def test_no_correlation_matrix_nearby_is_nearer() -> None:
    symmetric = np.clip(0.5 * (lambda a: a + a.T)(rng.normal(size=(8, 8))), -1, 1)
    np.fill_diagonal(symmetric, 1.0)
    nearest = nearest_correlation(symmetric)
    distance = np.linalg.norm(nearest - symmetric)
    for step in (1e-3, 1e-2, 0.3):
        for _ in range(50):
            b = factor_of(nearest) + step * rng.normal(size=(8, 8))
            b /= np.linalg.norm(b, axis=1, keepdims=True)
            assert np.linalg.norm(b @ b.T - symmetric) >= distance - 1e-9


def test_repair_and_its_note() -> None:
    estimate = Estimate(INDEFINITE, np.array([0.1, 0.2, 0.3]), ("before",), 7.0)
    with pytest.raises(SettingError, match=r"smallest eigenvalue is -0\.414214.*correlation\.repair=true"):
        positive(estimate)
    repaired = positive(estimate, repair=True)
    np.testing.assert_array_equal(repaired.volatility, estimate.volatility)
    assert repaired.observations == 7.0
    first, note = repaired.notes
    moved = repaired.correlation - INDEFINITE
    assert first == "before"
    assert "smallest eigenvalue -0.414214" in note
    assert f"distance {np.linalg.norm(moved):.6g} (Frobenius)" in note
    assert f"largest change {np.abs(moved).max():.6g}" in note
    assert positive(repaired) is repaired


@pytest.mark.parametrize("repair", [False, True])
@pytest.mark.parametrize("matrix", [np.eye(3), np.ones((5, 5)), np.array([[1.0, -1.0], [-1.0, 1.0]])])
def test_a_positive_matrix_is_left_alone(matrix: Floats, repair: bool) -> None:
    estimate = given(matrix)
    assert positive(estimate, repair=repair) is estimate


@pytest.mark.parametrize("repair", [False, True])
@pytest.mark.parametrize(
    ("matrix", "message"),
    [
        (np.ones((2, 3)), "must be square"),
        (np.ones(3), "must be square"),
        ([[1.0, np.nan], [np.nan, 1.0]], "2 entries that are not finite"),
        ([[1.0, 0.5], [0.4, 1.0]], r"not symmetric: row 1 column 2 is 0\.5, row 2 column 1 is 0\.4"),
        ([[1.1, 0.5], [0.5, 1.0]], "ones on its diagonal"),
        ([[1.0, 1.2], [1.2, 1.0]], "beyond -1 or 1"),
    ],
)
def test_what_no_repair_can_mean(matrix: Floats, message: str, repair: bool) -> None:
    with pytest.raises(SettingError, match=message):
        positive(given(matrix), repair=repair)


# Factors L with L L' = C.


def test_a_positive_definite_factor_is_choleskys() -> None:
    correlation = np.corrcoef(MOVES, rowvar=False)
    np.testing.assert_allclose(factor_of(correlation), np.linalg.cholesky(correlation), rtol=1e-12, atol=1e-13)


@pytest.mark.parametrize("rank", [1, 2, 5])
def test_a_singular_factor(rank: int) -> None:
    b = rng.normal(size=(6, rank))
    b /= np.linalg.norm(b, axis=1, keepdims=True)
    factor = factor_of(b @ b.T)
    np.testing.assert_allclose(factor @ factor.T, b @ b.T, atol=1e-14)
    np.testing.assert_array_equal(np.triu(factor, 1), 0.0)
    assert (np.diag(factor) >= 0).all()


def test_a_repaired_matrix_has_a_factor() -> None:
    nearest = nearest_correlation(INDEFINITE)
    factor = factor_of(nearest)
    np.testing.assert_allclose(factor @ factor.T, nearest, atol=1e-10)
