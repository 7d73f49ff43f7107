"""What all shock models share: the seam, the drift conventions, the scale of a step."""

from __future__ import annotations

from enum import Enum
from typing import TYPE_CHECKING, Protocol

import numpy as np
from numpy.typing import NDArray

from mcvar.errors import SettingError
from mcvar.market import FactorKind, Market, Shock

if TYPE_CHECKING:
    from mcvar.models.law import Law

Floats = NDArray[np.float64]


class Drift(Enum):
    """What the price factors' moves average to over the horizon h.

    `zero`: E[shock] = 0. `martingale`: E[S_h] = S_0. `risk_neutral`: E[S_h] = S_0 exp(carry h).
    Volatility, rate and carry factors always have E[shock] = 0.
    """

    zero = "zero"
    martingale = "martingale"
    risk_neutral = "risk_neutral"


class ShockModel(Protocol):
    """A model's parameters; `law` binds them to a market and a horizon."""

    @property
    def drift(self) -> Drift:
        """What the moves of the prices average to."""
        ...

    def law(self, market: Market, years: float, carry: Floats, steps: int = 1) -> Law:
        """The law over a horizon.

        Parameters
        ----------
        market : Market
        years : float
            Variance horizon: variance = annual variance x years.
        carry : ndarray [F]
            Annual growth of each price factor, used by `Drift.risk_neutral`.
        steps : int
            Of equal length, into which the horizon is divided.

        Raises
        ------
        SettingError
            If the parameters do not go with the market.
        """
        ...


def log_prices(market: Market) -> list[int]:
    """The price factors with log shocks: those whose growth is the mean of an exponential."""
    return [f for f in market.factors.of_kind(FactorKind.price) if market.factors.shock[f] is Shock.log]


def mean_move(market: Market, years: float, carry: Floats, drift: Drift, cumulant: Floats) -> Floats:
    """E[x] of a step of each factor under a drift convention, [F].

    A log shock's exponential has mean exp(E[x] + c), c the cumulant ln E[exp(x - E[x])], hence the -c. The floor
    of simple shocks at -1 is not corrected for, and a simple or absolute growth is spread evenly over the steps.

    Parameters
    ----------
    years : float
        Of the step.
    cumulant : ndarray [F]
        ln E[exp(x - E[x])] of the step; read for log prices unless the drift is zero.
    """
    mean = np.zeros(len(market.factors))
    if drift is Drift.zero:
        return mean
    growth = carry * years if drift is Drift.risk_neutral else np.zeros(len(mean))
    for f in market.factors.of_kind(FactorKind.price):
        shock = market.factors.shock[f]
        if shock is Shock.log:
            mean[f] = growth[f] - cumulant[f]
        else:
            mean[f] = np.expm1(growth[f]) * (1.0 if shock is Shock.simple else market.factors.level[f])
    return mean


def refuse_drift(market: Market, drift: Drift, factors: list[int], model: str, why: str) -> None:
    """An error if the drift asks for a mean of exp(x) that the named log prices do not have."""
    if drift is Drift.zero or not factors:
        return
    names = ", ".join(market.factors.name[f] for f in factors)
    raise SettingError(
        f"model.drift={drift.value} does not exist under {model} for log shocks ({names}): {why}. "
        "Give these factors shock=simple, or take model.drift=zero"
    )
