"""Contingencies of margin systems: small named rules beside the scan grid, each a charge by account and commodity.

`per_contract`   an amount for each contract and unit of its multiplier (TIMS)
`roll_shock`     net delta of each expiry times a move of its basis (Deribit)
`delta_shock`    net delta times a shock that grows with it (Deribit)
`short_options`  a part of the underlying's price for each short option (Deribit, Derive)
`linear`         a part of the underlying's price for each future and perpetual (Derive)
`minimum_delta`  a part of the net and one of the hedged delta (Paradex)
`funding`        what perpetuals are expected to pay over some hours (Paradex)
"""

from __future__ import annotations

import inspect
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray
from scipy import sparse

from mcvar.errors import SettingError
from mcvar.instruments import Kind
from mcvar.market import DAYS_PER_YEAR
from mcvar.scan.exchange.grid import Rule
from mcvar.scan.per import Per
from mcvar.scan.pricing.contracts import Contracts, linear

Floats = NDArray[np.float64]
HOURS = 24 * DAYS_PER_YEAR  # of a year


def per_contract(contracts: Contracts, held: sparse.csr_array, *, amount: Per, options_only: bool = True) -> Floats:
    """`amount` for each contract, long or short, times its multiplier, in the contract's currency, [R, C].

    Source: the minimum of OCC's customer portfolio margin, 37.5 cents x multiplier.

    Examples
    --------
    >>> from mcvar.scan.exchange.example import example
    >>> per_contract(*example(), amount=Per({"X": 0.375})).tolist()  # 2 options of 100 each
    [[75.0]]
    """
    return by_commodity(contracts, abs(held), counted(contracts, options_only) * number(amount, contracts))


def roll_shock(contracts: Contracts, held: sparse.csr_array, *, least: Per, risk: Per) -> Floats:
    """Sum over expiries of |net delta| max(least, risk T), [R, C]; T is 0 for perpetuals.

    Source: Deribit, cross portfolio margin: `min_annualised_move` and `annualised_move_risk`.

    Examples
    --------
    >>> from mcvar.scan.exchange.example import example
    >>> contracts, held = example()  # 1,000 USD of delta for ever, and -60 x 10 in half a year
    >>> roll_shock(contracts, held, least=Per({"X": 0.01}), risk=Per({"X": 0.1})).tolist()  # 10 + 600 x 5 %
    [[40.0]]
    """
    each, key, move = rolls(contracts, least, risk)
    return grouped(contracts, held, each, key, np.abs, move)


def delta_shock(contracts: Contracts, held: sparse.csr_array, *, threshold: float, most: float) -> Floats:
    """|D| min(most, most |D| / threshold) with D the commodity's net delta in the reporting currency, [R, C].

    Source: Deribit, cross portfolio margin, which names the threshold and the most; that it is linear between is
    assumed.

    Examples
    --------
    >>> from mcvar.scan.exchange.example import example
    >>> delta_shock(*example(), threshold=800.0, most=0.1).tolist()  # 1,000 - 600 are half of the threshold
    [[20.0]]
    """
    net = np.abs(by_commodity(contracts, held, contracts.units * contracts.spot))
    return net * np.minimum(most, most * net / threshold)


def short_options(
    contracts: Contracts, held: sparse.csr_array, *, part: Per, amount: Per | None = None, gross: bool = False
) -> Floats:
    """(`part` of the underlying's price + `amount`) for each unit that options are short, [R, C].

    Net of what is long at the same expiry and strike; `gross`: each contract by itself. `amount` is in the contract's
    currency. Source: Derive's contingency of options; Deribit's of short options.

    Examples
    --------
    >>> from mcvar.scan.exchange.example import example
    >>> short_options(*example(), part=Per({"X": 0.02})).tolist()  # 200 units at 10
    [[40.0]]
    """
    each, key, price = shorts(contracts, part, amount, gross)
    return grouped(contracts, held, each, key, _short, price)


