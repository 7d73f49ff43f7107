"""A breakdown as text: one line a step, each with the numbers that make it."""

from __future__ import annotations

from collections.abc import Iterator, Mapping

from mcvar.scan.span.breakdown import Breakdown, PriceRisk, Slice
from mcvar.scan.span.inter import Credited
from mcvar.scan.span.intra import Formed


def text(breakdown: Breakdown) -> str:
    """All steps, to be checked by hand.

    Examples
    --------
    >>> import numpy as np
    >>> from scipy import sparse
    >>> from mcvar.scan.arrays import RiskArrays
    >>> from mcvar.scan.grid import SPAN16
    >>> from mcvar.scan.parameters import Commodity, Parameters
    >>> from mcvar.scan.span.algorithm import span
    >>> future = RiskArrays(("F",), ("X",), np.array([0]), ("USD",), -300 * (SPAN16.price * SPAN16.weight)[None],
    ...     np.ones(1), np.zeros(1), np.array([False]), ("202603",))
    >>> margins = span(future, SPAN16, Parameters((Commodity("X", "USD", 3.0),)), sparse.csr_array([[2.0]]))
    >>> print(text(Breakdown.of(margins, 0)))
    row 1, amounts in USD
    X
      2 F               loss 300, delta 1, value 0 each
      losses            1: 0, 2: 0, 3: -200, 4: -200, 5: 200, 6: 200, 7: -400, 8: -400, 9: 400, 10: 400, 11: -600, \
12: -600, 13: 600, 14: 600, 15: -420, 16: 420
      scan risk         max(0, 600 of scenario 13) = 600
      net delta         202603: 2
      commodity risk    max(600 + 0 + 0 - 0, 0) = 600: scan risk and charges
    sum of risks        600
    net option value    0
    requirement         max(0, 600 - 0) = 600
    """
    lines = [f"{breakdown.account}, amounts in {breakdown.currency}"]
    for each in breakdown.commodities:
        lines += [_name(each, breakdown.currency), *(f"  {what:<17} {said}" for what, said in _steps(each))]
    if breakdown.spreads:
        risk = {each.name: each.price.weighted for each in breakdown.commodities if each.price}
        said = [(f"spread {each.spread.priority}", _credited(each, risk)) for each in breakdown.spreads]
        lines += ["between commodities", *(f"  {what:<17} {line}" for what, line in said)]
    risks = " + ".join(number(each.risk) for each in breakdown.commodities)
    total = number(breakdown.risk)
    nov = f"({number(breakdown.nov)})" if breakdown.nov < 0 else number(breakdown.nov)
    lines.append(f"{'sum of risks':<19} {f'{risks} = ' if len(breakdown.commodities) > 1 else ''}{total}")
    lines.append(f"{'net option value':<19} {number(breakdown.nov)}")
    lines.append(f"{'requirement':<19} max(0, {total} - {nov}) = {number(breakdown.requirement)}")
    return "\n".join(lines)


def number(value: float) -> str:
    """A number to eight significant digits, or to the cent where it is larger."""
    whole = len(f"{abs(value):.0f}")
    said = f"{value:,.{max(2, 8 - whole)}f}" if abs(value) >= 1e-3 else f"{value:.8g}"
    if "e" not in said and "." in said:
        said = said.rstrip("0").rstrip(".")
    return "0" if said == "-0" else said


def _name(each: Slice, currency: str) -> str:
    if each.currency == currency:
        return each.name
    return f"{each.name}, at {number(each.rate)} {currency} for one {each.currency}"


def _steps(each: Slice) -> Iterator[tuple[str, str]]:
    names = [f"{number(held.quantity)} {held.name}" for held in each.positions]
    wide = max(map(len, names), default=0)
    for name, held in zip(names, each.positions, strict=True):
        said = f"loss {number(held.loss)}, delta {number(held.delta)}, value {number(held.value)} each"
        yield f"{name:<{wide}}", said
    yield "losses", ", ".join(f"{j}: {number(loss)}" for j, loss in enumerate(each.loss.tolist(), start=1))
    largest = number(float(each.loss[each.active - 1]))
    yield "scan risk", f"max(0, {largest} of scenario {each.active}) = {number(each.scan)}"
    yield (
        "net delta",
        ", ".join(f"{slot}: {number(net)}" for slot, net, _ in each.delta if not _nothing(net, each)) or "0",
    )
    for formed in each.spreads:
        yield "inside a tier" if formed.spread.priority is None else f"spread {formed.spread.priority}", _formed(formed)
    if each.spreads:
        yield (
            "delta left",
            ", ".join(f"{slot}: {number(left)}" for slot, net, left in each.delta if not _nothing(net, each)) or "0",
        )
    for near, inside, outside in each.near:
        rates = f"{number(inside)} x {number(near.spread)} + {number(outside)} x {number(near.outright)}"
        yield f"delivery {near.month}", f"{rates} = {number(inside * near.spread + outside * near.outright)}"
    if each.price:
        yield from _credit(each, each.price, largest)
    if each.minimum:
        yield "short options", f"{number(each.short)} x {number(each.rate_short)} = {number(each.minimum)}"
    terms = f"{number(each.scan)} + {number(each.intra)} + {number(each.delivery)} - {number(each.credit)}"
    yield "commodity risk", f"max({terms}, {number(each.minimum)}) = {number(each.risk)}: {each.binds}"


def _nothing(net: float, each: Slice) -> bool:
    """Whether a net delta is what rounding leaves of positions that offset each other."""
    return abs(net) <= 1e-12 * sum(abs(held.quantity * held.delta) for held in each.positions)


def _credit(each: Slice, price: PriceRisk, largest: str) -> Iterator[tuple[str, str]]:
    other = f"{number(float(each.loss[each.pair - 1]))} of scenario {each.pair}"
    adjusted, low, high = number(price.volatility_adjusted), *(number(float(each.loss[j - 1])) for j in each.level)
    level = f"scenarios {each.level[0]} and {each.level[1]}"
    yield "volatility adj.", f"({largest} + {other}) / 2 = {adjusted}"
    yield "time risk", f"({low} + {high} of {level}) / 2 = {number(price.time_risk)}"
    yield "price risk", f"{adjusted} - {number(price.time_risk)} = {number(price.price_risk)}"
    if price.weighted:
        ratio = f"{number(price.price_risk)} / {number(abs(price.net_delta))}"
        yield "weighted risk", f"{ratio} = {number(price.weighted)} a delta"
    else:
        yield "weighted risk", "none: " + ("price risk is not positive" if price.net_delta else "no net delta")
    yield "credit", f"{number(each.credit)}, with {number(price.left)} of the net delta left"


def _formed(formed: Formed) -> str:
    legs = ", ".join(
        f"{'long' if (part.side > 0) != formed.turned else 'short'} {number(part.ratio)} of {part.label}"
        for part in formed.spread.parts
    )
    charge = formed.spread.charge
    return f"{legs}: {number(formed.number)} x {number(charge)} = {number(formed.number * charge)}"


def _credited(formed: Credited, risk: Mapping[str, float]) -> str:
    count = number(formed.number)
    legs = ", ".join(
        f"{'long' if (arm.side > 0) != formed.turned else 'short'} {number(arm.ratio)} of {arm.label}"
        for arm in formed.spread.arms
    )
    saved = ", ".join(
        f"{arm.label} saves {number(risk[arm.commodity])} x {count} x {number(arm.ratio)} x {number(arm.credit)}"
        f" = {number(credit)}"
        for arm, credit in zip(formed.spread.arms, formed.credit, strict=True)
    )
    return f"{count} x ({legs}): {saved}"
