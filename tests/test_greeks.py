"""Sensitivities against complex-step derivatives of closed forms, QuantLib, identities and limits; the job."""

from __future__ import annotations

import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import oracle
import pyarrow.parquet as pq
import pytest
from numpy.typing import NDArray
from scipy.special import ndtr

import mcvar
from mcvar import config as c
from mcvar.book import Book
from mcvar.config import Config
from mcvar.errors import McvarError
from mcvar.jobs import greeks
from mcvar.market import Market

Floats = NDArray[np.float64]
Value = Callable[[Any, Any, float], Any]  # of price, volatility and years that have passed; takes complex numbers
DAY = 1 / 365
ACCURACY = 1e-6  # of what is usual for a greek of an option of this width: central differences
T, R, B, V = 0.3, 0.03, 0.01, 0.4
TERMS = {"kind": "option", "underlying": "XYZ", "years": T, "rate": R, "carry": B, "volatility": V}
COIN = {**TERMS, "underlying": "BTC", "settlement": "inverse"}
EACH = pytest.mark.parametrize(("kind", "w"), [("call", 1.0), ("put", -1.0)])


@pytest.fixture(scope="module")
def market(make_market: Callable[..., Market]) -> Market:
    factors = [
        {"factor": "XYZ", "level": 100.0},
        {"factor": "BTC", "level": 60_000.0},
        {"factor": "EUR", "level": 1.1},
        {"factor": "DAX", "level": 50.0, "currency": "EUR"},
        {"factor": "SIM", "level": 100.0, "shock": "simple"},
        {"factor": "ABS", "level": 100.0, "shock": "absolute"},
        {"factor": "GAP", "level": 0.0, "shock": "absolute"},
    ]
    return make_market(factors)


@pytest.fixture(scope="module")
def find(market: Market, make_book: Callable[..., Book]) -> Callable[..., dict[str, Floats]]:
    """Sensitivities [n] of rows of the instrument table."""

    def of(*rows: dict[str, Any]) -> dict[str, Floats]:
        named = [{**row, "instrument": f"i{at}"} for at, row in enumerate(rows)]
        book = make_book(market, named, [("A", row["instrument"], 1.0) for row in named])
        return greeks.sensitivities(market, book.instruments)

    return of


def black(forward: Any, strike: float, deviation: Any, w: float) -> Any:
    d = np.log(forward / strike) / deviation + deviation / 2
    return w * (forward * ndtr(w * d) - strike * ndtr(w * (d - deviation)))


def above(forward: Any, strike: float, deviation: Any, w: float) -> Any:
    """Probability of the money, and that with the asset as numeraire."""
    d = np.log(forward / strike) / deviation + deviation / 2
    return ndtr(w * (d - deviation)), ndtr(w * d)


def expected(value: Value, spot: float, volatility: float = V) -> dict[str, float]:
    """Derivatives by complex steps, which lose no digits; gamma by a difference of those."""
    tiny, step = 1e-30, 1e-6 * spot
    delta = [value(spot + up + 1j * tiny, volatility, 0.0).imag / tiny for up in (-step, 0.0, step)]
    return {
        "value": float(np.real(value(spot, volatility, 0.0))),
        "delta": delta[1],
        "gamma": (delta[2] - delta[0]) / (2 * step),
        "vega": np.imag(value(spot, volatility + 1j * tiny, 0.0)) / tiny,
        "theta": float(np.real(value(spot, volatility, DAY) - value(spot, volatility, 0.0))),
    }


def check(
    found: dict[str, Floats],
    want: dict[str, float],
    spot: float,
    deviation: float,
    accuracy: float = ACCURACY,
    of_value: float = 1e-11,
) -> None:
    """Errors in units of the greeks of a claim on one of the underlying whose payoff is `deviation` wide."""
    size = {"delta": accuracy, "gamma": accuracy / (spot * deviation), "vega": accuracy * spot}
    for name in want:
        assert found[name][0] == pytest.approx(want[name], rel=1e-9, abs=size.get(name, of_value * spot)), name


