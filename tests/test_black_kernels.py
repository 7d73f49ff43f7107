"""Elementary functions and Black's formula of the kernels, host build: errors against higher precision, edge cases."""

from __future__ import annotations

import ctypes
from collections.abc import Callable
from typing import Any

import numpy as np
import pytest
from headers import build, needs_compiler
from numpy.typing import NDArray
from scipy.special import ndtr

Array = NDArray[Any]
pytestmark = needs_compiler
SOURCE = """
#include "black.cuh"
#define LOOP(name, type, formula) \\
    extern "C" void name(int64_t count, const type *a, const type *b, const type *c, const type *d, type *out) { \\
        const type scale = static_cast<type>(mcvar::D_SCALE); \\
        (void)a, (void)b, (void)c, (void)d, (void)scale; \\
        _Pragma("omp simd") for (int64_t i = 0; i < count; ++i) out[i] = formula; \\
    }
#define BOTH(name, formula) LOOP(name##_float64, double, formula) LOOP(name##_float32, float, formula)
BOTH(black, mcvar::black(a[i], b[i], scale * c[i], scale * d[i]))
LOOP(exp_float64, double, mcvar::exp_(a[i]))
BOTH(reciprocal, mcvar::reciprocal(a[i]))
LOOP(exp_small_float64, double, mcvar::exp_small(a[i]))
"""
Call = Callable[..., Array]


@pytest.fixture(scope="module")
def call(tmp_path_factory: pytest.TempPathFactory) -> Call:
    """Call a function of the library on arrays or numbers; the first argument names it, the second its precision."""
    library = build(tmp_path_factory.mktemp("black"), SOURCE, "-O3")

    def run(name: str, precision: type, *arguments: Any) -> Array:
        dtype = np.dtype(precision)
        arrays = [np.array(a, dtype) for a in np.broadcast_arrays(*(np.atleast_1d(a) for a in arguments))]
        arrays += [arrays[0]] * (4 - len(arrays))
        out = np.empty_like(arrays[0])
        pointers = [ctypes.c_void_p(a.ctypes.data) for a in (*arrays, out)]
        getattr(library, f"{name}_{dtype.name}")(ctypes.c_int64(out.size), *pointers)
        return out

    return run


def second_of(first: Any, d1: Array, d2: Array) -> Array:
    """`second` such that first phi(d1) = second phi(d2)."""
    wide1, wide2 = np.asarray(d1, np.longdouble), np.asarray(d2, np.longdouble)
    return np.asarray(first * np.exp((wide2 - wide1) * (wide2 + wide1) / 2), np.float64)


def options(count: int, seed: int, precision: type = np.float64) -> tuple[Array, Array, Array, Array]:
    """first, second, d1, d2 of calls and puts, near and far from the money, deviations from 0.001 to 5."""
    random = np.random.default_rng(seed)
    middle = random.normal(0.0, 3.0, count) * random.choice([0.1, 1.0, 3.0], count)
    half = 0.5 * np.exp(random.uniform(np.log(1e-3), np.log(5.0), count))
    side = random.choice([-1.0, 1.0], count)
    d1, d2 = (middle + side * half).astype(precision), (middle - side * half).astype(precision)
    kept = np.abs(middle * half) < 20.0
    side, d1, d2 = side[kept].astype(precision), d1[kept], d2[kept]
    return side, second_of(side, d1, d2).astype(precision), d1, d2


def test_exp_double(call: Call) -> None:
    x = np.concatenate([np.random.default_rng(1).uniform(-708, 709, 100_000), np.linspace(-1, 1, 100_001)])
    exact = np.exp(x.astype(np.longdouble))
    assert np.max(np.abs(call("exp", np.float64, x) / exact - 1)) < 2e-16
    small = x[x <= 0]
    assert np.max(np.abs(call("exp_small", np.float64, small) / exact[x <= 0] - 1)) < 2e-16
    np.testing.assert_array_equal(call("exp", np.float64, small), call("exp_small", np.float64, small))


def test_exp_ends(call: Call) -> None:
    values = call("exp", np.float64, [-708.5, -1e30, -np.inf, 709.5, 1e30, np.inf, 0.0, -0.0, np.nan])
    np.testing.assert_array_equal(values, [0, 0, 0, np.inf, np.inf, np.inf, 1, 1, np.nan])
    np.testing.assert_array_equal(call("exp_small", np.float64, [0.0, np.nan]), [1, np.nan])


@pytest.mark.parametrize("precision", [np.float64, np.float32])
def test_reciprocal(call: Call, precision: type) -> None:
    x = np.exp(np.random.default_rng(3).uniform(-80, 80, 10_000)).astype(precision)
    assert np.max(np.abs(call("reciprocal", precision, x) * x - 1)) <= 2 * np.finfo(precision).eps


