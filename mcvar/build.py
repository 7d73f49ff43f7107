"""From configuration to objects: the only place that knows both."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from mcvar import config as c
from mcvar.book import Book, resolve, underlying_carry
from mcvar.build_market import Files, any_market, deribit_market, sample_market
from mcvar.errors import SettingError
from mcvar.io import deribit, deribit_tables, sample
from mcvar.market import DAYS_PER_YEAR, Market
from mcvar.models import Drift, Gaussian, ShockModel, StudentT
from mcvar.scenarios import Simulated


@dataclass(frozen=True)
class Horizon:
    """`variance` and `decay` in years: how much the factors move, and how much time passes."""

    variance: float
    decay: float


@dataclass(frozen=True)
class Inputs:
    """What a job works on, and the files it came from (path to SHA-256)."""

    market: Market
    book: Book
    scenarios: Simulated
    horizon: Horizon
    files: dict[str, str]


def inputs(config: c.Config) -> Inputs:
    """Read, check and resolve everything that a run needs.

    Raises
    ------
    McvarError
        Whatever is wrong with files or settings, before any simulation.
    """
    files = Files()
    match config.market, config.book:
        case c.SampleMarket() as market_config, c.SampleBook() as book_config:
            market = sample_market(market_config, config)
            instruments = sample.sample_instruments(market)
            positions, accounts = sample.sample_positions(
                market, instruments, accounts=book_config.accounts, seed=book_config.seed
            )
            book = resolve(instruments, positions, market, accounts)
        case c.DeribitMarket() as market_config, c.DeribitBook() as book_config:
            snapshot = deribit.read_snapshot(files.note(market_config.snapshot, "market.snapshot"))
            market = deribit_market(market_config, config, snapshot, files)
            instruments = deribit_tables.instrument_table(snapshot)
            path = files.note(book_config.positions, "book.positions")
            book = resolve(instruments, deribit_tables.position_table(path, instruments), market)
        case _, c.FilesBook() as book_config:
            instruments = files.table(book_config.instruments, "book.instruments")
            positions = files.table(book_config.positions, "book.positions")
            listed = files.table(book_config.accounts, "book.accounts") if book_config.accounts else None
            market = any_market(config, files, expiring=any(instruments.texts("expiry")))
            book = resolve(instruments, positions, market, listed)
        case _:
            raise SettingError(
                f"book={c.option_name(config.book)} goes with market={c.option_name(config.book)} only, "
                f"not with market={c.option_name(config.market)}: take book=files to bring your own"
            )
    horizon = _horizon(config.horizon, market)
    model = _model(config.model)
    carry = underlying_carry(market, book.instruments) if model.drift is Drift.risk_neutral else None
    law = model.law(market, horizon.variance, np.zeros(len(market.factors)) if carry is None else carry)
    if not isinstance(config.scenarios, c.SimulatedScenarios):
        raise SettingError("scenarios must be `simulated`")
    return Inputs(market, book, Simulated(law, config.scenarios.count, config.scenarios.seed), horizon, files.seen)


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


def _model(spec: c.ModelConfig) -> ShockModel:
    match spec:
        case c.GaussianModel():
            return Gaussian(drift=spec.drift)
        case c.StudentTModel():
            return StudentT(dof=spec.dof, drift=spec.drift)
    raise SettingError(f"model must be gaussian or student_t, not {type(spec).__name__}")
