"""Tables of parameters as people write them: a mapping of names to mappings of numbers, checked all at once."""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from typing import Any

from mcvar.errors import SettingError


def read_parameters(
    given: Any,
    where: str,
    fields: Sequence[str],
    names: Sequence[str],
    optional: Sequence[str] = (),
    *,
    every: bool = False,
) -> dict[str, dict[str, float]]:
    """Numbers of `fields` for some of `names`, in the order of the names.

    Parameters
    ----------
    given : mapping or None
    where : str
        The setting, for messages.
    optional : sequence of str
        Fields that may be there.
    every : bool
        Whether each name must be there.

    Raises
    ------
    SettingError
        Unknown names and fields, missing ones, values that are not finite numbers: all at once.

    Examples
    --------
    >>> read_parameters({"SPX": {"mean": -0.02, "deviation": 0.03}}, "model.own", ("mean", "deviation"), ["SPX", "NDX"])
    {'SPX': {'mean': -0.02, 'deviation': 0.03}}
    """
    if given is None:
        given = {}
    if not isinstance(given, Mapping):
        raise SettingError(f"{where} is {given!r}: give {{name: {{{', '.join(fields)}}}}}")
    problems = [f"{where}: '{name}' is not known: there are {', '.join(names)}" for name in given if name not in names]
    if every:
        problems += [
            f"{where}: nothing for '{name}': give it {', '.join(fields)}" for name in names if name not in given
        ]
    found: dict[str, dict[str, float]] = {}
    for name in names:
        if name not in given:
            continue
        row = given[name]
        if not isinstance(row, Mapping):
            problems.append(f"{where}.{name} is {row!r}: give {', '.join(fields)}")
            continue
        problems += [
            f"{where}.{name}.{key} is not known: it takes {', '.join(fields)}"
            for key in row
            if key not in (*fields, *optional)
        ]
        problems += [f"{where}.{name} has no {field}: give it" for field in fields if field not in row]
        found[name] = {}
        for field in (*fields, *optional):
            if field in row:
                try:
                    found[name][field] = number(row[field], f"{where}.{name}.{field}")
                except SettingError as error:
                    problems.append(str(error))
    if problems:
        raise SettingError("\n".join(problems))
    return found


def number(value: Any, where: str, also: str = "") -> float:
    """A finite number; `also`: what else could have stood there, for the message."""
    try:
        read = math.nan if isinstance(value, bool) else float(value)
    except (TypeError, ValueError):
        read = math.nan
    if not math.isfinite(read):
        raise SettingError(f"{where} is {value!r}: give {also}a finite number")
    return read
