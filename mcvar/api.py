"""`mcvar.run`: a configuration in, a report out, without Hydra."""

from __future__ import annotations

import dataclasses
import logging
import math
import time
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from mcvar import build
from mcvar.config import Config, MeasureConfig, SimulatedScenarios, VarJob, option_name
from mcvar.engines import EngineChoice, choose
from mcvar.engines.audit import Audit, audit_american
from mcvar.engines.laws import law_memory
from mcvar.errors import CapacityError, SettingError
from mcvar.families import touched_today
from mcvar.jobs import precise, var
from mcvar.jobs.var import VarResult, highest
from mcvar.limits import check_limits, check_numbers
from mcvar.measures import Measures
from mcvar.memory import Plan, plan
from mcvar.precision import Precision
from mcvar.provenance import provenance
from mcvar.report import Report, digest_of, plain
from mcvar.scenarios import Explicit, Simulated
from mcvar.schemes import Scheme, scheme_of
from mcvar.shards import Progress
from mcvar.until import Until

Floats = NDArray[np.float64]
_log = logging.getLogger(__name__)
_PYTHON = {
    "fit": "fit_model",
    "moves": "simulate_moves",
    "greeks": "find_greeks",
    "explain": "find_explanation",
    "calibrate": "find_calibration",
    "scan": "find_margins",
    "compare": "find_comparison",
}
_FELT = 2e-5  # of VaR: a hundredth of its sampling error at a million scenarios


def run(config: Config | None = None, *, progress: Progress | None = None) -> Report:
    """Run a job and return its report; nothing is written.

    Parameters
    ----------
    config : Config, optional
        Default: the sample job.
    progress : callable, optional
        Called with the number of scenarios done since the last call.

    Raises
    ------
    McvarError
        Whatever is wrong with files or settings; the message says what to do.

    Examples
    --------
    >>> from mcvar.config import Config, SimulatedScenarios
    >>> report = run(Config(scenarios=SimulatedScenarios(count=2_000)))
    >>> report.book.row[-1], report.estimate("var", 0.99).confidence
    ('*', 0.95)
    """
    return prepare(config or Config()).run(progress)


@dataclass(frozen=True)
class Prepared:
    """A run, read, checked and planned: everything that can be wrong before the first scenario has been."""

    config: Config
    start: float
    given: build.Inputs
    engine: EngineChoice
    scheme: Scheme
    plan: Plan
    audit: Audit | None

    def run(self, progress: Progress | None = None) -> Report:
        """Simulate and report."""
        return _carried_out(self, progress)


def prepare(config: Config, *, tables: bool = False) -> Prepared:
    """Read, check and plan: see `run`. `tables`: keep positions as they were brought, some 200 B each."""
    start = time.perf_counter()
    check_numbers(config)
    if not isinstance(config.job, VarJob):
        name = option_name(config.job)
        call = f"from Python, call mcvar.{_PYTHON[name]}" if name in _PYTHON else "mcvar.run takes job=var"
        raise SettingError(f"job={name}: {call}")
    check_limits(config)
    engine = engine_of(config)
    given = build.inputs(config)
    given = given if tables else dataclasses.replace(given, tables={})
    market, book, count = given.market, given.book, given.scenarios.count
    asked = measures_of(config.measure, given.scenarios)
    if isinstance(given.scenarios, Explicit):
        _check_count(count, asked)
    scheme = scheme_of(
        config.sampling, market, book, given.scenarios, given.horizon.decay, asked, engine,
        memory_gb=config.executor.memory_gb,
    )  # fmt: skip
    scenarios, asked = scheme.scenarios, scheme.asked
    planned = plan(
        rows=len(scheme.rows),
        instruments=len(book.instruments),
        count=count,
        asked=asked,
        workers=config.executor.workers,
        memory_gb=config.executor.memory_gb,
        engine=engine,
        state=law_memory(market, scenarios, given.horizon.decay, book.instruments),
        positions=book.quantity.nnz,
        keep=config.output.tail_rows,
    )
    _log.info("%s %s: %s", engine.name, engine.precision.value, planned)
    until_of(config, asked)  # refuses
    audit = audit_american(market, book, scenarios, given.horizon.decay)
    if audit is not None and audit.exactly:
        _log.warning(
            "%s American options are solved exactly in every scenario: some 20 microseconds a price and core with "
            "engine=native, four times that with numpy", audit.exactly
        )  # fmt: skip
    return Prepared(config, start, given, engine, scheme, planned, audit)


