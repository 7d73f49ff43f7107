"""Parameters of the SPAN algorithm for mcvar's own risk arrays: tables of a folder, or the configuration alone."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field, replace

import numpy as np

from mcvar.errors import InputError
from mcvar.instruments import Instruments
from mcvar.io.scan.tables import read_scan_parameters, table_files
from mcvar.io.tables import digest, read_table
from mcvar.market import DAYS_PER_YEAR, Market
from mcvar.scan.grid import Grid
from mcvar.scan.parameters import Commodity, Parameters
from mcvar.scan.per import Per
from mcvar.scan.pricing.contracts import settlement_currencies
from mcvar.scan.pricing.risk_arrays import delta_units
from mcvar.scan.pricing.units import Units
from mcvar.scan.times import same

_TABLES = ("commodities", "tiers", "spreads", "delivery")
_TOLD = ("extreme", "covered", "lookahead", "relative", "relative_volatility")  # columns whose blanks say something


@dataclass(frozen=True)
class ParameterTables:
    """What a folder of tables says.

    Parameters
    ----------
    source : str
        The folder.
    parameters : Parameters
        Blank ranges are NaN.
    where : mapping of str to str
        The row of each commodity.
    blank : mapping of str to set of str
        The columns of `commodities` that say nothing of a commodity.
    inputs : mapping of path to digest
    """

    source: str
    parameters: Parameters
    where: Mapping[str, str]
    blank: Mapping[str, set[str]]
    inputs: Mapping[str, str] = field(default_factory=dict)


@dataclass(frozen=True)
class Defaults:
    """What the configuration says of every commodity.

    Parameters
    ----------
    grid : Grid
    lookahead : float
        Years.
    price, volatility : Per
        Ranges; `relative`, `relative_volatility`: of these.
    units : mapping of str to DeltaUnit
        What one delta of a commodity is on, of those that are listed.
    """

    grid: Grid
    lookahead: float
    price: Per
    volatility: Per
    relative: bool
    relative_volatility: bool
    units: Units = field(default_factory=dict)


def read_parameter_tables(folder: str, tie: str) -> ParameterTables:
    """Read `commodities`, `tiers`, `spreads` and `delivery` of a folder.

    Raises
    ------
    InputError
        All bad rows of all tables; a folder without `commodities`.
    """
    parameters = read_scan_parameters(folder, tie=tie)
    paths = {path.name.partition(".")[0]: path for path in table_files(folder)}
    table = read_table(paths["commodities"])
    names = table.texts("commodity")
    columns = {name: table.texts(name) for name in _TOLD}
    return ParameterTables(
        source=str(folder),
        parameters=parameters,
        where={name: f"{paths['commodities'].name} {table.where(row)}" for row, name in enumerate(names)},
        blank={name: {c for c, cells in columns.items() if not cells[row]} for row, name in enumerate(names)},
        inputs={str(paths[name]): digest(paths[name]) for name in _TABLES if name in paths},
    )


def tabled(
    tables: ParameterTables, market: Market, instruments: Instruments, commodity: Sequence[str], own: Defaults
) -> Parameters:
    """The tables with what they leave blank filled in.

    Every commodity of the book must be in the tables, but for cash: one that is missing would be charged no spread and
    no minimum, which nobody would see. A blank range is that of the configuration. Look-aheads that are given must be
    the grid's. Extreme moves that are given are the commodity's own where the grid has SPAN's sixteen points; in any
    other grid the points say what they are, and tables must not differ.

    Raises
    ------
    InputError
        Commodities that are missing, and numbers that the grid contradicts: all of them.
    """
    problems: list[str] = []
    known = {each.name for each in tables.parameters.commodities}
    for name in dict.fromkeys(commodity):
        mine = [i for i, owner in enumerate(commodity) if owner == name]
        if name not in known and (instruments.underlying[mine] >= 0).any():
            problems.append(
                f"commodity '{name}', of '{instruments.name[mine[0]]}', is not among the commodities: add its row"
            )
    moves = dict(zip(("extreme", "covered"), _extreme_moves(own.grid), strict=True))
    currency = settlement_currencies(market, instruments)
    made = [
        Commodity(name, currency[commodity.index(name)], 0.0, lookahead=own.lookahead)
        for name in dict.fromkeys(commodity)
        if name not in known  # cash
    ]
    for each in tables.parameters.commodities:
        blank, where = tables.blank[each.name], f"{tables.where[each.name]}: commodity '{each.name}'"
        if "lookahead" not in blank and not same(each.lookahead, own.lookahead):
            problems.append(
                f"{where} has a look-ahead of {DAYS_PER_YEAR * each.lookahead:g} days, and the scan one of "
                f"{DAYS_PER_YEAR * own.lookahead:g}: leave it blank, or give scan.lookahead"
            )
        for name, stated in moves.items():
            given = getattr(each, name)
            if name not in blank and not own.grid.is_span and not same(given, stated):
                problems.append(
                    f"{where} has {name} {given:g}, and the points of {own.grid.name} {stated:g}: leave it blank"
                )
        priceless, calm = np.isnan(each.price_range), np.isnan(each.volatility_range)
        for name, flag, none in (
            ("price_range", "relative", priceless), ("volatility_range", "relative_volatility", calm),
        ):  # fmt: skip
            if not none and flag in blank:
                problems.append(
                    f"{where} has a {name} of {getattr(each, name):g} and a blank {flag}: write true for a part of "
                    "what moves, false for its units"
                )
        made.append(
            replace(
                each,
                price_range=own.price(each.name) if priceless else each.price_range,
                relative=own.relative if priceless else each.relative,
                volatility_range=own.volatility(each.name) if calm else each.volatility_range,
                relative_volatility=own.relative_volatility if calm else each.relative_volatility,
                lookahead=own.lookahead,
                extreme=moves["extreme"] if "extreme" in blank else each.extreme,
                covered=moves["covered"] if "covered" in blank else each.covered,
            )
        )
    if problems:
        raise InputError(tables.source, problems)
    return replace(tables.parameters, commodities=_with_units(made, own.units))


def unit_notes(parameters: Parameters, units: Units, commodity: Sequence[str]) -> Iterator[str]:
    """What the deltas of the book's commodities are in, where something is charged or credited for them.

    Examples
    --------
    >>> from mcvar.scan.parameters import Delivery
    >>> from mcvar.scan.pricing.units import DeltaUnit
    >>> near = Delivery("202603", 3.0, 7.0)
    >>> oil = Parameters((Commodity("CL", "USD", 1.0, delivery=(near,)), Commodity("HO", "USD", 1.0)))
    >>> print(*unit_notes(oil, {"CL": DeltaUnit(1000.0)}, ["CL", "HO"]))
    deltas of CL are in units of 1,000: spread ratios and charges are for that
    """
    charged = {each.name for each in parameters.commodities if each.spreads or each.delivery}
    charged |= {leg.commodity for spread in parameters.spreads for leg in spread.legs}
    units, named = delta_units(parameters.commodities, units), {*commodity} & charged
    alike: dict[str, list[str]] = {}
    for name in (each.name for each in parameters.commodities if each.name in named):
        alike.setdefault(str(units[name]), []).append(name)
    for unit, names in alike.items():
        yield f"deltas of {', '.join(names)} are in units of {unit}: spread ratios and charges are for that"


def plain(
    market: Market, instruments: Instruments, commodity: Sequence[str], own: Defaults, minimum: Per | None, tie: str
) -> Parameters:
    """Commodities without spreads, credits and delivery: what the configuration says of them."""
    extreme, covered = _extreme_moves(own.grid)
    currency = settlement_currencies(market, instruments)
    priced = {c for c, f in zip(commodity, instruments.underlying.tolist(), strict=True) if f >= 0}
    volatile = {c for c, v in zip(commodity, instruments.volatility.tolist(), strict=True) if np.isfinite(v)}
    made = []
    for name in dict.fromkeys(commodity):
        money = {each for each, c in zip(currency, commodity, strict=True) if c == name}
        made.append(
            Commodity(
                name=name,
                currency=money.pop() if len(money) == 1 else market.currency,
                price_range=own.price(name) if name in priced else 0.0,
                relative=own.relative,
                volatility_range=own.volatility(name) if name in volatile else 0.0,
                relative_volatility=own.relative_volatility,
                extreme=extreme,
                covered=covered,
                lookahead=own.lookahead,
                short_option_minimum=0.0 if minimum is None else float(np.nan_to_num(minimum(name))),
            )
        )
    return Parameters(_with_units(made, own.units), tie=tie)


def _with_units(commodities: Iterable[Commodity], listed: Units) -> tuple[Commodity, ...]:
    """Commodities that say what their deltas are in; not those that have inverse futures alone, whose unit moves."""
    commodities = list(commodities)
    units = delta_units(commodities, listed)
    return tuple(
        each if units[each.name].inverse else replace(each, delta_unit=units[each.name].size) for each in commodities
    )


def _extreme_moves(grid: Grid) -> tuple[float, float]:
    """The largest multiple of the price range beyond it, and the part of it that counts; SPAN's where there is none."""
    far = np.flatnonzero(np.abs(grid.price) > 1)
    if not len(far):
        return 2.0, 0.35
    return float(np.abs(grid.price[far]).max()), float(grid.weight[far].max())
