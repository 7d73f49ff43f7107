"""What a family of contracts is to the rest: its columns, what it watches, its record and its value.

A family is everything but European options and what is linear in the price. `mcvar/families/__init__.py` has the
table of them all; readers, engines and kernels go by it.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass, field

import numpy as np
from numpy.typing import NDArray

from mcvar.draft import Draft
from mcvar.pricing.american_table import PremiumTable
from mcvar.pricing.scene import Scene, Terms
from mcvar.watched import Statistic

Floats = NDArray[np.float64]
Mask = NDArray[np.bool_]


@dataclass(frozen=True)
class Clock:
    """Where a valuation stands: `elapsed` years after today, after `steps` steps of `step` years each.

    Without decay time stands still: a step takes no time, and `elapsed` is 0.
    """

    elapsed: float
    step: float
    steps: int

    def step_of(self, years: float) -> int:
        """The first step at or after a time, at most the last one; the tolerance is for rounding."""
        if self.step <= 0:
            return self.steps
        return int(min(max(np.ceil(years / self.step * (1.0 - 1e-9)), 1), self.steps))


@dataclass(frozen=True)
class Watch:
    """A statistic of the underlying's path: see `mcvar.watched.Watched`."""

    statistic: Statistic
    step: int
    first: int = 1
    every: int = 1


@dataclass(frozen=True)
class Family:
    """One family of contracts.

    Parameters
    ----------
    number : int
        In kernels/plan.cuh.
    numbers, times : tuple of str
        Columns of the instrument table that hold numbers or times.
    choices : mapping of str to tuple of str
        Columns that hold one of some words; blank is the first.
    resolve : callable
        Checks the rows of the family, and returns the terms that it adds, [n] each.
    watch : callable
        The statistic that a contract with these terms reads of its path, if any.
    record : callable
        The numbers of a contract at a time, by the names of the struct in the kernel's header, in its order.
    value : callable
        Values [G, N] of contracts with a record, in the quote currency and of a multiplier of 1.
    table : callable, optional
        Makes what the contracts of a group share, so many years before expiry: then the first argument of `value`.
    exact : callable, optional
        Of a family with tables: values without them.
    """

    number: int
    resolve: Callable[[Draft, Mask], dict[str, Floats]]
    watch: Callable[[Mapping[str, float], Clock], Watch | None]
    record: Callable[[Terms, Clock], dict[str, Floats]]
    value: Callable[..., Floats]
    table: Callable[[Terms, float], PremiumTable] | None = None
    exact: Callable[[Terms, Scene], Floats] | None = None
    numbers: tuple[str, ...] = ()
    times: tuple[str, ...] = ()
    choices: Mapping[str, tuple[str, ...]] = field(default_factory=dict)

    @property
    def columns(self) -> tuple[str, ...]:
        """All columns of its own."""
        return (*self.numbers, *self.times, *self.choices)
