"""job=compare as it is asked for: grids, files, external margins, what must agree, and what is written."""

from __future__ import annotations

import json
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow.parquet
import pytest

import mcvar
from mcvar import cli
from mcvar.config import (
    CompareJob,
    Config,
    HorizonConfig,
    MeasureConfig,
    NativeEngine,
    SampleBook,
    ScanConfig,
    SimulatedScenarios,
    SobolSampling,
)
from mcvar.errors import InputError, McvarError, SettingError

FAST = CompareJob(ranges=False, netting=False)
SMALL = Config(
    book=SampleBook(accounts=15), scenarios=SimulatedScenarios(count=4_000), measure=MeasureConfig(levels=[0.99]),
    engine=NativeEngine(), job=FAST,
)  # fmt: skip
STILL = HorizonConfig(decay=False)


def found(config: Config) -> dict[str, Any]:
    table = mcvar.find_comparison(config).table()
    return {name: np.array(table[name].to_pylist()) for name in table.column_names}


def test_scan_margins_stand_beside_var() -> None:
    table, alone = found(SMALL), mcvar.run(replace(SMALL, job=mcvar.config.VarJob()))
    own = alone.estimate("var", 0.99).value[:15]
    np.testing.assert_allclose(table["var"], own)
    np.testing.assert_allclose(table["ratio"], table["scan"] / own)
    np.testing.assert_allclose(table["requirement"], np.maximum(table["scan"] - table["nov"], 0.0), atol=1e-6)
    assert set(table["engine"]) == {"span16"}
    assert ((table["worst_scenario"] >= 1) & (table["worst_scenario"] <= 16)).all()
    # Ranges that cover 99 % of each factor's moves give margins near VaR, from above: a scan knows no correlation.
    assert (table["scan"] > 0.9 * own).all()
    assert table["exceed_probability"].max() < 0.02


def test_what_is_exported_gives_the_same_margins(tmp_path: Path) -> None:
    first = mcvar.find_comparison(replace(SMALL, job=replace(FAST, export=True)))
    first.write(tmp_path, {})
    for source in (tmp_path / "export", tmp_path / "export" / "risk_arrays.spn"):
        again = found(replace(SMALL, scan=ScanConfig(file=str(source))))
        for name in ("scan", "requirement", "nov", "worst_scenario", "exceed_probability"):
            assert again[name].tolist() == first.table()[name].to_pylist()
    record = json.loads((tmp_path / "run.json").read_text())
    assert record["job"] == "compare"
    assert record["scan"]["name"] == "span16"
    assert set(record["scan"]["price_range"]) >= {"SPX", "NASDAQ", "WTI"}


def test_margins_from_elsewhere(tmp_path: Path) -> None:
    own = found(SMALL)
    lines = ["account,margin,engine,basis"]
    names = own["account"].tolist()
    lines += [f"{name},{1.1 * scan},house,risk" for name, scan in zip(names, own["scan"].tolist(), strict=True)]
    lines += [f"{n},{margin},other,requirement" for n, margin in zip(names, own["requirement"].tolist(), strict=True)]
    path = tmp_path / "margins.csv"
    path.write_text("\n".join(lines) + "\n")
    report = mcvar.find_comparison(replace(SMALL, job=replace(FAST, external=str(path))))
    table = {name: np.array(report.table()[name].to_pylist(), dtype=object) for name in ("engine", "scan", "account")}
    house = table["scan"][table["engine"] == "house"].astype(float)
    np.testing.assert_allclose(house, 1.1 * own["scan"])
    other = table["scan"][table["engine"] == "other"]
    paid = own["requirement"] > 0
    np.testing.assert_allclose(other[paid].astype(float), own["scan"][paid])
    assert all(value is None for value in other[~paid])
    assert str(path) in report.record["inputs"]
    assert any("which does not tell their risk" in note for note in report.notes) == (~paid).any()
    bad = [*(f"{name},1" for name in names[1:]), "nobody,1", f"{names[2]},-1"]
    path.write_text("\n".join(["account,margin", *bad]) + "\n")
    with pytest.raises(InputError) as error:
        mcvar.find_comparison(replace(SMALL, job=replace(FAST, external=str(path))))
    for said in (names[0], "nobody", "line 17", names[2]):
        assert said in str(error.value)


