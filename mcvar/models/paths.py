"""What is kept of a path: moves at some step, least, greatest and average levels; never the path itself."""

from __future__ import annotations

from collections.abc import Callable

import numpy as np
from numpy.typing import NDArray

from mcvar.market import Market
from mcvar.philox import Stream
from mcvar.shocks import Shock, move_to, moved
from mcvar.watched import Statistic, Watched

Floats = NDArray[np.float64]
Draw = Callable[[Stream, int], Floats]  # uniforms of a stream in a step, counted from 0, [F, N]


class Watcher:
    """Takes in a path step by step and keeps the statistics.

    Parameters
    ----------
    market : Market
    watched : sequence of Watched [S]
    count : int
        Scenarios.
    draw : callable
        Uniforms of a stream in a step.
    """

    def __init__(self, market: Market, watched: tuple[Watched, ...], count: int, draw: Draw) -> None:
        self._market, self._watched, self._draw = market, watched, draw
        self._before = np.zeros((len(market.factors), count))
        self.moves = np.zeros((len(watched), count))
        for kept, each in zip(self.moves, watched, strict=True):
            if each.statistic.averages and (weight := each.weight(0)):
                kept[:] = weight * self._averaged(each, self._before[each.factor])

    def see(self, step: int, x: Floats, spread: Floats) -> None:
        """Take in the moves [F, N] at the end of a step, the first being step 1.

        Parameters
        ----------
        step : int
        x : ndarray [F, N]
        spread : ndarray [F, N] or [F, 1]
            Standard deviation of the step's moves, seen from its start.
        """
        drawn: dict[Stream, Floats] = {}
        for kept, watched in zip(self.moves, self._watched, strict=True):
            f, kind = watched.factor, watched.statistic
            if step > watched.step:
                continue
            if kind.averages:
                if weight := watched.weight(step):
                    kept += weight * self._averaged(watched, x[f])
                if step == watched.step:
                    kept[:] = self._move(watched, kept)
            elif kind.bridges:
                low = kind is Statistic.bridge_minimum
                stream = Stream.bridge_minimum if low else Stream.bridge_maximum
                if stream not in drawn:
                    drawn[stream] = self._draw(stream, step - 1)
                extreme = bridge(self._before[f], x[f], spread[f], drawn[stream][f], -1.0 if low else 1.0)
                kept[:] = extreme if step == 1 else (np.minimum if low else np.maximum)(kept, extreme)
            elif kind is Statistic.last:
                kept[:] = x[f]
            elif watched.takes(step):
                least = np.minimum if kind is Statistic.minimum else np.maximum
                kept[:] = x[f] if step == watched.first else least(kept, x[f])
        self._before = x

    def _averaged(self, watched: Watched, x: Floats) -> Floats:
        """What of a move is averaged: the level, or its logarithm over today's."""
        shock, level = self._market.factors.shock[watched.factor], self._market.factors.level[watched.factor]
        if not watched.statistic.in_logarithms:
            return moved(shock, level, x)
        if shock is Shock.log:
            return x
        with np.errstate(divide="ignore"):  # a level that reaches 0 makes the average 0
            return np.asarray(np.log(np.maximum(moved(shock, level, x) / level, 0.0)))

    def _move(self, watched: Watched, average: Floats) -> Floats:
        shock, level = self._market.factors.shock[watched.factor], self._market.factors.level[watched.factor]
        if not watched.statistic.in_logarithms:
            return move_to(shock, level, average)
        return average if shock is Shock.log else move_to(shock, level, level * np.exp(average))


def bridge(before: Floats, after: Floats, deviation: Floats, u: Floats, side: float) -> Floats:
    """An extreme of a Brownian bridge, drawn by inversion of its distribution function.

    P(min <= m) = exp(-2 (before - m) (after - m) / deviation^2) for m below both ends (Glasserman, "Monte Carlo
    Methods in Financial Engineering", 2003, section 6.4), and the maximum is the minimum of the mirrored path.

    Parameters
    ----------
    before, after : ndarray
        Ends of the bridge, in moves.
    deviation : ndarray
        Of the free path from one end to the other.
    u : ndarray
        Uniform, 0 < u < 1.
    side : float
        -1 the minimum, +1 the maximum.

    Examples
    --------
    Half of the paths that return to where they started have gone below -0.589 deviations:

    >>> round(float(bridge(np.zeros(1), np.zeros(1), np.ones(1), np.array([0.5]), -1.0)[0]), 3)
    -0.589
    """
    reach = np.sqrt((after - before) ** 2 - 2.0 * deviation**2 * np.log(u))
    return np.asarray(0.5 * (before + after + side * reach))
