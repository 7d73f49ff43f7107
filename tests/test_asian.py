"""Asian options: published values, QuantLib, exact and simulated averages, and the limits."""

from __future__ import annotations

import csv
from pathlib import Path
from typing import Any

import numpy as np
import oracle
import pytest
from numpy.typing import NDArray
from scipy.interpolate import CubicSpline

from mcvar.pricing.asian import Method, asian
from mcvar.pricing.black import black76

Array = NDArray[np.float64]
CASES = Path(__file__).parents[2] / "shared" / "cases" / "asian_values.csv"
FRESH = {"past": 0.0, "so_far": 0.0, "wait": 0.0, "fixings": 0.0}
MOMENTS, CONDITIONING = Method.moments, Method.conditioning


def published() -> list[dict[str, str]]:
    return list(csv.DictReader(CASES.read_text().splitlines())) if CASES.exists() else []


def number(text: str) -> float:
    if "/" in text:
        top, bottom = text.split("/")
        return float(top) / float(bottom)
    return float(text or 0.0)


@pytest.mark.skipif(not CASES.exists(), reason="the published values are not beside the repository")
@pytest.mark.parametrize("row", published(), ids=lambda row: row["case_id"])
def test_published_values(row: dict[str, str]) -> None:
    """Approximations by moments, exact ones by conditioning; the simulated ones by both."""
    kind = row["case_id"].rstrip("0123456789")
    first, length, elapsed = number(row["first_fixing_t"]), number(row["length"]), number(row["elapsed"])
    n = number(row["n_fixings"])
    years = length - elapsed if kind == "ASA_LEVY" else length if kind == "ASA_TW" else first + length
    spot, rate = float(row["spot"]), float(row["r"])
    terms = {"past": elapsed / length, "so_far": number(row["current_average"])}
    tolerance = float(row["tolerance"].split()[0])
    methods = {"ASA_LEVY": (MOMENTS,), "ASA_TW": (MOMENTS,), "ASA_VEC": (CONDITIONING,)}
    for method in methods.get(kind, (MOMENTS, CONDITIONING)):
        value = asian(
            spot, float(row["strike"]), 1.0 if row["option_type"] == "call" else -1.0, row["average"] == "geometric",
            float(row["vol"]), rate, rate - float(row["q"]), years,
            **terms, wait=first, fixings=n, method=method,
        )  # fmt: skip
        assert abs(float(value) - float(row["expected"])) < tolerance, method


def exact(
    spot: float, strike: float, sigma: float, carry: float, years: float, wait: float, n: int, size: int = 2**12
) -> float:
    """Undiscounted call on n fixings: the density of ln of S_i + ... + S_n over S_(i-1), from the last fixing back."""
    step, drift = (years - wait) / (n - 1), carry - sigma**2 / 2
    reach = 10.0 * sigma * np.sqrt(years) + abs(carry) * years + 0.3
    grid = np.linspace(-reach, np.log(n) + reach, size)
    wave = 2 * np.pi * np.fft.rfftfreq(2 * size, grid[1] - grid[0])
    density = np.exp(-((grid - drift * step) ** 2) / (2 * sigma**2 * step)) / np.sqrt(2 * np.pi * sigma**2 * step)
    up = np.where(grid > 1e-9, grid, 1.0)
    before = np.log(np.expm1(up))
    kept = (grid > 1e-9) & (before > grid[0]) & (before < grid[-1])
    for i in reversed(range(1, n)):
        shifted = CubicSpline(grid, density)(np.clip(before, grid[0], grid[-1])) * np.exp(up) / np.expm1(up)
        time = step if i > 1 else wait
        spread = np.exp(-0.5 * sigma**2 * time * wave**2 - 1j * wave * drift * time)
        density = np.fft.irfft(np.fft.rfft(np.where(kept, shifted, 0.0), 2 * size) * spread, 2 * size)[:size]
    at = np.log(strike * n / spot)
    paid = CubicSpline(grid, density * np.exp(grid)).integrate(at, grid[-1])
    return float(spot / n * paid - strike * CubicSpline(grid, density).integrate(at, grid[-1]))


