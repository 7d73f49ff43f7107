"""What contracts must be worth in every scenario, whatever the formulas: parities, bounds, limits, and the path itself.

Values at the horizon are today's and the P&L, of the reference engine and of the kernels.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Any

import numpy as np
import pytest
from numpy.typing import NDArray
from scipy.stats import norm

from mcvar import book
from mcvar.columns import Columns
from mcvar.engines import Device, Launcher, Reference
from mcvar.market import Market
from mcvar.models import Drift, Gaussian
from mcvar.pricing.settings import AmericanMethod, Pricing
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
ENGINES = ["numpy", "native"]
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


@pytest.fixture(params=ENGINES)
def price(request: pytest.FixtureRequest, make_market: MakeMarket, launcher: Callable[..., Launcher]) -> Price:
    """Contracts on one price in simulated scenarios."""
    return make_price(make_market, launcher, request.param)


def last(step: int) -> Watched:
    return Watched(0, Statistic.last, step)


@pytest.mark.parametrize("years", [0.25, INSIDE])
@pytest.mark.parametrize("monitoring", ["", 2.0, 3.0])
@pytest.mark.parametrize("side", ["up", "down"])
def test_knock_in_and_knock_out_are_the_whole(price: Price, side: str, monitoring: Any, years: float) -> None:
    kinds = [(OPTION, BARRIER), (DIGITAL, DIGITAL), ({**DIGITAL, "payout": "asset"},) * 2]
    rows = []
    for whole, parts in kinds:
        for option_type in ("call", "put"):
            common = {"option_type": option_type, "years": years}
            for way in (f"{side}_in", f"{side}_out"):
                barred = {"barrier": LEVELS[way], "barrier_type": way, "monitoring": monitoring}
                rows.append({**parts, **common, **barred})
            rows.append({**whole, **common})
    values = price(rows).values.reshape(-1, 3, 2_000)
    assert abs(values[:, 0] + values[:, 1] - values[:, 2]).max() < 1e-10
    assert (values[:, :2].max(axis=2) > 0.01).all(), "both live in some scenarios"


def test_barriers_out_of_reach(price: Price) -> None:
    pairs: list[tuple[Row, Row | None]] = []
    for way, level in (("up_out", 5e3), ("down_out", 2.0), ("up_in", 5e3), ("down_in", 2.0)):
        out = way.endswith("out")
        for contract, same in ((BARRIER, OPTION), (DIGITAL, DIGITAL)):
            for change in ({}, PUT):
                barred = {"barrier": level, "barrier_type": way}
                pairs.append(({**contract, **change, **barred}, {**same, **change} if out else None))
    values = price([row for pair in pairs for row in pair if row is not None]).values
    at = 0
    for _, european in pairs:
        expected = values[at + 1] if european is not None else 0.0
        assert values[at] == pytest.approx(expected, rel=1e-12, abs=1e-10)
        at += 1 + (european is not None)


def test_touches_and_no_touches_are_worth_the_cash(price: Price) -> None:
    rows = [
        {**TOUCH, "barrier_type": f"{side}_{way}", "barrier": LEVELS[f"{side}_{way}"], "cash": 7.0}
        for side in ("up", "down")
        for way in ("in", "out")
    ]
    values = price(rows).values
    cash = np.full(2_000, 7.0 * np.exp(-0.05 * (0.25 - YEARS)))
    assert values[0] + values[1] == pytest.approx(cash, rel=1e-12)
    assert values[2] + values[3] == pytest.approx(cash, rel=1e-12)


@pytest.mark.parametrize("pricing", list(AmericanMethod))
@pytest.mark.parametrize("years", [0.25, 3.0, INSIDE])
def test_american_options_are_worth_more_than_what_they_could_be(
    price: Price, years: float, pricing: AmericanMethod
) -> None:
    """More than the European option, which is more than the discounted forward's payoff; more than the payoff now."""
    carries, types = (-0.03, 0.02, 0.05, 0.09), (1.0, -1.0)
    rows: list[Row] = [{"kind": "spot", "underlying": "XYZ"}]
    for carry in carries:
        for sign in types:
            common = {"carry": carry, "years": years, "option_type": "call" if sign > 0 else "put"}
            rows += [{**AMERICAN, **common}, {**OPTION, **common}]
    spot, *values = price(rows, count=500, pricing=Pricing(american=pricing)).values
    left, settled = max(years - YEARS, 0.0), years < YEARS
    rounding = 2e-6 * STRIKE  # the accuracy of a price table and of what it is compared with
    premium = np.zeros(len(spot))
    for at, (carry, sign) in enumerate((carry, sign) for carry in carries for sign in types):
        early, late = values[2 * at], values[2 * at + 1]
        assert (early >= late - rounding).all()
        premium = np.maximum(premium, early - late)
        if settled:
            assert early == pytest.approx(late, abs=1e-12)
            continue
        intrinsic = np.exp(-0.05 * left) * np.maximum(sign * (spot * np.exp(carry * left) - STRIKE), 0.0)
        assert (late >= intrinsic - 1e-11).all()
        assert (early >= np.maximum(sign * (spot - STRIKE), 0.0) - 1e-11).all()
    assert settled or (premium > 0.05).all()


