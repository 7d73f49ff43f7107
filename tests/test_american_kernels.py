"""American options of the kernels, host build: against the numpy form, many at once and one at a time; their tables."""

from __future__ import annotations

import ctypes
from collections.abc import Callable
from typing import Any

import numpy as np
import pytest
from headers import build, needs_compiler
from numpy.typing import NDArray

from mcvar.pricing.american import ACCURATE, FAST, Scheme, american
from mcvar.pricing.american_boundary import grid

Floats = NDArray[np.float64]
pytestmark = needs_compiler
SOURCE = """
#include "american.cuh"
#define SCHEME(name, type, table) \\
    extern "C" void name##_many(int64_t count, const double *s, const double *k, const double *v, const double *r, \\
                                const double *b, const double *t, const double *sign, double *out) { \\
        for (int64_t i = 0; i + 8 <= count; i += 8) \\
            mcvar::american_exact<mcvar::type, 8>(s + i, k + i, v + i, r + i, b + i, t + i, sign + i, out + i); \\
    } \\
    extern "C" void name##_one(int64_t count, const double *s, const double *k, const double *v, const double *r, \\
                               const double *b, const double *t, const double *sign, double *out) { \\
        for (int64_t i = 0; i < count; ++i) \\
            out[i] = mcvar::american_exact<mcvar::type>(s[i], k[i], v[i], r[i], b[i], t[i], sign[i]); \\
    } \\
    extern "C" int64_t name##_table(double *out) { \\
        std::memcpy(out, &mcvar::table, sizeof mcvar::table); \\
        return sizeof mcvar::table / sizeof(double); \\
    }
SCHEME(accurate, Accurate, ACCURATE_GRID)
SCHEME(fast, Fast, FAST_GRID)
"""
SCHEMES = pytest.mark.parametrize(("name", "scheme"), [("accurate", ACCURATE), ("fast", FAST)])
Call = Callable[..., Floats]


@pytest.fixture(scope="module")
def library(tmp_path_factory: pytest.TempPathFactory) -> ctypes.CDLL:
    return build(tmp_path_factory.mktemp("american"), SOURCE)


@pytest.fixture(scope="module")
def call(library: ctypes.CDLL) -> Call:
    """Call a function of the library on arrays or numbers."""

    def run(name: str, *arguments: Any) -> Floats:
        arrays = [np.array(a, np.float64) for a in np.broadcast_arrays(*(np.atleast_1d(a) for a in arguments))]
        out = np.full(arrays[0].shape, -1.0)
        pointers = [ctypes.c_void_p(a.ctypes.data) for a in (*arrays, out)]
        getattr(library, name)(ctypes.c_int64(out.size), *pointers)
        return out

    return run


def ordinary(count: int, seed: int) -> tuple[Floats, ...]:
    """spot, strike, volatility, rate, carry, years, sign; of two boundaries, which cost far more, only every tenth."""
    random = np.random.default_rng(seed)
    rate, carry = random.uniform(-0.10, 0.15, (2, count))
    sign = random.choice([-1.0, 1.0], count)
    rho, kappa = np.where(sign > 0, rate - carry, rate), np.where(sign > 0, rate, rate - carry)
    drop = (rho < 0) & (kappa < rho) & (random.random(count) < 0.9)
    rate, carry = np.where(drop, 0.03, rate), np.where(drop, 0.01, carry)
    volatility = np.exp(random.uniform(np.log(0.05), np.log(1.5), count))
    years = np.exp(random.uniform(np.log(0.01), np.log(5.0), count))
    strike = np.exp(random.normal(0, 2, count))
    spot = strike * np.exp(1.2 * random.normal(0, 1, count) * volatility * np.sqrt(years))
    return spot, strike, volatility, rate, carry, years, sign


def odd(count: int, seed: int) -> tuple[Floats, ...]:
    random = np.random.default_rng(seed)
    rates = [0, 1e-12, -1e-12, 1e-6, -1e-6, 0.001, -0.01, 0.05, 0.15, 0.5]
    rate = random.choice(rates, count)
    carry = np.where(random.random(count) < 0.2, rate, random.choice([*rates, -0.3], count))
    years = random.choice([0, 1e-8, 1e-4, 0.01, 0.3, 1, 5], count)
    volatility = random.choice([0, 1e-12, 1e-4, 0.001, 0.01, 0.05, 0.2, 0.5, 1.5], count)
    spot = random.choice([-5, 0, 1e-8, 0.5, 0.9, 1, 1.1, 2, 1e8], count) * np.exp(0.01 * random.normal(size=count))
    return spot, np.ones(count), volatility, rate, carry, years, random.choice([-1.0, 1.0], count)


@SCHEMES
def test_numpy_form(call: Call, name: str, scheme: Scheme) -> None:
    terms = ordinary(2000 if scheme is ACCURATE else 6000, 21)
    size = np.maximum(terms[0], terms[1])
    got, exact = call(f"{name}_many", *terms), american(*terms, scheme)
    assert np.max(np.abs(got - exact) / size) < 1e-13


@SCHEMES
def test_one_is_as_many(call: Call, name: str, scheme: Scheme) -> None:
    terms = ordinary(480, 22)
    many, one = call(f"{name}_many", *terms), call(f"{name}_one", *terms)
    assert np.max(np.abs(many - one) / np.maximum(terms[0], terms[1])) < 1e-14


@SCHEMES
def test_odd_inputs(call: Call, name: str, scheme: Scheme) -> None:
    """Finite and at least the payoff everywhere, and the numpy form's value where rates and volatility are in reach."""
    terms = odd(1600, 23)
    spot, strike, volatility, _, _, years, sign = terms
    got, exact = call(f"{name}_many", *terms), american(*terms, scheme)
    assert np.isfinite(got).all()
    assert (got >= np.maximum(sign * (spot - strike), 0)).all()
    known = (volatility * np.sqrt(years) < 1e-4) | (volatility >= 0.05)
    error = np.abs(got - exact) / np.maximum(np.abs(spot), strike)
    assert known.sum() > 700
    assert error[known].max() < 1e-11
    assert error.max() < 1e-3


def test_nan_for_nan_only(call: Call) -> None:
    terms = [100.0, 100.0, 0.2, 0.05, 0.03, 1.0, -1.0]
    for place in range(len(terms)):
        broken = [np.nan if k == place else a for k, a in enumerate(terms)]
        assert np.isnan(call("fast_one", *broken)).all()
    assert np.isfinite(call("fast_one", *terms)).all()


@SCHEMES
def test_tables(library: ctypes.CDLL, name: str, scheme: Scheme) -> None:
    on = grid(scheme)
    rows = [on.node, on.sine, on.cosine, on.weight, on.premium_sine, on.premium_cosine, on.premium_weight]
    exact = np.concatenate([a.reshape(-1) for a in (*rows, on.interpolation, on.premium_interpolation)])
    table = np.zeros(len(exact))
    assert getattr(library, f"{name}_table")(ctypes.c_void_p(table.ctypes.data)) == len(exact)
    np.testing.assert_allclose(table, exact, rtol=1e-11, atol=3e-15)
