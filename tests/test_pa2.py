"""Expanded unpacked `.pa2` files: built field by field from the 1-based columns of the published layouts."""

from __future__ import annotations

import gzip
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from oracle import many

from mcvar.errors import InputError, McvarError
from mcvar.io.pa2.fields import Price, price
from mcvar.io.pa2.read import Conventions, read_pa2
from mcvar.io.scan.file import ScanFile
from mcvar.scan.parameters import Delivery, Leg, Spread, Tier

# Losses of one long future: thirds of a scan range of 6,000, extreme moves of three ranges at 33 %.
ES = [0, 0, -2000, -2000, 2000, 2000, -4000, -4000, 4000, 4000, -6000, -6000, 6000, 6000, -5940, 5940]


def record(*fields: tuple[int, str]) -> str:
    """Texts at columns counted from 1."""
    line: list[str] = []
    for start, text in fields:
        line += " " * (start - 1 - len(line))
        line[start - 1 : start - 1 + len(text)] = text
    return "".join(line)


def pairs(values: list[int], width: int = 5) -> str:
    return "".join(f"{abs(v):0{width}}{'-' if v < 0 else '+'}" for v in values)


def array(
    key: str, values: list[int], delta: str, vol: str, settle: str, precise: str = "", wide: bool = False
) -> list[str]:
    width = 8 if wide else 5
    first = f"{'83' if wide else '81'}{key}{pairs(values[:9], width)}{precise}"
    return [first, f"{'84' if wide else '82'}{key}{pairs(values[9:], width)}{delta}{vol}{settle}+10000+C"]


def key(
    exchange: str, product: str, kind: str, right: str = " ", month: str = "", option: str = "", strike: str = ""
) -> str:
    return record(
        (1, exchange),
        (4, product),
        (14, product),
        (24, kind),
        (27, right),
        (28, month.ljust(8)),
        (37, option.ljust(8)),
        (46, strike.rjust(7, "0")),
    )


def definition(exchange: str, name: str, *products: str, exponent: str = "0", currency: str = "USD") -> str:
    fields = [(1, "2 "), (3, exchange), (7, name), (13, exponent), (14, currency), (17, "$"), (18, "P"), (19, "N")]
    for i, product in enumerate(products):
        code, kind, places = [*product.split(":"), ""][:3]
        fields += [(23 + 16 * i, code), (33 + 16 * i, kind), (36 + 16 * i, places)]
    return record(*fields)


def prices(
    exchange: str,
    product: str,
    kind: str,
    *,
    places: str = "002",
    strike: str = "000",
    align: str = " ",
    factor: str = "00000500000000",
    currency: str = "USD",
    style: str = "EQTY ",
) -> str:
    return record(
        (1, "P "),
        (3, exchange),
        (6, product),
        (16, kind),
        (19, "A PRODUCT"),
        (34, places),
        (37, strike),
        (40, align),
        (42, factor),
        (56, "00000000"),
        (64, "01"),
        (66, currency),
        (69, "$"),
        (70, "STD"),
        (74, "00"),
        (76, "AMER"),
        (117, style),
        (122, "CASH"),
    )


