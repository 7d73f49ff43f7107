"""Scan grids of exchanges: their tables, a published example, real accounts by hand, and every rule by loops."""

from __future__ import annotations

import dataclasses
import inspect
import math
import re
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import yaml
from omegaconf import OmegaConf
from scipy import sparse
from scipy.special import ndtr

from mcvar.book import Book, resolve
from mcvar.building.scan.build import Scan, build_scan, read_points
from mcvar.correlation import given, positive
from mcvar.engines import choose
from mcvar.errors import SettingError
from mcvar.instruments import Kind
from mcvar.io import deribit_tables
from mcvar.io.deribit import read_snapshot
from mcvar.market import Market, build, read_factors
from mcvar.scan.exchange.contingency import RULES
from mcvar.scan.exchange.expiries import expiries
from mcvar.scan.exchange.explain import terms
from mcvar.scan.exchange.grid import Discounts, Reduction, Skew, VolatilityRange
from mcvar.scan.exchange.margins import ScanMargins, margins
from mcvar.scan.exchange.price import price_exchange
from mcvar.scan.grid import SPAN16
from mcvar.scan.per import Per
from mcvar.scan.pricing.contracts import Contracts, commodity_names
from mcvar.scan.pricing.risk_arrays import WEIGHTS, risk_arrays
from mcvar.settings.scan import SCANS, ScanConfig

CONFIGS = Path(__file__).parents[1] / "configs" / "scan"
NUMPY = choose("numpy")
DAY = 1 / 365
SNAPSHOT = "data/options/deribit/raw_deribit_options_snapshot_20260205T093647Z.csv.gz"
POSITIONS = "data/portfolios/synthetic_deribit_accounts_20260205T0936.csv"


def option(name: str, **changes: Any) -> ScanConfig:
    """A YAML file as the command line composes it."""
    settings = yaml.safe_load((CONFIGS / f"{name}.yaml").read_text())
    del settings["defaults"]
    composed = OmegaConf.to_object(OmegaConf.merge(OmegaConf.structured(ScanConfig), settings))
    assert isinstance(composed, ScanConfig)
    return dataclasses.replace(composed, **changes)


def scan(config: ScanConfig, market: Market, book: Book) -> tuple[Scan, Contracts, ScanMargins]:
    names = commodity_names(market, book.instruments)
    made = build_scan(config, market, book.instruments, names, variance=DAY, decay=DAY)
    contracts = price_exchange(market, book, names, made.exchange, NUMPY)
    return made, contracts, margins(contracts, made.exchange, book.quantity)


def arithmetic(written: str) -> float:
    """What `1,000 x max(0.01, 0.1 x 0.5)` comes to."""
    plain = re.sub(r"(?<=\d),(?=\d{3})", "", written).replace(" x ", " * ")
    return float(eval(plain, {"__builtins__": {}}, {"max": max, "min": min}))


def moves(name: str) -> list[tuple[float, int, float]]:
    """Price moves as parts of the price (of the first commodity), directions of volatility, weights."""
    config = option(name)
    points = read_points(config, [])
    size = {"deribit": 0.16, "derive": 0.18, "paradex": 0.16, "tims": 0.15, "span16": 3.0, "template": 0.15}[name]
    over = config.damping or size
    return [
        (
            round(p if extended else p * size, 9),
            int(v),
            round(over / abs(p) if math.isnan(w) else w, 9),
        )
        for p, v, w, extended, skew in zip(
            points.price.tolist(), points.volatility, points.weight, points.extended, points.skew, strict=True
        )
        if not skew
    ]


# -- tables against published numbers


def test_span_has_its_sixteen_scenarios() -> None:
    table = [(0, 1), (0, -1), (1, 1), (1, -1), (-1, 1), (-1, -1), (2, 1), (2, -1), (-2, 1), (-2, -1)]
    table += [(3, 1), (3, -1), (-3, 1), (-3, -1), (6, 0), (-6, 0)]
    assert [(p, v) for p, v, _ in moves("span16")] == table
    assert [w for *_, w in moves("span16")] == [1.0] * 14 + [0.35] * 2
    assert option("span16") == ScanConfig()
    assert tuple(ScanConfig().delta_weights) == WEIGHTS
    grid = read_points(option("span16"), []).grid()
    for column in ("price", "volatility", "weight", "pair"):
        np.testing.assert_array_equal(getattr(grid, column), getattr(SPAN16, column))


def test_deribit_has_nine_prices_three_volatilities_and_eight_extended_moves() -> None:
    found = moves("deribit")
    assert len(found) == 35
    prices = (-0.16, -0.12, -0.08, -0.04, 0, 0.04, 0.08, 0.12, 0.16)
    assert sorted(found[:27]) == sorted((p, v, 1.0) for p in prices for v in (-1, 0, 1))
    extended = (-0.66, -0.33, 0.5, 1, 2, 3, 4, 5)
    assert found[27:] == [(m, 1, round(0.16 / abs(m), 9)) for m in extended]
    config = option("deribit")
    assert (config.price_range, config.volatility_down) == ({"BTC": 0.16, "ETH": 0.18}, 0.25)
    assert all(0.4 <= up <= 0.5 for up in config.volatility_up.values())
    assert (config.short_power, config.long_power, config.maintenance) == (0.3, 0.13, 0.8)


