"""SPAN risk parameter files in the expanded unpacked format (`.pa2`).

Contracts are named as `mcvar.io.contracts` says. A contract's array is in the currency of its combined commodity, the
multiplier included. The composite delta is multiplied by the delta scaling factor of record B, so that it counts in
units of the commodity's full-sized future. What the file says and `mcvar.scan` has no place for is in the notes.
"""

from __future__ import annotations

from array import array
from collections import Counter
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import ClassVar

import numpy as np

from mcvar.columns import Columns
from mcvar.errors import InputError
from mcvar.io.contracts import Contract, Contracts, name_of
from mcvar.io.pa2.commodities import Commodities
from mcvar.io.pa2.fields import LENGTH, NOT_CARRIED, UNUSED, Key, Line, price, scaled
from mcvar.io.scan.file import ARRAYS, ScanFile
from mcvar.io.scan.rows import resolve
from mcvar.io.streams import bytes_of
from mcvar.scan.grid import Grid

_POINTS = 16
_LONGEST = 4096  # bytes of a line


@dataclass(frozen=True)
class Conventions:
    """What files leave open, with what the published examples bear out as defaults.

    Parameters
    ----------
    parts : mapping of str to int
        Alignment codes of settlement prices whose last digit is an eighth, to the parts of a point that it is an
        eighth of. Options of a product with another code are left out, with a note: their value is not known.
    price_scan : str
        Whether the price scan range of record B is in `money` of one contract, or in `price` points with the
        decimals of the settlement price.
    volatility : str
        Unit of the volatility scan range: `percent`, `fraction`, or by the file's `flag` (P: per cent, else a
        fraction).
    rates : str
        Whether the risk exponent of record 2 scales charges and minimums as it scales arrays: `plain` or `scaled`.
    """

    CHOICES: ClassVar[Mapping[str, tuple[str, ...]]] = {
        "price_scan": ("money", "price"), "volatility": ("flag", "percent", "fraction"), "rates": ("plain", "scaled"),
    }  # fmt: skip

    parts: Mapping[str, int] = field(default_factory=lambda: {"C": 32, "0": 1})
    price_scan: str = "money"
    volatility: str = "flag"
    rates: str = "plain"


@dataclass
class _Contracts:
    """Contracts while they are read: a record 81 waits for its 82."""

    waiting: dict[str, tuple[int, list[int]]] = field(default_factory=dict)
    line: list[int] = field(default_factory=list)
    what: list[Contract] = field(default_factory=list)
    month: list[str] = field(default_factory=list)
    raw: array[int] = field(default_factory=lambda: array("q"))  # [I, 16]
    rest: list[tuple[int, int, int, int, int]] = field(
        default_factory=list
    )  # strike, delta, volatility, settle, factor


