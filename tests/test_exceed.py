"""Losses beyond thresholds: counted and summed on every engine, as a plain count of all losses says."""

from __future__ import annotations

from collections.abc import Callable
from math import sqrt
from typing import Any

import numpy as np
import pytest
from scipy.stats import norm

from mcvar.book import Book
from mcvar.engines import Device, Launcher, Reference
from mcvar.errors import SettingError
from mcvar.jobs.exceed import Exceedances, exceedances
from mcvar.market import Market
from mcvar.models import Gaussian
from mcvar.precision import Precision
from mcvar.scenarios import Explicit, Scenarios, Simulated
from mcvar.tail import Tail

MakeLauncher = Callable[..., Launcher]
YEARS = 10 / 365
GPU = pytest.param("cuda", {}, marks=pytest.mark.gpu)
PLACES = [("numpy", {}), ("native", {}), ("emulated", {"order": "shuffled"}), GPU]


@pytest.fixture(scope="module")
def book(every_market: Market, make_book: Callable[..., Book]) -> Book:
    """Options and a future, an account in another currency, one that is empty: seven rows."""
    rows: list[dict[str, Any]] = [{"instrument": "F", "kind": "future", "underlying": "XYZ", "years": 0.5}]
    for strike in (90, 100, 110):
        for way in ("call", "put"):
            terms = {"kind": "option", "underlying": "XYZ", "strike": strike, "option_type": way, "years": 0.3}
            rows.append({**terms, "instrument": f"{way}-{strike}"})
    held = [("all", str(row["instrument"]), 1.5 - at) for at, row in enumerate(rows)]
    held += [("one", "put-90", -3.0), ("zero", "F", 0.0), ("euros", "call-100", -7.0), ("euros", "F", 5.0)]
    held += [("long", "call-110", 4.0)]
    accounts = [
        {"account": "all", "parent": "house"}, {"account": "one"}, {"account": "zero"},
        {"account": "euros", "currency": "EUR", "parent": "house"}, {"account": "long"},
    ]  # fmt: skip
    return make_book(every_market, rows, held, accounts)


def make(
    market: Market, book: Book, launcher: MakeLauncher, place: str, how: dict[str, Any], scenarios: Scenarios
) -> Reference | Device:
    if place == "numpy":
        return Reference(market, book, scenarios, YEARS)
    return Device(market, book, scenarios, YEARS, launcher=launcher(place, Precision.fp64, **how))


def law(market: Market, count: int = 5_000) -> Simulated:
    return Simulated(Gaussian().law(market, YEARS, np.zeros(len(market.factors))), count, seed=11)


def counted(made: Reference | Device, threshold: np.ndarray, start: int, stop: int, keep: int) -> Exceedances:
    """By hand, from all losses at once."""
    loss = 0.0 - made.pnl(start, stop)
    over = loss[:, None, :] - threshold[:, :, None]
    over = np.where(over > 0, over, 0.0)
    return Exceedances(threshold, stop - start, (over > 0).sum(axis=2), over.sum(axis=2), Tail.of(loss, start, keep))


@pytest.mark.parametrize(("place", "how"), PLACES)
def test_counts_sums_and_worst_are_those_of_all_losses(
    every_market: Market, book: Book, launcher: MakeLauncher, place: str, how: dict[str, Any]
) -> None:
    start, stop = 1_024, 2_048 if place == "emulated" else 5_000
    made = make(every_market, book, launcher, place, how, law(every_market))
    loss = 0.0 - made.pnl(start, stop)
    threshold = np.quantile(loss, [0.2, 0.9, 0.999], axis=1).T
    threshold = np.column_stack([threshold, loss[:, 3], loss.max(axis=1), loss.max(axis=1) + 1])  # hit, and never
    threshold[0, 1] = np.nan
    found, want = exceedances(made, threshold, start, stop, keep=7), counted(made, threshold, start, stop, 7)
    assert found.scenarios == stop - start
    assert np.array_equal(found.count, want.count)
    np.testing.assert_allclose(found.excess, want.excess, rtol=1e-11)
    assert np.array_equal(found.tail.loss, want.tail.loss)
    assert np.array_equal(found.tail.scenario, want.tail.scenario)
    assert np.isnan(found.probability[0, 1])
    assert found.count[0, 1] == 0
    assert (found.count[:, -2:] == 0).all()
    assert found.tail.scenario[1, 0] == start + loss[1].argmax()


