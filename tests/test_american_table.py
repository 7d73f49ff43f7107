"""Tables of early exercise premiums: errors against exact solutions, limits, what is not a number."""

from __future__ import annotations

import numpy as np
import pytest

from mcvar.pricing.american import american
from mcvar.pricing.american_table import ACROSS, PremiumTable, spline_matrix, weights

CASES = [
    (0.05, 0.0, 0.1), (0.05, 0.02, 0.2), (0.02, 0.06, 0.3), (0.001, 0.0, 0.05), (0.3, 0.1, 0.6), (0.0005, -0.01, 0.03),
    (0.1, 0.1, 0.25), (0.0, -0.02, 0.2), (0.01, 0.0, 0.01),
]  # fmt: skip


@pytest.mark.parametrize(("rho", "kappa", "smallest"), CASES)
def test_prices_are_the_exact_ones(rho: float, kappa: float, smallest: float) -> None:
    table = PremiumTable.build(rho, kappa, smallest)
    random = np.random.default_rng(4)
    s = smallest * np.exp(random.normal(0.0, 0.6, 1500))
    z = random.normal(0.0, 1.5, 1500) * s + random.normal(0.0, 0.05, 1500)
    exact = american(np.exp(z), 1.0, s, rho, rho - kappa, 1.0, -1.0)
    assert np.abs(table.put(z, s) - exact).max() < 2e-7


def test_beyond_the_table_prices_are_those_of_its_edges() -> None:
    table = PremiumTable.build(0.05, 0.01, 0.2)
    z = np.linspace(-1.0, 1.0, 9)
    assert table.put(z, np.full(9, 1e3)) == pytest.approx(1.0, abs=1e-2)  # no more than its strike
    assert table.put(z, np.full(9, 1e-9)) == pytest.approx(np.maximum(-np.expm1(z), 0.0), abs=2e-3)
    assert table.put(np.array([-50.0, 50.0]), np.full(2, 0.2)) == pytest.approx([1.0, 0.0], abs=1e-12)


def test_what_is_not_a_number_stays_so() -> None:
    table = PremiumTable.build(0.05, 0.01, 0.2)
    nan = np.array([np.nan])
    assert np.isnan(table.put(nan, np.array([0.2]))).all()
    assert np.isnan(table.put(np.array([0.1]), nan)).all()


def test_splines_go_through_their_nodes_and_keep_cubics() -> None:
    x = np.linspace(0.0, 1.0, ACROSS)
    cubic = 1.0 - 2.0 * x + 3.0 * x**2 - 0.7 * x**3
    coefficients = spline_matrix(ACROSS) @ cubic
    at = np.random.default_rng(1).uniform(0.0, ACROSS - 1.0, 200)
    left = np.minimum(at.astype(np.int64), ACROSS - 2)
    found = sum(w * coefficients[left + k] for k, w in enumerate(weights(at - left)))
    y = at / (ACROSS - 1)
    assert found == pytest.approx(1.0 - 2.0 * y + 3.0 * y**2 - 0.7 * y**3, abs=1e-12)
