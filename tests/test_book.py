import csv
import io
import time
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from mcvar import correlation
from mcvar.book import NETTED, Book, resolve, underlying_carry
from mcvar.columns import Columns
from mcvar.errors import InputError, McvarError, SettingError
from mcvar.instruments import Kind
from mcvar.io.tables import read_table
from mcvar.market import Market, build, read_factors

Row = Mapping[str, Any]
S = {"factor": "S", "kind": "price", "level": 100, "volatility": 0.2}
EUR = {"factor": "EUR", "kind": "price", "level": 1.1, "volatility": 0.1}
OIL = {"factor": "OIL", "kind": "price", "level": -37.63, "volatility": 10, "shock": "absolute"}
VOL = {"factor": "V", "kind": "vol", "underlying": "S", "tenor": 0.5, "level": 0.3, "volatility": 1}
SPOT = {"instrument": "X", "kind": "spot", "underlying": "S"}
FUTURE = {"instrument": "F", "kind": "future", "underlying": "S", "expiry": "2027-01-02"}
HELD = {"account": "a", "instrument": "X", "quantity": "2"}


def table(source: str, *rows: Row) -> Columns:
    names = list(dict.fromkeys(name for row in rows for name in row))
    return Columns.from_mapping(source, {name: [row.get(name, "") for row in rows] for name in names})


def market(*rows: Row, currency: str = "USD") -> Market:
    factors, volatility = read_factors(table("F.csv", *rows), currency=currency)
    return build(
        factors=factors,
        volatility=volatility,
        estimate=correlation.given(np.eye(len(rows))),
        valuation=np.datetime64("2026-01-02", "us"),
        currency=currency,
    )


ALL = market(S, EUR, OIL, VOL)


def book(
    *positions: Row, instruments: tuple[Row, ...] = (SPOT, FUTURE), accounts: tuple[Row, ...] = (), on: Market = ALL
) -> Book:
    listed = table("A.csv", *accounts) if accounts else None
    return resolve(table("I.csv", *instruments), table("P.csv", *positions), on, listed)


def refused(source: str, *positions: Row, **options: Any) -> list[str]:
    with pytest.raises(InputError) as caught:
        book(*positions, **options)
    assert caught.value.source == source
    return list(caught.value.problems)


def test_positions_in_one_instrument_add_up() -> None:
    made = book(
        HELD,
        {**HELD, "quantity": "-0.5"},
        {**HELD, "account": "b", "quantity": "1e1"},
        {**HELD, "account": "c", "quantity": 0},
    )
    assert made.row == ("a", "b", "c", NETTED)
    assert made.quantity.toarray().tolist() == [[1.5], [10.0], [0.0], [11.5]]
    assert made.instruments.name == ("X",), "only what is held"
    assert made.currency == ("USD",) * 4
    assert made.convert.tolist() == [[-1, -1]] * 4
    assert made.kind == ("",) * 4
    assert made.positions == 4


def test_parents_are_the_sums_of_their_children() -> None:
    made = book(
        HELD,
        {**HELD, "account": "b", "instrument": "F", "quantity": -3},
        {**HELD, "account": "m", "quantity": 7},
        accounts=(
            {"account": "a", "parent": "m", "kind": "hedger"},
            {"account": "b", "parent": "m"},
            {"account": "m", "parent": "house", "currency": "EUR"},
            {"account": "idle"},
        ),
    )
    quantity = dict(zip(made.row, made.quantity.toarray().tolist(), strict=True))
    assert quantity == {
        "a": [2.0, 0.0], "b": [0.0, -3.0], "m": [9.0, -3.0], "idle": [0.0, 0.0], "house": [9.0, -3.0], "*": [9.0, -3.0],
    }  # fmt: skip
    at = made.row.index("m")
    assert made.currency[at] == "EUR"
    assert made.convert[at].tolist() == [1, -1]
    assert made.kind[0] == "hedger"


def test_accounts_that_are_numbers(tmp_path: Path) -> None:
    made = book({**HELD, "account": 1001}, {**HELD, "account": "1001"}, {**HELD, "account": 1001.0})
    assert made.row == ("1001", NETTED)


