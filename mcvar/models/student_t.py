"""Student t moves: one scale for all factors, one for each group of them, or a t copula with marginals of their own."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from mcvar.errors import SettingError
from mcvar.market import Market
from mcvar.models.common import Drift, log_prices, mean_move, refuse_drift
from mcvar.models.innovations import Correlated
from mcvar.models.law import Law
from mcvar.models.marginals import Marginal, Marginals, cumulant
from mcvar.models.mixing import Mixing, ScaleTable, check_dof

Floats = NDArray[np.float64]


@dataclass(frozen=True)
class Group:
    """Factors that share a mixing variable."""

    name: str
    factors: tuple[str, ...]
    dof: float


@dataclass(frozen=True)
class StudentT:
    """Multivariate t with the market's covariance: x = mean + sqrt((dof - 2) / W) L z, W ~ chi2(dof).

    One W a step moves all factors together, so extremes coincide (McNeil, Frey and Embrechts,
    "Quantitative Risk Management", 2015, section 6.2). The scale (dof - 2) / W has mean 1, so the
    covariance equals that of `Gaussian`. Over several steps the moves are sums of independent t moves.

    Parameters
    ----------
    dof : float
        Degrees of freedom, > 2.
    drift : Drift
        `martingale` and `risk_neutral` need shocks `simple` or `absolute`, or marginals that are not t: exp(t)
        has no mean.
    groups : sequence of Group
        Grouped t: factors with a scale of their group's; the others have that of `dof`.
    independent : bool
        Whether the scales of groups are independent; else they are increasing functions of one variable.
    marginals : sequence of Marginal, optional
        One a factor: the copula stays that of the t law, and the covariance nearly so.
    """

    dof: float = 5.0
    drift: Drift = Drift.zero
    groups: tuple[Group, ...] = ()
    independent: bool = False
    marginals: Sequence[Marginal] | None = None

    def law(self, market: Market, years: float, carry: Floats, steps: int = 1) -> Law:
        """See `ShockModel.law`."""
        check_dof(self.dof, "model.dof")
        if self.groups and self.marginals is not None:
            raise SettingError("both model.groups and model.marginals are given: a copula with marginals has one dof")
        deviation = market.volatility * np.sqrt(years / steps)
        log = log_prices(market)
        marginals: list[Marginal] = [float(self.dof)] * len(market.factors)
        if self.marginals is not None:
            if len(self.marginals) != len(deviation):
                raise SettingError(f"{len(self.marginals)} marginals for {len(deviation)} factors: give one for each")
            marginals = [float(each) if isinstance(each, int | float) else each for each in self.marginals]
        heavy = [f for f in log if isinstance(marginals[f], float)]
        refuse_drift(market, self.drift, heavy, "student_t", "exp(t) has no mean")
        growing = {f: cumulant(marginals[f], deviation[f]) for f in log} if self.drift is not Drift.zero else {}
        mean = mean_move(
            market, years / steps, carry, self.drift, np.array([growing.get(f, 0.0) for f in range(len(deviation))])
        )
        tables = None if self.marginals is None else Marginals.of(marginals, self.dof)
        innovations = Correlated.of(market.correlation, self._mixing(market), tables)
        notes = self._notes(market, heavy, innovations.mixing)
        return Law(innovations, np.tile(mean, (steps, 1)), deviation, notes=notes)

    def _mixing(self, market: Market) -> Mixing:
        names = market.factors.name
        group = np.zeros(len(names), dtype=np.int64)  # 0: those of no group
        owner: dict[str, str] = {}
        problems = []
        for k, each in enumerate(self.groups, 1):
            check_dof(each.dof, f"model.groups.{each.name}.dof")
            for name in each.factors:
                if name not in names:
                    problems.append(f"model.groups.{each.name}: '{name}' is no factor: there are {', '.join(names)}")
                elif owner.setdefault(name, each.name) != each.name:
                    problems.append(f"model.groups: '{name}' is in {owner[name]} and in {each.name}: leave it in one")
                else:
                    group[names.index(name)] = k
        if problems:
            raise SettingError("\n".join(problems))
        tables = tuple(ScaleTable.of(dof) for dof in (self.dof, *(each.dof for each in self.groups)))
        draw = np.arange(len(tables)) if self.independent else np.zeros(len(tables), dtype=np.int64)
        return Mixing(group, tables, draw)

    def _notes(self, market: Market, heavy: list[int], mixing: Mixing | None) -> tuple[str, ...]:
        notes = []
        if self.marginals is not None:
            notes.append(
                "student_t with marginals: the market's correlation is that of the copula; correlations of moves are "
                "lower "
                "where marginals differ much"
            )
        kept = 1.0 if mixing is None else float(np.diag(mixing.shrinkage()).min())
        if kept < 0.995:
            notes.append(
                f"student_t with a dof near 2: moves have {kept:.2f} of the market's variance, the rest lies beyond "
                "what "
                "random numbers of 53 bits reach"
            )
        if self.groups and mixing is not None:
            used = np.unique(mixing.group)
            least = mixing.shrinkage()[np.ix_(used, used)].min()
            notes.append(
                "student_t with groups: correlations between groups are the market's, which are those of the copula, "
                f"times {least:.3f} to 1; within a group they are the market's"
            )
        if heavy:
            notes.append(
                f"student_t with log shocks ({', '.join(market.factors.name[f] for f in heavy)}): exp(t) has no mean, "
                "so ES, mean and std of a book that loses without bound as prices rise are infinite, and their "
                "estimates and intervals mean nothing (VaR is sound); shock=simple avoids it, or model=gaussian where "
                "inverse contracts need log shocks"
            )
        least = min([self.dof, *(group.dof for group in self.groups)])
        if least <= 4:
            notes.append(f"student_t with dof {least:g} <= 4 has no fourth moment: the error of std is unreliable")
        return tuple(notes)
