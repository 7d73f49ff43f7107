"""Lengths of time: whether two are one, and how they are said."""

from __future__ import annotations

from mcvar.market import DAYS_PER_YEAR

_SAME = 1e-9  # by what part two numbers may differ and be one


def same(there: float, here: float) -> bool:
    """Whether two numbers, neither NaN, are one but for rounding.

    Examples
    --------
    >>> same(0.1 + 0.2, 0.3), same(1.0, 1.001)
    (True, False)
    """
    return abs(there - here) <= _SAME * max(abs(there), abs(here))


def days(years: float) -> str:
    """A length of time in days, for people.

    Examples
    --------
    >>> days(1 / 365), days(0.0), days(2.5 / 365)
    ('1 day', '0 days', '2.5 days')
    """
    said = f"{DAYS_PER_YEAR * years:.6g}"
    return f"{said} day{'' if said == '1' else 's'}"
