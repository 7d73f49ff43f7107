"""Risk arrays by mcvar's own pricer: what one long unit of each contract loses at each point of a grid.

Base values are today's, values at the points those after the look-ahead: time decay is in the arrays, and so are the
fractions of extreme moves that count. A price range moves the price factors; a dated future or an option on a spot
follows by its carry, exactly as in a simulated scenario, so that both say the same of the same move.
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import replace

import numpy as np
from numpy.typing import NDArray

from mcvar.book import Book
from mcvar.engines import EngineChoice
from mcvar.errors import SettingError
from mcvar.instruments import Instruments, Kind
from mcvar.market import Market
from mcvar.scan.arrays import RiskArrays
from mcvar.scan.grid import Grid
from mcvar.scan.parameters import Commodity, Parameters
from mcvar.scan.pricing.contracts import (
    Contracts,
    months,
    optional,
    rates_today,
    settlement_currencies,
    spot_today,
)
from mcvar.scan.pricing.revalue import Shifts, revalue, worth
from mcvar.scan.pricing.units import DeltaUnit, Units

Floats = NDArray[np.float64]
Ints = NDArray[np.int64]
WEIGHTS = (0.270, 0.217, 0.110, 0.037)  # of the delta at 0 and at each of +-1/3, +-2/3, +-1 of the price range
_BUMP = 1e-3  # of the price range, for deltas
_FALLBACK = 0.01  # of the price, where there is no price range


def risk_arrays(
    market: Market,
    book: Book,
    commodity: Sequence[str],
    parameters: Parameters,
    choice: EngineChoice,
    *,
    grid: Grid | None = None,
    weights: Sequence[float] = WEIGHTS,
    floor: float = 0.0,
    units: Units | None = None,
) -> Contracts:
    """Price risk arrays and composite deltas.

    Parameters
    ----------
    market : Market
    book : Book
        Whose instruments are priced.
    commodity : sequence of str [I]
        See `mcvar.scan.pricing.contracts.commodity_names`.
    parameters : Parameters
        Ranges, look-aheads and extreme moves of the commodities.
    choice : EngineChoice
    grid : Grid, optional
        Of all commodities; without it each has the sixteen points of SPAN with its own `extreme` and `covered`.
    weights : sequence of float
        Of the composite delta: at the unmoved price, then at one, two, ... equal steps to each side, the last of which
        is the price range.
    floor : float
        See `Shifts`: for ranges that are tried out; 0 for margins.
    units : mapping of str to DeltaUnit, optional
        What one delta of a commodity is on where `parameters` do not say it: see `delta_units`.

    Raises
    ------
    SettingError
        Commodities without parameters, ranges that are negative or not finite, prices that would reach 0: all at once.

    Examples
    --------
    >>> from mcvar import book, correlation, market
    >>> from mcvar.columns import Columns
    >>> from mcvar.engines import choose
    >>> factors, volatility = market.read_factors(
    ...     Columns.of("factors", factor=["A"], kind=["price"], level=[100.0], volatility=[0.2]))
    >>> m = market.build(factors=factors, volatility=volatility, estimate=correlation.constant(1, 0.0),
    ...     valuation=np.datetime64("2026-01-02", "us"), currency="USD")
    >>> held = Columns.of("positions", account=["X"], instrument=["F"], quantity=[1.0])
    >>> b = book.resolve(Columns.of("instruments", instrument=["F"], kind=["perpetual"], underlying=["A"]), held, m)
    >>> found = risk_arrays(m, b, ["A"], Parameters((Commodity("A", "USD", price_range=6.0),)), choose("numpy")).arrays
    >>> found.loss.round(9)[0, 10:].tolist(), found.delta.round(9).tolist()  # 35 % of 12.0 is 4.2
    ([-6.0, -6.0, 6.0, 6.0, -4.2, 4.2], [1.0])
    """
    names, of = _index(commodity)
    i = book.instruments
    cash = set(names) - {names[c] for c in of[i.underlying >= 0].tolist()}
    known = {**{name: Commodity(name, name, 0.0) for name in cash}, **{c.name: c for c in parameters.commodities}}
    chosen = _chosen(names, known)
    grids = [grid or Grid.span(c.extreme, c.covered) for c in chosen]
    multiple = np.array([g.price for g in grids])
    size = np.array([c.price_range for c in chosen])
    relative = np.array([c.relative for c in chosen])
    states, state = np.unique(grids[0].volatility, return_inverse=True)
    up = np.array([c.volatility_range for c in chosen])[of]
    volatility = [
        np.where([chosen[c].relative_volatility for c in of], i.volatility * (1.0 + s * up), i.volatility + s * up)
        for s in states
    ]
    shifts = Shifts(
        commodity=names,
        of=of,
        part=multiple * (size * relative)[:, None],
        add=multiple * (size * ~relative)[:, None],
        volatility=np.maximum(np.array(volatility).reshape(len(states), len(i)), 0.0),  # NaN stays
        state=state.reshape(-1),
        years=np.array([c.lookahead for c in chosen]),
        floor=floor,
    )
    weight = np.array([g.weight for g in grids])[of]
    return price_points(
        market, book, choice, shifts, weight,
        size=size, relative=relative, weights=weights, units=delta_units(chosen, units),
    )  # fmt: skip


def price_points(
    market: Market,
    book: Book,
    choice: EngineChoice,
    shifts: Shifts,
    weight: Floats,
    *,
    size: Floats,
    relative: NDArray[np.bool_],
    weights: Sequence[float] = WEIGHTS,
    units: Units | None = None,
) -> Contracts:
    """Risk arrays at given points.

    Parameters
    ----------
    shifts : Shifts
    weight : ndarray [I, S]
        Of the losses.
    size : ndarray [C]
        Price ranges, over which composite deltas are taken.
    relative : ndarray [C] of bool
        Whether these are parts of the prices.
    weights : sequence of float
        Of the composite delta, as in `risk_arrays`.
    units : mapping of str to DeltaUnit, optional
        What one delta of a commodity is on; one unit of the underlying where it is not there.

    Examples
    --------
    Two future points of a call that is far in the money: it loses what its underlying does.

    >>> from mcvar import book, correlation, market
    >>> from mcvar.columns import Columns
    >>> from mcvar.engines import choose
    >>> factors, volatility = market.read_factors(
    ...     Columns.of("factors", factor=["A"], kind=["price"], level=[100.0], volatility=[0.2]))
    >>> m = market.build(factors=factors, volatility=volatility, estimate=correlation.constant(1, 0.0),
    ...     valuation=np.datetime64("2026-01-02", "us"), currency="USD")
    >>> call = Columns.of("instruments", instrument=["C"], kind=["option"], option_type=["call"], underlying=["A"],
    ...     strike=[20.0], expiry=["2026-01-03"], volatility=[0.2], multiplier=[50.0])
    >>> b = book.resolve(call, Columns.of("positions", account=["X"], instrument=["C"], quantity=[1.0]), m)
    >>> shifts = Shifts(("A",), np.array([0]), part=np.array([[0.1, -0.1]]), add=np.zeros((1, 2)),
    ...     volatility=b.instruments.volatility[None], state=np.array([0, 0]), years=np.zeros(1))
    >>> found = price_points(m, b, choose("numpy"), shifts, np.ones((1, 2)), size=np.array([0.1]),
    ...     relative=np.array([True]), units={"A": DeltaUnit(100.0)}).arrays
    >>> found.loss.round(6).tolist(), found.delta.round(6).tolist()
    ([[-500.0, 500.0]], [0.5])
    """
    i, count = book.instruments, len(shifts.state)
    steps = len(weights) - 1
    share = np.append(weights, weights[1:])  # of the deltas at 0, 1, 2, ... and -1, -2, ...
    middle = np.append(np.arange(steps + 1), -np.arange(1, steps + 1)) / max(steps, 1)
    around = np.concatenate([middle + _BUMP, middle - _BUMP])  # in ranges
    some = size > 0
    span_part = np.where(some, size * relative, _FALLBACK)  # where there is no range, a little of the price
    span_add = np.where(some, size * ~relative, 0.0)
    together = replace(
        shifts,
        part=np.concatenate([shifts.part, around * span_part[:, None]], axis=1),
        add=np.concatenate([shifts.add, around * span_add[:, None]], axis=1),
        volatility=np.concatenate([shifts.volatility, i.volatility[None]]),
        state=np.concatenate([shifts.state, np.full(len(around), len(shifts.volatility))]),
    )
    later, now = revalue(market, book, choice, _merged(together)), worth(market, i)
    exposure, price = _units(market, i, together, later[:, count:], count)
    chosen = [(units or {}).get(name, DeltaUnit()) for name in shifts.commodity]
    delta = exposure / np.stack([chosen[c].at(at) for c, at in zip(shifts.of.tolist(), price, strict=True)])
    rate = rates_today(market, i)
    option = optional(i)
    arrays = RiskArrays(
        name=i.name,
        commodity=shifts.commodity,
        of=shifts.of,
        currency=settlement_currencies(market, i),
        loss=(now[:, None] - later[:, :count]) * weight,
        delta=np.nansum(delta * share, axis=1) / np.sum(np.where(np.isnan(delta), 0.0, share), axis=1),
        value=np.where(option & ~i.margined, now, 0.0),
        option=option,
        month=months(market, i),
    )
    return Contracts(arrays, i, exposure[:, 0], spot_today(market, i, rate), rate)


def scaled(parameters: Parameters, price: float = 1.0, volatility: float = 1.0) -> Parameters:
    """The same with multiples of all price and volatility ranges.

    Examples
    --------
    >>> scaled(Parameters((Commodity("X", "USD", 2.0, volatility_range=0.1),)), price=1.5).commodities[0].price_range
    3.0
    """
    return replace(
        parameters,
        commodities=tuple(
            replace(c, price_range=price * c.price_range, volatility_range=volatility * c.volatility_range)
            for c in parameters.commodities
        ),
    )


def delta_units(commodities: Iterable[Commodity], listed: Units | None = None) -> dict[str, DeltaUnit]:
    """What one delta of each commodity is on: what its parameters say, else what is listed, else one of the underlying.

    Examples
    --------
    >>> delta_units([Commodity("X", "USD", 1.0, delta_unit=50.0), Commodity("Y", "USD", 1.0)], {"X": DeltaUnit(5.0)})
    {'X': DeltaUnit(size=50.0, inverse=False), 'Y': DeltaUnit(size=1.0, inverse=False)}
    """
    return {
        c.name: (listed or {}).get(c.name, DeltaUnit()) if np.isnan(c.delta_unit) else DeltaUnit(c.delta_unit)
        for c in commodities
    }


def _merged(shifts: Shifts) -> Shifts:
    """States with the same volatilities as one, so that there is one engine for them."""
    alike, place = np.unique(np.nan_to_num(shifts.volatility, nan=-1.0), axis=0, return_inverse=True)
    return replace(shifts, volatility=np.where(alike < 0, np.nan, alike), state=place.reshape(-1)[shifts.state])


def _units(market: Market, i: Instruments, shifts: Shifts, around: Floats, first: int) -> tuple[Floats, Floats]:
    """Deltas in units of the underlying, [I, D], and a price of the contract's own future at each point, [I, D].

    Central differences of the values `around` D prices, over those of the forward to the contract's expiry. A coin's
    worth of an inverse contract counts at that forward. NaN where the floor lets the price move no more.
    """
    size = around.shape[1] // 2
    target = np.ones((len(i), 2 * size))
    for c, f in {*zip(shifts.of.tolist(), i.underlying.tolist(), strict=True)}:
        if f >= 0:
            target[(shifts.of == c) & (i.underlying == f)] = shifts.target(market, c, f)[first:]
    years = shifts.years[shifts.of]
    expires = np.isfinite(i.years) & (i.kind != Kind.perpetual)
    left = np.where(expires, np.maximum(np.where(expires, i.years, 0.0) - years, 0.0), 0.0)
    beyond = np.where(np.isfinite(i.delivery), i.delivery - np.where(expires, i.years, 0.0), 0.0)
    growth = np.exp(np.where(expires, i.carry * (left + beyond), 0.0))[:, None]
    high, low = growth * target[:, :size], growth * target[:, size:]
    middle = 0.5 * (high + low)
    with np.errstate(divide="ignore", invalid="ignore"):
        inverse = (around[:, :size] - around[:, size:]) / (1.0 / low - 1.0 / high) / middle
        straight = (around[:, :size] - around[:, size:]) / (high - low)
    priced = (i.underlying >= 0)[:, None]
    return np.where(priced, np.where(i.inverse[:, None], inverse, straight), 0.0), np.where(priced, middle, 1.0)


def _index(commodity: Sequence[str]) -> tuple[tuple[str, ...], Ints]:
    names = tuple(dict.fromkeys(commodity))
    place = {name: c for c, name in enumerate(names)}
    return names, np.array([place[name] for name in commodity], dtype=np.int64)


def _chosen(names: tuple[str, ...], known: dict[str, Commodity]) -> list[Commodity]:
    problems = [f"commodity '{name}' has no parameters: give its price range" for name in names if name not in known]
    chosen = [known[name] for name in names if name in known]
    for c in chosen:
        for what in ("price_range", "volatility_range", "lookahead", "extreme", "covered"):
            value = getattr(c, what)
            if np.isnan(value):
                problems.append(f"{what} of commodity '{c.name}' is not given: give a number from 0")
            elif not (np.isfinite(value) and value >= 0):
                problems.append(f"commodity '{c.name}' has {what} {value:g}: it must be finite and not negative")
        if not (np.isnan(c.delta_unit) or 0 < c.delta_unit < np.inf):
            problems.append(f"commodity '{c.name}' has delta_unit {c.delta_unit:g}: it must be above 0, or not given")
    if problems:
        raise SettingError("; ".join(problems))
    return chosen
