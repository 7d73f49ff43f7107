"""Scan margins beside Monte Carlo on the sample book and on a Deribit chain: the tables of docs/comparison.md.

    python benchmarks/comparison.py [--snapshot FILE --history FILE --positions FILE] [--scenarios 200000]
                                    [--json FILE] [--markdown FILE]

The sample needs no file. The chain is a snapshot of the exchange, daily closes of its coins, and positions in it.
"""

from __future__ import annotations

import argparse
import json
import subprocess
import tempfile
from pathlib import Path
from typing import Any

import pyarrow.parquet

from mcvar.provenance import provenance

Row = dict[str, Any]
STILL = ["horizon.decay=false"]  # the exchange's grid lets no time pass
FAT = ["model=student_t", "model.dof=3", "horizon.days=2", "scan.days=2"]


def main() -> None:
    """Run, print."""
    parser = argparse.ArgumentParser(description=(__doc__ or "").splitlines()[0])
    for name in ("snapshot", "history", "positions", "json", "markdown"):
        parser.add_argument(f"--{name}", type=Path)
    parser.add_argument("--scenarios", type=int, default=200_000)
    arguments = parser.parse_args()
    sample = run([], arguments.scenarios)
    kept: Row = {**provenance(), "scenarios": arguments.scenarios, "sample": sample}
    text = [kinds(sample["groups"]), ""] + [f"* {each}" for each in ranges(sample["ranges"])]
    if arguments.snapshot:
        chain = [
            "experiment=deribit", f"market.snapshot={arguments.snapshot.resolve()}",
            f"market.history={arguments.history.resolve()}", f"book.positions={arguments.positions.resolve()}", *STILL,
        ]  # fmt: skip
        sides = {
            "deribit": run([*chain, "scan=deribit"], arguments.scenarios),
            "span16": run([*chain, "scan=span16"], arguments.scenarios),
            "fat": run([*chain, "scan=deribit", *FAT], arguments.scenarios),
            "margins": margins([*chain, "scan=deribit"]),
        }
        kept["deribit"] = sides
        text += ["", accounts(sides)]
    print("\n".join(text))
    if arguments.json:
        arguments.json.write_text(json.dumps(kept, indent=1) + "\n")
    if arguments.markdown:
        arguments.markdown.write_text("\n".join(text) + "\n")


def run(settings: list[str], count: int) -> dict[str, list[Row]]:
    """The tables of one comparison."""
    found = _tables([*settings, "job=compare", "engine=native", f"scenarios.count={count}"])
    return {name.removeprefix("comparison_"): rows for name, rows in found.items()}


def margins(settings: list[str]) -> list[Row]:
    """The steps of the margins."""
    return _tables([*settings, "job=scan"])["margins"]


def _tables(settings: list[str]) -> dict[str, list[Row]]:
    with tempfile.TemporaryDirectory() as folder:
        subprocess.run(["mcvar", *settings, f"hydra.run.dir={folder}"], check=True, capture_output=True)
        return {
            path.stem: pyarrow.parquet.read_table(path).to_pylist() for path in sorted(Path(folder).glob("*.parquet"))
        }


def kinds(groups: list[Row]) -> str:
    """By kind of book."""
    lines = [
        "| kind of book | accounts | covered | scan / VaR | rank correlation | scan nets | VaR nets |",
        "|---|--:|--:|--:|--:|--:|--:|",
    ]
    for each in groups:
        name = "all accounts" if each["kind"] == "*" else each["kind"]
        lines.append(
            f"| {name} | {each['accounts']} | {100 * each['coverage']:.2f} % | {each['ratio']:.2f} "
            f"| {each['rank']:.3f} | {each['netting_scan']:.3g} | {each['netting_var']:.3g} |"
        )
    return "\n".join(lines)


def ranges(found: list[Row]) -> list[str]:
    """What ranges would do, of all accounts."""
    return [f"{each['axis']} scan range: {each['multiple']:.2f} times it" for each in found if each["kind"] == "*"]


def accounts(sides: dict[str, Any]) -> str:
    """Accounts on the chain: VaR, and what each grid asks of it."""
    of = {name: {row["account"]: row for row in sides[name]["comparison"]} for name in ("deribit", "span16", "fat")}
    roll = {row["account"]: row["roll_shock"] for row in sides["margins"]}
    lines = [
        "| account | VaR 99 % | deribit | roll shock in it | span16 | deribit under t(3) | exceeded in |",
        "|---|--:|--:|--:|--:|--:|--:|",
    ]
    for name, row in of["deribit"].items():
        fat = of["fat"][name]
        lines.append(
            f"| {name} | {row['var']:,.0f} | {row['ratio']:.3g} | {100 * roll[name] / row['scan']:.0f} % "
            f"| {of['span16'][name]['ratio']:.3g} | {fat['ratio']:.3g} | {100 * fat['exceed_probability']:.2f} % |"
        )
    return "\n".join(lines)


if __name__ == "__main__":
    main()
