"""Rows of scan tables become risk arrays and parameters, or one list of what is wrong with them."""

from __future__ import annotations

import math
from collections import Counter
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import numpy as np

from mcvar.columns import Columns
from mcvar.errors import InputError
from mcvar.io.scan.check import Check
from mcvar.io.scan.file import ARRAYS, COMMODITIES, DELIVERY, SPREADS, TIERS, Tables
from mcvar.scan.arrays import RiskArrays
from mcvar.scan.parameters import Commodity, Delivery, Leg, Parameters, Spread, Tier

Found = list[tuple[Columns, list[str]]]  # tables, and what is wrong with each
_SIDES = {"1": 1, "+1": 1, "A": 1, "-1": -1, "B": -1}
_FEW = 5  # missing scenarios that a message names


def resolve(tables: Tables, tie: str, problems: Sequence[str] = (), source: str = "") -> tuple[RiskArrays, Parameters]:
    """Risk arrays and parameters of one set of tables.

    Parameters
    ----------
    tables : Tables
    tie : str
        See `Parameters`.
    problems : sequence of str
        What is known to be wrong already.
    source : str
        What the error names; the file names of the tables stand before their lines where this is none of them.

    Raises
    ------
    InputError
        All bad rows of all tables.
    """
    found: Found = []
    check_columns(tables, source)
    parameters = read_parameters(tables, tie, found)
    known = {name: c for c, name in enumerate(tables.commodities.texts("commodity"))}
    arrays = read_arrays(tables.arrays, found, known)
    finish(found, problems, source)
    return arrays, parameters


def check_columns(tables: Tables, source: str) -> None:
    """Refuse missing and unknown columns of all tables at once."""
    found: Found = []
    known = {
        "arrays": ((*ARRAYS, *points_of(tables.arrays)), ()),
        "commodities": (COMMODITIES[:2], COMMODITIES[2:]),
        "tiers": (TIERS[:2], TIERS[2:]),
        "spreads": (SPREADS[:8], SPREADS[8:]),
        "delivery": (DELIVERY, ()),
    }
    for name, (required, optional) in known.items():
        table: Columns = getattr(tables, name)
        try:
            table.check_names(required, optional)
        except InputError as error:
            found.append((table, list(error.problems)))
    finish(found, (), source)


def points_of(table: Columns) -> list[str]:
    """The columns a1, a2, ... that a table of risk arrays has or should have."""
    numbers = [int(name[1:]) for name in table.data if name[:1] == "a" and name[1:].isascii() and name[1:].isdigit()]
    count = max((number for number in numbers if number <= 2 * len(numbers) + 16), default=1)
    return [f"a{point}" for point in range(1, count + 1)]


def finish(found: Sequence[tuple[Columns, list[str]]], problems: Sequence[str], source: str) -> None:
    """Raise what was found in all tables, if anything."""
    said = list(problems)
    for table, wrong in found:
        said += [problem if table.source == source else f"{Path(table.source).name} {problem}" for problem in wrong]
    if said:
        raise InputError(source, said)


def read_arrays(table: Columns, found: Found, known: Mapping[str, int] | None = None) -> RiskArrays:
    """Risk arrays; commodities are numbered in the order of their first contracts."""
    expected = points_of(table)
    check = Check(table)
    names = check.names("instrument")
    check.once(names, lambda row: f"instrument '{names[row]}' is there twice: remove one")
    commodity = check.names("commodity", known, "it is not among the commodities")
    currency, month = check.names("currency"), check.months("month", names)
    option = check.flags("option", names, "")
    delta = check.numbers("delta", names)
    value = check.numbers("value", names, default=0.0)
    check.refuse(~option & (value != 0), lambda row: f"'{names[row]}' is no option, so its value must be 0 or blank")
    before = len(check.problems)
    loss = np.column_stack([table.floats(point, check.problems) for point in expected])
    unread = Counter(problem.partition(":")[0] for problem in check.problems[before:])
    for row in np.flatnonzero(~np.isfinite(loss).all(axis=1)):
        bad = [expected[s] for s in np.flatnonzero(~np.isfinite(loss[row]))]
        if len(bad) > unread[table.where(row)]:
            which = ", ".join(bad[:_FEW]) + (", ..." if len(bad) > _FEW else "")
            whose = f"{table.where(row)}: the array of '{names[row]}'"
            check.problems.append(f"{whose} has no finite {which}: give all {len(expected)} points")
    if len(table) == 0:
        check.problems.append("there is no risk array: is this the right file, with an array for each contract?")
    found.append((table, check.problems))
    number = {name: c for c, name in enumerate(dict.fromkeys(commodity))}
    return RiskArrays(
        name=tuple(names),
        commodity=tuple(number),
        of=np.array([number[name] for name in commodity], dtype=np.int64),
        currency=tuple(currency),
        loss=loss,
        delta=delta,
        value=value,
        option=option,
        month=tuple(month),
    )


