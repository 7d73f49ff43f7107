"""What the stages of the reference engine cost, each checked before it is timed.

    pytest benchmarks --benchmark-enable

Without `--benchmark-enable` every function runs once on a small size, as a test.
"""

from __future__ import annotations

import json
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest
from pytest_benchmark.fixture import BenchmarkFixture
from scipy.special import ndtr, ndtri

from mcvar.philox import normals, uniforms
from mcvar.pricing.black import Europeans, black76
from mcvar.tail import Candidates, Collector


@pytest.fixture
def full(pytestconfig: pytest.Config) -> bool:
    return bool(pytestconfig.getoption("benchmark_enable"))


def rate(benchmark: BenchmarkFixture, items: int) -> None:
    """Record items a second beside the times."""
    if benchmark.stats is not None:
        benchmark.extra_info["items_per_second"] = round(items / benchmark.stats.stats.median)


def test_normals(benchmark: BenchmarkFixture) -> None:
    draws = normals(1, 0, 1024, 50)
    assert np.abs(draws / ndtri(uniforms(1, 0, 1024, 50)) - 1).max() < 1e-14
    benchmark(normals, 1, 0, 1024, 50)
    rate(benchmark, 50 * 1024)


@pytest.mark.parametrize("pairs", [True, False], ids=["calls_and_puts", "calls_only"])
def test_european_revaluation(benchmark: BenchmarkFixture, pairs: bool) -> None:
    generator = np.random.default_rng(1)
    strike = np.repeat(np.linspace(70, 130, 25), 2) if pairs else np.linspace(70, 130, 50)
    sign = np.tile([1.0, -1.0], 25) if pairs else np.ones(50)
    one = np.ones(50)
    options = Europeans.at(
        forward=100 * one, strike=strike, volatility=0.2 * one, sign=sign, years=0.25, scale=one, inverse=False
    )
    log_g, v = 0.03 * generator.standard_normal(1024), np.exp(0.1 * generator.standard_normal(1024))
    out = np.empty((50, 1024))
    options.value(log_g, np.exp(log_g), v, None, out)
    k, s = strike[options.order, None], sign[options.order, None]
    assert np.abs(out - black76(100 * np.exp(log_g), k, 0.2 * v * 0.5, s)).max() < 1e-12
    benchmark(options.value, log_g, np.exp(log_g), v, None, out)
    rate(benchmark, out.size)


def test_two_distribution_functions(benchmark: BenchmarkFixture) -> None:
    """What the library needs for the two cdfs of one option: the floor of the stage above without sharing."""
    x = np.random.default_rng(1).standard_normal((100, 1024))
    assert ndtr(0.0) == 0.5
    benchmark(ndtr, x)
    rate(benchmark, x.size // 2)


def test_tail_selection(benchmark: BenchmarkFixture, full: bool) -> None:
    rows, chunks, depth = (200, 16, 1400) if full else (20, 4, 100)
    loss = np.random.default_rng(1).standard_normal((rows, chunks * 8192))

    def select() -> Collector:
        collector = Collector(rows, depth, 8192)
        for at in range(0, loss.shape[1], 8192):
            collector.add(Candidates.of(loss[:, at : at + 8192], at, collector.threshold))
        return collector

    assert np.array_equal(select().tail().loss, -np.sort(-loss, axis=1)[:, :depth])
    benchmark(select)
    rate(benchmark, loss.size)


def test_headline_job(benchmark: BenchmarkFixture, full: bool) -> None:
    size = ["--scenarios", "1000000"] if full else ["--scenarios", "4096", "--options", "160", "--accounts", "20"]
    command = [sys.executable, str(Path(__file__).with_name("headline.py")), *size]

    def job() -> str:
        return subprocess.run(command, check=True, capture_output=True, text=True).stdout

    outcome = json.loads(benchmark.pedantic(job, rounds=1))
    assert outcome["peak_memory_gb"] < 3
    for name, engine in outcome["engines"].items():
        assert engine["largest_error_of_gross_value"] < (2e-6 if name in ("native fp32", "native mixed") else 1e-12)
        benchmark.extra_info[name] = engine["revaluations_per_second"]


@pytest.mark.parametrize(
    "command",
    [
        ["others.py", "--repeat", "1", "--tools", "mcvar native", "mcvar native fp32", "mcvar numpy"],
        ["plain_cupy.py", "--device", "cpu", "--chunk", "2048"],
    ],
    ids=lambda command: command[0],
)
def test_other_tools_get_the_same_answers(command: list[str]) -> None:
    """Each script checks its P&L and VaR before it prints."""
    size = ["--scenarios", "4096", "--options", "160", "--accounts", "20"]
    script = str(Path(__file__).with_name(command[0]))
    done = subprocess.run([sys.executable, script, *command[1:], *size], check=True, capture_output=True, text=True)
    assert json.loads(done.stdout)


def test_single_precision_and_starts_are_measured() -> None:
    for command in (["single_precision.py", "--options", "20", "--scenarios", "2000"], ["start.py"]):
        script = str(Path(__file__).with_name(command[0]))
        done = subprocess.run([sys.executable, script, *command[1:]], check=True, capture_output=True, text=True)
        outcome = json.loads(done.stdout)
        if "options" in outcome:
            assert all(0 < errors["largest"] < 4e-7 for errors in outcome["options"].values())
            assert outcome["sample"]["largest_move_in_bounds"] < 1
