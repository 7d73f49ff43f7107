"""Runs that stop when VaR is precise enough: the rule, the sizes at which a run is looked at, and what each look saw.

A rule that stops when an interval happens to be narrow favours samples whose interval is too narrow, so that it covers
less often than it says; the more often it looks, the more so. Looking only at sizes that grow geometrically keeps the
looks few; as the sample grows, its interval comes to cover as often as at a fixed size (Y. S. Chow and H. Robbins, "On
the asymptotic theory of fixed-width sequential confidence intervals for the mean", Annals of Mathematical Statistics
36, 1965; P. W. Glynn and W. Whitt, "The asymptotic validity of sequential stopping rules for stochastic simulations",
Annals of Applied Probability 2, 1992). By how much it falls short is measured: docs/confidence.md.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from math import ceil, inf, isfinite, log10
from numbers import Integral, Real
from typing import Any

import numpy as np
from numpy.typing import NDArray

from mcvar.errors import SettingError
from mcvar.intervals.estimate import Estimate, exact
from mcvar.intervals.order import check_unit

Floats = NDArray[np.float64]
Ints = NDArray[np.int64]
FLOOR = 1e-4  # of gross value
MOST = 1e10  # scenarios that anybody would run
CAP = 10 * 2**20  # scenarios; whole rounds of every stratification


@dataclass(frozen=True)
class Look:
    """What was seen at one size of a run.

    Parameters
    ----------
    scenarios : int
        N.
    met : float
        Part of the accounts whose interval is as narrow as asked.
    ratio : float
        Half-width over what it may be, of the account that decides: `share` of the accounts have no larger one.
        Infinite where it has none, or may have none.
    account : str
        That account.
    """

    scenarios: int
    met: float
    ratio: float
    account: str

    def __str__(self) -> str:
        return (
            f"{self.scenarios:,} scenarios: VaR is precise enough for {100 * self.met:.4g} % of the accounts, and the "
            f"interval of '{self.account}' is {self.ratio:.3g} times as wide as asked"
        )

    @property
    def needed(self) -> float:
        """About how many scenarios it takes, to two digits: half-widths fall as N^-1/2; infinite: no number does.

        Examples
        --------
        >>> Look(1000, 0.5, 2.05, "a").needed
        4300.0
        """
        if not isfinite(self.ratio):
            return inf
        number = max(self.scenarios * self.ratio**2, 1.0)
        step = 10.0 ** max(int(log10(number)) - 1, 0)
        return ceil(number / step) * step

    def record(self) -> dict[str, Any]:
        """As JSON can hold it: None for what is not finite.

        Examples
        --------
        >>> Look(1000, 0.5, float("inf"), "a").record()
        {'scenarios': 1000, 'met': 0.5, 'ratio': None, 'account': 'a'}
        """
        return {name: None if value == np.inf else value for name, value in vars(self).items()}


@dataclass(frozen=True)
class Until:
    """How precise is enough: half-width of the interval <= precision x max(|VaR|, floor x gross value).

    Parameters
    ----------
    precision : float
        In (0, 1).
    level : float
        Of the VaR that is looked at.
    share : float
        Part of the accounts that it must hold for, in (0, 1].
    floor : float
        Of gross value; so that a VaR near 0, as of a hedged account, need not be exact to the last digit.
    cap : int
        Scenarios at which a run ends in any case.

    Raises
    ------
    SettingError
        Settings out of range.

    Examples
    --------
    >>> Until.of("0.5%", levels=(0.95, 0.99), count=100_000)
    Until(precision=0.005, level=0.99, share=1.0, floor=0.0001, cap=10485760)
    """

    precision: float
    level: float
    share: float = 1.0
    floor: float = FLOOR
    cap: int = CAP

    def __post_init__(self) -> None:
        """See the class."""
        if not _in_range(self.precision, 0.0, 1.0) or self.precision == 1.0:
            raise SettingError(
                f"scenarios.until is {self.precision!r}: it must lie between 0 and 1, such as 0.005 or 0.5%"
            )
        check_unit("scenarios.until_level", self.level)
        if not _in_range(self.share, 0.0, 1.0):
            raise SettingError(
                f"scenarios.until_share is {self.share!r}: it is a part of the accounts, more than 0 and at most 1"
            )
        if self.floor != 0 and not _in_range(self.floor, 0.0, np.inf):
            raise SettingError(
                f"scenarios.until_floor is {self.floor!r}: it is a part of gross value, 0 or more, such as {FLOOR:g}"
            )
        if not isinstance(self.cap, Integral) or isinstance(self.cap, bool) or not 1 <= self.cap < 2**63:
            raise SettingError(f"scenarios.cap is {self.cap!r}: it is a whole number of scenarios, such as {CAP}")

    @classmethod
    def of(
        cls,
        until: float | str,
        *,
        levels: Sequence[float],
        count: int,
        level: float | None = None,
        share: float = 1.0,
        floor: float = FLOOR,
        cap: int = CAP,
    ) -> Until:
        """From settings: `until` as a number, or as text that may be in per cent.

        Parameters
        ----------
        levels : sequence of float
            Those that are measured.
        count : int
            Scenarios at the first look.
        level : float, optional
            One of `levels`; default: the highest.

        Raises
        ------
        SettingError
            Text that is no number, settings out of range, a level that is not measured, a cap that leaves no room.
        """
        level = max(levels) if level is None else level
        if level not in levels:
            raise SettingError(f"scenarios.until_level is {level}: take one of measure.levels={list(levels)}")
        made = cls(_number(until), level, share, floor, cap)
        if made.cap <= count:
            raise SettingError(
                f"scenarios.cap is {cap}, but the first look is at scenarios.count={count}: raise scenarios.cap, or "
                "lower scenarios.count"
            )
        return made

    def ratios(self, var: Estimate, gross: Floats) -> Floats:
        """Half-width over what it may be, [R]; infinite where there is no interval, or it may have no width.

        Parameters
        ----------
        var : Estimate
            Of VaR at `level`; of a one-sided interval the half-width is the distance of its end from VaR.
        gross : ndarray [R]
            What each row holds, all as if long, in its currency.

        Examples
        --------
        >>> ten, one = np.array([10.0]), np.array([1.0])
        >>> var = Estimate("var", 0.99, ten, one, ten - 1, ten + 3, 0.95, "order statistics")
        >>> Until(0.1, 0.99).ratios(var, ten).tolist(), Until(0.1, 0.99, floor=4.0).ratios(var, ten).tolist()
        ([2.0], [0.5])
        """
        low, high = np.isfinite(var.low), np.isfinite(var.high)
        half = np.where(low, var.value - var.low, 0.0) + np.where(high, var.high - var.value, 0.0)
        half = np.where(low & high, half / 2, half)
        limit = self.precision * np.maximum(np.abs(var.value), self.floor * gross)
        with np.errstate(divide="ignore", invalid="ignore"):
            ratio = np.where(half == 0, 0.0, half / limit)
        return np.where((low | high) & ~np.isnan(ratio), ratio, np.inf)

    def look(self, var: Estimate, gross: Floats, accounts: Ints, names: Sequence[str], scenarios: int) -> Look:
        """Look at a run.

        Parameters
        ----------
        var, gross
            See `ratios`.
        accounts : ndarray
            Rows that are accounts: parents need not be as precise.
        names : sequence of str
            Of all rows.
        scenarios : int
            N.
        """
        ratio = self.ratios(var, gross)[accounts]
        decides = int(np.argsort(ratio, kind="stable")[ceil(exact(self.share) * len(ratio)) - 1])
        return Look(scenarios, float((ratio <= 1).mean()), float(ratio[decides]), names[accounts[decides]])

    def held(self, look: Look) -> bool:
        """Whether the run is precise enough."""
        return look.ratio <= 1

    def not_reached(self, look: Look) -> str:
        """What to say where the cap was reached without it.

        Examples
        --------
        >>> print(Until(0.005, 0.99, cap=50_000).not_reached(Look(50_000, 0.25, 2.0, "desk-7")))
        not reached: scenarios.until=0.5 % of VaR 99 % holds for 25 % of the accounts after scenarios.cap=50,000 \
