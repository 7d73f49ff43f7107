"""Where the VaR and ES of one account come from: its tail scenarios again, position by position and factor by factor.

Scenarios are named, so the few behind the worst losses of a finished run are drawn again and nothing else is. What each
instrument loses in them is what `mcvar.jobs.contributions` averages.
"""

from __future__ import annotations

from dataclasses import dataclass, replace

import numpy as np
from numpy.typing import NDArray
from scipy import sparse

from mcvar.book import Book
from mcvar.engines import Device, EngineChoice, Reference
from mcvar.engines.levels import Levels, ratio
from mcvar.engines.rows import Rows
from mcvar.errors import SettingError
from mcvar.instruments import take
from mcvar.market import Market
from mcvar.scenarios import Explicit, Scenarios

Floats = NDArray[np.float64]
Ints = NDArray[np.int64]
CONVERSION = "conversion"  # what the account's currency does to what is held today
TIME, TOGETHER = "time", "together"
_NUMBERS = 2**24  # moves uploaded at once
_ROUNDING = 1e-12  # of gross: a loss that is no more is 0


@dataclass(frozen=True)
class Replay:
    """One account in the scenarios of its tail, worst first.

    Parameters
    ----------
    name : tuple of str [P]
        Instruments that it holds.
    underlying : tuple of str [P]
        Of each; "" for cash.
    part : ndarray [P + 1, K]
        Loss of each position in the account's currency, then that of converting the holdings of today.
    loss : ndarray [K]
        Their sum; 0 where they cancel but for rounding.
    scenario : ndarray [K]
    gross : float
        Largest sum of |losses| of the positions in one scenario, and what they are worth today without their signs.
    """

    name: tuple[str, ...]
    underlying: tuple[str, ...]
    part: Floats
    loss: Floats
    scenario: Ints
    gross: float

    def by_instrument(self) -> dict[str, Floats]:
        """Losses [K] of each instrument, and of the conversion where there is one."""
        return dict(zip(self.name, self.part[:-1], strict=True)) | self._conversion()

    def by_underlying(self) -> dict[str, Floats]:
        """Sums of the positions on each underlying, and the conversion."""
        owner = np.array(self.underlying)
        return {u: self.part[:-1][owner == u].sum(axis=0) for u in dict.fromkeys(self.underlying)} | self._conversion()

    def _conversion(self) -> dict[str, Floats]:
        return {CONVERSION: self.part[-1]} if self.part[-1].any() else {}

    def take(self, order: Ints) -> Replay:
        """The same scenarios in another order, or some of them."""
        return replace(self, part=self.part[:, order], loss=self.loss[order], scenario=self.scenario[order])


