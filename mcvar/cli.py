"""The command line: Hydra composes a configuration, the job runs, the files are written.

Exit codes: 0 done; 2 something the user can mend (the message says how); 3 done, but not as precise as
scenarios.until asks; 1 a defect of mcvar; 130 interrupted. A traceback is printed for a defect, or when
HYDRA_FULL_ERROR=1 asks for one.
"""

from __future__ import annotations

import dataclasses
import logging
import os
import sys
import traceback
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from functools import partial
from pathlib import Path
from typing import Any

import hydra
from hydra.core.config_store import ConfigStore
from hydra.core.hydra_config import HydraConfig
from hydra.errors import HydraException
from omegaconf import DictConfig, OmegaConf
from omegaconf.errors import OmegaConfBaseException
from rich.console import Console
from rich.progress import BarColumn, MofNCompleteColumn, Progress, TextColumn, TimeRemainingColumn

from mcvar import __version__
from mcvar import config as c
from mcvar.api import run
from mcvar.errors import McvarError, SettingError
from mcvar.render.calibration import show_calibration
from mcvar.render.comparison import show_comparison
from mcvar.render.explanation import show_explanation
from mcvar.render.margins import show_margins
from mcvar.render.models import show_fit, show_greeks, show_moves
from mcvar.render.run import show
from mcvar.report import Report
from mcvar.reports.calibration import find_calibration
from mcvar.reports.comparison_request import find_comparison
from mcvar.reports.explanation import find_explanation
from mcvar.reports.fit import fit_model
from mcvar.reports.greeks import find_greeks
from mcvar.reports.margins import find_margins
from mcvar.reports.moves import simulate_moves

_USER, _NOT_REACHED = 2, 3
Writers = dict[str, Callable[[Path], None]]


def register() -> None:
    """Tell Hydra the types of all options: `schema` and `schema/<group>/<option>`."""
    store = ConfigStore.instance()
    schema = OmegaConf.structured(c.Config)
    for group, options in c.OPTIONS.items():
        schema[group] = "???"
        for name, option in options.items():
            node = OmegaConf.structured(option)
            if group == "scan":  # its mappings by commodity take any key; what nothing reads is refused by `to_config`
                OmegaConf.set_struct(node, False)
            store.store(group=f"schema/{group}", name=name, node=node)
    store.store(name="schema", node=schema)


def to_config(composed: DictConfig) -> c.Config:
    """The typed configuration of a composed one.

    Raises
    ------
    SettingError
        Settings that `+` added and nothing reads; a configuration that does not start from the schema.
    """
    config = OmegaConf.to_object(composed)
    if not isinstance(config, c.Config):
        raise SettingError("the configuration has no `schema` at the head of its defaults list, as config.yaml has")
    unread = list(_unread(OmegaConf.to_container(composed), config, ""))
    if unread:
        raise SettingError(
            f"nothing reads {', '.join(unread)}: check the name with `mcvar --cfg job`, and drop the `+`"
        )
    return config


def _unread(composed: Any, config: Any, prefix: str) -> Iterator[str]:
    known = {field.name for field in dataclasses.fields(config)}
    for key, value in composed.items():
        if key not in known:
            yield f"{prefix}{key}"
        elif dataclasses.is_dataclass(getattr(config, key)):
            yield from _unread(value, getattr(config, key), f"{prefix}{key}.")


def repeatable(composed: DictConfig, config: c.Config) -> str:
    """The composed configuration as YAML that composes to itself: `mcvar --config-dir OUT --config-name composed`."""
    defaults: list[Any] = ["schema"]
    defaults += [{f"/schema/{group}@{group}": c.option_name(getattr(config, group))} for group in c.OPTIONS]
    defaults += ["_self_", {"override hydra/job_logging": "none"}]
    body: dict[str, Any] = {"defaults": defaults, "hydra": {"output_subdir": None}}
    head = "# What was run, composed. Again: mcvar --config-dir FOLDER --config-name composed\n"
    return head + OmegaConf.to_yaml(OmegaConf.create(body)) + OmegaConf.to_yaml(composed)


def task(composed: DictConfig) -> int:
    """One run: compute, write, show. Returns the exit code."""
    stdout, stderr = Console(), Console(stderr=True)
    folder = Path(HydraConfig.get().runtime.output_dir)
    try:
        config = to_config(composed)
        extra = {"composed.yaml": lambda path: _write_text(repeatable(composed, config), path)}
        with _told(stderr):
            shown, code = _job(config, stderr, folder, extra)
    except (McvarError, OSError) as error:
        _explain(error, stderr)
        return _USER
    shown(stdout)
    return code


