"""Tail probabilities of Q = sum of b_j X_j + lambda_j X_j^2, by inversion of the moment generating function.

X is standard normal, or t: X_j = Z_j / sqrt(Y / nu) with one Y ~ chi2(nu). For s > 0

    P(Q > q) = 1/(2 pi i) integral of exp(K(s)) / s ds,

    normal:  K(s) = sum of b_j^2 s^2 / (2 (1 - 2 s lambda_j)) - log(1 - 2 s lambda_j) / 2, and - s q
    t:       K(s) = -sum of log(1 - 2 s lambda_j) / 2 - (nu / 2) log(1 - 2 alpha(s)),
             nu alpha(s) = -s q + sum of b_j^2 s^2 / (2 (1 - 2 s lambda_j)),

since P(Q > q) = P((Y / nu) (Q - q) > 0) (P. Glasserman, "Monte Carlo Methods in Financial Engineering", 2004, 9.2 and
9.3; P. Glasserman, P. Heidelberger and P. Shahabuddin, "Portfolio value-at-risk with heavy-tailed risk factors",
Mathematical Finance 12, 2002). The contour is a hyperbola through the saddle point of exp(K(s)) / s, upright or
inclined to where exp(-s q) falls (S. O. Rice, "Distribution of quadratic forms in normal random variables", SIAM J.
Sci. Stat. Comput. 1, 1980). In its parameter the trapezoidal rule converges geometrically; nodes are doubled until two
rules agree.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray
from scipy.special import ndtr, stdtr

from mcvar.errors import McvarError

Floats = NDArray[np.float64]
Complexes = NDArray[np.complex128]
Ints = NDArray[np.int64]
Mask = NDArray[np.bool_]
TOLERANCE = 1e-6  # of a probability, between two rules: the error of the finer is about the square of that
_NEGLIGIBLE = 1e-11  # a square against the deviation of the sum: as if it were not there
_DEPTH = 30.0  # e-folds after which the integrand counts as nothing
# Of the contour's parameter, where its end is looked for.
_FAR = np.concatenate([np.arange(0.0, 4.0, 0.5), np.arange(4.0, 8.0), np.geomspace(8.0, 60.0, 9)])
_FIRST, _LAST = 48, 12288  # nodes
_TILTS = (0.5, 0.0, 0.9)
_CELLS = 2**20  # complex numbers at once


def exceedance(linear: Floats, square: Floats, dof: float | None, q: Floats) -> Floats:
    """P(Q > q) for P sums of k terms, one q each.

    Absolute error below 1e-8.

    Parameters
    ----------
    linear, square : ndarray [P, k]
        b and lambda.
    dof : float or None
        None: X is normal.
    q : ndarray [P]

    Raises
    ------
    McvarError
        An integral that does not settle.

    Examples
    --------
    >>> one, none = np.array([[1.0, 1.0]]), np.zeros((1, 2))  # sums of two: normal, and chi-square
    >>> exceedance(one, none, None, np.array([2.0])).round(6).tolist()
    [0.07865]
    >>> exceedance(none, one, None, np.array([3.0])).round(6).tolist(), round(float(np.exp(-1.5)), 6)
    ([0.22313], 0.22313)
    """
    return _found(linear, square, dof, q, excess=False)


def excess(linear: Floats, square: Floats, dof: float | None, q: Floats) -> Floats:
    """E[max(Q - q, 0)], relative to the deviation of the sum as exact as `exceedance`; arguments as there.

    The integral of P(Q > q) from q on: exp(K(s)) / s^2 under the integral sign, for t moves times
    (1 - 2 alpha(s)) nu / (nu - 2).

    Examples
    --------
    >>> chi_square = excess(np.zeros((1, 2)), np.ones((1, 2)), None, np.array([3.0]))
    >>> chi_square.round(6).tolist(), round(float(2 * np.exp(-1.5)), 6)
    ([0.44626], 0.44626)
    """
    return _found(linear, square, dof, q, excess=True)


def _found(linear: Floats, square: Floats, dof: float | None, q: Floats, *, excess: bool) -> Floats:
    scale = np.sqrt((linear**2).sum(axis=1) + 2 * (square**2).sum(axis=1))
    found = np.maximum(-q, 0.0) if excess else np.where(q < 0, 1.0, 0.0)  # of what does not move
    moving = np.flatnonzero(scale > 0)
    if not len(moving):
        return found
    with np.errstate(over="ignore"):
        x = q[moving] / scale[moving]
    b, squares = _joined(linear[moving] / scale[moving, None], square[moving] / scale[moving, None])
    flipped = x < squares.sum(axis=1)  # the smaller tail is the one to integrate
    side = np.where(flipped, -1.0, 1.0)
    mean = squares.sum(axis=1) * (1.0 if dof is None else dof / (dof - 2))
    whole = mean - x if excess else 1.0  # of both tails, with their signs
    squares, x = squares * side[:, None], x * side
    tail = np.empty(len(x))
    alone = (b != 0).sum(axis=1) + ((b == 0) & (squares != 0)).sum(axis=1) <= 1
    one = np.flatnonzero(alone & (not excess))
    tail[one] = _one_term(b[one].sum(axis=1), squares[one].sum(axis=1), dof, x[one])
    many = np.flatnonzero(~alone | excess)
    step = max(1, _CELLS // (4 * _FIRST * b.shape[1]))
    for at in range(0, len(many), step):
        part = many[at : at + step]
        tail[part] = _Points.of(b[part], squares[part], dof, x[part], excess).tail()
    if excess:
        found[moving] = scale[moving] * np.where(flipped, whole + tail, tail)
    else:
        found[moving] = np.where(flipped, whole - tail, tail)
    return found


def _joined(b: Floats, squares: Floats) -> tuple[Floats, Floats]:
    """The same sums in as few terms as they need: terms without a square are one normal term together."""
    plain = np.abs(squares) <= _NEGLIGIBLE
    together = np.sqrt(np.where(plain, b**2, 0.0).sum(axis=1))
    kept = np.where(plain, 0.0, squares)
    order = np.argsort(-np.abs(kept), axis=1, kind="stable")[:, : int((~plain).sum(axis=1).max(initial=0))]
    terms = (np.take_along_axis(np.where(plain, 0.0, b), order, axis=1), np.take_along_axis(kept, order, axis=1))
    return np.column_stack([together, terms[0]]), np.column_stack([np.zeros(len(b)), terms[1]])


def _one_term(b: Floats, square: Floats, dof: float | None, x: Floats) -> Floats:
    """P(b X + lambda X^2 > x), from its roots."""

    def below(at: Floats) -> Floats:
        return np.asarray(ndtr(at) if dof is None else stdtr(dof, at))

    with np.errstate(divide="ignore", invalid="ignore"):
        inside = b * b + 4 * square * x
        half = -0.5 * (b + np.where(b < 0, -1.0, 1.0) * np.sqrt(np.maximum(inside, 0.0)))
        roots = np.sort([half / square, np.where(half == 0, 0.0, -x / half)], axis=0)
        straight = below(-x / np.abs(b))
    outside, between = below(roots[0]) + below(-roots[1]), below(roots[1]) - below(roots[0])
    curved = np.where(square > 0, np.where(inside <= 0, 1.0, outside), np.where(inside <= 0, 0.0, between))
    return np.where(square == 0, straight, curved)


def saddles(b2: Floats, square: Floats, dof: float | None, x: Floats, *, pole: bool = True) -> Floats:
    """Where exp(K(s)) / s is least at real s > 0, or exp(K(s)) without the pole, [P].

    Parameters
    ----------
    b2, square : ndarray [P, k]
        Squares of b, and lambda, of sums of deviation about 1.
    dof, x
        As for `exceedance`; not a number where no sum exceeds x.
    """
    end = _strip(square)
    with np.errstate(divide="ignore", invalid="ignore"):
        reach = np.where(square == 0, np.where(b2 == 0, 0.0, np.inf), -b2 / (4 * square)).sum(axis=1)
    never = ~np.isfinite(end) & (x >= reach)

    def rising(s: Floats) -> Mask:
        return np.asarray(~(_slope(b2, square, dof, x, s) - pole / s < 0))

    low, high = np.full(len(x), 1e-6), np.minimum(end, 1.0)  # the end may be 1e18: a square that is rounding
    for _ in range(200):
        short = ~never & ~rising(high)
        if not short.any():
            break
        low, high = np.where(short, high, low), np.where(short, np.minimum(2 * high, end), high)
    for _ in range(50):
        middle = 0.5 * (low + high)
        above = rising(middle)
        low, high = np.where(above, low, middle), np.where(above, middle, high)
    return np.where(never, np.nan, low)


def _strip(square: Floats) -> Floats:
    """Where K ceases to be defined on the positive axis by its squares, [P]."""
    most = square.max(axis=1)
    return np.where(most > 0, 0.5 / np.where(most > 0, most, 1.0), np.inf)


def _slope(b2: Floats, square: Floats, dof: float | None, x: Floats, s: Floats) -> Floats:
    """K'(s) at real s, [P]; infinite where K is not defined."""
    with np.errstate(all="ignore"):
        at = s[:, None]
        left = 1 - 2 * at * square
        quadratic = (b2 * at * (1 - at * square) / left**2).sum(axis=1) - x
        if dof is not None:
            rest = 1 - 2 * ((b2 * at * at / (2 * left)).sum(axis=1) - s * x) / dof
            quadratic = np.where(rest > 0, quadratic / rest, np.inf)
        return np.where((left > 0).all(axis=1), (square / left).sum(axis=1) + quadratic, np.inf)