def read_parameters(tables: Tables, tie: str, found: Found) -> Parameters:
    """Commodities with their tiers, spreads and delivery charges, and inter-commodity spreads."""
    table = tables.commodities
    check = Check(table)
    names = check.names("commodity")
    check.once(names, lambda row: f"commodity '{names[row]}' is there twice: remove one")
    own = {
        "price_range": check.numbers("price_range", names, low=0, blank=True),
        "relative": check.flags("relative", names),
        "volatility_range": check.numbers("volatility_range", names, low=0, blank=True),
        "relative_volatility": check.flags("relative_volatility", names),
        "extreme": check.numbers("extreme", names, low=0, default=2.0),
        "covered": check.numbers("covered", names, low=0, high=1, default=0.35),
        "lookahead": check.numbers("lookahead", names, low=0, blank=True),
        "short_option_minimum": check.numbers("short_option_minimum", names, low=0, default=0.0),
        "short_netted": check.flags("short_netted", names),
        "delta_unit": check.numbers("delta_unit", names, low=0, blank=True),
    }
    check.refuse(own["delta_unit"] == 0, lambda row: f"delta_unit 0 of '{names[row]}' must be above 0: correct it")
    currency = check.names("currency")
    if tie not in ("lowest", "highest"):
        check.problems.append(f"tie '{tie}' must be lowest or highest")
    found.append((table, check.problems))
    known = {name: c for c, name in enumerate(names)}
    tiers = _tiers(tables.tiers, known, found)
    intra, inter = _spreads(tables.spreads, known, tiers, found)
    delivery = _delivery(tables.delivery, known, found)
    commodities = [
        Commodity(
            name,
            currency[c],
            **{key: _known(column[c].item()) for key, column in own.items()},
            tiers=tuple(tiers.get(name, ())),
            spreads=tuple(intra.get(name, ())),
            delivery=tuple(delivery.get(name, ())),
        )
        for c, name in enumerate(names)
    ]
    return Parameters(tuple(commodities), tuple(inter), tie)


def _tiers(table: Columns, known: Mapping[str, int], found: Found) -> dict[str, list[Tier]]:
    check = Check(table)
    owner = check.names("commodity", known, "it is not among the commodities")
    number = check.numbers("tier", owner, low=1, high=1e6, whole=True)
    first, last = check.months("first", owner), check.months("last", owner)
    keys = list(zip(owner, number.tolist(), strict=True))
    check.once(keys, lambda row: f"tier {number[row]:g} of '{owner[row]}' is there twice: remove one")
    late = [bool(a and b) and a[: len(b)] > b[: len(a)] for a, b in zip(first, last, strict=True)]
    check.refuse(late, lambda row: f"tier {number[row]:g} of '{owner[row]}' ends {last[row]}, before {first[row]}")
    found.append((table, check.problems))
    tiers: dict[str, list[Tier]] = {}
    for row in np.flatnonzero(np.isfinite(number)):
        tiers.setdefault(owner[row], []).append(Tier(int(number[row]), first[row], last[row]))
    return tiers


def _delivery(table: Columns, known: Mapping[str, int], found: Found) -> dict[str, list[Delivery]]:
    check = Check(table)
    owner = check.names("commodity", known, "it is not among the commodities")
    month = check.months("month", owner)
    check.refuse([not cell for cell in month], lambda row: f"the delivery month of '{owner[row]}' is missing")
    spread = check.numbers("spread", owner, low=0)
    outright = check.numbers("outright", owner, low=0)
    check.once(list(zip(owner, month, strict=True)), lambda row: f"month {month[row]} of '{owner[row]}' is there twice")
    found.append((table, check.problems))
    delivery: dict[str, list[Delivery]] = {}
    for row, name in enumerate(owner):
        delivery.setdefault(name, []).append(Delivery(month[row], float(spread[row]), float(outright[row])))
    return delivery


