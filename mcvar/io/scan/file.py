"""What a file of a clearing house says: risk arrays, parameters, and what of it mcvar does not carry."""

from __future__ import annotations

import re
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

import numpy as np

from mcvar.columns import Columns
from mcvar.io.contracts import Contracts
from mcvar.scan.arrays import RiskArrays
from mcvar.scan.grid import Grid
from mcvar.scan.parameters import Parameters

MONTH = re.compile(r"[0-9]{4}(0[1-9]|1[0-2])(0[1-9]|[12][0-9]|3[01])?")
ARRAYS = ("instrument", "commodity", "currency", "month", "option", "value", "delta")
COMMODITIES = (
    "commodity", "currency", "price_range", "relative", "volatility_range", "relative_volatility", "extreme", "covered",
    "lookahead", "short_option_minimum", "short_netted", "delta_unit",
)  # fmt: skip
_LAST_DIGIT = 1e-6
TIERS = ("commodity", "tier", "first", "last")
SPREADS = ("spread", "kind", "priority", "charge", "commodity", "tier", "ratio", "side", "credit")
DELIVERY = ("commodity", "month", "spread", "outright")


@dataclass(frozen=True)
class Stated:
    """What risk arrays were made at and of, as far as their file says.

    Parameters
    ----------
    days : float
        Days of moves that the scan ranges are meant to cover; NaN: not known.
    valuation : datetime64[us]
        UTC; NaT: not known.
    currency : str
        Reporting currency of the run that made them; "": not known.
    level : mapping of str to float
        Of the price factors, by factor.
    """

    days: float = float("nan")
    valuation: np.datetime64 = field(default_factory=lambda: np.datetime64("NaT", "us"))
    currency: str = ""
    level: Mapping[str, float] = field(default_factory=dict)


@dataclass(frozen=True)
class ScanFile:
    """What was read.

    Parameters
    ----------
    arrays : RiskArrays [I]
    parameters : Parameters
    grid : Grid or None
        The points of the arrays, where the file describes them.
    contracts : Contracts or None
        [I], where the file describes them.
    notes : tuple of str
        What the file says and mcvar's algorithm does not carry, and conventions that were assumed: for the record.
    stated : Stated or None
        Where the file says what the arrays were made of.
    """

    arrays: RiskArrays
    parameters: Parameters
    grid: Grid | None = None
    contracts: Contracts | None = None
    notes: tuple[str, ...] = ()
    stated: Stated | None = None


@dataclass(frozen=True)
class Tables:
    """The rows of a scan file, known by where they stand, before they are checked."""

    arrays: Columns
    commodities: Columns
    tiers: Columns
    spreads: Columns
    delivery: Columns


def rows(source: str, names: Sequence[str], found: Iterable[tuple[int, Mapping[str, Any]]]) -> Columns:
    """A table of rows that know their lines; cells that a row does not name are blank."""
    listed = list(found)
    data = {name: np.array([row.get(name, "") for _, row in listed], dtype=object) for name in names}
    return Columns(source, data, "line", np.array([line for line, _ in listed], dtype=np.int64))


def published_years(years: float) -> float:
    """A look-ahead that is published in years with six decimals: whole days where it is these to its last digit.

    Examples
    --------
    >>> [published_years(years) == 1 / 365 for years in (0.002739, 0.00274, 0.003)]
    [True, True, False]
    """
    days = round(365 * years) if np.isfinite(years) else 0
    return days / 365 if days and abs(years - days / 365) < _LAST_DIGIT else years


def month_of(code: str) -> str | None:
    """A contract month of a file as YYYYMM or YYYYMMDD: "" for zeros or blanks, None for what is no month.

    Examples
    --------
    >>> month_of("202507"), month_of("20250715"), month_of("202507W2"), month_of("00000000"), month_of("209913")
    ('202507', '20250715', '202507', '', None)
    """
    code = code.strip()
    if not code.strip("0"):
        return ""
    if MONTH.fullmatch(code):
        return code
    return code[:6] if MONTH.fullmatch(code[:6]) and len(code) == 8 else None
