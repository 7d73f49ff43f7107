"""Jumps of a history by a threshold on moves in units of their local deviation."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.lib.stride_tricks import sliding_window_view
from numpy.typing import ArrayLike
from scipy.special import ndtr

from mcvar.errors import SettingError
from mcvar.fit.fitted import Bools, Fitted, Floats, checked

LEAST = 100
WINDOW = 60  # moves that a local deviation is taken from
FEWEST = 3  # jumps that a mean and a deviation are estimated from
ROUNDS = 50
NORMAL_MAD = 1.4826022185056018  # deviation of a normal law in units of its median absolute deviation
LOWEST_SCALE = 0.1  # of the typical deviation: stale quotes have a local deviation of zero
LARGEST_SHARE = 0.95  # of a factor's variance that jumps may make


@dataclass(frozen=True)
class Sizes:
    """Jumps of one factor: how many, the mean and deviation of their sizes, and the errors of all."""

    count: int
    mean: float
    deviation: float
    errors: tuple[float, float]  # of mean and deviation


def fit_merton(
    moves: ArrayLike,
    names: Sequence[str],
    steps_per_year: float,
    *,
    prices: Sequence[bool] | None = None,
    threshold: float = 4.0,
    share: float = 0.5,
    dates: Sequence[str] | None = None,
) -> Fitted:
    """Common and own compound Poisson jumps with normal sizes (Merton 1976), found by a threshold.

    A move jumps if it is further from its factor's median than `threshold` local deviations, as in Mancini (2009);
    see `find_jumps`. Rows where at least `share` of the price factors (and two) jump are common jumps: the moves
    of all factors there are its sizes. What else jumps is the factor's own. Assumed: at most one jump a step; smaller
    jumps belong to the diffusion, so intensities are too low where many jumps are small; sizes are normal. The
    diffusion's part of these moves is taken out of the deviations and the correlation of sizes.

    Parameters
    ----------
    moves : array_like [T, F]
        Per step, finite; at least 100.
    names : sequence of str [F]
    steps_per_year : float
    prices : sequence of bool [F], optional
        Which factors are prices; all by default.
    threshold : float
        In local deviations, at least 2.
    share : float
        In (0, 1].
    dates : sequence of str [T], optional
        Names of the rows, for messages.

    Returns
    -------
    Fitted
        settings: common = {intensity (a year), factors[name] = {mean, deviation}, correlation}, own[name] =
        {intensity, mean, deviation}. correlation is the mean over pairs of the sizes' correlations, None where there
        are no common jumps, or factors other than prices: one number cannot stand for pairs of both signs.

    Raises
    ------
    InputError
        Moves that cannot be fitted.
    SettingError
        Threshold, share or prices out of range.
    """
    x = checked(moves, names, steps_per_year, least=LEAST, dates=dates)
    is_price = np.ones(len(names), bool) if prices is None else np.asarray(prices, bool)
    _check(names, is_price, threshold, share)
    years = len(x) / steps_per_year
    jumps, scale = find_jumps(x, threshold)
    size = x - np.median(x, axis=0)
    together = _together(jumps, is_price, share)
    notes = [
        f"jumps: moves beyond {threshold:g} local deviations, at most one a step, with normal sizes; smaller jumps "
        "count as diffusion"
    ]
    if 0 < together.sum() < FEWEST:
        notes.append(f"{together.sum()} common jumps are too few for {FEWEST}: they count as the factors' own")
        together[:] = False
    of_common = {n: _sizes(size[together, f], scale[together, f]) for f, n in enumerate(names) if together.any()}
    of_own = {}
    for f, name in enumerate(names):
        alone = jumps[:, f] & ~together
        if alone.sum() >= FEWEST:
            of_own[name] = _sizes(size[alone, f], scale[alone, f])
        elif alone.any():
            notes.append(f"{name}: {alone.sum()} jumps of its own are too few to estimate from: left out")
    shrink = {
        name: _shrink(name, of_common.get(name), of_own.get(name), float(np.var(x[:, f], ddof=1)), len(x), notes)
        for f, name in enumerate(names)
    }
    calm = (x / scale)[~jumps.any(axis=1)][:, is_price]
    among = np.ix_(together, is_price)
    correlation = _correlation(size[among], scale[among], np.atleast_2d(np.corrcoef(calm, rowvar=False)))
    number = correlation if is_price.all() else None
    if together.any() and not is_price.all():
        notes.append("no one correlation of the common sizes: not all factors are prices, and pairs differ in sign")
    elif together.any() and number is None:
        notes.append("no correlation of the common sizes: some vary no more than the diffusion")
    count = int(together.sum())
    common = {name: _settings(sizes, shrink[name]) for name, sizes in of_common.items()}
    own = {n: {"intensity": s.count / years, **_settings(s, shrink[n])} for n, s in of_own.items()}
    errors: dict[str, Any] = {
        "common": {
            "intensity": np.sqrt(count) / years if count else None,
            "factors": {name: _errors(sizes, shrink[name]) for name, sizes in of_common.items()},
            "correlation": None if number is None else float((1 - number**2) / np.sqrt(count - 1)),
        },
        "own": {n: {"intensity": np.sqrt(s.count) / years, **_errors(s, shrink[n])} for n, s in of_own.items()},
    }
    if not count:
        notes.append("no common jumps: their intensity is 0, without an error")
    settings = {"common": {"intensity": count / years, "factors": common, "correlation": number}, "own": own}
    diagnostics = {
        "observations": len(x),
        "years": years,
        "common_jumps": count,
        "common_rows": np.flatnonzero(together).tolist(),
        "price_correlation": correlation,
        "jumps": {name: int(jumps[:, f].sum()) for f, name in enumerate(names)},
        "expected_false_jumps": float(len(x) * 2 * ndtr(-threshold)),
        "share_of_variance": {
            name: float((size[jumps[:, f], f] ** 2).sum() / (size[:, f] ** 2).sum()) for f, name in enumerate(names)
        },
    }
    return Fitted(settings, errors, diagnostics, tuple(notes))


def find_jumps(moves: Floats, threshold: float) -> tuple[Bools, Floats]:
    """Which moves jump, and the local deviations without them, both [T, F].

    A local deviation is first 1.4826 times the median absolute move (about the factor's median) of the 60 moves around,
    then the root mean square of those among them that do not jump, corrected for what the threshold cuts off, again
    and again until no move changes sides. It is at least a tenth of the typical one.
    """
    jumps = np.empty(moves.shape, bool)
    scale = np.empty(moves.shape)
    for f in range(moves.shape[1]):
        jumps[:, f], scale[:, f] = _of_factor(moves[:, f] - np.median(moves[:, f]), threshold)
    return jumps, scale


def _of_factor(x: Floats, threshold: float) -> tuple[Bools, Floats]:
    start = np.clip(np.arange(len(x)) - WINDOW // 2, 0, len(x) - WINDOW)
    local = NORMAL_MAD * np.median(np.abs(sliding_window_view(x, WINDOW)), axis=1)[start]
    typical = float(np.median(local)) or float(np.sqrt(np.mean(x * x)))
    density = np.exp(-(threshold**2) / 2) / np.sqrt(2 * np.pi)
    kept = 1 - 2 * threshold * density / (2 * ndtr(threshold) - 1)  # variance of a normal cut at the threshold
    jumps = np.abs(x) > threshold * np.maximum(local, LOWEST_SCALE * typical)
    for _ in range(ROUNDS):
        squares = np.concatenate([[0.0], np.cumsum(np.where(jumps, 0.0, x * x))])
        counts = np.concatenate([[0], np.cumsum(~jumps)])
        mean = (squares[start + WINDOW] - squares[start]) / np.maximum(counts[start + WINDOW] - counts[start], 1)
        local = np.maximum(np.sqrt(np.maximum(mean, 0.0) / kept), LOWEST_SCALE * typical)
        before, jumps = jumps, np.abs(x) > threshold * local
        if (before == jumps).all():
            break
    return jumps, local


def _together(jumps: Bools, is_price: Bools, share: float) -> Bools:
    """Rows of common jumps, [T]."""
    prices = int(is_price.sum())
    needed = max(2, int(np.ceil(share * prices - 1e-9)))
    return np.asarray(jumps[:, is_price].sum(axis=1) >= needed)


def _sizes(size: Floats, scale: Floats) -> Sizes:
    """Moments of [n] sizes, the diffusion of these steps with deviations `scale` taken out."""
    n, s = len(size), float(size.std(ddof=1))
    deviation = float(np.sqrt(max(s**2 - float(np.mean(scale**2)), 0.0)))
    return Sizes(n, float(size.mean()), deviation, (s / np.sqrt(n), s / np.sqrt(2 * (n - 1))))


def _shrink(name: str, common: Sizes | None, own: Sizes | None, variance: float, steps: int, notes: list[str]) -> float:
    """What sizes are multiplied with, so that jumps make at most 95 % of the variance of a step."""
    made = sum(each.count * (each.mean**2 + each.deviation**2) for each in (common, own) if each) / steps
    if made <= LARGEST_SHARE * variance:
        return 1.0
    factor = float(np.sqrt(LARGEST_SHARE * variance / made))
    notes.append(
        f"{name}: jumps would make {made / variance:.0%} of the variance: their means and deviations are multiplied "
        f"by {factor:.3g}, which leaves {1 - LARGEST_SHARE:.0%} to the diffusion"
    )
    return factor


def _settings(sizes: Sizes, shrink: float) -> dict[str, float]:
    return {"mean": sizes.mean * shrink, "deviation": sizes.deviation * shrink}


def _errors(sizes: Sizes, shrink: float) -> dict[str, float]:
    mean, deviation = sizes.errors
    return {"mean": float(mean * shrink), "deviation": float(deviation * shrink)}


def _correlation(size: Floats, scale: Floats, diffusion: Floats) -> float | None:
    """Mean correlation of the pairs of [n, F] sizes, their diffusion taken out; None where there is none.

    Parameters
    ----------
    size, scale : ndarray [n, F]
    diffusion : ndarray [F, F]
        Correlation of moves that do not jump.
    """
    if len(size) < FEWEST or len(diffusion) < 2:
        return None
    covariance = np.cov(size, rowvar=False) - scale.T @ scale / len(size) * diffusion
    variance = np.diag(covariance)
    if (variance <= 0).any():
        return None
    pairs = (covariance / np.sqrt(np.outer(variance, variance)))[np.triu_indices(len(diffusion), 1)]
    return float(np.clip(pairs.mean(), -1 / (len(diffusion) - 1) + 1e-6, 1.0))  # a correlation of all pairs exists


def _check(names: Sequence[str], is_price: Bools, threshold: float, share: float) -> None:
    if is_price.shape != (len(names),):
        raise SettingError(f"prices has shape {is_price.shape}: give one truth value for each of {len(names)} factors")
    if not threshold >= 2:
        raise SettingError(f"threshold is {threshold}: below 2 local deviations ordinary moves jump; 4 is usual")
    if not 0 < share <= 1:
        raise SettingError(f"share is {share}: it must lie in (0, 1], such as 0.5")
