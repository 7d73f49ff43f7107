"""Each step of SPAN by hand, and all of them in one account."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest
from scan_cases import FUTURE, inter, intra, make_arrays
from scipy import sparse

from mcvar.scan.grid import SPAN16
from mcvar.scan.parameters import Commodity, Delivery, Parameters, Tier
from mcvar.scan.span.algorithm import span
from mcvar.scan.span.breakdown import Breakdown
from mcvar.scan.span.margins import Margins

H, M, U = "202603", "202606", "202609"
FUTURES = make_arrays({"name": "H", "month": H}, {"name": "M", "month": M}, {"name": "U", "month": U})
TIERS = (Tier(1, last=H), Tier(2, M, M), Tier(3, U))


def margins(arrays: Any, quantity: Any, *commodities: Commodity, **keywords: Any) -> Margins:
    spreads, tie = keywords.pop("spreads", ()), keywords.pop("tie", "lowest")
    held = sparse.csr_array(np.atleast_2d(np.array(quantity, dtype=np.float64)))
    return span(arrays, SPAN16, Parameters(commodities, spreads, tie), held, **keywords)


def test_positions_net_before_the_worst_scenario_is_sought() -> None:
    found = margins(FUTURES, [[3, -5, 0], [2, 0, 0], [0, 0, 0], [4, -4, 0]], Commodity("X", "USD", 300.0))
    assert found.scan.tolist() == [600.0, 600.0, 0.0, 0.0]  # -2 lose 300 each upwards, 2 downwards
    assert found.worst_scenario.tolist() == [11, 13, 0, 1]
    assert found.requirement.tolist() == [600.0, 600.0, 0.0, 0.0]


def test_the_covered_part_of_an_extreme_move_can_be_the_worst() -> None:
    put = [0.0] * 15 + [-70.0]
    arrays = make_arrays({"name": "P", "loss": put, "option": True, "delta": 0.0, "value": 1.0})
    found = margins(arrays, [-2], Commodity("X", "USD", 300.0))
    assert (found.scan[0], found.worst_scenario[0], found.nov[0], found.requirement[0]) == (140.0, 16, -2.0, 142.0)


@pytest.mark.parametrize(("tie", "number"), [("lowest", 13), ("highest", 14)])
def test_ties_between_scenarios(tie: str, number: int) -> None:
    found = margins(FUTURES, [1, 0, 0], Commodity("X", "USD", 300.0), tie=tie)
    assert (found.scan[0], found.worst_scenario[0]) == (300.0, number)


def test_the_active_scenario_decides_the_credit() -> None:
    """Of two equal worst scenarios one has a pair with a smaller loss: the tie rule reaches the price risk."""
    loss = [0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 300, 100, 0, 300]
    arrays = make_arrays({"name": "A", "loss": loss}, {"name": "B", "commodity": "Y"})
    spread = inter(1, ("X", 0, 1.0, 1, 0.5), ("Y", 0, 1.0, -1, 0.0))
    both = Commodity("X", "USD", 300.0), Commodity("Y", "USD", 300.0)
    low = margins(arrays, [1, -1], *both, spreads=(spread,))
    high = margins(arrays, [1, -1], *both, spreads=(spread,), tie="highest")
    assert low.credit[0] == (300 + 100) / 2 * 0.5
    assert high.credit[0] == 300 * 0.5


def test_spreads_use_deltas_up_in_the_order_of_priority() -> None:
    """+10 H, -4 M, -9 U: 4 of the first spread, then 6 of the second, then nothing is left for the third."""
    spreads = (
        intra("X", 3, (1, 1.0, 1), (3, 1.0, -1), charge=1000.0),
        intra("X", 1, (1, 1.0, 1), (2, 1.0, -1), charge=10.0),
        intra("X", 2, (1, 1.0, 1), (3, 1.0, -1), charge=30.0),
    )
    found = margins(FUTURES, [10, -4, -9], Commodity("X", "USD", 300.0, tiers=TIERS, spreads=spreads))
    assert found.intra[0] == 4 * 10 + 6 * 30
    steps = Breakdown.of(found, 0).commodities[0]
    assert [(each.spread.priority, each.number) for each in steps.spreads] == [(1, 4.0), (2, 6.0)]
    assert steps.delta == (("tier 1", 10.0, 0.0), ("tier 2", -4.0, 0.0), ("tier 3", -9.0, -3.0))


def test_ratios_and_both_orientations() -> None:
    """2 H against 1 M, whichever is long; the smaller side decides, and leftover deltas stay."""
    commodity = Commodity(
        "X", "USD", 300.0, tiers=TIERS, spreads=(intra("X", 1, (1, 2.0, 1), (2, 1.0, -1), charge=7.0),)
    )
    found = margins(FUTURES, [[6, -5, 0], [-6, 5, 0], [20, -5, 0], [6, 5, 0]], commodity)
    assert found.intra.tolist() == [3 * 7.0, 3 * 7.0, 5 * 7.0, 0.0]
    assert [delta[2] for delta in Breakdown.of(found, 2).commodities[0].delta] == [10.0, 0.0, 0.0]


def test_a_butterfly_of_three_legs() -> None:
    fly = intra("X", 1, (1, 1.0, 1), (2, 2.0, -1), (3, 1.0, 1), charge=5.0)
    found = margins(FUTURES, [[3, -5, 4]], Commodity("X", "USD", 300.0, tiers=TIERS, spreads=(fly,)))
    assert found.intra[0] == 2.5 * 5.0


def test_deltas_of_a_tier_are_netted_first() -> None:
    """H and M in one tier: 10 - 4 against 3 U; a spread inside that tier has nothing to net with otherwise."""
    tiers = (Tier(1, last=M), Tier(2, U))
    across = intra("X", 2, (1, 1.0, 1), (2, 1.0, -1), charge=10.0)
    inside = intra("X", 1, (1, 1.0, 1), (1, 1.0, -1), charge=4.0)
    netted = margins(FUTURES, [10, -4, -9], Commodity("X", "USD", 300.0, tiers=tiers, spreads=(across,)))
    assert netted.intra[0] == 6 * 10
    apart = margins(FUTURES, [10, -4, -9], Commodity("X", "USD", 300.0, tiers=tiers, spreads=(across, inside)))
    assert apart.intra[0] == 4 * 4 + 6 * 10


def test_months_are_tiers_where_there_are_none() -> None:
    """+10 H, -4 M, -9 U in spreads of any months: min(10, 13), the nearest months first."""
    spread = intra("X", 1, (0, 1.0, 1), (0, 1.0, -1), charge=2.0)
    found = margins(FUTURES, [10, -4, -9], Commodity("X", "USD", 300.0, spreads=(spread,)))
    assert found.intra[0] == 10 * 2
    assert Breakdown.of(found, 0).commodities[0].delta == ((H, 10.0, 0.0), (M, -4.0, 0.0), (U, -9.0, -3.0))


def test_days_are_in_the_months_of_tiers() -> None:
    arrays = make_arrays({"name": "A", "month": "20260320"}, {"name": "B", "month": "20260417"})
    tiers = (Tier(1, last=H), Tier(2, "202604"))
    spread = intra("X", 1, (1, 1.0, 1), (2, 1.0, -1), charge=2.0)
    assert margins(arrays, [3, -5], Commodity("X", "USD", 300.0, tiers=tiers, spreads=(spread,))).intra[0] == 6.0


def test_delivery_charges_deltas_in_spreads_and_others() -> None:
    spread = intra("X", 1, (1, 1.0, 1), (2, 1.0, -1), charge=0.0)
    near = (Delivery(H, spread=3.0, outright=7.0),)
    commodity = Commodity("X", "USD", 300.0, tiers=TIERS, spreads=(spread,), delivery=near)
    found = margins(FUTURES, [[10, -4, 0], [-10, 4, 0], [0, 5, 0], [2, 0, 0]], commodity)
    assert found.delivery.tolist() == [4 * 3 + 6 * 7, 4 * 3 + 6 * 7, 0.0, 2 * 7]


def test_a_month_near_delivery_counts_apart_from_its_tier() -> None:
    """H and M in tier 1: M's -4 offset 4 of H's 10 without a charge, U's -1 one more for 5."""
    spread = intra("X", 1, (1, 1.0, 1), (2, 1.0, -1), charge=5.0)
    commodity = Commodity(
        "X", "USD", 300.0, tiers=(Tier(1, last=M), Tier(2, U)), spreads=(spread,), delivery=(Delivery(H, 3.0, 7.0),)
    )  # fmt: skip
    found = margins(FUTURES, [10, -4, -1], commodity)
    assert (found.intra[0], found.delivery[0]) == (5.0, 5 * 3 + 5 * 7)


