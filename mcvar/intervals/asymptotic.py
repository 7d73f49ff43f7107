"""Intervals from the normal limit: VaR by the density there, ES, mean and standard deviation of the loss."""

from __future__ import annotations

from collections.abc import Callable
from fractions import Fraction
from math import ceil, exp, pi

import numpy as np
from scipy.special import ndtri

from mcvar.errors import CapacityError
from mcvar.intervals.estimate import Ends, Estimate, Floats, exact, normal, share, symmetric
from mcvar.intervals.order import Bounds, var_rank
from mcvar.moments import Moments
from mcvar.tail import Worst

FEW = 50  # losses in the tail below which the limit is said to be far
_LEAST = 5  # losses in the tail below which there is no interval


def bandwidth(count: int, level: float, miss: Fraction) -> float:
    """How far to either side of the level a spacing reaches, as a part of the sample.

    The choice that makes the error of the studentised quantile's coverage least for a normal law (P. Hall and S. J.
    Sheather, "On the distribution of a studentized quantile", J. Royal Statistical Society B 50, 1988).

    Examples
    --------
    >>> round(bandwidth(10_000, 0.99, Fraction(1, 40)), 6)
    0.003259
    """
    q = float(ndtri(level))
    density = exp(-q * q / 2) / (2 * pi) ** 0.5
    spread = 1.5 * density**2 / (2 * q * q + 1)
    return float((abs(normal(miss)) ** 2 * spread / count) ** (1 / 3))


def spacing(count: int, level: float, ends: Ends) -> Bounds:
    """The order statistics whose distance tells the density at VaR; cut at the worst and at the best loss.

    Raises
    ------
    CapacityError
        Fewer than 5 losses in the tail.

    Examples
    --------
    >>> spacing(10_000, 0.99, Ends.of(0.95))
    Bounds(var=101, low=134, high=68)
    """
    check_tail(count, level, _LEAST, "an asymptotic interval")
    at = var_rank(count, level)
    reach = max(1, round(count * bandwidth(count, level, ends.given[0])))
    return Bounds(at, min(at + reach, count), max(at - reach, 1))


def value_at_risk(tail: Worst, level: float, confidence: float, ends: Ends | None = None) -> Estimate:
    """VaR with the interval of the normal limit, stderr = sqrt(a (1 - a) / N) / f(VaR).

    1 / f is the difference of two order statistics over that of their parts of the sample (M. M. Siddiqui, 1960; D. A.
    Bloch and J. L. Gastwirth, "On a simple estimate of the reciprocal of the density function", Annals of Mathematical
    Statistics 39, 1968).

    Raises
    ------
    CapacityError
        Fewer than 5 losses in the tail.

    Examples
    --------
    >>> from mcvar.tail import Tail
    >>> loss = ndtri((np.arange(10_000)[None] + 0.5) / 10_000)
    >>> e = value_at_risk(Tail.of(loss, 0, 200), 0.99, 0.95)
    >>> truth = (0.99 * 0.01 / 10_000) ** 0.5 / 0.026652
    >>> round(float(e.stderr[0] / truth), 2)
    1.03
    """
    ends = ends or Ends.of(confidence)
    r = spacing(tail.count, level, ends)
    assert r.low is not None
    assert r.high is not None
    sparsity = (tail.at(r.high) - tail.at(r.low)) * (tail.count / (r.low - r.high))
    stderr = float(exact(level) * (1 - exact(level)) / tail.count) ** 0.5 * sparsity
    return symmetric("var", level, tail.at(r.var), stderr, confidence, _method(tail.count, level), ends)


def expected_shortfall(tail: Worst, level: float, confidence: float, ends: Ends | None = None) -> Estimate:
    """ES with its asymptotic interval; `method` says when fewer than 50 losses lie in the tail.

    ES is VaR and the mean excess over it. N (1 - a) Var(ES) -> Var(L | L >= VaR) + a (ES - VaR)^2 (S. X. Chen,
    "Nonparametric estimation of expected shortfall", J. Financial Econometrics 6, 2008). Needs a finite loss variance.
    """
    at, size = var_rank(tail.count, level), share(tail.count, level)  # L_r belongs to it in part, with no excess
    first, second = tail.excess(at)
    over, stderr = excess_error(first, second, size, level)
    return symmetric("es", level, tail.at(at) + over, stderr, confidence, _method(tail.count, level), ends)


def excess_error(first: Floats, second: Floats, size: Floats | float, level: float) -> tuple[Floats, Floats]:
    """ES - VaR and the standard error of ES from the sums of the excess and of its square over `size` losses."""
    over = first / size
    spread = np.maximum(second / size - over**2, 0.0)
    return over, np.sqrt((spread + level * over**2) / size)


def mean(moments: Moments, confidence: float, ends: Ends | None = None) -> Estimate:
    """Mean loss."""
    stderr = np.sqrt(moments.variance / moments.count)
    return symmetric("mean", None, moments.mean, stderr, confidence, "asymptotic", ends)


def standard_deviation(moments: Moments, confidence: float, ends: Ends | None = None) -> Estimate:
    """Standard deviation of the loss; Var(s) -> (mu_4 - s^4) / (4 N s^2), the delta method."""
    value = np.sqrt(moments.variance)
    fourth = moments.m4 / moments.count
    with np.errstate(divide="ignore", invalid="ignore"):
        stderr = np.sqrt(np.maximum(fourth - value**4, 0.0) / moments.count) / (2 * value)
    return symmetric("std", None, value, np.where(value > 0, stderr, 0.0), confidence, "asymptotic", ends)


def check_tail(count: int, level: float, least: float, what: str, remedy: Callable[[int], str] | None = None) -> None:
    """Refuse a level with fewer than `least` losses on either side of it.

    `remedy` words what to set, given the count that is enough: not every sampling takes every count.
    """
    side = min(exact(level), 1 - exact(level))
    if count * side < least:
        enough = ceil(least / side)
        what_to_set = remedy(enough) if remedy else f"set scenarios.count to {enough} or more"
        raise CapacityError(
            f"{count} scenarios leave {float(count * side):g} losses beyond level {level}, and {what} takes "
            f"{least:g}: {what_to_set}, or measure.levels nearer to 0.5"
        )


def _method(count: int, level: float) -> str:
    size = share(count, level)
    return "asymptotic" if size >= FEW else f"asymptotic, only {size:g} losses in the tail"
