"""The losses that a run keeps where its P&L is made: filtered by bounds, sorted there, read in parts."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from mcvar.engines.device import Device

Floats = NDArray[np.float64]
Ints = NDArray[np.int64]
_NONE = np.uint64(2**64 - 1)


@dataclass(frozen=True)
class Bounds:
    """W windows of losses for each of R rows: worse than `low`, not worse than `high`; arrays are [W, R].

    A bound is a loss with a scenario, because of equal losses that of the earlier scenario counts as
    the worse. So a row whose losses are all equal can be bounded like any other.
    """

    low: Floats
    low_at: Ints
    high: Floats
    high_at: Ints

    @classmethod
    def all(cls, rows: int, windows: int = 1) -> Bounds:
        """Windows that hold everything."""
        shape = (windows, rows)
        none = np.zeros(shape, np.int64)
        return cls(np.full(shape, -np.inf), none, np.full(shape, np.inf), none)


class Kept:
    """What one run keeps.

    Parameters
    ----------
    engine : Device
    bounds : Bounds
    capacity : int
        Losses of a window and row that there is room for; more are counted only.
    pivot : ndarray [R]
        A loss near the mean, about which powers are summed.
    """

    def __init__(self, engine: Device, bounds: Bounds, capacity: int, pivot: Floats) -> None:
        self.engine, self.bounds, self.capacity, self.pivot = engine, bounds, capacity, pivot
        launcher, (windows, rows) = engine.launcher, bounds.low.shape
        zeros = np.zeros((windows, rows), dtype=np.int64)
        arrays: dict[str, NDArray[Any]] = {
            **vars(bounds), "pivot": pivot, "kept": zeros, "above": np.zeros((windows, rows, 3)),
            "bad": np.array([_NONE]),
        }  # fmt: skip
        self._held = {name: launcher.upload(np.ascontiguousarray(array)) for name, array in arrays.items()}
        for name in ("loss", "scenario"):
            self._held[name] = launcher.empty(8 * windows * rows * capacity)
        self.work = engine.work.copy()
        self.work["windows"], self.work["capacity"] = windows, capacity
        for name, buffer in self._held.items():
            self.work[name] = buffer.pointer

    def screen(self, start: int, stop: int, step: int) -> Floats:
        """Run scenarios [start, stop).

        Returns
        -------
        ndarray [steps, R, 4]
            Sums of the first four powers of loss - pivot over each `step` scenarios.

        Raises
        ------
        McvarError
            P&L that is not finite.
        """
        engine, launcher = self.engine, self.engine.launcher
        rows, parts = engine.rows, -(-(stop - start) // step)
        power = launcher.upload(np.zeros((parts, rows, 4)))
        work = self.work.copy()
        for part in range(parts):
            work["power"] = power.pointer + 32 * rows * part
            end = min(start + (part + 1) * step, stop)
            for at in range(start + part * step, end, engine.width):
                engine.run(work, at, min(at + engine.width, end), "screen")
        sums = launcher.download(power, (parts, rows, 4), np.float64)
        bad = int(launcher.download(self._held["bad"], (1,), np.uint64)[0])
        if bad != int(_NONE):
            engine.refuse(bad)
        return sums

    def counts(self) -> tuple[Ints, Ints]:
        """How many losses of each row lie in a window, and how many above it, [W, R] each."""
        kept = self.engine.launcher.download(self._held["kept"], self.bounds.low.shape, np.int64)
        return kept, self.above()[:, :, 0].astype(np.int64)

    def above(self) -> Floats:
        """Number, sum and sum of squares of what losses above each window exceed its upper bound by, [W, R, 3]."""
        return self.engine.launcher.download(self._held["above"], (*self.bounds.low.shape, 3), np.float64)

    def sort(self) -> None:
        """Put all windows in order, the worst first."""
        self.engine.launcher.launch("sort", self.engine.plan, self.work, 0, self.engine.rows)

    def slice(self, window: int, first: int, count: int, rows: slice | None = None) -> tuple[Floats, Ints]:
        """Losses number `first` to `first` + `count` of each row (number 0 is the worst of all), and their scenarios.

        Returns
        -------
        ndarray [rows, count], ndarray [rows, count]
            -inf and -1 where the window has none.
        """
        begin, end, _ = (rows or slice(None)).indices(self.engine.rows)
        shape, launcher = (end - begin, count), self.engine.launcher
        out, out_at = launcher.empty(8 * (end - begin) * count), launcher.empty(8 * (end - begin) * count)
        work = self.work.copy()
        work["window"], work["first"], work["count"] = window, first, count
        work["out"], work["out_at"] = out.pointer, out_at.pointer
        launcher.launch("slice", self.engine.plan, work, begin, end)
        return launcher.download(out, shape, np.float64), launcher.download(out_at, shape, np.int64)

    def excess(self, window: int, first: int) -> tuple[Floats, Floats]:
        """Sums, over the losses worse than number `first`, of the excess over it, and of its square, [R] each."""
        out = self.engine.launcher.empty(16 * self.engine.rows)
        work = self.work.copy()
        work["window"], work["first"], work["out"] = window, first, out.pointer
        self.engine.launcher.launch("excess", self.engine.plan, work, 0, self.engine.rows)
        sums = self.engine.launcher.download(out, (self.engine.rows, 2), np.float64)
        return sums[:, 0], sums[:, 1]
