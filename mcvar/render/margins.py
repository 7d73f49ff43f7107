"""Scan margins on a terminal: the accounts that must pay most, and the steps of those that were asked for."""

from __future__ import annotations

from pathlib import Path

import numpy as np
from rich.box import SIMPLE_HEAD
from rich.console import Console
from rich.table import Table

from mcvar.pages.page import NONE, number
from mcvar.render.text import name
from mcvar.reports.margins import MarginReport

_WIDE = 160
_ALL = 110  # columns from which all steps are shown
_ALWAYS = ("scan", "requirement")
_NAME = 40


def show_margins(report: MarginReport, console: Console, rows: int, folder: Path) -> None:
    """Print the largest requirements with their steps, the breakdowns, and the notes."""
    if not console.is_terminal:
        console.width = max(console.width, _WIDE)  # a file or a pipe has no edge to wrap at
    record = report.record
    table = Table(box=SIMPLE_HEAD, title=_title(report), title_justify="left", title_style="bold")
    kinds, currencies = any(report.kind), len(set(report.currency)) > 1
    wide = console.width >= _ALL
    steps = [step for step, each in report.steps.items() if step in _ALWAYS or (wide and np.any(each))]
    table.add_column("account", max_width=_NAME)
    if kinds:
        table.add_column("kind", max_width=_NAME)
    for head in ("scenario", *steps):
        table.add_column(head.replace("_", " "), justify="right", no_wrap=True)
    if currencies:
        table.add_column("", no_wrap=True)
    largest = report.worth * np.asarray(report.steps["requirement"], dtype=np.float64)
    for r in np.argsort(-largest, kind="stable")[:rows].tolist():
        table.add_row(
            name(report.account[r]), *([name(report.kind[r])] if kinds else []),
            str(report.worst[r]) if report.worst[r] else NONE,
            *(number(float(np.asarray(report.steps[step])[r])) for step in steps),
            *([name(report.currency[r])] if currencies else []),
        )  # fmt: skip
    console.print(table)
    if (more := len(report.account) - rows) > 0:
        console.print(f"{more:,} more in margins.parquet", highlight=False)
    for each in report.breakdowns:
        console.print("\n" + each, highlight=False, markup=False, soft_wrap=True)
    for note in report.notes:
        console.print(f"note: {note}", style="yellow", markup=False, highlight=False, soft_wrap=True)
    console.print(
        f"{record['accounts']:,} accounts, {record['positions']:,} positions in {record['instruments']:,} contracts, "
        f"margins in {record['timings']['margin_seconds']:.2f} s: {record['timings']['total_seconds']:.1f} s with "
        "reading and pricing",
        highlight=False,
    )
    console.print(f"results: {folder}", highlight=False, markup=False, soft_wrap=True)


def _title(report: MarginReport) -> str:
    record = report.record
    unit = f" in {report.currency[0]}" if len(set(report.currency)) == 1 else ""
    return f"{record['scan']['name']} margins{unit} at {record['valuation'][:16]}Z, the largest first"
