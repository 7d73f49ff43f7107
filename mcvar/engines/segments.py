"""Quantities in the form that kernels add up: rows cut into segments of about the same length.

One thread, or one lane of threads, adds up a segment; a row is the sum of its segments. Long rows,
the netted one above all, are dealt out card by card, so that each of their segments is spread over
the instruments as evenly as an account is.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import numpy as np
from scipy import sparse

LONGEST = 128  # positions of a segment; fits the byte that counts them
WARP = 28  # segments of one warp (kernels/add_up.cu)
BLOCK = 20 * WARP  # segments of one block of threads, at most


@dataclass(frozen=True)
class Segments:
    """Columns of the plan: sizes, positions, and which segments make up a row.

    Examples
    --------
    >>> quantity = sparse.csr_array(np.array([[1.0, 0.0, 2.0], [0.0, 0.0, 0.0]]))
    >>> made = Segments.of(quantity, np.dtype("f8"), tile=64, chunk=0).columns
    >>> made["segments"], made["part_begin"].tolist(), made["position"]["quantity"].tolist()
    (28, [0, 1, 1], [1.0, 2.0])
    """

    columns: dict[str, Any]

    @classmethod
    def of(cls, quantity: sparse.csr_array, real: np.dtype[Any], tile: int, chunk: int) -> Segments:
        """Cut the rows.

        Parameters
        ----------
        quantity : csr_array [R, I]
            Instruments in the order of the groups.
        real : dtype
            Of the quantities.
        tile : int
            Scenarios side by side in memory.
        chunk : int
            Instruments whose values fit into shared memory at once; 0 where there is none. Chunks
            are used when a value is read often enough to be worth a copy.
        """
        quantity = quantity.sorted_indices()
        rows, instruments = quantity.shape
        length = np.diff(quantity.indptr)
        parts = -(-length // LONGEST)
        part_begin = np.concatenate([[0], np.cumsum(parts)])
        row = np.repeat(np.arange(rows), length)
        place = np.arange(quantity.nnz) - quantity.indptr[row]  # of a position in its row
        part = part_begin[row] + place % np.maximum(parts[row], 1)  # [nnz]

        # The longest first, dealt to the warps: each then has about the same work.
        warps = max(1, -(-int(part_begin[-1]) // WARP))
        order = np.argsort(-np.bincount(part, minlength=part_begin[-1]), kind="stable")
        segment_of = np.empty(len(order), dtype=np.int64)
        segment_of[order] = np.arange(len(order)) % warps * WARP + np.arange(len(order)) // warps
        segment, column = segment_of[part], quantity.indices.astype(np.int64)

        blocks = -(-warps * WARP // BLOCK)
        if quantity.nnz < 2 * blocks * instruments:
            chunk = 0
        chunks = -(-instruments // chunk) if chunk else 1
        key = (segment // WARP * chunks + (column // chunk if chunk else 0)) * WARP + segment % WARP
        order = np.lexsort((column, key))
        position = np.zeros(quantity.nnz, dtype=[("quantity", real), ("at", "i4" if real.itemsize == 4 else "i8")])
        position["quantity"] = quantity.data[order]
        position["at"] = (column % chunk * (tile * real.itemsize) if chunk else column)[order]
        count = np.bincount(key, minlength=warps * chunks * WARP)
        return cls(
            {
                "segments": warps * WARP,
                "part_begin": part_begin.astype(np.int64),
                "part": segment_of,
                "chunk": chunk,
                "chunks": chunks if chunk else 0,
                "segment_begin": np.zeros(1, np.int64) if chunk else np.concatenate([[0], np.cumsum(count)]),
                "run_begin": np.concatenate([[0], np.cumsum(count.reshape(-1, WARP).sum(axis=1))[:-1]]),
                "run_count": count.astype(np.uint8) if chunk else np.zeros(1, np.uint8),
                "position": position,
            }
        )