@EACH
@pytest.mark.parametrize("strike", [50.0, 85.0, 100.0, 130.0])
@pytest.mark.parametrize("years", [1.5 / 365, T, 4.0])
@pytest.mark.parametrize("volatility", [0.05, V])
def test_european_options(find: Any, kind: str, w: float, strike: float, years: float, volatility: float) -> None:
    def value(s: Any, v: Any, passed: float) -> Any:
        left = years - passed
        return np.exp(-R * left) * black(s * np.exp(B * left), strike, v * np.sqrt(left), w)

    terms = {**TERMS, "option_type": kind, "strike": strike, "years": years, "volatility": volatility}
    for underlying in ("XYZ", "SIM", "ABS"):  # whatever a move is
        found = find({**terms, "underlying": underlying})
        check(found, expected(value, 100.0, volatility), 100.0, volatility * np.sqrt(years))


@EACH
def test_styles_of_options(find: Any, kind: str, w: float, market: Market) -> None:
    """Inverse, futures-style, on a future, with dividends: value and margin, discount and growth."""
    typed = {"option_type": kind, "strike": 95.0}

    def style(s: Any, v: Any, passed: float) -> Any:
        return black(s * np.exp(B * (T - passed)), 95.0, v * np.sqrt(T - passed), w)

    def on_future(s: Any, v: Any, passed: float) -> Any:
        left, reach = T - passed, 0.7 - passed
        return np.exp(-R * left) * black(s * np.exp(B * reach), 95.0, v * np.sqrt(left), w)

    def cash(s: Any, v: Any, passed: float) -> Any:
        left, paid = T - passed, 1.5 * np.exp(-R * (36.5 * DAY - passed))
        return np.exp(-R * left) * black((s - paid) * np.exp(B * left), 95.0, v * np.sqrt(left), w)

    def inverse(s: Any, v: Any, passed: float) -> Any:
        left = T - passed
        forward = s * np.exp(B * left)
        return s * np.exp(-R * left) * black(forward, 57e3, v * np.sqrt(left), w) / forward

    def after(days: float) -> str:
        return str(market.valuation + np.timedelta64(round(days * 86400e6), "us"))

    deviation = V * np.sqrt(T)
    futures_style = find({**TERMS, **typed, "premium_style": "futures"})
    check(futures_style, {**expected(style, 100.0), "value": 0.0}, 100.0, deviation)
    check(find({**TERMS, **typed, "delivery": after(0.7 * 365)}), expected(on_future, 100.0), 100.0, deviation)
    check(find({**TERMS, **typed, "dividends": f"{after(36.5)}:1.5"}), expected(cash, 100.0), 100.0, deviation)
    check(find({**COIN, "option_type": kind, "strike": 57e3}), expected(inverse, 60e3), 60e3, deviation)


@EACH
def test_digitals(find: Any, kind: str, w: float) -> None:
    deviation, terms = V * np.sqrt(T), {**TERMS, "kind": "digital", "option_type": kind, "strike": 97.0}

    def cash(s: Any, v: Any, passed: float) -> Any:
        left = T - passed
        return 5.0 * np.exp(-R * left) * above(s * np.exp(B * left), 97.0, v * np.sqrt(left), w)[0]

    def asset(s: Any, v: Any, passed: float) -> Any:
        left = T - passed
        return s * np.exp((B - R) * left) * above(s * np.exp(B * left), 97.0, v * np.sqrt(left), w)[1]

    def coins(s: Any, v: Any, passed: float) -> Any:
        left = T - passed
        return 5.0 * np.exp(-(R + B) * left) * above(s * np.exp(B * left), 58e3, v * np.sqrt(left), w)[0]

    check(find({**terms, "cash": 5.0}), expected(cash, 100.0), 100.0, deviation)
    check(find({**terms, "payout": "asset"}), expected(asset, 100.0), 100.0, deviation, accuracy=10 * ACCURACY)
    inverse = {**terms, "underlying": "BTC", "settlement": "inverse", "strike": 58e3, "cash": 5.0}
    check(find(inverse), expected(coins, 60e3), 5.0, deviation * 60e3 / 5.0)


