"""PC-SPAN XML: files in the published schema, mcvar's own, hostile ones, and big ones in bounded memory."""

from __future__ import annotations

import gzip
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest
import scan_books
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from oracle import many

from mcvar.errors import InputError, McvarError
from mcvar.io.scan.file import ScanFile
from mcvar.io.spn.fields import Conventions
from mcvar.io.spn.read import read_spn
from mcvar.io.spn.write import write_spn
from mcvar.scan.grid import SPAN16, Grid
from mcvar.scan.parameters import Delivery, Leg, Spread, Tier


def array(values: list[float], delta: float, rate: int = 1) -> str:
    return f"<ra><r>{rate}</r>{''.join(f'<a>{v}</a>' for v in values)}<d>{delta}</d></ra>"


FUT = [0, 0, -10, -10, 10, 10, -20, -20, 20, 20, -30, -30, 30, 30, -29.7, 29.7]
OPT = [1.5, -2, *FUT[2:]]
# Elements in the order and with the values that public clearing files have: periods as legs, several rates, links.
FILE = f"""<?xml version="1.0" encoding="ISO-8859-1"?>
<spanFile>
<fileFormat>4.00</fileFormat>
<created>202601010900</created>
<definitions><currencyDef><currency>INR</currency><symbol>R</symbol><name>RUPEE</name></currencyDef></definitions>
<pointInTime>
<date>20260101</date><isSetl>0</isSetl>
<clearingOrg>
<ec>NSCCL</ec><lookAheadYears>0.002739</lookAheadYears>
<curConv><fromCur>INR</fromCur><toCur>USD</toCur><factor>0.01</factor></curConv>
<ccDef>
<cc>NIFTY</cc><name>Nifty &amp; co</name><currency>INR</currency><riskExponent>0</riskExponent>
<somMeth>GROSS</somMeth>
<pfLink><exch>NSE</exch><pfId>490</pfId><pfCode>NIFTY</pfCode><pfType>PHY</pfType><sc>1.0</sc></pfLink>
<pfLink><exch>NSE</exch><pfId>491</pfId><pfCode>NIFTY</pfCode><pfType>FUT</pfType><sc>0.2</sc></pfLink>
<pfLink><exch>NSE</exch><pfId>492</pfId><pfCode>NIFTY</pfCode><pfType>OOP</pfType><sc>1.0</sc></pfLink>
<intraTiers/><interTiers/>
<somTiers><tier><tn>0</tn><rate><r>1</r><val>7.5</val></rate></tier></somTiers>
<dSpread>
<spread>1</spread><chargeMeth>F</chargeMeth>
<rate><r>2</r><val>999</val></rate><rate><r>1</r><val>425.000000</val></rate>
<pLeg><cc>NIFTY</cc><pe>20260630</pe><rs>A</rs><i>1.000000</i></pLeg>
<pLeg><cc>NIFTY</cc><pe>20260730</pe><rs>B</rs><i>1.000000</i></pLeg>
</dSpread>
<spotRate><r>1</r><pe>20260630</pe><sprd>3</sprd><outr>4.5</outr></spotRate>
<spotRate><r>2</r><pe>20260630</pe><sprd>8</sprd><outr>9</outr></spotRate>
</ccDef>
<ccDef>
<cc>BANK</cc><name>Bank</name><currency>INR</currency>
<pfLink><exch>NSE</exch><pfId>139</pfId><pfCode>BANK</pfCode><pfType>FUT</pfType></pfLink>
<intraTiers>
<tier><tn>1</tn><ePe>202606</ePe></tier>
<tier><tn>2</tn><sPe>202607</sPe><ePe>202612</ePe></tier>
</intraTiers>
<dSpread>
<spread>3</spread><chargeMeth>F</chargeMeth><rate><r>1</r><val>50</val></rate>
<tLeg><cc>BANK</cc><tn>1</tn><rs>A</rs><i>2</i></tLeg>
<tLeg><cc>BANK</cc><tn>2</tn><rs>B</rs><i>1</i></tLeg>
</dSpread>
</ccDef>
<interSpreads>
<dSpread>
<spread>1</spread><chargeMeth>W</chargeMeth><rate><r>1</r><val>0.65</val></rate>
<tLeg><cc>NIFTY</cc><tn>0</tn><rs>A</rs><i>1.0</i></tLeg>
<tLeg><cc>BANK</cc><tn>0</tn><rs>B</rs><i>2.0</i></tLeg>
</dSpread>
</interSpreads>
<exchange>
<exch>NSE</exch><name>National</name>
<phyPf>
<pfId>490</pfId><pfCode>NIFTY</pfCode><currency>INR</currency><cvf>1.00</cvf><valueMeth>EQTY</valueMeth>
<phy><cId>1</cId><pe>00000000</pe><p>24050.35</p><sc>1.0</sc>{array([0] * 16, 1)}</phy>
</phyPf>
<futPf>
<pfId>491</pfId><pfCode>NIFTY</pfCode><currency>INR</currency><cvf>1.00</cvf><valueMeth>FUT</valueMeth>
<fut><cId>1</cId><pe>20260630</pe><p>24051.80</p><v>0.17</v><scanRate><r>1</r><priceScan>30</priceScan></scanRate>
{array([9.0] * 16, 0.5, rate=2)}{array(FUT, 1)}</fut>
<fut><cId>2</cId><pe>20260730</pe><sc>1.0</sc>{array(FUT, 1)}</fut>
</futPf>
<futPf>
<pfId>139</pfId><pfCode>BANK</pfCode><currency>INR</currency><valueMeth>FUT</valueMeth>
<fut><cId>1</cId><pe>202606</pe>{array(FUT, 1)}</fut>
</futPf>
<oopPf>
<pfId>492</pfId><pfCode>NIFTY</pfCode><currency>INR</currency><cvf>50</cvf><valueMeth>EQTY</valueMeth>
<series><pe>20260623</pe><v>0.4</v><cvf>25</cvf>
<undC><exch>NSE</exch><pfId>491</pfId><cId>2</cId><s>B</s><i>1.0</i></undC>
<scanRate><r>1</r><priceScan>30</priceScan><volScan>0.04</volScan></scanRate>
<opt><cId>1</cId><o>C</o><k>24000.00</k><p>260.05</p><v>0.4029</v>{array(OPT, 0.8453)}</opt>
<opt><cId>2</cId><o>P</o><k>24000.50</k><p>10</p><cvf>2</cvf>{array(OPT, -0.25)}</opt>
</series>
</oopPf>
</exchange>
</clearingOrg>
</pointInTime>
</spanFile>
"""


