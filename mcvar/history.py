"""Price and volatility histories. Nothing fills a gap: a missing value is an error."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from mcvar.columns import Columns
from mcvar.errors import InputError

Floats = NDArray[np.float64]
_YEAR = np.timedelta64(365 * 86400, "s")


@dataclass(frozen=True)
class History:
    """Levels of factors through time, without gaps.

    Parameters
    ----------
    source : str
        Where it was read from, for messages.
    dates : ndarray [T], datetime64[us]
        Strictly increasing, UTC.
    names : tuple of str [F]
    levels : ndarray [T, F]
        Finite.
    """

    source: str
    dates: NDArray[np.datetime64]
    names: tuple[str, ...]
    levels: Floats

    @property
    def steps_per_year(self) -> float:
        """(rows - 1) / ACT/365 years spanned."""
        return (len(self.dates) - 1) / float((self.dates[-1] - self.dates[0]) / _YEAR)

    def until(self, time: np.datetime64) -> History:
        """The rows at or before `time`."""
        keep = self.dates <= time
        if keep.sum() < 3:
            raise InputError(self.source, [f"only {keep.sum()} rows at or before {time}: at least 3 are needed"])
        return History(self.source, self.dates[keep], self.names, self.levels[keep])

    def moves(self, names: Sequence[str], shocks: Sequence[str]) -> Floats:
        """Moves of the named factors, [T - 1, F].

        Parameters
        ----------
        names : sequence of str [F]
        shocks : sequence of str [F]
            `log`: log(S_t / S_t-1); `simple`: S_t / S_t-1 - 1; `absolute`: S_t - S_t-1.

        Raises
        ------
        InputError
            Factors without a column; prices that are not positive under log or simple shocks.
        """
        missing = [name for name in names if name not in self.names]
        if missing:
            raise InputError(
                self.source,
                [f"no column for factor '{name}': the columns are {', '.join(self.names)}" for name in missing],
            )
        levels = self.levels[:, [self.names.index(name) for name in names]]
        problems = [
            f"{names[f]} is {levels[t, f]:g} on {_day(self.dates[t])}: {shocks[f]} returns do not exist there; "
            f"give {names[f]} shock=absolute in the factors file, or use a history without that date"
            for t, f in np.argwhere(levels <= 0)
            if shocks[f] != "absolute"
        ]
        if problems:
            raise InputError(self.source, problems)
        moves = np.empty((len(levels) - 1, len(names)))
        for f, shock in enumerate(shocks):
            now, before = levels[1:, f], levels[:-1, f]
            moves[:, f] = now - before if shock == "absolute" else now / before - 1.0
            if shock == "log":
                moves[:, f] = np.log1p(moves[:, f])
        return moves


def read_history(table: Columns, *, max_gap: float = 10.0) -> History:
    """Validate a table of a time column and one column of levels a factor.

    Parameters
    ----------
    table : Columns
        The first column (`date` or `time`) holds ISO times, strictly increasing.
    max_gap : float
        Largest distance between neighbouring rows, in median distances: a history with holes
        would count a move of weeks as a move of a day.

    Raises
    ------
    InputError
        All bad rows at once.
    """
    names = list(table.data)
    if len(names) < 2 or names[0].lower() not in ("date", "time"):
        raise InputError(
            table.source, ["a history has a first column `date` (ISO) and then a column of levels for each factor"]
        )
    problems: list[str] = []
    dates = table.times(names[0], problems)
    levels = np.column_stack([table.floats(name, problems) for name in names[1:]])
    if problems:
        raise InputError(table.source, problems)
    if len(table) < 3:
        problems.append(f"{len(table)} rows: at least 3 are needed")
    for row in np.flatnonzero(np.isnat(dates)):
        problems.append(f"{table.where(row)}: no {names[0]}")
    for row, column in np.argwhere(~np.isfinite(levels)):
        problems.append(f"{table.where(row)}: {names[1 + column]} is missing or not finite: fill it or remove the row")
    steps = np.diff(dates)
    if not np.isnat(steps).any() and len(steps):
        for row in np.flatnonzero(steps <= np.timedelta64(0)):
            problem = "is there twice" if dates[row] == dates[row + 1] else "is earlier than the row before"
            problems.append(f"{table.where(row + 1)}: {names[0]} {_day(dates[row + 1])} {problem}")
        usual = np.median(steps.astype(np.int64))
        for row in np.flatnonzero(steps.astype(np.int64) > max_gap * usual):
            problems.append(
                f"{table.where(row + 1)}: a gap from {_day(dates[row])} to {_day(dates[row + 1])}, over "
                f"{max_gap:g} times the usual step: use a history without it, or raise market.max_gap"
            )
    if problems:
        raise InputError(table.source, problems)
    return History(table.source, dates, tuple(names[1:]), levels)


def _day(time: np.datetime64) -> str:
    text = str(time.astype("datetime64[s]"))
    return text.removesuffix("T00:00:00")
