"""A finished run, read back from its folder: its configuration, what it was made of, and the tail that it kept."""

from __future__ import annotations

import dataclasses
import enum
import json
import typing
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa
import pyarrow.compute
import pyarrow.parquet
from numpy.typing import NDArray

from mcvar import config as c
from mcvar.errors import InputError, SettingError
from mcvar.intervals.order import var_rank
from mcvar.io.tables import digest
from mcvar.jobs.contributions import tail_weights
from mcvar.precision import Precision
from mcvar.provenance import provenance
from mcvar.report import digest_of

Floats = NDArray[np.float64]
Ints = NDArray[np.int64]
_CLASSES = {name: kind for name, kind in vars(c).items() if isinstance(kind, type) and dataclasses.is_dataclass(kind)}


_KEYS = {  # of run.json, and their types
    "configuration": dict, "configuration_sha256": str, "inputs": dict, "engine": dict, "scenarios": int,
    "created": str, "mcvar": str,
}  # fmt: skip
_CALLED = {dict: "a mapping", str: "text", int: "a whole number"}
_TAIL = {"rank": pa.int64(), "loss": pa.float64(), "scenario": pa.int64(), "weight": pa.float64()}
_MEASURES = {"measure": pa.string(), "level": pa.float64(), "value": pa.float64()}
_EQUAL = 1e-9  # of the largest loss: by how much a measure may differ from that of the tail


@dataclass(frozen=True)
class FinishedRun:
    """What a run of job=var left in its folder.

    Parameters
    ----------
    folder : Path
    config : Config
    record : mapping
        The content of run.json.
    """

    folder: Path
    config: c.Config
    record: Mapping[str, Any]

    @property
    def count(self) -> int:
        """N."""
        return int(self.record["scenarios"])

    def tail(self, account: str) -> tuple[Floats, Ints]:
        """Losses and scenarios of an account, worst first, [K] each.

        Raises
        ------
        InputError
            A file that is not there or cannot be read, weights other than 1, or losses that are not those of this run:
            of more or fewer ranks or scenarios than it had, or with another VaR or ES than measures.parquet has.
        """
        path, kept = self.folder / "tail.parquet", min(self.config.output.tail_rows, self.count)
        table = _parquet(path, _TAIL, account)
        rank, loss, scenario, weight = (table[name].to_numpy() for name in _TAIL)
        order = np.argsort(rank)
        loss, scenario = loss[order], scenario[order]
        said = ""
        if not np.array_equal(rank[order], np.arange(1, kept + 1)):
            said = f"has not the ranks from 1 to {kept}, which the run kept: run the job again"
        elif not (weight == 1.0).all():
            said = "has scenarios of different weights, and job=explain knows equal ones only"
        elif not np.isfinite(loss).all():
            said = "has losses that are not finite: run the job again"
        elif (loss[1:] > loss[:-1]).any():
            said = "has losses that are not in the order of their ranks: run the job again"
        elif not ((scenario >= 0) & (scenario < self.count)).all():
            said = f"has scenarios other than 0 to {self.count - 1}, which the run had: run the job again"
        elif len(np.unique(scenario)) < kept:
            said = "has a scenario twice: run the job again"
        if said := said or self._another(account, loss):
            raise InputError(str(path), [f"account '{account}' {said}"])
        return loss, scenario

    def _another(self, account: str, loss: Floats) -> str:
        """What tells that losses, worst first, are of another run than the measures; "" if nothing does."""
        allowed = self.single_precision_bound(account) + _EQUAL * float(np.abs(loss).max())
        for level in self.config.measure.levels:
            at, weights = var_rank(self.count, level), tail_weights(self.count, level)
            found = {"var": loss[at - 1]} if at <= len(loss) else {}
            if len(weights) <= len(loss):
                found["es"] = weights @ loss[: len(weights)]
            for measure, value in found.items():
                known = self._measured(account, measure, level)
                if not abs(value - known) <= allowed:
                    return (
                        f"has {measure} {value:.17g} at level {level:g}, and {known:.17g} in measures.parquet: one of "
                        "the files is of another run, so run the job again"
                    )
        return ""

    def single_precision_bound(self, account: str) -> float:
        """Bound on the error of the account's losses: `fp32_bound`, 0 for a run in double precision."""
        return 0.0 if self.record["engine"]["precision"] == "fp64" else self._measured(account, "fp32_bound", None)

    def _measured(self, account: str, measure: str, level: float | None) -> float:
        path = self.folder / "measures.parquet"
        table = _parquet(path, _MEASURES, account).to_pylist()
        values = [row["value"] for row in table if (row["measure"], row["level"]) == (measure, level)]
        if len(values) != 1 or values[0] is None or not np.isfinite(values[0]):
            which = measure if level is None else f"{measure} at level {level:g}"
            raise InputError(str(path), [f"account '{account}' has not one finite {which}: run the job again"])
        return float(values[0])

    def what_differs(self) -> str:
        """What a number that does not come out again may be due to, and what to do."""
        now, then = provenance(), self.record
        names = {"mcvar": "mcvar", "kernels_sha256": "kernels", "versions": "versions", "machine": "machine"}
        other = [
            f"{said} {then.get(key)} then, {now[key]} now" for key, said in names.items() if then.get(key) != now[key]
        ]
        if not other:
            return "versions and machine are the same, so the file is not that run's: run the job again"
        return f"{'; '.join(other)}: explain it with what it was run with, or run the job again"