@pytest.mark.parametrize("pricing", list(AmericanMethod))
def test_calls_that_cost_no_carry_are_never_exercised(price: Price, pricing: AmericanMethod) -> None:
    """Nor are puts where rates are not positive."""
    rows = []
    for change in ({"carry": 0.05}, {"carry": 0.08}, {**PUT, "rate": 0.0, "carry": 0.0}):
        rows += [{**AMERICAN, **change}, {**OPTION, **change}]
    values = price(rows, count=500, pricing=Pricing(american=pricing)).values
    assert values[::2] == pytest.approx(values[1::2], rel=1e-12, abs=1e-12)


def every_family(scale: float = 1.0) -> list[Row]:
    """Contracts that are worth `scale` times as much where all prices are; without averages that have begun."""
    money = {"strike": STRIKE * scale}
    rows: list[Row] = []
    for change in ({}, PUT):
        common = {**money, **change}
        rows += [{**row, **common} for row in (OPTION, AMERICAN, ASIAN, {**ASIAN, "average": "geometric"})]
        rows += [{**DIGITAL, **common, "payout": "asset"}, {**DIGITAL, **common, "cash": 3.0 * scale}]
        on_future = {**common, "delivery_years": 0.5}
        rows += [{**row, **on_future} for row in (OPTION, AMERICAN, {**DIGITAL, "cash": 3.0 * scale})]
        rows.append({**ASIAN, **common, "fixings": 7})
        for way, level in LEVELS.items():
            barred = {"barrier": level * scale, "barrier_type": way}
            rows.append({**BARRIER, **common, **barred, "rebate": 2.0 * scale})
            rows.append({**BARRIER, **common, **barred, "monitoring": 1.0})
            rows.append({**DIGITAL, **common, **barred, "payout": "asset"})
            if not change:
                rows.append({**TOUCH, **barred, "cash": 4.0 * scale})
                rows.append({**TOUCH, **barred, "payout": "asset"})
                if way.endswith("in"):
                    rows.append({**TOUCH, **barred, "payment": "hit", "cash": 4.0 * scale})
                    rows.append({**TOUCH, **barred, "payment": "hit", "payout": "asset"})
    return rows


@pytest.mark.parametrize("scale", [4.0, 1e-3])
def test_values_are_homogeneous(price: Price, scale: float) -> None:
    values, scaled = price(every_family()).values, price(every_family(scale), scale=scale).values
    # Multiplying by 1e-3 is not exact: a price can be on the other side of a barrier, by its last digit.
    assert np.quantile(abs(scaled / scale - values).max(axis=0), 0.999) < 1e-9
    assert (values.max(axis=1) > 0.01).all()


