// What an engine is told once: factors, groups of instruments, quantities. All arrays are columns.
//
// Why: one struct with one layout serves every build; mcvar/engines/native.py fills it field by field in this
// order. F factors, G groups, I instruments in group order, R rows. Index -1 stands for the constant 1.

#pragma once
#include "portable.cuh"

namespace mcvar {

enum Shock : int32_t { NO_PRICE = 0, LOG = 1, SIMPLE = 2, ABSOLUTE = 3 };
enum Family : int32_t { OPTION = 0, INTRINSIC = 1, FORWARD = 2, SPOT = 3, CASH = 4 };

struct Plan {
    // sizes
    int64_t factors, groups, instruments, rows, nodes;
    uint64_t seed;
    // law: x = mean + scale L z; nodes = 0 for Gaussian moves (scale 1)
    const double *factor;     // [F, F] lower triangular
    const double *mean;       // [F]
    const double *log_scale;  // [nodes] of the mixing variable on [-9, 9]
    const double *slope;      // [nodes]
    // given moves instead of a law: [F, given]; given = 0 for a law
    int64_t given;
    const double *moves;
    // factors
    const int64_t *shock;  // [F] Shock
    const double *level;   // [F]
    // groups
    const int64_t *family, *underlying, *up, *down, *inverse;  // [G]
    const int64_t *begin, *formulas;                           // [G] first instrument; options valued directly
    const int64_t *pillar_begin;                               // [3 G + 1] vol, carry, rate of each group
    const double *left;                                        // [G] years to expiry at the horizon
    const int64_t *pillar_factor;
    const double *pillar_weight;
    // instruments, in group order; see Europeans and ForwardGroup in the Python engine
    const double *a, *b, *c, *first, *second, *edge, *side;  // direct options
    const int64_t *formula;                                  // other options: index of their formula
    const double *parity_p, *parity_q;                       // other options
    const double *premium;                                   // futures-style options: premium today, else 0
    const double *multiplier, *carry_factor, *forward_0, *cost;  // spot, cash, forwards
    const double *value_0;                                       // [I] reporting currency
    // quantities, CSR over rows
    const int64_t *row_begin, *column;
    const double *quantity;
    // rows in a currency of their own
    const int64_t *row_up, *row_down;  // [R]
    const double *base, *rate_0;       // [R]
};

}  // namespace mcvar
