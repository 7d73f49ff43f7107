"""Parameters of shock models from a market's history, or from a chain of options: configuration in, `Fitted` out."""

from __future__ import annotations

import dataclasses
from collections.abc import Mapping
from typing import Any, Literal

import numpy as np
from numpy.typing import NDArray

from mcvar import config as c
from mcvar import fit
from mcvar.book import Book
from mcvar.errors import SettingError
from mcvar.fit import Fitted
from mcvar.instruments import Kind
from mcvar.market import FactorKind, Market, Shock
from mcvar.settings import model as m

Floats = NDArray[np.float64]


def fitted(spec: m.ModelConfig, market: Market, job: c.FitJob | None = None, book: Book | None = None) -> Fitted:
    """Fit a model to the market's history; its settings are fields of the model's configuration.

    Parameters
    ----------
    job : FitJob, optional
        Default: its defaults.
    book : Book, optional
        Whose options are the chain, with `job.chain`.

    Raises
    ------
    SettingError
        A model without parameters, a market without what the fit reads.
    McvarError
        A history that is too short or does not fit the model.
    """
    job = job or c.FitJob()
    names = market.factors.name
    if job.chain:
        if type(spec) is not m.HestonModel:
            raise SettingError(f"job.chain=true fits model=heston, not {c.option_name(spec)}: drop it")
        return _chain(market, book)
    match spec:
        case m.StudentTModel():
            if not (job.copula or spec.groups):
                return fit.fit_student_t(past_moves(market), names, market.steps_per_year)
            if spec.groups:
                return _groups(spec.groups, market)
            return fit.fit_copula(past_moves(market), names, market.steps_per_year)
        case m.MertonModel():
            prices = [kind is FactorKind.price for kind in market.factors.kind]
            return fit.fit_merton(
                past_moves(market), names, market.steps_per_year, prices=prices, threshold=job.threshold
            )
        case m.HestonModel():
            return _heston(market, jumps=isinstance(spec, m.BatesModel), threshold=job.threshold)
        case m.GarchModel():
            return _garch(market, "t" if spec.innovations is m.Innovations.t else "normal")
        case m.FilteredHistoricalModel() if spec.filter is m.Filter.garch:
            return _garch(market, "normal")
    raise SettingError(
        f"model={c.option_name(spec)} has no parameters to fit: take student_t, merton, heston, bates, garch, or "
        "filtered_historical with model.filter=garch"
    )


def past_moves(market: Market, factors: list[int] | None = None) -> Floats:
    """Moves of all factors, or of some, over each step of the history, [T, F].

    Raises
    ------
    SettingError
        No history, or one with blanks.
    InputError
        A factor that the history does not have.
    """
    if market.history is None:
        raise SettingError(
            "the model is estimated from the past, and there is no history: give market.history, or the model's "
            "parameters"
        )
    chosen = range(len(market.factors)) if factors is None else factors
    moves = market.history.moves(
        [market.factors.name[f] for f in chosen], [market.factors.shock[f].value for f in chosen]
    )
    if np.isnan(moves).any():
        blank = int(np.isnan(moves).any(axis=1).sum())
        raise SettingError(
            f"{blank} of {len(moves)} moves of the history are blank for some factor, and the model needs whole dates: "
            "take market.missing=common, which leaves rows with blanks out"
        )
    return moves


def _garch(market: Market, innovations: Literal["normal", "t"]) -> Fitted:
    """Parameters without the forecast of the variance, which every run filters anew from its history."""
    found = fit.fit_garch(
        past_moves(market), market.factors.name, market.steps_per_year, innovations=innovations, dates=_dates(market)
    )

    def kept(tree: dict[str, Any]) -> dict[str, Any]:
        rows = tree["parameters"].items()
        return {"parameters": {n: {k: v for k, v in row.items() if k != "variance"} for n, row in rows}}

    forecast = {name: row["variance"] for name, row in found.settings["parameters"].items()}
    return dataclasses.replace(
        found, settings=kept(found.settings), errors=kept(found.errors),
        diagnostics={**found.diagnostics, "forecast_variance": forecast},
        notes=tuple(note for note in found.notes if "forecast variance" not in note),
    )  # fmt: skip


