"""European options on an average of prices, part of which may lie in the past.

The future part averages n equally spaced fixings, or all prices of an interval, of a price
S(t) = S exp(a t + sigma W(t)) with a = b - sigma^2 / 2.

Geometric averages are lognormal: Black's formula with their mean and variance is exact (A. Kemna and A. Vorst, "A
pricing method for options based on average asset values", 1990; E. Haug, "The Complete Guide to Option Pricing
Formulas", 4.20).

Arithmetic averages A have two methods. `moments` takes A to be lognormal with its exact mean and variance
(S. Turnbull and L. Wakeman 1991; E. Levy 1992). The variance is that of the martingale E[A | S up to t],

    var A = sigma^2 S^2 int_0^T exp((2 b + sigma^2) t) R(t)^2 dt,  R(t) = sum over fixings s > t of exp(b (s - t)) / n,

all terms positive: no digits are lost at small volatilities, and b = 0 or b = -sigma^2 are no special cases.

`conditioning` values given a normal Z (M. Curran, "Valuing Asian and portfolio options by conditioning on the
geometric mean price", 1994; L. Rogers and Z. Shi 1995; R. Lord, "Partially exact and bounded approximations for
arithmetic Asian options", 2006). Z is the average of W with weights proportional to exp(a t), in deviations, and
G(Z) = S [average of exp(a t)] exp(sigma sqrt(V) Z) with V its variance: A >= G always, and A -> G as sigma -> 0 at
any carry. With m(z) = E[A | z] and z* where m(z*) = K,

    E (A - K)+ = int_z*^inf (m - K) phi + int_-inf^z* E[(A - K)+ | z] phi + int_z*^inf E[(K - A)+ | z] phi.

The first term, the lower bound of Rogers and Shi, is a sum of normal distribution functions; in the others, which are
small, A - G given z is taken as lognormal with its first two moments, up to where G = K. All integrals are Gauss sums.

Errors measured, relative to the spot, with v = sigma^2 T: about 0.01 v by moments and 3e-5 v^2 by conditioning, so that
at 30 % and one year they are 9e-4 and 2e-7. The variance is right to 1e-13 up to v = 1, to 3e-10 at v = 2.

Sums over fixings are Gauss sums of NODES points for the n points (of Gram's polynomials, exact up to degree
2 NODES - 1; the fixings themselves if there are no more than NODES), so that the cost does not depend on n.
"""

from __future__ import annotations

from enum import Enum
from typing import NamedTuple

import numpy as np
from numpy.typing import ArrayLike, NDArray
from scipy.special import ndtr

from mcvar.pricing.black import black76

Floats = NDArray[np.float64]

NODES = 6
TINY = 1e-300
MOST_DEVIATION, MOST_Z = 10.0, 20.0  # of ln S at expiry, and of Z: more is taken as this
ROOTS = np.array([0.23861918608319691, 0.66120938646626451, 0.93246951420315203])  # positive, of Legendre's P6
SLOPES = np.array([2.12, 5.33, 3.73])  # roots are about ROOTS - SLOPES / n^2: Newton starts there
# Gauss-Legendre v in (0, 1): y = 1.4 v / (1 - v) for the half line below z*, and v itself between z* and G = K.
BELOW = (
    np.array([0.04892324531938167, 0.2855190097114599, 0.860581808727066,
              2.2775289694993015, 6.864691783502397, 40.062755183240405]),
    np.array([0.1284553456995063, 0.36604084608475423, 0.8539813854246915,
              2.260060955267915, 8.800666516333267, 105.19079495118982]),
)  # fmt: skip
BETWEEN = (
    np.array([0.06943184420297371, 0.33000947820757187, 0.6699905217924281, 0.9305681557970262]),
    np.array([0.1739274225687269, 0.3260725774312731, 0.3260725774312731, 0.1739274225687269]),
)


class Method(Enum):
    """How arithmetic averages are valued."""

    moments = "moments"
    conditioning = "conditioning"