def test_derive_has_31_moves_and_two_skews() -> None:
    found = moves("derive")
    assert len(found) == 31
    assert {v for p, v, _ in found if abs(p) == 0.18} == {1}
    inner = [(p, v) for p, v, _ in found[:23] if abs(p) < 0.18]
    assert sorted(inner) == sorted((p / 1000, v) for p in range(-135, 136, 45) for v in (-1, 0, 1))
    assert [(m, w) for m, _, w in found[23:]] == [
        (-0.66, 0.21), (-0.33, 0.42), (0.5, 0.27), (1, 0.13), (2, 0.069), (3, 0.046), (4, 0.034), (5, 0.027)
    ]  # fmt: skip
    config = option("derive")
    assert config.skews == ["linear", "abs"]
    assert 1.0 <= config.initial <= 1.3
    assert config.maintenance == 0.8


def test_paradex_has_24_scenarios() -> None:
    found = moves("paradex")
    assert len(found) == 24
    assert sorted({abs(p) for p, *_ in found[:16]}) == [0, 0.04, 0.08, 0.12, 0.16]
    assert [w for *_, w in found[:16]] == [1.0] * 16
    assert [w for *_, w in found[16:]] == [round(0.12 / abs(m), 9) for m, *_ in found[16:]]
    config = option("paradex")
    assert (config.volatility_up, config.volatility_down, config.maintenance) == (0.4, 0.22, 0.5)
    assert config.contingencies == [
        {"rule": "minimum_delta", "net": 0.02, "hedged": 0.01, "floor": True, "maintenance": 0.5},
        {"rule": "funding", "hours": 8},
    ]


def test_tims_has_ten_equidistant_prices_by_class() -> None:
    assert [(p, v, w) for p, v, w in moves("tims")] == [
        (round(0.03 * k, 9), 0, 1.0) for k in (-5, -4, -3, -2, -1, 1, 2, 3, 4, 5)
    ]
    config = option("tims")
    assert (config.price_range["SPX"], config.price_range_down["SPX"]) == (0.06, 0.08)
    assert (config.price_range["RUT"], config.price_range_down["RUT"]) == (0.10, 0.10)
    assert (config.price_range["default"], config.price_range_down["default"]) == (0.15, 0.15)


@pytest.mark.parametrize("name", sorted(SCANS))
def test_every_file_is_an_option(name: str, make_market: Callable[..., Market], make_book: Callable[..., Book]) -> None:
    assert sorted(path.stem for path in CONFIGS.glob("*.yaml")) == sorted(SCANS)
    config = option(name)
    assert config.name == name
    market = make_market([{"factor": "BTC", "level": 100.0}])
    book = make_book(market, [{"instrument": "B", "kind": "perpetual", "underlying": "BTC"}], [("A", "B", -2.0)])
    names = commodity_names(market, book.instruments)
    made = build_scan(config, market, book.instruments, names, variance=DAY, decay=DAY)
    if name == "span16":
        assert made.exchange.parameters is not None
        assert made.exchange.parameters.commodities[0].price_range == made.exchange.price_range("BTC")
        assert len(made.notes) == 1
        by_table = price_exchange(market, book, names, made.exchange, NUMPY).arrays
        by_span = risk_arrays(market, book, names, made.exchange.parameters, NUMPY).arrays
        np.testing.assert_allclose(by_table.loss, by_span.loss, rtol=1e-12)
        with pytest.raises(SettingError, match="the SPAN algorithm"):
            margins(price_exchange(market, book, names, made.exchange, NUMPY), made.exchange, book.quantity)
        return
    found = margins(price_exchange(market, book, names, made.exchange, NUMPY), made.exchange, book.quantity)
    size = made.exchange.price_range("BTC")
    losses = [2 * 100 * m * w for m, _, w in moves(name)]
    assert size == pytest.approx({"deribit": 0.16, "derive": 0.18, "paradex": 0.16}.get(name, 0.15))
    assert found.scan[0] == pytest.approx(max(losses))


# -- a published example


PUBLISHED = {  # docs.deribit.com, private/pme/simulate: coins of 0.314538364 BTC in the perpetual
    "standard": [
        -0.05991206933333334, -0.04289159509090909, -0.027351162086956524, -0.013105765166666668, 0.0,
        0.012097629384615385, 0.023299138074074074, 0.033700538999999995, 0.043384601931034494,
    ],
    "extended": [-0.05991206933333334] * 2 + [0.04338460193103449] * 6,
}  # fmt: skip


def test_a_published_example(make_market: Callable[..., Market], make_book: Callable[..., Book]) -> None:
    """Risk vectors, worst case, roll shock and both margins of Deribit's own example, to its last digit."""
    index, mark, perpetual, dated = 65666.19, 67371.75, 0.314538364, -0.001187534
    market = make_market([{"factor": "BTC", "level": index}], valuation="2024-06-17T10:20:19")
    inverse = {"underlying": "BTC", "settlement": "inverse"}
    rows = [
        {**inverse, "instrument": "BTC-PERPETUAL", "kind": "perpetual"},
        {**inverse, "instrument": "BTC-28JUN24", "kind": "future", "expiry": "2024-06-28T08:00", "forward": mark},
    ]
    held = [("A", "BTC-PERPETUAL", perpetual * index), ("A", "BTC-28JUN24", dated * mark)]  # in USD of notional
    book = make_book(market, rows, held)
    made, contracts, found = scan(option("deribit"), market, book)
    gain = -contracts.arrays.loss * book.quantity.toarray()[0][:, None]
    np.testing.assert_allclose(gain[0, :27], np.repeat(PUBLISHED["standard"], 3), rtol=1e-12, atol=1e-17)
    np.testing.assert_allclose(gain[0, 27:], PUBLISHED["extended"], rtol=1e-12)
    assert gain[1, 0] == pytest.approx(0.0002261969523809524, rel=1e-12)
    assert gain[1, -1] == pytest.approx(-0.0001637977931034483, rel=1e-12)
    assert found.scan[0] / index == pytest.approx(0.05968587238095239, rel=1e-12)
    assert found.worst_scenario[0] == 1
    assert found.contingency["roll_shock"][0] / index == pytest.approx(0.00315725898, rel=1e-6)
    assert found.initial[0] / index == pytest.approx(0.06284313098, rel=1e-7)
    assert found.maintenance[0] / index == pytest.approx(0.050274504784, rel=1e-7)
    assert made.exchange.points.label(0) == "1: price -1 ranges, volatility down"
    assert made.exchange.points.label(30) == "31: price +100 %, volatility up"


