"""How often intervals cover the true VaR and ES, against what they say.

    python benchmarks/interval_coverage.py [--repetitions 2000] [--json FILE] [--markdown FILE]

Normal losses, Student t losses with 4 degrees of freedom, and a delta-gamma book of three factors, whose truth comes
from its characteristic function. Only the worst losses of a repetition are drawn where their law is known: the k
smallest of N uniforms are Gamma_i / Gamma_{N + 1}, with Gamma_i a sum of i exponentials (Renyi). A method fails where
its coverage is off by more than 3.5 standard errors of the repetitions.
"""

from __future__ import annotations

import argparse
import json
import sys
import time
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray
from scipy import stats
from scipy.integrate import quad
from scipy.optimize import brentq

from mcvar.errors import CapacityError
from mcvar.intervals.estimate import Estimate
from mcvar.measures import Interval, Measures, ranks
from mcvar.moments import Moments
from mcvar.provenance import provenance
from mcvar.tail import Tail

Floats = NDArray[np.float64]
VAR, ES, CONFIDENCE = 0.99, 0.975, 0.95
COUNTS = (1_000, 10_000, 100_000)
BATCH = 250  # repetitions at once
LIMIT = 3.5  # standard errors
METHODS: dict[str, dict[str, Any]] = {
    "order": {},
    "asymptotic": {"interval": Interval.asymptotic},
    "sections": {"interval": Interval.sections},
    "bootstrap": {"interval": Interval.bootstrap, "resamples": 400},
    "pareto": {"pareto": True},
}
TASKS = [
    (method, measure, level)
    for method in METHODS
    for measure, level in (("var", VAR), ("es", ES))
    if (method, measure) != ("order", "es")  # there is no such interval
]
# Of a book in three factors: P&L = DELTA x + x GAMMA x / 2, x normal with this covariance.
COVARIANCE = np.array(
    [[0.0091528, 0.0047481, 0.0042183], [0.0047481, 0.014259, 0.0068472], [0.0042183, 0.0068472, 0.018304]]
)
DELTA, GAMMA = np.array([-2175.1, -33566.0, 56924.0]), np.diag([442060.0, 1006300.0, 615380.0])


@dataclass(frozen=True)
class Case:
    """A law of losses: its true VaR and ES, and a way to draw tails of N losses, `depth` deep."""

    name: str
    var: float
    es: float
    draw: Callable[[np.random.Generator, int, int, int], Tail]


def spaced(quantile: Callable[[Floats], Floats]) -> Callable[[np.random.Generator, int, int, int], Tail]:
    """Draw the worst losses of a law from its upper quantile function; they happen in any order."""

    def draw(rng: np.random.Generator, repetitions: int, count: int, depth: int) -> Tail:
        gamma = np.cumsum(rng.exponential(size=(repetitions, depth)), axis=1)
        total = gamma[:, -1] + rng.gamma(count + 1 - depth, size=repetitions)
        scenario = np.stack([rng.choice(count, depth, replace=False) for _ in range(repetitions)])
        return Tail(quantile(gamma / total[:, None]), scenario.astype(np.int64), count)

    return draw


def delta_gamma() -> Case:
    """The book, with its P&L as a sum of b_i z_i + l_i z_i^2 / 2 of independent normals."""
    root = np.linalg.cholesky(COVARIANCE)
    curvature, turn = np.linalg.eigh(root.T @ GAMMA @ root)
    slope = turn.T @ root.T @ DELTA

    def draw(rng: np.random.Generator, repetitions: int, count: int, depth: int) -> Tail:
        loss, scenario = np.empty((repetitions, depth)), np.empty((repetitions, depth), dtype=np.int64)
        for r in range(repetitions):
            z = rng.standard_normal((3, count))
            losses = -(slope @ z + curvature @ (z * z) / 2)
            worst = np.argpartition(-losses, depth - 1)[:depth]
            scenario[r] = worst[np.argsort(-losses[worst])]
            loss[r] = losses[scenario[r]]
        return Tail(loss, scenario, count)

    step = 2e-6  # losses are of some thousands, and none exceeds `most`
    t = (np.arange(200_000) + 0.5) * step
    most = float((slope**2 / (2 * curvature)).sum())
    pole = 1 + 1j * t[:, None] * curvature
    phi = np.exp((-0.5 * t[:, None] ** 2 * slope**2 / pole).sum(axis=1)) / np.sqrt(pole).prod(axis=1)

    def survival(loss: float) -> float:  # Gil-Pelaez
        return float(0.5 + np.sum(np.imag(np.exp(-1j * t * loss) * phi) / t) * step / np.pi)

    def value(level: float) -> float:
        return float(brentq(lambda loss: survival(loss) - (1 - level), 0.0, most))

    var = value(ES)
    es = var + quad(survival, var, most)[0] / (1 - ES)
    return Case("delta-gamma", value(VAR), es, draw)


def cases() -> list[Case]:
    """Normal, t(4) and the delta-gamma book."""
    normal, t = stats.norm(), stats.t(4)
    q, qt = normal.ppf(ES), t.ppf(ES)
    return [
        Case("normal", normal.ppf(VAR), normal.pdf(q) / (1 - ES), spaced(normal.isf)),
        Case("t(4)", t.ppf(VAR), t.pdf(qt) / (1 - ES) * (4 + qt**2) / 3, spaced(t.isf)),
        delta_gamma(),
    ]


