"""Margins of what was exported are those of the run, to the bit, by the command that the export holds."""

from __future__ import annotations

import csv
import json
import shlex
from pathlib import Path

import numpy as np
import pyarrow as pa
import pyarrow.parquet
import pytest
from hydra import compose, initialize_config_dir
from omegaconf import OmegaConf

from mcvar import cli
from mcvar.cli import register
from mcvar.io.scan.grid_file import NAME, grid_text
from mcvar.scan.exchange.grid import Points, Reduction, VolatilityRange
from mcvar.scan.exchange.system import Exchange
from mcvar.scan.per import Per
from mcvar.settings.scan import ScanConfig

ODD = 'index: "large", {1e5} # no'
QUOTED = '"' + ODD.replace('"', '""') + '"'
FILES = {
    "factors": """factor,kind,underlying,tenor,level,volatility,currency,rate,carry
ES,price,ES,,2450.3,0.2,USD,0.04,0.04
BTC,price,BTC,,60000,0.55,USD,0.04,0.04
BTC-VOL,vol,BTC,0.1,0.6,0.9,,,
""",
    "correlation": "factor,ES,BTC,BTC-VOL\nES,1,0.3,0\nBTC,0.3,1,-0.3\nBTC-VOL,0,-0.3,1\n",
    "instruments": """instrument,kind,underlying,option_type,strike,expiry,multiplier,settlement,volatility,commodity
E-MAR,future,ES,,,2026-03-20T14:00:00Z,50,linear,,ODD
E-JUN,future,ES,,,2026-06-19T14:00:00Z,50,linear,,ODD
E-FULL,future,ES,,,2026-03-20T14:00:00Z,250,linear,,ODD
E-C2500,option,ES,call,2500,2026-02-20T14:00:00Z,50,linear,0.2,ODD
BTC-PERP,perpetual,BTC,,,,10,inverse,,
BTC-C70000,option,BTC,call,70000,2026-03-27T08:00:00Z,,inverse,0.60,
BTC-P50000,option,BTC,put,50000,2026-01-30T08:00:00Z,,inverse,0.65,
BTC-P30000,option,BTC,put,30000,2026-01-30T08:00:00Z,,inverse,0.85,
""",
    "positions": """account,instrument,quantity
coins,BTC-C70000,-5
coins,BTC-P50000,-0.3
pair,E-MAR,2
pair,E-JUN,-1
pair,BTC-C70000,-0.7
short,E-C2500,-3
""",
    "coins": "account,instrument,quantity\ncoins,BTC-C70000,-5\ncoins,BTC-P50000,-0.3\nlong,BTC-P50000,2\n",
    "tables/commodities": "commodity,currency\nODD,USD\nBTC,BTC\n",
    "tables/tiers": "commodity,tier,first,last\nODD,1,,202603\nODD,2,202604,\n",
    "tables/spreads": """spread,kind,priority,charge,commodity,tier,ratio,side,credit
c,intra,1,300,ODD,1,1,A,
c,intra,1,300,ODD,2,1,B,
i,inter,1,,ODD,0,1,A,0.6
i,inter,1,,BTC,0,50,B,0.5
""",
}
UNHELD = {"E-FULL", "BTC-PERP"}  # what says on how much one delta is
OWN = ["scan=template", "scan.price_range=null", "scan.volatility_up=null", "scan.lookahead=null", "horizon.days=0.7"]


