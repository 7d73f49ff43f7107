"""Whether one-day VaR at 99 % holds out of sample, on real histories, under four models.

    python benchmarks/backtest.py --data FOLDER [--json FILE] [--markdown FILE]

Long positions of value 1 in bitcoin, ether, the S&P 500 and 20 stocks at equal weights, set anew each day. The VaR of a
day is known the evening before: models are fitted every 60 days to the last 1,000 moves (at least 250), and what was
fitted (means, volatilities, correlations, dof, GARCH parameters) is held in between; conditional variances and the
window of residuals go on every day. These settings were fixed before any result was seen, and nothing was tuned.

Moves have no drift: the mean of the window is taken off where the filter is fitted and run, simulated moves have mean
zero, and the realised loss is that of the whole simple return, its mean included. Each day has 10,000 scenarios of its
own (seed 1, scenarios 10,000 d and on, d the number of the day), so that the sampling error of VaR, about 1.6 % of it
under normal moves, is new every day and does not shift the rate of exceedances as one fixed sample would.
"""

from __future__ import annotations

import argparse
import json
import sys
import time
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import arch
import numpy as np
from numpy.typing import NDArray

from mcvar import Columns, correlation, market, measures
from mcvar.backtest import Backtest, backtest, exceedances
from mcvar.correlation import Estimate
from mcvar.errors import InputError
from mcvar.fit import conditional_variances, fit_garch, fit_student_t
from mcvar.history import History
from mcvar.io.closes import read_closes
from mcvar.io.tables import digest
from mcvar.market import Market
from mcvar.models import FilteredHistorical, Gaussian, GjrGarch, Law, StudentT
from mcvar.models.volatility import Garch
from mcvar.provenance import provenance
from mcvar.tail import Tail

Floats = NDArray[np.float64]
Parameters = dict[str, dict[str, float]]
LEVEL, SCENARIOS, SEED = 0.99, 10_000, 1
WINDOW, LEAST, REFIT = 1000, 250, 60
MODELS = ("gaussian", "student_t", "garch", "filtered_historical")
CRYPTO = "crypto/stitched_daily_close_btc_eth_sol_2017_2026.csv.gz"
INDEX, STOCKS = "equities/skfolio_sp500_index.csv.gz", "equities/skfolio_sp500_dataset.csv.gz"


@dataclass(frozen=True)
class Series:
    """Daily log moves of the parts of an equally weighted portfolio.

    Parameters
    ----------
    name : str
    parts : tuple of str [F]
    days : ndarray [T], datetime64[D]
        Of the close at the end of each move.
    moves : ndarray [T, F]
    first : int
        The first day that is tested.
    steps_per_year : int
        Cancels out of a one-day horizon.
    """

    name: str
    parts: tuple[str, ...]
    days: NDArray[np.datetime64]
    moves: Floats
    first: int
    steps_per_year: int

    @classmethod
    def of(cls, name: str, history: History, since: str, steps_per_year: int) -> Series:
        """All columns of closes as `read_closes` returns them; tested from the first close at or after `since`."""
        days = (history.dates[1:] - np.timedelta64(1, "D")).astype("datetime64[D]")  # closes are stored a day later
        moves = history.moves(history.names, ["log"] * len(history.names))
        return cls(name, history.names, days, moves, int(np.searchsorted(days, np.datetime64(since))), steps_per_year)


def all_series(data: Path) -> list[Series]:
    """The four portfolios; a missing close is an error (`read_history`)."""
    return [
        Series.of("BTC", read_closes(data / CRYPTO, ["BTC"]), "2019-01-01", 365),
        Series.of("ETH", read_closes(data / CRYPTO, ["ETH"]), "2019-01-01", 365),
        Series.of("S&P 500", read_closes(data / INDEX), "2010-01-01", 252),
        Series.of("20 stocks", read_closes(data / STOCKS), "2010-01-01", 252),
    ]


