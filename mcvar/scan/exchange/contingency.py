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
from collections.abc import Callable

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
_HOURS = 24 * DAYS_PER_YEAR  # of a year


def per_contract(contracts: Contracts, held: sparse.csr_array, *, amount: Per, options_only: bool = True) -> Floats:
    """`amount` for each contract, long or short, times its multiplier, in the contract's currency, [R, C]."""
    a, i = contracts.arrays, contracts.instruments
    counted = a.option | (linear(i) & (not options_only))
    each = np.where(counted, _of(amount, contracts) * i.multiplier * contracts.rate, 0.0)
    return _by_commodity(contracts, abs(held), each)


def roll_shock(contracts: Contracts, held: sparse.csr_array, *, least: Per, risk: Per) -> Floats:
    """Sum over expiries of |net delta| max(least, risk T), [R, C]; T is 0 for perpetuals."""
    i = contracts.instruments
    rolled = linear(i) | contracts.arrays.option
    key = np.column_stack([contracts.arrays.of, contracts.expiry])
    each = np.where(rolled, contracts.units * contracts.spot, 0.0)
    move = np.maximum(_of(least, contracts), _of(risk, contracts) * contracts.expiry)
    return _grouped(contracts, held, each, key, np.abs, move)


def delta_shock(contracts: Contracts, held: sparse.csr_array, *, threshold: float, most: float) -> Floats:
    """|D| min(most, most |D| / threshold) with D the commodity's net delta in the reporting currency, [R, C]."""
    net = np.abs(_by_commodity(contracts, held, contracts.units * contracts.spot))
    return net * np.minimum(most, most * net / threshold)


def short_options(
    contracts: Contracts, held: sparse.csr_array, *, part: Per, amount: Per | None = None, gross: bool = False
) -> Floats:
    """(`part` of the underlying's price + `amount`) for each unit that options are short, [R, C].

    Net of what is long at the same expiry and strike; `gross`: each contract by itself. `amount` is in the contract's
    currency.
    """
    a, i = contracts.arrays, contracts.instruments
    price = _of(part, contracts) * contracts.spot
    if amount is not None:
        price = price + _of(amount, contracts) * contracts.rate
    key = np.column_stack([a.of, contracts.expiry, np.nan_to_num(i.strike)])
    if gross:
        key = np.arange(len(a))[:, None]
    return _grouped(contracts, held, np.where(a.option, i.multiplier, 0.0), key, _short, price)


def linear_positions(
    contracts: Contracts, held: sparse.csr_array, *, part: Per, perpetuals_only: bool = False
) -> Floats:
    """`part` of the underlying's price for each unit of it that futures and perpetuals are on, [R, C]."""
    i = contracts.instruments
    counted = (i.kind == Kind.perpetual) if perpetuals_only else linear(i)
    each = np.where(counted, np.abs(contracts.units) * contracts.spot * _of(part, contracts), 0.0)
    return _by_commodity(contracts, abs(held), each)


def minimum_delta(contracts: Contracts, held: sparse.csr_array, *, net: float, hedged: float) -> Floats:
    """`net` |D| + `hedged` (G - |D|) / 2 with D the net and G the gross delta in the reporting currency, [R, C]."""
    each = contracts.units * contracts.spot
    total = np.abs(_by_commodity(contracts, held, each))
    gross = _by_commodity(contracts, abs(held), np.abs(each))
    return net * total + hedged * 0.5 * (gross - total)


def funding(contracts: Contracts, held: sparse.csr_array, *, hours: float) -> Floats:
    """What a commodity's perpetuals pay in funding over `hours`, at their annual rates, net and at least 0, [R, C]."""
    i = contracts.instruments
    paid = np.abs(contracts.units) * contracts.spot * np.nan_to_num(i.funding) * hours / _HOURS
    return np.maximum(_by_commodity(contracts, held, np.where(i.kind == Kind.perpetual, paid, 0.0)), 0.0)


RULES: dict[str, Callable[..., Floats]] = {
    "per_contract": per_contract,
    "roll_shock": roll_shock,
    "delta_shock": delta_shock,
    "short_options": short_options,
    "linear": linear_positions,
    "minimum_delta": minimum_delta,
    "funding": funding,
}


def charge(rule: Rule, contracts: Contracts, held: sparse.csr_array) -> Floats:
    """What a rule charges, in the reporting currency, [R, C].

    Examples
    --------
    >>> problems_of(Rule("roll_shock", settings={"least": 0.01, "most": 2.0}))
    ['contingency roll_shock misses risk', 'contingency roll_shock does not know most: it is told least, risk']
    """
    if problems := problems_of(rule):
        raise SettingError("; ".join(problems))
    return RULES[rule.name](contracts, held, **rule.settings)


def by_commodity(name: str) -> set[str]:
    """The settings of a rule that are a number for each commodity."""
    known = inspect.signature(RULES[name]).parameters.values()
    return {p.name for p in known if str(p.annotation).startswith("Per")}


def switches(name: str) -> set[str]:
    """The settings of a rule that are true or false."""
    return {p.name for p in inspect.signature(RULES[name]).parameters.values() if isinstance(p.default, bool)}


def problems_of(rule: Rule) -> list[str]:
    """What is wrong with a rule."""
    if rule.name not in RULES:
        return [f"there is no contingency '{rule.name}': there are {', '.join(RULES)}"]
    known = {
        name: p.default is p.empty
        for name, p in inspect.signature(RULES[rule.name]).parameters.items()
        if p.kind is p.KEYWORD_ONLY
    }
    missing = [name for name, needed in known.items() if needed and name not in rule.settings]
    unknown = [name for name in rule.settings if name not in known]
    return [f"contingency {rule.name} misses {', '.join(missing)}"] * bool(missing) + [
        f"contingency {rule.name} does not know {', '.join(unknown)}: it is told {', '.join(known)}"
    ] * bool(unknown)


def _of(per: Per, contracts: Contracts) -> Floats:
    """A commodity's number for each contract, [I]; 0 for cash."""
    a, cash = contracts.arrays, contracts.instruments.underlying < 0
    values = np.array([per(c) for c in a.commodity])[a.of]
    if np.isnan(values[~cash]).any():
        missing = ", ".join(dict.fromkeys(a.commodity[a.of[n]] for n in np.flatnonzero(np.isnan(values) & ~cash)))
        raise SettingError(f"a contingency has no number for {missing}: give one, or a default")
    return np.where(cash, 0.0, values)


def _by_commodity(contracts: Contracts, held: sparse.csr_array, each: Floats) -> Floats:
    """Sums of `each` [I] over what is held, [R, C]."""
    a = contracts.arrays
    place = sparse.csr_array((each, (np.arange(len(a)), a.of)), shape=(len(a), len(a.commodity)))
    return np.asarray((held @ place).toarray())


def _grouped(
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
