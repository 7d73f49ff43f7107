"""A comparison on a terminal: kinds of book, and the accounts whose margins are exceeded most often."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

import numpy as np
from rich.box import SIMPLE_HEAD
from rich.console import Console
from rich.table import Table
from rich.text import Text

from mcvar.jobs.compare import Comparison
from mcvar.pages.page import NONE, number, percent, printable, shortened
from mcvar.render.text import name
from mcvar.reports.comparison import ComparisonReport
from mcvar.scan.comparison.compare import Compared
from mcvar.scan.comparison.groups import ALL

_FULL, _WIDE = 100, 170  # columns that amounts take, too; that kinds, intervals and what is netted take, too
_NAME = 32  # columns of a name, at most
_Heads = Sequence[tuple[str, int]]  # with the console's width from which on they are shown


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
            f"{shortened(printable(compared.scans.engine))} beside Monte Carlo at {100 * compared.level:g} %, "
            f"{compared.scenarios:,} scenarios, {report.record['currency']}",
            style="bold", markup=False, highlight=False,
        )  # fmt: skip
        console.print(_kinds(each, console.width))
        for line in _ranges(each):
            console.print(line, markup=False, highlight=False, soft_wrap=True)
        if rows:
            console.print(_accounts(report, compared, rows, console.width))
        left = len(report.account) - rows
        if rows and left > 0:
            console.print(f"{left} more accounts are in the files", style="dim")
    for note in report.notes:
        console.print(f"note: {note}", style="yellow", markup=False, highlight=False, soft_wrap=True)
    if folder is not None:
        console.print(f"results: {folder}", highlight=False, markup=False, soft_wrap=True)


def _kinds(found: Comparison, width: int) -> Table:
    heads = [
        ("kind", 0), ("accounts", 0), ("coverage", 0), ("below VaR", 0), ("above VaR", 0), ("missing", _FULL),
        ("beyond", _FULL), ("margin / VaR", 0), ("rank", _WIDE), ("margin nets", _WIDE), ("VaR nets", _WIDE),
    ]  # fmt: skip
    rows: list[list[str | Text]] = []
    for g in found.groups:
        short = g.coverage_high is not None and g.coverage_high < g.target
        rows.append([
            name("all accounts" if g.kind == ALL else g.kind), f"{g.accounts:,}",
            Text(percent(g.coverage, 4), style="bold red" if short else ""), f"{g.under:,}", f"{g.over:,}",
            number(g.under_amount), number(g.over_amount), number(g.ratio, 3), number(g.rank, 3),
            number(g.netting_scan, 3), number(g.netting_var, 3),
        ])  # fmt: skip
    return _table(heads, rows, width, names=1, first=1)


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


def _accounts(report: ComparisonReport, found: Compared, rows: int, width: int) -> Table:
    sure = (f"{100 * found.confidence:g} % interval", _WIDE)
    unit = f", {report.unit}" if report.unit else ""
    heads = [
        ("account", 0), ("kind", _WIDE), *([] if unit else [("in", 0)]), (f"margin{unit}", 0),
        (f"VaR {100 * found.level:g} %", 0), sure, ("margin / VaR", 0), sure, ("exceeded in", 0), sure,
        ("then by", _FULL), ("at worst", _FULL), ("margin is", 0),
    ]  # fmt: skip
    lines: list[list[str | Text]] = []
    for r in found.order[:rows].tolist():
        verdict = Text(found.verdict(r) or NONE, style="bold red" if found.under[r] else "")
        lines.append([
            name(report.account[r]), name(report.kind[r]), *([] if unit else [name(report.currency[r])]),
            number(found.scans.scan[r]), number(found.var.value[r]), _ends(found.var.low[r], found.var.high[r]),
            number(found.ratio[r], 3), _ends(found.ratio_low[r], found.ratio_high[r], 3),
            percent(found.exceed_probability[r]), _ends(100 * found.exceed_low[r], 100 * found.exceed_high[r], 3),
            number(found.expected_shortfall_beyond[r]), number(found.worst_shortfall[r]), verdict,
        ])  # fmt: skip
    return _table(heads, lines, width, names=3 - bool(unit))


def _table(heads: _Heads, rows: Sequence[Sequence[str | Text]], width: int, *, names: int, first: int = 0) -> Table:
    """The columns that there is room for; the first `names` are text. A line stands below the `first` rows."""
    table = Table(box=SIMPLE_HEAD, padding=(0, 1, 0, 0))
    shown = [at for at, (_, least) in enumerate(heads) if width >= least]
    for at in shown:
        head, is_name = heads[at][0], at < names
        table.add_column(
            head, justify="left" if is_name else "right", max_width=_NAME if is_name else None, no_wrap=not is_name,
            style="dim" if "interval" in head else None,
        )  # fmt: skip
    for at, row in enumerate(rows, 1):
        table.add_row(*(row[each] for each in shown), end_section=at == first)
    return table


def _ends(low: float, high: float, digits: int = 4) -> str:
    if np.isnan(low) and np.isnan(high):
        return NONE
    return f"{number(low, digits)} .. {number(high, digits)}"
