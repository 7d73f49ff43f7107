// European options by Black's formula on the forward: one exponential an option; FP64 and FP32, device and host.
//
// Why: library erfc has branches and does not vectorise. With R(d) = exp(d^2/2) Phi(-d), d >= 0 (Mills' ratio over
// sqrt(2 pi)), and F phi(d1) = K phi(d2), both distribution functions share one exponential A = K exp(-d2^2/2):
//
//     F Phi(d1) - K Phi(d2) = (d1 > 0 ? F : 0) - (d2 > 0 ? K : 0) + A (-+ R(|d1|) +- R(|d2|)).
//
// Out of the money no term but A (R(|d1|) - R(|d2|)) is left, which keeps the digits of a small value. The arguments
// are e = d sqrt(log2(e)/2): the exponential is then 2^(-e^2), which needs no product and, in FP64, no ln 2.
// FP64: R is a rational function of degree (6, 7), the form of Hart 5666 (G. West, "Better approximations to
// cumulative normal functions", Wilmott Magazine, May 2005); the two denominators share one reciprocal.
// FP32: R is k p(k), k = 1/(c + e): bounded for every e, so that infinities need no care.
// Coefficients by Remez exchange. mcvar/pricing/black.py has the formulas.
//
// Errors measured on the host, relative to max(F, K): FP64 at most 5e-16, 6e-17 root mean square; FP32 at most 3e-7,
// 4e-8 root mean square (rounding: the approximation itself is below 2e-8). Out of the money and for |d| < 5, FP32 errs
// by at most 4e-6 + 7e-7 (1 + |d|) / |d1 - d2| of the value. The device's FP32 exponential and reciprocal
// err by 2 and 1 units of the last place, by their specification, the host's by 1 and 1/2: up to 3e-7 more.

#pragma once
#include "elementary.cuh"

