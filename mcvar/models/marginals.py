"""Marginal laws of a t copula, as tables that every engine reads.

A factor's innovation is q(T(t)): T the distribution function of the copula's t variate t, q the
quantile function of the marginal, scaled to mean 0 and variance 1. Neither has a cheap formula that
engines could share, so q(T(sinh(s))) is tabulated over s = asinh(t), in which both bulk and tails are smooth.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray
from scipy import stats
from scipy.interpolate import CubicSpline, PchipInterpolator

from mcvar.models.mixing import check_dof

Floats = NDArray[np.float64]
Marginal = float | Floats | None  # t with these degrees of freedom; a sample; normal
NODES = 8193
LEAST_SAMPLE = 20  # a sample with fewer values says nothing of a tail


@dataclass(frozen=True)
class Marginals:
    """Tables of q(T(sinh(s))) on [-reach, reach], cubic between the nodes, constant beyond.

    The reach holds every t variate that the generator can make of correlations of up to some hundred factors.

    Parameters
    ----------
    reach : float
    value, slope : ndarray [F, NODES]
        Values, and derivatives times the distance of the nodes.
    """

    reach: float
    value: Floats
    slope: Floats

    @classmethod
    def of(cls, marginals: Sequence[Marginal], dof: float | None) -> Marginals:
        """Tables for one marginal a factor.

        Parameters
        ----------
        marginals : sequence [F]
        dof : float or None
            Of the copula, whose variate is scaled to variance 1; None: the normal copula.
        """
        scale = 1.0 if dof is None else np.sqrt(dof / (dof - 2.0))  # of a t variate of variance 1
        smallest = 1.0 if dof is None else float(stats.chi2(dof).ppf(2.0**-54)) / dof
        reach = float(np.arcsinh(16.0 / np.sqrt(smallest) / scale))
        node = np.linspace(-reach, reach, NODES)
        copula = stats.norm if dof is None else stats.t(dof)
        upper = copula.sf(np.sinh(node[NODES // 2 :]) * scale)  # P(T > t) for t >= 0: exact in the tail
        weight = _weights(node, copula.pdf(np.sinh(node) * scale) * scale * np.cosh(node))
        value = np.empty((len(marginals), NODES))
        slope = np.empty_like(value)
        for f, marginal in enumerate(marginals):
            value[f] = _quantiles(marginal, upper)
            if isinstance(marginal, np.ndarray):
                value[f] -= weight @ value[f]
                value[f] /= np.sqrt(weight @ value[f] ** 2)
            kind = PchipInterpolator if isinstance(marginal, np.ndarray) else CubicSpline  # a sample has steps
            slope[f] = kind(node, value[f]).derivative()(node) * (node[1] - node[0])
        return cls(reach, value, slope)

    def __call__(self, t: Floats) -> Floats:
        """Innovations of variates of variance 1, [F, N]."""
        at = (np.arcsinh(t) + self.reach) * ((NODES - 1) / (2.0 * self.reach))
        at = np.clip(at, 0.0, NODES - 1.0)
        left = np.minimum(at.astype(np.int64), NODES - 2)
        u = at - left
        y0, y1 = np.take_along_axis(self.value, left, 1), np.take_along_axis(self.value, left + 1, 1)
        d0, d1 = np.take_along_axis(self.slope, left, 1), np.take_along_axis(self.slope, left + 1, 1)
        rise = y1 - y0
        return np.asarray(y0 + u * (d0 + u * ((3 * rise - 2 * d0 - d1) + u * (d0 + d1 - 2 * rise))))


def cumulant(marginal: Marginal, deviation: float) -> float:
    """Ln E[exp(deviation q)] of a marginal of mean 0 and variance 1; infinite for a t law.

    That of a sample is of its table for a normal copula; those for t copulas differ by the distance of their nodes.
    """
    if marginal is None:
        return 0.5 * deviation**2
    if not isinstance(marginal, np.ndarray):
        return np.inf
    tables = Marginals.of([marginal], None)
    node = np.linspace(-tables.reach, tables.reach, 16 * (NODES - 1) + 1)
    weight = _weights(node, stats.norm.pdf(np.sinh(node)) * np.cosh(node))
    return float(np.log(weight @ np.exp(deviation * tables(np.sinh(node)[None, :])[0])))


def _weights(node: Floats, density: Floats) -> Floats:
    weight = density * (node[1] - node[0])
    return np.asarray(weight / weight.sum())


def _quantiles(marginal: Marginal, upper: Floats) -> Floats:
    """Quantiles at the nodes, whose upper half has the survival probabilities `upper`."""
    if isinstance(marginal, np.ndarray):
        sample = np.sort(marginal)
        place = (np.arange(len(sample)) + 0.5) / len(sample)
        low = np.interp(upper, place, sample)  # at the mirrored nodes
        return np.concatenate([low[::-1][:-1], np.interp(1.0 - upper, place, sample)])
    if marginal is None:
        half = stats.norm.isf(upper)
    else:
        check_dof(marginal, "the dof of a marginal")
        half = stats.t(marginal).isf(upper) * np.sqrt((marginal - 2.0) / marginal)
    half[0] = 0.0
    return np.concatenate([-half[::-1][:-1], half])
