"""Intervals in whole runs: settings, memory, what is written, shown and drawn, and the page that quotes the study."""

from __future__ import annotations

import importlib.util
import json
import re
import sys
from collections.abc import Callable
from io import StringIO
from pathlib import Path
from types import ModuleType
from typing import Any

import numpy as np
import pytest
from rich.console import Console

import mcvar
from mcvar import memory, plot
from mcvar.config import Config, MeasureConfig, OutputConfig, SimulatedScenarios, SobolSampling
from mcvar.engines import EngineChoice, Launcher
from mcvar.errors import SettingError
from mcvar.measures import Interval, Joint, Measures, Sides
from mcvar.precision import Precision
from mcvar.render import show
from mcvar.report import Report

ROOT = Path(__file__).parents[1]
OUTPUT = OutputConfig(tail_rows=20, table_rows=3, plot_rows=1)


def run(count: int = 4_000, **measure: Any) -> Report:
    scenarios = SimulatedScenarios(count=count)
    return mcvar.run(Config(scenarios=scenarios, measure=MeasureConfig(**measure), output=OUTPUT))


def shown(report: Report) -> str:
    console = Console(file=StringIO(), width=200)
    show(report, console, rows=3)
    return console.file.getvalue()  # type: ignore[attr-defined]


def test_the_missing_end_is_null_and_a_dash(tmp_path: Path) -> None:
    report = run(sides=Sides.upper, upper=0.99)
    table = report.measures().to_pylist()
    assert {row["measure"] for row in table} == {"var", "es", "var_upper", "es_upper", "mean", "std"}
    for row in table:
        assert row["low"] is None
        limit = row["measure"].endswith("_upper")
        assert (row["high"] is None, row["stderr"] is None) == (limit, limit)
        assert row["confidence"] == (0.99 if limit else 0.95)
    text = shown(report)
    assert re.search(r" - \.\. \d", text)
    assert "VaR below, 99 %" in text
    assert "nan" not in text
    plot.save(report, tmp_path / "tail.svg")
    assert report.record["ranks"]["0.99"] == {"var": 41, "low": None, "high": 30}
    json.dumps(report.record, allow_nan=False)


def test_a_fit_that_fails_is_null_and_a_note() -> None:
    report = run(levels=[0.99], pareto=True)
    fitted = report.estimate("es_pareto")
    np.testing.assert_allclose(fitted.value, report.estimate("es").value, rtol=0.15)
    assert "only 40 losses lie beyond level 0.99" in " ".join(report.notes)
    assert "ES Pareto" in shown(report)
    worst = report.worst_rows(1)[0]
    for name in ("value", "stderr", "low", "high"):
        getattr(fitted, name)[worst] = np.nan
    (row,) = (r for r in report.measures().to_pylist() if r["value"] is None)
    assert (row["account"], row["measure"], row["stderr"]) == (report.book.row[worst], "es_pareto", None)
    assert "nan" not in shown(report)
    assert "null for 1 rows" in Measures((0.99,), pareto=True).notes(10**6, [fitted])[0]


def test_scenarios_that_are_not_independent_bring_their_sections() -> None:
    config = Config(
        scenarios=SimulatedScenarios(count=8 * 1024), sampling=SobolSampling(scramblings=8), output=OUTPUT,
        measure=MeasureConfig(levels=[0.95]),
    )  # fmt: skip
    report = mcvar.run(config)
    assert report.estimate("var").method == report.estimate("es").method == "8 sections"
    plain = run(8 * 1024, levels=[0.95])
    assert np.median(report.estimate("es").stderr / plain.estimate("es").stderr) < 0.7
    config.measure.interval = Interval.order
    with pytest.raises(SettingError, match=r"measure\.interval=order .* take independent scenarios"):
        mcvar.run(config)


@pytest.mark.parametrize("interval", [Interval.sections, Interval.bootstrap])
def test_kernels_and_numpy_have_the_same_intervals(interval: Interval, launcher: Callable[..., Launcher]) -> None:
    launcher("native")
    reports = []
    for engine in (mcvar.config.NumpyEngine(), mcvar.config.NativeEngine(), mcvar.config.NativeEngine(Precision.mixed)):
        measure = MeasureConfig(levels=[0.95], interval=interval, resamples=200, upper=0.9)
        scenarios = SimulatedScenarios(count=8_000)
        reports.append(mcvar.run(Config(scenarios=scenarios, measure=measure, engine=engine, output=OUTPUT)))
    for name in ("var", "es"):
        numpy, native, mixed = (report.estimate(name) for report in reports)
        np.testing.assert_allclose(native.stderr, numpy.stderr, rtol=1e-9)
        np.testing.assert_allclose(native.high, numpy.high, rtol=1e-9)
        assert (np.abs(mixed.high - numpy.high) <= 4 * reports[2].estimate("fp32_bound").value + 1e-9).all()
    assert any("intervals from sections or resamples" in note for note in reports[2].notes)


