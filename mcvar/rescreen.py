"""Mixed precision: a tail screened in single precision, exact in double for every scenario that may have a wanted rank.

If no loss of the screen errs by more than b, the scenario whose exact loss has rank r is among
those whose screened loss lies within 2 b of the screened one of that rank: all others are on the
side where the screen sees them. These few are revalued in double and put in order. The bound b
comes from an audit: both precisions on the first scenarios. Every revaluation is a further audit,
and the bound is widened where one exceeds it.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from mcvar.engines.device import Device
from mcvar.sweep import KeptTail
from mcvar.tail import Tail

Floats = NDArray[np.float64]
AUDIT = 1024  # scenarios
_SAFETY = 4.0  # times the largest error of the audit
_REACH = 32  # neighbours of a rank that are looked at first


def audited_bound(screen: Device, exact: Device, count: int) -> Floats:
    """A bound on the error of a loss: some times the largest difference on the first scenarios, [R]."""
    count = min(count, AUDIT)
    return np.asarray(_SAFETY * np.abs(screen.pnl(0, count) - exact.pnl(0, count)).max(axis=1))


@dataclass(frozen=True)
class Rescreened:
    """See `mcvar.tail.Worst`: the losses at the wanted ranks are exact, all others those of the screen.

    Parameters
    ----------
    screen : KeptTail
    exact : mapping of rank to ndarray [R]
    bound : ndarray [R]
        On the error of a loss of the screen.
    """

    screen: KeptTail
    exact: dict[int, Floats]
    bound: Floats

    @classmethod
    def of(cls, screen: KeptTail, engine: Device, ranks: Sequence[int], bound: Floats) -> Rescreened:
        """Revalue what may have one of the ranks.

        Parameters
        ----------
        engine : Device
            In double precision.
        bound : ndarray [R]
            Of `audited_bound`.
        """
        while True:
            exact, error = {}, np.zeros(len(bound))
            for rank in ranks:
                exact[rank], seen = _exact(screen, engine, rank, bound)
                error = np.maximum(error, seen)
            if (error <= bound).all():
                return cls(screen, exact, bound)
            bound = np.maximum(bound, _SAFETY * error)

    @property
    def count(self) -> int:
        """N."""
        return self.screen.count

    def at(self, rank: int) -> Floats:
        """See `Worst.at`."""
        return self.exact[rank] if rank in self.exact else self.screen.at(rank)

    def excess(self, rank: int) -> tuple[Floats, Floats]:
        """See `Worst.excess`: the screen's sums, about the exact loss."""
        first, second = self.screen.excess(rank)
        shift = self.screen.at(rank) - self.at(rank)
        return first + (rank - 1) * shift, second + 2 * shift * first + (rank - 1) * shift**2

    def head(self, depth: int) -> Tail:
        """See `Worst.head`."""
        return self.screen.head(depth)

    def row(self, r: int) -> Tail:
        """See `Worst.row`."""
        return self.screen.row(r)


def _exact(screen: KeptTail, engine: Device, rank: int, bound: Floats) -> tuple[Floats, Floats]:
    """The exact loss of a rank, [R], and the largest error of the screen that was seen, [R]."""
    reach = _REACH
    while True:
        first = max(rank - reach, 1)
        loss, scenario = screen.part(rank, first, rank + reach)
        with np.errstate(invalid="ignore"):  # of rows that lack the rank, which run again
            near = np.abs(loss - loss[:, rank - first, None]) <= 2 * bound[:, None]
        near &= scenario >= 0
        # What is next to the part must be out of reach; at the ends of the tail there is nothing next to it.
        if (not (near[:, 0].any() and first > 1) and not near[:, -1].any()) or reach > screen.count:
            break
        reach *= 4
    named = np.unique(scenario[near])
    exact, error = loss[:, rank - first].copy(), np.zeros(len(loss))
    if not len(named):
        return exact, error
    losses = 0.0 - engine.pnl_at(named)  # [R, n]
    for r in np.flatnonzero(near.any(axis=1)):
        at = np.flatnonzero(near[r])
        true = losses[r, np.searchsorted(named, scenario[r, at])]
        error[r] = np.abs(true - loss[r, at]).max()
        exact[r] = np.sort(true)[::-1][rank - first - at[0]]
    return exact, error
