"""Sections: those of the losses themselves, of equal losses, of strata; what is refused, and what is said."""

from __future__ import annotations

import numpy as np
import pytest
from numpy.typing import NDArray
from scipy import stats
from scipy.special import ndtri

from mcvar.errors import CapacityError
from mcvar.intervals import sections
from mcvar.measures import Estimate, Interval, Measures, expected_shortfall, value_at_risk
from mcvar.moments import Moments
from mcvar.sampling.schemes import Quasi, Shape, Strata
from mcvar.tail import Tail

Floats = NDArray[np.float64]


def measured(loss: Floats, asked: Measures) -> dict[str, Estimate]:
    tail = Tail.of(loss, 0, asked.depth(loss.shape[1]))
    return {e.measure: e for e in asked.measure(tail, Moments.of(loss))}


@pytest.mark.parametrize(("count", "number", "unit"), [(8_000, 16, 1), (8_192, 8, 64), (8_000, 7, 50), (8_001, 16, 3)])
def test_sections_are_those_of_the_losses_themselves(count: int, number: int, unit: int) -> None:
    loss = np.random.default_rng(5).exponential(size=(2, count))
    head = Tail.of(loss, 0, sections.depth(count, 0.95, number, unit))
    assert head.loss.shape[1] < count / 4
    found = sections.Sections.of(head, 0.95, number, unit)
    for s in range(number):
        one = loss[:, np.arange(count) // unit % number == s]
        assert one.shape[1] == sections.sizes(count, number, unit)[s]
        tail = Tail.of(one, 0, one.shape[1])
        np.testing.assert_array_equal(found.var[:, s], value_at_risk(tail, 0.95, 0.95).value)
        np.testing.assert_allclose(found.es[:, s], expected_shortfall(tail, 0.95, 0.95).value, rtol=1e-13)
    estimate = found.estimate(head, "es", 0.9)
    half = stats.t(number - 1).ppf(0.95) * found.es.std(axis=1, ddof=1) / np.sqrt(number)
    np.testing.assert_allclose(estimate.high - estimate.value, half, rtol=1e-10)
    assert estimate.method == f"{number} sections"


def test_a_section_that_lacks_its_rank_is_an_error() -> None:
    loss = np.random.default_rng(5).exponential(size=(2, 8_000))
    loss[1, ::4] += 100.0  # all of the worst losses are in one section
    head = Tail.of(loss, 0, sections.depth(8_000, 0.95, 4, 1))
    for unit, names, message in (
        (0, None, r"^row 1: section 2 of 4 has fewer than 101 of the \d+ worst .* higher, or measure\.sections lower$"),
        (1, ["A", "B"], r"^account 'B': section 2 of 4 .* scenarios\.count higher, or sampling\.scramblings lower$"),
    ):
        with pytest.raises(CapacityError, match=message):
            sections.Sections.of(head, 0.95, 4, unit, names)
    with pytest.raises(CapacityError, match="turns of 1000 do not fill 16 sections evenly"):
        sections.depth(8_000, 0.95, 16, 1_000)


@pytest.mark.parametrize("unit", [1, 512])
def test_equal_losses_beyond_what_is_kept(unit: int) -> None:
    """No risk, a loss that is limited, and one that is hardly more likely than the tail: as if all were kept."""
    count, level = 16 * 1024, 0.99
    rng = np.random.default_rng(4)
    limited = np.minimum(rng.normal(size=count), 0.0)
    rare = np.where(np.arange(count) % 95 == 3, 1.0 + rng.random(count), 0.0)
    loss = np.stack([np.full(count, -3.0), limited, rare, rng.normal(size=count)])
    head = Tail.of(loss, 0, sections.depth(count, level, 16, unit))
    assert head.loss.shape[1] < count / 16
    found = sections.Sections.of(head, level, 16, unit)
    whole = sections.Sections.of(Tail.of(loss, 0, count), level, 16, unit)
    np.testing.assert_array_equal(found.var, whole.var)
    np.testing.assert_allclose(found.es, whole.es, rtol=1e-13)
    assert (found.var[:2] == [[-3.0], [0.0]]).all()
    assert found.es[2].std() > 0


def test_few_losses_a_section_are_said() -> None:
    asked = Measures((0.9, 0.99), interval=Interval.sections)
    assert asked.notes(16_000, []) == []
    (note,) = asked.notes(8_000, [])
    assert note.startswith("only 5 losses a section lie beyond level 0.99: ")
    assert note.endswith("set scenarios.count higher, or measure.sections lower")
    (note,) = Measures((0.99,), unit=64).notes(8_192, [])
    assert note.endswith("set scenarios.count higher")


@pytest.mark.parametrize(("unit", "says"), [(1, "16 times a power of two"), (64, "a multiple of 1024")])
def test_the_count_named_is_one_that_the_sampling_takes(unit: int, says: str) -> None:
    asked = Measures((0.985,), unit=unit)  # 16 / 0.015 = 1066.7
    with pytest.raises(CapacityError, match=rf"set scenarios\.count to 2048 or more \({says}\)"):
        asked.depth(1_024)
    assert asked.depth(2_048) <= 2_048
    sampling = {1: Quasi(16), 64: Strata(64)}[unit]
    sampling.check(2_048, Shape(steps=1, mixings=0, factors=2))


def test_sections_know_that_stratified_scenarios_vary_less() -> None:
    """Each round of 64 scenarios has one in every 64th of the law: ES varies much less than of independent losses."""
    rng, strata, count, trials = np.random.default_rng(11), 64, 16 * 64 * 4, 1000
    u = (np.tile(np.arange(strata), count // strata) + rng.random((trials, count))) / strata
    loss = ndtri(u)
    found = measured(loss, Measures((0.95,), unit=strata))["es"]
    truth = stats.norm.pdf(ndtri(0.95)) / 0.05
    assert found.method == "16 sections"
    covered = float(((found.low <= truth) & (truth <= found.high)).mean())
    assert abs(covered - 0.95) < 3.5 * np.sqrt(0.95 * 0.05 / trials)
    assert np.sqrt((found.stderr**2).mean()) == pytest.approx(found.value.std(), rel=0.1)
    independent = measured(loss, Measures((0.95,)))["es"]
    assert independent.stderr.mean() > 1.5 * found.stderr.mean()
