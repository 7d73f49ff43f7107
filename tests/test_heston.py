"""Heston and Bates: published prices by simulation, through the engine, and the characteristic function's moments."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace
from math import exp, factorial, sqrt

import numpy as np
import pytest
from numpy.typing import NDArray

from mcvar import fit
from mcvar.book import Book
from mcvar.engines import Reference
from mcvar.fit.heston_prices import characteristic
from mcvar.market import Market
from mcvar.models import Drift, Heston, HestonParameters, Law
from mcvar.pricing.black import black76
from mcvar.scenarios import Simulated

Floats = NDArray[np.float64]
Complexes = NDArray[np.complexfloating]
MakeMarket = Callable[..., Market]
MakeBook = Callable[..., Book]
Case = dict[str, str]
STEP = 50_000
JUMPS = {"intensity": 2.0, "mean": -0.08, "deviation": 0.06}
EQUITY = HestonParameters(kappa=3.0, theta=0.06, sigma=0.6, rho=-0.7, v0=0.09)


def draws(law: Law, count: int, seed: int = 11) -> Floats:
    return np.concatenate([law.moves(seed, at, at + STEP) for at in range(0, count, STEP)], axis=1)


def near(x: Floats, want: float, also: float = 0.0) -> bool:
    """Whether the mean of a sample is `want` within 4 standard errors, and what else it may err by."""
    return bool(abs(x.mean() - want) <= 4 * x.std() / sqrt(len(x)) + also)


def one(make_market: MakeMarket, level: float = 100.0) -> Market:
    return make_market([{"factor": "A", "level": level}])


def law_of(market: Market, p: HestonParameters, drift: Drift, years: float, steps: int, carry: float = 0.0) -> Law:
    return Heston({"A": p}, drift).law(market, years, np.array([carry]), steps)


def bates_characteristic(u: Complexes, years: float, p: HestonParameters) -> Complexes:
    """E[exp(i u ln(F_T / F_0))] with the jumps' part (Bates 1996)."""
    heston = characteristic(u, years, fit.Heston(p.kappa, p.theta, p.sigma, p.rho, p.v0))
    mean_growth = exp(p.mean + p.deviation**2 / 2) - 1
    jump = np.exp(1j * u * p.mean - 0.5 * u * u * p.deviation**2) - 1 - 1j * u * mean_growth
    return np.asarray(heston * np.exp(p.intensity * years * jump))


def bates_price(forward: float, strike: float, years: float, sign: float, p: HestonParameters) -> float:
    """Undiscounted, by Lewis's integral on a plain grid: independent of the quadrature of `mcvar.fit`."""
    u = (np.arange(40_000) + 0.5) * 0.01
    phi = bates_characteristic(u - 0.5j, years, p) * np.exp(1j * u * np.log(forward / strike))
    integral = float((phi.real / (u * u + 0.25)).sum()) * 0.01
    call = forward - sqrt(forward * strike) / np.pi * integral
    return call if sign > 0 else call - forward + strike


# Prices.


def read(row: Case) -> tuple[HestonParameters, float, float, float, float]:
    """Parameters, spot, years, carry, discount factor."""
    years, q, r = (float(row[key]) for key in ("T", "q", "r"))
    keys = ("kappa", "theta", "sigma", "rho", "v0")
    discount = 0.98 if row["case_id"] == "HES_TFF_2" else exp(-r * years)
    spot = float(row["spot"].removeprefix("fwd "))
    return HestonParameters(**{key: float(row[key]) for key in keys}), spot, years, r - q, discount


def tolerance(row: Case) -> float:
    size = float(row["tolerance"].split()[0])
    return size * float(row["expected"]) if "rel" in row["tolerance"] else size


@pytest.mark.parametrize("case", ["LEWIS", "QL_cached", "WILMOTT", "QL_MC_put", "TFF_doc", "TFF_2"])
def test_published_prices(make_market: MakeMarket, cases: Callable[[str], list[Case]], case: str) -> None:
    rows = [
        row for row in cases("heston_values.csv") if case in row["case_id"] and row["option_type"] in ("put", "call")
    ]
    assert len(rows) == (5 if case == "LEWIS" else 1)
    p, spot, years, carry, discount = read(rows[0])
    x = draws(law_of(one(make_market, spot), p, Drift.risk_neutral, years, 64, carry), 200_000)[0]
    for row in rows:
        sign = 1.0 if row["option_type"] == "call" else -1.0
        payoff = discount * np.maximum(sign * (spot * np.exp(x) - float(row["strike"])), 0.0)
        assert near(payoff, float(row["expected"]), tolerance(row)), row["case_id"]
        assert not near(payoff, float(row["expected"]) * 1.03), row["case_id"]  # 3 % would be seen


