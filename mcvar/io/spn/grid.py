"""The scan points that an `.spn` file describes."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np

from mcvar.io.spn.fields import number
from mcvar.io.xml_stream import Element
from mcvar.scan.grid import Grid


def read_grid(points: Sequence[Element], name: str, problems: list[str]) -> Grid | None:
    """A grid of `scanPointDef` elements, which are numbered from 1; None where there is none, or what is wrong."""
    if not points:
        return None
    numbers = [element.text("point") for element in points]
    if numbers != [str(point + 1) for point in range(len(numbers))]:
        problems.append(f"line {points[0].line}: the scan points are not numbered 1 to {len(numbers)}")
        return None
    price = [_move(element, "priceScanDef", problems) for element in points]
    volatility = [_move(element, "volScanDef", problems) for element in points]
    weight = [_number(element, element, "weight", problems) for element in points]
    place = {text: s for s, text in enumerate(numbers)}
    pair = []
    for s, element in enumerate(points):
        paired = element.text("pairedPoint", numbers[s])
        if paired not in place:
            problems.append(f"line {element.line}: pairedPoint '{paired[:60]}' is not a point")
        pair.append(place.get(paired, s))
    return Grid(name, np.array(price), np.array(volatility), np.array(weight), np.array(pair, dtype=np.int64))


def _move(element: Element, tag: str, problems: list[str]) -> float:
    """A multiple of the scan range: mult x numerator / denominator."""
    if not (found := element.all(tag)):
        problems.append(f"line {element.line}: point {element.text('point')} has no {tag}")
        return np.nan
    mult, up, down = (_number(found[0], element, part, problems) for part in ("mult", "numerator", "denominator"))
    if down == 0 or not abs(move := mult * (up / down)) < np.inf:
        problems.append(f"line {element.line}: {tag} of point {element.text('point')} is not a finite number")
        return np.nan
    return move


def _number(element: Element, owner: Element, tag: str, problems: list[str]) -> float:
    text = element.text(tag, "1")
    value = number(text)
    if value is None or value != value:
        problems.append(f"line {owner.line}: {tag} '{text[:60]}' is not a finite number")
        return 1.0
    return value
