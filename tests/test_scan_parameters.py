"""SPAN parameters in tables for mcvar's own risk arrays: the sample book by hand, and what is wrong with tables."""

from __future__ import annotations

import gzip
import math
from collections.abc import Callable, Mapping
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from scipy import sparse

from mcvar.book import Book
from mcvar.build import inputs
from mcvar.building.scan.build import Scan, build_scan
from mcvar.columns import Columns
from mcvar.config import Config, SampleBook
from mcvar.engines import choose
from mcvar.errors import InputError, SettingError
from mcvar.instruments import Instruments
from mcvar.io.tables import digest
from mcvar.market import Market
from mcvar.scan.exchange.price import price_exchange
from mcvar.scan.exchange.system import Exchange
from mcvar.scan.pricing.contracts import Contracts, commodity_names, months
from mcvar.scan.span.algorithm import span
from mcvar.scan.span.margins import Margins
from mcvar.settings.scan import ScanConfig

DAY = 1 / 365
Sample = tuple[Market, Book, Columns | None]
MARCH, JUNE, TECH = "SPX-2019-03-15-F", "SPX-2019-06-21-F", "NASDAQ-2019-03-15-F"
TABLES = {
    "commodities": "commodity,currency,price_range,relative,volatility_range,relative_volatility,extreme,covered,"
    """short_option_minimum
SPX,USD,150,false,0.2,true,3,0.3,250
NASDAQ,USD,,,,,,,0
WTI,USD,2.5,false,0.25,true,,,0
ELSEWHERE,USD,,,,,,,0
""",
    "tiers": "commodity,tier,first,last\nSPX,1,,201903\nSPX,2,201904,\n",
    "spreads": """spread,kind,priority,charge,commodity,tier,ratio,side,credit
calendar,intra,1,300,SPX,1,1,A,
calendar,intra,1,300,SPX,2,1,B,
tech,inter,1,,SPX,0,2,A,0.7
tech,inter,1,,NASDAQ,0,3,B,0.6
""",
    "delivery": "commodity,month,spread,outright\nSPX,201903,3,7\n",
}


@pytest.fixture(scope="module")
def sample() -> Sample:
    given = inputs(Config(book=SampleBook(accounts=14)))
    return given.market, given.book, given.tables["instruments"]


def write(folder: Path, changes: Mapping[str, str | None] | None = None) -> str:
    folder.mkdir(exist_ok=True)
    for name, text in {**TABLES, **(changes or {})}.items():
        if text is not None:
            (folder / f"{name}.csv").write_text(text)
    return str(folder)


def build(sample: Sample, folder: str, **settings: Any) -> Scan:
    market, book, table = sample
    config = ScanConfig(parameters=folder, **{"price_range": 0.08, "lookahead": 0.0, "volatility_up": 0.3, **settings})
    names = commodity_names(market, book.instruments)
    return build_scan(config, market, book.instruments, names, variance=DAY, decay=DAY, table=table)


def margins(sample: Sample, exchange: Exchange, *accounts: Mapping[str, float]) -> tuple[Contracts, Margins]:
    market, book, _ = sample
    i = book.instruments
    contracts = price_exchange(market, book, commodity_names(market, i), exchange, choose("numpy"))
    held = sparse.csr_array(np.array([[account.get(name, 0.0) for name in i.name] for account in accounts]))
    assert exchange.parameters is not None
    return contracts, span(contracts.arrays, exchange.points.grid(), exchange.parameters, held)


def growth(i: Instruments, name: str) -> float:
    at = i.name.index(name)
    return math.exp(i.carry[at] * i.years[at])


