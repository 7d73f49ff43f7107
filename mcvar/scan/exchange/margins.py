"""Margins by an exchange's scan grid: a table of moves, a named reduction, and contingencies."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field, replace

import numpy as np
from numpy.typing import NDArray
from scipy import sparse

from mcvar.errors import SettingError
from mcvar.scan.exchange import contingency
from mcvar.scan.exchange.grid import Basis, Discounts, Points, Reduction, Rule, Skew, VolatilityRange
from mcvar.scan.parameters import Parameters
from mcvar.scan.per import Per
from mcvar.scan.pricing.contracts import Contracts
from mcvar.scan.pricing.risk_arrays import scaled
from mcvar.scan.ties import worst_point

Floats = NDArray[np.float64]
Ints = NDArray[np.int64]


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
    basis : Basis or None
    initial, maintenance : float
        How much of scan risk counts in each margin.
    rules : tuple of Rule
    weights : tuple of float
        Of composite deltas.
    parameters : Parameters or None
        Of the SPAN algorithm: prices and volatilities then move by these, each commodity's own.
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
    basis: Basis | None = None
    initial: float = 1.0
    maintenance: float = 1.0
    rules: tuple[Rule, ...] = ()
    weights: tuple[float, ...] = (1.0,)
    parameters: Parameters | None = None

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


@dataclass(frozen=True)
class ScanMargins:
    """Margins of R accounts in the reporting currency.

    Parameters
    ----------
    scan : ndarray [R]
        Scan risk, >= 0.
    worst_scenario : ndarray [R]
        The point, from 1, of the commodity with the largest scan risk; the lowest of several that differ by rounding
        only, see `mcvar.scan.ties`; one more than there are points for the loss of `Basis`; 0 where nothing is lost.
    contingency : dict of str to ndarray [R]
        By rule, before its `initial` or `maintenance` part is taken.
    initial, maintenance : ndarray [R]
        Requirements.
    nov : ndarray [R]
        Net option value: what the account's options with upfront premiums are worth.
    commodity : tuple of str [C]
    scan_by, worst_by : ndarray [R, C]
        Scan risk and point of each commodity alone.
    """

    scan: Floats
    worst_scenario: Ints
    contingency: dict[str, Floats]
    initial: Floats
    maintenance: Floats
    nov: Floats
    commodity: tuple[str, ...]
    scan_by: Floats
    worst_by: Ints

    @property
    def risk(self) -> Floats:
        """What covers losses, before net option value: these systems' margins are not net of it, [R]."""
        return self.initial

    @property
    def requirement(self) -> Floats:
        """The initial margin, [R]."""
        return self.initial


def margins(contracts: Contracts, exchange: Exchange, held: sparse.csr_array) -> ScanMargins:
    """Margins of accounts.

    Parameters
    ----------
    contracts : Contracts
        Of `mcvar.scan.exchange.price.price_exchange`.
    exchange : Exchange
    held : csr_array [R, I]
        Contracts that each account holds, signed.

    Raises
    ------
    SettingError
        Grids that the SPAN algorithm reduces, rules that do not exist or are told something else.

    Examples
    --------
    See `tests/test_exchange.py`, "a published example".
    """
    reduce = {Reduction.worst: worst, Reduction.cells: worst, Reduction.expiries: expiries}.get(exchange.reduction)
    if reduce is None:
        raise SettingError(
            f"scan.reduction={exchange.reduction.value} is the SPAN algorithm, which needs parameters of its own: "
            "take reduction=worst for scan risk alone"
        )
    charges = {rule.name: contingency.charge(rule, contracts, held) for rule in exchange.rules}  # [R, C] each
    a = contracts.arrays
    losses = reduce(contracts, exchange, held)  # C of [R, S]
    gross = _gross(contracts, held)
    found = [worst_point(loss, gross[:, c]) for c, loss in enumerate(losses)]
    point_by = np.stack([point for point, _ in found], axis=1)
    scan_by = np.maximum(np.stack([most for _, most in found], axis=1), 0.0)
    if exchange.reduction is Reduction.cells:
        point, most = worst_point(cells(losses, [exchange.gains(c) for c in a.commodity]), gross.sum(axis=1))
        scan = np.maximum(most, 0.0)
        floored = scan[:, None]
    else:
        scan, floored = scan_by.sum(axis=1), scan_by
        largest, _ = worst_point(scan_by, gross.sum(axis=1))
        point = np.take_along_axis(point_by, largest[:, None], axis=1)[:, 0]
    both = []
    for name, factor in (("initial", exchange.initial), ("maintenance", exchange.maintenance)):
        need = factor * floored
        for rule in exchange.rules:
            if rule.floor:
                least = charges[rule.name] * getattr(rule, name)
                need = np.maximum(need, least if need.shape == least.shape else least.sum(axis=1, keepdims=True))
        added = [charges[r.name].sum(axis=1) * getattr(r, name) for r in exchange.rules if not r.floor]
        both.append(need.sum(axis=1) + sum(added, np.zeros(len(scan))))
    return ScanMargins(
        scan=scan,
        worst_scenario=np.where(scan > 0, point + 1, 0),
        contingency={name: by.sum(axis=1) for name, by in charges.items()},
        initial=both[0],
        maintenance=both[1],
        nov=held @ (a.value * contracts.rate),
        commodity=a.commodity,
        scan_by=scan_by,
        worst_by=np.where(scan_by > 0, point_by + 1, 0),
    )


