from __future__ import annotations

import json
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from books import gross_value

import mcvar
from mcvar import build, memory
from mcvar.book import Book
from mcvar.config import Config, HorizonConfig, NativeEngine, OutputConfig, SimulatedScenarios
from mcvar.engines import EngineChoice, Launcher, Reference, choose, host
from mcvar.engines.launcher import Buffer
from mcvar.engines.laws import law_memory
from mcvar.errors import CapacityError, SettingError
from mcvar.jobs import passes, var
from mcvar.jobs.var import VarResult
from mcvar.market import Market
from mcvar.measures import depth, spans
from mcvar.models import Gaussian
from mcvar.plots import tail as plot
from mcvar.precision import Precision
from mcvar.report import RESULT_FILES, Report
from mcvar.scenarios import Simulated
from mcvar.sweep import row_bytes

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
    with pytest.raises(CapacityError, match=r"raise executor.memory_gb to \d+\.\d+ or more, lower scenarios.count"):
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


# The same job on other engines.


def job(engine: EngineChoice, count: int = 100_000, **changes: Any) -> tuple[Book, VarResult]:
    given = build.inputs(replace(SMALL, scenarios=SimulatedScenarios(count=count)))
    arguments: dict[str, Any] = {"levels": [0.95, 0.99], "confidence": 0.95}
    plan = memory.plan(
        rows=len(given.book.row), instruments=len(given.book.instruments), count=count, engine=engine,
        state=law_memory(given.market, given.scenarios, given.horizon.decay, given.book.instruments),
        positions=given.book.quantity.nnz, **arguments,
    )  # fmt: skip
    return given.book, var.run(
        given.market, given.book, given.scenarios, decay=given.horizon.decay, plan=replace(plan, **changes),
        engine=engine, keep=50, **arguments,
    )  # fmt: skip


@pytest.fixture(scope="module")
def native(launcher: Callable[..., Launcher]) -> VarResult:
    launcher("native")  # skips where it cannot be built
    return job(choose("native"))[1]


def test_native_measures_are_the_references(native: VarResult) -> None:
    _, reference = job(choose("numpy"))
    for a, b in zip(native.estimates, reference.estimates, strict=True):
        for name in ("value", "low", "high"):
            scale = np.abs(b.value) + reference.estimates[-1].value  # the standard deviation: a mean loss may be near 0
            assert (np.abs(getattr(a, name) - getattr(b, name)) <= 1e-11 * scale).all(), a.measure
    assert (native.tail.scenario == reference.tail.scenario).mean() > 0.999
    assert list(native.drawn) == list(reference.drawn)


def test_windows_and_blocks_of_rows_change_nothing(native: VarResult) -> None:
    window = spans(100_000, [0.95, 0.99], 0.95, 50)
    for changes in ({"spans": window}, {"rows": 60}, {"chunk": 256}):
        _, other = job(choose("native"), **changes)
        for a, b in zip(native.estimates, other.estimates, strict=True):
            np.testing.assert_allclose(a.value, b.value, rtol=0 if a.measure == "var" else 1e-12)
            np.testing.assert_allclose(a.stderr, b.stderr, rtol=1e-9)
        assert np.array_equal(native.tail.loss, other.tail.loss)
        assert np.array_equal(native.tail.scenario, other.tail.scenario)
        assert list(native.drawn) == list(other.drawn)


def test_rows_that_the_pilot_misjudged_run_again(native: VarResult, monkeypatch: pytest.MonkeyPatch) -> None:
    # A margin of a fifth of a standard error is too narrow for most rows: they are run again with four times that, ...
    monkeypatch.setattr(passes, "MARGIN", 0.2)
    _, other = job(choose("native"))
    for a, b in zip(native.estimates, other.estimates, strict=True):
        np.testing.assert_allclose(a.value, b.value, rtol=1e-9)
    assert np.array_equal(native.tail.loss, other.tail.loss)
    assert other.revaluations > native.revaluations


def test_single_precision_is_felt_where_the_bound_says_and_mixed_is_exact(native: VarResult) -> None:
    book, single = job(choose("native", Precision.fp32))
    _, mixed = job(choose("native", Precision.mixed))
    bound = next(e for e in single.estimates if e.measure == "fp32_bound").value
    assert (bound[abs(book.quantity).sum(axis=1) > 0] > 0).all()
    given = build.inputs(SMALL)
    value_0 = Reference(given.market, book, given.scenarios, 1 / 365).value_0
    gross = gross_value(given.market, book, value_0)
    for exact, rough, same in zip(native.estimates, single.estimates, mixed.estimates, strict=False):
        if exact.measure == "var":
            large = exact.value >= 0.05 * gross
            assert large.sum() > 10
            moved = np.abs(rough.value - exact.value)
            assert (moved[large] < 3e-5 * exact.value[large]).all()  # most by far less
            assert (moved <= bound).all()
            for name in ("value", "low", "high", "stderr"):
                assert np.array_equal(getattr(same, name), getattr(exact, name))
        if exact.measure == "es":
            assert (np.abs(same.value - exact.value) <= bound).all()


