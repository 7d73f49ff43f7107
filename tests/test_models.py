from collections.abc import Callable
from math import exp, sqrt

import numpy as np
import pytest
from numpy.typing import NDArray
from scipy import stats
from scipy.special import ndtr

from mcvar.book import Book
from mcvar.engines import Reference
from mcvar.errors import SettingError
from mcvar.market import Market
from mcvar.measures import depth, measure
from mcvar.models import Drift, Gaussian, ShockModel, StudentT
from mcvar.models.mixing import ScaleTable
from mcvar.scenarios import Simulated
from mcvar.shards import simulate

Floats = NDArray[np.float64]
MakeMarket = Callable[..., Market]
MakeBook = Callable[..., Book]
DRAWS, STEP = 1_000_000, 50_000
YEARS = 0.25
CORRELATION = [[1.0, 0.6, -0.3], [0.6, 1.0, 0.2], [-0.3, 0.2, 1.0]]


def moves(market: Market, model: ShockModel, carry: float = 0.0, draws: int = DRAWS, years: float = YEARS) -> Floats:
    law = model.law(market, years, np.full(len(market.factors), carry))
    return np.concatenate([law.moves(3, at, at + STEP) for at in range(0, draws, STEP)], axis=1)


def three(make_market: MakeMarket, **common: object) -> Market:
    names = ("A", "B", "C")
    factors = [
        {"factor": n, "level": 50.0, "volatility": v, **common} for n, v in zip(names, (0.2, 0.4, 0.1), strict=True)
    ]
    return make_market(factors, correlation=CORRELATION)


@pytest.mark.parametrize("model", [Gaussian(), StudentT(dof=9.0)], ids=["gaussian", "student_t"])
def test_covariance(make_market: MakeMarket, model: ShockModel) -> None:
    market = three(make_market)
    x = moves(market, model)
    want = np.outer(market.volatility, market.volatility) * CORRELATION * YEARS
    for i in range(3):
        assert abs(x[i].mean()) < 4 * x[i].std() / sqrt(DRAWS)
        for j in range(i, 3):
            product = x[i] * x[j]
            assert abs(product.mean() - want[i, j]) < 4 * product.std() / sqrt(DRAWS)


@pytest.mark.parametrize("shock", ["log", "simple", "absolute"])
@pytest.mark.parametrize("drift", list(Drift))
@pytest.mark.parametrize("model", [Gaussian, StudentT])
def test_drift(make_market: MakeMarket, model: type[Gaussian | StudentT], drift: Drift, shock: str) -> None:
    volatility = 8.0 if shock == "absolute" else 0.2
    factors = [
        {"factor": "A", "level": 40.0, "volatility": volatility, "shock": shock},
        {"factor": "v", "kind": "vol", "underlying": "A", "tenor": 1.0, "level": 0.2, "volatility": 0.8},
        {"factor": "r", "kind": "rate", "tenor": 1.0, "level": 0.02, "volatility": 0.01},
    ]
    market = make_market(factors)
    if model is StudentT and shock == "log" and drift is not Drift.zero:
        with pytest.raises(SettingError, match=rf"drift={drift.value} .*\(A\).*shock=simple"):
            model(drift=drift).law(market, YEARS, np.zeros(3))
        return
    x, v, r = moves(market, model(drift=drift), carry=0.3, draws=400_000)
    n = len(x)
    for other in (v, r):  # drift is a matter of prices
        assert abs(other.mean()) < 4 * other.std() / sqrt(n)
    if drift is Drift.zero:
        assert abs(x.mean()) < 4 * x.std() / sqrt(n)
        return
    end = 40 * {"log": np.exp(x), "simple": 1 + x, "absolute": 1 + x / 40}[shock]
    want = 40 * (exp(0.3 * YEARS) if drift is Drift.risk_neutral else 1.0)
    assert abs(end.mean() - want) < 4 * end.std() / sqrt(n)


@pytest.mark.parametrize("dof", [2.1, 3.0, 5.0, 30.0])
def test_each_factor_is_student_t(make_market: MakeMarket, dof: float) -> None:
    x = moves(three(make_market), StudentT(dof=dof), draws=100_000)
    for row, volatility in zip(x, (0.2, 0.4, 0.1), strict=True):
        scale = volatility * sqrt(YEARS) * sqrt((dof - 2) / dof)
        assert stats.kstest(row, stats.t(dof, scale=scale).cdf).pvalue > 1e-3


def test_one_scale_moves_all_factors_together(make_market: MakeMarket) -> None:
    # Uncorrelated under a t law are not independent: their squares are correlated, here by 1 / (dof - 1).
    market = make_market([{"factor": name, "level": 1.0} for name in "AB"])
    a, b = moves(market, StudentT(dof=12.0), draws=400_000) ** 2
    assert np.corrcoef(a, b)[0, 1] == pytest.approx(1 / 11, abs=0.02)
    a, b = moves(market, Gaussian(), draws=400_000) ** 2
    assert np.corrcoef(a, b)[0, 1] == pytest.approx(0.0, abs=0.01)


