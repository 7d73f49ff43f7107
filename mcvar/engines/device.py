"""The driver of the kernels: the four lines of the reference, tile by tile, on whatever the launcher is.

    z   = draw                                # normals of a step
    y   = move                                # correlated
    x  += evolve                              # moves of the factors; these three for each step
    dv  = value                               # one revaluation an instrument
    pnl = add_up                              # sums of the rows

It is planned by the reference engine, so all engines know the same groups and coefficients and
differ in rounding only. Market and book are uploaded once; a run then moves nothing but what it is
asked for.
"""

from __future__ import annotations

from collections.abc import Sequence
from copy import copy
from typing import Any

import numpy as np
from numpy.typing import NDArray
from scipy import sparse

from mcvar.book import Book
from mcvar.engines.launcher import CONTRACTS, Buffer, Launcher
from mcvar.engines.laws import law_columns, levels_of, state_sizes
from mcvar.engines.layout import PLAN, WORK, instrument_columns, row_columns
from mcvar.engines.reference import Reference, check_finite, not_finite
from mcvar.engines.segments import Segments
from mcvar.errors import McvarError, SettingError
from mcvar.market import Market
from mcvar.precision import Precision
from mcvar.scenarios import Scenarios
from mcvar.watched import Watched

Floats = NDArray[np.float64]
Ints = NDArray[np.int64]
SHARD = 65_536  # scenarios whose moments are added up before they join the rest


