"""Scan margins beside Monte Carlo on the sample book and on a Deribit chain: the tables of docs/comparison.md.

    python benchmarks/comparison.py [--snapshot FILE --history FILE --positions FILE] [--scenarios 200000]
                                    [--json FILE] [--markdown FILE]

The sample needs no file. The chain is a snapshot of the exchange, daily closes of its coins, and positions in it.
Numbers that have two sources are checked: margins of job=compare are those of job=scan, requirements what is left of
them after net option value, and coverage of a kind is the mean of what its accounts do not exceed.
"""

from __future__ import annotations

import argparse
import json
import subprocess
import tempfile
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow.parquet

from mcvar.provenance import provenance

Row = dict[str, Any]
LEVEL = 0.99
STILL = ["horizon.decay=false"]  # the exchange's grid lets no time pass
FAT = ["model=student_t", "model.dof=3", "horizon.days=2", "scan.days=2"]
KEPT = (
    "account", "scan", "worst_scenario", "requirement", "nov", "var", "var_low", "var_high", "es", "ratio", "ratio_low",
    "ratio_high", "exceed_probability", "exceed_low", "exceed_high", "beyond_error", "currency",
)  # fmt: skip


def main() -> None:
    """Run, check, print."""
    parser = argparse.ArgumentParser(description=(__doc__ or "").splitlines()[0])
    files = ("snapshot", "history", "positions")
    for name in (*files, "json", "markdown"):
        parser.add_argument(f"--{name}", type=Path)
    parser.add_argument("--scenarios", type=int, default=200_000)
    arguments = parser.parse_args()
    given = [getattr(arguments, name) for name in files]
    if any(given) and not all(given):
        parser.error("a chain takes --snapshot, --history and --positions")
    kept: Row = {**provenance(), "scenarios": arguments.scenarios}
    sample = compared([], arguments.scenarios)
    kept["sample"] = {name: sample[name] for name in ("groups", "ranges")}
    text = [kinds(sample["groups"]), ranges(sample["ranges"])]
    if all(given):
        snapshot, history, positions = (path.resolve() for path in given)
        chain = [
            "experiment=deribit", f"market.snapshot={snapshot}", f"market.history={history}",
            f"book.positions={positions}", *STILL,
        ]  # fmt: skip
        sides = {
            "deribit": compared([*chain, "scan=deribit"], arguments.scenarios),
            "span16": compared([*chain, "scan=span16"], arguments.scenarios),
            "fat": compared([*chain, "scan=deribit", *FAT], arguments.scenarios),
        }
        margins = {name: _tables([*chain, f"scan={name}", "job=scan"])["margins"] for name in ("deribit", "span16")}
        for name, rows in margins.items():
            np.testing.assert_allclose(_column(sides[name]["accounts"], "scan"), _column(rows, "risk"), rtol=1e-9)
        kept["deribit"] = {
            name: {"accounts": [{each: row[each] for each in KEPT} for row in side["accounts"]], "scan": side["scan"]}
            for name, side in sides.items()
        }
        kept["deribit"]["margins"] = margins["deribit"]
        text += [accounts(sides, margins["deribit"]), sizes(sides)]
    said = "\n\n".join(text) + "\n"
    print(said)
    if arguments.json:
        arguments.json.write_text(json.dumps(kept, indent=1) + "\n")
    if arguments.markdown:
        arguments.markdown.write_text(said)


def compared(settings: list[str], count: int) -> Row:
    """The tables of one comparison, checked, and what its record says of the scan."""
    found = _tables([*settings, "job=compare", "engine=native", f"scenarios.count={count}"])
    rows, groups = found["comparison"], found["comparison_groups"]
    for each in groups:
        of = [row for row in rows if each["kind"] in ("*", row["kind"])]
        chance = _column(of, "exceed_probability")
        assert abs(each["coverage"] - (1 - chance.mean())) < 1e-12, each
    if found["scan"]["name"] == "span16":  # margins of the exchange's grid are not net of option value
        left = np.maximum(_column(rows, "scan") - _column(rows, "nov"), 0.0)
        np.testing.assert_allclose(_column(rows, "requirement"), left, rtol=1e-9, atol=1e-6)
    return {"accounts": rows, "groups": groups, "ranges": found["comparison_ranges"], "scan": found["scan"]}


def _tables(settings: list[str]) -> Row:
    with tempfile.TemporaryDirectory() as name:
        folder = Path(name)
        subprocess.run(["mcvar", *settings, f"hydra.run.dir={folder}"], check=True, stdout=subprocess.DEVNULL)
        tables: Row = {path.stem: pyarrow.parquet.read_table(path).to_pylist() for path in folder.glob("*.parquet")}
        return {**tables, "scan": json.loads((folder / "run.json").read_text())["scan"]}


def _column(rows: list[Row], name: str) -> np.ndarray:
    return np.array([row[name] for row in rows], dtype=np.float64)


def kinds(groups: list[Row]) -> str:
    """By kind of book."""
    lines = [
        "| kind of book | accounts | covered | margin / VaR | rank correlation | margin nets | VaR nets |",
        "|---|--:|--:|--:|--:|--:|--:|",
    ]
    for each in groups:
        name = "all accounts" if each["kind"] == "*" else each["kind"]
        lines.append(
            f"| {name} | {each['accounts']} | {100 * each['coverage']:.2f} % | {each['ratio']:.2f} "
            f"| {each['rank']:.3f} | {each['netting_scan']:.3g} | {each['netting_var']:.3g} |"
        )
    return "\n".join(lines)


def ranges(found: list[Row]) -> str:
    """What ranges would do, of all accounts."""
    said = {
        each["axis"]: f"{each['multiple']:.2f} times the {each['axis']} range" if each["multiple"] else each["reason"]
        for each in found
        if each["kind"] == "*"
    }
    return f"To cover {100 * LEVEL:g} % over all accounts: {said['price']}, or {said['volatility']}."


def accounts(sides: dict[str, Row], margins: list[Row]) -> str:
    """Accounts on the chain: VaR, and what each grid asks of it."""
    of = {name: {row["account"]: row for row in side["accounts"]} for name, side in sides.items()}
    roll = {row["account"]: row["roll_shock"] / row["risk"] for row in margins}
    lines = [
        f"| account | VaR {100 * LEVEL:g} % | deribit / VaR | worst point | roll shock in it | span16 / VaR "
        "| deribit / VaR, t(3), 2 days | exceeded in |",
        "|---|--:|--:|--:|--:|--:|--:|--:|",
    ]
    for name, row in of["deribit"].items():
        fat = of["fat"][name]
        lines.append(
            f"| {name} | {row['var']:,.0f} | {row['ratio']:.3g} | {row['worst_scenario']} | {100 * roll[name]:.0f} % "
            f"| {of['span16'][name]['ratio']:.3g} | {fat['ratio']:.3g} | {100 * fat['exceed_probability']:.2f} % |"
        )
    return "\n".join(lines)


def sizes(sides: dict[str, Row]) -> str:
    """The price ranges of both grids."""
    said = [
        f"{grid}: "
        + ", ".join(f"{coin} {100 * sides[grid]['scan']['price_range'][coin]:.1f} %" for coin in ("BTC", "ETH"))
        for grid in ("deribit", "span16")
    ]
    return f"Price ranges: {'; '.join(said)}."


if __name__ == "__main__":
    main()
