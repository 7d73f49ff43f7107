from collections.abc import Mapping
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from mcvar.columns import Columns
from mcvar.correlation import Estimate, given
from mcvar.errors import InputError, SettingError
from mcvar.history import History, read_history
from mcvar.io.tables import read_table
from mcvar.market import FactorKind, Factors, Market, Shock, build, read_factors

CURVES = Path(__file__).parents[2] / "shared/data/futures/rtl_energy_futures_curves_2007_2025.csv.gz"
PRICE = {"factor": "S", "kind": "price", "level": "100", "volatility": "0.2"}
VOL = {"factor": "V", "kind": "vol", "underlying": "S", "tenor": "0.25", "level": "0.3", "volatility": "0.8"}
RATE = {"factor": "R", "kind": "rate", "tenor": "1", "level": "-0.01", "volatility": "0.01"}


def table(source: str, *rows: Mapping[str, Any]) -> Columns:
    names = list(dict.fromkeys(name for row in rows for name in row))
    return Columns.from_mapping(source, {name: [row.get(name, "") for row in rows] for name in names})


def read(*rows: Mapping[str, Any], history: History | None = None) -> tuple[Factors, np.ndarray]:
    return read_factors(table("F.csv", *rows), history)


def refused(*rows: Mapping[str, Any], history: History | None = None) -> list[str]:
    with pytest.raises(InputError) as caught:
        read(*rows, history=history)
    assert caught.value.source == "F.csv"
    return list(caught.value.problems)


def a_history(*names: str, last: float = 3.0) -> History:
    dates = ["2026-01-01", "2026-01-02", "2026-01-03"]
    return read_history(
        table("H.csv", *({"date": d, **dict.fromkeys(names, v)} for d, v in zip(dates, (1.0, 2.0, last), strict=True)))
    )


def test_blanks_take_their_defaults() -> None:
    carry = {"factor": "C", "kind": "carry", "underlying": "S", "tenor": 2, "level": 0.01, "volatility": 0.01}
    factors, volatility = read(PRICE, VOL, RATE, carry)
    assert factors.underlying == ("S", "S", "", "S")
    assert factors.currency == ("USD", "", "USD", "")
    assert factors.shock == (Shock.log, Shock.log, Shock.absolute, Shock.absolute)
    assert volatility.tolist() == [0.2, 0.8, 0.01, 0.01]
    assert np.isnan([*factors.rate, *factors.carry]).all()
    assert factors.kind[3] is FactorKind.carry


def test_pillars_are_sorted_by_tenor() -> None:
    tenors = {"A": 2, "B": 0.5, "C": 1}
    factors, _ = read(PRICE, *({**VOL, "factor": name, "tenor": tenor} for name, tenor in tenors.items()))
    assert [factors.name[f] for f in factors.pillars(FactorKind.vol, "S")] == ["B", "C", "A"]
    assert factors.pillars(FactorKind.vol, "T") == []


def test_the_tenor_of_a_price_means_nothing() -> None:
    assert np.isnan(read({**PRICE, "tenor": 0.5})[0].tenor).all()


def test_levels_come_from_the_table_then_from_the_history() -> None:
    history = a_history("S", "T", "unused")
    factors, _ = read(PRICE, {**PRICE, "factor": "T", "level": ""}, history=history)
    assert factors.level.tolist() == [100.0, 3.0]
    assert refused({**PRICE, "factor": "s", "level": ""}, history=history) == [
        "row 1: factor 's' has no finite level: give one, or a history with a column of that name"
    ]
    assert "level -3, which must be positive" in refused({**PRICE, "level": ""}, history=a_history("S", last=-3))[0]


