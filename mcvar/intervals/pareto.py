"""VaR and ES from a generalised Pareto law fitted to the tail: smoother where few losses lie beyond the level.

The excesses over the order statistic u = L_{k+1}, k = max(2 N (1 - a), 100) but at most N / 5, are fitted by maximum
likelihood; with c = N (1 - a) / k,

    VaR = u + scale / shape (c^-shape - 1)        ES = (VaR + scale - shape u) / (1 - shape)

(A. J. McNeil, R. Frey and P. Embrechts, "Quantitative Risk Management", 2015, 5.2.3).

Intervals are by the delta method on the expected information (R. L. Smith, "Estimating tails of probability
distributions", Annals of Statistics 15, 1987), which has a closed form and, unlike the observed, is positive definite
wherever the limit holds, shape > -1/2. A shape outside (-1/2, 1) has no such error, or no ES: the estimate is NaN.
"""

from __future__ import annotations

from collections.abc import Sequence
from math import ceil

import numpy as np
from scipy.stats import FitError, genpareto

from mcvar.errors import CapacityError, SettingError
from mcvar.intervals.estimate import Ends, Estimate, Floats, exact, share, symmetric
from mcvar.tail import Tail

_LEAST = 100  # excesses
_FACTOR = 2  # excesses for each loss beyond the level
_LOWEST = 0.9
_SHAPES = (-0.5, 1.0)  # between which there is a standard error, and an ES


def excesses(count: int, level: float) -> int:
    """k: how many of the worst losses are fitted, those in excess of the one after them.

    Raises
    ------
    SettingError
        A level below 0.9: it is not in the tail.
    CapacityError
        Fewer than 500 scenarios.

    Examples
    --------
    >>> excesses(100_000, 0.99), excesses(1_000, 0.99), excesses(100_000, 0.9)
    (2000, 100, 20000)
    """
    if level < _LOWEST:
        raise SettingError(f"measure.pareto fits tails, but measure.levels has {level}: give levels of 0.9 or more")
    if count < 5 * _LEAST:
        raise CapacityError(f"{count} scenarios are too few for measure.pareto: it takes {5 * _LEAST} or more")
    return min(max(ceil(_FACTOR * count * (1 - exact(level))), _LEAST), count // 5)


def fit(excess: Floats) -> tuple[Floats, Floats]:
    """Shape and scale of the generalised Pareto law of each row, by maximum likelihood.

    Parameters
    ----------
    excess : ndarray [R, k]
        Not negative.

    Returns
    -------
    shape, scale : ndarray [R]
        NaN where no shape in (-1/2, 1) maximises the likelihood: the tail ends abruptly, has no mean, or its losses are
        equal.

    Examples
    --------
    >>> u = (np.arange(1000)[None] + 0.5) / 1000
    >>> [v.round(2).tolist() for v in fit(3 / 0.25 * (u**-0.25 - 1))]
    [[0.25], [3.0]]
    """
    found = np.array([_fitted(each) for each in excess]).reshape(len(excess), 2)
    return found[:, 0], found[:, 1]


def _fitted(excess: Floats) -> tuple[float, float]:
    """Shape and scale of one row."""
    mean = float(excess.mean())
    if not 0 < mean < np.inf or np.count_nonzero(excess) <= len(excess) / 2:
        return np.nan, np.nan
    x = excess / mean
    if not (variance := float(x.var())) > 1e-20:
        return np.nan, np.nan
    shape = min(max(0.5 * (1 - 1 / variance), -0.4), 0.4)  # about, by moments
    try:
        with np.errstate(all="ignore"):  # the search leaves what the law allows, and comes back
            shape, _, scale = genpareto.fit(x, shape, floc=0, scale=1 - shape)
    except FitError:
        return np.nan, np.nan
    return (shape, scale * mean) if _SHAPES[0] < shape < _SHAPES[1] else (np.nan, np.nan)


def estimates(head: Tail, level: float, confidence: float, ends: Ends | None = None) -> tuple[Estimate, Estimate]:
    """`var_pareto` and `es_pareto`; NaN where the fit fails.

    Parameters
    ----------
    head : Tail
        One loss deeper than `excesses`.
    """
    size, k = share(head.count, level), excesses(head.count, level)
    threshold = head.loss[:, k]
    whole = np.all(head.scenario >= 0, axis=1, keepdims=True)  # a row that a pilot missed runs again
    with np.errstate(invalid="ignore"):
        shape, scale = fit(np.where(whole, head.loss[:, :k] - threshold[:, None], 0.0))
    beyond = np.log(size / k)  # of c
    reach = -np.expm1(-shape * beyond)  # 1 - c^-shape
    flat = np.abs(shape) < 1e-8
    slope = np.where(flat, -beyond, -reach / np.where(flat, 1.0, shape))  # (c^-shape - 1) / shape
    var = threshold + scale * slope
    es = (var + scale - shape * threshold) / (1 - shape)
    power = 1 - reach  # c^-shape
    by_shape = scale * np.where(flat, beyond**2 / 2, (-beyond * power - slope) / np.where(flat, 1.0, shape))
    var_error = _error(by_shape, slope, power * scale, shape, scale, k, head.count)
    es_by_shape = (by_shape - threshold + es) / (1 - shape)
    es_error = _error(es_by_shape, (slope + 1) / (1 - shape), power * scale / (1 - shape), shape, scale, k, head.count)
    method = f"generalised Pareto, {k} excesses"
    return (
        symmetric("var_pareto", level, var, var_error, confidence, method, ends),
        symmetric("es_pareto", level, es, es_error, confidence, method, ends),
    )


def notes(found: Sequence[Estimate]) -> list[str]:
    """At which levels, and for how many rows, there is no fit."""
    missing: dict[float, int] = {}
    for estimate in found:
        if estimate.level is not None and estimate.measure.endswith("_pareto"):
            nulls = int(np.isnan(estimate.value).sum())
            missing[estimate.level] = max(nulls, missing.get(estimate.level, 0))  # VaR and ES have the same fit
    return [
        f"var_pareto and es_pareto at level {level} are null for {nulls} rows: no generalised Pareto law with a "
        "shape between -1/2 and 1 fits their tails best"
        for level, nulls in missing.items()
        if nulls
    ]


def _error(
    by_shape: Floats, by_scale: Floats, by_threshold: Floats, shape: Floats, scale: Floats, k: int, count: int
) -> Floats:
    """Of a function of shape and scale, whose covariance is the inverse of the expected information, and of u.

    u is an order statistic with the variance (1 - k / N) scale^2 / k; the scale of what exceeds it moves by shape x u,
    which makes the derivative of VaR by u, both together, c^-shape.
    """
    variance = (1 + shape) ** 2 * by_shape**2 - 2 * scale * (1 + shape) * by_shape * by_scale
    variance += 2 * scale**2 * (1 + shape) * by_scale**2
    return np.sqrt((variance + (1 - k / count) * by_threshold**2) / k)
