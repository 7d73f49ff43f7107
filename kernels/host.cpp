// The stages on the host: what the .cu files do with a grid of threads, done with OpenMP over blocks of scenarios or rows.
//
// Why: numpy writes every intermediate array to memory; here a block of scenarios of all factors and instruments stays
// in the cache of one core, and the compiler vectorises each loop over its lanes. Stages have the names, the order and the
// arguments of those of the .cu files; those that make P&L, with all steps, are one entry point, `pnl`, as a block must
// not leave its core between them. Columns [start, stop) are scenarios, and rows for the last three.

#include <algorithm>
#include <vector>

#if defined(_OPENMP)
#include <omp.h>
#else
static int omp_get_thread_num() { return 0; }
#endif

#include "contracts.cuh"
#include "tail.cuh"

using namespace mcvar;

static int threads = 1;
extern "C" void mcvar_threads(int count) { threads = count; }

#define STAGE(name) extern "C" void mcvar_##name(const Plan *plan, const Work *work, int64_t start, int64_t stop)
#define PARALLEL(variable, count) \
    _Pragma("omp parallel for schedule(static) num_threads(threads)") for (int64_t variable = 0; variable < (count); ++variable)
#define PARALLEL_BLOCKS(at) \
    _Pragma("omp parallel for schedule(static) num_threads(threads)") for (int64_t at = 0; at < stop - start; at += LANES)

// The stages of a block of LANES columns from `at` on, as in the .cu files.

// Normals of the drivers that a sampling spreads.
static void draw_sampled(const Law &l, const Work &w, const uint64_t (&scenario)[LANES], int64_t at) {
    const Points<LANES> points = points_of(l, scenario);
    for (int64_t k = 0; k < l.sampled; ++k) {
        Lane even, odd;
        sampled_normals(l, points, w.state.step, k, even, odd);
        double *first = cell(w.state.z, l.drivers, 2 * k, at), *second = cell(w.state.z, l.drivers, 2 * k + 1, at);
        FOR_LANES {
            first[n] = even[n];
            second[n] = odd[n];
        }
    }
}

// Normals of all drivers, and what all factors share.
static void draw(const Plan &p, const Work &w, int64_t start, int64_t stop, int64_t at) {
    const Law &l = p.law;
    uint64_t scenario[LANES];
    FOR_LANES { scenario[n] = scenario_of(w, start, stop, at + n); }
    if (l.sampled > 0) draw_sampled(l, w, scenario, at);
    for (int64_t k = l.sampled; k < l.drivers / 2; ++k) {
        const uint32_t block = static_cast<uint32_t>(l.pair[k].block), lane = static_cast<uint32_t>(l.pair[k].stream << 24 | w.state.step);
        double *even = cell(w.state.z, l.drivers, 2 * k, at), *odd = cell(w.state.z, l.drivers, 2 * k + 1, at);
        FOR_LANES { normals(l.seed, scenario[n], block, lane, even[n], odd[n]); }
    }
    for (int n = 0; n < LANES; ++n) draw_common(p, w, scenario[n], at + n);
}

// The drivers, correlated.
static void move(const Plan &p, const Work &w, int64_t at) {
    const Law &l = p.law;
    for (int64_t d = 0; d < l.drivers; ++d) {
        Lane sum;
        FOR_LANES { sum[n] = 0.0; }
        for (int64_t g = l.first[d]; g < l.end[d]; ++g) {
            const double entry = l.root[d * l.drivers + g], *z = cell(w.state.z, l.drivers, g, at);
            FOR_LANES { sum[n] = fma_(entry, z[n], sum[n]); }
        }
        double *y = cell(w.state.y, l.drivers, d, at);
        FOR_LANES { y[n] = sum[n]; }
    }
}

// All steps of all factors.
static void walk(const Plan &p, Work &w, int64_t start, int64_t stop, int64_t at) {
    for (w.state.step = 0; w.state.step < p.law.steps; ++w.state.step) {
        if (p.law.given == 0) {
            draw(p, w, start, stop, at);
            move(p, w, at);
        }
        for (int64_t f = 0; f < p.factors; ++f) evolve_factor(p, w, f, start, stop, at);
    }
}

// The change of value of every instrument.
static void value(const Plan &p, const Work &w, int64_t at) {
    for (int64_t g = 0; g < p.groups; ++g) {
        const Group &group = p.group[g];
        switch (group.family) {
            case DIGITAL: value_contracts<digital_contract>(p, w, group, at); break;
            case BARRIER: value_contracts<barrier_contract>(p, w, group, at); break;
            case ASIAN: value_contracts<asian_contract>(p, w, group, at); break;
            case AMERICAN: value_american(p, w, group, at); break;
            case AMERICAN_TABLE: value_american_table(p, w, group, at); break;
            default: value_group(p, w, group, at);
        }
    }
}

