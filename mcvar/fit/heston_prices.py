"""European options under Heston's stochastic volatility, by Fourier inversion.

dF/F = sqrt(v) dW,  dv = kappa (theta - v) dt + sigma sqrt(v) dZ,  dW dZ = rho dt (S. L. Heston 1993).
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from numpy.typing import ArrayLike, NDArray

from mcvar.errors import SettingError
from mcvar.fit.fitted import Floats

Complexes = NDArray[np.complexfloating]
NODE, WEIGHT = np.polynomial.legendre.leggauss(32)
NEGLIGIBLE = 1e-17  # of sqrt(F K): where the integrand ends
PHASE = 24.0  # radians that 32 nodes integrate to rounding
CHUNK = 2**20  # complex numbers at a time


@dataclass(frozen=True)
class Heston:
    """Parameters: annual speed, long-run variance, volatility of variance, correlation, variance now.

    Raises
    ------
    SettingError
        All that are out of range.
    """

    kappa: float
    theta: float
    sigma: float
    rho: float
    v0: float

    def __post_init__(self) -> None:
        problems = [
            f"{name} is {getattr(self, name)}: it must be positive and finite"
            for name in ("kappa", "theta", "sigma", "v0")
            if not 0 < getattr(self, name) < np.inf
        ]
        if not -1 <= self.rho <= 1:
            problems.append(f"rho is {self.rho}: a correlation lies between -1 and 1")
        if problems:
            raise SettingError(f"Heston: {'; '.join(problems)}")


def characteristic(u: Complexes, years: float, p: Heston) -> Complexes:
    """E[exp(i u ln(F_T / F_0))] at complex u, in the form without branch cuts.

    The "little trap" of Albrecher, Mayer, Schoutens and Tistaert (2007): with b = kappa - i rho sigma u,
    d = sqrt(b^2 + sigma^2 (u^2 + i u)) and g = (b - d) / (b + d),

        ln = v0 m (1 - e) / (1 - g e) + kappa theta (m T - 2 ln((1 - g e) / (1 - g)) / sigma^2),

    e = exp(-d T), m = (b - d) / sigma^2, here as -(u^2 + i u) / (b + d), which does not cancel for small sigma.
    """
    w = u * u + 1j * u
    b = p.kappa - 1j * p.rho * p.sigma * u
    d = np.sqrt(b * b + p.sigma**2 * w)
    m = -w / (b + d)
    g = p.sigma**2 * m / (b + d)
    e = np.exp(-d * years)
    z = g * (1 - e) / (1 - g)
    # numpy's log1p of complex numbers rounds 1 + z, which division by a small sigma^2 would show.
    log = (0.5 * np.log1p(z.real * (2 + z.real) + z.imag**2) + 1j * np.arctan2(z.imag, 1 + z.real)) / p.sigma**2
    return np.asarray(np.exp(p.v0 * m * (1 - e) / (1 - g * e) + p.kappa * p.theta * (m * years - 2 * log)))


def heston_prices(forward: ArrayLike, strike: ArrayLike, years: ArrayLike, sign: ArrayLike, p: Heston) -> Floats:
    """Undiscounted prices of European options; all arguments broadcast.

    With k = ln(F / K) and phi the characteristic function (A. Lewis 2001, "A simple option formula for general
    jump-diffusion and other exponential Levy processes"),

        call = F - sqrt(F K) / pi  integral_0^inf  Re[exp(i u k) phi(u - i/2)] / (u^2 + 1/4) du,

    and K instead of F for the put. Gauss-Legendre on panels that double in width, cut where k oscillates, up to
    where phi is negligible: to 1e-12 of the forward.

    Parameters
    ----------
    forward, strike, years : array_like
        Positive.
    sign : array_like
        +1 call, -1 put.
    p : Heston

    Raises
    ------
    SettingError
        Forwards, strikes or years that are not positive.
    """
    f, k, t, s = np.broadcast_arrays(*(np.asarray(each, dtype=np.float64) for each in (forward, strike, years, sign)))
    for name, values in (("forward", f), ("strike", k), ("years", t)):
        bad = values[~((values > 0) & np.isfinite(values))]
        if bad.size:
            raise SettingError(
                f"{bad.size} values of {name} are not positive, such as {bad[0]}: leave these options out"
            )
    shape, f, k, t, s = f.shape, f.ravel(), k.ravel(), t.ravel(), s.ravel()
    integral = np.empty(f.shape)
    for each in np.unique(t):
        at = np.flatnonzero(t == each)
        integral[at] = _integral(np.log(f[at] / k[at]), float(each), p)
    return np.asarray(np.where(s > 0, f, k) - np.sqrt(f * k) / np.pi * integral).reshape(shape)


def _integral(k: Floats, years: float, p: Heston) -> Floats:
    """Lewis's integral at log moneynesses [N] of one expiry."""
    node, weight = _quadrature(float(np.abs(k).max()), years, p)
    phi = characteristic(node - 0.5j, years, p) * (weight / (node * node + 0.25))
    step = max(CHUNK // len(node), 1)
    parts = [(np.exp(1j * np.outer(k[i : i + step], node)) @ phi).real for i in range(0, len(k), step)]
    return np.concatenate(parts)


def _quadrature(largest: float, years: float, p: Heston) -> tuple[Floats, Floats]:
    """Nodes and weights on [0, U], U a power of two."""
    end = 2.0 ** np.arange(1, 31)
    size = np.abs(characteristic(end - 0.5j, years, p)) / end
    dead = np.flatnonzero(size < NEGLIGIBLE)
    upper = end[dead[0]] if len(dead) else end[-1]
    edges = [0.0]
    for right in 2.0 ** np.arange(-2, np.log2(upper) + 0.5):
        pieces = min(int(np.ceil((right - edges[-1]) * largest / PHASE)), 4096) or 1
        edges += list(np.linspace(edges[-1], right, pieces + 1)[1:])
    left, half = np.array(edges[:-1]), np.diff(edges) / 2
    return (left[:, None] + half[:, None] * (1 + NODE)).ravel(), (half[:, None] * WEIGHT).ravel()
