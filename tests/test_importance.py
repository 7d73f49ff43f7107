from __future__ import annotations

from collections.abc import Callable

import numpy as np
import pytest
from numpy.typing import NDArray
from scipy.stats import binom

from mcvar.book import Book
from mcvar.engines import Device, Launcher, Reference
from mcvar.errors import SettingError
from mcvar.market import Market
from mcvar.models import Gaussian, StudentT
from mcvar.models.innovations import Correlated
from mcvar.models.law import Law
from mcvar.models.mixing import Mixing, ScaleTable
from mcvar.reduction import Elliptical, Expansion, Partition, QuadraticLaw, expand, stratify, twist, weighted
from mcvar.scenarios import Simulated
from mcvar.tail import Tail

Floats = NDArray[np.float64]
# Three factors of the known book, and one that the expansion does not know of.
COVARIANCE = np.array(
    [[0.0091528, 0.0047481, 0.0042183], [0.0047481, 0.014259, 0.0068472], [0.0042183, 0.0068472, 0.018304]]
)
PAIR = np.array([[0, 0], [1, 1], [2, 2]])
DOFS = pytest.mark.parametrize("dof", [None, 5.0])


def make_law(dof: float | None, drift: float = 0.0) -> Law:
    deviation = np.append(np.sqrt(np.diag(COVARIANCE)), 0.01)
    correlation = np.eye(4)
    correlation[:3, :3] = COVARIANCE / np.outer(deviation, deviation)[:3, :3]
    mixing = None if dof is None else Mixing(np.zeros(4, np.int64), (ScaleTable.of(dof),), np.zeros(1, np.int64))
    return Law(Correlated.of(correlation, mixing), np.full((1, 4), drift), deviation)


def make_loss(other: float = 0.0, side: float = 1.0) -> Expansion:
    """The known book's, or that of the other side of its trades, and so many times the move of the fourth factor."""
    delta = side * np.array([[2175.1, 33566.0, -56924.0, other]])
    return Expansion(np.zeros(1), delta, PAIR, -side * np.array([[442060.0, 1006300.0, 615380.0]]))


def truth(loss: Expansion, law: Law, level: float) -> tuple[float, float]:
    known = QuadraticLaw.of(loss, Elliptical.of(law))
    var = known.quantile([level])
    return float(var[0, 0]), float(var[0, 0] + known.excess(var)[0, 0] / (1 - level))


@DOFS
def test_the_twisted_law_is_that_of_the_theory(dof: float | None) -> None:
    # exp(theta (Q - x) - psi) times the density: for normal moves E[Q] is then x, and the weights are its inverse.
    # The side that loses without bound: where profits are, weights of the other have no variance.
    law, loss = make_law(dof, 0.002), make_loss(side=-1.0)
    made = twist(law, loss, 0.99)
    scenarios = made.scenarios(Simulated(law, 200_000, 4))
    x = scenarios.moves(0, scenarios.count)
    weight = made.weights(x)
    error = weight.std() / np.sqrt(weight.size)
    assert abs(weight.mean() - 1) < 3.5 * error
    var, _ = truth(loss, law, 0.99)
    q = loss(x)[0]
    if dof is None:
        assert abs(q.mean() - var) < 3.5 * q.std() / np.sqrt(q.size)
        constant = np.log(weight) + made.theta * q
        np.testing.assert_allclose(constant, constant[0], atol=1e-8)
    beyond = weight * (q > var)
    assert abs(beyond.mean() - 0.01) < 3.5 * beyond.std() / np.sqrt(beyond.size)
    assert beyond.var() < 0.15 * 0.01 * 0.99
    assert (np.triu(made.law.innovations.root, 1) == 0).all()
    assert made.law.deviation.tolist() == law.deviation.tolist()  # what bridges between steps read


