"""Whole runs that stop when VaR is as precise as asked."""

from __future__ import annotations

import json
from io import StringIO
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from rich.console import Console

import mcvar
from mcvar import book, cli, correlation, market
from mcvar.columns import Columns
from mcvar.config import (
    Config,
    ControlVariateSampling,
    EngineConfig,
    ExplainJob,
    HistoricalModel,
    ImportanceSampling,
    MeasureConfig,
    NativeEngine,
    NumpyEngine,
    OutputConfig,
    PlainSampling,
    SampleBook,
    SamplingConfig,
    SimulatedScenarios,
    SobolSampling,
    StratifiedSampling,
)
from mcvar.engines import Reference
from mcvar.errors import CapacityError, McvarError, SettingError
from mcvar.jobs.precise import gross_value
from mcvar.measures import Sides
from mcvar.precision import Precision
from mcvar.render.run import show
from mcvar.report import Report
from mcvar.scenarios import Explicit

BOOK = SampleBook(accounts=20)


def run(until: Any, count: int = 2_048, sampling: SamplingConfig | None = None, **settings: Any) -> Report:
    names = [name for name in ("until_level", "until_share", "until_floor", "cap") if name in settings]
    scenarios = SimulatedScenarios(count, 1, until, **{name: settings.pop(name) for name in names})
    output = OutputConfig(tail_rows=settings.pop("tail_rows", 50), plot_rows=1)
    return mcvar.run(
        Config(scenarios=scenarios, sampling=sampling or PlainSampling(), book=BOOK, output=output, **settings)
    )


@pytest.mark.parametrize("engine", [NumpyEngine(), NativeEngine(Precision.fp32)], ids=["numpy", "native"])
@pytest.mark.parametrize(
    "sampling",
    [PlainSampling(), StratifiedSampling(16), ControlVariateSampling(), ImportanceSampling(["*"])],
    ids=["plain", "stratified", "control_variate", "importance"],
)
def test_it_is_the_run_of_as_many_scenarios(engine: EngineConfig, sampling: SamplingConfig) -> None:
    tight = isinstance(sampling, ControlVariateSampling | ImportanceSampling)
    report = run("0.5%" if tight else "4%", 2_048, sampling, engine=engine)
    record = report.record["until"]
    sizes = [look["scenarios"] for look in record["looks"]]
    assert record["reached"]
    assert len(sizes) > (0 if tight else 2)
    assert report.record["scenarios"] == sizes[-1]
    alone = run(None, sizes[-1], sampling, engine=engine)
    assert alone.record["until"] is None
    assert alone.record["ranks"] == report.record["ranks"]
    for own, other in zip(report.result.estimates, alone.result.estimates, strict=True):
        assert (own.measure, own.level) == (other.measure, other.level)
        if own.measure in ("var", "es") and not isinstance(engine, NativeEngine) and not tight:
            np.testing.assert_array_equal(own.value, other.value)
        np.testing.assert_allclose(own.value, other.value, rtol=1e-9, atol=1e-6)
        np.testing.assert_allclose(own.low, other.low, rtol=1e-6, atol=1e-3)
    np.testing.assert_array_equal(report.result.tail.loss, alone.result.tail.loss)
    np.testing.assert_array_equal(report.result.tail.scenario, alone.result.tail.scenario)


def test_the_rule_holds_where_it_stops_and_not_before() -> None:
    report = run("4%", measure=MeasureConfig(levels=[0.95, 0.99]), until_level=0.95, until_share=0.9)
    looks = report.record["until"]["looks"]
    assert [look["met"] >= 0.9 for look in looks] == [False] * (len(looks) - 1) + [True]
    var = report.estimate("var", 0.95)
    accounts = report.book.accounts
    half = (var.high - var.low)[:accounts] / 2
    good = half <= 0.04 * np.abs(var.value[:accounts])
    assert good.mean() >= looks[-1]["met"] - 1e-12  # gross value may help further accounts
    assert looks[-1]["met"] >= 0.9
    assert np.diff([look["scenarios"] for look in looks]).min() > 0
    shown = StringIO()
    show(report, Console(file=shown, width=200), rows=3)
    assert "VaR 95 % is known within 4 % for" in shown.getvalue()


