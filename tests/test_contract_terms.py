"""The columns of contracts as people write them: defaults, what is refused and how it is said, quoted prices."""

from __future__ import annotations

from collections.abc import Mapping
from contextlib import suppress
from typing import Any

import numpy as np
import pytest
from hypothesis import Phase, given, settings
from hypothesis import strategies as st

from mcvar import book
from mcvar.columns import Columns
from mcvar.correlation import given as correlated
from mcvar.draft import OPTIONAL
from mcvar.engines import Reference
from mcvar.errors import InputError, McvarError
from mcvar.families import FAMILIES, touched_today
from mcvar.instruments import Instruments, Kind
from mcvar.market import Market, build, read_factors
from mcvar.pricing.asian import Method
from mcvar.pricing.settings import DEFAULT, Pricing
from mcvar.scenarios import Explicit
from mcvar.terms import resolve_instruments

Row = Mapping[str, Any]
FACTORS: list[Row] = [
    {"factor": "S", "kind": "price", "level": 100, "volatility": 0.2},
    {"factor": "BTC", "kind": "price", "level": 50_000, "volatility": 0.5},
    {"factor": "OIL", "kind": "price", "level": 20, "volatility": 10, "shock": "absolute"},
    {"factor": "SUNK", "kind": "price", "level": -37.63, "volatility": 10, "shock": "absolute"},
]
COMMON: Row = {
    "instrument": "X", "underlying": "S", "option_type": "call", "strike": 100, "expiry": "2027-01-02",
    "volatility": 0.25, "rate": 0.05, "carry": 0.02,
}  # fmt: skip
OPTION: Row = {**COMMON, "kind": "option"}
BARRIER: Row = {**COMMON, "kind": "barrier", "barrier": 120, "barrier_type": "up_out"}
DIGITAL: Row = {**COMMON, "kind": "digital"}
BARRED: Row = {**DIGITAL, "barrier": 120, "barrier_type": "up_in"}
TOUCH: Row = {**BARRED, "strike": "", "option_type": ""}
ASIAN: Row = {**COMMON, "kind": "asian", "average": "arithmetic", "averaging_start": "2026-02-01"}
RUNNING: Row = {**ASIAN, "averaging_start": "2025-12-01", "average_so_far": 98}
FUTURE: Row = {"instrument": "X", "kind": "future", "underlying": "S", "expiry": "2027-01-02"}
SPOT: Row = {"instrument": "X", "kind": "spot", "underlying": "S"}
COIN: Row = {"underlying": "BTC", "settlement": "inverse", "strike": 50_000}


def table(source: str, *rows: Row) -> Columns:
    names = list(dict.fromkeys(name for row in rows for name in row))
    return Columns.from_mapping(source, {name: [row.get(name, "") for row in rows] for name in names})


def market_of(*rows: Row) -> Market:
    factors, volatility = read_factors(table("F.csv", *rows), currency="USD")
    return build(
        factors=factors,
        volatility=volatility,
        estimate=correlated(np.eye(len(rows))),
        valuation=np.datetime64("2026-01-02", "us"),
        currency="USD",
    )


MARKET = market_of(*FACTORS)


def resolved(*rows: Row, on: Market = MARKET, pricing: Pricing = DEFAULT) -> Instruments:
    return resolve_instruments(table("I.csv", *rows), on, pricing)


def refused(*rows: Row) -> list[str]:
    with pytest.raises(InputError) as caught:
        resolved(*rows)
    assert caught.value.source == "I.csv"
    return list(caught.value.problems)


def value(row: Row, on: Market = MARKET) -> float:
    """Today, in USD."""
    held = Columns.of("P", account=["A"], instrument=[row["instrument"]], quantity=[1.0])
    owned = book.resolve(table("I.csv", row), held, on)
    return float(Reference(on, owned, Explicit.of(np.zeros((1, len(on.factors)))), 0.0).value_0[0])


