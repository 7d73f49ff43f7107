"""Margins beside Monte Carlo: over all accounts, and by kind of book."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from mcvar.intervals.estimate import exact
from mcvar.scan.comparison.compare import Compared
from mcvar.scan.comparison.intervals import spearman

Floats = NDArray[np.float64]
Ints = NDArray[np.int64]
ALL = "*"  # the group of all accounts
UNNAMED = "no kind"


@dataclass(frozen=True)
class Group:
    """What is said of several accounts; amounts are in the currency of the run, and None is what there is none of.

    Parameters
    ----------
    engine : str
    kind : str
        `*`: all of them.
    accounts : int
        That both sides know.
    target : float
        The level of VaR.
    coverage : float or None
        Mean over the accounts of the probability that the loss is not greater than the margin.
    coverage_low, coverage_high : float or None
        Means of the ends of the accounts' intervals: as if all were exceeded together, which is the widest that it is.
    covered : int
        Accounts that reach the target by the simulated scenarios.
    under, over : int
        Accounts whose margin is below, above VaR by more than the Monte Carlo error.
    scan, var, es : float
        Sums over the accounts; `scan`, the margin, is the risk component.
    under_amount, over_amount : float
        Sums of max(VaR - scan, 0) and max(scan - VaR, 0).
    ratio : float or None
        Median of scan / VaR.
    rank, rank_low, rank_high : float or None
        Spearman's correlation of scan and VaR over the accounts.
    netting_scan, netting_var : float or None
        Sum of the stand-alone margins (VaRs) of all positions over that of the accounts'.
    """

    engine: str
    kind: str
    accounts: int
    target: float
    coverage: float | None
    coverage_low: float | None
    coverage_high: float | None
    covered: int
    under: int
    over: int
    scan: float
    var: float
    es: float
    under_amount: float
    over_amount: float
    ratio: float | None
    rank: float | None
    rank_low: float | None
    rank_high: float | None
    netting_scan: float | None
    netting_var: float | None


def members(kinds: Sequence[str]) -> dict[str, Ints]:
    """The rows of each group: all, then kinds in the order of their first account; one kind alone is no group.

    Examples
    --------
    >>> {name: rows.tolist() for name, rows in members(["a", "", "a"]).items()}
    {'*': [0, 1, 2], 'a': [0, 2], 'no kind': [1]}
    """
    found = {ALL: np.arange(len(kinds))}
    named = [kind or UNNAMED for kind in kinds]
    names = list(dict.fromkeys(named))
    if len(names) > 1:
        found |= {name: np.flatnonzero([each == name for each in named]) for name in names}
    return found


def summarised(found: Compared, kinds: Sequence[str], worth: Floats | None = None) -> list[Group]:
    """All accounts, then each kind of book.

    Parameters
    ----------
    found : Compared
        R accounts.
    kinds : sequence of str [R]
        "": none.
    worth : ndarray [R], optional
        Units of the run's currency for one of each account's; default: 1.

    Examples
    --------
    >>> from mcvar.intervals.estimate import Estimate
    >>> from mcvar.scan.comparison.compare import Scans, compare
    >>> value = np.full(3, 100.0)
    >>> sides = [Estimate(kind, 0.99, value, value / 50, 0.9 * value, 1.1 * value, 0.95, "") for kind in ("var", "es")]
    >>> found = compare(Scans.of("x", np.array([50.0, 105.0, 150.0])), *sides, scenarios=1_000,
    ...     count=np.array([40, 8, 0]), excess=np.ones(3), worst=value)
    >>> every = summarised(found, ["a", "a", "b"])[0]
    >>> every.coverage, every.under, every.over, every.under_amount, every.over_amount, every.ratio
    (0.984, 1, 1, 50.0, 55.0, 1.05)
    """
    worth = np.ones(len(found.scans.scan)) if worth is None else worth
    return [_group(found, name, rows[found.known[rows]], worth) for name, rows in members(kinds).items()]


def _group(found: Compared, name: str, rows: Ints, worth: Floats) -> Group:
    rate, scan, var = worth[rows], found.scans.scan[rows], found.var.value[rows]
    scan_worth, var_worth = rate * scan, rate * var
    chance, miss = found.exceed_probability[rows], float(1 - exact(found.level))
    coverage, low, high = (_less_than_one(end[rows]) for end in (
        found.exceed_probability, found.exceed_high, found.exceed_low
    ))  # fmt: skip
    rank = spearman(scan_worth, var_worth, found.confidence)
    short = var_worth - scan_worth
    return Group(
        engine=found.scans.engine,
        kind=name,
        accounts=len(rows),
        target=found.level,
        coverage=coverage,
        coverage_low=low,
        coverage_high=high,
        covered=int((chance <= miss).sum()),
        under=int(found.under[rows].sum()),
        over=int(found.over[rows].sum()),
        scan=float(scan_worth.sum()),
        var=float(var_worth.sum()),
        es=float((rate * found.es.value[rows]).sum()),
        under_amount=float(np.maximum(short, 0.0).sum()),
        over_amount=float(np.maximum(-short, 0.0).sum()),
        ratio=_median(found.ratio[rows]),
        rank=_known(rank[0]),
        rank_low=_known(rank[1]),
        rank_high=_known(rank[2]),
        netting_scan=_netting(found.scans.alone, found.scans.scan, rows, worth),
        netting_var=_netting(found.alone, found.var.value, rows, worth),
    )


def _netting(alone: Floats | None, together: Floats, rows: Ints, worth: Floats) -> float | None:
    """Stand-alone over portfolio margins; None where either is not known or the latter is not positive."""
    if alone is None:
        return None
    rows = rows[np.isfinite(alone[rows])]
    total = float(worth[rows] @ together[rows])
    return float(worth[rows] @ alone[rows]) / total if total > 0 else None


def _less_than_one(values: Floats) -> float | None:
    return 1.0 - float(values.mean()) if len(values) else None


def _median(values: Floats) -> float | None:
    known = values[~np.isnan(values)]
    return float(np.median(known)) if len(known) else None


def _known(value: float) -> float | None:
    return None if np.isnan(value) else float(value)