def settled(
    make_market: MakeMarket,
    make_book: MakeBook,
    p: HestonParameters,
    drift_and_terms: tuple[Drift, float, float, float],
) -> tuple[dict[str, Floats], list[float]]:
    """Discounted payoffs of a call and a put at some strikes through the engine, valued where they expire."""
    drift, years, rate, carry = drift_and_terms
    market, strikes, count = one(make_market), [80.0, 100.0, 120.0], 64 * 1024
    rows = [
        {
            "instrument": f"{kind}-{k:g}", "kind": "option", "underlying": "A", "option_type": kind, "strike": k,
            "years": years, "volatility": 0.25, "rate": rate, "carry": carry,
        }
        for k in strikes for kind in ("call", "put")
    ]  # fmt: skip
    book = make_book(market, rows, [(str(row["instrument"]), str(row["instrument"]), 1.0) for row in rows])
    engine = Reference(market, book, Simulated(law_of(market, p, drift, years, 16, carry), count, seed=8), years)
    pnl = engine.pnl(0, count)
    values = {name: exp(-rate * years) * (pnl[r] + engine.base[r]) for r, name in enumerate(book.row) if name != "*"}
    return values, strikes


def test_lewis_prices_through_the_engine(
    make_market: MakeMarket, make_book: MakeBook, cases: Callable[[str], list[Case]]
) -> None:
    rows = {float(row["strike"]): row for row in cases("heston_values.csv") if "LEWIS" in row["case_id"]}
    p, spot, years, carry, _ = read(rows[100.0])
    rate = float(rows[100.0]["r"])
    values, strikes = settled(make_market, make_book, p, (Drift.risk_neutral, years, rate, carry))
    for strike in strikes:
        expected = float(rows[strike]["expected"])
        assert near(values[f"put-{strike:g}"], expected, tolerance(rows[strike])), strike
        parity = exp(-rate * years) * (spot * exp(carry * years) - strike)
        assert near(values[f"call-{strike:g}"], expected + parity), strike


def test_bates_prices_through_the_engine(make_market: MakeMarket, make_book: MakeBook) -> None:
    p, years, rate, carry = replace(EQUITY, **JUMPS), 0.5, 0.03, 0.01
    values, strikes = settled(make_market, make_book, p, (Drift.risk_neutral, years, rate, carry))
    for strike in strikes:
        for kind, sign in (("call", 1.0), ("put", -1.0)):
            want = exp(-rate * years) * bates_price(100 * exp(carry * years), strike, years, sign, p)
            without = exp(-rate * years) * bates_price(100 * exp(carry * years), strike, years, sign, EQUITY)
            assert near(values[f"{kind}-{strike:g}"], want), (kind, strike)
            assert not near(values[f"{kind}-{strike:g}"], without), (kind, strike)  # the jumps can be told


def test_the_bates_quadrature() -> None:
    # Without jumps the package's own; without volatility of variance Merton's sum of Black's formula.
    p, years = replace(EQUITY, **JUMPS), 0.5
    plain = replace(p, sigma=1e-4, rho=0.0, theta=0.04, v0=0.04)
    growth = exp(p.mean + p.deviation**2 / 2)
    for strike in (80.0, 100.0, 125.0):
        heston = fit.heston_prices(100.0, strike, years, 1.0, fit.Heston(3.0, 0.06, 0.6, -0.7, 0.09))
        assert bates_price(100.0, strike, years, 1.0, EQUITY) == pytest.approx(float(heston), abs=1e-6)
        merton = 0.0
        for n in range(40):
            weight = exp(-p.intensity * years) * (p.intensity * years) ** n / factorial(n)
            forward = np.float64(100 * exp(-p.intensity * years * (growth - 1)) * growth**n)
            spread = sqrt(0.04 * years + n * p.deviation**2)
            merton += weight * float(black76(forward, np.float64(strike), np.float64(spread), np.float64(1.0)))
        assert bates_price(100.0, strike, years, 1.0, plain) == pytest.approx(merton, abs=1e-6)


