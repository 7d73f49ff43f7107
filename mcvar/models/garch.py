"""GJR-GARCH(1,1) of each factor, with correlated innovations, step by step of the history."""

from __future__ import annotations

from dataclasses import dataclass, field

import numpy as np
from numpy.typing import NDArray

from mcvar.errors import SettingError
from mcvar.market import Market
from mcvar.models.common import Drift, log_prices, mean_move, refuse_drift
from mcvar.models.innovations import Correlated
from mcvar.models.law import Law
from mcvar.models.marginals import Marginal, Marginals
from mcvar.models.mixing import Mixing, ScaleTable, check_dof
from mcvar.models.volatility import Garch

Floats = NDArray[np.float64]


@dataclass(frozen=True)
class GjrGarch:
    """Each factor's variance follows its own GJR-GARCH; innovations have the market's correlation.

    Constant conditional correlation (Bollerslev, Review of Economics and Statistics 72, 1990), with a t copula
    where innovations are t.

    Parameters
    ----------
    garch : Garch
        Per step of the history, `start` being the forecast of the next step.
    dof : tuple of float or None, optional
        Degrees of freedom of each factor's innovations; None: normal. Default: all normal.
    copula_dof : float
        Of the t copula; read where some innovations are t.
    drift : Drift
    """

    garch: Garch
    dof: tuple[float | None, ...] = ()
    copula_dof: float = 5.0
    drift: Drift = Drift.zero
    notes: tuple[str, ...] = field(default=())

    def law(self, market: Market, years: float, carry: Floats, steps: int = 1) -> Law:
        """See `ShockModel.law`."""
        check_garch(self.garch, market.factors.name)
        deviation = step_deviation(market, years, steps)
        log = log_prices(market)
        marginals: list[Marginal] = list(self.dof) or [None] * len(deviation)
        if len(marginals) != len(deviation):
            raise SettingError(f"{len(marginals)} dof of innovations for {len(deviation)} factors: give one for each")
        heavy = [f for f in log if marginals[f] is not None]
        refuse_drift(market, self.drift, heavy, "garch with t innovations", "exp(t) has no mean")
        convexity = np.zeros(len(deviation))
        if self.drift is not Drift.zero:
            convexity[log] = 0.5  # of the conditional variance, as it is known at each step
        mean = mean_move(market, years / steps, carry, self.drift, np.zeros(len(deviation)))
        mixing, tables = None, None
        if any(m is not None for m in marginals):
            check_dof(self.copula_dof, "model.dof")
            zero = np.zeros(1, dtype=np.int64)
            mixing = Mixing(np.zeros(len(deviation), np.int64), (ScaleTable.of(self.copula_dof),), zero)
            tables = Marginals.of(marginals, self.copula_dof)
        return Law(
            Correlated.of(market.correlation, mixing, tables), np.tile(mean, (steps, 1)), deviation,
            garch=self.garch, convexity=convexity, notes=self.notes,
        )  # fmt: skip


def step_deviation(market: Market, years: float, steps: int) -> Floats:
    """Root of the part of a history's step that a step of the horizon is, the same for all factors, [F].

    One calendar day is 0.69 of a step of a history with 252 steps a year; ten steps of the history are ten.
    """
    if not np.isfinite(market.steps_per_year):
        raise SettingError("garch moves in steps of a history, and there is none: give it, or market.steps_per_year")
    return np.full(len(market.factors), np.sqrt(years * market.steps_per_year / steps))


def check_garch(garch: Garch, names: tuple[str, ...]) -> None:
    """Refuse parameters that are negative or not stationary, all at once.

    An exponentially weighted filter (omega = 0, persistence 1) is allowed: its forecast does not grow.
    """
    problems = []
    for f, name in enumerate(names):
        where = f"model.parameters.{name}"
        for label in ("omega", "alpha", "beta"):
            value = getattr(garch, label)[f]
            if not 0 <= value < np.inf:
                problems.append(f"{where}.{label} is {value:g}: it must be finite and not negative")
        if not garch.alpha[f] + garch.gamma[f] >= 0:
            problems.append(f"{where}: alpha + gamma is {garch.alpha[f] + garch.gamma[f]:g}: it must not be negative")
        if not 0 < garch.start[f] < np.inf:
            problems.append(f"{where}.variance is {garch.start[f]:g}: the next step's variance must be positive")
        persistence = garch.persistence[f]
        if persistence >= 1 and not (garch.omega[f] == 0 and persistence < 1 + 1e-12):
            problems.append(
                f"{where}: alpha + gamma / 2 + beta is {persistence:.6g}: the variance is not stationary; it must be "
                "below 1"
            )
    if problems:
        raise SettingError("\n".join(problems))
