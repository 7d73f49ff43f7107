"""Published values of every family of contracts, through the engines.

Each contract is on a factor of its own, whose price today is a little off the published one. The only scenario moves it
there while time stands still, so what is compared has been through the scenario code of an engine: today's value and
the P&L. Prices start on the live side of barriers: what has knocked does so on the path.
"""

from __future__ import annotations

import csv
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from numpy.typing import NDArray

from mcvar import book
from mcvar.columns import Columns
from mcvar.engines import Device, Launcher, Reference, reference
from mcvar.market import Market
from mcvar.pricing.asian import Method
from mcvar.pricing.settings import Accuracy, AmericanMethod, Pricing
from mcvar.scenarios import Explicit

Case = dict[str, str]
Floats = NDArray[np.float64]
CASES = Path(__file__).parents[2] / "shared" / "cases"
pytestmark = pytest.mark.skipif(not CASES.is_dir(), reason="the published values are not beside the repository")
TODAY = np.datetime64("2026-01-02", "us")
OFF = 1e-3  # of the price today, in its logarithm
ENGINES = ["numpy", "native"]
AMERICAN = [
    Pricing(american=AmericanMethod.table),
    Pricing(american=AmericanMethod.exact),
    Pricing(american=AmericanMethod.table, accuracy=Accuracy.fast),
    Pricing(american=AmericanMethod.exact, accuracy=Accuracy.fast),
]


def read(name: str) -> list[Case]:
    if not CASES.is_dir():
        return []
    with (CASES / name).open(newline="", encoding="utf-8") as file:
        return list(csv.DictReader(file))


OPTIONS, REFERENCES = read("option_values.csv"), read("american_exact_references.csv")
APPROXIMATE = [row for row in OPTIONS if (row["product"], row["style"]) == ("vanilla", "american")]
# American options with a barrier are no contract here.
CLOSED = [
    r for r in OPTIONS if r not in APPROXIMATE and (r["product"], r["style"]) != ("barrier_continuous", "american")
]
ASIANS = read("asian_values.csv")
BY_MOMENTS = ("ASA_LEVY", "ASA_TW")  # published approximations


def number(text: str) -> float:
    top, _, bottom = text.partition("/")
    return float(top or 0.0) / float(bottom or 1.0)


def time(years: float) -> str:
    return str(TODAY + np.timedelta64(round(years * 365 * 86400e6), "us"))


def option(case: Case) -> dict[str, Any]:
    """A row of the instrument table, of a row of the published options."""
    product, kind = case.get("product", "vanilla"), case["option_type"]
    rate = float(case["r"])
    row: dict[str, Any] = {
        "rate": rate, "carry": rate - float(case["q"]), "volatility": float(case["vol"]),
        "expiry": time(number(case.get("t_effective_act360") or case["T"])),
    }  # fmt: skip
    struck = {"option_type": kind, "strike": float(case["strike"])}
    if product == "vanilla":
        return row | struck | {"kind": "option", "exercise": case.get("style", "american")}
    barred = {"barrier": case["barrier"], "barrier_type": case["barrier_type"].replace("-", "_")}
    if product == "barrier_continuous":
        return row | struck | barred | {"kind": "barrier", "rebate": float(case["rebate_or_cash"])}
    asset = "asset" in product
    row |= {"kind": "digital", "payout": "asset" if asset else "cash", "cash": "" if asset else case["rebate_or_cash"]}
    if product.startswith("digital_"):
        return row | struck
    if product.startswith("binary_barrier_"):
        return row | struck | barred
    # Of touches, a call is an upper barrier.
    way = ("up_" if kind == "call" else "down_") + ("in" if "knock-in" in case["barrier_type"] else "out")
    return row | barred | {"barrier_type": way, "payment": "hit" if product.endswith("hit") else "expiry"}


def asian(case: Case) -> dict[str, Any]:
    """A row of the instrument table, of a row of the published averages."""
    first, length, elapsed = (number(case[name]) for name in ("first_fixing_t", "length", "elapsed"))
    rate = float(case["r"])
    end = first + length - elapsed if not case["case_id"].startswith("ASA_TW") else length
    return {
        "kind": "asian", "average": case["average"], "option_type": case["option_type"], "strike": case["strike"],
        "rate": rate, "carry": rate - float(case["q"]), "volatility": case["vol"],
        "averaging_start": time(first - elapsed), "expiry": time(end),
        "fixings": case["n_fixings"] if case["averaging"] == "discrete" else "",
        "average_so_far": case["current_average"] if elapsed > 0 else "",
    }  # fmt: skip


def start(row: dict[str, Any], spot: float) -> float:
    """Today's price: below an upper barrier and above a lower one."""
    side = 1.0 if str(row.get("barrier_type", "up")).startswith("up") else -1.0
    near = spot * np.exp(-side * OFF)
    beyond = "barrier" in row and side * (near - float(row["barrier"])) >= 0
    return float(float(row["barrier"]) * np.exp(-side * 0.01) if beyond else near)


