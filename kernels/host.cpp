// The engine on the host: P&L of scenarios [start, stop) for every row, one block of scenarios at a time.
//
// Why: numpy writes every intermediate array to the cache; here a block of BLOCK scenarios of all factors and
// instruments stays in it, and the compiler vectorises each loop over scenarios. Threads are the caller's: one
// call is single-threaded and touches nothing but its own buffers. Steps are those of mcvar/engines/reference.py.

#include <vector>

#include "black.cuh"
#include "normal.cuh"
#include "plan.cuh"

#ifndef BLOCK
#define BLOCK 64  // scenarios at once; a multiple of the widest vector
#endif

namespace mcvar {

using Lane = double[BLOCK];

#define FOR_LANES _Pragma("omp simd") for (int n = 0; n < BLOCK; ++n)

// Buffers of one call.
struct Work {
    std::vector<double> z, x, price, dv;
    explicit Work(const Plan &p)
        : z((p.factors + 1) * BLOCK), x(p.factors * BLOCK), price(p.factors * BLOCK), dv(p.instruments * BLOCK) {}
    double *lane(std::vector<double> &of, int64_t row) { return of.data() + row * BLOCK; }
};

// sqrt((dof - 2) / W) of the mixing normal m, by cubic Hermite interpolation of its logarithm.
static double mixing_scale(const Plan &p, double m) {
    const double at = (m + 9.0) * (static_cast<double>(p.nodes - 1) / 18.0);
    const int64_t left = static_cast<int64_t>(at);
    const double t = at - static_cast<double>(left);
    const double y0 = p.log_scale[left], rise = p.log_scale[left + 1] - y0;
    const double d0 = p.slope[left], d1 = p.slope[left + 1];
    return std::exp(y0 + t * (d0 + t * ((3 * rise - 2 * d0 - d1) + t * (d0 + d1 - 2 * rise))));
}

static void draw_moves(const Plan &p, uint64_t scenario, Work &w) {
    if (p.given > 0) {
        for (int64_t f = 0; f < p.factors; ++f)
            for (int64_t n = 0; n < BLOCK; ++n) {
                const int64_t at = static_cast<int64_t>(scenario) + n;
                w.lane(w.x, f)[n] = at < p.given ? p.moves[f * p.given + at] : 0.0;
            }
        return;
    }
    for (int64_t b = 0; b < (p.factors + 1) / 2; ++b) {
        double *even = w.lane(w.z, 2 * b), *odd = w.lane(w.z, 2 * b + 1);
        FOR_LANES { normals(p.seed, scenario + n, static_cast<uint32_t>(b), 0u, even[n], odd[n]); }
    }
    Lane scale;
    FOR_LANES { scale[n] = 1.0; }
    if (p.nodes > 0) {
        Lane unused;
        FOR_LANES { normals(p.seed, scenario + n, 0u, 1u << 24, scale[n], unused[n]); }  // stream 1: mixing
        for (int n = 0; n < BLOCK; ++n) scale[n] = mixing_scale(p, scale[n]);
    }
    for (int64_t f = 0; f < p.factors; ++f) {
        double *x = w.lane(w.x, f);
        Lane sum;
        FOR_LANES { sum[n] = 0.0; }
        for (int64_t g = 0; g <= f; ++g) {
            const double l = p.factor[f * p.factors + g], *z = w.lane(w.z, g);
            FOR_LANES { sum[n] += l * z[n]; }
        }
        const double mean = p.mean[f];
        FOR_LANES { x[n] = sum[n] * scale[n] + mean; }
    }
}

static void move_prices(const Plan &p, Work &w) {
    for (int64_t f = 0; f < p.factors; ++f) {
        const double s = p.level[f], *x = w.lane(w.x, f);
        double *price = w.lane(w.price, f);
        if (p.shock[f] == LOG) FOR_LANES { price[n] = s * exp_(x[n]); }
        if (p.shock[f] == SIMPLE) FOR_LANES { price[n] = s * (1.0 + x[n]) > 0.0 ? s * (1.0 + x[n]) : 0.0; }
        if (p.shock[f] == ABSOLUTE) FOR_LANES { price[n] = s + x[n]; }
    }
}

// Sum of weight x move over the pillars of one kind of a group (0 vol, 1 carry, 2 rate); false if it has none.
static bool shift(const Plan &p, Work &w, int64_t group, int kind, Lane &out) {
    const int64_t begin = p.pillar_begin[3 * group + kind], end = p.pillar_begin[3 * group + kind + 1];
    FOR_LANES { out[n] = 0.0; }
    for (int64_t k = begin; k < end; ++k) {
        const double weight = p.pillar_weight[k], *x = w.lane(w.x, p.pillar_factor[k]);
        FOR_LANES { out[n] += weight * x[n]; }
    }
    return begin < end;
}

// ln g and g of the forward: its growth over today's, carry moves included.
static void growth(const Plan &p, Work &w, int64_t group, Lane &log_g, Lane &g) {
    const int64_t u = p.underlying[group];
    const double s = p.level[u], *x = w.lane(w.x, u), *price = w.lane(w.price, u);
    FOR_LANES { g[n] = price[n] / s; }
    if (p.shock[u] == LOG) {
        FOR_LANES { log_g[n] = x[n]; }
    } else {
        for (int n = 0; n < BLOCK; ++n) log_g[n] = g[n] > 0.0 ? std::log(g[n]) : -HUGE_VAL;
    }
    Lane carry;
    if (shift(p, w, group, 1, carry)) {
        const double left = p.left[group];
        FOR_LANES {
            log_g[n] += carry[n] * left;
            g[n] *= exp_(carry[n] * left);
        }
    }
}

// Undiscounted values; the growth of the discount factor goes into `discount`.
static void value_options(const Plan &p, Work &w, int64_t group, int64_t begin, int64_t end, Lane &discount) {
    Lane log_g, g, vol, rate, over_v, v, per_p, per_q;
    growth(p, w, group, log_g, g);
    const bool inverse = p.inverse[group] != 0, live = p.family[group] == OPTION;
    shift(p, w, group, 0, vol);
    FOR_LANES {
        v[n] = exp_(vol[n]);
        over_v[n] = 1.0 / v[n];
        per_p[n] = inverse ? 1.0 : g[n];
        per_q[n] = inverse ? 1.0 / g[n] : 1.0;
    }
    if (shift(p, w, group, 2, rate)) FOR_LANES { discount[n] = exp_(-rate[n] * p.left[group]); }
    const int64_t direct = begin + p.formulas[group];
    for (int64_t i = begin; i < direct; ++i) {
        const double a = p.a[i], b = p.b[i], c = p.c[i], edge = p.edge[i], side = p.side[i];
        const double first = p.first[i], second = p.second[i];  // carry the sign of the option
        double *value = w.lane(w.dv, i);
        if (live) {
            FOR_LANES {
                const double middle = (a * log_g[n] + b) * over_v[n], half = c * v[n];
                value[n] = black(first * per_p[n], second * per_q[n], middle + half, middle - half);
            }
        } else {
            FOR_LANES {
                value[n] = side * (log_g[n] - edge) > 0.0 ? first * per_p[n] - second * per_q[n] : 0.0;
            }
        }
    }
    for (int64_t i = direct; i < end; ++i) {
        const double *other = w.lane(w.dv, p.formula[i]), pp = p.parity_p[i], pq = p.parity_q[i];
        double *value = w.lane(w.dv, i);
        FOR_LANES { value[n] = other[n] + pp * per_p[n] + pq * per_q[n]; }
    }
}

static void value_forwards(const Plan &p, Work &w, int64_t group, int64_t begin, int64_t end) {
    Lane price, carry;
    const double *spot = w.lane(w.price, p.underlying[group]);
    FOR_LANES { price[n] = spot[n]; }
    if (shift(p, w, group, 1, carry)) FOR_LANES { price[n] *= exp_(carry[n] * p.left[group]); }
    for (int64_t i = begin; i < end; ++i) {
        const double m = p.multiplier[i], grow = p.carry_factor[i], f0 = p.forward_0[i], cost = p.cost[i];
        double *value = w.lane(w.dv, i);
        if (p.family[group] == SPOT) {
            FOR_LANES { value[n] = m * price[n]; }
        } else if (p.inverse[group] != 0) {
            FOR_LANES { value[n] = m * (1.0 / f0 - 1.0 / (grow * price[n])) - cost; }
        } else {
            FOR_LANES { value[n] = m * (grow * price[n] - f0) - cost; }
        }
    }
}

// S[up] / S[down] in each scenario.
static void conversion(Work &w, int64_t up, int64_t down, Lane &out) {
    FOR_LANES { out[n] = up >= 0 ? w.lane(w.price, up)[n] : 1.0; }
    if (down >= 0) FOR_LANES { out[n] /= w.lane(w.price, down)[n]; }
}

static void revalue(const Plan &p, Work &w) {
    for (int64_t group = 0; group < p.groups; ++group) {
        const int64_t begin = p.begin[group], end = p.begin[group + 1];
        Lane discount, rate;
        FOR_LANES { discount[n] = 1.0; }
        if (p.family[group] == OPTION || p.family[group] == INTRINSIC) {
            value_options(p, w, group, begin, end, discount);
        } else if (p.family[group] == CASH) {
            for (int64_t i = begin; i < end; ++i) FOR_LANES { w.lane(w.dv, i)[n] = p.multiplier[i]; }
        } else {
            value_forwards(p, w, group, begin, end);
        }
        conversion(w, p.up[group], p.down[group], rate);
        for (int64_t i = begin; i < end; ++i) {  // in one pass: the values have left the first-level cache by now
            double *value = w.lane(w.dv, i);
            const double premium = p.premium[i], value_0 = p.value_0[i];
            FOR_LANES { value[n] = (value[n] * discount[n] - premium) * rate[n] - value_0; }
        }
    }
}

static void add_up(const Plan &p, Work &w, double *pnl, int64_t stride, int64_t count) {
    for (int64_t r = 0; r < p.rows; ++r) {
        Lane sum;
        FOR_LANES { sum[n] = 0.0; }
        for (int64_t k = p.row_begin[r]; k < p.row_begin[r + 1]; ++k) {
            const double q = p.quantity[k], *dv = w.lane(w.dv, p.column[k]);
            FOR_LANES { sum[n] += q * dv[n]; }
        }
        if (p.row_up[r] >= 0 || p.row_down[r] >= 0) {
            Lane rate;
            conversion(w, p.row_up[r], p.row_down[r], rate);
            FOR_LANES { sum[n] = (sum[n] + p.base[r]) / rate[n] - p.base[r] / p.rate_0[r]; }
        }
        for (int64_t n = 0; n < count; ++n) pnl[r * stride + n] = sum[n];
    }
}

}  // namespace mcvar

