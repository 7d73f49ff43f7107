"""Segments of the scenarios of a run: their tails merge into the tail of all, bit for bit, on every engine."""

from __future__ import annotations

from collections.abc import Callable
from itertools import pairwise
from typing import Any

import numpy as np
import pytest
import small
from hypothesis import given, settings
from hypothesis import strategies as st
from numpy.typing import NDArray

from mcvar.book import Book
from mcvar.engines import Device, Launcher, Reference
from mcvar.jobs.segment import extended, whole_tail
from mcvar.market import Market
from mcvar.models import StudentT
from mcvar.moments import Moments
from mcvar.scenarios import Explicit, Simulated
from mcvar.shards import simulate
from mcvar.sweep import sweep
from mcvar.tail import Tail

Floats = NDArray[np.float64]
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


# Equal losses, of which the lower scenario is the worse.


class Written:
    """An engine that gives losses written down, and counts how many scenarios it is asked for."""

    settling = 0

    def __init__(self, loss: Floats) -> None:
        self.loss, self.valued, self.rows = loss, 0, len(loss)

    def pnl(self, start: int, stop: int) -> Floats:
        assert 0 <= start < stop <= self.loss.shape[1]
        self.valued += stop - start
        return 0.0 - self.loss[:, start:stop]


@given(
    losses=st.lists(st.tuples(*[st.integers(-2, 2)] * 3), min_size=3, max_size=60),
    cut=st.integers(1, 59),
    depths=st.tuples(st.integers(1, 30), st.integers(1, 30)),
    least=st.integers(1, 30),
    more=st.integers(0, 5),
    step=st.integers(1, 20),
)
@settings(max_examples=300, deadline=None, derandomize=True)
def test_equal_losses_that_were_cut_off_are_found_again(
    losses: list[tuple[int, ...]], cut: int, depths: tuple[int, int], least: int, more: int, step: int
) -> None:
    loss = np.array(losses, dtype=float).T
    count, cut = len(losses), min(cut, len(losses) - 1)
    first, second = min(depths[0], cut), min(depths[1], count - cut)
    engine: Any = Written(loss)
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr("mcvar.jobs.segment.BLOCK", step)
        tail, part = Tail.of(loss[:, :cut], 0, first), Tail.of(loss[:, cut:], cut, second)
        found = extended(engine, tail, part, least, least + more)
    # What is kept says how many losses are at least as large as the last that is kept where something was cut off.
    known = []
    for r in range(3):
        last = [t.loss[r, -1] for t, n in ((tail, cut), (part, count - cut)) if t.loss.shape[1] < n]
        kept = np.concatenate([tail.loss[r], part.loss[r]])
        known.append(len(kept) if not last else int((kept >= max(last)).sum()))
    if found is None:
        assert min(known) < least
        return
    assert least <= min(known)
    depth = found.loss.shape[1]
    assert least <= depth <= least + more
    want = Tail.of(loss, 0, depth)
    assert np.array_equal(found.loss, want.loss)
    assert np.array_equal(found.scenario, want.scenario)
    assert found.count == count
    assert engine.valued <= count


def test_equal_losses_are_looked_for_where_they_are() -> None:
    # The first row has lost all that it can in one of fifty scenarios, the second always, the third hardly ever.
    rng = np.random.default_rng(2)
    loss = np.stack([np.minimum(rng.normal(size=60_000), 2.054), np.zeros(60_000), rng.normal(size=60_000)])
    engine: Any = Written(loss)
    tail, part = Tail.of(loss[:, :30_000], 0, 300), Tail.of(loss[:, 30_000:], 30_000, 300)
    found = extended(engine, tail, part, 450, 500)
    assert found is not None
    want = Tail.of(loss, 0, found.loss.shape[1])
    assert 450 <= found.loss.shape[1] <= 500
    assert np.array_equal(found.scenario, want.scenario)
    first, last = tail.scenario[0, -1], want.scenario[0, -1]
    assert 10_000 < first < last < 30_000
    assert engine.valued < last - first + 4 * 1_024
    assert extended(engine, tail, part, 590, 600) is None  # the third row is not known so far


def test_moments_of_a_segment_are_those_of_its_own_blocks() -> None:
    loss = np.random.default_rng(4).normal(size=(2, 150_000))
    one, other = (simulate(Written(loss), 140_000, 10, start=1024, chunk=chunk)[1] for chunk in (1024, 8192))
    assert np.array_equal(one.m4, other.m4)
    np.testing.assert_allclose(one.m4, Moments.of(loss[:, 1024:141_024]).m4, rtol=1e-12)
