"""Volatilities that move with prices: histories of surfaces, and what a market makes of them."""

from __future__ import annotations

import math
import sys
from collections.abc import Sequence
from pathlib import Path

import numpy as np
import pandas as pd
import pytest

from mcvar.building.market import Files, any_market
from mcvar.config import (
    Config,
    ConstantCorrelation,
    CorrelationConfig,
    DeribitMarket,
    EwmaCorrelation,
    FilesMarket,
    HistoricalCorrelation,
    LedoitWolfCorrelation,
    TauCorrelation,
)
from mcvar.correlation import ewma, historical
from mcvar.errors import InputError
from mcvar.io.surfaces import read_surface
from mcvar.market import Market

sys.path.insert(0, str(Path(__file__).parents[1] / "benchmarks"))
import spot_volatility

SURFACE = "data/options/deribit/derived_iv_surface_history_6h_20251230_20260430.csv.gz"
CRASH = "data/options/deribit/raw_deribit_options_snapshot_20260205T093647Z.csv.gz"
CALM = "data/options/deribit/raw_deribit_options_snapshot_20251230T173115Z.csv.gz"
CLOSES = "data/crypto/stitched_daily_close_btc_eth_sol_2017_2026.csv.gz"
EQUITIES = "data/equities"
NAMES = ["BTC", "ETH", *(f"{coin}-VOL-{days}D" for coin in ("BTC", "ETH") for days in (7, 30, 90, 180))]
HEADER = "time,currency,expiry,T,index,atm_iv"


def write(folder: Path, rows: Sequence[str], header: str = HEADER) -> Path:
    path = folder / "surface.csv"
    path.write_text("\n".join([header, *rows]) + "\n", encoding="utf-8")
    return path


def row(day: int, coin: str, ahead: float, volatility: object, index: object = 100.0) -> str:
    """Quotes of 00:00 on a day of January for an expiry `ahead` days later."""
    time = np.datetime64("2026-01-01T00:00") + np.timedelta64(day - 1, "D")
    return f"{time},{coin},{time + np.timedelta64(round(ahead * 1440), 'm')},{ahead / 365},{index},{volatility}"


def flat(days: Sequence[int], coins: Sequence[str] = ("BTC", "ETH")) -> list[str]:
    return [row(day, coin, 30, 0.5) for day in days for coin in coins]


# -- reading


def test_total_variance_is_linear_between_expiries_and_volatility_flat_beyond(tmp_path: Path) -> None:
    rows = [
        row(day, "BTC", ahead, volatility, index)
        for day, shift in ((1, 0.0), (2, 0.1), (3, 0.05))
        # out of order, and with an expiry that is too near
        for ahead, volatility, index in (
            (40, 0.5 + shift, 101.0), (1.9, 3.0, 105.0), (10, 0.8 + shift, 100.0), (80, 0.4, 100.5)
        )
    ]  # fmt: skip
    history = read_surface(write(tmp_path, rows), tenors=(5, 10, 20, 60, 365))
    assert history.names == ("BTC", *(f"BTC-VOL-{days}D" for days in (5, 10, 20, 60, 365)))
    assert history.dates.tolist() == [np.datetime64(f"2026-01-0{day}", "us").item() for day in (1, 2, 3)]
    assert history.notes == ()
    np.testing.assert_allclose(history.levels[:, 0], 100.75)  # the median of all four, whatever their expiry
    # 20 days: a third of the way from 0.64 x 10 to 0.25 x 40; 60 days: half way from there to 0.16 x 80
    first = [0.8, 0.8, math.sqrt((6.4 * 2 / 3 + 10.0 / 3) / 20), math.sqrt((10.0 + 12.8) / 2 / 60), 0.4]
    np.testing.assert_allclose(history.levels[0, 1:], first)
    second = [0.9, 0.9, math.sqrt((8.1 * 2 / 3 + 14.4 / 3) / 20), math.sqrt((14.4 + 12.8) / 2 / 60), 0.4]
    np.testing.assert_allclose(history.levels[1, 1:], second)


