"""Scrambled Sobol points as a source: the normals of the factors and the mixing variables, most important first."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from mcvar import philox
from mcvar.philox import Stream, inverse_normal, unit
from mcvar.sampling.bridge import Bridge
from mcvar.sampling.directions import Net, scrambled

Floats = NDArray[np.float64]
Words = NDArray[np.uint64]


@dataclass(frozen=True)
class Sobol:
    """Scenario n is point n // R of scrambling n mod R: any multiple of R scenarios has as many of each.

    Dimensions, with M mixing variables and F components in a step: level l of the bridge over the steps (0 is the last
    step) has dimensions l (M + F) to (l + 1) (M + F), first those of the mixing variables of the step whose end it
    fixes, then those of the components by falling variance. For one step that is the mixing variables, then the
    components. All other streams (variances, jumps, bridges between steps) are plain: padding
    (J. Spanier, "Quasi-Monte Carlo methods for particle transport problems", 1995).

    Parameters
    ----------
    seed : int
        Of the scramblings and of the padding.
    net : Net
    bridge : Bridge
        Over the steps.
    mixings : int
        M, draws of the mixing stream in a step.
    components : int
        F, draws of the stream of normals in a step.

    Examples
    --------
    Points of two scramblings in one dimension hit each quarter once:

    >>> source = Sobol.of(1, 2, steps=1, mixings=0, components=1, bits=2)
    >>> u = source.points(0, 8, 0, 1)[0]
    >>> sorted((4 * u[0::2]).astype(int).tolist()), sorted((4 * u[1::2]).astype(int).tolist())
    ([0, 1, 2, 3], [0, 1, 2, 3])
    """

    seed: int
    net: Net
    bridge: Bridge
    mixings: int
    components: int

    @classmethod
    def of(cls, seed: int, scramblings: int, *, steps: int, mixings: int, components: int, bits: int) -> Sobol:
        """R scramblings of 2**bits points for paths of so many steps; points beyond are those from the first on."""
        net = scrambled(seed, scramblings, steps * (mixings + components), bits)
        return cls(seed, net, Bridge.of(steps), mixings, components)

    @property
    def scramblings(self) -> int:
        """R."""
        return int(self.net.shift.shape[1])

    def points(self, start: int, stop: int, first: int, end: int) -> Floats:
        """Dimensions [first, end) of scenarios [start, stop), in (0, 1), [end - first, stop - start]."""
        size, begin = self.scramblings, start // self.scramblings
        number = np.arange(begin, -(-stop // size), dtype=np.uint64)
        common = self.net.shift[first:end].copy()  # [D, R] what all of these points share
        own = []
        for bit in range(self.net.bits):
            on = (number >> np.uint64(bit)) & np.uint64(1)
            if on.all():
                common ^= self.net.direction[first:end, bit]
            elif on.any():
                own.append((bit, on[None, :, None]))
        k = np.repeat(common[:, None, :], len(number), axis=1)
        for bit, on in own:
            k ^= on * self.net.direction[first:end, bit, None, :]
        at = start - begin * size
        return unit(k.reshape(end - first, -1)[:, at : at + stop - start])

    def uniforms(self, start: int, stop: int, draws: int, *, stream: Stream = Stream.normals, step: int = 0) -> Floats:
        """See `Source.uniforms`: plain, as all that a law draws by uniforms is padding."""
        return philox.uniforms(self.seed, start, stop, draws, stream=stream, step=step)

    def normals(self, start: int, stop: int, draws: int, *, stream: Stream = Stream.normals, step: int = 0) -> Floats:
        """See `Source.normals`; of the streams `normals` and `mixing` at most `components` and `mixings` draws."""
        width = self.mixings + self.components
        if stream is Stream.mixing:
            first = int(self.bridge.place[step]) * width
            return inverse_normal(self.points(start, stop, first, first + draws))
        if stream is not Stream.normals:
            return philox.normals(self.seed, start, stop, draws, stream=stream, step=step)
        z = np.zeros((draws, stop - start))
        for level, weight in self.bridge.entries(step):
            first = level * width + self.mixings
            z += weight * inverse_normal(self.points(start, stop, first, first + draws))
        return z
