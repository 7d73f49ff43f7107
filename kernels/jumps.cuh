// Compound-Poisson jumps of a factor in a step: those common to all factors, and its own.
//
// Why: given their number, the sum of normal sizes is normal, so one normal a kind is enough. Numbers are drawn by inversion
// from tables. Paper: Merton, Journal of Financial Economics 3 (1976); mcvar/models/jumps.py.

#pragma once
#include "innovations.cuh"

namespace mcvar {

MCVAR_FN void add_jumps(const Plan &p, const Work &w, const uint64_t (&scenario)[LANES], int64_t f, int64_t at, Lane &move) {
    const Law &l = p.law;
    const Jump j = l.jump[f];
    const double *number = cell(w.state.common, 1, 0, at);
    const double *size = cell(w.state.y, l.drivers, l.common_row + f, at);
    const double *own = cell(w.state.y, l.drivers, l.own_row + f, at);
    for (int n = 0; n < LANES; ++n) {
        const double count = number[n];
        double jump = count * j.common_mean + root(count) * (j.common_deviation * size[n]);
        if (j.end > j.begin) {
            const double u = uniform_of(l, scenario[n], JUMP_COUNT, w.state.step, 1 + f);
            const double mine = number_of(l.own_number, j.begin, j.end, u);
            jump += mine * j.own_mean + root(mine) * (j.own_deviation * own[n]);
        }
        move[n] += jump;
    }
}

}  // namespace mcvar
