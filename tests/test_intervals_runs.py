"""Intervals in whole runs: settings, memory, what is written, shown and drawn, and the page that quotes the study."""

from __future__ import annotations

import importlib.util
import json
import re
import sys
from collections.abc import Callable
from dataclasses import replace
from io import StringIO
from pathlib import Path
from types import ModuleType
from typing import Any

import numpy as np
import pytest
from rich.console import Console

import mcvar
from mcvar import memory
from mcvar.config import (
    Config,
    ConstantCorrelation,
    EngineConfig,
    ExplainJob,
    FilesBook,
    FilesMarket,
    FitJob,
    GreeksJob,
    HorizonConfig,
    JobConfig,
    MeasureConfig,
    MovesJob,
    NativeEngine,
    NumpyEngine,
    OutputConfig,
    SimulatedScenarios,
    SobolSampling,
)
from mcvar.engines import EngineChoice, Launcher
from mcvar.errors import CapacityError, SettingError
from mcvar.intervals import sections
from mcvar.measures import Interval, Joint, Measures, Sides
from mcvar.plots import tail as plot
from mcvar.precision import Precision
from mcvar.render.run import show
from mcvar.report import Report
from mcvar.settings.sampling import SamplingConfig, StratifiedSampling

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
    assert report.record["ranks"]["0.99"] == {"var": 41, "low": None, "high": 30, "upper_low": None, "upper_high": 26}
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
    with pytest.raises(SettingError, match=r"measure\.interval=order takes independent scenarios"):
        mcvar.run(config)


FILES = {
    "F": "factor,kind,underlying,level,volatility\nS,price,S,100,0.3\n",
    "I": "instrument,kind,underlying,option_type,strike,expiry,volatility\nshare,spot,S,,,,\nusd,cash,,,,,\n"
    "call,option,S,call,101,2026-01-05T00:00:00Z,0.30\n",
    "P": "account,instrument,quantity\nidle,usd,500\nlong,call,10\nlong,usd,7\nrisky,share,3\n",
}


@pytest.fixture
def quiet(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Config:
    """An account of cash, one that can lose the premium of a call that expires inside the horizon, and another."""
    monkeypatch.chdir(tmp_path)
    for name, text in FILES.items():
        Path(f"{name}.csv").write_text(text)
    return Config(
        market=FilesMarket(factors="F.csv", valuation="2026-01-02T00:00:00Z"),
        correlation=ConstantCorrelation(value=0.0),
        book=FilesBook(instruments="I.csv", positions="P.csv"),
        scenarios=SimulatedScenarios(count=4_096),
        horizon=HorizonConfig(days=10),
        measure=MeasureConfig(levels=[0.99]),
        output=OUTPUT,
    )


@pytest.mark.parametrize("sampling", [SobolSampling(), StratifiedSampling(64)], ids=["sobol", "stratified"])
@pytest.mark.parametrize("engine", [NumpyEngine(), NativeEngine(), NativeEngine(Precision.mixed)], ids=str)
def test_accounts_without_risk_or_limited_to_a_premium(
    quiet: Config, sampling: SamplingConfig, engine: EngineConfig, launcher: Callable[..., Launcher]
) -> None:
    launcher("native")
    report = mcvar.run(replace(quiet, sampling=sampling, engine=engine))
    at = {name: r for r, name in enumerate(report.book.row)}
    for name in ("var", "es"):
        e = report.estimate(name)
        assert e.method == "16 sections"
        assert e.value[at["idle"]] == 0.0
        assert e.value[at["long"]] > 1.0
        for account in ("idle", "long"):
            r = at[account]
            assert e.value[r] == pytest.approx(e.low[r], rel=1e-6)
            assert e.value[r] == pytest.approx(e.high[r], rel=1e-6)
        assert 0 < e.stderr[at["risky"]] < 0.1 * e.value[at["risky"]]
    assert any("losses a section" in note for note in report.notes)


def test_a_section_that_lacks_losses_is_of_an_account_by_name(quiet: Config, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(sections, "depth", lambda count, level, number, unit: 50)  # far too few
    with pytest.raises(CapacityError, match=r"^account 'risky': section .* or sampling\.strata lower$"):
        mcvar.run(replace(quiet, sampling=StratifiedSampling(64)))


def test_names_in_place_of_choices(quiet: Config) -> None:
    named = MeasureConfig(levels=[0.95], interval="asymptotic", sides="upper")  # type: ignore[arg-type]
    report = mcvar.run(replace(quiet, measure=named))
    assert report.estimate("var").method == "asymptotic"
    assert np.isnan(report.estimate("var").low).all()
    for wrong, message in (
        (MeasureConfig(interval="boot"), r"measure\.interval is 'boot': it is one of auto"),  # type: ignore[arg-type]
        (MeasureConfig(levels=0.99), r"measure\.levels is 0\.99: give a list"),  # type: ignore[arg-type]
    ):
        with pytest.raises(SettingError, match=message):
            mcvar.run(replace(quiet, measure=wrong))


@pytest.mark.parametrize(
    ("job", "call"),
    [
        (FitJob(), "fit_model"),
        (MovesJob(), "simulate_moves"),
        (GreeksJob(), "find_greeks"),
        (ExplainJob(), "find_explanation"),
    ],
)
def test_another_job_has_a_function_of_its_own(job: JobConfig, call: str) -> None:
    with pytest.raises(SettingError, match=rf"^job=\w+: from Python, call mcvar\.{call}$"):
        mcvar.run(Config(job=job))
    assert callable(getattr(mcvar, call))


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
    spec = importlib.util.spec_from_file_location("coverage_study", ROOT / "benchmarks" / "interval_coverage.py")
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
    assert (results / "stopping.md").read_text().strip() in (ROOT / "docs" / "confidence.md").read_text()