def test_black_double(call: Call) -> None:
    first, second, d1, d2 = options(200_000, 4)
    exact = first * ndtr(d1) - second * ndtr(d2)  # itself to a few 1e-16
    error = np.abs(call("black", np.float64, first, second, d1, d2) - exact) / np.maximum(1.0, np.abs(second))
    assert error.max() < 1e-15
    assert np.sqrt(np.mean(error**2)) < 1.5e-16


@pytest.mark.parametrize(
    ("d1", "d2", "second", "value", "tolerance"),
    [  # from 60 digits
        (0.125, -0.125, 1.0, 0.09947644966022579, 1e-14),
        (-1.0, -1.25, 1.3247847587288655, 0.018692044014452954, 1e-13),
        (-2.5, -3.0, 3.955076722920577, 0.0008707150425596433, 1e-12),
        (-4.0, -4.25, 2.8045693562372267, 1.6945299813870899e-06, 1e-12),
        (-6.0, -6.5, 22.75989509352673, 7.255012519594204e-11, 1e-8),
        (3.0, 2.5, 0.25283959580474646, 0.7473805554346754, 1e-15),
        (1.5, -2.5, 7.38905609893065, 0.8873092332833976, 1e-15),
    ],
)
def test_black_known(call: Call, d1: float, d2: float, second: float, value: float, tolerance: float) -> None:
    for side in (1.0, -1.0):
        got = call("black", np.float64, side, side * second, d1, d2)
        assert got[0] == pytest.approx(side * value, rel=tolerance, abs=0)


@pytest.mark.parametrize("precision", [np.float64, np.float32])
def test_black_at_the_ends(call: Call, precision: type) -> None:
    """Where every Phi is 0 or 1 the value is exact, infinities and both zeros of d included."""
    far = [13.5, 1e3, 1e30, np.inf] if precision is np.float32 else [38.0, 1e3, 1e30, np.inf]
    for first, second in ((3.0, 2.0), (-3.0, -2.0)):
        for a in far:
            for b in far:
                got = call("black", precision, first, second, [a, a, -a], [b, -b, -b])
                np.testing.assert_allclose(got, [first - second, first, 0.0], rtol=0, atol=1e-36)
        tolerance = 4 * np.finfo(precision).eps
        for zero in (0.0, -0.0):
            np.testing.assert_allclose(call("black", precision, 2.0, 2.0, zero, zero), 0.0, atol=tolerance)
    tiny = call("black", precision, 1.0, 1.0, 1e-12, -1e-12)
    assert abs(tiny[0] - 2e-12 * 0.3989422804014327) < tolerance


@pytest.mark.parametrize("precision", [np.float64, np.float32])
def test_black_keeps_nan(call: Call, precision: type) -> None:
    nan = np.nan
    got = call("black", precision, 1.0, 1.0, [nan, 0.5, nan, nan, np.inf], [0.5, nan, nan, np.inf, nan])
    assert np.isnan(got).all()


@pytest.mark.parametrize(("precision", "bound"), [(np.float64, 1.5e-15), (np.float32, 6e-7)])
def test_black_parity(call: Call, precision: type, bound: float) -> None:
    """Call - put = first - second."""
    first, second, d1, d2 = options(50_000, 5, precision)
    call_value = call("black", precision, first, second, d1, d2)
    put_value = call("black", precision, -first, -second, -d1, -d2)
    error = np.abs(call_value - put_value - (first - second)) / np.maximum(1.0, np.abs(second))
    assert error.max() < bound


def test_black_float(call: Call) -> None:
    """Against the double version at the same arguments; out of the money also relative to the value."""
    first, second, d1, d2 = options(400_000, 6, np.float32)
    single = call("black", np.float32, first, second, d1, d2).astype(np.float64)
    exact = call("black", np.float64, first, second, d1, d2)
    error = np.abs(single - exact)
    size = np.maximum(1.0, np.abs(second.astype(np.float64)))
    assert np.max(error / size) < 4e-7
    assert np.sqrt(np.mean((error / size) ** 2)) < 5e-8
    # Two things limit a relative error: the exponent d^2/2 in FP32, and R(|d1|) - R(|d2|), which loses digits as
    # (1 + |d|) / deviation grows.
    deviation = np.abs(d1 - d2).astype(np.float64)
    out = (d1 < 0) & (d2 < 0) & (np.maximum(np.abs(d1), np.abs(d2)) < 5)
    lost = (1.0 + np.abs(d1 + d2)[out] / 2) / deviation[out]
    relative = error[out] / np.abs(exact[out])
    assert np.max(relative / (4e-6 + 7e-7 * lost)) < 1
    assert np.median(relative[deviation[out] > 0.05]) < 1.2e-6
