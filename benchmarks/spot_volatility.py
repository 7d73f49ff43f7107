"""How volatilities move with prices: correlations and volatilities of volatility from real option histories.

    python benchmarks/spot_volatility.py --data FOLDER [--markdown FILE]

FOLDER has `options/deribit/derived_iv_surface_history_6h_20251230_20260430.csv.gz` (at-the-money volatilities of
BTC and ETH by expiry, six-hourly), `equities/skfolio_sp500_dataset.csv.gz` and
`equities/skfolio_sp500_implied_vol_3m.csv.gz` (prices and three-month volatilities of US stocks, daily). Prints a
table of the correlation of log moves of price and volatility, with its standard error, and the annual volatility of
volatility.
"""

from __future__ import annotations

import argparse
from collections.abc import Iterator
from pathlib import Path

import numpy as np

from mcvar.columns import Columns
from mcvar.correlation import historical
from mcvar.history import History, read_history
from mcvar.io.surfaces import read_surface
from mcvar.io.tables import read_table

SURFACE = Path("options/deribit/derived_iv_surface_history_6h_20251230_20260430.csv.gz")
STOCKS = Path("equities/skfolio_sp500_dataset.csv.gz")
VOLATILITIES = Path("equities/skfolio_sp500_implied_vol_3m.csv.gz")
NAMES = ("AAPL", "JPM", "XOM")


def rows(history: History, price: str, volatilities: list[str]) -> Iterator[str]:
    """A row of the table for each volatility."""
    names = [price, *volatilities]
    estimate = historical(history.moves(names, ["log"] * len(names)), history.steps_per_year)
    count = int(estimate.observations)
    for f, name in enumerate(volatilities, 1):
        rho = float(estimate.correlation[0, f])
        error = (1 - rho**2) / np.sqrt(count)
        yield f"| {name} | {count:,} | {rho:.2f} | {error:.2f} | {estimate.volatility[f]:.2f} |"


def stocks(folder: Path) -> History:
    """Prices and volatilities on the dates that both tables have."""
    price, volatility = read_table(folder / STOCKS), read_table(folder / VOLATILITIES)
    at = {day: row for row, day in enumerate(price.texts("Date"))}
    days = [day for day in volatility.texts("Date") if day in at]
    here = {day: row for row, day in enumerate(volatility.texts("Date"))}
    problems: list[str] = []
    columns = {name: price.floats(name, problems)[[at[day] for day in days]] for name in NAMES}
    columns |= {f"{name}-VOL": volatility.floats(name, problems)[[here[day] for day in days]] for name in NAMES}
    return read_history(Columns.of("stocks", date=days, **columns))


def main() -> None:
    """Print the table, and write it if asked."""
    parser = argparse.ArgumentParser(description="How volatilities move with prices.")
    parser.add_argument("--data", type=Path, required=True)
    parser.add_argument("--markdown", type=Path)
    arguments = parser.parse_args()
    surface, equities = read_surface(arguments.data / SURFACE), stocks(arguments.data)
    lines = [
        "| volatility | moves | correlation with the price | standard error | annual volatility |",
        "|---|--:|--:|--:|--:|",
    ]
    for coin in ("BTC", "ETH"):
        lines += rows(surface, coin, [name for name in surface.names if name.startswith(f"{coin}-VOL")])
    for name in NAMES:
        lines += rows(equities, name, [f"{name}-VOL"])
    text = "\n".join(lines) + "\n"
    print(text, end="")
    if arguments.markdown:
        arguments.markdown.write_text(text)


if __name__ == "__main__":
    main()