def worst(contracts: Contracts, exchange: Exchange, held: sparse.csr_array) -> list[Floats]:
    """Losses of each commodity at each point in the reporting currency at today's rates, C of [R, S]."""
    a = contracts.arrays
    loss = a.loss * contracts.rate[:, None]
    return [held[:, here] @ loss[here] for here in (np.flatnonzero(a.of == c) for c in range(len(a.commodity)))]


def cells(losses: Sequence[Floats], gains: Sequence[float]) -> Floats:
    """Losses of all commodities at the same point, gains counting in part, [R, S].

    Examples
    --------
    >>> cells([np.array([[3.0, -1.0]]), np.array([[-2.0, 2.0]])], [0.5, 0.5]).tolist()
    [[2.0, 1.5]]
    """
    return np.asarray(sum(np.where(loss > 0, loss, part * loss) for loss, part in zip(losses, gains, strict=True)))


def expiries(contracts: Contracts, exchange: Exchange, held: sparse.csr_array) -> list[Floats]:
    """Losses of each commodity, C of [R, S], the options of each expiry discounted, their worse turn of the smile.

    The value V of an expiry's options at a point counts with `Discounts`, so its loss is w (V_0 - f(V) V). A turn of
    the smile loses |.| whichever way it goes: the opposite turn is not priced. With `Basis` its loss is one more
    column, the last of [R, S + 1].
    """
    a, i, discounts = contracts.arrays, contracts.instruments, exchange.discounts or Discounts()
    weight, turned = exchange.points.weight, np.array([bool(s) for s in exchange.points.skew])
    if np.isnan(weight).any() or exchange.inverse_conversion:
        raise SettingError("scan.reduction=expiries needs the weight of every point: write them in the table")
    losses = []
    for c in range(len(a.commodity)):
        here = np.flatnonzero((a.of == c) & ~a.option)
        loss = held[:, here] @ (a.loss[here] * contracts.rate[here, None])
        apart = np.zeros(held.shape[0])
        for years in np.unique(i.years[(a.of == c) & a.option]):
            at = np.flatnonzero((a.of == c) & a.option & (i.years == years))
            own, rate = held[:, at], contracts.rate[at]
            now = (own @ (a.value[at] * rate))[:, None]
            with np.errstate(divide="ignore", invalid="ignore"):
                later = now - np.where(weight > 0, (own @ (a.loss[at] * rate[:, None])) / weight, 0.0)
            long, short = (float(f[0]) for f in discounts.factors(i.years[at[:1]], i.rate[at[:1]]))
            expiry = weight * (now - later * np.where(later >= 0, long, short))
            loss = loss + np.where(turned, np.abs(expiry), expiry)
            if exchange.basis is not None and contracts.basis is not None:
                moved = own @ (contracts.basis[at] * rate[:, None])
                factor = exchange.basis.add + exchange.basis.multiple * float(i.years[at[0]])
                apart += factor * np.maximum(moved.max(axis=1), 0.0)
        losses.append(loss if exchange.basis is None else np.column_stack([loss, apart]))
    return losses


def _gross(contracts: Contracts, held: sparse.csr_array) -> Floats:
    """Sum of |quantity| (the largest |loss| of one contract + its value), what rounding is a part of, [R, C].

    The value is there because discounts are taken of it.
    """
    a = contracts.arrays
    each = (np.abs(a.loss).max(axis=1) + np.abs(a.value)) * contracts.rate
    place = sparse.csr_array((each, (np.arange(len(a)), a.of)), shape=(len(a), len(a.commodity)))
    return np.asarray((abs(held) @ place).toarray())
