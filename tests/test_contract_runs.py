"""Runs with contracts: groups of families, the audit of tables, what run.json says, settings of the pricers."""

from __future__ import annotations

import json
from collections.abc import Callable, Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest

import mcvar
from mcvar import config as c
from mcvar.book import Book
from mcvar.engines import Device, Launcher, Reference
from mcvar.engines.audit import audit_american
from mcvar.engines.contracts import ContractGroup
from mcvar.engines.groups import groups
from mcvar.engines.rows import Rows
from mcvar.errors import SettingError
from mcvar.market import Market
from mcvar.models import Gaussian
from mcvar.pricing.american import american
from mcvar.pricing.settings import AmericanMethod, Pricing
from mcvar.scenarios import Simulated

MakeMarket = Callable[..., Market]
MakeBook = Callable[..., Book]
YEARS = 10 / 365
FACTORS = [
    {"factor": "S", "level": 100.0, "volatility": 0.3},
    {"factor": "V", "kind": "vol", "underlying": "S", "tenor": 0.5, "level": 0.3, "volatility": 0.8},
]
OPTION = {"kind": "option", "underlying": "S", "years": 0.5, "volatility": 0.3, "rate": 0.05, "carry": 0.02}


def many(strikes: Sequence[float] = (80, 90, 100, 110, 120), **terms: Any) -> list[dict[str, Any]]:
    return [
        {**OPTION, "option_type": way, "strike": k, "instrument": f"{way}-{k}", **terms}
        for way in ("put", "call")
        for k in strikes
    ]


def book_of(make_book: MakeBook, market: Market, rows: list[dict[str, Any]]) -> Book:
    return make_book(market, rows, [(row["instrument"], row["instrument"], 1.0) for row in rows])


def simulated(market: Market, count: int = 5_000) -> Simulated:
    return Simulated(Gaussian().law(market, YEARS, np.zeros(len(market.factors))), count)


def test_contracts_of_one_expiry_are_valued_together(make_market: MakeMarket, make_book: MakeBook) -> None:
    market = make_market(FACTORS)
    rows = many() + [{**row, "instrument": "a" + row["instrument"]} for row in many(exercise="american")]
    barred = {"kind": "barrier", "barrier": 70.0, "barrier_type": "down_out"}
    rows += [{**row, "instrument": "b" + row["instrument"], **barred} for row in many()]
    book = book_of(make_book, market, rows)
    scenarios = simulated(market)
    made = groups(Rows.of(market, scenarios, YEARS, book.instruments), book.instruments, YEARS, path=True)
    # European options, barriers, American puts and American calls: a table is of one type.
    assert [len(group.index) for group in made] == [10, 10, 5, 5]
    assert [group.family.number for group in made if isinstance(group, ContractGroup)] == [6, 9, 9]


@pytest.mark.parametrize("engine", ["numpy", "native"])
def test_an_option_on_a_future_has_the_carry_until_its_delivery(
    make_market: MakeMarket, make_book: MakeBook, launcher: Callable[..., Launcher], engine: str
) -> None:
    """One that is sure to be exercised gains what the future does, whichever pillar of the carry moves."""
    pillars = [
        {
            "factor": f"C{tenor:g}",
            "kind": "carry",
            "underlying": "S",
            "tenor": tenor,
            "level": level,
            "volatility": 0.03,
        }
        for tenor, level in ((0.25, 0.01), (1.0, 0.06))
    ]
    market = make_market([{"factor": "S", "level": 100.0, "volatility": 0.3}, *pillars])
    sure = {"underlying": "S", "option_type": "call", "strike": 1e-6, "volatility": 0.3, "rate": 0.0, "years": 0.25}
    later = {**sure, "delivery": str(market.valuation + np.timedelta64(365, "D"))}
    rows = [
        {"kind": "future", "underlying": "S", "years": 1.0, "instrument": "future"},
        {"kind": "option", **later, "instrument": "black"},
        {"kind": "digital", "payout": "asset", **later, "instrument": "contract"},
    ]
    book, scenarios = book_of(make_book, market, rows), simulated(market, 500)
    if engine == "numpy":
        made: Reference | Device = Reference(market, book, scenarios, YEARS)
    else:
        made = Device(market, book, scenarios, YEARS, launcher=launcher("native"))
    future, *options = made.pnl(0, 500)[:3]
    assert made.value_0[1:3] == pytest.approx(100 * np.exp(0.06), rel=1e-6)
    assert np.array(options) == pytest.approx(np.tile(future, (2, 1)), abs=1e-5)


def test_tables_are_audited_in_scenarios_of_the_run(make_market: MakeMarket, make_book: MakeBook) -> None:
    market = make_market(FACTORS)
    book = book_of(make_book, market, many(exercise="american"))
    found = audit_american(market, book, simulated(market), YEARS)
    assert found is not None
    assert (found.by_table, found.exactly) == (10, 0)
    assert found.cells >= 1000
    assert 0 < found.largest_error < 2e-7
    strict = replace(book, pricing=Pricing(tolerance=found.largest_error / 2))
    with pytest.raises(SettingError, match=r"err by up to .* of the strike \('(put|call)-.*pricing.american=exact"):
        audit_american(market, strict, simulated(market), YEARS)
    exact = replace(book, pricing=Pricing(american=AmericanMethod.exact))
    assert audit_american(market, exact, simulated(market), YEARS) == replace(
        found, by_table=0, exactly=10, cells=0, largest_error=0.0
    )
    assert audit_american(market, book_of(make_book, market, many()), simulated(market), YEARS) is None


