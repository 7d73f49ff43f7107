from __future__ import annotations

import numpy as np
import pytest
from numpy.typing import NDArray

from mcvar.errors import SettingError
from mcvar.moments import Moments
from mcvar.shards import chunk_for, simulate
from mcvar.tail import Tail

Floats = NDArray[np.float64]


class Given:
    """An engine that gives P&L written down."""

    settling = 0

    def __init__(self, pnl: Floats) -> None:
        self.given = pnl
        self.calls = 0

    @property
    def rows(self) -> int:
        return len(self.given)

    def pnl(self, start: int, stop: int) -> Floats:
        self.calls += 1
        return self.given[:, start:stop].copy()


@pytest.mark.parametrize("order", ["random", "falling", "rising"])
@pytest.mark.parametrize("workers", [1, 3])
def test_tail_and_moments_whatever_the_order(order: str, workers: int) -> None:
    loss = np.random.default_rng(7).normal(size=(3, 30_000))
    if order != "random":
        loss = np.sort(loss, axis=1)[:, :: -1 if order == "falling" else 1].copy()
    engine = Given(-loss)
    tail, moments = simulate(engine, 30_000, 1_000, workers=workers, chunk=1024)
    want = Tail.of(loss, 0, 1_000)
    assert np.array_equal(tail.loss, want.loss)
    assert np.array_equal(tail.scenario, want.scenario)
    assert engine.calls == (60 if order == "falling" else 30)  # a pilot that misleads costs a second pass
    np.testing.assert_allclose(moments.variance, Moments.of(loss).variance, rtol=1e-12)


def test_an_error_in_a_worker_reaches_the_caller() -> None:
    class Broken(Given):
        def pnl(self, start: int, stop: int) -> Floats:
            if start >= 4096:
                raise SettingError("no price")
            return super().pnl(start, stop)

    with pytest.raises(SettingError, match="no price"):
        simulate(Broken(np.zeros((2, 20_000))), 20_000, 10, workers=2, chunk=1024)


def test_refusals_and_chunks() -> None:
    with pytest.raises(SettingError, match="at least 1 thread"):
        simulate(Given(np.zeros((1, 10))), 10, 1, workers=0)
    with pytest.raises(SettingError, match="multiple of 1024"):
        simulate(Given(np.zeros((1, 10))), 10, 1, chunk=1000)
    assert chunk_for(200) == 8192
    assert chunk_for(100_000) == 1024
