"""How draws are spread: the group `sampling` of the configuration."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import Any, Optional

# OmegaConf reads these annotations: it knows Optional[...], not the newer `... | None` everywhere.
# ruff: noqa: UP045


@dataclass
class SamplingConfig:
    """How the draws of simulated scenarios are spread."""


@dataclass
class PlainSampling(SamplingConfig):
    """Independent scenarios."""


@dataclass
class SobolSampling(SamplingConfig):
    """Scrambled Sobol points; `scenarios.count` is `scramblings` times a power of two."""

    scramblings: int = 16


@dataclass
class StratifiedSampling(SamplingConfig):
    """The leading principal component in `strata`, a power of two; `scenarios.count` is a multiple of 16 of them."""

    strata: int = 64


@dataclass
class ControlVariateSampling(SamplingConfig):
    """Independent scenarios, which weigh for each row by where its delta-gamma approximation is, whose law is known."""


@dataclass
class ImportanceSampling(SamplingConfig):
    """Scenarios drawn where the losses of some accounts are near their VaR, by their delta-gamma approximation.

    `accounts`: rows that are measured, parents and * included; the others are null. `level`: of the VaR that is
    aimed at; None: the highest of measure.levels. `post_stratified`: weigh by the approximation's strata, too.
    """

    accounts: Any = field(default_factory=list)
    level: Optional[float] = None
    post_stratified: bool = True


SAMPLINGS: dict[str, type] = {
    "plain": PlainSampling,
    "sobol": SobolSampling,
    "stratified": StratifiedSampling,
    "control_variate": ControlVariateSampling,
    "importance": ImportanceSampling,
}