def asian(
    spot: ArrayLike,
    strike: ArrayLike,
    sign: ArrayLike,
    geometric: ArrayLike,
    volatility: ArrayLike,
    rate: ArrayLike,
    carry: ArrayLike,
    years: ArrayLike,
    *,
    past: ArrayLike,
    so_far: ArrayLike,
    wait: ArrayLike,
    fixings: ArrayLike,
    method: Method = Method.conditioning,
) -> Floats:
    """Value of max(sign (average - strike), 0) paid at expiry; all arguments broadcast.

    The average is past so_far + (1 - past) A, or so_far^past A^(1 - past) if geometric, with A that of the
    future. A geometric average of spots <= 0 is continued by its sign, -|S|^(1 - past) times the rest.

    Parameters
    ----------
    spot, strike : array_like
        Same unit. A spot <= 0 has its intrinsic value.
    sign, geometric : array_like
        +1 call, -1 put; true for geometric, false for arithmetic averages.
    volatility, rate, carry : array_like
        Annual, continuous; carry is the growth rate of the forward.
    years, wait : array_like
        To expiry, where averaging ends; to the first fixing to come, or the start of averaging; >= 0.
    past, so_far : array_like
        Weight of the past in the average, 0 to 1, and the average over it, of the contract's kind; ignored at weight 0.
    fixings : array_like
        To come, equally spaced from `wait` to `years`; 0 for continuous averaging. A single one is at `years`.
    method : Method
        For arithmetic averages.

    Returns
    -------
    ndarray
        Discounted, in the unit of spot.

    Examples
    --------
    A case of the table in J. Vecer, "A new PDE approach for pricing arithmetic average Asian options", 2001:

    >>> terms = dict(past=0, so_far=0, wait=0, fixings=0)
    >>> round(float(asian(2.0, 2.0, 1, False, 0.5, 0.05, 0.05, 1, **terms)), 5)
    0.24642
    >>> round(float(asian(2.0, 2.0, 1, True, 0.5, 0.05, 0.05, 1, **terms)), 6)
    0.222788
    """
    inputs = spot, strike, sign, geometric, volatility, rate, carry, years, past, so_far, wait, fixings
    s, k, sign_, logs, sigma, r, b, tau, past_, so_far_, wait_, fixings_ = np.broadcast_arrays(
        *(np.asarray(x, np.float64) for x in inputs)
    )
    tau, so_far_ = np.maximum(tau, 0.0), np.where(past_ > 0, so_far_, 0.0)
    sigma = np.minimum(sigma, MOST_DEVIATION / np.sqrt(np.maximum(tau, TINY)))
    left, ahead = k - past_ * so_far_, (1.0 - past_) * s
    with np.errstate(over="ignore", under="ignore"):
        of = _averaging(tau, wait_, fixings_)
        mean = ahead * (np.exp(b * of.wait) * (_growth(b * of.width) / _growth(b * of.step)))
        ratio = _variance_ratio(sigma, b, of)
        live = (left > 0) & (ahead > 0) & (ratio > 0)
        s1, k1, m1 = np.where(live, ahead, 1.0), np.where(live, left, 1.0), np.where(live, mean, 1.0)
        if method is Method.moments:
            call = black76(m1, k1, np.sqrt(np.log1p(np.where(live, ratio, 1.0))), np.ones_like(m1))
        else:
            call = _conditioned(_basket(s1, k1, sigma, b, of))
        call = np.minimum(np.maximum(call, np.maximum(m1 - k1, 0.0)), m1)
        smooth = np.where(sign_ > 0, call, call - (m1 - k1))
        arithmetic = np.where(live, smooth, np.maximum(sign_ * (mean - left), 0.0) + 0.0 * ratio)
        exact = _geometric(s, k, sign_, sigma, b, past_, so_far_, of)
        value: Floats = np.exp(-r * tau) * np.where(logs != 0, exact, arithmetic)
    return value


class _Averaging(NamedTuple):
    """What is averaged: n points, `step` apart, as the middles of the cells of [low, low + width]."""

    number: Floats  # 0: all of [low, low + width]
    inverse: Floats  # 1 / n, or 0
    wait: Floats
    step: Floats
    low: Floats
    width: Floats


def _averaging(years: Floats, wait: Floats, fixings: Floats) -> _Averaging:
    start = np.where(fixings == 1, years, np.minimum(np.maximum(wait, 0.0), years))
    step = np.where(fixings > 1, (years - start) / np.maximum(fixings - 1.0, 1.0), 0.0)
    inverse = np.where(fixings > 0, 1.0 / np.maximum(fixings, 1.0), 0.0)
    return _Averaging(fixings, inverse, start, step, start - 0.5 * step, years - start + step)


