from collections.abc import Callable

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from numpy.typing import NDArray

from mcvar.pricing.black import Europeans, black76, implied_deviation
from mcvar.pricing.linear import funding_cost, futures_profit

Floats = NDArray[np.float64]
Cases = Callable[[str], list[dict[str, str]]]
SIGNS = {"call": 1.0, "put": -1.0}


def scalar(forward: float, strike: float, deviation: float, sign: float) -> float:
    return float(black76(np.float64(forward), np.float64(strike), np.float64(deviation), np.float64(sign)))


def test_published_values(cases: Cases) -> None:
    rows = [r for r in cases("option_values.csv") if (r["product"], r["style"]) == ("vanilla", "european")]
    assert len(rows) >= 22
    for row in rows:
        spot, strike, q, r, t, vol = (
            float(row[name]) for name in ("spot", "strike", "q", "r", "t_effective_act360", "vol")
        )
        forward = spot * np.exp((r - q) * t)
        value = np.exp(-r * t) * scalar(forward, strike, vol * np.sqrt(t), SIGNS[row["option_type"]])
        assert abs(value - float(row["expected"])) <= float(row["tolerance"]), row["case_id"]


def test_put_call_parity() -> None:
    f, k, s = np.meshgrid(np.geomspace(1, 1e4, 21), np.geomspace(1, 1e4, 21), np.geomspace(1e-4, 5, 21))
    difference = black76(f, k, s, np.float64(1)) - black76(f, k, s, np.float64(-1))
    np.testing.assert_allclose(difference, f - k, rtol=1e-13, atol=1e-12 * 1e4)


@pytest.mark.parametrize("sign", [1.0, -1.0])
@pytest.mark.parametrize("forward", [80.0, 100.0, 125.0, 0.0, -37.63])
@pytest.mark.parametrize("deviation", [0.0, 1e-300])
def test_without_volatility_the_value_is_intrinsic(forward: float, deviation: float, sign: float) -> None:
    assert scalar(forward, 100.0, deviation, sign) == max(sign * (forward - 100.0), 0.0)


@pytest.mark.parametrize("forward", [0.0, -37.63])
def test_forwards_that_are_not_positive(forward: float) -> None:
    assert scalar(forward, 20.0, 0.3, 1.0) == 0.0
    assert scalar(forward, 20.0, 0.3, -1.0) == 20.0 - forward
    assert scalar(1e-200, 20.0, 0.3, -1.0) == pytest.approx(20.0)  # the limit


def test_endless_volatility() -> None:
    assert scalar(120.0, 100.0, 100.0, 1.0) == pytest.approx(120.0)
    assert scalar(120.0, 100.0, 100.0, -1.0) == pytest.approx(100.0)


positive = st.floats(1e-3, 1e6)


@given(forward=positive, ratio=st.floats(0.02, 50.0), deviation=st.floats(0.0, 8.0), sign=st.sampled_from([1.0, -1.0]))
@settings(max_examples=300, deadline=None, derandomize=True)
def test_bounds_and_monotonicity(forward: float, ratio: float, deviation: float, sign: float) -> None:
    strike = forward * ratio
    rounding = 1e-14 * (forward + strike)
    price = scalar(forward, strike, deviation, sign)
    assert max(sign * (forward - strike), 0.0) - rounding <= price <= (forward if sign > 0 else strike) + rounding
    assert scalar(forward, strike, 1.1 * deviation + 1e-3, sign) >= price - rounding
    step = sign * (scalar(1.05 * forward, strike, deviation, sign) - price)
    assert -rounding <= step <= 0.05 * forward + 2 * rounding  # the delta is between 0 and 1
    assert sign * (scalar(forward, 1.05 * strike, deviation, sign) - price) <= rounding
    scaled = scalar(2 * forward, 2 * strike, deviation, sign)
    assert scaled == pytest.approx(2 * price, abs=2 * rounding)


