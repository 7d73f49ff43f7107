"""Scan risk: what positions lose at each point, and the worst of it."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray
from scipy import sparse

from mcvar.scan.holdings import Holdings
from mcvar.scan.plan import Plan

Floats = NDArray[np.float64]
Ints = NDArray[np.int64]
CHUNK = 16_384  # pairs whose losses at all points are in memory together


@dataclass(frozen=True)
class Worst:
    """Of each pair of an account and a commodity, [G].

    Parameters
    ----------
    active : ndarray
        The point with the largest loss, from 0; `parameters.tie` decides between equals.
    loss : ndarray
        There: R_a. The scan risk is its positive part.
    price_risk : ndarray
        VolAdj - TimeRisk; 0 where no inter-commodity spread asks for it.
    """

    active: Ints
    loss: Floats
    price_risk: Floats


def worst(plan: Plan, held: Holdings) -> Worst:
    """The active scenario of each pair.

    VolAdj = (R_a + R_pair(a)) / 2, TimeRisk = (R_1 + R_2) / 2 with the points at price 0, PriceRisk their difference.
    """
    found = Worst(np.zeros(held.pairs, dtype=np.int64), np.zeros(held.pairs), np.zeros(held.pairs))
    for at, loss in losses(plan, held):
        if plan.parameters.tie == "lowest":
            active = loss.argmax(axis=1)
        else:
            active = loss.shape[1] - 1 - loss[:, ::-1].argmax(axis=1)
        flat, first = loss.ravel(), np.arange(len(loss)) * loss.shape[1]
        largest = flat[first + active]
        found.active[at], found.loss[at] = active, largest
        if plan.pools.spreads:
            adjusted = (largest + flat[first + plan.grid.pair[active]]) / 2
            found.price_risk[at] = adjusted - (loss[:, plan.level] + loss[:, plan.grid.pair[plan.level]]) / 2
    return found


def losses(plan: Plan, held: Holdings) -> Iterator[tuple[Ints, Floats]]:
    """Chunks of pairs, by number, and R_j = sum of quantity * array_j, [n, S]."""
    for first in range(0, held.pairs, CHUNK):
        bound = held.start[first : first + CHUNK + 1]
        begin, end = int(bound[0]), int(bound[-1])
        quantity = sparse.csr_array(
            (held.quantity[begin:end], held.contract[begin:end], bound - bound[0]),
            shape=(len(bound) - 1, len(plan.order)),
        )
        yield held.place[first : first + CHUNK], quantity @ plan.loss
