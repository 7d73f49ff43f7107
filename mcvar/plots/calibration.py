"""The picture of a calibration: coverage beside nominal, and errors over the number of scenarios."""

from __future__ import annotations

from collections.abc import Sequence
from itertools import pairwise
from pathlib import Path

import numpy as np
from matplotlib.axes import Axes
from matplotlib.backends.backend_agg import FigureCanvasAgg
from matplotlib.figure import Figure
from matplotlib.ticker import FixedLocator, FuncFormatter, NullFormatter, NullLocator

from mcvar.jobs.calibrate import Line
from mcvar.render.run import NAMES
from mcvar.reports.calibration import CalibrationReport

_INK, _GRID = "#1f2933", "#e4e7eb"
_COLOURS = {
    "plain": "#1f2933", "control_variate": "#1f6feb", "sobol": "#c2410c", "stratified": "#15803d",
    "importance": "#7e22ce",
}  # fmt: skip
_MARKERS = {"order": "o", "asymptotic": "s", "sections": "D", "bootstrap": "^"}
_BESIDE = 0.08  # between points of the same number of scenarios at most, in the logarithm
_ERRORS = 2.0  # standard errors that bars reach


def pictures(report: CalibrationReport) -> Figure:
    """A row a measure and level: on the left coverage, on the right relative errors with their fitted slopes."""
    measures = report.measures
    figure = Figure(figsize=(11.0, 2.9 * len(measures) + 1.1), layout="constrained")
    FigureCanvasAgg(figure)
    panels = figure.subplots(len(measures), 2, squeeze=False, sharex="col")
    for left in panels[1:, 0]:
        left.sharey(panels[0, 0])
    for (left, right), (measure, level) in zip(panels, measures, strict=True):
        lines = [line for line in report.lines if (line.measure, line.level) == (measure, level)]
        _coverage(left, lines)
        _errors(right, lines, report)
        left.set_ylabel(f"{NAMES[measure]} {100 * level:g} %", fontsize=11, color=_INK)
    panels[0, 0].set_title(f"coverage (bars: {_ERRORS:g} standard errors), nominal (dashes)", fontsize=10, color=_INK)
    panels[0, 1].set_title("relative error, and the slope of its fall", fontsize=10, color=_INK)
    for panel in panels[-1]:
        panel.set_xlabel("scenarios", fontsize=9)
    handles, labels = panels[0, 0].get_legend_handles_labels()
    figure.legend(handles, labels, loc="outside lower center", ncols=min(len(labels), 4), fontsize=9, frameon=False)
    record = report.record
    figure.suptitle(
        f"{record['repetitions']} repetitions, {len(record['accounts'])} accounts, true values from "
        f"{record['truth']['scenarios']:,} scenarios",
        color=_INK,
        fontsize=11,
    )
    return figure


def save(report: CalibrationReport, path: Path) -> None:
    """Write the picture as the suffix of `path` says, without a time stamp in it."""
    metadata = {"Date": None} if path.suffix == ".svg" else {}
    pictures(report).savefig(path, dpi=150, metadata=metadata)


def _coverage(panel: Axes, lines: Sequence[Line]) -> None:
    """Coverage of each scheme and interval, side by side at each number of scenarios."""
    series = list(dict.fromkeys((line.scheme, line.interval) for line in lines))
    counts = sorted({line.scenarios for line in lines})
    between = [np.log(b / a) for a, b in pairwise(counts)]
    step = min([_BESIDE, *(0.7 * gap / len(series) for gap in between)])
    for at, (scheme, interval) in enumerate(series):
        own = [x for x in lines if (x.scheme, x.interval) == (scheme, interval) and x.coverage is not None]
        x = np.array([line.scenarios for line in own]) * np.exp(step * (at - (len(series) - 1) / 2))
        y = 100 * np.array([line.coverage for line in own], dtype=float)
        bars = _ERRORS * 100 * np.array([line.coverage_stderr for line in own], dtype=float)
        colour = _COLOURS.get(scheme, _INK)
        panel.errorbar(
            x, y, yerr=[np.minimum(bars, y), np.minimum(bars, 100 - y)], fmt=_MARKERS.get(interval, "o"), color=colour,
            markersize=5, capsize=2.5, elinewidth=1.2, label=f"{scheme}, {interval}",
        )  # fmt: skip
        nominal = 100 * np.array([line.nominal for line in own])
        panel.hlines(
            nominal, x * np.exp(-0.45 * step), x * np.exp(0.45 * step), color=colour, linewidth=1.6, alpha=0.55
        )
    panel.yaxis.set_major_formatter(FuncFormatter(lambda p, _: f"{p:g} %"))
    _over_scenarios(panel, lines)


def _errors(panel: Axes, lines: Sequence[Line], report: CalibrationReport) -> None:
    """The error of each scheme, which is that of all of its intervals, and the fitted line."""
    for scheme in dict.fromkeys(line.scheme for line in lines):
        own = {x.scenarios: x.relative_error for x in lines if x.scheme == scheme and x.relative_error}
        if not own:
            continue
        colour = _COLOURS.get(scheme, _INK)
        at = (lines[0].measure, lines[0].level)
        slope = next((s for s in report.slopes if s.scheme == scheme and (s.measure, s.level) == at), None)
        label = scheme if slope is None else f"{scheme}: {slope.slope:.2f} $\\pm$ {slope.stderr:.2f}"
        panel.plot(list(own), list(own.values()), "o", color=colour, markersize=5, label=label)
        if slope is not None:
            ends = np.array([min(own), max(own)], dtype=float)
            panel.plot(ends, np.exp(slope.scale) * ends**slope.slope, color=colour, linewidth=1.2)
    panel.set_yscale("log")
    panel.yaxis.set_major_formatter(FuncFormatter(lambda p, _: f"{100 * p:g} %"))
    if panel.lines:
        panel.legend(fontsize=8, frameon=False, loc="center left", bbox_to_anchor=(1.0, 0.5))
    _over_scenarios(panel, lines)


def _over_scenarios(panel: Axes, lines: Sequence[Line]) -> None:
    """A logarithmic axis of scenarios, marked where there are some."""
    counts = sorted({line.scenarios for line in lines})
    panel.set_xscale("log")
    panel.set_xlim(counts[0] / 1.6, counts[-1] * 1.6)
    panel.xaxis.set_major_locator(FixedLocator(counts))
    panel.xaxis.set_major_formatter(FuncFormatter(lambda x, _: f"{x:,.0f}"))
    panel.xaxis.set_minor_locator(NullLocator())
    panel.xaxis.set_minor_formatter(NullFormatter())
    panel.grid(axis="y", color=_GRID, linewidth=0.8)
    panel.set_axisbelow(True)
    panel.tick_params(labelsize=8)
    panel.spines[["top", "right"]].set_visible(False)
