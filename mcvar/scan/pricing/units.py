"""What one delta of a commodity is on: it must not depend on who holds what."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from mcvar.columns import Columns
from mcvar.instruments import Kind

Floats = NDArray[np.float64]
_LINEAR = (Kind.future.name, Kind.perpetual.name)


@dataclass(frozen=True)
class DeltaUnit:
    """Units of the underlying that one delta is on; `inverse`: `size` over the price, as of an inverse future.

    Examples
    --------
    >>> price = np.array([50.0, 80.0])
    >>> DeltaUnit(1000.0).at(price).tolist(), DeltaUnit(10.0, inverse=True).at(price).tolist()
    ([1000.0, 1000.0], [0.2, 0.125])
    >>> str(DeltaUnit(1000.0)), str(DeltaUnit(10.0, inverse=True))
    ('1,000', '10 / price')
    """

    size: float = 1.0
    inverse: bool = False

    def at(self, price: Floats) -> Floats:
        """Units of the underlying at prices of it."""
        return self.size / price if self.inverse else np.full_like(price, self.size)

    def __str__(self) -> str:
        return f"{self.size:,.12g}" + (" / price" if self.inverse else "")


Units = Mapping[str, DeltaUnit]  # by commodity


def listed_commodities(table: Columns) -> list[str]:
    """The commodity of each row of a table of instruments: its column `commodity`, else its underlying."""
    return [said or own for said, own in zip(table.texts("commodity"), table.texts("underlying"), strict=True)]


def listed_units(table: Columns) -> dict[str, DeltaUnit]:
    """The unit of each commodity that has futures or perpetuals among the instruments that are listed.

    It is the largest multiplier of these: mini futures beside the full-sized one do not change it. Inverse ones count
    where there are no others. That all listed contracts count, held or not, is what keeps an account's margin from
    depending on the positions of others.

    Parameters
    ----------
    table : Columns
        Instruments as they were brought: `underlying, kind` and, optional, `commodity, multiplier, settlement`.

    Examples
    --------
    >>> listed_units(Columns.of("instruments", instrument=["CL", "QM", "I"], kind=["future", "future", "perpetual"],
    ...     underlying=["WTI", "WTI", "BTC"], multiplier=[1000.0, 500.0, 10.0], settlement=["", "", "inverse"]))
    {'WTI': DeltaUnit(size=1000.0, inverse=False), 'BTC': DeltaUnit(size=10.0, inverse=True)}
    """
    found: dict[str, DeltaUnit] = {}
    sizes = table.floats("multiplier", [], 1.0)
    rows = zip(listed_commodities(table), table.texts("kind"), table.texts("settlement"), sizes.tolist(), strict=True)
    for commodity, kind, settlement, size in rows:
        if kind not in _LINEAR or not size > 0:
            continue
        unit = DeltaUnit(size, settlement == "inverse")
        known = found.setdefault(commodity, unit)
        if (not unit.inverse, unit.size) > (not known.inverse, known.size):
            found[commodity] = unit
    return found