def test_workers_and_chunks_change_no_bit(every_market: Market, book: Book) -> None:
    made = Reference(every_market, book, law(every_market, 20_000), YEARS)
    threshold = np.quantile(0.0 - made.pnl(0, 1_000), [0.5, 0.99], axis=1).T
    first = exceedances(made, threshold, 0, 20_000, keep=50)
    for workers, chunk in ((3, 1_024), (2, 8_192), (1, 2_048)):
        again = exceedances(made, threshold, 0, 20_000, keep=50, workers=workers, chunk=chunk)
        assert np.array_equal(again.count, first.count)
        assert np.array_equal(again.excess.view(np.int64), first.excess.view(np.int64))
        assert np.array_equal(again.tail.scenario, first.tail.scenario)


@pytest.mark.parametrize(("place", "how"), [PLACES[0], PLACES[1], GPU])
def test_scenarios_in_the_order_of_their_losses(
    every_market: Market, book: Book, launcher: MakeLauncher, place: str, how: dict[str, Any]
) -> None:
    """Every one is worse than all before, and many are equal."""
    moves = np.zeros((6_000, len(every_market.factors)))
    moves[:, 0] = np.repeat(np.linspace(0.2, -0.2, 3_000), 2)
    made = make(every_market, book, launcher, place, how, Explicit.of(moves))
    threshold = np.median(0.0 - made.pnl(0, 6_000), axis=1)[:, None]
    found, want = exceedances(made, threshold, 0, 6_000, keep=3), counted(made, threshold, 0, 6_000, 3)
    assert np.array_equal(found.count, want.count)
    assert np.array_equal(found.tail.loss, want.tail.loss)
    assert np.array_equal(found.tail.scenario, want.tail.scenario)


def test_a_normal_loss_exceeds_as_often_and_by_as_much_as_it_should(
    make_market: Callable[..., Market], make_book: Callable[..., Book], launcher: MakeLauncher
) -> None:
    market = make_market([{"factor": "A", "level": 50.0, "volatility": 10.0, "shock": "absolute"}])
    book = make_book(market, [{"instrument": "A", "kind": "spot", "underlying": "A"}], [("x", "A", -3.0)])
    count, sd = 200_000, 3 * 10 * sqrt(YEARS)
    made = Device(market, book, law(market, count), YEARS, launcher=launcher("native"))
    found = exceedances(made, np.full(2, 2.0 * sd), 0, count)
    p = norm.sf(2.0)
    assert abs(found.probability[0, 0] - p) <= 4 * sqrt(p * (1 - p) / count)
    expected = sd * (norm.pdf(2.0) - 2.0 * p)  # E max(L - t, 0)
    assert abs(found.excess[0, 0] / count - expected) <= 4 * sd * sqrt(p / count)


def test_what_is_refused(every_market: Market, book: Book) -> None:
    made = Reference(every_market, book, law(every_market), YEARS)
    with pytest.raises(SettingError, match=r"shape \(2,\): give one or more for each of 7 rows"):
        exceedances(made, np.zeros(2), 0, 10)
    with pytest.raises(SettingError, match="thresholds of 'one' are infinite"):
        exceedances(made, np.where(np.arange(7) == 1, -np.inf, 0.0), 0, 10)
    with pytest.raises(SettingError, match="keep is 0"):
        exceedances(made, np.zeros(7), 0, 10, keep=0)
