"""What is done: the group `job` of the configuration."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import Any, Optional

# OmegaConf reads these annotations: it knows Optional[...], not the newer `... | None` everywhere.
# ruff: noqa: UP045


@dataclass
class JobConfig:
    """What is done."""


@dataclass
class VarJob(JobConfig):
    """VaR and expected shortfall of every account, with intervals."""


@dataclass
class FitJob(JobConfig):
    """Parameters of the model from the market's history, as a model file that the other jobs read.

    `copula`: of student_t, marginals of their own. `chain`: heston from the volatilities of the book's options.
    `threshold`: local deviations beyond which a move is a jump. `name`: of the model file.
    """

    name: str = "fitted"
    copula: bool = False
    chain: bool = False
    threshold: float = 4.0


@dataclass
class MovesJob(JobConfig):
    """What the model makes of each factor: moments and quantiles of its moves, extremes and averages of its paths."""


@dataclass
class GreeksJob(JobConfig):
    """Delta, gamma, vega and theta of each instrument and of each account by underlying."""


@dataclass
class ExplainJob(JobConfig):
    """Where VaR and ES of one account of a finished run come from: instruments, underlyings and factors.

    `run`: its folder, from which all other settings come but `output` and `executor`. `account`: any row of it.
    `window`: ranks to each side of VaR's that contributions to it are averaged over; None: those of its interval.
    `add`: NAME:QUANTITY or a list of these, positions to add. `engine`: that revalues; "": the run's.
    """

    run: str = ""
    account: str = ""
    window: Optional[int] = None
    add: Any = None
    engine: str = ""


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


@dataclass
class ScanJob(JobConfig):
    """Margins of every account by the grid of `scan`, without simulation.

    `accounts`: whose margins are written step by step, to be checked by hand. `export`: write book, market, risk arrays
    and parameters into the run folder, for another engine.
    """

    accounts: list[str] = field(default_factory=list)
    export: bool = False


@dataclass
class CompareJob(JobConfig):
    """Scan margins of every account beside VaR and ES, by the grid of `scan` and by tables that were made elsewhere.

    `external`: a table of margins (account, margin, and engine, basis). `level`: of VaR and ES, and the coverage that
    is aimed at; None: the highest of measure.levels. `accounts`: whose losses are drawn; empty: those that say most.
    `ranges`: solve for the scan ranges that would cover as much as is aimed at. `netting`: simulate positions alone,
    too. `export`: write book, market, risk arrays and parameters into the run folder, for another engine.
    """

    external: str = ""
    level: Optional[float] = None
    accounts: list[str] = field(default_factory=list)
    ranges: bool = True
    netting: bool = True
    export: bool = False


JOBS: dict[str, type] = {
    "var": VarJob,
    "fit": FitJob,
    "moves": MovesJob,
    "greeks": GreeksJob,
    "explain": ExplainJob,
    "calibrate": CalibrateJob,
    "scan": ScanJob,
    "compare": CompareJob,
}