scenarios; the interval of 'desk-7' is 2 times as wide as that. About 200,000 scenarios would do: raise \
scenarios.cap or scenarios.until
        """
        asked = "" if self.share == 1 else f", not for scenarios.until_share={100 * self.share:g} %"
        wide = f"{look.ratio:.3g} times as wide as that" if isfinite(look.ratio) else "wider by any factor"
        return (
            f"not reached: scenarios.until={100 * self.precision:g} % of VaR {100 * self.level:g} % holds for "
            f"{100 * look.met:.4g} % of the accounts after scenarios.cap={look.scenarios:,} scenarios{asked}; the "
            f"interval of '{look.account}' is {wide}. {self._remedy(look)}"
        )

    def _remedy(self, look: Look) -> str:
        if look.needed <= MOST:
            return f"About {look.needed:,.0f} scenarios would do: raise scenarios.cap or scenarios.until"
        why = "its losses jump at VaR, or its VaR is almost 0"
        if not isfinite(look.needed):
            why = f"its VaR is null, or 0 with scenarios.until_floor={self.floor:g}"
        return (
            f"No practical number of scenarios would do, as {why}: raise scenarios.until_floor, or lower "
            "scenarios.until_share"
        )


def sizes(first: int, cap: int, unit: int) -> list[int]:
    """The sizes at which a run is looked at: each half as large again as the one before, in whole units; last the cap.

    Examples
    --------
    >>> sizes(2_000, 10_000, 1024)
    [2000, 3072, 5120, 8192, 10000]
    """
    found = [first]
    while found[-1] < cap:
        found.append(min(-(-3 * found[-1] // (2 * unit)) * unit, cap))
    return found


def _number(until: float | str) -> float:
    """`until` as a number; per cent are hundredths of the decimal that is written.

    Examples
    --------
    >>> _number("0.5%"), _number(" 2 % "), _number("0.01"), _number(0.03)
    (0.005, 0.02, 0.01, 0.03)
    """
    if not isinstance(until, str):
        return until
    text, percent = until.strip(), until.strip().endswith("%")
    try:
        value = float(text.rstrip("%"))
        return float(exact(value) / 100) if percent else value
    except (ValueError, OverflowError) as error:
        raise SettingError(f"scenarios.until is '{until}': give a number such as 0.005, or 0.5%") from error


def _in_range(value: object, above: float, most: float) -> bool:
    """Whether it is a number, finite, more than `above` and at most `most`."""
    return isinstance(value, Real) and not isinstance(value, bool) and above < float(value) <= most and isfinite(value)
