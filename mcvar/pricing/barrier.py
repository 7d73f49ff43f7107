"""European options with one barrier and a rebate, in closed form.

Reiner and Rubinstein, "Breaking down the barriers" (Risk, September 1991); Haug, "The Complete Guide to Option
Pricing Formulas" (2nd ed., 2007), 4.17. An option is the asset less the strike in cash, each paid if the option ends
in the money and its barrier was touched, or never was: two binary barriers of `mcvar.pricing.digital`, which has the
formulas, the limits and the conventions. Rebates are touches: at the hit for options that knock out, at expiry for
those that never knocked in.
"""

from __future__ import annotations

import numpy as np

from mcvar.pricing.black import black76
from mcvar.pricing.digital import (
    SMALLEST_DEVIATION,
    Flags,
    Floats,
    barrier_probability,
    nan_where_unknown,
    passage,
    touch,
)

MONITORING = 0.5825971579390106  # -zeta(1/2) / sqrt(2 pi)


def barrier(
    spot: Floats,
    strike: Floats,
    sign: Floats,
    barrier: Floats,
    up: Floats,
    out: Flags,
    rebate: Floats,
    volatility: Floats,
    rate: Floats,
    carry: Floats,
    years: Floats,
) -> Floats:
    """Value of a barrier option, monitored continuously, that was not touched before; arguments broadcast.

    A price at or beyond the barrier touches now: what knocks out is worth its rebate, what knocks in a European option.

    Parameters
    ----------
    spot, strike, barrier : ndarray
        Same unit; strike and barrier > 0.
    sign : ndarray
        +1 call, -1 put.
    up : ndarray
        +1 an upper barrier, -1 a lower one.
    out : ndarray of bool
        Knocks out, else in.
    rebate : ndarray
        Paid at the hit if `out`, else at expiry if never hit.
    volatility, rate, carry : ndarray
        Annual; `carry` is the growth of the forward.
    years : ndarray
        To expiry.

    Examples
    --------
    Haug's down-and-out call with a rebate of 3, 6.7924:

    >>> print(f"{barrier(100.0, 100.0, 1.0, 95.0, -1.0, True, 3.0, 0.25, 0.08, 0.04, 0.5):.4f}")
    6.7924
    """
    out = np.greater(out, 0)
    p = passage(spot, barrier, up, volatility, carry, years)
    beyond = p.side * np.log(strike / barrier) / p.deviation
    away = sign * p.side > 0
    discount, forward = np.exp(-rate * years), spot * np.exp(carry * years)
    in_asset = barrier_probability(p.distance, beyond, p.drift, p.half, away, out)
    in_cash = barrier_probability(p.distance, beyond, p.drift, -p.half, away, out)
    option = np.maximum(sign * (forward * in_asset - strike * in_cash), 0.0)
    intrinsic = np.maximum(sign * (forward - strike), 0.0)
    option = discount * np.where(p.live, option, intrinsic * (p.reached != out))

    deviation = volatility * np.sqrt(np.maximum(years, 0.0))
    european = np.where(
        deviation > SMALLEST_DEVIATION,
        black76(forward, strike, np.maximum(deviation, SMALLEST_DEVIATION), sign),
        intrinsic,
    )
    value = np.where(p.touched, np.where(out, 0.0, discount * np.maximum(european, 0.0)), option)
    # A touch that knocks out pays at the hit, touched now included; a no-touch that is touched now is worth nothing.
    paid = touch(spot, barrier, up, ~out, np.zeros_like(out), out, volatility, rate, carry, years)
    return nan_where_unknown(value + rebate * paid, spot, strike, barrier, rebate, volatility, rate, carry, years)


def monitoring_correction(up: Floats, interval_years: Floats) -> Floats:
    """How far the barrier moves for a barrier that is observed at times to be worth what one always observed is.

    Barrier exp(correction sigma), farther from the price; exact to o(sqrt(interval)). Broadie, Glasserman and Kou, "A
    continuity correction for discrete barrier options" (Mathematical Finance, 1997); 0.5826 is -zeta(1/2) / sqrt(2 pi).

    Parameters
    ----------
    up : ndarray
        +1 an upper barrier, -1 a lower one.
    interval_years : ndarray
        Between two observations.

    Examples
    --------
    >>> print(f"{95.0 * np.exp(0.3 * monitoring_correction(-1.0, 1 / 250)):.4f}")
    93.9557
    """
    return up * MONITORING * np.sqrt(interval_years)