PAIR = make_arrays({"name": "X"}, {"name": "Y", "commodity": "Y"}, {"name": "Z", "commodity": "Z"})
THREE = tuple(Commodity(name, "USD", 300.0) for name in "XYZ")


def test_credits_take_what_earlier_spreads_left() -> None:
    """+10 X, -6 Y, -9 Z at 300 a delta: 6 of X with Y, the other 4 with 2 Z each, and 1 Z is left."""
    spreads = (
        inter(2, ("X", 0, 1.0, 1, 0.4), ("Z", 0, 2.0, -1, 0.3)),
        inter(1, ("X", 0, 1.0, 1, 0.5), ("Y", 0, 1.0, -1, 0.6)),
    )
    found = margins(PAIR, [10, -6, -9], *THREE, spreads=spreads)
    assert found.credit[0] == pytest.approx(300 * 6 * 0.5 + 300 * 6 * 0.6 + 300 * 4 * 0.4 + 300 * 8 * 0.3, rel=1e-14)
    assert found.requirement[0] == pytest.approx(300 * 25 - found.credit[0], rel=1e-14)
    price = [each.price for each in Breakdown.of(found, 0).commodities]
    assert [(each.weighted, each.left) for each in price if each] == [(300.0, 0.0), (300.0, 0.0), (300.0, -1.0)]