def read(folder: Path, text: str | bytes, conventions: Conventions | None = None) -> ScanFile:
    path = folder / "f.spn"
    path.write_bytes(text if isinstance(text, bytes) else text.encode("latin-1"))
    return read_spn(path, conventions)


def problems(folder: Path, text: str | bytes) -> list[str]:
    with pytest.raises(InputError) as caught:
        read(folder, text)
    return list(caught.value.problems)


def test_an_inter_commodity_spread_without_a_rate_is_refused(tmp_path: Path) -> None:
    text = FILE.replace("<chargeMeth>W</chargeMeth><rate><r>1</r><val>0.65</val></rate>", "<chargeMeth>W</chargeMeth>")
    said = problems(tmp_path, text)
    lines = [n for n, line in enumerate(text.splitlines(), 1) if "<tn>0</tn><rs>" in line]
    assert [each.partition(":")[0] for each in said] == [f"line {n}" for n in lines]
    assert all("is missing: give the fraction that a leg saves" in each for each in said)


def test_every_element_of_a_file(tmp_path: Path) -> None:
    found = read(tmp_path, FILE)
    arrays = found.arrays
    assert arrays.name == (
        "NSE:NIFTY:PHY:", "NSE:NIFTY:FUT:20260630", "NSE:NIFTY:FUT:20260730", "NSE:BANK:FUT:202606",
        "NSE:NIFTY:OOP:20260730:20260623:C:24000", "NSE:NIFTY:OOP:20260730:20260623:P:24000.5",
    )  # fmt: skip
    assert arrays.commodity == ("NIFTY", "BANK")
    assert arrays.of.tolist() == [0, 0, 0, 1, 0, 0]
    assert arrays.currency == ("INR",) * 6
    assert arrays.loss.tolist() == [[0] * 16, FUT, FUT, FUT, OPT, OPT]
    assert arrays.delta.tolist() == [1.0, 0.2, 1.0, 1.0, 0.8453, -0.25]
    assert arrays.value.tolist() == [0, 0, 0, 0, 260.05 * 25, 10.0 * 2]
    assert arrays.option.tolist() == [False] * 4 + [True] * 2
    assert arrays.month == ("", "20260630", "20260730", "202606", "20260730", "20260730")
    assert found.grid is None
    assert found.contracts is not None
    assert found.contracts.volatility[[1, 4]].tolist() == [0.17, 0.4029]
    assert found.contracts.price[:2].tolist() == [24050.35, 24051.8]
    nifty, bank = found.parameters.commodities
    assert nifty.tiers == (Tier(1, "20260630", "20260630"), Tier(2, "20260730", "20260730"))
    assert nifty.spreads == (Spread(1, (Leg("NIFTY", 1, 1.0, 1), Leg("NIFTY", 2, 1.0, -1)), 425.0),)
    assert nifty.delivery == (Delivery("20260630", 3.0, 4.5),)
    assert nifty.short_option_minimum == 7.5
    assert (nifty.price_range, nifty.relative, nifty.volatility_range) == (30.0, False, 0.04)
    assert np.isnan(bank.price_range)
    assert bank.tiers == (Tier(1, "", "202606"), Tier(2, "202607", "202612"))
    assert bank.spreads == (Spread(3, (Leg("BANK", 1, 2.0, 1), Leg("BANK", 2, 1.0, -1)), 50.0),)
    assert found.parameters.spreads == (Spread(1, (Leg("NIFTY", 0, 1.0, 1, 0.65), Leg("BANK", 0, 2.0, -1, 0.65))),)