def test_the_weights_of_t_moves_are_the_conditional_means_of_the_ratios() -> None:
    # Glasserman, Heidelberger and Shahabuddin (2002): the ratio for moves and Y is exp(psi - theta (Y / nu) (Q - x)).
    dof, law, loss = 5.0, make_law(5.0), make_loss()
    made = twist(law, loss, 0.99)
    var, _ = truth(loss, law, 0.99)
    known = QuadraticLaw.of(loss, Elliptical.of(law))
    b, square = known.linear[0] * np.sqrt(0.6), known.square[0] * 0.6
    left = 1 - 2 * made.theta * square
    alpha = (0.5 * made.theta**2 * (b**2 / left).sum() - made.theta * (var - known.constant[0])) / dof
    psi = -0.5 * np.log(left).sum() - 0.5 * dof * np.log(1 - 2 * alpha)
    # Moves under the twisted law, from a Y that is known.
    random = np.random.default_rng(9)
    y0 = random.chisquare(dof, 100_000)
    innovations = made.law.innovations
    assert isinstance(innovations, Correlated)
    eta = innovations.root @ random.standard_normal((4, 100_000)) * np.sqrt((dof - 2) / y0)
    x = made.law.mean[0][:, None] + made.law.deviation[:, None] * eta
    y = y0 / (1 - 2 * alpha)
    ratio = np.exp(psi - made.theta * y / dof * (loss(x)[0] - var))
    weight = made.weights(x)
    beyond = loss(x)[0] > var
    assert (ratio * beyond).var() > (weight * beyond).var()
    for value in (beyond, beyond * (x[0] > 0.05), beyond * x[1]):  # functions of the moves
        gap = (ratio - weight) * value
        assert abs(gap.mean()) < 3.5 * gap.std() / np.sqrt(gap.size)


@DOFS
def test_values_are_those_of_the_original_law_and_intervals_hold(dof: float | None) -> None:
    repetitions, count, level = 300, 2048, 0.99
    law, loss, full = make_law(dof), make_loss(), make_loss(1e4)
    made = twist(law, loss, level)
    there = QuadraticLaw.of(loss, Elliptical.of(made.law))
    partition = Partition.of(there, np.arange(1, 30) / 30)
    at = truth(full, law, level)
    found: dict[str, list[list[Floats]]] = {"plain": [], "twisted": [], "stratified": [], "sections": []}
    tails = []
    for seed in range(repetitions):
        original = Simulated(law, count, seed)
        found["plain"].append(weighted.measure(Tail.of(full(original.moves(0, count)), 0, count), 1.0, [level], 0.95))
        scenarios = made.scenarios(original)
        tail = Tail.of(full(scenarios.moves(0, count)), 0, count)
        ratio = made.at(scenarios, tail.scenario)
        strata = stratify(loss, partition, scenarios, tail, sections=16, unit=128)
        found["twisted"].append(weighted.measure(tail, ratio, [level], 0.95))
        found["stratified"].append(weighted.measure(tail, ratio, [level], 0.95, strata))
        found["sections"].append(weighted.by_sections(tail, ratio, [level], 0.95, sections=16, unit=128, strata=strata))
        tails.append(float((ratio * (tail.loss > at[0])).sum() / count))
    tail_probability = np.array(tails)
    assert abs(tail_probability.mean() - 0.01) < 3.5 * tail_probability.std() / np.sqrt(repetitions)
    least, most = binom.ppf([1e-5, 1 - 1e-6], repetitions, 0.95)
    spread = {}
    for name, runs in found.items():
        for m, exact in enumerate(at):
            value, stderr, low, high = (
                np.array([getattr(run[m], part)[0] for run in runs]) for part in ("value", "stderr", "low", "high")
            )
            spread[name, m] = value.std()
            if name == "plain":
                continue  # 20 losses beyond VaR: biased
            assert abs(value.mean() - exact) < 3.5 * value.std() / np.sqrt(repetitions) + 0.001 * exact, name
            covered = ((low <= exact) & (exact <= high)).sum()
            assert least <= covered <= most, (name, m, covered)
            np.testing.assert_allclose(stderr.mean(), value.std(), rtol=0.2)
    for m in (0, 1):
        assert spread["plain", m] > 2.5 * spread["twisted", m]
        assert spread["twisted", m] > 1.1 * spread["stratified", m]