DERIVE = {  # v2-core, PMRM_2, portfolio case 56: what short options of one expiry lose at each point
    "points": [
        (1.0, 1, 26492.637775235314620659), (0.75, -1, 22544.093028012110153213), (0.75, 0, 22543.920772926372592337),
        (0.75, 1, 22394.614318525069393218), (0.5, -1, 18416.324432334906305186), (0.5, 0, 18416.311398597623337992),
        (0.5, 1, 18293.590150331438053399), (0.25, -1, 14288.541649174643680453), (0.25, 0, 14288.541163634246913716),
        (0.25, 1, 14189.536697707371786237), (0.0, -1, 10160.758606222880189307), (0.0, 0, 10160.758597918815212324),
        (0.0, 1, 10082.46734436800761614), (-0.25, -1, 6032.975561693485360593), (-0.25, 0, 6032.975561634651967324),
        (-0.25, 1, 5972.442379676518612541), (-0.5, -1, 1905.192517161354771815), (-0.5, 0, 1905.192517161209252663),
        (-0.5, 1, 1859.572388461834634654), (-0.75, -1, -2222.590527370775816962), (-0.75, 0, -2222.590527370775816962),
        (-0.75, 1, -2255.98061635487829335), (-1.0, 1, -6374.005011019500670955),
    ],
    "extended": [
        (-0.66, 0.054545454545454536, -2748.003509232209125912), (-0.33, 0.10909090909090907, -2194.372366470135602867),
        (0.5, 0.072, 4000.063258790923100605), (1.0, 0.036, 3628.397753416936666326),
        (2.0, 0.018, 3438.96855470265927579), (3.0, 0.011999999999999999, 3375.373384076989168534),
    ],
    "skews": [("linear", 10160.758592978338), ("abs", 10160.758592978338)],
    "basis": 25634.31209459518,
}  # fmt: skip


@pytest.mark.parametrize("add", [4.0, 5.0])
def test_a_published_portfolio_of_derive(
    make_market: Callable[..., Market], make_book: Callable[..., Book], add: float
) -> None:
    """Every scenario, the basis contingency and both margins of a test case that the exchange publishes."""
    spot, years = 95663.50604855, 18938852 / (365 * 86400)
    market = make_market([{"factor": "BTC", "level": spot}])
    both = {
        "kind": "option", "underlying": "BTC", "years": years, "volatility": 0.06845127962854924, "rate": 0.2,
        "forward": 150374.61000117072,
    }  # fmt: skip
    rows = [
        {**both, "instrument": "put", "option_type": "put", "strike": 195e3},
        {**both, "instrument": "call", "option_type": "call", "strike": 1.0},
    ]
    book = make_book(market, rows, [("A", "put", 0.01), ("A", "call", -0.6)])
    config = option(
        "derive", points=[[p, v, 1.0] for p, v, _ in DERIVE["points"]], volatility_up=0.5, volatility_down=0.275,
        extended=[[m, 1.0, w] for m, w, _ in DERIVE["extended"]], least_volatility=0.45,
        skew={
            "linear_cap": 0.15, "linear_slope": -0.05, "abs_cap": 0.15, "abs_slope": -0.05, "least": 0.01, "width": 4.0,
            "level": 0.6, "tilt": -0.1,
        },
        discounts={
            "long_base": 0.95, "long_multiple": 1.0, "long_add": 0.08, "short_base": 1.04, "short_multiple": 0.5,
            "short_add": 0.08,
        },
        basis={"up": 0.045, "down": 0.045, "add": add, "multiple": 5.0},
        contingencies=[{"rule": "short_options", "part": 0.003, "initial": 5 / 3}],
    )  # fmt: skip
    made, contracts, found = scan(config, market, book)
    losses = expiries(contracts, made.exchange, book.quantity)[0][0]
    published = [loss for *_, loss in (*DERIVE["points"], *DERIVE["extended"], *DERIVE["skews"])]
    np.testing.assert_allclose(losses[:-1], published, rtol=1e-9)
    apart = DERIVE["basis"] * (add + 5 * years) / (4 + 5 * years)
    assert losses[-1] == pytest.approx(apart, rel=1e-9)
    worst = max(26492.637775235315, apart)
    assert found.scan[0] == pytest.approx(worst, rel=1e-9)
    assert found.worst_scenario[0] == (1 if add == 4 else 32)  # one more than there are points
    assert found.nov[0] == pytest.approx(-79617.1534944885, rel=1e-9)
    assert found.initial[0] == pytest.approx(worst + 172.19431088739 + 114.79620725826001, rel=1e-9)
    assert found.maintenance[0] == pytest.approx(0.8 * worst + 172.19431088739, rel=1e-9)
    if add == 4:  # the worst by the grid
        assert found.initial[0] - found.nov[0] == pytest.approx(106396.78178786948, rel=1e-9)
        assert found.maintenance[0] - found.nov[0] == pytest.approx(100983.45802556415, rel=1e-9)


