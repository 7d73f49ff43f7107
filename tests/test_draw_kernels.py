"""The generator's header on the host: words, uniforms and normals with the bits of the reference generator."""

from __future__ import annotations

import ctypes
from collections.abc import Callable
from typing import Any

import numpy as np
import pytest
from headers import build, needs_compiler

from mcvar.philox import normals, philox, uniforms

pytestmark = needs_compiler
SOURCE = """
#include "normal.cuh"
using namespace mcvar;
extern "C" void words(int64_t count, const uint32_t *counter, uint32_t k0, uint32_t k1, uint32_t *out) {
    for (int64_t i = 0; i < count; ++i) {
        const uint32_t *c = counter + 4 * i;
        const Words w = philox(c[0], c[1], c[2], c[3], k0, k1);
        out[4 * i] = w.w0, out[4 * i + 1] = w.w1, out[4 * i + 2] = w.w2, out[4 * i + 3] = w.w3;
    }
}
extern "C" void uniforms(int64_t count, const uint32_t *words, double *out) {
    for (int64_t i = 0; i < 2 * count; ++i) out[i] = uniform(words[2 * i], words[2 * i + 1]);
}
extern "C" void inverses(int64_t count, const double *u, double *out) {
    for (int64_t i = 0; i < count; ++i) out[i] = inverse_normal(u[i]);
}
"""
COUNT = 600_000


@pytest.fixture(scope="module")
def call(tmp_path_factory: pytest.TempPathFactory) -> Callable[..., None]:
    library = build(tmp_path_factory.mktemp("draws"), SOURCE, "-O3")

    def run(name: str, *arguments: Any) -> None:
        getattr(library, name)(
            *(ctypes.c_void_p(a.ctypes.data) if isinstance(a, np.ndarray) else ctypes.c_int64(a) for a in arguments)
        )

    return run


def test_known_words(call: Callable[..., None]) -> None:
    counter, out = np.array([[0] * 4, [0xFFFFFFFF] * 4], dtype=np.uint32), np.empty(4, dtype=np.uint32)
    call("words", 1, counter[0].copy(), 0, 0, out)
    assert " ".join(f"{word:08x}" for word in out) == "6627e8d5 e169c58d bc57ac4c 9b00dbd8"
    call("words", 1, counter[1].copy(), 0xFFFFFFFF, 0xFFFFFFFF, out)
    assert " ".join(f"{word:08x}" for word in out) == "408f276d 41c83b0e a20bc7c6 6d5451fd"


def test_words_uniforms_and_normals_of_any_counter(call: Callable[..., None]) -> None:
    counter = np.random.default_rng(1).integers(0, 2**32, (COUNT, 4), dtype=np.uint32)
    words = np.empty_like(counter)
    call("words", COUNT, counter, 12345, 2**32 - 7, words)
    want = np.stack(philox(tuple(counter.T.astype(np.uint64)), (12345, 2**32 - 7)), axis=1)
    assert np.array_equal(words, want)


def test_uniforms_and_normals_of_a_run(call: Callable[..., None]) -> None:
    seed, block = 7, 3
    scenario = np.arange(COUNT, dtype=np.uint32)
    counter = np.stack([scenario, 0 * scenario, 0 * scenario + block, 0 * scenario], axis=1)
    words, u, z = np.empty_like(counter), np.empty((COUNT, 2)), np.empty((COUNT, 2))
    call("words", COUNT, counter, seed, 0, words)
    call("uniforms", COUNT, words, u)
    assert np.array_equal(u.T, uniforms(seed, 0, COUNT, 2 * block + 2)[2 * block :])
    call("inverses", 2 * COUNT, u, z)
    assert np.array_equal(z.T.view(np.int64), normals(seed, 0, COUNT, 2 * block + 2)[2 * block :].view(np.int64))


def test_normals_at_the_ends_and_at_the_seams(call: Callable[..., None]) -> None:
    from mcvar.philox import inverse_normal

    seams = np.array([0.5, 0.075, 0.925, np.exp(-25.0), -np.expm1(-25.0)])
    near = [seams]
    for _ in range(50):
        near += [np.nextafter(near[-2] if len(near) > 1 else seams, 0.0), np.nextafter(near[-1], 1.0)]
    u = np.concatenate([*near, [2.0**-53, 1 - 2.0**-53, 3 * 2.0**-53]])
    z = np.empty_like(u)
    call("inverses", len(u), u, z)
    assert np.array_equal(z.view(np.int64), inverse_normal(u).view(np.int64))