def test_order_of_definitions_does_not_matter(tmp_path: Path) -> None:
    at, end = FILE.index("<exchange>"), FILE.index("</exchange>") + len("</exchange>\n")
    exchange = FILE[at:end]
    moved = FILE.replace(exchange, "").replace("<ccDef>", exchange + "<ccDef>", 1)
    scan_books.same(read(tmp_path, moved).arrays, read(tmp_path, FILE).arrays)


def test_conventions_are_parameters(tmp_path: Path) -> None:
    found = read(tmp_path, FILE, Conventions(rate=2))
    assert found.parameters.commodities[0].spreads[0].charge == 999.0
    assert found.parameters.commodities[0].delivery == (Delivery("20260630", 8.0, 9.0),)
    assert found.arrays.loss[1].tolist() == [9.0] * 16
    percent = FILE.replace("<val>0.65</val>", "<val>65</val>")
    assert any("is it in per cent" in problem for problem in problems(tmp_path, percent))
    assert read(tmp_path, percent, Conventions(credits="percent")).parameters.spreads[0].legs[0].credit == 0.65
    exponent = FILE.replace("<riskExponent>0", "<riskExponent>3")
    plain, scaled = read(tmp_path, exponent), read(tmp_path, exponent, Conventions(risk_exponent=True))
    assert plain.arrays.loss[1].tolist() == FUT
    assert any("risk exponent" in note for note in plain.notes)
    np.testing.assert_allclose(scaled.arrays.loss[[1, 3]], [np.multiply(FUT, 1000.0), FUT])


