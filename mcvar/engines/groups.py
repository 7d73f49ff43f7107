"""Instruments that share their scenario vectors are valued together: one group, one set of array operations."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass, replace
from typing import Protocol

import numpy as np
from numpy.typing import NDArray

from mcvar.engines.contracts import contract_group
from mcvar.engines.levels import Levels, Pillars, convert, pillars_at
from mcvar.engines.rows import Implied, Rows
from mcvar.families import FAMILIES, Family, american_family, never_exercised, tabulated
from mcvar.instruments import Instruments, Kind
from mcvar.market import FactorKind
from mcvar.pricing.black import Europeans
from mcvar.pricing.linear import funding_cost, futures_profit
from mcvar.pricing.settings import DEFAULT, AmericanMethod, Pricing

Floats = NDArray[np.float64]
Ints = NDArray[np.int64]
LARGEST = 256  # instruments a group: its intermediate arrays fit into the cache
CONTRACTS = 64  # of contracts, which have more of them


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


def groups(
    rows: Rows, instruments: Instruments, elapsed: float, *, path: bool, pricing: Pricing = DEFAULT
) -> list[Group]:
    """Split instruments by family, underlying, expiry, settlement and currency; each family is one run of groups.

    Parameters
    ----------
    rows : Rows
        What there is to read.
    instruments : Instruments
    elapsed : float
        Years from valuation to the time of valuing: 0 today, the horizon's decay later.
    path : bool
        Whether the rows are those of a path, which contracts read and on which they settle. Without one, American
        options are solved exactly.
    pricing : Pricing
    """
    i = instruments
    left = np.maximum(i.years - elapsed, 0.0)
    dead = (i.kind == Kind.option) & ~(np.where(i.american, left, i.volatility * np.sqrt(left)) > 0)
    families = _families(rows, i, dead, pricing if path else replace(pricing, american=AmericanMethod.exact))
    alike = i.american | np.isfinite(i.delivery) | (i.dividends > 0)  # what a group has one of
    keys: dict[tuple[object, ...], list[int]] = {}
    for at in range(len(i)):
        family = families[at]
        key = (
            family.number if family else 0,
            *(
                int(i.kind[at]),
                int(i.underlying[at]),
                float(i.years[at]),
                float(np.nan_to_num(i.delivery[at], nan=-1.0)),  # NaN is not equal to itself
                float(i.dividends[at]),
            ),
            *(bool(i.inverse[at]), bool(i.margined[at]), bool(dead[at]), tuple(i.convert[at]), i.rate_currency[at]),
            rows.path(i, at) if path else -1,
            *((float(i.rate[at]), float(i.carry[at]), float(i.sign[at])) if alike[at] else ()),
        )
        keys.setdefault(key, []).append(at)
    made: list[Group] = []
    order = sorted(keys, key=lambda key: int(str(key[0])))  # stable
    for index in _pieces(i, (keys[key] for key in order), families):
        family = families[int(index[0])]
        if family is not None:
            made.append(contract_group(rows, i, index, family, elapsed, path=path))
            continue
        match i.kind[index[0]]:
            case Kind.option:
                made.append(_options(rows, i, index, elapsed, path))
            case Kind.cash:
                made.append(CashGroup(index, i.multiplier[index][:, None], _pair(i, index)))
            case _:
                made.append(_forwards(rows, i, index, elapsed, path))
    return made


def _families(rows: Rows, i: Instruments, dead: NDArray[np.bool_], pricing: Pricing) -> list[Family | None]:
    """The family of each instrument; None for what is linear, European, or worth as much."""
    held, smooth, market = never_exercised(i), tabulated(i), rows.market
    by_table, exact = (american_family(pricing, table=table) for table in (True, False))
    families: list[Family | None] = [FAMILIES.get(Kind(int(kind))) for kind in i.kind]
    for at in np.flatnonzero(i.american & ~dead):
        owner, years = market.factors.underlying[i.underlying[at]], float(i.years[at])
        moving = pillars_at(market, FactorKind.rate, i.rate_currency[at], years) or pillars_at(
            market, FactorKind.carry, owner, years
        )
        if moving or not held[at]:
            families[at] = by_table if smooth[at] and not moving else exact
    return families


@dataclass(frozen=True)
class OptionGroup:
    """European options on one underlying with one expiry."""

    index: Ints
    options: Europeans
    premium_0: Floats | None  # [G, 1], of futures-style options: what variation margin counts from
    underlying: int  # price factor
    row: int  # of the price that they are valued at
    left: float  # years to expiry at the time of valuing
    reach: float  # years to the delivery of what they are on: `left` on the spot
    dividends: float  # off the price
    base: float  # today's price less its dividends
    vol: Pillars
    implied: Implied | None  # a stochastic variance, in place of `vol`
    carry: Pillars
    rate: Pillars
    convert: tuple[int, int]

    def value(self, levels: Levels, out: Floats) -> None:
        """See `Group.value`."""
        if self.dividends:
            g = (levels.price[self.row] - self.dividends) / self.base
            log_g = np.log(np.maximum(g, 0.0))
        else:
            log_g, g = levels.log_growth(self.row), levels.growth(self.row)
        if (carry := levels.shift(self.carry)) is not None:
            log_g, g = log_g + carry * self.reach, g * np.exp(carry * self.reach)
        vol, rate = levels.shift(self.vol), levels.shift(self.rate)
        v = np.ones_like(log_g) if vol is None else np.exp(vol)
        if self.implied is not None:
            v = levels.implied(self.implied)
        self.options.value(log_g, g, v, None if rate is None else np.exp(-rate * self.left), out)
        if self.premium_0 is not None:
            out -= self.premium_0
        convert(out, levels, self.convert)


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
    dividends: float  # off the price
    carry: Pillars
    convert: tuple[int, int]

    def value(self, levels: Levels, out: Floats) -> None:
        """See `Group.value`."""
        price = levels.price[self.row]
        if self.dividends:
            price = price - self.dividends
        if self.kind is Kind.spot:
            np.multiply(self.multiplier, price, out=out)
        else:
            carry = levels.shift(self.carry)
            forward = self.carry_factor * (price if carry is None else price * np.exp(carry * self.left))
            profit = futures_profit(self.forward_0, forward, self.multiplier, inverse=self.inverse)
            np.subtract(profit, self.cost, out=out)
        convert(out, levels, self.convert)


@dataclass(frozen=True)
class CashGroup:
    """Amounts of money: they move only by their conversion."""

    index: Ints
    multiplier: Floats  # [G, 1]
    convert: tuple[int, int]

    def value(self, levels: Levels, out: Floats) -> None:
        """See `Group.value`."""
        out[:] = self.multiplier
        convert(out, levels, self.convert)


def _pieces(i: Instruments, groups: Iterable[list[int]], families: Sequence[Family | None]) -> Iterator[Ints]:
    """Each group in pieces that are not too large, by strike, so that the call and the put of one stay together."""
    for members in groups:
        index = np.array(members, dtype=np.int64)
        index = index[np.argsort(i.strike[index], kind="stable")]
        size = CONTRACTS if families[int(index[0])] else LARGEST
        yield from (index[at : at + size] for at in range(0, len(index), size))


def _options(rows: Rows, i: Instruments, index: Ints, elapsed: float, path: bool) -> OptionGroup:
    market, years = rows.market, float(i.years[index[0]])
    underlying = int(i.underlying[index[0]])
    owner, spot = market.factors.underlying[underlying], market.factors.level[underlying]

    delivery, cash = float(i.delivery[index[0]]), float(i.dividends[index[0]])
    base = spot - cash

    def reach(left: float) -> float:
        return delivery - years + left if np.isfinite(delivery) else left

    def at(left: float) -> Europeans:
        return Europeans.at(
            forward=base * np.exp(i.carry[index] * reach(left)),
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
        row=rows.settlement(underlying, years) if path else underlying,
        left=left,
        reach=reach(left),
        dividends=cash * float(np.exp(i.rate[index[0]] * min(elapsed, years))),
        base=base,
        vol=() if implied else pillars_at(market, FactorKind.vol, owner, years),
        implied=implied,
        carry=pillars_at(market, FactorKind.carry, owner, reach(years)) if reach(left) > 0 else (),
        rate=pillars_at(market, FactorKind.rate, i.rate_currency[index[0]], years) if left > 0 else (),
        convert=_pair(i, index),
    )


def _forwards(rows: Rows, i: Instruments, index: Ints, elapsed: float, path: bool) -> ForwardGroup:
    market, kind = rows.market, Kind(i.kind[index[0]])
    underlying = int(i.underlying[index[0]])
    years = float(i.years[index[0]]) if kind is Kind.future and np.isfinite(i.years[index[0]]) else 0.0
    left = max(years - elapsed, 0.0)
    multiplier, carry = i.multiplier[index][:, None], i.carry[index][:, None]
    cash = float(i.dividends[index[0]])
    forward_0 = (market.factors.level[underlying] - cash) * np.exp(carry * years)
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
        row=rows.settlement(underlying, years) if path and kind is Kind.future else underlying,
        left=left,
        dividends=cash * float(np.exp(i.rate[index[0]] * min(elapsed, years))),
        carry=pillars_at(market, FactorKind.carry, owner, years) if left > 0 else (),
        convert=_pair(i, index),
    )


def _pair(i: Instruments, index: Ints) -> tuple[int, int]:
    up, down = i.convert[index[0]]
    return int(up), int(down)
