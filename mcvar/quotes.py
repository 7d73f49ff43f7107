"""Volatilities of quoted prices."""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray
from scipy.optimize import elementwise

from mcvar.draft import Draft
from mcvar.pricing.american import american
from mcvar.pricing.black import implied_deviation

Floats = NDArray[np.float64]
_HIGHEST = 10.0  # annual volatility that an American price is searched up to


def implied_volatility(d: Draft, at: NDArray[np.int64], forward: Floats, rate: Floats, carry: Floats) -> Floats:
    """Annual volatilities at which the options `at` are worth their quoted prices; NaN where none is.

    Parameters
    ----------
    d : Draft
    at : ndarray [Q]
    forward : ndarray [n]
        That Black's formula takes.
    rate, carry : ndarray [n]
    """
    early = d.american[at]
    volatility = np.empty(len(at))
    volatility[~early] = _european(d, at[~early], forward, rate)
    if early.any():
        volatility[early] = _american(d, at[early], forward, rate, carry)
    return volatility


def _european(d: Draft, at: NDArray[np.int64], forward: Floats, rate: Floats) -> Floats:
    discount = np.where(d.futures_style[at], 1.0, np.exp(-rate[at] * d.years[at]))
    undiscounted = d.price[at] * np.where(d.inverse[at], forward[at], 1.0) / discount
    deviation = implied_deviation(undiscounted, forward[at], d.strike[at], d.sign[at])
    return np.asarray(deviation / np.sqrt(d.years[at]))


def _american(d: Draft, at: NDArray[np.int64], forward: Floats, rate: Floats, carry: Floats) -> Floats:
    own = np.isnan(d.delivery_years[at])  # on the spot itself
    b = np.where(own, carry[at], 0.0)
    r = np.where(d.futures_style[at], 0.0, np.where(d.inverse[at], rate[at] + carry[at], rate[at]))
    spot = np.where(own, forward[at] * np.exp(-carry[at] * d.years[at]), forward[at])
    price = d.price[at] * np.where(d.inverse[at], d.spot[at], 1.0)
    fixed = (spot, d.strike[at], r, b, d.years[at], d.sign[at])
    least = american(spot, d.strike[at], np.zeros(len(at)), r, b, d.years[at], d.sign[at])
    most = american(spot, d.strike[at], np.full(len(at), _HIGHEST), r, b, d.years[at], d.sign[at])
    valid = (price > least * (1.0 + 1e-12)) & (price < most)

    def miss(sigma: Floats, s: Floats, k: Floats, r: Floats, b: Floats, t: Floats, w: Floats, p: Floats) -> Floats:
        worth: Floats = american(s, k, sigma, r, b, t, w) - p
        return worth

    target = np.where(valid, price, 0.5 * (least + most))
    found = elementwise.find_root(miss, (0.0, _HIGHEST), args=(*fixed, target), tolerances={"xatol": 1e-10})
    return np.where(valid, np.asarray(found.x), np.nan)
