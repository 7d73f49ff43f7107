import numpy as np
import pytest
from numpy.typing import NDArray

from mcvar.columns import Columns
from mcvar.errors import InputError
from mcvar.history import History, read_history

Floats = NDArray[np.float64]


def history_of(**levels: list[float]) -> History:
    days = len(next(iter(levels.values())))
    return read_history(Columns.of("H", date=[f"2026-01-{d + 1:02d}" for d in range(days)], **levels))


# Reading, and moves.


def test_moves_of_each_kind() -> None:
    history = history_of(A=[100.0, 110.0, 99.0], B=[1.0, 2.0, 4.0], C=[3.0, -2.0, 5.0])
    moves = history.moves(["C", "A", "B"], ["absolute", "log", "simple"])
    want = [[-5.0, np.log(1.1), 1.0], [7.0, np.log(0.9), 1.0]]
    np.testing.assert_allclose(moves, want, rtol=1e-14)


def test_steps_per_year() -> None:
    history = read_history(Columns.of("H", date=["2025-01-01", "2025-07-01", "2026-01-01"], A=[1.0, 2.0, 3.0]))
    assert history.steps_per_year == pytest.approx(2.0, rel=1e-15)
    assert history_of(A=[1.0, 2.0, 3.0]).steps_per_year == pytest.approx(365.0, rel=1e-15)


def test_rows_until_a_time() -> None:
    history = history_of(A=[1.0, 2.0, 3.0, 4.0])
    assert history.until(np.datetime64("2026-01-03T12:00")).levels[:, 0].tolist() == [1, 2, 3]
    with pytest.raises(InputError, match="only 2 rows"):
        history.until(np.datetime64("2026-01-02"))


def test_all_bad_rows_at_once() -> None:
    dates = ["2026-01-01", "2026-01-03", "2026-01-02", "2026-01-02", "2026-01-04", "2026-03-01"]
    with pytest.raises(InputError) as error:
        read_history(Columns.of("H", date=dates, A=[1.0, np.nan, 3.0, 4.0, 5.0, np.inf]))
    text = str(error.value)
    for part in (
        "row 2: A is missing",
        "row 6: A is missing or not finite",
        "row 3: date 2026-01-02 is earlier",
        "row 4: date 2026-01-02 is there twice",
        "row 6: a gap from 2026-01-04 to 2026-03-01",
    ):
        assert part in text


def test_prices_without_returns() -> None:
    history = history_of(WTI=[18.27, -37.63, 10.01])
    with pytest.raises(InputError, match=r"WTI is -37\.63 on 2026-01-02: log .* shock=absolute"):
        history.moves(["WTI"], ["log"])
    np.testing.assert_allclose(history.moves(["WTI"], ["absolute"])[:, 0], [-55.90, 47.64])
    with pytest.raises(InputError, match="no column for factor 'X'"):
        history.moves(["X"], ["log"])
