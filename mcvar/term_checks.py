"""What can be wrong with a row of the instrument table, by itself and in its market."""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

from mcvar.currencies import invertible
from mcvar.draft import Draft, some
from mcvar.families import FAMILIES
from mcvar.instruments import Kind
from mcvar.market import Shock

Floats = NDArray[np.float64]
Mask = NDArray[np.bool_]


def check_terms(d: Draft) -> None:
    """What is wrong with a row by itself."""
    option, future, perpetual = d.of(Kind.option), d.of(Kind.future), d.of(Kind.perpetual)
    contract = d.of(Kind.option, *FAMILIES)  # whatever has an optional payoff
    struck = contract & ~d.of(Kind.digital)  # a touch has no strike; see its family
    first: dict[str, int] = {}
    for row, name in enumerate(d.name):
        first.setdefault(name, row)
    d.refuse(d.rows(lambda i: not d.name[i]), lambda i: "has no name")
    d.refuse(
        d.rows(lambda i: first[d.name[i]] != i),
        lambda i: f"is there twice (first in {d.table.where(first[d.name[i]])}): remove one",
    )
    d.refuse(
        d.underlying == -2,
        lambda i: f"has underlying '{d.underlyings[i]}', which no price factor has: there are {some(d.prices)}",
    )
    d.refuse(struck & (d.sign == 0), lambda i: f"is {_a(d, i)} without an option_type: write call or put")
    d.refuse(contract & np.isnat(d.expiry), lambda i: f"is {_a(d, i)} without an expiry: give it in ISO, UTC")
    d.refuse(struck & np.isnan(d.strike), lambda i: f"is {_a(d, i)} without a strike: give a positive number")
    d.refuse(d.strike <= 0, lambda i: f"has strike {d.strike[i]:g}: it must be positive")
    d.refuse(
        d.years <= 0,
        lambda i: (
            f"expired at {d.expiry[i]}Z, not after the valuation {d.market.valuation}Z: remove it, or value earlier"
        ),
    )
    for what, there, allowed in (
        ("an option_type", d.sign != 0, contract),
        ("a strike", ~np.isnan(d.strike), contract),
        ("an expiry", ~np.isnat(d.expiry), contract | future),
        ("exercise american: only options can be exercised early", d.american, option),
        ("premium_style futures", d.futures_style, option),
        ("settlement inverse", d.inverse, contract | future | perpetual),
        ("a delivery: it is that of the future that an option or a digital is on", ~np.isnat(d.delivery), _terminal(d)),
        ("dividends", d.filled("dividends"), _terminal(d) | future),
        ("a funding", ~np.isnan(d.funding), perpetual),
        ("a volatility", ~np.isnan(d.volatility), contract),
        ("a price", ~np.isnan(d.price), option),
    ):
        _refuse_for_kind(d, there & ~allowed, what)
    for name in {name for family in FAMILIES.values() for name in family.columns}:
        owners = d.of(*(kind for kind, family in FAMILIES.items() if name in family.columns))
        article = "an" if name[0] in "aeiou" else "a"
        _refuse_for_kind(d, d.filled(name) & ~owners, f"{article} {name}")
    d.refuse(
        ~(np.isfinite(d.multiplier) & (d.multiplier > 0)),
        lambda i: f"has multiplier {d.multiplier[i]:g}: it must be positive and finite; sell by a negative quantity",
    )
    for name in ("strike", "volatility", "price", "rate", "carry", "forward", "funding"):
        _check_number(d, name, getattr(d, name), signed=name not in ("volatility", "price"))
    d.refuse(
        ~np.isnan(d.volatility) & ~np.isnan(d.price),
        lambda i: "has both a volatility and a price: the price would be inverted for the volatility; leave one blank",
    )
    d.refuse(
        ~np.isnan(d.carry) & ~np.isnan(d.forward),
        lambda i: "has both a carry and a forward: the carry follows from the forward; leave one blank",
    )
    d.refuse(
        ((future & ~np.isnan(d.carry)) | ~np.isnan(d.forward)) & np.isnat(d.expiry),
        lambda i: (
            f"has a {'carry' if np.isnan(d.forward[i]) else 'forward'} but no expiry to count it to: leave it blank, "
            "or give an expiry"
        ),
    )
    d.refuse(
        d.delivery < d.expiry,
        lambda i: f"is on a future delivered at {d.delivery[i]}Z, before its own expiry {d.expiry[i]}Z: correct one",
    )
    d.refuse(
        d.inverse & (d.delivery > d.expiry),
        lambda i: (
            f"is inverse and on a future delivered at {d.delivery[i]}Z, after its own expiry {d.expiry[i]}Z: give the "
            "future a price factor of its own, and leave delivery blank"
        ),
    )
    d.refuse(
        (contract | future) & d.filled("dividends") & np.isnat(d.expiry),
        lambda i: "has dividends, but no expiry to count them to",
    )
    d.refuse(d.filled("dividends") & d.inverse, lambda i: "is inverse: a coin pays no cash dividends; leave them blank")
    d.next_stage()


