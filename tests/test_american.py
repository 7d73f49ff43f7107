"""American options: published values, QuantLib, a lattice where two boundaries meet, bounds, symmetries and limits."""

from __future__ import annotations

import csv
from pathlib import Path
from typing import Any

import numpy as np
import oracle
import pytest
from numpy.typing import NDArray
from scipy.special import ndtr

from mcvar.pricing.american import ACCURATE, FAST, Boundary, Scheme, american, european

Floats = NDArray[np.float64]
CASES = Path(__file__).parents[2] / "shared" / "cases" / "american_exact_references.csv"
SCHEMES = pytest.mark.parametrize(("scheme", "bound"), [(ACCURATE, 2e-7), (FAST, 1e-5)], ids=["accurate", "fast"])


def contracts(count: int, seed: int) -> tuple[Floats, ...]:
    """spot, strike, volatility, rate, carry, years, sign of ordinary contracts in every regime; whole days."""
    random = np.random.default_rng(seed)
    rate, carry = random.uniform(-0.10, 0.15, (2, count))
    volatility = np.exp(random.uniform(np.log(0.05), np.log(1.5), count))
    years = np.maximum(np.round(365 * np.exp(random.uniform(np.log(0.01), np.log(5.0), count))), 4) / 365
    spot = np.exp(1.2 * random.normal(0, 1, count) * volatility * np.sqrt(years))
    return spot, np.ones(count), volatility, rate, carry, years, random.choice([-1.0, 1.0], count)


def european_of(spot: Any, strike: Any, volatility: Any, rate: Any, carry: Any, years: Any, sign: Any) -> Floats:
    deviation, forward = volatility * np.sqrt(years), spot * np.exp(carry * years)
    d = np.log(forward / strike) / deviation + 0.5 * deviation
    value = sign * (forward * ndtr(sign * d) - strike * ndtr(sign * (d - deviation)))
    return np.asarray(np.exp(-rate * years) * value)


def lattice(spot: float, deviation: float, rho: float, kappa: float, steps: int) -> float:
    """American put on strike 1 by a binomial lattice whose last step is Black's formula (Broadie and Detemple 1996)."""
    step = deviation / np.sqrt(steps)
    up, discount = np.exp(step), np.exp(-rho / steps)
    chance = (np.exp((rho - kappa) / steps) - 1 / up) / (up - 1 / up)
    price = spot * up ** (2.0 * np.arange(steps) - steps + 1)
    d = (np.log(price) + (rho - kappa) / steps) / step + 0.5 * step
    value = np.maximum(discount * ndtr(step - d) - price * np.exp(-kappa / steps) * ndtr(-d), 1 - price)
    for _ in range(steps - 1):
        price = price[:-1] * up
        value = np.maximum(discount * (chance * value[1:] + (1 - chance) * value[:-1]), 1 - price)
    return float(value[0])


@SCHEMES
def test_published_references(scheme: Scheme, bound: float) -> None:
    if not CASES.exists():
        pytest.skip(f"{CASES} is not here")
    with CASES.open() as file:
        rows = list(csv.DictReader(file))
    assert len(rows) > 40
    spot, strike, rate, dividend, volatility = (
        np.array([float(row[name]) for row in rows]) for name in ("spot", "strike", "r", "q", "vol")
    )
    years = np.array([float(a) / float(b) for a, b in (f"{row['T']}/1".split("/")[:2] for row in rows)])
    sign = np.array([1.0 if row["option_type"] == "call" else -1.0 for row in rows])
    exact = np.array([float(row["exact_QdFp_highPrecision_QuantLib1.44"]) for row in rows])
    got = american(spot, strike, volatility, rate, rate - dividend, years, sign, scheme)
    assert np.max(np.abs(got - exact) / strike) < bound


@SCHEMES
def test_quantlib(scheme: Scheme, bound: float) -> None:
    ql = oracle.quantlib()
    terms = contracts(oracle.many(300), 11)
    spot, _, volatility, rate, carry, years, sign = terms
    dividend = rate - carry
    first, second = np.where(sign > 0, dividend, rate), np.where(sign > 0, rate, dividend)
    kept = np.flatnonzero(~((second < first) & (first <= 0)))  # it refuses two boundaries
    today = ql.Date(1, 1, 2020)
    ql.Settings.instance().evaluationDate = today

    def value(i: int) -> float:
        process = oracle.process(*(float(a[i]) for a in (spot, rate, carry, volatility)))
        payoff = ql.PlainVanillaPayoff(ql.Option.Call if sign[i] > 0 else ql.Option.Put, 1.0)
        option = ql.VanillaOption(payoff, ql.AmericanExercise(today, today + round(365 * years[i])))
        option.setPricingEngine(ql.QdFpAmericanEngine(process, ql.QdFpAmericanEngine.highPrecisionScheme()))
        return float(option.NPV())

    exact = np.array([value(i) for i in kept])
    error = np.abs(american(*terms, scheme)[kept] - exact) / np.maximum(1.0, spot[kept])
    assert len(kept) > 2 * len(spot) / 3
    assert error.max() < bound
    assert np.median(error) < bound / 1000


