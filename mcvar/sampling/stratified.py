"""Stratified sampling of where the leading principal component ends; all else is plain."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from mcvar import philox
from mcvar.philox import Stream, bits_of, inverse_normal, unit
from mcvar.sampling.bridge import Bridge

Floats = NDArray[np.float64]


@dataclass(frozen=True)
class Stratified:
    """Scenario n draws the leading normal from stratum n mod `strata` of equal probabilities.

    u = (stratum + u') / strata with u' plain, and the normal at the end of the path is Phi^-1(u) (Glasserman,
    "Monte Carlo Methods in Financial Engineering", 2003, section 4.3). Over several steps the leading component's
    normals are those of a Brownian bridge, of which that is the first.

    Parameters
    ----------
    seed : int
    strata : int
        A power of two.
    bridge : Bridge
        Over the steps.

    Examples
    --------
    >>> z = Stratified(1, 4, Bridge.of(1)).normals(0, 4, 2)
    >>> np.searchsorted([-0.6745, 0.0, 0.6745], z[0]).tolist()  # one in each quarter
    [0, 1, 2, 3]
    """

    seed: int
    strata: int
    bridge: Bridge

    @property
    def bits(self) -> int:
        """Digits of u that the stratum fixes."""
        return self.strata.bit_length() - 1

    def uniforms(self, start: int, stop: int, draws: int, *, stream: Stream = Stream.normals, step: int = 0) -> Floats:
        """See `Source.uniforms`: plain, as a law draws the leading normal by `normals`."""
        return philox.uniforms(self.seed, start, stop, draws, stream=stream, step=step)

    def normals(self, start: int, stop: int, draws: int, *, stream: Stream = Stream.normals, step: int = 0) -> Floats:
        """See `Source.normals`; the first of the stream `normals` is that of the leading component."""
        z = philox.normals(self.seed, start, stop, draws, stream=stream, step=step)
        if stream is Stream.normals:
            z[0] = 0.0
            for level, weight in self.bridge.entries(step):
                z[0] += weight * self._leading(start, stop, level)
        return z

    def _leading(self, start: int, stop: int, level: int) -> Floats:
        """The leading component's normal of a level of the bridge, [stop - start]."""
        u = philox.uniforms(self.seed, start, stop, 1, step=level)[0]
        if level == 0:  # by its digits, so that it stays an odd multiple of 2^-53
            stratum = np.arange(start, stop, dtype=np.uint64) & np.uint64(self.strata - 1)
            u = unit(stratum << np.uint64(52 - self.bits) | bits_of(u) >> np.uint64(self.bits))
        return inverse_normal(u)
