"""Scan files by their names: what is read, what is assumed, and what a file does not say."""

from __future__ import annotations

import gzip
import hashlib
import json
import math
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa
import pyarrow.parquet
import pytest
import scan_books
import test_pa2
import test_spn

from mcvar.errors import InputError, McvarError, SettingError
from mcvar.io.scan.about import about_text, read_about
from mcvar.io.scan.file import Stated
from mcvar.io.scan.tables import read_scan_tables
from mcvar.io.scan_read import read_scan
from mcvar.io.spn.write import write_spn
from mcvar.io.tables import read_table
from mcvar.scan.exchange.grid import Points
from mcvar.scan.grid import SPAN16, Grid
from mcvar.scan.parameters import Commodity, Parameters

PA2 = "\n".join(test_pa2.FILE) + "\n"
TABLES = {
    "risk_arrays.csv": "instrument,commodity,currency,month,option,value,delta,a1,a2,a3\nF,X,USD,,false,,1,0,-10,10\n",
    "commodities.csv": "commodity,currency,price_range,lookahead\nX,USD,10,\n",
}


def folder(path: Path, **more: str) -> Path:
    path.mkdir()
    for name, text in (TABLES | more).items():
        (path / name).write_text(text)
    return path


def sha(*paths: Path) -> dict[str, str]:
    return {str(path): hashlib.sha256(path.read_bytes()).hexdigest() for path in paths}


@pytest.mark.parametrize("packed", [False, True])
@pytest.mark.parametrize("name", ["f.pa2", "F.PA2", "f.spn", "f.xml", "span.20260102.spn"])
def test_files_are_known_by_their_endings(tmp_path: Path, name: str, packed: bool) -> None:
    content = (PA2 if "pa2" in name.lower() else test_spn.FILE).encode("latin-1")
    path = tmp_path / (name + ".gz" * packed)
    path.write_bytes(gzip.compress(content, mtime=0) if packed else content)
    found, read = read_scan(path)
    assert found.arrays.name[-1] == (
        "CME:NQ:FUT:202603" if "pa2" in name.lower() else "NSE:NIFTY:OOP:20260730:20260623:P:24000.5"
    )
    assert read == sha(path)


def test_a_folder_names_every_table_that_was_read(tmp_path: Path) -> None:
    arrays, parameters = scan_books.random(0)
    written = scan_books.write(tmp_path, arrays, parameters)
    assert [path.name for path in written] == [
        "risk_arrays.csv", "commodities.csv", "tiers.csv", "spreads.csv", "delivery.csv"
    ]  # fmt: skip
    (tmp_path / "tiers.csv.gz").write_bytes(gzip.compress((tmp_path / "tiers.csv").read_bytes(), mtime=0))
    (tmp_path / "tiers.csv").unlink()
    delivery = read_table(tmp_path / "delivery.csv")
    texts = pa.table({name: list(column) for name, column in delivery.data.items()})
    pyarrow.parquet.write_table(texts, tmp_path / "delivery.parquet")
    (tmp_path / "delivery.csv").unlink()
    (tmp_path / "positions.csv").write_text("not a table of ours\n")
    (tmp_path / "about.json").write_text(json.dumps({"currency": "USD"}))
    found, read = read_scan(tmp_path)
    names = ("risk_arrays.csv", "commodities.csv", "tiers.csv.gz", "spreads.csv", "delivery.parquet", "about.json")
    assert read == sha(*(tmp_path / name for name in names))
    assert repr(found.parameters.commodities) == repr(parameters.commodities)


@pytest.mark.parametrize("name", ["margins.txt", "folder-that-is-not-there", "f.spn.zip", "f.gz", ""])
def test_other_names_are_refused(tmp_path: Path, name: str) -> None:
    said = "give a folder of tables, or a file named .pa2, .spn or .xml"
    with pytest.raises(SettingError, match=said) as error:
        read_scan(tmp_path / "nothing" / name)
    assert "scan.file" in str(error.value)
    with pytest.raises(InputError, match="does not exist"):
        read_scan(tmp_path / "nothing.spn.gz")


# -- conventions


