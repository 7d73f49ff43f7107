"""How often the interval of VaR covers the truth in runs that stop when it is narrow enough, against a fixed size.

    python benchmarks/stopping.py [--repetitions 10000] [--json FILE] [--markdown FILE]

Laws, truths and draws are those of interval_coverage.py: normal losses, Student t losses with 4 degrees of freedom, and
the delta-gamma book. A run is looked at after 2,000 or 10,000 scenarios and then at sizes that grow by half, and stops
when the half-width is at most 5, 2 or 1 % of VaR: segments, their tails, the rule and the sizes are those of the
product. Beside it stands the coverage of the same samples at the size nearest to where they stop on average. A rule
fails where its coverage is off by more than 3.5 standard errors of the repetitions. In theory the half-width is
z sqrt(a (1 - a) / N) / f(VaR), which says when it is narrow enough.
"""

from __future__ import annotations

import argparse
import json
import sys
import time
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import numpy as np
from interval_coverage import COVARIANCE, DELTA, GAMMA, Case, cases, exact_coverage
from numpy.typing import NDArray
from scipy import stats

from mcvar.intervals.estimate import Estimate, kept_for
from mcvar.measures import Interval, Measures
from mcvar.moments import Moments
from mcvar.provenance import provenance
from mcvar.reduction import QuadraticLaw
from mcvar.tail import Tail
from mcvar.until import Until, sizes

Floats = NDArray[np.float64]
Ints = NDArray[np.int64]
LEVEL, CONFIDENCE = 0.99, 0.95
PRECISIONS = (0.05, 0.02, 0.01)
FIRST = (2_000, 10_000)
UNIT, CAP = 1024, 10**7
BATCH = 250  # repetitions at once
LIMIT = 3.5  # standard errors
METHODS = {"order": Interval.order, "asymptotic": Interval.asymptotic}
TASKS = [(method, precision) for method in METHODS for precision in PRECISIONS]


@dataclass
class Stops:
    """Where the repetitions of one rule stop, and what they find there; 0: not yet."""

    count: Ints
    inside: NDArray[np.bool_]
    value: Floats

    @classmethod
    def none(cls, repetitions: int) -> Stops:
        """Before the first look."""
        return cls(np.zeros(repetitions, np.int64), np.zeros(repetitions, bool), np.zeros(repetitions))

    def see(self, ratio: Floats, var: Estimate, truth: float, count: int) -> None:
        """Stop those that are precise enough, and were not before."""
        now = (ratio <= 1) & (self.count == 0)
        self.count[now] = count
        self.inside[now] = ((var.low <= truth) & (truth <= var.high))[now]
        self.value[now] = var.value[now]


@dataclass
class Fixed:
    """How many repetitions were covered at each size, whether they had stopped or not."""

    inside: dict[int, int] = field(default_factory=dict)
    seen: dict[int, int] = field(default_factory=dict)

    def see(self, var: Estimate, truth: float, count: int) -> None:
        """Count."""
        inside = int(((var.low <= truth) & (truth <= var.high)).sum())
        self.inside[count] = self.inside.get(count, 0) + inside
        self.seen[count] = self.seen.get(count, 0) + len(var.value)


def density(case: Case) -> float:
    """Of the loss at VaR."""
    if case.name == "normal":
        return float(stats.norm.pdf(case.var))
    if case.name == "t(4)":
        return float(stats.t.pdf(case.var, 4))
    root = np.linalg.cholesky(COVARIANCE)
    curvature, turn = np.linalg.eigh(root.T @ GAMMA @ root)
    loss = QuadraticLaw(np.zeros(1), -(turn.T @ root.T @ DELTA)[None], -curvature[None] / 2)
    step = 1e-3 * case.var
    beyond = loss.exceedance(np.array([[case.var - step, case.var + step]]))[0]
    return float((beyond[0] - beyond[1]) / (2 * step))


def theory(case: Case, precision: float) -> float:
    """N at which half the interval is that part of VaR."""
    z = stats.norm.isf((1 - CONFIDENCE) / 2)
    return float((z / (precision * case.var * density(case))) ** 2 * LEVEL * (1 - LEVEL))