@pytest.fixture
def folder(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    (tmp_path / "tables").mkdir()
    for name, text in FILES.items():
        (tmp_path / f"{name}.csv").write_text(text.replace("ODD", QUOTED))
    monkeypatch.chdir(tmp_path)
    return tmp_path


def ran(monkeypatch: pytest.MonkeyPatch, arguments: list[str]) -> pa.Table:
    """Margins by a command."""
    monkeypatch.setattr("sys.argv", [*arguments, "hydra.run.dir=out"])
    with pytest.raises(SystemExit) as ended:
        cli.main()
    assert ended.value.code == 0
    return pyarrow.parquet.read_table("out/margins.parquet")


def scanned(monkeypatch: pytest.MonkeyPatch, asked: list[str], positions: str = "positions") -> pa.Table:
    """Margins of the book above, with an export."""
    files = [
        "market=files", "market.factors=factors.csv", "market.correlation=correlation.csv", "book=files",
        "market.valuation=2026-01-02T00:00:00Z", "book.instruments=instruments.csv", f"book.positions={positions}.csv",
    ]  # fmt: skip
    return ran(monkeypatch, ["mcvar", *files, *asked, "job=scan", "job.export=true"])


def export_of(folder: Path, monkeypatch: pytest.MonkeyPatch) -> list[str]:
    """Go to the export; its command for margins."""
    monkeypatch.chdir(folder / "out" / "export")
    return shlex.split(json.loads(Path("about.json").read_text())["margins_command"])


@pytest.mark.parametrize(
    ("positions", "asked"),
    [
        ("coins", ["scan=deribit"]),
        ("coins", ["scan=derive", "scan.days=null"]),
        ("coins", ["scan=paradex", "scan.gains={BTC: 0.5, ETH: 0.1}"]),
        ("positions", ["scan=tims"]),
        ("positions", OWN),
        ("positions", ["horizon.days=3"]),
    ],
    ids=["deribit", "derive", "paradex", "tims", "ranges that were found", "span"],
)
def test_margins_come_back(folder: Path, monkeypatch: pytest.MonkeyPatch, positions: str, asked: list[str]) -> None:
    before = scanned(monkeypatch, asked, positions)
    command = export_of(folder, monkeypatch)
    own = f"scan={NAME}" in command
    assert own == (command[1:3] == ["--config-dir", "."]) == ("scan.file=." not in command)
    assert own == (not Path("commodities.csv").exists())
    again = ran(monkeypatch, command)
    assert again.equals(before)
    assert min(before["requirement"].to_pylist()) >= 0 < max(before["requirement"].to_pylist())
    name = asked[0].partition("=")[2] if asked[0].startswith("scan=") else "span16"
    assert json.loads(Path("out/run.json").read_text())["scan"]["name"] == name


def test_what_deltas_are_in_comes_back(folder: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Spreads and credits are by the delta: nobody holds the contracts that say on how much one is."""
    before = scanned(monkeypatch, ["scan.parameters=tables"])
    steps = dict(zip(before["account"].to_pylist(), before["intra"].to_pylist(), strict=True))
    np.testing.assert_allclose(steps["pair"], 50 / 250 * 300, rtol=0.02)  # of the full-sized future
    assert max(before["credit"].to_pylist()) > 0
    command = export_of(folder, monkeypatch)
    with Path("commodities.csv").open() as file:
        assert {row["commodity"]: row["delta_unit"] for row in csv.DictReader(file)} == {ODD: "250.0", "BTC": ""}
    assert '"delta_unit":250.0' in Path("risk_arrays.spn").read_text()
    with Path("instruments.csv").open() as file:
        listed = {row["instrument"] for row in csv.DictReader(file)}
    assert listed >= UNHELD
    assert "BTC-P30000" not in listed  # an option that nobody holds
    assert ran(monkeypatch, command).equals(before)
    made_again = [*command[:1], "--config-dir", ".", *command[1:], f"scan={NAME}"]
    made_again.remove("scan.file=.")
    assert ran(monkeypatch, made_again).equals(before)  # priced again, with the tables beside
    command[command.index("scan.file=.")] = "scan.file=risk_arrays.spn"
    assert ran(monkeypatch, command).equals(before)


def test_settings_are_as_they_were_resolved(tmp_path: Path) -> None:
    names = [ODD, "1e5", "true", "null", "${x}", "é", "- a"]
    per = {name: 0.1 + n / 7 for n, name in enumerate(names)}
    config = ScanConfig(
        name="mine", reduction=Reduction.cells, points=[[1.0, -1.0, 1 / 3], [1e-07, 0, 1]], extended=[[5.0, 1.0, None]],
        coverage=0.9, gains={ODD: 0.5, "elsewhere": 1.0, "default": 0.25}, delta_weights=[1.0], damping=0.1 + 0.2,
        contingencies=[{"rule": "roll_shock", "least": {"elsewhere": 1, "1e5": 0.01}, "risk": 0.1, "maintenance": 0.8}],
    )  # fmt: skip
    points = Points("mine", np.zeros(0), np.zeros(0), np.zeros(0), np.zeros(0, bool), ())
    ranges = VolatilityRange(Per({"default": 0.4}), Per({ODD: 0.2}))
    made = Exchange(points, config.reduction, Per(per), Per({**per, "cash": np.nan}), ranges, lookahead=0.7 / 365)
    (tmp_path / "scan").mkdir()
    text = grid_text(config, made, [*names, "cash"], 2 / 365)
    (tmp_path / "scan" / f"{NAME}.yaml").write_text(text, encoding="utf-8")
    (tmp_path / "main.yaml").write_text("defaults: [{scan: exported}, _self_]\n")
    register()
    with initialize_config_dir(config_dir=str(tmp_path), version_base="1.3"):
        found = compose("main").scan
    scan = OmegaConf.to_object(found)
    assert isinstance(scan, ScanConfig)
    assert scan.price_range == scan.price_range_down == per
    assert scan.volatility_up == dict.fromkeys([*names, "cash"], 0.4)
    assert scan.volatility_down == {ODD: 0.2}
    assert scan.lookahead is not None
    assert scan.lookahead / 365 == 0.7 / 365
    assert scan.days == 2.0
    assert scan.coverage == ScanConfig().coverage
    assert scan.gains == {ODD: 0.5, "default": 0.25}
    assert scan.contingencies == [{"rule": "roll_shock", "least": {"1e5": 0.01}, "risk": 0.1, "maintenance": 0.8}]
    for name in ("name", "reduction", "points", "extended", "delta_weights", "damping", "skews", "maintenance"):
        assert getattr(scan, name) == getattr(config, name), name
