from itertools import pairwise

import numpy as np
import pytest
from randomgen import Philox
from scipy import stats
from scipy.special import ndtri

from mcvar.philox import Stream, inverse_normal, normals, philox, uniforms

ONES = 0xFFFFFFFF


@pytest.mark.parametrize(
    ("word", "expected"),
    [(0, "6627e8d5 e169c58d bc57ac4c 9b00dbd8"), (ONES, "408f276d 41c83b0e a20bc7c6 6d5451fd")],
)
def test_known_answers_of_the_paper(word: int, expected: str) -> None:
    counter = np.full(1, word, np.uint64)
    words = philox((counter, counter, counter, counter), (word, word))
    assert " ".join(f"{int(w[0]):08x}" for w in words) == expected


def test_first_normals_of_seed_1() -> None:
    expected = ["0x1.3a5827212ea90p+0", "0x1.bb85ef052de59p-3", "-0x1.eb6cf75e0408dp+0", "-0x1.868c4f99a9084p-1"]
    assert [float(z).hex() for z in normals(1, 0, 1, 4)[:, 0]] == expected


@pytest.mark.parametrize("seed", [0, 1, 2**32 - 1, 2**32, 0xDEADBEEF12345678, 2**64 - 1])
@pytest.mark.parametrize(("stream", "step"), [(Stream.normals, 0), (Stream.spare, 2**24 - 1)])
@pytest.mark.parametrize("scenario", [0, 1, 2**32 - 1, 2**32, 2**62])
def test_against_another_implementation(seed: int, stream: Stream, step: int, scenario: int) -> None:
    draws = 6
    drawn = uniforms(seed, scenario, scenario + 1, draws, stream=stream, step=step)[:, 0]
    for draw in range(draws):
        counter = scenario | draw // 2 << 64 | (stream << 24 | step) << 96
        oracle = Philox(counter=(counter - 1) % 2**128, key=seed, number=4, width=32)  # it adds 1 before its first draw
        words = [int(w) for w in oracle.random_raw(4)][2 * (draw % 2) :]
        k = words[0] << 20 | words[1] >> 12
        assert float(drawn[draw]) == (2 * k + 1) * 2.0**-53


def test_uniforms_are_odd_multiples() -> None:
    u = uniforms(7, 0, 20_000, 5)
    k = u * 2.0**53
    assert (k % 2 == 1).all()
    assert u.min() > 0
    assert u.max() < 1


def test_inverse_normal_against_scipy() -> None:
    tail = np.concatenate([2.0 ** -np.arange(1, 54), np.geomspace(2.0**-53, 0.1, 5_000)])
    near_half = 0.5 - 2.0 ** -np.arange(3, 54)
    u = np.concatenate([tail, 1.0 - tail[tail > 2.0**-50], near_half, 1 - near_half, np.linspace(0.001, 0.999, 20_001)])
    np.testing.assert_allclose(inverse_normal(u), ndtri(u), rtol=2e-15, atol=0)


def test_inverse_normal_is_odd_to_the_bit() -> None:
    u = np.concatenate([uniforms(3, 0, 10_000, 2).ravel(), [2.0**-53, 3 * 2.0**-53]])
    np.testing.assert_array_equal(inverse_normal(1.0 - u), -inverse_normal(u))
    assert np.isfinite(inverse_normal(np.array([2.0**-53, 1 - 2.0**-53]))).all()


@pytest.mark.parametrize("start", [0, 2**32 - 2_345, 2**40 + 17])
def test_any_range_gives_the_same_bits(start: int) -> None:
    whole = normals(11, start, start + 5_000, 7)
    edges = [0, 1, 2, 1023, 1024, 2_345, 2_346, 4_999, 5_000]
    parts = [normals(11, start + a, start + b, 7) for a, b in pairwise(edges)]
    np.testing.assert_array_equal(np.concatenate(parts, axis=1), whole)


@pytest.mark.parametrize("draws", [1, 2, 3, 6])
def test_a_draw_does_not_depend_on_how_many_are_drawn(draws: int) -> None:
    np.testing.assert_array_equal(uniforms(5, 0, 100, draws), uniforms(5, 0, 100, 7)[:draws])


def test_streams_steps_seeds_and_draws_are_distinct() -> None:
    parts = [
        uniforms(seed, start, start + 50, 4, stream=stream, step=step)
        for seed in (0, 1, 2**32, 2**32 + 1)
        for start in (0, 2**32)
        for stream in Stream
        for step in (0, 1, 2**24 - 1)
    ]
    values = np.stack(parts)
    assert len(np.unique(values)) == values.size  # two equal ones of 2**52: one chance in 10**6


def test_moments_correlation_and_law() -> None:
    z = normals(2026, 0, 200_000, 6)
    n = z.shape[1]
    assert np.abs(z.mean(axis=1)).max() < 4 / np.sqrt(n)
    assert np.abs(z.var(axis=1) - 1).max() < 4 * np.sqrt(2 / n)
    assert np.abs((z**3).mean(axis=1)).max() < 4 * np.sqrt(15 / n)
    assert np.abs((z**4).mean(axis=1) - 3).max() < 4 * np.sqrt(96 / n)
    assert np.abs(np.corrcoef(z) - np.eye(6)).max() < 4.5 / np.sqrt(n)
    assert abs(np.corrcoef(z[0, 1:], z[0, :-1])[0, 1]) < 4 / np.sqrt(n)  # neighbouring scenarios
    assert min(stats.kstest(row, "norm").pvalue for row in z) > 1e-3


def test_stream_values_are_frozen() -> None:
    # Renumbering a stream changes every number ever simulated.
    assert {s.name: s.value for s in Stream} == {
        "normals": 0,
        "mixing": 1,
        "variance": 2,
        "jump_count": 3,
        "jump_size": 4,
        "bootstrap_index": 5,
        "bridge_minimum": 6,
        "bridge_maximum": 7,
        "scrambling": 8,
        "resample": 9,
        "spare": 10,
    }
