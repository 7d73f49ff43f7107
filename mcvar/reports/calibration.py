"""`mcvar.find_calibration`: how often intervals hold, how fast errors fall, how many scenarios a precision takes."""

from __future__ import annotations

import dataclasses
import logging
import time
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from functools import partial
from math import ceil
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa
import pyarrow.parquet

from mcvar import config as c
from mcvar.engines import Reference
from mcvar.errors import CapacityError, SettingError
from mcvar.jobs.calibrate import Calibration, Line, Truth
from mcvar.jobs.convergence import Factor, Recommendation, Slope, factors, recommendations, slopes
from mcvar.jobs.pieces import Pieces, repetitions
from mcvar.jobs.precise import gross_value
from mcvar.jobs.repeat import Case, Repeated, Repeater
from mcvar.limits import check_limits, check_numbers
from mcvar.provenance import provenance
from mcvar.report import digest_of, plain, write_run
from mcvar.reports.calibration_request import TRUTH, Request, seed_of
from mcvar.scenarios import Explicit
from mcvar.shards import Progress

Key = tuple[str, str, float, int]  # scheme, measure, level, scenarios
_log = logging.getLogger(__name__)
TRUTHS = ("control_variate", "plain")  # what true values are from: the first that goes
KEPT = "repetitions"  # folder of the run's folder
LIMIT = 3.5  # standard errors that coverage may be off
BLUR = 0.2  # of a scheme's error: what that of the true values may be
_ROUNDING = 1e-12  # of gross value
_MOST = 1e10  # scenarios of a truth that anybody would run
_SHOWN = 5  # lines that a note names
_DECIDING = ("market", "correlation", "model", "book", "horizon", "measure", "pricing")  # what is run, beside a scheme
_TYPES = {"str": pa.string(), "float": pa.float64(), "float | None": pa.float64(), "int": pa.int64()}


@dataclass(frozen=True)
class CalibrationReport:
    """What was found, and what it was; `record` is the content of run.json."""

    lines: Sequence[Line]
    slopes: Sequence[Slope]
    factors: Sequence[Factor]
    recommendations: Sequence[Recommendation]
    record: Mapping[str, Any]
    blurred: frozenset[Key] = frozenset()

    def off(self, line: Line) -> bool:
        """Whether coverage is off nominal, where the error of the true values does not blur it."""
        return abs(line.off) > LIMIT and _key(line) not in self.blurred

    @property
    def notes(self) -> tuple[str, ...]:
        """What the reader must know."""
        return tuple(self.record["notes"])

    @property
    def measures(self) -> list[tuple[str, float]]:
        """Measures with their levels, in the order of the table."""
        return list(dict.fromkeys((line.measure, line.level) for line in self.lines))

    def table(self) -> pa.Table:
        """The fields of `mcvar.jobs.calibrate.Line`: `scheme, interval, measure, level, scenarios, nominal, ...`."""
        fields = dataclasses.fields(Line)
        return pa.table(
            {f.name: pa.array([getattr(line, f.name) for line in self.lines], _TYPES[str(f.type)]) for f in fields}
        )

    def write(self, folder: Path, extra: Mapping[str, Callable[[Path], None]]) -> None:
        """Write coverage.parquet, further files and run.json; repetitions that are there stay."""
        write_run(
            folder, {"coverage.parquet": partial(pyarrow.parquet.write_table, self.table()), **extra}, self.record
        )


