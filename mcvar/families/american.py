"""American options: by a price table, or solved exactly each time."""

from __future__ import annotations

from dataclasses import replace
from functools import partial

import numpy as np
from numpy.typing import NDArray

from mcvar.draft import Draft
from mcvar.families.family import Clock, Family
from mcvar.instruments import Instruments
from mcvar.pricing.american import ACCURATE, FAST, Scheme, american
from mcvar.pricing.american_table import PremiumTable
from mcvar.pricing.scene import Scene, Terms
from mcvar.pricing.settings import Accuracy, AmericanMethod, Pricing

Floats = NDArray[np.float64]
Mask = NDArray[np.bool_]


def never_exercised(instruments: Instruments) -> Mask:
    """Where early exercise is worth nothing at today's rates, [I].

    With r the discount rate and q = r - b the yield, a put is held to its end where r <= 0 and q >= r; a call is a
    put with the two exchanged (Andersen, Lake and Offengenden 2016).
    """
    r, q = _as_puts(instruments)
    return np.asarray((r <= 0) & (q >= r))


def tabulated(instruments: Instruments) -> Mask:
    """Where a table of premiums can be built: with one exercise boundary, and a volatility, [I]."""
    r, q = _as_puts(instruments)
    return np.asarray(((r > 0) | ((r == 0) & (q < 0))) & (instruments.volatility > 0))


def american_family(pricing: Pricing, *, table: bool) -> Family:
    """The family of options that are priced by tables, or exactly."""
    scheme = FAST if pricing.accuracy is Accuracy.fast else ACCURATE
    if table and pricing.american is AmericanMethod.table:
        return replace(_TABLE, table=partial(_table, scheme), exact=partial(_exact, ACCURATE))
    fast = np.full((1, 1), float(scheme is FAST))
    return replace(_EXACT, value=partial(_exact, scheme), record=lambda terms, clock: {"fast": fast})


def _as_puts(instruments: Instruments) -> tuple[Floats, Floats]:
    """Rate and yield of each option, of calls exchanged."""
    i = instruments
    rate = i.rate + np.where(i.inverse, i.carry, 0.0)
    dividend_yield = rate - np.where(np.isfinite(i.delivery), 0.0, i.carry)
    return np.where(i.sign > 0, dividend_yield, rate), np.where(i.sign > 0, rate, dividend_yield)


def _resolve(d: Draft, here: Mask) -> dict[str, Floats]:
    return {}


def _exact(scheme: Scheme, terms: Terms, scene: Scene) -> Floats:
    volatility, rate, carry = scene.market(terms)
    return american(scene.spot, terms["strike"], volatility, rate, carry, scene.years, terms["sign"], scheme)


def _table(scheme: Scheme, terms: Terms, years: float) -> PremiumTable:
    """The table of options that share rate, carry and type."""
    call, rate = bool(terms["sign"][0, 0] > 0), float(terms["rate"][0, 0])
    own, other = rate * years, (rate - float(terms["carry"][0, 0])) * years
    rho, kappa = (other, own) if call else (own, other)
    smallest = float((terms["volatility"] * np.sqrt(years)).min())
    return PremiumTable.build(rho, kappa, 2.0 ** np.floor(np.log2(smallest)), scheme)


def _record(terms: Terms, clock: Clock) -> dict[str, Floats]:
    deviation = terms["volatility"] * np.sqrt(terms["left"])
    return {"log_strike": np.log(terms["strike"]), "log_deviation": np.log(deviation), "deviation": deviation}


def _from_table(table: PremiumTable, terms: Terms, scene: Scene) -> Floats:
    strike, call, alive = terms["strike"], terms["sign"] > 0, ~(scene.spot <= 0)
    spot = np.where(alive, scene.spot, 1.0)
    own, z = np.where(call, spot, strike), np.where(call, 1.0, -1.0) * (terms["log_strike"] - np.log(spot))
    value = own * table.put(z, terms["deviation"] * scene.volatility)
    late = np.exp(-table.rho) * (strike - scene.spot * np.exp(table.rho - table.kappa))
    return np.where(alive, value, np.where(call, 0.0, np.maximum(strike - scene.spot, late)))


_EXACT = Family(
    number=8, resolve=_resolve, watch=lambda term, clock: None, record=lambda terms, clock: {}, value=_exact
)
_TABLE = Family(number=9, resolve=_resolve, watch=lambda term, clock: None, record=_record, value=_from_table)
