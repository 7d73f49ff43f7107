"""How a stage is spread over the threads of a device: the same for a GPU and for its emulation."""

from __future__ import annotations

from typing import Any, NamedTuple

from numpy.typing import NDArray

from mcvar.engines.launcher import CONTRACTS
from mcvar.engines.segments import BLOCK, WARP
from mcvar.precision import Precision

STRIP = 1024  # scenarios that one warp adds up (kernels/tail.cu)
SORT_CHUNK = 4096  # losses sorted in shared memory at once (kernels/tail.cu)
VALUE_THREADS = 128  # kernels/value.cu, kernels/contracts.cu
EVOLVE_THREADS = 128  # kernels/moves.cu


class Grid(NamedTuple):
    """Blocks in both directions, threads a block, bytes of dynamic shared memory."""

    x: int
    y: int
    threads: int
    shared: int = 0


def grid(stage: str, plan: NDArray[Any], work: NDArray[Any], start: int, stop: int, precision: Precision) -> Grid:
    """The grid of a stage over [start, stop)."""
    size, tile, lanes = stop - start, 256 // precision.real.itemsize, 16 // precision.real.itemsize
    factors, rows = int(plan["factors"]), int(plan["rows"])
    tiles = -(-size // tile)
    match stage:
        case "draw":
            return Grid(-(-tiles * tile // 256), int(plan["law"]["drivers"]) // 2 + 1, 256)
        case "move":
            return Grid(-(-tiles * tile // 64), max(-(-int(plan["law"]["drivers"]) // 64), 1), 256)
        case "evolve":
            return Grid(-(-tiles * tile // (lanes * EVOLVE_THREADS)), factors, EVOLVE_THREADS)
        case "value":
            return Grid(int(plan["family_begin"][0]), -(-size // (lanes * VALUE_THREADS)), VALUE_THREADS)
        case _ if stage in CONTRACTS:
            begin = plan["family_begin"]
            groups = int(begin[CONTRACTS.index(stage) + 1] - begin[CONTRACTS.index(stage)])
            return Grid(groups, -(-size // (lanes * VALUE_THREADS)), VALUE_THREADS)
        case "add_up":
            warps = int(plan["segments"]) // WARP
            blocks = -(-warps * WARP // BLOCK)
            shared = 2 * int(plan["chunk"]) * 256
            # The blocks of a tile stand side by side, so that they share its values in the cache.
            return Grid(blocks, tiles, 32 * -(-warps // blocks), shared)
        case "total":
            return Grid(-(-size // 256), min(rows, 65_535), 256)
        case "screen":
            return Grid(rows, 1, 256)
        case "sort":
            return Grid(size, int(work["windows"]), 1024, 16 * SORT_CHUNK)
        case "slice" | "excess":
            return Grid(size, 1, 256)
    raise KeyError(stage)
