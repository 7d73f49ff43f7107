// Elementary functions in both precisions, without branches: fma, exp, reciprocal.
//
// Why: libraries' versions handle every special case by branches, do not vectorise on the host, and the fast ones
// on the device come only with -use_fast_math, which would break the bits of the generator. exp is 2^k times a
// minimax polynomial of the rest (Remez exchange); reciprocals start from the device's table (MUFU).

#pragma once
#include "portable.cuh"

namespace mcvar {

MCVAR_FN double fma_(double a, double b, double c) {
#if defined(__CUDA_ARCH__)
    return __fma_rn(a, b, c);
#else
    return std::fma(a, b, c);
#endif
}

MCVAR_FN float fma_(float a, float b, float c) {
#if defined(__CUDA_ARCH__)
    return __fmaf_rn(a, b, c);
#else
    return std::fma(a, b, c);
#endif
}

#if defined(__CUDA_ARCH__)
MCVAR_FN int32_t float_bits(float a) { return __float_as_int(a); }
MCVAR_FN float float_from_bits(int32_t bits) { return __int_as_float(bits); }
#else
MCVAR_FN int32_t float_bits(float a) {
    int32_t bits;
    std::memcpy(&bits, &a, sizeof bits);
    return bits;
}
MCVAR_FN float float_from_bits(int32_t bits) {
    float a;
    std::memcpy(&a, &bits, sizeof a);
    return a;
}
#endif

// p 2^k, with k in the low bits of the mantissa of `shifted`, as adding 1.5 2^52 (2^23) leaves it there. The shift
// drops the rest of the bits.
MCVAR_FN double times_power(double p, double shifted) {
#if defined(__CUDA_ARCH__)  // the low word does not change
    return __hiloint2double(__double2hiint(p) + (__double2loint(shifted) << 20), __double2loint(p));
#else
    return from_bits(static_cast<int64_t>(static_cast<uint64_t>(bits_of(p)) +
                                          (static_cast<uint64_t>(bits_of(shifted)) << 52)));
#endif
}

MCVAR_FN float times_power(float p, float shifted) {
    return float_from_bits(static_cast<int32_t>(static_cast<uint32_t>(float_bits(p)) +
                                                (static_cast<uint32_t>(float_bits(shifted)) << 23)));
}

// exp(x) for -708 <= x <= 709; NaN stays NaN. Relative error below 1.4e-16, 3.7e-18 of it the polynomial's.
MCVAR_FN double exp_small(double x) {
    const double shifted = fma_(x, 1.4426950408889634, 0x1.8p52);
    const double k = shifted - 0x1.8p52;
    const double r = fma_(k, -1.9082149292705877e-10, fma_(k, -6.93147180369123816490e-01, x));
    double p = 2.5000058318903707401e-08;
    p = fma_(p, r, 2.7630248463652825396e-07);
    p = fma_(p, r, 2.7557586386765750203e-06);
    p = fma_(p, r, 2.4801493098700976713e-05);
    p = fma_(p, r, 1.9841269506560773162e-04);
    p = fma_(p, r, 1.3888888943630263129e-03);
    p = fma_(p, r, 8.3333333334944717516e-03);
    p = fma_(p, r, 4.1666666666530158288e-02);
    p = fma_(p, r, 1.6666666666666412504e-01);
    p = fma_(p, r, 5.0000000000000106271e-01);
    p = fma_(p, r, 1.0);
    p = fma_(p, r, 1.0);
    return times_power(p, shifted);
}

// exp(x): 0 below -708, infinite above 709, NaN for NaN; else as exp_small.
MCVAR_FN double exp_(double x) {
    const double bounded = x < -708.0 ? -708.0 : x > 709.0 ? 709.0 : x;
    const double value = exp_small(bounded);
    return x < -708.0 ? 0.0 : x > 709.0 ? from_bits(0x7FF0000000000000) : value;
}

// 1 / x for normal x whose reciprocal is normal. The table's error e < 2^-19 becomes e^3: at most 1 ulp in all.
MCVAR_FN double reciprocal(double x) {
#if defined(__CUDA_ARCH__)
    double r;
    asm("rcp.approx.ftz.f64 %0, %1;" : "=d"(r) : "d"(x));
    const double e = fma_(-x, r, 1.0);
    return fma_(r, fma_(e, e, e), r);
#else
    return 1.0 / x;
#endif
}

// 1 / x, 0 for infinite x; 1 ulp.
MCVAR_FN float reciprocal(float x) {
#if defined(__CUDA_ARCH__)
    float r;
    asm("rcp.approx.ftz.f32 %0, %1;" : "=f"(r) : "f"(x));
    return r;
#else
    return 1.0f / x;
#endif
}

}  // namespace mcvar
