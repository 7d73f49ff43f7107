"""SPAN margins of many accounts: risk arrays and positions are in memory, margins come out.

    python benchmarks/scan.py [--accounts R] [--positions P] [--contracts I] [--commodities C] [--workers W ...]
                              [--repeat M] [--json FILE]

Each commodity has futures of 12 months and options on a grid of strikes, priced by Black's formula at the 16 points;
4 tiers with a spread between any two and one inside each, a month near delivery, a short option minimum (half of them
netted), and every second one is in inter-commodity spreads. Accounts hold random contracts of all commodities, in no
order. A few accounts are first computed one at a time in fractions (`tests/scan_cases.py`), then the whole is timed:
checks, preparation and all. Processor seconds tell a busy machine from a slow program. Prints one JSON object.
"""

from __future__ import annotations

import argparse
import json
import resource
import statistics
import sys
import time
from pathlib import Path

import numpy as np
from scipy import sparse

from mcvar.pricing.black import black76
from mcvar.provenance import provenance
from mcvar.scan.arrays import RiskArrays
from mcvar.scan.grid import SPAN16
from mcvar.scan.parameters import Commodity, Delivery, Leg, Parameters, Spread, Tier
from mcvar.scan.span.algorithm import span
from mcvar.scan.span.margins import Margins

sys.path.insert(0, str(Path(__file__).parents[1] / "tests"))
from scan_cases import reference

MONTHS = [f"{2026 + m // 12}{m % 12 + 1:02d}" for m in range(12)]
RATES = {"USD": 1.0, "EUR": 1.25}
LEVEL, RANGE, VOLATILITY, SHIFT, LOOKAHEAD = 100.0, 6.0, 0.25, 0.05, 1 / 365