def test_scan_ranges_are_the_widest_of_the_contracts(tmp_path: Path) -> None:
    text = FILE.replace("<volScan>0.04</volScan>", "<volScanPct>25</volScanPct>")
    text = text.replace("<priceScan>30</priceScan><volScan", "<priceScanPct>8</priceScanPct><volScan")
    found = read(tmp_path, text.replace("<priceScan>30</priceScan>", "<priceScanPct>12.5</priceScanPct>"))
    nifty = found.parameters.commodities[0]
    assert (nifty.price_range, nifty.relative) == (0.125, True)
    assert (nifty.volatility_range, nifty.relative_volatility) == (0.25, True)
    assert any("differ by contract" in note for note in found.notes)


def test_what_is_not_carried_is_said(tmp_path: Path) -> None:
    flat = FILE.replace("<chargeMeth>W</chargeMeth>", "<chargeMeth>F</chargeMeth>")
    assert any("flat credit" in note for note in read(tmp_path, flat).notes)
    assert read(tmp_path, flat).parameters.spreads == ()
    other = FILE.replace("</interSpreads>", "<hSpread><spread>2</spread></hSpread></interSpreads>")
    other = other.replace("GROSS", "MAX").replace("<chargeMeth>F</chargeMeth>", "<chargeMeth>P</chargeMeth>", 1)
    notes = " ".join(read(tmp_path, other).notes)
    for said in ("spreads by scanning", "minimum method MAX", "intra-commodity spreads by the method P"):
        assert said in notes
    style = FILE.replace("<cvf>50</cvf><valueMeth>EQTY", "<cvf>50</cvf><valueMeth>FUT")
    assert read(tmp_path, style).arrays.value.tolist() == [0.0] * 6


@pytest.mark.parametrize(
    ("old", "new", "said"),
    [
        ("4.00", "5.00", "line 2: file format '5.00' is not 4.00"),
        ("spanFile", "other", "line 2: the document is a 'other', not a spanFile"),
        (f"<a>-10</a><a>-10</a><a>10</a><a>10</a>{''}", "<a>-10</a>", "scenarios, not 16: complete it"),
        ("<a>-29.7</a>", "<a>x</a>", "a scenario 'x' is not a finite number"),
        ("<a>-29.7</a>", "<a>nan</a>", "a scenario 'nan' is not a finite number"),
        ("<a>-29.7</a>", "<a>1e999</a>", "has no finite a15"),
        ("<a>-29.7</a>", "<a></a>", "has no finite a15"),
        ("<a>-29.7</a>", "<a>1_0</a>", "a scenario '1_0' is not a finite number"),
        ("<pfId>139</pfId><pfCode>BANK</pfCode><pfType>", "<pfId>138</pfId><pfCode>B</pfCode><pfType>", None),
        ("<cc>BANK</cc><name>", "<cc>BUNK</cc><name>", "commodity 'BANK' is unknown"),
        ("<cc>BANK</cc><name>", "<cc></cc><name>", "commodity is missing"),
        ("<cc>BANK</cc><name>", "<cc>NIFTY</cc><name>", "commodity 'NIFTY' is there twice"),
        ("<tn>2</tn><sPe>202607", "<tn>x</tn><sPe>202607", "tier 'x' of commodity 'BANK' is not a number"),
        ("<sPe>202607", "<sPe>202699", "'202699' is not a contract month"),
        ("<tn>2</tn><rs>", "<tn>5</tn><rs>", "names tier 5, which 'BANK' does not have"),
        ("<rs>B</rs><i>2.0</i>", "<rs>B</rs><i>-2.0</i>", "ratio -2 of '1 of line"),
        ("<rs>B</rs><i>2.0</i>", "<rs>Q</rs><i>2.0</i>", "side 'Q' of"),
        ("<val>50</val>", "<val>-50</val>", "charge -50 of 'BANK 3 of line"),
        ("<spread>3</spread>", "<spread>three</spread>", "priority 'three'"),
        ("<priceScan>30</priceScan></", "<priceScan>-30</priceScan></", "priceScan -30 is negative"),
        ("<outr>4.5</outr>", "", "outright of 'NIFTY' is missing"),
        ("<pe>202606</pe>", "<pe>june</pe>", "pe 'june' is not a contract month"),
        ("<o>C</o>", "<o>X</o>", "the right of an option is 'X', not C or P"),
        ("<k>24000.00</k>", "", "an option of 'NIFTY' has no strike k"),
        ("<p>260.05</p>", "", "an option of 'NIFTY' has no price p"),
        ("<k>24000.50</k>", "<k>24000</k>", None),
        ("<cId>2</cId><o>P</o><k>24000.50</k>", "<cId>2</cId><o>C</o><k>24000.0</k>", "is there twice: remove one"),
        (array(OPT, 0.8453), "", "a contract of 'NIFTY' has no risk array"),
        ("</spanFile>", "", "not well-formed XML"),
        ("&amp;", "&bogus;", "not well-formed XML (undefined entity"),
    ],
)
def test_what_is_wrong_is_said_with_its_line(tmp_path: Path, old: str, new: str, said: str | None) -> None:
    assert old in FILE
    text = FILE.replace(old, new)
    if said is None:
        read(tmp_path, text)
    else:
        found = problems(tmp_path, text)
        assert any(said in problem and problem.startswith("line ") for problem in found), found


