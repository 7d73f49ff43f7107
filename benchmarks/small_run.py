"""A small run of every stage on the GPU, for compute-sanitizer: each buffer is an allocation of its own."""

from __future__ import annotations

from dataclasses import replace

import cupy
import numpy as np
from workload import YEARS, make_book, make_market, make_scenarios

from mcvar.book import Book
from mcvar.engines import choose
from mcvar.market import Market
from mcvar.models import FilteredHistorical, Heston, HestonParameters, Merton, ShockModel, StudentT
from mcvar.models.jumps import JumpRates
from mcvar.models.volatility import Garch
from mcvar.precision import Precision
from mcvar.scenarios import Simulated
from mcvar.sweep import sweep
from mcvar.watched import Statistic, Watched


def models(market: Market) -> dict[str, ShockModel]:
    """Every part of a law."""
    size, names = len(market.factors), list(market.price_factor())
    one, daily = np.ones(size), market.volatility**2 / 252
    jumps = JumpRates(20.0, -0.01 * one, 0.01 * one, np.eye(size), 10.0 * one, 0.01 * one, 0.01 * one)
    garch = Garch(0.02 * daily, 0.05 * one, 0.1 * one, 0.85 * one, daily)
    bates = HestonParameters(2.0, 0.04, 0.8, -0.5, 0.05, 10.0, -0.02, 0.03)
    residuals = np.random.default_rng(1).standard_normal((300, size))
    return {
        "copula": StudentT(dof=4.0, marginals=[3.0] * size),
        "merton": Merton(jumps),
        "bates": Heston(dict.fromkeys(names, bates)),
        "filtered_historical": FilteredHistorical(residuals, garch, 200, 2, np.arange(20, 50)),
    }


def walk(market: Market, book: Book, precision: Precision) -> None:
    """Three steps of each, with statistics of the paths."""
    for name, model in models(market).items():
        law = model.law(replace(market, steps_per_year=252.0), YEARS, np.zeros(len(market.factors)), 3)
        watched = [Watched(f, each, 3) for f in range(len(market.factors)) for each in Statistic]
        engine = choose("cuda", precision).make(market, book, Simulated(law, 5_000), YEARS, watched, width=2048)
        engine.pnl(0, 5_000)
        print(precision.value, name, engine.moves(0, 5_000).mean())


def main() -> None:
    """Both precisions, values read in chunks and directly; every part of a law."""
    cupy.cuda.set_allocator(None)  # a pool would hide an access beyond the end
    market = make_market(underlyings=3)
    scenarios = make_scenarios(market, 12_000)
    for precision in (Precision.fp64, Precision.fp32):
        for accounts, positions in ((200, 60), (40, 5)):
            engine = choose("cuda", precision).make(
                market, make_book(market, 400, accounts, positions=positions), scenarios, YEARS, width=2048
            )
            tail, _, failed = sweep(engine, 12_000, [(1, 200), (300, 310)])
            assert len(failed) == 0
            tail.excess(305)
            engine.pnl(0, 3_000)
            print(precision.value, "chunks" if int(engine.plan["chunk"]) else "direct", tail.at(305)[:2])
        walk(market, make_book(market, 400, 40, positions=5), precision)


if __name__ == "__main__":
    main()
