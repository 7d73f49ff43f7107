"""The picture: the loss tail of the worst accounts, with VaR, ES and their intervals."""

from __future__ import annotations

import warnings
from pathlib import Path

import numpy as np
from matplotlib.axes import Axes
from matplotlib.backends.backend_agg import FigureCanvasAgg
from matplotlib.figure import Figure
from matplotlib.ticker import FuncFormatter, MaxNLocator

from mcvar.render.run import NAMES
from mcvar.report import Report

_INK, _VAR, _ES, _GRID = "#1f2933", "#1f6feb", "#c2410c", "#e4e7eb"


def loss_tails(report: Report) -> Figure:
    """One panel for each of the worst accounts: how likely a loss is to be exceeded.

    The curve is the empirical survival function of the loss, on a logarithmic scale; VaR is where
    it crosses 1 - level, with the interval of order statistics; ES is the mean beyond.
    """
    rows = list(report.result.drawn)
    columns = min(2, max(1, len(rows)))
    lines = -(-max(1, len(rows)) // columns)
    figure = Figure(figsize=(5.2 * columns, 3.5 * lines + 0.6), layout="constrained")
    FigureCanvasAgg(figure)
    panels = figure.subplots(lines, columns, squeeze=False).ravel()
    for panel, r in zip(panels, rows, strict=False):
        _panel(panel, report, r)
    if rows:
        panels[0].legend(fontsize=7, frameon=False, loc="lower left")
    for panel in panels[len(rows) :]:
        panel.set_axis_off()
    days = 365 * report.record["horizon"]["variance_years"]
    figure.suptitle(
        f"Loss over {days:g} day{'s' if days != 1 else ''} from {report.record['valuation'][:10]}, "
        f"{report.record['scenarios']:,} scenarios",
        color=_INK,
        fontsize=11,
    )
    return figure


def save(report: Report, path: Path) -> None:
    """Write the picture as the suffix of `path` says, without a time stamp in it."""
    metadata = {"Date": None} if path.suffix == ".svg" else {}
    with warnings.catch_warnings():
        warnings.filterwarnings("ignore", "Glyph .* missing", UserWarning)  # a name that the font cannot draw
        loss_tails(report).savefig(path, dpi=150, metadata=metadata)


def _panel(panel: Axes, report: Report, r: int) -> None:
    tail = report.result.drawn[r]
    loss, count = tail.loss[0], tail.count
    shown = np.unique(np.geomspace(1, len(loss), 600).astype(int)) - 1  # enough for the eye, light as SVG
    beyond = np.arange(1.0, len(loss) + 1) if tail.weight is None else np.cumsum(tail.weight[0])
    panel.step(
        loss[shown],
        beyond[shown] / count,
        where="post",
        color=_INK,
        linewidth=1.4,
        label="probability of a larger loss",
    )
    for measure, colour, marker in (("var", _VAR, "o"), ("es", _ES, "D")):
        for at, estimate in enumerate(e for e in report.result.estimates if e.measure == measure):
            chance = 1 - (estimate.level or 0)
            low, value, high = estimate.low[r], estimate.value[r], estimate.high[r]
            label = f"{NAMES[measure]} with {100 * estimate.confidence:.10g} % interval" if at == 0 else None
            error = [[value - low], [high - value]]
            panel.errorbar(
                value, chance, xerr=error, fmt=marker, color=colour, markersize=5, capsize=4, elinewidth=2, label=label
            )
            if measure == "var":
                panel.axhline(chance, color=_GRID, linewidth=0.8, zorder=0)
                level = f" {100 * (estimate.level or 0):g} %"
                panel.text(
                    1.0, chance, level, transform=panel.get_yaxis_transform(), va="center", fontsize=8, color=_INK
                )
    panel.set_yscale("log")
    panel.yaxis.set_major_formatter(FuncFormatter(lambda p, _: f"{100 * p:g} %"))
    panel.xaxis.set_major_locator(MaxNLocator(5))
    panel.xaxis.set_major_formatter(FuncFormatter(lambda x, _: f"{x:,.0f}" if abs(x) >= 100 else f"{x:g}"))
    kind = report.book.kind[r]
    panel.set_title(report.book.row[r] + (f" ({kind})" if kind else ""), fontsize=10, color=_INK, parse_math=False)
    panel.set_xlabel(f"loss, {report.book.currency[r]}", fontsize=9)
    panel.tick_params(labelsize=8)
    panel.spines[["top", "right"]].set_visible(False)
