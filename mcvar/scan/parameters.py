"""What a clearing house publishes beside its risk arrays: tiers, spreads and rates, as data."""

from __future__ import annotations

import math
from dataclasses import dataclass

NONE = ""


@dataclass(frozen=True)
class Tier:
    """Contract months that count as one in spreads: from `first` to `last`, both included; "" for no limit."""

    number: int
    first: str = NONE
    last: str = NONE


@dataclass(frozen=True)
class Leg:
    """One leg of a spread.

    Parameters
    ----------
    commodity : str
    tier : int
        0: all months of the commodity.
    ratio : float
        Deltas of the leg in one spread, > 0.
    side : int
        +1 or -1: legs of the same sign are on the same side of the market.
    credit : float
        Of an inter-commodity spread: the part of the leg's weighted futures price risk that is saved, in [0, 1].
    """

    commodity: str
    tier: int
    ratio: float
    side: int
    credit: float = 0.0


@dataclass(frozen=True)
class Spread:
    """Spreads are formed in the order of `priority`, the lowest first.

    Parameters
    ----------
    priority : int
    legs : tuple of Leg
        Of one commodity: an intra-commodity spread with a charge; of several: an inter-commodity one with credits.
    charge : float
        Of each intra-commodity spread, in the commodity's currency.
    """

    priority: int
    legs: tuple[Leg, ...]
    charge: float = 0.0


@dataclass(frozen=True)
class Delivery:
    """Charges for deltas in a month near delivery: `spread` for each that is in spreads, `outright` for the others."""

    month: str
    spread: float
    outright: float


@dataclass(frozen=True)
class Commodity:
    """A combined commodity.

    Parameters
    ----------
    name, currency : str
    price_range : float
        PSR, in the price's units (`relative`: as a part of the price); NaN: not known, as of arrays from a file.
    relative : bool
    volatility_range : float
        VSR, as a decimal: absolute points, or a part of each volatility (`relative_volatility`); NaN: not known.
    relative_volatility : bool
    extreme, covered : float
        Multiple of PSR of the extreme moves, and the fraction of their losses that counts.
    lookahead : float
        Years that pass until the prices of the scenarios; NaN: not known.
    tiers : tuple of Tier
    spreads : tuple of Spread
        Intra-commodity ones.
    delivery : tuple of Delivery
    short_option_minimum : float
        Of one short option.
    short_netted : bool
        Whether short options are counted net of long ones of the same contract month and type; else gross.
    delta_unit : float
        Units of the underlying that one delta is on: ratios and charges of spreads, and delivery charges, are for one
        delta; NaN: not said.
    """

    name: str
    currency: str
    price_range: float
    relative: bool = False
    volatility_range: float = 0.0
    relative_volatility: bool = False
    extreme: float = 2.0
    covered: float = 0.35
    lookahead: float = 1 / 365
    tiers: tuple[Tier, ...] = ()
    spreads: tuple[Spread, ...] = ()
    delivery: tuple[Delivery, ...] = ()
    short_option_minimum: float = 0.0
    short_netted: bool = False
    delta_unit: float = math.nan


@dataclass(frozen=True)
class Parameters:
    """Everything that SPAN is told beside the risk arrays.

    Parameters
    ----------
    commodities : tuple of Commodity
    spreads : tuple of Spread
        Inter-commodity ones.
    tie : str
        Which scenario is active where several are worst: `lowest` or `highest` number.
    """

    commodities: tuple[Commodity, ...]
    spreads: tuple[Spread, ...] = ()
    tie: str = "lowest"
