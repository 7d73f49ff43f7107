"""What repeated runs tell of a book: how often its intervals hold, and how large its errors are."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from functools import cached_property
from math import isfinite, sqrt

import numpy as np
from numpy.typing import NDArray
from scipy.stats import binom

from mcvar.jobs.repeat import Case, Repeated
from mcvar.measures import Interval, Measures

Floats = NDArray[np.float64]
_STILL = 1e-9  # of its value: a measure that differs by no more between runs has no sampling error


@dataclass(frozen=True)
class Line:
    """A reading of a measure at one number of scenarios; the fields are the columns of coverage.parquet.

    Parameters
    ----------
    nominal : float
        How often the interval should hold: see `nominal`.
    coverage, coverage_stderr : float or None
        Part of the accounts whose interval holds the true value, mean over repetitions, and the standard error of this
        mean, as accounts share scenarios. Where all repetitions cover alike it is sqrt(nominal (1 - nominal) / K).
    relative_error : float or None
        sqrt(mean (value / truth - 1)^2) over repetitions, the median over accounts.
    seconds : float
        From generator to measures, median over repetitions.
    """

    scheme: str
    interval: str
    measure: str
    level: float
    scenarios: int
    nominal: float
    coverage: float | None
    coverage_stderr: float | None
    relative_error: float | None
    seconds: float

    @property
    def off(self) -> float:
        """Standard errors that coverage is from nominal: the error as found, or as it would be there if that is more.

        Few repetitions without a miss say little of how coverage varies: with misses as dependent as they are, its
        variance is in proportion to c (1 - c).

        Examples
        --------
        >>> round(Line("plain", "order", "var", 0.99, 4096, 0.95, 0.98, 0.01, 0.02, 1.0).off, 2)
        1.93
        """
        if self.coverage is None or not self.coverage_stderr:
            return 0.0
        spread = self.coverage * (1.0 - self.coverage)
        wider = max(1.0, self.nominal * (1.0 - self.nominal) / spread) if spread > 0 else 1.0
        return (self.coverage - self.nominal) / (self.coverage_stderr * sqrt(wider))


@dataclass(frozen=True)
class Truth:
    """What the true values are taken to be, and their standard errors, [Q, R]."""

    value: Floats
    stderr: Floats


@dataclass(frozen=True)
class Calibration:
    """Repeated runs beside the true values.

    Parameters
    ----------
    cases : sequence of Case
        All of the same measures and rows.
    found : sequence of Repeated
        Of each case; all of the same number of repetitions, at least 2, and of the same seeds.
    truth : Truth
    least : ndarray [R] or float
        What differs by no more between runs is rounding.
    """

    cases: Sequence[Case]
    found: Sequence[Repeated]
    truth: Truth
    least: Floats | float = 0.0

    @property
    def measures(self) -> list[tuple[str, float]]:
        """Q measures with their levels."""
        return self.cases[0].measures

    @cached_property
    def moving(self) -> NDArray[np.bool_]:
        """Which measures of which accounts have a sampling error, [Q, R]: the others tell nothing."""
        value = np.concatenate([each.value[:, 0] for each in self.found])
        return np.asarray(np.ptp(value, axis=0) > np.maximum(_STILL * np.abs(value).max(axis=0), self.least))

    @cached_property
    def lines(self) -> list[Line]:
        """The table: every reading of every measure in every case."""
        places = [(i, j) for i, case in enumerate(self.cases) for j in range(len(case.readings))]
        return [self._line(i, j, q) for i, j in places for q in range(len(self.measures))]

    @cached_property
    def truth_error(self) -> dict[tuple[str, float], float]:
        """Standard error of the true value of each measure, as a part of it, the median over accounts."""
        found = {}
        for q, key in enumerate(self.measures):
            rows = self.moving[q]
            with np.errstate(divide="ignore", invalid="ignore"):
                found[key] = float(median(self.truth.stderr[q, rows] / np.abs(self.truth.value[q, rows])))
        return found

    def by_scheme(self) -> dict[str, list[int]]:
        """Places of the cases of each scheme, by rising count."""
        places: dict[str, list[int]] = {case.scheme: [] for case in self.cases}
        for i in sorted(range(len(self.cases)), key=lambda i: self.cases[i].count):
            places[self.cases[i].scheme].append(i)
        return places

    def relative(self, i: int, q: int) -> tuple[float, Floats]:
        """The relative error of measure q in case i, and without each of its K repetitions in turn, [K]."""
        rows = self.moving[q]
        with np.errstate(divide="ignore", invalid="ignore"):
            square = (self.found[i].value[:, 0, q, rows] / self.truth.value[q, rows] - 1.0) ** 2
            without = np.sqrt(left_out(square))
        return float(median(np.sqrt(square.mean(axis=0)))), median(without)

    def _line(self, i: int, j: int, q: int) -> Line:
        case, found = self.cases[i], self.found[i]
        interval, asked = list(case.readings.items())[j]
        measure, level = self.measures[q]
        rows, truth = self.moving[q], self.truth.value[q]
        wide = nominal(asked, measure, level, case.count)
        coverage = stderr = None
        if rows.any():
            outside = (found.low[:, j, q] > truth) | (found.high[:, j, q] < truth)  # no end, no miss
            held = 1.0 - outside[:, rows].mean(axis=1)
            alike = np.ptp(held) == 0
            coverage = float(held.mean())
            stderr = sqrt(wide * (1 - wide) / found.number) if alike else float(held.std(ddof=1)) / sqrt(found.number)
        error = self.relative(i, q)[0]
        seconds = float(np.median(found.seconds[:, j]))
        return Line(
            case.scheme, interval, measure, level, case.count, wide, coverage, stderr,
            error if isfinite(error) else None, seconds,
        )  # fmt: skip


def nominal(asked: Measures, measure: str, level: float, count: int) -> float:
    """How often an interval should hold: exactly, for VaR between two order statistics; else the confidence.

    The number of losses below the true quantile is binomial(N, a) for a continuous law, so the ascending order
    statistics l < u enclose it with the probability that it is from l to u - 1 (H. A. David and H. N. Nagaraja, "Order
    Statistics", 2003, section 7.1).

    Examples
    --------
    >>> round(nominal(Measures((0.99,)), "var", 0.99, 10_000), 4)
    0.9558
    """
    if asked.chosen is not Interval.order or measure != "var":
        return asked.confidence
    ranks, below = asked.ranks(count, level), binom(count, level)
    upper = 1.0 if ranks.high is None else float(below.cdf(count - ranks.high))
    return upper - (0.0 if ranks.low is None else float(below.cdf(count - ranks.low)))


def median(values: Floats) -> Floats:
    """Over the last axis, which is of accounts; NaN where there are none.

    Accounts without any number are left out, and where one has none of some it counts as the largest.

    Examples
    --------
    >>> float(median(np.array([1.0, np.nan, 3.0, np.inf])))
    3.0
    """
    lacking = np.isnan(values)
    kept = np.where(lacking, np.inf, values)[..., ~lacking.all(axis=tuple(range(values.ndim - 1)))]
    if not kept.shape[-1]:
        return np.full(values.shape[:-1], np.nan)
    return np.asarray(np.median(kept, axis=-1))


def left_out(values: Floats) -> Floats:
    """Means over the first axis without each of its K elements in turn, [K, ...]."""
    return np.asarray((values.sum(axis=0) - values) / (len(values) - 1))
