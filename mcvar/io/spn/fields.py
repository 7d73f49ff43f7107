"""What the XML of PC-SPAN and mcvar's own XML have in common: element names, conventions, notes, numbers."""

from __future__ import annotations

import json
import math
from collections.abc import Mapping
from dataclasses import dataclass
from fractions import Fraction
from typing import Any, ClassVar

import numpy as np

TARGET = "mcvar"  # of processing instructions, which other programs pass over
FORMAT = "4.00"
# Portfolios (product families) by the type of their contracts, and the element of one contract.
PORTFOLIOS = {
    "phyPf": ("PHY", "phy"), "equityPf": ("STOCK", "equity"), "futPf": ("FUT", "fut"), "fwdPf": ("FWD", "fwd"),
    "cmbPf": ("CMB", "cmb"), "oofPf": ("OOF", "opt"), "oopPf": ("OOP", "opt"), "oocPf": ("OOC", "opt"),
    "ooePf": ("OOE", "opt"), "oosPf": ("OOS", "opt"),
}  # fmt: skip
CONTRACTS = frozenset(element for _, element in PORTFOLIOS.values())
SCANS = ("priceScan", "priceScanPct", "volScan", "volScanPct")
CONTAINERS = frozenset((
    "spanFile", "definitions", "pointInTime", "clearingOrg", "pointDef", "ccDef", "intraTiers", "interTiers",
    "somTiers", "rateTiers", "scanTiers", "interSpreads", "superSpreads", "interClearSpreads", "exchange", "series",
    *PORTFOLIOS,
))  # fmt: skip


@dataclass(frozen=True)
class Conventions:
    """What the published descriptions of the format leave open.

    Parameters
    ----------
    rate : int
        Where a charge has several rates (`r`, by type of account), the number of the one that is read.
    credits : str
        Unit of inter-commodity credit rates: `fraction` or `percent`.
    risk_exponent : bool
        Whether arrays still have to be multiplied by ten to the power of `riskExponent`. CME Group says that XML files
        are not subject to its reason.
    percent : bool
        Whether `priceScanPct` and `volScanPct` are in per cent; else fractions.
    """

    CHOICES: ClassVar[Mapping[str, tuple[str, ...]]] = {"credits": ("fraction", "percent")}

    rate: int = 1
    credits: str = "fraction"
    risk_exponent: bool = False
    percent: bool = True


def note(**said: Any) -> str:
    """The data of a processing instruction: JSON in ASCII that cannot end it."""
    known = {key: None if value != value else value for key, value in said.items()}  # NaN: not known
    return json.dumps(known, sort_keys=True, separators=(",", ":")).replace(">", "\\u003e")


def read_note(data: str) -> dict[str, Any] | None:
    """What `note` wrote: {} for nothing, None for what it did not write."""
    if not data.strip():
        return {}
    try:
        said = json.loads(data)
    except (ValueError, RecursionError):
        return None
    return said if isinstance(said, dict) and all(isinstance(v, str | int | float | bool | list) or v is None
                                                  for v in said.values()) else None  # fmt: skip


def number(text: str) -> float | None:
    """A finite number as XML writes it, else None; "" is NaN."""
    if not text:
        return math.nan
    try:
        found = float(text)
    except ValueError:
        return None
    return None if "_" in text or not math.isfinite(found) else found


def decimal(value: float) -> str:
    """The shortest digits that read back to the same bits, without an exponent.

    Examples
    --------
    >>> decimal(0.1), decimal(1e-7), decimal(-0.0), decimal(25.0)
    ('0.1', '0.0000001', '-0.0', '25.0')
    """
    said = repr(float(value))
    return str(np.format_float_positional(value, trim="0")) if "e" in said else said


def ratio(value: float) -> tuple[str, str]:
    """Numerator and denominator whose quotient has the same bits: thirds where they do.

    Examples
    --------
    >>> ratio(2 / 3), ratio(0.1234)
    (('2', '3'), ('0.1234', '1'))
    """
    small = Fraction(value).limit_denominator(12)
    if float(small) == value and (value or math.copysign(1, value) > 0):
        return str(small.numerator), str(small.denominator)
    return decimal(value), "1"
