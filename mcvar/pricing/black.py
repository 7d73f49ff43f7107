"""European options: Black's formula on the forward (F. Black, "The pricing of commodity contracts", 1976).

With F the forward, K the strike, s = sigma sqrt(tau) and sign = +1 for calls, -1 for puts,

    d1 = ln(F/K)/s + s/2,  d2 = d1 - s,  price = sign (F N(sign d1) - K N(sign d2)),

undiscounted. At s = 0 and for F <= 0 (prices that move by absolute shocks) the price is the
intrinsic value max(sign (F - K), 0), which is the limit of the formula.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray
from scipy.optimize import elementwise
from scipy.special import ndtr

Floats = NDArray[np.float64]


def black76(forward: Floats, strike: Floats, deviation: Floats, sign: Floats) -> Floats:
    """Undiscounted price of a European option; all arguments broadcast.

    Parameters
    ----------
    forward, strike : ndarray
        Same unit; strike > 0.
    deviation : ndarray
        sigma sqrt(tau), dimensionless, >= 0.
    sign : ndarray
        +1 call, -1 put.

    Examples
    --------
    >>> round(float(black76(np.float64(100), np.float64(100), np.float64(0.2), np.float64(1))), 6)
    7.965567
    """
    with np.errstate(divide="ignore", invalid="ignore", over="ignore"):
        moneyness = np.log(np.maximum(forward, 0.0) / strike) / deviation
    d1, d2 = moneyness + 0.5 * deviation, moneyness - 0.5 * deviation
    live = (deviation > 0) & (forward > 0)
    smooth = sign * (forward * ndtr(sign * d1) - strike * ndtr(sign * d2))
    return np.where(live, smooth, np.maximum(sign * (forward - strike), 0.0))


def implied_deviation(price: Floats, forward: Floats, strike: Floats, sign: Floats) -> Floats:
    """The deviation sigma sqrt(tau) at which `black76` gives `price`; arguments broadcast.

    The out-of-the-money side of put-call parity is inverted, which loses no digits.

    Returns
    -------
    ndarray
        NaN where the price is outside the arbitrage bounds
        max(sign (F - K), 0) <= price < F (call) or K (put).
    """
    price, forward, strike, sign = np.broadcast_arrays(price, forward, strike, sign)
    out = np.where(forward >= strike, -1.0, 1.0)  # the side that is out of the money
    target = price - np.where(sign == out, 0.0, sign * (forward - strike))
    bound = np.where(out > 0, forward, strike)
    valid = (target >= 0) & (target < bound)

    def miss(deviation: Floats, f: Floats, k: Floats, s: Floats, p: Floats) -> Floats:
        return black76(f, k, deviation, s) - p

    found = elementwise.find_root(
        miss, (0.0, 40.0), args=(forward, strike, out, np.where(valid, target, 0.0)), tolerances={"xatol": 1e-15}
    )
    return np.where(valid, np.where(target == 0, 0.0, found.x), np.nan)


@dataclass(frozen=True)
class Europeans:
    """G options on one underlying with one expiry, seen from one time; ready for many scenarios.

    In scenario n the forward of option i is `forward[i] * g[n]` and its volatility
    `volatility[i] * v[n]`, so that both d1 and d2 are one small matrix product,

        sign d = [a, b, +-c] @ [ln g / v, 1 / v, v]:  a = sign / s, b = a ln(forward / K), c = sign s / 2.

    A call and a put of one strike and volatility share one formula, and put-call parity gives the
    second of them: call - put = (F - K) discount. The first U options are those that the U
    formulas value directly, out of the money where there is a choice.

    Parameters
    ----------
    order : ndarray [G]
        Where each option stood in the arguments of `at`.
    coefficients : ndarray [2 U, 3] or None
        Of the U formulas; None when nothing is left to happen: no time to expiry, or no volatility.
    first, second : ndarray [U, 1]
        formula = first P N(sign d1) - second Q N(sign d2), with P = g, Q = 1 (linear) or P = 1, Q = 1 / g (inverse).
    edge : ndarray [U, 1]
        ln(K / forward), where the intrinsic value starts.
    side : ndarray [U, 1]
        Sign of the formula.
    formula : ndarray [G - U]
        Which formula each of the other options takes, ascending.
    parity : ndarray [G - U, 2]
        What it adds to the formula: parity @ [P, Q].
    inverse : bool
    """

    order: NDArray[np.int64]
    coefficients: Floats | None
    first: Floats
    second: Floats
    edge: Floats
    side: Floats
    formula: NDArray[np.int64]
    parity: Floats
    inverse: bool

    @classmethod
    def at(
        cls,
        *,
        forward: Floats,
        strike: Floats,
        volatility: Floats,
        sign: Floats,
        years: float,
        scale: Floats,
        inverse: bool,
    ) -> Europeans:
        """Prepare options with `years` left to expiry.

        Parameters
        ----------
        forward : ndarray [G]
            At g = 1, > 0.
        strike, volatility, sign : ndarray [G]
        years : float
        scale : ndarray [G]
            Multiplier times discount factor.
        inverse : bool
            Pays max(+-(F - K), 0) / F coins instead of max(+-(F - K), 0).
        """
        terms = np.column_stack([strike, forward, volatility, scale])
        shared, formula = np.unique(terms, axis=0, return_inverse=True)
        formula = formula.reshape(-1)
        in_the_money = sign * (forward - strike) > 0
        by_formula = np.lexsort((in_the_money, formula))
        direct = by_formula[np.unique(formula[by_formula], return_index=True)[1]]  # [U], out of the money first
        rest = np.setdiff1d(np.arange(len(sign)), direct)
        rest = rest[np.argsort(formula[rest], kind="stable")]

        k, f, sigma, m = shared.T
        side = sign[direct]
        first, second = (m, m * k / f) if inverse else (m * f, m * k)
        deviation = sigma * np.sqrt(max(years, 0.0))
        coefficients = None
        if (deviation > 0).all():
            a = side / deviation
            b, c = a * np.log(f / k), 0.5 * side * deviation
            coefficients = np.concatenate([np.column_stack([a, b, c]), np.column_stack([a, b, -c])])
        parity = np.where(sign[rest] == side[formula[rest]], 0.0, sign[rest])
        return cls(
            order=np.concatenate([direct, rest]),
            coefficients=coefficients,
            first=(side * first)[:, None],
            second=(side * second)[:, None],
            edge=np.log(k / f)[:, None],
            side=side[:, None],
            formula=formula[rest],
            parity=np.column_stack([parity * first[formula[rest]], -parity * second[formula[rest]]]),
            inverse=inverse,
        )

    def value(self, log_g: Floats, g: Floats, v: Floats, discount: Floats | None, out: Floats) -> None:
        """Write the values in the settlement currency into `out` [G, N], in `order`.

        Parameters
        ----------
        log_g, g : ndarray [N]
            Growth of the forward; log_g is -inf where g <= 0.
        v : ndarray [N]
            Growth of the volatility.
        discount : ndarray [N] or None
            Growth of the discount factor.
        """
        count = len(self.first)
        if self.coefficients is None:
            n1 = (self.side * (log_g[None, :] - self.edge) > 0).astype(np.float64)
            n2 = n1.copy()
        else:
            both = self.coefficients @ np.stack([log_g / v, 1.0 / v, v])
            ndtr(both, out=both)
            n1, n2 = both[:count], both[count:]
        n1 *= self.first
        n2 *= self.second
        if self.inverse:
            n2 /= g
        else:
            n1 *= g
        np.subtract(n1, n2, out=out[:count])
        if len(self.formula):
            rest = out[count:]
            np.take(out[:count], self.formula, axis=0, out=rest, mode="clip")  # clip: without it `out` is copied
            one = np.ones_like(g)
            rest += self.parity @ np.stack([one, 1.0 / g] if self.inverse else [g, one])
        if discount is not None:
            out *= discount
