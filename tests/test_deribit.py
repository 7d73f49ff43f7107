import csv
import gzip
import json
import math
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from mcvar.book import Book, resolve
from mcvar.columns import Columns
from mcvar.correlation import Estimate, historical
from mcvar.engines import Reference
from mcvar.errors import InputError, SettingError
from mcvar.io import deribit_tables
from mcvar.io.closes import read_closes
from mcvar.io.deribit import Snapshot, read_snapshot
from mcvar.market import FactorKind, Market, build, read_factors
from mcvar.models import Gaussian
from mcvar.scenarios import Explicit, Simulated

CHAINS = "data/options/deribit"
CRASH = f"{CHAINS}/raw_deribit_options_snapshot_20260205T093647Z.csv.gz"
CALM = f"{CHAINS}/raw_deribit_options_snapshot_20260130T093122Z.csv.gz"
CLOSES = "data/crypto/stitched_daily_close_btc_eth_sol_2017_2026.csv.gz"
POSITIONS = "data/portfolios/synthetic_deribit_accounts_20260205T0936.csv"
STAMP = 1770284207412  # 2026-02-05T09:36:47.412


def market_of(snapshot: Snapshot, closes: Path) -> Market:
    factors, volatility = read_factors(deribit_tables.factor_table(snapshot, vol_of_vol=0.9))
    history = read_closes(closes, snapshot.coins).until(snapshot.valuation)
    prices = historical(history.moves(snapshot.coins, ["log"] * len(snapshot.coins)), history.steps_per_year)
    matrix = deribit_tables.correlation(prices.correlation, snapshot, spot_vol_correlation=-0.2, vol_correlation=0.9)
    estimated = np.append(prices.volatility, np.full(len(factors) - len(snapshot.coins), np.nan))
    return build(
        factors=factors,
        volatility=volatility,
        estimate=Estimate(matrix, estimated),
        valuation=snapshot.valuation,
        currency="USD",
    )


def one_of_each(snapshot: Snapshot, market: Market) -> Book:
    table = deribit_tables.instrument_table(snapshot)
    names = table.texts("instrument")
    return resolve(
        table, Columns.of("p", account=["A"] * len(names), instrument=names, quantity=[1.0] * len(names)), market
    )


def option_row(name: str, **fields: Any) -> dict[str, Any]:
    """A row as the exchange sends it: nulls, per cent, and fields that nobody needs."""
    coin = name.split("-")[0]
    return {
        "high": None, "low": None, "last": None, "bid_price": None, "ask_price": 0.24, "mid_price": None,
        "instrument_name": name, "open_interest": 0.0, "mark_price": 0.1, "price_change": None, "interest_rate": 0.0,
        "volume": 0.0, "mark_iv": 60.86, "underlying_price": 71470.0, "underlying_index": "SYN.BTC-20FEB26",
        "base_currency": coin, "creation_timestamp": STAMP, "estimated_delivery_price": 71470.6,
        "quote_currency": coin, "volume_usd": 0.0, **fields,
    }  # fmt: skip


def future_row(name: str, mark: float, **fields: Any) -> dict[str, Any]:
    coin = name.split("-")[0]
    return {
        "high": 73000.0, "low": 70000.0, "last": 71500.0, "instrument_name": name, "bid_price": mark - 0.5,
        "ask_price": mark, "open_interest": 390279240, "mark_price": mark, "price_change": -3.1, "volume": 216.7,
        "base_currency": coin, "creation_timestamp": STAMP + 900, "estimated_delivery_price": 71470.6,
        "quote_currency": "USD", "volume_usd": 21776140.0, "current_funding": 0.0, "funding_8h": 1e-5, **fields,
    }  # fmt: skip


def answer(rows: Sequence[Any]) -> dict[str, Any]:
    return {"jsonrpc": "2.0", "result": rows, "usIn": 1, "usOut": 2, "usDiff": 1, "testnet": False}


