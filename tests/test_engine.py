"""Engines by hand: every convention of value and currency as plain arithmetic, and what must not change a number."""

from collections.abc import Callable, Mapping, Sequence
from dataclasses import replace
from math import erfc, exp, log, sqrt
from typing import Any

import numpy as np
import pytest
from numpy.typing import ArrayLike, NDArray

from mcvar.book import NETTED, Book
from mcvar.engines import Reference
from mcvar.errors import McvarError, SettingError
from mcvar.market import Market
from mcvar.measures import measure
from mcvar.models import StudentT
from mcvar.scenarios import Explicit, Simulated
from mcvar.shards import simulate

Floats = NDArray[np.float64]
MakeMarket = Callable[..., Market]
MakeBook = Callable[..., Book]
Row = Mapping[str, Any]
H = 0.1  # years over the horizon


def black(forward: float, strike: float, deviation: float, sign: float) -> float:
    """Black's formula in its own words, so that the engine's is not judged by itself."""
    d1 = log(forward / strike) / deviation + deviation / 2
    n1, n2 = (0.5 * erfc(-sign * d / sqrt(2)) for d in (d1, d1 - deviation))
    return sign * (forward * n1 - strike * n2)


@pytest.fixture
def profit(make_market: MakeMarket, make_book: MakeBook) -> Callable[..., Floats]:
    """P&L [N] of two of one instrument; every factor moves as its column of the shocks [N, F]."""

    def run(
        factors: Sequence[Row],
        instrument: Row,
        shocks: ArrayLike,
        years: float = H,
        *,
        currency: str = "USD",
        account: str = "",
    ) -> Floats:
        market = make_market(factors, currency=currency)
        accounts = [{"account": "A", "currency": account}] if account else None
        book = make_book(market, [{"instrument": "I", **instrument}], [("A", "I", 2.0)], accounts)
        scenarios = Explicit.of(shocks)
        return Reference(market, book, scenarios, years).pnl(0, scenarios.count)[0]

    return run


USD_STOCK = {"factor": "XYZ", "level": 100.0, "currency": "USD"}
EUR_STOCK = {"factor": "SAP", "level": 200.0, "currency": "EUR"}
EURUSD = {"factor": "EURUSD", "underlying": "EUR", "level": 1.1, "currency": "USD"}
GBPUSD = {"factor": "GBPUSD", "underlying": "GBP", "level": 1.3, "currency": "USD"}
BTC = {"factor": "BTC", "level": 50_000.0, "currency": "USD"}
OPTION = {"kind": "option", "strike": 210.0, "years": 0.5, "volatility": 0.25, "rate": 0.03, "carry": 0.01}
MOVES = [(0.0, 0.0), (-0.12, 0.03), (0.20, -0.05)]
SINGLE = [0.0, -0.15, 0.25]


# Design decision 5: dv = V_h X_h - V_0 X_0 for what is paid for, and variation margin for what is not.


def test_foreign_spot(profit: Callable[..., Floats]) -> None:
    got = profit([EUR_STOCK, EURUSD], {"kind": "spot", "underlying": "SAP", "multiplier": 5.0}, MOVES)
    want = [2 * 5 * (200 * exp(a) * 1.1 * exp(b) - 200 * 1.1) for a, b in MOVES]
    np.testing.assert_allclose(got, want, rtol=1e-12, atol=1e-9)


@pytest.mark.parametrize(("option_type", "sign"), [("call", 1), ("put", -1)])
def test_foreign_option_with_time_decay(profit: Callable[..., Floats], option_type: str, sign: int) -> None:
    option = {**OPTION, "underlying": "SAP", "option_type": option_type, "multiplier": 10.0}
    got = profit([EUR_STOCK, EURUSD], option, MOVES)

    def value(spot: float, left: float) -> float:
        return 10 * exp(-0.03 * left) * black(spot * exp(0.01 * left), 210.0, 0.25 * sqrt(left), sign)

    want = [2 * (value(200 * exp(a), 0.4) * 1.1 * exp(b) - value(200.0, 0.5) * 1.1) for a, b in MOVES]
    np.testing.assert_allclose(got, want, rtol=1e-11, atol=1e-9)
    assert got[0] < 0  # nothing moved: time passed


def test_foreign_future(profit: Callable[..., Floats]) -> None:
    future = {"kind": "future", "underlying": "SAP", "years": 0.5, "carry": 0.04, "multiplier": 10.0}
    got = profit([EUR_STOCK, EURUSD], future, MOVES)
    want = [2 * 10 * (200 * exp(a + 0.04 * 0.4) - 200 * exp(0.04 * 0.5)) * 1.1 * exp(b) for a, b in MOVES]
    np.testing.assert_allclose(got, want, rtol=1e-12, atol=1e-9)


