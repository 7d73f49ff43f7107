"""Every grid and file of scan margins through the command: a small book of futures, options and coins."""

from __future__ import annotations

import json
import re
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow.parquet
import pytest
from test_pa2 import ES, FILE

from mcvar import cli

FACTORS = """factor,kind,underlying,tenor,level,volatility,currency,rate,carry
ES,price,ES,,2450,0.2,USD,0.04,0.04
BTC,price,BTC,,60000,0.55,USD,0.04,0.04
BTC-VOL,vol,BTC,0.1,0.6,0.9,,,
"""
CORRELATION = "factor,ES,BTC,BTC-VOL\nES,1,0.3,0\nBTC,0.3,1,-0.3\nBTC-VOL,0,-0.3,1\n"
INSTRUMENTS = """instrument,kind,underlying,option_type,strike,expiry,multiplier,settlement,volatility
CME:ES:FUT:202603,future,ES,,,2026-03-20T14:00:00Z,50,linear,
CME:ES:OOF:202603:202602:C:2500,option,ES,call,2500,2026-02-20T14:00:00Z,50,linear,0.2
BTC-PERP,perpetual,BTC,,,,,inverse,
BTC-C70000,option,BTC,call,70000,2026-03-27T08:00:00Z,,inverse,0.60
BTC-P50000,option,BTC,put,50000,2026-01-30T08:00:00Z,,inverse,0.65
"""
COINS = """account,instrument,quantity
hedged,BTC-C70000,-5
hedged,BTC-PERP,120000
strangle,BTC-C70000,-5
strangle,BTC-P50000,-5
long,BTC-C70000,3
"""
INDEX = """account,instrument,quantity
futures,CME:ES:FUT:202603,2
short,CME:ES:OOF:202603:202602:C:2500,-3
"""

DELIVERY = 2 * 0.2 * 22.0  # two contracts of composite delta 1 x 0.2, outright in the month that is near delivery


