"""The t copula: marginals, rank correlation, joint tails, groups of scales; what is refused."""

from __future__ import annotations

from collections.abc import Callable
from math import asin, pi, sqrt

import numpy as np
import pytest
from numpy.typing import NDArray
from scipy import stats
from scipy.integrate import quad

from mcvar.errors import SettingError
from mcvar.market import Market
from mcvar.models import Drift, Gaussian, Law, StudentT
from mcvar.models.marginals import Marginals
from mcvar.models.student_t import Group

Floats = NDArray[np.float64]
MakeMarket = Callable[..., Market]
STEP, YEARS = 50_000, 0.25
SAMPLE = np.random.default_rng(7).standard_t(4, 1500) ** 3 / 40 + np.random.default_rng(8).normal(size=1500)


def draws(law: Law, count: int, seed: int = 13) -> Floats:
    return np.concatenate([law.moves(seed, at, at + STEP) for at in range(0, count, STEP)], axis=1)


def prices(make_market: MakeMarket, names: str, between: float = 0.0) -> Market:
    matrix = np.full((len(names), len(names)), between)
    np.fill_diagonal(matrix, 1.0)
    return make_market([{"factor": n, "level": 1.0, "shock": "simple"} for n in names], correlation=matrix)


def units(make_market: MakeMarket, model: StudentT, names: str, count: int, between: float = 0.0) -> Floats:
    """Moves of one step over their deviation, [F, N]."""
    market = prices(make_market, names, between)
    return draws(model.law(market, YEARS, np.zeros(len(names))), count) / (0.2 * sqrt(YEARS))


# Marginals.


class Empirical:
    """The law of a sample: its sorted values at (i + 1/2) / n, linear between, of mean 0 and variance 1."""

    def __init__(self, sample: Floats) -> None:
        self.place = (np.arange(len(sample)) + 0.5) / len(sample)
        u = (np.arange(2_000_000) + 0.5) / 2_000_000
        raw = np.interp(u, self.place, np.sort(sample))
        self.value = (np.sort(sample) - raw.mean()) / raw.std()

    def cdf(self, x: Floats) -> Floats:
        return np.interp(x, self.value, self.place)


@pytest.mark.parametrize("dof", [2.5, 4.0, 30.0])
def test_marginals(make_market: MakeMarket, dof: float) -> None:
    marginals = [None, 3.0, SAMPLE, 12.0]
    x = units(make_market, StudentT(dof, marginals=marginals), "ABCD", 200_000, 0.5)
    spread = sqrt(1 / 3)  # of a t law with 3 degrees of freedom whose variance is 1
    laws = [stats.norm.cdf, stats.t(3, scale=spread).cdf, Empirical(SAMPLE).cdf, stats.t(12, scale=sqrt(10 / 12)).cdf]
    for f, law in enumerate(laws):
        assert stats.kstest(x[f], law).pvalue > 1e-3, f
        wrong = laws[f - 1]
        assert stats.kstest(x[f], wrong).pvalue < 1e-9, f


@pytest.mark.parametrize("dof", [None, 2.1, 4.0, 200.0])
def test_tables_of_marginals(dof: float | None) -> None:
    # The table against q(T(t)) from scipy, in both tails from their own side.
    tables = Marginals.of([None, 3.0, 12.0, SAMPLE], dof)
    t = np.sinh(np.linspace(-tables.reach, tables.reach, 20_001))
    copula, scale = (stats.norm, 1.0) if dof is None else (stats.t(dof), sqrt(dof / (dof - 2)))
    tail = copula.sf(np.abs(t) * scale)
    y = tables(np.tile(t, (4, 1)))
    laws = [stats.norm, stats.t(3.0, scale=sqrt(1 / 3)), stats.t(12.0, scale=sqrt(10 / 12))]
    sound = tail > 1e-30  # the generator ends far before
    for row, law in zip(y, laws, strict=False):
        np.testing.assert_allclose(row[sound], (np.sign(t) * law.isf(tail))[sound], rtol=1e-7, atol=1e-9)
    assert (np.diff(y, axis=1) >= -1e-12).all()
    assert y[3].min() == pytest.approx(Empirical(SAMPLE).value[0], rel=2e-3)
    assert y[3].max() == pytest.approx(Empirical(SAMPLE).value[-1], rel=2e-3)


