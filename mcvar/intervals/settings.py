"""What is measured and how its intervals are made: the settings of `mcvar.measures`, checked."""

from __future__ import annotations

from dataclasses import dataclass
from enum import Enum
from numbers import Integral, Real

from mcvar.errors import SettingError
from mcvar.intervals.estimate import Ends, Sides, exact, normal
from mcvar.intervals.order import check_unit


class Interval(Enum):
    """How intervals are made: see docs/confidence.md. `auto`: as the way of sampling asks."""

    auto = "auto"
    order = "order"
    asymptotic = "asymptotic"
    sections = "sections"
    bootstrap = "bootstrap"


class Joint(Enum):
    """How intervals are made to hold for all rows together."""

    none = "none"
    bonferroni = "bonferroni"
    bootstrap = "bootstrap"


@dataclass(frozen=True)
class Settings:
    """What is measured, and how its intervals are made; `interval`, `sides` and `joint` may be given by name.

    Parameters
    ----------
    levels : tuple of float
        Of VaR and ES, in (0, 1).
    confidence : float
        Of every interval.
    interval : Interval
        `auto`: order statistics for VaR and the normal limit for ES where scenarios are independent, else sections;
        `order` is `auto` where scenarios are independent, since ES has no such interval.
    sides : Sides
    joint : Joint
        Whether intervals hold for each row alone, or for all rows of a run together.
    upper : float, optional
        Confidence of the further measures `var_upper` and `es_upper`: upper limits that VaR and ES stay below.
    sections, resamples : int
        Of the sections, and of the bootstrap.
    pareto : bool
        Whether `var_pareto` and `es_pareto` are measured, too.
    unit : int
        Scenarios in turn that belong to one section (see `mcvar.intervals.sections`); 0: scenarios are independent.
    rows : int
        Over which joint intervals hold; `over` says it.
    seed : int
        Of the resamples.

    Examples
    --------
    >>> Settings((0.99,), joint=Joint.bootstrap).chosen.name
    'bootstrap'
    """

    levels: tuple[float, ...]
    confidence: float = 0.95
    interval: Interval = Interval.auto
    sides: Sides = Sides.two
    joint: Joint = Joint.none
    upper: float | None = None
    sections: int = 16
    resamples: int = 1000
    pareto: bool = False
    unit: int = 0
    rows: int = 1
    seed: int = 1

    def __post_init__(self) -> None:
        """Refuse settings that no run can have; take names for what they stand for.

        Raises
        ------
        SettingError
            See the message.
        """
        for name, kind in (("interval", Interval), ("sides", Sides), ("joint", Joint)):
            object.__setattr__(self, name, _choice(f"measure.{name}", getattr(self, name), kind))
        if not isinstance(self.pareto, bool):
            raise SettingError(f"measure.pareto is {self.pareto!r}: it is true or false")
        if not self.levels:
            raise SettingError("measure.levels is empty: give at least one level, such as [0.99]")
        if len(set(self.levels)) < len(self.levels):
            raise SettingError(f"measure.levels has a level twice: {list(self.levels)}")
        for level in self.levels:
            check_unit("measure.levels", level)
        check_unit("measure.confidence", self.confidence)
        if normal((1 - exact(self.confidence)) / 2) <= 0:
            raise SettingError(f"measure.confidence is {self.confidence}: so small that an interval has no width")
        one_sided = [("measure.upper", self.upper)] if self.upper is not None else []
        if self.sides is not Sides.two:
            one_sided.append(("measure.confidence", self.confidence))
        for name, confidence in one_sided:
            if not (isinstance(confidence, Real) and 0.5 < confidence < 1.0):
                raise SettingError(f"{name} is {confidence}: a one-sided limit needs more than 0.5, and less than 1")
        for name, number, least in (("sections", self.sections, 2), ("resamples", self.resamples, 1)):
            if not isinstance(number, Integral) or number < least:
                raise SettingError(f"measure.{name} is {number}: it must be a whole number, at least {least}")
        if self.unit and self.joint is Joint.bootstrap:
            raise SettingError(
                "measure.joint=bootstrap takes independent scenarios, which this way of sampling has not: set it to "
                "bonferroni or none, or take sampling=plain"
            )
        if self.unit and self.chosen is not Interval.sections:
            raise SettingError(
                f"measure.interval={self.interval.name} takes independent scenarios, which this way of sampling has "
                "not: set it to auto, or take sampling=plain"
            )
        if self.unit and self.pareto:
            raise SettingError(
                "measure.pareto takes independent scenarios for its errors, which this way of sampling has not: set "
                "it to false, or take sampling=plain"
            )
        if self.joint is Joint.bootstrap and self.chosen is not Interval.bootstrap:
            raise SettingError(
                f"measure.joint=bootstrap resamples, but measure.interval is {self.interval.name}: set it to auto or "
                "bootstrap, or measure.joint=bonferroni"
            )

    @property
    def chosen(self) -> Interval:
        """The interval that `auto` stands for."""
        if self.interval is not Interval.auto:
            return self.interval
        if self.joint is Joint.bootstrap:
            return Interval.bootstrap
        return Interval.sections if self.unit else Interval.order

    @property
    def whole(self) -> bool:
        """Whether all of the worst losses are read, not some ranks and the sums of what is worse."""
        return self.chosen in (Interval.sections, Interval.bootstrap) or self.pareto

    @property
    def shared(self) -> int:
        """Over how many rows the ends share what they may miss; what is not resampled does so under both joint ways."""
        return 1 if self.joint is Joint.none else self.rows

    @property
    def ends(self) -> Ends:
        """The ends of every interval."""
        return Ends.of(self.confidence, self.sides, self.shared)

    @property
    def upper_ends(self) -> Ends:
        """The end of the limit that `upper` asks for."""
        assert self.upper is not None
        return Ends.of(self.upper, Sides.upper, self.shared)


def _choice(name: str, value: object, kind: type[Enum]) -> Enum:
    """The member of `kind` that `value` is, or names."""
    try:
        return kind(value)
    except ValueError as error:
        choices = ", ".join(str(choice.value) for choice in kind)
        raise SettingError(f"{name} is {value!r}: it is one of {choices}") from error
