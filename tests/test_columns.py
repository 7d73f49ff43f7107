import datetime as dt
import decimal

import numpy as np
import pytest

from mcvar.columns import Columns, parse_time
from mcvar.errors import SHOWN, InputError


def one(name: str, cell: object) -> Columns:
    return Columns.from_mapping("file.csv", {"instrument": ["X"], name: [cell]})


def test_rows_are_named_by_their_lines() -> None:
    table = Columns("f.csv", {"a": np.array(["x", "y"], dtype=object)}, "line", np.array([2, 7]))
    assert [table.where(row) for row in range(2)] == ["line 2", "line 7"]
    assert Columns.of("t", a=[1, 2]).where(np.int64(1)) == "row 2"


@pytest.mark.parametrize("column", ["A", 5, None, [[1, 2], [3, 4]], [[1], [2, 3]], {1, 2}, np.zeros((2, 2))])
def test_a_column_is_a_list_of_cells(column: object) -> None:
    with pytest.raises(InputError, match="column 'a' is not a list of single cells"):
        Columns.from_mapping("t", {"a": column})  # type: ignore[dict-item]  # wrong on purpose


def test_columns_of_different_length() -> None:
    with pytest.raises(InputError, match="different length: a 1, b 2"):
        Columns.of("t", a=[1], b=[1, 2])


def test_unknown_and_missing_columns_are_named_together() -> None:
    with pytest.raises(InputError) as caught:
        Columns.of("f.csv", acount=["A"], quantty=[1]).check_names(("account", "quantity"), ("role",))
    assert len(caught.value.problems) == 4
    for said in ("'account' is missing", "'quantity' is missing", "'acount'", "'quantty'", "f.csv", "role"):
        assert said in str(caught.value)


@pytest.mark.parametrize(
    ("cell", "text"),
    [
        (" x ", "x"), (None, ""), (float("nan"), ""), ("", ""), (7, "7"), (7.0, "7"), (7.5, "7.5"), (2**60, str(2**60)),
        (decimal.Decimal("1.50"), "1.50"), (dt.date(2026, 1, 2), "2026-01-02"),
    ],
)  # fmt: skip
def test_texts(cell: object, text: str) -> None:
    assert one("name", cell).texts("name") == [text]


def test_names_that_are_numbers_read_the_same_from_any_column_type() -> None:
    for cells in ([1001, 7], [1001.0, 7.0], ["1001", "7"], np.array([1001, 7], dtype=np.uint16), ["1001", 7]):
        assert Columns.of("t", account=cells).texts("account") == ["1001", "7"]


def test_absent_columns_are_blank() -> None:
    table, problems = one("a", 1), list[str]()
    assert table.texts("b", "x") == ["x"]
    assert table.floats("b", problems, 2.0).tolist() == [2.0]
    assert np.isnat(table.times("b", problems)).all()
    assert table.choices("b", ["x", "y"], problems, "y") == ["y"]
    assert problems == []


@pytest.mark.parametrize(
    ("cell", "number"),
    [
        ("1e3", 1000.0), (" 5 ", 5.0), ("-.5", -0.5), ("+2", 2.0), (3, 3.0), (np.float32(0.5), 0.5), (10**30, 1e30),
        (decimal.Decimal("1.50"), 1.5), ("1e400", np.inf), ("-inf", -np.inf),
    ],
)  # fmt: skip
def test_numbers(cell: object, number: float) -> None:
    problems: list[str] = []
    assert one("x", cell).floats("x", problems).tolist() == [number]
    assert problems == []


@pytest.mark.parametrize("cell", ["", "  ", None, float("nan"), np.float64("nan")])
def test_blank_numbers_take_the_default(cell: object) -> None:
    problems: list[str] = []
    assert one("x", cell).floats("x", problems, 1.0).tolist() == [1.0]
    assert Columns.of("t", x=[cell, 2.0]).floats("x", problems, 1.0).tolist() == [1.0, 2.0]
    assert problems == []


