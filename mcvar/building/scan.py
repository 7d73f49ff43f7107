"""Scan grids from configuration: the tables checked, ranges that nobody gives filled in."""

from __future__ import annotations

import dataclasses
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np

from mcvar.errors import SettingError
from mcvar.instruments import Instruments
from mcvar.market import DAYS_PER_YEAR, Market
from mcvar.scan import contingency
from mcvar.scan.exchange import Exchange
from mcvar.scan.exchange_grid import (
    DEFAULT,
    SKEWS,
    Discounts,
    Per,
    Points,
    Reduction,
    Rule,
    Skew,
    VolatilityRange,
)
from mcvar.scan.parameters import Commodity, Parameters
from mcvar.scan.price_contracts import settlement_currencies
from mcvar.scan.price_ranges import Ranges, default_ranges
from mcvar.settings.scan import ScanConfig

_OF_RULES = ("rule", "floor", "initial", "maintenance")


@dataclass(frozen=True)
class Scan:
    """A scan grid made ready for a book.

    Parameters
    ----------
    exchange : Exchange
        With `reduction=span` its points and ranges are those of `parameters`.
    parameters : Parameters or None
        For the SPAN algorithm, where the configuration asks for it.
    notes : tuple of str
        Ranges that nobody gave.
    """

    exchange: Exchange
    parameters: Parameters | None
    notes: tuple[str, ...]


