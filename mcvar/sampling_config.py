"""How draws are spread: the group `sampling` of the configuration."""

from __future__ import annotations

from dataclasses import dataclass


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


SAMPLINGS: dict[str, type] = {"plain": PlainSampling, "sobol": SobolSampling, "stratified": StratifiedSampling}
