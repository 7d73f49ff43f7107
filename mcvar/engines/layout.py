"""The plan and the work space of the kernels, field by field as in kernels/plan.cuh."""

from __future__ import annotations

from typing import Any

import numpy as np
from numpy.typing import NDArray
from scipy.special import ndtr

from mcvar.engines.contracts import ContractGroup
from mcvar.engines.groups import ForwardGroup, Group, OptionGroup
from mcvar.engines.launcher import CONTRACTS
from mcvar.engines.laws import LAW, STATE, Columns
from mcvar.engines.levels import ratio
from mcvar.engines.reference import Reference
from mcvar.engines.segments import Segments
from mcvar.instruments import Kind
from mcvar.pricing.american_table import ACROSS, PremiumTable

Floats = NDArray[np.float64]

_POINTER = "u8"
PLAN = np.dtype(
    [
        *((name, "i8") for name in ("factors", "groups", "instruments", "segments", "rows")),
        ("law", LAW),
        ("lines", "i8"),
        *((name, _POINTER) for name in ("shock", "level")),
        *((name, _POINTER) for name in ("group", "pillar", "formula", "twin", "linear", "contract")),
        ("contracts_from", "i8"),
        ("table", _POINTER),
        ("spline", _POINTER),
        ("family_begin", "i8", len(CONTRACTS) + 1),
        ("chunk", "i8"),
        ("chunks", "i8"),
        *((name, _POINTER) for name in ("segment_begin", "run_begin", "run_count", "position")),
        *((name, _POINTER) for name in ("part_begin", "part", "row_up", "row_down", "base", "rate_0")),
    ]
)
WORK = np.dtype(
    [
        ("width", "i8"),
        ("index", _POINTER),
        ("state", STATE),
        *((name, _POINTER) for name in ("dv", "sums", "pnl", "bad")),
        ("windows", "i8"),
        ("capacity", "i8"),
        *((name, _POINTER) for name in ("low", "high", "low_at", "high_at", "kept", "loss", "scenario", "above")),
        ("pivot", _POINTER),
        ("power", _POINTER),
        *((name, "i8") for name in ("window", "first", "count")),
        ("out", _POINTER),
        ("out_at", _POINTER),
    ]
)
GROUP = np.dtype(
    [
        *((name, "i8") for name in ("family", "underlying", "up", "down", "inverse", "margined")),
        *((name, "i8") for name in ("row", "path", "variance")),
        *((name, "i8") for name in ("begin", "direct", "end", "table")),
        ("pillar", "i8", 4),
        *((name, "f8") for name in ("left", "reach", "growth", "dividends", "base", "first", "second")),
    ]
)
_PILLAR = np.dtype([("factor", "i8"), ("weight", "f8")])
_LINEAR = np.dtype([(name, "f8") for name in ("multiplier", "carry_factor", "forward_0", "cost", "value_0")])
TERMS = 10  # of a contract, beside those that all have
_COMMON = ("strike", "sign", "volatility", "rate", "carry", "multiplier", "premium", "value_0")
_TABLE = np.dtype(
    [
        *((name, "f8") for name in ("first", "inverse_step", "least", "most", "drift", "growth", "discount")),
        ("at", "i8"),
    ]
)
_CONTRACT = np.dtype([*((name, "f8") for name in _COMMON), ("term", "f8", TERMS)])
D_SCALE = float(np.sqrt(np.log2(np.e) / 2))  # kernels/black.cuh: the exponential is then a power of two
_OPTION, _INTRINSIC, _FORWARD, _SPOT, _CASH, _CONTRACTS = range(6)


def instrument_columns(reference: Reference, real: np.dtype[Any]) -> Columns:
    """Groups, and their instruments in the order of the groups; coefficients of options in the precision `real`."""
    parts = [(group, value_0[:, 0]) for panel, _ in reference.panels for group, value_0 in panel]
    size = sum(len(value_0) for _, value_0 in parts)
    terms = [(name, real) for name in ("a", "b", "c", "first", "second", "offset")]
    formula = np.zeros(size, dtype=[*terms, ("twins", f"i{real.itemsize}"), ("unused", real)])
    twin = np.zeros(size, dtype=[(n, real) for n in ("p", "q", "offset", "unused")])
    linear = np.zeros(size, dtype=_LINEAR)
    head = np.zeros(len(parts), dtype=GROUP)
    pillars: list[tuple[int, float]] = []
    contracts = [np.zeros(0, dtype=_CONTRACT)]
    tables: dict[PremiumTable, int] = {}
    at = 0
    for k, (group, value_0) in enumerate(parts):
        here = slice(at, at + len(value_0))
        begin = [len(pillars)]
        for kind in ("vol", "carry", "rate"):
            pillars += getattr(group, kind, ())
            begin.append(len(pillars))
        head[k]["begin"], head[k]["direct"], head[k]["end"], head[k]["pillar"] = at, here.stop, here.stop, begin
        head[k]["up"], head[k]["down"] = group.convert
        head[k]["family"] = _family(group)
        head[k]["variance"] = head[k]["path"] = -1
        if isinstance(group, OptionGroup | ForwardGroup | ContractGroup):
            for name in ("underlying", "row", "left", "dividends", "reach", "growth", "base", "path"):
                head[k][name] = getattr(group, name, head[k][name])
            if (implied := getattr(group, "implied", None)) is not None:
                head[k]["variance"], head[k]["first"], head[k]["second"] = implied
        if isinstance(group, OptionGroup):
            head[k]["inverse"] = group.options.inverse
            head[k]["direct"] = at + len(group.options.first)
            head[k]["margined"] = group.premium_0 is not None
            offset = value_0 if group.premium_0 is None else group.premium_0[:, 0]
            worth = float(ratio(reference.market.factors.level, *group.convert))
            _options(group, offset, worth, formula[here], twin[here])
        elif isinstance(group, ContractGroup):
            contracts.append(_contracts(group, value_0))
            if group.table is not None:
                head[k]["table"] = tables.setdefault(group.table, len(tables))
            head[k]["inverse"] = group.inverse
        else:
            linear["value_0"][here] = value_0
            for name in ("multiplier", "carry_factor", "forward_0", "cost"):
                linear[name][here] = getattr(group, name, np.zeros(1)).reshape(-1)
        if isinstance(group, ForwardGroup):
            head[k]["inverse"] = group.inverse
        at = here.stop
    families = np.arange(_CONTRACTS, _CONTRACTS + len(CONTRACTS) + 1)
    return {
        "groups": len(parts), "instruments": size, "group": head, "formula": formula, "twin": twin,
        "contract": np.concatenate(contracts), "contracts_from": size - sum(len(each) for each in contracts),
        "family_begin": tuple(np.searchsorted(head["family"] * (head["family"] >= _CONTRACTS), families).tolist()),
        **_tables(list(tables)), "linear": linear, "pillar": np.array(pillars or [(0, 0.0)], dtype=_PILLAR),
    }  # fmt: skip