def test_credits_need_opposite_sides() -> None:
    spread = inter(1, ("X", 0, 1.0, 1, 0.5), ("Y", 0, 1.0, -1, 0.5))
    found = margins(PAIR, [[2, -2, 0], [-2, 2, 0], [2, 2, 0], [2, 0, -2]], *THREE, spreads=(spread,))
    assert found.credit.tolist() == [600.0, 600.0, 0.0, 0.0]


def test_legs_on_one_side_need_equal_signs() -> None:
    spread = inter(1, ("X", 0, 1.0, 1, 0.5), ("Y", 0, 1.0, 1, 0.5))
    found = margins(PAIR, [[2, -2, 0], [-2, -2, 0], [2, 2, 0]], *THREE, spreads=(spread,))
    assert found.credit.tolist() == [0.0, 600.0, 600.0]


def test_no_credit_without_net_delta_or_positive_price_risk() -> None:
    """Deltas of 0.1 + 0.2 - 0.3 are none, not 5e-17; a commodity that cannot lose from prices consumes nothing."""
    gain = [-1.0] * 16
    arrays = make_arrays(
        {"name": "a", "delta": 0.1}, {"name": "b", "delta": 0.2}, {"name": "c", "delta": -0.3, "loss": [0] * 16},
        {"name": "Y", "commodity": "Y"}, {"name": "Z", "commodity": "Z", "loss": gain},
    )  # fmt: skip
    first = inter(1, ("Z", 0, 1.0, 1, 1.0), ("Y", 0, 1.0, -1, 1.0))
    second = inter(2, ("X", 0, 1.0, 1, 1.0), ("Y", 0, 1.0, -1, 1.0))
    found = margins(arrays, [[1, 1, 1, -3, 5], [1, 0, 0, -3, 5]], *THREE, spreads=(first, second))
    assert found.credit[0] == 0
    assert found.credit[1] == pytest.approx(300 + 0.1 * 300, rel=1e-12)  # 0.1 deltas at 3,000 each, and 0.1 Y


