"""Deribit: option chain snapshots, daily closes of the coins, and tables of positions.

An option `BTC-27MAR26-65000-C` expires at 08:00 UTC of the day in its name and settles in the coin. Its mark is
undiscounted Black-76 on the forward of its expiry, divided by that forward. The forward is the dated future
`BTC-27MAR26` or, where none is listed, synthetic (`SYN.BTC-20FEB26`, `index_price`). Futures and perpetuals are
held in USD of notional. The fields are those of `public/get_book_summary_by_currency` (docs.deribit.com).
"""

from __future__ import annotations

import gzip
import json
import re
import zlib
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np
from numpy.typing import ArrayLike, NDArray

from mcvar.columns import Columns
from mcvar.errors import InputError, SettingError
from mcvar.history import History, read_history
from mcvar.io.tables import read_table
from mcvar.market import DAYS_PER_YEAR

Floats = NDArray[np.float64]
TENORS = (7.0, 30.0, 90.0, 180.0)  # days to expiry of the volatility factors
_SPAN = np.timedelta64(5, "m")  # the rows of one snapshot are asked for within this time
_JSON = {"time": "creation_timestamp", "forward": "underlying_price", "future": "underlying_index",
         "mark": "mark_price", "volatility": "mark_iv", "index": "estimated_delivery_price"}  # fmt: skip
_TABLE = {"time": "timestamp", "forward": "underlying", "future": "underlying_name",
          "mark": "mark_price", "volatility": "implied_volatility", "index": "index_price"}  # fmt: skip
_CONTRACT = re.compile(r"([A-Z0-9]+)-(?:PERPETUAL|(\d{1,2})([A-Z]{3})(\d\d)(?:-(\d+(?:d\d+)?)-([CP]))?)")
_OTHER = re.compile(r"\w+_.+|[A-Z0-9]+-[A-Z]+\d*-.+(?<!-[CP])")  # spot and USDC pairs, combinations
_MONTHS = ("JAN", "FEB", "MAR", "APR", "MAY", "JUN", "JUL", "AUG", "SEP", "OCT", "NOV", "DEC")


@dataclass(frozen=True)
class Snapshot:
    """A chain of n options at one time; times are UTC.

    Rows of a chain are asked for in turn, so that forwards of one expiry and the index prices of one coin differ a
    little. `index` is the median of a coin's rows; some of them state, in the last half hour before an expiry, the
    average that is the estimated delivery price. A position in what is `skipped` is an error of `position_table`.
    """

    source: str  # the file
    valuation: np.datetime64  # [us], the latest time stamp of the rows
    name: tuple[str, ...]  # [n]
    coin: tuple[str, ...]  # [n]
    option_type: tuple[str, ...]  # [n], call or put
    expiry: NDArray[np.datetime64]  # [n]
    strike: Floats  # [n], USD
    forward: Floats  # [n], USD, of the row
    future: tuple[str, ...]  # [n], the dated future that is the forward; "" where it is synthetic
    mark: Floats  # [n], coins
    volatility: Floats  # [n], annual, a decimal
    index: Mapping[str, float]  # coin to USD, in alphabetical order
    futures: Mapping[str, float]  # name of a future or perpetual to its mark, USD, where the file has it
    skipped: tuple[str, ...] = ()  # spot pairs, combinations and USDC contracts

    @property
    def coins(self) -> tuple[str, ...]:
        """In the order of the price factors."""
        return tuple(self.index)

    def expiry_forward(self) -> Floats:
        """The forward of each option's expiry: the median of its rows, USD, [n]."""
        key = np.array([f"{coin} {expiry}" for coin, expiry in zip(self.coin, self.expiry, strict=True)])
        each, at = np.unique(key, return_inverse=True)
        return np.array([np.median(self.forward[key == this]) for this in each])[at]


