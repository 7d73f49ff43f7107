"""The plan and the work space of the kernels, field by field as in kernels/plan.cuh."""

from __future__ import annotations

from typing import Any

import numpy as np
from numpy.typing import NDArray
from scipy.special import ndtr

from mcvar.engines.groups import ForwardGroup, Group, OptionGroup
from mcvar.engines.levels import ratio
from mcvar.engines.reference import Reference
from mcvar.engines.segments import Segments
from mcvar.errors import SettingError
from mcvar.instruments import Kind
from mcvar.market import FactorKind, Market, Shock
from mcvar.models import GaussianLaw, StudentTLaw
from mcvar.scenarios import Explicit, Scenarios, Simulated

Floats = NDArray[np.float64]
Columns = dict[str, Any]  # arrays by the name of the field that points to them; numbers

_POINTER = "u8"
PLAN = np.dtype(
    [
        *((name, "i8") for name in ("factors", "groups", "instruments", "segments", "rows")),
        ("seed", "u8"),
        ("nodes", "i8"),
        *((name, _POINTER) for name in ("factor", "mean", "log_scale", "slope")),
        ("given", "i8"),
        *((name, _POINTER) for name in ("moves", "shock", "level")),
        *((name, _POINTER) for name in ("group", "pillar", "formula", "twin", "linear")),
        ("chunk", "i8"),
        ("chunks", "i8"),
        *((name, _POINTER) for name in ("segment_begin", "run_begin", "run_count", "position")),
        *((name, _POINTER) for name in ("part_begin", "part", "row_up", "row_down", "base", "rate_0")),
    ]
)
WORK = np.dtype(
    [
        ("width", "i8"),
        *((name, _POINTER) for name in ("index", "z", "x", "price", "scale", "dv", "sums", "pnl", "bad")),
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
        *((name, "i8") for name in ("begin", "direct", "end")),
        ("pillar", "i8", 4),
        ("left", "f8"),
    ]
)
_PILLAR = np.dtype([("factor", "i8"), ("weight", "f8")])
_LINEAR = np.dtype([(name, "f8") for name in ("multiplier", "carry_factor", "forward_0", "cost", "value_0")])
_SHOCK = {Shock.log: 1, Shock.simple: 2, Shock.absolute: 3}
D_SCALE = float(np.sqrt(np.log2(np.e) / 2))  # kernels/black.cuh: the exponential is then a power of two
_OPTION, _INTRINSIC, _FORWARD, _SPOT, _CASH = range(5)


def law_columns(scenarios: Scenarios) -> Columns:
    """The law of the moves, or given moves.

    Raises
    ------
    SettingError
        A law that the kernels do not know.
    """
    none: Columns = {"seed": 0, "nodes": 0, "given": 0}
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
    raise SettingError(
        "the kernels know the models gaussian and student_t, and given moves: take engine=numpy for any other"
    )


def factor_columns(market: Market) -> Columns:
    """Levels of the factors, and how their moves change them."""
    factors = market.factors
    shock = [_SHOCK[s] if k is FactorKind.price else 0 for s, k in zip(factors.shock, factors.kind, strict=True)]
    return {"factors": len(factors), "shock": np.array(shock, dtype=np.int64), "level": factors.level}


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
        if isinstance(group, OptionGroup | ForwardGroup):
            head[k]["underlying"], head[k]["left"] = group.underlying, group.left
        if isinstance(group, OptionGroup):
            head[k]["inverse"] = group.options.inverse
            head[k]["direct"] = at + len(group.options.first)
            head[k]["margined"] = group.premium_0 is not None
            offset = value_0 if group.premium_0 is None else group.premium_0[:, 0]
            worth = float(ratio(reference.market.factors.level, *group.convert))
            _options(group, offset, worth, formula[here], twin[here])
        else:
            linear["value_0"][here] = value_0
            for name in ("multiplier", "carry_factor", "forward_0", "cost"):
                linear[name][here] = getattr(group, name, np.zeros(1)).reshape(-1)
        if isinstance(group, ForwardGroup):
            head[k]["inverse"] = group.inverse
        at = here.stop
    return {
        "groups": len(parts), "instruments": size, "group": head, "formula": formula, "twin": twin,
        "linear": linear, "pillar": np.array(pillars or [(0, 0.0)], dtype=_PILLAR),
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
    if isinstance(group, OptionGroup):
        return _INTRINSIC if group.options.coefficients is None else _OPTION
    if isinstance(group, ForwardGroup):
        return _SPOT if group.kind is Kind.spot else _FORWARD
    return _CASH


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
