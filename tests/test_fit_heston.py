"""Heston: published prices, calibration to chains it made itself, regression on simulated indices."""

from __future__ import annotations

import json
from collections.abc import Callable

import numpy as np
import pytest
from numpy.typing import NDArray
from scipy.integrate import quad

from mcvar.errors import InputError, SettingError
from mcvar.fit import Heston, fit_bates, fit_heston, fit_heston_chain, heston_prices
from mcvar.fit.heston_prices import characteristic
from mcvar.pricing.black import black76, implied_deviation

Floats = NDArray[np.float64]
TRUE = {
    "A": Heston(kappa=5.0, theta=0.04, sigma=0.5, rho=-0.7, v0=0.04),
    "B": Heston(kappa=8.0, theta=0.36, sigma=1.2, rho=-0.2, v0=0.36),
}
STEPS, TENOR = 252, 30 / 365
KEYS = ("kappa", "theta", "sigma", "rho", "v0")

# Prices.


def test_published_prices(cases: Callable[[str], list[dict[str, str]]]) -> None:
    rows = [row for row in cases("heston_values.csv") if row["option_type"] in ("put", "call")]
    assert len(rows) == 10
    for row in rows:
        years, q, r = (float(row[key]) for key in ("T", "q", "r"))
        forward = (
            float(row["spot"].removeprefix("fwd "))
            if "fwd" in row["spot"]
            else float(row["spot"]) * np.exp((r - q) * years)
        )
        p = Heston(*(float(row[key]) for key in KEYS[:4]), v0=float(row["v0"]))
        sign = 1.0 if row["option_type"] == "call" else -1.0
        discount = 0.98 if row["case_id"] == "HES_TFF_2" else np.exp(-r * years)
        value = float(discount * heston_prices(forward, float(row["strike"]), years, sign, p))
        expected = float(row["expected"])
        tolerance = float(row["tolerance"].split()[0])
        if "rel" in row["tolerance"]:
            tolerance *= abs(expected)
        assert abs(value - expected) <= max(tolerance, 1e-12 * expected), row["case_id"]
        # Their own quadrature is printed with 13 significant digits.
        assert value == pytest.approx(float(row["own_quadrature_check"]), abs=1e-8), row["case_id"]


@pytest.mark.parametrize("years", [1 / 365, 30 / 365, 1.0, 10.0])
def test_prices_are_the_adaptive_integral(years: float) -> None:
    p = Heston(kappa=1.5, theta=0.05, sigma=0.6, rho=-0.8, v0=0.03)
    for moneyness in (-0.3, 0.0, 0.15):
        k = moneyness * np.sqrt(years)

        def integrand(u: float, k: float = k) -> float:
            phi = characteristic(np.array([u - 0.5j]), years, p)[0]
            return float((np.exp(1j * u * k) * phi).real / (u * u + 0.25))

        integral = quad(integrand, 0, 4 / np.sqrt(years), epsabs=1e-14, epsrel=1e-13, limit=500)[0]
        for left in 4.0 ** np.arange(1, 7) / np.sqrt(years):
            integral += quad(integrand, left, 4 * left, epsabs=1e-15, epsrel=1e-12, limit=500)[0]
        strike = np.exp(-k)
        expected = 1 - np.sqrt(strike) / np.pi * integral
        assert float(heston_prices(1.0, strike, years, 1.0, p)) == pytest.approx(expected, abs=1e-12)


def test_without_volatility_of_variance_it_is_blacks() -> None:
    p = Heston(kappa=2.0, theta=0.04, sigma=1e-5, rho=0.0, v0=0.09)
    years = np.array([[0.02], [0.5], [3.0]])
    strike = np.array([60.0, 95.0, 100.0, 105.0, 160.0])
    variance = 0.04 * years + (0.09 - 0.04) * -np.expm1(-2.0 * years) / 2.0
    for sign in (1.0, -1.0):
        expected = black76(np.float64(100.0), strike, np.sqrt(variance), np.float64(sign))
        np.testing.assert_allclose(heston_prices(100.0, strike, years, sign, p), expected, atol=1e-8)