namespace mcvar {

// Arguments e of `black` are d times this: sqrt(log2(e) / 2).
constexpr double D_SCALE = 0.84932180028801904272;

// Numerator and denominator of R, highest power first. In constant memory on the device: there an operand of an
// instruction, where a literal would first be moved into registers.
#if defined(__CUDA_ARCH__)
#define MCVAR_TABLE static __constant__
#else
#define MCVAR_TABLE static constexpr
#endif
MCVAR_TABLE double RATIO_P[7] = {
    0.00022565624774681700114, 0.0037595395530157987431, 0.028762429485058154949, 0.12883888992847683925,
    0.3587568240863180805,     0.59704253722190857994,   0.50000000000000008521,
};
MCVAR_TABLE double RATIO_Q[8] = {
    0.00066597671735713382089, 0.011095973730078236435, 0.085361830595741262201, 0.38831931467441677255,
    1.1187596841617576791,     2.0286769010929381876,   2.1335223531435114572,   1.0,
};

// 2^r for |r| <= 1/2, highest power first; the constant is 1.
MCVAR_TABLE double POWER[10] = {
    7.0372770781570879536e-09, 1.0208543991744063932e-07, 1.3215662893211684492e-06, 1.5252658086632213892e-05,
    1.5403529960904187804e-04, 1.3333558228609471629e-03, 9.6181291080348793398e-03, 5.5504108664458555074e-02,
    2.4022650695908766627e-01, 6.9314718055994977942e-01,
};

// |e|, at most 31.9, where every Phi is 0 or 1.
MCVAR_FN double magnitude(double e) {
#if defined(__CUDA_ARCH__)  // On the upper word as a float: |.| and the bound in one instruction. NaN becomes 31.9.
    const float word = fminf(fabsf(__int_as_float(__double2hiint(e))), __int_as_float(0x403FE666));
    return __hiloint2double(__float_as_int(word), __double2loint(e));
#else
    const double a = std::fabs(e);
    return a > 31.9 ? 31.9 : a;
#endif
}

// -a if e > 0, a if e < 0.
MCVAR_FN double against(double a, double e) {
#if defined(__CUDA_ARCH__)
    return __hiloint2double(__double2hiint(a) ^ (~__double2hiint(e) & 0x80000000), __double2loint(a));
#else
    return from_bits(bits_of(a) ^ (~bits_of(e) & INT64_MIN));
#endif
}

MCVAR_FN float against(float a, float e) {
    return float_from_bits(float_bits(a) ^ (~float_bits(e) & static_cast<int32_t>(0x80000000u)));
}

// (e1 > 0 ? first : 0) - (e2 > 0 ? second : 0), of the zeros as `against`.
MCVAR_FN double intrinsic(double first, double second, double e1, double e2) {
#if defined(__CUDA_ARCH__)  // predicated sums: no selection of both words
    double sum = 0.0;
    asm("{\n\t.reg .pred p;\n\tsetp.ge.s32 p, %2, 0;\n\t@p mov.f64 %0, %1;\n\t}" : "+d"(sum) : "d"(first), "r"(__double2hiint(e1)));
    asm("{\n\t.reg .pred p;\n\tsetp.ge.s32 p, %2, 0;\n\t@p sub.f64 %0, %0, %1;\n\t}" : "+d"(sum) : "d"(second), "r"(__double2hiint(e2)));
    return sum;
#else
    return (bits_of(e1) >= 0 ? first : 0.0) - (bits_of(e2) >= 0 ? second : 0.0);
#endif
}

MCVAR_FN float intrinsic(float first, float second, float e1, float e2) {
#if defined(__CUDA_ARCH__)  // the negative of it is summed: a selection cannot change the sign at no cost
    float sum = float_bits(e2) >= 0 ? second : 0.0f;
    asm("{\n\t.reg .pred p;\n\tsetp.ge.s32 p, %2, 0;\n\t@p sub.ftz.f32 %0, %0, %1;\n\t}" : "+f"(sum) : "f"(first), "r"(float_bits(e1)));
    return -sum;
#else
    return (float_bits(e1) >= 0 ? first : 0.0f) - (float_bits(e2) >= 0 ? second : 0.0f);
#endif
}

// 2^(-a^2), 0 <= a <= 31.9. The polynomial's error is 2.1e-16, shared by both terms of a value.
MCVAR_FN double gauss(double a) {
    const double shifted = fma_(-a, a, 0x1.8p52);
    const double r = fma_(-a, a, 0x1.8p52 - shifted);
    double p = POWER[0];
    p = fma_(p, r, POWER[1]);
    p = fma_(p, r, POWER[2]);
    p = fma_(p, r, POWER[3]);
    p = fma_(p, r, POWER[4]);
    p = fma_(p, r, POWER[5]);
    p = fma_(p, r, POWER[6]);
    p = fma_(p, r, POWER[7]);
    p = fma_(p, r, POWER[8]);
    p = fma_(p, r, POWER[9]);
    p = fma_(p, r, 1.0);
    return times_power(p, shifted);
}

// 2^(-e^2); 0 or below 1.2e-38 where |e| > 11.2.
MCVAR_FN float gauss(float e) {
#if defined(__CUDA_ARCH__)
    float power;
    asm("ex2.approx.ftz.f32 %0, %1;" : "=f"(power) : "f"(-e * e));
    return power;
#else
    const float s = std::fabs(e), a = s > 11.2f ? 11.2f : s;
    const float shifted = fma_(-a, a, 0x1.8p23f);
    const float r = fma_(-a, a, 0x1.8p23f - shifted);
    float p = 0.000153458215915f;
    p = fma_(p, r, 0.00133999442413f);
    p = fma_(p, r, 0.00961848903285f);
    p = fma_(p, r, 0.0555032874532f);
    p = fma_(p, r, 0.240226468888f);
    p = fma_(p, r, 0.693147205751f);
    p = fma_(p, r, 1.00000000055f);
    return times_power(p, shifted);
#endif
}

MCVAR_FN void ratio(double a, double& p, double& q) {
    p = RATIO_P[0];
    p = fma_(p, a, RATIO_P[1]);
    p = fma_(p, a, RATIO_P[2]);
    p = fma_(p, a, RATIO_P[3]);
    p = fma_(p, a, RATIO_P[4]);
    p = fma_(p, a, RATIO_P[5]);
    p = fma_(p, a, RATIO_P[6]);
    q = RATIO_Q[0];
    q = fma_(q, a, RATIO_Q[1]);
    q = fma_(q, a, RATIO_Q[2]);
    q = fma_(q, a, RATIO_Q[3]);
    q = fma_(q, a, RATIO_Q[4]);
    q = fma_(q, a, RATIO_Q[5]);
    q = fma_(q, a, RATIO_Q[6]);
    q = fma_(q, a, RATIO_Q[7]);
}

MCVAR_FN float ratio(float k) {
    float p = 33.3912232f;
    p = fma_(p, k, -62.2275825f);
    p = fma_(p, k, 35.8813371f);
    p = fma_(p, k, -3.66597096f);
    p = fma_(p, k, 3.02190602f);
    p = fma_(p, k, 0.788386249f);
    return fma_(p, k, 0.341338839f);
}

// first Phi(d1) - second Phi(d2), where first phi(d1) = second phi(d2): the value of an option; e = D_SCALE d.
MCVAR_FN double black(double first, double second, double e1, double e2) {
    const double a1 = magnitude(e1), a2 = magnitude(e2);
    double p1, q1, p2, q2;
    ratio(a1, p1, q1);
    ratio(a2, p2, q2);
    const double shared = second * gauss(a2) * reciprocal(q1 * q2);
    const double apart = fma_(against(p1, e1), q2, -(against(p2, e2) * q1));
    const double value = fma_(shared, apart, intrinsic(first, second, e1, e2));
#if defined(__CUDA_ARCH__)  // `magnitude` has lost a NaN there
    int32_t upper = __double2hiint(value);
    asm("{\n\t.reg .pred p;\n\tsetp.nan.f64 p, %1, %2;\n\tselp.b32 %0, 0x7FF80000, %0, p;\n\t}"
        : "+r"(upper)
        : "d"(e1), "d"(e2));
    return __hiloint2double(upper, __double2loint(value));
#else
    return value;
#endif
}

MCVAR_FN float black(float first, float second, float e1, float e2) {
    const float k1 = reciprocal(2.56f + fabsf(e1)), k2 = reciprocal(2.56f + fabsf(e2));
    const float apart = fma_(against(k1, e1), ratio(k1), -(against(k2, e2) * ratio(k2)));
    return fma_(second * gauss(e2), apart, intrinsic(first, second, e1, e2));
}

}  // namespace mcvar
