// A step of a stochastic variance and of the log price that it drives: Andersen's quadratic-exponential scheme.
//
// Why: the variance is drawn from one uniform by inversion, so a step is a pure function of its two normals, and the step
// keeps mean and variance of v exactly. Paper: Andersen, "Simple and efficient simulation of the Heston stochastic
// volatility model", Journal of Computational Finance 11 (2008); mcvar/models/variance.py has it in the same order.

#pragma once
#include "innovations.cuh"

namespace mcvar {

// One scenario: the variance after the step, and what the log price moves. y is the price's innovation, b the variance's own.
MCVAR_FN void heston_step(const Variance &k, double y, double b, double &v, double &move) {
    const double z = k.rho * y + k.rest * b, rest = k.rest * y - k.rho * b;
    const double m = k.decay * v + k.mean, psi = (k.c1 * v + k.c2) / (m * m);
    double after, log_mean = 0.0;  // of exp(a v')
    if (psi <= 1.5) {
        const double inverse = 2.0 / psi, square = inverse - 1.0 + root(inverse) * root(inverse - 1.0);
        const double a = m / (1.0 + square), shifted = root(square) + z;
        after = a * shifted * shifted;
        if (k.martingale != 0) {
            const double left = 1.0 - 2.0 * k.a * a;
            log_mean = k.a * square * a / left - 0.5 * log_exact(left);
        }
    } else {
        const double p = (psi - 1.0) / (psi + 1.0), beta = (1.0 - p) / m, above = 0.5 * erfc(z * 0.70710678118654752440);
        after = above < 1.0 - p ? log_exact((1.0 - p) / above) / beta : 0.0;
        if (k.martingale != 0) log_mean = log_exact(p + beta * (1.0 - p) / (beta - k.a));
    }
    const double k0 = k.martingale != 0 ? -log_mean - (k.k1 + 0.5 * k.k3) * v : k.k0;
    move = k0 + k.k1 * v + k.k2 * after + root(k.k3 * (v + after)) * rest;
    v = after;
}

// Of underlying `u`, whose price has innovations `eta`.
MCVAR_FN void variance_step(const Plan &p, const Work &w, int64_t u, int64_t at, const Lane &eta, Lane &move) {
    const Law &l = p.law;
    const Variance k = l.variance[u];
    const double *own = cell(w.state.y, l.drivers, l.variance_row + u, at);
    double *state = cell(w.state.x, p.lines, p.lines - l.variances + u, at);
    for (int n = 0; n < LANES; ++n) {
        double v = w.state.step == 0 ? k.start : state[n];
        heston_step(k, eta[n], own[n], v, move[n]);
        state[n] = v;
    }
}

}  // namespace mcvar
