"""Contributions and increments against closed forms, finite differences, replicates and brute force."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace
from typing import Any

import numpy as np
import pytest
from numpy.typing import NDArray
from scipy.special import ndtr, ndtri

from mcvar.book import Book
from mcvar.engines import Reference, choose
from mcvar.errors import CapacityError, SettingError
from mcvar.jobs import incremental
from mcvar.jobs.contributions import TailAt, contributions, kept_for, ranks_of, tail_weights
from mcvar.jobs.explain import CONVERSION, TIME, TOGETHER, Account
from mcvar.jobs.incremental import increments
from mcvar.jobs.request import check_memory
from mcvar.market import Market
from mcvar.models import Gaussian, Heston, HestonParameters
from mcvar.scenarios import Simulated
from mcvar.tail import Tail

Floats = NDArray[np.float64]
YEARS, COUNT = 0.04, 20_000
LEVELS = [0.95, 0.99]


def account_of(market: Market, book: Book, name: str, engine: str = "numpy", count: int = COUNT, **law: Any) -> Account:
    steps = law.pop("steps", 1)
    scenarios = Simulated(Gaussian(**law).law(market, YEARS, np.zeros(len(market.factors)), steps), count, 3)
    return Account(market, book, scenarios, YEARS, choose(engine, workers=1), book.row.index(name))


def losses_of(account: Account) -> Floats:
    """Of the account in all scenarios, by the whole book."""
    engine = Reference(account.market, account.book, account.scenarios, account.decay)
    return -engine.pnl(0, account.scenarios.count)[account.row]


def worst(loss: Floats, depth: int) -> NDArray[np.int64]:
    return Tail.of(loss[None], 0, depth).scenario[0]


@pytest.fixture(scope="module")
def linear(make_market: Callable[..., Market], make_book: Callable[..., Book]) -> tuple[Market, Book]:
    """Sums of normals: levels that move by absolute shocks."""
    matrix = np.array([[1.0, 0.5, -0.2, 0.0], [0.5, 1.0, 0.1, 0.0], [-0.2, 0.1, 1.0, 0.3], [0.0, 0.0, 0.3, 1.0]])
    sizes = [20.0, 10.0, 30.0, 15.0]
    market = make_market(
        [{"factor": f"A{k}", "level": 100.0, "volatility": v, "shock": "absolute"} for k, v in enumerate(sizes)],
        correlation=matrix,
    )
    spots = [{"instrument": f"S{k}", "kind": "spot", "underlying": f"A{k}"} for k in range(4)]
    held = [("X", "S0", 3.0), ("X", "S1", 2.0), ("X", "S2", -1.0), ("Y", "S3", 4.0), ("Y", "S1", -5.0)]
    return market, make_book(market, spots, held, [{"account": "X", "parent": "P"}, {"account": "Y", "parent": "P"}])


@pytest.mark.parametrize("name", ["X", "P", "*"])
def test_a_gaussian_book_has_eulers_contributions(linear: tuple[Market, Book], name: str) -> None:
    """VaR_i = z w_i (Sigma w)_i / sigma, and ES_i with the density over the tail in the place of z."""
    market, book = linear
    account = account_of(market, book, name, count=100_000)
    w = book.quantity[[account.row]].toarray()[0]
    deviation = market.volatility * np.sqrt(YEARS)
    sigma = market.correlation * np.outer(deviation, deviation)
    euler = w * (sigma @ w) / np.sqrt(w @ sigma @ w)
    loss = losses_of(account)
    replay = account.replay(worst(loss, 1100))
    z = float(ndtri(0.99))
    times = {"var": z, "es": np.exp(-(z**2) / 2) / np.sqrt(2 * np.pi) / 0.01}
    tail = TailAt(replay.loss, 100_000, 0.99, 0.95)
    for measure, factor in times.items():
        found = contributions(name, tail, measure, {"instrument": replay.by_instrument()})
        assert [f"S{k}" for k in range(4) if w[k]] == [line.name for line in found]
        for line in found:
            exact = factor * euler[int(line.name[1])]
            assert line.stderr is not None
            assert line.stderr < 0.1 * abs(euler).max() * factor
            assert abs(line.value - exact) < 4 * line.stderr, (measure, line)


@pytest.mark.parametrize("level", [0.95, 0.99])
def test_errors_are_those_of_replicates(level: float) -> None:
    """Standard deviations over 400 repetitions; two parts, their sum and a skewed one."""
    random, count = np.random.default_rng(7), 20_000
    found: dict[str, list[Any]] = {"var": [], "es": []}
    depth = max(kept_for(count, level, 0.95).values())
    for _ in range(400):
        parts = random.standard_normal((3, count)) * np.array([[1.0], [2.0], [0.5]])
        parts[2] = parts[0] + 0.3 * parts[1] ** 2
        loss = parts.sum(axis=0)
        order = np.argsort(-loss)[:depth]
        kept = np.vstack([parts[:, order], parts[:2, order].sum(axis=0), loss[order]])
        tail = TailAt(loss[order], count, level, 0.95)
        found["var"].append(tail.value_at_risk(kept))
        found["es"].append(tail.expected_shortfall(kept))
    for measure, repeated in found.items():
        value, stderr = np.array(repeated).swapaxes(0, 1)
        # A standard deviation of 400 errs by 3.5 %; the interval's ranks make VaR's own error vary by a fifth.
        ratio = np.sqrt((stderr**2).mean(axis=0)) / value.std(axis=0)
        assert (np.abs(ratio - 1) < (0.25 if measure == "var" else 0.13)).all(), (measure, ratio)


def test_the_whole_loss_has_the_errors_of_the_measures(linear: tuple[Market, Book]) -> None:
    from mcvar import measures

    market, book = linear
    account = account_of(market, book, "X")
    loss = losses_of(account)
    kept = Tail.of(loss[None], 0, 1_200)
    replay = account.replay(kept.scenario[0])
    for level in LEVELS:
        tail = TailAt(replay.loss, COUNT, level, 0.95)
        for find, measure in (
            (tail.value_at_risk, measures.value_at_risk),
            (tail.expected_shortfall, measures.expected_shortfall),
        ):
            value, stderr = find(replay.loss[None])
            known = measure(kept, level, 0.95)
            assert value[0] == pytest.approx(known.value[0], rel=1e-12)
            assert stderr[0] == pytest.approx(known.stderr[0], rel=1e-9)


@pytest.fixture(scope="module")
def every_loss(every_market: Market, every_book: Book) -> Floats:
    """Of all rows in 2,048 scenarios, [R, N]."""
    account = account_of(every_market, every_book, "*", count=2_048)
    return -Reference(every_market, every_book, account.scenarios, YEARS).pnl(0, 2_048)


@pytest.mark.parametrize(
    ("name", "engine"),
    [(name, "numpy") for name in ("one", "coins", "euros", "house", "*")]
    + [(name, "native") for name in ("all", "coins", "euros")],
)
def test_parts_add_up_to_the_losses(
    every_market: Market, every_book: Book, every_loss: Floats, launcher: Callable[..., Any], engine: str, name: str
) -> None:
    """Every kind of instrument, foreign rows, parents; by instrument, underlying and factor."""
    if engine == "native":
        launcher("native")  # skips without a compiler
    account = account_of(every_market, every_book, name, engine, count=2_048)
    loss = every_loss[account.row]
    scenario = worst(loss, 200)
    replay = account.replay(scenario)
    np.testing.assert_allclose(replay.loss, loss[scenario], rtol=0, atol=1e-12 * replay.gross)
    foreign = name in ("coins", "euros")
    assert (CONVERSION in replay.by_instrument()) == (CONVERSION in replay.by_underlying()) == foreign
    splits = {"instrument": replay.by_instrument(), "underlying": replay.by_underlying()}
    if name in ("one", "coins", "euros"):
        splits["factor"] = account.by_factor(replay)
    else:
        with pytest.raises(SettingError, match="read the paths"):
            account.by_factor(replay)
    tail = TailAt(replay.loss, 2_048, 0.95, 0.95)
    for measure in ("var", "es"):
        found = contributions(name, tail, measure, splits)
        value = tail.describe(measure)["value"]
        for by in splits:
            sums = sum(line.value for line in found if line.by == by)
            assert abs(sums - value) < 1e-10 * max(abs(value), replay.gross), (measure, by)
            assert sum(line.share or 0.0 for line in found if line.by == by) == pytest.approx(1.0, rel=1e-9)


def test_contributions_to_es_are_its_derivatives(
    make_market: Callable[..., Market], make_book: Callable[..., Book]
) -> None:
    """ES is linear in a quantity as long as no loss changes its rank among those that it reads; a foreign account."""
    market = make_market([{"factor": "U", "level": 100.0, "volatility": 0.3}, {"factor": "EUR", "level": 1.1}])
    terms = {"kind": "option", "underlying": "U", "strike": 100.0, "years": 0.3, "volatility": 0.3}
    rows = [{"instrument": "spot", "kind": "spot", "underlying": "U"}]
    rows += [{**terms, "instrument": kind, "option_type": kind} for kind in ("call", "put")]
    held = [("A", "spot", 2.0), ("A", "call", -5.0), ("A", "put", -3.0)]
    account = account_of(market, make_book(market, rows, held, [{"account": "A", "currency": "EUR"}]), "A", count=4_096)
    replay = account.replay(worst(losses_of(account), 400))
    bump, tail, weights = 1e-6, TailAt(replay.loss, 4_096, 0.95, 0.95), tail_weights(4_096, 0.95)
    marginal, _ = tail.expected_shortfall(account.unit_losses(account.held, replay.scenario))
    for k in range(3):
        sides = []
        for side in (1.0, -1.0):
            quantity = account.book.quantity.copy().tolil()
            quantity[account.row, k] += side * bump
            moved = replace(account, book=replace(account.book, quantity=quantity.tocsr()))
            sides.append(weights @ np.sort(losses_of(moved))[::-1][: len(weights)])
        assert (sides[0] - sides[1]) / (2 * bump) == pytest.approx(marginal[k], rel=1e-6)
    # Euler: the derivatives, each with the conversion of what it is worth today, add up to ES.
    assert account.book.quantity[[account.row]].toarray()[0] @ marginal == pytest.approx(
        tail.describe("es")["value"], rel=1e-10
    )


def test_one_factor_at_a_time_is_exact_for_what_is_linear(linear: tuple[Market, Book]) -> None:
    market, book = linear
    account = account_of(market, book, "P")
    replay = account.replay(worst(losses_of(account), 300))
    parts = account.by_factor(replay)
    assert list(parts) == ["A0", "A1", "A2", "A3", TIME, TOGETHER]
    for k, part in enumerate(replay.part[:-1]):
        np.testing.assert_allclose(parts[f"A{k}"], part, rtol=0, atol=1e-12 * replay.gross)
    assert not parts[TIME].any()
    assert np.abs(parts[TOGETHER]).max() < 1e-12 * replay.gross


@pytest.mark.parametrize("steps", [1, 3])
def test_factors_of_an_option_are_those_of_its_formula(
    make_market: Callable[..., Market], make_book: Callable[..., Book], steps: int
) -> None:
    """Price, volatility, rate and time of a call, by Black's formula; moves of several steps add up."""
    market = make_market(
        [
            {"factor": "U", "level": 100.0, "volatility": 0.3},
            {"factor": "V", "kind": "vol", "underlying": "U", "tenor": 0.5, "level": 0.2, "volatility": 0.8},
            {"factor": "R", "kind": "rate", "tenor": 0.5, "level": 0.03, "volatility": 0.02, "currency": "USD"},
            {"factor": "C", "kind": "carry", "underlying": "U", "tenor": 0.5, "level": 0.01, "volatility": 0.02},
            {"factor": "W", "level": 10.0},
        ]
    )
    terms = {"kind": "option", "underlying": "U", "option_type": "call", "strike": 95.0, "years": 0.5}
    book = make_book(
        market,
        [{**terms, "instrument": "call", "volatility": 0.25, "rate": 0.03, "carry": 0.01}],
        [("A", "call", -2.0)],
    )
    account = account_of(market, book, "A", steps=steps)
    replay = account.replay(worst(losses_of(account), 300))
    parts = account.by_factor(replay)
    assert set(parts) == {"U", "V", "R", "C", TIME, TOGETHER}
    n = replay.scenario
    x = account.scenarios.moves(0, COUNT)[:, n]  # type: ignore[attr-defined]  # they are simulated

    def value(u: Any = 0.0, v: Any = 0.0, r: Any = 0.0, c: Any = 0.0, passed: float = YEARS) -> Any:
        left = 0.5 - passed
        forward, deviation = 100.0 * np.exp(u + (0.01 + c) * left), 0.25 * np.exp(v) * np.sqrt(left)
        d = np.log(forward / 95.0) / deviation + deviation / 2
        return np.exp(-(0.03 + r) * left) * (forward * ndtr(d) - 95.0 * ndtr(d - deviation))

    alone = {"U": value(u=x[0]), "V": value(v=x[1]), "R": value(r=x[2]), "C": value(c=x[3])}
    for name, after in alone.items():
        np.testing.assert_allclose(parts[name], 2.0 * (after - value()), rtol=0, atol=1e-9, err_msg=name)
    np.testing.assert_allclose(parts[TIME], 2.0 * (value() - value(passed=0.0)), rtol=0, atol=1e-9)
    whole = 2.0 * (value(*x[:4]) - value(passed=0.0))
    np.testing.assert_allclose(sum(parts.values()), whole, rtol=0, atol=1e-9)