def test_the_basis_adds_up_expiries_apart(small: tuple[Market, Book]) -> None:
    """A calendar loses nothing when both months move together; each by itself has its own worse side."""
    market, book = small
    terms = {"up": 0.1, "down": 0.2, "add": 0.5, "multiple": 2.0}
    config = grid_of("expiries", points=[[0, 0, 1]], basis=terms)
    made, contracts, found = scan(config, market, book)
    assert contracts.arrays.loss.shape[1] == 1
    a, i, held = contracts.arrays, contracts.instruments, book.quantity.toarray()
    up, down = (
        scan(grid_of("worst", points=[[move, 0, 1]], price_range=1.0), market, book)[1].arrays.loss[:, 0]
        for move in (0.1, -0.2)
    )
    expected = np.zeros(len(held))
    for c in range(2):
        for t in (0.1, 0.6):
            mine = a.option & (a.of == c) & (np.abs(i.years - t) < 1e-6)
            worse = np.maximum(held[:, mine] @ up[mine], held[:, mine] @ down[mine])
            expected += (0.5 + 2.0 * t) * np.maximum(worse, 0.0)
    np.testing.assert_allclose(found.scan, expected, rtol=1e-9, atol=1e-9)
    assert set(found.worst_scenario[found.scan > 0]) == {2}
    doubled = price_exchange(market, book, [a.commodity[c] for c in a.of], made.exchange.scaled(2.0, 2.0), NUMPY)
    np.testing.assert_array_equal(doubled.basis, contracts.basis)


def test_funding_is_paid_by_who_is_on_the_paying_side(
    make_market: Callable[..., Market], make_book: Callable[..., Book]
) -> None:
    """Eight hours at 10 % a year on 3 BTC at 60,000; whole in both margins; who receives it is credited nothing."""
    market = make_market([{"factor": "BTC", "level": 60_000.0}])
    rows = [
        {"instrument": "linear", "kind": "perpetual", "underlying": "BTC", "funding": 0.1},
        {"instrument": "inverse", "kind": "perpetual", "underlying": "BTC", "funding": -0.3, "settlement": "inverse"},
        {"instrument": "future", "kind": "future", "underlying": "BTC", "years": 0.5, "funding": ""},
    ]
    held = [
        ("long", "linear", 3.0),
        ("short", "linear", -3.0),
        ("coins", "inverse", -60_000.0),
        ("future", "future", 9.0),
    ]
    book = make_book(market, rows, held)
    _, _, found = scan(option("paradex"), market, book)
    paid = 3 * 60_000 * 0.1 * 8 / (24 * 365)
    coins = 60_000 * 0.3 * 8 / (24 * 365)
    np.testing.assert_allclose(found.contingency["funding"][:4], [paid, 0.0, coins, 0.0], rtol=1e-9)
    least = np.maximum(found.scan, found.contingency["minimum_delta"])
    np.testing.assert_allclose(found.initial, least + found.contingency["funding"])
    np.testing.assert_allclose(found.maintenance, 0.5 * least + found.contingency["funding"])


# -- the snapshot


@pytest.fixture(scope="module")
def real(shared: Path) -> tuple[Market, Book]:
    if not (shared / "data" / "portfolios").is_dir():
        pytest.skip(f"no reference data: {shared / 'data' / 'portfolios'} is not there")
    snapshot = read_snapshot(shared / SNAPSHOT)
    factors, volatility = read_factors(deribit_tables.factor_table(snapshot, vol_of_vol=0.9))
    market = build(
        factors=factors,
        volatility=np.where(np.isnan(volatility), 0.6, volatility),
        estimate=positive(given(np.eye(len(factors)))),
        valuation=snapshot.valuation,
        currency="USD",
    )
    table = deribit_tables.instrument_table(snapshot)
    return market, resolve(table, deribit_tables.position_table(shared / POSITIONS, table), market)


