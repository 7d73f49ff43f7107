"""A comparison with a finished run: against all losses of a small book, and as tables, files and text."""

from __future__ import annotations

import json
from collections.abc import Callable
from dataclasses import replace
from io import StringIO
from math import sqrt
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow.parquet as pq
import pytest
import scanned
from rich.cells import cell_len
from rich.console import Console
from scipy.stats import norm

from mcvar import config as c
from mcvar.book import Book
from mcvar.engines import EngineChoice, Launcher, Reference
from mcvar.errors import CapacityError, SettingError
from mcvar.jobs import var
from mcvar.jobs.alone import alone_var
from mcvar.jobs.compare import Simulation, compare_all, losses, option_value
from mcvar.market import Market
from mcvar.memory import plan
from mcvar.models import Gaussian
from mcvar.pages.page import number
from mcvar.render.comparison import show_comparison
from mcvar.reports.comparison import ComparisonReport, compare_run, telling
from mcvar.sampling import Quasi
from mcvar.scan.comparison.compare import Scans
from mcvar.scenarios import Simulated

COUNT = 4_096
YEARS = 1 / 365
COLUMNS = [
    "account", "kind", "scan", "worst_scenario", "requirement", "nov", "var", "var_low", "var_high", "es", "es_low",
    "es_high", "ratio", "ratio_low", "ratio_high", "exceed_probability", "exceed_low", "exceed_high",
    "expected_shortfall_beyond", "worst_shortfall", "beyond_error", "currency", "engine",
]  # fmt: skip


@pytest.fixture(scope="module")
def sample() -> tuple[Simulation, dict[str, Any], float]:
    return scanned.finished(
        c.Config(book=c.SampleBook(accounts=21), scenarios=c.SimulatedScenarios(count=COUNT),
                 executor=c.ExecutorConfig(workers=2))
    )  # fmt: skip


@pytest.fixture(scope="module")
def report(sample: tuple[Simulation, dict[str, Any], float]) -> ComparisonReport:
    run, record, horizon = sample
    engine = scanned.scanned(run, horizon)
    other = replace(engine.scans("half"), scan=0.5 * engine.scans().scan)
    other.scan[2] = np.nan
    return compare_run(
        run, [engine.scans(), other], [scanned.basis(run, horizon)] * 2, horizon=horizon, level=0.99, record=record,
        ranges=[lambda price, volatility: engine.margins(price, volatility)[0]], name="a <small> book", notes=["said"],
    )  # fmt: skip


def test_accounts_are_those_of_all_losses(
    sample: tuple[Simulation, dict[str, Any], float], report: ComparisonReport
) -> None:
    run = sample[0]
    made = Reference(run.market, run.book, run.scenarios, run.decay)
    loss = -made.pnl(0, COUNT)[: run.book.accounts]
    for found in (each.compared for each in report.comparisons):
        scan = found.scans.scan
        over = loss > scan[:, None]
        known = ~np.isnan(scan)
        assert np.array_equal(found.exceed_probability[known], over.mean(axis=1)[known])
        beyond = np.where(over, loss - scan[:, None], 0.0).sum(axis=1)
        some = over.any(axis=1)
        np.testing.assert_allclose(
            found.expected_shortfall_beyond[some], beyond[some] / over[some].sum(axis=1), rtol=1e-9
        )
        assert np.isnan(found.expected_shortfall_beyond[~some]).all()
        np.testing.assert_allclose(
            found.worst_shortfall[known], np.maximum(loss.max(axis=1) - scan, 0)[known], rtol=1e-9
        )
        np.testing.assert_allclose(found.var.value, -np.sort(-loss, axis=1)[:, 40])
    assert np.isnan(report.comparisons[1].compared.exceed_probability[2])


