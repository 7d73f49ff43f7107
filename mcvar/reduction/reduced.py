"""Measures whose scenarios weigh: by strata of each row's quadratic, by the ratio of two densities, or by both."""

from __future__ import annotations

from collections.abc import Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass, field, replace
from typing import ClassVar

import numpy as np
from numpy.typing import NDArray
from scipy.special import ndtri

from mcvar.engines.host import cores
from mcvar.errors import SettingError
from mcvar.intervals.estimate import Ends, Estimate, exact, kept_for, share
from mcvar.intervals.settings import Interval, Joint
from mcvar.measures import Measures
from mcvar.models.law import Law
from mcvar.moments import Moments
from mcvar.reduction import weighted
from mcvar.reduction.control import Partition, shares, stratify
from mcvar.reduction.delta_gamma import Expansion
from mcvar.reduction.elliptical import Elliptical
from mcvar.reduction.importance import Twist
from mcvar.reduction.quadratic import QuadraticLaw
from mcvar.reduction.strata import Strata, section_sizes
from mcvar.scenarios import BLOCK, Simulated
from mcvar.tail import Tail, Worst

Floats = NDArray[np.float64]
Ints = NDArray[np.int64]
Ratio = Floats | float  # of the density of the law to that of the draws: one a loss, or 1
FEW = 50  # effective losses beyond VaR, below which a weighted estimate and its error are chance
_ROWS = 64  # of a thread's partition
_STRATA = 50  # of equal probability, under a twisted law
_EDGE = 4.0  # standard errors beyond the interval that the tail of a controlled run reaches


@dataclass(frozen=True)
class Control:
    """Weights by the strata of each row's own quadratic: see `mcvar.reduction.control`.

    Parameters
    ----------
    loss : Expansion
        Of the LOSS of each row of the run.
    scenarios : Simulated
        Those of the run; their number is that of the tail.
    known : dict
        Partitions by levels and numbers of scenarios, kept: they take longer to find than to use.
    """

    loss: Expansion
    scenarios: Simulated
    known: dict[tuple[tuple[float, ...], int], Partition] = field(default_factory=dict, repr=False, compare=False)
    name: ClassVar[str] = "control_variate"

    def depth(self, count: int, level: float, z: float) -> int:
        """How many of the worst losses are read for an interval of z standard errors: as if scenarios weighed alike."""
        beyond = share(count, level)
        return min(count, kept_for(beyond + (z + _EDGE) * (beyond * level) ** 0.5))

    def of(self, tail: Tail, rows: Ints, levels: Sequence[float], sections: int) -> tuple[Ratio, Strata | None]:
        """Ratios of densities of the losses of a tail, or 1, and the strata that they fall into."""
        key = (
            tuple(levels),
            1 << (tail.count.bit_length() - 1),
        )  # strata for a run that grows need not grow with each look
        if key not in self.known:
            self.known[key] = _partition(self.loss, self.scenarios.law, shares(*key), levels)
        scenarios = replace(self.scenarios, count=tail.count)
        partition = self.known[key].take(rows)
        return 1.0, stratify(self.loss.take(rows), partition, scenarios, tail, sections=sections)


@dataclass(frozen=True)
class Importance:
    """Weights that undo a twisted law: see `mcvar.reduction.importance`.

    Parameters
    ----------
    twist : Twist
    scenarios : Simulated
        Drawn from the twisted law.
    loss : Expansion, optional
        Of the LOSS of each row of the run, for strata of its quadratic under the twisted law.
    """

    twist: Twist
    scenarios: Simulated
    loss: Expansion | None = None
    name: ClassVar[str] = "importance"

    def depth(self, count: int, level: float, z: float) -> int:
        """See `Control.depth`: all, as what is no large loss may weigh much."""
        return count

    def of(self, tail: Tail, rows: Ints, levels: Sequence[float], sections: int) -> tuple[Ratio, Strata | None]:
        """See `Control.of`."""
        scenarios = replace(self.scenarios, count=tail.count)
        ratio, strata = self.twist.at(scenarios, tail.scenario), None
        if self.loss is not None:
            loss = self.loss.take(rows)
            partition = _partition(loss, scenarios.law, np.arange(1, _STRATA) / _STRATA)
            strata = stratify(loss, partition, scenarios, tail, sections=sections)
        return ratio, strata


Weighing = Control | Importance


def _sound(estimate: Estimate, loss: Floats, weight: Floats, levels: Sequence[float]) -> Estimate:
    """The estimate, but null in rows with few effective losses beyond VaR: (sum w)^2 / sum w^2 (Kong 1992)."""
    beyond = np.cumsum(weight, axis=1)
    share = loss.shape[1] * float(1 - exact(estimate.level or max(levels)))
    counted = np.where(beyond - weight <= share, weight, 0.0)  # with the loss at VaR
    effective = counted.sum(axis=1) ** 2 / (counted**2).sum(axis=1)
    good = np.flatnonzero((effective >= FEW) | (loss[:, 0] == loss[:, -1]))  # or there is nothing to estimate
    return estimate.take(good).over(good, len(loss))


