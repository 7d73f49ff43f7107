"""Worst scenarios that differ by rounding only: every engine names the same one, and no amount changes."""

from __future__ import annotations

import itertools
from collections.abc import Callable

import numpy as np
import pytest
from scan_cases import inter, make_arrays
from scipy import sparse

from mcvar.book import Book
from mcvar.engines import choose
from mcvar.market import Market
from mcvar.scan.exchange.grid import Points, Reduction, VolatilityRange
from mcvar.scan.exchange.margins import margins
from mcvar.scan.exchange.price import price_exchange
from mcvar.scan.exchange.system import Exchange
from mcvar.scan.grid import SPAN16
from mcvar.scan.parameters import Commodity, Parameters
from mcvar.scan.per import Per
from mcvar.scan.pricing.contracts import Contracts
from mcvar.scan.pricing.risk_arrays import risk_arrays
from mcvar.scan.span.algorithm import span
from mcvar.scan.ties import TOLERANCE, worst_point

STRIKES, YEARS = np.linspace(60.0, 150.0, 31), (0.02, 0.25, 1.3)


@pytest.fixture(scope="module")
def options(make_market: Callable[..., Market], make_book: Callable[..., Book]) -> tuple[Market, Book]:
    """A call and a put of each strike and expiry, which no volatility moves apart."""
    market = make_market([{"factor": "A", "level": 97.3}, {"factor": "B", "level": 97.3}])
    rows = [
        {
            "instrument": f"{under}{side}{strike}-{years}", "kind": "option", "underlying": under, "option_type": side,
            "strike": strike, "years": years, "volatility": 0.21 + strike / 900, "rate": 0.03, "carry": 0.03,
        }
        for under in "AB"
        for strike in STRIKES
        for years in YEARS
        for side in ("call", "put")
    ]  # fmt: skip
    return market, make_book(market, rows, [("X", str(row["instrument"]), 1.0) for row in rows])


def futures(size: int) -> sparse.csr_array:
    """Of each strike and expiry a synthetic future on A, then the same short."""
    pairs = size // 4
    long = sparse.csr_array((np.tile([1.0, -1.0], pairs), np.arange(2 * pairs), np.arange(0, 2 * pairs + 1, 2)),
                            shape=(pairs, size))  # fmt: skip
    return sparse.csr_array(sparse.vstack([long, -long]))


def priced(given: tuple[Market, Book], engine: str, size: float, lookahead: float = 1 / 365) -> Contracts:
    market, book = given
    terms = {"relative": True, "volatility_range": 0.3, "relative_volatility": True, "lookahead": lookahead}
    parameters = Parameters(tuple(Commodity(c, "USD", size, **terms) for c in "AB"))
    names = [market.factors.underlying[u] for u in book.instruments.underlying]
    return risk_arrays(market, book, names, parameters, choose(engine))


@pytest.mark.parametrize("size", [0.3, 0.06, 0.003])
@pytest.mark.parametrize("engine", ["numpy", "native"])
def test_synthetic_futures_have_the_first_of_two_volatilities(
    options: tuple[Market, Book], engine: str, size: float
) -> None:
    arrays = priced(options, engine, size).arrays
    held = futures(len(arrays))
    losses = held @ arrays.loss
    half = len(losses) // 2
    assert len(set(losses[:half].argmax(axis=1).tolist())) > 1  # rounding alone would decide
    for tie, long, short in (("lowest", 13, 11), ("highest", 14, 12)):
        parameters = Parameters(tuple(Commodity(c, "USD", 1.0) for c in "AB"), tie=tie)
        found = span(arrays, SPAN16, parameters, held)
        assert found.worst_scenario.tolist() == [long] * half + [short] * half
        np.testing.assert_array_equal(found.scan, losses.max(axis=1))  # the rule changes no amount


