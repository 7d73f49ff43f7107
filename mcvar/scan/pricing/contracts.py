"""What scan engines ask of contracts beside their risk arrays: commodity, currency, month, underlying units."""

from __future__ import annotations

from dataclasses import dataclass, replace

import numpy as np
from numpy.typing import NDArray

from mcvar.columns import Columns
from mcvar.instruments import Instruments, Kind
from mcvar.market import DAYS_PER_YEAR, Market
from mcvar.scan.arrays import RiskArrays

Floats = NDArray[np.float64]
Ints = NDArray[np.int64]
_OPTIONAL = (Kind.option, Kind.digital, Kind.barrier, Kind.asian)


@dataclass(frozen=True)
class Contracts:
    """I contracts, priced at the points of a grid.

    Parameters
    ----------
    arrays : RiskArrays
    instruments : Instruments
        In the same order.
    units : ndarray [I]
        Delta today in units of the underlying: an inverse contract of 100 USD is on 100 / F coins.
    spot : ndarray [I]
        Price of the underlying today in the reporting currency; 0 for cash.
    rate : ndarray [I]
        The reporting currency for one unit of the contract's, today.
    basis : ndarray [I, 2] or None
        Losses of one long unit at the moves of `mcvar.scan.exchange.grid.ExpiryBasis`, up and down.
    """

    arrays: RiskArrays
    instruments: Instruments
    units: Floats
    spot: Floats
    rate: Floats
    basis: Floats | None = None

    @property
    def expiry(self) -> Floats:
        """Years to expiry, [I]; 0 for what has none."""
        years = self.instruments.years
        return np.where(np.isfinite(years), years, 0.0)


def commodity_names(market: Market, instruments: Instruments, table: Columns | None = None) -> tuple[str, ...]:
    """The commodity of each instrument, [I]: the table's column `commodity`, else its underlying; cash: its currency.

    Parameters
    ----------
    market : Market
    instruments : Instruments
    table : Columns, optional
        The table that the instruments were read from, with `instrument` and perhaps `commodity`.
    """
    said: dict[str, str] = {}
    if table is not None:
        said = dict(zip(table.texts("instrument"), table.texts("commodity"), strict=True))
    currency = settlement_currencies(market, instruments)
    return tuple(
        said.get(name) or (market.factors.underlying[f] if f >= 0 else currency[at])
        for at, (name, f) in enumerate(zip(instruments.name, instruments.underlying.tolist(), strict=True))
    )


def settlement_currencies(market: Market, instruments: Instruments) -> tuple[str, ...]:
    """The currency that each instrument settles in, [I]: the one that its price factors convert from."""
    factors = market.factors
    return tuple(
        factors.underlying[up] if up >= 0 else factors.currency[down] if down >= 0 else market.currency
        for up, down in instruments.convert.tolist()
    )


def optional(instruments: Instruments) -> NDArray[np.bool_]:
    """Whether each instrument has an optional payoff, [I]."""
    return np.isin(instruments.kind, _OPTIONAL)


def linear(instruments: Instruments) -> NDArray[np.bool_]:
    """Whether each instrument is a future or a perpetual, [I]."""
    return np.isin(instruments.kind, (Kind.future, Kind.perpetual))


def months(market: Market, instruments: Instruments) -> tuple[str, ...]:
    """Contract months YYYYMM, [I]; that of its future for an option on one; "" without expiry."""
    reach = np.where(np.isfinite(instruments.delivery), instruments.delivery, instruments.years)
    return tuple(_month(market.valuation, float(years)) if np.isfinite(years) else "" for years in reach)


def _month(valuation: np.datetime64, years: float) -> str:
    micros = np.timedelta64(round(years * DAYS_PER_YEAR * 86_400_000_000), "us")
    return str((valuation + micros).astype("datetime64[M]")).replace("-", "")


def bare(instruments: Instruments) -> Instruments:
    """The same, valued in their own currencies, premiums of futures-style options not yet taken off."""
    return replace(
        instruments,
        margined=instruments.margined & ~optional(instruments),
        convert=np.full_like(instruments.convert, -1),
    )


def rates_today(market: Market, instruments: Instruments) -> Floats:
    """The reporting currency for one unit of each instrument's settlement currency, [I]."""
    up, down = instruments.convert.T
    level = market.factors.level
    above = np.where(up >= 0, level[np.maximum(up, 0)], 1.0)
    below = np.where(down >= 0, level[np.maximum(down, 0)], 1.0)
    return np.asarray(above / below)


def spot_today(market: Market, instruments: Instruments, rate: Floats) -> Floats:
    """The price of each instrument's underlying in the reporting currency, [I]; 0 for cash.

    What is inverse settles in the coin itself, whose price is `rate`.
    """
    level = market.factors.level[np.maximum(instruments.underlying, 0)]
    return np.where(instruments.underlying < 0, 0.0, np.where(instruments.inverse, rate, level * rate))
