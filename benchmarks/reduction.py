"""How many scenarios the samplings save: variances of VaR 99 % and ES 97.5 %, plain over reduced, at equal N.

    python benchmarks/reduction.py [--repetitions N] [--scenarios N] [--json FILE] [--markdown FILE]

Of the delta-gamma methods (`mcvar.reduction`), Sobol points and strata (`mcvar.sampling`). Ten names with volatilities
of 20 to 40 % and correlations of 0.3; four accounts with at-the-money options of half a year or of 0.1 years: long
calls, short straddles, call spreads 100/105, and short calls hedged with stock; 0.04 years ahead, under normal moves
and t moves of 5 degrees of freedom. Each scheme runs `repetitions` times with seeds of its own; the range of a factor
is 95 % of the F law. Values are compared with those of the plain runs. Prints one JSON object and a table.

With --bumps, what the size of the bumps does instead, before any fit: the share of the variance of the loss that the
quadratic explains, and the factor of a post-stratification by it, with 200,000 scenarios.
"""

from __future__ import annotations

import argparse
import json
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray
from scipy.special import ndtr
from scipy.stats import f as f_law

from mcvar import Book, Columns, Gaussian, Market, Reference, Simulated, Tail, book, correlation, market
from mcvar.book import take_rows
from mcvar.models import StudentT
from mcvar.models.law import Law
from mcvar.provenance import provenance
from mcvar.reduction import (
    BUMPS,
    Elliptical,
    Expansion,
    Partition,
    QuadraticLaw,
    Strata,
    Twist,
    best,
    expand,
    refitted,
    shares,
    stratify,
    twist,
    weighted,
)
from mcvar.sampling import Plain, Quasi, Sampling
from mcvar.sampling import Strata as Stratified

Floats = NDArray[np.float64]
VALUATION = np.datetime64("2026-01-02", "us")
HORIZON = 0.04
NAMES = 10
ACCOUNTS = ("directional", "straddle", "spread", "hedged")
MEASURES = (("var", 0.99), ("es", 0.975))
MODELS = {"normal": Gaussian(), "t(5)": StudentT(5.0)}
STRATA = 50
PILOT = 8192  # scenarios that choose between bumps, and that the quadratics are fitted to
# Of each scheme: the least factor that is wanted, for which measures, for which accounts, and for how many of these.
WANTED: dict[str, tuple[float, tuple[str, ...], tuple[str, ...], int]] = {
    "control variate": (5.0, ("var", "es"), ("directional", "straddle", "spread"), 3),
    "importance sampling": (10.0, ("var", "es"), ACCOUNTS, 3),
    "sobol": (1.5, ("var",), ACCOUNTS, 3),
}
SIZES = (0.05, 1.0, 2.0, 2.5, 3.0, 3.5, 4.0, 5.0)  # of bumps


@dataclass(frozen=True)
class Case:
    """A book under a law, and what is known of its losses before any scenario."""

    market: Market
    book: Book
    law: Law
    loss: Expansion
    partition: Partition
    twists: tuple[tuple[Twist, Partition], ...]  # of each account, with strata of equal probability

    @classmethod
    def of(cls, model: Gaussian | StudentT, years: float, count: int, bumps: Sequence[float] = BUMPS) -> Case:
        """The four accounts, with options of so many years."""
        at, held = make_book(years)
        law = model.law(at, HORIZON, np.zeros(NAMES))
        moves = Elliptical.of(law)
        made = [expand(lambda given: Reference(at, held, given, HORIZON), moves.deviation, bump=b) for b in bumps]
        pilot = Simulated(law, PILOT, 2**63)
        x, pnl = pilot.moves(0, PILOT), Reference(at, held, pilot, HORIZON).pnl(0, PILOT)
        found = best(made, x, pnl, MEASURES[0][1])
        loss = (refitted(found, x, pnl, MEASURES[0][1]) if len(bumps) > 1 else found).loss
        levels = [level for _, level in MEASURES]
        partition = Partition.of(QuadraticLaw.of(loss, moves), shares(levels, count), levels)
        twists = []
        for row in range(len(ACCOUNTS)):
            alone = loss.take(np.array([row]))
            twisted = twist(law, alone, max(levels))
            there = QuadraticLaw.of(alone, Elliptical.of(twisted.law))
            twists.append((twisted, Partition.of(there, np.arange(1, STRATA) / STRATA)))
        return cls(at, held, law, loss, partition, tuple(twists))

    def tail(self, scenarios: Simulated, row: int | None = None) -> Tail:
        """All losses of every account, or of one."""
        held = self.book if row is None else take_rows(self.book, np.array([row]))
        loss = -Reference(self.market, held, scenarios, HORIZON).pnl(0, scenarios.count)
        return Tail.of(loss, 0, scenarios.count)