def _geometric(
    s: Floats, k: Floats, sign: Floats, sigma: Floats, b: Floats, past: Floats, so_far: Floats, of: _Averaging
) -> Floats:
    """Undiscounted value on a geometric average."""
    rest, middle = 1.0 - past, of.low + 0.5 * of.width
    variance = of.low + of.width / 3.0 + of.step * of.inverse / 6.0  # of the average of W: start + L (2 n - 1) / (6 n)
    total = sigma * sigma * np.maximum(variance, 0.0)
    before = np.log(np.maximum(np.where(past > 0, so_far, 1.0), TINY))
    after = np.log(np.maximum(np.abs(s), TINY)) + (b - 0.5 * sigma * sigma) * middle
    forward = np.exp(past * before + rest * after + 0.5 * rest * rest * total)
    forward = np.where((s > 0) | (past >= 1), forward, np.where(s == 0, 0.0, -forward) + 0.0 * s)
    smooth = black76(forward, np.where(k > 0, k, 1.0), rest * np.sqrt(total), sign)
    return np.where(k > 0, smooth, np.maximum(sign * (forward - k), 0.0))


def _growth(x: Floats) -> Floats:
    """(exp(x) - 1) / x."""
    return np.where(x == 0, 1.0, np.expm1(x) / np.where(x == 0, 1.0, x))


def _rule(n: Floats) -> tuple[Floats, Floats]:
    """Nodes in (-1, 1) and weights, both [..., NODES], of the mean over the points (2 i - n + 1) / n."""
    n = n[..., None]
    kappa = np.where(n > NODES, 1.0 / np.maximum(n, NODES + 1.0) ** 2, 0.0)
    beta = [k * k / (4.0 * k * k - 1.0) * (1.0 - k * k * kappa) for k in range(1, NODES)]
    x = ROOTS - SLOPES * kappa
    for _ in range(4):  # the last for the derivative at the root
        before, p, slope_before, slope = np.ones_like(x), x, np.zeros_like(x), np.ones_like(x)
        for factor in beta:
            slope, slope_before = p + x * slope - factor * slope_before, slope
            p, before = x * p - factor * before, p
        root, x = x, x - p / slope
    weight = (beta[0] * beta[1] * beta[2] * beta[3] * beta[4]) / (slope * before)
    k, few, count = np.arange(NODES), (n > 0) & (n <= NODES), np.maximum(n, 1.0)
    nodes = np.concatenate([-root[..., ::-1], root], -1)
    weights = np.concatenate([weight[..., ::-1], weight], -1)
    own = np.where(k < n, (2.0 * k - count + 1.0) / count, 0.0)
    return np.where(few, own, nodes), np.where(few, np.where(k < n, 1.0 / count, 0.0), weights)


def _variance_ratio(sigma: Floats, b: Floats, of: _Averaging) -> Floats:
    """Variance of A over E[A]^2: until one step before the first fixing, and over the steps between."""
    x, weight = _rule(of.number)
    square, width = sigma * sigma, of.width[..., None]
    ahead = 0.5 * (1.0 - x) + 0.5 * of.inverse[..., None]
    share = ahead * _growth(b[..., None] * (width * ahead)) / _growth(b * of.width)[..., None]
    since = width * (0.5 * (1.0 + x)) - 0.5 * of.step[..., None]
    total = np.sum(weight * np.exp((2.0 * b + square)[..., None] * since) * (share * share), -1)
    steps = np.where(of.number > 0, of.number * np.expm1(square * of.step), square * of.width)
    before = square * (of.wait - of.step)
    ratio: Floats = np.maximum(np.expm1(before) + np.exp(before) * (steps * total), 0.0)
    return ratio


class _Basket(NamedTuple):
    """The average at the nodes given Z = z: m(z) is the sum of scale exp(c z - c^2 / 2), G = floor exp(slope z)."""

    scale: Floats
    c: Floats
    link: Floats  # exp(covariance of the logarithms given z) - 1 [..., NODES, NODES]
    floor: Floats
    slope: Floats
    strike: Floats


