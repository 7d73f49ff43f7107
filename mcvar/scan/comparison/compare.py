"""Margins beside Monte Carlo: account by account.

A margin is a number without sampling error; VaR and ES have intervals. So their ratio has the interval that VaR's
gives it, the chance of a greater loss that of a count, and a difference is said to be one only beyond VaR's interval.
What is compared of a margin, and is named `scan`, is its risk component: all that is to cover losses, before net option
value.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace

import numpy as np
from numpy.typing import NDArray
from scipy import sparse

from mcvar.errors import SettingError
from mcvar.intervals.estimate import Estimate
from mcvar.market import DAYS_PER_YEAR
from mcvar.scan.comparison.intervals import clopper_pearson
from mcvar.scan.times import days, same

Floats = NDArray[np.float64]
Ints = NDArray[np.int64]


@dataclass(frozen=True)
class Basis:
    """What a margin is stated on; two that are compared must have the same.

    Parameters
    ----------
    horizon : float
        Years that its moves are of; NaN: not known.
    decay : float
        Years that pass; NaN: not known.
    currency : tuple of str [R]
        Of each account.
    """

    horizon: float
    decay: float
    currency: tuple[str, ...]


@dataclass(frozen=True)
class Scans:
    """What an engine asks of R accounts, each in its own currency; NaN is what there is none of.

    Parameters
    ----------
    engine : str
    scan : ndarray [R]
        The risk component: all that is to cover losses, before net option value. Of SPAN scan risk with charges and
        credits, or the minimum; of other grids the initial margin with its contingencies.
    worst_scenario : ndarray [R]
        Number of the scenario behind the largest scan risk in it, from 1; 0: not known.
    requirement, nov : ndarray [R]
        What is to be paid; the net option value in it.
    alone : ndarray [R], optional
        Sum of the risk components that the positions would have alone.
    """

    engine: str
    scan: Floats
    worst_scenario: Ints
    requirement: Floats
    nov: Floats
    alone: Floats | None = None

    @classmethod
    def of(cls, engine: str, scan: Floats) -> Scans:
        """Of risk components alone."""
        none = np.full(len(scan), np.nan)
        return cls(engine, scan, np.zeros(len(scan), dtype=np.int64), none, none)


@dataclass(frozen=True)
class Compared:
    """R accounts, what an engine and Monte Carlo say of each; arrays are [R], and NaN is what there is none of.

    Parameters
    ----------
    scans : Scans
        Its `scan` is the margin below; without a worst scenario where that asks for nothing, as none of them loses.
    level, confidence : float
        Of VaR and ES, and of all intervals.
    scenarios : int
        N.
    var, es : Estimate
    alone : ndarray [R], optional
        Sum of the VaRs that the positions would have alone.
    ratio, ratio_low, ratio_high : ndarray [R]
        Margin / VaR; NaN where VaR <= 0, and the end at which VaR is its lower one where that is: `ratio_high`, or
        `ratio_low` of a negative margin.
    exceed_probability, exceed_low, exceed_high : ndarray [R]
        That the loss is greater than the margin.
    expected_shortfall_beyond : ndarray [R]
        Mean of what it is greater by when it is; NaN where it never was.
    worst_shortfall : ndarray [R]
        What the worst simulated loss is greater by; 0 where it is not.
    beyond_error : ndarray [R]
        1: the margin is outside VaR's interval, 0: inside; NaN: not known.
    """

    scans: Scans
    level: float
    confidence: float
    scenarios: int
    var: Estimate
    es: Estimate
    alone: Floats | None
    ratio: Floats
    ratio_low: Floats
    ratio_high: Floats
    exceed_probability: Floats
    exceed_low: Floats
    exceed_high: Floats
    expected_shortfall_beyond: Floats
    worst_shortfall: Floats
    beyond_error: Floats

    @property
    def known(self) -> NDArray[np.bool_]:
        """Accounts that both sides know, [R]."""
        return np.asarray(np.isfinite(self.scans.scan) & np.isfinite(self.var.value))

    @property
    def under(self) -> NDArray[np.bool_]:
        """Accounts whose margin is below VaR by more than the Monte Carlo error, [R]."""
        return np.asarray(self.known & (self.beyond_error == 1) & (self.scans.scan < self.var.value))

    @property
    def over(self) -> NDArray[np.bool_]:
        """Accounts whose margin is above VaR by more than the Monte Carlo error, [R]."""
        return np.asarray(self.known & (self.beyond_error == 1) & (self.scans.scan > self.var.value))

    @property
    def order(self) -> Ints:
        """Rows, those first whose margin is exceeded most often, and of these those with the least ratio, [R]."""
        chance = np.where(np.isnan(self.exceed_probability), -1.0, self.exceed_probability)
        return np.lexsort((np.where(np.isnan(self.ratio), np.inf, self.ratio), -chance))

    def verdict(self, row: int) -> str:
        """Where an account's margin is, in words; "": not known."""
        if np.isnan(self.beyond_error[row]):
            return ""
        return "below VaR" if self.under[row] else "above VaR" if self.over[row] else "within error"


