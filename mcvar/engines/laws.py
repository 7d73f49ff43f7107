"""The law of the moves and what is watched of the paths, field by field as in kernels/law.cuh."""

from __future__ import annotations

from typing import Any

import numpy as np
from numpy.typing import NDArray

from mcvar.engines.rows import Rows
from mcvar.errors import SettingError
from mcvar.instruments import Instruments
from mcvar.market import Market, Shock
from mcvar.models.innovations import Correlated, Residuals
from mcvar.models.jumps import Jumps
from mcvar.models.law import Law
from mcvar.models.variance import Variance
from mcvar.philox import Stream
from mcvar.sampling import Sobol, Source, Stratified
from mcvar.scenarios import Explicit, Scenarios, Simulated

Floats = NDArray[np.float64]
Columns = dict[str, Any]  # arrays by the name of the field that points to them; numbers

_POINTER = "u8"


def _fields(text: str) -> list[tuple[str, str]]:
    """Fields of a struct: numbers plain, pointers with a star, doubles with a dot."""
    kinds = {"*": _POINTER, ".": "f8"}
    return [(name.strip("*."), kinds.get(name[0], "i8")) for name in text.split()]


LAW = np.dtype(
    [
        ("seed", "u8"),
        *_fields("steps given *moves scheme sampled mixed components scramblings bits *direction *shift strata_bits"),
        *_fields("*bridge_begin *place *bridge"),
        *_fields("drivers *pair *root *first *end variance_row common_row own_row"),
        *_fields("mixings nodes *mixing_draw *mixing_of *log_scale *log_slope knots .reach *marginal *marginal_slope"),
        *_fields("dates recent block *residual *cumulative *mean *deviation garches *garch"),
        *_fields("variances *variance *variance_of jumps commons *jump *common_number *own_number"),
        *_fields("*watched_begin *watched"),
    ]
)
STATE = np.dtype(_fields("step *z *y *scale *common *date *h *x *price"))
_PART = np.dtype(_fields("level .weight"))
_PAIR = np.dtype(_fields("stream block"))
_GARCH = np.dtype(_fields(".omega .alpha .gamma .beta .start .half"))
_CONSTANTS = ("decay", "mean", "c1", "c2", "k0", "k1", "k2", "k3", "a", "rho", "rest")
_VARIANCE = np.dtype(_fields(" ".join(f".{name}" for name in ("start", *_CONSTANTS)) + " .years martingale"))
_JUMP = np.dtype(_fields(".common_mean .common_deviation .own_mean .own_deviation begin end"))
_WATCHED = np.dtype(_fields("statistic step first every row shock"))
_SOBOL, _STRATIFIED = 1, 2  # Scheme
SHOCK = {Shock.log: 1, Shock.simple: 2, Shock.absolute: 3}


def law_columns(scenarios: Scenarios, rows: Rows) -> Columns:
    """The law of the moves, or given moves; the fields of parts that it does not have are 0.

    Raises
    ------
    SettingError
        Scenarios of a kind that the kernels do not know.
    """
    watched = watched_columns(rows)
    if isinstance(scenarios, Explicit):
        given = {"given": scenarios.count, "moves": scenarios.shocks, "deviation": scenarios.deviation}
        return {"steps": 1, **given, **watched}
    if not isinstance(scenarios, Simulated):
        raise SettingError("the kernels know simulated and given scenarios: take engine=numpy for any other")
    law = scenarios.drawn
    columns = {"seed": scenarios.seed, "steps": law.steps, "mean": law.mean, "deviation": law.deviation, **watched}
    columns |= _drivers(law) | _sampling(scenarios.source)
    match law.innovations:
        case Residuals() as drawn:
            columns |= {
                "dates": len(drawn.pool), "recent": drawn.recent, "block": drawn.block,
                "residual": drawn.values, "cumulative": drawn.cumulative,
            }  # fmt: skip
        case Correlated() as drawn:
            columns |= _mixture(drawn)
    if law.garch is not None:
        garch = np.zeros(len(law.deviation), dtype=_GARCH)
        for name in ("omega", "alpha", "gamma", "beta", "start"):
            garch[name] = getattr(law.garch, name)
        if law.convexity is not None:
            garch["half"] = law.convexity * law.deviation**2
        columns |= {"garches": len(garch), "garch": garch}
    if law.variance is not None:
        columns |= _variances(law.variance, len(law.deviation))
    if law.jumps is not None:
        columns |= _jumps(law.jumps)
    return columns


def watched_columns(rows: Rows) -> Columns:
    """What is watched, in the order of the factors."""
    factors = rows.market.factors
    order = sorted(range(len(rows.watched)), key=lambda s: rows.watched[s].factor)
    table = np.zeros(max(len(order), 1), dtype=_WATCHED)
    for at, s in enumerate(order):
        watched = rows.watched[s]
        shock = SHOCK[factors.shock[watched.factor]]
        table[at] = (watched.statistic.value, watched.step, watched.first, watched.every, len(factors) + s, shock)
    begin = np.searchsorted([rows.watched[s].factor for s in order], np.arange(len(factors) + 1))
    return {"watched": table, "watched_begin": begin}


def state_sizes(law: Any, factors: int, lines: int) -> dict[str, int]:
    """Rows of each array of the state; `law` is a record of `LAW`."""
    return {
        "z": int(law["drivers"]), "y": int(law["drivers"]), "scale": int(law["mixings"]),
        "common": int(law["jumps"] > 0), "date": int(law["dates"] > 0), "h": factors if law["garches"] else 0,
        "x": lines, "price": lines,
    }  # fmt: skip


