"""Scan grids on the command line: one's own, settings by key, deltas that do not depend on who holds what."""

from __future__ import annotations

import re
import shutil
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pyarrow.parquet
import pytest
import yaml
from hydra import compose, initialize_config_module

from mcvar.cli import register, to_config
from mcvar.scan.exchange.contingency import RULES
from mcvar.scan.exchange.grid import Reduction
from mcvar.settings.scan import ScanConfig

ROOT = Path(__file__).parents[1]
DOCS = (ROOT / "docs" / "scan_grids.md").read_text()
GRIDS = sorted((ROOT / "configs" / "scan").glob("*.yaml"))
FACTORS = "factor,kind,underlying,level,volatility,currency\nOIL,price,OIL,70,0.35,USD\n"
INSTRUMENTS = """instrument,kind,underlying,expiry,multiplier,option_type,strike,volatility
full,future,OIL,2026-03-20T20:00:00Z,1000,,,
far,future,OIL,2026-06-19T20:00:00Z,1000,,,
mini,future,OIL,2026-02-20T20:00:00Z,500,,,
call,option,OIL,2026-03-20T20:00:00Z,1000,call,75,0.35
small,option,OIL,2026-03-20T20:00:00Z,100,call,75,0.35
"""
COMMODITIES = "commodity,currency,price_range,relative,volatility_range,relative_volatility\nOIL,USD,5,false,0,false\n"
SPREADS = """spread,kind,priority,charge,commodity,tier,ratio,side,credit
calendar,intra,1,300,OIL,0,1,A,
calendar,intra,1,300,OIL,0,1,B,
"""


def composed(*overrides: str) -> ScanConfig:
    register()
    with initialize_config_module(config_module="mcvar.configs", version_base="1.3"):
        return to_config(compose("config", overrides=list(overrides))).scan


@pytest.mark.parametrize(
    ("overrides", "name", "expected"),
    [
        (["scan.conventions={volatility: percent}"], "conventions", {"volatility": "percent"}),
        (["scan.skew={linear_cap: 0.1}"], "skew", {"linear_cap": 0.1}),
        (["scan=template", "scan.discounts={long_base: 0.9}"], "discounts", {"long_base": 0.9}),
        (["scan=template", "scan.basis={up: 0.1}"], "basis", {"up": 0.1}),
        (["scan=derive", "scan.basis={up: 0.1}"], "basis", {"up": 0.1, "down": 0.05, "add": 0.25, "multiple": 0.01}),
        (
            ["scan=derive", "scan.discounts={short_base: 1.1}"],
            "discounts",
            {"long_base": 0.95, "long_multiple": 1.0, "long_add": 0.12, "short_base": 1.1},
        ),
        (["scan=deribit", "scan.price_range={SOL: 0.25}"], "price_range", {"BTC": 0.16, "ETH": 0.18, "SOL": 0.25}),
        (["scan.price_range={CL: 5, default: 1}"], "price_range", {"CL": 5, "default": 1}),
    ],
)
def test_mappings_are_set_by_key(overrides: list[str], name: str, expected: dict[str, Any]) -> None:
    assert getattr(composed(*overrides), name) == expected


@pytest.mark.parametrize("path", GRIDS, ids=lambda path: path.stem)
def test_grids_say_what_their_settings_are(path: Path) -> None:
    text = path.read_text()
    if path.stem in ("span16", "template"):  # those that people copy: every key, in its line or in one above
        lines = text.splitlines()
        for at, line in enumerate(lines):
            if re.match(r"[a-z_]+:", line) and not line.startswith("defaults"):
                same = re.match(r"(initial|maintenance)", line) and lines[at - 1].startswith("initial")
                assert "#" in line or lines[at - 1].lstrip().startswith("#") or same, line
    if path.stem != "template":
        assert "# Source: " in text
        assert "verified" in text


def test_docs_name_all_rules_settings_reductions_and_grids() -> None:
    for name, rule in RULES.items():
        row = next(line for line in DOCS.splitlines() if line.startswith(f"| `{name}` |"))
        missing = [setting for setting in rule.settings if f"`{setting}`" not in row]
        assert not missing, name
    assert all(f"| `{each.value}` |" in DOCS for each in Reduction)
    assert all(f"| `{path.stem}` |" in DOCS for path in GRIDS)


def test_a_grid_of_ones_own_runs_as_the_docs_say(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, run: Callable[..., int]
) -> None:
    command = next(line.split() for line in DOCS.splitlines() if "--config-dir" in line and "mcvar " in line)
    monkeypatch.chdir(tmp_path)
    own = Path("grids/scan/mygrid.yaml")
    own.parent.mkdir(parents=True)
    shutil.copy(ROOT / "configs" / "scan" / "template.yaml", own)
    points = [[1.0, 0.0, 1.0], [-1.0, 0.0, 1.0]]
    settings = yaml.safe_load(own.read_text()) | {"name": "mygrid", "points": points, "price_range": 0.5}
    own.write_text(yaml.safe_dump(settings, sort_keys=False))
    assert run(*command[1:], "book.accounts=5", "hydra.run.dir=out") == 0
    assert '"mygrid"' in Path("out/run.json").read_text()


def test_margins_of_an_account_do_not_depend_on_others(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, run: Callable[..., int]
) -> None:
    """Ten calendar spreads at 300, whoever holds mini futures or options of another size; with half the unit, 20."""
    monkeypatch.chdir(tmp_path)
    for name, text in {"factors": FACTORS, "instruments": INSTRUMENTS, "commodities": COMMODITIES}.items():
        Path(f"{name}.csv").write_text(text)
    Path("spreads.csv").write_text(SPREADS)
    tables = ("market.factors=factors.csv", "book.instruments=instruments.csv", "book.positions=positions.csv")
    dated = ("market=files", "market.valuation=2026-01-02T00:00:00Z", "correlation=identity", "book=files")
    scan = ("job=scan", "scan.parameters=.", "scan.lookahead=0")

    def margin(*others: str) -> tuple[float, float]:
        positions = ["account,instrument,quantity", "mine,full,10", "mine,far,-10", *others]
        Path("positions.csv").write_text("\n".join(positions) + "\n")
        assert run(*dated, *tables, *scan, "hydra.run.dir=out") == 0
        row = pyarrow.parquet.read_table("out/margins.parquet").to_pylist()[0]
        assert row["account"] == "mine"
        return row["intra"], row["requirement"]

    alone = margin()
    assert alone[0] == pytest.approx(3_000.0, rel=1e-9)
    for others in (["other,mini,1"], ["other,call,-3"], ["other,small,2", "other,mini,-4"]):
        assert margin(*others) == pytest.approx(alone, rel=1e-12)
    Path("commodities.csv").write_text(
        COMMODITIES.replace("_volatility\nOIL", "_volatility,delta_unit\nOIL").replace("0,false\n", "0,false,500\n")
    )
    assert margin("other,mini,1")[0] == pytest.approx(6_000.0, rel=1e-9)
