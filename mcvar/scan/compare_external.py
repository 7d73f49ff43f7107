"""Margins that were computed elsewhere, as a table: `account, margin[, engine, basis]`."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from mcvar.columns import Columns
from mcvar.errors import InputError, SettingError
from mcvar.scan.compare import Scans

Floats = NDArray[np.float64]
BASES = ("risk", "requirement")
NAME = "external"


@dataclass(frozen=True)
class External:
    """What an engine elsewhere asks of R accounts.

    Parameters
    ----------
    engine : str
    margin : ndarray [R]
    requirement : ndarray [R] of bool
        Whether the margin is a requirement, net option value taken off; else the risk component.
    """

    engine: str
    margin: Floats
    requirement: NDArray[np.bool_]

    def scans(self, nov: Floats | None = None) -> tuple[Scans, str]:
        """As sides of a comparison, and what the reader must know ("": nothing).

        A requirement is max(0, risk - net option value): the risk behind it is that much more, and not known where the
        requirement is 0.

        Parameters
        ----------
        nov : ndarray [R], optional
            Net option value, in each account's currency.

        Raises
        ------
        SettingError
            Requirements without a net option value.

        Examples
        --------
        >>> there = External("clearing house", np.array([7.0, 0.0, 4.0]), np.array([True, True, False]))
        >>> scans, said = there.scans(np.array([3.0, 9.0, 1.0]))
        >>> scans.scan.tolist(), scans.requirement.tolist()
        ([10.0, nan, 4.0], [7.0, 0.0, nan])
        >>> said
        'clearing house: 1 accounts have a requirement of 0, which does not tell their risk: they are not compared'
        """
        none = np.full(len(self.margin), np.nan)
        if self.requirement.any() and nov is None:
            raise SettingError(
                f"the margins of {self.engine} are requirements, net of option value, and the net option value of the "
                "accounts is not known: give their risk component (basis risk)"
            )
        value = none if nov is None else nov
        told = ~self.requirement | (self.margin > 0)
        risk = np.where(self.requirement, self.margin + value, self.margin)
        scans = Scans(
            self.engine,
            np.where(told, risk, np.nan),
            np.zeros(len(self.margin), dtype=np.int64),
            np.where(self.requirement, self.margin, np.nan),
            value,
        )
        lost = int((~told).sum())
        said = f"{lost} accounts have a requirement of 0, which does not tell their risk: they are not compared"
        return scans, f"{self.engine}: {said}" if lost else ""


def read_margins(table: Columns, accounts: Sequence[str], further: Sequence[str] = ()) -> list[External]:
    """Read margins of all accounts, one `External` for each engine.

    Parameters
    ----------
    table : Columns
        `account, margin` and, optional, `engine` (default "external") and `basis` (`risk`, the default: before net
        option value; or `requirement`: after it).
    accounts : sequence of str [R]
        Those that must be there, in the order of the result.
    further : sequence of str
        Rows of the book that may be there, as parents, and are left out.

    Raises
    ------
    InputError
        Everything that is wrong at once: unknown accounts and those that are missing, duplicates, an unknown basis,
        margins that are missing, no numbers, not finite or negative.

    Examples
    --------
    >>> table = Columns.of("margins.csv", account=["A", "B"], margin=[5.0, 7.0])
    >>> read_margins(table, ["B", "A"])[0].margin.tolist()
    [7.0, 5.0]
    """
    table.check_names(["account", "margin"], ["engine", "basis"])
    problems: list[str] = []
    names, engines = table.texts("account"), table.texts("engine", NAME)
    margins = table.floats("margin", problems)
    basis = table.choices("basis", BASES, problems, "risk")
    sound = table.sound(problems)
    index, known = {name: r for r, name in enumerate(accounts)}, {*accounts, *further}
    seen: dict[tuple[str, str], int] = {}
    order = list(dict.fromkeys(engines))
    found = {engine: np.full(len(accounts), np.nan) for engine in order}
    required = {engine: np.zeros(len(accounts), dtype=bool) for engine in order}
    for row, (name, engine, margin) in enumerate(zip(names, engines, margins.tolist(), strict=True)):
        where = table.where(row)
        if not name:
            problems.append(f"{where}: account is missing: write the name of one")
            continue
        if name not in known:
            problems.append(f"{where}: account '{name}' is not in the book: correct it, or leave the line out")
        first = seen.setdefault((name, engine), row)
        if first != row:
            problems.append(
                f"{where}: account '{name}' of engine '{engine}' is in {table.where(first)} already: keep one of them"
            )
        if sound[row] and not (np.isfinite(margin) and margin >= 0):
            said = "is missing" if np.isnan(margin) else f"{margin:g} is {'negative' if margin < 0 else 'not finite'}"
            problems.append(f"{where}: margin of account '{name}' {said}: give a number of at least 0")
        elif name in index:
            found[engine][index[name]], required[engine][index[name]] = margin, basis[row] == "requirement"
    for engine in order or [NAME]:
        problems += [
            f"account '{name}' has no margin of engine '{engine}': add a line for it"
            for name in accounts
            if (name, engine) not in seen
        ]
    if problems:
        raise InputError(table.source, _by_line(problems))
    return [External(engine, found[engine], required[engine]) for engine in order]


def _by_line(problems: Sequence[str]) -> list[str]:
    """In the order of the file; what stands on no line comes last."""

    def line(problem: str) -> float:
        number = problem.partition(":")[0].rpartition(" ")[2]
        return int(number) if number.isdigit() else np.inf

    return sorted(problems, key=line)
