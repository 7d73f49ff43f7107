"""How moves change levels: log, simple and absolute shocks."""

from __future__ import annotations

from enum import Enum

import numpy as np
from numpy.typing import NDArray

Floats = NDArray[np.float64]


class Shock(Enum):
    """How a factor's move x changes its level: S exp(x), max(S (1 + x), 0), or S + x."""

    log = "log"
    simple = "simple"
    absolute = "absolute"


def moved(shock: Shock, level: float, x: Floats) -> Floats:
    """The level after a move."""
    match shock:
        case Shock.log:
            return np.asarray(level * np.exp(x))
        case Shock.simple:
            return np.maximum(level * (1.0 + x), 0.0)
        case Shock.absolute:
            return np.asarray(level + x)


def move_to(shock: Shock, level: float, target: Floats) -> Floats:
    """The move that takes a level to `target`."""
    match shock:
        case Shock.log:
            return np.asarray(np.log(target / level))
        case Shock.simple:
            return np.asarray(target / level - 1.0)
        case Shock.absolute:
            return np.asarray(target - level)
