"""Risk arrays and parameters as CSV tables in a folder: people bring them, and mcvar writes them.

=================== =========================================================================================
`risk_arrays.csv`   `instrument, commodity, currency, month, option (true, false), value, delta, a1, a2, ...`
`commodities.csv`   `commodity, currency`; the other fields of `Commodity`; what is blank of `price_range`,
                    `volatility_range`, `lookahead` and `delta_unit` is not known
`tiers.csv`         `commodity, tier, first, last`
`spreads.csv`       a row a leg: `spread` (any name, the same for its legs), `kind` (intra, inter), `priority,
                    charge, commodity, tier` (0: all months), `ratio, side` (1, -1), `credit` (of `inter`)
`delivery.csv`      `commodity, month, spread, outright`
=================== =========================================================================================

The last three may be missing. Each may be `.csv.gz` or `.parquet` instead. `about.json` (`mcvar.io.scan.about`), where
it is there, says which points the arrays have and what they were made of. What is written reads back with the same
bits; the rule for ties, which no table has, is an argument here, or stands there.
"""

from __future__ import annotations

import math
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import fields, replace
from pathlib import Path
from typing import Any

import numpy as np

from mcvar.columns import Columns
from mcvar.errors import InputError
from mcvar.io.scan.about import fill_lookahead, read_about
from mcvar.io.scan.file import ARRAYS, COMMODITIES, DELIVERY, SPREADS, TIERS, ScanFile, Tables, rows
from mcvar.io.scan.rows import Found, check_columns, finish, points_of, read_arrays, read_parameters, resolve
from mcvar.io.tables import read_table
from mcvar.scan.arrays import RiskArrays
from mcvar.scan.parameters import Commodity, Parameters, Spread

_COLUMNS = {
    "risk_arrays": (*ARRAYS, "a1"),
    "commodities": COMMODITIES,
    "tiers": TIERS,
    "spreads": SPREADS,
    "delivery": DELIVERY,
}
ABOUT = "about.json"
_ENDINGS = (".csv", ".csv.gz", ".parquet")


def read_scan_tables(folder: str | Path, *, tie: str = "lowest") -> ScanFile:
    """Read risk arrays and parameters from the tables of a folder.

    Raises
    ------
    InputError
        All bad rows of all tables at once; unknown columns; a folder without `risk_arrays.csv` or `commodities.csv`;
        an `about.json` that does not go with them.
    """
    tables = _tables(folder, ("risk_arrays", "commodities"))
    arrays, parameters = resolve(tables, tie, source=str(folder))
    path = Path(folder) / ABOUT
    if not path.is_file():
        return ScanFile(arrays, parameters)
    about = read_about(path)
    if about.grid is not None and len(about.grid) != arrays.points:
        said = f"the grid has {len(about.grid)} points, and the risk arrays have {arrays.points}"
        raise InputError(str(path), [f"{said}: give the file that was written with them"])
    parameters = fill_lookahead(replace(parameters, tie=about.tie or tie), about.lookahead, str(path))
    return ScanFile(arrays, parameters, about.grid, stated=about.stated)


def table_files(folder: str | Path) -> tuple[Path, ...]:
    """The files of a folder that `read_scan_tables` reads."""
    named = [Path(folder) / f"{name}{ending}" for name in _COLUMNS for ending in _ENDINGS]
    return tuple(path for path in [*named, Path(folder) / ABOUT] if path.is_file())


def read_risk_arrays(path: str | Path) -> RiskArrays:
    """Read a table of risk arrays alone: its commodities are not checked."""
    table = read_table(path)
    table.check_names((*ARRAYS, *points_of(table)))
    found: Found = []
    arrays = read_arrays(table, found)
    finish(found, (), table.source)
    return arrays


def read_scan_parameters(folder: str | Path, *, tie: str = "lowest") -> Parameters:
    """Read the tables of parameters of a folder, for arrays from elsewhere."""
    tables, found = _tables(folder, ("commodities",)), Found()
    check_columns(tables, str(folder))
    parameters = read_parameters(tables, tie, found)
    finish(found, (), str(folder))
    return parameters


