"""The launcher of GPUs, over an emulated one that refuses what CuPy refuses."""

from __future__ import annotations

import sys
from collections.abc import Callable
from importlib import import_module
from pathlib import Path

import numpy as np
import pytest
from emulator.fake_cupy import CompileException, FakeCupy

from mcvar.book import Book
from mcvar.engines import Device, Launcher, Reference, choose
from mcvar.engines.kernels import sources_digest
from mcvar.errors import CapacityError, SettingError
from mcvar.market import Market
from mcvar.models import Gaussian
from mcvar.precision import Precision
from mcvar.rescreen import Rescreened, audited_bound
from mcvar.scenarios import Simulated
from mcvar.sweep import sweep


@pytest.fixture
def cupy(launcher: Callable[..., Launcher], monkeypatch: pytest.MonkeyPatch) -> FakeCupy:
    fake = FakeCupy(launcher("emulated", Precision.fp64).binary)
    monkeypatch.setitem(sys.modules, "cupy", fake)
    return fake


def test_a_run_through_the_launcher_of_gpus(cupy: FakeCupy, every_market: Market, every_book: Book) -> None:
    choice = choose("auto")
    assert (choice.name, choice.device_name) == ("cuda", "Emulated")
    scenarios = Simulated(Gaussian().law(every_market, 0.1, np.zeros(9)), 6_000)
    device = choice.make(every_market, every_book, scenarios, 0.01, width=2_048)
    assert isinstance(device, Device)
    reference = Reference(every_market, every_book, scenarios, 0.01).pnl(0, 300)
    np.testing.assert_allclose(device.pnl(0, 300), reference, rtol=1e-9, atol=1e-6)
    tail, _, failed = sweep(device, 6_000, [(1, 50)])
    assert len(failed) == 0
    worst = np.sort(0.0 - device.pnl(0, 6_000), axis=1)[:, ::-1]
    assert np.array_equal(tail.head(50).loss, worst[:, :50])
    same = device.beside(device.launcher)
    mixed, unsettled = Rescreened.of(tail, same, [10, 30], audited_bound(device, same, 6_000))
    assert len(unsettled) == 0
    assert np.array_equal(mixed.at(30), worst[:, 29])


@pytest.mark.parametrize(("kilobytes", "chunk"), [(64, 128), (99, 192), (163, 320), (227, 448)])
def test_chunks_fit_the_shared_memory_of_every_generation(
    launcher: Callable[..., Launcher], monkeypatch: pytest.MonkeyPatch, every_market: Market,
    make_book: Callable[..., Book], kilobytes: int, chunk: int,
) -> None:  # fmt: skip
    fake = FakeCupy(launcher("emulated", Precision.fp64).binary, shared=1024 * kilobytes)
    monkeypatch.setitem(sys.modules, "cupy", fake)
    rows = [{"instrument": f"S{i}", "kind": "spot", "underlying": "XYZ", "multiplier": 1 + i} for i in range(500)]
    positions = [(f"A{i % 7}", f"S{i}", float(i)) for i in range(500) for _ in range(2)]
    book = make_book(every_market, rows, positions)
    scenarios = Simulated(Gaussian().law(every_market, 0.1, np.zeros(9)), 40)
    choice = choose("cuda")
    assert choice.launcher is not None
    assert choice.launcher.chunk == chunk
    device = choice.make(every_market, book, scenarios, 0.01)
    assert isinstance(device, Device)
    assert int(device.plan["chunk"]) == chunk
    np.testing.assert_allclose(
        device.pnl(0, 40), Reference(every_market, book, scenarios, 0.01).pnl(0, 40), rtol=1e-9, atol=1e-6
    )


def test_a_compiler_that_is_not_there_is_a_setting_to_mend(cupy: FakeCupy) -> None:
    for broken in (RuntimeError("Failure finding libnvrtc.so"), CompileException("error: no such file")):
        cupy.broken = broken
        with pytest.raises(SettingError, match=r"cannot compile its kernels.*install mcvar\[cuda13\].*engine=native"):
            choose("cuda")
        assert choose("auto").name == "native"


def test_a_number_that_no_gpu_has_is_an_error_for_auto_too(cupy: FakeCupy) -> None:
    for name in ("cuda", "auto"):
        with pytest.raises(SettingError, match=r"engine.device is 9, but there are 1 GPUs"):
            choose(name, device=9)


def test_the_digest_of_the_sources_is_among_the_options(cupy: FakeCupy) -> None:
    choose("cuda", Precision.mixed)
    for compiled in cupy.compiled:
        assert any(sources_digest().startswith(o.removeprefix("-DMCVAR_DIGEST=")) for o in compiled["options"])
        assert compiled["backend"] == "nvrtc"
    assert [("-DREAL=float" in c["options"], "-DREAL=double" in c["options"]) for c in cupy.compiled] == [
        (True, False), (False, True),
    ]  # fmt: skip


def test_memory_that_went_away_is_an_error_with_a_remedy(
    cupy: FakeCupy, every_market: Market, every_book: Book
) -> None:
    choice = choose("cuda")
    scenarios = Simulated(Gaussian().law(every_market, 0.1, np.zeros(9)), 6_000)
    device = choice.make(every_market, every_book, scenarios, 0.01)
    assert isinstance(device, Device)
    assert device.launcher.free_bytes() == int(10**9 * (1 - 0.03))
    cupy.free = 1000
    with pytest.raises(CapacityError, match=r"Emulated has 0.00 GB free.*Lower executor.memory_gb"):
        sweep(device, 6_000, [(1, 50)])


def test_the_headline_measurement_runs(cupy: FakeCupy, monkeypatch: pytest.MonkeyPatch) -> None:
    """The script for GPU nodes, on a small book: its checks, its timing, what it reports."""
    monkeypatch.syspath_prepend(str(Path(__file__).parents[1] / "benchmarks"))
    monkeypatch.delitem(sys.modules, "gpu", raising=False)
    gpu = import_module("gpu")
    try:
        monkeypatch.setattr(gpu, "timed", lambda work, repeat: [1e-3] * repeat)  # the stages are no faster emulated
        market = gpu.make_market(underlyings=2)
        found = gpu.headline(market, gpu.make_book(market, 60, 9, positions=12), Precision.fp64, 6_000, 1)
    finally:
        del sys.modules["gpu"]
    assert found["largest_error_of_gross_value"] < 1e-12
    assert found["same_bits_every_time"]
    assert set(found["share_of_counted_ceiling"]) == {"value", "add_up"}


def test_the_small_run_walks_every_part_of_a_law(
    cupy: FakeCupy, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    """The script that GPU nodes check for memory errors and races."""
    monkeypatch.syspath_prepend(str(Path(__file__).parents[1] / "benchmarks"))
    monkeypatch.delitem(sys.modules, "small_run", raising=False)
    small_run = import_module("small_run")
    try:
        market = small_run.make_market(underlyings=1)
        small_run.walk(market, small_run.make_book(market, 40, 4, positions=5), Precision.fp64)
    finally:
        del sys.modules["small_run"]
    assert [line.split()[1] for line in capsys.readouterr().out.splitlines()] == [
        "copula", "merton", "bates", "filtered_historical",
    ]  # fmt: skip