def test_a_copula_with_its_own_marginals_is_the_t_law(make_market: MakeMarket) -> None:
    for dof in (3.0, 8.0):
        x = units(make_market, StudentT(dof, marginals=[dof, dof]), "AB", 2000, 0.4)
        want = units(make_market, StudentT(dof), "AB", 2000, 0.4)
        np.testing.assert_allclose(x, want, rtol=1e-6, atol=1e-8)


@pytest.mark.parametrize("between", [-0.6, 0.0, 0.5])
def test_rank_correlation_is_that_of_the_correlation(make_market: MakeMarket, between: float) -> None:
    # Kendall's tau of an elliptical copula is 2 / pi asin(rho) whatever the marginals (Lindskog and others 2003).
    count = 50_000
    a, b = units(make_market, StudentT(3.0, marginals=[None, SAMPLE]), "AB", count, between)
    tau = 2 / pi * asin(between)
    assert abs(stats.kendalltau(a, b).statistic - tau) < 4 * sqrt(2 * (1 - tau**2) / count)


def joint_tail(dof: float, rho: float, p: float) -> float:
    """P(both above their 1 - p quantiles) under the bivariate t law: the second given the first is t again."""
    t = stats.t(dof).isf(p)

    def integrand(x: float) -> float:
        spread = sqrt((1 - rho**2) * (dof + x * x) / (dof + 1))
        return float(stats.t(dof).pdf(x) * stats.t(dof + 1).sf((t - rho * x) / spread))

    return quad(integrand, t, 8 * t)[0] + quad(integrand, 8 * t, np.inf)[0]


@pytest.mark.parametrize(("dof", "rho"), [(3.0, 0.5), (4.0, -0.2), (10.0, 0.7)])
def test_joint_tails(make_market: MakeMarket, dof: float, rho: float) -> None:
    p, count = 0.01, 600_000
    a, b = units(make_market, StudentT(dof, marginals=[None, 5.0]), "AB", count, rho)
    high = stats.norm.isf(p), stats.t(5, scale=sqrt(3 / 5)).isf(p)
    want = joint_tail(dof, rho, p)
    limit = 2 * stats.t(dof + 1).cdf(-sqrt((dof + 1) * (1 - rho) / (1 + rho)))
    assert joint_tail(dof, rho, 1e-10) / 1e-10 == pytest.approx(limit, rel=0.05)  # coefficient of tail dependence
    error = 4 * sqrt(want * (1 - want) / count)
    for sign in (1.0, -1.0):  # both tails alike
        both = ((sign * a > high[0]) & (sign * b > high[1])).mean()
        assert abs(both - want) < error
    normal = stats.multivariate_normal([0, 0], [[1, rho], [rho, 1]]).cdf([-high[0], -high[0]])
    assert want - normal > 2 * error  # the normal copula would be seen


# Groups.


def test_one_group_of_all_is_the_t_law(make_market: MakeMarket) -> None:
    grouped = StudentT(7.0, groups=(Group("all", ("A", "B", "C"), 3.0),))
    np.testing.assert_array_equal(
        units(make_market, grouped, "ABC", STEP, 0.3), units(make_market, StudentT(3.0), "ABC", STEP, 0.3)
    )


@pytest.mark.parametrize("independent", [False, True])
def test_groups_have_their_own_tails(make_market: MakeMarket, independent: bool) -> None:
    groups = (Group("one", ("B",), 3.0), Group("two", ("C", "D"), 20.0))
    model = StudentT(5.0, groups=groups, independent=independent)
    x = units(make_market, model, "ABCD", 150_000)
    for row, dof in zip(x, (5.0, 3.0, 20.0, 20.0), strict=True):
        assert stats.kstest(row, stats.t(dof, scale=sqrt((dof - 2) / dof)).cdf).pvalue > 1e-3
    assert model.law(prices(make_market, "ABCD"), YEARS, np.zeros(4)).mean.shape == (1, 4)


