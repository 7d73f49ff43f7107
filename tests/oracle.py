"""QuantLib as an independent oracle: of some random contracts, or of as many as MCVAR_CONTRACTS says."""

from __future__ import annotations

import os
from typing import Any

import pytest


def quantlib() -> Any:
    """QuantLib; without it the test is skipped."""
    return pytest.importorskip("QuantLib", reason="QuantLib is not installed: it comes with the extra `bench`")


def many(few: int) -> int:
    """How many random contracts to compare."""
    return int(os.environ.get("MCVAR_CONTRACTS", few))


def process(spot: float, rate: float, carry: float, volatility: float) -> Any:
    """A price of constant rates and volatility from QuantLib's evaluation date on."""
    ql = quantlib()
    today, count = ql.Settings.instance().evaluationDate, ql.Actual365Fixed()
    curves = (ql.YieldTermStructureHandle(ql.FlatForward(today, x, count)) for x in (rate - carry, rate))
    surface = ql.BlackConstantVol(today, ql.NullCalendar(), volatility, count)
    return ql.BlackScholesMertonProcess(
        ql.QuoteHandle(ql.SimpleQuote(spot)), *curves, ql.BlackVolTermStructureHandle(surface)
    )