def write_json(folder: Path, document: Any, name: str = "chain.json") -> Path:
    text = json.dumps(document).encode()
    (folder / name).write_bytes(gzip.compress(text) if name.endswith(".gz") else text)
    return folder / name


def write(folder: Path, name: str, text: str) -> Path:
    (folder / name).write_text(text, encoding="utf-8")
    return folder / name


def chains() -> list[str]:
    folder = Path(__file__).parents[2] / "shared" / CHAINS
    return sorted(path.name for path in folder.glob("raw_*.csv.gz"))


# -- real chains


@pytest.mark.parametrize("name", chains() or ["(no reference data)"])
def test_every_chain_of_the_reference_data_is_read(shared: Path, name: str) -> None:
    snapshot = read_snapshot(shared / CHAINS / name)
    stamp = name.removesuffix("Z.csv.gz").rpartition("_")[2]
    assert str(snapshot.valuation.astype("datetime64[s]")).replace("-", "").replace(":", "") == stamp
    assert snapshot.coins == ("BTC", "ETH")
    assert len(snapshot.name) > 1300
    levels = deribit_tables.factor_table(snapshot, vol_of_vol=0.9).data["level"][2:]
    assert ((levels > 0.2) & (levels < 1.5)).all()


@pytest.mark.parametrize(
    ("name", "median", "tail"),
    [(CALM, 2e-6, 2e-4), (CRASH, 2e-6, 2e-4)],
)
def test_marks_are_those_of_the_exchange(shared: Path, name: str, median: float, tail: float) -> None:
    snapshot = read_snapshot(shared / name)
    market = market_of(snapshot, shared / CLOSES)
    book = one_of_each(snapshot, market)
    engine = Reference(market, book, Explicit.of([[0.0] * len(market.factors)]), 0.0)
    value = dict(zip(book.instruments.name, engine.value_0, strict=True))
    mark = np.array([value[n] / snapshot.index[c] for n, c in zip(snapshot.name, snapshot.coin, strict=True)])
    error = np.abs(mark - snapshot.mark)
    assert np.median(error) < median
    assert np.quantile(error, 0.99) < tail
    assert [value[n] for n in book.instruments.name if n.count("-") == 1] == [0.0] * (len(value) - len(mark))


def test_futures_are_defined_from_the_options_on_them(shared: Path) -> None:
    snapshot = read_snapshot(shared / CRASH)
    table = deribit_tables.instrument_table(snapshot)
    rows = {name: row for row, name in enumerate(table.texts("instrument"))}
    assert "BTC-27MAR26" in rows
    assert "BTC-PERPETUAL" in rows
    assert "BTC-20FEB26" not in rows  # its forward is synthetic
    forward = table.floats("forward", [])
    assert forward[rows["BTC-27MAR26"]] == forward[rows["BTC-27MAR26-65000-C"]]
    assert np.isnan(forward[rows["ETH-PERPETUAL"]])


def test_no_close_after_the_valuation_is_seen(shared: Path) -> None:
    history = read_closes(shared / CLOSES, ("ETH", "BTC"))
    with gzip.open(shared / CLOSES, "rt") as file:
        close = {(row["date"], row["coin"]): float(row["close"]) for row in csv.DictReader(file)}
    assert history.names == ("ETH", "BTC")
    seen = history.until(np.datetime64("2026-02-05T09:36:47"))
    assert seen.dates[-1] == np.datetime64("2026-02-05T00:00")  # the close dated 4 February, made at its end
    assert seen.levels[-1].tolist() == [close["2026-02-04", "ETH"], close["2026-02-04", "BTC"]]
    assert history.until(np.datetime64("2026-02-04T23:59:59")).levels[-1, 1] == close["2026-02-03", "BTC"]


def test_closes_span_the_dates_that_all_coins_have(shared: Path) -> None:
    history = read_closes(shared / CLOSES)
    assert history.names == ("BTC", "ETH", "SOL")
    assert history.dates[0] == np.datetime64("2020-10-25")
    assert len(history.dates) == (np.datetime64("2026-03-20") - np.datetime64("2020-10-24")).astype(int)


