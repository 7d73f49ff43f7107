"""Sensitivities of each instrument today, by differences of the pricers that the simulation uses.

Only the price of an instrument's own underlying moves, with all that follows from it: a coin's price also converts what
settles in the coin. Differences are central; the bump of the price follows the deviation to expiry, so that it stays
small against the width of the payoff.
"""

from __future__ import annotations

from dataclasses import dataclass, replace

import numpy as np
from numpy.typing import NDArray

from mcvar.book import Book
from mcvar.engines.groups import groups
from mcvar.engines.levels import Levels
from mcvar.engines.rows import Rows
from mcvar.errors import McvarError
from mcvar.families import touched_today
from mcvar.instruments import Instruments
from mcvar.market import DAYS_PER_YEAR, Market
from mcvar.shocks import move_to

Floats = NDArray[np.float64]
NAMES = ("value", "delta", "gamma", "vega", "theta")
_LARGEST, _SMALLEST = 1e-3, 1e-6  # bumps of the price, of itself
_OF_DEVIATION = 0.002
_VOLATILITY = 1e-4
_DAY = 1.0 / DAYS_PER_YEAR


@dataclass(frozen=True)
class Greeks:
    """Sensitivities in the reporting currency.

    Parameters
    ----------
    instrument : dict of str to ndarray [I]
        `value`; `delta` and `gamma` for a unit of the underlying's price; `vega` for 1.00 of annual volatility;
        `theta` for a day that passes while nothing moves.
    row, underlying : tuple [A]
        Rows of the book and the underlyings on which they hold something; "" for cash.
    account : dict of str to ndarray [A]
        Sums over the positions of a row on an underlying.
    """

    instrument: dict[str, Floats]
    row: tuple[str, ...]
    underlying: tuple[str, ...]
    account: dict[str, Floats]


def run(market: Market, book: Book) -> Greeks:
    """Sensitivities of all instruments of a book and of its rows.

    Raises
    ------
    McvarError
        Instruments whose sensitivities are not finite.
    """
    found = sensitivities(market, book.instruments)
    bad = [name for at, name in enumerate(book.instruments.name) if not all(np.isfinite(v[at]) for v in found.values())]
    if bad:
        names = ", ".join(bad[:20])
        raise McvarError(f"{len(bad)} instruments have no finite sensitivities: {names}. Correct their terms")
    held = book.quantity.tocoo()
    owner = book.instruments.underlying[held.col]
    pairs, place = np.unique(np.column_stack([held.row, owner]), axis=0, return_inverse=True)
    place = place.reshape(-1)
    account = {name: np.zeros(len(pairs)) for name in found}
    for name, values in found.items():
        np.add.at(account[name], place, held.data * values[held.col])
    return Greeks(
        instrument=found,
        row=tuple(book.row[r] for r, _ in pairs.tolist()),
        underlying=tuple(market.factors.underlying[u] if u >= 0 else "" for _, u in pairs.tolist()),
        account=account,
    )


def sensitivities(market: Market, instruments: Instruments) -> dict[str, Floats]:
    """`value, delta, gamma, vega, theta` of instruments today, [I] each; see `Greeks`.

    Examples
    --------
    See `tests/test_greeks.py`, which compares them with closed forms.
    """
    # What is settled in margin is worth nothing; its sensitivities are those of what it would be worth.
    whole = replace(instruments, margined=np.zeros(len(instruments), dtype=bool))
    level = market.factors.level
    spot = np.where(whole.underlying >= 0, level[np.maximum(whole.underlying, 0)], 1.0)
    deviation = np.nan_to_num(whole.volatility, nan=1.0) * np.sqrt(np.where(np.isfinite(whole.years), whole.years, 1.0))
    size = np.where(spot == 0, 1.0, np.abs(spot))
    # Half way to a barrier at most: beyond it is another function of the price.
    gap = np.abs(whole.term["barrier"] - spot) / size
    width = np.fmin(_OF_DEVIATION * deviation, np.where(touched_today(whole.term, whole.volatility), np.nan, 0.5 * gap))
    _, peers = np.unique(np.column_stack([whole.kind, whole.underlying, whole.years]), axis=0, return_inverse=True)
    least = np.full(len(width), np.inf)  # one bump for all that are valued together
    np.minimum.at(least, peers.reshape(-1), width)
    bump = np.clip(least[peers.reshape(-1)], _SMALLEST, _LARGEST) * size
    still, up, down = (_values(market, whole, side * bump) for side in (0.0, 1.0, -1.0))
    low = np.maximum(whole.volatility - _VOLATILITY, 0.0)
    high = low + 2.0 * _VOLATILITY
    rise = _values(market, replace(whole, volatility=high)) - _values(market, replace(whole, volatility=low))
    later = _values(market, whole, elapsed=_DAY)
    return {
        "value": np.where(instruments.margined, 0.0, still),
        "delta": (up - down) / (2.0 * bump),
        "gamma": (up - 2.0 * still + down) / bump**2,
        "vega": np.where(np.isnan(whole.volatility), 0.0, rise / (2.0 * _VOLATILITY)),
        "theta": later - still,
    }


def _values(market: Market, instruments: Instruments, bump: Floats | None = None, elapsed: float = 0.0) -> Floats:
    """Values of instruments today or later, each with the price of its underlying moved by its `bump`, [I]."""
    rows = Rows(market)
    values = np.empty(len(instruments))
    for group in groups(rows, instruments, elapsed, path=False):
        x = rows.still()
        f = int(instruments.underlying[group.index[0]])
        if bump is not None and f >= 0:
            level = market.factors.level[f]
            x[f] = move_to(market.factors.shock[f], level, level + bump[group.index[:1]])
        out = np.empty((len(group.index), 1))
        with np.errstate(all="ignore"):  # what is not finite is an error of `run`
            group.value(Levels(rows, x), out)
        values[group.index] = out[:, 0]
    return values