def exact_continuous(spot: float, strike: float, sigma: float, carry: float, years: float) -> float:
    """Fixings in the middles of n cells err by 1 / n^2, which two n show."""
    coarse, fine = (exact(spot, strike, sigma, carry, years * (1 - 0.5 / n), 0.5 * years / n, n) for n in (25, 50))
    return (4 * fine - coarse) / 3


@pytest.mark.parametrize("sigma", [0.1, 0.3, 0.6, 1.0])
@pytest.mark.parametrize("years", [0.1, 0.5, 2.0])
def test_errors_against_exact(sigma: float, years: float) -> None:
    """Relative to the spot they are about 3e-5 v^2 and 0.01 v, v = sigma^2 years."""
    v = sigma * sigma * years
    errors: dict[Method, list[float]] = {method: [] for method in Method}
    for z in (-1.5, 0.0, 1.5):
        strike = float(100.0 * np.exp(z * sigma * np.sqrt(years / 3)))
        for n, wait in ((0, 0.0), (12, years / 12), (4, years / 2)):
            want = (
                exact(100.0, strike, sigma, 0.03, years, wait, n)
                if n
                else exact_continuous(100.0, strike, sigma, 0.03, years)
            )
            for method, found in errors.items():
                terms = FRESH | {"wait": wait, "fixings": n}
                got = asian(100.0, strike, 1, False, sigma, 0.0, 0.03, years, **terms, method=method)
                found.append(abs(float(got) - want) / 100.0)
    assert max(errors[CONDITIONING]) < 4e-5 * v**2 + 1e-7
    assert 0.003 * v < max(errors[MOMENTS]) < 0.018 * v


def test_average_given_its_past_by_simulation() -> None:
    """With the geometric average, whose value is exact, as control variate."""
    random = np.random.default_rng(7)
    n, paths, sigma, b, r, years, wait, past, so_far = 20, 100_000, 0.45, 0.04, 0.06, 0.8, 0.03, 0.25, 97.0
    time = np.linspace(wait, years, n)
    steps = random.standard_normal((paths, n)) * np.sqrt(np.diff(time, prepend=0.0))
    logs = np.log(100.0) + (b - sigma**2 / 2) * time + sigma * np.cumsum(steps, 1)
    arithmetic = past * so_far + (1 - past) * np.exp(logs).mean(1)
    geometric = so_far**past * np.exp((1 - past) * logs.mean(1))
    terms = {"past": past, "so_far": so_far, "wait": wait, "fixings": n}
    for sign in (1.0, -1.0):
        for strike in (85.0, 100.0, 115.0):
            paid, control = (np.exp(-r * years) * np.maximum(sign * (a - strike), 0.0) for a in (arithmetic, geometric))
            known = asian(100.0, strike, sign, True, sigma, r, b, years, **terms)
            beta = np.cov(paid, control)[0, 1] / control.var()
            adjusted = paid - beta * (control - known)
            error = adjusted.std() / np.sqrt(paths)
            got = asian(100.0, strike, sign, False, sigma, r, b, years, **terms)
            assert abs(float(got) - adjusted.mean()) < 4 * error
            assert abs(float(known) - control.mean()) < 4 * control.std() / np.sqrt(paths)


