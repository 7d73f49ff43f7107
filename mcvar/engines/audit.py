"""How far prices from tables are from exact ones, in scenarios of the run itself."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from mcvar.book import Book
from mcvar.engines.contracts import ContractGroup
from mcvar.engines.groups import groups
from mcvar.engines.levels import Levels
from mcvar.engines.rows import Rows
from mcvar.errors import SettingError
from mcvar.market import Market
from mcvar.pricing.scene import Scene
from mcvar.scenarios import BLOCK, Scenarios

Floats = NDArray[np.float64]
_BLOCKS = 4  # of scenarios that cells are taken from, spread over the run
_SEED = 20160704


@dataclass(frozen=True)
class Audit:
    """What was checked of the American options of a book.

    Parameters
    ----------
    by_table, exactly : int
        Options that are revalued from tables, and those that are solved exactly in every scenario.
    cells : int
        Prices from tables that were compared with exact ones.
    largest_error : float
        Of them, in units of the strike.
    """

    by_table: int
    exactly: int
    cells: int
    largest_error: float


def audit_american(market: Market, book: Book, scenarios: Scenarios, years: float) -> Audit | None:
    """Compare prices from tables with exact ones, at random and at the extremes; None without American options.

    Parameters
    ----------
    years : float
        Time decay over the horizon.

    Raises
    ------
    SettingError
        An error beyond the tolerance of `book.pricing`.
    """
    if not book.instruments.american.any():
        return None
    rows = Rows.of(market, scenarios, years, book.instruments)
    made = groups(rows, book.instruments, years, path=True, pricing=book.pricing)
    contracts = [group for group in made if isinstance(group, ContractGroup)]
    tables = [group for group in contracts if group.family.exact is not None]
    by_table = sum(len(group.index) for group in tables)
    early = np.concatenate([np.zeros(0, np.int64), *(group.index for group in contracts)])
    exactly = int(book.instruments.american[early].sum()) - by_table
    if not tables:
        return Audit(0, exactly, 0, 0.0)
    last = max(scenarios.count // BLOCK - 1, 0)
    starts = sorted({k * last // (_BLOCKS - 1) * BLOCK for k in range(_BLOCKS)})
    with np.errstate(all="ignore"):
        levels = Levels(rows, np.concatenate([rows.moves(scenarios, at, at + BLOCK) for at in starts], axis=1))
    random = np.random.default_rng(_SEED)
    cells, worst, where = 0, -1.0, ""
    for group in tables:
        count = -(-book.pricing.audit * len(group.index) // by_table)
        error, instrument = _errors(group, levels, count, random)
        cells += len(error)
        if error.max() > worst:
            worst, where = float(error.max()), book.instruments.name[instrument[error.argmax()]]
    if not worst <= book.pricing.tolerance:
        raise SettingError(
            f"prices of American options from tables err by up to {worst:.2g} of the strike ('{where}'), which is more "
            f"than pricing.tolerance={book.pricing.tolerance:g}: raise it, or take pricing.american=exact"
        )
    return Audit(by_table, exactly, cells, worst)


def _errors(
    group: ContractGroup, levels: Levels, count: int, random: np.random.Generator
) -> tuple[Floats, NDArray[np.int64]]:
    """Errors in some cells of a group, in units of the strike, and their instruments."""
    scene = group.scene(levels)
    extremes = [each(v) for v in (scene.spot, scene.volatility) for each in (np.argmin, np.argmax)]
    at = np.concatenate([random.integers(len(scene.spot), size=count), np.array(extremes, dtype=np.int64)])
    which = random.integers(len(group.index), size=len(at))
    terms = {name: values[which, 0] for name, values in group.terms.items()}
    cell = Scene(scene.spot[at], scene.volatility[at], 0.0, 0.0, scene.years, None)
    assert group.family.exact is not None  # it has a table
    difference = group.family.value(terms, cell) - group.family.exact(terms, cell)
    return np.abs(difference) / terms["strike"], group.index[which]
