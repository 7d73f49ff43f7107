"""The page of a comparison: what was compared, what differs and where, with pictures; it stands alone."""

from __future__ import annotations

from html import escape
from pathlib import Path

from mcvar.jobs.compare import DRAWN, Comparison
from mcvar.pages.discussion import BY_CONSTRUCTION, discussion, named
from mcvar.pages.page import NONE, name, number, page, percent, printable, share, shortened, span, table, tiles
from mcvar.pages.pictures import coverage, distribution, scatter
from mcvar.pages.svg import short
from mcvar.reports.comparison import ComparisonReport
from mcvar.scan.comparison.compare import Compared
from mcvar.scan.times import days

ROWS = 300  # accounts of a table, at most


def comparison_page(report: ComparisonReport) -> str:
    """The page as HTML text.

    Examples
    --------
    >>> from dataclasses import replace
    >>> from mcvar.config import CompareJob, Config, SampleBook, SimulatedScenarios
    >>> from mcvar.reports.comparison_request import find_comparison
    >>> few = Config(book=SampleBook(accounts=5), scenarios=SimulatedScenarios(count=2_000))
    >>> page = comparison_page(find_comparison(replace(few, job=CompareJob(ranges=False, netting=False))))
    >>> page.splitlines()[0], "<h1>Margins beside Monte Carlo: span16, 2018-12-28</h1>" in page
    ('<!DOCTYPE html>', True)
    """
    record = report.record
    engines = [each.compared.scans.engine for each in report.comparisons]
    whose = f" of {record['comparison']['name']}" if record["comparison"]["name"] else ""
    sides = ", ".join(shortened(each) for each in engines)
    title = printable(f"Margins beside Monte Carlo: {sides}{whose}, {record['valuation'][:10]}")
    body = [f"<h1>{escape(title)}</h1>", _subtitle(report)]
    for each, engine in zip(report.comparisons, engines, strict=True):
        if len(engines) > 1:
            body.append(f"<h2>{name(engine)}</h2>")
        body += _engine(report, each, "h3" if len(engines) > 1 else "h2")
    body += _distributions(report)
    body += _construction()
    body += [part for each in report.comparisons for part in _accounts(report, each.compared, len(engines) > 1)]
    return page(title, [*body, *_method(report)])


def save(report: ComparisonReport, path: Path) -> None:
    """Write the page."""
    path.write_text(comparison_page(report), encoding="utf-8")


def _subtitle(report: ComparisonReport) -> str:
    record = report.record
    length = days(record["horizon"]["variance_years"])
    passing = "time passing" if record["horizon"]["decay_years"] else "no time passing"
    said = (
        f"Losses of {len(report.account):,} accounts over {length} from "
        f"{record['valuation'][:16]}Z, {passing}, in {record['currency']}; {record['scenarios']:,} simulated "
        f"scenarios, every instrument revalued in full."
    )
    return f'<p class="soft">{escape(said)}</p>'


def _engine(report: ComparisonReport, found: Comparison, head: str) -> list[str]:
    every, currency = found.groups[0], escape(report.record["currency"])
    within = every.accounts - every.under - every.over
    reach = share(every.coverage_low, every.coverage_high)
    body = [
        tiles([
            (f"{percent(every.coverage, 4)}", f"of simulated losses covered, aimed at {100 * every.target:g} %{reach}"),
            (f"{every.under:,}", f"of {every.accounts:,} accounts margined below VaR by more than its error"),
            (f"{within:,}", "within the Monte Carlo error of VaR"),
            (f"{every.over:,}", "margined above VaR by more than its error"),
            (_money(every.under_amount), f"{currency} missing to VaR, over all accounts"),
            (_money(every.over_amount), f"{currency} held beyond VaR, over all accounts"),
            (number(every.ratio, 3), "margin / VaR of the middle account"),
            (number(every.rank, 3), f"rank correlation{span(every.rank_low, every.rank_high, 3)}"),
        ]),
        f"<{head}>What it says</{head}>",
        *discussion(report, found),
    ]  # fmt: skip
    picture, left_out = scatter(report, found.compared)
    if picture:
        said = (
            "Each point is an account; above the line its margin is more than VaR, below it less. Point at one for its "
            "numbers." + (f" {left_out}." if left_out else "")
        )
        body += [f"<{head}>Margin over VaR</{head}>", _figure(picture, escape(said))]
    body += [
        f"<{head}>Coverage by kind of book</{head}>",
        _figure(coverage(found.groups), "How often the simulated loss is greater than the margin, the mean over the "
                "accounts. Whiskers: the Monte Carlo error, as if all accounts were exceeded together. Red: more "
                "often than is aimed at, beyond that error."),
        _kinds(found, currency),
    ]  # fmt: skip
    if found.solutions:
        body += [f"<{head}>Which scan ranges would do</{head}>", *_ranges(found)]
    return body


