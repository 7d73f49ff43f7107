"""Heston from one chain of option volatilities."""

from __future__ import annotations

from typing import Any

import numpy as np
from numpy.typing import ArrayLike
from scipy.optimize import least_squares
from scipy.special import ndtr

from mcvar.errors import InputError, SettingError
from mcvar.fit.fitted import Fitted, Floats
from mcvar.fit.heston_prices import Heston, heston_prices

LEAST = 10
NAMES = ("kappa", "theta", "sigma", "rho", "v0")
LOW = np.array([1e-2, 1e-5, 1e-2, -0.999, 1e-5])
HIGH = np.array([50.0, 9.0, 20.0, 0.999, 9.0])
SCALE = np.array([0.0, 0.0, 0.0, 0.5, 0.0])  # a search that starts at rho = 0 still moves by halves
COARSE = 0.01  # of volatility, root mean square: a fit that is worse gets a note
SMALLEST_VEGA = 0.01  # of that at the money: below it a volatility says nothing about the law


def fit_heston_chain(
    forward: ArrayLike, strike: ArrayLike, years: ArrayLike, volatility: ArrayLike, name: str
) -> Fitted:
    """Calibrate Heston's model to Black volatilities of one underlying at one time, by least squares.

    Residuals are (model price - Black price) / vega of the out-of-the-money option, to first order differences of
    volatility. Searched from several starts within wide bounds (scipy's trust region). Errors: s^2 (J'J)^-1, as if
    residuals were independent, which those of a chain are not: they are too small.

    Parameters
    ----------
    forward, strike, years, volatility : array_like [N]
        Positive; volatilities are decimals. At least 10 options, of two expiries for kappa to be seen.
    name : str
        The underlying.

    Returns
    -------
    Fitted
        settings["parameters"][name]: kappa, theta, sigma, rho, v0, under the pricing measure.

    Raises
    ------
    InputError
        Options that cannot be used, all at once; too few; a search that did not converge.
    """
    f, k, t, vol = _checked(forward, strike, years, volatility, name)
    sign = np.where(k >= f, 1.0, -1.0)
    deviation = vol * np.sqrt(t)
    d1 = np.log(f / k) / deviation + deviation / 2
    price = sign * (f * ndtr(sign * d1) - k * ndtr(sign * (d1 - deviation)))
    peak = f * np.sqrt(t / (2 * np.pi))
    vega = np.maximum(peak * np.exp(-d1 * d1 / 2), SMALLEST_VEGA * peak)

    def residuals(x: Floats) -> Floats:
        return (heston_prices(f, k, t, sign, Heston(*map(float, x))) - price) / vega

    best: Any = None
    for start in _starts(f, k, t, vol):
        found = least_squares(
            residuals, start, bounds=(LOW, HIGH), x_scale=np.maximum(np.abs(start), SCALE), xtol=1e-10, ftol=1e-10
        )
        if best is None or found.cost < best.cost:
            best = found
    if not best.success:
        raise InputError(
            name, [f"least squares did not converge ({best.message}): leave out options far off the money"]
        )
    parameters = dict(zip(NAMES, map(float, best.x), strict=True))
    errors, notes = _errors(best, name)
    if 2 * parameters["kappa"] * parameters["theta"] < parameters["sigma"] ** 2:
        notes.append(f"{name}: 2 kappa theta < sigma^2 (Feller): the variance can reach zero, which is allowed")
    if len(np.unique(t)) < 2:
        notes.append(f"{name}: one expiry does not tell kappa from sigma: give more expiries")
    rms = float(np.sqrt(np.mean(best.fun**2)))
    if rms > COARSE:
        notes.append(
            f"{name}: the model misses the chain by {rms:.3f} of volatility in the root mean square: smiles of "
            "a few days are steeper than any diffusion's and pull kappa and sigma up; leave these expiries out"
        )
    diagnostics = {
        "options": len(f),
        "expiries": len(np.unique(t)),
        "rms_volatility": rms,
        "largest_volatility": float(np.abs(best.fun).max()),
        "evaluations": int(best.nfev),
        "converged": bool(best.success),
    }
    return Fitted({"parameters": {name: parameters}}, {"parameters": {name: errors}}, diagnostics, tuple(notes))


def _starts(f: Floats, k: Floats, t: Floats, vol: Floats) -> list[Floats]:
    """v0 and theta from at-the-money volatilities of the first and the last expiry, and three laws around them."""
    short, long = (float(vol[at][np.abs(np.log(k[at] / f[at])).argmin()] ** 2) for at in (t == t.min(), t == t.max()))
    v0, theta = np.clip(short, 1e-4, 4), np.clip(long, 1e-4, 4)
    laws = ((2.0, 2.0, -0.5), (5.0, 4.0, 0.0), (1.0, 1.0, -0.8))  # kappa, sigma / sqrt(theta), rho
    return [np.array([kappa, theta, min(s * np.sqrt(theta), 10.0), rho, v0]) for kappa, s, rho in laws]


def _errors(best: Any, name: str) -> tuple[dict[str, float | None], list[str]]:
    notes = [f"{name}: errors take the residuals of the chain as independent, so they are too small"]
    bound = [key for key, active in zip(NAMES, best.active_mask, strict=True) if active]
    if bound:
        notes.append(f"{name}: {', '.join(bound)} at a bound of the search, without an error: look at the quotes")
    free = best.active_mask == 0
    jacobian = best.jac[:, free]
    scale = np.linalg.norm(jacobian, axis=0)
    scale[scale == 0] = 1.0
    info = (jacobian / scale).T @ (jacobian / scale)
    errors: dict[str, float | None] = dict.fromkeys(NAMES)
    if not free.any() or np.linalg.cond(info) > 1e12:
        notes.append(f"{name}: the chain does not tell the parameters apart, so they have no errors")
        return errors, notes
    variance = 2 * best.cost / (len(best.fun) - free.sum())
    spread = np.sqrt(variance * np.diag(np.linalg.inv(info))) / scale
    errors.update(zip(np.array(NAMES)[free].tolist(), map(float, spread), strict=True))
    return errors, notes


def _checked(
    forward: ArrayLike, strike: ArrayLike, years: ArrayLike, volatility: ArrayLike, name: str
) -> tuple[Floats, Floats, Floats, Floats]:
    columns = {"forward": forward, "strike": strike, "years": years, "volatility": volatility}
    values = {key: np.asarray(each, dtype=np.float64) for key, each in columns.items()}
    shapes = {key: each.shape for key, each in values.items()}
    if len(set(shapes.values())) > 1 or values["strike"].ndim != 1:
        raise SettingError(f"{name}: shapes of the chain {shapes}: give one value for each option, [N]")
    problems = [
        f"option {row + 1}: {key} {each[row]:g} is not positive and finite: leave it out"
        for key, each in values.items()
        for row in np.flatnonzero(~((each > 0) & np.isfinite(each)))
    ]
    if len(values["strike"]) < LEAST:
        problems.append(f"{len(values['strike'])} options, but the fit needs {LEAST}: give more of the chain")
    if problems:
        raise InputError(f"chain of {name}", problems)
    return values["forward"], values["strike"], values["years"], values["volatility"]