@pytest.mark.parametrize(
    ("ending", "said", "field"),
    [
        ("pa2", {"volatility": "fraction"}, lambda found: found.parameters.commodities[0].volatility_range),
        ("pa2", {"price_scan": "price"}, lambda found: found.parameters.commodities[0].price_range),
        ("spn", {"rate": 2}, lambda found: found.parameters.commodities[0].spreads[0].charge),
    ],
)
def test_conventions_reach_the_reader(tmp_path: Path, ending: str, said: dict[str, Any], field: Any) -> None:
    path = tmp_path / f"f.{ending}"
    path.write_text(PA2 if ending == "pa2" else test_spn.FILE)
    before, after = (field(read_scan(path, conventions=given)[0]) for given in ({}, said))
    expected = {"volatility": (0.25, 25.0), "price_scan": (120.0, 60.0), "rate": (425.0, 999.0)}[next(iter(said))]
    assert (before, after) == expected


def test_parts_are_added_to_those_that_are_known(tmp_path: Path) -> None:
    lines = [
        test_pa2.prices("CME", "ES", "OOF", align="7") if line[15:18] == "OOF" and line[0] == "P" else line
        for line in test_pa2.FILE
    ]
    path = tmp_path / "f.pa2"
    path.write_text("\n".join(lines) + "\n")
    assert len(read_scan(path)[0].arrays) == 2  # the options' values are not known
    found, _ = read_scan(path, conventions={"parts": {7: 1}})
    assert found.arrays.value[1] == 50 * 45.75  # 0004575: 45.7, and half a tenth


@pytest.mark.parametrize(
    ("ending", "said", "problems"),
    [
        (
            "pa2", {"volatilty": "flag", "rates": "x"},
            [" has 'volatilty': those of .pa2 are parts, price_scan, rates, volatility", ".rates is 'x': give one of "],
        ),
        ("pa2", {"parts": {"C": 0}}, [".parts is \"{'C': 0}\": give whole numbers from 1"]),
        ("pa2", {"parts": 32}, [".parts is '32'"]),
        (
            "spn", {"rate": 0, "percent": "yes", "credits": None},
            [".rate is '0': give a whole", ".percent is 'yes': give true or", ".credits is 'None': give one of "],
        ),
        ("xml", {"volatility": "flag"}, [" has 'volatility': those of .xml are credits, percent, rate, risk_exponent"]),
    ],
)  # fmt: skip
def test_conventions_that_are_wrong_are_all_said(
    tmp_path: Path, ending: str, said: dict[str, Any], problems: list[str]
) -> None:
    with pytest.raises(SettingError) as error:
        read_scan(tmp_path / f"f.{ending}", conventions=said)
    assert all(f"scan.conventions{each}" in str(error.value) for each in problems), error.value


def test_tables_leave_nothing_open(tmp_path: Path) -> None:
    with pytest.raises(SettingError, match=r"scan.conventions has rate: tables leave nothing open"):
        read_scan(folder(tmp_path / "a"), conventions={"rate": 1})


# -- the look-ahead


def silent(path: Path, form: str) -> Path:
    """A file whose commodities, or some of them, do not state a look-ahead."""
    if form == "tables":
        return folder(path)
    path.mkdir()
    file = path / f"f.{form.partition(' ')[0]}"
    lines = list(test_pa2.FILE)
    if form == "pa2 blank":
        lines = [line[:79] + " " * 6 + line[85:] if line[:2] == "B " else line for line in lines]
    if form == "spn":
        file.write_text(test_spn.FILE.replace("<lookAheadYears>0.002739</lookAheadYears>", ""))
    else:
        file.write_text("\n".join(lines) + "\n")
    return file


@pytest.mark.parametrize(("form", "count"), [("tables", 1), ("spn", 2), ("pa2", 1), ("pa2 blank", 2)])
def test_a_look_ahead_that_is_not_stated_is_not_known(tmp_path: Path, form: str, count: int) -> None:
    path = silent(tmp_path / "a", form)
    found, _ = read_scan(path)
    stated = [c.lookahead for c in found.parameters.commodities]
    assert sum(map(math.isnan, stated)) == count
    assert [c for c in stated if not math.isnan(c)] == [1 / 365] * (len(stated) - count)
    assert any(
        f"does not state the look-ahead of {count} commodities" in note and "not known" in note for note in found.notes
    )
    filled, _ = read_scan(path, lookahead_days=1.0)
    assert [c.lookahead for c in filled.parameters.commodities] == [1 / 365] * len(stated)
    assert any("taken as 1 days, by scan.lookahead" in note for note in filled.notes)


