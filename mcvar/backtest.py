"""Whether losses exceeded VaR as often as they should, and not in clusters.

An exceedance is a loss greater than the VaR that was forecast for it. Under a right VaR at level a exceedances are
independent and each has the probability p = 1 - a. Two likelihood ratio tests ask for one half of this each:

* as often as p: P. Kupiec, "Techniques for verifying the accuracy of risk measurement models", Journal of
  Derivatives 3 (1995);
* independent of the exceedance before, against a Markov chain: P. Christoffersen, "Evaluating interval forecasts",
  International Economic Review 39 (1998).

Their sum tests both (conditional coverage). p-values are those of the chi-square limit: for 250 days at 99 %, where
2.5 exceedances are expected, the statistics have few possible values and the limit is rough.
"""

from __future__ import annotations

from dataclasses import dataclass
from enum import Enum

import numpy as np
from numpy.typing import ArrayLike, NDArray
from scipy.special import bdtr, chdtrc, xlogy

from mcvar.errors import SettingError

Bools = NDArray[np.bool_]


@dataclass(frozen=True)
class LikelihoodRatio:
    """A likelihood ratio statistic and how probable a larger one is under the hypothesis.

    Parameters
    ----------
    statistic : float
        -2 ln(likelihood under the hypothesis / largest likelihood), >= 0.
    dof : int
        Of its chi-square limit.
    """

    statistic: float
    dof: int

    @property
    def p_value(self) -> float:
        """P(chi-square(dof) > statistic)."""
        return float(chdtrc(self.dof, self.statistic))


class Zone(Enum):
    """Of the Basel traffic light."""

    green = "green"
    yellow = "yellow"
    red = "red"


@dataclass(frozen=True)
class Transitions:
    """How many days followed which: n01 is the number of exceedances on the day after none.

    Parameters
    ----------
    n00, n01, n10, n11 : int
        First the day before, then the day; 1 is an exceedance. Their sum is one less than the number of days.
    """

    n00: int
    n01: int
    n10: int
    n11: int

    def __post_init__(self) -> None:
        if bad := {name: n for name, n in vars(self).items() if n < 0}:
            raise SettingError(f"transitions are {bad}: counts of days are not negative")

    @classmethod
    def of(cls, exceeded: Bools) -> Transitions:
        """Of a series in the order of its days, [T].

        Examples
        --------
        >>> Transitions.of(np.array([False, True, True, False, False]))
        Transitions(n00=1, n01=1, n10=1, n11=1)
        """
        series = _series(exceeded)
        pairs = np.bincount(2 * series[:-1].astype(np.int64) + series[1:], minlength=4)
        return cls(*map(int, pairs))


@dataclass(frozen=True)
class Backtest:
    """A series of exceedances and its tests.

    Parameters
    ----------
    days, exceedances : int
    expected : float
        days x (1 - level).
    kupiec, independence, conditional_coverage : LikelihoodRatio
    zone : Zone
    """

    days: int
    exceedances: int
    expected: float
    kupiec: LikelihoodRatio
    independence: LikelihoodRatio
    conditional_coverage: LikelihoodRatio
    zone: Zone


def exceedances(loss: ArrayLike, var: ArrayLike) -> Bools:
    """The days on which the loss was greater than its VaR, [T].

    Parameters
    ----------
    loss, var : array_like [T]
        The realised loss of each day and the VaR forecast for it, in the same units.

    Raises
    ------
    SettingError
        Series of different lengths; values that are not finite, which would compare as no exceedance.
    """
    losses, forecasts = np.asarray(loss, dtype=np.float64), np.asarray(var, dtype=np.float64)
    if losses.ndim != 1 or losses.shape != forecasts.shape:
        raise SettingError(f"losses have shape {losses.shape} and VaR {forecasts.shape}: give one of each a day")
    for name, values in (("loss", losses), ("VaR", forecasts)):
        if len(bad := np.flatnonzero(~np.isfinite(values))):
            raise SettingError(
                f"{len(bad)} of {len(values)} days have no finite {name}, the first is day {bad[0] + 1} "
                f"({values[bad[0]]}): leave these days out of both series"
            )
    return np.asarray(losses > forecasts)


def backtest(exceeded: Bools, level: float) -> Backtest:
    """All tests of a series of exceedances.

    Parameters
    ----------
    exceeded : ndarray of bool [T]
        In the order of days, T >= 2.
    level : float
        Of VaR, such as 0.99.

    Raises
    ------
    SettingError
        A series that is not boolean or too short; a level outside (0, 1).
    """
    series = _series(exceeded)
    days, count, transitions = len(series), int(series.sum()), Transitions.of(series)
    return Backtest(
        days, count, days * (1.0 - level), kupiec(days, count, level), independence(transitions),
        conditional_coverage(days, count, level, transitions), traffic_light(days, count, level),
    )  # fmt: skip