# -- the accounts, end to end


def test_profit_and_loss_of_the_accounts(shared: Path, tmp_path: Path) -> None:
    snapshot = read_snapshot(shared / CRASH)
    market = market_of(snapshot, shared / CLOSES)
    table = deribit_tables.instrument_table(snapshot)
    positions = deribit_tables.position_table(shared / POSITIONS, table)
    assert set(positions.data) == {"account", "instrument", "quantity"}
    assert (len(positions), positions.where(0)) == (642, "line 2")
    book = resolve(table, positions, market)
    assert book.row == ("MM_BTC", "SHORT_STRANGLES_BTC", "HEDGED_ETH", "TAIL_LONG_BTC", "*")

    perps = write(tmp_path, "perps.csv", "account,instrument,quantity\nA,BTC-PERPETUAL,-9172527\nB,BTC-27MAR26,50000\n")
    hedges = resolve(table, deribit_tables.position_table(perps, table), market)
    count, years = 20_480, 1 / 365
    scenarios = Simulated(Gaussian().law(market, years, np.zeros(len(market.factors))), count, 1)
    pnl = Reference(market, book, scenarios, years).pnl(0, count)
    assert np.isfinite(pnl).all()
    np.testing.assert_allclose(pnl[4], pnl[:4].sum(axis=0), rtol=0, atol=1e-6)
    assert (pnl[:4].std(axis=1) > 1e4).all()

    x = scenarios.moves(0, count)
    spot_0, forward_0 = snapshot.index["BTC"], snapshot.expiry_forward()[snapshot.name.index("BTC-27MAR26-65000-C")]
    spot = spot_0 * np.exp(x[0])
    left = float((np.datetime64("2026-03-27T08:00") - snapshot.valuation) / np.timedelta64(365, "D"))
    forward = spot * (forward_0 / spot_0) ** ((left - years) / left)
    by_hand = [-9172527 * (1 / spot_0 - 1 / spot) * spot, 50000 * (1 / forward_0 - 1 / forward) * spot]
    np.testing.assert_allclose(Reference(market, hedges, scenarios, years).pnl(0, count)[:2], by_hand, rtol=1e-9)

    # a whole account, position by position, from the words of the contract specification
    np.testing.assert_allclose(
        pnl[2, :3], [account_by_hand("HEDGED_ETH", positions, snapshot, market, x[:, n], years) for n in range(3)]
    )


def account_by_hand(
    account: str, positions: Columns, snapshot: Snapshot, market: Market, x: np.ndarray, years: float
) -> float:
    forwards = dict(zip(snapshot.name, snapshot.expiry_forward(), strict=True))
    pillars = market.factors.pillars(FactorKind.vol, "ETH")
    spot_0 = snapshot.index["ETH"]
    spot = spot_0 * math.exp(x[1])

    def normal(d: float) -> float:
        return 0.5 * math.erfc(-d / math.sqrt(2))

    def coins(forward: float, strike: float, sigma: float, t: float, sign: int) -> float:
        d = math.log(forward / strike) / (sigma * math.sqrt(t)) + sigma * math.sqrt(t) / 2
        return sign * (normal(sign * d) - strike / forward * normal(sign * (d - sigma * math.sqrt(t))))

    total = 0.0
    quantities = positions.floats("quantity", [])
    for who, name, quantity in zip(positions.texts("account"), positions.texts("instrument"), quantities, strict=True):
        if who != account:
            continue
        if name == "ETH-PERPETUAL":
            total += quantity * (1 / spot_0 - 1 / spot) * spot
            continue
        i = snapshot.name.index(name)
        t = float((snapshot.expiry[i] - snapshot.valuation) / np.timedelta64(365, "D"))
        shock = np.interp(math.sqrt(t), np.sqrt(market.factors.tenor[pillars]), x[pillars])
        growth = math.log(forwards[name] / spot_0) / t
        terms = (snapshot.strike[i], 1 if snapshot.option_type[i] == "call" else -1)
        before = coins(forwards[name], terms[0], snapshot.volatility[i], t, terms[1])
        later = spot * math.exp(growth * (t - years))
        after = coins(later, terms[0], snapshot.volatility[i] * math.exp(shock), t - years, terms[1])
        total += quantity * (after * spot - before * spot_0)
    return total


