"""Historical simulation: moves that happened, as they were or at today's volatility."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from mcvar.errors import SettingError
from mcvar.market import FactorKind, Market, Shock
from mcvar.models.common import Drift

Floats = NDArray[np.float64]


@dataclass(frozen=True)
class Historical:
    """Moves of the history over the horizon, each once.

    Parameters
    ----------
    moves : ndarray [T, F]
        One step each, already scaled if they are to be.
    overlapping : bool
        Whether a move over several steps starts at every date, or where the last one ended.
    drift : Drift
        `zero` takes the mean of each price's moves off; the others set the mean of its growth.
    """

    moves: Floats
    overlapping: bool = True
    drift: Drift = Drift.zero

    def shocks(self, market: Market, years: float, carry: Floats, steps: int, scale: float = 1.0) -> Floats:
        """Moves of all factors over `steps` steps of the history, [F, N], in the order of their dates.

        Parameters
        ----------
        scale : float
            Of the moves: the root of the horizon over those steps, where it is no whole number of them.
        """
        size = len(self.moves)
        if steps > size // 2:
            raise SettingError(f"the horizon takes {steps} of the {size} moves of the history: it needs twice as many")
        total = np.concatenate([np.zeros((1, self.moves.shape[1])), np.cumsum(self.moves, axis=0)])
        last = np.arange(steps, size + 1, 1 if self.overlapping else steps)
        if not self.overlapping:
            last += (size - steps) % steps  # the latest move is used
        x = (total[last] - total[last - steps]).T
        x = scale * (x - x.mean(axis=1, keepdims=True))
        growth = carry * years if self.drift is Drift.risk_neutral else np.zeros(len(x))
        if self.drift is not Drift.zero:
            for f in market.factors.of_kind(FactorKind.price):
                shock = market.factors.shock[f]
                if shock is Shock.log:
                    x[f] += growth[f] - np.log(np.exp(x[f]).mean())
                else:
                    x[f] += np.expm1(growth[f]) * (1.0 if shock is Shock.simple else market.factors.level[f])
        return np.asarray(x)


def rescaled(moves: Floats, variances: Floats) -> Floats:
    """Each move times the ratio of today's deviation to that forecast for its date, [T, F] (Hull and White 1998).

    Parameters
    ----------
    variances : ndarray [T + 1, F]
        Forecasts for each move; the last is today's.
    """
    return np.asarray(moves * np.sqrt(variances[-1] / variances[:-1]))