def compare(
    scans: Scans,
    var: Estimate,
    es: Estimate,
    *,
    scenarios: int,
    count: Ints,
    excess: Floats,
    worst: Floats,
    alone: Floats | None = None,
) -> Compared:
    """Put two sides of R accounts together.

    Parameters
    ----------
    scans : Scans
    var, es : Estimate
        At one level, with intervals of one confidence.
    scenarios : int
        N, independent and alike.
    count : ndarray [R]
        Losses greater than the margin.
    excess : ndarray [R]
        Sum of what they are greater by.
    worst : ndarray [R]
        The worst loss.
    alone : ndarray [R], optional
        Sum of the VaRs that the positions would have alone.

    Raises
    ------
    SettingError
        VaR and ES of different levels or confidences.

    Examples
    --------
    >>> of = lambda *ends: [np.array([end]) for end in ends]
    >>> var = Estimate("var", 0.99, *of(100.0, 5.0, 90.0, 110.0), confidence=0.95, method="order statistics")
    >>> es = Estimate("es", 0.99, *of(120.0, 5.0, 110.0, 130.0), confidence=0.95, method="asymptotic")
    >>> found = compare(Scans.of("span16", np.array([80.0])), var, es, scenarios=1000, count=np.array([25]),
    ...     excess=np.array([500.0]), worst=np.array([180.0]))
    >>> found.ratio.tolist(), found.exceed_probability.tolist(), found.exceed_low.round(4).tolist()
    ([0.8], [0.025], [0.0162])
    >>> found.expected_shortfall_beyond.tolist(), found.worst_shortfall.tolist(), found.under.tolist()
    ([20.0], [100.0], [True])
    """
    if (var.level, var.confidence) != (es.level, es.confidence) or var.level is None:
        raise SettingError(
            f"VaR is at level {var.level} with {var.confidence} intervals and ES at {es.level} with {es.confidence}: "
            "compare both at one"
        )
    scan, known = scans.scan, np.isfinite(scans.scan)
    with np.errstate(divide="ignore", invalid="ignore"):
        ratio, low, high = (np.where(end > 0, scan / end, np.nan) for end in (var.value, var.high, var.low))
    low, high = np.where(scan < 0, (high, low), (low, high))
    probability = np.where(known, count / scenarios, np.nan)
    ends = clopper_pearson(count, scenarios, var.confidence)
    outside = (scan < var.low) | (scan > var.high)
    sure = known & (outside | ((scan >= var.low) & (scan <= var.high)))
    return Compared(
        scans=replace(scans, worst_scenario=np.where(scan > 0, scans.worst_scenario, 0)),
        level=var.level,
        confidence=var.confidence,
        scenarios=scenarios,
        var=var,
        es=es,
        alone=alone,
        ratio=ratio,
        ratio_low=np.where(np.isnan(ratio), np.nan, low),
        ratio_high=np.where(np.isnan(ratio), np.nan, high),
        exceed_probability=probability,
        exceed_low=np.where(known, ends[0], np.nan),
        exceed_high=np.where(known, ends[1], np.nan),
        expected_shortfall_beyond=np.where(known & (count > 0), excess / np.maximum(count, 1), np.nan),
        worst_shortfall=np.maximum(worst - scan, 0.0),
        beyond_error=np.where(sure, outside.astype(np.float64), np.nan),
    )


def alone_scans(long: Floats, short: Floats, quantity: sparse.csr_array) -> Floats:
    """The sum, over the positions of each account, of the risk component that each would have alone, [R].

    Parameters
    ----------
    long, short : ndarray [I]
        That of one unit of each contract.
    quantity : csr_array [R, I]

    Examples
    --------
    >>> alone_scans(np.array([5.0, 4.0]), np.array([4.0, 3.0]), sparse.csr_array([[1.0, -1.0], [0.0, 2.0]])).tolist()
    [8.0, 8.0]
    """
    return np.asarray(quantity.maximum(0) @ long - quantity.minimum(0) @ short)


def check_basis(engine: str, scan: Basis, simulated: Basis, accounts: Sequence[str]) -> None:
    """Refuse to compare what is not stated on one basis.

    Raises
    ------
    SettingError
        All that differs, or is not known of the engine.

    Examples
    --------
    >>> day = Basis(1 / 365, 1 / 365, ("USD",))
    >>> check_basis("span16", Basis(2 / 365, 1 / 365, ("EUR",)), day, ["A"])
    Traceback (most recent call last):
    mcvar.errors.SettingError: span16 and Monte Carlo cannot be compared: the horizon is 2 days there and 1 day here \
(take horizon.days=2); the currency of account 'A' is EUR there and USD here. State both on one basis
    """
    differ = []
    for name, there, here, unknown, other in (
        (
            "horizon", scan.horizon, simulated.horizon,
            "give scan.days, the days of moves that the ranges are of",
            f"take horizon.days={DAYS_PER_YEAR * scan.horizon:.6g}",
        ),
        (
            "time decay", scan.decay, simulated.decay, "give scan.lookahead, the days that pass until its prices",
            "take horizon.decay=false" if scan.decay == 0 else "let as much time pass in both",
        ),
    ):  # fmt: skip
        if np.isnan(there):
            differ.append(f"the {name} is not known there and {days(here)} here ({unknown})")
        elif not same(there, here):
            differ.append(f"the {name} is {days(there)} there and {days(here)} here ({other})")
    foreign = [
        f"the currency of account '{account}' is {there} there and {here} here"
        for account, there, here in zip(accounts, scan.currency, simulated.currency, strict=True)
        if there != here
    ]
    differ += foreign[:5] + ([f"that of {len(foreign) - 5} more differs, too"] if len(foreign) > 5 else [])
    if differ:
        raise SettingError(f"{engine} and Monte Carlo cannot be compared: {'; '.join(differ)}. State both on one basis")
