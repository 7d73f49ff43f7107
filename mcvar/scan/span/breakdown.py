"""Every step of one account's margin: what a person needs to check it by hand. Made on demand."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from mcvar.errors import SettingError
from mcvar.scan.span.holdings import Holdings, gather
from mcvar.scan.span.inter import Credited
from mcvar.scan.span.intra import Formed, Near
from mcvar.scan.span.margins import Margins
from mcvar.scan.span.plan import Plan
from mcvar.scan.span.steps import Record, Steps, take_steps
from mcvar.scan.span.worst import losses

Floats = NDArray[np.float64]


@dataclass(frozen=True)
class Position:
    """A contract, how many of it, and of one long one: loss in the active scenario, delta and option value."""

    name: str
    quantity: float
    loss: float
    delta: float
    value: float


@dataclass(frozen=True)
class PriceRisk:
    """What inter-commodity credits are made of: `weighted` is 0 where it gives no credit."""

    volatility_adjusted: float
    time_risk: float
    price_risk: float
    net_delta: float
    weighted: float
    left: float


@dataclass(frozen=True)
class Slice:
    """One account in one commodity; amounts in the currency of the margins.

    Parameters
    ----------
    name, currency : str
        Of the commodity.
    rate : float
        Of its currency: in it are charges, and the losses of contracts that have no other.
    positions : tuple of Position
    loss : ndarray [S]
        R_j.
    active, pair : int
        Numbers, from 1, of the active scenario and of the one paired with it.
    level : tuple of int
        Numbers of the two scenarios of time risk.
    scan : float
        max(0, R_a).
    delta : tuple of (str, float, float)
        Slots: net delta, and what intra-commodity spreads left of it.
    spreads : tuple of Formed
        In the order in which they were formed.
    intra : float
    near : tuple of (Near, float, float)
        Months near delivery: deltas in spreads, and others.
    delivery : float
    price : PriceRisk or None
        None where no inter-commodity spread names the commodity.
    credit : float
    short : float
        Short options that count.
    rate_short : float
        Of one of them.
    minimum : float
    risk : float
        max(scan + intra + delivery - credit, minimum).
    """

    name: str
    currency: str
    rate: float
    positions: tuple[Position, ...]
    loss: Floats
    active: int
    pair: int
    level: tuple[int, int]
    scan: float
    delta: tuple[tuple[str, float, float], ...]
    spreads: tuple[Formed, ...]
    intra: float
    near: tuple[tuple[Near, float, float], ...]
    delivery: float
    price: PriceRisk | None
    credit: float
    short: float
    rate_short: float
    minimum: float
    risk: float

    @property
    def binds(self) -> str:
        """Which of the two the risk is."""
        below = self.scan + self.intra + self.delivery - self.credit < self.minimum
        return "short option minimum" if below else "scan risk and charges"


@dataclass(frozen=True)
class Breakdown:
    """One account.

    Parameters
    ----------
    account, currency : str
    commodities : tuple of Slice
    spreads : tuple of Credited
        Inter-commodity spreads in the order in which they were formed.
    scan, risk, nov, requirement : float
        As in `Margins`.

    Examples
    --------
    `Breakdown.of(margins, "A")`, and `mcvar.scan.span.text.text` of it to read.
    """

    account: str
    currency: str
    commodities: tuple[Slice, ...]
    spreads: tuple[Credited, ...]
    scan: float
    risk: float
    nov: float
    requirement: float

    @classmethod
    def of(cls, margins: Margins, account: str | int) -> Breakdown:
        """Take the steps of one account again and keep them.

        Parameters
        ----------
        margins : Margins
        account : str or int
            Its name, or its row from 0.

        Raises
        ------
        SettingError
            No such account.
        """
        if isinstance(account, str) and account in margins.account:
            row = margins.account.index(account)
        elif isinstance(account, int) and 0 <= account < len(margins):
            row = account
        else:
            raise SettingError(f"no account {account!r} among the {len(margins)} of these margins: check the name")
        plan, record = margins.plan, Record()
        held = gather(margins.held, row, row + 1, margins.column, plan)
        steps = take_steps(plan, held, record)
        loss = np.zeros((held.pairs, plan.arrays.points))
        for at, each in losses(plan, held):
            loss[at] = each
        present = np.flatnonzero(np.diff(held.bound)).tolist()
        return cls(
            account=margins.account[row] if margins.account else f"row {row + 1}",
            currency=margins.currency,
            commodities=tuple(_slice(plan, held, steps, record, c, loss[g]) for g, c in enumerate(present)),
            spreads=tuple(record.inter),
            scan=float(margins.scan[row]),
            risk=float(margins.risk[row]),
            nov=float(margins.nov[row]),
            requirement=float(margins.requirement[row]),
        )


def _slice(plan: Plan, held: Holdings, steps: Steps, record: Record, c: int, loss: Floats) -> Slice:
    g, commodity, terms = int(held.bound[c]), plan.parameters.commodities[c], plan.terms[c]
    active = int(steps.worst.active[g])
    before, after = record.delta[c]
    mine = np.flatnonzero(held.pair == g)
    positions = (
        Position(
            name=plan.arrays.name[plan.order[i]],
            quantity=float(quantity),
            loss=float(plan.loss[i, active]),
            delta=float(plan.delta[i]),
            value=float(plan.value[i]),
        )
        for i, quantity in zip(held.contract[mine].tolist(), held.quantity[mine].tolist(), strict=True)
    )
    return Slice(
        name=commodity.name,
        currency=commodity.currency,
        rate=plan.rates[commodity.currency],
        positions=tuple(positions),
        loss=loss,
        active=active + 1,
        pair=int(plan.grid.pair[active]) + 1,
        level=(plan.level + 1, int(plan.grid.pair[plan.level]) + 1),
        scan=float(steps.scan[g]),
        delta=tuple(zip(terms.slots.label, before.tolist(), after.tolist(), strict=True)),
        spreads=tuple(record.intra[c]),
        intra=float(steps.intra[g]),
        near=tuple(
            (near, abs(float(before[near.slot])) - abs(float(after[near.slot])), abs(float(after[near.slot])))
            for near in terms.near
        ),
        delivery=float(steps.delivery[g]),
        price=_price_risk(plan, record, c, loss, active) if c in record.net else None,
        credit=float(steps.credit[g]),
        short=float(steps.short[g]),
        rate_short=float(plan.minimum[c]),
        minimum=float(steps.minimum[g]),
        risk=float(steps.risk[g]),
    )


def _price_risk(plan: Plan, record: Record, c: int, loss: Floats, active: int) -> PriceRisk:
    pair, net = plan.grid.pair, record.net[c]
    adjusted = float(loss[active] + loss[pair[active]]) / 2
    time_risk = float(loss[plan.level] + loss[pair[plan.level]]) / 2
    pool = plan.pools.commodity.index(c)
    used = sum(each.number * arm.ratio for each in record.inter for arm in each.spread.arms if arm.pool == pool)
    left = abs(net) - used
    return PriceRisk(
        volatility_adjusted=adjusted,
        time_risk=time_risk,
        price_risk=adjusted - time_risk,
        net_delta=net,
        weighted=record.risk[c],
        left=float(np.sign(net)) * (left if left > 1e-12 * abs(net) else 0.0),
    )
