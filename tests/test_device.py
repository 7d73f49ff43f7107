"""The kernels through the real driver, native and emulated: the reference's P&L and tail in any order of threads."""

from __future__ import annotations

import os
import re
from collections.abc import Callable
from typing import Any

import laws
import numpy as np
import pytest
from books import gross_value
from numpy.typing import NDArray

from mcvar.book import Book, take_rows
from mcvar.engines import Device, Launcher, Reference
from mcvar.engines.device import SHARD
from mcvar.engines.grid import SORT_CHUNK, STRIP, VALUE_THREADS
from mcvar.engines.kernels import UNITS, source_folder
from mcvar.engines.launcher import PNL, STEP, TAIL
from mcvar.engines.segments import WARP
from mcvar.errors import InputError, McvarError, SettingError
from mcvar.market import Market
from mcvar.models import Gaussian, StudentT
from mcvar.moments import Moments
from mcvar.philox import normals
from mcvar.precision import Precision
from mcvar.scenarios import Explicit, Scenarios, Simulated
from mcvar.sweep import sweep
from mcvar.tail import Tail

Floats = NDArray[np.float64]
MakeLauncher = Callable[..., Launcher]
YEARS = 10 / 365
FP64, FP32 = Precision.fp64, Precision.fp32
WORTH = np.array([1.0, 1.0, 1.0, 60_000.0, 1.1, 1.0, 1.0])  # USD for a unit of each row's currency
TOLERANCE = {FP64: 1e-12, FP32: 3e-6}
GPU = pytest.param("cuda", {}, marks=pytest.mark.gpu)
PLACES = [("native", {}), *(("emulated", {"order": order}) for order in ("forward", "reversed", "shuffled"))]


def tolerance(precision: Precision, place: str) -> float:
    """Of gross value; a GPU's single-precision exponential and reciprocal err by 3e-7 more (kernels/black.cuh)."""
    return 3.0 * TOLERANCE[precision] if place == "cuda" and precision is FP32 else TOLERANCE[precision]


def law(market: Market, model: Any = None, count: int = 3_000, seed: int = 2**63 + 3) -> Simulated:
    return Simulated((model or Gaussian()).law(market, YEARS, np.zeros(9)), count, seed=seed)


COUNT = 500 if os.environ.get("MCVAR_SANITIZED") else 3_000  # scenarios; sanitizers take ten times as long
PLANNED: dict[
    str, tuple[Device, Floats]
] = {}  # engines and the reference's P&L, by model: what is the same for all places


def error(market: Market, book: Book, launcher: Launcher, scenarios: Scenarios, count: int, name: str) -> Floats:
    """Largest difference from the reference of each row, relative to its gross value today or in the scenario."""
    if name not in PLANNED:
        made = Device(market, book, scenarios, YEARS, launcher=launcher)
        PLANNED[name] = made, made.reference.pnl(0, scenarios.count) * WORTH[:, None]
    planned, whole = PLANNED[name]
    device, reference, expected = planned.beside(launcher), planned.reference, whole[:, :count]
    assert device.settling == reference.settling > 0
    gross = gross_value(market, book, reference.value_0)[:, None] + np.abs(expected)
    difference = np.abs(device.pnl(0, count) * WORTH[:, None] - expected)
    return np.asarray((difference / np.where(gross > 0, gross, 1.0)).max(axis=1))


@pytest.mark.parametrize("model", laws.STEPS)
@pytest.mark.parametrize(("place", "how"), [*PLACES, GPU])
@pytest.mark.parametrize("precision", [FP64, FP32])
def test_pnl_is_the_references(
    every_market: Market, every_book: Book, launcher: MakeLauncher,
    model: str, place: str, how: dict[str, Any], precision: Precision,
) -> None:  # fmt: skip
    count = COUNT // 5 if place == "emulated" else COUNT
    at = launcher(place, precision, **how)
    scenarios = Simulated(laws.every_law(every_market, model, YEARS), COUNT, seed=2**63 + 3)
    assert error(every_market, every_book, at, scenarios, count, model).max() <= tolerance(precision, place)


@pytest.mark.parametrize("model", laws.STEPS)
@pytest.mark.parametrize(("place", "how"), [PLACES[0], PLACES[3], GPU])
def test_moves_paths_and_variances_are_the_references(
    every_market: Market, every_book: Book, launcher: MakeLauncher, model: str, place: str, how: dict[str, Any]
) -> None:
    count = 1_500 if place == "emulated" else 10_000
    scenarios, watched = Simulated(laws.every_law(every_market, model, YEARS), count), laws.everything_watched(model)
    device = Device(every_market, every_book, scenarios, YEARS, watched, launcher=launcher(place, FP64, **how))
    reference = Reference(every_market, every_book, scenarios, YEARS, watched)
    x, want = device.moves(100, count), reference.moves(100, count)
    variances = 2 if model in ("heston", "heston_martingale", "bates") else 0
    assert x.shape == want.shape == (9 + len(device.axes.watched) + variances, count - 100)
    scale = np.abs(want).max(axis=1, keepdims=True)
    assert (np.abs(x - want) / np.where(scale > 0, scale, 1.0)).max() <= 1e-12


