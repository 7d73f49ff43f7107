"""What a calibration runs: the schemes that the law allows, the intervals that go with each, and what is refused."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass, replace

import numpy as np

from mcvar import build
from mcvar import config as c
from mcvar.api import engine_of, measures_of
from mcvar.book import Book, rows_of, take_rows
from mcvar.build import Inputs, sampling_of
from mcvar.engines import EngineChoice
from mcvar.errors import CapacityError, InputError, SettingError
from mcvar.intervals.order import check_unit
from mcvar.jobs.repeat import Case
from mcvar.measures import Interval, Joint, Measures
from mcvar.scenarios import Explicit, Simulated
from mcvar.schemes import scheme_of

BY_DEFAULT = ("plain", "control_variate", "sobol", "stratified")
ALL = (*BY_DEFAULT, "importance")
TIMES = 50  # scenarios of the truth for each of the largest count
TRUTH = 2**62  # between the seeds of the first repetition and of the truth


@dataclass(frozen=True)
class Way:
    """A scheme, prepared: it is made once for all counts and seeds.

    Parameters
    ----------
    name : str
    settings : SamplingConfig
    scenarios : Simulated
        Of any count and seed.
    readings : dict of str to Measures
        By interval.
    seconds : float
        What it took to make.
    """

    name: str
    settings: c.SamplingConfig
    scenarios: Simulated
    readings: dict[str, Measures]
    seconds: float

    def at(self, count: int) -> Case:
        """With so many scenarios."""
        return Case(self.name, replace(self.scenarios, count=count), self.readings)

    def refused(self, count: int) -> Iterator[str]:
        """Why it does not take so many scenarios, and what would do."""
        try:
            self.at(count)
        except SettingError as error:
            yield f"{_of_counts(error)}, or leave {self.name} out of job.schemes"
            return
        for interval, asked in self.readings.items():
            try:
                asked.depth(count)
            except (CapacityError, SettingError) as error:
                yield f"{self.name}, interval {interval}: {_of_counts(error)}"


def checked(config: c.Config) -> c.CalibrateJob:
    """The job of a configuration.

    Raises
    ------
    SettingError
        Another job; numbers that there cannot be; settings of other groups that would have no effect.
    """
    job = config.job
    if not isinstance(job, c.CalibrateJob):
        raise SettingError(f"job={c.option_name(job)}: find_calibration takes job=calibrate")
    for name in ("schemes", "counts", "intervals", "accounts"):
        listed = getattr(job, name)
        if not isinstance(listed, list | tuple):
            raise SettingError(f"job.{name} is {listed!r}: give a list, such as [{listed}]")
        if len(set(listed)) < len(listed):
            raise SettingError(f"job.{name} has one twice: {list(listed)}")
    for name, known in (("schemes", ALL), ("intervals", [each.value for each in Interval])):
        if unknown := [each for each in getattr(job, name) if each not in known]:
            raise SettingError(f"job.{name} has {', '.join(map(str, unknown))}: there are {', '.join(known)}")
    if not job.counts or not job.intervals:
        raise SettingError("job.counts and job.intervals must not be empty: give such as [4096,16384] and [auto]")
    if least := [count for count in job.counts if count < 1]:
        raise SettingError(f"job.counts has {least[0]}: numbers of scenarios are at least 1")
    if job.repetitions < 2:
        raise SettingError(f"job.repetitions is {job.repetitions}: errors are told from at least 2")
    check_unit("job.target", job.target)
    if job.truth is not None and job.truth < max(job.counts):
        raise SettingError(
            f"job.truth is {job.truth}: true values take more scenarios than the largest of job.counts, which is "
            f"{max(job.counts)}"
        )
    _check_effect(config, job)
    return job


def _check_effect(config: c.Config, job: c.CalibrateJob) -> None:
    """Refuse settings that would have none."""
    if config.scenarios != c.SimulatedScenarios(seed=seed_of(config)):
        raise SettingError(
            "job=calibrate takes its numbers of scenarios from job.counts, and of scenarios the seed alone: drop what "
            "else sets scenarios"
        )
    measure, standard = config.measure, c.MeasureConfig()
    for name, instead in (
        ("interval", "name it in job.intervals"),
        ("joint", "intervals are calibrated for each account alone"),
        ("upper", "its limit is the upper end that measure.sides=upper calibrates"),
        ("pareto", "smoothed tails are not calibrated"),
    ):
        if getattr(measure, name) != getattr(standard, name):
            given = getattr(measure, name)
            said = given.value if isinstance(given, Interval | Joint) else given
            raise SettingError(f"measure.{name}={said} has no effect on job=calibrate: {instead}, and drop it")
    spread = c.option_name(config.sampling)
    if spread != "plain" and spread not in (job.schemes or BY_DEFAULT):
        raise SettingError(
            f"sampling={spread} is not among job.schemes={list(job.schemes or BY_DEFAULT)}: add it there, or drop it"
        )
    aimed = getattr(config.sampling, "accounts", [])
    if aimed and sorted(aimed) != sorted(job.accounts):
        raise SettingError(f"sampling.accounts={list(aimed)}: importance sampling aims at job.accounts, so drop it")


@dataclass(frozen=True)
class Request:
    """A calibration, read and checked.

    Parameters
    ----------
    config : Config
    job : CalibrateJob
    given : Inputs
        With plain scenarios.
    book : Book
        The rows that are calibrated, alone.
    engine : EngineChoice
    """

    config: c.Config
    job: c.CalibrateJob
    given: Inputs
    book: Book
    engine: EngineChoice

    @classmethod
    def of(cls, config: c.Config) -> Request:
        """Read and check everything but the schemes.

        Raises
        ------
        McvarError
            Whatever is wrong with files or settings.
        """
        job = checked(config)
        engine = engine_of(config)
        scenarios = c.SimulatedScenarios(count=max(job.counts), seed=seed_of(config))
        given = build.inputs(replace(config, sampling=c.PlainSampling(), scenarios=scenarios))
        if isinstance(given.scenarios, Explicit):
            raise SettingError("model=historical takes the moves of the history, which are the same in every run")
        every = np.arange(given.book.accounts)
        rows = rows_of(given.book, job.accounts, "job.accounts") if job.accounts else every
        return cls(config, job, given, take_rows(given.book, rows), engine)

    def ways(self) -> tuple[list[Way], list[str]]:
        """The schemes, and notes on what is left out.

        Raises
        ------
        SettingError
            A scheme that was named and that the law does not allow, or that none of the intervals goes with.
        InputError
            Counts that a scheme or an interval does not take, all of them.
        """
        found: list[Way] = []
        notes: list[str] = []
        problems: list[str] = []
        for name in self.job.schemes or BY_DEFAULT:
            try:
                way, left_out = self._way(name, self.job.intervals)
            except SettingError as error:
                if self.job.schemes:
                    raise SettingError(f"job.schemes has {name}: {error}") from error
                notes.append(f"{name} is left out: {error}")
                continue
            found.append(way)
            notes += left_out
            for count in self.job.counts:
                problems += way.refused(count)
        if problems:
            raise InputError("job.counts", problems)
        return found, notes

    def truth(self, name: str) -> Case:
        """What true values are from: a scheme, with the seed of the truth.

        Raises
        ------
        McvarError
            Too few scenarios for the levels; a law that the scheme does not allow.
        """
        way, _ = self._way(name, ["auto"])
        count = self.job.truth or TIMES * max(self.job.counts)
        if problems := [each.replace("job.counts", "job.truth") for each in way.refused(count)]:
            raise InputError("job.truth", problems)
        return replace(way.at(count), scheme=f"truth-{name}")

    def _way(self, name: str, intervals: Sequence[str]) -> tuple[Way, list[str]]:
        """A scheme, and notes on intervals that do not go with it."""
        settings, law = self._settings(name), self.given.scenarios
        assert isinstance(law, Simulated)
        sampling = sampling_of(settings)
        least = max(1, (sampling.replicates or 1) * sampling.unit)  # what it takes, whatever the counts
        scenarios = replace(law, count=least, sampling=sampling)
        scheme = scheme_of(
            settings, self.given.market, self.book, scenarios, self.given.horizon.decay,
            measures_of(self.config.measure, scenarios), self.engine, memory_gb=self.config.executor.memory_gb,
        )  # fmt: skip
        assert isinstance(scheme.scenarios, Simulated)
        readings, notes = {}, []
        for interval in intervals:
            try:
                reading = replace(scheme.asked, interval=Interval(interval))
            except SettingError as error:
                notes.append(f"{name} has no interval {interval}: {error}")
            else:
                readings[reading.chosen.value] = reading
        if not readings:
            raise SettingError(f"none of job.intervals={list(intervals)} goes with it: {'; '.join(notes)}")
        return Way(name, settings, scheme.scenarios, readings, scheme.seconds), notes

    def _settings(self, name: str) -> c.SamplingConfig:
        """Those of `sampling`, if that is the scheme, else as they are by default."""
        own = name == c.option_name(self.config.sampling)
        settings: c.SamplingConfig = self.config.sampling if own else c.OPTIONS["sampling"][name]()
        if not isinstance(settings, c.ImportanceSampling):
            return settings
        if not self.job.accounts:
            raise SettingError("importance sampling aims at some accounts: name them in job.accounts")
        return replace(settings, accounts=list(self.job.accounts))


def seed_of(config: c.Config) -> int:
    """The seed of the first repetition."""
    if not isinstance(config.scenarios, c.SimulatedScenarios):
        raise SettingError("scenarios must be `simulated`")
    return config.scenarios.seed


def _of_counts(error: Exception) -> str:
    return str(error).replace("scenarios.count", "job.counts")