def linear_positions(
    contracts: Contracts, held: sparse.csr_array, *, part: Per, perpetuals_only: bool = False
) -> Floats:
    """`part` of the underlying's price for each unit of it that futures and perpetuals are on, [R, C].

    Source: Derive's contingency of perpetuals and futures.

    Examples
    --------
    >>> from mcvar.scan.exchange.example import example
    >>> linear_positions(*example(), part=Per({"X": 0.03})).tolist()  # 100 perpetuals at 10
    [[30.0]]
    """
    return by_commodity(contracts, abs(held), exposed(contracts, perpetuals_only) * number(part, contracts))


def minimum_delta(contracts: Contracts, held: sparse.csr_array, *, net: float, hedged: float) -> Floats:
    """`net` |D| + `hedged` (G - |D|) / 2 with D the net and G the gross delta in the reporting currency, [R, C].

    Source: Paradex, portfolio margin: 2 % of the net and 1 % of the hedged delta, times the spot.

    Examples
    --------
    >>> from mcvar.scan.exchange.example import example
    >>> minimum_delta(*example(), net=0.02, hedged=0.01).tolist()  # D = 1,000 - 600, G = 1,600: 8 + 6
    [[14.0]]
    """
    total, gross = deltas(contracts, held)
    return net * total + hedged * 0.5 * (gross - total)


def funding(contracts: Contracts, held: sparse.csr_array, *, hours: float) -> Floats:
    """What a commodity's perpetuals pay in funding over `hours`, at their annual rates, net and at least 0, [R, C].

    Source: Paradex, portfolio margin, which adds expected funding; netting within a coin is assumed.

    Examples
    --------
    >>> from mcvar.scan.exchange.example import example
    >>> funding(*example(), hours=87.6).round(9).tolist()  # 1,000 at 8.76 % a year for a hundredth of it
    [[0.876]]
    """
    return np.maximum(by_commodity(contracts, held, paid(contracts)) * hours / HOURS, 0.0)


@dataclass(frozen=True)
class Contingency:
    """A rule, and what its settings are: `Per`, a number for each commodity; `float`; `bool`."""

    charge: Callable[..., Floats]
    settings: Mapping[str, type]

    @property
    def needed(self) -> list[str]:
        """The settings without a default."""
        told = inspect.signature(self.charge).parameters
        return [name for name in self.settings if told[name].default is inspect.Parameter.empty]


RULES: Mapping[str, Contingency] = {
    "per_contract": Contingency(per_contract, {"amount": Per, "options_only": bool}),
    "roll_shock": Contingency(roll_shock, {"least": Per, "risk": Per}),
    "delta_shock": Contingency(delta_shock, {"threshold": float, "most": float}),
    "short_options": Contingency(short_options, {"part": Per, "amount": Per, "gross": bool}),
    "linear": Contingency(linear_positions, {"part": Per, "perpetuals_only": bool}),
    "minimum_delta": Contingency(minimum_delta, {"net": float, "hedged": float}),
    "funding": Contingency(funding, {"hours": float}),
}


def charge(rule: Rule, contracts: Contracts, held: sparse.csr_array) -> Floats:
    """What a rule charges, in the reporting currency, [R, C].

    Examples
    --------
    >>> list(problems_of(Rule("roll_shock", settings={"least": 0.01, "most": 2.0})))
    ['contingency roll_shock misses risk', 'contingency roll_shock does not know most: it is told least, risk']
    """
    if problems := list(problems_of(rule)):
        raise SettingError("; ".join(problems))
    return RULES[rule.name].charge(contracts, held, **rule.settings)


def problems_of(rule: Rule) -> Iterator[str]:
    """What is wrong with a rule."""
    if rule.name not in RULES:
        yield f"there is no contingency '{rule.name}': there are {', '.join(RULES)}"
        return
    known = RULES[rule.name]
    if missing := [name for name in known.needed if name not in rule.settings]:
        yield f"contingency {rule.name} misses {', '.join(missing)}"
    if unknown := [name for name in rule.settings if name not in known.settings]:
        yield f"contingency {rule.name} does not know {', '.join(unknown)}: it is told {', '.join(known.settings)}"


def per(rule: Rule, name: str) -> Per:
    """A setting of a rule that is a number for each commodity."""
    value = rule.settings[name]
    assert isinstance(value, Per)
    return value


