from collections.abc import Callable, Mapping
from typing import Any

import numpy as np
import pytest

from mcvar.book import Book, underlying_carry
from mcvar.columns import Columns
from mcvar.correlation import given
from mcvar.currencies import conversion, invertible
from mcvar.engines import Reference
from mcvar.errors import InputError
from mcvar.instruments import Instruments, Kind
from mcvar.market import Market, build, read_factors
from mcvar.pillars import pillar_weights
from mcvar.pricing.black import black76
from mcvar.scenarios import Explicit
from mcvar.terms import resolve_instruments

Row = Mapping[str, Any]
S = {"factor": "S", "kind": "price", "level": 100, "volatility": 0.2}
BTC = {"factor": "BTC", "kind": "price", "level": 50_000, "volatility": 0.5}
EUR = {"factor": "EUR", "kind": "price", "level": 1.1, "volatility": 0.1}
OIL = {"factor": "OIL", "kind": "price", "level": 20, "volatility": 10, "shock": "absolute"}
SUNK = {**OIL, "factor": "SUNK", "level": -37.63}
DAX = {**S, "factor": "DAX", "currency": "EUR"}
RATE = {"factor": "R", "kind": "rate", "tenor": 1, "level": 0.03, "volatility": 0.01}
OPTION = {
    "instrument": "X", "kind": "option", "underlying": "S", "option_type": "call", "strike": "100",
    "expiry": "2027-01-02", "volatility": "0.25",
}  # fmt: skip
SPOT = {"instrument": "X", "kind": "spot", "underlying": "S"}
CASH = {"instrument": "X", "kind": "cash"}
FUTURE = {"instrument": "X", "kind": "future", "underlying": "S", "expiry": "2027-01-02"}
COIN = {"instrument": "X", "kind": "perpetual", "underlying": "BTC", "settlement": "inverse"}


def table(source: str, *rows: Row) -> Columns:
    names = list(dict.fromkeys(name for row in rows for name in row))
    return Columns.from_mapping(source, {name: [row.get(name, "") for row in rows] for name in names})


def market(*rows: Row, currency: str = "USD") -> Market:
    factors, volatility = read_factors(table("F.csv", *rows), currency=currency)
    return build(
        factors=factors,
        volatility=volatility,
        estimate=given(np.eye(len(rows))),
        valuation=np.datetime64("2026-01-02", "us"),
        currency=currency,
    )


ALL = market(S, BTC, EUR, OIL, SUNK, DAX)


def resolved(*rows: Row, on: Market = ALL) -> Instruments:
    return resolve_instruments(table("I.csv", *rows), on)


def refused(*rows: Row, on: Market = ALL) -> list[str]:
    with pytest.raises(InputError) as caught:
        resolved(*rows, on=on)
    assert caught.value.source == "I.csv"
    return list(caught.value.problems)


def test_blanks_take_their_defaults() -> None:
    option = resolved(OPTION)
    assert option.kind.tolist() == [Kind.option]
    assert option.sign.tolist() == [1.0]
    assert option.years.tolist() == [1.0]
    assert option.multiplier.tolist() == [1.0]
    assert option.volatility.tolist() == [0.25]
    assert option.rate.tolist() == option.carry.tolist() == option.funding.tolist() == [0.0]
    assert not option.inverse[0]
    assert not option.margined[0]
    assert option.convert.tolist() == [[-1, -1]]
    assert option.rate_currency == ("USD",)
    spot = resolved(SPOT)
    assert np.isnan([spot.strike[0], spot.volatility[0]]).all()
    assert spot.years.tolist() == [np.inf]
    assert resolved(CASH).underlying.tolist() == [-1]
    assert resolved(FUTURE, {**COIN, "instrument": "Y"}).margined.tolist() == [True, True]


def test_an_empty_table_is_no_instrument() -> None:
    none = resolve_instruments(Columns.of("I.csv", instrument=[], kind=[]), ALL)
    assert len(none) == 0
    assert none.convert.shape == (0, 2)


