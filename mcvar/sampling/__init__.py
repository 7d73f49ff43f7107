"""Where random numbers come from: plain, of scrambled Sobol points, or stratified; any scenario alone."""

from mcvar.sampling.schemes import Plain, Quasi, Sampling, Shape, Strata
from mcvar.sampling.sobol import Sobol
from mcvar.sampling.source import Philox, Source, as_source
from mcvar.sampling.stratified import Stratified

__all__ = [
    "Philox", "Plain", "Quasi", "Sampling", "Shape", "Sobol", "Source", "Strata", "Stratified", "as_source",
]  # fmt: skip
