"""Risk arrays against formulas written out here, cell by cell, and between engines."""

from __future__ import annotations

import math
from collections.abc import Callable, Sequence
from dataclasses import replace
from typing import Any

import numpy as np
import pytest
from scipy import sparse
from scipy.special import ndtr, ndtri

from mcvar.book import Book
from mcvar.columns import Columns
from mcvar.engines import EngineChoice, choose
from mcvar.errors import SettingError
from mcvar.market import Market, Shock
from mcvar.scan.grid import SPAN16, Grid
from mcvar.scan.parameters import Commodity, Parameters
from mcvar.scan.pricing.contracts import Contracts, commodity_names
from mcvar.scan.pricing.ranges import default_ranges
from mcvar.scan.pricing.risk_arrays import WEIGHTS, risk_arrays, scaled
from mcvar.scan.pricing.units import DeltaUnit, Units, listed_units
from mcvar.scan.span.algorithm import span
from mcvar.shocks import moved

NUMPY = choose("numpy")
DAY = 1 / 365
SIXTEEN = [(p / 3, v, 1.0) for p in (0, 1, -1, 2, -2, 3, -3) for v in (1, -1)] + [(2, 0, 0.35), (-2, 0, 0.35)]


def black(forward: float, strike: float, deviation: float, sign: int) -> float:
    if deviation <= 0 or forward <= 0:
        return max(sign * (forward - strike), 0.0)
    d = math.log(forward / strike) / deviation + 0.5 * deviation
    return float(sign * (forward * ndtr(sign * d) - strike * ndtr(sign * (d - deviation))))


def priced(
    market: Market, book: Book, choice: EngineChoice = NUMPY, *, names: Sequence[str] = (), units: Units | None = None,
    **terms: Any,
) -> Contracts:  # fmt: skip
    """Each commodity with the same terms."""
    commodity = names or commodity_names(market, book.instruments)
    parameters = Parameters(tuple(Commodity(c, "USD", **terms) for c in dict.fromkeys(commodity)))
    return risk_arrays(market, book, commodity, parameters, choice, units=units)


def listing(rows: Sequence[dict[str, Any]]) -> Columns:
    names = ("instrument", "kind", "underlying", "multiplier", "settlement")
    return Columns.from_mapping("instruments", {name: [row.get(name, "") for row in rows] for name in names})


def one_of_each(make_book: Callable[..., Book], market: Market, rows: Sequence[dict[str, Any]]) -> Book:
    return make_book(market, rows, [("A", row["instrument"], 1.0) for row in rows])


@pytest.fixture
def market(make_market: Callable[..., Market]) -> Market:
    return make_market(
        [
            {"factor": "A", "level": 100.0},
            {"factor": "A-V", "kind": "vol", "underlying": "A", "tenor": 0.08, "level": 0.3, "volatility": 0.9},
            {"factor": "BTC", "level": 60_000.0, "volatility": 0.6},
            {"factor": "SIM", "level": 40.0, "shock": "simple"},
            {"factor": "OIL", "level": -2.0, "volatility": 30.0, "shock": "absolute"},
        ]
    )


OPTIONS = [
    {
        "instrument": f"{side}{strike}-{years}",
        "kind": "option",
        "underlying": "A",
        "option_type": side,
        "strike": strike,
        "years": years,
        "volatility": 0.2 + 0.001 * abs(strike - 100),
        "rate": 0.03,
        "carry": 0.01,
        "multiplier": 50.0,
    }
    for side in ("call", "put")
    for strike in (80.0, 100.0, 125.0)
    for years in (0.001, 0.05, 1.5)  # the first expires within the look-ahead
]