def law_memory(market: Market, scenarios: Scenarios, years: float, instruments: Instruments) -> tuple[int, int]:
    """For the plan of the memory: numbers that a scenario takes until it is valued, and bytes of the law's tables."""
    rows = Rows.of(market, scenarios, years, instruments)
    columns = law_columns(scenarios, rows)
    tables = sum(value.nbytes for value in columns.values() if isinstance(value, np.ndarray))
    law = dict.fromkeys(LAW.names or (), 0) | columns
    return sum(state_sizes(law, len(market.factors), len(rows)).values()), tables


def _sampling(source: Source) -> Columns:
    """What a source that is not plain draws by."""
    if not isinstance(source, Sobol | Stratified):
        return {}
    part = np.zeros(len(source.bridge.level), dtype=_PART)
    part["level"], part["weight"] = source.bridge.level, source.bridge.weight
    bridge = {"bridge_begin": source.bridge.begin, "place": source.bridge.place, "bridge": part}
    if isinstance(source, Stratified):
        return {"scheme": _STRATIFIED, "sampled": 1, "strata_bits": source.bits, **bridge}
    return {
        "scheme": _SOBOL, "sampled": (source.components + 1) // 2, "mixed": source.mixings,
        "components": source.components, "scramblings": source.scramblings, "bits": source.net.bits,
        "direction": source.net.direction, "shift": source.net.shift, **bridge,
    }  # fmt: skip


def _drivers(law: Law) -> Columns:
    """Normals of a step: of the factors, the variances, the sizes of common jumps and those of own ones.

    Each kind fills whole pairs, as the generator draws them; the root is block diagonal.
    """
    bands: list[tuple[Stream, int, Floats]] = []  # stream, first block of it, root
    place = {"variance_row": 0, "common_row": 0, "own_row": 0}
    size = 0

    def add(name: str, stream: Stream, block: int, root: Floats) -> None:
        nonlocal size
        place[name] = size
        bands.append((stream, block, root))
        size += len(root) + len(root) % 2

    if isinstance(law.innovations, Correlated):
        add("factor_row", Stream.normals, 0, law.innovations.root)
    if law.variance is not None:
        add("variance_row", Stream.variance, 0, law.variance.root)
    if law.jumps is not None:
        add("common_row", Stream.jump_size, 0, law.jumps.root)
        factors = len(law.deviation)
        add("own_row", Stream.jump_size, (factors + 1) // 2, np.eye(factors))
    place.pop("factor_row", None)  # 0
    root, first, last = np.zeros((size, size)), np.arange(size), np.arange(size)
    pair = np.zeros(max(size // 2, 1), dtype=_PAIR)
    at = 0
    for stream, block, part in bands:
        end = at + len(part)
        root[at:end, at:end] = part
        first[at:end] = at + (part != 0).argmax(axis=1)
        last[at:end] = np.maximum(last[at:end], end - 1 - (part[:, ::-1] != 0).argmax(axis=1))
        for k in range((len(part) + 1) // 2):
            pair[at // 2 + k] = (int(stream), block + k)
        at = end + len(part) % 2
    return {
        "drivers": size, "pair": pair, "root": root, "first": np.minimum.accumulate(first[::-1])[::-1],
        "end": np.maximum.accumulate(last) + 1, **place,
    }  # fmt: skip


def _mixture(drawn: Correlated) -> Columns:
    columns: Columns = {}
    if drawn.mixing is not None:
        tables = drawn.mixing.tables
        columns |= {
            "mixings": len(tables), "nodes": len(tables[0].slope), "mixing_draw": drawn.mixing.draw,
            "mixing_of": drawn.mixing.group, "log_scale": np.stack([t.log_scale for t in tables]),
            "log_slope": np.stack([t.slope for t in tables]),
        }  # fmt: skip
    if drawn.marginals is not None:
        value, slope = drawn.marginals.value, drawn.marginals.slope
        columns |= {"knots": value.shape[1], "reach": drawn.marginals.reach, "marginal": value, "marginal_slope": slope}
    return columns


def _variances(variance: Variance, factors: int) -> Columns:
    table = np.zeros(len(variance.price), dtype=_VARIANCE)
    for name, values in {"start": variance.start, **variance.constants}.items():
        table[name] = values
    table["years"], table["martingale"] = variance.years, variance.martingale
    of = np.full(factors, -1)
    of[variance.price] = np.arange(len(variance.price))
    return {"variances": len(table), "variance": table, "variance_of": of}


def _jumps(jumps: Jumps) -> Columns:
    common, *own = jumps.tables
    table = np.zeros(len(own), dtype=_JUMP)
    for name in ("common_mean", "common_deviation", "own_mean", "own_deviation"):
        table[name] = getattr(jumps, name)
    table["end"] = np.cumsum([len(each) for each in own])
    table["begin"][1:] = table["end"][:-1]
    return {
        "jumps": len(own), "commons": len(common), "jump": table, "common_number": common,
        "own_number": np.concatenate(own),
    }  # fmt: skip


def levels_of(market: Market) -> Columns:
    """Levels of the factors, and how their moves change them; rows of factors that are no price have shock 0."""
    factors = market.factors
    prices = set(market.price_factor().values())
    shock = [SHOCK[s] if f in prices else 0 for f, s in enumerate(factors.shock)]
    return {"factors": len(factors), "shock": np.array(shock, dtype=np.int64), "level": factors.level}
