"""What a person reads of one account, and that it is the account's margin to the bit."""

from __future__ import annotations

import numpy as np
import pytest
from scan_cases import FUTURE, inter, intra, make_arrays
from scipy import sparse

from mcvar.errors import SettingError
from mcvar.scan.grid import SPAN16
from mcvar.scan.parameters import Commodity, Delivery, Parameters, Tier
from mcvar.scan.span.algorithm import span
from mcvar.scan.span.breakdown import Breakdown
from mcvar.scan.span.margins import Margins
from mcvar.scan.span.text import number, text


@pytest.fixture(scope="module")
def found() -> Margins:
    call = [-20, 20, -70, -30, 25, 55, -130, -95, 60, 85, -200, -170, 85, 105, -150, 42]
    arrays = make_arrays(
        {"name": "XH", "month": "202603"},
        {"name": "XM", "month": "202606"},
        {"name": "XC", "month": "202606", "option": True, "delta": 0.4, "value": 120.0, "loss": call},
        {"name": "YM", "month": "202606", "commodity": "Y", "currency": "EUR", "loss": [x / 2 for x in FUTURE]},
    )
    x = Commodity(
        "X", "USD", 300.0, tiers=(Tier(1, last="202603"), Tier(2, "202604")), delivery=(Delivery("202603", 3.0, 7.0),),
        spreads=(intra("X", 1, (1, 1.0, 1), (2, 1.0, -1), charge=50.0),), short_option_minimum=20.0,
    )  # fmt: skip
    across = inter(1, ("X", 0, 2.0, 1, 0.5), ("Y", 0, 1.0, -1, 0.6))
    return span(
        arrays, SPAN16, Parameters((x, Commodity("Y", "EUR", 150.0)), (across,)),
        sparse.csr_array(np.array([[0.0, 0.0, 0.0, 0.0], [10.0, -4.0, -5.0, -3.0], [-7.0, 3.0, 1.0, 0.0]])),
        account=["none", "A", "B"], currency="USD", rates={"EUR": 1.25},
    )  # fmt: skip


def test_every_step_is_written(found: Margins) -> None:
    expected = """\
A, amounts in USD
X
  10 XH             loss 300, delta 1, value 0 each
  -4 XM             loss 300, delta 1, value 0 each
  -5 XC             loss 85, delta 0.4, value 120 each
  losses            1: 100, 2: -100, 3: -250, 4: -450, 5: 475, 6: 325, 7: -550, 8: -725, 9: 900, 10: 775, 11: -800, \
12: -950, 13: 1,375, 14: 1,275, 15: -510, 16: 1,050
  scan risk         max(0, 1,375 of scenario 13) = 1,375
  net delta         202603 in tier 1: 10, tier 2: -6
  spread 1          long 1 of tier 1, short 1 of tier 2: 6 x 50 = 300
  delta left        202603 in tier 1: 4, tier 2: 0
  delivery 202603   6 x 3 + 4 x 7 = 46
  volatility adj.   (1,375 + 1,275 of scenario 14) / 2 = 1,325
  time risk         (100 + -100 of scenarios 1 and 2) / 2 = 0
  price risk        1,325 - 0 = 1,325
  weighted risk     1,325 / 4 = 331.25 a delta
  credit            662.5, with 0 of the net delta left
  short options     5 x 20 = 100
  commodity risk    max(1,375 + 300 + 46 - 662.5, 100) = 1,058.5: scan risk and charges
Y, at 1.25 USD for one EUR
  -3 YM             loss -187.5, delta 1, value 0 each
  losses            1: 0, 2: 0, 3: 187.5, 4: 187.5, 5: -187.5, 6: -187.5, 7: 375, 8: 375, 9: -375, 10: -375, \
11: 562.5, 12: 562.5, 13: -562.5, 14: -562.5, 15: 393.75, 16: -393.75
  scan risk         max(0, 562.5 of scenario 11) = 562.5
  net delta         202606: -3
  volatility adj.   (562.5 + 562.5 of scenario 12) / 2 = 562.5
  time risk         (0 + 0 of scenarios 1 and 2) / 2 = 0
  price risk        562.5 - 0 = 562.5
  weighted risk     562.5 / 3 = 187.5 a delta
  credit            225, with -1 of the net delta left
  commodity risk    max(562.5 + 0 + 0 - 225, 0) = 337.5: scan risk and charges
between commodities
  spread 1          2 x (long 2 of X, short 1 of Y): X saves 331.25 x 2 x 2 x 0.5 = 662.5, Y saves \
187.5 x 2 x 1 x 0.6 = 225
sum of risks        1,058.5 + 337.5 = 1,396
net option value    -600
requirement         max(0, 1,396 - (-600)) = 1,996"""
    assert text(Breakdown.of(found, "A")) == expected


def test_an_account_without_positions(found: Margins) -> None:
    said = Breakdown.of(found, "none")
    assert (said.commodities, said.spreads, said.requirement) == ((), (), 0.0)
    assert text(said).splitlines()[1:] == [
        "sum of risks        0", "net option value    0", "requirement         max(0, 0 - 0) = 0",
    ]  # fmt: skip


def test_the_steps_are_those_of_the_margins(found: Margins) -> None:
    for row in range(3):
        said = Breakdown.of(found, row)
        for name in ("scan", "intra", "delivery", "credit", "minimum", "risk"):
            assert sum(getattr(each, name) for each in said.commodities) == getattr(found, name)[row]
        assert sum(sum(each.credit) for each in said.spreads) == found.credit[row]


@pytest.mark.parametrize("account", ["C", "", 3, -1])
def test_an_account_that_is_not_there(found: Margins, account: str | int) -> None:
    with pytest.raises(SettingError, match=r"no account .* among the 3"):
        Breakdown.of(found, account)


@pytest.mark.parametrize(
    ("value", "said"),
    [(0.0, "0"), (-0.0, "0"), (1e-9, "1e-09"), (-0.00012345, "-0.00012345"), (1 / 3, "0.3333333"),
     (1234567.891, "1,234,567.89"), (-2.5, "-2.5"), (100.0, "100"), (123456789012.0, "123,456,789,012"),
     (0.1 + 0.2, "0.3")],
)  # fmt: skip
def test_numbers(value: float, said: str) -> None:
    assert number(value) == said
