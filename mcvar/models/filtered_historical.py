"""Filtered historical simulation: standardised residual vectors of whole dates, at today's volatility."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from mcvar.errors import SettingError
from mcvar.market import Market
from mcvar.models.common import Drift, log_prices, mean_move
from mcvar.models.garch import check_garch, step_deviation
from mcvar.models.innovations import Residuals
from mcvar.models.law import Law
from mcvar.models.volatility import Garch

Floats = NDArray[np.float64]
Ints = NDArray[np.int64]
LEAST = 50  # dates of the pool: fewer have no tail


@dataclass(frozen=True)
class FilteredHistorical:
    """Residuals of a filter, drawn jointly by date and scaled to the variance of each simulated step.

    G. Barone-Adesi, K. Giannopoulos and L. Vosper, "VaR without correlations for portfolios of derivative
    securities", Journal of Futures Markets 19 (1999); J. Hull and A. White, Journal of Risk 1 (1998) for the
    exponentially weighted filter.

    Parameters
    ----------
    residuals : ndarray [T, F]
        Moves over their conditional deviations, in the order of dates.
    garch : Garch
        The filter, which goes on in the simulation; per step of the history.
    window : int
        The last dates drawn from; 0: all.
    block : int
        Steps drawn together.
    stressed : ndarray of int
        Dates (rows) of the stressed period; empty: none.
    stressed_weight : float
        Probability of a stressed date.
    drift : Drift
        `martingale` and `risk_neutral`: log shocks for one step only.
    """

    residuals: Floats
    garch: Garch
    window: int = 0
    block: int = 1
    stressed: Ints | None = None
    stressed_weight: float = 0.25
    drift: Drift = Drift.zero

    def law(self, market: Market, years: float, carry: Floats, steps: int = 1) -> Law:
        """See `ShockModel.law`."""
        check_garch(self.garch, market.factors.name)
        deviation = step_deviation(market, years, steps)
        log = log_prices(market)
        if self.drift is not Drift.zero and log and steps > 1:
            raise SettingError(
                f"model.drift={self.drift.value} is not to be had under filtered_historical for log shocks over "
                f"{steps} steps: the mean of the exponential of bootstrapped moves depends on the path of the "
                "variance. Give the prices shock=simple, take model.drift=zero, or one step"
            )
        residuals, weight = self._pool()
        scaled = (deviation * np.sqrt(self.garch.start))[:, None] * residuals.values
        mean = mean_move(market, years / steps, carry, self.drift, np.log(np.exp(scaled) @ weight))
        means = mean - deviation * expected(residuals, weight, self.garch, steps)
        return Law(residuals, means, deviation, garch=self.garch, notes=self._notes(residuals, weight, market, steps))

    def _notes(self, residuals: Residuals, weight: Floats, market: Market, steps: int) -> tuple[str, ...]:
        square = residuals.values**2
        up, down = square @ weight, np.where(residuals.values < 0, square, 0.0) @ weight
        persistence = self.garch.alpha * up + self.garch.gamma * down + self.garch.beta
        grows = [name for name, p in zip(market.factors.name, persistence, strict=True) if p > 1 + 1e-9]
        if steps == 1 or not grows:
            return ()
        return (
            f"filtered_historical: under stressed dates the variance of {', '.join(grows)} grows from step to step "
            f"(persistence up to {persistence.max():.4f})",
        )

    def _pool(self) -> tuple[Residuals, Floats]:
        """Residuals of the dates that may be drawn, and their probabilities.

        Of mean 0 under the probabilities, so that E[x] = 0, and of variance 1 over the dates that are not stressed: a
        stressed period adds to the variance.
        """
        size = len(self.residuals)
        window = self.window or size
        if not 0 <= self.window <= size:
            raise SettingError(
                f"model.window is {self.window}, but the history has {size} moves: lower it, or 0 for all"
            )
        if not 1 <= self.block <= window:
            raise SettingError(f"model.block is {self.block}: it must be from 1 to the {window} moves of the window")
        if window < LEAST:
            raise SettingError(f"filtered_historical draws from {window} dates: at least {LEAST} are needed")
        stressed = np.zeros(0, dtype=np.int64) if self.stressed is None else self.stressed
        if len(stressed) and not 0 < self.stressed_weight < 1:
            raise SettingError(f"model.stressed_weight is {self.stressed_weight:g}: it must lie between 0 and 1")
        if len(stressed) and not (stressed.min() >= 0 and stressed.max() < size):
            raise SettingError(f"stressed dates are rows {stressed.min()} to {stressed.max()} of {size} residuals")
        recent = np.setdiff1d(np.arange(size - window, size), stressed)
        if not len(recent):
            raise SettingError("every date of model.window is stressed: widen the window or shorten model.stressed")
        share = self.stressed_weight if len(stressed) else 0.0
        pool = np.concatenate([recent, stressed])
        weight = np.repeat([(1.0 - share) / len(recent), share / max(len(stressed), 1)], [len(recent), len(stressed)])
        spread = self.residuals[recent].std(axis=0)
        if not (spread > 0).all():
            raise SettingError("a factor has the same residual on all dates that may be drawn: leave it out")
        values = ((self.residuals[pool] - weight @ self.residuals[pool]) / spread).T
        cumulative = np.cumsum(weight)
        cumulative[-1] = 1.0
        return Residuals(np.ascontiguousarray(values), pool, cumulative, len(recent), self.block), weight


def expected(residuals: Residuals, weight: Floats, garch: Garch, steps: int) -> Floats:
    """E[sqrt(h) residual] of each step, [steps, F]: zero for blocks of one step, but not beyond.

    In a block, residuals depend on those that made the variance. Exact for the first block; later ones start from
    their expected variance.
    """
    mean = np.zeros((steps, len(garch.start)))
    if residuals.block == 1:
        return mean
    h = garch.start[:, None]
    for step in range(steps):
        ahead = step % residuals.block
        if ahead == 0 and step > 0:
            h = (h @ weight)[:, None]
        eta = residuals.values[:, residuals.next(np.arange(len(weight)), ahead)]
        mean[step] = (np.sqrt(h) * eta) @ weight
        h = garch.next(h, eta)
    return mean
