"""The pictures of a comparison: ratios in log-log, coverage by kind of book, distributions of losses."""

from __future__ import annotations

from collections.abc import Sequence
from math import ceil, floor, log10

import numpy as np
from numpy.typing import NDArray

from mcvar.jobs.compare import Comparison
from mcvar.pages.page import number, percent
from mcvar.pages.svg import Scale, axes, box, breadth, cut, line, mark, short, svg, text
from mcvar.reports.comparison import ComparisonReport
from mcvar.scan.comparison.compare import Compared
from mcvar.scan.comparison.groups import ALL, UNNAMED, Group

Floats = NDArray[np.float64]
POINTS = 2_000  # that a scatter shows, at most
_BINS = 60
_FAR = 2.0  # of what else is drawn: where a margin is no longer on the picture
_NAME = 220.0  # pixels of a kind's name, at most
_ENGINE = 120.0
_LEGEND = 24  # kinds that a legend has room for
_RATIOS = ((0.5, "½ ×"), (1.0, "1 ×"), (2.0, "2 ×"))


def scatter(report: ComparisonReport, found: Compared) -> tuple[str, str]:
    """Margins over VaR, both logarithmic, each kind in its colour and shape; and what is not shown.

    All in the currency of the run: accounts in several are one picture.
    """
    worth, currency = report.worth, report.record["currency"]
    var, scan, low_var, high_var = (
        worth * each for each in (found.var.value, found.scans.scan, found.var.low, found.var.high)
    )
    shown = np.flatnonzero(found.known & (var > 0) & (scan > 0))
    hidden = int(found.known.sum()) - len(shown)
    said = [f"{hidden} accounts without a positive VaR and margin are not on it"] if hidden else []
    if len(shown) > POINTS:  # those that differ most, and some of all others
        order = shown[np.argsort(-np.abs(np.log(scan[shown] / var[shown])), kind="stable")]
        rest = order[POINTS // 2 :]
        said.append(f"{POINTS:,} of {len(shown):,} accounts are shown, those that differ most among them")
        shown = np.sort(np.concatenate([order[: POINTS // 2], rest[:: -(-len(rest) // (POINTS // 2))]]))
    if not len(shown):
        return "", "; ".join(said)
    both = np.concatenate([var[shown], scan[shown]])
    low, high = (10 ** (step(4 * log10(float(end))) / 4) for step, end in ((floor, both.min()), (ceil, both.max())))
    if high <= low:
        low, high = low / 2, high * 2
    x, y = Scale(low, high, 70, 590, log=True), Scale(low, high, 550, 30, log=True)
    level = f"{100 * found.level:g} %"
    parts = axes(x, y, f"Monte Carlo VaR {level}, {currency}", f"margin, {currency}")
    for times, name in _RATIOS:
        first, last = max(low, low / times), min(high, high / times)
        if first < last:
            dash = "" if times == 1 else "4 4"
            parts.append(line(x(first), y(first * times), x(last), y(last * times), "soft", dash=dash))
            beside = times < 1  # the line ends at the right edge, else at the upper one
            near = (x(last) + 6, y(last * times) + 4.5) if beside else (x(last), y(last * times) - 8)
            parts.append(text(*near, name, anchor="start" if beside else "middle", soft=True))
    kinds = _kinds(report.kind)
    for r in shown.tolist():
        title = (
            f"{report.account[r]}: VaR {number(var[r])} ({number(low_var[r])} .. {number(high_var[r])}), margin "
            f"{number(scan[r])} {currency}, ratio {number(found.ratio[r], 3)}, exceeded in "
            f"{percent(found.exceed_probability[r])} of the scenarios"
        )
        at = y(float(scan[r]))
        if low_var[r] > 0 and x(float(high_var[r])) - x(float(low_var[r])) > 4:
            parts.append(line(x(float(low_var[r])), at, x(float(high_var[r])), at, "soft"))
        parts.append(mark(x(float(var[r])), at, kinds[report.kind[r] or UNNAMED], title))
    legend = list(kinds)[:_LEGEND] if len(kinds) > 1 else []
    for place, name in enumerate(legend):
        parts += [mark(642, 40 + 22 * place, kinds[name], size=5), text(656, 44.5 + 22 * place, name, room=_NAME)]
    if legend and len(kinds) > _LEGEND:
        parts.append(text(656, 44.5 + 22 * _LEGEND, f"and {len(kinds) - _LEGEND} more", soft=True))
    label = f"Margin over VaR of {len(shown)} accounts on logarithmic axes, with lines for ratios of 0.5, 1 and 2"
    wide = min(max(map(breadth, [*legend, "and 99 more"])), _NAME)
    return svg(round(640 + (30 + wide if legend else 0)), 600, label, parts), "; ".join(said)


def coverage(groups: Sequence[Group]) -> str:
    """Bars of how often the margins of each kind are exceeded, beside what is aimed at."""
    shown = [group for group in groups if group.coverage is not None]
    if not shown:
        return ""
    target = 1 - shown[0].target
    names = ["all accounts" if group.kind == ALL else _counted(group) for group in shown]
    left = 24 + max(map(breadth, names))
    most = max(target * 1.5, *(1 - (group.coverage_low or 0.0) for group in shown))
    x = Scale(0.0, 1.05 * most, left, left + 400)
    height = 34 * len(shown)
    parts = []
    for at, (group, name) in enumerate(zip(shown, names, strict=True)):
        y = 14 + 34 * at
        miss = 1 - (group.coverage or 0.0)
        low, high = 1 - (group.coverage_high or 0.0), 1 - (group.coverage_low or 0.0)
        parts.append(text(left - 10, y + 14.5, name, anchor="end"))
        parts.append(box(left, y, x(miss) - left, 20, "bad" if low > target else "bar"))
        parts += [line(x(low), y + 10, x(high), y + 10, "ink", width=1.5)]
        parts += [line(x(end), y + 6, x(end), y + 14, "ink", width=1.5) for end in (low, high)]
        said = f"covers {100 * (group.coverage or 0.0):.4g} %"
        parts.append(text(max(x(high), x(target)) + 8, y + 14.5, said))
    parts.append(line(x(target), 4, x(target), height + 16, "scan", width=2, dash="6 4"))
    ticks = x.ticks()
    scale = Scale(0.0, 1.0, height + 16, 4)
    parts += axes(x, scale, "share of scenarios whose loss is greater than the margin; dashes: what is aimed at", "",
                  ([f"{100 * tick:.4g} %" for tick in ticks], [""] * len(scale.ticks())))  # fmt: skip
    label = "; ".join(f"{name}: margins cover {percent(g.coverage, 4)}" for g, name in zip(shown, names, strict=True))
    return svg(round(left + 400 + 150), height + 72, f"Coverage by kind of book. {label}", parts)


def distribution(report: ComparisonReport, r: int, comparisons: Sequence[Comparison]) -> str:
    """How often which loss was simulated, with VaR, its interval, ES and the margin of each engine; a legend below."""
    loss, found = report.drawn[r], comparisons[0].compared
    var, es = found.var, found.es
    least, most = (float(end) for end in np.quantile(loss, [0.0005, 1.0]))
    most = max([most, *(float(v) for v in (es.high[r], var.high[r], es.value[r]) if np.isfinite(v))])
    margins = [(each.compared.scans.engine, float(each.compared.scans.scan[r])) for each in comparisons]
    reach = most + _FAR * (most - least)
    most = max([most, *(m for _, m in margins if np.isfinite(m) and m <= reach)])
    pad = 0.03 * (most - least) or max(abs(most), 1.0)
    x = Scale(least - pad, most + pad, 84, 510)
    edges = np.linspace(x.low, x.high, _BINS + 1)
    share = np.histogram(np.clip(loss, x.low, x.high), edges)[0] / len(loss)
    floor_at = 0.5 / len(loss)
    y = Scale(floor_at, 10 ** (log10(float(share.max())) + 0.1), 250, 16, log=True)
    parts = []
    for value, start, stop in zip(share, edges[:-1], edges[1:], strict=True):
        if value > 0:
            parts.append(box(x(start) + 0.4, y(value), x(stop) - x(start) - 0.8, y.start - y(value), "bar"))
    if np.isfinite(var.low[r]) and np.isfinite(var.high[r]):
        low, high = x(float(var.low[r])), x(float(var.high[r]))
        parts.append(box(low, 16, max(high - low, 1.0), 234, "band"))
    level = f"{100 * found.level:g} %"
    legend = [("var", "", f"VaR {level}: {_with(var.value[r], var.low[r], var.high[r])}")]
    legend.append(("es", "2 3", f"ES {level}: {_with(es.value[r], es.low[r], es.high[r])}"))
    parts.append(line(x(float(var.value[r])), 16, x(float(var.value[r])), 250, "var", width=2))
    parts.append(line(x(float(es.value[r])), 16, x(float(es.value[r])), 250, "es", width=2, dash="2 3"))
    beyond = []
    for at, (engine, margin) in enumerate(margins):
        if not np.isfinite(margin):
            continue
        dash, said = ("9 4", "9 4 2 4", "14 4")[at % 3], f"{cut(engine, _ENGINE)}: {number(margin)}"
        if margin > x.high:
            there = f"{cut(engine, _ENGINE)} {short(float(f'{margin:.3g}'))} →"
            beyond.append(text(x.stop - 8, 30 + 18 * at, there, anchor="end"))
        else:
            parts.append(line(x(margin), 16, x(margin), 250, "scan", width=2, dash=dash))
        chance = found.exceed_probability[r] if at == 0 else comparisons[at].compared.exceed_probability[r]
        legend.append(("scan", dash, f"{said}, exceeded in {percent(float(chance))}"))
    parts += beyond + axes(
        x, y, f"simulated loss, {report.currency[r]}", "share of the scenarios",
        ((), [f"{100 * tick:.3g} %" for tick in y.ticks()]),
    )  # fmt: skip
    for at, (colour, dash, said) in enumerate(legend):
        parts.append(line(84, 316 + 20 * at, 112, 316 + 20 * at, colour, width=3, dash=dash))
        parts.append(text(120, 320.5 + 20 * at, said))
    label = f"Distribution of the simulated loss of {report.account[r]}; " + "; ".join(said for _, _, said in legend)
    return svg(520, 320 + 20 * len(legend), label, parts)


def _with(value: float, low: float, high: float) -> str:
    return f"{number(value)} ({number(low)} .. {number(high)})"


def _counted(group: Group) -> str:
    """The name of a kind, as long as there is room, and how many accounts it has."""
    count = f" ({group.accounts:,})"
    return cut(group.kind, _NAME - breadth(count)) + count


def _kinds(kinds: Sequence[str]) -> dict[str, int]:
    return {name: at for at, name in enumerate(dict.fromkeys(kind or UNNAMED for kind in kinds))}
