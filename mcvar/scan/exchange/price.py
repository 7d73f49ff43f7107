"""Risk arrays at the points of an exchange's grid: its ranges, volatility states, damping and conversions."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace

import numpy as np
from numpy.typing import NDArray

from mcvar.book import Book
from mcvar.engines import EngineChoice
from mcvar.errors import SettingError
from mcvar.instruments import Instruments
from mcvar.market import Market
from mcvar.scan.exchange.system import Exchange
from mcvar.scan.per import Per
from mcvar.scan.pricing.contracts import Contracts, optional
from mcvar.scan.pricing.revalue import Shifts
from mcvar.scan.pricing.risk_arrays import price_points, risk_arrays

Floats = NDArray[np.float64]


def price_exchange(
    market: Market, book: Book, commodity: Sequence[str], exchange: Exchange, choice: EngineChoice, floor: float = 0.0
) -> Contracts:
    """Risk arrays at the points of a grid; its parameters are those of `mcvar.scan.pricing.risk_arrays.risk_arrays`.

    With `exchange.parameters` the arrays are those of `risk_arrays`: sixteen points of SPAN with each commodity's own
    extreme moves, or whatever other points the grid has.

    Raises
    ------
    SettingError
        Commodities without a price range or a volatility range, prices that would reach 0.
    """
    if exchange.parameters is not None:
        grid = exchange.points.grid()
        return risk_arrays(
            market, book, commodity, exchange.parameters, choice, grid=None if grid.is_span else grid,
            weights=exchange.weights, floor=floor, units=exchange.units,
        )  # fmt: skip
    names = tuple(dict.fromkeys(commodity))
    of = np.array([names.index(c) for c in commodity], dtype=np.int64)
    p, v, i = exchange.points, exchange.volatility, book.instruments
    moving = np.isin(np.arange(len(names)), of[i.underlying >= 0])
    volatile = np.isin(np.arange(len(names)), of[np.isfinite(i.volatility)])
    problems: list[str] = []
    up = _numbers("price_range", exchange.price_range, names, moving, problems)
    down = _numbers("price_range_down", exchange.price_range_down, names, moving, problems)
    rise = _numbers("volatility_up", v.up, names, volatile, problems)
    fall = _numbers("volatility_down", v.down, names, volatile, problems)
    if problems:
        raise SettingError("; ".join(problems) + ": give numbers from 0, one for each commodity or a default")
    size = np.where(p.price >= 0, up[:, None], down[:, None])  # [C, S]
    move = p.price * np.where(p.extended, 1.0, size)
    part = p.extended | exchange.relative
    moneyness = _moneyness(market, i)
    states: dict[tuple[float, str], Floats] = {}
    for key in zip(p.volatility.tolist(), p.skew, strict=True):
        if key not in states:
            moved = v.moved(i.volatility, i.years, rise[of], fall[of], key[0])
            states[key] = exchange.skew.moved(moved, i.years, moneyness, key[1]) if key[1] else moved
    place = {key: q for q, key in enumerate(states)}
    shifts = Shifts(
        commodity=names,
        of=of,
        part=np.where(part, move, 0.0),
        add=np.where(part, 0.0, move),
        volatility=np.array(list(states.values())),
        state=np.array([place[key] for key in zip(p.volatility.tolist(), p.skew, strict=True)], dtype=np.int64),
        years=np.full(len(names), exchange.lookahead),
        floor=floor,
    )
    over = size if exchange.damping is None else np.full_like(size, exchange.damping)
    with np.errstate(divide="ignore", invalid="ignore"):
        damped = np.minimum(over / np.abs(p.price), 1.0)
    weight = np.where(np.isnan(p.weight), damped, p.weight)[of]
    if exchange.inverse_conversion:
        converted = (1.0 + p.price) / (1.0 + np.sign(p.price) * size)
        weight = weight * np.where(i.inverse[:, None] & p.extended, converted[of], 1.0)
    relative = np.full(len(names), exchange.relative)
    if exchange.basis is None:
        return price_points(
            market, book, choice, shifts, weight, size=up, relative=relative, weights=exchange.weights,
            units=exchange.units,
        )  # fmt: skip
    ends = np.tile([exchange.basis.up, -exchange.basis.down], (len(names), 1))
    together = replace(
        shifts,
        part=np.concatenate([shifts.part, ends], axis=1),
        add=np.concatenate([shifts.add, np.zeros_like(ends)], axis=1),
        volatility=np.concatenate([shifts.volatility, i.volatility[None]]),
        state=np.append(shifts.state, [len(shifts.volatility)] * 2),
    )
    whole = np.concatenate([weight, np.ones((len(i), 2))], axis=1)
    found = price_points(
        market, book, choice, together, whole, size=up, relative=relative, weights=exchange.weights,
        units=exchange.units,
    )  # fmt: skip
    loss, basis = found.arrays.loss[:, : len(p)], found.arrays.loss[:, len(p) :]
    return replace(found, arrays=replace(found.arrays, loss=np.ascontiguousarray(loss)), basis=basis)


def _moneyness(market: Market, i: Instruments) -> Floats:
    """ln(K/F) of what has a strike, [I]; NaN of what has none."""
    level = market.factors.level[np.maximum(i.underlying, 0)]
    years = np.where(np.isfinite(i.delivery), i.delivery, np.where(np.isfinite(i.years), i.years, 0.0))
    forward = (level - i.dividends) * np.exp(i.carry * years)
    with np.errstate(divide="ignore", invalid="ignore"):
        return np.where(optional(i) & (forward > 0), np.log(i.strike / forward), np.nan)


def _numbers(what: str, per: Per, names: Sequence[str], needed: NDArray[np.bool_], problems: list[str]) -> Floats:
    """Each commodity's number, [C]; 0 where nothing needs one."""
    values = np.array([per(name) for name in names])
    for c in np.flatnonzero(needed & ~(np.isfinite(values) & (values >= 0))).tolist():
        said = "not given" if np.isnan(values[c]) else f"{values[c]:g}"
        problems.append(f"{what} of '{names[c]}' is {said}")
    return np.where(needed, values, 0.0)