@pytest.fixture
def values(
    make_market: Callable[..., Market], launcher: Callable[..., Launcher], monkeypatch: pytest.MonkeyPatch
) -> Callable[[list[Case], list[dict[str, Any]], str, Pricing], Floats]:
    """Values of contracts at the published prices on an engine."""
    monkeypatch.setattr(reference, "BLOCK", 8)  # there is one scenario: the other 1023 of a block would be solved too

    def find(cases: list[Case], rows: list[dict[str, Any]], engine: str, pricing: Pricing) -> Floats:
        names, spots = [case["case_id"] for case in cases], [float(case["spot"]) for case in cases]
        today = [start(row, spot) for row, spot in zip(rows, spots, strict=True)]
        market = make_market([{"factor": n, "level": s} for n, s in zip(names, today, strict=True)])
        columns = dict.fromkeys(("instrument", "underlying", *(column for row in rows for column in row)))
        rows = [{"instrument": n, "underlying": n, **row} for n, row in zip(names, rows, strict=True)]
        table = Columns.from_mapping("I", {column: [row.get(column, "") for row in rows] for column in columns})
        held = Columns.of("P", account=names, instrument=names, quantity=[1.0] * len(names))
        owned = book.resolve(table, held, market, pricing=pricing)
        scenarios = Explicit.of([np.log(np.array(spots) / today)])
        if engine == "numpy":
            run: Reference | Device = Reference(market, owned, scenarios, 0.0)
        else:
            run = Device(market, owned, scenarios, 0.0, launcher=launcher(engine))
        assert owned.row[: len(names)] == tuple(names)
        return np.asarray(run.value_0 + run.pnl(0, 1)[: len(names), 0])

    return find


def check(cases: list[Case], found: Floats, expected: Floats, tolerance: Floats) -> None:
    """Some tolerances are below the rounding of a price that a move leads to."""
    allowed = tolerance + 1e-13 * np.maximum(np.abs(expected), [float(case["spot"]) for case in cases])
    bad = np.flatnonzero(~(np.abs(found - expected) <= allowed))
    assert not [(cases[i]["case_id"], found[i], expected[i], tolerance[i]) for i in bad]


def expected_of(case: Case) -> float:
    """An asset that was paid at the hit was worth the barrier then, however far the price has gone since."""
    gone = float(case["barrier"] or 0.0) < float(case["spot"]) and case["option_type"] == "call"
    return float(case["barrier"] if case["product"] == "onetouch_asset_at_hit" and gone else case["expected"])


@pytest.mark.parametrize("engine", [*ENGINES, "emulated"])
def test_europeans_barriers_digitals_and_touches(engine: str, values: Callable[..., Floats]) -> None:
    cases = CLOSED[::5] if engine == "emulated" else CLOSED
    assert {option(case)["kind"] for case in cases} == {"option", "barrier", "digital"}
    found = values(cases, [option(case) for case in cases], engine, Pricing())
    check(
        cases,
        found,
        np.array([expected_of(case) for case in cases]),
        np.array([float(case["tolerance"]) for case in cases]),
    )


@pytest.mark.parametrize("pricing", AMERICAN, ids=lambda p: f"{p.american.value}-{p.accuracy.value}")
@pytest.mark.parametrize("engine", [*ENGINES, "emulated"])
def test_american_options(engine: str, pricing: Pricing, values: Callable[..., Floats]) -> None:
    cases = REFERENCES[::9] if engine == "emulated" else REFERENCES
    found = values(cases, [option(case) for case in cases], engine, pricing)
    expected = np.array([float(case["exact_QdFp_highPrecision_QuantLib1.44"]) for case in cases])
    bound = 1e-6 if pricing.accuracy is Accuracy.accurate else 1e-5
    check(cases, found, expected, bound * np.array([float(case["strike"]) for case in cases]))


@pytest.mark.parametrize("engine", ENGINES)
def test_american_options_are_near_their_published_approximations(engine: str, values: Callable[..., Floats]) -> None:
    """Approximations err by up to 1e-3 of the strike; see `table_minus_exact` of the exact references."""
    found = values(APPROXIMATE, [option(case) for case in APPROXIMATE], engine, Pricing())
    expected = np.array([float(case["expected"]) for case in APPROXIMATE])
    check(APPROXIMATE, found, expected, 1e-3 * np.array([float(case["strike"]) for case in APPROXIMATE]))


@pytest.mark.parametrize("engine", [*ENGINES, "emulated"])
@pytest.mark.parametrize("method", list(Method))
def test_asians(engine: str, method: Method, values: Callable[..., Floats]) -> None:
    """Published approximations by moments, everything else by conditioning."""
    cases = [case for case in ASIANS if case["case_id"].startswith(BY_MOMENTS) == (method is Method.moments)]
    cases = cases[::3] if engine == "emulated" else cases
    found = values(cases, [asian(case) for case in cases], engine, Pricing(asian=method))
    tolerance = np.array([float(case["tolerance"].split()[0]) for case in cases])
    check(cases, found, np.array([float(case["expected"]) for case in cases]), tolerance)


def test_no_row_is_left_out() -> None:
    assert len(CLOSED) + len(APPROXIMATE) + sum(
        r["style"] == "american" and "BAR" in r["case_id"] for r in OPTIONS
    ) == len(OPTIONS)
    assert len(REFERENCES) == 43
    assert len(ASIANS) == 35
