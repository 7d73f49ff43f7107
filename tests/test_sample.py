"""The sample: real levels are the data, proxies follow their formula, and accounts behave as their kind says."""

import time
from collections.abc import Callable
from dataclasses import replace
from typing import Any

import numpy as np
import pytest
from arch.data import nasdaq, sp500, vix, wti
from numpy.typing import NDArray

from mcvar import book, correlation, market
from mcvar.book import Book
from mcvar.columns import Columns
from mcvar.engines import Reference
from mcvar.errors import SettingError
from mcvar.history import History
from mcvar.instruments import Kind
from mcvar.io.sample import sample_factors, sample_history, sample_instruments, sample_positions
from mcvar.market import Market
from mcvar.models import Gaussian
from mcvar.pricing.black import black76
from mcvar.scenarios import Explicit, Simulated
from mcvar.terms import resolve_instruments

Floats = NDArray[np.float64]
Legs = Callable[[str], list[tuple[str, dict[str, float]]]]
NAMES = ("SPX", "NASDAQ", "WTI", "SPX-VOL", "NASDAQ-VOL", "WTI-VOL")
KINDS = (
    "covered_call", "short_straddle", "put_spread", "butterfly", "market_maker", "futures_spread", "directional",
)  # fmt: skip


@pytest.fixture(scope="module")
def past() -> History:
    return sample_history()


@pytest.fixture(scope="module")
def now(past: History) -> Market:
    factors, volatility = market.read_factors(sample_factors(past), past)
    moves = past.moves(factors.name, [shock.value for shock in factors.shock])
    return market.build(
        factors=factors,
        volatility=volatility,
        estimate=correlation.positive(correlation.historical(moves, past.steps_per_year)),
        valuation=past.dates[-1],
        currency="USD",
        steps_per_year=past.steps_per_year,
    )


@pytest.fixture(scope="module")
def listed(now: Market) -> Columns:
    return sample_instruments(now)


@pytest.fixture(scope="module")
def held(now: Market, listed: Columns) -> Book:
    positions, accounts = sample_positions(now, listed)
    return book.resolve(listed, positions, now, accounts)


@pytest.fixture(scope="module")
def legs(held: Book) -> Legs:
    """Name and {instrument: quantity} of every account of a kind."""

    def of(kind: str) -> list[tuple[str, dict[str, float]]]:
        dense, names = held.quantity.toarray(), held.instruments.name
        return [
            (name, {names[i]: dense[r, i] for i in np.flatnonzero(dense[r])})
            for r, name in enumerate(held.row)
            if held.kind[r] == kind
        ]

    return of


def price_moves(now: Market, held: Book, size: float, kind: str) -> Floats:
    """P&L [R, 2] of the accounts of a kind when every price, and nothing else, moves by -size and by +size."""
    price = np.array([k is market.FactorKind.price for k in now.factors.kind], dtype=float)
    scenarios = Explicit.of([price * np.log1p(-size), price * np.log1p(size)])
    pnl = Reference(now, held, scenarios, 0.0).pnl(0, 2)
    return np.asarray(pnl[np.array([k == kind for k in held.kind])])


def test_history_is_whole_and_ends_at_the_valuation(past: History) -> None:
    assert past.names == NAMES
    assert str(past.dates[0]) == "2014-01-03T00:00:00.000000"
    assert str(past.dates[-1]) == "2018-12-28T00:00:00.000000"
    assert len(past.dates) == 1253
    assert (np.diff(past.dates) > np.timedelta64(0)).all()
    assert np.diff(past.dates).max() <= np.timedelta64(5, "D")
    assert np.isfinite(past.levels).all()
    assert past.steps_per_year == pytest.approx(251, abs=0.5)


def test_history_is_the_data(past: History) -> None:
    assert past.levels[-1, :4] == pytest.approx([2485.74, 6584.52, 45.15, 0.2834], abs=0.005)  # public closes
    sources = {0: (sp500, "Close", 1), 1: (nasdaq, "Close", 1), 2: (wti, "DCOILWTICO", 1), 3: (vix, "vix", 100)}
    days = past.dates.astype("datetime64[D]").astype(str)
    for column, (source, name, unit) in sources.items():
        known = {str(day)[:10]: level for day, level in source.load()[name].items()}
        np.testing.assert_array_equal(past.levels[:, column], np.array([known[day] for day in days]) / unit)
    missing = {day for source, name, _ in sources.values() for day, bad in source.load()[name].isna().items() if bad}
    assert not {str(day)[:10] for day in missing} & set(days)


