"""Mixed precision where single precision sees nothing: hedged books, losses that are all but equal, windows."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace
from typing import Any

import numpy as np
import pytest

from mcvar import memory
from mcvar.book import Book
from mcvar.engines import Launcher, choose
from mcvar.jobs import var
from mcvar.jobs.var import VarResult
from mcvar.market import Market
from mcvar.measures import spans
from mcvar.models import Gaussian
from mcvar.precision import Precision
from mcvar.scenarios import Simulated

COUNT, LEVELS = 60_000, [0.95, 0.99]


@pytest.fixture(scope="module")
def market(make_market: Callable[..., Market]) -> Market:
    return make_market([{"factor": "S", "level": 100.0, "volatility": 0.25}])


@pytest.fixture(scope="module")
def book(market: Market, make_book: Callable[..., Book], launcher: Callable[..., Launcher]) -> Book:
    """A conversion ten million times what is left of it, worthless options, nothing, and a plain account."""
    launcher("native")
    option = {"kind": "option", "underlying": "S", "years": 0.2, "volatility": 0.25}
    rows = [
        {"instrument": "S", "kind": "spot", "underlying": "S"},
        {**option, "instrument": "C", "option_type": "call", "strike": 105},
        {**option, "instrument": "P", "option_type": "put", "strike": 105},
        {**option, "instrument": "far", "option_type": "call", "strike": 400, "years": 0.03},
    ]
    positions = [
        ("hedged", "C", 1e7), ("hedged", "P", -1e7), ("hedged", "S", -1e7 + 1), ("plain", "C", -5.0),
        ("worthless", "far", -100.0), ("nothing", "S", 0.0), ("mixed", "far", 10.0), ("mixed", "P", 3.0),
    ]  # fmt: skip
    return make_book(market, rows, positions)


def run(market: Market, book: Book, precision: Precision, **changes: Any) -> VarResult:
    engine = choose("native", precision)
    arguments: dict[str, Any] = {"levels": LEVELS, "confidence": 0.95}
    plan = memory.plan(
        rows=len(book.row), instruments=4, count=COUNT, engine=engine, state=(4, 0), positions=10, keep=100, **arguments
    )
    scenarios = Simulated(Gaussian().law(market, 1 / 365, np.zeros(1)), COUNT)
    return var.run(
        market, book, scenarios, decay=1 / 365, plan=replace(plan, **changes), engine=engine, keep=100, **arguments
    )


@pytest.mark.parametrize("form", ["full", "window"])
def test_var_is_that_of_double_precision_whatever_the_book(market: Market, book: Book, form: str) -> None:
    changes = {"spans": spans(COUNT, LEVELS, 0.95, 100), "form": form} if form == "window" else {}
    exact, mixed = (run(market, book, precision, **changes) for precision in (Precision.fp64, Precision.mixed))
    for a, b in zip(exact.estimates, mixed.estimates, strict=False):
        if a.measure == "var":
            for name in ("value", "low", "high", "stderr"):
                assert np.array_equal(getattr(a, name), getattr(b, name)), name
    assert mixed.revaluations > exact.revaluations  # the hedged row ran again in double precision
    bound = next(e for e in mixed.estimates if e.measure == "fp32_bound").value
    rows = dict(zip(book.row, bound, strict=True))
    assert rows["hedged"] == rows["nothing"] == 0 < rows["plain"]
    es = next(i for i, e in enumerate(exact.estimates) if e.measure == "es")
    np.testing.assert_allclose(mixed.estimates[es].value, exact.estimates[es].value, rtol=1e-5, atol=1e-12)


def test_single_precision_alone_is_far_off_on_the_hedged_row(market: Market, book: Book) -> None:
    exact, single = (run(market, book, precision) for precision in (Precision.fp64, Precision.fp32))
    assert abs(single.estimates[2].value[0] - exact.estimates[2].value[0]) > 0.1 * exact.estimates[2].value[0]
    bound = next(e for e in single.estimates if e.measure == "fp32_bound").value
    assert bound[0] > abs(single.estimates[2].value[0] - exact.estimates[2].value[0])


def test_pictures_of_a_run_in_windows_have_whole_tails(market: Market, book: Book) -> None:
    full = run(market, book, Precision.fp64)
    window = run(market, book, Precision.fp64, spans=spans(COUNT, LEVELS, 0.95, 100), form="window")
    assert list(window.drawn) == list(full.drawn)
    for r, tail in window.drawn.items():
        depth = min(tail.loss.shape[1], full.drawn[r].loss.shape[1])
        assert depth > 3_000
        assert np.array_equal(tail.loss[:, :depth], full.drawn[r].loss[:, :depth])
    mixed = run(market, book, Precision.mixed, spans=spans(COUNT, LEVELS, 0.95, 100), form="window")
    for r, tail in mixed.drawn.items():
        assert np.array_equal(tail.loss[:, :3_000], full.drawn[r].loss[:, :3_000])  # the hedged row's, too
    short = run(market, book, Precision.fp64, spans=spans(COUNT, LEVELS, 0.95, 100), form="window", budget=0)
    assert short.drawn == {}


def test_options_that_come_alive_beyond_the_audit(
    make_market: Callable[..., Market], make_book: Callable[..., Book], launcher: Callable[..., Launcher]
) -> None:
    """Puts that cancel, worthless in all audited scenarios, in the money in one of three thousand others."""
    launcher("native")
    market = make_market([{"factor": "X", "level": 100.0}, {"factor": "Y", "level": 100.0, "volatility": 0.3}])
    put = {"kind": "option", "underlying": "Y", "option_type": "put", "strike": 94.7, "years": 1.001 / 365}
    rows = [
        {"instrument": "X", "kind": "spot", "underlying": "X"},
        {**put, "instrument": "P1", "volatility": 0.3},
        {**put, "instrument": "P3", "volatility": 0.3, "multiplier": 3},
    ]
    positions = [("hedge", "X", 1.0), ("hedge", "P1", 3e6), ("hedge", "P3", -1e6), ("long", "X", 3.0)]
    book = make_book(market, rows, positions)
    scenarios = Simulated(Gaussian().law(market, 1 / 365, np.zeros(2)), 200_000)
    results = []
    for precision in (Precision.fp64, Precision.mixed, Precision.fp32):
        engine = choose("native", precision)
        plan = memory.plan(
            rows=3,
            instruments=3,
            count=200_000,
            levels=[0.99],
            confidence=0.95,
            engine=engine,
            state=(8, 0),
            positions=6,
        )
        results.append(
            var.run(
                market,
                book,
                scenarios,
                decay=1 / 365,
                levels=[0.99],
                confidence=0.95,
                plan=plan,
                engine=engine,
                keep=100,
            )
        )
    exact, mixed, single = results
    assert np.array_equal(mixed.estimates[0].value, exact.estimates[0].value)
    assert np.array_equal(mixed.estimates[0].low, exact.estimates[0].low)
    assert (np.abs(single.estimates[0].value - exact.estimates[0].value) <= single.estimates[-1].value).all()