def make_book(years: float) -> tuple[Market, Book]:
    """The market, and the book without its netted row."""
    names = [f"S{n}" for n in range(NAMES)]
    volatility = np.linspace(0.2, 0.4, NAMES)
    factors, annual = market.read_factors(
        Columns.of(
            "factors",
            factor=names,
            kind=["price"] * NAMES,
            level=[100.0] * NAMES,
            volatility=volatility.tolist(),
        )
    )
    at = market.build(
        factors=factors,
        volatility=annual,
        estimate=correlation.constant(NAMES, 0.3),
        valuation=VALUATION,
        currency="USD",
    )
    expiry = str(VALUATION + np.timedelta64(round(years * 365 * 86400e6), "us"))
    rows: list[tuple[Any, ...]] = []
    held: list[tuple[str, str, float]] = []
    for n, name in enumerate(names):
        rows.append((name, "spot", name, "", np.nan, "", np.nan))
        for way, strike in (("call", 100.0), ("put", 100.0), ("call", 105.0)):
            rows.append((f"{name} {way} {strike:g}", "option", name, way, strike, expiry, volatility[n]))
        size = 10.0 * (1 + n % 3)
        call, put, higher = (f"{name} {terms}" for terms in ("call 100", "put 100", "call 105"))
        held += [("directional", call, size), ("straddle", call, -size), ("straddle", put, -size)]
        held += [("spread", call, size), ("spread", higher, -size)]
        delta = float(ndtr(0.5 * volatility[n] * np.sqrt(years)))
        held += [("hedged", call, -size), ("hedged", name, size * delta)]
    columns = ("instrument", "kind", "underlying", "option_type", "strike", "expiry", "volatility")
    instruments = Columns.from_mapping(
        "instruments", dict(zip(columns, map(list, zip(*rows, strict=True)), strict=True))
    )
    account, instrument, quantity = (list(column) for column in zip(*held, strict=True))
    positions = Columns.of("positions", account=account, instrument=instrument, quantity=quantity)
    return at, take_rows(book.resolve(instruments, positions, at), np.arange(len(ACCOUNTS)))


def read(tail: Tail, weight: Floats | float = 1.0, strata: Strata | None = None) -> Floats:
    """Values of the measures, [rows, measures]."""
    parts = {"var": weighted.value_at_risk, "es": weighted.expected_shortfall}
    return np.stack([parts[name](tail, weight, level, 0.95, strata).value for name, level in MEASURES], axis=1)


def drawn(case: Case, count: int, seed: int, *, sampling: Sampling) -> Floats:
    """Scenarios that weigh alike."""
    return read(case.tail(Simulated(case.law, count, seed, sampling)))


def control(case: Case, count: int, seed: int) -> Floats:
    """Post-stratified by each account's own quadratic."""
    scenarios = Simulated(case.law, count, seed)
    tail = case.tail(scenarios)
    return read(tail, 1.0, stratify(case.loss, case.partition, scenarios, tail))


def twisted(case: Case, count: int, seed: int, *, stratified: bool = False) -> Floats:
    """Each account under a law of its own; `stratified`: post-stratified, too, in strata of equal probability."""
    found = np.empty((len(ACCOUNTS), len(MEASURES)))
    for row, (made, partition) in enumerate(case.twists):
        scenarios = made.scenarios(Simulated(case.law, count, seed))
        tail = case.tail(scenarios, row)
        strata = None
        if stratified:
            strata = stratify(case.loss.take(np.array([row])), partition, scenarios, tail)
        found[row] = read(tail, made.at(scenarios, tail.scenario), strata)[0]
    return found


Scheme = Callable[[Case, int, int], Floats]
PLAIN: Scheme = partial(drawn, sampling=Plain())
SCHEMES: dict[str, Scheme] = {
    "control variate": control,
    "importance sampling": twisted,
    "both": partial(twisted, stratified=True),
    "sobol": partial(drawn, sampling=Quasi(16)),
    "stratified": partial(drawn, sampling=Stratified(64)),
}


def compare(case: Case, repetitions: int, count: int) -> Iterator[dict[str, Any]]:
    """Factors of each scheme, account and measure."""
    base = np.stack([PLAIN(case, count, 1 + n) for n in range(repetitions)])
    range_ = f_law.ppf([0.975, 0.025], repetitions - 1, repetitions - 1)
    for at, (name, scheme) in enumerate(SCHEMES.items(), 1):
        found = np.stack([scheme(case, count, 1 + n + at * repetitions) for n in range(repetitions)])
        factor = base.var(axis=0, ddof=1) / found.var(axis=0, ddof=1)
        error = np.sqrt((base.var(axis=0, ddof=1) + found.var(axis=0, ddof=1)) / repetitions)
        difference = (found.mean(axis=0) - base.mean(axis=0)) / error
        for row, account in enumerate(ACCOUNTS):
            for m, (measure, level) in enumerate(MEASURES):
                ends = (factor[row, m] / range_).round(2).tolist()
                yield {
                    "scheme": name, "account": account, "measure": measure, "level": level,
                    "factor": round(float(factor[row, m]), 2), "low": ends[0], "high": ends[1],
                    "wanted": wanted(name, account, measure),
                    "value": round(float(found[:, row, m].mean()), 2),
                    "difference_in_standard_errors": round(float(difference[row, m]), 2),
                }  # fmt: skip