@pytest.fixture
def folder(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    texts = {"F": FACTORS, "C": CORRELATION, "I": INSTRUMENTS, "coins": COINS, "index": INDEX}
    for name, text in texts.items():
        (tmp_path / f"{name}.csv").write_text(text)
    monkeypatch.chdir(tmp_path)
    return tmp_path


def mcvar(monkeypatch: pytest.MonkeyPatch, *settings: str) -> int:
    files = [
        "market=files", "market.factors=F.csv", "market.correlation=C.csv", "market.valuation=2026-01-02T00:00:00Z",
        "book=files", "book.instruments=I.csv", "hydra.run.dir=out", "scenarios.count=2000", "measure.levels=[0.99]",
    ]  # fmt: skip
    monkeypatch.setattr("sys.argv", ["mcvar", *files, *settings])
    with pytest.raises(SystemExit) as ended:
        cli.main()
    return int(str(ended.value.code))


def column(name: str, table: str) -> dict[str, Any]:
    found = pyarrow.parquet.read_table(f"out/{table}.parquet")
    return dict(zip(found["account"].to_pylist(), found[name].to_pylist(), strict=True))


def check(line: str) -> bool:
    """Whether a line of a breakdown is arithmetic, which must then be right; names behind numbers are no part of it."""
    left, _, right = line.rpartition(" = ")
    plain = re.sub(r"(?<=\d),(?=\d{3})", "", re.sub(r"(?<=\d) [a-z_]{4,}", "", left)).replace(" x ", " * ")
    found = re.search(r"(?:^|  |: )([-+*/().,\d|max ]+)$", re.sub(r"\|(.*)\|", r"max(\1, -(\1))", plain))
    if not found or not found[1].strip():
        return False
    assert eval(found[1].strip()) == pytest.approx(float(right.replace(",", "")), rel=1e-5, abs=1e-2), line
    return True


@pytest.mark.parametrize("grid", ["deribit", "derive", "paradex", "tims"])
def test_the_grids_of_exchanges(grid: str, folder: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    asked = ["book.positions=coins.csv", f"scan={grid}", "horizon.decay=false"]
    assert mcvar(monkeypatch, *asked, "job=compare", "job.ranges=false") == 0
    risk, var = column("scan", "comparison"), column("var", "comparison")
    assert set(risk) == {"hedged", "strangle", "long"}
    assert risk["strangle"] > var["strangle"] > 0  # grids that look beyond a normal law's 99 %
    assert risk["strangle"] > risk["hedged"]
    assert mcvar(monkeypatch, *asked, "job=scan", "job.accounts=[strangle]") == 0
    alone = column("requirement", "margins")
    np.testing.assert_allclose([alone[name] for name in risk], list(risk.values()), rtol=1e-12)
    said = Path("out/breakdown.txt").read_text()
    assert said.startswith("strangle, amounts in USD\nBTC\n")
    checked = [line for line in said.splitlines() if " = " in line and "of point" not in line]
    assert sum(check(line) for line in checked) >= (5 if grid == "derive" else 2)  # both margins, and its expiries
    assert not Path("out/comparison.parquet").exists()
    assert json.loads(Path("out/run.json").read_text())["scan"]["name"] == grid


def test_a_file_of_a_clearing_house(
    folder: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    (folder / "house.pa2").write_text("\r\n".join([*FILE, "\x1a"]))
    asked = ["book.positions=index.csv", "scan.file=house.pa2"]
    assert mcvar(monkeypatch, *asked, "job=scan") == 0
    scan, delivery = column("scan", "margins"), column("delivery", "margins")
    assert scan["futures"] == 2 * max(ES)
    assert delivery["futures"] == DELIVERY
    assert column("requirement", "margins")["futures"] == 2 * max(ES) + DELIVERY
    assert column("nov", "margins")["short"] == -3 * 2287.5
    assert mcvar(monkeypatch, *asked, "job=compare", "scan.days=1", "job.netting=false") == 0
    beside = column("scan", "comparison")
    assert beside["futures"] == 2 * max(ES) + DELIVERY  # all that is to cover losses
    capsys.readouterr()
    assert mcvar(monkeypatch, *asked, "job=compare") == 2
    assert "the horizon is not known there and 1 day here" in capsys.readouterr().err
    (folder / "index.csv").write_text(INDEX + "futures,BTC-PERP,1\n")
    assert mcvar(monkeypatch, *asked, "job=scan") == 2
    assert "line 4: 'BTC-PERP' has no risk array in scan.file" in capsys.readouterr().err


def test_accounts_in_their_own_currency_and_without_positions(
    folder: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    (folder / "A.csv").write_text("account,parent,currency\nhedged,,\nstrangle,house,BTC\nlong,,\nidle,house,BTC\n")
    asked = ["book.positions=coins.csv", "book.accounts=A.csv", "job=scan", "job.export=true"]
    assert mcvar(monkeypatch, *asked, "job.accounts=[strangle]") == 0
    paid, currency = column("requirement", "margins"), column("currency", "margins")
    assert list(paid) == ["hedged", "strangle", "long", "idle"]
    assert (paid["idle"], currency["idle"], currency["long"]) == (0.0, "BTC", "USD")
    assert column("worst_scenario", "margins")["idle"] is None
    breakdown = Path("out/breakdown.txt").read_text().splitlines()
    dollars = float(breakdown[-2].rpartition(" = ")[2].replace(",", ""))
    assert breakdown[-1].startswith("in BTC")
    assert float(breakdown[-1].rpartition(" = ")[2].removesuffix(" BTC")) == pytest.approx(dollars / 60_000, rel=1e-6)
    assert paid["strangle"] == pytest.approx(dollars / 60_000, rel=1e-6)
    shown = re.findall(r"^  (\w+)", capsys.readouterr().out, re.MULTILINE)
    assert shown[1:4] == ["strangle", "hedged", "long"]  # by what it is worth, not by number
    # Arrays that say when and at what prices they were made are not for another market.
    (folder / "F.csv").write_text(FACTORS.replace("60000", "61000"))
    again = ["book.positions=coins.csv", "scan.file=out/export", "job=scan", "hydra.run.dir=again"]
    assert mcvar(monkeypatch, *again) == 2
    assert "BTC at 60000, and the market has 61000" in capsys.readouterr().err
    (folder / "F.csv").write_text(FACTORS)
    assert mcvar(monkeypatch, *again) == 0
    assert mcvar(monkeypatch, *again, "market.valuation=2026-01-05T00:00:00Z") == 2
    assert "a valuation of 2026-01-02" in capsys.readouterr().err


def test_spreads_and_credits_for_arrays_of_ones_own(folder: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """scan.parameters: a credit between an index and a coin, by hand."""
    (folder / "index.csv").write_text("account,instrument,quantity\npair,CME:ES:FUT:202603,2\npair,BTC-PERP,-60000\n")
    tables = folder / "tables"
    tables.mkdir()
    (tables / "commodities.csv").write_text(
        "commodity,currency,price_range,relative\nES,USD,0.05,true\nBTC,BTC,0.10,true\n"
    )
    (tables / "tiers.csv").write_text("commodity,tier,first,last\n")
    (tables / "spreads.csv").write_text(
        "spread,kind,priority,charge,commodity,tier,ratio,side,credit\n"
        "1,inter,1,0,ES,0,1,1,0.5\n1,inter,1,0,BTC,0,1,-1,0.5\n"
    )
    asked = ["book.positions=index.csv", "scan.parameters=tables", "job=scan"]
    assert mcvar(monkeypatch, *asked) == 0
    with_credit = {name: column(name, "margins")["pair"] for name in ("scan", "credit", "risk")}
    (tables / "spreads.csv").unlink()
    assert mcvar(monkeypatch, *asked) == 0
    without = {name: column(name, "margins")["pair"] for name in ("scan", "credit", "risk")}
    assert with_credit["scan"] == without["scan"] == without["risk"]
    assert without["credit"] == 0 < with_credit["credit"]
    assert with_credit["risk"] == pytest.approx(with_credit["scan"] - with_credit["credit"])
    record = json.loads(Path("out/run.json").read_text())
    assert any(path.endswith("commodities.csv") for path in record["inputs"])