def test_inverse_future(profit: Callable[..., Floats]) -> None:
    future = {
        "kind": "future", "underlying": "BTC", "years": 0.5, "carry": 0.08, "settlement": "inverse", "multiplier": 10.0
    }  # fmt: skip
    got = profit([BTC], future, np.c_[SINGLE])
    f_0 = 50_000 * exp(0.08 * 0.5)
    want = [2 * 10 * (1 / f_0 - 1 / (50_000 * exp(x + 0.08 * 0.4))) * 50_000 * exp(x) for x in SINGLE]
    np.testing.assert_allclose(got, want, rtol=1e-12, atol=1e-12)


@pytest.mark.parametrize(("option_type", "sign"), [("call", 1), ("put", -1)])
def test_inverse_option(profit: Callable[..., Floats], option_type: str, sign: int) -> None:
    option = {
        **OPTION, "underlying": "BTC", "option_type": option_type, "strike": 55_000.0, "settlement": "inverse"
    }  # fmt: skip
    got = profit([BTC], option, np.c_[SINGLE])

    def coins(spot: float, left: float) -> float:
        f = spot * exp(0.01 * left)
        return exp(-0.03 * left) * black(f, 55_000.0, 0.25 * sqrt(left), sign) / f

    want = [2 * (coins(50_000 * exp(x), 0.4) * 50_000 * exp(x) - coins(50_000.0, 0.5) * 50_000) for x in SINGLE]
    np.testing.assert_allclose(got, want, rtol=1e-11, atol=1e-8)


@pytest.mark.parametrize(("option_type", "sign"), [("call", 1), ("put", -1)])
@pytest.mark.parametrize("years", [0.5, 0.7])
def test_inverse_option_settles_in_coins(
    profit: Callable[..., Floats], option_type: str, sign: int, years: float
) -> None:
    option = {
        **OPTION, "underlying": "BTC", "option_type": option_type, "strike": 55_000.0, "settlement": "inverse"
    }  # fmt: skip
    got = profit([BTC], option, np.c_[SINGLE], years)
    f_0 = 50_000 * exp(0.01 * 0.5)
    value_0 = exp(-0.03 * 0.5) * black(f_0, 55_000.0, 0.25 * sqrt(0.5), sign) / f_0 * 50_000
    end = [50_000 * exp(x) for x in SINGLE]
    want = [2 * (max(sign * (s - 55_000), 0) / s * s - value_0) for s in end]
    np.testing.assert_allclose(got, want, rtol=1e-11, atol=1e-8)


def test_foreign_cash(profit: Callable[..., Floats]) -> None:
    got = profit([EURUSD], {"kind": "cash", "settlement_currency": "EUR"}, np.c_[SINGLE])
    np.testing.assert_allclose(got, [2 * 1.1 * (exp(x) - 1) for x in SINGLE], rtol=1e-12, atol=1e-15)


def test_own_cash_does_not_move(profit: Callable[..., Floats]) -> None:
    assert not profit([EURUSD], {"kind": "cash"}, np.c_[SINGLE]).any()


def test_cross_rate(profit: Callable[..., Floats]) -> None:
    got = profit([EURUSD, GBPUSD], {"kind": "cash", "settlement_currency": "EUR"}, MOVES, currency="GBP")
    want = [2 * (1.1 * exp(a) / (1.3 * exp(b)) - 1.1 / 1.3) for a, b in MOVES]
    np.testing.assert_allclose(got, want, rtol=1e-12, atol=1e-15)


# A run that reports in coins, with the coin quoted in dollars: dollars convert by 1 / S.

LINEAR = {"kind": "future", "underlying": "BTC", "multiplier": 0.1}
INVERSE = {"kind": "perpetual", "underlying": "BTC", "multiplier": 10.0, "settlement": "inverse"}


@pytest.mark.parametrize(
    ("instrument", "coins"),
    [
        ({"kind": "cash", "settlement_currency": "USD"}, lambda s: 1 / s - 1 / 5e4),
        ({"kind": "cash", "settlement_currency": "BTC"}, lambda s: 0.0),
        ({"kind": "spot", "underlying": "BTC"}, lambda s: 0.0),
        (LINEAR, lambda s: 0.1 * (s - 5e4) / s),
        (INVERSE, lambda s: 10 * (1 / 5e4 - 1 / s)),
    ],
    ids=["dollars", "coins", "spot", "linear future", "inverse perpetual"],
)
def test_run_in_coins(profit: Callable[..., Floats], instrument: Row, coins: Callable[[float], float]) -> None:
    got = profit([BTC], instrument, np.c_[SINGLE], currency="BTC")
    want = [2 * coins(5e4 * exp(x)) for x in SINGLE]
    np.testing.assert_allclose(got, want, rtol=1e-12, atol=1e-15)