def test_the_characteristic_function_has_moments() -> None:
    p = TRUE["A"]
    assert characteristic(np.array([0j]), 2.0, p)[0] == pytest.approx(1.0, abs=1e-15)
    assert characteristic(np.array([-1j]), 2.0, p)[0] == pytest.approx(1.0, abs=1e-12)  # E[F_T] = F_0
    h = 1e-4
    slope = (characteristic(np.array([h + 0j]), 0.7, p)[0] - characteristic(np.array([-h + 0j]), 0.7, p)[0]) / (2j * h)
    assert slope.real == pytest.approx(-0.5 * 0.04 * 0.7, rel=1e-6)  # E[ln F_T/F_0] = -integral of E[v] / 2


def test_hard_prices_stay_in_their_bounds() -> None:
    """A day to expiry, variance near zero, correlation near -1, far strikes: parity and monotone in the strike."""
    for p in (
        Heston(0.5, 0.02, 2.0, -0.99, 1e-3),
        Heston(20.0, 1.0, 5.0, 0.9, 0.3),
        Heston(1.0, 0.04, 0.01, 0.0, 0.04),
    ):
        for years in (1 / 365, 7 / 365, 2.0):
            strike = np.exp(np.linspace(-2, 2, 17) * min(1, 10 * np.sqrt(years)))
            call, put = (heston_prices(1.0, strike, years, sign, p) for sign in (1.0, -1.0))
            np.testing.assert_allclose(call - put, 1 - strike, atol=1e-12)
            assert (np.diff(call) < 1e-11).all()
            assert (call > np.maximum(1 - strike, 0) - 1e-10).all()


def test_what_has_no_price() -> None:
    with pytest.raises(SettingError, match=r"kappa is -1.*theta is nan.*rho is -2"):
        Heston(-1.0, float("nan"), 0.5, -2.0, 0.04)
    with pytest.raises(SettingError, match="1 values of strike are not positive, such as 0"):
        heston_prices(1.0, [1.0, 0.0], 1.0, 1.0, TRUE["A"])


# Chains.


def chain(p: Heston, noise: float = 0.0, seed: int = 1) -> tuple[Floats, Floats, Floats, Floats]:
    years = np.repeat([7 / 365, 30 / 365, 0.25, 1.0], 11)
    strike = 100 * np.exp(np.tile(np.linspace(-1.5, 1.5, 11), 4) * np.sqrt(p.v0 * years))
    forward = np.full(44, 100.0)
    sign = np.where(strike > forward, 1.0, -1.0)
    price = heston_prices(forward, strike, years, sign, p)
    volatility = implied_deviation(price, forward, strike, sign) / np.sqrt(years)
    return forward, strike, years, volatility + noise * np.random.default_rng(seed).normal(size=44)


@pytest.mark.parametrize("name", list(TRUE))
def test_a_chain_of_its_own(name: str) -> None:
    p = Heston(TRUE[name].kappa, TRUE[name].theta, TRUE[name].sigma, TRUE[name].rho, 1.3 * TRUE[name].v0)
    exact = fit_heston_chain(*chain(p), name)
    for key in KEYS:
        assert exact.settings["parameters"][name][key] == pytest.approx(getattr(p, key), rel=1e-5)
    noisy = fit_heston_chain(*chain(p, 1e-3), name)
    for key in KEYS:
        found, error = noisy.settings["parameters"][name][key], noisy.errors["parameters"][name][key]
        assert abs(found - getattr(p, key)) < 4 * error
    assert noisy.diagnostics["rms_volatility"] == pytest.approx(1e-3, rel=0.3)
    json.dumps([noisy.settings, noisy.errors, noisy.diagnostics], allow_nan=False)


def test_a_chain_that_is_no_diffusions_is_noted() -> None:
    forward, strike, years, volatility = chain(TRUE["A"])
    steep = volatility + 0.3 * np.abs(np.log(strike / forward)) / np.sqrt(years) * (years < 0.05)
    fit = fit_heston_chain(forward, strike, years, steep, "SPX")
    assert any("misses the chain by" in note and "leave these expiries out" in note for note in fit.notes)


