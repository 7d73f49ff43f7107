"""job=scan: margins without simulation, their steps, and what is written."""

from __future__ import annotations

import json
import re
from dataclasses import replace
from pathlib import Path

import numpy as np
import pyarrow.parquet
import pytest

import mcvar
from mcvar import cli
from mcvar.config import CompareJob, Config, SampleBook, ScanConfig, ScanJob, SimulatedScenarios
from mcvar.errors import McvarError
from mcvar.scan.exchange.grid import Reduction

SMALL = Config(book=SampleBook(accounts=30), job=ScanJob())
NAME = "short-straddle-002"
PAIR = "futures-spread-001"
WORST = ScanConfig(
    name="worst", reduction=Reduction.worst, price_range=0.05, volatility_up=0.2, lookahead=0.0,
    contingencies=[{"rule": "per_contract", "amount": 3.0, "options_only": False}],
)  # fmt: skip


def amounts(text: str) -> list[float]:
    """Losses at the points, of a line such as `losses  1: 0, 2: -1,000.5`."""
    return [float(each.replace(",", "")) for each in re.findall(r"\d+: (-?[\d,.]+?)(?=, \d+:|$)", text)]


def line(breakdown: str, head: str) -> str:
    return next(each.strip() for each in breakdown.splitlines() if each.strip().startswith(head))


@pytest.mark.parametrize("scan", [ScanConfig(), replace(WORST, days=1.0, lookahead=1.0)])
def test_margins_are_those_of_the_comparison(scan: ScanConfig) -> None:
    alone = mcvar.find_margins(replace(SMALL, scan=scan)).table()
    asked = replace(
        SMALL, scan=scan, scenarios=SimulatedScenarios(count=2_000), job=CompareJob(ranges=False, netting=False),
        measure=mcvar.config.MeasureConfig(levels=[0.99]),
    )  # fmt: skip
    beside = mcvar.find_comparison(asked).table()
    for name in ("account", "kind", "worst_scenario", "nov", "requirement"):
        assert alone[name].to_pylist() == beside[name].to_pylist()
    assert alone["risk"].to_pylist() == beside["scan"].to_pylist()  # with contingencies, before net option value


def test_the_steps_of_an_account_add_up() -> None:
    report = mcvar.find_margins(replace(SMALL, job=ScanJob(accounts=[NAME])))
    row = report.account.index(NAME)
    text = report.breakdowns[0]
    assert text.startswith(f"{NAME}, amounts in USD\n")
    largest = sum(max(0.0, *amounts(each)) for each in text.splitlines() if each.strip().startswith("losses"))
    np.testing.assert_allclose(largest, report.steps["scan"][row], rtol=1e-6)
    paid = float(line(text, "requirement").rpartition(" = ")[2].replace(",", ""))
    np.testing.assert_allclose(paid, report.steps["requirement"][row], rtol=1e-6)


@pytest.mark.parametrize("reduction", [Reduction.worst, Reduction.cells])
def test_the_steps_of_other_grids_add_up(reduction: Reduction) -> None:
    scan = replace(WORST, reduction=reduction)
    report = mcvar.find_margins(replace(SMALL, scan=scan, job=ScanJob(accounts=[PAIR])))
    row, text = report.account.index(PAIR), report.breakdowns[0]
    by_commodity = [amounts(each) for each in text.splitlines() if each.startswith("  losses")]
    assert len(by_commodity) > 1
    together = (
        np.sum(by_commodity, axis=0).max() if reduction is Reduction.cells else np.max(by_commodity, axis=1).sum()
    )
    np.testing.assert_allclose(together, report.steps["scan"][row], rtol=1e-6)
    charge = report.steps["per_contract"][row]
    assert charge > 0
    paid = float(line(text, "initial margin").rpartition(" = ")[2].replace(",", ""))
    np.testing.assert_allclose(paid, together + charge, rtol=1e-6)


def test_the_command_writes_margins_steps_and_record(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capfd: pytest.CaptureFixture[str]
) -> None:
    out = tmp_path / "out"
    monkeypatch.setattr(
        "sys.argv",
        ["mcvar", "job=scan", "book.accounts=30", f"job.accounts=[{NAME}]", "job.export=true", f"hydra.run.dir={out}"],
    )
    with pytest.raises(SystemExit) as ended:
        cli.main()
    assert ended.value.code == 0
    said = capfd.readouterr().out
    assert "span16 margins in USD at 2018-12-28T00:00Z" in said
    assert f"{NAME}, amounts in USD" in said
    table = pyarrow.parquet.read_table(out / "margins.parquet")
    assert table.num_rows == 30
    assert (out / "breakdown.txt").read_text().startswith(f"{NAME}, amounts in USD")
    assert (out / "export" / "risk_arrays.csv").exists()
    record = json.loads((out / "run.json").read_text())
    assert (record["job"], record["accounts"], record["scan"]["name"]) == ("scan", 30, "span16")


@pytest.mark.parametrize(
    ("job", "scan", "said"),
    [
        (ScanJob(accounts=["nobody"]), ScanConfig(), "job.accounts has 'nobody'"),
        (ScanJob(accounts=["member-8"]), ScanConfig(), "member-8, which are sums of accounts"),
        (ScanJob(), ScanConfig(price_range=0.6), "which a log shock cannot"),
        (ScanJob(), ScanConfig(file="x.spn", price_range=0.1, coverage=0.9), "scan.price_range, scan.coverage unread"),
        (CompareJob(), ScanConfig(), "find_margins takes job=scan"),
    ],
)
def test_what_is_refused(job: ScanJob, scan: ScanConfig, said: str) -> None:
    with pytest.raises(McvarError, match=re.escape(said)):
        mcvar.find_margins(replace(SMALL, job=job, scan=scan))