@pytest.mark.parametrize("sign", [1.0, -1.0])
def test_implied_deviation_of_a_price(sign: float) -> None:
    k, s = (a.ravel() for a in np.meshgrid(100 * np.exp(np.linspace(-1, 1, 21)), np.geomspace(0.01, 3, 25)))
    f = np.full_like(k, 100.0)
    price = black76(f, k, s, np.float64(sign))
    other_side = black76(f, k, s, np.where(f >= k, -1.0, 1.0))
    found = implied_deviation(price, f, k, np.full_like(k, sign))
    # In the money the price has only the digits that its intrinsic value leaves: compare where they decide.
    clear = other_side > 1e-3
    np.testing.assert_allclose(found[clear], s[clear], rtol=1e-9)
    valid = ~np.isnan(found)
    np.testing.assert_allclose(black76(f, k, found, np.float64(sign))[valid], price[valid], rtol=1e-13, atol=1e-13)
    assert valid[other_side > 1e-12].all()


def test_implied_deviation_out_of_the_money_keeps_all_digits() -> None:
    # 8 deviations out of the money: worth 1e-16 of the forward, and still inverted.
    k = np.array([100 * np.exp(0.8), 100 * np.exp(-0.8)])
    f, s, sign = np.full(2, 100.0), np.full(2, 0.1), np.array([1.0, -1.0])
    np.testing.assert_allclose(implied_deviation(black76(f, k, s, sign), f, k, sign), s, rtol=1e-10)


@pytest.mark.parametrize(
    ("price", "strike", "sign", "expected"),
    [
        (19.999, 80.0, 1.0, np.nan),
        (20.0, 80.0, 1.0, 0.0),
        (0.0, 120.0, 1.0, 0.0),
        (-0.001, 120.0, 1.0, np.nan),
        (100.0, 80.0, 1.0, np.nan),
        (19.999, 120.0, -1.0, np.nan),
        (20.0, 120.0, -1.0, 0.0),
        (0.0, 80.0, -1.0, 0.0),
        (80.0, 80.0, -1.0, np.nan),
        (120.0, 120.0, -1.0, np.nan),
    ],
)
def test_implied_deviation_at_and_outside_the_bounds(price: float, strike: float, sign: float, expected: float) -> None:
    found = implied_deviation(np.array([price]), np.array([100.0]), np.array([strike]), np.array([sign]))
    np.testing.assert_array_equal(found, [expected])


# Europeans: many options that share formulas by put-call parity, against Black's formula one by one.


def check(
    forward: Floats,
    strike: Floats,
    volatility: Floats,
    sign: Floats,
    scale: Floats,
    *,
    years: float,
    inverse: bool,
    g: Floats,
    v: Floats,
    discount: Floats | None,
) -> Europeans:
    options = Europeans.at(
        forward=forward, strike=strike, volatility=volatility, sign=sign, years=years, scale=scale, inverse=inverse
    )
    out = np.full((len(sign), len(g)), np.nan)
    with np.errstate(divide="ignore"):
        log_g = np.log(np.maximum(g, 0.0))
    options.value(log_g, g, v, discount, out)
    assert sorted(options.order) == list(range(len(sign)))
    at = options.order
    f_h = forward[at, None] * g
    want = black76(f_h, strike[at, None], volatility[at, None] * v * np.sqrt(max(years, 0.0)), sign[at, None])
    size = np.abs(f_h) + strike[at, None]
    if inverse:
        want, size = want / f_h, size / np.abs(f_h)
    want, size = want * scale[at, None], size * scale[at, None]
    if discount is not None:
        want, size = want * discount, size * discount
    assert (np.abs(out - want) <= 3e-15 * size).all()
    return options


def random_options(count: int, seed: int) -> tuple[Floats, Floats, Floats, Floats, Floats]:
    rng = np.random.default_rng(seed)
    strike = rng.choice([60.0, 90.0, 100.0, 110.0, 170.0], count)
    volatility = rng.choice([0.15, 0.4], count)
    forward = rng.choice([99.0, 103.0], count)
    scale = rng.choice([1.0, 9.5], count)
    return forward, strike, volatility, rng.choice([1.0, -1.0], count), scale


