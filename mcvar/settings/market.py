"""What a market and its correlation can be told: the groups `market` and `correlation` of the configuration."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any, Optional

from mcvar.history import Missing

# OmegaConf reads these annotations: it knows Optional[...], not the newer `... | None` everywhere.
# ruff: noqa: UP045


@dataclass
class MarketConfig:
    """Where factors, levels and volatilities come from; `currency` is the reporting currency."""

    currency: str = "USD"


@dataclass
class SampleMarket(MarketConfig):
    """Real daily histories of S&P 500, NASDAQ, WTI and VIX, 2014 to 2018, valued on 2018-12-28."""

    rate: float = 0.025
    dividend_yield: float = 0.02


@dataclass
class FilesMarket(MarketConfig):
    """A factor table, with a history or a correlation matrix beside it."""

    factors: str = ""
    history: str = ""
    correlation: str = ""
    valuation: str = ""
    steps_per_year: Optional[float] = None
    max_gap: float = 10.0
    missing: Missing = Missing.refuse


@dataclass
class DeribitMarket(MarketConfig):
    """A Deribit option chain snapshot (JSON or CSV) and daily closes of its coins.

    With `surface`, a history of volatilities and prices, their moves replace the three judgements beneath it.
    """

    snapshot: str = ""
    history: str = ""
    surface: str = ""
    vol_of_vol: float = 0.9
    vol_correlation: float = 0.9
    spot_vol_correlation: float = -0.5
    max_gap: float = 10.0


@dataclass
class CorrelationConfig:
    """How the correlation of the factors is found; `repair` allows the nearest correlation matrix."""

    repair: bool = False


@dataclass
class MatrixCorrelation(CorrelationConfig):
    """A matrix: `values` in the order of the factors, else the file `market.correlation`."""

    values: Any = None


@dataclass
class HistoricalCorrelation(CorrelationConfig):
    """Sample covariance of the last `window` moves of the history; 0 takes all."""

    window: int = 0


@dataclass
class EwmaCorrelation(CorrelationConfig):
    """Exponentially weighted second moments of the history."""

    decay: float = 0.94


@dataclass
class LedoitWolfCorrelation(CorrelationConfig):
    """The sample correlation shrunk towards none by scikit-learn's optimal intensity."""

    window: int = 0


@dataclass
class ShrinkToConstantCorrelation(CorrelationConfig):
    """The sample correlation shrunk towards its mean; `intensity` from 0 to 1, None for the optimal one."""

    intensity: Optional[float] = None
    window: int = 0


@dataclass
class RandomMatrixCorrelation(CorrelationConfig):
    """The sample correlation without the eigenvalues that noise alone would give."""

    window: int = 0


@dataclass
class TauCorrelation(CorrelationConfig):
    """Correlations from Kendall's tau of each pair, for copulas; volatilities are the sample's."""

    window: int = 0


@dataclass
class ConstantCorrelation(CorrelationConfig):
    """One correlation between all factors."""

    value: float = 0.5


@dataclass
class IdentityCorrelation(CorrelationConfig):
    """Independent factors."""


MARKETS: dict[str, type] = {"sample": SampleMarket, "files": FilesMarket, "deribit": DeribitMarket}
CORRELATIONS: dict[str, type] = {
    "matrix": MatrixCorrelation,
    "historical": HistoricalCorrelation,
    "ewma": EwmaCorrelation,
    "ledoit_wolf": LedoitWolfCorrelation,
    "shrink_to_constant": ShrinkToConstantCorrelation,
    "random_matrix": RandomMatrixCorrelation,
    "tau": TauCorrelation,
    "constant": ConstantCorrelation,
    "identity": IdentityCorrelation,
}