@pytest.mark.parametrize("relative", [True, False])
@pytest.mark.parametrize("relative_volatility", [True, False])
def test_options_cell_by_cell(
    market: Market, make_book: Callable[..., Book], relative: bool, relative_volatility: bool
) -> None:
    book = one_of_each(make_book, market, OPTIONS)
    size, vsr = (0.06 if relative else 6.0), (0.3 if relative_volatility else 0.05)
    found = priced(
        market, book, price_range=size, relative=relative, volatility_range=vsr,
        relative_volatility=relative_volatility, lookahead=DAY,
    ).arrays  # fmt: skip
    expected = np.empty((len(OPTIONS), 16))
    for n, terms in enumerate(OPTIONS):
        t, k, s = terms["years"], terms["strike"], terms["volatility"]
        sign = 1 if terms["option_type"] == "call" else -1
        now = 50 * math.exp(-0.03 * t) * black(100 * math.exp(0.01 * t), k, s * math.sqrt(t), sign)
        assert found.value[n] == pytest.approx(now, rel=1e-9, abs=1e-9)
        for j, (price, way, weight) in enumerate(SIXTEEN):
            spot, left = 100.0 + 6.0 * price, max(t - DAY, 0.0)
            moved = s * (1 + way * vsr) if relative_volatility else max(s + way * vsr, 0.0)
            later = 50 * math.exp(-0.03 * left) * black(spot * math.exp(0.01 * left), k, moved * math.sqrt(left), sign)
            expected[n, j] = weight * (now - later)
    np.testing.assert_allclose(found.loss, expected, rtol=1e-9, atol=1e-8)
    assert found.option.all()


def test_linear_contracts_cell_by_cell(market: Market, make_book: Callable[..., Book]) -> None:
    rows = [
        {"instrument": "spot", "kind": "spot", "underlying": "A"},
        {"instrument": "future", "kind": "future", "underlying": "A", "years": 0.25, "multiplier": 10.0, "carry": 0.0},
        {"instrument": "carried", "kind": "future", "underlying": "A", "years": 0.25, "carry": 0.04},
        {"instrument": "cash", "kind": "cash", "settlement_currency": "USD"},
    ]
    book = one_of_each(make_book, market, rows)
    found = priced(
        market, book, units=listed_units(listing(rows)), price_range=9.0, volatility_range=0.5,
        relative_volatility=True, lookahead=DAY,
    ).arrays  # fmt: skip
    loss = np.array([-9.0 * p * w for p, _, w in SIXTEEN])
    at = {name: n for n, name in enumerate(found.name)}
    np.testing.assert_allclose(found.loss[at["spot"]], loss, atol=1e-12)
    np.testing.assert_allclose(found.loss[at["future"]], 10 * loss, atol=1e-11)
    carried = [
        -w * ((100 + 9 * p) * math.exp(0.04 * (0.25 - DAY)) - 100 * math.exp(0.04 * 0.25)) for p, _, w in SIXTEEN
    ]
    np.testing.assert_allclose(found.loss[at["carried"]], carried, rtol=0, atol=1e-7)  # expiries are whole microseconds
    assert not found.loss[at["cash"]].any()
    assert not found.value.any()
    assert found.delta[at["future"]] == pytest.approx(1.0, abs=1e-10)  # the commodity's future
    assert found.delta[at["carried"]] == pytest.approx(0.1, abs=1e-10)
    assert found.delta[at["spot"]] == pytest.approx(0.1, abs=1e-10)
    assert found.delta[at["cash"]] == 0.0
    assert [found.month[at[name]] for name in ("future", "spot")] == ["202604", ""]


def test_inverse_contracts_are_measured_in_coins(market: Market, make_book: Callable[..., Book]) -> None:
    inverse = {"underlying": "BTC", "settlement": "inverse"}
    rows = [
        {**inverse, "instrument": "perpetual", "kind": "perpetual", "multiplier": 10.0},
        {
            **inverse, "instrument": "call", "kind": "option", "option_type": "call", "strike": 65e3, "years": 0.1,
            "volatility": 0.6, "rate": 0.0, "carry": 0.0,
        },
    ]  # fmt: skip
    book = one_of_each(make_book, market, rows)
    grid = Grid("g", np.array([-1.0, -0.5, 0.0, 0.25, 1.0]), np.zeros(5), np.ones(5), np.arange(5))
    commodity = Commodity("BTC", "BTC", price_range=0.16, relative=True, lookahead=0.0)
    found = risk_arrays(market, book, ["BTC"] * 2, Parameters((commodity,)), NUMPY, grid=grid)
    moves = [-0.16, -0.08, 0.0, 0.04, 0.16]
    np.testing.assert_allclose(
        found.arrays.loss[0], [-10.0 * (1 - 1 / (1 + m)) / 60e3 for m in moves], rtol=1e-13, atol=1e-20
    )
    assert found.arrays.loss[0, 2] == 0.0
    assert found.arrays.currency == ("BTC", "BTC")
    deviation = 0.6 * math.sqrt(0.1)
    coins = [black(60e3 * (1 + m), 65e3, deviation, 1) / (60e3 * (1 + m)) for m in moves]
    np.testing.assert_allclose(found.arrays.loss[1], [coins[2] - c for c in coins], rtol=1e-8, atol=1e-12)
    assert found.arrays.value[1] == pytest.approx(coins[2], rel=1e-8)
    assert found.rate.tolist() == [60e3, 60e3]
    # 10 USD are 10 / F coins; an option's delta in coins is that of its value in coins, at the price
    d = math.log(60 / 65) / deviation + deviation / 2
    premium_adjusted = ndtr(d) - coins[2]
    np.testing.assert_allclose(found.units, [10 / 60e3, premium_adjusted], rtol=1e-5)
    np.testing.assert_allclose(found.spot, 60e3)