def test_what_is_linear(find: Any) -> None:
    """Delta of what is settled in margin, which is worth nothing; conversion; the cost of a day."""
    future = {"kind": "future", "underlying": "XYZ", "years": T, "carry": B}
    grown, later = np.exp(B * T), np.exp(B * (T - DAY))
    coins = 60e3 * np.exp(B * T)
    cases: list[tuple[dict[str, Any], tuple[float, ...]]] = [
        ({"kind": "spot", "underlying": "XYZ", "multiplier": 3}, (300.0, 3.0, 0.0, 0.0, 0.0)),
        ({"kind": "spot", "underlying": "DAX"}, (55.0, 1.1, 0.0, 0.0, 0.0)),
        ({"kind": "cash", "settlement_currency": "EUR", "multiplier": 7}, (7.7, 0.0, 0.0, 0.0, 0.0)),
        (future, (0.0, grown, 0.0, 0.0, 100.0 * (later - grown))),
        (
            {**future, "underlying": "BTC", "settlement": "inverse", "multiplier": 1000.0},
            (0.0, 1000.0 / coins, 0.0, 0.0, 1000.0 * 60e3 * (1 / coins - 1 / (60e3 * later))),
        ),
        ({"kind": "perpetual", "underlying": "XYZ", "funding": 0.1}, (0.0, 1.0, 0.0, 0.0, -0.1 * DAY * 100.0)),
    ]
    found = find(*(row for row, _ in cases))
    for at, (_, want) in enumerate(cases):
        values = [found[name][at] for name in greeks.NAMES]
        np.testing.assert_allclose(values, want, rtol=1e-9, atol=1e-9 * (1 + abs(want[1])))


def test_a_spread_that_stands_at_zero_has_a_delta(find: Any) -> None:
    found = find({"kind": "spot", "underlying": "GAP"}, {"kind": "future", "underlying": "GAP", "years": T, "carry": B})
    np.testing.assert_allclose(found["delta"], [1.0, np.exp(B * T)], rtol=1e-9)


def test_parity_of_greeks(find: Any) -> None:
    strikes = np.linspace(60.0, 150.0, 10)
    rows = [{**TERMS, "option_type": t, "strike": k} for t in ("call", "put") for k in strikes]
    found = {name: values.reshape(2, -1) for name, values in find(*rows).items()}
    spot, bond = np.exp((B - R) * T), np.exp(-R * T)
    forwards = {
        "value": 100.0 * spot - strikes * bond,
        "delta": spot,
        "gamma": 0.0,
        "vega": 0.0,
        "theta": 100.0 * spot * np.expm1((R - B) * DAY) - strikes * bond * np.expm1(R * DAY),
    }
    for name, values in found.items():
        np.testing.assert_allclose(values[0] - values[1], forwards[name], atol=1e-7)
    delta = found["delta"][0]
    assert ((delta > 0) & (delta < spot)).all()
    assert (np.diff(delta) < 0).all()
    assert (found["gamma"] > 0).all()
    assert (found["vega"] > 0).all()


def test_margin_changes_the_value_alone(find: Any) -> None:
    """Without interest a premium in margin is the premium."""
    terms = {**TERMS, "rate": 0.0, "option_type": "call", "strike": 105.0}
    found = find(terms, {**terms, "premium_style": "futures"})
    assert found["value"][1] == 0.0 < found["value"][0]
    for name in ("delta", "gamma", "vega", "theta"):
        assert found[name][1] == pytest.approx(found[name][0], rel=1e-12)


@pytest.mark.parametrize("way", ["up", "down"])
@pytest.mark.parametrize("distance", [0.1, 0.0004, 0.00001])
def test_knocked_in_and_out_are_european(find: Any, way: str, distance: float) -> None:
    """Also with the price less than the largest bump away from the barrier."""
    level = 100.0 * (1 + distance if way == "up" else 1 - distance)
    barred = {**TERMS, "kind": "barrier", "option_type": "call", "strike": 98.0, "barrier": level}
    plain = find({**TERMS, "option_type": "call", "strike": 98.0})
    one, other = find({**barred, "barrier_type": f"{way}_in"}), find({**barred, "barrier_type": f"{way}_out"})
    for name, values in plain.items():
        assert one[name][0] + other[name][0] == pytest.approx(values[0], abs=1e-5)


