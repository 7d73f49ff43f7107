// Revaluation of one group of instruments in LANES scenarios: the change of value of each, in the reporting currency.
//
// Why: what instruments of one underlying and expiry share (growth, volatility, discounting, conversion) is computed once
// and stays in registers or the nearest cache, so that an option costs its formula and little more. The formulas are
// those of mcvar/engines/groups.py. What is shared is computed in double whatever REAL is.

#pragma once
#include "black.cuh"
#include "moves.cuh"

namespace mcvar {

MCVAR_FN void load(const Plan &p, const double *array, int64_t row, int64_t at, Lane &out) {
    const double *from = cell(array, p.lines, row, at);
    FOR_LANES { out[n] = from[n]; }
}

MCVAR_FN void store(REAL *to, const REAL (&value)[LANES]) {
#if defined(__CUDA_ARCH__)
    struct alignas(16) Vector {
        REAL lane[LANES];
    } whole;  // one instruction
    FOR_LANES { whole.lane[n] = value[n]; }
    *reinterpret_cast<Vector *>(to) = whole;
#else
    FOR_LANES { to[n] = value[n]; }
#endif
}

// Sum of weight x move over the pillars of one kind of a group (0 volatility, 1 carry, 2 rate); false if it has none.
MCVAR_FN bool shift(const Plan &p, const Work &w, const Group &g, int kind, int64_t at, Lane &out) {
    FOR_LANES { out[n] = 0.0; }
    for (int64_t k = g.pillar[kind]; k < g.pillar[kind + 1]; ++k) {
        const double weight = p.pillar[k].weight;
        const double *x = cell(w.state.x, p.lines, p.pillar[k].factor, at);
        FOR_LANES { out[n] += weight * x[n]; }
    }
    return g.pillar[kind] < g.pillar[kind + 1];
}

// S[up] / S[down] in each scenario.
MCVAR_FN void conversion(const Plan &p, const Work &w, int64_t up, int64_t down, int64_t at, Lane &out) {
    FOR_LANES { out[n] = 1.0; }
    if (up >= 0) load(p, w.state.price, up, at, out);
    if (down >= 0) {
        const double *price = cell(w.state.price, p.lines, down, at);
        FOR_LANES { out[n] /= price[n]; }
    }
}

// ln g and g of the forward: its growth over today's, carry moves included.
MCVAR_FN void growth(const Plan &p, const Work &w, const Group &group, int64_t at, Lane &log_g, Lane &g) {
    const int64_t u = group.underlying;
    load(p, w.state.price, group.row, at, g);
    if (group.dividends != 0.0) {
        FOR_LANES { g[n] -= group.dividends; }
    }
    FOR_LANES { g[n] /= group.base; }
    if (p.shock[u] == LOG && group.dividends == 0.0) {
        load(p, w.state.x, group.row, at, log_g);
    } else {
        FOR_LANES { log_g[n] = g[n] > 0.0 ? log_exact(g[n]) : -infinity(); }
    }
    Lane carry;
    if (shift(p, w, group, 1, at, carry)) {
        FOR_LANES {
            log_g[n] += carry[n] * group.reach;
            g[n] *= exp_(carry[n] * group.reach);
        }
    }
}

// What the options of a group share.
struct Shared {
    REAL along[LANES], over[LANES], vol[LANES];  // ln(g) / v, 1 / v, v
    REAL gain[LANES];                            // g - 1: keeps in REAL the digits that g would lose
    REAL scale[LANES];                           // discounting, conversion, and for inverse options 1 / g
    REAL rate[LANES];                            // conversion, of premiums
};

MCVAR_FN void share(const Plan &p, const Work &w, const Group &group, int64_t at, Shared &s) {
    Lane log_g, g, move, rate;
    growth(p, w, group, at, log_g, g);
    const bool stochastic = group.variance >= 0;
    if (group.family == OPTION && (stochastic || shift(p, w, group, 0, at, move))) {
        if (stochastic) {
            load(p, w.state.x, group.variance, at, move);
            FOR_LANES { move[n] = root(group.first + group.second * move[n]); }
        } else {
            FOR_LANES { move[n] = exp_(move[n]); }
        }
        FOR_LANES {
            const double v = move[n], inverse = 1.0 / v;
            s.vol[n] = static_cast<REAL>(v);
            s.over[n] = static_cast<REAL>(inverse);
            s.along[n] = static_cast<REAL>(log_g[n] * inverse);
        }
    } else {
        FOR_LANES {
            s.vol[n] = s.over[n] = static_cast<REAL>(1.0);
            s.along[n] = static_cast<REAL>(log_g[n]);
        }
    }
    conversion(p, w, group.up, group.down, at, rate);
    FOR_LANES { s.rate[n] = static_cast<REAL>(rate[n]); }
    if (shift(p, w, group, 2, at, move)) {
        FOR_LANES { rate[n] *= exp_(-move[n] * group.left); }
    }
    FOR_LANES {
        s.gain[n] = static_cast<REAL>(g[n] - 1.0);
        s.scale[n] = static_cast<REAL>(group.inverse != 0 ? rate[n] / g[n] : rate[n]);
    }
}

// Write the changes of value of an option.
template <bool MARGINED>
MCVAR_FN void change(const Shared &s, const REAL (&value)[LANES], REAL offset, REAL *to) {
    REAL dv[LANES];
    FOR_LANES { dv[n] = fma_(value[n], s.scale[n], MARGINED ? -offset * s.rate[n] : -offset); }
    store(to, dv);
}

template <bool LIVE, bool MARGINED>
MCVAR_FN void value_options(const Plan &p, const Group &group, const Shared &s, REAL *to) {
    REAL *to_twin = to + (group.direct - group.begin) * TILE;
    const Twin *twin = p.twin + group.direct;
    const Formula *formula = p.formula + group.begin, *end = p.formula + group.direct;
    for (; formula < end; ++formula, to += TILE) {
        const Formula f = whole(formula);
        REAL value[LANES];
        if (LIVE) {
            FOR_LANES {
                const REAL middle = fma_(f.a, s.along[n], f.b * s.over[n]);
                const REAL e1 = fma_(f.c, s.vol[n], middle), e2 = fma_(-f.c, s.vol[n], middle);
                value[n] = black(fma_(f.first, s.gain[n], f.first), f.second, e1, e2);
            }
        } else {
            FOR_LANES {
                const bool paid = f.a * (s.along[n] - f.b) > 0;
                value[n] = paid ? fma_(f.first, s.gain[n], f.c) : static_cast<REAL>(0);
            }
        }
        change<MARGINED>(s, value, f.offset, to);
        MCVAR_NOT_UNROLLED
        for (Index k = 0; k < f.twins; ++k, ++twin, to_twin += TILE) {
            const Twin t = whole(twin);
            REAL other[LANES];
            FOR_LANES { other[n] = fma_(t.p, s.gain[n], t.q + value[n]); }
            change<MARGINED>(s, other, t.offset, to_twin);
        }
    }
}

MCVAR_FN void value_linear(const Plan &p, const Work &w, const Group &group, int64_t at) {
    Lane price, carry, rate;
    FOR_LANES { price[n] = 1.0; }
    if (group.family != CASH) load(p, w.state.price, group.row, at, price);
    if (group.dividends != 0.0) {
        FOR_LANES { price[n] -= group.dividends; }
    }
    if (shift(p, w, group, 1, at, carry)) {
        FOR_LANES { price[n] *= exp_(carry[n] * group.left); }
    }
    conversion(p, w, group.up, group.down, at, rate);
    for (int64_t i = group.begin; i < group.end; ++i) {
        const Linear t = p.linear[i];
        REAL dv[LANES];
        FOR_LANES {
            double value = t.multiplier * price[n];
            if (group.family == FORWARD) {
                const double forward = t.carry_factor * price[n];
                const double gain = group.inverse != 0 ? 1.0 / t.forward_0 - 1.0 / forward : forward - t.forward_0;
                value = t.multiplier * gain - t.cost;
            }
            dv[n] = static_cast<REAL>(value * rate[n] - t.value_0);
        }
        store(cell(w.dv, p.instruments, i, at), dv);
    }
}

MCVAR_FN void value_group(const Plan &p, const Work &w, const Group &group, int64_t at) {
    if (group.family != OPTION && group.family != INTRINSIC) {
        value_linear(p, w, group, at);
        return;
    }
    Shared s;
    share(p, w, group, at, s);
    REAL *to = cell(w.dv, p.instruments, group.begin, at);
    const bool margined = group.margined != 0;
    if (group.family == INTRINSIC) {
        margined ? value_options<false, true>(p, group, s, to) : value_options<false, false>(p, group, s, to);
    } else {
        margined ? value_options<true, true>(p, group, s, to) : value_options<true, false>(p, group, s, to);
    }
}

}  // namespace mcvar
