"""Andersen's scheme of Heston's variance: convergence in the step, exact moments, correlations; what is refused."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace
from math import exp, sqrt

import numpy as np
import pytest
from numpy.typing import NDArray
from scipy import stats
from scipy.special import ndtri

from mcvar import fit
from mcvar.errors import SettingError
from mcvar.market import Market
from mcvar.models import Drift, Heston, HestonParameters, Law
from mcvar.models.variance import PSI, Variance
from mcvar.sampling import Philox

Floats = NDArray[np.float64]
MakeMarket = Callable[..., Market]
STEP = 50_000
EQUITY = HestonParameters(kappa=3.0, theta=0.06, sigma=0.6, rho=-0.7, v0=0.09)
HARD = HestonParameters(kappa=0.5, theta=0.04, sigma=1.0, rho=-0.9, v0=0.04)  # Andersen (2008), case I


def draws(law: Law, count: int, seed: int = 11) -> Floats:
    return np.concatenate([law.moves(seed, at, at + STEP) for at in range(0, count, STEP)], axis=1)


def near(x: Floats, want: float, also: float = 0.0) -> bool:
    """Whether the mean of a sample is `want` within 4 standard errors, and what else it may err by."""
    return bool(abs(x.mean() - want) <= 4 * x.std() / sqrt(len(x)) + also)


def one(make_market: MakeMarket, level: float = 100.0) -> Market:
    return make_market([{"factor": "A", "level": level}])


def law_of(market: Market, p: HestonParameters, drift: Drift, years: float, steps: int, carry: float = 0.0) -> Law:
    return Heston({"A": p}, drift).law(market, years, np.array([carry]), steps)


def test_bias_falls_with_the_step(make_market: MakeMarket) -> None:
    p = fit.Heston(HARD.kappa, HARD.theta, HARD.sigma, HARD.rho, HARD.v0)
    strikes = np.array([100.0, 140.0])
    exact = fit.heston_prices(100.0, strikes, 10.0, 1.0, p)
    np.testing.assert_allclose(exact, [13.085, 0.296], atol=5e-4)  # his table 2
    bias, error = {}, {}
    for steps, count in ((5, 200_000), (20, 200_000), (80, 200_000)):
        end = 100 * np.exp(draws(law_of(one(make_market), HARD, Drift.martingale, 10.0, steps), count)[0])
        payoff = np.maximum(end - strikes[:, None], 0.0)
        bias[steps], error[steps] = abs(payoff.mean(axis=1) - exact), payoff.std(axis=1) / sqrt(count)
    assert (bias[5] > 8 * error[5]).all()
    assert (bias[20] + 4 * error[20] < bias[5] - 4 * error[5]).all()
    assert (bias[80] < 4 * error[80]).all()
    assert (4 * error[80] < 0.4 * bias[5]).all()


def cir_moments(p: HestonParameters, years: float) -> tuple[float, float]:
    """Mean and variance of v after some years (Cox, Ingersoll and Ross 1985)."""
    decay = exp(-p.kappa * years)
    mean = p.theta + (p.v0 - p.theta) * decay
    variance = p.v0 * p.sigma**2 * decay * (1 - decay) / p.kappa + p.theta * p.sigma**2 * (1 - decay) ** 2 / 2 / p.kappa
    return mean, variance


def variance_of(make_market: MakeMarket, p: HestonParameters, years: float, drift: Drift = Drift.zero) -> Variance:
    variance = law_of(one(make_market), p, drift, years, 1).variance
    assert variance is not None
    return variance


@pytest.mark.parametrize(
    ("p", "years", "quadratic"),
    [
        (EQUITY, 1 / 252, True), (EQUITY, 0.5, True), (replace(EQUITY, v0=0.01, theta=0.02), 0.2, False),
        (HARD, 0.25, False), (HARD, 1 / 252, True), (replace(HARD, v0=0.0), 1 / 252, False),
    ],
)  # fmt: skip
def test_variance_after_one_step(make_market: MakeMarket, p: HestonParameters, years: float, quadratic: bool) -> None:
    variance = variance_of(make_market, p, years)
    mean, second = cir_moments(p, years)
    psi = second / mean**2
    assert (psi <= PSI) == quadratic
    # By inversion of the uniform at midpoints: no sampling error; the tail beyond the last of them is 1e-6.
    u = (np.arange(1_000_000) + 0.5) / 1_000_000
    v, _ = variance.next(np.full((1, len(u)), p.v0), ndtri(u)[None, :], np.zeros((1, len(u))))
    assert v.min() >= 0
    assert v.mean() == pytest.approx(mean, rel=1e-5)
    assert v.var() == pytest.approx(second, rel=2e-3)
    if not quadratic:
        assert (np.diff(v[0]) >= 0).all()
        assert (v == 0).mean() == pytest.approx((psi - 1) / (psi + 1), abs=2e-6)


@pytest.mark.parametrize("p", [EQUITY, HARD], ids=["quadratic", "exponential"])
def test_variance_over_many_steps(make_market: MakeMarket, p: HestonParameters) -> None:
    years, law = 1.0, law_of(one(make_market), p, Drift.zero, 1.0, 16)
    for at in (STEP, 2 * STEP):
        *_, (_, v, _) = law.path(21, at, at + STEP)
        mean, second = cir_moments(p, years)
        assert near(v[0], mean)
        assert near((v[0] - mean) ** 2, second)  # each step has the exact two moments given the last, so many have


# Several underlyings.


@pytest.mark.parametrize(("given", "vols", "want"), [(0.3, True, 0.3), (None, True, 0.6), (None, False, None)])
def test_correlations_of_the_innovations(
    make_market: MakeMarket, given: float | None, vols: bool, want: float | None
) -> None:
    factors = [{"factor": n, "level": 10.0} for n in "ABC"]
    matrix = np.array([[1.0, 0.5, 0.2], [0.5, 1.0, 0.1], [0.2, 0.1, 1.0]])
    if vols:
        factors += [{"factor": f"{n}V", "kind": "vol", "underlying": n, "tenor": 0.1, "level": 0.2} for n in "AB"]
        matrix = np.block([[matrix, np.zeros((3, 2))], [np.zeros((2, 3)), np.array([[1.0, 0.6], [0.6, 1.0]])]])
    parameters = {"A": EQUITY, "B": replace(EQUITY, rho=-0.4)}
    law = Heston(parameters, variance_correlation=given).law(
        make_market(factors, correlation=matrix), 0.1, np.zeros(len(factors))
    )
    assert law.variance is not None
    count = 200_000
    eta = law.innovations.draw(Philox(5), 0, count, 0)
    z, rest = law.variance.innovations(Philox(5), 0, count, 0, eta)
    rho = np.array([-0.7, -0.4])
    if want is None:  # what is left of the variances is as correlated as the prices
        want = float(rho[0] * rho[1] * 0.5 + np.sqrt((1 - rho[0] ** 2) * (1 - rho[1] ** 2)) * 0.5)
    seen = np.corrcoef(np.concatenate([eta[:3], z, rest]))
    error = 4 / sqrt(count)
    assert abs(seen[3, 4] - want) < error
    for u, r in enumerate(rho):
        assert abs(seen[u, 3 + u] - r) < error  # price and its variance
        assert abs(seen[3 + u, 5 + u]) < error  # what is left of the price
    np.testing.assert_allclose(rho[:, None] * z + np.sqrt(1 - rho**2)[:, None] * rest, eta[:2], atol=1e-12)
    for row in (*z, *rest):
        assert stats.kstest(row[:20_000], "norm").pvalue > 1e-3


def test_bad_parameters_at_once(make_market: MakeMarket) -> None:
    market = make_market([{"factor": "A", "level": 1.0}, {"factor": "S", "level": 1.0, "shock": "simple"}])
    parameters = {
        "A": HestonParameters(
            kappa=0.0, theta=-0.1, sigma=float("nan"), rho=-1.0, v0=-0.01, intensity=-2.0, deviation=-0.1
        ),
        "S": EQUITY,
        "Z": replace(EQUITY, rho=1.5),
    }
    with pytest.raises(SettingError) as error:
        Heston(parameters, variance_correlation=2.0).law(market, 0.1, np.zeros(2))
    text = str(error.value)
    for part in (
        "A.kappa is 0: it must be positive", "A.theta is -0.1", "A.sigma is nan", "A.rho is -1: it must lie between",
        "A.v0 is -0.01: it must be finite and not negative", "A.intensity is -2", "A.deviation is -0.1",
        "S: its price has shock=simple", "Z: no price factor has this underlying: there are A, S", "Z.rho is 1.5",
        "model.variance_correlation is 2",
    ):  # fmt: skip
        assert part in text
    assert len(text.splitlines()) == 11
    with pytest.raises(SettingError, match=r"model\.parameters is empty"):
        Heston({}).law(market, 0.1, np.zeros(2))


def test_a_step_without_a_mean_of_the_price(make_market: MakeMarket) -> None:
    p = HestonParameters(kappa=0.5, theta=0.1, sigma=2.0, rho=0.9, v0=0.1)
    with pytest.raises(SettingError, match=r"drift=martingale .*steps of 1 years for A: .*Raise model\.steps"):
        law_of(one(make_market), p, Drift.martingale, 1.0, 1)
    assert np.isfinite(draws(law_of(one(make_market), p, Drift.zero, 1.0, 1), STEP)).all()
    assert np.isfinite(law_of(one(make_market), p, Drift.martingale, 1.0, 250).moves(3, 0, 5000)).all()


def test_feller_is_noted_and_allowed(make_market: MakeMarket) -> None:
    (note,) = law_of(one(make_market), HARD, Drift.zero, 1.0, 12).notes
    assert "(Feller) for A: the variance reaches zero" in note
    assert law_of(one(make_market), replace(EQUITY, sigma=0.5), Drift.zero, 1.0, 12).notes == ()
    market = make_market(
        [{"factor": "A", "level": 1.0}, {"factor": "AV", "kind": "vol", "underlying": "A", "tenor": 0.1, "level": 0.2}]
    )
    law = Heston({"A": replace(EQUITY, sigma=0.5)}).law(market, 0.1, np.zeros(2))
    assert law.notes == ("heston: the variance moves the implied volatilities, in place of the factors AV",)
    assert not law.moves(1, 0, 100)[1].any()
