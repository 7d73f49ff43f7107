"""Compound-Poisson jumps: at times common to all factors, and of each factor alone."""

from __future__ import annotations

from dataclasses import dataclass
from functools import cached_property

import numpy as np
from numpy.typing import NDArray
from scipy import stats

from mcvar.correlation import factor_of
from mcvar.errors import SettingError
from mcvar.philox import Stream
from mcvar.sampling import Source

Floats = NDArray[np.float64]
MOST = 1000.0  # jumps expected in a step: beyond, their table is long and their sum is normal


@dataclass(frozen=True)
class Jumps:
    """Jumps over one step; sizes are normal.

    Parameters
    ----------
    common_intensity : float
        Expected number of common jumps in the step.
    common_mean, common_deviation : ndarray [F]
        Sizes of a factor's part in a common jump.
    root : ndarray [F, F]
        Lower triangular, root root' = the correlation of the sizes of a common jump.
    own_intensity, own_mean, own_deviation : ndarray [F]
        Of jumps of one factor alone, independent of all else.
    """

    common_intensity: float
    common_mean: Floats
    common_deviation: Floats
    root: Floats
    own_intensity: Floats
    own_mean: Floats
    own_deviation: Floats

    @property
    def mean(self) -> Floats:
        """Expected sum of a step's jumps, [F]."""
        return np.asarray(self.common_intensity * self.common_mean + self.own_intensity * self.own_mean)

    @property
    def variance(self) -> Floats:
        """Variance of a step's jumps, [F]."""
        return np.asarray(np.diag(self.covariance))

    @property
    def covariance(self) -> Floats:
        """Covariance of a step's jumps, [F, F]: intensity times the second moments of their sizes."""
        size = self.root * self.common_deviation[:, None]
        common = size @ size.T + np.outer(self.common_mean, self.common_mean)
        own = self.own_intensity * (self.own_mean**2 + self.own_deviation**2)
        return np.asarray(self.common_intensity * common + np.diag(own))

    @property
    def cumulant(self) -> Floats:
        """Ln E[exp(sum of a step's jumps)], [F] (Merton, "Option pricing when underlying stock returns are
        discontinuous", 1976)."""  # noqa: D205, D209
        common = np.expm1(self.common_mean + 0.5 * self.common_deviation**2)
        own = np.expm1(self.own_mean + 0.5 * self.own_deviation**2)
        return np.asarray(self.common_intensity * common + self.own_intensity * own)

    def draw(self, source: Source, start: int, stop: int, step: int) -> Floats:
        """Sums of the jumps of scenarios [start, stop) in a step, [F, stop - start].

        Given their numbers the sum is normal, so one normal a factor is enough however many there are.
        """
        size = len(self.own_mean)
        own_draws = size + size % 2  # from here on, draws of the jump sizes belong to the factors alone
        u = source.uniforms(start, stop, 1 + size, stream=Stream.jump_count, step=step)
        z = source.normals(start, stop, own_draws + size, stream=Stream.jump_size, step=step)
        common, *own = self.tables
        n = np.searchsorted(common, u[0]).astype(np.float64)
        jump = n * self.common_mean[:, None] + np.sqrt(n) * (self.common_deviation[:, None] * (self.root @ z[:size]))
        m = np.stack([np.searchsorted(table, row).astype(np.float64) for table, row in zip(own, u[1:], strict=True)])
        jump += m * self.own_mean[:, None] + np.sqrt(m) * (self.own_deviation[:, None] * z[own_draws:])
        return np.asarray(jump)

    @cached_property
    def tables(self) -> list[Floats]:
        """Cumulative probabilities of the numbers of jumps, common ones first; a number is that of entries below u."""
        return [poisson_table(float(i)) for i in (self.common_intensity, *self.own_intensity)]


def poisson_table(intensity: float) -> Floats:
    """P(n <= 0), P(n <= 1), ... up to the last that a uniform of 53 bits can exceed."""
    if intensity == 0.0:
        return np.ones(1)
    law = stats.poisson(intensity)
    return np.asarray(law.cdf(np.arange(int(law.isf(2.0**-53)) + 2)))


@dataclass(frozen=True)
class JumpRates:
    """Jumps in people's terms: intensities a year, sizes as in `Jumps`; bound to a step by `over`."""

    common_intensity: float
    common_mean: Floats
    common_deviation: Floats
    correlation: Floats  # of the sizes of a common jump, [F, F]
    own_intensity: Floats
    own_mean: Floats
    own_deviation: Floats

    def over(self, years: float, names: tuple[str, ...]) -> Jumps:
        """The jumps of a step of so many years.

        Raises
        ------
        SettingError
            Negative intensities or deviations, more jumps in a step than `MOST`; all at once.
        """
        rows = [("common", self.common_intensity, 0.0)]
        rows += [(f"common size of {n}", 0.0, float(d)) for n, d in zip(names, self.common_deviation, strict=True)]
        own = zip(names, self.own_intensity, self.own_deviation, strict=True)
        rows += [(f"own {name}", float(i), float(d)) for name, i, d in own]
        problems = [
            f"jumps of {name}: the mean size is {mean:g}, and must be finite"
            for means in (self.common_mean, self.own_mean)
            for name, mean in zip(names, means, strict=True)
            if not np.isfinite(mean)
        ]
        for where, intensity, deviation in rows:
            if not intensity >= 0:
                problems.append(f"jumps, {where}: the intensity is {intensity:g} a year, and must not be negative")
            if not deviation >= 0:
                problems.append(f"jumps, {where}: the deviation is {deviation:g}, and must not be negative")
            if intensity * years > MOST:
                problems.append(
                    f"jumps, {where}: {intensity * years:g} are expected in a step, over {MOST:g}: so many are a "
                    "diffusion; lower the intensity or raise model.steps"
                )
        if problems:
            raise SettingError("\n".join(problems))
        return Jumps(
            self.common_intensity * years,
            self.common_mean,
            self.common_deviation,
            factor_of(self.correlation),
            self.own_intensity * years,
            self.own_mean,
            self.own_deviation,
        )


def no_jumps(size: int) -> JumpRates:
    """No jumps of any factor."""
    zero = np.zeros(size)
    return JumpRates(0.0, zero, zero, np.eye(size), zero, zero, zero)