def test_intra_spreads_do_not_consume_what_credits_take() -> None:
    calendar = intra("X", 1, (0, 1.0, 1), (0, 1.0, -1), charge=1.0)
    arrays = make_arrays(
        {"name": "H", "month": H}, {"name": "M", "month": M}, {"name": "Y", "commodity": "Y", "month": M}
    )
    spread = inter(1, ("X", 0, 1.0, 1, 0.5), ("Y", 0, 1.0, -1, 0.5))
    commodities = Commodity("X", "USD", 300.0, spreads=(calendar,)), Commodity("Y", "USD", 300.0)
    found = margins(arrays, [10, -7, -9], *commodities, spreads=(spread,))
    assert (found.intra[0], found.credit[0]) == (7.0, 3 * 300 * 0.5 * 2)


def test_legs_of_tiers_take_no_more_than_tier_and_net_delta() -> None:
    """X: +10 in tier 1, -4 in tier 2: net 6. Tier 1 gives 6 at most, tier 2, against the net, nothing."""
    arrays = make_arrays(
        {"name": "H", "month": H}, {"name": "M", "month": M}, {"name": "Y", "commodity": "Y", "month": M}
    )
    commodities = Commodity("X", "USD", 300.0, tiers=TIERS[:2]), Commodity("Y", "USD", 300.0)
    quantity = [[10, -4, -20], [10, -4, 20], [2, 5, -20]]
    one = inter(1, ("X", 1, 1.0, 1, 0.5), ("Y", 0, 1.0, -1, 0.0))
    two = inter(2, ("X", 2, 1.0, 1, 0.5), ("Y", 0, 1.0, -1, 0.0))
    found = margins(arrays, quantity, *commodities, spreads=(one, two))
    assert found.credit.tolist() == [6 * 150.0, 0.0, 7 * 150.0]


def test_legs_of_two_tiers_share_the_net_delta() -> None:
    """X: +10, +10 and -14: net 6, of which each spread takes 2 deltas; 3 spreads at 150 a delta."""
    arrays = make_arrays(
        {"name": "H", "month": H}, {"name": "M", "month": M}, {"name": "U", "month": U}, {"name": "Y", "commodity": "Y"}
    )  # fmt: skip
    commodities = Commodity("X", "USD", 300.0, tiers=TIERS), Commodity("Y", "USD", 300.0)
    spread = inter(1, ("X", 1, 1.0, 1, 0.5), ("X", 2, 1.0, 1, 0.5), ("Y", 0, 1.0, -1, 0.0))
    assert margins(arrays, [10, 10, -14, -20], *commodities, spreads=(spread,)).credit[0] == 3 * 2 * 150.0


def test_a_price_risk_below_zero_gives_no_credit() -> None:
    """The worst loss, 60, is of volatility: its pair gains 100 and the mean of the two is below that at price 0."""
    loss = [50.0, 50.0, 60.0, -100.0] + [0.0] * 12
    arrays = make_arrays({"name": "X", "loss": loss}, {"name": "Y", "commodity": "Y"})
    spread = inter(1, ("X", 0, 1.0, 1, 0.5), ("Y", 0, 1.0, -1, 0.5))
    found = margins(arrays, [2, -2], *THREE[:2], spreads=(spread,))
    assert (found.scan[0], found.credit[0]) == (720.0, 0.0)
    price = Breakdown.of(found, 0).commodities[0].price
    assert price is not None
    assert (price.price_risk, price.weighted, price.left) == (-140.0, 0.0, 2.0)


def test_currencies_are_converted_before_they_are_netted() -> None:
    """Y is in EUR at 1.25: 2 of it lose 750 USD, credits are USD of each leg."""
    arrays = make_arrays({"name": "X"}, {"name": "Y", "commodity": "Y", "currency": "EUR"})
    spread = inter(1, ("X", 0, 1.0, 1, 0.5), ("Y", 0, 1.0, -1, 0.5))
    commodities = Commodity("X", "USD", 300.0), Commodity("Y", "EUR", 300.0)
    found = margins(arrays, [2, -2], *commodities, spreads=(spread,), currency="USD", rates={"EUR": 1.25})
    assert (found.scan[0], found.credit[0], found.currency) == (600 + 750, 300 + 375, "USD")
    turned = margins(arrays, [2, -2], *commodities, spreads=(spread,), currency="EUR", rates={"USD": 0.8})
    assert turned.requirement[0] == pytest.approx(0.8 * found.requirement[0], rel=1e-14)


