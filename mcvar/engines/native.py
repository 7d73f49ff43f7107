"""The native engine: the kernel headers compiled for this processor, P&L block by block in its cache.

It is planned by the reference engine, so both know the same groups and coefficients, and differ in
rounding only. Threads are the caller's: a call runs on one, without the interpreter lock.
"""

from __future__ import annotations

import ctypes
from typing import Any

import numpy as np
from numpy.typing import NDArray

from mcvar.book import Book
from mcvar.engines.groups import CashGroup, ForwardGroup, Group, OptionGroup
from mcvar.engines.kernels import host_library
from mcvar.engines.levels import ratio
from mcvar.engines.reference import Reference, check_finite
from mcvar.errors import SettingError
from mcvar.instruments import Kind
from mcvar.market import FactorKind, Market, Shock
from mcvar.models import GaussianLaw, StudentTLaw
from mcvar.scenarios import Explicit, Scenarios, Simulated

Floats = NDArray[np.float64]

_SHOCK = {Shock.log: 1, Shock.simple: 2, Shock.absolute: 3}
_OPTION, _INTRINSIC, _FORWARD, _SPOT, _CASH = range(5)
_INTS = ("factors", "groups", "instruments", "rows", "nodes")
# The fields of kernels/plan.cuh in their order: a number, or a pointer to a column of that type.
_FIELDS: tuple[tuple[str, Any], ...] = (
    *((name, np.int64) for name in _INTS),
    ("seed", np.uint64),
    *((name, "f") for name in ("factor", "mean", "log_scale", "slope")),
    ("given", np.int64),
    ("moves", "f"),
    ("shock", "i"),
    ("level", "f"),
    *((name, "i") for name in ("family", "underlying", "up", "down", "inverse", "begin", "formulas", "pillar_begin")),
    ("left", "f"),
    ("pillar_factor", "i"),
    ("pillar_weight", "f"),
    *((name, "f") for name in ("a", "b", "c", "first", "second", "edge", "side")),
    ("formula", "i"),
    *((name, "f") for name in ("parity_p", "parity_q", "premium", "multiplier", "carry_factor", "forward_0", "cost")),
    ("value_0", "f"),
    ("row_begin", "i"),
    ("column", "i"),
    ("quantity", "f"),
    ("row_up", "i"),
    ("row_down", "i"),
    ("base", "f"),
    ("rate_0", "f"),
)


class _Plan(ctypes.Structure):
    _fields_ = [
        (name, {np.int64: ctypes.c_int64, np.uint64: ctypes.c_uint64}.get(kind, ctypes.c_void_p))
        for name, kind in _FIELDS
    ]


class Native:
    """Full revaluation in compiled code, float64; parameters and attributes as of `Reference`.

    Raises
    ------
    SettingError
        No compiler, or a law that the kernels do not know.
    """

    def __init__(self, market: Market, book: Book, scenarios: Scenarios, years: float) -> None:
        reference = Reference(market, book, scenarios, years)
        self.market, self.book, self.scenarios = market, book, scenarios
        self.value_0, self.settling = reference.value_0, reference.settling
        self._library = host_library()
        self._block = int(self._library.mcvar_block())
        if self._library.mcvar_plan_bytes() != ctypes.sizeof(_Plan):
            raise SettingError("the compiled kernels have another plan than this version of mcvar: reinstall it")
        self._columns = {**_law(scenarios), **_factors(market), **_instruments(reference), **_rows(reference)}
        self._plan = _Plan()
        for name, kind in _FIELDS:
            value = self._columns[name]
            if kind in ("f", "i"):
                # the plan holds addresses only: the columns stay alive in self._columns
                column = np.ascontiguousarray(value, dtype=np.float64 if kind == "f" else np.int64)
                self._columns[name] = column
                setattr(self._plan, name, column.ctypes.data)
            else:
                setattr(self._plan, name, int(value))

    @property
    def rows(self) -> int:
        """R."""
        return len(self.book.row)

    def pnl(self, start: int, stop: int) -> Floats:
        """See `Engine.pnl`."""
        first = start // self._block * self._block
        pnl = np.empty((self.rows, stop - first))
        self._library.mcvar_pnl(
            ctypes.byref(self._plan), ctypes.c_int64(first), ctypes.c_int64(stop), ctypes.c_void_p(pnl.ctypes.data)
        )
        check_finite(self.book, pnl, first)
        return pnl[:, start - first :]


