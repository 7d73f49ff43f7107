// Normals and mixing variables that a sampling spreads: of scrambled Sobol points, or of strata of the leading component.
//
// Why: the scramblings are folded into the direction numbers (mcvar/sampling/directions.py), so that a point is an exclusive
// or of a few words, and any thread makes any of them. The paths of principal components are Brownian bridges
// (mcvar/sampling/bridge.py); each step reads a few levels of them. Same order of operations and same bits as in numpy.

#pragma once
#include "law.cuh"

namespace mcvar {

#if defined(MCVAR_DEVICE)
#define FOR_ALL(count) _Pragma("unroll") for (int n = 0; n < count; ++n)
#else
#define FOR_ALL(count) _Pragma("omp simd") for (int n = 0; n < count; ++n)
#endif

// N scenarios, and which point of which scrambling each is.
template <int N>
struct Points {
    uint64_t scenario[N], which[N], point[N];
    uint64_t most;  // all bits of the points
};

template <int N>
MCVAR_FN Points<N> points_of(const Law &l, const uint64_t (&scenario)[N]) {
    Points<N> p;
    const uint64_t size = l.scheme == SOBOL ? static_cast<uint64_t>(l.scramblings) : 1;
    p.most = 0;
    for (int n = 0; n < N; ++n) {
        p.scenario[n] = scenario[n];
        p.point[n] = scenario[n] / size;
        p.which[n] = scenario[n] - p.point[n] * size;
        p.most |= p.point[n];
    }
    return p;
}

// Dimension `dimension` of N scenarios.
template <int N>
MCVAR_FN void sobol_uniforms(const Law &l, const Points<N> &p, int64_t dimension, double (&u)[N]) {
    const uint64_t *direction = l.direction + dimension * l.bits * l.scramblings, *shift = l.shift + dimension * l.scramblings;
    uint64_t k[N];
    FOR_ALL(N) { k[n] = shift[p.which[n]]; }
    for (int64_t bit = 0; bit < l.bits && p.most >> bit != 0; ++bit) {
        const uint64_t *number = direction + bit * l.scramblings;
        FOR_ALL(N) { k[n] ^= number[p.which[n]] & (0 - (p.point[n] >> bit & 1)); }
    }
    FOR_ALL(N) { u[n] = unit(k[n]); }
}

// Normals of component `component` in a step.
template <int N>
MCVAR_FN void sobol_normals(const Law &l, const Points<N> &p, int64_t step, int64_t component, double (&z)[N]) {
    double u[N];
    FOR_ALL(N) { z[n] = 0.0; }
    MCVAR_NOT_UNROLLED
    for (int64_t i = l.bridge_begin[step]; i < l.bridge_begin[step + 1]; ++i) {
        const Part part = l.bridge[i];
        sobol_uniforms(l, p, part.level * (l.mixed + l.components) + l.mixed + component, u);
        FOR_ALL(N) { z[n] = add(z[n], mul(part.weight, inverse_normal(u[n]))); }
    }
}

// Draw `draw` of the mixing stream in a step.
MCVAR_FN double sobol_mixing(const Law &l, uint64_t scenario, int64_t step, int64_t draw) {
    const uint64_t one[1] = {scenario};
    double u[1];
    sobol_uniforms(l, points_of(l, one), l.place[step] * (l.mixed + l.components) + draw, u);
    return u[0];
}

// Normals of the leading component in a step: those of its bridge, whose end is stratified.
template <int N>
MCVAR_FN void leading_normals(const Law &l, const Points<N> &p, int64_t step, double (&z)[N]) {
    const uint32_t k0 = static_cast<uint32_t>(l.seed), k1 = static_cast<uint32_t>(l.seed >> 32);
    FOR_ALL(N) { z[n] = 0.0; }
    MCVAR_NOT_UNROLLED
    for (int64_t i = l.bridge_begin[step]; i < l.bridge_begin[step + 1]; ++i) {
        const Part part = l.bridge[i];
        const int digits = part.level == 0 ? static_cast<int>(l.strata_bits) : 0;
        const uint32_t lane = static_cast<uint32_t>(NORMALS) << 24 | static_cast<uint32_t>(part.level);
        FOR_ALL(N) {
            const uint64_t scenario = p.scenario[n], stratum = scenario & ((1ull << digits) - 1);
            const Words w = philox(static_cast<uint32_t>(scenario), static_cast<uint32_t>(scenario >> 32), 0, lane, k0, k1);
            const uint64_t k = stratum << (52 - digits) | word_of(w.w0, w.w1) >> digits;
            z[n] = add(z[n], mul(part.weight, inverse_normal(unit(k))));
        }
    }
}

// The pair of drivers `pair` in a step, one of the first `sampled`: of the factors' principal components.
template <int N>
MCVAR_FN void sampled_normals(const Law &l, const Points<N> &p, int64_t step, int64_t pair, double (&even)[N], double (&odd)[N]) {
    if (l.scheme == SOBOL) {
        sobol_normals(l, p, step, 2 * pair, even);
        if (2 * pair + 1 < l.components) {
            sobol_normals(l, p, step, 2 * pair + 1, odd);
        } else {
            FOR_ALL(N) { odd[n] = 0.0; }  // it fills the pair, and nothing reads it
        }
        return;
    }
    leading_normals(l, p, step, even);
    const uint32_t lane = static_cast<uint32_t>(NORMALS) << 24 | static_cast<uint32_t>(step);
    FOR_ALL(N) {
        double first;
        normals(l.seed, p.scenario[n], 0, lane, first, odd[n]);
    }
}

}  // namespace mcvar
