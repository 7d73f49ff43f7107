"""What is kept of paths: statistics of every model's, the running minimum, and settlement on the way."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace
from math import exp, sqrt

import numpy as np
import pytest
from laws import STEPS, every_law, everything_watched
from numpy.typing import NDArray
from scipy.special import ndtr

from mcvar.book import Book
from mcvar.engines import Reference
from mcvar.engines.rows import Rows
from mcvar.market import Market
from mcvar.models import Drift, Gaussian, Law
from mcvar.pricing.black import black76
from mcvar.scenarios import BLOCK, Simulated
from mcvar.shocks import Shock, moved
from mcvar.watched import Statistic, Watched

Floats = NDArray[np.float64]
MakeMarket = Callable[..., Market]
MakeBook = Callable[..., Book]


def reduced(statistic: Statistic, levels: Floats, today: float, bound: Floats) -> Floats:
    """What a statistic makes of the levels after each step [T, N]; of a bridge, a bound."""
    path = np.concatenate([np.full((1, levels.shape[1]), today), levels])
    with np.errstate(divide="ignore"):  # levels of absolute and simple shocks reach 0
        logs = np.log(np.maximum(path / today, 0.0))
    match statistic:
        case Statistic.minimum:
            return np.asarray(levels.min(axis=0))
        case Statistic.maximum:
            return np.asarray(levels.max(axis=0))
        case Statistic.average:
            return np.asarray(levels.mean(axis=0))
        case Statistic.log_average:
            return np.asarray(today * np.exp(logs[1:].mean(axis=0)))
        case Statistic.integral:
            return np.asarray(np.trapezoid(path, axis=0) / len(levels))
        case Statistic.log_integral:
            return np.asarray(today * np.exp(np.trapezoid(logs, axis=0) / len(levels)))
        case Statistic.bridge_minimum:
            return np.minimum(bound, path.min(axis=0))
        case _:
            return np.maximum(bound, path.max(axis=0))


def level_of(market: Market, f: int, x: Floats) -> Floats:
    level = market.factors.level[f]
    match market.factors.shock[f]:
        case Shock.log:
            return level * np.exp(x)
        case Shock.simple:
            return np.maximum(level * (1 + x), 0.0)
        case Shock.absolute:
            return level + x


@pytest.mark.parametrize("name", STEPS)
def test_statistics_are_those_of_the_path(every_market: Market, name: str) -> None:
    count, market = 3000, every_market
    law = every_law(market, name, 0.2)
    assert law.steps == STEPS[name]
    watched = tuple(each for each in everything_watched(name) if each.first == 1)
    path = list(law.path(1, 0, count))
    rows = Rows(market, watched, law.variance, 0.2 / law.steps, law.steps)
    moves = rows.moves(Simulated(law, count), 0, count)
    x, v, _ = path[-1]
    size = len(market.factors)
    assert moves.shape == (len(rows), count) == (size + len(watched) + len(v), count)
    np.testing.assert_array_equal(moves[:size], x)
    np.testing.assert_array_equal(moves[size + len(watched) :], v)
    for row, each in zip(moves[size:], watched, strict=False):
        levels = level_of(market, each.factor, np.stack([x[each.factor] for x, *_ in path[: each.step]]))
        kept = moved(market.factors.shock[each.factor], market.factors.level[each.factor], row)
        if each.statistic is Statistic.last:
            np.testing.assert_array_equal(row, path[each.step - 1][0][each.factor])
        else:
            want = reduced(each.statistic, levels, market.factors.level[each.factor], kept)
            np.testing.assert_allclose(kept, want, rtol=1e-11, atol=1e-12)
    later = rows.moves(Simulated(law, count), BLOCK, 2 * BLOCK)  # a block alone; BLAS rounds by shape
    np.testing.assert_allclose(later, moves[:, BLOCK : 2 * BLOCK], rtol=1e-9, atol=1e-12)


def test_statistics_of_some_of_the_steps(every_market: Market) -> None:
    count, market = 500, every_market
    law = every_law(market, "heston", 0.2)
    asked = [
        Watched(0, Statistic.minimum, 8, first=2, every=3), Watched(0, Statistic.maximum, 10, first=10),
        Watched(0, Statistic.average, 9, first=3, every=2), Watched(0, Statistic.integral, 7, first=4),
    ]  # fmt: skip
    path = np.stack([level_of(market, 0, x[0]) for x, *_ in law.path(1, 0, count)])
    moves = Rows(market, tuple(asked), law.variance, 0.02, 10).moves(Simulated(law, count), 0, count)
    kept = [level_of(market, 0, row) for row in moves[len(market.factors) :]]
    np.testing.assert_allclose(kept[0], path[[1, 4, 7]].min(axis=0), rtol=1e-12)
    np.testing.assert_allclose(kept[1], path[9], rtol=1e-12)
    np.testing.assert_allclose(kept[2], path[[2, 4, 6, 8]].mean(axis=0), rtol=1e-12)
    np.testing.assert_allclose(kept[3], np.trapezoid(path[2:7], axis=0) / 4, rtol=1e-12)


@pytest.mark.parametrize("steps", [1, 7])
def test_a_bridge_has_the_law_of_a_path_that_is_always_watched(make_market: MakeMarket, steps: int) -> None:
    """Of a Brownian motion without drift: P(min <= -m) = 2 Phi(-m), and the mirror image."""
    market = make_market([{"factor": "A", "level": 100.0, "volatility": 0.2}])
    law = Gaussian().law(market, 1.0, np.zeros(1), steps)
    count, depth = 400_000, np.array([0.05, 0.5, 1.0, 2.0]) * 0.2
    for statistic, side in ((Statistic.bridge_minimum, -1), (Statistic.bridge_maximum, 1)):
        reached = (side * running(market, law, statistic, count)[:, None] >= depth).mean(axis=0)
        want = 2 * ndtr(-depth / 0.2)
        assert (np.abs(reached - want) < 4 * np.sqrt(want * (1 - want) / count)).all()


def running(market: Market, law: Law, statistic: Statistic, count: int) -> Floats:
    rows, step = Rows(market, (Watched(0, statistic, law.steps),), None, 1.0, law.steps), 50_000
    parts = [rows.moves(Simulated(law, count, 31), at, at + step)[1] for at in range(0, count, step)]
    return np.concatenate(parts)


def hit(barrier: float, drift: float, deviation: float) -> float:
    """P(min of a Brownian path with drift over [0, 1] <= -barrier), by reflection."""
    through = exp(-2 * drift * barrier / deviation**2) * ndtr((drift - barrier) / deviation)
    return float(ndtr((-barrier - drift) / deviation) + through)


@pytest.mark.parametrize("carry", [-1.2, 0.0, 0.8])
def test_running_minimum_and_maximum(make_market: MakeMarket, carry: float) -> None:
    # Watched at n steps a path crosses as one watched always does a barrier further away, by 0.5826 deviations of a
    # step (Broadie, Glasserman and Kou, "A continuity correction for discrete barrier options", 1997).
    years, steps, count, volatility = 0.25, 50, 200_000, 0.4
    market = make_market([{"factor": "A", "level": 100.0, "volatility": volatility}])
    law = Gaussian(Drift.risk_neutral).law(market, years, np.array([carry]), steps)
    drift, deviation = (carry - volatility**2 / 2) * years, volatility * sqrt(years)
    shift = 0.5826 * deviation / sqrt(steps)
    for statistic, sign in ((Statistic.minimum, 1), (Statistic.maximum, -1)):
        kept = sign * running(market, law, statistic, count)
        for barrier in (0.5 * deviation, deviation, 1.8 * deviation):
            seen = (kept <= -barrier).mean()
            want, always = hit(barrier + shift, sign * drift, deviation), hit(barrier, sign * drift, deviation)
            error = sqrt(want * (1 - want) / count)
            assert abs(seen - want) < 4 * error + 5e-4  # the correction is of first order in 1 / sqrt(n)
            assert always - seen > 4 * error  # watching at steps only is seen


def test_average_of_a_path(make_market: MakeMarket) -> None:
    # E[average of S] = S_0 mean exp(carry t_k): equal steps, today not among them.
    years, steps, count, carry = 1.0, 12, 200_000, 0.3
    market = make_market([{"factor": "A", "level": 100.0, "volatility": 0.3}])
    law = Gaussian(Drift.risk_neutral).law(market, years, np.array([carry]), steps)
    end = 100 * np.exp(running(market, law, Statistic.average, count))
    want = 100 * np.exp(carry * years * np.arange(1, steps + 1) / steps).mean()
    assert abs(end.mean() - want) < 4 * end.std() / sqrt(count)
    times = np.arange(1, steps + 1) / steps  # E[S_s S_t] = S_0^2 exp(carry (s + t) + variance min(s, t))
    second = np.exp(carry * (times[:, None] + times) + 0.09 * np.minimum(times[:, None], times)).mean() * 1e4
    assert abs((end**2).mean() - second) < 4 * (end**2).std() / sqrt(count)


# Settlement on the way.

HORIZON, RATE = 0.1, 0.03
# Years to expiry, and at which of five steps of 0.02 it is settled: the first at or after it.
SETTLED = {0.001: 1, 0.02: 1, 0.0201: 2, 0.04: 2, 0.07: 4, 0.0801: 5, 0.1: 5}


def on_the_way(make_market: MakeMarket, make_book: MakeBook, shock: str, years: float, steps: int) -> Reference:
    volatility = 15.0 if shock == "absolute" else 0.4
    factors = [
        {"factor": "A", "level": 50.0, "volatility": volatility, "shock": shock},
        {"factor": "B", "level": 10.0, "volatility": 0.3},
    ]
    market = make_market(factors, correlation=[[1.0, 0.5], [0.5, 1.0]])
    rows = []
    for expiry in (*SETTLED, 0.3):
        common = {"underlying": "A", "years": expiry, "carry": 0.02}
        option = {**common, "kind": "option", "strike": 51.0, "volatility": 0.35, "rate": RATE}
        rows += [{**option, "instrument": f"{kind}-{expiry}", "option_type": kind} for kind in ("call", "put")]
        rows.append({**common, "instrument": f"future-{expiry}", "kind": "future"})
    rows.append({"instrument": "spot", "kind": "spot", "underlying": "B"})
    book = make_book(market, rows, [(str(row["instrument"]), str(row["instrument"]), 1.0) for row in rows])
    law = Gaussian().law(market, HORIZON, np.zeros(2), steps)
    return Reference(market, book, Simulated(law, 2000, seed=2), years)


def black(spot: Floats, kind: str, left: float) -> Floats:
    deviation, sign = np.float64(0.35 * sqrt(left)), np.float64(1.0 if kind == "call" else -1.0)
    return black76(spot * np.exp(0.02 * left), np.float64(51.0), deviation, sign) * exp(-RATE * left)


@pytest.mark.parametrize("shock", ["log", "simple", "absolute"])
@pytest.mark.parametrize("steps", [1, 5])
def test_settlement_at_the_step_of_expiry(make_market: MakeMarket, make_book: MakeBook, shock: str, steps: int) -> None:
    engine = on_the_way(make_market, make_book, shock, HORIZON, steps)
    law = engine.scenarios.law  # type: ignore[attr-defined]
    path = [level_of(engine.market, 0, x[0]) for x, *_ in law.path(2, 0, 2000)]
    pnl = dict(zip(engine.book.row, engine.pnl(0, 2000), strict=True))
    today = np.array([50.0])
    for expiry, step in SETTLED.items():
        spot = path[step - 1] if steps > 1 else path[-1]
        for kind, sign in (("call", 1), ("put", -1)):
            want = np.maximum(sign * (spot - 51.0), 0.0) - black(today, kind, expiry)
            np.testing.assert_allclose(pnl[f"{kind}-{expiry}"], want, rtol=1e-9, atol=1e-9)
        np.testing.assert_allclose(pnl[f"future-{expiry}"], spot - 50.0 * exp(0.02 * expiry), rtol=1e-9, atol=1e-9)
    for kind in ("call", "put"):  # beyond the horizon
        want = black(path[-1], kind, 0.3 - HORIZON) - black(today, kind, 0.3)
        np.testing.assert_allclose(pnl[f"{kind}-0.3"], want, rtol=1e-9, atol=1e-9)
    assert engine.settling == 3 * len(SETTLED)
    watched = {w.step for w in engine.axes.watched}
    assert watched == ({1, 2, 4} if steps > 1 else set())  # the last step is the horizon itself
    rows = engine.moves(0, 2000)
    for row, each in zip(rows[2:], engine.axes.watched, strict=True):
        assert each == Watched(0, Statistic.last, each.step)
        np.testing.assert_allclose(level_of(engine.market, 0, row), path[each.step - 1], rtol=1e-9)


def test_nothing_settles_where_time_stands_still(make_market: MakeMarket, make_book: MakeBook) -> None:
    engine = on_the_way(make_market, make_book, "log", 0.0, 5)
    assert engine.axes.watched == ()
    assert engine.settling == 0
    spot = 50.0 * np.exp(engine.moves(0, 2000)[0])
    pnl = dict(zip(engine.book.row, engine.pnl(0, 2000), strict=True))
    for expiry in (0.001, 0.07, 0.3):
        want = black(spot, "call", expiry) - black(np.array([50.0]), "call", expiry)
        np.testing.assert_allclose(pnl[f"call-{expiry}"], want, rtol=1e-8, atol=1e-9)


def test_what_is_asked_for_and_what_settles_share_rows(make_market: MakeMarket, make_book: MakeBook) -> None:
    plain = on_the_way(make_market, make_book, "log", HORIZON, 5)
    also = (Watched(0, Statistic.minimum, 5), Watched(0, Statistic.last, 2), Watched(1, Statistic.average, 3))
    engine = Reference(plain.market, plain.book, replace(plain.scenarios, count=2000), HORIZON, also)
    assert engine.axes.watched[:3] == also
    assert sorted(w.step for w in engine.axes.watched if w.statistic is Statistic.last) == [1, 2, 4]
    np.testing.assert_array_equal(engine.pnl(0, 2000), plain.pnl(0, 2000))
