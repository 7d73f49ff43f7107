"""What can be wrong with risk arrays, grids and parameters: one line each."""

from __future__ import annotations

import math
from collections import Counter
from collections.abc import Iterable, Iterator, Mapping

import numpy as np

from mcvar.scan.arrays import RiskArrays
from mcvar.scan.grid import Grid
from mcvar.scan.parameters import Commodity, Leg, Parameters, Spread
from mcvar.scan.span.slots import contains

TIES = ("lowest", "highest")


def check_shapes(arrays: RiskArrays, grid: Grid) -> Iterator[str]:
    """Columns of different length, and grids that do not go with the arrays: nothing else can be checked then."""
    size, points = len(arrays), len(grid)
    shape = list(arrays.loss.shape)
    if shape != [size, points]:
        yield f"risk arrays: losses of shape {shape}, but {size} contracts on grid {grid.name} are [{size}, {points}]"
    for name in ("of", "currency", "delta", "value", "option", "month"):
        if len(getattr(arrays, name)) != size:
            yield f"risk arrays: {name} has {len(getattr(arrays, name))} entries, name has {size}"
    if not np.isin(arrays.of, np.arange(len(arrays.commodity))).all():
        yield f"risk arrays: of is not an index of the {len(arrays.commodity)} commodities"
    if {len(grid.volatility), len(grid.weight), len(grid.pair)} != {points}:
        yield f"grid {grid.name}: columns of different length"
    elif points == 0:
        yield f"grid {grid.name}: no points"
    elif not np.array_equal(np.argsort(grid.pair), grid.pair):
        yield f"grid {grid.name}: pair does not go back and forth between its {points} points"


def check_arrays(arrays: RiskArrays, grid: Grid, parameters: Parameters) -> Iterator[str]:
    """Duplicate names, numbers that are not finite, commodities without parameters."""
    yield from _duplicates("contract", arrays.name)
    for i, j in np.argwhere(~np.isfinite(arrays.loss)).tolist():
        yield f"contract '{arrays.name[i]}': the loss at point {j + 1} is {arrays.loss[i, j]}: give a finite number"
    for name, column in (("delta", arrays.delta), ("value", arrays.value)):
        for i in np.flatnonzero(~np.isfinite(column)).tolist():
            yield f"contract '{arrays.name[i]}': {name} is {column[i]}: give a finite number"
    known = {commodity.name: commodity for commodity in parameters.commodities}
    for c in np.unique(arrays.of).tolist():
        name = arrays.commodity[c]
        if name not in known:
            first = arrays.name[int(np.flatnonzero(arrays.of == c)[0])]
            yield f"contract '{first}' is of commodity '{name}', which has no parameters: add the commodity"
    if parameters.spreads and not (grid.price == 0).any():
        yield f"grid {grid.name} has no point at price 0, which inter-commodity credits need for time risk: add one"
    months = {(arrays.commodity[c], month) for c, month in zip(arrays.of.tolist(), arrays.month, strict=True)}
    for name, month in sorted(months):
        inside = [tier.number for tier in known[name].tiers if contains(tier, month)] if name in known else []
        if len(inside) > 1:
            yield f"commodity '{name}': month '{month}' is in tiers {_list(inside)}: a month is in one tier at most"


def check_parameters(parameters: Parameters) -> Iterator[str]:
    """Negative numbers, duplicate priorities, spreads that name what is not there."""
    if parameters.tie not in TIES:
        yield f"tie '{parameters.tie}' is not one of {', '.join(TIES)}"
    yield from _duplicates("commodity", (commodity.name for commodity in parameters.commodities))
    known = {commodity.name: commodity for commodity in parameters.commodities}
    for commodity in parameters.commodities:
        yield from _check_commodity(commodity, known)
    for priority in _repeated(spread.priority for spread in parameters.spreads):
        yield f"inter-commodity spreads: priority {priority} is there more than once: give each its own"
    for spread in parameters.spreads:
        where = f"inter-commodity spread {spread.priority}"
        yield from _check_legs(where, spread, known)
        if len({leg.commodity for leg in spread.legs}) < 2:
            yield f"{where}: its legs are of one commodity: list it with the commodity's own spreads"
        for name in _repeated(name for name, _ in sorted({(leg.commodity, leg.side) for leg in spread.legs})):
            yield f"{where}: legs of '{name}' on both sides, which its net delta cannot have: remove one"
        if spread.charge:
            yield f"{where}: a charge of {spread.charge:g}, but these spreads give credits: set it to 0"


