// The law of the moves as the kernels see it: the parts of mcvar/models/law.py, and the work space of a step.
//
// Why: all shock models are choices of these parts, so that one set of stages simulates all of them. mcvar/engines/laws.py
// fills it in; parts that a model does not have are counts of 0. F factors, M mixing variables, U variances, S watched
// statistics, D drivers: the normals of a step, first the factors', then the variances', then the sizes of the jumps.

#pragma once
#include "elementary.cuh"
#include "normal.cuh"

namespace mcvar {

enum Stream : uint32_t { NORMALS = 0, MIXING = 1, VARIANCE = 2, JUMP_COUNT = 3, JUMP_SIZE = 4, BOOTSTRAP = 5, LEAST = 6, GREATEST = 7 };
enum Statistic : int64_t {
    LAST = 0, MINIMUM = 1, MAXIMUM = 2, AVERAGE = 3, LOG_AVERAGE = 4, INTEGRAL = 5, LOG_INTEGRAL = 6, BRIDGE_MINIMUM = 7, BRIDGE_MAXIMUM = 8
};

enum Scheme : int64_t { PLAIN = 0, SOBOL = 1, STRATIFIED = 2 };

// A pair of drivers: which draws of the generator.
struct Pair {
    int64_t stream, block;
};

// What a level of a Brownian bridge adds to a step.
struct Part {
    int64_t level;
    double weight;
};

// h' = omega + (alpha + gamma 1[e < 0]) e^2 + beta h; half the variance of a move is `half` h where it is taken off.
struct Garch {
    double omega, alpha, gamma, beta, start, half;
};

// The constants of a step of Andersen's scheme (mcvar/models/variance.py).
struct Variance {
    double start, decay, mean, c1, c2, k0, k1, k2, k3, a, rho, rest, years;
    int64_t martingale;
};

// Sizes of a factor's part in common jumps and of its own; [begin, end) of the table of its own numbers.
struct Jump {
    double common_mean, common_deviation, own_mean, own_deviation;
    int64_t begin, end;
};

// A statistic over every so many steps from `first` to `step`, carried as the move in row `row` that leads to it.
struct Watched {
    int64_t statistic, step, first, every, row, shock;
};

struct Law {
    uint64_t seed;
    int64_t steps;
    // given moves instead of a law: [F, given]; given = 0 for a law
    int64_t given;
    const double *moves;
    // sampling (sampling.cuh): the first `sampled` pairs of drivers, and under SOBOL the mixing variables, are not plain
    int64_t scheme, sampled;
    int64_t mixed, components;            // draws of a level of the bridge: mixing variables, principal components
    int64_t scramblings, bits;
    const uint64_t *direction, *shift;    // [dimensions, bits, scramblings], [dimensions, scramblings]
    int64_t strata_bits;
    const int64_t *bridge_begin, *place;  // [steps + 1] first part of each step; [steps] the level that fixes its end
    const Part *bridge;
    // drivers y = root z, each row of the root from its first entry to its end; which rows they are
    int64_t drivers;
    const Pair *pair;      // [D / 2]
    const double *root;    // [D, D] a triangle or a square for each kind of drivers
    const int64_t *first, *end;  // [D]
    int64_t variance_row, common_row, own_row;
    // mixing: scale m of a factor's group, from a normal, by a table on [-9, 9]
    int64_t mixings, nodes;
    const int64_t *mixing_draw;              // [M]
    const int64_t *mixing_of;                // [F]
    const double *log_scale, *log_slope;     // [M, nodes]
    // marginals of a copula: tables over asinh on [-reach, reach]
    int64_t knots;
    double reach;
    const double *marginal, *marginal_slope;  // [F, knots]
    // bootstrap: residuals by date, the dates' cumulative probabilities; of the dates the first `recent` are a set, and the rest
    int64_t dates, recent, block;
    const double *residual;     // [F, dates]
    const double *cumulative;   // [dates]
    // moves: mean + deviation sqrt(h) innovation + jumps
    const double *mean;       // [steps, F]
    const double *deviation;  // [F]
    int64_t garches;
    const Garch *garch;  // [F]
    int64_t variances;
    const Variance *variance;    // [U]
    const int64_t *variance_of;  // [F] -1: none
    int64_t jumps, commons;
    const Jump *jump;             // [F]
    const double *common_number;  // [commons] P(n <= 0), P(n <= 1), ...
    const double *own_number;
    // paths
    const int64_t *watched_begin;  // [F + 1]
    const Watched *watched;        // [S]
};

// What a step leaves to the next, or one stage to the other; arrays as in plan.cuh.
struct State {
    int64_t step;
    double *z, *y;   // [D, width] normals; correlated
    double *scale;   // [M, width]
    double *common;  // [1, width] number of common jumps
    double *date;    // [1, width] of the bootstrap
    double *h;       // [F, width] of GARCH
    double *x;       // [F + S + U, width] moves; variances
    double *price;   // [F + S + U, width] levels of prices
};

}  // namespace mcvar
