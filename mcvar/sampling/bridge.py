"""The Brownian bridge over the steps of a path: the most important normal first.

A path of T independent standard normal steps is made of T other independent normals w_0, ..., w_(T-1): w_0 says where
the path ends, w_1 where it is half way given its ends, and so on. z = B w with B orthogonal, so the law of the steps is
unchanged; but the first few w carry most of what a claim on the end of the path depends on (Caflisch, Morokoff and
Owen, "Valuation of mortgage-backed securities using Brownian bridges to reduce effective dimension", Journal of
Computational Finance 1, 1997; Glasserman, "Monte Carlo Methods in Financial Engineering", 2003, sections 3.1, 5.5).
"""

from __future__ import annotations

from collections import deque
from collections.abc import Iterator
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

Floats = NDArray[np.float64]
Ints = NDArray[np.int64]


@dataclass(frozen=True)
class Bridge:
    """B row by row, without its zeros: a step reads at most 1 + log2(T), rounded up, of the T levels.

    Parameters
    ----------
    begin : ndarray [T + 1]
        Entries of step t are those from begin[t] to begin[t + 1], by ascending level.
    level : ndarray [entries]
    weight : ndarray [entries]
    place : ndarray [T]
        The level that fixes the end of each step: 0 for the last one.

    Examples
    --------
    Four steps: their end, then the middle, then the quarters.

    >>> Bridge.of(4).matrix().round(3).tolist()[:2]
    [[0.5, 0.5, 0.707, 0.0], [0.5, 0.5, -0.707, 0.0]]
    >>> Bridge.of(4).place.tolist()
    [2, 1, 3, 0]
    """

    begin: Ints
    level: Ints
    weight: Floats
    place: Ints

    @classmethod
    def of(cls, steps: int) -> Bridge:
        """The bridge over `steps` steps of equal length.

        Level 0 moves all steps alike. Any other fixes the end m of a step between the known ends a < m < b, where the
        path is normal about the line between them with variance (m - a) (b - m) / (b - a): what it adds is spread
        evenly over the steps to m, and taken evenly off those from m to b. Broader intervals come first.
        """
        place = np.zeros(steps, dtype=np.int64)
        spans = [(0, steps, 0, 1.0 / np.sqrt(steps))]  # first step, end, level, weight
        todo = deque([(0, steps)])
        level = 0
        while todo:
            a, b = todo.popleft()
            if b - a < 2:
                continue
            level += 1
            m = (a + b) // 2
            deviation = np.sqrt((m - a) * (b - m) / (b - a))
            spans += [(a, m, level, deviation / (m - a)), (m, b, level, -deviation / (b - m))]
            place[m - 1] = level
            todo += [(a, m), (m, b)]
        length = np.array([b - a for a, b, _, _ in spans])
        step = np.concatenate([np.arange(a, b) for a, b, _, _ in spans])
        order = np.argsort(step, kind="stable")
        begin = np.searchsorted(step[order], np.arange(steps + 1)).astype(np.int64)
        levels = np.repeat(np.array([each[2] for each in spans], dtype=np.int64), length)
        weights = np.repeat(np.array([each[3] for each in spans]), length)
        return cls(begin, levels[order], weights[order], place)

    @property
    def steps(self) -> int:
        """T."""
        return len(self.place)

    def entries(self, step: int) -> Iterator[tuple[int, float]]:
        """Levels and weights of a step."""
        at = slice(int(self.begin[step]), int(self.begin[step + 1]))
        return zip(self.level[at].tolist(), self.weight[at].tolist(), strict=True)

    def matrix(self) -> Floats:
        """B, [T, T]: steps by levels."""
        dense = np.zeros((self.steps, self.steps))
        dense[np.repeat(np.arange(self.steps), np.diff(self.begin)), self.level] = self.weight
        return dense