def test_all_problems_are_listed_together(tmp_path: Path) -> None:
    text = FILE.replace("<o>C</o>", "<o>X</o>").replace("<val>50</val>", "<val>-50</val>").replace("-29.7", "x", 1)
    text = text.replace("<cc>NIFTY</cc><tn>0</tn>", "<cc>WHO</cc><tn>0</tn>")
    assert len(problems(tmp_path, text)) >= 4


BOMB = "".join(f'<!ENTITY e{n} "{f"&e{n - 1};" * 10}">' for n in range(1, 10))


@pytest.mark.parametrize(
    ("declared", "said"),
    [
        (
            '<!DOCTYPE spanFile [<!ENTITY e0 "lol">' + BOMB + "]>",
            "a document type declaration (DOCTYPE spanFile) is refused",
        ),
        (
            '<!DOCTYPE spanFile SYSTEM "http://example.com/x.dtd">',
            "that points to 'http://example.com/x.dtd' is refused",
        ),
        ('<!DOCTYPE spanFile PUBLIC "-//X" "x.dtd">', "that points to 'x.dtd' is refused"),
        ('<!DOCTYPE spanFile [<!ENTITY x SYSTEM "file:///etc/passwd">]>', "(DOCTYPE spanFile) is refused"),
        ('<!DOCTYPE spanFile [<!ENTITY % p SYSTEM "file:///dev/zero"> %p;]>', "(DOCTYPE spanFile) is refused"),
    ],
)
def test_declarations_are_refused_before_they_act(tmp_path: Path, declared: str, said: str) -> None:
    text = FILE.replace("<spanFile>", declared + "<spanFile>", 1).replace("&amp;", "&e9;")
    (found,) = problems(tmp_path, text)
    assert said in found
    assert found.startswith("line 2: ")


@pytest.mark.parametrize(
    ("text", "said"),
    [
        (b"", "not well-formed XML (no element found"),
        (b"\x00\x01", "not well-formed XML"),
        (b"<spanFile/>", "there is no risk array"),
        (b"<?xml version='1.0' encoding='wrong'?><spanFile/>", "not well-formed XML"),
        (b"<a>" * 1000, "more than 64 deep"),
        (b"<spanFile>" * 1000, "more than 64 deep"),
        (b"<spanFile><x>" + b"y" * 20_000 + b"</x></spanFile>", "a text is longer than 10000 characters"),
        (b"<spanFile><fut>" + b"<x/>" * 20_000, "a fut of more than 10000 elements"),
        (b"<spanFile><x y='" + b"z" * 3_000_000, "a tag or comment is longer than 1 MiB"),
        (b"<spanFile><!--" + b"z" * 3_000_000, "a tag or comment is longer than 1 MiB"),
        (b"<spanFile><?mcvar " + b"z" * 20_000 + b"?></spanFile>", "a note is longer than 10000 characters"),
        (gzip.compress(b"<spanFile>" * 100, mtime=0)[:-9], "check that the file is complete"),
    ],
)
def test_hostile_and_broken_documents(tmp_path: Path, text: bytes, said: str) -> None:
    assert said in problems(tmp_path, text)[-1]