@pytest.mark.filterwarnings("ignore::DeprecationWarning")
def test_quantlib() -> None:
    ql = oracle.quantlib()
    random = np.random.default_rng(5)
    today = ql.Date(15, 5, 2025)
    ql.Settings.instance().evaluationDate = today
    calls = 0
    count = oracle.many(150)
    for _ in range(count):
        days = int(random.integers(30, 900))
        sigma, r, b = random.uniform(0.05, 0.9), random.uniform(-0.05, 0.15), random.uniform(-0.1, 0.15)
        strike, sign = 100.0 * np.exp(random.normal(0.0, 0.2)), random.choice([-1.0, 1.0])
        process = oracle.process(100.0, r, b, sigma)
        payoff = ql.PlainVanillaPayoff(ql.Option.Call if sign > 0 else ql.Option.Put, strike)
        step = int(random.integers(1, 20))
        n = days // step
        dates = [today + (days - step * i) for i in reversed(range(n))]
        exercise = ql.EuropeanExercise(today + days)
        fixed = {"past": 0.0, "so_far": 0.0, "wait": (days - step * (n - 1)) / 365, "fixings": n}
        for average, geometric in ((ql.Average.Geometric, True), (ql.Average.Arithmetic, False)):
            option = ql.DiscreteAveragingAsianOption(average, 1.0 if geometric else 0.0, 0, dates, payoff, exercise)
            engine = ql.AnalyticDiscreteGeometricAveragePriceAsianEngine if geometric else ql.TurnbullWakemanAsianEngine
            option.setPricingEngine(engine(process))
            got = asian(100.0, strike, sign, geometric, sigma, r, b, days / 365, **fixed, method=MOMENTS)
            assert float(got) == pytest.approx(option.NPV(), abs=1e-8)
        option = ql.ContinuousAveragingAsianOption(ql.Average.Geometric, payoff, exercise)
        option.setPricingEngine(ql.AnalyticContinuousGeometricAveragePriceAsianEngine(process))
        got = asian(100.0, strike, sign, True, sigma, r, b, days / 365, **FRESH)
        assert float(got) == pytest.approx(option.NPV(), abs=1e-8)
        if abs(b) > 1e-3:  # Levy's engine divides by it
            elapsed = int(random.integers(0, 300))
            option = ql.ContinuousAveragingAsianOption(ql.Average.Arithmetic, today - elapsed, payoff, exercise)
            so_far = ql.QuoteHandle(ql.SimpleQuote(95.0))
            option.setPricingEngine(ql.ContinuousArithmeticAsianLevyEngine(process, so_far))
            terms = FRESH | {"past": elapsed / (elapsed + days), "so_far": 95.0}
            got = asian(100.0, strike, sign, False, sigma, r, b, days / 365, **terms, method=MOMENTS)
            want = option.NPV()
            if np.isnan(want):  # its engine, where the average is sure to end on one side of the strike
                assert float(got) >= 0
                continue
            assert float(got) == pytest.approx(want, abs=1e-8)
            calls += 1
    assert calls > 2 * count / 3


def random_terms(count: int, seed: int) -> dict[str, Any]:
    random = np.random.default_rng(seed)
    years = random.uniform(0.05, 2.0, count)
    return {
        "spot": 100.0, "strike": random.uniform(60.0, 150.0, count), "sign": random.choice([-1.0, 1.0], count),
        "volatility": random.uniform(0.05, 1.0, count), "rate": random.uniform(-0.1, 0.2, count),
        "carry": random.uniform(-0.2, 0.2, count), "years": years, "past": random.choice([0.0, 0.4], count),
        "so_far": random.uniform(80.0, 120.0, count), "wait": years * random.choice([0.0, 0.1, 0.9], count),
        "fixings": random.choice([0.0, 2.0, 5.0, 7.0, 250.0], count), "geometric": random.choice([0.0, 1.0], count),
    }  # fmt: skip


@pytest.mark.parametrize("method", Method)
def test_single_fixing_is_european(method: Method) -> None:
    terms = random_terms(300, 1) | {"past": 0.0, "fixings": 1.0}
    growth, years = np.exp(terms["carry"] * terms["years"]), terms["years"]
    deviation = terms["volatility"] * np.sqrt(years)
    for spot in (100.0, 0.0, -20.0):
        want = np.exp(-terms["rate"] * years) * black76(spot * growth, terms["strike"], deviation, terms["sign"])
        for wait in (0.0, years):
            got = asian(**terms | {"wait": wait, "spot": spot}, method=method)
            np.testing.assert_allclose(got, want, rtol=0, atol=2e-12)


@pytest.mark.parametrize("method", Method)
def test_parity(method: Method) -> None:
    """Call - put = the discounted mean less the strike, whatever the method."""
    terms = random_terms(500, 2) | {"geometric": 0.0}
    call, put = (asian(**terms | {"sign": sign}, method=method) for sign in (1.0, -1.0))
    mean = asian(**terms | {"sign": 1.0, "strike": 0.0}, method=method)
    discount = np.exp(-terms["rate"] * terms["years"])
    np.testing.assert_allclose(call - put, mean - discount * terms["strike"], rtol=0, atol=1e-11)
    assert (call >= 0).all()
    assert (put > -1e-12).all()