HEADER = record((1, "0 "), (3, "CME"), (9, "20260102"), (17, "S"), (18, "E"), (36, "U2"))
OPTION = [300, -300, -900, -1500, 800, 400, -2200, -2900, 1100, 1000, -3600, -4500, 1200, 1180, -3300, 390]
FILE = [
    HEADER,
    "1 CME  01",
    prices("CME", "ES", "FUT", style="FUT  "),
    prices("CME", "ES", "OOF"),
    definition("CME", "SP", "ES:FUT", "ES:OOF"),
    record(
        (1, "3 "),
        (3, "SP"),
        (9, "10"),
        (11, "01"),
        (13, "202603"),
        (19, "202603"),
        (25, "02"),
        (27, "202606"),
        (33, "202612"),
        (69, "100010001100"),
    ),
    record((1, "C "), (3, "SP"), (9, "10"), (11, "01"), (13, "02"), (15, "0000150"), (22, "010101A"), (29, "020201B")),
    record(
        (1, "4 "),
        (3, "SP"),
        (9, "10"),
        (11, "01"),
        (13, "01"),
        (15, "202603"),
        (21, "0000011"),
        (28, "0000022"),
        (63, "0000170"),
        (70, "100100100"),
        (79, "2"),
    ),
    record(
        (1, "B "),
        (3, "CME"),
        (6, "ES"),
        (16, "FUT"),
        (19, "202603"),
        (45, "00000000"),
        (53, "06000"),
        (58, "03000"),
        (63, "03300"),
        (68, "00000"),
        (73, "0197260"),
        (80, "002740"),
        (86, "002000"),
    ),
    record(
        (1, "B "),
        (3, "CME"),
        (6, "ES"),
        (16, "OOF"),
        (19, "202603"),
        (28, "202602"),
        (45, "25000000"),
        (53, "06000"),
        (58, "03000"),
        (63, "03300"),
        (73, "0197260"),
        (80, "002740"),
        (86, "002000"),
        (164, "P"),
    ),
    definition("CME", "ND", "NQ:FUT"),
    record(
        (1, "6 "),
        (3, "ALL"),
        (6, "0001"),
        (10, "0980000"),
        (17, "CME"),
        (21, "SP"),
        (27, "0010000"),
        (34, "A"),
        (35, "CME"),
        (39, "ND"),
        (45, "0025000"),
        (52, "B"),
        (89, "01"),
    ),
    *array(key("CME", "ES", "FUT", month="202603"), ES, "10000+", "00000000", "0251100+", "00000000251100N"),
    *array(key("CME", "ES", "OOF", "C", "202603", "202602", "2500"), OPTION, "05500+", "00250000", "0004575+"),
    *array(key("CME", "ES", "OOF", "P", "202603", "20260213", "2400"), OPTION[::-1], "03000-", "00250000", "0001050+"),
    *array(key("CME", "NQ", "FUT", month="202603"), [10 * v for v in ES], "10000+", " " * 8, "0000001+", wide=True),
]


def read(folder: Path, lines: list[str], conventions: Conventions | None = None) -> ScanFile:
    path = folder / "f.pa2"
    path.write_text("\n".join(lines) + "\n")
    return read_pa2(path, conventions)


def problems(folder: Path, lines: list[str]) -> list[str]:
    with pytest.raises(InputError) as caught:
        read(folder, lines)
    return list(caught.value.problems)


def test_every_field_of_a_file(tmp_path: Path) -> None:
    found = read(tmp_path, FILE)
    arrays = found.arrays
    assert arrays.name == (
        "CME:ES:FUT:202603",
        "CME:ES:OOF:202603:202602:C:2500",
        "CME:ES:OOF:202603:20260213:P:2400",
        "CME:NQ:FUT:202603",
    )
    assert arrays.commodity == ("SP", "ND")
    assert arrays.of.tolist() == [0, 0, 0, 1]
    assert arrays.currency == ("USD",) * 4
    assert arrays.loss.tolist() == [ES, OPTION, OPTION[::-1], [10 * v for v in ES]]
    # Composite deltas times the scaling factor 0.2 of record B, which the option of the 13th does not have.
    np.testing.assert_allclose(arrays.delta, [0.2, 0.11, -0.3, 1.0], rtol=1e-15)
    assert arrays.value.tolist() == [0.0, 45.75 * 50, 10.50 * 50, 0.0]
    assert arrays.option.tolist() == [False, True, True, False]
    assert arrays.month == ("202603",) * 4
    contracts = found.contracts
    assert contracts is not None
    assert contracts.price[:3].tolist() == [2511.0, 45.75, 10.5]
    assert np.isnan(contracts.price[3])
    assert contracts.volatility[:3].tolist() == [0.0, 0.25, 0.25]
    assert contracts.strike[1:3].tolist() == [2500.0, 2400.0]

    sp, nd = found.parameters.commodities
    assert (sp.price_range, sp.relative, sp.volatility_range, sp.relative_volatility) == (120.0, False, 0.25, True)
    assert (sp.extreme, sp.covered, sp.lookahead, sp.short_option_minimum) == (3.0, 0.33, 1 / 365, 170.0)
    assert sp.tiers == (Tier(1, "202603", "202603"), Tier(2, "202606", "202612"))
    assert sp.spreads == (Spread(1, (Leg("SP", 1, 1.0, 1), Leg("SP", 2, 1.0, -1)), 150.0),)
    assert sp.delivery == (Delivery("202603", 11.0, 22.0),)
    assert np.isnan(nd.price_range)
    assert found.parameters.spreads == (Spread(1, (Leg("SP", 0, 1.0, 1, 0.98), Leg("ND", 0, 2.5, -1, 0.98))),)
    assert found.grid is not None
    assert found.grid.price[14:].tolist() == [3.0, -3.0]
    assert found.grid.weight[14:].tolist() == [0.33, 0.33]
    # What the arrays are: the grid's moves of the scan range of 6,000 at its weights, losses positive.
    np.testing.assert_allclose(arrays.loss[0], -6000 * found.grid.price * found.grid.weight)
    assert any("without record B" in note for note in found.notes)