@pytest.mark.parametrize("seed", range(4))
def test_what_is_written_reads_back_with_the_same_bits(tmp_path: Path, seed: int) -> None:
    grid = SPAN16 if seed % 2 else Grid.span(3.0, 0.32)
    if seed == 2:
        draw = np.random.default_rng(0)
        grid = Grid("odd > one", *draw.normal(size=(3, 5)), np.array([0, 2, 1, 3, 4]))
    arrays, parameters = scan_books.random(seed, points=len(grid))
    path = write_spn(
        tmp_path / "a.spn", arrays, parameters, date="20260102", grid=grid, contracts=scan_books.terms(arrays)
    )
    found = read_spn(path)
    scan_books.same(arrays, found.arrays)
    assert repr(found.parameters) == repr(parameters)
    assert found.notes == ()
    assert found.grid is not None
    assert found.grid.name == grid.name
    for field in ("price", "volatility", "weight", "pair"):
        assert getattr(found.grid, field).tolist() == getattr(grid, field).tolist()
    again = write_spn(
        tmp_path / "b.spn",
        found.arrays,
        found.parameters,
        date="20260102",
        grid=found.grid,
        contracts=scan_books.terms(arrays),
    )
    assert again.read_bytes() == path.read_bytes()


def test_own_files_are_in_the_published_elements(tmp_path: Path) -> None:
    """Without mcvar's instructions, as another program reads it, a file says the same arrays, spreads and charges."""
    source = read(tmp_path, FILE)
    path = write_spn(tmp_path / "a.spn", source.arrays, source.parameters, date="20260102")
    text = "\n".join(path.read_text().split("\n"))
    while "<?mcvar" in text:
        at = text.index("<?mcvar")
        text = text[:at] + text[text.index("?>", at) + 2 :]
    found = read(tmp_path, text)
    rows = [found.arrays.name.index(name) for name in source.arrays.name]
    np.testing.assert_array_equal(found.arrays.loss[rows], source.arrays.loss)
    np.testing.assert_array_equal(found.arrays.delta[rows], source.arrays.delta)
    np.testing.assert_array_equal(found.arrays.value[rows], source.arrays.value)
    assert tuple(found.arrays.month[row] for row in rows) == source.arrays.month
    assert found.parameters.spreads == source.parameters.spreads
    for one, two in zip(found.parameters.commodities, source.parameters.commodities, strict=True):
        assert (one.tiers, one.spreads, one.delivery) == (two.tiers, two.spreads, two.delivery)
        assert one.short_option_minimum == two.short_option_minimum
    assert "<fileFormat>4.00</fileFormat>" in text
    assert "<created>202601020000</created>" in text


def test_what_cannot_be_written(tmp_path: Path) -> None:
    arrays, parameters = scan_books.random(0)
    with pytest.raises(InputError, match="has no right and strike: give its contract"):
        write_spn(tmp_path / "a.spn", arrays, parameters, date="20260102")
    contracts = scan_books.terms(arrays)
    with pytest.raises(InputError, match="is not YYYYMMDD"):
        write_spn(tmp_path / "a.spn", arrays, parameters, date="2026-01-02", contracts=contracts)
    few = Grid("few", np.zeros(3), np.zeros(3), np.ones(3), np.arange(3))
    with pytest.raises(InputError, match="16 points and the grid 3"):
        write_spn(tmp_path / "a.spn", arrays, parameters, date="20260102", contracts=contracts, grid=few)
    assert list(tmp_path.iterdir()) == []


