"""The reference engine: the four lines in numpy float64. Specification, oracle, CPU fallback.

    x   = rows.moves(scenarios, block)        # [F, N] step by step, and what is watched of the path
    dv  = value(x) - value_0                  # [I, N]  one revaluation an instrument
    pnl = quantity @ dv                       # [R, N]

Scenarios are taken in aligned blocks of `BLOCK`, because BLAS rounds differently for different
shapes: any chunking and any number of workers then gives the same bits. Instruments are taken in
panels of at most `PANEL`, so that nothing of size [I, N] or [R, N] with N the number of scenarios
ever exists.
"""

from __future__ import annotations

from collections.abc import Sequence
from copy import copy

import numpy as np
from numpy.typing import NDArray
from scipy import sparse

from mcvar.book import Book
from mcvar.engines.groups import Group, groups
from mcvar.engines.levels import Levels, ratio
from mcvar.engines.rows import Rows
from mcvar.errors import McvarError
from mcvar.market import Market
from mcvar.scenarios import BLOCK, Scenarios
from mcvar.watched import Watched

Floats = NDArray[np.float64]
PANEL = 2048  # instruments valued before their P&L is added up: 16 MB of dv a worker


class Reference:
    """Full revaluation of a book under scenarios, numpy float64.

    Parameters
    ----------
    market : Market
    book : Book
    scenarios : Scenarios
    years : float
        Time decay over the horizon, ACT/365 years.
    watched : sequence of Watched
        Statistics of the paths that are asked for beyond what the instruments read.

    Attributes
    ----------
    axes : Rows
        What the rows of a block of moves are.
    value_0 : ndarray [I]
        Undisturbed values in the reporting currency, 0 for instruments in variation margin.
    settling : int
        Held instruments that expire inside the horizon.
    panels : list of Panel
        Groups with their values today, and the quantities of each panel.
    base : ndarray [R]
        What each row's holdings are worth today in the reporting currency.
    """

    def __init__(
        self, market: Market, book: Book, scenarios: Scenarios, years: float, watched: Sequence[Watched] = ()
    ) -> None:
        self.market, self.book, self.scenarios = market, book, scenarios
        self.axes = Rows.of(market, scenarios, years, book.instruments, watched)
        now = Levels(self.axes, self.axes.still())
        with np.errstate(all="ignore"):
            self.value_0 = np.zeros(len(book.instruments))
            for group in groups(self.axes, book.instruments, 0.0, path=False):
                value = np.empty((len(group.index), 1))
                group.value(now, value)
                self.value_0[group.index] = value[:, 0]
        self.settling = int((book.instruments.years <= years).sum())
        with np.errstate(all="ignore"):
            parts = groups(self.axes, book.instruments, years, path=True, pricing=book.pricing)
        self.panels = _panels(parts, self.value_0, book.quantity)
        self.base = book.quantity @ self.value_0  # [R]
        self._foreign = [r for r, (up, down) in enumerate(book.convert) if (up, down) != (-1, -1)]
        _check_values(book, self.value_0)

    def redrawn(self, scenarios: Scenarios) -> Reference:
        """See `Engine.redrawn`."""
        other = copy(self)
        other.scenarios = scenarios
        return other

    @property
    def rows(self) -> int:
        """R."""
        return len(self.book.row)

    def pnl(self, start: int, stop: int) -> Floats:
        """See `Engine.pnl`."""
        first, last = start // BLOCK, -(-stop // BLOCK)
        pnl = np.empty((self.rows, (last - first) * BLOCK))
        for block in range(first, last):
            at = (block - first) * BLOCK
            self._block(block * BLOCK, pnl[:, at : at + BLOCK])
        return pnl[:, start - first * BLOCK : stop - first * BLOCK]

    def pnl_at(self, scenarios: NDArray[np.int64]) -> Floats:
        """P&L of every row in the named scenarios, [R, n]."""
        with np.errstate(all="ignore"):
            x = self.axes.moves_at(self.scenarios, scenarios)
        pnl = np.empty((self.rows, len(scenarios)))
        for at in range(0, len(scenarios), BLOCK):
            piece = slice(at, at + BLOCK)
            self._value(x[:, piece], pnl[:, piece], scenarios[piece])
        return pnl

    def moves(self, start: int, stop: int) -> Floats:
        """See `Engine.moves`."""
        first, last = start // BLOCK, -(-stop // BLOCK)
        blocks = [self.axes.moves(self.scenarios, b * BLOCK, (b + 1) * BLOCK) for b in range(first, last)]
        return np.concatenate(blocks, axis=1)[:, start - first * BLOCK : stop - first * BLOCK]

    def _block(self, start: int, pnl: Floats) -> None:
        with np.errstate(all="ignore"):
            x = self.axes.moves(self.scenarios, start, start + BLOCK)
        self._value(x, pnl, np.arange(start, start + BLOCK))

    def _value(self, x: Floats, pnl: Floats, scenarios: NDArray[np.int64]) -> None:
        """P&L [R, n] of moves [F + S + U, n] of the named scenarios."""
        with np.errstate(all="ignore"):  # what is not finite in the end is an error, below
            levels = Levels(self.axes, x)
            pnl[:] = 0.0
            for panel, quantity in self.panels:
                dv = np.empty((quantity.shape[1], x.shape[1]))
                at = 0
                for group, value_0 in panel:
                    part = dv[at : at + len(value_0)]
                    group.value(levels, part)
                    part -= value_0
                    at += len(value_0)
                pnl += quantity @ dv
            for r in self._foreign:
                rate_0 = ratio(self.market.factors.level, *self.book.convert[r])
                rate_h = ratio(levels.price, *self.book.convert[r])
                pnl[r] = (pnl[r] + self.base[r]) / rate_h - self.base[r] / rate_0
        check_finite(self.book, pnl, scenarios)


Panel = tuple[list[tuple[Group, Floats]], sparse.csr_array]  # groups with their value_0 [G, 1]; quantities


def _panels(parts: list[Group], value_0: Floats, quantity: sparse.csr_array) -> list[Panel]:
    """Groups joined up to `PANEL` instruments, with their columns of the quantities in that order."""
    joined: list[list[Group]] = [[]]
    for group in parts:
        if joined[-1] and sum(len(g.index) for g in joined[-1]) + len(group.index) > PANEL:
            joined.append([])
        joined[-1].append(group)
    columns = quantity.tocsc()
    return [
        ([(g, value_0[g.index, None]) for g in panel], columns[:, np.concatenate([g.index for g in panel])].tocsr())
        for panel in joined
    ]


def check_finite(book: Book, pnl: Floats, scenarios: NDArray[np.int64]) -> None:
    """Refuse P&L [R, N] of the named scenarios [N] that is not finite, naming the row and the scenario."""
    if not np.isfinite(pnl).all():
        r, n = (int(i) for i in np.argwhere(~np.isfinite(pnl))[0])
        raise McvarError(not_finite(book.row[r], str(pnl[r, n]), int(scenarios[n])))


def not_finite(row: str, value: str, scenario: int) -> str:
    """What to say of P&L that is not finite."""
    return (
        f"the P&L of '{row}' is {value} in scenario {scenario}: a move there is beyond what prices can follow. "
        "Lower the volatilities or the horizon, raise model.dof, or use shock=simple"
    )


def _check_values(book: Book, value_0: Floats) -> None:
    bad = np.flatnonzero(~np.isfinite(value_0))
    if len(bad):
        names = ", ".join(f"'{book.instruments.name[i]}' ({value_0[i]})" for i in bad[:20])
        raise McvarError(f"{len(bad)} instruments have no finite value today: {names}. Correct their terms")