def test_a_calendar_and_a_pair_on_the_sample_book_by_hand(sample: Sample, tmp_path: Path) -> None:
    """Futures of S&P 500 at 50 an index point, of NASDAQ at 20; ranges of 150 points and of 8 % of 6,584.52.

    calendar: 10 of March against 10 of June. A rise of 150 loses what June's forward grows by more; three of them, of
        which 30 % count, lose 0.9 times as much. 10 spreads at 300, and 10 deltas of March in spreads at 3.
    pair: 4 of S&P 500 in March against -6 of NASDAQ: 2 against 3 form 2 spreads; WFPR is what one delta loses in one
        range, and the credits 0.7 and 0.6 of 4 and 6 of them. 4 deltas of March outright at 7.
    """
    market, book, _ = sample
    i = book.instruments
    made = build(sample, write(tmp_path / "t"))
    calendar, pair = {MARCH: 10.0, JUNE: -10.0}, {MARCH: 4.0, TECH: -6.0}
    contracts, found = margins(sample, made.exchange, calendar, pair)
    march, june, tech = (growth(i, name) for name in (MARCH, JUNE, TECH))
    assert found.scan[0] == pytest.approx(10 * 50 * 150 * (june - march), rel=1e-9)
    assert (found.intra[0], found.delivery[0], found.credit[0]) == pytest.approx((3000.0, 30.0, 0.0), rel=1e-9)
    assert found.worst_scenario[0] == 11
    level = market.factors.level[market.factors.name.index("NASDAQ")]
    one, other = 50 * 150 * march, 20 * 0.08 * level * tech  # a delta of each, in one range
    assert found.scan[1] == pytest.approx(4 * one + 6 * other, rel=1e-9)
    assert found.credit[1] == pytest.approx(4 * one * 0.7 + 6 * other * 0.6, rel=1e-7)  # deltas are differences
    assert (found.intra[1], found.delivery[1]) == pytest.approx((0.0, 28.0), rel=1e-9)
    assert found.requirement[1] == pytest.approx(4 * one * 0.3 + 6 * other * 0.4 + 28, rel=1e-7)
    # the S&P 500 has extreme moves of its own, the others those of the grid
    at, to = i.name.index(MARCH), i.name.index(TECH)
    assert contracts.arrays.loss[at, 15] == pytest.approx(0.3 * 3 * 50 * 150 * march, rel=1e-9)
    assert contracts.arrays.loss[to, 15] == pytest.approx(0.35 * 2 * other, rel=1e-9)


def test_short_options_of_one_commodity_have_a_minimum(sample: Sample, tmp_path: Path) -> None:
    i = sample[1].instruments
    names = commodity_names(sample[0], i)
    cheap = next(n for n, c, sign, delta in zip(i.name, names, i.sign, i.delivery, strict=True) if sign and c == "SPX")
    tech = next(n for n, c, sign in zip(i.name, names, i.sign, strict=True) if sign and c == "NASDAQ")
    _, found = margins(sample, build(sample, write(tmp_path / "t")).exchange, {cheap: -5.0, tech: -5.0})
    assert found.minimum[0] == 5 * 250.0


def test_volatilities_move_by_each_commoditys_own_range(sample: Sample, tmp_path: Path) -> None:
    """20 % of S&P 500's volatilities, and the configuration's 30 % of NASDAQ's."""
    market, book, _ = sample
    i, names = book.instruments, commodity_names(*sample_of(sample))
    contracts, _ = margins(sample, build(sample, write(tmp_path / "t")).exchange, {})
    plain = ScanConfig(price_range=0.08, lookahead=0.0, volatility_up={"SPX": 0.2, "default": 0.3})
    one = build_scan(plain, market, i, names, variance=DAY, decay=DAY)
    other = price_exchange(market, book, names, one.exchange, choose("numpy"))
    mine = np.array([c != "WTI" for c in names])
    np.testing.assert_allclose(contracts.arrays.loss[mine, :2], other.arrays.loss[mine, :2], rtol=1e-12)


def sample_of(sample: Sample) -> tuple[Market, Instruments]:
    return sample[0], sample[1].instruments


