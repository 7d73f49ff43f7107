// What lets one text compile as CUDA (nvcc, NVRTC) and as C++ on the host.
//
// Why: every formula of the engine exists once. The host build runs and tests what the GPU runs.
//
// A function works on LANES scenarios at once, as arrays with a loop FOR_LANES: on the device these few live in the
// registers of one thread and the loop is unrolled; on the host they are a block in the cache and the loop is vectorised.
//
// mul, add, sub, div and root below are single correctly rounded IEEE operations on every machine: on
// the device by the _rn intrinsics, on the host because the compiler is told not to contract
// (-ffp-contract=off). The generator is written with them, which makes its bits portable.

#pragma once

#ifndef REAL
#define REAL double  // of instrument values and their sums; moves are always double
#endif

#if defined(__CUDACC__)
#define MCVAR_FN __host__ __device__ __forceinline__
#define MCVAR_CALLED static __host__ __device__ __noinline__  // of very long formulas: compiled once
#else
#define MCVAR_FN static inline __attribute__((always_inline))
#define MCVAR_CALLED static __attribute__((noinline))
#endif

#if defined(__CUDACC_RTC__)  // NVRTC has no standard headers
typedef signed char int8_t;
typedef unsigned char uint8_t;
typedef int int32_t;
typedef unsigned int uint32_t;
typedef long long int64_t;
typedef unsigned long long uint64_t;
#else
#include <cmath>
#include <cstdint>
#include <cstring>
#endif

#ifndef MCVAR_SHARED  // shared memory of the size that the launcher asked for
#define MCVAR_SHARED(name) extern __shared__ __align__(16) unsigned char name[]
#endif

// Both bounds: with the first alone some compilers spill registers.
#define MCVAR_KERNEL(threads, blocks) extern "C" __global__ void __launch_bounds__(threads, blocks)

namespace mcvar {

// A device thread holds as many scenarios as fill 16 bytes; TILE of them, 256 bytes, lie side by side in memory.
#if defined(MCVAR_DEVICE)
constexpr int LANES = 16 / static_cast<int>(sizeof(REAL));
constexpr int TILE = 256 / static_cast<int>(sizeof(REAL));
#define FOR_LANES _Pragma("unroll") for (int n = 0; n < LANES; ++n)
#define MCVAR_NOT_UNROLLED _Pragma("unroll 1")
#define FOR_LANES_IN_TURN _Pragma("unroll 1") for (int n = 0; n < LANES; ++n)  // of long formulas: one copy, fewer registers
#else
#ifndef BLOCK
#define BLOCK (256 / static_cast<int>(sizeof(REAL)))  // scenarios at once on the host: 2,000 instruments fill half a cache
#endif
constexpr int LANES = BLOCK, TILE = BLOCK;
#define FOR_LANES _Pragma("omp simd") for (int n = 0; n < LANES; ++n)
#define MCVAR_NOT_UNROLLED
#define FOR_LANES_IN_TURN FOR_LANES
#endif

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

MCVAR_FN double infinity() { return from_bits(0x7FF0000000000000ll); }

}  // namespace mcvar
