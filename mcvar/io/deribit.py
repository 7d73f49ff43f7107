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
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import NamedTuple

import numpy as np
from numpy.typing import ArrayLike, NDArray

from mcvar.columns import Columns
from mcvar.errors import InputError
from mcvar.io.tables import read_table

Floats = NDArray[np.float64]
_SPAN = np.timedelta64(5, "m")  # the rows of one snapshot are asked for within this time
_JSON = {"time": "creation_timestamp", "forward": "underlying_price", "future": "underlying_index",
         "mark": "mark_price", "volatility": "mark_iv", "index": "estimated_delivery_price"}  # fmt: skip
_TABLE = {"time": "timestamp", "forward": "underlying", "future": "underlying_name",
          "mark": "mark_price", "volatility": "implied_volatility", "index": "index_price"}  # fmt: skip
_PAIRS = 9  # strikes whose parity gives the forward
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
        """The forward of each option's expiry, USD, [n].

        That of put-call parity in the marks, F = K / (1 - (call - put)): the median of the `_PAIRS` strikes nearest
        to the money. The quoted forwards are asked for seconds after the marks, which in a fast market
        makes a larger error than the marks themselves have. Where no strike has both sides: the median of the
        quoted forwards.
        """
        forward = np.empty(len(self.name))
        call = np.array(self.option_type) == "call"
        key = np.array([f"{coin} {expiry}" for coin, expiry in zip(self.coin, self.expiry, strict=True)])
        for expiry in np.unique(key):
            at = key == expiry
            quoted = np.median(self.forward[at])
            strike, c, p = np.intersect1d(self.strike[at & call], self.strike[at & ~call], return_indices=True)
            near = np.argsort(np.abs(np.log(strike / quoted)), kind="stable")[:_PAIRS]
            spread = self.mark[at & call][c] - self.mark[at & ~call][p]
            implied = strike[near] / (1.0 - spread[near])
            forward[at] = np.median(implied) if len(near) else quoted
        return forward


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
    contracts = [parse_name(name) for name in names]
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


class Contract(NamedTuple):
    """What the name of an instrument says; `kind` is "other" for what is skipped and "" for what is no name."""

    kind: str
    coin: str = ""
    expiry: np.datetime64 = np.datetime64("NaT", "us")
    strike: float = np.nan
    option_type: str = ""


def parse_name(name: str) -> Contract:
    """Terms of `BTC-PERPETUAL`, `BTC-27MAR26` or `BTC-27MAR26-65000-C`; options and futures expire at 08:00 UTC."""
    if (found := _CONTRACT.fullmatch(name)) is None:
        return Contract("other" if _OTHER.fullmatch(name) else "")
    coin, day, month, year, strike, side = found.groups()
    if day is None:
        return Contract("perpetual", coin)
    try:
        expiry = np.datetime64(f"20{year}-{_MONTHS.index(month) + 1:02}-{int(day):02}T08:00", "us")
    except ValueError:
        return Contract("")
    if strike is None:
        return Contract("future", coin, expiry)
    return Contract("option", coin, expiry, float(strike.replace("d", ".")), "call" if side == "C" else "put")


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
