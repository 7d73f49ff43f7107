"""Where sixteen points ask too little or too much: accounts made for it, beside Monte Carlo.

    python benchmarks/scan_weaknesses.py [--scenarios 200000] [--json FILE] [--markdown FILE]

Two stocks at 100 with volatilities of 25 % and a correlation of 0.9, and two delivery months of a commodity with a
correlation of 0.98; ranges cover 99 % of each factor's own moves over two days. The margin of the directional account
is checked by hand: it is its price range.
"""

from __future__ import annotations

import argparse
import json
import tempfile
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
from scipy.special import ndtri

import mcvar
from mcvar.config import (
    CompareJob,
    Config,
    FilesBook,
    FilesMarket,
    GaussianModel,
    HorizonConfig,
    MeasureConfig,
    NativeEngine,
    SimulatedScenarios,
    StudentTModel,
)
from mcvar.provenance import provenance

DAYS = 2.0
FACTORS = """factor,kind,underlying,level,volatility,currency
A,price,A,100,0.25,USD
B,price,B,100,0.25,USD
OILH,price,OILH,70,0.35,USD
OILM,price,OILM,70,0.35,USD
"""
CORRELATION = """factor,A,B,OILH,OILM
A,1,0.9,0.3,0.3
B,0.9,1,0.3,0.3
OILH,0.3,0.3,1,0.98
OILM,0.3,0.3,0.98,1
"""
NEXT, WEEK, QUARTER = "2026-01-04T01:00:00Z", "2026-01-09T21:00:00Z", "2026-03-20T20:00:00Z"
INSTRUMENTS = f"""instrument,kind,underlying,commodity,option_type,strike,expiry,multiplier,volatility
A,spot,A,A,,,,,
B,spot,B,B,,,,,
C1,option,A,A,call,101.5,{NEXT},100,0.25
C2,option,A,A,call,102.44,{NEXT},100,0.25
C3,option,A,A,call,103.38,{NEXT},100,0.25
P,option,A,A,put,90,{WEEK},100,0.25
S,option,A,A,call,100,{QUARTER},100,0.25
T,option,A,A,put,100,{QUARTER},100,0.25
H,future,OILH,oil,,,{QUARTER},1000,
M,future,OILM,oil,,,2026-06-19T20:00:00Z,1000,
"""
POSITIONS = """account,instrument,quantity
directional,A,1000
straddle,S,-10
straddle,T,-10
between points,C1,-100
between points,C2,200
between points,C3,-100
far puts,P,-100
calendar,H,10
calendar,M,-10
pair,A,1000
pair,B,-1000
"""
WHY = {
    "directional": "the range is what was asked for",
    "straddle": "a corner of the grid is the worst",
    "between points": "a butterfly at its expiry loses most between two grid points",
    "far puts": "losses start beyond the range, where only the extreme points look, and 35 % of them counts",
    "calendar": "one commodity: both months move alike at every point, and no spread charge is given",
    "pair": "commodities are added up: no credit for correlation is given",
}
MODELS = {"gaussian": GaussianModel(), "student_t 3": StudentTModel(dof=3.0)}


def main() -> None:
    """Compare, check, print."""
    parser = argparse.ArgumentParser(description=(__doc__ or "").splitlines()[0])
    parser.add_argument("--scenarios", type=int, default=200_000)
    parser.add_argument("--json", type=Path)
    parser.add_argument("--markdown", type=Path)
    arguments = parser.parse_args()
    found: list[dict[str, Any]] = []
    with tempfile.TemporaryDirectory() as name:
        folder = Path(name)
        tables = {"factors": FACTORS, "correlation": CORRELATION, "instruments": INSTRUMENTS, "positions": POSITIONS}
        for table, text in tables.items():
            (folder / f"{table}.csv").write_text(text)
        files = {table: str(folder / f"{table}.csv") for table in tables}
        config = Config(
            market=FilesMarket(
                factors=files["factors"], correlation=files["correlation"], valuation="2026-01-02T00:00:00Z"
            ),
            book=FilesBook(instruments=files["instruments"], positions=files["positions"]),
            horizon=HorizonConfig(days=DAYS), scenarios=SimulatedScenarios(count=arguments.scenarios),
            measure=MeasureConfig(levels=[0.99]), engine=NativeEngine(), job=CompareJob(ranges=False, netting=False),
        )  # fmt: skip
        for model, settings in MODELS.items():
            report = mcvar.find_comparison(replace(config, model=settings))
            found += [{"model": model, **row} for row in report.table().to_pylist()]
    size = float(np.expm1(ndtri(0.995) * 0.25 * np.sqrt(DAYS / 365)))
    own = next(row for row in found if row["account"] == "directional")
    assert abs(own["scan"] / (1000 * 100 * size) - 1) < 1e-9, (own["scan"], size)
    lines = ["| account | scan / VaR 99 % | exceeded in | under t(3) | then by | why |", "|---|--:|--:|--:|--:|---|"]
    for account, why in WHY.items():
        normal, fat = (next(r for r in found if (r["model"], r["account"]) == (m, account)) for m in MODELS)
        ratio = "-" if normal["ratio"] is None else f"{normal['ratio']:.2f}"
        chances = [f"{100 * row['exceed_probability']:.2f} %" for row in (normal, fat)]
        beyond = fat["expected_shortfall_beyond"]
        then = f"{beyond / fat['scan']:.2f}" if beyond is not None and fat["scan"] > 0 else "-"
        lines.append(f"| {account} | {ratio} | {chances[0]} | {chances[1]} | {then} | {why} |")
    text = "\n".join(lines) + "\n"
    kept = {**provenance(), "scenarios": arguments.scenarios, "days": DAYS, "accounts": found}
    print(text)
    if arguments.json:
        arguments.json.write_text(json.dumps(kept, indent=1) + "\n")
    if arguments.markdown:
        arguments.markdown.write_text(text)


if __name__ == "__main__":
    main()
