"""Stochastic variance by Andersen's quadratic-exponential scheme, and what it makes of implied volatilities.

L. Andersen, "Simple and efficient simulation of the Heston stochastic volatility model", Journal of
Computational Finance 11 (2008): the variance from one uniform by inversion, switching at psi = 1.5; the log
price given both variances, with the martingale correction where the drift asks for it. gamma_1 = gamma_2 = 1/2.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray
from scipy.special import ndtr

from mcvar.correlation import factor_of
from mcvar.philox import Stream
from mcvar.sampling import Source

Floats = NDArray[np.float64]
Ints = NDArray[np.int64]
PSI = 1.5  # below, a squared normal has the two moments of the variance; above, a point mass and an exponential


@dataclass(frozen=True)
class Variance:
    """Variances of U underlyings over one step of `years`.

    dv = kappa (theta - v) dt + sigma sqrt(v) dW, and W has correlation rho with the price.

    Parameters
    ----------
    price : ndarray [U]
        The price factor of each.
    kappa, theta, sigma, rho, start : ndarray [U]
        Annual; `start` is the variance today.
    jump_variance : ndarray [U]
        Of the price's jumps a year: part of the implied variance, not of v.
    root : ndarray [U, U]
        Lower triangular: of the correlation of the variances' innovations given those of the prices.
    years : float
    martingale : bool
        Whether the log price is corrected so that E[exp(x)] is exact in the step.
    """

    price: Ints
    kappa: Floats
    theta: Floats
    sigma: Floats
    rho: Floats
    start: Floats
    jump_variance: Floats
    root: Floats
    years: float
    martingale: bool

    @classmethod
    def of(cls, *, correlation: Floats, **parameters: Floats | Ints | float | bool) -> Variance:
        """From the correlation [U, U] of the innovations instead of its root; the other parameters as they are."""
        return cls(root=factor_of(correlation), **parameters)  # type: ignore[arg-type]  # each name has its own type

    @property
    def constants(self) -> dict[str, Floats]:
        """What a step needs of the parameters, [U] each; names as in Andersen's paper, `decay` = exp(-kappa dt)."""
        kappa, theta, sigma, rho, dt = self.kappa, self.theta, self.sigma, self.rho, self.years
        decay, left = np.exp(-kappa * dt), -np.expm1(-kappa * dt)
        common, drift = 0.5 * dt * (kappa * rho / sigma - 0.5), rho / sigma
        k3 = 0.5 * dt * (1.0 - rho**2)
        return {
            "decay": decay,
            "mean": theta * left,
            "c1": sigma**2 * decay * left / kappa,
            "c2": theta * sigma**2 * left**2 / (2.0 * kappa),
            "k0": -rho * kappa * theta / sigma * dt,
            "k1": common - drift,
            "k2": common + drift,
            "k3": k3,
            "a": common + drift + 0.5 * k3,  # E[exp(a v')] is what the correction takes out
            "rho": rho,
            "rest": np.sqrt(1.0 - rho**2),
        }

    @property
    def exponent(self) -> Floats:
        """Largest a times the scale of v' in a step, [U]: below 1, E[exp(a v')] exists wherever v is.

        The scale s^2 / m is at most sigma^2 (1 - exp(-kappa dt)) / kappa. Both branches of the scheme have
        the moment if a times it is below 1 (Andersen 2008, propositions 5 and 6).
        """
        scale = self.sigma**2 * -np.expm1(-self.kappa * self.years) / self.kappa
        return np.asarray(self.constants["a"] * scale)

    def mean_log(self, steps: int) -> Floats:
        """E[x] of each step without correction and drift, [steps, U]; the scheme keeps the mean of v exactly."""
        k = self.constants
        left = np.exp(-self.kappa * self.years * np.arange(steps + 1)[:, None])
        v = self.theta + (self.start - self.theta) * left
        return np.asarray(k["k0"] + k["k1"] * v[:-1] + k["k2"] * v[1:])

    def innovations(self, source: Source, start: int, stop: int, step: int, price: Floats) -> tuple[Floats, Floats]:
        """Normals of the variances and what is left of the prices', [U, N] each, independent of each other.

        The innovation of a variance is rho y + sqrt(1 - rho^2) b, y that of its price and b its own; the
        pair is turned so that the scheme can draw the variance first.

        Parameters
        ----------
        price : ndarray [F, N]
            Innovations of all factors.
        """
        own = self.root @ source.normals(start, stop, len(self.price), stream=Stream.variance, step=step)
        y, rho = price[self.price], self.rho[:, None]
        rest = np.sqrt(1.0 - rho**2)
        return rho * y + rest * own, rest * y - rho * own

    def next(self, v: Floats, z: Floats, price: Floats) -> tuple[Floats, Floats]:
        """Variances after a step, and the moves of the log prices in it, [U, N] each.

        Parameters
        ----------
        v : ndarray [U, N]
        z, price : ndarray [U, N]
            Of `innovations`.
        """
        k = {name: value[:, None] for name, value in self.constants.items()}
        m = k["decay"] * v + k["mean"]
        psi = (k["c1"] * v + k["c2"]) / (m * m)
        inverse = 2.0 / np.minimum(psi, PSI)
        square = inverse - 1.0 + np.sqrt(inverse) * np.sqrt(inverse - 1.0)  # b^2
        a = m / (1.0 + square)
        p = (np.maximum(psi, PSI) - 1.0) / (np.maximum(psi, PSI) + 1.0)
        beta = (1.0 - p) / m
        above = ndtr(-z)  # 1 - U
        quadratic = psi <= PSI
        root = np.sqrt(square) + z
        after = np.where(quadratic, a * root * root, np.where(above < 1.0 - p, np.log((1.0 - p) / above) / beta, 0.0))
        k0: Floats = k["k0"]
        if self.martingale:
            e = k["a"]
            with np.errstate(invalid="ignore"):  # the branch that is not taken may not have the moment
                low = e * square * a / (1.0 - 2.0 * e * a) - 0.5 * np.log1p(-2.0 * e * a)
                high = np.log(p + beta * (1.0 - p) / (beta - e))
            k0 = -np.where(quadratic, low, high) - (k["k1"] + 0.5 * k["k3"]) * v
        return after, k0 + k["k1"] * v + k["k2"] * after + np.sqrt(k["k3"] * (v + after)) * price

    def implied(self, u: int, tau: float) -> tuple[float, float]:
        """The squared ratio of implied volatilities at v and at v_0 is first + second v, tau years before expiry.

        w(v) = theta tau + (v - theta) (1 - exp(-kappa tau)) / kappa + jump variance tau is the expected variance
        to expiry; IV = IV_0 sqrt(w(v) / w(v_0)).
        """
        slope = -np.expm1(-self.kappa[u] * tau) / self.kappa[u]
        rest = self.theta[u] * (tau - slope) + self.jump_variance[u] * tau
        today = rest + slope * self.start[u]
        return float(rest / today), float(slope / today)
