"""Delta-gamma importance sampling: moves drawn from a law under which losses near VaR are common.

The law of the moves is twisted exponentially in the quadratic Q = c + sum of b_j Z_j + lambda_j Z_j^2 of a loss, with
theta where the twisted mean of Q is its quantile. Normals then have

    mean theta b_j / (1 - 2 theta lambda_j),  variance 1 / (1 - 2 theta lambda_j)

(P. Glasserman, P. Heidelberger and P. Shahabuddin, "Variance reduction techniques for estimating Value-at-Risk",
Management Science 46, 2000). For t moves the twist is in (Y / nu) (Q - quantile), Y the chi-square under the root: a
constant mean as well, and a smaller Y, which is a larger root (the same, "Portfolio value-at-risk with heavy-tailed
risk factors", Mathematical Finance 12, 2002). So the twisted law is a `Law` with another mean and another root, which
every engine simulates as it is. The weight of a scenario is the ratio of the densities of its moves: for t moves that
has less variance than the ratio for moves and Y, whose conditional mean it is.

Weights are small where losses are and large where profits are: VaR and ES gain, the mean and the standard deviation of
the loss lose, and must come from scenarios of the original law.
"""

from __future__ import annotations

from dataclasses import dataclass, replace

import numpy as np
from numpy.typing import NDArray

from mcvar.errors import SettingError
from mcvar.models.innovations import Correlated
from mcvar.models.law import Law
from mcvar.reduction.delta_gamma import Expansion
from mcvar.reduction.elliptical import Elliptical
from mcvar.reduction.inversion import saddles
from mcvar.reduction.quadratic import QuadraticLaw, diagonal
from mcvar.scenarios import BLOCK, Simulated

Floats = NDArray[np.float64]
Ints = NDArray[np.int64]


@dataclass(frozen=True)
class Twist:
    """A twisted law, and the weights that undo it.

    Parameters
    ----------
    law : Law
        To be simulated instead of the original.
    theta : float
        0: the original law.
    mean : ndarray [F]
        Of the original moves.
    inverse : ndarray [k, F]
        Coordinates of a move: inverse (x - mean), uncorrelated and of variance 1 under the original law.
    shift, spread : ndarray [k]
        Mean and scale of the coordinates under the twisted law.
    dof : float or None
        Of the moves.
    """

    law: Law
    theta: float
    mean: Floats
    inverse: Floats
    shift: Floats
    spread: Floats
    dof: float | None

    def scenarios(self, original: Simulated) -> Simulated:
        """The scenarios of a run, drawn from the twisted law."""
        return replace(original, law=self.law)

    def weights(self, x: Floats) -> Floats:
        """Ratios of the original density to the twisted one at moves [F, N], [N]; of mean 1 under the twisted law."""
        y = self.inverse @ (x - self.mean[:, None])
        there = (y - self.shift[:, None]) / self.spread[:, None]
        volume = np.log(self.spread).sum()
        before, after = (y * y).sum(axis=0), (there * there).sum(axis=0)
        if self.dof is None:
            return np.asarray(np.exp(volume + 0.5 * (after - before)))
        power = 0.5 * (self.dof + len(y))  # of the density of t moves of covariance 1
        return np.asarray(
            np.exp(volume + power * (np.log1p(after / (self.dof - 2)) - np.log1p(before / (self.dof - 2))))
        )

    def block(self, scenarios: Simulated, start: int, stop: int) -> Floats:
        """Weights of the scenarios from start to stop, [stop - start]."""
        return self.weights(scenarios.moves(start, stop))

    def at(self, scenarios: Simulated, index: Ints) -> Floats:
        """Weights of the named scenarios, in the shape of `index`: of those of a tail, say."""
        named, place = np.unique(index, return_inverse=True)
        found = np.empty(len(named))
        first = named // BLOCK
        for block in np.unique(first):
            here = np.flatnonzero(first == block)
            start = int(block) * BLOCK
            stop = min(start + BLOCK, scenarios.count)
            found[here] = self.block(scenarios, start, stop)[named[here] - start]
        return np.asarray(found[place].reshape(index.shape))


