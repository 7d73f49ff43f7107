"""Segments of the scenarios of a run: their tails merge into the tail of all, bit for bit, on every engine."""

from __future__ import annotations

from collections.abc import Callable
from itertools import pairwise
from typing import Any

import numpy as np
import pytest
import small

from mcvar.book import Book
from mcvar.engines import Device, Launcher, Reference
from mcvar.jobs.segment import whole_tail
from mcvar.market import Market
from mcvar.models import StudentT
from mcvar.moments import Moments
from mcvar.scenarios import Explicit, Simulated
from mcvar.shards import simulate
from mcvar.sweep import sweep
from mcvar.tail import Tail

MakeLauncher = Callable[..., Launcher]
YEARS = 10 / 365
PLACES = ["numpy", "native", "emulated", pytest.param("cuda", marks=pytest.mark.gpu)]
EDGES = {  # uneven, not in whole blocks; beyond a pilot where the engine has one
    "numpy": [0, 2_500, 3_000, 9_000],
    "native": [0, 10_000, 16_400, 40_001],
    "cuda": [0, 10_000, 16_400, 40_001],
    "emulated": [0, 1_500, 1_600, 4_100],
}


@pytest.fixture(autouse=True)
def _small_pilots(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("mcvar.sweep.PILOT", 1024)  # so that all but the smallest segments have one


@pytest.fixture(scope="module")
def market(make_market: Callable[..., Market]) -> Market:
    return small.market(make_market)


@pytest.fixture(scope="module")
def held(market: Market, make_book: Callable[..., Book]) -> Book:
    return small.book(market, make_book)


def made_at(place: str, market: Market, book: Book, scenarios: Any, launcher: MakeLauncher) -> Reference | Device:
    if place == "numpy":
        return Reference(market, book, scenarios, YEARS)
    return Device(market, book, scenarios, YEARS, launcher=launcher(place))


@pytest.mark.parametrize("place", PLACES)
def test_segments_merge_into_one_run(market: Market, held: Book, launcher: MakeLauncher, place: str) -> None:
    edges, depth = EDGES[place], 150
    law = StudentT().law(market, YEARS, np.zeros(3))
    made = made_at(place, market, held, Simulated(law, edges[-1], seed=5), launcher)
    done: list[int] = []
    parts = [whole_tail(made, a, b, depth, workers=2, chunk=1024, progress=done.append) for a, b in pairwise(edges)]
    assert sum(done) == edges[-1]
    one, of_one = whole_tail(made, 0, edges[-1], depth, workers=1, chunk=2048)
    assert one.loss[held.row.index("still")].tolist() == [0.0] * depth  # equal losses, the earliest kept
    assert one.scenario[held.row.index("still")].tolist() == list(range(depth))
    tails, moments = [part for part, _ in parts], [part for _, part in parts]
    for a, b, c in ((0, 1, 2), (2, 0, 1)):
        merged = tails[a].merge(tails[b]).merge(tails[c])
        assert merged.count == one.count == edges[-1]
        assert np.array_equal(merged.loss[:, :depth], one.loss)
        assert np.array_equal(merged.scenario[:, :depth], one.scenario)
    together = moments[0].merge(moments[1]).merge(moments[2])
    scale = np.maximum(np.sqrt(of_one.variance), 1e-300)
    assert (np.abs(together.mean - of_one.mean) <= 1e-12 * np.maximum(scale, np.abs(of_one.mean))).all()
    for name in ("m2", "m3", "m4"):
        largest = np.maximum(np.abs(getattr(of_one, name)), scale ** int(name[1]) * edges[-1])
        assert (np.abs(getattr(together, name) - getattr(of_one, name)) <= 1e-11 * largest).all()
    loss = 0.0 - made.pnl(edges[1], edges[2])  # and a segment is what it says
    assert np.array_equal(tails[1].loss, Tail.of(loss, edges[1], depth).loss)
    assert np.array_equal(tails[1].scenario, Tail.of(loss, edges[1], depth).scenario)


@pytest.mark.parametrize("place", PLACES[1:])
def test_a_pilot_of_a_segment_finds_equal_losses_where_they_are(
    market: Market, held: Book, launcher: MakeLauncher, place: str
) -> None:
    # A bound is a loss and a scenario. Where all losses are equal only the scenario tells, from the segment's start.
    start, count = 3_000, 6_000
    law = StudentT().law(market, YEARS, np.zeros(3))
    made = made_at(place, market, held, Simulated(law, start + count, seed=5), launcher)
    assert isinstance(made, Device)
    spans = [(1, 100), (2_000, 2_010)]
    tail, moments, failed = sweep(made, count, spans, start=start)
    assert len(failed) == 0
    assert tail.kept.capacity < count / 2
    loss = 0.0 - made.pnl(start, start + count)
    want = Tail.of(loss, start, 2_010)
    for first, last in spans:
        got = tail.part(last, first, last)
        assert np.array_equal(got[0], want.loss[:, first - 1 : last])
        assert np.array_equal(got[1], want.scenario[:, first - 1 : last])
    np.testing.assert_allclose(moments.variance, Moments.of(loss).variance, rtol=1e-11)


@pytest.mark.parametrize("place", PLACES)
def test_rows_that_a_pilot_misses_are_whole_all_the_same(
    market: Market, held: Book, launcher: MakeLauncher, place: str
) -> None:
    moves = np.zeros((3_000, 3))
    moves[:, 0] = np.linspace(0.2, -0.2, 3_000)  # the pilot sees the best of the scenarios only
    scenarios = Explicit.of(moves)
    made = made_at(place, market, held, scenarios, launcher)
    if isinstance(made, Device):
        assert len(sweep(made, 2_900, [(1, 100)], start=100)[2]) > 0
    tail, _ = whole_tail(made, 100, 3_000, 100, workers=1, chunk=1024)
    want = Tail.of(0.0 - made.pnl(100, 3_000), 100, 100)
    assert np.array_equal(tail.loss, want.loss)
    assert np.array_equal(tail.scenario, want.scenario)
    assert tail.count == 2_900


def test_a_segment_shorter_than_the_tail_is_whole(market: Market, held: Book) -> None:
    law = StudentT().law(market, YEARS, np.zeros(3))
    made = Reference(market, held, Simulated(law, 500, seed=5), YEARS)
    tail, moments = whole_tail(made, 490, 500, 100, workers=1, chunk=1024)
    assert tail.loss.shape == (made.rows, 10)
    assert sorted(tail.scenario[0].tolist()) == list(range(490, 500))
    assert moments.count == tail.count == 10


@pytest.mark.parametrize("start", [0, 1_500])
def test_workers_and_chunks_change_no_bit_of_a_segment(market: Market, held: Book, start: int) -> None:
    law = StudentT().law(market, YEARS, np.zeros(3))
    made = Reference(market, held, Simulated(law, 6_000, seed=5), YEARS)
    one, of_one = simulate(made, 4_000, 50, start=start, chunk=1024)
    other, of_other = simulate(made, 4_000, 50, start=start, chunk=4096, workers=2)
    assert np.array_equal(one.loss, other.loss)
    assert np.array_equal(one.scenario, other.scenario)
    assert np.array_equal(of_one.m4, of_other.m4)
