"""Scan grids: the group `scan` of the configuration. Every option is a table of moves in a YAML file, no code."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import Any, Optional

from mcvar.scan.exchange.grid import Reduction

# OmegaConf reads these annotations: it knows Optional[...], not the newer `... | None` everywhere.
# ruff: noqa: UP045

_THIRD = 1 / 3


def _span16() -> list[list[float]]:
    steps = [0.0, _THIRD, -_THIRD, 2 * _THIRD, -2 * _THIRD, 1.0, -1.0]
    return [[step, way, 1.0] for step in steps for way in (1.0, -1.0)] + [[2.0, 0.0, 0.35], [-2.0, 0.0, 0.35]]


@dataclass
class ScanConfig:
    """A margin system that looks at a table of moves; the default is SPAN's sixteen scenarios.

    "A number for each commodity" is a number, or a mapping of commodities to numbers with `default` for the others.

    Parameters
    ----------
    name : str
    file : str
        Risk arrays and parameters instead of mcvar's own: a folder of tables, a `.pa2` or a `.spn` file; of what is
        below only `conventions`, `days`, `lookahead` and `tie` are read then.
    conventions : mapping
        How `file` is read where its format leaves it open: see docs/span_files.md.
    parameters : str
        A folder with `commodities`, `tiers`, `spreads` and `delivery` tables for mcvar's own arrays (`span`): ranges,
        spreads, credits, delivery charges and short option minimums of every commodity of the book. What they leave
        blank of ranges, look-ahead and extreme moves is as below.
    days : float or None
        Days of moves that the ranges which are given are of; None: not known. What Monte Carlo says over another
        horizon is not compared with them.
    reduction : Reduction
        `span`, `worst`, `cells` or `expiries`: see `mcvar.scan.exchange.grid.Reduction`.
    points : list of [price, volatility, weight]
        In ranges, + is up; weight is the part of the loss that counts.
    extended : list of [move, volatility, weight]
        Moves as parts of the price; a weight of null is `damping` over the size of the move.
    skews : list of str
        `linear`, `abs`: points at which the smile turns.
    price_range, price_range_down : a number for each commodity
        Null: what covers `coverage` of the run's own moves; down: as up.
    relative, relative_volatility : bool
        Whether ranges are parts of prices and of volatilities, or in their units.
    volatility_up, volatility_down : a number for each commodity
        Null: as `price_range`; down: as up.
    short_power, long_power, pivot_days, least_days, least_volatility : float
        Volatility ranges by time to expiry: see `mcvar.scan.exchange.grid.VolatilityRange`.
    lookahead : float or None
        Days until the moves; None: the run's time decay.
    coverage : float
        Of ranges that nobody gives.
    damping : float or None
        None: the price range.
    inverse_conversion : bool
        See `mcvar.scan.exchange.margins.Exchange`.
    gains : a number for each commodity
        The part of a commodity's gain that counts against losses of others (`cells`).
    skew, discounts, basis : mapping
        Fields of `mcvar.scan.exchange.grid.Skew`, and (`expiries`) of `Discounts` and `Basis`; an empty `basis`: none.
    initial, maintenance : float
        Parts of scan risk in each margin.
    contingencies : list of mapping
        `rule`, its settings (`mcvar.scan.exchange.contingency`) and, optional, `floor`, `initial`, `maintenance`.
    delta_weights : list of float
        Of composite deltas: at 0, then at each equal step outward to the price range.
    tie : str
        The active scenario of several that are worst: `lowest` or `highest` (`span`).
    short_option_minimum : a number for each commodity
        (`span`).
    """

    name: str = "span16"
    file: str = ""
    conventions: Any = field(default_factory=dict)
    parameters: str = ""
    days: Optional[float] = None
    reduction: Reduction = Reduction.span
    points: Any = field(default_factory=_span16)
    extended: Any = field(default_factory=list)
    skews: list[str] = field(default_factory=list)
    price_range: Any = None
    price_range_down: Any = None
    relative: bool = True
    volatility_up: Any = None
    volatility_down: Any = None
    relative_volatility: bool = True
    short_power: float = 0.0
    long_power: float = 0.0
    pivot_days: float = 30.0
    least_days: float = 0.0
    least_volatility: float = 0.0
    lookahead: Optional[float] = None
    coverage: float = 0.99
    damping: Optional[float] = None
    inverse_conversion: bool = False
    gains: Any = 1.0
    skew: Any = field(default_factory=dict)
    discounts: Any = field(default_factory=dict)
    basis: Any = field(default_factory=dict)
    initial: float = 1.0
    maintenance: float = 1.0
    contingencies: Any = field(default_factory=list)
    delta_weights: list[float] = field(default_factory=lambda: [0.270, 0.217, 0.110, 0.037])
    tie: str = "lowest"
    short_option_minimum: Any = 0.0


SCANS: dict[str, type] = dict.fromkeys(("span16", "deribit", "derive", "paradex", "tims", "template"), ScanConfig)
