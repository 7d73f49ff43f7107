"""Fields of fixed-width SPAN records: text, whole numbers with implied decimals, signs, prices with fractions.

Columns are 0-based and half-open. The layouts are those of CME Group, "Risk Parameter File Layouts for the Positional
Formats", expanded format (cmegroup.com, SPAN pages).
"""

from __future__ import annotations

import math
from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import NamedTuple

Key = tuple[str, str, str]  # exchange, product, type
# The length that each record that is read must have; what stands behind it may be cut off where it is blank.
LENGTH = {"0": 37, "2": 35, "3": 10, "4": 69, "6": 52, "81": 108, "82": 118, "83": 135, "84": 139, "B": 91, "C": 35,
          "P": 69, "S": 26}  # fmt: skip
# Records that mcvar does not need: exchanges, groups, rates of exchange, adjustments; and those whose part of the
# algorithm it does not have, with what that part is.
UNUSED = ("1", "5", "T", "V")
NOT_CARRIED = {
    "9": "debt securities margined as futures",
    "E": "spreads between series",
    "R": "products moved to the combined commodity of another exchange",
    "X": "combination margining",
    "Y": "options on combinations",
    "Z": "legs of combinations",
}
_PLACES = 20
_EIGHTHS = {0: 0.0, 1: 0.125, 2: 0.25, 3: 0.375, 5: 0.5, 6: 0.625, 7: 0.75, 8: 0.875}


@dataclass
class Line:
    """One record, and the list that takes what is wrong with it."""

    text: str
    number: int
    problems: list[str] = field(repr=False)

    def say(self, problem: str) -> None:
        """Record a problem of this line."""
        self.problems.append(f"line {self.number}: {problem}")

    def cut(self, start: int, stop: int) -> str:
        """The text of a field, stripped."""
        return self.text[start:stop].strip()

    def whole(self, start: int, stop: int, what: str, default: int | None = None) -> int:
        """A whole number without a sign; `default` where it is blank, else a problem and 0."""
        digits = self.text[start:stop].strip()
        if digits.isdigit() and digits.isascii():
            return int(digits)
        if digits or default is None:
            said = f"'{digits}' is not a whole number" if digits else "is blank"
            self.say(f"{what} {said} (columns {start + 1} to {stop})")
            return 0
        return default

    def decimal(self, start: int, stop: int, places: int, what: str, default: float | None = None) -> float:
        """A number with implied decimals, correctly rounded."""
        if default is not None and not self.text[start:stop].strip():
            return default
        return scaled(self.whole(start, stop, what), -places)

    def locator(self, start: int, what: str) -> int:
        """Three digits, the first of which may be a minus."""
        minus = self.text[start : start + 1] == "-"
        places = self.whole(start + minus, start + 3, what, None if minus else 0)
        if places > _PLACES:
            self.say(f"{what} {places} is above {_PLACES}")
            return 0
        return -places if minus else places

    def sign(self, at: int, what: str) -> int:
        """+1 for a plus or a blank, -1 for a minus."""
        mark = self.text[at : at + 1]
        if mark not in ("", " ", "+", "-"):
            self.say(f"the sign of {what} is '{mark}', not + or - (column {at + 1})")
        return -1 if mark == "-" else 1

    def pairs(self, start: int, count: int, width: int, first: int, what: str) -> list[int]:
        """`count` values of `width` digits, each with its sign behind it."""
        values = []
        for i in range(count):
            at = start + i * (width + 1)
            value = self.whole(at, at + width, f"scenario {first + i} of {what}")
            values.append(value * self.sign(at + width, f"scenario {first + i} of {what}"))
        return values

    def month(self, start: int, day: int) -> tuple[str, str]:
        """A contract month with its day or week code as the file has it, and the month alone; "" for none."""
        digits = self.text[start : start + 6].strip()
        if not digits.strip("0"):
            return "", ""
        if not (len(digits) == 6 and digits.isdigit() and digits.isascii() and 1 <= int(digits[4:]) <= 12):
            self.say(f"'{digits}' is not a contract month CCYYMM (columns {start + 1} to {start + 6})")
            return "", ""
        code = self.text[day : day + 2].strip()
        if code in ("", "00"):
            return digits, digits
        return digits + code, digits + code if len(code) == 2 and code.isdigit() and code.isascii() else digits


class Price(NamedTuple):
    """How prices of a product are written: the record P."""

    places: int  # settlement price decimal locator
    alignment: str  # settlement price alignment code
    strike_places: int
    factor: float  # contract value factor, in the currency for one point of price
    currency: str
    premium: bool  # whether an option's premium is paid up front; else futures-style


def scaled(raw: int, exponent: int) -> float:
    """Raw times ten to a power, correctly rounded for what fits 15 digits.

    Examples
    --------
    >>> scaled(139100, -3), scaled(-5, 2)
    (139.1, -500.0)
    """
    return raw * 10.0**exponent if exponent > 0 else raw / 10.0**-exponent


def price(raw: int, form: Price, parts: Mapping[str, int]) -> float:
    """A settlement price; NaN where its alignment code or its last digit is not known.

    Without an alignment code the digits are decimals. With one the last digit is an eighth cut off to one place
    (2 is 1/4, 7 is 3/4), of 1/`parts` of a point of what stands before it: with code C, 122060 at locator 3 is
    122 + 6/32, and with code 0, 3757 at locator 3 is 3.7575.

    Examples
    --------
    >>> price(122065, Price(3, "C", 0, 1000.0, "USD", True), {"C": 32, "0": 1})
    122.203125
    """
    if form.alignment in ("", " "):
        return scaled(raw, -form.places)
    ahead, eighth = divmod(raw, 10)
    if form.alignment not in parts or eighth not in _EIGHTHS or form.places < 1:
        return math.nan
    if (part := parts[form.alignment]) == 1:
        return (ahead + _EIGHTHS[eighth]) / 10.0 ** (form.places - 1)
    whole, fraction = divmod(ahead, 10 ** (form.places - 1))
    return whole + (fraction + _EIGHTHS[eighth]) / part if fraction < part else math.nan
