"""Random books in random parameters, against the rules in fractions; and what must hold of any."""

from __future__ import annotations

import random
from typing import Any

import numpy as np
import pytest
from scan_cases import inter, intra, make_arrays, reference
from scipy import sparse

from mcvar.scan.arrays import RiskArrays
from mcvar.scan.grid import SPAN16
from mcvar.scan.parameters import Commodity, Delivery, Leg, Parameters, Spread, Tier
from mcvar.scan.span.algorithm import POSITIONS, span
from mcvar.scan.span.breakdown import Breakdown
from mcvar.scan.span.margins import Margins
from mcvar.scan.span.text import text

MONTHS = ("202601", "202602", "202603", "202604", "202606", "202609")
RATES = {"USD": 1.0, "EUR": 1.25, "JPY": 0.0078125}
COLUMNS = ("scan", "worst_scenario", "intra", "delivery", "credit", "minimum", "risk", "nov", "requirement")
Case = tuple[RiskArrays, Parameters, sparse.csr_array]


def make_contracts(draw: random.Random, names: list[str]) -> RiskArrays:
    """Futures, and options with arrays that no model would give; numbers that fractions and floats both have."""
    rows: list[dict[str, Any]] = []
    for name in names:
        currency = draw.choice(list(RATES))
        for month in draw.sample(MONTHS, draw.randint(1, len(MONTHS))):
            row = {"commodity": name, "currency": currency, "month": month}
            rows.append({**row, "name": f"{name}{month}"})
            for k in range(draw.randint(0, 3)):
                rows.append({
                    **row, "name": f"{name}{month}-{k}", "option": True, "value": draw.randint(0, 200) / 4,
                    "delta": draw.choice((-1, 1)) * draw.randint(1, 8) / 8,
                    "loss": [draw.randint(-40, 40) for _ in range(16)],
                })  # fmt: skip
    draw.shuffle(rows)
    return make_arrays(*rows)


def make_legs(draw: random.Random, tiers: dict[str, list[int]], both: bool) -> tuple[Leg, ...]:
    """Legs that share no deltas; `both`: of one commodity, on both sides."""
    while True:
        name = draw.choice(list(tiers))
        legs = []
        for _ in range(draw.choice((2, 2, 3))):
            owner = name if both else draw.choice(list(tiers))
            credit = 0.0 if both else draw.randint(0, 8) / 8
            legs.append(
                Leg(owner, draw.choice([0, *tiers[owner]]), draw.choice((1.0, 2.0, 3.0)), draw.choice((1, -1)), credit)
            )
        sides = {(leg.commodity, leg.side) for leg in legs}
        mixed = [[leg.tier for leg in legs if (leg.commodity, leg.side) == side] for side in sides]
        apart = all(len(set(t)) == len(t) and not (0 in t and len(t) > 1) for t in mixed)
        right = len(sides) == 2 if both else len({side[0] for side in sides}) == len(sides) > 1
        if apart and right:
            return tuple(legs)


