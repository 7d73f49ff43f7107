"""Mean and central moments that merge exactly as their scenarios do.

Formulas of P. Pebay, "Formulas for robust, one-pass parallel computation of covariances and
arbitrary-order statistical moments", Sandia report SAND2008-6212 (2008).
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

Floats = NDArray[np.float64]


@dataclass(frozen=True)
class Moments:
    """Count, mean and sums of powers of deviations of each row, [R].

    Examples
    --------
    >>> whole = Moments.of(np.array([[1.0, 2.0, 4.0, 9.0]]))
    >>> merged = Moments.of(np.array([[1.0, 2.0]])).merge(Moments.of(np.array([[4.0, 9.0]])))
    >>> whole.mean.tolist(), merged.mean.tolist(), whole.variance.round(6).tolist(), merged.variance.round(6).tolist()
    ([4.0], [4.0], [12.666667], [12.666667])
    """

    count: int
    mean: Floats
    m2: Floats
    m3: Floats
    m4: Floats

    @classmethod
    @np.errstate(over="ignore", invalid="ignore")  # what is not finite is refused with the measures
    def of(cls, value: Floats) -> Moments:
        """Moments of values [R, n]."""
        mean = value.mean(axis=1)
        d = value - mean[:, None]
        square = d * d
        m2 = square.sum(axis=1)
        d *= square
        m3 = d.sum(axis=1)
        square *= square
        return cls(value.shape[1], mean, m2, m3, square.sum(axis=1))

    @classmethod
    @np.errstate(over="ignore", invalid="ignore")
    def of_powers(cls, count: int, pivot: Floats, powers: Floats) -> Moments:
        """Moments from sums of the first four powers of value - pivot, [R, 4].

        No digits are lost where the pivot is within a few standard deviations of the mean.
        """
        s1, s2, s3, s4 = powers.T
        d = s1 / count
        m2 = np.maximum(s2 - d * s1, 0.0)
        m3 = s3 - 3 * d * s2 + 2 * d * d * s1
        m4 = s4 - 4 * d * s3 + 6 * d * d * s2 - 3 * d**3 * s1
        return cls(count, pivot + d, m2, m3, m4)

    @np.errstate(over="ignore", invalid="ignore")
    def merge(self, other: Moments) -> Moments:
        """Moments of both samples."""
        a, b = self.count, other.count
        n = a + b
        d = other.mean - self.mean
        m2 = self.m2 + other.m2 + d**2 * (a * b / n)
        m3 = self.m3 + other.m3 + d**3 * (a * b * (a - b) / n**2) + 3 * d * (a * other.m2 - b * self.m2) / n
        m4 = (
            self.m4
            + other.m4
            + d**4 * (a * b * (a**2 - a * b + b**2) / n**3)
            + 6 * d**2 * (a**2 * other.m2 + b**2 * self.m2) / n**2
            + 4 * d * (a * other.m3 - b * self.m3) / n
        )
        return Moments(n, self.mean + d * (b / n), m2, m3, m4)

    @property
    def variance(self) -> Floats:
        """Unbiased sample variance, [R]."""
        return self.m2 / max(self.count - 1, 1)

    def take(self, rows: slice) -> Moments:
        """Some of the rows."""
        return Moments(self.count, self.mean[rows], self.m2[rows], self.m3[rows], self.m4[rows])
