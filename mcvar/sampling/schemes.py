"""Ways to spread draws: which source they make, for which numbers of scenarios, and what their replicates are."""

from __future__ import annotations

from dataclasses import dataclass
from typing import ClassVar

from mcvar.errors import SettingError
from mcvar.sampling.bridge import Bridge
from mcvar.sampling.directions import DIMENSIONS, MOST_BITS
from mcvar.sampling.sobol import Sobol
from mcvar.sampling.source import Philox, Source
from mcvar.sampling.stratified import Stratified

REPLICATES = 16  # of stratified sampling
MOST_SCRAMBLINGS = 1024
MOST_STRATA = 1024


@dataclass(frozen=True)
class Shape:
    """What a law draws in a path: T steps, M mixing variables and F normals in each.

    Examples
    --------
    >>> Shape(steps=10, mixings=1, factors=200).dimensions
    2010
    """

    steps: int
    mixings: int
    factors: int

    @property
    def dimensions(self) -> int:
        """T (M + F)."""
        return self.steps * (self.mixings + self.factors)


@dataclass(frozen=True)
class Plain:
    """Independent scenarios.

    Examples
    --------
    >>> Plain().unit, Plain().replicates
    (1, None)
    """

    unit: ClassVar[int] = 1
    replicates: ClassVar[None] = None
    name: ClassVar[str] = "plain"

    def check(self, count: int, shape: Shape) -> None:
        """Any number of scenarios will do."""

    def source(self, seed: int, count: int, shape: Shape) -> Source:
        """What `count` scenarios are drawn from."""
        return Philox(seed)


@dataclass(frozen=True)
class Quasi:
    """Randomised quasi-Monte Carlo: independent scramblings of Sobol points, each of which is a replicate.

    Parameters
    ----------
    scramblings : int
        R, from 2 to 1,024.

    Examples
    --------
    >>> Quasi().check(1_000_000, Shape(1, 0, 10))
    Traceback (most recent call last):
    mcvar.errors.SettingError: scenarios.count is 1000000, but sampling=sobol with sampling.scramblings=16 takes...
    """

    scramblings: int = 16
    unit: ClassVar[int] = 1
    name: ClassVar[str] = "sobol"

    @property
    def replicates(self) -> int:
        """Scenario n is of replicate n mod R."""
        return self.scramblings

    def check(self, count: int, shape: Shape) -> None:
        """Refuse what has no balanced points.

        Raises
        ------
        SettingError
            Scramblings out of range, a count that is not R times a power of two, more dimensions than there are.
        """
        r = self.scramblings
        if not 2 <= r <= MOST_SCRAMBLINGS:
            raise SettingError(
                f"sampling.scramblings is {r}: it must be from 2, as errors are told from their differences, to "
                f"{MOST_SCRAMBLINGS}"
            )
        if count % r or (count // r) & (count // r - 1):
            below = r << max((count // r).bit_length() - 1, 0)
            raise SettingError(
                f"scenarios.count is {count}, but sampling=sobol with sampling.scramblings={r} takes {r} times a power "
                f"of two, so that each scrambling is balanced: set scenarios.count to {below} or {2 * below}"
            )
        if count // r > 2**MOST_BITS:
            raise SettingError(
                f"scenarios.count is {count}, beyond {r} times 2**{MOST_BITS} points: raise sampling.scramblings"
            )
        if shape.dimensions > DIMENSIONS:
            raise SettingError(
                f"sampling=sobol needs {shape.dimensions:,} dimensions for model.steps={shape.steps} times "
                f"{shape.factors} factors and {shape.mixings} mixing variables, and there are {DIMENSIONS:,}: take "
                "fewer steps, or sampling=stratified"
            )

    def source(self, seed: int, count: int, shape: Shape) -> Source:
        """See `Plain.source`."""
        bits = max((count // self.scramblings - 1).bit_length(), 1)
        return Sobol.of(
            seed, self.scramblings, steps=shape.steps, mixings=shape.mixings, components=shape.factors, bits=bits
        )


@dataclass(frozen=True)
class Strata:
    """Strata of the leading principal component's end; `REPLICATES` groups of whole rounds through the strata.

    Parameters
    ----------
    strata : int
        A power of two from 2 to 1,024.

    Examples
    --------
    >>> Strata(64).unit, Strata(64).replicates  # scenario n is of replicate (n // 64) mod 16
    (64, 16)
    """

    strata: int = 64
    replicates: ClassVar[int] = REPLICATES
    name: ClassVar[str] = "stratified"

    @property
    def unit(self) -> int:
        """Scenario n is of replicate (n // unit) mod `replicates`."""
        return self.strata

    def check(self, count: int, shape: Shape) -> None:
        """Refuse what is not balanced.

        Raises
        ------
        SettingError
            Strata that are no power of two in range, a count that is not a multiple of 16 times the strata.
        """
        s = self.strata
        if not 2 <= s <= MOST_STRATA or s & (s - 1):
            raise SettingError(f"sampling.strata is {s}: it must be a power of two from 2 to {MOST_STRATA}")
        whole = self.replicates * s
        if count % whole:
            below = count // whole * whole
            near = f"{below} or {below + whole}" if below else f"{whole}"
            raise SettingError(
                f"scenarios.count is {count}, but sampling=stratified with sampling.strata={s} takes a multiple of "
                f"{whole}, so that each of {self.replicates} replicates is balanced: set scenarios.count to {near}"
            )

    def source(self, seed: int, count: int, shape: Shape) -> Source:
        """See `Plain.source`."""
        return Stratified(seed, self.strata, Bridge.of(shape.steps))


Sampling = Plain | Quasi | Strata
