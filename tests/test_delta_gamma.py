from __future__ import annotations

from collections.abc import Callable

import numpy as np
import pytest
from numpy.typing import NDArray

from mcvar.book import Book
from mcvar.engines import Device, Launcher, Reference
from mcvar.errors import CapacityError, SettingError
from mcvar.market import Market
from mcvar.pricing.black import black76
from mcvar.reduction import delta_gamma
from mcvar.reduction.delta_gamma import Expansion, best, expand, refitted
from mcvar.scenarios import Explicit

Floats = NDArray[np.float64]
Make = Callable[[Explicit], Reference]
OPTION = {"kind": "option", "underlying": "S", "option_type": "call", "strike": 100.0, "volatility": 0.3}
DECAY = 0.04


@pytest.fixture(scope="module")
def simple(make_market: Callable[..., Market], make_book: Callable[..., Book]) -> tuple[Market, Book]:
    """Prices with simple shocks, one of them quoted in a currency that moves too: bilinear P&L."""
    market = make_market(
        [
            {"factor": "S", "level": 100.0, "shock": "simple"},
            {"factor": "EUR", "level": 1.25, "shock": "simple"},
            {"factor": "DAX", "level": 40.0, "shock": "simple", "currency": "EUR"},
        ]
    )
    rows = [{"instrument": name, "kind": "spot", "underlying": name} for name in ("S", "EUR", "DAX")]
    held = [("one", "S", 3.0), ("two", "DAX", 2.0), ("two", "EUR", -7.0)]
    return market, make_book(market, rows, held)


@pytest.fixture(scope="module")
def option(make_market: Callable[..., Market], make_book: Callable[..., Book]) -> tuple[Market, Book]:
    market = make_market([{"factor": "S", "level": 100.0}, {"factor": "V", "level": 50.0, "volatility": 0.5}])
    rows = [
        {**OPTION, "instrument": "C", "years": 0.5},
        {**OPTION, "instrument": "SOON", "years": 0.02},
        {"instrument": "V", "kind": "spot", "underlying": "V"},
    ]
    return market, make_book(market, rows, [("A", "C", 10.0), ("B", "SOON", 10.0), ("C", "V", 1.0), ("A", "V", 1.0)])


def call(forward: float, years: float) -> float:
    one = np.ones(1)
    return float(black76(forward * one, 100.0 * one, 0.3 * np.sqrt(years) * one, one)[0])


def engine(case: tuple[Market, Book], decay: float = DECAY) -> Make:
    return lambda given: Reference(*case, given, decay)


@pytest.mark.parametrize("bump", [0.5, 2.5])
def test_a_quadratic_is_found_as_it_is(simple: tuple[Market, Book], bump: float) -> None:
    found = expand(engine(simple), np.array([0.02, 0.01, 0.03]), bump=bump)
    np.testing.assert_allclose(found.constant, 0.0, atol=1e-12)
    np.testing.assert_allclose(found.delta[:2], [[300, 0, 0], [0, -8.75 + 100, 100]], atol=1e-9)
    whole = np.zeros((3, 3))
    whole[1, 2] = whole[2, 1] = 100.0  # 2 x 40 x 1.25
    np.testing.assert_allclose(found.gamma_of(1), whole, atol=1e-7)
    np.testing.assert_allclose(found.gamma_of(0), 0.0, atol=1e-7)
    pairs = {tuple(pair) for pair in found.pair.tolist()}
    assert (1, 2) in pairs
    assert not pairs & {(0, 1), (0, 2)}  # nobody's P&L has these
    moves = np.random.default_rng(1).normal(size=(3, 7)) * 0.05
    np.testing.assert_allclose(found(moves), engine(simple)(Explicit(moves)).pnl(0, 7), rtol=0, atol=1e-9)