def test_positions_alone(sample: tuple[Simulation, dict[str, Any], float], report: ComparisonReport) -> None:
    run = sample[0]
    one = replace(run.book, quantity=run.book.quantity[:0])
    account = run.book.quantity[:3].toarray()
    rows = np.eye(len(run.book.instruments))
    every = replace(
        one, quantity=type(run.book.quantity)(rows), row=run.book.instruments.name, accounts=len(rows),
        currency=("USD",) * len(rows), convert=np.full((len(rows), 2), -1), kind=("",) * len(rows),
    )  # fmt: skip
    loss = -Reference(run.market, every, run.scenarios, run.decay).pnl(0, COUNT)
    want = [sum(-np.sort(-q * loss[i])[40] for i, q in enumerate(held) if q) for held in account]
    alone = report.comparisons[0].compared.alone
    assert alone is not None
    np.testing.assert_allclose(alone[:3], want, rtol=1e-9)
    group = report.comparisons[0].groups[0]
    assert group.netting_var == pytest.approx(alone.sum() / group.var)


def test_positions_alone_take_no_more_memory_than_the_run(
    sample: tuple[Simulation, dict[str, Any], float],
) -> None:
    run = sample[0]
    whole = alone_var(run, 0.99)
    few = replace(run, plan=replace(run.plan, budget=run.plan.fixed + 20_000_000))  # some rows at once
    np.testing.assert_allclose(alone_var(few, 0.99), whole, rtol=1e-12)
    with pytest.raises(CapacityError, match=r"0\.001 GB may be used"):
        alone_var(replace(run, plan=replace(run.plan, budget=1_000_000)), 0.99)


def test_ranges_are_those_of_the_engine(
    sample: tuple[Simulation, dict[str, Any], float], report: ComparisonReport
) -> None:
    run, _, horizon = sample
    engine = scanned.scanned(run, horizon)
    loss = -Reference(run.market, run.book, run.scenarios, run.decay).pnl(0, COUNT)[: run.book.accounts]
    solved = [each for each in report.comparisons[0].solutions if each.multiple is not None]
    assert {each.axis for each in solved} == {"price", "volatility"}
    kinds = np.array(report.kind)
    for each in solved:
        rows = np.ones(len(kinds), dtype=bool) if each.kind == "*" else kinds == each.kind
        for multiple, coverage in ((each.low, each.coverage_low), (each.high, each.coverage_high)):
            assert multiple is not None
            scan = engine.margins(*((multiple, 1.0) if each.axis == "price" else (1.0, multiple)))[0]
            assert (loss <= scan[:, None])[rows].mean() == pytest.approx(coverage, abs=1e-12)
        assert each.coverage_low < 0.99 <= each.coverage_high
    assert not report.comparisons[1].solutions


def test_the_table_has_the_columns_it_says(report: ComparisonReport, tmp_path: Path) -> None:
    report.write(tmp_path, {"page": lambda path: path.write_text("x")})
    table = pq.read_table(tmp_path / "comparison.parquet")
    assert table.column_names == COLUMNS
    assert table.num_rows == 42
    lines = table.to_pylist()
    assert lines[0]["account"] == report.account[0]
    assert lines[23]["scan"] is None
    assert lines[23]["beyond_error"] is None
    assert lines[23]["var"] is not None
    assert isinstance(lines[0]["beyond_error"], bool)
    assert {line["engine"] for line in lines} == {"span16", "half"}
    assert pq.read_table(tmp_path / "comparison_groups.parquet").num_rows == 16
    assert pq.read_table(tmp_path / "comparison_ranges.parquet")["axis"].to_pylist().count("price") == 8
    record = json.loads((tmp_path / "run.json").read_text())
    assert record["job"] == "compare"
    assert record["notes"][-1] == "said"
    assert [each["engine"] for each in record["comparison"]["engines"]] == ["span16", "half"]
    assert record["comparison"]["engines"][1]["accounts"] == 20


@pytest.mark.parametrize("width", [100, 200])
def test_on_a_terminal(report: ComparisonReport, width: int, tmp_path: Path) -> None:
    console = Console(width=width, record=True, force_terminal=True, file=StringIO())
    show_comparison(report, console, rows=5, folder=tmp_path)
    said = console.export_text()
    for words in (
        "span16 beside Monte Carlo at 99 %", "half beside", "all accounts", "market_maker", "16 more accounts",
        "price scan range: ", "note: said", "below VaR",
    ):  # fmt: skip
        assert words in said
    assert ("95 % interval" in said) == (width == 200)


