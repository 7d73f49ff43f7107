"""Tables as CSV that reads back the same: numbers with all their bits, times in UTC, blanks for what is not given."""

from __future__ import annotations

import csv
import math
from pathlib import Path
from typing import Any

import numpy as np

from mcvar.columns import Columns


def write_table(path: str | Path, table: Columns) -> Path:
    """Write a table, the same bytes for the same cells.

    Parameters
    ----------
    path : str or Path
    table : Columns
        NaN, NaT, None and "" are blank cells.

    Returns
    -------
    Path

    Examples
    --------
    >>> import tempfile
    >>> table = Columns.of("t", name=["A", "B"], level=[0.1, np.nan], time=np.array(["2026-01-02T08", "NaT"], "M8[us]"))
    >>> with tempfile.TemporaryDirectory() as folder:
    ...     write_table(f"{folder}/t.csv", table).read_text().splitlines()
    ['name,level,time', 'A,0.1,2026-01-02T08:00:00Z', 'B,,']
    """
    path = Path(path)
    with path.open("w", newline="", encoding="utf-8") as file:
        writer = csv.writer(file, lineterminator="\n")
        writer.writerow(table.data)
        writer.writerows(zip(*(_cells(column) for column in table.data.values()), strict=True))
    return path


def time_text(time: np.datetime64) -> str:
    """ISO 8601 in UTC, to the microsecond where it needs it; "" for NaT.

    Examples
    --------
    >>> time_text(np.datetime64("2026-01-02T08:00:00.5", "us"))
    '2026-01-02T08:00:00.500000Z'
    """
    return "" if np.isnat(time) else str(time.astype("datetime64[us]")).removesuffix(".000000") + "Z"


def _cells(column: np.ndarray[Any, Any]) -> list[str]:
    if column.dtype.kind == "M":
        return [time_text(time) for time in column]
    return [_cell(value) for value in column.tolist()]


def _cell(value: Any) -> str:
    if isinstance(value, float):
        return "" if math.isnan(value) else repr(value)
    return "" if value is None else str(value)
