"""Calibration of shock models from histories of moves, or from a chain of options."""

from mcvar.fit.chains import fit_heston_chain
from mcvar.fit.copula import fit_copula
from mcvar.fit.filters import conditional_variances, ewma_variances
from mcvar.fit.fitted import Fitted
from mcvar.fit.garch import fit_garch
from mcvar.fit.heston import fit_bates, fit_heston
from mcvar.fit.heston_prices import Heston, heston_prices
from mcvar.fit.jumps import find_jumps, fit_merton
from mcvar.fit.student import fit_student_t

__all__ = [
    "Fitted",
    "Heston",
    "conditional_variances",
    "ewma_variances",
    "find_jumps",
    "fit_bates",
    "fit_copula",
    "fit_garch",
    "fit_heston",
    "fit_heston_chain",
    "fit_merton",
    "fit_student_t",
    "heston_prices",
]