# An account's own currency: what it owns converts at both ends, margin at the horizon only.


@pytest.mark.parametrize(
    ("instrument", "euros"),
    [
        ({"kind": "spot", "underlying": "XYZ"}, lambda s, x: s / x - 100 / 1.1),
        ({"kind": "cash", "settlement_currency": "USD"}, lambda s, x: 1 / x - 1 / 1.1),
        ({"kind": "cash", "settlement_currency": "EUR"}, lambda s, x: 0.0),
        ({"kind": "future", "underlying": "XYZ"}, lambda s, x: (s - 100) / x),
    ],
    ids=["spot", "dollars", "euros", "future"],
)
def test_account_in_its_own_currency(
    profit: Callable[..., Floats], instrument: Row, euros: Callable[[float, float], float]
) -> None:
    got = profit([USD_STOCK, EURUSD], instrument, MOVES, account="EUR")
    want = [2 * euros(100 * exp(a), 1.1 * exp(b)) for a, b in MOVES]
    np.testing.assert_allclose(got, want, rtol=1e-12, atol=1e-13)


def test_account_in_coins_netted_in_dollars(make_market: MakeMarket, make_book: MakeBook) -> None:
    market = make_market([BTC, EURUSD])
    instruments = [
        {"instrument": "P", **INVERSE},
        {"instrument": "C", "kind": "cash", "settlement_currency": "BTC"},
        {"instrument": "E", "kind": "cash", "settlement_currency": "EUR"},
    ]
    accounts = [{"account": "coins", "currency": "BTC"}, {"account": "euros", "currency": "EUR"}, {"account": "own"}]
    held = [("coins", "P", 3.0), ("coins", "C", 1.0), ("euros", "P", 3.0), ("own", "E", 7.0)]
    book = make_book(market, instruments, held, accounts)
    coins, euros, own, netted = Reference(market, book, Explicit.of(MOVES), H).pnl(0, len(MOVES))
    assert book.row == ("coins", "euros", "own", NETTED)
    assert book.currency == ("BTC", "EUR", "USD", "USD")
    for n, (a, b) in enumerate(MOVES):
        s, x = 5e4 * exp(a), 1.1 * exp(b)
        margin = 3 * 10 * (1 / 5e4 - 1 / s)  # coins
        assert coins[n] == pytest.approx(margin, rel=1e-12, abs=1e-15)
        assert euros[n] == pytest.approx(margin * s / x, rel=1e-12, abs=1e-11)
        assert own[n] == pytest.approx(7 * (x - 1.1), rel=1e-12, abs=1e-12)
        assert netted[n] == pytest.approx(2 * margin * s + (s - 5e4) + 7 * (x - 1.1), rel=1e-12, abs=1e-9)


# What is settled in variation margin is worth nothing at valuation.


def test_futures_style_premium(profit: Callable[..., Floats]) -> None:
    option = {**OPTION, "underlying": "SAP", "option_type": "put", "premium_style": "futures"}
    got = profit([EUR_STOCK, EURUSD], option, MOVES)
    premium_0 = black(200 * exp(0.01 * 0.5), 210.0, 0.25 * sqrt(0.5), -1)
    want = [
        2 * (black(200 * exp(a + 0.01 * 0.4), 210.0, 0.25 * sqrt(0.4), -1) - premium_0) * 1.1 * exp(b)
        for a, b in MOVES
    ]  # fmt: skip
    np.testing.assert_allclose(got, want, rtol=1e-11, atol=1e-9)


def test_futures_style_premiums_of_many_options(make_market: MakeMarket, make_book: MakeBook) -> None:
    # Options share formulas in pairs and are reordered for it, differently today and at the horizon.
    market = make_market([USD_STOCK])
    terms = [(k, sign) for k in (90.0, 100.0, 100.4, 101.0, 120.0) for sign in (1, -1)]
    instruments = [
        {
            **OPTION, "instrument": f"{k}{sign}", "underlying": "XYZ", "strike": k, "premium_style": "futures",
            "option_type": "call" if sign > 0 else "put", "carry": 0.02,
        }
        for k, sign in terms
    ]  # fmt: skip
    book = make_book(market, instruments, [(row["instrument"], row["instrument"], 1.0) for row in instruments])
    pnl = Reference(market, book, Explicit.of(np.c_[SINGLE]), H).pnl(0, 3)
    for row, (k, sign) in zip(pnl, terms, strict=False):
        for n, x in enumerate(SINGLE):
            end = black(100 * exp(x + 0.02 * 0.4), k, 0.25 * sqrt(0.4), sign)
            want = end - black(100 * exp(0.02 * 0.5), k, 0.25 * sqrt(0.5), sign)
            assert row[n] == pytest.approx(want, rel=1e-10, abs=1e-11)


