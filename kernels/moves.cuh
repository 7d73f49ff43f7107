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

// The standard deviation of a factor's coming step without jumps, as far as its own past tells.
MCVAR_FN void spread_of(const Plan &p, const Work &w, int64_t f, int64_t at, Lane &spread) {
    const Law &l = p.law;
    const double deviation = l.deviation[f];
    FOR_LANES { spread[n] = deviation; }
    if (l.garches > 0) {
        const double start = l.garch[f].start, *h = cell(w.state.h, p.factors, f, at);
        FOR_LANES { spread[n] *= root(w.state.step == 0 ? start : h[n]); }
    }
    if (l.variances > 0 && l.variance_of[f] >= 0) {
        const int64_t u = l.variance_of[f];
        const double start = l.variance[u].start, years = l.variance[u].years;
        const double *v = cell(w.state.x, p.lines, p.lines - l.variances + u, at);
        FOR_LANES { spread[n] = root((w.state.step == 0 ? start : v[n]) * years); }
    }
}

// Factor f in the LANES columns from `at` on.
MCVAR_FN void evolve_factor(const Plan &p, const Work &w, int64_t f, int64_t start, int64_t stop, int64_t at) {
    const Law &l = p.law;
    double *to = cell(w.state.x, p.lines, f, at);
    uint64_t scenario[LANES];
    Lane x, before, spread;
    const bool watched = l.watched_begin[f] < l.watched_begin[f + 1];
    if (watched) spread_of(p, w, f, at, spread);
    if (w.state.step == 0) {
        FOR_LANES { before[n] = 0.0; }
    } else {
        FOR_LANES { before[n] = to[n]; }
    }
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
        FOR_LANES { x[n] = before[n] + move[n]; }
    }
    FOR_LANES { to[n] = x[n]; }
    if (watched) watch(p, w, f, start, stop, at, before, x, spread);
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
