"""Merton's jump diffusion: published prices, cumulants in closed form, numbers of jumps, and what it refuses."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace
from math import exp, factorial, sqrt

import numpy as np
import pytest
from numpy.typing import NDArray
from scipy import stats

from mcvar.book import Book
from mcvar.engines import Reference
from mcvar.errors import SettingError
from mcvar.market import Market
from mcvar.models import Drift, Gaussian, Law, Merton
from mcvar.models.jumps import JumpRates, no_jumps
from mcvar.pricing.black import black76
from mcvar.scenarios import Simulated

Floats = NDArray[np.float64]
MakeMarket = Callable[..., Market]
MakeBook = Callable[..., Book]
Case = dict[str, str]
STEP = 50_000


def draws(law: Law, count: int, seed: int = 11) -> Floats:
    return np.concatenate([law.moves(seed, at, at + STEP) for at in range(0, count, STEP)], axis=1)


def near(x: Floats, want: float, also: float = 0.0) -> bool:
    """Whether the mean of a sample is `want` within 4 standard errors, and what else it may err by."""
    return bool(abs(x.mean() - want) <= 4 * x.std() / sqrt(len(x)) + also)


# Prices.


def number(row: Case, key: str) -> float:
    return float(row[key])


def group(row: Case) -> tuple[float, ...]:
    return tuple(number(row, key) for key in ("jump_intensity", "diffusion_vol", "mean_log_jump", "jump_vol"))


def total_volatility(row: Case) -> float:
    """Of the market: here the jumps take their part of it, their mean included, which the file leaves out."""
    intensity, diffusion, mean, deviation = group(row)
    return sqrt(diffusion**2 + intensity * (mean**2 + deviation**2))


def series(row: Case) -> float:
    """Merton's sum over the number of jumps of Black's formula, on the forward."""
    intensity, diffusion, mean, deviation = group(row)
    years, growth = number(row, "t_effective_act360"), exp(mean + deviation**2 / 2)
    rate, carry = number(row, "r"), number(row, "r") - number(row, "q")
    drift = carry - intensity * (growth - 1)
    price = 0.0
    for n in range(80):
        weight = exp(-intensity * years) * (intensity * years) ** n / factorial(n)
        forward = number(row, "spot") * exp(drift * years) * growth**n
        spread = sqrt(diffusion**2 * years + n * deviation**2)
        sign = 1.0 if row["option_type"] == "call" else -1.0
        price += weight * float(black76(np.float64(forward), number(row, "strike"), spread, sign))
    return price * exp(-rate * years)


def merton_of(make_market: MakeMarket, rows: list[Case], years: float, steps: int = 1) -> tuple[Market, Law, list[int]]:
    """One price factor for each set of parameters among the rows, and the factor of each row."""
    sets = {group(row): row for row in rows}
    factors = [
        {"factor": f"U{k}", "level": number(row, "spot"), "volatility": total_volatility(row)}
        for k, row in enumerate(sets.values())
    ]
    intensity, _, mean, deviation = np.array(list(sets)).T
    rates = replace(no_jumps(len(sets)), own_intensity=intensity, own_mean=mean, own_deviation=deviation)
    market, carry = make_market(factors), np.array([number(row, "r") - number(row, "q") for row in sets.values()])
    law = Merton(rates, Drift.risk_neutral).law(market, years, carry, steps)
    return market, law, [list(sets).index(group(row)) for row in rows]


@pytest.mark.parametrize("years", [0.1, 0.25, 0.5])
def test_published_prices(make_market: MakeMarket, cases: Callable[[str], list[Case]], years: float) -> None:
    rows = [row for row in cases("merton76_values.csv") if number(row, "t_effective_act360") == years]
    assert len(rows) >= 20
    _, law, factor = merton_of(make_market, rows, years)
    x = draws(law, 400_000)
    for row, f in zip(rows, factor, strict=True):
        strike, sign = number(row, "strike"), 1.0 if row["option_type"] == "call" else -1.0
        end = number(row, "spot") * np.exp(x[f])
        payoff = exp(-number(row, "r") * years) * np.maximum(sign * (end - strike), 0.0)
        tolerance = number(row, "tolerance")
        assert abs(series(row) - number(row, "expected")) <= tolerance, row["case_id"]
        assert near(payoff, series(row)), row["case_id"]
        assert near(payoff, number(row, "expected"), tolerance), row["case_id"]


@pytest.mark.parametrize("steps", [1, 3])
def test_prices_through_the_engine(
    make_market: MakeMarket, make_book: MakeBook, cases: Callable[[str], list[Case]], steps: int
) -> None:
    years, count = 0.25, 100 * 1024
    rows = [r for r in cases("merton76_values.csv") if number(r, "t_effective_act360") == years][::5]
    assert len(rows) >= 4
    market, law, factor = merton_of(make_market, rows, years, steps)
    rate = number(rows[0], "r")
    options = [
        {
            "instrument": row["case_id"], "kind": "option", "underlying": f"U{f}", "rate": rate, "carry": rate,
            "option_type": row["option_type"], "strike": number(row, "strike"), "years": years, "volatility": 0.25,
        }
        for row, f in zip(rows, factor, strict=True)
    ]  # fmt: skip
    book = make_book(market, options, [(row["case_id"], row["case_id"], 1.0) for row in rows])
    engine = Reference(market, book, Simulated(law, count, seed=5), years)
    assert engine.settling == len(rows)
    pnl = engine.pnl(0, count)
    for row in rows:
        r = book.row.index(row["case_id"])
        settled = exp(-rate * years) * (pnl[r] + engine.base[r])
        assert near(settled, number(row, "expected"), number(row, "tolerance")), row["case_id"]


# Moments.

COMMON, OWN = 6.0, (9.0, 0.0, 20.0)
M, D = np.array([-0.05, 0.03, -0.02]), np.array([0.04, 0.02, 0.06])
OWN_M, OWN_D = np.array([0.04, 0.0, -0.03]), np.array([0.03, 0.0, 0.01])
SIZES = np.array([[1.0, 0.5, 0.0], [0.5, 1.0, -0.3], [0.0, -0.3, 1.0]])
VOLATILITY = np.array([0.3, 0.2, 0.4])
CORRELATION = np.array([[1.0, 0.2, 0.3], [0.2, 1.0, -0.1], [0.3, -0.1, 1.0]])
RATES = JumpRates(COMMON, M, D, SIZES, np.array(OWN), OWN_M, OWN_D)


def three(make_market: MakeMarket, **terms: object) -> Market:
    factors = [{"factor": n, "level": 50.0, "volatility": v, **terms} for n, v in zip("ABC", VOLATILITY, strict=True)]
    return make_market(factors, correlation=CORRELATION)


@pytest.mark.parametrize("steps", [1, 4])
def test_covariance_is_the_markets(make_market: MakeMarket, steps: int) -> None:
    years, market = 0.2, three(make_market)
    x = draws(Merton(RATES).law(market, years, np.zeros(3), steps), 200_000)
    want = np.outer(VOLATILITY, VOLATILITY) * CORRELATION * years
    for i in range(3):
        assert near(x[i], 0.0)
        for j in range(i, 3):
            assert near(x[i] * x[j], want[i, j])


@pytest.mark.parametrize("steps", [1, 4])
def test_higher_cumulants_are_those_of_the_jumps(make_market: MakeMarket, steps: int) -> None:
    # Of a compound Poisson sum: intensity times the moments of a size about zero. The normal part has none.
    years = 0.05
    x = draws(Merton(RATES).law(three(make_market), years, np.zeros(3), steps), 400_000)

    def third(m: Floats, d: Floats) -> Floats:
        return m**3 + 3 * m * d**2

    def fourth(m: Floats, d: Floats) -> Floats:
        return m**4 + 6 * m**2 * d**2 + 3 * d**4

    own = np.array(OWN)
    skew = (COMMON * third(M, D) + own * third(OWN_M, OWN_D)) * years
    tail = (COMMON * fourth(M, D) + own * fourth(OWN_M, OWN_D)) * years
    deviation = VOLATILITY * sqrt(years)
    for f in range(3):
        assert near(x[f] ** 3, skew[f])
        assert near(x[f] ** 4, tail[f] + 3 * deviation[f] ** 4)
        assert not near(x[f] ** 4, 3 * deviation[f] ** 4)  # the sample is large enough to tell jumps from none
    between = SIZES[0, 1] * D[0] * D[1]  # E[J_0^2 J_1] of jointly normal sizes
    joint = COMMON * (M[0] ** 2 * M[1] + M[1] * D[0] ** 2 + 2 * M[0] * between) * years
    assert near(x[0] ** 2 * x[1], joint)


def test_numbers_of_jumps_are_poisson(make_market: MakeMarket) -> None:
    # All of the variance is that of jumps of size 1, so moves are centred numbers of jumps.
    factors = [{"factor": n, "level": 1.0, "volatility": v} for n, v in (("A", 2.0), ("B", sqrt(0.3)))]
    rates = replace(no_jumps(2), own_intensity=np.array([4.0, 0.3]), own_mean=np.ones(2))
    count = 200_000
    x = draws(Merton(rates).law(make_market(factors), 1.0, np.zeros(2)), count)
    for row, intensity in zip(x, (4.0, 0.3), strict=True):
        jumps = row + intensity
        n = np.rint(jumps).astype(np.int64)
        np.testing.assert_allclose(jumps, n, atol=1e-9)
        last = int(stats.poisson(intensity).isf(1e-4))
        want = stats.poisson(intensity).pmf(np.arange(last)) * count
        seen = np.bincount(np.minimum(n, last), minlength=last + 1)
        assert stats.chisquare(seen, np.append(want, count - want.sum())).pvalue > 1e-3
    assert abs(np.corrcoef(x)[0, 1]) < 4 / sqrt(count)


def test_common_jumps_come_together(make_market: MakeMarket) -> None:
    factors = [{"factor": n, "level": 1.0, "volatility": 1.0} for n in "AB"]
    rates = replace(no_jumps(2), common_intensity=1.0, common_mean=np.array([1.0, -1.0]))
    x = draws(Merton(rates).law(make_market(factors, correlation=[[1, -1], [-1, 1]]), 1.0, np.zeros(2)), STEP)
    np.testing.assert_allclose(x[0], -x[1], atol=1e-9)
    assert np.unique(np.rint(x[0])).size > 4


def test_without_jumps_it_is_the_gaussian_model(make_market: MakeMarket) -> None:
    market = three(make_market)
    for drift in Drift:
        x, want = (
            model.law(market, 0.1, np.full(3, 0.05), 3).moves(3, 0, 2000)
            for model in (Merton(no_jumps(3), drift), Gaussian(drift))
        )
        np.testing.assert_allclose(x, want, rtol=1e-11, atol=1e-15)


# What is refused.


def test_all_bad_jumps_at_once(make_market: MakeMarket) -> None:
    rates = replace(
        RATES, common_intensity=-1.0, common_deviation=np.array([0.1, -0.2, 0.1]),
        own_intensity=np.array([1e6, -3, 0.0]),
        own_deviation=np.array([0.0, 0.0, float("nan")]),
    )  # fmt: skip
    with pytest.raises(SettingError) as error:
        Merton(rates).law(three(make_market), 0.1, np.zeros(3))
    text = str(error.value)
    for part in (
        "common: the intensity is -1 a year",
        "common size of B: the deviation is -0.2",
        "own A: 100000 are expected in a step, over 1000",
        "own B: the intensity is -3 a year",
        "own C: the deviation is nan",
    ):
        assert part in text
    assert len(text.splitlines()) == 5


def test_jumps_of_more_variance_than_the_market(make_market: MakeMarket) -> None:
    rates = replace(no_jumps(3), own_intensity=np.array([100.0, 0.0, 400.0]), own_mean=np.array([0.04, 0.0, 0.03]))
    with pytest.raises(SettingError) as error:
        Merton(rates).law(three(make_market), 0.1, np.zeros(3))
    first, second = str(error.value).splitlines()
    assert "jumps of A have an annual deviation of 0.4, more than its volatility 0.3: lower" in first
    assert "jumps of C have an annual deviation of 0.6, more than its volatility 0.4: lower" in second


def test_jumps_more_alike_than_the_market_leave_the_nearest_diffusion(make_market: MakeMarket) -> None:
    rates = replace(no_jumps(3), common_intensity=1.0, common_mean=VOLATILITY * 0.9)
    market = three(make_market)
    law = Merton(rates).law(market, 0.1, np.zeros(3))
    assert any("correlations differ from the market's by up to" in note for note in law.notes)
    x = draws(law, 400_000)
    for f in range(3):  # the variances are the market's all the same
        assert near(x[f] ** 2, market.volatility[f] ** 2 * 0.1)
