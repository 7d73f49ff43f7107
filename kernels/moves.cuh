// A step of a factor: innovation, variance, jumps; then what is watched, and at the last step the level of a price.
//
// Why: a scenario is a name. Any thread makes the moves of any scenario from (seed, scenario, step) alone, and what one
// step leaves to the next is a row of state a factor. The parts are those of mcvar/models/law.py, in its order.

#pragma once
#include "garch.cuh"
#include "heston.cuh"
#include "jumps.cuh"
#include "paths.cuh"

namespace mcvar {

MCVAR_FN uint64_t scenario_of(const Work &w, int64_t start, int64_t stop, int64_t column) {
    if (w.index == nullptr) return static_cast<uint64_t>(start + column);
    return static_cast<uint64_t>(w.index[start + column < stop ? start + column : stop - 1]);
}

// Factor f in the LANES columns from `at` on.
MCVAR_FN void evolve_factor(const Plan &p, const Work &w, int64_t f, int64_t start, int64_t stop, int64_t at) {
    const Law &l = p.law;
    double *to = cell(w.state.x, p.lines, f, at);
    uint64_t scenario[LANES];
    Lane x;
    if (l.given > 0 || l.jumps > 0) {
        for (int n = 0; n < LANES; ++n) scenario[n] = scenario_of(w, start, stop, at + n);
    }
    if (l.given > 0) {
        for (int n = 0; n < LANES; ++n) {
            const int64_t which = static_cast<int64_t>(scenario[n]);
            x[n] = which < l.given ? l.moves[f * l.given + which] : 0.0;
        }
    } else {
        Lane eta, move;
        const double deviation = l.deviation[f], mean = l.mean[w.state.step * p.factors + f];
        innovation(p, w, f, at, eta);
        FOR_LANES { move[n] = deviation * eta[n]; }
        if (l.garches > 0) garch_step(p, w, f, at, eta, move);
        if (l.variances > 0 && l.variance_of[f] >= 0) variance_step(p, w, l.variance_of[f], at, eta, move);
        FOR_LANES { move[n] += mean; }
        if (l.jumps > 0) add_jumps(p, w, scenario, f, at, move);
        if (w.state.step == 0) {
            FOR_LANES { x[n] = move[n]; }
        } else {
            FOR_LANES { x[n] = to[n] + move[n]; }
        }
    }
    FOR_LANES { to[n] = x[n]; }
    watch(p, w, f, at, x);
    if (w.state.step + 1 < l.steps) return;
    double *price = cell(w.state.price, p.lines, f, at);
    const int64_t shock = p.shock[f];
    const double level = p.level[f];
    if (shock == LOG) {
        FOR_LANES { price[n] = moved(LOG, level, x[n]); }
    } else if (shock == SIMPLE) {
        FOR_LANES { price[n] = moved(SIMPLE, level, x[n]); }
    } else {
        FOR_LANES { price[n] = moved(shock, level, x[n]); }
    }
}

}  // namespace mcvar