# -- JSON


@pytest.mark.parametrize("form", ["two answers", "one answer", "bare list", "gzip"])
def test_json_gives_what_csv_gives(shared: Path, tmp_path: Path, form: str) -> None:
    expected = read_snapshot(shared / CRASH)
    with gzip.open(shared / CRASH, "rt") as file:
        lines = list(csv.DictReader(file))
    rows: list[Any] = [
        option_row(
            line["instrument_name"],
            mark_price=float(line["mark_price"]),
            mark_iv=round(100 * float(line["implied_volatility"]), 2),
            underlying_price=float(line["underlying"]),
            underlying_index=line["underlying_name"],
            estimated_delivery_price=float(line["index_price"]),
            bid_price=float(line["bid_price"]) if line["bid_price"] else None,
        )
        for line in lines
    ]
    if form == "two answers":
        document: Any = [answer([r for r in rows if r["base_currency"] == coin]) for coin in ("BTC", "ETH")]
    else:
        document = rows if form == "bare list" else answer(rows)
    found = read_snapshot(write_json(tmp_path, document, "chain.json.gz" if form == "gzip" else "chain.json"))
    assert found.valuation == expected.valuation.astype("datetime64[ms]")
    assert (found.coins, found.index) == (expected.coins, expected.index)
    by_name = [found.name.index(name) for name in expected.name]
    for column in ("strike", "forward", "mark", "volatility"):
        np.testing.assert_allclose(getattr(found, column)[by_name], getattr(expected, column), rtol=1e-12, atol=0)
    for column in ("name", "coin", "option_type", "future"):
        assert tuple(getattr(found, column)[i] for i in by_name) == getattr(expected, column)
    assert (found.expiry[by_name] == expected.expiry).all()


def test_json_with_futures_and_what_is_skipped(tmp_path: Path) -> None:
    btc = [
        option_row("BTC-20FEB26-70000-C"),
        option_row("BTC-27MAR26-70000-P", underlying_index="BTC-27MAR26", underlying_price=71600.0),
        option_row("BTC-6FEB26-72000-C", underlying_index="index_price", mark_price=0.0),
        future_row("BTC-27MAR26", 71650.5),
        future_row("BTC-26JUN26", 72655.24, bid_price=None),
        future_row("BTC-PERPETUAL", 71466.0, estimated_delivery_price=71480.0),
        future_row("BTC_USDC", 71450.0, estimated_delivery_price=1.0),
        future_row("BTC-FS-28FEB26_PERP", -120.5),
        option_row("BTC-STRD-27MAR26-70000", mark_iv=0.0),
        option_row("BTC_USDC-27MAR26-70000-C", mark_iv=0.0),
    ]
    eth = [
        option_row("ETH-27MAR26-2000-C", estimated_delivery_price=2127.5, underlying_price=2140.0),
        option_row("ETH-27MAR26-2200-C", estimated_delivery_price=None, underlying_price=2141.0),
    ]
    sol = [future_row("SOL-PERPETUAL", 91.0, estimated_delivery_price=91.2)]
    snapshot = read_snapshot(write_json(tmp_path, [answer(btc), answer(eth), answer(sol)]))
    assert snapshot.valuation == np.datetime64(STAMP + 900, "ms")
    assert snapshot.index == {"BTC": 71470.6, "ETH": 2127.5, "SOL": 91.2}
    assert snapshot.futures == {
        "BTC-27MAR26": 71650.5, "BTC-26JUN26": 72655.24, "BTC-PERPETUAL": 71466.0, "SOL-PERPETUAL": 91.0
    }  # fmt: skip
    assert snapshot.skipped == tuple(row["instrument_name"] for row in btc[6:])
    assert snapshot.volatility[0] == pytest.approx(0.6086)
    assert snapshot.future == ("", "BTC-27MAR26", "", "", "")
    assert snapshot.expiry[2] == np.datetime64("2026-02-06T08:00")
    assert snapshot.expiry_forward().tolist()[-2:] == [2140.5, 2140.5]

    table = deribit_tables.instrument_table(snapshot)
    row = {name: i for i, name in enumerate(table.texts("instrument"))}
    forward = table.floats("forward", [])
    assert forward[row["BTC-27MAR26"]] == 71650.5  # its own mark, not that of the options on it
    assert forward[row["BTC-27MAR26-70000-P"]] == 71600.0
    kinds = dict(zip(table.texts("instrument"), table.texts("kind"), strict=True))
    assert [kinds[n] for n in ("SOL-PERPETUAL", "ETH-PERPETUAL", "BTC-26JUN26")] == ["perpetual", "perpetual", "future"]
    factors = deribit_tables.factor_table(snapshot, vol_of_vol=0.9)
    assert factors.texts("factor")[:4] == ["BTC", "ETH", "SOL", "BTC-VOL-7D"]
    assert len(factors) == 3 + 2 * 4  # a coin without options has no volatility
    matrix = deribit_tables.correlation(np.eye(3), snapshot, spot_vol_correlation=-0.5, vol_correlation=0.8)
    assert matrix.shape == (11, 11)
    read_factors(factors)


