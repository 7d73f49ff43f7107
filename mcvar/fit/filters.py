"""Conditional variances: filters that run a variance recursion over a history of moves."""

from __future__ import annotations

from collections.abc import Mapping

import numpy as np

from mcvar.errors import SettingError
from mcvar.fit.fitted import Floats

START = 75  # moves that the first variance is taken from, as in the package arch


def conditional_variances(
    moves: Floats, parameters: Mapping[str, Mapping[str, float]], *, start: Floats | None = None
) -> Floats:
    """Variances of a GJR-GARCH(1,1) given the moves before, [T + 1, F]; the last row is the forecast.

    h_{t+1} = omega + (alpha + gamma 1[e_t < 0]) e_t^2 + beta h_t (Glosten, Jagannathan and Runkle 1993),
    e the moves less their sample mean, as `fit_garch` takes them.

    Parameters
    ----------
    moves : ndarray [T, F]
        Per step, finite.
    parameters : mapping
        omega, alpha, gamma, beta by factor, in the order of the columns: `fit_garch`'s settings.
    start : ndarray [F], optional
        h of the first move. By default that of the package arch: omega + (alpha + gamma / 2 + beta) b,
        b the mean of the first 75 squares with weights 0.94^t.

    Returns
    -------
    ndarray [T + 1, F]
        In squared moves per step.

    Raises
    ------
    SettingError
        The number of parameter sets is not that of the columns.
    """
    if moves.ndim != 2 or len(parameters) != moves.shape[1] or not len(moves):
        raise SettingError(
            f"{len(parameters)} sets of GARCH parameters ({', '.join(parameters)}) for moves of shape {moves.shape}: "
            "give rows x factors, and one set for each factor"
        )
    omega, alpha, gamma, beta = (
        np.array([each[key] for each in parameters.values()]) for key in ("omega", "alpha", "gamma", "beta")
    )
    e = moves - moves.mean(axis=0)
    squares = e * e
    if start is None:
        weight = 0.94 ** np.arange(min(START, len(e)))
        start = omega + (alpha + gamma / 2 + beta) * (weight @ squares[: len(weight)] / weight.sum())
    news = omega + (alpha + gamma * (e < 0)) * squares
    h = np.empty((len(e) + 1, len(omega)))
    h[0] = start
    for t in range(len(e)):
        h[t + 1] = news[t] + beta * h[t]
    return h


def ewma_variances(moves: Floats, decay: float) -> Floats:
    """Exponentially weighted variances about zero (RiskMetrics 1996), [T + 1, F]; the last row is the forecast.

    h_{t+1} = decay h_t + (1 - decay) x_t^2, started at the mean of the first 75 squares (or of all, if fewer).

    Parameters
    ----------
    moves : ndarray [T, F]
    decay : float
        In (0, 1); 0.94 is the RiskMetrics daily value.

    Raises
    ------
    SettingError
        No moves, or a decay outside (0, 1).
    """
    if not 0 < decay < 1:
        raise SettingError(f"decay is {decay}: it must lie between 0 and 1, such as 0.94")
    if moves.ndim != 2 or not len(moves):
        raise SettingError(f"moves have shape {moves.shape}: give rows x factors, at least one row")
    squares = moves * moves
    h = np.empty((len(moves) + 1, moves.shape[1]))
    h[0] = squares[:START].mean(axis=0)
    for t in range(len(moves)):
        h[t + 1] = decay * h[t] + (1 - decay) * squares[t]
    return h
