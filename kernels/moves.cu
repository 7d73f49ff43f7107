// Stages draw and move on the device: normals of all factors, then x = mean + scale L z and the levels of the prices.
//
// Why: 1e8 bit-exact normals are a millisecond of FP64 work, and so is the triangular product, which goes through shared
// memory in panels so that each normal is read from memory once for 64 factors.

#include "moves.cuh"

namespace mcvar {
constexpr int PANEL = 64, DEPTH = 16;  // factors and columns of a product's tile; depth of a panel
}

// One scenario a thread; blockIdx.y is a pair of factors, and the last one the mixing variable of the law.
MCVAR_KERNEL(256, 2) mcvar_draw(const mcvar::Plan p, const mcvar::Work w, int64_t start, int64_t stop) {
    using namespace mcvar;
    const int64_t column = static_cast<int64_t>(blockIdx.x) * blockDim.x + threadIdx.x, block = blockIdx.y;
    const int64_t pairs = (p.factors + 1) / 2;
    if (column >= w.width || p.given > 0) return;
    const uint64_t scenario = scenario_of(w, start, stop, column);
    double even, odd;
    if (block < pairs) {
        normals(p.seed, scenario, static_cast<uint32_t>(block), 0u, even, odd);
        *cell(w.z, 2 * pairs, 2 * block, column) = even;
        *cell(w.z, 2 * pairs, 2 * block + 1, column) = odd;
    } else if (p.nodes > 0) {
        normals(p.seed, scenario, 0u, 1u << 24, even, odd);  // stream 1: mixing
        w.scale[column] = mixing_scale(p, even);
    } else {
        w.scale[column] = 1.0;
    }
}

// A tile of 64 factors (blockIdx.y) by 64 scenarios a block, 4 by 4 a thread.
MCVAR_KERNEL(256, 2) mcvar_move(const mcvar::Plan p, const mcvar::Work w, int64_t start, int64_t stop) {
    using namespace mcvar;
    __shared__ double left[DEPTH][PANEL + 1], right[DEPTH][PANEL];
    const int t = static_cast<int>(threadIdx.x), row = t / 16, lane = t % 16;
    const int64_t first = static_cast<int64_t>(blockIdx.y) * PANEL, at = static_cast<int64_t>(blockIdx.x) * PANEL;
    const int64_t rows = 2 * ((p.factors + 1) / 2), end = first + PANEL < p.factors ? first + PANEL : p.factors;
    double sum[4][4] = {};
    if (p.given == 0) {
        for (int64_t depth = 0; depth < end; depth += DEPTH) {  // L is triangular: nothing beyond `end`
            for (int i = t; i < PANEL * DEPTH; i += 256) {
                const int64_t f = first + i / DEPTH, g = depth + i % DEPTH;
                left[i % DEPTH][i / DEPTH] = f < p.factors && g < p.factors ? p.factor[f * p.factors + g] : 0.0;
                const int64_t k = depth + i / PANEL, column = at + i % PANEL;
                right[i / PANEL][i % PANEL] = k < rows && column < w.width ? *cell(w.z, rows, k, column) : 0.0;
            }
            __syncthreads();
            for (int k = 0; k < DEPTH; ++k) {
#pragma unroll
                for (int i = 0; i < 4; ++i) {
#pragma unroll
                    for (int j = 0; j < 4; ++j) {
                        sum[i][j] = fma_(left[k][row + 16 * i], right[k][lane + 16 * j], sum[i][j]);
                    }
                }
            }
            __syncthreads();
        }
    }
#pragma unroll
    for (int i = 0; i < 4; ++i) {
        const int64_t f = first + row + 16 * i;
        if (f >= p.factors) break;
#pragma unroll
        for (int j = 0; j < 4; ++j) {
            const int64_t column = at + lane + 16 * j;
            if (column >= w.width) break;
            double x;
            if (p.given > 0) {
                const int64_t scenario = static_cast<int64_t>(scenario_of(w, start, stop, column));
                x = scenario < p.given ? p.moves[f * p.given + scenario] : 0.0;
            } else {
                x = sum[i][j] * w.scale[column] + p.mean[f];
            }
            *cell(w.x, p.factors, f, column) = x;
            *cell(w.price, p.factors, f, column) = moved(p.shock[f], p.level[f], x);
        }
    }
}
