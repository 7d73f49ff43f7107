"""Scenarios: a name for draws, or shocks that somebody gives. Neither stores what it can regenerate."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass, field
from functools import cached_property
from typing import Protocol

import numpy as np
from numpy.typing import ArrayLike, NDArray

from mcvar.errors import InputError, SettingError
from mcvar.models.law import Law
from mcvar.models.principal import refuse_sampling, sampled_law, shape_of
from mcvar.models.variance import Variance
from mcvar.sampling import Plain, Sampling, Source

Floats = NDArray[np.float64]
BLOCK = 1024  # scenarios drawn and valued together, at absolute multiples: the unit of bit-equality


class Scenarios(Protocol):
    """Where moves come from: `count` scenarios, any aligned block of which can be had alone."""

    @property
    def count(self) -> int:
        """N."""
        ...

    @property
    def steps(self) -> int:
        """T."""
        ...

    @property
    def variance(self) -> Variance | None:
        """The stochastic variances of the law, if it has them."""
        ...

    @property
    def seed(self) -> int:
        """Of the generator; 0 where nothing is drawn but what is watched of paths."""
        ...

    def path(self, start: int, stop: int) -> Iterator[tuple[Floats, Floats, Floats]]:
        """Moves from today to the end of each step, the variances there, and the spread: see `Law.path`."""
        ...


@dataclass(frozen=True)
class Simulated:
    """`count` draws of a law, named by a seed: scenario n is the same whoever draws it, and when.

    Parameters
    ----------
    law : Law
    count : int
    seed : int
        0 <= seed < 2**64.
    sampling : Sampling
        How the draws are spread: `Plain`, `Quasi` (scrambled Sobol points) or `Strata`.

    Raises
    ------
    SettingError
        A seed or a count out of range, a law or a count that the sampling does not go with.
    """

    law: Law
    count: int
    seed: int = 1
    sampling: Sampling = field(default_factory=Plain)

    def __post_init__(self) -> None:
        if not 0 <= self.seed < 2**64:
            raise SettingError(f"scenarios.seed is {self.seed}: it must be from 0 to 2**64 - 1")
        if not 1 <= self.count < 2**63:
            raise SettingError(f"scenarios.count is {self.count}: it must be from 1 to 2**63 - 1")
        refuse_sampling(self.law, self.sampling)
        self.sampling.check(self.count, shape_of(self.law))

    @cached_property
    def drawn(self) -> Law:
        """The law as it is drawn: the same, in principal components where the sampling spreads these."""
        return sampled_law(self.law, self.sampling)

    @cached_property
    def source(self) -> Source:
        """Where the draws come from."""
        return self.sampling.source(self.seed, self.count, shape_of(self.law))

    @property
    def replicates(self) -> int | None:
        """Groups of scenarios that are independent of each other and alike, for errors; None: all scenarios are."""
        return self.sampling.replicates

    @property
    def unit(self) -> int:
        """Neighbours in one group: scenario n is of replicate (n // unit) mod `replicates`."""
        return self.sampling.unit

    @property
    def steps(self) -> int:
        """T."""
        return self.law.steps

    @property
    def variance(self) -> Variance | None:
        """See `Scenarios.variance`."""
        return self.law.variance

    def path(self, start: int, stop: int) -> Iterator[tuple[Floats, Floats, Floats]]:
        """See `Scenarios.path`."""
        return self.drawn.path(self.source, start, stop)

    def moves(self, start: int, stop: int) -> Floats:
        """Moves over the horizon, [F, stop - start]."""
        return self.drawn.moves(self.source, start, stop)


@dataclass(frozen=True)
class Explicit:
    """Given moves: stress tests, history, scan grids.

    Parameters
    ----------
    shocks : ndarray [F, N]
        In the market's order of factors, in each factor's own shock convention.
    spread : ndarray [F], optional
        Standard deviations of the moves, for what may have happened on the way; without them a barrier is touched
        only where a move ends beyond it.

    Examples
    --------
    >>> Explicit.of([[-0.10, 0.30], [0.05, -0.10]]).count  # price -10 %, volatility +30 %; and the reverse
    2
    """

    shocks: Floats
    spread: Floats | None = None
    steps: int = 1
    variance: Variance | None = None
    seed: int = 0

    @classmethod
    def of(cls, rows: ArrayLike) -> Explicit:
        """From one row a scenario, [N, F]."""
        shocks = np.atleast_2d(np.asarray(rows, dtype=np.float64)).T.copy()
        if not np.isfinite(shocks).all():
            bad = sorted({int(n) for n in np.argwhere(~np.isfinite(shocks))[:, 1]})
            raise InputError("scenarios", [f"row {n + 1}: a shock is not finite" for n in bad])
        if not shocks.size:
            raise InputError("scenarios", ["there is no scenario: give at least one row of shocks"])
        return cls(shocks)

    @property
    def count(self) -> int:
        """N."""
        return int(self.shocks.shape[1])

    @property
    def deviation(self) -> Floats:
        """Of the way to each move, [F]; 0: nothing is known of it."""
        return np.zeros(len(self.shocks)) if self.spread is None else self.spread

    def path(self, start: int, stop: int) -> Iterator[tuple[Floats, Floats, Floats]]:
        """See `Scenarios.path`; beyond the last scenario the moves are 0, which fills whole blocks."""
        moves = np.zeros((len(self.shocks), stop - start))
        given = self.shocks[:, start:stop]
        moves[:, : given.shape[1]] = given
        yield moves, np.zeros((0, stop - start)), self.deviation[:, None]

    def moves(self, start: int, stop: int) -> Floats:
        """Moves over the horizon, [F, stop - start]."""
        return next(self.path(start, stop))[0]
