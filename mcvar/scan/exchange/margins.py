"""Margins by an exchange's scan grid: scan risk of a named reduction, and contingencies."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray
from scipy import sparse

from mcvar.errors import SettingError
from mcvar.scan.exchange import contingency
from mcvar.scan.exchange.expiries import expiries
from mcvar.scan.exchange.grid import Reduction
from mcvar.scan.exchange.system import Exchange
from mcvar.scan.pricing.contracts import Contracts
from mcvar.scan.ties import worst_point

Floats = NDArray[np.float64]
Ints = NDArray[np.int64]


@dataclass(frozen=True)
class ScanMargins:
    """Margins of R accounts in the reporting currency.

    Parameters
    ----------
    scan : ndarray [R]
        Scan risk, >= 0.
    worst_scenario : ndarray [R]
        The point, from 1, of the commodity with the largest scan risk; the lowest of several that differ by rounding
        only, see `mcvar.scan.ties`; one more than there are points for the loss of `ExpiryBasis`; 0 where nothing is
        lost.
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
    100 perpetuals and -2 calls lose 50 where the price falls; 200 units of calls are short, at 2 % of the price of 10.

    >>> from mcvar.scan.exchange.example import example
    >>> from mcvar.scan.exchange.grid import Points, Rule, VolatilityRange
    >>> from mcvar.scan.per import Per
    >>> move, none = np.array([1.0, -1.0]), np.zeros(2)
    >>> points = Points("two", move, none, np.ones(2), np.zeros(2, dtype=bool), ("", ""))
    >>> short = Rule("short_options", settings={"part": Per({"X": 0.02})})
    >>> grid = Exchange(points, Reduction.worst, Per({"X": 0.1}), Per({"X": 0.1}),
    ...     VolatilityRange(Per({"X": 0.0}), Per({"X": 0.0})), maintenance=0.8, rules=(short,))
    >>> found = margins(example()[0], grid, example()[1])
    >>> [float(each[0]) for each in (found.scan, found.worst_scenario, found.initial)]
    [50.0, 2.0, 90.0]
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


def _gross(contracts: Contracts, held: sparse.csr_array) -> Floats:
    """Sum of |quantity| (the largest |loss| of one contract + its value), what rounding is a part of, [R, C].

    The value is there because discounts are taken of it.
    """
    a = contracts.arrays
    each = (np.abs(a.loss).max(axis=1) + np.abs(a.value)) * contracts.rate
    return contingency.by_commodity(contracts, abs(held), each)
