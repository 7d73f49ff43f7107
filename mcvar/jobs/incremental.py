"""What a further position would change: marginal and incremental VaR and ES of one account.

Marginal: the derivative in the number held, which is the contribution of one (`mcvar.jobs.contributions`). Incremental:
the measure with the position less the measure without, from all losses that can have a rank that is read:

    a scenario that was not kept loses at most L_K + q l_n, with L_K the least loss that was kept and q l_n what the
    position loses there.

The position alone is revalued in all scenarios. Where none of those not kept can reach the rank, the kept tail is deep
enough; a few that can are drawn again with the whole account; where they are many, there is no number.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from mcvar.errors import SettingError
from mcvar.intervals.order import var_rank
from mcvar.jobs.contributions import TailAt, tail_weights
from mcvar.jobs.explain import Account, Replay

Floats = NDArray[np.float64]
Ints = NDArray[np.int64]
MOST = 2**27  # positions times scenarios that are revalued again for one that is added
_CHUNK = 2**16
_AGAIN = 2**23  # of them at once
_NONE: Ints = np.zeros(0, dtype=np.int64)
_NO: Floats = np.zeros(0)


@dataclass(frozen=True)
class Increment:
    """One measure of an account with one more position.

    Parameters
    ----------
    instrument : str
    quantity : float
    measure : str
    level : float
    marginal, stderr : float or None
        For one of the instrument, and its standard error; None where the tail is too short.
    before, after, incremental : float or None
        The measure, in the account's currency; None where the tail is too short.
    deep_enough : bool
        Whether the kept tail alone holds every loss that the measure reads.
    beyond : int
        Scenarios that were not kept and could matter; they were drawn again if `after` is given.
    """

    instrument: str
    quantity: float
    measure: str
    level: float
    marginal: float | None
    stderr: float | None
    before: float | None
    after: float | None
    incremental: float | None
    deep_enough: bool
    beyond: int


def increments(
    account: Account,
    replay: Replay,
    instrument: int,
    quantity: float,
    *,
    count: int,
    levels: Sequence[float],
    confidence: float,
    window: int | None = None,
    slack: float = 0.0,
) -> list[Increment]:
    """VaR and ES at each level with so many more of an instrument.

    Parameters
    ----------
    replay : Replay
        All of the kept tail.
    instrument : int
        Of the book.
    quantity : float
        Of it; less than 0: sold.
    count : int
        N.
    slack : float
        By how much a loss that was not kept may exceed the least that was, as when single precision chose them.

    Raises
    ------
    SettingError
        A quantity that is 0 or not finite, or with which a loss is not finite.

    Examples
    --------
    >>> from mcvar import build
    >>> from mcvar.config import Config, SimulatedScenarios
    >>> from mcvar.engines import choose
    >>> given = build.inputs(Config(scenarios=SimulatedScenarios(count=2_000)))
    >>> account = Account(given.market, given.book, given.scenarios, given.horizon.decay, choose("numpy"), row=0)
    >>> replay = account.replay(np.arange(2_000))
    >>> replay = replay.take(np.argsort(-replay.loss))  # all is kept
    >>> var, es = increments(account, replay, 0, 5.0, count=2_000, levels=[0.99], confidence=0.95)
    >>> var.deep_enough, var.after == var.before + var.incremental
    (True, True)
    """
    index, kept, name = np.array([instrument]), len(replay.loss), account.book.instruments.name[instrument]
    if not np.isfinite(quantity) or quantity == 0:
        raise SettingError(f"job.add has {quantity:g} of '{name}': give a finite quantity other than 0, as {name}:10")
    unit = account.unit_losses(index, replay.scenario)
    shifted = np.sort(_with(replay.loss, quantity, unit[0], name))[::-1]
    wanted = {level: _wanted(count, level, kept) for level in levels}
    deepest = max((rank for last in wanted.values() for rank in last.values()), default=0)
    far, most = _NONE, _NO  # scenarios that were not kept, and what is lost there at most
    if deepest and kept < count:
        far, one = _beyond(account, replay.scenario, index, count)
        most = _with(float(replay.loss.min()) + slack, quantity, one, name)
        far = far[most > shifted[deepest - 1]]
    after, few = shifted, len(far) * len(replay.name) <= MOST
    if few and len(far):
        pieces = np.array_split(far, -(-len(far) * len(replay.name) // _AGAIN))
        more = [_with(account.replay(s).loss, quantity, account.unit_losses(index, s)[0], name) for s in pieces]
        after = np.sort(np.concatenate([shifted, *more]))[::-1]
    found = []
    for level in levels:
        tail = TailAt(replay.loss, count, level, confidence, window)
        for measure in ("var", "es"):
            marginal = stderr = None
            if not tail.unread(measure):
                each = tail.value_at_risk(unit) if measure == "var" else tail.expected_shortfall(unit)
                marginal, stderr = _number(each[0][0]), _number(each[1][0])
            rank = wanted[level].get(measure, 0)
            beyond = int((most > shifted[rank - 1]).sum()) if rank else 0
            before = _read(replay.loss, count, level, measure) if rank else None
            new = _read(after, count, level, measure) if rank and (few or not beyond) else None
            found.append(
                Increment(
                    instrument=name,
                    quantity=quantity,
                    measure=measure,
                    level=level,
                    marginal=marginal,
                    stderr=stderr,
                    before=before,
                    after=new,
                    incremental=None if before is None or new is None else new - before,
                    deep_enough=bool(rank) and not beyond,
                    beyond=beyond,
                )
            )
    return found


def _wanted(count: int, level: float, kept: int) -> dict[str, int]:
    """The last rank that each measure reads, if it is kept."""
    last = {"var": var_rank(count, level), "es": len(tail_weights(count, level))}
    return {measure: rank for measure, rank in last.items() if rank <= kept}


def _beyond(account: Account, kept: Ints, index: Ints, count: int) -> tuple[Ints, Floats]:
    """Scenarios that were not kept, and what one of the instrument loses there."""
    made, seen = account.together(index, np.ones(1)), np.zeros(count, dtype=bool)
    seen[kept] = True
    loss = [0.0 - made.pnl(at, min(at + _CHUNK, count))[0] for at in range(0, count, _CHUNK)]
    return np.flatnonzero(~seen), np.concatenate(loss)[~seen]


def _with(loss: Floats | float, quantity: float, unit: Floats, name: str) -> Floats:
    """Losses with the position.

    Raises
    ------
    SettingError
        One that is not finite.
    """
    with np.errstate(over="ignore", invalid="ignore"):
        found = np.asarray(loss + quantity * unit)
    if not np.isfinite(found).all():
        raise SettingError(
            f"job.add has {quantity:g} of '{name}', with which a loss is too large for double precision: give a "
            "smaller quantity"
        )
    return found


def _read(loss: Floats, count: int, level: float, measure: str) -> float:
    """A measure of ordered losses, worst first."""
    if measure == "var":
        return float(loss[var_rank(count, level) - 1])
    weights = tail_weights(count, level)
    return float(weights @ loss[: len(weights)])


def _number(value: float) -> float | None:
    return float(value) if np.isfinite(value) else None
