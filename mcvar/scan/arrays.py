"""Risk arrays: what one long unit of each contract loses at each point of a grid."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

Floats = NDArray[np.float64]
Ints = NDArray[np.int64]


@dataclass(frozen=True)
class RiskArrays:
    """I contracts at S points, from mcvar's own pricer or from a file.

    Parameters
    ----------
    name : tuple of str [I]
    commodity : tuple of str [C]
        Combined commodities.
    of : ndarray [I]
        The commodity of each contract, an index.
    currency : tuple of str [I]
        Of losses and values.
    loss : ndarray [I, S]
        Of one long unit, multiplier included: LOSS POSITIVE, gain negative; covered fractions are in it.
    delta : ndarray [I]
        Composite delta, in the commodity's delta unit: see `Commodity.delta_unit`. Spread charges are for one of these.
    value : ndarray [I]
        Market value of one long option whose premium is paid up front; 0 for futures and futures-style options.
    option : ndarray [I] of bool
    month : tuple of str [I]
        Contract month, YYYYMM or YYYYMMDD: of an option that of its underlying future; "" where there is none.

    Examples
    --------
    >>> future = RiskArrays(("F",), ("X",), np.array([0]), ("USD",), np.array([[0.0, -1.0, 1.0]]), np.ones(1),
    ...     np.zeros(1), np.array([False]), ("202603",))
    >>> len(future), future.points
    (1, 3)
    """

    name: tuple[str, ...]
    commodity: tuple[str, ...]
    of: Ints
    currency: tuple[str, ...]
    loss: Floats
    delta: Floats
    value: Floats
    option: NDArray[np.bool_]
    month: tuple[str, ...]

    def __len__(self) -> int:
        """I."""
        return len(self.name)

    @property
    def points(self) -> int:
        """S."""
        return int(self.loss.shape[1])