def _groups(given: Any, market: Market) -> Fitted:
    """Degrees of freedom of each group, and of the factors in none: those are `model.dof`."""
    names = market.factors.name
    listed = isinstance(given, Mapping) and all(
        isinstance(each, Mapping) and isinstance(each.get("factors"), list | tuple) for each in given.values()
    )
    if not listed:
        raise SettingError(f"model.groups is {given!r}: give {{name: {{factors: [...]}}}}; the fit finds each dof")
    groups = {str(name): tuple(each["factors"]) for name, each in given.items()}
    rest = tuple(name for name in names if not any(name in members for members in groups.values()))
    found = fit.fit_copula(
        past_moves(market), names, market.steps_per_year, groups={**groups, **({"": rest} if rest else {})}
    )

    def reduced(tree: dict[str, Any]) -> dict[str, Any]:
        own = {name: each for name, each in tree["groups"].items() if name}
        return {"groups": own} | ({"dof": tree["groups"][""]["dof"]} if rest else {})

    return dataclasses.replace(found, settings=reduced(found.settings), errors=reduced(found.errors))


def _dates(market: Market) -> list[str]:
    assert market.history is not None  # past_moves has read it
    return [str(day.astype("datetime64[D]")) for day in market.history.dates[1:]]


def _heston(market: Market, *, jumps: bool, threshold: float) -> Fitted:
    """Variance of each underlying whose first volatility factor the history has, with the returns of its price."""
    factors = market.factors
    pairs = [
        (f, pillars[0])
        for name, f in market.price_factor().items()
        if factors.shock[f] is Shock.log and (pillars := factors.pillars(FactorKind.vol, name))
    ]
    history = market.history
    known = [(f, v) for f, v in pairs if history is not None and factors.name[v] in history.names]
    if history is None or not known:
        raise SettingError(
            "heston and bates are fitted to the history of an implied volatility, and no underlying has a volatility "
            "factor with a column in market.history: give one, or model.parameters, or job.chain=true for job=fit"
        )
    price, vol = [f for f, _ in known], [v for _, v in known]
    returns = past_moves(market, price)
    past_moves(market, vol)  # refuses blanks
    proxy = history.levels[:, [history.names.index(factors.name[v]) for v in vol]]
    names = [factors.underlying[f] for f in price]
    if jumps:
        return fit.fit_bates(returns, proxy, names, market.steps_per_year, factors.tenor[vol], threshold=threshold)
    return fit.fit_heston(returns, proxy, names, market.steps_per_year, factors.tenor[vol])


def _chain(market: Market, book: Book | None) -> Fitted:
    """Each underlying's options in the book, at their volatilities."""
    found: list[Fitted] = []
    if book is not None:
        i = book.instruments
        for name, f in market.price_factor().items():
            at = np.flatnonzero((i.kind == Kind.option) & (i.underlying == f) & (i.years > 0) & (i.volatility > 0))
            if len(at):
                forward = market.factors.level[f] * np.exp(i.carry[at] * i.years[at])
                found.append(fit.fit_heston_chain(forward, i.strike[at], i.years[at], i.volatility[at], name))
    if not found:
        raise SettingError("job.chain=true fits the volatilities of the book's options, and the book has none")

    def joined(field: str) -> dict[str, object]:
        return {"parameters": {name: p for each in found for name, p in getattr(each, field)["parameters"].items()}}

    diagnostics = {name: each.diagnostics for each in found for name in each.settings["parameters"]}
    notes = tuple(dict.fromkeys(note for each in found for note in each.notes))
    return Fitted(joined("settings"), joined("errors"), diagnostics, notes)
