"""Everything a run can be told, as plain typed dataclasses: the same for Python and the command line.

Each class with subclasses is a group: choosing an option is choosing a subclass. The command line
composes a `Config` from the YAML files of `configs/`; Python users write `Config(...)` themselves.
Paths are relative to the working folder. "" and None mean not given.
"""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import Any, Optional

from mcvar.history import Missing as Missing
from mcvar.measures import Interval as Interval
from mcvar.measures import Joint as Joint
from mcvar.measures import Sides as Sides
from mcvar.models import Drift as Drift
from mcvar.precision import Precision
from mcvar.pricing.asian import Method
from mcvar.pricing.settings import Accuracy, AmericanMethod
from mcvar.settings.job import JOBS
from mcvar.settings.job import CalibrateJob as CalibrateJob
from mcvar.settings.job import CompareJob as CompareJob
from mcvar.settings.job import ExplainJob as ExplainJob
from mcvar.settings.job import FitJob as FitJob
from mcvar.settings.job import GreeksJob as GreeksJob
from mcvar.settings.job import JobConfig as JobConfig
from mcvar.settings.job import MovesJob as MovesJob
from mcvar.settings.job import ScanJob as ScanJob
from mcvar.settings.job import VarJob as VarJob
from mcvar.settings.market import CORRELATIONS, MARKETS
from mcvar.settings.market import ConstantCorrelation as ConstantCorrelation
from mcvar.settings.market import CorrelationConfig as CorrelationConfig
from mcvar.settings.market import DeribitMarket as DeribitMarket
from mcvar.settings.market import EwmaCorrelation as EwmaCorrelation
from mcvar.settings.market import FilesMarket as FilesMarket
from mcvar.settings.market import HistoricalCorrelation as HistoricalCorrelation
from mcvar.settings.market import IdentityCorrelation as IdentityCorrelation
from mcvar.settings.market import LedoitWolfCorrelation as LedoitWolfCorrelation
from mcvar.settings.market import MarketConfig as MarketConfig
from mcvar.settings.market import MatrixCorrelation as MatrixCorrelation
from mcvar.settings.market import RandomMatrixCorrelation as RandomMatrixCorrelation
from mcvar.settings.market import SampleMarket as SampleMarket
from mcvar.settings.market import ShrinkToConstantCorrelation as ShrinkToConstantCorrelation
from mcvar.settings.market import TauCorrelation as TauCorrelation
from mcvar.settings.model import MODELS
from mcvar.settings.model import BatesModel as BatesModel
from mcvar.settings.model import FilteredHistoricalModel as FilteredHistoricalModel
from mcvar.settings.model import GarchModel as GarchModel
from mcvar.settings.model import GaussianModel as GaussianModel
from mcvar.settings.model import HestonModel as HestonModel
from mcvar.settings.model import HistoricalModel as HistoricalModel
from mcvar.settings.model import MertonModel as MertonModel
from mcvar.settings.model import ModelConfig as ModelConfig
from mcvar.settings.model import StudentTModel as StudentTModel
from mcvar.settings.sampling import SAMPLINGS
from mcvar.settings.sampling import ControlVariateSampling as ControlVariateSampling
from mcvar.settings.sampling import ImportanceSampling as ImportanceSampling
from mcvar.settings.sampling import PlainSampling as PlainSampling
from mcvar.settings.sampling import SamplingConfig as SamplingConfig
from mcvar.settings.sampling import SobolSampling as SobolSampling
from mcvar.settings.sampling import StratifiedSampling as StratifiedSampling
from mcvar.settings.scan import SCANS
from mcvar.settings.scan import ScanConfig as ScanConfig
from mcvar.until import CAP, FLOOR

# OmegaConf reads these annotations: it knows Optional[...] and List, not the newer `... | None` everywhere.
# ruff: noqa: UP045


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
    """`count` draws of the model, named by `seed`; or as many as it takes: see `mcvar.until.Until`.

    `until`: largest half-width of VaR's interval as a part of VaR, such as 0.5%; scenarios are added from `count` on.
    `until_level`: of VaR; None: the highest of measure.levels. `until_share`: part of the accounts that it must hold
    for. `until_floor`: part of gross value that VaR counts as at least. `cap`: scenarios that are not exceeded.
    """

    count: int = 100_000
    seed: int = 1
    until: Any = None
    until_level: Optional[float] = None
    until_share: float = 1.0
    until_floor: float = FLOOR
    cap: int = CAP


@dataclass
class HorizonConfig:
    """How far ahead: `days` (ACT/365) or `steps` of the history; one day when neither is given."""

    days: Optional[float] = None
    steps: Optional[int] = None
    decay: bool = True


@dataclass
class MeasureConfig:
    """VaR and ES levels, and their intervals: see `mcvar.measures.Measures` and docs/confidence.md.

    `upper`: confidence of the further measures `var_upper` and `es_upper`, upper limits; None: without. `pareto`: also
    `var_pareto` and `es_pareto`, with a smoothed tail.
    """

    levels: list[float] = field(default_factory=lambda: [0.95, 0.99])
    confidence: float = 0.95
    interval: Interval = Interval.auto
    sides: Sides = Sides.two
    joint: Joint = Joint.none
    upper: Optional[float] = None
    sections: int = 16
    resamples: int = 1000
    pareto: bool = False


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
class PricingConfig:
    """How contracts are priced: see `mcvar.pricing.settings.Pricing`.

    `tolerance`: largest error of a table of American prices, of the strike; `audit`: how many of its prices are
    checked against exact ones.
    """

    american: AmericanMethod = AmericanMethod.table
    accuracy: Accuracy = Accuracy.accurate
    tolerance: float = 1e-6
    audit: int = 1_000
    asian: Method = Method.conditioning


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
    sampling: SamplingConfig = field(default_factory=PlainSampling)
    horizon: HorizonConfig = field(default_factory=HorizonConfig)
    measure: MeasureConfig = field(default_factory=MeasureConfig)
    engine: EngineConfig = field(default_factory=NumpyEngine)
    executor: ExecutorConfig = field(default_factory=ExecutorConfig)
    job: JobConfig = field(default_factory=VarJob)
    scan: ScanConfig = field(default_factory=ScanConfig)
    pricing: PricingConfig = field(default_factory=PricingConfig)
    output: OutputConfig = field(default_factory=OutputConfig)

    def __post_init__(self) -> None:
        """A market that brings a history is estimated from it; any other needs a matrix."""
        if self.correlation is None:
            estimated = isinstance(self.market, SampleMarket | DeribitMarket)
            self.correlation = HistoricalCorrelation() if estimated else MatrixCorrelation()


# Every option of every group: what the command line calls it.
OPTIONS: dict[str, dict[str, type]] = {
    "market": MARKETS,
    "correlation": CORRELATIONS,
    "model": MODELS,
    "book": {"sample": SampleBook, "files": FilesBook, "deribit": DeribitBook},
    "scenarios": {"simulated": SimulatedScenarios},
    "sampling": SAMPLINGS,
    "measure": {"standard": MeasureConfig, "frtb": MeasureConfig},
    "engine": {"numpy": NumpyEngine, "native": NativeEngine, "cuda": CudaEngine, "auto": AutoEngine},
    "executor": {"threads": ExecutorConfig, "serial": ExecutorConfig},
    "job": JOBS,
    "scan": SCANS,
}


def option_name(option: object) -> str:
    """What an option is called on the command line: a `StudentTModel` is `student_t`."""
    names = (name for group in OPTIONS.values() for name, kind in group.items() if kind is type(option))
    return next(names, type(option).__name__)