@pytest.mark.parametrize("distance", [0.05, 0.0008, 0.0002, 0.00005])
def test_the_last_bit_before_a_barrier(find: Any, distance: float) -> None:
    """A down-and-out call without cost of carry, its barrier below the strike: by the reflection principle."""
    level, strike = 100.0 * (1 - distance), 101.0

    def value(s: Any, v: Any, passed: float) -> Any:
        deviation = v * np.sqrt(T - passed)
        return black(s, strike, deviation, 1.0) - s / level * black(level**2 / s, strike, deviation, 1.0)

    barred = {"kind": "barrier", "option_type": "call", "strike": strike, "barrier": level, "barrier_type": "down_out"}
    found = find({**TERMS, **barred, "rate": 0.0, "carry": 0.0})
    want = expected(value, 100.0)
    want["gamma"] = expected(value, 100.0 * (1 + 1e-9))["gamma"]
    check(found, want, 100.0, V * np.sqrt(T), accuracy=10 * ACCURACY)


def test_touched_barriers_have_the_greeks_of_what_is_left(find: Any) -> None:
    barred = {**TERMS, "kind": "barrier", "option_type": "put", "strike": 98.0, "barrier": 99.0, "rebate": 3.0}
    found = find({**barred, "barrier_type": "up_out"}, {**barred, "barrier_type": "up_in"})
    plain = find({**TERMS, "option_type": "put", "strike": 98.0})
    for name, values in plain.items():
        assert found[name][0] == (3.0 if name == "value" else 0.0)
        assert found[name][1] == pytest.approx(values[0], rel=1e-6)


def test_an_average_of_one_fixing_is_a_price(find: Any, market: Market) -> None:
    expiry = str(market.valuation + np.timedelta64(round(T * 365 * 86400e6), "us"))
    for average in ("geometric", "arithmetic"):
        asian = {**TERMS, "kind": "asian", "option_type": "call", "strike": 98.0}
        found = find({**asian, "average": average, "averaging_start": expiry, "fixings": 1})
        plain = find({**TERMS, "option_type": "call", "strike": 98.0})
        for name, values in plain.items():
            assert found[name][0] == pytest.approx(values[0], rel=1e-5)


def test_american_options_at_their_limits(find: Any) -> None:
    american = {**TERMS, "exercise": "american"}
    held, plain = {**american, "option_type": "call", "strike": 100.0, "carry": 0.05}, {"exercise": "european"}
    found = find(held, {**held, **plain})
    for values in found.values():  # never exercised
        assert values[0] == pytest.approx(values[1], rel=1e-9)
    found = find({**american, "option_type": "put", "strike": 300.0})  # exercised now
    assert [found[name][0] for name in greeks.NAMES] == pytest.approx([200.0, -1.0, 0.0, 0.0, 0.0], abs=1e-7)
    strikes = np.linspace(80, 125, 10)
    found = find(*({**american, "option_type": "put", "strike": k} for k in strikes))
    assert ((found["delta"] > -1) & (found["delta"] < 0)).all()
    assert (np.diff(found["delta"]) < 0).all()
    assert (found["gamma"] > 0).all()


@pytest.mark.parametrize("style", ["european", "american"])
def test_a_day_that_ends_the_life_of_an_option(find: Any, style: str) -> None:
    found = find({**TERMS, "option_type": "put", "strike": 101.0, "years": 0.5 * DAY, "exercise": style})
    assert found["theta"][0] == pytest.approx(1.0 - found["value"][0], rel=1e-12)


# QuantLib.


@pytest.fixture(scope="module")
def ql() -> Any:
    return oracle.quantlib()


