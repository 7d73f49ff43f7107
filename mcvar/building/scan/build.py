"""Scan grids from configuration: the tables checked, ranges that nobody gives filled in."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field, replace

import numpy as np

from mcvar.building.scan.fields import read_fields, read_per, read_points, read_rules
from mcvar.building.scan.names import unknown_names
from mcvar.building.scan.parameters import (
    Defaults,
    ParameterTables,
    plain,
    read_parameter_tables,
    tabled,
    unit_notes,
)
from mcvar.building.scan.unread import unread
from mcvar.columns import Columns
from mcvar.errors import SettingError
from mcvar.instruments import Instruments
from mcvar.market import DAYS_PER_YEAR, Market
from mcvar.scan.exchange.grid import Discounts, ExpiryBasis, Reduction, Skew, VolatilityRange
from mcvar.scan.exchange.system import Exchange
from mcvar.scan.per import DEFAULT, Per
from mcvar.scan.pricing.contracts import months
from mcvar.scan.pricing.ranges import Ranges, default_ranges
from mcvar.scan.pricing.units import listed_commodities, listed_units
from mcvar.scan.span.check import TIES
from mcvar.scan.span.slots import outside_tiers
from mcvar.settings.scan import ScanConfig


@dataclass(frozen=True)
class Scan:
    """A scan grid made ready for a book.

    Parameters
    ----------
    exchange : Exchange
    notes : tuple of str
        Ranges that nobody gave, what deltas are in, months in no tier.
    horizon : float
        Years of moves that the ranges are of: `scan.days`, else those of the run where all ranges were found from its
        moves; NaN: nobody said.
    inputs : mapping of path to digest
        The tables of `scan.parameters`.
    """

    exchange: Exchange
    notes: tuple[str, ...] = ()
    horizon: float = np.nan
    inputs: Mapping[str, str] = field(default_factory=dict)


def build_scan(
    config: ScanConfig,
    market: Market,
    instruments: Instruments,
    commodity: Sequence[str],
    *,
    variance: float,
    decay: float,
    table: Columns | None = None,
) -> Scan:
    """Check a configuration and resolve it.

    Parameters
    ----------
    config : ScanConfig
    market : Market
    instruments : Instruments
    commodity : sequence of str [I]
    variance, decay : float
        Years of the run's horizon: of moves, for ranges that nobody gives, and of time decay, where `scan.lookahead`
        is not given.
    table : Columns, optional
        Instruments as they were brought, held or not: their futures say what deltas are in, see
        `mcvar.scan.pricing.units.listed_units`.

    Raises
    ------
    SettingError
        All that is wrong with the table, the ranges and the contingencies at once; settings that nothing would read.
        Numbers of commodities that there are not.
    InputError
        What is wrong with the tables of `scan.parameters`: see `tabled`.
    """
    problems: list[str] = []
    points, rules = read_points(config, problems), read_rules(config, problems)
    numbers = {
        name: read_per(getattr(config, name), f"scan.{name}", problems)
        for name in (
            "price_range", "price_range_down", "volatility_up", "volatility_down", "gains", "short_option_minimum"
        )
    }  # fmt: skip
    skew = read_fields(Skew, config.skew, "scan.skew", problems)
    discounts = read_fields(Discounts, config.discounts, "scan.discounts", problems)
    basis = read_fields(ExpiryBasis, config.basis, "scan.basis", problems) if config.basis else None
    problems += [*_single(config), *unread(config, points)]
    if problems:
        raise SettingError("; ".join(problems))
    units = {} if table is None else listed_units(table)
    lookahead = decay if config.lookahead is None else config.lookahead / DAYS_PER_YEAR
    tables = read_parameter_tables(config.parameters, config.tie) if config.parameters else None
    known = {*commodity, *(() if table is None else listed_commodities(table))}
    known |= set() if tables is None else {each.name for each in tables.parameters.commodities}
    problems += unknown_names({f"scan.{name}": per for name, per in numbers.items()}, rules, known)
    if problems:
        raise SettingError("; ".join(problems))
    years = variance
    found, computed = _ranges(config, market, instruments, commodity, numbers, tables, years)
    parameters, notes = None, list(found.notes)
    if config.reduction is Reduction.span:
        own = Defaults(
            points.grid(), lookahead, found.price, found.volatility, config.relative, config.relative_volatility,
            units,
        )  # fmt: skip
        if tables is None:
            minimum = numbers["short_option_minimum"]
            parameters = plain(market, instruments, commodity, own, minimum, config.tie)
        else:
            parameters = tabled(tables, market, instruments, commodity, own)
            dates = months(market, instruments)
            notes += outside_tiers(parameters.commodities, instruments.name, commodity, dates)
            notes += unit_notes(parameters, units, commodity)
        priced = {each.name: each.price_range for each in parameters.commodities}
        found = replace(found, price=Per({name: priced[name] for name in dict.fromkeys(commodity)}))
    exchange = Exchange(
        points=points,
        reduction=config.reduction,
        price_range=found.price,
        price_range_down=numbers["price_range_down"] or found.price,
        volatility=VolatilityRange(
            found.volatility, numbers["volatility_down"] or found.volatility, config.relative_volatility,
            config.short_power, config.long_power, config.pivot_days, config.least_days, config.least_volatility,
        ),
        relative=config.relative,
        damping=config.damping,
        inverse_conversion=config.inverse_conversion,
        gains=numbers["gains"] or Per({DEFAULT: 1.0}),
        lookahead=lookahead,
        skew=skew,
        discounts=discounts,
        basis=basis,
        initial=config.initial,
        maintenance=config.maintenance,
        rules=rules,
        weights=tuple(config.delta_weights),
        parameters=parameters,
        units=units,
    )  # fmt: skip
    horizon = years if computed else np.nan
    return Scan(
        exchange,
        tuple(notes),
        horizon if config.days is None else config.days / DAYS_PER_YEAR,
        {} if tables is None else tables.inputs,
    )


def _single(config: ScanConfig) -> Iterator[str]:
    """Numbers that stand alone."""
    for name in ("pivot_days", "least_days", "least_volatility", "lookahead", "damping", "initial", "maintenance"):
        value = getattr(config, name)
        if value is not None and not (np.isfinite(value) and value >= 0):
            yield f"scan.{name} is {value:g}: it must be finite and not negative"
    if config.days is not None and not (np.isfinite(config.days) and config.days > 0):
        yield f"scan.days is {config.days:g}: give the days of moves that the ranges are of, above 0, or null"
    if config.pivot_days == 0:
        yield "scan.pivot_days is 0: give the days to expiry of the volatility ranges, such as 30"
    if not config.delta_weights or not np.isfinite(config.delta_weights).all() or sum(config.delta_weights) <= 0:
        yield f"scan.delta_weights are {config.delta_weights}: give the weight at 0, then those outward"
    if config.tie not in TIES:
        yield f"scan.tie is '{config.tie}': write {' or '.join(TIES)}"


def _ranges(
    config: ScanConfig,
    market: Market,
    instruments: Instruments,
    commodity: Sequence[str],
    given: Mapping[str, Per | None],
    tables: ParameterTables | None,
    years: float,
) -> tuple[Ranges, bool]:
    """Ranges that are given, else found from `years` of moves, and whether all of them were found."""
    own = {} if tables is None else {each.name: each for each in tables.parameters.commodities}
    names = tuple(dict.fromkeys(commodity))
    silent = {
        "price_range": [n for n in names if tables is None or (n in own and np.isnan(own[n].price_range))],
        "volatility_up": [n for n in names if tables is None or (n in own and np.isnan(own[n].volatility_range))],
    }
    problems = [
        f"scan.{name} is given, and scan.parameters has it for every commodity: drop one of them"
        for name, of in silent.items()
        if given[name] is not None and not of
    ]
    problems += [
        f"scan.{name} is {str(getattr(config, name)).lower()}, and scan.parameters has the range of every commodity "
        "with its own: drop it"
        for name, of in (("relative", "price_range"), ("relative_volatility", "volatility_up"))
        if not silent[of] and getattr(config, name) != getattr(ScanConfig(), name)
    ]
    if tables is not None and config.short_option_minimum != ScanConfig().short_option_minimum:
        problems.append("scan.short_option_minimum is given, and so is scan.parameters, which has it: drop it")
    wanted = {name: of if given[name] is None else [] for name, of in silent.items()}
    if not any(wanted.values()) and config.coverage != ScanConfig().coverage:
        problems.append(f"scan.coverage is {config.coverage:g}, and all ranges are given: leave it, or drop a range")
    if problems:
        raise SettingError("; ".join(problems))
    found = Ranges(Per({}), Per({}))
    if any(wanted.values()):
        found = default_ranges(
            market, instruments, commodity, years, coverage=config.coverage, relative=config.relative,
            relative_volatility=config.relative_volatility, price_of=wanted["price_range"],
            volatility_of=wanted["volatility_up"],
        )  # fmt: skip
    computed = all(set(of) == set(names) for of in wanted.values()) and not config.extended
    price, volatility = given["price_range"] or found.price, given["volatility_up"] or found.volatility
    return Ranges(price, volatility, found.notes), computed
