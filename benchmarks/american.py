"""American options on this machine: exact solutions beside QuantLib's, revaluation by tables, and a whole job.

    python benchmarks/american.py [--contracts N] [--options I] [--scenarios N] [--repeat M] [--json FILE]
    python benchmarks/american.py --job [--engine E] [--options I] [--scenarios N] [--accounts R] [--json FILE]

The first: exact solutions a second on one core, with their errors on the same contracts, so that speeds can be read at
equal accuracy; the reference is QuantLib's QdFp engine in its high-precision scheme. Then a book revalued from tables
by each engine on all cores, beside the same options without early exercise. The second, in a process of its own for its
memory: generator to measures. All is checked before it is timed. Prints one JSON object.
"""

from __future__ import annotations

import argparse
import ctypes
import json
import resource
import statistics
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable
from dataclasses import replace
from functools import partial
from importlib.metadata import version
from importlib.util import find_spec
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray
from workload import LEVEL, VALUATION, VOLATILITY, YEARS, make_market, make_scenarios

from mcvar import book as books
from mcvar.book import Book
from mcvar.columns import Columns
from mcvar.engines import choose, host
from mcvar.engines.audit import audit_american
from mcvar.engines.kernels import source_folder
from mcvar.engines.laws import law_memory
from mcvar.jobs import var
from mcvar.market import FactorKind, Market
from mcvar.memory import cores, plan
from mcvar.pricing.american import ACCURATE, FAST, american
from mcvar.pricing.settings import DEFAULT, AmericanMethod, Pricing
from mcvar.provenance import provenance

Floats = NDArray[np.float64]
Solver = Callable[[], Floats]
REFERENCE = "quantlib QdFp highPrecision"
STRIKE, SIDE_BY_SIDE = 100.0, 8
LARGEST = {"fast": 2e-5, "accurate": 1e-6}  # errors of the strike: what is beyond is not timed
RATE, LARGEST_YIELD = 0.04, 0.06
EXPIRIES = (30, 60, 91, 122, 182, 273, 365, 456, 547, 730)
SOURCE = """
#include "american.cuh"
extern "C" void SCHEME(int64_t count, const double *s, const double *k, const double *v, const double *r,
                       const double *b, const double *t, const double *w, double *out) {
    for (int64_t i = 0; i < count; i += WIDTH)
        mcvar::american_exact<mcvar::SCHEME, WIDTH>(s + i, k + i, v + i, r + i, b + i, t + i, w + i, out + i);
}
"""


def contracts(count: int) -> tuple[Floats, ...]:
    """Spot, strike, volatility, rate, carry, years, sign of ordinary contracts that may be exercised early, [count]."""
    random = np.random.default_rng(1)
    years = np.round(365 * np.exp(random.uniform(np.log(10 / 365), np.log(3.0), count))) / 365
    (rate, held), volatility = random.uniform(0.005, 0.1, (2, count)), random.uniform(0.1, 0.6, count)
    spot = STRIKE * np.exp(random.uniform(-1.5, 1.5, count) * volatility * np.sqrt(years))
    return spot, np.full(count, STRIKE), volatility, rate, rate - held, years, random.choice([-1.0, 1.0], count)


# Exact solutions: what makes a solver of some contracts, so that only solving is timed.


def of_kernel(scheme: str, terms: tuple[Floats, ...]) -> Solver:
    """The kernel's solver, several contracts side by side, compiled as the native engine is."""
    flags = (*host.FLAGS, "-fopenmp-simd", f"-I{source_folder()}", f"-DSCHEME={scheme}", f"-DWIDTH={SIDE_BY_SIDE}")
    with tempfile.TemporaryDirectory() as folder:
        source, library = Path(folder, "american.cpp"), Path(folder, "american.so")
        source.write_text(SOURCE)
        subprocess.run(["g++", *flags, str(source), "-o", str(library)], check=True)
        call = getattr(ctypes.CDLL(str(library)), scheme)
    out = np.empty(len(terms[0]))
    kept = (*(np.ascontiguousarray(a) for a in terms), out)

    def solve() -> Floats:
        call(ctypes.c_int64(len(out)), *(ctypes.c_void_p(a.ctypes.data) for a in kept))
        return out

    return solve


def of_quantlib(scheme: str, terms: tuple[Floats, ...]) -> Solver:
    """QuantLib's QdFp engine, an option at a time; options, curves and engines are made beforehand."""
    import QuantLib as ql

    today, count, none = ql.Date(2, 1, 2026), ql.Actual365Fixed(), ql.NullCalendar()
    ql.Settings.instance().evaluationDate = today
    fine, options = getattr(ql.QdFpAmericanEngine, scheme)(), []
    for spot, strike, volatility, rate, carry, years, sign in zip(*(a.tolist() for a in terms), strict=True):
        curves = (ql.YieldTermStructureHandle(ql.FlatForward(today, x, count)) for x in (rate - carry, rate))
        surface = ql.BlackVolTermStructureHandle(ql.BlackConstantVol(today, none, volatility, count))
        process = ql.BlackScholesMertonProcess(ql.QuoteHandle(ql.SimpleQuote(spot)), *curves, surface)
        payoff = ql.PlainVanillaPayoff(ql.Option.Call if sign > 0 else ql.Option.Put, strike)
        option = ql.VanillaOption(payoff, ql.AmericanExercise(today, today + round(365 * years)))
        option.setPricingEngine(ql.QdFpAmericanEngine(process, fine))
        options.append(option)

    def solve() -> Floats:
        for option in options:
            option.recalculate()  # whether or not it knows its value
        return np.array([option.NPV() for option in options])

    return solve


