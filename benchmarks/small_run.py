"""A small run of every stage on the GPU, for compute-sanitizer: each buffer is an allocation of its own."""

from __future__ import annotations

import cupy
from workload import YEARS, make_book, make_market, make_scenarios

from mcvar.engines import choose
from mcvar.precision import Precision
from mcvar.sweep import sweep


def main() -> None:
    """Both precisions, values read in chunks and directly."""
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


if __name__ == "__main__":
    main()
