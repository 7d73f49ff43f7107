"""Stochastic variance of each underlying, with jumps of its price under Bates."""

from __future__ import annotations

from dataclasses import dataclass, replace

import numpy as np
from numpy.typing import NDArray

from mcvar.correlation import nearest_correlation
from mcvar.errors import SettingError
from mcvar.market import FactorKind, Market, Shock
from mcvar.models.common import Drift, mean_move
from mcvar.models.innovations import Correlated
from mcvar.models.jumps import no_jumps
from mcvar.models.law import Law
from mcvar.models.variance import Variance

Floats = NDArray[np.float64]


@dataclass(frozen=True)
class HestonParameters:
    """Of one underlying, annual: dv = kappa (theta - v) dt + sigma sqrt(v) dW, W of correlation rho with the price.

    `intensity`, `mean` and `deviation` are those of the log price's jumps (Bates); 0 under Heston.
    """

    kappa: float
    theta: float
    sigma: float
    rho: float
    v0: float
    intensity: float = 0.0
    mean: float = 0.0
    deviation: float = 0.0


@dataclass(frozen=True)
class Heston:
    """Prices with variances of their own; the variance moves the implied volatilities of its underlying.

    S. L. Heston, "A closed-form solution for options with stochastic volatility", Review of Financial Studies 6
    (1993); D. S. Bates, "Jumps and stochastic volatility", Review of Financial Studies 9 (1996). Simulated
    by Andersen's scheme (`mcvar.models.variance`). Innovations of the prices and of all other factors have the
    market's correlation; underlyings without parameters and other factors move as under `Gaussian`.

    Parameters
    ----------
    parameters : dict of underlying to HestonParameters
    drift : Drift
    variance_correlation : float, optional
        Between the innovations of any two variances; default: that of their first volatility factors where both have
        one, else what follows from the prices.
    """

    parameters: dict[str, HestonParameters]
    drift: Drift = Drift.zero
    variance_correlation: float | None = None

    def law(self, market: Market, years: float, carry: Floats, steps: int = 1) -> Law:
        """See `ShockModel.law`.

        Raises
        ------
        SettingError
            Parameters out of range, of unknown underlyings, for prices without log shocks: all at once.
        """
        dt = years / steps
        self._check(market)
        names = list(self.parameters)
        price = np.array([market.price_factor()[name] for name in names], dtype=np.int64)
        size = len(market.factors)
        rows = {
            name: np.array([getattr(p, name) for p in self.parameters.values()])
            for name in ("kappa", "theta", "sigma", "rho", "v0", "intensity", "mean", "deviation")
        }
        variance = Variance.of(
            correlation=self._own_correlation(market, names, rows["rho"]),
            price=price,
            **{name: rows[name] for name in ("kappa", "theta", "sigma", "rho")},
            start=rows["v0"],
            jump_variance=rows["intensity"] * (rows["mean"] ** 2 + rows["deviation"] ** 2),
            years=dt,
            martingale=self.drift is not Drift.zero,
        )
        if self.drift is not Drift.zero and (variance.exponent >= 1).any():
            bad = [name for name, e in zip(names, variance.exponent, strict=True) if e >= 1]
            raise SettingError(
                f"model.drift={self.drift.value} does not exist in steps of {dt:.4g} years for {', '.join(bad)}: "
                "the scheme's price has no mean there (rho or sigma is too large). Raise model.steps, or take "
                "drift=zero"
            )
        rates = no_jumps(size)
        own = np.zeros((3, size))
        own[:, price] = rows["intensity"], rows["mean"], rows["deviation"]
        jumps = replace(rates, own_intensity=own[0], own_mean=own[1], own_deviation=own[2]).over(
            dt, market.factors.name
        )

        deviation = market.volatility * np.sqrt(dt)
        replaced = [f for f in market.factors.of_kind(FactorKind.vol) if market.factors.underlying[f] in names]
        deviation[[*price, *replaced]] = 0.0
        mean = np.tile(
            mean_move(market, dt, carry, self.drift, 0.5 * deviation**2 + jumps.cumulant - jumps.mean) - jumps.mean,
            (steps, 1),
        )
        if self.drift is Drift.zero:
            mean[:, price] -= variance.mean_log(steps)
        return Law(
            Correlated.of(market.correlation), mean, deviation, variance=variance,
            jumps=jumps if rows["intensity"].any() else None, notes=self._notes(market, replaced),
        )  # fmt: skip

    def _check(self, market: Market) -> None:
        problems = []
        prices = market.price_factor()
        for name, p in self.parameters.items():
            where = f"model.parameters.{name}"
            if name not in prices:
                problems.append(f"{where}: no price factor has this underlying: there are {', '.join(prices)}")
            elif market.factors.shock[prices[name]] is not Shock.log:
                problems.append(
                    f"{where}: its price has shock={market.factors.shock[prices[name]].value}: Heston needs log"
                )
            for field in ("kappa", "theta", "sigma"):
                if not 0 < getattr(p, field) < np.inf:
                    problems.append(f"{where}.{field} is {getattr(p, field):g}: it must be positive and finite")
            for field in ("v0", "intensity", "deviation"):
                if not 0 <= getattr(p, field) < np.inf:
                    problems.append(f"{where}.{field} is {getattr(p, field):g}: it must be finite and not negative")
            if not -1 < p.rho < 1:
                problems.append(f"{where}.rho is {p.rho:g}: it must lie between -1 and 1")
        if not self.parameters:
            problems.append("model.parameters is empty: give an underlying's, or take model=gaussian")
        if self.variance_correlation is not None and not -1 <= self.variance_correlation <= 1:
            problems.append(f"model.variance_correlation is {self.variance_correlation:g}: it lies between -1 and 1")
        if problems:
            raise SettingError("\n".join(problems))

    def _own_correlation(self, market: Market, names: list[str], rho: Floats) -> Floats:
        """Correlation of the variances' own innovations b, with those of the variances rho y + sqrt(1 - rho^2) b."""
        size = len(names)
        price = [market.price_factor()[name] for name in names]
        between = market.correlation[np.ix_(price, price)]
        own = between.copy()  # as correlated as the prices are, unless something better is known
        first = [next(iter(market.factors.pillars(FactorKind.vol, name)), None) for name in names]
        for i in range(size):
            for j in range(i):
                wanted = self.variance_correlation
                f, g = first[i], first[j]
                if wanted is None and f is not None and g is not None:
                    wanted = float(market.correlation[f, g])
                if wanted is not None:
                    left = np.sqrt((1 - rho[i] ** 2) * (1 - rho[j] ** 2))
                    own[i, j] = own[j, i] = np.clip((wanted - rho[i] * rho[j] * between[i, j]) / left, -1.0, 1.0)
        return own if float(np.linalg.eigvalsh(own)[0]) > -1e-10 else nearest_correlation(own)

    def _notes(self, market: Market, replaced: list[int]) -> tuple[str, ...]:
        notes = []
        low = [name for name, p in self.parameters.items() if 2 * p.kappa * p.theta < p.sigma**2]
        if low:
            notes.append(
                f"heston: 2 kappa theta < sigma^2 (Feller) for {', '.join(low)}: the variance reaches zero, "
                "which the scheme allows"
            )
        if replaced:
            factors = ", ".join(market.factors.name[f] for f in replaced)
            notes.append(f"heston: the variance moves the implied volatilities, in place of the factors {factors}")
        return tuple(notes)