def test_a_look_ahead_that_is_stated_is_not_changed(tmp_path: Path) -> None:
    path = tmp_path / "f.spn"
    path.write_text(test_spn.FILE)
    found, _ = read_scan(path, lookahead_days=1.0)
    assert [c.lookahead for c in found.parameters.commodities] == [1 / 365] * 2  # 0.002739 to its last digit
    assert not any("look-ahead" in note for note in found.notes)
    with pytest.raises(
        SettingError, match=r"scan.lookahead is 2 days, and scan.file says 1 for NIFTY, 1 for BANK: drop"
    ):
        read_scan(path, lookahead_days=2.0)
    for bad in (-1.0, math.nan, math.inf):
        with pytest.raises(SettingError, match="give the days until"):
            read_scan(path, lookahead_days=bad)
    path.write_text(test_spn.FILE.replace("0.002739", "0.003"))
    assert read_scan(path)[0].parameters.commodities[0].lookahead == 0.003  # no whole days
    path.write_text(test_spn.FILE.replace("0.002739", "-1"))
    with pytest.raises(InputError, match="lookAheadYears -1 is negative"):
        read_scan(path)


def test_an_unknown_look_ahead_survives_every_form(tmp_path: Path) -> None:
    arrays, parameters = scan_books.random(3)
    first = replace(parameters.commodities[0], lookahead=math.nan)
    parameters = replace(parameters, commodities=(first, *parameters.commodities[1:]))
    scan_books.write(tmp_path, arrays, parameters)
    file = write_spn(tmp_path / "f.spn", arrays, parameters, date="20260102", contracts=scan_books.terms(arrays))
    for path in (tmp_path, file):
        assert repr(read_scan(path, tie=parameters.tie)[0].parameters) == repr(parameters)


def test_look_aheads_that_differ_by_contract_are_noted(tmp_path: Path) -> None:
    lines = [line.replace("002740", "005479") if line[:2] == "B " and "FUT" in line else line for line in test_pa2.FILE]
    path = tmp_path / "f.pa2"
    path.write_text("\n".join(lines) + "\n")
    found, _ = read_scan(path)
    assert found.parameters.commodities[0].lookahead == 2 / 365
    assert any("look-aheads that differ by contract" in note for note in found.notes)


@pytest.mark.parametrize(
    ("method", "netted", "noted"), [("GROSS", False, False), ("NET", True, False), ("MAX", False, True)]
)
def test_short_options_are_netted_where_the_file_says_so(
    tmp_path: Path, method: str, netted: bool, noted: bool
) -> None:
    path = tmp_path / "f.spn"
    path.write_text(test_spn.FILE.replace("GROSS", method))
    found, _ = read_scan(path)
    nifty, bank = found.parameters.commodities
    assert (nifty.short_netted, bank.short_netted) == (netted, False)
    assert any("minimum method" in note for note in found.notes) == noted


# -- about.json

THREE = Points(
    "three", np.array([0.0, 1 / 3, 1 / 3]), np.array([0.0, 1.0, -1.0]), np.array([1.0, 1.0, 0.35]), np.zeros(3, bool),
    ("",) * 3,
)  # fmt: skip
STATED = Stated(2.0, np.datetime64("2026-01-02T08:00:00.000001", "us"), "EUR", {"A": 0.1 + 0.2, "B": -1e-300})


