"""The market: risk factors, their levels, volatilities and correlation at one valuation time.

A `Market` is resolved: numbers, indices and one frozen time. `build` makes one from the factor
table that people bring and from either a correlation matrix or a price history.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from enum import Enum

import numpy as np
from numpy.typing import NDArray

from mcvar.columns import Columns
from mcvar.correlation import Estimate
from mcvar.errors import InputError, SettingError
from mcvar.history import History
from mcvar.shocks import Shock as Shock

Floats = NDArray[np.float64]
DAYS_PER_YEAR = 365.0  # ACT/365, everywhere


class FactorKind(Enum):
    """What a factor moves."""

    price = "price"
    vol = "vol"
    rate = "rate"
    carry = "carry"


_DEFAULT_SHOCK = {
    FactorKind.price: Shock.log,
    FactorKind.vol: Shock.log,
    FactorKind.rate: Shock.absolute,
    FactorKind.carry: Shock.absolute,
}
FACTOR_COLUMNS = (
    "kind", "underlying", "tenor", "level", "volatility", "shock", "currency", "rate", "carry",
)  # fmt: skip


@dataclass(frozen=True)
class Factors:
    """What each of the F risk factors is.

    Parameters
    ----------
    name : tuple of str [F]
    kind : tuple of FactorKind [F]
    underlying : tuple of str [F]
        Whose price, volatility or carry it is; "" for rates.
    currency : tuple of str [F]
        Price: the currency it is quoted in. Rate: the currency it discounts. Else "".
    tenor : ndarray [F]
        Years; NaN for prices.
    level : ndarray [F]
        At valuation. Volatilities and rates are decimals.
    shock : tuple of Shock [F]
    rate, carry : ndarray [F]
        Annual, continuous levels of a price factor's underlying; NaN where not given.
    """

    name: tuple[str, ...]
    kind: tuple[FactorKind, ...]
    underlying: tuple[str, ...]
    currency: tuple[str, ...]
    tenor: Floats
    level: Floats
    shock: tuple[Shock, ...]
    rate: Floats
    carry: Floats

    def __len__(self) -> int:
        return len(self.name)

    def of_kind(self, kind: FactorKind) -> list[int]:
        """Indices of the factors of one kind, in order."""
        return [f for f, this in enumerate(self.kind) if this is kind]

    def pillars(self, kind: FactorKind, owner: str) -> list[int]:
        """Indices of an underlying's vol or carry factors, or a currency's rates, by tenor."""
        owners = self.currency if kind is FactorKind.rate else self.underlying
        return sorted((f for f in self.of_kind(kind) if owners[f] == owner), key=lambda f: self.tenor[f])


@dataclass(frozen=True)
class Market:
    """Risk factors at one valuation time, with the law of their moves to second order.

    Parameters
    ----------
    valuation : datetime64[us]
        UTC.
    currency : str
        Reporting currency of the run.
    factors : Factors
    volatility : ndarray [F]
        Annual: of log or simple returns, or in units of the level for absolute shocks.
    correlation : ndarray [F, F]
        Positive semi-definite, unit diagonal.
    steps_per_year : float
        Rows of the history a year; NaN without a history.
    notes : tuple of str
        What the reader of the result must know, such as a repaired correlation.
    history : History, optional
        Up to the valuation: what models that read the past are estimated from.
    observations : float
        Number of effective observations behind the correlation; NaN where it is given.
    """

    valuation: np.datetime64
    currency: str
    factors: Factors
    volatility: Floats
    correlation: Floats
    steps_per_year: float = float("nan")
    notes: tuple[str, ...] = ()
    history: History | None = None
    observations: float = float("nan")

    def years_to(self, times: NDArray[np.datetime64]) -> Floats:
        """ACT/365 years from valuation; infinite for NaT."""
        seconds = (times - self.valuation) / np.timedelta64(1, "s")
        return np.where(np.isnat(times), np.inf, seconds / (86400.0 * DAYS_PER_YEAR))

    def price_factor(self) -> dict[str, int]:
        """The price factor of each underlying."""
        return {self.factors.underlying[f]: f for f in self.factors.of_kind(FactorKind.price)}


def read_factors(table: Columns, history: History | None = None, currency: str = "USD") -> tuple[Factors, Floats]:
    """Validate a factor table.

    Parameters
    ----------
    table : Columns
        `factor, kind` and, optional, `underlying, tenor, level, volatility, shock, currency,
        rate, carry`.
    history : History, optional
        Its last row gives the levels that the table leaves blank.
    currency : str
        Quote currency of price factors that state none.

    Returns
    -------
    factors : Factors
    volatility : ndarray [F]
        Annual, NaN where blank.

    Raises
    ------
    InputError
        All bad rows at once.
    """
    table.check_names(("factor", "kind"), FACTOR_COLUMNS)
    problems: list[str] = []
    names = table.texts("factor")
    kinds = table.choices("kind", [k.value for k in FactorKind], problems, "")
    shocks = table.choices("shock", ["", *(s.value for s in Shock)], problems, "")
    kind = tuple(FactorKind.__members__.get(k, FactorKind.price) for k in kinds)
    underlying = [
        u or (n if k is FactorKind.price else "")
        for u, n, k in zip(table.texts("underlying"), names, kind, strict=True)
    ]
    quoted = [
        c or (currency if k is not FactorKind.vol and k is not FactorKind.carry else "")
        for c, k in zip(table.texts("currency"), kind, strict=True)
    ]
    shock = tuple(Shock.__members__.get(s, _DEFAULT_SHOCK[k]) for s, k in zip(shocks, kind, strict=True))
    priced = {u for u, k in zip(underlying, kind, strict=True) if k is FactorKind.price}
    tenor = np.where([k is FactorKind.price for k in kind], np.nan, table.floats("tenor", problems))
    level = _levels(table, names, history, problems)
    volatility = table.floats("volatility", problems)
    rate, carry = table.floats("rate", problems), table.floats("carry", problems)

    first: dict[str, int] = {}
    for row in np.flatnonzero(table.sound(problems)).tolist():
        name, this = names[row], kind[row]
        where = f"{table.where(row)}: factor '{name}'"
        if not name:
            problems.append(f"{table.where(row)}: the factor has no name")
        elif first.setdefault(name, row) != row:
            problems.append(f"{where} is there twice (first in {table.where(first[name])}): remove one")
        if this in (FactorKind.vol, FactorKind.carry) and underlying[row] not in priced:
            owner = f"'{underlying[row]}', which no price factor has" if underlying[row] else "blank"
            problems.append(f"{where} of kind {this.value} needs an underlying, and that is {owner}: correct it")
        if this is FactorKind.rate and underlying[row] not in ("", quoted[row]):
            problems.append(
                f"{where} of kind rate has underlying '{underlying[row]}', but a rate belongs to a currency: "
                "write it in the column currency and leave underlying blank"
            )
        if this is not FactorKind.price and not 0 <= tenor[row] < np.inf:
            said = "blank" if np.isnan(tenor[row]) else f"{tenor[row]:g}"
            problems.append(f"{where} of kind {this.value} needs a tenor in years, and that is {said}: give 0 or more")
        if this is FactorKind.vol and shock[row] is not Shock.log:
            problems.append(f"{where}: volatility factors move by log shocks: leave shock blank or write log")
        signed = this in (FactorKind.rate, FactorKind.carry)
        if signed and shock[row] is not Shock.absolute:
            problems.append(f"{where}: rates and carries move by absolute shocks: leave shock blank or write absolute")
        if not np.isfinite(level[row]):
            problems.append(f"{where} has no finite level: give one, or a history with a column of that name")
        elif level[row] <= 0 and shock[row] is not Shock.absolute and not signed:
            remedy = "correct it, or give the factor shock=absolute" if this is FactorKind.price else "correct it"
            problems.append(f"{where} has level {level[row]:g}, which must be positive: {remedy}")
        if volatility[row] < 0 or np.isinf(volatility[row]):
            problems.append(f"{where} has volatility {volatility[row]:g}: it must be finite and not negative")
        if kind[row] is FactorKind.price and underlying[row] == quoted[row]:
            problems.append(
                f"{where}: {underlying[row]} is priced in itself: write its quote currency in the column `currency` "
                "(a blank one is the reporting currency)"
            )
        for label, value in (("rate", rate[row]), ("carry", carry[row])):
            if np.isinf(value):
                problems.append(f"{where} has {label} {value:g}: it must be finite")
            if this is not FactorKind.price and not np.isnan(value):
                remedy = "a price factor has them; a factor of this kind states its own in the column level"
                problems.append(f"{where} of kind {this.value} cannot have a {label}: {remedy}")
    _refuse_two_of_one(table, kind, underlying, tenor, quoted, problems)
    if len(table) == 0:
        problems.append("there is no factor: the table is empty")
    if problems:
        raise InputError(table.source, problems)
    return Factors(tuple(names), kind, tuple(underlying), tuple(quoted), tenor, level, shock, rate, carry), volatility


def build(
    *,
    factors: Factors,
    volatility: Floats,
    estimate: Estimate,
    valuation: np.datetime64,
    currency: str,
    steps_per_year: float = float("nan"),
    notes: Sequence[str] = (),
    history: History | None = None,
) -> Market:
    """Join the factor table with an estimate of the second moments.

    Parameters
    ----------
    volatility : ndarray [F]
        Annual volatilities of the factor table; where NaN the estimate's are taken.
    estimate : Estimate
        Correlation [F, F] and, from a history, annual volatility [F].

    Raises
    ------
    SettingError
        If a factor has a volatility neither in the table nor in the estimate, or the matrix another size.
    """
    if estimate.correlation.shape != (len(factors), len(factors)):
        raise SettingError(
            f"the correlation matrix has shape {estimate.correlation.shape}, but there are {len(factors)} factors: "
            "give one row and one column for each"
        )
    joined = np.where(np.isnan(volatility), estimate.volatility, volatility)
    missing = [name for name, value in zip(factors.name, joined, strict=True) if not np.isfinite(value)]
    if missing:
        raise SettingError(
            f"no volatility for {', '.join(missing)}: give the column `volatility` in the factors file, "
            "or a history (market.history) with correlation=historical or ewma to estimate it from"
        )
    return Market(
        valuation, currency, factors, joined, estimate.correlation, steps_per_year, (*notes, *estimate.notes), history,
        estimate.observations,
    )  # fmt: skip


def _levels(table: Columns, names: list[str], history: History | None, problems: list[str]) -> Floats:
    level = table.floats("level", problems)
    if history is not None:
        last = dict(zip(history.names, history.levels[-1], strict=True))
        level = np.where(np.isnan(level), [last.get(name, np.nan) for name in names], level)
    return level


def _refuse_two_of_one(
    table: Columns,
    kind: tuple[FactorKind, ...],
    underlying: list[str],
    tenor: Floats,
    currency: list[str],
    problems: list[str],
) -> None:
    """One price factor an underlying, one vol, rate or carry factor an owner and tenor."""
    seen: dict[tuple[FactorKind, str, float], int] = {}
    for row in np.flatnonzero(table.sound(problems)).tolist():
        this = kind[row]
        owner = currency[row] if this is FactorKind.rate else underlying[row]
        key = (this, owner, -1.0 if this is FactorKind.price else float(tenor[row]))
        if key in seen:
            what = "price factor" if this is FactorKind.price else f"{this.value} factor at tenor {tenor[row]:g}"
            problems.append(
                f"{table.where(row)}: '{owner}' has a second {what} (first in {table.where(seen[key])}): keep one"
            )
        seen.setdefault(key, row)
