// Stage value on the device: the change of value of every instrument, LANES scenarios a thread.
//
// Why: a thread holds what a group shares in registers and walks the options of the group, whose coefficients all
// threads of the block read at once. Nothing but the changes of value is written, 16 bytes a thread at a time.

#include "value.cuh"

#ifndef VALUE_THREADS
#define VALUE_THREADS 128
#endif
#ifndef VALUE_BLOCKS
#define VALUE_BLOCKS 5
#endif

MCVAR_KERNEL(VALUE_THREADS, VALUE_BLOCKS) mcvar_value(const mcvar::Plan p, const mcvar::Work w, int64_t start, int64_t stop) {
    using namespace mcvar;
    const int64_t at = (static_cast<int64_t>(blockIdx.y) * blockDim.x + threadIdx.x) * LANES;
    if (at >= stop - start) return;
    value_group(p, w, p.group[blockIdx.x], at);
}
