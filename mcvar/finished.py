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
from mcvar.io.tables import digest
from mcvar.provenance import provenance
from mcvar.report import digest_of

Floats = NDArray[np.float64]
Ints = NDArray[np.int64]
_CLASSES = {name: kind for name, kind in vars(c).items() if isinstance(kind, type) and dataclasses.is_dataclass(kind)}


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

    def tail(self, account: str) -> tuple[Floats, Ints]:
        """Losses and scenarios of an account, worst first, [K] each.

        Raises
        ------
        InputError
            A file that is not there, cannot be read, or has weights other than 1.
        """
        path = self.folder / "tail.parquet"
        table = _parquet(path, ["account", "rank", "loss", "scenario", "weight"], account)
        rank, weight = table["rank"].to_numpy(), table["weight"].to_numpy()
        loss, scenario = table["loss"].to_numpy(), table["scenario"].to_numpy()
        order = np.argsort(rank)
        if not len(rank) or not np.array_equal(rank[order], np.arange(1, len(rank) + 1)):
            raise InputError(str(path), [f"account '{account}' has not the ranks from 1 on: run the job again"])
        if not (weight == 1.0).all():
            raise InputError(
                str(path),
                [f"account '{account}' has scenarios of different weights, and job=explain knows equal ones only"],
            )
        there = scenario[order] >= 0
        return loss[order][there], scenario[order][there].astype(np.int64)

    def single_precision_bound(self, account: str) -> float:
        """Bound on the error of the account's losses: `fp32_bound`, 0 for a run in double precision."""
        if self.record["engine"]["precision"] == "fp64":
            return 0.0
        table = _parquet(self.folder / "measures.parquet", ["account", "measure", "value"], account)
        values = dict(zip(table["measure"].to_pylist(), table["value"].to_pylist(), strict=True))
        return float(values.get("fp32_bound", 0.0))

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
    try:
        record = json.loads((path / "run.json").read_text(encoding="utf-8"))
        job, settings, inputs = record["job"], record.get("configuration"), record.get("inputs", {})
    except (ValueError, KeyError, TypeError, AttributeError) as error:
        raise InputError(
            str(path / "run.json"), [f"is not the record of a run ({error!r}): run the job again"]
        ) from None
    if job != "var":
        raise SettingError(f"job.run={folder} is a run of job={job}: give one of job=var, whose tails are kept")
    if digest_of(settings) != record["configuration_sha256"]:
        raise InputError(str(path / "run.json"), ["`configuration` is not what was run: restore it, or run again"])
    _check_inputs(folder, inputs)
    return FinishedRun(path, configuration(settings), record)


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
    return kind(**{name: _value(value, hints[name]) for name, value in given.items()})


def _value(value: Any, hint: Any) -> Any:
    kinds = [kind for kind in (hint, *typing.get_args(hint)) if isinstance(kind, type)]
    if isinstance(value, Mapping) and any(dataclasses.is_dataclass(kind) for kind in kinds):
        return _made(value)
    if isinstance(value, str):
        for kind in kinds:
            if issubclass(kind, enum.Enum):
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


def _parquet(path: Path, columns: list[str], account: str) -> pa.Table:
    """The rows of one account."""
    if not path.is_file():
        raise InputError(str(path), ["is not there: run the job again"])
    try:
        with pyarrow.parquet.ParquetFile(path) as file:
            if missing := sorted(set(columns) - set(file.schema_arrow.names)):
                raise InputError(str(path), [f"has no column {', '.join(missing)}: run the job again"])
            parts = []
            for at in range(file.num_row_groups):
                part = file.read_row_group(at, columns=columns)
                parts.append(part.filter(pa.compute.equal(part["account"].cast(pa.string()), account)))
    except (pa.ArrowException, OSError) as error:
        raise InputError(str(path), [f"cannot be read ({error}): run the job again"]) from error
    return pa.concat_tables(parts)