def test_independent_and_comonotone_scales(make_market: MakeMarket) -> None:
    # Uncorrelated factors: only their scales can make their sizes depend on each other.
    count = 100_000
    groups = (Group("one", ("B",), 3.0), Group("two", ("C", "D"), 4.0))
    rank = {}
    for independent in (False, True):
        x = np.abs(units(make_market, StudentT(3.0, groups=groups, independent=independent), "ABCD", count))
        rank[independent] = stats.spearmanr(x.T).statistic
    error = 4 / sqrt(count)
    across = [(0, 1), (0, 2), (1, 2), (1, 3), (0, 3)]
    for i, j in across:
        assert abs(rank[True][i, j]) < error
        assert rank[False][i, j] > 4 * error
    assert rank[True][2, 3] > 4 * error  # of one group
    assert rank[False][2, 3] == pytest.approx(rank[True][2, 3], abs=2 * error)
    x = units(make_market, StudentT(3.0, groups=groups), "ABCD", count)
    assert (np.abs(stats.spearmanr(x.T).statistic[np.triu_indices(4, 1)]) < 2 * error).all()  # signs do not depend


def test_steps_are_independent(make_market: MakeMarket) -> None:
    market = prices(make_market, "AB", 0.5)
    law = StudentT(4.0, marginals=[SAMPLE, None]).law(market, YEARS, np.zeros(2), 3)
    path = [x for x, *_ in law.path(3, 0, 100_000)]
    steps = np.diff(np.stack([np.zeros_like(path[0]), *path]), axis=0)
    for f in range(2):
        for transform in (np.asarray, np.abs):
            rank = stats.spearmanr(transform(steps[:, f]).T).statistic
            assert (np.abs(rank[np.triu_indices(3, 1)]) < 4 / sqrt(100_000)).all()


# What is refused.


def test_bad_groups_at_once(make_market: MakeMarket) -> None:
    market = prices(make_market, "ABC")
    groups = (Group("one", ("A", "X"), 3.0), Group("two", ("A", "Y"), 4.0))
    with pytest.raises(SettingError) as error:
        StudentT(groups=groups).law(market, YEARS, np.zeros(3))
    lines = str(error.value).splitlines()
    assert lines == [
        "model.groups.one: 'X' is no factor: there are A, B, C",
        "model.groups: 'A' is in one and in two: leave it in one",
        "model.groups.two: 'Y' is no factor: there are A, B, C",
    ]
    with pytest.raises(SettingError, match=r"model\.groups\.one\.dof is 2: .* dof > 2"):
        StudentT(groups=(Group("one", ("A",), 2.0),)).law(market, YEARS, np.zeros(3))


def test_bad_marginals(make_market: MakeMarket) -> None:
    market = prices(make_market, "ABC")
    with pytest.raises(SettingError, match=r"dof of a marginal is 1\.5: .* dof > 2"):
        StudentT(marginals=[None, 1.5, SAMPLE]).law(market, YEARS, np.zeros(3))
    with pytest.raises(SettingError, match=r"both model\.groups and model\.marginals are given"):
        StudentT(marginals=[None] * 3, groups=(Group("one", ("A",), 3.0),)).law(market, YEARS, np.zeros(3))
    with pytest.raises(SettingError, match=r"model\.dof is 2: "):
        StudentT(2.0, marginals=[None] * 3).law(market, YEARS, np.zeros(3))


def test_log_prices_with_t_marginals_have_no_mean(make_market: MakeMarket) -> None:
    market = make_market([{"factor": n, "level": 1.0} for n in "ABC"])
    for drift in (Drift.martingale, Drift.risk_neutral):
        with pytest.raises(SettingError, match=r"log shocks \(B\): exp\(t\) has no mean.*shock=simple"):
            StudentT(drift=drift, marginals=[None, 6.0, SAMPLE]).law(market, YEARS, np.zeros(3))
    plain = StudentT(drift=Drift.martingale, marginals=[None, None, SAMPLE]).law(market, YEARS, np.zeros(3))
    gaussian = Gaussian(Drift.martingale).law(market, YEARS, np.zeros(3))
    np.testing.assert_allclose(plain.mean[0, :2], gaussian.mean[0, :2], rtol=1e-14)
    assert not any("exp(t)" in note for note in plain.notes)
