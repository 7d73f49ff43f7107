"""Innovations: what is new in a step, of mean 0 and variance 1 for every factor, independent from step to step."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from mcvar.correlation import factor_of
from mcvar.models.marginals import Marginals
from mcvar.models.mixing import Mixing
from mcvar.philox import Stream
from mcvar.sampling import Source

Floats = NDArray[np.float64]
Ints = NDArray[np.int64]


@dataclass(frozen=True)
class Correlated:
    """Correlated normals, t variates, or the variates of a t copula with marginals of their own.

    Parameters
    ----------
    root : ndarray [F, F]
        root root' = the correlation: lower triangular, or that of the principal components.
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

    def draw(self, source: Source, start: int, stop: int, step: int) -> Floats:
        """Innovations of scenarios [start, stop) in a step, [F, stop - start]."""
        z = self.root @ source.normals(start, stop, len(self.root), step=step)
        if self.mixing is not None:
            z *= self.mixing.scales(source, start, stop, step)
        return np.asarray(z) if self.marginals is None else self.marginals(z)


@dataclass(frozen=True)
class Residuals:
    """Vectors of historical residuals, drawn whole by date: a bootstrap of circular blocks.

    The dates that may be drawn are a recent set, and behind it a stressed one. A block (Politis and Romano, "A circular
    block-resampling procedure for stationary data", 1992) stays in its set: the first residual is drawn, the next are
    those of the set's following dates, and its last date is followed by its first. So every step of a block has the
    same probabilities.

    Parameters
    ----------
    values : ndarray [F, P]
        Of mean 0.
    pool : ndarray [P]
        The dates, as rows of the history.
    cumulative : ndarray [P]
        Their cumulative probabilities, equal within a set; the last is 1.
    recent : int
        Dates of the first set.
    block : int
        Steps of a block.
    """

    values: Floats
    pool: Ints
    cumulative: Floats
    recent: int
    block: int = 1

    def next(self, place: Ints, ahead: int) -> Ints:
        """Places in the pool that are `ahead` dates later in their sets."""
        stressed = max(len(self.pool) - self.recent, 1)
        behind = self.recent + (place - self.recent + ahead) % stressed
        return np.where(place < self.recent, (place + ahead) % self.recent, behind)

    def draw(self, source: Source, start: int, stop: int, step: int) -> Floats:
        """See `Correlated.draw`."""
        ahead = step % self.block
        u = source.uniforms(start, stop, 1, stream=Stream.bootstrap_index, step=step - ahead)[0]
        return np.asarray(self.values[:, self.next(np.searchsorted(self.cumulative, u), ahead)])


Innovations = Correlated | Residuals