def _law(scenarios: Scenarios) -> dict[str, Any]:
    none: dict[str, Any] = {"seed": 0, "nodes": 0, "given": 0}
    none |= {name: np.zeros(1) for name in ("factor", "mean", "log_scale", "slope", "moves")}
    if isinstance(scenarios, Explicit):
        return {**none, "given": scenarios.count, "moves": scenarios.shocks}
    if isinstance(scenarios, Simulated):
        law = scenarios.law
        if isinstance(law, GaussianLaw | StudentTLaw):
            drawn = {**none, "seed": scenarios.seed, "factor": law.factor, "mean": law.mean}
            if isinstance(law, StudentTLaw):
                drawn |= {"nodes": len(law.scale.slope), "log_scale": law.scale.log_scale, "slope": law.scale.slope}
            return drawn
    raise SettingError("engine=native knows the models gaussian and student_t only: take engine=numpy")


def _factors(market: Market) -> dict[str, Any]:
    factors = market.factors
    shock = [_SHOCK[s] if k is FactorKind.price else 0 for s, k in zip(factors.shock, factors.kind, strict=True)]
    return {"factors": len(factors), "shock": shock, "level": factors.level}


def _instruments(reference: Reference) -> dict[str, Any]:
    """Groups, and their instruments in the order of the groups."""
    parts = [(group, value_0) for panel, _ in reference.panels for group, value_0 in panel]
    size = sum(len(value_0) for _, value_0 in parts)
    fields = ("a", "b", "c", "first", "second", "edge", "side", "parity_p", "parity_q", "premium")
    column: dict[str, Any] = {
        name: np.zeros(size) for name in (*fields, "multiplier", "carry_factor", "forward_0", "cost", "value_0")
    }
    column["formula"] = np.zeros(size, dtype=np.int64)
    heads: dict[str, list[Any]] = {
        name: [] for name in ("family", "underlying", "up", "down", "inverse", "begin", "formulas", "left")
    }
    pillars: list[tuple[int, float]] = []
    pillar_begin = [0]
    at = 0
    for group, value_0 in parts:
        here = slice(at, at + len(value_0))
        column["value_0"][here] = value_0[:, 0]
        head = {"underlying": 0, "inverse": 0, "formulas": 0, "left": 0.0, **_group(group, column, here)}
        head |= {"up": group.convert[0], "down": group.convert[1], "begin": at}
        for name, cells in heads.items():
            cells.append(head[name])
        for kind in ("vol", "carry", "rate"):
            pillars += getattr(group, kind, ())
            pillar_begin.append(len(pillars))
        at = here.stop
    return {
        **column,
        **{name: np.array(cells) for name, cells in heads.items()},
        "begin": np.array([*heads["begin"], size]),
        "groups": len(parts),
        "instruments": size,
        "pillar_begin": np.array(pillar_begin),
        "pillar_factor": np.array([f for f, _ in pillars], dtype=np.int64),
        "pillar_weight": np.array([weight for _, weight in pillars]),
    }


def _group(group: Group, column: dict[str, Any], here: slice) -> dict[str, Any]:
    """Write a group's coefficients into its part of the columns; returns what describes the group."""
    if isinstance(group, CashGroup):
        column["multiplier"][here] = group.multiplier[:, 0]
        return {"family": _CASH}
    if isinstance(group, ForwardGroup):
        for name in ("multiplier", "carry_factor", "forward_0", "cost"):
            column[name][here] = getattr(group, name)[:, 0]
        family = _SPOT if group.kind is Kind.spot else _FORWARD
        return {"family": family, "underlying": group.underlying, "inverse": group.inverse, "left": group.left}
    assert isinstance(group, OptionGroup)  # the three families of groups
    options, direct = group.options, slice(here.start, here.start + len(group.options.first))
    if options.coefficients is not None:
        for k, name in enumerate("abc"):
            column[name][direct] = options.coefficients[: len(options.first), k]
    for name in ("first", "second", "edge", "side"):
        column[name][direct] = getattr(options, name)[:, 0]
    rest = slice(direct.stop, here.stop)
    column["formula"][rest] = here.start + options.formula
    column["parity_p"][rest], column["parity_q"][rest] = options.parity.T
    if group.premium_0 is not None:
        column["premium"][here] = group.premium_0[:, 0]
    return {
        "family": _INTRINSIC if options.coefficients is None else _OPTION,
        "underlying": group.underlying,
        "inverse": options.inverse,
        "formulas": len(options.first),
        "left": group.left,
    }


def _rows(reference: Reference) -> dict[str, Any]:
    book = reference.book
    order = np.concatenate([group.index for panel, _ in reference.panels for group, _ in panel])
    quantity = book.quantity[:, order].tocsr()
    level = reference.market.factors.level
    return {
        "rows": len(book.row),
        "row_begin": quantity.indptr,
        "column": quantity.indices,
        "quantity": quantity.data,
        "row_up": book.convert[:, 0],
        "row_down": book.convert[:, 1],
        "base": reference.base,
        "rate_0": np.array([float(ratio(level, *pair)) for pair in book.convert]),
    }
