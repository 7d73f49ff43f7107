// Stages digital, barrier, asian, american and american_table on the device: the change of value of every contract of a family.
//
// Why: each family is a kernel of its own, over its own run of groups, so that a long formula costs registers where it is
// used and nowhere else.

#include "contracts.cuh"

#define MCVAR_FAMILY(name, value, number)                                                                           \
    MCVAR_KERNEL(128, 1) mcvar_##name(const mcvar::Plan p, const mcvar::Work w, int64_t start, int64_t stop) {       \
        using namespace mcvar;                                                                                       \
        const int64_t at = (static_cast<int64_t>(blockIdx.y) * blockDim.x + threadIdx.x) * LANES;                    \
        if (at >= stop - start) return;                                                                              \
        value(p, w, p.group[p.family_begin[number - DIGITAL] + static_cast<int64_t>(blockIdx.x)], at); \
    }

MCVAR_FAMILY(digital, value_contracts<digital_contract>, DIGITAL)
MCVAR_FAMILY(barrier, value_contracts<barrier_contract>, BARRIER)
MCVAR_FAMILY(asian, value_contracts<asian_contract>, ASIAN)
MCVAR_FAMILY(american, value_american, AMERICAN)
MCVAR_FAMILY(american_table, value_american_table, AMERICAN_TABLE)
