"""The precision of option values and of their sums; moves and measures are always double."""

from __future__ import annotations

from enum import Enum
from typing import Any

import numpy as np


class Precision(Enum):
    """`mixed` screens in single precision and revalues in double what may matter for a wanted rank."""

    fp64 = "fp64"
    fp32 = "fp32"
    mixed = "mixed"

    @property
    def real(self) -> np.dtype[Any]:
        """The type of the values of a build."""
        return np.dtype("f4" if self is Precision.fp32 else "f8")
