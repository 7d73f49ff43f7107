"""GJR-GARCH over several steps: forecasts of the variance in closed form, simulations of `arch`; what is refused."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace
from math import sqrt
from typing import Any

import numpy as np
import pytest
from arch import arch_model
from arch.data import sp500
from arch.univariate import Normal, StudentsT
from numpy.typing import NDArray
from scipy import stats

from mcvar.errors import SettingError
from mcvar.market import Market
from mcvar.models import Drift, GjrGarch, Law
from mcvar.models.volatility import Garch

Floats = NDArray[np.float64]
MakeMarket = Callable[..., Market]
STEP, PER_YEAR = 50_000, 252.0
GARCH = Garch(
    omega=np.array([2e-6, 0.0, 4e-5]), alpha=np.array([0.04, 0.06, 0.1]), gamma=np.array([0.1, 0.0, -0.06]),
    beta=np.array([0.88, 0.94, 0.7]), start=np.array([4e-4, 1e-4, 1e-4]),
)  # fmt: skip
CORRELATION = np.array([[1.0, 0.5, -0.2], [0.5, 1.0, 0.3], [-0.2, 0.3, 1.0]])


def draws(law: Law, count: int, seed: int = 17) -> Floats:
    return np.concatenate([law.moves(seed, at, at + STEP) for at in range(0, count, STEP)], axis=1)


def near(x: Floats, want: float) -> bool:
    """Whether the mean of a sample is `want` within 4 standard errors."""
    return bool(abs(x.mean() - want) <= 4 * x.std() / sqrt(len(x)))


def daily(make_market: MakeMarket, names: str = "ABC", correlation: Any = CORRELATION) -> Market:
    market = make_market([{"factor": n, "level": 1.0} for n in names], correlation=correlation)
    return replace(market, steps_per_year=PER_YEAR)


def law_of(market: Market, model: GjrGarch, steps: int) -> Law:
    return model.law(market, steps / PER_YEAR, np.zeros(len(market.factors)), steps)


def forecasts(garch: Garch, steps: int) -> Floats:
    """E[h] of each step: h_1 = start, E[h_k+1] = omega + (alpha + gamma / 2 + beta) E[h_k], [steps, F]."""
    h = [garch.start]
    for _ in range(steps - 1):
        h.append(garch.omega + (garch.alpha + garch.gamma / 2 + garch.beta) * h[-1])
    return np.array(h)


@pytest.mark.parametrize("steps", [1, 2, 10])
@pytest.mark.parametrize("dof", [(), (8.0, None, 12.0)], ids=["normal", "t"])
def test_variance_is_the_sum_of_the_forecasts(
    make_market: MakeMarket, steps: int, dof: tuple[float | None, ...]
) -> None:
    law = law_of(daily(make_market), GjrGarch(GARCH, dof=dof, copula_dof=6.0), steps)
    x = draws(law, 400_000)
    want = forecasts(GARCH, steps).sum(axis=0)
    for f in range(3):
        assert near(x[f], 0.0)
        assert near(x[f] ** 2, want[f])
        if steps == 10:  # the start is not the long run: the sample can tell
            assert f == 1 or not near(x[f] ** 2, 10 * GARCH.start[f])


def test_long_run() -> None:
    np.testing.assert_allclose(GARCH.persistence, [0.97, 1.0, 0.77], rtol=1e-14)
    h = forecasts(GARCH, 2000)[-1]
    np.testing.assert_allclose(h[[0, 2]], GARCH.long_run[[0, 2]], rtol=1e-12)
    assert GARCH.long_run[1] == np.inf
    assert h[1] == pytest.approx(GARCH.start[1], rel=1e-12)  # an exponentially weighted filter's forecast does not grow


def test_a_step_is_drawn_at_the_variance_of_the_last(make_market: MakeMarket) -> None:
    law = law_of(daily(make_market), GjrGarch(GARCH), 4)
    x = np.stack([np.zeros((3, 5000)), *(x for x, *_ in law.path(2, 0, 5000))])
    h = np.tile(GARCH.start[:, None], 5000)
    for step in range(4):
        e = x[step + 1] - x[step]
        eta = e / np.sqrt(h)
        for f in range(3):
            assert stats.kstest(eta[f], "norm").pvalue > 1e-3
        np.testing.assert_allclose(np.corrcoef(eta), CORRELATION, atol=4 / sqrt(5000))
        news = GARCH.alpha[:, None] + GARCH.gamma[:, None] * (e < 0)
        h = GARCH.omega[:, None] + news * e**2 + GARCH.beta[:, None] * h
    assert h.std(axis=1).min() > 0


def test_a_day_of_the_calendar_is_part_of_a_step(make_market: MakeMarket) -> None:
    x = draws(GjrGarch(GARCH).law(daily(make_market), 1 / 365, np.zeros(3)), 200_000)
    for f in range(3):
        assert near(x[f] ** 2, GARCH.start[f] * 252 / 365)


def test_innovations_that_are_t(make_market: MakeMarket) -> None:
    x = draws(law_of(daily(make_market), GjrGarch(GARCH, dof=(4.0, None, 12.0), copula_dof=5.0), 1), 200_000)
    laws = [stats.t(4, scale=sqrt(1 / 2)).cdf, stats.norm.cdf, stats.t(12, scale=sqrt(10 / 12)).cdf]
    for f, law in enumerate(laws):
        assert stats.kstest(x[f] / sqrt(GARCH.start[f]), law).pvalue > 1e-3
    tau = 2 / np.pi * np.arcsin(CORRELATION)
    seen = stats.kendalltau(x[0, :STEP], x[1, :STEP]).statistic
    assert abs(seen - tau[0, 1]) < 4 * sqrt(2 / STEP)
    a, b = x[:2] / np.sqrt(GARCH.start[:2, None])
    both = ((a < stats.t(4, scale=sqrt(1 / 2)).ppf(0.01)) & (b < stats.norm.ppf(0.01))).mean()
    normal = stats.multivariate_normal([0, 0], CORRELATION[:2, :2]).cdf([stats.norm.ppf(0.01)] * 2)
    assert both > normal + 4 * sqrt(normal / 200_000)  # a t copula


# `arch`, which fits and simulates the same process by itself.

RETURNS = 100 * np.diff(np.log(sp500.load()["Adj Close"].to_numpy()))


@pytest.mark.parametrize("innovations", ["normal", "t"])
def test_quantiles_of_archs_simulation(make_market: MakeMarket, innovations: str) -> None:
    count = 100_000
    model = arch_model(RETURNS, mean="Zero", vol="GARCH", p=1, o=1, q=1)
    model.distribution = (Normal if innovations == "normal" else StudentsT)(seed=4)
    found = model.fit(disp="off")
    forecast = found.forecast(horizon=10, method="simulation", simulations=count)
    theirs = np.cumsum(forecast.simulations.values[-1], axis=1)  # percent, [count, 10]
    p = found.params
    one = {
        key: np.array([p[name]]) for key, name in (("alpha", "alpha[1]"), ("gamma", "gamma[1]"), ("beta", "beta[1]"))
    }
    start = np.array([forecast.variance.to_numpy()[-1, 0] / 1e4])
    garch = Garch(omega=np.array([p["omega"] / 1e4]), start=start, **one)
    mine = GjrGarch(garch, dof=() if innovations == "normal" else (float(p["nu"]),))
    ours = [x[0] for x, *_ in law_of(daily(make_market, "A", None), mine, 10).path(6, 0, count)]
    for days in (1, 10):
        for level in (0.001, 0.01, 0.05, 0.25, 0.5, 0.75, 0.95, 0.99, 0.999):
            # Where their quantile stands in our sample: both have binomial errors.
            place = (100 * ours[days - 1] <= np.quantile(theirs[:, days - 1], level)).mean()
            assert abs(place - level) < 4 * sqrt(2 * level * (1 - level) / count), (days, level)
    skew = stats.skew(ours[-1])
    assert skew < -0.05  # gamma: falls raise the variance
    assert near(ours[-1] ** 2, float(forecasts(garch, 10).sum()))


# What is refused.


def test_bad_parameters_at_once(make_market: MakeMarket) -> None:
    garch = Garch(
        omega=np.array([-1e-6, np.nan, 1e-6]), alpha=np.array([0.05, 0.02, 0.1]), gamma=np.array([0.0, -0.05, 0.1]),
        beta=np.array([0.9, np.inf, 0.9]), start=np.array([1e-4, 0.0, -1.0]),
    )  # fmt: skip
    with pytest.raises(SettingError) as error:
        law_of(daily(make_market), GjrGarch(garch), 1)
    text = str(error.value)
    for part in (
        "parameters.A.omega is -1e-06: it must be finite and not negative", "B.omega is nan", "B.beta is inf",
        "B: alpha + gamma is -0.03: it must not be negative",
        "B.variance is 0: the next step's variance must be positive", "C.variance is -1",
        "C: alpha + gamma / 2 + beta is 1.05: the variance is not stationary; it must be below 1",
    ):  # fmt: skip
        assert part in text
    assert text.count("parameters.A") == 1
    assert text.count("parameters.C") == 2


@pytest.mark.parametrize(("omega", "beta", "good"), [(0.0, 0.94, True), (1e-9, 0.94, False), (0.0, 0.9401, False)])
def test_only_a_filter_without_a_constant_may_have_persistence_one(
    make_market: MakeMarket, omega: float, beta: float, good: bool
) -> None:
    garch = Garch(np.array([omega]), np.array([0.06]), np.zeros(1), np.array([beta]), np.array([1e-4]))
    market = daily(make_market, "A", None)
    if good:
        assert draws(law_of(market, GjrGarch(garch), 3), STEP).std() == pytest.approx(0.01 * sqrt(3), rel=0.03)
    else:
        with pytest.raises(SettingError, match=r"A: alpha .* is not stationary"):
            law_of(market, GjrGarch(garch), 3)


def test_bad_degrees_of_freedom(make_market: MakeMarket) -> None:
    market = daily(make_market)
    with pytest.raises(SettingError, match="dof of a marginal is 2: "):
        law_of(market, GjrGarch(GARCH, dof=(2.0, None, None)), 1)
    with pytest.raises(SettingError, match=r"model\.dof is 1: "):
        law_of(market, GjrGarch(GARCH, dof=(4.0, None, None), copula_dof=1.0), 1)


def test_log_prices_with_t_innovations_have_no_mean(make_market: MakeMarket) -> None:
    for drift in (Drift.martingale, Drift.risk_neutral):
        with pytest.raises(SettingError, match=r"garch with t innovations for log shocks \(A, C\): .*shock=simple"):
            law_of(daily(make_market), GjrGarch(GARCH, dof=(4.0, None, 9.0), drift=drift), 10)
