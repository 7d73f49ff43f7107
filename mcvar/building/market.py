"""Markets from configuration: the sample, files, or an exchange snapshot, with a correlation."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from mcvar import config as c
from mcvar.columns import Columns, parse_time
from mcvar.correlation import Estimate, constant, ewma, given, historical, positive, read_matrix
from mcvar.errors import InputError, SettingError
from mcvar.estimators import ledoit_wolf, random_matrix, shrink_to_constant, tau, volatilities
from mcvar.history import History, read_history
from mcvar.io import deribit, deribit_tables, sample
from mcvar.io.closes import read_closes
from mcvar.io.surfaces import read_surface
from mcvar.io.tables import digest, read_table
from mcvar.market import Factors, Market, build, read_factors

Floats = NDArray[np.float64]
# Estimators of moves; their settings are their keywords. The other options are matrices that somebody chose.
_ESTIMATORS: dict[type, Callable[..., Estimate]] = {
    c.HistoricalCorrelation: historical,
    c.EwmaCorrelation: ewma,
    c.LedoitWolfCorrelation: ledoit_wolf,
    c.ShrinkToConstantCorrelation: shrink_to_constant,
    c.RandomMatrixCorrelation: random_matrix,
    c.TauCorrelation: tau,
}
# Of n moves, independent factors show correlations up to 2 / sqrt(n), 0.26 of these (95 %).
_JOINT_MOVES = 60


@dataclass
class Files:
    """Reads tables and remembers what was read."""

    seen: dict[str, str] = field(default_factory=dict)

    def table(self, path: str, setting: str) -> Columns:
        """Read the table that a setting names."""
        return read_table(self.note(path, setting))

    def note(self, path: str, setting: str) -> str:
        """Remember a file; returns its path. A setting without a path is an error."""
        if not path:
            raise SettingError(f"{setting} is not set: give the file, {setting}=PATH")
        if Path(path).is_file():
            self.seen[path] = digest(path)
        return path


def any_market(config: c.Config, files: Files, *, expiring: bool) -> Market:
    """The market that a book from files stands on; `expiring`: some instrument needs a valuation time."""
    match config.market:
        case c.SampleMarket() as market_config:
            return sample_market(market_config, config)
        case c.DeribitMarket() as market_config:
            snapshot = deribit.read_snapshot(files.note(market_config.snapshot, "market.snapshot"))
            return deribit_market(market_config, config, snapshot, files)
        case c.FilesMarket() as market_config:
            return _files_market(market_config, config, files, expiring=expiring)
        case _:
            raise SettingError(f"market must be sample, files or deribit, not {type(config.market).__name__}")


def sample_market(market: c.SampleMarket, config: c.Config) -> Market:
    """The embedded real histories."""
    history = sample.sample_history()
    table = sample.sample_factors(history, rate=market.rate, dividend_yield=market.dividend_yield)
    factors, volatility = read_factors(table, history, market.currency)
    estimate = _estimate(config, factors, history, None)
    return build(
        factors=factors,
        volatility=volatility,
        estimate=estimate,
        valuation=history.dates[-1],
        currency=market.currency,
        steps_per_year=history.steps_per_year,
        history=history,
    )


def _files_market(market: c.FilesMarket, config: c.Config, files: Files, *, expiring: bool) -> Market:
    table = files.table(market.factors, "market.factors")
    history, notes = None, list[str]()
    valuation: np.datetime64 = np.datetime64("NaT", "us")
    if market.valuation:
        try:
            valuation = parse_time(market.valuation)
        except ValueError:
            raise SettingError(
                f"market.valuation is '{market.valuation}': give an ISO time such as 2026-01-02T00:00:00Z"
            ) from None
    if market.history:
        history = read_history(
            files.table(market.history, "market.history"), max_gap=market.max_gap, missing=market.missing
        )
        notes.extend(history.notes)
        if np.isnat(valuation):
            valuation = history.dates[-1]
        history = history.until(valuation)
        usual = np.median(np.diff(history.dates).astype(np.int64))
        if (late := valuation - history.dates[-1]).astype(np.int64) > market.max_gap * usual:
            notes.append(f"the history ends {late.astype('timedelta64[h]')} before the valuation: its levels are old")
    elif expiring and np.isnat(valuation):
        raise SettingError(
            "market.valuation is not set, and instruments expire: give the time that they are valued at, such as "
            "market.valuation=2026-01-02T00:00:00Z (a history would give its last time)"
        )
    factors, volatility = read_factors(table, history, market.currency)
    matrix = None
    if market.correlation:
        if not isinstance(config.correlation, c.MatrixCorrelation):
            raise SettingError(
                f"market.correlation={market.correlation} is read by correlation=matrix only, "
                f"not by correlation={c.option_name(config.correlation)}: drop one of the two"
            )
        matrix = read_matrix(files.table(market.correlation, "market.correlation"), factors.name)
    steps = market.steps_per_year
    if steps is not None and not 0 < steps < np.inf:
        raise SettingError(f"market.steps_per_year is {steps:g}: it must be positive, such as 252")
    return build(
        factors=factors,
        volatility=volatility,
        estimate=_estimate(config, factors, history, matrix, steps),
        valuation=valuation,
        currency=market.currency,
        steps_per_year=steps or (history.steps_per_year if history else float("nan")),
        notes=notes,
        history=history,
    )


def deribit_market(market: c.DeribitMarket, config: c.Config, snapshot: deribit.Snapshot, files: Files) -> Market:
    """Index prices with the moments of their closes, and volatilities related to them by a history or the settings."""
    closes = read_closes(files.note(market.history, "market.history"), snapshot.coins, max_gap=market.max_gap).until(
        snapshot.valuation
    )
    table = deribit_tables.factor_table(snapshot, vol_of_vol=float("nan") if market.surface else market.vol_of_vol)
    factors, volatility = read_factors(table, currency="USD")
    coins = [f for f, name in enumerate(factors.name) if name in snapshot.coins]
    prices, estimated = _subset(factors, coins), np.full(len(factors), np.nan)
    if market.surface:
        history = _surface(market, snapshot, files)
        estimate = _estimate(config, factors, history, None)
        estimated[:] = estimate.volatility
        # The closes span years, a surface months: of a price's volatility they know more.
        estimated[coins] = _price_volatility(config, prices, closes)
        notes = (*history.notes, _surface_note(config, history, closes))
    else:
        history, notes = closes, ()
        estimate = _estimate(config, prices, history, None)
        estimated[coins] = estimate.volatility
        correlation = deribit_tables.correlation(
            estimate.correlation,
            snapshot,
            spot_vol_correlation=market.spot_vol_correlation,
            vol_correlation=market.vol_correlation,
        )
        estimate = replace(estimate, correlation=correlation)
    return build(
        factors=factors,
        volatility=volatility,
        estimate=replace(estimate, volatility=estimated),
        valuation=snapshot.valuation,
        currency=market.currency,
        steps_per_year=history.steps_per_year,
        notes=notes,
        history=history,
    )


def _surface(market: c.DeribitMarket, snapshot: deribit.Snapshot, files: Files) -> History:
    """Prices and volatilities up to the valuation, with enough moves."""
    path = files.note(market.surface, "market.surface")
    history = read_surface(path, snapshot.coins, max_gap=market.max_gap)
    rows = int((history.dates <= snapshot.valuation).sum())
    if rows <= _JOINT_MOVES:
        raise InputError(
            history.source,
            [
                f"{max(rows - 1, 0)} moves up to the valuation {snapshot.valuation}Z, and {_JOINT_MOVES} are needed: "
                f"the history runs from {history.dates[0]}Z to {history.dates[-1]}Z. Give one that starts earlier, or "
                "drop market.surface to take market.vol_of_vol, vol_correlation and spot_vol_correlation"
            ],
        )
    return history.until(snapshot.valuation)


def _price_volatility(config: c.Config, prices: Factors, closes: History) -> Floats:
    """Annual, as the configured estimator weighs the closes; of a matrix that somebody chose, the sample's."""
    if type(config.correlation) in _ESTIMATORS:
        return _estimate(config, prices, closes, None).volatility
    return volatilities(closes.moves(prices.name, [s.value for s in prices.shock]), closes.steps_per_year)