def _partition(loss: Expansion, law: Law, share: Floats, levels: Sequence[float] = ()) -> Partition:
    """The strata of all rows, some rows to a thread."""
    moves = Elliptical.of(law)

    def part(rows: Ints) -> Partition:
        return Partition.of(QuadraticLaw.of(loss.take(rows), moves), share, levels)

    pieces = np.array_split(np.arange(len(loss.constant)), -(-len(loss.constant) // _ROWS))
    with ThreadPoolExecutor(cores()) as pool:
        return Partition.stack(list(pool.map(part, pieces)))


@dataclass(frozen=True, kw_only=True)
class Reduced(Measures):
    """`Measures` of weighted scenarios: their intervals are asymptotic, or from sections.

    Parameters
    ----------
    weighing : Weighing
    targets : ndarray
        Rows of the book that the weighing knows, ascending.

    Raises
    ------
    SettingError
        Intervals that take equal weights.
    """

    weighing: Weighing
    targets: Ints

    def __post_init__(self) -> None:
        """See the class."""
        alike = (Interval.order, Interval.bootstrap)
        for setting, asked, instead in (
            (f"interval={self.interval.name}", self.interval in alike, "auto or sections"),
            ("joint=bootstrap", self.joint is Joint.bootstrap, "none or bonferroni"),
            ("pareto=true", self.pareto, "false"),
        ):
            if asked:
                raise SettingError(
                    f"measure.{setting} takes scenarios of equal weight, and sampling={self.weighing.name} weighs "
                    f"them: set it to {instead}, or take sampling=plain"
                )
        super().__post_init__()

    @property
    def chosen(self) -> Interval:
        """See `Settings.chosen`: `auto` stands for the asymptotic interval."""
        return Interval.asymptotic if self.interval is Interval.auto else super().chosen

    @property
    def whole(self) -> bool:
        """All of the worst losses are read."""
        return True

    def depth(self, count: int) -> int:
        """See `Measures.depth`."""
        each = [self.ends, *([] if self.upper is None else [self.upper_ends])]
        z = max(-float(ndtri(float(miss))) for ends in each for miss in ends.given)
        if self.chosen is Interval.sections:
            section_sizes(count, self.sections, BLOCK)  # refuses before anything runs
        return max(super().depth(count), *(self.weighing.depth(count, level, z) for level in self.levels))

    def redrawn(self, scenarios: Simulated) -> Reduced:
        """For other draws of the law that the weighing knows."""
        return replace(self, seed=scenarios.seed, weighing=replace(self.weighing, scenarios=scenarios))

    def recorded(self, count: int, level: float) -> dict[str, int | None]:
        """No ranks: what is beyond VaR is told by weights."""
        return {"var": None, "low": None, "high": None}

    def notes(self, count: int, found: Sequence[Estimate]) -> list[str]:
        """See `Measures.notes`."""
        if isinstance(self.weighing, Control):
            return super().notes(count, found)
        said = [
            "scenarios are weighted towards the losses of the accounts that sampling.accounts names: only these are "
            "measured, and their standard deviation is not"
        ]
        for each in found:
            if each.measure == "var" and (few := int(np.isnan(each.value[self.targets]).sum())):
                said.append(
                    f"VaR and ES at level {each.level:g} of {few} rows that sampling.accounts names are null: fewer "
                    f"than {FEW} effective losses lie beyond VaR, as they do not lose when the others do; aim at each "
                    "alone, raise scenarios.count, or take sampling=control_variate"
                )
        return said

    @np.errstate(over="ignore", invalid="ignore")  # the caller refuses what is not finite, by name
    def read(
        self, tail: Worst, moments: Moments, rows: Ints, names: Sequence[str] | None = None
    ) -> tuple[list[Estimate], Floats | None]:
        """See `Measures.read`; rows that a pilot missed are NaN."""
        head = tail.head(tail.count)  # all that is kept, be it more than is read
        good = np.flatnonzero((head.scenario >= 0).all(axis=1))
        weight = np.full(head.loss.shape, np.nan)
        if not len(good):
            return self._nothing(len(rows)), weight
        worst = Tail(head.loss[good], head.scenario[good], head.count)
        sections = self.sections if self.chosen is Interval.sections else 1
        place = np.searchsorted(self.targets, np.asarray(rows)[good])
        ratio, strata = self.weighing.of(worst, place, self.levels, sections)
        weight[good] = ratio if strata is None else ratio * strata.weight()
        found, ends = self._measured(worst, ratio, strata), self.ends
        if isinstance(self.weighing, Importance):
            found = [_sound(each, worst.loss, weight[good], self.levels) for each in found]
            found.append(weighted.mean(worst.loss, np.broadcast_to(ratio, worst.loss.shape), self.confidence, ends))
            found.append(self._none("std", None, len(good)))
            return [each.over(good, len(rows)) for each in found], weight
        found = [each.over(good, len(rows)) for each in found]
        return found + self._moments(moments), weight

    def _measured(self, tail: Tail, ratio: Ratio, strata: Strata | None) -> list[Estimate]:
        """VaR and ES at each level, and their upper limits."""

        def read(confidence: float, ends: Ends) -> list[Estimate]:
            if self.chosen is Interval.sections:
                return weighted.by_sections(
                    tail, ratio, self.levels, confidence, sections=self.sections, unit=BLOCK, strata=strata, ends=ends
                )
            return weighted.measure(tail, ratio, self.levels, confidence, strata, ends=ends)

        found = read(self.confidence, self.ends)
        if self.upper is None:
            return found
        limits = [self._limit(each) for each in read(self.upper, self.upper_ends)]
        pairs = (part[at : at + 2] for at in range(0, len(found), 2) for part in (found, limits))
        return [each for pair in pairs for each in pair]

    def _nothing(self, rows: int) -> list[Estimate]:
        """Estimates of rows that all run again."""
        names = ["var", "es"] if self.upper is None else ["var", "es", "var_upper", "es_upper"]
        each: list[tuple[str, float | None]] = [(name, level) for level in self.levels for name in names]
        each += [("mean", None), ("std", None)]
        return [self._none(name, level, rows) for name, level in each]

    def _none(self, measure: str, level: float | None, rows: int) -> Estimate:
        missing = np.full(rows, np.nan)
        return Estimate(measure, level, missing, missing, missing, missing, self.confidence, "not estimated")