def test_a_stochastic_variance_has_no_factors(
    make_market: Callable[..., Market], make_book: Callable[..., Book]
) -> None:
    market = make_market([{"factor": "U", "level": 100.0}])
    option = {"instrument": "put", "kind": "option", "underlying": "U", "option_type": "put", "strike": 95.0}
    book = make_book(market, [{**option, "years": 0.5, "volatility": 0.3}], [("A", "put", -1.0)])
    parameters = {"U": HestonParameters(kappa=3.0, theta=0.09, sigma=0.9, rho=-0.7, v0=0.09)}
    law = Heston(parameters).law(market, YEARS, np.zeros(1), 4)
    account = replace(account_of(market, book, "A"), scenarios=Simulated(law, 2_048, 3))
    loss = losses_of(account)
    replay = account.replay(worst(loss, 200))
    np.testing.assert_allclose(replay.loss, np.sort(loss)[::-1][:200], rtol=0, atol=1e-12 * replay.gross)
    with pytest.raises(SettingError, match="stochastic variance"):
        account.by_factor(replay)


def test_american_options_are_replayed_with_the_table_of_the_whole_book(
    make_market: Callable[..., Market], make_book: Callable[..., Book]
) -> None:
    """A table is made for all options that share it: alone, one would get another."""
    market = make_market([{"factor": "U", "level": 100.0, "volatility": 0.3}])
    terms = {"kind": "option", "underlying": "U", "option_type": "put", "years": 0.5, "exercise": "american"}
    rows = [
        {**terms, "instrument": f"put{v}", "strike": 100.0, "volatility": v, "rate": 0.05, "carry": 0.02}
        for v in (0.1, 0.45)
    ]
    book = make_book(market, rows, [("A", "put0.45", -1.0), ("B", "put0.1", 1.0)])
    account = account_of(market, book, "A", count=2_048)
    loss = losses_of(account)
    replay = account.replay(worst(loss, 100))
    np.testing.assert_allclose(replay.loss, np.sort(loss)[::-1][:100], rtol=0, atol=1e-13 * replay.gross)
    alone = make_book(market, rows[1:], [("A", "put0.45", -1.0)])
    other = account_of(market, alone, "A", count=2_048).replay(replay.scenario)
    assert np.abs(other.loss - replay.loss).max() > 1e-12 * replay.gross  # so the test can fail


