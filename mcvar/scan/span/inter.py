"""Credits between commodities: what offsetting deltas save of their price risks."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from mcvar.scan.parameters import Spread
from mcvar.scan.span.intra import take
from mcvar.scan.span.slots import Slots

Floats = NDArray[np.float64]
Ints = NDArray[np.int64]


@dataclass(frozen=True)
class Arm:
    """A leg of an inter-commodity spread: pools of deltas that it draws on."""

    pool: int  # of the commodity
    tier: int  # the pool of one of its tiers; -1: all months
    side: int
    ratio: float
    credit: float
    commodity: str
    label: str


@dataclass(frozen=True)
class Inter:
    """One inter-commodity spread."""

    priority: int
    arms: tuple[Arm, ...]
    ratio: Mapping[int, float]  # of all legs on a commodity's pool


@dataclass(frozen=True)
class Pools:
    """Inter-commodity spreads, and the pools of deltas that they draw on.

    Parameters
    ----------
    spreads : tuple of Inter
        In the order in which they are formed.
    commodity : tuple of int
        Commodities that have a pool, by its number: these come first.
    tiers : tuple of (int, tuple of int)
        Of the pools of single tiers: the commodity, and its slots.
    """

    spreads: tuple[Inter, ...]
    commodity: tuple[int, ...]
    tiers: tuple[tuple[int, tuple[int, ...]], ...]

    def __len__(self) -> int:
        """P."""
        return len(self.commodity) + len(self.tiers)

    def tiers_of(self, commodity: int) -> Iterator[tuple[int, tuple[int, ...]]]:
        """Pools of single tiers of a commodity, and the slots of each."""
        for pool, (owner, slots) in enumerate(self.tiers, start=len(self.commodity)):
            if owner == commodity:
                yield pool, slots


@dataclass(frozen=True)
class Credited:
    """What one account formed of a spread: the credit of each leg, in the reporting currency."""

    spread: Inter
    turned: bool
    number: float
    credit: tuple[float, ...]


def resolve_pools(spreads: Sequence[Spread], index: Mapping[str, int], slots: Mapping[int, Slots]) -> Pools:
    """Name the pools of inter-commodity spreads.

    Parameters
    ----------
    spreads : sequence of Spread
    index : mapping
        Number of each commodity.
    slots : mapping
        Of the commodities that have contracts: a spread on others can never be formed and is left out.
    """
    kept = [
        spread
        for spread in sorted(spreads, key=lambda spread: spread.priority)
        if all(index[leg.commodity] in slots and slots[index[leg.commodity]].tier[leg.tier] for leg in spread.legs)
    ]
    legs = [leg for spread in kept for leg in spread.legs]
    owners = sorted({index[leg.commodity] for leg in legs})
    tiers = sorted({(index[leg.commodity], leg.tier) for leg in legs if leg.tier})
    resolved = []
    for spread in kept:
        arms = tuple(
            Arm(
                owners.index(c := index[leg.commodity]),
                len(owners) + tiers.index((c, leg.tier)) if leg.tier else -1,
                leg.side,
                leg.ratio,
                leg.credit,
                leg.commodity,
                leg.commodity + (f" tier {leg.tier}" if leg.tier else ""),
            )
            for leg in spread.legs
        )
        ratio: dict[int, float] = {}
        for arm in arms:
            ratio[arm.pool] = ratio.get(arm.pool, 0.0) + arm.ratio
        resolved.append(Inter(spread.priority, arms, ratio))
    return Pools(tuple(resolved), tuple(owners), tuple((c, slots[c].tier[t]) for c, t in tiers))


def weighted_price_risk(net: Floats, price_risk: Floats) -> Floats:
    """WFPR, weighted futures price risk: price risk a delta; 0, which gives no credit, unless it is positive."""
    risk = np.zeros_like(net)
    np.divide(price_risk, np.abs(net), out=risk, where=(net != 0) & (price_risk > 0))
    return risk


def give(free: Floats, risk: Floats, pools: Pools, record: list[Credited] | None = None) -> Floats:
    """Form inter-commodity spreads in their order, and say what they save.

    n = min over legs of deltas / ratio, with the legs on the sides that they name or all on the opposite ones; leg i
    saves WFPR_i n ratio_i credit_i. A leg of one tier takes no more than the tier has, nor than is left of the
    commodity's net delta. No spread is formed with a commodity whose WFPR is 0.

    Parameters
    ----------
    free : ndarray [2, P, B]
        Long and short deltas by pool and account; what spreads consume is taken out.
    risk : ndarray [C, B]
        WFPR of the commodities that have pools.
    pools : Pools
    record : list, optional
        Of one account (B = 1): gets the spreads that are formed.

    Returns
    -------
    ndarray [C, B]
    """
    credit = np.zeros_like(risk)
    for spread in pools.spreads:
        for turned in (False, True):
            short = [int((arm.side < 0) != turned) for arm in spread.arms]
            number = np.full(free.shape[2], np.inf)
            for arm, at in zip(spread.arms, short, strict=True):
                np.minimum(number, free[at, arm.pool] / spread.ratio[arm.pool], out=number)
                if arm.tier >= 0:
                    np.minimum(number, free[at, arm.tier] / arm.ratio, out=number)
            who = np.flatnonzero(number)
            if not len(who):
                continue
            saved = []
            for arm, at in zip(spread.arms, short, strict=True):
                used = number[who] * arm.ratio
                for pool in (arm.pool, arm.tier)[: 1 + (arm.tier >= 0)]:
                    free[at, pool, who] = take(free[at, pool, who], used)
                saved.append(risk[arm.pool, who] * used * arm.credit)
                credit[arm.pool, who] += saved[-1]
            if record is not None:
                record.append(Credited(spread, turned, float(number[0]), tuple(float(s[0]) for s in saved)))
    return credit