@pytest.mark.parametrize(
    ("change", "said"),
    [
        ({"account": ""}, "the position in 'X' has no account"),
        ({"account": " * "}, "the account name '*' is reserved for the netted book: rename it"),
        ({"instrument": "Y"}, "account 'a' holds 'Y', which the instruments do not define: add it there or remove"),
        ({"instrument": ""}, "account 'a' holds '', which the instruments do not define"),
        ({"quantity": ""}, "account 'a' has no quantity of 'X': give a finite number or remove the position"),
        ({"quantity": float("nan")}, "account 'a' has no quantity of 'X'"),
        ({"quantity": "nan"}, "quantity 'nan' of account 'a' is not a number"),
        ({"quantity": "1_000"}, "quantity '1_000' of account 'a' is not a number"),
        ({"quantity": "1,000"}, "quantity '1,000' of account 'a' is not a number"),
        ({"quantity": "0x10"}, "quantity '0x10' of account 'a' is not a number"),
        ({"quantity": "-inf"}, "account 'a' has quantity -inf of 'X'"),
        ({"quantity": "1e309"}, "account 'a' has quantity inf of 'X'"),
        ({"role": "margin"}, "role 'margin' of account 'a' is not one of position, collateral"),
    ],
)
def test_bad_positions(change: Row, said: str) -> None:
    [problem] = refused("P.csv", {**HELD, "account": "fine"}, {**HELD, **change})
    assert problem.startswith("row 2: ")
    assert said in problem


def test_quantities_that_overflow() -> None:
    assert refused("P.csv", *[{**HELD, "quantity": "1e308"}] * 2) == [
        "the quantities of 'X' add up to infinity: correct them"
    ]


def test_all_bad_positions_are_told_at_once() -> None:
    changes: list[Row] = [{"quantity": "x"}, {"quantity": ""}, {"account": "*"}, {"instrument": "?"}, {"role": "?"}, {}]
    problems = refused("P.csv", *({**HELD, **change} for change in changes))
    assert sorted(p.partition(":")[0] for p in problems) == [f"row {row}" for row in range(1, 6)]


def test_many_bad_positions_take_no_square_of_time() -> None:
    start = time.perf_counter()
    rows = 50_000
    with pytest.raises(InputError) as caught:
        resolve(
            table("I.csv", SPOT),
            Columns.of("P.csv", account=["a"] * rows, instrument=["X"] * rows, quantity=np.full(rows, np.nan)),
            ALL,
        )
    assert len(caught.value.problems) == rows
    assert f"... and {rows - 20} more" in str(caught.value)
    assert time.perf_counter() - start < 20


def test_an_empty_book() -> None:
    none = Columns.of("P.csv", account=[], instrument=[], quantity=[])
    with pytest.raises(InputError, match="there is no position: the book is empty"):
        resolve(table("I.csv", SPOT), none, ALL)
    with pytest.raises(InputError, match="holds 'X', which the instruments do not define"):
        resolve(Columns.of("I.csv", instrument=[], kind=[]), table("P.csv", HELD), ALL)
    with pytest.raises(InputError, match="column 'account' is missing"):
        resolve(table("I.csv", SPOT), Columns.of("P.csv"), ALL)


@pytest.mark.parametrize(
    ("accounts", "said"),
    [
        (({"account": "b"},), "account 'a' of P.csv is not listed: add it"),
        (({"account": "a"}, {"account": "a"}), "row 2: account 'a' is there twice (first in row 1): remove one"),
        (({"account": "a"}, {"account": ""}), "row 2: the account has no name"),
        (({"account": "a"}, {"account": "*"}), "row 2: the name '*' is reserved for the netted book"),
        (({"account": "a", "parent": "*"},), "row 1: the name '*' is reserved for the netted book"),
        (({"account": "a", "parent": "a"},), "row 1: account 'a' is its own ancestor, by parent 'a'"),
        (
            ({"account": "a", "currency": "JPY"},),
            "row 1: account 'a' reports in JPY, which no price factor converts to USD: add a price factor",
        ),
        (({"account": "a", "currency": "OIL"},), "account 'a' reports in OIL, whose price could reach 0"),
        (({"account": "a", "owner": "x"},), "unknown column 'owner'"),
    ],
)
def test_bad_accounts(accounts: tuple[Row, ...], said: str) -> None:
    [problem] = refused("A.csv", HELD, accounts=accounts)
    assert said in problem