def _basket(spot: Floats, strike: Floats, sigma: Floats, b: Floats, of: _Averaging) -> _Basket:
    x, weight = _rule(of.number)
    square, half = (sigma * sigma)[..., None], 0.5 * (1.0 + x)
    t = of.low[..., None] + of.width[..., None] * half
    p = weight * np.exp((b[..., None] - 0.5 * square) * t)
    level = np.sum(p, -1)
    p = p / level[..., None]
    # Covariances of W at the nodes. A Gauss sum across the kink of min(s, t) is corrected on the diagonal: the sum of
    # weight min(t, .) becomes the mean of min(t, .) over the fixings, which is quadratic in t.
    least = np.minimum(t[..., :, None], t[..., None, :])
    mean = (
        of.low[..., None] + of.width[..., None] * (half - 0.5 * half * half) + (of.step * of.inverse / 8.0)[..., None]
    )
    few = ((of.number > 0) & (of.number <= NODES))[..., None]
    excess = np.where(few, 0.0, (np.sum(weight[..., None, :] * least, -1) - mean) / np.where(few, 1.0, weight))
    c = np.sum(p[..., None, :] * least, -1) - p * excess  # with the average; over its deviation in the next lines
    deviation = np.sqrt(np.maximum(np.sum(p * c, -1), 0.0))
    c = sigma[..., None] * (c / np.maximum(deviation, TINY)[..., None])
    rest = square[..., None] * least - c[..., :, None] * c[..., None, :]
    own, diagonal = np.diagonal(rest, axis1=-2, axis2=-1), np.arange(NODES)
    link = np.expm1(rest)
    link[..., diagonal, diagonal] = np.expm1(own) - (square * excess) * np.exp(own)
    scale = weight * (spot[..., None] * np.exp(b[..., None] * t))
    return _Basket(scale, c, link, spot * level, sigma * deviation, strike)


def _parts(a: _Basket, z: Floats) -> Floats:
    """What the nodes add to m(z) [..., NODES]; any leading axes of z."""
    parts: Floats = a.scale * np.exp(a.c * z[..., None] - 0.5 * a.c * a.c)
    return parts


def _variance(a: _Basket, parts: Floats) -> Floats:
    """Of A given z."""
    variance: Floats = np.maximum(np.sum(parts * (a.link @ parts[..., None])[..., 0], -1), 0.0)
    return variance


def _integral(a: _Basket, start: Floats, length: Floats, side: float, rule: tuple[Floats, Floats]) -> Floats:
    """Of E[(side (A - K))+ | z] exp(-z^2 / 2) over the points z = start - side length y of the rule."""
    y, weight = (part.reshape(-1, *(1,) * start.ndim) for part in rule)
    z = np.maximum(start - side * length * y, -2.0 * MOST_Z)
    parts, low = _parts(a, z), a.floor * np.exp(a.slope * z)
    m = np.sum(parts, -1)
    over, under = np.maximum(m - low, 1e-14 * m + 1e-140), np.maximum(a.strike - low, 1e-18 * a.strike)
    s = np.maximum(np.sqrt(np.log1p(_variance(a, parts) / over / over)), 1e-10)
    d1 = np.log(over / under) / s + 0.5 * s
    value = side * (over * ndtr(side * d1) - under * ndtr(side * (d1 - s)))
    integral: Floats = length * np.sum(weight * value * np.exp(-0.5 * z * z), 0)
    return integral


def _conditioned(a: _Basket) -> Floats:
    """Undiscounted call on an arithmetic average; spot, strike > 0."""
    z = edge = np.clip(np.log(a.strike / a.floor) / np.maximum(a.slope, TINY), -MOST_Z, MOST_Z)
    for turn in range(5):  # Newton for m(z) = K: ln m is nearly linear
        parts = _parts(a, z)
        m, steep = np.sum(parts, -1), np.maximum(np.sum(parts * a.c, -1), TINY)
        if turn < 4:
            z = np.clip(z - np.log(m / a.strike) * (m / steep), -MOST_Z, MOST_Z)
    bound = np.sum(a.scale * ndtr(a.c - z[..., None]), -1) - a.strike * ndtr(-z)
    unit = np.minimum(np.sqrt(_variance(a, parts)) / steep, 2.0 * MOST_Z)
    between = np.maximum(np.minimum(edge - z, 5.0 * unit), 0.0)
    rest = _integral(a, z, unit, 1.0, BELOW) + _integral(a, z, between, -1.0, BETWEEN)
    call: Floats = bound + rest * 0.3989422804014327
    return call
