"""What a run worked on, as files for another engine: book and market in the forms that mcvar reads, and risk arrays.

==================== =========================================================================================
`instruments.csv`    what somebody holds, and all futures and perpetuals, with the columns that were brought
`positions.csv`      as they were brought
`accounts.csv`       as they were brought, where there are any
`factors.csv`        the market as it was resolved: every level and volatility
`correlation.csv`    the matrix that was used
`history.csv`        where the market has one
`risk_arrays.csv`    of the grid
`about.json`         its points, what the arrays were made of, and commands (`mcvar.io.scan.about`)
`scan/exported.yaml` the grid as the run resolved it, where the arrays are mcvar's own
`commodities.csv`    and `tiers.csv, spreads.csv, delivery.csv`: of grids that have parameters of SPAN
`risk_arrays.spn`    arrays and parameters as XML, of such grids of sixteen points, where the format has a place
                     for all contracts
==================== =========================================================================================

Numbers have all their bits: `command` in `about.json`, typed in the folder, gives the run's VaR again, to the bit, and
`margins_command` its margins. Futures that nobody holds are kept, since the listed ones say what a delta is on.
"""

from __future__ import annotations

import dataclasses
import re
import shlex
from collections.abc import Callable, Mapping
from enum import Enum
from functools import partial
from pathlib import Path
from typing import Any

import numpy as np

from mcvar import __version__
from mcvar import config as c
from mcvar.build import Inputs
from mcvar.columns import Columns
from mcvar.errors import SHOWN, InputError
from mcvar.instruments import Kind
from mcvar.io.contracts import Contracts, described
from mcvar.io.market_tables import correlation_table, factor_table, history_table
from mcvar.io.scan.about import about_text
from mcvar.io.scan.file import Stated
from mcvar.io.scan.grid_file import NAME
from mcvar.io.scan.tables import tables_to_write
from mcvar.io.spn.terms import check_terms
from mcvar.io.spn.write import write_spn
from mcvar.io.table_write import time_text, write_table
from mcvar.market import FactorKind, Market
from mcvar.scan.arrays import RiskArrays
from mcvar.scan.exchange.grid import Points
from mcvar.scan.grid import SPAN16, Grid
from mcvar.scan.parameters import Parameters

Files = dict[str, Callable[[Path], object]]
FOLDER = "export"
_GROUPS = ("model", "scenarios", "sampling", "engine")  # chosen by the names of their options
_SETTINGS = (*_GROUPS, "horizon", "measure", "pricing")  # that VaR depends on
_PLAIN = re.compile(r"[A-Za-z_][A-Za-z0-9_./%+-]*")
_WORDS = {"true", "false", "null", "nan", "inf"}  # what the command line would not take for text
_OWN = (
    "this grid is none of SPAN and has no parameters: there is no commodities.csv and no .spn; ranges and settings are "
    "in scan/exported.yaml, and mcvar.io.scan.tables.read_risk_arrays reads the arrays alone"
)
_LINEAR = (Kind.future.name, Kind.perpetual.name)


def export_files(
    config: c.Config,
    given: Inputs,
    arrays: RiskArrays,
    grid: Grid | Points,
    parameters: Parameters | None,
    *,
    stated: Stated,
    lookahead: float,
    contracts: Contracts | None = None,
    scan: str = "",
) -> Files:
    """The files of an export, each by its name in the run folder, with the function that writes it to a path.

    Parameters
    ----------
    config : Config
        Of the run, for the command.
    given : Inputs
        Book and market.
    arrays : RiskArrays [I]
    grid : Grid or Points
        Of the arrays.
    parameters : Parameters or None
        None: a grid of another kind than SPAN's. Then neither its commodities nor XML are written.
    stated : Stated
        What the arrays were made of; of mcvar's own see `stated_of`.
    lookahead : float
        Years that pass until the prices of the scenarios, of arrays without parameters; else these have them.
    contracts : Contracts, optional
        [I], of arrays from a file; else the book's instruments are described.
    scan : str
        Of mcvar's own arrays, the content of `scan/exported.yaml`: see `mcvar.io.scan.grid_file.grid_text`.

    Raises
    ------
    InputError
        Names and numbers that could not be read back: see `mcvar.io.scan.tables.check_writable`.

    Examples
    --------
    >>> from mcvar import build
    >>> from mcvar.scan.parameters import Commodity
    >>> given = build.inputs(c.Config(book=c.SampleBook(accounts=1)))
    >>> name = given.book.instruments.name
    >>> flat = RiskArrays(name, ("X",), np.zeros(len(name), dtype=np.int64), ("USD",) * len(name),
    ...     np.zeros((len(name), 16)), np.ones(len(name)), np.zeros(len(name)), np.zeros(len(name), dtype=bool),
    ...     ("",) * len(name))
    >>> files = export_files(c.Config(), given, flat, SPAN16, Parameters((Commodity("X", "USD", 5.0),)),
    ...     stated=stated_of(given.market, days=1.0), lookahead=0.0)
    >>> [name.partition("/")[2] for name in files][-6:-1]
    ['risk_arrays.csv', 'commodities.csv', 'tiers.csv', 'spreads.csv', 'delivery.csv']
    """
    market, tables = given.market, _held(given)
    tables |= {"factors": factor_table(market), "correlation": correlation_table(market)}
    if market.history is not None:
        tables["history"] = history_table(market.history)
    settings = [*_market(config, market, tables), *_book(tables), *overrides(config)]
    command = shlex.join(["mcvar", *settings, "job=var"])
    if parameters is None:
        again = shlex.join(["mcvar", "--config-dir", ".", *settings, f"scan={NAME}", "job=scan"]) if scan else ""
    else:
        again = shlex.join(["mcvar", *settings, "scan.file=.", "job=scan"])
    tables |= tables_to_write(arrays, parameters)
    notes = [] if parameters is not None else [_OWN]
    files: Files = {f"{name}.csv": partial(write_table, table=table) for name, table in tables.items()}
    if parameters is not None and arrays.points == len(SPAN16):
        own = described(arrays.name, given.tables["instruments"]) if contracts is None else contracts
        shown = grid.grid() if isinstance(grid, Points) else grid
        date = str(market.valuation)[:10].replace("-", "") if not np.isnat(market.valuation) else "00000000"
        try:
            check_terms(arrays, own)
            files["risk_arrays.spn"] = partial(
                write_spn, arrays=arrays, parameters=parameters, date=date, grid=shown, contracts=own, stated=stated
            )
        except InputError as error:
            notes.append(f"risk_arrays.spn is left out: {'; '.join(error.problems[:SHOWN])}")
    tie = "" if parameters is None else parameters.tie
    if parameters is not None:
        ahead = {each.lookahead for each in parameters.commodities}
        lookahead = ahead.pop() if len(ahead) == 1 else np.nan
    about = about_text(
        grid, stated, lookahead, version=__version__, command=command, margins_command=again, tie=tie, notes=notes
    )
    texts = {"about.json": about, **({f"scan/{NAME}.yaml": scan} if scan else {})}
    files |= {name: partial(Path.write_text, data=text, encoding="utf-8") for name, text in texts.items()}
    return {f"{FOLDER}/{name}": write for name, write in files.items()}


