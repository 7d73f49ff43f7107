"""A comparison of margins with Monte Carlo as tables and files: what was found, and what it was."""

from __future__ import annotations

import dataclasses
import time
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from functools import partial
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa
import pyarrow.parquet
from numpy.typing import NDArray

from mcvar.errors import SettingError
from mcvar.jobs.alone import alone_var
from mcvar.jobs.compare import Comparison, ScanOf, Simulation, compare_all, losses
from mcvar.report import write_run
from mcvar.scan.comparison.compare import Basis, Compared, Scans, check_basis
from mcvar.scan.comparison.groups import Group
from mcvar.scan.comparison.ranges import Solution

Floats = NDArray[np.float64]
_OWN = (  # columns that a `Compared` has as they are
    "ratio", "ratio_low", "ratio_high", "exceed_probability", "exceed_low", "exceed_high", "expected_shortfall_beyond",
    "worst_shortfall",
)  # fmt: skip
_TYPES = {
    "str": pa.string(), "float": pa.float64(), "float | None": pa.float64(), "int": pa.int64(),
}  # fmt: skip


@dataclass(frozen=True)
class ComparisonReport:
    """What was found, and what it was.

    Parameters
    ----------
    account, kind, currency : tuple of str [R]
        Of the accounts.
    worth : ndarray [R]
        Units of the run's currency for one of each account's.
    comparisons : tuple of Comparison
        One for each engine.
    drawn : mapping of int to ndarray [n]
        Simulated losses of the accounts whose distribution is drawn.
    record : mapping
        The content of run.json.
    files : mapping of file name to function, optional
        Further files of the run: each function writes to the path that it is given.
    """

    account: tuple[str, ...]
    kind: tuple[str, ...]
    currency: tuple[str, ...]
    worth: Floats
    comparisons: tuple[Comparison, ...]
    drawn: Mapping[int, Floats]
    record: Mapping[str, Any]
    files: Mapping[str, Callable[[Path], object]] = field(default_factory=dict)

    @property
    def unit(self) -> str:
        """The currency that all accounts have; "": they have several."""
        return self.currency[0] if len(set(self.currency)) == 1 else ""

    @property
    def notes(self) -> tuple[str, ...]:
        """What the reader must know."""
        return tuple(self.record["notes"])

    def table(self) -> pa.Table:
        """A row an account and engine: `account, kind, scan, worst_scenario, requirement, nov, var, ..., engine`.

        `scan` is the risk component (see `mcvar.scan.comparison.compare.Scans`). Null is what there is none of: `ratio`
        where VaR is not positive, `worst_scenario` of margins that do not tell, everything of an account that a side
        does not know.
        """
        return pa.concat_tables([self._rows(each.compared) for each in self.comparisons])

    def groups(self) -> pa.Table:
        """The fields of `mcvar.scan.comparison.groups.Group`, a row an engine and kind of book."""
        return _table(Group, [group for each in self.comparisons for group in each.groups])

    def ranges(self) -> pa.Table:
        """The fields of `mcvar.scan.comparison.ranges.Solution`."""
        return _table(Solution, [found for each in self.comparisons for found in each.solutions])

    def write(self, folder: Path, extra: Mapping[str, Callable[[Path], None]]) -> None:
        """Write comparison.parquet, comparison_groups.parquet, comparison_ranges.parquet, further files and run.json.

        Parameters
        ----------
        folder : Path
        extra : mapping of file name to function
            Such as the page: each function writes to the path that it is given.
        """
        tables = {"comparison.parquet": self.table(), "comparison_groups.parquet": self.groups()}
        if any(each.solutions for each in self.comparisons):
            tables["comparison_ranges.parquet"] = self.ranges()
        files = {name: partial(pyarrow.parquet.write_table, table) for name, table in tables.items()}
        write_run(folder, {**files, **self.files, **extra}, self.record)

    def _rows(self, found: Compared) -> pa.Table:
        scans, rows = found.scans, len(self.account)

        def column(values: Any) -> Any:  # NaN is what there is none of
            return pa.array(np.asarray(values, dtype=np.float64), from_pandas=True)

        ends = {
            f"{measure}{end}": column(getattr(estimate, name))
            for measure, estimate in (("var", found.var), ("es", found.es))
            for end, name in (("", "value"), ("_low", "low"), ("_high", "high"))
        }
        return pa.table(
            {
                "account": list(self.account),
                "kind": list(self.kind),
                "scan": column(scans.scan),
                "worst_scenario": pa.array(scans.worst_scenario, pa.int64(), mask=scans.worst_scenario == 0),
                "requirement": column(scans.requirement),
                "nov": column(scans.nov),
                **ends,
                **{name: column(getattr(found, name)) for name in _OWN},
                "beyond_error": pa.array(found.beyond_error == 1, mask=np.isnan(found.beyond_error)),
                "currency": list(self.currency),
                "engine": [scans.engine] * rows,
            }
        )


