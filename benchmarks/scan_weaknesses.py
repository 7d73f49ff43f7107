"""Where sixteen points ask too little or too much: accounts made for it, beside Monte Carlo.

    python benchmarks/scan_weaknesses.py [--scenarios 200000] [--json FILE] [--markdown FILE]

Two stocks at 100 with volatilities of 25 % and a correlation of 0.9, two delivery months of a commodity with a
correlation of 0.98, and a coin with a volatility of 60 %; ranges cover 99 % of each factor's own moves over two days.
Margins that have a formula are checked: the directional account's is its price range, that of the pair what a credit
leaves of two of them, and that of the coins is 1 / F - 1 / F' at today's F.
"""

from __future__ import annotations

import argparse
import json
import tempfile
from collections.abc import Mapping
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
    ScanConfig,
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
COIN,price,COIN,60000,0.6,USD
"""
CORRELATION = """factor,A,B,OILH,OILM,COIN
A,1,{0},0.3,0.3,0
B,{0},1,0.3,0.3,0
OILH,0.3,0.3,1,0.98,0
OILM,0.3,0.3,0.98,1,0
COIN,0,0,0,0,1
"""
MADE_FOR, BROKEN = 0.9, (0.5, 0.0)  # correlations of A and B: what the credit was made for, and what came
CREDIT = 0.78  # of price risk: leaves 1.1 times VaR at the correlation that it was made for
NEXT, WEEK, QUARTER = "2026-01-04T01:00:00Z", "2026-01-09T21:00:00Z", "2026-03-20T20:00:00Z"
INSTRUMENTS = f"""instrument,kind,underlying,commodity,option_type,strike,expiry,multiplier,volatility,settlement
A,spot,A,A,,,,,,
B,spot,B,B,,,,,,
C1,option,A,A,call,101.5,{NEXT},100,0.25,
C2,option,A,A,call,102.44,{NEXT},100,0.25,
C3,option,A,A,call,103.38,{NEXT},100,0.25,
P,option,A,A,put,90,{WEEK},100,0.25,
S,option,A,A,call,100,{QUARTER},100,0.25,
T,option,A,A,put,100,{QUARTER},100,0.25,
H,future,OILH,oil,,,{QUARTER},1000,,
M,future,OILM,oil,,,2026-06-19T20:00:00Z,1000,,
I,perpetual,COIN,COIN,,,,1,,inverse
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
long coins,I,100000
short coins,I,-100000
short coins in coins,I,-100000
"""
COMMODITIES = """commodity,currency
A,USD
B,USD
oil,USD
COIN,COIN
"""
SPREADS = f"""spread,kind,priority,charge,commodity,tier,ratio,side,credit
stocks,inter,1,0,A,0,1,A,{CREDIT}
stocks,inter,1,0,B,0,1,B,{CREDIT}
"""
WHY = {
    "directional": "the range is what was asked for",
    "straddle": "a corner of the grid is the worst",
    "between points": "a butterfly at its expiry loses most between two grid points",
    "far puts": "losses start beyond the range, where only the extreme points look, and 35 % of them counts",
    "calendar": "one commodity: both months move alike at every point, and no spread charge is given",
    "pair": "commodities are added up: no credit for correlation is given",
    "long coins": "what is lost while coins fall counts at today's rate: too much",
    "short coins": "what is lost while coins rise counts at today's rate: too little",
    "short coins in coins": "the account is in coins, and nothing is converted",
}
ACCOUNTS = "account,currency\n" + "".join(f"{name},{'COIN' if 'in coins' in name else 'USD'}\n" for name in WHY)
Row = Mapping[str, Any]
Sides = dict[str, dict[str, Row]]
JOB = CompareJob(ranges=False, netting=False)
NORMAL, FAT = "gaussian", "student_t 3"
MODELS = {NORMAL: GaussianModel(), FAT: StudentTModel(dof=3.0)}
NO_MEAN = ("straddle", "pair", "short coins")  # losses grow with a price, and exp of a t move has no mean


def main() -> None:
    """Compare, check, print."""
    parser = argparse.ArgumentParser(description=(__doc__ or "").splitlines()[0])
    parser.add_argument("--scenarios", type=int, default=200_000)
    parser.add_argument("--json", type=Path)
    parser.add_argument("--markdown", type=Path)
    arguments = parser.parse_args()
    with tempfile.TemporaryDirectory() as name:
        config = _config(Path(name), arguments.scenarios)
        found = _compared(config, MADE_FOR)
        credited = replace(config, scan=ScanConfig(parameters=name))
        pairs = {each: _compared(credited, each)["pair"] for each in (MADE_FOR, *BROKEN)}
    _check(found, pairs)
    heads = ["margin / VaR 99 %", "exceeded in", "under t(3)"]
    lines = _table(
        ["account", *heads, "then by", "why"],
        [[name, *_row(found[name], "" if name in NO_MEAN else FAT), why] for name, why in WHY.items()],
    )
    rows = [["no credit", f"{MADE_FOR:g}", *_row(found["pair"], NORMAL)]]
    rows += [[f"credit of {CREDIT:g}", f"{each:g}", *_row(sides, NORMAL)] for each, sides in pairs.items()]
    lines += ["", "The pair again, margined with a credit between its stocks, as their correlation is:", ""]
    lines += _table(["pair", "correlation", *heads, "normal: then by"], rows)
    text = "\n".join(lines) + "\n"
    kept = {
        **provenance(), "scenarios": arguments.scenarios, "days": DAYS, "accounts": found,
        "credited": {f"{each:g}": sides for each, sides in pairs.items()},
    }  # fmt: skip
    print(text)
    if arguments.json:
        arguments.json.write_text(json.dumps(kept, indent=1) + "\n")
    if arguments.markdown:
        arguments.markdown.write_text(text)


def _config(folder: Path, count: int) -> Config:
    """The accounts, in files; the parameters that give a credit stand beside them."""
    tables = {
        "factors": FACTORS, "correlation": CORRELATION.format(MADE_FOR), "instruments": INSTRUMENTS,
        "positions": POSITIONS, "accounts": ACCOUNTS, "commodities": COMMODITIES, "spreads": SPREADS,
    }  # fmt: skip
    for table, text in tables.items():
        (folder / f"{table}.csv").write_text(text)
    files = {table: str(folder / f"{table}.csv") for table in tables}
    return Config(
        market=FilesMarket(
            factors=files["factors"], correlation=files["correlation"], valuation="2026-01-02T00:00:00Z"
        ),
        book=FilesBook(instruments=files["instruments"], positions=files["positions"], accounts=files["accounts"]),
        horizon=HorizonConfig(days=DAYS), scenarios=SimulatedScenarios(count=count),
        measure=MeasureConfig(levels=[0.99]), engine=NativeEngine(), job=JOB,
    )  # fmt: skip


def _compared(config: Config, correlation: float) -> Sides:
    """Rows of comparison.parquet, by account and by model, at a correlation of the stocks."""
    assert isinstance(config.market, FilesMarket)
    Path(config.market.correlation).write_text(CORRELATION.format(correlation))
    found: Sides = {}
    for model, settings in MODELS.items():
        for row in mcvar.find_comparison(replace(config, model=settings)).table().to_pylist():
            found.setdefault(row["account"], {})[model] = row
    return found


def _check(found: Sides, pairs: Mapping[float, dict[str, Row]]) -> None:
    def scan(sides: Sides, account: str) -> float:
        return float(sides[account]["gaussian"]["scan"])

    def size(volatility: float) -> float:
        return float(np.expm1(ndtri(0.995) * volatility * np.sqrt(DAYS / 365)))

    stock, coin = size(0.25), size(0.6)
    lost = 100_000 / 60_000 * coin / (1 + coin)  # coins, when the price rises
    for name, want in (
        ("directional", 1000 * 100 * stock), ("pair", 2 * 1000 * 100 * stock), ("calendar", 0.0),
        ("long coins", 100_000 * coin / (1 - coin)), ("short coins", 60_000 * lost), ("short coins in coins", lost),
    ):  # fmt: skip
        assert abs(scan(found, name) - want) <= 1e-9 * max(want, 1.0), (name, scan(found, name), want)
    for sides in pairs.values():
        want = (1 - CREDIT) * 2 * 1000 * 100 * stock
        assert abs(sides["gaussian"]["scan"] / want - 1) < 1e-9, (sides["gaussian"]["scan"], want)


def _row(sides: Mapping[str, Row], model: str) -> list[str]:
    """`model`: of the expected shortfall beyond the margin, in margins; "": it has none."""
    normal, fat = sides[NORMAL], sides[FAT]
    beyond = sides[model]["expected_shortfall_beyond"] if model else None
    return [
        "-" if normal["ratio"] is None else f"{normal['ratio']:.2f}",
        *(f"{100 * row['exceed_probability']:.2f} %" for row in (normal, fat)),
        f"{beyond / normal['scan']:.2f}" if beyond is not None and normal["scan"] > 0 else "-",
    ]


def _table(heads: list[str], rows: list[list[str]]) -> list[str]:
    numbers = [head == "correlation" or any(each[0].isdigit() for each in column)
               for head, column in zip(heads, zip(*rows, strict=True), strict=True)]  # fmt: skip
    ruled = ["--:" if number else "---" for number in numbers]
    return ["| " + " | ".join(heads) + " |", "|" + "|".join(ruled) + "|", *("| " + " | ".join(r) + " |" for r in rows)]


if __name__ == "__main__":
    main()
