// What every stage is told: the plan of a run, made once, and the work space of one stream of tiles.
//
// Why: one layout serves every build; mcvar/engines/layout.py writes it field by field in this order, all fields 8
// bytes wide. F factors, G groups, I instruments in group order, S segments, R rows, W windows. Index -1 stands for the constant 1.
//
// Columns are scenarios of a chunk [start, stop). Arrays [rows, columns] are stored tile by tile: TILE columns of all
// rows, then the next TILE columns. So what one block of threads or one core works on is one piece of memory.

#pragma once
#include "law.cuh"

namespace mcvar {

// What stands in memory at `from`, in as few reads as there can be: compilers do not put reads of single members together.
#if defined(__CUDA_ARCH__)
template <int BYTES>
struct WordOf;
template <>
struct WordOf<8> {
    using Type = int2;
};
template <>
struct WordOf<16> {
    using Type = int4;
};
template <class T>
MCVAR_FN T whole(const T *from) {
    constexpr int BYTES = sizeof(T) % 16 == 0 ? 16 : 8;
    using Word = typename WordOf<BYTES>::Type;
    T out;
#pragma unroll
    for (int i = 0; i < static_cast<int>(sizeof(T)) / BYTES; ++i)
        reinterpret_cast<Word *>(&out)[i] = reinterpret_cast<const Word *>(from)[i];
    return out;
}
#else
template <class T>
MCVAR_FN T whole(const T *from) {
    return *from;
}
#endif

#if defined(MCVAR_FLOAT)
using Index = int32_t;  // as wide as REAL, so that records have no holes
#else
using Index = int64_t;
#endif

enum Shock : int64_t { NO_PRICE = 0, LOG = 1, SIMPLE = 2, ABSOLUTE = 3 };
enum Family : int64_t { OPTION = 0, INTRINSIC = 1, FORWARD = 2, SPOT = 3, CASH = 4, DIGITAL = 5, BARRIER = 6, ASIAN = 7, AMERICAN = 8, AMERICAN_TABLE = 9 };
constexpr int FAMILIES = 5;  // of contracts, from DIGITAL on

// Instruments that share their scenario vectors. Of options, [begin, direct) have a formula and [direct, end) are twins.
struct Group {
    int64_t family, underlying, up, down, inverse, margined;
    int64_t row, path, variance;  // of the price that they are valued at; of a statistic, of a stochastic variance, or -1
    int64_t begin, direct, end;
    int64_t table;         // of American options
    int64_t pillar[4];     // first pillar of its volatility, carry and rate; end
    double left;           // years to expiry at the horizon
    double reach;          // years to the delivery of what they are on: `left` for options on the spot, 0 for contracts on it
    double growth;         // of contracts on a future: that of its price over the spot's; else 1
    double dividends, base;  // off the price at the horizon; today's price less its own
    double first, second;  // squared factor of the implied volatility = first + second v
};

struct Pillar {
    int64_t factor;
    double weight;
};

// value = (first g Phi(d1) - second Phi(d2)) Q, with g the growth of the forward and Q = 1, or 1 / g if inverse; d times D_SCALE
// (black.cuh) = a ln(g) / v + b / v +- c v (mcvar/pricing/black.py). Options without time or volatility: a = side, b = edge,
// c = first - second.
// `offset` is what the P&L counts from: today's value, or the premium if margined.
// `twins` options follow from it; they stand in the order of their formulas.
struct alignas(16) Formula {
    REAL a, b, c, first, second, offset;
    Index twins;
    REAL unused;
};

// An option whose value follows from a formula by put-call parity: (formula + p (g - 1) + q) Q.
struct alignas(16) Twin {
    REAL p, q, offset, unused;
};

// Spot, cash, forwards.
struct Linear {
    double multiplier, carry_factor, forward_0, cost, value_0;
};

// A contract: what all have, and the record of its family.
struct Contract {
    double strike, sign, volatility, rate, carry, multiplier, premium, value_0;
    double term[10];
};

// Premiums of American puts with one rate and yield to expiry: see american_table.cuh.
struct Table {
    double first, inverse_step, least, most;  // of ln s: first node, 1 / step; s of the first and of the last node
    double drift, growth, discount;           // of the forward to expiry: its logarithm's, its own; discounting
    int64_t at;                               // its first coefficient
};

struct alignas(2 * sizeof(REAL)) Position {
    REAL quantity;
    Index at;  // instrument; in chunks: byte offset of its values in the chunk
};

struct Plan {
    // sizes
    int64_t factors, groups, instruments, segments, rows;
    Law law;
    int64_t lines;  // rows of moves: F factors, S watched, U variances
    // factors
    const int64_t *shock;  // [F] Shock
    const double *level;   // [F]
    // instruments, by their place in group order
    const Group *group;  // [G]
    const Pillar *pillar;
    const Formula *formula;  // [I]
    const Twin *twin;        // [I]
    const Linear *linear;    // [I]
    const Contract *contract;  // of the instruments from `contracts_from` on
    int64_t contracts_from;
    const Table *table;
    const double *spline;  // coefficients
    int64_t family_begin[FAMILIES + 1];  // first group of each family of contracts; end
    // quantities. A segment is a part of a row, short enough for one thread to add up; without chunks its positions are
    // [segment_begin[s], segment_begin[s + 1]). With chunks of `chunk` instruments (see add_up.cu) they stand in runs:
    // of 28 segments, in one chunk; run_count has the number of each segment.
    int64_t chunk, chunks;
    const int64_t *segment_begin;  // [S + 1]
    const int64_t *run_begin;      // [S / 28, chunks]
    const uint8_t *run_count;      // [S / 28, chunks, 28]
    const Position *position;
    // rows: the segments that make them up, and their own currency
    const int64_t *part_begin;         // [R + 1]
    const int64_t *part;               // segments
    const int64_t *row_up, *row_down;  // [R]
    const double *base, *rate_0;       // [R]
};

struct Work {
    int64_t width;         // columns, a multiple of TILE
    const int64_t *index;  // scenario of each column; null: start, start + 1, ...
    State state;
    REAL *dv;      // [I, width]
    REAL *sums;    // [S, width]
    double *pnl;   // [R, width], row by row: for stage `total` only
    uint64_t *bad;  // least scenario x R + row whose P&L is not finite
    // The tail: of each row the losses between two bounds, in scenario order, and what lies above. A bound is a loss
    // and a scenario: of equal losses the earlier scenario is the worse.
    int64_t windows, capacity;
    const double *low, *high;          // [W, R]
    const int64_t *low_at, *high_at;   // [W, R]
    int64_t *kept;                     // [W, R]
    double *loss;                      // [W, R, capacity]
    int64_t *scenario;                 // [W, R, capacity]
    double *above;                     // [W, R, 3] how many; sum of loss - high, of its square
    const double *pivot;               // [R]
    double *power;                     // [R, 4] sums of powers of loss - pivot
    // parts of the tail, after it was sorted
    int64_t window, first, count;
    double *out;      // [rows, count] losses from number `first` on, or [rows, 2] sums over those worse than it
    int64_t *out_at;  // [rows, count] their scenarios
};

// Where row `row` of an array with `rows` rows has LANES columns from `column` on.
template <class T>
MCVAR_FN T *cell(T *array, int64_t rows, int64_t row, int64_t column) {
    return array + ((column / TILE) * rows + row) * TILE + column % TILE;
}

}  // namespace mcvar