def test_gzip_and_line_ends(tmp_path: Path) -> None:
    plain = read(tmp_path, FILE)
    (tmp_path / "g.pa2.gz").write_bytes(gzip.compress("\r\n".join([*FILE, "\x1a"]).encode()))
    assert repr(read_pa2(tmp_path / "g.pa2.gz").arrays) == repr(plain.arrays)


@pytest.mark.parametrize(
    ("raw", "places", "align", "want"),
    [
        (251100, 2, "", 2511.0),
        (91905, 7, "", 0.0091905),
        (4654, 2, "", 46.54),
        (3, -2, "", 300.0),
        (122060, 3, "C", 122 + 6 / 32),
        (146240, 3, "C", 146.75),
        (106015, 3, "C", 106 + 1.5 / 32),
        (3757, 3, "0", 3.7575),
        (5067, 3, "0", 5.0675),
        (9070, 3, "0", 9.07),
        (122064, 3, "C", np.nan),
        (122990, 3, "C", np.nan),
        (1234, 2, "X", np.nan),
    ],
)
def test_prices_and_their_alignment(raw: int, places: int, align: str, want: float) -> None:
    got = price(raw, Price(places, align, 0, 1.0, "USD", True), {"C": 32, "0": 1})
    np.testing.assert_allclose(got, want, rtol=1e-15)


@pytest.mark.parametrize(
    ("line", "text", "want"),
    [
        (4, definition("CME", "SP", "ES:FUT", "ES:OOF", exponent="3"), [1000.0, 1000.0]),
        (4, definition("CME", "SP", "ES:FUT", "ES:OOF:2"), [1.0, 0.01]),
        (4, definition("CME", "SP", "ES:FUT", "ES:OOF:2-"), [1.0, 100.0]),
    ],
)
def test_exponents_of_arrays(tmp_path: Path, line: int, text: str, want: list[float]) -> None:
    found = read(tmp_path, [*FILE[:line], text, *FILE[line + 1 :]])
    np.testing.assert_allclose(found.arrays.loss[0], np.multiply(ES, want[0]), rtol=1e-15)
    np.testing.assert_allclose(found.arrays.loss[1], np.multiply(OPTION, want[1]), rtol=1e-15)


def test_conventions_are_parameters(tmp_path: Path) -> None:
    lines = [
        line if not line.startswith("P CMEES        OOF") else prices("CME", "ES", "OOF", align="K") for line in FILE
    ]
    found = read(tmp_path, lines)
    assert [name for name in found.arrays.name if "OOF" in name] == []
    assert any(note.startswith("2 options of CME ES OOF are left out") for note in found.notes)
    found = read(tmp_path, lines, Conventions(parts={"K": 64}, price_scan="price", volatility="fraction"))
    # 4575 at locator 2: 457 and 5, an eighth cut off: the half of a 64th of 45 7/64.
    assert found.arrays.value[1] == (45 + 7.5 / 64) * 50
    commodity = found.parameters.commodities[0]
    assert (commodity.price_range, commodity.volatility_range) == (60.0, 25.0)
    scaled = [
        line if not line.startswith("2 CME SP") else definition("CME", "SP", "ES:FUT", "ES:OOF", exponent="2")
        for line in FILE
    ]
    charges = [read(tmp_path, scaled, Conventions(rates=r)).parameters.commodities[0] for r in ("plain", "scaled")]
    assert [c.spreads[0].charge for c in charges] == [150.0, 15000.0]
    assert [c.short_option_minimum for c in charges] == [170.0, 17000.0]


def test_futures_style_options_have_no_value(tmp_path: Path) -> None:
    lines = [
        line if not line.startswith("P CMEES        OOF") else prices("CME", "ES", "OOF", style="FUT") for line in FILE
    ]
    assert read(tmp_path, lines).arrays.value.tolist() == [0.0] * 4


