"""What cannot be computed is refused: everything that is wrong, in one message."""

from __future__ import annotations

from dataclasses import replace
from typing import Any

import numpy as np
import pytest
from scan_cases import inter, intra, make_arrays
from scipy import sparse

from mcvar.errors import InputError, SettingError
from mcvar.scan.grid import SPAN16, Grid
from mcvar.scan.parameters import Commodity, Delivery, Leg, Parameters, Spread, Tier
from mcvar.scan.span.algorithm import span

TWO = make_arrays({"name": "A", "month": "202603"}, {"name": "B", "commodity": "Y", "month": "202606"})
X, Y = Commodity("X", "USD", 300.0, tiers=(Tier(1),)), Commodity("Y", "USD", 300.0)
HELD = sparse.csr_array(np.array([[1.0, -2.0], [0.0, 3.0]]))


def problems(
    *commodities: Commodity,
    spreads: Any = (),
    arrays: Any = TWO,
    held: Any = HELD,
    grid: Grid = SPAN16,
    **keywords: Any,
) -> list[str]:
    tie = keywords.pop("tie", "lowest")
    with pytest.raises(InputError) as refused:
        span(arrays, grid, Parameters(commodities or (X, Y), spreads, tie), held, **keywords)
    return list(refused.value.problems)


def test_nothing_is_wrong_with_what_the_cases_change() -> None:
    assert len(span(TWO, SPAN16, Parameters((X, Y)), HELD)) == 2


@pytest.mark.parametrize(
    ("change", "said"),
    [
        ({"price_range": -1.0}, "commodity 'X': price_range is -1: give a number that is not negative"),
        ({"volatility_range": -0.5}, "commodity 'X': volatility_range is -0.5"),
        ({"covered": float("nan")}, "commodity 'X': covered is nan"),
        ({"short_option_minimum": float("inf")}, "commodity 'X': short_option_minimum is inf"),
        ({"covered": -0.1}, "commodity 'X': covered is -0.1"),
        ({"tiers": (Tier(1), Tier(1))}, "commodity 'X': tier '1' is there more than once"),
        ({"tiers": (Tier(0, "202603", "202603"),)}, "commodity 'X': tier 0: tiers are numbered from 1"),
        ({"tiers": (Tier(1), Tier(2, last="2027"))}, "commodity 'X': month '202603' is in tiers 1, 2"),
        ({"delivery": (Delivery("202603", -1.0, 0.0),)}, "commodity 'X': delivery month 202603: spread is -1"),
        ({"delivery": (Delivery("202603", 0.0, -2.0),)}, "commodity 'X': delivery month 202603: outright is -2"),
        ({"delivery": (Delivery("202603", 0, 0),) * 2}, "commodity 'X': delivery month '202603' is there more"),
        ({"name": "Y"}, "commodity 'Y' is there more than once"),
        ({"name": "Z"}, "contract 'A' is of commodity 'X', which has no parameters"),
        ({"currency": "EUR"}, "amounts are in EUR, USD: say in which currency"),
    ],
)  # fmt: skip
def test_commodities(change: dict[str, Any], said: str) -> None:
    assert any(said in problem for problem in problems(replace(X, **change), Y))


@pytest.mark.parametrize(
    ("spread", "said"),
    [
        (intra("X", 4, (1, 1.0, 1), (1, 1.0, -1), charge=-3.0), "spread 4: charge is -3: give a number"),
        (intra("X", 4, (1, -1.0, 1), (1, 1.0, -1), charge=3.0), "spread 4: ratio -1 of 'X': give a positive number"),
        (intra("X", 4, (7, 1.0, 1), (1, 1.0, -1), charge=3.0), "spread 4: unknown tier 7 of 'X': add it or remove"),
        (intra("X", 4, (1, 1.0, 2), (1, 1.0, -1), charge=3.0), "spread 4: side 2 of 'X' is not one of 1, -1"),
        (intra("Z", 4, (0, 1.0, 1), (0, 1.0, -1), charge=3.0), "spread 4: unknown commodity 'Z': add it or remove"),
        (intra("Y", 4, (0, 1.0, 1), (0, 1.0, -1), charge=3.0), "spread 4: a leg of 'Y': list spreads between"),
        (intra("X", 4, (1, 1.0, 1), (1, 1.0, 1), charge=3.0), "spread 4: all legs are on one side"),
        (intra("X", 4, (0, 1.0, 1), (1, 1.0, 1), (1, 1.0, -1), charge=3.0), "spread 4: legs of 'X' on side 1 share"),
        (intra("X", 4, (0, 1.0, 1), charge=3.0), "spread 4: 1 leg: a spread has two at least"),
    ],
)
def test_intra_commodity_spreads(spread: Spread, said: str) -> None:
    assert any(f"commodity 'X': {said}" in problem for problem in problems(replace(X, spreads=(spread,)), Y))


