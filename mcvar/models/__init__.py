"""Shock models: the law of the factors' moves over the horizon, one model a file."""

from mcvar.models.common import Drift, Law, ShockModel
from mcvar.models.gaussian import Gaussian, GaussianLaw
from mcvar.models.student_t import StudentT, StudentTLaw

__all__ = ["Drift", "Gaussian", "GaussianLaw", "Law", "ShockModel", "StudentT", "StudentTLaw"]
