"""Cash dividends: what those that an underlying pays until an instrument expires are worth today.

The spot-adjusted model: options and futures are on the price less the value of the dividends to come (Haug, "The
Complete Guide to Option Pricing Formulas", 2007, 9.1), for early exercise too. Moves of the price are total
returns, so what is paid within the horizon is part of them, and the value of all dividends grows at the rate until
then.
"""

from __future__ import annotations

import math

import numpy as np
from numpy.typing import NDArray

from mcvar.columns import parse_time
from mcvar.draft import Draft

Floats = NDArray[np.float64]
_FORM = "write date:amount pairs such as 2026-03-13:0.5 2026-06-12:0.5"


def dividend_values(d: Draft, rate: Floats) -> Floats:
    """Today's value of each row's `dividends`, discounted at its rate [n]; what is wrong with them is refused."""
    value = np.zeros(len(d.name))
    for row, text in enumerate(d.dividends):
        if not text or not d.sound[row]:
            continue
        last = d.delivery[row] if not np.isnat(d.delivery[row]) else d.expiry[row]
        for pair in text.replace(";", " ").split():
            day, _, cash = pair.rpartition(":")
            try:
                time, amount = parse_time(day), float(cash)
            except ValueError:
                _refuse(d, row, f"has dividends '{text}': {_FORM}")
                break
            if not (amount > 0 and math.isfinite(amount)):
                _refuse(d, row, f"has a dividend of {amount:g}: it must be positive and finite")
            elif time <= d.market.valuation:
                _refuse(d, row, f"has a dividend at {time}Z, not after the valuation {d.market.valuation}Z: remove it")
            elif time > last:
                _refuse(d, row, f"has a dividend at {time}Z, after its expiry {last}Z: remove it")
            value[row] += amount * math.exp(-rate[row] * float(d.market.years_to(np.array([time]))[0]))
    d.next_stage()
    return value


def _refuse(d: Draft, row: int, said: str) -> None:
    d.refuse(np.arange(len(d.name)) == row, lambda i: said)
