"""The interval of VaR between order statistics: exact, whatever the law of independent losses."""

from __future__ import annotations

from dataclasses import dataclass
from math import floor, log, log1p
from numbers import Real

from scipy.stats import binom

from mcvar.errors import CapacityError, SettingError
from mcvar.intervals.estimate import Ends, Estimate, exact, none, normal
from mcvar.tail import Worst


@dataclass(frozen=True)
class Ranks:
    """Descending ranks (1 = worst) of VaR and of the ends of its two-sided interval."""

    var: int
    low: int
    high: int


@dataclass(frozen=True)
class Bounds:
    """Descending ranks of VaR and of what its interval is made from; None: there is no such end."""

    var: int
    low: int | None = None
    high: int | None = None

    @property
    def read(self) -> list[int]:
        """All of them that there are."""
        return [rank for rank in (self.var, self.low, self.high) if rank is not None]


def var_rank(count: int, level: float) -> int:
    """The descending rank of VaR, r = floor(N (1 - a)) + 1.

    Examples
    --------
    >>> var_rank(200_000, 0.99)
    2001
    """
    return floor(count * (1 - exact(level))) + 1


def ranks(count: int, level: float, confidence: float) -> Ranks:
    """Which order statistics are VaR and the ends of its two-sided interval: see `bounds`.

    Examples
    --------
    >>> ranks(10_000, 0.99, 0.95)
    Ranks(var=101, low=121, high=81)
    """
    check_unit("measure.levels", level)
    check_unit("measure.confidence", confidence)
    found = bounds(count, level, confidence, Ends.of(confidence))
    assert found.low is not None
    assert found.high is not None
    return Ranks(found.var, found.low, found.high)


def bounds(count: int, level: float, confidence: float, ends: Ends) -> Bounds:
    """Which order statistics are VaR and the ends of its interval.

    The number of losses below the true quantile is binomial(N, a), whatever the law of the losses, so the ascending
    order statistics l, its quantile at the probability with which the lower end may miss, and u, 1 more than its
    quantile at that with which the upper end must hold, enclose it with a probability of at least c (H. A. David and
    H. N. Nagaraja, "Order Statistics", 2003, section 7.1).

    Parameters
    ----------
    count : int
        N.
    level, confidence : float
        In (0, 1).
    ends : Ends

    Raises
    ------
    CapacityError
        Too few scenarios for an interval at that level; the message says how many it takes.

    Examples
    --------
    >>> from mcvar.intervals.estimate import Sides
    >>> bounds(10_000, 0.99, 0.95, Ends.of(0.95, Sides.upper))
    Bounds(var=101, low=None, high=84)
    """
    lower, upper = _ascending(count, level, ends)
    if (lower is not None and lower < 1) or (upper is not None and upper > count):
        together = f" that holds for {ends.rows} rows together" if ends.rows > 1 else ""
        enough = max(_least_count(level, ends), count + 1)
        raise CapacityError(
            f"{count} scenarios are too few for VaR at level {level} with a {confidence} interval{together}: "
            f"set scenarios.count to {enough} or more, or measure.levels nearer to 0.5"
        )
    low = None if lower is None else count - lower + 1
    return Bounds(var_rank(count, level), low, None if upper is None else count - upper + 1)


def value_at_risk(tail: Worst, level: float, confidence: float, ends: Ends | None = None) -> Estimate:
    """VaR with the exact binomial interval of order statistics.

    The standard error is (high - low) / 2 z, and of a one-sided interval the distance of its end from VaR over z.
    """
    ends = ends or Ends.of(confidence)
    r = bounds(tail.count, level, confidence, ends)
    value = tail.at(r.var)
    low, high = (none(value) if rank is None else tail.at(rank) for rank in (r.low, r.high))
    if ends.low is None or ends.high is None:
        stderr = (value - low if ends.high is None else high - value) / normal(ends.given[0])
    else:
        stderr = (high - low) / (2 * normal(ends.high))
    return Estimate("var", level, value, stderr, low, high, confidence, "order statistics" + ends.together)


def check_unit(name: str, value: float) -> None:
    """Refuse what is not a probability strictly between 0 and 1."""
    if not (isinstance(value, Real) and 0.0 < value < 1.0):
        raise SettingError(f"{name} has {value}: it must lie between 0 and 1, such as 0.99")


def _ascending(count: int, level: float, ends: Ends) -> tuple[int | None, int | None]:
    # Each end from the lower tail, of the losses below the quantile and of those beyond it, since 1 - 1e-17 is 1.
    below, beyond = binom(count, float(level)), binom(count, float(1 - exact(level)))
    lower = None if ends.low is None else int(below.ppf(float(ends.low)))
    return lower, None if ends.high is None else count + 1 - int(beyond.ppf(float(ends.high)))


def _least_count(level: float, ends: Ends) -> int:
    """The fewest scenarios whose worst and best losses enclose the quantile: a^N < what the upper end may miss.

    Examples
    --------
    >>> _least_count(0.99, Ends.of(0.95)), _least_count(0.9999999999999999, Ends.of(0.95)) // 10**14
    (368, 368)
    """
    above = log1p(-float(1 - exact(level))) if level > 0.5 else log(level)
    below = log(float(1 - exact(level))) if level > 0.5 else log1p(-level)
    needs = [log(float(miss)) / each for miss, each in ((ends.low, below), (ends.high, above)) if miss is not None]
    return floor(max(needs)) + 1