@pytest.mark.parametrize("delivery", [None, COMMON["years"]])
def test_values_in_coins(price: Price, delivery: float | None) -> None:
    """An inverse contract pays the linear one over the price, discounted at the coin's rate."""
    rows = [row for row in every_family() if ("delivery_years" in row) == (delivery is not None)]
    rows = [{k: v for k, v in row.items() if k not in ("rate", "carry")} for row in rows]
    rows = [{**row, "delivery_years": delivery} if delivery else row for row in rows]
    coins = [{**row, "settlement": "inverse"} for row in rows]
    values = price([*rows, *coins], factor={"rate": 0.05, "carry": 0.02}, count=500).values
    tolerance = [3e-6 * STRIKE if "exercise" in row else 1e-10 for row in rows]
    assert (abs(values[: len(rows)] - values[len(rows) :]).max(axis=1) < tolerance).all()


def test_values_in_coins_that_settle_on_the_way(price: Price) -> None:
    """Coins are paid at the price of the settlement, so at the horizon they are worth more or less."""
    rows = [{**row, "years": INSIDE} for row in every_family() if "delivery_years" not in row]
    rows = [{k: v for k, v in row.items() if k not in ("rate", "carry")} for row in rows]
    coins = [{**row, "settlement": "inverse"} for row in rows]
    step = last(3)
    worth = price([*rows, *coins], factor={"rate": 0.05, "carry": 0.02}, count=500, watched=(step, last(STEPS)))
    values, ratio = worth.values, worth.level(last(STEPS)) / worth.level(step)
    assert values[len(rows) :] == pytest.approx(values[: len(rows)] * ratio, rel=1e-9, abs=1e-9)


def test_values_rise_with_the_volatility(price: Price) -> None:
    """Where payoffs are convex; those of digitals and barriers are not."""
    contracts = [OPTION, AMERICAN, ASIAN, {**ASIAN, "fixings": 5}]
    contracts += [{**row, **PUT} for row in contracts]
    volatilities = (0.05, 0.2, 0.21, 0.5, 1.2)
    rows = [{**row, "volatility": v} for row in contracts for v in volatilities]
    values = price(rows, count=500).values.reshape(len(contracts), len(volatilities), -1)
    assert (np.diff(values, axis=1) > -1e-6 * STRIKE).all()
    assert (np.diff(values, axis=1).mean(axis=2) > 1e-3).all()


def test_futures_delivered_when_the_option_expires(price: Price) -> None:
    rows, futures = [], []
    for years in (0.25, INSIDE):
        for change in ({}, PUT):
            for contract in (OPTION, DIGITAL, {**DIGITAL, "payout": "asset"}, {**OPTION, "premium_style": "futures"}):
                rows.append({**contract, **change, "years": years})
                futures.append({**rows[-1], "delivery_years": years})
    values = price([*rows, *futures]).values
    assert values[len(rows) :] == pytest.approx(values[: len(rows)], rel=1e-11, abs=1e-11)


def test_options_on_futures_are_on_the_forward_price(price: Price) -> None:
    """A European option on a future is one on a price without carry that stands at the future's."""
    later = {"delivery_years": 0.75}
    rows: list[Row] = [{**row, **change, **later} for row in (OPTION, DIGITAL) for change in ({}, PUT)]
    rows += [{**AMERICAN, **change, **later} for change in ({}, PUT)]
    same = [{**row, "carry": 0.0, "strike": STRIKE * np.exp(-0.02 * (0.75 - YEARS)), "years": 0.25} for row in rows]
    for row in same:
        del row["delivery_years"]
    values, at_forward = price(rows, count=500).values, price(same, count=500).values
    factor = np.exp(0.02 * (0.75 - YEARS))  # from the spot to the future, at the horizon
    digital = [row["kind"] == "digital" for row in rows]
    expected = at_forward * np.where(digital, 1.0, factor)[:, None]
    assert abs(values - expected).max() < 3e-6 * STRIKE
    assert abs(values - expected)[:4].max() < 1e-10


