"""What parts of a loss contribute to its VaR and expected shortfall: Euler's principle on a kept tail.

With the loss L = sum of parts l_i and VaR_a, ES_a positively homogeneous, the derivatives in the sizes of the parts are
(D. Tasche, "Risk contributions and performance measurement", 1999; McNeil, Frey and Embrechts, "Quantitative Risk
Management", 2015, section 8.5)

    d VaR_a = E[l_i | L = VaR_a],        d ES_a = E[l_i | L >= VaR_a],

and add up to the measures. Those of ES are the means of the parts with the weights of ES itself; those of VaR are means
over ranks around VaR's, scaled to VaR (P. Glasserman, "Measuring marginal risk contributions in credit portfolios",
J. Computational Finance 9, 2005).
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from functools import cached_property
from math import ceil, floor, isfinite
from typing import Any

import numpy as np
from numpy.typing import NDArray
from scipy.special import ndtri

from mcvar.errors import CapacityError, SettingError
from mcvar.intervals.order import Bounds, var_rank
from mcvar.measures import exact, ranks

Floats = NDArray[np.float64]
_SCALES = (0.5, 2.0)  # beyond which a mean over the window is not one of losses like VaR


def tail_weights(count: int, level: float) -> Floats:
    """Weights of the worst losses in ES, [ceil(N (1 - a))], which add up to 1: the last one in part.

    Examples
    --------
    >>> tail_weights(250, 0.99)
    array([0.4, 0.4, 0.2])
    """
    share = count * (1 - exact(level))
    whole, rest = floor(share), float(share - floor(share))
    return np.array([1.0] * whole + [rest] * (rest > 0)) / float(share)


def kept_for(count: int, level: float, confidence: float, window: int | None = None) -> dict[str, int]:
    """How many of the worst losses the contributions to `var` and `es` read, VaR's as far as its ranks are known.

    Examples
    --------
    >>> kept_for(100_000, 0.99, 0.95)
    {'var': 1063, 'es': 1000}
    """
    found = ranks_of(count, level, confidence)
    reach = 0 if window is None else min(found.var + window, count)
    return {"var": max(*found.read, reach), "es": ceil(count * (1 - exact(level)))}


def ranks_of(count: int, level: float, confidence: float) -> Bounds:
    """Ranks of VaR and of its two-sided interval of order statistics; no ends where scenarios are too few for it.

    Examples
    --------
    >>> ranks_of(10_000, 0.99, 0.95), ranks_of(250, 0.99, 0.95)
    (Bounds(var=101, low=121, high=81), Bounds(var=3, low=None, high=None))
    """
    try:
        found = ranks(count, level, confidence)
    except CapacityError:
        return Bounds(var_rank(count, level))
    return Bounds(found.var, found.low, found.high)


@dataclass(frozen=True)
class TailAt:
    """The tail of one account as a level reads it.

    Parameters
    ----------
    loss : ndarray [K]
        The K worst losses, worst first.
    count : int
        N.
    level, confidence : float
    window : int, optional
        Ranks to each side of VaR's over which parts are averaged; by default those of its interval.

    Examples
    --------
    Two positions, the second of which loses where the account does:

    >>> parts = np.array([[1.0, -1.0] * 200, np.linspace(90.0, 50.0, 400)])
    >>> tail = TailAt(parts.sum(axis=0), 10_000, 0.99, 0.95)
    >>> value, error = tail.expected_shortfall(parts)
    >>> value.round(2), bool(np.isclose(value.sum(), tail.weights @ tail.loss[:100]))
    (array([ 0.  , 85.04]), True)
    """

    loss: Floats
    count: int
    level: float
    confidence: float
    window: int | None = None

    def __post_init__(self) -> None:
        if self.window is not None and not 1 <= self.window < self.ranks.var:
            raise SettingError(
                f"job.window is {self.window}: from 1 to {self.ranks.var - 1} ranks to each side of VaR's, which is "
                f"number {self.ranks.var} of {self.count} losses at level {self.level:g}; null takes its interval"
            )

    @cached_property
    def ranks(self) -> Bounds:
        """See `ranks_of`."""
        return ranks_of(self.count, self.level, self.confidence)

    @property
    def weights(self) -> Floats:
        """See `tail_weights`."""
        return tail_weights(self.count, self.level)

    @property
    def averaged(self) -> tuple[int, int]:
        """First and last rank over which contributions to VaR are averaged; as far as the tail goes.

        Where VaR has no interval it is its own rank alone, which serves the errors of ES only.
        """
        at, kept = self.ranks, len(self.loss)
        first, last = at.high or at.var, at.low or at.var
        if self.window is not None:
            first, last = at.var - self.window, at.var + self.window
        return min(first, kept), min(last, kept)

    @property
    def var(self) -> float:
        """VaR; the least loss that is kept if that is one rank short of it."""
        return float(self.loss[min(self.ranks.var, len(self.loss)) - 1])

    @property
    def var_error(self) -> float:
        """Standard error of VaR: (high - low) / 2 z, as in `mcvar.measures`; NaN where it has no interval."""
        low, high = self.ranks.low, self.ranks.high
        if low is None or high is None:
            return np.nan
        return float(self.loss[high - 1] - self.loss[low - 1]) / (2 * float(ndtri(0.5 + 0.5 * self.confidence)))

    @property
    def scale(self) -> float:
        """VaR over the mean loss of the window; NaN where VaR is not unlike 0 there, or the mean not like VaR."""
        first, last = self.averaged
        worst, least = float(self.loss[first - 1]), float(self.loss[last - 1])
        if worst == least:
            return 1.0
        factor = self.var / float(self._average(self.loss)) if worst * least > 0 else np.nan
        return factor if _SCALES[0] <= factor <= _SCALES[1] else np.nan

    def unread(self, measure: str) -> str:
        """Why there are no contributions to `var` or `es`; "" if there are."""
        kept, deep = len(self.loss), kept_for(self.count, self.level, self.confidence, self.window)[measure]
        at = f"{measure} at level {self.level:g}"
        if measure == "var" and self.ranks.low is None:
            return (
                f"{at} has no two-sided interval of order statistics at confidence {self.confidence:g}, whose losses "
                f"contributions are averaged over: {self.count} scenarios are too few, so it takes a run with a higher "
                "scenarios.count"
            )
        if deep > kept:
            smaller = ", or a smaller job.window" if self.window else ""
            return (
                f"{at} reads {deep} losses, and {kept} are kept: it takes a run with output.tail_rows={deep}{smaller}"
            )
        if measure == "var" and not np.isfinite(self.scale):
            first, last = self.averaged
            return (
                f"{at} is {self.var:g}, and the losses around it, from {self.loss[first - 1]:g} to "
                f"{self.loss[last - 1]:g}, are too far apart for contributions: give a smaller job.window or more "
                "scenarios"
            )
        return ""

    def _average(self, parts: Floats) -> Floats:
        first, last = self.averaged
        return np.asarray(parts[..., first - 1 : last].mean(axis=-1))

    def value_at_risk(self, parts: Floats) -> tuple[Floats, Floats]:
        """Contributions of parts [P, K] to VaR and their standard errors, [P] each.

        c_i = s mean(l_i), s = VaR / mean(L). With the residuals e = l_i - (c_i / VaR) L, of which the window holds n
        that are independent given the losses,

            Var(c_i) = s^2 Var(e) / n + (c_i / VaR)^2 Var(VaR):

        the error of a ratio of means, and of what it is scaled to. The second term takes c_i to be in proportion to
        VaR, as it is for elliptical losses; that of the whole loss is VaR's own error.
        """
        first, last = self.averaged
        mean, scale = self._average(parts), self.scale
        whole = float(self._average(self.loss))
        share = mean / whole if whole else np.zeros_like(mean)
        rest = parts[:, first - 1 : last] - share[:, None] * self.loss[first - 1 : last]
        noise = rest.var(axis=1, ddof=1) / (last - first + 1) if last > first else np.full(len(parts), np.nan)
        return scale * mean, np.sqrt(scale**2 * noise + (share * self.var_error) ** 2)

    def expected_shortfall(self, parts: Floats) -> tuple[Floats, Floats]:
        """Contributions of parts [P, K] to ES and their standard errors, [P] each.

        C_i is the mean of l_i with the weights of ES, and c_i the contribution to VaR. Expanding the estimator in the
        estimated quantile gives the influence function (L. J. Hong and G. Liu, "Simulating sensitivities of conditional
        value at risk", Management Science 55, 2009)

            (l_i - c_i) 1{L > VaR} / (1 - a) - (C_i - c_i),

        so N (1 - a) Var(C_i) -> Var(l_i | L >= VaR) + a (C_i - c_i)^2. For the whole loss it is the error of ES.
        """
        weights, factor = self.weights, self.scale
        centre = self._average(parts) * (factor if np.isfinite(factor) else 1.0)
        beyond = parts[:, : len(weights)] - centre[:, None]
        mean, second = beyond @ weights, beyond**2 @ weights
        spread = np.maximum(second - mean**2, 0.0)
        share = float(self.count * (1 - exact(self.level)))
        return centre + mean, np.sqrt((spread + self.level * mean**2) / share)

    def describe(self, measure: str) -> dict[str, Any]:
        """The measure itself, and over which ranks and with what factor its contributions were found."""
        if measure == "es":
            value, stderr = self.expected_shortfall(self.loss[None])
            return {"measure": measure, "level": self.level, "value": float(value[0]), "stderr": _finite(stderr[0])}
        return {
            "measure": measure,
            "level": self.level,
            "value": self.var,
            "stderr": _finite(self.var_error),
            "rank": self.ranks.var,
            "window": list(self.averaged),
            "scale": self.scale,
        }


@dataclass(frozen=True)
class Contribution:
    """What one part contributes to a measure of an account; `stderr` and `share` are None where there is none.

    Parameters
    ----------
    account, measure : str
    level : float
    by : str
        `instrument`, `underlying` or `factor`.
    name : str
    value, stderr : float
        In the account's currency.
    share : float
        Of the measure.
    """

    account: str
    measure: str
    level: float
    by: str
    name: str
    value: float
    stderr: float | None
    share: float | None


def contributions(
    account: str, tail: TailAt, measure: str, parts: Mapping[str, Mapping[str, Floats]]
) -> list[Contribution]:
    """Contributions of named losses [K], which are split in one or several ways `by`, to `var` or `es`."""
    found = []
    for by, named in parts.items():
        if not named:
            continue
        losses = np.stack(list(named.values()))
        value, stderr = tail.value_at_risk(losses) if measure == "var" else tail.expected_shortfall(losses)
        whole = float(value.sum()) if tail.describe(measure)["value"] else 0.0  # not the rounding of parts that cancel
        for name, v, e in zip(named, value.tolist(), stderr.tolist(), strict=True):
            share = _finite(v / whole) if whole else None
            found.append(Contribution(account, measure, tail.level, by, name, v, _finite(e), share))
    return found


def _finite(value: float) -> float | None:
    return float(value) if isfinite(value) else None