def row_columns(reference: Reference, segments: Segments) -> Columns:
    """Rows: their segments, and their own currencies."""
    book, level = reference.book, reference.market.factors.level
    return {
        **segments.columns,
        "rows": len(book.row),
        "row_up": book.convert[:, 0],
        "row_down": book.convert[:, 1],
        "base": reference.base,
        "rate_0": np.array([float(ratio(level, *pair)) for pair in book.convert]),
    }


def _family(group: Group) -> int:
    if isinstance(group, ContractGroup):
        return group.family.number
    if isinstance(group, OptionGroup):
        return _INTRINSIC if group.options.coefficients is None else _OPTION
    if isinstance(group, ForwardGroup):
        return _SPOT if group.kind is Kind.spot else _FORWARD
    return _CASH


def _tables(tables: list[PremiumTable]) -> Columns:
    """Records of the tables, and all their coefficients, the boundary of each first."""
    record = np.zeros(max(len(tables), 1), dtype=_TABLE)
    parts = [np.zeros(0)]
    for k, table in enumerate(tables):
        least, most = np.exp(table.first), np.exp(table.first + (ACROSS - 1) * table.step)
        drift = table.rho - table.kappa
        at = sum(len(part) for part in parts)
        terms = (table.first, 1.0 / table.step, least, most, drift, np.exp(drift), np.exp(-table.rho), at)
        record[k] = terms
        parts += [table.boundary, table.premium.reshape(-1)]
    return {"table": record, "spline": np.concatenate(parts)}


def _contracts(group: ContractGroup, value_0: Floats) -> Any:
    """The records of a group of contracts."""
    record = np.zeros(len(value_0), dtype=_CONTRACT)
    for name in _COMMON[:5]:
        record[name] = group.terms[name][:, 0]
    record["multiplier"], record["value_0"] = group.multiplier[:, 0], value_0
    if group.premium_0 is not None:
        record["premium"] = group.premium_0[:, 0]
    own = [values for name, values in group.terms.items() if name not in _COMMON]
    for k, values in enumerate(own):
        record["term"][:, k] = values[:, 0]  # one, or one a contract
    return record


def _options(group: OptionGroup, offset: Floats, worth: float, formula: Any, twin: Any) -> None:
    """Write a group's coefficients into its part of the columns.

    What rounding the coefficients does to a value today goes into the offset, so that it cancels in the
    P&L and only its change with the market remains. `worth`: today's value of a unit of the settlement currency.
    """
    options, direct = group.options, len(group.options.first)
    first, second, side = options.first[:, 0], options.second[:, 0], options.side[:, 0]
    if options.coefficients is None:
        a, b, c = side, options.edge[:, 0], first - second
    else:
        a, b, c = D_SCALE * options.coefficients[:direct].T
    p, q = options.parity[:, 0], options.parity.sum(axis=1)
    head, rest = formula[:direct], twin[direct:]
    for name, column in (("a", a), ("b", b), ("c", c), ("first", first), ("second", second)):
        head[name] = column
    rest["p"], rest["q"] = p, q

    def value(of: Any) -> Floats:
        if options.coefficients is None:
            return np.where(of["a"] * -of["b"] > 0, of["c"], 0.0)
        e, half = of["b"].astype(np.float64), of["c"].astype(np.float64)
        return np.asarray(of["first"] * ndtr((e + half) / D_SCALE) - of["second"] * ndtr((e - half) / D_SCALE))

    exact = {"a": a, "b": b, "c": c, "first": first, "second": second}
    rounded = value(head) - value(exact)
    unit = 1.0 if group.premium_0 is not None else worth  # a premium is stated in the settlement currency
    head["offset"] = offset[:direct] + unit * rounded
    rest["offset"] = offset[direct:] + unit * (rounded[options.formula] + rest["q"] - q)
    head["twins"] = np.bincount(options.formula, minlength=direct)