def test_rates_are_the_instruments_then_the_factors_then_the_pillars() -> None:
    pillars = market(S, {**S, "factor": "T", "rate": 0.05}, RATE, {**RATE, "factor": "R3", "tenor": 3, "level": 0.05})
    rows = [
        {**OPTION, "rate": 0.01},
        {**OPTION, "underlying": "T"},
        {**OPTION, "expiry": "2028-01-02"},
        {**OPTION, "expiry": "2026-02-02"},
        {**OPTION, "expiry": "2036-01-02"},
        {**OPTION, "rate": 0},
        {**OPTION, "premium_style": "futures"},
    ]
    found = resolved(*({**row, "instrument": str(i)} for i, row in enumerate(rows)), on=pillars)
    assert found.rate == pytest.approx([0.01, 0.05, 0.04, 0.03, 0.05, 0.0, 0.0])
    assert found.carry == pytest.approx([0.01, 0.05, 0.04, 0.03, 0.05, 0.0, 0.03]), "no dividend yield: the rate"
    assert found.rate_currency[-1] == "", "futures-style options are not discounted"


def test_carries_are_the_instruments_then_the_forwards_then_the_factors_then_the_pillars() -> None:
    pillar = {"factor": "C", "kind": "carry", "underlying": "S", "tenor": 1, "level": 0.02, "volatility": 0.01}
    carried = market(S, {**S, "factor": "T", "carry": -0.01}, {**S, "factor": "U"}, pillar, RATE)
    rows = [
        {**FUTURE, "carry": 0.07},
        {**FUTURE, "forward": 103, "expiry": "2028-01-02"},
        {**FUTURE, "underlying": "T"},
        {**FUTURE},
        {**FUTURE, "underlying": "U"},
        {**CASH},
    ]
    found = resolved(*({**row, "instrument": str(i)} for i, row in enumerate(rows)), on=carried)
    assert found.carry == pytest.approx([0.07, np.log(1.03) / 2, -0.01, 0.02, 0.03, 0.0])
    assert 100 * np.exp(found.carry[1] * found.years[1]) == pytest.approx(103)


def test_volatilities_are_interpolated_in_the_root_of_time() -> None:
    vols = [
        {"factor": f"V{tenor}", "kind": "vol", "underlying": "S", "tenor": tenor, "level": level, "volatility": 1}
        for tenor, level in ((1.0, 0.4), (0.25, 0.2))
    ]
    days = {"2026-01-12": 0.2, "2026-04-03T06:00": 0.2, "2027-01-02": 0.4, "2030-01-02": 0.4}
    mid = np.datetime64("2026-01-02", "us") + np.timedelta64(round(0.5625 * 365 * 86400), "s")
    rows = [{**OPTION, "instrument": day, "volatility": "", "expiry": day} for day in [*days, str(mid)]]
    found = resolved(*rows, {**OPTION, "instrument": "own"}, on=market(S, *vols))
    assert found.volatility == pytest.approx([*days.values(), 0.3, 0.25])
    assert pillar_weights(np.array([0.25, 1.0]), 0.5625, root=True) @ [0.2, 0.4] == pytest.approx(0.3)


@pytest.mark.parametrize("option_type", ["call", "put"])
@pytest.mark.parametrize("style", ["upfront", "futures"])
@pytest.mark.parametrize("strike", [60.0, 100.0, 103.0, 170.0])
def test_quoted_prices_give_back_the_volatility(option_type: str, style: str, strike: float) -> None:
    rate, carry, volatility = 0.04, 0.01, 0.35
    forward = 100 * np.exp(carry)
    price = black76(forward, np.float64(strike), np.float64(volatility), np.float64(1 if option_type == "call" else -1))
    row = {
        **OPTION, "strike": strike, "volatility": "", "option_type": option_type, "premium_style": style, "rate": rate,
        "carry": carry, "price": float(price) * (np.exp(-rate) if style == "upfront" else 1.0), "multiplier": 50,
    }  # fmt: skip
    assert resolved(row).volatility == pytest.approx([volatility], rel=1e-9)
    coins = {
        **row, "underlying": "BTC", "settlement": "inverse", "strike": strike * 500,
        "price": row["price"] / forward,
    }  # fmt: skip
    found = resolved(coins)
    assert found.volatility == pytest.approx([volatility], rel=1e-9)
    assert found.convert.tolist() == [[1, -1]], "worth coins"


