"""The sample: real market histories, a synthetic grid of listed contracts, and synthetic accounts.

Real are the daily closes that ship with the package `arch` (`arch.data`): the S&P 500, the NASDAQ
Composite, the spot price of WTI crude oil in Cushing (FRED DCOILWTICO, USD a barrel) and the VIX.
The S&P 500's volatility is the VIX; the other two volatilities are proxies, see `sample_history`.
Synthetic are the contracts (NASDAQ is the Composite, not the NASDAQ-100), the smiles, the holdings.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from functools import reduce
from typing import Any, NamedTuple

import numpy as np
from numpy.random import PCG64, Generator
from numpy.typing import NDArray
from scipy.special import ndtr

from mcvar.columns import Columns, parse_time
from mcvar.errors import SettingError
from mcvar.history import History, read_history
from mcvar.instruments import Instruments, Kind
from mcvar.market import FactorKind, Market
from mcvar.terms import resolve_instruments

Floats = NDArray[np.float64]
Ints = NDArray[np.int64]
Row = tuple[str | float, ...]
WINDOW = 63  # returns in a realised volatility: a quarter of trading days
MEMBERS = 8
SPREAD = 0.8  # standard deviation of the logarithm of a size
QUARTERLY = ("2019-03-15T20:00:00Z", "2019-06-21T20:00:00Z", "2019-12-20T21:00:00Z")  # third Fridays, 16:00 New York
EXPIRIES = ("2019-01-18T21:00:00Z", "2019-02-15T21:00:00Z", *QUARTERLY)
SMILE_LIMIT = 0.4  # the smile stays within 40 % of the volatility at the money


class _Contract(NamedTuple):
    """Terms of what is listed on one underlying; for `skew` see `sample_instruments`."""

    option: float  # multiplier
    future: float  # multiplier
    step: float  # between strikes
    skew: float


_CONTRACTS = {
    "SPX": _Contract(100.0, 50.0, 75.0, 0.25),
    "NASDAQ": _Contract(100.0, 20.0, 200.0, 0.20),
    "WTI": _Contract(1000.0, 1000.0, 1.5, 0.10),
}
_INDICES = ("SPX", "NASDAQ")


def sample_history() -> History:
    """Daily levels of three prices and their volatilities, 2014-01-03 to 2018-12-28.

    `SPX-VOL` is VIX / 100, the implied volatility of the S&P 500 over 30 days. `NASDAQ-VOL` and
    `WTI-VOL` are PROXIES, not quotes: VIX / 100 times the underlying's realised volatility over
    that of the S&P 500. Realised volatility is the root mean square of the last 63 daily log
    returns; the closes before 2014 warm it up. So the three volatilities move together more than
    quoted ones would. Rows are the dates on which all four series have a value; nothing is filled.
    """
    from arch.data import nasdaq, sp500, vix, wti  # slow to import: only who wants the sample waits

    closes = {"SPX": (sp500, "Close"), "NASDAQ": (nasdaq, "Close"), "WTI": (wti, "DCOILWTICO")}
    series = {name: _series(source.load(), column) for name, (source, column) in closes.items()}
    vix_dates, vix_level = _series(vix.load(), "vix")
    price_dates = reduce(np.intersect1d, [dates for dates, _ in series.values()])
    price = np.stack([level[np.isin(dates, price_dates)] for dates, level in series.values()])  # [3, T]
    squares = np.diff(np.log(price)) ** 2
    realised = np.sqrt(np.lib.stride_tricks.sliding_window_view(squares, WINDOW, axis=1).mean(axis=2))
    dates, at, at_vix = np.intersect1d(price_dates[WINDOW:], vix_dates, return_indices=True)
    volatility = vix_level[at_vix] / 100.0 * (realised / realised[0])[:, at]
    names = [*series, *(f"{name}-VOL" for name in series)]
    columns = dict(zip(names, [*price[:, WINDOW:][:, at], *volatility], strict=True))
    return read_history(Columns("sample history (arch.data)", {"date": dates, **columns}))


def sample_factors(history: History, *, rate: float = 0.025, dividend_yield: float = 0.02) -> Columns:
    """Factor table for `market.read_factors`: a price and a 30-day volatility for each underlying.

    Parameters
    ----------
    history : History
        Of `sample_history`: gives the levels; volatilities are left to be estimated from it.
    rate : float
        Annual discount rate, continuous.
    dividend_yield : float
        Of both equity indices; their carry is `rate - dividend_yield`. The carry of WTI is 0.
    """
    level = dict(zip(history.names, history.levels[-1].tolist(), strict=True))
    rows: list[Row] = []
    for name in _CONTRACTS:
        carry = rate - dividend_yield if name in _INDICES else 0.0
        rows.append((name, "price", name, np.nan, level[name], "log", "USD", rate, carry))
    for name in _CONTRACTS:
        rows.append((f"{name}-VOL", "vol", name, 30 / 365, level[f"{name}-VOL"], "log", "", np.nan, np.nan))
    names = ("factor", "kind", "underlying", "tenor", "level", "shock", "currency", "rate", "carry")
    return _table("sample factors", names, rows)


def sample_instruments(market: Market) -> Columns:
    """A synthetic grid of contracts for `book.resolve`: spot, futures, and calls and puts.

    European options expire on five third Fridays of 2019, with strikes on a round ladder from
    80 % to 120 % of spot; futures have the three quarterly dates. The smile is synthetic,

        sigma(K) = sigma_atm (1 - c tanh(skew ln(K / F) / (c sqrt(T)))),  c = 0.4,

    with sigma_atm the 30-day level of the market for every expiry T: no term structure.
    """
    rows: list[Row] = []
    for name, terms in _CONTRACTS.items():
        at = market.price_factor()[name]
        spot, carry = market.factors.level[at], market.factors.carry[at]
        atm = market.factors.level[market.factors.pillars(FactorKind.vol, name)[0]]
        rows.append((f"{name}-SPOT", "spot", name, "", np.nan, "", 1.0, np.nan))
        for day in QUARTERLY:
            rows.append((f"{name}-{day[:10]}-F", "future", name, "", np.nan, day, terms.future, np.nan))
        strikes = terms.step * np.arange(np.ceil(0.8 * spot / terms.step), np.floor(1.2 * spot / terms.step) + 1)
        for day in EXPIRIES:
            years = float(market.years_to(np.array([parse_time(day)]))[0])
            moneyness = np.log(strikes / (spot * np.exp(carry * years))) / np.sqrt(years)
            smile = atm * (1.0 - SMILE_LIMIT * np.tanh(terms.skew * moneyness / SMILE_LIMIT))
            for strike, volatility in zip(strikes.tolist(), smile.tolist(), strict=True):
                title = f"{name}-{day[:10]}-{strike:g}"
                rows.append((f"{title}-C", "option", name, "call", strike, day, terms.option, volatility))
                rows.append((f"{title}-P", "option", name, "put", strike, day, terms.option, volatility))
    names = ("instrument", "kind", "underlying", "option_type", "strike", "expiry", "multiplier", "volatility")
    return _table("sample instruments", names, rows)


def sample_positions(
    market: Market, instruments: Columns, accounts: int = 200, seed: int = 20181228
) -> tuple[Columns, Columns]:
    """Synthetic accounts of seven kinds in turn, and their positions in whole contracts.

    Nobody held these positions: quantities are drawn from `numpy.random.PCG64(seed)`, sizes
    log-normal. Accounts are named by kind (`covered-call-007`) and belong to up to 8 members, who
    come on top of `accounts`. The first n accounts of a seed are the same however many follow.

    Returns
    -------
    positions, accounts : Columns
        `account, instrument, quantity` and `account, parent, kind`; the kind of members is `member`.

    Raises
    ------
    SettingError
        Fewer than one account, or a negative seed.
    """
    for setting, value, least in (("accounts", accounts, 1), ("seed", seed, 0)):
        if value < least:
            raise SettingError(f"book.{setting} is {value}: it must be at least {least}")
    resolved = resolve_instruments(instruments, market)
    chains, kinds = _chains(market, resolved), list(_KINDS)
    rng = Generator(PCG64(seed))
    positions: list[Row] = []
    books: list[Row] = []
    for account in range(accounts):
        kind = kinds[account % len(kinds)]
        name = f"{kind.replace('_', '-')}-{account // len(kinds) + 1:03d}"
        books.append((name, f"member-{account % MEMBERS + 1}", kind))
        legs = _KINDS[kind](rng, _contracts(rng, 10), chains[str(rng.choice(list(chains)))], chains)
        positions += [(name, resolved.name[at], float(quantity)) for at, quantity in legs]
    books += [(f"member-{member + 1}", "", "member") for member in range(min(accounts, MEMBERS))]
    return (
        _table("sample positions", ("account", "instrument", "quantity"), positions),
        _table("sample accounts", ("account", "parent", "kind"), books),
    )


class _Chain(NamedTuple):
    """What is listed on one underlying: indices of instruments, futures [Q], calls and puts [E, K]."""

    spot: int
    futures: Ints
    calls: Ints
    puts: Ints
    money: int  # the strike nearest to spot, in [0, K)
    multiplier: float  # of its options
    delta: Floats  # of all instruments [I], see `_delta`


def _chains(market: Market, instruments: Instruments) -> dict[str, _Chain]:
    order, delta = np.lexsort((instruments.strike, instruments.years)), _delta(market, instruments)
    kind, sign, chains = instruments.kind[order], instruments.sign[order], {}
    for name in _CONTRACTS:
        factor = market.price_factor()[name]
        own = instruments.underlying[order] == factor
        spot, futures = int(order[own & (kind == Kind.spot)][0]), order[own & (kind == Kind.future)]
        calls, puts = (order[own & (sign == s)].reshape(len(EXPIRIES), -1) for s in (1, -1))
        money = int(np.abs(instruments.strike[calls[0]] - market.factors.level[factor]).argmin())
        chains[name] = _Chain(spot, futures, calls, puts, money, instruments.multiplier[calls[0, 0]], delta)
    return chains


def _delta(market: Market, instruments: Instruments) -> Floats:
    """S dV/dS of one contract at fixed volatility (Black 1976), multiplier included, [I]."""
    years = np.where(np.isfinite(instruments.years), instruments.years, 0.0)
    forward = market.factors.level[instruments.underlying] * np.exp(instruments.carry * years)
    deviation = instruments.volatility * np.sqrt(years)
    d1 = np.log(forward / instruments.strike) / deviation + 0.5 * deviation
    option = instruments.sign * ndtr(instruments.sign * d1) * np.exp(-instruments.rate * years)
    return np.asarray(instruments.multiplier * forward * np.where(instruments.sign == 0, 1.0, option))


Legs = list[tuple[int, float]]  # (instrument, contracts)
_Chains = Mapping[str, _Chain]


def _covered_call(rng: Generator, size: int, chain: _Chain, chains: _Chains) -> Legs:
    """Long the underlying, short as many calls on it, at or above the money."""
    call = chain.calls[rng.integers(3), chain.money + rng.integers(4)]
    return [(chain.spot, size * chain.multiplier), (call, -size)]


def _short_straddle(rng: Generator, size: int, chain: _Chain, chains: _Chains) -> Legs:
    """Short a call and a put at the money, in one of the two front months."""
    month = rng.integers(2)
    return [(chain.calls[month, chain.money], -size), (chain.puts[month, chain.money], -size)]


def _put_spread(rng: Generator, size: int, chain: _Chain, chains: _Chains) -> Legs:
    """Long a put near the money and short one further below it, or the reverse."""
    row, upper, width = rng.choice(chain.puts), chain.money - rng.integers(2), 1 + rng.integers(4)
    size *= rng.choice((-1, 1))
    return [(row[upper], size), (row[upper - width], -size)]


def _butterfly(rng: Generator, size: int, chain: _Chain, chains: _Chains) -> Legs:
    """Long two wings and short two bodies of calls, or the reverse."""
    row, body, width = rng.choice(chain.calls), chain.money + rng.integers(-1, 2), 1 + rng.integers(3)
    size *= rng.choice((-1, 1))
    return [(row[body - width], size), (row[body], -2 * size), (row[body + width], size)]


def _market_maker(rng: Generator, size: int, chain: _Chain, chains: _Chains) -> Legs:
    """Long and short 30 to 60 options of a chain, hedged to zero delta with its front future."""
    options = rng.choice(np.concatenate([chain.calls.ravel(), chain.puts.ravel()]), rng.integers(30, 61), replace=False)
    quantity = rng.choice((-1, 1), len(options)) * np.ceil(size * rng.lognormal(0.0, SPREAD, len(options)))
    hedge = -np.rint(quantity @ chain.delta[options] / chain.delta[chain.futures[0]])
    return [*zip(options, quantity, strict=True), (chain.futures[0], hedge)]


def _futures_spread(rng: Generator, size: int, chain: _Chain, chains: _Chains) -> Legs:
    """Long one index's front future, short the other's for the same money; behind it a calendar spread."""
    first, second = (chains[str(name)].futures for name in rng.permutation(_INDICES))
    against = max(1.0, np.rint(size * chain.delta[first[0]] / chain.delta[second[0]]))
    calendar = rng.choice((-1, 1)) * _contracts(rng, size)
    return [(first[0], size), (second[0], -against), (first[1], calendar), (first[2], -calendar)]


def _directional(rng: Generator, size: int, chain: _Chain, chains: _Chains) -> Legs:
    """A bull (long future, long call, short put) or a bear (the reverse)."""
    sign, expiry = rng.choice((-1, 1)), rng.integers(len(EXPIRIES))
    call, put = chain.calls[expiry, chain.money + 1], chain.puts[expiry, chain.money - 1]
    return [(chain.futures[0], sign * size), (call, sign * _contracts(rng, size)), (put, -sign * _contracts(rng, size))]


def _contracts(rng: Generator, median: float) -> int:
    return int(np.ceil(median * rng.lognormal(0.0, SPREAD)))


_KINDS: dict[str, Callable[[Generator, int, _Chain, _Chains], Legs]] = {
    "covered_call": _covered_call, "short_straddle": _short_straddle, "put_spread": _put_spread,
    "butterfly": _butterfly, "market_maker": _market_maker, "futures_spread": _futures_spread,
    "directional": _directional,
}  # fmt: skip


def _series(table: Any, column: str) -> tuple[NDArray[np.datetime64], Floats]:
    """Dates and values of one column of a pandas frame, without missing values."""
    dates, values = np.asarray(table.index, dtype="datetime64[D]"), np.asarray(table[column], dtype=np.float64)
    return dates[np.isfinite(values)], values[np.isfinite(values)]


def _table(source: str, names: Sequence[str], rows: Sequence[Row]) -> Columns:
    return Columns.from_mapping(source, dict(zip(names, zip(*rows, strict=True), strict=True)))
