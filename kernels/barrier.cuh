// European options with one barrier and a rebate, in closed form.
//
// Why: an option is the asset less the strike in cash, each paid if the barrier was touched, or never was: two binary
// barriers of digital.cuh. Rebates are touches. The formulas, and their order, are those of mcvar/pricing/barrier.py.
// Papers: Reiner and Rubinstein, "Breaking down the barriers" (Risk, September 1991); Haug, "The Complete Guide to
// Option Pricing Formulas" (2nd ed., 2007), 4.17.

#pragma once
#include "black.cuh"
#include "digital.cuh"

namespace mcvar {

// sign +1 call, -1 put; up +1 or -1; out above 0: knocks out, and pays the rebate at the hit, else at expiry if never
// hit.
struct BarrierTerms {
    double strike, sign, barrier, up, out, rebate;
};

// Undiscounted European option of deviation sigma sqrt(tau).
MCVAR_FN double european(double forward, double strike, double deviation, double sign) {
    const bool live = deviation > SMALLEST_DEVIATION && forward > 0.0;
    const double s = live ? deviation : 1.0;
    const double moneyness = log_ratio(live ? forward : strike, strike) / s, scale = sign * D_SCALE;
    const double value =
        black(sign * forward, sign * strike, scale * (moneyness + 0.5 * s), scale * (moneyness - 0.5 * s));
    return not_below(live ? value : sign * (forward - strike), 0.0);
}

// The option without its rebate; per unit, in today's money, not touched before. Compilers vectorise a loop over
// scenarios.
MCVAR_FN double barrier_option(
    const BarrierTerms &t, double spot, double volatility, double rate, double carry, double years) {
    const bool out = t.out > 0.0;
    const Passage p = passage(spot, t.barrier, t.up, volatility, carry, years);
    const double beyond = p.side * log_ratio(t.strike, t.barrier) / p.deviation;
    const bool away = t.sign * p.side > 0.0;
    const double discount = exp_(-rate * years), forward = spot * exp_(carry * years);
    const double in_asset = barrier_probability(p.distance, beyond, p.drift, p.half, away, out);
    const double in_cash = barrier_probability(p.distance, beyond, p.drift, -p.half, away, out);
    const double option = not_below(t.sign * (forward * in_asset - t.strike * in_cash), 0.0);
    const double intrinsic = p.reached != out ? not_below(t.sign * (forward - t.strike), 0.0) : 0.0;
    double value = discount * (p.live ? option : intrinsic);
    if (out) {
        value = p.touched ? 0.0 : value;
    } else {
        const double deviation = volatility * root(not_below(years, 0.0));
        value = p.touched ? discount * european(forward, t.strike, deviation, t.sign) : value;
    }
    return nan_where_unknown(value, spot + volatility + rate + carry + years);
}

// The rebate: a touch paid at the hit, or a no-touch.
MCVAR_FN double barrier_rebate(
    const BarrierTerms &t, double spot, double volatility, double rate, double carry, double years) {
    const bool out = t.out > 0.0;
    const double value = t.rebate * touch(spot, t.barrier, t.up, !out, false, out, volatility, rate, carry, years);
    return nan_where_unknown(value, spot + volatility + rate + carry + years);
}

// The value of a barrier option, monitored continuously, that was not touched before.
MCVAR_FN double barrier_value(
    const BarrierTerms &t, double spot, double volatility, double rate, double carry, double years) {
    const double option = barrier_option(t, spot, volatility, rate, carry, years);
    return t.rebate != 0.0 ? option + barrier_rebate(t, spot, volatility, rate, carry, years) : option;
}

}  // namespace mcvar