@DOFS
def test_the_mean_comes_back(dof: float | None) -> None:
    law, loss = make_law(dof, 0.01), make_loss(side=-1.0)
    made = twist(law, loss, 0.7)
    scenarios = made.scenarios(Simulated(law, 100_000, 6))
    x = scenarios.moves(0, scenarios.count)
    found = weighted.mean(loss(x), made.weights(x), 0.95)
    exact = QuadraticLaw.of(loss, Elliptical.of(law)).mean
    assert (np.abs(found.value - exact) < 3.5 * found.stderr).all()


def test_weights_by_block_and_by_number() -> None:
    law = make_law(5.0)
    made = twist(law, make_loss(), 0.99)
    scenarios = made.scenarios(Simulated(law, 5000, 8))
    whole = made.block(scenarios, 0, 5000)
    np.testing.assert_allclose(made.block(scenarios, 2048, 4500), whole[2048:4500], rtol=1e-12)
    named = np.array([[4999, 0], [1024, 4999]])
    np.testing.assert_allclose(made.at(scenarios, named), whole[named], rtol=1e-12)


def test_factors_that_move_as_one_or_not_at_all() -> None:
    correlation = np.array([[1.0, 1.0, 0.3, 0.2], [1.0, 1.0, 0.3, 0.2], [0.3, 0.3, 1.0, 0.1], [0.2, 0.2, 0.1, 1.0]])
    law = Law(Correlated.of(correlation), np.zeros((1, 4)), np.array([0.02, 0.04, 0.03, 0.0]))
    loss = Expansion(np.zeros(1), np.array([[1.0, -2.0, -3.0, 5.0]]), np.array([[0, 2]]), np.array([[40.0]]))
    made = twist(law, loss, 0.99)
    scenarios = made.scenarios(Simulated(law, 50_000, 2))
    x = scenarios.moves(0, scenarios.count)
    np.testing.assert_allclose(x[1], 2 * x[0], atol=1e-12)
    assert (x[3] == 0).all()
    weight = made.weights(x)
    assert abs(weight.mean() - 1) < 3.5 * weight.std() / np.sqrt(weight.size)
    beyond = weight * (loss(x)[0] > truth(loss, law, 0.99)[0])
    assert abs(beyond.mean() - 0.01) < 3.5 * beyond.std() / np.sqrt(beyond.size)
    assert beyond.std() < 0.5 * np.sqrt(0.0099)


def test_nothing_to_twist() -> None:
    law = make_law(None)
    flat = Expansion(np.array([3.0]), np.zeros((1, 4)), PAIR, np.zeros((1, 3)))
    for made in (twist(law, flat, 0.99), twist(law, make_loss(), 0.05)):
        assert made.theta == 0.0
        np.testing.assert_allclose(made.weights(Simulated(law, 10).moves(0, 10)), 1.0)
        moved = [Simulated(each, 10).moves(0, 10) for each in (law, made.law)]
        cover = [each.innovations.root @ each.innovations.root.T for each in (law, made.law)]
        np.testing.assert_allclose(cover[0], cover[1], atol=1e-12)
        assert moved[0].shape == moved[1].shape


@DOFS
@pytest.mark.parametrize("square", [0.0, 1e-12, 3e-19, -3e-19])
def test_squares_that_are_rounding_do_not_hide_the_twist(dof: float | None, square: float) -> None:
    """A long spot: its eigenvalues are 0 but for rounding, and one of them bounds where the twist may lie at 1e18."""
    law = make_law(dof)
    delta = np.array([[-100.0, 0.0, 0.0, 0.0]])
    spot = Expansion(np.zeros(1), delta, np.array([[1, 1]]), np.array([[square * 1e4]]))
    line = twist(law, Expansion(np.zeros(1), delta, np.array([[0, 0]]), np.zeros((1, 1))), 0.99)
    found = twist(law, spot, 0.99)
    assert found.theta == pytest.approx(line.theta, rel=1e-6)
    assert np.linalg.norm(found.shift) > 1.0
    if dof is None:
        assert np.linalg.norm(found.shift) == pytest.approx(2.3263479, rel=1e-5)


