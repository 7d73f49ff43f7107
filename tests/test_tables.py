import datetime as dt
import decimal
import gzip
import os
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
import pytest
from hypothesis import given
from hypothesis import strategies as st

from mcvar.columns import Columns
from mcvar.errors import InputError
from mcvar.io.tables import digest, read_table


def read(folder: Path, content: bytes, name: str = "f.csv") -> Columns:
    (folder / name).write_bytes(content)
    return read_table(folder / name)


def cells(table: Columns) -> dict[str, list[Any]]:
    return {name: column.tolist() for name, column in table.data.items()}


@pytest.mark.parametrize(
    "content",
    [
        b"a,b\n1,x\n2,y\n",
        b"a,b\n1,x\n2,y",
        b"a,b\r\n1,x\r\n2,y\r\n",
        b"a,b\r1,x\r2,y\r",
        b"\xef\xbb\xbfa,b\n1,x\n2,y\n",
        b'"a","b"\n"1","x"\n2,y\n',
        b" a , b\n1,x\n2,y\n",
        b"a,b\n\n1,x\n   \n,\n2,y\n\n\n",
        b"\n\n \na,b\n1,x\n2,y\n",
        b"a,b,\n1,x,\n2,y,\n",
        gzip.compress(b"a,b\n1,x\n2,y\n", mtime=0),
    ],
)
def test_spellings_of_one_table(tmp_path: Path, content: bytes) -> None:
    for name in ("f.csv", "f.CSV.GZ", "f.txt", "f"):
        assert cells(read(tmp_path, content, name)) == {"a": ["1", "2"], "b": ["x", "y"]}


def test_cells_stay_text(tmp_path: Path) -> None:
    content = 'a,b,ä\n"x, y",NaN,€\n007,,"say ""hi"""\n'.encode()
    assert cells(read(tmp_path, content)) == {"a": ["x, y", "007"], "b": ["NaN", ""], "ä": ["€", 'say "hi"']}


def test_lines_are_those_of_the_file(tmp_path: Path) -> None:
    table = read(tmp_path, b"\n\na,b\n1,x\n\n   \n2,y\n,\n3,z\n")
    assert [table.where(row) for row in range(3)] == ["line 4", "line 7", "line 9"]
    with pytest.raises(InputError) as caught:
        read(tmp_path, b"\n\na,b\n1,x\n\n2\n   \n3,y,z\n")
    assert [problem.partition(":")[0] for problem in caught.value.problems] == ["line 6", "line 8"]


def test_header_only(tmp_path: Path) -> None:
    for content in (b"a,b\n", b"a,b", b"a,b\n\n\n"):
        assert cells(read(tmp_path, content)) == {"a": [], "b": []}


def test_the_corner_of_a_matrix_may_be_blank(tmp_path: Path) -> None:
    assert cells(read(tmp_path, b",A\nA,1\n")) == {"": ["A"], "A": ["1"]}


@pytest.mark.parametrize(
    ("content", "said"),
    [
        (b"", "is empty: a table starts with a line of column names"),
        (b"\xef\xbb\xbf\r\n\r\n", "is empty"),
        (gzip.compress(b"", mtime=0), "is empty"),
        (b",,\n", "names no column"),
        (b"a,b\n1,2\n3\n4,5,6\n7,8\n", "line 3: 1 cells where the header has 2: '3'"),
        (b"a,b\n1,2\n3,4\n5", "line 4: 1 cells"),
        (b"a,a,b,b\n1,2,3,4\n", "column 'b' is there twice"),
        (b" a,a\n1,2\n", "column 'a' is there twice"),
        (b'a,b\n"x\ny",2\n', "column 'a' has a cell with a line break in it"),
        (b'"a\nx",b\n1,2\n', "has a cell with a line break in it"),
        (b'a,b\n1,2\n"x,2\n3,4\n', "line 3: 1 cells where the header has 2"),
        (b'a\n1\n"x\n3\n', "close the quotes"),
        ("a,b\n1,2\nÄ,2\n".encode("latin-1"), "line 3: byte 0xc4 is not UTF-8: save the file as CSV in UTF-8"),
        ("Ä,b\n1,2\n".encode("latin-1"), "line 1: byte 0xc4"),
        ("a,b\n1,2\n".encode("utf-16"), "not a text file"),
        (b"a,b\n" + b"1,2\n" * 3000 + b"\x00\n", "not a text file"),
        (bytes(range(256)) * 8, "not a text file"),
        (bytes(range(1, 256)) * 8, "not UTF-8"),
        (b"PAR1\x00\x00", "name a Parquet file .parquet"),
        (gzip.compress(b"a,b\n" + b"1,2\n" * 1000, mtime=0)[:-20], "check that it is complete"),
        (b"\x1f\x8b\x08", "check that it is complete"),
        (b"\x1f\x8bgarbage that says it is gzip", "check that it is complete"),
        (b'a\n"' + b"x" * 5_000_000, "check that it is complete"),
    ],
)
def test_bad_csv_files(tmp_path: Path, content: bytes, said: str) -> None:
    with pytest.raises(InputError) as caught:
        read(tmp_path, content)
    assert said in str(caught.value)
    assert caught.value.source == str(tmp_path / "f.csv")
    assert all(len(problem) < 500 for problem in caught.value.problems)


