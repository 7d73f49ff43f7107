"""CSV and Parquet tables with the same columns; CSV may be gzipped."""

from __future__ import annotations

import csv
import gzip
import hashlib
import io
import zlib
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa
import pyarrow.compute
import pyarrow.csv
import pyarrow.parquet
from numpy.typing import NDArray

from mcvar.columns import Columns
from mcvar.errors import InputError

_GZIP, _BOM = b"\x1f\x8b", b"\xef\xbb\xbf"


def read_table(path: str | Path) -> Columns:
    """Read a table, every CSV cell as text, so that errors can quote what stands in the file.

    Blank lines are left out; the others are known by their line numbers in the file.

    Parameters
    ----------
    path : str or Path
        `.parquet` or `.pq`, else CSV with a header line, plain or gzipped.

    Raises
    ------
    InputError
        A file that is missing, empty, truncated or of another format; lines with too few or too many cells.
    """
    path = Path(path)
    try:
        if not path.is_file():
            what = "is a folder, not a file" if path.is_dir() else "does not exist, or is not a regular file"
            raise InputError(str(path), [f"the file {what}: check the path (relative paths start at {Path.cwd()})"])
        return _read_parquet(path) if path.suffix.lower() in (".parquet", ".pq") else _read_csv(path)
    except (pa.ArrowException, OSError, EOFError, zlib.error, csv.Error, ValueError) as error:
        reason = next(iter(str(error).splitlines()), type(error).__name__)
        remedy = "check that it is complete: CSV with a header line in UTF-8, or Parquet in a file named .parquet"
        raise InputError(str(path), [f"cannot be read ({_clip(reason)}): {remedy}"]) from error


def digest(path: str | Path) -> str:
    """SHA-256 of a file, for the record of a run."""
    with Path(path).open("rb") as file:
        return hashlib.file_digest(file, "sha256").hexdigest()


def _read_parquet(path: Path) -> Columns:
    table = pyarrow.parquet.ParquetFile(path).read()  # not read_table, which makes columns of folders named a=b
    names = _check_names(path, table.column_names)
    problems: list[str] = []
    data = {name: _array(name, column, problems) for name, column in zip(names, table.columns, strict=True)}
    if problems:
        raise InputError(str(path), problems)
    return Columns(str(path), data)


def _read_csv(path: Path) -> Columns:
    content = path.read_bytes()
    content = (gzip.decompress(content) if content.startswith(_GZIP) else content).removeprefix(_BOM)
    if b"\x00" in content:
        raise InputError(str(path), ["not a text file: give CSV in UTF-8, or name a Parquet file .parquet"])
    body = content.lstrip()
    if not body:
        raise InputError(str(path), ["the file is empty: a table starts with a line of column names"])
    above = content[: len(content) - len(body)].count(b"\n")  # blank lines before the header
    _check_utf8(path, content)
    header = next(csv.reader(io.StringIO(body.decode(), newline=None)))
    keys = [str(i) for i in range(len(header))]
    left_out: set[int] = set()
    bad: list[str] = []

    def note(row: pyarrow.csv.InvalidRow) -> str:
        left_out.add(row.number + above)
        if row.text.strip():
            cells = f"{row.actual_columns} cells where the header has {row.expected_columns}"
            bad.append(f"line {row.number + above}: {cells}: {_clip(row.text)!r}")
        return "skip"

    table = pyarrow.csv.read_csv(
        pa.BufferReader(body + b"\n"),
        read_options=pyarrow.csv.ReadOptions(use_threads=False, skip_rows=1, column_names=keys),
        parse_options=pyarrow.csv.ParseOptions(
            invalid_row_handler=note, ignore_empty_lines=False, newlines_in_values=True
        ),
        convert_options=pyarrow.csv.ConvertOptions(
            column_types=dict.fromkeys(keys, pa.string()), strings_can_be_null=False, quoted_strings_can_be_null=False
        ),
    )
    cells = [np.asarray(column.to_numpy(), dtype=object) for column in table.columns]
    for name, column in zip(header, table.columns, strict=True):
        if "\n" in name or pyarrow.compute.any(pyarrow.compute.match_substring_regex(column, "[\r\n]")).as_py():
            bad.insert(0, f"column {name!r} has a cell with a line break in it: remove it, or close the quotes")
    if bad:
        raise InputError(str(path), bad)
    lines = np.arange(2 + above, 2 + above + table.num_rows + len(left_out))
    lines = lines[~np.isin(lines, list(left_out))]
    filled = np.logical_or.reduce([column.astype(bool) for column in cells])
    named = [(n.strip(), c[filled]) for n, c in zip(header, cells, strict=True) if n.strip() or any(c)]
    if not named:
        raise InputError(str(path), ["the first line names no column: a table starts with a line of column names"])
    _check_names(path, [name for name, _ in named])
    return Columns(str(path), dict(named), "line", lines[filled])


def _check_utf8(path: Path, content: bytes) -> None:
    try:
        content.decode()
    except UnicodeDecodeError as error:
        line = content[: error.start].count(b"\n") + 1
        found = f"line {line}: byte 0x{content[error.start]:02x} is not UTF-8"
        raise InputError(str(path), [f"{found}: save the file as CSV in UTF-8"]) from error


def _check_names(path: Path, names: Sequence[str]) -> Sequence[str]:
    twice = sorted({name for name in names if names.count(name) > 1})
    if twice:
        raise InputError(str(path), [f"column '{name}' is there twice: remove or rename one" for name in twice])
    return names


def _array(name: str, column: pa.ChunkedArray, problems: list[str]) -> NDArray[Any]:
    """A Parquet column as numbers, UTC times or text; integers stay exact, since accounts may be numbers."""
    kind = column.type
    if pa.types.is_dictionary(kind):
        column, kind = column.cast(kind.value_type), kind.value_type
    try:
        if pa.types.is_timestamp(kind) or pa.types.is_date(kind):
            fine = pa.types.is_timestamp(kind) and kind.unit == "ns"  # below a microsecond is cut off
            return np.asarray(column.cast(pa.timestamp("us"), safe=not fine).to_numpy())
        if pa.types.is_floating(kind):
            return np.asarray(column.cast(pa.float64()).to_numpy())
        if pa.types.is_integer(kind):
            return np.array(column.to_pylist(), dtype=object) if column.null_count else np.asarray(column.to_numpy())
        return np.asarray(column.cast(pa.string()).to_numpy(), dtype=object)
    except (pa.ArrowException, UnicodeDecodeError) as error:
        problems.append(f"column '{name}' of type {kind} cannot be used ({_clip(str(error))}): write text or numbers")
        return np.empty(0)


def _clip(text: str) -> str:
    return text if len(text) <= 120 else text[:120] + "..."
