"""What is exported gives the same numbers again, by the command that the export holds."""

from __future__ import annotations

import csv
import json
import shlex
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa
import pyarrow.parquet
import pytest
import scan_books
from hydra import compose, initialize_config_module

import mcvar
from mcvar import build
from mcvar import config as c
from mcvar.cli import register, to_config
from mcvar.export import export_files, overrides, stated_of
from mcvar.io.scan.tables import read_risk_arrays
from mcvar.io.scan_read import read_scan
from mcvar.precision import Precision
from mcvar.scan.arrays import RiskArrays
from mcvar.scan.exchange.grid import Points
from mcvar.scan.grid import SPAN16, Grid
from mcvar.scan.parameters import Commodity, Parameters
from mcvar.settings.model import Regime

FEW = c.SimulatedScenarios(count=2_048, seed=7)


def arrays_of(given: build.Inputs, points: int = 16) -> tuple[RiskArrays, Parameters]:
    """Some array for each instrument: what they are does not matter here."""
    i = given.book.instruments
    draw, size = np.random.default_rng(5), len(i)
    option = i.kind >= 4
    arrays = RiskArrays(
        i.name, ("X",), np.zeros(size, dtype=np.int64), ("USD",) * size, draw.normal(size=(size, points)),
        draw.normal(size=size), np.where(option, draw.random(size), 0.0), option, ("202603",) * size,
    )  # fmt: skip
    return arrays, Parameters((Commodity("X", "USD", 0.1, lookahead=1 / 365),))


def export(config: c.Config, folder: Path, grid: Grid | Points = SPAN16, span: bool = True) -> dict[str, Any]:
    """Write everything as a run does; the content of about.json."""
    given = build.inputs(config)
    arrays, parameters = arrays_of(given, len(grid))
    stated = stated_of(given.market, days=2.0)
    files = export_files(
        config, given, arrays, grid, parameters if span else None, stated=stated, lookahead=1 / 365
    )  # fmt: skip
    (folder / "export").mkdir()
    for name, write in files.items():
        write(folder / name)
    said: dict[str, Any] = json.loads((folder / "export" / "about.json").read_text())
    return said


def composed(arguments: list[str]) -> c.Config:
    register()
    with initialize_config_module(config_module="mcvar.configs", version_base="1.3"):
        return to_config(compose("config", overrides=arguments))


def assert_same_numbers(config: c.Config, folder: Path, monkeypatch: pytest.MonkeyPatch) -> mcvar.Report:
    """Run a book, export it, and run what was exported."""
    first = mcvar.run(config)
    program, *arguments = shlex.split(export(config, folder)["command"])
    assert program == "mcvar"
    monkeypatch.chdir(folder / "export")
    again = mcvar.run(composed(arguments))
    assert again.book.row == first.book.row
    assert (again.book.kind, again.book.currency) == (first.book.kind, first.book.currency)
    assert len(again.result.estimates) == len(first.result.estimates)
    for one, two in zip(first.result.estimates, again.result.estimates, strict=True):
        assert (one.measure, one.level) == (two.measure, two.level)
        for field in ("value", "low", "high"):
            assert getattr(one, field).tobytes() == getattr(two, field).tobytes(), (one.measure, field)
    assert np.nanmax(np.abs(first.estimate("var", 0.99).value)) > 0
    assert again.market.valuation == first.market.valuation
    return again


LEVELS = c.MeasureConfig(levels=[0.95, 0.99])


@pytest.mark.parametrize(
    "settings",
    [
        {},
        {
            "model": c.StudentTModel(dof=4.5, regime=Regime.larger, floor_years=3.0),
            "horizon": c.HorizonConfig(steps=5, decay=False), "sampling": c.StratifiedSampling(),
            "correlation": c.EwmaCorrelation(decay=0.97),
        },
        {"model": c.HistoricalModel()},
        {"market": c.SampleMarket(rate=0.031, currency="SPX"), "engine": c.NativeEngine()},
    ],
    ids=["gaussian", "student t", "historical", "other currency"],
)  # fmt: skip
def test_the_sample_book(tmp_path: Path, monkeypatch: pytest.MonkeyPatch, settings: dict[str, Any]) -> None:
    config = c.Config(book=c.SampleBook(accounts=9, seed=3), scenarios=FEW, measure=LEVELS)
    report = assert_same_numbers(replace(config, **settings), tmp_path, monkeypatch)
    with (tmp_path / "export" / "instruments.csv").open() as file:
        listed = {row["instrument"]: row["kind"] for row in csv.DictReader(file)}
    unheld = [listed.pop(name) for name in set(listed) - set(report.book.instruments.name)]
    assert set(listed) == set(report.book.instruments.name)
    assert set(unheld) == {"future"}


