"""Runs that stop when VaR is precise enough: the rule, the sizes of the looks, and that stopping at N is a run of N."""

from __future__ import annotations

import json
import tracemalloc
from collections.abc import Callable
from fractions import Fraction
from itertools import pairwise
from math import ceil, inf, nan
from types import SimpleNamespace
from typing import Any

import numpy as np
import pytest
import small
from hypothesis import given, settings
from hypothesis import strategies as st
from numpy.typing import NDArray

from mcvar.book import Book
from mcvar.engines import Device, EngineChoice, Launcher, Reference
from mcvar.errors import CapacityError, SettingError
from mcvar.jobs import var
from mcvar.jobs.until import Reached, check_memory, reach, unit_of
from mcvar.market import Market
from mcvar.measures import Estimate, Measures
from mcvar.memory import plan
from mcvar.models import Gaussian, StudentT
from mcvar.moments import Moments
from mcvar.sampling import Quasi, Sampling, Strata
from mcvar.scenarios import Explicit, Simulated
from mcvar.tail import Tail
from mcvar.until import CAP, Look, Until, sizes

Floats = NDArray[np.float64]
MakeLauncher = Callable[..., Launcher]
YEARS = 10 / 365
PLACES = ["numpy", "native", "emulated", pytest.param("cuda", marks=pytest.mark.gpu)]


# Settings.


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
    assert (look.scenarios, look.ratio) == (77, max(ratio))
    assert ratio[names.index(look.account) - 1] == max(ratio)
    json.dumps(look.record(), allow_nan=False)


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
    said = until.not_reached(Look(40_000, 0.975, 1.5, "desk-7", 1.5))
    assert said == (
        "not reached: scenarios.until=2 % of VaR 99 % holds for 97.5 % of the accounts after scenarios.cap=40,000 "
        "scenarios; the interval of 'desk-7' is 1.5 times as wide as that. About 90,000 scenarios would do: raise "
        "scenarios.cap or scenarios.until"
    )
    assert "About 41,000 scenarios" in until.not_reached(Look(40_000, 0.9, 1.001, "a", 1.001))  # never the cap itself
    some = Until(0.02, 0.99, share=0.9, cap=40_000)
    said = some.not_reached(Look(40_000, 0.8, inf, "a", 2.0))
    assert "not for scenarios.until_share=90 %" in said
    assert "'a' is wider by any factor. About 160,000 scenarios" in said
    assert "No number of scenarios would do" in until.not_reached(Look(40_000, 0.8, inf, "a", inf))


# Runs.


@pytest.fixture(scope="module")
def market(make_market: Callable[..., Market]) -> Market:
    return small.market(make_market)


@pytest.fixture(scope="module")
def held(market: Market, make_book: Callable[..., Book]) -> Book:
    return small.book(market, make_book)


def drawn(market: Market, count: int, sampling: Sampling | None = None) -> Simulated:
    law = StudentT().law(market, YEARS, np.zeros(3)) if sampling is None else Gaussian().law(market, YEARS, np.zeros(3))
    return Simulated(law, count, seed=5, **({} if sampling is None else {"sampling": sampling}))


def made_at(place: str, market: Market, book: Book, scenarios: Any, launcher: MakeLauncher) -> Reference | Device:
    if place == "numpy":
        return Reference(market, book, scenarios, YEARS)
    return Device(market, book, scenarios, YEARS, launcher=launcher(place))


def go(made: Reference | Device, asked: Measures, until: Until, first: int, **changed: Any) -> Reached:
    accounts = np.arange(made.book.accounts)
    gross = abs(made.book.quantity) @ np.abs(made.value_0)
    how: dict[str, Any] = {"first": first, "unit": 1024, "workers": 1, "chunk": 1024, **changed}
    return reach(made, asked.over(made.rows), until, accounts, gross, **how)


