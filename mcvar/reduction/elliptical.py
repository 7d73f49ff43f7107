"""The laws under which a quadratic of the moves has a known law: normal moves, and t moves with one mixing variable."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray
from scipy.optimize import brentq

from mcvar.errors import SettingError
from mcvar.models.innovations import Correlated
from mcvar.models.law import Law
from mcvar.models.mixing import LARGEST_DOF, ScaleTable, log_scale

Floats = NDArray[np.float64]


@dataclass(frozen=True)
class Elliptical:
    """Moves over the horizon: x = mean + root z, times sqrt((dof - 2) / W) with one W ~ chi2(dof) for a t law.

    A multivariate normal variance mixture (McNeil, Frey and Embrechts, "Quantitative Risk Management", 2015, section
    6.2), of covariance root root'.

    Parameters
    ----------
    mean : ndarray [F]
    root : ndarray [F, F]
        In the units of the moves.
    dof : float or None
        Degrees of freedom > 2; None: normal.
    """

    mean: Floats
    root: Floats
    dof: float | None = None

    @classmethod
    def of(cls, law: Law) -> Elliptical:
        """The moves of a law over the whole horizon.

        Raises
        ------
        SettingError
            A law that is neither normal nor, in one step, a t law with one mixing variable and no marginals.

        Examples
        --------
        >>> from mcvar.models.innovations import Correlated
        >>> steps = Law(Correlated(np.eye(1)), mean=np.full((4, 1), 0.01), deviation=np.array([0.02]))
        >>> Elliptical.of(steps).mean.tolist(), Elliptical.of(steps).deviation.tolist()
        ([0.04], [0.04])
        """
        innovations = law.innovations
        if law.garch is not None or law.jumps is not None or law.variance is not None:
            raise SettingError(_refusal("it has GARCH, stochastic variances or jumps"))
        if not isinstance(innovations, Correlated):
            raise SettingError(_refusal("its moves are drawn from a history"))
        if innovations.marginals is not None:
            raise SettingError(_refusal("it has marginals of their own"))
        dof = None
        if innovations.mixing is not None:
            group = np.unique(innovations.mixing.group)
            if len(group) > 1:
                raise SettingError(_refusal(f"its factors have {len(group)} mixing variables"))
            if law.steps > 1:
                raise SettingError(_refusal(f"it is a sum of {law.steps} t moves: set model.steps=1"))
            dof = dof_of(innovations.mixing.tables[int(group[0])])
        scale = law.deviation * np.sqrt(law.steps)
        return cls(law.mean.sum(axis=0), scale[:, None] * innovations.root, dof)

    @property
    def deviation(self) -> Floats:
        """Standard deviation of each move, [F]."""
        return np.asarray(np.sqrt((self.root * self.root).sum(axis=1)))


def _refusal(why: str) -> str:
    return (
        f"the delta-gamma law of this model is not known, because {why}: take model=gaussian, or model=student_t with "
        "one dof and one step, or run without variance reduction"
    )


def dof_of(table: ScaleTable) -> float:
    """The degrees of freedom that a table of scales was made for, from its last node.

    Raises
    ------
    SettingError
        A table that no number of degrees of freedom gives.

    Examples
    --------
    >>> round(dof_of(ScaleTable.of(4.5)), 9)
    4.5
    """
    node = np.array([-ScaleTable.LIMIT, 0.0, ScaleTable.LIMIT])
    given = table.log_scale[[0, len(table.log_scale) // 2, -1]]

    def gap(dof: float) -> float:
        return float(log_scale(node[2:], dof)[0] - given[2])

    low, high = 2.0 + 1e-9, 2.0 * LARGEST_DOF
    dof = float(brentq(gap, low, high, xtol=1e-12, rtol=1e-14)) if gap(low) <= 0 <= gap(high) else np.nan
    if not np.allclose(log_scale(node, dof), given, rtol=0, atol=1e-8):
        raise SettingError(_refusal("its mixing variable is not chi-square"))
    return dof
