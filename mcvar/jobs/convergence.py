"""How errors fall with the number of scenarios, what a scheme saves, and how many scenarios a precision takes."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from math import ceil, exp, floor, isfinite, log, log10, sqrt

import numpy as np
from numpy.typing import NDArray

from mcvar.intervals.estimate import normal
from mcvar.jobs.calibrate import Calibration, left_out, median
from mcvar.sampling import Quasi, Sampling, Strata

Floats = NDArray[np.float64]
SURE = 0.05  # standard error of a slope below which it is taken for what it is
_BENT = 3.5  # standard errors
_FLATTEST = -0.25  # a slope beyond which errors are not taken to fall
_MOST = 41.0  # logarithm of the scenarios that are recommended: below 2**60


@dataclass(frozen=True)
class Slope:
    """relative_error ~ scenarios^slope.

    Parameters
    ----------
    scale : float
        Logarithm of the line at one scenario.
    bent : bool
        Whether the slope between the last two counts is another, by more than 3.5 standard errors of the difference.
    """

    scheme: str
    measure: str
    level: float
    slope: float
    stderr: float
    scale: float
    bent: bool


@dataclass(frozen=True)
class Factor:
    """The variance of a plain run over that of a scheme at equal N, the median over accounts."""

    scheme: str
    measure: str
    level: float
    scenarios: int
    factor: float
    stderr: float


@dataclass(frozen=True)
class Recommendation:
    """The scenarios that a scheme takes for a half-width.

    Parameters
    ----------
    scenarios : int or None
        A number that the scheme takes; None: there is no error to go by.
    seconds : float or None
        About, with what the scheme takes to prepare; the engine apart.
    basis : str
        `between`: from the counts that were run; `extrapolated` beyond the largest of them; `fewest`: the least of
        them is enough; `none`.
    rate : float
        Of the errors there: the slope that was fitted, else -0.5.
    """

    scheme: str
    measure: str
    level: float
    scenarios: int | None
    seconds: float | None
    basis: str
    rate: float


def slopes(runs: Calibration) -> list[Slope]:
    """Of each scheme and measure, least squares through the logarithms; none with fewer than two counts.

    Standard errors by the jackknife over repetitions, whose seeds are those of all counts.
    """
    return [
        slope
        for places in runs.by_scheme().values()
        for q in range(len(runs.measures))
        if len(places) > 1 and (slope := _slope(runs, places, q)) is not None
    ]


def factors(runs: Calibration, base: str = "plain") -> list[Factor]:
    """Of each scheme, at the counts at which `base` was run, too; standard errors by the jackknife over repetitions."""
    by_scheme = runs.by_scheme()
    plain = {runs.cases[i].count: i for i in by_scheme.get(base, [])}
    pairs = [
        (plain[runs.cases[i].count], i)
        for scheme, places in by_scheme.items()
        for i in places
        if scheme != base and runs.cases[i].count in plain
    ]
    found = [_factor(runs, above, below, q) for above, below in pairs for q in range(len(runs.measures))]
    return [factor for factor in found if factor is not None]


def recommendations(runs: Calibration, target: float, preparation: Mapping[str, float]) -> list[Recommendation]:
    """The scenarios of each scheme at which the half-width for the median account is `target` of its value.

    The half-width is z relative errors, with z of the intervals' ends. Errors follow the fitted line where the standard
    error of its slope is at most 0.05, else N^(-1/2) through what was found. Where the line is bent, they are read
    between the counts, and beyond these fall as N^(-1/2).

    Parameters
    ----------
    preparation : mapping of str to float
        Seconds that a scheme takes before its scenarios.
    """
    fitted = {(s.scheme, s.measure, s.level): s for s in slopes(runs)}
    made = []
    for scheme, places in runs.by_scheme().items():
        case = runs.cases[places[0]]
        wanted = log(target / normal(case.asked.ends.given[0]))
        count = np.array([float(runs.cases[i].count) for i in places])
        seconds = [float(np.median(runs.found[i].seconds[:, 0])) for i in places]
        for q, (measure, level) in enumerate(runs.measures):
            with np.errstate(divide="ignore"):
                error = np.log([runs.relative(i, q)[0] for i in places])
            if not np.isfinite(error).all():
                made.append(Recommendation(scheme, measure, level, None, None, "none", -0.5))
                continue
            at, rate = _reached(np.log(count), error, wanted, fitted.get((scheme, measure, level)))
            number = exp(min(at, _MOST))
            basis = "extrapolated" if number > count[-1] else "between" if number > count[0] else "fewest"
            takes = case.count if basis == "fewest" else taken(number, case.scenarios.sampling)
            time = float(np.interp(takes, count, seconds)) * max(1.0, takes / float(count[-1]))
            time += preparation.get(scheme, 0.0)
            made.append(Recommendation(scheme, measure, level, takes, time, basis, rate))
    return made


def taken(number: float, sampling: Sampling) -> int:
    """The least number of scenarios, at least so many, that a sampling takes; of plain ones, in two figures.

    Examples
    --------
    >>> from mcvar.sampling import Plain
    >>> taken(203_456, Plain()), taken(203_456, Quasi(16)), taken(203_456, Strata(64))
    (210000, 262144, 203776)
    """
    number *= 1 - 1e-9  # what is more by rounding is not
    if isinstance(sampling, Quasi):
        return int(sampling.scramblings * 2 ** (ceil(number / sampling.scramblings) - 1).bit_length())
    unit = int(10 ** max(0, floor(log10(number)) - 1))
    if isinstance(sampling, Strata):
        unit = sampling.strata * sampling.replicates
    return ceil(number / unit) * unit


def _reached(count: Floats, error: Floats, wanted: float, slope: Slope | None) -> tuple[float, float]:
    """Where the error is the wanted one, all in logarithms, and the rate of errors there.

    Examples
    --------
    >>> _reached(np.array([0.0, 2.0]), np.array([0.0, -1.0]), -3.0, None)
    (6.0, -0.5)
    """
    if slope is not None and slope.bent:
        below = np.flatnonzero(error <= wanted)
        if not len(below):
            return float(count[-1] + 2.0 * (error[-1] - wanted)), -0.5
        at = max(int(below[0]), 1)
        rate = float((error[at] - error[at - 1]) / (count[at] - count[at - 1]))
        return float(count[at] + (wanted - error[at]) / rate), rate
    if slope is not None and slope.stderr <= SURE and slope.slope <= _FLATTEST:
        return (wanted - slope.scale) / slope.slope, slope.slope
    return 2.0 * (float(np.mean(error + 0.5 * count)) - wanted), -0.5


def _slope(runs: Calibration, places: Sequence[int], q: int) -> Slope | None:
    count = np.log([float(runs.cases[i].count) for i in places])
    whole, parts = zip(*(runs.relative(i, q) for i in places), strict=True)
    with np.errstate(divide="ignore"):
        error = np.log(np.column_stack([whole, np.stack(parts)]))  # [C, 1 + K]
    if not np.isfinite(error).all():
        return None
    centred = count - count.mean()
    slope = centred @ error / (centred @ centred)
    scale = float(error[:, 0].mean() - slope[0] * count.mean())
    bend = (error[-1] - error[-2]) / (count[-1] - count[-2]) - slope
    bent = len(places) > 2 and abs(float(bend[0])) > _BENT * _jackknife(bend[1:])
    scheme, (measure, level) = runs.cases[places[0]].scheme, runs.measures[q]
    return Slope(scheme, measure, level, float(slope[0]), _jackknife(slope[1:]), scale, bent)


def _factor(runs: Calibration, plain: int, other: int, q: int) -> Factor | None:
    above, below = (runs.found[i].value[:, 0, q, runs.moving[q]] for i in (plain, other))
    with np.errstate(divide="ignore", invalid="ignore"):
        factor = float(median(above.var(axis=0) / below.var(axis=0)))
        each = median(_variances(above) / _variances(below))
    if not (isfinite(factor) and np.isfinite(each).all()):
        return None
    case, (measure, level) = runs.cases[other], runs.measures[q]
    return Factor(case.scheme, measure, level, case.count, factor, _jackknife(each))


def _variances(values: Floats) -> Floats:
    """Variances over the first axis without each of its elements in turn."""
    centred = values - values.mean(axis=0)
    return np.asarray(left_out(centred**2) - left_out(centred) ** 2)


def _jackknife(values: Floats) -> float:
    """The standard error of a number from what it is without each of K repetitions.

    B. Efron and C. Stein, "The jackknife estimate of variance", Annals of Statistics 9, 1981.

    Examples
    --------
    >>> x = np.array([1.0, 2.0, 4.0])
    >>> round(_jackknife(left_out(x)), 6) == round(float(x.std(ddof=1) / sqrt(3)), 6)
    True
    """
    return sqrt((len(values) - 1) * float(np.var(values)))
