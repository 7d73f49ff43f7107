from itertools import pairwise
from random import Random

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from numpy.typing import NDArray

from mcvar.tail import Candidates, Collector, Tail, collector_width

Floats = NDArray[np.float64]


def sorted_tail(loss: Floats, depth: int) -> tuple[list[list[float]], list[list[int]]]:
    """The specification: a full sort of (-loss, scenario)."""
    order = [sorted(range(len(row)), key=lambda n, row=row: (-row[n], n))[:depth] for row in loss]
    return [[float(row[n]) for n in at] for row, at in zip(loss, order, strict=True)], order


def assert_is(tail: Tail, loss: Floats, depth: int) -> None:
    values, scenarios = sorted_tail(loss, depth)
    assert tail.loss.tolist() == values
    assert tail.scenario.tolist() == scenarios
    assert tail.count == loss.shape[1]


def collect(loss: Floats, depth: int, chunk: int, *, lag: int = 0) -> Tail:
    """Chunk by chunk; with a lag, candidates are filtered by the threshold of some chunks before, as in threads."""
    collector = Collector(len(loss), depth, chunk)
    thresholds = [collector.threshold.copy()] * (lag + 1)
    for start in range(0, loss.shape[1], chunk):
        collector.add(Candidates.of(loss[:, start : start + chunk], start, thresholds[-1 - lag]))
        thresholds.append(collector.threshold.copy())
    return collector.tail()


rng = np.random.default_rng(3)
LOSSES = {
    "normal": rng.normal(size=(4, 3000)),
    "ties": rng.integers(-3, 4, (4, 3000)).astype(float),
    "constant": np.full((3, 3000), -2.5),
    "rising": np.arange(6000.0).reshape(2, 3000),
    "falling": -np.arange(6000.0).reshape(2, 3000),
    "one row still": np.concatenate([np.zeros((1, 3000)), rng.normal(size=(1, 3000))]),
}


@pytest.mark.parametrize("lag", [0, 3])
@pytest.mark.parametrize("chunk", [1, 7, 256, 1024, 3000, 5000])
@pytest.mark.parametrize("depth", [1, 2, 40, 2999, 3000])
@pytest.mark.parametrize("name", LOSSES)
def test_collector_against_a_full_sort(name: str, depth: int, chunk: int, lag: int) -> None:
    loss = LOSSES[name] if chunk > 1 else LOSSES[name][:, :600]
    depth = min(depth, loss.shape[1])
    assert_is(collect(loss, depth, chunk, lag=lag), loss, depth)


@pytest.mark.parametrize("depth", [1, 40, 3000, 9000])
@pytest.mark.parametrize("name", LOSSES)
def test_tail_of_losses_against_a_full_sort(name: str, depth: int) -> None:
    assert_is(Tail.of(LOSSES[name], 0, depth), LOSSES[name], depth)


def test_a_collector_deeper_than_what_it_saw() -> None:
    assert_is(collect(LOSSES["ties"], 9000, 256), LOSSES["ties"], 9000)


def test_the_collector_is_as_wide_as_it_says() -> None:
    # All losses of a chunk pass while the threshold lags; the width must hold them after a compaction.
    loss = np.arange(10_000.0)[None, :]
    for depth, chunk in ((1, 1000), (999, 1000), (3000, 1000)):
        assert collector_width(depth, chunk) == depth + max(depth, chunk)
        assert_is(collect(loss, depth, chunk, lag=10), loss, depth)


def test_scenarios_count_from_start() -> None:
    tail = Tail.of(np.array([[1.0, 3.0, 2.0]]), 2**33, 2)
    assert tail.scenario.tolist() == [[2**33 + 1, 2**33 + 2]]


@given(
    values=st.lists(st.integers(-3, 3), min_size=2, max_size=40),
    cuts=st.lists(st.integers(1, 39), max_size=6),
    depths=st.lists(st.integers(1, 12), min_size=7, max_size=7),
    order=st.randoms(use_true_random=False),
)
@settings(max_examples=200, deadline=None, derandomize=True)
def test_merging_in_any_order(values: list[int], cuts: list[int], depths: list[int], order: Random) -> None:
    loss = np.array([values, values[::-1]], dtype=float)
    edges = sorted({0, len(values), *(c for c in cuts if c < len(values))})
    spans = list(zip(pairwise(edges), depths, strict=False))
    parts = [Tail.of(loss[:, a:b], a, depth) for (a, b), depth in spans]
    while len(parts) > 1:  # any two at a time
        order.shuffle(parts)
        parts.append(parts.pop().merge(parts.pop()))
    merged = parts[0]
    depth = merged.loss.shape[1]
    assert_is(merged, loss, depth)
    # What a part dropped comes after its last kept loss: a row is known down to the worst of these. Rows that are
    # known to different depths are cut to the least at each merge, but never above the shallowest of the parts.
    cut = [(a, b, k) for (a, b), k in spans if k < b - a]
    known = [_known(row, cut) for row in loss]
    assert min((k for _, _, k in cut), default=len(values)) <= depth <= min(known)


