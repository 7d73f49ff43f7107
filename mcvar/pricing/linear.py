"""Spot, cash, dated futures and perpetuals: payoffs that are linear in the price or in its inverse.

Futures and perpetuals are settled in variation margin, so their value at valuation is 0 and
their value at the horizon is the profit since: m (F_h - F_0) in the quote currency, or
m (1/F_0 - 1/F_h) coins when inverse (Deribit, "Inverse futures", contract specifications).
"""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

Floats = NDArray[np.float64]


def futures_profit(forward_0: Floats, forward_h: Floats, multiplier: Floats, *, inverse: bool) -> Floats:
    """Variation margin of one contract over the horizon, in its settlement currency.

    Parameters
    ----------
    forward_0 : ndarray [G, 1]
        Futures price at valuation.
    forward_h : ndarray [G, N]
        At the horizon; positive when `inverse`.
    multiplier : ndarray [G, 1]
        Units of the underlying a contract; of the quote currency when `inverse`.

    Returns
    -------
    ndarray [G, N]

    Examples
    --------
    A short inverse perpetual of 10,000 USD loses coins when the price rises from 50,000 to 60,000:

    >>> float(-10_000 * futures_profit(np.array([[5e4]]), np.array([[6e4]]), np.array([[1.0]]), inverse=True)[0, 0])
    -0.0333...
    """
    if inverse:
        return multiplier * (1.0 / forward_0 - 1.0 / forward_h)
    return multiplier * (forward_h - forward_0)


def funding_cost(forward_0: Floats, multiplier: Floats, funding: Floats, years: float, *, inverse: bool) -> Floats:
    """What a long perpetual pays over the horizon at a constant annual funding rate, settlement currency, [G, 1]."""
    notional = multiplier / forward_0 if inverse else multiplier * forward_0
    return notional * funding * years
