"""What is kept of a path: moves at some step, least, greatest and average levels; never the path itself."""

from __future__ import annotations

from dataclasses import dataclass
from enum import Enum

import numpy as np
from numpy.typing import NDArray

from mcvar.market import Market
from mcvar.shocks import move_to, moved

Floats = NDArray[np.float64]


class Statistic(Enum):
    """Of the levels of a factor after the steps up to one."""

    last = 0
    minimum = 1
    maximum = 2
    average = 3


@dataclass(frozen=True)
class Watched:
    """A statistic of a factor's path over steps 1 to `step`, carried as the move that leads to it.

    As a move, a statistic is one more factor: engines turn it into a level like any other.
    """

    factor: int
    statistic: Statistic
    step: int


class Watcher:
    """Takes in a path step by step and keeps the statistics.

    Parameters
    ----------
    market : Market
    watched : sequence of Watched [S]
    count : int
        Scenarios.
    """

    def __init__(self, market: Market, watched: tuple[Watched, ...], count: int) -> None:
        self._market, self._watched = market, watched
        self.moves = np.zeros((len(watched), count))

    def see(self, step: int, x: Floats) -> None:
        """Take in the moves [F, N] at the end of a step, the first being step 1."""
        level, shock = self._market.factors.level, self._market.factors.shock
        for kept, watched in zip(self.moves, self._watched, strict=True):
            f = watched.factor
            if step > watched.step:
                continue
            match watched.statistic:
                case Statistic.last:
                    kept[:] = x[f]
                case Statistic.minimum:
                    kept[:] = x[f] if step == 1 else np.minimum(kept, x[f])
                case Statistic.maximum:
                    kept[:] = x[f] if step == 1 else np.maximum(kept, x[f])
                case Statistic.average:
                    kept += moved(shock[f], level[f], x[f])
                    if step == watched.step:
                        kept[:] = move_to(shock[f], level[f], kept / step)
