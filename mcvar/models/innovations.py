"""Innovations: what is new in a step, of mean 0 and variance 1 for every factor, independent from step to step."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from mcvar.correlation import factor_of
from mcvar.models.marginals import Marginals
from mcvar.models.mixing import Mixing
from mcvar.philox import Stream, normals, uniforms

Floats = NDArray[np.float64]
Ints = NDArray[np.int64]


@dataclass(frozen=True)
class Correlated:
    """Correlated normals, t variates, or the variates of a t copula with marginals of their own.

    Parameters
    ----------
    root : ndarray [F, F]
        Lower triangular, root root' = the correlation.
    mixing : Mixing, optional
        None: normal.
    marginals : Marginals, optional
        None: those of the mixture.
    """

    root: Floats
    mixing: Mixing | None = None
    marginals: Marginals | None = None

    @classmethod
    def of(cls, correlation: Floats, mixing: Mixing | None = None, marginals: Marginals | None = None) -> Correlated:
        """From a correlation matrix [F, F]."""
        return cls(factor_of(correlation), mixing, marginals)

    def draw(self, seed: int, start: int, stop: int, step: int) -> Floats:
        """Innovations of scenarios [start, stop) in a step, [F, stop - start]."""
        z = self.root @ normals(seed, start, stop, len(self.root), step=step)
        if self.mixing is not None:
            z *= self.mixing.scales(seed, start, stop, step)
        return np.asarray(z) if self.marginals is None else self.marginals(z)


@dataclass(frozen=True)
class Residuals:
    """Vectors of historical residuals, drawn whole by date: a bootstrap of circular blocks.

    Blocks start at dates of a pool (Politis and Romano, "A circular block-resampling procedure for stationary
    data", 1992): the first residual of a block is the pool's, the next are those of the following dates, and
    the last date is followed by the first.

    Parameters
    ----------
    values : ndarray [F, T]
        Of mean 0 and variance 1 over the pool.
    pool : ndarray [P]
        Dates at which blocks may start.
    cumulative : ndarray [P]
        Their cumulative probabilities; the last is 1.
    block : int
        Steps of a block.
    """

    values: Floats
    pool: Ints
    cumulative: Floats
    block: int = 1

    def dates(self, seed: int, start: int, stop: int, step: int) -> Ints:
        """The date that each scenario takes, [stop - start]."""
        u = uniforms(seed, start, stop, 1, stream=Stream.bootstrap_index, step=step - step % self.block)[0]
        first = self.pool[np.searchsorted(self.cumulative, u)]
        return np.asarray((first + step % self.block) % self.values.shape[1])

    def draw(self, seed: int, start: int, stop: int, step: int) -> Floats:
        """See `Correlated.draw`."""
        return np.asarray(self.values[:, self.dates(seed, start, stop, step)])


Innovations = Correlated | Residuals
