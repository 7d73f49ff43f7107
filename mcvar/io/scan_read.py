"""Risk arrays and parameters of any form that mcvar reads, with what was really read, for the record of a run."""

from __future__ import annotations

import math
from collections.abc import Callable, Mapping
from dataclasses import fields, replace
from pathlib import Path
from typing import Any

from mcvar.errors import SettingError
from mcvar.io.pa2 import read as pa2
from mcvar.io.pa2.read import read_pa2
from mcvar.io.scan.file import ScanFile
from mcvar.io.scan.tables import read_scan_tables, table_files
from mcvar.io.spn import fields as spn
from mcvar.io.spn.read import read_spn
from mcvar.io.tables import digest
from mcvar.market import DAYS_PER_YEAR
from mcvar.scan.times import same

Kind = type[pa2.Conventions] | type[spn.Conventions]
_READERS: dict[str, tuple[Callable[..., ScanFile], Kind]] = {
    ".pa2": (read_pa2, pa2.Conventions), ".spn": (read_spn, spn.Conventions),
    ".xml": (read_spn, spn.Conventions),
}  # fmt: skip
_FORMS = "a folder of tables, or a file named .pa2, .spn or .xml, each plain or with .gz behind it"
_FEW = 5  # commodities that a message names


def read_scan(
    path: str | Path, *, tie: str = "lowest", lookahead_days: float | None = None,
    conventions: Mapping[str, object] | None = None,
) -> tuple[ScanFile, dict[str, str]]:  # fmt: skip
    r"""Read risk arrays and parameters: the form is known by the name.

    Parameters
    ----------
    path : str or Path
        A folder of tables (`mcvar.io.scan.tables`), or a file named `.pa2`, `.spn` or `.xml`, plain or with `.gz`.
    tie : str
        See `Parameters`; a file that says it itself wins.
    lookahead_days : float, optional
        Days that pass until the prices of the scenarios, where the file does not say.
    conventions : mapping, optional
        What the form leaves open, by name: fields of `mcvar.io.pa2.read.Conventions` or
        `mcvar.io.spn.read.Conventions`. Tables leave nothing open.

    Returns
    -------
    file : ScanFile
        A look-ahead that is not known is NaN, and a note says so.
    inputs : dict of str to str
        SHA-256 of each file that was read, by path.

    Raises
    ------
    SettingError
        A path that is none of these; conventions that the form does not know, or with other values than it knows; a
        look-ahead that the file contradicts.
    InputError
        What the reader refuses.

    Examples
    --------
    >>> import tempfile
    >>> with tempfile.TemporaryDirectory() as folder:
    ...     _ = Path(folder, "commodities.csv").write_text("commodity,currency,price_range,lookahead\nX,USD,10,\n")
    ...     _ = Path(folder, "risk_arrays.csv").write_text(
    ...         "instrument,commodity,currency,month,option,value,delta,a1,a2\nF,X,USD,202603,false,,1,-10,10\n")
    ...     found, read = read_scan(folder, lookahead_days=1.0)
    >>> found.arrays.loss.tolist(), [Path(path).name for path in read]
    ([[-10.0, 10.0]], ['risk_arrays.csv', 'commodities.csv'])
    >>> found.notes[0].partition(": ")[2]
    'taken as 1 days, by scan.lookahead'
    """
    path, said = Path(path), conventions or {}
    if path.is_dir():
        if said:
            raise SettingError(f"scan.conventions has {', '.join(map(str, said))}: tables leave nothing open, drop it")
        found, read = read_scan_tables(path, tie=tie), table_files(path)
    else:
        ending = Path(path.name.lower().removesuffix(".gz")).suffix
        if ending not in _READERS:
            raise SettingError(f"scan.file is '{path}': give {_FORMS}")
        reader, kind = _READERS[ending]
        found, read = reader(path, _conventions(kind, said, ending), tie=tie), (path,)
    return _with_lookahead(found, lookahead_days), {str(each): digest(each) for each in read}


def _conventions(kind: Kind, said: Mapping[str, object], ending: str) -> pa2.Conventions | spn.Conventions:
    """The conventions of a form, of which some are given."""
    default = kind()
    known = {each.name: getattr(default, each.name) for each in fields(default)}
    problems = [
        f"scan.conventions has '{name}': those of {ending} are {', '.join(sorted(known))}"
        for name in said
        if name not in known
    ]
    chosen: dict[str, Any] = {}
    for name, value in said.items():
        if name in known:
            chosen[name] = _value(name, value, known[name], kind.CHOICES.get(name, ()), problems)
    if problems:
        raise SettingError("; ".join(problems))
    return replace(default, **chosen)


def _value(name: str, value: Any, default: Any, words: tuple[str, ...], problems: list[str]) -> Any:
    """A checked value, of the kind of the default."""
    where = f"scan.conventions.{name} is {str(value)[:60]!r}"
    if isinstance(default, bool):
        if not isinstance(value, bool):
            problems.append(f"{where}: give true or false")
    elif isinstance(default, int):
        if isinstance(value, bool) or not isinstance(value, int) or value < 1:
            problems.append(f"{where}: give a whole number from 1")
    elif isinstance(default, str):
        if value not in words:
            problems.append(f"{where}: give one of {', '.join(words)}")
    elif not isinstance(value, Mapping) or not all(
        isinstance(part, int) and not isinstance(part, bool) and part >= 1 for part in value.values()
    ):
        problems.append(f"{where}: give whole numbers from 1 by alignment code, such as {{C: 32}}")
    else:
        return {**default, **{str(code): part for code, part in value.items()}}
    return value


def _with_lookahead(found: ScanFile, days: float | None) -> ScanFile:
    """With the look-ahead that was given where the file states none, or with a note that it is not known."""
    if days is not None and not (math.isfinite(days) and days >= 0):
        raise SettingError(f"scan.lookahead is {days}: give the days until the scenarios' prices, from 0")
    commodities = found.parameters.commodities
    silent = [c.name for c in commodities if math.isnan(c.lookahead)]
    if days is not None:
        years = days / DAYS_PER_YEAR
        apart = [c for c in commodities if not (math.isnan(c.lookahead) or same(c.lookahead, years))]
        if apart:
            stated = ", ".join(f"{DAYS_PER_YEAR * c.lookahead:g} for {c.name}" for c in apart[:_FEW])
            raise SettingError(
                f"scan.lookahead is {days:g} days, and scan.file says {stated}{', ...' * (len(apart) > _FEW)}: drop it"
            )
        filled = tuple(replace(c, lookahead=years) if math.isnan(c.lookahead) else c for c in commodities)
        found = replace(found, parameters=replace(found.parameters, commodities=filled))
    if not silent:
        return found
    who = f"{', '.join(silent[:_FEW])}{', ...' * (len(silent) > _FEW)}"
    note = f"scan.file does not state the look-ahead of {len(silent)} commodities ({who}): "
    note += "it is not known" if days is None else f"taken as {days:g} days, by scan.lookahead"
    return replace(found, notes=(*found.notes, note))
