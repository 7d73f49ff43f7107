"""`about.json`: the points of risk arrays, and what they were made of; beside the tables of `mcvar.io.scan.tables`.

================== =======================================================================================
`grid`             `name` and `points`: a list of `price, volatility, weight` (in ranges) and, optional,
                   `pair`, the number of the point with the same price and the opposite volatility;
                   `extended` and `skew` of points that only the grids of exchanges have
`days`             of moves that the scan ranges are meant to cover
`lookahead_days`   that pass until the prices of the scenarios
`valuation`        UTC
`currency`         reporting currency
`levels`           of the price factors, by factor
`tie`              which scenario is active of several that are worst: `lowest` or `highest`
`mcvar, command`   version, and how to run the same book in the same market
`margins_command`  how to scan it again
`notes`            what the reader must know of the files beside it
================== =======================================================================================

All are optional, and null is not known.
"""

from __future__ import annotations

import json
import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import numpy as np

from mcvar.columns import parse_time
from mcvar.errors import InputError
from mcvar.io.scan.file import Stated
from mcvar.io.table_write import time_text
from mcvar.market import DAYS_PER_YEAR
from mcvar.scan.exchange.grid import Points
from mcvar.scan.grid import Grid
from mcvar.scan.parameters import Parameters
from mcvar.scan.times import same

_KEYS = (
    "mcvar", "grid", "days", "lookahead_days", "valuation", "currency", "levels", "tie", "command",
    "margins_command", "notes",
)  # fmt: skip
_OF_POINTS = ("price", "volatility", "weight", "pair", "extended", "skew")


@dataclass(frozen=True)
class About:
    """What was read.

    Parameters
    ----------
    grid : Grid or None
    stated : Stated
    lookahead : float
        Years; NaN: not known.
    tie : str
        See `Parameters`; "": not said.
    """

    grid: Grid | None
    stated: Stated
    lookahead: float
    tie: str = ""


def read_about(path: str | Path) -> About:
    """Read a file.

    Raises
    ------
    InputError
        What is no JSON, unknown keys, values that are not what they should be: all at once. Points that SPAN does not
        have, as its algorithm could not take them.

    Examples
    --------
    >>> import tempfile
    >>> from mcvar.scan.grid import SPAN16
    >>> with tempfile.TemporaryDirectory() as folder:
    ...     text = about_text(SPAN16, Stated(days=1.0, currency="USD"), 1 / 365, version="0", command="mcvar")
    ...     _ = Path(folder, "about.json").write_text(text)
    ...     found = read_about(Path(folder, "about.json"))
    >>> len(found.grid), found.stated.days, found.stated.currency, found.lookahead == 1 / 365
    (16, 1.0, 'USD', True)
    """
    problems: list[str] = []
    try:
        found = json.loads(Path(path).read_text(encoding="utf-8"))
    except (OSError, ValueError, RecursionError) as error:
        reason = next(iter(str(error).splitlines()), type(error).__name__)[:120]
        raise InputError(str(path), [f"cannot be read ({reason}): it must be JSON in UTF-8"]) from error
    if not isinstance(found, dict):
        raise InputError(str(path), [f"it is no object: it must be one with {', '.join(_KEYS)}"])
    problems += [f"unknown key '{key}': known are {', '.join(_KEYS)}" for key in found if key not in _KEYS]
    grid = _grid(found.get("grid"), problems)
    stated = read_stated(found, problems)
    lookahead = _number(found.get("lookahead_days"), "lookahead_days", problems, least=0.0) / DAYS_PER_YEAR
    if (tie := found.get("tie") or "") not in ("", "lowest", "highest"):
        problems.append(f"tie is '{str(tie)[:60]}': it must be lowest or highest")
    if problems:
        raise InputError(str(path), problems)
    return About(grid, stated, lookahead, tie)


def read_stated(found: Mapping[str, Any], problems: list[str]) -> Stated:
    """What `stated_cells` wrote; what is wrong with it goes into `problems`."""
    valuation: np.datetime64 = np.datetime64("NaT", "us")
    if said := found.get("valuation"):
        try:
            valuation = parse_time(str(said))
        except ValueError:
            problems.append(f"valuation '{str(said)[:60]}' is not an ISO time such as 2026-01-02T00:00:00Z")
    levels = found.get("levels") or []
    if isinstance(levels, dict):
        levels = list(levels.items())
    if not isinstance(levels, list) or not all(isinstance(pair, list | tuple) and len(pair) == 2 for pair in levels):
        problems.append("levels are not numbers by factor")
        levels = []
    level = {str(name): _number(value, f"levels: {name}", problems) for name, value in levels}
    return Stated(
        _number(found.get("days"), "days", problems, least=0.0), valuation, str(found.get("currency") or ""),
        {name: value for name, value in level.items() if not math.isnan(value)},
    )  # fmt: skip


def stated_cells(stated: Stated) -> dict[str, Any]:
    """The same as JSON can hold it, to the bit; levels as pairs."""
    return {
        "days": _known(stated.days),
        "valuation": time_text(stated.valuation) or None,
        "currency": stated.currency or None,
        "levels": [[name, level] for name, level in stated.level.items()],
    }


