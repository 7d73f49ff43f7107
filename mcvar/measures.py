"""VaR, expected shortfall, mean and standard deviation of the loss, each with its error.

Conventions: loss = -(P&L), descending order statistics L_1 >= L_2 >= ..., N scenarios, level a.

* VaR_a = inf{l : F_N(l) >= a} = L_r with r = floor(N (1 - a)) + 1; never floored at zero.
* ES_a = (L_1 + ... + L_m + (N (1 - a) - m) L_r) / (N (1 - a)) with m = floor(N (1 - a)): the
  mean of the worst N (1 - a) losses, the last one in part (C. Acerbi and D. Tasche, "On the
  coherence of expected shortfall", J. Banking and Finance 26, 2002).

Levels are exact decimals and ranks integer arithmetic: in floating point 200000 * (1 - 0.99) is
2000.0000000000018. How intervals are made is in `mcvar.intervals`.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace
from functools import partial

import numpy as np
from numpy.typing import NDArray

from mcvar.intervals import asymptotic, bootstrap, joint, order, pareto
from mcvar.intervals import sections as batches
from mcvar.intervals.asymptotic import expected_shortfall as expected_shortfall
from mcvar.intervals.asymptotic import mean as mean
from mcvar.intervals.asymptotic import standard_deviation as standard_deviation
from mcvar.intervals.estimate import Ends as Ends
from mcvar.intervals.estimate import Estimate as Estimate
from mcvar.intervals.estimate import Sides as Sides
from mcvar.intervals.estimate import exact as exact
from mcvar.intervals.estimate import none, share
from mcvar.intervals.order import Bounds, bounds, var_rank
from mcvar.intervals.order import Ranks as Ranks
from mcvar.intervals.order import ranks as ranks
from mcvar.intervals.order import value_at_risk as value_at_risk
from mcvar.intervals.settings import Interval as Interval
from mcvar.intervals.settings import Joint as Joint
from mcvar.intervals.settings import Settings
from mcvar.moments import Moments
from mcvar.tail import Tail, Worst

Floats = NDArray[np.float64]
Ints = NDArray[np.int64]
Reader = Callable[[str, float, Ends], Estimate]


@dataclass(frozen=True)
class Measures(Settings):
    """The measures that `Settings` ask for: how much of a tail they read, and what they make of it.

    Examples
    --------
    >>> asked = Measures((0.99,), upper=0.99)
    >>> asked.depth(10_000), asked.ranks(10_000, 0.99)
    (121, Bounds(var=101, low=121, high=81))
    """

    @property
    def row_bytes(self) -> int:
        """Memory that resamples of a row take."""
        return 64 * self.resamples * len(self.levels) if self.chosen is Interval.bootstrap else 0

    def over(self, rows: int, seed: int = 1) -> Measures:
        """For a run of that many rows, whose scenarios have that seed."""
        return replace(self, rows=rows, seed=seed)

    def ranks(self, count: int, level: float) -> Bounds:
        """The ranks that VaR and its interval are read from; no ends where it is made in another way."""
        return self._ranks(count, level, self.ends, self.confidence)

    def recorded(self, count: int, level: float) -> dict[str, int | None]:
        """What a run says of its ranks: those of VaR's interval, and what its upper limit is read from.

        Examples
        --------
        >>> Measures((0.99,), upper=0.99).recorded(10_000, 0.99)
        {'var': 101, 'low': 121, 'high': 81, 'upper_low': None, 'upper_high': 78}
        """
        said: dict[str, int | None] = dict(vars(self.ranks(count, level)))
        if self.upper is not None:
            limit = self._ranks(count, level, self.upper_ends, self.upper)
            said |= {"upper_low": limit.low, "upper_high": limit.high}
        return said

    def wanted(self, count: int) -> list[int]:
        """Every single rank that is read."""
        return sorted({rank for level in self.levels for rank in self._read(count, level)})

    def spans(self, count: int, keep: int) -> list[tuple[int, int]]:
        """The ranks, first to last, that are read, and the `keep` worst.

        ES needs the sum of what is worse than its span, not the losses themselves.
        """
        read = [self._read(count, level) for level in self.levels]
        return [(1, min(max(keep, 1), count)), *((min(each), max(each)) for each in read)]

    def depth(self, count: int) -> int:
        """K: how many of the worst losses are read.

        Raises
        ------
        CapacityError
            Too few scenarios for an interval at one of the levels; the message says how many it takes.
        """
        hardest = sorted(self.levels, key=lambda level: -abs(level - 0.5))  # so that its count is enough for all
        return max(max(*self._read(count, level), self._whole_depth(count, level)) for level in hardest)

    def measure(self, tail: Worst, moments: Moments) -> list[Estimate]:
        """All measures of all rows.

        Parameters
        ----------
        tail : Worst
            With all that `spans(...)` names; where `whole`, with the `depth(...)` worst.
        moments : Moments
            Of the LOSS.

        Returns
        -------
        list of Estimate
            At each level VaR, ES, their upper limits and their smoothed values, as far as they are asked for; then
            mean and std.
        """
        found, _ = self.read(tail, moments, np.arange(len(moments.mean)))
        return self.settled(found, joint.largest(found))

    def notes(self, count: int, found: Sequence[Estimate]) -> list[str]:
        """What the reader of the estimates must know: limits that are far, and values that there are not."""
        said = []
        few = {level: share(count, level) for level in self.levels if share(count, level) < asymptotic.FEW}
        if few and self.chosen in (Interval.order, Interval.asymptotic):
            level, size = min(few.items(), key=lambda item: item[1])
            said.append(
                f"only {size:g} losses lie beyond level {level}: the interval of ES covers it less often than "
                f"{self.confidence} says (docs/confidence.md has by how much); raise scenarios.count"
            )
        if self.chosen is Interval.sections:
            said += batches.notes(count, self.levels, self.sections, self.unit)
        return said + pareto.notes(found)

    @np.errstate(over="ignore", invalid="ignore")  # the caller refuses what is not finite, by name
    def read(
        self, tail: Worst, moments: Moments, rows: Ints, names: Sequence[str] | None = None
    ) -> tuple[list[Estimate], Floats | None]:
        """The measures of some of the rows: as `measure`, but joint intervals by resampling are ended by `settled`.

        Parameters
        ----------
        rows : ndarray
            Which of the book's they are.
        names : sequence of str, optional
            Theirs, for errors.

        Returns
        -------
        list of Estimate
        ndarray [R, K], optional
            Weights of the worst losses, where scenarios weigh.
        """
        head = tail.head(self.depth(tail.count)) if self.whole else None
        found = []
        for level, each in zip(self.levels, self._readers(tail, head, names), strict=True):
            found += [each(name, self.confidence, self.ends) for name in ("var", "es")]
            if self.upper is not None:
                found += [self._limit(each(name, self.upper, self.upper_ends)) for name in ("var", "es")]
            if self.pareto and head is not None:
                found += pareto.estimates(head, level, self.confidence, self.ends)
        return found + self._moments(moments), None

    def settled(self, found: Sequence[Estimate], largest: Sequence[Floats | None]) -> list[Estimate]:
        """The estimates of all rows, given the largest deviations over them (`mcvar.intervals.joint`)."""
        done = []
        for estimate, deviation in zip(found, largest, strict=True):
            if deviation is None:
                done.append(estimate)
            elif estimate.measure.endswith("_upper") and self.upper is not None:
                ends = Ends.of(self.upper, Sides.upper)
                done.append(self._limit(joint.settled(estimate, deviation, ends, self.rows)))
            else:
                ends = Ends.of(self.confidence, self.sides)
                done.append(joint.settled(estimate, deviation, ends, self.rows))
        return done

    def _moments(self, moments: Moments) -> list[Estimate]:
        return [make(moments, self.confidence, self.ends) for make in (mean, standard_deviation)]

    def _ranks(self, count: int, level: float, ends: Ends, confidence: float) -> Bounds:
        match self.chosen:
            case Interval.order:
                return bounds(count, level, confidence, ends)
            case Interval.asymptotic:
                return asymptotic.spacing(count, level, ends)
            case _:
                return Bounds(var_rank(count, level))

    def _read(self, count: int, level: float) -> list[int]:
        read = self.ranks(count, level).read
        if self.upper is not None:
            read += self._ranks(count, level, self.upper_ends, self.upper).read
        return read

    def _whole_depth(self, count: int, level: float) -> int:
        depths = [0]
        if self.chosen is Interval.sections:
            depths.append(batches.depth(count, level, self.sections, self.unit))
        if self.chosen is Interval.bootstrap:
            depths.append(bootstrap.depth(count, level))
            shared = 1 if self.joint is Joint.bootstrap else self.shared
            bootstrap.check_resamples(self.resamples, Ends.of(self.confidence, self.sides, shared))
            if self.upper is not None:
                bootstrap.check_resamples(self.resamples, Ends.of(self.upper, Sides.upper, shared))
        if self.pareto:
            depths.append(pareto.excesses(count, level) + 1)
        return max(depths)

    def _readers(self, tail: Worst, head: Tail | None, names: Sequence[str] | None) -> list[Reader]:
        """What reads `var` or `es` at each level."""
        if self.chosen is Interval.bootstrap and head is not None:
            resampled = bootstrap.Resampled.of(head, self.levels, self.seed, self.resamples)
            together = self.joint is Joint.bootstrap
            return [partial(at.estimate, tail, joint=together) for at in resampled]
        return [self._reader(tail, head, level, names) for level in self.levels]

    def _reader(self, tail: Worst, head: Tail | None, level: float, names: Sequence[str] | None) -> Reader:
        if self.chosen is Interval.sections and head is not None:
            found = batches.Sections.of(head, level, self.sections, self.unit, names)
            return partial(found.estimate, tail)
        of_var = asymptotic.value_at_risk if self.chosen is Interval.asymptotic else order.value_at_risk

        def read(measure: str, confidence: float, ends: Ends) -> Estimate:
            return (of_var if measure == "var" else expected_shortfall)(tail, level, confidence, ends)

        return read

    def _limit(self, estimate: Estimate) -> Estimate:
        """A measure whose value is the upper end of an interval."""
        name = estimate.measure.removesuffix("_upper") + "_upper"
        if estimate.deviation is not None:  # its end is known with those of the other rows
            return replace(estimate, measure=name)
        missing = none(estimate.value)
        return replace(estimate, measure=name, value=estimate.high, stderr=missing, low=missing, high=missing)


def depth(count: int, levels: Sequence[float], confidence: float) -> int:
    """K: how many of the worst losses the measures at these levels read, with the intervals of `Measures`' defaults."""
    return Measures(tuple(levels), confidence).depth(count)


def wanted(count: int, levels: Sequence[float], confidence: float) -> list[int]:
    """Every single rank that measures at these levels read: see `Measures.wanted`."""
    return Measures(tuple(levels), confidence).wanted(count)


def spans(count: int, levels: Sequence[float], confidence: float, keep: int) -> list[tuple[int, int]]:
    """The ranks, first to last, that measures at these levels read, and the `keep` worst: see `Measures.spans`."""
    return Measures(tuple(levels), confidence).spans(count, keep)


def measure(tail: Worst, moments: Moments, levels: Sequence[float], confidence: float) -> list[Estimate]:
    """VaR and ES at each level, then mean and std, of all rows: see `Measures.measure`."""
    return Measures(tuple(levels), confidence).measure(tail, moments)


def certain(name: str, value: Floats, confidence: float, method: str) -> Estimate:
    """A number that has no sampling error."""
    return Estimate(name, None, value, np.zeros(len(value)), value, value, confidence, method)
