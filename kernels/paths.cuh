// What is kept of a factor's path: the move at some step, the least, the greatest, and that to an average level.
//
// Why: an instrument that depends on the path needs a few numbers of it, and never the path: mcvar/models/paths.py.

#pragma once
#include "innovations.cuh"

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

// How much of the level after a step, 0 being the start, enters an average.
MCVAR_FN double weight_of(const Watched &k, int64_t step) {
    if (k.statistic == INTEGRAL || k.statistic == LOG_INTEGRAL) {
        if (step < k.first - 1 || step > k.step) return 0.0;
        return (step == k.first - 1 || step == k.step ? 0.5 : 1.0) / static_cast<double>(k.step - k.first + 1);
    }
    if (step < k.first || step > k.step || (step - k.first) % k.every != 0) return 0.0;
    return 1.0 / static_cast<double>((k.step - k.first) / k.every + 1);
}

// What of a move is averaged: the level, or its logarithm over today's.
MCVAR_FN double averaged(const Watched &k, double level, double x) {
    if (k.statistic == AVERAGE || k.statistic == INTEGRAL) return moved(k.shock, level, x);
    if (k.shock == LOG) return x;
    const double growth = moved(k.shock, level, x) / level;
    return growth > 0.0 ? log_exact(growth) : -infinity();
}

// The move to an average.
MCVAR_FN double move_to_average(const Watched &k, double level, double average) {
    if (k.statistic == AVERAGE || k.statistic == INTEGRAL) return move_to(k.shock, level, average);
    return k.shock == LOG ? average : move_to(k.shock, level, level * exp_(average));
}

// Take in the moves x of a factor at the end of a step that began at `before`; `spread` is the deviation of the step.
MCVAR_FN void watch(const Plan &p, const Work &w, int64_t f, int64_t start, int64_t stop, int64_t at, const Lane &before,
                    const Lane &x, const Lane &spread) {
    const int64_t done = w.state.step + 1;
    const double level = p.level[f];
    for (int64_t k = p.law.watched_begin[f]; k < p.law.watched_begin[f + 1]; ++k) {
        const Watched watched = p.law.watched[k];
        double *row = cell(w.state.x, p.lines, watched.row, at), *price = cell(w.state.price, p.lines, watched.row, at);
        const int64_t kind = watched.statistic;
        if (done > watched.step) {
        } else if (kind == LAST) {
            FOR_LANES { row[n] = x[n]; }
        } else if (kind == MINIMUM || kind == MAXIMUM) {
            const bool first = done <= watched.first, takes = weight_of(watched, done) > 0.0;
            FOR_LANES {
                const bool beyond = first || (kind == MINIMUM ? x[n] < row[n] : x[n] > row[n]);
                row[n] = takes && beyond ? x[n] : done == 1 ? 0.0 : row[n];
            }
        } else if (kind == BRIDGE_MINIMUM || kind == BRIDGE_MAXIMUM) {
            const double side = kind == BRIDGE_MINIMUM ? -1.0 : 1.0;
            const uint32_t stream = kind == BRIDGE_MINIMUM ? LEAST : GREATEST;
            FOR_LANES {
                const double u = uniform_of(p.law, scenario_of(w, start, stop, at + n), stream, w.state.step, f), d = spread[n];
                const double gone = x[n] - before[n], reach = root(gone * gone - 2.0 * (d * d) * log_exact(u));
                const double extreme = 0.5 * (before[n] + x[n] + side * reach);
                row[n] = done == 1 || side * (extreme - row[n]) > 0.0 ? extreme : row[n];
            }
        } else {
            const double weight = weight_of(watched, done), opening = done == 1 ? weight_of(watched, 0) : 0.0;
            FOR_LANES {
                double sum = done == 1 ? (opening > 0.0 ? opening * averaged(watched, level, 0.0) : 0.0) : row[n];
                if (weight > 0.0) sum += weight * averaged(watched, level, x[n]);
                row[n] = done == watched.step ? move_to_average(watched, level, sum) : sum;
            }
        }
        if (done == p.law.steps) {
            FOR_LANES { price[n] = moved(p.shock[f], level, row[n]); }
        }
    }
}

}  // namespace mcvar
