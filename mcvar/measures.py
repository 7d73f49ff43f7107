"""VaR, expected shortfall, mean and standard deviation of the loss, each with its error.

Conventions: loss = -(P&L), descending order statistics L_1 >= L_2 >= ..., N scenarios, level a.

* VaR_a = inf{l : F_N(l) >= a} = L_r with r = floor(N (1 - a)) + 1; never floored at zero.
* ES_a = (L_1 + ... + L_m + (N (1 - a) - m) L_r) / (N (1 - a)) with m = floor(N (1 - a)): the
  mean of the worst N (1 - a) losses, the last one in part (C. Acerbi and D. Tasche, "On the
  coherence of expected shortfall", J. Banking and Finance 26, 2002).

Levels are exact decimals and ranks integer arithmetic: in floating point 200000 * (1 - 0.99) is
2000.0000000000018.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace
from fractions import Fraction
from math import floor

import numpy as np
from numpy.typing import NDArray
from scipy.special import ndtri
from scipy.stats import binom

from mcvar.errors import CapacityError, SettingError
from mcvar.moments import Moments
from mcvar.tail import Worst

Floats = NDArray[np.float64]


@dataclass(frozen=True)
class Estimate:
    """One measure of every row, with its interval; arrays are [R].

    Parameters
    ----------
    measure : str
        `var`, `es`, `mean`, `std`, or `fp32_bound`: on the error of a loss in single precision.
    level : float or None
    value, stderr, low, high : ndarray [R]
    confidence : float
        Of the two-sided interval [low, high].
    method : str
        How the interval was made.
    """

    measure: str
    level: float | None
    value: Floats
    stderr: Floats
    low: Floats
    high: Floats
    confidence: float
    method: str

    def take(self, rows: NDArray[np.int64]) -> Estimate:
        """The estimate of some of the rows, in that order."""
        return replace(self, value=self.value[rows], stderr=self.stderr[rows], low=self.low[rows], high=self.high[rows])

    @staticmethod
    def stack(parts: Sequence[Estimate]) -> Estimate:
        """The same measure of further rows, one after another."""
        return replace(
            parts[0],
            value=np.concatenate([part.value for part in parts]),
            stderr=np.concatenate([part.stderr for part in parts]),
            low=np.concatenate([part.low for part in parts]),
            high=np.concatenate([part.high for part in parts]),
        )


@dataclass(frozen=True)
class Ranks:
    """Descending ranks (1 = worst) of VaR and of the ends of its interval."""

    var: int
    low: int
    high: int


def exact(level: float) -> Fraction:
    """The decimal that a level was written as.

    Examples
    --------
    >>> exact(0.99)
    Fraction(99, 100)
    """
    return Fraction(repr(float(level)))


def ranks(count: int, level: float, confidence: float) -> Ranks:
    """Which order statistics are VaR and the two ends of its interval.

    The number of losses below the true quantile is binomial(N, a), whatever the law of the losses,
    so the ascending order statistics l = its (1 - c)/2 quantile and u = its (1 + c)/2 quantile + 1
    enclose it with a probability of at least about c (H. A. David and H. N. Nagaraja, "Order
    Statistics", 2003, section 7.1).

    Raises
    ------
    SettingError
        A level or confidence outside (0, 1).
    CapacityError
        Too few scenarios for an interval at that level; the message says how many it takes.

    Examples
    --------
    >>> ranks(10_000, 0.99, 0.95)
    Ranks(var=101, low=121, high=81)
    """
    for name, value in (("measure.levels", level), ("measure.confidence", confidence)):
        if not 0.0 < value < 1.0:
            raise SettingError(f"{name} has {value:g}: it must lie between 0 and 1, such as 0.99")
    lower, upper = _ascending(count, level, confidence)
    if lower < 1 or upper > count:
        raise CapacityError(
            f"{count} scenarios are too few for VaR at level {level:g} with a {confidence:g} interval: "
            f"set scenarios.count to {_least_count(level, confidence)} or more, or measure.levels lower"
        )
    return Ranks(floor(count * (1 - exact(level))) + 1, count - lower + 1, count - upper + 1)


def depth(count: int, levels: Sequence[float], confidence: float) -> int:
    """K: how many of the worst losses the measures at these levels read."""
    if not levels:
        raise SettingError("measure.levels is empty: give at least one level, such as [0.99]")
    if len(set(levels)) < len(levels):
        raise SettingError(f"measure.levels has a level twice: {list(levels)}")
    hardest = max(levels, key=lambda level: abs(level - 0.5))  # so that the count it asks for is enough for all
    ranks(count, hardest, confidence)
    return max(max(r.low, r.var) for r in (ranks(count, level, confidence) for level in levels))


def wanted(count: int, levels: Sequence[float], confidence: float) -> list[int]:
    """Every single rank that measures at these levels read."""
    return sorted({rank for level in levels for rank in vars(ranks(count, level, confidence)).values()})


def spans(count: int, levels: Sequence[float], confidence: float, keep: int) -> list[tuple[int, int]]:
    """The ranks, first to last, that measures at these levels read, and the `keep` worst.

    ES needs the sum of what is worse than its span, not the losses themselves.
    """
    read = [ranks(count, level, confidence) for level in levels]
    return [(1, min(max(keep, 1), count)), *((min(r.high, r.var), max(r.low, r.var)) for r in read)]


@np.errstate(over="ignore", invalid="ignore")  # the caller refuses what is not finite, by name
def measure(tail: Worst, moments: Moments, levels: Sequence[float], confidence: float) -> list[Estimate]:
    """All measures of all rows.

    Parameters
    ----------
    tail : Worst
        With all that `spans(...)` names.
    moments : Moments
        Of the LOSS.
    levels : sequence of float
        In (0, 1).
    confidence : float
        Of every two-sided interval.

    Returns
    -------
    list of Estimate
        VaR and ES at each level, then mean and std.
    """
    estimates = []
    for level in levels:
        estimates.append(value_at_risk(tail, level, confidence))
        estimates.append(expected_shortfall(tail, level, confidence))
    return [*estimates, mean(moments, confidence), standard_deviation(moments, confidence)]


def value_at_risk(tail: Worst, level: float, confidence: float) -> Estimate:
    """VaR with the exact binomial interval of order statistics; stderr = (high - low) / 2 z."""
    r = ranks(tail.count, level, confidence)
    value, low, high = (tail.at(rank) for rank in (r.var, r.low, r.high))
    stderr = (high - low) / (2 * _z(confidence))
    return Estimate("var", level, value, stderr, low, high, confidence, "order statistics")


def expected_shortfall(tail: Worst, level: float, confidence: float) -> Estimate:
    """ES with its asymptotic interval.

    ES is VaR and the mean excess over it. N (1 - a) Var(ES) -> Var(L | L >= VaR) + a (ES - VaR)^2 (S. X. Chen,
    "Nonparametric estimation of expected shortfall", J. Financial Econometrics 6, 2008). Needs a finite loss variance.
    """
    r = ranks(tail.count, level, confidence)
    share = float(tail.count * (1 - exact(level)))  # N (1 - a); L_r belongs to it in part, with no excess
    first, second = tail.excess(r.var)
    over = first / share
    spread = np.maximum(second / share - over**2, 0.0)
    stderr = np.sqrt((spread + level * over**2) / share)
    return _symmetric("es", level, tail.at(r.var) + over, stderr, confidence, "asymptotic")


def mean(moments: Moments, confidence: float) -> Estimate:
    """Mean loss."""
    return _symmetric("mean", None, moments.mean, np.sqrt(moments.variance / moments.count), confidence, "asymptotic")


def standard_deviation(moments: Moments, confidence: float) -> Estimate:
    """Standard deviation of the loss; Var(s) -> (mu_4 - s^4) / (4 N s^2), the delta method."""
    value = np.sqrt(moments.variance)
    fourth = moments.m4 / moments.count
    with np.errstate(divide="ignore", invalid="ignore"):
        stderr = np.sqrt(np.maximum(fourth - value**4, 0.0) / moments.count) / (2 * value)
    return _symmetric("std", None, value, np.where(value > 0, stderr, 0.0), confidence, "asymptotic")


def certain(name: str, value: Floats, confidence: float, method: str) -> Estimate:
    """A number that has no sampling error."""
    return Estimate(name, None, value, np.zeros(len(value)), value, value, confidence, method)


def _symmetric(
    name: str, level: float | None, value: Floats, stderr: Floats, confidence: float, method: str
) -> Estimate:
    half = _z(confidence) * stderr
    return Estimate(name, level, value, stderr, value - half, value + half, confidence, method)


def _z(confidence: float) -> float:
    return float(ndtri(0.5 + 0.5 * confidence))


def _ascending(count: int, level: float, confidence: float) -> tuple[int, int]:
    side = (1 - exact(confidence)) / 2
    law = binom(count, float(level))
    return int(law.ppf(float(side))), int(law.ppf(float(1 - side))) + 1


def _least_count(level: float, confidence: float) -> int:
    """The fewest scenarios whose order statistics enclose the quantile, by bisection."""

    def enough(count: int) -> bool:
        lower, upper = _ascending(count, level, confidence)
        return lower >= 1 and upper <= count

    high = 1
    while not enough(high):
        high *= 2
    low = high // 2
    while high - low > 1:
        middle = (low + high) // 2
        low, high = (low, middle) if enough(middle) else (middle, high)
    return high
