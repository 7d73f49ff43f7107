"""Shock models: laws of the factors' moves over the horizon, one a file, made of parts that all engines know."""

from mcvar.models.common import Drift, ShockModel
from mcvar.models.filtered_historical import FilteredHistorical
from mcvar.models.garch import GjrGarch
from mcvar.models.gaussian import Gaussian
from mcvar.models.heston import Heston, HestonParameters
from mcvar.models.historical import Historical
from mcvar.models.law import Law
from mcvar.models.merton import Merton
from mcvar.models.student_t import StudentT

__all__ = [
    "Drift", "FilteredHistorical", "Gaussian", "GjrGarch", "Heston", "HestonParameters", "Historical", "Law",
    "Merton", "ShockModel", "StudentT",
]  # fmt: skip
