"""The GPU job as a user of CuPy would write it: whole-array operations, no kernel of one's own.

    python benchmarks/plain_cupy.py [--scenarios N] [--options I] [--accounts R] [--dtype D] [--fuse] [--json FILE]

cuRAND normals, a matrix product with the Cholesky factor, Black's formula over arrays of scenarios x
options, a sparse product with the positions, and a sort of each account's P&L, which stays in GPU
memory. 20 underlyings x (1 price + 4 volatilities). Checked against Black's formula before it is
timed. Runs on numpy, scipy, CuPy and the core of mcvar alone; `--device cpu` runs the same lines on
numpy, to test them. Prints one JSON object.
"""

from __future__ import annotations

import argparse
import json
import platform
import statistics
import sys
import time
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from types import ModuleType
from typing import Any

import numpy as np
from numpy.typing import NDArray
from workload import CHECKED, YEARS, Cells, difference, make_book, make_market, make_scenarios

from mcvar import __version__
from mcvar.book import Book
from mcvar.correlation import factor_of
from mcvar.market import Market
from mcvar.measures import ranks

LEVEL = 0.99
TOLERANCE = {"float64": 1e-12, "float32": 1e-5}  # of gross value


@dataclass(frozen=True)
class Backend:
    """An array module and what lives beside it.

    Parameters
    ----------
    xp : module
        numpy or cupy.
    ndtr : callable
    csr : callable
        From ((data, indices, indptr), shape).
    normals : callable
        From (generator, shape, dtype).
    generator : callable
        From a seed.
    fuse : callable
        Makes one kernel of a function of arrays.
    synchronise, release : callable
        Wait for the device; give its memory back.
    """

    xp: ModuleType
    ndtr: Callable[..., Any]
    csr: Callable[..., Any]
    normals: Callable[..., Any]
    generator: Callable[[int], Any]
    fuse: Callable[[Callable[..., Any]], Callable[..., Any]]
    synchronise: Callable[[], None]
    release: Callable[[], None]

    @classmethod
    def gpu(cls) -> Backend:
        """CuPy on the current device."""
        import cupy
        import cupyx.scipy.sparse
        import cupyx.scipy.special

        return cls(
            xp=cupy,
            ndtr=cupyx.scipy.special.ndtr,
            csr=cupyx.scipy.sparse.csr_matrix,
            # the host API of cuRAND, which fills large arrays faster than cupy.random.Generator
            normals=lambda generator, shape, dtype: generator.standard_normal(shape, dtype=dtype),
            generator=cupy.random.RandomState,
            fuse=cupy.fuse,
            synchronise=lambda: cupy.cuda.Device().synchronize(),
            release=lambda: cupy.get_default_memory_pool().free_all_blocks(),
        )

    @classmethod
    def cpu(cls) -> Backend:
        """The same names in numpy and scipy."""
        from scipy import sparse, special

        return cls(
            xp=np,
            ndtr=special.ndtr,
            csr=sparse.csr_matrix,
            normals=lambda generator, shape, dtype: generator.standard_normal(shape, dtype=dtype),
            generator=np.random.default_rng,
            fuse=lambda function: function,
            synchronise=lambda: None,
            release=lambda: None,
        )