def test_a_time_without_a_usable_expiry_of_some_coin_is_left_out_and_counted(tmp_path: Path) -> None:
    rows = flat(range(1, 11))
    rows[3] = row(2, "ETH", 1.5, 0.9)  # nothing else at that time
    del rows[12]  # BTC on day 7
    history = read_surface(write(tmp_path, rows))
    assert [int(str(date)[8:10]) for date in history.dates] == [1, 3, 4, 5, 6, 8, 9, 10]
    (note,) = history.notes
    assert note.startswith("2 of 10 times of ")
    assert note.endswith("are left out: no expiry of at least 2 days, of BTC at 1, ETH at 1")
    only = read_surface(tmp_path / "surface.csv", ["ETH"], shortest=1.0, tenors=(7.5,))
    assert (only.names, len(only.dates), only.notes) == (("ETH", "ETH-VOL-7.5D"), 10, ())


def test_parquet_and_the_other_columns(tmp_path: Path) -> None:
    path = write(tmp_path, [f"{line},,7" for line in flat(range(1, 5))], f"{HEADER},put25_iv,n")
    frame = pd.read_csv(path, parse_dates=["time"])
    frame.to_parquet(tmp_path / "surface.parquet")
    text, binary = read_surface(path), read_surface(tmp_path / "surface.parquet")
    np.testing.assert_array_equal(text.levels, binary.levels)
    np.testing.assert_array_equal(text.dates, binary.dates)


def test_all_bad_rows_in_one_error(tmp_path: Path) -> None:
    rows = flat(range(1, 9), ["BTC"])
    rows[1] = row(2, "BTC", 30, "x")
    rows[2] = row(3, "BTC", 30, 0)
    rows[3] = row(4, "BTC", 30, "", "inf")
    rows[4] = rows[4].replace("BTC", "")
    rows[5] = "," + rows[5].partition(",")[2]
    rows += [
        row(8, "BTC", 30, 0.5),
        row(7, "ETH", 30, 0.5),
        "2026-01-09,BTC,2026-01-19,10,100,0.5",
        "2026-01-09,BTC,2026-01-20,-0.03,100,0.5",
        "2026-01-09,BTC,,0.03,100,0.5",
        "9 January,BTC,2026-01-20,0.03,100,0.5",
    ]
    with pytest.raises(InputError) as caught:
        read_surface(write(tmp_path, rows))
    assert sorted(caught.value.problems, key=lambda problem: int(problem.split(":")[0].split()[1])) == [
        "line 3: atm_iv 'x' of time '2026-01-02T00:00' is not a number such as 1000 or -2.5e-3",
        "line 4: atm_iv is 0, and must be positive: correct or remove the row",
        "line 5: index is inf, and must be positive: correct or remove the row",
        "line 5: atm_iv is blank, and must be positive: correct or remove the row",
        "line 6: no currency: give the coin, such as BTC",
        "line 7: no time: give that of the quotes, in UTC",
        "line 10: a second row of that time, coin and expiry: remove one",
        "line 11: the time is earlier than that of the row before: sort the rows by time",
        "line 12: T is 10, and the expiry is another time away: correct T (years), time or expiry",
        "line 13: T is -0.03, and must be the years to the expiry: correct or remove the row",
        "line 14: no expiry: give its date",
        "line 15: time '9 January' is not an ISO time such as 2026-03-27T08:00:00Z",
    ]