@pytest.mark.parametrize("width", [80, 100, 200, None])
def test_long_names_make_room_for_numbers(report: ComparisonReport, width: int | None) -> None:
    """None: a pipe, which has no width."""
    names = [f"{at} [bold]" + 200 * "\u4e2d" for at in range(len(report.account))]
    first = report.comparisons[0]
    groups = [replace(group, kind=200 * "k" if at else group.kind) for at, group in enumerate(first.groups)]
    strange = replace(
        report, account=tuple(names), kind=("k" * 200,) * len(names), currency=("BTC", *report.currency[1:]),
        comparisons=(replace(first, groups=groups, solutions=[]),), record={**report.record, "notes": []},
    )  # fmt: skip
    file = StringIO()
    console = Console(width=width, force_terminal=width is not None, color_system=None, file=file)
    show_comparison(strange, console, rows=len(names))
    said = file.getvalue()
    assert max(map(cell_len, said.splitlines())) <= (width or 240)
    assert "[bold]" in said
    assert said.count("BTC") == 1
    assert all(number(value) in said for value in first.compared.var.value)
    for line in said.splitlines():
        assert line.count("\u2026") <= (2 if width is None or width >= 170 else 1)  # names alone are cut


def test_a_worst_scenario_that_loses_nothing_is_none(
    sample: tuple[Simulation, dict[str, Any], float], caplog: pytest.LogCaptureFixture
) -> None:
    caplog.set_level("INFO", "mcvar")
    run, record, horizon = sample
    scans = replace(Scans.of("x", np.arange(21.0)), worst_scenario=np.ones(21, dtype=np.int64))
    found = compare_run(
        run, [scans], [scanned.basis(run, horizon)], horizon=horizon, level=0.99, record=record, draw=0
    )  # fmt: skip
    assert found.table()["worst_scenario"].to_pylist() == [None, *[1] * 20]
    assert "losses beyond the margins of x: 21 accounts, 4,096 scenarios" in caplog.messages  # nor is it silent


def test_accounts_that_tell_most(report: ComparisonReport) -> None:
    found = report.comparisons[0].compared
    chosen = telling(found, 4)
    assert len(set(chosen)) == 4
    assert found.ratio[chosen[0]] == np.nanmin(found.ratio)
    assert list(report.drawn) == chosen
    assert report.record["comparison"]["drawn"] == [report.account[r] for r in chosen]
    assert len(telling(found, 100)) == np.isfinite(found.ratio).sum()


def test_what_is_drawn_are_the_losses(
    sample: tuple[Simulation, dict[str, Any], float], report: ComparisonReport
) -> None:
    run, (r, drawn) = sample[0], next(iter(report.drawn.items()))
    assert np.array_equal(losses(run, np.array([r]))[0], drawn)
    assert np.isclose(-np.sort(-drawn)[40], report.comparisons[0].compared.var.value[r])


def test_different_bases_stop_it(sample: tuple[Simulation, dict[str, Any], float]) -> None:
    run, record, horizon = sample
    scans, own = Scans.of("x", np.ones(run.book.accounts)), scanned.basis(run, horizon)
    for basis, said in (
        (replace(own, horizon=2 * horizon), "the horizon is 2 days there and 1 day here"),
        (replace(own, decay=0.0), "the time decay is 0 days there"),
        (replace(own, currency=("EUR",) * run.book.accounts), "is EUR there and USD here"),
    ):
        with pytest.raises(SettingError, match=said):
            compare_run(run, [scans], [basis], horizon=horizon, level=0.99, record=record)
    with pytest.raises(SettingError, match="1 engines have 0 bases"):
        compare_run(run, [scans], [], horizon=horizon, level=0.99, record=record)


def test_what_cannot_be_compared_is_refused(sample: tuple[Simulation, dict[str, Any], float]) -> None:
    run = sample[0]
    scans = [Scans.of("x", np.ones(run.book.accounts))]
    with pytest.raises(SettingError, match=r"at level 0.975, and the run measured 0.95, 0.99: add it"):
        compare_all(run, scans, 0.975)
    with pytest.raises(SettingError, match="x has margins of 3 accounts, and the book has 21"):
        compare_all(run, [Scans.of("x", np.ones(3))], 0.99)
    assert isinstance(run.scenarios, Simulated)
    spread = replace(run, scenarios=replace(run.scenarios, count=4_096, sampling=Quasi(16)))
    with pytest.raises(SettingError, match="take sampling=plain"):
        compare_all(spread, scans, 0.99)