def _kinds(found: Comparison, currency: str) -> str:
    rows = [
        [
            named(g.kind), f"{g.accounts:,}", percent(g.coverage, 4), f"{g.covered:,}", f"{g.under:,}", f"{g.over:,}",
            _money(g.under_amount), _money(g.over_amount), number(g.ratio, 3),
            number(g.rank, 3), number(g.netting_scan, 3), number(g.netting_var, 3),
        ]
        for g in found.groups
    ]  # fmt: skip
    heads = [
        "kind of book", "accounts", "coverage", "reach it", "below VaR", "above VaR", f"missing, {currency}",
        f"beyond, {currency}", "margin / VaR", "rank correlation", "margin nets", "VaR nets",
    ]  # fmt: skip
    caption = (
        "Reach it: accounts whose own coverage is what is aimed at, or more. Below, above VaR: by more than its "
        "error. Margin / VaR: of the middle account. Nets: what the positions would have alone over what the accounts "
        "have."
    )
    return table(heads, rows, caption=caption)


def _ranges(found: Comparison) -> list[str]:
    rows = []
    for kind in dict.fromkeys(each.kind for each in found.solutions):
        cells = [named(kind)]
        for axis in ("price", "volatility"):
            each = next(x for x in found.solutions if (x.kind, x.axis) == (kind, axis))
            cells.append(
                f'<span class="soft">none: {escape(each.reason)}</span>' if each.multiple is None
                else f"{number(each.multiple, 3)} ×{span(each.low, each.high, 3)}"
            )  # fmt: skip
        rows.append(cells)
    target = f"{100 * found.compared.level:g} %"
    return [
        f"<p>Multiples of the given scan ranges at which the margins would cover {target} of the simulated losses: one "
        "range at a time, the other as given. Solved on the engine itself; the numbers beside are multiples of which "
        f"one covers less than {target} and the other as much or more.</p>",
        table(["kind of book", "price scan range", "volatility scan range"], rows),
    ]


def _distributions(report: ComparisonReport) -> list[str]:
    if not report.drawn:
        return []
    figures = []
    for r in report.drawn:
        kind = f" ({name(report.kind[r])})" if report.kind[r] else ""
        picture = distribution(report, r, report.comparisons)
        figures.append(f"<figure><h3>{name(report.account[r])}{kind}</h3>{picture}</figure>")
    first = min(int(report.record["scenarios"]), DRAWN)
    part = f"The first {first:,} scenarios are drawn. " if first < report.record["scenarios"] else ""
    return [
        "<h2>Distributions of losses</h2>",
        f'<p>Loss = -P&amp;L: what is to the right of the margin is not covered by it. {part}The shares are on a '
        "logarithmic scale, so that the tail can be seen; the band is the interval of VaR.</p>",
        f'<div class="pair">{"".join(figures)}</div>',
    ]  # fmt: skip


def _construction() -> list[str]:
    items = "".join(f"<li><strong>{head}</strong>: {said}</li>" for head, said in BY_CONSTRUCTION)
    return ["<h2>Where the two differ by construction</h2>", f"<ul>{items}</ul>"]


