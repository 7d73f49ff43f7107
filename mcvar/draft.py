"""The instrument table half read: its columns with blanks as NaN, NaT or their default, and what is wrong so far.

Checks come in stages; a row that one stage refuses is left out of the next, so that each bad row is
reported once, with its cause.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping, Sequence
from itertools import islice

import numpy as np
from numpy.typing import NDArray

from mcvar.columns import Columns
from mcvar.currencies import conversion
from mcvar.instruments import Kind
from mcvar.market import Market
from mcvar.pricing.settings import Pricing

Floats = NDArray[np.float64]
Mask = NDArray[np.bool_]

REQUIRED = ("instrument", "kind")
OPTIONAL = (
    "underlying", "option_type", "strike", "expiry", "exercise", "multiplier", "settlement", "quote",
    "settlement_currency", "volatility", "rate", "carry", "forward", "price", "commodity", "premium_style", "funding",
    "delivery", "dividends",
)  # fmt: skip


class Draft:
    """The columns of an instrument table, [n] each.

    Parameters
    ----------
    table : Columns
    market : Market
    pricing : Pricing
    numbers, times : sequence of str
        Columns of families of contracts.
    choices : mapping of str to sequence of str
        Columns of families that hold one of some words; blank is the first.
    """

    def __init__(
        self,
        table: Columns,
        market: Market,
        pricing: Pricing,
        numbers: Sequence[str] = (),
        times: Sequence[str] = (),
        choices: Mapping[str, Sequence[str]] | None = None,
    ) -> None:
        words = choices or {}
        table.check_names(REQUIRED, (*OPTIONAL, *numbers, *times, *words))
        self.table, self.market, self.pricing, self.problems = table, market, pricing, list[str]()
        problems = self.problems
        self.name = table.texts("instrument")
        self.kinds = table.choices("kind", [k.name for k in Kind], problems, "")
        types = table.choices("option_type", ["", "call", "put"], problems, "")
        self.american = _are(table.choices("exercise", ["european", "american"], problems, "european"), "american")
        self.inverse = _are(table.choices("settlement", ["linear", "inverse"], problems, "linear"), "inverse")
        self.futures_style = _are(
            table.choices("premium_style", ["upfront", "futures"], problems, "upfront"), "futures"
        )
        self.expiry, self.delivery = table.times("expiry", problems), table.times("delivery", problems)
        self.strike = table.floats("strike", problems)
        self.multiplier = table.floats("multiplier", problems, 1.0)
        self.volatility, self.price = table.floats("volatility", problems), table.floats("price", problems)
        self.rate, self.carry = table.floats("rate", problems), table.floats("carry", problems)
        self.forward, self.funding = table.floats("forward", problems), table.floats("funding", problems)
        self.dividends = table.texts("dividends")
        self.numbers = {name: table.floats(name, problems) for name in numbers}
        self.times = {name: table.times(name, problems) for name in times}
        self.words = {
            name: np.array(table.choices(name, ["", *options], problems, ""), dtype=object)
            for name, options in words.items()
        }
        self.underlyings, self.quotes = table.texts("underlying"), table.texts("quote")
        self.kind = np.array([Kind.__members__.get(k, -1) for k in self.kinds], dtype=np.int64)
        self.sign = np.array([{"call": 1.0, "put": -1.0}.get(t, 0.0) for t in types], dtype=np.float64)
        self.years = market.years_to(self.expiry)
        self.delivery_years = np.where(np.isnat(self.delivery), np.nan, market.years_to(self.delivery))
        self.prices = market.price_factor()
        self.underlying = np.array(
            [
                -1 if kind == Kind.cash else self.prices.get(u, -2)
                for u, kind in zip(self.underlyings, self.kind, strict=True)
            ],
            dtype=np.int64,
        )
        level = market.factors.level
        self.spot = np.where(self.underlying >= 0, level[np.maximum(self.underlying, 0)], np.nan)
        self.quote = [
            q or (market.factors.currency[u] if u >= 0 else "")
            for q, u in zip(self.quotes, self.underlying, strict=True)
        ]
        self.settle = [
            c or (market.currency if kind == Kind.cash else underlying if inverse else quote)
            for c, kind, underlying, inverse, quote in zip(
                table.texts("settlement_currency"), self.kind, self.underlyings, self.inverse, self.quote, strict=True
            )
        ]
        self.convert = {c: conversion(market, c, market.currency) for c in set(self.settle)}
        self.next_stage()

    def of(self, *kinds: Kind) -> Mask:
        """The rows of some kinds."""
        return np.isin(self.kind, kinds)

    def filled(self, name: str) -> Mask:
        """The rows with something in a column."""
        return np.array([bool(cell) for cell in self.table.texts(name)], dtype=bool)

    def next_stage(self) -> None:
        """From here on, leave out the rows that are refused already."""
        self.sound = self.table.sound(self.problems)

    def refuse(self, mask: Mask, message: Callable[[int], str]) -> None:
        """Note a problem for each row of the mask that is sound so far."""
        for row in np.flatnonzero(mask & self.sound):
            self.problems.append(f"{self.table.where(row)}: instrument '{self.name[row]}' {message(int(row))}")

    def rows(self, test: Callable[[int], bool]) -> Mask:
        """The rows that pass a test."""
        return np.array([test(row) for row in range(len(self.name))], dtype=bool)


def some(names: Iterable[str]) -> str:
    """The first ten of some names, for a message."""
    first = list(islice(names, 11))
    return ", ".join(first[:10]) + (", ..." if len(first) > 10 else "") if first else "none"


def _are(cells: list[str], value: str) -> Mask:
    return np.array([cell == value for cell in cells], dtype=bool)
