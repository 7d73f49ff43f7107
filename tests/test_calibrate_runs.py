"""job=calibrate on a small book: against closed forms, that it is the runs that it says, and that it goes on."""

from __future__ import annotations

import json
from collections.abc import Callable
from dataclasses import replace
from math import sqrt
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow.parquet as pq
import pytest
from rich.console import Console
from scipy.stats import binom, norm

import mcvar
from mcvar import config as c
from mcvar.errors import InputError, McvarError, SettingError
from mcvar.jobs import repeat
from mcvar.jobs.pieces import Pieces
from mcvar.jobs.repeat import Repeater
from mcvar.measures import Interval, Joint, Measures
from mcvar.plots.calibration import save
from mcvar.render.calibration import show_calibration
from mcvar.reports.calibration import CalibrationReport, find_calibration

Run = Callable[..., int]
JUMPS = c.MertonModel(own={"A": {"intensity": 5.0, "mean": -0.02, "deviation": 0.03}})
FILES = {
    "F": """factor,kind,underlying,tenor,level,volatility,shock
A,price,A,,100,0.30,log
V,vol,A,0.25,0.30,0.80,log
L,price,L,,50,10,absolute
M,price,M,,50,15,absolute
""",
    "I": """instrument,kind,underlying,option_type,strike,expiry,volatility
L,spot,L,,,,
M,spot,M,,,,
call,option,A,call,102,2026-05-01T00:00:00Z,
put,option,A,put,98,2026-05-01T00:00:00Z,
""",
    "P": """account,instrument,quantity
one,L,100
two,M,-70
three,L,-40
short,call,-10
short,put,-10
none,L,0
""",
}
SD = {"one": 100 * 10 * sqrt(1 / 365), "two": 70 * 15 * sqrt(1 / 365), "three": 40 * 10 * sqrt(1 / 365)}
LINEAR = list(SD)


