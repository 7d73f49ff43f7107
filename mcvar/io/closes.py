"""Daily closes of several coins or stocks, in a long or a wide table."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path

import numpy as np

from mcvar.columns import Columns
from mcvar.errors import InputError
from mcvar.history import History, read_history
from mcvar.io.tables import read_table


def read_closes(path: str | Path, coins: Sequence[str] = (), *, max_gap: float = 10.0) -> History:
    """Read daily closes, long (`date, coin, close` and `source`) or wide (`date` and a column for each coin).

    A close dated D is the price at the END of day D and is stored at midnight UTC of D + 1, so that `History.until`
    never lets a valuation see a later price. The long layout is cut to the span of dates that all coins have.

    Parameters
    ----------
    coins : sequence of str
        Columns of the history; empty: all, in the order of the file.
    max_gap : float
        See `mcvar.history.read_history`.
    """
    table = read_table(path)
    if long := "coin" in table.data:
        table.check_names(("date", "coin", "close"), ("source",))
    date, *columns = list(table.data) or [""]
    there = list(dict.fromkeys(table.texts("coin"))) if long else columns
    wanted = list(coins) or there
    problems = [f"no closes of {c}: there are those of {', '.join(there)}" for c in wanted if c not in there]
    if problems:
        raise InputError(table.source, problems)
    wide = _pivot(table, wanted) if long else replace(table, data={name: table.data[name] for name in (date, *wanted)})
    history = read_history(wide, max_gap=max_gap)
    late = history.dates[history.dates != history.dates.astype("datetime64[D]")]
    if len(late):
        raise InputError(table.source, [f"{late[0]}Z has a time of day: these are daily closes, give bare dates"])
    return replace(history, dates=history.dates + np.timedelta64(1, "D"))


def _pivot(table: Columns, coins: Sequence[str]) -> Columns:
    """A row for each date in the span that the coins have in common, named 20260131; NaN where a coin has none."""
    problems: list[str] = []
    close, row_of = table.floats("close", problems), dict[tuple[str, np.datetime64], int]()
    problems += [
        f"{table.where(row)}: the close has no date" for row, text in enumerate(table.texts("date")) if not text
    ]
    for row, key in enumerate(zip(table.texts("coin"), table.times("date", problems), strict=True)):
        if row_of.setdefault(key, row) != row:
            where = table.where(row_of[key])
            problems.append(
                f"{table.where(row)}: {key[0]} has a second close on that date (first in {where}): remove one"
            )
    if problems:
        raise InputError(table.source, problems)
    spans = [[date for name, date in row_of if name == coin] for coin in coins]
    start, stop = max(map(min, spans)), min(map(max, spans))
    days = sorted({date for span in spans for date in span if start <= date <= stop})
    blank = np.append(close, np.nan)  # row -1
    data = {coin: blank[[row_of.get((coin, day), -1) for day in days]] for coin in coins}
    numbers = np.array([int(str(day)[:10].replace("-", "")) for day in days], dtype=np.int64)
    return Columns(table.source, {"date": np.array(days, dtype="datetime64[us]"), **data}, "date", numbers)
