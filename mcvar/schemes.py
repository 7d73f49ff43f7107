"""What a way of sampling makes of a run: the scenarios that are drawn, the rows that are run, how these are read."""

from __future__ import annotations

import time
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field, replace
from typing import Any

import numpy as np
from numpy.typing import NDArray

from mcvar import config as c
from mcvar.book import Book, rows_of, take_rows
from mcvar.engines import EngineChoice
from mcvar.engines.host import free_memory
from mcvar.errors import CapacityError, SettingError
from mcvar.intervals.order import check_unit
from mcvar.jobs.precise import gross_value
from mcvar.market import Market
from mcvar.measures import Measures
from mcvar.precision import Precision
from mcvar.reduction import BUMPS, Elliptical, Expansion, best, expand, refitted, twist
from mcvar.reduction.reduced import Control, Importance, Reduced, Weighing
from mcvar.scenarios import Explicit, Simulated

Ints = NDArray[np.int64]
PILOT = 8192  # scenarios that choose between the expansions of a row, and that the chosen one is fitted to
_OTHER = 2**63  # the seed of every pilot: what is expanded then does not depend on the run's own
_SHARE = 0.5  # of the free memory, for the expansions
_COPIES = 12  # of an expansion, at the peak
_NOTHING = 1e-9  # of gross value: a VaR that is no more is rounding


@dataclass(frozen=True)
class Scheme:
    """A run, as its way of sampling makes it.

    Parameters
    ----------
    scenarios : Simulated or Explicit
        Those that are drawn.
    rows : ndarray
        Rows of the book that are run, ascending.
    asked : Measures
        How they are read.
    seconds : float
        What it took to make.
    record : mapping
        What run.json says of it.
    """

    scenarios: Simulated | Explicit
    rows: Ints
    asked: Measures
    seconds: float = 0.0
    record: Mapping[str, Any] = field(default_factory=dict)

    def redrawn(self, count: int, seed: int) -> Scheme:
        """The same for other draws: nothing is expanded again; for the engine see `Engine.redrawn`."""
        assert isinstance(self.scenarios, Simulated)
        scenarios = replace(self.scenarios, count=count, seed=seed)
        if isinstance(self.asked, Reduced):
            return replace(self, scenarios=scenarios, asked=self.asked.redrawn(scenarios))
        return replace(self, scenarios=scenarios, asked=replace(self.asked, seed=seed))


def scheme_of(
    sampling: c.SamplingConfig,
    market: Market,
    book: Book,
    scenarios: Simulated | Explicit,
    decay: float,
    asked: Measures,
    engine: EngineChoice,
    *,
    memory_gb: float = 0.0,
) -> Scheme:
    """What a way of sampling makes of a run.

    Parameters
    ----------
    sampling : SamplingConfig
    scenarios : Simulated or Explicit
        As the model gives them; points of Sobol and strata are in them already.
    asked : Measures
        What is measured.
    memory_gb : float
        That expansions may take; 0: half of what is free.

    Raises
    ------
    SettingError
        A law or an interval that the sampling does not go with, accounts that there are not.
    CapacityError
        More factors and rows than the memory has room to expand.

    Examples
    --------
    >>> from mcvar import build
    >>> from mcvar.api import measures_of
    >>> from mcvar.engines import choose
    >>> given = build.inputs(c.Config(scenarios=c.SimulatedScenarios(count=2_000)))
    >>> asked = measures_of(c.MeasureConfig(), given.scenarios)
    >>> aimed = c.ImportanceSampling(accounts=["member-8"])
    >>> made = scheme_of(aimed, given.market, given.book, given.scenarios, given.horizon.decay, asked, choose("numpy"))
    >>> [given.book.row[r] for r in made.rows], made.asked.depth(2_000)
    (['member-8'], 2000)
    """
    everything = np.arange(len(book.row))
    if not isinstance(sampling, c.ControlVariateSampling | c.ImportanceSampling):
        asked = asked.over(len(everything), scenarios.seed)
        return Scheme(scenarios, everything, asked, record={"name": c.option_name(sampling)})
    name, start = c.option_name(sampling), time.perf_counter()
    assert isinstance(scenarios, Simulated)  # a history goes with sampling=plain only
    if engine.precision is Precision.mixed:
        raise SettingError(
            f"sampling={name} reads all of the worst losses, which engine.precision=mixed has in single precision: "
            "take engine.precision=fp64 or fp32"
        )
    Elliptical.of(scenarios.law)  # refuses a law before anything is made
    level, rows = max(asked.levels), everything
    if isinstance(sampling, c.ImportanceSampling):
        rows = _targets(sampling.accounts, book)
        if sampling.level is not None:
            check_unit("sampling.level", sampling.level)
            level = sampling.level
    _check_memory(len(rows), len(market.factors), name, memory_gb)
    loss, weight = _expanded(market, take_rows(book, rows), scenarios, decay, engine.doubled, level)
    weighing: Weighing
    record: dict[str, Any] = {"name": name}
    if isinstance(sampling, c.ImportanceSampling):
        twisted = twist(scenarios.law, loss, level, weight=weight)
        scenarios = twisted.scenarios(scenarios)
        weighing = Importance(twisted, scenarios, loss if sampling.post_stratified else None)
        record |= {"aimed_at": [book.row[r] for r in rows], "level": level, "theta": twisted.theta}
    else:
        weighing = Control(loss, scenarios)
    asked = Reduced(**vars(asked.over(len(rows), scenarios.seed)), weighing=weighing, targets=rows)
    return Scheme(scenarios, rows, asked, time.perf_counter() - start, record)


def _targets(accounts: Sequence[str], book: Book) -> Ints:
    if isinstance(accounts, str) or not accounts:
        raise SettingError(
            f"sampling.accounts is {accounts!r}: name the rows that importance sampling aims at, such as "
            f"sampling.accounts=[{book.row[0]}]"
        )
    return rows_of(book, accounts, "sampling.accounts")


def _check_memory(rows: int, factors: int, name: str, memory_gb: float) -> None:
    takes = 8 * _COPIES * rows * (factors * (factors + 3) // 2)
    budget = int(memory_gb * 1e9) if memory_gb else int(_SHARE * free_memory())
    if takes > budget:
        raise CapacityError(
            f"sampling={name} takes {takes / 1e9:.3g} of {budget / 1e9:.3g} GB for quadratics of {rows} rows in "
            f"{factors} factors: raise executor.memory_gb to {1.05 * takes / 1e9:.3g} or more, or take sampling=plain"
        )


def _expanded(
    market: Market, book: Book, scenarios: Simulated, decay: float, engine: EngineChoice, level: float
) -> tuple[Expansion, NDArray[np.float64]]:
    """The loss of each row, fitted so that it tells its worst scenarios best, and weights of the rows.

    Weights are one over VaR less the mean, by the quadratic; 0 for what has no risk but rounding.
    """
    deviation = Elliptical.of(scenarios.law).deviation
    made = [expand(lambda given: engine.make(market, book, given, decay), deviation, bump=bump) for bump in BUMPS]
    pilot = replace(scenarios, count=PILOT, seed=_OTHER)
    revalued, moves = engine.make(market, book, pilot, decay), pilot.moves(0, PILOT)
    pnl = revalued.pnl(0, PILOT)
    loss = refitted(best(made, moves, pnl, level), moves, pnl, level).loss
    quadratic = loss(moves)
    size = np.quantile(quadratic, level, axis=1) - quadratic.mean(axis=1)
    risky = size > _NOTHING * gross_value(revalued)
    return loss, np.asarray(np.divide(1.0, size, out=np.zeros(len(size)), where=risky))