def test_loops_of_parents_name_every_account_in_them() -> None:
    loop = [{"account": name, "parent": parent} for name, parent in ("ab", "bc", "ca", "xa")]
    problems = refused("A.csv", HELD, accounts=tuple(loop))
    assert [p.partition(":")[0] for p in problems] == ["row 1", "row 2", "row 3"]


def test_the_carry_of_an_underlying() -> None:
    def carry(*instruments: Row, **change: Any) -> float:
        on = market({**S, **change}, EUR)
        made = book(*({**HELD, "instrument": i["instrument"]} for i in instruments), instruments=instruments, on=on)
        return float(underlying_carry(on, made.instruments)[0])

    later = {**FUTURE, "instrument": "G", "expiry": "2028-01-02"}
    assert carry(SPOT) == 0.0
    assert carry(SPOT, {**FUTURE, "carry": 0.03}) == 0.03
    assert carry({**FUTURE, "carry": 0.03}, {**later, "carry": 0.03 + 1e-14}) == 0.03
    assert carry({**FUTURE, "carry": 0.03}, {**later, "carry": 0.04}, carry=0.01) == 0.01
    with pytest.raises(SettingError, match=r"S: F has 0\.03, G has 0\.04\. Give the column `carry`"):
        carry({**FUTURE, "carry": 0.03}, {**later, "carry": 0.04})


def test_errors_name_files_and_lines(tmp_path: Path) -> None:
    (tmp_path / "I.csv").write_text("instrument,kind,underlying\n\nX,spot,S\n", encoding="utf-8")
    (tmp_path / "P.csv").write_text(
        "account,instrument,quantity\r\na,X,1\r\n\r\nä,X,one\r\n,X,2\r\n", encoding="utf-8-sig"
    )
    with pytest.raises(InputError) as caught:
        resolve(read_table(tmp_path / "I.csv"), read_table(tmp_path / "P.csv"), ALL)
    assert str(caught.value).splitlines() == [
        f"{tmp_path / 'P.csv'}: 2 problems",
        "  line 4: quantity 'one' of account 'ä' is not a number such as 1000 or -2.5e-3",
        "  line 5: the position in 'X' has no account",
    ]


def test_a_large_book_takes_seconds() -> None:
    rng = np.random.default_rng(1)
    many, positions, underlyings = 5_000, 50_000, 200
    on = market(
        *({**S, "factor": f"S{u}"} for u in range(underlyings)),
        *({**VOL, "factor": f"V{u}", "underlying": f"S{u}"} for u in range(underlyings)),
    )
    options = Columns.of(
        "I.csv",
        instrument=[f"O{i}" for i in range(many)],
        kind=["option"] * many,
        underlying=[f"S{i % underlyings}" for i in range(many)],
        option_type=["call"] * many,
        strike=rng.uniform(80, 120, many),
        expiry=["2026-06-19T08:00:00Z"] * many,
    )
    held = Columns.of(
        "P.csv",
        account=[f"A{a}" for a in rng.integers(0, 1000, positions)],
        instrument=[f"O{i}" for i in rng.integers(0, many, positions)],
        quantity=rng.integers(-9, 9, positions),
    )
    start = time.perf_counter()
    made = resolve(options, held, on)
    assert time.perf_counter() - start < 10
    assert made.quantity.shape[0] == 1001
    assert made.quantity.sum() == pytest.approx(2 * sum(held.floats("quantity", [])))


# What people write in cells, good and bad: some of it, put into good tables, resolves or is refused.