def find_calibration(
    config: c.Config, folder: Path | None = None, *, progress: Progress | None = None
) -> CalibrationReport:
    """Repeat runs of a book and sum up what they tell of its intervals and errors.

    Parameters
    ----------
    config : Config
        Its `job` is a `CalibrateJob`. Repetition k is the run of scenarios.seed + k, and true values that of
        scenarios.seed + 2**62 (mod 2**64).
    folder : Path, optional
        Of the run: repetitions are kept in it as they are done, and those that are there are not run again.
    progress : callable, optional
        Called with the number of scenarios done since the last call.

    Raises
    ------
    McvarError
        Whatever is wrong with files or settings, counts that a scheme does not take, repetitions in the folder that are
        of another calibration.

    Examples
    --------
    >>> job = c.CalibrateJob(schemes=["plain"], counts=[1024], repetitions=2, accounts=["member-8"], truth=4096)
    >>> [round(line.nominal, 4) for line in find_calibration(c.Config(job=job)).lines]
    [0.9558, 0.95, 0.9584, 0.95]
    """
    start = time.perf_counter()
    check_numbers(config)
    check_limits(config)
    request = Request.of(config)
    job, given, engine = request.job, request.given, request.engine
    found, notes = request.ways()
    own = {f"truth-{name}": plain(c.OPTIONS["sampling"][name]()) for name in TRUTHS}
    own |= {way.name: plain(way.settings) for way in found}
    kept = Pieces(None if folder is None else folder / KEPT, _described(request), own)
    there, seed = kept.check(), seed_of(config)
    repeater = Repeater(
        given.market, request.book, given.horizon.decay, engine,
        workers=config.executor.workers, memory_gb=config.executor.memory_gb,
    )  # fmt: skip
    cases = [way.at(count) for way in found for count in sorted(job.counts)]
    _log.info(
        "%s: %d repetitions each of %s with %s scenarios%s",
        engine.name, job.repetitions, ", ".join(way.name for way in found),
        ", ".join(f"{count:,}" for count in sorted(job.counts)), f"; {there} files of them are there" if there else "",
    )  # fmt: skip
    done: list[Repeated] = []
    try:
        true, truth, said = _true_values(request, repeater, kept, progress)
        for case in cases:
            began = time.perf_counter()
            done.append(repetitions(repeater, case, job.repetitions, seed, kept, progress))
            _log.info("%s, %s scenarios: %.1f s", case.scheme, f"{case.count:,}", time.perf_counter() - began)
    except KeyboardInterrupt as stopped:
        if folder is None:
            raise
        raise KeyboardInterrupt(
            f"{len(done)} of {len(cases)} schemes and counts are done, and repetitions of the next are kept in "
            f"{folder / KEPT}: the same command with hydra.run.dir={folder} goes on from there"
        ) from stopped
    still = Reference(given.market, request.book, Explicit.of(np.zeros((1, len(given.market.factors)))), 0.0)
    least = _ROUNDING * gross_value(still)
    runs = Calibration(cases, done, Truth(truth.value[0, 0], truth.stderr[0, 0]), least)
    preparation = {way.name: way.seconds for way in found}
    rates, saved, advice = slopes(runs), factors(runs), recommendations(runs, job.target, preparation)
    settings = plain(config)
    record = {
        **provenance(),
        "job": "calibrate",
        "configuration": settings,
        "configuration_sha256": digest_of(settings),
        "inputs": given.files,
        "engine": {"name": engine.name, "precision": engine.precision.value, "device": engine.device_name},
        "accounts": list(request.book.row),
        "instruments": len(request.book.instruments),
        "horizon": {"variance_years": given.horizon.variance, "decay_years": given.horizon.decay},
        "valuation": f"{given.market.valuation}Z",
        "seed": seed,
        "repetitions": job.repetitions,
        "schemes": [
            {"scheme": way.name, "settings": plain(way.settings), "intervals": list(way.readings),
             "scheme_seconds": way.seconds}
            for way in found
        ],
        "truth": {
            "scheme": true.scheme.removeprefix("truth-"),
            "scenarios": true.count,
            "seed": (seed + TRUTH) % 2**64,
            "relative_stderr": [
                {"measure": measure, "level": level, "value": _number(error)}
                for (measure, level), error in runs.truth_error.items()
            ],
            "seconds": float(truth.seconds[0, 0]),
        },
        "slopes": [_listed(slope) for slope in rates],
        "factors": [_listed(factor) for factor in saved],
        "target": job.target,
        "recommendations": [_listed(each) for each in advice],
        "notes": [*given.market.notes, *given.notes, *notes, *said, *_notes(runs, true.count)],
        "timings": {"total_seconds": time.perf_counter() - start},
    }  # fmt: skip
    return CalibrationReport(runs.lines, rates, saved, advice, record, frozenset(_blurred(runs)))