@pytest.mark.parametrize("engine", ["numpy", "native"])
def test_boxes_tie_at_every_point(options: tuple[Market, Book], engine: str) -> None:
    """A short box loses what it grows by at all points, but 35 % of it at the extreme ones; a long one gains it."""
    arrays = priced(options, engine, 0.06).arrays
    at = {name: n for n, name in enumerate(arrays.name)}
    boxes = np.zeros((len(STRIKES) - 1, len(arrays)))
    for row, (low, high) in enumerate(itertools.pairwise(STRIKES)):
        for strike, sign in ((low, 1.0), (high, -1.0)):
            boxes[row, at[f"Acall{strike}-0.25"]], boxes[row, at[f"Aput{strike}-0.25"]] = sign, -sign
    parameters = Parameters(tuple(Commodity(c, "USD", 1.0) for c in "AB"))
    found = span(arrays, SPAN16, parameters, sparse.csr_array(np.concatenate([boxes, -boxes])))
    assert set(found.worst_scenario[: len(boxes)]) == {15}
    assert set(found.worst_scenario[len(boxes) :]) == {1}


@pytest.mark.parametrize("engine", ["numpy", "native"])
@pytest.mark.parametrize("reduction", [Reduction.worst, Reduction.cells, Reduction.expiries])
def test_exchange_grids_share_the_rule(options: tuple[Market, Book], engine: str, reduction: Reduction) -> None:
    market, book = options
    points = Points("g", SPAN16.price, SPAN16.volatility, SPAN16.weight, np.zeros(16, dtype=bool), ("",) * 16)
    one, volatility = Per({"default": 0.06}), Per({"default": 0.3})
    exchange = Exchange(points, reduction, one, one, VolatilityRange(volatility, volatility))
    names = [market.factors.underlying[u] for u in book.instruments.underlying]
    contracts = price_exchange(market, book, names, exchange, choose(engine))
    held = futures(len(names))
    found = margins(contracts, exchange, held)
    assert found.worst_scenario.tolist() == [13] * (held.shape[0] // 2) + [11] * (held.shape[0] // 2)


@pytest.mark.parametrize("engine", ["numpy", "native"])
def test_equal_commodities_name_the_first(options: tuple[Market, Book], engine: str) -> None:
    """A short on A and a long on B of one price lose alike: the first commodity's scenario is the account's."""
    arrays = priced(options, engine, 0.06, lookahead=0.0).arrays
    long = futures(len(arrays)).toarray()[: len(arrays) // 4]
    both = sparse.csr_array(np.roll(long, len(arrays) // 2, axis=1) - long)
    each = [(both[:, arrays.of == c] @ arrays.loss[arrays.of == c]).max(axis=1) for c in range(2)]
    assert (each[0] < each[1]).any()  # by rounding
    found = span(arrays, SPAN16, Parameters(tuple(Commodity(c, "USD", 1.0) for c in "AB")), both)
    assert set(found.worst_scenario) == {11}


def test_what_is_more_than_rounding_decides() -> None:
    gross = np.array([10.0])
    for gap, point in ((2.0 * TOLERANCE * 10, 1), (0.5 * TOLERANCE * 10, 0)):
        found, largest = worst_point(np.array([[3.0, 3.0 + gap, 1.0]]), gross)
        assert (found[0], largest[0]) == (point, 3.0 + gap)
    found, _ = worst_point(np.array([[-1.0, -2.0]]), np.array([0.0]))
    assert found[0] == 0


def test_the_pair_of_what_is_named_gives_the_price_risk() -> None:
    """Losses of 300 and 300 + 1e-13 tie: the credit is of the first, whose pair loses 100, also where it is smaller."""
    loss = [0.0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 300, 100, 0, 300]
    both = Commodity("X", "USD", 300.0), Commodity("Y", "USD", 300.0)
    spread = inter(1, ("X", 0, 1.0, 1, 0.5), ("Y", 0, 1.0, -1, 0.0))
    for step in (0.0, 1e-13, -1e-13):
        rows = [{"name": "A", "loss": [*loss[:15], 300 + step]}, {"name": "B", "commodity": "Y"}]
        found = span(make_arrays(*rows), SPAN16, Parameters(both, (spread,)), sparse.csr_array([[1.0, -1.0]]))
        assert found.credit[0] == pytest.approx((300 + 100) / 2 * 0.5, rel=1e-12)
        assert found.scan[0] == max(300.0, 300.0 + step) + 300.0