def test_small_bumps_give_the_derivatives_at_the_horizon(option: tuple[Market, Book]) -> None:
    found = expand(engine(option), np.array([0.06, 0.1]), bump=0.02)

    def value(x: float, years: float) -> float:
        return call(100.0 * np.exp(x), years)

    h = 1e-3
    still, up, down = value(0, 0.46), value(h, 0.46), value(-h, 0.46)
    assert found.constant[0] == pytest.approx(10 * (still - value(0, 0.5)), rel=1e-9)  # time has passed
    assert found.delta[0, 0] == pytest.approx(10 * (up - down) / (2 * h), rel=1e-4)
    assert found.gamma_of(0)[0, 0] == pytest.approx(10 * (up - 2 * still + down) / h**2, rel=1e-3)
    assert found.delta[0, 1] == pytest.approx(50.0, rel=1e-6)
    assert found.gamma_of(0)[0, 1] == 0.0


def test_what_settles_inside_the_horizon_settles(option: tuple[Market, Book]) -> None:
    found = expand(engine(option), np.array([0.06, 0.0]), bump=1.0)
    assert found.constant[1] == pytest.approx(-10 * call(100.0, 0.02), rel=1e-6)
    up = 1000 * np.expm1(0.06)  # one side of the payoff
    assert found.delta[1, 0] == pytest.approx(up / 0.12)
    assert found.gamma_of(1)[0, 0] == pytest.approx(up / 0.06**2)


def test_factors_that_stand_still_have_no_part(option: tuple[Market, Book]) -> None:
    found = expand(engine(option), np.array([0.06, 0.0]))
    assert (found.delta[:, 1] == 0).all()
    assert set(found.pair.ravel().tolist()) == {0}
    nothing = expand(engine(option), np.zeros(2))
    assert nothing.gamma.shape == (4, 0)
    assert (nothing.delta == 0).all()
    assert nothing(np.ones((2, 3))).tolist() == np.tile(nothing.constant[:, None], 3).tolist()


def test_any_chunks_give_the_same(simple: tuple[Market, Book], monkeypatch: pytest.MonkeyPatch) -> None:
    deviation = np.array([0.02, 0.01, 0.03])
    whole = expand(engine(simple), deviation)
    monkeypatch.setattr(delta_gamma, "_CELLS", 1)
    parts = expand(engine(simple), deviation)
    for row in range(3):
        np.testing.assert_array_equal(whole.gamma_of(row), parts.gamma_of(row))


def test_the_kernels_give_the_same(option: tuple[Market, Book], launcher: Callable[..., Launcher]) -> None:
    native = launcher("native")
    deviation = np.array([0.06, 0.1])
    one = expand(engine(option), deviation)
    other = expand(lambda given: Device(*option, given, DECAY, launcher=native), deviation)
    np.testing.assert_allclose(other.delta, one.delta, rtol=1e-9, atol=1e-9)
    moves = np.array([[0.05, -0.1], [0.2, 0.1]])
    np.testing.assert_allclose(other(moves), one(moves), rtol=1e-9)


def test_limits(option: tuple[Market, Book], monkeypatch: pytest.MonkeyPatch) -> None:
    with pytest.raises(SettingError, match="bump is 0"):
        expand(engine(option), np.array([0.06, 0.1]), bump=0.0)
    monkeypatch.setattr(delta_gamma, "LARGEST", 11)
    with pytest.raises(CapacityError, match=r"4 rows in 2 factors has 12 cross terms.*take fewer rows"):
        expand(engine(option), np.array([0.06, 0.1]))


