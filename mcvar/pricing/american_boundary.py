"""The exercise boundary of an American put by spectral collocation, in normalised form.

A put on strike 1 with z = ln(S/K), s = sigma sqrt(tau), rho = r tau and kappa = q tau (q = r - b is the yield) is all
there is: time runs over [0, 1], values scale with the strike, and a call is a put with spot and strike, r and q
exchanged. With t the time from now, g(u) the logarithm of the boundary at the time u = 1 - t before expiry, and

    d(t, y) = (y + (rho - kappa) t) / (s sqrt t) + s sqrt(t) / 2,

the early exercise premium is (I. J. Kim, "The analytic valuation of American options", 1990)

    integral over t in [0, 1] of rho exp(-rho t) N(-d + s sqrt t) - kappa exp(z - kappa t) N(-d) at d = d(t, z - g).

Smooth pasting, delta = -1 on the boundary, is an equation for g. L. Andersen, M. Lake and D. Offengenden
("High-performance American option pricing", 2016) collocate it on Chebyshev nodes in sqrt(u), where the square
H(u) = (g(u) - g(0))^2 is smooth. Here with two changes: t = sin(theta)^2 makes sqrt(t) and sqrt(u) analytic in theta,
so that few Gauss nodes do, and Newton's method takes the whole system in logarithms, so that few steps do.

With kappa < rho < 0 the put is exercised between two boundaries, which meet at some time or never. Each solves an
equation of its own until then (Andersen and Lake, "Fast American option pricing: the double-boundary case", 2021).
"""

from __future__ import annotations

from dataclasses import dataclass
from functools import lru_cache

import numpy as np
from numpy.typing import NDArray
from scipy.special import ndtr

Floats = NDArray[np.float64]

DENSITY = 0.3989422804014327  # 1 / sqrt(2 pi)
SLOPE = 0.639  # of ln B at expiry in s sqrt(u) where q > r: Evans, Kuske and Keller 2002
TINY = 1e-300
FLOOR = 1e-8  # of H between nodes, as a part of H's last node times u: a bad guess may dip below 0


@dataclass(frozen=True)
class Scheme:
    """How fine to solve: fixed counts, so that every option costs the same.

    Parameters
    ----------
    nodes : int
        Chebyshev nodes of the boundary, without the known one at expiry.
    points : int
        Gauss nodes of the integrals in the equation of the boundary.
    steps : int
        Newton steps.
    premium_points : int
        Gauss nodes of the premium.
    """

    nodes: int
    points: int
    steps: int
    premium_points: int


ACCURATE = Scheme(nodes=12, points=16, steps=5, premium_points=48)
FAST = Scheme(nodes=7, points=10, steps=3, premium_points=20)


@dataclass(frozen=True)
class Grid:
    """Constants of a scheme.

    Parameters
    ----------
    node : ndarray [n]
        sqrt(u) of the Chebyshev nodes, ascending; the last is 1.
    sine, cosine, weight : ndarray [l]
        Of the Gauss nodes theta in (0, pi/2) of the boundary's integrals; weight times 2 sine cosine.
    interpolation : ndarray [n, l, n]
        H at sqrt(u) = node cosine is interpolation @ H(node).
    premium_sine, premium_cosine, premium_weight : ndarray [p]
    premium_interpolation : ndarray [p, n]
    """

    node: Floats
    sine: Floats
    cosine: Floats
    weight: Floats
    interpolation: Floats
    premium_sine: Floats
    premium_cosine: Floats
    premium_weight: Floats
    premium_interpolation: Floats


def _cardinals(node: Floats, at: Floats) -> Floats:
    """Chebyshev-Lobatto cardinal functions [..., n] on 0 and `node`, without that of 0, where H = 0."""
    count = len(node)
    every = np.concatenate([[0.0], node])
    sign = np.where(np.arange(count + 1) % 2 == 0, 1.0, -1.0)
    sign[[0, -1]] *= 0.5
    share = sign / (at[..., None] - every)
    cardinals: Floats = (share / share.sum(axis=-1, keepdims=True))[..., 1:]
    return cardinals


@lru_cache(maxsize=8)
def grid(scheme: Scheme) -> Grid:
    """Nodes, weights and interpolation of a scheme."""
    node = np.sin(0.5 * np.pi * np.arange(1, scheme.nodes + 1) / scheme.nodes) ** 2
    rules = [np.polynomial.legendre.leggauss(count) for count in (scheme.points, scheme.premium_points)]
    (theta, weight), (premium_theta, premium_weight) = ((0.25 * np.pi * (1 + x), 0.25 * np.pi * w) for x, w in rules)
    return Grid(
        node=node,
        sine=np.sin(theta),
        cosine=np.cos(theta),
        weight=weight * np.sin(2 * theta),
        interpolation=_cardinals(node, node[:, None] * np.cos(theta)),
        premium_sine=np.sin(premium_theta),
        premium_cosine=np.cos(premium_theta),
        premium_weight=premium_weight * np.sin(2 * premium_theta),
        premium_interpolation=_cardinals(node, np.cos(premium_theta)),
    )


