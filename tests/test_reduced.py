"""Whole runs whose scenarios weigh: control variate and importance sampling from a configuration."""

from __future__ import annotations

import json
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow.parquet
import pytest

import mcvar
from mcvar import book, build, correlation, market
from mcvar.api import engine_of, measures_of
from mcvar.columns import Columns
from mcvar.config import (
    Config,
    ControlVariateSampling,
    ExplainJob,
    GaussianModel,
    HorizonConfig,
    ImportanceSampling,
    MeasureConfig,
    MertonModel,
    NativeEngine,
    OutputConfig,
    SampleBook,
    SamplingConfig,
    SimulatedScenarios,
    StudentTModel,
)
from mcvar.engines import choose
from mcvar.errors import CapacityError, InputError, McvarError, SettingError
from mcvar.jobs import var
from mcvar.measures import Interval, Joint, Measures, Sides
from mcvar.memory import plan
from mcvar.models import Gaussian
from mcvar.plots import tail as plot
from mcvar.precision import Precision
from mcvar.report import Report
from mcvar.scenarios import Simulated
from mcvar.schemes import scheme_of

COUNT = 8_192
TARGETS = ["market-maker-006", "member-8"]
BOOK = SampleBook(accounts=40)
SCHEMES = {"control": ControlVariateSampling(), "importance": ImportanceSampling(accounts=TARGETS)}
WEIGHED = pytest.mark.parametrize("sampling", SCHEMES.values(), ids=SCHEMES)


def config(sampling: SamplingConfig, count: int = COUNT, **settings: Any) -> Config:
    scenarios = SimulatedScenarios(count=count, seed=settings.pop("seed", 1))
    output = OutputConfig(tail_rows=settings.pop("tail_rows", 100), plot_rows=1)
    return Config(sampling=sampling, scenarios=scenarios, book=BOOK, output=output, **settings)