def study(case: Case, count: int, repetitions: int, seed: int) -> Iterator[dict[str, Any]]:
    """Coverage of every method at one N."""
    asked: dict[tuple[str, str, float], Measures] = {}
    for method, measure, level in TASKS:
        here = {"law": case.name, "count": count, "method": method, "measure": measure, "level": level}
        try:
            task = Measures((level,), CONFIDENCE, **METHODS[method])
            task.depth(count)
            asked[method, measure, level] = task
        except CapacityError as error:
            yield {**here, "refused": str(error)}
    deepest = max(task.depth(count) for task in asked.values())
    rng = np.random.default_rng([seed, count, *case.name.encode()])
    found: dict[tuple[str, str, float], list[Estimate]] = {key: [] for key in asked}
    for first in range(0, repetitions, BATCH):
        number = min(BATCH, repetitions - first)
        tail, zero = case.draw(rng, number, count, deepest), np.zeros(number)
        for key, task in asked.items():
            name = f"{key[1]}_pareto" if key[0] == "pareto" else key[1]
            made = task.over(1, seed + first).measure(
                tail.head(task.depth(count)), Moments(count, zero, zero, zero, zero)
            )
            found[key] += [estimate for estimate in made if estimate.measure == name]
    for (method, measure, level), parts in found.items():
        truth = case.var if measure == "var" else case.es
        nominal = exact_coverage(count, level) if method == "order" else CONFIDENCE
        here = {"law": case.name, "count": count, "method": method, "measure": measure, "level": level}
        yield {**here, **covered(Estimate.stack(parts), truth, nominal)}


def exact_coverage(count: int, level: float) -> float:
    """The binomial probability that the interval of order statistics covers."""
    r, law = ranks(count, level, CONFIDENCE), stats.binom(count, level)
    return float(law.cdf(count - r.high) - law.cdf(count - r.low))


def covered(estimate: Estimate, truth: float, nominal: float) -> dict[str, Any]:
    """How often the truth was covered, lay above, lay below; and whether that is what the interval says."""
    given = np.isfinite(estimate.value)
    value, stderr, low, high = (getattr(estimate, name)[given] for name in ("value", "stderr", "low", "high"))
    if not given.any():
        return {"nominal": nominal, "null": 1.0}
    inside = float(((low <= truth) & (truth <= high)).mean())
    return {
        "nominal": round(nominal, 5), "coverage": round(inside, 5),
        "truth_above": round(float((truth > high).mean()), 5), "truth_below": round(float((truth < low).mean()), 5),
        "null": round(float(1 - given.mean()), 5),
        "bias": round(float(value.mean() / truth - 1), 6), "deviation": round(float(value.std() / truth), 6),
        "stderr": round(float(stderr.mean() / truth), 6),
        "fails": bool(abs(inside - nominal) > LIMIT * float(np.sqrt(nominal * (1 - nominal) / given.sum()))),
    }  # fmt: skip


def table(found: list[dict[str, Any]]) -> str:
    """As markdown: coverage in per cent, in bold where the method fails."""
    lines = [
        f"| losses | measure | method | {' | '.join(f'N = {count:,}' for count in COUNTS)} |",
        f"|---|---|---|{'--:|' * len(COUNTS)}",
    ]
    at = {(f["law"], f["measure"], f["method"], f["count"]): f for f in found}
    for law, measure in ((law, measure) for law in dict.fromkeys(f["law"] for f in found) for measure in ("var", "es")):
        name = f"VaR {100 * VAR:g} %" if measure == "var" else f"ES {100 * ES:g} %"
        for method in (task[0] for task in TASKS if task[1] == measure):
            cells = [_cell(at.get((law, measure, method, count))) for count in COUNTS]
            lines.append(f"| {law} | {name} | {method} | {' | '.join(cells)} |")
    return "\n".join(lines) + "\n"


def _cell(found: dict[str, Any] | None) -> str:
    if found is None or "refused" in found:
        return "refused"
    if found["null"] == 1:
        return "null"
    said = f"{100 * found['coverage']:.1f}"
    if found["nominal"] != CONFIDENCE:
        said += f" ({100 * found['nominal']:.1f})"
    return f"**{said}**" if found["fails"] else said


def main() -> None:
    """Run the study."""
    parser = argparse.ArgumentParser(description=(__doc__ or "").splitlines()[0])
    parser.add_argument("--repetitions", type=int, default=2_000)
    parser.add_argument("--seed", type=int, default=1)
    parser.add_argument("--json", type=Path)
    parser.add_argument("--markdown", type=Path)
    arguments = parser.parse_args()
    found: list[dict[str, Any]] = []
    for case in cases():
        for count in COUNTS:
            found += study(case, count, arguments.repetitions, arguments.seed)
            print(f"{case.name}, N = {count}: {time.process_time():.0f} s", file=sys.stderr)
    kept = {
        **provenance(), "repetitions": arguments.repetitions, "seed": arguments.seed, "confidence": CONFIDENCE,
        "limit_standard_errors": LIMIT, "cpu_seconds": round(time.process_time()), "coverage": found,
    }  # fmt: skip
    if arguments.json:
        arguments.json.write_text(json.dumps(kept, indent=1) + "\n")
    if arguments.markdown:
        arguments.markdown.write_text(table(found))
    print(table(found), end="")


if __name__ == "__main__":
    main()
