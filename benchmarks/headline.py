"""The headline job on this machine: European options in full revaluation, volatility moving with the scenario.

    python benchmarks/headline.py [--scenarios N] [--options I] [--accounts R] [--repeat M] [--engine E] [--json FILE]

10 underlyings x 4 expiries x a ladder of strikes, a call and a put at each; one price and four
volatility factors an underlying; 20 positions an account. Checked against Black's formula cell by
cell before it is timed. The engines run in turn, M times each. Prints one JSON object.
"""

from __future__ import annotations

import argparse
import json
import resource
import statistics
import sys
from pathlib import Path

import numpy as np

from mcvar import book, correlation, market
from mcvar.book import Book
from mcvar.columns import Columns
from mcvar.engines import Engine, choose
from mcvar.jobs import var
from mcvar.market import Market
from mcvar.memory import plan
from mcvar.models import Gaussian
from mcvar.pricing.black import black76
from mcvar.provenance import provenance
from mcvar.scenarios import Simulated

UNDERLYINGS, EXPIRIES, PILLARS, POSITIONS = 10, (30, 90, 180, 365), (0.08, 0.25, 0.5, 1.0), 20
VALUATION = np.datetime64("2026-01-02", "us")
YEARS = 10 / 365
RATE = 0.03


def make_market() -> Market:
    """Ten underlyings at 100, volatility 20 %, each with four volatility factors; correlation 0.3."""
    factors: dict[str, list[object]] = {n: [] for n in ("factor", "kind", "underlying", "tenor", "level", "volatility")}
    for u in range(UNDERLYINGS):
        rows = [(f"U{u}", "price", np.nan, 100.0, 0.2)]
        rows += [(f"U{u}-VOL-{t}", "vol", t, 0.2, 0.8) for t in PILLARS]
        for name, kind, tenor, level, volatility in rows:
            for column, cell in zip(factors, (name, kind, f"U{u}", tenor, level, volatility), strict=True):
                factors[column].append(cell)
    read, volatility = market.read_factors(Columns.from_mapping("factors", factors))
    estimate = correlation.positive(correlation.constant(len(read), 0.3))
    return market.build(factors=read, volatility=volatility, estimate=estimate, valuation=VALUATION, currency="USD")


def make_book(at: Market, options: int, accounts: int) -> Book:
    """A listed grid of `options` contracts and accounts of 20 random positions; every option is held."""
    ladder = options // (UNDERLYINGS * len(EXPIRIES) * 2)
    rows = [
        (f"U{u}", days, strike, side)
        for u in range(UNDERLYINGS)
        for days in EXPIRIES
        for strike in np.linspace(70, 130, ladder)
        for side in ("call", "put")
    ]
    instruments = Columns.of(
        "instruments",
        instrument=[f"{u}-{d}-{k:.4f}-{s}" for u, d, k, s in rows],
        kind=["option"] * len(rows),
        underlying=[row[0] for row in rows],
        expiry=[str(VALUATION + np.timedelta64(row[1], "D")) for row in rows],
        strike=[row[2] for row in rows],
        option_type=[row[3] for row in rows],
        rate=[RATE] * len(rows),
    )
    generator = np.random.default_rng(1)
    held = generator.permutation(np.arange(accounts * POSITIONS) % len(rows))
    positions = Columns.of(
        "positions",
        account=[f"A{i // POSITIONS}" for i in range(len(held))],
        instrument=[instruments.data["instrument"][i] for i in held],
        quantity=generator.integers(1, 50, len(held)) * generator.choice([-1.0, 1.0], len(held)),
    )
    return book.resolve(instruments, positions, at)


def check(engine: Engine, at: Market, held: Book, scenarios: Simulated) -> float:
    """Largest difference, relative to gross value, from Black's formula applied cell by cell."""
    instruments, factors = held.instruments, at.factors
    x = scenarios.moves(0, 1024)[:, :64]
    value, worth = np.empty((len(instruments), x.shape[1])), np.empty(len(instruments))
    for i in range(len(instruments)):
        u, years, left = instruments.underlying[i], instruments.years[i], instruments.years[i] - YEARS
        pillars = factors.pillars(market.FactorKind.vol, factors.underlying[u])
        roots = np.sqrt(factors.tenor[pillars])
        shift = np.array([np.interp(np.sqrt(years), roots, x[pillars, n]) for n in range(x.shape[1])])
        forward = 100 * np.exp(x[u] + RATE * left)
        deviation = instruments.volatility[i] * np.exp(shift) * np.sqrt(left)
        price = black76(forward, instruments.strike[i], deviation, instruments.sign[i])
        today = black76(
            100 * np.exp(RATE * np.array(years)),
            instruments.strike[i],
            instruments.volatility[i] * np.sqrt(np.array(years)),
            instruments.sign[i],
        )
        worth[i] = np.exp(-RATE * years) * today
        value[i] = np.exp(-RATE * left) * price - worth[i]
    expected, gross = held.quantity @ value, abs(held.quantity) @ worth
    return float((np.abs(engine.pnl(0, 64) - expected) / gross[:, None]).max())


def main() -> None:
    """Check, time, print."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0] if __doc__ else "")
    parser.add_argument("--scenarios", type=int, default=1_000_000)
    parser.add_argument("--options", type=int, default=2_000)
    parser.add_argument("--accounts", type=int, default=200)
    parser.add_argument("--repeat", type=int, default=1)
    parser.add_argument("--engine", choices=("numpy", "native", "both"), default="both")
    parser.add_argument("--json", type=Path)
    arguments = parser.parse_args()

    at = make_market()
    held = make_book(at, arguments.options, arguments.accounts)
    scenarios = Simulated(Gaussian().law(at, YEARS, np.zeros(len(at.factors))), arguments.scenarios)
    levels = [0.95, 0.99]
    planned = plan(
        rows=len(held.row), instruments=len(held.instruments), count=arguments.scenarios, levels=levels, confidence=0.95
    )
    names = ("numpy", "native") if arguments.engine == "both" else (arguments.engine,)
    makers = {name: choose(name)[1] for name in names}
    errors = {name: check(make(at, held, scenarios, YEARS), at, held, scenarios) for name, make in makers.items()}
    if not max(errors.values()) < 1e-12:
        sys.exit(f"P&L differs from Black's formula by {errors} of gross value: not timed")
    seconds: dict[str, list[float]] = {name: [] for name in makers}
    peak = 0
    for _ in range(arguments.repeat):
        for name, make in makers.items():
            result = var.run(
                at, held, scenarios, decay=YEARS, levels=levels, confidence=0.95, plan=planned, make_engine=make
            )
            seconds[name].append(round(result.seconds, 3))
            peak = peak or resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
    work = arguments.scenarios * len(held.instruments)
    outcome = {
        **provenance(),
        "scenarios": arguments.scenarios,
        "options": len(held.instruments),
        "factors": len(at.factors),
        "accounts": arguments.accounts,
        "positions": held.positions,
        "workers": planned.workers,
        "peak_memory_gb": round(peak * 1024 / 1e9, 3),
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
