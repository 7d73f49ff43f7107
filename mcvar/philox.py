"""Random draws as a pure function of (seed, stream, step, draw, scenario): the reference generator.

Philox4x32-10 (Salmon, Moraes, Dror and Shaw, "Parallel random numbers: as easy as 1, 2, 3",
SC'11) turns a 128-bit counter and a 64-bit key into four 32-bit words. Nothing is stored and
nothing advances: any block of any scenario can be drawn alone, by any engine, in any order, and
gives the same bits.

The layout, fixed because changing it changes every number:

* key: (seed low, seed high);
* counter: (scenario low, scenario high, block b, stream << 24 | step);
* of block b, words (0, 1) give draw 2b and words (2, 3) draw 2b + 1, the first word high;
* k = high << 20 | low >> 12 (52 bits), u = (2k + 1) 2**-53: odd multiples, never 0 or 1;
* z = Phi^-1(u) by AS 241 (Wichura, Applied Statistics 37, 1988, PPND16).

Every operation below is one correctly rounded IEEE operation in a written order, so that C++
compiled without contraction and CUDA with `__dmul_rn` and `__dadd_rn` return the same bits.
"""

from __future__ import annotations

from enum import IntEnum

import numpy as np
from numpy.typing import NDArray

Words = NDArray[np.uint64]
Floats = NDArray[np.float64]


class Stream(IntEnum):
    """What a draw is for. The values are part of the law of the numbers: never renumber."""

    normals = 0
    mixing = 1
    variance = 2
    jump_count = 3
    jump_size = 4
    bootstrap_index = 5
    bridge_minimum = 6
    bridge_maximum = 7
    scrambling = 8
    resample = 9
    spare = 10


_M0, _M1 = np.uint64(0xD2511F53), np.uint64(0xCD9E8D57)
_W0, _W1 = 0x9E3779B9, 0xBB67AE85
_LOW = np.uint64(0xFFFFFFFF)
_32 = np.uint64(32)


def philox(counter: tuple[Words, Words, Words, Words], key: tuple[int, int]) -> tuple[Words, Words, Words, Words]:
    """Ten rounds of Philox4x32.

    Parameters
    ----------
    counter : four uint64 arrays that broadcast together
        The 32-bit counter words, each held in a uint64.
    key : (int, int)
        The two 32-bit key words.

    Returns
    -------
    four uint64 arrays
        The 32-bit output words, each held in a uint64.

    Examples
    --------
    >>> zero = np.zeros(1, np.uint64)
    >>> " ".join(f"{int(word[0]):08x}" for word in philox((zero, zero, zero, zero), (0, 0)))
    '6627e8d5 e169c58d bc57ac4c 9b00dbd8'
    """
    c0, c1, c2, c3 = np.broadcast_arrays(*counter)
    k0, k1 = key
    for _ in range(10):
        p0, p1 = _M0 * c0, _M1 * c2
        c0 = (p1 >> _32) ^ c1 ^ np.uint64(k0)
        c2 = (p0 >> _32) ^ c3 ^ np.uint64(k1)
        c1, c3 = p1 & _LOW, p0 & _LOW
        k0, k1 = (k0 + _W0) & 0xFFFFFFFF, (k1 + _W1) & 0xFFFFFFFF
    return c0, c1, c2, c3


