"""Engines make P&L of scenarios. The seam: `pnl(start, stop)` for every row of a book."""

from __future__ import annotations

import logging
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Protocol

import numpy as np
from numpy.typing import NDArray

from mcvar.book import Book
from mcvar.engines.cuda import CudaLauncher, NoSuchDevice
from mcvar.engines.device import Device
from mcvar.engines.host import HostLauncher
from mcvar.engines.launcher import Launcher
from mcvar.engines.reference import Reference
from mcvar.errors import SettingError
from mcvar.market import Market
from mcvar.precision import Precision
from mcvar.scenarios import Scenarios
from mcvar.watched import Watched

__all__ = ["Device", "Engine", "EngineChoice", "HostLauncher", "Launcher", "Precision", "Reference", "choose"]

_log = logging.getLogger(__name__)


class Engine(Protocol):
    """A market, a book and scenarios, prepared once to be run block by block."""

    @property
    def rows(self) -> int:
        """R."""
        ...

    @property
    def settling(self) -> int:
        """Held instruments that expire inside the horizon."""
        ...

    def redrawn(self, scenarios: Scenarios) -> Engine:
        """The same for other draws of the same law: another seed, count or way of sampling."""
        ...

    def pnl(self, start: int, stop: int) -> NDArray[np.float64]:
        """P&L of every row in scenarios [start, stop), each in the row's currency, [R, stop - start]."""
        ...

    def pnl_at(self, scenarios: NDArray[np.int64]) -> NDArray[np.float64]:
        """P&L of every row in the named scenarios, [R, n]."""
        ...

    def moves(self, start: int, stop: int) -> NDArray[np.float64]:
        """Moves of the factors over the horizon, what is watched, and variances, [F + S + U, stop - start]."""
        ...


@dataclass(frozen=True)
class EngineChoice:
    """An engine, decided: what a run uses and what its record says.

    Parameters
    ----------
    name : str
        `numpy`, `native` or `cuda`.
    precision : Precision
    launcher : Launcher or None
        Where the kernels run; None for numpy.
    exact : Launcher or None
        Unless the precision is fp64: where the kernels in double precision run.
    """

    name: str
    precision: Precision = Precision.fp64
    launcher: Launcher | None = None
    exact: Launcher | None = None

    @property
    def device_name(self) -> str | None:
        """The GPU; None without one."""
        return getattr(self.launcher, "device_name", None)

    @property
    def doubled(self) -> EngineChoice:
        """The same in double precision."""
        if self.precision is Precision.fp64:
            return self
        return EngineChoice(self.name, Precision.fp64, self.exact)

    def make(
        self,
        market: Market,
        book: Book,
        scenarios: Scenarios,
        years: float,
        watched: Sequence[Watched] = (),
        *,
        width: int = 0,
    ) -> Reference | Device:
        """The engine for one book; `width`: scenarios of a tile of the kernels, 0: what the launcher likes."""
        if self.launcher is None:
            return Reference(market, book, scenarios, years, watched)
        return Device(market, book, scenarios, years, watched, launcher=self.launcher, width=width)


def choose(name: str, precision: Precision = Precision.fp64, *, workers: int = 0, device: int = 0) -> EngineChoice:
    """Decide on an engine.

    Parameters
    ----------
    name : str
        `numpy`, `native`, `cuda`, or `auto`: cuda if there is a usable GPU, else native if it can be compiled, else
        numpy.
    precision : Precision
    workers : int
        Threads of the native engine; 0: one a core.
    device : int
        Number of the GPU.

    Raises
    ------
    SettingError
        `native` without a compiler, `cuda` without a GPU: nothing falls back unasked.
    """
    if name == "numpy":
        if precision is not Precision.fp64:
            raise SettingError(f"engine=numpy is fp64 only: for engine.precision={precision.value} take native or cuda")
        return EngineChoice(name)
    if name == "auto":
        return _best(precision, workers, device)
    make = _launchers(name, workers, device)
    if precision is Precision.fp64:
        return EngineChoice(name, precision, make(precision))
    return EngineChoice(name, precision, make(Precision.fp32), make(Precision.fp64))


def _best(precision: Precision, workers: int, device: int) -> EngineChoice:
    """The first engine that works here; a GPU that does not exist is an error all the same."""
    passed = []
    for candidate in ("cuda", "native"):
        try:
            chosen = choose(candidate, precision, workers=workers, device=device)
        except NoSuchDevice:
            raise
        except SettingError as error:
            _log.info("engine=auto passes %s by: %s", candidate, error)
            passed.append(str(error))
        else:
            _log.info("engine=auto takes %s", candidate)
            return chosen
    if precision is not Precision.fp64:
        raise SettingError(f"engine.precision={precision.value} needs engine=cuda or native: " + "; ".join(passed))
    _log.warning("engine=auto takes numpy: there is neither a usable GPU nor a C++ compiler")
    return choose("numpy")


def _launchers(name: str, workers: int, device: int) -> Callable[[Precision], Launcher]:
    if name == "native":
        return lambda precision: HostLauncher(precision, workers)
    return lambda precision: CudaLauncher(precision, device)
