from __future__ import annotations

import numpy as np
import pytest
from numpy.typing import NDArray
from scipy.stats import binom

from mcvar.errors import SettingError
from mcvar.models.innovations import Correlated
from mcvar.models.law import Law
from mcvar.models.mixing import Mixing, ScaleTable
from mcvar.reduction import Elliptical, Expansion, Partition, QuadraticLaw, control, shares, stratify, weighted
from mcvar.scenarios import Explicit, Simulated
from mcvar.tail import Tail

Floats = NDArray[np.float64]
# Three factors of the known book, and one that no expansion knows of.
COVARIANCE = np.array(
    [[0.0091528, 0.0047481, 0.0042183], [0.0047481, 0.014259, 0.0068472], [0.0042183, 0.0068472, 0.018304]]
)
DELTA = np.array([2175.1, 33566.0, -56924.0, 0.0])  # of the loss
GAMMA = -np.array([442060.0, 1006300.0, 615380.0])
PAIR = np.array([[0, 0], [1, 1], [2, 2]])
LEVELS = (0.975, 0.99)


def law(dof: float | None) -> Law:
    deviation = np.append(np.sqrt(np.diag(COVARIANCE)), 0.01)
    correlation = np.eye(4)
    correlation[:3, :3] = COVARIANCE / np.outer(deviation, deviation)[:3, :3]
    mixing = None if dof is None else Mixing(np.zeros(4, np.int64), (ScaleTable.of(dof),), np.zeros(1, np.int64))
    return Law(Correlated.of(correlation, mixing), np.zeros((1, 4)), deviation)


def losses(*others: float) -> Expansion:
    """Of rows that lose the known book's loss, and so many times the move of the fourth factor."""
    rows = len(others)
    delta = np.tile(DELTA, (rows, 1))
    delta[:, 3] = others
    return Expansion(np.zeros(rows), delta, PAIR, np.tile(GAMMA, (rows, 1)))


def exact(loss: Expansion, moves: Elliptical, level: float) -> tuple[Floats, Floats]:
    found = QuadraticLaw.of(loss, moves)
    var = found.quantile([level])
    return var[:, 0], var[:, 0] + found.excess(var)[:, 0] / (1 - level)


@pytest.mark.parametrize("count", [2000, 10_000, 1_000_000])
def test_no_stratum_is_expected_to_be_nearly_empty(count: int) -> None:
    for levels in ([0.99], [0.95, 0.975, 0.99]):
        found = shares(levels, count)
        assert (np.diff([0.0, *found, 1.0]) >= control.LEAST / count * 0.999).all()
        assert len(found) <= 60 * len(levels)
    assert len(shares([0.99], 10_000)) > 10


@pytest.mark.parametrize("dof", [None, 5.0])
def test_partitions_have_the_probabilities_that_they_say(dof: float | None) -> None:
    moves = Elliptical.of(law(dof))
    loss = losses(0.0, 1e5)
    share = shares(LEVELS, 20_000)
    partition = Partition.of(QuadraticLaw.of(loss, moves), share, LEVELS)
    np.testing.assert_allclose(partition.probability.sum(axis=1), 1.0)
    np.testing.assert_allclose(np.cumsum(partition.probability, axis=1)[:, :-1], np.tile(share, (2, 1)), rtol=0.15)
    q = loss(Simulated(law(dof), 200_000, 5).moves(0, 200_000))
    for r in (0, 1):
        beyond = np.array([(q[r] > cut).mean() for cut in partition.cut[r]])
        p = np.cumsum(partition.probability[r])[:-1]
        assert (np.abs(beyond - p) < 4.5 * np.sqrt(p * (1 - p) / 200_000)).all()
        for a in (0, 1):
            x = np.maximum(q[r] - partition.knot[r, a], 0)
            assert abs(x.mean() - partition.expected[r, a]) < 4 * x.std() / np.sqrt(200_000)


def test_counts_and_places_by_brute_force(monkeypatch: pytest.MonkeyPatch) -> None:
    count, sections, unit = 5000, 3, 64
    scenarios = Simulated(law(None), count, 2)
    loss = losses(0.0, 2e5)
    moves = Elliptical.of(scenarios.law)
    partition = Partition.of(QuadraticLaw.of(loss, moves), shares([0.99], count), [0.99])
    q = loss(scenarios.moves(0, count))
    tail = Tail.of(q + np.sin(1e4 * q), 0, 300)
    found = stratify(loss, partition, scenarios, tail, sections=sections, unit=unit)
    place = (q[:, :, None] <= partition.cut[:, None, :]).sum(axis=2)
    own = np.arange(count) // unit % sections
    x = np.maximum(q - partition.knot, 0)
    for r in (0, 1):
        assert found.index[r].tolist() == place[r, tail.scenario[r]].tolist()
        np.testing.assert_allclose(found.excess[0.99].tail[r], x[r, tail.scenario[r]], atol=1e-9)
        for s in range(sections):
            for h in range(partition.probability.shape[1]):
                there = (own == s) & (place[r] == h)
                assert found.count[s, r, h] == there.sum()
                assert found.excess[0.99].first[s, r, h] == pytest.approx(x[r, there].sum(), abs=1e-6)
    monkeypatch.setattr(control, "_CELLS", 1)
    parts = stratify(loss, partition, scenarios, tail, sections=sections, unit=unit)
    assert parts.count.tolist() == found.count.tolist()
    assert parts.index.tolist() == found.index.tolist()
    whole = stratify(loss, partition, scenarios, Tail.of(q, 0, count))  # mean 1 over all scenarios
    np.testing.assert_allclose(whole.weight().mean(axis=1), 1.0)


