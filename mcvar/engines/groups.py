"""Instruments that share their scenario vectors are valued together: one group, one set of array operations."""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from typing import Protocol

import numpy as np
from numpy.typing import NDArray

from mcvar.engines.levels import Levels, Pillars, pillars_at, ratio
from mcvar.engines.rows import Implied, Rows
from mcvar.instruments import Instruments, Kind
from mcvar.market import FactorKind
from mcvar.pricing.black import Europeans
from mcvar.pricing.linear import funding_cost, futures_profit

Floats = NDArray[np.float64]
Ints = NDArray[np.int64]
LARGEST = 256  # instruments a group: its intermediate arrays fit into the cache


class Group(Protocol):
    """Some instruments of one family, seen `elapsed` years after valuation."""

    @property
    def index(self) -> Ints:
        """The instruments, in the order of the values, [G]."""
        ...

    @property
    def convert(self) -> tuple[int, int]:
        """Price factors whose ratio converts the values to the reporting currency."""
        ...

    def value(self, levels: Levels, out: Floats) -> None:
        """Write values in the reporting currency into `out` [G, N]; variation margin for what is margined."""
        ...


def groups(rows: Rows, instruments: Instruments, elapsed: float) -> list[Group]:
    """Split instruments by family, underlying, expiry, settlement and currency.

    Parameters
    ----------
    rows : Rows
        What there is to read.
    instruments : Instruments
    elapsed : float
        Years from valuation to the time of valuing: 0 today, the horizon's decay later.
    """
    i = instruments
    dead = (i.kind == Kind.option) & ~(i.volatility * np.sqrt(np.maximum(i.years - elapsed, 0.0)) > 0)
    keys: dict[tuple[object, ...], list[int]] = {}
    for at in range(len(i)):
        key = (
            int(i.kind[at]), int(i.underlying[at]), float(i.years[at]), bool(i.inverse[at]), bool(i.margined[at]),
            tuple(i.convert[at]), bool(dead[at]), i.rate_currency[at],
        )  # fmt: skip
        keys.setdefault(key, []).append(at)
    made: list[Group] = []
    for index in _pieces(i, keys.values()):
        match i.kind[index[0]]:
            case Kind.option:
                made.append(_options(rows, i, index, elapsed))
            case Kind.cash:
                made.append(CashGroup(index, i.multiplier[index][:, None], _pair(i, index)))
            case _:
                made.append(_forwards(rows, i, index, elapsed))
    return made


@dataclass(frozen=True)
class OptionGroup:
    """European options on one underlying with one expiry."""

    index: Ints
    options: Europeans
    premium_0: Floats | None  # [G, 1], of futures-style options: what variation margin counts from
    underlying: int  # price factor
    row: int  # of the price that they are valued at
    left: float  # years to expiry at the time of valuing
    vol: Pillars
    implied: Implied | None  # a stochastic variance, in place of `vol`
    carry: Pillars
    rate: Pillars
    convert: tuple[int, int]

    def value(self, levels: Levels, out: Floats) -> None:
        """See `Group.value`."""
        log_g, g = levels.log_growth(self.row), levels.growth(self.row)
        if (carry := levels.shift(self.carry)) is not None:
            log_g, g = log_g + carry * self.left, g * np.exp(carry * self.left)
        vol, rate = levels.shift(self.vol), levels.shift(self.rate)
        v = np.ones_like(log_g) if vol is None else np.exp(vol)
        if self.implied is not None:
            v = levels.implied(self.implied)
        self.options.value(log_g, g, v, None if rate is None else np.exp(-rate * self.left), out)
        if self.premium_0 is not None:
            out -= self.premium_0
        _convert(out, levels, self.convert)


@dataclass(frozen=True)
class ForwardGroup:
    """Spot positions, futures or perpetuals on one underlying with one expiry."""

    index: Ints
    kind: Kind
    multiplier: Floats  # [G, 1]
    carry_factor: Floats  # [G, 1], exp(carry x left)
    forward_0: Floats  # [G, 1]
    cost: Floats  # [G, 1]
    inverse: bool
    underlying: int  # price factor
    row: int  # of the price that they are valued at
    left: float  # years to expiry at the time of valuing
    carry: Pillars
    convert: tuple[int, int]

    def value(self, levels: Levels, out: Floats) -> None:
        """See `Group.value`."""
        price = levels.price[self.row]
        if self.kind is Kind.spot:
            np.multiply(self.multiplier, price, out=out)
        else:
            carry = levels.shift(self.carry)
            forward = self.carry_factor * (price if carry is None else price * np.exp(carry * self.left))
            profit = futures_profit(self.forward_0, forward, self.multiplier, inverse=self.inverse)
            np.subtract(profit, self.cost, out=out)
        _convert(out, levels, self.convert)