@pytest.mark.parametrize("inverse", [False, True])
@pytest.mark.parametrize("discounted", [False, True])
@pytest.mark.parametrize("years", [1.3, 1e-4, 0.0, -0.5])
@pytest.mark.parametrize("count", [1, 2, 7, 200])
def test_europeans_against_black(count: int, years: float, discounted: bool, inverse: bool) -> None:
    rng = np.random.default_rng(8)
    g, v = np.exp(rng.normal(0, 0.3, 300)), np.exp(rng.normal(0, 0.5, 300))
    discount = np.exp(rng.normal(0, 0.02, 300)) if discounted else None
    options = check(*random_options(count, 4), years=years, inverse=inverse, g=g, v=v, discount=discount)
    assert (options.coefficients is None) == (years <= 0)


@pytest.mark.parametrize("inverse", [False, True])
def test_a_call_and_a_put_share_a_formula(inverse: bool) -> None:
    strike = np.array([80.0, 80.0, 125.0, 125.0, 100.0, 100.0, 100.0, 100.0])
    sign = np.array([1.0, -1.0, 1.0, -1.0, 1.0, -1.0, 1.0, -1.0])  # the strike at the money twice: duplicates
    one = np.ones(8)
    g = np.exp(np.linspace(-2, 2, 41))
    options = check(
        100 * one, strike, 0.3 * one, sign, one, years=0.5, inverse=inverse, g=g, v=np.ones(41), discount=None
    )
    direct = options.order[: len(options.first)]
    assert len(direct) == 3
    assert {(strike[i], sign[i]) for i in direct[:2]} | {(strike[direct[2]], sign[direct[2]])} >= {
        (80.0, -1.0),
        (125.0, 1.0),
    }


def test_options_that_differ_in_one_term_share_nothing() -> None:
    forward, strike, volatility, scale = (
        np.array(column)
        for column in ([100.0, 101.0, 100.0, 100.0], [95.0, 95.0, 95.0, 96.0], [0.2, 0.2, 0.3, 0.2], [1.0] * 4)
    )
    options = check(
        forward, strike, volatility, np.array([1.0, -1.0, -1.0, -1.0]), scale,
        years=1.0, inverse=False, g=np.array([0.5, 1.0, 2.0]), v=np.ones(3), discount=None,
    )  # fmt: skip
    assert len(options.formula) == 0


@pytest.mark.parametrize("inverse", [False, True])
def test_options_without_volatility(inverse: bool) -> None:
    forward, strike, _, sign, scale = random_options(50, 3)
    g = np.exp(np.linspace(-1, 1, 101))
    options = check(
        forward, strike, np.zeros(50), sign, scale, years=1.0, inverse=inverse, g=g, v=np.ones(101), discount=None
    )
    assert options.coefficients is None


@pytest.mark.parametrize("years", [0.5, 0.0])
def test_forwards_at_and_below_zero(years: float) -> None:
    g = np.array([-3.0, -1e-9, 0.0, 1e-9, 1.0])
    check(*random_options(40, 6), years=years, inverse=False, g=g, v=np.full(5, 1.2), discount=np.full(5, 0.97))


def test_at_the_strike_at_expiry() -> None:
    one = np.ones(2)
    sign = np.array([1.0, -1.0])
    check(100 * one, 100 * one, one, sign, one, years=0.0, inverse=False, g=np.ones(1), v=np.ones(1), discount=None)


# Linear instruments.


def test_futures_profit() -> None:
    f_0, f_h = np.array([[100.0], [200.0]]), np.array([[90.0, 110.0], [250.0, 160.0]])
    m = np.array([[10.0], [1.0]])
    np.testing.assert_allclose(futures_profit(f_0, f_h, m, inverse=False), [[-100, 100], [50, -40]])
    want = [[10 * (1 / 100 - 1 / 90), 10 * (1 / 100 - 1 / 110)], [1 / 200 - 1 / 250, 1 / 200 - 1 / 160]]
    np.testing.assert_allclose(futures_profit(f_0, f_h, m, inverse=True), want)


@pytest.mark.parametrize(("inverse", "cost"), [(False, 10 * 100 * 0.2 * 0.1), (True, 10 / 100 * 0.2 * 0.1)])
def test_funding_cost(inverse: bool, cost: float) -> None:
    f_0, m, funding = (np.array([[x]]) for x in (100.0, 10.0, 0.2))
    np.testing.assert_allclose(funding_cost(f_0, m, funding, 0.1, inverse=inverse), [[cost]])