@pytest.mark.parametrize(
    ("settings", "said"),
    [
        ({"sampling": SobolSampling()}, "take sampling=plain, not sobol"),
        ({"job": replace(FAST, level=0.9)}, "job.level is 0.9: take one of measure.levels"),
        ({"job": replace(FAST, accounts=["member-8"])}, "member-8, which are sums of accounts"),
        ({"job": replace(FAST, accounts=["nobody"])}, "job.accounts has 'nobody'"),
        ({"scan": ScanConfig(price_range=0.05, days=2.0)}, "the horizon is 2 days there and 1 day here"),
        ({"scan": ScanConfig(price_range=0.05)}, "the horizon is not known there and 1 day here"),
        ({"scan": ScanConfig(price_range=0.6, days=1.0)}, "which a log shock cannot"),
        ({"scan": ScanConfig(lookahead=2.0)}, "the time decay is 2 days there and 1 day here"),
        ({"scan": ScanConfig(file="x.spn", tie="highest", coverage=0.9)}, "would leave scan.coverage unread"),
        (
            {"scan": ScanConfig(lookahead=0.0, price_range=0.05, volatility_up=0.2, days=1.0)},
            "the time decay is 0 days there and 1 day here",
        ),
        ({"scan": ScanConfig(file="nowhere.txt")}, "a folder of tables, or a file named .pa2, .spn or .xml"),
        ({"scan": ScanConfig(file="nowhere.spn")}, "nowhere.spn"),
        ({"scan": ScanConfig(price_range=-0.1)}, "scan.price_range is -0.1"),
    ],
)
def test_what_is_refused(settings: dict[str, Any], said: str) -> None:
    with pytest.raises(McvarError, match=said):
        mcvar.find_comparison(replace(SMALL, **settings))


def test_other_jobs_are_refused() -> None:
    with pytest.raises(SettingError, match="find_comparison takes job=compare"):
        mcvar.find_comparison(Config())


def test_a_book_of_contracts_without_an_array_is_refused(tmp_path: Path) -> None:
    mcvar.find_comparison(replace(SMALL, job=replace(FAST, export=True))).write(tmp_path, {})
    arrays = tmp_path / "export" / "risk_arrays.csv"
    lines = arrays.read_text().splitlines()
    arrays.write_text("\n".join(lines[:-2]) + "\n")
    lost = [line.split(",")[0] for line in lines[-2:]]
    with pytest.raises(InputError) as error:
        mcvar.find_comparison(replace(SMALL, scan=ScanConfig(file=str(arrays.parent))))
    assert all(name in str(error.value) for name in lost)


def test_the_ranges_that_would_do() -> None:
    job = CompareJob(ranges=True, netting=False)
    report = mcvar.find_comparison(replace(SMALL, job=job, horizon=STILL, book=SampleBook(accounts=7)))
    price = next(row for row in report.ranges().to_pylist() if (row["axis"], row["kind"]) == ("price", "*"))
    assert price["coverage_low"] < 0.99 <= price["coverage_high"]
    margins = {}
    for multiple in (1.0, price["low"], price["high"]):
        given = report.record["scan"]["price_range"]
        ranged = {name: multiple * size for name, size in given.items()}
        volatility = dict.fromkeys(given, 0.1)
        scan = ScanConfig(price_range=ranged, volatility_up=volatility, lookahead=0.0, days=1.0)
        again = replace(SMALL, job=FAST, horizon=STILL, book=SampleBook(accounts=7), scan=scan)
        margins[multiple] = found(again)["scan"].sum()
    assert margins[price["low"]] < margins[price["high"]] < margins[1.0]


def test_the_command_line(tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: Any) -> None:
    settings = ["job=compare", "job.ranges=false", "job.netting=false", "scenarios.count=2000", "book.accounts=5"]
    monkeypatch.setattr("sys.argv", ["mcvar", *settings, "measure.levels=[0.99]", f"hydra.run.dir={tmp_path}"])
    with pytest.raises(SystemExit) as stopped:
        cli.main()
    assert stopped.value.code == 0
    assert "span16 beside Monte Carlo at 99 %" in capsys.readouterr().out
    written = {path.name for path in tmp_path.iterdir()}
    assert {"comparison.parquet", "comparison_groups.parquet", "comparison.html", "run.json"} <= written
    assert pyarrow.parquet.read_table(tmp_path / "comparison.parquet").num_rows == 5
    assert (tmp_path / "comparison.html").read_text().startswith("<!DOCTYPE html>")


def test_the_page_quotes_the_kept_table() -> None:
    root = Path(__file__).parents[1]
    table = (root / "benchmarks" / "results" / "scan_weaknesses.md").read_text()
    assert table.strip() in (root / "docs" / "comparison.md").read_text()
