"""When a run is precise enough: settings, the rule, the sizes of the looks, and what is said of it."""

from __future__ import annotations

import json
from fractions import Fraction
from itertools import pairwise
from math import ceil, inf, nan
from typing import Any

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from mcvar.errors import SettingError
from mcvar.measures import Estimate
from mcvar.until import CAP, Look, Until, sizes


def test_precision_as_number_or_text() -> None:
    for text, value in ((" 0.5% ", 0.005), ("0.5 %", 0.005), ("7%", 0.07), ("0.02", 0.02), (0.03, 0.03)):
        assert Until.of(text, levels=(0.95, 0.99), count=1_000) == Until(value, 0.99, 1.0, 1e-4, CAP)
    assert Until.of(0.1, levels=(0.95, 0.99), count=1, level=0.95, share=0.5, floor=0, cap=2).level == 0.95
    assert all(CAP % (16 * 2**k) == 0 for k in range(11))  # so that every stratification takes the default


@pytest.mark.parametrize(
    ("changed", "said"),
    [
        *(({"until": bad}, r"scenarios\.until is '.*': give a number") for bad in ("", "%", "1%%%x", "half", "nan%")),
        *(({"until": bad}, r"scenarios\.until is .*between 0 and 1") for bad in (0, 1, "100%", "-1%", nan, True, None)),
        ({"level": 0.9}, r"scenarios\.until_level is 0\.9: take one of measure\.levels=\[0\.95, 0\.99\]"),
        *(({"share": bad}, r"scenarios\.until_share is .*more than 0 and at most 1") for bad in (0, 1.1, nan, "all")),
        *(({"floor": bad}, r"scenarios\.until_floor is .*0 or more") for bad in (-1e-9, inf, nan, "x")),
        *(({"cap": bad}, r"scenarios\.cap is .*whole number") for bad in (0, -5, 1.5e6, True, 2**63)),
        ({"cap": 1_000}, r"scenarios\.cap is 1000, but the first look is at scenarios\.count=1000"),
    ],
)
def test_settings_that_no_run_can_have(changed: dict[str, Any], said: str) -> None:
    asked: dict[str, Any] = {"until": 0.01, "levels": (0.95, 0.99), "count": 1_000, **changed}
    with pytest.raises(SettingError, match=said):
        Until.of(asked.pop("until"), **asked)


# The rule.


def estimate(value: list[float], low: list[float], high: list[float]) -> Estimate:
    arrays = (np.array(each, dtype=float) for each in (value, value, low, high))
    return Estimate("var", 0.99, *arrays, confidence=0.95, method="")


@pytest.mark.parametrize(
    ("value", "low", "high", "gross", "expected"),
    [
        (100.0, 98.0, 104.0, 0.0, 3.0),  # 3 of 1
        (-100.0, -101.0, -99.0, 0.0, 1.0),
        (100.0, nan, 104.0, 0.0, 4.0),  # one-sided: the end that there is
        (100.0, 98.5, nan, 0.0, 1.5),
        (100.0, nan, nan, 0.0, inf),  # no interval
        (nan, nan, nan, 5.0, inf),
        (0.0, -1.0, 1.0, 1e5, 1.0),  # the floor: 1e-3 x 1e5 = 100
        (1.0, 0.0, 2.0, 1e6, 0.1),
        (0.0, -1.0, 1.0, 0.0, inf),
        (0.0, 0.0, 0.0, 0.0, 0.0),  # without risk
        (5.0, 5.0, 5.0, 0.0, 0.0),
    ],
)
def test_the_rule(value: float, low: float, high: float, gross: float, expected: float) -> None:
    found = Until(0.01, 0.99, floor=1e-3).ratios(estimate([value], [low], [high]), np.array([gross]))
    assert found.tolist() == pytest.approx([expected])