@pytest.mark.parametrize("dof", [None, 5.0])
def test_errors_are_small_and_honest(dof: float | None) -> None:
    # One row is its quadratic, one nearly, one is hardly explained: the fourth factor's deviation is 0.01.
    repetitions, count, depth = 150, 6144, 600
    full, known = losses(0.0, 3e4, 2e6), losses(0.0, 0.0, 0.0)
    moves = Elliptical.of(law(dof))
    partition = Partition.of(QuadraticLaw.of(known, moves), shares(LEVELS, count), LEVELS)
    values, errors, lows, highs, plain = ([] for _ in range(5))
    by_sections = []
    for seed in range(repetitions):
        scenarios = Simulated(law(dof), count, seed)
        tail = Tail.of(full(scenarios.moves(0, count)), 0, depth)
        strata = stratify(known, partition, scenarios, tail, sections=12, unit=256)
        found = weighted.measure(tail, 1.0, LEVELS, 0.95, strata)
        for kept, name in ((values, "value"), (errors, "stderr"), (lows, "low"), (highs, "high")):
            kept.append([getattr(each, name) for each in found])
        plain.append([each.value for each in weighted.measure(tail, 1.0, LEVELS, 0.95)])
        sectioned = weighted.by_sections(tail, 1.0, LEVELS, 0.95, sections=12, unit=256, strata=strata)
        by_sections.append([(each.low, each.high) for each in sectioned])
    truth = np.array([each for level in LEVELS for each in exact(full, moves, level)])  # [measures, rows]
    value, error = np.array(values), np.array(errors)
    spread = value.std(axis=0)
    # ES has a bias of the order of 1/N, which is part of its error.
    bias = np.abs(value.mean(axis=0) - truth)
    assert (bias < 3.5 * spread / np.sqrt(repetitions) + 0.6 * spread * (np.arange(4) % 2)[:, None]).all()
    factor = np.array(plain).var(axis=0) / spread**2
    assert (factor[:, 0] > 5).all()
    assert (factor[:, 1] > 1.5).all()
    assert (factor[:, 2] > 0.6).all()  # an F of 150 repetitions about 1
    low = binom.ppf(1e-5, repetitions, 0.95) / repetitions
    covered = ((np.array(lows) <= truth) & (truth <= np.array(highs))).mean(axis=0)
    assert (covered >= low).all(), covered
    np.testing.assert_allclose(error[:, :, 1:].mean(axis=0), spread[:, 1:], rtol=0.3)
    ends = np.array(by_sections)  # [repetitions, measures, 2, rows]
    covered = ((ends[:, :, 0] <= truth) & (truth <= ends[:, :, 1])).mean(axis=0)
    assert (covered >= low).all(), covered


def test_a_row_that_is_not_explained_keeps_its_weights() -> None:
    count = 100_000
    scenarios = Simulated(law(None), count, 3)
    loss = Expansion(np.zeros(1), np.array([[0.0, 0.0, 0.0, 1.0]]), PAIR, np.zeros((1, 3)))
    partition = Partition.of(QuadraticLaw.of(losses(0.0), Elliptical.of(scenarios.law)), shares([0.99], count))
    tail = Tail.of(loss(scenarios.moves(0, count)), 0, 3000)
    strata = stratify(losses(0.0), partition, scenarios, tail)
    assert np.median(np.abs(strata.weight() - 1)) < 0.02
    with_, without = (weighted.value_at_risk(tail, 1.0, 0.99, 0.95, s) for s in (strata, None))
    np.testing.assert_allclose(with_.stderr, without.stderr, rtol=0.1)


def test_a_row_that_does_not_move() -> None:
    scenarios = Simulated(law(None), 4096, 3)
    flat = Expansion(np.array([7.0]), np.zeros((1, 4)), PAIR, np.zeros((1, 3)))
    partition = Partition.of(QuadraticLaw.of(flat, Elliptical.of(scenarios.law)), shares([0.99], 4096), [0.99])
    tail = Tail.of(flat(scenarios.moves(0, 4096)), 0, 200)
    var, es = weighted.measure(tail, 1.0, [0.99], 0.95, stratify(flat, partition, scenarios, tail))
    assert (var.value[0], var.stderr[0], es.value[0], es.stderr[0]) == (7.0, 0.0, 7.0, 0.0)


def test_what_is_refused() -> None:
    scenarios = Simulated(law(None), 4096, 3)
    loss = losses(0.0)
    partition = Partition.of(QuadraticLaw.of(loss, Elliptical.of(scenarios.law)), shares([0.99], 4096))
    tail = Tail.of(loss(scenarios.moves(0, 2048)), 0, 200)
    with pytest.raises(SettingError, match="4096 scenarios for a tail of 1 rows and 2048 scenarios"):
        stratify(loss, partition, scenarios, tail)
    gaps = Tail(np.zeros((1, 2)), np.array([[3, -1]]), 4096)
    with pytest.raises(SettingError, match="lacks scenarios"):
        stratify(loss, partition, scenarios, gaps)
    bad = Explicit(np.tile([[0.0], [0.03], [-0.08], [0.0]], 4096))  # every scenario is a bad one
    with pytest.raises(SettingError, match="give the law of these scenarios"):
        stratify(loss, partition, bad, Tail.of(loss(bad.moves(0, 4096)), 0, 200))
