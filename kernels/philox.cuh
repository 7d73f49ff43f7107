// Philox4x32-10: four random words as a pure function of a 128-bit counter and a 64-bit key.
//
// Why: no state, so any thread draws any scenario, in any order, with the same bits (mcvar/philox.py).
// Paper: Salmon, Moraes, Dror, Shaw, "Parallel random numbers: as easy as 1, 2, 3", SC'11.

#pragma once
#include "portable.cuh"

namespace mcvar {

struct Words {
    uint32_t w0, w1, w2, w3;
};

MCVAR_FN Words philox(uint32_t c0, uint32_t c1, uint32_t c2, uint32_t c3, uint32_t k0, uint32_t k1) {
    for (int round = 0; round < 10; ++round) {
        const uint64_t p0 = static_cast<uint64_t>(0xD2511F53u) * c0;
        const uint64_t p1 = static_cast<uint64_t>(0xCD9E8D57u) * c2;
        c0 = static_cast<uint32_t>(p1 >> 32) ^ c1 ^ k0;
        c1 = static_cast<uint32_t>(p1);
        c2 = static_cast<uint32_t>(p0 >> 32) ^ c3 ^ k1;
        c3 = static_cast<uint32_t>(p0);
        k0 += 0x9E3779B9u;
        k1 += 0xBB67AE85u;
    }
    return {c0, c1, c2, c3};
}

// 52 bits of two words.
MCVAR_FN uint64_t word_of(uint32_t high, uint32_t low) { return static_cast<uint64_t>(high) << 20 | low >> 12; }

// (2k + 1) 2^-53 in (0, 1), k of 52 bits. The bits 0x3FF... | k are those of 1 + k 2^-52, so the difference is exact.
MCVAR_FN double unit(uint64_t k) { return sub(from_bits(static_cast<int64_t>(k | 0x3FF0000000000000ull)), 1.0 - 0x1p-53); }

MCVAR_FN double uniform(uint32_t high, uint32_t low) { return unit(word_of(high, low)); }

}  // namespace mcvar
