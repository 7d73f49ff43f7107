"""Random scales that turn normal moves into Student t moves: one for all factors, or one for each group of them."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray
from scipy.special import chdtri, gammaincinv, gammaln, ndtr

from mcvar.errors import SettingError
from mcvar.philox import Stream
from mcvar.sampling import Source

Floats = NDArray[np.float64]
Ints = NDArray[np.int64]
LARGEST_DOF = 1e5


@dataclass(frozen=True)
class Mixing:
    """Scales sqrt((dof - 2) / W), W ~ chi2(dof), of M groups of factors.

    Parameters
    ----------
    group : ndarray [F]
        The group of each factor.
    tables : tuple of ScaleTable [M]
    draw : ndarray [M]
        Draw of the mixing stream that each group reads. The same for all: extremes of the groups coincide
        (Daul, De Giorgi, Lindskog and McNeil, "The grouped t-copula with an application to credit risk", 2003).
    """

    group: Ints
    tables: tuple[ScaleTable, ...]
    draw: Ints

    @property
    def draws(self) -> int:
        """Draws of the mixing stream in a step."""
        return int(self.draw.max()) + 1

    def scales(self, source: Source, start: int, stop: int, step: int) -> Floats:
        """The scale of each factor, [F, stop - start]."""
        m = source.normals(start, stop, self.draws, stream=Stream.mixing, step=step)
        return np.stack([table(m[d]) for table, d in zip(self.tables, self.draw, strict=True)])[self.group]

    def shrinkage(self) -> Floats:
        """E[s_i s_j] of the scales of groups, [M, M]: below 1 between groups, and on the diagonal for a dof near 2."""
        m = np.linspace(-ScaleTable.LIMIT, ScaleTable.LIMIT, 4 * ScaleTable.NODES - 3)
        weight = np.exp(-0.5 * m * m)
        weight /= weight.sum()
        scales = np.stack([table(m[1:-1]) for table in self.tables])
        together, alone = (scales * weight[1:-1]) @ scales.T, scales @ weight[1:-1]
        same = self.draw[:, None] == self.draw[None, :]
        return np.where(same, together, np.outer(alone, alone))


def check_dof(dof: float, where: str) -> None:
    """Refuse degrees of freedom whose covariance does not exist, or that are those of the normal law."""
    if not 2.0 < dof <= LARGEST_DOF:
        raise SettingError(
            f"{where} is {dof:g}: the covariance of a t law needs dof > 2; "
            f"beyond {LARGEST_DOF:g} it is the normal law, take model=gaussian"
        )


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