# VmHWM is of the process alone: getrusage would count the pages of the one that started it.
_PEAK = """
import sys
from pathlib import Path
from mcvar.io.spn.read import read_spn

def peak():
    return next(int(line.split()[1]) for line in Path("/proc/self/status").read_text().splitlines() if "VmHWM" in line)

before = peak()
found = read_spn(sys.argv[1])
print(len(found.arrays), (peak() - before) / 1024)
"""


@pytest.mark.skipif(sys.platform != "linux", reason="peak memory is read from /proc")
def test_fifty_megabytes_in_bounded_memory(tmp_path: Path) -> None:
    """Contracts of which nothing is kept, unknown elements and comments: 50 MB in less than 25 MB."""
    junk = "<other><deep>" + "<leaf>1</leaf>" * 300 + "</deep></other><!--" + "x" * 2000 + "-->\n"
    unread = f"<fut><cId>9</cId><pe>202606</pe>{'<alias><aType>x</aType><aVal>y</aVal></alias>' * 40}</fut>\n"
    closed = "<futPf><pfId>5</pfId><positionsAllowed>0</positionsAllowed>" + unread * 20 + "</futPf>\n"
    at = FILE.index("</exchange>")
    path = tmp_path / "big.spn"
    with path.open("w", encoding="latin-1") as file:
        file.write(FILE[:at])
        for _ in range(50_000_000 // (len(junk) * 3 + len(closed)) + 1):
            file.write(junk * 3 + closed)
        file.write(FILE[at:])
    assert path.stat().st_size > 50_000_000
    done = subprocess.run([sys.executable, "-c", _PEAK, str(path)], capture_output=True, text=True, check=True)
    count, peak = done.stdout.split()
    assert int(count) == 6
    assert float(peak) < 25


_TOKEN = st.sampled_from(
    ["", "<", ">", "&", "x", "-1", "nan", "1e999", "999999999999", "<fut>", "</fut>", "<ra>", "<?mcvar {}?>",
     "<!DOCTYPE a>", "<?mcvar [[[?>", "<series>", "</ccDef>", "<ccDef>", "\x00", "é", "<!--", "<![CDATA[", "&#0;",
     "&#65;"]
)  # fmt: skip


@pytest.fixture(scope="module")
def scratch(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return tmp_path_factory.mktemp("spn")


@pytest.fixture(scope="module")
def own(scratch: Path) -> str:
    """A file of mcvar's own, without its grid, which would be most of it."""
    arrays, parameters = scan_books.random(0, size=12)
    path = write_spn(scratch / "own.spn", arrays, parameters, date="20260102", contracts=scan_books.terms(arrays))
    text = path.read_text()
    return text[: text.index("<pointDef>")] + text[text.index("</pointDef>") + len("</pointDef>") :]


@settings(max_examples=many(300), deadline=5000, suppress_health_check=list(HealthCheck))
@given(
    mine=st.booleans(),
    edits=st.lists(st.tuples(st.integers(0, 1_000_000), st.integers(0, 60), _TOKEN, st.booleans()), max_size=5),
)
def test_any_file_is_read_or_refused(
    scratch: Path, own: str, mine: bool, edits: list[tuple[int, int, str, bool]]
) -> None:
    text = own if mine else FILE
    for at, cut, token, leaf in edits:
        at %= len(text) + 1
        if leaf:  # the text of an element, so that the document stays well-formed
            at = text.find(">", at) + 1
            end = text.find("<", at)
            cut = max(end - at, 0)
        text = text[:at] + token + text[at + cut :]
    path = scratch / "f.spn"
    path.write_bytes(text.encode("utf-8"))
    try:
        found = read_spn(path)
    except McvarError:
        return
    assert np.isfinite(found.arrays.loss).all()
    assert np.isfinite(found.arrays.value).all()
    assert np.isfinite(found.arrays.delta).all()
