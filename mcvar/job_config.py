"""What is done: the group `job` of the configuration."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any, Optional

from mcvar.calibrate_config import CalibrateJob as CalibrateJob
from mcvar.calibrate_config import JobConfig as JobConfig

# OmegaConf reads these annotations: it knows Optional[...], not the newer `... | None` everywhere.
# ruff: noqa: UP045


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


JOBS: dict[str, type] = {
    "var": VarJob,
    "fit": FitJob,
    "moves": MovesJob,
    "greeks": GreeksJob,
    "explain": ExplainJob,
    "calibrate": CalibrateJob,
}
