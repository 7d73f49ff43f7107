"""The same work in other tools, on this machine and in one run: from factor moves to VaR at 99 % of every account.

    python benchmarks/others.py [--scenarios N] [--options I] [--accounts R] [--repeat M] [--tools T ...] [--json FILE]

Every tool gets the same moves, drawn by mcvar beforehand, the same options and the same positions, and
all cores. Its P&L is checked against Black's formula cell by cell and its VaR against mcvar's before
anything is printed. The tools run in turn, M times each, and slow ones in fewer scenarios: the rates
are per revaluation (one option in one scenario). Tools that are not installed are left out. Prints one
JSON object. None of them is told about put-call parity, which mcvar finds by itself in a listed grid:
`--no-pairs` values a book without it.
"""

from __future__ import annotations

import argparse
import json
import math
import multiprocessing
import os
import statistics
import sys
import time
from collections.abc import Callable, Sequence
from concurrent.futures import Executor, ThreadPoolExecutor
from dataclasses import dataclass
from importlib.metadata import version
from importlib.util import find_spec
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray
from workload import CHECKED, YEARS, Cells, difference, make_book, make_market, make_scenarios

from mcvar.book import Book
from mcvar.engines import choose
from mcvar.jobs import var
from mcvar.market import Market
from mcvar.measures import ranks
from mcvar.memory import cores, plan
from mcvar.precision import Precision
from mcvar.provenance import provenance
from mcvar.scenarios import Explicit

Floats = NDArray[np.float64]
LEVEL, CONFIDENCE = 0.99, 0.95
TOLERANCE = {"float64": 1e-12, "float32": 1e-5}  # of gross value
BASELINE = "mcvar native"


@dataclass(frozen=True)
class Job:
    """What is valued."""

    market: Market
    book: Book
    cells: Cells
    workers: int


@dataclass(frozen=True)
class Tool:
    """One way to do the job.

    Parameters
    ----------
    pnl : callable
        P&L [R, n] of moves [F, n].
    var : callable
        VaR [R] of moves [F, N]: what is timed.
    how : str
        For the reader of the result.
    dtype : str
    share : float
        Of the scenarios, so that a slow tool takes seconds and not hours.
    """

    pnl: Callable[[Floats], Floats]
    var: Callable[[Floats], Floats]
    how: str
    dtype: str = "float64"
    share: float = 1.0


def of_mcvar(job: Job, name: str, precision: Precision = Precision.fp64) -> Tool:
    """One of mcvar's engines, by the job that users run, which estimates intervals, ES and moments as well."""
    engine = choose(name, precision, workers=job.workers)

    def pnl(moves: Floats) -> Floats:
        return engine.make(job.market, job.book, Explicit(moves), YEARS).pnl(0, moves.shape[1])

    def measure(moves: Floats) -> Floats:
        arguments: dict[str, Any] = {"levels": [LEVEL], "confidence": CONFIDENCE}
        planned = plan(
            rows=len(job.book.row), instruments=len(job.book.instruments), count=moves.shape[1], workers=job.workers,
            engine=engine, state=(2, 0) * len(moves), positions=job.book.quantity.nnz, **arguments,
        )  # fmt: skip
        result = var.run(job.market, job.book, Explicit(moves), decay=YEARS, plan=planned, engine=engine, **arguments)
        return var.highest(result.estimates).value

    dtype = "float32" if precision is Precision.fp32 else "float64"
    return Tool(pnl, measure, f"mcvar.jobs.var with engine={name} engine.precision={precision.value}", dtype)