@pytest.mark.parametrize(
    ("change", "price"),
    [
        ({}, "100"), ({}, "101"), ({}, "0"), ({"strike": "80"}, "19.99"), ({"strike": "80"}, "20"),
        ({"option_type": "put"}, "100"), ({"option_type": "put", "strike": "120"}, "20"), ({"rate": "0.05"}, "1e-300"),
        ({"underlying": "BTC", "strike": "50000", "settlement": "inverse"}, "1"),
    ],
)  # fmt: skip
def test_quoted_prices_that_no_volatility_gives(change: Row, price: str) -> None:
    [problem] = refused({**OPTION, "volatility": "", **change, "price": price})
    assert problem.startswith(f"row 1: instrument 'X' has price {float(price):g}, which no volatility gives")
    assert "correct it or give a volatility" in problem


@pytest.mark.parametrize(
    ("change", "said"),
    [
        ({"instrument": " "}, "has no name"),
        ({"kind": ""}, "kind of instrument 'X' is missing: write one of spot, cash, future, perpetual, option"),
        ({"kind": "lookback"}, "kind 'lookback' of instrument 'X' is not one of spot"),
        ({"kind": "Option"}, "kind 'Option'"),
        ({"underlying": "SPX"}, "underlying 'SPX', which no price factor has: there are S, BTC, EUR"),
        ({"underlying": ""}, "underlying '', which no price factor has"),
        ({"option_type": ""}, "is an option without an option_type"),
        ({"option_type": "C"}, "option_type 'C' of instrument 'X' is not one of call, put"),
        ({"strike": ""}, "is an option without a strike"),
        ({"strike": "NaN"}, "strike 'NaN' of instrument 'X' is not a number"),
        ({"strike": "0"}, "strike 0: it must be positive"),
        ({"strike": "-5"}, "strike -5: it must be positive"),
        ({"strike": "inf"}, "strike inf: it must be finite"),
        ({"strike": "1,000"}, "strike '1,000' of instrument 'X' is not a number"),
        ({"expiry": ""}, "is an option without an expiry"),
        ({"expiry": np.datetime64("NaT", "us")}, "is an option without an expiry"),
        ({"expiry": "2025-12-31"}, "expired at 2025-12-31"),
        ({"expiry": "2026-01-02"}, "expired at 2026-01-02T00:00:00"),
        ({"expiry": "2026-01-02T01:00:00+01:00"}, "expired at 2026-01-02T00:00:00"),
        ({"expiry": "next month"}, "expiry 'next month' of instrument 'X' is not an ISO time"),
        ({"exercise": "bermudan"}, "exercise 'bermudan' of instrument 'X' is not one of european, american"),
        ({"multiplier": "0"}, "multiplier 0: it must be positive"),
        ({"multiplier": "-1"}, "multiplier -1: it must be positive and finite; sell by a negative quantity"),
        ({"multiplier": "inf"}, "multiplier inf"),
        ({"volatility": "-0.2"}, "volatility -0.2: it must not be negative"),
        ({"volatility": "inf"}, "volatility inf: it must be finite"),
        ({"volatility": ""}, "has neither volatility nor price, and S has no volatility factor: give one"),
        ({"price": "5"}, "has both a volatility and a price"),
        ({"volatility": "", "price": "-1"}, "price -1: it must not be negative"),
        ({"rate": "inf"}, "rate inf: it must be finite"),
        ({"carry": "0.1", "forward": "101"}, "has both a carry and a forward"),
        ({"forward": "0"}, "has forward 0 on spot 100: both must be positive"),
        ({"forward": "-101"}, "has forward -101 on spot 100"),
        ({"carry": "800"}, "has forward inf and discount factor 1, by spot 100, carry 800"),
        ({"rate": "5", "carry": "0", "expiry": "9999-12-31"}, "has forward 100 and discount factor 0"),
        ({"funding": "0.1"}, "of kind option cannot have a funding"),
        ({"barrier": "90"}, "of kind option cannot have a barrier"),
        ({"barrier_type": "up_in"}, "of kind option cannot have a barrier_type"),
        ({"average": "geometric"}, "of kind option cannot have an average"),
        ({"settlement": "cash"}, "settlement 'cash' of instrument 'X' is not one of linear, inverse"),
        ({"premium_style": "upfrnt"}, "premium_style 'upfrnt'"),
        ({"underlying": "SUNK"}, "needs a positive price of SUNK, which is -37.63"),
        ({"underlying": "OIL", "settlement": "inverse"}, "OIL moves by absolute shocks and could reach 0"),
        ({"quote": "EUR"}, "is quoted in EUR, but the factor of S is in USD: quantos are not supported"),
        ({"settlement_currency": "EUR"}, "is linear and quoted in USD but settles in EUR: quantos are not supported"),
        ({"settlement": "inverse", "settlement_currency": "USD"}, "is inverse but settles in its quote currency USD"),
    ],
)
def test_bad_options(change: Row, said: str) -> None:
    [problem] = refused({**OPTION, **change})
    assert problem.startswith("row 1: ")
    assert said in problem


