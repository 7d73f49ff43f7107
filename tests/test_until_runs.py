"""Runs that stop when VaR is precise enough: one that stops at N is a run of N, whatever the engine and the way."""

from __future__ import annotations

import tracemalloc
from collections.abc import Callable
from math import ceil
from types import SimpleNamespace
from typing import Any

import numpy as np
import pytest
import small
from numpy.typing import NDArray

from mcvar.book import Book
from mcvar.engines import Device, EngineChoice, Launcher, Reference
from mcvar.errors import CapacityError, SettingError
from mcvar.jobs import var
from mcvar.jobs.until import Reached, check_memory, reach, unit_of
from mcvar.market import Market
from mcvar.measures import Measures
from mcvar.memory import plan
from mcvar.models import Gaussian, StudentT
from mcvar.moments import Moments
from mcvar.sampling import Quasi, Sampling, Strata
from mcvar.scenarios import Explicit, Simulated
from mcvar.tail import Tail
from mcvar.until import Until, sizes

Floats = NDArray[np.float64]
MakeLauncher = Callable[..., Launcher]
YEARS = 10 / 365
PLACES = ["numpy", "native", "emulated", pytest.param("cuda", marks=pytest.mark.gpu)]


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
            decides = sorted(over, key=lambda n: over[n])[ceil(share * len(accounts)) - 1]
            wanted.append((count, sum(r <= 1 for r in over.values()) / len(accounts), over[decides], decides))
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


def test_the_cap(market: Market, held: Book, caplog: pytest.LogCaptureFixture) -> None:
    made = Reference(market, held, drawn(market, 4_000), YEARS)
    until = Until(0.001, 0.95, cap=4_000)
    found = go(made, Measures((0.95,)), until, 2_000)
    assert not found.held
    first = found.looks[0]
    said = f"may be out of reach: it takes about {first.needed:,.0f} scenarios, and scenarios.cap is 4,000"
    assert [r.getMessage() for r in caplog.records if r.levelname == "WARNING"] == [f"scenarios.until=0.001 {said}"]
    assert first.needed == pytest.approx(2_000 * first.ratio**2, rel=0.1)
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
