"""Sobol points, scramblings, bridge: against SciPy, the definition of a net, the law of Brownian motion."""

from __future__ import annotations

from itertools import pairwise

import numpy as np
import pytest
from scipy import stats
from scipy.stats import qmc

from mcvar.philox import Stream, bits_of, inverse_normal, normals, uniforms, unit
from mcvar.sampling import Sobol, Stratified
from mcvar.sampling.bridge import Bridge
from mcvar.sampling.directions import DIMENSIONS, direction_numbers, scrambled

KNOWN = ["-0x1.ed1244f6662d2p-2", "-0x1.699447387aab3p-2", "0x1.12004033f89fap-6"]
STEPS = (1, 2, 3, 4, 5, 7, 8, 10, 250)


def points(dimensions: int, scramblings: int, bits: int, seed: int = 1) -> Sobol:
    return Sobol.of(seed, scramblings, steps=1, mixings=0, components=dimensions, bits=bits)


def test_direction_numbers_are_scipys_in_all_dimensions() -> None:
    """SciPy takes the points in Gray-code order."""
    count, bits = 256, 10
    number = np.arange(count, dtype=np.uint64)
    gray = number ^ number >> np.uint64(1)
    direction = direction_numbers(DIMENSIONS, bits)
    x = np.zeros((DIMENSIONS, count), dtype=np.uint64)
    for bit in range(bits):
        x ^= (gray >> np.uint64(bit) & np.uint64(1)) * direction[:, bit, None]
    want = qmc.Sobol(DIMENSIONS, scramble=False, bits=52).random(count)
    assert np.array_equal(x.T * 2.0**-52, want)


@pytest.mark.parametrize("bits", [1, 19, 32])
def test_direction_numbers_to_any_bit(bits: int) -> None:
    """The first 40 dimensions, beyond the degrees of their polynomials."""
    assert np.array_equal(direction_numbers(40, bits), qmc.Sobol(40, scramble=False, bits=52)._sv[:, :bits])


def test_known_points() -> None:
    """Frozen: a change here changes every number ever drawn from them."""
    source = Sobol.of(1, 16, steps=1, mixings=1, components=2, bits=8)
    z = np.concatenate([source.normals(17, 18, 1, stream=Stream.mixing), source.normals(17, 18, 2)])[:, 0]
    assert [float(each).hex() for each in z] == KNOWN


def test_a_scrambling_multiplies_by_a_triangular_matrix_and_shifts() -> None:
    """Column q of the matrix and the shift, as the documentation says where they are drawn, digit by digit."""
    seed, size, dimensions, bits = 5, 3, 4, 6
    net, plain = scrambled(seed, size, dimensions, bits), direction_numbers(dimensions, bits)
    for d in range(dimensions):
        for r in range(size):
            at = d * size + r
            drawn = bits_of(uniforms(seed, at, at + 1, 1 + bits, stream=Stream.scrambling))[:, 0]
            matrix = np.eye(52, dtype=np.int64)
            for q in range(bits):
                for p in range(q + 1, 52):
                    matrix[p, q] = int(drawn[1 + q]) >> (51 - p) & 1
            for j in range(bits):
                digits = [int(plain[d, j]) >> (51 - p) & 1 for p in range(52)]
                product = matrix @ digits % 2
                assert int(net.direction[d, j, r]) == sum(int(b) << (51 - p) for p, b in enumerate(product))
            assert int(net.shift[d, r]) == int(drawn[0])


@pytest.mark.parametrize("bits", [3, 6])
def test_each_scrambling_hits_each_interval_once_in_every_dimension(bits: int) -> None:
    size = 5
    u = points(300, size, bits).points(0, size << bits, 0, 300)
    for r in range(size):
        cell = np.sort((u[:, r::size] * 2**bits).astype(int), axis=1)
        assert (cell == np.arange(2**bits)).all()


def test_the_first_two_dimensions_are_a_net_of_quality_zero() -> None:
    """A (0, m, 2)-net: one point in each elementary interval of every shape."""
    size, bits = 4, 8
    u = points(2, size, bits).points(0, size << bits, 0, 2)
    for r in range(size):
        for a in range(bits + 1):
            cell = (u[0, r::size] * 2**a).astype(int) << (bits - a) | (u[1, r::size] * 2 ** (bits - a)).astype(int)
            assert len(np.unique(cell)) == 2**bits


def test_points_are_odd_multiples_and_uniform_over_seeds() -> None:
    """One point of 4,000 seeds: the shift makes each uniform on its own."""
    u = np.stack([points(2, 2, 1, seed).points(0, 2, 0, 2) for seed in range(4_000)])
    assert (u * 2.0**53 % 2 == 1).all()
    assert min(stats.kstest(u[:, d, r], "uniform").pvalue for d in (0, 1) for r in (0, 1)) > 4e-4


def test_scramblings_are_independent() -> None:
    """Errors of an integral by two scramblings of the same points, over 3,000 seeds: no correlation; also squared."""
    errors = np.empty((3_000, 3))
    for seed in range(len(errors)):
        u = points(2, 3, 3, seed).points(0, 24, 0, 2)
        errors[seed] = [(u[0, r::3] * u[1, r::3]).mean() - 0.25 for r in range(3)]
    bound = 4.0 / np.sqrt(len(errors))
    assert np.abs(errors.mean(axis=0) / errors.std(axis=0)).max() < bound  # unbiased
    for each in (errors, errors**2):
        assert np.abs(np.corrcoef(each.T)[np.triu_indices(3, 1)]).max() < bound


