"""Contracts on one price in simulated scenarios: what they are worth at the horizon, by an engine's P&L."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from mcvar import book
from mcvar.columns import Columns
from mcvar.engines import Device, Launcher, Reference
from mcvar.market import Market
from mcvar.models import Drift, Gaussian
from mcvar.pricing.settings import Pricing
from mcvar.scenarios import Scenarios, Simulated
from mcvar.watched import Statistic, Watched

Floats = NDArray[np.float64]
Row = dict[str, Any]
MakeMarket = Callable[..., Market]
STEP, STEPS = 2 / 365, 5
YEARS = STEP * STEPS
INSIDE = 3 * STEP  # an expiry on the way
SPOT, STRIKE, VOLATILITY = 100.0, 101.0, 0.5
AFTER = "2026-01-03"
COMMON: Row = {
    "underlying": "XYZ", "strike": STRIKE, "option_type": "call", "years": 0.25, "rate": 0.05, "carry": 0.02,
    "volatility": 0.4,
}  # fmt: skip
OPTION: Row = {**COMMON, "kind": "option"}
AMERICAN: Row = {**OPTION, "exercise": "american"}
BARRIER: Row = {**COMMON, "kind": "barrier"}
DIGITAL: Row = {**COMMON, "kind": "digital"}
TOUCH: Row = {key: value for key, value in DIGITAL.items() if key not in ("strike", "option_type")}
ASIAN: Row = {**COMMON, "kind": "asian", "average": "arithmetic", "averaging_start": AFTER}
PUT: Row = {"option_type": "put"}
UP, DOWN = 106.0, 95.0
LEVELS = {"up_in": UP, "up_out": UP, "down_in": DOWN, "down_out": DOWN}


@dataclass
class Worth:
    """Contracts in N scenarios of an engine."""

    market: Market
    owned: book.Book
    engine: Reference | Device
    scenarios: Scenarios

    @property
    def values(self) -> Floats:
        """Today's values and the P&L, [I, N]."""
        pnl = self.engine.pnl(0, self.scenarios.count)[: len(self.owned.instruments)]
        return np.asarray(self.engine.value_0[:, None] + pnl)

    def level(self, watched: Watched) -> Floats:
        """A price of the path, [N]."""
        row = len(self.market.factors) + self.engine.axes.watched.index(watched)
        return np.asarray(SPOT * np.exp(self.engine.moves(0, self.scenarios.count)[row]))


Price = Callable[..., Worth]


def make_price(make_market: MakeMarket, launcher: Callable[..., Launcher], name: str) -> Price:
    def price(
        rows: list[Row], *, scale: float = 1.0, count: int = 2_000, steps: int = STEPS, years: float = YEARS,
        drift: Drift = Drift.zero, watched: tuple[Watched, ...] = (), pricing: Pricing | None = None,
        factor: Mapping[str, Any] | None = None,
    ) -> Worth:  # fmt: skip
        market = make_market([{"factor": "XYZ", "level": SPOT * scale, "volatility": VOLATILITY, **(factor or {})}])
        table = []
        for at, row in enumerate(rows):
            terms = dict(row, instrument=f"{at:04}")
            for column, of in (("expiry", "years"), ("delivery", "delivery_years")):
                if of in terms:
                    micros = round(terms.pop(of) * 365 * 86400e6)
                    terms[column] = str(market.valuation + np.timedelta64(micros, "us"))
            table.append(terms)
        columns = dict.fromkeys(column for row in table for column in row)
        names = [row["instrument"] for row in table]
        owned = book.resolve(
            Columns.from_mapping("I", {column: [row.get(column, "") for row in table] for column in columns}),
            Columns.of("P", account=names, instrument=names, quantity=[1.0] * len(names)),
            market,
            pricing=pricing or Pricing(),
        )
        scenarios = Simulated(Gaussian(drift).law(market, years, np.full(1, 0.02), steps), count, seed=7)
        if name == "numpy":
            engine: Reference | Device = Reference(market, owned, scenarios, years, watched)
        else:
            engine = Device(market, owned, scenarios, years, watched, launcher=launcher(name))
        return Worth(market, owned, engine, scenarios)

    return price


def last(step: int) -> Watched:
    return Watched(0, Statistic.last, step)