def test_terms_and_their_defaults() -> None:
    found = resolved({**BARRIER, "monitoring": 7})
    assert [found.term[name][0] for name in ("barrier", "up", "out")] == [120, 1, 1]
    assert found.term["rebate"] == 0
    assert found.term["monitoring"] == pytest.approx(7 / 365)
    assert not touched_today(found.term, found.volatility).any()
    digital = resolved(DIGITAL)
    assert [digital.term[name][0] for name in ("cash", "asset", "at_hit", "up")] == [1, 0, 0, 0]
    assert np.isnan(digital.term["barrier"][0])
    touch = resolved({**TOUCH, "payment": "hit", "payout": "asset"})
    assert touch.sign.tolist() == [0]
    assert np.isnan(touch.strike[0])
    assert [touch.term[name][0] for name in ("asset", "at_hit", "up", "out")] == [1, 1, 1, 0]
    average = resolved(ASIAN, {**RUNNING, "instrument": "Y", "average": "geometric", "fixings": 12})
    assert average.term["geometric"].tolist() == [0, 1]
    assert average.term["start"] == pytest.approx([30 / 365, -32 / 365])
    assert average.term["fixings"].tolist() == [0, 12], "0 is continuous"
    assert average.term["so_far"][1] == 98
    assert average.term["conditioning"].tolist() == [1, 1]
    assert resolved(ASIAN, pricing=Pricing(asian=Method.moments)).term["conditioning"].tolist() == [0]
    option = resolved(OPTION)
    assert not option.american[0]
    assert np.isnan(option.delivery[0])
    assert option.dividends.tolist() == [0]
    early = resolved({**OPTION, "exercise": "american", "delivery": "2028-01-02"})
    assert early.american[0]
    assert early.delivery == pytest.approx([2.0])


def test_terms_stay_with_their_rows() -> None:
    rows = [OPTION, BARRIER, DIGITAL, BARRED, TOUCH, ASIAN, RUNNING, FUTURE, SPOT]
    rows = [{**row, "instrument": str(at)} for at, row in enumerate(rows)]
    together = resolved(*rows)
    for at, row in enumerate(rows):
        alone = resolved(row)
        for name, values in alone.term.items():
            used = together.kind[at] in [k for k, family in FAMILIES.items() if family.columns] or values[0] == 0
            if used and together.kind[at] in FAMILIES:
                np.testing.assert_equal(together.term[name][at], values[0], err_msg=f"{name} of row {at}")


@pytest.mark.parametrize(("way", "level", "knocked"), [
    ("up_out", 100.0, 1), ("up_in", 99.0, 1), ("up_out", 100.1, 0), ("down_in", 100.0, 1), ("down_out", 101.0, 1),
    ("down_in", 99.9, 0),
])  # fmt: skip
def test_a_price_beyond_its_barrier_has_knocked(way: str, level: float, knocked: int) -> None:
    for row in (BARRIER, BARRED, TOUCH):
        found = resolved({**row, "barrier": level, "barrier_type": way})
        assert touched_today(found.term, found.volatility).tolist() == [knocked]
    # Observed at times it is only beyond the barrier that is worth as much if always observed, 7 % farther here.
    at_times = resolved({**BARRIER, "barrier": level, "barrier_type": way, "monitoring": 30})
    assert not touched_today(at_times.term, at_times.volatility).any()


def test_dividends_are_discounted_to_today() -> None:
    paid = {"dividends": "2026-07-02:2; 2027-01-02:3"}
    worth = 2 * np.exp(-0.05 * 181 / 365) + 3 * np.exp(-0.05)
    assert resolved({**OPTION, **paid}).dividends == pytest.approx([worth])
    assert resolved(
        {**DIGITAL, **paid}, {**FUTURE, "instrument": "F", "rate": 0.05, **paid}
    ).dividends == pytest.approx([worth, worth])
    later = {**OPTION, "expiry": "2026-03-02", "delivery": "2027-01-02", **paid}
    assert resolved(later).dividends == pytest.approx([worth]), "to the delivery of the future that it is on"
    forward = 103.0
    carried = resolved({**OPTION, **paid, "carry": "", "forward": forward})
    assert (100 - worth) * np.exp(carried.carry[0]) == pytest.approx(forward)


