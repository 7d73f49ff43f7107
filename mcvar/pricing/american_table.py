"""American options from a price table: one exact solution for many spots and volatilities.

A put on strike 1 is worth a function of z = ln(S/K) and s = sigma sqrt(tau) for given r tau and q tau; a call is a put
with strike and spot, rate and yield exchanged. What is tabulated is the early exercise premium, American minus
European, where the put is held, over ln s and

    u = y / (y + c s),  y = z - ln B(s) >= 0,

the distance from the exercise boundary: there the premium is smooth right up to the boundary, at which the price itself
has a jump in its second derivative, and nodes are dense where premiums are large. Uniform cubic B-splines in both; B(s)
is one in ln s.
"""

from __future__ import annotations

from dataclasses import dataclass
from functools import cache, lru_cache

import numpy as np
from numpy.typing import NDArray

from mcvar.pricing.american import ACCURATE, LEAST_DEVIATION, Boundary, Scheme
from mcvar.pricing.black import black76

Floats = NDArray[np.float64]
ACROSS, ALONG = 72, 96  # nodes in ln s and in u
FARTHEST = 300.0  # z beyond which premiums are nothing
END = 1e3  # a z beyond is no price
SCALE = 1.5  # c: half of the nodes are within so many deviations
LARGEST = 50.0  # s from which on a put is worth its strike
BELOW = 3.0  # how far below the smallest deviation today a table reaches, in ln s


@dataclass(frozen=True, eq=False)  # a table is itself
class PremiumTable:
    """The early exercise premium of puts on strike 1 with one rho = r tau and kappa = q tau.

    Parameters
    ----------
    rho, kappa : float
        rho > 0, or rho = 0 > kappa.
    first, step : float
        ln s of the first node, and between two nodes.
    boundary : ndarray [ACROSS + 2]
        B-spline coefficients of ln B.
    premium : ndarray [ACROSS + 2, ALONG + 2]
        B-spline coefficients of the premium.
    """

    rho: float
    kappa: float
    first: float
    step: float
    boundary: Floats
    premium: Floats

    @classmethod
    @lru_cache(maxsize=2048)
    def build(cls, rho: float, kappa: float, smallest: float, scheme: Scheme = ACCURATE) -> PremiumTable:
        """Solve for the boundaries and tabulate.

        Parameters
        ----------
        smallest : float
            Least deviation of today's options.
        """
        log_s = np.linspace(max(np.log(smallest) - BELOW, np.log(LEAST_DEVIATION)), np.log(LARGEST), ACROSS)
        s = np.exp(log_s)
        solved = Boundary.solve(s, np.full(ACROSS, rho), np.full(ACROSS, kappa), scheme)
        across, along = spline_matrix(ACROSS), spline_matrix(ALONG)
        u = np.linspace(0.0, 1.0, ALONG)[:-1]
        premium = np.zeros((ACROSS, ALONG))  # nothing at the far end
        z = solved.upper_end[:, None] + SCALE * s[:, None] * u / (1.0 - u)
        premium[:, :-1] = np.where(z < FARTHEST, solved.premium(np.minimum(z, FARTHEST)), 0.0)
        return cls(
            rho,
            kappa,
            float(log_s[0]),
            float(log_s[1] - log_s[0]),
            across @ solved.upper_end,
            across @ premium @ along.T,
        )

    def put(self, z: Floats, s: Floats) -> Floats:
        """Value in units of the strike; arguments broadcast, s >= 0.

        Examples
        --------
        >>> table = PremiumTable.build(0.05, 0.0, 0.1)
        >>> round(float(table.put(np.float64(0.0), np.float64(0.2))), 4)
        0.0609
        """
        place = (np.log(np.maximum(s, 1e-300)) - self.first) / self.step
        w = np.where(place > 0.0, np.minimum(place, ACROSS - 1.0), 0.0)  # 0 for NaN: an index must be one
        left = np.minimum(w.astype(np.int64), ACROSS - 2)
        across = weights(w - left)
        edge = sum(b * self.boundary[left + k] for k, b in enumerate(across))
        inside = np.exp(self.first + self.step * w)  # s, or the nearest that the table has
        gap = z - edge
        y = np.where(gap > 0.0, np.minimum(gap, END), 0.0)
        x = y / (y + SCALE * inside) * (ALONG - 1.0)
        below = np.minimum(x.astype(np.int64), ALONG - 2)
        along = weights(x - below)
        early = np.zeros(np.broadcast_shapes(np.shape(z), np.shape(s)))
        for k, a in enumerate(across):
            early = early + a * sum(b * self.premium[left + k, below + j] for j, b in enumerate(along))
        forward, one = np.exp(z + (self.rho - self.kappa)), np.ones_like(z)
        plain = np.exp(-self.rho) * black76(forward, one, s, -one)
        now = -np.expm1(z)
        held = np.maximum(plain + np.maximum(early, 0.0), now)
        return np.where(np.isnan(s), np.nan, np.where(gap <= 0.0, now, held))


def weights(t: Floats) -> tuple[Floats, Floats, Floats, Floats]:
    """Uniform cubic B-splines at t in [0, 1] between the second and the third of four coefficients."""
    one = 1.0 - t
    return one**3 / 6.0, (3.0 * t**3 - 6.0 * t**2 + 4.0) / 6.0, (3.0 * one**3 - 6.0 * one**2 + 4.0) / 6.0, t**3 / 6.0


@cache
def spline_matrix(nodes: int) -> Floats:
    """From values at uniform nodes to B-spline coefficients [nodes + 2, nodes], not-a-knot at both ends."""
    system = np.zeros((nodes + 2, nodes + 2))
    for i in range(nodes):
        system[i + 1, i : i + 3] = (1.0 / 6.0, 4.0 / 6.0, 1.0 / 6.0)
    system[0, :5] = system[-1, -5:] = (1.0, -4.0, 6.0, -4.0, 1.0)
    return np.ascontiguousarray(np.linalg.inv(system)[:, 1:-1])
