"""Every way of sampling has the same VaR, ES and mean, in whole runs on every engine, and those of closed forms.

And the page that says what they save, and how often intervals hold for the sample book, quotes what was measured.
"""

from __future__ import annotations

import importlib
import json
from collections.abc import Callable
from math import sqrt
from pathlib import Path

import numpy as np
import pytest
from scipy import stats

import mcvar
from mcvar.config import (
    Config,
    ControlVariateSampling,
    EngineConfig,
    FilesBook,
    FilesMarket,
    GaussianModel,
    HorizonConfig,
    ImportanceSampling,
    MeasureConfig,
    ModelConfig,
    NativeEngine,
    NumpyEngine,
    OutputConfig,
    PlainSampling,
    SamplingConfig,
    SimulatedScenarios,
    SobolSampling,
    StratifiedSampling,
    StudentTModel,
)
from mcvar.engines import EngineChoice, Launcher
from mcvar.report import Report

ROOT = Path(__file__).parents[1]
LEVEL, DAYS = 0.95, 10.0
COUNT, MANY = 8_192, 400_000
VOLATILITY, EXPOSURE, TOGETHER = (10.0, 15.0), (100.0, -70.0), 0.5  # of what the account `linear` holds
FACTORS = f"""factor,kind,underlying,tenor,level,volatility,shock
A,price,A,,100,0.30,log
A-V,vol,A,0.25,0.30,0.80,log
B,price,B,,50,0.45,log
L,price,L,,50,{VOLATILITY[0]},absolute
M,price,M,,50,{VOLATILITY[1]},absolute
"""
CORRELATION = f"""factor,A,A-V,B,L,M
A,1,-0.5,0.4,0.3,0.2
A-V,-0.5,1,-0.2,-0.1,0
B,0.4,-0.2,1,0.2,0.3
L,0.3,-0.1,0.2,1,{TOGETHER}
M,0.2,0,0.3,{TOGETHER},1
"""
INSTRUMENTS = """instrument,kind,underlying,option_type,strike,expiry,volatility
A,spot,A,,,,
B,spot,B,,,,
L,spot,L,,,,
M,spot,M,,,,
A-C,option,A,call,102,2026-05-01T00:00:00Z,
A-P,option,A,put,98,2026-05-01T00:00:00Z,
B-C,option,B,call,52,2026-03-01T00:00:00Z,0.45
"""
POSITIONS = f"""account,instrument,quantity
linear,L,{EXPOSURE[0]}
linear,M,{EXPOSURE[1]}
short,A-C,-10
short,A-P,-10
mixed,A,3
mixed,B-C,-20
mixed,A-P,5
mixed,L,4
"""
SAMPLINGS: dict[str, SamplingConfig] = {
    "plain": PlainSampling(),
    "sobol": SobolSampling(),
    "stratified": StratifiedSampling(),
    "control": ControlVariateSampling(),
    "importance": ImportanceSampling(accounts=["short"], level=None, post_stratified=True),
    "importance-linear": ImportanceSampling(accounts=["linear"], level=0.99, post_stratified=False),
}
# The largest standard error of VaR and ES, over that of as many plain scenarios.
ERRORS = {"sobol": 0.9, "stratified": 1.6, "control": 0.5, "importance": 0.3, "importance-linear": 0.7}
MODELS: dict[str, tuple[ModelConfig, float | None]] = {
    "gaussian": (GaussianModel(), None),
    "t": (StudentTModel(dof=5.0), 5.0),
}
ENGINES: dict[str, EngineConfig] = {"numpy": NumpyEngine(), "native": NativeEngine(), "emulated": NumpyEngine()}


@pytest.fixture(scope="module")
def run(tmp_path_factory: pytest.TempPathFactory) -> Callable[..., Report]:
    folder: Path = tmp_path_factory.mktemp("schemes")
    files = {"factors": FACTORS, "correlation": CORRELATION, "instruments": INSTRUMENTS, "positions": POSITIONS}
    at = {name: folder / f"{name}.csv" for name in files}
    for name, text in files.items():
        at[name].write_text(text)

    def call(model: ModelConfig, sampling: SamplingConfig, engine: EngineConfig, count: int, seed: int) -> Report:
        config = Config(
            market=FilesMarket(
                factors=str(at["factors"]), correlation=str(at["correlation"]), valuation="2026-01-02T00:00:00Z"
            ),
            book=FilesBook(instruments=str(at["instruments"]), positions=str(at["positions"])),
            model=model,
            sampling=sampling,
            scenarios=SimulatedScenarios(count=count, seed=seed),
            horizon=HorizonConfig(days=DAYS),
            measure=MeasureConfig(levels=[LEVEL]),
            engine=engine,
            output=OutputConfig(tail_rows=10, plot_rows=0),
        )
        return mcvar.run(config)

    return call


@pytest.fixture(scope="module")
def truth(run: Callable[..., Report]) -> dict[str, Report]:
    """Plain sampling, of so many scenarios that its own errors are small."""
    return {name: run(model, PlainSampling(), NumpyEngine(), MANY, 7) for name, (model, _) in MODELS.items()}


