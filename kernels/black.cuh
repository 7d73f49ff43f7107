// European options by Black's formula on the forward, FP64: one exponential and one division an option.
//
// Why: library erfc has branches and does not vectorise. Phi(-a) = exp(-a^2/2) P(a)/Q(a) (Hart 5666 as given by West,
// Wilmott Magazine, May 2005), and F phi(d1) = K phi(d2), so that both distribution functions share one
// exponential. Absolute error of a value: a few 1e-16 of the forward. mcvar/pricing/black.py has the formulas.

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

// exp(x); 0 below -708, infinite above 709: 2^k times a polynomial on [-ln2/2, ln2/2]. Relative error below 2e-16.
MCVAR_FN double exp_(double x) {
    const double bounded = x < -708.0 ? -708.0 : x > 709.0 ? 709.0 : x;
    const double shifted = fma_(bounded, 1.4426950408889634, 0x1.8p52);  // k in the low bits of the mantissa
    const double k = shifted - 0x1.8p52;
    const double r = fma_(k, -1.9082149292705877e-10, fma_(k, -6.93147180369123816490e-01, bounded));
    double p = 1.0 / 6227020800.0;
    p = fma_(p, r, 1.0 / 479001600.0);
    p = fma_(p, r, 1.0 / 39916800.0);
    p = fma_(p, r, 1.0 / 3628800.0);
    p = fma_(p, r, 1.0 / 362880.0);
    p = fma_(p, r, 1.0 / 40320.0);
    p = fma_(p, r, 1.0 / 5040.0);
    p = fma_(p, r, 1.0 / 720.0);
    p = fma_(p, r, 1.0 / 120.0);
    p = fma_(p, r, 1.0 / 24.0);
    p = fma_(p, r, 1.0 / 6.0);
    p = fma_(p, r, 0.5);
    p = fma_(p, r, 1.0);
    p = fma_(p, r, 1.0);
    const double value = from_bits(bits_of(p) + (bits_of(shifted) << 52));
    return x < -708.0 ? 0.0 : x > 709.0 ? INFINITY : value;
}

// exp(a^2 / 2) Phi(-a) = P(a) / Q(a), a >= 0.
MCVAR_FN void hart(double a, double& p, double& q) {
    p = 3.52624965998911e-02;
    p = fma_(p, a, 7.00383064443688e-01);
    p = fma_(p, a, 6.37396220353165e+00);
    p = fma_(p, a, 3.39128660783830e+01);
    p = fma_(p, a, 1.12079291497871e+02);
    p = fma_(p, a, 2.21213596169931e+02);
    p = fma_(p, a, 2.20206867912376e+02);
    q = 8.83883476483184e-02;
    q = fma_(q, a, 1.75566716318264e+00);
    q = fma_(q, a, 1.60641775792070e+01);
    q = fma_(q, a, 8.67807322029461e+01);
    q = fma_(q, a, 2.96564248779674e+02);
    q = fma_(q, a, 6.37333633378831e+02);
    q = fma_(q, a, 7.93826512519948e+02);
    q = fma_(q, a, 4.40413735824752e+02);
}

// first Phi(d1) - second Phi(d2), where first phi(d1) = second phi(d2): the value of an option.
MCVAR_FN double black(double first, double second, double d1, double d2) {
    // Beyond 40 every Phi is 0 or 1 in double precision; the bound keeps infinities out of the polynomials.
    const double s1 = d1 < 0 ? -d1 : d1, s2 = d2 < 0 ? -d2 : d2;
    const double a1 = s1 < 40.0 ? s1 : 40.0, a2 = s2 < 40.0 ? s2 : 40.0;
    double p1, q1, p2, q2;
    hart(a1, p1, q1);
    hart(a2, p2, q2);
    const double shared = first * exp_(-0.5 * a1 * a1) / (q1 * q2);
    const double t1 = shared * p1 * q2, t2 = shared * p2 * q1;
    return (d1 > 0 ? first - t1 : t1) - (d2 > 0 ? second - t2 : t2);
}

}  // namespace mcvar
