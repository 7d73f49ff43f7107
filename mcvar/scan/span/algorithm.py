"""SPAN: margins of many accounts from risk arrays and published parameters.

For each combined commodity: scan risk, charges for spreads between months and for deltas near delivery, credits for
spreads between commodities, a minimum for short options; the sum over commodities less net option value is the
requirement. Accounts are done in blocks, by threads: numpy and scipy release the interpreter lock.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor

import numpy as np
from numpy.typing import NDArray
from scipy import sparse

from mcvar.errors import InputError, SettingError
from mcvar.scan.arrays import RiskArrays
from mcvar.scan.grid import Grid
from mcvar.scan.parameters import Parameters
from mcvar.scan.span.check import check_arrays, check_parameters, check_rates, check_shapes
from mcvar.scan.span.holdings import Holdings, blocks, check_held, clean, gather, name_of, sum_by
from mcvar.scan.span.margins import Margins
from mcvar.scan.span.plan import Plan, make_plan
from mcvar.scan.span.steps import Steps, take_steps
from mcvar.scan.ties import TOLERANCE

POSITIONS = 2**19  # of one block of accounts, at most, unless one account has more
CELLS = 2**20  # of a table of accounts by commodities in spreads
COLUMNS = ("scan", "worst_scenario", "intra", "delivery", "credit", "minimum", "risk", "nov")


def span(
    arrays: RiskArrays,
    grid: Grid,
    parameters: Parameters,
    held: sparse.csr_array,
    *,
    account: Sequence[str] = (),
    contract: Sequence[str] | None = None,
    currency: str = "",
    rates: Mapping[str, float] | None = None,
    workers: int = 1,
) -> Margins:
    """Margins of R accounts.

    Parameters
    ----------
    arrays : RiskArrays
    grid : Grid
        The points of the arrays.
    parameters : Parameters
    held : csr_array [R, I]
        Quantities, signed; of whole contracts. Entries of one cell add up.
    account : sequence of str, optional
        Names of the rows.
    contract : sequence of str, optional
        Names of the columns; by default those of the arrays, in their order.
    currency : str, optional
        Of the margins; may be left out where all amounts are in one currency.
    rates : mapping of str to float, optional
        Units of `currency` for one unit of each other: amounts are converted before they are netted.
    workers : int
        Threads. Results have the same bits for any number.

    Raises
    ------
    InputError
        All that is wrong, together: spreads that name unknown commodities or tiers, duplicate priorities, negative
        ranges, rates and ratios, numbers that are not finite, contracts held without an array, currencies without
        a rate.

    Notes
    -----
    * Deltas are net by tier, or by month where there are no tiers. A tier in which a spread has both its sides keeps
      its months apart; netted it would have one side only. A leg of tier 0 takes from all, the nearest first.
    * Both orientations of a spread are formed, first the one that its legs name. Priorities are unique within a
      commodity, and among inter-commodity spreads.
    * A delta near delivery pays the rate for spreads where other months offset it, in a spread or inside its tier, and
      the outright rate otherwise.
    * Weighted futures price risk is of the net delta before inter-commodity spreads, which spreads inside the
      commodity do not consume. A commodity where it is not positive is in no inter-commodity spread.
    * Options of one month and type that net against each other are told apart by the sign of delta: see
      `mcvar.scan.span.short.call_or_put`.

    Examples
    --------
    Long 10 and short 4 futures of two months: a price move of 1 loses 10 - 4, and 4 spreads cost 0.1 each.

    >>> from mcvar.scan.grid import SPAN16
    >>> from mcvar.scan.parameters import Commodity, Leg, Spread
    >>> futures = RiskArrays(("H6", "M6"), ("X",), np.zeros(2, dtype=np.int64), ("USD",) * 2,
    ...     np.tile(-SPAN16.price * SPAN16.weight, (2, 1)), np.ones(2), np.zeros(2), np.zeros(2, dtype=bool),
    ...     ("202603", "202606"))
    >>> calendar = Spread(1, (Leg("X", 0, 1.0, 1), Leg("X", 0, 1.0, -1)), charge=0.1)
    >>> commodity = Commodity("X", "USD", 1.0, spreads=(calendar,))
    >>> margins = span(futures, SPAN16, Parameters((commodity,)), sparse.csr_array([[10.0, -4.0]]))
    >>> [round(float(x[0]), 9) for x in (margins.scan, margins.intra, margins.requirement)], margins.worst_scenario
    ([6.0, 0.4, 6.4], array([13]))
    """
    if workers < 1:
        raise SettingError(f"executor.workers is {workers}: give at least 1 thread")
    quantity = clean(held)
    columns = arrays.name if contract is None else tuple(contract)
    problems = list(check_shapes(arrays, grid))
    stated, known = currency, dict(rates or {})
    if not problems:
        stated, known, missing = check_rates(arrays, parameters, currency, rates)
        problems = [*check_arrays(arrays, grid, parameters), *missing]
    problems += [*check_parameters(parameters), *check_held(quantity, columns, arrays, account)]
    if problems:
        raise InputError("margins", problems)

    plan = make_plan(arrays, grid, parameters, stated, known)
    at = {name: int(rank) for name, rank in zip(arrays.name, plan.rank, strict=True)}
    column = plan.rank if contract is None else np.array([at.get(name, -1) for name in columns], dtype=np.int32)
    table = {name: np.zeros(quantity.shape[0]) for name in COLUMNS}

    def task(block: tuple[int, int]) -> None:
        rows = gather(quantity, *block, column, plan)
        for name, values in _columns(plan, rows, take_steps(plan, rows)).items():
            table[name][slice(*block)] = values

    ranges = blocks(quantity.indptr, POSITIONS, max(1, CELLS // max(1, len(plan.pools))))
    with ThreadPoolExecutor(workers) as threads:
        list(threads.map(task, ranges))
    requirement = np.maximum(table["risk"] - table["nov"], 0.0)
    bad = np.flatnonzero(~np.isfinite(requirement)).tolist()
    if bad:
        raise InputError("margins", [f"{name_of(account, r)}: amounts add up to infinity: correct them" for r in bad])
    scenario = table.pop("worst_scenario").astype(np.int64)
    return Margins(
        account=tuple(account), currency=stated, worst_scenario=scenario, requirement=requirement, plan=plan,
        held=quantity, column=column, **table,
    )  # fmt: skip


def _columns(plan: Plan, held: Holdings, steps: Steps) -> dict[str, NDArray[np.float64]]:
    """Sums over each account's commodities, [B]."""
    names = ("scan", "intra", "delivery", "credit", "minimum", "risk")
    largest = np.full(held.accounts, -1.0)
    np.maximum.at(largest, held.owner, steps.scan)
    with np.errstate(invalid="ignore"):  # infinite amounts are refused by `span`
        least = largest - TOLERANCE * sum_by(held.owner, steps.worst.gross, held.accounts)
    has_it = np.flatnonzero(steps.scan >= least[held.owner])[::-1]  # backwards: the first one stays
    scenario = np.zeros(held.accounts)
    scenario[held.owner[has_it]] = steps.worst.active[has_it] + 1
    value = held.quantity * plan.value[held.contract]
    return {
        **{name: sum_by(held.owner, getattr(steps, name), held.accounts) for name in names},
        "worst_scenario": scenario,
        "nov": sum_by(held.row, value, held.accounts),
    }
