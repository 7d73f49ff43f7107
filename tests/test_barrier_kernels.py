"""Digitals, touches and barriers of the kernels, host build, against the numpy forms; edge cases."""

from __future__ import annotations

import ctypes
from collections.abc import Callable
from typing import Any

import numpy as np
import pytest
from headers import build, needs_compiler
from numpy.typing import NDArray

from mcvar.pricing.barrier import barrier
from mcvar.pricing.digital import barrier_digital, digital, touch

Array = NDArray[Any]
pytestmark = needs_compiler
SOURCE = """
#include "barrier.cuh"
extern "C" void values(int64_t count, const mcvar::BarrierTerms *b, const mcvar::DigitalTerms *d, const double *spot,
                       const double *volatility, const double *rate, const double *carry, const double *years,
                       double *barriers, double *digitals) {
    for (int64_t i = 0; i < count; ++i) {
        barriers[i] = mcvar::barrier_value(b[i], spot[i], volatility[i], rate[i], carry[i], years[i]);
        digitals[i] = mcvar::digital_value(d[i], spot[i], volatility[i], rate[i], carry[i], years[i]);
    }
}
"""
Call = Callable[..., tuple[Array, Array]]
NAMES = [
    "spot",
    "strike",
    "sign",
    "barrier",
    "up",
    "out",
    "rebate",
    "asset",
    "at_hit",
    "volatility",
    "rate",
    "carry",
    "years",
]


@pytest.fixture(scope="module")
def call(tmp_path_factory: pytest.TempPathFactory) -> Call:
    """Values of contracts as barrier options and as digitals, from a dictionary of columns."""
    library = build(tmp_path_factory.mktemp("barrier"), SOURCE, "-O3")

    def run(columns: dict[str, Array]) -> tuple[Array, Array]:
        c = dict(zip(NAMES, np.broadcast_arrays(*(np.atleast_1d(columns[name]) for name in NAMES)), strict=True))
        b = np.stack([c[n] for n in ("strike", "sign", "barrier", "up", "out", "rebate")], axis=-1).astype(float)
        d = np.stack([c[n] for n in ("strike", "sign", "barrier", "up", "out", "asset", "at_hit")], axis=-1).astype(
            float
        )
        rows = [np.array(c[n], float) for n in ("spot", "volatility", "rate", "carry", "years")]
        out = np.empty(len(b)), np.empty(len(b))
        pointers = [ctypes.c_void_p(a.ctypes.data) for a in (b, d, *rows, *out)]
        library.values(ctypes.c_int64(len(b)), *pointers)
        return out

    return run


def contracts(count: int, seed: int) -> dict[str, Array]:
    """Near and far barriers and strikes, prices beyond the barrier, deviations from 1e-8 to 5, rates of both signs."""
    random = np.random.default_rng(seed)
    spot = 100 * np.exp(random.normal(0, 0.3, count))
    deviation = np.exp(random.choice([1.0, 3.0], count) * random.uniform(np.log(2e-3), np.log(1.6), count))
    wide = np.minimum(deviation, 1.0) * random.choice([0.1, 1.0, 10.0], count)
    up = random.choice([-1.0, 1.0], count)
    years = np.exp(random.uniform(np.log(1e-3), np.log(10.0), count))
    mild = deviation / years * random.choice([0.0, 0.3, 3.0], count)  # drifts of as many deviations
    rate = random.uniform(-1, 1, count) * random.choice([0.0, 0.02, 0.2], count)
    return {
        "spot": spot,
        "strike": spot * np.exp(random.normal(0, 1, count) * wide),
        "sign": random.choice([-1.0, 1.0], count),
        "barrier": spot * np.exp(up * (np.abs(random.normal(0, 1, count)) * wide - 0.05 * wide)),
        "up": up,
        "out": random.random(count) < 0.5,
        "rebate": random.choice([0.0, 5.0], count),
        "asset": random.random(count) < 0.5,
        "at_hit": random.random(count) < 0.5,
        "volatility": deviation / np.sqrt(years),
        "rate": rate,
        "carry": np.where(random.random(count) < 0.5, np.clip(random.normal(0, 1, count) * mild, -0.5, 0.5), rate),
        "years": years,
    }