def test_accounts_in_their_own_currency_and_the_kernels(
    make_market: Callable[..., Market], make_book: Callable[..., Book], launcher: Callable[..., Launcher]
) -> None:
    """Normal losses: the chance beyond a margin and the VaR of each position alone are known."""
    market = make_market(
        [{"factor": "A", "level": 50.0, "volatility": 10.0, "shock": "absolute"},
         {"factor": "B", "level": 20.0, "volatility": 5.0, "shock": "absolute"},
         {"factor": "EUR", "level": 2.0, "volatility": 0.0}]
    )  # fmt: skip
    rows = [{"instrument": name, "kind": "future", "underlying": name, "years": 1.0} for name in "AB"]
    book = make_book(
        market, rows, [("x", "A", 3.0), ("x", "B", -4.0), ("y", "A", -3.0), ("y", "B", -4.0)],
        [{"account": "x", "kind": "k"}, {"account": "y", "currency": "EUR", "kind": "l"}],
    )  # fmt: skip
    scenarios = Simulated(Gaussian().law(market, YEARS, np.zeros(3)), 40_000, seed=5)
    engine = EngineChoice("native", launcher=launcher("native"))
    planned = plan(rows=3, instruments=2, count=40_000, levels=[0.99], engine=engine)
    result = var.run(market, book, scenarios, decay=YEARS, levels=[0.99], plan=planned, engine=engine)
    run = Simulation(market, book, scenarios, YEARS, engine, replace(planned, rows=1), result)
    a, b, z = 30 * sqrt(YEARS), 20 * sqrt(YEARS), norm.ppf(0.99)
    whole = sqrt(a * a + b * b)
    scans = Scans.of("x", np.array([2.0 * whole, 2.0 * whole / 2.0]))  # the second in EUR, of which one is two USD
    found = compare_all(run, [scans], 0.99, alone=alone_var(run, 0.99))[0]
    p = norm.sf(2.0)
    assert np.abs(found.compared.exceed_probability - p).max() <= 4 * sqrt(p * (1 - p) / 40_000)
    assert found.compared.alone is not None
    np.testing.assert_allclose(found.compared.alone, [(a + b) * z, (a + b) * z / 2], rtol=0.05)
    every = found.groups[0]
    assert every.scan == pytest.approx(4.0 * whole)
    assert every.netting_var == pytest.approx((a + b) / whole, rel=0.05)
    assert [group.kind for group in found.groups] == ["*", "k", "l"]


def test_the_page_quotes_the_kept_tables() -> None:
    root = Path(__file__).parents[1]
    kept = (root / "benchmarks" / "results" / "comparison.md").read_text().strip().split("\n\n")
    page = (root / "docs" / "comparison.md").read_text()
    assert len(kept) == 4  # a table and a sentence of each book
    for part in kept:
        assert part in page


def test_net_option_value(every_market: Market, make_book: Callable[..., Book]) -> None:
    terms = {
        "kind": "option",
        "underlying": "XYZ",
        "strike": 100.0,
        "option_type": "call",
        "years": 0.3,
        "volatility": 0.4,
    }
    rows = [
        {"instrument": "S", "kind": "spot", "underlying": "XYZ"}, {"instrument": "C", **terms},
        {"instrument": "F", **terms, "premium_style": "futures"},
    ]  # fmt: skip
    held = [("a", "S", 5.0), ("a", "C", 2.0), ("a", "F", 9.0), ("b", "C", -1.0)]
    book = make_book(every_market, rows, held, [{"account": "a"}, {"account": "b", "currency": "EUR"}])
    value = option_value(every_market, book)
    d1 = (0.5 * 0.4**2) * 0.3 / (0.4 * sqrt(0.3))
    rate = 0.03  # the rate factor's level; the carry's is 0.01
    forward = 100 * np.exp(0.01 * 0.3)
    d1 += np.log(forward / 100) / (0.4 * sqrt(0.3))
    call = np.exp(-rate * 0.3) * (forward * norm.cdf(d1) - 100 * norm.cdf(d1 - 0.4 * sqrt(0.3)))
    np.testing.assert_allclose(value, [2 * call, -call / 1.1], rtol=2e-3)
