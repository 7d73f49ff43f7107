"""Engines make P&L of scenarios. The seam: `pnl(start, stop)` for every row of a book."""

from __future__ import annotations

import logging
from collections.abc import Callable
from typing import Protocol

import numpy as np
from numpy.typing import NDArray

from mcvar.book import Book
from mcvar.engines.kernels import host_library
from mcvar.engines.native import Native
from mcvar.engines.reference import Reference
from mcvar.errors import SettingError
from mcvar.market import Market
from mcvar.scenarios import Scenarios

__all__ = ["Engine", "MakeEngine", "Native", "Reference", "choose"]

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

    def pnl(self, start: int, stop: int) -> NDArray[np.float64]:
        """P&L of every row in scenarios [start, stop), each in the row's currency, [R, stop - start]."""
        ...


MakeEngine = Callable[[Market, Book, Scenarios, float], Engine]
_ENGINES: dict[str, MakeEngine] = {"numpy": Reference, "native": Native}


def choose(name: str) -> tuple[str, MakeEngine]:
    """The engine of that name, and its name: `numpy`, `native`, or `auto` for the faster one that works here.

    Raises
    ------
    SettingError
        `native` without a compiler: nothing falls back unasked.
    """
    if name == "native":
        host_library()
    if name == "auto":
        try:
            host_library()
            name = "native"
        except SettingError as error:
            _log.warning("engine=auto takes numpy: %s", error)
            name = "numpy"
        _log.info("engine=auto takes %s", name)
    return name, _ENGINES[name]
