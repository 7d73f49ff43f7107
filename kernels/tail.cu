// The tail stages on the device: moments and kept losses of every row, their order, and parts of them for the host.
//
// Why: the losses of a chunk are looked at once, while they are in the cache, and only those beyond a bound are kept. A
// row belongs to one block of threads, which adds and appends in scenario order: no atomics, the same bits every time.

#include "tail.cuh"

namespace mcvar {

constexpr int STRIP = 1024;  // scenarios whose moments are added up first, by one warp
constexpr int STRIPS = 64;   // at most, in one launch
constexpr int SORT_THREADS = 1024, SORT_CHUNK = 4096;  // losses sorted in shared memory at once

// Loss of a row in one column.
__device__ __forceinline__ double row_loss(const Plan &p, const Work &w, int64_t row, int64_t column) {
    double pnl = 0.0;
    for (int64_t k = p.part_begin[row]; k < p.part_begin[row + 1]; ++k) pnl += *cell(w.sums, p.segments, p.part[k], column);
    const int64_t up = p.row_up[row], down = p.row_down[row];
    if (up >= 0 || down >= 0) {
        const double top = up >= 0 ? *cell(w.state.price, p.lines, up, column) : 1.0;
        const double rate = down >= 0 ? top / *cell(w.state.price, p.lines, down, column) : top;
        pnl = (pnl + p.base[row]) / rate - p.base[row] / p.rate_0[row];
    }
    return 0.0 - pnl;  // not the negative: that of 0 would be -0
}

__device__ __forceinline__ double over_warp(double value) {
#pragma unroll
    for (int step = 16; step > 0; step /= 2) value += __shfl_xor_sync(0xFFFFFFFFu, value, step);
    return value;
}

struct Loss {
    double value;
    int64_t scenario;
};

// Put the worse first.
__device__ __forceinline__ void in_order(Loss &a, Loss &b) {
    if (worse(b.value, b.scenario, a.value, a.scenario)) {
        const Loss keep = a;
        a = b;
        b = keep;
    }
}

}  // namespace mcvar

// P&L of every row (blockIdx.y), for those who want to see it.
MCVAR_KERNEL(256, 2) mcvar_total(const mcvar::Plan p, const mcvar::Work w, int64_t start, int64_t stop) {
    using namespace mcvar;
    const int64_t column = static_cast<int64_t>(blockIdx.x) * blockDim.x + threadIdx.x;
    if (column >= stop - start) return;
    for (int64_t row = blockIdx.y; row < p.rows; row += gridDim.y) w.pnl[row * w.width + column] = 0.0 - row_loss(p, w, row, column);
}