def test_an_audit_sees_a_table_that_is_wrong(
    make_market: MakeMarket, make_book: MakeBook, monkeypatch: pytest.MonkeyPatch
) -> None:
    market = make_market(FACTORS)
    book = book_of(make_book, market, many(exercise="american"))
    monkeypatch.setattr("mcvar.families.american.PremiumTable.put", lambda table, z, s: np.exp(z) * 0 + 0.5)
    with pytest.raises(SettingError, match=r"more than pricing\.tolerance=1e-06"):
        audit_american(market, book, simulated(market), YEARS)


def test_what_cannot_profit_from_exercise_is_european(make_market: MakeMarket, make_book: MakeBook) -> None:
    market = make_market(FACTORS)
    calls = [row for row in many(exercise="american", carry=0.05) if row["option_type"] == "call"]
    book = book_of(make_book, market, calls)
    made = groups(Rows(market), book.instruments, YEARS, path=False)
    assert not any(isinstance(group, ContractGroup) for group in made)
    assert audit_american(market, book, simulated(market), YEARS) == audit_american(
        market, replace(book, pricing=Pricing(american=AmericanMethod.exact)), simulated(market), YEARS
    )


def test_quoted_american_prices_give_back_the_volatility(make_market: MakeMarket, make_book: MakeBook) -> None:
    market = make_market(FACTORS)
    prices = american(100.0, np.array([80.0, 100.0, 120.0]), 0.27, 0.05, 0.02, 0.5, -1.0)
    terms = {k: v for k, v in OPTION.items() if k != "volatility"} | {"exercise": "american", "option_type": "put"}
    rows = [
        {**terms, "strike": k, "price": p, "instrument": str(k)}
        for k, p in zip((80, 100, 120), prices.tolist(), strict=True)
    ]
    assert book_of(make_book, market, rows).instruments.volatility == pytest.approx(0.27, abs=1e-6)


@pytest.fixture
def files(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """An American put, a barrier that is touched, one that is not, an average; and a correlation."""
    monkeypatch.chdir(tmp_path)
    Path("F.csv").write_text("factor,kind,level,volatility,currency,rate,carry\nS,price,100,0.3,USD,0.05,0.05\n")
    Path("C.csv").write_text("factor,S\nS,1\n")
    Path("I.csv").write_text(
        "instrument,kind,underlying,option_type,strike,expiry,volatility,exercise,barrier,barrier_type,rebate,average,"
        "averaging_start\n"
        "early,option,S,put,100,2026-07-01,0.3,american,,,,,\n"
        "gone,barrier,S,call,100,2026-07-01,0.3,,90,up_out,4,,\n"
        "alive,barrier,S,call,100,2026-07-01,0.3,,130,up_out,4,,\n"
        "mean,asian,S,call,100,2026-07-01,0.3,,,,,arithmetic,2026-01-05\n"
    )
    Path("P.csv").write_text("account,instrument,quantity\nA,early,-10\nA,gone,1\nB,alive,5\nB,mean,-3\n")
    return tmp_path


LINE = (
    "market=files", "market.factors=F.csv", "market.correlation=C.csv", "market.valuation=2026-01-02", "book=files",
    "book.instruments=I.csv", "book.positions=P.csv", "horizon.days=10", "scenarios.count=4000", "hydra.run.dir=OUT",
)  # fmt: skip


def test_a_run_says_what_was_touched_and_how_american_options_were_priced(
    files: Path, run: Callable[..., int], capsys: pytest.CaptureFixture[str]
) -> None:
    assert run(*LINE, "model.steps=5") == 0
    record = json.loads(Path("OUT/run.json").read_text())
    assert record["knocked_today"] == ["gone"]
    assert record["american"]["by_table"] == 1
    assert 0 < record["american"]["largest_error"] < 1e-6
    assert "1 barriers are touched today: gone" in capsys.readouterr().out
    assert run(*LINE, "pricing.american=exact", "scenarios.count=2000") == 0
    record = json.loads(Path("OUT/run.json").read_text())
    assert record["american"] == {"by_table": 0, "exactly": 1, "cells": 0, "largest_error": 0.0}
    assert "1 American options are solved exactly in every scenario" in capsys.readouterr().out


@pytest.mark.parametrize(
    ("setting", "said"),
    [
        ("pricing.tolerance=0", "pricing.tolerance is 0: a part of the strike such as 1e-6"),
        ("pricing.audit=0", "pricing.audit is 0: the number of prices to check, at least 1"),
        ("pricing.american=tree", "pricing.american"),
        ("pricing.tolerance=1e-11", "which is more than pricing.tolerance=1e-11"),
    ],
)
def test_bad_settings(
    files: Path, run: Callable[..., int], capsys: pytest.CaptureFixture[str], setting: str, said: str
) -> None:
    assert run(*LINE, setting) == 2
    assert said in capsys.readouterr().err
    assert not Path("OUT/run.json").exists()


def test_python_runs_with_other_pricers() -> None:
    moments = c.PricingConfig(asian=c.Method.moments)
    report = mcvar.run(c.Config(scenarios=c.SimulatedScenarios(count=2_000), pricing=moments))
    assert report.record["configuration"]["pricing"]["asian"] == "moments"