@pytest.mark.parametrize(
    ("change", "said"),
    [
        ({"factor": ""}, "the factor has no name"),
        ({"kind": "stock"}, "kind 'stock' of factor 'S' is not one of price, vol, rate, carry"),
        ({"kind": ""}, "kind of factor 'S' is missing"),
        ({"shock": "lognormal"}, "shock 'lognormal' of factor 'S' is not one of log, simple, absolute"),
        ({"level": ""}, "has no finite level"),
        ({"level": "inf"}, "has no finite level"),
        ({"level": "NaN"}, "level 'NaN' of factor 'S' is not a number"),
        ({"level": "0"}, "level 0, which must be positive: correct it, or give the factor shock=absolute"),
        ({"level": "-37.63"}, "level -37.63, which must be positive"),
        ({"level": "-37.63", "shock": "simple"}, "give the factor shock=absolute"),
        ({"volatility": "-0.2"}, "volatility -0.2: it must be finite and not negative"),
        ({"volatility": "1e999"}, "volatility inf"),
        ({"volatility": "20%"}, "volatility '20%' of factor 'S' is not a number"),
        ({"rate": "inf"}, "rate inf: it must be finite"),
        ({"carry": "-inf"}, "carry -inf: it must be finite"),
    ],
)
def test_bad_price_factors(change: dict[str, str], said: str) -> None:
    problems = refused({**PRICE, **change})
    assert len(problems) == 1
    assert problems[0].startswith("row 1: ")
    assert said in problems[0]


@pytest.mark.parametrize(
    ("row", "said"),
    [
        ({**VOL, "tenor": ""}, "tenor in years, and that is blank"),
        ({**VOL, "tenor": "-1"}, "tenor in years, and that is -1"),
        ({**VOL, "tenor": "inf"}, "tenor in years, and that is inf"),
        ({**VOL, "tenor": "3M"}, "tenor '3M' of factor 'V' is not a number"),
        ({**VOL, "level": "-0.3"}, "level -0.3, which must be positive: correct it"),
        ({**VOL, "level": "0"}, "level 0, which must be positive"),
        ({**VOL, "shock": "simple"}, "volatility factors move by log shocks"),
        ({**VOL, "underlying": ""}, "needs an underlying, and that is blank"),
        ({**VOL, "underlying": "SPXX"}, "that is 'SPXX', which no price factor has"),
        ({**VOL, "rate": "0.02"}, "of kind vol cannot have a rate: a price factor has them"),
        ({**VOL, "kind": "carry", "shock": "log"}, "rates and carries move by absolute shocks"),
        ({**RATE, "tenor": ""}, "of kind rate needs a tenor"),
        ({**RATE, "shock": "log"}, "rates and carries move by absolute shocks"),
        ({**RATE, "underlying": "EUR"}, "a rate belongs to a currency: write it in the column currency"),
        ({**PRICE}, "factor 'S' is there twice (first in row 1): remove one"),
        ({**PRICE, "factor": "S2", "underlying": "S"}, "'S' has a second price factor (first in row 1): keep one"),
    ],
)
def test_bad_second_factors(row: dict[str, str], said: str) -> None:
    problems = refused(PRICE, row)
    assert len(problems) == 1
    assert problems[0].startswith("row 2: ")
    assert said in problems[0]


@pytest.mark.parametrize("row", [VOL, RATE])
def test_two_factors_at_one_pillar(row: dict[str, str]) -> None:
    [problem] = refused(PRICE, row, {**row, "factor": "other"})
    assert "a second" in problem
    assert f"at tenor {float(row['tenor']):g} (first in row 2): keep one" in problem
    assert len(read(PRICE, row, {**row, "factor": "other", "tenor": "7"})[0]) == 3


def test_a_rate_of_each_currency() -> None:
    factors, _ = read(PRICE, RATE, {**RATE, "factor": "E", "currency": "EUR"}, {**RATE, "factor": "R5", "tenor": 5})
    assert factors.pillars(FactorKind.rate, "USD") == [1, 3]
    assert factors.pillars(FactorKind.rate, "EUR") == [2]


def test_all_bad_rows_are_told_at_once() -> None:
    bad = [{"kind": "x"}, {"level": "1,000"}, {"shock": "x"}, {"volatility": "-1"}, {"factor": ""}, {"level": "0"}]
    problems = refused(*({**PRICE, "factor": f"S{row}", **change} for row, change in enumerate(bad)))
    assert sorted(p.partition(":")[0] for p in problems) == [f"row {row}" for row in range(1, 7)]
    problems = refused(*({**PRICE, "factor": f"S{row}", "level": "-1"} for row in range(30)))
    assert len(problems) == 30


def test_tables_without_factors() -> None:
    with pytest.raises(InputError, match="there is no factor: the table is empty"):
        read_factors(Columns.of("F.csv", factor=[], kind=[]))
    with pytest.raises(InputError, match="unknown column 'name'"):
        read_factors(Columns.of("F.csv", name=["S"], kind=["price"]))


