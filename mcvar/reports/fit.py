"""`mcvar.fit_model`: parameters of a configured model from its market, and the model file that holds them."""

from __future__ import annotations

import dataclasses
import enum
import json
import time
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from mcvar import build
from mcvar.building.fit import fitted
from mcvar.config import OPTIONS, Config, FitJob, option_name
from mcvar.errors import SettingError
from mcvar.fit import Fitted
from mcvar.limits import check_numbers
from mcvar.provenance import provenance
from mcvar.report import digest_of, plain, write_run
from mcvar.settings.model import ModelConfig


@dataclass(frozen=True)
class FitReport:
    """What was fitted.

    Parameters
    ----------
    model : ModelConfig
        The configuration with the fitted parameters: give it to `Config(model=...)`.
    fitted : Fitted
    name : str
        Of the model file.
    record : mapping
        The content of run.json.
    """

    model: ModelConfig
    fitted: Fitted
    name: str
    record: Mapping[str, Any]

    @property
    def notes(self) -> tuple[str, ...]:
        """Assumptions and warnings."""
        return tuple(self.record["notes"])

    def rows(self) -> Iterator[tuple[str, float | str | None, float | None]]:
        """Each fitted number with its path in the settings and its standard error."""
        yield from _leaves(self.fitted.settings, self.fitted.errors, "")

    def yaml(self) -> str:
        """The model file: an option of the group `model`.

        JSON is YAML, and writes every number with all its digits.
        """
        settings = {field.name: getattr(self.model, field.name) for field in dataclasses.fields(self.model)}
        lines = [
            "# Fitted by `mcvar job=fit`; run.json beside has errors and diagnostics. Use: mcvar --config-dir FOLDER "
            f"model={self.name}",
            "defaults:",
            f"  - /schema/model@_here_: {option_name(self.model)}",
            "  - _self_",
            "",
            *(f"{name}: {json.dumps(_plain(value))}" for name, value in settings.items()),
        ]
        return "\n".join(lines) + "\n"

    def write(self, folder: Path, extra: Mapping[str, Callable[[Path], None]]) -> None:
        """Write model/NAME.yaml, further files and, last, run.json."""
        text = self.yaml()
        write_run(folder, {f"model/{self.name}.yaml": lambda path: path.write_text(text), **extra}, self.record)


def fit_model(config: Config) -> FitReport:
    """Fit the model of a configuration to the history of its market.

    The market and, with `job.chain`, the book are read; scenarios, engine and measures do not matter.

    Raises
    ------
    McvarError
        Whatever is wrong with files or settings; a history that the model does not fit.

    Examples
    --------
    >>> from mcvar.settings.model import StudentTModel
    >>> found = fit_model(Config(model=StudentTModel()))
    >>> 2.5 < found.fitted.settings["dof"] < 6
    True
    """
    start = time.perf_counter()
    check_numbers(config)
    job = config.job if isinstance(config.job, FitJob) else FitJob()
    if not job.name.isidentifier():
        raise SettingError(f"job.name is '{job.name}': it names a file and an option, give letters, digits and _")
    if job.name in OPTIONS["model"]:
        raise SettingError(
            f"job.name is '{job.name}', which is a model of mcvar: give the fitted one a name of its own"
        )
    market, book, files = build.market_and_chain(config) if job.chain else build.market_alone(config)
    found = fitted(config.model, market, job, book)
    settings = plain(config)
    record = {
        **provenance(),
        "job": "fit",
        "configuration": settings,
        "configuration_sha256": digest_of(settings),
        "inputs": files,
        "model": option_name(config.model),
        "settings": found.settings,
        "errors": found.errors,
        "diagnostics": found.diagnostics,
        "notes": [*market.notes, *found.notes],
        "timings": {"total_seconds": time.perf_counter() - start},
    }
    return FitReport(dataclasses.replace(config.model, **found.settings), found, job.name, record)


def _plain(value: Any) -> Any:
    return value.value if isinstance(value, enum.Enum) else value


def _leaves(settings: Any, errors: Any, path: str) -> Iterator[tuple[str, float | str | None, float | None]]:
    for key, value in settings.items():
        error = errors.get(key) if isinstance(errors, Mapping) else None
        where = f"{path}.{key}" if path else str(key)
        if isinstance(value, Mapping):
            yield from _leaves(value, error, where)
        elif not isinstance(value, list | tuple):
            yield where, value, error