def of_quantlib(job: Job) -> Tool:
    """QuantLib's `blackFormula` once a cell, mapped over lists, in one process a core.

    QuantLib-Python has no call that values many options. A `VanillaOption` with an
    `AnalyticEuropeanEngine` whose quotes are moved takes several times as long for the same number.
    """
    pool = multiprocessing.get_context("spawn").Pool(job.workers, _quantlib_start, (job.cells, job.book.quantity))
    pool.map(_quantlib_pnl, [np.zeros((len(job.market.factors), 1))] * job.workers)  # wait for imports

    def pnl(moves: Floats) -> Floats:
        pieces = np.array_split(moves, max(1, -(-moves.shape[1] // 50)), axis=1)
        return np.concatenate(pool.map(_quantlib_pnl, pieces, chunksize=1), axis=1)

    return Tool(pnl, lambda moves: worst(pnl(moves), job.workers), "blackFormula a cell, a process a core", share=0.05)


_quantlib: dict[str, Any] = {}  # what a worker process knows


def _quantlib_start(cells: Cells, quantity: Any) -> None:
    import QuantLib

    types = [QuantLib.Option.Call if sign > 0 else QuantLib.Option.Put for sign in cells.sign]
    _quantlib.update(
        formula=QuantLib.blackFormula,
        columns=(types, cells.strike.tolist(), cells.discount.tolist()),
        cells=cells,
        quantity=quantity,
    )


def _quantlib_pnl(moves: Floats) -> Floats:
    cells, formula = _quantlib["cells"], _quantlib["formula"]
    types, strikes, discounts = _quantlib["columns"]
    growth, volatility = np.exp(moves), np.exp(cells.weights @ moves)
    dv = np.empty((len(types), moves.shape[1]))
    for n in range(moves.shape[1]):
        forwards = (cells.forward * growth[cells.underlying, n]).tolist()
        deviations = (cells.deviation * volatility[cells.group, n]).tolist()
        dv[:, n] = list(map(formula, types, strikes, forwards, deviations, discounts))
    return np.asarray(_quantlib["quantity"] @ (dv - cells.value_0[:, None]))


def of_jax(job: Job) -> Tool:
    """One jitted function of a block of scenarios, double precision, on the CPU, a block a thread.

    XLA's parallel loops leave cores idle between operations, so blocks run on threads beside each
    other. The values are added up by scipy: XLA's sparse products are slower on CPUs.
    """
    os.environ.setdefault("JAX_PLATFORMS", "cpu")
    import jax

    jax.config.update("jax_enable_x64", True)
    np_, erfc, c, block = jax.numpy, jax.scipy.special.erfc, job.cells, 512
    moneyness, deviation, sign, first, second, today = (column[:, None] for column in _coefficients(c))

    def cdf(d: Any) -> Any:  # jax.scipy.special.ndtr takes three times as long
        return 0.5 * erfc(-math.sqrt(0.5) * d)

    @jax.jit
    def change(x: Any) -> Any:
        growth, volatility = np_.exp(x), np_.exp(c.weights @ x)
        s = deviation * volatility[c.group]
        middle, half = (moneyness + x[c.underlying]) / s, 0.5 * s
        return first * growth[c.underlying] * cdf(sign * (middle + half)) - second * cdf(sign * (middle - half)) - today

    def part(out: Floats, moves: Floats, start: int) -> None:
        given = moves[:, start : start + block]
        n = given.shape[1]
        padded = np.pad(given, ((0, 0), (0, block - n)))  # one shape, compiled once
        out[:, start : start + n] = (job.book.quantity @ np.asarray(change(padded)))[:, :n]

    threads = ThreadPoolExecutor(job.workers)

    def pnl(moves: Floats) -> Floats:
        out = np.empty((len(job.book.row), moves.shape[1]))
        list(threads.map(lambda start: part(out, moves, start), range(0, moves.shape[1], block)))
        return out

    return Tool(pnl, lambda moves: worst(pnl(moves), threads), "jit, float64, blocks on threads, scipy.sparse")


def of_numba(job: Job) -> Tool:
    """Loops over scenarios, options and positions, compiled, in parallel over scenarios."""
    os.environ.setdefault("OMP_WAIT_POLICY", "passive")  # else its idle threads spin into the next tool's turn
    import numba

    root = math.sqrt(0.5)

    @numba.njit(parallel=True, fastmath=False)
    def loops(  # type: ignore[no-untyped-def]  # numba infers the types
        x, weights, underlying, group, moneyness, deviation, sign, first, second, today, begin, column, quantity
    ):
        out = np.empty((len(begin) - 1, len(x)))
        for n in numba.prange(len(x)):
            growth, volatility = np.exp(x[n]), np.exp(np.dot(weights, x[n]))
            dv = np.empty(len(deviation))
            for i in range(len(deviation)):
                u = underlying[i]
                s = deviation[i] * volatility[group[i]]
                middle, half = (moneyness[i] + x[n, u]) / s, 0.5 * s
                n1 = 0.5 * math.erfc(-root * sign[i] * (middle + half))
                n2 = 0.5 * math.erfc(-root * sign[i] * (middle - half))
                dv[i] = first[i] * growth[u] * n1 - second[i] * n2 - today[i]
            for r in range(len(begin) - 1):
                total = 0.0
                for at in range(begin[r], begin[r + 1]):
                    total += quantity[at] * dv[column[at]]
                out[r, n] = total
        return out

    c, q = job.cells, job.book.quantity
    columns = (c.weights, c.underlying, c.group, *_coefficients(c), q.indptr, q.indices, q.data)
    numba.set_num_threads(min(job.workers, numba.config.NUMBA_NUM_THREADS))

    def pnl(moves: Floats) -> Floats:
        return np.asarray(loops(np.ascontiguousarray(moves.T), *columns))

    return Tool(pnl, lambda moves: worst(pnl(moves), job.workers), "njit(parallel=True), math.erfc")


# In the order of the result. The module that must be there, how to make the tool, and the distribution it is in.
TOOLS: dict[str, tuple[str, Callable[[Job], Tool], str]] = {
    "mcvar native": ("mcvar", lambda job: of_mcvar(job, "native"), ""),
    "mcvar native fp32": ("mcvar", lambda job: of_mcvar(job, "native", Precision.fp32), ""),
    "mcvar numpy": ("mcvar", lambda job: of_mcvar(job, "numpy"), ""),
    "numba": ("numba", of_numba, "numba"),
    "jax": ("jax", of_jax, "jax"),
    "quantlib": ("QuantLib", of_quantlib, "QuantLib"),
}


def worst(pnl: Floats, workers: int | Executor) -> Floats:
    """VaR [R] of P&L [R, N], the rows shared out to threads."""
    kth = ranks(pnl.shape[1], LEVEL, CONFIDENCE).var - 1

    def part(rows: Floats) -> Floats:
        return -np.partition(rows, kth, axis=1)[:, kth]

    pieces = np.array_split(pnl, min(len(pnl), 16))
    if isinstance(workers, Executor):
        return np.concatenate(list(workers.map(part, pieces)))
    with ThreadPoolExecutor(workers) as threads:
        return np.concatenate(list(threads.map(part, pieces)))


def _coefficients(c: Cells) -> tuple[Floats, ...]:
    """What of Black's formula does not depend on the scenario: each [I]."""
    return (
        np.log(c.forward / c.strike),
        c.deviation,
        c.sign,
        c.sign * c.discount * c.forward,
        c.sign * c.discount * c.strike,
        c.value_0,
    )


def compare(job: Job, moves: Floats, names: Sequence[str], repeat: int) -> dict[str, dict[str, Any]]:
    """Check, then time in turns; results by tool.

    Parameters
    ----------
    job : Job
    moves : ndarray [F, N]
        A tool takes the first of them, by its share.
    names : sequence of str
        Of `TOOLS`.
    repeat : int
    """
    tools = {name: TOOLS[name][1](job) for name in names}
    few = np.ascontiguousarray(moves[:, :CHECKED])
    errors = {name: difference(tool.pnl(few), job.market, job.book, few) for name, tool in tools.items()}
    wrong = {name: error for name, error in errors.items() if not error < TOLERANCE[tools[name].dtype]}
    if wrong:
        sys.exit(f"P&L differs from Black's formula by {wrong} of gross value: not timed")

    given = {
        name: np.ascontiguousarray(moves[:, : max(1000, round(moves.shape[1] * tool.share))])
        for name, tool in tools.items()
    }
    seconds: dict[str, list[float]] = {name: [] for name in tools}
    found: dict[str, Floats] = {}
    for turn in range(1 + repeat):  # the first turn is not counted: memory and threads are new to everybody
        for name, tool in tools.items():
            start = time.perf_counter()
            found[name] = tool.var(given[name])
            if turn:
                seconds[name].append(time.perf_counter() - start)

    rates = {
        name: [len(job.book.instruments) * given[name].shape[1] / s for s in times] for name, times in seconds.items()
    }
    gross = abs(job.book.quantity) @ job.cells.value_0
    expected: dict[int, Floats] = {}
    results = {}
    for name, tool in tools.items():
        count = given[name].shape[1]
        if count not in expected:
            expected[count] = tools[names[0]].var(given[name])
        off = float((np.abs(found[name] - expected[count]) / gross).max())
        if not off < TOLERANCE[tool.dtype]:
            sys.exit(f"the VaR of {name} differs from that of {names[0]} by {off} of gross value")
        distribution = TOOLS[name][2]
        results[name] = {
            **({"version": version(distribution)} if distribution else {}),
            "how": tool.how,
            "dtype": tool.dtype,
            "largest_error_of_gross_value": errors[name],
            "scenarios": count,
            "seconds": [round(s, 4) for s in seconds[name]],
            "revaluations_per_second": round(statistics.median(rates[name])),
            "revaluations_per_second_range": [round(min(rates[name])), round(max(rates[name]))],
        }
        if BASELINE in rates:
            # turn by turn, as what else the machine does slows the tools of one turn alike
            times_faster = [b / r for b, r in zip(rates[BASELINE], rates[name], strict=True)]
            results[name] |= {
                f"{BASELINE} is times faster": round(statistics.median(times_faster), 2),
                f"{BASELINE} is times faster, range": [round(min(times_faster), 2), round(max(times_faster), 2)],
            }
    return results


def main() -> None:
    """Check, time, print."""
    there = [name for name, (module, _, _) in TOOLS.items() if find_spec(module)]
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0] if __doc__ else "")
    parser.add_argument("--scenarios", type=int, default=100_000)
    parser.add_argument("--options", type=int, default=2_000)
    parser.add_argument("--accounts", type=int, default=200)
    parser.add_argument("--positions", type=int, default=20)
    parser.add_argument("--underlyings", type=int, default=10)
    parser.add_argument("--no-pairs", action="store_true", help="one option a strike")
    parser.add_argument("--repeat", type=int, default=5)
    parser.add_argument("--workers", type=int, default=cores())
    parser.add_argument("--tools", nargs="+", choices=there, default=there)
    parser.add_argument("--json", type=Path)
    a = parser.parse_args()

    market = make_market(a.underlyings)
    book = make_book(market, a.options, a.accounts, a.positions, pairs=not a.no_pairs)
    job = Job(market, book, Cells.of(market, book), a.workers)
    results = compare(job, make_scenarios(market, a.scenarios).moves(0, a.scenarios), a.tools, a.repeat)
    outcome = {
        **provenance(),
        "work": "from given factor moves to VaR 99 % of every account; rates count one option in one scenario",
        "options": len(book.instruments),
        "pairs": not a.no_pairs,
        "factors": len(market.factors),
        "accounts": a.accounts,
        "positions": book.positions,
        "workers": a.workers,
        "tools": results,
    }
    text = json.dumps(outcome, indent=2)
    print(text)
    if a.json:
        a.json.write_text(text + "\n")


if __name__ == "__main__":
    main()