def solvers() -> dict[str, Callable[[tuple[Floats, ...]], Solver]]:
    """How to make each solver."""
    found: dict[str, Callable[[tuple[Floats, ...]], Solver]] = {
        "mcvar kernel accurate": partial(of_kernel, "Accurate"),
        "mcvar kernel fast": partial(of_kernel, "Fast"),
        "mcvar numpy accurate": lambda terms: lambda: american(*terms, ACCURATE),
        "mcvar numpy fast": lambda terms: lambda: american(*terms, FAST),
    }
    for scheme in ("highPrecision", "accurate", "fast"):
        found[f"quantlib QdFp {scheme}"] = partial(of_quantlib, f"{scheme}Scheme")
    return found


def exact(count: int, repeat: int) -> dict[str, Any]:
    """Solutions a second on one core, and errors in units of the strike, by solver."""
    from threadpoolctl import threadpool_limits  # a GPU node without it can still run the job

    terms = contracts(-(-count // SIDE_BY_SIDE) * SIDE_BY_SIDE)
    made = {name: make(terms) for name, make in solvers().items()}
    seconds: dict[str, list[float]] = {}
    with threadpool_limits(1):
        start = time.perf_counter()
        reference = made.pop(REFERENCE)()
        slow = len(reference) / (time.perf_counter() - start)
        errors = {name: np.abs(solve() - reference) / STRIKE for name, solve in made.items()}
        for name, error in errors.items():
            if name.startswith("mcvar") and not error.max() < LARGEST[name.split()[-1]]:
                sys.exit(f"{name} errs by {error.max():.2g} of the strike: not timed")
        for _ in range(repeat):
            for name, solve in made.items():
                start = time.perf_counter()
                solve()
                seconds.setdefault(name, []).append(time.perf_counter() - start)
    size = len(reference)
    by_solver: dict[str, Any] = {
        name: {
            "solutions_per_second": round(size / statistics.median(times)),
            "solutions_per_second_range": [round(size / max(times)), round(size / min(times))],
            "largest_error_of_strike": float(errors[name].max()),
            "root_mean_square_error_of_strike": float(np.sqrt((errors[name] ** 2).mean())),
        }
        for name, times in seconds.items()
    }
    by_solver[REFERENCE] = {"solutions_per_second": round(slow), "the_reference": True}
    return {"contracts": size, "quantlib_version": version("QuantLib"), "solvers": by_solver}


# Books.


def make_book(market: Market, options: int, accounts: int, *, style: str = "american") -> Book:
    """Calls and puts in turn on a grid of underlyings, expiries and strikes, each held by some account.

    Underlyings yield from 0 to `LARGEST_YIELD`; strikes reach two standard deviations.
    """
    owners = [market.factors.underlying[f] for f in market.factors.of_kind(FactorKind.price)]
    carry = dict(zip(owners, RATE - np.linspace(0.0, LARGEST_YIELD, len(owners)), strict=True))
    cells = [(owner, days) for owner in owners for days in EXPIRIES]
    strikes, extra = divmod(options, len(cells))
    rows = [
        (owner, days, LEVEL * np.exp(x * VOLATILITY * np.sqrt(days / 365)), k)
        for c, (owner, days) in enumerate(cells)
        for k, x in enumerate(np.linspace(-2.0, 2.0, strikes + (c < extra)).tolist())
    ]
    names = [f"{owner}-{days}-{k}" for owner, days, _, k in rows]
    table = Columns.of(
        "instruments", instrument=names, kind=["option"] * len(rows), underlying=[row[0] for row in rows],
        expiry=[str(VALUATION + np.timedelta64(row[1], "D")) for row in rows], exercise=[style] * len(rows),
        strike=[row[2] for row in rows], option_type=[("call", "put")[row[3] % 2] for row in rows],
        rate=[RATE] * len(rows), carry=[float(carry[row[0]]) for row in rows],
    )  # fmt: skip
    generator = np.random.default_rng(1)
    held = generator.permutation(np.arange(max(20 * accounts, len(rows))) % len(rows))
    positions = Columns.of(
        "positions", account=[f"A{at % accounts}" for at in range(len(held))], instrument=[names[i] for i in held],
        quantity=generator.integers(1, 50, len(held)) * generator.choice([-1.0, 1.0], len(held)),
    )  # fmt: skip
    return books.resolve(table, positions, market)


def measure(market: Market, book: Book, scenarios: int, engine: str) -> var.VarResult:
    """The job that users run."""
    chosen, given = choose(engine), make_scenarios(market, scenarios)
    arguments: dict[str, Any] = {"levels": [0.99], "confidence": 0.95, "engine": chosen}
    planned = plan(
        rows=len(book.row), instruments=len(book.instruments), count=scenarios, positions=book.quantity.nnz,
        state=law_memory(market, given, YEARS, book.instruments), **arguments,
    )  # fmt: skip
    return var.run(market, book, given, decay=YEARS, plan=planned, **arguments)


def audited(market: Market, book: Book, scenarios: int, cells: int = 20_000) -> dict[str, Any]:
    """How far prices from tables are from exact ones."""
    checked = replace(book, pricing=replace(book.pricing, audit=cells))
    found = audit_american(market, checked, make_scenarios(market, scenarios), YEARS)
    assert found is not None
    assert found.exactly == 0
    return {"by_table": found.by_table, "cells": found.cells, "largest_error_of_strike": found.largest_error}


def tables(options: int, scenarios: int, repeat: int) -> dict[str, Any]:
    """Revaluations a second of a whole job: from tables by each engine, without early exercise, solved each time."""
    market = make_market(underlyings=5)
    book, plain = make_book(market, options, 20), make_book(market, options, 20, style="european")
    audit = audited(market, book, scenarios)
    few = max(scenarios // 200, 512)
    jobs: dict[str, tuple[Book, str, int]] = {
        "table, numpy": (book, "numpy", scenarios),
        "table, native": (book, "native", scenarios),
        "european, native": (plain, "native", scenarios),
        "exact, native": (replace(book, pricing=Pricing(american=AmericanMethod.exact)), "native", few),
    }
    rates: dict[str, list[float]] = {name: [] for name in jobs}
    found = {name: measure(market, *_sized(job)) for name, job in jobs.items()}  # memory and tables are new here
    worst = {name: var.highest(result.estimates).value for name, result in found.items()}
    gross = abs(book.quantity) @ book.instruments.strike
    if not np.abs(worst["table, native"] - worst["table, numpy"]).max() < 1e-9 * gross.min():
        sys.exit("numpy and native find different VaR: not timed")
    same = var.highest(measure(market, book, few, "native").estimates).value
    if not (np.abs(worst["exact, native"] - same) < 2 * DEFAULT.tolerance * gross).all():
        sys.exit("tables and exact prices lead to different VaR: not timed")
    for _ in range(repeat):
        for name, job in jobs.items():
            result = measure(market, *_sized(job))
            rates[name].append(result.revaluations / result.seconds)
    speeds = {
        name: {
            "revaluations_per_second": round(statistics.median(found)),
            "revaluations_per_second_range": [round(min(found)), round(max(found))],
        }
        for name, found in rates.items()
    }
    return {"options": len(book.instruments), "scenarios": scenarios, **audit, "by_engine": speeds}


def _sized(job: tuple[Book, str, int]) -> tuple[Book, int, str]:
    return job[0], job[2], job[1]


def whole_job(engine: str, options: int, scenarios: int, accounts: int) -> dict[str, Any]:
    """From the book to measures, tables included."""
    choose(engine)  # compiled beforehand
    market = make_market(underlyings=50, pillars=(0.25, 1.0))
    start = time.perf_counter()
    book = make_book(market, options, accounts)
    resolved = time.perf_counter()
    result = measure(market, book, scenarios, engine)
    memory = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss * 1024 / 1e9
    return {
        "engine": engine,
        "scenarios": scenarios,
        "options": len(book.instruments),
        "factors": len(market.factors),
        "accounts": accounts,
        "positions": book.positions,
        "resolve_seconds": round(resolved - start, 2),
        "preparation_seconds": round(result.preparation, 2),
        "seconds": round(result.seconds, 2),
        "revaluations_per_second": round(result.revaluations / result.seconds),
        "peak_memory_gb": round(memory, 2),
        **audited(market, book, scenarios),
    }


def main() -> None:
    """Check, time, print."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0] if __doc__ else "")
    parser.add_argument("--job", action="store_true", help="the whole job, and nothing else")
    parser.add_argument("--engine", default="native", help="of the whole job")
    parser.add_argument("--contracts", type=int, default=2_000)
    parser.add_argument("--options", type=int, help="of the book; default 1,000, and 10,000 of the whole job")
    parser.add_argument("--scenarios", type=int, default=100_000)
    parser.add_argument("--accounts", type=int, default=200, help="of the whole job")
    parser.add_argument("--repeat", type=int, default=5)
    parser.add_argument("--json", type=Path)
    a = parser.parse_args()
    outcome = {**provenance(), "workers": cores()}
    if a.job:
        outcome["job"] = whole_job(a.engine, a.options or 10_000, a.scenarios, a.accounts)
    else:
        if find_spec("QuantLib"):
            outcome["exact_on_one_core"] = exact(a.contracts, a.repeat)
        outcome["revaluation"] = tables(a.options or 1_000, a.scenarios, a.repeat)
    text = json.dumps(outcome, indent=2)
    print(text)
    if a.json:
        a.json.write_text(text + "\n")


if __name__ == "__main__":
    main()
