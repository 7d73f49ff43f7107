"""Charges inside one commodity: spreads between its months, and deltas that come near delivery."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from mcvar.scan.parameters import Commodity
from mcvar.scan.span.slots import Slots

Floats = NDArray[np.float64]
Ints = NDArray[np.int64]
DUST = 1e-12  # of what there was: less is rounding


@dataclass(frozen=True)
class Part:
    """One leg: `ratio` deltas of some slots, on side +1 or -1."""

    slots: tuple[int, ...]
    side: int
    ratio: float
    label: str


@dataclass(frozen=True)
class Intra:
    """A spread between slots of one commodity; without a priority: the months of one tier, which net free of charge."""

    priority: int | None
    parts: tuple[Part, ...]
    charge: float


@dataclass(frozen=True)
class Near:
    """A slot near delivery, and its rates for deltas in spreads and for others."""

    slot: int
    month: str
    spread: float
    outright: float


@dataclass(frozen=True)
class Formed:
    """What one account formed of a spread: `turned`, with long and short exchanged."""

    spread: Intra
    turned: bool
    number: float


def resolve_spreads(commodity: Commodity, slots: Slots, rate: float) -> tuple[Intra, ...]:
    """Spreads in the order in which they are formed; charges times `rate` are in the reporting currency.

    Those with a leg that has no contracts can never be formed, and are left out.
    """
    free = [
        Intra(None, tuple(Part(slots.tier[t], side, 1.0, f"tier {t}") for side in (1, -1)), 0.0) for t in slots.netted
    ]
    charged = [
        Intra(
            spread.priority,
            tuple(
                Part(slots.tier[leg.tier], leg.side, leg.ratio, f"tier {leg.tier}" if leg.tier else "all months")
                for leg in spread.legs
            ),
            spread.charge * rate,
        )
        for spread in sorted(commodity.spreads, key=lambda spread: spread.priority)
    ]
    return tuple(spread for spread in (*free, *charged) if all(part.slots for part in spread.parts))


def resolve_delivery(commodity: Commodity, slots: Slots, rate: float) -> tuple[Near, ...]:
    """Months near delivery that have contracts; rates times `rate` are in the reporting currency."""
    return tuple(
        Near(slots.of[near.month], near.month, near.spread * rate, near.outright * rate)
        for near in commodity.delivery
        if near.month in slots.of
    )


def take(there: Floats, used: Floats) -> Floats:
    """What is left of deltas; a rest that is rounding is none."""
    left = np.maximum(there - used, 0.0)
    left[left <= DUST * there] = 0.0
    return left


def sides(delta: Floats) -> Floats:
    """Long and short deltas, [2, ...], both positive."""
    return np.stack([np.maximum(delta, 0.0), np.maximum(-delta, 0.0)])


def form(free: Floats, spreads: Sequence[Intra], record: list[Formed] | None = None) -> Floats:
    """Form spreads in their order, and say what they cost.

    n = min over legs of deltas / ratio; first with the legs on the sides that they name, then with sides exchanged.
    A leg of several slots takes from the nearest first.

    Parameters
    ----------
    free : ndarray [2, K, G]
        Long and short deltas by slot; what spreads consume is taken out.
    spreads : sequence of Intra
    record : list, optional
        Of one account (G = 1): gets the spreads that are formed.

    Returns
    -------
    ndarray [G]

    Examples
    --------
    >>> calendar = Intra(1, (Part((0,), 1, 1.0, "near"), Part((1,), -1, 2.0, "far")), 50.0)
    >>> free = sides(np.array([[10.0, -3.0], [-4.0, 9.0]]))
    >>> form(free, [calendar]).tolist(), (free[0] - free[1]).tolist()
    ([100.0, 150.0], [[8.0, 0.0], [0.0, 3.0]])
    """
    charge = np.zeros(free.shape[2])
    for spread in spreads:
        for turned in (False, True):
            short = [(part.side < 0) != turned for part in spread.parts]
            number: Floats | None = None
            for part, at in zip(spread.parts, short, strict=True):
                there = _available(free[int(at)], part)
                number = there if number is None else np.minimum(number, there)
            assert number is not None  # a spread has legs
            who = np.flatnonzero(number)
            if not len(who):
                continue
            formed = number[who]
            for part, at in zip(spread.parts, short, strict=True):
                _consume(free[int(at)], part, who, formed * part.ratio)
            charge[who] += formed * spread.charge
            if record is not None:
                record.append(Formed(spread, turned, float(formed[0])))
    return charge


def deliver(before: Floats, free: Floats, able: Ints, near: Sequence[Near]) -> Floats:
    """Charges for deltas near delivery, [G]: one rate for those that other months offset, another for the rest.

    Parameters
    ----------
    before : ndarray [K, G]
        Net deltas by slot.
    free : ndarray [2, K, A]
        Long and short ones that spreads left of them.
    able : ndarray [A]
        Whose: spreads take nothing of the others'.
    near : sequence of Near
    """
    charge = np.zeros(before.shape[1])
    for month in near:
        there = np.abs(before[month.slot])
        left = there.copy()
        left[able] = free[:, month.slot].sum(axis=0)
        charge += (there - left) * month.spread + left * month.outright
    return charge


def _available(side: Floats, part: Part) -> Floats:
    """Spreads that a leg's deltas are enough for, [G]."""
    there: Floats = side[part.slots[0]]
    for slot in part.slots[1:]:
        there = there + side[slot]
    return there if part.ratio == 1 else there / part.ratio


def _consume(side: Floats, part: Part, who: Ints, used: Floats) -> None:
    """Take deltas out of a leg's slots, the nearest first."""
    for slot in part.slots:
        there = side[slot, who]
        side[slot, who] = take(there, used)
        used = np.maximum(used - there, 0.0)
