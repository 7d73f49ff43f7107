"""What all shock models share: the seam, the drift conventions, the scale of the horizon."""

from __future__ import annotations

from enum import Enum
from typing import Protocol

import numpy as np
from numpy.typing import NDArray

from mcvar.correlation import factor_of
from mcvar.market import FactorKind, Market, Shock

Floats = NDArray[np.float64]


class Drift(Enum):
    """What the price factors' moves average to over the horizon h.

    `zero`: E[shock] = 0. `martingale`: E[S_h] = S_0. `risk_neutral`: E[S_h] = S_0 exp(carry h).
    Volatility, rate and carry factors always have E[shock] = 0.
    """

    zero = "zero"
    martingale = "martingale"
    risk_neutral = "risk_neutral"


class Law(Protocol):
    """The joint law of the moves: a pure function of (seed, scenario)."""

    @property
    def notes(self) -> tuple[str, ...]:
        """What the reader of a result under this law must know."""
        ...

    def moves(self, seed: int, start: int, stop: int) -> Floats:
        """Moves x of scenarios [start, stop), [F, stop - start]."""
        ...


class ShockModel(Protocol):
    """A model's parameters; `law` binds them to a market and a horizon."""

    @property
    def drift(self) -> Drift:
        """What the moves of the prices average to."""
        ...

    def law(self, market: Market, years: float, carry: Floats) -> Law:
        """The law over a horizon.

        Parameters
        ----------
        market : Market
        years : float
            Variance horizon: variance = annual variance x years.
        carry : ndarray [F]
            Annual growth of each price factor, used by `Drift.risk_neutral`.

        Raises
        ------
        SettingError
            If the parameters do not go with the market.
        """
        ...


def factor_matrix(market: Market, years: float) -> Floats:
    """Lower triangular L with L L' = the covariance of the moves over the horizon, [F, F]."""
    deviation = market.volatility * np.sqrt(years)
    return np.asarray(deviation[:, None] * factor_of(market.correlation))


def mean_move(market: Market, years: float, carry: Floats, drift: Drift) -> Floats:
    """E[x] of each factor under a drift convention, for Gaussian log shocks, [F].

    A log shock's exponential has mean exp(mu + s^2 / 2), hence the -s^2 / 2. The floor of simple
    shocks at -1 is not corrected for.
    """
    mean = np.zeros(len(market.factors))
    if drift is Drift.zero:
        return mean
    growth = carry * years if drift is Drift.risk_neutral else np.zeros(len(mean))
    for f in market.factors.of_kind(FactorKind.price):
        shock = market.factors.shock[f]
        if shock is Shock.log:
            mean[f] = growth[f] - 0.5 * market.volatility[f] ** 2 * years
        else:
            mean[f] = np.expm1(growth[f]) * (1.0 if shock is Shock.simple else market.factors.level[f])
    return mean
