"""Book, market, risk arrays and parameters of a scan, for another engine."""

from __future__ import annotations

from mcvar import config as c
from mcvar.export import Files, export_files, stated_of
from mcvar.io.scan.file import Stated
from mcvar.market import DAYS_PER_YEAR
from mcvar.scanners import Published, Scanner


def exported(config: c.Config, scanner: Scanner) -> Files:
    """The files of an export: see `mcvar.export.export_files`.

    Raises
    ------
    InputError
        Names and numbers that could not be read back.
    """
    desk = scanner.desk
    if isinstance(scanner, Published):
        file = scanner.file
        return export_files(
            config, desk.given, file.arrays, scanner.grid, file.parameters, stated=file.stated or Stated(),
            lookahead=float("nan"), contracts=file.contracts,
        )  # fmt: skip
    exchange = scanner.scan.exchange
    return export_files(
        config, desk.given, scanner.contracts.arrays, exchange.points, exchange.parameters,
        stated=stated_of(desk.market, DAYS_PER_YEAR * scanner.horizon), lookahead=scanner.lookahead,
    )  # fmt: skip
