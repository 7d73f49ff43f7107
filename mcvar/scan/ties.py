"""Which of several points is the worst where some differ by rounding only: one rule for all scan engines."""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

Floats = NDArray[np.float64]
Ints = NDArray[np.int64]
TOLERANCE = 1e-10  # of what positions lose one by one; engines agree to 1e-12 of what these are worth


def worst_point(loss: Floats, gross: Floats, tie: str = "lowest") -> tuple[Ints, Floats]:
    """The point that is named as the worst, from 0, and the largest loss, [R] each.

    Losses no more than `TOLERANCE` x `gross` below the largest tie with it: what two engines, or two orders of the same
    positions, differ by must not decide. It decides a name, and which point is paired with it; the largest loss itself
    stays what it is, so that no margin changes.

    Parameters
    ----------
    loss : ndarray [R, S]
    gross : ndarray [R]
        Sum over positions of |quantity| x the largest |loss| of one, which is what rounding is a part of: the losses
        of a box are a small part of what its options lose.
    tie : str
        `lowest` or `highest` number.

    Examples
    --------
    >>> nearly = np.array([[1.0, 3.0, 3.0 + 4e-16, 2.0]])
    >>> [worst_point(nearly, np.array([5.0]), tie)[0].tolist() for tie in ("lowest", "highest")]
    [[1], [2]]
    """
    largest = np.ascontiguousarray(loss.T).max(axis=0)  # twice as fast as along short rows
    with np.errstate(invalid="ignore"):  # infinite losses are refused by who adds them up
        tied = loss >= (largest - TOLERANCE * gross)[:, None]
    point = tied.argmax(axis=1) if tie == "lowest" else loss.shape[1] - 1 - tied[:, ::-1].argmax(axis=1)
    return point, largest
