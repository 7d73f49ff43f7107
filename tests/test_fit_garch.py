"""GJR-GARCH against simulations, against arch's own fit and likelihood; the variance filters."""

from __future__ import annotations

import csv
import gzip
import json
from pathlib import Path

import numpy as np
import pytest
from arch import arch_model
from arch.data import sp500
from numpy.typing import NDArray
from scipy import stats

from mcvar.errors import InputError, SettingError
from mcvar.fit import conditional_variances, ewma_variances, fit_garch
from mcvar.fit.fitted import ljung_box
from mcvar.fit.gjr import LARGEST_PERSISTENCE

Floats = NDArray[np.float64]
SP500 = np.diff(np.log(sp500.load()["Adj Close"].to_numpy()))[:, None]
TRUE = {
    "A": {"omega": 2e-6, "alpha": 0.03, "gamma": 0.10, "beta": 0.88},
    "B": {"omega": 4e-5, "alpha": 0.10, "gamma": -0.06, "beta": 0.85},
}


def simulated(count: int, dof: float | None = None, seed: int = 1) -> Floats:
    rng = np.random.default_rng(seed)
    z = rng.normal(size=(count, 2)) if dof is None else rng.standard_t(dof, size=(count, 2)) * np.sqrt(1 - 2 / dof)
    omega, alpha, gamma, beta = (np.array([p[k] for p in TRUE.values()]) for k in ("omega", "alpha", "gamma", "beta"))
    h = omega / (1 - alpha - gamma / 2 - beta)
    x = np.empty((count, 2))
    for t in range(count):
        x[t] = np.sqrt(h) * z[t]
        h = omega + (alpha + gamma * (x[t] < 0)) * x[t] ** 2 + beta * h
    return x


@pytest.mark.parametrize("dof", [None, 6.0])
def test_known_parameters_come_back(dof: float | None) -> None:
    fit = fit_garch(simulated(8000, dof), list(TRUE), 252, innovations="normal" if dof is None else "t")
    for name, true in TRUE.items():
        expected = true if dof is None else {**true, "dof": dof}
        for key, value in expected.items():
            found, error = fit.settings["parameters"][name][key], fit.errors["parameters"][name][key]
            assert abs(found - value) < 4 * error, (name, key, found, error)
            assert error < 0.5 * abs(value), (name, key)
        assert fit.errors["parameters"][name]["variance"] is None
        residuals = fit.diagnostics["factors"][name]["residuals"]
        assert abs(residuals["deviation"] - 1) < 0.03
        assert residuals["ljung_box_of_squares"]["p_value"] > 1e-3
    assert json.loads(json.dumps(fit.settings, allow_nan=False)) == fit.settings
    json.dumps([fit.errors, fit.diagnostics], allow_nan=False)


@pytest.mark.parametrize("innovations", ["normal", "t"])
def test_arch_and_its_likelihood(innovations: str) -> None:
    fit = fit_garch(SP500, ["SPX"], 252, innovations=innovations)
    found = fit.settings["parameters"]["SPX"]
    x = SP500[:, 0] - SP500.mean()
    theirs = arch_model(100 * x, mean="Zero", vol="GARCH", p=1, o=1, q=1, dist=innovations, rescale=False).fit(
        disp="off", tol=1e-12
    )
    expected = theirs.params.to_numpy() / np.array([1e4, 1, 1, 1, 1][: len(theirs.params)])
    keys = ["omega", "alpha", "gamma", "beta", "dof"][: len(expected)]
    np.testing.assert_allclose([found[k] for k in keys], expected, rtol=1e-4, atol=1e-9)
    # Both from the variances of our filter and the density of scipy.
    h = conditional_variances(SP500, fit.settings["parameters"])[:, 0]
    z = x / np.sqrt(h[:-1])
    if innovations == "normal":
        density = stats.norm.logpdf(z)
    else:
        density = stats.t.logpdf(z, found["dof"], scale=np.sqrt(1 - 2 / found["dof"]))
    likelihood = (density - 0.5 * np.log(h[:-1])).sum()
    expected_likelihood = theirs.loglikelihood + len(x) * np.log(100)
    assert likelihood == pytest.approx(expected_likelihood, rel=1e-6)
    assert fit.diagnostics["factors"]["SPX"]["loglikelihood"] == pytest.approx(expected_likelihood, rel=1e-6)
    assert found["variance"] == h[-1]
    assert theirs.forecast(horizon=1).variance.to_numpy()[-1, 0] / 1e4 == pytest.approx(h[-1], rel=1e-3)


def test_the_filter_is_archs() -> None:
    x = SP500 - SP500.mean()
    model = arch_model(100 * x[:, 0], mean="Zero", vol="GARCH", p=1, o=1, q=1, rescale=False)
    for alpha, gamma, beta in ((0.02, 0.15, 0.89), (0.10, -0.05, 0.80)):
        fixed = model.fix([0.02, alpha, gamma, beta])
        parameters = {"SPX": {"omega": 0.02e-4, "alpha": alpha, "gamma": gamma, "beta": beta}}
        expected = fixed.conditional_volatility / 100
        np.testing.assert_allclose(np.sqrt(conditional_variances(SP500, parameters))[:-1, 0], expected, rtol=1e-8)
        given = conditional_variances(SP500, parameters, start=np.array([expected[0] ** 2]))
        np.testing.assert_allclose(np.sqrt(given)[:-1, 0], expected, rtol=1e-8)
        forecast = fixed.forecast(horizon=1).variance.to_numpy()[-1, 0] / 1e4
        assert given[-1, 0] == pytest.approx(forecast, rel=1e-8)


