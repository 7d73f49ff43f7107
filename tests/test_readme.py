"""The README is run: its files are written, its commands typed, its Python executed."""

from __future__ import annotations

import json
import os
import re
import shlex
import subprocess
import sys
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[1]
BLOCKS = re.findall(r"^```(\w+) ?(\S*)\n(.*?)^```$", (ROOT / "README.md").read_text(), re.MULTILINE | re.DOTALL)


def typed(line: str, folder: Path) -> subprocess.CompletedProcess[str]:
    environment = {**os.environ, "PATH": f"{Path(sys.executable).parent}{os.pathsep}{os.environ['PATH']}"}
    return subprocess.run(
        shlex.split(line), cwd=folder, env=environment, capture_output=True, text=True, check=False, timeout=300
    )


def steady(text: str) -> list[str]:
    """Lines without what differs between machines and runs: speed, seconds, folders, spaces at the end."""
    lines = (re.sub(r" in [\d.]+ s: .*", " in", line.rstrip()) for line in text.splitlines())
    return [line for line in lines if line and not line.startswith("results: ")]


def numbers_close(shown: str, got: str) -> bool:
    """Equal but for the last digits, which another BLAS may round differently."""
    pattern = r"-?[\d,]*\.?\d+"
    if re.sub(pattern, "#", shown).split() != re.sub(pattern, "#", got).split():
        return False
    pairs = zip(re.findall(pattern, shown), re.findall(pattern, got), strict=True)
    return all(
        float(a.replace(",", "")) == pytest.approx(float(b.replace(",", "")), rel=1e-3, abs=0.011) for a, b in pairs
    )


def test_commands_print_what_the_readme_shows(tmp_path: Path) -> None:
    ran = 0
    for language, name, text in BLOCKS:
        if language == "csv":
            (tmp_path / name).write_text(text)
        if language == "console":
            command, _, output = text.partition("\n")
            done = typed(command.removeprefix("$ "), tmp_path)
            assert done.returncode == 0, done.stderr
            shown, got = steady(output), steady(done.stdout)
            assert len(shown) == len(got), done.stdout
            for a, b in zip(shown, got, strict=True):
                assert numbers_close(a, b), (a, b)
            ran += 1
    assert ran == 5


@pytest.mark.parametrize("source", [text for language, _, text in BLOCKS if language == "python"])
def test_python_runs(source: str) -> None:
    exec(compile(source, "README.md", "exec"), {})


def test_indented_commands_compose(tmp_path: Path) -> None:
    lines = re.findall(r"^    (mcvar .*?)(?:#.*)?$", (ROOT / "README.md").read_text(), re.MULTILINE)
    assert len(lines) == 7
    for line in lines:
        single = re.sub(r" -m |,student_t", " ", line).replace("mcvar", "mcvar --cfg job", 1)
        done = typed(single, tmp_path)
        assert done.returncode == 0, done.stderr


def test_links_lead_somewhere() -> None:
    for link in re.findall(r"\]\(([^)]+)\)", (ROOT / "README.md").read_text()):
        assert link.startswith("https://") or (ROOT / link).exists(), link


def test_first_commands_are_those_of_ci() -> None:
    readme, ci = (ROOT / "README.md").read_text(), (ROOT / ".ci" / "run").read_text()
    assert readme.index("pip install . && mcvar") < readme.index("pip install '.[test]' && pytest -n auto")
    assert "pip install --quiet '.[test]'" in ci
    assert "\npytest -n auto\n" in ci