def test_priorities_of_intra_commodity_spreads() -> None:
    spread = intra("X", 4, (1, 1.0, 1), (1, 1.0, -1), charge=3.0)
    assert problems(replace(X, spreads=(spread, spread)), Y) == [
        "commodity 'X': priority 4 is there more than once among its spreads: give each its own"
    ]


@pytest.mark.parametrize(
    ("spread", "said"),
    [
        (inter(2, ("X", 0, 1.0, 1, 0.5), ("Z", 0, 1.0, -1, 0.5)), "inter-commodity spread 2: unknown commodity 'Z'"),
        (inter(2, ("X", 9, 1.0, 1, 0.5), ("Y", 0, 1.0, -1, 0.5)), "inter-commodity spread 2: unknown tier 9 of 'X'"),
        (inter(2, ("X", 0, 0.0, 1, 0.5), ("Y", 0, 1.0, -1, 0.5)), "inter-commodity spread 2: ratio 0 of 'X'"),
        (inter(2, ("X", 0, 1.0, 1, 1.5), ("Y", 0, 1.0, -1, 0.5)), "inter-commodity spread 2: credit 1.5 of 'X'"),
        (inter(2, ("X", 0, 1.0, 1, -0.5), ("Y", 0, 1.0, -1, 0.5)), "inter-commodity spread 2: credit -0.5 of 'X'"),
        (inter(2, ("X", 0, 1.0, 1, 0.5), ("X", 0, 1.0, -1, 0.5)), "inter-commodity spread 2: its legs are of one"),
        (inter(2, ("X", 0, 1.0, 1, 0.5), ("X", 1, 1.0, -1, 0.5), ("Y", 0, 1.0, 1, 0.5)),
         "inter-commodity spread 2: legs of 'X' on both sides"),
        (Spread(2, (Leg("X", 0, 1.0, 1, 0.5), Leg("Y", 0, 1.0, -1, 0.5)), 8.0),
         "inter-commodity spread 2: a charge of 8, but these spreads give credits"),
    ],
)  # fmt: skip
def test_inter_commodity_spreads(spread: Spread, said: str) -> None:
    assert any(said in problem for problem in problems(spreads=(spread,)))


def test_priorities_of_inter_commodity_spreads() -> None:
    spread = inter(2, ("X", 0, 1.0, 1, 0.5), ("Y", 0, 1.0, -1, 0.5))
    assert problems(spreads=(spread, spread)) == [
        "inter-commodity spreads: priority 2 is there more than once: give each its own"
    ]
    own = replace(X, spreads=(intra("X", 2, (1, 1.0, 1), (1, 1.0, -1), charge=1.0),))
    assert len(span(TWO, SPAN16, Parameters((own, Y), (spread,)), HELD)) == 2  # of another kind: its own order


def test_ranges_may_be_unknown_where_the_arrays_have_them() -> None:
    unknown = replace(X, price_range=float("nan"), volatility_range=float("nan"))
    assert len(span(TWO, SPAN16, Parameters((unknown, Y)), HELD)) == 2


def test_risk_arrays() -> None:
    loss, delta, value = TWO.loss.copy(), TWO.delta.copy(), TWO.value.copy()
    loss[1, 4], delta[0], value[1] = np.nan, np.inf, np.nan
    assert problems(arrays=replace(TWO, name=("A", "A"), loss=loss, delta=delta, value=value)) == [
        "contract 'A' is there more than once: remove one",
        "contract 'A': the loss at point 5 is nan: give a finite number",
        "contract 'A': delta is inf: give a finite number",
        "contract 'A': value is nan: give a finite number",
    ]


