"""`mcvar.find_explanation`: contributions to VaR and ES of one account of a finished run, as tables."""

from __future__ import annotations

import dataclasses
import time
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, replace
from functools import partial
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa
import pyarrow.parquet
from numpy.typing import NDArray

from mcvar import build
from mcvar import config as c
from mcvar.api import engine_of
from mcvar.errors import CapacityError, InputError, SettingError
from mcvar.finished import FinishedRun, read_run
from mcvar.jobs.contributions import Contribution, TailAt, contributions, kept_for
from mcvar.jobs.explain import Account, Replay
from mcvar.jobs.incremental import Increment, increments
from mcvar.jobs.request import check_memory, positions_of, row_of
from mcvar.limits import check_limits, check_numbers
from mcvar.provenance import provenance
from mcvar.report import digest_of, plain, write_run
from mcvar.scenarios import Simulated

Floats = NDArray[np.float64]
_EQUAL = 1e-9  # of gross: by how much a loss may differ when it is made again


@dataclass(frozen=True)
class ExplainReport:
    """What was found, and what it was; `record` is the content of run.json."""

    run: FinishedRun
    account: str
    currency: str
    lines: Sequence[Contribution]
    increments: Sequence[Increment]
    record: Mapping[str, Any]

    @property
    def notes(self) -> tuple[str, ...]:
        """What the reader must know."""
        return tuple(self.record["notes"])

    def table(self) -> pa.Table:
        """`account, measure, level, by (instrument, underlying or factor), name, value, stderr, share`."""
        return _table(Contribution, self.lines)

    def incremental(self) -> pa.Table:
        """`instrument, quantity, measure, level, marginal, ...`: the fields of `mcvar.jobs.incremental.Increment`."""
        return _table(Increment, self.increments)

    def write(self, folder: Path, extra: Mapping[str, Callable[[Path], None]]) -> None:
        """Write contributions.parquet, incremental.parquet if positions were added, further files and run.json.

        Raises
        ------
        SettingError
            The folder is that of the run that is explained.
        """
        if folder.resolve() == self.run.folder.resolve():
            raise SettingError(f"hydra.run.dir={folder} is the run that is explained: give another folder")
        tables = {"contributions.parquet": partial(pyarrow.parquet.write_table, self.table())}
        if self.increments:
            tables["incremental.parquet"] = partial(pyarrow.parquet.write_table, self.incremental())
        write_run(folder, {**tables, **extra}, self.record)