@pytest.mark.parametrize("engine", ["numpy", "native"])
@pytest.mark.parametrize(
    ("instrument", "quantity", "deep"), [("S3", 0.01, True), ("S3", 2.0, False), ("S0", -3.0, False)]
)
def test_increments_are_those_of_all_scenarios(
    linear: tuple[Market, Book], launcher: Callable[..., Any], engine: str, instrument: str, quantity: float, deep: bool
) -> None:
    """A position added in every scenario, and everything sorted again."""
    if engine == "native":
        launcher("native")
    market, book = linear
    account = account_of(market, book, "X", engine)
    loss, at = losses_of(account), book.instruments.name.index(instrument)
    replay = account.replay(worst(loss, 600))
    found = increments(account, replay, at, quantity, count=COUNT, levels=LEVELS, confidence=0.95)
    assert [(each.measure, each.level) for each in found] == [(m, a) for a in LEVELS for m in ("var", "es")]
    for each in found[:2]:  # 1,001 and 1,000 losses, and 600 are kept
        assert (each.marginal, each.before, each.after, each.deep_enough) == (None, None, None, False)
    moved = account.book.quantity.copy().tolil()
    moved[account.row, at] += quantity
    after = np.sort(losses_of(replace(account, book=replace(book, quantity=moved.tocsr()))))[::-1]
    before = np.sort(loss)[::-1]
    weights = tail_weights(COUNT, 0.99)
    for each, read in zip(found[2:], (lambda v: v[200], lambda v: weights @ v[: len(weights)]), strict=True):
        assert each.before == pytest.approx(read(before), rel=1e-12)
        assert each.after == pytest.approx(read(after), rel=1e-12)
        assert each.incremental == pytest.approx(read(after) - read(before), rel=1e-6)
        assert each.deep_enough == deep == (each.beyond == 0)
        assert each.marginal is not None
        if deep:  # so little changes hardly anything but in proportion
            assert each.stderr is not None
            assert abs(each.incremental / quantity - each.marginal) < 4 * each.stderr