class _Gpu:
    """A launcher with as much memory as is said, for the plan."""

    name, precision, tile, grain, width, chunk = "cuda", Precision.fp32, 64, 1024, 16_384, 448

    def __init__(self, gigabytes: float) -> None:
        self.free = int(gigabytes * 1e9)

    def free_bytes(self) -> int:
        return self.free

    def held(self, width: int) -> int:
        return width


def test_what_reads_the_whole_tail_is_planned_with_it() -> None:
    engine: Any = EngineChoice("cuda", Precision.fp32, _Gpu(140), _Gpu(140))
    common: dict[str, Any] = {"rows": 1_001, "instruments": 1_000, "count": 10**9, "engine": engine, "state": (300, 0)}
    window = memory.plan(asked=Measures((0.99,)), **common)
    full = memory.plan(asked=Measures((0.99,), interval=Interval.sections), **common)
    assert (window.form, full.form) == ("window", "full")
    assert full.rows < window.rows == 1_001
    assert full.depth > 10**7
    common["count"] = 10**6
    few, many = (
        memory.plan(asked=Measures((0.99,), interval=Interval.bootstrap, resamples=n), **common) for n in (200, 1000)
    )
    assert many.memory - few.memory > 1_001 * 800 * 3 * 8  # VaR, ES and its error in each resample


def test_joint_ranks_are_over_the_rows_of_the_run() -> None:
    report = run(20_000, levels=[0.95], joint=Joint.bonferroni)
    rows = len(report.book.row)
    expected = Measures((0.95,), 1 - 0.05 / rows).ranks(20_000, 0.95)
    assert report.record["ranks"]["0.95"] == vars(expected)
    assert report.estimate("var").method == f"order statistics, {rows} rows together (Bonferroni)"


# The study.


@pytest.fixture(scope="module")
def study() -> ModuleType:
    spec = importlib.util.spec_from_file_location("coverage_study", ROOT / "benchmarks" / "coverage.py")
    assert spec is not None
    assert spec.loader is not None
    module = importlib.util.module_from_spec(spec)
    sys.modules["coverage_study"] = module
    spec.loader.exec_module(module)
    return module


def test_the_truth_of_the_study(study: ModuleType, cases: Callable[[str], list[dict[str, str]]]) -> None:
    published = {row["case_id"]: row for row in cases("var_es_closed_forms.csv")}
    normal, t, book = study.cases()
    for case, name in ((normal, "N"), (t, "t4")):
        assert case.var == pytest.approx(float(published[f"{name}_0.99"]["VaR"]), rel=1e-10)
        assert case.es == pytest.approx(float(published[f"{name}_0.975"]["ES"]), rel=1e-10)
    assert book.var == pytest.approx(2614.75, abs=0.005)
    tail = book.draw(np.random.default_rng(1), 20, 100_000, 2_501)
    var = tail.loss[:, 1_000].mean()
    assert var == pytest.approx(book.var, abs=3.5 * tail.loss[:, 1_000].std() / np.sqrt(20))
    shortfall = tail.loss[:, :2_500].mean(axis=1)
    assert shortfall.mean() == pytest.approx(book.es, abs=3.5 * shortfall.std() / np.sqrt(20))


def test_the_study_calls_a_failure_what_is_one(study: ModuleType) -> None:
    from mcvar.measures import Estimate

    value = np.zeros(1_000)
    for missed, fails in ((50, False), (80, True), (20, True)):
        high = np.where(np.arange(1_000) < missed, -1.0, 1.0)
        found = study.covered(Estimate("var", 0.99, value, value, value - 2, high, 0.95, ""), 0.5, 0.95)
        assert (found["coverage"], found["fails"]) == (1 - missed / 1_000, fails)
        assert found["truth_above"] == missed / 1_000


def test_the_page_quotes_the_kept_study(study: ModuleType) -> None:
    results = ROOT / "benchmarks" / "results"
    table = (results / "coverage.md").read_text()
    kept = json.loads((results / "coverage.json").read_text())
    assert study.table(kept["coverage"]) == table
    assert table.strip() in (ROOT / "docs" / "confidence.md").read_text()
    assert kept["repetitions"] >= 2_000
