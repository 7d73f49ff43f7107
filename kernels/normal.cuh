// Standard normals by inversion: AS 241 (PPND16) with a logarithm that is the same on every machine.
//
// Why: the bits of a draw must not depend on the engine. Each operation is rounded once, in the order of
// mcvar/philox.py. Free of branches, so that host compilers vectorise it and GPU threads do not diverge.
// Papers: Wichura, Applied Statistics 37 (1988); the logarithm is fdlibm's e_log.c.

#pragma once
#include "philox.cuh"

namespace mcvar {

// Two polynomials of degree 7 by Horner's rule, then factor * top / bottom; coefficients in ascending powers.
MCVAR_FN double ratio7(const double (&top)[8], const double (&bottom)[8], double r, double factor) {
    double t = mul(top[7], r), b = mul(bottom[7], r);
    for (int i = 6; i > 0; --i) {
        t = mul(add(t, top[i]), r);
        b = mul(add(b, bottom[i]), r);
    }
    return div(mul(add(t, top[0]), factor), add(b, bottom[0]));
}

// Natural logarithm of a normal positive double, reduced to [sqrt(2)/2, sqrt(2)) by its high word.
MCVAR_FN double log_exact(double x) {
    const int64_t bits = bits_of(x);
    int64_t high = (bits >> 32) + (0x3FF00000 - 0x3FE6A09E);
    const double k = static_cast<double>((high >> 20) - 0x3FF);
    high = (high & 0x000FFFFF) + 0x3FE6A09E;
    const double f = sub(from_bits(high << 32 | (bits & 0xFFFFFFFFll)), 1.0);
    const double half_square = mul(mul(0.5, f), f);
    const double s = div(f, add(2.0, f));
    const double z = mul(s, s), w = mul(z, z);
    const double odd = mul(
        w, add(3.999999999940941908e-01, mul(w, add(2.222219843214978396e-01, mul(w, 1.531383769920937332e-01)))));
    const double even = mul(
        z, add(6.666666666666735130e-01,
               mul(w, add(2.857142874366239149e-01,
                          mul(w, add(1.818357216161805012e-01, mul(w, 1.479819860510658591e-01)))))));
    const double rest = add(even, odd);
    const double low = mul(k, 1.90821492927058770002e-10), ln2 = mul(k, 6.93147180369123816490e-01);
    return add(add(sub(add(mul(s, add(half_square, rest)), low), half_square), f), ln2);
}

// Phi^-1(u), u in (0, 1). Central, middle and far region are all computed and one is chosen.
MCVAR_FN double inverse_normal(double u) {
    const double a[8] = {  // central
        3.3871328727963665, 133.14166789178438, 1971.5909503065513, 13731.69376550946,
        45921.95393154987, 67265.7709270087, 33430.57558358813, 2509.0809287301227};
    const double b[8] = {  // central
        1.0, 42.31333070160091, 687.1870074920579, 5394.196021424751, 21213.794301586597,
        39307.89580009271, 28729.085735721943, 5226.495278852854};
    const double c[8] = {  // middle
        1.4234371107496835, 4.630337846156546, 5.769497221460691, 3.6478483247632045,
        1.2704582524523684, 0.2417807251774506, 0.022723844989269184, 0.0007745450142783414};
    const double d[8] = {  // middle
        1.0, 2.053191626637759, 1.6763848301838038, 0.6897673349851, 0.14810397642748008,
        0.015198666563616457, 0.0005475938084995345, 1.0507500716444169e-09};
    const double e[8] = {  // far
        6.657904643501103, 5.463784911164114, 1.7848265399172913, 0.29656057182850487,
        0.026532189526576124, 0.0012426609473880784, 2.7115555687434876e-05, 2.0103343992922881e-07};
    const double f[8] = {  // far
        1.0, 0.599832206555888, 0.1369298809227358, 0.014875361290850615, 0.0007868691311456133,
        1.8463183175100548e-05, 1.421511758316446e-07, 2.0442631033899397e-15};
    const double q = sub(u, 0.5);
    const double central = ratio7(a, b, sub(0.180625, mul(q, q)), q);
    const bool negative = u < 0.5;
    const double r = root(-log_exact(negative ? u : sub(1.0, u)));
    const double middle = ratio7(c, d, sub(r, 1.6), 1.0), far = ratio7(e, f, sub(r, 5.0), 1.0);
    const double tail = r > 5.0 ? far : middle;
    const double size = q < 0.0 ? -q : q;
    return size > 0.425 ? (negative ? -tail : tail) : central;
}

// Draws 2 block and 2 block + 1 of a scenario: (stream, step) in the last counter word.
MCVAR_FN void normals(
    uint64_t seed, uint64_t scenario, uint32_t block, uint32_t lane, double& first, double& second) {
    const Words w = philox(static_cast<uint32_t>(scenario), static_cast<uint32_t>(scenario >> 32), block, lane,
                           static_cast<uint32_t>(seed), static_cast<uint32_t>(seed >> 32));
    first = inverse_normal(uniform(w.w0, w.w1));
    second = inverse_normal(uniform(w.w2, w.w3));
}

}  // namespace mcvar
