"""Filtered historical simulation: whole dates at today's variance, stressed dates, blocks; what is refused."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace
from math import sqrt
from typing import Any

import numpy as np
import pytest
from numpy.typing import NDArray
from scipy import stats

from mcvar.errors import SettingError
from mcvar.market import Market
from mcvar.models import Drift, FilteredHistorical, Historical, Law
from mcvar.models.innovations import Residuals
from mcvar.models.volatility import Garch

Floats = NDArray[np.float64]
Ints = NDArray[np.int64]
MakeMarket = Callable[..., Market]
DATES, COUNT, PER_YEAR = 200, 60_000, 252.0
RESIDUALS = np.random.default_rng(9).standard_t(5, (DATES, 3)) + 0.1
GARCH = Garch(
    omega=np.array([2e-6, 0.0, 4e-5]), alpha=np.array([0.04, 0.06, 0.1]), gamma=np.array([0.1, 0.0, -0.06]),
    beta=np.array([0.88, 0.94, 0.7]), start=np.array([4e-4, 1e-4, 1e-4]),
)  # fmt: skip
STRESSED = np.arange(20, 60)


def law_of(make_market: MakeMarket, model: FilteredHistorical, steps: int = 1, **terms: Any) -> Law:
    market = make_market([{"factor": n, "level": 1.0, **terms} for n in "ABC"])
    return model.law(replace(market, steps_per_year=PER_YEAR), steps / PER_YEAR, np.zeros(3), steps)


def innovations(law: Law, count: int = COUNT, seed: int = 23) -> Floats:
    """Innovations of each step, found again from the moves alone and the recursion of the variance, [steps, F, N]."""
    found, before, h = [], np.zeros((3, count)), np.tile(GARCH.start[:, None], count)
    for mean, (x, *_) in zip(law.mean, law.path(seed, 0, count), strict=True):
        e = x - before - mean[:, None]
        found.append(e / np.sqrt(h))
        news = GARCH.alpha[:, None] + GARCH.gamma[:, None] * (e < 0)
        h, before = GARCH.omega[:, None] + news * e**2 + GARCH.beta[:, None] * h, x
    return np.array(found)


def dates_of(eta: Floats, residuals: Floats) -> Ints:
    """The date whose residual vector each column of [F, N] is."""
    order = np.argsort(residuals[0])
    at = np.searchsorted(residuals[0][order], eta[0] - 1e-6)
    date = order[np.minimum(at, residuals.shape[1] - 1)]
    np.testing.assert_allclose(eta, residuals[:, date], rtol=1e-6, atol=1e-9)  # all factors of one date
    return date


def standardised(residuals: Floats, weight: Floats, recent: Ints | None = None) -> Floats:
    """[F, T], of mean 0 under the weights of the dates, and of variance 1 over the recent ones."""
    used = np.flatnonzero(weight) if recent is None else recent
    return np.asarray(((residuals - weight @ residuals) / residuals[used].std(axis=0)).T)


ALL = np.full(DATES, 1 / DATES)


@pytest.mark.parametrize("steps", [1, 5])
def test_moves_are_those_of_whole_dates(make_market: MakeMarket, steps: int) -> None:
    law = law_of(make_market, FilteredHistorical(RESIDUALS, GARCH), steps)
    date = [dates_of(eta, standardised(RESIDUALS, ALL)) for eta in innovations(law)]
    for each in date:
        assert stats.chisquare(np.bincount(each, minlength=DATES)).pvalue > 1e-3
    for i in range(steps - 1):  # of independent dates
        assert abs(stats.spearmanr(date[i], date[i + 1]).statistic) < 4 / sqrt(COUNT)


def test_the_window(make_market: MakeMarket) -> None:
    law = law_of(make_market, FilteredHistorical(RESIDUALS, GARCH, window=80), 3)
    weight = np.where(np.arange(DATES) >= DATES - 80, 1 / 80, 0.0)
    for eta in innovations(law):
        seen = np.bincount(dates_of(eta, standardised(RESIDUALS, weight)), minlength=DATES)
        assert not seen[: DATES - 80].any()
        assert stats.chisquare(seen[DATES - 80 :]).pvalue > 1e-3


@pytest.mark.parametrize("share", [0.25, 0.6])
@pytest.mark.parametrize("window", [0, 100, 170])  # with the stressed dates, without them, with a part of them
def test_stressed_dates_have_their_share(make_market: MakeMarket, share: float, window: int) -> None:
    model = FilteredHistorical(RESIDUALS, GARCH, window, 1, STRESSED, share)
    recent = np.setdiff1d(np.arange(DATES - (window or DATES), DATES), STRESSED)
    weight = np.zeros(DATES)
    weight[STRESSED], weight[recent] = share / len(STRESSED), (1 - share) / len(recent)
    for eta in innovations(law_of(make_market, model, 2)):
        date = dates_of(eta, standardised(RESIDUALS, weight, recent))
        stressed = np.isin(date, STRESSED).mean()
        assert abs(stressed - share) < 4 * sqrt(share * (1 - share) / COUNT)
        seen = np.bincount(date, minlength=DATES)
        drawn = weight > 0
        assert not seen[~drawn].any()
        assert stats.chisquare(seen[drawn], weight[drawn] * COUNT).pvalue > 1e-3


@pytest.mark.parametrize("model", [
    FilteredHistorical(RESIDUALS, GARCH), FilteredHistorical(RESIDUALS, GARCH, 80),
    FilteredHistorical(RESIDUALS, GARCH, 100, 3, STRESSED, 0.4),
])  # fmt: skip
def test_residuals_have_mean_0_and_variance_1_over_unstressed_dates(
    make_market: MakeMarket, model: FilteredHistorical
) -> None:
    drawn = law_of(make_market, model).innovations
    assert isinstance(drawn, Residuals)
    weight = np.diff(drawn.cumulative, prepend=0.0)
    np.testing.assert_allclose(drawn.values @ weight, 0.0, atol=1e-12)
    np.testing.assert_allclose(drawn.values[:, : drawn.recent].std(axis=1), 1.0, rtol=1e-12)
    np.testing.assert_allclose(np.corrcoef(drawn.values), np.corrcoef(RESIDUALS[drawn.pool].T), rtol=1e-10)


def test_blocks_stay_in_their_set(make_market: MakeMarket) -> None:
    """Every step of a block has the stressed share, dates of the window only, and a mean of 0."""
    model = FilteredHistorical(RESIDUALS, GARCH, 100, 5, STRESSED, 0.25)
    recent = np.setdiff1d(np.arange(DATES - 100, DATES), STRESSED)
    weight = np.zeros(DATES)
    weight[STRESSED], weight[recent] = 0.25 / len(STRESSED), 0.75 / len(recent)
    for eta in innovations(law_of(make_market, model, 10), 60_000):
        date = dates_of(eta, standardised(RESIDUALS, weight, recent))
        seen = np.bincount(date, minlength=DATES)
        assert not seen[weight == 0].any()
        assert stats.chisquare(seen[weight > 0], weight[weight > 0] * 60_000).pvalue > 1e-3


def test_a_stressed_period_adds_to_the_tail(make_market: MakeMarket) -> None:
    wild = RESIDUALS.copy()
    wild[STRESSED] *= 4.0
    quiet = np.setdiff1d(np.arange(DATES), STRESSED)
    without = law_of(make_market, FilteredHistorical(wild[quiet], GARCH), 1).moves(3, 0, COUNT)
    within = law_of(make_market, FilteredHistorical(wild, GARCH, 0, 1, STRESSED, 0.25), 1).moves(3, 0, COUNT)
    assert (np.quantile(within, 0.01, axis=1) < 1.3 * np.quantile(without, 0.01, axis=1)).all()


def test_blocks_take_consecutive_dates(make_market: MakeMarket) -> None:
    law = law_of(make_market, FilteredHistorical(RESIDUALS, GARCH, block=4), 10)
    date = [dates_of(eta, standardised(RESIDUALS, ALL)) for eta in innovations(law, 20_000)]
    for step in range(1, 10):
        follows = (date[step] == (date[step - 1] + 1) % DATES).mean()
        if step % 4:
            assert follows == 1.0
        else:
            assert abs(follows - 1 / DATES) < 4 * sqrt(1 / DATES / 20_000)
    assert stats.chisquare(np.bincount(date[8], minlength=DATES)).pvalue > 1e-3


def constant(variance: Floats) -> Garch:
    zero = np.zeros(3)
    return Garch(omega=variance, alpha=zero, gamma=zero, beta=zero, start=variance)


def test_with_a_constant_variance_one_step_is_the_history(make_market: MakeMarket) -> None:
    moves = RESIDUALS * [0.01, 0.02, 0.005]
    market = replace(make_market([{"factor": n, "level": 1.0} for n in "ABC"]), steps_per_year=PER_YEAR)
    for drift in Drift:
        carry = np.array([0.05, -0.1, 0.0])
        law = FilteredHistorical(moves, constant(moves.var(axis=0)), drift=drift).law(market, 1 / PER_YEAR, carry)
        past = Historical(moves, drift=drift).shocks(market, 1 / PER_YEAR, carry, 1)
        x = law.moves(4, 0, COUNT)
        date = dates_of(x, past)
        assert stats.chisquare(np.bincount(date, minlength=DATES)).pvalue > 1e-3
        np.testing.assert_allclose(x, past[:, date], rtol=1e-9, atol=1e-14)


def test_with_a_constant_variance_steps_add_up(make_market: MakeMarket) -> None:
    variance = np.array([1e-4, 4e-4, 2e-5])
    x = law_of(make_market, FilteredHistorical(RESIDUALS, constant(variance)), 10).moves(4, 0, COUNT)
    correlation = np.corrcoef(RESIDUALS.T)
    for i in range(3):
        for j in range(3):
            product = x[i] * x[j]
            want = 10 * sqrt(variance[i] * variance[j]) * correlation[i, j]
            assert abs(product.mean() - want) < 4 * product.std() / sqrt(COUNT)


# What is refused.


@pytest.mark.parametrize(("terms", "message"), [
    ({"window": DATES + 1}, r"model\.window is 201, but the history has 200 moves"),
    ({"window": -1}, r"model\.window is -1, but the history has 200 moves"),
    ({"window": 49}, r"draws from 49 dates: at least 50"),
    ({"block": 0}, r"model\.block is 0: it must be from 1 to the 200"),
    ({"window": 60, "block": 61}, r"model\.block is 61: it must be from 1 to the 60"),
    ({"stressed": STRESSED, "stressed_weight": 0.0}, r"model\.stressed_weight is 0: it must lie between 0 and 1"),
    ({"stressed": STRESSED, "stressed_weight": 1.0}, r"model\.stressed_weight is 1: it must lie between 0 and 1"),
    ({"window": 60, "stressed": np.arange(100, 200)}, r"every date of model\.window is stressed"),
])  # fmt: skip
def test_bad_settings(make_market: MakeMarket, terms: dict[str, Any], message: str) -> None:
    with pytest.raises(SettingError, match=message):
        law_of(make_market, FilteredHistorical(RESIDUALS, GARCH, **terms))


def test_a_bad_filter_names_every_problem(make_market: MakeMarket) -> None:
    bad = replace(GARCH, omega=np.array([-1.0, 0.0, 0.0]), beta=np.array([0.88, 1.1, 0.7]))
    with pytest.raises(SettingError, match=r"A\.omega is -1(.|\n)*B: .* not stationary"):
        law_of(make_market, FilteredHistorical(RESIDUALS, bad))


def test_growth_of_log_prices_over_several_steps(make_market: MakeMarket) -> None:
    for drift in (Drift.martingale, Drift.risk_neutral):
        model = FilteredHistorical(RESIDUALS, GARCH, drift=drift)
        with pytest.raises(SettingError, match=r"filtered_historical .* 2 steps: .*shock=simple"):
            law_of(make_market, model, 2)
        law_of(make_market, model, 1)
        law_of(make_market, model, 2, shock="simple")
