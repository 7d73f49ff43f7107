"""Scan risk: what positions lose at each point, and the worst of it."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray
from scipy import sparse

from mcvar.scan.span.holdings import Holdings
from mcvar.scan.span.plan import Plan
from mcvar.scan.ties import worst_point

Floats = NDArray[np.float64]
Ints = NDArray[np.int64]
CHUNK = 16_384  # pairs whose losses at all points are in memory together


@dataclass(frozen=True)
class Worst:
    """Of each pair of an account and a commodity, [G].

    Parameters
    ----------
    active : ndarray
        The point with the largest loss, from 0; `parameters.tie` decides between those that differ by rounding only:
        see `mcvar.scan.ties`.
    loss : ndarray
        The largest loss, R_a up to rounding. The scan risk is its positive part.
    price_risk : ndarray
        VolAdj - TimeRisk; 0 where no inter-commodity spread asks for it.
    gross : ndarray
        Sum over positions of |quantity| x the largest |loss| of one contract.
    """

    active: Ints
    loss: Floats
    price_risk: Floats
    gross: Floats


def worst(plan: Plan, held: Holdings) -> Worst:
    """The active scenario of each pair.

    VolAdj = (R_a + R_pair(a)) / 2, TimeRisk = (R_1 + R_2) / 2 with the points at price 0, PriceRisk their difference.
    """
    with np.errstate(over="ignore"):  # what is infinite is refused when margins are added up
        each = np.abs(held.quantity) * plan.size[held.contract]
        gross = np.empty(held.pairs)
        gross[held.place] = np.add.reduceat(each, held.start[:-1]) if held.pairs else 0.0
    found = Worst(np.zeros(held.pairs, dtype=np.int64), np.zeros(held.pairs), np.zeros(held.pairs), gross)
    for at, loss in losses(plan, held):
        active, found.loss[at] = worst_point(loss, gross[at], plan.parameters.tie)
        found.active[at] = active
        if plan.pools.spreads:
            flat, first = loss.ravel(), np.arange(len(loss)) * loss.shape[1]
            adjusted = (flat[first + active] + flat[first + plan.grid.pair[active]]) / 2
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