def test_factor_levels_and_volatilities(tmp_path: Path) -> None:
    """Two expiries, flat smiles of 60 and 50 %: total variance is linear between them, volatility flat beyond."""
    rows = [
        option_row(f"BTC-{day}-{strike}-{side}", mark_iv=iv, underlying_index="index_price")
        for day, iv in (("20FEB26", 60.0), ("27MAR26", 50.0))
        for strike in (70000, 73000)
        for side in "CP"
    ]
    snapshot = read_snapshot(write_json(tmp_path, rows))
    table = deribit_tables.factor_table(snapshot, vol_of_vol=0.9, tenors=(7, 30, 90))
    t = [
        float((np.datetime64(day) - snapshot.valuation) / np.timedelta64(1, "D"))
        for day in ("2026-02-20T08", "2026-03-27T08")
    ]
    weight = (30 - t[0]) / (t[1] - t[0])
    middle = math.sqrt(((1 - weight) * 0.36 * t[0] + weight * 0.25 * t[1]) / 30)
    assert table.floats("level", [])[1:] == pytest.approx([0.6, middle, 0.5])
    assert table.floats("volatility", [])[1:] == pytest.approx([0.9 * (30 / 7) ** 0.3, 0.9, 0.9 / 3**0.3])
    assert table.floats("tenor", [])[1:] == pytest.approx([7 / 365, 30 / 365, 90 / 365])


@given(
    rho=st.floats(-1, 1),
    g=st.floats(0, 1),
    c=st.floats(-1, 1),
    both=st.booleans(),
)
def test_the_correlation_is_positive_semidefinite(rho: float, g: float, c: float, both: bool) -> None:
    snapshot = chain_in_memory(("BTC", "ETH") if both else ("ETH",))
    matrix = deribit_tables.correlation(
        np.array([[1.0, c], [c, 1.0]]), snapshot, spot_vol_correlation=rho, vol_correlation=g, tenors=(7, 30, 90)
    )
    names = deribit_tables.factor_table(snapshot, vol_of_vol=0.9, tenors=(7, 30, 90)).texts("factor")
    assert matrix.shape == (len(names), len(names))
    assert (np.diag(matrix) == 1.0).all()
    np.testing.assert_array_equal(matrix, matrix.T)
    assert np.linalg.eigvalsh(matrix)[0] > -1e-13 * len(matrix)
    btc, eth, last = 0, 1, names.index("ETH-VOL-90D")
    assert matrix[eth, last] == pytest.approx(rho, abs=1e-15)
    assert matrix[btc, last] == pytest.approx(rho * c, abs=1e-15)
    assert matrix[last - 1, last] == pytest.approx(rho**2 + (1 - rho**2) * g, abs=1e-15)
    if both:
        assert matrix[names.index("BTC-VOL-7D"), last] == pytest.approx(rho**2 * c + (1 - rho**2) * g, abs=1e-15)


