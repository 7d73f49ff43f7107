"""Degrees of freedom: simulations with known ones, likelihoods of scipy, bounds and bad input."""

from __future__ import annotations

import json

import numpy as np
import pytest
from numpy.typing import NDArray
from scipy import stats

from mcvar.errors import InputError, SettingError
from mcvar.fit import fit_copula, fit_student_t
from mcvar.fit.copula import copula_loglikelihood, kendall_correlation
from mcvar.fit.student import loglikelihood, profile_t

Floats = NDArray[np.float64]
R = np.array([[1.0, 0.6, -0.3], [0.6, 1.0, 0.1], [-0.3, 0.1, 1.0]])
NAMES = ["A", "B", "C"]
SCALE = np.array([0.01, 0.02, 3.0])


def simulated(dof: float, count: int = 3000, seed: int = 1) -> Floats:
    rng = np.random.default_rng(seed)
    z = rng.normal(size=(count, 3)) @ np.linalg.cholesky(R).T
    return z * np.sqrt(dof / rng.chisquare(dof, size=(count, 1))) * SCALE + 0.1 * SCALE


@pytest.mark.parametrize("dof", [5.0, 7.0, 12.0])
def test_known_degrees_of_freedom(dof: float) -> None:
    x = simulated(dof)
    fit = fit_student_t(x, NAMES, 252)
    assert abs(fit.settings["dof"] - dof) < 4 * fit.errors["dof"]
    assert fit.errors["dof"] < 0.15 * dof
    json.dumps([fit.settings, fit.errors, fit.diagnostics], allow_nan=False)


def test_the_likelihood_is_scipys_and_a_maximum() -> None:
    x = simulated(5.0, 800)
    fit = fit_student_t(x, NAMES, 252)
    dof = fit.settings["dof"]
    mean, covariance = x.mean(axis=0), np.cov(x, rowvar=False, bias=True)
    scatter = covariance * ((dof - 2) / dof)
    best = stats.multivariate_t.logpdf(x, mean, scatter, dof).sum()
    assert loglikelihood(x, dof, mean, scatter) == pytest.approx(best, rel=1e-12)
    assert fit.diagnostics["loglikelihood"] == pytest.approx(best, rel=1e-9)
    for other in dof * np.exp([-0.2, -0.02, 0.02, 0.2]):
        assert stats.multivariate_t.logpdf(x, mean, covariance * ((other - 2) / other), other).sum() < best


def test_the_law_as_it_is_used_fits_clusters_of_volatility() -> None:
    """With the variance of the sample, the dof of a free scale would lose the 99 % quantile."""
    rng = np.random.default_rng(3)
    x = rng.normal(size=20_000) * np.exp(0.7 * rng.normal(size=20_000))

    def quantile(dof: float) -> float:
        return float(stats.t.ppf(0.99, dof) * np.sqrt((dof - 2) / dof) * x.std())

    free, ours, want = stats.t.fit(x)[0], profile_t(x[:, None]).value, np.quantile(np.abs(x), 0.98)
    assert abs(quantile(ours) / want - 1) < 0.5 * abs(quantile(free) / want - 1)


def test_the_error_is_the_scatter_of_repeated_fits() -> None:
    fits = [profile_t(simulated(5.0, 500, seed)) for seed in range(40)]
    scatter = np.std([f.value for f in fits], ddof=1)
    assert np.mean([f.error for f in fits if f.error]) == pytest.approx(scatter, rel=4 / np.sqrt(2 * 39))


def test_bounds() -> None:
    uniform = np.random.default_rng(4).uniform(-1, 1, size=(500, 2))
    fit = fit_student_t(uniform, ["A", "B"], 252)
    assert (fit.settings["dof"], fit.errors["dof"]) == (200.0, None)
    assert any("look normal" in note for note in fit.notes)
    wild = fit_student_t(simulated(0.8), NAMES, 252)
    assert (wild.settings["dof"], wild.errors["dof"]) == (2.05, None)
    assert any("the variance hardly exists" in note for note in wild.notes)


