"""Slots: the months whose deltas a commodity keeps apart, and which of them its tiers are made of."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass

from mcvar.scan.parameters import Commodity, Leg, Tier


@dataclass(frozen=True)
class Slots:
    """K slots of one commodity, nearest first.

    Parameters
    ----------
    label : tuple of str [K]
    of : mapping of str to int
        Slot by contract month.
    tier : mapping of int to tuple of int
        Slots by tier; 0 has them all, a tier without contracts none.
    netted : tuple of int
        Tiers of several slots whose deltas offset each other before any spread.
    """

    label: tuple[str, ...]
    of: Mapping[str, int]
    tier: Mapping[int, tuple[int, ...]]
    netted: tuple[int, ...]


def contains(tier: Tier, month: str) -> bool:
    """Whether a contract month is in a tier; months and days are compared as far as both say.

    Examples
    --------
    >>> contains(Tier(1, "202601", "202603"), "20260320"), contains(Tier(1, last="202603"), "202604")
    (True, False)
    """

    def cut(limit: str) -> tuple[str, str]:
        size = min(len(limit), len(month))
        return month[:size], limit[:size]

    if not month:
        return not tier.first and not tier.last
    (low, first), (high, last) = cut(tier.first), cut(tier.last)
    return low >= first and high <= last


def outside_tiers(
    commodities: Iterable[Commodity], name: Sequence[str], of: Sequence[str], month: Sequence[str]
) -> Iterator[str]:
    """Months that are in no tier of a commodity that has tiers: no spread of tiers takes their deltas.

    What has no month, such as spots and perpetuals, is not told.

    Parameters
    ----------
    commodities : iterable of Commodity
    name, of, month : sequence of str [I]
        Contracts, their commodities and their months.

    Examples
    --------
    >>> front = Commodity("X", "USD", 1.0, tiers=(Tier(1, last="202602"),))
    >>> print(*outside_tiers([front], ["F2", "F3", "O3"], ["X"] * 3, ["202602", "202603", "202603"]))
    month 202603 of X ('F3' and 1 more) is in no tier of it: spreads between tiers pass it by
    """
    known = {each.name: each.tiers for each in commodities if each.tiers}
    found: dict[tuple[str, str], list[str]] = {}
    for each, commodity, when in zip(name, of, month, strict=True):
        if when and commodity in known and not any(contains(tier, when) for tier in known[commodity]):
            found.setdefault((commodity, when), []).append(each)
    for (commodity, when), those in sorted(found.items()):
        more = f" and {len(those) - 1} more" if len(those) > 1 else ""
        yield f"month {when} of {commodity} ('{those[0]}'{more}) is in no tier of it: spreads between tiers pass it by"


def slots(commodity: Commodity, months: Iterable[str]) -> Slots:
    """Where the deltas of a commodity's contracts go.

    One slot a tier; one a month where there are no tiers, for months outside all tiers, and for months near delivery.
    A tier that has both sides of a spread in it keeps its months apart too: netted it would have one side only.
    The months of any other tier are netted.

    Parameters
    ----------
    commodity : Commodity
    months : iterable of str
        Of all its contracts.

    Examples
    --------
    >>> front = Commodity("X", "USD", 1.0, tiers=(Tier(1, last="202602"), Tier(2, "202603")))
    >>> slots(front, ["202604", "202601", "202603", "202602"]).label
    ('tier 1', 'tier 2')
    """
    apart = {leg.tier for spread in commodity.spreads for leg in spread.legs if _both_sides(spread.legs, leg.tier)}
    near = {delivery.month for delivery in commodity.delivery}
    index: dict[str, int] = {}
    of: dict[str, int] = {}
    tiers: dict[int, list[int]] = {0: [], **{tier.number: [] for tier in commodity.tiers}}
    for month in sorted(set(months)):
        number = next((tier.number for tier in commodity.tiers if contains(tier, month)), 0)
        whole = number > 0 and number not in apart and month not in near
        label = f"tier {number}" if whole else (month or "no month") + (f" in tier {number}" if number else "")
        of[month] = index.setdefault(label, len(index))
        for tier in {0, number}:
            if of[month] not in tiers[tier]:
                tiers[tier].append(of[month])
    netted = tuple(t for t, members in tiers.items() if t > 0 and len(members) > 1 and t not in apart)
    return Slots(tuple(index), of, {tier: tuple(members) for tier, members in tiers.items()}, netted)


def _both_sides(legs: Iterable[Leg], tier: int) -> bool:
    return {leg.side for leg in legs if leg.tier == tier} == {1, -1}