@pytest.mark.parametrize(("name", "source", "column"), [("NASDAQ", nasdaq, "Close"), ("WTI", wti, "DCOILWTICO")])
@pytest.mark.parametrize("row", [0, 1, 600, -1])
def test_proxy_volatilities_follow_their_formula(past: History, name: str, source: Any, column: str, row: int) -> None:
    joined = sp500.load()[["Close"]].rename(columns={"Close": "spx"})
    joined = joined.join(nasdaq.load()["Close"].rename("nasdaq")).join(wti.load()["DCOILWTICO"].rename("oil"))
    until = joined.dropna().loc[: str(past.dates[row])[:10]]
    own = until[{"NASDAQ": "nasdaq", "WTI": "oil"}[name]].to_numpy()[-64:]
    spx = until["spx"].to_numpy()[-64:]
    ratio = np.sqrt(sum(np.diff(np.log(own)) ** 2) / sum(np.diff(np.log(spx)) ** 2))
    level = dict(zip(past.names, past.levels[row], strict=True))
    assert level[f"{name}-VOL"] == pytest.approx(level["SPX-VOL"] * ratio, rel=1e-12)


def test_levels_and_moments_are_plausible(past: History, now: Market) -> None:
    level = dict(zip(now.factors.name, now.factors.level, strict=True))
    assert level["SPX-VOL"] < level["NASDAQ-VOL"] < level["WTI-VOL"]
    assert level["WTI-VOL"] == pytest.approx(0.5, abs=0.1)  # OVX stood near 0.5
    assert (past.levels[:, 3:] > 0.05).all()
    assert (past.levels[:, 3:] < 1.0).all()
    assert now.volatility[:3] == pytest.approx([0.13, 0.16, 0.37], abs=0.01)
    assert (np.abs(now.volatility[3:] - 1.3) < 0.15).all()
    assert now.correlation[0, 1] > 0.9
    assert now.correlation[0, 3] < -0.7


def test_factors_carry_the_settings(past: History) -> None:
    factors, volatility = market.read_factors(sample_factors(past, rate=0.03, dividend_yield=0.01), past)
    assert factors.name == NAMES
    np.testing.assert_array_equal(factors.level, past.levels[-1])
    np.testing.assert_allclose(factors.rate[:3], 0.03)
    np.testing.assert_allclose(factors.carry[:3], [0.02, 0.02, 0.0])
    assert np.isnan(volatility).all()


def test_grid(now: Market, listed: Columns) -> None:
    resolved = resolve_instruments(listed, now)
    assert len(resolved) == 392
    assert [int((resolved.kind == kind).sum()) for kind in (Kind.spot, Kind.future, Kind.option)] == [3, 9, 380]
    option = resolved.kind == Kind.option
    spot = now.factors.level[resolved.underlying]
    ratio = resolved.strike[option] / spot[option]
    assert ratio.min() == pytest.approx(0.8, abs=0.04)
    assert ratio.max() == pytest.approx(1.2, abs=0.04)
    days = {text[:10] for text in listed.texts("expiry") if text}
    assert days == {"2019-01-18", "2019-02-15", "2019-03-15", "2019-06-21", "2019-12-20"}
    assert {np.datetime64(day).astype(object).isoweekday() for day in days} == {5}
    assert all(15 <= int(day[-2:]) <= 21 for day in days)  # third Fridays


def test_smiles_allow_no_static_arbitrage(now: Market, listed: Columns) -> None:
    """Calls fall in the strike by less than the strike rises, and are convex; variance grows with expiry."""
    resolved = resolve_instruments(listed, now)
    for name, factor in now.price_factor().items():
        variance = []
        calls = (resolved.underlying == factor) & (resolved.sign > 0)
        for years in np.unique(resolved.years[calls]):
            row = np.flatnonzero(calls & (resolved.years == years))
            strike, deviation = resolved.strike[row], resolved.volatility[row] * np.sqrt(years)
            forward = now.factors.level[factor] * np.exp(resolved.carry[row] * years)
            slope = np.diff(black76(forward, strike, deviation, np.ones(len(row)))) / np.diff(strike)
            assert (slope < 0).all(), name
            assert (slope > -1).all(), name
            assert (np.diff(slope) > 0).all(), name
            assert np.abs(resolved.volatility[row] / now.factors.level[factor + 3] - 1).max() < 0.4
            variance.append(deviation**2)
        assert (np.diff(variance, axis=0) > 0).all(), name