@pytest.mark.parametrize(
    ("rows", "header", "coins", "message"),
    [
        (flat([1, 2, 3]), HEADER, ["BTC", "SOL"], "no rows of SOL: there are those of BTC, ETH"),
        ([], HEADER, ["BTC"], "no rows of BTC: there are those of no coin"),
        ([], HEADER, [], "there is no row: the table is empty"),
        (flat([1, 2]), HEADER, [], "2 times: at least 3 times are needed"),
        (flat([1], ["BTC"]) + flat([2, 3, 4], ["ETH"]), HEADER, [],
         "4 of 4 times of .* no expiry of at least 2 days, of BTC at 3, ETH at 1: at least 3 times are needed"),
        ([row(day, "BTC", 30, 50) for day in (1, 2, 3)], HEADER, [], "read in decimals.*median of 50: check its unit"),
        (flat([1, 2, 3, 4, 20]), HEADER, [], r"line 10: a gap from 2026-01-04 to 2026-01-20"),
        ([], "time,currency,expiry,T,index", [], "column 'atm_iv' is missing"),
        ([], f"{HEADER},vega", [], "unknown column 'vega'"),
    ],
)  # fmt: skip
def test_tables_that_are_no_surface_history(
    tmp_path: Path, rows: list[str], header: str, coins: list[str], message: str
) -> None:
    with pytest.raises(InputError, match=message):
        read_surface(write(tmp_path, rows, header), coins)


# -- the real surfaces of Deribit


def by_pandas(path: Path, coin: str, days: float) -> pd.DataFrame:
    """Price and volatility of a coin, written without the package: bracket by bracket."""
    table = pd.read_csv(path, parse_dates=["time"])
    table = table[table.currency == coin]
    price = table.groupby("time")["index"].median()
    tau = days / 365
    levels = {}
    for time, quotes in table[table["T"] * 365 >= 2].groupby("time"):
        below, above = quotes[quotes["T"] <= tau].iloc[-1], quotes[quotes["T"] > tau].iloc[0]
        share = (tau - below["T"]) / (above["T"] - below["T"])
        variance = (1 - share) * below.atm_iv**2 * below["T"] + share * above.atm_iv**2 * above["T"]
        levels[time] = math.sqrt(variance / tau)
    return pd.DataFrame({"price": price, "vol": pd.Series(levels)})


@pytest.mark.parametrize("coin", ["BTC", "ETH"])
def test_real_surfaces_equal_an_independent_computation(shared: Path, coin: str) -> None:
    history, expected = read_surface(shared / SURFACE, [coin], tenors=(47,)), by_pandas(shared / SURFACE, coin, 47)
    np.testing.assert_array_equal(history.dates, expected.index.to_numpy().astype("datetime64[us]"))
    np.testing.assert_allclose(history.levels, expected.to_numpy(), rtol=1e-13)
    moves = np.log(expected).diff().dropna()
    estimate = historical(history.moves(history.names, ["log"] * 2), history.steps_per_year)
    assert estimate.correlation[0, 1] == pytest.approx(moves.corr().iloc[0, 1], rel=1e-12)
    span = (expected.index[-1] - expected.index[0]) / pd.Timedelta(days=365)
    assert estimate.volatility == pytest.approx(moves.std().to_numpy() * math.sqrt(len(moves) / span), rel=1e-12)


def test_real_volatilities_fall_as_prices_rise_and_move_less_the_longer_they_are(shared: Path) -> None:
    history = read_surface(shared / SURFACE, ("BTC", "ETH"))
    assert (history.names, len(history.dates), history.notes) == (tuple(NAMES), 481, ())
    estimate = historical(history.moves(NAMES, ["log"] * 10), history.steps_per_year)
    for coin in (0, 1):
        own = slice(2 + 4 * coin, 6 + 4 * coin)
        assert (estimate.correlation[coin, own] < -0.4).all()
        assert (np.diff(estimate.volatility[own]) < 0).all()
    assert np.linalg.eigvalsh(estimate.correlation)[0] > 0


# -- the market


def crash(
    shared: Path,
    surface: Path | None,
    correlation: CorrelationConfig | None = None,
    chain: str = CRASH,
    vol_of_vol: float = 0.9,
) -> Market:
    market = DeribitMarket(
        snapshot=str(shared / chain),
        history=str(shared / CLOSES),
        surface=str(surface) if surface else "",
        vol_of_vol=vol_of_vol,
    )
    files = Files()
    built = any_market(Config(market=market, correlation=correlation), files, expiring=True)
    assert set(files.seen) == {market.snapshot, market.history, market.surface} - {""}  # run.json has their digests
    return built


