"""Intervals from resamples of the scenarios: percentile for VaR, studentised for ES.

A resample gives each scenario a weight that is Poisson(1), a pure function of (seed, resample, scenario), so that all
rows are resampled alike and their deviations can be compared (J. Praestgaard and J. Wellner, "Exchangeably weighted
bootstraps of the general empirical process", Annals of Probability 21, 1993). Of the scenarios beyond the tail only the
sum of the weights counts; it is drawn once a resample, for all rows alike.

Resampled VaR is one of the order statistics, so its percentiles are close to the exact interval between those, and
studentising it would take a density. The error of ES is skewed and its standard error known in every resample, so its
interval is studentised, which is right to second order (P. Hall, "The Bootstrap and Edgeworth Expansion", 1992, 3.3).
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from fractions import Fraction
from math import ceil

import numpy as np
from numpy.typing import NDArray
from scipy.special import pdtr
from scipy.stats import poisson

from mcvar.errors import CapacityError, SettingError
from mcvar.intervals.asymptotic import check_tail, excess_error, expected_shortfall
from mcvar.intervals.estimate import Ends, Estimate, Floats, exact, kept_for, none, share
from mcvar.intervals.order import var_rank
from mcvar.philox import Stream, philox
from mcvar.tail import Tail, Worst

_LEAST = 5  # losses in the tail, and resamples beyond an end
_CELLS = 2**22  # weights at once
_ROUNDING = 1e-12  # of a loss
_LOW = np.uint64(0xFFFFFFFF)
_NOBODY = np.array([2**64 - 1], dtype=np.uint64)  # a number that no scenario has
_STEPS = np.array([step for k in range(20) if (step := round(2**32 * pdtr(k, 1.0))) < 2**32], dtype=np.uint32)


def depth(count: int, level: float) -> int:
    """How many of the worst losses hold the VaR of every resample, but for once in 10^12.

    Raises
    ------
    CapacityError
        Fewer than 5 losses in the tail.

    Examples
    --------
    >>> depth(100_000, 0.99)
    1265
    """
    check_tail(count, level, _LEAST, "a bootstrap")
    return min(count, kept_for(share(count, level) * (1 + 7 / count**0.5)))  # as the sum of all weights varies, too


def check_resamples(resamples: int, ends: Ends) -> None:
    """Refuse fewer resamples than put 5 beyond each end."""
    least = max(ceil(_LEAST / miss) for miss in ends.given)
    if resamples < least:
        raise SettingError(
            f"measure.resamples is {resamples}: an end that misses with probability {float(min(ends.given)):.2g} takes "
            f"{least} or more"
        )


def weights(seed: int, scenario: NDArray[np.int64], first: int, last: int) -> NDArray[np.uint8]:
    """Poisson(1) weights of scenarios in the resamples from `first`, a multiple of 4, to `last`.

    Returns
    -------
    ndarray [last - first, M]
        Each by inversion of one 32-bit word.

    Examples
    --------
    >>> some = weights(1, np.arange(1000), 0, 100)
    >>> some.shape, round(float(some.mean()), 2), round(float(some.var()), 2)
    ((100, 1000), 1.0, 1.0)
    >>> bool((weights(1, np.array([7, 3]), 4, 9) == some[4:9, [7, 3]]).all())
    True
    """
    words = _words(seed, scenario.astype(np.uint64), first, last)
    made = np.zeros(words.shape, dtype=np.uint8)
    for step in _STEPS:
        made += words >= step
    return made


def _words(seed: int, scenario: NDArray[np.uint64], first: int, last: int) -> NDArray[np.uint32]:
    """A random word for each scenario and each resample from `first`, a multiple of 4, to `last`: [last - first, M]."""
    block = np.arange(first // 4, -(-last // 4), dtype=np.uint64)[:, None]
    lane = np.full((1, 1), int(Stream.resample) << 24, dtype=np.uint64)
    counter = (scenario[None, :] & _LOW, scenario[None, :] >> np.uint64(32), block, lane)
    drawn = philox(counter, (seed & 0xFFFFFFFF, seed >> 32))
    words = np.stack([word.astype(np.uint32) for word in drawn], axis=1)  # [blocks, 4, M]
    return words.reshape(4 * len(block), -1)[: last - first]


def others(seed: int, number: int, resamples: int) -> NDArray[np.int64]:
    """The sum of the weights of `number` scenarios that are not kept, in each resample, [B].

    Examples
    --------
    >>> others(1, 10_000, 3).tolist(), others(1, 0, 3).tolist()
    ([10046, 10083, 9905], [0, 0, 0])
    """
    if number == 0:
        return np.zeros(resamples, dtype=np.int64)
    u = (_words(seed, _NOBODY, 0, resamples)[:, 0] + 0.5) / 2**32
    return np.asarray(poisson.ppf(u, number)).astype(np.int64)


@dataclass(frozen=True)
class Resampled:
    """VaR, ES and the standard error of ES of every row in every resample, [R, B] each."""

    level: float
    var: Floats
    es: Floats
    error: Floats

    @classmethod
    def of(cls, head: Tail, levels: Sequence[float], seed: int, resamples: int) -> list[Resampled]:
        """Resample the worst losses, at each level.

        Parameters
        ----------
        head : Tail
            At least `depth` deep.
        levels : sequence of float
        seed : int
            0 <= seed < 2**64.
        resamples : int
            B.

        Raises
        ------
        CapacityError
            The VaR of a resample is not among the losses kept.
        """
        rows, kept = head.loss.shape
        found = [cls(level, *(np.full((rows, resamples), np.nan) for _ in range(3))) for level in levels]
        total = others(seed, head.count - kept, resamples)
        whole = np.flatnonzero((head.scenario >= 0).all(axis=1))  # a row that a pilot missed runs again
        named, place = np.unique(head.scenario[whole], return_inverse=True)
        place = place.reshape(len(whole), kept)
        step = max(4, _CELLS // max(len(named), 1) // 4 * 4)
        for first in range(0, resamples, step):
            piece = slice(first, min(first + step, resamples))
            drawn = weights(seed, named, piece.start, piece.stop).T.copy()  # the resamples of a scenario side by side
            for r, at in zip(whole.tolist(), place, strict=True):
                for one, values in zip(found, _values(head.loss[r], drawn[at], total[piece], levels), strict=True):
                    one.var[r, piece], one.es[r, piece], one.error[r, piece] = values
        return found

    def estimate(
        self, tail: Worst, measure: str, confidence: float, ends: Ends | None = None, *, joint: bool = False
    ) -> Estimate:
        """The whole sample's `var` or `es` with the interval of the resamples; of a `joint` one what makes it."""
        ends = ends or Ends.of(confidence)
        shortfall = expected_shortfall(tail, self.level, confidence)
        value = tail.at(var_rank(tail.count, self.level)) if measure == "var" else shortfall.value
        if measure == "var":
            stderr = self.var.std(axis=1, ddof=1)
            deviation = _ratio(self.var - value[:, None], stderr[:, None], value[:, None])
        else:
            spread = self.es.std(axis=1, ddof=1)  # where all losses of a tail are equal, its own error is 0
            stderr = np.where(shortfall.stderr > 0, shortfall.stderr, spread)
            error = np.where(self.error > 0, self.error, spread[:, None])
            deviation = _ratio(self.es - value[:, None], error, value[:, None])
        low = high = none(value)
        if not joint and measure == "var":
            low = low if ends.low is None else _quantile(self.var, ends.low)
            high = high if ends.high is None else _quantile(self.var, 1 - ends.high)
        elif not joint:
            low = low if ends.low is None else value - _quantile(deviation, 1 - ends.low) * stderr
            high = high if ends.high is None else value - _quantile(deviation, ends.high) * stderr
        kind = "percentile" if measure == "var" else "studentised"
        method = f"bootstrap, {kind}, {self.var.shape[1]} resamples{ends.together}"
        return Estimate(measure, self.level, value, stderr, low, high, confidence, method, deviation if joint else None)