def check_rates(
    arrays: RiskArrays, parameters: Parameters, currency: str, rates: Mapping[str, float] | None
) -> tuple[str, dict[str, float], list[str]]:
    """The reporting currency, units of it for one unit of each currency, and what is wrong with them.

    Without rates or a reporting currency all amounts must be in one currency.
    """
    used = {arrays.commodity[c] for c in np.unique(arrays.of).tolist()}
    needed = {*arrays.currency, *(each.currency for each in parameters.commodities if each.name in used)}
    if not currency and len(needed) <= 1:
        currency = next(iter(needed), "")
    found = {**(rates or {})}
    problems = []
    if not currency and len(needed) > 1:
        problems.append(f"amounts are in {_list(sorted(needed))}: say in which currency the margins are")
    if currency and found.setdefault(currency, 1.0) != 1:
        problems.append(f"rate {found[currency]:g} of {currency}, in which the margins are: it is 1")
    problems += [
        f"currency '{name}' has no rate to {currency or 'a reporting currency'}: add it"
        for name in sorted(needed - set(found))
    ]
    problems += [
        f"rate {rate} of {name}: give a positive number"
        for name, rate in found.items()
        if not (rate > 0 and math.isfinite(rate))
    ]
    return currency, found, problems


def _check_commodity(commodity: Commodity, known: Mapping[str, Commodity]) -> Iterator[str]:
    where = f"commodity '{commodity.name}'"
    for name in ("price_range", "volatility_range", "extreme", "covered", "lookahead", "short_option_minimum"):
        if name in ("price_range", "volatility_range", "lookahead") and math.isnan(getattr(commodity, name)):
            continue  # not known: the arrays of a file have it in them
        yield from _not_negative(f"{where}: {name}", getattr(commodity, name))
    if not (math.isnan(commodity.delta_unit) or 0 < commodity.delta_unit < math.inf):
        yield f"{where}: delta_unit is {commodity.delta_unit:g}: give a number above 0, or none"
    yield from _duplicates(f"{where}: tier", (tier.number for tier in commodity.tiers))
    for tier in commodity.tiers:
        if tier.number < 1:
            yield f"{where}: tier {tier.number}: tiers are numbered from 1"
    yield from _duplicates(f"{where}: delivery month", (near.month for near in commodity.delivery))
    for near in commodity.delivery:
        yield from _not_negative(f"{where}: delivery month {near.month}: spread", near.spread)
        yield from _not_negative(f"{where}: delivery month {near.month}: outright", near.outright)
    for priority in _repeated(spread.priority for spread in commodity.spreads):
        yield f"{where}: priority {priority} is there more than once among its spreads: give each its own"
    for spread in commodity.spreads:
        which = f"{where}: spread {spread.priority}"
        yield from _check_legs(which, spread, known)
        yield from _not_negative(f"{which}: charge", spread.charge)
        for name in sorted({leg.commodity for leg in spread.legs} - {commodity.name}):
            yield f"{which}: a leg of '{name}': list spreads between commodities apart"
        if len({leg.side for leg in spread.legs}) < 2:
            yield f"{which}: all legs are on one side: a spread inside a commodity needs both"


def _check_legs(where: str, spread: Spread, known: Mapping[str, Commodity]) -> Iterator[str]:
    if len(spread.legs) < 2:
        yield f"{where}: {len(spread.legs)} leg: a spread has two at least"
    for leg in spread.legs:
        if leg.commodity not in known:
            yield f"{where}: unknown commodity '{leg.commodity}': add it or remove the spread"
        elif leg.tier and leg.tier not in {tier.number for tier in known[leg.commodity].tiers}:
            yield f"{where}: unknown tier {leg.tier} of '{leg.commodity}': add it or remove the spread"
        if not (leg.ratio > 0 and math.isfinite(leg.ratio)):
            yield f"{where}: ratio {leg.ratio:g} of '{leg.commodity}': give a positive number"
        if leg.side not in (1, -1):
            yield f"{where}: side {leg.side} of '{leg.commodity}' is not one of 1, -1"
        if not 0 <= leg.credit <= 1:
            yield f"{where}: credit {leg.credit:g} of '{leg.commodity}': give a part from 0 to 1"
    for name, side in _overlapping(spread.legs):
        yield f"{where}: legs of '{name}' on side {side} share a tier: make them one, with the sum of their ratios"


def _overlapping(legs: Iterable[Leg]) -> list[tuple[str, int]]:
    """Commodity and side of legs that would take the same deltas twice."""
    tiers: dict[tuple[str, int], list[int]] = {}
    for leg in legs:
        tiers.setdefault((leg.commodity, leg.side), []).append(leg.tier)
    return [key for key, each in tiers.items() if len(set(each)) < len(each) or (0 in each and len(each) > 1)]


def _not_negative(where: str, number: float) -> Iterator[str]:
    if not (number >= 0 and math.isfinite(number)):
        yield f"{where} is {number:g}: give a number that is not negative"


def _repeated(items: Iterable[object]) -> list[object]:
    return [item for item, count in Counter(items).items() if count > 1]


def _duplicates(what: str, names: Iterable[object]) -> Iterator[str]:
    for name in _repeated(names):
        yield f"{what} '{name}' is there more than once: remove one"


def _list(items: Iterable[object]) -> str:
    return ", ".join(map(str, items))
