"""The command line as users type it: the line that always works, bad input, multirun, nothing half-written."""

from __future__ import annotations

import json
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pyarrow.parquet as pq
import pytest

import mcvar
from mcvar import config as c
from mcvar.report import RESULT_FILES

Run = Callable[..., int]


@pytest.fixture
def files(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """The book with a known answer, in files, in the working folder."""
    monkeypatch.chdir(tmp_path)
    names = [f"U{i}" for i in range(10)]
    rows = [f"{n},price,{n},100,0.30,0.05,0.05" for n in names]
    Path("F.csv").write_text("\n".join(["factor,kind,underlying,level,volatility,rate,carry", *rows]) + "\n")
    rows = [f"{n}," + ",".join("1" if n == m else "0" for m in names) for n in names]
    Path("C.csv").write_text("\n".join(["factor," + ",".join(names), *rows]) + "\n")
    expiry = "2026-07-03T12:00:00Z"  # 182.5 days: half a year
    rows = [f"{n}-{t},option,{n},{t},100,{expiry},0.30" for n in names for t in ("call", "put")]
    Path("I.csv").write_text(
        "\n".join(["instrument,kind,underlying,option_type,strike,expiry,volatility", *rows]) + "\n"
    )
    rows = [f"A,{n}-call,-10\nA,{n}-put,-5" for n in names]
    Path("P.csv").write_text("\n".join(["account,instrument,quantity", *rows]) + "\n")
    return tmp_path


LINE = (
    "market=files", "market.factors=F.csv", "market.correlation=C.csv", "market.valuation=2026-01-02T00:00:00Z",
    "book=files", "book.instruments=I.csv", "book.positions=P.csv",
    "model=gaussian", "model.drift=risk_neutral", "horizon.days=14.6", "scenarios.count=100000", "scenarios.seed=1",
    "measure.levels=[0.95,0.99]", "engine=numpy", "job=var", "hydra.run.dir=OUT",
)  # fmt: skip


def test_the_line_that_always_works(files: Path, run: Run, capsys: pytest.CaptureFixture[str]) -> None:
    assert run(*LINE) == 0
    of_other_jobs = {
        "moves.parquet", "greeks.parquet", "account_greeks.parquet", "contributions.parquet", "incremental.parquet",
        "comparison.parquet", "comparison_groups.parquet", "comparison_ranges.parquet", "comparison.html",
        "coverage.parquet", "calibration.png", "calibration.svg", "margins.parquet", "breakdown.txt",
        *(name for name in RESULT_FILES if name.startswith("export/")),
    }  # fmt: skip
    assert {p.name for p in (files / "OUT").iterdir() if p.name != ".hydra"} == set(RESULT_FILES) - of_other_jobs
    table = pq.read_table("OUT/measures.parquet").to_pylist()
    names = ["account", "measure", "level", "value", "stderr", "low", "high", "confidence", "method", "currency"]
    assert list(table[0]) == names
    exact = {("var", 0.99): 205.714, ("es", 0.99): 241.746, ("var", 0.95): 138.266, ("es", 0.95): 179.779}
    for row in table:
        if (row["measure"], row["level"]) in exact:
            assert abs(row["value"] - exact[row["measure"], row["level"]]) < 4 * row["stderr"]
            assert row["low"] <= row["value"] <= row["high"]
    assert {row["account"] for row in table} == {"A", "*"}
    tail = pq.read_table("OUT/tail.parquet")
    assert tail.column_names == ["account", "rank", "loss", "scenario", "weight"]
    assert tail.num_rows == 2 * 1000
    record = json.loads(Path("OUT/run.json").read_text())
    assert record["scenarios"] == 100_000
    assert record["revaluations"] == 20 * 100_000
    assert record["timings"]["simulation_seconds"] <= record["timings"]["total_seconds"]
    assert set(record["inputs"]) == {"F.csv", "C.csv", "I.csv", "P.csv"}
    assert record["horizon"]["variance_years"] == pytest.approx(0.04)
    shown = capsys.readouterr().out
    assert "VaR 99 %" in shown
    assert "scenarios/s" in shown
    assert "results: " in shown


def test_python_gets_the_same_numbers(files: Path, run: Run) -> None:
    assert run(*LINE) == 0
    config = c.Config(
        market=c.FilesMarket(factors="F.csv", correlation="C.csv", valuation="2026-01-02T00:00:00Z"),
        book=c.FilesBook(instruments="I.csv", positions="P.csv"),
        model=c.GaussianModel(drift=c.Drift.risk_neutral),
        horizon=c.HorizonConfig(days=14.6),
    )
    report = mcvar.run(config)
    assert report.measures().equals(pq.read_table("OUT/measures.parquet"))
    assert report.tail().column("loss").equals(pq.read_table("OUT/tail.parquet").column("loss"))


def test_multirun_runs_each_in_its_folder_and_goes_on_after_a_failure(files: Path, run: Run) -> None:
    arguments = [a for a in LINE if not a.startswith(("model", "hydra", "scenarios.count"))]
    line = [*arguments, "hydra.sweep.dir=SWEEP", "scenarios.count=2000"]
    assert run("-m", "model=gaussian,student_t", *line) == 0
    losses = [pq.read_table(f"SWEEP/{i}/tail.parquet").column("loss").to_numpy() for i in (0, 1)]
    assert not np.array_equal(*losses)
    assert run("-m", "model=gaussian", *line[:-1], "scenarios.count=10,2000", "hydra.sweep.dir=BROKEN") == 2
    assert not Path("BROKEN/0/run.json").exists()
    assert Path("BROKEN/1/run.json").exists()


@pytest.mark.parametrize(
    ("change", "said"),
    [
        ("nonsense=1", "Key 'nonsense' not in 'Config'"),
        ("model=sabr", "Could not find 'model/sabr'"),
        ("scenarios.count=many", "could not be converted to Integer"),
        ("scenarios.count=0", "scenarios.count is 0"),
        ("scenarios.count=100", "set scenarios.count to 368"),
        ("scenarios.seed=-1", "scenarios.seed is -1"),
        ("measure.levels=[0.99,1.0]", "measure.levels has 1"),
        ("measure.levels=[]", "measure.levels is empty"),
        ("measure.levels=[0.99,0.99]", "a level twice"),
        ("measure.confidence=95", "measure.confidence has 95"),
        ("horizon.steps=2", "horizon.days=14.6 and horizon.steps=2"),
        ("horizon.days=-1", "horizon.days is -1"),
        ("correlation=identity", "correlation=matrix only"),
        ("market.correlation=none.csv", "none.csv"),
        ("market.factors=", "market.factors is not set"),
        ("book.positions=", "book.positions is not set"),
        ("market.valuation=tomorrow", "market.valuation is 'tomorrow'"),
        ("market.valuation=", "market.valuation is not set"),
        ("market.valuation=2026-08-01", "expired"),
        ("executor.workers=-1", "executor.workers=-1"),
        ("executor.memory_gb=0.1", "raise executor.memory_gb"),
        ("model=student_t", "shock=simple"),
        ("correlation.values=[[1,0],[0,1]]", "drop one"),
        ("output.tail_rows=-1", "output.tail_rows"),
        ("experiment=nope", "experiment/nope"),
        ("+scenarios.cuont=5", "nothing reads scenarios.cuont"),
        ("+x=1", "nothing reads x"),
        ("horizon.days=nan", "horizon.days is nan"),
        ("scenarios.count=99999999999999999999999", "from 1 to 2**63"),
        ("market.currency=U0", "U0 is priced in itself"),
    ],
)
def test_bad_settings_exit_with_2_and_write_nothing(
    files: Path, run: Run, capsys: pytest.CaptureFixture[str], change: str, said: str
) -> None:
    assert run(*LINE, change) == 2
    captured = capsys.readouterr()
    assert said in captured.err
    assert "Traceback" not in captured.err
    out = Path("OUT")
    assert not out.exists() or {p.name for p in out.iterdir()} <= {".hydra"}


def test_too_few_scenarios_for_several_levels_names_a_count_that_is_enough(files: Path, run: Run) -> None:
    assert run(*LINE, "measure=frtb", "measure.levels=[0.975,0.99,0.999]", "scenarios.count=3687") == 2
    assert run(*LINE, "measure=frtb", "measure.levels=[0.975,0.99,0.999]", "scenarios.count=3688") == 0


def test_losses_too_large_to_square_are_an_error(files: Path, run: Run, capsys: pytest.CaptureFixture[str]) -> None:
    Path("P.csv").write_text("account,instrument,quantity\nA,U0-call,1e160\n")
    with np.errstate(all="ignore"):
        assert run(*LINE, "scenarios.count=2000") == 2
    assert "too large for double precision" in capsys.readouterr().err


def test_a_run_can_be_repeated_from_its_folder(files: Path, run: Run) -> None:
    assert run(*LINE, "scenarios.count=2000") == 0
    assert run("--config-dir", "OUT", "--config-name", "composed", "hydra.run.dir=AGAIN") == 0
    first, again = (pq.read_table(f"{folder}/measures.parquet") for folder in ("OUT", "AGAIN"))
    assert first.equals(again)
    assert not Path("OUT/.hydra").exists()


def test_a_run_folder_that_cannot_be_made(files: Path, run: Run, capsys: pytest.CaptureFixture[str]) -> None:
    Path("file").write_text("")
    assert run(*LINE[:-1], "hydra.run.dir=file/x") == 2
    said = capsys.readouterr().err
    assert "hydra.run.dir names the run folder" in said
    assert "Traceback" not in said


def test_version(run: Run, capsys: pytest.CaptureFixture[str]) -> None:
    assert run("--version") == 0
    assert capsys.readouterr().out == f"mcvar {mcvar.__version__}\n"


def test_names_like_markup_mathematics_or_another_alphabet(
    files: Path, run: Run, capsys: pytest.CaptureFixture[str]
) -> None:
    Path("P.csv").write_text(
        "account,instrument,quantity\n[red]X,U0-call,-1\n$x$,U1-call,-1\n口座,U2-put,-1e15\nnone,U1-put,0\n"
    )
    assert run(*LINE, "scenarios.count=2000") == 0
    shown = capsys.readouterr()
    for name in ("[red]X", "$x$", "口座", "none"):
        assert name in shown.out
    assert "…" not in shown.out
    assert " -0" not in shown.out
    assert shown.err.startswith("numpy fp64: ")
    assert shown.err.count("\n") == 1


def test_a_failed_run_leaves_the_run_before_whole(files: Path, run: Run) -> None:
    assert run(*LINE, "scenarios.count=2000") == 0
    before = {p.name: p.read_bytes() for p in Path("OUT").iterdir() if p.is_file()}
    Path("P.csv").write_text("account,instrument,quantity\nA,U0-call,nan\n")
    assert run(*LINE, "scenarios.count=2000") == 2
    assert {p.name: p.read_bytes() for p in Path("OUT").iterdir() if p.is_file()} == before


def test_all_bad_rows_of_a_file_in_one_error(files: Path, run: Run, capsys: pytest.CaptureFixture[str]) -> None:
    Path("P.csv").write_text("account,instrument,quantity\nA,U0-call,nan\nA,U9-call,1\nB,NONE,2\nC,U1-put,inf\n")
    assert run(*LINE) == 2
    said = capsys.readouterr().err
    for part in ("P.csv: 3 problems", "line 2", "line 4", "'NONE'", "line 5"):
        assert part in said


def test_a_matrix_that_is_not_positive_is_repaired_only_when_allowed(
    files: Path, run: Run, capsys: pytest.CaptureFixture[str]
) -> None:
    text = Path("F.csv").read_text().splitlines()[:4]
    Path("F.csv").write_text("\n".join(text) + "\n")
    Path("C.csv").write_text("factor,U2,U0,U1\nU0,0,1,1\nU1,1,1,1\nU2,1,0,1\n")  # Higham's 3 x 3, in another order
    Path("P.csv").write_text("account,instrument,quantity\nA,U0-call,-10\n")
    keep = [line for i, line in enumerate(Path("I.csv").read_text().splitlines()) if i <= 6]
    Path("I.csv").write_text("\n".join(keep) + "\n")
    assert run(*LINE, "scenarios.count=2000") == 2
    said = capsys.readouterr().err
    assert "smallest eigenvalue is -0.414214" in said
    assert "correlation.repair=true" in said
    assert run(*LINE, "scenarios.count=2000", "correlation.repair=true") == 0
    assert "correlation repaired (Higham 2002)" in capsys.readouterr().out
    notes = json.loads(Path("OUT/run.json").read_text())["notes"]
    assert "distance 0.52" in notes[0]


def test_a_defect_exits_with_1_and_a_traceback(
    files: Path, run: Run, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    def broken(*_: object, **__: object) -> None:
        raise ZeroDivisionError("a bug")

    monkeypatch.setattr("mcvar.cli.run", broken)
    assert run(*LINE) == 1
    said = capsys.readouterr().err
    assert "ZeroDivisionError" in said
    assert "defect of mcvar" in said


def test_the_installed_command_from_another_folder(tmp_path: Path) -> None:
    command = [str(Path(sys.executable).with_name("mcvar")), "scenarios.count=2000", "hydra.run.dir=R"]
    done = subprocess.run(command, cwd=tmp_path, capture_output=True, text=True, check=False, timeout=120)
    assert done.returncode == 0, done.stderr
    assert (tmp_path / "R" / "run.json").is_file()
    assert "\x1b[" not in done.stdout + done.stderr  # no bar, no colours when nobody watches
    assert done.stderr.startswith("numpy fp64: ")
    assert done.stderr.count("\n") == 1


def test_help_is_its_own(run: Run, capsys: pytest.CaptureFixture[str]) -> None:
    assert run("--help") == 0
    said = capsys.readouterr().out
    for part in ("Usage", "experiment=deribit", "scenarios.count=1000000", "Exit codes"):
        assert part in said


def test_deribit_experiment_on_a_real_chain(
    tmp_path: Path, run: Run, shared: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.chdir(tmp_path)
    data = shared / "data"
    arguments = [
        "experiment=deribit",
        f"market.snapshot={data}/options/deribit/raw_deribit_options_snapshot_20260205T093647Z.csv.gz",
        f"market.history={data}/crypto/stitched_daily_close_btc_eth_sol_2017_2026.csv.gz",
        f"book.positions={data}/portfolios/synthetic_deribit_accounts_20260205T0936.csv",
        "scenarios.count=10000",
        "hydra.run.dir=OUT",
    ]
    assert run(*arguments) == 0
    var = {
        row["account"]: row["value"]
        for row in pq.read_table("OUT/measures.parquet").to_pylist()
        if (row["measure"], row["level"]) == ("var", 0.99)
    }
    assert set(var) == {"MM_BTC", "HEDGED_ETH", "SHORT_STRANGLES_BTC", "TAIL_LONG_BTC", "*"}
    assert all(value > 0 for value in var.values())
    assert var["*"] < sum(value for account, value in var.items() if account != "*")  # netting
    record = json.loads(Path("OUT/run.json").read_text())
    assert record["valuation"] == "2026-02-05T09:36:47.412509Z"
    assert len(record["inputs"]) == 3
    assert run(*arguments, "market.currency=BTC", "model=gaussian") == 0
    assert "in BTC" in capsys.readouterr().out
    assert run(*arguments[:2], "hydra.run.dir=NONE") == 2
    assert "market.history is not set" in capsys.readouterr().err