@dataclass(frozen=True)
class Curve:
    """ln B of M options: exercise is below it (`side` = 1) or above it (`side` = -1).

    Parameters
    ----------
    start : ndarray [M]
        At expiry.
    distance : ndarray [M, n]
        |ln B - start| at the nodes, ascending in time to expiry.
    side : float
    moved : ndarray [M]
        The largest part by which the last step changed a distance: near 0 where Newton's method has converged.
    """

    start: Floats
    distance: Floats
    side: float
    moved: Floats

    @property
    def log(self) -> Floats:
        """Ln B at the nodes [M, n]."""
        return self.start[:, None] - self.side * self.distance

    def between(self, interpolation: Floats, cosine: Floats) -> Floats:
        """Ln B [M, k] where `interpolation` [k, n] and `cosine` [k] = sqrt(u) lead."""
        square = self.distance**2
        return self.start[:, None] - self.side * np.sqrt(
            np.maximum(square @ interpolation.T, FLOOR * square[:, -1:] * cosine**2)
        )


def solve(s: Floats, rho: Floats, kappa: Floats, side: float, scheme: Scheme) -> Curve:
    """The boundary of M puts, all [M], that are exercised early.

    Parameters
    ----------
    s, rho, kappa : ndarray [M]
        sigma sqrt(tau) > 0, r tau and q tau; rho > 0, or kappa < rho <= 0.
    side : float
        1: the boundary below which the put is exercised; -1: that above which it is, where kappa < rho < 0.

    Examples
    --------
    >>> import numpy as np
    >>> curve = solve(np.array([0.2]), np.array([0.05]), np.array([0.0]), 1.0, ACCURATE)
    >>> round(float(np.exp(curve.log[0, -1])), 4)  # S/K at and below which it is exercised
    0.8088
    """
    on = grid(scheme)
    late = (kappa > rho) if side > 0 else np.ones(len(s), bool)  # where rho - kappa B falls below 0 before B = 1
    start = np.log(np.where(late, rho, 1.0) / np.where(late, kappa, 1.0))
    terms = s[:, None], rho[:, None], kappa[:, None], start[:, None]
    distance = _first_guess(*terms, on.node, side)
    moved = np.zeros_like(s)
    for _ in range(scheme.steps):
        with np.errstate(over="ignore", invalid="ignore", divide="ignore"):  # odd inputs: what overflows is no step
            step = _newton(*terms, distance, side, on)
        step = np.where(np.isfinite(step), step, 0.0)
        moved = np.max(np.minimum(np.abs(step), distance) / distance, axis=1)
        distance = np.clip(distance + step, 0.5 * distance, 2.0 * distance)
    return Curve(start=start, distance=distance, side=side, moved=moved)


def _first_guess(s: Floats, rho: Floats, kappa: Floats, start: Floats, node: Floats, side: float) -> Floats:
    """|ln B - start| [M, n]: what is known near expiry, bent towards the perpetual boundary. Arguments are [M, 1].

    Near expiry |ln B| is s sqrt(u ln(s^2 / (8 pi u (rho - kappa)^2))) for q < r, SLOPE s sqrt(u) from ln(r/q) for q > r
    and s sqrt(2 u ln(1 / (4 sqrt(pi) kappa u))) between (Evans, Kuske and Keller 2002); blended without a kink.
    """
    variance = s * s
    beta = 0.5 - (rho - kappa) / variance
    root = np.sqrt(np.maximum(beta * beta + 2 * rho / variance, 0.0))
    power = beta - side * root
    if side > 0:  # without cancellation
        power = np.where(beta > 0, -2 * rho / variance / (np.abs(beta) + root), power)
    never = 1.0 if side < 0 else np.where(rho < 0, rho / np.where(kappa < 0, kappa, 1.0), 0.0)
    perpetual = np.where(power < 0, power / (power - 1), never)
    if side > 0:
        perpetual = np.maximum(np.maximum(perpetual, never), 1e-14 * np.exp(start))
    way = np.maximum(np.abs(start - np.log(perpetual)), 1e-9)
    size, time = s * node, node * node
    unequal = 8 * np.pi * time * (rho - kappa) ** 2 / variance
    equal = 4 * np.sqrt(np.pi) * np.maximum(kappa, 0.0) * time
    smooth = np.sqrt(0.41 + np.log1p(1 / (unequal + equal * equal / (1 + 2 * equal)))) * size
    low, high = smooth + start, SLOPE * size
    both = 0.5 * (low + high + np.sqrt((low - high) ** 2 + 0.04 * size * size))
    part = (high if side < 0 else np.where(start < 0, both, smooth)) / way
    guess: Floats = way * -np.expm1(-part - 0.5 * part * part)
    return guess


