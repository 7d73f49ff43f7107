"""Contracts that share their scenario vectors: a group of one family on one underlying with one expiry."""

from __future__ import annotations

from dataclasses import dataclass, replace
from functools import partial

import numpy as np
from numpy.typing import NDArray

from mcvar.engines.levels import Levels, Pillars, convert, pillars_at
from mcvar.engines.rows import Implied, Rows
from mcvar.families import Clock, Family
from mcvar.instruments import Instruments
from mcvar.market import FactorKind
from mcvar.pricing.american_table import PremiumTable
from mcvar.pricing.scene import Scene

Floats = NDArray[np.float64]
Ints = NDArray[np.int64]


@dataclass(frozen=True)
class ContractGroup:
    """Contracts of one family, seen some time after valuation.

    Parameters
    ----------
    index : ndarray [G]
    family : Family
    terms : dict of str to ndarray [G, 1]
        `strike, sign, volatility, rate, carry`, and the family's record, in its order.
    multiplier : ndarray [G, 1]
    premium_0 : ndarray [G, 1] or None
        Of futures-style options: what variation margin counts from.
    underlying, row : int
        Price factor; row of the price at which they are valued.
    path : int
        Row of the statistic that they read; -1: none.
    left, reach : float
        Years to expiry; years from now to the delivery of the future that they are on, else 0.
    growth : float
        Of the future over the spot when nothing moves.
    dividends : float
        Value of the dividends to come, off the price.
    inverse : bool
    vol, carry, rate : Pillars
    implied : Implied or None
        A stochastic variance, in place of `vol`.
    convert : (int, int)
    table : PremiumTable or None
        Of American options.
    """

    index: Ints
    family: Family
    terms: dict[str, Floats]
    multiplier: Floats
    premium_0: Floats | None
    underlying: int
    row: int
    path: int
    left: float
    reach: float
    growth: float
    dividends: float
    inverse: bool
    vol: Pillars
    implied: Implied | None
    carry: Pillars
    rate: Pillars
    convert: tuple[int, int]
    table: PremiumTable | None = None

    def scene(self, levels: Levels) -> Scene:
        """What the contracts see."""
        price = levels.price[self.row]
        carry, rate = levels.shift(self.carry), levels.shift(self.rate)
        b = np.zeros_like(price) if carry is None else carry
        r = np.zeros_like(price) if rate is None else rate
        spot = self.growth * (price - self.dividends)
        if self.reach > 0:
            spot, b = spot * np.exp(b * self.reach), np.zeros_like(price)
        if self.inverse:
            r = r + b  # what moves is the coin's rate
        if self.implied is not None:
            v = levels.implied(self.implied)
        else:
            vol = levels.shift(self.vol)
            v = np.ones_like(price) if vol is None else np.exp(vol)
        path = levels.price[self.path] if self.path >= 0 else None
        return Scene(spot, v, r, b, np.asarray(self.left), path)

    def value(self, levels: Levels, out: Floats) -> None:
        """See `Group.value`."""
        out[:] = self.multiplier * self.family.value(self.terms, self.scene(levels))
        if self.inverse:
            out /= levels.price[self.row]
        if self.premium_0 is not None:
            out -= self.premium_0
        convert(out, levels, self.convert)


def contract_group(
    rows: Rows, i: Instruments, index: Ints, family: Family, elapsed: float, *, path: bool
) -> ContractGroup:
    """The group of the contracts `index`, which agree in all but their strikes, volatilities, rates and terms."""
    market, first = rows.market, int(index[0])
    underlying, years = int(i.underlying[first]), float(i.years[first])
    left, delivery = max(years - elapsed, 0.0), float(i.delivery[first])
    on_future = np.isfinite(delivery)
    reach = max(delivery - min(elapsed, years), 0.0) if on_future else 0.0
    inverse = bool(i.inverse[first])
    carry = i.carry[index][:, None]
    terms = {name: getattr(i, name)[index][:, None] for name in ("strike", "sign", "volatility")}
    terms["rate"] = i.rate[index][:, None] + (carry if inverse else 0.0)  # of the quote currency
    terms["carry"] = np.zeros_like(carry) if on_future else carry
    given = {name: values[index][:, None] for name, values in i.term.items()}
    given |= terms | {"years": i.years[index][:, None], "left": np.full((len(index), 1), left)}
    table = family.table(terms, left) if family.table is not None else None
    if table is not None:
        family = replace(family, value=partial(family.value, table))
    terms |= family.record(given, Clock(elapsed, rows.step, rows.steps))
    owner, spot = market.factors.underlying[underlying], market.factors.level[underlying]
    premium_0 = None
    if i.margined[first]:
        future = np.exp(i.carry[first] * delivery) if on_future else 1.0
        today = np.array([future * (spot - i.dividends[first])])
        premium_0 = (family.exact or family.value)(terms, Scene(today, np.ones(1), 0.0, 0.0, np.asarray(years), None))
        premium_0 = i.multiplier[index][:, None] * premium_0
    implied = rows.implied(underlying, left) if left > 0 else None
    grown = float(i.dividends[first]) * np.exp(float(i.rate[first]) * min(elapsed, years))
    return ContractGroup(
        index=index,
        family=family,
        terms=terms,
        multiplier=i.multiplier[index][:, None],
        premium_0=premium_0,
        underlying=underlying,
        row=rows.settlement(underlying, years) if path else underlying,
        path=rows.path(i, first) if path else -1,
        left=left,
        reach=reach,
        growth=float(np.exp(i.carry[first] * reach)),
        dividends=grown,
        inverse=inverse,
        vol=() if implied else pillars_at(market, FactorKind.vol, owner, years),
        implied=implied,
        carry=pillars_at(market, FactorKind.carry, owner, delivery if on_future else years) if left + reach > 0 else (),
        rate=pillars_at(market, FactorKind.rate, i.rate_currency[first], years) if left > 0 else (),
        convert=(int(i.convert[first][0]), int(i.convert[first][1])),
        table=table,
    )