class Revaluation:
    """P&L of given moves; the arrays of the book stay on the device.

    Scenarios run along the first axis, so that the transposed values are in the column order that
    the sparse product wants and CuPy does not copy them.

    Parameters
    ----------
    backend : Backend
    market, book : Market, Book
        Of European options.
    dtype : str
        float32 or float64, of everything but the values today, which are computed in float64.
    fuse : bool
        One kernel for the formula (`cupy.fuse`) instead of one an operation.
    dense : bool
        Hold the quantities in a full matrix.
    """

    def __init__(
        self, backend: Backend, market: Market, book: Book, dtype: str, *, fuse: bool = False, dense: bool = False
    ) -> None:
        xp, cells = backend.xp, Cells.of(market, book)

        def on_device(column: NDArray[np.float64]) -> Any:
            return xp.asarray(column.astype(dtype))

        self.xp, self.rows = xp, len(book.row)
        self.underlying, self.group = xp.asarray(cells.underlying), xp.asarray(cells.group)
        self.weights = on_device(cells.weights.T)  # [F, G]
        self.coefficients = [
            on_device(column)
            for column in (
                np.log(cells.forward / cells.strike),
                cells.deviation,
                0.5 * cells.deviation,
                cells.sign,
                cells.sign * cells.discount * cells.forward,
                cells.sign * cells.discount * cells.strike,
                cells.value_0,
            )
        ]
        if dense:
            self.quantity = on_device(book.quantity.toarray())
        else:
            q = book.quantity
            parts = (on_device(q.data), xp.asarray(q.indices.astype(np.int32)), xp.asarray(q.indptr.astype(np.int32)))
            self.quantity = backend.csr(parts, shape=q.shape)
        ndtr = backend.ndtr

        def change(
            x: Any, g: Any, v: Any, moneyness: Any, s: Any, half: Any, sign: Any, first: Any, second: Any, today: Any
        ) -> Any:
            """Value at the horizon less value today, all arguments broadcast to [n, I]."""
            middle, width = (moneyness + x) / (s * v), half * v
            return first * g * ndtr(sign * (middle + width)) - second * ndtr(sign * (middle - width)) - today

        self.change = backend.fuse(change) if fuse else change

    def pnl(self, moves: Any) -> Any:
        """P&L [R, n] of moves [n, F]."""
        xp = self.xp
        g, v = xp.exp(moves), xp.exp(moves @ self.weights)  # [n, F], [n, G]
        at = self.underlying
        dv = self.change(moves[:, at], g[:, at], v[:, self.group], *self.coefficients)  # [n, I]
        assert dv.dtype == moves.dtype, f"{moves.dtype} became {dv.dtype}"
        return self.quantity @ dv.T


def run(
    market: Market,
    book: Book,
    scenarios_count: int,
    dtype: str = "float64",
    chunk: int = 10_000,
    *,
    repeat: int = 3,
    fuse: bool = False,
    dense: bool = False,
    seed: int = 1,
    backend: Backend | None = None,
) -> tuple[list[float], NDArray[np.float64]]:
    """Time the job from random numbers to VaR at 99 %; the preparation of the book is not timed.

    Parameters
    ----------
    market, book : Market, Book
    scenarios_count : int
    dtype : str
        float32 or float64.
    chunk : int
        Scenarios at once: about ten arrays of chunk x options live at the same time.
    repeat : int
        Timed runs, after an untimed one on a single chunk and one sort.
    fuse, dense
        See `Revaluation`.
    backend : Backend, optional
        CuPy if not given.

    Returns
    -------
    seconds : list of float [repeat]
    var : ndarray [R]
        Of the last run.
    """
    backend = backend or Backend.gpu()
    revaluation = Revaluation(backend, market, book, dtype, fuse=fuse, dense=dense)
    seconds, var = _timed(backend, revaluation, market, scenarios_count, dtype, chunk, repeat, seed)
    del revaluation
    backend.release()
    return seconds, var


def _timed(
    backend: Backend,
    revaluation: Revaluation,
    market: Market,
    scenarios_count: int,
    dtype: str,
    chunk: int,
    repeat: int,
    seed: int,
) -> tuple[list[float], NDArray[np.float64]]:
    xp = backend.xp
    root = (market.volatility * np.sqrt(YEARS))[:, None] * factor_of(market.correlation)
    factor = xp.asarray(root.T.astype(dtype))  # x = z L'
    rows, kth = revaluation.rows, ranks(scenarios_count, LEVEL, 0.95).var - 1
    generator = backend.generator(seed)
    total = xp.empty((rows, scenarios_count), dtype=dtype)

    def simulate(stop: int) -> None:
        for start in range(0, stop, chunk):
            n = min(chunk, stop - start)
            z = backend.normals(generator, (n, len(factor)), dtype)
            total[:, start : start + n] = revaluation.pnl(z @ factor)

    def var(count: int) -> Any:
        # Row by row: a partition of a matrix sorts pairs of a row number and a value, which is slower and takes
        # several times the memory. CuPy sorts where the rank is above 1023.
        found = xp.empty(count, dtype=dtype)
        for r in range(count):
            found[r] = -xp.partition(total[r], kth)[kth]
        return found

    total.fill(0)
    simulate(min(chunk, scenarios_count))
    var(1)
    backend.synchronise()
    seconds: list[float] = []
    for _ in range(repeat):
        start = time.perf_counter()
        simulate(scenarios_count)
        result = var(rows)
        backend.synchronise()
        seconds.append(time.perf_counter() - start)
    return seconds, on_host(result)


