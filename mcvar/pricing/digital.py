"""Digitals, touches and binary barriers in closed form.

Reiner and Rubinstein, "Unscrambling the binary code" (Risk, 1991); Haug, "The Complete Guide to Option Pricing
Formulas" (2nd ed., 2007), 4.19. Barriers are monitored continuously.

All is measured in standard deviations s = sigma sqrt(tau) of the logarithm at expiry and counted away from the
barrier H (side +1: the price is above it, -1: below), so that up and down share one formula: distance y = side
ln(S/H) / s, strike g = side ln(K/H) / s, drift w = side (b tau -+ s^2/2) / s for payments in cash and in the asset.
The distance is then a Brownian motion from y with drift w during a time of 1, and the power of H/S in the books is
exp(-2 y w). That power may be huge where its normal probability is tiny; their exponents are added first,

    exp(-2 y w) phi(w - y - g) = phi(y + w - g) exp(-2 y g),

which leaves an exponent that is never positive and Mills' ratio, which is bounded.

Limits. A price at or beyond the barrier has touched it. Without volatility or time, and for prices <= 0, the path is
the forward's, monotone in time: it touches where the forward at expiry is at or beyond the barrier. Only a price
strictly in the money pays. `up` is +1 or -1; `out`, `asset`, `at_hit` are booleans.
"""

from __future__ import annotations

from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray
from scipy.special import erfcx, ndtr, wofz

Floats = NDArray[np.float64]
Flags = NDArray[np.bool_]

SMALLEST_DEVIATION = 1e-14  # below it an option is worth its limit to all digits, and 1 / s^2 would overflow
ROOT_HALF = float(np.sqrt(0.5))


class Passage(NamedTuple):
    """Where a price stands to its barrier; see the module. `half` is side s/2; dead cases have a deviation of 1."""

    live: Flags
    side: Floats
    touched: Flags  # now
    reached: Flags  # by the forward at expiry: where not live, whether the path touches
    deviation: Floats
    distance: Floats
    drift: Floats  # without -+ half
    half: Floats


def passage(spot: Floats, barrier: Floats, up: Floats, volatility: Floats, carry: Floats, years: Floats) -> Passage:
    """Standardise a price and its barrier (> 0); arguments broadcast."""
    side = np.where(np.greater(up, 0), -1.0, 1.0)
    deviation = volatility * np.sqrt(np.maximum(years, 0.0))
    live = (deviation > SMALLEST_DEVIATION) & np.greater(spot, 0)
    s = np.where(live, deviation, 1.0)
    distance = np.maximum(side * np.log(np.where(live, spot, barrier) / barrier) / s, 0.0)
    return Passage(
        live=live,
        side=side,
        touched=side * (spot - barrier) <= 0,
        reached=side * (spot * np.exp(carry * years) - barrier) <= 0,
        deviation=s,
        distance=distance,
        drift=side * carry * years / s,
        half=0.5 * side * s,
    )


def first_passage(distance: Floats, drift: Floats, discount: Floats) -> Floats:
    """E[exp(-discount theta); theta <= 1], theta the first time that distance + drift t + B_t is 0.

    With l^2 = drift^2 + 2 discount this is exp(-y w) (exp(-y l) N(l - y) + exp(y l) N(-l - y)) (Haug 4.19, where l is
    lambda s). It is a function of l^2, real where l = i k is not (negative rates): there
    exp(-(y + w)^2/2 - discount) Re w((k + i y) / sqrt(2)), with w the Faddeeva function.

    Parameters
    ----------
    distance : ndarray
        >= 0, in standard deviations.
    drift : ndarray
        Away from 0, standard deviations in the unit of time.
    discount : ndarray
        Per unit of time, any sign; 0 gives the probability of a touch.

    Examples
    --------
    Without drift, twice the probability to end beyond (the reflection principle):

    >>> print(f"{first_passage(1.0, 0.0, 0.0):.6f}, {first_passage(1.0, 0.0, -0.05):.6f}")
    0.317311, 0.325776
    """
    y, w = distance, drift
    square = np.square(w) + 2.0 * discount
    root = np.sqrt(np.maximum(square, 0.0))
    density = np.exp(-0.5 * np.square(y + w) - discount)
    towards = np.less(w, 0)  # there -y (w + root) would cancel
    power = np.where(towards, -2.0 * discount * y / np.where(towards, root - w, 1.0), -y * (w + root))
    inner = 0.5 * density * erfcx(ROOT_HALF * np.abs(root - y))
    outer = 0.5 * density * erfcx(ROOT_HALF * (root + y))
    likely = root > y
    value = np.where(likely, np.exp(np.where(likely, power, 0.0)) - inner, inner) + outer
    if np.any(square < 0):
        imaginary = np.sqrt(np.maximum(-square, 0.0))
        value = np.where(square < 0, density * wofz(ROOT_HALF * (imaginary + 1j * y)).real, value)
    return np.maximum(value, 0.0)


