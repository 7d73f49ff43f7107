"""Multivariate Student t moves: normal moves times one common random scale."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray
from scipy.special import chdtri, gammaincinv, gammaln, ndtr

from mcvar.errors import SettingError
from mcvar.market import FactorKind, Market, Shock
from mcvar.models.common import Drift, factor_matrix, mean_move
from mcvar.philox import Stream, normals

Floats = NDArray[np.float64]
LARGEST_DOF = 1e5


@dataclass(frozen=True)
class StudentT:
    """Multivariate t with the market's covariance: x = mean + sqrt((dof - 2) / W) L z, W ~ chi2(dof).

    One W a scenario moves all factors together, so extremes coincide (McNeil, Frey and Embrechts,
    "Quantitative Risk Management", 2015, section 6.2). The scale (dof - 2) / W has mean 1, so the
    covariance equals that of `Gaussian`.

    Parameters
    ----------
    dof : float
        Degrees of freedom, > 2.
    drift : Drift
        `martingale` and `risk_neutral` need shocks `simple` or `absolute`: exp(t) has no mean.
    """

    dof: float = 5.0
    drift: Drift = Drift.zero

    def law(self, market: Market, years: float, carry: Floats) -> StudentTLaw:
        """See `ShockModel.law`."""
        if not 2.0 < self.dof <= LARGEST_DOF:
            raise SettingError(
                f"model.dof is {self.dof:g}: the covariance of a t law needs dof > 2; "
                f"beyond {LARGEST_DOF:g} it is the normal law, take model=gaussian"
            )
        prices = market.factors.of_kind(FactorKind.price)
        log = [market.factors.name[f] for f in prices if market.factors.shock[f] is Shock.log]
        if log and self.drift is not Drift.zero:
            raise SettingError(
                f"model.drift={self.drift.value} does not exist under student_t for log shocks ({', '.join(log)}): "
                "exp(t) has no mean. Give these factors shock=simple, or take model.drift=zero"
            )
        notes = []
        if log:
            notes.append(
                f"student_t with log shocks ({', '.join(log)}): exp(t) has no mean, so ES, mean and std of a book that "
                "loses without bound as prices rise are infinite, and their estimates and intervals mean nothing (VaR "
                "is sound); shock=simple avoids it, or model=gaussian where inverse contracts need log shocks"
            )
        if self.dof <= 4:
            notes.append(f"student_t with dof {self.dof:g} <= 4 has no fourth moment: the error of std is unreliable")
        return StudentTLaw(
            factor_matrix(market, years),
            mean_move(market, years, carry, self.drift),
            ScaleTable.of(self.dof),
            tuple(notes),
        )


@dataclass(frozen=True)
class StudentTLaw:
    """x = mean + scale(m) L z, with m a normal of the mixing stream."""

    factor: Floats
    mean: Floats
    scale: ScaleTable
    notes: tuple[str, ...] = ()

    def moves(self, seed: int, start: int, stop: int) -> Floats:
        """See `Law.moves`."""
        z = normals(seed, start, stop, len(self.mean))
        m = normals(seed, start, stop, 1, stream=Stream.mixing)[0]
        return np.asarray((self.factor @ z) * self.scale(m) + self.mean[:, None])


@dataclass(frozen=True)
class ScaleTable:
    """sqrt((dof - 2) / W) as a function of a normal m, where Phi(m) is the probability of W.

    The chi-square quantile has no cheap formula that engines could share to the bit, so all of
    them read this table: cubic Hermite interpolation of the logarithm of the scale on
    [-9, 9], which holds every normal the generator can draw. The largest relative error for dof in
    [2.01, 200] is below 2e-12 (held to it by a test), far under any sampling error.

    Parameters
    ----------
    log_scale, slope : ndarray [nodes]
        Values, and derivatives times the node distance.
    """

    log_scale: Floats
    slope: Floats

    LIMIT = 9.0
    NODES = 2049

    @classmethod
    def of(cls, dof: float) -> ScaleTable:
        """The table for one number of degrees of freedom."""
        node = np.linspace(-cls.LIMIT, cls.LIMIT, cls.NODES)
        step = node[1] - node[0]
        return cls(log_scale(node, dof), log_scale_slope(node, dof) * step)

    def __call__(self, m: Floats) -> Floats:
        """The scale at each m, [N]."""
        at = (m + self.LIMIT) * ((self.NODES - 1) / (2 * self.LIMIT))
        left = at.astype(np.int64)
        t = at - left
        y0, y1 = self.log_scale[left], self.log_scale[left + 1]
        d0, d1 = self.slope[left], self.slope[left + 1]
        rise = y1 - y0
        return np.asarray(np.exp(y0 + t * (d0 + t * ((3 * rise - 2 * d0 - d1) + t * (d0 + d1 - 2 * rise)))))


def log_scale(m: Floats, dof: float) -> Floats:
    """Ln sqrt((dof - 2) / W) with W the chi-square quantile at Phi(m), from both tails without cancellation."""
    low = 2.0 * gammaincinv(dof / 2, ndtr(np.minimum(m, 0.0)))
    high = chdtri(dof, ndtr(-np.maximum(m, 0.0)))
    return np.asarray(0.5 * np.log((dof - 2.0) / np.where(m < 0, low, high)))


def log_scale_slope(m: Floats, dof: float) -> Floats:
    """d/dm of `log_scale`: -phi(m) / (2 W f(W)), f the chi-square density."""
    w = (dof - 2.0) * np.exp(-2.0 * log_scale(m, dof))

    log_w_density = (dof / 2) * np.log(w / 2) - w / 2 - gammaln(dof / 2)
    return np.asarray(-0.5 * np.exp(-0.5 * m * m - 0.5 * np.log(2 * np.pi) - log_w_density))