def _surface_note(config: c.Config, history: History, closes: History) -> str:
    what = "correlations and " if type(config.correlation) in _ESTIMATORS else ""
    first, last = (history.dates[row].astype("datetime64[m]") for row in (0, -1))
    return (
        f"{what}volatilities of volatilities are those of {len(history.dates) - 1} moves of {history.source}, {first}Z "
        f"to {last}Z, and not market.vol_of_vol, vol_correlation and spot_vol_correlation; volatilities of prices are, "
        f"for a model that has the market's, those of {len(closes.dates) - 1} moves of {closes.source}"
    )


def _estimate(
    config: c.Config, factors: Factors, history: History | None, matrix: Floats | None, steps: float | None = None
) -> Estimate:
    """Correlation as configured, and volatilities from the history where there is one; `steps` of it a year."""
    spec = config.correlation
    assert spec is not None  # Config sees to it
    per_year = steps or (history.steps_per_year if history else np.nan)
    if estimator := _ESTIMATORS.get(type(spec)):
        if history is None:
            raise SettingError(
                f"correlation={c.option_name(spec)} needs a history: give market.history, or take correlation=matrix"
            )
        moves = history.moves(factors.name, [s.value for s in factors.shock])
        settings = {name: value for name, value in vars(spec).items() if name != "repair"}
        estimate = estimator(moves, per_year, names=factors.name, **settings)
        return positive(estimate, repair=spec.repair)
    estimate = positive(_without_history(spec, len(factors), matrix), repair=spec.repair)
    known = [f for f, name in enumerate(factors.name) if history is not None and name in history.names]
    if history is None or not known:
        return estimate
    moves = history.moves([factors.name[f] for f in known], [factors.shock[f].value for f in known])
    volatility = estimate.volatility.copy()
    volatility[known] = volatilities(moves, per_year)
    return replace(estimate, volatility=volatility)