FACTORS = """factor,kind,underlying,tenor,level,volatility,shock,currency,rate,carry
XYZ,price,,,100.1,0.25,,,0.04,0.01
EUR,price,,,1.0999999999999999,0.1,,USD,,
BTC,price,,,60000,0.55,log,USD,0.04,0.04
OIL,price,,,-2.5,30,absolute,USD,0.03,0
SAP,price,,,180,0.3,simple,EUR,0.02,0.02
XYZ-V,vol,XYZ,0.25,0.25,0.8,,,,
EUR-R,rate,,0.5,0.02,0.01,,EUR,,
"""
MATRIX = """,XYZ,EUR,BTC,OIL,SAP,XYZ-V,EUR-R
XYZ,1,0.1,0.3,0.05,0.6,-0.6,0
EUR,0.1,1,0.1,0,0.1,0,0.2
BTC,0.3,0.1,1,0,0.2,-0.2,0
OIL,0.05,0,0,1,0,0,0
SAP,0.6,0.1,0.2,0,1,-0.4,0
XYZ-V,-0.6,0,-0.2,0,-0.4,1,0
EUR-R,0,0.2,0,0,0,0,1
"""
OF_XYZ = {"kind": "option", "underlying": "XYZ", "option_type": "call", "strike": "101", "expiry": "2026-04-17"}
OF_XYZ |= {"volatility": "0.3"}
ODD = 'X "a", 1'
INSTRUMENTS = [
    {"instrument": "XYZ", "kind": "spot", "underlying": "XYZ", "commodity": "Stock"},
    {**OF_XYZ, "instrument": ODD, "volatility": "", "dividends": "2026-02-13:0.5 2026-03-02:0.25", "multiplier": "1e2"},
    {**OF_XYZ, "instrument": "AM", "option_type": "put", "exercise": "american", "expiry": "2026-03-20T21:00:00+01:00"},
    {**OF_XYZ, "instrument": "BAR", "kind": "barrier", "barrier": "112", "barrier_type": "up_out", "rebate": "2"},
    {**OF_XYZ, "instrument": "DIG", "kind": "digital", "payout": "asset", "strike": "99.5"},
    {
        "instrument": "TOUCH", "kind": "digital", "underlying": "XYZ", "expiry": "2026-04-17", "barrier": "90",
        "barrier_type": "down_in", "payout": "cash", "cash": "5", "volatility": "0.3",
    },
    {
        **OF_XYZ, "instrument": "ASIAN", "kind": "asian", "average": "arithmetic", "averaging_start": "2025-12-15",
        "fixings": "20", "average_so_far": "98.5",
    },
    {**OF_XYZ, "instrument": "ON-F", "premium_style": "futures", "delivery": "2026-06-15"},
    {"instrument": "PERP", "kind": "perpetual", "underlying": "BTC", "settlement": "inverse", "funding": "0.1"},
    {
        **OF_XYZ, "instrument": "BTC-C", "underlying": "BTC", "strike": "70000", "settlement": "inverse",
        "expiry": "2026-03-27T08:00:00.000001Z", "commodity": "Coin",
    },
    {"instrument": "OIL-F", "kind": "future", "underlying": "OIL", "expiry": "2026-06-15", "multiplier": "1000"},
    {"instrument": "SAP-F", "kind": "future", "underlying": "SAP", "expiry": "2026-06-15"},
    {"instrument": "EUROS", "kind": "cash", "settlement_currency": "EUR"},
    {"instrument": "FUTURE-UNHELD", "kind": "future", "underlying": "OIL", "expiry": "2027-06-15"},
    {**OF_XYZ, "instrument": "OPTION-UNHELD"},
]  # fmt: skip
POSITIONS = """account,instrument,quantity,role
a,XYZ,1000,collateral
a,"X ""a"", 1",-10,
a,AM,-0.1,
a,AM,-0.2,
a,AM,0.3,
b,BAR,500,
b,TOUCH,-300,
b,DIG,-7,
b,ASIAN,250,
b,ON-F,-90,
7,PERP,600000,
7,BTC-C,-25,
c & d,OIL-F,3,
c & d,SAP-F,-12,
c & d,EUROS,1e5,
"""
ACCOUNTS = """account,parent,currency,kind
a,desk,EUR,mixed
b,desk,,exotic
7,,BTC,coins
c & d,desk,,macro
desk,,EUR,
"""


