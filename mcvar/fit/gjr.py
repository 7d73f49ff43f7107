"""One factor's GJR-GARCH(1,1) by maximum likelihood, with the package arch."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from arch.univariate import GARCH, Normal, StudentsT, ZeroMean

from mcvar.fit.fitted import Floats

LARGEST_PERSISTENCE = 0.9995  # half life of a shock: 1,386 steps
STARTS = (None, (0.05, 0.0, 0.90), (0.02, 0.05, 0.80), (0.15, 0.0, 0.60))  # arch's; alpha, gamma, beta
# At the first tolerance the rounding of sums may keep a search from ending where it arrived; the second is arch's own.
TRIES = [(tolerance, start) for tolerance in (1e-9, 1e-6) for start in STARTS]


class Stationary(GARCH):  # type: ignore[misc, unused-ignore]  # arch is not typed in all versions
    """GJR-GARCH(1,1) whose persistence alpha + gamma / 2 + beta stays below 1; arch itself allows 1."""

    def __init__(self) -> None:
        super().__init__(p=1, o=1, q=1)

    def constraints(self) -> tuple[Floats, Floats]:
        """A and b of A parameters >= b; the last row is the persistence."""
        a, b = super().constraints()
        bound = np.array(b)
        bound[-1] = -LARGEST_PERSISTENCE
        return np.asarray(a), bound


@dataclass(frozen=True)
class Maximum:
    """Parameters (omega, alpha, gamma, beta and, for t, dof), their robust errors, and how the search ended."""

    parameters: Floats
    errors: Floats
    loglikelihood: float
    converged: bool
    attempts: int
    message: str


def maximise(centred: Floats, innovations: str) -> Maximum:
    """Maximum likelihood of [T] moves with mean zero, in units of the moves.

    The optimiser sees moves of unit standard deviation s: omega scales with s^2, the log likelihood
    shifts by -T ln s. Errors are those of Bollerslev and Wooldridge (1992), robust to innovations
    that are not of the law fitted.
    """
    scale = float(np.sqrt(np.mean(centred**2)))
    law = StudentsT() if innovations == "t" else Normal()
    model = ZeroMean(centred / scale, volatility=Stationary(), distribution=law, rescale=False)
    result, tried = None, 0
    while tried < len(TRIES) and (result is None or result.convergence_flag):
        tolerance, attempt = TRIES[tried]
        start = None
        if attempt is not None:
            alpha, gamma, beta = attempt
            dof = [8.0] if innovations == "t" else []
            start = np.array([1 - alpha - gamma / 2 - beta, alpha, gamma, beta, *dof])
        # Convergence is read from the result: arch's own warnings would say it twice.
        options = {"maxiter": 1000}
        result = model.fit(disp="off", show_warning=False, starting_values=start, tol=tolerance, options=options)
        tried += 1
    assert result is not None
    unit = np.ones(len(result.params))
    unit[0] = scale**2
    with np.errstate(all="ignore"):  # at a boundary the Hessian can be singular: its errors are then not finite
        errors = np.asarray(result.std_err, dtype=np.float64) * unit
    return Maximum(
        np.asarray(result.params, dtype=np.float64) * unit,
        errors,
        float(result.loglikelihood) - len(centred) * np.log(scale),
        result.convergence_flag == 0,
        tried,
        str(result.optimization_result.message),
    )