def test_increments_that_would_take_too_much_are_unknown(
    linear: tuple[Market, Book], monkeypatch: pytest.MonkeyPatch
) -> None:
    market, book = linear
    account = account_of(market, book, "X")
    replay = account.replay(worst(losses_of(account), 600))
    monkeypatch.setattr(incremental, "MOST", 0)
    var, es = increments(account, replay, 3, 2.0, count=COUNT, levels=[0.99], confidence=0.95)
    assert (var.after, es.after, var.incremental, var.deep_enough) == (None, None, None, False)
    assert var.before is not None
    assert var.beyond > 0
    with pytest.raises(SettingError, match="0 of 'S3'"):
        increments(account, replay, 3, 0.0, count=COUNT, levels=[0.99], confidence=0.95)


def test_weights_ranks_and_what_they_read() -> None:
    assert tail_weights(1_000, 0.99).tolist() == [0.1] * 10
    assert tail_weights(1_050, 0.99) * 10.5 == pytest.approx([1.0] * 10 + [0.5])
    assert kept_for(1_000, 0.95, 0.95) == {"var": ranks_of(1_000, 0.95, 0.95).low, "es": 50}
    assert kept_for(1_000, 0.95, 0.95, 30)["var"] == 81
    assert kept_for(100, 0.99, 0.95) == {"var": 2, "es": 1}