def made(*rows: Mapping[str, Any], correlation: Any = None) -> Market:
    factors, volatility = read(*rows)
    estimate = given(np.eye(len(rows)) if correlation is None else correlation)
    return build(
        factors=factors,
        volatility=volatility,
        estimate=estimate,
        valuation=np.datetime64("2026-01-02", "us"),
        currency="USD",
    )


def test_volatilities_come_from_the_table_then_from_the_estimate() -> None:
    factors, volatility = read(PRICE, {**PRICE, "factor": "T", "volatility": ""})
    both = build(
        factors=factors,
        volatility=volatility,
        estimate=Estimate(np.eye(2), np.array([0.9, 0.4])),
        valuation=np.datetime64("2026-01-02", "us"),
        currency="USD",
    )
    assert both.volatility.tolist() == [0.2, 0.4]
    with pytest.raises(SettingError, match="no volatility for T: give the column `volatility`"):
        made(PRICE, {**PRICE, "factor": "T", "volatility": ""})


def test_a_matrix_of_another_size() -> None:
    for matrix in (np.eye(2), np.eye(4), np.ones((3, 2)), np.ones(3)):
        with pytest.raises(SettingError, match="there are 3 factors: give one row and one column for each"):
            made(PRICE, VOL, RATE, correlation=matrix)


def test_years_count_365_days() -> None:
    times = np.array(["2027-01-02", "2026-01-02T12:00", "2026-01-01", "NaT"], dtype="datetime64[us]")
    assert made(PRICE).years_to(times).tolist() == [1.0, 0.5 / 365, -1 / 365, np.inf]


@pytest.mark.parametrize(
    ("change", "said"),
    [
        ({1: {"S": ""}}, "row 2: S is missing or not finite: fill it or remove the row"),
        ({1: {"S": "inf"}}, "row 2: S is missing or not finite"),
        ({1: {"S": "n/a"}}, "row 2: S 'n/a' of date '2026-01-02' is not a number"),
        ({1: {"date": ""}}, "row 2: no date"),
        ({1: {"date": "2 Jan"}}, "row 2: date '2 Jan' is not an ISO time"),
        ({1: {"date": "2026-01-01"}}, "row 2: date 2026-01-01 is there twice"),
        ({1: {"date": "2025-12-31"}}, "row 2: date 2025-12-31 is earlier than the row before"),
        ({5: {"date": "2026-03-01"}}, "row 6: a gap from 2026-01-05 to 2026-03-01"),
    ],
)
def test_bad_histories(change: dict[int, dict[str, str]], said: str) -> None:
    rows = [{"date": f"2026-01-{day:02d}", "S": str(100 + day), **change.get(day - 1, {})} for day in range(1, 7)]
    with pytest.raises(InputError) as caught:
        read_history(table("H.csv", *rows))
    assert said in "\n".join(caught.value.problems)


@pytest.mark.skipif(not CURVES.is_file(), reason="the shared data is not there")
def test_the_day_that_oil_was_negative() -> None:
    full = read_table(CURVES)
    dates = full.texts("date")
    first, last = dates.index("2020-03-02"), dates.index("2020-05-22")
    part = Columns(full.source, {name: full.data[name][first:last] for name in ("date", "CL01", "CL02")})
    history = read_history(part)
    for shock in ("log", "simple"):
        with pytest.raises(InputError, match=r"CL01 is -37\.63 on 2020-04-20: .* returns do not exist there") as caught:
            history.moves(["CL02", "CL01"], ["log", shock])
        assert "shock=absolute" in str(caught.value)
    moves = history.moves(["CL01", "CL02"], ["absolute", "log"])
    assert np.isfinite(moves).all()
    assert moves[:, 0].min() < -50
    until = history.until(np.datetime64("2020-04-20"))
    oil = {"factor": "CL01", "kind": "price"}
    assert "CL01' has level -37.63, which must be positive" in refused(oil, history=until)[0]
    assert read({**oil, "shock": "absolute"}, history=until)[0].level.tolist() == [-37.63]
    with pytest.raises(InputError, match="no column for factor 'CL1'"):
        history.moves(["CL1"], ["log"])
