"""The report on a terminal: the worst accounts with their intervals, the speed, the notes."""

from __future__ import annotations

from collections.abc import Mapping
from math import floor, isnan, log10
from pathlib import Path
from typing import Any

import numpy as np
from rich.box import SIMPLE_HEAD
from rich.console import Console
from rich.markup import escape
from rich.table import Table

from mcvar.measures import Estimate
from mcvar.report import Report

NAMES = {"var": "VaR", "es": "ES", "mean": "mean", "std": "std"}
_FURTHER = {"var_upper": "VaR below", "es_upper": "ES below", "var_pareto": "VaR Pareto", "es_pareto": "ES Pareto"}
_WIDE = 120  # columns that the whole table takes


def show(report: Report, console: Console, *, rows: int, folder: Path | None = None) -> None:
    """Print the worst accounts, their parents, the netted book, and what the run was.

    Parameters
    ----------
    rows : int
        Accounts shown, and at most half as many parents.
    folder : Path, optional
        Where the files are.
    """
    record, book = report.record, report.book
    if not console.is_terminal:
        console.width = max(console.width, 4 * _WIDE)  # a file or a pipe has no edge to wrap at
    wide = console.width >= _WIDE
    var, es, std = report.estimate("var"), report.estimate("es"), report.estimate("std")
    kinds, currencies = wide and any(book.kind), len(set(book.currency)) > 1
    table = Table(box=SIMPLE_HEAD, title=_title(report), title_justify="left", title_style="bold", padding=0)
    table.add_column("account", no_wrap=True)
    if kinds:
        table.add_column("kind", no_wrap=True)
    for estimate in (var, es):
        table.add_column(f"{NAMES[estimate.measure]} {100 * (estimate.level or 0):g} %", justify="right", no_wrap=True)
        table.add_column(f"{100 * estimate.confidence:.10g} % interval", justify="right", style="dim", no_wrap=True)
    asked = {estimate.measure for estimate in report.result.estimates}
    further = [report.estimate(measure) for measure in _FURTHER if wide and measure in asked]
    for estimate in further:
        sure = f", {100 * estimate.confidence:.10g} %" if estimate.measure.endswith("_upper") else ""
        table.add_column(_FURTHER[estimate.measure] + sure, justify="right", no_wrap=True)
    if wide:
        table.add_column("std", justify="right", no_wrap=True)
    if currencies:
        table.add_column("", no_wrap=True)
    worst = report.worst_rows(len(book.row))
    accounts = [r for r in worst if r < book.accounts][:rows]
    parents = [r for r in worst if r >= book.accounts][: rows // 2]
    netted = len(book.row) - 1
    measured = int((~np.isnan(var.value)).sum())
    for section in (accounts, parents, [netted] if not isnan(var.value[netted]) else []):
        for r in section:
            cells = [escape(book.row[r])]
            if kinds:
                cells.append(escape(book.kind[r]))
            for estimate in (var, es):
                cells += [_number(estimate.value[r], estimate, r), _interval(estimate, r, wide=wide)]
            cells += [_number(estimate.value[r], estimate, r) for estimate in further]
            if wide:
                cells.append(_number(std.value[r], std, r))
            if currencies:
                cells.append(book.currency[r])
            table.add_row(*cells, end_section=r == section[-1])
    console.print(table)
    left_out = sum(r < netted for r in report.result.rows) - len(accounts + parents)
    said = ["* is the netted P&L of all accounts"] if netted in report.result.rows else []
    said += [f"{left_out} more rows are in the files"] if left_out else []
    said += [f"{len(book.row) - measured} rows are not measured"] if measured < len(book.row) else []
    if said:
        console.print("; ".join(said), style="dim")
    for note in report.notes:
        console.print(f"note: {note}", style="yellow", markup=False, highlight=False, soft_wrap=True)
    if record["until"] is not None and record["until"]["reached"]:
        console.print(_precise(record["until"]), highlight=False, soft_wrap=True)
    seconds, total = record["timings"]["simulation_seconds"], record["timings"]["total_seconds"]
    engine, scenarios = record["engine"], record["scenarios"]
    speed = scenarios * record["instruments"] / seconds / 1e6
    console.print(
        f"{scenarios:,} scenarios x {record['instruments']:,} instruments in {seconds:.1f} s: "
        f"{scenarios / seconds:,.0f} scenarios/s, {speed:,.1f} M revaluations/s "
        f"({engine['name']}, {engine['workers']} workers); {total:.1f} s with reading the inputs",
        highlight=False,
        soft_wrap=True,
    )
    if folder is not None:
        console.print(f"results: {folder}", highlight=False, markup=False, soft_wrap=True)


def _precise(until: Mapping[str, Any]) -> str:
    """What a run that stopped by itself reached."""
    last, looks = until["looks"][-1], len(until["looks"])
    whom = "all accounts" if last["met"] == 1 else f"{100 * last['met']:.4g} % of the accounts"
    return (
        f"VaR {100 * until['level']:g} % is known within {100 * until['precision']:g} % for {whom} after "
        f"{last['scenarios']:,} scenarios, look {looks}"
    )


def _title(report: Report) -> str:
    record = report.record
    days = 365 * record["horizon"]["variance_years"]
    return f"Loss over {days:g} day{'s' if days != 1 else ''} in {record['currency']}, from {record['valuation'][:16]}Z"


def _interval(estimate: Estimate, r: int, *, wide: bool) -> str:
    low, value, high = estimate.low[r], estimate.value[r], estimate.high[r]
    if wide or value == 0 or isnan(low) or isnan(high):
        return f"{_number(low, estimate, r)} .. {_number(high, estimate, r)}"
    return f"{100 * (low - value) / abs(value):+.1f} % {100 * (high - value) / abs(value):+.1f} %"


def _number(value: float, estimate: Estimate, r: int) -> str:
    """Digits down to a tenth of the standard error, so that no figure pretends to know more."""
    if isnan(value):
        return "-"
    error = float(np.nan_to_num(estimate.stderr[r]))  # a limit has none
    error = max(error, (1e-4 if isnan(estimate.stderr[r]) else 1e-9) * abs(value))
    if error == 0 or abs(value) >= 1e12:
        return f"{value:,.6g}"
    return f"{value:,.{min(12, max(0, 1 - floor(log10(error))))}f}"
