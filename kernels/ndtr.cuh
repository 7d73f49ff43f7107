// The normal distribution function, to a few units in the last place of either tail.
//
// Why: barriers multiply a small probability by a large power of the barrier over the price, so the tail must be right
// relative to itself, which that of Black's formula (black.cuh) is not. Three rational functions without a branch: of
// Cephes (S. L. Moshier, "Methods and Programs for Mathematical Functions", 1989), as in scipy.special.ndtr.

#pragma once
#include "elementary.cuh"

namespace mcvar {

// erfc(z) exp(z^2) for 1 <= z < 8 and for z >= 8; erf(z) / z in z^2 for z < 1. Highest power first.
MCVAR_FN double erfc_middle(double z) {
    double p = 2.46196981473530512524e-10;
    p = fma_(p, z, 5.64189564831068821977e-1);
    p = fma_(p, z, 7.46321056442269912687);
    p = fma_(p, z, 4.86371970985681366614e1);
    p = fma_(p, z, 1.96520832956077098242e2);
    p = fma_(p, z, 5.26445194995477358631e2);
    p = fma_(p, z, 9.34528527171957607540e2);
    p = fma_(p, z, 1.02755188689515710272e3);
    p = fma_(p, z, 5.57535335369399327526e2);
    double q = z + 1.32281951154744992508e1;
    q = fma_(q, z, 8.67072140885989742329e1);
    q = fma_(q, z, 3.54937778887819891062e2);
    q = fma_(q, z, 9.75708501743205489753e2);
    q = fma_(q, z, 1.82390916687909736289e3);
    q = fma_(q, z, 2.24633760818710981792e3);
    q = fma_(q, z, 1.65666309194161350182e3);
    q = fma_(q, z, 5.57535340817727675546e2);
    return p / q;
}

MCVAR_FN double erfc_far(double z) {
    double p = 5.64189583547755073984e-1;
    p = fma_(p, z, 1.27536670759978104416);
    p = fma_(p, z, 5.01905042251180477414);
    p = fma_(p, z, 6.16021097993053585195);
    p = fma_(p, z, 7.40974269950448939160);
    p = fma_(p, z, 2.97886665372100240670);
    double q = z + 2.26052863220117276590;
    q = fma_(q, z, 9.39603524938001434673);
    q = fma_(q, z, 1.20489539808096656605e1);
    q = fma_(q, z, 1.70814450747565897222e1);
    q = fma_(q, z, 9.60896809063285878198);
    q = fma_(q, z, 3.36907645100081516050);
    return p / q;
}

MCVAR_FN double erf_near(double square) {
    double p = 9.60497373987051638749;
    p = fma_(p, square, 9.00260197203842689217e1);
    p = fma_(p, square, 2.23200534594684319226e3);
    p = fma_(p, square, 7.00332514112805075473e3);
    p = fma_(p, square, 5.55923013010394962768e4);
    double q = square + 3.35617141647503099647e1;
    q = fma_(q, square, 5.21357949780152679795e2);
    q = fma_(q, square, 4.59432382970980127987e3);
    q = fma_(q, square, 2.26290000613890934246e4);
    q = fma_(q, square, 4.92673942608635921086e4);
    return p / q;
}

// Phi(x); 0 and 1 where it is below the least double and beyond, NaN for NaN.
MCVAR_FN double ndtr(double x) {
    const double y = x < -53.0 ? -53.0 : x > 53.0 ? 53.0 : x;  // a NaN stays one
    const double z = (y < 0.0 ? -y : y) * 0.70710678118654752440;
    const double near = 0.5 * z * erf_near(z * z), ratio = z < 8.0 ? erfc_middle(z) : erfc_far(z);
    const double tail = z < 1.0 ? 0.5 - near : 0.5 * exp_(-0.5 * y * y) * ratio;
    return y > 0.0 ? (z < 1.0 ? 0.5 + near : 1.0 - tail) : tail;
}

}  // namespace mcvar