def test_factors_are_filtered_side_by_side() -> None:
    x = simulated(400)
    both = conditional_variances(x, TRUE)
    assert both.shape == (401, 2)
    for f, name in enumerate(TRUE):
        alone = conditional_variances(x[:, [f]], {name: TRUE[name]})
        np.testing.assert_allclose(both[:, [f]], alone, rtol=1e-13)
    with pytest.raises(SettingError, match=r"2 sets of GARCH parameters \(A, B\) for moves of shape \(400, 1\)"):
        conditional_variances(x[:, :1], TRUE)


def test_exponential_weights() -> None:
    x = simulated(200)
    h = ewma_variances(x, 0.9)
    weight = 0.1 * 0.9 ** np.arange(199, -1, -1)
    np.testing.assert_allclose(h[-1], weight @ x**2 + 0.9**200 * (x[:75] ** 2).mean(axis=0), rtol=1e-12)
    np.testing.assert_allclose(ewma_variances(x[:3], 0.9)[0], (x[:3] ** 2).mean(axis=0))
    for decay in (0.0, 1.0, float("nan")):
        with pytest.raises(SettingError, match=r"decay is .*between 0 and 1"):
            ewma_variances(x, decay)
    with pytest.raises(SettingError, match=r"shape \(0, 2\)"):
        ewma_variances(x[:0], 0.9)


def test_a_variance_without_a_mean_stays_below_persistence_one() -> None:
    rng = np.random.default_rng(3)
    volatility = np.exp(np.cumsum(rng.normal(size=2000) * 0.05))  # a random walk: no long-run variance
    fit = fit_garch((volatility * rng.normal(size=2000))[:, None], ["W"], 252)
    assert fit.diagnostics["factors"]["W"]["persistence"] == pytest.approx(LARGEST_PERSISTENCE, abs=1e-6)
    assert set(fit.errors["parameters"]["W"].values()) == {None}
    assert any("W: the persistence" in note and "at its bound 0.9995" in note for note in fit.notes)


def test_a_parameter_at_its_bound_has_no_error() -> None:
    fit = fit_garch(SP500, ["SPX"], 252)
    assert fit.errors["parameters"]["SPX"]["alpha"] is None
    assert fit.errors["parameters"]["SPX"]["beta"] > 0
    assert any(note.startswith("SPX: alpha is at its bound 0") for note in fit.notes)


def test_ljung_box_of_a_known_series() -> None:
    """Q of an alternating series: r_k = (-1)^k (T - k) / T, so Q = T (T + 2) sum (T - k) / T^2."""
    q = ljung_box(np.tile([1.0, -1.0], 50), lags=2)
    assert q["statistic"] == pytest.approx(102 / 100 * (99 + 98))
    assert q["p_value"] == pytest.approx(stats.chi2.sf(q["statistic"], 2))


def test_moves_that_cannot_be_fitted() -> None:
    x = simulated(249)
    x[5, 0] = np.nan
    x[:, 1] = 0.25
    with pytest.raises(InputError) as caught:
        fit_garch(x, ["A", "B"], 252)
    short, gap, flat = caught.value.problems
    assert short == "249 moves, but the fit needs 250: give a longer history"
    assert gap.startswith("A: 1 moves are not finite, the first at row 6 (nan)")
    assert flat == "B: all 249 moves are 0.25: it never moves, leave this factor out"
    dates = [f"day {t}" for t in range(249)]
    with pytest.raises(InputError, match="the first at day 5"):
        fit_garch(x, ["A", "B"], 252, dates=dates)


@pytest.mark.parametrize(
    ("change", "message"),
    [
        ({"innovations": "cauchy"}, "innovations is 'cauchy': it must be normal or t"),
        ({"names": ["A"]}, r"shape \(300, 2\): give rows x 1 columns"),
        ({"names": ["A", "A"]}, "A stands there twice"),
        ({"steps_per_year": 0.0}, r"steps_per_year is 0\.0"),
        ({"dates": ["2026-01-02"]}, "1 dates for 300 moves"),
    ],
)
def test_bad_settings(change: dict[str, object], message: str) -> None:
    arguments = {"names": ["A", "B"], "steps_per_year": 252.0, **change}
    with pytest.raises(SettingError, match=message):
        fit_garch(simulated(300), **arguments)  # type: ignore[arg-type]


def test_a_search_that_fails_is_named(monkeypatch: pytest.MonkeyPatch) -> None:
    from mcvar.fit import gjr

    fit = gjr.ZeroMean.fit

    def give_up(self: object, **options: object) -> object:
        return fit(self, **{**options, "options": {"maxiter": 1}})

    monkeypatch.setattr(gjr.ZeroMean, "fit", give_up)
    with pytest.raises(InputError, match=r"A: the GARCH fit did not converge in 8 tries .*longer history"):
        fit_garch(simulated(300), ["A", "B"], 252)


def test_a_flat_likelihood_is_not_a_failure(shared: Path) -> None:
    """Where the tight tolerance cannot be met for the rounding of sums, the fit is the same at arch's own."""
    with gzip.open(shared / "data" / "equities" / "skfolio_sp500_dataset.csv.gz", "rt") as file:
        rows = list(csv.DictReader(file))
    level = np.array([float(row["BAC"]) for row in rows if "2006-01-01" <= row["Date"] < "2010-05-01"])
    x = np.diff(np.log(level))
    for end in range(1000, len(x), 20):  # one or the other gives up, depending on the machine
        parameters = fit_garch(x[end - 1000 : end, None], ["BAC"], 252).settings["parameters"]["BAC"]
        assert 0.9 < parameters["alpha"] + parameters["gamma"] / 2 + parameters["beta"] < 1