def test_a_chain_that_cannot_be_fitted() -> None:
    forward, strike, years, volatility = (each[:9] for each in chain(TRUE["A"]))
    volatility[2], years[4] = np.nan, 0.0
    with pytest.raises(InputError) as caught:
        fit_heston_chain(forward, strike, years, volatility, "SPX")
    assert caught.value.source == "chain of SPX"
    expired, blank, few = caught.value.problems
    assert expired == "option 5: years 0 is not positive and finite: leave it out"
    assert blank.startswith("option 3: volatility nan")
    assert few.startswith("9 options, but the fit needs 10")
    with pytest.raises(SettingError, match="one value for each option"):
        fit_heston_chain(forward, strike[:3], years, volatility, "SPX")


def test_one_expiry_is_noted() -> None:
    fit = fit_heston_chain(*(each[22:33] for each in chain(TRUE["A"], 1e-3)), "SPX")
    assert any("one expiry does not tell kappa from sigma" in note for note in fit.notes)


# Histories.


def history(years: int = 30, seed: int = 1, inner: int = 24) -> tuple[Floats, Floats, Floats]:
    """Log returns [T, 2], index levels and variances [T + 1, 2], by full truncation with 24 steps a day."""
    rng = np.random.default_rng(seed)
    kappa, theta, sigma, rho, v = (np.array([getattr(p, key) for p in TRUE.values()]) for key in KEYS)
    count, dt = years * STEPS, 1 / (STEPS * inner)
    returns, variance = np.zeros((count, 2)), np.empty((count + 1, 2))
    variance[0] = v
    across = np.sqrt(1 - rho**2)
    for t in range(count):
        z = rng.normal(size=(inner, 2, 2)) * np.sqrt(dt)
        total = 0.0
        for w, b in z:
            positive = np.maximum(v, 0.0)
            root = np.sqrt(positive)
            total = total - 0.5 * positive * dt + root * (rho * w + across * b)
            v = v + kappa * (theta - positive) * dt + sigma * root * w
        returns[t], variance[t + 1] = total, np.maximum(v, 0.0)
    a = -np.expm1(-kappa * TENOR) / (kappa * TENOR)
    return returns, np.sqrt(theta + a * (variance - theta)), variance


@pytest.fixture(scope="module")
def simulated() -> tuple[Floats, Floats, Floats]:
    return history()


def test_known_parameters_come_back(simulated: tuple[Floats, Floats, Floats]) -> None:
    returns, index, variance = simulated
    fit = fit_heston(returns, index, list(TRUE), STEPS, TENOR)
    for u, (name, p) in enumerate(TRUE.items()):
        found, errors = fit.settings["parameters"][name], fit.errors["parameters"][name]
        for key in KEYS[:4]:
            assert abs(found[key] - getattr(p, key)) < 4 * errors[key], (name, key, found, errors)
        assert abs(found["v0"] - variance[-1, u]) < 4 * errors["v0"] + 1e-12
        assert errors["kappa"] < 0.25 * p.kappa
        assert errors["sigma"] < 0.05 * p.sigma
        assert errors["rho"] < 0.03
    assert fit.diagnostics["kappa_bias"] == pytest.approx(4 / 30)
    assert any("biased upward" in note for note in fit.notes)
    json.dumps([fit.settings, fit.errors, fit.diagnostics], allow_nan=False)


def test_jumps_are_taken_off_the_index(simulated: tuple[Floats, Floats, Floats]) -> None:
    """The same history with jumps in the returns and their variance in the index gives the same parameters."""
    returns, index, _ = simulated
    jump = {"A": {"intensity": 2.0, "mean": -0.05, "deviation": 0.03}}
    lifted = index.copy()
    lifted[:, 0] = np.sqrt(index[:, 0] ** 2 + 2.0 * (0.05**2 + 0.03**2))
    plain = fit_heston(returns, index, list(TRUE), STEPS, TENOR).settings["parameters"]
    again = fit_heston(returns, lifted, list(TRUE), STEPS, TENOR, jumps=jump).settings["parameters"]
    for name in TRUE:
        assert again[name] == pytest.approx(plain[name], rel=1e-9)


