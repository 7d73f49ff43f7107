"""A calibration on a terminal: coverage and errors at the highest level, and the scenarios that the target takes."""

from __future__ import annotations

from pathlib import Path

from rich.box import SIMPLE_HEAD
from rich.console import Console
from rich.table import Table
from rich.text import Text

from mcvar.jobs.calibrate import Line
from mcvar.jobs.convergence import Recommendation
from mcvar.render.run import NAMES
from mcvar.reports.calibration import CalibrationReport

_WIDE = 160


def show_calibration(report: CalibrationReport, console: Console, folder: Path) -> None:
    """Print the table at the highest level of each measure, and the recommendation at all levels.

    Parameters
    ----------
    folder : Path
        Where the files are.
    """
    if not console.is_terminal:
        console.width = max(console.width, _WIDE)  # a file or a pipe has no edge to wrap at
    record = report.record
    names = record["accounts"]
    over = names[0] if len(names) == 1 else f"{len(names)} accounts"
    console.print(
        f"{record['repetitions']} repetitions over {over}; true values from {record['truth']['scenarios']:,} scenarios "
        f"({record['truth']['scheme']})",
        style="bold", markup=False, highlight=False,
    )  # fmt: skip
    console.print(_table(report))
    for measure, level in report.measures:
        _show_advice([r for r in report.recommendations if (r.measure, r.level) == (measure, level)], report, console)
    if any(each.basis == "extrapolated" for each in report.recommendations):
        console.print("~ is extrapolated beyond the scenarios that were run", style="dim", highlight=False)
    for note in report.notes:
        console.print(f"note: {note}", style="yellow", markup=False, highlight=False, soft_wrap=True)
    console.print(f"results: {folder}", highlight=False, markup=False, soft_wrap=True)


def _table(report: CalibrationReport) -> Table:
    level = max(level for _, level in report.measures)
    saved = {(f.scheme, f.measure, f.level, f.scenarios): f.factor for f in report.factors}
    lines: dict[tuple[str, str, int], dict[str, Line]] = {}
    for line in report.lines:
        if line.level == level:
            lines.setdefault((line.scheme, line.interval, line.scenarios), {})[line.measure] = line
    table = Table(box=SIMPLE_HEAD)
    for name in ("scheme", "interval"):
        table.add_column(name, no_wrap=True)
    table.add_column("scenarios", justify="right", no_wrap=True)
    for measure in NAMES:
        if (measure, level) in report.measures:
            table.add_column(f"{NAMES[measure]} {100 * level:g} % covers", justify="right", no_wrap=True)
            table.add_column("nominal", justify="right", style="dim", no_wrap=True)
            table.add_column("error", justify="right", no_wrap=True)
            table.add_column("factor", justify="right", no_wrap=True)
    table.add_column("seconds", justify="right", no_wrap=True)
    keys = list(lines)
    for at, (scheme, interval, count) in enumerate(keys):
        own = lines[scheme, interval, count]
        cells: list[str | Text] = [scheme, interval, f"{count:,}"]
        for measure, line in own.items():
            error = "-" if line.relative_error is None else f"{100 * line.relative_error:.2g} %"
            factor = saved.get((scheme, measure, level, count))
            cells += [
                _coverage(line, off=report.off(line)),
                f"{100 * line.nominal:.1f} %",
                error,
                "" if factor is None else f"{factor:.3g}",
            ]
        cells.append(f"{next(iter(own.values())).seconds:.2g}")
        table.add_row(*cells, end_section=keys[at][0] != (keys[at + 1][0] if at + 1 < len(keys) else None))
    return table


def _coverage(line: Line, *, off: bool) -> Text:
    if line.coverage is None or line.coverage_stderr is None:
        return Text("-")
    said = f"{100 * line.coverage:.1f} +- {100 * line.coverage_stderr:.1f} %"
    return Text(said, style="bold red" if off else "")


def _show_advice(advice: list[Recommendation], report: CalibrationReport, console: Console) -> None:
    """One line: what each scheme takes for the target."""
    if not advice:
        return
    said = "; ".join(_said(each) for each in advice)
    head = f"{NAMES[advice[0].measure]} {100 * advice[0].level:g} % to +-{100 * report.record['target']:g} %: "
    console.print(head + said, markup=False, highlight=False, soft_wrap=True)


def _said(each: Recommendation) -> str:
    """The words for one scheme.

    Examples
    --------
    >>> _said(Recommendation("plain", "var", 0.99, 210_000, 2.14, "extrapolated", -0.5))
    '~210,000 plain (2.1 s)'
    >>> _said(Recommendation("sobol", "var", 0.99, 4_096, 0.05, "fewest", -0.8))
    '4,096 or fewer sobol (0.05 s)'
    """
    if each.scenarios is None or each.seconds is None:
        return f"unknown {each.scheme}"
    mark = "~" if each.basis == "extrapolated" else ""
    fewer = " or fewer" if each.basis == "fewest" else ""
    seconds = f"{each.seconds:.2g}" if each.seconds < 100 else f"{each.seconds:,.0f}"
    return f"{mark}{each.scenarios:,}{fewer} {each.scheme} ({seconds} s)"