def test_an_option_priced_in_another_currency_is_left_out(tmp_path: Path) -> None:
    other = prices("CME", "ES", "OOF", currency="JPY")
    found = read(tmp_path, [line if not line.startswith("P CMEES        OOF") else other for line in FILE])
    assert len(found.arrays) == 2
    assert any("premium is in JPY and their risk in USD" in note for note in found.notes)


def test_what_is_not_carried_is_said(tmp_path: Path) -> None:
    flat = record(
        (1, "6 "),
        (3, "ALL"),
        (6, "0002"),
        (10, "0980000"),
        (17, "CME"),
        (21, "SP"),
        (27, "0010000"),
        (34, "A"),
        (35, "CME"),
        (39, "ND"),
        (45, "0010000"),
        (52, "B"),
        (101, "F"),
    )
    scanned = flat[:88].ljust(88) + "04"
    som = record((1, "4 "), (3, "ND"), (9, "11"), (11, "NQ"), (63, "0000007"), (79, "1"))
    tiered = record((1, "S "), (3, "ND"), (9, "10"), (11, "01"), (13, "01"), (15, "202603"), (21, "202612"), (83, "2"))
    found = read(tmp_path, [*FILE, flat, scanned, som, tiered, "E 17    0000100002502509", "Y 31        31 "])
    for said in (
        "flat credit",
        "by scanning",
        "basis risk",
        "greater of short calls and puts",
        "tier by tier",
        "methods 2, 3",
        "1 records E (spreads between series)",
        "1 records Y",
    ):
        assert any(said in note for note in found.notes), said
    assert found.parameters.commodities[1].short_option_minimum == 7.0
    assert len(found.parameters.spreads) == 1


def test_priorities_of_several_groups_are_numbered_together(tmp_path: Path) -> None:
    six = next(line for line in FILE if line.startswith("6 "))
    found = read(tmp_path, [*FILE, six.replace("6 ALL0001", "6 OTH0001"), six.replace("6 ALL0001", "6 OTH0003")])
    assert [spread.priority for spread in found.parameters.spreads] == [1, 2, 3]
    with pytest.raises(InputError, match="has priority 1, which"):
        read(tmp_path, [*FILE, six])


@pytest.mark.parametrize(
    ("old", "new", "said"),
    [
        (FILE[0], HEADER[:35] + "U ", "line 1: the format indicator is 'U', not U2"),
        (FILE[1], "? what", "line 2: unknown record type '? '"),
        (FILE[13], None, "line 13: the array has scenarios 1 to 9 only"),
        (FILE[12], None, "line 13: the contract CMEES ES FUT 202603 0000000 has no first record"),
        (FILE[12], FILE[12][:100], "line 13: a record 81 of 100 columns is cut off: it has at least 108"),
        (FILE[13], FILE[13][:110], "line 14: a record 82 of 110 columns is cut off"),
        (
            FILE[12],
            FILE[12].replace("02000-", "02x00-", 1),
            "line 13: scenario 3 of the array '02x00' is not a whole number",
        ),
        (FILE[12], FILE[12].replace("02000-", "     -", 1), "line 13: scenario 3 of the array is blank"),
        (FILE[12], FILE[12].replace("02000-", "02000*", 1), "line 13: the sign of scenario 3 of the array is '*'"),
        (FILE[3], None, "line 14: CME ES OOF has no record P"),
        (FILE[4], definition("CME", "SP", "ES:FUT"), "CME ES OOF belongs to no combined commodity"),
        (FILE[4], definition("CME", "SP", "ES:FUT", "ES:OOF", currency="   "), "line 5: currency is missing"),
        (FILE[5], FILE[5].replace("202612", "202613"), "line 6: '202613' is not a contract month CCYYMM"),
        (FILE[5], FILE[5].replace("202612", "202601"), "line 6: tier 2 of 'SP' ends 202601, before 202606"),
        (
            FILE[6],
            FILE[6].replace("020201B", "020901B"),
            "line 7: 'SP 1 of line 7' names tier 9, which 'SP' does not have",
        ),
        (FILE[6], FILE[6].replace("020201B", "020201A"), "line 7: spread 'SP 1 of line 7' needs legs on both sides"),
        (FILE[6], FILE[6].replace("020201B", "020200B"), "line 7: ratio 0 of 'SP 1 of line 7' must be above 0"),
        (FILE[6], FILE[6][:30], "line 7: a record C of 30 columns is cut off"),
        (FILE[7], FILE[7].replace("4 SP", "4 XX"), "line 8: commodity 'XX' is unknown"),
        (FILE[8], FILE[8].replace("06000", "-6000"), "line 9: the price scan range '-6000' is not a whole number"),
        (FILE[11], FILE[11].replace("ND    ", "XY    "), "line 12: commodity 'XY' is unknown"),
        (
            FILE[11],
            FILE[11].replace("0980000", "1080000"),
            "line 12: credit 1.08 of 'ALL 1 of line 12' must be a number",
        ),
        (FILE[2], FILE[2].replace("002000", "999000"), "line 3: the settlement price decimal locator 999 is above 20"),
        (FILE[14], FILE[14].replace("OOFC", "OOFX"), "line 15: the array has scenarios 1 to 9 only"),
    ],
)
def test_what_is_wrong_is_said_with_its_line(tmp_path: Path, old: str, new: str | None, said: str) -> None:
    lines = [line if line != old else new for line in FILE]
    assert any(said in problem for problem in problems(tmp_path, [line for line in lines if line is not None])), said


