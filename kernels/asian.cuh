// European options on averages: geometric exactly, arithmetic by two moments or by conditioning on one normal.
//
// Why: by sums of few terms, whatever the number of fixings, a scenario costs some thousand operations and no memory.
// The order of operations is that of mcvar/pricing/asian.py, which has the formulas and their sources. Sums over the
// fixings are Gauss sums of NODES points; the fixings themselves if there are no more.
// Papers: Kemna and Vorst 1990; Levy 1992; Curran 1994; Rogers and Shi 1995; Lord 2006.

#pragma once
#include "ndtr.cuh"
#include "normal.cuh"

namespace mcvar {

struct AsianTerms {
    double strike, sign, geometric;  // sign +1 call, -1 put; geometric 1 or 0
    double past, so_far;             // weight of the past in the average, and its average
    double wait, fixings;            // years to the first fixing to come; how many, equally spaced; 0: continuous
    double conditioning;             // 1: arithmetic averages by conditioning; 0: by two moments
};

namespace averages {

constexpr int NODES = 6;
constexpr double ASIAN_TINY = 1e-300, MOST_DEVIATION = 10.0, MOST_Z = 20.0;

// NaN where a is NaN.
MCVAR_FN double at_least(double a, double bound) { return a < bound ? bound : a; }
MCVAR_FN double at_most(double a, double bound) { return a > bound ? bound : a; }
MCVAR_FN double log_positive(double a) {
    const double bounded = a < ASIAN_TINY ? ASIAN_TINY : a > 1e300 ? 1e300 : a;
    const double value = log_exact(bounded == bounded ? bounded : 1.0);
    return bounded == bounded ? value : bounded;
}

// exp(x) - 1, by Taylor's series near 0.
MCVAR_FN double expm1_(double x) {
    double p = 1.0 / 6227020800.0;
    p = fma_(p, x, 1.0 / 479001600.0);
    p = fma_(p, x, 1.0 / 39916800.0);
    p = fma_(p, x, 1.0 / 3628800.0);
    p = fma_(p, x, 1.0 / 362880.0);
    p = fma_(p, x, 1.0 / 40320.0);
    p = fma_(p, x, 1.0 / 5040.0);
    p = fma_(p, x, 1.0 / 720.0);
    p = fma_(p, x, 1.0 / 120.0);
    p = fma_(p, x, 1.0 / 24.0);
    p = fma_(p, x, 1.0 / 6.0);
    p = fma_(p, x, 0.5);
    const double near = fma_(p * x, x, x), far = exp_(x) - 1.0;
    return x > -0.5 && x < 0.5 ? near : far;
}

// ln(1 + x), x >= 0: the rounding of 1 + x is divided out.
MCVAR_FN double log1p_(double x) {
    const double up = 1.0 + x, rounded = up - 1.0;
    const double scaled = log_positive(up) * (x / (rounded > 0.0 ? rounded : 1.0));
    return rounded > 0.0 ? (up > 1e15 ? log_positive(up) : scaled) : x;
}

// (exp(x) - 1) / x.
MCVAR_FN double growth_factor(double x) { return x == 0.0 ? 1.0 : expm1_(x) / (x == 0.0 ? 1.0 : x); }

// Black's formula, undiscounted; intrinsic at deviation 0 or forward <= 0; strike > 0.
MCVAR_FN double black76(double forward, double strike, double deviation, double sign) {
    const bool live = deviation > 0.0 && forward > 0.0;
    const double s = live ? deviation : 1.0, moneyness = log_positive(live ? forward / strike : 1.0) / s;
    const double smooth =
        sign * (forward * ndtr(sign * (moneyness + 0.5 * s)) - strike * ndtr(sign * (moneyness - 0.5 * s)));
    return live ? smooth : at_least(sign * (forward - strike), 0.0);
}

// What is averaged: points `step` apart, as the middles of the cells of [low, low + width].
struct Averaging {
    double number, wait, step, low, width, inverse;
};

MCVAR_FN Averaging averaging(double years, double wait, double fixings) {
    Averaging of;
    of.number = fixings;
    of.wait = fixings == 1.0 ? years : at_most(at_least(wait, 0.0), years);
    of.step = fixings > 1.0 ? (years - of.wait) / (fixings > 1.0 ? fixings - 1.0 : 1.0) : 0.0;
    of.low = of.wait - 0.5 * of.step;
    of.width = years - of.wait + of.step;
    of.inverse = fixings > 0.0 ? 1.0 / at_least(fixings, 1.0) : 0.0;
    return of;
}

MCVAR_FN double geometric_asian(const AsianTerms &o, const Averaging &of, double behind, double spot, double sigma,
                                double carry) {
    const double rest = 1.0 - o.past, middle = of.low + 0.5 * of.width;
    const double variance = of.low + of.width / 3.0 + of.step * of.inverse / 6.0;
    const double total = sigma * sigma * at_least(variance, 0.0);
    const double log = o.past * log_positive(o.past > 0.0 ? behind : 1.0) +
                       rest * (log_positive(spot < 0.0 ? -spot : spot) + (carry - 0.5 * sigma * sigma) * middle);
    const double future = exp_(log + 0.5 * rest * rest * total);
    const double forward = spot > 0.0 || o.past >= 1.0 ? future : spot < 0.0 ? -future : 0.0 * spot;
    const double value = black76(forward, o.strike > 0.0 ? o.strike : 1.0, rest * root(total), o.sign);
    return o.strike > 0.0 ? value : at_least(o.sign * (forward - o.strike), 0.0);
}

// Nodes in (-1, 1) and weights of the mean over the points (2 i - n + 1) / n.
MCVAR_FN void gauss_rule(double count, double (&x)[NODES], double (&weight)[NODES]) {
    const double roots[3] = {0.23861918608319691, 0.66120938646626451, 0.93246951420315203};
    const double slopes[3] = {2.12, 5.33, 3.73};
    const double larger = at_least(count, NODES + 1.0), n = at_least(count, 1.0);
    const double kappa = count > NODES ? 1.0 / (larger * larger) : 0.0;
    const bool few = count > 0.0 && n <= NODES;
    double beta[NODES - 1];
    for (int k = 1; k < NODES; ++k) beta[k - 1] = k * k / (4.0 * k * k - 1.0) * (1.0 - k * k * kappa);
    const double product = beta[0] * beta[1] * beta[2] * beta[3] * beta[4];
    for (int j = 0; j < 3; ++j) {
        double next = roots[j] - slopes[j] * kappa, at = next, slope = 1.0, before = 1.0;
        for (int i = 0; i < 4; ++i) {
            at = next;
            double p = at, slope_before = 0.0;
            before = 1.0, slope = 1.0;
            for (int k = 0; k < NODES - 1; ++k) {
                const double s = p + at * slope - beta[k] * slope_before, q = at * p - beta[k] * before;
                slope_before = slope, slope = s;
                before = p, p = q;
            }
            next = at - p / slope;
        }
        x[2 - j] = -at, x[3 + j] = at;
        weight[2 - j] = weight[3 + j] = product / (slope * before);
    }
    for (int k = 0; k < NODES; ++k) {
        x[k] = few ? (k < n ? (2.0 * k - n + 1.0) / n : 0.0) : x[k];
        weight[k] = few ? (k < n ? 1.0 / n : 0.0) : weight[k];
    }
}

// var A / E[A]^2.
MCVAR_FN double variance_ratio(const Averaging &of, const double (&x)[NODES], const double (&weight)[NODES],
                               double sigma, double carry) {
    const double square = sigma * sigma, first = growth_factor(carry * of.width);
    double total = 0.0;
    for (int k = 0; k < NODES; ++k) {
        const double ahead = 0.5 * (1.0 - x[k]) + 0.5 * of.inverse;
        const double share = ahead * growth_factor(carry * (of.width * ahead)) / first;
        const double since = of.width * (0.5 * (1.0 + x[k])) - 0.5 * of.step;
        total += weight[k] * exp_((2.0 * carry + square) * since) * (share * share);
    }
    const double steps = of.number > 0.0 ? of.number * expm1_(square * of.step) : square * of.width;
    const double before = square * (of.wait - of.step);
    return at_least(expm1_(before) + exp_(before) * (steps * total), 0.0);
}

// A basket of the nodes, given Z = z: the parts of m(z) are scale exp(c z - c^2 / 2), and G = floor exp(slope z).
struct Basket {
    double scale[NODES], c[NODES], link[NODES][NODES];  // link: covariance of the logarithms given z, as exp - 1
    double floor, slope, strike;
};

// Parts of m(z), and their sum.
MCVAR_FN double parts_of(const Basket &a, double z, double (&part)[NODES]) {
    double sum = 0.0;
    for (int k = 0; k < NODES; ++k) {
        part[k] = a.scale[k] * exp_(a.c[k] * z - 0.5 * a.c[k] * a.c[k]);
        sum += part[k];
    }
    return sum;
}

// var[A | z].
MCVAR_FN double variance_given(const Basket &a, const double (&part)[NODES]) {
    double sum = 0.0;
    for (int k = 0; k < NODES; ++k) {
        double row = 0.0;
        for (int l = 0; l < NODES; ++l) row += a.link[k][l] * part[l];
        sum += part[k] * row;
    }
    return at_least(sum, 0.0);
}

// E[(side (A - K))+ | z] exp(-z^2 / 2), with A - G lognormal.
MCVAR_FN double given(const Basket &a, double z, double side) {
    double part[NODES];
    const double m = parts_of(a, z, part), low = a.floor * exp_(a.slope * z);
    const double over = at_least(m - low, 1e-14 * m + 1e-140), under = at_least(a.strike - low, 1e-18 * a.strike);
    const double s = at_least(root(log1p_(variance_given(a, part) / over / over)), 1e-10);
    const double d1 = log_positive(over / under) / s + 0.5 * s;
    return side * (over * ndtr(side * d1) - under * ndtr(side * (d1 - s))) * exp_(-0.5 * z * z);
}

MCVAR_FN double slope_of(const Basket &a, const double (&part)[NODES]) {
    double sum = 0.0;
    for (int k = 0; k < NODES; ++k) sum += part[k] * a.c[k];
    return at_least(sum, ASIAN_TINY);
}

MCVAR_FN void prepare(const Averaging &of, const double (&x)[NODES], const double (&weight)[NODES], double spot,
                      double strike, double sigma, double carry, Basket &a) {
    const double square = sigma * sigma;
    const bool few = of.number > 0.0 && of.number <= NODES;
    double t[NODES], p[NODES], excess[NODES], level = 0.0;
    for (int k = 0; k < NODES; ++k) {
        t[k] = of.low + of.width * (0.5 * (1.0 + x[k]));
        p[k] = weight[k] * exp_((carry - 0.5 * square) * t[k]);
        level += p[k];
    }
    for (int k = 0; k < NODES; ++k) p[k] /= level;
    double variance = 0.0;
    for (int k = 0; k < NODES; ++k) {
        const double half = 0.5 * (1.0 + x[k]);
        const double mean = of.low + of.width * (half - 0.5 * half * half) + of.step * of.inverse / 8.0;
        double sum = 0.0, c = 0.0;
        for (int l = 0; l < NODES; ++l) {
            const double least = t[k] < t[l] ? t[k] : t[l];
            sum += weight[l] * least;
            c += p[l] * least;
        }
        excess[k] = few ? 0.0 : (sum - mean) / (few ? 1.0 : weight[k]);  // the kink, see asian.py
        a.c[k] = c - p[k] * excess[k];
        variance += p[k] * a.c[k];
    }
    const double deviation = root(at_least(variance, 0.0)), divisor = at_least(deviation, ASIAN_TINY);
    for (int k = 0; k < NODES; ++k) {
        a.c[k] = sigma * (a.c[k] / divisor);
        a.scale[k] = weight[k] * (spot * exp_(carry * t[k]));
    }
    for (int k = 0; k < NODES; ++k) {
        for (int l = 0; l < k; ++l) a.link[k][l] = a.link[l][k] = expm1_(square * t[l] - a.c[k] * a.c[l]);
        const double own = square * t[k] - a.c[k] * a.c[k];
        a.link[k][k] = expm1_(own) - square * excess[k] * exp_(own);
    }
    a.floor = spot * level, a.slope = sigma * deviation, a.strike = strike;
}

// Undiscounted call by conditioning; strike > 0.
MCVAR_FN double conditioned(const Basket &a) {
    const double below[6] = {0.04892324531938167, 0.2855190097114599, 0.860581808727066,
                             2.2775289694993015,  6.864691783502397,  40.062755183240405};
    const double below_weight[6] = {0.1284553456995063, 0.36604084608475423, 0.8539813854246915,
                                    2.260060955267915,  8.800666516333267,   105.19079495118982};
    const double between[4] = {0.06943184420297371, 0.33000947820757187, 0.6699905217924281, 0.9305681557970262};
    const double between_weight[4] = {0.1739274225687269, 0.3260725774312731, 0.3260725774312731, 0.1739274225687269};
    const double ratio = log_positive(a.strike / a.floor) / at_least(a.slope, ASIAN_TINY);
    const double edge = at_most(at_least(ratio, -MOST_Z), MOST_Z);
    double part[NODES], z = edge;
    MCVAR_NOT_UNROLLED for (int i = 0; i < 4; ++i) {  // Newton for m(z) = strike
        const double m = parts_of(a, z, part);
        z = at_most(at_least(z - log_positive(m / a.strike) * (m / slope_of(a, part)), -MOST_Z), MOST_Z);
    }
    parts_of(a, z, part);
    const double unit = at_most(root(variance_given(a, part)) / slope_of(a, part), 2.0 * MOST_Z);
    const double length = at_least(at_most(edge - z, 5.0 * unit), 0.0);
    double bound = -a.strike * ndtr(-z), down = 0.0, up = 0.0;
    for (int k = 0; k < NODES; ++k) bound += a.scale[k] * ndtr(a.c[k] - z);
    MCVAR_NOT_UNROLLED for (int i = 0; i < 6; ++i)
        down += below_weight[i] * given(a, at_least(z - unit * below[i], -2.0 * MOST_Z), 1.0);
    MCVAR_NOT_UNROLLED for (int i = 0; i < 4; ++i)
        up += between_weight[i] * given(a, z + length * between[i], -1.0);
    return bound + (unit * down + length * up) * 0.3989422804014327;
}

}  // namespace averages

// Value today of an option on an average, for 1 unit of it.
MCVAR_CALLED double asian_value(const AsianTerms &o, double spot, double volatility, double rate, double carry,
                            double years) {
    using namespace averages;
    const double time = at_least(years, 0.0), discount = exp_(-rate * time);
    const double sigma = at_most(volatility, MOST_DEVIATION / root(at_least(time, ASIAN_TINY)));
    const double behind = o.past > 0.0 ? o.so_far : 0.0;
    const Averaging of = averaging(time, o.wait, o.fixings);
    if (o.geometric != 0.0) return discount * geometric_asian(o, of, behind, spot, sigma, carry);

    const double left = o.strike - o.past * behind, ahead = (1.0 - o.past) * spot;
    double x[NODES], weight[NODES];
    gauss_rule(of.number, x, weight);
    const double level = exp_(carry * of.wait) * (growth_factor(carry * of.width) / growth_factor(carry * of.step));
    const double mean = ahead * level, ratio = variance_ratio(of, x, weight, sigma, carry);
    const double intrinsic = at_least(o.sign * (mean - left), 0.0);
    if (!(left > 0.0 && ahead > 0.0 && ratio > 0.0)) return discount * (intrinsic + 0.0 * ratio);

    double call;
    if (o.conditioning != 0.0) {
        Basket basket;
        prepare(of, x, weight, ahead, left, sigma, carry, basket);
        call = conditioned(basket);
    } else {
        call = black76(mean, left, root(log1p_(ratio)), 1.0);
    }
    call = at_most(at_least(call, at_least(mean - left, 0.0)), mean);
    return discount * (o.sign > 0.0 ? call : call - (mean - left));
}

}  // namespace mcvar
