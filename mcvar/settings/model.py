"""What a shock model can be told: the group `model` of the configuration."""

from __future__ import annotations

from dataclasses import dataclass
from enum import Enum
from typing import Any, Optional

from mcvar.models import Drift

# OmegaConf reads these annotations: it knows Optional[...], not the newer `... | None` everywhere.
# ruff: noqa: UP045


class Regime(Enum):
    """Which volatility a model starts from.

    `estimate`: the model's own. `larger`: the larger of its short-term forecast and its long-run level.
    """

    estimate = "estimate"
    larger = "larger"


class Innovations(Enum):
    """The law of standardised residuals."""

    normal = "normal"
    t = "t"


class Filter(Enum):
    """What standardises a history."""

    garch = "garch"
    ewma = "ewma"


@dataclass
class ModelConfig:
    """The law of the factors' moves over the horizon.

    `steps` divide the horizon (None: the model's choice). `floor_years`: no volatility below that of the last so many
    years of the history (0: no floor).
    """

    drift: Drift = Drift.zero
    steps: Optional[int] = None
    regime: Regime = Regime.estimate
    floor_years: float = 0.0


@dataclass
class GaussianModel(ModelConfig):
    """Jointly normal moves."""


@dataclass
class StudentTModel(ModelConfig):
    """Multivariate Student t with the same covariance and fatter, joint tails.

    `groups` ({name: {factors: [...], dof: 4}}) gives groups of factors a mixing variable of their own; `independent`
    whether these are. `marginals` (normal, empirical, a dof, or {factor: one of these}) make a t copula.
    """

    dof: float = 5.0
    groups: Any = None
    independent: bool = False
    marginals: Any = None


@dataclass
class MertonModel(ModelConfig):
    """Compound-Poisson jumps, common to all factors and of each alone; fitted to the history where not given.

    `common`: {intensity: a year, correlation: of sizes, factors: {name: {mean, deviation}}}; `own`: {name:
    {intensity, mean, deviation}}.
    """

    common: Any = None
    own: Any = None


@dataclass
class HestonModel(ModelConfig):
    """Stochastic variance of each underlying; `parameters` ({underlying: {kappa, theta, sigma, rho, v0}}) are fitted to
    the history of its volatility factor where not given."""  # noqa: D205, D209

    parameters: Any = None
    variance_correlation: Optional[float] = None


@dataclass
class BatesModel(HestonModel):
    """Heston with jumps of the price: `parameters` have intensity, mean and deviation, too."""


@dataclass
class GarchModel(ModelConfig):
    """GJR-GARCH(1,1) of each factor: `parameters` ({factor: {omega, alpha, gamma, beta}}, and dof with
    innovations=t) are fitted to the history where not given; `dof` is that of the t copula of innovations."""  # noqa: D205, D209

    innovations: Innovations = Innovations.normal
    dof: float = 6.0
    parameters: Any = None


@dataclass
class FilteredHistoricalModel(ModelConfig):
    """Residuals of the history by whole dates, at today's volatility.

    `window`: last dates drawn from (0: all). `block`: steps drawn together. `stressed`: [from, to] of a stressed
    period, whose dates are drawn with probability `stressed_weight`.
    """

    filter: Filter = Filter.garch
    decay: float = 0.97
    parameters: Any = None
    window: int = 0
    block: int = 1
    stressed: Any = None
    stressed_weight: float = 0.25


@dataclass
class HistoricalModel(ModelConfig):
    """Moves that happened, each once: over the horizon, overlapping or not, as they were or at today's volatility."""

    window: int = 0
    overlapping: bool = True
    rescaled: bool = False
    decay: float = 0.97


MODELS: dict[str, type] = {
    "gaussian": GaussianModel,
    "student_t": StudentTModel,
    "merton": MertonModel,
    "heston": HestonModel,
    "bates": BatesModel,
    "garch": GarchModel,
    "filtered_historical": FilteredHistoricalModel,
    "historical": HistoricalModel,
}
