"""A combined commodity of an `.spn` file while it is read."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import Any

from mcvar.io.xml_stream import Element

Row = tuple[int, dict[str, Any]]  # its line, and cells


@dataclass
class Definition:
    """One `ccDef`; its name is known once the element that holds it has been read."""

    element: Element
    house: Element | None = None  # the clearing organization around it
    tiers: list[Row] = field(default_factory=list)
    between: list[Row] = field(default_factory=list)
    minimum: list[float] = field(default_factory=list)
    spreads: list[Element] = field(default_factory=list)
    delivery: list[Row] = field(default_factory=list)

    @property
    def name(self) -> str:
        """Its code."""
        return self.element.text("cc")

    @property
    def currency(self) -> str:
        """Of its charges."""
        return self.element.text("currency")


@dataclass(frozen=True)
class Owner:
    """What a contract needs of its commodity."""

    name: str
    currency: str
    exponent: int
    scale: float