def _known(row: Floats, cut: list[tuple[int, int, int]]) -> int:
    """How many losses come no later than the worst of the last that are kept of the pieces."""
    order = sorted(range(len(row)), key=lambda n: (-row[n], n))
    last = [sorted(range(a, b), key=lambda n: (-row[n], n))[k - 1] for a, b, k in cut]
    return min((order.index(n) + 1 for n in last), default=len(row))


@given(
    values=st.lists(st.integers(-3, 3), min_size=2, max_size=40),
    cut=st.integers(1, 39),
    depths=st.tuples(st.integers(1, 12), st.integers(1, 12)),
)
@settings(max_examples=200, deadline=None, derandomize=True)
def test_a_merge_is_as_deep_as_it_is_known(values: list[int], cut: int, depths: tuple[int, int]) -> None:
    loss = np.array([values], dtype=float)
    cut = min(cut, len(values) - 1)
    edges = [(0, cut, depths[0]), (cut, len(values), depths[1])]
    parts = [Tail.of(loss[:, a:b], a, k) for a, b, k in edges]
    depth = _known(loss[0], [(a, b, k) for a, b, k in edges if k < b - a])
    assert_is(parts[0].merge(parts[1]), loss, depth)
    assert_is(parts[1].merge(parts[0]), loss, depth)  # the later first: equal losses still go to the lower scenario


def test_a_merge_claims_no_more_than_it_knows() -> None:
    # The third worst of all is 7, which the shallow tail has dropped.
    shallow = Tail.of(np.array([[9.0, 8.0, 7.0]]), 0, depth=2)
    deep = Tail.of(np.array([[5.0, 4.0, 3.0, 2.0]]), 3, depth=3)
    assert shallow.merge(deep).loss.tolist() == deep.merge(shallow).loss.tolist() == [[9.0, 8.0]]


def test_a_merge_is_deeper_than_the_shallower_of_its_parts() -> None:
    # All that the shallow tail dropped is below 7; the deep one has more beyond that.
    shallow = Tail.of(np.array([[9.0, 8.0, 7.0, 1.0], [4.0, 3.0, 2.0, 1.0]]), 0, depth=3)
    deep = Tail.of(np.array([[8.5, 7.5, 6.0, 5.0], [1.0, 9.0, 8.0, 7.0]]), 4, depth=3)
    merged = shallow.merge(deep)
    assert merged.loss.tolist() == [[9.0, 8.5, 8.0], [9.0, 8.0, 7.0]]  # the second row is known down to 7 only
    assert merged.scenario.tolist() == [[0, 4, 1], [5, 6, 7]]
    assert shallow.row(0).merge(deep.row(0)).loss.tolist() == [[9.0, 8.5, 8.0, 7.5, 7.0]]


def test_a_tail_that_keeps_nothing_says_nothing() -> None:
    nothing = Tail.of(np.array([[9.0, 8.0]]), 0, depth=0)
    assert nothing.merge(Tail.of(np.array([[5.0]]), 2, depth=1)).loss.shape == (1, 0)
    none = Tail(np.zeros((0, 2)), np.zeros((0, 2), np.int64), 5)
    assert len(none.merge(none).loss) == 0


def test_stacked_rows() -> None:
    loss = LOSSES["ties"]
    stacked = Tail.stack([Tail.of(loss[:1], 0, 50), Tail.of(loss[1:], 0, 50)])
    assert_is(stacked, loss, 50)


# A pilot.


def collect_with_pilot(loss: Floats, depth: int, chunk: int) -> Collector:
    collector = Collector(len(loss), depth, chunk, expected=loss.shape[1])
    for start in range(0, loss.shape[1], chunk):
        collector.add(Candidates.of(loss[:, start : start + chunk], start, collector.threshold))
    return collector


def test_a_pilot_filters_from_the_second_chunk_on_and_changes_nothing() -> None:
    loss = np.random.default_rng(5).normal(size=(6, 50_000))
    loss[1] = 0.0  # ties everywhere
    loss[2] = np.maximum(loss[2], 1.0)  # ties at the threshold
    collector = Collector(6, 500, 1000, expected=50_000)
    collector.add(Candidates.of(loss[:, :1000], 0, collector.threshold))
    assert np.isfinite(collector.threshold).tolist() == [True, False, True, True, True, True]
    whole = collect_with_pilot(loss, 500, 1000)
    assert whole.complete
    assert_is(whole.tail(), loss, 500)


def test_a_pilot_that_was_far_off_is_found_out() -> None:
    falling = np.sort(np.random.default_rng(6).normal(size=(1, 20_000)))[:, ::-1].copy()
    assert not collect_with_pilot(falling, 400, 1000).complete
    assert collect_with_pilot(falling[:, ::-1].copy(), 400, 1000).complete