FAR = [0.0] * 13 + [-0.25, 0.0, 0.0]
OPTIONS = make_arrays(
    {"name": "C1", "option": True, "delta": 0.25, "loss": FAR, "value": 2.0, "month": H},
    {"name": "C2", "option": True, "delta": 0.125, "loss": FAR, "value": 1.0, "month": H},
    {"name": "P1", "option": True, "delta": -0.25, "loss": FAR, "value": 1.0, "month": H},
    {"name": "C3", "option": True, "delta": 0.25, "loss": FAR, "value": 1.0, "month": M},
    {"name": "F", "delta": 1.0, "loss": [0.0] * 16, "month": H},
)


@pytest.mark.parametrize(("netted", "count"), [(False, 30.0), (True, 12.0)])
def test_short_options_gross_and_netted(netted: bool, count: float) -> None:
    """Long 20 C1 offset short 18 C2, of one month and type; not the puts P1, C3 of another month, nor the future."""
    commodity = Commodity("X", "USD", 300.0, short_option_minimum=3.0, short_netted=netted)
    found = margins(OPTIONS, [20, -18, -7, -5, -9], commodity)
    assert found.minimum[0] == count * 3.0
    assert Breakdown.of(found, 0).commodities[0].short == count


def test_the_minimum_binds_where_it_is_larger() -> None:
    """Scan risk 40 x 0.25 = 10 against 40 x 2; at a rate of 0.125 the scan risk is the larger."""
    for rate, risk, binds in ((2.0, 80.0, "short option minimum"), (0.125, 10.0, "scan risk and charges")):
        found = margins(OPTIONS, [0, 0, -40, 0, 0], Commodity("X", "USD", 300.0, short_option_minimum=rate))
        assert (found.risk[0], found.nov[0], found.requirement[0]) == (risk, -40.0, risk + 40)
        assert Breakdown.of(found, 0).commodities[0].binds == binds


def test_an_option_of_no_delta_is_called_by_its_array() -> None:
    """A call far out of the money, delta rounded to 0, gains upwards: it nets with calls; without any, with none."""
    rows = [
        {"name": "C", "option": True, "delta": 0.25, "month": H},
        {"name": "far", "option": True, "delta": 0.0, "loss": [0.0] * 14 + [-1.0, 0.0], "month": H},
        {"name": "dead", "option": True, "delta": 0.0, "loss": [0.0] * 16, "month": H},
    ]
    commodity = Commodity("X", "USD", 300.0, short_option_minimum=1.0, short_netted=True)
    assert margins(make_arrays(*rows), [10, -4, -3], commodity).minimum[0] == 3.0


def test_long_options_are_worth_their_loss() -> None:
    """A long option cannot lose more than its value: nothing is required of who holds only these."""
    call = [0.005 * loss if loss > 0 else 0.01 * loss for loss in FUTURE]
    arrays = make_arrays({"name": "C", "option": True, "delta": 0.5, "loss": call, "value": 2.0})
    found = margins(arrays, [7], Commodity("X", "USD", 300.0, short_option_minimum=5.0))
    assert found.scan[0] == pytest.approx(7 * 1.5)
    assert (found.nov[0], found.requirement[0], found.minimum[0]) == (14.0, 0.0, 0.0)


