"""Settings of scan grids: what is wrong with each, and what nothing would read."""

from __future__ import annotations

import math
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import yaml

from mcvar.book import Book
from mcvar.building.scan.build import Scan, build_scan
from mcvar.building.scan.names import PUBLISHED
from mcvar.columns import Columns
from mcvar.errors import SettingError
from mcvar.market import Market
from mcvar.scan.exchange.grid import Discounts, Reduction, Skew
from mcvar.scan.per import Per
from mcvar.scan.pricing.contracts import commodity_names
from mcvar.settings.scan import ScanConfig

DAY = 1 / 365
GRID: dict[str, Any] = {"points": [[1.0, 0.0, 1.0], [-1.0, 0.0, 1.0]], "price_range": 0.1, "volatility_up": 0.2}


@pytest.fixture(scope="module")
def built(make_market: Callable[..., Market], make_book: Callable[..., Book]) -> Callable[..., Scan]:
    market = make_market([{"factor": "A", "level": 100.0}, {"factor": "B", "level": 50.0}])
    book = make_book(
        market, [{"instrument": u, "kind": "perpetual", "underlying": u} for u in "AB"], [("X", "A", 1), ("X", "B", 1)]
    )
    names = commodity_names(market, book.instruments)

    def build(table: Columns | None = None, **settings: Any) -> Scan:
        config = ScanConfig(**{**GRID, **settings})
        return build_scan(config, market, book.instruments, names, variance=DAY, decay=DAY, table=table)

    return build


def test_fields_are_finite_numbers_in_their_range(built: Callable[..., Scan]) -> None:
    with pytest.raises(SettingError) as error:
        built(
            reduction=Reduction.expiries, skews=["linear"],
            skew={"width": 0, "least": -0.1, "tilt": "down", "linear_cap": math.nan, "level": True, "cap": 1.0},
            discounts={"long_base": -0.5, "long_add": math.inf, "short_base": "1"},
            basis={"up": 0, "down": 1.0, "add": -1, "multiple": None, "side": 1},
        )  # fmt: skip
    for part in (
        "scan.skew.width is 0: give a number above 0 and up to 10", "scan.skew.least is -0.1",
        "scan.skew.tilt is 'down'",
        "scan.skew.linear_cap is nan", "scan.skew.level is True", "scan.skew does not know cap: it has abs_cap",
        "scan.discounts.long_base is -0.5: give a number from 0 to 4", "scan.discounts.long_add is inf",
        "scan.discounts.short_base is '1'", "scan.basis.up is 0", "scan.basis.down is 1.0", "scan.basis.add is -1",
        "scan.basis.multiple is None", "scan.basis does not know side",
    ):  # fmt: skip
        assert part in str(error.value), part
    with pytest.raises(SettingError, match=r"scan\.discounts is 0\.95: write its fields"):
        built(reduction=Reduction.expiries, discounts=0.95)
    found = built(
        reduction=Reduction.expiries, skews=["abs"], skew={"tilt": -1, "abs_slope": -0.05}, discounts={"long_base": 1}
    ).exchange
    assert (found.skew, found.discounts) == (Skew(tilt=-1.0, abs_slope=-0.05), Discounts(long_base=1.0))


def test_a_cap_that_falls_with_time_ends_at_nothing() -> None:
    skew = Skew(linear_cap=0.1, linear_slope=-0.2)
    moved = skew.moved(np.array([0.5, 0.5]), np.array([0.01, 4.0]), np.array([9.0, 9.0]), "linear")
    np.testing.assert_allclose(moved, [0.5 * (1 + 0.1 - 0.2 * 0.1), 0.5])


def test_what_is_owed_counts_no_more_than_undiscounted() -> None:
    base = Discounts(short_base=1.04, short_multiple=0.5)
    _, short = base.factors(np.array([0.5, 0.5, 0.5]), np.array([0.0, 0.04, 0.2]))
    np.testing.assert_allclose(short, [1.0, math.exp(0.02), 1.04 * math.exp(0.05)])
    assert Discounts().factors(np.array([1.0]), np.array([-0.02]))[1][0] == 1.0


NOT_SPAN: list[dict[str, Any]] = [
    {"initial": 1.1}, {"maintenance": 0.8}, {"gains": 0.5}, {"damping": 0.1}, {"inverse_conversion": True},
    {"skew": {"tilt": 0.0}}, {"discounts": {"long_base": 0.9}}, {"basis": {"add": 1.0}}, {"skews": ["abs"]},
    {"contingencies": [{"rule": "linear", "part": 0.1}]}, {"extended": [[0.5, 1.0, 0.1]]}, {"price_range_down": 0.2},
    {"volatility_down": 0.1}, {"short_power": 0.3}, {"long_power": 0.1}, {"least_volatility": 0.4}, {"least_days": 1.0},
    {"pivot_days": 10.0},
]  # fmt: skip


@pytest.mark.parametrize("setting", NOT_SPAN, ids=lambda setting: next(iter(setting)))
def test_span_refuses_what_it_would_not_read(built: Callable[..., Scan], setting: dict[str, Any]) -> None:
    name = next(iter(setting))
    with pytest.raises(SettingError, match=rf"span has nothing to do with scan\.{name}: leave it at"):
        built(**setting)


def test_span_takes_a_range_down_that_is_the_one_up(built: Callable[..., Scan]) -> None:
    assert built(price_range_down=0.1, volatility_down=0.2).exchange.parameters is not None


