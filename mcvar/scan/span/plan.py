"""Arrays and parameters made ready: contracts sorted by commodity, names made numbers, money in one currency."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from mcvar.scan.arrays import RiskArrays
from mcvar.scan.grid import Grid
from mcvar.scan.parameters import Parameters
from mcvar.scan.span.inter import Pools, resolve_pools
from mcvar.scan.span.intra import Intra, Near, resolve_delivery, resolve_spreads
from mcvar.scan.span.short import netting_class
from mcvar.scan.span.slots import Slots, slots

Floats = NDArray[np.float64]
Ints = NDArray[np.int64]


@dataclass(frozen=True)
class Terms:
    """What a commodity's deltas are charged: slots, spreads and months near delivery."""

    slots: Slots
    spreads: tuple[Intra, ...]
    near: tuple[Near, ...]


@dataclass(frozen=True)
class Plan:
    """Everything about margins but who holds what. Contracts are in the order of `order`; money is in `currency`.

    Parameters
    ----------
    arrays : RiskArrays
    grid : Grid
    parameters : Parameters
    currency : str
        Of all amounts.
    rates : mapping of str to float
        Units of it for one unit of each currency.
    order : ndarray [I]
        Contracts as `arrays` numbers them: by commodity, then by netting class.
    rank : ndarray [I]
        Where each contract stands in that order.
    commodity : ndarray [I] of int32
        In the order of `parameters`.
    loss : ndarray [I, S]
    size : ndarray [I]
        The largest |loss| of each.
    delta, value : ndarray [I]
    slot : ndarray [I]
        Of the commodity's slots.
    option : ndarray [I]
        1 for options, 0 for others.
    kind : ndarray [I]
        Netting class.
    minimum : ndarray [C]
        Of one short option.
    terms : mapping of int to Terms
        By commodity, of those that have contracts.
    pools : Pools
    level : int
        The point without a move of the price, for time risk; -1: none.
    """

    arrays: RiskArrays
    grid: Grid
    parameters: Parameters
    currency: str
    rates: Mapping[str, float]
    order: Ints
    rank: NDArray[np.int32]
    commodity: NDArray[np.int32]
    loss: Floats
    size: Floats
    delta: Floats
    value: Floats
    slot: Ints
    option: Floats
    kind: Ints
    minimum: Floats
    terms: Mapping[int, Terms]
    pools: Pools
    level: int


def make_plan(
    arrays: RiskArrays, grid: Grid, parameters: Parameters, currency: str, rates: Mapping[str, float]
) -> Plan:
    """Resolve arrays and parameters in which `mcvar.scan.span.check` found nothing wrong."""
    index = {commodity.name: c for c, commodity in enumerate(parameters.commodities)}
    of = np.array([index[name] for name in arrays.commodity], dtype=np.int64)[arrays.of]
    numbered = RiskArrays(
        arrays.name, tuple(index), of, arrays.currency, arrays.loss, arrays.delta, arrays.value, arrays.option,
        arrays.month,
    )  # fmt: skip
    kind = netting_class(numbered, grid, parameters.commodities)
    order = np.lexsort((kind, of))
    rank = np.empty(len(order), dtype=np.int32)
    rank[order] = np.arange(len(order), dtype=np.int32)

    months: dict[int, list[str]] = {}
    for c, month in zip(of.tolist(), arrays.month, strict=True):
        months.setdefault(c, []).append(month)
    terms = {}
    for c, held in sorted(months.items()):
        commodity = parameters.commodities[c]
        kept, unit = slots(commodity, held), rates[commodity.currency]
        terms[c] = Terms(kept, resolve_spreads(commodity, kept, unit), resolve_delivery(commodity, kept, unit))
    slot = np.array([terms[c].slots.of[m] for c, m in zip(of.tolist(), arrays.month, strict=True)], dtype=np.int64)
    rate = np.array([rates[name] for name in arrays.currency])
    level = np.flatnonzero(grid.price == 0)
    loss = np.ascontiguousarray((arrays.loss * rate[:, None])[order])
    return Plan(
        arrays=arrays,
        grid=grid,
        parameters=parameters,
        currency=currency,
        rates=rates,
        order=order,
        rank=rank,
        commodity=of[order].astype(np.int32),
        loss=loss,
        size=np.abs(loss).max(axis=1),
        delta=arrays.delta[order],
        value=(arrays.value * rate)[order],
        slot=slot[order],
        option=arrays.option[order].astype(np.float64),
        kind=kind[order],
        minimum=np.array([c.short_option_minimum * rates.get(c.currency, 0.0) for c in parameters.commodities]),
        terms=terms,
        pools=resolve_pools(parameters.spreads, index, {c: each.slots for c, each in terms.items()}),
        level=int(level[0]) if len(level) else -1,
    )
