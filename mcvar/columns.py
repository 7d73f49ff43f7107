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
    """Named columns of equal length; blank cells are "" or NaN.

    Parameters
    ----------
    source : str
        File name, or a name for the table in messages.
    data : mapping of str to array, each [n]
        Cells, text or numbers.
    unit, first : str, int
        How a row is named: `line 2` for the first row of a CSV file.

    Examples
    --------
    >>> table = Columns.of("positions", account=["A"], quantity=[2.0])
    >>> table.where(0), table.floats("quantity", [])
    ('row 1', array([2.]))
    """

    source: str
    data: Mapping[str, NDArray[Any]]
    unit: str = "row"
    first: int = 1

    @classmethod
    def of(cls, source: str, **columns: Sequence[Any]) -> Columns:
        """Make a table from lists or arrays."""
        return cls.from_mapping(source, columns)

    @classmethod
    def from_mapping(cls, source: str, columns: Mapping[str, Sequence[Any]]) -> Columns:
        """Make a table from a mapping of names to lists or arrays."""
        data: dict[str, NDArray[Any]] = {}
        for name, column in columns.items():
            array = np.asarray(column)
            data[name] = array if array.dtype.kind in "fiM" else np.asarray(column, dtype=object)
        if len({len(column) for column in data.values()}) > 1:
            lengths = ", ".join(f"{name} {len(column)}" for name, column in data.items())
            raise InputError(source, [f"columns of different length: {lengths}"])
        return cls(source, data)

    def __len__(self) -> int:
        return len(next(iter(self.data.values()))) if self.data else 0

    def where(self, row: SupportsInt) -> str:
        """Where row `row` (counted from 0) stands in the source."""
        return f"{self.unit} {int(row) + self.first}"

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
        if column.dtype.kind in "fi":
            numbers = column.astype(np.float64)
            numbers[np.isnan(numbers)] = default
            return numbers
        try:
            return column.astype(np.float64)  # the fast path: no blank, no bad cell
        except (TypeError, ValueError):
            numbers = np.full(len(self), default)
        for row, cell in enumerate(column.tolist()):
            if not (text := _text(cell)):
                continue
            try:
                numbers[row] = float(text)
            except ValueError:
                problems.append(f"{self.where(row)}: {name} '{text}' is not a number")
        return numbers

    def choices(self, name: str, options: Sequence[str], problems: list[str], default: str) -> list[str]:
        """The column as one of `options`; blanks become `default`."""
        cells = self.texts(name, default)
        for row, cell in enumerate(cells):
            if cell not in options:
                said = (
                    f"'{cell}' is not one of {', '.join(options)}"
                    if cell
                    else f"is missing: one of {', '.join(options)}"
                )
                problems.append(f"{self.where(row)}: {name} {said}")
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
                problems.append(f"{self.where(row)}: {name} '{text}' is not an ISO time such as 2026-03-27T08:00:00Z")
        return times


def parse_time(text: str) -> np.datetime64:
    """An ISO 8601 time as UTC; a bare date is its midnight.

    Examples
    --------
    >>> str(parse_time("2026-03-27T09:00:00+01:00"))
    '2026-03-27T08:00:00.000000'
    """
    moment = dt.datetime.fromisoformat(text)
    if moment.tzinfo is not None:
        moment = moment.astimezone(dt.UTC).replace(tzinfo=None)
    return np.datetime64(moment, "us")


def _text(cell: object) -> str:
    if cell is None or (isinstance(cell, float) and math.isnan(cell)):
        return ""
    return str(cell).strip()
