"""Intervals that hold for all rows together, from the largest studentised deviation of the resamples.

value -+ c x stderr, with c the quantile over the resamples of the largest deviation over the rows, so the dependence
between rows is used where Bonferroni's inequality ignores it (J. P. Romano and M. Wolf, "Exact and approximate stepdown
methods for multiple hypothesis testing", J. American Statistical Association 100, 2005; J. L. Montiel Olea and M.
Plagborg-Moller, "Simultaneous confidence bands", J. Applied Econometrics 34, 2019). Largest deviations of some rows
merge into those of all.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace

import numpy as np

from mcvar.intervals.estimate import Ends, Estimate, Floats, none


def largest(estimates: Sequence[Estimate]) -> list[Floats | None]:
    """Of each estimate, the largest deviation up and down over its rows in each resample, [2, B]; None: not resampled.

    Examples
    --------
    >>> e = Estimate("var", 0.99, *(np.ones(2) for _ in range(4)), 0.95, "", np.array([[0.5, -2.0], [-1.5, 1.0]]))
    >>> largest([e])[0].tolist()
    [[0.5, 1.0], [1.5, 2.0]]
    """
    return [None if e.deviation is None else _both(e.deviation) for e in estimates]


def merged(parts: Sequence[Sequence[Floats | None]]) -> list[Floats | None]:
    """The largest deviations of the rows of all parts."""
    return [
        None if any(one is None for one in each) else np.max([one for one in each if one is not None], axis=0)
        for each in zip(*parts, strict=True)
    ]


def stripped(estimates: Sequence[Estimate]) -> list[Estimate]:
    """Without their deviations, which are no longer wanted once the largest are known."""
    return [replace(e, deviation=None) for e in estimates]


def settled(estimate: Estimate, deviation: Floats | None, ends: Ends, rows: int) -> Estimate:
    """The estimate with the ends of its joint interval, given the largest deviations [2, B] of all rows.

    Each end misses no row but with the probability that `ends` says; two ends together share theirs.
    """
    if deviation is None:
        return estimate
    up, down = deviation
    if ends.low is not None and ends.high is not None:
        up = down = np.maximum(up, down)
        ends = Ends(ends.low + ends.high, ends.low + ends.high)
    half = [
        none(estimate.value)
        if miss is None
        else float(np.quantile(worst, float(1 - miss), method="weibull")) * estimate.stderr
        for miss, worst in ((ends.low, up), (ends.high, down))
    ]
    resamples = deviation.shape[1]
    method = f"bootstrap, {resamples} resamples, {rows} rows together"
    low, high = estimate.value - half[0], estimate.value + half[1]
    return replace(estimate, low=low, high=high, method=method, deviation=None)


def _both(deviation: Floats) -> Floats:
    if not len(deviation):  # no row of the pass counts
        return np.full((2, deviation.shape[1]), -np.inf)
    return np.stack([deviation.max(axis=0), (-deviation).max(axis=0)])