def tables_to_write(arrays: RiskArrays, parameters: Parameters | None) -> dict[str, Columns]:
    """The tables of risk arrays and parameters by file name, less its ending; without parameters the first alone.

    Raises
    ------
    InputError
        See `check_writable`.

    Examples
    --------
    >>> import tempfile
    >>> from mcvar.io.table_write import write_table
    >>> future = RiskArrays(("F",), ("X",), np.array([0]), ("USD",), np.array([[0.0, -1.0, 1.0]]), np.ones(1),
    ...     np.zeros(1), np.array([False]), ("202603",))
    >>> with tempfile.TemporaryDirectory() as folder:
    ...     for name, table in tables_to_write(future, Parameters((Commodity("X", "USD", 3.0),))).items():
    ...         _ = write_table(f"{folder}/{name}.csv", table)
    ...     read_scan_tables(folder).arrays.loss.tolist()
    [[0.0, -1.0, 1.0]]
    """
    if parameters is None:  # arrays of a grid that is none of SPAN: what is checked is the arrays
        blank = tuple(Commodity(name, "-", math.nan) for name in arrays.commodity)
        return {"risk_arrays": check_writable(arrays, Parameters(blank)).arrays}
    tables = check_writable(arrays, parameters)
    return dict(zip(_COLUMNS, (getattr(tables, field.name) for field in fields(tables)), strict=True))


def check_writable(arrays: RiskArrays, parameters: Parameters) -> Tables:
    """The tables of risk arrays and parameters, if reading them would give the same.

    Raises
    ------
    InputError
        Names with blanks around them or control characters, numbers that are not finite, and all that readers refuse.
    """
    source = "risk arrays to write"
    tables = _tables_of(arrays, parameters, source)
    names = [
        *arrays.name,
        *arrays.commodity,
        *dict.fromkeys(arrays.currency),
        *(c.name for c in parameters.commodities),
    ]
    problems = [f"{name[:60]!r} has blanks around it: remove them" for name in names if name != name.strip()]
    finite = np.isfinite(arrays.value) & np.isfinite(arrays.delta)
    problems += [f"'{arrays.name[i]}' has a number that is not finite" for i in np.flatnonzero(~finite)]
    resolve(tables, parameters.tie, problems, source)
    return tables


def _tables_of(arrays: RiskArrays, parameters: Parameters, source: str) -> Tables:
    def table(names: Sequence[str], listed: Iterable[Sequence[Any]]) -> Columns:
        return rows(source, names, [(n, dict(zip(names, row, strict=True))) for n, row in enumerate(listed, 1)])

    own: dict[str, Any] = {
        "instrument": list(arrays.name),
        "commodity": [arrays.commodity[of] for of in arrays.of],
        "currency": list(arrays.currency),
        "month": list(arrays.month),
        "option": [str(option).lower() for option in arrays.option.tolist()],
        "value": arrays.value,
        "delta": arrays.delta,
    }
    points = {f"a{s + 1}": arrays.loss[:, s] for s in range(arrays.points)}
    commodities = [[_field(getattr(c, n)) for n in ("name", *COMMODITIES[1:])] for c in parameters.commodities]
    return Tables(
        arrays=Columns.from_mapping(source, own | points),
        commodities=table(COMMODITIES, commodities),
        tiers=table(TIERS, [(c.name, t.number, t.first, t.last) for c in parameters.commodities for t in c.tiers]),
        spreads=table(SPREADS, _spread_rows(parameters)),
        delivery=table(
            DELIVERY, [(c.name, d.month, d.spread, d.outright) for c in parameters.commodities for d in c.delivery]
        ),
    )


def _tables(folder: str | Path, required: Sequence[str]) -> Tables:
    folder = Path(folder)
    found: dict[str, Columns] = {}
    problems: list[str] = []
    for name, columns in _COLUMNS.items():
        paths = [path for ending in _ENDINGS if (path := folder / f"{name}{ending}").exists()]
        if len(paths) > 1:
            problems.append(f"{paths[0].name} and {paths[1].name} are both there: remove one")
        if paths:
            try:
                found[name] = read_table(paths[0])
            except InputError as error:
                problems += [f"{paths[0].name} {problem}" for problem in error.problems]
        elif name in required:
            problems.append(f"{name}.csv does not exist: give one in {folder}")
        else:
            found[name] = rows(str(folder / f"{name}.csv"), columns, ())
    if problems:
        raise InputError(str(folder), problems)
    return Tables(*(found[name] for name in _COLUMNS))


def _spread_rows(parameters: Parameters) -> Iterator[Sequence[Any]]:
    listed: list[tuple[str, Spread]] = [("intra", s) for c in parameters.commodities for s in c.spreads]
    listed += [("inter", s) for s in parameters.spreads]
    for number, (kind, spread) in enumerate(listed, 1):
        for leg in spread.legs:
            head = (number, kind, spread.priority, spread.charge)
            yield (*head, leg.commodity, leg.tier, leg.ratio, leg.side, leg.credit)


def _field(value: Any) -> Any:
    return str(value).lower() if isinstance(value, bool) else value
