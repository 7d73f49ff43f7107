"""A scan grid: a table of moves. Which prices and volatilities a margin system looks at is data."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

Floats = NDArray[np.float64]
Ints = NDArray[np.int64]


@dataclass(frozen=True)
class Grid:
    """S points, numbered from 1 in what people read.

    Parameters
    ----------
    name : str
    price : ndarray [S]
        Move of the price in units of the commodity's price range.
    volatility : ndarray [S]
        +1, -1 or 0 (or a part): in units of the commodity's volatility range.
    weight : ndarray [S]
        Of the loss that counts: the covered fraction of extreme moves, else 1.
    pair : ndarray [S]
        The point with the same price and the opposite volatility; a point without one is its own.

    Examples
    --------
    >>> SPAN16.price.round(2).tolist()[:6], SPAN16.weight.tolist()[-2:], (SPAN16.pair + 1).tolist()[:4]
    ([0.0, 0.0, 0.33, 0.33, -0.33, -0.33], [0.35, 0.35], [2, 1, 4, 3])
    """

    name: str
    price: Floats
    volatility: Floats
    weight: Floats
    pair: Ints

    def __len__(self) -> int:
        """S."""
        return len(self.price)

    @classmethod
    def span(cls, extreme: float = 2.0, covered: float = 0.35) -> Grid:
        """The sixteen scenarios of SPAN, with the multiple of extreme moves and the fraction of these that counts."""
        thirds = np.array([0, 0, 1, 1, -1, -1, 2, 2, -2, -2, 3, 3, -3, -3]) / 3
        price = np.append(thirds, [extreme, -extreme])
        volatility = np.append(np.tile([1.0, -1.0], 7), [0.0, 0.0])
        weight = np.append(np.ones(14), [covered, covered])
        pair = np.append(np.arange(14) ^ 1, [14, 15])
        return cls("span16", price, volatility, weight, pair)

    @property
    def is_span(self) -> bool:
        """Whether these are the sixteen scenarios of SPAN, whatever their extreme moves are and count."""
        inner = slice(0, 14)
        same = len(self) == 16 and all(
            np.allclose(getattr(self, name)[inner], getattr(Grid.span(), name)[inner], rtol=0, atol=1e-12)
            for name in ("price", "volatility", "weight")
        )
        return bool(
            same
            and self.price[14] == -self.price[15] > 0
            and self.weight[14] == self.weight[15]
            and not self.volatility[14:].any()
        )


SPAN16 = Grid.span()