class Process:
    """A QuantLib process on quotes that can be moved, and options on it that expire in `days`."""

    def __init__(self, ql: Any, days: int, rate: float, carry: float) -> None:
        self.ql, self.today = ql, ql.Date(2, 1, 2026)
        self.spot, self.volatility = ql.SimpleQuote(100.0), ql.SimpleQuote(V)
        count, self.expiry = ql.Actual365Fixed(), self.today + days
        ql.Settings.instance().evaluationDate = self.today
        curves = (
            ql.YieldTermStructureHandle(ql.FlatForward(0, ql.NullCalendar(), level, count))
            for level in (rate - carry, rate)
        )
        surface = ql.BlackConstantVol(0, ql.NullCalendar(), ql.QuoteHandle(self.volatility), count)
        self.process = ql.BlackScholesMertonProcess(
            ql.QuoteHandle(self.spot), *curves, ql.BlackVolTermStructureHandle(surface)
        )

    def greeks(self, option: Any) -> dict[str, float]:
        """By differences of fourth order; theta by the value a day later."""

        def at(spot: float, volatility: float, days: int = 0) -> float:
            self.spot.setValue(spot)
            self.volatility.setValue(volatility)
            self.ql.Settings.instance().evaluationDate = self.today + days
            return float(option.NPV())

        h, v = 0.05, 1e-3
        s = [at(100.0 + k * h, V) for k in (-2, -1, 0, 1, 2)]
        u = [at(100.0, V + k * v) for k in (-2, -1, 1, 2)]
        later = at(100.0, V, 1)
        at(100.0, V)
        return {
            "value": s[2],
            "delta": (s[0] - 8 * s[1] + 8 * s[3] - s[4]) / (12 * h),
            "gamma": (-s[0] + 16 * s[1] - 30 * s[2] + 16 * s[3] - s[4]) / (12 * h**2),
            "vega": (u[0] - 8 * u[1] + 8 * u[2] - u[3]) / (12 * v),
            "theta": later - s[2],
        }


@EACH
@pytest.mark.parametrize(("rate", "carry"), [(0.05, 0.01), (0.02, -0.05), (0.0, -0.03)])
@pytest.mark.parametrize("days", [9, 180, 900])
def test_american_options_against_quantlib(
    ql: Any, find: Any, kind: str, w: float, rate: float, carry: float, days: int
) -> None:
    process = Process(ql, days, rate, carry)
    scheme = ql.QdFpAmericanEngine.highPrecisionScheme()
    deviation = V * np.sqrt(days / 365)
    for distance in (-0.8, 0.0, 0.8):
        strike = round(100.0 * np.exp(distance * deviation), 2)
        payoff = ql.PlainVanillaPayoff(ql.Option.Call if w > 0 else ql.Option.Put, strike)
        option = ql.VanillaOption(payoff, ql.AmericanExercise(process.today, process.expiry))
        option.setPricingEngine(ql.QdFpAmericanEngine(process.process, scheme))
        terms = {**TERMS, "option_type": kind, "strike": strike, "exercise": "american"}
        found = find({**terms, "years": days / 365, "rate": rate, "carry": carry})
        want = process.greeks(option)
        at_once = want["value"] == pytest.approx(w * (100.0 - strike), abs=2e-3)
        smooth = {name: x for name, x in want.items() if name != "gamma" or not at_once}
        check(found, smooth, 100.0, deviation, accuracy=2e-5, of_value=5e-8)


@EACH
@pytest.mark.parametrize(("way", "level"), [("up_in", 108), ("up_out", 108), ("down_in", 94), ("down_out", 94)])
def test_barrier_options_against_quantlib(ql: Any, find: Any, kind: str, w: float, way: str, level: float) -> None:
    process = Process(ql, 120, R, B)
    which = "".join(part.title() for part in way.split("_"))
    payoff = ql.PlainVanillaPayoff(ql.Option.Call if w > 0 else ql.Option.Put, 99.0)
    option = ql.BarrierOption(getattr(ql.Barrier, which), level, 0.0, payoff, ql.EuropeanExercise(process.expiry))
    option.setPricingEngine(ql.AnalyticBarrierEngine(process.process))
    terms = {**TERMS, "kind": "barrier", "option_type": kind, "strike": 99.0, "years": 120 / 365}
    found = find({**terms, "barrier_type": way, "barrier": level})
    check(found, process.greeks(option), 100.0, V * np.sqrt(120 / 365))


@EACH
@pytest.mark.parametrize("days", [9, 400])
def test_digitals_against_the_greeks_of_quantlib(ql: Any, find: Any, kind: str, w: float, days: int) -> None:
    process = Process(ql, days, R, B)
    payoff = ql.CashOrNothingPayoff(ql.Option.Call if w > 0 else ql.Option.Put, 102.0, 100.0)
    option = ql.VanillaOption(payoff, ql.EuropeanExercise(process.expiry))
    option.setPricingEngine(ql.AnalyticEuropeanEngine(process.process))
    found = find({**TERMS, "kind": "digital", "option_type": kind, "strike": 102.0, "cash": 100.0, "years": days / 365})
    want = {name: getattr(option, method)() for name, method in
            (("value", "NPV"), ("delta", "delta"), ("gamma", "gamma"), ("vega", "vega"))}  # fmt: skip
    deviation = V * np.sqrt(days / 365)
    check(found, want, 100.0, deviation, accuracy=ACCURACY / deviation)


