"""What is asked of a path: statistics of one factor, each carried as a move, never the path itself."""

from __future__ import annotations

from dataclasses import dataclass
from enum import Enum


class Statistic(Enum):
    """Of the levels of a factor after some steps of a path."""

    last = 0
    minimum = 1
    maximum = 2
    average = 3
    log_average = 4  # the geometric average
    integral = 5  # the average over time, by the trapezoidal rule; a step before the first counts half
    log_integral = 6
    bridge_minimum = 7  # between the steps too, where a Brownian bridge leads from each to the next
    bridge_maximum = 8

    @property
    def in_logarithms(self) -> bool:
        """Whether logarithms are averaged."""
        return self in (Statistic.log_average, Statistic.log_integral)

    @property
    def averages(self) -> bool:
        """Whether levels, or their logarithms, are averaged."""
        return self.in_logarithms or self in (Statistic.average, Statistic.integral)

    @property
    def integrates(self) -> bool:
        """Whether both ends count half."""
        return self in (Statistic.integral, Statistic.log_integral)

    @property
    def bridges(self) -> bool:
        """Whether it looks between the steps."""
        return self in (Statistic.bridge_minimum, Statistic.bridge_maximum)


@dataclass(frozen=True)
class Watched:
    """A statistic over the steps `first`, `first + every`, ... up to `step`, carried as the move that leads to it.

    As a move, a statistic is one more factor: engines turn it into a level like any other. A bridge looks at
    every step.

    Parameters
    ----------
    factor : int
    statistic : Statistic
    step, first, every : int
        Steps are counted from 1, the end of the first.
    """

    factor: int
    statistic: Statistic
    step: int
    first: int = 1
    every: int = 1

    def weight(self, step: int) -> float:
        """How much of the level after a step, 0 being the start, enters an average."""
        if self.statistic.integrates:
            inside = self.first - 1 <= step <= self.step
            return (0.5 if step in (self.first - 1, self.step) else 1.0) / (self.step - self.first + 1) if inside else 0
        if not self.takes(step):
            return 0.0
        return 1.0 / ((self.step - self.first) // self.every + 1)

    def takes(self, step: int) -> bool:
        """Whether a step from 1 on is one of those named."""
        return self.first <= step <= self.step and (step - self.first) % self.every == 0
