"""Scan tables in CSV: what comes back, and what is refused."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
import pytest
import scan_books
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from oracle import many

from mcvar.columns import Columns
from mcvar.errors import InputError, McvarError
from mcvar.io.contracts import Contract, described, name_of, parse_name
from mcvar.io.scan.tables import read_risk_arrays, read_scan_parameters, read_scan_tables
from mcvar.io.tables import read_table
from mcvar.scan.parameters import Commodity, Delivery, Leg, Parameters, Spread, Tier


@pytest.mark.parametrize("seed", range(5))
def test_what_is_written_reads_back_with_the_same_bits(tmp_path: Path, seed: int) -> None:
    arrays, parameters = scan_books.random(seed, points=(16, 3, 31)[seed % 3])
    files = scan_books.write(tmp_path / "a", arrays, parameters)
    assert f",{0.1 + 0.2!r}\n" in files[1].read_text()  # the delta unit of the first
    found = read_scan_tables(tmp_path / "a", tie=parameters.tie)
    scan_books.same(arrays, found.arrays)
    assert repr(found.parameters) == repr(parameters)  # repr: an unknown range is NaN
    again = scan_books.write(tmp_path / "b", found.arrays, found.parameters)
    assert [file.read_bytes() for file in again] == [file.read_bytes() for file in files]
    scan_books.same(read_risk_arrays(files[0]), arrays)
    assert repr(read_scan_parameters(tmp_path / "a", tie=parameters.tie)) == repr(parameters)


def test_columns_are_the_fields_of_the_nouns(tmp_path: Path) -> None:
    arrays, parameters = scan_books.random(0)
    heads = [file.read_text().splitlines()[0] for file in scan_books.write(tmp_path, arrays, parameters)]
    points = ",".join(f"a{s + 1}" for s in range(16))
    assert heads == [
        f"instrument,commodity,currency,month,option,value,delta,{points}",
        "commodity,currency,price_range,relative,volatility_range,relative_volatility,extreme,covered,lookahead,"
        "short_option_minimum,short_netted,delta_unit",
        "commodity,tier,first,last",
        "spread,kind,priority,charge,commodity,tier,ratio,side,credit",
        "commodity,month,spread,outright",
    ]


FILES = {
    "risk_arrays.csv": """instrument,commodity,currency,month,option,value,delta,a1,a2,a3
F,X,USD,202603,false,,1,0,-10,10
O,X,USD,202603,true,5.5,0.5,1,-6,4
G,Y,EUR,,FALSE,0,1,0,-20,20
""",
    "commodities.csv": "commodity,currency,price_range,covered\nX,USD,10,0.3\nY,EUR,,\n",
    "tiers.csv": "commodity,tier,first,last\nX,1,,202605\nX,2,202606,\n",
    "spreads.csv": """spread,kind,priority,charge,commodity,tier,ratio,side,credit
