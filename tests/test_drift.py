"""What the moves of every model average to: nothing, a martingale, the carry; and where that does not exist."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace
from math import exp, sqrt

import numpy as np
import pytest
from numpy.typing import NDArray

from mcvar.errors import SettingError
from mcvar.market import Market
from mcvar.models import (
    Drift,
    FilteredHistorical,
    Gaussian,
    GjrGarch,
    Heston,
    HestonParameters,
    Historical,
    Law,
    Merton,
    ShockModel,
    StudentT,
)
from mcvar.models.jumps import JumpRates
from mcvar.models.student_t import Group
from mcvar.models.volatility import Garch

Floats = NDArray[np.float64]
MakeMarket = Callable[..., Market]
STEP, PER_YEAR = 50_000, 252.0
YEARS = {1: 0.25, 10: 10 / PER_YEAR}  # one long step, or ten of the history
CARRY = 0.5  # large, so that its absence is seen
LEVEL = {"LOG": 40.0, "SIM": 50.0, "ABS": 10.0}


def market_of(make_market: MakeMarket) -> Market:
    """A price of each shock, and a volatility, a rate and a carry that no drift moves."""
    factors = [
        {"factor": "LOG", "level": LEVEL["LOG"], "volatility": 0.6},
        {"factor": "SIM", "level": LEVEL["SIM"], "volatility": 0.3, "shock": "simple"},
        {"factor": "ABS", "level": LEVEL["ABS"], "volatility": 4.0, "shock": "absolute"},
        {"factor": "VOL", "kind": "vol", "underlying": "SIM", "tenor": 0.2, "level": 0.3, "volatility": 0.9},
        {"factor": "RATE", "kind": "rate", "tenor": 0.2, "level": 0.03, "volatility": 0.02},
        {"factor": "CARRY", "kind": "carry", "underlying": "LOG", "tenor": 0.2, "level": 0.01, "volatility": 0.02},
    ]
    matrix = np.full((6, 6), 0.3)
    np.fill_diagonal(matrix, 1.0)
    return replace(make_market(factors, correlation=matrix), steps_per_year=PER_YEAR)


def garch(market: Market) -> Garch:
    daily = market.volatility**2 / PER_YEAR
    part = np.arange(6)
    return Garch(0.03 * daily, 0.05 + 0.01 * part, 0.1 - 0.02 * part, np.full(6, 0.8), 1.5 * daily)


def models(market: Market, drift: Drift) -> dict[str, tuple[ShockModel, int]]:
    """Models with their numbers of steps; those that have no mean of an exponential are not among them."""
    unit = market.volatility / 10
    jumps = JumpRates(
        10.0,
        unit * [-1, 1, -1, 1, 0.5, 0.5],
        unit,
        np.full((6, 6), 0.2) + 0.8 * np.eye(6),
        np.full(6, 20.0),
        -unit,
        unit,
    )
    heston = HestonParameters(kappa=4.0, theta=0.36, sigma=1.5, rho=-0.7, v0=0.5)
    sample = np.random.default_rng(3).standard_t(4, 300) - 0.5
    residuals = np.random.default_rng(5).standard_t(5, (300, 6)) + 0.2
    filtered = {"garch": garch(market), "drift": drift}
    return {
        "gaussian": (Gaussian(drift), 1),
        "gaussian_10": (Gaussian(drift), 10),
        "merton": (Merton(jumps, drift), 1),
        "merton_10": (Merton(jumps, drift), 10),
        "heston": (Heston({"LOG": heston}, drift), 10),
        "bates": (Heston({"LOG": replace(heston, intensity=30.0, mean=-0.05, deviation=0.08)}, drift), 10),
        "garch": (GjrGarch(garch(market), drift=drift), 10),
        "garch_t": (GjrGarch(garch(market), (None, 4.0, 6.0, 3.0, None, 9.0), 5.0, drift), 10),
        "copula": (StudentT(4.0, drift, marginals=[None, 5.0, sample, 3.0, None, sample]), 1),
        "copula_of_samples": (StudentT(4.0, drift, marginals=[sample, None, 4.0, sample, 6.0, None]), 10),
        "filtered": (FilteredHistorical(residuals, **filtered), 1),
        "filtered_stressed": (FilteredHistorical(residuals, window=200, stressed=np.arange(50), **filtered), 1),
    }


NAMES = (
    "gaussian", "gaussian_10", "merton", "merton_10", "heston", "bates", "garch", "garch_t", "copula",
    "copula_of_samples", "filtered", "filtered_stressed",
)  # fmt: skip
ONLY_ZERO = ("student_t", "grouped_t", "garch_all_t", "filtered_10", "filtered_blocks")


def without_a_mean(market: Market, drift: Drift) -> dict[str, tuple[ShockModel, int]]:
    """Models whose log prices can only have the drift `zero`."""
    residuals = np.random.default_rng(5).standard_t(5, (300, 6)) + 0.2
    return {
        "student_t": (StudentT(4.0, drift), 1),
        "grouped_t": (StudentT(4.0, drift, groups=(Group("one", ("LOG", "VOL"), 6.0),), independent=True), 10),
        "garch_all_t": (GjrGarch(garch(market), (5.0,) * 6, 5.0, drift), 10),
        "filtered_10": (FilteredHistorical(residuals, garch(market), drift=drift), 10),
        "filtered_blocks": (FilteredHistorical(residuals, garch(market), block=5, drift=drift), 10),
    }


def draws(law: Law, count: int, seed: int = 29) -> Floats:
    return np.concatenate([law.moves(seed, at, at + STEP) for at in range(0, count, STEP)], axis=1)


def near(x: Floats, want: float) -> bool:
    """Whether the mean of a sample is `want` within 4 standard errors."""
    return bool(abs(x.mean() - want) <= 4 * x.std() / sqrt(len(x)))


def test_all_models_are_here(make_market: MakeMarket) -> None:
    market = market_of(make_market)
    assert tuple(models(market, Drift.zero)) == NAMES
    assert tuple(without_a_mean(market, Drift.zero)) == ONLY_ZERO


@pytest.mark.parametrize("name", NAMES + ONLY_ZERO)
def test_zero(make_market: MakeMarket, name: str) -> None:
    market = market_of(make_market)
    model, steps = {**models(market, Drift.zero), **without_a_mean(market, Drift.zero)}[name]
    x = draws(model.law(market, YEARS[steps], np.full(6, CARRY), steps), 200_000)
    for row in x:
        assert near(row, 0.0)
        assert row.std() > 0


@pytest.mark.parametrize("drift", [Drift.martingale, Drift.risk_neutral])
@pytest.mark.parametrize("name", NAMES)
def test_growth(make_market: MakeMarket, name: str, drift: Drift) -> None:
    market = market_of(make_market)
    model, steps = models(market, drift)[name]
    years = YEARS[steps]
    log, sim, absolute, *others = draws(model.law(market, years, np.full(6, CARRY), steps), 200_000)
    growth = exp(CARRY * years) if drift is Drift.risk_neutral else 1.0
    assert near(np.exp(log), growth)
    assert not near(np.exp(log - log.mean()), growth)  # the sample is large enough to miss the correction
    # Simple and absolute growth is spread evenly over the steps, and moves add up.
    evenly = steps * np.expm1(CARRY * years / steps) if drift is Drift.risk_neutral else 0.0
    assert near(sim, evenly)
    assert near(absolute, LEVEL["ABS"] * evenly)
    for row in others:
        assert near(row, 0.0)


@pytest.mark.parametrize("drift", [Drift.martingale, Drift.risk_neutral])
@pytest.mark.parametrize("name", ONLY_ZERO)
def test_no_mean_of_an_exponential(make_market: MakeMarket, name: str, drift: Drift) -> None:
    market = market_of(make_market)
    model, steps = without_a_mean(market, drift)[name]
    with pytest.raises(SettingError, match=rf"drift={drift.value} .*log shocks.*shock=simple"):
        model.law(market, YEARS[steps], np.zeros(6), steps)


@pytest.mark.parametrize("name", ONLY_ZERO)
def test_simple_prices_have_a_mean_under_every_model(make_market: MakeMarket, name: str) -> None:
    market = market_of(make_market)
    factors = replace(market.factors, shock=tuple(market.factors.shock[f] for f in (1, 1, 2, 3, 4, 5)))
    market = replace(market, factors=factors)
    model, steps = without_a_mean(market, Drift.risk_neutral)[name]
    x = draws(model.law(market, YEARS[steps], np.full(6, CARRY), steps), 200_000)
    evenly = steps * np.expm1(CARRY * YEARS[steps] / steps)
    for row, want in zip(x, (evenly, evenly, LEVEL["ABS"] * evenly, 0.0, 0.0, 0.0), strict=True):
        assert near(row, want)


@pytest.mark.parametrize("overlapping", [True, False])
@pytest.mark.parametrize("drift", list(Drift))
def test_historical(make_market: MakeMarket, drift: Drift, overlapping: bool) -> None:
    # Each move once, so averages are exact.
    market, steps = market_of(make_market), 10
    past = np.random.default_rng(6).standard_t(4, (500, 6)) * market.volatility / sqrt(PER_YEAR) + 0.001
    x = Historical(past, overlapping, drift).shocks(market, YEARS[10], np.full(6, CARRY), steps, scale=1.3)
    assert x.shape == (6, 491 if overlapping else 50)
    growth = exp(CARRY * YEARS[10]) if drift is Drift.risk_neutral else 1.0
    means = [np.exp(x[0]).mean() - growth, x[1].mean() - (growth - 1), x[2].mean() - LEVEL["ABS"] * (growth - 1)]
    if drift is Drift.zero:
        means = [row.mean() for row in x[:3]]
    np.testing.assert_allclose([*means, *x[3:].mean(axis=1)], 0.0, atol=1e-13)
    last = (
        past[-10:].sum(axis=0)
        - np.array(  # the last move is that of the last ten days, about the mean
            [past[at : at + 10].sum(axis=0) for at in range(0, 491, 1 if overlapping else 10)]
        ).mean(axis=0)
    )
    if drift is Drift.zero:
        np.testing.assert_allclose(x[:, -1], 1.3 * last, rtol=1e-11)
