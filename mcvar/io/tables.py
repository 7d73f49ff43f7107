"""CSV and Parquet tables with the same columns; CSV may be gzipped."""

from __future__ import annotations

import csv
import hashlib
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa
import pyarrow.csv
import pyarrow.parquet
from numpy.typing import NDArray

from mcvar.columns import Columns
from mcvar.errors import InputError


def read_table(path: str | Path) -> Columns:
    """Read a table, every CSV cell as text, so that errors can quote what stands in the file.

    Parameters
    ----------
    path : str or Path
        `.parquet` or `.pq`, else CSV with a header line (`.gz` is unpacked).

    Raises
    ------
    InputError
        A file that is missing, empty, truncated or of another format; lines with too few or too many cells.
    """
    path = Path(path)
    if not path.is_file():
        what = "is a folder, not a file" if path.is_dir() else "does not exist"
        raise InputError(str(path), [f"the file {what}: check the path (relative paths start at {Path.cwd()})"])
    if path.suffix in (".parquet", ".pq"):
        table = _read_parquet(path)
        return Columns(str(path), {name: _array(table[name]) for name in _names(path, table)}, "row", 1)
    table = _read_csv(path)
    return Columns(str(path), {name: _array(table[name]) for name in _names(path, table)}, "line", 2)


def digest(path: str | Path) -> str:
    """SHA-256 of a file, for the record of a run."""
    with Path(path).open("rb") as file:
        return hashlib.file_digest(file, "sha256").hexdigest()


def _read_parquet(path: Path) -> pa.Table:
    try:
        return pyarrow.parquet.read_table(path)
    except (pa.ArrowException, OSError) as error:
        raise InputError(str(path), [f"not a readable Parquet file ({_first_line(error)}): write it again"]) from error


def _read_csv(path: Path) -> pa.Table:
    bad: list[str] = []

    def note(row: pyarrow.csv.InvalidRow) -> str:
        bad.append(
            f"line {row.number}: {row.actual_columns} cells where the header has {row.expected_columns}: {row.text!r}"
        )
        return "skip"

    try:
        with pa.input_stream(str(path), compression="detect") as file:
            header = file.read(4096)
        if b"\x00" in header:
            raise InputError(str(path), ["not a text file: give CSV, or name a Parquet file .parquet"])
        table = pyarrow.csv.read_csv(
            path,
            read_options=pyarrow.csv.ReadOptions(use_threads=False),
            parse_options=pyarrow.csv.ParseOptions(invalid_row_handler=note, ignore_empty_lines=False),
            convert_options=pyarrow.csv.ConvertOptions(
                column_types=_all_text(header), strings_can_be_null=False, quoted_strings_can_be_null=False
            ),
        )
    except (pa.ArrowException, OSError, EOFError, UnicodeDecodeError) as error:
        remedy = "check that it is complete, in CSV with a header line and in UTF-8"
        raise InputError(str(path), [f"not a readable CSV file ({_first_line(error)}): {remedy}"]) from error
    if bad:
        raise InputError(str(path), bad)
    return table


def _all_text(header: bytes) -> dict[str, pa.DataType]:
    first = header.split(b"\n", 1)[0].decode("utf-8-sig", errors="replace").strip("\r")
    names = next(csv.reader([first]), [])
    return {name: pa.string() for name in names}


def _names(path: Path, table: pa.Table) -> list[str]:
    names = list(table.column_names)
    twice = sorted({name for name in names if names.count(name) > 1})
    if twice:
        raise InputError(str(path), [f"column '{name}' is there twice: remove one" for name in twice])
    return names


def _array(column: pa.ChunkedArray) -> NDArray[Any]:
    if pa.types.is_temporal(column.type):
        return np.asarray(column.cast(pa.timestamp("us")).to_numpy())
    if pa.types.is_floating(column.type) or pa.types.is_integer(column.type):
        return np.asarray(column.cast(pa.float64()).to_numpy())
    return np.asarray(column.cast(pa.string()).to_numpy(), dtype=object)


def _first_line(error: BaseException) -> str:
    return str(error).splitlines()[0] if str(error) else type(error).__name__