@pytest.mark.parametrize("place", ENGINES)
@pytest.mark.parametrize("law", MODELS)
@pytest.mark.parametrize("name", SAMPLINGS)
def test_a_scheme_changes_errors_and_no_value(
    run: Callable[..., Report], truth: dict[str, Report], launcher: Callable[..., Launcher],
    monkeypatch: pytest.MonkeyPatch, name: str, law: str, place: str,
) -> None:  # fmt: skip
    if place != "numpy":
        made = launcher(place)  # skips the test where there is none
    if place == "emulated":
        monkeypatch.setattr("mcvar.api.choose", lambda *_, **__: EngineChoice("cuda", launcher=made))
    model, dof = MODELS[law]
    report = run(model, SAMPLINGS[name], ENGINES[place], COUNT, 11)
    assert report.record["engine"]["name"] == {"emulated": "cuda"}.get(place, place)
    row = {each: r for r, each in enumerate(report.book.row)}
    rows = [row[each] for each in getattr(SAMPLINGS[name], "accounts", ["linear", "short", "mixed", "*"])]
    for measure in ("var", "es", "mean"):
        own, plain = report.estimate(measure), truth[law].estimate(measure)
        error = np.hypot(own.stderr, plain.stderr)[rows]
        assert (np.abs(own.value - plain.value)[rows] < 4 * error).all()
        assert (own.stderr[rows] > 0).all()
        if measure != "mean":
            assert (own.stderr < ERRORS.get(name, 1.3) * sqrt(MANY / COUNT) * plain.stderr)[rows].all()
    if row["linear"] in rows:
        for measure, want in closed_form(dof).items():
            found = report.estimate(measure)
            assert abs(found.value[row["linear"]] - want) < 4 * found.stderr[row["linear"]]


def closed_form(dof: float | None) -> dict[str, float]:
    """VaR, ES and mean of the account `linear` (McNeil, Frey and Embrechts, 2015, examples 2.11, 2.14 and 2.15)."""
    one, other = (q * v for q, v in zip(EXPOSURE, VOLATILITY, strict=True))
    scale = sqrt((one**2 + other**2 + 2 * TOGETHER * one * other) * DAYS / 365)
    if dof is None:
        q = stats.norm.ppf(LEVEL)
        return {"var": scale * q, "es": scale * stats.norm.pdf(q) / (1 - LEVEL), "mean": 0.0}
    scale *= sqrt((dof - 2) / dof)
    q = stats.t.ppf(LEVEL, dof)
    es = stats.t.pdf(q, dof) / (1 - LEVEL) * (dof + q * q) / (dof - 1)
    return {"var": scale * q, "es": scale * es, "mean": 0.0}


# The studies.


@pytest.mark.parametrize(("script", "kept_as"), [("reduction", "factors"), ("book_coverage", "coverage")])
def test_the_page_quotes_the_kept_study(script: str, kept_as: str, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.syspath_prepend(ROOT / "benchmarks")
    study = importlib.import_module(script)
    kept = json.loads((ROOT / "benchmarks" / "results" / f"{script}.json").read_text())
    table = (ROOT / "benchmarks" / "results" / f"{script}.md").read_text()
    assert study.table(kept[kept_as]) == table
    page = (ROOT / "docs" / "confidence.md").read_text()
    for part in table.strip().split("\n\n"):
        assert part in page


def test_factors_are_those_of_variances_and_told_where_they_miss(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.syspath_prepend(ROOT / "benchmarks")
    study = importlib.import_module("reduction")
    rng = np.random.default_rng(1)
    size = np.array([1.0, 2.0, 5.0, 10.0])[:, None] * np.ones(2)  # of the errors of each account, in plain sampling
    monkeypatch.setattr(study, "PLAIN", lambda case, count, seed: size * rng.normal(size=(4, 2)))
    schemes = {name: lambda case, count, seed: rng.normal(size=(4, 2)) for name in study.SCHEMES}
    monkeypatch.setattr(study, "SCHEMES", schemes)
    found = [{"model": "normal", "years": 0.5, **each} for each in study.compare(None, 2_000, 1)]
    for each in found:
        want = size[study.ACCOUNTS.index(each["account"]), 0] ** 2
        assert each["low"] < want * 1.05
        assert each["high"] > want * 0.95
        assert each["factor"] == pytest.approx(want, rel=0.2)
        assert abs(each["difference_in_standard_errors"]) < 4
    lines = study.table(found).splitlines()
    assert "| normal | 0.5 | directional | **" in lines[2]  # 1 instead of 5
    assert lines[4].count("**") == 0
    assert [line.split("|")[-2].strip() for line in lines[-3:]] == ["**1**", "**2**", "3"]


def test_coverage_of_a_book_is_an_average_with_an_error(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.syspath_prepend(ROOT / "benchmarks")
    study = importlib.import_module("book_coverage")
    rng = np.random.default_rng(1)
    alike = np.repeat(rng.random((400, 1)) < 0.05, 8, axis=1)  # accounts that are missed together
    alone = rng.random((400, 8)) < 0.05
    one, other = (study.covered(each.astype(np.int64), 0.95) for each in (alike, alone))
    assert one["stderr"] == pytest.approx(sqrt(0.05 * 0.95 / 400), rel=0.25)
    assert other["stderr"] == pytest.approx(sqrt(0.05 * 0.95 / 3200), rel=0.25)
    assert not one["fails"]
    assert one["truth_above"] == pytest.approx(1 - one["coverage"], abs=1e-4)
    alone[:, 0] = rng.random(400) < 0.2
    off = study.covered(-alone.astype(np.int64), 0.95)
    assert (off["accounts_off"], off["fails"], off["truth_above"]) == (1, True, 0.0)