def counted(contracts: Contracts, options_only: bool) -> Floats:
    """Multipliers of what `per_contract` counts, at the rate of their currencies, [I]."""
    i = contracts.instruments
    some = contracts.arrays.option | (linear(i) & (not options_only))
    return np.where(some, i.multiplier * contracts.rate, 0.0)


def rolls(contracts: Contracts, least: Per, risk: Per) -> tuple[Floats, Floats, Floats]:
    """Delta of each contract in the reporting currency, its commodity and expiry, and the move of its basis, [I]."""
    i = contracts.instruments
    rolled = linear(i) | contracts.arrays.option
    key = np.column_stack([contracts.arrays.of, contracts.expiry])
    move = np.maximum(number(least, contracts), number(risk, contracts) * contracts.expiry)
    return np.where(rolled, contracts.units * contracts.spot, 0.0), key, move


def shorts(contracts: Contracts, part: Per, amount: Per | None, gross: bool) -> tuple[Floats, Floats, Floats]:
    """Units of each option, what they net by, and the charge for one, [I]."""
    a, i = contracts.arrays, contracts.instruments
    price = number(part, contracts) * contracts.spot
    if amount is not None:
        price = price + number(amount, contracts) * contracts.rate
    key = np.column_stack([a.of, contracts.expiry, np.nan_to_num(i.strike)])
    if gross:
        key = np.arange(len(a))[:, None]
    return np.where(a.option, i.multiplier, 0.0), key, price


def exposed(contracts: Contracts, perpetuals_only: bool) -> Floats:
    """What futures and perpetuals are on, in the reporting currency, [I]."""
    i = contracts.instruments
    some = (i.kind == Kind.perpetual) if perpetuals_only else linear(i)
    return np.where(some, np.abs(contracts.units) * contracts.spot, 0.0)


def deltas(contracts: Contracts, held: sparse.csr_array) -> tuple[Floats, Floats]:
    """The size of the net delta and the gross delta in the reporting currency, [R, C]."""
    each = contracts.units * contracts.spot
    return np.abs(by_commodity(contracts, held, each)), by_commodity(contracts, abs(held), np.abs(each))


def paid(contracts: Contracts) -> Floats:
    """Funding that a long perpetual pays in a year, in the reporting currency, [I]."""
    i = contracts.instruments
    yearly = np.abs(contracts.units) * contracts.spot * np.nan_to_num(i.funding)
    return np.where(i.kind == Kind.perpetual, yearly, 0.0)


def number(per: Per, contracts: Contracts) -> Floats:
    """A commodity's number for each contract, [I]; 0 for cash."""
    a, cash = contracts.arrays, contracts.instruments.underlying < 0
    values = np.array([per(c) for c in a.commodity])[a.of]
    if np.isnan(values[~cash]).any():
        missing = ", ".join(dict.fromkeys(a.commodity[a.of[n]] for n in np.flatnonzero(np.isnan(values) & ~cash)))
        raise SettingError(f"a contingency has no number for {missing}: give one, or a default")
    return np.where(cash, 0.0, values)


def by_commodity(contracts: Contracts, held: sparse.csr_array, each: Floats) -> Floats:
    """Sums of `each` [I] over what is held, [R, C]."""
    a = contracts.arrays
    place = sparse.csr_array((each, (np.arange(len(a)), a.of)), shape=(len(a), len(a.commodity)))
    return np.asarray((held @ place).toarray())


def grouped(
    contracts: Contracts,
    held: sparse.csr_array,
    each: Floats,
    key: Floats,
    of: Callable[[Floats], Floats],
    charge: Floats,
) -> Floats:
    """Sums of `each` over groups of contracts with one key, a function of them, times their charge, [R, C]."""
    a = contracts.arrays
    _, first, place = np.unique(key, axis=0, return_index=True, return_inverse=True)
    to_group = sparse.csr_array((each, (np.arange(len(a)), place.reshape(-1))), shape=(len(a), len(first)))
    sums = sparse.csr_array(held @ to_group)
    sums.data = of(sums.data)
    to_commodity = sparse.csr_array(
        (charge[first], (np.arange(len(first)), a.of[first])), shape=(len(first), len(a.commodity))
    )
    return np.asarray((sums @ to_commodity).toarray())


def _short(net: Floats) -> Floats:
    return np.maximum(-net, 0.0)
