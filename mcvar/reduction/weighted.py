"""VaR and expected shortfall of weighted losses, with their errors.

Losses L_1 >= L_2 >= ... of N scenarios with weights w_i of mean 1 that are not normalised, level a:

* VaR_a = inf{l : (1/N) sum of w_i over L_i > l is <= 1 - a};
* ES_a = VaR_a + sum of w_i max(L_i - VaR_a, 0) / (N (1 - a)), which is the Acerbi-Tasche mean of the worst weight
  N (1 - a), the loss at the boundary in part;
* with strata (`mcvar.reduction.control`) each loss weighs as its stratum does, and the mean excess is controlled by
  that of the row's quadratic;
* the standard error of VaR is that of the weighted share of losses beyond it, divided by the density there; that of ES
  is that of the mean excess: VaR's own error drops out of it (P. W. Glynn, "Importance sampling for Monte Carlo
  estimation of quantiles", 1996; L. Sun and L. J. Hong, "Asymptotic representations for importance-sampling estimators
  of value-at-risk and conditional value-at-risk", Operations Research Letters 38, 2010).

The density comes from the spacing of the weighted quantiles over an interval of the share: W. S. Woodruff, "Confidence
intervals for medians and other position measures", JASA 47, 1952. With all weights 1 values are those of
`mcvar.measures`.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import ArrayLike, NDArray
from scipy.special import stdtrit

from mcvar.errors import CapacityError, SettingError
from mcvar.intervals.estimate import Ends, Estimate, exact, none, normal, symmetric
from mcvar.reduction.strata import Strata, section_of, section_sizes
from mcvar.tail import Tail

Floats = NDArray[np.float64]
_WIDEST = 0.25  # of the standard error of unweighted shares: the density is taken over no less than that


def measure(
    tail: Tail,
    weight: ArrayLike,
    levels: Sequence[float],
    confidence: float,
    strata: Strata | None = None,
    *,
    ends: Ends | None = None,
) -> list[Estimate]:
    """VaR and ES at each level.

    Parameters
    ----------
    tail : Tail
        Deep enough for VaR and for the spacing of quantiles behind it.
    weight : ndarray [K] or [R, K], or 1
        Likelihood ratios of the losses of the tail; >= 0, of mean 1 over all N scenarios.
    levels : sequence of float
    confidence : float
    strata : Strata, optional
        Their weights multiply those.
    ends : Ends, optional
        Of the intervals; default: two-sided, of that confidence.

    Raises
    ------
    SettingError
        A level or confidence outside (0, 1), or a negative weight.
    CapacityError
        A tail that is not deep enough.
    """
    way = _independent(tail, confidence, strata, ends)
    return [each for level in levels for each in _both(tail, weight, level, confidence, strata, way)]


def value_at_risk(
    tail: Tail, weight: ArrayLike, level: float, confidence: float, strata: Strata | None = None
) -> Estimate:
    """See `measure`. The interval is that of the share of losses beyond VaR, read as quantiles.

    Examples
    --------
    >>> tail = Tail.of(np.arange(1000.0)[None, :], 0, 100)
    >>> value_at_risk(tail, np.ones(100), 0.99, 0.95).value.tolist()
    [989.0]
    >>> value_at_risk(tail, np.full(100, 0.5), 0.99, 0.95).value.tolist()
    [979.0]
    """
    return _both(tail, weight, level, confidence, strata, _independent(tail, confidence, strata))[0]


def expected_shortfall(
    tail: Tail, weight: ArrayLike, level: float, confidence: float, strata: Strata | None = None
) -> Estimate:
    """See `measure`; the interval is symmetric and needs a finite variance of weight times loss.

    Examples
    --------
    >>> tail = Tail.of(np.arange(1000.0)[None, :], 0, 100)
    >>> expected_shortfall(tail, np.ones(100), 0.99, 0.95).value.tolist()
    [994.5]
    """
    return _both(tail, weight, level, confidence, strata, _independent(tail, confidence, strata))[1]


def mean(loss: Floats, weight: Floats, confidence: float, ends: Ends | None = None) -> Estimate:
    """The mean of losses [R, N], all of them, with weights [N] or [R, N] that are likelihood ratios."""
    weighted = weight * loss
    value, stderr = weighted.mean(axis=1), weighted.std(axis=1, ddof=1) / np.sqrt(loss.shape[1])
    return symmetric("mean", None, value, stderr, confidence, "asymptotic, weighted", ends)


def by_sections(
    tail: Tail,
    weight: ArrayLike,
    levels: Sequence[float],
    confidence: float,
    *,
    sections: int,
    unit: int,
    strata: Strata | None = None,
    ends: Ends | None = None,
) -> list[Estimate]:
    """VaR and ES at each level with errors from S sections of the scenarios, for any dependence within these.

    The share of losses beyond VaR and the mean excess over it are means. Each section is left out of them in turn, and
    the S pseudo-values S m - (S - 1) m_s count as independent: t intervals of S - 1 degrees of freedom (S. Asmussen and
    P. W. Glynn, "Stochastic Simulation", 2007, sections III.5a and 5b). Leaving one out, rather than taking one alone,
    keeps the strata filled.

    Parameters
    ----------
    sections, unit : int
        Scenario n is in section (n // unit) mod S. With strata, those that they were counted by.

    Raises
    ------
    SettingError
        Fewer than two sections, some without scenarios, or not those of the strata.
    """
    if strata is not None and (strata.sections, strata.unit) != (sections, unit):
        raise SettingError(
            f"strata counted by {strata.sections} sections of units of {strata.unit} cannot be read by {sections} of "
            f"{unit}: give both the same"
        )
    sizes = section_sizes(tail.count, sections, unit)
    own = section_of(tail.scenario, sections, unit)
    independent = _independent(tail, confidence, strata).mean

    def mean(value: Floats, level: float | None) -> tuple[Floats, Floats]:
        whole = independent(value, level)[0]
        pseudo = np.empty((sections, len(value)))
        for s in range(sections):
            if strata is None:
                left = np.where(own == s, 0.0, value).sum(axis=1) / (tail.count - sizes[s])
            else:
                left = strata.mean(value, level, without=s, own=own)[0]
            pseudo[s] = sections * whole - (sections - 1) * left
        return whole, pseudo.var(axis=0, ddof=1) / sections

    ends = ends or Ends.of(confidence)
    way = _Way("sections", mean, ends, -float(stdtrit(sections - 1, float(ends.given[0]))))
    return [each for level in levels for each in _both(tail, weight, level, confidence, strata, way)]


@dataclass(frozen=True)
class _Way:
    """How errors are found: means over all scenarios of values [R, K] and their variances, [R] each."""

    method: str
    mean: Callable[[Floats, float | None], tuple[Floats, Floats]]
    ends: Ends
    z: float  # standard errors to either side of an interval

    def estimate(
        self, measure: str, level: float, value: Floats, stderr: Floats, low: Floats, high: Floats, confidence: float
    ) -> Estimate:
        """With the ends that are asked for."""
        low = none(value) if self.ends.low is None else low
        high = none(value) if self.ends.high is None else high
        return Estimate(measure, level, value, stderr, low, high, confidence, self.method + self.ends.together)


def _independent(tail: Tail, confidence: float, strata: Strata | None, ends: Ends | None = None) -> _Way:
    def mean(value: Floats, level: float | None) -> tuple[Floats, Floats]:
        first, second = value.sum(axis=1) / tail.count, (value**2).sum(axis=1) / tail.count
        return first, np.maximum(second - first**2, 0.0) / tail.count

    ends = ends or Ends.of(confidence)
    z = normal(ends.given[0])
    if strata is None:
        return _Way("asymptotic, weighted", mean, ends, z)
    return _Way("asymptotic, post-stratified", strata.mean, ends, z)


def _both(
    tail: Tail, weight: ArrayLike, level: float, confidence: float, strata: Strata | None, way: _Way
) -> tuple[Estimate, Estimate]:
    """VaR and ES."""
    for name, number in (("measure.levels", level), ("measure.confidence", confidence)):
        if not 0.0 < number < 1.0:
            raise SettingError(f"{name} has {number:g}: it must lie between 0 and 1, such as 0.99")
    ratio = np.broadcast_to(np.asarray(weight, dtype=np.float64), tail.loss.shape)
    bad = ratio[~((ratio >= 0) & (ratio < np.inf))]
    if len(bad):
        raise SettingError(f"a weight is {bad[0]:g}: weights of scenarios are finite and not negative")
    share = float(1 - exact(level))
    beyond = np.full(len(ratio), float(tail.count * (1 - exact(level))))
    weights = ratio if strata is None else ratio * strata.weight()
    var = _quantile(tail, weights, beyond)
    beyond_var = (tail.loss > var[:, None], tail.loss >= var[:, None])  # they differ where many losses are equal to it
    error = np.sqrt(np.maximum(*(way.mean(ratio * share_of, None)[1] for share_of in beyond_var)))
    # The share steps by the weight of a loss: where strata foretell every loss beyond VaR, its error is not 0 but that.
    at = np.minimum((tail.loss > var[:, None]).sum(axis=1), tail.loss.shape[1] - 1)
    error = np.hypot(error, weights[np.arange(len(at)), at] / tail.count)
    reach = way.z * np.maximum(error, _WIDEST * np.sqrt(share * (1 - share) / tail.count))
    part = way.z * error / reach
    low = var - part * (var - _quantile(tail, weights, beyond + tail.count * reach))
    high = var + part * (_quantile(tail, weights, np.maximum(beyond - tail.count * reach, 0.0)) - var)
    stderr = (high - low) / (2 * way.z)
    found = way.estimate("var", level, var, stderr, low, high, confidence)
    over, variance = way.mean(ratio * np.maximum(tail.loss - var[:, None], 0.0), level)
    if strata is not None:
        # ES is the least of v + E max(L - v, 0) / (1 - a) over v (R. T. Rockafellar and S. Uryasev, J. Risk 2, 2000),
        # so that of a sample is too low, by about this much: felt where strata leave ES little other error.
        variance = variance + (0.5 * error * stderr) ** 2
    es, spread = var + over / share, np.sqrt(variance) / share
    return found, way.estimate("es", level, es, spread, es - way.z * spread, es + way.z * spread, confidence)


def _quantile(tail: Tail, weight: Floats, beyond: Floats) -> Floats:
    """inf{l : sum of the weights of losses > l is <= beyond}, [R]."""
    at = (np.cumsum(weight, axis=1) <= beyond[:, None]).sum(axis=1)
    if (at == weight.shape[1]).any():
        raise CapacityError(
            f"the tail keeps the {weight.shape[1]} worst of {tail.count} losses, and all their weight together is less "
            f"than the {beyond.max():.6g} that a measure or its error reads: keep more, or ask for a higher level"
        )
    return np.asarray(tail.loss[np.arange(len(at)), at])