def test_the_copula_and_its_marginals() -> None:
    """A t copula of 4 degrees of freedom with marginals of 5 and 8, and one that is normal."""
    u = stats.t.cdf(simulated(4.0, 4000, 3) / SCALE - 0.1, 4)
    x = np.column_stack([stats.t.ppf(u[:, 0], 5), 0.02 * stats.t.ppf(u[:, 1], 8) + 1, stats.norm.ppf(u[:, 2])])
    fit = fit_copula(x, NAMES, 252)
    assert abs(fit.settings["dof"] - 4) < 4 * fit.errors["dof"]
    marginals, errors = fit.settings["marginals"], fit.errors["marginals"]
    assert abs(marginals["A"] - 5) < 4 * errors["A"]
    assert abs(marginals["B"] - 8) < 4 * errors["B"]
    assert marginals["C"] == "normal" or marginals["C"] > 30
    np.testing.assert_allclose(fit.diagnostics["correlation"], R, atol=4 / np.sqrt(len(x)))
    # Ranks only: monotone maps of the moves leave the copula alone.
    again = fit_copula(np.sinh(x), NAMES, 252)
    assert again.settings["dof"] == fit.settings["dof"]
    json.dumps([fit.settings, fit.errors, fit.diagnostics], allow_nan=False)


def test_the_copulas_density() -> None:
    u = stats.rankdata(simulated(5.0, 300), axis=0) / 301
    for dof in (2.5, 7.0, 60.0):
        y = stats.t.ppf(u, dof)
        expected = stats.multivariate_t.logpdf(y, np.zeros(3), R, dof).sum() - stats.t.logpdf(y, dof).sum()
        assert copula_loglikelihood(u, dof, R) == pytest.approx(expected, rel=1e-9)


def test_groups_have_their_own() -> None:
    rng = np.random.default_rng(5)
    a, b = simulated(3.0, 3000, 6)[:, :2], simulated(10.0, 3000, 7)[:, :2]
    x = np.column_stack([a, b, rng.normal(size=3000)])
    groups = {"near": ["D", "C"], "far": ["A", "B"], "alone": ["E"]}
    fit = fit_copula(x, list("ABCDE"), 252, groups=groups)
    assert "dof" not in fit.settings
    for group, dof in (("far", 3.0), ("near", 10.0)):
        found = fit.settings["groups"][group]
        assert found["factors"] == groups[group]
        assert abs(found["dof"] - dof) < 4 * fit.errors["groups"][group]["dof"]
    alone = fit_copula(x, list("ABCDE"), 252).settings["dof"]
    assert fit.settings["groups"]["alone"] == {"factors": ["E"], "dof": alone}
    assert fit.errors["groups"]["alone"]["dof"] is None
    assert any("group alone has one factor" in note for note in fit.notes)


def test_bad_groups() -> None:
    with pytest.raises(SettingError) as caught:
        fit_copula(simulated(4.0, 200), NAMES, 252, groups={"g": ["A", "Z"], "h": ["A"], "empty": []})
    for part in ("group empty has no factors", "'Z' is not a factor", "B is in no group", "A is there 2 times"):
        assert part in str(caught.value)
    with pytest.raises(SettingError, match="at least two factors, here is only A"):
        fit_copula(simulated(4.0, 200)[:, :1], ["A"], 252)


def test_a_correlation_that_is_not_positive_is_repaired() -> None:
    x = simulated(4.0, 150)
    x = np.column_stack([x, x[:, 0] + 1e-9 * x[:, 1]])
    matrix, smallest = kendall_correlation(x)
    assert smallest < 1e-6
    assert np.linalg.eigvalsh(matrix)[0] > 0
    np.testing.assert_array_equal(np.diag(matrix), 1.0)
    fit = fit_copula(x, [*NAMES, "D"], 252)
    assert any("eigenvalue" in note for note in fit.notes)


def test_moves_that_cannot_be_fitted() -> None:
    x = simulated(4.0, 99)
    x[3:5, 1] = np.inf
    x[:, 2] = 0.0
    for fit in (fit_student_t, fit_copula):
        with pytest.raises(InputError) as caught:
            fit(x, NAMES, 252)
        short, gap, flat = caught.value.problems
        assert short.startswith("99 moves, but the fit needs 100")
        assert gap.startswith("B: 2 moves are not finite, the first at row 4 (inf)")
        assert flat.startswith("C: all 99 moves are 0")
    y = simulated(4.0, 200)
    y[:, 2] = 2 * y[:, 0]
    with pytest.raises(SettingError, match=r"A, C move as one .*leave one of them out"):
        fit_student_t(y, NAMES, 252)