@pytest.mark.parametrize(
    "cell",
    [
        "1,000", "1_000", "0x10", "NaN", "nan", "-nan", "NULL", "NA", "5%", "1.2.3", "1 000", "--1", "1e", "true", True,
        dt.date(2026, 1, 1), np.datetime64("2026-01-01"), np.timedelta64(1, "s"), 1j, "x" * 500,
    ],
)  # fmt: skip
def test_what_is_not_a_number_is_a_problem(cell: object) -> None:
    problems: list[str] = []
    assert np.isnan(one("x", cell).floats("x", problems)).all()
    assert len(problems) == 1
    assert problems[0].startswith("row 1: x '")
    assert "of instrument 'X' is not a number such as" in problems[0]
    assert len(problems[0]) < 200


def test_unsigned_and_large_integers() -> None:
    assert Columns.of("t", x=np.array([2**64 - 1], dtype=np.uint64)).floats("x", []).tolist() == [2.0**64]
    assert Columns.of("t", x=np.array([2**53 + 1])).texts("x") == [str(2**53 + 1)]


@pytest.mark.parametrize(
    ("cell", "time"),
    [
        ("2026-03-27", "2026-03-27T00:00:00"),
        ("2026-03-27T08:00:00Z", "2026-03-27T08:00:00"),
        ("2026-03-27T09:00:00+01:00", "2026-03-27T08:00:00"),
        ("2026-03-27 08:00-02:30", "2026-03-27T10:30:00"),
        ("20260327", "2026-03-27T00:00:00"),
        (20260327, "2026-03-27T00:00:00"),
        (20260327.0, "2026-03-27T00:00:00"),
        (" 2026-03-27T08:00:00.000001Z ", "2026-03-27T08:00:00.000001"),
        (dt.date(2026, 3, 27), "2026-03-27T00:00:00"),
        (dt.datetime(2026, 3, 27, 9, tzinfo=dt.timezone(dt.timedelta(hours=1))), "2026-03-27T08:00:00"),
        (np.datetime64("2026-03-27"), "2026-03-27T00:00:00"),
        (np.datetime64("2026-03-27T08:00:00", "ns"), "2026-03-27T08:00:00"),
    ],
)
def test_times(cell: object, time: str) -> None:
    problems: list[str] = []
    assert one("expiry", cell).times("expiry", problems).tolist() == [np.datetime64(time, "us").item()]
    assert problems == []


@pytest.mark.parametrize(
    "cell",
    [
        "tomorrow", "2026-13-01", "2026-02-30", "27/03/2026", "2026", "NaT", "nan", "2026-03-27T25:00", "46108",
        46108.0, 1774598400, "9999-12-31T23:59:59-05:00", "0001-01-01T00:00:00+05:00", "2026-03-27T08:00:00+99:00",
        "12026-03-27",
    ],
)  # fmt: skip
def test_what_is_not_a_time_is_a_problem(cell: object) -> None:
    problems: list[str] = []
    assert np.isnat(one("expiry", cell).times("expiry", problems)).all()
    assert len(problems) == 1
    assert "of instrument 'X' is not an ISO time" in problems[0]


def test_times_beyond_the_calendar_are_value_errors() -> None:
    with pytest.raises(ValueError, match="outside the years 1 to 9999"):
        parse_time("9999-12-31T23:59:59-05:00")


def test_choices_name_what_there_is() -> None:
    problems: list[str] = []
    table = Columns.of("t", instrument=["X", "Y", "Z"], kind=["spot", "Spot", ""])
    table.choices("kind", ["", "spot", "cash"], problems, "")
    assert problems == ["row 2: kind 'Spot' of instrument 'Y' is not one of spot, cash"]
    table.choices("kind", ["spot", "cash"], problems, "")
    assert problems[-1] == "row 3: kind of instrument 'Z' is missing: write one of spot, cash"


def test_sound_rows_are_those_without_a_problem() -> None:
    table = Columns.of("t", x=["1", "a", "3", *["4"] * 9, "b"])
    problems: list[str] = []
    assert table.sound(problems).all()
    table.floats("x", problems)
    assert np.flatnonzero(~table.sound(problems)).tolist() == [1, 12]


def test_twenty_problems_are_written_out_and_the_rest_counted() -> None:
    problems: list[str] = []
    Columns.of("t", x=["bad"] * 25).floats("x", problems)
    message = str(InputError("f.csv", problems))
    assert message.startswith("f.csv: 25 problems\n")
    assert "row 20: x 'bad'" in message
    assert "row 21" not in message
    assert message.endswith(f"... and {25 - SHOWN} more")