def uniforms(seed: int, start: int, stop: int, draws: int, *, stream: Stream = Stream.normals, step: int = 0) -> Floats:
    """Uniforms in (0, 1) for scenarios [start, stop).

    Parameters
    ----------
    seed : int
        0 <= seed < 2**64.
    start, stop : int
        Scenario indices.
    draws : int
        Draws for each scenario: the factor, underlying or group is the draw index.
    stream : Stream
    step : int
        Time step, 0 <= step < 2**24.

    Returns
    -------
    ndarray [draws, stop - start]
        Odd multiples of 2**-53.
    """
    scenario = np.arange(start, stop, dtype=np.uint64)[None, :]  # [1, N]
    block = np.arange((draws + 1) // 2, dtype=np.uint64)[:, None]  # [B, 1]
    lane = np.full((1, 1), int(stream) << 24 | step, dtype=np.uint64)
    words = philox((scenario & _LOW, scenario >> _32, block, lane), (seed & 0xFFFFFFFF, seed >> 32))
    u = np.empty((2 * len(block), stop - start))
    for half in (0, 1):
        unit(words[2 * half] << np.uint64(20) | words[2 * half + 1] >> np.uint64(12), out=u[half::2])
    return u[:draws]


def unit(k: Words, out: Floats | None = None) -> Floats:
    """(2k + 1) 2**-53 of 52-bit k, any shape; exact.

    Examples
    --------
    >>> unit(np.array([0, 2**51], dtype=np.uint64)).tolist() == [2.0**-53, 0.5 + 2.0**-53]
    True
    """
    k = k | np.uint64(0x3FF0000000000000)  # the bits of 1 + k 2**-52, so the difference is exact
    return np.subtract(k.view(np.float64), 1.0 - 2.0**-53, out=out)


def bits_of(u: Floats) -> Words:
    """The k of `unit`, any shape; exact.

    Examples
    --------
    >>> bits_of(unit(np.array([7], dtype=np.uint64))).tolist()
    [7]
    """
    return np.asarray((u + (1.0 - 2.0**-53)).view(np.uint64) & np.uint64(0x000FFFFFFFFFFFFF))


def normals(seed: int, start: int, stop: int, draws: int, *, stream: Stream = Stream.normals, step: int = 0) -> Floats:
    """Standard normals for scenarios [start, stop); arguments as for `uniforms`.

    Returns
    -------
    ndarray [draws, stop - start]

    Examples
    --------
    >>> [float(z).hex() for z in normals(1, 0, 1, 2)[:, 0]]
    ['0x1.3a5827212ea90p+0', '0x1.bb85ef052de59p-3']
    """
    return inverse_normal(uniforms(seed, start, stop, draws, stream=stream, step=step))


# AS 241 PPND16, coefficients in ascending powers: central, middle and far region.
# fmt: off
_A = (3.3871328727963666080e0, 1.3314166789178437745e2, 1.9715909503065514427e3, 1.3731693765509461125e4,
      4.5921953931549871457e4, 6.7265770927008700853e4, 3.3430575583588128105e4, 2.5090809287301226727e3)
_B = (1.0, 4.2313330701600911252e1, 6.8718700749205790830e2, 5.3941960214247511077e3,
      2.1213794301586595867e4, 3.9307895800092710610e4, 2.8729085735721942674e4, 5.2264952788528545610e3)
_C = (1.42343711074968357734e0, 4.63033784615654529590e0, 5.76949722146069140550e0, 3.64784832476320460504e0,
      1.27045825245236838258e0, 2.41780725177450611770e-1, 2.27238449892691845833e-2, 7.74545014278341407640e-4)
_D = (1.0, 2.05319162663775882187e0, 1.67638483018380384940e0, 6.89767334985100004550e-1,
      1.48103976427480074590e-1, 1.51986665636164571966e-2, 5.47593808499534494600e-4, 1.05075007164441684324e-9)
_E = (6.65790464350110377720e0, 5.46378491116411436990e0, 1.78482653991729133580e0, 2.96560571828504891230e-1,
      2.65321895265761230930e-2, 1.24266094738807843860e-3, 2.71155556874348757815e-5, 2.01033439929228813265e-7)
_F = (1.0, 5.99832206555887937690e-1, 1.36929880922735805310e-1, 1.48753612908506148525e-2,
      7.86869131145613259100e-4, 1.84631831751005468180e-5, 1.42151175831644588870e-7, 2.04426310338993978564e-15)
# fmt: on


def inverse_normal(u: Floats) -> Floats:
    """Phi^-1(u), AS 241 (PPND16), relative error about 1e-16; any shape, u in (0, 1).

    Examples
    --------
    >>> inverse_normal(np.array([0.5])).tolist(), round(float(inverse_normal(np.array([0.975]))[0]), 12)
    ([0.0], 1.95996398454)
    """
    q = u - 0.5
    z = q * q
    np.subtract(0.180625, z, out=z)
    z = _ratio(_A, _B, z, q)
    tail = np.flatnonzero(np.abs(q) > 0.425)
    if tail.size:
        flat_u, flat_z = u.ravel(), z.ravel()
        low = flat_u[tail]
        negative = low < 0.5
        r = np.sqrt(-_log(np.where(negative, low, 1.0 - low)))
        value = _ratio(_C, _D, r - 1.6)
        far = np.flatnonzero(r > 5.0)
        value[far] = _ratio(_E, _F, r[far] - 5.0)
        flat_z[tail] = np.where(negative, -value, value)
        z = flat_z.reshape(u.shape)
    return z


def _ratio(
    numerator: tuple[float, ...], denominator: tuple[float, ...], r: Floats, factor: Floats | float = 1.0
) -> Floats:
    """Factor * numerator(r) / denominator(r): degree 7, Horner's rule, the product before the quotient."""
    top, bottom = numerator[7] * r, denominator[7] * r
    for i in range(6, 0, -1):
        top += numerator[i]
        top *= r
        bottom += denominator[i]
        bottom *= r
    top += numerator[0]
    bottom += denominator[0]
    top *= factor
    top /= bottom
    return top


def _log(x: Floats) -> Floats:
    """Natural logarithm of normal positive doubles, fdlibm's e_log.c without its branches.

    The C library's `log` differs between machines in the last bit; this one cannot. The argument
    is reduced to [sqrt(2)/2, sqrt(2)) by its high word, as in the FreeBSD version.
    """
    bits = x.view(np.int64)
    high = (bits >> np.int64(32)) + np.int64(0x3FF00000 - 0x3FE6A09E)
    k = ((high >> np.int64(20)) - np.int64(0x3FF)).astype(np.float64)
    high = (high & np.int64(0x000FFFFF)) + np.int64(0x3FE6A09E)
    f = (high << np.int64(32) | bits & np.int64(0xFFFFFFFF)).view(np.float64) - 1.0
    half_square = (0.5 * f) * f
    s = f / (2.0 + f)
    z = s * s
    w = z * z
    odd = w * (3.999999999940941908e-01 + w * (2.222219843214978396e-01 + w * 1.531383769920937332e-01))
    even = z * (
        6.666666666666735130e-01
        + w * (2.857142874366239149e-01 + w * (1.818357216161805012e-01 + w * 1.479819860511658591e-01))
    )
    rest = even + odd
    low, ln2 = k * 1.90821492927058770002e-10, k * 6.93147180369123816490e-01
    return s * (half_square + rest) + low - half_square + f + ln2
