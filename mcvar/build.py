"""From configuration to objects: the only place that knows both."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any

import numpy as np

from mcvar import config as c
from mcvar.book import Book, resolve, underlying_carry
from mcvar.building.market import Files, any_market, deribit_market, sample_market
from mcvar.building.model import prepare
from mcvar.building.past import historical_moves
from mcvar.columns import Columns
from mcvar.errors import SettingError
from mcvar.io import deribit, deribit_tables, sample
from mcvar.market import DAYS_PER_YEAR, Market
from mcvar.models import Drift
from mcvar.pricing.settings import Pricing
from mcvar.sampling import Plain, Quasi, Sampling, Strata
from mcvar.scenarios import Explicit, Simulated
from mcvar.settings import model as m

MOST_STEPS = 2**24  # what the generator's counter holds


@dataclass(frozen=True)
class Horizon:
    """`variance` and `decay` in years: how much the factors move, and how much time passes."""

    variance: float
    decay: float


@dataclass(frozen=True)
class Inputs:
    """What a job works on, and the files it came from (path to SHA-256).

    `tables`: `instruments`, `positions` and, where there are any, `accounts`, as they were brought.
    """

    market: Market
    book: Book
    scenarios: Simulated | Explicit
    horizon: Horizon
    files: dict[str, str]
    notes: tuple[str, ...] = ()
    fitted: Mapping[str, Any] | None = None  # parameters that the history gave
    tables: Mapping[str, Columns] = field(default_factory=dict)


def inputs(config: c.Config) -> Inputs:
    """Read, check and resolve everything that a run needs.

    Raises
    ------
    McvarError
        Whatever is wrong with files or settings, before any simulation.
    """
    files = Files()
    market, book, tables = _market_and_book(config, files)
    if not isinstance(config.scenarios, c.SimulatedScenarios):
        raise SettingError("scenarios must be `simulated`")
    horizon = _horizon(config.horizon, market)
    sampling = _sampling(config)
    carry = np.zeros(len(market.factors))
    if config.model.drift is Drift.risk_neutral:
        carry = underlying_carry(market, book.instruments)
    if isinstance(config.model, m.HistoricalModel):
        steps = _history_steps(config, market, horizon)
        past, notes = historical_moves(config.model, market, steps)
        scale = np.sqrt(horizon.variance * market.steps_per_year / steps)
        shocks = past.shocks(market, horizon.variance, carry, steps, float(scale))
        moves = Explicit(shocks, np.sqrt(np.mean(shocks**2, axis=1)))
        return Inputs(market, book, moves, horizon, files.seen, notes, tables=tables)
    prepared = prepare(config.model, market)
    law = prepared.model.law(prepared.market, horizon.variance, carry, _steps(config, market, horizon))
    scenarios = Simulated(law, config.scenarios.count, config.scenarios.seed, sampling)
    notes = (*prepared.notes, *law.notes)
    return Inputs(prepared.market, book, scenarios, horizon, files.seen, notes, prepared.settings, tables)


def market_alone(config: c.Config) -> tuple[Market, None, dict[str, str]]:
    """The market of a configuration, without a book, and the files that it came from."""
    files = Files()
    return any_market(config, files, expiring=False), None, files.seen


def market_and_chain(config: c.Config) -> tuple[Market, Book, dict[str, str]]:
    """The market and the book of a configuration, and the files that they came from."""
    files = Files()
    market, book, _ = _market_and_book(config, files)
    return market, book, files.seen


def _market_and_book(config: c.Config, files: Files) -> tuple[Market, Book, dict[str, Columns]]:
    pricing = _pricing(config.pricing)
    market, tables = _market_and_tables(config, files)
    book = resolve(tables["instruments"], tables["positions"], market, tables.get("accounts"), pricing=pricing)
    return market, book, tables


def _market_and_tables(config: c.Config, files: Files) -> tuple[Market, dict[str, Columns]]:
    match config.market, config.book:
        case c.SampleMarket() as market_config, c.SampleBook() as book_config:
            market = sample_market(market_config, config)
            instruments = sample.sample_instruments(market)
            positions, accounts = sample.sample_positions(
                market, instruments, accounts=book_config.accounts, seed=book_config.seed
            )
            return market, {"instruments": instruments, "positions": positions, "accounts": accounts}
        case c.DeribitMarket() as market_config, c.DeribitBook() as book_config:
            snapshot = deribit.read_snapshot(files.note(market_config.snapshot, "market.snapshot"))
            market = deribit_market(market_config, config, snapshot, files)
            instruments = deribit_tables.instrument_table(snapshot)
            path = files.note(book_config.positions, "book.positions")
            positions = deribit_tables.position_table(path, instruments)
            return market, {"instruments": instruments, "positions": positions}
        case _, c.FilesBook() as book_config:
            instruments = files.table(book_config.instruments, "book.instruments")
            positions = files.table(book_config.positions, "book.positions")
            tables = {"instruments": instruments, "positions": positions}
            if book_config.accounts:
                tables["accounts"] = files.table(book_config.accounts, "book.accounts")
            return any_market(config, files, expiring=any(instruments.texts("expiry"))), tables
        case _:
            raise SettingError(
                f"book={c.option_name(config.book)} goes with market={c.option_name(config.book)} only, "
                f"not with market={c.option_name(config.market)}: take book=files to bring your own"
            )


def sampling_of(settings: c.SamplingConfig) -> Sampling:
    """How the draws of a law are spread; scenarios that weigh are drawn plainly (`mcvar.schemes`)."""
    match settings:
        case c.SobolSampling():
            return Quasi(settings.scramblings)
        case c.StratifiedSampling():
            return Strata(settings.strata)
        case _:
            return Plain()


def _sampling(config: c.Config) -> Sampling:
    if isinstance(config.model, m.HistoricalModel) and not isinstance(config.sampling, c.PlainSampling):
        raise SettingError(
            f"model=historical takes the moves of the history, and draws nothing that sampling="
            f"{c.option_name(config.sampling)} could spread: take sampling=plain"
        )
    return sampling_of(config.sampling)


def _pricing(asked: c.PricingConfig) -> Pricing:
    if not 1e-12 < asked.tolerance < 1:
        raise SettingError(f"pricing.tolerance is {asked.tolerance:g}: a part of the strike such as 1e-6")
    if asked.audit < 1:
        raise SettingError(f"pricing.audit is {asked.audit}: the number of prices to check, at least 1")
    return Pricing(asked.american, asked.accuracy, asked.tolerance, asked.audit, asked.asian)


def _steps(config: c.Config, market: Market, horizon: Horizon) -> int:
    """Steps of the paths: those asked for, else the model's choice.

    Raises
    ------
    SettingError
        Steps that neither divide a horizon of whole days or steps nor are divided by it.
    """
    asked = config.model.steps
    if isinstance(config.model, m.GarchModel | m.FilteredHistoricalModel):
        steps = _history_steps(config, market, horizon)
        if asked not in (None, steps):
            raise SettingError(
                f"model.steps is {asked}, but {c.option_name(config.model)} moves in steps of the history, and the "
                f"horizon is {steps} of them: drop model.steps"
            )
        return steps
    whole: float = config.horizon.steps or config.horizon.days or 1.0
    if asked is None:
        return max(1, int(np.ceil(whole))) if isinstance(config.model, m.HestonModel) else 1
    if not 1 <= asked < MOST_STEPS:
        raise SettingError(f"model.steps is {asked}: it must be from 1 to {MOST_STEPS - 1}")
    if whole == int(whole) and int(whole) % asked and asked % int(whole):
        unit = "steps" if config.horizon.steps else "days"
        raise SettingError(
            f"model.steps={asked} does not divide the horizon of {int(whole)} {unit}: take a divisor or a multiple"
        )
    return asked


def _history_steps(config: c.Config, market: Market, horizon: Horizon) -> int:
    """The horizon in whole steps of the history; what is left over scales them."""
    if config.horizon.steps is not None:
        return config.horizon.steps
    if not np.isfinite(market.steps_per_year):
        raise SettingError(
            f"model={c.option_name(config.model)} moves in steps of a history: give market.history, or "
            "market.steps_per_year"
        )
    return max(1, round(horizon.variance * market.steps_per_year))


def _horizon(spec: c.HorizonConfig, market: Market) -> Horizon:
    if spec.days is not None and spec.steps is not None:
        raise SettingError(f"both horizon.days={spec.days:g} and horizon.steps={spec.steps} are given: drop one")
    if spec.steps is not None:
        if spec.steps < 1:
            raise SettingError(f"horizon.steps is {spec.steps}: it must be at least 1")
        if not np.isfinite(market.steps_per_year):
            raise SettingError("horizon.steps needs a history, or market.steps_per_year: or give horizon.days")
        years = spec.steps / market.steps_per_year
    else:
        days = 1.0 if spec.days is None else spec.days
        if not 0 < days < np.inf:
            raise SettingError(f"horizon.days is {days:g}: it must be positive and finite")
        years = days / DAYS_PER_YEAR
    return Horizon(variance=years, decay=years if spec.decay else 0.0)