// Moments of the losses of one row (blockIdx.x), and those that lie in a window.
MCVAR_KERNEL(256, 2) mcvar_screen(const mcvar::Plan p, const mcvar::Work w, int64_t start, int64_t stop) {
    using namespace mcvar;
    __shared__ double power[STRIPS][4], above[STRIPS][3];
    __shared__ int kept[STRIPS];
    const int64_t row = blockIdx.x, columns = stop - start;
    const int lane = static_cast<int>(threadIdx.x) % 32, warp = static_cast<int>(threadIdx.x) / 32, warps = static_cast<int>(blockDim.x) / 32;
    const int strips = static_cast<int>((columns + STRIP - 1) / STRIP);
    const double pivot = w.pivot[row];
    for (int b = warp; b < strips; b += warps) {
        double s1 = 0, s2 = 0, s3 = 0, s4 = 0;
#pragma unroll 4
        for (int i = 0; i < STRIP / 32; ++i) {
            const int64_t column = static_cast<int64_t>(b) * STRIP + i * 32 + lane;
            if (column >= columns) break;
            const double loss = row_loss(p, w, row, column), d = loss - pivot, square = d * d;
            s1 += d;
            s2 += square;
            s3 += d * square;
            s4 += square * square;
            if (!is_finite(loss)) {
                const uint64_t key = scenario_of(w, start, stop, column) * static_cast<uint64_t>(p.rows) + static_cast<uint64_t>(row);
                atomicMin(reinterpret_cast<unsigned long long *>(w.bad), static_cast<unsigned long long>(key));
            }
        }
        s1 = over_warp(s1);
        s2 = over_warp(s2);
        s3 = over_warp(s3);
        s4 = over_warp(s4);
        if (lane == 0) {
            power[b][0] = s1;
            power[b][1] = s2;
            power[b][2] = s3;
            power[b][3] = s4;
        }
    }
    for (int64_t v = 0; v < w.windows; ++v) {
        const int64_t window = v * p.rows + row;
        const double low = w.low[window], high = w.high[window];
        const int64_t low_at = w.low_at[window], high_at = w.high_at[window], before = w.kept[window];
        for (int b = warp; b < strips; b += warps) {  // how many are in the window, and what is above
            double inside = 0, beyond = 0, s1 = 0, s2 = 0;
#pragma unroll 4
            for (int i = 0; i < STRIP / 32; ++i) {
                const int64_t column = static_cast<int64_t>(b) * STRIP + i * 32 + lane;
                if (column >= columns) break;
                const double loss = row_loss(p, w, row, column);
                if (loss < low) continue;
                const int64_t scenario = static_cast<int64_t>(scenario_of(w, start, stop, column));
                if (!worse(loss, scenario, low, low_at)) continue;
                if (worse(loss, scenario, high, high_at)) {
                    const double d = loss - high;
                    beyond += 1;
                    s1 += d;
                    s2 += d * d;
                } else {
                    inside += 1;
                }
            }
            inside = over_warp(inside);
            beyond = over_warp(beyond);
            s1 = over_warp(s1);
            s2 = over_warp(s2);
            if (lane == 0) {
                kept[b] = static_cast<int>(inside);
                above[b][0] = beyond;
                above[b][1] = s1;
                above[b][2] = s2;
            }
        }
        __syncthreads();  // all counts are there, and all have read how many were kept before
        for (int b = warp; b < strips; b += warps) {
            if (kept[b] == 0) continue;
            int64_t to = before;
            for (int strip = 0; strip < b; ++strip) to += kept[strip];
            for (int i = 0; i < STRIP / 32; ++i) {
                const int64_t column = static_cast<int64_t>(b) * STRIP + i * 32 + lane;
                bool keep = false;
                double loss = 0;
                int64_t scenario = 0;
                if (column < columns) {
                    loss = row_loss(p, w, row, column);
                    scenario = static_cast<int64_t>(scenario_of(w, start, stop, column));
                    keep = worse(loss, scenario, low, low_at) && !worse(loss, scenario, high, high_at);
                }
                const unsigned chosen = __ballot_sync(0xFFFFFFFFu, keep);
                const int64_t k = to + __popc(chosen & ((1u << lane) - 1));
                if (keep && k < w.capacity) {  // what does not fit is counted, so that the driver finds out
                    w.loss[window * w.capacity + k] = loss;
                    w.scenario[window * w.capacity + k] = scenario;
                }
                to += __popc(chosen);
            }
        }
        if (threadIdx.x < 3) {
            double sum = w.above[3 * window + threadIdx.x];
            for (int b = 0; b < strips; ++b) sum += above[b][threadIdx.x];
            w.above[3 * window + threadIdx.x] = sum;
        } else if (threadIdx.x == 32) {
            int64_t all = before;
            for (int b = 0; b < strips; ++b) all += kept[b];
            w.kept[window] = all;
        }
        __syncthreads();  // the next window counts anew
    }
    __syncthreads();
    if (threadIdx.x < 4) {
        double sum = w.power[4 * row + threadIdx.x];
        for (int b = 0; b < strips; ++b) sum += power[b][threadIdx.x];
        w.power[4 * row + threadIdx.x] = sum;
    }
}