def about_text(
    grid: Grid | Points, stated: Stated, lookahead: float, *, version: str, command: str,
    margins_command: str = "", tie: str = "", notes: Sequence[str] = (),
) -> str:  # fmt: skip
    """The content of a file.

    Parameters
    ----------
    grid : Grid or Points
    stated : Stated
    lookahead : float
        Years; NaN: not known.
    version : str
        Of mcvar.
    command, margins_command : str
        See `mcvar.export`.
    tie : str
        See `Parameters`; "": there are none.
    notes : sequence of str
        What the reader must know of the files beside it.
    """
    said: dict[str, Any] = {
        "mcvar": version,
        "grid": {"name": grid.name, "points": _points(grid)},
        "lookahead_days": _known(DAYS_PER_YEAR * lookahead),
        **stated_cells(stated),
        "levels": dict(stated.level),
        "tie": tie or None,
        "command": command,
        "margins_command": margins_command or None,
        "notes": list(notes),
    }
    return json.dumps(said, indent=1, ensure_ascii=False, allow_nan=False) + "\n"


def fill_lookahead(parameters: Parameters, years: float, source: str) -> Parameters:
    """Parameters whose unknown look-aheads are the file's.

    Raises
    ------
    InputError
        Commodities that say otherwise.
    """
    if math.isnan(years):
        return parameters
    apart = [c for c in parameters.commodities if not (math.isnan(c.lookahead) or same(c.lookahead, years))]
    if apart:
        raise InputError(
            source,
            [
                f"lookahead_days is {DAYS_PER_YEAR * years:g}, and commodity '{c.name}' has "
                f"{DAYS_PER_YEAR * c.lookahead:g} days: make them agree"
                for c in apart
            ],
        )
    filled = (replace(c, lookahead=years) if math.isnan(c.lookahead) else c for c in parameters.commodities)
    return replace(parameters, commodities=tuple(filled))


def _points(grid: Grid | Points) -> list[dict[str, Any]]:
    beyond: list[dict[str, Any]]
    if isinstance(grid, Points) and (grid.extended.any() or any(grid.skew) or np.isnan(grid.weight).any()):
        beyond = [{"extended": bool(e), "skew": skew} for e, skew in zip(grid.extended, grid.skew, strict=True)]
    else:
        pairs = grid.grid().pair if isinstance(grid, Points) else grid.pair
        beyond = [{"pair": int(at) + 1} for at in pairs]
    table = zip(grid.price.tolist(), grid.volatility.tolist(), grid.weight.tolist(), beyond, strict=True)
    return [{"price": price, "volatility": up, "weight": _known(weight), **more} for price, up, weight, more in table]


def _grid(said: Any, problems: list[str]) -> Grid | None:
    if said is None:
        return None
    rows = said.get("points") if isinstance(said, dict) else None
    if not isinstance(rows, list) or not rows or not all(isinstance(row, Mapping) for row in rows):
        problems.append("grid has no points: give name, and points as a list of price, volatility and weight")
        return None
    unknown = {key for row in rows for key in row} - set(_OF_POINTS)
    problems += [f"grid: points have '{key}': known are {', '.join(_OF_POINTS)}" for key in sorted(unknown)]
    if any(row.get("extended") or row.get("skew") for row in rows):
        problems.append("grid: extended moves and skews are points that the SPAN algorithm does not have")
        return None
    before, size = len(problems), len(rows)
    column = {
        name: np.array(
            [_number(row.get(name), f"grid: {name} of point {n + 1}", problems) for n, row in enumerate(rows)]
        )
        for name in ("price", "volatility", "weight")
    }
    problems += [
        f"grid: point {n} has no {name}: give a number"
        for name, values in column.items()
        for n in (np.flatnonzero(np.isnan(values)) + 1).tolist()
        if len(problems) == before
    ]
    name, none = str(said.get("name", "grid")), np.zeros(size, dtype=bool)
    made = Points(name, **column, extended=none, skew=("",) * size).grid()
    if any("pair" in row for row in rows):
        pair = [row.get("pair") for row in rows]
        if not all(isinstance(n, int) and not isinstance(n, bool) and 1 <= n <= size for n in pair):
            problems.append(f"grid: pair is the number of a point, 1 to {size}: give it for every point, or for none")
            return None
        made = replace(made, pair=np.array(pair, dtype=np.int64) - 1)
    return made


def _number(value: Any, what: str, problems: list[str], least: float = -math.inf) -> float:
    """A finite number; NaN for null, and for what is wrong."""
    if value is None:
        return math.nan
    if isinstance(value, bool) or not isinstance(value, int | float) or not (math.isfinite(value) and value >= least):
        problems.append(f"{what} is {str(value)[:60]!r}: give a number" + (f" from {least:g}" if least == 0 else ""))
        return math.nan
    return float(value)


def _known(value: float) -> float | None:
    return None if math.isnan(value) else value
