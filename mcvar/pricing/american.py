"""American options by the exact method of `american_boundary`, in any regime of rates and yields.

A put is exercised early below a boundary where r > 0, or r = 0 > q; between two boundaries where q < r < 0; never
otherwise (r <= 0, q >= r). A call on S with strike K, rate r and yield q = r - b is a put on K with strike S, rate q
and yield r (R. McDonald and M. Schroder, "A parity result for American options", 1998).
"""

from __future__ import annotations

from dataclasses import dataclass, replace

import numpy as np
from numpy.typing import NDArray
from scipy.special import ndtr

from mcvar.pricing.american_boundary import ACCURATE, FAST, Curve, Scheme, grid, solve
from mcvar.pricing.black import black76

__all__ = ["ACCURATE", "FAST", "Boundary", "Scheme", "american", "european"]

Floats = NDArray[np.float64]

LEAST_DEVIATION = 1e-4  # below it the future is taken as known; the error is below half of it
LEAST_SPOT = 1e-100  # in strikes; what is below counts as 0
BISECTIONS = 14
CHUNK = 256  # options at once: their arrays fit the cache


def european(deviation: Floats, rho: Floats, kappa: Floats, z: Floats, time: Floats | float = 1.0) -> Floats:
    """European put in units of the strike that expires at `time` of the life [0, 1]; arguments broadcast.

    Examples
    --------
    >>> round(float(european(np.float64(0.2), np.float64(0.05), np.float64(0.0), np.float64(0.0))), 6)
    0.055735
    """
    one = np.ones(())
    forward = np.exp(z + (rho - kappa) * time)
    return np.exp(-rho * time) * black76(forward, one, deviation * np.sqrt(time), -one)


@dataclass(frozen=True)
class Boundary:
    """Exercise boundaries of M puts on strike 1, ready for many spots z = ln(S/K).

    Parameters
    ----------
    deviation, rho, kappa : ndarray [M]
        sigma sqrt(tau) >= 0, r tau and q tau.
    upper, lower : Curve
        Of the puts in `single` and `double`, and of those in `double`.
    single, double : ndarray
        Places of the puts with one boundary and with two; the others are never exercised early.
    horizon : ndarray [M]
        The time before expiry, as part of the life, from which on two boundaries have met; 1 if they do not.
    scheme : Scheme
    """

    deviation: Floats
    rho: Floats
    kappa: Floats
    upper: Curve
    lower: Curve
    single: NDArray[np.int64]
    double: NDArray[np.int64]
    horizon: Floats
    scheme: Scheme

    @classmethod
    def solve(cls, deviation: Floats, rho: Floats, kappa: Floats, scheme: Scheme = ACCURATE) -> Boundary:
        """Solve M boundaries; all arguments are [M].

        Examples
        --------
        >>> b = Boundary.solve(np.array([0.2]), np.array([0.05]), np.array([0.0]))
        >>> round(float(b.premium(np.array([[0.0]]))[0, 0]), 6)
        0.005168
        """
        live = deviation >= LEAST_DEVIATION
        single = np.flatnonzero(live & ((rho > 0) | ((rho == 0) & (kappa < 0))))
        double = np.flatnonzero(live & (rho < 0) & (kappa < rho))
        horizon = np.ones_like(deviation)
        terms = deviation[double], rho[double], kappa[double]
        if len(double):
            horizon[double] = _meeting(*terms, scheme)
        part = horizon[double]
        terms = terms[0] * np.sqrt(part), terms[1] * part, terms[2] * part
        s, r, q = (np.concatenate([a[single], b]) for a, b in zip((deviation, rho, kappa), terms, strict=True))
        upper, lower = solve(s, r, q, 1.0, scheme), solve(*terms, -1.0, _patient(scheme))
        return cls(deviation, rho, kappa, upper, lower, single, double, horizon, scheme)

    @property
    def upper_end(self) -> Floats:
        """Z below which a put is exercised now [M]; -inf where it is not."""
        return self._end(self.upper.log[:, -1], np.concatenate([self.single, self.double]), -np.inf)

    @property
    def lower_end(self) -> Floats:
        """Z above which a put is exercised now, up to `upper_end` [M]; -inf where one boundary is all."""
        return self._end(self.lower.log[:, -1], self.double, -np.inf)

    def _end(self, log: Floats, place: NDArray[np.int64], otherwise: float) -> Floats:
        end = np.full(len(self.deviation), otherwise)
        end[place] = np.where(self.horizon[place] < 1, otherwise, log)
        return end

    def premium(self, z: Floats) -> Floats:
        """American minus European value [M, Z] at z [M, Z], in units of the strike; where exercised, the payoff's."""
        now = -np.expm1(z)
        plain = european(self.deviation[:, None], self.rho[:, None], self.kappa[:, None], z)
        exercised = (z <= self.upper_end[:, None]) & (z >= self.lower_end[:, None])
        early = np.zeros_like(z)
        for curve, place in ((self.upper, np.concatenate([self.single, self.double])), (self.lower, self.double)):
            early[place] += self._integral(curve, place, z[place])
        most = np.maximum(1.0, np.exp(-self.rho[:, None]))  # all that a put can pay, today
        value = np.where(exercised, now, np.minimum(plain + early, most))
        return np.maximum(value, np.maximum(plain, now)) - plain

    def _integral(self, curve: Curve, place: NDArray[np.int64], z: Floats) -> Floats:
        """The premium above `curve` (below, as its negative, for the lower one: exercise starts there)."""
        on = grid(self.scheme)
        s, rho, kappa, part = (a[place, None] for a in (self.deviation, self.rho, self.kappa, self.horizon))
        log = curve.between(on.premium_interpolation, on.premium_cosine)
        time = 1.0 - part + part * on.premium_sine**2  # [M, p]
        deviation = s * np.sqrt(time)
        shift = ((rho - kappa) * time - log) / deviation + 0.5 * deviation
        strike = part * rho * np.exp(-rho * time) * on.premium_weight
        spot = part * kappa * np.exp(-kappa * time) * on.premium_weight
        total, growth = np.zeros_like(z), np.exp(z)
        for k in range(time.shape[1]):
            d = z / deviation[:, k, None] + shift[:, k, None]
            total += strike[:, k, None] * ndtr(deviation[:, k, None] - d) - spot[:, k, None] * growth * ndtr(-d)
        return curve.side * total


