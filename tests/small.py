"""A small market and book: accounts with options, one without risk, and one that can lose no more than its premium."""

from __future__ import annotations

from collections.abc import Callable

from mcvar.book import Book
from mcvar.market import Market


def market(make_market: Callable[..., Market]) -> Market:
    factors = [
        {"factor": "A", "level": 100.0, "volatility": 0.3},
        {"factor": "B", "level": 50.0, "volatility": 0.5},
        {"factor": "A-V", "kind": "vol", "underlying": "A", "tenor": 0.25, "level": 0.3, "volatility": 0.8},
    ]
    return make_market(factors, correlation=[[1.0, 0.4, -0.5], [0.4, 1.0, -0.2], [-0.5, -0.2, 1.0]])


def book(market: Market, make_book: Callable[..., Book]) -> Book:
    """Rows: mixed, short, premium (a call that hardly ever ends in the money), still, and the netted one."""
    option = {"kind": "option", "underlying": "A", "volatility": 0.3, "rate": 0.02}
    rows = [
        {"instrument": "A", "kind": "spot", "underlying": "A"},
        {"instrument": "B", "kind": "spot", "underlying": "B"},
        {**option, "instrument": "C", "option_type": "call", "strike": 105.0, "years": 0.3},
        {**option, "instrument": "P", "option_type": "put", "strike": 95.0, "years": 0.2},
        {**option, "instrument": "far", "option_type": "call", "strike": 101.0, "years": 0.01},
    ]
    positions = [
        ("mixed", "A", 3.0), ("mixed", "B", -4.0), ("mixed", "C", 5.0),
        ("short", "C", -10.0), ("short", "P", -20.0), ("premium", "far", 2.0), ("still", "A", 0.0),
    ]  # fmt: skip
    return make_book(market, rows, positions)