def twist(law: Law, loss: Expansion, level: float, *, weight: Floats | None = None) -> Twist:
    """Twist a law towards large losses of one row, or of a cluster of rows.

    The target of a cluster is the weighted sum of its rows' quadratics, which is that of their netted loss: rows that
    lose together profit together. Weights of one over each row's VaR let them count alike.

    Parameters
    ----------
    law : Law
        Normal, or t with one mixing variable, in one step.
    loss : Expansion
        Of the LOSS of the rows: `expand(...).loss`.
    level : float
        Of the VaR that the twisted mean is to be at.
    weight : ndarray [R], optional
        Of the rows in the target; default 1.

    Raises
    ------
    SettingError
        Any other law, or more than one step.
    """
    if law.steps > 1:
        raise SettingError(
            f"importance sampling draws the move over the horizon at once, but the law has {law.steps} steps: set "
            "model.steps=1"
        )
    moves = Elliptical.of(law)
    assert isinstance(law.innovations, Correlated)  # or the moves were not elliptical
    # In as few coordinates as the moves have: factors that stand still, or move as others do, have none of their own.
    unit = np.where(law.deviation[:, None] > 0, law.innovations.root, 0.0)
    side, size, _ = np.linalg.svd(unit)
    k = int((size > 1e-10 * size.max(initial=0.0)).sum())
    unit = side[:, :k] * size[:k]
    moves = replace(moves, root=law.deviation[:, None] * unit)
    target = loss.combined(np.ones(len(loss.constant)) if weight is None else weight)
    constant, b, square, rotation = diagonal(target, 0, moves)
    known = QuadraticLaw(np.array([constant]), b[None, :], square[None, :], moves.dof)
    theta, shift, spread = _twisted(b, square, float(known.quantile([level])[0, 0]) - constant, moves.dof)
    turned = unit @ rotation  # of the coordinates in which the target is a sum
    still = np.where(law.deviation > 0, law.deviation, 1.0)
    inverse = (rotation.T * (1 / size[:k])) @ (side[:, :k].T / still)
    lower = np.zeros((len(unit), len(unit)))
    upper = np.asarray(np.linalg.qr((turned * spread).T, mode="r"))
    lower[:, :k] = (upper * np.where(np.diag(upper) < 0, -1.0, 1.0)[:, None]).T
    mean = law.mean + (law.deviation * (turned @ shift))[None, :]
    note = f"importance sampling: the law of the moves is twisted by {theta:.6g}, and losses are weighted"
    twisted = replace(
        law, innovations=replace(law.innovations, root=np.tril(lower)), mean=mean, notes=(*law.notes, note)
    )
    return Twist(twisted, theta, moves.mean, inverse, shift, spread, moves.dof)


def _twisted(b: Floats, square: Floats, x: float, dof: float | None) -> tuple[float, Floats, Floats]:
    """Theta where the twisted mean is x, and the mean and scale of each coordinate there."""
    scale = float(np.sqrt((b**2).sum() + 2 * (square**2).sum()))
    still = 0.0, np.zeros(len(b)), np.ones(len(b))
    if not scale > 0 or x <= square.sum():
        return still
    shrink = 1.0 if dof is None else (dof - 2) / dof
    b, square, x = b * np.sqrt(shrink) / scale, square * shrink / scale, x / scale
    theta = float(saddles(b[None, :] ** 2, square[None, :], dof, np.array([x]), pole=False)[0])
    if not np.isfinite(theta):
        return still
    left = 1 - 2 * theta * square
    shift, spread = theta * b / left, 1 / np.sqrt(left)
    if dof is not None:
        half = (theta * b * shift).sum() / 2 - theta * x
        spread = spread * np.sqrt(1 - 2 * half / dof)
    return theta / scale, np.sqrt(shrink) * shift, spread
