"""What a law makes of each factor: moments and quantiles of its moves, extremes and averages of its paths."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from mcvar.book import Book
from mcvar.engines import EngineChoice
from mcvar.errors import CapacityError
from mcvar.market import Market
from mcvar.scenarios import Scenarios
from mcvar.watched import Statistic, Watched

Floats = NDArray[np.float64]
QUANTILES = (0.001, 0.01, 0.05, 0.5, 0.95, 0.99, 0.999)
_CHUNK = 65_536
_EXTREME = 0.01  # of the minimum, and from above of the maximum


@dataclass(frozen=True)
class Moves:
    """Columns of a table with a row a factor, [F] each; all in moves.

    Parameters
    ----------
    columns : dict
        `mean, mean_stderr, std, skewness, kurtosis` (3 for a normal law), quantiles such as `q0.01`, and of the path
        `minimum_q0.01`, `maximum_q0.99` and `average` (the mean of the move that leads to the average level).
    """

    columns: dict[str, Floats]


def run(market: Market, book: Book, scenarios: Scenarios, *, decay: float, engine: EngineChoice, budget: int) -> Moves:
    """Simulate, and describe.

    Parameters
    ----------
    decay : float
        Years that pass over the horizon.
    budget : int
        Bytes that the moves may take.

    Raises
    ------
    CapacityError
        They take more; the message says how many scenarios fit.
    """
    size, count = len(market.factors), scenarios.count
    if 32 * size * count > budget:
        raise CapacityError(
            f"quantiles of {size} factors keep 32 bytes a factor and scenario, {32 * size * count / 1e9:.2f} GB of the "
            f"{budget / 1e9:.2f} GB to be had: lower scenarios.count to {budget // (32 * size)}, or raise "
            "executor.memory_gb"
        )
    kinds = (Statistic.minimum, Statistic.maximum, Statistic.average)
    watched = [Watched(f, statistic, scenarios.steps) for statistic in kinds for f in range(size)]
    made = engine.make(market, book, scenarios, decay, watched)
    place = {each: size + at for at, each in enumerate(made.axes.watched)}
    rows = [*range(size), *(place[each] for each in watched)]
    x = np.empty((len(rows), count))
    for start in range(0, count, _CHUNK):
        stop = min(start + _CHUNK, count)
        x[:, start:stop] = made.moves(start, stop)[rows]
    move, minimum, maximum, average = x.reshape(4, size, count)
    mean, std = move.mean(axis=1), move.std(axis=1)
    unit = (move - mean[:, None]) / np.where(std > 0, std, 1.0)[:, None]
    columns = {
        "mean": mean, "mean_stderr": std / np.sqrt(count), "std": std,
        "skewness": (unit**3).mean(axis=1), "kurtosis": (unit**4).mean(axis=1),
    }  # fmt: skip
    columns |= {f"q{q:g}": row for q, row in zip(QUANTILES, np.quantile(move, QUANTILES, axis=1), strict=True)}
    columns[f"minimum_q{_EXTREME:g}"] = np.quantile(minimum, _EXTREME, axis=1)
    columns[f"maximum_q{1 - _EXTREME:g}"] = np.quantile(maximum, 1 - _EXTREME, axis=1)
    columns["average"] = average.mean(axis=1)
    return Moves(columns)
