"""Markets from configuration: the sample, files, or an exchange snapshot, with a correlation."""

from __future__ import annotations

from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from mcvar import config as c
from mcvar.columns import Columns, parse_time
from mcvar.correlation import Estimate, constant, ewma, given, historical, positive, read_matrix
from mcvar.errors import SettingError
from mcvar.history import History, read_history
from mcvar.io import deribit, deribit_tables, sample
from mcvar.io.closes import read_closes
from mcvar.io.tables import digest, read_table
from mcvar.market import Factors, Market, build, read_factors

Floats = NDArray[np.float64]


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
        history = read_history(files.table(market.history, "market.history"), max_gap=market.max_gap)
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
        estimate=_estimate(config, factors, history, matrix),
        valuation=valuation,
        currency=market.currency,
        steps_per_year=steps or (history.steps_per_year if history else float("nan")),
        notes=notes,
    )


def deribit_market(market: c.DeribitMarket, config: c.Config, snapshot: deribit.Snapshot, files: Files) -> Market:
    """Index prices with the moments of their closes, and volatilities related to them by the settings."""
    history = read_closes(files.note(market.history, "market.history"), snapshot.coins, max_gap=market.max_gap).until(
        snapshot.valuation
    )
    table = deribit_tables.factor_table(snapshot, vol_of_vol=market.vol_of_vol)
    factors, volatility = read_factors(table, currency="USD")
    coins = [f for f, name in enumerate(factors.name) if name in snapshot.coins]
    prices = _estimate(config, _subset(factors, coins), history, None)
    correlation = deribit_tables.correlation(
        prices.correlation,
        snapshot,
        spot_vol_correlation=market.spot_vol_correlation,
        vol_correlation=market.vol_correlation,
    )
    estimated = np.full(len(factors), np.nan)
    estimated[coins] = prices.volatility
    return build(
        factors=factors,
        volatility=volatility,
        estimate=Estimate(correlation, estimated, prices.notes),
        valuation=snapshot.valuation,
        currency=market.currency,
        steps_per_year=history.steps_per_year,
    )


def _estimate(config: c.Config, factors: Factors, history: History | None, matrix: Floats | None) -> Estimate:
    """Correlation as configured, and volatilities from the history where there is one."""
    spec = config.correlation
    if isinstance(spec, c.HistoricalCorrelation | c.EwmaCorrelation):
        if history is None:
            raise SettingError(
                f"correlation={c.option_name(spec)} needs a history: give market.history, or take correlation=matrix"
            )
        moves = history.moves(factors.name, [s.value for s in factors.shock])
        per_year = history.steps_per_year
        if isinstance(spec, c.HistoricalCorrelation):
            return positive(historical(moves, per_year, window=spec.window), repair=spec.repair)
        return positive(ewma(moves, per_year, decay=spec.decay), repair=spec.repair)
    assert spec is not None  # Config sees to it
    estimate = positive(_without_history(spec, len(factors), matrix), repair=spec.repair)
    known = [f for f, name in enumerate(factors.name) if history is not None and name in history.names]
    if history is None or not known:
        return estimate
    moves = history.moves([factors.name[f] for f in known], [factors.shock[f].value for f in known])
    volatility = estimate.volatility.copy()
    volatility[known] = historical(moves, history.steps_per_year).volatility
    return Estimate(estimate.correlation, volatility, estimate.notes)


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
                    ", or take correlation=historical, ewma, constant or identity"
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
    raise SettingError(f"correlation must be matrix, historical, ewma, constant or identity, not {type(spec).__name__}")


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
