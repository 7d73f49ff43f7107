"""Heston and Bates from a history of returns and of an implied-volatility index.

Under Heston's model the expected variance until tau, which the square V of an index such as the VIX or DVOL is
close to, is affine in the variance v now,

    V = theta + a (v - theta),  a = (1 - exp(-kappa tau)) / (kappa tau)

(Zhang and Zhu 2006, "VIX futures"). Affine maps keep kappa and theta, so these come from V itself, and then v from V.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np
from numpy.typing import ArrayLike

from mcvar.errors import InputError, SettingError
from mcvar.fit.fitted import Bools, Fitted, Floats, checked, kurtosis
from mcvar.fit.jumps import find_jumps, fit_merton
from mcvar.fit.reversion import FLOOR, Series, given_reversion, mean_reversion

LEAST = 250
JUMP = ("intensity", "mean", "deviation")


def fit_heston(
    returns: ArrayLike,
    proxy: ArrayLike,
    names: Sequence[str],
    steps_per_year: float,
    tenor: ArrayLike,
    *,
    jumps: Mapping[str, Mapping[str, float]] | None = None,
    dates: Sequence[str] | None = None,
) -> Fitted:
    """Heston's parameters of each underlying by regression on an implied-volatility index.

    kappa and theta: V' - V = (1 - exp(-kappa dt)) (theta - V) + noise, weighted with 1 / V, which is the regression of
    (V' - V) / sqrt(V) on 1 / sqrt(V) and sqrt(V), with White's errors. Then v from V by the affine map, sigma from the
    exact conditional variance of v (Cox, Ingersoll and Ross 1985), rho as the correlation of the residuals of v and of
    returns, v0 the last v. Steps that start or end at the floor of v are left out of sigma and rho.

    Errors of sigma, rho and v0 combine their own (fourth moments, (1 - rho^2) / sqrt(n), none) with those of kappa and
    theta by the delta method.

    Parameters
    ----------
    returns : array_like [T, U]
        Log returns per step, at least 250.
    proxy : array_like [T + 1, U]
        Levels of the index as decimals (VIX / 100), before the first return and after each.
    names : sequence of str [U]
    steps_per_year : float
    tenor : array_like [U] or scalar
        Years that the index looks ahead: 30 / 365 for VIX and DVOL.
    jumps : mapping, optional
        intensity, mean and deviation of jumps in returns by name: intensity (mean^2 + deviation^2) is taken
        off the index's variance.
    dates : sequence of str [T], optional
        Names of the rows, for messages.

    Returns
    -------
    Fitted
        settings["parameters"][name]: kappa, theta, sigma, rho, v0, annual.

    Raises
    ------
    InputError
        Histories that cannot be fitted, among them those that show no mean reversion.
    SettingError
        Shapes that do not go together, jumps or tenors out of range.
    """
    r = checked(returns, names, steps_per_year, least=LEAST, what="returns", dates=dates)
    return _fit(r, proxy, names, steps_per_year, tenor, jumps or {}, np.ones(r.shape, bool))


def fit_bates(
    returns: ArrayLike,
    proxy: ArrayLike,
    names: Sequence[str],
    steps_per_year: float,
    tenor: ArrayLike,
    *,
    threshold: float = 4.0,
    dates: Sequence[str] | None = None,
) -> Fitted:
    """Jumps of each underlying's returns by a threshold, then Heston with their variance taken off the index.

    The jumps are `fit_merton`'s, one underlying at a time; steps that jump are left out of rho. The variance
    that jumps add to the index is intensity (mean^2 + deviation^2), constant in time. See `fit_heston` for the rest.

    Returns
    -------
    Fitted
        settings["parameters"][name]: kappa, theta, sigma, rho, v0, and of jumps in returns intensity (a year), mean,
        deviation; all three 0 where fewer than three jumps were found.
    """
    r = checked(returns, names, steps_per_year, least=LEAST, what="returns", dates=dates)
    jumps, errors, notes = {}, {}, []
    for u, name in enumerate(names):
        found = fit_merton(r[:, [u]], [name], steps_per_year, threshold=threshold)
        jumps[name] = found.settings["own"].get(name, dict.fromkeys(JUMP, 0.0))
        errors[name] = found.errors["own"].get(name, dict.fromkeys(JUMP))
        if name not in found.settings["own"]:
            notes.append(f"{name}: fewer than 3 jumps beyond {threshold:g} local deviations: none, without errors")
        notes += [note for note in found.notes if note.startswith(f"{name}: jumps would")]
    calm = ~find_jumps(r, threshold)[0]
    fit = _fit(r, proxy, names, steps_per_year, tenor, jumps, calm)
    for name in names:
        fit.settings["parameters"][name].update(jumps[name])
        fit.errors["parameters"][name].update(errors[name])
        fit.diagnostics["underlyings"][name]["jumps"] = int((~calm[:, list(names).index(name)]).sum())
    lead = f"jumps: returns beyond {threshold:g} local deviations, at most one a step; smaller ones count as diffusion"
    return Fitted(fit.settings, fit.errors, fit.diagnostics, (lead, *notes, *fit.notes))


def _fit(
    r: Floats,
    proxy: ArrayLike,
    names: Sequence[str],
    steps_per_year: float,
    tenor: ArrayLike,
    jumps: Mapping[str, Mapping[str, float]],
    calm: Bools,
) -> Fitted:
    """`calm` [T, U]: steps that rho is taken from."""
    level = checked(proxy, names, steps_per_year, least=2, what="levels of the volatility index")
    if len(level) != len(r) + 1:
        raise SettingError(f"{len(level)} levels of the volatility index for {len(r)} returns: give {len(r) + 1}")
    years, taken = _check(names, level, tenor, jumps)
    parameters: dict[str, Any] = {}
    errors: dict[str, Any] = {}
    each: dict[str, Any] = {}
    problems: list[str] = []
    span = len(r) / steps_per_year
    notes = [
        "heston: kappa and theta are of the index under the physical measure, its variance risk premium included",
        f"kappa is biased upward by about 4 / T = {4 / span:.2g} a year over T = {span:.3g} years (Tang and Chen 2009)",
        "errors of sigma, rho and v0 are approximate: own moments and, by the delta method, those of kappa and theta",
    ]
    for u, name in enumerate(names):
        variance = level[:, u] ** 2 - taken[u]
        if (variance <= 0).any():
            problems.append(
                f"{name}: jumps make a variance of {taken[u]:.4g} a year, more than the whole of the index on "
                f"{(variance <= 0).sum()} rows (smallest square {level[:, u].min() ** 2:.4g}): raise the threshold, "
                "or fit heston"
            )
            continue
        series = Series(name, r[:, u], variance, calm[:, u], float(years[u]), 1 / steps_per_year)
        try:
            parameters[name], errors[name], each[name] = _fit_one(series, notes)
        except SettingError as error:
            problems.append(str(error))
    if problems:
        raise InputError("heston", problems)
    diagnostics = {"observations": len(r), "years": span, "kappa_bias": 4 / span, "underlyings": each}
    return Fitted({"parameters": parameters}, {"parameters": errors}, diagnostics, tuple(notes))


def _fit_one(s: Series, notes: list[str]) -> tuple[dict[str, float], dict[str, float], dict[str, Any]]:
    """Parameters, errors and diagnostics of one underlying."""
    reversion, covariance = mean_reversion(s)
    found = given_reversion(s, reversion)
    step = np.sqrt(np.diag(covariance)) * 0.01
    slope = np.array(
        [
            (given_reversion(s, reversion + h).values - given_reversion(s, reversion - h).values) / (2 * h[i])
            for i, h in enumerate(np.diag(step))
        ]
    )  # [2, 3]
    spread = np.sqrt(np.einsum("ij,ik,kj->j", slope, covariance, slope) + found.errors**2)
    names = ("kappa", "theta", "sigma", "rho", "v0")
    p = dict(zip(names, map(float, (*reversion, *found.values)), strict=True))
    feller = 2 * p["kappa"] * p["theta"] - p["sigma"] ** 2
    if feller < 0:
        notes.append(
            f"{s.name}: 2 kappa theta = {2 * p['kappa'] * p['theta']:.4g} is less than sigma^2 = {p['sigma'] ** 2:.4g} "
            "(Feller): the variance can reach zero, which is allowed"
        )
    if found.floored:
        notes.append(f"{s.name}: {found.floored} variances were raised to {FLOOR:g} theta")
    errors = dict(zip(names, map(float, (*np.sqrt(np.diag(covariance)), *spread)), strict=True))
    diagnostics = {
        "floored": found.floored,
        "used": len(found.residuals),
        "feller": feller,
        "half_life_years": float(np.log(2) / p["kappa"]),
        "residual_kurtosis": kurtosis(found.residuals),
    }
    return p, errors, diagnostics


def _check(
    names: Sequence[str], level: Floats, tenor: ArrayLike, jumps: Mapping[str, Mapping[str, float]]
) -> tuple[Floats, Floats]:
    """Tenors [U] and the annual variance of jumps [U]."""
    years = np.asarray(tenor, dtype=np.float64)
    if years.shape not in ((), (len(names),)) or not (np.isfinite(years) & (years > 0)).all():
        raise SettingError(f"tenor is {years}: give years, positive, one for all or for each of {', '.join(names)}")
    problems = [
        f"{name}: {(level[:, u] <= 0).sum()} levels of the index are not positive: give decimals, such as 0.185"
        for u, name in enumerate(names)
        if (level[:, u] <= 0).any()
    ]
    problems += [
        f"{name}: the index is {np.median(level[:, u]):.4g} in the middle: give decimals, 0.185 for a VIX of 18.5"
        for u, name in enumerate(names)
        if np.median(level[:, u]) > 5
    ]
    if problems:
        raise InputError("volatility index", problems)
    unknown = [name for name in jumps if name not in names]
    missing = [f"{name}.{key}" for name, jump in jumps.items() for key in JUMP if key not in jump]
    if unknown or missing:
        raise SettingError(f"jumps: unknown {unknown}, missing {missing}: give intensity, mean and deviation by name")
    taken = [
        jumps[n]["intensity"] * (jumps[n]["mean"] ** 2 + jumps[n]["deviation"] ** 2) if n in jumps else 0.0
        for n in names
    ]
    return np.broadcast_to(years, len(names)), np.array(taken)
