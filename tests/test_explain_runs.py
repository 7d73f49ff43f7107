"""job=explain on finished runs, as users type it: what it shows and writes, and every way in which a run is unfit."""

from __future__ import annotations

import json
import math
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc
import pyarrow.parquet as pq
import pytest

import mcvar
from mcvar import config as c
from mcvar.errors import CapacityError, InputError, McvarError, SettingError
from mcvar.finished import FinishedRun, configuration, read_run
from mcvar.report import digest_of, plain
from mcvar.reports.explanation import ExplainReport

Run = Callable[..., int]
FACTORS = """factor,kind,underlying,tenor,level,volatility
S,price,S,,100,0.3
V,vol,S,0.5,0.3,0.8
"""
INSTRUMENTS = """instrument,kind,underlying,option_type,strike,expiry,volatility
share,spot,S,,,,
call,option,S,call,100,2026-07-03T12:00:00Z,0.30
other,option,S,put,90,2026-07-03T12:00:00Z,0.30
"""
POSITIONS = """account,instrument,quantity
A,call,-10
A,share,3
B,share,-1
B,other,2
none,share,0
"""
OPTIONS = """account,parent
A,P
B,P
none,
"""


def settings(**changes: Any) -> c.Config:
    given: dict[str, Any] = {
        "market": c.FilesMarket(factors="F.csv", valuation="2026-01-02T00:00:00Z"),
        "correlation": c.ConstantCorrelation(value=-0.5),
        "book": c.FilesBook(instruments="I.csv", positions="P.csv", accounts="A.csv"),
        "scenarios": c.SimulatedScenarios(count=4_000),
        "output": c.OutputConfig(tail_rows=300),
    }
    return c.Config(**{**given, **changes})