def test_a_run_records_its_precision(launcher: Callable[..., Launcher]) -> None:
    launcher("native")
    report = mcvar.run(replace(SMALL, engine=NativeEngine(precision=Precision.fp32)))
    assert report.record["engine"]["precision"] == "fp32"
    assert "engine.precision=mixed" in report.notes[-1]
    assert "fp32_bound" in report.measures().column("measure").to_pylist()
    with pytest.raises(SettingError, match="numpy is fp64 only"):
        choose("numpy", Precision.mixed)


def test_rows_that_run_again_stay_within_the_memory(monkeypatch: pytest.MonkeyPatch, native: VarResult) -> None:
    monkeypatch.setattr(passes, "MARGIN", 0.2)
    with pytest.raises(CapacityError, match=r"to keep all 100000 losses of one takes.*raise executor.memory_gb"):
        job(choose("native"), budget=10**6)
    _, mixed = job(choose("native", Precision.mixed))
    assert np.array_equal(mixed.estimates[2].value, native.estimates[2].value)


class _Gpu:
    """A launcher with as much memory as is said, for the plan."""

    name, precision, tile, grain, width, chunk = "cuda", Precision.fp32, 64, 1024, 16_384, 448

    def __init__(self, gigabytes: float) -> None:
        self.free = int(gigabytes * 1e9)

    def free_bytes(self) -> int:
        return self.free

    def held(self, width: int) -> int:
        return width


@pytest.mark.parametrize(
    ("rows", "instruments", "count", "passes", "form"),
    [
        (1_001, 10_000, 1_000_000, 1, "full"),
        (100_001, 100_000, 1_000_000, 1, "full"),
        (1_001, 10_000, 1_000_000_000, 1, "window"),
        (1_001, 10_000, 100_000_000, 1, "full"),
        (100_001, 100_000, 100_000_000, 4, "window"),
    ],
)
def test_a_gpu_of_140_gb_holds_large_books(rows: int, instruments: int, count: int, passes: int, form: str) -> None:
    engine: Any = EngineChoice("cuda", Precision.fp32, _Gpu(140), _Gpu(140))
    plan = memory.plan(
        rows=rows, instruments=instruments, count=count, levels=[0.99], confidence=0.95, engine=engine, state=(300, 0),
        positions=10 * rows,
    )  # fmt: skip
    assert -(-rows // plan.rows) == passes
    assert plan.form == form
    assert plan.memory <= plan.budget == int(0.9 * 140e9)
    assert f"{plan.rows:,} rows at once, {form} tails" in str(plan)


def test_a_gpu_that_is_too_small_says_what_to_lower() -> None:
    engine: Any = EngineChoice("cuda", Precision.fp32, _Gpu(1), _Gpu(1))
    with pytest.raises(CapacityError, match=r"0.9 GB may be used.*lower scenarios.count"):
        memory.plan(
            rows=10, instruments=100_000, count=10**9, levels=[0.5], confidence=0.95, engine=engine, state=(300, 0)
        )


@pytest.mark.parametrize("precision", [Precision.fp64, Precision.mixed])
@pytest.mark.parametrize("positions", [5, 700])
def test_the_plan_counts_what_is_allocated(
    precision: Precision, positions: int, make_market: Callable[..., Market], make_book: Callable[..., Book],
    launcher: Callable[..., Launcher], monkeypatch: pytest.MonkeyPatch,
) -> None:  # fmt: skip
    launcher("native")
    market = make_market([{"factor": "S", "level": 100.0}])
    rows = [{"instrument": f"I{i}", "kind": "spot", "underlying": "S", "multiplier": 1 + i} for i in range(1000)]
    held = [(f"A{a}", f"I{i}", 1.0) for a in range(100) for i in range(positions)]
    book = make_book(market, rows, held)
    peak = now = 0
    made = host.buffer_of

    class Counted(Buffer):
        def __del__(self) -> None:
            nonlocal now
            now -= self.nbytes

    def counted(array: Any) -> Buffer:
        nonlocal peak, now
        plain = made(array)
        now += plain.nbytes
        peak = max(peak, now)
        return Counted(plain.array, plain.pointer, plain.nbytes)

    monkeypatch.setattr(host, "buffer_of", counted)
    engine = choose("native", precision, workers=8)
    arguments: dict[str, Any] = {"levels": [0.95, 0.99], "confidence": 0.95}
    plan = memory.plan(
        rows=len(book.row), instruments=len(book.instruments), count=50_000, engine=engine, state=(4, 0),
        positions=book.quantity.nnz, **arguments,
    )  # fmt: skip
    scenarios = Simulated(Gaussian().law(market, 0.1, np.zeros(1)), 50_000)
    var.run(market, book, scenarios, decay=0.0, plan=plan, engine=engine, **arguments)
    planned = plan.memory - 400 * 2**20  # without the interpreter and its libraries
    assert 0.3 * planned < peak < planned


def test_windows_take_the_memory_that_the_decision_says() -> None:
    full, window = ([(1, depth(10**9, [0.99], 0.95))], spans(10**9, [0.99], 0.95, 1000))
    assert [round(row_bytes(10**9, form) / 1e6) for form in (full, window)] == [165, 11]
