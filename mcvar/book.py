"""The book: instruments in columns, and who holds how many of them.

Instruments and quantities are separate. An engine values each instrument once and multiplies by a
sparse matrix of quantities; it sums by row and does not know what a row is.
"""

from __future__ import annotations

import difflib
from collections.abc import Sequence
from dataclasses import dataclass, replace

import numpy as np
from numpy.typing import NDArray
from scipy import sparse

from mcvar.columns import Columns
from mcvar.currencies import conversion, invertible
from mcvar.errors import InputError, SettingError
from mcvar.instruments import Instruments, take
from mcvar.market import FactorKind, Market
from mcvar.pricing.settings import DEFAULT, Pricing
from mcvar.terms import resolve_instruments

Floats = NDArray[np.float64]
NETTED = "*"  # the reserved row: the netted P&L of all accounts


@dataclass(frozen=True)
class Book:
    """I instruments and R rows that hold them.

    Parameters
    ----------
    instruments : Instruments
        Only those that somebody holds.
    quantity : csr_array [R, I]
        Signed; of whole contracts.
    row : tuple of str [R]
        Accounts, then their parents, then `*`, the netted P&L of all accounts.
    currency : tuple of str [R]
        What each row's P&L is stated in.
    convert : ndarray [R, 2]
        Price factors whose ratio S[first] / S[second] converts the row's currency to the run's; -1 stands for 1.
    kind : tuple of str [R]
        Kind of book, for tables; may be "".
    positions : int
        Lines in the position table.
    accounts : int
        The first so many rows hold positions of their own; then come parents that do not, then `*`.
    pricing : Pricing
        How contracts are priced.
    """

    instruments: Instruments
    quantity: sparse.csr_array
    row: tuple[str, ...]
    currency: tuple[str, ...]
    convert: NDArray[np.int64]
    kind: tuple[str, ...]
    positions: int
    accounts: int
    pricing: Pricing = DEFAULT


def resolve(
    instruments: Columns,
    positions: Columns,
    market: Market,
    accounts: Columns | None = None,
    *,
    pricing: Pricing = DEFAULT,
) -> Book:
    """Make a book of what people bring.

    Parameters
    ----------
    instruments : Columns
        See `mcvar.terms.resolve_instruments`.
    positions : Columns
        `account, instrument, quantity` (signed; duplicates add up) and, optional, `role` (position or collateral).
    market : Market
    accounts : Columns, optional
        `account` and, optional, `parent, currency, kind`. Parents become rows: the sum of their children. An account
        that holds nothing is one, too.
    pricing : Pricing, optional

    Raises
    ------
    InputError
        All bad rows of a table at once.

    Examples
    --------
    See the README, "Your own data".
    """
    resolved = resolve_instruments(instruments, market, pricing)
    account, instrument, quantity = _read_positions(positions, {name: i for i, name in enumerate(resolved.name)})
    names = list(dict.fromkeys(account))
    parent, currency, kind = _read_accounts(accounts, names, market, positions)
    above = {p for p in parent.values() if p}
    names = list(dict.fromkeys([*names, *(name for name in parent if name not in above)]))  # some hold nothing
    rows = list(dict.fromkeys([*names, *parent, *(p for p in parent.values() if p)]))
    index = {name: r for r, name in enumerate(rows)}
    ancestors = {name: [index[a] for a in _chain(name, parent)] for name in rows}

    at_row, at_position = [], []
    for position, name in enumerate(account):
        chain = [*ancestors[name], len(rows)]
        at_row += chain
        at_position += [position] * len(chain)
    shape = (len(rows) + 1, len(resolved))
    held = sparse.coo_array((quantity[at_position], (at_row, instrument[at_position])), shape=shape).tocsr()
    held.sum_duplicates()
    if not np.isfinite(held.data).all():
        at = held.tocoo().col[np.flatnonzero(~np.isfinite(held.data))[0]]
        raise InputError(
            positions.source, [f"the quantities of '{resolved.name[at]}' add up to infinity: correct them"]
        )
    converters = {c: conversion(market, c, market.currency) for c in {market.currency, *currency.values()} if c}
    used = np.unique(instrument)
    stated = [*(currency.get(name) or market.currency for name in rows), market.currency]
    return Book(
        instruments=take(resolved, used),
        quantity=held[:, used].tocsr(),
        row=(*rows, NETTED),
        currency=tuple(stated),
        convert=np.array([converters[c] for c in stated], dtype=np.int64),
        kind=(*(kind.get(name, "") for name in rows), ""),
        positions=len(positions),
        accounts=len(names),
        pricing=pricing,
    )


def take_rows(book: Book, rows: NDArray[np.int64]) -> Book:
    """The same instruments, held by some of the rows."""
    return replace(
        book,
        quantity=book.quantity[rows],
        row=tuple(book.row[r] for r in rows),
        currency=tuple(book.currency[r] for r in rows),
        convert=book.convert[rows],
        kind=tuple(book.kind[r] for r in rows),
    )


def rows_of(book: Book, names: Sequence[str], setting: str) -> NDArray[np.int64]:
    """Rows of the book by name, ascending.

    Raises
    ------
    SettingError
        Names that the book does not have, all of them.
    """
    problems = []
    for name in names:
        if name not in book.row:
            near = difflib.get_close_matches(name, book.row, 3, 0.5)
            problems.append(f"'{name}'" + (f" (near: {', '.join(near)})" if near else ""))
    if problems:
        raise SettingError(f"{setting} has {', '.join(problems)}, which the book does not have")
    return np.unique([book.row.index(name) for name in names])


