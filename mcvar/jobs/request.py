"""What job=explain is asked: a row of the run, positions to add, and the memory that this takes."""

from __future__ import annotations

import difflib
import math
from typing import Any

from mcvar.book import Book
from mcvar.engines.host import free_memory
from mcvar.errors import CapacityError, SettingError

_SHARE = 0.5  # of the free memory
_COPIES = 3  # of the losses of all positions, at the peak


def row_of(book: Book, account: str) -> int:
    """The row of an account, a parent or `*`.

    Raises
    ------
    SettingError
        No name, or one that the book does not have.

    Examples
    --------
    >>> from mcvar import build
    >>> from mcvar.config import Config
    >>> book = build.inputs(Config()).book
    >>> row_of(book, "*") == len(book.row) - 1
    True
    """
    if not account:
        raise SettingError("job.account is not set: give a row of the run, job.account=NAME, a parent or * included")
    if account not in book.row:
        near = difflib.get_close_matches(account, book.row, 3, 0.5) or book.row[:3]
        raise SettingError(f"job.account is '{account}', which the run does not have: it has {', '.join(near)}, ...")
    return book.row.index(account)


def positions_of(add: Any, book: Book) -> list[tuple[str, float]]:
    """Instruments and quantities of `NAME:QUANTITY`, or of a list of these; None: no position.

    Raises
    ------
    SettingError
        Text of another form, or an instrument that the book does not have.

    Examples
    --------
    >>> from mcvar import build
    >>> from mcvar.config import Config
    >>> positions_of(["SPX-2019-03-15-F:-10"], build.inputs(Config()).book)
    [('SPX-2019-03-15-F', -10.0)]
    """
    found = []
    for text in [] if add is None else add if isinstance(add, list | tuple) else [add]:
        name, _, amount = str(text).rpartition(":")
        try:
            quantity = float(amount)
        except ValueError:
            quantity = math.nan
        if not name or not math.isfinite(quantity):
            raise SettingError(f"job.add has {text!r}: give NAME:QUANTITY, an instrument of the book and a number")
        if name not in book.instruments.name:
            near = difflib.get_close_matches(name, book.instruments.name, 3, 0.5)
            like = f" (it has {', '.join(near)})" if near else ""
            raise SettingError(
                f"job.add has '{name}', which no account of the run holds{like}: "
                "an instrument is known to a run if some account has a line with it, be it of quantity 0"
            )
        found.append((name, quantity))
    return found


def check_memory(positions: int, kept: int, least: int, memory_gb: float) -> None:
    """Refuse an account whose losses do not fit.

    Parameters
    ----------
    positions, kept : int
        P and K.
    least : int
        How many losses the measure that reads the fewest does.
    memory_gb : float
        0: half of what is free.

    Raises
    ------
    CapacityError
        The message says whether fewer losses of the run, or fewer positions, would fit.

    Examples
    --------
    >>> check_memory(10_000, 1_000, 100, 0.1)
    Traceback (most recent call last):
    mcvar.errors.CapacityError: 1000 losses of 10000 positions take 0.24 of 0.1 GB: raise executor.memory_gb to 0.252 \
or more, or run again with output.tail_rows=416 or fewer
    """
    one = 8 * _COPIES * positions
    budget = int(memory_gb * 1e9) if memory_gb else int(_SHARE * free_memory())
    if one * kept <= budget:
        return
    fits = budget // one
    other = f"run again with output.tail_rows={fits} or fewer"
    if fits < least:
        other = "explain a row with fewer positions, as job.account=NAME of one of those that it adds up"
    raise CapacityError(
        f"{kept} losses of {positions} positions take {one * kept / 1e9:.3g} of {budget / 1e9:.3g} GB: raise "
        f"executor.memory_gb to {1.05 * one * kept / 1e9:.3g} or more, or {other}"
    )
