"""Models of the past from configuration: filters and moves of the market's history."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import replace
from typing import Any

import numpy as np
from numpy.typing import NDArray

from mcvar.building.fit import past_moves
from mcvar.columns import parse_time
from mcvar.errors import SettingError
from mcvar.fit import conditional_variances, ewma_variances
from mcvar.market import Market
from mcvar.models import FilteredHistorical, GjrGarch, Historical
from mcvar.models.historical import rescaled
from mcvar.models.volatility import Garch
from mcvar.regime import Floors
from mcvar.settings import model as m
from mcvar.settings.model_checks import read_parameters

Floats = NDArray[np.float64]
_GARCH = ("omega", "alpha", "gamma", "beta")


def historical_moves(spec: m.HistoricalModel, market: Market, steps: int) -> tuple[Historical, tuple[str, ...]]:
    """Historical simulation, which has moves instead of a law."""
    moves = past_moves(market)
    floors = Floors.of(spec, market)
    if spec.steps is not None:
        raise SettingError(f"model.steps is {spec.steps}, but historical moves are those of the horizon: drop it")
    if spec.rescaled:
        variances = _ewma(moves, spec.decay)
        _refuse_still(variances, market.factors.name)
        moves = rescaled(moves, variances)
    if not (spec.window == 0 or 2 <= spec.window <= len(moves)):
        raise SettingError(
            f"model.window is {spec.window}, but the history has {len(moves)} moves: lower it, or 0 for all"
        )
    moves = moves[-spec.window :] if spec.window else moves
    own = moves.std(axis=0, ddof=1) * np.sqrt(market.steps_per_year)
    moves = moves * np.maximum(1.0, floors.volatility(own) / np.where(own > 0, own, 1.0))
    notes = floors.notes
    if spec.overlapping and steps > 1:
        notes += (
            f"historical: moves over {steps} steps overlap, so that of {len(moves) - steps + 1} scenarios about "
            f"{len(moves) // steps} are independent: intervals and standard errors are too small",
        )
    return Historical(moves, spec.overlapping, spec.drift), notes


def garch(spec: m.GarchModel, market: Market, floors: Floors) -> GjrGarch:
    """GJR-GARCH of given parameters; a forecast that is not given is filtered from the history."""
    names = market.factors.name
    heavy = spec.innovations is m.Innovations.t
    fields = (*_GARCH, "dof") if heavy else _GARCH
    table = read_parameters(spec.parameters, "model.parameters", fields, names, ("variance",), every=True)
    if missing := [name for name in names if "variance" not in table[name]]:
        if market.history is None:
            raise SettingError(
                f"model.parameters has no variance for {', '.join(missing)}, the forecast of the next step's, and "
                "there "
                "is no history to filter it from: give either"
            )
        forecast = conditional_variances(past_moves(market), {name: table[name] for name in names})[-1]
        table = {name: {"variance": h, **table[name]} for name, h in zip(names, forecast.tolist(), strict=True)}
    start = np.array([table[name]["variance"] for name in names])
    started = _started(_recursion(table, names, start), market, floors)
    dof = tuple(table[name]["dof"] for name in names) if heavy else ()
    return GjrGarch(started, dof, spec.dof, spec.drift)


def filtered(spec: m.FilteredHistoricalModel, market: Market, floors: Floors) -> FilteredHistorical:
    """The history, filtered by given parameters or exponentially weighted."""
    moves = past_moves(market)
    names = market.factors.name
    zero = np.zeros(len(names))
    if spec.filter is m.Filter.garch:
        table = read_parameters(spec.parameters, "model.parameters", _GARCH, names, every=True)
        variances = conditional_variances(moves, {name: table[name] for name in names})
        garch = _recursion(table, names, variances[-1])
    else:
        variances = _ewma(moves, spec.decay)
        garch = Garch(zero, zero + (1.0 - spec.decay), zero, zero + spec.decay, variances[-1])
    _refuse_still(variances, names)
    residuals = (moves - moves.mean(axis=0)) / np.sqrt(variances[:-1])
    assert market.history is not None  # past_moves has read it
    stressed = _stressed(spec.stressed, market.history.dates[1:])
    garch = _started(garch, market, floors, long_run=moves.var(axis=0))
    return FilteredHistorical(residuals, garch, spec.window, spec.block, stressed, spec.stressed_weight, spec.drift)


def _stressed(period: Any, dates: NDArray[np.datetime64]) -> NDArray[np.int64] | None:
    if period is None:
        return None
    if not isinstance(period, Sequence) or isinstance(period, str) or len(period) != 2:
        raise SettingError(f"model.stressed is {period!r}: give two dates, [from, to]")
    try:
        start, stop = (parse_time(str(day)) for day in period)
    except ValueError:
        raise SettingError(f"model.stressed is {period!r}: give ISO dates, such as [2008-09-01, 2009-06-30]") from None
    found = np.flatnonzero((dates >= start) & (dates <= stop))
    if not len(found):
        raise SettingError(
            f"no move of the history lies in model.stressed, {period[0]} to {period[1]}: it is {dates[0]} to "
            f"{dates[-1]}"
        )
    return found


def _recursion(table: Mapping[str, Mapping[str, float]], names: Sequence[str], start: Floats) -> Garch:
    columns = {field: np.array([table[name][field] for name in names]) for field in _GARCH}
    return Garch(**columns, start=start)


def _started(garch: Garch, market: Market, floors: Floors, long_run: Floats | None = None) -> Garch:
    """The variance of the first step, by regime and floor."""
    start = garch.start
    if floors.larger:
        level = np.where(np.isfinite(garch.long_run), garch.long_run, start if long_run is None else long_run)
        start = np.maximum(start, level)
    return replace(garch, start=np.maximum(start, floors.least**2 / market.steps_per_year))


def _refuse_still(variances: Floats, names: Sequence[str]) -> None:
    still = [name for f, name in enumerate(names) if not (variances[:, f] > 0).all()]
    if still:
        raise SettingError(
            f"{', '.join(still)}: the history does not move for so long at its start that its volatility is 0: begin "
            "the "
            "history later"
        )


def _ewma(moves: Floats, decay: float) -> Floats:
    if not 0 < decay < 1:
        raise SettingError(f"model.decay is {decay:g}: it must lie between 0 and 1, such as 0.97")
    return ewma_variances(moves, decay)
