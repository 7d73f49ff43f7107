"""Which scan ranges would give the coverage that is aimed at: found on the engine itself, by bracketing.

The multiple of the price range at the given volatility range, and of the volatility range at the given price range, at
which the mean probability that an account's loss is not greater than its margin is the target. A ladder of
multiples is tried first; where coverage crosses the target between two of them, that interval is divided again and
again, those of all kinds of book in one pass over the scenarios. Where it crosses nowhere, that is said.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from functools import lru_cache

import numpy as np
from numpy.typing import NDArray

from mcvar.scan.comparison.groups import ALL, members

Floats = NDArray[np.float64]
Ints = NDArray[np.int64]
LADDER = tuple(float(2.0**power) for power in np.arange(-3, 3.5, 0.5))  # an eighth to eight times the given range
PARTS = 6  # that a bracket is divided into
PASSES = 2  # after the ladder: then a bracket is 1 % wide
AXES = ("price", "volatility")


@dataclass(frozen=True)
class Solution:
    """What multiple of a scan range gives the target.

    Parameters
    ----------
    engine : str
    axis : str
        `price` or `volatility`: which range is multiplied.
    kind : str
        Of book; `*`: all accounts.
    multiple : float or None
        Between `low` and `high`, linear in its logarithm; None: there is none.
    low, high : float or None
        Multiples of which one covers less than the target and the other at least as much.
    coverage_low, coverage_high : float
        At these; where there are none, the least and the most of what was tried.
    reason : str
        Why there is none; "" if there is one.
    """

    engine: str
    axis: str
    kind: str
    multiple: float | None
    low: float | None
    high: float | None
    coverage_low: float
    coverage_high: float
    reason: str


def sensitivity(
    engine: str,
    scan: Callable[[float, float], Floats],
    probability: Callable[[Floats], Floats],
    kinds: Sequence[str],
    target: float,
    *,
    ladder: Sequence[float] = LADDER,
    passes: int = PASSES,
) -> list[Solution]:
    """Solve for both ranges, over all accounts and by kind of book.

    Parameters
    ----------
    engine : str
    scan : callable
        (multiple of the price range, multiple of the volatility range) -> risk components [R]; NaN: not known.
    probability : callable
        Thresholds [R, M] -> probabilities of greater losses [R, M]; a pass over the scenarios.
    kinds : sequence of str [R]
    target : float
        Such as 0.99.
    ladder : sequence of float
        Multiples that are tried first, ascending.
    passes : int
        How often a bracket is divided into `PARTS`.

    Examples
    --------
    Exponential losses of mean 1, margins of 2 price ranges: ln 100 / 2 of them are exceeded once in a hundred times.

    >>> margins = lambda price, volatility: np.full(3, 2.0 * price)
    >>> found = sensitivity("x", margins, lambda threshold: np.exp(-threshold), [""] * 3, 0.99)
    >>> round(found[0].multiple, 2), float(round(np.log(100) / 2, 2)), found[1].reason
    (2.3, 2.3, 'it covers 86.466 % whatever the multiple')
    """
    scan = lru_cache(maxsize=None)(scan)
    rungs = np.asarray(ladder, dtype=np.float64)
    groups = members(kinds)
    tried = np.column_stack([_scan(scan, axis, m) for axis in AXES for m in rungs])
    covered = 1.0 - probability(tried)
    searches = []
    for axis, part in zip(AXES, np.split(covered, len(AXES), axis=1), strict=True):
        for kind, rows in groups.items():
            rows = rows[np.isfinite(part[rows]).all(axis=1)]
            searches.append(_Search(engine, axis, kind, rows, rungs, _mean(part, rows), target))
    for _ in range(passes):
        _divide([search for search in searches if search.at is not None], scan, probability, len(kinds))
    return [search.solution() for search in searches]


def _scan(scan: Callable[[float, float], Floats], axis: str, multiple: float) -> Floats:
    """Margins with one of the ranges multiplied."""
    return scan(multiple, 1.0) if axis == "price" else scan(1.0, multiple)


@dataclass
class _Search:
    """Where coverage crosses the target, ever closer."""

    engine: str
    axis: str
    kind: str
    rows: Ints
    multiple: Floats  # tried, ascending
    coverage: Floats  # there
    target: float

    @property
    def at(self) -> int | None:
        """The first of the multiples between which and the next it crosses; None: nowhere."""
        enough = self.coverage >= self.target
        crossing = np.flatnonzero(~enough[:-1] & enough[1:])
        return int(crossing[0]) if len(crossing) else None

    def inner(self) -> Floats:
        """What is to be tried inside the bracket."""
        assert self.at is not None
        low, high = self.multiple[self.at : self.at + 2]
        return np.geomspace(low, high, PARTS + 1)[1:-1]

    def narrowed(self, multiple: Floats, coverage: Floats) -> None:
        assert self.at is not None
        ends = slice(self.at, self.at + 2)
        self.multiple = np.insert(self.multiple[ends], 1, multiple)
        self.coverage = np.insert(self.coverage[ends], 1, coverage)

    def solution(self) -> Solution:
        if self.at is None:
            low, high, reason = None, None, self._why()
            below, above = float(self.coverage.min()), float(self.coverage.max())
        else:
            low, high = (float(end) for end in self.multiple[self.at : self.at + 2])
            below, above = (float(end) for end in self.coverage[self.at : self.at + 2])
            reason = ""
        multiple = None
        if low is not None and high is not None:
            multiple = float(low * (high / low) ** ((self.target - below) / (above - below)))
        return Solution(self.engine, self.axis, self.kind, multiple, low, high, below, above, reason)

    def _why(self) -> str:
        """What coverage does instead of crossing."""
        if not len(self.rows):
            return "no account is known on both sides"
        least, most = self.coverage.min(), self.coverage.max()
        if most - least < 1e-12:
            return f"it covers {100 * most:.5g} % whatever the multiple"
        first, last = self.multiple[0], self.multiple[-1]
        if least >= self.target:
            return f"{first:.4g} times the range covers {100 * self.coverage[0]:.5g} % already"
        if most < self.target:
            return f"{last:.4g} times the range covers {100 * self.coverage[-1]:.5g} % only"
        return f"it covers less with wider ranges: {100 * self.coverage[0]:.5g} % to {100 * self.coverage[-1]:.5g} %"


def _divide(
    searches: Sequence[_Search],
    scan: Callable[[float, float], Floats],
    probability: Callable[[Floats], Floats],
    accounts: int,
) -> None:
    """Try what is inside all brackets in one pass: kinds share columns, as no account is of two."""
    if not searches:
        return
    columns: dict[tuple[str, bool], int] = {}
    for search in searches:
        columns.setdefault((search.axis, search.kind == ALL), len(columns))
    asked = np.full((accounts, len(columns) * (PARTS - 1)), np.nan)
    places = []
    for search in searches:
        own = columns[search.axis, search.kind == ALL]
        place = slice(own * (PARTS - 1), (own + 1) * (PARTS - 1))
        inner = search.inner()
        asked[search.rows, place] = np.column_stack([_scan(scan, search.axis, float(m))[search.rows] for m in inner])
        places.append((search, place, inner))
    covered = 1.0 - probability(asked)
    for search, place, inner in places:
        search.narrowed(inner, _mean(covered[:, place], search.rows))


def _mean(covered: Floats, rows: Ints) -> Floats:
    return np.asarray(covered[rows].mean(axis=0)) if len(rows) else np.full(covered.shape[1], np.nan)
