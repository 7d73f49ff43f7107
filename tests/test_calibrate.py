"""What job=calibrate sums up of repeated runs: against loops, and against errors that fall as they should."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace
from math import exp, log, sqrt
from typing import Any

import numpy as np
import pytest
from numpy.typing import NDArray
from scipy.stats import beta, norm

from mcvar.intervals.estimate import Sides
from mcvar.jobs.calibrate import Calibration, Truth, median, nominal
from mcvar.jobs.convergence import factors, recommendations, slopes
from mcvar.jobs.repeat import Case, Repeated
from mcvar.measures import Interval, Measures
from mcvar.models import Gaussian
from mcvar.sampling import Plain, Quasi, Strata
from mcvar.scenarios import Simulated

Floats = NDArray[np.float64]


def made(value: Floats, *, count: int = 1000, scheme: str = "plain", half: float = 1.0, sampling: Any = None) -> Any:
    """A case of one reading, and what its runs found, from values [K, Q, R]."""
    law = Gaussian().law
    scenarios = Simulated.__new__(Simulated)
    for name, given in {"law": law, "count": count, "seed": 1, "sampling": sampling or Quasi(2)}.items():
        object.__setattr__(scenarios, name, given)
    case = Case(scheme, scenarios, {"asymptotic": Measures((0.9,), 0.9, Interval.asymptotic)})
    wide = value[:, None]
    return case, Repeated(wide, wide * 0, wide - half, wide + half, np.full((len(value), 1), count / 1e3))


def test_the_table_is_what_loops_make_of_the_runs() -> None:
    rng = np.random.default_rng(1)
    truth = np.array([[1.0, -2.0, 5.0, 0.0], [3.0, 4.0, 7.0, 6.0]])
    value = truth + rng.normal(size=(30, 2, 4))
    value[:, :, 3] = truth[:, 3]  # without sampling error: left out
    case, found = made(value)
    var, es = Calibration([case], [found], Truth(truth, 0.1 * np.ones_like(truth))).lines
    for line, q in ((var, 0), (es, 1)):
        held, errors = [], []
        for k in range(30):
            held.append(np.mean([abs(value[k, q, r] - truth[q, r]) <= 1.0 for r in range(3)]))
        for r in range(3):
            errors.append(sqrt(np.mean([(value[k, q, r] / truth[q, r] - 1) ** 2 for k in range(30)])))
        assert line.coverage == pytest.approx(np.mean(held), rel=1e-12)
        assert line.coverage_stderr == pytest.approx(np.std(held, ddof=1) / sqrt(30), rel=1e-12)
        assert line.relative_error == pytest.approx(sorted(errors)[1], rel=1e-12)
        assert (line.scheme, line.interval, line.scenarios, line.nominal) == ("plain", "asymptotic", 1000, 0.9)
        assert line.seconds == 1.0


def test_an_interval_without_an_end_does_not_miss_there_and_all_alike_is_as_sure_as_nominal() -> None:
    value = np.random.default_rng(1).normal(size=(25, 2, 1))
    case, found = made(value)
    open_ended = replace(found, high=np.full_like(found.high, np.nan), low=found.value - 9)
    line = Calibration([case], [open_ended], Truth(np.zeros((2, 1)), np.zeros((2, 1)))).lines[0]
    assert (line.coverage, line.coverage_stderr) == (1.0, pytest.approx(sqrt(0.09 / 25)))
    assert line.relative_error is None  # the truth is 0


def test_accounts_of_nearly_no_value_do_not_rule_the_error() -> None:
    rng = np.random.default_rng(1)
    truth = np.array([[100.0, 100.0, 1e-9], [100.0, 100.0, 0.0]])
    case, found = made(truth + rng.normal(size=(400, 2, 3)))
    for line in Calibration([case], [found], Truth(truth, 0 * truth)).lines:
        assert line.relative_error == pytest.approx(0.01, rel=0.15)
    assert np.isnan(median(np.full((2, 3), np.nan))).all()


@pytest.mark.parametrize("sides", Sides)
@pytest.mark.parametrize("level", [0.95, 0.99])
def test_nominal_coverage_of_ranks_is_that_of_the_beta_law(sides: Sides, level: float) -> None:
    """The l-th lowest of N uniforms is beta(l, N + 1 - l): an end misses where that is beyond the level."""
    asked, count = Measures((level,), 0.9, sides=sides), 2_000
    ranks, misses = asked.ranks(count, level), 0.0
    if ranks.low is not None:
        misses += float(beta(count + 1 - ranks.low, ranks.low).sf(level))
    if ranks.high is not None:
        misses += float(beta(count + 1 - ranks.high, ranks.high).cdf(level))
    assert nominal(asked, "var", level, count) == pytest.approx(1 - misses, abs=1e-12)
    assert nominal(asked, "var", level, count) >= 0.9
    assert nominal(asked, "es", level, count) == 0.9
    assert nominal(replace(asked, interval=Interval.asymptotic), "var", level, count) == 0.9


def falling(rate: float, counts: Sequence[int], noise: float, scheme: str, sampling: Any = None) -> tuple[Any, Any]:
    """Runs whose relative error is N^rate, nearly."""
    rng, cases, found = np.random.default_rng(2), [], []
    for count in counts:
        spread = rng.normal(size=(200, 2, 5)) * count**rate
        sized = spread / np.sqrt((spread**2).mean(axis=0)) * count**rate
        case, each = made(1 + noise * spread + (1 - noise) * sized, count=count, scheme=scheme, sampling=sampling)
        cases.append(case)
        found.append(each)
    return cases, found


def test_slopes_factors_and_the_scenarios_of_a_precision() -> None:
    counts = (1024, 4096, 16384)
    plain, slow = falling(-0.5, counts, 0.0, "plain", Strata(2))
    fast, quick = falling(-1.0, counts, 0.0, "sobol", Quasi(2))
    runs = Calibration([*plain, *fast], [*slow, *quick], Truth(np.ones((2, 5)), np.zeros((2, 5))))
    found = {(s.scheme, s.measure): s for s in slopes(runs)}
    assert found["plain", "var"].slope == pytest.approx(-0.5, abs=1e-9)
    assert found["sobol", "es"].slope == pytest.approx(-1.0, abs=1e-9)
    assert found["sobol", "es"].stderr < 0.05
    saved = {(f.measure, f.scenarios): f for f in factors(runs)}
    assert set(saved) == {(m, n) for m in ("var", "es") for n in counts}
    assert all(f.scheme == "sobol" for f in saved.values())
    for (_, count), factor in saved.items():  # variances are about the mean, which is not quite the truth
        assert factor.factor == pytest.approx(count, rel=0.05)
        assert 0 < factor.stderr < 0.5 * factor.factor
    z = norm.ppf(0.95)  # of intervals of 90 %
    advice = {(r.scheme, r.measure): r for r in recommendations(runs, 0.001, {"plain": 7.0})}
    wanted = (z / 0.001) ** 2
    assert wanted <= advice["plain", "var"].scenarios < wanted + 32  # whole rounds of 2 strata in 16 groups
    assert advice["plain", "var"].basis == "extrapolated"
    assert advice["plain", "var"].seconds == pytest.approx(7.0 + advice["plain", "var"].scenarios / 1e3, rel=1e-6)
    assert (advice["sobol", "var"].scenarios, advice["sobol", "var"].basis) == (2048, "between")
    assert {r.basis for r in recommendations(runs, 0.9, {})} == {"fewest"}
    assert {r.scenarios for r in recommendations(runs, 0.9, {})} == {1024}


def test_a_slope_that_is_not_sure_is_not_extrapolated() -> None:
    cases, found = falling(-0.9, (1024, 1536), 1.0, "plain")
    runs = Calibration(cases, found, Truth(np.ones((2, 5)), np.zeros((2, 5))))
    assert slopes(runs)[0].stderr > 0.05
    each = recommendations(runs, 0.0001, {})[0]
    errors = [runs.relative(i, 0)[0] for i in (0, 1)]
    scale = np.mean([log(e) + 0.5 * log(n) for e, n in zip(errors, (1024, 1536), strict=True)])
    assert each.rate == -0.5
    assert each.scenarios >= exp(2 * (scale - log(0.0001 / norm.ppf(0.95))))
    single = Calibration(cases[:1], found[:1], Truth(np.ones((2, 5)), np.zeros((2, 5))))
    assert slopes(single) == []
    still = Calibration(cases[:1], [replace(found[0], value=np.ones_like(found[0].value))], single.truth)
    assert still.lines[0].coverage is None
    assert (recommendations(still, 0.01, {})[0].scenarios, recommendations(still, 0.01, {})[0].basis) == (None, "none")


def test_a_bent_line_is_read_between_the_counts_and_not_followed_beyond_them() -> None:
    """Errors that fall as N^-1 at first and then as N^-1/2, as of a control that gets no better."""
    cases, found = [], []
    for count, size in ((1000, 1.0), (10_000, 0.1), (100_000, 0.1 / sqrt(10))):
        each = falling(-0.5, (count,), 0.0, "plain", Plain())
        cases += each[0]
        found.append(replace(each[1][0], value=1 + 0.01 * size * (each[1][0].value - 1) * sqrt(count)))
    runs = Calibration(cases, found, Truth(np.ones((2, 5)), np.zeros((2, 5))))
    assert slopes(runs)[0].bent
    errors = [runs.relative(i, 0)[0] for i in range(3)]
    assert errors == pytest.approx([0.01, 0.001, 0.001 / sqrt(10)], rel=1e-9)
    z = norm.ppf(0.95)
    beyond, between = (recommendations(runs, z * error, {})[0] for error in (0.0001, 0.002))
    assert (beyond.scenarios, beyond.basis, beyond.rate) == (1_000_000, "extrapolated", -0.5)
    assert (between.scenarios, between.basis) == (5000, "between")  # as of -1 between the first two
    assert between.rate == pytest.approx(-1.0)
    straight, quick = falling(-1.0, (1024, 4096, 16384), 0.5, "plain")
    assert not slopes(Calibration(straight, quick, Truth(np.ones((2, 5)), np.zeros((2, 5)))))[0].bent


def test_the_error_of_a_slope_is_that_of_repeated_slopes() -> None:
    said, slope = [], []
    rng = np.random.default_rng(3)
    for _ in range(60):
        cases, found = [], []
        for count in (1000, 4000):
            case, each = made(1 + rng.normal(size=(50, 2, 1)) / sqrt(count), count=count)
            cases.append(case)
            found.append(each)
        one = slopes(Calibration(cases, found, Truth(np.ones((2, 1)), np.zeros((2, 1)))))[0]
        said.append(one.stderr)
        slope.append(one.slope)
    assert np.mean(slope) == pytest.approx(-0.5, abs=3.5 * np.std(slope) / sqrt(60))
    assert np.std(slope) == pytest.approx(np.mean(said), rel=3.5 / sqrt(120))
