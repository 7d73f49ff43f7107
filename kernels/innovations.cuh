// Innovations of a factor in a step: normal, mixed, of a copula with marginals of its own, or a residual of some date.
//
// Why: everything that has no cheap formula is read from tables that numpy made once (mcvar/models/mixing.py, marginals.py),
// so that all engines agree. Papers: McNeil, Frey and Embrechts, "Quantitative Risk Management", 2015, section 6.2
// and 7.3; Politis and Romano, "A circular block-resampling procedure for stationary data", 1992.

#pragma once
#include "plan.cuh"
#include "sampling.cuh"

namespace mcvar {

using Lane = double[LANES];

MCVAR_FN uint64_t scenario_of(const Work &w, int64_t start, int64_t stop, int64_t column) {
    if (w.index == nullptr) return static_cast<uint64_t>(start + column);
    return static_cast<uint64_t>(w.index[start + column < stop ? start + column : stop - 1]);
}

// Draw `draw` of a stream in a step.
MCVAR_FN double uniform_of(const Law &l, uint64_t scenario, uint32_t stream, int64_t step, int64_t draw) {
    const Words w = philox(static_cast<uint32_t>(scenario), static_cast<uint32_t>(scenario >> 32),
                           static_cast<uint32_t>(draw / 2), stream << 24 | static_cast<uint32_t>(step),
                           static_cast<uint32_t>(l.seed), static_cast<uint32_t>(l.seed >> 32));
    return draw % 2 == 0 ? uniform(w.w0, w.w1) : uniform(w.w2, w.w3);
}

// Cubic Hermite interpolation between nodes `left` and `left` + 1 of a table; slopes times the distance of the nodes.
MCVAR_FN double hermite(const double *value, const double *slope, int64_t left, double t) {
    const double y0 = value[left], rise = value[left + 1] - y0, d0 = slope[left], d1 = slope[left + 1];
    return y0 + t * (d0 + t * ((3 * rise - 2 * d0 - d1) + t * (d0 + d1 - 2 * rise)));
}

// sqrt((dof - 2) / W) of the mixing normal m.
MCVAR_FN double mixing_scale(const Law &l, int64_t mixing, double m) {
    const double at = (m + 9.0) * (static_cast<double>(l.nodes - 1) / 18.0);
    const int64_t left = static_cast<int64_t>(at);
    return exp_(hermite(l.log_scale + mixing * l.nodes, l.log_slope + mixing * l.nodes, left, at - static_cast<double>(left)));
}

// The innovation of a copula's variate t. The logarithm's absolute error is what counts here.
MCVAR_FN double marginal(const Law &l, int64_t f, double t) {
    const double size = t < 0.0 ? -t : t, s = log_exact(size + root(size * size + 1.0));
    const double last = static_cast<double>(l.knots - 1), place = ((t < 0.0 ? -s : s) + l.reach) * (last / (2.0 * l.reach));
    const double at = place < 0.0 ? 0.0 : place > last ? last : place;
    const int64_t below = static_cast<int64_t>(at), left = below < l.knots - 2 ? below : l.knots - 2;
    return hermite(l.marginal + f * l.knots, l.marginal_slope + f * l.knots, left, at - static_cast<double>(left));
}

// The date that a uniform of a block's first step draws, `ahead` steps into the block.
MCVAR_FN int64_t date_of(const Law &l, double u, int64_t ahead) {
    int64_t low = 0, high = l.dates - 1;  // the first entry that is not below u
    while (low < high) {
        const int64_t middle = (low + high) / 2;
        if (l.cumulative[middle] < u) low = middle + 1;
        else high = middle;
    }
    if (low < l.recent) return (low + ahead) % l.recent;
    return l.recent + (low - l.recent + ahead) % (l.dates - l.recent);
}

// The number of jumps that a uniform draws: that of the entries of a table below it.
MCVAR_FN double number_of(const double *table, int64_t begin, int64_t end, double u) {
    int64_t n = 0;
    while (begin + n < end && table[begin + n] < u) ++n;
    return static_cast<double>(n);
}

// What a scenario draws once for all factors, beside the drivers.
MCVAR_FN void draw_common(const Plan &p, const Work &w, uint64_t scenario, int64_t column) {
    const Law &l = p.law;
    const State &s = w.state;
    for (int64_t m = 0; m < l.mixings; ++m) {
        const int64_t draw = l.mixing_draw[m];
        const double u = l.scheme == SOBOL ? sobol_mixing(l, scenario, s.step, draw) : uniform_of(l, scenario, MIXING, s.step, draw);
        *cell(s.scale, l.mixings, m, column) = mixing_scale(l, m, inverse_normal(u));
    }
    if (l.dates > 0) {
        const int64_t ahead = s.step % l.block;
        *cell(s.date, 1, 0, column) = static_cast<double>(date_of(l, uniform_of(l, scenario, BOOTSTRAP, s.step - ahead, 0), ahead));
    }
    if (l.jumps > 0) {
        *cell(s.common, 1, 0, column) = number_of(l.common_number, 0, l.commons, uniform_of(l, scenario, JUMP_COUNT, s.step, 0));
    }
}

// Innovations of a factor.
MCVAR_FN void innovation(const Plan &p, const Work &w, int64_t f, int64_t at, Lane &eta) {
    const Law &l = p.law;
    const State &s = w.state;
    if (l.dates > 0) {
        const double *date = cell(s.date, 1, 0, at);
        for (int n = 0; n < LANES; ++n) eta[n] = l.residual[f * l.dates + static_cast<int64_t>(date[n])];
        return;
    }
    const double *y = cell(s.y, l.drivers, f, at);
    FOR_LANES { eta[n] = y[n]; }
    if (l.mixings > 0) {
        const double *scale = cell(s.scale, l.mixings, l.mixing_of[f], at);
        FOR_LANES { eta[n] *= scale[n]; }
    }
    if (l.knots > 0) {
        for (int n = 0; n < LANES; ++n) eta[n] = marginal(l, f, eta[n]);
    }
}

}  // namespace mcvar