def chain_in_memory(coins: Sequence[str]) -> Snapshot:
    n = len(coins)
    return Snapshot(
        source="memory",
        valuation=np.datetime64("2026-02-05T09:36", "us"),
        name=tuple(f"{coin}-27MAR26-100-C" for coin in coins),
        coin=tuple(coins),
        option_type=("call",) * n,
        expiry=np.full(n, np.datetime64("2026-03-27T08:00", "us")),
        strike=np.full(n, 100.0),
        forward=np.full(n, 100.0),
        future=("",) * n,
        mark=np.full(n, 0.1),
        volatility=np.full(n, 0.5),
        index={"BTC": 100.0, "ETH": 100.0},
        futures={},
    )


@pytest.mark.parametrize(("rho", "g"), [(1.1, 0.5), (-1.1, 0.5), (0.0, -0.1), (0.0, 1.1), (math.nan, 0.5)])
def test_correlations_out_of_range(rho: float, g: float) -> None:
    with pytest.raises(SettingError, match=r"market\.(spot_)?vol_correlation is .*must lie between"):
        deribit_tables.correlation(np.eye(2), chain_in_memory(("BTC",)), spot_vol_correlation=rho, vol_correlation=g)


# -- what is wrong


def test_all_bad_rows_of_a_chain_in_one_error(tmp_path: Path) -> None:
    rows = [
        option_row("BTC-27MAR26-70000-C"),
        option_row("BTC-27MAR26-70000-C"),
        option_row("BTC-31FEB26-70000-C"),
        option_row("BTC-BAD-70000-C"),
        option_row("BTC-5FEB26-70000-C"),
        option_row("BTC-27MAR26-71000-C", mark_iv=-1.0),
        option_row("BTC-27MAR26-72000-C", mark_iv=None),
        option_row("BTC-27MAR26-73000-C", underlying_price=0.0),
        option_row("BTC-27MAR26-74000-C", mark_price=-0.1),
        option_row("BTC-27MAR26-75000-C", creation_timestamp=STAMP - 301_000),
        option_row("BTC-27MAR26-76000-C", creation_timestamp=None),
        option_row("BTC-27MAR26-77000-C", estimated_delivery_price=-5.0),
        future_row("BTC-27MAR26", 0.0, creation_timestamp=STAMP),
        option_row("ETH-27MAR26-2000-C", estimated_delivery_price=None),
    ]
    with pytest.raises(InputError) as caught:
        read_snapshot(write_json(tmp_path, rows))
    assert list(caught.value.problems) == [
        "row 3: 'BTC-31FEB26-70000-C' is not a name such as BTC-27MAR26-65000-C, BTC-27MAR26 or BTC-PERPETUAL: "
        "correct or remove it",
        "row 4: 'BTC-BAD-70000-C' is not a name such as BTC-27MAR26-65000-C, BTC-27MAR26 or BTC-PERPETUAL: "
        "correct or remove it",
        "row 2: 'BTC-27MAR26-70000-C' is there twice: remove one",
        "row 11: 'BTC-27MAR26-76000-C' has no creation_timestamp: give the time of the request",
        "row 10: 'BTC-27MAR26-75000-C' is over five minutes older than 2026-02-05T09:36:47.412000Z: keep the rows of "
        "one request",
        "row 5: 'BTC-5FEB26-70000-C' expired before the valuation 2026-02-05T09:36:47.412000Z: remove it",
        "row 8: 'BTC-27MAR26-73000-C' has underlying_price 0, which must be positive: correct or remove the row",
        "row 6: 'BTC-27MAR26-71000-C' has mark_iv -1, which must be positive: correct or remove the row",
        "row 7: 'BTC-27MAR26-72000-C' has mark_iv nan, which must be positive: correct or remove the row",
        "row 9: 'BTC-27MAR26-74000-C' has mark_price -0.1, which must not be negative or blank",
        "row 13: 'BTC-27MAR26' has mark_price 0, which must be positive: correct or remove the row",
        "row 12: 'BTC-27MAR26-77000-C' has estimated_delivery_price -5, which must be positive: correct it or leave "
        "it blank",
        "no row of ETH has an estimated_delivery_price: give one",
    ]


