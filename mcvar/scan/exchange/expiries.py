"""Options by expiry, discounted: the reduction of Derive's portfolio margin."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray
from scipy import sparse

from mcvar.errors import SettingError
from mcvar.scan.exchange.grid import Discounts
from mcvar.scan.exchange.system import Exchange
from mcvar.scan.pricing.contracts import Contracts

Floats = NDArray[np.float64]


@dataclass(frozen=True)
class Expiry:
    """The options of one expiry in R accounts at S points, in the reporting currency.

    Parameters
    ----------
    years : float
    now : ndarray [R, 1]
        Value today.
    later, factor : ndarray [R, S]
        Value at each point, and what it counts with.
    loss : ndarray [R, S]
        weight (now - factor later); of a turn of the smile its size, as it may turn either way.
    apart : float
        What the larger loss of `ExpiryBasis` counts with; 0 without one.
    basis : ndarray [R]
        That loss.
    """

    years: float
    now: Floats
    later: Floats
    factor: Floats
    loss: Floats
    apart: float
    basis: Floats


def expiries_of(contracts: Contracts, exchange: Exchange, held: sparse.csr_array, c: int) -> Iterator[Expiry]:
    """The expiries of commodity `c`, the nearest first: see `expiries`."""
    a, i, discounts = contracts.arrays, contracts.instruments, exchange.discounts or Discounts()
    weight, turned = exchange.points.weight, np.array([bool(s) for s in exchange.points.skew])
    for years in np.unique(i.years[(a.of == c) & a.option]).tolist():
        at = np.flatnonzero((a.of == c) & a.option & (i.years == years))
        own, rate = held[:, at], contracts.rate[at]
        now = (own @ (a.value[at] * rate))[:, None]
        with np.errstate(divide="ignore", invalid="ignore"):
            later = now - np.where(weight > 0, (own @ (a.loss[at] * rate[:, None])) / weight, 0.0)
        long, short = (float(f[0]) for f in discounts.factors(i.years[at[:1]], i.rate[at[:1]]))
        factor = np.where(later >= 0, long, short)
        loss = weight * (now - later * factor)
        apart, basis = 0.0, np.zeros(held.shape[0])
        if exchange.basis is not None and contracts.basis is not None:
            apart = exchange.basis.add + exchange.basis.multiple * years
            basis = np.maximum((own @ (contracts.basis[at] * rate[:, None])).max(axis=1), 0.0)
        yield Expiry(years, now, later, factor, np.where(turned, np.abs(loss), loss), apart, basis)


def expiries(contracts: Contracts, exchange: Exchange, held: sparse.csr_array) -> list[Floats]:
    """Losses of each commodity, C of [R, S], the options of each expiry discounted, their worse turn of the smile.

    The value V of an expiry's options at a point counts with `Discounts`, so its loss is w (V_0 - f(V) V). A turn of
    the smile loses |.| whichever way it goes: the opposite turn is not priced. With `ExpiryBasis` its loss is one more
    column, the last of [R, S + 1].
    """
    a = contracts.arrays
    if np.isnan(exchange.points.weight).any() or exchange.inverse_conversion:
        raise SettingError("scan.reduction=expiries needs the weight of every point: write them in the table")
    losses = []
    for c in range(len(a.commodity)):
        here = np.flatnonzero((a.of == c) & ~a.option)
        loss = held[:, here] @ (a.loss[here] * contracts.rate[here, None])
        apart = np.zeros(held.shape[0])
        for each in expiries_of(contracts, exchange, held, c):
            loss = loss + each.loss
            apart = apart + each.apart * each.basis
        losses.append(loss if exchange.basis is None else np.column_stack([loss, apart]))
    return losses
