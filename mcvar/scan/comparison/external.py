"""Margins that were computed elsewhere, as a table: `account, margin[, engine, basis, currency, horizon_days]`."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from mcvar.columns import Columns
from mcvar.errors import InputError, SettingError
from mcvar.market import DAYS_PER_YEAR
from mcvar.scan.comparison.compare import Basis, Scans
from mcvar.scan.times import same

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
    currency : tuple of str [R]
        That the table states; "": none. () where it states none at all.
    horizon : float
        Years of moves that the table states; NaN: none.
    """

    engine: str
    margin: Floats
    requirement: NDArray[np.bool_]
    currency: tuple[str, ...] = ()
    horizon: float = np.nan

    def basis(self, simulated: Basis) -> Basis:
        """What the margins are stated on; what the table does not state is taken to be as Monte Carlo has it.

        Examples
        --------
        >>> day = Basis(1 / 365, 1 / 365, ("USD", "EUR"))
        >>> External("house", np.ones(2), np.ones(2, dtype=bool), ("", "USD")).basis(day).currency
        ('USD', 'USD')
        """
        said = self.currency or ("",) * len(simulated.currency)
        return Basis(
            simulated.horizon if np.isnan(self.horizon) else self.horizon,
            simulated.decay,
            tuple(there or here for there, here in zip(said, simulated.currency, strict=True)),
        )

    def scans(self, nov: Floats | None = None) -> tuple[Scans, str]:
        """As sides of a comparison, and what the reader must know ("": nothing).

        A requirement is max(0, risk - net option value): the risk behind it is that much more, and not known where the
        requirement is 0. It is negative where the requirement is less than what short options would cost to close.

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
        >>> required = np.array([True, True, False])
        >>> there = External("clearing house", np.array([7.0, 0.0, 4.0]), required, horizon=1 / 365)
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
        lost, said = int((~told).sum()), []
        if lost:
            said = [f"{lost} accounts have a requirement of 0, which does not tell their risk: they are not compared"]
        if below := int((scans.scan < 0).sum()):
            said.append(f"{below} accounts have a margin before net option value that is negative, and so is its ratio")
        if np.isnan(self.horizon):
            said.append("no horizon_days are given, and its margins are taken to be of the run's horizon")
        return scans, f"{self.engine}: {'; '.join(said)}" if said else ""


def read_margins(
    table: Columns,
    accounts: Sequence[str],
    further: Sequence[str] = (),
    *,
    taken: Sequence[str] = (),
    simulated: Basis | None = None,
) -> list[External]:
    """Read margins of all accounts, one `External` for each engine.

    Parameters
    ----------
    table : Columns
        `account, margin` and, optional, `engine` (default "external"), `basis` (`risk`, the default: before net
        option value; or `requirement`: after it), `currency` and `horizon_days` (one number for an engine), which
        state what the margins are.
    accounts : sequence of str [R]
        Those that must be there, in the order of the result.
    further : sequence of str
        Rows of the book that may be there, as parents, and are left out.
    taken : sequence of str
        Names of engines that others have.
    simulated : Basis, optional
        Of the Monte Carlo run: what the table states must be that. Without it, see
        `mcvar.scan.comparison.compare.check_basis`.

    Raises
    ------
    InputError
        Everything that is wrong at once: unknown accounts and those that are missing, duplicates, an unknown basis,
        margins that are missing, no numbers, not finite or negative; currencies and horizons that are not those of the
        run; names of engines that are taken.

    Examples
    --------
    >>> table = Columns.of("margins.csv", account=["A", "B"], margin=[5.0, 7.0])
    >>> read_margins(table, ["B", "A"])[0].margin.tolist()
    [7.0, 5.0]
    """
    table.check_names(["account", "margin"], ["engine", "basis", "currency", "horizon_days"])
    problems: list[str] = []
    names, engines, currencies = table.texts("account"), table.texts("engine", NAME), table.texts("currency")
    margins, days = table.floats("margin", problems), table.floats("horizon_days", problems)
    basis = table.choices("basis", BASES, problems, "risk")
    sound = table.sound(problems)
    index, known = {name: r for r, name in enumerate(accounts)}, {*accounts, *further}
    seen: dict[tuple[str, str], int] = {}
    order = list(dict.fromkeys(engines))
    found = {engine: np.full(len(accounts), np.nan) for engine in order}
    required = {engine: np.zeros(len(accounts), dtype=bool) for engine in order}
    stated = {engine: [""] * len(accounts) for engine in order}
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
        if name in index:
            at, currency = index[name], currencies[row]
            found[engine][at], required[engine][at] = margin, basis[row] == "requirement"
            stated[engine][at] = currency
            if simulated is not None and currency and currency != simulated.currency[at]:
                problems.append(
                    f"{where}: currency of account '{name}' is {currency} here and {simulated.currency[at]} in the "
                    "book: convert the margin"
                )
    horizon = _horizons(table, engines, days, simulated, problems)
    problems += [
        f"{table.where(engines.index(engine))}: engine '{engine}' has the name of another: give it one of its own"
        for engine in order
        if engine in taken
    ]
    for engine in order or [NAME]:
        problems += [
            f"account '{name}' has no margin of engine '{engine}': add a line for it"
            for name in accounts
            if (name, engine) not in seen
        ]
    if problems:
        raise InputError(table.source, _by_line(problems))
    return [
        External(engine, found[engine], required[engine], tuple(stated[engine]), horizon[engine]) for engine in order
    ]


def _horizons(
    table: Columns, engines: Sequence[str], days: Floats, simulated: Basis | None, problems: list[str]
) -> dict[str, float]:
    """Years that each engine states, in the first of its rows that states any; NaN: none does."""
    first: dict[str, int] = {}
    for row in np.flatnonzero(~np.isnan(days)).tolist():
        engine = engines[row]
        said = f"{table.where(row)}: horizon_days of engine '{engine}' is {days[row]:g}"
        if not 0 < days[row] < np.inf:
            problems.append(f"{said}: give a number of days that is positive")
            continue
        at = first.setdefault(engine, row)
        if days[row] != days[at]:
            problems.append(f"{said} here and {days[at]:g} in {table.where(at)}: give one number for an engine")
        elif simulated is not None and not same(days[row] / DAYS_PER_YEAR, simulated.horizon):
            problems.append(
                f"{said} here and {DAYS_PER_YEAR * simulated.horizon:.6g} in the run: bring margins of that, or take "
                f"horizon.days={days[row]:g}"
            )
    return {each: days[first[each]] / DAYS_PER_YEAR if each in first else np.nan for each in engines}


def _by_line(problems: Sequence[str]) -> list[str]:
    """In the order of the file; what stands on no line comes last."""

    def line(problem: str) -> float:
        number = problem.partition(":")[0].rpartition(" ")[2]
        return int(number) if number.isdigit() else np.inf

    return sorted(problems, key=line)
