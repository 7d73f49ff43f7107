from __future__ import annotations

from collections.abc import Callable

import numpy as np
import pytest
from numpy.typing import NDArray
from scipy import stats

from mcvar.errors import SettingError
from mcvar.market import Market
from mcvar.models import Gaussian, StudentT
from mcvar.models.innovations import Correlated
from mcvar.models.law import Law
from mcvar.models.mixing import ScaleTable
from mcvar.models.student_t import Group
from mcvar.reduction.delta_gamma import Expansion
from mcvar.reduction.elliptical import Elliptical, dof_of
from mcvar.reduction.inversion import exceedance, excess
from mcvar.reduction.quadratic import QuadraticLaw

Floats = NDArray[np.float64]
EXACT = 1e-8  # what the docstrings promise


def tail(b: list[float], square: list[float], q: Floats, dof: float | None = None) -> Floats:
    return exceedance(np.tile(b, (len(q), 1)).astype(float), np.tile(square, (len(q), 1)).astype(float), dof, q)


@pytest.mark.parametrize("k", [1, 2, 3, 10, 60])
def test_chi_square(k: int) -> None:
    q = stats.chi2.isf(np.array([1 - 1e-9, 0.999, 0.9, 0.5, 0.1, 0.01, 1e-4, 1e-9]), k)
    np.testing.assert_allclose(tail([0] * k, [1] * k, q), stats.chi2.sf(q, k), rtol=0, atol=EXACT)
    np.testing.assert_allclose(tail([0] * k, [-1] * k, -q), stats.chi2.cdf(q, k), rtol=0, atol=EXACT)


@pytest.mark.parametrize("k", [1, 2, 5])
def test_noncentral_chi_square(k: int) -> None:
    b = np.linspace(-2.0, 3.0, k) if k > 1 else np.array([2.5])
    centre = float((b**2).sum() / 4)  # (Z + b/2)^2 = b Z + Z^2 + b^2 / 4
    q = np.linspace(0.05, 60.0, 40)
    found = tail(list(b), [1] * k, q - centre)
    np.testing.assert_allclose(found, stats.ncx2.sf(q, k, centre), rtol=0, atol=EXACT)


@pytest.mark.parametrize(("dof", "law"), [(None, stats.norm), (2.3, stats.t(2.3)), (30.0, stats.t(30.0))])
def test_linear_sums_are_normal_or_t(dof: float | None, law: stats.rv_continuous) -> None:
    q = np.linspace(-6, 6, 25)
    np.testing.assert_allclose(tail([0.6, -0.8, 0], [0, 0, 0], q, dof), law.sf(q), rtol=0, atol=EXACT)


@pytest.mark.parametrize("dof", [2.2, 5.0, 50.0])
@pytest.mark.parametrize("k", [1, 2, 7])
def test_squares_over_chi_square_are_f(dof: float, k: int) -> None:
    q = np.linspace(0.01, 30, 25)
    np.testing.assert_allclose(tail([0] * k, [1 / k] * k, q, dof), stats.f.sf(q, k, dof), rtol=0, atol=EXACT)


@pytest.mark.parametrize("small", [1.0, 0.03, 1e-4, 1e-9])
def test_squares_of_different_size_and_sign(small: float) -> None:
    # Differences and sums of two exponentials of means 1 and `small`.
    q = np.linspace(-5, 10, 31)
    above, below = np.exp(-np.maximum(q, 0)), np.exp(np.minimum(q, 0) / small)
    exact = np.where(q >= 0, above / (1 + small), 1 - small * below / (1 + small))
    np.testing.assert_allclose(tail([0] * 4, [0.5, 0.5, -small / 2, -small / 2], q), exact, rtol=0, atol=EXACT)
    if small < 1:
        q = np.linspace(0.01, 10, 31)
        exact = (np.exp(-q) - small * np.exp(-q / small)) / (1 - small)
        np.testing.assert_allclose(tail([0] * 4, [0.5, 0.5, small / 2, small / 2], q), exact, rtol=0, atol=EXACT)


def test_the_far_tail_is_exact_in_proportion() -> None:
    q = stats.chi2.isf([1e-20, 1e-50], 4)
    np.testing.assert_allclose(tail([0] * 4, [1] * 4, q), [1e-20, 1e-50], rtol=1e-8)


def test_beyond_the_largest_value_there_is_nothing() -> None:
    b, square = [1.0, 2.0], [-0.5, -1.0]  # at most 1/2 + 1
    found = tail(b, square, np.array([1.4999, 1.5, 2.0]))
    assert 0 < found[0] < 1e-3
    assert (found[1:] == 0).all()


@pytest.mark.parametrize("dof", [None, 6.0])
def test_simulated_quadratics(dof: float | None) -> None:
    random = np.random.default_rng(3)
    b, square = random.normal(size=(5, 8)), random.normal(size=(5, 8)) * np.array([[1, 0.1, 3, 0.01, 0.5]]).T
    z = random.normal(size=(8, 200_000))
    if dof is not None:
        z *= np.sqrt((dof - 2) / random.chisquare(dof, size=z.shape[1]))
    law = QuadraticLaw(np.arange(5.0), b, square, dof)
    q = law.quantile([0.05, 0.5, 0.99, 0.999])
    np.testing.assert_allclose(law.exceedance(q), np.tile([0.95, 0.5, 0.01, 0.001], (5, 1)), atol=1e-6)
    values = np.arange(5.0)[:, None] + b @ z + square @ z**2
    for at, p in enumerate([0.95, 0.5, 0.01, 0.001]):
        share = (values > q[:, at, None]).mean(axis=1)
        assert (np.abs(share - p) < 4 * np.sqrt(p * (1 - p) / z.shape[1])).all()
        over = np.maximum(values - q[:, at, None], 0)
        error = over.std(axis=1) / np.sqrt(z.shape[1])
        assert (np.abs(over.mean(axis=1) - law.excess(q)[:, at]) < 4 * error).all()


