"""Numbers by commodity."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass

import numpy as np

DEFAULT = "default"


@dataclass(frozen=True)
class Per:
    """A number for each commodity.

    Parameters
    ----------
    of : mapping of str to float
        By commodity; `default` for all others.

    Examples
    --------
    >>> Per({"BTC": 0.16, "default": 0.2})("BTC"), Per({"BTC": 0.16, "default": 0.2})("ETH")
    (0.16, 0.2)
    """

    of: Mapping[str, float]

    def __call__(self, commodity: str) -> float:
        """The commodity's number; NaN where there is none."""
        return float(self.of.get(commodity, self.of.get(DEFAULT, np.nan)))

    def times(self, factor: float) -> Per:
        """Multiples of the numbers."""
        return Per({name: factor * number for name, number in self.of.items()})
