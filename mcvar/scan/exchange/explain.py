"""What a contingency charges an account for: its settings and the quantity that they act on, in terms that add up."""

from __future__ import annotations

from collections.abc import Iterator

import numpy as np
from numpy.typing import NDArray
from scipy import sparse

from mcvar.market import DAYS_PER_YEAR
from mcvar.scan.exchange import contingency as rules
from mcvar.scan.exchange.grid import Rule
from mcvar.scan.pricing.contracts import Contracts
from mcvar.scan.span.text import number

Floats = NDArray[np.float64]


def terms(rule: Rule, contracts: Contracts, held: sparse.csr_array, c: int) -> list[str]:
    r"""The terms whose sum is what `rule` charges one account in commodity `c`: what it is, a colon, and how much.

    Parameters
    ----------
    rule : Rule
    contracts : Contracts
    held : csr_array [1, I]
    c : int

    Examples
    --------
    >>> from mcvar.scan.exchange.example import example
    >>> from mcvar.scan.per import Per
    >>> roll = Rule("roll_shock", settings={"least": Per({"X": 0.01}), "risk": Per({"X": 0.1})})
    >>> print(*terms(roll, *example(), 0), sep="\n")
    net delta without expiry: 1,000 x max(0.01, 0.1 x 0)
    net delta at 182.5 days: 600 x max(0.01, 0.1 x 0.5)
    """
    told = rule.settings

    def own(name: str) -> float:
        return rules.per(rule, name)(contracts.arrays.commodity[c])

    def switch(name: str) -> bool:
        return bool(told.get(name, name == "options_only"))

    def plain(name: str) -> str:
        value = told[name]
        assert isinstance(value, float | int)
        return number(float(value))

    def total(each: Floats, who: sparse.csr_array = held) -> float:
        return float(rules.by_commodity(contracts, who, each)[0, c])

    match rule.name:
        case "per_contract":
            size = total(rules.counted(contracts, switch("options_only")), abs(held))
            return [f"contracts x multiplier: {number(size)} x {number(own('amount'))}"]
        case "roll_shock":
            return list(_rolls(rule, contracts, held, c))
        case "delta_shock":
            net, _ = (float(each[0, c]) for each in rules.deltas(contracts, held))
            most, shown = plain("most"), number(net)
            return [f"net delta: {shown} x min({most}, {most} x {shown} / {plain('threshold')})"]
        case "short_options":
            return list(_shorts(rule, contracts, held, c, switch("gross")))
        case "linear":
            size = total(rules.exposed(contracts, switch("perpetuals_only")), abs(held))
            return [f"what is linear: {number(size)} x {number(own('part'))}"]
        case "minimum_delta":
            net, gross = (float(each[0, c]) for each in rules.deltas(contracts, held))
            hedged = f"({number(gross)} - {number(net)}) / 2"
            return [f"net delta: {number(net)} x {plain('net')}", f"hedged delta: {hedged} x {plain('hedged')}"]
        case "funding":
            yearly = number(total(rules.paid(contracts)))
            return [f"paid in a year: max(0, {yearly} x {plain('hours')} / {number(rules.HOURS)})"]
    return []


def _rolls(rule: Rule, contracts: Contracts, held: sparse.csr_array, c: int) -> Iterator[str]:
    a, years = contracts.arrays, contracts.expiry
    least, risk = (rules.per(rule, name) for name in ("least", "risk"))
    each, _, _ = rules.rolls(contracts, least, risk)
    move = f"max({number(least(a.commodity[c]))}, {number(risk(a.commodity[c]))}"
    amounts = held.toarray()[0] * each
    for when in np.unique(years[(a.of == c) & (amounts != 0)]).tolist():
        net = abs(float(amounts[(a.of == c) & (years == when)].sum()))
        where = f"at {number(when * DAYS_PER_YEAR)} days" if when else "without expiry"
        yield f"net delta {where}: {number(net)} x {move} x {number(when)})"


def _shorts(rule: Rule, contracts: Contracts, held: sparse.csr_array, c: int, gross: bool) -> Iterator[str]:
    a = contracts.arrays
    amount = rules.per(rule, "amount") if "amount" in rule.settings else None
    units, key, price = rules.shorts(contracts, rules.per(rule, "part"), amount, gross)
    amounts = held.toarray()[0] * units
    _, group = np.unique(key, axis=0, return_inverse=True)
    group = group.reshape(-1)
    net = np.bincount(group, weights=amounts)
    first = np.unique(group, return_index=True)[1]
    mine = (a.of[first] == c) & (net < 0)
    for each in np.unique(price[first][mine]).tolist():
        size = float(-net[mine & (price[first] == each)].sum())
        yield f"units that are short: {number(size)} x {number(each)}"
