"""Risk arrays and parameters of a file: prices are those of who made it."""

from __future__ import annotations

import dataclasses
from collections.abc import Mapping
from dataclasses import dataclass, replace

import numpy as np
from numpy.typing import NDArray
from scipy import sparse

from mcvar.config import Config
from mcvar.errors import InputError, SettingError
from mcvar.export import Files, export_files
from mcvar.io.scan.file import ScanFile, Stated
from mcvar.io.scan_read import read_scan
from mcvar.market import DAYS_PER_YEAR, Market
from mcvar.scan.comparison.compare import Scans
from mcvar.scan.grid import SPAN16, Grid
from mcvar.scan.span.algorithm import span
from mcvar.scan.span.breakdown import Breakdown
from mcvar.scan.span.margins import Margins
from mcvar.scan.span.slots import outside_tiers
from mcvar.scan.span.text import text
from mcvar.scan.times import same
from mcvar.scanners.desk import Desk
from mcvar.settings.scan import ScanConfig

Floats = NDArray[np.float64]
_READ = ("file", "tie", "days", "lookahead", "conventions")  # of the settings, beside a file


@dataclass(frozen=True)
class Published:
    """A scan engine on risk arrays and parameters that were made elsewhere.

    Parameters
    ----------
    desk : Desk
    file : ScanFile
    grid : Grid
    horizon : float
        Years of moves that the ranges are of; NaN: nobody said.
    inputs : mapping of path to digest
    """

    desk: Desk
    file: ScanFile
    grid: Grid
    horizon: float
    inputs: Mapping[str, str]

    @property
    def name(self) -> str:
        """Of the grid."""
        return self.grid.name

    @property
    def lookahead(self) -> float:
        """Years that pass until the prices of the scenarios, of the commodities that are held; NaN: not known.

        Raises
        ------
        SettingError
            They differ.
        """
        at = {name: i for i, name in enumerate(self.file.arrays.name)}
        used = {
            self.file.arrays.commodity[self.file.arrays.of[at[name]]]
            for name in self.desk.book.instruments.name
            if name in at
        }
        found = {each.lookahead for each in self.file.parameters.commodities if each.name in used}
        if any(np.isnan(each) for each in found):
            return float("nan")
        if len(found) > 1:
            raise SettingError(
                f"scan.file has commodities with look-aheads of {sorted(DAYS_PER_YEAR * each for each in found)} days: "
                "a comparison takes one for all"
            )
        return found.pop() if found else float("nan")

    @property
    def notes(self) -> tuple[str, ...]:
        """What the reader must know."""
        a, commodities = self.file.arrays, self.file.parameters.commodities
        return (*self.file.notes, *outside_tiers(commodities, a.name, [a.commodity[c] for c in a.of], a.month))

    def margins(self) -> Margins:
        """Of all accounts, in the run's currency.

        Raises
        ------
        InputError
            Positions in instruments that have no array, each with its line; see also `mcvar.scan.span.algorithm.span`.
        """
        desk, known = self.desk, set(self.file.arrays.name)
        missing = {name for name in desk.book.instruments.name if name not in known}
        if missing:
            positions = desk.given.tables["positions"]
            raise InputError(
                positions.source,
                [
                    f"{positions.where(row)}: '{name}' has no risk array in scan.file: add one, or remove the position"
                    for row, name in enumerate(positions.texts("instrument"))
                    if name in missing
                ],
            )
        return self._span(desk.held, desk.account)

    def scans(self) -> Scans:
        """As a side of a comparison, each account in its currency."""
        return self.desk.scans(self.name, self.margins(), self._span(self.desk.units))

    @property
    def ranged(self) -> None:
        """Margins with other ranges are not known: a file has arrays of its own ranges alone."""

    def breakdown(self, row: int) -> str:
        """Every step of an account's margin, to be checked by hand."""
        made = self._span(self.desk.held[[row]], self.desk.account[row : row + 1])
        return self.desk.stated(text(Breakdown.of(made, 0)), row, float(made.requirement[0]))

    def export(self, config: Config) -> Files:
        """Book, market, arrays and parameters: see `mcvar.export.export_files`."""
        file = self.file
        stated = replace(file.stated or Stated(), days=DAYS_PER_YEAR * self.horizon)
        return export_files(
            config, self.desk.given, file.arrays, self.grid, file.parameters, stated=stated, lookahead=float("nan"),
            contracts=file.contracts,
        )  # fmt: skip

    def record(self) -> dict[str, object]:
        """What run.json says of it."""
        return {"name": self.name, "points": self.file.arrays.points, "lookahead_years": _or_none(self.lookahead)}

    def _span(self, held: sparse.csr_array, account: tuple[str, ...] = ()) -> Margins:
        desk = self.desk
        return span(
            self.file.arrays, self.grid, self.file.parameters, held, account=account,
            contract=desk.book.instruments.name, currency=desk.market.currency,
            rates=desk.rates(self.file.arrays, self.file.parameters),
            workers=desk.workers,
        )  # fmt: skip


def published(config: ScanConfig, desk: Desk) -> Published:
    """Read the file of a configuration.

    Raises
    ------
    McvarError
        What is wrong with the file; settings that nothing would read beside one.
    """
    blank = ScanConfig()
    unread = [
        f.name
        for f in dataclasses.fields(config)
        if f.name not in _READ and getattr(config, f.name) != getattr(blank, f.name)
    ]
    if unread:
        raise SettingError(
            f"scan.file brings moves and ranges of its own, and would leave scan.{', scan.'.join(unread)} unread: take "
            f"scan=span16 and of its settings {', '.join(_READ[1:])} only"
        )
    found, inputs = read_scan(
        config.file, tie=config.tie, lookahead_days=config.lookahead, conventions=config.conventions
    )
    grid = found.grid or SPAN16
    if found.arrays.points != len(grid):
        raise SettingError(
            f"scan.file has arrays of {found.arrays.points} points, and {grid.name} has {len(grid)}: give those"
        )
    stated = np.nan if found.stated is None else found.stated.days
    days = stated if config.days is None else config.days
    if not (np.isnan(days) or np.isnan(stated) or same(days, stated)):
        raise SettingError(f"scan.days is {days:g}, and scan.file says that its ranges are of {stated:g} days: drop it")
    if found.stated is not None:
        _check_market(found.stated, desk.market)
    return Published(desk, found, grid, days / DAYS_PER_YEAR, inputs)


def _check_market(stated: Stated, market: Market) -> None:
    """Refuse arrays that say that they were made at another time, or at other prices, than the market's."""
    now = dict(zip(market.factors.name, market.factors.level.tolist(), strict=True))
    apart = [
        f"{name} at {then:g}, and the market has {now[name]:g}"
        for name, then in stated.level.items()
        if name in now and not same(now[name], then)
    ]
    if not np.isnat(stated.valuation) and stated.valuation != market.valuation:
        apart.insert(0, f"a valuation of {stated.valuation}Z, and the market's is {market.valuation}Z")
    if apart:
        raise SettingError(
            f"the risk arrays of scan.file were made with {'; '.join(apart)}: take the market that they were made in, "
            "or make them again"
        )


def _or_none(value: float) -> float | None:
    return None if np.isnan(value) else value