def test_ranges_that_are_tried_out_scale_tables_too(sample: Sample, tmp_path: Path) -> None:
    made = build(sample, write(tmp_path / "t"))
    pair = {MARCH: 4.0, TECH: -6.0}
    _, one = margins(sample, made.exchange, pair)
    _, two = margins(sample, made.exchange.scaled(price=2.0), pair)
    assert two.scan[0] == pytest.approx(2 * one.scan[0], rel=1e-9)
    assert two.credit[0] == pytest.approx(2 * one.credit[0], rel=1e-7)
    scaled = made.exchange.scaled(volatility=3.0).parameters
    assert scaled is not None
    assert [c.volatility_range for c in scaled.commodities[:2]] == pytest.approx([0.6, 0.9])


def test_blank_ranges_are_found_and_noted_alone(sample: Sample, tmp_path: Path) -> None:
    made = build(sample, write(tmp_path / "t"), price_range=None, volatility_up=None, lookahead=None)
    assert [note.split(":")[0] for note in made.notes] == [
        "scan ranges of NASDAQ", "deltas of SPX are in units of 50", "deltas of NASDAQ are in units of 20"
    ]  # fmt: skip
    assert math.isnan(made.horizon)  # of what the others are, nobody says
    assert made.exchange.parameters is not None
    own = {c.name: c for c in made.exchange.parameters.commodities}
    assert own["NASDAQ"].relative
    assert own["NASDAQ"].price_range > 0
    assert (own["SPX"].price_range, own["SPX"].relative) == (150.0, False)
    assert {c.lookahead for c in own.values()} == {DAY}
    assert math.isnan(own["ELSEWHERE"].price_range)  # nothing of it is held
    assert build(sample, write(tmp_path / "t"), days=3.0).horizon == pytest.approx(3 * DAY)


def test_tables_are_inputs(sample: Sample, tmp_path: Path) -> None:
    folder = Path(write(tmp_path / "t", {"delivery": None}))
    tiers = (folder / "tiers.csv").read_bytes()
    (folder / "tiers.csv").unlink()
    (folder / "tiers.csv.gz").write_bytes(gzip.compress(tiers, mtime=0))
    (folder / "notes.csv").write_text("not a table\n")
    made = build(sample, str(folder))
    assert made.inputs == {
        str(folder / name): digest(folder / name) for name in ("commodities.csv", "tiers.csv.gz", "spreads.csv")
    }
    assert ScanConfig().parameters == ""


def test_cash_needs_no_row(make_market: Callable[..., Market], make_book: Callable[..., Book], tmp_path: Path) -> None:
    market = make_market([{"factor": "BTC", "level": 100.0}])
    rows = [
        {"instrument": "dollars", "kind": "cash", "settlement_currency": "USD"},
        {"instrument": "B", "kind": "perpetual", "underlying": "BTC"},
    ]
    book = make_book(market, rows, [("A", "dollars", 1e6), ("A", "B", 1.0)])
    blank = {"tiers": None, "spreads": None, "delivery": None}
    folder = write(
        tmp_path / "t", {"commodities": "commodity,currency,price_range,relative\nBTC,USD,16,false\n", **blank}
    )
    given = (market, book, None)
    made = build(given, folder, price_range=None)
    _, found = margins(given, made.exchange, {"dollars": 1e6, "B": 1.0})
    assert found.scan[0] == pytest.approx(16.0)
    # nor does it without tables
    plain = ScanConfig(price_range={"BTC": 0.16}, volatility_up={"BTC": 0.1}, lookahead=0.0)
    names = commodity_names(market, book.instruments)
    one = build_scan(plain, market, book.instruments, names, variance=DAY, decay=DAY)
    assert margins(given, one.exchange, {"dollars": 1e6, "B": 1.0})[1].scan[0] == pytest.approx(16.0)


