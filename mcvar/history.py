"""Price and volatility histories. Nothing fills a gap: `Missing` says what a missing value means."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace
from enum import Enum

import numpy as np
from numpy.typing import NDArray

from mcvar.columns import Columns
from mcvar.errors import InputError

Floats = NDArray[np.float64]
_YEAR = np.timedelta64(365 * 86400, "s")


class Missing(Enum):
    """What blank cells of a history are.

    `refuse`: errors. `common`: reasons to leave out the whole row, so that the move across it spans both steps.
    `pairwise`: no level, and no move to or from it; the other factors keep theirs.
    """

    refuse = "refuse"
    common = "common"
    pairwise = "pairwise"


@dataclass(frozen=True)
class History:
    """Levels of factors through time.

    Parameters
    ----------
    source : str
        Where it was read from, for messages.
    dates : ndarray [T], datetime64[us]
        Strictly increasing, UTC.
    names : tuple of str [F]
    levels : ndarray [T, F]
        Finite; NaN where `Missing.pairwise` leaves a blank.
    notes : tuple of str
        What was left out.
    """

    source: str
    dates: NDArray[np.datetime64]
    names: tuple[str, ...]
    levels: Floats
    notes: tuple[str, ...] = ()

    @property
    def steps_per_year(self) -> float:
        """(rows - 1) / ACT/365 years spanned."""
        return (len(self.dates) - 1) / float((self.dates[-1] - self.dates[0]) / _YEAR)

    def until(self, time: np.datetime64) -> History:
        """The rows at or before `time`."""
        keep = self.dates <= time
        if keep.sum() < 3:
            raise InputError(self.source, [f"only {keep.sum()} rows at or before {time}: at least 3 are needed"])
        return replace(self, dates=self.dates[keep], levels=self.levels[keep])

    def moves(self, names: Sequence[str], shocks: Sequence[str]) -> Floats:
        """Moves of the named factors, [T - 1, F]; NaN where a level at either end is blank.

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


def read_history(table: Columns, *, max_gap: float = 10.0, missing: Missing | str = Missing.refuse) -> History:
    """Validate a table of a time column and one column of levels a factor.

    Parameters
    ----------
    table : Columns
        The first column (`date` or `time`) holds ISO times, strictly increasing.
    max_gap : float
        Largest distance between neighbouring rows, in median distances: a history with holes
        would count a move of weeks as a move of a day.
    missing : Missing or its name
        What blank cells are. The gaps are those between the rows that are left.

    Raises
    ------
    InputError
        All bad rows at once; fewer than 3 rows, or 3 in which all factors have a level.
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
    blank, missing = np.isnan(levels), Missing(missing)
    if len(table) < 3:
        problems.append(f"{len(table)} rows: at least 3 are needed")
    for row in np.flatnonzero(np.isnat(dates)):
        problems.append(f"{table.where(row)}: no {names[0]}")
    for row, column in np.argwhere(~np.isfinite(levels)):
        where = f"{table.where(row)}: {names[1 + column]}"
        if missing is Missing.refuse:
            problems.append(
                f"{where} is missing or not finite: fill it or remove the row (market=files: or set market.missing)"
            )
        elif not blank[row, column]:
            problems.append(f"{where} is {levels[row, column]:g}: correct it or leave it blank")
    kept = np.flatnonzero(~blank.any(axis=1)) if missing is Missing.common else np.arange(len(table))
    if not np.isnat(dates).any():
        problems += _steps(table, names[0], dates, kept, max_gap)
    if not problems and len(kept) < 3:
        problems = [
            f"only {len(kept)} of {len(table)} rows have a level of every factor, at least 3 are needed: use a "
            "history in which these dates overlap, leave a column out, or set market.missing=pairwise"
        ]
        problems += [_span(name, dates[~blank[:, f]]) for f, name in enumerate(names[1:])]
    if problems:
        raise InputError(table.source, problems)
    dropped = len(table) - len(kept)
    notes = (f"{dropped} of {len(table)} rows of {table.source} have blanks and are left out",) if dropped else ()
    return History(table.source, dates[kept], tuple(names[1:]), levels[kept], notes)


def _steps(
    table: Columns, name: str, dates: NDArray[np.datetime64], kept: NDArray[np.intp], max_gap: float
) -> list[str]:
    """Dates that do not increase, and gaps between the kept rows."""
    problems: list[str] = []
    for row in np.flatnonzero(np.diff(dates) <= np.timedelta64(0)):
        problem = "is there twice" if dates[row] == dates[row + 1] else "is earlier than the row before"
        problems.append(f"{table.where(row + 1)}: {name} {_day(dates[row + 1])} {problem}")
    steps = np.diff(dates[kept]).astype(np.int64)
    usual = np.median(steps) if len(steps) else 0.0
    for row, after in zip(kept[:-1][steps > max_gap * usual], kept[1:][steps > max_gap * usual], strict=True):
        problems.append(
            f"{table.where(after)}: a gap from {_day(dates[row])} to {_day(dates[after])}, over "
            f"{max_gap:g} times the usual step: use a history without it, or raise market.max_gap"
        )
    return problems


def _span(name: str, dates: NDArray[np.datetime64]) -> str:
    """How many levels a factor has, and from when to when."""
    return f"{name}: {len(dates)} levels, {_day(dates[0])} to {_day(dates[-1])}" if len(dates) else f"{name}: no level"


def _day(time: np.datetime64) -> str:
    text = str(time.astype("datetime64[s]"))
    return text.removesuffix("T00:00:00")