def same(a: Reached, b: Reached) -> None:
    """The same tail, and every number that is read from it, bit for bit."""
    assert np.array_equal(a.tail.loss, b.tail.loss)
    assert np.array_equal(a.tail.scenario, b.tail.scenario)
    assert a.tail.count == b.tail.count == a.moments.count == b.moments.count
    for one, other in zip(a.estimates, b.estimates, strict=True):
        assert (one.measure, one.level, one.method) == (other.measure, other.level, other.method)
        for name in ("value", "stderr", "low", "high"):
            mine, theirs = getattr(one, name), getattr(other, name)
            if one.level is None:  # mean and std read all losses
                np.testing.assert_allclose(mine, theirs, rtol=1e-11, atol=1e-12)
            else:
                assert np.array_equal(mine, theirs, equal_nan=True), (one.measure, one.level, name)


ASKED = {
    "order": Measures((0.9, 0.975)),
    "upper": Measures((0.95,), sides="upper", upper=0.99),  # type: ignore[arg-type]
    "asymptotic": Measures((0.95,), interval="asymptotic"),  # type: ignore[arg-type]
    "sections": Measures((0.95,), interval="sections"),  # type: ignore[arg-type]
    "bootstrap": Measures((0.95,), joint="bootstrap", resamples=200, pareto=True),  # type: ignore[arg-type]
}


