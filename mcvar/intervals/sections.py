"""Intervals from sections of the sample: batching, which also serves scenarios that are not independent of each other.

Scenario n is in section (n // unit) mod S. Independent scenarios have unit 1 and any S; a stratified sample has the
number of strata as its unit, so that every section holds whole rounds of strata; S replicates of a quasi-random sample
that take turns have unit 1. Each section has its VaR and ES, the value is that of the whole sample, and its standard
error sd / sqrt(S) with Student's t of S - 1 degrees of freedom (S. Asmussen and P. W. Glynn, "Stochastic Simulation",
2007, section III.5; M. K. Nakayama, "Confidence intervals for quantiles using sectioning when applying
variance-reduction techniques", ACM Transactions on Modeling and Computer Simulation 24, 2014).

What is called `unit` in settings is 0 where scenarios are independent, whose sections have unit 1 but may be chosen.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from fractions import Fraction
from functools import partial
from math import ceil

import numpy as np
from numpy.typing import NDArray
from scipy.special import stdtrit

from mcvar.errors import CapacityError
from mcvar.intervals.asymptotic import check_tail, expected_shortfall
from mcvar.intervals.estimate import Ends, Estimate, Floats, kept_for, share, symmetric
from mcvar.intervals.order import var_rank
from mcvar.tail import Tail, Worst

FEW = 10  # losses a section below which its bias is felt


def sizes(count: int, sections: int, unit: int) -> NDArray[np.int64]:
    """Scenarios in each section; `unit` as in settings.

    Examples
    --------
    >>> sizes(10, 3, 2).tolist()  # 0 1 | 2 3 | 4 5 | 6 7 | 8 9: the fourth pair is the first section's again
    [4, 4, 2]
    """
    unit = max(unit, 1)
    rounds, left = divmod(count, sections * unit)
    return np.asarray(rounds * unit + np.clip(left - unit * np.arange(sections), 0, unit))


def depth(count: int, level: float, sections: int, unit: int) -> int:
    """How many of the worst losses hold the VaR of every section, but for once in 10^12; `unit` as in settings.

    Raises
    ------
    CapacityError
        A section of which less than one loss lies in the tail.

    Examples
    --------
    >>> depth(100_000, 0.99, 16, 1)  # 16 sections with some 62 losses in the tail, and what they may differ by
    2208
    """
    check_tail(count, level, sections, f"an interval from {sections} sections", partial(_remedy, sections, unit))
    if sizes(count, sections, unit).min() * 2 * sections < count:
        raise CapacityError(
            f"{count} scenarios in turns of {unit} do not fill {sections} sections evenly: set scenarios.count to a "
            f"multiple of {sections * unit}"
        )
    return min(count, ceil(sections * kept_for(var_rank(ceil(count / sections), level))))


def notes(count: int, levels: Sequence[float], sections: int, unit: int) -> list[str]:
    """Whether a section has too few losses in the tail for its VaR and ES to be nearly unbiased.

    Examples
    --------
    >>> notes(16_000, (0.9, 0.99), 16, 0)
    []
    >>> notes(8_000, (0.9, 0.99), 16, 0)[0].split(":")[0]
    'only 5 losses a section lie beyond level 0.99'
    """
    size, level = min((share(count, level) / sections, level) for level in levels)
    if size >= FEW:
        return []
    other = ", or measure.sections lower" if unit == 0 else ""
    return [
        f"only {size:.3g} losses a section lie beyond level {level}: its VaR and ES are biased, and the interval "
        f"may cover less often than it says (docs/confidence.md has by how much); set scenarios.count higher{other}"
    ]


def _remedy(sections: int, unit: int, enough: int) -> str:
    """What to set where at least `enough` scenarios are wanted: a count that the sampling takes, or other sections.

    Examples
    --------
    >>> _remedy(16, 1, 1600)
    'set scenarios.count to 2048 or more (16 times a power of two), or sampling.scramblings lower'
    >>> _remedy(16, 64, 1600)
    'set scenarios.count to 2048 or more (a multiple of 1024)'
    """
    if unit == 0:
        return f"set scenarios.count to {enough} or more, or measure.sections lower"
    rounds = -(-enough // (sections * unit))
    if unit == 1:
        takes = sections << (rounds - 1).bit_length()
        more = f"set scenarios.count to {takes} or more ({sections} times a power of two)"
        return f"{more}, or sampling.scramblings lower"
    return f"set scenarios.count to {rounds * sections * unit} or more (a multiple of {sections * unit})"


def _other(unit: int) -> str:
    """What else helps where a section lacks losses."""
    return {0: "measure.sections lower", 1: "sampling.scramblings lower"}.get(unit, "sampling.strata lower")


@dataclass(frozen=True)
class Sections:
    """VaR and ES of every section, [R, S] each; NaN in rows whose tail is not whole."""

    level: float
    var: Floats
    es: Floats

    @classmethod
    def of(cls, head: Tail, level: float, sections: int, unit: int, names: Sequence[str] | None = None) -> Sections:
        """From the worst losses of the whole sample.

        Equal losses are kept lowest scenario first, so where those that are kept end in a run of equal ones, as in an
        account without risk or one that can lose no more than its premium, later sections may have theirs beyond what
        is kept. A section that lacks its rank then has that loss as its VaR. Where the run is no reason, the sections
        are not alike, and there is no number.

        Parameters
        ----------
        head : Tail
            At least `depth` deep.
        level : float
        sections, unit : int
            S, and how many scenarios in turn belong to one section; 0: one, and scenarios are independent.
        names : sequence of str, optional
            Of the rows, for the error.

        Raises
        ------
        CapacityError
            A section's VaR is not among the losses kept, and these do not end in a run of equal ones.

        Examples
        --------
        >>> head = Tail.of(np.array([[5.0, 1.0, 4.0, 8.0, 2.0, 6.0]]), 0, 6)
        >>> Sections.of(head, 0.5, 2, 1).var.tolist()  # of 5, 4, 2 and of 1, 8, 6
        [[4.0, 6.0]]
        """
        rows, kept = head.loss.shape
        whole = (head.scenario >= 0).all(axis=1)  # a row that a pilot missed runs again
        last = head.loss[:, -1]
        tied = head.loss[:, min((var_rank(head.count, level) + kept) // 2, kept - 1) - 1] == last  # half way from VaR
        where = head.scenario // max(unit, 1) % sections
        var, es = np.full((2, rows, sections), np.nan)
        for s, size in enumerate(sizes(head.count, sections, unit).tolist()):
            inside = where == s
            seen = np.cumsum(inside, axis=1)
            rank = var_rank(size, level)
            lacking = seen[:, -1] < rank
            if (refused := whole & lacking & ~tied).any():
                r = int(refused.argmax())
                who = f"row {r}" if names is None else f"account '{names[r]}'"
                raise CapacityError(
                    f"{who}: section {s + 1} of {sections} has fewer than "
                    f"{rank} of the {kept} worst losses: set scenarios.count higher, or {_other(unit)}"
                )
            at = (seen >= rank).argmax(axis=1)
            var[whole, s] = np.where(lacking, last, head.loss[np.arange(rows), at])[whole]
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
            return -float(stdtrit(number - 1, float(miss)))

        return symmetric(measure, self.level, value, stderr, confidence, f"{number} sections", ends, student)
