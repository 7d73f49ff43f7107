"""The headline job on this machine: European options in full revaluation, volatility moving with the scenario.

    python benchmarks/headline.py [--scenarios N] [--options I] [--accounts R] [--repeat M] [--engines E ...] [--json F]

10 underlyings x 4 expiries x a ladder of strikes, a call and a put at each (`--no-pairs`: one of the two, so that no
options share a formula); one price and four volatility factors an underlying; 20 positions an account. Checked against
Black's formula cell by cell before it is timed. The engines run in turn, M times each. Prints one JSON object.
"""

from __future__ import annotations

import argparse
import json
import resource
import statistics
import sys
from pathlib import Path

from workload import YEARS, check, make_book, make_market, make_scenarios

from mcvar.engines import EngineChoice, choose
from mcvar.engines.laws import law_memory
from mcvar.jobs import var
from mcvar.memory import plan
from mcvar.precision import Precision
from mcvar.provenance import provenance

ENGINES = ("numpy", "native", "native fp32", "native mixed")
LEVELS, CONFIDENCE = [0.95, 0.99], 0.95


def chosen(name: str) -> EngineChoice:
    """An engine by its name and, where it is not fp64, its precision."""
    engine, _, precision = name.partition(" ")
    return choose(engine, Precision(precision or "fp64"))


def main() -> None:
    """Check, time, print."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0] if __doc__ else "")
    parser.add_argument("--scenarios", type=int, default=1_000_000)
    parser.add_argument("--options", type=int, default=2_000)
    parser.add_argument("--accounts", type=int, default=200)
    parser.add_argument("--repeat", type=int, default=1)
    parser.add_argument("--engines", nargs="+", default=list(ENGINES))
    parser.add_argument("--no-pairs", action="store_true")
    parser.add_argument("--json", type=Path)
    arguments = parser.parse_args()

    market = make_market()
    book = make_book(market, arguments.options, arguments.accounts, pairs=not arguments.no_pairs)
    scenarios = make_scenarios(market, arguments.scenarios)
    engines = {name: chosen(name) for name in arguments.engines}
    errors = {n: check(e.make(market, book, scenarios, YEARS), market, book, scenarios) for n, e in engines.items()}
    for name, error in errors.items():
        if not error < (1e-12 if engines[name].precision is Precision.fp64 else 2e-6):
            sys.exit(f"{name}: P&L differs from Black's formula by {error} of gross value: not timed")
    plans = {
        name: plan(
            rows=len(book.row), instruments=len(book.instruments), count=arguments.scenarios, levels=LEVELS,
            confidence=CONFIDENCE, engine=engine, positions=book.quantity.nnz,
            state=law_memory(market, scenarios, YEARS, book.instruments),
        )
        for name, engine in engines.items()
    }  # fmt: skip
    seconds: dict[str, list[float]] = {name: [] for name in engines}
    for _ in range(arguments.repeat):
        for name, engine in engines.items():
            result = var.run(
                market,
                book,
                scenarios,
                decay=YEARS,
                levels=LEVELS,
                confidence=CONFIDENCE,
                plan=plans[name],
                engine=engine,
            )
            seconds[name].append(round(result.seconds, 3))
    work = arguments.scenarios * len(book.instruments)
    outcome = {
        **provenance(),
        "scenarios": arguments.scenarios,
        "options": len(book.instruments),
        "calls_and_puts_share_formulas": not arguments.no_pairs,
        "factors": len(market.factors),
        "accounts": arguments.accounts,
        "positions": book.positions,
        "workers": next(iter(plans.values())).workers,
        "peak_memory_gb": round(resource.getrusage(resource.RUSAGE_SELF).ru_maxrss * 1024 / 1e9, 3),
        "engines": {
            name: {
                "largest_error_of_gross_value": errors[name],
                "seconds": times,
                "revaluations_per_second": round(work / statistics.median(times)),
                "revaluations_per_second_range": [round(work / max(times)), round(work / min(times))],
            }
            for name, times in seconds.items()
        },
    }
    text = json.dumps(outcome, indent=2)
    print(text)
    if arguments.json:
        arguments.json.write_text(text + "\n")


if __name__ == "__main__":
    main()