class Device:
    """Full revaluation in kernels; the first five parameters and the attributes are those of `Reference`.

    Parameters
    ----------
    launcher : Launcher
        Where the kernels run.
    width : int
        Scenarios of a tile; 0: what the launcher likes. Does not change any result.

    Raises
    ------
    SettingError
        A law that the kernels do not know, or values beyond what the precision holds.
    """

    def __init__(
        self,
        market: Market,
        book: Book,
        scenarios: Scenarios,
        years: float,
        watched: Sequence[Watched] = (),
        *,
        launcher: Launcher,
        width: int = 0,
    ) -> None:
        self._prepare(Reference(market, book, scenarios, years, watched), launcher, width)

    def beside(self, launcher: Launcher, width: int = 0) -> Device:
        """The same engine elsewhere, or in another precision."""
        other = Device.__new__(Device)
        other._prepare(self.reference, launcher, width)
        return other

    def _prepare(self, reference: Reference, launcher: Launcher, width: int) -> None:
        self.reference = reference
        market, book, scenarios = reference.market, reference.book, reference.scenarios
        self.market, self.book, self.scenarios, self.launcher = market, book, scenarios, launcher
        self.value_0, self.settling = reference.value_0, reference.settling
        real = launcher.precision.real
        _check_range(book, reference.value_0, launcher.precision)
        order = np.concatenate([group.index for panel, _ in reference.panels for group, _ in panel])
        quantity = sparse.csr_array(book.quantity[:, order])
        segments = Segments.of(quantity, real, launcher.tile, launcher.chunk)
        self.axes = reference.axes
        columns = {
            "lines": len(self.axes), **levels_of(market), **instrument_columns(reference, real),
            **row_columns(reference, segments),
        }  # fmt: skip
        self.held: dict[str, Buffer] = {}  # what the plan and the work space point to
        self.plan = np.zeros((), dtype=PLAN)
        self._fill(self.plan, columns)
        self._fill(self.plan["law"], law_columns(scenarios, self.axes))
        self.width = -(-min(width or launcher.width, SHARD) // launcher.grain) * launcher.grain
        counts = dict(zip(("value", *CONTRACTS), np.diff([0, *self.plan["family_begin"]]), strict=True))
        self._pnl_stages = [stage for stage in launcher.pnl if counts.get(stage, 1)]
        self.work = np.zeros((), dtype=WORK)
        size = self.width
        for name, lines in state_sizes(self.plan["law"], len(market.factors), len(self.axes)).items():
            self.held[name] = launcher.empty(8 * lines * size)
            self.work["state"][name] = self.held[name].pointer
        for name, count in (("dv", len(order) * launcher.held(size)), ("sums", int(self.plan["segments"]) * size)):
            self.held[name] = launcher.empty(real.itemsize * count)
            self.work[name] = self.held[name].pointer
        self.work["width"] = size

    def redrawn(self, scenarios: Scenarios) -> Device:
        """See `Engine.redrawn`; both share the work space, so one runs at a time."""
        other = copy(self)
        other.reference, other.scenarios = self.reference.redrawn(scenarios), scenarios
        other.held, other.plan = dict(self.held), self.plan.copy()
        other.plan["law"] = np.zeros((), dtype=other.plan["law"].dtype)
        other._fill(other.plan["law"], law_columns(scenarios, self.axes))
        return other

    @property
    def rows(self) -> int:
        """R."""
        return len(self.book.row)

    def pnl(self, start: int, stop: int) -> Floats:
        """See `Engine.pnl`."""
        return self._pnl(self.work, start, stop)

    def pnl_at(self, scenarios: Ints) -> Floats:
        """P&L of every row in the named scenarios, [R, n]."""
        index = self.launcher.upload(np.ascontiguousarray(scenarios, dtype=np.int64))
        work = self.work.copy()
        work["index"] = index.pointer
        return self._pnl(work, 0, len(scenarios), scenarios)

    def run(self, work: NDArray[Any], start: int, stop: int, last: str) -> None:
        """P&L of at most a tile of scenarios, and then the stage `last` with it."""
        self._walk(work, start, stop)
        for stage in (*self._pnl_stages, last):
            self.launcher.launch(stage, self.plan, work, start, stop)

    def moves(self, start: int, stop: int) -> Floats:
        """See `Engine.moves`."""
        out = np.empty((len(self.axes), stop - start))
        for at in range(start, stop, self.width):
            end = min(at + self.width, stop)
            self._walk(self.work, at, end)
            for stage in self.launcher.path:
                self.launcher.launch(stage, self.plan, self.work, at, end)
            tile = self.launcher.tile
            x = self.launcher.download(self.held["x"], (self.width // tile, len(self.axes), tile), np.float64)
            out[:, at - start : end - start] = x.swapaxes(0, 1).reshape(len(self.axes), -1)[:, : end - at]
        return out

    def _walk(self, work: NDArray[Any], start: int, stop: int) -> None:
        """The steps of a tile's paths, where each is a launch."""
        work = work.copy()
        for step in range(int(self.plan["law"]["steps"]) if self.launcher.step else 0):
            work["state"]["step"] = step
            for stage in self.launcher.step:
                self.launcher.launch(stage, self.plan, work, start, stop)

    def refuse(self, bad: int) -> None:
        """Raise the error for the P&L that a kernel found not to be finite."""
        scenario, row = divmod(bad, self.rows)
        wide = "" if self.launcher.precision is Precision.fp64 else ", or take engine.precision=fp64"
        raise McvarError(not_finite(self.book.row[row], "not finite", scenario) + wide)

    def _pnl(self, work: NDArray[Any], start: int, stop: int, names: Ints | None = None) -> Floats:
        pnl = np.empty((self.rows, stop - start))
        work, grain = work.copy(), self.launcher.grain
        width = min(self.width, max(-(-(stop - start) // grain), 1) * grain)
        out = self.launcher.empty(8 * self.rows * width)
        work["pnl"], work["width"] = out.pointer, width
        for at in range(start, stop, width):
            end = min(at + width, stop)
            self.run(work, at, end, "total")
            tile = self.launcher.download(out, (self.rows, width), np.float64)
            pnl[:, at - start : end - start] = tile[:, : end - at]
        check_finite(self.book, pnl, np.arange(start, stop) if names is None else names)
        return pnl

    def _fill(self, record: NDArray[Any], columns: dict[str, Any]) -> None:
        for name, value in columns.items():
            if isinstance(value, np.ndarray):
                kind = {"f": np.float64, "i": np.int64}.get(value.dtype.kind, value.dtype)
                self.held[f"{name}:plan"] = self.launcher.upload(np.ascontiguousarray(value, dtype=kind))
                record[name] = self.held[f"{name}:plan"].pointer
            else:
                record[name] = value  # numbers, and short tuples of them


def _check_range(book: Book, value_0: Floats, precision: Precision) -> None:
    """Refuse values and quantities that a move could carry beyond the precision."""
    most = 1e-6 * float(np.finfo(precision.real).max)
    bad = np.flatnonzero((np.abs(value_0) > most) | (np.abs(book.instruments.multiplier) > most))
    if len(bad):
        names = ", ".join(f"'{book.instruments.name[i]}' ({value_0[i]:g})" for i in bad[:20])
        raise SettingError(
            f"{len(bad)} instruments are worth too much for engine.precision={precision.value}: {names}. "
            "State multipliers in larger units, or take engine.precision=fp64"
        )
    held = abs(book.quantity) @ np.maximum(np.abs(value_0), 1.0)
    bad = np.flatnonzero(~(held <= most))
    if len(bad):
        names = ", ".join(f"'{book.row[r]}' ({held[r]:g})" for r in bad[:20])
        raise SettingError(
            f"{len(bad)} accounts hold too much for engine.precision={precision.value}: {names}. "
            "State quantities in larger units, or take engine.precision=fp64"
        )