def compare_run(
    run: Simulation,
    scans: Sequence[Scans],
    bases: Sequence[Basis],
    *,
    horizon: float,
    level: float,
    record: Mapping[str, Any],
    ranges: Sequence[ScanOf | None] = (),
    netting: bool = True,
    accounts: Sequence[int] = (),
    draw: int = 4,
    name: str = "",
    notes: Sequence[str] = (),
    files: Mapping[str, Callable[[Path], object]] | None = None,
) -> ComparisonReport:
    """Compare engines with a finished Monte Carlo run.

    Parameters
    ----------
    run : Simulation
    scans, bases : sequence of Scans, of Basis
        Of each engine, and what its margins are stated on.
    horizon : float
        Years that the simulated moves are of.
    level : float
        Of VaR and ES, and the coverage that is aimed at.
    record : mapping
        The content of the Monte Carlo run's run.json, which becomes that of the comparison's.
    ranges : sequence of callable or None
        See `mcvar.jobs.compare.compare_all`.
    netting : bool
        Whether positions are also simulated alone, a pass of its own.
    accounts, draw : sequence of int, int
        Accounts whose losses are drawn; where none are given, so many that tell most (`telling`).
    name : str
        What the margins are of, for titles, such as "the sample book".
    notes : sequence of str
        Further ones.
    files : mapping of file name to function, optional
        Further files of the run, such as an export.

    Raises
    ------
    SettingError
        Sides that are not stated on one basis; see also `compare_all`.
    """
    start = time.perf_counter()
    book, own = run.book, slice(run.book.accounts)
    if len(bases) != len(scans) or not scans:
        raise SettingError(f"{len(scans)} engines have {len(bases)} bases: give each engine's, and at least one engine")
    simulated = Basis(horizon, run.decay, book.currency[own])
    for each, basis in zip(scans, bases, strict=True):
        check_basis(each.engine, basis, simulated, book.row[own])
    alone = alone_var(run, level) if netting and any(each.alone is not None for each in scans) else None
    found = compare_all(run, scans, level, ranges=ranges, alone=alone)
    chosen = list(accounts) or telling(found[0].compared, draw, run.worth)
    shown = losses(run, np.array(sorted(chosen))) if chosen else np.zeros((0, 0))
    by_row = dict(zip(sorted(chosen), shown, strict=True))
    engines = [
        {
            "engine": each.scans.engine, "horizon_years": basis.horizon, "decay_years": basis.decay,
            "accounts": int(each.known.sum()),
        }
        for each, basis in zip((item.compared for item in found), bases, strict=True)
    ]  # fmt: skip
    said = {
        **record,
        "job": "compare",
        "comparison": {
            "name": name, "level": level, "confidence": found[0].compared.confidence, "engines": engines,
            "netting": alone is not None, "drawn": [book.row[r] for r in chosen],
        },
        "notes": [*record.get("notes", ()), *notes],
        "timings": {**record.get("timings", {}), "comparison_seconds": time.perf_counter() - start},
    }  # fmt: skip
    return ComparisonReport(
        account=book.row[own],
        kind=book.kind[own],
        currency=book.currency[own],
        worth=run.worth,
        comparisons=tuple(found),
        drawn={r: by_row[r] for r in chosen},
        record=said,
        files=files or {},
    )


def telling(found: Compared, count: int, worth: Floats | None = None) -> list[int]:
    """Accounts whose distribution says most: the least covered, the largest, the most covered, the one in the middle.

    Then again the next of each, until there are `count`.

    Parameters
    ----------
    found : Compared
    count : int
    worth : ndarray [R], optional
        Units of one currency for one of each account's, to tell which is the largest.

    Examples
    --------
    >>> from mcvar.intervals.estimate import Estimate
    >>> from mcvar.scan.comparison.compare import compare
    >>> value = np.full(4, 100.0)
    >>> sides = [Estimate(kind, 0.99, value, value / 50, 0.9 * value, 1.1 * value, 0.95, "") for kind in ("var", "es")]
    >>> found = compare(Scans.of("x", np.array([150.0, 50.0, 300.0, 400.0])), *sides, scenarios=1_000,
    ...     count=np.zeros(4, dtype=np.int64), excess=np.zeros(4), worst=value)
    >>> telling(found, 3), telling(found, 3, np.array([1.0, 1.0, 2.0, 1.0]))
    ([1, 0, 3], [1, 2, 3])
    """
    rows = np.flatnonzero(found.known & ~np.isnan(found.ratio))
    if not len(rows):
        return []
    ratio, size = found.ratio[rows], (found.var.value if worth is None else worth * found.var.value)[rows]
    middle = np.abs(np.log(np.maximum(ratio, 1e-12) / max(float(np.median(ratio)), 1e-12)))
    orders = [rows[np.argsort(key, kind="stable")] for key in (ratio, -size, -ratio, middle)]
    ranked = dict.fromkeys(int(each) for turn in zip(*orders, strict=True) for each in turn)
    return list(ranked)[:count]


def _table(kind: type, lines: Sequence[Any]) -> pa.Table:
    return pa.table(
        {
            f.name: pa.array([getattr(x, f.name) for x in lines], _TYPES[str(f.type)], from_pandas=True)
            for f in dataclasses.fields(kind)
        }
    )