BAD: list[tuple[Row, Row, str]] = [
    (BARRIER, {"barrier": ""}, "is a barrier without a barrier: give the level"),
    (BARRED, {"barrier": ""}, "is a digital without a barrier: give the level"),
    (BARRIER, {"barrier": 0}, "has barrier 0: it must be positive"),
    (TOUCH, {"barrier": -5}, "has barrier -5: it must be positive"),
    (BARRIER, {"barrier": "inf"}, "has barrier inf: it must be"),
    (BARRIER, {"barrier_type": ""}, "is without a barrier_type: write one of up_in, up_out, down_in, down_out"),
    (TOUCH, {"barrier_type": ""}, "is without a barrier_type: write one of"),
    (BARRIER, {"monitoring": 0}, "has monitoring 0: days between two observations, or blank if always observed"),
    (BARRED, {"monitoring": -1}, "has monitoring -1: days between"),
    (BARRIER, {"monitoring": "inf"}, "has monitoring inf: days between"),
    (DIGITAL, {"monitoring": 1}, "is monitored, but has no barrier"),
    (BARRIER, {"rebate": -1}, "has rebate -1: it must be finite and not negative"),
    (BARRIER, {"rebate": "inf"}, "has rebate inf: it must be finite"),
    (BARRIER, {"option_type": ""}, "is a barrier without an option_type: write call or put"),
    (BARRIER, {"strike": ""}, "is a barrier without a strike: give a positive number"),
    (BARRIER, {"strike": 0}, "has strike 0: it must be positive"),
    (DIGITAL, {"option_type": ""}, "is a digital without an option_type: write call or put"),
    (DIGITAL, {"strike": ""}, "is a digital without a strike: give a positive number"),
    (BARRED, {"strike": ""}, "is a digital without a strike"),
    (BARRED, {"option_type": ""}, "is a digital without an option_type"),
    (DIGITAL, {"payout": "asset", "cash": 2}, "pays the asset, but has cash 2: leave it blank, or write payout cash"),
    (DIGITAL, {"cash": 0}, "has cash 0: it must be positive and finite; sell by a negative quantity"),
    (TOUCH, {"cash": -3}, "has cash -3: it must be positive"),
    (DIGITAL, {"cash": "inf"}, "has cash inf: it must be positive and finite"),
    (DIGITAL, {"payment": "hit"}, "is paid at the hit, which only a touch with barrier_type up_in or down_in is"),
    (BARRED, {"payment": "hit"}, "is paid at the hit"),
    (TOUCH, {"payment": "hit", "barrier_type": "up_out"}, "is paid at the hit"),
    (ASIAN, {"average": ""}, "is without an average: write geometric or arithmetic"),
    (ASIAN, {"averaging_start": ""}, "is without an averaging_start: give the time of the first fixing"),
    (ASIAN, {"averaging_start": "", "average_so_far": 90}, "is without an averaging_start"),
    (ASIAN, {"fixings": 0}, "has fixings 0: a whole number, or blank"),
    (ASIAN, {"fixings": 2.5}, "has fixings 2.5: a whole number"),
    (ASIAN, {"fixings": "inf"}, "has fixings inf: a whole number"),
    (ASIAN, {"averaging_start": "2027-01-02"}, "starts to average at 2027-01-02T00:00:00.000000Z, not before its"),
    (ASIAN, {"averaging_start": "2027-01-03", "fixings": 1}, "starts to average at 2027-01-03"),
    (RUNNING, {"average_so_far": ""}, "averages since 2025-12-01T00:00:00.000000Z, before the valuation: give average"),
    (RUNNING, {"average_so_far": 0}, "give average_so_far, which is positive"),
    (RUNNING, {"average_so_far": "inf"}, "give average_so_far, which is positive"),
    (ASIAN, {"average_so_far": 100}, "has an average_so_far, but starts to average at 2026-02-01"),
    (ASIAN, {"expiry": ""}, "is an asian without an expiry: give it in ISO, UTC"),
    (TOUCH, {"expiry": ""}, "is a digital without an expiry"),
    (BARRIER, {"expiry": "2025-01-01"}, "expired at 2025-01-01T00:00:00.000000Z, not after the valuation 2026-01-02"),
    (OPTION, {"delivery": "2026-12-31"}, "is on a future delivered at 2026-12-31T00:00:00.000000Z, before its own"),
    (BARRIER, {"delivery": "2027-02-01"}, "of kind barrier cannot have a delivery"),
    (BARRED, {"delivery": "2027-02-01"}, "of kind digital cannot have a delivery"),
    (ASIAN, {"delivery": "2027-02-01"}, "of kind asian cannot have a delivery"),
    (FUTURE, {"delivery": "2027-02-01"}, "of kind future cannot have a delivery"),
    (BARRIER, {"dividends": "2026-06-01:1"}, "of kind barrier cannot have dividends"),
    (TOUCH, {"dividends": "2026-06-01:1"}, "of kind digital cannot have dividends"),
    (ASIAN, {"dividends": "2026-06-01:1"}, "of kind asian cannot have dividends"),
    (SPOT, {"dividends": "2026-06-01:1"}, "of kind spot cannot have dividends"),
    (FUTURE, {"dividends": "2026-06-01:1", "expiry": ""}, "has dividends, but no expiry to count them to"),
    ({**OPTION, **COIN}, {"dividends": "2026-06-01:1"}, "is inverse: a coin pays no cash dividends; leave them blank"),
    (OPTION, {"dividends": "0.5"}, "has dividends '0.5': write date:amount pairs such as 2026-03-13:0.5"),
    (OPTION, {"dividends": "2026-06-01:much"}, "has dividends '2026-06-01:much': write date:amount pairs"),
    (OPTION, {"dividends": "June:1"}, "has dividends 'June:1': write"),
    (OPTION, {"dividends": "2026-06-01:0"}, "has a dividend of 0: it must be positive and finite"),
    (OPTION, {"dividends": "2026-06-01:-1"}, "has a dividend of -1: it must be positive"),
    (OPTION, {"dividends": "2026-06-01:inf"}, "has a dividend of inf: it must be positive and finite"),
    (OPTION, {"dividends": "2026-06-01:nan"}, "has a dividend of nan: it must be positive and finite"),
    (OPTION, {"dividends": "2026-01-02:1"}, "has a dividend at 2026-01-02T00:00:00.000000Z, not after the valuation"),
    (OPTION, {"dividends": "2027-01-03:1"}, "has a dividend at 2027-01-03T00:00:00.000000Z, after its expiry"),
    (OPTION, {"dividends": "2026-06-01:60 2026-09-01:60"}, "and dividends worth 116.823: correct the rates"),
    (BARRIER, {"exercise": "american"}, "of kind barrier cannot have exercise american: only options can be exercised"),
    (DIGITAL, {"exercise": "american"}, "of kind digital cannot have exercise american"),
    (ASIAN, {"exercise": "american"}, "of kind asian cannot have exercise american"),
    (FUTURE, {"exercise": "american"}, "of kind future cannot have exercise american"),
    (DIGITAL, {"premium_style": "futures"}, "of kind digital cannot have premium_style futures"),
    (BARRIER, {"price": 5, "volatility": ""}, "of kind barrier cannot have a price"),
    (BARRIER, {"funding": 0.1}, "of kind barrier cannot have a funding"),
    (OPTION, {"barrier": 90}, "of kind option cannot have a barrier"),
    (OPTION, {"barrier_type": "up_in"}, "of kind option cannot have a barrier_type"),
    (OPTION, {"average": "geometric"}, "of kind option cannot have an average"),
    (SPOT, {"cash": 1}, "of kind spot cannot have a cash"),
    (FUTURE, {"payout": "cash"}, "of kind future cannot have a payout"),
    (BARRIER, {"cash": 1}, "of kind barrier cannot have a cash"),
    (BARRIER, {"payment": "hit"}, "of kind barrier cannot have a payment"),
    (BARRED, {"rebate": 1}, "of kind digital cannot have a rebate"),
    (ASIAN, {"barrier": 90}, "of kind asian cannot have a barrier"),
    (ASIAN, {"monitoring": 1}, "of kind asian cannot have a monitoring"),
    (DIGITAL, {"averaging_start": "2026-02-01"}, "of kind digital cannot have an averaging_start"),
    (DIGITAL, {"average_so_far": 5}, "of kind digital cannot have an average_so_far"),
    (BARRIER, {"fixings": 5}, "of kind barrier cannot have a fixings"),
    (BARRIER, {"volatility": ""}, "has no volatility, and S has no volatility factor: give one"),
    (ASIAN, {"volatility": -0.1}, "has volatility -0.1: it must not be negative"),
    (TOUCH, {"volatility": "inf"}, "has volatility inf: it must be finite"),
    (BARRIER, {"underlying": "SUNK"}, "needs a positive price of SUNK, which is -37.63"),
    (ASIAN, {"underlying": "OIL", "settlement": "inverse"}, "OIL moves by absolute shocks and could reach 0"),
    (DIGITAL, {"carry": 800}, "has forward inf and discount factor 0.951229, by spot 100, carry 800"),
    (BARRIER, {"barrier": "high"}, "barrier 'high' of instrument 'X' is not a number"),
    (BARRIER, {"barrier_type": "up"}, "barrier_type 'up' of instrument 'X' is not one of up_in, up_out, down_in"),
    (DIGITAL, {"payout": "coin"}, "payout 'coin' of instrument 'X' is not one of cash, asset"),
    (TOUCH, {"payment": "later"}, "payment 'later' of instrument 'X' is not one of expiry, hit"),
    (ASIAN, {"average": "harmonic"}, "average 'harmonic' of instrument 'X' is not one of geometric, arithmetic"),
    (ASIAN, {"averaging_start": "soon"}, "averaging_start 'soon' of instrument 'X' is not an ISO time"),
    (OPTION, {"delivery": "May"}, "delivery 'May' of instrument 'X' is not an ISO time"),
]  # fmt: skip


