// A step of GJR-GARCH(1,1): what the factor moves, and the variance of its next step.
//
// Why: the variance follows from the factor's own past, so it needs no neighbour: one row of state a factor.
// Paper: Glosten, Jagannathan and Runkle, Journal of Finance 48 (1993); mcvar/models/volatility.py.

#pragma once
#include "innovations.cuh"

namespace mcvar {

// `move` is deviation times innovation, and becomes what the factor moves.
MCVAR_FN void garch_step(const Plan &p, const Work &w, int64_t f, int64_t at, const Lane &eta, Lane &move) {
    const Garch g = p.law.garch[f];
    double *state = cell(w.state.h, p.factors, f, at);
    FOR_LANES {
        const double h = w.state.step == 0 ? g.start : state[n];
        move[n] = move[n] * root(h) - g.half * h;
        const double news = eta[n] < 0.0 ? g.alpha + g.gamma : g.alpha;
        state[n] = g.omega + news * (h * (eta[n] * eta[n])) + g.beta * h;
    }
}

}  // namespace mcvar