def test_funding_of_perpetuals(profit: Callable[..., Floats]) -> None:
    linear = {"kind": "perpetual", "underlying": "BTC", "multiplier": 0.1, "funding": 0.2}
    got = profit([BTC], linear, np.c_[SINGLE])
    want = [2 * 0.1 * (5e4 * exp(x) - 5e4 - 0.2 * H * 5e4) for x in SINGLE]
    np.testing.assert_allclose(got, want, rtol=1e-12)
    got = profit([BTC], {**INVERSE, "funding": 0.2}, np.c_[SINGLE])
    want = [2 * 10 * (1 / 5e4 - 1 / (5e4 * exp(x)) - 0.2 * H / 5e4) * 5e4 * exp(x) for x in SINGLE]
    np.testing.assert_allclose(got, want, rtol=1e-12)


# Time.


@pytest.mark.parametrize("expiry", [H, 0.05])
def test_what_expires_inside_the_horizon_settles_at_its_price(
    make_market: MakeMarket, make_book: MakeBook, expiry: float
) -> None:
    market = make_market([USD_STOCK])
    late = {"instrument": "late", "kind": "future", "underlying": "XYZ", "years": 0.2, "carry": 0.05}
    call = {
        **OPTION, "instrument": "call", "underlying": "XYZ", "option_type": "call", "strike": 101.0, "years": expiry
    }  # fmt: skip
    future = {**late, "instrument": "future", "years": expiry}
    names = ["call", "future", "late"]
    book = make_book(market, [call, future, late], [(name, name, 1.0) for name in names])
    engine = Reference(market, book, Explicit.of(np.c_[SINGLE]), H)
    pnl = dict(zip(book.row, engine.pnl(0, 3), strict=True))
    premium = exp(-0.03 * expiry) * black(100 * exp(0.01 * expiry), 101.0, 0.25 * sqrt(expiry), 1)
    end = [100 * exp(x) for x in SINGLE]
    np.testing.assert_allclose(pnl["call"], [max(s - 101, 0) - premium for s in end], rtol=1e-12)
    np.testing.assert_allclose(pnl["future"], [s - 100 * exp(0.05 * expiry) for s in end], rtol=1e-12)
    np.testing.assert_allclose(pnl["late"], [s * exp(0.05 * 0.1) - 100 * exp(0.05 * 0.2) for s in end], rtol=1e-12)
    assert engine.settling == 2


def test_without_decay_nothing_moves(profit: Callable[..., Floats]) -> None:
    option = {**OPTION, "underlying": "SAP", "option_type": "call"}
    np.testing.assert_allclose(profit([EUR_STOCK, EURUSD], option, [(0.0, 0.0)], 0.0), 0.0, atol=1e-12)


# Volatility, rate and carry factors.

VOLS = [
    {"factor": "v4", "kind": "vol", "underlying": "XYZ", "tenor": 1.0, "level": 0.30},
    {"factor": "v1", "kind": "vol", "underlying": "XYZ", "tenor": 0.25, "level": 0.20},
]


@pytest.mark.parametrize(
    ("years", "weight"),
    [(0.5625, 0.5), (0.36, 0.2), (0.25, 0.0), (0.15, 0.0), (1.0, 1.0), (2.0, 1.0)],
    ids=["middle", "fifth", "first pillar", "before", "last pillar", "after"],
)
@pytest.mark.parametrize("own", [0.4, None])
def test_volatility_pillars(profit: Callable[..., Floats], years: float, weight: float, own: float | None) -> None:
    # Linear in the square root of time at valuation; the level serves only where the option has none.
    option = {"kind": "option", "underlying": "XYZ", "option_type": "call", "strike": 105.0, "years": years}
    sigma = own
    if own is None:
        sigma = 0.20 + weight * 0.10
    else:
        option["volatility"] = own
    got = profit([USD_STOCK, *VOLS], option, [(0.05, 0.3, -0.2), (0.0, 0.0, 0.0)])
    left = years - H
    start = black(100.0, 105.0, sigma * sqrt(years), 1)
    moved = sigma * exp(weight * 0.3 + (1 - weight) * -0.2)
    want = [
        2 * (black(100 * exp(0.05), 105.0, moved * sqrt(left), 1) - start),
        2 * (black(100.0, 105.0, sigma * sqrt(left), 1) - start),
    ]
    np.testing.assert_allclose(got, want, rtol=1e-10)


