"""Margins: what SPAN asks of each account."""

from __future__ import annotations

from dataclasses import dataclass, field

import numpy as np
from numpy.typing import NDArray
from scipy import sparse

from mcvar.scan.span.plan import Plan

Floats = NDArray[np.float64]
Ints = NDArray[np.int64]


@dataclass(frozen=True)
class Margins:
    """Columns of R accounts, in `currency`.

    Parameters
    ----------
    account : tuple of str [R]
        () where they have no names.
    currency : str
    scan : ndarray [R]
        Sum of the scan risks of its commodities.
    worst_scenario : ndarray [R]
        Number, from 1, of the active scenario of the commodity with the largest scan risk (the first in the order of
        the parameters, where several have it); 0 where nothing is held.
    intra : ndarray [R]
        Charges of intra-commodity spreads.
    delivery : ndarray [R]
    credit : ndarray [R]
        Of inter-commodity spreads.
    minimum : ndarray [R]
        Sum of the short option minimums.
    risk : ndarray [R]
        The risk component, to compare with VaR: the sum over commodities of max(scan + intra + delivery - credit,
        minimum).
    nov : ndarray [R]
        Net option value: of long less that of short options whose premium is paid up front.
    requirement : ndarray [R]
        max(0, risk - nov).
    plan : Plan
    held : csr_array [R, columns]
        With `column`, what breakdowns are made of.
    column : ndarray [columns] of int32
        Contract of each column, in the plan's order; -1: none, and nobody holds it.
    """

    account: tuple[str, ...]
    currency: str
    scan: Floats
    worst_scenario: Ints
    intra: Floats
    delivery: Floats
    credit: Floats
    minimum: Floats
    risk: Floats
    nov: Floats
    requirement: Floats
    plan: Plan = field(repr=False)
    held: sparse.csr_array = field(repr=False)
    column: NDArray[np.int32] = field(repr=False)

    def __len__(self) -> int:
        """R."""
        return len(self.scan)