@pytest.fixture
def out(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A finished run in the folder `out` of the working folder."""
    monkeypatch.chdir(tmp_path)
    for name, text in (("F", FACTORS), ("I", INSTRUMENTS), ("P", POSITIONS), ("A", OPTIONS)):
        Path(f"{name}.csv").write_text(text)
    mcvar.run(settings()).write(Path("out"), {})
    return Path("out")


def explain(account: str = "A", **job: Any) -> ExplainReport:
    found: ExplainReport = mcvar.find_explanation(c.Config(job=c.ExplainJob(run="out", account=account, **job)))
    return found


def test_the_sample_from_the_command_line(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, run: Run, capsys: pytest.CaptureFixture[str]
) -> None:
    """Contributions of an account, a parent and the netted book add up to what the run measured."""
    monkeypatch.chdir(tmp_path)
    assert run("scenarios.count=4000", "output.tail_rows=300", "hydra.run.dir=out") == 0
    measured = {
        (row["account"], row["measure"], row["level"]): row for row in pq.read_table("out/measures.parquet").to_pylist()
    }
    for account, engine in (("market-maker-006", "numpy"), ("member-8", ""), ("*", "")):
        capsys.readouterr()
        add = "job.add=[SPX-2019-01-18-2550-P:5,WTI-2019-03-15-F:-2]"
        arguments = ("job=explain", "job.run=out", f"job.account='{account}'", f"job.engine='{engine}'", add)
        assert run(*arguments, "output.table_rows=8", "hydra.run.dir=why") == 0
        shown = capsys.readouterr()
        for part in (f"{account}: VaR 99 %", "instrument", "underlying", "factor moved alone", "together", "others"):
            assert part in shown.out
        assert "SPX-2019-01-18-2550-P:5" in shown.out
        assert shown.err == ""
        files = {p.name for p in Path("why").iterdir() if p.is_file()}
        assert files == {"contributions.parquet", "incremental.parquet", "composed.yaml", "run.json"}
        table = pq.read_table("why/contributions.parquet")
        assert table.column_names == ["account", "measure", "level", "by", "name", "value", "stderr", "share"]
        frame = table.to_pandas()
        assert set(frame["account"]) == {account}
        for (measure, level, by), part in frame.groupby(["measure", "level", "by"]):
            known = measured[account, measure, level]["value"]
            assert math.fsum(part["value"]) == pytest.approx(known, rel=1e-10), (measure, level, by)
        assert set(frame["by"]) == {"instrument", "underlying", "factor"}
        assert set(frame["measure"] + frame["level"].astype(str)) == {"var0.95", "es0.95", "var0.99", "es0.99"}
        assert (frame["stderr"] >= 0).all()
        added = pq.read_table("why/incremental.parquet").to_pandas()
        assert len(added) == 8
        assert (added["after"] - added["before"] - added["incremental"]).abs().max() == 0
        record = json.loads(Path("why/run.json").read_text())
        assert (record["job"], record["account"], record["run"]["folder"]) == ("explain", account, "out")
        assert record["engine"]["name"] == (engine or "numpy")
        assert {"rank", "window", "scale"} <= set(record["measures"][0])
        for each in record["measures"]:
            known = measured[account, each["measure"], each["level"]]
            assert each["stderr"] == pytest.approx(known["stderr"], rel=1e-6)


def test_incremental_is_what_a_run_with_the_position_measures(out: Path) -> None:
    found = {(e.instrument, e.measure, e.level): e for e in explain(add=["other:25", "call:-0.5"]).increments}
    before = mcvar.run(settings())
    for instrument, line in (("other", "A,other,25\n"), ("call", "A,call,-0.5\n")):
        Path("P.csv").write_text(POSITIONS + line)
        after = mcvar.run(settings())
        for measure in ("var", "es"):
            for level in (0.95, 0.99):
                each = found[instrument, measure, level]
                assert each.before == pytest.approx(before.estimate(measure, level).value[0], rel=1e-12)
                assert each.after == pytest.approx(after.estimate(measure, level).value[0], rel=1e-10)


def test_a_position_to_add_can_be_written_alone(out: Path) -> None:
    assert {e.quantity for e in explain(add="other:1e-3").increments} == {1e-3}


@pytest.mark.parametrize("precision", [c.Precision.fp32, c.Precision.mixed])
def test_a_run_in_single_precision_is_explained_in_double(
    out: Path, launcher: Callable[..., Any], precision: c.Precision
) -> None:
    launcher("native")
    known = explain()
    mcvar.run(settings(engine=c.NativeEngine(precision=precision))).write(out, {})
    found = explain()
    assert "explained in double" in " ".join(found.notes)
    assert found.record["engine"] == {"name": "native", "precision": "fp64", "device": None}
    assert [line.name for line in found.lines] == [line.name for line in known.lines]
    np.testing.assert_allclose([x.value for x in found.lines], [x.value for x in known.lines], rtol=1e-9, atol=1e-6)


def test_losses_that_single_precision_put_in_another_order_are_sorted_again(
    out: Path, launcher: Callable[..., Any]
) -> None:
    launcher("native")
    mcvar.run(settings(engine=c.NativeEngine(precision=c.Precision.fp32))).write(out, {})
    known = explain()

    def turn(columns: dict[str, Any]) -> None:
        columns["scenario"][:228] = columns["scenario"][227::-1]

    edit_tail(out, turn)
    table = pq.read_table(out / "measures.parquet")
    bound = np.where(table["measure"].to_numpy() == "fp32_bound", 1e3, table["value"].to_numpy())
    pq.write_table(
        table.set_column(table.column_names.index("value"), "value", pa.array(bound)), out / "measures.parquet"
    )
    assert explain().lines == known.lines


def test_another_engine_finds_the_same(out: Path, launcher: Callable[..., Any]) -> None:
    launcher("native")
    known, found = explain(add="other:3"), explain(add="other:3", engine="native")
    assert found.record["engine"]["name"] == "native"
    for a, b in ((known.lines, found.lines), (known.increments, found.increments)):
        assert len(a) == len(b) > 0
        for x, y in zip(a, b, strict=True):
            for name, value in vars(x).items():
                assert getattr(y, name) == (pytest.approx(value, rel=1e-9, abs=1e-9) if type(value) is float else value)


def test_a_history_can_be_explained(out: Path) -> None:
    random = np.random.default_rng(1)
    levels = 100.0 * np.exp(np.cumsum(0.01 * random.standard_normal((900, 2)), axis=0))
    days = np.datetime64("2023-06-01") + np.arange(900)
    Path("H.csv").write_text("date,S,V\n" + "".join(f"{d},{a},{b}\n" for d, (a, b) in zip(days, levels, strict=True)))
    market = c.FilesMarket(factors="F.csv", history="H.csv")
    mcvar.run(
        settings(
            market=market,
            correlation=c.HistoricalCorrelation(),
            model=c.HistoricalModel(),
            scenarios=c.SimulatedScenarios(),
        )
    ).write(out, {})
    assert explain().record["scenarios"] == 899


def test_what_the_tail_does_not_reach_is_said(out: Path) -> None:
    mcvar.run(settings(output=c.OutputConfig(tail_rows=45))).write(out, {})
    found = explain(add="other:1")
    assert {(line.measure, line.level) for line in found.lines} == {("es", 0.99)}
    for part in (
        "var at level 0.99 reads 54 losses, and 45 are kept",
        "output.tail_rows=54",
        "es at level 0.95 reads 200",
    ):
        assert part in " ".join(found.notes)
    known = {(e.measure, e.level): e for e in found.increments}
    assert known["es", 0.95].before is known["es", 0.95].marginal is None
    assert known["es", 0.99].after is not None
    mcvar.run(settings(output=c.OutputConfig(tail_rows=30))).write(out, {})
    with pytest.raises(CapacityError, match=r"'A' can be explained: .*es at level 0.99 .*output\.tail_rows=40"):
        explain()


def test_a_window_is_recorded(out: Path) -> None:
    found = explain(window=5)
    assert [m["window"] for m in found.record["measures"] if m["measure"] == "var"] == [[196, 206], [36, 46]]


@pytest.mark.parametrize(
    ("job", "said"),
    [
        ({"run": ""}, r"job\.run is not set"),
        ({"run": "nowhere"}, "no such folder"),
        ({"run": "."}, r"has no run\.json"),
        ({"account": ""}, r"job\.account is not set"),
        ({"account": "AA"}, "which the run does not have: it has A, "),
        ({"account": "none"}, "'none' holds nothing"),
        ({"window": 0}, r"job\.window is 0"),
        ({"window": 41}, r"job\.window is 41"),
        ({"add": "call"}, "give NAME:QUANTITY"),
        ({"add": "call:many"}, "give NAME:QUANTITY"),
        ({"add": ["call:1", "put:1"]}, "'put', which no account of the run holds"),
        ({"add": "call:0"}, "0 of 'call'"),
        ({"engine": "abacus"}, r"job\.engine is 'abacus'"),
    ],
)
def test_bad_settings(out: Path, job: dict[str, Any], said: str) -> None:
    with pytest.raises(SettingError, match=said):
        mcvar.find_explanation(c.Config(job=c.ExplainJob(**{"run": "out", "account": "A", **job})))


def test_other_settings_would_do_nothing_and_are_refused(out: Path) -> None:
    job = c.ExplainJob(run="out", account="A")
    with pytest.raises(SettingError, match="takes scenarios, engine from the run"):
        mcvar.find_explanation(c.Config(job=job, scenarios=c.SimulatedScenarios(count=5), engine=c.NativeEngine()))
    with pytest.raises(SettingError, match="find_explanation takes job=explain"):
        mcvar.find_explanation(c.Config())


@pytest.mark.parametrize(
    ("group", "name", "value"),
    [
        ("output", "tail_rows", 0),
        ("output", "table_rows", -1),
        ("output", "plot_rows", -3),
        ("executor", "workers", -1),
        ("executor", "memory_gb", -0.5),
    ],
)
def test_numbers_that_a_run_refuses_are_refused(out: Path, group: str, name: str, value: float) -> None:
    kind = {"output": c.OutputConfig, "executor": c.ExecutorConfig}[group]
    for job in (c.ExplainJob(run="out", account="A"), c.VarJob()):
        act = mcvar.run if isinstance(job, c.VarJob) else mcvar.find_explanation
        with pytest.raises(SettingError, match=rf"{group}\.{name}( is |=){value:g}"):
            act(settings(job=job, **{group: kind(**{name: value})}))


def test_positions_need_memory(out: Path) -> None:
    with pytest.raises(CapacityError, match=r"raise executor\.memory_gb to .* fewer positions"):
        mcvar.find_explanation(
            c.Config(job=c.ExplainJob(run="out", account="A"), executor=c.ExecutorConfig(memory_gb=1e-6))
        )


def edit_record(out: Path, **changes: Any) -> None:
    record = json.loads((out / "run.json").read_text()) | changes
    (out / "run.json").write_text(json.dumps(record))


def edit_tail(out: Path, change: Callable[[dict[str, Any]], None]) -> None:
    columns = pq.read_table(out / "tail.parquet").to_pydict()
    change(columns)
    pq.write_table(pa.table(columns), out / "tail.parquet")


def set_first(name: str, value: Any, at: int = 0) -> Callable[[dict[str, Any]], None]:
    def change(columns: dict[str, Any]) -> None:
        columns[name][at] = value

    return change


def as_text(columns: dict[str, Any]) -> None:
    columns["loss"] = ["much"] * len(columns["loss"])


def shorten(columns: dict[str, Any]) -> None:
    for values in columns.values():
        del values[299]


def drop_measure(out: Path, measure: str) -> None:
    table = pq.read_table(out / "measures.parquet")
    pq.write_table(table.filter(pc.not_equal(table["measure"], measure)), out / "measures.parquet")


def drop_keys(out: Path, *names: str) -> None:
    record = json.loads((out / "run.json").read_text())
    (out / "run.json").write_text(json.dumps({name: value for name, value in record.items() if name not in names}))


def configured(out: Path, group: str, value: Any) -> None:
    """A configuration that was damaged with its digest."""
    wrong = json.loads((out / "run.json").read_text())["configuration"]
    wrong[group] = {**wrong[group], **value} if isinstance(value, dict) else value
    edit_record(out, configuration=wrong, configuration_sha256=digest_of(wrong))


def drop_column(columns: dict[str, Any]) -> None:
    del columns["weight"]


def changed_configuration(out: Path) -> None:
    wrong = {**json.loads((out / "run.json").read_text())["configuration"], "sabr": 1}
    edit_record(out, configuration=wrong, configuration_sha256=digest_of(wrong))


@pytest.mark.parametrize(
    ("spoil", "said"),
    [
        (lambda out: Path("P.csv").write_text(POSITIONS + "A,other,1\n"), "P.csv: 1 problem\n  has changed since"),
        (lambda out: Path("F.csv").unlink(), "F.csv: 1 problem\n  the run in out read it and it is not there"),
        (lambda out: (out / "run.json").unlink(), "the run is not finished"),
        (lambda out: (out / "run.json").write_text("{"), "is not the record of a run"),
        (lambda out: edit_record(out, job="greeks"), "is a run of job=greeks"),
        (lambda out: (out / "run.json").write_text("[1]"), "is not the record of a run, which has a `job`"),
        (lambda out: edit_record(out, configuration={}), "`configuration` is not what was run"),
        (lambda out: drop_keys(out, "scenarios", "engine", "inputs", "created", "mcvar", "configuration_sha256"),
         r"run\.json: 6 problems\n  has no `configuration_sha256`: run the job again"),
        (lambda out: edit_record(out, inputs=None), r"run\.json: 1 problem\n  `inputs` is not a mapping, but 'None'"),
        (lambda out: edit_record(out, inputs=["F.csv"]), "`inputs` is not a mapping"),
        (lambda out: edit_record(out, inputs={"F.csv": 1}), "`inputs` has a file without its SHA-256"),
        (lambda out: edit_record(out, scenarios="x"), "`scenarios` is not a whole number, but 'x'"),
        (lambda out: edit_record(out, scenarios=5_000), "`scenarios` is 5000, and its configuration makes 4000"),
        (lambda out: edit_record(out, engine={}), "`engine` has precision None, not one of fp64"),
        (lambda out: configured(out, "model", {"drift": "up"}), "has drift='up', and this version of mcvar knows "),
        (lambda out: configured(out, "market", 5), "has market='5', which is no MarketConfig"),
        (lambda out: configured(out, "engine", {"type": "VarJob"}), "VarJob.* which is no EngineConfig"),
        (changed_configuration, "has sabr of Config, which this version of mcvar does not"),
        (lambda out: (out / "tail.parquet").unlink(), "tail.parquet: 1 problem\n  is not there"),
        (lambda out: (out / "tail.parquet").write_text("x"), "tail.parquet: 1 problem\n  cannot be read"),
        (lambda out: edit_tail(out, drop_column), "has no column weight"),
        (lambda out: edit_tail(out, set_first("weight", 2.0)), "scenarios of different weights"),
        (lambda out: edit_tail(out, set_first("rank", 7)), "has not the ranks from 1 to 300, which the run kept"),
        (lambda out: edit_tail(out, shorten), "has not the ranks from 1 to 300, which the run kept"),
        (lambda out: edit_tail(out, set_first("rank", None)), "has not the ranks from 1 to 300"),
        (lambda out: edit_tail(out, as_text), "tail.parquet: 1 problem\n  cannot be read"),
        (lambda out: edit_tail(out, set_first("loss", None)), "has losses that are not finite"),
        (lambda out: edit_tail(out, set_first("loss", math.nan)), "has losses that are not finite"),
        (lambda out: edit_tail(out, set_first("loss", -1e3)), "not in the order of their ranks"),
        (lambda out: edit_tail(out, set_first("loss", 1e3)), "account 'A' has es 1.* in measures.parquet"),
        (lambda out: edit_tail(out, set_first("loss", -1e3, 299)), "and comes out as .*so the file is not that run's"),
        (lambda out: edit_tail(out, set_first("scenario", 4_000)), "scenarios other than 0 to 3999, which the run had"),
        (lambda out: edit_tail(out, set_first("scenario", -1)), "scenarios other than 0 to 3999"),
        (lambda out: edit_tail(out, set_first("scenario", None)), "scenarios other than 0 to 3999"),
        (lambda out: edit_tail(out, lambda t: set_first("scenario", t["scenario"][1])(t)), "has a scenario twice"),
        (lambda out: drop_measure(out, "var"), "measures.parquet: 1 problem\n  account 'A' has not one finite var at"),
    ],
)  # fmt: skip
def test_a_run_that_is_unfit(out: Path, spoil: Callable[[Path], None], said: str) -> None:
    spoil(out)
    with pytest.raises(McvarError, match=said):
        explain()


def test_the_tail_of_another_run_is_refused(out: Path) -> None:
    """Its losses come out again, for scenarios are named by the same seed, but it is not the tail of this run."""
    mcvar.run(settings(scenarios=c.SimulatedScenarios(count=2_000))).write(Path("few"), {})
    (out / "tail.parquet").write_bytes(Path("few/tail.parquet").read_bytes())
    with pytest.raises(InputError, match=r"account 'A' has var .* at level 0\.95, and .* in measures\.parquet"):
        explain()


def test_a_loss_that_is_no_number_is_not_found_equal(out: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    loss, scenario = read_run("out").tail("A")
    loss = np.where(np.arange(300) == 7, np.nan, loss)
    monkeypatch.setattr(FinishedRun, "tail", lambda self, account: (loss, scenario))
    with pytest.raises(InputError, match="is nan, and comes out as"):
        explain()


def test_a_run_without_an_interval_of_order_statistics_has_es_explained(out: Path) -> None:
    few = c.SimulatedScenarios(count=250)
    mcvar.run(settings(scenarios=few, measure=c.MeasureConfig(interval=c.Interval.sections, sections=2))).write(out, {})
    found = explain(add="other:1")
    assert {(line.measure, line.level) for line in found.lines} == {("var", 0.95), ("es", 0.95), ("es", 0.99)}
    assert "var at level 0.99 has no two-sided interval of order statistics" in " ".join(found.notes)
    known = {(e.measure, e.level): e for e in found.increments}
    assert known["var", 0.99].marginal is None
    assert known["var", 0.99].after is not None


def test_what_differs_is_said_when_losses_do_not_come_out_again(out: Path) -> None:
    scenario = set(pq.read_table(out / "tail.parquet")["scenario"].to_pylist()[:300])
    edit_tail(out, set_first("scenario", min(set(range(4_000)) - scenario)))
    edit_record(out, mcvar="0.0.1", kernels_sha256="abc")
    with pytest.raises(InputError, match=r"mcvar 0\.0\.1 then, .* now; kernels abc then"):
        explain()


def test_the_run_is_never_overwritten(out: Path, run: Run, capsys: pytest.CaptureFixture[str]) -> None:
    before = (out / "run.json").read_bytes()
    assert run("job=explain", "job.run=out", "job.account=A", "hydra.run.dir=out") == 2
    assert "is the run that is explained" in capsys.readouterr().err
    assert (out / "run.json").read_bytes() == before
    assert (out / "measures.parquet").is_file()


def test_every_configuration_is_read_back() -> None:
    for group, options in c.OPTIONS.items():
        for kind in options.values():
            config = c.Config(**{group: kind()}, horizon=c.HorizonConfig(days=3.5))
            assert configuration(json.loads(json.dumps(plain(config)))) == config
    config = c.Config(model=c.StudentTModel(groups={"g": {"factors": ["S"], "dof": 3}}, drift=c.Drift.martingale))
    assert configuration(json.loads(json.dumps(plain(config)))) == config
    with pytest.raises(SettingError, match="'Konfig', which this version"):
        configuration({"type": "Konfig"})
    with pytest.raises(SettingError, match="not Config"):
        configuration({"type": "VarJob"})


def test_a_read_run_knows_its_tail(out: Path) -> None:
    read = read_run("out")
    assert read.config == settings()
    loss, scenario = read.tail("P")
    assert (np.diff(loss) <= 0).all()
    assert len(set(scenario.tolist())) == len(loss) == 300
