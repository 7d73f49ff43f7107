"""Post-stratification: each row's scenarios fall into strata of known probability, and weigh by how many did.

A scenario of stratum h weighs p_h N / n_h, with p_h its probability and n_h how many of N fell there (W. G. Cochran,
"Sampling Techniques", 1977, section 5A.9; P. Glasserman, "Monte Carlo Methods in Financial Engineering", 2004, 4.3.3).
It is the regression on the indicators of the strata, so for quantiles the control variate of T. C. Hesterberg and B. L.
Nelson, "Control variates for probability and quantile estimation", Management Science 44, 1998.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field, replace
from typing import Any

import numpy as np
from numpy.typing import NDArray

from mcvar.errors import SettingError

Floats = NDArray[np.float64]
Ints = NDArray[np.int64]
_LEAST = 2  # scenarios of a stratum, which has a variance then; fewer join the next


@dataclass(frozen=True)
class Excess:
    """Excesses x = max(Q - knot, 0) of the quadratic of each row over all scenarios: a control of known mean.

    Parameters
    ----------
    knot, expected : ndarray [R]
        E[x] is known.
    first : ndarray [S, R, H]
        Sums of x by section and stratum.
    second : ndarray [R, H]
        Sums of its square.
    tail : ndarray [R, K]
        Of the scenarios of the tail.
    """

    knot: Floats
    expected: Floats
    first: Floats
    second: Floats
    tail: Floats


@dataclass(frozen=True)
class Strata:
    """H strata of each of R rows, from the worst on, and where the K scenarios of each tail fell.

    Parameters
    ----------
    probability : ndarray [R, H]
    count : ndarray [S, R, H]
        Scenarios of each section in each stratum.
    index : ndarray [R, K]
        The stratum of each scenario of the tail.
    unit : int
        Scenario n is in section (n // unit) mod S.
    excess : mapping of level to Excess
        Controls of ES.

    Examples
    --------
    >>> strata = Strata(np.array([[0.25, 0.75]]), np.array([[[2, 2]]]), np.array([[0, 0, 1, 1]]))
    >>> strata.weight().tolist()
    [[0.5, 0.5, 1.5, 1.5]]
    """

    probability: Floats
    count: Ints
    index: Ints
    unit: int = 1024
    excess: Mapping[float, Excess] = field(default_factory=dict)

    @property
    def sections(self) -> int:
        """S."""
        return len(self.count)

    def joined(self) -> Strata:
        """The same with every stratum that fewer than two scenarios fell into joined to the next.

        Raises
        ------
        SettingError
            Scenarios that do not fall as the probabilities say: most strata are empty.
        """
        rows, size = self.probability.shape
        number, place = self.count.sum(axis=0), np.tile(np.arange(size), (rows, 1))
        known = self.probability.copy()
        for h in range(size - 1):
            few = np.flatnonzero((number[:, h] < _LEAST) | (known[:, h] <= 0))
            known[few, h + 1] += known[few, h]
            number[few, h + 1] += number[few, h]
            known[few, h], number[few, h] = 0.0, 0
            place[few] = np.where(place[few] == h, h + 1, place[few])
        bad = np.flatnonzero(number[:, -1] < _LEAST)
        if len(bad):
            raise SettingError(
                f"row {bad[0]}: no scenario is where the delta-gamma law has {known[bad[0], -1]:.3g} of its "
                "probability: give the law of these scenarios"
            )

        def moved(sums: NDArray[Any]) -> NDArray[Any]:  # [..., R, H]
            found = np.zeros_like(sums)
            for h in range(size):
                found[..., np.arange(rows), place[:, h]] += sums[..., h]
            return found

        excess = {
            level: replace(each, first=moved(each.first), second=moved(each.second))
            for level, each in self.excess.items()
        }
        index = np.take_along_axis(place, self.index, axis=1)
        return replace(self, probability=known, count=moved(self.count), index=index, excess=excess)

    def weight(self) -> Floats:
        """Of every scenario of the tail, [R, K]; of mean 1 over all scenarios."""
        count = self.count.sum(axis=0)
        with np.errstate(divide="ignore", invalid="ignore"):
            weight = self.probability * (count.sum(axis=1, keepdims=True) / count)
        return np.take_along_axis(np.where(count > 0, weight, 0.0), self.index, axis=1)

    def mean(
        self, value: Floats, level: float | None = None, without: int | None = None, own: Ints | None = None
    ) -> tuple[Floats, Floats]:
        """The stratified mean of values [R, K] that are 0 outside the tail, and its variance, [R] each.

        sum of p_h m_h and sum of p_h^2 s_h^2 / n_h, m_h and s_h the mean and standard deviation in stratum h (Cochran
        1977, 5.4). With a control x of that level, m_h and s_h are of value - b x, and b E[x] is added; b is the
        regression within strata. The mean alone is that of all sections but `without`, where those of the tail are
        given as `own` [R, K]; b stays that of the whole sample.
        """
        # Sums over each stratum: of values, of their squares and their products with x, of x and its square.
        number = self.count.sum(axis=0)
        y, yy = self._sums(value), self._sums(value * value)
        n = np.maximum(number, _LEAST)
        within = yy - y * y / n
        slope, x, expected = np.zeros(len(n)), np.zeros(n.shape), np.zeros(len(n))
        if level is not None and level in self.excess:
            control = self.excess[level]
            x, expected = control.first.sum(axis=0), control.expected
            xx, xy = control.second - x * x / n, self._sums(value * control.tail) - y * x / n
            part = self.probability / n
            spread = (part * xx).sum(axis=1)
            slope = np.divide((part * xy).sum(axis=1), spread, out=slope, where=spread > 0)
            within = within - 2 * slope[:, None] * xy + slope[:, None] ** 2 * xx
            if without is not None:
                x = x - control.first[without]
        if without is not None:
            number = number - self.count[without]
            y = self._sums(np.where(own == without, 0.0, value))
        means = np.divide(y - slope[:, None] * x, number, out=np.zeros(n.shape), where=number > 0)
        variance = (self.probability**2 * np.maximum(within, 0.0) / (n * (n - 1))).sum(axis=1)
        return (self.probability * means).sum(axis=1) + slope * expected, variance

    def _sums(self, value: Floats) -> Floats:
        """Over the tail's scenarios in each stratum, [R, H]."""
        rows, size = self.probability.shape
        place = (np.arange(rows)[:, None] * size + self.index).ravel()
        return np.asarray(np.bincount(place, value.ravel(), rows * size).reshape(rows, size), dtype=np.float64)


def section_of(scenario: Ints, sections: int, unit: int) -> Ints:
    """The section of each scenario: whole units of scenarios, dealt out in turn.

    Examples
    --------
    >>> section_of(np.array([0, 1023, 1024, 4096]), 4, 1024).tolist()
    [0, 0, 1, 0]
    """
    return np.asarray(scenario // unit % sections)


def section_sizes(count: int, sections: int, unit: int) -> Ints:
    """How many of the scenarios 0 to `count` are in each section, [S].

    Raises
    ------
    SettingError
        Too few scenarios for that many sections, or fewer than two sections.
    """
    if sections < 2:
        raise SettingError(f"{sections} sections: a standard error takes at least 2")
    turns, rest = divmod(count, sections * unit)
    sizes = turns * unit + np.clip(rest - unit * np.arange(sections), 0, unit)
    if sizes.min() == 0:
        raise SettingError(
            f"{count} scenarios in units of {unit} do not fill {sections} sections: set scenarios.count to "
            f"{sections * unit} or more"
        )
    return sizes
