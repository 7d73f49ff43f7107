"""The grid of a run as a YAML file of the group `scan`: every setting as it was resolved, ranges by commodity."""

from __future__ import annotations

import dataclasses
import json
import math
from collections.abc import Mapping, Sequence
from enum import Enum
from typing import Any

from mcvar.market import DAYS_PER_YEAR
from mcvar.scan.exchange.system import Exchange
from mcvar.scan.per import DEFAULT, Per
from mcvar.settings.scan import ScanConfig

NAME = "exported"  # of the option: one that mcvar does not have, or its own would be taken
_OF_FILES = ("file", "conventions")
_OF_TABLES = (
    "price_range", "price_range_down", "volatility_up", "volatility_down", "relative", "relative_volatility",
    "short_option_minimum",
)  # fmt: skip
_HEAD = """# The grid of a run, every setting as it was resolved; the command is margins_command in about.json.
defaults:
  - /schema/scan@_here_: template
  - _self_
"""


def grid_text(config: ScanConfig, exchange: Exchange, commodities: Sequence[str], years: float) -> str:
    r"""The content of `scan/exported.yaml`.

    Parameters
    ----------
    config : ScanConfig
        As it was asked for.
    exchange : Exchange
        What was made of it: ranges that were found are in it.
    commodities : sequence of str
        Of the book. With parameters of SPAN these are in the tables beside, so that the file names the tables.
    years : float
        Of moves that the ranges are of; NaN: not known.

    Examples
    --------
    >>> import numpy as np
    >>> from mcvar.scan.exchange.grid import Points, Reduction, VolatilityRange
    >>> one = Points("own", np.array([1.0]), np.zeros(1), np.ones(1), np.array([False]), ("",))
    >>> found = Exchange(one, Reduction.worst, Per({"X": 0.06}), Per({"X": 0.08}), VolatilityRange(Per({}), Per({})))
    >>> asked = ScanConfig(name="own", reduction=Reduction.worst, points=[[1.0, 0.0, 1.0]])
    >>> print(*grid_text(asked, found, ["X"], 1 / 365).splitlines()[4:14], sep="\n")
    name: "own"
    parameters: ""
    days: 1.0
    reduction: "worst"
    points:
      - [1.0, 0.0, 1.0]
    extended: []
    skews: []
    price_range: {"X": 0.06}
    price_range_down: {"X": 0.08}
    """
    blank = ScanConfig()
    said = {f.name: getattr(config, f.name) for f in dataclasses.fields(config) if f.name not in _OF_FILES}
    said |= {"lookahead": _days(exchange.lookahead), "coverage": blank.coverage}
    if said["days"] is None and not math.isnan(years):
        said["days"] = DAYS_PER_YEAR * years
    if exchange.parameters is not None:
        said |= {name: getattr(blank, name) for name in _OF_TABLES} | {"parameters": "."}
    else:
        ranges = {
            "price_range": exchange.price_range, "price_range_down": exchange.price_range_down,
            "volatility_up": exchange.volatility.up, "volatility_down": exchange.volatility.down,
        }  # fmt: skip
        said |= {name: _of(per, commodities) for name, per in ranges.items()}
        said["gains"] = _named(said["gains"], commodities)
        said["contingencies"] = [
            {key: _named(each, commodities) for key, each in rule.items()} for rule in said["contingencies"] or []
        ]
    return _HEAD + "".join(f"{name}:{_text(value)}\n" for name, value in said.items())


def _of(per: Per, commodities: Sequence[str]) -> dict[str, float]:
    return {name: per(name) for name in commodities if not math.isnan(per(name))}


def _named(value: Any, commodities: Sequence[str]) -> Any:
    """A number, or those of the book's commodities alone: nothing in the folder knows the names of others."""
    if not isinstance(value, Mapping):
        return value
    return {name: each for name, each in value.items() if name == DEFAULT or name in commodities}


def _days(years: float) -> float | None:
    """The days that are these years to the bit; None where no number is: the horizon of the command gives them."""
    days = DAYS_PER_YEAR * years
    return days if days / DAYS_PER_YEAR == years else None


def _text(value: Any) -> str:
    """A value as YAML: JSON is part of it, and keeps all bits; rows of a table have a line each."""
    if isinstance(value, list | tuple) and any(isinstance(row, list | tuple | dict) for row in value):
        return "".join(f"\n  - {_json(row)}" for row in value)
    return f" {_json(value)}"


def _json(value: Any) -> str:
    return json.dumps(value, ensure_ascii=False, allow_nan=False, default=_name)


def _name(value: Any) -> str:
    assert isinstance(value, Enum)
    return value.name
