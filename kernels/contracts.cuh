// Revaluation of one group of contracts, whatever is neither linear nor a European option, in LANES scenarios.
//
// Why: families differ in a formula of a few numbers and of what happened on the path. All else, from the price to the
// conversion, is the same, so it is here once, and a family is one entry in the table below. Formulas and limits are
// those of mcvar/families and mcvar/pricing, in double whatever REAL is.

#pragma once
#include "american.cuh"
#include "american_table.cuh"
#include "asian.cuh"
#include "barrier.cuh"
#include "value.cuh"

namespace mcvar {

// One underlying in one scenario: mcvar/pricing/scene.py.
struct Scene {
    double spot, volatility, rate, carry, years, path;
};

MCVAR_FN bool knocked(double up, double path, double decided, double before) {
    return before > 0.0 || up * (path - decided) >= 0.0;
}

// How far a barrier that is observed at times is moved, at most by exp(50): no price gets there.
MCVAR_FN double moved_by(double x) { return exp_(x < -50.0 ? -50.0 : x > 50.0 ? 50.0 : x); }

// The families: the names of a contract's own terms, in the order of its record in mcvar/families, and its value.

MCVAR_FN double digital_contract(const Contract &c, const Scene &s) {
    const double barrier = c.term[0], up = c.term[1], out = c.term[2], correction = c.term[3], decided = c.term[4];
    const double before = c.term[5], asset = c.term[6], at_hit = c.term[7], cash = c.term[8];
    const double v = c.volatility * s.volatility, r = c.rate + s.rate, b = c.carry + s.carry;
    const bool touching = c.sign == 0.0, barred = up != 0.0;
    const double strike = touching ? 1.0 : c.strike, level = barred ? barrier * moved_by(correction * v) : 1.0;
    const DigitalTerms alone = {strike, touching ? 1.0 : c.sign, 1.0, 0.0, 0.0, asset, 0.0};
    const double plain = digital_value(alone, s.spot, v, r, b, s.years);
    if (!barred) return cash * plain;
    const DigitalTerms alive = {strike, c.sign, level, up, out, asset, at_hit};
    const double at_expiry = asset > 0.0 ? s.spot * exp_((b - r) * s.years) : exp_(-r * s.years);
    const double hit = at_hit > 0.0 ? (asset > 0.0 ? barrier : 1.0) : at_expiry;
    const double after = out > 0.0 ? 0.0 : touching ? hit : plain;
    return cash * (knocked(up, s.path, decided, before) ? after : digital_value(alive, s.spot, v, r, b, s.years));
}

MCVAR_FN double barrier_contract(const Contract &c, const Scene &s) {
    const double barrier = c.term[0], up = c.term[1], out = c.term[2], correction = c.term[3], decided = c.term[4];
    const double before = c.term[5], rebate = c.term[6];
    const double v = c.volatility * s.volatility, r = c.rate + s.rate, b = c.carry + s.carry;
    const BarrierTerms alive = {c.strike, c.sign, barrier * moved_by(correction * v), up, out, rebate};
    const double forward = s.spot * exp_(b * s.years), deviation = v * root(s.years);
    const double after = out > 0.0 ? rebate : exp_(-r * s.years) * european(forward, c.strike, deviation, c.sign);
    return knocked(up, s.path, decided, before) ? after : barrier_value(alive, s.spot, v, r, b, s.years);
}

MCVAR_FN double asian_contract(const Contract &c, const Scene &s) {
    const double geometric = c.term[0], past = c.term[1], share = c.term[3], wait = c.term[4], fixings = c.term[5];
    const double v = c.volatility * s.volatility, r = c.rate + s.rate, b = c.carry + s.carry;
    double so_far = c.term[2];
    if (share > 0.0) {
        const double log_path = s.path > 0.0 ? log_exact(s.path) : -infinity();
        const double logs = (1.0 - share) * log_exact(so_far) + share * log_path;
        so_far = geometric > 0.0 ? exp_(logs) : (1.0 - share) * so_far + share * s.path;
    }
    const AsianTerms terms = {c.strike, c.sign, geometric, past, so_far, wait < s.years ? wait : s.years, fixings, c.term[6]};
    return asian_value(terms, s.spot, v, r, b, s.years);
}

// What the contracts of a group share.
struct Seen {
    Lane spot, price, volatility, rate, carry, path, worth;
};

MCVAR_FN void see(const Plan &p, const Work &w, const Group &group, int64_t at, Seen &s) {
    load(p, w.state.price, group.row, at, s.price);
    const bool carried = shift(p, w, group, 1, at, s.carry);
    shift(p, w, group, 2, at, s.rate);
    FOR_LANES { s.spot[n] = group.growth * (s.price[n] - group.dividends); }
    if (carried && group.reach > 0.0) {  // on a future, which has grown to its delivery
        FOR_LANES {
            s.spot[n] *= exp_(s.carry[n] * group.reach);
            s.carry[n] = 0.0;
        }
    }
    if (group.inverse != 0) {  // what moves is the coin's rate
        FOR_LANES { s.rate[n] += s.carry[n]; }
    }
    if (group.variance >= 0) {
        load(p, w.state.x, group.variance, at, s.volatility);
        FOR_LANES { s.volatility[n] = root(group.first + group.second * s.volatility[n]); }
    } else {
        shift(p, w, group, 0, at, s.volatility);
        FOR_LANES { s.volatility[n] = exp_(s.volatility[n]); }
    }
    if (group.path >= 0) {
        load(p, w.state.price, group.path, at, s.path);
    } else {
        FOR_LANES { s.path[n] = s.spot[n]; }
    }
    conversion(p, w, group.up, group.down, at, s.worth);
}

// Write the change of value of contract i: what it is worth in its settlement currency, converted, less what it counts from.
MCVAR_FN void change_of(const Plan &p, const Work &w, const Group &group, const Seen &s, const Contract &c, int64_t i, int64_t at,
                        const Lane &value) {
    REAL dv[LANES];
    FOR_LANES {
        const double whole = c.multiplier * value[n], settled = group.inverse != 0 ? whole / s.price[n] : whole;
        dv[n] = static_cast<REAL>((settled - c.premium) * s.worth[n] - c.value_0);
    }
    store(cell(w.dv, p.instruments, i, at), dv);
}

// American options by their table: logarithms are taken once for all options of a group.
MCVAR_FN void value_american_table(const Plan &p, const Work &w, const Group &group, int64_t at) {
    Seen s;
    see(p, w, group, at, s);
    const Table &table = p.table[group.table];
    Lane log_spot, log_volatility;
    FOR_LANES {
        log_spot[n] = s.spot[n] > 0.0 ? log_exact(s.spot[n]) : -infinity();
        log_volatility[n] = s.volatility[n] > 0.0 ? log_exact(s.volatility[n]) : -infinity();
    }
    for (int64_t i = group.begin; i < group.end; ++i) {
        const Contract &c = p.contract[i - p.contracts_from];
        const double log_strike = c.term[0], log_deviation = c.term[1], deviation = c.term[2];
        const bool call = c.sign > 0.0;
        Lane values;
        FOR_LANES {
            const double spot = s.spot[n], own = call ? spot : c.strike, other = call ? c.strike : spot;
            const double z = call ? log_strike - log_spot[n] : log_spot[n] - log_strike;
            const double put = table_put(p.spline, table, z, other / own, deviation * s.volatility[n], log_deviation + log_volatility[n]);
            const double now = c.strike - spot, late = table.discount * (c.strike - spot * table.growth);
            double value = !(spot <= 0.0) ? own * put : call ? 0.0 : now > late ? now : late;
            values[n] = value;
        }
        change_of(p, w, group, s, c, i, at, values);
    }
}

// American options solved exactly, as many at once as fill a vector of the host.
template <class Scheme>
MCVAR_FN void value_exactly(const Contract &c, const Seen &s, double years, Lane &value) {
#if defined(MCVAR_DEVICE)
    constexpr int W = 1;
#else
    constexpr int W = 8;
#endif
    MCVAR_NOT_UNROLLED
    for (int first = 0; first < LANES; first += W) {
        double strike[W], volatility[W], rate[W], carry[W], left[W], sign[W];
        for (int n = 0; n < W; ++n) {
            strike[n] = c.strike;
            volatility[n] = c.volatility * s.volatility[first + n];
            rate[n] = c.rate + s.rate[first + n];
            carry[n] = c.carry + s.carry[first + n];
            left[n] = years;
            sign[n] = c.sign;
        }
        american_exact<Scheme, W>(s.spot + first, strike, volatility, rate, carry, left, sign, value + first);
    }
}

MCVAR_FN void value_american(const Plan &p, const Work &w, const Group &group, int64_t at) {
    Seen s;
    see(p, w, group, at, s);
    for (int64_t i = group.begin; i < group.end; ++i) {
        const Contract &c = p.contract[i - p.contracts_from];
        Lane value;
        if (c.term[0] > 0.0) value_exactly<Fast>(c, s, group.left, value);
        else value_exactly<Accurate>(c, s, group.left, value);
        change_of(p, w, group, s, c, i, at, value);
    }
}

template <double (*VALUE)(const Contract &, const Scene &)>
MCVAR_FN void value_contracts(const Plan &p, const Work &w, const Group &group, int64_t at) {
    Seen s;
    see(p, w, group, at, s);
    for (int64_t i = group.begin; i < group.end; ++i) {
        const Contract &c = p.contract[i - p.contracts_from];
        Lane value;
        FOR_LANES_IN_TURN {
            const Scene scene = {s.spot[n], s.volatility[n], s.rate[n], s.carry[n], group.left, s.path[n]};
            value[n] = VALUE(c, scene);
        }
        change_of(p, w, group, s, c, i, at, value);
    }
}

}  // namespace mcvar