def test_composite_deltas_by_hand(market: Market, make_book: Callable[..., Book]) -> None:
    future = {"instrument": "future", "kind": "future", "underlying": "A", "years": 0.5, "multiplier": 50.0}
    book = one_of_each(make_book, market, [*OPTIONS, future])
    units = {"A": DeltaUnit(50.0)}
    found = priced(
        market, book, units=units, price_range=0.06, relative=True, volatility_range=0.4, lookahead=DAY
    ).arrays
    for n, terms in enumerate(OPTIONS):
        left = terms["years"] - DAY
        if left <= 0:
            continue
        sign, deviation = (1 if terms["option_type"] == "call" else -1), terms["volatility"] * math.sqrt(left)
        total = 0.0
        for j in range(-3, 4):
            forward = 100 * (1 + 0.02 * j) * math.exp(0.01 * left)
            d = math.log(forward / terms["strike"]) / deviation + deviation / 2
            total += WEIGHTS[abs(j)] * sign * float(ndtr(sign * d)) * math.exp(-0.03 * left)
        assert found.delta[n] == pytest.approx(total / 0.998, rel=2e-4, abs=2e-6)
    assert found.delta[-1] == pytest.approx(1.0, abs=1e-10)


def test_deltas_are_in_units_of_the_largest_future_that_is_listed(
    market: Market, make_book: Callable[..., Book]
) -> None:
    """Whoever holds it or not: full-sized and mini futures are listed, and positions differ."""
    full = {"instrument": "full", "kind": "future", "underlying": "A", "years": 0.5, "multiplier": 50.0}
    mini = {**full, "instrument": "mini", "years": 0.1, "multiplier": 5.0}
    terms: dict[str, Any] = {"price_range": 0.06, "relative": True, "volatility_range": 0.4, "lookahead": DAY}
    units = listed_units(listing([*OPTIONS, full, mini]))
    one = priced(market, one_of_each(make_book, market, [*OPTIONS, mini]), units=units, **terms).arrays
    other = priced(market, one_of_each(make_book, market, [*OPTIONS, full]), units=units, **terms).arrays
    np.testing.assert_array_equal(one.delta[:-1], other.delta[:-1])
    assert (one.delta[-1], other.delta[-1]) == pytest.approx((0.1, 1.0), rel=1e-9)
    plain = priced(market, one_of_each(make_book, market, OPTIONS), **terms).arrays  # of what nothing says: of one
    np.testing.assert_allclose(plain.delta, 50 * one.delta[:-1], rtol=1e-12)
    said = priced(market, one_of_each(make_book, market, OPTIONS), units=units, delta_unit=20.0, **terms).arrays
    np.testing.assert_allclose(said.delta, 2.5 * one.delta[:-1], rtol=1e-12)