@pytest.mark.parametrize("dof", [None, 3.0])
@pytest.mark.parametrize("k", [1, 3])
def test_the_excess_is_the_integral_of_the_tail(dof: float | None, k: int) -> None:
    b, square = np.array([[0.3, -1.0, 0.4]])[:, :k], np.array([[0.5, 0.2, -0.7]])[:, :k]
    for q in (-2.0, 0.5, 3.0):
        low, high = np.full(1, q), np.full(1, q + 1.0)
        node, weight = np.polynomial.legendre.leggauss(120)
        at = q + 0.5 * (node + 1)
        probability = exceedance(np.tile(b, (120, 1)), np.tile(square, (120, 1)), dof, at)
        between = excess(b, square, dof, low) - excess(b, square, dof, high)
        np.testing.assert_allclose(between, 0.5 * weight @ probability, rtol=0, atol=1e-7)


def test_the_known_book() -> None:
    covariance = np.array(
        [[0.0091528, 0.0047481, 0.0042183], [0.0047481, 0.014259, 0.0068472], [0.0042183, 0.0068472, 0.018304]]
    )
    gamma = np.array([[442060.0, 1006300.0, 615380.0]])
    book = Expansion(np.zeros(1), np.array([[-2175.1, -33566.0, 56924.0]]), np.array([[0, 0], [1, 1], [2, 2]]), gamma)
    moves = Elliptical(np.zeros(3), np.linalg.cholesky(covariance))
    law = QuadraticLaw.of(book.loss, moves)
    assert abs(law.quantile([0.99])[0, 0] - 2614.75) < 0.05


def test_the_mean_of_the_moves_counts() -> None:
    random = np.random.default_rng(8)
    root = np.tril(random.normal(size=(3, 3)))
    moves = Elliptical(np.array([0.3, -0.2, 0.1]), root)
    pair = np.array([[0, 0], [0, 1], [1, 2]])
    expansion = Expansion(np.ones(2), random.normal(size=(2, 3)), pair, random.normal(size=(2, 3)))
    law = QuadraticLaw.of(expansion, moves)
    values = expansion(moves.mean[:, None] + root @ random.normal(size=(3, 200_000)))
    error = values.std(axis=1) / np.sqrt(200_000)
    assert (np.abs(values.mean(axis=1) - law.mean) < 4 * error).all()
    variance = (law.linear**2).sum(axis=1) + 2 * (law.square**2).sum(axis=1)
    np.testing.assert_allclose(values.var(axis=1), variance, rtol=0.03)


def test_what_does_not_move() -> None:
    law = QuadraticLaw(np.array([5.0]), np.zeros((1, 2)), np.zeros((1, 2)))
    assert law.quantile([0.99]).tolist() == [[5.0]]
    assert law.exceedance([[4.9, 5.0, 5.1]]).tolist() == [[1.0, 0.0, 0.0]]
    assert law.excess([[4.0, 6.0]]).tolist() == [[1.0, 0.0]]


def test_levels_are_probabilities() -> None:
    with pytest.raises(SettingError, match="must lie between 0 and 1"):
        QuadraticLaw(np.zeros(1), np.ones((1, 1)), np.zeros((1, 1))).quantile([1.0])


@pytest.mark.parametrize("dof", [2.01, 3.7, 5.0, 200.0, 9e4])
def test_the_degrees_of_freedom_of_a_table(dof: float) -> None:
    assert dof_of(ScaleTable.of(dof)) == pytest.approx(dof, rel=1e-6)


def test_a_table_of_no_chi_square_is_refused() -> None:
    table = ScaleTable.of(5.0)
    with pytest.raises(SettingError, match="mixing variable is not chi-square"):
        dof_of(ScaleTable(0.5 * table.log_scale, table.slope))


def test_which_laws_are_elliptical(make_market: Callable[..., Market]) -> None:
    factors = [{"factor": name, "level": 1.0} for name in ("A", "B")]
    market = make_market(factors, correlation=[[1.0, 0.5], [0.5, 1.0]])
    still = np.zeros(2)
    normal = Elliptical.of(Gaussian().law(market, 0.25, still, 5))
    np.testing.assert_allclose(normal.root @ normal.root.T, 0.2**2 * 0.25 * np.array([[1, 0.5], [0.5, 1]]))
    assert normal.dof is None
    t = Elliptical.of(StudentT(5.0).law(market, 0.25, still))
    assert t.dof == pytest.approx(5.0)
    np.testing.assert_allclose(t.deviation, 0.1)
    with pytest.raises(SettingError, match="sum of 2 t moves"):
        Elliptical.of(StudentT(5.0).law(market, 0.25, still, 2))
    with pytest.raises(SettingError, match="2 mixing variables"):
        Elliptical.of(StudentT(5.0, groups=(Group("one", ("A",), 3.0),)).law(market, 0.25, still))
    with pytest.raises(SettingError, match="marginals"):
        Elliptical.of(StudentT(5.0, marginals=(4.0, 6.0)).law(market, 0.25, still))
    odd = Law(Correlated(np.eye(1)), np.zeros((1, 1)), np.ones(1))
    assert Elliptical.of(odd).dof is None