def _patient(scheme: Scheme) -> Scheme:
    """For two boundaries: the guess of the lower one is worse, and near their meeting both must have converged."""
    return replace(scheme, steps=scheme.steps + 3)


def _meeting(s: Floats, rho: Floats, kappa: Floats, scheme: Scheme) -> Floats:
    """The time before expiry [M] when the upper and the lower boundary meet, as a part of the life; 1 if later."""

    def apart(part: Floats) -> NDArray[np.bool_]:
        terms = s * np.sqrt(part), rho * part, kappa * part
        upper, lower = solve(*terms, 1.0, _patient(scheme)), solve(*terms, -1.0, _patient(scheme))
        found = (upper.moved < 0.05) & (lower.moved < 0.05)
        return np.asarray(found & (upper.log > lower.log).all(axis=1))

    least, most = np.zeros_like(s), np.ones_like(s)
    never = apart(most)
    for _ in range(BISECTIONS):
        middle = 0.5 * (least + most)
        is_apart = apart(middle)
        least, most = np.where(is_apart, middle, least), np.where(is_apart, most, middle)
    return np.where(never, 1.0, np.maximum(least, 0.5**BISECTIONS))


def american(
    spot: Floats | float,
    strike: Floats | float,
    volatility: Floats | float,
    rate: Floats | float,
    carry: Floats | float,
    years: Floats | float,
    sign: Floats | float,
    scheme: Scheme = ACCURATE,
) -> Floats:
    """Value of American options; all arguments but `scheme` broadcast.

    Parameters
    ----------
    spot, strike : ndarray
        Same unit; strike > 0. At spot <= 0 (prices that move by absolute shocks) a call is worth nothing, a put what
        it pays now or what it will surely pay at expiry.
    volatility : ndarray
        Annual, >= 0.
    rate, carry : ndarray
        Continuous discount rate r and growth rate b = r - q of the forward, a year, of any sign.
    years : ndarray
        To expiry, >= 0.
    sign : ndarray
        +1 call, -1 put.

    Returns
    -------
    ndarray
        NaN for NaN only.

    Examples
    --------
    >>> round(float(american(36.0, 40.0, 0.2, 0.06, 0.06, 1.0, -1.0)), 4)  # Longstaff and Schwartz 2001: 4.478
    4.4867
    """
    every = np.broadcast_arrays(
        *(np.asarray(a, np.float64) for a in (spot, strike, volatility, rate, carry, years, sign))
    )
    flat = np.stack([a.reshape(-1) for a in every])
    values = np.empty(flat.shape[1])
    for first in range(0, len(values), CHUNK):
        values[first : first + CHUNK] = _american(flat[:, first : first + CHUNK], scheme)
    return values.reshape(every[0].shape)


def _american(terms: Floats, scheme: Scheme) -> Floats:
    known = ~np.isnan(terms).any(axis=0)
    spot, strike, volatility, rate, carry, years, sign = np.where(known, terms, 1.0)
    call, alive = sign > 0, spot > LEAST_SPOT * strike
    positive = np.where(alive, spot, strike)
    own, other = np.where(call, positive, strike), np.where(call, strike, positive)  # strike and spot of the put
    cost, gain = rate * years, (rate - carry) * years
    rho, kappa = np.where(call, gain, cost), np.where(call, cost, gain)
    deviation, z = volatility * np.sqrt(years), np.log(other / own)
    plain = european(deviation, rho, kappa, z)
    early = Boundary.solve(deviation, rho, kappa, scheme).premium(z[:, None])[:, 0]
    # European puts of every shorter life are less; the best of them is the limit of a known future
    with np.errstate(divide="ignore", invalid="ignore"):
        best = np.clip(np.nan_to_num((z + np.log(kappa / rho)) / (kappa - rho)), 0.0, 1.0)
    value = own * np.maximum(plain + early, european(deviation, rho, kappa, z, best))
    value = np.maximum(value, sign * (spot - strike))
    dead = np.where(call, 0.0, np.maximum(strike - spot, strike * np.exp(-cost) - spot * np.exp(-gain)))
    return np.where(known, np.where(alive, value, dead), np.nan)
