"""The smoothed tail: fits against scipy's, formulas against its law, errors against repetitions, and no fit at all."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest
from scipy import optimize, stats
from scipy.integrate import quad

from mcvar.errors import CapacityError, SettingError
from mcvar.intervals import pareto
from mcvar.measures import Measures
from mcvar.moments import Moments
from mcvar.tail import Tail


@pytest.mark.parametrize("shape", [-0.3, 0.0, 0.2, 0.7])
def test_no_other_law_is_likelier(shape: float) -> None:
    excess = stats.genpareto(shape, scale=40.0).rvs((3, 400), random_state=np.random.default_rng(4))
    for row, *found in zip(excess, *pareto.fit(excess), strict=True):

        def unlikely(law: Any, row: Any = row) -> float:
            return -float(stats.genpareto(law[0], scale=law[1]).logpdf(row).sum())

        best = optimize.minimize(unlikely, (0.1, 40.0), method="Nelder-Mead", options={"xatol": 1e-8, "fatol": 1e-8})
        assert unlikely(found) <= best.fun + 1e-5


def test_fits_do_not_depend_on_units() -> None:
    excess = stats.genpareto(0.2).rvs((2, 300), random_state=np.random.default_rng(4))
    (a, b), (c, d) = pareto.fit(excess), pareto.fit(1e9 * excess)
    np.testing.assert_allclose(a, c, rtol=1e-6, atol=1e-7)
    np.testing.assert_allclose(1e9 * b, d, rtol=1e-6)


def test_var_and_es_are_those_of_the_fitted_law() -> None:
    loss = np.random.default_rng(6).standard_t(4, (1, 20_000))
    k = pareto.excesses(20_000, 0.99)
    assert k == 400
    head = Tail.of(loss, 0, k + 1)
    var, es = (float(e.value[0]) for e in pareto.estimates(head, 0.99, 0.95))
    shape, scale = (float(v[0]) for v in pareto.fit(head.loss[:, :k] - head.loss[:, k, None]))
    law = stats.genpareto(shape, loc=head.loss[0, k], scale=scale)
    assert var == pytest.approx(law.isf(0.5), rel=1e-12)  # half of the excesses lie beyond
    assert es == pytest.approx(var + quad(law.sf, var, np.inf)[0] / 0.5, rel=1e-9)


@pytest.mark.parametrize(("shape", "tolerance"), [(0.2, 0.12), (-0.2, 0.12)])
def test_the_standard_error_is_that_of_repetitions(shape: float, tolerance: float) -> None:
    """Losses are generalised Pareto throughout, so that the fit has no bias; 500 of them give a deviation to 3.2 %."""
    law = stats.genpareto(shape)
    loss = law.rvs((500, 10_000), random_state=np.random.default_rng(9))
    tail = Tail.of(loss, 0, pareto.excesses(10_000, 0.98) + 1)
    truth = law.isf(0.02)
    for estimate, true in zip(
        pareto.estimates(tail, 0.98, 0.95), (truth, truth + (1 + shape * truth) / (1 - shape)), strict=True
    ):
        assert estimate.stderr.mean() == pytest.approx(estimate.value.std(), rel=tolerance)
        covered = ((estimate.low <= true) & (true <= estimate.high)).mean()
        assert abs(covered - 0.95) < 3.5 * np.sqrt(0.95 * 0.05 / 500) + 0.005


def test_the_error_by_differences() -> None:
    """The delta method's derivatives, by differences of the formula, with the covariance of R. L. Smith (1987)."""
    loss = np.random.default_rng(6).exponential(size=(1, 5_000))
    k = pareto.excesses(5_000, 0.98)
    head = Tail.of(loss, 0, k + 1)
    found = pareto.estimates(head, 0.98, 0.95)
    shape, scale = (float(v[0]) for v in pareto.fit(head.loss[:, :k] - head.loss[:, k, None]))

    def at(u: float, x: float, s: float) -> tuple[float, float]:
        var = u + s / x * (0.5**-x - 1)
        return var, (var + s - x * u) / (1 - x)

    covariance = np.array([[(1 + x) ** 2, -s * (1 + x)] for x, s in [(shape, scale)] * 2])
    covariance[1] = [-scale * (1 + shape), 2 * scale**2]
    covariance[1, 1] *= 1 + shape
    covariance[0, 1] = covariance[1, 0]
    u, h = float(head.loss[0, k]), 1e-5
    for i, estimate in enumerate(found):
        gradient = np.array(
            [
                (at(u, shape + h, scale)[i] - at(u, shape - h, scale)[i]) / (2 * h),
                (at(u, shape, scale + h)[i] - at(u, shape, scale - h)[i]) / (2 * h),
            ]
        )
        # A higher threshold comes with a larger scale: what exceeds it has the scale s + shape du.
        by_threshold = (at(u + h, shape, scale + shape * h)[i] - at(u - h, shape, scale - shape * h)[i]) / (2 * h)
        variance = gradient @ covariance @ gradient + (1 - k / 5_000) * (by_threshold * scale) ** 2
        assert estimate.stderr[0] == pytest.approx(np.sqrt(variance / k), rel=1e-6)


def test_no_fit_is_null_with_a_note() -> None:
    rng = np.random.default_rng(3)
    loss = np.stack(
        [
            rng.standard_t(4, 10_000),
            np.full(10_000, 7.0),  # all equal
            rng.random(10_000),  # ends abruptly: shape -1
            stats.genpareto(1.5).rvs(10_000, random_state=rng),  # has no mean
            np.where(rng.random(10_000) < 0.005, 1.0, 0.0),  # most excesses are 0
        ]
    )
    asked = Measures((0.99,), pareto=True)
    found = asked.measure(Tail.of(loss, 0, asked.depth(10_000)), Moments.of(loss))
    for estimate in (e for e in found if e.measure in ("var_pareto", "es_pareto")):
        for name in ("value", "stderr", "low", "high"):
            assert np.isfinite(getattr(estimate, name)).tolist() == [True, False, False, False, False]
    assert [note.split(":")[0] for note in asked.notes(10_000, found)] == [
        "var_pareto and es_pareto at level 0.99 are null for 4 rows",
    ]
    assert [e.measure for e in found] == ["var", "es", "var_pareto", "es_pareto", "mean", "std"]


def test_what_is_no_tail_is_refused() -> None:
    with pytest.raises(SettingError, match=r"measure\.levels has 0\.8: give levels of 0\.9 or more"):
        Measures((0.8, 0.99), pareto=True).depth(10_000)
    with pytest.raises(CapacityError, match=r"499 scenarios are too few for measure\.pareto: it takes 500"):
        Measures((0.95,), pareto=True).depth(499)
    assert Measures((0.95,), pareto=True).depth(500) == 101