@dataclass(frozen=True)
class CashGroup:
    """Amounts of money: they move only by their conversion."""

    index: Ints
    multiplier: Floats  # [G, 1]
    convert: tuple[int, int]

    def value(self, levels: Levels, out: Floats) -> None:
        """See `Group.value`."""
        out[:] = self.multiplier
        _convert(out, levels, self.convert)


def _pieces(i: Instruments, groups: Iterable[list[int]]) -> Iterator[Ints]:
    """Each group in pieces of at most `LARGEST`, by strike, so that the call and the put of one stay together."""
    for members in groups:
        index = np.array(members, dtype=np.int64)
        index = index[np.argsort(i.strike[index], kind="stable")]
        yield from (index[at : at + LARGEST] for at in range(0, len(index), LARGEST))


def _options(rows: Rows, i: Instruments, index: Ints, elapsed: float) -> OptionGroup:
    market, years = rows.market, float(i.years[index[0]])
    underlying = int(i.underlying[index[0]])
    owner, spot = market.factors.underlying[underlying], market.factors.level[underlying]

    def at(left: float) -> Europeans:
        return Europeans.at(
            forward=spot * np.exp(i.carry[index] * left),
            strike=i.strike[index],
            volatility=i.volatility[index],
            sign=i.sign[index],
            years=left,
            scale=i.multiplier[index] * np.exp(-i.rate[index] * left),
            inverse=bool(i.inverse[index[0]]),
        )

    left = max(years - elapsed, 0.0)
    options, premium_0 = at(left), None
    implied = rows.implied(underlying, left) if left > 0 else None
    if i.margined[index[0]]:
        today, still, one = at(years), np.zeros(1), np.ones(1)
        premium_0 = np.empty((len(index), 1))
        today.value(still, one, one, None, premium_0)
        premium_0 = premium_0[np.argsort(today.order)][options.order]
    return OptionGroup(
        index=index[options.order],
        options=options,
        premium_0=premium_0,
        underlying=underlying,
        row=rows.settlement(underlying, years) if elapsed > 0 else underlying,
        left=left,
        vol=() if implied else pillars_at(market, FactorKind.vol, owner, years),
        implied=implied,
        carry=pillars_at(market, FactorKind.carry, owner, years) if left > 0 else (),
        rate=pillars_at(market, FactorKind.rate, i.rate_currency[index[0]], years) if left > 0 else (),
        convert=_pair(i, index),
    )


def _forwards(rows: Rows, i: Instruments, index: Ints, elapsed: float) -> ForwardGroup:
    market, kind = rows.market, Kind(i.kind[index[0]])
    underlying = int(i.underlying[index[0]])
    years = float(i.years[index[0]]) if kind is Kind.future and np.isfinite(i.years[index[0]]) else 0.0
    left = max(years - elapsed, 0.0)
    multiplier, carry = i.multiplier[index][:, None], i.carry[index][:, None]
    forward_0 = market.factors.level[underlying] * np.exp(carry * years)
    inverse = bool(i.inverse[index[0]])
    owner = market.factors.underlying[underlying]
    return ForwardGroup(
        index=index,
        kind=kind,
        multiplier=multiplier,
        carry_factor=np.exp(carry * left),
        forward_0=forward_0,
        cost=funding_cost(forward_0, multiplier, i.funding[index][:, None], elapsed, inverse=inverse),
        inverse=inverse,
        underlying=underlying,
        row=rows.settlement(underlying, years) if elapsed > 0 and kind is Kind.future else underlying,
        left=left,
        carry=pillars_at(market, FactorKind.carry, owner, years) if left > 0 else (),
        convert=_pair(i, index),
    )


def _pair(i: Instruments, index: Ints) -> tuple[int, int]:
    up, down = i.convert[index[0]]
    return int(up), int(down)


def _convert(value: Floats, levels: Levels, pair: tuple[int, int]) -> None:
    if pair != (-1, -1):
        value *= ratio(levels.price, *pair)
