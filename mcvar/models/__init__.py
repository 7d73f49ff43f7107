"""Shock models: the law of the factors' moves over the horizon, one model a file."""

from mcvar.models.common import Drift, Law, ShockModel
from mcvar.models.gaussian import Gaussian
from mcvar.models.student_t import StudentT

__all__ = ["Drift", "Gaussian", "Law", "ShockModel", "StudentT"]