def test_prices_and_volatilities_of_a_market_are_fitted_jointly(shared: Path) -> None:
    market, judged = crash(shared, shared / SURFACE), crash(shared, None)
    assert market.factors.name == tuple(NAMES)
    history = market.history
    assert history is not None
    assert history.dates[-1] <= market.valuation < np.datetime64("2026-02-05T09:37")
    expected = by_pandas(shared / SURFACE, "ETH", 30)[:"2026-02-05 09:36:47"]
    moves = np.log(expected).diff().dropna()
    found = market.correlation[1, NAMES.index("ETH-VOL-30D")]
    assert found == pytest.approx(moves.corr().iloc[0, 1], rel=1e-12)
    assert found < -0.4
    assert market.observations == len(moves) == 141
    span = (expected.index[-1] - expected.index[0]) / pd.Timedelta(days=365)
    assert market.steps_per_year == pytest.approx(len(moves) / span, rel=1e-12)
    vol_of_vol = moves["vol"].std() * math.sqrt(len(moves) / span)
    assert market.volatility[NAMES.index("ETH-VOL-30D")] == pytest.approx(vol_of_vol, rel=1e-12)
    np.testing.assert_array_equal(market.volatility[:2], judged.volatility[:2])  # of the years of closes
    np.testing.assert_array_equal(market.factors.level, judged.factors.level)
    # the row of the valuation was made from the same chain by somebody else
    np.testing.assert_allclose(history.levels[-1], market.factors.level, rtol=5e-4)
    (note,) = market.notes
    assert "those of 141 moves of" in note
    assert "2025-12-30T17:31Z to 2026-02-05T09:36Z" in note
    np.testing.assert_array_equal(crash(shared, shared / SURFACE, vol_of_vol=3.0).volatility, market.volatility)


def test_without_a_surface_the_closes_are_the_history(shared: Path) -> None:
    market = crash(shared, None)
    assert market.history is not None
    assert market.history.names == ("BTC", "ETH")
    assert market.observations == len(market.history.dates) - 1
    assert market.correlation[0, 2] == -0.5
    assert market.volatility[NAMES.index("ETH-VOL-30D")] == 0.9
    assert market.notes == ()


def test_the_configured_estimator_sees_the_joint_moves(shared: Path) -> None:
    weighted = crash(shared, shared / SURFACE, EwmaCorrelation(decay=0.98))
    history = weighted.history
    assert history is not None
    expected = ewma(history.moves(NAMES, ["log"] * 10), history.steps_per_year, decay=0.98)
    np.testing.assert_array_equal(weighted.correlation, expected.correlation)
    np.testing.assert_array_equal(weighted.volatility[2:], expected.volatility[2:])
    assert weighted.observations == expected.observations < 100
    np.testing.assert_array_equal(
        weighted.volatility[:2], crash(shared, None, EwmaCorrelation(decay=0.98)).volatility[:2]
    )
    plain = crash(shared, shared / SURFACE)
    latest = crash(shared, shared / SURFACE, HistoricalCorrelation(window=80))
    assert latest.observations == 80
    ranks = crash(shared, shared / SURFACE, TauCorrelation(repair=True))
    assert (ranks.correlation[0, 2:6] < -0.25).all()
    np.testing.assert_allclose(ranks.volatility, plain.volatility, rtol=1e-12)
    chosen = crash(shared, shared / SURFACE, ConstantCorrelation(value=0.25))
    assert (chosen.correlation[np.triu_indices(10, 1)] == 0.25).all()
    np.testing.assert_allclose(chosen.volatility, plain.volatility, rtol=1e-12)
    assert chosen.notes[0].startswith("volatilities of volatilities are")