def test_units_of_inverse_futures_are_at_each_price(market: Market, make_book: Callable[..., Book]) -> None:
    inverse = {"kind": "perpetual", "underlying": "BTC", "settlement": "inverse"}
    rows = [{**inverse, "instrument": "ten", "multiplier": 10.0}, {**inverse, "instrument": "one"}]
    found = priced(
        market, one_of_each(make_book, market, rows), units=listed_units(listing(rows)), price_range=0.16,
        relative=True,
    ).arrays  # fmt: skip
    assert found.delta == pytest.approx([1.0, 0.1], rel=1e-6)
    linear = [*rows, {"instrument": "L", "kind": "perpetual", "underlying": "BTC", "multiplier": 0.1}]
    assert listed_units(listing(linear)) == {"BTC": DeltaUnit(0.1)}


def test_every_shock_reaches_the_same_price(market: Market, make_book: Callable[..., Book]) -> None:
    rows = [{"instrument": u, "kind": "spot", "underlying": u} for u in ("A", "SIM", "OIL")]
    book = one_of_each(make_book, market, rows)
    moves = np.array([p * w for p, _, w in SIXTEEN])
    absolute = priced(market, book, price_range=6.0).arrays.loss
    np.testing.assert_allclose(absolute, np.tile(-6.0 * moves, (3, 1)), atol=1e-12)
    part = priced(market, book, price_range=0.1, relative=True).arrays.loss
    np.testing.assert_allclose(part, -0.1 * np.outer([100.0, 40.0, 2.0], moves), atol=1e-12)  # of |-2|


def test_commodities_on_one_price_move_it_apart(market: Market, make_book: Callable[..., Book]) -> None:
    rows = [{"instrument": n, "kind": "perpetual", "underlying": "A"} for n in ("x", "y", "z")]
    book = one_of_each(make_book, market, rows)
    table = Columns.of("i", instrument=["x", "y"], commodity=["", "narrow"])
    names = commodity_names(market, book.instruments, table)
    assert names == ("A", "narrow", "A")
    parameters = Parameters((
        Commodity("A", "USD", price_range=8.0),
        Commodity("narrow", "USD", price_range=1.0, extreme=3.0, covered=0.5, lookahead=0.0),
    ))  # fmt: skip
    loss = risk_arrays(market, book, names, parameters, NUMPY).arrays.loss
    np.testing.assert_allclose(loss[0], [-8.0 * p * w for p, _, w in SIXTEEN], atol=1e-12)
    np.testing.assert_allclose(loss[2], loss[0])
    np.testing.assert_allclose(loss[1, :14], [-p for p, _, _ in SIXTEEN[:14]], atol=1e-12)
    np.testing.assert_allclose(loss[1, 14:], [-1.5, 1.5], atol=1e-12)


def test_a_box_at_one_volatility_moves_by_its_time_decay_alone(market: Market, make_book: Callable[..., Book]) -> None:
    rows = [
        {
            "instrument": f"{side}{strike}", "kind": "option", "underlying": "A", "option_type": side,
            "strike": strike, "years": 0.4, "volatility": 0.25, "rate": 0.05, "carry": 0.05,
        }
        for strike in (90.0, 110.0)
        for side in ("call", "put")
    ]  # fmt: skip
    book = one_of_each(make_book, market, rows)
    arrays = priced(
        market, book, price_range=0.12, relative=True, volatility_range=0.4, relative_volatility=True, lookahead=2 * DAY
    ).arrays
    box = np.array([1.0, -1.0, -1.0, 1.0])  # pays 20 whatever happens
    value = 20 * math.exp(-0.05 * 0.4)
    assert box @ arrays.value == pytest.approx(value, rel=1e-8)
    decay = value * math.expm1(0.05 * 2 * DAY)  # what it grows by in two days
    for sign in (1.0, -1.0):
        losses = sign * box @ arrays.loss
        np.testing.assert_allclose(losses[:14], -sign * decay, rtol=1e-5)
        assert max(0.0, losses.max()) <= decay * (1 + 1e-5)
    assert max((box @ arrays.loss).max(), 0.0) == 0.0
    # the whole algorithm: a long box needs nothing, a short one its value and what it grows by, or the minimum
    for minimum in (0.0, 3.0):
        parameters = Parameters((Commodity("A", "USD", price_range=0.12, short_option_minimum=minimum),))
        found = span(arrays, SPAN16, parameters, sparse.csr_array(np.array([box, -box])))
        assert found.scan[0] == 0.0
        assert found.scan[1] == pytest.approx(decay, rel=1e-5)
        assert found.requirement[0] == 0.0
        assert found.requirement[1] == pytest.approx(value + max(decay, 2 * minimum), rel=1e-7)
    np.testing.assert_allclose(box @ arrays.delta, 0.0, atol=1e-8)