def _true_values(
    request: Request, repeater: Repeater, kept: Pieces, progress: Progress | None
) -> tuple[Case, Repeated, list[str]]:
    """The run that true values are from, and notes: by the control variate, or plain where that does not go."""
    seed, said = (seed_of(request.config) + TRUTH) % 2**64, []
    for name in TRUTHS:
        try:
            case = request.truth(name)
        except (SettingError, CapacityError) as error:
            if name == TRUTHS[-1]:
                raise
            said.append(f"true values are from {TRUTHS[-1]} scenarios: {error}")
        else:
            break
    found = repetitions(repeater, case, 1, seed, kept, progress)
    _log.info("true values: %s %s scenarios: %.1f s", f"{case.count:,}", name, found.seconds[0, 0])
    return case, found, said


def _described(request: Request) -> dict[str, Any]:
    """What decides the numbers of all repetitions."""
    made, engine = provenance(), request.engine
    return {
        **{name: plain(getattr(request.config, name)) for name in _DECIDING},
        "seed": seed_of(request.config),
        "intervals": list(request.job.intervals),
        "accounts": list(request.book.row),
        "inputs": request.given.files,
        "engine": {"name": engine.name, "precision": engine.precision.value, "device": engine.device_name},
        **{name: made[name] for name in ("mcvar", "versions", "kernels_sha256")},
    }


def _notes(runs: Calibration, truth: int) -> list[str]:
    """What the reader of the table must know."""
    said = []
    for q, (measure, level) in enumerate(runs.measures):
        still = int((~runs.moving[q]).sum())
        if still:
            said.append(
                f"{_named(measure, level)}: {still} of {runs.moving.shape[1]} accounts have the same value in every "
                "run, and are left out"
            )
    blurred = _blurred(runs)
    far = [line for line in runs.lines if abs(line.off) > LIMIT and _key(line) not in blurred]
    if far:
        said.append(
            f"{len(far)} of {len(runs.lines)} coverages are off nominal by more than {LIMIT:g} standard errors: "
            + _some([f"{_place(x)} {100 * (x.coverage or 0):.1f} % for {100 * x.nominal:.1f} %" for x in far])
        )
    if blurred:
        needed = truth * (max(blurred.values()) / BLUR) ** 2
        enough = f"job.truth={ceil(needed)} would be enough" if needed < _MOST else "no practical job.truth would do"
        parts = [f"{s} {_named(m, a)} at {n:,} ({100 * part:.0f} %)" for (s, m, a, n), part in blurred.items()]
        said.append(
            f"the error of the true values is more than a fifth of the scheme's, and blurs coverage there: "
            f"{_some(parts)}; {enough}"
        )
    return said


def _key(line: Line) -> Key:
    return line.scheme, line.measure, line.level, line.scenarios


def _blurred(runs: Calibration) -> dict[Key, float]:
    """Where the error of the true values is more than a fifth of the scheme's, and by what part of it."""
    own = {_key(x): runs.truth_error[x.measure, x.level] / x.relative_error for x in runs.lines if x.relative_error}
    return {key: part for key, part in own.items() if part > BLUR}


def _place(line: Line) -> str:
    return f"{line.scheme} {line.interval} {_named(line.measure, line.level)} at {line.scenarios:,}"


def _named(measure: str, level: float) -> str:
    return f"{measure} {100 * level:g} %"


def _some(parts: Sequence[str]) -> str:
    more = len(parts) - _SHOWN
    return ", ".join(parts[:_SHOWN]) + (f", and {more} more" if more > 0 else "")


def _listed(each: Slope | Factor | Recommendation) -> dict[str, Any]:
    return {key: _number(value) if isinstance(value, float) else value for key, value in vars(each).items()}


def _number(value: float) -> float | None:
    """As JSON can hold it: None for what is not finite."""
    return value if np.isfinite(value) else None