@pytest.mark.parametrize(
    ("row", "said"),
    [
        ({**SPOT, "strike": "5"}, "of kind spot cannot have a strike"),
        ({**SPOT, "expiry": "2027-01-01"}, "of kind spot cannot have an expiry"),
        ({**SPOT, "option_type": "put"}, "of kind spot cannot have an option_type"),
        ({**SPOT, "volatility": "0.2"}, "of kind spot cannot have a volatility"),
        ({**SPOT, "price": "100"}, "of kind spot cannot have a price"),
        ({**SPOT, "settlement": "inverse"}, "of kind spot cannot have settlement inverse"),
        ({**SPOT, "premium_style": "futures"}, "of kind spot cannot have premium_style futures"),
        ({**SPOT, "forward": "100"}, "has a forward but no expiry"),
        ({**FUTURE, "expiry": "2020-01-01"}, "expired at 2020-01-01"),
        ({**FUTURE, "expiry": "", "carry": "0.1"}, "has a carry but no expiry"),
        ({**FUTURE, "underlying": "SUNK", "forward": "10"}, "has forward 10 on spot -37.63"),
        ({**FUTURE, "carry": "800"}, "has forward inf"),
        ({**COIN, "expiry": "2027-01-01"}, "of kind perpetual cannot have an expiry"),
        ({**COIN, "underlying": "OIL"}, "could reach 0, where a coin payoff is infinite: give the factor shock=log"),
        ({**CASH, "underlying": "EUR"}, "is cash in USD, but has underlying 'EUR'"),
        ({**CASH, "quote": "EUR"}, "write its currency in the column settlement_currency"),
        ({**CASH, "settlement_currency": "JPY"}, "settles in JPY, which no price factor converts to USD"),
    ],
)
def test_bad_other_kinds(row: Row, said: str) -> None:
    [problem] = refused(row)
    assert problem.startswith("row 1: instrument 'X' ")
    assert said in problem


def test_negative_prices_are_for_linear_contracts() -> None:
    on_oil = resolved({**FUTURE, "underlying": "SUNK", "carry": 0.0}, {**SPOT, "instrument": "Y", "underlying": "OIL"})
    assert on_oil.underlying.tolist() == [4, 3]


def test_instruments_that_are_there_twice() -> None:
    [problem] = refused(SPOT, CASH | {"instrument": "C"}, {**SPOT, "instrument": " X "})
    assert problem == "row 3: instrument 'X' is there twice (first in row 1): remove one"


def test_all_bad_rows_of_every_check_are_told_at_once() -> None:
    changes: list[Row] = [
        {"kind": "x"}, {"strike": "a"}, {"strike": "-1"}, {"quote": "EUR"}, {"volatility": "", "price": "500"},
        {"volatility": ""}, {"carry": "900"}, {"expiry": "2020-01-01"}, {"underlying": "?"}, {},
    ]  # fmt: skip
    problems = refused(*({**OPTION, "instrument": f"X{i}", **change} for i, change in enumerate(changes)))
    assert sorted(int(p.partition(":")[0].removeprefix("row ")) for p in problems) == list(range(1, len(changes)))
    assert len(refused(*({**OPTION, "instrument": f"X{i}", "strike": "0"} for i in range(30)))) == 30