def make_arrays(contracts: int, commodities: int) -> RiskArrays:
    """Futures of every month, then options of the front months: a call and a put a strike."""
    each = contracts // commodities
    futures = min(len(MONTHS), each)
    strikes = np.linspace(80, 120, max(1, -(-(each - futures) // 6)))
    cells = [(month, strike, sign) for month in range(3) for strike in strikes for sign in (1, -1)][: each - futures]
    month = np.array([*range(futures), *(cell[0] for cell in cells)])
    strike = np.array([1.0] * futures + [cell[1] for cell in cells])
    sign = np.array([0] * futures + [cell[2] for cell in cells])
    years = (month + 1) / 12

    def value(move: float, shift: float, passed: float) -> np.ndarray:
        forward, left = LEVEL + RANGE * move, years - passed
        deviation = (VOLATILITY + SHIFT * shift) * np.sqrt(left)
        option = black76(forward, strike, deviation, np.where(sign == 0, 1, sign))
        return np.where(sign == 0, forward, option)

    base = value(0.0, 0.0, 0.0)
    points = zip(SPAN16.price, SPAN16.volatility, SPAN16.weight, strict=True)
    loss = np.stack([(base - value(p, v, LOOKAHEAD)) * w * 100 for p, v, w in points], axis=1)
    delta = (value(0.05, 0.0, 0.0) - value(-0.05, 0.0, 0.0)) / (0.1 * RANGE)
    scale = np.repeat(np.random.default_rng(1).uniform(0.5, 2.0, commodities), each)
    names = tuple(f"C{c}" for c in range(commodities))
    return RiskArrays(
        name=tuple(f"{c}-{i}" for c in names for i in range(each)),
        commodity=names,
        of=np.repeat(np.arange(commodities), each),
        currency=tuple(("USD", "EUR")[c % 5 == 0] for c in range(commodities) for _ in range(each)),
        loss=np.tile(loss, (commodities, 1)) * scale[:, None],
        delta=np.tile(delta, commodities),
        value=np.tile(np.where(sign == 0, 0.0, base) * 100, commodities) * scale,
        option=np.tile(sign != 0, commodities),
        month=tuple(MONTHS[m] for m in month) * commodities,
    )


def make_parameters(commodities: int) -> Parameters:
    """Ten intra-commodity spreads each, and one and a half inter-commodity ones for every second commodity."""

    def commodity(c: int) -> Commodity:
        name = f"C{c}"
        tiers = tuple(Tier(k + 1, MONTHS[3 * k], MONTHS[3 * k + 2]) for k in range(4))
        pairs = [(k, k) for k in range(1, 5)] + [(j, k) for k in range(1, 5) for j in range(1, k)]
        spreads = tuple(
            Spread(p, (Leg(name, j, 1.0, 1), Leg(name, k, 1.0, -1)), 40.0 + 10 * p) for p, (j, k) in enumerate(pairs, 1)
        )
        delivery = (Delivery(MONTHS[0], 20.0, 50.0),)
        return Commodity(
            name, ("USD", "EUR")[c % 5 == 0], RANGE, tiers=tiers, spreads=spreads, delivery=delivery,
            short_option_minimum=15.0, short_netted=c % 2 == 0,
        )  # fmt: skip

    owners = [f"C{c}" for c in range(0, commodities, 2)]
    pairs = [(a, b) for k in (1, 2, 3) for a, b in zip(owners, owners[k:], strict=False)][: 3 * len(owners) // 2]
    inter = tuple(
        Spread(p, (Leg(a, 0, 1.0, 1, 0.6), Leg(b, 0, float(1 + p % 2), -1, 0.6))) for p, (a, b) in enumerate(pairs, 1)
    )
    return Parameters(tuple(commodity(c) for c in range(commodities)), inter)


def make_positions(accounts: int, positions: int, contracts: int) -> sparse.csr_array:
    """Random contracts, none twice in one account, from -50 to 50 of each."""
    generator = np.random.default_rng(2)
    first = generator.integers(0, contracts, (accounts, 1))
    step = 1 + generator.integers(0, contracts // positions, (accounts, positions))
    column = (first + np.cumsum(step, axis=1)) % contracts
    quantity = generator.integers(1, 51, column.shape) * generator.choice((-1.0, 1.0), column.shape)
    bound = np.arange(0, column.size + 1, positions)
    held = sparse.csr_array((quantity.ravel(), column.ravel(), bound), shape=(accounts, contracts))
    held.sort_indices()
    return held


def check(found: Margins, arrays: RiskArrays, parameters: Parameters, held: sparse.csr_array, accounts: int) -> float:
    """Largest difference from the rules in fractions, as a part of the requirement."""
    worst = 0.0
    for row in np.linspace(0, held.shape[0] - 1, accounts).astype(int):
        rules = reference(arrays, SPAN16, parameters, held[[row]].toarray()[0].tolist(), RATES)
        if rules["worst_scenario"] != found.worst_scenario[row]:
            sys.exit(f"account {row}: scenario {found.worst_scenario[row]}, by the rules {rules['worst_scenario']}")
        for name in ("scan", "intra", "delivery", "credit", "minimum", "risk", "nov", "requirement"):
            difference = abs(float(getattr(found, name)[row]) - float(rules[name]))
            worst = max(worst, difference / max(1.0, float(rules["risk"])))
    return worst


def main() -> None:
    """Check, time, print."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0] if __doc__ else "")
    parser.add_argument("--accounts", type=int, default=100_000)
    parser.add_argument("--positions", type=int, default=20)
    parser.add_argument("--contracts", type=int, default=5_000)
    parser.add_argument("--commodities", type=int, default=40)
    parser.add_argument("--workers", type=int, nargs="+", default=[1, 2])
    parser.add_argument("--repeat", type=int, default=5)
    parser.add_argument("--json", type=Path)
    arguments = parser.parse_args()

    arrays = make_arrays(arguments.contracts, arguments.commodities)
    parameters = make_parameters(arguments.commodities)
    held = make_positions(arguments.accounts, arguments.positions, len(arrays))
    loaded = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss * 1024
    seconds: dict[int, list[float]] = {workers: [] for workers in arguments.workers}
    processor: dict[int, list[float]] = {workers: [] for workers in arguments.workers}
    for _ in range(arguments.repeat):
        for workers, times in seconds.items():
            start, busy = time.perf_counter(), time.process_time()
            found = span(arrays, SPAN16, parameters, held, currency="USD", rates=RATES, workers=workers)
            times.append(round(time.perf_counter() - start, 4))
            processor[workers].append(round(time.process_time() - busy, 4))
    peak = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss * 1024
    error = check(found, arrays, parameters, held, 10)
    if not error < 1e-12:
        sys.exit(f"margins differ from the rules by {error} of the risk: the times count for nothing")
    outcome = {
        **provenance(),
        "accounts": arguments.accounts,
        "positions": int(held.nnz),
        "contracts": len(arrays),
        "commodities": arguments.commodities,
        "scenarios": len(SPAN16),
        "spreads": {
            "intra": sum(len(commodity.spreads) for commodity in parameters.commodities),
            "inter": len(parameters.spreads),
        },
        "accounts_with": {
            name: int(np.count_nonzero(getattr(found, name))) for name in ("intra", "delivery", "credit", "minimum")
        },
        "largest_error_of_risk": error,
        "loaded_memory_gb": round(loaded / 1e9, 3),
        "peak_memory_gb": round(peak / 1e9, 3),
        "seconds": {f"{workers} threads": times for workers, times in seconds.items()},
        "median_seconds": {f"{workers} threads": statistics.median(times) for workers, times in seconds.items()},
        "processor_seconds": {f"{workers} threads": times for workers, times in processor.items()},
    }
    text = json.dumps(outcome, indent=2)
    print(text)
    if arguments.json:
        arguments.json.write_text(text + "\n")


if __name__ == "__main__":
    main()