def test_a_shrunk_joint_correlation(shared: Path) -> None:
    pytest.importorskip("sklearn", reason="no scikit-learn")
    plain, shrunk = crash(shared, shared / SURFACE), crash(shared, shared / SURFACE, LedoitWolfCorrelation())
    share = shrunk.correlation[0, 2:] / plain.correlation[0, 2:]
    assert np.ptp(share) < 1e-12
    assert 0.8 < share[0] < 1.0


def test_a_valuation_with_too_little_before_it(shared: Path, tmp_path: Path) -> None:
    with pytest.raises(InputError, match=r"0 moves up to the valuation 2025-12-30T17:31.*, and 60 are needed: the"):
        crash(shared, shared / SURFACE, chain=CALM)
    # days -61 to -1 are 2025-10-31 to 2025-12-30
    assert crash(shared, write(tmp_path, flat(range(-61, 8))), chain=CALM).observations == 60
    with pytest.raises(
        InputError, match=r"59 moves .* runs from 2025-11-01.*Z to 2026-01-07.*Z\. Give one that starts"
    ):
        crash(shared, write(tmp_path, flat(range(-60, 8))), chain=CALM)
    with pytest.raises(InputError, match="no rows of ETH: there are those of BTC"):
        crash(shared, write(tmp_path, flat(range(1, 100), ["BTC"])))


# -- equities: files of one's own


def test_equities_take_prices_and_volatilities_from_one_history(shared: Path, tmp_path: Path) -> None:
    names = ["AAPL", "JPM", "XOM"]
    folder = shared / EQUITIES
    prices, vols = (
        pd.read_csv(folder / f"skfolio_sp500_{name}.csv.gz", index_col="Date")[names]
        for name in ("dataset", "implied_vol_3m")
    )
    joint = prices.join(vols.add_suffix("-VOL"), how="inner")
    assert (joint.index[0], joint.index[-1]) == ("2010-01-04", "2022-12-28")
    joint.rename_axis("date").to_csv(tmp_path / "history.csv")
    rows = [f"{n},price,{n},\n{n}-VOL,vol,{n},0.25" for n in names]
    (tmp_path / "factors.csv").write_text("\n".join(["factor,kind,underlying,tenor", *rows]) + "\n")
    market = any_market(
        Config(
            market=FilesMarket(factors=str(tmp_path / "factors.csv"), history=str(tmp_path / "history.csv")),
            correlation=HistoricalCorrelation(),
        ),
        Files(),
        expiring=True,
    )
    moves = np.diff(np.log(joint.to_numpy()), axis=0)
    order = [joint.columns.get_loc(name) for name in market.factors.name]
    np.testing.assert_allclose(market.correlation, np.corrcoef(moves.T)[np.ix_(order, order)], rtol=0, atol=1e-12)
    days = (np.datetime64(joint.index[-1]) - np.datetime64(joint.index[0])).astype(int)
    annual = moves.std(axis=0, ddof=1) * math.sqrt(len(moves) * 365 / days)
    np.testing.assert_allclose(market.volatility, annual[order], rtol=1e-12)
    place = {name: f for f, name in enumerate(market.factors.name)}
    for name in names:
        assert market.correlation[place[name], place[f"{name}-VOL"]] < -0.3
        assert 0.4 < market.volatility[place[f"{name}-VOL"]] < 1.5
    assert market.valuation == np.datetime64("2022-12-28")
    assert market.history is not None
    assert market.observations == len(moves) == len(market.history.dates) - 1


def test_the_table_of_the_documentation(shared: Path) -> None:
    """The script's rows, computed again by pandas."""
    made = spot_volatility.stocks(shared / "data")
    moves = np.diff(np.log(made.levels), axis=0)
    said = next(spot_volatility.rows(made, "JPM", ["JPM-VOL"]))
    rho = np.corrcoef(moves[:, made.names.index("JPM")], moves[:, made.names.index("JPM-VOL")])[0, 1]
    assert f"| {len(moves):,} | {rho:.2f} |" in said
    assert said in (Path(__file__).parents[1] / "benchmarks" / "results" / "spot_volatility.md").read_text()
