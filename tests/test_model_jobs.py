"""Models on the command line: fitted, read again, described; regimes, floors; what is refused before any simulation."""

from __future__ import annotations

import json
import re
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow.parquet as pq
import pytest

import mcvar
from mcvar import build, memory
from mcvar import config as c
from mcvar.config import Config, SimulatedScenarios
from mcvar.engines.laws import law_memory
from mcvar.errors import InputError, McvarError, SettingError
from mcvar.fit import conditional_variances
from mcvar.io.sample import sample_history
from mcvar.models import Drift
from mcvar.scenarios import Explicit, Simulated
from mcvar.settings.model import Filter, Innovations, Regime

Run = Callable[..., int]
FITTED = ["student_t", "merton", "heston", "bates", "garch", "filtered_historical"]
SMALL = SimulatedScenarios(count=2_000)


def sample(**settings: Any) -> Config:
    return Config(scenarios=SMALL, **settings)


@pytest.fixture
def here(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    monkeypatch.chdir(tmp_path)
    return tmp_path


@pytest.mark.parametrize("model", FITTED)
def test_a_fitted_model_is_a_file_that_the_main_job_reads(here: Path, run: Run, model: str) -> None:
    assert run("job=fit", f"model={model}", "hydra.run.dir=FITS") == 0
    record = json.loads((here / "FITS" / "run.json").read_text())
    assert record["job"] == "fit"
    assert record["settings"]
    assert record["notes"]
    line = ("scenarios.count=2000", "horizon.steps=2")
    assert run("--config-dir", "FITS", "model=fitted", *line, "hydra.run.dir=READ") == 0
    measured = pq.read_table("READ/measures.parquet")
    if model != "student_t":  # whose dof has a default
        assert run(f"model={model}", *line, "hydra.run.dir=DIRECT") == 0
        assert measured.equals(pq.read_table("DIRECT/measures.parquet"))
        assert json.loads(Path("DIRECT/run.json").read_text())["fitted"]["settings"] == record["settings"]
    assert json.loads(Path("READ/run.json").read_text())["fitted"] is None


def test_every_number_of_a_fit_is_shown_with_its_error(
    here: Path, run: Run, capsys: pytest.CaptureFixture[str]
) -> None:
    assert run("job=fit", "model=heston", "hydra.run.dir=FITS", "job.name=vix") == 0
    shown = capsys.readouterr().out
    assert "parameters.SPX.kappa" in shown
    assert "standard error" in shown
    assert "mcvar --config-dir" in shown
    assert (here / "FITS" / "model" / "vix.yaml").exists()


def test_fits_of_copulas_groups_and_chains(here: Path, run: Run) -> None:
    assert run("job=fit", "job.copula=true", "model=student_t", "hydra.run.dir=C") == 0
    assert set(json.loads(Path("C/run.json").read_text())["settings"]) == {"dof", "marginals"}
    assert run("--config-dir", "C", "model=fitted", "scenarios.count=2000", "hydra.run.dir=R") == 0
    groups = "model.groups={vols:{factors:[SPX-VOL,NASDAQ-VOL,WTI-VOL]},oil:{factors:[WTI]}}"
    assert run("job=fit", "model=student_t", groups, "hydra.run.dir=G") == 0
    settings = json.loads(Path("G/run.json").read_text())["settings"]
    assert set(settings) == {"dof", "groups"}
    assert set(settings["groups"]) == {"vols", "oil"}
    assert run("--config-dir", "G", "model=fitted", "scenarios.count=2000", "hydra.run.dir=R") == 0
    assert run("job=fit", "job.chain=true", "model=heston", "hydra.run.dir=H") == 0
    assert set(json.loads(Path("H/run.json").read_text())["settings"]["parameters"]) == {"SPX", "NASDAQ", "WTI"}


@pytest.mark.parametrize("model", [*FITTED, "gaussian", "historical"])
def test_every_model_runs_natively_with_the_same_measures(launcher: Callable[..., Any], model: str) -> None:
    launcher("native")
    kind: Any = c.OPTIONS["model"][model]
    reports = [
        mcvar.run(sample(model=kind(), horizon=c.HorizonConfig(steps=3), engine=engine))
        for engine in (c.NumpyEngine(), c.NativeEngine())
    ]
    var = [report.estimate("var").value for report in reports]
    np.testing.assert_allclose(var[1], var[0], rtol=1e-11, atol=1e-9)


def test_the_moves_job_describes_every_factor(here: Path, run: Run, capsys: pytest.CaptureFixture[str]) -> None:
    assert run("job=moves", "model=garch", "horizon.steps=5", "scenarios.count=20000", "hydra.run.dir=M") == 0
    shown = capsys.readouterr().out
    assert "SPX-VOL" in shown
    assert "5 steps" in shown
    table = pq.read_table("M/moves.parquet")
    assert table.column("factor").to_pylist()[:2] == ["SPX", "NASDAQ"]
    row = {name: np.array(table.column(name)) for name in table.column_names}
    assert (np.abs(row["mean"]) < 4 * row["mean_stderr"]).all()
    assert (row["minimum_q0.01"] < row["q0.01"]).all()
    assert (row["maximum_q0.99"] > row["q0.99"]).all()
    assert (row["q0.01"] < row["q0.5"]).all()
    assert json.loads(Path("M/run.json").read_text())["steps"] == 5


def test_moves_that_do_not_fit_into_memory() -> None:
    config = sample(job=c.MovesJob(), executor=c.ExecutorConfig(memory_gb=1e-4))
    with pytest.raises(McvarError, match=r"lower scenarios\.count to 520"):
        mcvar.simulate_moves(config)


def test_python_fits_and_runs() -> None:
    found = mcvar.fit_model(Config(model=c.GarchModel(innovations=Innovations.t)))
    report = mcvar.run(sample(model=found.model, horizon=c.HorizonConfig(steps=1)))
    assert report.record["fitted"] is None
    with pytest.raises(SettingError, match=r"mcvar\.fit_model"):
        mcvar.run(Config(job=c.FitJob()))


def test_a_forecast_that_is_not_given_is_that_of_the_valuation(here: Path) -> None:
    """A model fitted once is filtered anew from the history of each run."""
    found = mcvar.fit_model(Config(model=c.GarchModel()))
    assert set(found.fitted.settings["parameters"]["SPX"]) == {"omega", "alpha", "gamma", "beta"}
    assert found.fitted.diagnostics["forecast_variance"]["SPX"] > 0
    history = sample_history()
    moves = history.moves(NAMES, ["log"] * 6)
    for days in (0, 270):
        past = history.until(history.dates[-1 - days])
        Path("H.csv").write_text(written(past.names, past.dates, past.levels))
        Path("F.csv").write_text("factor,kind\n" + "\n".join(f"{n},price" for n in NAMES) + "\n")
        market = c.FilesMarket(factors="F.csv", history="H.csv")
        config = sample(model=found.model, market=market, correlation=c.HistoricalCorrelation(), book=spot(here))
        made = build.inputs(config).scenarios
        assert isinstance(made, Simulated)
        assert made.law.garch is not None
        h = conditional_variances(moves[: len(moves) - days], found.fitted.settings["parameters"])
        np.testing.assert_allclose(made.law.garch.start, h[-1], rtol=1e-9)


def written(names: Any, dates: Any, levels: Any) -> str:
    rows = [",".join([str(day), *map(repr, row.tolist())]) for day, row in zip(dates, levels, strict=True)]
    return "\n".join([",".join(["date", *names]), *rows]) + "\n"


def spot(folder: Path) -> c.FilesBook:
    (folder / "I.csv").write_text("instrument,kind,underlying\nX,spot,SPX\n")
    (folder / "P.csv").write_text("account,instrument,quantity\nA,X,1\n")
    return c.FilesBook(instruments=str(folder / "I.csv"), positions=str(folder / "P.csv"))


def test_a_fit_cannot_take_the_name_of_a_model() -> None:
    with pytest.raises(SettingError, match="is a model of mcvar"):
        mcvar.fit_model(Config(model=c.StudentTModel(), job=c.FitJob(name="gaussian")))
    with pytest.raises(SettingError, match="letters, digits and _"):
        mcvar.fit_model(Config(model=c.StudentTModel(), job=c.FitJob(name="a/b")))
    with pytest.raises(SettingError, match=r"model.groups is .*factors"):
        mcvar.fit_model(Config(model=c.StudentTModel(groups={"a": {"factors": None}})))


def test_what_the_simulation_starts_from_is_recorded() -> None:
    horizon = c.HorizonConfig(steps=1)
    record = mcvar.run(sample(model=c.GarchModel(), horizon=horizon)).record
    made = mcvar.simulate_moves(sample(model=c.GarchModel(), horizon=horizon)).moves.columns["std"]
    years = record["horizon"]["variance_years"]
    assert list(record["annual_volatility"].values()) == pytest.approx(made / np.sqrt(years), rel=0.1)


def test_overlapping_moves_say_that_they_are_not_independent() -> None:
    ten = c.HorizonConfig(steps=10)
    made = build.inputs(sample(model=c.HistoricalModel(), horizon=ten))
    assert any("about 125 are independent" in note for note in made.notes)
    with pytest.raises(McvarError, match="the history has 125 moves over the horizon, too few"):
        mcvar.run(sample(model=c.HistoricalModel(overlapping=False), horizon=ten))


def test_groups_say_what_they_do_to_correlations() -> None:
    groups = {"a": {"factors": ["SPX"], "dof": 3.0}, "b": {"factors": ["NASDAQ"], "dof": 8.0}}
    model = c.StudentTModel(dof=5.0, groups=groups, independent=True)
    made = build.inputs(sample(model=model))
    note = next(note for note in made.notes if "between groups" in note)
    least = float(note.split(" times ")[1].split()[0])
    assert isinstance(made.scenarios, Simulated)
    x = made.scenarios.law.moves(1, 0, 400_000)
    market = made.market.correlation
    ratio = np.corrcoef(x)[0, 1] / market[0, 1]
    assert ratio == pytest.approx(least, abs=0.05)


@pytest.mark.parametrize(
    ("model", "said"),
    [
        (c.StudentTModel(marginals="empirical"), "correlation is that of the copula"),
        (c.StudentTModel(dof=2.05), "moves have 0.65 of the market's variance"),
        (
            c.FilteredHistoricalModel(filter=Filter.ewma, stressed=["2015-08-01", "2015-10-31"], stressed_weight=0.5),
            "SPX.* grows from step to step",
        ),
    ],
)
def test_what_a_law_does_not_keep_is_noted(model: Any, said: str) -> None:
    notes = build.inputs(sample(model=model, horizon=c.HorizonConfig(steps=10))).notes
    assert any(re.search(said, note) for note in notes)


def test_an_override_of_the_steps_a_year_keeps_the_variance_of_a_step(here: Path) -> None:
    history = sample_history()
    Path("H.csv").write_text(written(history.names, history.dates, history.levels))
    Path("F.csv").write_text("factor,kind\nSPX,price\n")
    deviations = []
    for model in (c.GaussianModel(), c.FilteredHistoricalModel(filter=Filter.ewma)):
        for steps in (None, 500.0):
            market = c.FilesMarket(factors="F.csv", history="H.csv", steps_per_year=steps)
            config = sample(
                model=model, market=market, correlation=c.HistoricalCorrelation(), book=spot(here),
                horizon=c.HorizonConfig(steps=1),
            )  # fmt: skip
            made = build.inputs(config).scenarios
            assert isinstance(made, Simulated)
            deviations.append(made.law.first_deviation[0])
    assert deviations[0] == pytest.approx(deviations[1])
    assert deviations[2] == pytest.approx(deviations[3])


def test_tables_of_the_law_are_in_the_plan() -> None:
    market, book = (getattr(build.inputs(sample()), name) for name in ("market", "book"))
    for marginals, least in ((None, 0), (4.0, 2 * 6 * 8193 * 8)):
        scenarios = build.inputs(sample(model=c.StudentTModel(marginals=marginals))).scenarios
        rows, tables = law_memory(market, scenarios, 0.0, book.instruments)
        assert rows == 4 * 6 + 1  # normals, correlated, moves, prices; a scale
        assert tables >= least
    planned = [
        memory.plan(rows=1, instruments=1, count=10**5, levels=[0.99], confidence=0.95, state=(25, n)).memory
        for n in (0, 10**6)
    ]
    assert planned[1] - planned[0] == 10**6


# Regimes and floors.


def volatility(**settings: Any) -> Any:
    return build.inputs(sample(**settings)).market.volatility


def test_the_larger_of_short_and_long_volatility() -> None:
    usual = volatility(model=c.GaussianModel())
    larger = volatility(model=c.GaussianModel(regime=Regime.larger))
    moves = sample_history().moves(build.inputs(sample()).market.factors.name, ["log"] * 6)
    per_year = sample_history().steps_per_year
    weight = 0.97 ** np.arange(len(moves))[::-1]
    short = np.sqrt((weight @ moves**2) / weight.sum() * per_year)
    assert larger == pytest.approx(np.maximum(usual, short), rel=1e-6)
    assert (larger[:3] > usual[:3]).all()  # prices, in December 2018
    assert volatility(model=c.StudentTModel(regime=Regime.larger)) == pytest.approx(larger)


def test_no_volatility_below_that_of_some_years() -> None:
    config = sample(model=c.GaussianModel(floor_years=4.9), correlation=c.EwmaCorrelation(decay=0.5))
    low = volatility(model=c.GaussianModel(), correlation=c.EwmaCorrelation(decay=0.5))
    floored = build.inputs(config).market.volatility
    assert (floored >= low).all()
    assert (floored > low).any()
    with pytest.raises(SettingError, match="floor_years is 10, but the history spans"):
        build.inputs(sample(model=c.GaussianModel(floor_years=10)))


def test_regimes_of_dynamic_models() -> None:
    def law(**settings: Any) -> Any:
        scenarios = build.inputs(sample(**settings, horizon=c.HorizonConfig(steps=1))).scenarios
        assert isinstance(scenarios, Simulated)
        return scenarios.law

    plain, larger = (law(model=c.GarchModel(regime=r)).garch for r in Regime)
    assert larger.start == pytest.approx(np.maximum(plain.start, plain.long_run))
    assert (larger.start > plain.start).any()
    plain, larger = (law(model=c.HestonModel(regime=r)).variance for r in Regime)
    assert larger.start == pytest.approx(np.maximum(plain.start, plain.theta))
    floored = law(model=c.FilteredHistoricalModel(filter=Filter.ewma, floor_years=4.9)).garch
    assert (floored.start >= law(model=c.FilteredHistoricalModel(filter=Filter.ewma)).garch.start).all()


# Histories as scenarios.


def shocks(**settings: Any) -> Any:
    made = build.inputs(sample(model=c.HistoricalModel(**settings), horizon=c.HorizonConfig(steps=3))).scenarios
    assert isinstance(made, Explicit)
    return made.shocks


def test_historical_moves_overlapping_or_not() -> None:
    moves = sample_history().moves(build.inputs(sample()).market.factors.name, ["log"] * 6)
    every = np.lib.stride_tricks.sliding_window_view(moves, 3, axis=0).sum(axis=2).T
    np.testing.assert_allclose(shocks(), every - every.mean(axis=1, keepdims=True), atol=1e-13)
    apart = every[:, ::-3][:, ::-1]
    np.testing.assert_allclose(shocks(overlapping=False), apart - apart.mean(axis=1, keepdims=True), atol=1e-13)
    assert shocks(window=300).shape == (6, 298)


def test_historical_moves_at_todays_volatility() -> None:
    moves = sample_history().moves(build.inputs(sample()).market.factors.name, ["log"] * 6)
    scaled, plain = shocks(rescaled=True, decay=0.94), shocks()
    h = np.mean(moves[:75] ** 2, axis=0)
    for x in moves:
        h = 0.94 * h + 0.06 * x**2
    # The last move is scaled by nearly nothing: its own variance forecast is close to today's.
    assert np.abs(scaled[:3].std(axis=1) / plain[:3].std(axis=1)).min() > 1.2  # December 2018 is wilder than the rest
    assert h[0] > moves[:, 0].var()


def test_filtered_residuals_are_those_of_the_fit() -> None:
    scenarios = build.inputs(sample(model=c.FilteredHistoricalModel(), horizon=c.HorizonConfig(steps=1))).scenarios
    assert isinstance(scenarios, Simulated)
    found = mcvar.fit_model(Config(model=c.FilteredHistoricalModel())).fitted.settings["parameters"]
    moves = sample_history().moves(tuple(found), ["log"] * 6)
    h = conditional_variances(moves, found)
    want = (moves - moves.mean(axis=0)) / np.sqrt(h[:-1])
    want = (want - want.mean(axis=0)) / want.std(axis=0)
    np.testing.assert_allclose(scenarios.law.innovations.values.T, want, rtol=1e-10, atol=1e-10)
    stressed = c.FilteredHistoricalModel(filter=Filter.ewma, stressed=["2015-08-01", "2015-10-01"])
    drawn = build.inputs(sample(model=stressed, horizon=c.HorizonConfig(steps=1))).scenarios
    assert isinstance(drawn, Simulated)
    weight = np.diff(drawn.law.innovations.cumulative, prepend=0)
    days = sample_history().dates[1:][drawn.law.innovations.pool]
    inside = (days >= np.datetime64("2015-08-01")) & (days <= np.datetime64("2015-10-01"))
    assert weight[inside].sum() == pytest.approx(0.25)


# Bad input.

HESTON = {"kappa": 3.0, "theta": 0.04, "sigma": 0.5, "rho": -0.7, "v0": 0.04}
GARCH = {"omega": 1e-6, "alpha": 0.05, "gamma": 0.1, "beta": 0.85, "variance": 1e-4}
NAMES = ("SPX", "NASDAQ", "WTI", "SPX-VOL", "NASDAQ-VOL", "WTI-VOL")


@pytest.mark.parametrize(
    ("model", "said"),
    [
        (c.StudentTModel(dof=2.0), "model.dof is 2.*dof > 2"),
        (c.StudentTModel(groups={"vols": {"factors": ["SPX-VOL"], "dof": 1.5}}), "model.groups.vols.dof is 1.5"),
        (c.StudentTModel(groups={"vols": {"factors": ["VIX"], "dof": 4}}), "'VIX' is no factor"),
        (c.StudentTModel(groups={"vols": 4}), "model.groups.vols is 4"),
        (c.StudentTModel(groups={"a": {"factors": ["WTI"], "dof": 4}}, marginals="normal"), "both model.groups and"),
        (c.StudentTModel(marginals={"SPX": "normal"}), "none for 'WTI'"),
        (c.StudentTModel(marginals="cauchy"), "model.marginals.SPX is 'cauchy': give normal, empirical or a finite"),
        (c.StudentTModel(marginals=2.0), "dof of a marginal is 2"),
        (c.StudentTModel(drift=Drift.martingale), "shock=simple"),
        (c.MertonModel(own={"SPX": {"intensity": -1.0, "mean": 0.0, "deviation": -0.1}}), "must not be negative"),
        (c.MertonModel(own={"SPX": {"intensity": 20.0, "mean": -0.1, "deviation": 0.1}}), "more than its volatility"),
        (c.MertonModel(own={"SPX": {"intensity": 1.0, "men": 0.0}}), "SPX.men is not known"),
        (c.MertonModel(own={"SPY": {}}), "'SPY' is not known: there are SPX"),
        (c.MertonModel(common={"intensity": "often"}), "model.common.intensity is 'often'"),
        (c.MertonModel(common={"rate": 1}), "model.common has rate"),
        (c.MertonModel(common={}), "model=merton has no jumps"),
        (c.MertonModel(common={"factors": {"SPX": {"mean": 0.0, "deviation": 0.1}}}), "no jumps"),
        (c.StudentTModel(groups={"a": {"factors": ["WTI", "WTI"], "dof": 4}}), "names a factor twice"),
        (c.StudentTModel(groups={"a": {"factors": [], "dof": 4}}), "give factors, a list of names"),
        (c.StudentTModel(dof=5, drift=Drift.martingale), "shock=simple"),
        (c.HistoricalModel(steps=7), "historical moves are those of the horizon"),
        (c.HistoricalModel(window=1), "model.window is 1"),
        (c.MertonModel(common={"correlation": -0.9}), "it lies from -0.2 to 1"),
        (c.HestonModel(parameters={"SPX": {**HESTON, "kappa": -1.0, "rho": -1.0}}), "kappa is -1(.|\n)*rho is -1"),
        (c.HestonModel(parameters={"SPX": {"kappa": 1.0}}), "SPX has no theta(.|\n)*has no v0"),
        (c.HestonModel(parameters={"SPY": HESTON}), "'SPY' is not known: there are SPX, NASDAQ, WTI"),
        (c.HestonModel(parameters={}), "model.parameters is empty"),
        (c.BatesModel(parameters={"SPX": HESTON}), "SPX has no intensity"),
        (c.GarchModel(parameters={n: {**GARCH, "beta": 0.95} for n in NAMES}), "not stationary"),
        (c.GarchModel(parameters={"SPX": GARCH}), "nothing for 'NASDAQ'"),
        (c.GarchModel(steps=3), "drop model.steps"),
        (c.GaussianModel(steps=3), "model.steps=3 does not divide the horizon of 10 steps"),
        (c.GaussianModel(steps=0), "model.steps is 0"),
        (c.GaussianModel(floor_years=-1.0), "must not be negative"),
        (c.FilteredHistoricalModel(window=10), "at least 50 are needed"),
        (c.FilteredHistoricalModel(window=10**6), "model.window is 1000000"),
        (c.FilteredHistoricalModel(block=0), "model.block is 0"),
        (c.FilteredHistoricalModel(stressed="2008"), "give two dates"),
        (c.FilteredHistoricalModel(stressed=["1990-01-01", "1991-01-01"]), "no move of the history lies in"),
        (c.FilteredHistoricalModel(filter=Filter.ewma, decay=1.0), "model.decay is 1"),
        (c.FilteredHistoricalModel(drift=Drift.martingale), "over 10 steps"),
        (c.HistoricalModel(window=10**6), "model.window is 1000000"),
    ],
)  # fmt: skip
def test_bad_models_are_refused_before_simulation(model: Any, said: str) -> None:
    with pytest.raises(SettingError, match=said):
        build.inputs(sample(model=model, horizon=c.HorizonConfig(steps=10)))


@pytest.mark.parametrize("steps", [1, 2, 5, 10, 20, 100])
def test_steps_divide_the_horizon_or_are_divided_by_it(steps: int) -> None:
    made = build.inputs(sample(model=c.GaussianModel(steps=steps), horizon=c.HorizonConfig(days=10)))
    assert made.scenarios.steps == steps


def test_feller_violations_are_allowed_and_noted() -> None:
    parameters = {"SPX": {**HESTON, "sigma": 2.0}}
    assert any("Feller" in note for note in build.inputs(sample(model=c.HestonModel(parameters=parameters))).notes)


@pytest.mark.parametrize(
    ("model", "error", "said"),
    [
        (c.GarchModel(), SettingError, "there is no history"),
        (c.HestonModel(), SettingError, "no underlying has a volatility factor with a column"),
        (c.FilteredHistoricalModel(), SettingError, "there is no history"),
        (c.HistoricalModel(), SettingError, "moves in steps of a history"),
        (c.GaussianModel(regime=Regime.larger), SettingError, "need a history"),
        (c.GarchModel(parameters={"X": GARCH}), SettingError, "moves in steps of a history: give market.history"),
    ],
)
def test_models_of_the_past_without_one(here: Path, model: Any, error: type[McvarError], said: str) -> None:
    with pytest.raises(error, match=said):
        build.inputs(one_factor(model))


def one_factor(model: Any, history: str = "") -> Config:
    Path("F.csv").write_text("factor,kind,level,volatility\nX,price,100,0.2\n")
    Path("I.csv").write_text("instrument,kind,underlying\nX,spot,X\n")
    Path("P.csv").write_text("account,instrument,quantity\nA,X,1\n")
    market = c.FilesMarket(factors="F.csv", history=history, valuation="2026-01-02")
    book = c.FilesBook(instruments="I.csv", positions="P.csv")
    return Config(market=market, correlation=c.IdentityCorrelation(), model=model, book=book, scenarios=SMALL)


def test_a_history_that_is_too_short_for_the_model(here: Path) -> None:
    days = np.datetime64("2025-10-01") + np.arange(60)
    level = 100 + np.random.default_rng(1).normal(size=60).cumsum()
    rows = [f"{day},{x}" for day, x in zip(days, level, strict=True)]
    Path("H.csv").write_text("\n".join(["date,X", *rows]) + "\n")
    with pytest.raises(InputError, match="59 moves, but the fit needs 250"):
        build.inputs(one_factor(c.GarchModel(), "H.csv"))
    made = build.inputs(one_factor(c.FilteredHistoricalModel(filter=Filter.ewma), "H.csv"))
    assert made.scenarios.steps == 1