def test_every_instrument_has_a_value(now: Market, listed: Columns) -> None:
    names = listed.texts("instrument")
    positions = Columns.of("one of each", account=["A"] * len(names), instrument=names, quantity=[1.0] * len(names))
    all_of_them = book.resolve(listed, positions, now)
    value = Reference(now, all_of_them, Explicit.of(np.zeros(6)), 0.0).value_0
    assert np.isfinite(value).all()
    assert (value[all_of_them.instruments.kind == Kind.option] > 0).all()


def test_every_kind_has_accounts_in_members(held: Book, now: Market, listed: Columns) -> None:
    assert held.accounts == 200
    assert len(held.row) == 200 + 8 + 1
    assert {kind: held.kind.count(kind) for kind in KINDS} == {k: 29 if k in KINDS[:4] else 28 for k in KINDS}
    for name, kind in zip(held.row[:200], held.kind, strict=False):
        assert name.startswith(kind.replace("_", "-"))
    assert held.row[200:208] == tuple(f"member-{m}" for m in range(1, 9))
    assert set(held.kind[200:208]) == {"member"}
    quantity = held.quantity.toarray()
    np.testing.assert_array_equal(quantity[:200].sum(axis=0), quantity[200:208].sum(axis=0))
    np.testing.assert_array_equal(quantity, np.rint(quantity))
    _, accounts = sample_positions(now, listed)
    kinds_by_member = dict.fromkeys(accounts.texts("parent")[:200], 0)
    assert len(kinds_by_member) == 8


def test_covered_calls_are_long_what_they_are_short(legs: Legs, held: Book) -> None:
    multiplier = dict(zip(held.instruments.name, held.instruments.multiplier, strict=True))
    for name, position in legs("covered_call"):
        (spot, units), (call, short) = sorted(position.items(), key=lambda leg: not leg[0].endswith("-SPOT"))
        assert spot.split("-")[0] == call.split("-")[0], name
        assert call.endswith("-C"), name
        assert units * multiplier[spot] == -short * multiplier[call] > 0, name


def test_short_straddles_lose_on_both_sides(now: Market, held: Book, legs: Legs) -> None:
    assert (price_moves(now, held, 0.10, "short_straddle") < 0).all()
    for _, position in legs("short_straddle"):
        (call, calls), (put, puts) = sorted(position.items())
        assert calls == puts < 0
        assert call[:-1] == put[:-1]


def test_put_spreads_are_long_one_short_one(legs: Legs) -> None:
    directions = set()
    for name, position in legs("put_spread"):
        upper, lower = sorted(position, key=lambda leg: -float(leg.split("-")[-2]))
        assert upper.endswith("-P"), name
        assert lower.endswith("-P"), name
        assert upper.rsplit("-", 2)[0] == lower.rsplit("-", 2)[0], name  # the same underlying and expiry
        assert position[upper] == -position[lower], name
        directions.add(np.sign(position[upper]))
    assert directions == {-1, 1}  # some are bought, some sold


def test_butterflies_net_to_nothing_and_lose_no_more_than_their_width(now: Market, held: Book, legs: Legs) -> None:
    multiplier = dict(zip(held.instruments.name, held.instruments.multiplier, strict=True))
    bounds = []
    for name, position in legs("butterfly"):
        by_strike = sorted(position, key=lambda leg: float(leg.split("-")[-2]))
        lower, middle, upper = (float(leg.split("-")[-2]) for leg in by_strike)
        quantity = [position[leg] for leg in by_strike]
        assert quantity == [quantity[0], -2 * quantity[0], quantity[0]], name
        assert upper - middle == middle - lower > 0, name
        bounds.append(abs(quantity[0]) * multiplier[by_strike[0]] * (middle - lower))
    moved = price_moves(now, held, 0.5, "butterfly")
    assert (np.abs(moved) <= np.array(bounds)[:, None]).all()


