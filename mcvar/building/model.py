"""Shock models from configuration: parameters read or fitted, and bound to a market and a horizon."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, replace
from typing import Any

import numpy as np
from numpy.typing import NDArray

from mcvar import config as c
from mcvar.building.fit import fitted, past_moves
from mcvar.building.past import filtered, garch
from mcvar.errors import SettingError
from mcvar.market import Market
from mcvar.models import (
    Gaussian,
    Heston,
    HestonParameters,
    Merton,
    ShockModel,
    StudentT,
)
from mcvar.models.jumps import JumpRates
from mcvar.models.marginals import LEAST_SAMPLE, Marginal
from mcvar.models.student_t import Group
from mcvar.regime import Floors
from mcvar.settings import model as m
from mcvar.settings.model_checks import number, read_parameters

Floats = NDArray[np.float64]
_HESTON = ("kappa", "theta", "sigma", "rho", "v0")
_JUMP = ("mean", "deviation")


@dataclass(frozen=True)
class Prepared:
    """A model with its parameters, and how they came about.

    Parameters
    ----------
    model : ShockModel
    market : Market
        With the volatilities that the regime asks for.
    notes : tuple of str
    settings : mapping
        What was fitted, for the record; empty if nothing was.
    """

    model: ShockModel
    market: Market
    notes: tuple[str, ...] = ()
    settings: Mapping[str, Any] | None = None


def prepare(spec: m.ModelConfig, market: Market) -> Prepared:
    """The model of a configuration; parameters that it needs and does not have are fitted to the history.

    Raises
    ------
    McvarError
        Whatever is wrong with the settings or the history, before any simulation.
    """
    notes: tuple[str, ...] = ()
    settings: Mapping[str, Any] | None = None
    if _lacks_parameters(spec):
        found = fitted(spec, market)
        spec = replace(spec, **found.settings)
        settings = {"settings": found.settings, "errors": found.errors, "notes": list(found.notes)}
        notes = (f"model={c.option_name(spec)} was fitted to the history: run.json has parameters and remarks",)
    floors = Floors.of(spec, market)
    notes += floors.notes
    if isinstance(spec, m.GarchModel | m.FilteredHistoricalModel) and market.history is not None:
        late = market.valuation - market.history.dates[-1]
        if late > 5 * np.median(np.diff(market.history.dates).astype(np.int64)).astype(np.int64):
            notes += (
                f"the history ends {late.astype('timedelta64[h]')} before the valuation: the first step's variance "
                "is the "
                "forecast for the step after its end",
            )
    match spec:
        case m.GaussianModel():
            return Prepared(Gaussian(spec.drift), floors.raised(market), notes)
        case m.StudentTModel():
            return Prepared(_student_t(spec, market), floors.raised(market), notes)
        case m.MertonModel():
            return Prepared(Merton(_jumps(spec, market), spec.drift), floors.raised(market), notes, settings)
        case m.HestonModel():
            return Prepared(_heston(spec, market, floors), floors.raised(market), notes, settings)
        case m.GarchModel():
            return Prepared(garch(spec, market, floors), market, notes, settings)
        case m.FilteredHistoricalModel():
            return Prepared(filtered(spec, market, floors), market, notes, settings)
    raise SettingError(f"model must be one of {', '.join(c.OPTIONS['model'])}, not {type(spec).__name__}")


def _lacks_parameters(spec: m.ModelConfig) -> bool:
    match spec:
        case m.MertonModel():
            return spec.common is None and spec.own is None
        case m.FilteredHistoricalModel():
            return spec.filter is m.Filter.garch and spec.parameters is None
        case m.HestonModel() | m.GarchModel():
            return spec.parameters is None
    return False


def _student_t(spec: m.StudentTModel, market: Market) -> StudentT:
    groups = []
    for name, each in _mapping(spec.groups, "model.groups").items():
        where = f"model.groups.{name}"
        members = _mapping(each, where)
        named = members.get("factors")
        if set(members) != {"factors", "dof"} or not isinstance(named, list | tuple) or not named:
            raise SettingError(f"{where} is {each!r}: give factors, a list of names, and dof")
        if len(set(named)) < len(named):
            raise SettingError(f"{where}.factors names a factor twice: {', '.join(map(str, named))}; leave it in once")
        groups.append(Group(str(name), tuple(map(str, members["factors"])), number(members["dof"], f"{where}.dof")))
    marginals = None if spec.marginals is None else _marginals(spec.marginals, market)
    return StudentT(spec.dof, spec.drift, tuple(groups), spec.independent, marginals)


def _marginals(given: Any, market: Market) -> list[Marginal]:
    names = market.factors.name
    each = given if isinstance(given, Mapping) else dict.fromkeys(names, given)
    problems = [
        f"model.marginals: '{name}' is no factor: there are {', '.join(names)}" for name in each if name not in names
    ]
    problems += [f"model.marginals: none for '{name}': give one for each factor" for name in names if name not in each]
    if problems:
        raise SettingError("\n".join(problems))
    made: list[Marginal] = []
    for f, name in enumerate(names):
        if each[name] == "normal":
            made.append(None)
        elif each[name] == "empirical":
            sample = past_moves(market, [f])[:, 0]
            if len(np.unique(sample)) < LEAST_SAMPLE:
                raise SettingError(
                    f"model.marginals.{name}: the history has {len(np.unique(sample))} different moves, and an "
                    "empirical "
                    f"law needs {LEAST_SAMPLE}: give a longer history or another marginal"
                )
            made.append(sample)
        else:
            made.append(number(each[name], f"model.marginals.{name}", also="normal, empirical or "))
    return made


def _jumps(spec: m.MertonModel, market: Market) -> JumpRates:
    names = market.factors.name
    size = len(names)
    common = _mapping(spec.common, "model.common")
    unknown = set(common) - {"intensity", "correlation", "factors"}
    if unknown:
        raise SettingError(
            f"model.common has {', '.join(sorted(unknown))}: it takes intensity, correlation and factors"
        )
    sizes = read_parameters(common.get("factors"), "model.common.factors", _JUMP, names)
    own = read_parameters(spec.own, "model.own", ("intensity", *_JUMP), names)
    correlation = market.correlation
    if (given := common.get("correlation")) is not None:
        between, lowest = number(given, "model.common.correlation"), -1.0 / max(size - 1, 1)
        if not lowest <= between <= 1.0:
            raise SettingError(
                f"model.common.correlation is {between:g}: between {size} factors it lies from {lowest:.3g} to 1"
            )
        correlation = np.full((size, size), between)
        np.fill_diagonal(correlation, 1.0)

    if not common.get("intensity") and not own:
        raise SettingError(
            "model=merton has no jumps: give model.common an intensity and factors, or model.own, or take "
            "model=gaussian"
        )
    if sizes and "intensity" not in common:
        raise SettingError("model.common has factors and no intensity: give the number of common jumps a year")

    def column(table: Mapping[str, Mapping[str, float]], field: str) -> Floats:
        return np.array([table[name][field] if name in table else 0.0 for name in names])

    return JumpRates(
        number(common.get("intensity", 0.0), "model.common.intensity"),
        column(sizes, "mean"), column(sizes, "deviation"), correlation,
        column(own, "intensity"), column(own, "mean"), column(own, "deviation"),
    )  # fmt: skip


def _heston(spec: m.HestonModel, market: Market, floors: Floors) -> Heston:
    fields = (*_HESTON, "intensity", *_JUMP) if isinstance(spec, m.BatesModel) else _HESTON
    table = read_parameters(spec.parameters, "model.parameters", fields, tuple(market.price_factor()))
    made = {}
    for name, p in table.items():
        f = market.price_factor()[name]
        least = floors.least[f] ** 2
        start = max(p["v0"], p["theta"], least) if floors.larger else max(p["v0"], least)
        made[name] = HestonParameters(**{**p, "v0": start})
    return Heston(made, spec.drift, spec.variance_correlation)


def _mapping(value: Any, where: str) -> Mapping[Any, Any]:
    if value is None:
        return {}
    if not isinstance(value, Mapping):
        raise SettingError(f"{where} is {value!r}: give a mapping, {{name: value}}")
    return value
