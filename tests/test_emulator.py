"""The emulator runs kernels exactly, and shows missing barriers, divergent barriers and stale shared memory."""

from __future__ import annotations

import ctypes
import os
import shutil
import subprocess
import sys
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from numpy.typing import NDArray

HEADER = Path(__file__).parent / "emulator" / "cuda_on_host.h"
COMPILER = shutil.which("g++") or shutil.which("clang++") or ""
FLAGS = ["-x", "c++", "-std=c++17", "-O2", "-ffp-contract=off", "-fno-math-errno", "-fPIC", "-shared", "-Wall"]
ORDERS = [(0, 0), (1, 0), (2, 1), (2, 2)]
if "g++" in COMPILER:
    FLAGS.append("-fno-gnu-unique")  # a library shares no variable with another build of the same kernels
pytestmark = pytest.mark.skipif(
    sys.platform != "linux" or not COMPILER, reason="the emulator needs Linux and a C++ compiler"
)

KERNELS = r"""
namespace mcvar {
struct Plan { const double *in; int64_t count; };
struct Work { double *out; unsigned long long *counts; };
}
#define KERNEL(name) extern "C" __global__ void __launch_bounds__(1024, 1) mcvar_##name( \
    const mcvar::Plan plan, const mcvar::Work work, int64_t start, int64_t stop)

template <bool guarded>
__device__ __forceinline__ void block_sum(const mcvar::Plan &plan, const mcvar::Work &work) {
    MCVAR_SHARED(bytes);
    double *tile = reinterpret_cast<double *>(bytes);
    const unsigned t = threadIdx.x;
    tile[t] = plan.in[blockIdx.x * blockDim.x + t];
    __syncthreads();
    for (unsigned half = blockDim.x / 2; half; half /= 2) {
        if (t < half) tile[t] += tile[t + half];
        if (guarded) __syncthreads();
    }
    if (t == 0) work.out[blockIdx.x] = tile[0];
}
KERNEL(guarded) { block_sum<true>(plan, work); }
KERNEL(unguarded) { block_sum<false>(plan, work); }

// A shuffle holds back one warp, not the block. Warp 0 reads what the last warp writes after its shuffle.
KERNEL(run_ahead) {
    __shared__ double last[32];
    const int t = threadIdx.x, lane = t % 32, warps = blockDim.x / 32;
    const double x = __shfl_sync(0xffffffff, plan.in[t], 31 - lane);
    if (t / 32 == warps - 1) last[lane] = x;
    if (start) __syncthreads();
    __shfl_sync(0xffffffff, x, 0);
    if (t < 32) work.out[t] = last[lane];
}

KERNEL(shuffles) {
    const int t = threadIdx.x;
    const unsigned all = 0xffffffff;
    double sum = plan.in[t];
    float single = float(t);
    for (int step = 16; step; step /= 2) {
        sum += __shfl_xor_sync(all, sum, step);
        single += __shfl_xor_sync(all, single, step);
    }
    const int n = blockDim.x;
    work.out[t] = sum;
    work.out[n + t] = single;
    work.out[2 * n + t] = __shfl_up_sync(all, plan.in[t], 3);
    work.out[3 * n + t] = __shfl_down_sync(all, plan.in[t], 3, 8);
    work.out[4 * n + t] = __shfl_sync(all, plan.in[t], t + 1, 4);
    work.out[5 * n + t] = double(__shfl_xor_sync(all, int64_t(t) << 40, 4, 4) >> 40);
}

// The halves of a warp take different paths, each with its own mask.
KERNEL(halves) {
    double x = plan.in[threadIdx.x];
    if (threadIdx.x % 32 < 16) {
        for (int step = 8; step; step /= 2) x += __shfl_xor_sync(0x0000ffff, x, step);
    } else {
        x = __shfl_sync(0xffff0000, x, 31);
    }
    __syncwarp();
    work.out[threadIdx.x] = x;
}

KERNEL(compact) {
    __shared__ int offsets[33];
    const int t = threadIdx.x, lane = t % 32, warp = t / 32;
    const bool kept = plan.in[t] > 0.5;
    const unsigned votes = __ballot_sync(0xffffffff, kept);
    if (lane == 0) offsets[warp + 1] = __popc(votes);
    if (t == 0) offsets[0] = 0;
    __syncthreads();
    if (t == 0)
        for (unsigned w = 0; w < blockDim.x / 32; ++w) offsets[w + 1] += offsets[w];
    __syncthreads();
    if (kept) work.out[offsets[warp] + __popc(votes & ((1u << lane) - 1))] = plan.in[t];
    if (t == 0) work.counts[0] = offsets[blockDim.x / 32];
    if (__any_sync(0xffffffff, t == 40)) atomicAdd(&work.counts[1], 1ull);
    if (__all_sync(0xffffffff, t >= 32)) atomicAdd(&work.counts[2], 1ull);
}

// Threads outside [start, stop) return, and take no part in what follows.
KERNEL(early) {
    MCVAR_SHARED(bytes);
    double *tile = reinterpret_cast<double *>(bytes);
    const int t = threadIdx.x;
    if (t < start || t >= stop) return;
    tile[t] = plan.in[t];
    __syncthreads();
    double sum = 0;
    for (int64_t i = start; i < stop; ++i) sum += tile[i];
    if (__any_sync(0xffffffff, t == start)) sum = -sum;
    work.out[t] = sum;
}

KERNEL(atomics) {
    __shared__ int most;
    if (threadIdx.x == 0) most = 0;
    __syncthreads();
    atomicMax(&most, int(threadIdx.x * 7 % blockDim.x));
    atomicAdd(&work.counts[0], 1ull);
    const unsigned long long ticket = atomicAdd(&work.counts[1], 2ull);
    atomicMin(&work.counts[2], ticket);
    atomicMax(&work.counts[3], ticket);
    __threadfence();
    __syncthreads();
    work.out[(blockIdx.y * gridDim.x + blockIdx.x) * blockDim.x + threadIdx.x] = most;
}

KERNEL(stale) {
    MCVAR_SHARED(bytes);
    __shared__ double fixed[32];
    double *tile = reinterpret_cast<double *>(bytes);
    work.out[blockIdx.x * 64 + threadIdx.x] = tile[threadIdx.x];
    work.out[blockIdx.x * 64 + 32 + threadIdx.x] = fixed[threadIdx.x];
    tile[threadIdx.x] = fixed[threadIdx.x] = 1.0;
}

KERNEL(order) { work.out[atomicAdd(&work.counts[0], 1ull)] = blockIdx.x * blockDim.x + threadIdx.x; }

KERNEL(divergent) {
    if (threadIdx.x < 16) __syncthreads();
    else work.out[threadIdx.x] = __shfl_sync(0xffffffff, plan.in[threadIdx.x], 0);
}
KERNEL(two_barriers) {
    if (threadIdx.x < 32) {
        __syncthreads();
    } else {
        __syncthreads();
    }
}
KERNEL(outside) { if (threadIdx.x == 7) __syncwarp(0x1); }
KERNEL(overrun) {
    MCVAR_SHARED(bytes);
    bytes[threadIdx.x + start] = 1;
    __syncthreads();
    volatile double local[4] = {};
    work.out[threadIdx.x] = local[threadIdx.x * stop];
}
KERNEL(barriers) { for (int64_t i = start; i < stop; ++i) __syncthreads(); }
KERNEL(warp_barriers) { for (int64_t i = start; i < stop; ++i) __syncwarp(); }

EMULATED(guarded) EMULATED(unguarded) EMULATED(run_ahead) EMULATED(shuffles) EMULATED(halves) EMULATED(compact)
EMULATED(early) EMULATED(atomics) EMULATED(stale) EMULATED(order) EMULATED(divergent) EMULATED(two_barriers)
EMULATED(outside) EMULATED(overrun) EMULATED(barriers) EMULATED(warp_barriers)
"""