@SCHEMES
def test_two_boundaries(scheme: Scheme, bound: float) -> None:
    """Where yield < rate < 0: boundaries that never meet, that meet after this life, in it, and soon after expiry."""
    table = np.array(
        [  # volatility, rate, yield, years, ln(spot / strike)
            (0.076, -0.0483, -0.0824, 2.455, -0.052),
            (0.075, -0.0539, -0.0729, 0.755, -0.018),
            (0.165, -0.0300, -0.0581, 4.318, 0.044),
            (0.437, -0.0569, -0.1157, 0.498, 0.182),
            (0.421, -0.0965, -0.2031, 2.750, 0.988),
            (0.300, -0.0025, -0.1122, 0.213, -0.023),
            (0.195, -0.0059, -0.0151, 1.176, -0.030),
            (0.257, -0.0483, -0.0496, 1.955, 0.068),
        ]
    ).T
    volatility, rate, dividend, years, z = table
    got = american(np.exp(z), 1.0, volatility, rate, rate - dividend, years, -1.0, scheme)
    terms = np.stack([np.exp(z), volatility * np.sqrt(years), rate * years, dividend * years], axis=1)
    exact = [2 * lattice(*row, 1600) - lattice(*row, 800) for row in terms]
    np.testing.assert_allclose(got, exact, rtol=0, atol=max(bound, 6e-6))
    horizon = Boundary.solve(terms[:, 1], terms[:, 2], terms[:, 3], scheme).horizon
    assert (horizon[:3] == 1).all()
    assert 0.5 < horizon[3] < 1
    assert horizon[7] < 0.01


def test_ends_of_two_boundaries() -> None:
    """The put is worth its payoff between them and more outside."""
    boundary = Boundary.solve(np.array([0.119]), np.array([-0.1186]), np.array([-0.2023]))
    low, high = boundary.lower_end[0], boundary.upper_end[0]
    assert low < high < 0
    z = np.array([[low - 0.02, low + 0.001, high - 0.001, high + 0.02]])
    plain = european(boundary.deviation[:, None], boundary.rho[:, None], boundary.kappa[:, None], z)
    over = (boundary.premium(z) + plain + np.expm1(z))[0]
    np.testing.assert_allclose(over[1:3], 0.0, atol=1e-15)
    assert over[0] > 1e-5
    assert over[3] > 1e-5


def test_fine_grid_agrees() -> None:
    """Errors of both schemes over ordinary contracts of all regimes, against a grid far finer."""
    terms = contracts(500, 12)
    fine = american(*terms, Scheme(nodes=18, points=32, steps=7, premium_points=96))
    size = np.maximum(1.0, terms[0])
    accurate, fast = (np.abs(american(*terms, scheme) - fine) / size for scheme in (ACCURATE, FAST))
    assert accurate.max() < 5e-7
    assert np.quantile(accurate, 0.99) < 1e-7
    assert fast.max() < 1e-5


def test_bounds() -> None:
    terms = contracts(1000, 13)
    spot, strike, _, rate, carry, _, sign = terms
    value, plain = american(*terms), european_of(*terms)
    assert (value >= plain - 1e-14 * np.maximum(1, spot)).all()
    assert (value >= np.maximum(sign * (spot - strike), 0)).all()
    dividend = rate - carry
    never = np.where(sign > 0, (dividend <= 0) & (rate >= dividend), (rate <= 0) & (dividend >= rate))
    assert never.sum() > 150
    np.testing.assert_allclose(value[never], plain[never], rtol=0, atol=2e-14 * max(1, spot[never].max()))


def test_symmetries() -> None:
    terms = contracts(300, 14)
    spot, strike, volatility, rate, carry, years, sign = terms
    value = american(*terms)
    np.testing.assert_allclose(american(7 * spot, 7 * strike, *terms[2:]), 7 * value, rtol=1e-10, atol=1e-12)
    swapped = american(strike, spot, volatility, rate - carry, -carry, years, -sign)
    np.testing.assert_allclose(swapped, value, rtol=1e-9, atol=1e-12)
    faster = american(spot, strike, 2 * volatility, 4 * rate, 4 * carry, years / 4, sign)
    np.testing.assert_allclose(faster, value, rtol=1e-9, atol=1e-12)