NAMES = ["X", " X", "", "*", "ä,b", '"', "1", "#N/A"]
NUMBERS = ["", "0", "100", "1e3", "-1", "nan", "inf", "1_0", "1,5", "0x1", " 2 ", "1e308", "1e-308", "-0.0", "9" * 400]
TIMES = ["", "2026-06-01", "2027-01-02T08:00Z", "2026-01-02", "9999-12-31", "0001-01-01T00:00+05:00", "NaT", "?"]
CURRENCIES = ["", "USD", "EUR", "S", "JPY"]
NUMERIC = ("strike", "multiplier", "volatility", "rate", "carry", "forward", "price", "funding", "barrier")
INSTRUMENTS = {
    "instrument": NAMES,
    "kind": ["option", "future", "spot", "cash", "perpetual", "barrier", ""],
    "underlying": ["S", "EUR", "OIL", "", "?"],
    "option_type": ["call", "put", "", "Call"],
    "expiry": TIMES,
    "exercise": ["european", "american"],
    "settlement": ["linear", "inverse"],
    "quote": CURRENCIES,
    "settlement_currency": CURRENCIES,
    "premium_style": ["upfront", "futures"],
    **dict.fromkeys(NUMERIC, NUMBERS),
}
POSITIONS = {
    "account": [*NAMES, "b", "c"],
    "instrument": NAMES,
    "quantity": NUMBERS,
    "role": ["", "position", "x"],
}
OPTION = {
    "instrument": "O", "kind": "option", "underlying": "S", "option_type": "call", "strike": "100",
    "expiry": "2026-06-01",
}  # fmt: skip
QUOTED = {**OPTION, "instrument": "Q", "price": "5", "carry": "0.01"}
COIN = {"instrument": "P", "kind": "perpetual", "underlying": "EUR", "settlement": "inverse"}
CASH = {"instrument": "C", "kind": "cash"}


def spoilt(rows: list[Row], pools: Mapping[str, list[str]]) -> st.SearchStrategy[list[Row]]:
    """The rows, with up to three cells in all changed to something from their pools."""
    cells = st.tuples(
        st.integers(0, len(rows) - 1), st.sampled_from([(name, cell) for name, pool in pools.items() for cell in pool])
    )

    def change(changes: list[tuple[int, tuple[str, str]]]) -> list[Row]:
        return [{**row, **dict(cell for at, cell in changes if at == i)} for i, row in enumerate(rows)]

    return st.lists(cells, max_size=3).map(change)


def written(rows: list[Row], end: str, at: int, junk: str) -> bytes:
    """CSV of the rows, with something inserted."""
    file = io.StringIO()
    writer = csv.DictWriter(file, list(dict.fromkeys(name for row in rows for name in row)), lineterminator=end)
    writer.writeheader()
    writer.writerows(rows)
    text = file.getvalue()
    return (text[:at] + junk + text[at:]).encode()


def files(rows: list[Row], pools: Mapping[str, list[str]]) -> st.SearchStrategy[bytes]:
    junk = st.sampled_from(["", "", "", "", "\n", ",", '"', "é", "\n\n", " ", "\x1c"])
    return st.builds(written, spoilt(rows, pools), st.sampled_from(["\n", "\r\n"]), st.integers(0, 200), junk)


@settings(max_examples=400, deadline=None)
@given(
    instruments=files([OPTION, QUOTED, COIN, CASH, FUTURE, SPOT], INSTRUMENTS),
    positions=files([{**HELD, "instrument": name} for name in "OQPCFX"], POSITIONS),
)
def test_spoilt_files_resolve_or_say_what_is_wrong(
    tmp_path_factory: pytest.TempPathFactory, instruments: bytes, positions: bytes
) -> None:
    folder = tmp_path_factory.getbasetemp()
    (folder / "I.csv").write_bytes(instruments)
    (folder / "P.csv").write_bytes(positions)
    try:
        made = resolve(read_table(folder / "I.csv"), read_table(folder / "P.csv"), ALL)
    except McvarError:
        return
    of = made.instruments
    options = of.kind == Kind.option
    assert np.isfinite(made.quantity.data).all()
    assert (of.years > 0).all()
    assert np.isfinite([of.multiplier, of.rate, of.carry, of.funding]).all()
    assert (np.isfinite(of.volatility) == options).all()
    assert (np.isfinite(of.strike) == options).all()
    assert ((of.sign != 0) == options).all()
    assert ((of.underlying >= 0) == (of.kind != Kind.cash)).all()


@settings(max_examples=400, deadline=None)
@given(rows=spoilt([OPTION, QUOTED, COIN, CASH, FUTURE, SPOT], INSTRUMENTS))
def test_bad_instruments_are_told_by_their_rows(rows: list[Row]) -> None:
    problems: tuple[str, ...] = ()
    try:
        book({**HELD, "instrument": rows[0]["instrument"]}, instruments=tuple(rows))
    except InputError as error:
        problems = error.problems
    assert all(problem.startswith("row ") for problem in problems)
