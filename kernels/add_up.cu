// Stage add_up on the device: the sum of every segment's positions, in a fixed order and without atomics.
//
// Why: a position is one multiplication and one value read, so reading is all that counts. A block takes TILE scenarios
// and 560 segments, 28 a warp, whose sums stay in registers, and streams the values through shared memory in chunks of
// instruments, the next chunk being copied while this one is added up. Blocks of one tile run side by side, so that each
// value is read from memory once and from the cache once for 560 segments. The positions of a warp in a chunk are one run, told apart by a count for each segment. A book with few
// positions for each instrument and block (mcvar/engines/segments.py decides) reads values from memory directly.

#include "plan.cuh"
#include "elementary.cuh"

namespace mcvar {

constexpr int PER_WARP = 28, PER_LANE = TILE / 32;
constexpr int UNROLL = sizeof(REAL) == 8 ? 4 : 2;  // as far as the registers last

struct alignas(sizeof(REAL) * PER_LANE) Pack {  // what one lane holds of a segment: 8 bytes
    REAL lane[PER_LANE];
};

MCVAR_FN void add_position(Pack &sum, REAL quantity, const Pack &value) {
#pragma unroll
    for (int i = 0; i < PER_LANE; ++i) sum.lane[i] = fma_(quantity, value.lane[i], sum.lane[i]);
}

// 16 bytes from global to shared memory, without waiting where the device can.
__device__ __forceinline__ void copy_16(void *to, const void *from) {
#if defined(__CUDA_ARCH__) && __CUDA_ARCH__ >= 800
    const uint32_t shared = static_cast<uint32_t>(__cvta_generic_to_shared(to));
    asm volatile("cp.async.cg.shared.global [%0], [%1], 16;" ::"r"(shared), "l"(from) : "memory");
#else
    struct alignas(16) Vector {
        int64_t half[2];
    };
    *static_cast<Vector *>(to) = *static_cast<const Vector *>(from);
#endif
}

__device__ __forceinline__ void copies_done() {
#if defined(__CUDA_ARCH__) && __CUDA_ARCH__ >= 800
    asm volatile("cp.async.wait_all;" ::: "memory");
#endif
}

}  // namespace mcvar

MCVAR_KERNEL(640, 1) mcvar_add_up(const mcvar::Plan p, const mcvar::Work w, int64_t start, int64_t stop) {
    using namespace mcvar;
    MCVAR_SHARED(shared);
    const int lane = static_cast<int>(threadIdx.x) % 32, warp = static_cast<int>(threadIdx.x) / 32;
    const int64_t tile = blockIdx.y, group = static_cast<int64_t>(blockIdx.x) * (blockDim.x / 32) + warp, first = group * PER_WARP;
    const int64_t step = static_cast<int64_t>(blockDim.x) * 16;
    const REAL *values = w.dv + tile * p.instruments * TILE;
    Pack sum[PER_WARP];
#pragma unroll
    for (int s = 0; s < PER_WARP; ++s) sum[s] = Pack{};
    if (p.chunk == 0) {
#pragma unroll
        for (int s = 0; s < PER_WARP; ++s) {
            if (first + s >= p.segments) break;
            const int64_t end = p.segment_begin[first + s + 1];
#pragma unroll 4
            for (int64_t k = p.segment_begin[first + s]; k < end; ++k) {
                const Position position = whole(p.position + k);
                const Pack *value = reinterpret_cast<const Pack *>(values + static_cast<int64_t>(position.at) * TILE) + lane;
                add_position(sum[s], position.quantity, whole(value));
            }
        }
    } else {
        const int64_t bytes = p.chunk * TILE * static_cast<int64_t>(sizeof(REAL)), all = p.instruments * TILE * static_cast<int64_t>(sizeof(REAL));
        const unsigned char *from = reinterpret_cast<const unsigned char *>(values);
        for (int64_t b = threadIdx.x * 16; b < bytes && b < all; b += step) copy_16(shared + b, from + b);
        for (int64_t c = 0; c < p.chunks; ++c) {
            copies_done();
            __syncthreads();  // chunk c is here, and nobody reads the other buffer any more
            unsigned char *other = shared + ((c + 1) % 2) * bytes;
            for (int64_t b = threadIdx.x * 16; b < bytes && (c + 1) * bytes + b < all; b += step)
                copy_16(other + b, from + (c + 1) * bytes + b);
            if (first >= p.segments) continue;
            const unsigned char *mine = shared + (c % 2) * bytes + lane * sizeof(Pack);
            const int64_t run = group * p.chunks + c;
            const Position *position = p.position + p.run_begin[run];
            const uint32_t *counts = reinterpret_cast<const uint32_t *>(p.run_count + run * PER_WARP);  // four in a word
#pragma unroll
            for (int s = 0; s < PER_WARP; ++s) {
                const int count = static_cast<int>(counts[s / 4] >> (8 * (s % 4)) & 0xFF);
#pragma unroll UNROLL
                for (int k = 0; k < count; ++k, ++position) {
                    const Position held = whole(position);
                    add_position(sum[s], held.quantity, whole(reinterpret_cast<const Pack *>(mine + held.at)));
                }
            }
        }
    }
#pragma unroll
    for (int s = 0; s < PER_WARP; ++s) {
        if (first + s >= p.segments) break;
        reinterpret_cast<Pack *>(w.sums + (tile * p.segments + first + s) * TILE)[lane] = sum[s];
    }
}
