"""The seam between laws and generators: uniforms and normals as a pure function of scenario, stream, step and draw."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Protocol

import numpy as np
from numpy.typing import NDArray

from mcvar import philox
from mcvar.philox import Stream

Floats = NDArray[np.float64]


class Source(Protocol):
    """What a law draws from. Scenario n is the same whoever draws it, alone or with others, and in any order.

    A law reads normals of the stream `normals` (one a factor and step, those of the principal components first
    where a source says so), of `mixing` (one a mixing variable and step), and whatever else it needs.
    """

    def uniforms(self, start: int, stop: int, draws: int, *, stream: Stream = Stream.normals, step: int = 0) -> Floats:
        """Uniforms in (0, 1), odd multiples of 2^-53, [draws, stop - start]: see `mcvar.philox.uniforms`."""
        ...

    def normals(self, start: int, stop: int, draws: int, *, stream: Stream = Stream.normals, step: int = 0) -> Floats:
        """Standard normals, [draws, stop - start]: see `mcvar.philox.normals`."""
        ...


@dataclass(frozen=True)
class Philox:
    """Plain pseudo-random draws, independent from scenario to scenario.

    Parameters
    ----------
    seed : int
        0 <= seed < 2**64.

    Examples
    --------
    >>> Philox(1).normals(0, 1, 2)[:, 0].round(6).tolist()
    [1.227908, 0.216564]
    """

    seed: int

    def uniforms(self, start: int, stop: int, draws: int, *, stream: Stream = Stream.normals, step: int = 0) -> Floats:
        """See `Source.uniforms`."""
        return philox.uniforms(self.seed, start, stop, draws, stream=stream, step=step)

    def normals(self, start: int, stop: int, draws: int, *, stream: Stream = Stream.normals, step: int = 0) -> Floats:
        """See `Source.normals`."""
        return philox.normals(self.seed, start, stop, draws, stream=stream, step=step)


def as_source(source: Source | int) -> Source:
    """A source as it is; a number is the seed of plain draws.

    Examples
    --------
    >>> as_source(7)
    Philox(seed=7)
    """
    return Philox(int(source)) if isinstance(source, int | np.integer) else source