def test_market_makers_are_hedged(now: Market, held: Book, legs: Legs) -> None:
    """Delta by bumping, against the sum of the deltas' sizes."""
    bumped = price_moves(now, held, 1e-4, "market_maker") @ np.array([-0.5, 0.5])
    apart = replace(held, quantity=abs(held.quantity))
    calls = np.array([name.endswith("-C") for name in held.instruments.name])
    gross = np.zeros(len(bumped))
    for side in (calls, ~calls):  # calls and futures have positive deltas and puts negative ones
        one = replace(apart, quantity=(apart.quantity * side).tocsr())
        gross += np.abs(price_moves(now, one, 1e-4, "market_maker") @ np.array([-0.5, 0.5]))
    assert (np.abs(bumped) < 0.01 * gross).all()
    for name, position in legs("market_maker"):
        options = [q for leg, q in position.items() if not leg.endswith("-F")]
        assert 30 <= len(options) <= 60, name
        assert min(options) < 0 < max(options), name
        assert len({leg.split("-")[0] for leg in position}) == 1, name


def test_futures_spreads_are_long_one_index_and_short_the_other(now: Market, held: Book, legs: Legs) -> None:
    spread = price_moves(now, held, 0.10, "futures_spread")
    for (name, position), pnl in zip(legs("futures_spread"), spread, strict=True):
        assert all(leg.endswith("-F") and not leg.startswith("WTI") for leg in position), name
        front = {leg.split("-")[0]: q for leg, q in position.items() if "2019-03" in leg}
        assert front["SPX"] * front["NASDAQ"] < 0, name
        assert sum(q for leg, q in position.items() if "2019-03" not in leg) == 0, name  # the calendar spread
        one_side = abs(front["SPX"]) * 50 * now.factors.level[0] * 0.10
        assert np.abs(pnl).max() < 0.55 * one_side, name  # whole contracts: the legs differ by half a contract


def test_directional_accounts_are_bulls_or_bears(now: Market, held: Book) -> None:
    moved = np.sign(price_moves(now, held, 0.05, "directional"))
    assert {tuple(row) for row in moved.tolist()} == {(-1.0, 1.0), (1.0, -1.0)}


def test_sizes_differ(legs: Legs) -> None:
    sizes = sorted(-min(position.values()) for _, position in legs("short_straddle"))
    assert sizes[-1] > 4 * sizes[0] >= 4


def test_a_seed_is_a_book(now: Market, listed: Columns) -> None:
    def cells(table: Columns) -> list[list[object]]:
        return [column.tolist() for column in table.data.values()]

    first, again, other = (sample_positions(now, listed, 50, seed)[0] for seed in (7, 7, 8))
    assert cells(first) == cells(again)
    assert cells(first) != cells(other)
    longer = sample_positions(now, listed, 60, 7)[0]
    assert [column[: len(first)] for column in cells(longer)] == cells(first)


@pytest.mark.parametrize("count", [1, 2, 7, 9])
def test_any_number_of_accounts(now: Market, listed: Columns, count: int) -> None:
    positions, accounts = sample_positions(now, listed, count)
    resolved = book.resolve(listed, positions, now, accounts)
    assert (resolved.accounts, len(resolved.row)) == (count, count + min(count, 8) + 1)


@pytest.mark.parametrize(
    ("accounts", "seed", "message"),
    [(0, 1, r"book\.accounts is 0"), (-3, 1, r"book\.accounts"), (5, -1, r"book\.seed")],
)
def test_bad_settings_are_named(now: Market, listed: Columns, accounts: int, seed: int, message: str) -> None:
    with pytest.raises(SettingError, match=message):
        sample_positions(now, listed, accounts, seed)


def test_runs_in_a_blink(now: Market, held: Book) -> None:
    years = 1 / now.steps_per_year
    engine = Reference(now, held, Simulated(Gaussian().law(now, years, np.zeros(6)), 20_000), 1 / 365)
    began = time.perf_counter()
    pnl = engine.pnl(0, 20_000)
    assert time.perf_counter() - began < 10.0  # a fraction of a second, on a machine that is not busy
    assert np.isfinite(pnl).all()
    assert (pnl.std(axis=1) > 0).all()
    assert engine.settling == 0
