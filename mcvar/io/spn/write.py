"""mcvar's risk arrays and parameters as PC-SPAN XML (`.spn`, file format 4.00), for other programs and for itself.

The elements are those of the published schema. What it has no place for (names and order of mcvar's instruments, ranges
and extreme moves of a commodity, the rule for ties) stands in processing instructions `<?mcvar ...?>`, which other
programs pass over and `mcvar.io.spn.read` reads. Prices `p` are those of one contract and every contract value factor
is 1. The same numbers give the same bytes, and reading them gives the same bits; commodities of the arrays are then
numbered in the order of their first contracts.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from xml.sax.saxutils import escape

import numpy as np

from mcvar.errors import InputError
from mcvar.io.contracts import Contract, Contracts, number_text
from mcvar.io.scan.about import stated_cells
from mcvar.io.scan.file import Stated
from mcvar.io.scan.tables import check_writable
from mcvar.io.spn.fields import FORMAT, PORTFOLIOS, TARGET, decimal, note, ratio
from mcvar.io.spn.terms import ELEMENT, check_terms
from mcvar.scan.arrays import RiskArrays
from mcvar.scan.grid import SPAN16, Grid
from mcvar.scan.parameters import Commodity, Parameters, Spread

_SIDES = {1: "A", -1: "B"}


@dataclass(frozen=True)
class _Portfolio:
    """Contracts of one product."""

    number: int
    exchange: str
    code: str
    kind: str
    commodity: int
    currency: str
    rows: list[int]


def write_spn(
    path: str | Path,
    arrays: RiskArrays,
    parameters: Parameters,
    *,
    date: str,
    grid: Grid = SPAN16,
    contracts: Contracts | None = None,
    stated: Stated | None = None,
) -> Path:
    """Write a file.

    Parameters
    ----------
    path : str or Path
    arrays : RiskArrays
    parameters : Parameters
    date : str
        Business date, YYYYMMDD. The time of writing is not in the file.
    grid : Grid
        The points of the arrays.
    contracts : Contracts, optional
        [I], see `mcvar.io.contracts.described`; else what the names say, as files of clearing houses have them.
    stated : Stated, optional
        What the arrays were made of, for `mcvar.io.spn.read`.

    Returns
    -------
    Path

    Raises
    ------
    InputError
        What could not be read back, options without a right or a strike, types of contracts that the format does not
        have; a date or a grid that does not fit.

    Examples
    --------
    >>> import tempfile
    >>> from mcvar.io.spn.read import read_spn
    >>> future = RiskArrays(("F",), ("X",), np.array([0]), ("USD",), SPAN16.price[None] * -5.0, np.ones(1),
    ...     np.zeros(1), np.array([False]), ("202603",))
    >>> with tempfile.TemporaryDirectory() as folder:
    ...     path = write_spn(f"{folder}/a.spn", future, Parameters((Commodity("X", "USD", 5.0),)), date="20260102")
    ...     read_spn(path).arrays.loss[0, 10:].tolist()
    [-5.0, -5.0, 5.0, 5.0, -10.0, 10.0]
    """
    check_writable(arrays, parameters)
    terms = check_terms(arrays, contracts)
    if not (len(date) == 8 and date.isascii() and date.isdigit()):
        raise InputError(str(path), [f"the date '{date}' is not YYYYMMDD"])
    if len(grid) != arrays.points:
        raise InputError(
            str(path), [f"the arrays have {arrays.points} points and the grid {len(grid)}: give their grid"]
        )
    path = Path(path)
    with path.open("w", newline="\n", encoding="utf-8") as file:
        for line in _document(arrays, parameters, terms, grid, date, stated or Stated()):
            file.write(line + "\n")
    return path


def _document(
    arrays: RiskArrays, parameters: Parameters, terms: Sequence[Contract], grid: Grid, date: str, stated: Stated
) -> Iterator[str]:
    portfolios = _portfolios(arrays, terms)
    futures = _futures(portfolios, terms)
    yield '<?xml version="1.0" encoding="UTF-8"?>'
    yield "<spanFile>"
    yield f"<fileFormat>{FORMAT}</fileFormat><created>{date}0000</created>"
    yield "<definitions>"
    for currency in dict.fromkeys([c.currency for c in parameters.commodities] + list(arrays.currency)):
        said = f"<currency>{escape(currency)}</currency><symbol/><name>{escape(currency)}</name>"
        yield f"<currencyDef>{said}<decimalPos>2</decimalPos></currencyDef>"
    yield "</definitions>"
    yield f"<pointInTime><date>{date}</date><isSetl>1</isSetl>"
    said = note(tie=parameters.tie, **stated_cells(stated))
    yield f"<clearingOrg><ec>MCVAR</ec><name>mcvar</name><?{TARGET} {said}?>"
    yield from _points(grid)
    for commodity in parameters.commodities:
        yield from _commodity(commodity, [p for p in portfolios if arrays.commodity[p.commodity] == commodity.name])
    yield "<interSpreads>"
    for spread in parameters.spreads:
        yield from _spread(spread, "")
    yield "</interSpreads>"
    for exchange in dict.fromkeys(p.exchange for p in portfolios):
        said = escape(exchange)
        yield f"<exchange><exch>{said}</exch><name>{said}</name>"
        for element in PORTFOLIOS:
            for portfolio in portfolios:
                if portfolio.exchange == exchange and PORTFOLIOS[element][0] == portfolio.kind:
                    own = next(c for c in parameters.commodities if c.name == arrays.commodity[portfolio.commodity])
                    yield from _contracts(portfolio, arrays, terms, own, futures)
        yield "</exchange>"
    yield "</clearingOrg></pointInTime>"
    yield "</spanFile>"


def _portfolios(arrays: RiskArrays, terms: Sequence[Contract]) -> list[_Portfolio]:
    """Contracts by product, in the order of their first contracts."""
    rows: dict[tuple[str, str, str, int, str], list[int]] = {}
    for i, term in enumerate(terms):
        key = (term.exchange, term.product, term.kind, int(arrays.of[i]), arrays.currency[i])
        rows.setdefault(key, []).append(i)
    return [_Portfolio(n, *key, rows=own) for n, (key, own) in enumerate(rows.items(), 1)]


def _futures(portfolios: Sequence[_Portfolio], terms: Sequence[Contract]) -> dict[tuple[str, int, str], str]:
    """The element that points to the first future of an exchange, a commodity and a month."""
    found: dict[tuple[str, int, str], str] = {}
    for p in portfolios:
        for i in p.rows if p.kind == "FUT" else []:
            where = f"<exch>{escape(p.exchange)}</exch><pfId>{p.number}</pfId><cId>{i + 1}</cId>"
            found.setdefault((p.exchange, p.commodity, terms[i].month), f"<undC>{where}<s>B</s><i>1</i></undC>")
    return found


def _points(grid: Grid) -> Iterator[str]:
    yield f"<pointDef><r>1</r><?{TARGET} {note(grid=grid.name)}?>"
    for s in range(len(grid)):
        yield (
            f"<scanPointDef><point>{s + 1}</point>{_move('priceScanDef', grid.price[s])}"
            f"{_move('volScanDef', grid.volatility[s])}<weight>{decimal(grid.weight[s])}</weight>"
            f"<pairedPoint>{grid.pair[s] + 1}</pairedPoint></scanPointDef>"
        )
    yield "</pointDef>"


def _move(tag: str, value: float) -> str:
    up, down = ratio(float(value))
    return f"<{tag}><mult>1</mult><numerator>{up}</numerator><denominator>{down}</denominator></{tag}>"


def _commodity(commodity: Commodity, portfolios: Sequence[_Portfolio]) -> Iterator[str]:
    c, name = commodity, escape(commodity.name)
    own = note(
        price_range=c.price_range, relative=c.relative, volatility_range=c.volatility_range,
        relative_volatility=c.relative_volatility, extreme=c.extreme, covered=c.covered, lookahead=c.lookahead,
        short_netted=c.short_netted, delta_unit=c.delta_unit,
    )  # fmt: skip
    yield f"<ccDef><?{TARGET} {own}?>"
    yield f"<cc>{name}</cc><name>{name}</name><currency>{escape(c.currency)}</currency>"
    yield "<riskExponent>0</riskExponent><capAnov>0</capAnov><procMeth>NORMAL</procMeth>"
    yield "<wfprMeth>NORMAL</wfprMeth><spotMeth>NORMAL</spotMeth>"
    minimum_method = "NET" if c.short_netted else "GROSS"
    yield f"<somMeth>{minimum_method}</somMeth><cmbMeth>NONE</cmbMeth><marginMeth>NORMAL</marginMeth>"
    for p in portfolios:
        yield (
            f"<pfLink><exch>{escape(p.exchange)}</exch><pfId>{p.number}</pfId><pfCode>{escape(p.code)}</pfCode>"
            f"<pfType>{p.kind}</pfType><sc>1</sc></pfLink>"
        )
    yield "<intraTiers>"
    for tier in c.tiers:
        first = f"<sPe>{tier.first}</sPe>" if tier.first else ""
        last = f"<ePe>{tier.last}</ePe>" if tier.last else ""
        yield f"<tier><tn>{tier.number}</tn>{first}{last}</tier>"
    yield "</intraTiers><interTiers/>"
    minimum = decimal(c.short_option_minimum)
    yield f"<somTiers><tier><tn>0</tn><rate><r>1</r><val>{minimum}</val></rate></tier></somTiers><rateTiers/>"
    for spread in c.spreads:
        yield from _spread(spread, c.name)
    for d in c.delivery:
        yield (
            f"<spotRate><r>1</r><pe>{d.month}</pe><sprd>{decimal(d.spread)}</sprd><outr>{decimal(d.outright)}</outr>"
            "</spotRate>"
        )
    yield "</ccDef>"


def _spread(spread: Spread, within: str) -> Iterator[str]:
    credits_ = [leg.credit for leg in spread.legs]
    rate = spread.charge if within else credits_[0]
    said = f"<?{TARGET} {note(charge=spread.charge, credits=credits_)}?>"
    plain = within or (len(set(credits_)) == 1 and not spread.charge)
    head = f"<spread>{spread.priority}</spread><chargeMeth>{'F' if within else 'W'}</chargeMeth>"
    yield f"<dSpread>{'' if plain else said}{head}"
    yield f"<rate><r>1</r><val>{decimal(rate)}</val></rate>"
    for leg in spread.legs:
        yield (
            f"<tLeg><cc>{escape(leg.commodity)}</cc><tn>{leg.tier}</tn><rs>{_SIDES[leg.side]}</rs>"
            f"<i>{decimal(leg.ratio)}</i></tLeg>"
        )
    yield "</dSpread>"


def _contracts(
    portfolio: _Portfolio,
    arrays: RiskArrays,
    terms: Sequence[Contract],
    commodity: Commodity,
    futures: Mapping[tuple[str, int, str], str],
) -> Iterator[str]:
    element, contract = ELEMENT[portfolio.kind]
    method = "EQTY" if contract == "opt" else "FUT"
    code = escape(portfolio.code)
    yield (
        f"<{element}><pfId>{portfolio.number}</pfId><pfCode>{code}</pfCode><name>{code}</name>"
        f"<currency>{escape(portfolio.currency)}</currency><cvf>1</cvf><valueMeth>{method}</valueMeth>"
        f"<priceMeth>STD</priceMeth><setlMeth>CASH</setlMeth>"
    )
    scan = _scan(commodity)
    if contract != "opt":
        for i in portfolio.rows:
            yield f"<{contract}>{_own(i, arrays)}<cId>{i + 1}</cId><pe>{escape(terms[i].month) or '000000'}</pe>"
            yield f"{scan}{_array(i, arrays)}</{contract}>"
    else:
        series: dict[tuple[str, str], list[int]] = {}
        for i in portfolio.rows:
            series.setdefault((terms[i].option_month, terms[i].month), []).append(i)
        for (month, future), rows in series.items():
            under = futures.get((portfolio.exchange, portfolio.commodity, future), "") if future else ""
            yield f"<series><pe>{escape(month) or '000000'}</pe>{under}{scan}"
            for i in rows:
                strike, right = number_text(terms[i].strike), terms[i].right
                yield (
                    f"<opt>{_own(i, arrays)}<cId>{i + 1}</cId><o>{right}</o><k>{strike}</k>"
                    f"<p>{decimal(arrays.value[i])}</p>{_array(i, arrays)}</opt>"
                )
            yield "</series>"
    yield f"</{element}>"


def _own(i: int, arrays: RiskArrays) -> str:
    return f"<?{TARGET} {note(name=arrays.name[i], row=i, month=arrays.month[i])}?>"


def _array(i: int, arrays: RiskArrays) -> str:
    points = "".join(f"<a>{decimal(loss)}</a>" for loss in arrays.loss[i].tolist())
    return f"<ra><r>1</r>{points}<d>{decimal(arrays.delta[i])}</d></ra>"


def _scan(commodity: Commodity) -> str:
    price, volatility = commodity.price_range, commodity.volatility_range
    tags = (("priceScan", price, commodity.relative), ("volScan", volatility, commodity.relative_volatility))
    said = "".join(
        f"<{tag}Pct>{decimal(100 * value)}</{tag}Pct>" if part else f"<{tag}>{decimal(value)}</{tag}>"
        for tag, value, part in tags
        if np.isfinite(value)
    )
    return f"<scanRate><r>1</r>{said}</scanRate>"