def _job(config: c.Config, stderr: Console, folder: Path, extra: Writers) -> tuple[Callable[[Console], None], int]:
    """Compute and write; returns what shows the result, and the exit code."""
    match config.job:
        case c.FitJob():
            fitted = fit_model(config)
            fitted.write(folder, extra)
            return (lambda console: show_fit(fitted, console, folder)), 0
        case c.CalibrateJob():
            calibrated = find_calibration(config, folder)
            from mcvar.plots import calibration as plot_calibration  # as below

            names = ("calibration.png", "calibration.svg")
            pictures = {name: partial(plot_calibration.save, calibrated) for name in names}
            try:
                calibrated.write(folder, {**extra, **pictures})
            except KeyboardInterrupt as stopped:
                said = f"all repetitions are kept: the same command with hydra.run.dir={folder} writes what they tell"
                raise KeyboardInterrupt(said) from stopped
            return (lambda console: show_calibration(calibrated, console, folder)), 0
        case c.CompareJob():
            compared = find_comparison(config)
            from mcvar.pages import comparison as page_comparison  # as below

            compared.write(folder, {**extra, "comparison.html": partial(page_comparison.save, compared)})
            return (lambda console: show_comparison(compared, console, rows=config.output.table_rows, folder=folder)), 0
        case c.ScanJob():
            scanned = find_margins(config)
            scanned.write(folder, extra)
            return (lambda console: show_margins(scanned, console, config.output.table_rows, folder)), 0
        case c.ExplainJob():
            explained = find_explanation(config)
            explained.write(folder, extra)
            return (lambda console: show_explanation(explained, console, config.output.table_rows, folder)), 0
        case c.GreeksJob():
            greeks = find_greeks(config)
            greeks.write(folder, extra)
            return (lambda console: show_greeks(greeks, console, config.output.table_rows, folder)), 0
        case c.MovesJob():
            moves = simulate_moves(config)
            moves.write(folder, extra)
            return (lambda console: show_moves(moves, console, folder)), 0
    report = _with_progress(config, stderr)
    from mcvar.plots import tail as plot  # matplotlib is slow to import: only when there is something to draw

    pictures = {name: partial(plot.save, report) for name in ("loss_tail.png", "loss_tail.svg")}
    report.write(folder, {**extra, **pictures})
    until = report.record["until"]
    code = 0 if until is None or until["reached"] else _NOT_REACHED
    return (lambda console: show(report, console, rows=config.output.table_rows, folder=folder)), code


def main() -> None:
    """Entry point of `mcvar`."""
    if sys.argv[1:] == ["--version"]:
        print(f"mcvar {__version__}")
        sys.exit(0)
    register()
    sys.exit(guarded(_compose_and_run))


def guarded(work: Callable[[], int]) -> int:
    """Run, and turn what goes wrong into a message and an exit code."""
    stderr = Console(stderr=True)
    asked = os.environ.get("HYDRA_FULL_ERROR") == "1"
    os.environ["HYDRA_FULL_ERROR"] = "1"  # Hydra then raises instead of exiting with 1 for everything
    try:
        return work()
    except (HydraException, OmegaConfBaseException, McvarError) as error:
        if asked:
            traceback.print_exc()
        else:
            _explain(error, stderr)
            stderr.print("`mcvar --help` lists groups and options", style="dim")
        return _USER
    except OSError as error:
        _explain(error, stderr)
        return _USER
    except KeyboardInterrupt as stopped:
        said = str(stopped) or "nothing was written"
        stderr.print(f"interrupted: {said}", style="yellow", markup=False, highlight=False, soft_wrap=True)
        return 130
    except Exception:
        traceback.print_exc()
        stderr.print("this is a defect of mcvar, not of your input: please report it with the lines above", style="red")
        return 1
    finally:
        if not asked:
            del os.environ["HYDRA_FULL_ERROR"]


def _compose_and_run() -> int:
    codes: list[int] = []

    def record(composed: DictConfig) -> None:
        codes.append(task(composed))

    hydra.main(config_path="pkg://mcvar.configs", config_name="config", version_base="1.3")(record)()
    return max(codes, key=[0, _NOT_REACHED, _USER].index, default=0)


class _Teller(logging.Handler):
    """What the run says of itself, dimly, on the error stream."""

    def __init__(self, console: Console) -> None:
        super().__init__(logging.INFO)
        self.console = console

    def emit(self, record: logging.LogRecord) -> None:
        style = "yellow" if record.levelno >= logging.WARNING else "dim"
        self.console.print(record.getMessage(), style=style, markup=False, highlight=False, soft_wrap=True)


@contextmanager
def _told(console: Console) -> Iterator[None]:
    """Log messages of mcvar go to the console alone: Hydra would print them among the results."""
    log, teller = logging.getLogger("mcvar"), _Teller(console)
    level, propagate = log.level, log.propagate
    log.addHandler(teller)
    log.setLevel(logging.INFO)
    log.propagate = False
    try:
        yield
    finally:
        log.removeHandler(teller)
        log.setLevel(level)
        log.propagate = propagate


def _with_progress(config: c.Config, console: Console) -> Report:
    """Run with a bar on a terminal, silently elsewhere."""
    if not console.is_terminal:
        return run(config)
    rate = TextColumn("{task.fields[rate]}")
    columns = (TextColumn("scenarios"), BarColumn(), MofNCompleteColumn(), rate, TimeRemainingColumn())
    with Progress(*columns, console=console, transient=True) as bar:
        given = config.scenarios
        total = given.count if isinstance(given, c.SimulatedScenarios) and given.until is None else None
        shown = bar.add_task("scenarios", total=total, rate="")

        def advance(done: int) -> None:
            bar.update(shown, advance=done)
            speed = bar.tasks[0].speed
            bar.update(shown, rate=f"{speed:,.0f}/s" if speed else "")

        return run(config, progress=advance)


def _write_text(text: str, path: Path) -> None:
    path.write_text(text)


def _explain(error: BaseException, console: Console) -> None:
    message = str(error)
    if isinstance(error, OSError):
        message = f"{error}: check the path, its rights and the free space (hydra.run.dir names the run folder)"
    message = "\n".join(line for line in message.splitlines() if "To append to your config" not in line)
    cause = error.__cause__
    if isinstance(cause, OmegaConfBaseException):
        message += "\n" + str(cause).splitlines()[0]
    console.print("error: ", style="bold red", end="")
    console.print(message, markup=False, highlight=False, soft_wrap=True)
