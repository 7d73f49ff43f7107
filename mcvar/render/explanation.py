"""Contributions and added positions on a terminal."""

from __future__ import annotations

from math import floor, log10
from pathlib import Path

from rich.box import SIMPLE_HEAD
from rich.console import Console
from rich.markup import escape
from rich.table import Table

from mcvar.jobs.contributions import Contribution
from mcvar.render.run import NAMES
from mcvar.reports.explanation import ExplainReport

_WIDE = 160
_OVER = {"instrument": "instrument", "underlying": "underlying", "factor": "factor moved alone"}


def show_explanation(report: ExplainReport, console: Console, rows: int, folder: Path) -> None:
    """Print what contributes most, at the highest level of each measure, and what added positions change.

    Parameters
    ----------
    rows : int
        Lines of a table; the others are added up.
    folder : Path
        Where the files are.
    """
    if not console.is_terminal:
        console.width = max(console.width, _WIDE)  # a file or a pipe has no edge to wrap at
    record = report.record
    shown = list(
        {each["measure"]: each for each in sorted(record["measures"], key=lambda m: float(m["level"]))}.values()
    )
    said = ", ".join(f"{_title(m)} {_number(m['value'], m['stderr'])} +- {_digits(m['stderr'] or 0.0)}" for m in shown)
    console.print(f"{report.account}: {said} {report.currency}", style="bold", markup=False, highlight=False)
    for by, heading in _OVER.items():
        columns = [
            {
                line.name: line
                for line in report.lines
                if (line.measure, line.level, line.by) == (m["measure"], m["level"], by)
            }
            for m in shown
        ]
        if not columns[0]:
            continue
        table = Table(box=SIMPLE_HEAD)
        table.add_column(heading, no_wrap=True)
        for m in shown:
            table.add_column(_title(m), justify="right", no_wrap=True)
            table.add_column("standard error", justify="right", style="dim", no_wrap=True)
            table.add_column("share", justify="right", no_wrap=True)
        lead = columns[-1]
        order = sorted(lead, key=lambda name: -abs(lead[name].value))
        for name in order[:rows]:
            table.add_row(escape(name) or "cash", *(cell for column in columns for cell in _cells(column[name])))
        if rest := order[rows:]:
            sums = (sum(column[name].value for name in rest) for column in columns)
            cells = (cell for value in sums for cell in (_digits(value), "", ""))
            table.add_row(f"{len(rest)} others", *cells, style="dim")
        console.print(table)
    if report.increments:
        _show_increments(report, console)
    for note in report.notes:
        console.print(f"note: {note}", style="yellow", markup=False, highlight=False, soft_wrap=True)
    console.print(f"results: {folder}", highlight=False, markup=False, soft_wrap=True)


def _show_increments(report: ExplainReport, console: Console) -> None:
    table = Table(box=SIMPLE_HEAD)
    for name in ("added", "measure"):
        table.add_column(name, no_wrap=True)
    for name in ("for one more", "standard error", "before", "after", "change"):
        table.add_column(name, justify="right", no_wrap=True, style="dim" if name == "standard error" else None)
    for each in report.increments:
        table.add_row(
            escape(f"{each.instrument}:{each.quantity:g}"),
            f"{NAMES[each.measure]} {100 * each.level:g} %",
            *("" if v is None else _digits(v) for v in (each.marginal, each.stderr)),
            *("unknown" if v is None else _digits(v) for v in (each.before, each.after, each.incremental)),
        )
    console.print(table)


def _title(measure: dict[str, float]) -> str:
    return f"{NAMES[str(measure['measure'])]} {100 * float(measure['level']):g} %"


def _cells(line: Contribution) -> tuple[str, str, str]:
    error = "" if line.stderr is None else _number(line.stderr, line.stderr)
    return _number(line.value, line.stderr), error, "" if line.share is None else f"{100 * line.share:.1f} %"


def _digits(value: float) -> str:
    """Six of them, or all before the point."""
    return _number(value, 1e-4 * abs(value))


def _number(value: float, error: float | None) -> str:
    """Digits down to a tenth of the standard error."""
    least = max(error or 0.0, 1e-9 * abs(value))
    if least == 0 or abs(value) >= 1e12:
        return f"{value:,.6g}"
    return f"{value:,.{min(12, max(0, 1 - floor(log10(least))))}f}"