def test_speed_is_quoted_from_a_kept_measurement() -> None:
    kept = json.loads((ROOT / "benchmarks" / "results" / "headline-2-cores.json").read_text())
    text = " ".join((ROOT / "README.md").read_text().split())
    for name, engine in kept["engines"].items():
        low, high = (f"{rate / 1e6:.0f}" for rate in engine["revaluations_per_second_range"])
        setting = f"engine={name}".replace(" ", " engine.precision=")
        assert f"`{setting}` {engine['revaluations_per_second'] / 1e6:.0f} M ({low} to {high})" in text
    assert f"median of {len(engine['seconds'])} runs" in text
    assert f"in {kept['peak_memory_gb']:.1f} GB" in text
    others = json.loads((ROOT / "benchmarks" / "results" / "others-2-cores.json").read_text())["tools"]
    for tool, said in (("mcvar numpy", "as fast as `engine=numpy`"), ("jax", "JAX"), ("numba", "numba")):
        assert f"{others[tool]['mcvar native is times faster']:.1f} times {said}" in text
    assert f"{others['quantlib']['mcvar native is times faster']:.0f} times QuantLib" in text
    start = json.loads((ROOT / "benchmarks" / "results" / "start-2-cores.json").read_text())["start"]
    assert f"starts in {start['warm_fp64_seconds']} s, and in {start['cold_fp64_seconds']} s the first time" in text
    near = json.loads((ROOT / "benchmarks" / "results" / "single-precision.json").read_text())["options"][
        "at the money"
    ]
    assert f"by {near['largest']:.0e}".replace("e-0", "e-") + " of the forward at most" in text
    assert f"by {near['root_mean_square']:.0e}".replace("e-0", "e-") + " in the root mean square" in text
    counted = json.loads((ROOT / "benchmarks" / "results" / "sass-sm_90.json").read_text())
    assert f"takes {counted['fp32']['option']['lanes']['issue']:.0f} instructions in single precision" in text
    assert f"{counted['fp64']['option']['lanes']['fp64']:.0f} operations of the FP64 units" in text


def test_american_speed_is_quoted_from_a_kept_measurement() -> None:
    text = " ".join((ROOT / "README.md").read_text().split())
    results = ROOT / "benchmarks" / "results"
    solvers = json.loads((results / "american-2-cores.json").read_text())["exact_on_one_core"]["solvers"]

    def said(name: str) -> str:
        found = solvers[name]
        return f"{found['solutions_per_second']:,} a second on one core within {found['largest_error_of_strike']:.1e}"

    assert f"solves {said('mcvar kernel accurate')} of the strike" in text
    assert f"and {said('mcvar kernel fast').replace(' a second on one core', '')}" in text
    assert f"QdFp engine solves {said('quantlib QdFp accurate').replace(' a second on one core', '')}." in text
    job = json.loads((results / "american-job-2-cores.json").read_text())["job"]
    assert (job["scenarios"], job["options"], job["accounts"]) == (100_000, 10_000, 200)
    assert f"take {job['seconds']:.0f} s on `engine=native` after {job['preparation_seconds']:.0f} s for tables" in text
    assert f"audited, is {job['largest_error_of_strike']:.1e} of the strike" in text
    speed = job["revaluations_per_second"] / 1e6
    assert f"{speed:.0f} M revaluations a second in {job['peak_memory_gb']:.1f} GB" in text


def test_speed_of_margins_is_quoted_from_a_kept_measurement() -> None:
    text = " ".join((ROOT / "README.md").read_text().split())
    kept = json.loads((ROOT / "benchmarks" / "results" / "scan-2-cores.json").read_text())
    assert (kept["accounts"], kept["positions"], kept["contracts"]) == (100_000, 2_000_000, 5_000)
    two, one = (kept["median_seconds"][f"{threads} threads"] for threads in (2, 1))
    assert f"{two:.2f} s on two threads and {one:.2f} s on one, in {kept['peak_memory_gb']:.2f} GB" in text


@pytest.mark.parametrize("table", ["backtest", "spot_volatility"])
def test_tables_of_the_models_are_the_kept_ones(table: str) -> None:
    kept = (ROOT / "benchmarks" / "results" / f"{table}.md").read_text().strip()
    assert kept in (ROOT / "docs" / "models.md").read_text()