RATES = [
    {"factor": "r1", "kind": "rate", "currency": "USD", "tenor": 1.0, "level": 0.04},
    {"factor": "r3", "kind": "rate", "currency": "USD", "tenor": 3.0, "level": 0.08},
    {"factor": "c1", "kind": "carry", "underlying": "XYZ", "tenor": 1.0, "level": 0.01},
    {"factor": "c3", "kind": "carry", "underlying": "XYZ", "tenor": 3.0, "level": 0.03},
]
RATE_MOVES = (-0.1, 0.01, 0.03, 0.02, -0.02)


@pytest.mark.parametrize(("years", "weight"), [(1.5, 0.25), (0.6, 0.0), (4.0, 1.0)], ids=["between", "before", "after"])
@pytest.mark.parametrize("own", [True, False])
def test_rate_and_carry_factors_on_options(
    profit: Callable[..., Floats], years: float, weight: float, own: bool
) -> None:
    option = {
        "kind": "option", "underlying": "XYZ", "option_type": "put", "strike": 95.0, "volatility": 0.2, "years": years
    }  # fmt: skip
    r, c = 0.04 + 0.04 * weight, 0.01 + 0.02 * weight
    if own:
        option |= {"rate": 0.07, "carry": -0.02}
        r, c = 0.07, -0.02
    got = profit([USD_STOCK, *RATES], option, [RATE_MOVES])
    left = years - H
    r_h, c_h = r + 0.01 + 0.02 * weight, c + 0.02 - 0.04 * weight
    start = exp(-r * years) * black(100 * exp(c * years), 95.0, 0.2 * sqrt(years), -1)
    end = exp(-r_h * left) * black(100 * exp(-0.1 + c_h * left), 95.0, 0.2 * sqrt(left), -1)
    np.testing.assert_allclose(got, [2 * (end - start)], rtol=1e-11)


def test_rate_and_carry_factors_on_futures(profit: Callable[..., Floats]) -> None:
    future = {"kind": "future", "underlying": "XYZ", "years": 1.5}
    got = profit([USD_STOCK, *RATES], future, [RATE_MOVES])
    want = 2 * (100 * exp(-0.1 + (0.015 + 0.01) * 1.4) - 100 * exp(0.015 * 1.5))
    np.testing.assert_allclose(got, [want], rtol=1e-12)


def test_futures_style_premium_feels_no_rate(profit: Callable[..., Floats]) -> None:
    option = {**OPTION, "underlying": "XYZ", "option_type": "call", "premium_style": "futures"}
    only_rates = [(0.0, 0.5, 0.5, 0.0, 0.0), (0.0, 0.0, 0.0, 0.0, 0.0)]
    moved, still = profit([USD_STOCK, *RATES], option, only_rates)
    assert moved == still


# Shocks that are not logarithms.


def test_simple_shocks_stop_at_zero(make_market: MakeMarket, make_book: MakeBook) -> None:
    market = make_market([{**USD_STOCK, "shock": "simple"}])
    option = {**OPTION, "underlying": "XYZ", "strike": 90.0}
    instruments = [
        {"instrument": "spot", "kind": "spot", "underlying": "XYZ"},
        {"instrument": "future", "kind": "future", "underlying": "XYZ", "years": 0.5, "carry": 0.01},
        {**option, "instrument": "call", "option_type": "call"},
        {**option, "instrument": "put", "option_type": "put"},
    ]
    book = make_book(market, instruments, [(row["instrument"], row["instrument"], 1.0) for row in instruments])
    shocks = [-1.5, -1.0, -0.3, 0.0, 0.4]
    spot, future, call, put, _ = Reference(market, book, Explicit.of(np.c_[shocks]), H).pnl(0, 5)
    f_0, disc_0, disc = 100 * exp(0.01 * 0.5), exp(-0.03 * 0.5), exp(-0.03 * 0.4)
    for n, x in enumerate(shocks):
        s = max(100 * (1 + x), 0.0)
        f = s * exp(0.01 * 0.4)
        ends = [disc * black(f, 90.0, 0.25 * sqrt(0.4), sign) for sign in (1, -1)] if s > 0 else [0.0, disc * 90]
        starts = [disc_0 * black(f_0, 90.0, 0.25 * sqrt(0.5), sign) for sign in (1, -1)]
        assert spot[n] == pytest.approx(s - 100, rel=1e-12)
        assert future[n] == pytest.approx(f - f_0, rel=1e-12)
        assert [call[n], put[n]] == pytest.approx([e - a for e, a in zip(ends, starts, strict=True)], rel=1e-11)