def study(case: Case, first: int, repetitions: int, seed: int) -> list[dict[str, Any]]:
    """All rules with one first look."""
    asked = {name: Measures((LEVEL,), CONFIDENCE, interval) for name, interval in METHODS.items()}
    rules = {precision: Until(precision, LEVEL, floor=0.0, cap=CAP) for precision in PRECISIONS}
    rng = np.random.default_rng([seed, first, *case.name.encode()])
    fixed, stopped = {name: Fixed() for name in METHODS}, []
    for begin in range(0, repetitions, BATCH):
        number = min(BATCH, repetitions - begin)
        stops = {task: Stops.none(number) for task in TASKS}
        tail, start, zero = None, 0, np.zeros(number)
        for stop in sizes(first, CAP, UNIT):
            depth, n = max(each.depth(stop) for each in asked.values()), stop - start
            part = case.draw(rng, number, n, min(kept_for(depth * n / stop), n))
            part = Tail(part.loss, part.scenario + start, n)
            tail = part if tail is None else tail.merge(part).head(kept_for(depth))
            for name, each in asked.items():
                var = each.measure(tail, Moments(stop, zero, zero, zero, zero))[0]
                fixed[name].see(var, case.var, stop)
                for precision, rule in rules.items():
                    stops[name, precision].see(rule.ratios(var, zero), var, case.var, stop)
            start = stop
            if all(each.count.all() for each in stops.values()):
                break
        stopped.append(stops)
    found = []
    for name, precision in TASKS:
        parts = [each[name, precision] for each in stopped]
        count, inside, value = (np.concatenate([getattr(p, n) for p in parts]) for n in ("count", "inside", "value"))
        here = {"law": case.name, "first": first, "method": name, "until": precision}
        found.append({**here, **covered(case, name, precision, count, inside, value, fixed[name])})
    return found


def covered(
    case: Case, method: str, precision: float, count: Ints, inside: NDArray[np.bool_], value: Floats, fixed: Fixed
) -> dict[str, Any]:
    """How often the truth was covered at the stop, and at a fixed size near the mean one."""
    repetitions = len(count)
    assert count.all()
    at = [size for size, seen in fixed.seen.items() if seen == repetitions]
    near = min(at, key=lambda size: abs(np.log(size / count.mean())))
    nominal = {n: exact_coverage(n, LEVEL) if method == "order" else CONFIDENCE for n in {*count.tolist(), near}}
    expected = float(np.mean([nominal[n] for n in count.tolist()]))
    error = float(np.sqrt(expected * (1 - expected) / repetitions))
    return {
        "coverage": round(float(inside.mean()), 5), "nominal": round(expected, 5),
        "fails": bool(abs(inside.mean() - expected) > LIMIT * error),
        "bias": round(float(value.mean() / case.var - 1), 6),
        "mean_count": round(float(count.mean())), "least_count": int(count.min()), "most_count": int(count.max()),
        "theory_count": round(theory(case, precision)),
        "fixed_count": near, "fixed_coverage": round(fixed.inside[near] / repetitions, 5),
        "fixed_nominal": round(nominal[near], 5),
    }  # fmt: skip


def table(found: list[dict[str, Any]]) -> str:
    """As markdown: coverage in per cent, in bold where the rule fails."""
    lines = [
        "| losses | first look | until | order | at a fixed N | asymptotic | at a fixed N | mean N | in theory |",
        "|---|--:|--:|--:|--:|--:|--:|--:|--:|",
    ]
    at = {(f["law"], f["first"], f["until"], f["method"]): f for f in found}
    for law, first, until in dict.fromkeys((f["law"], f["first"], f["until"]) for f in found):
        cells = []
        for method in METHODS:
            one = at[law, first, until, method]
            said = f"{100 * one['coverage']:.1f}" + (f" ({100 * one['nominal']:.1f})" if method == "order" else "")
            cells += [f"**{said}**" if one["fails"] else said, f"{100 * one['fixed_coverage']:.1f}"]
        one = at[law, first, until, "order"]
        lines.append(
            f"| {law} | {first:,} | {100 * until:g} % | {' | '.join(cells)} | {one['mean_count']:,} | "
            f"{one['theory_count']:,} |"
        )
    return "\n".join(lines) + "\n"


def main() -> None:
    """Run the study."""
    parser = argparse.ArgumentParser(description=(__doc__ or "").splitlines()[0])
    parser.add_argument("--repetitions", type=int, default=10_000)
    parser.add_argument("--seed", type=int, default=1)
    parser.add_argument("--json", type=Path)
    parser.add_argument("--markdown", type=Path)
    arguments = parser.parse_args()
    found: list[dict[str, Any]] = []
    for case in cases():
        for first in FIRST:
            found += study(case, first, arguments.repetitions, arguments.seed)
            print(f"{case.name}, first look {first}: {time.process_time():.0f} s", file=sys.stderr)
    kept = {
        **provenance(), "repetitions": arguments.repetitions, "seed": arguments.seed, "level": LEVEL,
        "confidence": CONFIDENCE, "limit_standard_errors": LIMIT, "cpu_seconds": round(time.process_time()),
        "stopping": found,
    }  # fmt: skip
    if arguments.json:
        arguments.json.write_text(json.dumps(kept, indent=1) + "\n")
    if arguments.markdown:
        arguments.markdown.write_text(table(found))
    print(table(found), end="")


if __name__ == "__main__":
    main()