def edges() -> dict[str, Array]:
    """All that is 0, on the barrier, on the strike or without bound, crossed."""
    axes = {
        "spot": [0.0, -5.0, 1e-320, 50.0, 90.0, 100.0, 110.0, 1e9],
        "strike": [90.0, 100.0, 115.0],
        "sign": [-1.0, 1.0],
        "barrier": [90.0, 110.0],
        "up": [-1.0, 1.0],
        "out": [False, True],
        "rebate": [3.0],
        "asset": [False, True],
        "at_hit": [False, True],
        "volatility": [0.0, 1e-15, 1e-6, 0.2, 30.0],
        "rate": [-0.3, 0.0, 0.05],
        "carry": [-0.4, 0.0, 0.4],
        "years": [0.0, 1e-12, 0.5, 10.0],
    }
    grid = np.meshgrid(*axes.values(), indexing="ij")
    return {name: values.ravel() for name, values in zip(axes, grid, strict=True)}


def options_in_numpy(c: dict[str, Array]) -> Array:
    names = ["spot", "strike", "sign", "barrier", "up", "out", "rebate", "volatility", "rate", "carry", "years"]
    return barrier(*(c[name] for name in names))


def digitals_in_numpy(c: dict[str, Array], kind: str) -> Array:
    moves = ["volatility", "rate", "carry", "years"]
    if kind == "plain":
        return digital(*(c[name] for name in ["spot", "strike", "sign", "asset", *moves]))
    if kind == "touch":
        return touch(*(c[name] for name in ["spot", "barrier", "up", "out", "asset", "at_hit", *moves]))
    return barrier_digital(*(c[name] for name in ["spot", "strike", "sign", "barrier", "up", "out", "asset", *moves]))


def scales(c: dict[str, Array]) -> tuple[Array, Array]:
    """Of options: strike, forward and rebate in today's money; of digitals: what they pay."""
    discount = np.exp(np.maximum(-c["rate"] * c["years"], 0))
    asset = np.maximum(np.abs(c["spot"]) * np.exp(np.maximum((c["carry"] - c["rate"]) * c["years"], 0)), c["barrier"])
    options = np.maximum(asset, np.maximum(c["strike"], c["rebate"]) * discount)
    return options, np.where(c["asset"], np.maximum(asset, c["barrier"] * discount), discount)


@pytest.mark.parametrize("kind", ["barrier", "touch", "plain"])
@pytest.mark.parametrize("cases", ["random", "edges"])
def test_kernels_are_the_numpy_forms(call: Call, kind: str, cases: str) -> None:
    c = contracts(150_000, 7) if cases == "random" else edges()
    if kind == "touch":
        c["sign"] = np.zeros_like(c["sign"])
    if kind == "plain":
        c["up"] = np.zeros_like(c["up"])
    options, digitals = call(c)
    scale = scales(c)
    assert np.max(np.abs(digitals - digitals_in_numpy(c, kind)) / scale[1]) < 1e-13
    if kind == "barrier":
        assert np.max(np.abs(options - options_in_numpy(c)) / scale[0]) < 1e-13
        assert (options >= 0).all()


def test_discounts_at_negative_rates(call: Call) -> None:
    """Where the root is imaginary the kernel sums a series, numpy calls the Faddeeva function."""
    random = np.random.default_rng(8)
    c = contracts(100_000, 8)
    c.update(sign=np.zeros(100_000), at_hit=np.ones(100_000, bool), out=np.zeros(100_000, bool))
    c["years"], c["volatility"] = random.uniform(0.1, 10, 100_000), random.uniform(0.05, 0.5, 100_000)
    c["rate"] = -random.uniform(0, 5, 100_000) / c["years"]
    c["carry"] = np.square(c["volatility"]) * random.uniform(0, 1, 100_000)
    imaginary = np.square(c["carry"] / c["volatility"] - c["volatility"] / 2) + 2 * c["rate"] < 0
    assert imaginary.mean() > 0.5
    assert np.max(np.abs(call(c)[1] - digitals_in_numpy(c, "touch")) / scales(c)[1]) < 1e-13


@pytest.mark.parametrize("name", ["spot", "volatility", "rate", "carry", "years"])
def test_nan_is_kept(call: Call, name: str) -> None:
    for sign, up in ((1.0, 1.0), (0.0, -1.0), (1.0, 0.0)):
        c = {k: v[:1000] for k, v in contracts(1000, 9).items()}
        c.update(sign=np.full(1000, sign), up=np.full(1000, up))
        c[name] = np.full(1000, np.nan)
        options, digitals = call(c)
        assert np.isnan(digitals).all()
        assert np.isnan(options).all()
