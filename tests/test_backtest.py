"""Tests of exceedances against published values and by simulation; the forecasts of benchmarks/backtest.py."""

from __future__ import annotations

import importlib.util
import sys
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from types import ModuleType

import numpy as np
import pytest
from scipy import stats

from mcvar.backtest import (
    LikelihoodRatio,
    Transitions,
    Zone,
    backtest,
    conditional_coverage,
    cumulative,
    exceedances,
    independence,
    kupiec,
    traffic_light,
)
from mcvar.errors import SettingError

Case = dict[str, str]


def inputs(case: Case) -> dict[str, float]:
    return {name: float(value) for name, value in (pair.split("=") for pair in case["inputs"].split(";"))}


def pof(case: Case) -> LikelihoodRatio:
    n = inputs(case)
    return kupiec(int(n["N"]), int(n["x"]), 1 - n["p"])


def cci(case: Case) -> LikelihoodRatio:
    return independence(Transitions(**{name: int(value) for name, value in inputs(case).items()}))


def region(case: Case) -> None:
    n = inputs(case)
    accepted = [x for x in range(int(n["N"]) + 1) if kupiec(int(n["N"]), x, 1 - n["p"]).p_value > 0.05]
    assert f"{accepted[0]}..{accepted[-1]}" == case["computed_statistic"] + case["computed_pvalue_or_zone"]
    assert accepted == list(range(accepted[0], accepted[-1] + 1))


def light(case: Case) -> None:
    n = inputs(case)
    days, count, level = int(n["N"]), int(n["x"]), 1 - n["p"]
    assert cumulative(days, count, level) == pytest.approx(float(case["computed_statistic"]), rel=1e-12)
    assert traffic_light(days, count, level) is Zone(case["computed_pvalue_or_zone"])


def agrees(test: LikelihoodRatio, case: Case) -> None:
    """To all digits that were computed, and to the five that were published."""
    for value, computed, published in (
        (test.statistic, case["computed_statistic"], case["published_statistic"]),
        (test.p_value, case["computed_pvalue_or_zone"], case["published_pvalue"]),
    ):
        assert value == pytest.approx(float(computed), rel=1e-10)
        if published:
            assert f"{value:.5g}" == f"{float(published):.5g}"


def test_published_values(cases: Callable[[str], list[Case]]) -> None:
    rows = cases("var_backtests.csv")
    named = {case["case_id"]: case for case in rows}
    for case in rows:
        match case["test"]:
            case "Kupiec POF":
                agrees(pof(case), case)
            case "Christoffersen independence":
                agrees(cci(case), case)
            case "Christoffersen conditional coverage = POF+CCI":
                assert case["inputs"] == "as POF1 and CCI1"
                n, chain = inputs(named["POF1"]), inputs(named["CCI1"])
                transitions = Transitions(**{name: int(value) for name, value in chain.items()})
                agrees(conditional_coverage(int(n["N"]), int(n["x"]), 1 - n["p"], transitions), case)
            case "95% non-rejection region for x":
                region(case)
            case "Basel traffic light cumulative prob P(X<=x)":
                light(case)
            case other:
                pytest.fail(f"no test of the kind '{other}' ({case['case_id']})")
    assert len(rows) == 42


@pytest.mark.parametrize("which", ["kupiec", "independence", "conditional_coverage"])
def test_p_values_are_uniform_under_the_null(which: str) -> None:
    """As nearly as the lattice of counts allows: the largest step of a p-value is that of two central counts."""
    hits = np.random.default_rng(7).random((2000, 3000)) < 0.1
    p = [getattr(backtest(hit, 0.9), which).p_value for hit in hits]
    step = 2 * stats.binom(3000, 0.1).pmf(300) if which == "kupiec" else 0.0
    assert stats.kstest(p, "uniform").statistic < 0.0364 + step  # 1.63 / sqrt(2000), the 99 % point
    assert abs(np.mean(np.array(p) < 0.05) - 0.05) < 4 * np.sqrt(0.05 * 0.95 / 2000)


def test_clusters_are_rejected_although_their_number_is_right() -> None:
    found = backtest(np.arange(3000) % 1000 < 10, 0.99)
    assert (found.exceedances, found.zone) == (30, Zone.green)
    assert found.kupiec.p_value == pytest.approx(1.0)
    assert found.independence.p_value < 1e-20
    assert found.conditional_coverage.p_value < 1e-20


def test_the_parts_of_a_series() -> None:
    hit = np.array([1, 0, 0, 1, 1, 0, 1], dtype=bool)
    found = backtest(hit, 0.75)
    assert Transitions.of(hit) == Transitions(n00=1, n01=2, n10=2, n11=1)
    assert (found.days, found.exceedances, found.expected) == (7, 4, 1.75)
    likelihood = 0.25**4 * 0.75**3 / ((4 / 7) ** 4 * (3 / 7) ** 3)
    assert found.kupiec.statistic == pytest.approx(-2 * np.log(likelihood), rel=1e-13)
    chain = (1 / 3) * (2 / 3) ** 2 * (2 / 3) ** 2 * (1 / 3)
    assert found.independence.statistic == pytest.approx(-2 * np.log(0.5**6 / chain), rel=1e-13)
    assert found.conditional_coverage.statistic == found.kupiec.statistic + found.independence.statistic
    assert [found.kupiec.dof, found.independence.dof, found.conditional_coverage.dof] == [1, 1, 2]