class Plan(ctypes.Structure):
    _fields_ = [("values", ctypes.c_void_p), ("count", ctypes.c_int64)]


class Work(ctypes.Structure):
    _fields_ = [("out", ctypes.c_void_p), ("counts", ctypes.c_void_p)]


class Kernels:
    """The compiled kernels, their input and their output."""

    def __init__(self, path: Path) -> None:
        self.binary = ctypes.CDLL(str(path))
        self.binary.emulator_error.restype = ctypes.c_char_p
        self.values = np.random.default_rng(5).random(4096)
        self.out = np.zeros(4096)
        self.counts = np.zeros(8, dtype=np.uint64)

    def launch(
        self,
        name: str,
        *,
        grid: tuple[int, int] = (1, 1),
        threads: int = 128,
        shared: int = 0,
        order: tuple[int, int] = (0, 0),
        start: int = 0,
        stop: int = 0,
    ) -> NDArray[np.float64]:
        self.out[:] = -1.0
        self.counts[:] = 0
        plan = Plan(self.values.ctypes.data, len(self.values))
        work = Work(self.out.ctypes.data, self.counts.ctypes.data)
        integers: list[Any] = [ctypes.c_int64(start), ctypes.c_int64(stop), *grid, threads, ctypes.c_int64(shared)]
        kernel = getattr(self.binary, f"emulate_{name}")
        if kernel(ctypes.byref(plan), ctypes.byref(work), *integers, order[0], ctypes.c_uint64(order[1])):
            raise RuntimeError(self.binary.emulator_error().decode())
        return self.out.copy()