def build_scan(
    config: ScanConfig,
    market: Market,
    instruments: Instruments,
    commodity: Sequence[str],
    *,
    variance: float,
    decay: float,
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

    Raises
    ------
    SettingError
        All that is wrong with the table, the ranges and the contingencies at once.
    """
    problems: list[str] = []
    points = read_points(config, problems)
    rules = _rules(config, problems)
    numbers = {
        name: _per(getattr(config, name), f"scan.{name}", problems)
        for name in (
            "price_range", "price_range_down", "volatility_up", "volatility_down", "gains", "short_option_minimum"
        )
    }  # fmt: skip
    skew, discounts = (
        _fields(Skew, config.skew, "skew", problems),
        _fields(Discounts, config.discounts, "discounts", problems),
    )
    for name in ("pivot_days", "least_days", "least_volatility", "lookahead", "damping", "initial", "maintenance"):
        value = getattr(config, name)
        if value is not None and not (np.isfinite(value) and value >= 0):
            problems.append(f"scan.{name} is {value:g}: it must be finite and not negative")
    if config.pivot_days == 0:
        problems.append("scan.pivot_days is 0: give the days to expiry of the volatility ranges, such as 30")
    if not config.delta_weights or not np.isfinite(config.delta_weights).all() or sum(config.delta_weights) <= 0:
        problems.append(f"scan.delta_weights are {config.delta_weights}: give the weight at 0, then those outward")
    if config.tie not in ("lowest", "highest"):
        problems.append(f"scan.tie is '{config.tie}': write lowest or highest")
    if config.reduction is Reduction.span and (points.extended.any() or any(points.skew) or rules):
        problems.append(
            "scan.reduction=span takes neither extended moves nor skews nor contingencies: leave them empty"
        )
    if problems:
        raise SettingError("; ".join(problems))
    lookahead = decay if config.lookahead is None else config.lookahead / DAYS_PER_YEAR
    price, volatility_up = numbers["price_range"], numbers["volatility_up"]
    found = Ranges(price or Per({}), volatility_up or Per({}))
    if price is None or volatility_up is None:
        found = default_ranges(
            market, instruments, commodity, variance if config.lookahead is None else lookahead,
            coverage=config.coverage, relative=config.relative, relative_volatility=config.relative_volatility,
        )  # fmt: skip
    price, volatility_up = price or found.price, volatility_up or found.volatility
    exchange = Exchange(
        points=points,
        reduction=config.reduction,
        price_range=price,
        price_range_down=numbers["price_range_down"] or price,
        volatility=VolatilityRange(
            volatility_up, numbers["volatility_down"] or volatility_up, config.relative_volatility,
            config.short_power, config.long_power, config.pivot_days, config.least_days, config.least_volatility,
        ),
        relative=config.relative,
        damping=config.damping,
        inverse_conversion=config.inverse_conversion,
        gains=numbers["gains"] or Per({DEFAULT: 1.0}),
        lookahead=lookahead,
        skew=skew,
        discounts=discounts,
        initial=config.initial,
        maintenance=config.maintenance,
        rules=rules,
        weights=tuple(config.delta_weights),
    )  # fmt: skip
    parameters = None
    if config.reduction is Reduction.span:
        parameters = _span(config, exchange, market, instruments, commodity, numbers["short_option_minimum"])
    return Scan(exchange, parameters, found.notes)


def read_points(config: ScanConfig, problems: list[str]) -> Points:
    """The table of moves; what is wrong with it goes into `problems`."""
    rows: list[tuple[float, float, float, bool, str]] = []
    for what, table, extended in (("points", config.points, False), ("extended", config.extended, True)):
        for at, row in enumerate(table or [], 1):
            numbers = _row(row, extended)
            if numbers is None:
                problems.append(
                    f"scan.{what}, row {at} is {row}: write [price, volatility, weight]"
                    + (", or null for a weight by damping" if extended else "")
                )
            elif extended and numbers[0] == 0:
                problems.append(f"scan.extended, row {at} moves nothing: write it among the points")
            else:
                rows.append((*numbers, extended, ""))
    for kind in config.skews:
        if kind not in SKEWS:
            problems.append(f"scan.skews has '{kind}': write {' or '.join(SKEWS)}")
        rows.append((0.0, 0.0, 1.0, False, kind))
    if not rows:
        problems.append("scan.points is empty: give rows of [price, volatility, weight]")
    price, volatility, weight, extended_, skew = zip(*rows, strict=True) if rows else ((),) * 5
    return Points(
        config.name, np.array(price), np.array(volatility), np.array(weight), np.array(extended_, dtype=bool),
        tuple(skew),
    )  # fmt: skip


def _row(row: Any, extended: bool) -> tuple[float, float, float] | None:
    if not isinstance(row, Sequence) or isinstance(row, str) or len(row) != 3:
        return None
    weight = np.nan if row[2] is None and extended else row[2]
    numbers = [float(n) if isinstance(n, int | float) and not isinstance(n, bool) else np.inf for n in row[:2]]
    numbers.append(float(weight) if isinstance(weight, int | float) else np.inf)
    if not np.isfinite(numbers[:2]).all() or np.isinf(numbers[2]) or numbers[2] < 0:
        return None
    return numbers[0], numbers[1], numbers[2]


def _per(value: Any, what: str, problems: list[str]) -> Per | None:
    """A number for each commodity; None where nothing is given."""
    if value is None:
        return None
    numbers = value if isinstance(value, Mapping) else {DEFAULT: value}
    for commodity, number in numbers.items():
        _number(number, what + ("" if commodity == DEFAULT else f" of {commodity}"), problems)
    return Per(dict(numbers))


def _number(value: Any, what: str, problems: list[str]) -> float:
    if isinstance(value, bool) or not isinstance(value, int | float) or not (np.isfinite(value) and value >= 0):
        problems.append(f"{what} is {value}: give a number from 0")
        return 0.0
    return float(value)


def _rules(config: ScanConfig, problems: list[str]) -> tuple[Rule, ...]:
    rules: list[Rule] = []
    for at, row in enumerate(config.contingencies or [], 1):
        if not isinstance(row, Mapping) or "rule" not in row:
            problems.append(f"scan.contingencies, entry {at} is {row}: write rule: NAME and its settings")
            continue
        name = str(row["rule"])
        wrong = contingency.problems_of(
            Rule(name, settings={key: value for key, value in row.items() if key not in _OF_RULES})
        )
        if wrong:
            problems += wrong
            continue
        settings: dict[str, object] = {}
        for key, value in row.items():
            where = f"contingency {name}.{key}"
            if key in contingency.by_commodity(name):
                settings[key] = _per(value, where, problems)
            elif key in contingency.switches(name):
                settings[key] = bool(value)
            elif key not in _OF_RULES:
                settings[key] = _number(value, where, problems)
        shares = [
            _number(row.get(key, 1.0), f"contingency {name}.{key}", problems) for key in ("initial", "maintenance")
        ]
        if any(rule.name == name for rule in rules):
            problems.append(f"contingency {name} is there twice: remove one")
        rules.append(Rule(name, bool(row.get("floor", False)), shares[0], shares[1], settings))
    return tuple(rules)


def _fields(kind: type, given: Any, what: str, problems: list[str]) -> Any:
    known = {f.name for f in dataclasses.fields(kind)}
    unknown = [key for key in (given or {}) if key not in known]
    if unknown:
        problems.append(f"scan.{what} does not know {', '.join(unknown)}: it has {', '.join(sorted(known))}")
        return kind()
    return kind(**(given or {}))


def _span(
    config: ScanConfig,
    exchange: Exchange,
    market: Market,
    instruments: Instruments,
    commodity: Sequence[str],
    minimum: Per | None,
) -> Parameters:
    """Commodities without spreads, credits and delivery: what the configuration says of them."""
    far = np.flatnonzero(np.abs(exchange.points.price) > 1)
    currency = settlement_currencies(market, instruments)
    made = []
    for name in dict.fromkeys(commodity):
        own = {money for money, c in zip(currency, commodity, strict=True) if c == name}
        made.append(
            Commodity(
                name=name,
                currency=own.pop() if len(own) == 1 else market.currency,
                price_range=exchange.price_range(name),
                relative=config.relative,
                volatility_range=exchange.volatility.up(name),
                relative_volatility=config.relative_volatility,
                extreme=float(np.abs(exchange.points.price[far]).max()) if len(far) else 2.0,
                covered=float(exchange.points.weight[far].max()) if len(far) else 0.35,
                lookahead=exchange.lookahead,
                short_option_minimum=0.0 if minimum is None else float(np.nan_to_num(minimum(name))),
            )
        )
    return Parameters(tuple(made), tie=config.tie)