@pytest.mark.parametrize("place", PLACES)
@pytest.mark.parametrize("name", ASKED)
def test_a_run_that_stops_is_a_run_of_so_many(
    market: Market, held: Book, launcher: MakeLauncher, name: str, place: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("mcvar.sweep.PILOT", 1024)
    if place == "emulated" and name not in ("order", "sections"):
        pytest.skip("the emulated GPU makes the same tail for all of them")
    asked = ASKED[name]
    until = Until(0.09 if name == "bootstrap" else 0.06, max(asked.levels), cap=20_000)
    made = made_at(place, market, held, drawn(market, 20_000), launcher)
    found = go(made, asked, until, 1_000)
    assert found.held
    assert len(found.looks) > 2
    assert [look.scenarios for look in found.looks] == sizes(1_000, 20_000, 1024)[: len(found.looks)]
    count = found.looks[-1].scenarios
    assert count < 20_000
    assert found.tail.loss.shape == (made.rows, asked.over(made.rows).depth(count))
    # At once; and as it is specified: a full sort of all losses, measured.
    same(found, go(made, asked, Until(until.precision, until.level, cap=count), count))
    loss = 0.0 - made.pnl(0, count)
    want = Tail.of(loss, 0, asked.over(made.rows).depth(count))
    estimates = asked.over(made.rows).measure(want, Moments.of(loss))
    same(found, Reached(want, Moments.of(loss), estimates, found.looks, True))


@pytest.mark.parametrize("place", ["numpy", "native"])
def test_it_stops_at_the_first_size_that_is_precise_enough(
    market: Market, held: Book, launcher: MakeLauncher, place: str
) -> None:
    made = made_at(place, market, held, drawn(market, 30_000), launcher)
    asked, loss = Measures((0.95,)).over(made.rows), 0.0 - made.pnl(0, 30_000)
    names = list(held.row)
    accounts = names[: held.accounts]
    for share, until in ((1.0, 0.05), (0.75, 0.04), (1.0, 0.04)):
        wanted = []
        for count in sizes(2_000, 30_000, 1024):
            e = asked.measure(Tail.of(loss[:, :count], 0, asked.depth(count)), Moments.of(loss[:, :count]))[0]
            half = {n: (e.high[r] - e.low[r]) / 2 for r, n in enumerate(names)}
            over = {n: half[n] / (until * abs(e.value[names.index(n)])) if half[n] else 0.0 for n in accounts}
            worst = max(over, key=lambda n: over[n])
            wanted.append((count, sum(r <= 1 for r in over.values()) / len(accounts), over[worst], worst))
            if sum(r <= 1 for r in over.values()) >= share * len(accounts):
                break
        found = go(made, asked, Until(until, 0.95, share=share, floor=0.0, cap=30_000), 2_000)
        assert found.held
        assert len(wanted) > 1
        for look, (count, met, ratio, account) in zip(found.looks, wanted, strict=True):
            assert (look.scenarios, look.met, look.account) == (count, met, account)
            assert look.ratio == pytest.approx(ratio, rel=1e-9)


def test_a_run_that_stops_equals_the_job(market: Market, held: Book, launcher: MakeLauncher) -> None:
    asked = Measures((0.95,))
    for place in ("numpy", "native"):
        made = made_at(place, market, held, drawn(market, 10_000), launcher)
        found = go(made, asked, Until(0.07, 0.95, cap=10_000), 1_000, keep=400)
        count = found.looks[-1].scenarios
        assert 1_000 < count < 10_000
        planned = plan(rows=made.rows, instruments=5, count=count, asked=asked, workers=1, keep=400)
        engine = EngineChoice(place, launcher=None if place == "numpy" else launcher(place))
        job = var.run(
            market, held, drawn(market, count), decay=YEARS, asked=asked, plan=planned, engine=engine, keep=400
        )
        assert np.array_equal(found.tail.loss[:, :400], job.tail.loss)
        assert np.array_equal(found.tail.scenario[:, :400], job.tail.scenario)
        for one, other in zip(found.estimates, job.estimates, strict=True):
            if one.measure == "var" or (one.measure == "es" and place == "numpy"):  # kernels add up in their own order
                assert np.array_equal(one.value, other.value)
                assert np.array_equal(one.low, other.low)
            np.testing.assert_allclose(one.value, other.value, rtol=1e-11, atol=1e-12)


def test_workers_chunks_and_keeping_more_change_nothing(market: Market, held: Book) -> None:
    made = Reference(market, held, drawn(market, 20_000), YEARS)
    until, done = Until(0.06, 0.95, cap=20_000), []
    one = go(made, Measures((0.95,)), until, 1_000)
    other = go(made, Measures((0.95,)), until, 1_000, workers=2, chunk=4096, progress=done.append)
    same(one, other)
    assert one.looks == other.looks
    assert sum(done) == one.looks[-1].scenarios
    more = go(made, Measures((0.95,)), until, 1_000, keep=1_500)
    assert more.looks == one.looks
    assert more.tail.loss.shape[1] == 1_500 > one.tail.loss.shape[1]
    assert np.array_equal(more.tail.loss[:, : one.tail.loss.shape[1]], one.tail.loss)


def test_the_cap(market: Market, held: Book) -> None:
    made = Reference(market, held, drawn(market, 4_000), YEARS)
    until = Until(0.001, 0.95, cap=4_000)
    found = go(made, Measures((0.95,)), until, 2_000)
    assert not found.held
    assert [look.scenarios for look in found.looks] == [2_000, 3_072, 4_000]
    last = found.looks[-1]
    assert last.met == 0.5  # still and premium: without risk, and one that nearly always loses all
    assert until.not_reached(last).startswith("not reached: scenarios.until=0.1 % of VaR 95 % holds for 50 %")
    assert found.tail.count == 4_000


def test_every_scenario_is_valued_once_but_for_equal_losses(monkeypatch: pytest.MonkeyPatch) -> None:
    loss, valued = np.random.default_rng(3).normal(size=(60, 60_000)), []
    loss[1], loss[2] = 0.0, np.minimum(loss[2], 0.5)  # without risk; and one that can lose no more than its premium

    def pnl(start: int, stop: int) -> Floats:
        valued.append(stop - start)
        return 0.0 - loss[:, start:stop]

    rows = SimpleNamespace(row=[str(r) for r in range(60)])
    made: Any = SimpleNamespace(rows=60, pnl=pnl, book=rows)
    asked, until = Measures((0.99,)), Until(1e-3, 0.99, cap=60_000)

    def stopped() -> tuple[Reached, int]:
        valued.clear()
        found = reach(made, asked, until, np.arange(60), np.zeros(60), first=5_000, unit=1024, workers=1, chunk=1024)
        return found, sum(valued)

    found, often = stopped()
    assert len(found.looks) == 7
    assert 60_000 < often < 75_000  # equal losses are many, and so the next ones near
    want = Tail.of(loss, 0, asked.depth(60_000))
    assert np.array_equal(found.tail.loss, want.loss)
    assert np.array_equal(found.tail.scenario, want.scenario)
    monkeypatch.setattr("mcvar.jobs.until.kept_for", lambda number: ceil(number))  # no room for chance
    again, often = stopped()
    assert often > 2 * 60_000  # all at once, again and again
    assert again.looks == found.looks
    same(again, found)


def test_a_level_beyond_the_first_look_is_refused_before_anything_runs(market: Market, held: Book) -> None:
    made = Reference(market, held, drawn(market, 20_000), YEARS)
    made.pnl = None  # type: ignore[assignment,method-assign]
    with pytest.raises(CapacityError, match=r"300 scenarios are too few for VaR at level 0\.99.*count to 368"):
        go(made, Measures((0.99,)), Until(0.01, 0.99, cap=20_000), 300)


def test_strata_stop_at_whole_rounds(market: Market, held: Book) -> None:
    scenarios = drawn(market, 16_384, Strata(128))
    unit = unit_of(scenarios, 2_048, 16_384)
    assert unit == 2_048
    made = Reference(market, held, scenarios, YEARS)
    asked = Measures((0.95,), sections=16, unit=128)
    until = Until(0.05, 0.95, cap=16_384)
    found = go(made, asked, until, 2_048, unit=unit)
    count = found.looks[-1].scenarios
    assert found.held
    assert 2_048 < count < 16_384
    assert count % 2_048 == 0
    other = Reference(market, held, drawn(market, count, Strata(128)), YEARS)
    same(found, go(other, asked, Until(0.05, 0.95, cap=count), count, unit=unit))


def test_scenarios_that_cannot_be_extended(market: Market) -> None:
    assert unit_of(drawn(market, 4_096), 1_000, 5_000) == 1024
    assert unit_of(drawn(market, 4_096, Strata(4)), 4_096, 64 * 1_000) == 1024  # whole blocks are whole rounds
    with pytest.raises(SettingError, match=r"sampling=plain, stratified or control_variate"):
        unit_of(drawn(market, 4_096, Quasi(16)), 4_096, 8_192)
    with pytest.raises(SettingError, match=r"historical are all that there are"):
        unit_of(Explicit.of([[0.0, 0.0, 0.0]]), 1, 2)
    for first, cap, said in ((2_000, 4_096, "count is 2000.*to 2048"), (2_048, 5_000, "cap is 5000.*to 5120")):
        with pytest.raises(SettingError, match=rf"scenarios\.{said}"):
            unit_of(drawn(market, 4_096, Strata(64)), first, cap)


# Memory.


def test_memory_is_what_a_run_takes(market: Market, held: Book) -> None:
    made = Reference(market, held, drawn(market, 400_000), YEARS)
    asked = Measures((0.6,)).over(made.rows)
    kept = asked.depth(400_000)
    loss = np.random.default_rng(1).normal(size=(made.rows, 400_000))
    made.pnl = lambda start, stop: loss[:, start:stop].copy()  # type: ignore[method-assign]
    until = Until(1e-6, 0.6, cap=400_000)
    tracemalloc.start()
    go(made, asked, until, 100_000)
    peak = tracemalloc.get_traced_memory()[1]
    tracemalloc.stop()
    check_memory(made.rows, kept, int(1.3 * peak))
    with pytest.raises(CapacityError, match=r"raise executor\.memory_gb by .*scenarios\.cap to .*measure\.levels"):
        check_memory(made.rows, kept, int(peak / 1.3))
    with pytest.raises(CapacityError, match=r"and 0 GB may be used"):
        check_memory(1, 1, -5)