def read_snapshot(path: str | Path) -> Snapshot:
    """Read a chain of one or several coins.

    Parameters
    ----------
    path : str or Path
        `.json`: answers of `get_book_summary_by_currency`, or lists of them or of their rows; `mark_iv` in per cent.
        `.csv` or `.parquet`: `timestamp, instrument_name, underlying, underlying_name, mark_price,
        implied_volatility, index_price`; `implied_volatility` a decimal. JSON and CSV may be gzipped.

    Raises
    ------
    InputError
        All bad rows at once. Rows more than five minutes apart are not one snapshot.
    """
    path = Path(path)
    form = path.name.removesuffix(".gz").rpartition(".")[2]
    if form not in ("json", "csv", "parquet", "pq"):
        raise InputError(str(path), ["a snapshot is .json, .csv (either may be .gz) or .parquet: rename or convert it"])
    table, field = (_read_json(path), _JSON) if form == "json" else (read_table(path), _TABLE)
    needed = ["instrument_name", *field.values()]
    problems = [f"no column '{n}': a Deribit chain has {', '.join(needed)}" for n in needed if n not in table.data]
    if problems:
        raise InputError(table.source, problems)
    names = table.texts("instrument_name")
    contracts = [_parse(name) for name in names]
    kind = np.array([contract.kind for contract in contracts], dtype=object)
    coin = np.array([contract.coin for contract in contracts], dtype=object)
    expiry = np.array([contract.expiry for contract in contracts], dtype="datetime64[us]")
    option, margined = kind == "option", (kind == "future") | (kind == "perpetual")
    number = {key: table.floats(field[key], problems) for key in ("forward", "mark", "volatility", "index")}
    time = table.times(field["time"], problems)
    valuation = max(time[~np.isnat(time)], default=np.datetime64("NaT", "us"))
    first = {name: row for row, name in reversed(list(enumerate(names)))}

    def refuse(bad: ArrayLike, what: str, key: str = "") -> None:
        for row in np.flatnonzero(bad):
            where, said = table.where(row), f"has {field[key]} {number[key][row]:g}, which" if key else ""
            if not key or not any(p.startswith(f"{where}: {field[key]} ") for p in problems):  # no number at all
                problems.append(f"{where}: '{names[row]}' {said}{what}")

    refuse(kind == "", "is not a name such as BTC-27MAR26-65000-C, BTC-27MAR26 or BTC-PERPETUAL: correct or remove it")
    refuse([first[name] < row for row, name in enumerate(names)], "is there twice: remove one")
    refuse(np.isnat(time), f"has no {field['time']}: give the time of the request")
    refuse(time < valuation - _SPAN, f"is over five minutes older than {valuation}Z: keep the rows of one request")
    refuse(expiry <= valuation, f"expired before the valuation {valuation}Z: remove it")
    refuse(option & ~_positive(number["forward"]), " must be positive: correct or remove the row", "forward")
    refuse(option & ~_positive(number["volatility"]), " must be positive: correct or remove the row", "volatility")
    refuse(option & ~(_positive(number["mark"]) | (number["mark"] == 0)), " must not be negative or blank", "mark")
    refuse(margined & ~_positive(number["mark"]), " must be positive: correct or remove the row", "mark")
    refuse((option | margined) & (number["index"] <= 0), " must be positive: correct it or leave it blank", "index")
    volatility = number["volatility"] * (0.01 if form == "json" else 1.0)
    if not problems and option.any() and not 0.02 < (usual := np.median(volatility[option])) < 20:
        unit = "per cent" if form == "json" else "decimals"
        problems.append(f"{field['volatility']} is read in {unit}, which gives a median of {usual:.4g}: check its unit")
    prices = {c: number["index"][(coin == c) & (number["index"] > 0)] for c in sorted(set(coin) - {""})}
    problems += [f"no row of {c} has an {field['index']}: give one" for c in prices if len(prices[c]) == 0]
    if not prices and not problems:
        problems.append("there is no option, future or perpetual: the chain is empty")
    if problems:
        raise InputError(table.source, problems)
    at, future = np.flatnonzero(option), table.texts(field["future"])
    return Snapshot(
        source=table.source,
        valuation=valuation,
        name=tuple(names[i] for i in at),
        coin=tuple(coin[at]),
        option_type=tuple(contracts[i].option_type for i in at),
        expiry=expiry[at],
        strike=np.array([contracts[i].strike for i in at]),
        forward=number["forward"][at],
        future=tuple(future[i] if names[i].startswith(f"{future[i]}-") else "" for i in at),
        mark=number["mark"][at],
        volatility=volatility[at],
        index={c: float(np.median(price)) for c, price in prices.items()},
        futures={names[i]: float(number["mark"][i]) for i in np.flatnonzero(margined)},
        skipped=tuple(names[i] for i in np.flatnonzero(kind == "other")),
    )