// The sum of every segment's positions.
static void add_up(const Plan &p, const Work &w, int64_t at) {
    for (int64_t s = 0; s < p.segments; ++s) {
        REAL sum[LANES];
        FOR_LANES { sum[n] = 0; }
        const Position *k = p.position + p.segment_begin[s], *end = p.position + p.segment_begin[s + 1];
        for (; k + 4 <= end; k += 4) {  // four at a time, in their order: the sum is read and written once
            const REAL *a = cell(w.dv, p.instruments, k[0].at, at), *b = cell(w.dv, p.instruments, k[1].at, at);
            const REAL *c = cell(w.dv, p.instruments, k[2].at, at), *d = cell(w.dv, p.instruments, k[3].at, at);
            const REAL qa = k[0].quantity, qb = k[1].quantity, qc = k[2].quantity, qd = k[3].quantity;
            FOR_LANES { sum[n] = fma_(qd, d[n], fma_(qc, c[n], fma_(qb, b[n], fma_(qa, a[n], sum[n])))); }
        }
        for (; k < end; ++k) {
            const REAL q = k->quantity, *dv = cell(w.dv, p.instruments, k->at, at);
            FOR_LANES { sum[n] = fma_(q, dv[n], sum[n]); }
        }
        REAL *sums = cell(w.sums, p.segments, s, at);
        FOR_LANES { sums[n] = sum[n]; }
    }
}

// The moves, for those who want to see them.
STAGE(path) {
    PARALLEL_BLOCKS(at) {
        Work w = *work;
        walk(*plan, w, start, stop, at);
    }
}

// Moves, values and sums, block by block: a core keeps the changes of value of one block, in its cache, and writes the next over them.
STAGE(pnl) {
    PARALLEL_BLOCKS(at) {
        Work w = *work;
        w.dv += (omp_get_thread_num() - at / TILE) * plan->instruments * TILE;
        walk(*plan, w, start, stop, at);
        value(*plan, w, at);
        add_up(*plan, w, at);
    }
}

// P&L of every row, for those who want to see it.
STAGE(total) {
    const Work &w = *work;
    PARALLEL_BLOCKS(at) {
        for (int64_t r = 0; r < plan->rows; ++r) {
            Lane pnl;
            row_pnl(*plan, w, r, at, pnl);
            FOR_LANES { w.pnl[r * w.width + at + n] = pnl[n]; }
        }
    }
}

// Keep what lies in a window of a row; sum what lies above.
static void keep(const Work &w, int64_t window, const Lane &loss, int64_t most, int64_t start, int64_t stop, int64_t at) {
    const double low = w.low[window], high = w.high[window];
    int chosen[LANES], count = 0;
    for (int n = 0; n < most; ++n) {  // without a branch that nobody could predict
        chosen[count] = n;
        count += loss[n] >= low;
    }
    for (int i = 0; i < count; ++i) {
        const double value = loss[chosen[i]];
        const int64_t scenario = static_cast<int64_t>(scenario_of(w, start, stop, at + chosen[i]));
        if (!worse(value, scenario, low, w.low_at[window])) continue;
        if (worse(value, scenario, high, w.high_at[window])) {
            double *above = w.above + 3 * window;
            const double d = value - high;
            above[0] += 1;
            above[1] += d;
            above[2] += d * d;
            continue;
        }
        const int64_t k = w.kept[window]++;
        if (k >= w.capacity) continue;  // counted, so that the driver finds out
        w.loss[window * w.capacity + k] = value;
        w.scenario[window * w.capacity + k] = scenario;
    }
}

// Moments of the losses, and those that lie in a window.
STAGE(screen) {
    const Plan &p = *plan;
    const Work &w = *work;
    PARALLEL(r, p.rows) {
        double *power = w.power + 4 * r;
        const double pivot = w.pivot[r];
        for (int64_t at = 0; at < stop - start; at += LANES) {
            const int64_t most = std::min<int64_t>(LANES, stop - start - at);
            Lane loss;
            row_pnl(p, w, r, at, loss);
            double s1 = 0, s2 = 0, s3 = 0, s4 = 0, sum = 0;
#pragma omp simd reduction(+ : s1, s2, s3, s4, sum)
            for (int n = 0; n < LANES; ++n) {
                loss[n] = 0.0 - loss[n];  // not the negative: that of 0 would be -0
                sum += loss[n] * 0.0;     // NaN if any is not finite
                const double d = n < most ? loss[n] - pivot : 0.0, square = d * d;
                s1 += d;
                s2 += square;
                s3 += d * square;
                s4 += square * square;
            }
            power[0] += s1;
            power[1] += s2;
            power[2] += s3;
            power[3] += s4;
            if (!is_finite(sum)) {
                for (int64_t n = 0; n < most; ++n) {
                    if (is_finite(loss[n])) continue;
                    const uint64_t key = scenario_of(w, start, stop, at + n) * static_cast<uint64_t>(p.rows) + static_cast<uint64_t>(r);
#pragma omp critical
                    *w.bad = std::min(*w.bad, key);
                }
            }
            for (int64_t v = 0; v < w.windows; ++v) keep(w, v * p.rows + r, loss, most, start, stop, at);
        }
    }
}

