"""GJR-GARCH(1,1) of every factor by itself, for filtered historical simulation and conditional volatilities."""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING, Any

import numpy as np
from numpy.typing import ArrayLike

from mcvar.errors import InputError, SettingError
from mcvar.fit.filters import conditional_variances
from mcvar.fit.fitted import Fitted, Floats, checked, kurtosis, ljung_box, number

if TYPE_CHECKING:
    from mcvar.fit.gjr import Maximum

LEAST = 250
NAMES = ("omega", "alpha", "gamma", "beta", "dof")
EDGE = 1e-6  # a parameter this near to its bound stands on it


def fit_garch(
    moves: ArrayLike,
    names: Sequence[str],
    steps_per_year: float,
    *,
    innovations: str = "normal",
    dates: Sequence[str] | None = None,
) -> Fitted:
    """Fit h_{t+1} = omega + (alpha + gamma 1[e_t < 0]) e_t^2 + beta h_t to each factor.

    e are the moves less their sample mean, the mean of the model being zero, as clearing houses take it
    in filtered historical simulation. alpha, alpha + gamma and beta are not negative and alpha + gamma / 2 + beta is at
    most 0.9995, so that the long-run variance omega / (1 - alpha - gamma / 2 - beta) exists
    (Glosten, Jagannathan and Runkle 1993). Maximum likelihood by the package arch.

    Parameters
    ----------
    moves : array_like [T, F]
        Per step of the history, finite; at least 250.
    names : sequence of str [F]
    steps_per_year : float
        For the annual volatilities of the diagnostics.
    innovations : {"normal", "t"}
        Law of e / sqrt(h). Normal is also right for others (quasi maximum likelihood).
    dates : sequence of str [T], optional
        Names of the rows, for messages.

    Returns
    -------
    Fitted
        settings["parameters"][name]: omega, alpha, gamma, beta, variance (forecast of the next step's, in
        squared moves per step), and dof for t.

    Raises
    ------
    InputError
        Moves that cannot be fitted; factors whose fit did not converge.
    SettingError
        Innovations of another name, shapes that do not go together.
    """
    if innovations not in ("normal", "t"):
        raise SettingError(f"innovations is '{innovations}': it must be normal or t")
    x = checked(moves, names, steps_per_year, least=LEAST, dates=dates)
    from mcvar.fit.gjr import maximise  # arch brings pandas, which whoever only filters can do without

    fits = {name: maximise(x[:, f] - x[:, f].mean(), innovations) for f, name in enumerate(names)}
    problems = [
        f"{name}: the GARCH fit did not converge in {fit.attempts} tries ({fit.message}): "
        "give a longer history, or take exponentially weighted variances for it"
        for name, fit in fits.items()
        if not fit.converged
    ]
    if problems:
        raise InputError("GARCH", problems)
    parameters = {name: _parameters(fit) for name, fit in fits.items()}
    h = conditional_variances(x, parameters)
    notes = ["GARCH: the mean is zero on moves less their sample mean; errors are Bollerslev-Wooldridge"]
    errors: dict[str, Any] = {}
    diagnostics: dict[str, Any] = {"observations": len(x), "years": len(x) / steps_per_year, "factors": {}}
    for f, (name, fit) in enumerate(fits.items()):
        parameters[name]["variance"] = float(h[-1, f])
        errors[name] = _errors(name, fit, parameters[name], notes)
        z = (x[:, f] - x[:, f].mean()) / np.sqrt(h[:-1, f])
        diagnostics["factors"][name] = _diagnostics(fit, parameters[name], z, h[-1, f], steps_per_year)
    notes.append("no error of the forecast variance: it depends on the last moves, not only on the parameters")
    return Fitted({"parameters": parameters}, {"parameters": errors}, diagnostics, tuple(notes))


def _parameters(fit: Maximum) -> dict[str, float]:
    """Named parameters; the optimiser may end 1e-18 below a bound."""
    found = dict(zip(NAMES, map(float, fit.parameters), strict=False))
    found["alpha"], found["beta"] = max(found["alpha"], 0.0), max(found["beta"], 0.0)
    found["gamma"] = max(found["gamma"], -found["alpha"])
    return found


def _persistence(p: dict[str, float]) -> float:
    return p["alpha"] + p["gamma"] / 2 + p["beta"]


def _errors(name: str, fit: Maximum, p: dict[str, float], notes: list[str]) -> dict[str, float | None]:
    """Errors of one factor; what stands on a bound has none."""
    from mcvar.fit.gjr import LARGEST_PERSISTENCE

    error = dict(zip(NAMES, map(number, fit.errors), strict=False))
    if p["alpha"] < EDGE:
        error["alpha"] = None
        notes.append(f"{name}: alpha is at its bound 0 and has no error: rises do not raise the variance")
    if p["alpha"] + p["gamma"] < EDGE:
        error["gamma"] = None
        notes.append(f"{name}: alpha + gamma is at its bound 0, gamma has no error: falls do not raise the variance")
    if p["beta"] < EDGE:
        error["beta"] = None
        notes.append(f"{name}: beta is at its bound 0 and has no error: the variance has no memory beyond a step")
    if _persistence(p) > LARGEST_PERSISTENCE - EDGE:
        error = dict.fromkeys(error)
        notes.append(
            f"{name}: the persistence alpha + gamma / 2 + beta is at its bound {LARGEST_PERSISTENCE:g}, so there are "
            "no errors and the long-run variance means little: take a longer history, or exponential weights"
        )
    elif _persistence(p) > 0.99:
        notes.append(f"{name}: the persistence {_persistence(p):.4f} is near 1: the long-run variance is uncertain")
    if p.get("dof", 0.0) > 200:
        notes.append(f"{name}: dof {p['dof']:.0f} is the normal law in all but name: take innovations=normal")
    missing = [key for key, value in error.items() if value is None]
    if missing and not any(note.startswith(f"{name}: ") and "error" in note for note in notes):
        notes.append(f"{name}: no errors of {', '.join(missing)}: the curvature of the likelihood is not invertible")
    return {**error, "variance": None}


def _diagnostics(
    fit: Maximum, p: dict[str, float], z: Floats, forecast: float, steps_per_year: float
) -> dict[str, Any]:
    """Statistics of one factor; z [T] are the standardised residuals."""
    long_run = p["omega"] / (1 - _persistence(p))
    return {
        "loglikelihood": fit.loglikelihood,
        "converged": fit.converged,
        "attempts": fit.attempts,
        "persistence": _persistence(p),
        "annual_volatility": {
            "long_run": float(np.sqrt(long_run * steps_per_year)),
            "forecast": float(np.sqrt(forecast * steps_per_year)),
        },
        "residuals": {
            "deviation": float(z.std()),
            "kurtosis": kurtosis(z),
            "ljung_box_of_squares": ljung_box(z * z),
        },
    }