def _without_history(spec: c.CorrelationConfig, size: int, matrix: Floats | None) -> Estimate:
    match spec:
        case c.ConstantCorrelation():
            return constant(size, spec.value)
        case c.IdentityCorrelation():
            return constant(size, 0.0)
        case c.MatrixCorrelation():
            if spec.values is None and matrix is None:
                raise SettingError(
                    "correlation=matrix needs a matrix: give market.correlation=PATH or correlation.values=[[...],...]"
                    ", or take correlation=historical or another estimator, constant or identity"
                )
            if spec.values is not None and matrix is not None:
                raise SettingError("both correlation.values and market.correlation give a matrix: drop one")
            estimate = given(_numbers(spec.values)) if matrix is None else given(matrix)
            if estimate.correlation.shape != (size, size):
                raise SettingError(
                    f"correlation.values has shape {estimate.correlation.shape}, but there are {size} factors: "
                    "give one row and one column a factor, in the order of the factors file"
                )
            return estimate
    raise SettingError(f"correlation must be one of {', '.join(c.OPTIONS['correlation'])}, not {type(spec).__name__}")


def _numbers(values: object) -> Floats:
    try:
        return np.array(values, dtype=np.float64)
    except (TypeError, ValueError):
        raise SettingError(
            f"correlation.values is {values!r}: give a list of rows of numbers, [[1,0.3],[0.3,1]]"
        ) from None


def _subset(factors: Factors, index: list[int]) -> Factors:
    columns: dict[str, Any] = {
        name: tuple(column[f] for f in index) if isinstance(column, tuple) else column[index]
        for name, column in vars(factors).items()
    }
    return Factors(**columns)
