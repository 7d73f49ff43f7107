"""What a comparison says, in words made of its numbers; and what the two methods differ in by construction."""

from __future__ import annotations

from html import escape

import numpy as np

from mcvar.jobs.compare import Comparison
from mcvar.pages.page import name, number, percent
from mcvar.reports.comparison import ComparisonReport
from mcvar.scan.comparison.groups import ALL, Group

BY_CONSTRUCTION = (
    ("Between the points of the grid", "a scan takes the worst of a few points. A short butterfly or a short straddle "
     "can lose most at a price that is none of them, and the margin jumps when another point becomes the worst."),
    ("Far out of the money", "short options that are worth little at every regular point are covered by the extreme "
     "moves alone, of which a part counts, and by the short option minimum. Monte Carlo sees how likely those moves "
     "are."),
    ("Calendar spreads", "one price scenario moves all months alike, so the risk that months move apart is in spread "
     "charges, which are per spread and do not know the contract's own volatility."),
    ("Correlation", "losses of different commodities are added, as if all had their worst day at once, and then "
     "credits are given at fixed rates. Monte Carlo adds them scenario by scenario: it nets more where moves are "
     "independent, and it does not keep a credit where the moves that earned it break apart."),
    ("Exchange rates", "a scan converts the loss of a contract at today's rate. In the simulation the rate moves, too: "
     "a loss in coins that comes with a fall of the coin is worth less in another currency, and one that comes with "
     "a rise is worth more."),
    ("Volatility", "in a scan it moves up or down by one amount whatever the price does. Simulated volatilities move "
     "with prices, and differently for short and long expiries."),
)  # fmt: skip


def discussion(report: ComparisonReport, found: Comparison) -> list[str]:
    """Paragraphs of HTML about one engine beside Monte Carlo."""
    every, kinds = found.groups[0], found.groups[1:]
    if every.coverage is None:
        return ["<p>No account is known on both sides: there is nothing to say.</p>"]
    said = [_overall(every)]
    if kinds:
        said.append(_by_kind(kinds, report.record["currency"]))
    if found.compared.under.any():
        said.append(_least_covered(report, found))
    said += [each for each in (_scenarios(found), _rank(every), _netting(every)) if each]
    return [f"<p>{each}</p>" for each in said]


def _overall(every: Group) -> str:
    coverage, target = every.coverage or 0.0, every.target
    low, high = every.coverage_low or 0.0, every.coverage_high or 1.0
    how = "as often as is aimed at, within the Monte Carlo error"
    if high < target:
        how = f"<strong>less often than the {_level(target)} that are aimed at</strong>"
    elif low > target:
        how = f"more often than the {_level(target)} that are aimed at"
    within = every.accounts - every.under - every.over
    return (
        f"Over all {every.accounts:,} accounts the margins of {name(every.engine)} cover the simulated loss in "
        f"{percent(coverage, 4)} of the scenarios, {how}. The margin is below VaR by more than its error for "
        f"{every.under:,} accounts, above it for {every.over:,}, and for {within:,} the difference is within the "
        f"error. The middle account has {number(every.ratio, 3)} times its VaR."
    )


def _by_kind(kinds: list[Group], currency: str) -> str:
    known = [group for group in kinds if group.coverage is not None]
    short = [group for group in known if (group.coverage_high or 0.0) < group.target]
    said = "Every kind of book is covered as aimed at or better, or within the error of it."
    if short:
        short.sort(key=lambda group: group.coverage or 0.0)
        each = ", ".join(f"{name(g.kind)} ({percent(g.coverage, 4)})" for g in short)
        said = f"Covered less than is aimed at: {each}."
    worst = max(known, key=lambda group: group.under_amount)
    most = max(known, key=lambda group: group.over_amount)
    if worst.under_amount > 0:
        said += (
            f" Most is missing in {name(worst.kind)}: {number(worst.under_amount)} {escape(currency)} in all, "
            f"{percent(worst.under_amount / worst.var) if worst.var > 0 else '–'} of its VaR."
        )
    if most.over_amount > 0:
        said += f" Most is held beyond VaR in {name(most.kind)}: {number(most.over_amount)} {escape(currency)}."
    return said


def _least_covered(report: ComparisonReport, found: Comparison) -> str:
    compared = found.compared
    rows = np.flatnonzero(compared.under)
    order = rows[np.argsort(-compared.exceed_probability[rows], kind="stable")][:3].tolist()
    each = [
        f"{name(report.account[r])} (exceeded in {percent(float(compared.exceed_probability[r]))} of the scenarios, "
        f"then by {number(float(compared.expected_shortfall_beyond[r]))} {escape(report.currency[r])} on average, and "
        f"by {number(float(compared.worst_shortfall[r]))} at worst)"
        for r in order
    ]
    return f"Covered least: {'; '.join(each)}."


def _scenarios(found: Comparison) -> str:
    numbers = found.compared.scans.worst_scenario[found.compared.known]
    numbers = numbers[numbers > 0]
    if not len(numbers):
        return ""
    numbered, counts = np.unique(numbers, return_counts=True)
    order = np.argsort(-counts, kind="stable")[:4]
    each = ", ".join(f"{numbered[i]} ({counts[i]:,} accounts)" for i in order)
    return f"The scenarios that decide most margins, by the largest scan risk of each account, are number {each}."


def _rank(every: Group) -> str:
    if every.rank is None:
        return ""
    ends = f" ({number(every.rank_low, 3)} .. {number(every.rank_high, 3)})" if every.rank_low is not None else ""
    how = "the two put accounts in nearly the same order"
    if every.rank < 0.95:
        how = "they mostly agree on which accounts are the riskier" if every.rank >= 0.8 else (
            "<strong>they do not agree on which accounts are the riskier</strong>"
        )  # fmt: skip
    return f"Spearman's rank correlation of the two is {number(every.rank, 3)}{ends}: {how}."


def _netting(every: Group) -> str:
    scan, var = every.netting_scan, every.netting_var
    if scan is None or var is None:
        return ""
    more = "the margin nets less" if scan < var else "the margin nets more"
    return (
        f"Margined one by one, the positions of an account would take {number(scan, 3)} times its margin, and "
        f"{number(var, 3)} times its VaR: {more}."
    )


def _level(target: float) -> str:
    return f"{100 * target:g} %"


def named(kind: str) -> str:
    """A group, for people."""
    return "all accounts" if kind == ALL else name(kind)
