// Stages draw, move and evolve on the device, once for each step: normals, their correlation, and the moves of the factors.
//
// Why: 1e8 bit-exact normals are a millisecond of FP64 work, and so is the product with the root, which goes through shared
// memory in panels so that each normal is read from memory once for 64 rows. What the models differ in is in `evolve`.

#include "moves.cuh"

namespace mcvar {
constexpr int PANEL = 64, DEPTH = 16;  // drivers and columns of a product's tile; depth of a panel
}

// One scenario a thread; blockIdx.y is a pair of drivers, and the last one what all factors share.
MCVAR_KERNEL(256, 2) mcvar_draw(const mcvar::Plan p, const mcvar::Work w, int64_t start, int64_t stop) {
    using namespace mcvar;
    const Law &l = p.law;
    const int64_t column = static_cast<int64_t>(blockIdx.x) * blockDim.x + threadIdx.x, pair = blockIdx.y;
    if (column >= w.width || l.given > 0) return;
    const uint64_t scenario = scenario_of(w, start, stop, column);
    if (pair == l.drivers / 2) {
        draw_common(p, w, scenario, column);
        return;
    }
    double even[1], odd[1];
    if (pair < l.sampled) {
        const uint64_t one[1] = {scenario};
        sampled_normals(l, points_of(l, one), w.state.step, pair, even, odd);
    } else {
        const uint32_t lane = static_cast<uint32_t>(l.pair[pair].stream << 24 | w.state.step);
        normals(l.seed, scenario, static_cast<uint32_t>(l.pair[pair].block), lane, even[0], odd[0]);
    }
    *cell(w.state.z, l.drivers, 2 * pair, column) = even[0];
    *cell(w.state.z, l.drivers, 2 * pair + 1, column) = odd[0];
}

// A tile of 64 drivers (blockIdx.y) by 64 scenarios a block, 4 by 4 a thread.
MCVAR_KERNEL(256, 2) mcvar_move(const mcvar::Plan p, const mcvar::Work w, int64_t start, int64_t stop) {
    using namespace mcvar;
    __shared__ double left[DEPTH][PANEL + 1], right[DEPTH][PANEL];
    const Law &l = p.law;
    const int t = static_cast<int>(threadIdx.x), row = t / 16, lane = t % 16;
    const int64_t rows = l.drivers, top = static_cast<int64_t>(blockIdx.y) * PANEL;
    const int64_t at = static_cast<int64_t>(blockIdx.x) * PANEL;
    if (top >= rows) return;
    const int64_t end = l.end[(top + PANEL < rows ? top + PANEL : rows) - 1];
    double sum[4][4] = {};
    // The root's blocks, triangles or squares, start and end further right as one goes down: nothing before or beyond.
    for (int64_t depth = l.first[top] / DEPTH * DEPTH; depth < end; depth += DEPTH) {
        for (int i = t; i < PANEL * DEPTH; i += 256) {
            const int64_t d = top + i / DEPTH, g = depth + i % DEPTH;
            left[i % DEPTH][i / DEPTH] = d < rows && g < rows ? l.root[d * rows + g] : 0.0;
            const int64_t k = depth + i / PANEL, column = at + i % PANEL;
            right[i / PANEL][i % PANEL] = k < rows && column < w.width ? *cell(w.state.z, rows, k, column) : 0.0;
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
#pragma unroll
    for (int i = 0; i < 4; ++i) {
        const int64_t d = top + row + 16 * i;
        if (d >= rows) break;
#pragma unroll
        for (int j = 0; j < 4; ++j) {
            const int64_t column = at + lane + 16 * j;
            if (column < w.width) *cell(w.state.y, rows, d, column) = sum[i][j];
        }
    }
}

// LANES scenarios a thread; blockIdx.y is a factor.
MCVAR_KERNEL(128, 3) mcvar_evolve(const mcvar::Plan p, const mcvar::Work w, int64_t start, int64_t stop) {
    using namespace mcvar;
    const int64_t at = (static_cast<int64_t>(blockIdx.x) * blockDim.x + threadIdx.x) * LANES;
    if (at < w.width) evolve_factor(p, w, blockIdx.y, start, stop, at);
}