def _carried_out(prepared: Prepared, progress: Progress | None) -> Report:
    config, given, engine, scheme = prepared.config, prepared.given, prepared.engine, prepared.scheme
    planned, audit, start = prepared.plan, prepared.audit, prepared.start
    market, book, scenarios, asked = given.market, given.book, scheme.scenarios, scheme.asked
    count = scenarios.count
    how: dict[str, Any] = {
        "decay": given.horizon.decay, "asked": asked, "plan": planned, "engine": engine, "rows": scheme.rows,
        "keep": config.output.tail_rows, "draw": config.output.plot_rows, "progress": progress,
    }  # fmt: skip
    notes = [*market.notes, *given.notes]
    until, reached = until_of(config, asked), None
    if until is None:
        result = var.run(market, book, scenarios, **how)
    else:
        result, reached = precise.run(market, book, scenarios, until=until, **how)
        count = result.tail.count
        notes += [] if reached.held else [until.not_reached(reached.looks[-1])]
    if result.settling:
        notes.append(f"{result.settling} held instruments expire inside the horizon and settle at its prices")
    touched = touched_today(book.instruments.term, book.instruments.volatility)
    knocked = [name for name, yes in zip(book.instruments.name, touched, strict=True) if yes]
    if knocked:
        names = ", ".join(knocked[:10]) + (", ..." if len(knocked) > 10 else "")
        notes.append(f"{len(knocked)} barriers are touched today: {names}: what knocks out is worth its rebate")
    if audit is not None and audit.exactly:
        notes.append(
            f"{audit.exactly} American options are solved exactly in every scenario, which is slow: "
            "rates move, they have two exercise boundaries or no volatility, or pricing.american=exact"
        )
    notes += asked.notes(count, result.estimates)
    notes += _precision_notes(engine, result, asked)
    settings = plain(config)
    record = {
        **provenance(),
        "job": "var",
        "configuration": settings,
        "configuration_sha256": digest_of(settings),
        "inputs": given.files,
        "engine": {
            "name": engine.name,
            "precision": engine.precision.value,
            "device": engine.device_name,
            "workers": planned.workers,
        },
        "sampling": dict(scheme.record),
        "seed": scenarios.seed if isinstance(scenarios, Simulated) else None,
        "scenarios": count,
        "until": None if until is None or reached is None else {**vars(until), **reached.record()},
        "factors": list(market.factors.name),
        "instruments": len(book.instruments),
        "positions": book.positions,
        "rows": len(book.row),
        "rows_run": len(scheme.rows),
        "currency": market.currency,
        "valuation": f"{market.valuation}Z",
        "horizon": {
            "variance_years": given.horizon.variance,
            "decay_years": given.horizon.decay,
            "steps_per_year": _number(market.steps_per_year),
            "steps": given.scenarios.steps,
        },
        "fitted": given.fitted,
        "effective_observations": _number(market.observations),
        "annual_volatility": dict(zip(market.factors.name, _volatility(given).tolist(), strict=True)),
        "ranks": {str(level): asked.recorded(count, level) for level in asked.levels},
        "tail_depth": max(asked.depth(count), min(config.output.tail_rows, count)),
        "rows_at_once": planned.rows,
        "tail_form": planned.form,
        "tile": planned.chunk,
        "planned_memory_gb": round(planned.memory / 1e9, 3),
        "settling_inside_horizon": result.settling,
        "knocked_today": knocked,
        "american": None if audit is None else dataclasses.asdict(audit),
        "notes": notes,
        "revaluations": result.revaluations,
        "timings": {
            "scheme_seconds": scheme.seconds,
            "preparation_seconds": result.preparation,
            "simulation_seconds": result.seconds,
            "total_seconds": time.perf_counter() - start,
        },
    }
    return Report(market, book, result, record)


def until_of(config: Config, asked: Measures) -> Until | None:
    """When the run stops; None: after scenarios.count.

    Raises
    ------
    SettingError
        See `mcvar.until.Until`.
    """
    given = config.scenarios
    if not isinstance(given, SimulatedScenarios) or given.until is None:
        return None
    return Until.of(
        given.until, levels=asked.levels, count=given.count, level=given.until_level, share=given.until_share,
        floor=given.until_floor, cap=given.cap,
    )  # fmt: skip


def measures_of(settings: MeasureConfig, scenarios: Simulated | Explicit) -> Measures:
    """What is measured; scenarios that are not independent bring the sections that they come in."""
    if not np.iterable(settings.levels):
        raise SettingError(f"measure.levels is {settings.levels}: give a list, such as [0.99]")
    asked = Measures(**{**vars(settings), "levels": tuple(settings.levels)})
    if isinstance(scenarios, Explicit) or scenarios.replicates is None:
        return asked
    return dataclasses.replace(asked, sections=scenarios.replicates, unit=scenarios.unit)


def _check_count(count: int, asked: Measures) -> None:
    """Refuse a history with too few moves in its own words: its number of scenarios is not a setting."""
    try:
        asked.depth(count)
    except CapacityError as error:
        raise CapacityError(
            f"the history has {count} moves over the horizon, too few for the interval at measure.levels="
            f"{list(asked.levels)}: give a longer history, model.overlapping=true, or levels nearer to 0.5"
        ) from error


def _volatility(given: build.Inputs) -> Floats:
    """Annual volatilities that the simulation starts from, [F]."""
    if isinstance(given.scenarios, Explicit):
        return np.asarray(given.scenarios.shocks.std(axis=1) / np.sqrt(given.horizon.variance))
    law = given.scenarios.law
    return np.asarray(law.first_deviation * np.sqrt(law.steps / given.horizon.variance))


def _number(value: float) -> float | None:
    """As JSON can hold it: None for what is not finite."""
    return value if math.isfinite(value) else None


def _precision_notes(engine: EngineChoice, result: VarResult, asked: Measures) -> list[str]:
    """Where single precision may be felt."""
    if engine.precision is Precision.fp64:
        return []
    bound = next(e for e in result.estimates if e.measure == "fp32_bound").value
    felt = int((bound > _FELT * np.abs(highest(result.estimates).value)).sum())
    if not felt:
        return []
    where = f"for {felt} rows the error of a loss may exceed {_FELT:g} of VaR (fp32_bound in measures.parquet)"
    if engine.precision is Precision.mixed:
        drawn = "" if not asked.whole else " (but it is in intervals from sections or resamples and in fitted tails)"
        return [f"mixed: {where}: it is in ES, mean, std and tail.parquet, not in VaR{drawn}"]
    return [f"fp32: {where}: engine.precision=mixed makes VaR exact"]


def engine_of(config: Config) -> EngineChoice:
    """The engine of a configuration, decided.

    Raises
    ------
    SettingError
        It does not work here.
    """
    precision = getattr(config.engine, "precision", Precision.fp64)
    device = getattr(config.engine, "device", 0)
    return choose(option_name(config.engine), precision, workers=config.executor.workers, device=device)
