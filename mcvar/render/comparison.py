"""A comparison on a terminal: kinds of book, and the accounts whose margins are exceeded most often."""

from __future__ import annotations

from pathlib import Path

import numpy as np
from rich.box import SIMPLE_HEAD
from rich.console import Console
from rich.markup import escape
from rich.table import Table
from rich.text import Text

from mcvar.jobs.compare import Comparison
from mcvar.pages.page import NONE, number, percent
from mcvar.reports.comparison import ComparisonReport
from mcvar.scan.compare import Compared
from mcvar.scan.compare_groups import ALL

_WIDE = 170  # columns that kinds, intervals and what is netted take, too


def show_comparison(report: ComparisonReport, console: Console, *, rows: int, folder: Path | None = None) -> None:
    """Print the kinds of book, the ranges that would do, and the accounts that are covered least.

    Parameters
    ----------
    rows : int
        Accounts shown of each engine.
    folder : Path, optional
        Where the files are.
    """
    if not console.is_terminal:
        console.width = max(console.width, 2 * _WIDE)  # a file or a pipe has no edge to wrap at
    for each in report.comparisons:
        compared = each.compared
        console.print(
            f"{compared.scans.engine} beside Monte Carlo at {100 * compared.level:g} %, {compared.scenarios:,} "
            f"scenarios, {report.record['currency']}",
            style="bold", markup=False, highlight=False,
        )  # fmt: skip
        wide = console.width >= _WIDE
        console.print(_kinds(each, wide=wide))
        for line in _ranges(each):
            console.print(line, markup=False, highlight=False, soft_wrap=True)
        if rows:
            console.print(_accounts(report, compared, rows, wide=wide))
        left = len(report.account) - rows
        if rows and left > 0:
            console.print(f"{left} more accounts are in the files", style="dim")
    for note in report.notes:
        console.print(f"note: {note}", style="yellow", markup=False, highlight=False, soft_wrap=True)
    if folder is not None:
        console.print(f"results: {folder}", highlight=False, markup=False, soft_wrap=True)


def _kinds(found: Comparison, *, wide: bool) -> Table:
    table = Table(box=SIMPLE_HEAD, padding=(0, 1, 0, 0))
    table.add_column("kind", no_wrap=True)
    heads = ["accounts", "coverage", "below VaR", "above VaR", "missing", "beyond", "scan / VaR"]
    for head in [*heads, *(["rank", "scan nets", "VaR nets"] if wide else [])]:
        table.add_column(head, justify="right", no_wrap=True)
    for at, g in enumerate(found.groups):
        short = g.coverage_high is not None and g.coverage_high < g.target
        further = [number(each, 3) for each in (g.rank, g.netting_scan, g.netting_var)]
        table.add_row(
            "all accounts" if g.kind == ALL else escape(g.kind), f"{g.accounts:,}",
            Text(percent(g.coverage, 4), style="bold red" if short else ""), f"{g.under:,}", f"{g.over:,}",
            number(g.under_amount), number(g.over_amount), number(g.ratio, 3), *(further if wide else []),
            end_section=at == 0,
        )  # fmt: skip
    return table


def _ranges(found: Comparison) -> list[str]:
    """For all accounts together: a line a range."""
    said = []
    for each in found.solutions:
        if each.kind != found.groups[0].kind:
            continue
        what = f"{100 * found.compared.level:g} % coverage at the other range as given"
        if each.multiple is None:
            said.append(f"{each.axis} scan range: none gives {what}: {each.reason}")
        else:
            said.append(
                f"{each.axis} scan range: {number(each.multiple, 3)} times it gives {what} "
                f"({number(each.low, 3)} .. {number(each.high, 3)})"
            )
    return said


def _accounts(report: ComparisonReport, found: Compared, rows: int, *, wide: bool) -> Table:
    table = Table(box=SIMPLE_HEAD, padding=(0, 1, 0, 0))
    for head in ("account", "kind") if wide else ("account",):
        table.add_column(head, no_wrap=True)
    sure = f"{100 * found.confidence:g} % interval"
    between = [sure] if wide else []
    level = f"VaR {100 * found.level:g} %"
    for head in (
        "scan",
        level,
        *between,
        "scan / VaR",
        *between,
        "exceeded in",
        *between,
        "then by",
        "at worst",
        "scan is",
    ):
        table.add_column(head, justify="right", no_wrap=True, style="dim" if head == sure else None)
    chance = np.where(np.isnan(found.exceed_probability), -1.0, found.exceed_probability)
    ratio = np.where(np.isnan(found.ratio), np.inf, found.ratio)
    for r in np.lexsort((ratio, -chance))[:rows].tolist():
        verdict = Text("within error")
        if np.isnan(found.beyond_error[r]):
            verdict = Text(NONE)
        elif found.under[r]:
            verdict = Text("below VaR", style="bold red")
        elif found.over[r]:
            verdict = Text("above VaR")
        ends = (
            _ends(found.var.low[r], found.var.high[r]), _ends(found.ratio_low[r], found.ratio_high[r], 3),
            _ends(100 * found.exceed_low[r], 100 * found.exceed_high[r], 3),
        )  # fmt: skip
        values = number(found.var.value[r]), number(found.ratio[r], 3), percent(found.exceed_probability[r])
        table.add_row(
            escape(report.account[r]), *([escape(report.kind[r])] if wide else []), number(found.scans.scan[r]),
            *(cell for pair in zip(values, ends, strict=True) for cell in (pair if wide else pair[:1])),
            number(found.expected_shortfall_beyond[r]), number(found.worst_shortfall[r]), verdict,
        )  # fmt: skip
    return table


def _ends(low: float, high: float, digits: int = 4) -> str:
    if np.isnan(low) and np.isnan(high):
        return NONE
    return f"{number(low, digits)} .. {number(high, digits)}"
