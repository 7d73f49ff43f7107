"""Values of a scan grid's configuration, each checked: what is wrong goes into a list, to be told at once."""

from __future__ import annotations

import dataclasses
from collections.abc import Mapping, Sequence
from typing import Any, TypeVar

import numpy as np

from mcvar.scan.exchange import contingency
from mcvar.scan.exchange.grid import SKEWS, Discounts, ExpiryBasis, Points, Rule, Skew
from mcvar.scan.per import DEFAULT, Per
from mcvar.settings.scan import ScanConfig

T = TypeVar("T", Skew, Discounts, ExpiryBasis)
_OF_RULES = ("rule", "floor", "initial", "maintenance")
# [low, high] of each field, the bounds that Derive's contracts have; "(" where low itself is out.
_BOUNDS: Mapping[type, Mapping[str, tuple[str, float, float]]] = {
    Skew: {
        "linear_cap": ("[", 0, 10), "linear_slope": ("[", -10, 10), "abs_cap": ("[", 0, 10),
        "abs_slope": ("[", -10, 10), "least": ("(", 0, 10), "width": ("(", 0, 10), "level": ("[", 0, 10),
        "tilt": ("[", -20, 20),
    },
    Discounts: {
        "long_base": ("[", 0, 4), "long_multiple": ("[", 0, 10), "long_add": ("[", 0, 10),
        "short_base": ("[", 0, 4), "short_multiple": ("[", 0, 10), "short_add": ("[", 0, 10),
    },
    ExpiryBasis: {"up": ("(", 0, 2), "down": ("(", 0, 0.99), "add": ("[", 0, 20), "multiple": ("[", 0, 20)},
}  # fmt: skip


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


def read_per(value: Any, what: str, problems: list[str]) -> Per | None:
    """A number for each commodity; None where nothing is given."""
    if value is None:
        return None
    numbers = value if isinstance(value, Mapping) else {DEFAULT: value}
    for commodity, number in numbers.items():
        _number(number, what + ("" if commodity == DEFAULT else f" of {commodity}"), problems)
    return Per(dict(numbers))


def read_rules(config: ScanConfig, problems: list[str]) -> tuple[Rule, ...]:
    """Contingencies."""
    rules: list[Rule] = []
    for at, row in enumerate(config.contingencies or [], 1):
        if not isinstance(row, Mapping) or "rule" not in row:
            problems.append(f"scan.contingencies, entry {at} is {row}: write rule: NAME and its settings")
            continue
        name = str(row["rule"])
        own = {key: value for key, value in row.items() if key not in _OF_RULES}
        if wrong := list(contingency.problems_of(Rule(name, settings=own))):
            problems += wrong
            continue
        settings: dict[str, object] = {}
        for key, value in own.items():
            where, kind = f"contingency {name}.{key}", contingency.RULES[name].settings[key]
            read = read_per if kind is Per else _switch if kind is bool else _number
            settings[key] = read(value, where, problems)
        shares = [
            _number(row.get(key, 1.0), f"contingency {name}.{key}", problems) for key in ("initial", "maintenance")
        ]
        if any(rule.name == name for rule in rules):
            problems.append(f"contingency {name} is there twice: remove one")
        floor = _switch(row.get("floor", False), f"contingency {name}.floor", problems)
        rules.append(Rule(name, floor, shares[0], shares[1], settings))
    return tuple(rules)


def read_fields(kind: type[T], given: Any, what: str, problems: list[str]) -> T:
    r"""A `Skew`, `Discounts` or `ExpiryBasis` of a mapping of its fields.

    Examples
    --------
    >>> problems = []
    >>> _ = read_fields(Skew, {"width": 0, "least": "much", "caps": 1}, "scan.skew", problems)
    >>> print(*problems, sep="\n")
    scan.skew does not know caps: it has abs_cap, abs_slope, least, level, linear_cap, linear_slope, tilt, width
    scan.skew.width is 0: give a number above 0 and up to 10
    scan.skew.least is 'much': give a number above 0 and up to 10
    """
    if not isinstance(given or {}, Mapping):
        problems.append(f"{what} is {given!r}: write its fields, such as {{{dataclasses.fields(kind)[0].name}: 0.1}}")
        return kind()
    bounds, fields = _BOUNDS[kind], dict(given or {})
    if unknown := [str(key) for key in fields if key not in bounds]:
        problems.append(f"{what} does not know {', '.join(unknown)}: it has {', '.join(sorted(bounds))}")
    found: dict[str, float] = {}
    for name in (key for key in fields if key in bounds):
        (side, low, high), value = bounds[name], fields[name]
        if not _is_number(value) or not low <= value <= high or (side == "(" and value == low):
            least = f"above {low:g} and up to" if side == "(" else f"from {low:g} to"
            problems.append(f"{what}.{name} is {value!r}: give a number {least} {high:g}")
        else:
            found[name] = float(value)
    return kind(**found)


def _is_number(value: Any) -> bool:
    return isinstance(value, int | float) and not isinstance(value, bool) and bool(np.isfinite(value))


def _switch(value: Any, what: str, problems: list[str]) -> bool:
    if not isinstance(value, bool):
        problems.append(f"{what} is {value!r}: write true or false")
    return value is True


def _number(value: Any, what: str, problems: list[str]) -> float:
    if not _is_number(value) or value < 0:
        problems.append(f"{what} is {value}: give a number from 0")
        return 0.0
    return float(value)


def _row(row: Any, extended: bool) -> tuple[float, float, float] | None:
    if not isinstance(row, Sequence) or isinstance(row, str) or len(row) != 3:
        return None
    weight = np.nan if row[2] is None and extended else row[2]
    numbers = [float(n) if isinstance(n, int | float) and not isinstance(n, bool) else np.inf for n in row[:2]]
    numbers.append(float(weight) if isinstance(weight, int | float) else np.inf)
    if not np.isfinite(numbers[:2]).all() or np.isinf(numbers[2]) or numbers[2] < 0:
        return None
    return numbers[0], numbers[1], numbers[2]
