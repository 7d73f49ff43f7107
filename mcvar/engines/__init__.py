"""Engines make P&L of scenarios. The seam: `pnl(start, stop)` for every row of a book."""

from __future__ import annotations

from typing import Protocol

import numpy as np
from numpy.typing import NDArray

from mcvar.engines.reference import Reference

__all__ = ["Engine", "Reference"]


class Engine(Protocol):
    """A market, a book and scenarios, prepared once to be run block by block."""

    @property
    def rows(self) -> int:
        """R."""
        ...

    def pnl(self, start: int, stop: int) -> NDArray[np.float64]:
        """P&L of every row in scenarios [start, stop), each in the row's currency, [R, stop - start]."""
        ...