def priced(series: Series, estimate: Estimate) -> Market:
    """A market of the series' prices with estimated second moments."""
    parts = list(series.parts)
    factors, volatility = market.read_factors(
        Columns.of("factors", factor=parts, kind=["price"] * len(parts), level=[1.0] * len(parts))
    )
    return market.build(
        factors=factors,
        volatility=volatility,
        estimate=correlation.positive(estimate),
        valuation=series.days[0].astype("datetime64[us]"),
        currency="USD",
        steps_per_year=series.steps_per_year,
    )


@dataclass(frozen=True)
class Filtered:
    """The GJR-GARCH filter over W moves of a window and n days ahead, its parameters and means held.

    Parameters
    ----------
    garch : Garch
    variance : ndarray [n, F]
        Of each day ahead, known the evening before.
    residuals : ndarray [W + n, F]
        Moves less their mean in the window, over their conditional deviations.
    """

    garch: Garch
    variance: Floats
    residuals: Floats

    @classmethod
    def of(cls, window: Floats, ahead: Floats, parameters: Parameters) -> Filtered:
        """From moves [W, F] and [n, F]."""
        mean = window.mean(axis=0)
        h = conditional_variances(window, parameters)
        names = ("omega", "alpha", "gamma", "beta")
        garch = Garch(*(np.array([each[name] for each in parameters.values()]) for name in names), start=h[-1])
        variance, residuals = [h[-1]], [*((window - mean) / np.sqrt(h[:-1]))]
        for x in ahead:
            residuals.append((x - mean) / np.sqrt(variance[-1]))
            variance.append(garch.next(variance[-1][:, None], residuals[-1][:, None])[:, 0])
        return cls(garch, np.array(variance[:-1]), np.array(residuals))


def laws(series: Series, at: int, stop: int, parameters: Parameters) -> Iterator[dict[str, Law]]:
    """The law of each model on days [at, stop), fitted to the window that ends before day `at`."""
    years, carry = 1 / series.steps_per_year, np.zeros(len(series.parts))
    window = series.moves[max(0, at - WINDOW) : at]
    fixed = priced(series, correlation.historical(window, series.steps_per_year))
    dof = fit_student_t(window, series.parts, series.steps_per_year).settings["dof"]
    held = {
        "gaussian": Gaussian().law(fixed, years, carry),
        "student_t": StudentT(dof=dof).law(fixed, years, carry),
    }
    filtered = Filtered.of(window, series.moves[at:stop], parameters)
    before = filtered.residuals[: len(window)]
    standard = priced(series, correlation.historical(before, series.steps_per_year))
    for day, variance in enumerate(filtered.variance):
        garch = replace(filtered.garch, start=variance)
        past = filtered.residuals[: len(window) + day][-WINDOW:]
        yield {
            **held,
            "garch": GjrGarch(garch).law(standard, years, carry),
            "filtered_historical": FilteredHistorical(past, garch).law(standard, years, carry),
        }


def refitted(series: Series, at: int, held: Parameters) -> tuple[Parameters, list[str]]:
    """GARCH parameters of each part, and the parts whose fit did not converge and that keep what is held."""
    window = series.moves[max(0, at - WINDOW) : at]
    found, failed = {}, []
    for f, part in enumerate(series.parts):
        try:
            fit = fit_garch(window[:, [f]], [part], series.steps_per_year)
            found[part] = fit.settings["parameters"][part]
        except InputError:
            if part not in held:
                raise
            found[part] = held[part]
            failed.append(f"{part} {series.days[at]}")
    return found, failed


def value_at_risk(law: Law, day: int) -> float:
    """VaR of a position of value 1, in equal parts, by mcvar's rank; scenarios of its own for each day."""
    loss = -np.expm1(law.moves(SEED, day * SCENARIOS, (day + 1) * SCENARIOS)).mean(axis=0)
    rank = measures.ranks(SCENARIOS, LEVEL, 0.95).var
    return float(Tail.of(loss[None], 0, rank).at(rank)[0])


@dataclass(frozen=True)
class Forecasts:
    """Losses and VaR of the tested days.

    Parameters
    ----------
    loss : ndarray [D]
    var : dict of ndarray [D], by model
    refits : int
    kept : list of str
        Fits that did not converge, whose parameters stayed those of 60 days before.
    """

    loss: Floats
    var: dict[str, Floats]
    refits: int
    kept: list[str]


