"""Intervals of what a comparison counts: probabilities and rank correlations."""

from __future__ import annotations

from math import atanh, sqrt, tanh

import numpy as np
from numpy.typing import ArrayLike, NDArray
from scipy.special import betaincinv
from scipy.stats import rankdata

from mcvar.intervals.estimate import exact, normal
from mcvar.intervals.order import check_unit

Floats = NDArray[np.float64]


def clopper_pearson(count: ArrayLike, trials: int, confidence: float) -> tuple[Floats, Floats]:
    """The exact two-sided interval of a probability of which `count` of `trials` independent trials came true.

    Its ends are those probabilities under which so many or more, so many or fewer, have the chance (1 - c) / 2
    (C. J. Clopper and E. S. Pearson, Biometrika 26, 1934); it covers with c or more, whatever the probability.

    Parameters
    ----------
    count : array_like of int
    trials : int
        N >= 1.
    confidence : float
        c, in (0, 1).

    Returns
    -------
    low, high : ndarray
        As `count`.

    Raises
    ------
    SettingError
        A confidence outside (0, 1).

    Examples
    --------
    >>> low, high = clopper_pearson([0, 10], 100, 0.95)
    >>> low.round(4).tolist(), high.round(4).tolist()
    ([0.0, 0.049], [0.0362, 0.1762])
    """
    check_unit("measure.confidence", confidence)
    k = np.asarray(count, dtype=np.float64)
    miss = float((1 - exact(confidence)) / 2)
    low = np.where(k > 0, betaincinv(np.maximum(k, 1), trials - k + 1, miss), 0.0)
    high = np.where(k < trials, 1.0 - betaincinv(np.maximum(trials - k, 1), k + 1, miss), 1.0)
    return low, high


def spearman(x: ArrayLike, y: ArrayLike, confidence: float) -> tuple[float, float, float]:
    """Spearman's rank correlation, ties at their mean rank, and its interval.

    Fisher's z with the variance (1 + r^2 / 2) / (n - 3) of D. G. Bonett and T. A. Wright, "Sample size requirements for
    estimating Pearson, Kendall and Spearman correlations", Psychometrika 65 (2000).

    Returns
    -------
    value, low, high : float
        NaN: fewer than two different values on a side; for the interval, fewer than four pairs.

    Examples
    --------
    >>> tuple(round(each, 4) for each in spearman([1, 2, 3, 4, 5], [2, 1, 4, 3, 5], 0.95))
    (0.8, -0.4571, 0.9908)
    """
    a, b = (rankdata(np.asarray(side, dtype=np.float64)) for side in (x, y))
    if len(a) < 2 or np.ptp(a) == 0 or np.ptp(b) == 0:
        return np.nan, np.nan, np.nan
    a, b = a - a.mean(), b - b.mean()
    r = float(np.clip(a @ b / sqrt(float(a @ a) * float(b @ b)), -1.0, 1.0))
    if len(a) < 4:
        return r, np.nan, np.nan
    if abs(r) > 1 - 1e-12:
        return r, r, r
    reach = normal((1 - exact(confidence)) / 2) * sqrt((1 + r * r / 2) / (len(a) - 3))
    return r, tanh(atanh(r) - reach), tanh(atanh(r) + reach)
