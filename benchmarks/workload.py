"""The book that the benchmarks value: European options on a few underlyings, volatility moving with the scenario.

One price and one volatility factor a pillar for each underlying; a ladder of strikes at each expiry;
accounts of random positions. Everything here runs on numpy, scipy and the core of mcvar alone.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from mcvar import book, correlation, market
from mcvar.book import Book
from mcvar.columns import Columns
from mcvar.engines import Engine
from mcvar.market import FactorKind, Market
from mcvar.models import Gaussian
from mcvar.pillars import pillar_weights
from mcvar.pricing.black import black76
from mcvar.scenarios import Scenarios, Simulated

Floats = NDArray[np.float64]
Ints = NDArray[np.int64]

VALUATION = np.datetime64("2026-01-02", "us")
YEARS = 10 / 365  # the horizon
RATE = 0.03
LEVEL, VOLATILITY, VOLATILITY_OF_VOLATILITY = 100.0, 0.2, 0.8
CHECKED = 64  # scenarios


def make_market(
    underlyings: int = 10, pillars: Sequence[float] = (0.08, 0.25, 0.5, 1.0), correlation: float = 0.3
) -> Market:
    """Underlyings at 100, volatility 20 %, each with a volatility factor a pillar.

    Parameters
    ----------
    underlyings : int
    pillars : sequence of float
        Tenors of the volatility factors, years.
    correlation : float
        Of any two factors.
    """
    rows = [
        row
        for u in range(underlyings)
        for row in (
            (f"U{u}", "price", f"U{u}", np.nan, LEVEL, VOLATILITY),
            *((f"U{u}-VOL-{t}", "vol", f"U{u}", t, VOLATILITY, VOLATILITY_OF_VOLATILITY) for t in pillars),
        )
    ]
    names = ("factor", "kind", "underlying", "tenor", "level", "volatility")
    columns = dict(zip(names, map(list, zip(*rows, strict=True)), strict=True))
    read, volatility = market.read_factors(Columns.from_mapping("factors", columns))
    return market.build(
        factors=read,
        volatility=volatility,
        estimate=_constant(len(read), correlation),
        valuation=VALUATION,
        currency="USD",
    )


def make_book(
    market: Market,
    options: int,
    accounts: int,
    positions: int = 20,
    expiries: Sequence[int] = (30, 90, 180, 365),
    pairs: bool = True,
) -> Book:
    """Options on a grid of strikes and expiries, and accounts of random positions in them.

    Every option is held if `accounts * positions >= options`; the others are left out of the book.

    Parameters
    ----------
    market : Market
    options, accounts : int
    positions : int
        Of each account.
    expiries : sequence of int
        Days.
    pairs : bool
        A call and a put at each strike, as exchanges list them. Otherwise one option a strike, a
        call and a put in turn, so that no two options are linked by put-call parity.
    """
    sides = ("call", "put")
    owners = [market.factors.underlying[f] for f in market.factors.of_kind(FactorKind.price)]
    cells = [(owner, days) for owner in owners for days in expiries]
    if pairs and options % 2:
        raise ValueError(f"{options} options are not pairs of a call and a put")
    strikes, extra = divmod(options // 2 if pairs else options, len(cells))
    rows = [
        (owner, days, strike, side)
        for c, (owner, days) in enumerate(cells)
        for k, strike in enumerate(np.linspace(70, 130, strikes + (c < extra)).tolist())
        for side in (sides if pairs else sides[k % 2 : k % 2 + 1])
    ]
    expiry = {days: str(VALUATION + np.timedelta64(days, "D")) for days in expiries}
    name = [f"{u}-{d}-{k:.4f}-{s}" for u, d, k, s in rows]
    instruments = Columns.of(
        "instruments",
        instrument=name,
        kind=["option"] * len(rows),
        underlying=[row[0] for row in rows],
        expiry=[expiry[row[1]] for row in rows],
        strike=[row[2] for row in rows],
        option_type=[row[3] for row in rows],
        rate=[RATE] * len(rows),
    )
    generator = np.random.default_rng(1)
    held = generator.permutation(np.arange(accounts * positions) % len(rows))
    table = Columns.of(
        "positions",
        account=[f"A{i // positions}" for i in range(len(held))],
        instrument=[name[i] for i in held.tolist()],
        quantity=generator.integers(1, 50, len(held)) * generator.choice([-1.0, 1.0], len(held)),
    )
    return book.resolve(instruments, table, market)


def make_scenarios(market: Market, count: int, seed: int = 1) -> Simulated:
    """Gaussian moves over `YEARS` without drift."""
    return Simulated(Gaussian().law(market, YEARS, np.zeros(len(market.factors))), count, seed)


@dataclass(frozen=True)
class Cells:
    """What any tool needs to value the book's options by Black's formula at the horizon.

    In a scenario with moves x, option i on the smile slice g = group[i] has

        forward   = forward[i] * exp(x[underlying[i]])
        deviation = deviation[i] * exp(weights[g] @ x)
        value     = discount[i] * black76(forward, strike[i], deviation, sign[i])

    and P&L = quantity @ (value - value_0).

    Parameters
    ----------
    underlying : ndarray [I]
        Price factor.
    group : ndarray [I]
        Pairs of an underlying and an expiry, numbered.
    weights : ndarray [G, F]
        Of the volatility factors.
    forward, strike, deviation, sign, discount, value_0 : ndarray [I]
        `discount` includes the multiplier.
    """

    underlying: Ints
    group: Ints
    weights: Floats
    forward: Floats
    strike: Floats
    deviation: Floats
    sign: Floats
    discount: Floats
    value_0: Floats

    @classmethod
    def of(cls, market: Market, book: Book, years: float = YEARS) -> Cells:
        """The options of a book, `years` after valuation."""
        i, factors = book.instruments, market.factors
        slices, group = np.unique(np.column_stack([i.underlying, i.years]), axis=0, return_inverse=True)
        weights = np.zeros((len(slices), len(factors)))
        for g, (u, expiry) in enumerate(slices):
            pillars = factors.pillars(FactorKind.vol, factors.underlying[int(u)])
            weights[g, pillars] = pillar_weights(factors.tenor[pillars], expiry, root=True)
        left, spot = i.years - years, factors.level[i.underlying]
        today = black76(spot * np.exp(i.carry * i.years), i.strike, i.volatility * np.sqrt(i.years), i.sign)
        return cls(
            underlying=i.underlying,
            group=group.reshape(-1),
            weights=weights,
            forward=spot * np.exp(i.carry * left),
            strike=i.strike,
            deviation=i.volatility * np.sqrt(left),
            sign=i.sign,
            discount=i.multiplier * np.exp(-i.rate * left),
            value_0=i.multiplier * np.exp(-i.rate * i.years) * today,
        )


def difference(pnl: NDArray[np.floating], market: Market, book: Book, moves: Floats, years: float = YEARS) -> float:
    """Largest difference, relative to gross value, of P&L [R, n] from Black's formula applied cell by cell.

    Takes nothing from `Cells` or from an engine, so that it can find their mistakes.

    Parameters
    ----------
    pnl : ndarray [R, n]
    market, book : Market, Book
        Of options.
    moves : ndarray [F, n]
    years : float
        Time decay.
    """
    i, factors = book.instruments, market.factors
    value, worth = np.empty((len(i), moves.shape[1])), np.empty(len(i))
    for u, expiry in {*zip(i.underlying.tolist(), i.years.tolist(), strict=True)}:
        at = np.flatnonzero((i.underlying == u) & (i.years == expiry))
        strike, sign, volatility, rate = (c[at, None] for c in (i.strike, i.sign, i.volatility, i.rate))
        carry, multiplier, left = i.carry[at, None], i.multiplier[at, None], expiry - years
        pillars = factors.pillars(FactorKind.vol, factors.underlying[u])
        roots = np.sqrt(factors.tenor[pillars])
        shift = np.array([np.interp(np.sqrt(expiry), roots, x) for x in moves[pillars].T])
        forward = factors.level[u] * np.exp(moves[u] + carry * left)
        price = black76(forward, strike, volatility * np.exp(shift) * np.sqrt(left), sign)
        today = black76(factors.level[u] * np.exp(carry * expiry), strike, volatility * np.sqrt(expiry), sign)
        before = multiplier * np.exp(-rate * expiry) * today
        value[at] = multiplier * np.exp(-rate * left) * price - before
        worth[at] = before[:, 0]
    expected, gross = book.quantity @ value, abs(book.quantity) @ worth
    return float((np.abs(pnl - expected) / gross[:, None]).max())


def check(engine: Engine, market: Market, book: Book, scenarios: Scenarios, years: float = YEARS) -> float:
    """`difference` of an engine in its first scenarios."""
    count = min(CHECKED, scenarios.count)
    return difference(engine.pnl(0, count), market, book, scenarios.moves(0, 1024)[:, :count], years)


def _constant(factors: int, value: float) -> correlation.Estimate:
    return correlation.positive(correlation.constant(factors, value))