# The job.


def test_every_instrument_has_greeks(every_market: Market, every_book: Book) -> None:
    found = greeks.run(every_market, every_book)
    assert set(found.instrument) == set(greeks.NAMES)
    zero = every_book.instruments.margined
    assert (found.instrument["value"][zero] == 0).all()
    assert (np.abs(found.instrument["delta"][zero]) > 0).any()


def test_accounts_are_sums_by_underlying(market: Market, make_book: Callable[..., Book]) -> None:
    rows = [
        {**TERMS, "instrument": "C", "option_type": "call", "strike": 100.0},
        {**TERMS, "instrument": "P", "option_type": "put", "strike": 90.0},
        {"instrument": "D", "kind": "spot", "underlying": "DAX"},
        {"instrument": "M", "kind": "cash", "settlement_currency": "EUR"},
    ]
    positions = [("one", "C", 2.0), ("one", "P", -3.0), ("one", "D", 4.0), ("two", "C", 5.0), ("two", "M", 10.0)]
    accounts = [{"account": "one", "parent": "all"}, {"account": "two", "parent": "all", "currency": "EUR"}]
    book = make_book(market, rows, positions, accounts)
    found = greeks.run(market, book)
    at = {name: k for k, name in enumerate(book.instruments.name)}
    held = {
        ("one", "XYZ"): {"C": 2.0, "P": -3.0}, ("one", "DAX"): {"D": 4.0}, ("two", "XYZ"): {"C": 5.0},
        ("two", ""): {"M": 10.0}, ("all", "XYZ"): {"C": 7.0, "P": -3.0}, ("all", "DAX"): {"D": 4.0},
        ("all", ""): {"M": 10.0}, ("*", "XYZ"): {"C": 7.0, "P": -3.0}, ("*", "DAX"): {"D": 4.0}, ("*", ""): {"M": 10.0},
    }  # fmt: skip
    keys = list(zip(found.row, found.underlying, strict=True))
    assert sorted(keys) == sorted(held)
    for name in greeks.NAMES:
        want = [sum(q * found.instrument[name][at[i]] for i, q in held[key].items()) for key in keys]
        np.testing.assert_allclose(found.account[name], want, rtol=1e-13)


def test_what_has_no_finite_greeks_is_named(
    market: Market, make_book: Callable[..., Book], monkeypatch: pytest.MonkeyPatch
) -> None:
    book = make_book(market, [{"instrument": "S", "kind": "spot", "underlying": "XYZ"}], [("A", "S", 1.0)])
    monkeypatch.setattr(greeks, "sensitivities", lambda market, i: {n: np.array([np.nan]) for n in greeks.NAMES})
    with pytest.raises(McvarError, match="1 instruments have no finite sensitivities: S"):
        greeks.run(market, book)


def test_the_job_writes_tables_of_the_sample(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, run: Callable[..., int], capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.chdir(tmp_path)
    assert run("job=greeks", "hydra.run.dir=G") == 0
    assert "Sensitivities at" in capsys.readouterr().out
    report = mcvar.find_greeks(Config(job=c.GreeksJob()))
    table, accounts = pq.read_table("G/greeks.parquet"), pq.read_table("G/account_greeks.parquet")
    assert table.column_names == ["instrument", "value", "delta", "gamma", "vega", "theta"]
    assert table.equals(report.instruments())
    assert accounts.column_names == ["account", "underlying", "value", "delta", "gamma", "vega", "theta"]
    assert accounts.equals(report.accounts())
    total = report.book.quantity @ table.column("value").to_numpy()
    by_row = dict.fromkeys(report.book.row, 0.0)
    for name, value in zip(accounts.column("account").to_pylist(), accounts.column("value").to_pylist(), strict=True):
        by_row[name] += value
    np.testing.assert_allclose(list(by_row.values()), total, rtol=1e-9, atol=1e-6)
    record = json.loads(Path("G/run.json").read_text())
    assert record["job"] == "greeks"
    assert record["instruments"] == table.num_rows
    assert record["configuration_sha256"] == report.record["configuration_sha256"]