@pytest.mark.parametrize(("row", "change", "said"), BAD)
def test_bad_contracts(row: Row, change: Row, said: str) -> None:
    [problem] = refused({**row, **change})
    assert problem.startswith("row 1: ")
    assert "instrument 'X'" in problem
    assert said in problem


def test_all_bad_rows_of_every_check_are_told_at_once() -> None:
    """Each once, though they fall to different stages."""
    rows = [{**row, **change, "instrument": f"X{at}"} for at, (row, change, _) in enumerate(BAD)]
    rows += [{**OPTION, "instrument": "fine"}, {**BARRIER, "instrument": "too"}]
    problems = refused(*rows)
    assert sorted(int(p.partition(":")[0].removeprefix("row ")) for p in problems) == list(range(1, len(BAD) + 1))
    by_row = {int(p.partition(":")[0].removeprefix("row ")): p for p in problems}
    for at, (_, _, said) in enumerate(BAD, 1):
        assert said.replace("'X'", f"'X{at - 1}'") in by_row[at]


QUOTES: list[Row] = [
    {}, {"carry": -0.03}, {"carry": 0.05}, {"rate": -0.02, "carry": -0.01}, {"rate": 0.0, "carry": 0.0},
    {"delivery": "2027-07-02"}, {"dividends": "2026-06-01:1.5 2026-12-01:1.5"}, {"premium_style": "futures"},
    {"premium_style": "futures", "delivery": "2027-07-02"}, COIN,
]  # fmt: skip