def test_gross_value_counts_what_is_worth_nothing_today() -> None:
    """A future by its underlying's price; an inverse one by its notional, in coins or in dollars."""
    factors, volatility = market.read_factors(
        Columns.of("f", factor=["A", "BTC"], kind=["price"] * 2, level=[100.0, 50_000.0], volatility=[0.2, 0.5])
    )
    at = market.build(
        factors=factors, volatility=volatility, estimate=correlation.constant(2, 0.0),
        valuation=np.datetime64("2026-01-02", "us"), currency="USD",
    )  # fmt: skip
    held = book.resolve(
        Columns.of(
            "i", instrument=["S", "F", "P"], kind=["spot", "future", "perpetual"], underlying=["A", "A", "BTC"],
            expiry=["", "2026-06-19", ""], multiplier=[1.0, 10.0, 10.0], settlement=["linear", "linear", "inverse"],
        ),
        Columns.of("p", account=["a", "a", "b", "c"], instrument=["S", "F", "P", "P"], quantity=[3.0, -2.0, 7.0, -7.0]),
        at,
        Columns.of("c", account=["a", "b", "c"], currency=["USD", "USD", "BTC"]),
    )  # fmt: skip
    made = Reference(at, held, Explicit.of([[0.0, 0.0]]), 0.0)
    np.testing.assert_allclose(gross_value(made)[:3], [300.0 + 2_000.0, 70.0, 70.0 / 50_000.0])


def test_one_sided_limits_count_alone() -> None:
    report = run("4%", measure=MeasureConfig(sides=Sides.upper))
    var = report.estimate("var")
    assert ((var.high - var.value) <= 0.04 * np.abs(var.value) + 1e-9)[: report.book.accounts].mean() > 0.9


def test_the_cap_is_said_and_has_an_exit_code(tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: Any) -> None:
    settings = ["scenarios.until=0.1%", "scenarios.count=2048", "scenarios.cap=5000", "book.accounts=20"]
    monkeypatch.setattr("sys.argv", ["mcvar", *settings, f"hydra.run.dir={tmp_path}"])
    with pytest.raises(SystemExit) as stopped:
        cli.main()
    assert stopped.value.code == 3
    record = json.loads((tmp_path / "run.json").read_text())
    assert record["until"]["reached"] is False
    assert [look["scenarios"] for look in record["until"]["looks"]] == [2048, 3072, 5000]
    assert any(note.startswith("not reached: scenarios.until=0.1 %") for note in record["notes"])
    assert "not reached" in capsys.readouterr().out


def test_of_several_runs_an_error_outweighs_a_cap(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    settings = ["scenarios.until=0.1%", "scenarios.count=2048,9000", "scenarios.cap=5000", "book.accounts=5"]
    monkeypatch.setattr("sys.argv", ["mcvar", "-m", *settings, f"hydra.sweep.dir={tmp_path}"])
    with pytest.raises(SystemExit) as stopped:
        cli.main()
    assert stopped.value.code == 2


def test_it_can_be_explained(tmp_path: Path) -> None:
    report = run("4%", tail_rows=1000, measure=MeasureConfig(levels=[0.99]))
    report.write(tmp_path, {})
    found = mcvar.find_explanation(Config(job=ExplainJob(run=str(tmp_path), account="member-8")))
    r = report.book.row.index("member-8")
    es = sum(row["value"] for row in found.table().to_pylist() if (row["measure"], row["by"]) == ("es", "instrument"))
    assert es == pytest.approx(report.estimate("es", 0.99).value[r], rel=1e-9)


@pytest.mark.parametrize(
    ("settings", "said"),
    [
        ({"until": "0%"}, "scenarios.until is 0.0"),
        ({"until": "half"}, "scenarios.until is 'half'"),
        ({"until": 0.01, "cap": 2_000}, "scenarios.cap is 2000"),
        ({"until": 0.01, "until_level": 0.9}, "scenarios.until_level is 0.9"),
        ({"until": 0.01, "until_share": 0.0}, "scenarios.until_share is 0"),
        ({"until": 0.01, "until_floor": -1.0}, "scenarios.until_floor is -1"),
        ({"until": 0.01, "sampling": SobolSampling(16)}, "Sobol points are spread for one number"),
        ({"until": 0.01, "model": HistoricalModel()}, "the moves of model=historical are all that there are"),
        ({"until": 0.01, "engine": NativeEngine(Precision.mixed)}, "engine.precision=fp64 or fp32"),
        ({"until": 0.01, "count": 50}, "set scenarios.count to 368"),
        ({"until": 0.01, "sampling": StratifiedSampling(), "count": 2_048, "cap": 5_000}, "set scenarios.cap to 5120"),
    ],
)
def test_what_cannot_be_asked(settings: dict[str, Any], said: str) -> None:
    with pytest.raises(McvarError, match=said) as error:
        run(**settings)
    assert isinstance(error.value, SettingError | CapacityError)
