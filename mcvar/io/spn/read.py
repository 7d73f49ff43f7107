"""SPAN risk parameter files in the XML of PC-SPAN (`.spn`, file format 4.00), read in one pass.

Contracts are named as `mcvar.io.contracts` says. Arrays stand in the currency of their portfolio; an option's value
is its price times its contract value factor, and 0 for futures-style options. Composite deltas are multiplied by the
contract's scaling factor `sc`, or else by that of its portfolio's link. In files of mcvar's own, processing
instructions say what the format has no element for, and win over the elements.
"""

from __future__ import annotations

from array import array
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import numpy as np

from mcvar.columns import Columns
from mcvar.io.contracts import Contract, Contracts, name_of
from mcvar.io.scan.about import read_stated
from mcvar.io.scan.file import ARRAYS, ScanFile, month_of
from mcvar.io.scan.rows import resolve
from mcvar.io.spn.commodities import Commodities
from mcvar.io.spn.fields import CONTAINERS, CONTRACTS, FORMAT, PORTFOLIOS, SCANS, TARGET, Conventions, number, read_note
from mcvar.io.spn.grid import read_grid
from mcvar.io.streams import bytes_of
from mcvar.io.xml_stream import Element, stream

_NUMBERS = ("p", "v", "d", "sc", "cvf", "k")
_MANY = 1000  # points of an array at most


@dataclass
class _Found:
    """Contracts in the order of the file, one entry each; portfolios and series are shared."""

    line: array[int] = field(default_factory=lambda: array("q"))
    portfolio: list[Element] = field(default_factory=list)
    series: list[Element | None] = field(default_factory=list)
    texts: list[tuple[str, str, str, tuple[str, str, str]]] = field(default_factory=list)  # cId, pe, o, undC
    numbers: dict[str, array[float]] = field(default_factory=lambda: {name: array("d") for name in _NUMBERS})
    loss: array[float] = field(default_factory=lambda: array("d"))
    points: list[int] = field(default_factory=list)
    note: list[tuple[Any, Any, Any] | None] = field(default_factory=list)  # name, month, row
    exchange: dict[int, str] = field(default_factory=dict)  # of a portfolio
    scans: dict[tuple[int, str], tuple[float, float]] = field(default_factory=dict)  # of a portfolio, by element


def read_spn(path: str | Path, conventions: Conventions | None = None, *, tie: str = "lowest") -> ScanFile:
    """Read risk arrays and parameters.

    Memory is that of the arrays and names read and does not depend on what else the file holds.

    Parameters
    ----------
    path : str or Path
        Plain or gzipped.
    conventions : Conventions, optional
    tie : str
        See `Parameters`; a file of mcvar's own says it itself.

    Raises
    ------
    InputError
        Everything that is wrong, with line numbers; at once, what is not well-formed or declares a document type.

    Examples
    --------
    >>> import tempfile
    >>> array = f"<ra>{'<a>-5</a><a>5</a>' * 8}<d>1</d></ra>"
    >>> text = f'''<spanFile><pointInTime><clearingOrg><ec>HOUSE</ec>
    ... <ccDef><cc>X</cc><currency>USD</currency><pfLink><exch>EX</exch><pfId>1</pfId></pfLink></ccDef>
    ... <exchange><exch>EX</exch><futPf><pfId>1</pfId><pfCode>X</pfCode><currency>USD</currency>
    ... <fut><cId>1</cId><pe>202603</pe>{array}</fut></futPf></exchange>
    ... </clearingOrg></pointInTime></spanFile>'''
    >>> with tempfile.TemporaryDirectory() as folder:
    ...     _ = Path(folder, "house.spn").write_text(text)
    ...     found = read_spn(Path(folder, "house.spn"))
    >>> found.arrays.name, found.arrays.loss[0, :3].tolist(), found.parameters.commodities[0].currency
    (('EX:X:FUT:202603',), [-5.0, 5.0, -5.0], 'USD')
    """
    source, rules = str(path), conventions or Conventions()
    problems: list[str] = []
    reader = _Reader(problems, Commodities(problems, rules), rules)
    with bytes_of(path) as file:
        stream(file, path, CONTAINERS, reader.record, TARGET)
    grid = read_grid(reader.points, reader.name, problems)
    table, contracts = reader.table(source, 16 if grid is None else len(grid))
    scans, reader.found = reader.found.scans, _Found()  # its memory is needed no more
    tables = reader.commodities.tables(source, table, scans)
    said = reader.commodities.house
    stated = read_stated(said, problems) if said else None
    arrays, parameters = resolve(tables, str(said.get("tie", "")) or tie, problems, source)
    return ScanFile(arrays, parameters, grid, contracts, reader.commodities.notes(), stated)