@pytest.mark.parametrize("way", ["up_out", "down_out"])
def test_what_knocked_out_on_the_path_stays_out(price: Price, way: str) -> None:
    """Worth its rebate at the horizon, even where the price has come back."""
    side = Statistic.bridge_maximum if way == "up_out" else Statistic.bridge_minimum
    extreme = Watched(0, side, STEPS)
    row = {**BARRIER, "barrier": LEVELS[way], "barrier_type": way, "rebate": 2.0}
    worth = price([row, {"kind": "spot", "underlying": "XYZ"}], watched=(extreme,))
    value, spot = worth.values
    sign = 1.0 if way == "up_out" else -1.0
    out = sign * (worth.level(extreme) - LEVELS[way]) >= 0
    back = out & (sign * (spot - LEVELS[way]) < -1.0)
    assert back.sum() > 20
    assert value[out] == pytest.approx(np.full(out.sum(), 2.0), abs=1e-12)
    assert (abs(value[~out] - 2.0) > 1e-9).all()


@pytest.mark.parametrize("off", [0.0, 0.5])
def test_expiries_on_the_way_settle_at_their_step(price: Price, off: float) -> None:
    """At the first step at or after the expiry; averages and extremes are of the path until there."""
    years, rows = INSIDE - off * STEP, list[Row]()
    fixings, steps = tuple(last(step) for step in (1, 2, 3)), range(1, 4)
    high, low = (Watched(0, s, 3) for s in (Statistic.bridge_maximum, Statistic.bridge_minimum))
    extremes = {"up": high, "down": low}
    for change in ({}, PUT):
        rows += [{**row, **change} for row in (OPTION, AMERICAN, DIGITAL, {**DIGITAL, "payout": "asset"})]
        rows += [{**BARRIER, **change, "barrier": level, "barrier_type": way} for way, level in LEVELS.items()]
    rows += [{**TOUCH, "barrier": level, "barrier_type": way} for way, level in LEVELS.items()]
    worth = price([{**row, "years": years} for row in rows], watched=(*fixings, high, low))
    path = {step: worth.level(last(step)) for step in steps}
    for row, value in zip(rows, worth.values, strict=True):
        sign = -1.0 if row.get("option_type") == "put" else 1.0
        paid = np.maximum(sign * (path[3] - STRIKE), 0.0)
        if row["kind"] == "digital":
            paid = (sign * (path[3] - row["strike"]) > 0).astype(float) if "strike" in row else np.ones(len(value))
            paid = paid * (path[3] if row.get("payout") == "asset" else 1.0)
        if "barrier" in row:
            side, _, way = row["barrier_type"].partition("_")
            touched = worth.level(extremes[side]) >= UP if side == "up" else worth.level(extremes[side]) <= DOWN
            paid = np.where(touched == (way == "in"), paid, 0.0)
        assert value == pytest.approx(paid, abs=1e-10), row