@pytest.mark.parametrize("change", QUOTES)
@pytest.mark.parametrize("option_type", ["call", "put"])
@pytest.mark.parametrize("moneyness", [0.85, 1.0, 1.15])
@pytest.mark.parametrize("exercise", ["european", "american"])
def test_quoted_prices_give_back_the_volatility(exercise: str, moneyness: float, option_type: str, change: Row) -> None:
    row = {**OPTION, **change, "exercise": exercise, "option_type": option_type}
    row["strike"] = moneyness * row["strike"]
    # Options in variation margin are worth nothing: their price is that of one without discounting.
    upfront = {**row, "premium_style": "upfront", "rate": 0.0} if "premium_style" in change else row
    price = value(upfront) / (50_000.0 if "settlement" in change else 1.0)
    found = resolved({**row, "volatility": "", "price": price})
    assert found.volatility == pytest.approx([0.25], rel=1e-5 if exercise == "american" else 1e-9)


@pytest.mark.parametrize(
    ("change", "price"),
    [
        ({}, 100), ({"strike": 80}, 20), ({"option_type": "put", "strike": 120}, 20), ({}, 0),
        ({"option_type": "put", "strike": 120}, 120), ({"delivery": "2027-07-02", "strike": 80}, 23.0), (COIN, 1.0),
        ({"dividends": "2026-06-01:5", "strike": 80}, 16.0),
    ],
)  # fmt: skip
def test_american_prices_that_no_volatility_gives(change: Row, price: float) -> None:
    [problem] = refused({**OPTION, **change, "carry": 0.02, "exercise": "american", "volatility": "", "price": price})
    assert problem.startswith(f"row 1: instrument 'X' has price {price:g}, which no volatility gives")
    assert "correct it or give a volatility" in problem


