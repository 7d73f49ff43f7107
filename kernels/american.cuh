// American options, exactly: the boundary by spectral collocation and Newton's method, the value by one integral.
//
// Why: mcvar/pricing/american.py and american_boundary.py, the same formulas in the same order; for one option or W at
// once. All counts are fixed, every function has one path and the loop over options is the inner one: host compilers
// vectorise it, GPU threads do not diverge. Only two boundaries (yield < rate < 0) are found apart, option by option.
// Papers: Andersen, Lake and Offengenden 2016; Andersen and Lake 2021; Kim 1990.

#pragma once
#include "american_grid.cuh"
#include "ndtr.cuh"
#include "normal.cuh"

#if defined(__CUDACC__)
#define FOR_OPTIONS for (int w = 0; w < W; ++w)
#else
#define FOR_OPTIONS _Pragma("omp simd") for (int w = 0; w < W; ++w)
#endif

namespace mcvar {

// W puts on strike 1 with one curve each: ln B = start - side distance.
template <class Scheme, int W>
struct PutCurves {
    double s[W], rho[W], kappa[W], start[W], distance[Scheme::NODES][W], moved[W];
};

MCVAR_FN double larger(double a, double b) { return a > b ? a : b; }
MCVAR_FN double smaller(double a, double b) { return a < b ? a : b; }
MCVAR_FN double size_of(double a) { return a < 0.0 ? -a : a; }

constexpr double AMERICAN_DENSITY = 0.3989422804014327, AMERICAN_SLOPE = 0.639, AMERICAN_FLOOR = 1e-8;

// |ln B - start| at a node, the first guess.
MCVAR_FN double boundary_guess(double s, double rho, double kappa, double start, double node, double side) {
    const double variance = s * s, beta = 0.5 - (rho - kappa) / variance;
    const double root_ = root(larger(beta * beta + 2.0 * rho / variance, 0.0));
    const double stable = -2.0 * rho / variance / (size_of(beta) + root_);
    const double power = side > 0.0 && beta > 0.0 ? stable : beta - side * root_;
    const double never = side < 0.0 ? 1.0 : rho < 0.0 ? rho / kappa : 0.0;
    const double limit = power < 0.0 ? power / (power - 1.0) : never;
    const double perpetual = side > 0.0 ? larger(larger(limit, never), 1e-14 * exp_(start)) : limit;
    const double way = larger(size_of(start - log_exact(perpetual)), 1e-9);
    const double size = s * node, time = node * node;
    const double unequal = 8.0 * 3.14159265358979323846 * time * ((rho - kappa) * (rho - kappa)) / variance;
    const double equal = 4.0 * 1.7724538509055160273 * larger(kappa, 0.0) * time;
    const double smooth =
        root(0.41 + log_exact(1.0 + 1.0 / (unequal + equal * equal / (1.0 + 2.0 * equal)))) * size;
    const double low = smooth + start, high = AMERICAN_SLOPE * size;
    const double both = 0.5 * (low + high + root((low - high) * (low - high) + 0.04 * size * size));
    const double part = (side < 0.0 ? high : start < 0.0 ? both : smooth) / way;
    return way * (1.0 - exp_(-part - 0.5 * part * part));
}

// One step of Newton's method; the equation and its two sides `first` and `second` are in american_boundary.py.
template <class Scheme, int W>
MCVAR_FN void boundary_step(PutCurves<Scheme, W>& put, double side) {
    constexpr int N = Scheme::NODES, L = Scheme::POINTS;
    const auto& grid = american_grid(Scheme{});
    double square[N][W], matrix[N][N][W], right[N][W];
    for (int j = 0; j < N; ++j) FOR_OPTIONS square[j][w] = put.distance[j][w] * put.distance[j][w];
    MCVAR_NOT_UNROLLED
    for (int i = 0; i < N; ++i) {
        const double node = grid.node.at[i], time0 = node * node;
        double to_first[L][W], to_second[L][W];  // derivatives by ln B between nodes
        double first[W], second[W], first_here[W], second_here[W];
        FOR_OPTIONS {
            const double s = put.s[w], kappa = put.kappa[w], deviation = s * node;
            const double rise = put.start[w] - side * put.distance[i][w] + (put.rho[w] - kappa) * time0;
            const double d = rise / deviation + 0.5 * deviation, share = side > 0.0 ? exp_(-kappa * time0) : 0.0;
            const double density = share * (AMERICAN_DENSITY * exp_(-0.5 * d * d)) / deviation;
            const double added = kappa > 0.0 ? 1.0 : 0.0, tilt = density * d / deviation;
            first[w] = share * ndtr(d) + added * density;
            second[w] = added * density;
            first_here[w] = density - added * tilt;
            second_here[w] = -added * tilt;
        }
        MCVAR_NOT_UNROLLED
        for (int k = 0; k < L; ++k) {
            const double sqrt_time = node * grid.rule.sine[k], time = sqrt_time * sqrt_time;
            const double weight = grid.rule.weight[k] * time0;
            const double reach = node * grid.rule.cosine[k], floor = AMERICAN_FLOOR * (reach * reach);
            double passed_square[W];
            FOR_OPTIONS passed_square[w] = 0.0;
            for (int j = 0; j < N; ++j) FOR_OPTIONS passed_square[w] += grid.inside[i][k][j] * square[j][w];
            FOR_OPTIONS {
                const double s = put.s[w], rho = put.rho[w], kappa = put.kappa[w];
                const double least = square[N - 1][w] * floor;
                const bool free = passed_square[w] > least;
                const double passed = root(free ? passed_square[w] : least), deviation = s * sqrt_time;
                const double rise = side * (passed - put.distance[i][w]) + (rho - kappa) * time;
                const double d = rise / deviation + 0.5 * deviation, share = exp_(-kappa * time) * weight;
                const double density = share * (AMERICAN_DENSITY * exp_(-0.5 * d * d)) / deviation;
                const double paid = kappa * density, earned = side * rho * exp_(side * passed - put.start[w]) * density;
                const double stay = kappa * (share * ndtr(side * d));
                const double added = kappa > 0.0 ? 1.0 : 0.0, paid_first = side > 0.0 ? added : -1.0;
                const double mixed = earned + (paid_first - side) * paid, tilt = d / deviation;
                const double by = free ? 1.0 / passed : 0.0;
                first[w] += added * stay + paid_first * paid;
                second[w] += mixed - (1.0 - added) * stay;
                first_here[w] += added * side * paid - paid_first * (paid * tilt);
                second_here[w] -= (1.0 - added) * side * paid + mixed * tilt;
                to_first[k][w] = (paid_first * paid * tilt - added * side * paid) * by;
                to_second[k][w] = ((1.0 - added) * side * paid + mixed * tilt - earned) * by;
            }
        }
        double diagonal[W];
        FOR_OPTIONS {
            const double a = larger(first[w], 1e-300), b = larger(second[w], 1e-300);
            right[i][w] = log_exact(b) - log_exact(a);
            first[w] = 1.0 / a;
            second[w] = 1.0 / b;
            diagonal[w] = first_here[w] / a - second_here[w] / b;
        }
        for (int j = 0; j < N; ++j) FOR_OPTIONS matrix[i][j][w] = 0.0;
        MCVAR_NOT_UNROLLED
        for (int k = 0; k < L; ++k) {
            double change[W];
            FOR_OPTIONS change[w] = to_first[k][w] * first[w] - to_second[k][w] * second[w];
            for (int j = 0; j < N; ++j) FOR_OPTIONS matrix[i][j][w] += change[w] * grid.inside[i][k][j];
        }
        for (int j = 0; j < N; ++j) FOR_OPTIONS {
            const double entry = matrix[i][j][w] * put.distance[j][w] + (i == j ? diagonal[w] : 0.0);
            matrix[i][j][w] = -side * entry;
        }
    }
    MCVAR_NOT_UNROLLED
    for (int k = 0; k < N; ++k)  // elimination without pivots: what is later hardly acts on what is earlier
        MCVAR_NOT_UNROLLED
        for (int i = k + 1; i < N; ++i) {
            double factor[W];
            FOR_OPTIONS factor[w] = matrix[i][k][w] / (matrix[k][k][w] == 0.0 ? 1.0 : matrix[k][k][w]);
            for (int j = k + 1; j < N; ++j) FOR_OPTIONS matrix[i][j][w] -= factor[w] * matrix[k][j][w];
            FOR_OPTIONS right[i][w] -= factor[w] * right[k][w];
        }
    FOR_OPTIONS put.moved[w] = 0.0;
    MCVAR_NOT_UNROLLED
    for (int k = N - 1; k >= 0; --k) {
        for (int j = k + 1; j < N; ++j) FOR_OPTIONS right[k][w] -= matrix[k][j][w] * right[j][w];
        FOR_OPTIONS {
            right[k][w] /= matrix[k][k][w] == 0.0 ? 1.0 : matrix[k][k][w];
            const double far = put.distance[k][w], size = size_of(right[k][w]);
            const double step = size < infinity() ? right[k][w] : 0.0;
            put.moved[w] = larger(put.moved[w], smaller(size_of(step), far) / far);
            put.distance[k][w] = larger(smaller(far + step, 2.0 * far), 0.5 * far);
        }
    }
}

// The curves of puts that are exercised early: below them (side 1) or above them (side -1).
template <class Scheme, int W>
MCVAR_CALLED void solve_boundary(PutCurves<Scheme, W>& put, double side, int steps) {
    const auto& grid = american_grid(Scheme{});
    FOR_OPTIONS {
        const bool late = side < 0.0 || put.kappa[w] > put.rho[w];
        put.start[w] = late ? log_exact(put.rho[w] / put.kappa[w]) : 0.0;
    }
    MCVAR_NOT_UNROLLED
    for (int i = 0; i < Scheme::NODES; ++i)
        FOR_OPTIONS put.distance[i][w] =
            boundary_guess(put.s[w], put.rho[w], put.kappa[w], put.start[w], grid.node.at[i], side);
    MCVAR_NOT_UNROLLED
    for (int step = 0; step < steps; ++step) boundary_step<Scheme, W>(put, side);
}

// The integral of the premium at z over the times `horizon` before expiry; s, rho and kappa are of the whole life.
template <class Scheme, int W>
MCVAR_CALLED void premium_integral(
    const PutCurves<Scheme, W>& put, double side, const double (&s)[W], const double (&rho)[W],
    const double (&kappa)[W], const double (&horizon)[W], const double (&z)[W], double (&out)[W]) {
    constexpr int N = Scheme::NODES;
    const auto& grid = american_grid(Scheme{});
    double growth[W];
    FOR_OPTIONS out[w] = 0.0, growth[w] = exp_(z[w]);
    MCVAR_NOT_UNROLLED
    for (int k = 0; k < Scheme::PREMIUM; ++k) {
        const double sine = grid.premium.sine[k], cosine = grid.premium.cosine[k], weight = grid.premium.weight[k];
        double square[W];
        FOR_OPTIONS square[w] = 0.0;
        for (int j = 0; j < N; ++j)
            FOR_OPTIONS square[w] += grid.ends[k][j] * (put.distance[j][w] * put.distance[j][w]);
        FOR_OPTIONS {
            const double last = put.distance[N - 1][w], least = AMERICAN_FLOOR * (last * last) * (cosine * cosine);
            const double log = put.start[w] - side * root(larger(square[w], least));
            const double time = 1.0 - horizon[w] + horizon[w] * (sine * sine), deviation = s[w] * root(time);
            const double shift = ((rho[w] - kappa[w]) * time - log) / deviation + 0.5 * deviation;
            const double d = z[w] / deviation + shift;
            const double strike = horizon[w] * rho[w] * exp_(-rho[w] * time) * weight;
            const double spot = horizon[w] * kappa[w] * exp_(-kappa[w] * time) * weight;
            out[w] += side * (strike * ndtr(deviation - d) - spot * growth[w] * ndtr(-d));
        }
    }
}

// A European put on strike 1 that expires at a part of the life.
MCVAR_FN double european_put(double s, double rho, double kappa, double z, double time) {
    const double deviation = s * root(time), ahead = z + (rho - kappa) * time, forward = exp_(ahead);
    const double discount = exp_(-rho * time), d = ahead / deviation + 0.5 * deviation;
    const double smooth = ndtr(deviation - d) - forward * ndtr(-d);
    return discount * (deviation > 0.0 && forward > 0.0 ? smooth : larger(1.0 - forward, 0.0));
}

// Early exercise premium of a put exercised between two boundaries (kappa < rho < 0), and where that is, if anywhere.
template <class Scheme>
MCVAR_CALLED double double_premium(double s, double rho, double kappa, double z, double& low, double& high) {
    constexpr int N = Scheme::NODES;
    PutCurves<Scheme, 1> upper, lower;
    double least = 0.0, most = 1.0, part[1] = {1.0};
    // Whether they are apart after the whole life, then where they meet; the last turn is at the part found.
    MCVAR_NOT_UNROLLED
    for (int turn = 0; turn < 16; ++turn) {
        if (turn == 15) part[0] = larger(least, 0x1p-14);
        upper.s[0] = lower.s[0] = s * root(part[0]);
        upper.rho[0] = lower.rho[0] = rho * part[0];
        upper.kappa[0] = lower.kappa[0] = kappa * part[0];
        solve_boundary(upper, 1.0, turn == 15 ? Scheme::STEPS : Scheme::STEPS + 3);
        solve_boundary(lower, -1.0, Scheme::STEPS + 3);
        bool apart = upper.moved[0] < 0.05 && lower.moved[0] < 0.05;
        for (int j = 0; j < N; ++j)
            apart = apart && upper.start[0] - upper.distance[j][0] > lower.start[0] + lower.distance[j][0];
        if (turn == 15) break;
        (apart ? least : most) = part[0];
        part[0] = 0.5 * (least + most);
        if (least == 1.0) turn = 14;
    }
    const double whole[1] = {s}, rate[1] = {rho}, yield[1] = {kappa}, at[1] = {z};
    double above[1], below[1];
    premium_integral(upper, 1.0, whole, rate, yield, part, at, above);
    premium_integral(lower, -1.0, whole, rate, yield, part, at, below);
    high = part[0] < 1.0 ? -infinity() : upper.start[0] - upper.distance[N - 1][0];
    low = part[0] < 1.0 ? -infinity() : lower.start[0] + lower.distance[N - 1][0];
    return above[0] + below[0];
}

// W American options: values in `out`. NaN for NaN only; conventions and limits as in mcvar/pricing/american.py.
template <class Scheme, int W>
MCVAR_FN void american_exact(const double* spot, const double* strike, const double* volatility, const double* rate,
                             const double* carry, const double* years, const double* sign, double* out) {
    constexpr int N = Scheme::NODES;
    PutCurves<Scheme, W> put;
    double s[W], rho[W], kappa[W], z[W], whole[W], early[W], low[W], high[W];
    FOR_OPTIONS {
        const bool call = sign[w] > 0.0, alive = spot[w] > 1e-100 * strike[w];
        const double price = alive ? spot[w] : strike[w];
        const double cost = rate[w] * years[w], gain = (rate[w] - carry[w]) * years[w];
        z[w] = log_exact(call ? strike[w] / price : price / strike[w]);
        s[w] = volatility[w] * root(years[w]);
        rho[w] = call ? gain : cost;
        kappa[w] = call ? cost : gain;
        whole[w] = 1.0;
        const bool single = s[w] >= 1e-4 && (rho[w] > 0.0 || (rho[w] == 0.0 && kappa[w] < 0.0));
        put.s[w] = single ? s[w] : 0.2;  // others do the same work in vain
        put.rho[w] = single ? rho[w] : 0.05;
        put.kappa[w] = single ? kappa[w] : 0.0;
    }
    solve_boundary(put, 1.0, Scheme::STEPS);
    premium_integral(put, 1.0, put.s, put.rho, put.kappa, whole, z, early);
    FOR_OPTIONS {
        const bool single = s[w] >= 1e-4 && (rho[w] > 0.0 || (rho[w] == 0.0 && kappa[w] < 0.0));
        early[w] = single ? early[w] : 0.0;
        low[w] = -infinity();
        high[w] = single ? put.start[w] - put.distance[N - 1][w] : -infinity();
    }
    for (int w = 0; w < W; ++w)
        if (s[w] >= 1e-4 && rho[w] < 0.0 && kappa[w] < rho[w])
            early[w] = double_premium<Scheme>(s[w], rho[w], kappa[w], z[w], low[w], high[w]);
    FOR_OPTIONS {
        const double now = 1.0 - exp_(z[w]), plain = european_put(s[w], rho[w], kappa[w], z[w], 1.0);
        const double bounded = smaller(plain + early[w], larger(1.0, exp_(-rho[w])));
        const double held = z[w] <= high[w] && z[w] >= low[w] ? now : bounded;
        // the best European put of a shorter life, where the future is almost known
        const double ratio = kappa[w] / rho[w];
        const bool proper = ratio > 0.0 && ratio < infinity() && kappa[w] != rho[w];
        const double best = proper ? (z[w] + log_exact(proper ? ratio : 1.0)) / (kappa[w] - rho[w]) : 0.0;
        const double time = best < 0.0 ? 0.0 : best > 1.0 ? 1.0 : best;
        const double value = larger(larger(larger(held, larger(plain, now)), plain),
                                    european_put(s[w], rho[w], kappa[w], z[w], time));
        const bool call = sign[w] > 0.0, alive = spot[w] > 1e-100 * strike[w];
        const double cost = rate[w] * years[w], gain = (rate[w] - carry[w]) * years[w];
        const double dead = larger(strike[w] - spot[w], strike[w] * exp_(-cost) - spot[w] * exp_(-gain));
        const double living = larger((call ? spot[w] : strike[w]) * value, sign[w] * (spot[w] - strike[w]));
        const double sum = spot[w] + strike[w] + volatility[w] + rate[w] + carry[w] + years[w] + sign[w];
        out[w] = sum != sum ? sum : alive ? living : call ? 0.0 : dead;
    }
}

template <class Scheme>
MCVAR_FN double american_exact(
    double spot, double strike, double volatility, double rate, double carry, double years, double sign) {
    double value;
    american_exact<Scheme, 1>(&spot, &strike, &volatility, &rate, &carry, &years, &sign, &value);
    return value;
}

}  // namespace mcvar