def read_closes(path: str | Path, coins: Sequence[str] = (), *, max_gap: float = 10.0) -> History:
    """Read daily closes, long (`date, coin, close` and `source`) or wide (`date` and a column for each coin).

    A close dated D is the price at the END of day D and is stored at midnight UTC of D + 1, so that `History.until`
    never lets a valuation see a later price. The long layout is cut to the span of dates that all coins have.

    Parameters
    ----------
    coins : sequence of str
        Columns of the history; empty: all, in the order of the file.
    max_gap : float
        See `mcvar.history.read_history`.
    """
    table = read_table(path)
    if long := "coin" in table.data:
        table.check_names(("date", "coin", "close"), ("source",))
    date, *columns = list(table.data) or [""]
    there = list(dict.fromkeys(table.texts("coin"))) if long else columns
    wanted = list(coins) or there
    problems = [f"no closes of {c}: there are those of {', '.join(there)}" for c in wanted if c not in there]
    if problems:
        raise InputError(table.source, problems)
    wide = _pivot(table, wanted) if long else replace(table, data={name: table.data[name] for name in (date, *wanted)})
    history = read_history(wide, max_gap=max_gap)
    late = history.dates[history.dates != history.dates.astype("datetime64[D]")]
    if len(late):
        raise InputError(table.source, [f"{late[0]}Z has a time of day: these are daily closes, give bare dates"])
    return replace(history, dates=history.dates + np.timedelta64(1, "D"))


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
        Annual volatility of the 30-day implied volatility, a decimal.
    tenors : sequence of float
        Days to expiry.
    """
    rows = [(coin, "price", coin, np.nan, price, np.nan, "USD") for coin, price in snapshot.index.items()]
    for coin in (c for c in snapshot.coins if c in snapshot.coin):
        for days, level in zip(tenors, _at_the_money(snapshot, coin, tenors), strict=True):
            volatility = vol_of_vol * (30.0 / days) ** power
            rows.append((f"{coin}-VOL-{days:g}D", "vol", coin, days / DAYS_PER_YEAR, level, volatility, ""))
    names = ("factor", "kind", "underlying", "tenor", "level", "volatility", "currency")
    cells = dict(zip(names, zip(*rows, strict=True), strict=True))
    return Columns.from_mapping(f"factors of {snapshot.source}", cells)


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
        contract = _parse(name)
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


class _Contract(NamedTuple):
    """What a name says; `kind` is "other" for what is skipped and "" for what is no name."""

    kind: str
    coin: str = ""
    expiry: np.datetime64 = np.datetime64("NaT", "us")
    strike: float = np.nan
    option_type: str = ""


def _parse(name: str) -> _Contract:
    if (found := _CONTRACT.fullmatch(name)) is None:
        return _Contract("other" if _OTHER.fullmatch(name) else "")
    coin, day, month, year, strike, side = found.groups()
    if day is None:
        return _Contract("perpetual", coin)
    try:
        expiry = np.datetime64(f"20{year}-{_MONTHS.index(month) + 1:02}-{int(day):02}T08:00", "us")
    except ValueError:
        return _Contract("")
    if strike is None:
        return _Contract("future", coin, expiry)
    return _Contract("option", coin, expiry, float(strike.replace("d", ".")), "call" if side == "C" else "put")


def _positive(values: Floats) -> NDArray[np.bool_]:
    return (values > 0) & (values < np.inf)


def _read_json(path: Path) -> Columns:
    """The rows of a JSON file, in order, with times for milliseconds."""
    try:
        raw = path.read_bytes()
        document = json.loads(gzip.decompress(raw) if path.suffix == ".gz" else raw)
    except (OSError, EOFError, zlib.error, ValueError) as error:
        raise InputError(str(path), [f"not a readable JSON file ({error}): check that it is complete"]) from error
    rows, stack = [], [document]
    while stack:
        match stack.pop():
            case list() as parts:
                stack += reversed(parts)
            case {"instrument_name": _} as row:
                rows.append(row)
            case {"result": answer}:
                stack.append(answer)
            case other:
                what = "is neither an answer nor a row of get_book_summary_by_currency: save the answer as it is"
                raise InputError(str(path), [f"{json.dumps(other)[:200]} {what}"])
    data = {
        name: np.array([row.get(name) for row in rows], dtype=object) for name in ("instrument_name", *_JSON.values())
    }
    stamps = [t if isinstance(t, int) and 0 < t < 2**42 else None for t in data[_JSON["time"]]]
    return Columns(str(path), {**data, _JSON["time"]: np.array(stamps, dtype="datetime64[ms]")})


def _pivot(table: Columns, coins: Sequence[str]) -> Columns:
    """A row for each date in the span that the coins have in common, named 20260131; NaN where a coin has none."""
    problems: list[str] = []
    close, row_of = table.floats("close", problems), dict[tuple[str, np.datetime64], int]()
    problems += [
        f"{table.where(row)}: the close has no date" for row, text in enumerate(table.texts("date")) if not text
    ]
    for row, key in enumerate(zip(table.texts("coin"), table.times("date", problems), strict=True)):
        if row_of.setdefault(key, row) != row:
            where = table.where(row_of[key])
            problems.append(
                f"{table.where(row)}: {key[0]} has a second close on that date (first in {where}): remove one"
            )
    if problems:
        raise InputError(table.source, problems)
    spans = [[date for name, date in row_of if name == coin] for coin in coins]
    start, stop = max(map(min, spans)), min(map(max, spans))
    days = sorted({date for span in spans for date in span if start <= date <= stop})
    blank = np.append(close, np.nan)  # row -1
    data = {coin: blank[[row_of.get((coin, day), -1) for day in days]] for coin in coins}
    numbers = np.array([int(str(day)[:10].replace("-", "")) for day in days], dtype=np.int64)
    return Columns(table.source, {"date": np.array(days, dtype="datetime64[us]"), **data}, "date", numbers)


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
    inside = np.clip(np.asarray(tenors) / DAYS_PER_YEAR, years[0], years[-1])
    return np.asarray(np.sqrt(np.interp(inside, years, np.square(level) * years) / inside))
