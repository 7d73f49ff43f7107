"""A law in its principal components: what sources that spread some draws better than others ask for."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
from numpy.typing import NDArray

from mcvar.errors import SettingError
from mcvar.models.innovations import Correlated
from mcvar.models.law import Law
from mcvar.sampling import Plain, Sampling, Shape

Floats = NDArray[np.float64]
_NOT_BELOW = 1.0 - 1e-9  # of the largest entry: what counts as equal to it


def principal_root(root: Floats) -> Floats:
    """V sqrt(Lambda) of root root' = V Lambda V', by falling eigenvalue, [F, F].

    The normals of the leading components then move most of the factors (McNeil, Frey and Embrechts, "Quantitative Risk
    Management", 2015, section 6.4.5). They are the components of the correlation, so that a factor's unit does not
    matter. Of each eigenvector the first of its largest entries is positive.

    Parameters
    ----------
    root : ndarray [F, F]

    Examples
    --------
    >>> half = np.linalg.cholesky(np.array([[1.0, 0.5], [0.5, 1.0]]))
    >>> principal_root(half).round(4).tolist()
    [[0.866, 0.5], [0.866, -0.5]]
    """
    vector, deviation, _ = np.linalg.svd(root)
    size = np.abs(vector)
    first = (size >= _NOT_BELOW * size.max(axis=0)).argmax(axis=0)
    sign = np.where(vector[first, np.arange(len(root))] < 0, -1.0, 1.0)
    return np.asarray(vector * (sign * deviation))


def shape_of(law: Law) -> Shape:
    """What a law draws that a sampling can spread; no factors where it draws dates.

    See `tests/test_sampling.py` for the shapes of all models.
    """
    drawn = law.innovations
    if not isinstance(drawn, Correlated):
        return Shape(law.steps, 0, 0)
    return Shape(law.steps, 0 if drawn.mixing is None else drawn.mixing.draws, len(drawn.root))


def refuse_sampling(law: Law, sampling: Sampling) -> None:
    """Refuse a law that a sampling can do nothing for.

    Raises
    ------
    SettingError
        A law of historical residuals, which has no normals to spread.
    """
    if not isinstance(sampling, Plain) and not isinstance(law.innovations, Correlated):
        raise SettingError(
            f"model=filtered_historical draws a date in each step, and has no normals for sampling={sampling.name} to "
            "spread: take sampling=plain, or model=garch"
        )


def sampled_law(law: Law, sampling: Sampling) -> Law:
    """The law as a sampling draws it: the same law, in its principal components unless the sampling is plain."""
    if isinstance(sampling, Plain) or not isinstance(law.innovations, Correlated):
        return law
    return replace(law, innovations=replace(law.innovations, root=principal_root(law.innovations.root)))