def read_pa2(path: str | Path, conventions: Conventions | None = None, *, tie: str = "lowest") -> ScanFile:
    """Read risk arrays and parameters.

    Parameters
    ----------
    path : str or Path
        Plain or gzipped.
    conventions : Conventions, optional
    tie : str
        See `Parameters`.

    Raises
    ------
    InputError
        Everything that is wrong, with line numbers: unknown record types, truncated lines, fields that are no numbers,
        arrays without all 16 scenarios, contracts without a combined commodity, and what `mcvar.io.scan.rows` refuses.

    Examples
    --------
    >>> import tempfile
    >>> key, names = "CMEES        ES        FUT 202603".ljust(52), ["2 CME SP    0USD$PN   ES        FUT"]
    >>> first, second = "00000+" * 2 + "02000-" * 2 + "02000+" * 2 + "04000-" * 2 + "04000+", "04000+" + "06000-" * 6
    >>> names += ["81" + key + first, "82" + key + second + "10000+" + "00000000" + "0251100++"]
    >>> with tempfile.NamedTemporaryFile("w", suffix=".pa2") as file:
    ...     print(*names, sep=chr(10), file=file, flush=True)
    ...     found = read_pa2(file.name)
    >>> found.arrays.name, found.arrays.loss[0, 1:5].tolist()
    (('CME:ES:FUT:202603',), [0.0, -2000.0, -2000.0, 2000.0])
    """
    source, rules = str(path), conventions or Conventions()
    problems: list[str] = []
    contracts, commodities, carried = _Contracts(), Commodities(problems), Counter[str]()
    for line in _lines(path, problems):
        kind = line.text[:2].rstrip()
        if kind[:1] == "9":
            kind = "9"
        if kind in LENGTH and len(line.text) < LENGTH[kind]:
            line.say(f"a record {kind} of {len(line.text)} columns is cut off: it has at least {LENGTH[kind]}")
        elif kind in ("81", "83"):
            _first(line, contracts, 8 if kind == "83" else 5)
        elif kind in ("82", "84"):
            _second(line, contracts, 8 if kind == "84" else 5)
        elif kind in LENGTH:
            commodities.read(kind, line)
        elif kind in NOT_CARRIED:
            carried[kind] += 1
        elif kind not in UNUSED:
            line.say(f"unknown record type {line.text[:2]!r}: is the file in the expanded unpacked format?")
    for number, _ in contracts.waiting.values():
        problems.append(f"line {number}: the array has scenarios 1 to 9 only: its second record is missing")
    notes = [f"{count} records {kind} ({NOT_CARRIED[kind]}) are not carried" for kind, count in sorted(carried.items())]
    table, chosen, left_out = _table(source, contracts, commodities, rules, problems)
    notes += [f"{count} options of {who} are left out: {why}" for (who, why), count in sorted(left_out.items())]
    tables = commodities.tables(source, table, rules.price_scan, rules.volatility, rules.rates == "scaled")
    arrays, parameters = resolve(tables, tie, problems, source)
    return ScanFile(arrays, parameters, Grid.span(*commodities.extreme()), chosen, (*commodities.notes(), *notes))


def _lines(path: str | Path, problems: list[str]) -> Iterator[Line]:
    """The lines of a file that are not blank."""
    with bytes_of(path) as file:
        number = 0
        while raw := file.readline(_LONGEST):
            number += 1
            text = raw.decode("latin-1").rstrip("\r\n\x1a")
            if len(raw) == _LONGEST:
                raise InputError(
                    str(path), [*problems, f"line {number} is longer than any record: is this a .pa2 file?"]
                )
            if text.strip():
                if text.isascii() and text.isprintable():
                    yield Line(text, number, problems)
                else:
                    problems.append(f"line {number}: has characters that no record has: {text[:40]!r}")


def _first(line: Line, contracts: _Contracts, width: int) -> None:
    key = line.text[2:54]
    if key in contracts.waiting:
        line.say(f"the contract {' '.join(key.split())} has a second first record: remove one")
    flag = line.text[54 + 9 * (width + 1) + 14 :][:1]
    at = 54 + 9 * (width + 1)
    precise = line.whole(at, at + 14, "the high-precision price", 0) if flag == "Y" else -1
    contracts.waiting[key] = (line.number, [*line.pairs(54, 9, width, 1, "the array"), precise])


def _second(line: Line, contracts: _Contracts, width: int) -> None:
    key = line.text[2:54]
    if key not in contracts.waiting:
        line.say(f"the contract {' '.join(key.split())} has no first record: its scenarios 1 to 9 are missing")
        return
    number, (*first, precise) = contracts.waiting.pop(key)
    at = 54 + 7 * (width + 1)
    values = [*first, *line.pairs(54, 7, width, 10, "the array")]
    month, plain = line.month(29, 35)
    option_month, option_plain = line.month(38, 44)
    kind, right = line.cut(25, 28), line.cut(28, 29)
    option = kind.startswith("OO")
    if option and right not in ("C", "P"):
        line.say(f"the right of an option is '{right}', not C or P (column 29)")
    strike = line.whole(47, 54, "the strike", 0) * (-1 if line.text[at + 22 : at + 23] == "-" else 1)
    delta = line.whole(at, at + 5, "the composite delta") * line.sign(at + 5, "the composite delta")
    volatility = line.whole(at + 6, at + 14, "the implied volatility", -1)
    settle = line.whole(at + 14, at + 21, "the settlement price") if precise < 0 else precise
    settle *= line.sign(at + 21, "the settlement price")
    factor = line.whole(at + 41, at + 55, "the value factor of the contract", 0)
    exponent = line.whole(at + 55, at + 57, "the exponent of the value factor", 0)
    if exponent or not factor:  # a factor with an exponent of its own is not among the published examples
        factor = 0
    contract = Contract(line.cut(2, 5), line.cut(5, 15), kind, month)
    if option:
        contract = contract._replace(option_month=option_month, right=right)
    contracts.line.append(number)
    contracts.what.append(contract)
    contracts.month.append(plain or option_plain)
    contracts.raw.extend(values)
    contracts.rest.append((strike, delta, volatility, settle, factor))


