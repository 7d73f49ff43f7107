"""Jump diffusion: normal moves, and jumps common to all factors or of one alone."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from mcvar.correlation import nearest_correlation
from mcvar.errors import SettingError
from mcvar.market import Market
from mcvar.models.common import Drift, mean_move
from mcvar.models.innovations import Correlated
from mcvar.models.jumps import JumpRates
from mcvar.models.law import Law

Floats = NDArray[np.float64]


@dataclass(frozen=True)
class Merton:
    """Compound-Poisson jumps on top of a diffusion; together they have the market's covariance.

    R. C. Merton, "Option pricing when underlying stock returns are discontinuous", Journal of Financial
    Economics 3 (1976), for several factors. What jumps do not explain of the covariance is the diffusion's.

    Parameters
    ----------
    jumps : JumpRates
    drift : Drift
    """

    jumps: JumpRates
    drift: Drift = Drift.zero

    def law(self, market: Market, years: float, carry: Floats, steps: int = 1) -> Law:
        """See `ShockModel.law`.

        Raises
        ------
        SettingError
            Jumps with more variance than the market.
        """
        dt = years / steps
        names = market.factors.name
        jumps = self.jumps.over(dt, names)
        scale = market.volatility * np.sqrt(dt)
        rest = market.correlation * np.outer(scale, scale) - jumps.covariance
        variance = np.diag(rest)
        bad = [f for f in range(len(names)) if variance[f] < -1e-12 * max(scale[f] ** 2, 1e-300)]
        if bad:
            raise SettingError(
                "\n".join(
                    f"model=merton: the jumps of {names[f]} have an annual deviation of "
                    f"{np.sqrt(jumps.variance[f] / dt):.4g}, more than its volatility {market.volatility[f]:.4g}: "
                    "lower the intensity or the sizes"
                    for f in bad
                )
            )
        deviation = np.sqrt(np.maximum(variance, 0.0))
        unit, total = np.where(deviation > 0, deviation, 1.0), np.where(scale > 0, scale, 1.0)
        correlation = rest / np.outer(unit, unit)
        np.fill_diagonal(correlation, 1.0)
        notes = []
        if float(np.linalg.eigvalsh(correlation)[0]) < -1e-10:
            near = nearest_correlation(correlation)
            change = np.abs((near - correlation) * np.outer(deviation, deviation) / np.outer(total, total)).max()
            correlation = near
            notes.append(
                "merton: jumps are more alike, or less, than the market's moves are, so no diffusion completes its "
                "covariance: with the nearest one (Higham 2002) correlations differ from the market's by up to "
                f"{change:.2g}"
            )
        mean = mean_move(market, dt, carry, self.drift, 0.5 * deviation**2 + jumps.cumulant - jumps.mean) - jumps.mean
        return Law(Correlated.of(correlation), np.tile(mean, (steps, 1)), deviation, jumps=jumps, notes=tuple(notes))