def kupiec(days: int, count: int, level: float) -> LikelihoodRatio:
    """Proportion of failures: whether `count` exceedances in `days` go with probability 1 - level (Kupiec 1995).

    Raises
    ------
    SettingError
        Counts that do not go together; a level outside (0, 1).

    Examples
    --------
    >>> test = kupiec(1043, 57, 0.95)
    >>> round(test.statistic, 5), round(test.p_value, 5)
    (0.46147, 0.49694)
    """
    p = _probability(days, count, level)
    return LikelihoodRatio(_ratio(_log(days - count, count, p), _best(days - count, count)), 1)


def independence(transitions: Transitions) -> LikelihoodRatio:
    """Whether an exceedance is as probable after one as after none (Christoffersen 1998, section 3.2).

    With 0 log 0 = 0 the statistic is 0 where nothing can be compared, as with no exceedance at all.

    Examples
    --------
    >>> round(independence(Transitions(932, 53, 53, 4)).statistic, 5)
    0.25866
    """
    n = transitions
    alternative = _best(n.n00, n.n01) + _best(n.n10, n.n11)
    return LikelihoodRatio(_ratio(_best(n.n00 + n.n10, n.n01 + n.n11), alternative), 1)


def conditional_coverage(days: int, count: int, level: float, transitions: Transitions) -> LikelihoodRatio:
    """Both together: the sum of the two statistics (Christoffersen 1998, section 3.3).

    Christoffersen leaves out the first day, on which his chain is conditioned, in both parts; here, as is usual,
    `kupiec` counts all days.

    Raises
    ------
    SettingError
        Counts or transitions that do not go together; a level outside (0, 1).
    """
    first = count - transitions.n01 - transitions.n11  # the first day has no transition into it
    if sum(vars(transitions).values()) != days - 1 or first not in (0, 1):
        raise SettingError(
            f"{transitions} does not go with {count} exceedances in {days} days: the four add up to {days - 1}, and "
            f"n01 + n11 to {count}, or to {count - 1} if the first day is an exceedance"
        )
    return LikelihoodRatio(kupiec(days, count, level).statistic + independence(transitions).statistic, 2)


def cumulative(days: int, count: int, level: float) -> float:
    """Probability of at most `count` exceedances in `days` under a right VaR; arguments and errors as of `kupiec`."""
    return float(bdtr(float(count), days, _probability(days, count, level)))


def traffic_light(days: int, count: int, level: float = 0.99) -> Zone:
    """The zone of the Basel traffic light, from the cumulative binomial probability of the count.

    Green below 95 %, yellow below 99.99 %, then red (Basel Committee on Banking Supervision, "Supervisory framework
    for the use of 'backtesting' in conjunction with the internal models approach", 1996). Of 250 days at 99 %
    green is up to 4 exceedances, yellow up to 9. Arguments and errors as of `kupiec`.

    Examples
    --------
    >>> [traffic_light(250, count).value for count in (4, 5, 9, 10)]
    ['green', 'yellow', 'yellow', 'red']
    """
    probability = cumulative(days, count, level)
    return Zone.green if probability < 0.95 else Zone.yellow if probability < 0.9999 else Zone.red


def _series(exceeded: Bools) -> Bools:
    series = np.asarray(exceeded)
    if series.dtype != np.bool_ or series.ndim != 1 or len(series) < 2:
        raise SettingError(
            f"exceedances have type {series.dtype} and shape {series.shape}: give True or False for each of two or "
            "more days (mcvar.backtest.exceedances)"
        )
    return series


def _probability(days: int, count: int, level: float) -> float:
    if not 0.0 < level < 1.0:
        raise SettingError(f"level is {level:g}: it must lie between 0 and 1, such as 0.99")
    if days < 1 or not 0 <= count <= days:
        raise SettingError(f"{count} exceedances in {days} days: give at least one day, and from 0 to all exceedances")
    return 1.0 - level


def _log(no: int, yes: int, p: float) -> float:
    """Log likelihood of outcomes of probability p, with 0 log 0 = 0."""
    return float(xlogy(no, 1.0 - p) + xlogy(yes, p))


def _best(no: int, yes: int) -> float:
    """Largest log likelihood over p; 0 for no outcomes."""
    return _log(no, yes, yes / (no + yes)) if no + yes else 0.0


def _ratio(hypothesis: float, alternative: float) -> float:
    return max(2.0 * (alternative - hypothesis), 0.0)  # rounding can leave -1e-13