def check(market: Market, book: Book, dtype: str, backend: Backend | None = None, **options: bool) -> float:
    """Largest difference of P&L from Black's formula cell by cell, relative to gross value."""
    backend = backend or Backend.gpu()
    moves = make_scenarios(market, 1024).moves(0, 1024)[:, :CHECKED]
    given = backend.xp.asarray(moves.T.astype(dtype))
    pnl = Revaluation(backend, market, book, dtype, **options).pnl(given)
    # what the rounding of the moves to float32 does is part of the difference
    return difference(on_host(pnl), market, book, moves)


def on_host(array: Any) -> NDArray[np.float64]:
    """A numpy array of a device's."""
    return np.asarray(array.get() if hasattr(array, "get") else array, dtype=np.float64)


def main() -> None:
    """Check, time, print."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0] if __doc__ else "")
    parser.add_argument("--scenarios", type=int, default=1_000_000)
    parser.add_argument("--options", type=int, default=10_000)
    parser.add_argument("--accounts", type=int, default=1_000)
    parser.add_argument("--positions", type=int, default=100)
    parser.add_argument("--underlyings", type=int, default=20)
    parser.add_argument("--no-pairs", action="store_true", help="one option a strike")
    parser.add_argument("--dtype", choices=tuple(TOLERANCE), default="float64")
    parser.add_argument("--chunk", type=int, default=10_000)
    parser.add_argument("--repeat", type=int, default=3)
    parser.add_argument("--fuse", action="store_true", help="the formula as one kernel, by cupy.fuse")
    parser.add_argument("--dense", action="store_true", help="the positions as a full matrix")
    parser.add_argument("--device", choices=("gpu", "cpu"), default="gpu")
    parser.add_argument("--json", type=Path)
    a = parser.parse_args()

    backend = Backend.gpu() if a.device == "gpu" else Backend.cpu()
    market = make_market(a.underlyings)
    book = make_book(market, a.options, a.accounts, a.positions, pairs=not a.no_pairs)
    error = check(market, book, a.dtype, backend, fuse=a.fuse, dense=a.dense)
    if not error < TOLERANCE[a.dtype]:
        sys.exit(f"P&L differs from Black's formula by {error} of gross value: not timed")
    seconds, var = run(
        market, book, a.scenarios, a.dtype, a.chunk, repeat=a.repeat, fuse=a.fuse, dense=a.dense, backend=backend
    )
    work = a.scenarios * len(book.instruments)
    outcome = {
        "mcvar": __version__,
        "versions": {"python": platform.python_version(), "numpy": np.__version__},
        "device": platform.processor() or platform.machine(),
        "scenarios": a.scenarios,
        "options": len(book.instruments),
        "factors": len(market.factors),
        "accounts": a.accounts,
        "positions": book.positions,
        "dtype": a.dtype,
        "chunk": a.chunk,
        "fuse": a.fuse,
        "dense": a.dense,
        "largest_error_of_gross_value": error,
        "seconds": [round(s, 4) for s in seconds],
        "revaluations_per_second": round(work / statistics.median(seconds)),
        "revaluations_per_second_range": [round(work / max(seconds)), round(work / min(seconds))],
        "var_99_of_all": float(var[-1]),
    }
    if a.device == "gpu":
        cupy: Any = backend.xp
        properties = cupy.cuda.runtime.getDeviceProperties(cupy.cuda.Device().id)
        outcome["device"] = properties["name"].decode()
        outcome["versions"] |= {
            "cupy": cupy.__version__,
            "cuda_runtime": cupy.cuda.runtime.runtimeGetVersion(),
            "cuda_driver": cupy.cuda.runtime.driverGetVersion(),
        }
    text = json.dumps(outcome, indent=2)
    print(text)
    if a.json:
        a.json.write_text(text + "\n")


if __name__ == "__main__":
    main()
