"""Fewer scenarios for the same answer: what the delta-gamma approximation knows of each row.

A row's P&L is nearly a quadratic of the moves, whose law under normal or t moves is known exactly. That law can weigh
the scenarios of a run (`control`) or choose the law that they are drawn from (`importance`); `weighted` reads VaR and
expected shortfall of weighted losses. All revaluations stay full: the approximation changes errors, never the answer.
"""

from mcvar.reduction.control import Partition, shares, stratify
from mcvar.reduction.delta_gamma import BUMPS, Expansion, best, expand, refitted
from mcvar.reduction.elliptical import Elliptical
from mcvar.reduction.importance import Twist, twist
from mcvar.reduction.quadratic import QuadraticLaw
from mcvar.reduction.strata import Strata

__all__ = [
    "BUMPS",
    "Elliptical",
    "Expansion",
    "Partition",
    "QuadraticLaw",
    "Strata",
    "Twist",
    "best",
    "expand",
    "refitted",
    "shares",
    "stratify",
    "twist",
]