def test_real_accounts_by_hand(real: tuple[Market, Book]) -> None:
    """Every position of every account again, one at a time, from the words of the exchange."""
    market, book = real
    _, contracts, found = scan(option("deribit"), market, book)
    i, held = book.instruments, book.quantity.toarray()
    assert book.row == ("MM_BTC", "SHORT_STRANGLES_BTC", "HEDGED_ETH", "TAIL_LONG_BTC", "*")
    grid = [(k / 4, v) for k in range(-4, 5) for v in (-1, 0, 1)]
    extended = (-0.66, -0.33, 0.5, 1.0, 2.0, 3.0, 4.0, 5.0)
    losses = {coin: np.zeros((5, 35)) for coin in ("BTC", "ETH")}
    roll: dict[tuple[str, float], np.ndarray] = {}
    for n in range(len(i)):
        coin = market.factors.underlying[i.underlying[n]]
        spot = market.factors.level[i.underlying[n]]
        size, up = {"BTC": (0.16, 0.5), "ETH": (0.18, 0.4)}[coin]
        t = i.years[n] if np.isfinite(i.years[n]) else 0.0
        forward, days = spot * math.exp(i.carry[n] * t), 365 * t

        def value(move: float, way: int, n: int = n, forward: float = forward, days: float = days, up: float = up,
                  t: float = t) -> float:  # fmt: skip
            to = forward * (1 + move)
            if not i.sign[n]:
                return float(i.multiplier[n] * (1 / forward - 1 / to))
            scale = (30 / days) ** (0.3 if days < 30 else 0.13)
            sigma = i.volatility[n]
            if way > 0:
                sigma = max(sigma * (1 + up * scale), 0.5)
            elif way < 0:
                sigma = max(sigma * (1 - 0.25 * scale), 0.0)
            s, k, sign = sigma * math.sqrt(t), i.strike[n], i.sign[n]
            if s == 0:
                return float(max(sign * (to - k), 0) / to)
            d = math.log(to / k) / s + s / 2
            return float(sign * (ndtr(sign * d) - k / to * ndtr(sign * (d - s))))

        now = value(0.0, 0)
        cells = [value(size * p, v) - now for p, v in grid]
        cells += [(value(m, 1) - now) * size / abs(m) * (1 + m) / (1 + math.copysign(size, m)) for m in extended]
        losses[coin] -= np.outer(held[:, n], cells) * spot
        h = 1e-5
        coins = (value(h, 0) - value(-h, 0)) / (2 * h)  # F dV/dF
        roll.setdefault((coin, t), np.zeros(5))
        roll[coin, t] = roll[coin, t] + held[:, n] * coins * spot
    total = sum(np.maximum(loss, 0.0) for loss in losses.values())  # no gain counts
    assert isinstance(total, np.ndarray)
    np.testing.assert_allclose(found.scan, np.maximum(total.max(axis=1), 0.0), rtol=1e-7)
    assert (found.worst_scenario == np.where(found.scan > 0, total.argmax(axis=1) + 1, 0)).all()
    shock = sum(
        np.abs(net) * max({"BTC": 0.01, "ETH": 0.005}[coin], {"BTC": 0.075, "ETH": 0.05}[coin] * t)
        for (coin, t), net in roll.items()
    )
    np.testing.assert_allclose(found.contingency["roll_shock"], shock, rtol=1e-4)
    np.testing.assert_allclose(found.initial, found.scan + found.contingency["roll_shock"])
    np.testing.assert_allclose(found.maintenance, 0.8 * found.initial)
    assert (found.initial > 0).all()
    options = i.sign != 0
    by_mark = held[:, options] @ (contracts.arrays.value * contracts.rate)[options]
    np.testing.assert_allclose(found.nov, by_mark)


@pytest.mark.parametrize("name", ["derive", "paradex", "template"])
def test_other_grids_on_real_accounts(real: tuple[Market, Book], name: str) -> None:
    """An account alone has the margin that it has among others, and negating it twice changes nothing."""
    market, book = real
    _, contracts, found = scan(option(name), market, book)
    exchange = scan(option(name), market, book)[0].exchange
    for r in range(5):
        alone = margins(contracts, exchange, sparse.csr_array(book.quantity[[r]]))
        assert alone.initial[0] == pytest.approx(found.initial[r], rel=1e-12)
        assert alone.worst_scenario[0] == found.worst_scenario[r]
    doubled = margins(contracts, exchange, sparse.csr_array(2.0 * book.quantity))
    np.testing.assert_allclose(doubled.scan, 2.0 * found.scan, rtol=1e-12)
    assert (found.scan > 0).all()
    assert (found.maintenance < found.initial).all()


# -- the parts


def test_volatility_by_time_to_expiry() -> None:
    rule = VolatilityRange(
        Per({"default": 0.5}), Per({"default": 0.25}), short_power=0.3, long_power=0.13, least_days=1.0, least=0.4
    )
    sigma, days = np.array([0.6, 0.6, 0.6, 0.6, 0.1, np.nan]), np.array([0.5, 10.0, 30.0, 120.0, 60.0, np.inf])
    up, down = np.full(6, 0.5), np.full(6, 0.25)
    found = rule.moved(sigma, days / 365, up, down, 1.0)
    scale = [30**0.3, 3**0.3, 1.0, 0.25**0.13, 0.5**0.13]
    expected = [max(s * (1 + 0.5 * f), 0.4) for s, f in zip(sigma[:5], scale, strict=True)]
    np.testing.assert_allclose(found[:5], expected)
    assert found[4] == 0.4
    assert np.isnan(found[5])
    lower = rule.moved(sigma, days / 365, up, np.full(6, 0.5), -1.0)
    np.testing.assert_allclose(lower[:5], [max(s * (1 - 0.5 * f), 0) for s, f in zip(sigma[:5], scale, strict=True)])
    assert lower[0] == 0.0
    np.testing.assert_array_equal(rule.moved(sigma, days / 365, up, down, 0.0), sigma)
    points = VolatilityRange(Per({}), Per({}), relative=False)
    np.testing.assert_allclose(points.moved(sigma[:1], days[:1], np.array([0.05]), up[:1], 1.0), [0.65])


def test_skew_turns_by_moneyness() -> None:
    skew = Skew()
    k = np.array([-1.0, -0.05, 0.0, 0.05, 2.0, np.nan])
    sigma, years = np.full(6, 0.5), np.full(6, 0.25)
    edge = 4.0 * 0.5 * (1.0 - 0.2 * 0.5)
    for kind, cap, sign in (("linear", 0.15 + 0.05, -1), ("abs", 0.2 + 0.05, 1)):
        found = skew.moved(sigma, years, k, kind)
        turn = [sign * 1.0 * cap / edge, sign * 0.05 * cap / edge, 0.0, 0.05 * cap / edge, cap, 0.0]
        np.testing.assert_allclose(found, 0.5 * (1 + np.array(turn)))