# Moments.


@pytest.mark.parametrize("drift", [Drift.zero, Drift.martingale])
@pytest.mark.parametrize("jumps", [False, True], ids=["heston", "bates"])
def test_cumulants_are_those_of_the_characteristic_function(make_market: MakeMarket, drift: Drift, jumps: bool) -> None:
    p, years = replace(EQUITY, **JUMPS) if jumps else EQUITY, 0.25
    x = draws(law_of(one(make_market), p, drift, years, 32), 150_000)[0]
    radius, angle = 0.5, 2 * np.pi * np.arange(64) / 64  # Cauchy's formula for derivatives at 0 of ln E[exp(s x)]
    s = radius * np.exp(1j * angle)
    values = np.log(bates_characteristic(-1j * s, years, p))
    first, second, third = (
        float((values * np.exp(-1j * n * angle)).mean().real) / radius**n * factorial(n) for n in (1, 2, 3)
    )
    mean = first if drift is Drift.martingale else 0.0
    assert near(x, mean)
    # About the exact mean moments are plain averages, with plain errors; the scheme errs by 0.1 % in the second.
    assert near((x - mean) ** 2, second, 1e-3 * second)
    assert near((x - mean) ** 3, third, 1e-2 * abs(third))
    assert third < 0
    assert not near((x - mean) ** 3, 0.0)


# Implied volatilities.


@pytest.mark.parametrize("jumps", [False, True], ids=["heston", "bates"])
def test_the_variance_moves_implied_volatilities(make_market: MakeMarket, make_book: MakeBook, jumps: bool) -> None:
    p = replace(EQUITY, **JUMPS) if jumps else EQUITY
    years, horizon, count, strikes = 0.5, 0.1, 2000, (80.0, 100.0, 130.0)
    factors = [
        {"factor": "A", "level": 100.0},
        {"factor": "AV", "kind": "vol", "underlying": "A", "tenor": 0.3, "level": 0.3, "volatility": 0.9},
        {"factor": "B", "level": 100.0},
        {"factor": "BV", "kind": "vol", "underlying": "B", "tenor": 0.3, "level": 0.3, "volatility": 0.9},
    ]
    market = make_market(factors)
    terms = {"kind": "option", "option_type": "put", "years": years, "volatility": 0.25, "rate": 0.03, "carry": 0.02}
    rows = [{**terms, "instrument": f"{u}-{k:g}", "underlying": u, "strike": k} for u in "AB" for k in strikes]
    book = make_book(market, rows, [(str(row["instrument"]), str(row["instrument"]), 1.0) for row in rows])
    law = Heston({"A": p}).law(market, horizon, np.zeros(4), 10)
    engine = Reference(market, book, Simulated(law, count, seed=4), horizon)
    pnl = dict(zip(book.row, engine.pnl(0, count), strict=True))
    moves = engine.moves(0, count)
    *_, (x, v, _) = law.path(4, 0, count)
    np.testing.assert_allclose(moves, np.concatenate([x, v]), rtol=1e-9, atol=1e-12)

    def expected_variance(v: Floats, tau: float) -> Floats:
        diffusion = p.theta * tau + (v - p.theta) * (1 - exp(-p.kappa * tau)) / p.kappa
        return diffusion + p.intensity * (p.mean**2 + p.deviation**2) * tau

    def put(spot: Floats, strike: float, volatility: Floats, tau: float) -> Floats:
        forward = spot * exp(0.02 * tau)
        return exp(-0.03 * tau) * black76(forward, np.float64(strike), volatility * sqrt(tau), np.float64(-1.0))

    left = years - horizon
    ratio = np.sqrt(expected_variance(v[0], left) / expected_variance(np.float64(p.v0), left))
    assert ratio.std() > 0.05
    for strike in strikes:
        today = put(np.float64(100.0), strike, np.float64(0.25), years)
        want = put(100 * np.exp(x[0]), strike, 0.25 * ratio, left) - today
        np.testing.assert_allclose(pnl[f"A-{strike:g}"], want, rtol=1e-8, atol=1e-9)
        other = put(100 * np.exp(x[2]), strike, 0.25 * np.exp(x[3]), left) - today  # by its volatility factor
        np.testing.assert_allclose(pnl[f"B-{strike:g}"], other, rtol=1e-8, atol=1e-9)
