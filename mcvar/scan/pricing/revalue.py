"""Full revaluation at the points of a grid, through the engine seam: numpy, native and the GPU do the same.

Each volatility state is an engine of its own, whose instruments have other volatilities; each price point is one
explicit scenario of it, in which price factors move as their shocks say and all other factors are left still. A row is
one long unit of one contract in its own currency.
"""

from __future__ import annotations

from dataclasses import dataclass, replace

import numpy as np
from numpy.typing import NDArray
from scipy import sparse

from mcvar.book import Book
from mcvar.engines import EngineChoice
from mcvar.engines.groups import groups
from mcvar.engines.levels import Levels
from mcvar.engines.rows import Rows
from mcvar.errors import SettingError
from mcvar.instruments import Instruments, take
from mcvar.market import Market, Shock
from mcvar.scan.pricing.contracts import bare
from mcvar.scenarios import Explicit
from mcvar.shocks import move_to

Floats = NDArray[np.float64]
Ints = NDArray[np.int64]


@dataclass(frozen=True)
class Shifts:
    """What happens to C commodities at S points.

    Parameters
    ----------
    commodity : tuple of str [C]
    of : ndarray [I]
        The commodity of each instrument.
    part, add : ndarray [C, S]
        A price P of the commodity becomes P + |P| part + add.
    volatility : ndarray [Q, I]
        Volatilities of the instruments in each state, NaN where they have none.
    state : ndarray [S]
        Which state a point is in.
    years : ndarray [C]
        That pass until the points.
    floor : float
        For ranges that are tried out: prices with log or simple shocks fall to this part of themselves at most. 0, for
        margins: with log shocks a fall to 0 or below is refused, with simple ones it ends at 0, as in a simulated
        scenario. Prices with absolute shocks go wherever the move takes them.
    """

    commodity: tuple[str, ...]
    of: Ints
    part: Floats
    add: Floats
    volatility: Floats
    state: Ints
    years: Floats
    floor: float = 0.0

    def target(self, market: Market, c: int, factor: int) -> Floats:
        """The price of a factor at each point when it belongs to commodity `c`, [S]."""
        level, shock = market.factors.level[factor], market.factors.shock[factor]
        to = level + abs(level) * self.part[c] + self.add[c]
        if shock is Shock.simple or (shock is Shock.log and self.floor > 0):
            return np.asarray(np.maximum(to, self.floor * level))
        return np.asarray(to)


def worth(market: Market, instruments: Instruments) -> Floats:
    """Values today in the instruments' own currencies, futures-style options at their premiums, [I]."""
    rows, values = Rows(market), np.empty(len(instruments))
    for group in groups(rows, bare(instruments), 0.0, path=False):
        out = np.empty((len(group.index), 1))
        with np.errstate(all="ignore"):  # the engines refuse what is not finite, by name
            group.value(Levels(rows, rows.still()), out)
        values[group.index] = out[:, 0]
    return values


def revalue(market: Market, book: Book, choice: EngineChoice, shifts: Shifts) -> Floats:
    """Values of one long unit of each contract at the points; of futures and perpetuals the profit since today.

    Parameters
    ----------
    market : Market
    book : Book
        Whose instruments are valued; who holds them does not matter.
    choice : EngineChoice
        Always in double precision.
    shifts : Shifts

    Returns
    -------
    ndarray [I, S]
        In the contracts' own currencies.

    Raises
    ------
    SettingError
        Prices that would reach 0 where shocks are log, all of them.
    """
    instruments = bare(book.instruments)
    used = _used(shifts, instruments)
    _refuse(market, shifts, used)
    layer = _layers(used)
    later = np.empty((len(instruments), len(shifts.state)))
    for years in np.unique(shifts.years):
        index = np.flatnonzero(shifts.years[shifts.of] == years)
        if len(index):
            some = take(instruments, index)
            later[index] = _at(market, book, some, choice, shifts, index, layer, used, float(years))
    return later


def _at(
    market: Market,
    book: Book,
    instruments: Instruments,
    choice: EngineChoice,
    shifts: Shifts,
    index: Ints,
    layer: Ints,
    used: list[set[int]],
    years: float,
) -> Floats:
    """Values of the instruments at `index`, whose commodities look equally far ahead, [n, S]."""
    of, layers = shifts.of[index], int(layer.max()) + 1
    out = np.empty((len(index), len(shifts.state)))
    for state in np.unique(shifts.state):
        points = np.flatnonzero(shifts.state == state)
        moves = np.zeros((len(market.factors), layers, len(points)))
        for c in np.unique(of).tolist():
            for f in used[c]:
                shock, level = market.factors.shock[f], market.factors.level[f]
                moves[f, layer[c]] = move_to(shock, level, shifts.target(market, c, f)[points])
        held = replace(instruments, volatility=shifts.volatility[state][index])
        engine = choice.doubled.make(market, _units(held, book), Explicit(moves.reshape(len(moves), -1)), years)
        values = engine.pnl_at(np.arange(layers * len(points))) + engine.value_0[:, None]
        out[:, points] = values.reshape(len(index), layers, len(points))[np.arange(len(index)), layer[of]]
    return out


def _units(instruments: Instruments, book: Book) -> Book:
    """A row holds one long unit of one contract."""
    size = len(instruments)
    return Book(
        instruments=instruments,
        quantity=sparse.csr_array(sparse.eye_array(size, format="csr")),
        row=instruments.name,
        currency=("",) * size,
        convert=np.full((size, 2), -1, dtype=np.int64),
        kind=("",) * size,
        positions=size,
        accounts=size,
        pricing=book.pricing,
    )


def _used(shifts: Shifts, instruments: Instruments) -> list[set[int]]:
    """The price factors of each commodity."""
    used: list[set[int]] = [set() for _ in shifts.commodity]
    for c, f in zip(shifts.of.tolist(), instruments.underlying.tolist(), strict=True):
        if f >= 0:
            used[c].add(f)
    return used


def _layers(used: list[set[int]]) -> Ints:
    """Commodities that share a price factor move it in scenarios of their own: the layer of each, [C]."""
    taken: list[set[int]] = []
    layer = np.zeros(len(used), dtype=np.int64)
    for c, factors in enumerate(used):
        at = next((at for at, others in enumerate(taken) if not factors & others), len(taken))
        if at == len(taken):
            taken.append(set())
        taken[at] |= factors
        layer[c] = at
    return layer


def _refuse(market: Market, shifts: Shifts, used: list[set[int]]) -> None:
    problems = []
    for c, factors in enumerate(used):
        for f in sorted(factors):
            target = shifts.target(market, c, f)
            if market.factors.shock[f] is Shock.log and (low := float(target.min())) <= 0:
                at = int(target.argmin()) + 1
                problems.append(
                    f"'{shifts.commodity[c]}' moves the price of {market.factors.name[f]} from "
                    f"{market.factors.level[f]:g} to {low:g} at point {at}, which a log shock cannot"
                )
    if problems:
        raise SettingError(
            "; ".join(problems) + ". Take a smaller price range or extreme move, or give the factor shock=simple, "
            "which stops at 0, or shock=absolute, which does not"
        )
