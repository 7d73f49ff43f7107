"""Asian options in the kernels, host build, against the numpy form."""

from __future__ import annotations

import ctypes
from collections.abc import Callable
from typing import Any

import numpy as np
import pytest
from headers import build, needs_compiler
from numpy.typing import NDArray

from mcvar.pricing.asian import Method, asian

Array = NDArray[np.float64]
pytestmark = needs_compiler
SOURCE = """
#include "asian.cuh"
extern "C" void value(int64_t count, const double *const *a, double *out) {
    for (int64_t i = 0; i < count; ++i) {
        const mcvar::AsianTerms terms{a[1][i], a[2][i], a[3][i], a[8][i], a[9][i], a[10][i], a[11][i], a[12][i]};
        out[i] = mcvar::asian_value(terms, a[0][i], a[4][i], a[5][i], a[6][i], a[7][i]);
    }
}
"""
Kernel = Callable[..., Array]


@pytest.fixture(scope="module")
def kernel(tmp_path_factory: pytest.TempPathFactory) -> Kernel:
    """The kernel on arrays: spot, strike, sign, geometric, volatility, rate, carry, years, past, ..., conditioning."""
    library = build(tmp_path_factory.mktemp("asian"), SOURCE)

    def run(*arguments: Any) -> Array:
        arrays = [np.array(a, np.float64) for a in np.broadcast_arrays(*(np.atleast_1d(a) for a in arguments))]
        out = np.empty_like(arrays[0])
        pointers = (ctypes.c_void_p * len(arrays))(*(a.ctypes.data for a in arrays))
        library.value(ctypes.c_int64(out.size), pointers, ctypes.c_void_p(out.ctypes.data))
        return out

    return run


def compare(kernel: Kernel, terms: list[Array], bound: float) -> None:
    spot, strike, rate, years = terms[0], terms[1], terms[5], terms[7]
    growth = np.exp(np.maximum(terms[6], 0.0) * years - rate * years)
    size = np.maximum(np.maximum(np.abs(spot), np.abs(strike)), np.where(terms[8] > 0, terms[9], 0.0))
    size = np.maximum(size, 1e-6) * np.maximum(growth, 1.0)
    names = ("past", "so_far", "wait", "fixings")
    for conditioning, method in ((0.0, Method.moments), (1.0, Method.conditioning)):
        want = asian(*terms[:8], **dict(zip(names, terms[8:], strict=True)), method=method)  # type: ignore[arg-type]  # by name
        got = kernel(*terms, conditioning)
        assert np.isfinite(want).all()
        worst = np.argmax(np.abs(got - want) / size)
        assert np.max(np.abs(got - want) / size) < bound, [float(a[worst]) for a in terms]


def contracts(count: int, seed: int) -> list[Array]:
    random = np.random.default_rng(seed)
    years = np.exp(random.uniform(np.log(1e-3), np.log(5.0), count))
    volatility = np.exp(random.uniform(np.log(0.01), np.log(1.5), count))
    carry, rate = random.uniform(-0.2, 0.2, (2, count))
    spot = np.exp(random.normal(0.0, 2.0, count))
    strike = spot * np.exp(volatility * np.sqrt(years) * random.normal(0.0, 1.0, count))
    past = random.choice([0.0, 0.3, 0.95], count)
    so_far = spot * np.exp(random.normal(0.0, 0.1, count))
    wait = years * random.choice([0.0, 0.0, 0.01, 0.5, 1.0], count)
    fixings = random.choice([0.0, 0.0, 1.0, 2.0, 3.0, 6.0, 7.0, 12.0, 250.0, 1e5], count)
    sign, geometric = random.choice([-1.0, 1.0], count), random.choice([0.0, 0.0, 0.0, 1.0], count)
    return [spot, strike, sign, geometric, volatility, rate, carry, years, past, so_far, wait, fixings]


def test_ordinary_contracts(kernel: Kernel) -> None:
    compare(kernel, contracts(200_000, 1), 1e-13)


def test_extreme_contracts(kernel: Kernel) -> None:
    """Each value of each argument, ends included, with random others."""
    random, terms = np.random.default_rng(2), contracts(100_000, 3)
    ends = {
        0: [1e-8, 1e6, 0.0, -1.0],
        1: [1e-8, 1e6, 0.0, -1.0],
        4: [0.0, 1e-12, 1e-6, 1e-3, 5.0, 100.0],
        6: [0.0, 1e-12, -1e-7, 1.0, -1.0],
        7: [0.0, 1e-12, 1e-6, 30.0],
        8: [0.0, 1.0, 1.0 - 1e-9, 1e-9],
        9: [0.0, 1e-6, 1e6],
        10: [0.0, 1e-9, 100.0],
    }
    for at, values in ends.items():
        here = random.random(len(terms[0])) < 0.2
        terms[at] = np.where(here, random.choice(values, len(here)), terms[at])
    compare(kernel, terms, 1e-13)


def test_nan_in_nan_out(kernel: Kernel) -> None:
    plain = [100.0, 100.0, 1.0, 0.0, 0.2, 0.05, 0.02, 1.0, 0.5, 100.0, 0.1, 12.0]
    for at in (0, 1, 4, 5, 6, 7, 9):
        for geometric in (0.0, 1.0):
            for conditioning in (0.0, 1.0):
                terms = [*plain[:at], np.nan, *plain[at + 1 :]]
                terms[3] = geometric
                assert np.isnan(kernel(*terms, conditioning)).all(), (at, geometric, conditioning)