@pytest.fixture(autouse=True)
def files(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    for name, text in FILES.items():
        Path(f"{name}.csv").write_text(text)


def settings(**changes: Any) -> c.Config:
    given: dict[str, Any] = {
        "market": c.FilesMarket(factors="F.csv", valuation="2026-01-02T00:00:00Z"),
        "correlation": c.IdentityCorrelation(),
        "book": c.FilesBook(instruments="I.csv", positions="P.csv"),
        "scenarios": c.SimulatedScenarios(seed=5),
        "measure": c.MeasureConfig(levels=[0.95]),
        "executor": c.ExecutorConfig(workers=1),
    }
    return c.Config(**{**given, **changes})


def calibrate(folder: Path | None = None, progress: Any = None, **job: Any) -> CalibrationReport:
    small: dict[str, Any] = {"schemes": ["plain"], "counts": [1024, 2048], "repetitions": 6, "truth": 20_000}
    others = {name: job.pop(name) for name in list(job) if name in vars(c.Config())}
    return find_calibration(settings(job=c.CalibrateJob(**{**small, **job}), **others), folder, progress=progress)


def without_seconds(report: CalibrationReport) -> list[Any]:
    return [replace(line, seconds=0.0) for line in report.lines]


# Against closed forms


def test_linear_accounts_are_calibrated_as_theory_says() -> None:
    """Normal losses: true values are known, ranks cover with their binomial probability, and errors are asymptotic."""
    repetitions = 300
    found = calibrate(counts=[512, 2048, 4096], repetitions=repetitions, accounts=LINEAR, truth=40_000)
    assert found.record["truth"]["scheme"] == "control_variate"
    q = norm.ppf(0.95)
    es = norm.pdf(q) / 0.05
    for each in found.record["truth"]["relative_stderr"]:  # a quadratic is exact here: the step of a loss is left
        assert each["value"] < 2 / (40_000 * norm.pdf(q) * q)
    for line in found.lines:
        n = line.scenarios
        if line.measure == "var":
            ranks = Measures((0.95,)).ranks(n, 0.95)
            below = binom(n, 0.95)
            assert line.nominal == pytest.approx(below.cdf(n - ranks.high) - below.cdf(n - ranks.low), abs=1e-12)
            assert line.interval == "order"
        if line.measure == "var" or n > 512:  # of ES, 26 losses in the tail are few
            assert abs(line.off) < 3.5, line
            error = sqrt(0.95 * 0.05 / n) / norm.pdf(q) / q
            if line.measure == "es":
                spread = 1 + q * es - es**2 + 0.95 * (es - q) ** 2
                error = sqrt(spread / (n * 0.05)) / es
            assert line.relative_error == pytest.approx(error, rel=3.5 / sqrt(2 * repetitions) + 0.03)
    for slope in found.slopes:
        assert abs(slope.slope + 0.5) < 3.5 * slope.stderr
    advice = {r.measure: r for r in found.recommendations}
    wanted = (norm.ppf(0.975) / 0.01) ** 2 * 0.95 * 0.05 / norm.pdf(q) ** 2 / q**2
    assert advice["var"].scenarios == pytest.approx(wanted, rel=0.35)
    assert advice["var"].basis == "extrapolated"


def test_a_scheme_that_saves_scenarios_is_seen_to_save_them() -> None:
    found = calibrate(counts=[512, 1024], repetitions=20, accounts=LINEAR, schemes=["plain", "control_variate"])
    assert {(f.scheme, f.measure, f.scenarios) for f in found.factors} == {
        ("control_variate", measure, count) for measure in ("var", "es") for count in (512, 1024)
    }
    assert all(4 < f.factor < np.inf and f.stderr > 0 for f in found.factors)
    advice = {(r.scheme, r.measure): r for r in found.recommendations}
    assert (advice["control_variate", "es"].scenarios, advice["control_variate", "es"].basis) == (512, "fewest")
    assert advice["control_variate", "es"].seconds > found.record["schemes"][1]["scheme_seconds"]
    assert advice["plain", "es"].scenarios > 10_000


# It is the runs that it says


@pytest.mark.parametrize("engine", ["numpy", "native"])
@pytest.mark.parametrize("scheme", ["plain", "sobol", "stratified", "control_variate", "importance"])
def test_a_repetition_is_the_run_of_its_seed(scheme: str, engine: str, launcher: Callable[..., Any]) -> None:
    """Any repetition can be run alone by job=var with scenarios.seed + k, and gives the same bits."""
    if engine == "native":
        launcher("native")
    chosen = {"numpy": c.NumpyEngine, "native": c.NativeEngine}[engine]()
    folder, accounts = Path("out"), ["one", "short"]
    calibrate(folder, schemes=[scheme], counts=[2048], accounts=accounts, repetitions=3, engine=chosen)
    with np.load(folder / "repetitions" / f"{scheme}-2048-0.npz") as kept:
        for k in range(3):
            sampling = c.OPTIONS["sampling"][scheme]()
            if scheme == "importance":
                sampling.accounts = accounts
            alone = mcvar.run(
                settings(scenarios=c.SimulatedScenarios(count=2048, seed=5 + k), sampling=sampling, engine=chosen)
            )
            rows = [alone.book.row.index(name) for name in accounts]
            for q, measure in enumerate(("var", "es")):
                for name in ("value", "stderr", "low", "high"):
                    want = getattr(alone.estimate(measure, 0.95), name)[rows]
                    np.testing.assert_array_equal(kept[name][k, 0, q], want, err_msg=f"{measure} {name} {k}")
    with np.load(folder / "repetitions" / "truth-control_variate-20000-0.npz") as kept:
        config = settings(
            scenarios=c.SimulatedScenarios(count=20_000, seed=5 + 2**62),
            sampling=c.ControlVariateSampling(),
            engine=chosen,
        )
        truth = mcvar.run(config).estimate("es", 0.95)
        rows = [alone.book.row.index(name) for name in accounts]
        np.testing.assert_array_equal(kept["value"][0, 0, 1], truth.value[rows])


def test_all_intervals_of_a_scheme_are_read_from_the_same_scenarios() -> None:
    found = calibrate(schemes=["plain", "sobol"], counts=[2048], intervals=["asymptotic", "sections", "auto"])
    lines = {(x.scheme, x.interval, x.measure): x for x in found.lines}
    assert {(s, i) for s, i, _ in lines} == {("plain", i) for i in ("order", "asymptotic", "sections")} | {
        ("sobol", "sections")
    }
    for measure in ("var", "es"):
        assert len({lines["plain", i, measure].relative_error for i in ("order", "asymptotic", "sections")}) == 1
    assert [note for note in found.notes if "sobol has no interval asymptotic" in note]
    assert "none" not in found.record["accounts"][:3]
    with np.load(write_pieces() / "plain-2048-0.npz") as kept:
        for j, interval in enumerate(("asymptotic", "sections", "order")):
            measure = c.MeasureConfig(levels=[0.95], interval=Interval(interval))
            run = mcvar.run(settings(scenarios=c.SimulatedScenarios(count=2048, seed=6), measure=measure))
            for name in ("low", "high"):
                want = getattr(run.estimate("var", 0.95), name)[: len(found.record["accounts"])]
                np.testing.assert_array_equal(kept[name][1, j, 0], want)


def write_pieces() -> Path:
    calibrate(Path("out"), counts=[2048], intervals=["asymptotic", "sections", "auto"])
    return Path("out/repetitions")


@pytest.mark.parametrize("precision", list(c.Precision))
def test_single_precision_and_rows_that_run_again(
    launcher: Callable[..., Any], precision: c.Precision, monkeypatch: pytest.MonkeyPatch
) -> None:
    launcher("native")
    exact = calibrate(Path("a"), engine=c.NativeEngine(), accounts=["one", "short"])
    monkeypatch.setattr(repeat, "plan", narrow(repeat.plan))
    again = calibrate(Path("b"), engine=c.NativeEngine(precision=precision), accounts=["one", "short"])
    assert [line.scheme for line in again.lines] == [line.scheme for line in exact.lines]
    with np.load("a/repetitions/plain-2048-0.npz") as a, np.load("b/repetitions/plain-2048-0.npz") as b:
        for name in ("value", "low", "high"):
            if precision is not c.Precision.fp32:  # VaR in mixed precision is that of fp64
                np.testing.assert_array_equal(a[name][:, :, 0], b[name][:, :, 0])
            np.testing.assert_allclose(a[name], b[name], rtol=1e-4)


def narrow(plan: Callable[..., Any]) -> Callable[..., Any]:
    """One row at once."""
    return lambda **given: replace(plan(**given), rows=1)


def test_rows_in_several_passes_are_the_same(monkeypatch: pytest.MonkeyPatch) -> None:
    whole = calibrate(schemes=["plain", "control_variate"], counts=[2048])
    monkeypatch.setattr(repeat, "plan", narrow(repeat.plan))
    done: list[int] = []
    assert without_seconds(calibrate(None, done.append, schemes=["plain", "control_variate"], counts=[2048])) == (
        without_seconds(whole)
    )
    assert sum(done) == 20_000 + 2 * 6 * 2048


# It goes on


class Stopped:
    """Interrupts after some scenarios."""

    def __init__(self, after: int) -> None:
        self.left = after

    def __call__(self, done: int) -> None:
        self.left -= done
        if self.left < 0:
            raise KeyboardInterrupt


def test_an_interrupted_calibration_goes_on_bit_for_bit() -> None:
    """Stopped in the middle of the second count, and once more in the last one; files hold 25 repetitions at most."""
    job: dict[str, Any] = {"schemes": ["plain", "sobol"], "counts": [1024, 2048], "repetitions": 60}
    whole = calibrate(**job)
    out = Path("out")
    with pytest.raises(KeyboardInterrupt, match=r"1 of 4 .* kept in out/repetitions: .*hydra\.run\.dir=out goes on"):
        calibrate(out, Stopped(20_000 + 60 * 1024 + 30 * 2048), **job)
    assert {p.name for p in (out / "repetitions").iterdir()} == {
        "truth-control_variate-20000-0.npz", "plain-1024-0.npz", "plain-1024-25.npz", "plain-1024-50.npz",
        "plain-2048-0.npz",
    }  # fmt: skip
    with pytest.raises(KeyboardInterrupt, match="3 of 4"):
        calibrate(out, Stopped(35 * 2048 + 60 * 1024 + 2048), **job)
    done: list[int] = []
    assert without_seconds(calibrate(out, done.append, **job)) == without_seconds(whole)
    assert sum(done) == 60 * 2048
    done.clear()
    assert without_seconds(calibrate(out, done.append, **job)) == without_seconds(whole)
    assert done == []


def test_more_of_everything_uses_what_is_there() -> None:
    done: list[int] = []
    out = Path("out")
    calibrate(out, counts=[1024], repetitions=6)
    more = calibrate(out, done.append, counts=[1024, 4096], repetitions=30, schemes=["plain", "sobol"])
    assert sum(done) == 24 * 1024 + 30 * 1024 + 2 * 30 * 4096
    fresh = calibrate(counts=[1024, 4096], repetitions=30, schemes=["plain", "sobol"])
    assert without_seconds(more) == without_seconds(fresh)
    fewer = calibrate(out, counts=[1024], repetitions=6)
    assert without_seconds(fewer) == without_seconds(calibrate(counts=[1024], repetitions=6))


def edited(name: str) -> Callable[[], None]:
    return lambda: Path(f"{name}.csv").write_text(FILES[name].replace("-10", "-11"))


@pytest.mark.parametrize(
    ("change", "edit", "said"),
    [
        ({"scenarios": c.SimulatedScenarios(seed=6)}, None, "seed was 5 and is 6"),
        ({"model": c.StudentTModel(dof=5.0)}, None, "model.dof was null and is 5.0"),
        ({"accounts": ["one"]}, None, r"accounts was .* and is \[\"one\"\]"),
        ({"intervals": ["sections"]}, None, "intervals was"),
        ({"measure": c.MeasureConfig(levels=[0.9])}, None, r"measure.levels was \[0.95\] and is \[0.9\]"),
        ({"sampling": c.SobolSampling(scramblings=8)}, None, "sobol.scramblings was 16 and is 8"),
        ({}, edited("P"), r"inputs.P.csv was .* and is"),
    ],
)
def test_repetitions_of_another_calibration_are_refused(
    change: dict[str, Any], edit: Callable[[], None] | None, said: str
) -> None:
    job: dict[str, Any] = {"schemes": ["plain", "sobol"], "counts": [1024], "repetitions": 2}
    calibrate(Path("out"), **job)
    if edit is not None:
        edit()
    with pytest.raises(SettingError, match=said) as error:
        calibrate(Path("out"), **{**job, **change})
    assert "hydra.run.dir, or remove out/repetitions" in str(error.value)


def test_what_does_not_decide_the_numbers_may_change() -> None:
    job: dict[str, Any] = {"counts": [1024], "repetitions": 2}
    known = calibrate(Path("out"), **job)
    done: list[int] = []
    found = calibrate(
        Path("out"), done.append, executor=c.ExecutorConfig(workers=2), output=c.OutputConfig(tail_rows=7), target=0.02,
        **job,
    )  # fmt: skip
    assert done == []
    assert without_seconds(found) == without_seconds(known)


def test_a_file_that_cannot_be_read_is_named(tmp_path: Path) -> None:
    calibrate(Path("out"), counts=[1024], repetitions=2)
    path = Path("out/repetitions/plain-1024-0.npz")
    path.write_bytes(path.read_bytes()[:300])
    with pytest.raises(InputError, match=r"plain-1024-0\.npz: 1 problem\n.*remove the file"):
        calibrate(Path("out"), counts=[1024], repetitions=2)
    assert Pieces(None, {}, {}).check() == 0


def test_a_damaged_truth_is_not_made_in_another_way() -> None:
    calibrate(Path("out"), counts=[1024], repetitions=2)
    path = next(Path("out/repetitions").glob("truth-control_variate-*.npz"))
    content = bytearray(path.read_bytes())
    at = content.index(b"value.npy") + 200  # in the numbers
    content[at] ^= 0xFF
    path.write_bytes(bytes(content))
    with pytest.raises(InputError, match=r"truth-control_variate.*remove the file|cannot be read"):
        calibrate(Path("out"), counts=[1024], repetitions=2)
    assert not list(Path("out/repetitions").glob("truth-plain*"))


# What is refused, and what is left out


@pytest.mark.parametrize(
    ("job", "said"),
    [
        ({"schemes": ["plane"]}, "job.schemes has plane: there are plain, "),
        ({"schemes": ["plain", "plain"]}, "job.schemes has one twice"),
        ({"schemes": "plain"}, r"job.schemes is 'plain': give a list"),
        ({"intervals": ["normal"]}, "job.intervals has normal: there are auto, order"),
        ({"intervals": []}, "must not be empty"),
        ({"counts": []}, "must not be empty"),
        ({"counts": [0]}, "job.counts has 0"),
        ({"repetitions": 1}, "job.repetitions is 1"),
        ({"target": 0.0}, r"job.target has 0.0"),
        ({"truth": 100}, "job.truth is 100"),
        ({"accounts": ["won"]}, r"job.accounts has 'won' \(near: .*one"),
        ({"schemes": ["importance"]}, "name them in job.accounts"),
        ({"schemes": ["sobol"], "intervals": ["order"]}, r"none of job.intervals=\['order'\] goes with it"),
        ({"scenarios": c.SimulatedScenarios(count=5)}, "takes its numbers of scenarios from job.counts"),
        ({"measure": c.MeasureConfig(interval=Interval.sections)}, "measure.interval=sections has no effect"),
        ({"measure": c.MeasureConfig(joint=Joint.bonferroni)}, "measure.joint=bonferroni has no effect"),
        ({"measure": c.MeasureConfig(upper=0.99)}, "measure.upper=0.99 has no effect"),
        ({"measure": c.MeasureConfig(pareto=True)}, "measure.pareto=True has no effect"),
        ({"sampling": c.SobolSampling()}, "sampling=sobol is not among job.schemes"),
        ({"sampling": c.ImportanceSampling(accounts=["one"]), "schemes": ["importance"]}, "aims at job.accounts"),
        ({"schemes": ["sobol"], "sampling": c.SobolSampling(scramblings=1)}, "scramblings is 1"),
        ({"schemes": ["control_variate"], "model": JUMPS}, "jumps"),
    ],
)  # fmt: skip
def test_bad_settings(job: dict[str, Any], said: str) -> None:
    with pytest.raises(SettingError, match=said):
        calibrate(**job)
    assert not Path("repetitions").exists()


def test_another_job_is_refused() -> None:
    with pytest.raises(SettingError, match="job=var: find_calibration takes job=calibrate"):
        find_calibration(settings())


def test_counts_that_a_scheme_does_not_take_are_all_named_before_anything_runs() -> None:
    done: list[int] = []
    with pytest.raises(InputError) as error:
        calibrate(None, done.append, schemes=["plain", "sobol", "stratified"], counts=[10, 1000, 2048])
    said = str(error.value)
    for part in (
        "plain, interval order: 10 scenarios are too few", "set job.counts to 72 or more",
        "job.counts is 1000, but sampling=sobol", "set job.counts to 512 or 1024, or leave sobol out of job.schemes",
        "job.counts is 10, but sampling=sobol", "job.counts is 1000, but sampling=stratified",
    ):  # fmt: skip
        assert part in said
    assert "2048" not in said
    assert done == []
    with pytest.raises(InputError, match=r"job\.truth: .*\n.*job\.truth to"):
        calibrate(
            counts=[100], truth=100, intervals=["asymptotic"], model=JUMPS,
            measure=c.MeasureConfig(levels=[0.95], confidence=0.999),
        )  # fmt: skip


def test_schemes_that_the_law_does_not_allow_are_left_out_by_default() -> None:
    found = calibrate(schemes=[], model=JUMPS, repetitions=2)
    assert {line.scheme for line in found.lines} == {"plain", "sobol", "stratified"}
    assert found.record["truth"]["scheme"] == "plain"
    assert [note for note in found.notes if note.startswith("control_variate is left out: ")]
    assert {line.scheme for line in calibrate(schemes=[], repetitions=2).lines} == {
        "plain", "control_variate", "sobol", "stratified",
    }  # fmt: skip


def test_a_history_is_the_same_in_every_run_and_its_residuals_go_with_plain_sampling_alone() -> None:
    moves = np.random.default_rng(1).normal(size=(600, 4)) * 0.01
    levels = [100.0, 0.3, 50.0, 50.0] * np.exp(np.cumsum(moves, axis=0))
    days = np.datetime64("2024-01-02") + np.arange(600)
    rows = [f"{day}," + ",".join(f"{x:.9g}" for x in row) for day, row in zip(days, levels, strict=True)]
    Path("H.csv").write_text("\n".join(["date,A,V,L,M", *rows]) + "\n")
    Path("F.csv").write_text(FILES["F"].replace(",0.30,log", ",,log").replace(",0.80,log", ",,log"))
    given: dict[str, Any] = {
        "market": c.FilesMarket(factors="F.csv", history="H.csv"), "correlation": c.HistoricalCorrelation(),
        "schemes": [], "counts": [1024], "repetitions": 2, "accounts": LINEAR,
    }  # fmt: skip
    with pytest.raises(SettingError, match="model=historical takes the moves of the history"):
        calibrate(model=c.HistoricalModel(), **given)
    found = calibrate(model=c.FilteredHistoricalModel(), **given)
    assert {line.scheme for line in found.lines} == {"plain"}
    assert sum(" is left out: " in note for note in found.notes) == 3


def test_the_reader_is_told_of_rows_without_error_of_blurred_truth_and_of_coverage_that_is_off() -> None:
    found = calibrate(truth=2048)
    said = " ".join(found.notes)
    assert "var 95 %: 1 of 5 accounts have the same value in every run" in said
    assert "true values is more than a fifth" not in said  # the control variate is as good as exact
    found = calibrate(truth=2048, model=JUMPS)
    assert "the error of the true values is more than a fifth of the scheme's" in " ".join(found.notes)
    assert found.blurred
    assert not any(found.off(line) for line in found.lines if (line.scheme, line.measure) == ("plain", "es"))
    few = calibrate(counts=[100], repetitions=200, intervals=["asymptotic"], accounts=LINEAR)
    assert "coverages are off nominal by more than 3.5 standard errors: plain asymptotic" in " ".join(few.notes)


def test_an_account_that_is_hedged_but_for_rounding_is_left_out() -> None:
    Path("P.csv").write_text(FILES["P"] + "hedged,L,0.1\nhedged,L,0.2\nhedged,N,-0.3\n")
    Path("I.csv").write_text(FILES["I"] + "N,spot,L,,,,\n")
    said = " ".join(calibrate(counts=[1024], accounts=["one", "hedged"]).notes)
    assert "var 95 %: 1 of 2 accounts have the same value in every run" in said
    assert "es 95 %: 1 of 2 accounts have the same value in every run" in said


# What is written and shown


def test_files_and_terminal(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    found = calibrate(Path("out"), schemes=["plain", "sobol"], intervals=["auto", "asymptotic"])
    pictures = {name: lambda path: save(found, path) for name in ("calibration.png", "calibration.svg")}
    found.write(Path("out"), pictures)
    table = pq.read_table("out/coverage.parquet")
    assert table.column_names == [
        "scheme", "interval", "measure", "level", "scenarios", "nominal", "coverage", "coverage_stderr",
        "relative_error", "seconds",
    ]  # fmt: skip
    assert table.num_rows == len(found.lines) == 2 * 2 * 2 + 2 * 2
    record = json.loads(Path("out/run.json").read_text())
    assert (record["job"], record["seed"], record["repetitions"]) == ("calibrate", 5, 6)
    assert record["truth"]["seed"] == 5 + 2**62
    assert {r["scheme"] for r in record["recommendations"]} == {"plain", "sobol"}
    assert {path.name for path in Path("out").iterdir()} == {
        "coverage.parquet", "calibration.png", "calibration.svg", "run.json", "repetitions",
    }  # fmt: skip
    assert Path("out/calibration.svg").read_text().count("plain, order") == 1
    show_calibration(found, Console(width=170), Path("out"))
    shown = capsys.readouterr().out
    for part in ("VaR 95 % covers", "ES 95 % to +-1 %: ", "plain (", "sobol (", "results: out", "6 repetitions over 5"):
        assert part in shown
    one = calibrate(counts=[2048], accounts=["short"])
    show_calibration(one, Console(width=170), Path("out"))
    save(one, Path("one.png"))
    assert "6 repetitions over short" in capsys.readouterr().out


def test_the_command_line_goes_on(run: Run, capsys: pytest.CaptureFixture[str]) -> None:
    line = (
        "job=calibrate", "job.counts=[1024,2048]", "job.repetitions=3", "job.schemes=[plain,control_variate]",
        "job.truth=4096", "market=files", "market.factors=F.csv", "correlation=identity",
        "market.valuation=2026-01-02T00:00:00Z", "book=files", "book.instruments=I.csv", "book.positions=P.csv",
        "hydra.run.dir=out",
    )  # fmt: skip
    assert run(*line) == 0
    first = pq.read_table("out/coverage.parquet")
    assert "VaR 99 % to +-1 %" in capsys.readouterr().out
    assert run(*line) == 0
    assert pq.read_table("out/coverage.parquet").equals(first)  # seconds too: nothing is run again
    assert {p.name for p in Path("out").iterdir()} == {
        "coverage.parquet", "calibration.png", "calibration.svg", "run.json", "composed.yaml", "repetitions",
    }  # fmt: skip
    assert run(*line, "scenarios.seed=2") == 2
    assert "seed was 1 and is 2" in capsys.readouterr().err


def test_losses_that_are_too_large_are_refused() -> None:
    Path("P.csv").write_text("account,instrument,quantity\none,L,1e307\n")
    with pytest.raises(McvarError, match=r"es at 0\.95 of 'one' is inf .* with seed .*: its losses are too large"):
        calibrate(counts=[1024], model=JUMPS)


def test_an_engine_is_made_once_for_all_schemes_and_counts(monkeypatch: pytest.MonkeyPatch) -> None:
    calls = []
    keep = Repeater._engine

    def count(self: Repeater, *given: Any) -> Any:
        before = self._made
        found = keep(self, *given)
        calls.append(found is not before)
        return found

    monkeypatch.setattr(Repeater, "_engine", count)
    calibrate(schemes=["plain", "control_variate", "sobol", "stratified"])
    assert (sum(calls), len(calls)) == (1, 1 + 4 * 2)