def test_shapes() -> None:
    assert problems(arrays=replace(TWO, loss=TWO.loss[:, :9])) == [
        "risk arrays: losses of shape [2, 9], but 2 contracts on grid span16 are [2, 16]"
    ]
    assert problems(arrays=replace(TWO, delta=TWO.delta[:1]))[0] == "risk arrays: delta has 1 entries, name has 2"
    assert (
        problems(arrays=replace(TWO, of=np.array([0, 2])))[0] == "risk arrays: of is not an index of the 2 commodities"
    )
    crossed = replace(SPAN16, pair=np.roll(np.arange(16), 1))
    assert problems(grid=crossed) == ["grid span16: pair does not go back and forth between its 16 points"]
    spread = inter(2, ("X", 0, 1.0, 1, 0.5), ("Y", 0, 1.0, -1, 0.5))
    moved = replace(SPAN16, price=SPAN16.price + 1 / 7)
    assert "no point at price 0" in problems(grid=moved, spreads=(spread,))[0]


def test_positions() -> None:
    held = sparse.csr_array(np.array([[1.0, np.nan, 0.0], [np.inf, 0.0, 5.0]]))
    assert problems(held=held, contract=["A", "B", "C"], account=["one", "two"]) == [
        "account 'one': quantity nan of 'B': give a finite number",
        "account 'two': quantity inf of 'A': give a finite number",
        "'C', which account 'two' holds, has no risk array: add it or remove the position",
    ]
    unheld = sparse.csr_array(np.array([[1.0, 2.0, 0.0]]))
    assert span(TWO, SPAN16, Parameters((X, Y)), unheld, contract=["A", "B", "C"]).scan[0] == 900
    assert problems(held=held) == ["the quantities have 3 columns, with 2 contracts"]
    assert problems(account=["one"]) == ["the quantities have 2 rows, with 1 accounts"]
    assert "two accounts have the same name" in problems(account=["one", "one"])[0]
    assert "'A' stands for 2 columns" in problems(contract=["A", "A"])[0]


def test_quantities_too_large_to_add() -> None:
    assert problems(held=sparse.csr_array(np.array([[1e300, 0.0], [1e307, 0.0]]))) == [
        "account in row 2: amounts add up to infinity: correct them"
    ]


def test_rates() -> None:
    other = replace(TWO, currency=("EUR", "JPY"))
    assert problems(arrays=other, currency="USD", rates={"EUR": -1.25}) == [
        "currency 'JPY' has no rate to USD: add it",
        "rate -1.25 of EUR: give a positive number",
    ]
    assert "rate 2 of USD" in problems(currency="USD", rates={"USD": 2.0})[0]
    assert problems(arrays=other)[0] == "amounts are in EUR, JPY, USD: say in which currency the margins are"


def test_everything_wrong_is_told_at_once() -> None:
    bad = replace(X, price_range=-1.0, spreads=(intra("Q", 1, (5, 0.0, 1), (0, 1.0, -1), charge=1.0),))
    loss = TWO.loss.copy()
    loss[0, 0] = np.inf
    held = sparse.csr_array(np.array([[1.0, np.nan]]))
    said = problems(
        bad, Y, spreads=(inter(1, ("W", 0, 1.0, 1, 0.5), ("Y", 0, 1.0, -1, 0.5)),), tie="first", held=held,
        arrays=replace(TWO, loss=loss), currency="CHF",
    )  # fmt: skip
    for part in (
        "point 1 is inf", "'USD' has no rate to CHF", "tie 'first' is not one of lowest, highest", "price_range is -1",
        "unknown commodity 'Q'", "ratio 0 of 'Q'", "unknown commodity 'W'", "quantity nan of 'B'",
    ):  # fmt: skip
        assert any(part in problem for problem in said), part


def test_workers() -> None:
    with pytest.raises(SettingError, match=r"executor\.workers is 0"):
        span(TWO, SPAN16, Parameters((X, Y)), HELD, workers=0)