class _Reader:
    """Records as they come."""

    def __init__(self, problems: list[str], commodities: Commodities, rules: Conventions) -> None:
        self.problems, self.commodities, self.rules = problems, commodities, rules
        self.found = _Found()
        self.points: list[Element] = []
        self.name = "spn"
        self.checked = False

    def record(self, element: Element, around: list[Element]) -> None:
        """An element that has children, in the containers around it."""
        if not self.checked:
            self._head(around[0] if around else element)
        if not around:
            return
        if element.tag in CONTRACTS and (at := next((e for e in around if e.tag in PORTFOLIOS), None)):
            exchange = next((e.text("exch") for e in around if e.tag == "exchange"), "")
            series = around[-1] if around[-1].tag == "series" else None
            self._contract(element, at, series, exchange)
        elif element.tag in ("undC", "scanRate") and around[-1].tag == "series":
            around[-1].parts = [*(part for part in around[-1].parts if part.tag != element.tag), element]
        elif element.tag == "scanPointDef":
            self.points.append(element)
            self.name = str((read_note(around[-1].note) or {}).get("grid", self.name))
        else:
            self.commodities.record(element, around)

    def _head(self, root: Element) -> None:
        self.checked = True
        if root.tag != "spanFile":
            self.problems.append(f"line {root.line}: the document is a '{root.tag[:60]}', not a spanFile")
        elif (form := root.text("fileFormat")) not in ("", FORMAT):
            self.problems.append(f"line {root.line}: file format '{form[:60]}' is not {FORMAT}, the one that is read")

    def _contract(self, element: Element, portfolio: Element, series: Element | None, exchange: str) -> None:
        found = self.found
        arrays = element.all("ra")
        chosen = [ra for ra in arrays if ra.text("r", "1") == str(self.rules.rate)] or arrays[:1]
        if not chosen:
            if portfolio.text("positionsAllowed") == "0":
                return
            self.problems.append(
                f"line {element.line}: a contract of '{portfolio.text('pfCode')[:60]}' has no risk array"
            )
            return
        values = self._scenarios(chosen[0].texts("a"), element.line)
        found.loss.extend(values[:_MANY])
        found.points.append(min(len(values), _MANY))
        found.line.append(element.line)
        found.portfolio.append(portfolio)
        found.series.append(series)
        found.exchange[id(portfolio)] = exchange
        shared = series or element
        under = next((_underlying(e) for e in [*element.all("undC"), *shared.all("undC")]), ("", "", ""))
        for rate in (element.all("scanRate") or shared.all("scanRate"))[:1]:
            for tag in SCANS:
                self._widen(id(portfolio), tag, self._number(rate.text(tag), tag, rate.line), rate.line)
        found.texts.append((element.text("cId"), element.text("pe"), element.text("o"), under))
        for name in _NUMBERS:
            text = chosen[0].text("d") or element.text("d") if name == "d" else element.text(name)
            found.numbers[name].append(self._number(text, name, element.line))
        said = read_note(element.note)
        if said is None:
            self.problems.append(f"line {element.line}: the mcvar instruction is none that mcvar writes: remove it")
        found.note.append((said.get("name"), said.get("month"), said.get("row")) if said else None)

    def _widen(self, portfolio: int, tag: str, size: float, line: int) -> None:
        """Note the narrowest and the widest scan range of a portfolio."""
        if size < 0:
            self.problems.append(f"line {line}: {tag} {size:g} is negative: correct it")
        elif size > 0:
            low, high = self.found.scans.get((portfolio, tag), (size, size))
            self.found.scans[portfolio, tag] = min(low, size), max(high, size)

    def _scenarios(self, texts: list[str], line: int) -> list[float]:
        joined = "".join(texts)
        if not {"_", "n", "N"} & set(joined):  # neither nan nor infinities
            try:
                return [float(text) for text in texts]
            except ValueError:
                pass
        return [self._number(text, "a scenario", line) for text in texts]

    def _number(self, text: str, what: str, line: int) -> float:
        if (value := number(text)) is None:
            self.problems.append(f"line {line}: {what} '{text[:60]}' is not a finite number")
            return np.nan
        return value

    def table(self, source: str, points: int) -> tuple[Columns, Contracts]:
        """The table of risk arrays, and the contracts in it."""
        found = self.found
        months = self._months()
        data: dict[str, list[object]] = {name: [] for name in ARRAYS}
        what, price, volatility, order, keep = [], [], [], [], []
        loss = np.full((len(found.line), points), np.nan)
        every = np.frombuffer(found.loss, dtype=np.float64) if found.loss else np.zeros(0)
        at = 0
        for i, line in enumerate(found.line):
            if (given := found.points[i]) != points:
                self.problems.append(f"line {line}: an array of {given} scenarios, not {points}: complete it")
            else:
                loss[i] = every[at : at + points]
            at += given
            portfolio, series = found.portfolio[i], found.series[i]
            name, own_month, row = found.note[i] or (None, None, None)
            exchange = found.exchange[id(portfolio)]
            owner = self.commodities.owner(portfolio, exchange, line)
            if owner is None:
                continue
            if self.rules.risk_exponent:
                with np.errstate(over="ignore"):
                    loss[i] *= 10.0**owner.exponent
            contract, month = self._terms(i, exchange, months)
            value = self._value(i, contract, portfolio, series)
            scale = next((s for s in (found.numbers["sc"][i], self._shared(series, "sc")) if s > 0), owner.scale)
            cells = {
                "instrument": name or name_of(contract), "commodity": owner.name,
                "currency": portfolio.text("currency") or owner.currency,
                "month": month if own_month is None else own_month,
                "option": str(contract.option).lower(), "value": value, "delta": found.numbers["d"][i] * scale,
            }  # fmt: skip
            for name, cell in cells.items():
                data[name].append(cell)
            keep.append(i)
            what.append(contract)
            price.append(found.numbers["p"][i])
            volatility.append(found.numbers["v"][i])
            order.append(row if isinstance(row, int) else -1)
        sort = (
            np.argsort(np.array(order, dtype=np.float64), kind="stable") if -1 not in order else np.arange(len(order))
        )
        columns = {name: np.array(cells, dtype=object)[sort] for name, cells in data.items()}
        for name in ("value", "delta"):
            columns[name] = columns[name].astype(np.float64)
        kept = np.array(keep, dtype=np.int64)[sort]
        loss = loss[kept]
        columns |= {f"a{s + 1}": loss[:, s] for s in range(points)}
        lines = np.frombuffer(found.line, dtype=np.int64)[kept] if keep else np.zeros(0, dtype=np.int64)
        contracts = Contracts.of([what[r] for r in sort], [price[r] for r in sort], [volatility[r] for r in sort])
        return Columns(source, columns, "line", lines), contracts

    def _months(self) -> dict[tuple[str, str, str], str]:
        """The month of each future, known by its exchange, portfolio and number."""
        found = self.found
        return {
            (found.exchange[id(p)], p.text("pfId"), found.texts[i][0]): found.texts[i][1]
            for i, p in enumerate(found.portfolio)
            if PORTFOLIOS[p.tag][0] == "FUT"
        }

    def _terms(self, i: int, exchange: str, months: dict[tuple[str, str, str], str]) -> tuple[Contract, str]:
        """A contract and its month."""
        portfolio, series = self.found.portfolio[i], self.found.series[i]
        _, own, right, under = self.found.texts[i]
        kind = portfolio.text("pfType") or PORTFOLIOS[portfolio.tag][0]
        line, code = self.found.line[i], portfolio.text("pfCode")
        if PORTFOLIOS[portfolio.tag][1] != "opt":
            return Contract(exchange, code, kind, _code(own)), self._month(own, line)
        own = (series.text("pe") if series else "") or own
        future = months.get((under[0] or exchange, under[1], under[2]), "")
        if right not in ("C", "P"):
            self.problems.append(f"line {line}: the right of an option is '{right[:20]}', not C or P")
        strike = self.found.numbers["k"][i]
        if np.isnan(strike):
            self.problems.append(f"line {line}: an option of '{code[:60]}' has no strike k")
        return Contract(exchange, code, kind, _code(future), _code(own), right, strike), self._month(
            future or own, line
        )

    def _month(self, code: str, line: int) -> str:
        if (month := month_of(code)) is None:
            self.problems.append(f"line {line}: pe '{code[:20]}' is not a contract month YYYYMM or YYYYMMDD")
            return ""
        return month

    def _value(self, i: int, contract: Contract, portfolio: Element, series: Element | None) -> float:
        """What one long option is worth, if its premium is paid; else 0."""
        if not contract.option or portfolio.text("valueMeth", "EQTY") == "FUT":
            return 0.0
        quoted = self.found.numbers["p"][i]
        known = (self.found.numbers["cvf"][i], self._shared(series, "cvf"), self._shared(portfolio, "cvf"))
        factor = next((f for f in known if f > 0), 1.0)
        if np.isnan(quoted):
            self.problems.append(f"line {self.found.line[i]}: an option of '{contract.product[:60]}' has no price p")
            return 0.0
        return quoted * factor

    def _shared(self, element: Element | None, tag: str) -> float:
        """A number of a portfolio or a series; NaN where it is not there."""
        found = number(element.text(tag)) if element else None
        return np.nan if found is None else found


def _underlying(element: Element) -> tuple[str, str, str]:
    return element.text("exch"), element.text("pfId"), element.text("cId")


def _code(period: str) -> str:
    """A contract period as names have it."""
    return period if period.strip("0") else ""
