"""How contracts are priced, where there is a choice between speed and accuracy."""

from __future__ import annotations

from dataclasses import dataclass
from enum import Enum

from mcvar.pricing.asian import Method


class AmericanMethod(Enum):
    """How American options are revalued: from a price table with an audited error, or solved exactly each time."""

    table = "table"
    exact = "exact"


class Accuracy(Enum):
    """Of the exact American solver: 1e-6 of the strike, or 1e-5 at a fraction of the time."""

    accurate = "accurate"
    fast = "fast"


@dataclass(frozen=True)
class Pricing:
    """Choices of the pricers.

    Parameters
    ----------
    american : AmericanMethod
    accuracy : Accuracy
    tolerance : float
        Largest error of a price table, of the strike.
    audit : int
        Cells of the revaluation that are priced exactly to find that error.
    asian : Method
        Of arithmetic averages.
    """

    american: AmericanMethod = AmericanMethod.table
    accuracy: Accuracy = Accuracy.accurate
    tolerance: float = 1e-6
    audit: int = 1000
    asian: Method = Method.conditioning


DEFAULT = Pricing()