def _image(distance: Floats, strike: Floats, drift: Floats, shift: Floats) -> Floats:
    """exp(-2 y w) N(w - y - g), w = drift + shift, of the path that starts behind the barrier."""
    y, g = distance, strike
    z = (drift - y - g) + shift
    tail = 0.5 * np.exp(-0.5 * np.square((y - g + drift) + shift) - 2.0 * y * g) * erfcx(ROOT_HALF * np.abs(z))
    power = -2.0 * y * (drift + shift)
    return np.where(z > 0, np.exp(np.where(z > 0, power, 0.0)) - tail, tail)


def barrier_probability(
    distance: Floats, strike: Floats, drift: Floats, shift: Floats, away: Flags, out: Flags
) -> Floats:
    """Probability to end in the money and (`out`) to have touched 0 never, or (not `out`) at least once.

    The drift is the sum of two parts, as measures of cash and asset differ in `shift` only: kept apart, what is rounded
    in the rest is the same in both and cancels in the value of an option.

    Parameters
    ----------
    distance, strike : ndarray
        Of the price and the strike from the barrier, in standard deviations; distance >= 0.
    drift, shift : ndarray
        Away from the barrier.
    away : ndarray of bool
        In the money is farther away than the strike: calls above the barrier, puts below.
    out : ndarray of bool

    Examples
    --------
    >>> print(f"{barrier_probability(1.0, 0.0, 0.0, 0.0, True, True):.6f}")
    0.682689
    """
    y = distance
    beyond = np.maximum(strike, 0.0)
    image, image_0 = _image(y, beyond, drift, shift), _image(y, np.zeros_like(beyond), drift, shift)
    d = (y - np.where(out, beyond, np.minimum(strike, 0.0)) + drift) + shift
    d_0 = (y + drift) + shift
    never = np.where(away, ndtr(d) - image, ndtr(d_0) - ndtr(d) - image_0 + image)
    once = np.where(away, ndtr(d) - ndtr(d_0) + image, ndtr(-d) + image_0 - image)
    return np.maximum(np.where(out, never, once), 0.0)


def nan_where_unknown(value: Floats, *inputs: Floats) -> Floats:
    """`value`, and NaN where one of the inputs is NaN: selections would lose it."""
    return np.where(np.isnan(sum(inputs, np.float64(0))), np.nan, value)


def digital(
    spot: Floats,
    strike: Floats,
    sign: Floats,
    asset: Flags,
    volatility: Floats,
    rate: Floats,
    carry: Floats,
    years: Floats,
) -> Floats:
    """Value of a European digital: 1 (or the asset) at expiry if sign (S_T - K) > 0; Haug 4.19.1-2.

    Parameters
    ----------
    spot, strike : ndarray
        Same unit; strike > 0.
    sign : ndarray
        +1 call, -1 put.
    asset : ndarray of bool
        Pays S_T instead of 1.
    volatility, rate, carry : ndarray
        Annual; `carry` is the growth of the forward.
    years : ndarray
        To expiry.

    Examples
    --------
    Haug's put, 20.2069:

    >>> print(f"{digital(70.0, 65.0, -1.0, True, 0.27, 0.07, 0.02, 0.5):.4f}")
    20.2069
    """
    asset = np.greater(asset, 0)
    deviation = volatility * np.sqrt(np.maximum(years, 0.0))
    live = (deviation > SMALLEST_DEVIATION) & np.greater(spot, 0)
    s = np.where(live, deviation, 1.0)
    d = (np.log(np.where(live, spot, strike) / strike) + carry * years) / s + np.where(asset, 0.5, -0.5) * s
    forward = spot * np.exp(carry * years)
    probability = np.where(live, ndtr(sign * d), sign * (forward - strike) > 0)
    payment = np.where(asset, spot * np.exp((carry - rate) * years), np.exp(-rate * years))
    return nan_where_unknown(payment * probability, spot, strike, volatility, rate, carry, years)


