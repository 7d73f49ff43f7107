"""The headline job on a GPU: 1,000,000 scenarios x 10,000 European options x 100 factors x 1,000 accounts.

    python benchmarks/gpu.py [--scenarios N] [--repeat M] [--json FILE]

20 underlyings with one price and four volatility factors each; every option has a formula of its own, or is one of a
call and a put that share one (`pairs`). Checked against Black's formula, and the tail against a full sort, before
anything is timed. Runs on numpy, scipy, cupy and the core of mcvar alone. Prints one JSON object.
"""

from __future__ import annotations

import argparse
import json
import statistics
import sys
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import cupy
import numpy as np
import plain_cupy
from start import starts
from workload import YEARS, check, make_book, make_market, make_scenarios

from mcvar.engines import Device, choose
from mcvar.engines.launcher import PNL, STEP
from mcvar.engines.laws import law_memory
from mcvar.jobs import var
from mcvar.memory import plan
from mcvar.precision import Precision
from mcvar.provenance import provenance
from mcvar.sweep import sweep
from mcvar.tail import Tail

LEVELS, CONFIDENCE = [0.99], 0.95
TOLERANCE = {Precision.fp64: 1e-12, Precision.fp32: 1e-5, Precision.mixed: 1e-5}  # of gross value


def median(times: list[float]) -> dict[str, Any]:
    """Median, least and most, in milliseconds."""
    return {
        "median_ms": round(1e3 * statistics.median(times), 3),
        "range_ms": [round(1e3 * f(times), 3) for f in (min, max)],
    }


def timed(work: Callable[[], Any], repeat: int) -> list[float]:
    """Seconds of each call after one that is not counted."""
    times = []
    for _ in range(repeat + 1):
        cupy.cuda.Device().synchronize()
        start = time.perf_counter()
        work()
        cupy.cuda.Device().synchronize()
        times.append(time.perf_counter() - start)
    return times[1:]


def stages(engine: Device, count: int, repeat: int) -> dict[str, float]:
    """Milliseconds that each stage takes for all scenarios, from repeated launches on one tile."""
    found = {}
    for stage in (*STEP, *PNL):

        def launches(stage: str = stage) -> None:
            for _ in range(20):
                engine.launcher.launch(stage, engine.plan, engine.work, 0, engine.width)

        found[stage] = round(1e3 * statistics.median(timed(launches, repeat)) / 20 * count / engine.width, 3)
    return found


def shares(found: dict[str, float], engine: Device, count: int) -> dict[str, float]:
    """What part of the speed that its instructions allow (benchmarks/sass.py, for an H200) a stage reaches."""
    counted = json.loads((Path(__file__).parent / "results" / "sass-sm_90.json").read_text())
    counted = counted[engine.launcher.precision.value]
    work = {"value": ("option", len(engine.book.instruments)), "add_up": ("position", engine.book.quantity.nnz)}
    return {
        stage: round(1e3 * count * size / min(counted[kind]["ceiling_per_s"].values()) / found[stage], 3)
        for stage, (kind, size) in work.items()
    }


def headline(market: Any, book: Any, precision: Precision, count: int, repeat: int) -> dict[str, Any]:
    """Check, then time: generator to VaR and ES of every account, as a user runs it."""
    scenarios = make_scenarios(market, count)
    choice = choose("cuda", precision)
    engine = choice.make(market, book, scenarios, YEARS)
    assert isinstance(engine, Device)
    error = check(engine, market, book, scenarios)
    if not error < TOLERANCE[precision]:
        sys.exit(f"P&L differs from Black's formula by {error} of gross value: not timed")
    small, whole = sweep(engine, 50_000, [(1, 600)])[0].head(600), Tail.of(0.0 - engine.pnl(0, 50_000), 0, 600)
    if not (np.array_equal(small.loss, whole.loss) and np.array_equal(small.scenario, whole.scenario)):
        sys.exit("the tail is not that of a full sort: not timed")
    spent = stages(engine, count, 5)
    arguments: dict[str, Any] = {"levels": LEVELS, "confidence": CONFIDENCE}
    planned = plan(
        rows=len(book.row), instruments=len(book.instruments), count=count, engine=choice,
        state=law_memory(market, scenarios, YEARS, book.instruments), positions=book.quantity.nnz, **arguments,
    )  # fmt: skip
    results = [
        var.run(market, book, scenarios, decay=YEARS, plan=planned, engine=choice, draw=0, **arguments)
        for _ in range(repeat + 1)
    ]
    seconds = [result.seconds for result in results[1:]]  # the first warms up
    first, last = (var.highest(results[i].estimates).value for i in (0, -1))
    return {
        **median(seconds),
        "revaluations_per_second": round(count * len(book.instruments) / statistics.median(seconds)),
        "positions_per_second": round(count * book.quantity.nnz / statistics.median(seconds)),
        "stages_ms": spent,
        "share_of_counted_ceiling": shares(spent, engine, count),
        "preparation_seconds": round(statistics.median(result.preparation for result in results), 3),
        "largest_error_of_gross_value": error,
        "same_bits_every_time": bool(np.array_equal(first, last)),
        "plan": str(planned),
        "chunk": int(engine.plan["chunk"]),
        "var_99": {"first_account": float(last[0]), "all": float(last[-1])},
    }


def main() -> None:
    """Check, time, print."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0] if __doc__ else "")
    parser.add_argument("--scenarios", type=int, default=1_000_000)
    parser.add_argument("--repeat", type=int, default=11)
    parser.add_argument("--json", type=Path)
    parser.add_argument("--quick", action="store_true", help="the 100-position job only, without plain CuPy")
    arguments = parser.parse_args()
    properties = cupy.cuda.runtime.getDeviceProperties(0)
    outcome: dict[str, Any] = {
        **provenance(),
        "gpu": properties["name"].decode(),
        "driver": cupy.cuda.runtime.driverGetVersion(),
        "cuda": cupy.cuda.runtime.runtimeGetVersion(),
        "nvrtc": list(cupy.cuda.nvrtc.getVersion()),
        "cupy": cupy.__version__,
        "scenarios": arguments.scenarios,
        "options": 10_000,
        "factors": 100,
        "accounts": 1_000,
        "start": starts("cuda"),
        "jobs": {},
    }
    market = make_market(underlyings=20)
    for positions in (100,) if arguments.quick else (100, 20):
        for pairs in (False, True):
            book = make_book(market, 10_000, 1_000, positions=positions, pairs=pairs)
            for precision in Precision:
                name = f"{positions} positions, {'calls and puts' if pairs else 'no pairs'}, {precision.value}"
                outcome["jobs"][name] = headline(market, book, precision, arguments.scenarios, arguments.repeat)
                print(name, json.dumps(outcome["jobs"][name]), file=sys.stderr, flush=True)
    if not arguments.quick:
        book = make_book(market, 10_000, 1_000, positions=100, pairs=False)
        for dtype in ("float64", "float32"):
            times, _ = plain_cupy.run(market, book, arguments.scenarios, dtype, 10_000, repeat=3)
            outcome["jobs"][f"100 positions, no pairs, plain CuPy {dtype}"] = median(times)
    text = json.dumps(outcome, indent=2)
    print(text)
    if arguments.json:
        arguments.json.write_text(text + "\n")


if __name__ == "__main__":
    main()