// P&L of scenarios [start, stop), [R, stop - start]; `start` is a multiple of BLOCK.
extern "C" void mcvar_pnl(const mcvar::Plan *plan, int64_t start, int64_t stop, double *pnl) {
    mcvar::Work work(*plan);
    const int64_t stride = stop - start;
    for (int64_t at = start; at < stop; at += BLOCK) {
        mcvar::draw_moves(*plan, static_cast<uint64_t>(at), work);
        mcvar::move_prices(*plan, work);
        mcvar::revalue(*plan, work);
        mcvar::add_up(*plan, work, pnl + (at - start), stride, stop - at < BLOCK ? stop - at : BLOCK);
    }
}

// Size of the plan and of a block, so that a caller built for another layout is found out.
extern "C" int64_t mcvar_plan_bytes() { return static_cast<int64_t>(sizeof(mcvar::Plan)); }
extern "C" int64_t mcvar_block() { return BLOCK; }

// Draws of one block of factors, for the test of their bits.
extern "C" void mcvar_normals(uint64_t seed, int64_t start, int64_t stop, int64_t block, uint32_t lane, double *even,
                              double *odd) {
    for (int64_t n = 0; n < stop - start; ++n)
        mcvar::normals(seed, static_cast<uint64_t>(start + n), static_cast<uint32_t>(block), lane, even[n], odd[n]);
}
