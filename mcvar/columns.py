"""A table as people bring it: named columns, and where each row stands.

Readers in `mcvar.io` make `Columns` from files; Python users make them from lists. Only the
validating functions (`market.read_factors`, `book.resolve`, ...) read them, and what they find
wrong they collect, so that one error lists every bad row.
"""

from __future__ import annotations

import datetime as dt
import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any, SupportsInt

import numpy as np
from numpy.typing import NDArray

from mcvar.errors import InputError

Floats = NDArray[np.float64]


@dataclass(frozen=True)
class Columns:
    """Named columns of equal length; blank cells are "", None, or NaN that is a number.

    Parameters
    ----------
    source : str
        File name, or a name for the table in messages.
    data : mapping of str to array, each [n]
        Cells, text or numbers.
    unit : str
        What a row is called.
    lines : ndarray [n], optional
        The number of each row, such as its line in a file; 1 to n if not given.

    Examples
    --------
    >>> table = Columns.of("positions", account=["A"], quantity=[2.0])
    >>> table.where(0), table.floats("quantity", [])
    ('row 1', array([2.]))
    """

    source: str
    data: Mapping[str, NDArray[Any]]
    unit: str = "row"
    lines: NDArray[np.int64] | None = None

    @classmethod
    def of(cls, source: str, **columns: Sequence[Any] | NDArray[Any]) -> Columns:
        """Make a table from lists or arrays."""
        return cls.from_mapping(source, columns)

    @classmethod
    def from_mapping(cls, source: str, columns: Mapping[str, Sequence[Any] | NDArray[Any]]) -> Columns:
        """Make a table from a mapping of names to lists or arrays."""
        data: dict[str, NDArray[Any]] = {}
        for name, column in columns.items():
            try:
                array = np.asarray(column)
            except ValueError:  # lists of different length
                array = np.empty((0, 0))
            if array.ndim != 1:
                raise InputError(source, [f"column '{name}' is not a list of single cells: give one value a row"])
            if array.dtype.kind == "M":
                array = array.astype("datetime64[us]")
            data[name] = array if array.dtype.kind in "fiuM" else np.asarray(column, dtype=object)
        if len({len(column) for column in data.values()}) > 1:
            lengths = ", ".join(f"{name} {len(column)}" for name, column in data.items())
            raise InputError(source, [f"columns of different length: {lengths}"])
        return cls(source, data)

    def __len__(self) -> int:
        return len(next(iter(self.data.values()))) if self.data else 0

    def where(self, row: SupportsInt) -> str:
        """Where row `row` (counted from 0) stands in the source."""
        return f"{self.unit} {int(row) + 1 if self.lines is None else self.lines[int(row)]}"

    def check_names(self, required: Sequence[str], optional: Sequence[str] = ()) -> None:
        """Refuse missing and unknown columns, all named in one `InputError`."""
        known = (*required, *optional)
        problems = [
            f"column '{name}' is missing: the columns are {', '.join(required)}"
            + (f" and, optional, {', '.join(optional)}" if optional else "")
            for name in required
            if name not in self.data
        ]
        problems += [
            f"unknown column '{name}': remove or rename it; known are {', '.join(known)}"
            for name in self.data
            if name not in known
        ]
        if problems:
            raise InputError(self.source, problems)

    def texts(self, name: str, default: str = "") -> list[str]:
        """The column as text, stripped; blanks become `default`."""
        if name not in self.data:
            return [default] * len(self)
        return [_text(cell) or default for cell in self.data[name].tolist()]

    def floats(self, name: str, problems: list[str], default: float = math.nan) -> Floats:
        """The column as numbers [n]; blanks become `default`, bad cells go into `problems`."""
        if name not in self.data:
            return np.full(len(self), default)
        column = self.data[name]
        if column.dtype.kind in "fiu":
            numbers = column.astype(np.float64)
            numbers[np.isnan(numbers)] = default
            return numbers
        numbers = np.full(len(self), default)
        for row, cell in enumerate(column.tolist()):
            if text := _text(cell):
                try:
                    numbers[row] = _number(text)
                except ValueError:
                    problems.append(f"{self._cell(row, name, text)} is not a number such as 1000 or -2.5e-3")
        return numbers

    def choices(self, name: str, options: Sequence[str], problems: list[str], default: str) -> list[str]:
        """The column as one of `options`; blanks become `default`."""
        cells = self.texts(name, default)
        for row, cell in enumerate(cells):
            if cell not in options:
                said = "is not one of" if cell else "is missing: write one of"
                problems.append(f"{self._cell(row, name, cell)} {said} {', '.join(filter(None, options))}")
        return cells

    def times(self, name: str, problems: list[str]) -> NDArray[np.datetime64]:
        """The column as UTC times [n], datetime64[us]; blanks become NaT."""
        times = np.full(len(self), np.datetime64("NaT"), dtype="datetime64[us]")
        if name not in self.data:
            return times
        column = self.data[name]
        if column.dtype.kind == "M":
            return column.astype("datetime64[us]")
        for row, cell in enumerate(column.tolist()):
            if not (text := _text(cell)):
                continue
            try:
                times[row] = parse_time(text)
            except ValueError:
                problems.append(f"{self._cell(row, name, text)} is not an ISO time such as 2026-03-27T08:00:00Z")
        return times

    def sound(self, problems: Sequence[str]) -> NDArray[np.bool_]:
        """The rows that no problem starts with, [n]: what else is wrong with them can still be told."""
        bad = {problem.partition(":")[0] for problem in problems}
        return np.array([not bad or self.where(row) not in bad for row in range(len(self))], dtype=bool)

    def _cell(self, row: int, name: str, text: str) -> str:
        """Where a cell stands, what it says, and the name of its row, which is the cell of the first column."""
        key = next(iter(self.data))
        whose = "" if key in ("", name) else f" of {key} '{_text(self.data[key][row : row + 1].tolist()[0])}'"
        said = text if len(text) <= 60 else text[:60] + "..."
        return f"{self.where(row)}: {name}" + (f" '{said}'" if said else "") + whose


def parse_time(text: str) -> np.datetime64:
    """An ISO 8601 time as UTC; a bare date is its midnight.

    Examples
    --------
    >>> str(parse_time("2026-03-27T09:00:00+01:00"))
    '2026-03-27T08:00:00.000000'
    """
    moment = dt.datetime.fromisoformat(text)
    if moment.tzinfo is not None:
        try:
            moment = moment.astimezone(dt.UTC).replace(tzinfo=None)
        except OverflowError:
            raise ValueError(f"{text} is outside the years 1 to 9999 in UTC") from None
    return np.datetime64(moment, "us")


def _number(text: str) -> float:
    """A number as `float` reads it, less what only Python means: '1_000' and 'nan' (a blank is left blank)."""
    number = float(text)
    if "_" in text or math.isnan(number):
        raise ValueError(text)
    return number


def _text(cell: object) -> str:
    """A cell as text, stripped; "" for None and NaN; 7 for 7.0, since Parquet may store names as floats."""
    if isinstance(cell, str):
        return cell.strip()
    if isinstance(cell, float):
        return "" if math.isnan(cell) else f"{cell:.0f}" if cell.is_integer() and abs(cell) < 2**53 else str(cell)
    return "" if cell is None else str(cell)
