"""A market as the tables that it could be read from: factors, correlation, history."""

from __future__ import annotations

from typing import Any

import numpy as np
from numpy.typing import NDArray

from mcvar.columns import Columns
from mcvar.history import History
from mcvar.market import Market


def factor_table(market: Market) -> Columns:
    """For `mcvar.market.read_factors`: every level and volatility as it was resolved.

    Examples
    --------
    >>> from mcvar import correlation, market
    >>> factors, volatility = market.read_factors(Columns.of("f", factor=["A"], kind=["price"], level=[1 / 3]))
    >>> estimate = correlation.Estimate(np.eye(1), np.array([0.1 + 0.2]))
    >>> made = market.build(factors=factors, volatility=volatility, estimate=estimate,
    ...     valuation=np.datetime64("2026-01-02", "us"), currency="USD")
    >>> again, volatility = market.read_factors(factor_table(made))
    >>> float(again.level[0]) == 1 / 3, volatility.tolist()
    (True, [0.30000000000000004])
    """
    f = market.factors
    return Columns.of(
        "factors", factor=list(f.name), kind=[kind.value for kind in f.kind], underlying=list(f.underlying),
        tenor=f.tenor, level=f.level, volatility=market.volatility, shock=[shock.value for shock in f.shock],
        currency=list(f.currency), rate=f.rate, carry=f.carry,
    )  # fmt: skip


def correlation_table(market: Market) -> Columns:
    """For `mcvar.correlation.read_matrix`."""
    names = market.factors.name
    columns: dict[str, Any] = dict(zip(names, market.correlation.T, strict=True))
    return Columns.from_mapping("correlation", {"factor": list(names), **columns})


def history_table(history: History) -> Columns:
    """For `mcvar.history.read_history`."""
    levels: dict[str, NDArray[Any]] = dict(zip(history.names, history.levels.T, strict=True))
    return Columns.from_mapping("history", {"date": np.asarray(history.dates), **levels})