def stated_of(market: Market, days: float) -> Stated:
    """What arrays of mcvar's own are made of.

    Parameters
    ----------
    market : Market
    days : float
        Days of moves that the scan ranges are meant to cover; NaN: not known.
    """
    factors = market.factors
    level = {factors.name[f]: float(factors.level[f]) for f in factors.of_kind(FactorKind.price)}
    return Stated(days, market.valuation, market.currency, level)


def overrides(config: c.Config) -> list[str]:
    """The settings that VaR depends on, beside market and book, as the command line takes them.

    Examples
    --------
    >>> run = c.Config(model=c.StudentTModel(dof=4.5), horizon=c.HorizonConfig(days=10.0))
    >>> overrides(run)[:3], overrides(run)[-1]
    (['model=student_t', 'model.dof=4.5', 'scenarios=simulated'], 'horizon.days=10.0')
    """
    said: list[str] = []
    for group in _SETTINGS:
        option = getattr(config, group)
        if group in _GROUPS:
            said.append(f"{group}={c.option_name(option)}")
        blank = type(option)()
        said += [
            f"{group}.{field.name}={_text(value)}"
            for field in dataclasses.fields(option)
            if (value := getattr(option, field.name)) != getattr(blank, field.name)
        ]
        if group == "scenarios":
            said += [f"scenarios.{name}={getattr(option, name)}" for name in ("count", "seed")]
    return list(dict.fromkeys(said))


def _held(given: Inputs) -> dict[str, Columns]:
    """The book as it was brought, less what nobody holds of instruments that are no futures or perpetuals."""
    known, listed = set(given.book.instruments.name), given.tables["instruments"]
    rows = zip(listed.texts("instrument"), listed.texts("kind"), strict=True)
    keep = {"instruments": np.array([name in known or kind in _LINEAR for name, kind in rows])}
    return {name: _plain(table, keep.get(name)) for name, table in given.tables.items()}


def _plain(table: Columns, keep: Any) -> Columns:
    """Cells as text, which has all bits of a number; columns without a cell are left out."""
    rows = slice(None) if keep is None else keep
    cells = {
        name: column[rows] if column.dtype.kind == "M" else np.array(table.texts(name), dtype=object)[rows]
        for name, column in table.data.items()
    }
    return Columns(table.source, cells)


def _market(config: c.Config, market: Market, tables: Mapping[str, Columns]) -> list[str]:
    said = ["market=files", "market.factors=factors.csv", "correlation=matrix", "market.correlation=correlation.csv"]
    if "history" in tables:
        said.append("market.history=history.csv")
        said += [
            f"market.{name}={_text(getattr(config.market, name))}"
            for name in ("max_gap", "missing")
            if hasattr(config.market, name)
        ]
    if np.isfinite(market.steps_per_year):
        said.append(f"market.steps_per_year={market.steps_per_year!r}")
    if not np.isnat(market.valuation):
        said.append(f"market.valuation={time_text(market.valuation)}")
    return [*said, f"market.currency={_text(market.currency)}"]


def _book(tables: Mapping[str, Columns]) -> list[str]:
    return [
        "book=files",
        *(f"book.{name}={name}.csv" for name in ("instruments", "positions", "accounts") if name in tables),
    ]


def _text(value: Any) -> str:
    """A value as the grammar of the command line has it."""
    match value:
        case None:
            return "null"
        case bool():
            return str(value).lower()
        case Enum():
            return str(value.name)
        case str() if _PLAIN.fullmatch(value) and value.lower() not in _WORDS:
            return value
        case str():
            return "'" + value.replace("\\", "\\\\").replace("'", "\\'") + "'"
        case Mapping():
            return "{" + ",".join(f"{key}:{_text(each)}" for key, each in value.items()) + "}"
        case list() | tuple():
            return "[" + ",".join(_text(each) for each in value) + "]"
    return repr(float(value)) if isinstance(value, float) else str(value)
