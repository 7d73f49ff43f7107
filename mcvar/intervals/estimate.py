"""What every interval is made of: levels as exact decimals, ends that may miss, and the estimate itself."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace
from enum import Enum
from fractions import Fraction
from math import ceil

import numpy as np
from numpy.typing import NDArray
from scipy.special import gammainccinv, ndtri

Floats = NDArray[np.float64]
_RARE = 1e-12  # how often what is kept may turn out too little


class Sides(Enum):
    """Which ends an interval has."""

    two = "two"
    lower = "lower"
    upper = "upper"


@dataclass(frozen=True)
class Ends:
    """How often each end of an interval may miss; None: there is no such end.

    Parameters
    ----------
    low, high : Fraction or None
        Probability that the true value lies below the lower end, or above the upper one.
    rows : int
        Over how many rows together the interval is to hold, by Bonferroni's inequality; 1: for each row alone.

    Examples
    --------
    >>> Ends.of(0.95), Ends.of(0.95, Sides.upper, rows=10).high
    (Ends(low=Fraction(1, 40), high=Fraction(1, 40), rows=1), Fraction(1, 200))
    """

    low: Fraction | None
    high: Fraction | None
    rows: int = 1

    @classmethod
    def of(cls, confidence: float, sides: Sides = Sides.two, rows: int = 1) -> Ends:
        """The ends of an interval of that confidence."""
        miss = (1 - exact(confidence)) / rows
        match sides:
            case Sides.two:
                return cls(miss / 2, miss / 2, rows)
            case Sides.lower:
                return cls(miss, None, rows)
            case Sides.upper:
                return cls(None, miss, rows)

    @property
    def given(self) -> list[Fraction]:
        """The probabilities of the ends that there are."""
        return [miss for miss in (self.low, self.high) if miss is not None]

    @property
    def together(self) -> str:
        """What `method` says of joint intervals."""
        return f", {self.rows} rows together (Bonferroni)" if self.rows > 1 else ""


@dataclass(frozen=True)
class Estimate:
    """One measure of every row, with its interval; arrays are [R], and NaN is what there is none of.

    Parameters
    ----------
    measure : str
        `var`, `es`, `mean`, `std`; `var_upper`, `es_upper`: upper confidence limits; `var_pareto`, `es_pareto`: with a
        tail smoothed by a generalised Pareto law; `fp32_bound`: on the error of a loss in single precision.
    level : float or None
    value, stderr, low, high : ndarray [R]
        NaN: the end that a one-sided interval lacks, or a fit that failed.
    confidence : float
        Of the interval [low, high]; of `var_upper` and `es_upper` that of the limit.
    method : str
        How the interval was made.
    deviation : ndarray [R, B], optional
        Studentised deviations of B resamples, from which a joint interval is still to be made.
    """

    measure: str
    level: float | None
    value: Floats
    stderr: Floats
    low: Floats
    high: Floats
    confidence: float
    method: str
    deviation: Floats | None = None

    def take(self, rows: NDArray[np.int64]) -> Estimate:
        """The estimate of some of the rows, in that order."""
        deviation = None if self.deviation is None else self.deviation[rows]
        return replace(
            self, value=self.value[rows], stderr=self.stderr[rows], low=self.low[rows], high=self.high[rows],
            deviation=deviation,
        )  # fmt: skip

    def over(self, rows: NDArray[np.int64], count: int) -> Estimate:
        """The estimate of `count` rows, of which these are some: there is none of the others.

        Examples
        --------
        >>> two = Estimate("var", 0.99, *(np.ones(2),) * 4, confidence=0.95, method="order statistics")
        >>> two.over(np.array([0, 2]), 3).value.tolist()
        [1.0, nan, 1.0]
        """

        def placed(values: Floats) -> Floats:
            whole = np.full((count, *values.shape[1:]), np.nan)
            whole[rows] = values
            return whole

        return replace(
            self, value=placed(self.value), stderr=placed(self.stderr), low=placed(self.low), high=placed(self.high),
            deviation=None if self.deviation is None else placed(self.deviation),
        )  # fmt: skip

    @staticmethod
    def stack(parts: Sequence[Estimate]) -> Estimate:
        """The same measure of further rows, one after another."""
        deviations = [part.deviation for part in parts if part.deviation is not None]
        return replace(
            parts[0],
            value=np.concatenate([part.value for part in parts]),
            stderr=np.concatenate([part.stderr for part in parts]),
            low=np.concatenate([part.low for part in parts]),
            high=np.concatenate([part.high for part in parts]),
            deviation=np.concatenate(deviations) if deviations else None,
        )


def exact(level: float) -> Fraction:
    """The decimal that a level was written as.

    Examples
    --------
    >>> exact(0.99)
    Fraction(99, 100)
    """
    return Fraction(repr(float(level)))


def normal(miss: Fraction) -> float:
    """The standard normal quantile that is exceeded with probability `miss`.

    Examples
    --------
    >>> round(normal(Fraction(1, 10**20)), 6)  # 1 - 1e-20 is 1 in floating point: from the lower tail
    9.26234
    """
    return -float(ndtri(float(miss)))


def symmetric(
    measure: str,
    level: float | None,
    value: Floats,
    stderr: Floats,
    confidence: float,
    method: str,
    ends: Ends | None = None,
    quantile: Callable[[Fraction], float] = normal,
) -> Estimate:
    """The interval value -+ quantile x stderr, or one end of it; without `ends`, two-sided.

    Examples
    --------
    >>> e = symmetric("mean", None, np.array([1.0]), np.array([0.5]), 0.95, "asymptotic")
    >>> e.low.round(6).tolist(), e.high.round(6).tolist()
    ([0.020018], [1.979982])
    """
    ends = ends or Ends.of(confidence)
    low = none(value) if ends.low is None else value - quantile(ends.low) * stderr
    high = none(value) if ends.high is None else value + quantile(ends.high) * stderr
    return Estimate(measure, level, value, stderr, low, high, confidence, method + ends.together)


def none(like: Floats) -> Floats:
    """An end that there is not."""
    return np.full(len(like), np.nan)


def share(count: int, level: float) -> float:
    """N (1 - a): how many of the losses lie in the tail, the last one in part."""
    return float(count * (1 - exact(level)))


def kept_for(number: float) -> int:
    """How many losses hold `number` of those that a coin picks, one in each on average, but for once in 10^12.

    The least mean k of a Poisson count that is at most `number` with probability 10^-12; about 7 standard errors more
    than `number`. That the losses do hold them is checked again where they are read.

    Examples
    --------
    >>> kept_for(100), kept_for(10_000)
    (189, 10721)
    """
    return ceil(float(gammainccinv(number + 1, _RARE)))
