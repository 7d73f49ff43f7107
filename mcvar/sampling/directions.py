"""Direction numbers of Sobol points, and their random linear scramblings.

The points are x_i = XOR of the direction numbers V_j over the bits j of i: any one of them alone. The direction numbers
are those of S. Joe and F. Y. Kuo, "Constructing Sobol sequences with better two-dimensional projections", SIAM Journal
on Scientific Computing 30 (2008), file new-joe-kuo-6.21201, of which `joe_kuo.npz` has the first 8,192 dimensions
(licence: `joe_kuo.txt`); the recurrence is that of Bratley and Fox, "Algorithm 659", ACM TOMS 14 (1988).

A scrambling is a random lower triangular matrix over the bits and a random digital shift (J. Matousek, "On the
L2-discrepancy for anchored boxes", Journal of Complexity 14, 1998). It is taken rather than Owen's nested one, by
hashing, because it is linear: it is folded into the direction numbers once, so that a scrambled point costs what a
plain one does on every engine; and its points are distributed, each and in pairs, as those of the nested one, so the
variance of means is the same (A. B. Owen, "Variance with alternative scramblings of digital nets", ACM Transactions on
Modeling and Computer Simulation 13, 2003).
"""

from __future__ import annotations

from dataclasses import dataclass
from functools import cache
from importlib.resources import files

import numpy as np
from numpy.typing import NDArray

from mcvar.philox import Stream, bits_of, uniforms

Words = NDArray[np.uint64]
DIGITS = 52  # of a point, as many as of a plain uniform
DIMENSIONS = 8192  # that the file has
MOST_BITS = 32  # of the number of a point


@dataclass(frozen=True)
class Net:
    """R scramblings of the points in D dimensions, interleaved as neighbouring scenarios read them.

    Parameters
    ----------
    direction : ndarray [D, bits, R]
        Scrambled direction numbers.
    shift : ndarray [D, R]
        Digital shifts.
    """

    direction: Words
    shift: Words

    @property
    def bits(self) -> int:
        """Of the numbers of points: there are 2**bits."""
        return int(self.direction.shape[1])


def direction_numbers(dimensions: int, bits: int) -> Words:
    """V_j of each dimension, [dimensions, bits], in units of 2**-52.

    Parameters
    ----------
    dimensions : int
        At most `DIMENSIONS`.
    bits : int
        At most `MOST_BITS`.

    Examples
    --------
    >>> (direction_numbers(2, 3) >> np.uint64(49)).tolist()  # in units of 1/8
    [[4, 2, 1], [4, 6, 5]]
    """
    polynomial, start = _table()
    polynomial, start = polynomial[:dimensions], start[:dimensions]
    degree = np.array([int(p).bit_length() - 1 for p in polynomial])
    m = np.ones((dimensions, bits), dtype=np.uint64)  # V_j = m_j 2**-(j + 1); in the first dimension all are 1
    for s in np.unique(degree[1:]):
        of = np.flatnonzero(degree == s)
        of = of[of > 0]
        known = min(int(s), bits)
        m[of, :known] = start[of, :known]
        for j in range(known, bits):
            new = m[of, j - s]
            for k in range(int(s)):
                has = (polynomial[of] >> np.uint64(s - 1 - k)) & np.uint64(1)
                new = new ^ has * (m[of, j - 1 - k] << np.uint64(k + 1))
            m[of, j] = new
    return np.asarray(m << np.arange(DIGITS - 1, DIGITS - 1 - bits, -1, dtype=np.uint64))


def scrambled(seed: int, scramblings: int, dimensions: int, bits: int) -> Net:
    """Independent scramblings, drawn from the stream `scrambling` of the seed.

    Of scrambling r and dimension d, which is scenario d R + r of that stream, draw 0 is the shift, and draw 1 + q holds
    what digit q (0 the first) adds to the digits after it: column q of the matrix, whose diagonal is 1. So a further
    bit of the numbers of points changes none of the points before.

    Parameters
    ----------
    seed : int
        0 <= seed < 2**64.
    scramblings, dimensions, bits : int
        R, D and the digits of the numbers of points; as for `direction_numbers`.

    Examples
    --------
    >>> net = scrambled(1, 16, 3, 10)
    >>> net.direction.shape, net.shift.shape, net.bits
    ((3, 10, 16), (3, 16), 10)
    """
    drawn = bits_of(uniforms(seed, 0, dimensions * scramblings, 1 + bits, stream=Stream.scrambling))
    drawn = drawn.reshape(1 + bits, dimensions, scramblings)
    plain = direction_numbers(dimensions, bits)
    direction = np.zeros((dimensions, bits, scramblings), dtype=np.uint64)
    for q in range(bits):
        one = np.uint64(1) << np.uint64(DIGITS - 1 - q)
        column = drawn[1 + q] & (one - np.uint64(1)) | one
        has = (plain[:, q:] & one) != 0  # numbers before the q-th have no such digit
        direction[:, q:] ^= np.where(has[:, :, None], column[:, None, :], np.uint64(0))
    return Net(direction, drawn[0].copy())


@cache
def _table() -> tuple[Words, Words]:
    """Primitive polynomials with all their coefficients, and the first m_j."""
    with files("mcvar.sampling").joinpath("joe_kuo.npz").open("rb") as file, np.load(file) as table:
        return table["polynomial"].astype(np.uint64), table["start"].astype(np.uint64)