@pytest.mark.parametrize("average", ["arithmetic", "geometric"])
def test_averages_that_end_on_the_way(price: Price, average: str) -> None:
    """Of the fixings at steps, of those before today, and of the time between steps."""
    whole = {**ASIAN, "average": average, "years": INSIDE}
    start = str(np.datetime64("2026-01-02", "us") + np.timedelta64(2, "D"))
    earlier = str(np.datetime64("2026-01-02", "us") - np.timedelta64(2, "D"))
    today = "2026-01-02"
    rows = [
        {**whole, "averaging_start": start, "fixings": 3},  # steps 1, 2 and 3
        {**whole, "averaging_start": earlier, "fixings": 5, "average_so_far": 90.0},  # -1 is past, 0 to 3 are not
        {**whole, "averaging_start": today},  # continuous
        {**whole, "averaging_start": earlier, "average_so_far": 90.0},
        {**whole, "averaging_start": "2026-01-08", "fixings": 1},
    ]
    worth = price(rows, watched=tuple(last(step) for step in (1, 2, 3)), count=500)
    path = np.stack([np.full(500, SPOT), *(worth.level(last(step)) for step in (1, 2, 3))])
    f, back = (np.log, np.exp) if average == "geometric" else (np.array, np.array)
    path, so_far = f(path), f(90.0)
    mean = path[1:].mean(axis=0)
    over_time = (path[0] / 2 + path[1] + path[2] + path[3] / 2) / 3
    fixed = [mean, (so_far + path.sum(axis=0)) / 5, over_time, so_far / 4 + 3 * over_time / 4, path[3]]
    for value, of in zip(worth.values, fixed, strict=True):
        assert value == pytest.approx(np.maximum(back(of) - STRIKE, 0.0), abs=1e-9)


@pytest.mark.parametrize("steps", [1, 4])
@pytest.mark.parametrize("drift", [Drift.zero, Drift.martingale, Drift.risk_neutral])
@pytest.mark.parametrize("side", ["up", "down"])
def test_as_many_knock_as_brownian_motion_does(price: Price, side: str, drift: Drift, steps: int) -> None:
    """The bridge makes continuous observation exact, with one step and with more (Karatzas and Shreve 1991, 3.5.C)."""
    count = 60_000
    barrier = 106.0 if side == "up" else 93.0
    row = {**TOUCH, "barrier": barrier, "barrier_type": f"{side}_in", "cash": 1.0, "years": YEARS}
    knocked = price([row], count=count, steps=steps, drift=drift).values[0]
    assert np.isin(np.round(knocked, 12), (0.0, 1.0)).all()
    deviation = VOLATILITY * np.sqrt(YEARS)
    mean = {Drift.zero: 0.0, Drift.martingale: 0.0, Drift.risk_neutral: 0.02 * YEARS}[drift]
    mean -= 0.0 if drift is Drift.zero else deviation**2 / 2
    sign = 1.0 if side == "up" else -1.0
    far, mean = sign * np.log(barrier / SPOT), sign * mean
    share = norm.cdf((mean - far) / deviation)
    share += np.exp(2 * mean * far / deviation**2) * norm.cdf((-mean - far) / deviation)
    assert abs(knocked.mean() - share) < 4 * np.sqrt(share * (1 - share) / count)


@pytest.mark.parametrize("days", [2.0, 4.0])
@pytest.mark.parametrize("side", ["up", "down"])
def test_observations_that_are_steps_need_no_bridge(price: Price, side: str, days: float) -> None:
    """What counts is the price at those steps, against the barrier as it is."""
    seen = range(int(days / 2), 5, int(days / 2))
    row = {**BARRIER, "barrier": LEVELS[f"{side}_out"], "barrier_type": f"{side}_out", "rebate": 2.0}
    rows = [{**row, "monitoring": days}, row]
    worth = price(rows, watched=tuple(last(step) for step in seen), steps=4, years=4 * STEP)
    kinds = {w.statistic for w in worth.engine.axes.watched}
    assert kinds & {Statistic.maximum, Statistic.minimum}
    path = np.stack([worth.level(last(step)) for step in seen])
    out = (path.max(axis=0) >= UP) if side == "up" else (path.min(axis=0) <= DOWN)
    value, always = worth.values
    assert 0.02 < out.mean() < 0.98
    assert (abs(value[out] - 2.0) < 1e-12).all()
    assert (abs(value[~out] - 2.0) > 1e-9).all()
    assert (abs(always[out] - 2.0) < 1e-12).all(), "whoever looks always sees more"
    assert (abs(always - 2.0) < 1e-12).mean() > out.mean() + 0.02