def test_the_variance_is_that_of_nested_scrambling() -> None:
    """x in one dimension: one uniform point in each of n intervals, so that the mean has variance 1 / (12 n^3)."""
    size, bits = 4_096, 4
    u = points(1, size, bits).points(0, size << bits, 0, 1)[0]
    means = u.reshape(2**bits, size).mean(axis=0)
    want = 1.0 / (12 * 2.0 ** (3 * bits))
    assert abs(means.var() / want - 1.0) < 4.0 * np.sqrt(2.0 / size)


def test_any_range_and_more_bits_give_the_same_points() -> None:
    small, large = points(7, 6, 5), points(7, 6, 9)
    whole = small.points(0, 192, 0, 7)
    assert np.array_equal(large.points(0, 192, 0, 7), whole)
    edges = [0, 1, 5, 6, 13, 100, 191, 192]
    parts = [small.points(a, b, 0, 7) for a, b in pairwise(edges)]
    assert np.array_equal(np.concatenate(parts, axis=1), whole)
    assert np.array_equal(small.points(0, 192, 2, 5), whole[2:5])
    assert np.array_equal(small.points(192, 384, 0, 7), whole)  # beyond the last they start again


def test_normals_are_the_documented_dimensions() -> None:
    """Level l: dimensions l (M + F) on, mixing variables first; normals of steps through the bridge."""
    steps, m, f = 5, 2, 3
    source = Sobol.of(9, 4, steps=steps, mixings=m, components=f, bits=6)
    w = inverse_normal(source.points(0, 100, 0, steps * (m + f))).reshape(steps, m + f, 100)
    z = np.einsum("tl,lfn->tfn", source.bridge.matrix(), w[:, m:])
    for step in range(steps):
        np.testing.assert_allclose(source.normals(0, 100, f, step=step), z[step], rtol=0, atol=1e-14)
        mixing = source.normals(0, 100, m, stream=Stream.mixing, step=step)
        assert np.array_equal(mixing, w[source.bridge.place[step], :m])


def test_all_other_streams_are_plain() -> None:
    for source in (Sobol.of(9, 4, steps=2, mixings=1, components=3, bits=4), Stratified(9, 64, Bridge.of(2))):
        for stream in set(Stream) - {Stream.normals, Stream.mixing}:
            assert np.array_equal(
                source.normals(3, 50, 4, stream=stream, step=1), normals(9, 3, 50, 4, stream=stream, step=1)
            )
            assert np.array_equal(
                source.uniforms(3, 50, 4, stream=stream, step=1), uniforms(9, 3, 50, 4, stream=stream, step=1)
            )


def test_bits_of_uniforms() -> None:
    u = uniforms(3, 0, 5_000, 3)
    assert np.array_equal(unit(bits_of(u)), u)
    ends = np.array([0, 1, 2**52 - 1], dtype=np.uint64)
    assert np.array_equal(bits_of(unit(ends)), ends)


@pytest.mark.parametrize("strata", [2, 64, 1024])
def test_every_round_has_one_scenario_in_each_stratum(strata: int) -> None:
    source = Stratified(3, strata, Bridge.of(1))
    z = source.normals(0, 3 * strata, 3)
    u = stats.norm.cdf(z[0]).reshape(3, strata)
    assert ((u * strata).astype(int) == np.arange(strata)).all()
    assert np.array_equal(z[1:], normals(3, 0, 3 * strata, 3)[1:])
    inside = (u * strata) % 1.0
    assert stats.kstest(inside.ravel(), "uniform").pvalue > 4e-4


def test_the_end_of_a_stratified_path_is_stratified_and_the_rest_plain() -> None:
    steps, strata = 6, 32
    source = Stratified(4, strata, Bridge.of(steps))
    z = np.stack([source.normals(0, 4 * strata, 3, step=t) for t in range(steps)])
    u = stats.norm.cdf(z[:, 0].sum(axis=0) / np.sqrt(steps)).reshape(4, strata)
    assert ((u * strata).astype(int) == np.arange(strata)).all()
    for t in range(steps):
        assert np.array_equal(z[t, 1:], normals(4, 0, 4 * strata, 3, step=t)[1:])


@pytest.mark.parametrize("steps", STEPS)
def test_the_bridge_is_orthogonal_and_sparse(steps: int) -> None:
    bridge = Bridge.of(steps)
    b = bridge.matrix()
    np.testing.assert_allclose(b @ b.T, np.eye(steps), atol=1e-13)
    assert np.diff(bridge.begin).max() <= 1 + np.ceil(np.log2(steps))
    assert sorted(bridge.place.tolist()) == list(range(steps))
    assert all(np.all(np.diff(bridge.level[a:z]) > 0) for a, z in pairwise(bridge.begin.tolist()))


@pytest.mark.parametrize("steps", STEPS)
def test_the_bridge_is_brownian_and_fixes_one_more_end_a_level(steps: int) -> None:
    """Levels 0 to l give the ends they fix exactly, and the straight line between these everywhere else."""
    bridge = Bridge.of(steps)
    path = np.cumsum(bridge.matrix(), axis=0)  # W_1, ..., W_T of unit normals of the levels
    np.testing.assert_allclose(path @ path.T, np.minimum.outer(*(np.arange(1, steps + 1),) * 2), atol=1e-11)
    for level in range(steps):
        known = np.flatnonzero(bridge.place <= level)
        assert np.abs(path[known, level + 1 :]).max(initial=0.0) < 1e-12
        partial = path[:, : level + 1]
        ends = np.concatenate([[0.0], known + 1.0])
        for column in partial.T:
            line = np.interp(np.arange(1, steps + 1), ends, np.concatenate([[0.0], column[known]]))
            np.testing.assert_allclose(column, line, atol=1e-12)