def test_a_book_and_its_negative_lose_nothing_together(every_market: Market, every_book: Book) -> None:
    book = without_american(every_book)
    arrays = priced(every_market, book, **terms_of_all()).arrays
    held = np.random.default_rng(4).normal(size=len(arrays))
    assert not (held @ arrays.loss + (-held) @ arrays.loss).any()
    one, other = held @ arrays.loss, np.roll(held, 1) @ arrays.loss
    assert (one + other).max() <= one.max() + other.max() + 1e-9
    assert np.isfinite(arrays.loss).all()
    assert np.isfinite(arrays.delta).all()


def terms_of_all() -> dict[str, Any]:
    return {
        "price_range": 0.1,
        "relative": True,
        "volatility_range": 0.25,
        "relative_volatility": True,
        "lookahead": 5 * DAY,
    }


def without_american(book: Book) -> Book:
    """American tables take seconds to make, and have tests of their own."""
    from mcvar.instruments import take

    keep = np.flatnonzero(~book.instruments.american)
    return replace(book, instruments=take(book.instruments, keep), quantity=book.quantity[:, keep])


@pytest.mark.parametrize("place", ["native", "emulated", pytest.param("cuda", marks=pytest.mark.gpu)])
def test_engines_agree(every_market: Market, every_book: Book, launcher: Callable[..., Any], place: str) -> None:
    book = without_american(every_book)
    reference = priced(every_market, book, **terms_of_all())
    other = priced(every_market, book, EngineChoice(place, launcher=launcher(place)), **terms_of_all())
    i = book.instruments
    level = every_market.factors.level[np.maximum(i.underlying, 0)]
    scale = i.multiplier * np.where(i.inverse, 1.0, np.maximum(level, 1.0))
    np.testing.assert_array_less(np.abs(other.arrays.loss - reference.arrays.loss).max(axis=1) / scale, 1e-11)
    np.testing.assert_allclose(other.arrays.delta, reference.arrays.delta, atol=1e-7)
    np.testing.assert_array_equal(other.arrays.value, reference.arrays.value)


def test_american_options_are_priced(market: Market, make_book: Callable[..., Book]) -> None:
    put = {
        "kind": "option", "underlying": "A", "option_type": "put", "strike": 110.0, "years": 0.5,
        "volatility": 0.25, "rate": 0.06, "carry": 0.06,
    }  # fmt: skip
    book = one_of_each(
        make_book,
        market,
        [{**put, "instrument": "american", "exercise": "american"}, {**put, "instrument": "european"}],
    )
    arrays = priced(market, book, price_range=5.0, volatility_range=0.2, relative_volatility=True).arrays
    later = arrays.value[:, None] - arrays.loss[:, :14]
    assert (later[0] > later[1]).all()
    assert (later[0] >= 110 - (100 + 5 * SPAN16.price[:14]) - 1e-3).all()


def test_futures_style_premiums_start_from_todays(market: Market, make_book: Callable[..., Book]) -> None:
    call = {
        "instrument": "call", "kind": "option", "underlying": "A", "option_type": "call", "strike": 100.0,
        "years": 0.5, "volatility": 0.2, "carry": 0.0, "premium_style": "futures",
    }  # fmt: skip
    book = one_of_each(make_book, market, [call])
    arrays = priced(market, book, price_range=6.0, volatility_range=0.05, lookahead=0.0).arrays
    expected = [
        w * (black(100, 100, 0.2 * math.sqrt(0.5), 1) - black(100 + 6 * p, 100, (0.2 + 0.05 * v) * math.sqrt(0.5), 1))
        for p, v, w in SIXTEEN
    ]
    np.testing.assert_allclose(arrays.loss[0], expected, rtol=1e-8)
    assert arrays.value.tolist() == [0.0]