@pytest.mark.parametrize(
    ("tables", "settings", "said"),
    [
        (
            {"commodities": "commodity,currency,price_range,volatility_range\nSPX,USD,150,0.2\n", "spreads": None},
            {"price_range": None, "volatility_up": None},
            ["commodity 'NASDAQ', of '", "commodity 'WTI', of '", "is not among the commodities: add its row"],
        ),
        (
            {"commodities": TABLES["commodities"].replace("150,false", "150,").replace("0.25,true", "0.25,")},
            {},
            [
                "commodity 'SPX' has a price_range of 150 and a blank relative: write true for a part",
                "commodity 'WTI' has a volatility_range of 0.25 and a blank relative_volatility",
            ],
        ),
        (
            {"commodities": "commodity,currency,price_range\nSPX,USD,0.05\nNASDAQ,USD,\nWTI,USD,\n", "spreads": None},
            {},
            ["commodity 'SPX' has a price_range of 0.05 and a blank relative"],
        ),
        (
            {"spreads": TABLES["spreads"].replace("NASDAQ", "DOW")},
            {},
            ["spreads.csv line 5", "commodity 'DOW' is unknown"],
        ),
        (
            {"commodities": TABLES["commodities"].replace("\nSPX,USD,150", "\nSPX,USD,-150")},
            {},
            ["commodities.csv line 2", "price_range -150"],
        ),
        (
            {"commodities": "commodity,currency,lookahead\nSPX,USD,\nNASDAQ,USD,0.01\nWTI,USD,0\n"},
            {"lookahead": 2.0},
            ["commodities.csv line 3: commodity 'NASDAQ' has a look-ahead of 3.65 days", "the scan one of 2", "line 4"],
        ),
        (
            {},
            {"points": [[0.0, 0.0, 1.0], [1.0, 0.0, 1.0], [-1.0, 0.0, 1.0], [2.0, 0.0, 0.35], [-2.0, 0.0, 0.35]]},
            ["line 2: commodity 'SPX' has extreme 3, and the points of span16 2", "covered 0.3, and the points"],
        ),
        ({"commodities": None}, {}, ["commodities.csv does not exist"]),
    ],
    ids=[
        "missing commodities", "blank flags", "no flags", "unknown legs", "negative ranges", "look-aheads",
        "extreme moves", "no commodities",
    ],
)  # fmt: skip
def test_what_is_wrong_with_tables(
    sample: Sample,
    tmp_path: Path,
    tables: dict[str, str | None],
    settings: dict[str, Any],
    said: list[str],
) -> None:
    with pytest.raises(InputError) as error:
        build(sample, write(tmp_path / "t", tables), **settings)
    for part in said:
        assert part in str(error.value), part


@pytest.mark.parametrize(
    ("settings", "said"),
    [
        ({"short_option_minimum": 1.0}, r"scan\.short_option_minimum is given, and so is scan\.parameters"),
        ({"price_range": 0.1}, r"scan\.price_range is given, and scan\.parameters has it for every commodity"),
        ({"volatility_up": 0.1}, r"scan\.volatility_up is given, and scan\.parameters has it"),
        ({"coverage": 0.9}, r"scan\.coverage is 0\.9, and all ranges are given"),
    ],
)
def test_settings_that_tables_leave_nothing_to(
    sample: Sample, tmp_path: Path, settings: dict[str, Any], said: str
) -> None:
    full = "commodity,currency,price_range,relative,volatility_range,relative_volatility\n"
    full += "".join(f"{name},USD,1,false,0,false\n" for name in ("SPX", "NASDAQ", "WTI"))
    with pytest.raises(SettingError, match=said):
        build(
            sample, write(tmp_path / "t", {"commodities": full}),
            **{"price_range": None, "volatility_up": None, **settings},
        )  # fmt: skip


