"""How often intervals cover the true VaR and ES of the accounts of the sample book, against what they say.

    python benchmarks/book_coverage.py [--repetitions 500 300 60] [--truth N] [--json FILE] [--markdown FILE]

The 200 accounts that `mcvar` runs by default, in plain sampling, with `engine=native`; each repetition has its own
seed. What is true is told by one run of many scenarios, whose error is kept with the result. Coverage is the mean over
the accounts, which share their scenarios: its standard error comes from the repetitions. A method fails where its
coverage is off by more than 3.5 standard errors. With methods, levels and nominal coverage of `interval_coverage.py`.
"""

from __future__ import annotations

import argparse
import json
import sys
import time
from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
from interval_coverage import CONFIDENCE, COUNTS, ES, LIMIT, METHODS, VAR, exact_coverage
from numpy.typing import NDArray

import mcvar
from mcvar import build
from mcvar.book import take_rows
from mcvar.config import Config, MeasureConfig, NativeEngine, SimulatedScenarios
from mcvar.engines import Device, choose
from mcvar.errors import CapacityError
from mcvar.measures import Measures
from mcvar.moments import Moments
from mcvar.provenance import provenance
from mcvar.sweep import sweep
from mcvar.tail import Tail

Floats = NDArray[np.float64]
MEASURES = (("var", VAR), ("es", ES))
HEADS = {"var": "VaR", "es": "ES"}
TASKS = ("order", "asymptotic", "sections", "bootstrap")
REPETITIONS = (500, 300, 60)  # at each N: a bootstrap takes as long as the simulation, or longer
TRUTH = 2**25
SEED = 2**62  # of the truth; repetitions take 1, 2, ...


def truth(count: int) -> dict[str, tuple[Floats, Floats]]:
    """Values and standard errors of each measure, of all rows."""
    config = Config(
        scenarios=SimulatedScenarios(count=count, seed=SEED),
        measure=MeasureConfig(levels=[ES, VAR]),
        engine=NativeEngine(),
    )
    report = mcvar.run(config)
    found = {name: report.estimate(name, level) for name, level in MEASURES}
    return {name: (each.value, each.stderr) for name, each in found.items()}


def prepare() -> Device:
    """The engine of the accounts."""
    given = build.inputs(Config(scenarios=SimulatedScenarios(count=COUNTS[0])))
    accounts = take_rows(given.book, np.arange(given.book.accounts))
    made = choose("native").make(given.market, accounts, given.scenarios, given.horizon.decay)
    assert isinstance(made, Device)
    return made


def asked(count: int) -> dict[str, Measures]:
    """What each method measures: at the levels that it does not refuse."""
    tasks = {}
    for method in TASKS:
        levels = []
        for _, level in MEASURES:
            try:
                Measures((level,), CONFIDENCE, **METHODS[method]).depth(count)
            except CapacityError:
                continue
            levels.append(level)
        if levels:
            tasks[method] = Measures(tuple(levels), CONFIDENCE, **METHODS[method])
    return tasks


def tail_of(engine: Device, count: int, depth: int) -> Tail:
    """The worst losses of every row."""
    kept, _, missed = sweep(engine, count, [(1, depth)])
    if len(missed):  # a pilot was off
        return Tail.of(0.0 - engine.pnl(0, count), 0, depth)
    return kept.head(depth)


def study(engine: Device, true: dict[str, Floats], count: int, repetitions: int) -> list[dict[str, Any]]:
    """Coverage of every method at one N."""
    tasks = asked(count)
    deepest = max(task.depth(count) for task in tasks.values())
    zero = np.zeros(engine.rows)
    scenarios = engine.scenarios
    missed: dict[tuple[str, str], list[NDArray[np.int64]]] = {}  # -1: the truth lies below; 1: above
    for n in range(repetitions):
        drawn = replace(scenarios, count=count, seed=1 + n)  # type: ignore[type-var]  # simulated ones are dataclasses
        tail = tail_of(engine.redrawn(drawn), count, deepest)
        for method, task in tasks.items():
            over = task.over(1, drawn.seed)
            made = over.measure(tail.head(task.depth(count)), Moments(count, zero, zero, zero, zero))
            for each in made:
                if (each.measure, each.level) in MEASURES:
                    value = true[each.measure]
                    side = (value > each.high).astype(np.int64) - (value < each.low)
                    missed.setdefault((method, each.measure), []).append(side)
    missed.pop(("order", "es"), None)  # there is no such interval
    found = []
    for (method, measure), sides in missed.items():
        level = dict(MEASURES)[measure]
        nominal = exact_coverage(count, level) if method == "order" else CONFIDENCE
        here = {"count": count, "repetitions": repetitions, "method": method, "measure": measure, "level": level}
        found.append({**here, **covered(np.array(sides), nominal)})
    return found