def test_monotone() -> None:
    volatility = np.linspace(0.0, 1.2, 25)[:, None]
    spot = np.array([0.7, 0.95, 1.0, 1.1, 1.5])
    for rate, carry in ((0.05, 0.05), (0.05, -0.03), (0.0, 0.04), (-0.02, 0.03), (0.03, 0.0), (1e-9, -0.05)):
        for sign in (-1.0, 1.0):
            rise = np.diff(american(spot, 1.0, volatility, rate, carry, 1.0, sign), axis=0)
            assert rise.min() > -2e-7
    years = np.linspace(0.0, 3.0, 100)[:, None]
    assert np.diff(american(spot, 1.0, 0.3, 0.04, 0.01, years, -1.0), axis=0).min() > -1e-7


def test_limits() -> None:
    spot = np.array([-3.0, 0.0, 0.4, 1.0, 2.5])
    np.testing.assert_array_equal(american(spot, 1.0, 0.3, 0.05, 0.01, 0.0, -1.0), np.maximum(1 - spot, 0))
    np.testing.assert_array_equal(american(spot, 1.0, 0.3, 0.05, 0.01, 0.0, 1.0), np.maximum(spot - 1, 0))
    np.testing.assert_array_equal(american(spot[:2], 1.0, 0.3, 0.05, 0.01, 2.0, 1.0), 0.0)
    np.testing.assert_allclose(american(spot[:2], 1.0, 0.3, 0.05, 0.05, 2.0, -1.0), 1 - spot[:2], rtol=1e-15)
    waits = american(spot[:2], 1.0, 0.3, -0.05, 0.0, 2.0, -1.0)
    np.testing.assert_allclose(waits, np.exp(0.1) * (1 - spot[:2]), rtol=1e-14)
    assert np.isnan(american(np.nan, 1.0, 0.3, 0.05, 0.05, 1.0, -1.0))
    # a known future: the best time to exercise on the path of the spot
    random = np.random.default_rng(15)
    rate, carry, spot = random.uniform(-0.2, 0.2, 300), random.uniform(-0.2, 0.2, 300), random.uniform(0.5, 2, 300)
    time = np.linspace(0, 5, 20_001)[:, None]
    for sign in (1.0, -1.0):
        path = np.maximum(sign * (spot * np.exp((carry - rate) * time) - np.exp(-rate * time)), 0).max(axis=0)
        np.testing.assert_allclose(american(spot, 1.0, 0.0, rate, carry, 5.0, sign), path, rtol=0, atol=1e-7)
        np.testing.assert_allclose(american(spot, 1.0, 1e-6, rate, carry, 5.0, sign), path, rtol=0, atol=1e-5)


def test_extremes_are_finite() -> None:
    """No NaN, no warning and never below the payoff, however odd the inputs."""
    random = np.random.default_rng(16)
    count = 2000
    rates = [0, 1e-12, -1e-12, 1e-6, -1e-6, 0.001, -0.01, 0.05, 0.15, 0.5, -0.3]
    rate = random.choice(rates, count)
    carry = np.where(random.random(count) < 0.2, rate, random.choice(rates, count))
    years = random.choice([0, 1e-8, 1e-4, 0.01, 0.3, 1, 5, 30], count)
    volatility = random.choice([0, 1e-12, 1e-4, 0.001, 0.01, 0.05, 0.2, 0.5, 1.5, 5], count)
    spot = random.choice([-5, 0, 1e-8, 0.5, 0.9, 1, 1.1, 2, 1e8], count) * np.exp(0.01 * random.normal(size=count))
    sign = random.choice([-1.0, 1.0], count)
    for scheme in (ACCURATE, FAST):
        value = american(spot, 1.0, volatility, rate, carry, years, sign, scheme)
        assert np.isfinite(value).all()
        assert (value >= np.maximum(sign * (spot - 1), 0)).all()


def test_premium_over_many_spots() -> None:
    """One boundary serves many z, as `american` does each."""
    rate, carry, volatility, years = 0.04, 0.01, 0.35, 0.7
    z = np.linspace(-1.5, 1.5, 61)
    deviation, rho, kappa = (np.array([a]) for a in (volatility * np.sqrt(years), rate * years, (rate - carry) * years))
    boundary = Boundary.solve(deviation, rho, kappa)
    got = boundary.premium(z[None, :])[0] + european(deviation, rho, kappa, z)
    np.testing.assert_allclose(
        got, american(np.exp(z), 1.0, volatility, rate, carry, years, -1.0), rtol=1e-12, atol=1e-14
    )
    exercised = z <= boundary.upper_end[0]
    assert 5 < exercised.sum() < 40
    np.testing.assert_allclose(got[exercised], 1 - np.exp(z[exercised]), rtol=1e-13)
