"""The t copula, common or grouped, and Student t marginals."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np
from numpy.typing import ArrayLike
from scipy.special import gammaln, stdtrit
from scipy.stats import kendalltau, rankdata

from mcvar.errors import SettingError
from mcvar.fit.fitted import Fitted, Floats, checked
from mcvar.fit.student import LEAST, Dof, bound_notes, distances, maximise, profile_t

SMALLEST_EIGENVALUE = 1e-6


def fit_copula(
    moves: ArrayLike,
    names: Sequence[str],
    steps_per_year: float,
    *,
    groups: Mapping[str, Sequence[str]] | None = None,
    dates: Sequence[str] | None = None,
) -> Fitted:
    """Degrees of freedom of a t copula, or of each group of a grouped one, and of each factor's own t law.

    Pseudo-observations u = rank / (T + 1); correlation sin(pi tau / 2) of Kendall's tau, made positive definite by
    its eigenvalues; then the dof with the largest copula density (McNeil, Frey and Embrechts, "Quantitative Risk
    Management", 2015, section 7.5). Groups: the same likelihood within each (Daul, De Giorgi, Lindskog and McNeil
    2003). Marginals: maximum likelihood of a t with the sample's mean and variance, "normal" at the bound 200.

    Parameters
    ----------
    moves : array_like [T, F]
        Moves, or residuals of a volatility filter; finite, at least 100 and more than 2 F; F at least 2.
    names : sequence of str [F]
    steps_per_year : float
    groups : mapping, optional
        Names of the factors in each group; every factor in exactly one.
    dates : sequence of str [T], optional
        Names of the rows, for messages.

    Returns
    -------
    Fitted
        settings: dof, or groups[group] = {factors, dof}; marginals[name] = dof or "normal". The correlation
        is in diagnostics, in the order of the names.

    Raises
    ------
    InputError
        Moves that cannot be fitted.
    SettingError
        Fewer than two factors; groups that do not cover the factors once.
    """
    x = checked(moves, names, steps_per_year, least=max(LEAST, 2 * len(names) + 1), dates=dates)
    if len(names) < 2:
        raise SettingError(f"a copula joins at least two factors, here is only {names[0]}: fit student_t instead")
    members = _members(names, groups or {})
    u = rankdata(x, axis=0) / (len(x) + 1)
    notes = [
        "copula: moves count as independent in time; errors of the dof take ranks and correlation as known, "
        "and are too small by that"
    ]
    correlation, smallest = kendall_correlation(x)
    if smallest < SMALLEST_EIGENVALUE:
        notes.append(
            f"the correlation from Kendall's tau has an eigenvalue {smallest:.3g}: raised to {SMALLEST_EIGENVALUE:g}"
        )
    common = maximise(lambda dof: copula_loglikelihood(u, dof, correlation))
    diagnostics: dict[str, Any] = {
        "observations": len(x),
        "years": len(x) / steps_per_year,
        "loglikelihood": common.loglikelihood,
        "factors": list(names),
        "correlation": correlation.tolist(),
    }
    marginals = {name: profile_t(x[:, [f]]) for f, name in enumerate(names)}
    settings: dict[str, Any] = {"marginals": {n: "normal" if d.is_normal else d.value for n, d in marginals.items()}}
    errors: dict[str, Any] = {"marginals": {n: d.error for n, d in marginals.items()}}
    for name, found in marginals.items():
        notes += bound_notes(f"{name}: dof of the marginal", found)
    if groups is None:
        settings["dof"], errors["dof"] = common.value, common.error
        notes += bound_notes("dof of the copula", common)
        return Fitted(settings, errors, diagnostics, tuple(notes))
    settings["groups"], errors["groups"] = {}, {}
    for group, columns in members.items():
        found = _of_group(u[:, columns], correlation[np.ix_(columns, columns)], common)
        settings["groups"][group] = {"factors": [names[f] for f in columns], "dof": found.value}
        errors["groups"][group] = {"dof": found.error}
        if len(columns) == 1:
            notes.append(
                f"group {group} has one factor, whose copula has no dof: it takes that of all, without an error"
            )
        else:
            notes += bound_notes(f"group {group}: dof", found)
    return Fitted(settings, errors, diagnostics, tuple(notes))


def kendall_correlation(x: Floats) -> tuple[Floats, float]:
    """sin(pi tau / 2) of Kendall's tau-b of all pairs, [F, F], and its smallest eigenvalue before repair.

    Eigenvalues below 1e-6 are raised to it and the diagonal is scaled back to 1 (Rousseeuw and
    Molenberghs 1993).
    """
    size = x.shape[1]
    matrix = np.eye(size)
    for i in range(size):
        for j in range(i):
            matrix[i, j] = matrix[j, i] = np.sin(np.pi / 2 * kendalltau(x[:, i], x[:, j]).statistic)
    value, vector = np.linalg.eigh(matrix)
    smallest = float(value[0])
    if smallest >= SMALLEST_EIGENVALUE:
        return matrix, smallest
    repaired = (vector * np.maximum(value, SMALLEST_EIGENVALUE)) @ vector.T
    scale = np.sqrt(np.diag(repaired))
    repaired = repaired / scale / scale[:, None]
    np.fill_diagonal(repaired, 1.0)
    return repaired, smallest


def copula_loglikelihood(u: Floats, dof: float, correlation: Floats) -> float:
    """Log of the t copula's density, summed over [T, F] pseudo-observations.

    The multivariate t density over the product of its marginals, at the t quantiles of u.
    """
    count, size = u.shape
    unique, at = np.unique(u, return_inverse=True)  # ranks repeat in all columns, quantiles are dear
    quantile: Floats = np.asarray(stdtrit(np.float64(dof), unique), dtype=np.float64)
    y = quantile[at].reshape(u.shape)
    half = np.log(np.diag(np.linalg.cholesky(correlation))).sum()
    constant = gammaln((dof + size) / 2) + (size - 1) * gammaln(dof / 2) - size * gammaln((dof + 1) / 2) - half
    joint = (dof + size) / 2 * np.log1p(distances(y, np.zeros(size), correlation) / dof).sum()
    single = (dof + 1) / 2 * np.log1p(y * y / dof).sum()
    return float(count * constant - joint + single)


def _of_group(u: Floats, correlation: Floats, common: Dof) -> Dof:
    if u.shape[1] == 1:
        return Dof(common.value, None, common.loglikelihood)
    return maximise(lambda dof: copula_loglikelihood(u, dof, correlation))


def _members(names: Sequence[str], groups: Mapping[str, Sequence[str]]) -> dict[str, list[int]]:
    """Columns of each group.

    Raises
    ------
    SettingError
        All names that are unknown, missing or there twice, and groups without factors.
    """
    if not groups:
        return {}
    listed = [name for members in groups.values() for name in members]
    problems = [f"group {group} has no factors" for group, members in groups.items() if not len(members)]
    problems += [f"'{name}' is not a factor" for name in dict.fromkeys(listed) if name not in names]
    problems += [f"{name} is in no group" for name in names if name not in listed]
    problems += [f"{name} is there {listed.count(name)} times" for name in names if listed.count(name) > 1]
    if problems:
        raise SettingError(f"groups: {'; '.join(problems)}. Put each of {', '.join(names)} into exactly one group")
    return {group: [list(names).index(name) for name in members] for group, members in groups.items()}