@pytest.mark.parametrize("dof", [2.01, 2.1, 2.5, 3.0, 4.0, 5.0, 7.3, 10.0, 30.0, 100.0, 200.0])
def test_error_of_the_scale_table(dof: float) -> None:
    # The generator's normals lie within +-8.21. Each tail is asked of scipy from its own side, without cancellation.
    m = np.linspace(-8.21, 8.21, 40_003)
    w = np.where(m < 0, stats.chi2.ppf(ndtr(np.minimum(m, 0)), dof), stats.chi2.isf(ndtr(-np.maximum(m, 0)), dof))
    want = np.sqrt((dof - 2) / w)
    assert np.abs(ScaleTable.of(dof)(m) / want - 1).max() < 2e-12


@pytest.mark.parametrize("dof", [2.0, 1.0, 0.0, -3.0, float("inf"), float("nan")])
def test_degrees_of_freedom_without_a_covariance(make_market: MakeMarket, dof: float) -> None:
    with pytest.raises(SettingError, match=r"model\.dof is .* dof > 2"):
        StudentT(dof=dof).law(three(make_market), YEARS, np.zeros(3))


def test_notes_of_student_t(make_market: MakeMarket) -> None:
    assert len(StudentT(dof=5.0).law(three(make_market, shock="simple"), YEARS, np.zeros(3)).notes) == 0
    log, fourth = StudentT(dof=4.0).law(three(make_market), YEARS, np.zeros(3)).notes
    assert "shock=simple" in log
    assert "dof 4 <= 4" in fourth


@pytest.mark.parametrize("model", [Gaussian(), StudentT()], ids=["gaussian", "student_t"])
def test_perfectly_correlated_factors_move_together(make_market: MakeMarket, model: ShockModel) -> None:
    sign = np.array([1.0, 1.0, -1.0, 1.0])
    volatility = [0.2, 0.5, 0.3, 0.0]
    factors = [{"factor": n, "level": 1.0, "volatility": v} for n, v in zip("ABCD", volatility, strict=True)]
    market = make_market(factors, correlation=np.outer(sign, sign))
    x = moves(market, model, draws=50_000)
    np.testing.assert_allclose(x[:3] / (sign * volatility)[:3, None], np.tile(x[0] / 0.2, (3, 1)), rtol=1e-7, atol=1e-9)
    assert not x[3].any()
    assert x[0].std() == pytest.approx(0.2 * sqrt(YEARS), rel=0.05)


def test_a_factor_added_last_changes_no_move_before_it(make_market: MakeMarket) -> None:
    factors = [{"factor": n, "level": 1.0} for n in "ABC"]
    x = moves(make_market(factors), Gaussian(), draws=STEP)
    fewer = moves(make_market(factors[:2]), Gaussian(), draws=STEP)
    np.testing.assert_allclose(x[:2], fewer, rtol=1e-12)


# Linear books: the loss is one normal or t variable with a known standard deviation.


@pytest.mark.parametrize("shock", ["simple", "absolute"])
@pytest.mark.parametrize(("model", "dof"), [(Gaussian(), ""), (StudentT(dof=5.0), "5"), (StudentT(dof=3.0), "3")])
def test_closed_forms_of_linear_books(
    make_market: MakeMarket,
    make_book: MakeBook,
    cases: Callable[[str], list[dict[str, str]]],
    model: ShockModel,
    dof: str,
    shock: str,
) -> None:
    units = {
        float(row["alpha"]): (float(row["VaR"]), float(row["ES"]))
        for row in cases("var_es_closed_forms.csv")
        if row["distribution"] in ("normal(0,1)", "student t, unit SCALE") and row["nu"] == dof
    }
    volatility = np.array([0.2, 0.4, 0.1]) * (50.0 if shock == "absolute" else 1.0)
    factors = [
        {"factor": n, "level": 50.0, "volatility": v, "shock": shock} for n, v in zip("ABC", volatility, strict=True)
    ]
    market = make_market(factors, correlation=CORRELATION)
    held = np.array([100.0, -70.0, 210.0])
    rows = [
        {"instrument": "a", "kind": "spot", "underlying": "A"},
        {"instrument": "b", "kind": "perpetual", "underlying": "B"},
        {"instrument": "c", "kind": "future", "underlying": "C", "years": 0.5, "carry": 0.0},
    ]
    book = make_book(market, rows, [("X", name, quantity) for name, quantity in zip("abc", held, strict=True)])
    exposure = held * (1.0 if shock == "absolute" else 50.0)
    years = 1 / 365
    deviation = sqrt(exposure @ (np.outer(volatility, volatility) * CORRELATION) @ exposure * years)
    scale = deviation * (sqrt((float(dof) - 2) / float(dof)) if dof else 1.0)
    engine = Reference(market, book, Simulated(model.law(market, years, np.zeros(3)), DRAWS, seed=4), years)
    levels = [0.95, 0.99]
    tail, moments = simulate(engine, DRAWS, depth(DRAWS, levels, 0.95), workers=2)
    *measures, mean, std = measure(tail, moments, levels, 0.95)
    for estimate in measures:
        want = scale * units[estimate.level][estimate.measure == "es"]  # type: ignore[index]
        assert abs(estimate.value[0] - want) < 4 * estimate.stderr[0]
        assert estimate.stderr[0] < 0.02 * want
    assert abs(mean.value[0]) < 4 * mean.stderr[0]
    if dof != "3":  # without a fourth moment there is no error of the standard deviation
        assert abs(std.value[0] - deviation) < 4 * std.stderr[0]
