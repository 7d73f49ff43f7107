// American options from a price table: the early exercise premium by cubic B-splines, added to Black's formula.
//
// Why: an exact solution costs thousands of operations, and a million scenarios of one underlying and expiry differ in
// two numbers, moneyness and volatility. mcvar/pricing/american_table.py builds the tables, and has the coordinates.

#pragma once
#include "black.cuh"
#include "plan.cuh"

namespace mcvar {

constexpr int64_t ACROSS = 72, ALONG = 96;  // nodes in the logarithm of the deviation, and away from the boundary
constexpr double TABLE_SCALE = 1.5, TABLE_END = 1e3;  // a z beyond is no price

struct Splines {
    double a, b, c, d;
};

// Uniform cubic B-splines at t in [0, 1] between the second and the third of four coefficients.
MCVAR_FN Splines splines(double t) {
    const double one = 1.0 - t, cube = t * t * t, other = one * one * one;
    return {other / 6.0, (3.0 * cube - 6.0 * t * t + 4.0) / 6.0, (3.0 * other - 6.0 * one * one + 4.0) / 6.0, cube / 6.0};
}

// Four coefficients from place `at` on. Written so that compilers see fixed addresses with one varying offset: gathers.
MCVAR_FN double along_row(const double *row, int64_t at, const Splines &along) {
    return along.a * row[at] + along.b * (row + 1)[at] + along.c * (row + 2)[at] + along.d * (row + 3)[at];
}

// A put in units of its strike at z = ln(S/K); s the deviation, log_s its logarithm, growth = S/K.
MCVAR_FN double table_put(const double *spline, const Table &t, double z, double growth, double s, double log_s) {
    const double *edge = spline + t.at, *rows = edge + (ACROSS + 2);
    const double place = (log_s - t.first) * t.inverse_step, last = static_cast<double>(ACROSS - 1);
    const double w = place > 0.0 ? (place > last ? last : place) : 0.0;  // 0 for NaN: an index must be one
    const double inside = s > t.least ? (s > t.most ? t.most : s) : t.least;
    const int64_t whole = static_cast<int64_t>(w), left = whole < ACROSS - 2 ? whole : ACROSS - 2;
    const Splines across = splines(w - static_cast<double>(left));
    const double boundary = across.a * edge[left] + across.b * (edge + 1)[left] + across.c * (edge + 2)[left] + across.d * (edge + 3)[left];
    const double gap = z - boundary, y = gap > 0.0 ? (gap < TABLE_END ? gap : TABLE_END) : 0.0;
    const double x = y / (y + TABLE_SCALE * inside) * static_cast<double>(ALONG - 1);
    const int64_t floor = static_cast<int64_t>(x), below = floor < ALONG - 2 ? floor : ALONG - 2;
    const Splines along = splines(x - static_cast<double>(below));
    const int64_t at = left * (ALONG + 2) + below;
    const double early = across.a * along_row(rows, at, along) + across.b * along_row(rows + (ALONG + 2), at, along) +
                         across.c * along_row(rows + 2 * (ALONG + 2), at, along) + across.d * along_row(rows + 3 * (ALONG + 2), at, along);
    const double forward = growth * t.growth, e = D_SCALE * ((z + t.drift) / s), half = 0.5 * D_SCALE * s;
    const double plain = t.discount * (1.0 - forward + black(forward, 1.0, e + half, e - half));
    const double now = 1.0 - growth, held = plain + (early > 0.0 ? early : 0.0);
    return gap <= 0.0 || now > held ? now : held;
}

}  // namespace mcvar
