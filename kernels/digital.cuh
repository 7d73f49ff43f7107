// Digitals, touches and binary barriers in closed form, the barrier monitored continuously.
//
// Why: the formulas of mcvar/pricing/digital.py, one by one and in the same order; that module explains them. Distances
// are in standard deviations and counted away from the barrier, so that up and down share one formula; powers of the
// barrier over the price, which may be huge, are added to the exponent of the normal density they multiply, so that
// nothing overflows and no infinity meets a zero. Branches depend on the contract alone, but for one: negative rates
// may make a root imaginary, where the discounted first passage is summed as a series.
// Papers: Reiner and Rubinstein, "Unscrambling the binary code" (Risk, 1991); Haug, "The Complete Guide to Option
// Pricing Formulas" (2nd ed., 2007), 4.19.

#pragma once
#include "ndtr.cuh"
#include "normal.cuh"

namespace mcvar {

// sign +1 call, -1 put, 0 a touch, which has no strike; up +1 or -1, 0 without a barrier; the others are true above 0.
struct DigitalTerms {
    double strike, sign, barrier, up, out, asset, at_hit;
};

constexpr double SMALLEST_DEVIATION = 1e-14;  // below it the limit; so that 1 / s^2 is finite
constexpr double ROOT_HALF = 0.70710678118654752440;

MCVAR_FN double not_below(double x, double least) { return x < least ? least : x; }  // a NaN stays one

// ln(a / b); the bound keeps zeros and denormals, whose branch is not chosen, finite.
MCVAR_FN double log_ratio(double a, double b) { return log_exact(not_below(a / b, 1e-300)); }

// exp(y^2 / 2) Phi(-y) for y >= 0.
MCVAR_FN double mills(double y) {
    const double z = y * ROOT_HALF, square = z < 1.0 ? z * z : 0.0;
    const double near = exp_small(square) * (0.5 - 0.5 * z * erf_near(square));
    return z < 1.0 ? near : 0.5 * (z < 8.0 ? erfc_middle(z) : erfc_far(z));
}

// A price and its barrier, standardised.
struct Passage {
    bool live, touched, reached;  // reached: by the forward at expiry
    double side, deviation, distance, drift, half;
};

MCVAR_FN Passage passage(double spot, double barrier, double up, double volatility, double carry, double years) {
    Passage p;
    p.side = up > 0.0 ? -1.0 : 1.0;
    const double deviation = volatility * root(not_below(years, 0.0));
    p.live = deviation > SMALLEST_DEVIATION && spot > 0.0;
    p.deviation = p.live ? deviation : 1.0;
    p.distance = not_below(p.side * log_ratio(p.live ? spot : barrier, barrier) / p.deviation, 0.0);
    p.touched = p.side * (spot - barrier) <= 0.0;
    p.reached = p.side * (spot * exp_(carry * years) - barrier) <= 0.0;
    p.drift = p.side * carry * years / p.deviation;
    p.half = 0.5 * p.side * p.deviation;
    return p;
}

// 2 exp(y^2/2) times the integral of phi(v) exp(k y^2 / v^2) over v > y, for k > 0: the sum of k^n / n! J_n, where J_0
// = Mills' ratio and, by parts, (2n + 1) J_(n+1) = y / sqrt(2 pi) - y^2 J_n. All terms are positive. What is rounded
// grows with y and k, but slower than the factor exp(-y^2/2 - y w) of the sum falls; that is 0 for y > 40.
MCVAR_FN double passage_series(double y, double k) {
    double moment = mills(y), weight = 1.0, sum = moment;
    MCVAR_NOT_UNROLLED for (int n = 0; n < 40; ++n) {
        moment = (0.39894228040143267794 * y - y * y * moment) / (2 * n + 1);
        weight *= k / (n + 1);
        sum += weight * moment;
    }
    return not_below(2.0 * sum, 0.0);
}

// E[exp(-discount theta); theta <= 1], theta the first time that distance + drift t + B_t is 0. The series serves
// discounts from -5 to 1e-13 of exp(-discount), less beyond.
MCVAR_FN double first_passage(double distance, double drift, double discount) {
    const double y = distance, w = drift;
    const double square = w * w + 2.0 * discount;
    const double l = root(not_below(square, 0.0));
    const double density = exp_(-0.5 * (y + w) * (y + w) - discount);
    const double power = w < 0.0 ? -2.0 * discount * y / (l - w) : -y * (w + l);
    const double apart = l - y < 0.0 ? y - l : l - y;
    const double inner = density * mills(apart), outer = density * mills(l + y);
    const double value = (l > y ? exp_(power) - inner : inner) + outer;
    if (square < 0.0) return y < 40.0 ? exp_(-0.5 * y * y - y * w) * passage_series(y, -0.5 * square) : 0.0;
    return not_below(value, 0.0);
}

// exp(-2 y w) Phi(w - y - g), w = drift + shift, of the path that starts behind the barrier.
MCVAR_FN double image(double y, double g, double drift, double shift) {
    const double z = (drift - y - g) + shift, d = (y - g + drift) + shift;
    const double tail = exp_(-0.5 * d * d - 2.0 * y * g) * mills(z < 0.0 ? -z : z);
    return z > 0.0 ? exp_(-2.0 * y * (drift + shift)) - tail : tail;
}

// Probability to end in the money and to have touched never (`out`) or at least once; the strike is `strike` away from
// the barrier, and in the money is `away` from it or towards it.
MCVAR_FN double barrier_probability(double distance, double strike, double drift, double shift, bool away, bool out) {
    const double y = distance, beyond = not_below(strike, 0.0), before = strike > 0.0 ? 0.0 : strike;
    const double mirrored = image(y, beyond, drift, shift), mirrored_0 = image(y, 0.0, drift, shift);
    const double d = (y - (out ? beyond : before) + drift) + shift, d_0 = (y + drift) + shift;
    const double ends = ndtr(d), ends_0 = ndtr(d_0);
    const double never = away ? ends - mirrored : ends_0 - ends - mirrored_0 + mirrored;
    const double once = away ? ends - ends_0 + mirrored : ndtr(-d) + mirrored_0 - mirrored;
    return not_below(out ? never : once, 0.0);
}

// `value`, and NaN where the sum of the inputs is one: selections would lose it.
MCVAR_FN double nan_where_unknown(double value, double inputs) { return inputs != inputs ? inputs : value; }

MCVAR_FN double european_digital(
    double spot, double strike, double sign, bool asset, double volatility, double rate, double carry, double years) {
    const double deviation = volatility * root(not_below(years, 0.0));
    const bool live = deviation > SMALLEST_DEVIATION && spot > 0.0;
    const double s = live ? deviation : 1.0;
    const double d = (log_ratio(live ? spot : strike, strike) + carry * years) / s + (asset ? 0.5 : -0.5) * s;
    const double intrinsic = sign * (spot * exp_(carry * years) - strike) > 0.0 ? 1.0 : 0.0;
    const double payment = asset ? spot * exp_((carry - rate) * years) : exp_(-rate * years);
    return payment * (live ? ndtr(sign * d) : intrinsic);
}

MCVAR_FN double touch(double spot, double barrier, double up, bool out, bool asset, bool at_hit, double volatility,
                      double rate, double carry, double years) {
    const bool at_once = at_hit && !out;
    const Passage p = passage(spot, barrier, up, volatility, carry, years);
    const double shift = asset && !at_once ? p.half : -p.half;
    const double chance = first_passage(p.distance, p.drift + shift, at_once ? rate * years : 0.0);
    // The forward's path meets the barrier at the time ln(H/S) / b.
    const bool meets = p.reached && !p.touched && spot > 0.0;
    const double time = log_ratio(meets ? barrier : 1.0, meets ? spot : 1.0) / (meets ? carry : 1.0);
    const double sure = p.reached ? (at_once ? exp_(-rate * time) : 1.0) : 0.0;
    const double hit = p.live ? chance : sure;
    const double at_expiry = asset ? spot * exp_((carry - rate) * years) : exp_(-rate * years);
    const double payment = at_once ? (asset ? barrier : 1.0) : at_expiry;
    const double now = out ? 0.0 : at_once ? (asset ? spot : 1.0) : at_expiry;
    return p.touched ? now : payment * (out ? not_below(1.0 - hit, 0.0) : hit);
}

MCVAR_FN double barrier_digital(double spot, double strike, double sign, double barrier, double up, bool out,
                                bool asset, double volatility, double rate, double carry, double years) {
    const Passage p = passage(spot, barrier, up, volatility, carry, years);
    const double beyond = p.side * log_ratio(strike, barrier) / p.deviation;
    const double chance =
        barrier_probability(p.distance, beyond, p.drift, asset ? p.half : -p.half, sign * p.side > 0.0, out);
    const bool in_the_money = sign * (spot * exp_(carry * years) - strike) > 0.0;
    const double sure = in_the_money && p.reached != out ? 1.0 : 0.0;
    const double payment = asset ? spot * exp_((carry - rate) * years) : exp_(-rate * years);
    const double now = out ? 0.0 : european_digital(spot, strike, sign, asset, volatility, rate, carry, years);
    return p.touched ? now : payment * (p.live ? chance : sure);
}

// The value of a digital, touch or binary barrier that was not touched before; per unit, in today's money.
MCVAR_FN double digital_value(
    const DigitalTerms &t, double spot, double volatility, double rate, double carry, double years) {
    const bool out = t.out > 0.0, asset = t.asset > 0.0, at_hit = t.at_hit > 0.0;
    double value;
    if (t.up == 0.0)
        value = european_digital(spot, t.strike, t.sign, asset, volatility, rate, carry, years);
    else if (t.sign == 0.0)
        value = touch(spot, t.barrier, t.up, out, asset, at_hit, volatility, rate, carry, years);
    else
        value = barrier_digital(spot, t.strike, t.sign, t.barrier, t.up, out, asset, volatility, rate, carry, years);
    return nan_where_unknown(value, spot + volatility + rate + carry + years);
}

}  // namespace mcvar