CELLS: dict[str, list[Any]] = {
    "kind": [kind.name for kind in Kind] * 3 + ["", "swap"],
    "underlying": ["S", "S", "BTC", "OIL", "SUNK", "", "?"],
    "option_type": ["call", "put", "", "straddle"],
    "exercise": ["", "european", "american", "bermudan"],
    "settlement": ["", "", "linear", "inverse"],
    "premium_style": ["", "", "futures"],
    "expiry": ["2027-01-02", "2026-01-02", "2026-01-02T00:00:01", "2026-02-01", "9999-12-31", "", "x"],
    "delivery": ["", "", "2027-06-01", "2026-01-01", "9999-12-31", "1"],
    "averaging_start": ["2026-02-01", "2025-12-01", "2026-01-02", "0001-01-01", "2027-01-02", "", "x"],
    "dividends": ["", "", "2026-01-20:1", "2026-01-20:99", "2026-01-20:1e308 2026-01-21:1e308", ":", "a:b", ";;"],
    "barrier_type": ["", "up_in", "up_out", "down_in", "down_out", "up"],
    "payout": ["", "cash", "asset", "x"],
    "payment": ["", "expiry", "hit"],
    "average": ["", "geometric", "arithmetic"],
    "quote": ["", "", "USD", "EUR"],
    "settlement_currency": ["", "", "USD", "BTC", "JPY"],
}
NUMBERS = ["", "", "", 0, 1, -1, 100, 110, 0.05, 0.2, 1e-300, 1e300, -1e300, "inf", "-inf", "nan", "1e999", 5e-324, "x"]


def cells() -> st.SearchStrategy[Row]:
    columns = [*OPTIONAL, *(name for family in FAMILIES.values() for name in family.columns)]
    wild = st.one_of(st.sampled_from(NUMBERS), st.floats(width=64), st.text(max_size=4))
    return st.fixed_dictionaries(
        {"kind": st.sampled_from(CELLS["kind"])},
        optional={name: st.sampled_from(CELLS[name]) if name in CELLS else wild for name in dict.fromkeys(columns)},
    )


GOOD = [OPTION, {**OPTION, "exercise": "american"}, BARRIER, BARRED, TOUCH, DIGITAL, ASIAN, RUNNING, FUTURE]


@settings(max_examples=60, deadline=None, phases=[Phase.explicit, Phase.generate])  # shrinking takes minutes
@given(st.lists(cells(), min_size=1, max_size=8), st.lists(st.tuples(st.sampled_from(GOOD), cells()), max_size=4))
def test_garbage_is_refused_or_valued(wild: list[Row], nearly: list[tuple[Row, Row]]) -> None:
    """One bad cell in a good row, or nothing but bad cells: whatever happens is said, and nothing crashes."""
    rows = [*wild]
    for good, change in nearly:
        at = sorted(change)[-1]
        rows.append({**good, at: change[at]})
    rows = [{**row, "instrument": f"X{at}"} for at, row in enumerate(rows)]
    try:
        resolved(*rows)
    except InputError as error:
        said = [int(p.partition(":")[0].removeprefix("row ")) for p in error.problems]
        assert all(1 <= at <= len(rows) for at in said)
        rows = [row for at, row in enumerate(rows, 1) if at not in said]
    assert len(resolved(*rows)) == len(rows) if rows else True, "what was not refused is sound"
    for row in rows[-2:]:
        with suppress(McvarError):  # values that are not finite
            value(row)