def test_a_window_is_checked_and_averaged_over() -> None:
    loss = np.arange(1_000.0, 0.0, -1.0)
    tail = TailAt(loss, 10_000, 0.95, 0.95, window=2)
    part = np.where(np.arange(1_000) == 500, 7.0, 0.0)[None]  # VaR's own scenario
    value, stderr = tail.value_at_risk(part)
    assert tail.averaged == (499, 503)
    assert value[0] == pytest.approx(7.0 / 5)
    assert stderr[0] > 0
    for window in (0, 501):
        with pytest.raises(SettingError, match=r"job\.window is"):
            TailAt(loss, 10_000, 0.95, 0.95, window=window)


def test_a_var_of_nothing_is_not_divided_by() -> None:
    """Losses that change their sign around VaR have no scale; an account that holds zeros has 1."""
    loss = np.linspace(500.0, -499.0, 1_000)
    assert np.isnan(TailAt(loss, 10_000, 0.95, 0.95).scale)
    assert np.isnan(TailAt(loss + 3.0, 10_000, 0.95, 0.95).scale)
    assert TailAt(loss + 300.0, 10_000, 0.95, 0.95).scale == pytest.approx(1.0, abs=0.01)
    assert np.isnan(TailAt(np.exp(loss / 50.0), 10_000, 0.95, 0.95, window=400).scale)
    still = TailAt(np.zeros(1_000), 10_000, 0.95, 0.95)
    assert still.scale == 1.0
    assert still.value_at_risk(np.zeros((2, 1_000)))[0].tolist() == [0.0, 0.0]