def _accounts(report: ComparisonReport, found: Compared, several: bool) -> list[str]:
    order = found.order
    rows = [_account(report, found, r) for r in order[:ROWS].tolist()]
    level = f"{100 * found.level:g} %"
    unit = f", {escape(report.unit)}" if report.unit else ""
    heads = [
        "account", *_currency(report, "currency"), "margin is", f"margin{unit}", "scenario", f"VaR {level}",
        f"ES {level}", "margin / VaR", "exceeded in", "then by, mean", "at worst",
    ]  # fmt: skip
    rest = f"; the first {ROWS:,} of {len(order):,}, all are in comparison.parquet" if len(order) > ROWS else ""
    sure = f"{100 * found.confidence:g} %"
    caption = f"Those first whose margin is exceeded most often{rest}. Ranges are {sure} intervals of the simulation."
    title = f"Accounts: {name(found.scans.engine)}" if several else "Accounts"
    return [f"<h2>{title}</h2>", table(heads, rows, names=len(heads) - 8, caption=caption)]


def _currency(report: ComparisonReport, said: str) -> list[str]:
    """A cell of accounts in several currencies; of one, the heads name it."""
    return [] if report.unit else [escape(said)]


def _account(report: ComparisonReport, found: Compared, r: int) -> list[str]:
    scans = found.scans
    verdict = found.verdict(r) or NONE
    if found.under[r]:
        verdict = f'<span class="bad">{verdict}</span>'
    return [
        name(report.account[r]) + (f' <span class="soft">{name(report.kind[r])}</span>' if report.kind[r] else ""),
        *_currency(report, report.currency[r]), verdict, number(scans.scan[r]),
        str(scans.worst_scenario[r]) if scans.worst_scenario[r] else NONE,
        number(found.var.value[r]) + span(found.var.low[r], found.var.high[r]),
        number(found.es.value[r]),
        number(found.ratio[r], 3) + span(found.ratio_low[r], found.ratio_high[r], 3),
        percent(found.exceed_probability[r]) + share(found.exceed_low[r], found.exceed_high[r]),
        number(found.expected_shortfall_beyond[r]), number(found.worst_shortfall[r]),
    ]  # fmt: skip


def _method(report: ComparisonReport) -> list[str]:
    record = report.record
    level = f"{100 * report.comparisons[0].compared.level:g} %"
    said = [
        "Margin: the risk component, all that is to cover losses, before net option value. Of SPAN that is scan risk "
        "with charges and credits, or the short option minimum; of other grids the initial margin with contingencies.",
        f"VaR and ES: of the simulated loss at level {level}, with the intervals of the run.",
        "Coverage: the probability under the simulated law that the loss is not greater than the margin; each "
        "account's has an exact binomial interval (Clopper and Pearson 1934). Rank correlation: Spearman's, interval "
        "by Bonett and Wright (2000).",
        "Missing and beyond: sums of max(VaR - margin, 0) and max(margin - VaR, 0).",
        "Both sides have one horizon, time decay and currency; the simulated law is a model, and so is what it says of "
        "margins.",
    ]
    settings = record.get("configuration", {})
    model = settings.get("model", {}).get("type", "") if isinstance(settings, dict) else ""
    made = [
        ("mcvar", record.get("mcvar")), ("made", record.get("created")), ("law", model), ("seed", record.get("seed")),
        ("configuration", str(record.get("configuration_sha256", ""))[:16]),
    ]  # fmt: skip
    known = "; ".join(f"{what} {value}" for what, value in made if value not in (None, ""))
    notes = [f"<li>{escape(note)}</li>" for note in report.notes]
    return [
        "<h2>Method</h2>",
        "<ul>" + "".join(f"<li>{each}</li>" for each in said) + "</ul>",
        *(["<h3>Notes</h3>", f"<ul>{''.join(notes)}</ul>"] if notes else []),
        f'<p class="soft small">{escape(known)}</p>',
    ]


def _figure(picture: str, caption: str) -> str:
    return f'<figure><div class="wide">{picture}</div><figcaption>{caption}</figcaption></figure>'


def _money(value: float) -> str:
    return short(float(f"{value:.3g}")) if abs(value) >= 1e4 else number(value)
