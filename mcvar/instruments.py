"""Instruments in resolved form: columns of numbers and indices, the only form that reaches an engine."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from enum import IntEnum
from types import MappingProxyType
from typing import Any

import numpy as np
from numpy.typing import NDArray

Floats = NDArray[np.float64]
Ints = NDArray[np.int64]


class Kind(IntEnum):
    """Families of instruments that engines value."""

    spot = 0
    cash = 1
    future = 2
    perpetual = 3
    option = 4
    digital = 5
    barrier = 6
    asian = 7


@dataclass(frozen=True)
class Instruments:
    """I instruments in resolved form: indices, years and numbers.

    Parameters
    ----------
    name : tuple of str [I]
    kind : ndarray [I] of Kind
    underlying : ndarray [I]
        Price factor; -1 for cash.
    sign : ndarray [I]
        +1 call, -1 put, 0 else.
    strike : ndarray [I]
        NaN where there is none.
    years : ndarray [I]
        ACT/365 to expiry; infinite where there is none.
    multiplier : ndarray [I]
    inverse : ndarray [I] of bool
    margined : ndarray [I] of bool
        Settled in variation margin (futures, perpetuals, futures-style options): worth 0 at valuation.
    convert : ndarray [I, 2]
        Price factors whose ratio S[first] / S[second] converts the settlement currency to the
        reporting currency; -1 stands for 1.
    volatility : ndarray [I]
        Annual; NaN but for options and contracts.
    rate, carry, funding : ndarray [I]
        Annual, continuous.
    rate_currency : tuple of str [I]
        The currency whose rate factors shift the discount rate.
    american : ndarray [I] of bool
        Options that may be exercised at any time.
    delivery : ndarray [I]
        ACT/365 to the delivery of the future that an option is on; NaN for options on the spot.
    dividends : ndarray [I]
        Today's value of the cash dividends that the underlying pays until expiry.
    term : mapping of str to ndarray [I]
        What families of contracts add: see `mcvar.families`.
    """

    name: tuple[str, ...]
    kind: Ints
    underlying: Ints
    sign: Floats
    strike: Floats
    years: Floats
    multiplier: Floats
    inverse: NDArray[np.bool_]
    margined: NDArray[np.bool_]
    convert: Ints
    volatility: Floats
    rate: Floats
    carry: Floats
    funding: Floats
    rate_currency: tuple[str, ...]
    american: NDArray[np.bool_]
    delivery: Floats
    dividends: Floats
    term: Mapping[str, Floats]

    def __len__(self) -> int:
        return len(self.name)


def take(instruments: Instruments, index: NDArray[np.int64]) -> Instruments:
    """The instruments at `index`, in that order."""
    columns: dict[str, Any] = {}
    for name, column in vars(instruments).items():
        match column:
            case tuple():
                columns[name] = tuple(column[i] for i in index)
            case Mapping():
                columns[name] = MappingProxyType({key: values[index] for key, values in column.items()})
            case _:
                columns[name] = column[index]
    return Instruments(**columns)