@dataclass(frozen=True)
class _Points:
    """P integrals: sums of deviation about 1, to be found beyond `x`, and where their contours cross the real axis."""

    b2: Floats  # [P, k], squares of b
    square: Floats  # [P, k]
    dof: float | None
    x: Floats  # [P]
    saddle: Floats  # [P]; not finite: nothing is beyond x
    width: Floats  # [P], of the saddle
    excess: bool = False  # or the probability

    @classmethod
    def of(cls, b: Floats, square: Floats, dof: float | None, x: Floats, excess: bool) -> _Points:
        b2 = b * b
        saddle = saddles(b2, square, dof, x)
        with np.errstate(all="ignore"):
            bump = 1e-4 * np.minimum(saddle, _strip(square) - saddle)
            below, above = (_slope(b2, square, dof, x, s) - 1 / s for s in (saddle - bump, saddle + bump))
            width = 1 / np.sqrt((above - below) / (2 * bump))
        width = np.where(np.isfinite(width) & (width > 0), width, saddle)
        return cls(b2, square, dof, x, saddle, width, excess)

    def log_integrand(self, s: Complexes) -> Complexes:
        """K(s) - log s, or what stands for it where the excess is asked for, at [P, n]."""
        left = 1 - 2 * s[:, :, None] * self.square[:, None, :]
        half = s * s * 0.5 * (self.b2[:, None, :] / left).sum(axis=2) - s * self.x[:, None]
        found = -0.5 * np.log(left).sum(axis=2) - (1 + self.excess) * np.log(s)
        if self.dof is None:
            return np.asarray(found + half)
        rest = np.log(1 - 2 * half / self.dof)
        if self.excess:
            found += rest + np.log(self.dof / (self.dof - 2))
        return np.asarray(found - 0.5 * self.dof * rest)

    def take(self, at: Ints) -> _Points:
        x, saddle, width = self.x[at], self.saddle[at], self.width[at]
        return _Points(self.b2[at], self.square[at], self.dof, x, saddle, width, self.excess)

    def tail(self) -> Floats:
        """P(Q > x), or E[max(Q - x, 0)], [P]."""
        found = np.zeros(len(self.x))
        left = np.flatnonzero(np.isfinite(self.saddle))
        # exp(-s x) with what the terms of large squares make of it: to its falling side the contour may incline.
        with np.errstate(divide="ignore", invalid="ignore"):
            level = -np.where(self.square == 0, 0.0, self.b2 / (4 * self.square)).sum(axis=1)
        side = np.where(self.x >= level, 1.0, -1.0)
        nodes = _FIRST
        while len(left) and nodes <= _LAST:
            for tilt in _TILTS if self.dof is None else (0.0,):
                step = max(1, _CELLS // (nodes * self.square.shape[1]))
                rough, fine = np.empty(len(left)), np.empty(len(left))
                for at in range(0, len(left), step):
                    part = left[at : at + step]
                    rough[at : at + step], fine[at : at + step] = self.take(part)._rule(tilt * side[part], nodes)
                with np.errstate(invalid="ignore"):
                    good = np.abs(fine - rough) <= TOLERANCE * np.minimum(1.0, 1e-3 + np.abs(fine))
                found[left[good]] = fine[good]
                left = left[~good]
                if not len(left):
                    break
            nodes *= 2
        if len(left):
            raise McvarError(
                f"the law of {len(left)} delta-gamma approximations was not found to {TOLERANCE:g}: their squares "
                "differ too much in size. Run without variance reduction"
            )
        return np.maximum(found, 0.0) if self.excess else np.clip(found, 0.0, 1.0)

    def _rule(self, tilt: Floats, nodes: int) -> tuple[Floats, Floats]:
        """The trapezoidal rule with `nodes` / 2 and with `nodes` nodes, [P] each."""
        with np.errstate(all="ignore"):
            size = self._log_size(tilt)
            beyond = np.where(size > size.max(axis=1, keepdims=True) - _DEPTH, np.arange(len(_FAR)), 0).max(axis=1)
            end = _FAR[np.minimum(beyond + 1, len(_FAR) - 1)]
            t = end[:, None] * (np.arange(nodes + 1) / nodes)
            s, turn = self._contour(t, tilt)
            values = np.imag(np.exp(self.log_integrand(s)) * turn) / np.pi
            values[:, 0] *= 0.5
            return values[:, ::2].sum(axis=1) * (2 * end / nodes), values.sum(axis=1) * (end / nodes)

    def _log_size(self, tilt: Floats) -> Floats:
        s, turn = self._contour(np.broadcast_to(_FAR, (len(self.x), len(_FAR))), tilt)
        return np.nan_to_num(np.real(self.log_integrand(s)) + np.log(np.abs(turn)), nan=-np.inf, neginf=-np.inf)

    def _contour(self, t: Floats, tilt: Floats) -> tuple[Complexes, Complexes]:
        width, lean = self.width[:, None], tilt[:, None]
        s = self.saddle[:, None] + width * (1j * np.sinh(t) + lean * (np.cosh(t) - 1))
        return s, width * (1j * np.cosh(t) + lean * np.sinh(t))