def test_nothing_to_compare_is_no_evidence() -> None:
    """0 log 0 = 0: no exceedance, only exceedances, one on the last day, two days."""
    none = backtest(np.zeros(250, dtype=bool), 0.99)
    assert none.kupiec.statistic == pytest.approx(-500 * np.log(0.99), rel=1e-13)
    assert (none.independence.statistic, none.independence.p_value, none.zone) == (0.0, 1.0, Zone.green)
    every = backtest(np.ones(250, dtype=bool), 0.99)
    assert every.kupiec.statistic == pytest.approx(-500 * np.log(0.01), rel=1e-12)
    assert (every.independence.statistic, every.zone) == (0.0, Zone.red)
    assert backtest(np.arange(250) == 249, 0.99).independence.statistic == 0.0
    assert independence(Transitions(0, 0, 0, 0)).statistic == 0.0
    assert backtest(np.array([True, False]), 0.99).independence.statistic == 0.0


def test_a_loss_equal_to_var_is_no_exceedance() -> None:
    assert exceedances([1.0, 2.0, 3.0], [2.0, 2.0, 2.0]).tolist() == [False, False, True]


@pytest.mark.parametrize(
    ("call", "said"),
    [
        (lambda: exceedances([1.0, np.nan], [1.0, 1.0]), "1 of 2 days have no finite loss, the first is day 2"),
        (lambda: exceedances([1.0, 1.0], [1.0, np.inf]), "no finite VaR"),
        (lambda: exceedances([1.0, 1.0], [1.0]), "one of each a day"),
        (lambda: backtest(np.array([0.0, 1.0]), 0.99), "True or False"),
        (lambda: backtest(np.array([True]), 0.99), "two or more days"),
        (lambda: kupiec(250, 251, 0.99), "251 exceedances in 250 days"),
        (lambda: kupiec(0, 0, 0.99), "at least one day"),
        (lambda: kupiec(250, 3, 1.0), "level is 1"),
        (lambda: traffic_light(250, 3, 99.0), "level is 99"),
        (lambda: Transitions(1, -1, 0, 0), "not negative"),
        (lambda: conditional_coverage(250, 3, 0.99, Transitions(244, 2, 2, 0)), "does not go with 3"),
        (lambda: conditional_coverage(250, 9, 0.99, Transitions(245, 2, 2, 0)), "does not go with 9"),
    ],
)
def test_what_is_refused(call: Callable[[], object], said: str) -> None:
    with pytest.raises(SettingError, match=said):
        call()


@pytest.fixture(scope="module")
def script() -> ModuleType:
    path = Path(__file__).parents[1] / "benchmarks" / "backtest.py"
    spec = importlib.util.spec_from_file_location("benchmarks_backtest", path)
    assert spec is not None
    assert spec.loader is not None
    module = importlib.util.module_from_spec(spec)
    sys.modules[spec.name] = module  # dataclasses look their module up
    spec.loader.exec_module(module)
    return module


def normal_moves(script: ModuleType, days: int) -> object:
    """Two assets, tested after 1,000 days; iid normal moves so small that log and simple returns are the same."""
    moves = np.random.default_rng(11).standard_normal((1000 + days, 2)) * [1e-4, 2e-4]
    dates = np.datetime64("2000-01-01") + np.arange(len(moves))
    return script.Series("normal", ("A", "B"), dates, moves, 1000, 252)


def test_the_rolling_forecast_is_right_for_normal_moves(script: ModuleType) -> None:
    series = normal_moves(script, 360)
    found = script.rolling(series, lambda _: None)
    assert (found.refits, found.kept, len(found.loss)) == (6, [], 360)
    low, high = stats.binom(360, 0.01).ppf([1e-4, 1 - 1e-4])
    for model in script.MODELS:
        assert low <= exceedances(found.loss, found.var[model]).sum() <= high, model
    z = stats.norm.isf(101 / 10_001)  # the mean of the rank that is read
    ratio = []
    for at in range(1000, 1360, 60):
        deviation = np.sqrt(np.cov(series.moves[at - 1000 : at], rowvar=False).sum()) / 2
        ratio.append(found.var["gaussian"][at - 1000 : at - 940].mean() / (z * deviation))
    error = np.sqrt(0.01 * 0.99 / 10_000) / stats.norm.pdf(z) / z  # of a day, relative: 1.6 %
    assert np.mean(ratio) == pytest.approx(1.0, abs=4 * error / np.sqrt(360))
    within = found.var["gaussian"][:60]  # nothing else changes between refits
    assert np.std(within) / np.mean(within) == pytest.approx(error, rel=0.4)


def test_no_forecast_reads_its_own_day(script: ModuleType) -> None:
    series = normal_moves(script, 62)
    moves = series.moves.copy()
    moves[1030:] = [2e-3, -3e-3]  # from day 30 on
    usual, shocked = (script.rolling(s, lambda _: None) for s in (series, replace(series, moves=moves)))
    for model in script.MODELS:
        same = usual.var[model] == shocked.var[model]
        assert same[:31].all(), model
        assert not same[31 if "gar" in model or "filtered" in model else 60 :].any(), model


def test_the_table_has_a_line_for_each_model(script: ModuleType) -> None:
    series = normal_moves(script, 10)
    found = script.rolling(series, lambda _: None)
    rows = [
        script.row(series, m, found.var[m], backtest(exceedances(found.loss, found.var[m]), 0.99))
        for m in script.MODELS
    ]
    lines = script.markdown(rows).splitlines()
    assert len(lines) == 2 + len(script.MODELS)
    assert lines[2].startswith("| normal | gaussian | 10 | 0.1 | ")
    assert len({line.count("|") for line in lines}) == 1