def test_an_empty_account_is_an_error(every_market: Market, every_book: Book) -> None:
    account = account_of(every_market, every_book, "zero", count=2_048)
    with pytest.raises(SettingError, match="'zero' holds nothing"):
        account.replay(np.arange(10))


def test_es_is_explained_where_var_has_no_interval() -> None:
    """250 scenarios hold no two-sided interval of the 0.99 quantile; ES and its error are those of the measures."""
    from mcvar import measures

    loss = np.random.default_rng(5).standard_normal(250)
    kept = Tail.of(loss[None], 0, 250)
    tail = TailAt(kept.loss[0], 250, 0.99, 0.95)
    assert "scenarios are too few" in tail.unread("var")
    assert tail.unread("es") == ""
    value, stderr = tail.expected_shortfall(np.stack([0.3 * kept.loss[0], kept.loss[0]]))
    known = measures.expected_shortfall(kept, 0.99, 0.95)
    np.testing.assert_allclose(value, known.value * [0.3, 1.0], rtol=1e-12)
    np.testing.assert_allclose(stderr, known.stderr * [0.3, 1.0], rtol=1e-9)
    assert np.isnan(tail.var_error)
    assert TailAt(kept.loss[0], 250, 0.95, 0.95).unread("var") == ""


def test_an_account_in_its_own_currency_loses_nothing(
    make_market: Callable[..., Market], make_book: Callable[..., Book]
) -> None:
    """What 1,000 euros and their conversion cancel to but for rounding is 0, and so is every part by factor."""
    market = make_market([{"factor": "EUR", "level": 1.1, "volatility": 0.1}, {"factor": "U", "level": 100.0}])
    cash = [{"instrument": "euro", "kind": "spot", "underlying": "EUR"}]
    book = make_book(market, cash, [("A", "euro", 1_000.0)], [{"account": "A", "currency": "EUR"}])
    account = account_of(market, book, "A", count=2_000)
    replay = account.replay(np.arange(200))
    assert np.abs(replay.part).max() > 1.0
    assert replay.part.sum(axis=0).any()  # so the test can fail
    assert not replay.loss.any()
    parts = account.by_factor(replay)
    assert list(parts) == [TIME, TOGETHER]
    assert not parts[TOGETHER].any()
    tail = TailAt(replay.loss, 2_000, 0.95, 0.95)
    for measure in ("var", "es"):
        assert tail.unread(measure) == ""
        assert (tail.describe(measure)["value"], tail.describe(measure)["stderr"]) == (0.0, 0.0)
        lines = contributions("A", tail, measure, {"instrument": replay.by_instrument()})
        assert [(line.name, line.share) for line in lines] == [("euro", None), (CONVERSION, None)]


@pytest.mark.parametrize("kept", ["most", "least"])
def test_a_position_beyond_double_precision_is_refused(linear: tuple[Market, Book], kept: str) -> None:
    """One whose loss overflows in the tail, and one that does in scenarios that were not kept only."""
    market, book = linear
    account = account_of(market, book, "X")
    unit = np.abs(account.unit_losses(np.array([3]), np.arange(COUNT))[0])
    order = np.argsort(-unit if kept == "most" else unit)[:300]
    replay = account.replay(order)
    replay = replay.take(np.argsort(-replay.loss))
    assert (unit[order] < 3.5).all() == (kept == "least")  # 3.5 times 5e307 is a number
    with pytest.raises(SettingError, match=r"job\.add has 5e\+307 of 'S3', with which a loss is too large"):
        increments(account, replay, 3, 5e307, count=COUNT, levels=[0.99], confidence=0.95)


def test_too_little_memory_names_what_would_fit() -> None:
    check_memory(10, 1_000, 100, 1.0)
    check_memory(10, 1_000, 100, 0.0)
    with pytest.raises(CapacityError, match=r"take 0\.024 of 0\.01 GB.*memory_gb to 0\.0252 .*tail_rows=416 or"):
        check_memory(1_000, 1_000, 100, 0.01)
    for tiny in (0.001, 1e-12):
        with pytest.raises(CapacityError, match=r"a row with fewer positions, as job\.account"):
            check_memory(1_000, 1_000, 100, tiny)
