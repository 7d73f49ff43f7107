"""A market and a book with every instrument kind, settlement and style, for the engines that must agree on them."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import numpy as np
from numpy.typing import NDArray

from mcvar.book import Book
from mcvar.market import Market

Floats = NDArray[np.float64]


def every_factor(make_market: Callable[..., Market]) -> Market:
    factors = [
        {"factor": "XYZ", "level": 100.0, "volatility": 0.4},
        {"factor": "BTC", "level": 60_000.0, "volatility": 0.7},
        {"factor": "EUR", "level": 1.1, "volatility": 0.1},
        {"factor": "SIM", "level": 50.0, "volatility": 0.5, "shock": "simple"},
        {"factor": "OIL", "level": 2.0, "volatility": 30.0, "shock": "absolute"},
        {"factor": "XYZ-V1", "kind": "vol", "underlying": "XYZ", "tenor": 0.1, "level": 0.4, "volatility": 1.0},
        {"factor": "XYZ-V2", "kind": "vol", "underlying": "XYZ", "tenor": 1.0, "level": 0.3, "volatility": 0.5},
        {"factor": "USD-R", "kind": "rate", "tenor": 0.5, "level": 0.03, "volatility": 0.01, "currency": "USD"},
        {"factor": "XYZ-C", "kind": "carry", "underlying": "XYZ", "tenor": 0.5, "level": 0.01, "volatility": 0.01},
    ]
    matrix = np.full((9, 9), 0.2)
    np.fill_diagonal(matrix, 1.0)
    return make_market(factors, correlation=matrix)


def every_kind(market: Market, make_book: Callable[..., Book]) -> Book:
    """Every kind, settlement and style; empty, one-position and full rows; rows in their own currency."""
    rows: list[dict[str, Any]] = [
        {"instrument": "cash-eur", "kind": "cash", "settlement_currency": "EUR"},
        *({"instrument": f"spot-{u}", "kind": "spot", "underlying": u} for u in ("XYZ", "EUR", "SIM", "OIL")),
        *(
            {"instrument": f"fut-{u}-{y}", "kind": "future", "underlying": u, "years": y, "carry": 0.02}
            for u in ("XYZ", "OIL")
            for y in (0.01, 0.5)
        ),
        {"instrument": "fut-btc", "kind": "future", "underlying": "BTC", "years": 0.25, "settlement": "inverse"},
        {"instrument": "perp", "kind": "perpetual", "underlying": "BTC", "settlement": "inverse", "funding": 0.1},
    ]
    for u, strikes in (("XYZ", (60, 100, 101, 150)), ("BTC", (40e3, 60e3, 1e5)), ("SIM", (45, 55)), ("OIL", (0.5, 3))):
        for k in strikes:
            for t in ("call", "put"):
                for y in (0.01, 0.3, 2.0):  # the first expires inside the horizon
                    terms = {"kind": "option", "underlying": u, "strike": k, "option_type": t, "years": y, "rate": 0.03}
                    name = f"{u}-{k}-{t}-{y}"
                    rows.append({**terms, "instrument": name, "volatility": 0.5})
                    if u == "BTC":
                        rows.append({**terms, "instrument": "inv-" + name, "volatility": 0.6, "settlement": "inverse"})
                    if u == "XYZ":
                        rows.append({**terms, "instrument": "fs-" + name, "premium_style": "futures"})
                        rows.append({**terms, "instrument": "v0-" + name, "volatility": 0.0, "multiplier": 10})
    rows += contracts(market)
    generator = np.random.default_rng(2)
    positions = [
        ("all", str(row["instrument"]), float(q)) for row, q in zip(rows, generator.normal(size=len(rows)), strict=True)
    ]
    positions += [
        ("one", "XYZ-100-put-0.3", -3.0),
        ("zero", "spot-XYZ", 0.0),
        ("coins", "inv-BTC-60000.0-call-0.3", 5.0),
    ]
    positions += [("coins", "perp", -1e5), ("euros", "spot-XYZ", 7.0), ("euros", "fut-XYZ-0.5", 2.0)]
    accounts = [
        {"account": "all", "parent": "house"}, {"account": "one", "parent": "house"}, {"account": "zero"},
        {"account": "coins", "currency": "BTC"}, {"account": "euros", "currency": "EUR", "parent": "house"},
    ]  # fmt: skip
    return make_book(market, rows, positions, accounts)


def contracts(market: Market) -> list[dict[str, Any]]:
    """Each family, its types and settlements; some expire inside the horizon, some start to average there."""
    day = np.timedelta64(1, "D")
    rows: list[dict[str, Any]] = []
    for years in (0.01, 0.3):
        common = {"underlying": "XYZ", "years": years, "rate": 0.03, "volatility": 0.5}
        coin = {**common, "underlying": "BTC", "settlement": "inverse"}
        for way, level in (("up_in", 108), ("up_out", 108), ("down_in", 93), ("down_out", 93)):
            for kind in ("call", "put"):
                barred = {"barrier_type": way, "barrier": level, "option_type": kind, "strike": 100.0}
                rows.append({**common, **barred, "kind": "barrier", "rebate": 2.0})
                rows.append({**common, **barred, "kind": "barrier", "monitoring": 1.0})
                rows.append({**coin, **barred, "kind": "barrier", "barrier": 600.0 * level, "strike": 60e3})
                rows.append({**common, **barred, "kind": "digital", "payout": "asset"})
            touch = {"barrier_type": way, "barrier": level, "cash": 5.0, "kind": "digital"}
            rows += [{**common, **touch}, {**common, **touch, "underlying": "SIM", "barrier": level / 2.0}]
            rows.append({**coin, **touch, "barrier": 600.0 * level, "payout": "cash"})
        rows.append({**common, "kind": "digital", "barrier_type": "up_in", "barrier": 105.0, "payment": "hit"})
        rows.append({**common, "kind": "barrier", **barred, "barrier": 101.0})  # knocked out before today
        for kind in ("call", "put"):
            rows.append({**common, "kind": "digital", "option_type": kind, "strike": 101.0, "dividends": years})
            rows.append({**coin, "kind": "digital", "option_type": kind, "strike": 61e3, "payout": "asset"})
            struck = {"option_type": kind, "strike": 99.0}
            for average in ("geometric", "arithmetic"):
                for start, fixings in ((-30, ""), (2, ""), (1, 20), (-5, 9)):
                    begin = market.valuation + start * day
                    so_far = 97.0 if start < 0 else ""
                    terms = {"average": average, "averaging_start": begin, "fixings": fixings, "average_so_far": so_far}
                    rows.append({**common, **struck, **terms, "kind": "asian"})
            rows.append({**coin, **terms, "kind": "asian", "option_type": kind, "strike": 60e3, "average_so_far": 59e3})
            rows.append({**common, **struck, "kind": "option", "delivery_years": years + 0.5, "carry": 0.02})
            rows.append({**common, **struck, "kind": "option", "dividends": years})
    rows.append({"kind": "future", "underlying": "XYZ", "years": 0.5, "dividends": 0.5})
    for years in (0.01, 0.3):
        early = {"kind": "option", "exercise": "american", "years": years, "volatility": 0.5}
        coin = {**early, "underlying": "BTC", "strike": 60e3}
        rows += [  # where rates move they are solved exactly, else from tables
            {**early, "underlying": "XYZ", "option_type": "put", "strike": 100.0, "rate": 0.03, "carry": 0.01},
            *({**coin, "option_type": way, "settlement": "inverse", "rate": 0.02} for way in ("put", "call")),
            {**coin, "option_type": "put", "premium_style": "futures", "carry": 0.05},
        ]
    for at, row in enumerate(rows):
        row["instrument"] = f"{row['kind']}-{at}"
        year = np.timedelta64(365 * 86400 * 10**6, "us")
        if "dividends" in row:
            first, last = (market.valuation + part * row["dividends"] * year for part in (0.5, 0.9))
            row["dividends"] = f"{first}:0.5 {last}:1.5"
        if "delivery_years" in row:
            row["delivery"] = market.valuation + row.pop("delivery_years") * year
    return rows


def gross_value(market: Market, book: Book, value_0: Floats) -> Floats:
    """Sum of |quantity| x value of each row; for what is worth nothing today, x the forward it is on."""
    level = market.factors.level[np.maximum(book.instruments.underlying, 0)]
    notional = (
        np.where(book.instruments.margined, np.where(book.instruments.inverse, 1.0, level), 0.0)
        * book.instruments.multiplier
    )
    return np.asarray(abs(book.quantity) @ (np.abs(value_0) + notional))