SMALL = [
    {"instrument": "future", "kind": "future", "underlying": "A", "years": 0.1, "carry": 0.0, "multiplier": 5.0},
    {"instrument": "later", "kind": "future", "underlying": "A", "years": 0.6, "carry": 0.0, "multiplier": 5.0},
    {"instrument": "perpetual", "kind": "perpetual", "underlying": "B", "funding": 0.25},
    *(
        {
            "instrument": f"{u}-{side}-{k}-{t}", "kind": "option", "underlying": u, "option_type": side, "strike": k,
            "years": t, "volatility": 0.5, "rate": 0.04, "carry": 0.0, "multiplier": 2.0,
        }
        for u in ("A", "B")
        for side in ("call", "put")
        for k in (90.0, 110.0)
        for t in (0.1, 0.6)
    ),
]  # fmt: skip


@pytest.fixture
def small(make_market: Callable[..., Market], make_book: Callable[..., Book]) -> tuple[Market, Book]:
    market = make_market([{"factor": "A", "level": 100.0}, {"factor": "B", "level": 95.0}])
    generator = np.random.default_rng(11)
    held = [
        (f"account{r}", row["instrument"], float(generator.integers(-9, 10)))
        for r in range(40)
        for row in SMALL
        if generator.random() < 0.6
    ]
    return market, make_book(market, SMALL, held)


def grid_of(name: str, **changes: Any) -> ScanConfig:
    return option("template", reduction=Reduction[name], **changes)


def test_reductions_by_loops(small: tuple[Market, Book]) -> None:
    market, book = small
    held = book.quantity.toarray()
    for name in ("worst", "cells"):
        gains = {"gains": {"A": 0.3, "default": 0.6}} if name == "cells" else {}
        config = grid_of(name, extended=[[0.9, 1, None], [-0.6, 1, 0.1]], **gains)
        _, contracts, found = scan(config, market, book)
        a = contracts.arrays
        for r in range(len(held)):
            by = [held[r, a.of == c] @ a.loss[a.of == c] for c in range(2)]
            if name == "worst":
                assert found.scan[r] == pytest.approx(sum(max(loss.max(), 0.0) for loss in by))
                largest = max(by, key=lambda loss: max(loss.max(), 0.0))
                assert found.worst_scenario[r] == (largest.argmax() + 1 if found.scan[r] > 0 else 0)
            else:
                netted = [
                    sum(x if x > 0 else g * x for x, g in zip(cell, (0.3, 0.6), strict=True))
                    for cell in zip(*by, strict=True)
                ]
                assert found.scan[r] == pytest.approx(max(*netted, 0.0))
                assert found.worst_scenario[r] == (int(np.argmax(netted)) + 1 if found.scan[r] > 0 else 0)


def test_expiries_are_discounted_one_by_one(small: tuple[Market, Book]) -> None:
    market, book = small
    terms = {"long_base": 0.95, "long_multiple": 1.5, "long_add": 0.12, "short_base": 1.0, "short_multiple": 0.5}
    config = grid_of("expiries", skews=["linear", "abs"], discounts=terms, extended=[[1.0, 1, 0.2]])
    _, contracts, found = scan(config, market, book)
    a, i, held = contracts.arrays, contracts.instruments, book.quantity.toarray()
    weight, skewed = np.append(np.ones(33), [0.2, 1.0, 1.0]), np.append(np.zeros(34), [1, 1])
    for r in range(0, len(held), 3):
        scans = []
        for c in range(2):
            totals = []
            for s in range(36):
                total = sum(held[r, n] * a.loss[n, s] for n in range(len(a)) if a.of[n] == c and not a.option[n])
                for t in (0.1, 0.6):
                    mine = [n for n in range(len(a)) if a.of[n] == c and a.option[n] and abs(i.years[n] - t) < 1e-6]
                    now = sum(held[r, n] * a.value[n] for n in mine)
                    later = sum(held[r, n] * (a.value[n] - a.loss[n, s] / weight[s]) for n in mine)
                    long = 0.95 * math.exp(-t * (1.5 * 0.04 + 0.12))
                    short = math.exp(t * 0.5 * 0.04)
                    lost = weight[s] * (now - later * (long if later >= 0 else short))
                    total += abs(lost) if skewed[s] else lost
                totals.append(total)
            scans.append(max(*totals, 0.0))
        assert found.scan[r] == pytest.approx(sum(scans), rel=1e-9)
    long, short = Discounts(short_base=1.0, short_multiple=9.0).factors(np.array([0.5]), np.array([0.04]))
    assert (long[0], short[0]) == (1.0, pytest.approx(math.exp(0.02)))  # no more than undiscounting


def test_a_turn_of_the_smile_loses_either_way(small: tuple[Market, Book]) -> None:
    market, book = small
    config = grid_of("expiries", points=[[0, 0, 1]], skews=["linear", "abs"])
    made, contracts, found = scan(config, market, book)
    a, i, held = contracts.arrays, contracts.instruments, book.quantity.toarray()
    by_point = np.zeros((len(held), 2, 3))
    for c in range(2):
        for t in (0.1, 0.6):
            mine = a.option & (a.of == c) & (np.abs(i.years - t) < 1e-6)
            by_point[:, c] += np.abs(held[:, mine] @ a.loss[mine])
    np.testing.assert_allclose(found.scan, by_point.max(axis=2).sum(axis=1), rtol=1e-9)
    assert (found.scan > 0).all()
    opposite = margins(contracts, made.exchange, sparse.csr_array(-book.quantity))
    np.testing.assert_allclose(opposite.scan, found.scan, rtol=1e-9)


