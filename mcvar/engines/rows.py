"""The rows of a block of moves: the factors, what is watched of their paths, and the variances.

To a pricer all of them are rows that it reads by index: an option that expires on the way has as its underlying
the row of its settlement, and one under a stochastic variance has the row of that.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from mcvar.families import FAMILIES, Clock
from mcvar.instruments import Instruments, Kind
from mcvar.market import Market
from mcvar.models.paths import Watcher
from mcvar.models.variance import Variance
from mcvar.philox import uniforms
from mcvar.scenarios import BLOCK, Scenarios
from mcvar.watched import Statistic, Watched

Floats = NDArray[np.float64]
Implied = tuple[int, float, float]  # row of a variance; first and second of `Variance.implied`


@dataclass(frozen=True)
class Rows:
    """F factors, then S watched statistics, then U variances.

    Parameters
    ----------
    market : Market
    watched : tuple of Watched [S]
    variance : Variance, optional
    step : float
        Years that pass in a step; 0 if time stands still.
    steps : int
        T.
    years : float
        That pass over the horizon.
    """

    market: Market
    watched: tuple[Watched, ...] = ()
    variance: Variance | None = None
    step: float = 0.0
    steps: int = 1
    years: float = 0.0

    @classmethod
    def of(
        cls, market: Market, scenarios: Scenarios, years: float, instruments: Instruments, also: Sequence[Watched] = ()
    ) -> Rows:
        """The rows that instruments read over a horizon in which `years` pass, and others that are asked for."""
        step = years / scenarios.steps
        wanted = dict.fromkeys(also)
        clock = Clock(years, step, scenarios.steps)
        for at in np.flatnonzero(np.isin(instruments.kind, list(FAMILIES))).tolist():
            if (read := read_of_path(instruments, at, clock)) is not None:
                wanted[read] = None
        if step > 0:
            kinds = (Kind.option, Kind.future, *FAMILIES)
            for at in np.flatnonzero(np.isin(instruments.kind, kinds) & (instruments.years < years)).tolist():
                settled = _settlement(int(instruments.underlying[at]), float(instruments.years[at]), step)
                if settled.step < scenarios.steps:
                    wanted[settled] = None
        return cls(market, tuple(wanted), scenarios.variance, step, scenarios.steps, years)

    def __len__(self) -> int:
        variances = 0 if self.variance is None else len(self.variance.price)
        return len(self.market.factors) + len(self.watched) + variances

    @property
    def factor(self) -> list[int]:
        """The factor whose level each row of the factors and of what is watched is, [F + S]."""
        return [*range(len(self.market.factors)), *(w.factor for w in self.watched)]

    def settlement(self, underlying: int, years: float) -> int:
        """The row of an underlying's price at which something with so many years to expiry is valued.

        That of the horizon, or of the first step at or after an expiry on the way.
        """
        if self.step > 0 and (settled := _settlement(underlying, years, self.step)) in self.watched:
            return len(self.market.factors) + self.watched.index(settled)
        return underlying

    @property
    def horizon(self) -> Clock:
        """Where the horizon stands."""
        return Clock(self.years, self.step, self.steps)

    def path(self, instruments: Instruments, at: int) -> int:
        """The row of the statistic that a contract reads at the horizon; -1: none."""
        read = read_of_path(instruments, at, self.horizon)
        return -1 if read is None else len(self.market.factors) + self.watched.index(read)

    def implied(self, underlying: int, left: float) -> Implied | None:
        """How a stochastic variance moves the implied volatility of an underlying's options; None without one."""
        if self.variance is None or underlying not in self.variance.price:
            return None
        u = int(np.flatnonzero(self.variance.price == underlying)[0])
        return (len(self.factor) + u, *self.variance.implied(u, left))

    def moves(self, scenarios: Scenarios, start: int, stop: int) -> Floats:
        """All rows of scenarios [start, stop), [F + S + U, stop - start]."""
        size = len(self.market.factors)
        watcher = Watcher(
            self.market, self.watched, stop - start,
            lambda stream, step: uniforms(scenarios.seed, start, stop, size, stream=stream, step=step),
        )  # fmt: skip
        end = (np.zeros((0, 0)),) * 3
        for step, end in enumerate(scenarios.path(start, stop), 1):
            watcher.see(step, end[0], end[2])
        return np.concatenate([end[0], watcher.moves, end[1]])

    def moves_at(self, scenarios: Scenarios, named: NDArray[np.int64]) -> Floats:
        """All rows of some scenarios, drawn in the blocks that a run draws them in, [F + S + U, n]."""
        x, block = np.empty((len(self), len(named))), named // BLOCK
        for first in np.unique(block).tolist():
            here = np.flatnonzero(block == first)
            x[:, here] = self.moves(scenarios, first * BLOCK, (first + 1) * BLOCK)[:, named[here] - first * BLOCK]
        return x

    def still(self) -> Floats:
        """The rows when nothing has moved, [F + S + U, 1]."""
        x = np.zeros((len(self), 1))
        if self.variance is not None:
            x[len(self.factor) :, 0] = self.variance.start
        return x


def read_of_path(instruments: Instruments, at: int, clock: Clock) -> Watched | None:
    """What a contract reads of its underlying's path over the horizon."""
    family = FAMILIES.get(Kind(int(instruments.kind[at])))
    if family is None:
        return None
    term = {name: float(values[at]) for name, values in instruments.term.items()}
    watch = family.watch({**term, "years": float(instruments.years[at])}, clock)
    if watch is None:
        return None
    return Watched(int(instruments.underlying[at]), watch.statistic, watch.step, watch.first, watch.every)


def _settlement(underlying: int, years: float, step: float) -> Watched:
    # The tolerance keeps an expiry that falls on a step, but for rounding, at that step.
    return Watched(underlying, Statistic.last, max(1, int(np.ceil(min(years / step, 2.0**31) * (1.0 - 1e-9)))))
