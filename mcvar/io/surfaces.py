"""Histories of implied-volatility surfaces: constant-maturity volatilities and prices, to be fitted jointly."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from mcvar.columns import Columns
from mcvar.errors import InputError
from mcvar.history import History, read_history
from mcvar.io.deribit_tables import TENORS, constant_maturity, volatility_name
from mcvar.io.tables import read_table
from mcvar.market import DAYS_PER_YEAR

Floats = NDArray[np.float64]
# An expiry of less than two days dies between two rows of a daily history, and its volatility is that of an hour.
SHORTEST = 2.0
_NEEDED = ("time", "currency", "expiry", "T", "index", "atm_iv")
_OTHER = ("future", "call10_iv", "put10_iv", "call25_iv", "put25_iv", "n", "open_interest")


def read_surface(
    path: str | Path,
    coins: Sequence[str] = (),
    *,
    tenors: Sequence[float] = TENORS,
    shortest: float = SHORTEST,
    max_gap: float = 10.0,
) -> History:
    """Read a surface history into index prices and at-the-money volatilities of constant maturity.

    Total variance is linear between the expiries of a coin and volatility flat beyond them, as in
    `mcvar.io.deribit_tables.factor_table`, whose names the columns have: `BTC`, `ETH`, then `BTC-VOL-7D` and so on. The
    price is the median over all expiries of `index`, whose rows are asked for in turn. A time at which some coin has no
    expiry of at least `shortest` is left out and counted in the notes; the move across it spans both steps.

    Parameters
    ----------
    path : str or Path
        A row for each time, coin and expiry, in order of time: `time` (UTC), `currency` (the coin), `expiry` (a date or
        a time), `T` (years to it), `index` (USD), `atm_iv` (annual, a decimal); other columns of such a file are
        `future, call10_iv, put10_iv, call25_iv, put25_iv, n, open_interest`.
    coins : sequence of str
        In the order of the columns; empty: all, in the order of the file.
    tenors : sequence of float
        Days to expiry.
    shortest : float
        Days to the nearest expiry that is used.
    max_gap : float
        See `mcvar.history.read_history`.

    Raises
    ------
    InputError
        All bad rows at once; a coin without rows; fewer than 3 times that all coins have; gaps.
    """
    table = read_table(path)
    surface = _checked(table)
    there = list(dict.fromkeys(surface.coin.tolist()))
    wanted = list(coins) or there
    missing = [f"no rows of {c}: there are those of {', '.join(there) or 'no coin'}" for c in wanted if c not in there]
    if not wanted:
        missing = ["there is no row: the table is empty"]
    if missing:
        raise InputError(table.source, missing)
    times, first = np.unique(surface.time, return_index=True)
    each = [surface.levels(name, times, tenors, shortest / DAYS_PER_YEAR) for name in wanted]
    levels = np.column_stack([e[:, 0] for e in each] + [e[:, 1:] for e in each])
    whole = np.isfinite(levels).all(axis=1)
    lacking = {c: int(np.isnan(e[:, 0]).sum()) for c, e in zip(wanted, each, strict=True) if np.isnan(e[:, 0]).any()}
    left_out = (
        f"{len(times) - whole.sum()} of {len(times)} times of {table.source} are left out: no expiry of at least "
        f"{shortest:g} days, of {', '.join(f'{c} at {n}' for c, n in lacking.items())}"
    )
    if whole.sum() < 3:
        what = left_out if lacking else f"{whole.sum()} times"
        raise InputError(table.source, [f"{what}: at least 3 times are needed, give a longer history"])
    names = [*wanted, *(volatility_name(coin, days) for coin in wanted for days in tenors)]
    lines = np.arange(1, len(table) + 1) if table.lines is None else table.lines
    data = {"time": times[whole], **dict(zip(names, levels[whole].T, strict=True))}
    history = read_history(Columns(table.source, data, table.unit, lines[first][whole]), max_gap=max_gap)
    return replace(history, notes=(left_out,) if lacking else ())


@dataclass(frozen=True)
class _Surface:
    """Sound rows of a surface history, in order of time; all [n]."""

    time: NDArray[np.datetime64]
    coin: NDArray[np.object_]
    years: Floats  # to expiry
    index: Floats  # USD
    volatility: Floats  # annual, a decimal

    def levels(self, coin: str, times: NDArray[np.datetime64], tenors: Sequence[float], shortest: float) -> Floats:
        """Price and volatilities of a coin at each time, [times, 1 + tenors]; NaN where no expiry can be used."""
        own = np.flatnonzero(self.coin == coin)
        start, stop = (np.searchsorted(self.time[own], times, side) for side in ("left", "right"))
        levels = np.full((len(times), 1 + len(tenors)), np.nan)
        for t in range(len(times)):
            rows = own[start[t] : stop[t]]
            used = rows[self.years[rows] >= shortest]
            if len(used):
                used = used[np.argsort(self.years[used])]
                levels[t, 0] = np.median(self.index[rows])
                levels[t, 1:] = constant_maturity(self.years[used], self.volatility[used], tenors)
        return levels


def _checked(table: Columns) -> _Surface:
    """The rows of the table; what is wrong with any of them is one error."""
    table.check_names(_NEEDED, _OTHER)
    problems: list[str] = []
    time, expiry = table.times("time", problems), table.times("expiry", problems)
    number = {name: table.floats(name, problems) for name in ("T", "index", "atm_iv")}
    coin = np.array(table.texts("currency"), dtype=object)
    sound = table.sound(problems)  # cells that are no times or numbers are told already
    first: dict[tuple[object, ...], int] = {}
    again = np.zeros(len(table), dtype=bool)
    for row, key in enumerate(zip(time.tolist(), coin, expiry.tolist(), strict=True)):
        again[row] = first.setdefault(key, row) != row
    days = (expiry - time) / np.timedelta64(1, "D")
    ahead = DAYS_PER_YEAR * number["T"]

    def refuse(bad: NDArray[np.bool_], what: str, name: str = "") -> None:
        for row in np.flatnonzero(sound & bad):
            value = number[name][row] if name else 0.0
            cell = f"{name} is {'blank' if np.isnan(value) else f'{value:g}'}, and " if name else ""
            problems.append(f"{table.where(row)}: {cell}{what}")

    refuse(np.isnat(time), "no time: give that of the quotes, in UTC")
    refuse(coin == "", "no currency: give the coin, such as BTC")
    refuse(np.isnat(expiry), "no expiry: give its date")
    refuse(again & ~(np.isnat(time) | np.isnat(expiry)), "a second row of that time, coin and expiry: remove one")
    refuse(
        np.append(False, np.diff(time) < np.timedelta64(0)),
        "the time is earlier than that of the row before: sort the rows by time",
    )
    for name in ("index", "atm_iv"):
        refuse(~_positive(number[name]), "must be positive: correct or remove the row", name)
    refuse(~_positive(number["T"]), "must be the years to the expiry: correct or remove the row", "T")
    # A bare date is its midnight, and years may have 365.25 days.
    refuse(
        _positive(number["T"]) & (np.abs(ahead - days) > 1.0 + 1e-3 * days),
        "the expiry is another time away: correct T (years), time or expiry",
        "T",
    )
    if not problems and len(table) and not 0.02 < (usual := np.median(number["atm_iv"])) < 20:
        problems.append(f"atm_iv is read in decimals, which gives a median of {usual:.4g}: check its unit")
    if problems:
        raise InputError(table.source, problems)
    return _Surface(time, coin, number["T"], number["index"], number["atm_iv"])


def _positive(values: Floats) -> NDArray[np.bool_]:
    return (values > 0) & (values < np.inf)