def test_bad_rows_do_not_crash_a_market_with_one_factor() -> None:
    rows = [{**SPOT, "instrument": str(i), "underlying": "?"} for i in range(3)]
    assert len(refused(*rows, {**OPTION, "forward": "-1", "expiry": "2020-01-01"}, on=market(S))) == 4
    no_price = market(RATE)
    assert "which no price factor has: there are none" in refused(OPTION, on=no_price)[0]
    assert len(resolved(CASH, on=no_price)) == 1


def test_long_lists_of_names_are_cut() -> None:
    many = market(*({**S, "factor": f"S{i}"} for i in range(30)))
    assert refused(SPOT, on=many)[0].endswith("there are S0, S1, S2, S3, S4, S5, S6, S7, S8, S9, ...")


def test_settlement_currencies_are_converted() -> None:
    rows = [
        CASH,
        {**CASH, "settlement_currency": "EUR"},
        {**SPOT, "underlying": "DAX"},
        COIN,
        {**COIN, "settlement_currency": "BTC", "kind": "future", "expiry": "2027-01-02"},
    ]
    found = resolved(*({**row, "instrument": str(i)} for i, row in enumerate(rows)))
    assert found.convert.tolist() == [[-1, -1], [2, -1], [2, -1], [1, -1], [1, -1]]
    assert found.rate_currency == ("USD", "EUR", "EUR", "BTC", "BTC")


def test_conversions_that_divide() -> None:
    assert conversion(ALL, "USD", "EUR") == (-1, 2)
    assert conversion(ALL, "EUR", "BTC") == (2, 1)
    assert conversion(ALL, "JPY", "USD") is None
    assert conversion(ALL, "DAX", "USD") is None, "two steps"
    assert invertible(ALL, (2, -1))
    simple = market({**BTC, "shock": "simple"}, S, EUR, currency="USD")
    assert not invertible(simple, conversion(simple, "USD", "BTC"))
    coins = market({**BTC, "shock": "simple", "currency": "USD"}, {**S, "currency": "USD"}, currency="BTC")
    [problem] = refused(SPOT, on=coins)
    assert "settles in USD: converting to BTC divides by the price of BTC, which could reach 0" in problem
    assert resolved(SPOT, on=market({**BTC, "currency": "USD"}, {**S, "currency": "USD"}, currency="BTC")).convert[
        0
    ].tolist() == [-1, 0]


def test_an_inverse_option_is_worth_the_linear_one_in_the_quote_currency(
    make_market: Callable[..., Market], make_book: Callable[..., Book]
) -> None:
    """Discounted in coins at the coin's rate: the underlying's less its carry."""
    market = make_market([{"factor": "BTC", "level": 60_000.0, "rate": 0.04, "carry": 0.015}])
    terms = {
        "kind": "option",
        "underlying": "BTC",
        "option_type": "call",
        "strike": 70_000,
        "years": 0.8,
        "volatility": 0.6,
    }
    rows = [{**terms, "instrument": "linear"}, {**terms, "instrument": "inverse", "settlement": "inverse"}]
    book = make_book(market, rows, [("A", "linear", 1.0), ("A", "inverse", 1.0)])
    linear, inverse = Reference(market, book, Explicit.of([[0.0]]), 0.0).value_0
    assert inverse == pytest.approx(linear, rel=1e-12)
    assert book.instruments.rate.tolist() == pytest.approx([0.04, 0.025])


def test_risk_neutral_carry_of_a_book_without_anything_dated(
    make_market: Callable[..., Market], make_book: Callable[..., Book]
) -> None:
    market = make_market([{"factor": "XYZ", "level": 100.0, "rate": 0.05}])
    spot = {"instrument": "S", "kind": "spot", "underlying": "XYZ"}
    option = {
        "instrument": "O",
        "kind": "option",
        "underlying": "XYZ",
        "option_type": "put",
        "strike": 90,
        "years": 1.0,
    }
    for rows in ([spot], [spot, {**option, "volatility": 0.2}]):
        book = make_book(market, rows, [("A", str(row["instrument"]), 1.0) for row in rows])
        assert underlying_carry(market, book.instruments).tolist() == [0.05]