def touch(
    spot: Floats,
    barrier: Floats,
    up: Floats,
    out: Flags,
    asset: Flags,
    at_hit: Flags,
    volatility: Floats,
    rate: Floats,
    carry: Floats,
    years: Floats,
) -> Floats:
    """Value of a touch that was not touched before; Reiner and Rubinstein (1991), Haug 4.19.5.

    Parameters
    ----------
    spot, barrier : ndarray
        Same unit; barrier > 0. Touched now: an asset paid at the hit is worth the spot.
    up : ndarray
        +1 an upper barrier, -1 a lower one.
    out : ndarray of bool
        No-touch: pays at expiry if never touched; else one-touch.
    asset : ndarray of bool
        Pays the asset instead of 1; at the hit it is worth the barrier.
    at_hit : ndarray of bool
        A one-touch pays at once, else at expiry.
    volatility, rate, carry, years : ndarray
        As in `digital`.

    Examples
    --------
    Haug's 15 in cash at the hit of 100 from 105, 9.7264:

    >>> print(f"{15 * touch(105.0, 100.0, -1.0, False, False, True, 0.2, 0.1, 0.1, 0.5):.4f}")
    9.7264
    """
    out, asset = np.greater(out, 0), np.greater(asset, 0)
    at_hit = np.greater(at_hit, 0) & ~out
    p = passage(spot, barrier, up, volatility, carry, years)
    shift = np.where(asset & ~at_hit, p.half, -p.half)
    hit = first_passage(p.distance, p.drift + shift, np.where(at_hit, rate * years, 0.0))
    hit = np.where(p.live, hit, np.where(at_hit, discount_on_the_way(spot, barrier, rate, carry, p), 1.0) * p.reached)
    at_expiry = np.where(asset, spot * np.exp((carry - rate) * years), np.exp(-rate * years))
    payment = np.where(at_hit, np.where(asset, barrier, 1.0), at_expiry)
    untouched = payment * np.where(out, np.maximum(1.0 - hit, 0.0), hit)
    now = np.where(out, 0.0, np.where(at_hit, np.where(asset, spot, 1.0), at_expiry))
    return nan_where_unknown(np.where(p.touched, now, untouched), spot, barrier, volatility, rate, carry, years)


def discount_on_the_way(spot: Floats, barrier: Floats, rate: Floats, carry: Floats, p: Passage) -> Floats:
    """exp(-r t) at the time t = ln(H/S) / b when the forward's path meets the barrier; 1 where it does not."""
    meets = p.reached & ~p.touched & np.greater(spot, 0)
    time = np.log(np.where(meets, barrier, 1.0) / np.where(meets, spot, 1.0)) / np.where(meets, carry, 1.0)
    return np.exp(-rate * time)


def barrier_digital(
    spot: Floats,
    strike: Floats,
    sign: Floats,
    barrier: Floats,
    up: Floats,
    out: Flags,
    asset: Flags,
    volatility: Floats,
    rate: Floats,
    carry: Floats,
    years: Floats,
) -> Floats:
    """Value of a digital with a barrier that was not touched before, paid at expiry; Haug 4.19.5, numbers 13-28.

    Parameters are those of `digital` and of `touch`; a digital that knocks in and one that knocks out add up to
    `digital`.

    Examples
    --------
    Haug's call on 15 in cash that knocks in at 100, 6.2150:

    >>> print(f"{15 * barrier_digital(105.0, 98.0, 1.0, 100.0, -1.0, False, False, 0.2, 0.1, 0.1, 0.5):.4f}")
    6.2150
    """
    out, asset = np.greater(out, 0), np.greater(asset, 0)
    p = passage(spot, barrier, up, volatility, carry, years)
    beyond = p.side * np.log(strike / barrier) / p.deviation
    probability = barrier_probability(
        p.distance, beyond, p.drift, np.where(asset, p.half, -p.half), sign * p.side > 0, out
    )
    in_the_money = sign * (spot * np.exp(carry * years) - strike) > 0
    probability = np.where(p.live, probability, in_the_money & (p.reached != out))
    payment = np.where(asset, spot * np.exp((carry - rate) * years), np.exp(-rate * years))
    now = np.where(out, 0.0, digital(spot, strike, sign, asset, volatility, rate, carry, years))
    value = np.where(p.touched, now, payment * probability)
    return nan_where_unknown(value, spot, strike, barrier, volatility, rate, carry, years)
