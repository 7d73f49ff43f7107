"""A margin system that is a scan grid: its moves, ranges, reduction and contingencies."""

from __future__ import annotations

from dataclasses import dataclass, field, replace

from mcvar.scan.exchange.grid import Discounts, ExpiryBasis, Points, Reduction, Rule, Skew, VolatilityRange
from mcvar.scan.parameters import Parameters
from mcvar.scan.per import Per
from mcvar.scan.pricing.risk_arrays import scaled
from mcvar.scan.pricing.units import Units


@dataclass(frozen=True)
class Exchange:
    """A margin system that is a scan grid.

    Parameters
    ----------
    points : Points
    reduction : Reduction
    price_range, price_range_down : Per
        Of moves up and down, as parts of the prices or, unless `relative`, in units of them.
    volatility : VolatilityRange
    relative : bool
    damping : float or None
        Over the size of an extended move it is the part of the P&L that counts; None: the price range to that side.
    inverse_conversion : bool
        Losses of inverse contracts at an extended move m count (1 + m) / (1 + sign(m) range) times: in coins of the
        price at the range's end.
    gains : Per
        The part of a commodity's gain that counts against losses of others (`cells`).
    lookahead : float
        Years.
    skew : Skew
    discounts : Discounts or None
    basis : ExpiryBasis or None
    initial, maintenance : float
        How much of scan risk counts in each margin.
    rules : tuple of Rule
    weights : tuple of float
        Of composite deltas.
    parameters : Parameters or None
        Of the SPAN algorithm: prices and volatilities then move by these, each commodity's own.
    units : mapping of str to DeltaUnit
        What one delta of a commodity is on; one unit of the underlying where it is not there.
    """

    points: Points
    reduction: Reduction
    price_range: Per
    price_range_down: Per
    volatility: VolatilityRange
    relative: bool = True
    damping: float | None = None
    inverse_conversion: bool = False
    gains: Per = field(default_factory=lambda: Per({"default": 1.0}))
    lookahead: float = 0.0
    skew: Skew = field(default_factory=Skew)
    discounts: Discounts | None = None
    basis: ExpiryBasis | None = None
    initial: float = 1.0
    maintenance: float = 1.0
    rules: tuple[Rule, ...] = ()
    weights: tuple[float, ...] = (1.0,)
    parameters: Parameters | None = None
    units: Units = field(default_factory=dict)

    def scaled(self, price: float = 1.0, volatility: float = 1.0) -> Exchange:
        """The same with multiples of the price and volatility ranges; extended moves stay."""
        v = self.volatility
        return replace(
            self,
            price_range=self.price_range.times(price),
            price_range_down=self.price_range_down.times(price),
            volatility=replace(v, up=v.up.times(volatility), down=v.down.times(volatility)),
            parameters=None if self.parameters is None else scaled(self.parameters, price, volatility),
        )