def files_config(folder: Path) -> c.Config:
    folder.mkdir()
    texts = {"F": FACTORS, "C": MATRIX, "P": POSITIONS, "A": ACCOUNTS}
    for name, text in texts.items():
        (folder / f"{name}.csv").write_text(text)
    with (folder / "I.csv").open("w", newline="") as file:
        writer = csv.DictWriter(file, list(dict.fromkeys(name for row in INSTRUMENTS for name in row)))
        writer.writeheader()
        writer.writerows(INSTRUMENTS)
    path = {name: str(folder / f"{name}.csv") for name in [*texts, "I"]}
    return c.Config(
        market=c.FilesMarket(factors=path["F"], correlation=path["C"], valuation="2026-01-02T00:00:00Z"),
        book=c.FilesBook(instruments=path["I"], positions=path["P"], accounts=path["A"]), scenarios=FEW,
        measure=LEVELS, engine=c.NativeEngine(), horizon=c.HorizonConfig(days=10.0),
    )  # fmt: skip


def test_a_book_of_everything(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    config = files_config(tmp_path / "in")
    assert_same_numbers(config, tmp_path, monkeypatch)
    found = {path.name for path in (tmp_path / "export").iterdir()}
    assert found == {
        "instruments.csv", "positions.csv", "accounts.csv", "factors.csv", "correlation.csv", "risk_arrays.csv",
        "commodities.csv", "tiers.csv", "spreads.csv", "delivery.csv", "risk_arrays.spn", "about.json",
    }  # fmt: skip
    listed = (tmp_path / "export" / "instruments.csv").read_text()
    assert "OPTION-UNHELD" not in listed
    assert "FUTURE-UNHELD" in listed  # what one delta is on may be said by it
    one, two = (read_scan(tmp_path / "export" / name)[0] for name in ("", "risk_arrays.spn"))
    scan_books.same(one.arrays, two.arrays)
    assert one.stated == two.stated
    assert one.parameters == two.parameters


def test_tables_in_parquet_with_numbers_for_names(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    config = files_config(tmp_path / "in")
    book = {"account": [1.0, 1.0, 22.0], "instrument": ["XYZ", "F", "F"], "quantity": [0.1 + 0.2, 3.0, -1e-7]}
    times = np.array(["NaT", "2026-06-15T08:00:00.000001"], dtype="M8[us]")
    listed = {"instrument": ["XYZ", "F"], "kind": ["spot", "future"], "underlying": ["XYZ", "XYZ"]}
    for name, columns in (("P", book), ("I", {**listed, "expiry": times, "multiplier": [None, 1 / 3]})):
        pyarrow.parquet.write_table(pa.table(columns), tmp_path / "in" / f"{name}.parquet")
    tables = c.FilesBook(*(str(tmp_path / "in" / f"{name}.parquet") for name in "IP"))
    report = assert_same_numbers(replace(config, book=tables), tmp_path, monkeypatch)
    assert report.book.row == ("1", "22", "*")
    assert not (tmp_path / "export" / "accounts.csv").exists()


def test_a_snapshot_of_an_exchange(shared: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    data = shared / "data"
    chain = data / "options/deribit/raw_deribit_options_snapshot_20260205T093647Z.csv.gz"
    market = c.DeribitMarket(
        snapshot=str(chain), history=str(data / "crypto/stitched_daily_close_btc_eth_sol_2017_2026.csv.gz")
    )
    book = c.DeribitBook(positions=str(data / "portfolios/synthetic_deribit_accounts_20260205T0936.csv"))
    config = c.Config(market=market, book=book, scenarios=FEW, measure=LEVELS, engine=c.NativeEngine())
    assert_same_numbers(config, tmp_path, monkeypatch)


# -- arrays


def test_arrays_and_their_grid_read_back(tmp_path: Path) -> None:
    config = c.Config(book=c.SampleBook(accounts=3))
    price, none = np.array([0.0, 0.5, 0.5, -1.0]), np.zeros(4, dtype=bool)
    grid = Points("mine", price, np.array([0.0, 1.0, -1.0, 0.0]), np.array([1.0, 1.0, 1.0, 0.3]), none, ("",) * 4)
    export(config, tmp_path, grid)
    found, read = read_scan(tmp_path / "export")
    given = build.inputs(config)
    arrays, parameters = arrays_of(given, 4)
    scan_books.same(found.arrays, arrays)
    assert found.parameters == parameters
    assert found.grid is not None
    assert (found.grid.name, found.grid.pair.tolist()) == ("mine", [0, 2, 1, 3])
    assert found.stated is not None
    assert (found.stated.days, found.stated.currency) == (2.0, "USD")
    assert found.stated.valuation == given.market.valuation
    assert found.stated.level == dict(zip(given.market.factors.name[:3], given.market.factors.level[:3], strict=True))
    assert {Path(path).name for path in read} == {
        "risk_arrays.csv", "commodities.csv", "tiers.csv", "spreads.csv", "delivery.csv", "about.json"
    }  # fmt: skip
    assert not (tmp_path / "export" / "risk_arrays.spn").exists()


def test_a_grid_that_is_none_of_span(tmp_path: Path) -> None:
    config = c.Config(book=c.SampleBook(accounts=3))
    wide = Points(
        "wide", np.array([0.0, 5.0]), np.array([1.0, 1.0]), np.array([1.0, np.nan]), np.array([False, True]), ("", "")
    )
    about = export(config, tmp_path, wide, span=False)
    names = {path.name for path in (tmp_path / "export").iterdir()}
    assert {"risk_arrays.csv", "about.json", "positions.csv", "history.csv"} <= names
    assert not names & {"commodities.csv", "tiers.csv", "risk_arrays.spn"}
    assert about["grid"]["points"][1] == {
        "price": 5.0, "volatility": 1.0, "weight": None, "extended": True, "skew": ""
    }  # fmt: skip
    assert any("no commodities.csv" in note for note in about["notes"])
    arrays, _ = arrays_of(build.inputs(config), 2)
    scan_books.same(read_risk_arrays(tmp_path / "export" / "risk_arrays.csv"), arrays)


def test_what_xml_has_no_place_for_is_left_out_of_it(tmp_path: Path) -> None:
    given = build.inputs(c.Config(book=c.SampleBook(accounts=3)))
    arrays, parameters = arrays_of(given)
    other = replace(arrays, name=(*arrays.name[:-1], "an option of elsewhere"), option=np.ones(len(arrays), dtype=bool))
    stated = stated_of(given.market, 1.0)
    files = export_files(c.Config(), given, other, SPAN16, parameters, stated=stated, lookahead=0.0)
    assert "export/risk_arrays.spn" not in files
    files["export/about.json"](tmp_path / "about.json")
    notes = json.loads((tmp_path / "about.json").read_text())["notes"]
    assert any("risk_arrays.spn is left out: " in note and "an option of elsewhere" in note for note in notes)


# -- the command


@pytest.mark.parametrize(
    "config",
    [
        c.Config(),
        c.Config(
            model=c.MertonModel(
                common={"intensity": 2.0, "correlation": 0.5, "factors": {"SPX": {"mean": -0.02, "deviation": 1e-05}}},
                own={"WTI": {"intensity": 1.5, "mean": 0.0, "deviation": 0.1}},
            ),
            scenarios=c.SimulatedScenarios(count=123, seed=0, until="0.5%", until_level=0.99),
            measure=c.MeasureConfig(levels=[0.975], interval=c.Interval.asymptotic, upper=0.9, pareto=True),
        ),
        c.Config(
            model=c.StudentTModel(dof=3.0, drift=c.Drift.zero, marginals={"SPX-VOL": "empirical", "a b": 5.0}),
            sampling=c.SobolSampling(scramblings=8), horizon=c.HorizonConfig(days=0.1 + 0.2, decay=False),
            pricing=c.PricingConfig(tolerance=1e-9), engine=c.NativeEngine(precision=Precision.mixed),
        ),
        c.Config(model=c.FilteredHistoricalModel(drift=c.Drift.martingale), sampling=c.ImportanceSampling()),
    ],
    ids=["default", "jumps", "t", "filtered"],
)  # fmt: skip
def test_settings_come_back_from_the_command_line(config: c.Config) -> None:
    again = composed(shlex.split(shlex.join(overrides(config))))
    for group in ("model", "scenarios", "sampling", "engine", "horizon", "measure", "pricing"):
        assert getattr(again, group) == getattr(config, group), group
    assert "scenarios.seed=" in " ".join(overrides(config))