def test_about_comes_back_with_the_same_bits(tmp_path: Path) -> None:
    text = about_text(THREE, STATED, 1 / 365, version="0", command="mcvar", tie="highest", notes=["n"])
    path = folder(tmp_path / "a", **{"about.json": text})
    found = read_scan_tables(path)
    assert found.stated == STATED
    assert found.parameters.tie == "highest"
    assert found.grid is not None
    assert found.grid.name == "three"
    for field in ("price", "volatility", "weight"):
        assert getattr(found.grid, field).tobytes() == getattr(THREE, field).tobytes()
    assert found.grid.pair.tolist() == [0, 2, 1]
    assert found.parameters.commodities[0].lookahead == 1 / 365  # which commodities.csv leaves blank
    own = Grid("own", np.zeros(3), np.zeros(3), np.ones(3), np.array([2, 1, 0]))
    (path / "about.json").write_text(about_text(own, Stated(), math.nan, version="0", command=""))
    found = read_scan_tables(path)
    assert found.grid is not None
    assert found.grid.pair.tolist() == [2, 1, 0]
    assert found.stated is not None
    assert math.isnan(found.stated.days)
    assert np.isnat(found.stated.valuation)
    assert (found.stated.currency, found.stated.level) == ("", {})
    assert math.isnan(found.parameters.commodities[0].lookahead)


def test_xml_of_our_own_says_what_it_was_made_of(tmp_path: Path) -> None:
    arrays, parameters = scan_books.random(0)
    terms = scan_books.terms(arrays)
    path = write_spn(tmp_path / "f.spn", arrays, parameters, date="20260102", contracts=terms, stated=STATED)
    assert read_scan(path)[0].stated == STATED
    path.write_text(path.read_text().replace('"days":2.0', '"days":"two"'))
    with pytest.raises(InputError, match="days is 'two': give a number"):
        read_scan(path)
    path.write_text(test_spn.FILE)
    assert read_scan(path)[0].stated is None


def test_points_without_pairs_are_paired_by_price(tmp_path: Path) -> None:
    points = [
        {"price": p, "volatility": v, "weight": w}
        for p, v, w in zip(SPAN16.price, SPAN16.volatility, SPAN16.weight, strict=True)
    ]
    path = tmp_path / "about.json"
    path.write_text(json.dumps({"grid": {"name": "g", "points": points}}))
    grid = read_about(path).grid
    assert grid is not None
    assert grid.pair.tolist() == SPAN16.pair.tolist()


POINT = {"price": 0, "volatility": 0, "weight": 1}


@pytest.mark.parametrize(
    ("said", "problems"),
    [
        ("{", ["cannot be read"]),
        ([], ["it is no object"]),
        ({"dayz": 1, "days": -1, "currency": "USD"}, ["unknown key 'dayz'", "days is '-1': give a number from 0"]),
        ({"valuation": "yesterday", "levels": {"A": "x"}}, ["valuation 'yesterday' is not an ISO", "levels: A is 'x'"]),
        ({"levels": [1]}, ["levels are not numbers by factor"]),
        ({"lookahead_days": True, "tie": "x"}, ["lookahead_days is 'True'", "tie is 'x': it must be lowest or"]),
        ({"grid": {"name": "g"}}, ["grid has no points"]),
        ({"grid": {"points": [POINT]}}, ["the grid has 1 points, and the risk arrays have 3"]),
        ({"grid": {"points": [POINT | {"size": 1}]}}, ["points have 'size'"]),
        ({"grid": {"points": [POINT, {"price": 1}]}}, ["point 2 has no volatility", "point 2 has no weight"]),
        ({"grid": {"points": [POINT | {"pair": 2}]}}, ["pair is the number of a point, 1 to 1"]),
        ({"grid": {"points": [POINT | {"extended": True}]}}, ["extended moves and skews"]),
    ],
)  # fmt: skip
def test_what_is_wrong_with_about_is_said(tmp_path: Path, said: Any, problems: list[str]) -> None:
    path = folder(tmp_path / "a", **{"about.json": said if isinstance(said, str) else json.dumps(said)})
    with pytest.raises(InputError) as error:
        read_scan(path)
    assert error.value.source == str(path / "about.json")
    assert all(each in str(error.value) for each in problems), error.value


def test_about_and_commodities_must_agree(tmp_path: Path) -> None:
    path = folder(tmp_path / "a", **{"about.json": json.dumps({"lookahead_days": 2})})
    (path / "commodities.csv").write_text(f"commodity,currency,lookahead\nX,USD,{1 / 365}\n")
    with pytest.raises(McvarError, match="lookahead_days is 2, and commodity 'X' has 1 days: make them agree"):
        read_scan(path)
    assert Parameters((Commodity("X", "USD", 1.0),)).commodities[0].lookahead == 1 / 365