def _newton(s: Floats, rho: Floats, kappa: Floats, start: Floats, distance: Floats, side: float, on: Grid) -> Floats:
    """One step of Newton's method for the distances [M, n]; the other arrays are [M, 1].

    Smooth pasting reads, with n(d) the normal density and all integrals over t in [0, u],

        exp(-kappa u) N(d0) + kappa int exp(-kappa t) N(side d)
            = side int (rho / B - kappa) exp(-kappa t) n(d) / (s sqrt t),

    without the first term from below (side = -1), where the holder who waits past the strike owes S - 1.
    Its terms are arranged as ln(first / second) = 0 with both positive, and where kappa > 0 with
    exp(-kappa u) n(d0) / (s sqrt u) + kappa int exp(-kappa t) n(d) / (s sqrt t) added to both, which keeps them apart
    from 0 (the system FP-A).
    """
    count, points = on.interpolation.shape[:2]
    sqrt_time = on.node[:, None] * on.sine
    time, weight = sqrt_time * sqrt_time, on.weight * (on.node * on.node)[:, None]
    s3, rho3, kappa3, start3 = s[:, :, None], rho[:, :, None], kappa[:, :, None], start[:, :, None]
    square = distance * distance
    passed = (square @ on.interpolation.reshape(-1, count).T).reshape(-1, count, points)
    least = FLOOR * (on.node[:, None] * on.cosine) ** 2
    least = square[:, -1:, None] * least
    free = passed > least
    passed = np.sqrt(np.where(free, passed, least))
    deviation = s3 * sqrt_time
    rise = side * (passed - distance[:, :, None]) + (rho3 - kappa3) * time
    d = rise / deviation + 0.5 * deviation
    share = np.exp(-kappa3 * time) * weight
    density = share * (DENSITY * np.exp(-0.5 * d * d)) / deviation
    paid, earned = kappa3 * density, side * rho3 * np.exp(side * passed - start3) * density
    stay = kappa * (share * ndtr(side * d)).sum(axis=-1)

    time0, deviation0 = on.node * on.node, s * on.node
    d0 = (start - side * distance + (rho - kappa) * time0) / deviation0 + 0.5 * deviation0
    share0 = np.exp(-kappa * time0) if side > 0 else np.zeros_like(d0)  # none from below
    density0 = share0 * (DENSITY * np.exp(-0.5 * d0 * d0)) / deviation0
    added = np.where(kappa > 0, 1.0, 0.0)
    paid_first = added if side > 0 else -1.0
    mixed = earned + np.asarray(paid_first - side)[..., None] * paid
    sum_paid = paid.sum(axis=-1)
    first = share0 * ndtr(d0) + added * (density0 + stay) + paid_first * sum_paid
    second = added * density0 - (1 - added) * stay + mixed.sum(axis=-1)
    first, second = np.maximum(first, TINY), np.maximum(second, TINY)

    # derivatives by ln B at the node, then by ln B between nodes
    tilt, tilt0 = d / deviation, density0 * d0 / deviation0
    first_here = density0 + added * (side * sum_paid - tilt0) - paid_first * (paid * tilt).sum(axis=-1)
    second_here = -added * tilt0 - (1 - added) * side * sum_paid - (mixed * tilt).sum(axis=-1)
    a3, p3 = added[..., None], np.asarray(paid_first)[..., None]
    first_there = p3 * paid * tilt - a3 * side * paid
    second_there = (1 - a3) * side * paid + mixed * tilt - earned
    there = (first_there / first[..., None] - second_there / second[..., None]) * np.where(free, 1.0 / passed, 0.0)
    matrix = np.matmul(there.transpose(1, 0, 2), on.interpolation).transpose(1, 0, 2) * distance[:, None, :]
    diagonal = np.arange(count)
    matrix[:, diagonal, diagonal] += first_here / first - second_here / second
    return _eliminate(-side * matrix, np.log(second) - np.log(first))


def _eliminate(matrix: Floats, right: Floats) -> Floats:
    """Solve matrix [M, n, n] x = right [M, n], without pivots: what is later hardly acts on what is earlier."""
    count = right.shape[1]
    for k in range(count):
        pivot = matrix[:, k, k]
        inverse = 1.0 / np.where(pivot == 0, 1.0, pivot)
        for i in range(k + 1, count):
            factor = matrix[:, i, k] * inverse
            matrix[:, i, k + 1 :] -= factor[:, None] * matrix[:, k, k + 1 :]
            right[:, i] -= factor * right[:, k]
    for k in reversed(range(count)):
        for j in range(k + 1, count):
            right[:, k] -= matrix[:, k, j] * right[:, j]
        pivot = matrix[:, k, k]
        right[:, k] /= np.where(pivot == 0, 1.0, pivot)
    return right