def covered(side: NDArray[np.int64], nominal: float) -> dict[str, Any]:
    """Coverage of [repetitions, accounts] with its standard error, and of the accounts that are off most."""
    inside = side == 0
    each = inside.mean(axis=1)
    coverage, stderr = float(each.mean()), float(each.std(ddof=1) / np.sqrt(len(each)))
    own = inside.mean(axis=0)
    off = np.abs(own - nominal) > LIMIT * np.sqrt(nominal * (1 - nominal) / len(each))
    return {
        "nominal": round(nominal, 5), "coverage": round(coverage, 5), "stderr": round(stderr, 5),
        "truth_above": round(float((side > 0).mean()), 5), "truth_below": round(float((side < 0).mean()), 5),
        "lowest_account": round(float(own.min()), 5), "highest_account": round(float(own.max()), 5),
        "accounts_off": int(off.sum()), "fails": bool(abs(coverage - nominal) > LIMIT * stderr),
    }  # fmt: skip


def table(found: Sequence[dict[str, Any]]) -> str:
    """As markdown: coverage in per cent, in bold where the method fails."""
    at = {(each["measure"], each["method"], each["count"]): each for each in found}
    counts = sorted({each["count"] for each in found})
    lines = [f"| measure | method | {' | '.join(f'N = {count:,}' for count in counts)} |"]
    lines.append(f"|---|---|{'--:|' * len(counts)}")
    for measure, level in MEASURES:
        name = f"{HEADS[measure]} {100 * level:g} %"
        for method in TASKS:
            cells = [_cell(at.get((measure, method, count))) for count in counts]
            if (measure, method) != ("es", "order"):
                lines.append(f"| {name} | {method} | {' | '.join(cells)} |")
    return "\n".join(lines) + "\n"


def _cell(found: dict[str, Any] | None) -> str:
    if found is None:
        return "refused"
    said = f"{100 * found['coverage']:.1f} ± {100 * found['stderr']:.1f}"
    if found["nominal"] != CONFIDENCE:
        said += f" ({100 * found['nominal']:.1f})"
    return f"**{said}**" if found["fails"] else said


def main() -> None:
    """Run the study."""
    parser = argparse.ArgumentParser(description=(__doc__ or "").splitlines()[0])
    parser.add_argument("--repetitions", type=int, nargs=len(COUNTS), default=REPETITIONS)
    parser.add_argument("--truth", type=int, default=TRUTH)
    parser.add_argument("--json", type=Path)
    parser.add_argument("--markdown", type=Path)
    arguments = parser.parse_args()
    engine = prepare()
    known = truth(arguments.truth)
    true = {name: value[: engine.rows] for name, (value, _) in known.items()}
    relative = {name: np.sort((error / value)[: engine.rows]) for name, (value, error) in known.items()}
    said = {n: {"median": float(e[len(e) // 2]), "largest": float(e[-1])} for n, e in relative.items()}
    print(f"truth: {time.process_time():.0f} s, relative standard errors {said}", file=sys.stderr)
    found: list[dict[str, Any]] = []
    for count, repetitions in zip(COUNTS, arguments.repetitions, strict=True):
        found += study(engine, true, count, repetitions)
        print(f"N = {count}: {time.process_time():.0f} s", file=sys.stderr)
    kept = {
        **provenance(), "accounts": engine.rows, "confidence": CONFIDENCE, "limit_standard_errors": LIMIT,
        "truth": {"scenarios": arguments.truth, "seed": SEED, "relative_standard_error": said}, "coverage": found,
    }  # fmt: skip
    if arguments.json:
        arguments.json.write_text(json.dumps(kept, indent=1) + "\n")
    if arguments.markdown:
        arguments.markdown.write_text(table(found))
    print(table(found), end="")


if __name__ == "__main__":
    main()
