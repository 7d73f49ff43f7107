"""Short options: how many there are, gross, or net of long ones of the same month and type."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
from numpy.typing import NDArray

from mcvar.scan.arrays import RiskArrays
from mcvar.scan.grid import Grid
from mcvar.scan.parameters import Commodity

Floats = NDArray[np.float64]
Ints = NDArray[np.int64]


def call_or_put(arrays: RiskArrays, grid: Grid) -> Ints:
    """+1 for calls, -1 for puts, 0 for others, [I].

    The sign of the composite delta; where that is rounded to 0, the side to which the array loses; where that is
    0 too there is nothing to tell the type by.
    """
    tilt = np.where(arrays.delta != 0, arrays.delta, -(arrays.loss @ grid.price))
    return np.where(arrays.option, np.sign(tilt), 0).astype(np.int64)


def netting_class(arrays: RiskArrays, grid: Grid, commodities: Sequence[Commodity]) -> Ints:
    """Number of the set in which each contract's long and short positions offset each other, [I].

    Options of one month and type where the commodity nets them, else each contract alone; so is an option whose type
    cannot be told, which nets less, never more.
    """
    type_ = call_or_put(arrays, grid)
    known: dict[tuple[int, str, int], int] = {}
    found = np.arange(len(arrays))
    for i in np.flatnonzero(type_).tolist():
        c = int(arrays.of[i])
        if commodities[c].short_netted:
            found[i] = known.setdefault((c, arrays.month[i], int(type_[i])), i)
    return found


def count_short(quantity: Floats, kind: Ints, row: Ints) -> tuple[Floats, Ints]:
    """Short options by row and netting class.

    Parameters
    ----------
    quantity : ndarray [n]
        Of options; 0 for other positions.
    kind : ndarray [n]
        Netting class of each position; those of one class are neighbours.
    row : ndarray [n]
        Ascending.

    Returns
    -------
    short : ndarray [m]
        max(0, -net quantity) of each class.
    at : ndarray [m]
        The first position of each.

    Examples
    --------
    >>> short, at = count_short(np.array([5.0, -8.0, -2.0, -1.0]), np.array([3, 3, 4, 4]), np.array([0, 0, 0, 1]))
    >>> short.tolist(), at.tolist()
    ([3.0, 2.0, 1.0], [0, 2, 3])
    """
    first = np.ones(len(quantity), dtype=bool)
    np.not_equal(kind[1:], kind[:-1], out=first[1:])
    first[1:] |= row[1:] != row[:-1]
    at = np.flatnonzero(first)
    if not len(at):
        return np.zeros(0), at
    return np.maximum(-np.add.reduceat(quantity, at), 0.0), at