def wanted(scheme: str, account: str, measure: str) -> float | None:
    """The least factor that is wanted there."""
    least, measures, accounts, _ = WANTED.get(scheme, (None, (), (), 0))
    return least if measure in measures and account in accounts else None


def bumps() -> list[str]:
    """A row of a table for each size of the bumps."""
    lines = ["| model | years | bump | " + " | ".join(ACCOUNTS) + " |", "|---|--:|--:|" + "--:|" * len(ACCOUNTS)]
    count, groups = 200_000, 1000
    for model in MODELS:
        for years in (0.5, 0.1):
            for bump in SIZES:
                case = Case.of(MODELS[model], years, count, [bump])
                scenarios = Simulated(case.law, count, 1)
                loss = -Reference(case.market, case.book, scenarios, HORIZON).pnl(0, count)
                cells = []
                for own, q in zip(loss, case.loss(scenarios.moves(0, count)), strict=True):
                    beyond = own > np.quantile(own, 0.99)
                    share = beyond[np.argsort(q)].reshape(groups, -1).mean(axis=1)
                    factor = 0.01 * 0.99 / np.mean(share * (1 - share))
                    cells.append(f"{np.corrcoef(own, q)[0, 1] ** 2:.4f}, {factor:.1f}")
                lines.append(f"| {model} | {years} | {bump:g} | " + " | ".join(cells) + " |")
    return lines


def table(found: list[dict[str, Any]]) -> str:
    """Factors of VaR / ES, in bold where less than is wanted; then of how many accounts what is wanted is reached."""
    names = list(dict.fromkeys(each["scheme"] for each in found))
    lines = [f"| moves | years | account | {' | '.join(names)} |", "|---|--:|---|" + "--:|" * len(names)]
    at = {tuple(each[k] for k in ("model", "years", "account", "scheme", "measure")): each for each in found}
    cases = list(dict.fromkeys((each["model"], each["years"]) for each in found))
    for model, years in cases:
        for account in ACCOUNTS:
            cells = [" / ".join(_cell(at[model, years, account, n, m]) for m, _ in MEASURES) for n in names]
            lines.append(f"| {model} | {years:g} | {account} | {' | '.join(cells)} |")
    lines += ["", f"| wanted | {' | '.join(f'{model}, {years:g}' for model, years in cases)} |"]
    lines += ["|---|" + "--:|" * len(cases)]
    for scheme, (least, measures, accounts, enough) in WANTED.items():
        of = " and ".join({"var": "VaR", "es": "ES"}[m] for m in measures)
        cells = []
        for model, years in cases:
            kept = sum(all(at[model, years, a, scheme, m]["factor"] >= least for m in measures) for a in accounts)
            cells.append(f"{kept}" if kept >= enough else f"**{kept}**")
        lines.append(f"| {scheme}: {least:g} for {of}, {enough} of {len(accounts)} accounts | {' | '.join(cells)} |")
    return "\n".join(lines) + "\n"


def _cell(found: dict[str, Any]) -> str:
    said = f"{found['factor']:.{1 if found['factor'] < 20 else 0}f}"
    return f"**{said}**" if found["wanted"] is not None and found["factor"] < found["wanted"] else said


def main() -> None:
    """Run the schemes and print what they save."""
    parser = argparse.ArgumentParser(description=(__doc__ or "").splitlines()[0])
    parser.add_argument("--repetitions", type=int, default=160)
    parser.add_argument("--scenarios", type=int, default=16_384)
    parser.add_argument("--json", type=Path)
    parser.add_argument("--markdown", type=Path)
    parser.add_argument("--bumps", action="store_true")
    arguments = parser.parse_args()
    if arguments.bumps:
        print("\n".join(bumps()))
        return
    found = []
    for model in MODELS:
        for years in (0.5, 0.1):
            case = Case.of(MODELS[model], years, arguments.scenarios)
            for each in compare(case, arguments.repetitions, arguments.scenarios):
                found.append({"model": model, "years": years, **each})
    result = {
        **provenance(), "repetitions": arguments.repetitions, "scenarios": arguments.scenarios, "factors": found
    }  # fmt: skip
    text = table(found)
    print(json.dumps(result, indent=1))
    print(text, end="")
    if arguments.json:
        arguments.json.write_text(json.dumps(result, indent=1) + "\n")
    if arguments.markdown:
        arguments.markdown.write_text(text)


if __name__ == "__main__":
    main()
