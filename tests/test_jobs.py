from __future__ import annotations

import json
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest

import mcvar
from mcvar import build, memory, plot
from mcvar.config import Config, HorizonConfig, OutputConfig, SimulatedScenarios
from mcvar.errors import CapacityError, SettingError
from mcvar.jobs import var
from mcvar.report import RESULT_FILES, Report

SMALL = Config(scenarios=SimulatedScenarios(count=4_000), output=OutputConfig(tail_rows=50))


@pytest.fixture(scope="module")
def report() -> Report:
    return mcvar.run(SMALL)


def test_rows_in_blocks_give_the_same_bits() -> None:
    given = build.inputs(SMALL)
    levels = [0.95, 0.99]
    plan = memory.plan(rows=len(given.book.row), instruments=1, count=4_000, levels=levels, confidence=0.95, workers=2)
    whole, blocks = (
        var.run(
            given.market, given.book, given.scenarios, decay=given.horizon.decay, levels=levels, confidence=0.95,
            plan=replace(plan, rows=rows), keep=50,
        )
        for rows in (len(given.book.row), 60)
    )  # fmt: skip
    assert np.array_equal(whole.tail.loss, blocks.tail.loss)
    assert np.array_equal(whole.tail.scenario, blocks.tail.scenario)
    for a, b in zip(whole.estimates, blocks.estimates, strict=True):
        assert np.array_equal(a.value, b.value)
        assert np.array_equal(a.stderr, b.stderr)
    assert list(whole.drawn) == list(blocks.drawn)
    assert blocks.revaluations == 4 * whole.revaluations


def test_plan_fits_rows_into_the_memory_given() -> None:
    arguments = {"rows": 100_000, "instruments": 2_000, "count": 1_000_000, "levels": [0.99], "confidence": 0.95}
    plan = memory.plan(**arguments, workers=2, memory_gb=8)
    assert 0 < plan.rows < 100_000
    assert plan.memory <= 8e9
    assert memory.plan(**arguments, workers=2, memory_gb=16).rows > plan.rows
    with pytest.raises(CapacityError, match=r"raise executor.memory_gb, lower scenarios.count \(about \d+ would fit\)"):
        memory.plan(**{**arguments, "count": 10**9, "levels": [0.5]}, workers=2, memory_gb=4)


def test_the_peak_stays_within_the_plan() -> None:
    """What the plan counts for a row is at least what the collector and the tail allocate."""
    from mcvar.shards import memory_per_row
    from mcvar.tail import Candidates, Collector

    collector = Collector(3, 1000, 8192)
    collector.add(Candidates.of(np.random.default_rng(1).standard_normal((3, 8192)), 0, collector.threshold))
    held = collector._loss.nbytes + collector._scenario.nbytes
    tail = collector.tail()
    assert 3 * memory_per_row(1000, 8192, 2) >= held + tail.loss.nbytes + tail.scenario.nbytes


def test_worst_rows_are_ranked_in_one_currency(report: Report) -> None:
    rows = report.worst_rows(5)
    values = report.estimate("var", 0.99).value
    assert values[rows].tolist() == sorted(values[: report.book.accounts + 8], reverse=True)[:5]
    assert len(report.book.row) - 1 not in report.worst_rows(10**6)
    assert set(report.result.drawn) <= set(range(report.book.accounts))


def test_tail_and_measures_agree(report: Report) -> None:
    tail = report.tail().to_pydict()
    assert tail["rank"][:50] == list(range(1, 51))
    assert report.tail().num_rows == 50 * len(report.book.row)
    var99 = report.estimate("var", 0.99).value[0]
    assert tail["loss"][40] == var99  # rank floor(4000 x 0.01) + 1
    with pytest.raises(KeyError, match="there are var 0"):
        report.estimate("var", 0.9)


def test_loss_of_a_tail_scenario_can_be_replayed_alone(report: Report) -> None:
    given = build.inputs(SMALL)
    engine = mcvar.Reference(given.market, given.book, given.scenarios, given.horizon.decay)
    for r in (0, 7, len(given.book.row) - 1):
        n = int(report.result.tail.scenario[r, 0])
        assert -engine.pnl(n, n + 1)[r, 0] == report.result.tail.loss[r, 0]


def test_pictures_are_written_without_a_date(report: Report, tmp_path: Path) -> None:
    for name in ("a.svg", "b.svg", "a.png"):
        plot.save(report, tmp_path / name)
    assert (tmp_path / "a.png").read_bytes().startswith(b"\x89PNG")
    text = (tmp_path / "a.svg").read_text()
    assert "<dc:date>" not in text
    assert "VaR with 95 % interval" in text.replace("<!-- ", "")


def test_a_break_while_writing_leaves_no_record(report: Report, tmp_path: Path) -> None:
    def breaks(path: Path) -> None:
        raise OSError("disk full")

    with pytest.raises(OSError, match="disk full"):
        report.write(tmp_path, {"loss_tail.png": breaks})
    assert list(tmp_path.iterdir()) == []
    report.write(tmp_path, {})
    assert (tmp_path / "run.json").is_file()
    assert {p.name for p in tmp_path.iterdir()} <= set(RESULT_FILES)
    assert json.loads((tmp_path / "run.json").read_text())["seed"] == 1


def test_steps_need_a_history_and_scale_the_variance() -> None:
    one, ten = (mcvar.run(replace(SMALL, horizon=HorizonConfig(steps=n))).record["horizon"] for n in (1, 10))
    assert ten["variance_years"] == pytest.approx(10 * one["variance_years"])
    assert one["variance_years"] == 1 / one["steps_per_year"]
    frozen = mcvar.run(replace(SMALL, horizon=HorizonConfig(days=5, decay=False))).record["horizon"]
    assert frozen["decay_years"] == 0
    with pytest.raises(SettingError, match="drop one"):
        mcvar.run(replace(SMALL, horizon=HorizonConfig(days=1, steps=1)))
