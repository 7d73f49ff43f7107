"""Jumps by a threshold: simulated ones come back, common and own are told apart, assumptions hold."""

from __future__ import annotations

import json

import numpy as np
import pytest
from numpy.typing import NDArray

from mcvar.errors import InputError, SettingError
from mcvar.fit import find_jumps, fit_merton

Floats = NDArray[np.float64]
NAMES = ["A", "B", "V"]
PRICES = [True, True, False]
DIFFUSION = np.array([0.005, 0.008, 0.03])
STEPS = 252


def simulated(years: int = 40, seed: int = 1, *, common: float = 3.0, own: float = 2.0) -> Floats:
    """Jumps far beyond four deviations of the diffusion, so that the threshold finds all of them."""
    rng = np.random.default_rng(seed)
    count = years * STEPS
    x = DIFFUSION * rng.normal(size=(count, 3))
    together = rng.uniform(size=count) < common / STEPS
    z = rng.normal(size=(count, 3))
    z[:, 1] = 0.5 * z[:, 0] + np.sqrt(0.75) * z[:, 1]
    x += together[:, None] * (np.array([-0.06, -0.09, 0.35]) + np.array([0.01, 0.015, 0.05]) * z)
    alone = rng.uniform(size=count) < own / STEPS
    x[:, 0] += alone * (0.07 + 0.012 * rng.normal(size=count))
    return x


def test_known_jumps_come_back() -> None:
    fit = fit_merton(simulated(), NAMES, STEPS, prices=PRICES)
    common, errors = fit.settings["common"], fit.errors["common"]
    assert abs(common["intensity"] - 3) < 4 * errors["intensity"]
    expected = {"A": (-0.06, 0.01), "B": (-0.09, 0.015), "V": (0.35, 0.05)}
    for name, (mean, deviation) in expected.items():
        assert abs(common["factors"][name]["mean"] - mean) < 4 * errors["factors"][name]["mean"]
        assert abs(common["factors"][name]["deviation"] - deviation) < 4 * errors["factors"][name]["deviation"]
    own = fit.settings["own"]["A"]
    for key, value in (("intensity", 2.0), ("mean", 0.07), ("deviation", 0.012)):
        assert abs(own[key] - value) < 4 * fit.errors["own"]["A"][key], key
    assert "B" not in fit.settings["own"]
    count = fit.diagnostics["common_jumps"]
    assert errors["intensity"] == pytest.approx(np.sqrt(count) / 40)
    # One number cannot stand for prices that fall and a volatility that rises.
    assert common["correlation"] is None
    assert any("not all factors are prices" in note for note in fit.notes)
    assert fit.diagnostics["expected_false_jumps"] == pytest.approx(40 * STEPS * 6.334248e-5, rel=1e-6)
    json.dumps([fit.settings, fit.errors, fit.diagnostics], allow_nan=False)


def test_the_correlation_of_common_sizes() -> None:
    x = simulated()[:, :2]
    fit = fit_merton(x, ["A", "B"], STEPS)
    found, error = fit.settings["common"]["correlation"], fit.errors["common"]["correlation"]
    assert abs(found - 0.5) < 4 * error
    assert error < 0.12
    assert fit.diagnostics["price_correlation"] == found


def test_moves_without_jumps() -> None:
    fit = fit_merton(simulated(common=0.0, own=0.0), NAMES, STEPS, prices=PRICES)
    assert fit.settings["common"] == {"intensity": 0.0, "factors": {}, "correlation": None}
    assert fit.errors["common"]["intensity"] is None
    assert sum(fit.diagnostics["jumps"].values()) < 15  # 1.9 expected of known deviations, these are estimated
    for jump in fit.settings["own"].values():
        assert jump["intensity"] < 0.2


def test_one_factor_has_only_its_own() -> None:
    fit = fit_merton(simulated()[:, [0]], ["A"], STEPS)
    assert fit.settings["common"] == {"intensity": 0.0, "factors": {}, "correlation": None}
    assert abs(fit.settings["own"]["A"]["intensity"] - 5) < 4 * fit.errors["own"]["A"]["intensity"]


