"""A law of every shock model on the market of every factor, for the engines that must agree on them."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
from numpy.typing import NDArray

from mcvar.market import Market
from mcvar.models import (
    Drift,
    FilteredHistorical,
    Gaussian,
    GjrGarch,
    Heston,
    HestonParameters,
    Law,
    Merton,
    ShockModel,
    StudentT,
)
from mcvar.models.jumps import JumpRates
from mcvar.models.student_t import Group
from mcvar.models.volatility import Garch
from mcvar.watched import Statistic, Watched

Floats = NDArray[np.float64]
SIZE = 9  # factors of that market
STEPS = {
    "gaussian": 1, "gaussian_10": 10, "student_t": 1, "grouped_t": 3, "independent_t": 1, "copula": 2, "merton": 4,
    "heston": 10, "heston_martingale": 10, "bates": 10, "garch": 10, "garch_t": 7, "filtered": 10,
    "filtered_blocks": 10,
}  # fmt: skip


def jumps(size: int = SIZE) -> JumpRates:
    f = np.arange(size)
    correlation = np.full((size, size), 0.1)
    np.fill_diagonal(correlation, 1.0)
    unit = np.where(f == 4, 5.0, np.where(f > 6, 0.002, 0.05))
    return JumpRates(
        12.0, -0.2 * unit, 0.3 * unit, correlation, np.where(f == 2, 0.0, 20.0 + f), 0.2 * unit, 0.3 * unit
    )


def garch(market: Market) -> Garch:
    daily = market.volatility**2 / 252
    f = np.arange(len(daily))
    return Garch(0.02 * daily, 0.03 + 0.002 * f, np.where(f < 4, 0.08, 0.0), np.full(len(daily), 0.88), 1.5 * daily)


HESTON = {
    "XYZ": HestonParameters(kappa=3.0, theta=0.16, sigma=0.9, rho=-0.7, v0=0.25),
    "BTC": HestonParameters(kappa=1.0, theta=0.4, sigma=2.5, rho=0.2, v0=0.01),  # mostly in the exponential branch
}


def every_model(market: Market) -> dict[str, ShockModel]:
    bates = {name: replace(p, intensity=40.0, mean=-0.03, deviation=0.05) for name, p in HESTON.items()}
    sample = np.random.default_rng(3).standard_t(4, 300)
    residuals = np.random.default_rng(5).standard_normal((400, SIZE))
    groups = (Group("vols", ("XYZ-V1", "XYZ-V2"), 3.0), Group("coins", ("BTC",), 2.5))
    dynamic = garch(market)
    return {
        "gaussian": Gaussian(),
        "gaussian_10": Gaussian(Drift.risk_neutral),
        "student_t": StudentT(dof=4),
        "grouped_t": StudentT(dof=5, groups=groups),
        "independent_t": StudentT(dof=5, groups=groups, independent=True),
        "copula": StudentT(dof=4, marginals=[3.0, None, sample, 2.2, 6.0, sample, 50.0, None, 4.0]),
        "merton": Merton(jumps(), Drift.martingale),
        "heston": Heston(HESTON, variance_correlation=0.3),
        "heston_martingale": Heston(HESTON, Drift.risk_neutral),
        "bates": Heston(bates, Drift.martingale),
        "garch": GjrGarch(dynamic, drift=Drift.martingale),
        "garch_t": GjrGarch(dynamic, dof=(5.0, None, 3.0, 8.0, 4.0, 4.0, 4.0, None, 10.0), copula_dof=6.0),
        "filtered": FilteredHistorical(residuals, dynamic),
        "filtered_blocks": FilteredHistorical(residuals, dynamic, 300, 4, np.arange(20, 60), 0.25),
    }


def every_law(market: Market, name: str, years: float) -> Law:
    market = replace(market, steps_per_year=252.0)
    return every_model(market)[name].law(market, years, np.full(SIZE, 0.03), STEPS[name])


def everything_watched(name: str) -> list[Watched]:
    """Each statistic of a price, a volatility, a simple and an absolute factor, to the end and to a step on the way."""
    steps = sorted({max(1, STEPS[name] // 2), STEPS[name]})
    parts = [Watched(0, s, steps[-1], first=steps[0], every=2) for s in Statistic if steps[0] > 1]
    return [*(Watched(f, s, step) for f in (4, 0, 3, 5) for s in Statistic for step in steps), *parts]