def test_rows_are_taken_and_combined() -> None:
    pair = np.array([[0, 0], [0, 1]])
    two = Expansion(np.array([1.0, 2.0]), np.array([[1.0, 0.0], [0.0, 5.0]]), pair, np.array([[2.0, 1.0], [0.0, 3.0]]))
    x = np.random.default_rng(0).normal(size=(2, 6))
    np.testing.assert_allclose(two.take(np.array([1]))(x), two(x)[1:])
    np.testing.assert_allclose(two.loss(x), -two(x))
    np.testing.assert_allclose(two.combined(np.array([2.0, -1.0]))(x)[0], 2 * two(x)[0] - two(x)[1])
    by_hand = 2.0 + x.T @ two.delta[1] + 0.5 * np.einsum("in,ij,jn->n", x, two.gamma_of(1), x)
    np.testing.assert_allclose(two(x)[1], by_hand)


def test_each_row_takes_the_expansion_that_tells_its_worst() -> None:
    x = np.random.default_rng(2).normal(size=(2, 1000))
    none = np.zeros((2, 0))
    first = Expansion(np.zeros(2), np.array([[1.0, 0.0], [1.0, 0.0]]), np.zeros((0, 2), dtype=np.int64), none)
    second = Expansion(np.ones(2), np.zeros((2, 2)), np.array([[1, 1]]), np.array([[-1.0], [-1.0]]))
    pnl = np.stack([x[0] + 0.1 * x[1], 0.1 * x[0] - x[1] ** 2])
    chosen = best([first, second], x, pnl, 0.95)
    np.testing.assert_allclose(chosen(x)[0], first(x)[0])
    np.testing.assert_allclose(chosen(x)[1], second(x)[1])
    assert best([first, first], x, pnl, 0.95).constant.tolist() == [0.0, 0.0]


def test_a_fit_follows_the_losses_around_var() -> None:
    x = np.random.default_rng(3).normal(size=(2, 20_000)) * [[0.05], [0.2]]
    known = np.array([[0, 0], [0, 1], [1, 1]])
    start = Expansion(np.zeros(3), np.array([[40.0, 10.0], [40.0, 0.0], [0.0, 0.0]]), known, np.zeros((3, 3)))
    start.gamma[0, 1] = 30.0
    quadratic = 2.0 + 50 * x[0] + 8 * x[1] - 400 * x[0] ** 2 + 30 * x[0] * x[1] - 5 * x[1] ** 2
    spread = np.maximum(x[0] + 0.05, 0) - np.maximum(x[0] - 0.05, 0) + 0.02 * x[1] * (x[0] != 0)
    pilot, fresh = slice(0, 8_000), slice(8_000, None)
    pnl = np.stack([quadratic, spread, np.zeros(20_000)])
    found = refitted(start, x[:, pilot], pnl[:, pilot], 0.99)
    np.testing.assert_allclose(found.constant[0], 2.0)  # what is a quadratic, with that cross term, is found
    np.testing.assert_allclose(found.delta[0], [50.0, 8.0])
    np.testing.assert_allclose(found.gamma[0], [-800.0, 30.0, -10.0])
    assert found.delta[1, 1] == 0.0  # a factor that the row did not have
    assert (found.constant[2], found.delta[2].tolist(), found.gamma[2].tolist()) == (0.0, [0.0, 0.0], [0.0, 0.0, 0.0])
    near = np.argsort(pnl[1, fresh])[120:1_200]  # of 12,000

    def error(of: Expansion) -> float:
        return float((of(x[:, fresh])[1] - pnl[1, fresh])[near].std())

    assert error(found) < 0.1 * error(start)


def test_a_pilot_too_short_for_the_factors_fits_nothing() -> None:
    factors, count = 40, 2_000
    x = np.random.default_rng(4).normal(size=(factors, count))
    square = np.column_stack([np.arange(factors)] * 2)
    start = Expansion(np.zeros(2), np.ones((2, factors)), square, np.zeros((2, factors)))
    start.delta[1, 3:] = 0.0
    pnl = np.stack([x.sum(axis=0), 2 * x[:3].sum(axis=0)])
    found = refitted(start, x, pnl + 1.0, 0.99)
    assert found.constant[0] == 0.0
    np.testing.assert_allclose(found(x)[1], pnl[1] + 1.0)