def test_a_share_of_the_prices() -> None:
    x = simulated(common=0.0, own=0.0)[:1000]
    x = np.column_stack([x[:, 0]] * 4) * np.array([1.0, 1.1, 1.2, 1.3]) + 0.004 * np.random.default_rng(1).normal(
        size=(1000, 4)
    )
    rows = [100, 300, 500, 700]
    x[rows, :2] += 0.2  # two of four prices
    half = fit_merton(x, list("ABCD"), STEPS, share=0.5)
    assert half.diagnostics["common_rows"] == rows
    assert half.settings["common"]["factors"]["D"]["mean"] == pytest.approx(0.0, abs=0.02)
    more = fit_merton(x, list("ABCD"), STEPS, share=0.75)
    assert more.diagnostics["common_rows"] == []
    assert set(more.settings["own"]) == {"A", "B"}


def test_few_jumps_are_not_estimated_from() -> None:
    x = simulated(common=0.0, own=0.0)[:1000]
    x[[200, 600], 1] = 0.2
    fit = fit_merton(x, NAMES, STEPS, prices=PRICES)
    assert "B" not in fit.settings["own"]
    assert any(note.startswith("B: 2 jumps of its own are too few") for note in fit.notes)
    x[[200, 600], 0] = 0.2
    both = fit_merton(x, NAMES, STEPS, prices=PRICES)
    assert both.settings["common"]["intensity"] == 0.0
    assert any("2 common jumps are too few" in note for note in both.notes)


def test_jumps_leave_variance_to_the_diffusion() -> None:
    """Five jumps of one sign in 100 quiet moves make all of the variance."""
    rng = np.random.default_rng(2)
    x = 1e-6 * rng.normal(size=(100, 1))
    x[[10, 30, 50, 70, 90]] = [[1.0], [-1.0], [1.1], [-1.1], [0.1]]
    fit = fit_merton(x, ["A"], STEPS)
    own = fit.settings["own"]["A"]
    made = own["intensity"] * (own["mean"] ** 2 + own["deviation"] ** 2)
    assert made == pytest.approx(0.95 * np.var(x, ddof=1) * STEPS)
    assert any("of the variance" in note for note in fit.notes)


def test_the_local_deviation_follows_the_moves() -> None:
    """Volatility that doubles midway is no jump; stale quotes are not infinitely quiet."""
    rng = np.random.default_rng(3)
    level = np.repeat([0.01, 0.03], 1000)
    x = (level * rng.normal(size=2000))[:, None]
    x[300] = 0.06  # six deviations in the quiet half, two in the other
    x[1300] = 0.06
    jumps, scale = find_jumps(x, 4.0)
    assert jumps[300, 0]
    assert not jumps[1300, 0]
    assert jumps.sum() < 8
    np.testing.assert_allclose(np.median(scale[:900]), 0.01, rtol=0.05)
    np.testing.assert_allclose(np.median(scale[1100:]), 0.03, rtol=0.05)
    x[500:700] = 0.0
    assert find_jumps(x, 4.0)[1].min() > 0


@pytest.mark.parametrize(
    ("change", "message"),
    [
        ({"threshold": 1.0}, r"threshold is 1\.0"),
        ({"share": 0.0}, r"share is 0\.0"),
        ({"share": 1.5}, r"share is 1\.5"),
        ({"prices": [True]}, r"prices has shape \(1,\): give one truth value for each of 3 factors"),
    ],
)
def test_bad_settings(change: dict[str, object], message: str) -> None:
    with pytest.raises(SettingError, match=message):
        fit_merton(simulated(1), NAMES, STEPS, **change)  # type: ignore[arg-type]


def test_moves_that_cannot_be_fitted() -> None:
    x = simulated(1)[:99]
    x[7, 2] = np.nan
    with pytest.raises(InputError) as caught:
        fit_merton(x, NAMES, STEPS)
    assert len(caught.value.problems) == 2