def test_bates(simulated: tuple[Floats, Floats, Floats]) -> None:
    rng = np.random.default_rng(5)
    returns, index = (each[:, :1].copy() for each in simulated[:2])
    at = rng.uniform(size=len(returns)) < 3 / STEPS
    returns[at, 0] += -0.15 + 0.02 * rng.normal(size=at.sum())
    index = np.sqrt(index**2 + 3 * (0.15**2 + 0.02**2))
    fit = fit_bates(returns, index, ["A"], STEPS, TENOR)
    found, errors = fit.settings["parameters"]["A"], fit.errors["parameters"]["A"]
    assert abs(found["intensity"] - 3) < 4 * errors["intensity"]
    # Volatility clusters make some false jumps near 4 deviations: the rest is approximate.
    assert found["mean"] == pytest.approx(-0.15, abs=0.02)
    assert abs(found["rho"] - TRUE["A"].rho) < 0.05
    assert abs(found["kappa"] - TRUE["A"].kappa) < 4 * errors["kappa"]
    assert abs(found["theta"] - 0.04) < 0.02
    assert set(found) == {*KEYS, "intensity", "mean", "deviation"} == set(errors)
    json.dumps([fit.settings, fit.errors, fit.diagnostics], allow_nan=False)


def test_no_mean_reversion() -> None:
    rng = np.random.default_rng(2)
    index = 0.2 * np.exp(np.linspace(0, 1, 401))[:, None] * np.exp(0.001 * rng.normal(size=(401, 2)))
    with pytest.raises(InputError) as caught:
        fit_heston(0.01 * rng.normal(size=(400, 2)), index, ["A", "B"], STEPS, TENOR)
    assert [problem[:28] for problem in caught.value.problems] == [
        "A: the squared index moves b",
        "B: the squared index moves b",
    ]
    assert all("longer history" in problem for problem in caught.value.problems)


def test_a_long_tenor_floors_variances(simulated: tuple[Floats, Floats, Floats]) -> None:
    returns, index, _ = simulated
    fit = fit_heston(returns, index, list(TRUE), STEPS, np.array([1.0, TENOR]))
    assert fit.diagnostics["underlyings"]["A"]["floored"] > 0
    assert any("A: " in note and "raised to 0.01 theta" in note for note in fit.notes)


def test_feller_is_noted() -> None:
    returns, index, _ = history(2, inner=4)
    rng = np.random.default_rng(3)
    noisy = index * np.exp(0.1 * rng.normal(size=index.shape))  # noise of the index counts as volatility of variance
    fit = fit_heston(returns, noisy, list(TRUE), STEPS, TENOR)
    assert any("(Feller)" in note for note in fit.notes)


def test_histories_that_cannot_be_fitted(simulated: tuple[Floats, Floats, Floats]) -> None:
    returns, index, _ = simulated
    names = list(TRUE)
    with pytest.raises(SettingError, match="7560 levels of the volatility index for 7560 returns: give 7561"):
        fit_heston(returns, index[1:], names, STEPS, TENOR)
    with pytest.raises(InputError, match=r"A: the index is .* in the middle: give decimals"):
        fit_heston(returns, 100 * index, names, STEPS, TENOR)
    with pytest.raises(InputError, match="249 returns, but the fit needs 250"):
        fit_heston(returns[:249], index[:250], names, STEPS, TENOR)
    with pytest.raises(SettingError, match=r"tenor is \[0.1 0. \]"):
        fit_heston(returns, index, names, STEPS, [0.1, 0.0])
    with pytest.raises(SettingError, match=r"unknown \['Z'\], missing \['Z.mean', 'Z.deviation'\]"):
        fit_heston(returns, index, names, STEPS, TENOR, jumps={"Z": {"intensity": 1.0}})
    big = {"A": {"intensity": 100.0, "mean": -0.1, "deviation": 0.1}}
    with pytest.raises(InputError, match=r"A: jumps make a variance of 2 a year, more than the whole of the index"):
        fit_heston(returns, index, names, STEPS, TENOR, jumps=big)
