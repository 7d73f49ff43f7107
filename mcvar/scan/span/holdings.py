"""Who holds what: positions of some accounts, sorted so that those in one commodity are neighbours."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from typing import TypeAlias

import numpy as np
from numpy.typing import NDArray
from scipy import sparse

from mcvar.scan.arrays import RiskArrays
from mcvar.scan.span.plan import Plan

Floats = NDArray[np.float64]
Ints = NDArray[np.int64]
Quantities: TypeAlias = "sparse.csr_array[np.float64, tuple[int, int]]"


@dataclass(frozen=True)
class Holdings:
    """P positions of B accounts, and the G pairs of an account and a commodity that they make.

    Positions are sorted by account, commodity and netting class; pairs are numbered by commodity, then by account, and
    `start` has them in the order of positions.

    Parameters
    ----------
    accounts : int
        B.
    quantity : ndarray [P]
    contract : ndarray [P]
        In the plan's order.
    row : ndarray [P]
        Account of each position.
    start : ndarray [G + 1] of int32
        The first position of each pair, in the order of positions.
    place : ndarray [G]
        Number of each of those pairs.
    pair : ndarray [P]
        Pair of each position, by that number.
    owner : ndarray [G]
        Account of each pair.
    bound : ndarray [C + 1]
        The pairs of commodity c are bound[c] to bound[c + 1].
    """

    accounts: int
    quantity: Floats
    contract: NDArray[np.int32]
    row: Ints
    start: NDArray[np.int32]
    place: Ints
    pair: Ints
    owner: Ints
    bound: Ints

    @property
    def pairs(self) -> int:
        """G."""
        return len(self.owner)


def clean(held: sparse.csr_array) -> Quantities:
    """Quantities in canonical form: one entry a position, none that is 0; float64."""
    found: Quantities = sparse.csr_array(held).astype(np.float64, copy=False)
    if not found.has_canonical_format:
        found = found.copy()
        found.sum_duplicates()
    if not found.data.all():
        found = found.copy()
        found.eliminate_zeros()
    return found


def sum_by(index: NDArray[np.integer], amount: Floats, size: int) -> Floats:
    """Sums of amounts by index, [size], in the order in which they come."""
    return np.bincount(index, weights=amount, minlength=size).astype(np.float64, copy=False)


def check_held(held: sparse.csr_array, columns: Sequence[str], arrays: RiskArrays, account: Sequence[str]) -> list[str]:
    """Quantities that are not finite, contracts without arrays, accounts and columns that do not fit: one line each."""
    if held.shape[1] != len(columns):
        return [f"the quantities have {held.shape[1]} columns, with {len(columns)} contracts"]
    if account and len(account) != held.shape[0]:
        return [f"the quantities have {held.shape[0]} rows, with {len(account)} accounts"]

    def holder(position: int) -> str:
        return name_of(account, int(np.searchsorted(held.indptr, position, side="right")) - 1)

    problems = [
        f"{holder(p)}: quantity {held.data[p]} of '{columns[held.indices[p]]}': give a finite number"
        for p in np.flatnonzero(~np.isfinite(held.data)).tolist()
    ]
    known, twice = set(arrays.name), Counter(columns)
    if columns is not arrays.name:
        problems += [f"'{name}' stands for {n} columns: add these up" for name, n in twice.items() if n > 1]
    if len(set(account)) < len(account):
        problems.append("two accounts have the same name: add their positions up or rename one")
    unpriced = {i for i, name in enumerate(columns) if name not in known}
    for i in sorted(unpriced & set(np.unique(held.indices).tolist())) if unpriced else ():
        first = int(np.flatnonzero(held.indices == i)[0])
        problems.append(
            f"'{columns[i]}', which {holder(first)} holds, has no risk array: add it or remove the position"
        )
    return problems


def name_of(account: Sequence[str], row: int) -> str:
    """How an account is called."""
    return f"account '{account[row]}'" if account else f"account in row {row + 1}"


def blocks(indptr: NDArray[np.integer], most: int, rows: int) -> Iterator[tuple[int, int]]:
    """Ranges of accounts with at most `most` positions (an account alone may have more) and at most `rows` accounts."""
    first, last = 0, len(indptr) - 1
    while first < last:
        fits = int(np.searchsorted(indptr, indptr[first] + most, side="right")) - 1
        stop = min(max(fits, first + 1), first + rows, last)
        yield first, stop
        first = stop


def gather(held: sparse.csr_array, first: int, stop: int, column: NDArray[np.int32], plan: Plan) -> Holdings:
    """The holdings of accounts `first` to `stop`.

    Parameters
    ----------
    held : csr_array [R, columns]
        As `clean` leaves it.
    first, stop : int
    column : ndarray [columns]
        Contract of each column, in the plan's order.
    plan : Plan
    """
    begin, end = int(held.indptr[first]), int(held.indptr[stop])
    indptr = (held.indptr[first : stop + 1] - begin).astype(np.int32)
    block = sparse.csr_array(
        (held.data[begin:end].copy(), column[held.indices[begin:end]], indptr), shape=(stop - first, len(plan.order))
    )
    block.sort_indices()
    contract, accounts = block.indices, stop - first
    row = np.repeat(np.arange(accounts), np.diff(indptr))
    commodity = plan.commodity[contract]
    new = np.ones(len(contract), dtype=bool)
    np.not_equal(commodity[1:], commodity[:-1], out=new[1:])
    new[1:] |= row[1:] != row[:-1]
    start = np.flatnonzero(new)
    group = commodity[start]
    small = group.astype(np.int16) if len(plan.minimum) < 2**15 else group  # sorted by radix
    by_commodity = np.argsort(small, kind="stable")
    place = np.empty(len(start), dtype=np.int64)
    place[by_commodity] = np.arange(len(start))
    return Holdings(
        accounts=accounts,
        quantity=block.data,
        contract=contract,
        row=row,
        start=np.append(start, len(contract)).astype(np.int32),
        place=place,
        pair=np.repeat(place, np.diff(start, append=len(contract))),
        owner=row[start][by_commodity],
        bound=np.searchsorted(group[by_commodity], np.arange(len(plan.minimum) + 1)),
    )
