"""One scan table while it is read: cells with their units, and what is wrong with its rows."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field

import numpy as np
from numpy.typing import ArrayLike, NDArray

from mcvar.columns import Columns
from mcvar.io.scan.file import MONTH

Floats = NDArray[np.float64]
_FLAGS = {"true": True, "false": False, "1": True, "0": False}


@dataclass
class Check:
    """A table while it is read, and what is wrong with it."""

    table: Columns
    problems: list[str] = field(default_factory=list)

    def refuse(self, bad: ArrayLike, say: Callable[[int], str]) -> None:
        """Each bad row, a mask [n], with what is wrong with it."""
        self.problems += [f"{self.table.where(row)}: {say(int(row))}" for row in np.flatnonzero(bad)]

    def numbers(
        self, name: str, owner: Sequence[str], *, low: float = -np.inf, high: float = np.inf, default: float = np.nan,
        blank: bool = False, whole: bool = False,
    ) -> Floats:  # fmt: skip
        """Finite numbers of [low, high]; a blank cell is `default`, and wrong where that is NaN unless `blank`."""
        before = len(self.problems)
        found = self.table.floats(name, self.problems, default)
        known = {problem.partition(":")[0] for problem in self.problems[before:]}
        missing = np.isnan(found)
        bad = np.isinf(found) | ~(missing | ((found >= low) & (found <= high)))
        if whole:
            bad |= ~missing & ~bad & (np.trunc(found) != found)
        what = f"must be a {'whole ' if whole else ''}number" + _between(low, high)
        self.refuse(bad, lambda row: f"{name} {found[row]:g} of '{owner[row]}' {what}: correct it")
        if not blank:
            absent = [row for row in np.flatnonzero(missing).tolist() if self.table.where(row) not in known]
            self.problems += [
                f"{self.table.where(r)}: {name} of '{owner[r]}' is missing: give a number" for r in absent
            ]
        return np.where(bad, np.nan, found)

    def flags(self, name: str, owner: Sequence[str], default: str = "false") -> NDArray[np.bool_]:
        """`true` or `false`."""
        said = [cell.lower() for cell in self.table.texts(name, default)]
        self.refuse(
            [cell not in _FLAGS for cell in said],
            lambda row: f"{name} '{said[row][:60]}' of '{owner[row]}' is not true or false",
        )
        return np.array([_FLAGS.get(cell, False) for cell in said], dtype=bool)

    def names(self, name: str, known: Mapping[str, int] | None = None, hint: str = "") -> list[str]:
        """Names that are there and printable, and among `known` where that is given."""
        cells = self.table.texts(name)
        self.refuse([not cell for cell in cells], lambda row: f"{name} is missing")
        hidden = [not cell.isprintable() for cell in cells]
        self.refuse(hidden, lambda row: f"{name} {cells[row][:60]!r} has control characters: remove them")
        if known is not None:
            unknown = [bool(cell) and cell not in known for cell in cells]
            self.refuse(unknown, lambda row: f"{name} '{cells[row][:60]}' is unknown: {hint}")
        return cells

    def months(self, name: str, owner: Sequence[str]) -> list[str]:
        """Contract months, or blanks."""
        cells = self.table.texts(name)
        bad = [bool(cell) and MONTH.fullmatch(cell) is None for cell in cells]
        self.refuse(bad, lambda row: f"{name} '{cells[row][:60]}' of '{owner[row]}' is not YYYYMM or YYYYMMDD")
        return cells

    def once(self, keys: Sequence[object], say: Callable[[int], str]) -> None:
        """Refuse rows whose key an earlier row has."""
        first = {key: row for row, key in reversed(list(enumerate(keys)))}
        self.refuse([first[key] < row for row, key in enumerate(keys)], say)


def _between(low: float, high: float) -> str:
    if np.isfinite(low) and np.isfinite(high):
        return f" between {low:g} and {high:g}"
    return f" of at least {low:g}" if np.isfinite(low) else ", finite"