def test_all_bad_lines_are_listed_together(tmp_path: Path) -> None:
    lines = list(FILE)
    lines[1], lines[6], lines[12] = "?? bad", lines[6].replace("010101A", "010x01A"), lines[12][:60]
    found = problems(tmp_path, [*lines, *FILE[14:16], "\x01\x02"])
    assert {"line 2", "line 7", "line 13"} <= {problem.partition(":")[0] for problem in found}
    assert any("is there twice" in problem for problem in found)


def test_duplicate_priorities(tmp_path: Path) -> None:
    assert any("has priority 1 of 'SP'" in problem for problem in problems(tmp_path, [*FILE, FILE[6]]))


def test_options_have_a_right(tmp_path: Path) -> None:
    lines = [line.replace("OOFC", "OOFX") for line in FILE]
    assert problems(tmp_path, lines) == ["line 16: the right of an option is 'X', not C or P (column 29)"]


@pytest.mark.parametrize(
    ("content", "said"),
    [
        (b"", "there is no risk array"),
        (b"\n\n", "there is no risk array"),
        (b"x" * 10_000, "line 1 is longer than any record"),
        ("0 é".encode(), "line 1: has characters that no record has"),
        (gzip.compress(b"0 CME" * 100, mtime=0)[:-9], "check that the file is complete"),
    ],
)
def test_what_is_no_such_file(tmp_path: Path, content: bytes, said: str) -> None:
    (tmp_path / "f.pa2").write_bytes(content)
    with pytest.raises(InputError, match=said):
        read_pa2(tmp_path / "f.pa2")
    with pytest.raises(InputError, match="does not exist"):
        read_pa2(tmp_path / "none.pa2")


_TOKEN = st.sampled_from(
    ["", " ", "0", "9", "-", "+", "A", "B", "C", "P", "Y", "F", "x", "\x00", "é", "99999999", "        "]
)
_EDIT = st.tuples(
    st.integers(0, 400), st.integers(0, 200), _TOKEN, st.sampled_from(["put", "cut", "drop", "twice", "swap"])
)


@pytest.fixture(scope="module")
def scratch(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return tmp_path_factory.mktemp("pa2")


@settings(max_examples=many(300), deadline=5000, suppress_health_check=list(HealthCheck))
@given(edits=st.lists(_EDIT, max_size=6), junk=st.lists(st.text(max_size=40), max_size=2))
def test_any_file_is_read_or_refused(scratch: Path, edits: list[tuple[int, int, str, str]], junk: list[Any]) -> None:
    lines = list(FILE)
    for at, column, token, what in edits:
        at %= max(len(lines), 1)
        if not lines:
            break
        if what == "put":
            lines[at] = lines[at][:column] + token + lines[at][column + len(token) :]
        elif what == "cut":
            lines[at] = lines[at][:column]
        elif what == "drop":
            del lines[at]
        elif what == "twice":
            lines.insert(at, lines[at])
        else:
            lines[at], lines[0] = lines[0], lines[at]
    path = scratch / "f.pa2"
    path.write_bytes("\n".join([*lines, *junk]).encode("utf-8", "surrogatepass"))
    try:
        found = read_pa2(path)
    except McvarError:
        return
    assert np.isfinite(found.arrays.loss).all()
    assert np.isfinite(found.arrays.value).all()
    assert np.isfinite(found.arrays.delta).all()