def find_explanation(config: c.Config) -> ExplainReport:
    """Explain one account of a finished run.

    Parameters
    ----------
    config : Config
        Its `job` is an `ExplainJob`; of the rest only `output` and `executor` are read, the others come from the run.

    Raises
    ------
    McvarError
        A run that is not there or not finished, inputs that have changed, losses that do not come out again, an unknown
        account, a tail that is too short.

    Examples
    --------
    >>> import tempfile, mcvar
    >>> small = c.Config(scenarios=c.SimulatedScenarios(count=2_000), output=c.OutputConfig(tail_rows=200))
    >>> with tempfile.TemporaryDirectory() as folder:
    ...     mcvar.run(small).write(Path(folder), {})
    ...     found = find_explanation(c.Config(job=c.ExplainJob(run=folder, account="member-8")))
    >>> found.table().column_names
    ['account', 'measure', 'level', 'by', 'name', 'value', 'stderr', 'share']
    """
    start = time.perf_counter()
    check_numbers(config)
    check_limits(config)
    job = config.job
    if not isinstance(job, c.ExplainJob):
        raise SettingError(f"job={c.option_name(job)}: find_explanation takes job=explain")
    _check_given(config)
    run = read_run(job.run)
    if isinstance(run.config.sampling, c.ControlVariateSampling | c.ImportanceSampling):
        raise SettingError(
            f"job.run={job.run} has sampling={c.option_name(run.config.sampling)}, whose scenarios weigh differently, "
            "and contributions are averages of scenarios that weigh alike: run the job again with sampling=plain"
        )
    scenarios = run.config.scenarios
    if isinstance(scenarios, c.SimulatedScenarios) and scenarios.until is not None:
        scenarios = replace(scenarios, count=run.count, until=None)
    settings = replace(
        run.config, scenarios=scenarios, executor=config.executor, engine=_engine(job.engine) or run.config.engine
    )
    engine = engine_of(settings)
    given = build.inputs(settings)
    if given.files != run.record["inputs"]:
        raise SettingError(f"the run in {job.run} read {list(run.record['inputs'])}, and now it is {list(given.files)}")
    book, row = given.book, row_of(given.book, job.account)
    positions = positions_of(job.add, book)
    count, levels = run.count, list(run.config.measure.levels)
    if given.scenarios.count != count:
        said = f"`scenarios` is {count}, and its configuration makes {given.scenarios.count}: restore it, or run again"
        raise InputError(str(run.folder / "run.json"), [said])
    loss, scenario = run.tail(job.account)
    confidence, window = run.config.measure.confidence, job.window
    account = Account(given.market, book, given.scenarios, given.horizon.decay, engine, row)
    fewest = min(kept_for(count, level, confidence)["es"] for level in levels)
    check_memory(len(account.held), len(loss), fewest, config.executor.memory_gb)
    replay, error, notes = _replayed(account, run, loss, scenario, job.account)
    notes += [*given.market.notes, *given.notes]
    if isinstance(given.scenarios, Simulated) and given.scenarios.replicates is not None:
        notes.append("standard errors take scenarios for independent, which this way of sampling has not")
    parts = {"instrument": replay.by_instrument(), "underlying": replay.by_underlying()}
    if reason := account.not_by_factor():
        notes.append(reason)
    else:
        parts["factor"] = account.by_factor(replay)
    lines, measures, unread = [], [], []
    for tail in [TailAt(replay.loss, count, level, confidence, window) for level in levels]:
        for measure in ("var", "es"):
            if reason := tail.unread(measure):
                unread.append(reason)
            else:
                lines += contributions(job.account, tail, measure, parts)
                measures.append(tail.describe(measure))
    if not measures:
        raise CapacityError(f"nothing of '{job.account}' can be explained: {'; '.join(unread)}")
    notes += unread
    added: list[Increment] = []
    for name, quantity in positions:
        added += increments(
            account, replay, book.instruments.name.index(name), quantity, count=count, levels=levels,
            confidence=confidence, window=window, slack=run.single_precision_bound(job.account),
        )  # fmt: skip
    if any(each.before is not None and each.after is None for each in added):
        notes.append(
            f"incremental: more scenarios than are drawn again could reach a rank with the position, beyond the "
            f"{len(loss)} worst that are kept: add it to the book and run again"
        )
    described = plain(config)
    record = {
        **provenance(),
        "job": "explain",
        "configuration": described,
        "configuration_sha256": digest_of(described),
        "run": {
            "folder": job.run,
            "created": run.record["created"],
            "configuration_sha256": run.record["configuration_sha256"],
            "mcvar": run.record["mcvar"],
        },
        "inputs": given.files,
        "engine": {"name": engine.name, "precision": "fp64", "device": engine.device_name},
        "account": job.account,
        "currency": book.currency[row],
        "scenarios": count,
        "kept": len(loss),
        "largest_difference_from_run": error,
        "measures": measures,
        "notes": notes,
        "timings": {"total_seconds": time.perf_counter() - start},
    }
    return ExplainReport(run, job.account, book.currency[row], lines, added, record)


def _check_given(config: c.Config) -> None:
    """Refuse settings that would have no effect, since the run's are taken."""
    default = c.Config()
    read = ("job", "output", "executor")
    changed = [
        field.name
        for field in dataclasses.fields(config)
        if field.name not in read and getattr(config, field.name) != getattr(default, field.name)
    ]
    if changed:
        raise SettingError(
            f"job=explain takes {', '.join(changed)} from the run in job.run: drop what sets it (job.engine names "
            "another engine)"
        )


def _engine(name: str) -> c.EngineConfig | None:
    if not name:
        return None
    if name not in c.OPTIONS["engine"]:
        raise SettingError(f"job.engine is '{name}': one of {', '.join(c.OPTIONS['engine'])}, or \"\" for the run's")
    made: c.EngineConfig = c.OPTIONS["engine"][name]()
    return made


def _replayed(
    account: Account, run: FinishedRun, loss: Floats, scenario: NDArray[np.int64], name: str
) -> tuple[Replay, float, list[str]]:
    """The tail again, the largest difference from what was kept, and notes.

    Raises
    ------
    SettingError
        It did not come out again.
    """
    replay = account.replay(scenario)
    bound = run.single_precision_bound(name)
    error = float(np.abs(replay.loss - loss).max())
    if not error <= _EQUAL * replay.gross + bound:  # so that NaN is refused
        at = int(np.abs(replay.loss - loss).argmax())
        raise InputError(
            str(run.folder / "tail.parquet"),
            [f"the loss of '{name}' in scenario {scenario[at]} is {loss[at]:.17g}, and comes out as "
             f"{replay.loss[at]:.17g}: {run.what_differs()}"],
        )  # fmt: skip
    if not bound:
        return replay, error, []
    note = f"the run was in single precision and is explained in double: its losses differ by up to {error:.3g}"
    return replay.take(np.argsort(-replay.loss, kind="stable")), error, [note]


def _table(kind: type, lines: Sequence[Any]) -> pa.Table:
    types = {
        "str": pa.string(),
        "float": pa.float64(),
        "float | None": pa.float64(),
        "bool": pa.bool_(),
        "int": pa.int64(),
    }
    return pa.table(
        {f.name: pa.array([getattr(x, f.name) for x in lines], types[str(f.type)]) for f in dataclasses.fields(kind)}
    )