@DOFS
@pytest.mark.parametrize("square", [1e-15, 1e-12, 1e-9])  # of an exposure of 1e5: rounding
def test_squares_that_are_rounding_change_nothing(dof: float | None, square: float) -> None:
    law, loss = make_law(dof), make_loss()
    want, found = (
        twist(law, Expansion(loss.constant, loss.delta, PAIR, np.full((1, 3), own)), 0.99) for own in (0.0, square)
    )
    assert want.theta > 0
    assert found.theta == pytest.approx(want.theta, rel=1e-6)
    np.testing.assert_allclose(found.law.mean, want.law.mean, rtol=1e-6, atol=1e-12)


def test_a_cluster_is_the_sum_of_its_rows() -> None:
    law, one = make_law(None), make_loss()
    two = Expansion(np.repeat(one.constant, 2), np.repeat(one.delta, 2, axis=0), PAIR, np.repeat(one.gamma, 2, axis=0))
    alone, both, scaled = twist(law, one, 0.99), twist(law, two, 0.99), twist(law, two, 0.99, weight=np.array([1, 0.0]))
    np.testing.assert_allclose(both.law.mean, alone.law.mean, rtol=1e-6)
    np.testing.assert_allclose(scaled.law.mean, alone.law.mean, rtol=1e-6)
    assert both.theta == pytest.approx(alone.theta / 2, rel=1e-6)


@pytest.mark.parametrize("model", [Gaussian(), StudentT(4.0)])
def test_every_engine_simulates_the_twisted_law(
    model: Gaussian | StudentT,
    make_market: Callable[..., Market],
    make_book: Callable[..., Book],
    launcher: Callable[..., Launcher],
) -> None:
    native = launcher("native")
    factors = [{"factor": name, "level": 100.0, "volatility": 0.3} for name in ("A", "B")]
    market = make_market(factors, correlation=[[1, 0.5], [0.5, 1]])
    terms = {"kind": "option", "strike": 100.0, "volatility": 0.3, "option_type": "call", "years": 0.5}
    book = make_book(
        market,
        [{**terms, "instrument": name, "underlying": name} for name in ("A", "B")],
        [("X", "A", -10.0), ("X", "B", -5.0)],
    )
    law = model.law(market, 0.04, np.zeros(2))
    deviation = Elliptical.of(law).deviation
    loss = expand(lambda given: Reference(market, book, given, 0.04), deviation).loss
    made = twist(law, loss.take(np.array([0])), 0.99)
    scenarios = made.scenarios(Simulated(law, 4096, 3))
    engines = (
        Reference(market, book, scenarios, 0.04), Device(market, book, scenarios, 0.04, launcher=native),
    )  # fmt: skip
    one, other = (each.pnl(0, 4096) for each in engines)
    np.testing.assert_allclose(one, other, rtol=0, atol=1e-10)
    tail = Tail.of(-one[:1], 0, 4096)
    found = weighted.value_at_risk(tail, made.at(scenarios, tail.scenario), 0.99, 0.95)
    plain = Simulated(law, 200_000, 4)
    many = Tail.of(-Reference(market, book, plain, 0.04).pnl(0, plain.count)[:1], 0, 4000)
    exact = weighted.value_at_risk(many, 1.0, 0.99, 0.95)
    gap = abs(found.value[0] - exact.value[0])
    assert gap < 3.5 * np.hypot(found.stderr[0], exact.stderr[0])
    assert found.stderr[0] < 3 * exact.stderr[0]  # with 50 times fewer scenarios


def test_what_is_refused(make_market: Callable[..., Market]) -> None:
    market = make_market([{"factor": "A", "level": 100.0}])
    loss = Expansion(np.zeros(1), np.ones((1, 1)), np.zeros((0, 2), dtype=np.int64), np.zeros((1, 0)))
    with pytest.raises(SettingError, match=r"the law has 3 steps: set model\.steps=1"):
        twist(Gaussian().law(market, 0.04, np.zeros(1), 3), loss, 0.99)
    with pytest.raises(SettingError, match=r"marginals of their own.*take model=gaussian"):
        twist(StudentT(5.0, marginals=(4.0,)).law(market, 0.04, np.zeros(1)), loss, 0.99)
