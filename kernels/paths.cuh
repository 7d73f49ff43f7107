// What is kept of a factor's path: the move at some step, the least, the greatest, and that to the average level.
//
// Why: an instrument that depends on the path needs a few numbers of it, and never the path: mcvar/models/paths.py.

#pragma once
#include "plan.cuh"

namespace mcvar {

// The level of a factor after the move x; NaN for a factor that is no price.
MCVAR_FN double moved(int64_t shock, double level, double x) {
    if (shock == LOG) return level * exp_(x);
    if (shock == SIMPLE) {
        const double price = level * (1.0 + x);
        return price < 0.0 ? 0.0 : price;
    }
    return shock == ABSOLUTE ? level + x : from_bits(0x7FF8000000000000ll);
}

// The move that leads to a level.
MCVAR_FN double move_to(int64_t shock, double level, double target) {
    if (shock == LOG) return log_exact(target / level);
    return shock == SIMPLE ? target / level - 1.0 : target - level;
}

// Take in the moves x of a factor at the end of a step.
MCVAR_FN void watch(const Plan &p, const Work &w, int64_t f, int64_t at, const double (&x)[LANES]) {
    const int64_t done = w.state.step + 1;
    for (int64_t k = p.law.watched_begin[f]; k < p.law.watched_begin[f + 1]; ++k) {
        const Watched watched = p.law.watched[k];
        double *row = cell(w.state.x, p.lines, watched.row, at), *price = cell(w.state.price, p.lines, watched.row, at);
        if (done <= watched.step) {
            FOR_LANES {
                const double before = done == 1 ? (watched.statistic == AVERAGE ? 0.0 : x[n]) : row[n];
                double after = x[n];
                if (watched.statistic == MINIMUM) after = before < x[n] ? before : x[n];
                if (watched.statistic == MAXIMUM) after = before > x[n] ? before : x[n];
                if (watched.statistic == AVERAGE) after = before + moved(watched.shock, p.level[f], x[n]);
                row[n] = after;
            }
            if (watched.statistic == AVERAGE && done == watched.step) {
                const double count = static_cast<double>(done);
                FOR_LANES { row[n] = move_to(watched.shock, p.level[f], row[n] / count); }
            }
        }
        if (done == p.law.steps) {
            FOR_LANES { price[n] = moved(p.shock[f], p.level[f], row[n]); }
        }
    }
}

}  // namespace mcvar