@pytest.mark.parametrize(
    ("settings", "said"),
    [
        ({"tie": "highest"}, r"scan\.tie is for the SPAN algorithm"),
        ({"short_option_minimum": 5.0}, r"scan\.short_option_minimum is for the SPAN algorithm"),
        ({"parameters": "folder"}, r"scan\.parameters is for the SPAN algorithm"),
        ({"gains": {"A": 0.5}}, r"scan\.gains counts with scan\.reduction=cells only"),
        ({"discounts": {"long_base": 0.9}}, r"scan\.discounts counts with scan\.reduction=expiries only"),
        ({"basis": {"add": 0.9}}, r"scan\.basis counts with scan\.reduction=expiries only"),
        ({"skew": {"tilt": 0.1}}, r"scan\.skew is of scan\.skews"),
        ({"damping": 0.1, "extended": [[0.5, 1.0, 0.2]]}, r"scan\.damping is for extended moves whose weight is null"),
        ({"inverse_conversion": True}, r"scan\.inverse_conversion is for extended moves"),
        ({"conventions": {"rates": "plain"}}, r"scan\.conventions are for reading scan\.file"),
        ({"coverage": 0.95}, r"scan\.coverage is 0\.95, and all ranges are given"),
        ({"days": 1.0, "price_range": None, "volatility_up": None}, r"scan\.days is 1, and no range is given"),
        ({"days": 0.0}, r"scan\.days is 0: give the days of moves"),
        ({"days": math.nan}, r"scan\.days is nan"),
    ],
)
def test_grids_refuse_what_they_would_not_read(built: Callable[..., Scan], settings: dict[str, Any], said: str) -> None:
    with pytest.raises(SettingError, match=said):
        built(reduction=Reduction.worst, **settings)


def test_only_what_is_missing_is_found_and_noted(built: Callable[..., Scan]) -> None:
    found = built(volatility_up=None)
    assert found.exchange.price_range("A") == 0.1
    assert [note.partition(": ")[2][:15] for note in found.notes] == ["volatility 0.1 "] * 2
    assert math.isnan(found.horizon)
    found = built(price_range=None)
    assert [note.partition(": ")[2][:6] for note in found.notes] == ["price "] * 2
    assert all("volatility" not in note and note.endswith("over 1 day") for note in found.notes)
    assert found.exchange.volatility.up == Per({"default": 0.2})
    assert built().notes == ()
    still = built(price_range=None, lookahead=0.0)  # of the run's own moves, however much time passes until the prices
    assert still.notes == found.notes
    assert still.exchange.lookahead == 0


def test_days_that_ranges_are_of(built: Callable[..., Scan]) -> None:
    assert built(days=2.0).horizon == 2 * DAY
    assert math.isnan(built().horizon)
    free = {"price_range": None, "volatility_up": None}
    assert built(**free).horizon == DAY
    assert built(**free, lookahead=3.0).horizon == DAY
    assert math.isnan(built(**free, reduction=Reduction.worst, extended=[[0.5, 1.0, 0.2]]).horizon)


@pytest.mark.parametrize("said", ["false", 0, None, "yes"])
def test_switches_are_true_or_false(built: Callable[..., Scan], said: object) -> None:
    with pytest.raises(SettingError) as error:
        built(
            reduction=Reduction.worst,
            contingencies=[{"rule": "per_contract", "amount": 1.0, "floor": said, "options_only": said}],
        )
    assert f"contingency per_contract.floor is {said!r}: write true or false" in str(error.value)
    assert f"contingency per_contract.options_only is {said!r}" in str(error.value)


@pytest.mark.parametrize(
    ("settings", "said"),
    [
        (
            {"price_range": {"a": 5.0, "default": 1.0}},
            "scan.price_range names 'a', which is no commodity here: do you m",
        ),
        ({"volatility_down": {"CL": 0.1, "default": 0.2}}, "scan.volatility_down names 'CL', which is no commodity"),
        ({"gains": {"AA": 0.1}}, "scan.gains names 'AA', which is no commodity here: do you mean A?"),
        (
            {"contingencies": [{"rule": "linear", "part": {"b": 0.1, "default": 0.2}}]},
            "contingency linear.part names 'b', which is no commodity here: do you mean B?",
        ),
    ],
)
def test_numbers_name_commodities_that_there_are(
    built: Callable[..., Scan], settings: dict[str, Any], said: str
) -> None:
    with pytest.raises(SettingError) as error:
        built(reduction=Reduction.cells, **settings)
    assert said in str(error.value)


def test_numbers_may_name_what_is_listed_and_what_published_grids_name(built: Callable[..., Scan]) -> None:
    listed = Columns.of("instruments", instrument=["x"], kind=["perpetual"], underlying=["CL"])
    ranges = {"CL": 0.2, "BTC": 0.3, "default": 0.1}
    assert built(table=listed, reduction=Reduction.worst, price_range=ranges).exchange.price_range == Per(ranges)
    folder = Path(__file__).parents[1] / "configs" / "scan"
    grids = [yaml.safe_load(path.read_text()) for path in folder.glob("*.yaml")]
    rows = [*grids, *(rule for grid in grids for rule in grid.get("contingencies") or [])]
    per = (
        "price_range",
        "price_range_down",
        "volatility_up",
        "volatility_down",
        "gains",
        "least",
        "risk",
        "part",
        "amount",
    )
    named = {name for row in rows for key in per if isinstance(row.get(key), dict) for name in row[key]}
    assert named - {"default"} == PUBLISHED
