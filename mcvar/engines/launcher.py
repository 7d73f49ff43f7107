"""The seam between the driver and a machine: memory, and stages launched over it.

A stage is one entry point of the kernels, with the same name and the same arguments wherever it
runs: (plan, work space, start, stop). Grids, threads and shared memory are the launcher's business.
"""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import Any, Protocol

from numpy.typing import NDArray

from mcvar.precision import Precision

STEP = ("draw", "move", "evolve")  # what makes a step of the paths of a tile
CONTRACTS = ("digital", "barrier", "asian", "american", "american_table")  # families, in the order of their numbers
PNL = ("value", *CONTRACTS, "add_up")  # what makes its P&L of them
TAIL = ("total", "screen", "sort", "slice", "excess")


@dataclass(frozen=True)
class Buffer:
    """Memory of a launcher, freed when nothing refers to it; `pointer` is its address as the kernels see it."""

    array: Any = field(repr=False)
    pointer: int
    nbytes: int


class Launcher(Protocol):
    """Where the stages of one precision run."""

    name: str
    precision: Precision
    step: tuple[str, ...]  # the stages of `STEP`; none where the next two walk all steps themselves
    path: tuple[str, ...]  # what makes the paths beside
    pnl: tuple[str, ...]  # the stages of `PNL`, or one that is the steps and all of them
    tile: int  # scenarios side by side in memory
    chunk: int  # instruments whose values fit into shared memory; 0: none
    grain: int  # scenarios whose moments are added up first: widths are a multiple of it
    width: int  # scenarios of a launch that keep the machine busy, a multiple of `grain`

    def held(self, width: int) -> int:
        """How many of a tile's scenarios have all their values in memory at the same time."""
        ...

    def upload(self, array: NDArray[Any]) -> Buffer:
        """A copy of an array."""
        ...

    def empty(self, nbytes: int) -> Buffer:
        """Memory with anything in it.

        Raises
        ------
        CapacityError
            There is not enough; the message names the setting to lower.
        """
        ...

    def download(self, buffer: Buffer, shape: tuple[int, ...], dtype: Any) -> NDArray[Any]:
        """What is at the head of a buffer, after all that was launched has run."""
        ...

    def launch(self, stage: str, plan: NDArray[Any], work: NDArray[Any], start: int, stop: int) -> None:
        """Run a stage over scenarios, or for the last three rows, [start, stop); may return before it is done."""
        ...

    def free_bytes(self) -> int:
        """Memory that can still be had."""
        ...