@pytest.mark.parametrize("precision", [FP64, FP32])
@pytest.mark.parametrize(("place", "how"), [*PLACES, GPU])
def test_given_moves_at_the_edges(
    every_market: Market,
    every_book: Book,
    launcher: MakeLauncher,
    place: str,
    how: dict[str, Any],
    precision: Precision,
) -> None:
    moves = np.zeros((7, 9))
    moves[1, :5] = [-3.0, -2.0, -0.5, -1.5, -5.0]  # simple floored at 0, absolute below 0
    moves[2, :5] = [2.0, 1.5, 0.5, 3.0, 40.0]
    moves[3, 5:7] = [3.0, 2.0]
    moves[4, 5:7] = [-5.0, -4.0]
    moves[5, 7:] = [0.2, -0.2]
    moves[6] = 0.3
    at = launcher(place, precision, **how)
    assert error(every_market, every_book, at, Explicit.of(moves), 7, "given").max() <= tolerance(precision, place)


@pytest.mark.parametrize(("place", "how"), [("native", {}), ("emulated", {"order": "reversed"}), GPU])
def test_normals_have_the_references_bits(
    every_market: Market, every_book: Book, launcher: MakeLauncher, place: str, how: dict[str, Any]
) -> None:
    count = 20_000 if place == "emulated" else 400_000
    seed = 2**64 - 3
    for start in (0, 2**32 - 8_192):  # beyond, the scenario fills its second counter word
        at = launcher(place, FP64, **how)
        device = Device(every_market, every_book, law(every_market, seed=seed), YEARS, launcher=at, width=8_192)
        for begin in range(start, start + count // 10, device.width):
            at.launch((*at.path, *at.step)[0], device.plan, device.work, begin, begin + device.width)
            z = at.download(device.held["z"], (device.width // at.tile, 10, at.tile), np.float64)
            want = normals(seed, begin, begin + device.width, 10)
            assert np.array_equal(z.swapaxes(0, 1).reshape(10, -1).view(np.int64), want.view(np.int64))


@pytest.mark.parametrize("precision", [FP64, FP32])
@pytest.mark.parametrize(("place", "how"), [*PLACES, GPU])
def test_tail_is_a_full_sort(
    every_market: Market,
    every_book: Book,
    launcher: MakeLauncher,
    place: str,
    how: dict[str, Any],
    precision: Precision,
) -> None:
    count, depth = 40_000 if place == "cuda" or (place == "native" and COUNT == 3_000) else 9_000, 300
    scenarios = law(every_market, count=count)
    at = launcher(place, precision, **how)
    device = Device(every_market, every_book, scenarios, YEARS, launcher=at)
    spans = [(1, depth), (700, 720)]
    tail, moments, failed = sweep(device, count, spans)
    assert len(failed) == 0
    loss = 0.0 - device.pnl(0, count)
    whole = Tail.of(loss, 0, 720)
    assert np.array_equal(tail.head(depth).loss, whole.loss[:, :depth])
    assert np.array_equal(tail.head(depth).scenario, whole.scenario[:, :depth])
    for rank in (1, depth, 700, 720):
        assert np.array_equal(tail.at(rank), whole.at(rank))
        for got, want in zip(tail.excess(rank), whole.excess(rank), strict=True):
            np.testing.assert_allclose(got, want, rtol=1e-11, atol=1e-9)
    assert np.array_equal(tail.row(3).loss[0], whole.loss[3, :depth])
    want = Moments.of(loss)
    np.testing.assert_allclose(moments.mean, want.mean, rtol=1e-9, atol=1e-9)
    np.testing.assert_allclose(moments.variance, want.variance, rtol=1e-11)
    np.testing.assert_allclose(moments.m4, want.m4, rtol=1e-10)
    if precision is FP64 and place != "emulated":
        reference = Tail.of(0.0 - Reference(every_market, every_book, scenarios, YEARS).pnl(0, count), 0, depth)
        np.testing.assert_allclose(tail.head(depth).loss, reference.loss, rtol=1e-11, atol=1e-12)
        assert (tail.head(depth).scenario == reference.scenario).mean() > 0.999  # equal but for ties to the last bits


def test_the_reference_values_named_scenarios_as_in_a_run(every_market: Market, every_book: Book) -> None:
    reference = Reference(every_market, every_book, law(every_market, StudentT()), YEARS)
    named = np.array([1_500, 17, 17, 0, 1_024])
    assert np.array_equal(reference.pnl_at(named), reference.pnl(0, 2_048)[:, named])
    assert reference.pnl_at(named[:0]).shape == (reference.rows, 0)


@pytest.mark.parametrize(("place", "how"), [("native", {}), ("emulated", {}), GPU])
def test_any_width_start_and_stop_give_the_same_bits(
    every_market: Market, every_book: Book, launcher: MakeLauncher, place: str, how: dict[str, Any]
) -> None:
    scenarios = law(every_market, StudentT(), count=5_000)
    at = launcher(place, FP64, **how)
    device = Device(every_market, every_book, scenarios, YEARS, launcher=at)
    whole = device.pnl(0, 5_000)
    for start, stop in ((0, 1), (1, 65), (1000, 3001), (4999, 5000)):
        assert np.array_equal(device.pnl(start, stop), whole[:, start:stop])
    named = np.array([4_999, 17, 17, 0, 2**20])
    assert np.array_equal(device.pnl_at(named)[:, :4], whole[:, named[:4]])
    first, moments, _ = sweep(device, 5_000, [(1, 50)])
    for width in (at.grain, 5 * at.grain):
        other = Device(every_market, every_book, scenarios, YEARS, launcher=at, width=width)
        assert np.array_equal(other.pnl(0, 5_000), whole)
        again, again_moments, _ = sweep(other, 5_000, [(1, 50)])
        assert np.array_equal(again.head(50).loss, first.head(50).loss)
        assert np.array_equal(again_moments.m4, moments.m4)


@pytest.mark.parametrize("chunk", [0, 32, 64])
@pytest.mark.parametrize("order", ["forward", "shuffled"])
def test_chunks_of_instruments_change_no_bit(
    every_market: Market, every_book: Book, launcher: MakeLauncher, order: str, chunk: int
) -> None:
    scenarios = law(every_market, count=300)
    direct, chunked = (
        Device(every_market, every_book, scenarios, YEARS, launcher=launcher("emulated", FP64, order, chunk=c))
        for c in (0, chunk)
    )
    assert int(chunked.plan["chunk"]) == chunk
    assert np.array_equal(direct.pnl(0, 300), chunked.pnl(0, 300))


def test_every_stage_was_emulated(every_market: Market, every_book: Book, launcher: MakeLauncher) -> None:
    at = launcher("emulated")
    tail, _, _ = sweep(Device(every_market, every_book, law(every_market), YEARS, launcher=at), 3_000, [(1, 40)])
    tail.excess(30)
    tail.kept.engine.pnl(0, 10)
    tail.at(3)
    assert at.launched == {*STEP, *PNL, *TAIL}


@pytest.mark.parametrize(("place", "how"), [("native", {}), ("emulated", {}), GPU])
def test_a_move_beyond_all_prices_is_an_error(
    every_market: Market, every_book: Book, launcher: MakeLauncher, place: str, how: dict[str, Any]
) -> None:
    moves = np.zeros((3, 9))
    moves[2, 0] = 800.0
    device = Device(every_market, every_book, Explicit.of(moves), 0.0, launcher=launcher(place, FP64, **how))
    with pytest.raises(McvarError, match=r"P&L of 'all' is (inf|nan|-inf) in scenario 2"):
        device.pnl(0, 3)
    with pytest.raises(McvarError, match=r"P&L of 'all' is not finite in scenario 2"):
        sweep(device, 3, [(1, 1)])


def test_nothing_to_do(every_market: Market, every_book: Book, launcher: MakeLauncher) -> None:
    device = Device(every_market, every_book, law(every_market), YEARS, launcher=launcher("native"))
    assert device.pnl(5, 5).shape == device.pnl_at(np.zeros(0, dtype=np.int64)).shape == (7, 0)
    with pytest.raises(InputError, match="there is no scenario"):
        Explicit.of(np.zeros((0, 9)))


def test_constants_are_those_of_the_kernels() -> None:
    source = "".join((source_folder() / unit).read_text() for unit in UNITS)

    def constant(name: str) -> int:
        found = re.search(rf"\b{name}(?: =|) (\d+)", source)
        assert found, name
        return int(found[1])

    assert (constant("STRIP"), constant("SORT_CHUNK")) == (STRIP, SORT_CHUNK)
    assert constant("PER_WARP") == WARP
    assert constant("VALUE_THREADS") == VALUE_THREADS
    assert constant("STRIPS") * STRIP >= SHARD


def test_values_beyond_single_precision_are_refused_before_the_run(
    every_market: Market, make_book: Callable[..., Book], launcher: MakeLauncher
) -> None:
    rows = [{"instrument": "huge", "kind": "spot", "underlying": "XYZ", "multiplier": 1e33}]
    book = make_book(every_market, rows, [("a", "huge", 1.0)])
    Device(every_market, book, law(every_market), YEARS, launcher=launcher("native", FP64)).pnl(0, 10)
    with pytest.raises(SettingError, match=r"'huge' \(1e\+35\).*engine.precision=fp64"):
        Device(every_market, book, law(every_market), YEARS, launcher=launcher("native", FP32))
    rows = [{"instrument": "S", "kind": "spot", "underlying": "XYZ"}]
    book = make_book(every_market, rows, [("whale", "S", 1e60)])
    with pytest.raises(SettingError, match=r"'whale' \(1e\+62\).*engine.precision=fp64"):
        Device(every_market, book, law(every_market), YEARS, launcher=launcher("native", FP32))


@pytest.mark.parametrize(("place", "how"), [("native", {}), ("emulated", {}), GPU])
def test_a_row_outside_its_window_is_found_out(
    every_market: Market, every_book: Book, launcher: MakeLauncher, place: str, how: dict[str, Any]
) -> None:
    moves = np.zeros((20_000, 9))
    moves[:, 0] = np.linspace(0.2, -0.2, 20_000)  # the pilot sees the best of the scenarios only
    device = Device(every_market, every_book, Explicit.of(moves), YEARS, launcher=launcher(place, FP64, **how))
    _, _, failed = sweep(device, 20_000, [(1, 100)])
    assert len(failed) > 0
    book = take_rows(every_book, failed)
    again = Device(every_market, book, Explicit.of(moves), YEARS, launcher=launcher(place, FP64, **how))
    tail, _, failed = sweep(again, 20_000, [(1, 100)], margin=np.inf)
    assert len(failed) == 0
    assert np.array_equal(tail.head(100).loss, Tail.of(0.0 - again.pnl(0, 20_000), 0, 100).loss)


def test_many_windows(every_market: Market, every_book: Book, launcher: MakeLauncher) -> None:
    spans = [(1, 5), *((rank, rank + 3) for rank in range(20, 240, 20))]
    for place in ("native", "emulated"):
        device = Device(every_market, every_book, law(every_market), YEARS, launcher=launcher(place))
        tail, _, failed = sweep(device, 9_000, spans)
        assert len(failed) == 0
        whole = Tail.of(0.0 - device.pnl(0, 9_000), 0, 250)
        for first, last in spans:
            assert np.array_equal(tail.part(first, first, last)[0], whole.loss[:, first - 1 : last])
            np.testing.assert_allclose(tail.excess(last)[1], whole.excess(last)[1], rtol=1e-11)


@pytest.mark.parametrize(("place", "how"), [("native", {}), ("emulated", {}), GPU])
def test_prices_on_a_grid_of_extremes(
    make_market: Callable[..., Market], make_book: Callable[..., Book], launcher: MakeLauncher,
    place: str, how: dict[str, Any],
) -> None:  # fmt: skip
    """Expired, without volatility, far in and out of the money, for a minute, a century: 1e-13 of spot or strike."""
    market = make_market([{"factor": "S", "level": 100.0}])
    rows = [
        {"instrument": f"{t}-{k}-{y}-{v}", "kind": "option", "underlying": "S", "strike": k, "option_type": t,
         "years": y, "volatility": v, "rate": 0.02, "carry": 0.01}
        for t in ("call", "put") for k in (1e-3, 50.0, 99.999, 100.0, 130.0, 1e5)
        for y in (2e-6, 0.02, 0.5, 30.0, 100.0) for v in (0.0, 1e-4, 0.2, 3.0)
    ]  # fmt: skip
    positions = [(str(row["instrument"]), str(row["instrument"]), 1.0) for row in rows]
    book = make_book(market, rows, positions)
    moves = Explicit.of([[x] for x in (-5.0, -0.7, -1e-3, 0.0, 1e-9, 0.02, 0.9, 4.0)])
    device, reference = (
        make(market, book, moves, 0.01)
        for make in (lambda *a: Device(*a, launcher=launcher(place, FP64, **how)), Reference)
    )
    scale = np.maximum(np.maximum(100.0, 100.0 * np.exp(moves.shocks[0])), book.instruments.strike[:, None])
    error = np.abs(device.pnl(0, 8) - reference.pnl(0, 8))[:-1]
    assert (error <= 1e-13 * scale).all()
