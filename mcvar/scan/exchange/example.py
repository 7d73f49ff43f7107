"""An account for examples, small enough to check by hand."""

from __future__ import annotations

import numpy as np
from scipy import sparse

from mcvar.instruments import Instruments, Kind
from mcvar.scan.arrays import RiskArrays
from mcvar.scan.pricing.contracts import Contracts


def example() -> tuple[Contracts, sparse.csr_array]:
    """Long 100 perpetuals on X, at 10 USD, and short 2 calls on 100 of it, of which each moves like 30.

    The points are the price up and down by 1 USD. Perpetuals pay funding of 8.76 % a year; the calls expire in half
    a year.

    Examples
    --------
    >>> contracts, held = example()
    >>> (held @ contracts.arrays.loss).tolist(), (held @ (contracts.units * contracts.spot)).tolist()
    ([[-40.0, 50.0]], [400.0])
    """
    none, call = np.full(2, np.nan), np.array([False, True])
    arrays = RiskArrays(
        name=("perpetual", "call"), commodity=("X",), of=np.zeros(2, dtype=np.int64), currency=("USD", "USD"),
        loss=np.array([[-1.0, 1.0], [-30.0, 25.0]]), delta=np.array([1.0, 30.0]), value=np.array([0.0, 40.0]),
        option=call, month=("", "202607"),
    )  # fmt: skip
    instruments = Instruments(
        name=arrays.name, kind=np.array([Kind.perpetual, Kind.option]), underlying=np.zeros(2, dtype=np.int64),
        sign=np.array([0.0, 1.0]), strike=np.array([np.nan, 12.0]), years=np.array([np.inf, 0.5]),
        multiplier=np.array([1.0, 100.0]), inverse=np.zeros(2, dtype=bool), margined=~call,
        convert=np.full((2, 2), -1), volatility=np.array([np.nan, 0.5]), rate=np.zeros(2), carry=np.zeros(2),
        funding=np.array([0.0876, np.nan]), rate_currency=("USD", "USD"), american=np.zeros(2, dtype=bool),
        delivery=none, dividends=np.zeros(2), term={},
    )  # fmt: skip
    contracts = Contracts(arrays, instruments, units=np.array([1.0, 30.0]), spot=np.full(2, 10.0), rate=np.ones(2))
    return contracts, sparse.csr_array(np.array([[100.0, -2.0]]))