def test_contingencies_by_loops(small: tuple[Market, Book]) -> None:
    market, book = small
    rules = [
        {"rule": "per_contract", "amount": {"A": 0.375, "default": 0.2}},
        {"rule": "roll_shock", "least": 0.02, "risk": {"A": 0.1, "B": 0.05}},
        {"rule": "delta_shock", "threshold": 5_000.0, "most": 0.1, "maintenance": 0.0},
        {"rule": "short_options", "part": 0.01, "amount": 0.5, "initial": 2.0},
        {"rule": "linear", "part": 0.03},
        {"rule": "minimum_delta", "net": 0.02, "hedged": 0.01},
        {"rule": "funding", "hours": 8},
    ]
    assert {rule["rule"] for rule in rules} == set(RULES)
    _, contracts, found = scan(grid_of("worst", contingencies=rules), market, book)
    a, i, held = contracts.arrays, contracts.instruments, book.quantity.toarray()
    spot = np.array([100.0, 95.0])
    sums = {name: np.zeros(len(held)) for name in RULES}
    for r in range(len(held)):
        for c in range(2):
            mine = [n for n in range(len(a)) if a.of[n] == c]
            money = {n: held[r, n] * contracts.units[n] * spot[c] for n in mine}
            net, gross = abs(sum(money.values())), sum(abs(m) for m in money.values())
            options = [n for n in mine if a.option[n]]
            sums["per_contract"][r] += sum(abs(held[r, n]) * 2.0 * (0.375 if c == 0 else 0.2) for n in options)
            sums["delta_shock"][r] += net * min(0.1, 0.1 * net / 5000)
            sums["minimum_delta"][r] += 0.02 * net + 0.01 * (gross - net) / 2
            perpetual = sum(held[r, n] * 95.0 for n in mine if i.kind[n] == Kind.perpetual)
            sums["funding"][r] += max(perpetual, 0.0) * 0.25 * 8 / (24 * 365)
            sums["linear"][r] += sum(abs(m) for n, m in money.items() if n not in options) * 0.03
            for t in (0.0, 0.1, 0.6):
                at = [n for n in mine if abs((i.years[n] if np.isfinite(i.years[n]) else 0.0) - t) < 1e-6]
                sums["roll_shock"][r] += abs(sum(money[n] for n in at)) * max(0.02, (0.1, 0.05)[c] * t)
                for k in (90.0, 110.0):
                    number = sum(held[r, n] * 2.0 for n in at if a.option[n] and i.strike[n] == k)
                    sums["short_options"][r] += max(-number, 0.0) * (0.01 * spot[c] + 0.5)
    for name, expected in sums.items():
        np.testing.assert_allclose(found.contingency[name], expected, rtol=1e-5, err_msg=name)
    made, _, _ = scan(grid_of("worst", contingencies=rules), market, book)
    for rule in made.exchange.rules:  # and what is shown of them comes to the same, by the arithmetic that is written
        for r in range(len(held)):
            shown = [each for c in range(2) for each in terms(rule, contracts, book.quantity[[r]], c)]
            total = sum(arithmetic(each.partition(": ")[2]) for each in shown)
            np.testing.assert_allclose(total, found.contingency[rule.name][r], rtol=1e-5, atol=1e-9, err_msg=rule.name)
    added = sum(found.contingency.values())
    np.testing.assert_allclose(found.initial, found.scan + added + found.contingency["short_options"])
    np.testing.assert_allclose(found.maintenance, 0.8 * found.scan + added - found.contingency["delta_shock"])


def test_rules_say_what_their_settings_are() -> None:
    for name, rule in RULES.items():
        told = inspect.signature(rule.charge).parameters.values()
        assert [p.name for p in told if p.kind is p.KEYWORD_ONLY] == list(rule.settings), name
        defaults = {p.name: p.default for p in told if p.default is not p.empty}
        assert all(rule.settings[key] is bool for key, value in defaults.items() if isinstance(value, bool)), name


def test_multiples_of_ranges(small: tuple[Market, Book]) -> None:
    market, book = small
    made, _, _ = scan(option("tims"), market, book)
    names = commodity_names(market, book.instruments)
    wider = option("tims", price_range=0.3, price_range_down=0.3)
    by_hand = build_scan(wider, market, book.instruments, names, variance=DAY, decay=DAY).exchange
    doubled = made.exchange.scaled(price=2.0, volatility=3.0)
    np.testing.assert_allclose(
        price_exchange(market, book, names, doubled, NUMPY).arrays.loss,
        price_exchange(market, book, names, by_hand, NUMPY).arrays.loss,
    )
    deribit = scan(option("template"), market, book)[0].exchange.scaled(volatility=3.0)
    assert (deribit.volatility.up("A"), deribit.price_range("A")) == (pytest.approx(1.2), 0.15)