struct Loss {
    uint64_t key;  // ascending as the loss descends
    int64_t scenario;
};

static uint64_t key_of(double loss) {
    const uint64_t bits = static_cast<uint64_t>(bits_of(loss));
    return bits >> 63 ? bits : ~(bits | 1ull << 63);
}

static double loss_of(uint64_t key) { return from_bits(static_cast<int64_t>(key >> 63 ? key : ~(key | 1ull << 63))); }

// The kept losses of rows [start, stop) of all windows in order, the worst first: a radix sort, byte by byte from the lowest.
// It is stable, and losses are kept in scenario order, so that equal ones stay in it.
STAGE(sort) {
    const Work &w = *work;
    const int64_t rows = stop - start;
#pragma omp parallel for schedule(dynamic) num_threads(threads)
    for (int64_t i = 0; i < w.windows * rows; ++i) {
        const int64_t window = i / rows * plan->rows + start + i % rows, kept = std::min(w.kept[window], w.capacity);
        double *loss = w.loss + window * w.capacity;
        int64_t *scenario = w.scenario + window * w.capacity;
        std::vector<Loss> from(kept), to(kept);
        std::vector<int64_t> counts(8 * 256, 0);
        for (int64_t k = 0; k < kept; ++k) {
            from[k] = {key_of(loss[k]), scenario[k]};
            for (int byte = 0; byte < 8; ++byte) ++counts[byte * 256 + (from[k].key >> (8 * byte) & 0xFF)];
        }
        for (int byte = 0; byte < 8; ++byte) {
            int64_t *next = counts.data() + byte * 256;
            if (std::find(next, next + 256, kept) != next + 256) continue;  // all alike
            int64_t sum = 0;
            for (int digit = 0; digit < 256; ++digit) {
                const int64_t count = next[digit];
                next[digit] = sum;
                sum += count;
            }
            for (const Loss &each : from) to[next[each.key >> (8 * byte) & 0xFF]++] = each;
            from.swap(to);
        }
        for (int64_t k = 0; k < kept; ++k) {
            loss[k] = loss_of(from[k].key);
            scenario[k] = from[k].scenario;
        }
    }
}

// Losses number `first` to `first` + `count`, the worst of all being number 0, and their scenarios; -inf where a window has none.
STAGE(slice) {
    const Work &w = *work;
    PARALLEL(i, stop - start) {
        const int64_t r = start + i, window = w.window * plan->rows + r, kept = std::min(w.kept[window], w.capacity);
        for (int64_t k = 0; k < w.count; ++k) {
            const int64_t from = w.first + k - static_cast<int64_t>(w.above[3 * window]);
            const bool there = from >= 0 && from < kept;
            w.out[i * w.count + k] = there ? w.loss[window * w.capacity + from] : -infinity();
            w.out_at[i * w.count + k] = there ? w.scenario[window * w.capacity + from] : -1;
        }
    }
}

// Sums, over the losses worse than number `first`, of what they exceed that one by, and of the square.
STAGE(excess) {
    const Work &w = *work;
    PARALLEL(i, stop - start) {
        const int64_t r = start + i, window = w.window * plan->rows + r;
        const double *above = w.above + 3 * window, *loss = w.loss + window * w.capacity;
        const int64_t number = w.first - static_cast<int64_t>(above[0]);
        double s1 = 0, s2 = 0;
        if (number >= 0 && number < std::min(w.kept[window], w.capacity)) {
            for (int64_t k = 0; k < number; ++k) {
                const double d = loss[k] - loss[number];
                s1 += d;
                s2 += d * d;
            }
            add_above(above, w.high[window] - loss[number], s1, s2);
        }
        w.out[2 * i] = s1;
        w.out[2 * i + 1] = s2;
    }
}

// Sizes, so that a caller built for another layout is found out.
extern "C" int64_t mcvar_plan_bytes() { return static_cast<int64_t>(sizeof(Plan)); }
extern "C" int64_t mcvar_work_bytes() { return static_cast<int64_t>(sizeof(Work)); }
extern "C" int64_t mcvar_tile() { return TILE; }
