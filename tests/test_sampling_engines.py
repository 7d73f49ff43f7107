"""Every sampling on every engine: the same bits of normals and mixing variables, the same P&L, alone or with others."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import laws
import numpy as np
import pytest
from books import gross_value
from numpy.typing import NDArray

from mcvar.book import Book
from mcvar.engines import Device, Launcher, Reference
from mcvar.market import Market
from mcvar.precision import Precision
from mcvar.sampling import Quasi, Sampling, Strata
from mcvar.scenarios import Simulated
from mcvar.watched import Statistic, Watched

Floats = NDArray[np.float64]
MakeLauncher = Callable[..., Launcher]
YEARS = 10 / 365
SIZE = laws.SIZE
WORTH = np.array([1.0, 1.0, 1.0, 60_000.0, 1.1, 1.0, 1.0])  # USD for a unit of each row's currency
GPU = pytest.param("cuda", {}, marks=pytest.mark.gpu)
PLACES = [("native", {}), ("emulated", {"order": "shuffled"}), GPU]
SAMPLINGS = [Quasi(), Quasi(6), Strata(64), Strata(1024)]
LAWS = ["gaussian", "gaussian_10", "student_t", "grouped_t", "independent_t", "copula", "garch_t", "bates"]


def simulated(market: Market, name: str, sampling: Sampling, per: int) -> Simulated:
    whole = sampling.replicates or 1
    count = whole * sampling.unit * per
    return Simulated(laws.every_law(market, name, YEARS), count, 2**63 + 3, sampling)


def state(device: Device, name: str, lines: int) -> Floats:
    at = device.launcher
    held = at.download(device.held[name], (device.width // at.tile, lines, at.tile), np.float64)
    return held.swapaxes(0, 1).reshape(lines, -1)


@pytest.mark.parametrize("sampling", SAMPLINGS, ids=str)
@pytest.mark.parametrize(("place", "how"), PLACES)
def test_normals_have_the_references_bits(
    every_market: Market, every_book: Book, launcher: MakeLauncher, place: str, how: dict[str, Any], sampling: Sampling
) -> None:
    for name in ("gaussian", "gaussian_10"):
        scenarios = simulated(every_market, name, sampling, 128)
        device = Device(every_market, every_book, scenarios, YEARS, launcher=launcher(place, **how), width=1_024)
        for start in (0, 1_024):
            stop = start + device.width
            device._walk(device.work, start, stop)
            for stage in device.launcher.path:
                device.launcher.launch(stage, device.plan, device.work, start, stop)
            z = state(device, "z", int(device.plan["law"]["drivers"]))
            want = scenarios.source.normals(start, stop, SIZE, step=scenarios.steps - 1)
            assert np.array_equal(z[:SIZE].view(np.int64), want.view(np.int64))


@pytest.mark.parametrize("name", LAWS)
@pytest.mark.parametrize("sampling", [Quasi(), Strata(64)], ids=str)
@pytest.mark.parametrize(("place", "how"), PLACES)
def test_moves_are_the_references(
    every_market: Market, every_book: Book, launcher: MakeLauncher,
    place: str, how: dict[str, Any], sampling: Sampling, name: str,
) -> None:  # fmt: skip
    scenarios = simulated(every_market, name, sampling, 64)
    watched = [Watched(0, Statistic.bridge_minimum, scenarios.steps), Watched(4, Statistic.average, scenarios.steps)]
    device = Device(every_market, every_book, scenarios, YEARS, watched, launcher=launcher(place, **how))
    x, want = device.moves(70, 1_000), Reference(every_market, every_book, scenarios, YEARS, watched).moves(70, 1_000)
    scale = np.abs(want).max(axis=1, keepdims=True)
    assert (np.abs(x - want) / np.where(scale > 0, scale, 1.0)).max() <= 1e-12


@pytest.mark.parametrize("sampling", [Quasi(), Strata(64)], ids=str)
@pytest.mark.parametrize(
    ("place", "how", "precision"),
    [
        *(("native", {}, precision) for precision in (Precision.fp64, Precision.fp32)),
        ("emulated", {"order": "reversed"}, Precision.fp64),
        pytest.param("cuda", {}, Precision.fp64, marks=pytest.mark.gpu),
        pytest.param("cuda", {}, Precision.fp32, marks=pytest.mark.gpu),
    ],
)
def test_pnl_is_the_references_and_a_scenario_can_be_had_alone(
    every_market: Market, every_book: Book, launcher: MakeLauncher,
    place: str, how: dict[str, Any], sampling: Sampling, precision: Precision,
) -> None:  # fmt: skip
    scenarios = simulated(every_market, "grouped_t", sampling, 64)
    device = Device(every_market, every_book, scenarios, YEARS, launcher=launcher(place, precision, **how))
    pnl = device.pnl(0, 1_024)
    named = np.array([1_023, 17, 17, 0, 640])
    assert np.array_equal(device.pnl_at(named), pnl[:, named])
    want = device.reference.pnl(0, 1_024) * WORTH[:, None]
    gross = gross_value(every_market, every_book, device.reference.value_0)[:, None] + np.abs(want)
    difference = np.abs(pnl * WORTH[:, None] - want) / np.where(gross > 0, gross, 1.0)
    assert difference.max() <= (1e-12 if precision is Precision.fp64 else 9e-6)
