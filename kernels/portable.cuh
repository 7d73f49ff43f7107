// What lets one text compile as CUDA (nvcc, NVRTC) and as C++ on the host.
//
// Why: every formula of the engine exists once. The host build runs and tests what the GPU runs.
//
// mul, add, sub, div and root below are single correctly rounded IEEE operations on every machine: on
// the device by the _rn intrinsics, on the host because the compiler is told not to contract
// (-ffp-contract=off). The generator is written with them, which makes its bits portable.

#pragma once

#if defined(__CUDACC__)
#define MCVAR_FN __host__ __device__ __forceinline__
#else
#define MCVAR_FN static inline __attribute__((always_inline))
#endif

#if defined(__CUDACC_RTC__)  // NVRTC has no standard headers
typedef int int32_t;
typedef unsigned int uint32_t;
typedef long long int64_t;
typedef unsigned long long uint64_t;
#else
#include <cmath>
#include <cstdint>
#include <cstring>
#endif

namespace mcvar {

#if defined(__CUDA_ARCH__)
MCVAR_FN double mul(double a, double b) { return __dmul_rn(a, b); }
MCVAR_FN double add(double a, double b) { return __dadd_rn(a, b); }
MCVAR_FN double sub(double a, double b) { return __dsub_rn(a, b); }
MCVAR_FN double div(double a, double b) { return __ddiv_rn(a, b); }
MCVAR_FN double root(double a) { return __dsqrt_rn(a); }
MCVAR_FN int64_t bits_of(double a) { return __double_as_longlong(a); }
MCVAR_FN double from_bits(int64_t a) { return __longlong_as_double(a); }
#else
MCVAR_FN double mul(double a, double b) { return a * b; }
MCVAR_FN double add(double a, double b) { return a + b; }
MCVAR_FN double sub(double a, double b) { return a - b; }
MCVAR_FN double div(double a, double b) { return a / b; }
MCVAR_FN double root(double a) { return std::sqrt(a); }
MCVAR_FN int64_t bits_of(double a) {
    int64_t bits;
    std::memcpy(&bits, &a, sizeof bits);
    return bits;
}
MCVAR_FN double from_bits(int64_t bits) {
    double a;
    std::memcpy(&a, &bits, sizeof a);
    return a;
}
#endif

}  // namespace mcvar
