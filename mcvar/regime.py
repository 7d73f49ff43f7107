"""Against procyclicality: no volatility below its long-run level, or below that of many years."""

from __future__ import annotations

from dataclasses import dataclass, replace

import numpy as np
from numpy.typing import NDArray

from mcvar.errors import SettingError
from mcvar.fit import ewma_variances
from mcvar.market import DAYS_PER_YEAR, Market
from mcvar.settings import model as m

Floats = NDArray[np.float64]
DECAY = 0.97  # of the short-term forecast, of a history of days


@dataclass(frozen=True)
class Floors:
    """What volatilities may not fall below, annual, [F]; zero where nothing is asked for.

    Parameters
    ----------
    larger : bool
        Whether the larger of short-term and long-run volatility is asked for.
    usual : ndarray [F]
        The larger of the exponentially weighted forecast and the sample volatility of the whole history.
    least : ndarray [F]
        Sample volatility (about zero) of the last `floor_years`.
    """

    larger: bool
    usual: Floats
    least: Floats
    notes: tuple[str, ...] = ()

    @classmethod
    def of(cls, spec: m.ModelConfig, market: Market) -> Floors:
        """What a configuration asks for.

        Raises
        ------
        SettingError
            No history, or one that is shorter than the floor.
        """
        size = len(market.factors)
        larger = spec.regime is m.Regime.larger
        if not spec.floor_years >= 0:
            raise SettingError(f"model.floor_years is {spec.floor_years:g}: it must not be negative")
        if not larger and spec.floor_years == 0:
            return cls(False, np.zeros(size), np.zeros(size))
        history = market.history
        if history is None:
            raise SettingError(
                "model.regime=larger and model.floor_years need a history: give market.history, or drop them"
            )
        known = [f for f, name in enumerate(market.factors.name) if name in history.names]
        moves = history.moves([market.factors.name[f] for f in known], [market.factors.shock[f].value for f in known])
        years = float((history.dates[-1] - history.dates[0]) / np.timedelta64(86400, "s")) / DAYS_PER_YEAR
        if years < spec.floor_years * (1.0 - 1e-3) - 7.0 / DAYS_PER_YEAR:  # up to a week of holidays
            raise SettingError(
                f"model.floor_years is {spec.floor_years:g}, but the history spans {years:.3g} years: give a longer one"
            )
        usual, least = np.zeros(size), np.zeros(size)
        per_year = market.steps_per_year
        first = int(np.searchsorted(history.dates[1:], history.dates[-1] - _span(spec.floor_years)))
        for f, x in zip(known, moves.T, strict=True):
            there = x[np.isfinite(x)][:, None]
            usual[f] = np.sqrt(max(float(ewma_variances(there, DECAY)[-1, 0]), float(there.var(ddof=1))) * per_year)
            if spec.floor_years:
                least[f] = np.sqrt(np.nanmean(x[first:] ** 2) * per_year)
        unknown = [market.factors.name[f] for f in range(size) if f not in known]
        notes = (f"no regime and no floor for {', '.join(unknown)}: the history does not have them",) if unknown else ()
        return cls(larger, usual, least, notes)

    def volatility(self, of: Floats) -> Floats:
        """Annual volatilities that regime and floor allow, [F]."""
        return np.maximum(np.maximum(of, self.least), self.usual if self.larger else 0.0)

    def raised(self, market: Market) -> Market:
        """The market with such volatilities."""
        return replace(market, volatility=self.volatility(market.volatility))


def _span(years: float) -> np.timedelta64:
    return np.timedelta64(round(years * DAYS_PER_YEAR * 86400e6), "us")