def test_deltas_of_contracts_are_plain(small: tuple[Market, Book]) -> None:
    market, book = small
    _, contracts, _ = scan(grid_of("worst"), market, book)
    i = contracts.instruments
    for n in np.flatnonzero(i.sign):
        s = 0.5 * math.sqrt(i.years[n])
        forward = {0: 100.0, 1: 95.0}[int(i.underlying[n])]
        d = math.log(forward / i.strike[n]) / s + s / 2
        expected = 2.0 * i.sign[n] * float(ndtr(i.sign[n] * d)) * math.exp(-0.04 * i.years[n])
        assert contracts.units[n] == pytest.approx(expected, rel=1e-5)
        assert contracts.arrays.delta[n] == pytest.approx(expected, rel=1e-5)  # in units of the underlying


def test_floors_are_by_class_or_by_account(small: tuple[Market, Book]) -> None:
    market, book = small
    rule = {"rule": "per_contract", "amount": 6.0, "floor": True, "maintenance": 0.5}
    for name in ("worst", "cells"):
        _, _, found = scan(grid_of(name, contingencies=[rule]), market, book)
        _, _, free = scan(grid_of(name), market, book)
        np.testing.assert_array_equal(found.scan, free.scan)
        least = found.contingency["per_contract"]
        if name == "cells":
            np.testing.assert_allclose(found.initial, np.maximum(found.scan, least))
            np.testing.assert_allclose(found.maintenance, np.maximum(0.8 * found.scan, 0.5 * least))
        else:
            assert (found.initial >= np.maximum(found.scan, least) - 1e-9).all()
            assert (found.initial > np.maximum(found.scan, least) + 1.0).any()  # one class floored, the other not


def test_long_options_alone_lose_their_value_at_most(
    small: tuple[Market, Book], make_book: Callable[..., Book]
) -> None:
    market, _ = small
    book = make_book(market, SMALL, [("long", "A-call-110.0-0.1", 3.0), ("short", "A-call-110.0-0.1", -3.0)])
    _, _, found = scan(option("template"), market, book)
    assert found.nov[0] > found.scan[0] > 0
    assert found.nov[1] == -found.nov[0]
    assert found.scan[2] == 0.0  # together they are nothing
    assert found.worst_scenario[2] == 0


def test_cash_needs_no_range(make_market: Callable[..., Market], make_book: Callable[..., Book]) -> None:
    market = make_market([{"factor": "BTC", "level": 100.0}])
    rows = [
        {"instrument": "dollars", "kind": "cash", "settlement_currency": "USD"},
        {"instrument": "B", "kind": "perpetual", "underlying": "BTC"},
    ]
    book = make_book(market, rows, [("A", "dollars", 1e6), ("A", "B", 1.0)])
    _, contracts, found = scan(option("deribit"), market, book)
    assert contracts.arrays.commodity == ("USD", "BTC")
    assert found.scan[0] == pytest.approx(16.0)
    assert found.scan_by[0].tolist() == pytest.approx([0.0, 16.0])
    assert found.contingency["roll_shock"][0] == pytest.approx(1.0)


# -- what is wrong


def test_all_that_is_wrong_with_a_grid_in_one_error(small: tuple[Market, Book]) -> None:
    market, book = small
    names = commodity_names(market, book.instruments)
    config = grid_of(
        "worst", points=[[0, 1], [0, "up", 1], [0, 0, -1], [0, 0, None]], extended=[[0.0, 1, None], 7], skews=["turn"],
        price_range={"A": -0.1, "B": "much"}, maintenance=math.nan, tie="first", delta_weights=[], pivot_days=0.0,
        skew={"cap": 1.0}, contingencies=[
            {"rule": "rolls"}, {"rule": "roll_shock", "least": 0.1}, {"rule": "linear", "part": 0.1, "all": True},
            {"part": 1}, {"rule": "minimum_delta", "net": "x", "hedged": 0.01},
        ],
    )  # fmt: skip
    with pytest.raises(SettingError) as error:
        build_scan(config, market, book.instruments, names, variance=DAY, decay=DAY)
    for part in (
        "scan.points, row 1", "scan.points, row 2", "scan.points, row 3", "scan.points, row 4", "scan.extended, row 1",
        "scan.extended, row 2", "scan.skews has 'turn'", "scan.price_range of A is -0.1",
        "scan.price_range of B is much",
        "scan.maintenance is nan", "scan.tie is 'first'", "scan.delta_weights", "scan.pivot_days is 0",
        "scan.skew does not know cap", "there is no contingency 'rolls'", "contingency roll_shock misses risk",
        "contingency linear does not know all", "entry 4", "contingency minimum_delta.net is x",
    ):  # fmt: skip
        assert part in str(error.value), part


def test_numbers_that_a_commodity_does_not_have(small: tuple[Market, Book]) -> None:
    market, book = small
    with pytest.raises(SettingError, match="price_range of 'B' is not given"):
        scan(grid_of("worst", price_range={"A": 0.1}), market, book)
    with pytest.raises(SettingError, match="a contingency has no number for B"):
        scan(grid_of("worst", contingencies=[{"rule": "linear", "part": {"A": 0.1}}]), market, book)
    with pytest.raises(SettingError, match="needs the weight of every point"):
        scan(grid_of("expiries", extended=[[0.5, 1, None]]), market, book)
    with pytest.raises(SettingError, match=r"nothing to do with scan\.extended"):
        scan(grid_of("span", extended=[[0.5, 1, None]]), market, book)
    with pytest.raises(SettingError, match="at point 34, which a log shock cannot"):
        scan(grid_of("worst", extended=[[-1.0, 1, None]]), market, book)