s,intra,1,2.5,X,1,1,A,
s,intra,1,2.5,X,2,1,B,
t,inter,1,,X,,1,1,0.6
t,inter,1,,Y,0,2,-1,0.5
""",
    "delivery.csv": "commodity,month,spread,outright\nX,202603,1,2\n",
}


def write(folder: Path, files: dict[str, str]) -> Path:
    folder.mkdir(exist_ok=True)
    for name, text in files.items():
        (folder / name).write_text(text)
    return folder


def test_tables_as_people_write_them(tmp_path: Path) -> None:
    found = read_scan_tables(write(tmp_path / "a", FILES))
    assert found.arrays.name == ("F", "O", "G")
    assert found.arrays.loss.tolist() == [[0, -10, 10], [1, -6, 4], [0, -20, 20]]
    assert found.arrays.value.tolist() == [0.0, 5.5, 0.0]
    assert found.arrays.option.tolist() == [False, True, False]
    x, y = found.parameters.commodities
    spread = Spread(1, (Leg("X", 1, 1.0, 1), Leg("X", 2, 1.0, -1)), 2.5)
    tiers, delivery = (Tier(1, "", "202605"), Tier(2, "202606")), (Delivery("202603", 1.0, 2.0),)
    want = Commodity("X", "USD", 10.0, covered=0.3, tiers=tiers, spreads=(spread,), delivery=delivery)
    assert np.isnan(x.lookahead)  # which the table does not have
    assert replace(x, volatility_range=0.0, lookahead=1 / 365) == want
    assert (y.covered, y.extreme) == (0.35, 2.0)
    assert np.isnan([x.volatility_range, y.price_range]).all()
    assert found.parameters.spreads == (Spread(1, (Leg("X", 0, 1.0, 1, 0.6), Leg("Y", 0, 2.0, -1, 0.5))),)
    few = {name: FILES[name] for name in ("risk_arrays.csv", "commodities.csv")}
    assert read_scan_tables(write(tmp_path / "b", few)).parameters.spreads == ()
    table = read_table(tmp_path / "a" / "risk_arrays.csv")
    (tmp_path / "a" / "risk_arrays.csv").unlink()
    pq.write_table(
        pa.table({name: list(column) for name, column in table.data.items()}), tmp_path / "a/risk_arrays.parquet"
    )
    scan_books.same(read_scan_tables(tmp_path / "a").arrays, found.arrays)


@pytest.mark.parametrize(
    ("file", "old", "new", "said"),
    [
        ("risk_arrays", "a3\n", "b3\n", "unknown column 'b3'"),
        ("risk_arrays", "a1,a2,a3\n", "a1,a2,a4\n", "column 'a3' is missing"),
        ("risk_arrays", "delta,", "gamma,", "column 'delta' is missing"),
        ("risk_arrays", "0,-10,10", "0,,10", "line 2: the array of 'F' has no finite a2: give all 3 points"),
        ("risk_arrays", "0,-10,10", "0,inf,10", "line 2: the array of 'F' has no finite a2"),
        ("risk_arrays", "0,-10,10", "0,ten,10", "line 2: a2 'ten' of instrument 'F' is not a number"),
        ("risk_arrays", "O,X", "F,X", "line 3: instrument 'F' is there twice"),
        ("risk_arrays", "O,X", "O,Z", "line 3: commodity 'Z' is unknown"),
        ("risk_arrays", "G,Y,EUR", "G,Y,", "line 4: currency is missing"),
        ("risk_arrays", "true,", "maybe,", "line 3: option 'maybe' of 'O' is not true or false"),
        ("risk_arrays", "202603,true", "2026-03,true", "line 3: month '2026-03' of 'O' is not YYYYMM"),
        ("risk_arrays", "FALSE,0,1", "FALSE,7,1", "line 4: 'G' is no option, so its value must be 0"),
        ("risk_arrays", "FALSE,0,1", "FALSE,0,", "line 4: delta of 'G' is missing"),
        ("commodities", "Y,EUR", "X,EUR", "line 3: commodity 'X' is there twice"),
        ("commodities", "10,0.3", "-10,0.3", "line 2: price_range -10 of 'X' must be a number of at least 0"),
        ("commodities", "10,0.3", "10,1.3", "line 2: covered 1.3 of 'X' must be a number between 0 and 1"),
        ("commodities", "price_range", "psr", "unknown column 'psr'"),
        ("commodities", "covered\nX,USD,10,0.3", "delta_unit\nX,USD,10,0", "line 2: delta_unit 0 of 'X' must be above"),
        ("commodities", "covered\nX,USD,10,0.3", "delta_unit\nX,USD,10,-5", "line 2: delta_unit -5 of 'X' must be a"),
        ("tiers", "X,2", "X,1", "line 3: tier 1 of 'X' is there twice"),
        ("tiers", "X,2", "X,2.5", "line 3: tier 2.5 of 'X' must be a whole number"),
        ("tiers", "X,2", "Q,2", "line 3: commodity 'Q' is unknown"),
        ("tiers", "1,,202605", "1,202606,202605", "line 2: tier 1 of 'X' ends 202605, before 202606"),
        ("spreads", "2.5,X,2", "2.5,X,3", "line 3: 's' names tier 3, which 'X' does not have"),
        ("spreads", "2.5,X,2,1,B", "2.5,X,2,1,A", "line 2: spread 's' needs legs on both sides"),
        ("spreads", "2.5,X,2,1,B", "2.5,X,2,0,B", "line 3: ratio 0 of 's' must be above 0"),
        ("spreads", "2.5,X,2,1,B", "2.5,Y,0,1,B", "line 2: spread 's' is intra, but its legs are of several"),
        ("spreads", "s,intra,1,2.5,X,2", "s,intra,1,2.6,X,2", "line 3: kind, priority or charge of 's' differs"),
        ("spreads", "inter,1", "outer,1", "line 4: kind 'outer' of spread 't' is not one of intra, inter"),
        ("spreads", "Y,0,2", "Z,0,2", "line 5: commodity 'Z' is unknown"),
        ("spreads", "-1,0.5", "-1,1.5", "line 5: credit 1.5 of 't' must be a number between 0 and 1"),
        ("spreads", "-1,0.5", "x,0.5", "line 5: side 'x' of 't' must be 1 or -1"),
        ("spreads", "1,2.5,X", "1,,X", "line 2: charge of 's' is missing: give the money that a spread pays, or 0"),
        ("spreads", "-1,0.5", "-1,", "line 5: credit of 't' is missing: give the fraction that a leg saves, or 0"),
        ("spreads", "X,1,1,A,", "X,1,1,A,0.2", "line 2: credit 0.2 of 's', which is intra: it has a charge alone"),
        ("delivery", "X,202603,1,2", "X,202603,1,-2", "line 2: outright -2 of 'X' must be a number of at least 0"),
        ("delivery", "X,202603,1,2", "X,202603,1,2\nX,202603,1,2", "line 3: month 202603 of 'X' is there twice"),
        ("delivery", "X,202603", "X,", "line 2: the delivery month of 'X' is missing"),
    ],
)
def test_what_is_wrong_is_said_with_its_file_and_line(tmp_path: Path, file: str, old: str, new: str, said: str) -> None:
    name = f"{file}.csv"
    assert old in FILES[name]
    with pytest.raises(InputError) as caught:
        read_scan_tables(write(tmp_path / "a", FILES | {name: FILES[name].replace(old, new)}))
    assert any(problem.startswith(f"{name} {said}") for problem in caught.value.problems), caught.value


def test_all_tables_are_checked_together(tmp_path: Path) -> None:
    bad = FILES | {
        "commodities.csv": FILES["commodities.csv"].replace("10,", "-10,"),
        "tiers.csv": FILES["tiers.csv"].replace("X,2", "Z,2"),
        "spreads.csv": FILES["spreads.csv"] + "u,inter,1,,X,,1,1,0\nu,inter,1,,Y,,1,-1,0\n",
    }
    with pytest.raises(InputError) as caught:
        read_scan_tables(write(tmp_path / "a", bad))
    assert [problem.partition(":")[0] for problem in caught.value.problems] == [
        "commodities.csv line 2", "tiers.csv line 3", "spreads.csv line 3", "spreads.csv line 6",
    ]  # fmt: skip
    assert "has priority 1, which 't' has" in caught.value.problems[-1]
    with pytest.raises(InputError) as caught:
        read_scan_tables(write(tmp_path / "b", {name: text.replace("commodity", "cc") for name, text in FILES.items()}))
    assert len({problem.split()[0] for problem in caught.value.problems}) == 5
    with pytest.raises(InputError, match="tie 'first' must be lowest or highest"):
        read_scan_tables(write(tmp_path / "c", FILES), tie="first")


def test_folders_without_tables(tmp_path: Path) -> None:
    with pytest.raises(InputError) as caught:
        read_scan_tables(tmp_path)
    assert [problem.split()[0] for problem in caught.value.problems] == ["risk_arrays.csv", "commodities.csv"]
    folder = write(tmp_path / "a", FILES | {"tiers.csv.gz": "x"})
    with pytest.raises(InputError, match="are both there: remove one"):
        read_scan_tables(folder)


@pytest.mark.parametrize(
    ("change", "said"),
    [
        ({"name": "a\tb"}, "has control characters"),
        ({"name": " I0"}, "has blanks around it"),
        ({"delta": np.nan}, "has a number that is not finite"),
        ({"value": np.inf}, "has a number that is not finite"),
        ({"loss": np.nan}, "has no finite a1"),
    ],
)
def test_what_could_not_be_read_back_is_not_written(tmp_path: Path, change: dict[str, Any], said: str) -> None:
    arrays, parameters = scan_books.random(1)
    if "name" in change:
        arrays = replace(arrays, name=(change["name"], *arrays.name[1:]))
    for field in ("delta", "value", "loss"):
        if field in change:
            column = getattr(arrays, field).copy()
            column[0] = change[field]
            arrays = replace(arrays, **{field: column})
    with pytest.raises(InputError, match=said):
        scan_books.write(tmp_path, arrays, parameters)
    with pytest.raises(InputError, match="is unknown"):
        scan_books.write(tmp_path, scan_books.random(1)[0], Parameters(()))
    assert list(tmp_path.iterdir()) == []


@pytest.mark.parametrize(
    "contract",
    [
        Contract("CBT", "06", "FUT", "202507"),
        Contract("NYM", "NY-HH", "FUT", "20250715"),
        Contract("A:B", "50%", "PHY"),
        Contract("CBT", "06", "OOF", "202507", "202508W2", "C", 145.0),
        Contract("NSE", "NIFTY", "OOP", "", "20260630", "P", 24000.5),
        Contract("X", "Y", "OOF", "202507", "202507", "P", -0.0065),
    ],
)
def test_names_say_what_a_contract_is(contract: Contract) -> None:
    found = parse_name(name_of(contract))
    assert found is not None
    assert repr(found) == repr(contract)


def test_names_that_are_none() -> None:
    for name in ("", "BTC-PERPETUAL", "A:B:C", "a:b:OOF:1:2:C:1e3", "a:b:OOF:1:2:C:x", "a:b:FUT:1:2:C:5", "a:b:OOF:1"):
        assert parse_name(name) is None, name
    assert len({name_of(Contract("A", "B:C", "FUT")), name_of(Contract("A:B", "C", "FUT"))}) == 2


def test_contracts_of_own_instruments() -> None:
    instruments = Columns.of(
        "instruments",
        instrument=["F", "C", "S"],
        kind=["future", "option", "spot"],
        underlying=["BTC", "BTC", "BTC"],
        option_type=["", "call", ""],
        strike=["", "65000", ""],
        expiry=["2026-03-27T08:00:00Z", "2026-03-27T08:00:00Z", ""],
    )
    found = described(["C", "F", "S", "Z"], instruments)
    assert found[0] == Contract("MCVAR", "BTC", "OOF", "20260327", "20260327", "C", 65000.0)
    assert repr(found[1]) == repr(Contract("MCVAR", "BTC", "FUT", "20260327"))
    assert [found.kind[2], found.kind[3]] == ["PHY", ""]


_TOKEN = st.sampled_from(
    ["", ",", "\n", '"', "-1", "1e999", "nan", "X", "true", "inter", "202613", "a4", "é", "\x00", " ", "0.5"]
)


@pytest.fixture(scope="module")
def scratch(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return tmp_path_factory.mktemp("tables")


@settings(max_examples=many(200), deadline=5000, suppress_health_check=list(HealthCheck))
@given(
    edits=st.lists(
        st.tuples(st.sampled_from(sorted(FILES)), st.integers(0, 300), st.integers(0, 8), _TOKEN), max_size=6
    )
)
def test_any_tables_are_read_or_refused(scratch: Path, edits: list[tuple[str, int, int, str]]) -> None:
    files = dict(FILES)
    for name, at, cut, token in edits:
        files[name] = files[name][:at] + token + files[name][at + cut :]
    try:
        found = read_scan_tables(write(scratch, files))
    except McvarError:
        return
    assert np.isfinite(found.arrays.loss).all()
    assert np.isfinite(found.arrays.value).all()