def test_what_is_wrong_is_said_at_once(market: Market, make_book: Callable[..., Book]) -> None:
    rows = [{"instrument": u, "kind": "spot", "underlying": u} for u in ("A", "BTC", "SIM")]
    book = one_of_each(make_book, market, rows)
    names = commodity_names(market, book.instruments)
    bad = Parameters((Commodity("A", "USD", price_range=-1.0), Commodity("BTC", "USD", 0.1, lookahead=math.nan)))
    with pytest.raises(
        SettingError, match=r"'SIM' has no parameters.*'A' has price_range -1.*lookahead of commodity 'BTC' is"
    ):
        risk_arrays(market, book, names, bad, NUMPY)
    with pytest.raises(
        SettingError, match=r"'A' moves the price of A from 100 to -20 at point 16.*'BTC' moves"
    ) as error:
        priced(market, book, price_range=0.6, relative=True)
    assert "SIM" not in str(error.value)  # a simple shock stops at 0


def test_ranges_that_are_tried_out_stop_at_a_floor(market: Market, make_book: Callable[..., Book]) -> None:
    """Log and simple prices do; absolute ones, above 0 or below, go wherever they are moved to."""
    rows = [{"instrument": u, "kind": "spot", "underlying": u} for u in ("A", "SIM", "OIL")]
    book = one_of_each(make_book, market, rows)
    parameters = scaled(Parameters((Commodity("A", "USD", price_range=20.0, volatility_range=0.1),)), 6.0, 2.0)
    assert (parameters.commodities[0].price_range, parameters.commodities[0].volatility_range) == (120.0, 0.2)
    arrays = risk_arrays(market, book, ["A"] * 3, parameters, NUMPY, floor=0.01).arrays
    for n, (level, least) in enumerate([(100.0, 1.0), (40.0, 0.4), (-2.0, -math.inf)]):
        expected = [w * (level - max(level + 120.0 * p, least)) for p, _, w in SIXTEEN]
        np.testing.assert_allclose(arrays.loss[n], expected, atol=1e-11)
    np.testing.assert_allclose(arrays.delta, 1.0, atol=1e-10)  # of the points that move
    with pytest.raises(SettingError, match="from 100 to -140"):
        risk_arrays(market, book, ["A"] * 3, parameters, NUMPY)


@pytest.mark.parametrize("level", [2.0, -2.0])
def test_absolute_prices_have_no_floor(
    make_market: Callable[..., Market], make_book: Callable[..., Book], level: float
) -> None:
    market = make_market([{"factor": "OIL", "level": level, "volatility": 30.0, "shock": "absolute"}])
    book = one_of_each(make_book, market, [{"instrument": "OIL", "kind": "spot", "underlying": "OIL"}])
    parameters = Parameters((Commodity("OIL", "USD", price_range=5.0),))
    expected = [-5.0 * p * w for p, _, w in SIXTEEN]
    for floor in (0.0, 0.01):
        found = risk_arrays(market, book, ["OIL"], parameters, NUMPY, floor=floor).arrays
        np.testing.assert_allclose(found.loss[0], expected, atol=1e-12)


@pytest.mark.parametrize("engine", ["numpy", "native"])
def test_simple_prices_end_at_nothing_as_simulated_ones_do(
    market: Market, make_book: Callable[..., Book], engine: str
) -> None:
    put = {
        "instrument": "put", "kind": "option", "underlying": "SIM", "option_type": "put", "strike": 50.0, "years": 0.5,
        "volatility": 0.3, "rate": 0.02, "carry": 0.0,
    }  # fmt: skip
    book = one_of_each(make_book, market, [{"instrument": "SIM", "kind": "spot", "underlying": "SIM"}, put])
    grid = Grid("g", np.array([-1.5, -1.0, 0.0, 1.0]), np.zeros(4), np.ones(4), np.arange(4))
    parameters = Parameters((Commodity("SIM", "USD", price_range=1.0, relative=True, lookahead=0.0),))
    found = risk_arrays(market, book, ["SIM"] * 2, parameters, choose(engine), grid=grid)
    end = moved(Shock.simple, 40.0, np.array([-1.5, -1.0, 0.0, 1.0]))
    np.testing.assert_allclose(found.arrays.loss[0], 40.0 - end, atol=1e-12)
    worth = found.arrays.value[1] - found.arrays.loss[1]
    np.testing.assert_allclose(worth[:2], 50.0 * math.exp(-0.02 * 0.5), rtol=1e-8)
    assert np.isfinite(found.arrays.delta).all()