def read_run(folder: str) -> FinishedRun:
    """Read a run folder, and check that what the run read is still the same.

    Raises
    ------
    SettingError
        No folder, no run.json in it, another job than var, or a configuration that this version does not know.
    InputError
        A file that has changed since, or is gone.
    """
    path = Path(folder)
    if not folder:
        raise SettingError("job.run is not set: give the folder of a finished run, job.run=OUT (its hydra.run.dir)")
    if not path.is_dir():
        raise SettingError(f"job.run={folder}: there is no such folder (relative paths start at {Path.cwd()})")
    if not (path / "run.json").is_file():
        raise SettingError(
            f"job.run={folder} has no run.json, which is written last: the run is not finished, or this is not the "
            "folder of a run"
        )
    record = _record(folder, path / "run.json")
    settings = record["configuration"]
    if digest_of(settings) != record["configuration_sha256"]:
        raise InputError(str(path / "run.json"), ["`configuration` is not what was run: restore it, or run again"])
    _check_inputs(folder, record["inputs"])
    return FinishedRun(path, configuration(settings), record)


def _record(folder: str, path: Path) -> dict[str, Any]:
    """The content of run.json, with all keys that are read."""
    try:
        record = json.loads(path.read_text(encoding="utf-8"))
    except ValueError as error:
        raise InputError(str(path), [f"is not the record of a run ({error}): run the job again"]) from None
    if not isinstance(record, dict) or not isinstance(record.get("job"), str):
        raise InputError(str(path), ["is not the record of a run, which has a `job`: run the job again"])
    if record["job"] != "var":
        raise SettingError(
            f"job.run={folder} is a run of job={record['job']}: give one of job=var, whose tails are kept"
        )
    problems = []
    for key, kind in _KEYS.items():
        if key not in record:
            problems.append(f"has no `{key}`: run the job again")
        elif type(record[key]) is not kind:
            problems.append(f"`{key}` is not {_CALLED[kind]}, but {str(record[key])[:40]!r}: run the job again")
    if not problems:
        precision, known = record["engine"].get("precision"), [each.value for each in Precision]
        if precision not in known:
            problems.append(f"`engine` has precision {precision!r}, not one of {', '.join(known)}: run the job again")
        if not all(isinstance(digested, str) for digested in record["inputs"].values()):
            problems.append("`inputs` has a file without its SHA-256: run the job again")
    if problems:
        raise InputError(str(path), problems)
    return record


def configuration(settings: Mapping[str, Any]) -> c.Config:
    """The configuration that `mcvar.report.plain` made these settings of.

    Raises
    ------
    SettingError
        A class or a setting that this version does not have.

    Examples
    --------
    >>> from mcvar.report import plain
    >>> run = c.Config(model=c.StudentTModel(dof=3.5), engine=c.NativeEngine(c.Precision.mixed))
    >>> configuration(plain(run)) == run
    True
    """
    made = _made(settings)
    if not isinstance(made, c.Config):
        raise SettingError(f"run.json has a configuration of type {settings.get('type')!r}, not Config: run it again")
    return made


def _made(settings: Mapping[str, Any]) -> Any:
    kind = _CLASSES.get(str(settings.get("type")))
    if kind is None:
        raise SettingError(f"run.json has {settings.get('type')!r}, which this version of mcvar does not: run it again")
    hints = typing.get_type_hints(kind)
    given = {name: value for name, value in settings.items() if name != "type"}
    if unknown := sorted(set(given) - set(hints)):
        raise SettingError(
            f"run.json has {', '.join(unknown)} of {kind.__name__}, which this version of mcvar does not: run it again"
        )
    return kind(**{name: _value(name, value, hints[name]) for name, value in given.items()})


def _value(name: str, value: Any, hint: Any) -> Any:
    kinds = tuple(kind for kind in (hint, *typing.get_args(hint)) if isinstance(kind, type))
    if any(dataclasses.is_dataclass(kind) for kind in kinds):
        made = _made(value) if isinstance(value, Mapping) else value
        if not isinstance(made, kinds):
            raise SettingError(
                f"run.json has {name}={str(value)[:40]!r}, which is no {kinds[0].__name__}: run it again"
            )
        return made
    for kind in kinds:
        if issubclass(kind, enum.Enum) and isinstance(value, str):
            if value not in kind.__members__:
                raise SettingError(
                    f"run.json has {name}={value!r}, and this version of mcvar knows {', '.join(kind.__members__)}: "
                    "run it again"
                )
            return kind[value]
    return value


def _check_inputs(folder: str, inputs: Mapping[str, str]) -> None:
    for path, known in inputs.items():
        if not Path(path).is_file():
            raise InputError(
                path,
                [f"the run in {folder} read it and it is not there: put it back, or work in the folder of that run "
                 f"(relative paths start at {Path.cwd()})"],
            )  # fmt: skip
        if digest(path) != known:
            raise InputError(path, [f"has changed since the run in {folder}: restore it, or run the job again"])


def _parquet(path: Path, columns: Mapping[str, pa.DataType], account: str) -> pa.Table:
    """Columns of the rows of one account, each as its type."""
    if not path.is_file():
        raise InputError(str(path), ["is not there: run the job again"])
    try:
        with pyarrow.parquet.ParquetFile(path) as file:
            if missing := sorted({"account", *columns} - set(file.schema_arrow.names)):
                raise InputError(str(path), [f"has no column {', '.join(missing)}: run the job again"])
            parts = []
            for at in range(file.num_row_groups):
                part = file.read_row_group(at, columns=["account", *columns])
                part = part.filter(pa.compute.equal(part["account"].cast(pa.string()), account))
                parts.append(part.select(list(columns)).cast(pa.schema(columns)))
        return pa.concat_tables(parts)
    except (pa.ArrowException, OSError) as error:
        raise InputError(str(path), [f"cannot be read ({error}): run the job again"]) from error