def _values(
    loss: Floats, drawn: NDArray[np.uint8], rest: NDArray[np.int64], levels: Sequence[float]
) -> Iterator[tuple[Floats, Floats, Floats]]:
    """VaR, ES and its error of one row in some resamples at each level; `loss` is [K], `drawn` [K, B], `rest` [B]."""
    over = loss - loss[-1]
    counted = np.cumsum(drawn, axis=0, dtype=np.int32)
    total, each = counted[-1] + rest, np.arange(len(rest))
    sums = [np.cumsum(drawn * power[:, None], axis=0) for power in (over, over * over)]
    for level in levels:
        part = 1 - exact(level)
        reach = total * part.numerator // part.denominator  # cum > W (1 - a) just where it exceeds the floor of that
        if (counted[-1] <= reach).any():
            raise CapacityError(
                f"a resample reads more than the {len(loss)} worst losses at level {level}: set "
                "scenarios.count higher, or measure.interval=asymptotic"
            )
        at = np.count_nonzero(counted <= reach, axis=0)
        var = over[at]
        zeroth, first, second = (power[at, each] for power in (counted, *sums))
        second = second - 2 * var * first + var * var * zeroth  # about VaR; the loss there adds nothing
        first = first - var * zeroth
        excess, error = excess_error(first, second, np.asarray(total * float(part)), level)
        yield loss[at], loss[at] + excess, error


def _ratio(deviation: Floats, scale: Floats, value: Floats) -> Floats:
    """Deviation over its scale; 0 where it is no more than rounding, as in a row whose losses are all but equal."""
    with np.errstate(divide="ignore", invalid="ignore"):
        return np.where(np.abs(deviation) <= _ROUNDING * np.abs(value), 0.0, deviation / scale)


def _quantile(values: Floats, probability: Fraction) -> Floats:
    """Of each row, at the (B + 1) p-th of its values; NaN, not infinite, where it is not defined."""
    with np.errstate(invalid="ignore"):
        found = np.quantile(values, float(probability), axis=1, method="weibull")
    return np.where(np.isfinite(found), found, np.nan)
