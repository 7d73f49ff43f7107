"""Intervals from sections of the sample: batching, which also serves scenarios that are not independent of each other.

Scenario n is in section (n // unit) mod S. Independent scenarios have unit 1 and any S; a stratified sample has the
number of strata as its unit, so that every section holds whole rounds of strata; S replicates of a quasi-random sample
that take turns have unit 1. Each section has its VaR and ES, the value is that of the whole sample, and its standard
error sd / sqrt(S) with Student's t of S - 1 degrees of freedom (S. Asmussen and P. W. Glynn, "Stochastic Simulation",
2007, section III.5; M. K. Nakayama, "Confidence intervals for quantiles using sectioning when applying
variance-reduction techniques", ACM Transactions on Modeling and Computer Simulation 24, 2014).
"""

from __future__ import annotations

from dataclasses import dataclass
from fractions import Fraction
from math import ceil

import numpy as np
from numpy.typing import NDArray
from scipy.special import stdtrit

from mcvar.errors import CapacityError
from mcvar.intervals.asymptotic import check_tail, expected_shortfall
from mcvar.intervals.estimate import Ends, Estimate, Floats, kept_for, share, symmetric
from mcvar.intervals.order import var_rank
from mcvar.tail import Tail, Worst


def sizes(count: int, sections: int, unit: int) -> NDArray[np.int64]:
    """Scenarios in each section.

    Examples
    --------
    >>> sizes(10, 3, 2).tolist()  # 0 1 | 2 3 | 4 5 | 6 7 | 8 9: the fourth pair is the first section's again
    [4, 4, 2]
    """
    rounds, left = divmod(count, sections * unit)
    return np.asarray(rounds * unit + np.clip(left - unit * np.arange(sections), 0, unit))


def depth(count: int, level: float, sections: int, unit: int) -> int:
    """How many of the worst losses hold the VaR of every section, but for once in 10^12.

    Raises
    ------
    CapacityError
        A section of which less than one loss lies in the tail.

    Examples
    --------
    >>> depth(100_000, 0.99, 16, 1)  # 16 sections with some 62 losses in the tail, and what they may differ by
    2208
    """
    check_tail(count, level, sections, f"an interval from {sections} sections")
    if sizes(count, sections, unit).min() * 2 * sections < count:
        raise CapacityError(
            f"{count} scenarios in turns of {unit} do not fill {sections} sections evenly: set scenarios.count to a "
            f"multiple of {sections * unit}, or measure.sections lower"
        )
    return min(count, ceil(sections * kept_for(var_rank(ceil(count / sections), level))))


@dataclass(frozen=True)
class Sections:
    """VaR and ES of every section, [R, S] each; NaN in rows whose tail is not whole."""

    level: float
    var: Floats
    es: Floats

    @classmethod
    def of(cls, head: Tail, level: float, sections: int, unit: int) -> Sections:
        """From the worst losses of the whole sample.

        Parameters
        ----------
        head : Tail
            At least `depth` deep.
        level : float
        sections, unit : int
            S, and how many scenarios in turn belong to one section.

        Raises
        ------
        CapacityError
            A section's VaR is not among the losses kept.

        Examples
        --------
        >>> head = Tail.of(np.array([[5.0, 1.0, 4.0, 8.0, 2.0, 6.0]]), 0, 6)
        >>> Sections.of(head, 0.5, 2, 1).var.tolist()  # of 5, 4, 2 and of 1, 8, 6
        [[4.0, 6.0]]
        """
        rows, _ = head.loss.shape
        whole = (head.scenario >= 0).all(axis=1)  # a row that a pilot missed runs again
        where = head.scenario // unit % sections
        var, es = np.full((2, rows, sections), np.nan)
        for s, size in enumerate(sizes(head.count, sections, unit).tolist()):
            inside = where == s
            seen = np.cumsum(inside, axis=1)
            rank = var_rank(size, level)
            lacking = whole & (seen[:, -1] < rank)
            if lacking.any():
                raise CapacityError(
                    f"row {int(lacking.argmax())}: section {s + 1} of {sections} has fewer than {rank} of the "
                    f"{seen.shape[1]} worst losses: set measure.sections lower or scenarios.count higher"
                )
            at = (seen >= rank).argmax(axis=1)
            var[whole, s] = head.loss[np.arange(rows), at][whole]
            worse = inside & (seen < rank)
            over = np.where(worse, head.loss - var[:, s, None], 0.0).sum(axis=1)
            es[:, s] = var[:, s] + over / share(size, level)
        return cls(level, var, es)

    def estimate(self, tail: Worst, measure: str, confidence: float, ends: Ends | None = None) -> Estimate:
        """The whole sample's `var` or `es` with the interval of its sections."""
        values = self.var if measure == "var" else self.es
        number = values.shape[1]
        at = tail.at(var_rank(tail.count, self.level))
        value = at if measure == "var" else expected_shortfall(tail, self.level, confidence).value
        stderr = values.std(axis=1, ddof=1) / np.sqrt(number)

        def student(miss: Fraction) -> float:
            return float(stdtrit(number - 1, float(1 - miss)))

        return symmetric(measure, self.level, value, stderr, confidence, f"{number} sections", ends, student)