def test_everything_at_once() -> None:
    """One account in three commodities: +10 H, -4 M and -5 calls of X, -3 futures of Y in EUR, -40 puts of Z.

    X, 6 futures and -5 calls: R_13 = 6 x 300 - 5 x 85 = 1,375 is the largest; its pair R_14 is 1,800 - 5 x 105 = 1,275.
        VolAdj (1,375 + 1,275) / 2 = 1,325, TimeRisk (100 - 100) / 2 = 0, PriceRisk 1,325.
        Deltas: tier 1 +10, tier 2 -4 - 5 x 0.4 = -6, net 4. WFPR 1,325 / 4 = 331.25.
        6 spreads of tier 1 and tier 2 at 50: 300; none is left for the second one.
        Delivery: 6 of H in spreads at 3, 4 outright at 7: 46.
        5 short options at 20: 100.
    Y, -3 at 150 EUR upwards and 1.25 USD for one EUR: 562.5 in scenario 11. Net delta -3. WFPR 187.5.
    X and Y, 2 against 1: min(4 / 2, 3 / 1) = 2. X saves 331.25 x 4 x 0.5 = 662.5, Y 187.5 x 2 x 0.6 = 225.
        1 of Y is left, none of X: the second spread finds nothing.
    Z: 40 puts gain 0.25 each in scenario 14, so 10; 40 short options at 2 are 80, which binds.
    Risks: 1,375 + 300 + 46 - 662.5 = 1,058.5; 562.5 - 225 = 337.5; 80; sum 1,476.
    NOV: -5 x 120 - 40 x 0.5 = -620. Requirement 1,476 + 620 = 2,096.
    """
    call = [-20, 20, -70, -30, 25, 55, -130, -95, 60, 85, -200, -170, 85, 105, -150, 42]
    arrays = make_arrays(
        {"name": "XH", "month": H},
        {"name": "XM", "month": M},
        {"name": "XC", "month": M, "option": True, "delta": 0.4, "value": 120.0, "loss": call},
        {"name": "YM", "month": M, "commodity": "Y", "currency": "EUR", "loss": [x / 2 for x in FUTURE]},
        {"name": "ZP", "month": M, "commodity": "Z", "option": True, "delta": -0.01, "value": 0.5, "loss": FAR},
    )
    spreads = (
        intra("X", 1, (1, 1.0, 1), (2, 1.0, -1), charge=50.0),
        intra("X", 2, (1, 2.0, 1), (2, 1.0, -1), charge=90.0),
    )
    x = Commodity(
        "X", "USD", 300.0, tiers=TIERS[:2], spreads=spreads, delivery=(Delivery(H, 3.0, 7.0),),
        short_option_minimum=20.0,
    )  # fmt: skip
    y, z = Commodity("Y", "EUR", 150.0), Commodity("Z", "USD", 10.0, short_option_minimum=2.0)
    across = (
        inter(1, ("X", 0, 2.0, 1, 0.5), ("Y", 0, 1.0, -1, 0.6)),
        inter(2, ("X", 0, 1.0, 1, 0.9), ("Y", 0, 1.0, -1, 0.9)),
    )
    found = margins(
        arrays, [10, -4, -5, -3, -40], x, y, z, spreads=across, account=["A"], currency="USD", rates={"EUR": 1.25}
    )
    expected = {
        "scan": 1375 + 562.5 + 10, "worst_scenario": 13, "intra": 300, "delivery": 46, "credit": 662.5 + 225,
        "minimum": 100 + 80, "risk": 1058.5 + 337.5 + 80, "nov": -620, "requirement": 2096,
    }  # fmt: skip
    assert {name: getattr(found, name)[0] for name in expected} == pytest.approx(expected, rel=1e-14)

    said = Breakdown.of(found, "A")
    assert [(each.scan, each.active, each.risk) for each in said.commodities] == [
        (1375.0, 13, 1058.5), (562.5, 11, 337.5), (10.0, 14, 80.0),
    ]  # fmt: skip
    assert said.commodities[0].loss.tolist() == [
        100, -100, -250, -450, 475, 325, -550, -725, 900, 775, -800, -950, 1375, 1275, -510, 1050,
    ]  # fmt: skip
    assert said.commodities[0].near[0][1:] == (6.0, 4.0)
    assert [(each.number, each.credit) for each in said.spreads] == [(2.0, (662.5, 225.0))]
    left = [each.price.left for each in said.commodities if each.price]
    assert left == [0.0, -1.0]