def _table(
    source: str, contracts: _Contracts, commodities: Commodities, rules: Conventions, problems: list[str]
) -> tuple[Columns, Contracts, Counter[tuple[str, str]]]:
    """The table of risk arrays, the contracts in it, and the options left out by product and reason."""
    data: dict[str, list[object]] = {name: [] for name in ARRAYS}
    keep, loss, what, prices, volatilities = [], [], [], [], []
    left_out: Counter[tuple[str, str]] = Counter()
    raw = (
        np.frombuffer(contracts.raw, dtype=np.int64).reshape(-1, _POINTS) if contracts.line else np.zeros((0, _POINTS))
    )
    for i, (line, contract) in enumerate(zip(contracts.line, contracts.what, strict=True)):
        strike, delta, volatility, settle, factor = contracts.rest[i]
        key: Key = (contract.exchange, contract.product, contract.kind)
        owner = commodities.of.get(key)
        if owner is None:
            problems.append(f"line {line}: {' '.join(key)} belongs to no combined commodity: no record 2 names it")
            continue
        form = commodities.prices.get(key)
        value, quoted = 0.0, np.nan if form is None else price(settle, form, rules.parts)
        if contract.option:
            contract = contract._replace(strike=scaled(strike, -form.strike_places if form else 0))
            if form is None:
                problems.append(f"line {line}: {' '.join(key)} has no record P: the value of its options is not known")
                continue
            why = _not_valued(quoted, form.alignment, form.currency, owner.currency) if form.premium else ""
            if why:
                left_out[" ".join(key), why] += 1
                continue
            if form.premium:
                value = quoted * (scaled(factor, -7) if factor else form.factor)
        scale = commodities.scaling.get((*key, contract.month, contract.option_month), 1.0)
        cells = (name_of(contract), owner.name, owner.currency, contracts.month[i], contract.option, value)
        for name, cell in zip(ARRAYS, (*cells, scaled(delta, -4) * scale), strict=True):
            data[name].append(cell if not isinstance(cell, bool) else str(cell).lower())
        keep.append(line)
        loss.append(raw[i] * 10.0 ** max(owner.exponent[key], 0) / 10.0 ** max(-owner.exponent[key], 0))
        what.append(contract)
        prices.append(quoted)
        volatilities.append(np.nan if volatility < 0 else scaled(volatility, -6))
    columns = {name: np.array(cells, dtype=object) for name, cells in data.items()}
    for name in ("value", "delta"):
        columns[name] = columns[name].astype(np.float64)
    points = np.array(loss, dtype=np.float64).reshape(-1, _POINTS)
    columns |= {f"a{s + 1}": points[:, s] for s in range(_POINTS)}
    table = Columns(source, columns, "line", np.array(keep, dtype=np.int64))
    return table, Contracts.of(what, prices, volatilities), left_out


def _not_valued(quoted: float, alignment: str, currency: str, owner: str) -> str:
    """Why the value of an option whose premium is paid is not known; "" if it is."""
    if np.isnan(quoted):
        return f"their prices have the alignment code '{alignment}', or a last digit, that is not known"
    if currency and currency != owner:
        return f"their premium is in {currency} and their risk in {owner}"
    return ""