def test_ranges_that_nobody_gives(market: Market, make_book: Callable[..., Book]) -> None:
    rows = [{"instrument": u, "kind": "spot", "underlying": u} for u in ("A", "BTC", "SIM", "OIL")]
    book = one_of_each(make_book, market, rows)
    names = commodity_names(market, book.instruments)
    z = float(ndtri(0.995))
    found = default_ranges(market, book.instruments, names, DAY)
    assert found.price("A") == pytest.approx(math.expm1(z * 0.2 * math.sqrt(DAY)))
    assert found.price("SIM") == pytest.approx(z * 0.2 * math.sqrt(DAY))
    assert found.price("OIL") == pytest.approx(z * 30 * math.sqrt(DAY) / 2)
    assert found.volatility("A") == pytest.approx(math.expm1(z * 0.9 * math.sqrt(DAY)))
    assert found.volatility("BTC") == 0.10
    assert "scan ranges of BTC: price 0.0842" in found.notes[1]
    assert "no volatility factor: 10 %" in found.notes[1]
    in_units = default_ranges(
        market, book.instruments, names, DAY, coverage=0.9, relative=False, relative_volatility=False
    )
    assert in_units.price("OIL") == pytest.approx(float(ndtri(0.95)) * 30 * math.sqrt(DAY))
    assert in_units.price("A") == pytest.approx(100 * math.expm1(float(ndtri(0.95)) * 0.2 * math.sqrt(DAY)))
    assert in_units.volatility("A") == pytest.approx(0.3 * math.expm1(float(ndtri(0.95)) * 0.9 * math.sqrt(DAY)))
    # what is said holds: the part of the moves that ends inside
    draws = np.random.default_rng(7).normal(size=200_000) * 0.6 * math.sqrt(DAY)
    up = math.log1p(found.price("BTC"))
    assert np.mean(np.abs(draws) <= up) == pytest.approx(0.99, abs=3.5 * math.sqrt(0.01 * 0.99 / 200_000))
    assert np.mean(np.abs(np.expm1(draws)) <= found.price("BTC")) > 0.99  # prices fall by less than they rise
    with pytest.raises(SettingError, match=r"give scan\.price_range"):
        default_ranges(market, book.instruments, names, 0.0)


def test_only_ranges_that_are_asked_for_are_found(market: Market, make_book: Callable[..., Book]) -> None:
    book = one_of_each(make_book, market, [{"instrument": u, "kind": "spot", "underlying": u} for u in ("A", "BTC")])
    names = commodity_names(market, book.instruments)
    found = default_ranges(market, book.instruments, names, DAY, price_of=[])
    assert not found.price.of
    assert [note.partition(": ")[2][:10] for note in found.notes] == ["volatility"] * 2
    found = default_ranges(market, book.instruments, names, DAY, price_of=["BTC"], volatility_of=())
    assert (set(found.price.of), set(found.volatility.of)) == ({"BTC"}, set())
    assert [note.endswith("covering 0.99 of normal moves over 1 day") for note in found.notes] == [True]
    assert "over 2 days" in default_ranges(market, book.instruments, names, 2 * DAY).notes[0]
    with pytest.raises(SettingError) as error:
        default_ranges(market, book.instruments, names, 0.0, price_of=())
    assert "price_range" not in str(error.value)


def test_a_range_of_volatilities_needs_no_price(make_market: Callable[..., Market], make_book: Any) -> None:
    """A price at 0 has no part that is a range: refused where one is asked for, and only there."""
    market = make_market([{"factor": "Z", "level": 0.0, "volatility": 1.0, "shock": "absolute"}])
    book = one_of_each(make_book, market, [{"instrument": "Z", "kind": "spot", "underlying": "Z"}])
    assert default_ranges(market, book.instruments, ["Z"], DAY, price_of=()).volatility("Z") == 0.10
    with pytest.raises(SettingError, match="Z is at 0"):
        default_ranges(market, book.instruments, ["Z"], DAY)
