"""The law of the moves: steps of equal length, each a pure function of (source, scenario, step).

    eta   = innovations                                   # [F, N] mean 0, variance 1
    move  = mean + deviation sqrt(h) eta + jumps          # h = 1, or the GARCH variance
    x    += move                                          # for every kind of shock: moves of steps add up

Under Heston and Bates the moves of some prices come from their variances instead. Each shock model is
a choice of these parts, and all engines know the parts.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass, field

import numpy as np
from numpy.typing import NDArray

from mcvar.models.innovations import Innovations
from mcvar.models.jumps import Jumps
from mcvar.models.variance import Variance
from mcvar.models.volatility import Garch
from mcvar.sampling import Source, as_source

Floats = NDArray[np.float64]


@dataclass(frozen=True)
class Law:
    """The joint law of the moves of F factors over `steps` steps.

    Parameters
    ----------
    innovations : Innovations
    mean : ndarray [steps, F]
        Expected moves of each step, before what jumps and `convexity` add.
    deviation : ndarray [F]
        Standard deviation of a step's move where h = 1.
    garch : Garch, optional
    convexity : ndarray [F], optional
        Half where the conditional variance of a log move is taken off, so that the price is a martingale; else 0.
    jumps : Jumps, optional
    variance : Variance, optional
    notes : tuple of str
        What the reader of a result under this law must know.
    """

    innovations: Innovations
    mean: Floats
    deviation: Floats
    garch: Garch | None = None
    convexity: Floats | None = None
    jumps: Jumps | None = None
    variance: Variance | None = None
    notes: tuple[str, ...] = field(default=())

    @property
    def steps(self) -> int:
        """T."""
        return len(self.mean)

    @property
    def first_deviation(self) -> Floats:
        """Standard deviation of the first step's moves, [F]; under groups or stress, of innovations of variance 1."""
        variance = self.deviation**2
        if self.garch is not None:
            variance = variance * self.garch.start
        if self.variance is not None:
            variance[self.variance.price] = self.variance.start * self.variance.years
        if self.jumps is not None:
            variance = variance + self.jumps.variance
        return np.sqrt(variance)

    def path(self, source: Source | int, start: int, stop: int) -> Iterator[tuple[Floats, Floats, Floats]]:
        """Moves from today to the end of each step [F, N], the variances there [U, N], and the spread of the step.

        The spread is the standard deviation of the step's moves without jumps, seen from its start, [F, N] or [F, 1].

        Parameters
        ----------
        source : Source or int
            Where the draws come from; a number is the seed of plain ones.
        start, stop : int
            Scenarios.
        """
        source = as_source(source)
        size, count = len(self.deviation), stop - start
        x = np.zeros((size, count))
        h = None if self.garch is None else np.broadcast_to(self.garch.start[:, None], x.shape)
        v = np.zeros((0, count))
        if self.variance is not None:
            v = np.broadcast_to(self.variance.start[:, None], (len(self.variance.price), count))
        for step in range(self.steps):
            eta = self.innovations.draw(source, start, stop, step)
            spread = self.deviation[:, None]
            if self.garch is not None and h is not None:
                spread = spread * np.sqrt(h)
            moved = spread * eta
            if self.garch is not None and h is not None:
                if self.convexity is not None:
                    moved -= (self.convexity * self.deviation**2)[:, None] * h
                h = self.garch.next(h, eta)
            if self.variance is not None:
                z, rest = self.variance.innovations(source, start, stop, step, eta)
                spread = np.broadcast_to(spread, x.shape).copy()
                spread[self.variance.price] = np.sqrt(v * self.variance.years)
                v, moved[self.variance.price] = self.variance.next(v, z, rest)
            moved += self.mean[step][:, None]
            if self.jumps is not None:
                moved += self.jumps.draw(source, start, stop, step)
            x = x + moved
            yield x, v, spread

    def moves(self, source: Source | int, start: int, stop: int) -> Floats:
        """Moves x over the horizon of scenarios [start, stop), [F, stop - start]."""
        *_, (x, *_) = self.path(source, start, stop)
        return x