@pytest.mark.parametrize(
    ("document", "message"),
    [
        ({"jsonrpc": "2.0", "error": {"code": 10028, "message": "too_many_requests"}}, "too_many_requests.*neither"),
        ([answer([1, 2])], "2 is neither|1 is neither"),
        ("a text", "neither an answer nor a row"),
        (answer([]), "the chain is empty"),
        ([option_row("BTC-27MAR26-70000-C", mark_iv=0.6)], "read in per cent.*median of 0.006: check its unit"),
        ([option_row("BTC-27MAR26-70000-C", mark_iv="x")], "1 problem\n  row 1: mark_iv 'x' .*is not a number"),
        ([option_row("BTC-27MAR26-70000-C", creation_timestamp=2**70)], "has no creation_timestamp"),
    ],
)
def test_json_that_is_no_chain(tmp_path: Path, document: Any, message: str) -> None:
    with pytest.raises(InputError, match=message):
        read_snapshot(write_json(tmp_path, document))


@pytest.mark.parametrize("name", ["chain.json.gz", "chain.csv.gz"])
def test_truncated_files(tmp_path: Path, name: str) -> None:
    whole = gzip.compress(json.dumps([option_row(f"BTC-27MAR26-{k}-C") for k in range(1, 500)]).encode())
    (tmp_path / name).write_bytes(whole[: len(whole) // 2])
    with pytest.raises(InputError, match=r"not a readable JSON|cannot be read"):
        read_snapshot(tmp_path / name)


@pytest.mark.parametrize(
    ("name", "text", "message"),
    [
        ("chain.json", "{", "not a readable JSON file"),
        ("chain.txt", "x", r"a snapshot is \.json, \.csv"),
        ("chain.csv", "instrument_name,mark_price\nA,1\n", "no column 'timestamp'"),
        (
            "chain.csv",
            "timestamp,instrument_name,underlying,underlying_name,mark_price,implied_volatility,index_price\n"
            "2026-02-05T09:36:47Z,BTC-27MAR26-70000-C,71000,BTC-27MAR26,0.1,60,71000\n",
            "read in decimals.*median of 60",
        ),
    ],
)
def test_files_that_are_no_chain(tmp_path: Path, name: str, text: str, message: str) -> None:
    with pytest.raises(InputError, match=message):
        read_snapshot(write(tmp_path, name, text))


def test_a_missing_file(tmp_path: Path) -> None:
    for name in ("chain.json", "chain.csv"):
        with pytest.raises(InputError, match="chain"):
            read_snapshot(tmp_path / name)


def test_other_files_of_the_reference_data_say_what_they_lack(shared: Path) -> None:
    for path in sorted((shared / CHAINS).glob("[!r]*")):
        with pytest.raises(InputError, match="no column 'underlying_name'"):
            read_snapshot(path)


def test_positions_that_do_not_go_with_the_chain(tmp_path: Path) -> None:
    rows = [option_row("BTC-27MAR26-70000-C"), future_row("BTC_USDC", 1.0)]
    table = deribit_tables.instrument_table(read_snapshot(write_json(tmp_path, rows)))
    path = write(
        tmp_path,
        "positions.csv",
        "account,currency,instrument,kind,quantity\n"
        "A,BTC,BTC-27MAR26-70000-C,option,1\n"
        "A,ETH,BTC-27MAR26-70000-C,perpetual,1\n"
        "B,,BTC-PERPETUAL,,1\n"
        "B,BTC,BTC_USDC,spot,1\n",
    )
    with pytest.raises(InputError) as caught:
        deribit_tables.position_table(path, table)
    found = "\n".join(caught.value.problems)
    assert len(caught.value.problems) == 3
    assert "line 5: 'BTC_USDC' is not among the instruments of" in found
    assert "line 3: 'BTC-27MAR26-70000-C' has currency BTC, not ETH: correct it" in found
    assert "line 3: 'BTC-27MAR26-70000-C' has kind option, not perpetual: correct it" in found
    plain = write(tmp_path, "plain.csv", "account,instrument,quantity,role\nA,BTC-PERPETUAL,1,collateral\n")
    assert list(deribit_tables.position_table(plain, table).data) == ["account", "instrument", "quantity", "role"]
    with pytest.raises(InputError, match="unknown column 'size'"):
        deribit_tables.position_table(write(tmp_path, "p.csv", "account,instrument,quantity,size\nA,B,1,1\n"), table)


# -- closes


def closes(folder: Path, lines: Sequence[str], header: str = "date,coin,close") -> Path:
    return write(folder, "closes.csv", "\n".join([header, *lines, ""]))


DAYS = [f"2026-01-0{d},{coin},{100 + d}" for d in range(1, 8) for coin in ("BTC", "ETH")]


def test_wide_closes_are_long_closes(tmp_path: Path) -> None:
    long = read_closes(closes(tmp_path, DAYS[::-1]))  # in any order
    wide = read_closes(
        closes(tmp_path, [f"2026-01-0{d},{100 + d},1,{100 + d}" for d in range(1, 8)], "date,ETH,SOL,BTC"),
        ("ETH", "BTC"),
    )
    assert (long.names, wide.names) == (("ETH", "BTC"), ("ETH", "BTC"))
    np.testing.assert_array_equal(long.dates, wide.dates)
    np.testing.assert_array_equal(long.levels, wide.levels)
    assert long.dates[0] == np.datetime64("2026-01-02")


@pytest.mark.parametrize(
    ("lines", "message"),
    [
        ([*DAYS, DAYS[3]], r"line 16: ETH has a second close on that date \(first in line 5\): remove one"),
        ([d for d in DAYS if d != DAYS[5]], "date 20260103: ETH is missing"),
        ([*DAYS, "2027-01-08,BTC,1", "2027-01-08,ETH,1"], "a gap from 2026-01-07 to 2027-01-08"),
        ([*DAYS, "2026-01-08,BTC,x"], "line 16: close 'x' .*is not a number"),
        ([*DAYS, "8 January,BTC,1"], "line 16: date '8 January' is not an ISO time"),
        ([*DAYS, ",BTC,1"], "line 16: the close has no date"),
        ([*DAYS, "2026-01-08T12:00,BTC,1", "2026-01-08T12:00,ETH,1"], "has a time of day"),
    ],
)
def test_bad_closes(tmp_path: Path, lines: list[str], message: str) -> None:
    with pytest.raises(InputError, match=message):
        read_closes(closes(tmp_path, lines))


def test_closes_of_a_coin_that_is_not_there(tmp_path: Path) -> None:
    with pytest.raises(InputError, match="no closes of SOL: there are those of BTC, ETH"):
        read_closes(closes(tmp_path, DAYS), ("BTC", "SOL"))
    with pytest.raises(InputError, match="no closes of SOL: there are those of BTC"):
        read_closes(closes(tmp_path, ["2026-01-01,1"], "date,BTC"), ("BTC", "SOL"))
    with pytest.raises(InputError, match="0 rows: at least 3 are needed"):
        read_closes(closes(tmp_path, ["2026-01-01,BTC,1", "2026-01-03,ETH,1"]))
