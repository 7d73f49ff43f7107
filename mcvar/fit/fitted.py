"""What a calibration returns, and the checks that all calibrations share."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import ArrayLike, NDArray
from scipy.special import chdtrc

from mcvar.errors import InputError, SettingError

Floats = NDArray[np.float64]
Bools = NDArray[np.bool_]


@dataclass(frozen=True)
class Fitted:
    """A calibrated model: everything is plain numbers, texts, lists and dictionaries, ready for YAML or JSON.

    Parameters
    ----------
    settings : dict
        What goes into the configuration of the model.
    errors : dict
        Standard errors, nested as `settings`, of fitted numbers only; None where there is none, and a note says why.
    diagnostics : dict
        Observations, log likelihood, convergence, statistics of residuals.
    notes : tuple of str
        Assumptions and warnings.
    """

    settings: dict[str, Any]
    errors: dict[str, Any]
    diagnostics: dict[str, Any]
    notes: tuple[str, ...]


def checked(
    moves: ArrayLike,
    names: Sequence[str],
    steps_per_year: float,
    *,
    least: int,
    what: str = "moves",
    dates: Sequence[str] | None = None,
) -> Floats:
    """Moves that can be fitted, [T, F].

    Parameters
    ----------
    moves : array_like [T, F]
    names : sequence of str [F]
    steps_per_year : float
    least : int
        Fewest rows that the fit takes.
    what : str
        What the rows are, for messages.
    dates : sequence of str [T], optional
        Names of the rows, for messages; without it they are numbered from 1.

    Raises
    ------
    SettingError
        Shapes that do not go together, names that repeat, steps_per_year that is not positive.
    InputError
        Too few rows, values that are not finite, factors that never move.
    """
    values = np.asarray(moves, dtype=np.float64)
    if values.ndim != 2 or values.shape[1] != len(names) or not len(names):
        raise SettingError(f"{what} have shape {values.shape}: give rows x {len(names)} columns, one for each name")
    if len(set(names)) < len(names):
        repeated = sorted({name for name in names if list(names).count(name) > 1})
        raise SettingError(f"{what}: {', '.join(repeated)} stands there twice; give each column its own name")
    if not (np.isfinite(steps_per_year) and steps_per_year > 0):
        raise SettingError(f"steps_per_year is {steps_per_year}: give the number of steps in a year, such as 252")
    if dates is not None and len(dates) != len(values):
        raise SettingError(f"{len(dates)} dates for {len(values)} {what}: give one for each row")
    problems = []
    if len(values) < least:
        problems.append(f"{len(values)} {what}, but the fit needs {least}: give a longer history")
    for f, name in enumerate(names):
        bad = np.flatnonzero(~np.isfinite(values[:, f]))
        if len(bad):
            row = f"row {bad[0] + 1}" if dates is None else str(dates[bad[0]])
            problems.append(
                f"{name}: {len(bad)} {what} are not finite, the first at {row} ({values[bad[0], f]}): "
                "fill the gaps or leave these rows out"
            )
        elif len(values) and np.ptp(values[:, f]) <= 1e-14 * np.abs(values[:, f]).max():
            problems.append(
                f"{name}: all {len(values)} {what} are {values[0, f]:g}: it never moves, leave this factor out"
            )
    if problems:
        raise InputError("history", problems)
    return values


def number(value: float) -> float | None:
    """A plain float; None for what is not finite."""
    return float(value) if np.isfinite(value) else None


def kurtosis(residuals: Floats) -> float:
    """Fourth standardised moment of [T] residuals; 3 for a normal law."""
    centred = residuals - residuals.mean()
    return float(np.mean(centred**4) / np.mean(centred**2) ** 2)


def ljung_box(values: Floats, lags: int = 10) -> dict[str, float]:
    """Test of no autocorrelation up to `lags` (Ljung and Box 1978); of squares: McLeod and Li 1983.

    Q = T (T + 2) sum_k r_k^2 / (T - k), compared with chi-square(lags). For squared residuals of a
    GARCH fit that law is an approximation.

    Parameters
    ----------
    values : ndarray [T]
    """
    count = len(values)
    centred = values - values.mean()
    total = centred @ centred
    r = np.array([centred[k:] @ centred[:-k] / total for k in range(1, lags + 1)])
    q = float(count * (count + 2) * (r**2 / (count - np.arange(1, lags + 1))).sum())
    return {"statistic": q, "lags": float(lags), "p_value": float(chdtrc(lags, q))}
