"""How far single precision is from double: of options one by one, and of the accounts of the sample.

    python benchmarks/single_precision.py [--options N] [--scenarios N] [--json FILE]

European options whose forward is near the money and away from it, in units of the larger of forward and strike; then
P&L and VaR of the sample book by engine=native in both precisions. Prints one JSON object.
"""

from __future__ import annotations

import argparse
import json
from pathlib import Path
from typing import Any

import numpy as np
from workload import VALUATION

import mcvar
from mcvar import Columns, Device, Explicit, HostLauncher, book, correlation, market
from mcvar.config import Config, NativeEngine, SimulatedScenarios
from mcvar.precision import Precision
from mcvar.provenance import provenance

DAYS = (20, 90, 365)


def options(count: int) -> dict[str, dict[str, float]]:
    """Errors of single options in 2,048 random moves, by the distance of the strike in standard deviations."""
    factors, volatility = market.read_factors(
        Columns.of("factors", factor=["S"], kind=["price"], level=[100.0], volatility=[0.2])
    )
    at = market.build(
        factors=factors,
        volatility=volatility,
        estimate=correlation.constant(1, 0.0),
        valuation=VALUATION,
        currency="USD",
    )
    random = np.random.default_rng(1)
    moves = Explicit.of(random.normal(0.0, 0.005, (2048, 1)))
    found = {}
    for name, low, high in (
        ("at the money", -0.3, 0.3),
        ("one deviation out", 0.8, 1.2),
        ("two and a half out", 2.3, 2.7),
    ):
        days = random.choice(DAYS, count)
        strike = 100.0 * np.exp(random.uniform(low, high, count) * 0.2 * np.sqrt(days / 365))
        names = [f"O{i}" for i in range(count)]
        table = Columns.of(
            "instruments", instrument=names, kind=["option"] * count, underlying=["S"] * count, rate=[0.0] * count,
            option_type=["call"] * count, strike=strike.tolist(), volatility=[0.2] * count,
            expiry=[str(VALUATION + np.timedelta64(int(d), "D")) for d in days],
        )  # fmt: skip
        held = book.resolve(table, Columns.of("positions", account=names, instrument=names, quantity=[1.0] * count), at)
        double, single = (
            Device(at, held, moves, 0.0, launcher=HostLauncher(precision))
            for precision in (Precision.fp64, Precision.fp32)
        )
        size = np.maximum(100.0, held.instruments.strike)[:, None]
        error = np.abs(single.pnl(0, 2048) - double.pnl(0, 2048))[:-1] / size
        found[name] = {"largest": float(error.max()), "root_mean_square": float(np.sqrt((error**2).mean()))}
    return found


def sample(count: int) -> dict[str, Any]:
    """VaR 99 % of the sample's accounts in single precision, relative to double."""
    reports = [
        mcvar.run(Config(engine=NativeEngine(precision=p), scenarios=SimulatedScenarios(count=count)))
        for p in (Precision.fp64, Precision.fp32)
    ]
    exact, single = (report.estimate("var", 0.99).value for report in reports)
    bound = reports[1].estimate("fp32_bound").value
    moved = np.abs(single - exact) / np.abs(exact)
    return {
        "median_move_of_var": float(np.median(moved)),
        "largest_move_of_var": float(moved.max()),
        "largest_move_in_bounds": float((np.abs(single - exact) / bound).max()),
        "rows": len(moved),
    }


def main() -> None:
    """Measure, print."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0] if __doc__ else "")
    parser.add_argument("--options", type=int, default=300)
    parser.add_argument("--scenarios", type=int, default=100_000)
    parser.add_argument("--json", type=Path)
    arguments = parser.parse_args()
    outcome = {**provenance(), "options": options(arguments.options), "sample": sample(arguments.scenarios)}
    text = json.dumps(outcome, indent=2)
    print(text)
    if arguments.json:
        arguments.json.write_text(text + "\n")


if __name__ == "__main__":
    main()
