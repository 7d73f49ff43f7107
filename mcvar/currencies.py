"""Currencies: which price factors turn one into another."""

from __future__ import annotations

from mcvar.market import Market, Shock


def conversion(market: Market, currency: str, reporting: str) -> tuple[int, int] | None:
    """Price factors (first, second) with S[first] / S[second] units of `reporting` per unit of `currency`.

    Returns
    -------
    (int, int) or None
        -1 stands for the constant 1; None when the factors do not connect the two.
    """
    if currency == reporting:
        return -1, -1
    prices, quote = market.price_factor(), market.factors.currency
    up, down = prices.get(currency, -1), prices.get(reporting, -1)
    if up >= 0 and quote[up] == reporting:
        return up, -1
    if down >= 0 and quote[down] == currency:
        return -1, down
    if up >= 0 and down >= 0 and quote[up] == quote[down]:
        return up, down
    return None


def invertible(market: Market, converter: tuple[int, int] | None) -> bool:
    """Whether the price that a conversion divides by stays positive."""
    return converter is None or converter[1] < 0 or market.factors.shock[converter[1]] is Shock.log