@dataclass(frozen=True)
class Account:
    """A row of a book, and what to value it with.

    Parameters
    ----------
    market, book, scenarios
        Of the run.
    decay : float
        Years that pass over the horizon.
    engine : EngineChoice
        Replays are in double precision whatever its precision is.
    row : int

    Examples
    --------
    >>> from mcvar import build
    >>> from mcvar.config import Config
    >>> from mcvar.engines import choose
    >>> given = build.inputs(Config())
    >>> account = Account(given.market, given.book, given.scenarios, given.horizon.decay, choose("numpy"), row=0)
    >>> replay = account.replay(np.array([7, 90_000]))
    >>> bool(np.allclose(np.sum(list(account.by_factor(replay).values()), axis=0), replay.loss))
    True
    """

    market: Market
    book: Book
    scenarios: Scenarios
    decay: float
    engine: EngineChoice
    row: int

    @property
    def held(self) -> Ints:
        """Instruments of which the account holds something."""
        row = self.book.quantity[[self.row]].tocoo()
        return np.asarray(np.sort(row.col[row.data != 0]), dtype=np.int64)

    def replay(self, scenario: Ints) -> Replay:
        """The account in some scenarios.

        Raises
        ------
        SettingError
            It holds nothing.
        """
        held, i = self.held, self.book.instruments
        if not len(held):
            raise SettingError(f"job.account '{self.book.row[self.row]}' holds nothing: there is nothing to explain")
        quantity = self.book.quantity[[self.row]].toarray()[0, held]
        unit, worth, rate, rate_0 = self._units(held, scenario)
        today = quantity * worth
        part = np.vstack([-quantity[:, None] * unit / rate, -today.sum() * (1.0 / rate - 1.0 / rate_0)])
        gross = float(np.abs(part).sum(axis=0).max() + np.abs(today).sum() / rate_0)
        return Replay(
            name=tuple(i.name[k] for k in held),
            underlying=tuple(self.market.factors.underlying[u] if u >= 0 else "" for u in i.underlying[held]),
            part=part,
            loss=_settled(part.sum(axis=0), gross),
            scenario=scenario,
            gross=gross,
        )

    def unit_losses(self, index: Ints, scenario: Ints) -> Floats:
        """Losses of one of each instrument in the account's currency, conversion included, [P, n]."""
        unit, worth, rate, rate_0 = self._units(index, scenario)
        return np.asarray(worth[:, None] / rate_0 - (unit + worth[:, None]) / rate)

    def _units(self, index: Ints, scenario: Ints) -> tuple[Floats, Floats, Floats, float]:
        """P&L of one of each [P, n], values today [P]; run's units for one of the account's currency [n], and today."""
        made = self._make(index, sparse.eye_array(len(index)).tocsr())
        reference = made.reference if isinstance(made, Device) else made
        pair = (int(self.book.convert[self.row][0]), int(self.book.convert[self.row][1]))
        rate, unit = np.ones(len(scenario)), made.pnl_at(scenario)
        if pair != (-1, -1):
            x = reference.axes.moves_at(self.scenarios, scenario)
            rate = rate * ratio(Levels(reference.axes, x).price, *pair)
        worth = reference.base  # of one of each, in the run's currency
        return unit, worth, rate, float(ratio(self.market.factors.level, *pair))

    def together(self, index: Ints, quantity: Floats, scenarios: Scenarios | None = None) -> Reference | Device:
        """An engine with one row, in the account's currency, that holds so many of some instruments."""
        return self._make(index, sparse.csr_array(quantity[None, :]), scenarios, foreign=True)

    @property
    def axes(self) -> Rows:
        """What the account's instruments read of the moves."""
        return Rows.of(self.market, self.scenarios, self.decay, take(self.book.instruments, self.held))

    def by_factor(self, replay: Replay) -> dict[str, Floats]:
        """Losses [K] with one factor moved at a time; those of factors that do nothing are left out.

        `time` is the loss when nothing moves and the horizon passes; that of a factor is what its move adds to it;
        `together` is what moves of several factors add, so that all sum up to the loss.

        Raises
        ------
        SettingError
            The P&L is not a function of the moves over the horizon.
        """
        if reason := self.not_by_factor():
            raise SettingError(reason)
        held, size, count = self.held, len(self.market.factors), len(replay.scenario)
        quantity = self.book.quantity[[self.row]].toarray()[0, held]
        x = self.axes.moves_at(self.scenarios, replay.scenario)
        still = float(-self.together(held, quantity, Explicit(np.zeros((size, 1)))).pnl(0, 1)[0, 0])
        parts: dict[str, Floats] = {}
        step = max(1, _NUMBERS // (size * count))
        for at in range(0, size, step):
            some = range(at, min(at + step, size))
            shocks = np.zeros((size, len(some) * count))
            for k, f in enumerate(some):
                shocks[f, k * count : (k + 1) * count] = x[f]
            loss = -self.together(held, quantity, Explicit(shocks)).pnl(0, shocks.shape[1])[0] - still
            loss = _settled(loss, replay.gross)
            moved = zip(some, loss.reshape(len(some), count), strict=True)
            parts |= {self.market.factors.name[f]: part for f, part in moved if part.any()}
        parts[TIME] = _settled(np.full(count, still), replay.gross)
        parts[TOGETHER] = _settled(replay.loss - np.sum(list(parts.values()), axis=0), replay.gross)
        return parts

    def not_by_factor(self) -> str:
        """Why there is nothing by factor: the P&L is more than a function of the moves; "" if it is not."""
        axes = self.axes
        if axes.variance is None and not axes.watched:
            return ""
        what = "contracts read the paths of their underlyings, or expire on the way"
        if axes.variance is not None:
            what = "a stochastic variance moves with the prices"
        return f"nothing by factor: {what}, so that one factor moved alone has no meaning"

    def _make(
        self,
        index: Ints,
        quantity: sparse.csr_array,
        scenarios: Scenarios | None = None,
        *,
        foreign: bool = False,
    ) -> Reference | Device:
        """An engine for some instruments; rows are in the account's currency if `foreign`, else in the run's.

        A price table is made for all American options that go together, so these are taken along.
        """
        book, i = self.book, self.book.instruments
        early = np.flatnonzero(i.american) if i.american[index].any() else np.zeros(0, dtype=np.int64)
        taken = np.union1d(index, early)
        columns = sparse.csr_array(
            (np.ones(len(index)), (np.arange(len(index)), np.searchsorted(taken, index))), (len(index), len(taken))
        )
        rows = quantity.shape[0]
        small = replace(
            book,
            instruments=take(i, taken),
            quantity=sparse.csr_array(quantity @ columns),
            row=(book.row[self.row],) * rows,
            currency=((book.currency[self.row] if foreign else self.market.currency),) * rows,
            convert=np.tile(book.convert[self.row] if foreign else np.array([-1, -1]), (rows, 1)),
            kind=("",) * rows,
        )
        return self.engine.doubled.make(self.market, small, scenarios or self.scenarios, self.decay)


def _settled(loss: Floats, gross: float) -> Floats:
    """Losses without what is rounding."""
    return np.where(np.abs(loss) <= _ROUNDING * gross, 0.0, loss)