def test_months_are_those_of_expiry_or_of_what_is_delivered(
    make_market: Callable[..., Market], make_book: Callable[..., Book]
) -> None:
    market = make_market([{"factor": "A", "level": 100.0}])
    ends = ["2026-02-28T23:59:59.999999", "2026-03-01", "2040-12-31T23:59:59.999999", "2041-01-01T00:00:00"]
    rows: list[dict[str, Any]] = [
        {"instrument": end, "kind": "future", "underlying": "A", "expiry": end, "carry": 0.0} for end in ends
    ]
    terms = {"kind": "option", "underlying": "A", "option_type": "put", "strike": 90.0, "volatility": 0.2}
    rows += [
        {**terms, "instrument": "on a future", "expiry": "2026-02-20", "delivery": "2026-03-20"},
        {**terms, "instrument": "on the spot", "expiry": "2026-02-20"},
        {"instrument": "for ever", "kind": "perpetual", "underlying": "A"},
    ]
    i = make_book(market, rows, [("X", row["instrument"], 1.0) for row in rows]).instruments
    expected = ("202602", "202603", "204012", "204101", "202603", "202602", "")
    found = dict(zip(i.name, months(market, i), strict=True))
    assert tuple(found[row["instrument"]] for row in rows) == expected


def test_the_grid_counts_where_it_is_not_spans(sample: Sample, tmp_path: Path) -> None:
    points = [[0.0, 0.0, 1.0], [1.0, 0.0, 1.0], [-1.0, 0.0, 1.0], [4.0, 0.0, 0.2], [-4.0, 0.0, 0.2]]
    commodities = TABLES["commodities"].replace("true,3,0.3,250", "true,4,0.2,250")
    made = build(sample, write(tmp_path / "t", {"commodities": commodities}), points=points)
    contracts, _ = margins(sample, made.exchange, {})
    one = 50 * 150 * growth(sample[1].instruments, MARCH)
    at = contracts.arrays.name.index(MARCH)
    np.testing.assert_allclose(contracts.arrays.loss[at], [0.0, -one, one, -0.8 * one, 0.8 * one], rtol=1e-9, atol=1e-7)
    assert made.exchange.parameters is not None
    moves = [(c.extreme, c.covered) for c in made.exchange.parameters.commodities]
    assert moves == [(4.0, 0.2)] * 4
    sixteen = replace(made.exchange.points.grid(), price=np.zeros(5))
    assert not sixteen.is_span


def test_a_month_in_no_tier_is_told(sample: Sample, tmp_path: Path) -> None:
    late = TABLES["tiers"].replace("SPX,2,201904,", "SPX,2,201904,201905")
    notes = build(sample, write(tmp_path / "t", {"tiers": late})).notes
    assert any(note.startswith("month 201906 of SPX ('SPX-2019-06") and "in no tier" in note for note in notes)
    assert not any("in no tier" in note for note in build(sample, write(tmp_path / "u")).notes)


@pytest.mark.parametrize("name", ["relative", "relative_volatility"])
def test_what_a_range_is_a_part_of_is_said_by_its_table(sample: Sample, tmp_path: Path, name: str) -> None:
    full = "commodity,currency,price_range,relative,volatility_range,relative_volatility\n"
    full += "".join(f"{name},USD,1,false,0,false\n" for name in ("SPX", "NASDAQ", "WTI"))
    folder = write(tmp_path / "t", {"commodities": full})
    with pytest.raises(SettingError, match=rf"scan\.{name} is false, and scan\.parameters has the range of every"):
        build(sample, folder, price_range=None, volatility_up=None, **{name: False})
    assert build(sample, write(tmp_path / "u"), **{name: False}).exchange.parameters is not None


def test_deltas_are_in_the_unit_that_the_table_says(sample: Sample, tmp_path: Path) -> None:
    """Ten March futures of 50 against ten of June are 20 spreads of deltas on 25."""
    head, *rest = TABLES["commodities"].splitlines()
    said = "\n".join([head + ",delta_unit", rest[0] + ",25", *(row + "," for row in rest[1:])]) + "\n"
    made = build(sample, write(tmp_path / "t", {"commodities": said}))
    assert "deltas of SPX are in units of 25: spread ratios and charges are for that" in made.notes
    _, found = margins(sample, made.exchange, {MARCH: 10.0, JUNE: -10.0})
    assert (found.intra[0], found.delivery[0]) == pytest.approx((6000.0, 60.0), rel=1e-9)