@pytest.fixture(scope="module")
def truth() -> Report:
    return mcvar.run(config(ControlVariateSampling(), 1_000_000 // 8, engine=NativeEngine(), seed=99))


@WEIGHED
def test_values_lie_in_narrow_intervals_around_the_truth(sampling: SamplingConfig, truth: Report) -> None:
    plain = mcvar.run(config(mcvar.config.PlainSampling()))
    found = mcvar.run(config(sampling))
    rows = found.result.rows
    for name, level in (("var", 0.95), ("var", 0.99), ("es", 0.95), ("es", 0.99)):
        own, exact, alone = (each.estimate(name, level) for each in (found, truth, plain))
        error = np.hypot(own.stderr, exact.stderr)[rows]
        assert (np.abs(own.value - exact.value)[rows] < 4.5 * error).all()
        assert np.median((own.stderr / alone.stderr)[rows]) < (0.6 if name == "var" else 0.3)
        assert (own.stderr[rows] > 0).all()  # strata that foretell every loss are no reason for an error of 0
        assert ((own.low < own.value) & (own.value < own.high))[rows].all()


def test_rows_that_are_not_aimed_at_are_null(tmp_path: Path) -> None:
    report = mcvar.run(config(ImportanceSampling(accounts=TARGETS), tail_rows=COUNT))
    table = report.measures().to_pylist()
    for row in table:
        known = row["account"] in TARGETS and row["measure"] != "std"
        assert all((row[name] is not None) == known for name in ("value", "stderr", "low", "high"))
    assert {row["account"] for row in table} == set(report.book.row)
    report.write(tmp_path, {})
    json.dumps(report.record, allow_nan=False)
    tail = pyarrow.parquet.read_table(tmp_path / "tail.parquet").to_pandas()
    assert sorted(tail.account.unique()) == sorted(TARGETS)
    for name, part in tail.groupby("account", observed=True):
        assert part.weight.mean() == pytest.approx(1.0, abs=0.1)
        beyond = part.weight.cumsum() > 0.01 * COUNT
        r = report.book.row.index(name)
        assert part.loss[beyond].iloc[0] == report.estimate("var", 0.99).value[r]
        mean = report.estimate("mean")
        assert abs((part.weight * part.loss).mean() - mean.value[r]) < 4 * mean.stderr[r]
    plot.save(report, tmp_path / "tail.svg")
    assert "not measured" not in (tmp_path / "tail.svg").read_text()


@WEIGHED
def test_several_passes_and_engines_give_the_same(sampling: SamplingConfig) -> None:
    at = config(sampling)
    given, whole = build.inputs(at), mcvar.run(at)
    for engine in (choose("numpy"), choose("native")):
        asked = measures_of(at.measure, given.scenarios)
        scheme = scheme_of(sampling, given.market, given.book, given.scenarios, given.horizon.decay, asked, engine)
        one = plan(
            rows=len(scheme.rows), instruments=len(given.book.instruments), count=COUNT, asked=scheme.asked,
            engine=engine, keep=100,
        )  # fmt: skip
        pieces = replace(one, rows=-(-len(scheme.rows) // 2))
        found = var.run(
            given.market, given.book, scheme.scenarios, decay=given.horizon.decay, asked=scheme.asked, plan=pieces,
            engine=engine, keep=100, rows=scheme.rows,
        )  # fmt: skip
        for a, b in zip(found.estimates, whole.result.estimates, strict=True):
            np.testing.assert_allclose(a.value, b.value, rtol=1e-8, atol=1e-6)
            np.testing.assert_allclose(a.stderr, b.stderr, rtol=1e-5, atol=1e-3)
        assert found.tail.weight is not None
        np.testing.assert_allclose(found.tail.weight, whole.result.tail.weight, rtol=1e-6)


@WEIGHED
@pytest.mark.parametrize("model", [GaussianModel(), StudentTModel(dof=5.0)], ids=["gaussian", "t"])
def test_laws_and_limits(sampling: SamplingConfig, model: Any) -> None:
    measure = MeasureConfig(levels=[0.99], upper=0.99, joint=Joint.bonferroni, sides=Sides.upper)
    report = mcvar.run(config(sampling, model=model, measure=measure, horizon=HorizonConfig(days=10)))
    rows = report.result.rows
    var_, es = report.estimate("var"), report.estimate("es")
    assert np.isnan(var_.low).all()
    assert "Bonferroni" in es.method
    for one, limit in ((var_, "var_upper"), (es, "es_upper")):
        further = (report.estimate(limit).value - one.high)[rows]  # 99 %, beyond 95 %: one loss may be both
        assert (further >= 0).all()
        assert np.median(further) > 0
        assert np.isnan(report.estimate(limit).stderr).all()


@WEIGHED
def test_sections(sampling: SamplingConfig) -> None:
    alone = mcvar.run(config(sampling))
    measure = MeasureConfig(interval=Interval.sections, sections=8)
    found = mcvar.run(config(sampling, measure=measure))
    for name in ("var", "es"):
        np.testing.assert_allclose(found.estimate(name).value, alone.estimate(name).value, rtol=1e-12)
        assert found.estimate(name).method == "sections"
        ratio = (found.estimate(name).stderr / alone.estimate(name).stderr)[found.result.rows]
        assert 0.4 < np.median(ratio) < 2.0


@WEIGHED
@pytest.mark.parametrize(
    ("settings", "said"),
    [
        ({"model": MertonModel()}, "delta-gamma law of this model is not known"),
        ({"model": StudentTModel(dof=5.0, steps=2), "horizon": HorizonConfig(days=2)}, "model.steps=1"),
        ({"measure": MeasureConfig(interval=Interval.order)}, "interval=order takes scenarios of equal weight"),
        ({"measure": MeasureConfig(interval=Interval.bootstrap)}, "interval=bootstrap takes scenarios of equal"),
        ({"measure": MeasureConfig(joint=Joint.bootstrap)}, "joint=bootstrap takes scenarios of equal weight"),
        ({"measure": MeasureConfig(pareto=True)}, "pareto=true takes scenarios of equal weight"),
        ({"engine": NativeEngine(Precision.mixed)}, "engine.precision=fp64 or fp32"),
        ({"count": 100}, "set scenarios.count to 500"),
    ],
)
def test_what_it_does_not_go_with(sampling: SamplingConfig, settings: dict[str, Any], said: str) -> None:
    with pytest.raises(McvarError, match=said):
        mcvar.run(config(sampling, **settings))


@pytest.mark.parametrize(
    ("sampling", "said"),
    [
        (ImportanceSampling(), "name the rows"),
        (ImportanceSampling(accounts="member-8"), "sampling.accounts is 'member-8': name the rows"),
        (ImportanceSampling(accounts=["nobody", "member-88"]), "'nobody', 'member-88' .near: member-8"),
        (ImportanceSampling(accounts=["*"], level=1.0), "sampling.level has 1.0"),
    ],
)
def test_bad_settings(sampling: ImportanceSampling, said: str) -> None:
    with pytest.raises(SettingError, match=said):
        mcvar.run(config(sampling))


def test_rows_that_do_not_lose_together_are_null_and_said() -> None:
    """A long spot, one that is short half of it, and one that is short by rounding: only the first can be aimed at."""
    factors, volatility = market.read_factors(
        Columns.of("f", factor=["A"], kind=["price"], level=[100.0], volatility=[0.3])
    )
    at = market.build(
        factors=factors, volatility=volatility, estimate=correlation.constant(1, 0.0),
        valuation=np.datetime64("2026-01-02", "us"), currency="USD",
    )  # fmt: skip
    held = book.resolve(
        Columns.of("i", instrument=["S", "F"], kind=["spot", "spot"], underlying=["A", "A"]),
        Columns.of(
            "p", account=["long", "short", "hedged", "hedged", "hedged"], instrument=["S", "S", "S", "S", "F"],
            quantity=[100.0, -50.0, -0.1, -0.2, 0.3],
        ),
        at,
    )  # fmt: skip
    law = Gaussian().law(at, 1 / 365, np.zeros(1))
    truth = 100.0 * 100.0 * -np.expm1(-2.3263479 * 0.3 / np.sqrt(365))
    for names in (["long"], ["long", "hedged"], ["long", "short"]):
        scenarios = Simulated(law, 5_000, 3)
        scheme = scheme_of(
            ImportanceSampling(accounts=names), at, held, scenarios, 0.0, Measures((0.99,)), choose("numpy")
        )
        assert scheme.record["theta"] > 0
        found = var.run(
            at, held, scheme.scenarios, decay=0.0, asked=scheme.asked, rows=scheme.rows,
            plan=plan(rows=len(scheme.rows), instruments=2, count=5_000, asked=scheme.asked),
        )  # fmt: skip
        value, es = found.estimates[:2]
        at_long, other = held.row.index("long"), held.row.index(names[-1])
        assert abs(value.value[at_long] - truth) < 4 * value.stderr[at_long]
        assert value.stderr[at_long] < 0.01 * truth
        notes = scheme.asked.notes(5_000, found.estimates)
        assert ("1 rows that sampling.accounts names are null" in " ".join(notes)) == (other != at_long)
        assert np.isnan(value.value[other]) == np.isnan(es.high[other]) == (other != at_long)


def test_one_row_that_is_netted_has_a_picture(tmp_path: Path) -> None:
    report = mcvar.run(config(ImportanceSampling(accounts=["*"]), 2_000))
    assert list(report.result.drawn) == [len(report.book.row) - 1]
    assert [report.book.row[r] for r in report.worst_rows(5)] == []
    plot.save(report, tmp_path / "tail.svg")


def test_too_little_memory_for_quadratics() -> None:
    small = config(ControlVariateSampling())
    given = build.inputs(small)
    asked = measures_of(small.measure, given.scenarios)
    with pytest.raises(CapacityError, match="quadratics of 49 rows in 6 factors"):
        scheme_of(
            small.sampling, given.market, given.book, given.scenarios, given.horizon.decay, asked, engine_of(small),
            memory_gb=1e-4,
        )  # fmt: skip


@WEIGHED
def test_contributions_need_scenarios_that_weigh_alike(sampling: SamplingConfig, tmp_path: Path) -> None:
    mcvar.run(config(sampling, 2_000)).write(tmp_path, {})
    with pytest.raises((SettingError, InputError), match="weigh"):
        mcvar.find_explanation(Config(job=ExplainJob(run=str(tmp_path), account="member-8")))
