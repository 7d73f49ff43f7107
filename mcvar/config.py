"""Everything a run can be told, as plain typed dataclasses: the same for Python and the command line.

Each class with subclasses is a group: choosing an option is choosing a subclass. The command line
composes a `Config` from the YAML files of `configs/`; Python users write `Config(...)` themselves.
Paths are relative to the working folder. "" and None mean not given.
"""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import Any, Optional

from mcvar.history import Missing
from mcvar.model_config import MODELS
from mcvar.model_config import BatesModel as BatesModel
from mcvar.model_config import FilteredHistoricalModel as FilteredHistoricalModel
from mcvar.model_config import GarchModel as GarchModel
from mcvar.model_config import GaussianModel as GaussianModel
from mcvar.model_config import HestonModel as HestonModel
from mcvar.model_config import HistoricalModel as HistoricalModel
from mcvar.model_config import MertonModel as MertonModel
from mcvar.model_config import ModelConfig as ModelConfig
from mcvar.model_config import StudentTModel as StudentTModel
from mcvar.models import Drift as Drift
from mcvar.precision import Precision

# OmegaConf reads these annotations: it knows Optional[...] and List, not the newer `... | None` everywhere.
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


@dataclass
class BookConfig:
    """Where instruments and positions come from."""


@dataclass
class SampleBook(BookConfig):
    """A listed option grid on the sample market and synthetic accounts; quantities follow from the seed."""

    accounts: int = 200
    seed: int = 20181228


@dataclass
class FilesBook(BookConfig):
    """Tables of instruments, positions and, optionally, accounts."""

    instruments: str = ""
    positions: str = ""
    accounts: str = ""


@dataclass
class DeribitBook(BookConfig):
    """The instruments of the snapshot, and a table of positions in them."""

    positions: str = ""


@dataclass
class ScenariosConfig:
    """Where moves come from."""


@dataclass
class SimulatedScenarios(ScenariosConfig):
    """`count` draws of the model, named by `seed`."""

    count: int = 100_000
    seed: int = 1


@dataclass
class HorizonConfig:
    """How far ahead: `days` (ACT/365) or `steps` of the history; one day when neither is given."""

    days: Optional[float] = None
    steps: Optional[int] = None
    decay: bool = True


@dataclass
class MeasureConfig:
    """VaR and ES levels, and the confidence of their intervals."""

    levels: list[float] = field(default_factory=lambda: [0.95, 0.99])
    confidence: float = 0.95


@dataclass
class EngineConfig:
    """What makes the P&L."""


@dataclass
class NumpyEngine(EngineConfig):
    """The reference engine: numpy, float64."""


@dataclass
class NativeEngine(EngineConfig):
    """The kernels compiled for this processor by the system's C++ compiler."""

    precision: Precision = Precision.fp64


@dataclass
class CudaEngine(EngineConfig):
    """The kernels on a GPU; `device` is its number."""

    precision: Precision = Precision.fp64
    device: int = 0


@dataclass
class AutoEngine(EngineConfig):
    """Cuda if there is a usable GPU, native if it can be compiled, else numpy; decided once, before the run."""

    precision: Precision = Precision.fp64
    device: int = 0


@dataclass
class ExecutorConfig:
    """Threads (0: one a core) and the memory that the run may plan with, in GB (0: most of what is free)."""

    workers: int = 0
    memory_gb: float = 0.0


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
class OutputConfig:
    """How much is written: losses an account in tail.parquet, accounts in the table and in the plot."""

    tail_rows: int = 1_000
    table_rows: int = 15
    plot_rows: int = 4


@dataclass
class Config:
    """A whole run; the default is the sample job.

    Examples
    --------
    >>> Config().market, Config().correlation
    (SampleMarket(currency='USD', rate=0.025, dividend_yield=0.02), HistoricalCorrelation(repair=False, window=0))
    >>> Config(market=FilesMarket(factors="F.csv", correlation="C.csv")).correlation
    MatrixCorrelation(repair=False, values=None)
    """

    market: MarketConfig = field(default_factory=SampleMarket)
    correlation: Optional[CorrelationConfig] = None
    model: ModelConfig = field(default_factory=GaussianModel)
    book: BookConfig = field(default_factory=SampleBook)
    scenarios: ScenariosConfig = field(default_factory=SimulatedScenarios)
    horizon: HorizonConfig = field(default_factory=HorizonConfig)
    measure: MeasureConfig = field(default_factory=MeasureConfig)
    engine: EngineConfig = field(default_factory=NumpyEngine)
    executor: ExecutorConfig = field(default_factory=ExecutorConfig)
    job: JobConfig = field(default_factory=VarJob)
    output: OutputConfig = field(default_factory=OutputConfig)

    def __post_init__(self) -> None:
        """A market that brings a history is estimated from it; any other needs a matrix."""
        if self.correlation is None:
            estimated = isinstance(self.market, SampleMarket | DeribitMarket)
            self.correlation = HistoricalCorrelation() if estimated else MatrixCorrelation()


# Every option of every group: what the command line calls it.
OPTIONS: dict[str, dict[str, type]] = {
    "market": {"sample": SampleMarket, "files": FilesMarket, "deribit": DeribitMarket},
    "correlation": {
        "matrix": MatrixCorrelation,
        "historical": HistoricalCorrelation,
        "ewma": EwmaCorrelation,
        "ledoit_wolf": LedoitWolfCorrelation,
        "shrink_to_constant": ShrinkToConstantCorrelation,
        "random_matrix": RandomMatrixCorrelation,
        "tau": TauCorrelation,
        "constant": ConstantCorrelation,
        "identity": IdentityCorrelation,
    },
    "model": MODELS,
    "book": {"sample": SampleBook, "files": FilesBook, "deribit": DeribitBook},
    "scenarios": {"simulated": SimulatedScenarios},
    "measure": {"standard": MeasureConfig, "frtb": MeasureConfig},
    "engine": {"numpy": NumpyEngine, "native": NativeEngine, "cuda": CudaEngine, "auto": AutoEngine},
    "executor": {"threads": ExecutorConfig, "serial": ExecutorConfig},
    "job": {"var": VarJob, "fit": FitJob, "moves": MovesJob},
}


def option_name(option: object) -> str:
    """What an option is called on the command line: a `StudentTModel` is `student_t`."""
    names = (name for group in OPTIONS.values() for name, kind in group.items() if kind is type(option))
    return next(names, type(option).__name__)
