from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import pytest
from numpy.typing import NDArray

from mcvar import config as c
from mcvar.building.market import Files, any_market
from mcvar.columns import Columns
from mcvar.errors import InputError, SettingError
from mcvar.history import History, Missing, read_history
from mcvar.market import Market

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


# Blank cells.

DAYS = [f"2026-01-{d:02d}" for d in range(1, 9)]
A = [np.nan, 2.0, 4.0, np.nan, 8.0, 16.0, 32.0, 64.0]
B = [1.0, 3.0, 9.0, 27.0, 81.0, 243.0, 729.0, np.nan]


def holed(missing: Missing | str, **changes: list[Any]) -> History:
    return read_history(Columns.of("H", **{"date": DAYS, "A": A, "B": B, **changes}), missing=missing)


def test_blanks_are_refused_by_default() -> None:
    with pytest.raises(InputError, match="row 1: A is missing or not finite: fill it or remove the row") as error:
        read_history(Columns.of("H", date=DAYS, A=A, B=B))
    assert len(error.value.problems) == 3
    with pytest.raises(InputError, match=r"row 4: A is missing .*market\.missing"):
        holed(Missing.refuse)


@pytest.mark.parametrize("missing", [Missing.common, "common"])
def test_common_rows(missing: Missing | str) -> None:
    history = holed(missing)
    assert history.levels.tolist() == [[2, 3], [4, 9], [8, 81], [16, 243], [32, 729]]
    assert [str(d)[8:10] for d in history.dates] == ["02", "03", "05", "06", "07"]
    assert history.notes == ("3 of 8 rows of H have blanks and are left out",)
    np.testing.assert_allclose(history.moves(["B"], ["simple"])[:, 0], [2.0, 8.0, 2.0, 2.0])
    assert history.steps_per_year == pytest.approx(4 / (5 / 365))
    assert history.until(np.datetime64("2026-01-06")).notes == history.notes


def test_gaps_are_those_between_common_rows() -> None:
    days = [f"2026-{m:02d}-{d:02d}" for m in range(1, 4) for d in range(1, 29)]
    levels = np.arange(1.0, 85.0)
    levels[40:60] = np.nan
    table = Columns.of("H", date=days, A=levels, B=np.ones(84))
    with pytest.raises(InputError, match=r"row 61: a gap from 2026-02-12 to 2026-03-05, over 10 times") as error:
        read_history(table, missing=Missing.common)
    assert len(error.value.problems) == 1
    assert len(read_history(table, missing=Missing.common, max_gap=30.0).dates) == 64
    assert len(read_history(table, missing=Missing.pairwise).dates) == 84


def test_dates_that_do_not_overlap() -> None:
    with pytest.raises(InputError) as error:
        holed(
            "common",
            A=[1.0, 2.0, 3.0, 4.0, *[np.nan] * 4],
            B=[*[np.nan] * 3, 1.0, np.nan, 2.0, 3.0, 4.0],
            C=[np.nan] * 8,
        )
    first, *ranges = error.value.problems
    assert first.startswith("only 0 of 8 rows have a level of every factor, at least 3 are needed: use a history in")
    assert "market.missing=pairwise" in first
    assert ranges == [
        "A: 4 levels, 2026-01-01 to 2026-01-04",
        "B: 4 levels, 2026-01-04 to 2026-01-08",
        "C: no level",
    ]


def test_pairwise_moves() -> None:
    history = holed(Missing.pairwise)
    np.testing.assert_array_equal(history.levels, np.column_stack([A, B]))
    assert history.notes == ()
    moves = history.moves(["A", "B"], ["simple", "log"])
    np.testing.assert_allclose(moves[:, 0], [np.nan, 1.0, np.nan, np.nan, 1.0, 1.0, 1.0])
    np.testing.assert_allclose(moves[:, 1], [*[np.log(3.0)] * 6, np.nan])
    assert len(history.until(np.datetime64("2026-01-05")).dates) == 5
    assert history.steps_per_year == pytest.approx(365.0)
    with pytest.raises(InputError, match=r"B is -9 on 2026-01-03"):
        holed("pairwise", B=[1.0, 3.0, -9.0, *B[3:]]).moves(["A", "B"], ["log", "log"])


@pytest.mark.parametrize("missing", [Missing.common, Missing.pairwise])
def test_what_is_no_blank(missing: Missing) -> None:
    with pytest.raises(InputError, match="row 2: B is inf: correct it or leave it blank") as error:
        holed(missing, B=[1.0, np.inf, *B[2:]], date=[*DAYS[:2], *DAYS[1:7]])
    assert error.value.problems[1] == "row 3: date 2026-01-02 is there twice"
    with pytest.raises(InputError, match="2 rows: at least 3"):
        read_history(Columns.of("H", date=DAYS[:2], A=[1.0, 2.0]), missing=missing)


# From the file to the market.


def closes(blank_a: range, blank_b: range = range(0)) -> str:
    walk = 100 * np.exp(np.random.default_rng(8).normal(0, 0.01, size=(80, 2)).cumsum(axis=0))
    days = np.datetime64("2026-01-01") + np.arange(80)
    rows = [
        f"{day},{'' if t in blank_a else walk[t, 0]},{'' if t in blank_b else walk[t, 1]}" for t, day in enumerate(days)
    ]
    return "\n".join(["date,A,B", *rows])


@pytest.mark.parametrize("option", [c.HistoricalCorrelation(), c.EwmaCorrelation(), c.TauCorrelation()])
def test_missing_levels_in_a_market(tmp_path: Path, option: c.CorrelationConfig) -> None:
    (tmp_path / "F.csv").write_text("factor,kind,level\nA,price,\nB,price,\n")

    def made(
        blank_a: range, missing: Missing, blank_b: range = range(0), correlation: c.CorrelationConfig = option
    ) -> Market:
        (tmp_path / "H.csv").write_text(closes(blank_a, blank_b))
        files = c.FilesMarket(factors=str(tmp_path / "F.csv"), history=str(tmp_path / "H.csv"), missing=missing)
        return any_market(c.Config(market=files, correlation=correlation), Files(), expiring=False)

    with pytest.raises(InputError, match="A is missing"):
        made(range(5, 9), Missing.refuse)
    common = made(range(5, 9), Missing.common)
    assert common.notes == (f"4 of 80 rows of {tmp_path / 'H.csv'} have blanks and are left out",)
    pairwise = made(range(5, 9), Missing.pairwise)
    assert pairwise.volatility[1] == made(range(0), Missing.refuse).volatility[1]
    with pytest.raises(InputError, match="'A' has no finite level"):
        made(range(70, 80), Missing.pairwise)
    with pytest.raises(SettingError, match=r"A and B have 9 in common \(49 and 39 of their own\)"):
        made(range(30), Missing.pairwise, range(40, 79))
    alone = made(range(30), Missing.pairwise, range(40, 79), c.IdentityCorrelation())
    assert np.isfinite(alone.volatility).all()
    with pytest.raises(SettingError, match=r"correlation=random_matrix .*: A 5\. Take market\.missing=common"):
        made(range(5, 9), Missing.pairwise, correlation=c.RandomMatrixCorrelation())
