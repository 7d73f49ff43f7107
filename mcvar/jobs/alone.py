"""VaR of every position of an account alone: what netting takes off, beside the VaR of all together."""

from __future__ import annotations

import logging
from dataclasses import replace

import numpy as np
from numpy.typing import NDArray
from scipy import sparse

from mcvar.engines.laws import law_memory
from mcvar.jobs import var
from mcvar.jobs.compare import Simulation
from mcvar.measures import Measures
from mcvar.memory import plan
from mcvar.scenarios import Simulated

Floats = NDArray[np.float64]
_log = logging.getLogger(__name__)


def alone_var(run: Simulation, level: float) -> Floats:
    """The sum, over the positions of each account, of the VaR that each would have alone, [accounts]; a pass.

    VaR is positively homogeneous: one row for a long and one for a short unit of each instrument that is held so, in
    each currency that an account has. It takes no more memory than the run was given.

    Raises
    ------
    CapacityError
        Not even one row fits.
    """
    book = run.book
    held = sparse.coo_array(book.quantity[: book.accounts])
    account, instrument = (np.asarray(each, dtype=np.int64) for each in held.coords)
    keep = held.data != 0
    account, instrument, quantity = account[keep], instrument[keep], held.data[keep]
    if not len(quantity):
        return np.zeros(book.accounts)
    converted = np.unique(book.convert[account], axis=0, return_inverse=True)[1].reshape(-1)
    keys = np.column_stack([instrument, quantity > 0, converted])
    unit, first, which = np.unique(keys, axis=0, return_index=True, return_inverse=True)
    names = [f"{book.instruments.name[i]} {'long' if long else 'short'}" for i, long, _ in unit.tolist()]
    signs = np.where(unit[:, 1] == 1, 1.0, -1.0)
    rows = replace(
        book,
        quantity=sparse.coo_array(
            (signs, (np.arange(len(unit)), unit[:, 0])), shape=(len(unit), len(book.instruments))
        ).tocsr(),
        row=tuple(names),
        currency=tuple(book.currency[r] for r in account[first]),
        convert=book.convert[account[first]],
        kind=("",) * len(unit),
        positions=len(unit),
        accounts=len(unit),
    )
    _log.info("positions alone: %s rows, %s scenarios", f"{len(unit):,}", f"{run.count:,}")
    asked = Measures((level,), 0.95)
    planned = plan(
        rows=len(unit), instruments=len(book.instruments), count=run.count, asked=asked, workers=run.plan.workers,
        memory_gb=run.plan.budget / 1e9, engine=run.engine, positions=len(unit), keep=1,
        state=law_memory(run.market, run.scenarios, run.decay, book.instruments),
    )  # fmt: skip
    scenarios = run.scenarios  # of which a run that stops by itself may have taken more or fewer
    if isinstance(scenarios, Simulated):
        scenarios = replace(scenarios, count=run.count)
    found = var.run(
        run.market, rows, scenarios, decay=run.decay, asked=asked, plan=planned, engine=run.engine, keep=1, draw=0
    )
    value = found.estimates[0].value
    each = np.abs(quantity) * value[which.reshape(-1)]
    return np.asarray(np.bincount(account, each, minlength=book.accounts), dtype=np.float64)
