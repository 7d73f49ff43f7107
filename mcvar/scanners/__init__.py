"""The scan engine of a run: contracts priced on a grid by mcvar, or risk arrays and parameters of a file."""

from __future__ import annotations

from typing import TypeAlias

from mcvar.scanners.desk import Desk as Desk
from mcvar.scanners.priced import Priced as Priced
from mcvar.scanners.priced import priced
from mcvar.scanners.published import Published as Published
from mcvar.scanners.published import published
from mcvar.settings.scan import ScanConfig

Scanner: TypeAlias = Priced | Published


def scanner_of(config: ScanConfig, desk: Desk) -> Scanner:
    """The scan engine that a configuration asks for.

    Raises
    ------
    McvarError
        Whatever is wrong with the grid or the file.
    """
    if config.file:
        return published(config, desk)
    return priced(config, desk, desk.given.tables.get("instruments"))