def rolling(series: Series, progress: Callable[[str], None]) -> Forecasts:
    """Forecast VaR of every day from `series.first` on, by every model.

    Raises
    ------
    InputError
        Fewer than 250 moves before the first day.
    """
    if series.first < LEAST:
        raise InputError(series.name, [f"{series.first} moves before the first day: at least {LEAST} are needed"])
    var: dict[str, list[float]] = {model: [] for model in MODELS}
    parameters: Parameters = {}
    kept: list[str] = []
    total = len(series.moves)
    starts = range(series.first, total, REFIT)
    for at in starts:
        parameters, failed = refitted(series, at, parameters)
        kept += failed
        for day, by_model in enumerate(laws(series, at, min(at + REFIT, total), parameters), at - series.first):
            for model, law in by_model.items():
                var[model].append(value_at_risk(law, day))
        progress(f"{series.name}: {len(var[MODELS[0]])} of {total - series.first} days")
    loss = -np.expm1(series.moves[series.first :]).mean(axis=1)
    return Forecasts(loss, {model: np.array(values) for model, values in var.items()}, len(starts), kept)


def row(series: Series, model: str, var: Floats, test: Backtest) -> dict[str, Any]:
    """One line of the result."""
    return {
        "series": series.name,
        "model": model,
        "from": str(series.days[series.first]),
        "to": str(series.days[-1]),
        "days": test.days,
        "expected": round(test.expected, 2),
        "exceedances": test.exceedances,
        "kupiec_p": test.kupiec.p_value,
        "independence_p": test.independence.p_value,
        "conditional_coverage_p": test.conditional_coverage.p_value,
        "mean_var": float(var.mean()),
    }


def markdown(rows: Sequence[dict[str, Any]]) -> str:
    """The result as a table."""
    tests = "Kupiec p | independence p | conditional coverage p"
    lines = [
        f"| series | model | days | expected | exceedances | {tests} | mean VaR |",
        "|---|---|--:|--:|--:|--:|--:|--:|--:|",
    ]
    for r in rows:
        p = " | ".join(f"{r[key]:.2g}" for key in ("kupiec_p", "independence_p", "conditional_coverage_p"))
        counts = f"{r['days']:,} | {r['expected']:.1f} | {r['exceedances']}"
        lines.append(f"| {r['series']} | {r['model']} | {counts} | {p} | {100 * r['mean_var']:.2f} % |")
    return "\n".join(lines)


def main() -> None:
    """Backtest, print."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0] if __doc__ else "")
    parser.add_argument("--data", type=Path, required=True)
    parser.add_argument("--json", type=Path)
    parser.add_argument("--markdown", type=Path)
    arguments = parser.parse_args()
    start = time.perf_counter()
    rows, refits, kept = [], {}, []
    for series in all_series(arguments.data):
        forecasts = rolling(series, lambda text: print(text, file=sys.stderr))
        refits[series.name] = forecasts.refits
        kept += forecasts.kept
        for model, var in forecasts.var.items():
            rows.append(row(series, model, var, backtest(exceedances(forecasts.loss, var), LEVEL)))
    outcome = {
        **provenance(),
        "arch": arch.__version__,
        "command": "python benchmarks/backtest.py --data FOLDER",
        "seconds": round(time.perf_counter() - start, 1),
        "inputs_sha256": {name: digest(arguments.data / name) for name in (CRYPTO, INDEX, STOCKS)},
        "settings": {"level": LEVEL, "scenarios": SCENARIOS, "seed": SEED, "window": WINDOW, "refit_days": REFIT},
        "refits": refits,
        "garch_fits_not_converged": kept,
        "results": rows,
    }
    print(table := markdown(rows))
    if arguments.json:
        arguments.json.write_text(json.dumps(outcome, indent=2) + "\n", encoding="utf-8")
    if arguments.markdown:
        arguments.markdown.write_text(table + "\n", encoding="utf-8")


if __name__ == "__main__":
    main()
