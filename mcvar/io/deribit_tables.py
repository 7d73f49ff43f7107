"""What a Deribit snapshot means: its factors and their correlation, its instruments, positions in them."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from mcvar.columns import Columns
from mcvar.errors import InputError, SettingError
from mcvar.io.deribit import Snapshot, parse_name
from mcvar.io.tables import read_table
from mcvar.market import DAYS_PER_YEAR

Floats = NDArray[np.float64]
TENORS = (7.0, 30.0, 90.0, 180.0)  # days to expiry of the volatility factors


def factor_table(
    snapshot: Snapshot, *, vol_of_vol: float, tenors: Sequence[float] = TENORS, power: float = 0.3
) -> Columns:
    """The factors, for `mcvar.market.read_factors`: each coin's index price, then its at-the-money volatilities.

    They are named `BTC` and `BTC-VOL-30D`. The volatility of a price is blank, to be estimated; that of a volatility
    is vol_of_vol (30 days / tenor)^power, as exchanges scale volatility shocks (Deribit, "Portfolio margin").
    At-the-money volatility is linear in log strike, its total variance linear between expiries and
    volatility flat beyond them.

    Parameters
    ----------
    vol_of_vol : float
        Annual volatility of the 30-day implied volatility, a decimal; NaN: blank, to be estimated.
    tenors : sequence of float
        Days to expiry.
    """
    rows = [(coin, "price", coin, np.nan, price, np.nan, "USD") for coin, price in snapshot.index.items()]
    for coin in (c for c in snapshot.coins if c in snapshot.coin):
        for days, level in zip(tenors, _at_the_money(snapshot, coin, tenors), strict=True):
            volatility = vol_of_vol * (30.0 / days) ** power
            rows.append((volatility_name(coin, days), "vol", coin, days / DAYS_PER_YEAR, level, volatility, ""))
    names = ("factor", "kind", "underlying", "tenor", "level", "volatility", "currency")
    cells = dict(zip(names, zip(*rows, strict=True), strict=True))
    return Columns.from_mapping(f"factors of {snapshot.source}", cells)


def volatility_name(coin: str, days: float) -> str:
    """The factor of a coin's at-the-money volatility at a tenor of `days`: `BTC-VOL-30D`."""
    return f"{coin}-VOL-{days:g}D"


def constant_maturity(years: Floats, volatility: Floats, tenors: Sequence[float]) -> Floats:
    """Volatilities at `tenors` days, [tenors]: total variance linear between expiries, volatility flat beyond them.

    Parameters
    ----------
    years : ndarray [n]
        To the expiries, increasing and positive.
    volatility : ndarray [n]
        At them, annual decimals.
    """
    inside = np.clip(np.asarray(tenors) / DAYS_PER_YEAR, years[0], years[-1])
    return np.asarray(np.sqrt(np.interp(inside, years, np.square(volatility) * years) / inside))


def correlation(
    prices: Floats,
    snapshot: Snapshot,
    *,
    spot_vol_correlation: float,
    vol_correlation: float,
    tenors: Sequence[float] = TENORS,
) -> Floats:
    """Correlation of all factors in the order of `factor_table`, [F, F].

    The standardised move of a volatility of coin c is rho z_c + sqrt(1 - rho^2) g: z_c is that of the coin's price,
    and the residuals g, independent of all prices, have one correlation between all coins and tenors. With the
    loadings A that is A prices A' + (1 - rho^2) G, positive semi-definite whenever `prices` is.

    Parameters
    ----------
    prices : ndarray [C, C]
        In the order of `snapshot.coins`.
    spot_vol_correlation : float
        rho.
    vol_correlation : float
        Of the residuals, from 0 to 1.
    """
    for name, value, low in (("spot_vol", spot_vol_correlation, -1), ("vol", vol_correlation, 0)):
        if not low <= value <= 1:
            raise SettingError(f"market.{name}_correlation is {value}: it must lie between {low} and 1")
    owners = [c for c, coin in enumerate(snapshot.coins) if coin in snapshot.coin for _ in tenors]
    unit, count = np.eye(len(prices)), len(prices)
    loading = np.vstack([unit, spot_vol_correlation * unit[owners]])
    full = np.asarray(loading @ prices @ loading.T)
    full[count:, count:] += (1.0 - spot_vol_correlation**2) * vol_correlation
    np.fill_diagonal(full, 1.0)
    return full


