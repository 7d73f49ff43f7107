"""Scan ranges of `.pa2` files: record B, of a future or a series of options, and what it says of a whole commodity."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass

import numpy as np

from mcvar.io.pa2.fields import Key, Line, Price, scaled
from mcvar.io.scan.file import published_years


@dataclass(frozen=True)
class Ranges:
    """What record B says.

    Parameters
    ----------
    key : (str, str, str)
        Exchange, product and type.
    price, price_exponent : int
        Price scan range, in the file's digits and a power of ten.
    price_flag, volatility_flag : str
        `P` for per cent of the price or of the volatility; else absolute.
    volatility : float
        Volatility scan range.
    extreme, covered : float
        Of extreme moves.
    lookahead : float
        Years; NaN where it is blank.
    factor : float
        Contract value factor of the contract itself; 0: that of its product.
    """

    key: Key
    price: int
    price_exponent: int
    price_flag: str
    volatility: float
    volatility_flag: str
    extreme: float
    covered: float
    lookahead: float
    factor: float


def read_ranges(line: Line) -> tuple[Ranges, tuple[str, str]]:
    """A record B, and the months of its contract as names have them."""
    key = (line.cut(2, 5), line.cut(5, 15), line.cut(15, 18))
    month, _ = line.month(18, 24)
    option_month, _ = line.month(27, 33)
    exponent = line.whole(165, 167, "the exponent of the price scan range", 0)
    found = Ranges(
        key=key,
        price=line.whole(52, 57, "the price scan range", 0),
        price_exponent=-exponent if line.cut(167, 168) == "-" else exponent,
        price_flag=line.cut(164, 165),
        volatility=line.decimal(44, 52, 6, "the volatility scan range", 0.0),
        volatility_flag=line.cut(163, 164),
        extreme=line.decimal(57, 62, 3, "the extreme move multiplier", 0.0),
        covered=line.decimal(62, 67, 4, "the covered fraction", 0.0),
        lookahead=published_years(line.decimal(79, 85, 6, "the look-ahead time", np.nan)),
        factor=line.decimal(128, 142, 7, "the contract value factor", 0.0),
    )
    return found, (month, option_month if key[2].startswith("OO") else "")


def widest(
    ranges: Sequence[Ranges], prices: Mapping[Key, Price], price_scan: str, volatility: str
) -> tuple[dict[str, object], bool, bool]:
    """Cells of a commodity's row: the widest ranges of its contracts, futures before options.

    Also whether the ranges differ, and whether the look-aheads do, of which the first stands for all.
    """
    first = next((r for r in ranges if not r.key[2].startswith("OO")), ranges[0])
    cells: dict[str, object] = {"extreme": first.extreme, "covered": first.covered}
    stated = {r.lookahead: None for r in [first, *ranges] if np.isfinite(r.lookahead)}
    cells["lookahead"] = next(iter(stated), np.nan)
    cells["volatility_range"] = 0.0
    points = {_points(r, prices.get(r.key), price_scan) for r in ranges if r.price and r.key[2] == first.key[2]}
    same = [size for size, part in points if size is not None and part == (first.price_flag == "P")]
    if same:
        cells |= {"price_range": max(same), "relative": str(first.price_flag == "P").lower()}
    options = [r for r in ranges if r.volatility]
    if options:
        part = options[0].volatility_flag == "P"
        unit = 100.0 if volatility == "percent" or (volatility == "flag" and part) else 1.0
        cells["volatility_range"] = max(r.volatility for r in options) / unit
        cells["relative_volatility"] = str(part).lower()
    return cells, len(points) > 1 or len({r.volatility for r in options}) > 1, len(stated) > 1


def _points(ranges: Ranges, form: Price | None, price_scan: str) -> tuple[float | None, bool]:
    """The scan range in points of price, or as a part of the price; None where the value of a point is not known."""
    raw = scaled(ranges.price, ranges.price_exponent)
    if ranges.price_flag == "P":
        return raw / 100.0, True
    if price_scan == "price":
        return scaled(ranges.price, ranges.price_exponent - (form.places if form else 0)), False
    point = ranges.factor or (form.factor if form else 0.0)
    return (raw / point if point and np.isfinite(raw / point) else None), False