def _spreads(
    table: Columns, known: Mapping[str, int], tiers: Mapping[str, Sequence[Tier]],
    found: Found,
) -> tuple[dict[str, list[Spread]], list[Spread]]:  # fmt: skip
    """Spreads within each commodity, and between commodities: the rows of one `spread` are its legs."""
    check = Check(table)
    label = check.names("spread")
    kind = table.choices("kind", ("intra", "inter"), check.problems, "")
    owner = check.names("commodity", known, "it is not among the commodities")
    priority = check.numbers("priority", label, low=0, high=1e9, whole=True)
    charge = check.numbers("charge", label, low=0, default=0.0)
    tier = check.numbers("tier", label, low=0, high=1e6, default=0.0, whole=True)
    ratio = check.numbers("ratio", label, low=0)
    check.refuse(ratio == 0, lambda row: f"ratio 0 of '{label[row]}' must be above 0: correct it")
    credit = check.numbers("credit", label, low=0, high=1, default=0.0)
    silent = [k == "inter" and not cell for k, cell in zip(kind, table.texts("credit"), strict=True)]
    check.refuse(silent, lambda row: f"credit of '{label[row]}' is missing: give the fraction that a leg saves, or 0")
    free = [k == "intra" and not cell for k, cell in zip(kind, table.texts("charge"), strict=True)]
    check.refuse(free, lambda row: f"charge of '{label[row]}' is missing: give the money that a spread pays, or 0")
    idle = [k == "intra" and rate != 0 for k, rate in zip(kind, credit, strict=True)]
    check.refuse(idle, lambda row: f"credit {credit[row]:g} of '{label[row]}', which is intra: it has a charge alone")
    side = table.texts("side")
    odd = [cell not in _SIDES for cell in side]
    check.refuse(odd, lambda row: f"side '{side[row][:60]}' of '{label[row]}' must be 1 or -1")
    has = {(name, t.number) for name, own in tiers.items() for t in own}
    lost = [t > 0 and name in known and (name, int(t)) not in has for name, t in zip(owner, tier, strict=True)]
    check.refuse(lost, lambda row: f"'{label[row]}' names tier {tier[row]:g}, which '{owner[row]}' does not have")
    legs: dict[str, list[int]] = {}
    for row, name in enumerate(label):
        legs.setdefault(name, []).append(row)
    order: dict[tuple[str, float], str] = {}
    intra: dict[str, list[Spread]] = {}
    inter: list[Spread] = []
    for name, at in legs.items():
        row, one = at[0], len({owner[r] for r in at}) == 1
        where = f"{table.where(row)}: spread '{name}'"
        for r in at[1:]:
            if (kind[r], charge[r]) != (kind[row], charge[row]) or priority[r] != priority[row]:
                said = f"{table.where(r)}: kind, priority or charge of '{name}'"
                check.problems.append(f"{said} differs from that of its first leg: make them agree")
        if len(at) < 2 or len({_SIDES.get(side[r], 0) for r in at}) < 2:
            check.problems.append(f"{where} needs legs on both sides")
        if kind[row] == "intra" and not one:
            check.problems.append(f"{where} is intra, but its legs are of several commodities: one, or kind inter")
        key = (owner[row] if kind[row] == "intra" else "", float(priority[row]))
        if np.isfinite(key[1]) and order.setdefault(key, name) != name:
            whose = f" of '{key[0]}'" if key[0] else ""
            check.problems.append(f"{where} has priority {key[1]:g}{whose}, which '{order[key]}' has: number them")
        if all(np.isfinite([priority[r], tier[r], ratio[r]]).all() and side[r] in _SIDES for r in at):
            made = tuple(Leg(owner[r], int(tier[r]), float(ratio[r]), _SIDES[side[r]], float(credit[r])) for r in at)
            spread = Spread(int(priority[row]), made, float(charge[row]))
            (intra.setdefault(owner[row], []) if kind[row] == "intra" else inter).append(spread)
    found.append((table, check.problems))
    return intra, inter


def _known(value: Any) -> Any:
    """The value; NaN as one object, so that commodities whose fields are the same are equal."""
    return math.nan if value != value else value
