// What the tail stages share: the loss of a row in a scenario, which losses are kept, their order.
//
// Why: of equal losses the earlier scenario is the worse, so the order is total and a tail has the same bits whatever
// the order of the work. A bound is a (loss, scenario) in that order, which makes ties harmless: a row whose losses are
// all equal is filtered as well as any other.

#pragma once
#include "value.cuh"

namespace mcvar {

// P&L of a row in the LANES columns from `at` on: its segments in their order, then its currency.
MCVAR_FN void row_pnl(const Plan &p, const Work &w, int64_t row, int64_t at, Lane &pnl) {
    FOR_LANES { pnl[n] = 0.0; }
    for (int64_t k = p.part_begin[row]; k < p.part_begin[row + 1]; ++k) {
        const REAL *sums = cell(w.sums, p.segments, p.part[k], at);
        FOR_LANES { pnl[n] += sums[n]; }
    }
    if (p.row_up[row] >= 0 || p.row_down[row] >= 0) {
        Lane rate;
        conversion(p, w, p.row_up[row], p.row_down[row], at, rate);
        const double base = p.base[row], today = base / p.rate_0[row];
        FOR_LANES { pnl[n] = (pnl[n] + base) / rate[n] - today; }
    }
}

// Whether (loss, scenario) is worse than the bound (limit, at).
MCVAR_FN bool worse(double loss, int64_t scenario, double limit, int64_t at) {
    return loss > limit || (loss == limit && scenario < at);
}

MCVAR_FN bool is_finite(double x) { return (bits_of(x) & 0x7FF0000000000000ll) != 0x7FF0000000000000ll; }

// Add the sums over the losses above a window, kept about its upper bound, to sums about a loss that is `gap` lower.
MCVAR_FN void add_above(const double *above, double gap, double &s1, double &s2) {
    if (above[0] == 0) return;
    s2 += above[2] + 2 * gap * above[1] + above[0] * gap * gap;
    s1 += above[1] + above[0] * gap;
}

}  // namespace mcvar