def instrument_table(snapshot: Snapshot) -> Columns:
    """Options, futures and perpetuals, for `mcvar.book.resolve`.

    An option takes the volatility of its mark and the forward of its expiry, one for all strikes, so that put-call
    parity holds. A dated future takes its own mark or, where the file has no row of it, the forward of the options
    on it. Every coin has a perpetual; it is valued at the index.
    """
    forward, s = snapshot.expiry_forward(), snapshot
    rows = [
        (s.name[i], "option", s.coin[i], s.option_type[i], s.strike[i], s.expiry[i], s.volatility[i], forward[i])
        for i in range(len(s.name))
    ]
    perpetuals = dict.fromkeys((f"{coin}-PERPETUAL" for coin in s.coins), np.nan)
    dated = {name: price for name, price in zip(s.future, forward, strict=True) if name}
    for name, price in {**dated, **s.futures, **perpetuals}.items():
        contract = parse_name(name)
        rows.append((name, contract.kind, contract.coin, "", np.nan, contract.expiry, np.nan, price))
    names = ("instrument", "kind", "underlying", "option_type", "strike", "expiry", "volatility", "forward")
    cells: dict[str, tuple[Any, ...]] = dict(zip(names, zip(*rows, strict=True), strict=True))
    same = {"settlement": "inverse", "quote": "USD", "rate": 0.0}
    cells |= {name: (cell,) * len(rows) for name, cell in same.items()} | {"settlement_currency": cells["underlying"]}
    return Columns.from_mapping(f"instruments of {s.source}", cells)


def position_table(path: str | Path, instruments: Columns) -> Columns:
    """Read positions in the instruments of a snapshot.

    Parameters
    ----------
    path : str or Path
        `account, instrument, quantity` (coins of options, USD of futures and perpetuals) and, optional, `role`,
        and `currency` (the coin) and `kind`, which are checked against the instrument and dropped.
    instruments : Columns
        See `instrument_table`.
    """
    table = read_table(path)
    table.check_names(("account", "instrument", "quantity"), ("role", "currency", "kind"))
    names, known = table.texts("instrument"), {name: row for row, name in enumerate(instruments.texts("instrument"))}
    problems = [
        f"{table.where(row)}: '{name}' is not among the {instruments.source}: remove the position"
        for row, name in enumerate(names)
        if name not in known
    ]
    terms = {"currency": instruments.texts("underlying"), "kind": instruments.texts("kind")}
    problems += [
        f"{table.where(row)}: '{name}' has {column} {right}, not {said}: correct it"
        for column, cells in terms.items()
        for row, (name, said) in enumerate(zip(names, table.texts(column), strict=True))
        if name in known and said not in ("", right := cells[known[name]])
    ]
    if problems:
        raise InputError(table.source, problems)
    return replace(table, data={name: column for name, column in table.data.items() if name not in terms})


def _at_the_money(snapshot: Snapshot, coin: str, tenors: Sequence[float]) -> Floats:
    """At-the-money volatilities at `tenors` days, annual decimals."""
    own = np.array(snapshot.coin) == coin
    forward, expiries = snapshot.expiry_forward(), np.unique(snapshot.expiry[own])
    years = (expiries - snapshot.valuation) / np.timedelta64(1, "s") / (86400.0 * DAYS_PER_YEAR)
    level = []
    for expiry in expiries:
        at = own & (snapshot.expiry == expiry)
        strikes, row = np.unique(snapshot.strike[at], return_inverse=True)
        smile = np.bincount(row, snapshot.volatility[at]) / np.bincount(row)
        level.append(np.interp(np.log(forward[at][0]), np.log(strikes), smile))
    return constant_maturity(years, np.array(level), tenors)