def test_absolute_shocks_reach_negative_prices(make_market: MakeMarket, make_book: MakeBook) -> None:
    # WTI settled at -37.63 on 20 April 2020.
    market = make_market([{"factor": "WTI", "level": 18.27, "shock": "absolute", "volatility": 10.0}])
    option = {**OPTION, "underlying": "WTI", "strike": 20.0, "carry": 0.0}
    instruments = [
        {"instrument": "future", "kind": "future", "underlying": "WTI", "years": 0.5, "carry": 0.0},
        {**option, "instrument": "call", "option_type": "call"},
        {**option, "instrument": "put", "option_type": "put"},
    ]
    book = make_book(market, instruments, [(row["instrument"], row["instrument"], 1.0) for row in instruments])
    shocks = [-55.90, -18.27, 1.0]
    future, call, put, _ = Reference(market, book, Explicit.of(np.c_[shocks]), H).pnl(0, 3)
    np.testing.assert_allclose(future, shocks, rtol=1e-12)
    disc_0, disc = exp(-0.03 * 0.5), exp(-0.03 * 0.4)
    starts = [disc_0 * black(18.27, 20.0, 0.25 * sqrt(0.5), sign) for sign in (1, -1)]
    ends = [[disc * black(19.27, 20.0, 0.25 * sqrt(0.4), sign)] for sign in (1, -1)]
    np.testing.assert_allclose(call + starts[0], [0.0, 0.0, *ends[0]], rtol=1e-11, atol=1e-12)
    np.testing.assert_allclose(put + starts[1], [disc * (20 + 37.63), disc * 20, *ends[1]], rtol=1e-11)


def test_a_negative_price_today_has_futures(profit: Callable[..., Floats]) -> None:
    factor = {"factor": "WTI", "level": -37.63, "shock": "absolute", "volatility": 10.0}
    got = profit([factor], {"kind": "future", "underlying": "WTI", "years": 0.5, "carry": 0.0}, np.c_[[-5.0, 40.0]])
    np.testing.assert_allclose(got, [-10.0, 80.0], rtol=1e-12)


def test_a_price_that_overflows_is_an_error(profit: Callable[..., Floats]) -> None:
    with pytest.raises(McvarError, match=r"'A' is inf in scenario 1:"):
        profit([USD_STOCK], {"kind": "spot", "underlying": "XYZ"}, np.c_[[0.0, 1000.0]])


# What must not change a number.


@pytest.fixture(scope="module")
def sample(make_market: MakeMarket) -> tuple[Market, list[Row], list[tuple[str, str, float]], list[Row]]:
    """Stocks and a coin with volatility and rate factors; options, futures, cash; accounts and their parents."""
    factors = [
        {**USD_STOCK, "volatility": 0.3},
        {**EUR_STOCK, "volatility": 0.25},
        {**BTC, "volatility": 0.6},
        {**EURUSD, "volatility": 0.1},
        {**VOLS[1], "volatility": 0.8},
        {**VOLS[0], "volatility": 0.5},
        {**RATES[0], "volatility": 0.01},
    ]
    correlation = 0.3 + 0.7 * np.eye(len(factors))
    rng = np.random.default_rng(5)
    rows: list[Row] = [
        {"instrument": "stock", "kind": "spot", "underlying": "XYZ"},
        {"instrument": "future", "kind": "future", "underlying": "SAP", "years": 0.3},
        {"instrument": "perpetual", **INVERSE},
        {"instrument": "euros", "kind": "cash", "settlement_currency": "EUR"},
    ]
    for name, level in (("XYZ", 100.0), ("SAP", 200.0), ("BTC", 5e4)):
        rows += [
            {
                **OPTION, "instrument": f"{name} {k} {years} {kind}", "underlying": name, "strike": k * level,
                "years": years, "option_type": kind, "settlement": "inverse" if name == "BTC" else "linear",
            }
            for k in (0.9, 1.0, 1.1) for years in (0.02, 0.5) for kind in ("call", "put")
        ]  # fmt: skip
    accounts: list[Row] = [{"account": f"a{n}", "parent": f"m{n % 2}"} for n in range(6)]
    accounts += [{"account": "m0", "parent": "house"}, {"account": "m1", "parent": "house"}, {"account": "house"}]
    accounts[3] = {**accounts[3], "currency": "EUR"}
    held = [
        (f"a{rng.integers(6)}", row["instrument"], round(float(rng.normal() * 1e4 / scale), 2))
        for row in rows
        for scale in (10.0, 20.0)
    ]
    return make_market(factors, correlation=correlation), rows, held, accounts