// The kept losses of one row and window (blockIdx.y) in order, the worst first: a bitonic network whose comparisons all
// point the same way, so that it sorts any number (K. E. Batcher, "Sorting networks and their applications", 1968).
MCVAR_KERNEL(1024, 1) mcvar_sort(const mcvar::Plan p, const mcvar::Work w, int64_t start, int64_t stop) {
    using namespace mcvar;
    MCVAR_SHARED(shared);
    Loss *chunk = reinterpret_cast<Loss *>(shared);
    const int64_t window = blockIdx.y * p.rows + start + blockIdx.x;
    const int64_t count = w.kept[window] < w.capacity ? w.kept[window] : w.capacity;
    double *loss = w.loss + window * w.capacity;
    int64_t *scenario = w.scenario + window * w.capacity;
    int64_t sorted = 1;  // length of the runs that are in order
    for (bool first = true; first || sorted < count; first = false) {
        if (!first) {  // the long strides of merging runs, in global memory
            const int64_t run = 2 * sorted;
            for (int64_t stride = sorted; stride >= SORT_CHUNK; stride /= 2) {
                for (int64_t t = threadIdx.x; t < (count + run - 1) / run * sorted; t += SORT_THREADS) {
                    const int64_t a = t / stride * 2 * stride + t % stride;
                    const int64_t b = stride == sorted ? t / stride * 2 * stride + 2 * stride - 1 - t % stride : a + stride;
                    if (b >= count) continue;
                    Loss x = {loss[a], scenario[a]}, y = {loss[b], scenario[b]};
                    if (!worse(y.value, y.scenario, x.value, x.scenario)) continue;
                    loss[a] = y.value;
                    scenario[a] = y.scenario;
                    loss[b] = x.value;
                    scenario[b] = x.scenario;
                }
                __syncthreads();
            }
        }
        for (int64_t at = 0; at < count; at += SORT_CHUNK) {  // all that stays inside a chunk, in shared memory
            const int size = static_cast<int>(count - at < SORT_CHUNK ? count - at : SORT_CHUNK);
            for (int i = threadIdx.x; i < size; i += SORT_THREADS) chunk[i] = {loss[at + i], scenario[at + i]};
            __syncthreads();
            for (int half = first ? 1 : SORT_CHUNK / 2; half <= SORT_CHUNK / 2; half *= 2) {
                if (first && half > 1 && half >= size) break;  // one run holds all
                for (int stride = half; stride > 0; stride /= 2) {
                    for (int t = threadIdx.x; t < SORT_CHUNK / 2; t += SORT_THREADS) {
                        const int a = t / stride * 2 * stride + t % stride;
                        const int b = first && stride == half ? t / stride * 2 * stride + 2 * stride - 1 - t % stride : a + stride;
                        if (b < size) in_order(chunk[a], chunk[b]);
                    }
                    __syncthreads();
                }
            }
            for (int i = threadIdx.x; i < size; i += SORT_THREADS) {
                loss[at + i] = chunk[i].value;
                scenario[at + i] = chunk[i].scenario;
            }
            __syncthreads();
        }
        sorted = first ? SORT_CHUNK : 2 * sorted;
    }
}

// Losses number `first` to `first` + `count` of a row (blockIdx.x), the worst of all being number 0, and their scenarios.
MCVAR_KERNEL(256, 2) mcvar_slice(const mcvar::Plan p, const mcvar::Work w, int64_t start, int64_t stop) {
    using namespace mcvar;
    const int64_t row = start + blockIdx.x, window = w.window * p.rows + row;
    const int64_t kept = w.kept[window] < w.capacity ? w.kept[window] : w.capacity;
    for (int64_t k = threadIdx.x; k < w.count; k += blockDim.x) {
        const int64_t from = w.first + k - static_cast<int64_t>(w.above[3 * window]);
        const bool there = from >= 0 && from < kept;
        w.out[blockIdx.x * w.count + k] = there ? w.loss[window * w.capacity + from] : -infinity();
        w.out_at[blockIdx.x * w.count + k] = there ? w.scenario[window * w.capacity + from] : -1;
    }
}

// Sums, over the losses of a row (blockIdx.x) worse than number `first`, of what they exceed that one by, and of the square.
MCVAR_KERNEL(256, 2) mcvar_excess(const mcvar::Plan p, const mcvar::Work w, int64_t start, int64_t stop) {
    using namespace mcvar;
    __shared__ double part[2][8];
    const int64_t row = start + blockIdx.x, window = w.window * p.rows + row;
    const int64_t kept = w.kept[window] < w.capacity ? w.kept[window] : w.capacity;
    const double *above = w.above + 3 * window, *loss = w.loss + window * w.capacity;
    const int64_t number = w.first - static_cast<int64_t>(above[0]);
    double s1 = 0, s2 = 0;
    if (number >= 0 && number < kept) {
        const double last = loss[number];
        for (int64_t k = threadIdx.x; k < number; k += blockDim.x) {
            const double d = loss[k] - last;
            s1 += d;
            s2 += d * d;
        }
        s1 = over_warp(s1);
        s2 = over_warp(s2);
        if (threadIdx.x % 32 == 0) {
            part[0][threadIdx.x / 32] = s1;
            part[1][threadIdx.x / 32] = s2;
        }
    }
    __syncthreads();
    if (threadIdx.x == 0) {
        s1 = s2 = 0;
        if (number >= 0 && number < kept) {
            for (int i = 0; i < 8; ++i) {
                s1 += part[0][i];
                s2 += part[1][i];
            }
            add_above(above, w.high[window] - loss[number], s1, s2);
        }
        w.out[2 * blockIdx.x] = s1;
        w.out[2 * blockIdx.x + 1] = s2;
    }
}