@given(
    ratio=st.lists(st.sampled_from([0.0, 0.5, 1.0, 1.0 + 2.0**-20, 3.0, inf]), min_size=1, max_size=60),
    share=st.sampled_from([0.01, 0.07, 0.29, 0.5, 0.57, 0.9, 0.95, 1.0]),
)
@settings(max_examples=200, deadline=None, derandomize=True)
def test_it_must_hold_for_a_share_of_the_accounts(ratio: list[float], share: float) -> None:
    until = Until(0.5, 0.99, share=share)
    # Rows that are not accounts, first and last, are as imprecise as can be.
    value = [0.0, *(2.0 if r < inf else 0.0 for r in ratio), 0.0]
    half = [9.0, *(r if r < inf else 1.0 for r in ratio), 9.0]
    ends = [[v + sign * h for v, h in zip(value, half, strict=True)] for sign in (-1, 1)]
    names = ["first", *(f"account {i}" for i in range(len(ratio))), "last"]
    look = until.look(estimate(value, *ends), np.zeros(len(names)), np.arange(1, len(names) - 1), names, 77)
    precise = sum(r <= 1 for r in ratio)
    assert look.met == precise / len(ratio)
    assert until.held(look) == (precise >= Fraction(str(share)) * len(ratio))
    decides = sorted(ratio)[ceil(Fraction(str(share)) * len(ratio)) - 1]
    assert (look.scenarios, look.ratio) == (77, decides)
    assert ratio[names.index(look.account) - 1] == decides
    json.dumps(look.record(), allow_nan=False)
    assert (look.needed <= look.scenarios) == until.held(look)


def test_a_share_is_an_exact_decimal() -> None:
    # In floating point 0.07 x 100 is 7.000000000000001, and eight accounts would be asked for.
    value, half = np.full(100, 2.0), np.repeat([0.5, 5.0], [7, 93])
    var_ = Estimate("var", 0.99, value, value, value - half, value + half, confidence=0.95, method="")
    held = []
    for share in (0.07, 0.08):
        until = Until(0.5, 0.99, share=share)
        held.append(until.held(until.look(var_, np.zeros(100), np.arange(100), [""] * 100, 1)))
    assert held == [True, False]


@given(first=st.integers(1, 10**6), room=st.integers(1, 10**8), unit=st.sampled_from([1, 1024, 16_384]))
@settings(max_examples=200, deadline=None, derandomize=True)
def test_sizes_grow_by_half(first: int, room: int, unit: int) -> None:
    found = sizes(first, first + room, unit)
    assert (found[0], found[-1]) == (first, first + room)
    for a, b in pairwise(found[:-1]):
        assert 1.5 * a <= b < 1.5 * a + unit
        assert b % unit == 0
    assert found[-2] < found[-1] <= -(-3 * found[-2] // (2 * unit)) * unit


def test_what_is_said_when_the_cap_is_reached() -> None:
    until = Until(0.02, 0.99, cap=40_000)
    said = until.not_reached(Look(40_000, 0.975, 1.5, "desk-7"))
    assert said == (
        "not reached: scenarios.until=2 % of VaR 99 % holds for 97.5 % of the accounts after scenarios.cap=40,000 "
        "scenarios; the interval of 'desk-7' is 1.5 times as wide as that. About 90,000 scenarios would do: raise "
        "scenarios.cap or scenarios.until"
    )
    assert "About 41,000 scenarios" in until.not_reached(Look(40_000, 0.9, 1.001, "a"))  # never the cap itself
    some = Until(0.02, 0.99, share=0.9, cap=40_000)
    said = some.not_reached(Look(40_000, 0.8, 2.0, "a"))
    assert "not for scenarios.until_share=90 %" in said
    assert "'a' is 2 times as wide as that. About 160,000 scenarios" in said
    assert "No practical number of scenarios would do" in until.not_reached(Look(40_000, 0.8, inf, "a"))
    assert "its losses jump at VaR" in until.not_reached(Look(40_000, 0.8, 1e6, "a"))