def engine_of(market: Market, book: Book, count: int) -> Reference:
    law = StudentT(dof=6.0).law(market, 10 / 365, np.zeros(len(market.factors)))
    return Reference(market, book, Simulated(law, count, seed=9), 10 / 365)


@pytest.fixture(scope="module")
def whole(sample: Any, make_book: MakeBook) -> tuple[Reference, Floats]:
    market, rows, held, accounts = sample
    engine = engine_of(market, make_book(market, rows, held, accounts), 70_000)  # more than one shard, no whole block
    return engine, engine.pnl(0, 70_000)


@pytest.mark.parametrize("workers", [1, 2, 3])
@pytest.mark.parametrize("chunk", [1024, 2048, 8192])
def test_chunks_and_workers_change_no_bit(whole: tuple[Reference, Floats], chunk: int, workers: int) -> None:
    engine, pnl = whole
    done: list[int] = []
    tail, moments = simulate(engine, 70_000, 700, workers=workers, chunk=chunk, progress=done.append)
    base, base_moments = simulate(engine, 70_000, 700)
    for name in ("loss", "scenario"):
        np.testing.assert_array_equal(getattr(tail, name), getattr(base, name))
    for name in ("mean", "m2", "m3", "m4"):
        np.testing.assert_array_equal(getattr(moments, name), getattr(base_moments, name))
    assert tail.count == moments.count == sum(done) == 70_000
    np.testing.assert_array_equal(tail.loss, -np.sort(pnl, axis=1)[:, :700])
    np.testing.assert_array_equal(-tail.loss, np.take_along_axis(pnl, tail.scenario, axis=1))


def test_moments_of_a_run(whole: tuple[Reference, Floats]) -> None:
    engine, pnl = whole
    _, moments = simulate(engine, 70_000, 1)
    np.testing.assert_allclose(moments.mean, -pnl.mean(axis=1), rtol=1e-10)
    np.testing.assert_allclose(moments.variance, pnl.var(axis=1, ddof=1), rtol=1e-10)


@pytest.mark.parametrize(
    ("start", "stop"), [(0, 1), (1000, 1030), (1024, 2048), (5, 5000), (65_535, 65_537), (69_999, 70_000), (3, 3)]
)
def test_any_range_gives_the_same_bits(whole: tuple[Reference, Floats], start: int, stop: int) -> None:
    engine, pnl = whole
    np.testing.assert_array_equal(engine.pnl(start, stop), pnl[:, start:stop])


@pytest.mark.parametrize("chunk", [0, 512, 1000, 3072, 131_072])
def test_chunks_that_split_blocks_are_refused(whole: tuple[Reference, Floats], chunk: int) -> None:
    with pytest.raises(SettingError, match="multiple of 1024"):
        simulate(whole[0], 2048, 1, chunk=chunk)


def test_no_worker_is_refused(whole: tuple[Reference, Floats]) -> None:
    with pytest.raises(SettingError, match=r"executor\.workers is 0"):
        simulate(whole[0], 2048, 1, workers=0)


def test_an_error_in_a_worker_comes_through(make_market: MakeMarket, make_book: MakeBook) -> None:
    market = make_market([USD_STOCK])
    book = make_book(market, [{"instrument": "I", "kind": "spot", "underlying": "XYZ"}], [("A", "I", 1.0)])
    shocks = np.zeros((20_000, 1))
    shocks[11_111] = 1000.0
    with pytest.raises(McvarError, match="scenario 11111"):
        simulate(Reference(market, book, Explicit.of(shocks), H), 20_000, 10, workers=2, chunk=1024)


@pytest.mark.parametrize("workers", [1, 2])
def test_a_short_explicit_run(make_market: MakeMarket, make_book: MakeBook, workers: int) -> None:
    market = make_market([USD_STOCK])
    book = make_book(market, [{"instrument": "I", "kind": "spot", "underlying": "XYZ"}], [("A", "I", 1.0)])
    tail, moments = simulate(Reference(market, book, Explicit.of(np.c_[SINGLE]), H), 3, 3, workers=workers)
    want = sorted((-100 * (exp(x) - 1) for x in SINGLE), reverse=True)
    np.testing.assert_allclose(tail.loss[0], want, rtol=1e-12, atol=1e-12)
    assert tail.scenario[0].tolist() == [1, 0, 2]
    assert (tail.count, moments.count) == (3, 3)


@pytest.fixture(scope="module")
def gross(whole: tuple[Reference, Floats]) -> Floats:
    """What rounding is judged by, [R, 1]: the row's gross value and the size of its P&L."""
    engine, pnl = whole
    return (abs(engine.book.quantity) @ np.abs(engine.value_0) + pnl.std(axis=1))[:, None]