def _refuse_for_kind(d: Draft, mask: Mask, what: str) -> None:
    d.refuse(mask, lambda i: f"of kind {d.kinds[i]} cannot have {what}")


def _a(d: Draft, i: int) -> str:
    return f"{'an' if d.kinds[i][0] in 'aeiou' else 'a'} {d.kinds[i]}"


def _terminal(d: Draft) -> Mask:
    """Options and digitals whose payoff depends on the price at the end alone, or on its way to an early exercise."""
    barred = d.filled("barrier") | d.filled("barrier_type")
    return d.of(Kind.option) | (d.of(Kind.digital) & ~barred)


def _check_number(d: Draft, name: str, number: Floats, *, signed: bool) -> None:
    d.refuse(np.isinf(number), lambda i: f"has {name} {number[i]:g}: it must be finite")
    if not signed:
        d.refuse(number < 0, lambda i: f"has {name} {number[i]:g}: it must not be negative")


def check_settlement(d: Draft) -> None:
    """What is wrong with a row in this market: its price, its currencies, what converts them."""
    factors, cash = d.market.factors, d.of(Kind.cash)
    d.refuse(
        (d.of(Kind.option, *FAMILIES) | d.inverse) & ~(d.spot > 0),
        lambda i: f"needs a positive price of {d.underlyings[i]}, which is {d.spot[i]:g}",
    )
    d.refuse(
        ~np.isnan(d.forward) & ~((d.forward > 0) & (d.spot > 0)),
        lambda i: f"has forward {d.forward[i]:g} on spot {d.spot[i]:g}: both must be positive to give a carry",
    )
    d.refuse(
        d.inverse & d.rows(lambda i: d.underlying[i] >= 0 and factors.shock[d.underlying[i]] is not Shock.log),
        lambda i: (
            f"is inverse, but {d.underlyings[i]} moves by {factors.shock[d.underlying[i]].value} shocks and could "
            "reach 0, where a coin payoff is infinite: give the factor shock=log"
        ),
    )
    d.refuse(
        cash & d.rows(lambda i: any(c not in ("", d.settle[i]) for c in (d.underlyings[i], d.quotes[i]))),
        lambda i: (
            f"is cash in {d.settle[i]}, but has underlying '{d.underlyings[i]}' and quote '{d.quotes[i]}': "
            "write its currency in the column settlement_currency and leave those two blank"
        ),
    )
    d.refuse(
        d.rows(lambda i: d.underlying[i] >= 0 and d.quote[i] != factors.currency[d.underlying[i]]),
        lambda i: (
            f"is quoted in {d.quote[i]}, but the factor of {d.underlyings[i]} is in "
            f"{factors.currency[d.underlying[i]]}: quantos are not supported; give both one currency"
        ),
    )
    same = d.rows(lambda i: d.settle[i] == d.quote[i])
    d.refuse(
        ~d.inverse & ~cash & ~same,
        lambda i: f"is linear and quoted in {d.quote[i]} but settles in {d.settle[i]}: quantos are not supported",
    )
    d.refuse(
        d.inverse & same,
        lambda i: f"is inverse but settles in its quote currency {d.settle[i]}: give the coin as settlement_currency",
    )
    d.refuse(
        d.rows(lambda i: d.convert[d.settle[i]] is None),
        lambda i: (
            f"settles in {d.settle[i]}, which no price factor converts to {d.market.currency}: "
            f"add a price factor with underlying {d.settle[i]} and currency {d.market.currency}"
        ),
    )
    d.refuse(
        d.rows(lambda i: not invertible(d.market, d.convert[d.settle[i]])),
        lambda i: (
            f"settles in {d.settle[i]}: converting to {d.market.currency} divides by the price of {d.market.currency}, "
            "which could reach 0: give its factor shock=log"
        ),
    )
    d.next_stage()