def make_case(seed: int, accounts: int = 6) -> Case:
    draw = random.Random(seed)
    names = [f"C{c}" for c in range(draw.randint(2, 5))]
    arrays = make_contracts(draw, names)
    commodities, tiers = [], {}
    for name in names:
        cuts = sorted(draw.sample(range(1, len(MONTHS)), draw.randint(0, 3)))
        edges = list(zip([0, *cuts], [*cuts, len(MONTHS) - draw.randint(0, 1)], strict=True)) if cuts else []
        ranges = tuple(Tier(k, MONTHS[a], MONTHS[b - 1]) for k, (a, b) in enumerate(edges, 1) if b > a)
        tiers[name] = [tier.number for tier in ranges]
        spreads = [
            Spread(p, make_legs(draw, {name: tiers[name]}, True), draw.randint(0, 40) / 4)
            for p in draw.sample(range(20), draw.randint(0, 7))
            if tiers[name] or draw.random() < 0.5
        ] if len(tiers[name]) > 1 else [Spread(1, (Leg(name, 0, 1.0, 1), Leg(name, 0, 2.0, -1)), 3.0)]  # fmt: skip
        near = draw.sample(MONTHS, draw.randint(0, 2))
        commodities.append(Commodity(
            name, draw.choice(list(RATES)), 300.0, tiers=ranges,
            spreads=tuple(spreads), delivery=tuple(Delivery(m, draw.randint(0, 8), draw.randint(0, 8)) for m in near),
            short_option_minimum=draw.choice((0.0, 8.0, 64.0)), short_netted=draw.random() < 0.5,
        ))  # fmt: skip
    across = tuple(Spread(p, make_legs(draw, tiers, False)) for p in draw.sample(range(30), draw.randint(0, 12)))
    held = np.array([[draw.choice((0, 0, 1)) * draw.randint(-9, 9) for _ in arrays.name] for _ in range(accounts)])
    parameters = Parameters(tuple(commodities), across, draw.choice(("lowest", "highest")))
    return arrays, parameters, sparse.csr_array(held.astype(np.float64))


def in_parts(held: sparse.csr_array, *factors: float) -> sparse.csr_array:
    """Each position as several entries of one cell."""
    data = np.outer(held.data, factors).ravel()
    index, bound = np.repeat(held.indices, len(factors)), held.indptr * len(factors)
    return sparse.csr_array((data, index, bound), shape=held.shape)


def run(case: Case, held: Any = None, **keywords: Any) -> Margins:
    arrays, parameters, quantity = case
    return span(
        arrays, SPAN16, parameters, quantity if held is None else held, currency="USD", rates=RATES, **keywords
    )  # fmt: skip


@pytest.mark.parametrize("start", range(0, 240, 40))
def test_random_books_agree_with_the_rules(start: int) -> None:
    """240 sets of parameters with 6 accounts each: every column, and every step of every commodity."""
    formed = credited = bound = 0
    for seed in range(start, start + 40):
        case = make_case(seed)
        arrays, parameters, held = case
        found = run(case)
        for row, quantity in enumerate(held.toarray()):
            rules = reference(arrays, SPAN16, parameters, quantity.tolist(), RATES)
            for name in COLUMNS:
                expected = float(rules[name])
                assert getattr(found, name)[row] == pytest.approx(expected, rel=1e-10, abs=1e-9), (seed, row, name)
            steps = Breakdown.of(found, row)
            assert {each.name for each in steps.commodities} == set(rules["steps"])
            for each in steps.commodities:
                for name in ("scan", "intra", "delivery", "credit", "minimum", "risk"):
                    expected = float(rules["steps"][each.name][name])
                    assert getattr(each, name) == pytest.approx(expected, rel=1e-10, abs=1e-9), (seed, row, name)
                formed += len(each.spreads)
                bound += each.binds == "short option minimum"
            credited += len(steps.spreads)
            assert text(steps)
    assert formed > 100
    assert credited > 100
    assert bound > 20


@pytest.mark.parametrize("seed", range(1000, 1012))
def test_the_order_of_positions_does_not_matter(seed: int) -> None:
    """Nor that of accounts, contracts and commodities, nor of spreads in their list, nor one position in parts."""
    arrays, parameters, held = case = make_case(seed)
    random_ = np.random.default_rng(seed)
    columns, rows = random_.permutation(held.shape[1]), random_.permutation(held.shape[0])
    shuffled = held[rows][:, columns]
    names = [arrays.name[i] for i in columns]
    turned = Parameters(parameters.commodities[::-1], parameters.spreads[::-1], parameters.tie)
    one = run(case)
    two = run((arrays, turned, held), shuffled, contract=names)
    three = run(case, in_parts(held, 3.0, -2.0))
    for name in set(COLUMNS) - {"worst_scenario"}:  # of two commodities with one scan risk the first is named
        np.testing.assert_allclose(getattr(two, name), getattr(one, name)[rows], rtol=1e-12, atol=1e-9)
        np.testing.assert_array_equal(getattr(three, name), getattr(one, name))