def compile_kernels(folder: Path, *flags: str) -> Path:
    source, library = folder / "kernels.cpp", folder / "kernels.so"
    source.write_text(KERNELS)
    command = [COMPILER, *FLAGS, *flags, "-include", str(HEADER), str(source), "-o", str(library)]
    done = subprocess.run(command, capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stderr
    return library


@pytest.fixture(scope="module")
def kernels(tmp_path_factory: pytest.TempPathFactory) -> Kernels:
    return Kernels(compile_kernels(tmp_path_factory.mktemp("emulator")))


def tree_sums(values: NDArray[np.float64], blocks: int, threads: int) -> NDArray[np.float64]:
    tiles = values[: blocks * threads].reshape(blocks, threads)
    while tiles.shape[1] > 1:
        half = tiles.shape[1] // 2
        tiles = tiles[:, :half] + tiles[:, half:]
    return tiles[:, 0]


@pytest.mark.parametrize("order", ORDERS)
@pytest.mark.parametrize("threads", [1, 16, 128, 1024])
def test_block_sum_same_bits_in_every_order(kernels: Kernels, order: tuple[int, int], threads: int) -> None:
    out = kernels.launch("guarded", grid=(4, 1), threads=threads, shared=8 * threads, order=order)
    assert np.array_equal(out[:4], tree_sums(kernels.values, 4, threads))


def test_missing_barrier_changes_the_sum(kernels: Kernels) -> None:
    right = tree_sums(kernels.values, 1, 128)[0]
    same = [kernels.launch("unguarded", shared=1024, order=order)[0] == right for order in ORDERS]
    # Why there are several orders: here the reversed one happens to do what the barrier would.
    assert same == [False, True, False, False]


@pytest.mark.parametrize("barrier", [True, False])
def test_warp_runs_ahead_of_the_block(kernels: Kernels, barrier: bool) -> None:
    right = kernels.values[96:128][::-1]
    same = [np.array_equal(kernels.launch("run_ahead", order=order, start=barrier)[:32], right) for order in ORDERS]
    assert all(same) == barrier


@pytest.mark.parametrize("order", ORDERS)
def test_shuffles(kernels: Kernels, order: tuple[int, int]) -> None:
    n = 64
    out = kernels.launch("shuffles", threads=n, order=order)[: 6 * n].reshape(6, n)
    values, lane = kernels.values[:n], np.arange(n) % 32
    base = np.arange(n) - lane
    assert np.allclose(out[0], values.reshape(-1, 32).sum(axis=1).repeat(32), rtol=1e-14)
    assert np.array_equal(out[1], np.arange(n).reshape(-1, 32).sum(axis=1).repeat(32))
    assert np.array_equal(out[2], values[base + np.where(lane < 3, lane, lane - 3)])
    assert np.array_equal(out[3], values[base + np.where(lane % 8 < 5, lane + 3, lane)])
    assert np.array_equal(out[4], values[base + lane // 4 * 4 + (lane + 1) % 4])
    # An exchange across groups reaches back, not ahead.
    assert np.array_equal(out[5], base + np.where(lane & 4, lane ^ 4, lane))


@pytest.mark.parametrize("order", ORDERS)
def test_part_masks(kernels: Kernels, order: tuple[int, int]) -> None:
    out = kernels.launch("halves", threads=64, order=order)[:64].reshape(2, 2, 16)
    values = kernels.values[:64].reshape(2, 2, 16)
    assert np.allclose(out[:, 0], values[:, 0].sum(axis=1, keepdims=True), rtol=1e-14)
    assert np.array_equal(out[:, 1], values[:, 1, 15:].repeat(16, axis=1))


@pytest.mark.parametrize("order", ORDERS)
def test_ballots_compact(kernels: Kernels, order: tuple[int, int]) -> None:
    out = kernels.launch("compact", threads=256, order=order)
    kept = kernels.values[:256][kernels.values[:256] > 0.5]
    assert kernels.counts[:3].tolist() == [len(kept), 32, 224]
    assert np.array_equal(out[: len(kept)], kept)
    assert np.all(out[len(kept) :] == -1.0)


@pytest.mark.parametrize("order", ORDERS)
def test_returned_threads_are_not_waited_for(kernels: Kernels, order: tuple[int, int]) -> None:
    out = kernels.launch("early", threads=100, shared=800, order=order, start=5, stop=70)
    total = sum(kernels.values[5:70].tolist())
    assert np.array_equal(out[5:32], np.full(27, -total))
    assert np.array_equal(out[32:70], np.full(38, total))
    assert np.all(np.delete(out, np.arange(5, 70)) == -1.0)


@pytest.mark.parametrize("order", ORDERS)
def test_atomics(kernels: Kernels, order: tuple[int, int]) -> None:
    out = kernels.launch("atomics", grid=(3, 2), threads=100, order=order)
    assert kernels.counts[:4].tolist() == [600, 1200, 0, 1198]
    assert np.all(out[:600] == 99)
    assert np.all(out[600:] == -1.0)


def test_shared_memory_is_fresh_for_every_block(kernels: Kernels) -> None:
    assert np.all(np.isnan(kernels.launch("stale", grid=(3, 1), threads=32, shared=256)[:192]))


def test_orders(kernels: Kernels) -> None:
    runs = [kernels.launch("order", grid=(4, 1), threads=96, order=order)[:384] for order in [*ORDERS, (2, 1)]]
    assert np.array_equal(runs[0], np.arange(384))
    assert np.array_equal(runs[1], np.arange(384)[::-1])
    assert np.array_equal(np.sort(runs[2]), np.arange(384))
    assert not np.array_equal(runs[2], runs[3])
    assert np.array_equal(runs[2], runs[4])


@pytest.mark.parametrize(
    ("name", "reason"),
    [
        (
            "divergent",
            r"16 threads, the first 16, wait at __shfl_sync .*; 16 threads, the first 0, wait at __syncthreads ",
        ),
        ("two_barriers", r"block \(0, 0, 0\): 32 threads, the first 0, wait at .*; 32 threads, the first 32, wait at "),
        ("outside", "__syncwarp: the mask lacks the calling lane"),
    ],
)
@pytest.mark.parametrize("order", ORDERS)
def test_divergence_is_an_error(kernels: Kernels, name: str, reason: str, order: tuple[int, int]) -> None:
    threads = 32 if name == "divergent" else 64
    with pytest.raises(RuntimeError, match=reason):
        kernels.launch(name, threads=threads, order=order)
    # The next launch starts clean.
    out = kernels.launch("guarded", shared=1024, order=order)
    assert out[0] == tree_sums(kernels.values, 1, 128)[0]


@pytest.mark.parametrize(
    "wrong", [{"threads": 1025}, {"threads": 0}, {"grid": (0, 1)}, {"shared": 228 << 10}, {"order": (3, 0)}]
)
def test_invalid_launch(kernels: Kernels, wrong: dict[str, Any]) -> None:
    with pytest.raises(RuntimeError, match="invalid launch"):
        kernels.launch("guarded", **wrong)


def test_sanitizers_know_the_stacks(tmp_path: Path) -> None:
    """Correct kernels pass under the sanitizers; one byte past the shared memory, or past a local array, is found."""
    named = subprocess.run([COMPILER, "-print-file-name=libasan.so"], capture_output=True, text=True, check=True)
    runtime = named.stdout.strip()
    if not Path(runtime).is_absolute():
        pytest.skip("no address sanitizer runtime")
    library = compile_kernels(tmp_path, "-O1", "-g1", "-fsanitize=address,undefined", "-fno-sanitize-recover=all")

    def run(body: str) -> subprocess.CompletedProcess[str]:
        code = f"import sys; sys.path.insert(0, {str(HEADER.parents[1])!r})\n"
        code += f"from test_emulator import *\nk = Kernels(Path({str(library)!r}))\n{body}"
        environment = os.environ | {"LD_PRELOAD": runtime, "ASAN_OPTIONS": "detect_leaks=0"}
        return subprocess.run(
            [sys.executable, "-c", code], env=environment, capture_output=True, text=True, check=False
        )

    right = run(
        "for order in ORDERS:\n"
        "    k.launch('guarded', threads=256, shared=2048, order=order)\n"
        "    k.launch('compact', threads=256, order=order)\n"
        "    try: k.launch('divergent', threads=32, order=order)\n"
        "    except RuntimeError: print('divergent')\n"
        "    k.launch('overrun', threads=4, shared=4, order=order, stop=1)\n"
    )
    assert right.returncode == 0, right.stderr
    assert right.stdout.split() == ["divergent"] * len(ORDERS)
    heap = run("k.launch('overrun', threads=4, shared=4, start=1)")
    assert "heap-buffer-overflow" in heap.stderr
    stack = run("k.launch('overrun', threads=4, shared=4, stop=2)")
    assert heap.returncode != 0
    assert stack.returncode != 0
    assert "stack-buffer-overflow" in stack.stderr or "out of bounds" in stack.stderr