def test_damaged_gzip(tmp_path: Path) -> None:
    content = bytearray(gzip.compress("\n".join(["a", *map(str, range(10_000))]).encode(), mtime=0))
    content[len(content) // 2] ^= 0xFF
    with pytest.raises(InputError, match="check that it is complete"):
        read(tmp_path, bytes(content))


def test_all_ragged_lines_are_listed(tmp_path: Path) -> None:
    with pytest.raises(InputError) as caught:
        read(tmp_path, b"a,b\n" + b"1\n1,2\n" * 30)
    assert len(caught.value.problems) == 30
    assert caught.value.problems[-1].startswith("line 60: 1 cells")
    assert "... and 10 more" in str(caught.value)


def test_paths_that_are_no_files(tmp_path: Path) -> None:
    os.mkfifo(tmp_path / "pipe")
    for path, said in (
        (tmp_path, "is a folder"),
        (tmp_path / "none.csv", "does not exist"),
        (tmp_path / "none.parquet", "does not exist"),
        (tmp_path / "pipe", "not a regular file"),
        ("", "is a folder"),
        ("a\x00b", "does not exist"),
        ("x" * 5000, "too long"),
    ):
        with pytest.raises(InputError, match=said):
            read_table(path)


def test_digest(tmp_path: Path) -> None:
    (tmp_path / "f").write_bytes(b"abc")
    assert digest(tmp_path / "f") == "ba7816bf8f01cfea414140de5dae2223b00361a396177a9cb410ff61f20015ad"


def parquet(folder: Path, name: str = "f.parquet", **columns: Any) -> Columns:
    pq.write_table(pa.table(columns), folder / name)
    return read_table(folder / name)


def test_parquet_numbers(tmp_path: Path) -> None:
    table = parquet(
        tmp_path,
        i=pa.array([1, None, 3]),
        f=pa.array([0.5, None, 2.0], pa.float32()),
        d=pa.array([decimal.Decimal("1.50"), None, decimal.Decimal("-2.25")]),
        t=pa.array(["1e3", None, " 7 "]),
        c=pa.array([1.5, None, 1.5]).dictionary_encode(),
        n=pa.nulls(3),
    )
    problems: list[str] = []
    want = {"i": [1, 9, 3], "f": [0.5, 9, 2], "d": [1.5, 9, -2.25], "t": [1000, 9, 7], "c": [1.5, 9, 1.5], "n": [9] * 3}
    assert {name: table.floats(name, problems, 9.0).tolist() for name in want} == want
    assert problems == []
    assert table.where(0) == "row 1"


def test_parquet_names(tmp_path: Path) -> None:
    big = 2**53 + 1  # no float64
    table = parquet(
        tmp_path,
        "f.PARQUET",
        s=pa.array(["A", None]),
        l=pa.array(["A", ""], pa.large_string()),
        c=pa.array(["A", None]).dictionary_encode(),
        i=pa.array([1001, big]),
        n=pa.array([big, None]),
        f=pa.array([1001.0, None]),
        u=pa.array([2**64 - 1, 0], pa.uint64()),
    )
    want = {
        "s": ["A", ""], "l": ["A", ""], "c": ["A", ""], "i": ["1001", str(big)], "n": [str(big), ""],
        "f": ["1001", ""], "u": [str(2**64 - 1), "0"],
    }  # fmt: skip
    assert {name: table.texts(name) for name in want} == want


def test_parquet_times(tmp_path: Path) -> None:
    noon, berlin = dt.datetime(2026, 1, 2, 12), dt.timezone(dt.timedelta(hours=1))
    table = parquet(
        tmp_path,
        naive=pa.array([noon, None]),
        zone=pa.array([noon.replace(hour=13, tzinfo=berlin), None], pa.timestamp("ms", "Europe/Berlin")),
        fine=pa.array([1767355200_000000001, None], pa.timestamp("ns")),
        finer=pa.array([1767355200_000000001, None], pa.timestamp("ns", "America/New_York")),
        text=pa.array(["2026-01-02T13:00:00+01:00", ""]),
    )
    problems: list[str] = []
    for name in table.data:
        assert table.times(name, problems).tolist() == [noon, None]
    assert problems == []
    days = parquet(tmp_path, date=pa.array([dt.date(2026, 1, 2)]), long=pa.array([dt.date(2026, 1, 2)], pa.date64()))
    for name in days.data:
        assert days.times(name, problems).tolist() == [dt.datetime(2026, 1, 2)]
    days.floats("date", problems)
    assert len(problems) == 1, "a date is not a number"


def test_parquet_columns_that_cannot_be_cells(tmp_path: Path) -> None:
    with pytest.raises(InputError) as caught:
        parquet(
            tmp_path,
            ok=pa.array(["x"]),
            many=pa.array([[1, 2]]),
            record=pa.array([{"x": 1}]),
            raw=pa.array([b"\xff\xfe"]),
            far=pa.array([2**61], pa.timestamp("ms")),
        )
    assert [problem.split("'")[1] for problem in caught.value.problems] == ["many", "record", "raw", "far"]


def test_bad_parquet_files(tmp_path: Path) -> None:
    pq.write_table(pa.table({"a": list(range(1000))}), tmp_path / "good.parquet")
    good = (tmp_path / "good.parquet").read_bytes()
    for bad in (b"", b"a,b\n1,2\n", good[:-20], good[20:], good[:10] + b"\xff" * 60 + good[70:], b"PAR1"):
        with pytest.raises(InputError, match="cannot be read"):
            read(tmp_path, bad, "f.parquet")
    twice = pa.Table.from_arrays([pa.array([1]), pa.array([2])], names=["a", "a"])
    pq.write_table(twice, tmp_path / "twice.parquet")
    with pytest.raises(InputError, match="column 'a' is there twice"):
        read_table(tmp_path / "twice.parquet")


def test_folders_named_like_settings_add_no_columns(tmp_path: Path) -> None:
    folder = tmp_path / "seed=1"
    folder.mkdir()
    assert list(parquet(folder, a=[1]).data) == ["a"]


LINES = st.lists(st.sampled_from(["a", "b", "1", ",", '"', "\n", "\r", "\r\n", " ", "\x1c", "\xa0", "é"]), max_size=20)


@given(
    content=st.one_of(st.binary(max_size=80), st.text(max_size=80).map(str.encode), LINES.map("".join).map(str.encode))
)
def test_any_bytes_are_a_table_or_an_input_error(tmp_path_factory: pytest.TempPathFactory, content: bytes) -> None:
    folder = tmp_path_factory.getbasetemp()
    for name in ("fuzz.csv", "fuzz.parquet"):
        try:
            table = read(folder, content, name)
        except InputError:
            continue
        assert {len(column) for column in table.data.values()} <= {len(table)}
        assert len({table.where(row) for row in range(len(table))}) == len(table)


def test_a_hundred_thousand_lines(tmp_path: Path) -> None:
    count = 100_000
    body = b"".join(b"A%d,OPT-%d,%d\n" % (i % 100, i % 977, i % 7 - 3) for i in range(count))
    table = read(tmp_path, b"account,instrument,quantity\n" + body)
    problems: list[str] = []
    assert table.floats("quantity", problems).sum() == sum(i % 7 - 3 for i in range(count))
    assert table.where(count - 1) == f"line {count + 1}"
    assert np.all(table.sound(problems))
