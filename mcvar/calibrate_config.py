"""What `job=calibrate` can be told."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import Optional

# OmegaConf reads these annotations: it knows Optional[...], not the newer `... | None` everywhere.
# ruff: noqa: UP045


@dataclass
class JobConfig:
    """What is done."""


@dataclass
class CalibrateJob(JobConfig):
    """How often intervals hold and how fast errors fall, by scheme and number of scenarios, from repeated runs.

    `schemes`: ways of sampling; empty: plain, control_variate, sobol and stratified, those that the law allows.
    `counts`: numbers of scenarios. `intervals`: as in measure.interval, all read from the same scenarios.
    `repetitions`: runs of each scheme and count, of seeds scenarios.seed, scenarios.seed + 1, ... `accounts`: rows that
    are averaged over, parents and * among them; empty: all accounts. `target`: relative half-width that the
    recommendation is for. `truth`: scenarios of the run that true values are from; None: 50 times the largest count.
    """

    schemes: list[str] = field(default_factory=list)
    counts: list[int] = field(default_factory=lambda: [4096, 16384, 65536])
    intervals: list[str] = field(default_factory=lambda: ["auto"])
    repetitions: int = 100
    accounts: list[str] = field(default_factory=list)
    target: float = 0.01
    truth: Optional[int] = None