def underlying_carry(market: Market, instruments: Instruments) -> Floats:
    """Annual carry of each price factor, for risk-neutral drift, [F]; 0 for other factors.

    The factor's own `carry`, else that of the instruments on it when they all agree.

    Raises
    ------
    SettingError
        Instruments of one underlying with different carries, naming two of them.
    """
    carry = np.where(np.isnan(market.factors.carry), 0.0, market.factors.carry)
    problems = []
    for f in market.factors.of_kind(FactorKind.price):
        if np.isfinite(market.factors.carry[f]):
            continue
        on = np.flatnonzero(instruments.underlying == f)
        dated = on[np.isfinite(instruments.years[on])]
        on = dated if len(dated) else on[:1]  # undated ones have no forward: the carry they default to will do
        if len(on) == 0:
            continue
        carry[f] = instruments.carry[on[0]]
        other = on[np.abs(instruments.carry[on] - carry[f]) > 1e-12]
        if len(other):
            a, b = on[0], other[0]
            problems.append(
                f"{market.factors.name[f]}: {instruments.name[a]} has {instruments.carry[a]:g}, "
                f"{instruments.name[b]} has {instruments.carry[b]:g}"
            )
    if problems:
        raise SettingError(
            "model.drift=risk_neutral needs one carry for each underlying, but its instruments differ: "
            + "; ".join(problems)
            + ". Give the column `carry` in the factors file, or take model.drift=zero or martingale"
        )
    return carry


def _read_positions(table: Columns, known: dict[str, int]) -> tuple[list[str], NDArray[np.int64], Floats]:
    table.check_names(("account", "instrument", "quantity"), ("role",))
    problems: list[str] = []
    account, instrument = table.texts("account"), table.texts("instrument")
    quantity = table.floats("quantity", problems)
    table.choices("role", ["position", "collateral"], problems, "position")
    for row in np.flatnonzero(~np.isfinite(quantity) & table.sound(problems)).tolist():
        said = "no quantity" if np.isnan(quantity[row]) else f"quantity {quantity[row]}"
        problems.append(
            f"{table.where(row)}: account '{account[row]}' has {said} of '{instrument[row]}': "
            "give a finite number or remove the position"
        )
    for row, (name, held) in enumerate(zip(account, instrument, strict=True)):
        if not name:
            problems.append(f"{table.where(row)}: the position in '{held}' has no account")
        elif name == NETTED:
            problems.append(f"{table.where(row)}: the account name '*' is reserved for the netted book: rename it")
        if held not in known:
            problems.append(
                f"{table.where(row)}: account '{name}' holds '{held}', which the instruments do not define: "
                "add it there or remove the position"
            )
    if len(table) == 0:
        problems.append("there is no position: the book is empty")
    if problems:
        raise InputError(table.source, problems)
    return account, np.array([known[name] for name in instrument], dtype=np.int64), quantity


def _read_accounts(
    table: Columns | None, names: Sequence[str], market: Market, positions: Columns
) -> tuple[dict[str, str], dict[str, str], dict[str, str]]:
    """Parent, currency and kind by account."""
    if table is None:
        return {}, {}, {}
    table.check_names(("account",), ("parent", "currency", "kind"))
    problems: list[str] = []
    listed, parents = table.texts("account"), table.texts("parent")
    currencies, kinds = table.texts("currency"), table.texts("kind")
    parent = dict(zip(listed, parents, strict=True))
    converters = {c: conversion(market, c, market.currency) for c in set(currencies) if c}
    first: dict[str, int] = {}
    for row, name in enumerate(listed):
        where = f"{table.where(row)}: account '{name}'"
        if not name:
            problems.append(f"{table.where(row)}: the account has no name")
        if NETTED in (name, parents[row]):
            problems.append(f"{table.where(row)}: the name '*' is reserved for the netted book: rename it")
        if first.setdefault(name, row) != row:
            problems.append(f"{where} is there twice (first in {table.where(first[name])}): remove one")
        elif name in _chain(parents[row], parent):
            problems.append(f"{where} is its own ancestor, by parent '{parents[row]}'")
        if currencies[row]:
            converter = converters[currencies[row]]
            if converter is None:
                problems.append(
                    f"{where} reports in {currencies[row]}, which no price factor converts to {market.currency}: "
                    f"add a price factor with underlying {currencies[row]} and currency {market.currency}"
                )
            elif not invertible(market, converter[::-1]):
                problems.append(f"{where} reports in {currencies[row]}, whose price could reach 0: give it shock=log")
    known = set(listed)
    problems += [f"account '{name}' of {positions.source} is not listed: add it" for name in names if name not in known]
    if problems:
        raise InputError(table.source, problems)
    return parent, dict(zip(listed, currencies, strict=True)), dict(zip(listed, kinds, strict=True))


def _chain(name: str, parent: dict[str, str]) -> list[str]:
    """An account and its ancestors, from the bottom; stops at a loop."""
    chain: list[str] = []
    while name and name not in chain:
        chain.append(name)
        name = parent.get(name, "")
    return chain
