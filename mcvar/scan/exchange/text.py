"""The margin of one account by an exchange's grid, step by step, as text."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence

import numpy as np
from numpy.typing import NDArray
from scipy import sparse

from mcvar.market import DAYS_PER_YEAR
from mcvar.scan.exchange import contingency
from mcvar.scan.exchange.expiries import expiries, expiries_of
from mcvar.scan.exchange.explain import terms
from mcvar.scan.exchange.grid import Reduction
from mcvar.scan.exchange.margins import ScanMargins, cells, margins, worst
from mcvar.scan.exchange.system import Exchange
from mcvar.scan.pricing.contracts import Contracts
from mcvar.scan.span.text import number

Floats = NDArray[np.float64]


def text(contracts: Contracts, exchange: Exchange, held: sparse.csr_array, *, account: str, currency: str) -> str:
    """All steps, to be checked by hand: what is held, its loss at each point, the worst, and each contingency.

    Parameters
    ----------
    contracts : Contracts
    exchange : Exchange
    held : csr_array [1, I]
        What the account holds.
    account, currency : str
        For the first line; amounts are in the reporting currency at today's rates.

    Examples
    --------
    See `tests/test_margins_job.py`.
    """
    found = margins(contracts, exchange, held)
    losses = (expiries if exchange.reduction is Reduction.expiries else worst)(contracts, exchange, held)
    lines = [f"{account}, amounts in {currency}"]
    a = contracts.arrays
    present = np.unique(a.of[held.indices]).tolist()
    for c in present:
        loss, point = losses[c][0], int(found.worst_by[0, c])
        seen = int(found.worst_scenario[0]) if exchange.reduction is Reduction.cells else point
        of = f" of point {point}" if point else ""
        basis = "; the last is of the basis" if exchange.basis is not None else ""
        apart = exchange.reduction is Reduction.expiries
        lines += [
            a.commodity[c],
            *_positions(contracts, held, c, seen, options=not apart),
            *(_expiries(contracts, exchange, held, c, seen) if apart else ()),
            _step("losses", _points(loss) + basis),
            _step("scan risk", f"max(0, {number(float(loss.max()))}{of}) = {number(found.scan_by[0, c])}"),
        ]
    lines += _together(exchange, found, [losses[c] for c in present], [a.commodity[c] for c in present])
    lines += _requirement(contracts, exchange, held, found)
    return "\n".join(lines)


def _expiries(contracts: Contracts, exchange: Exchange, held: sparse.csr_array, c: int, point: int) -> Iterator[str]:
    """The options of each expiry at the point that counts, the last of which may be the basis."""
    for each in expiries_of(contracts, exchange, held, c):
        what = f"at {DAYS_PER_YEAR * each.years:.6g} days"
        if point > len(exchange.points.price):
            said = f"{number(each.apart)} x {number(float(each.basis[0]))}"
            yield _step(what, f"basis: {said} = {number(each.apart * float(each.basis[0]))}")
        elif point:
            s, weight = point - 1, float(exchange.points.weight[point - 1])
            now, later, factor = (float(x[0, k]) for x, k in ((each.now, 0), (each.later, s), (each.factor, s)))
            said = f"{number(weight)} x ({number(now)} - {number(factor)} x {number(later)})"
            said = f"|{said}|" if exchange.points.skew[s] else said
            yield _step(what, f"{said} = {number(float(each.loss[0, s]))}")


def _positions(contracts: Contracts, held: sparse.csr_array, c: int, point: int, *, options: bool = True) -> list[str]:
    """What is held in a commodity; the loss of each at the point that counts, where losses just add up."""
    a, mine = contracts.arrays, np.flatnonzero(contracts.arrays.of[held.indices] == c)
    rows = []
    for at, quantity in zip(held.indices[mine].tolist(), held.data[mine].tolist(), strict=True):
        rate = float(contracts.rate[at])
        shown = 0 < point <= a.points and (options or not a.option[at])
        loss = f"loss {number(float(a.loss[at, point - 1]) * rate)} at point {point}, " if shown else ""
        rows.append((f"{number(quantity)} {a.name[at]}", f"{loss}value {number(float(a.value[at]) * rate)} each"))
    wide = max(len(what) for what, _ in rows)
    return [_step(f"{what:<{wide}}", said) for what, said in rows]


def _together(exchange: Exchange, found: ScanMargins, losses: list[Floats], commodity: Sequence[str]) -> Iterator[str]:
    if exchange.reduction is not Reduction.cells:
        yield _line("scan risk", f"{_sum(found.scan_by[0])} = {number(found.scan[0])}")
    elif losses:
        gains = [exchange.gains(c) for c in commodity]
        total, point = cells(losses, gains)[0], int(found.worst_scenario[0])
        part = ", ".join(f"{number(g)} of gains in {c}" for g, c in zip(gains, commodity, strict=True) if g != 1)
        yield _line("all commodities", _points(total) + (f" ({part})" if part else ""))
        of = f" of point {point}" if point else ""
        yield _line("scan risk", f"max(0, {number(float(total.max()))}{of}) = {number(found.scan[0])}")


def _requirement(contracts: Contracts, exchange: Exchange, held: sparse.csr_array, found: ScanMargins) -> Iterator[str]:
    names, charges = contracts.arrays.commodity, {}
    for rule in exchange.rules:
        by = charges[rule.name] = contingency.charge(rule, contracts, held)[0]
        amounts = ", ".join(
            f"{name}: {number(amount)}" for name, amount in zip(names, by.tolist(), strict=True) if amount
        )
        role = "the least that is asked" if rule.floor else "added"
        yield _line(rule.name.replace("_", " "), f"{amounts or 0}; {role}")
        for c in np.flatnonzero(by).tolist():
            yield from (_step(names[c], term) for term in terms(rule, contracts, held, c))
    for what, head in (("initial", "initial margin"), ("maintenance", "maintenance")):
        total, part = float(getattr(found, what)[0]), float(getattr(exchange, what))
        added = [
            f"{number(getattr(rule, what))} x {number(float(found.contingency[rule.name][0]))} {rule.name}"
            for rule in exchange.rules
            if not rule.floor
        ]
        yield _line(head, f"{' + '.join([*_floored(exchange, found, charges, what, part), *added])} = {number(total)}")
    yield _line("net option value", number(float(found.nov[0])))


def _floored(
    exchange: Exchange, found: ScanMargins, charges: Mapping[str, Floats], what: str, part: float
) -> list[str]:
    """Scan risk with the floors under it: of the whole where all commodities move together, else of each."""
    floors = [(float(getattr(rule, what)), charges[rule.name]) for rule in exchange.rules if rule.floor]
    if not floors:
        return [f"{number(part)} x {number(found.scan[0])}"]
    if exchange.reduction is Reduction.cells:
        pieces = [(float(found.scan[0]), [(share, float(by.sum())) for share, by in floors])]
    else:
        pieces = [
            (float(scan), [(share, float(by[c])) for share, by in floors]) for c, scan in enumerate(found.scan_by[0])
        ]
    return [
        f"max({', '.join(f'{number(a)} x {number(b)}' for a, b in [(part, scan), *least])})"
        for scan, least in pieces
        if scan or any(amount for _, amount in least)
    ] or ["0"]


def _points(loss: Floats) -> str:
    return ", ".join(f"{j}: {number(each)}" for j, each in enumerate(loss.tolist(), start=1))


def _sum(values: Floats) -> str:
    return " + ".join(number(each) for each in values.tolist() if each) or "0"


def _step(what: str, said: str) -> str:
    return f"  {what:<17} {said}"


def _line(what: str, said: str) -> str:
    return f"{what:<19} {said}"
