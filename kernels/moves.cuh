// Draws and moves of the factors: lanes of z, the common scale of a Student t law, the levels of prices.
//
// Why: a scenario is a name. Any thread makes the moves of any scenario from (seed, scenario) alone (mcvar/philox.py,
// mcvar/models). Papers: see philox.cuh and normal.cuh; McNeil, Frey and Embrechts, "Quantitative Risk Management",
// 2015, section 6.2 for the t law.

#pragma once
#include "elementary.cuh"
#include "normal.cuh"
#include "plan.cuh"

namespace mcvar {

MCVAR_FN uint64_t scenario_of(const Work &w, int64_t start, int64_t stop, int64_t column) {
    if (w.index == nullptr) return static_cast<uint64_t>(start + column);
    return static_cast<uint64_t>(w.index[start + column < stop ? start + column : stop - 1]);
}

// sqrt((dof - 2) / W) of the mixing normal m, by cubic Hermite interpolation of its logarithm.
MCVAR_FN double mixing_scale(const Plan &p, double m) {
    const double at = (m + 9.0) * (static_cast<double>(p.nodes - 1) / 18.0);
    const int64_t left = static_cast<int64_t>(at);
    const double t = at - static_cast<double>(left);
    const double y0 = p.log_scale[left], rise = p.log_scale[left + 1] - y0;
    const double d0 = p.slope[left], d1 = p.slope[left + 1];
    return exp_(y0 + t * (d0 + t * ((3 * rise - 2 * d0 - d1) + t * (d0 + d1 - 2 * rise))));
}

// The level of a price factor after the move x; NaN for other factors, which have none.
MCVAR_FN double moved(int64_t shock, double level, double x) {
    if (shock == LOG) return level * exp_(x);
    if (shock == SIMPLE) {
        const double price = level * (1.0 + x);
        return price < 0.0 ? 0.0 : price;
    }
    return shock == ABSOLUTE ? level + x : from_bits(0x7FF8000000000000ll);
}

}  // namespace mcvar