@pytest.mark.parametrize("seed", range(2000, 2012))
def test_blocks_and_threads_change_nothing(seed: int, monkeypatch: pytest.MonkeyPatch) -> None:
    case = make_case(seed, accounts=40)
    whole = run(case)
    monkeypatch.setattr("mcvar.scan.span.algorithm.POSITIONS", 25)
    monkeypatch.setattr("mcvar.scan.span.worst.CHUNK", 7)
    parts = run(case, workers=3)
    assert POSITIONS > 25
    for name in COLUMNS:
        np.testing.assert_array_equal(getattr(parts, name), getattr(whole, name))


def test_scan_risk_is_homogeneous_and_subadditive() -> None:
    for seed in range(3000, 3030):
        _, _, held = case = make_case(seed, accounts=8)
        one = run(case).scan
        np.testing.assert_array_equal(run(case, held * 4.0).scan, 4 * one)
        np.testing.assert_allclose(run(case, held * 0.3).scan, 0.3 * one, rtol=1e-12)
        together = run(case, held[:4] + held[4:]).scan
        assert (together <= (one[:4] + one[4:]) * (1 + 1e-12)).all(), seed


def test_a_book_and_its_negative_need_nothing() -> None:
    """Also where the two are entries of one matrix, which add up."""
    for seed in range(4000, 4010):
        case = make_case(seed)
        both = in_parts(case[2] * 0.1, 1.0, -1.0)
        found = run(case, both)
        for name in COLUMNS:
            assert not getattr(found, name).any()


def test_a_position_without_losses_never_raises_scan_risk() -> None:
    for seed in range(5000, 5020):
        arrays, parameters, held = case = make_case(seed)
        draw = random.Random(seed)
        harmless = {
            "name": "harmless", "commodity": arrays.commodity[0], "currency": arrays.currency[0], "delta": 0.5,
            "month": MONTHS[0], "loss": [-draw.randint(0, 30) for _ in range(16)],
        }  # fmt: skip
        more = make_arrays(harmless)
        joined = RiskArrays(
            (*arrays.name, "harmless"), arrays.commodity, np.append(arrays.of, 0), (*arrays.currency, "USD"),
            np.vstack([arrays.loss, more.loss]), np.append(arrays.delta, 0.5), np.append(arrays.value, 0.0),
            np.append(arrays.option, False), (*arrays.month, MONTHS[0]),
        )  # fmt: skip
        quantity = sparse.csr_array(sparse.hstack([held, np.full((held.shape[0], 1), 7.0)]))
        assert (run((joined, parameters, quantity)).scan <= run(case).scan).all()


def test_rounding_leaves_no_spreads() -> None:
    """0.9 - 0.9 / 3 * 3 is 1e-16: no delta that a second spread could be formed of."""
    arrays = make_arrays(
        {"name": "X", "delta": 0.9, "month": "1"},
        {"name": "Y", "commodity": "Y", "month": "1"},
        {"name": "x", "month": "2"},
    )
    legs = tuple(inter(p, ("X", 0, 3.0, 1, 0.5), ("Y", 0, 1.0, -1, 0.5)) for p in (1, 2))
    inside = tuple(intra("X", p, (1, 3.0, 1), (2, 1.0, -1), charge=1.0) for p in (1, 2))
    x = Commodity("X", "USD", 3.0, tiers=(Tier(1, last="1"), Tier(2, "2")), spreads=inside)
    held = sparse.csr_array(np.array([[1.0, -9.0, 0.0], [1.0, 0.0, -9.0]]))
    found = span(arrays, SPAN16, Parameters((x, Commodity("Y", "USD", 3.0)), legs), held)
    assert [each.number for each in Breakdown.of(found, 0).spreads] == [0.9 / 3]
    assert [each.number for each in Breakdown.of(found, 1).commodities[0].spreads] == [0.9 / 3]