@pytest.mark.parametrize("method", Method)
def test_nothing_left_to_happen(method: Method) -> None:
    terms = random_terms(500, 3)
    sign, strike, discount = terms["sign"], terms["strike"], np.exp(-terms["rate"] * terms["years"])
    got = asian(**terms | {"past": 1.0}, method=method)
    np.testing.assert_allclose(got, discount * np.maximum(sign * (terms["so_far"] - strike), 0.0), atol=1e-11)

    whole = np.where(
        terms["geometric"] > 0,
        terms["so_far"] ** terms["past"] * 100.0 ** (1 - terms["past"]),
        terms["past"] * terms["so_far"] + (1 - terms["past"]) * 100.0,
    )
    for time in (0.0, 1e-14):
        got = asian(**terms | {"years": time, "wait": 0.0}, method=method)
        np.testing.assert_allclose(got, np.maximum(sign * (whole - strike), 0.0), atol=1e-5)


@pytest.mark.parametrize("method", Method)
def test_no_volatility(method: Method) -> None:
    """The average of the forwards, and nearly so at a tiny volatility."""
    terms = random_terms(200, 4) | {"past": 0.0, "fixings": 4.0}
    times = terms["wait"] + (terms["years"] - terms["wait"]) * np.linspace(0, 1, 4)[:, None]
    forwards = 100.0 * np.exp(terms["carry"] * times)
    average = np.where(terms["geometric"] > 0, np.exp(np.log(forwards).mean(0)), forwards.mean(0))
    want = np.exp(-terms["rate"] * terms["years"]) * np.maximum(terms["sign"] * (average - terms["strike"]), 0.0)
    for sigma in (0.0, 1e-150, 1e-9):
        np.testing.assert_allclose(asian(**terms | {"volatility": sigma}, method=method), want, rtol=0, atol=1e-6)


@pytest.mark.parametrize("method", Method)
def test_moments_have_no_gaps(method: Method) -> None:
    """At b = 0, b = -sigma^2 and b = -sigma^2 / 2 the value is that of its surroundings."""
    sigma = np.array([1e-3, 0.1, 0.3, 1.0])[:, None]
    for n in (0.0, 2.0, 30.0):
        for share in (0.0, -0.5, -1.0):
            carry = share * sigma**2 + np.array([-1e-6, 0.0, 1e-6])
            low, at, high = asian(
                100, 100, 1, False, sigma, 0.02, carry, 1.5, **FRESH | {"fixings": n}, method=method
            ).T
            np.testing.assert_allclose(at, 0.5 * (low + high), rtol=0, atol=2e-8)


def test_many_fixings_tend_to_continuous_averaging() -> None:
    for geometric in (True, False):
        for method in Method:
            values = asian(
                100, 105, 1, geometric, 0.4, 0.03, 0.05, 1, **FRESH | {"fixings": [1e3, 1e6, 0.0]}, method=method
            )
            assert abs(values[0] - values[2]) < 2e-2
            assert abs(values[1] - values[2]) < 2e-5


def test_extremes_are_finite() -> None:
    axes = np.meshgrid(
        [-5.0, 0.0, 1e-9, 100.0, 1e7], [-10.0, 0.0, 1e-6, 100.0, 1e7], [-1.0, 1.0], [0.0, 1.0], [0.0, 1e-12, 0.3, 50.0],
        [-0.5, 0.0, 0.5], [0.0, 1e-12, 1.0, 40.0], [0.0, 0.5, 1.0], [0.0, 3.0, 1e4],
    )  # fmt: skip
    spot, strike, sign, geometric, volatility, carry, years, past, fixings = axes
    for method in Method:
        value = asian(
            spot, strike, sign, geometric, volatility, 0.01, carry, years,
            past=past, so_far=100.0, wait=0.5 * years, fixings=fixings, method=method,
        )  # fmt: skip
        assert np.isfinite(value).all()


def test_nan_in_nan_out() -> None:
    plain = {
        "spot": 100.0, "strike": 100.0, "sign": 1.0, "volatility": 0.2, "rate": 0.05, "carry": 0.02, "years": 1.0,
        "past": 0.5, "so_far": 100.0, "wait": 0.1, "fixings": 12.0,
    }  # fmt: skip
    for name in ("spot", "strike", "volatility", "rate", "carry", "years", "so_far"):
        for geometric in (False, True):
            for method in Method:
                assert np.isnan(asian(**plain | {name: np.nan}, geometric=geometric, method=method)), (name, geometric)
