"""Fitted parameters, simulated moves and sensitivities on a terminal."""

from __future__ import annotations

import os
from pathlib import Path

from rich.box import SIMPLE_HEAD
from rich.console import Console
from rich.table import Table

from mcvar.jobs.greeks import NAMES
from mcvar.reports.fit import FitReport
from mcvar.reports.greeks import GreeksReport
from mcvar.reports.moves import MovesReport

_WIDE = 160
_SHOWN = ("mean", "std", "skewness", "kurtosis", "q0.01", "q0.99", "minimum_q0.01", "maximum_q0.99", "average")


def show_fit(report: FitReport, console: Console, folder: Path) -> None:
    """Print parameters, standard errors, notes, and how to use the model file."""
    _widen(console)
    table = Table(box=SIMPLE_HEAD, title=f"{report.record['model']}, fitted", title_justify="left", title_style="bold")
    table.add_column("parameter", no_wrap=True)
    table.add_column("value", justify="right", no_wrap=True)
    table.add_column("standard error", justify="right", style="dim", no_wrap=True)
    for name, value, error in report.rows():
        shown = f"{value:.5g}" if isinstance(value, float | int) else str(value)
        table.add_row(name, shown, "" if error is None else f"{error:.2g}")
    console.print(table)
    _notes(report.notes, console)
    folder = Path(os.path.relpath(folder)) if folder.is_relative_to(Path.cwd()) else folder
    console.print(f"model file: {folder / 'model' / report.name}.yaml", highlight=False, markup=False, soft_wrap=True)
    console.print(
        f"use it: mcvar --config-dir {folder} model={report.name}", highlight=False, markup=False, soft_wrap=True
    )


def show_moves(report: MovesReport, console: Console, folder: Path) -> None:
    """Print moments, quantiles and path statistics of each factor."""
    _widen(console)
    record = report.record
    title = f"Moves over {365 * record['horizon']['variance_years']:g} days in {record['steps']} steps"
    table = Table(box=SIMPLE_HEAD, title=title, title_justify="left", title_style="bold")
    table.add_column("factor", no_wrap=True)
    for name in _SHOWN:
        table.add_column(name.replace("_", " "), justify="right", no_wrap=True)
    columns = report.moves.columns
    for f, name in enumerate(report.market.factors.name):
        still = columns["std"][f] == 0.0  # a volatility that a variance moves instead
        table.add_row(name, *("" if still else f"{columns[c][f]:.4g}" for c in _SHOWN))
    console.print(table)
    _notes(report.notes, console)
    console.print(f"{record['scenarios']:,} scenarios in {record['timings']['total_seconds']:.1f} s", highlight=False)
    console.print(f"results: {folder}", highlight=False, markup=False, soft_wrap=True)


def show_greeks(report: GreeksReport, console: Console, rows: int, folder: Path) -> None:
    """Print the sensitivities of the first accounts."""
    _widen(console)
    title = f"Sensitivities at {report.record['valuation']} in {report.market.currency}, by account and underlying"
    table = Table(box=SIMPLE_HEAD, title=title, title_justify="left", title_style="bold")
    for name in ("account", "underlying"):
        table.add_column(name, no_wrap=True)
    for name in NAMES:
        table.add_column(name, justify="right", no_wrap=True)
    found = report.greeks
    for at in range(min(rows, len(found.row))):
        table.add_row(found.row[at], found.underlying[at], *(f"{found.account[name][at]:,.2f}" for name in NAMES))
    console.print(table)
    if len(found.row) > rows:
        console.print(f"{len(found.row) - rows} more in account_greeks.parquet", highlight=False)
    _notes(report.notes, console)
    console.print(f"results: {folder}", highlight=False, markup=False, soft_wrap=True)


def _widen(console: Console) -> None:
    if not console.is_terminal:
        console.width = max(console.width, _WIDE)  # a file or a pipe has no edge to wrap at


def _notes(notes: tuple[str, ...], console: Console) -> None:
    for note in notes:
        console.print(f"note: {note}", style="yellow", markup=False, highlight=False, soft_wrap=True)