def test_order_does_not_matter(
    sample: Any, make_book: MakeBook, whole: tuple[Reference, Floats], gross: Floats
) -> None:
    market, rows, held, accounts = sample
    engine, pnl = whole
    rng = np.random.default_rng(1)
    shuffled = [[of[i] for i in rng.permutation(len(of))] for of in (rows, held, accounts)]
    other = engine_of(market, make_book(market, *shuffled), 70_000)
    again = other.pnl(0, 4096)
    at = [other.book.row.index(name) for name in engine.book.row]
    assert (np.abs(again[at] - pnl[:, :4096]) <= 1e-12 * gross).all()


def test_order_of_factors_does_not_matter(
    make_market: MakeMarket, make_book: MakeBook, sample: Any, gross: Floats
) -> None:
    _, rows, held, accounts = sample
    factors = [USD_STOCK, EUR_STOCK, BTC, EURUSD, VOLS[1], VOLS[0], RATES[0]]
    shocks = np.random.default_rng(2).normal(0.0, 0.1, (100, len(factors)))
    order = [6, 2, 5, 0, 4, 1, 3]
    pnl = []
    for at in (range(7), order):
        market = make_market([factors[f] for f in at])
        book = make_book(market, rows, held, accounts)
        pnl.append(Reference(market, book, Explicit.of(shocks[:, list(at)]), H).pnl(0, 100))
    assert (np.abs(pnl[0] - pnl[1]) <= 1e-12 * gross).all()


def test_doubled_quantities_double_every_measure(whole: tuple[Reference, Floats]) -> None:
    engine, _ = whole
    double = replace(engine.book, quantity=2.0 * engine.book.quantity)
    results = []
    for book in (engine.book, double):
        tail, moments = simulate(engine_of(engine.market, book, 20_000), 20_000, 1200)
        results.append(measure(tail, moments, [0.95, 0.99], 0.95))
    for once, twice in zip(*results, strict=True):
        for name in ("value", "low", "high", "stderr"):
            np.testing.assert_allclose(getattr(twice, name), 2 * getattr(once, name), rtol=1e-13)
        if once.measure == "var":
            np.testing.assert_array_equal(twice.value, 2 * once.value)


def test_merged_accounts_hold_the_sum(
    sample: Any, make_book: MakeBook, whole: tuple[Reference, Floats], gross: Floats
) -> None:
    market, rows, held, _ = sample
    engine, pnl = whole
    merged = [("both" if account in ("a0", "a1") else account, name, quantity) for account, name, quantity in held]
    other = engine_of(market, make_book(market, rows, merged), 70_000)
    got = other.pnl(0, 4096)[other.book.row.index("both")]
    a, b = engine.book.row.index("a0"), engine.book.row.index("a1")
    assert (np.abs(got - (pnl[a] + pnl[b])[:4096]) <= 1e-12 * (gross[a] + gross[b])).all()


def test_parents_and_the_netted_row_are_sums(sample: Any, make_book: MakeBook, gross: Floats) -> None:
    market, rows, held, accounts = sample
    one_currency = [{**row, "currency": ""} for row in accounts]
    book = make_book(market, rows, held, one_currency)
    pnl = dict(zip(book.row, engine_of(market, book, 4096).pnl(0, 4096), strict=True))
    for parent, children in (
        ("m0", ("a0", "a2", "a4")),
        ("m1", ("a1", "a3", "a5")),
        ("house", ("m0", "m1")),
        (NETTED, tuple(f"a{n}" for n in range(6))),
    ):
        total = sum(pnl[name] for name in children)
        assert (np.abs(pnl[parent] - total) <= 1e-12 * gross[-1]).all()
        assert np.abs(pnl[parent]).max() > 0


def test_a_parent_of_a_foreign_child_counts_in_its_own_currency(
    sample: Any, whole: tuple[Reference, Floats], gross: Floats
) -> None:
    # a3 reports in EUR: its P&L comes back to dollars by what it is worth at both ends.
    market = sample[0]
    engine, pnl = whole
    row = engine.book.row.index
    base = float((engine.book.quantity @ engine.value_0)[row("a3")])
    x = market.factors.name.index("EURUSD")
    rate = 1.1 * np.exp(engine.scenarios.moves(0, 70_000)[x])
    dollars = (pnl[row("a3")] + base / 1.1) * rate - base
    total = pnl[row("a1")] + dollars + pnl[row("a5")]
    assert (np.abs(pnl[row("m1")] - total) <= 1e-12 * gross[row("m1")]).all()
