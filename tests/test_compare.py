"""The statistics of a comparison: against scipy, closed forms and arithmetic by hand."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace
from math import log
from pathlib import Path
from tempfile import TemporaryDirectory

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from numpy.typing import NDArray
from oracle import many
from scipy import sparse, stats

from mcvar.columns import Columns
from mcvar.errors import InputError, SettingError
from mcvar.intervals.estimate import Estimate
from mcvar.io.tables import read_table
from mcvar.scan.comparison.compare import Basis, Compared, Scans, alone_scans, check_basis, compare
from mcvar.scan.comparison.external import External, read_margins
from mcvar.scan.comparison.groups import summarised
from mcvar.scan.comparison.intervals import clopper_pearson, spearman
from mcvar.scan.comparison.ranges import sensitivity

Floats = NDArray[np.float64]
N = 1_000


def estimate(measure: str, value: list[float], reach: float, level: float = 0.99) -> Estimate:
    v = np.array(value)
    return Estimate(measure, level, v, np.full(len(v), reach / 2), v - reach, v + reach, 0.95, "")


@pytest.fixture
def compared() -> Compared:
    """Five accounts: short, right, long of margin; one that cannot lose; one whose margin is not known."""
    scan = np.array([80.0, 102.0, 150.0, 0.0, np.nan])
    return compare(
        replace(
            Scans.of("span16", scan),
            alone=np.array([160.0, 204.0, 450.0, 0.0, 1.0]),
            worst_scenario=np.array([13, 1, 16, 1, 1]),
        ),
        estimate("var", [100.0, 100.0, 100.0, -5.0, 100.0], 10.0),
        estimate("es", [120.0, 120.0, 120.0, -4.0, 120.0], 12.0),
        scenarios=N,
        count=np.array([25, 9, 0, 1, 0]),
        excess=np.array([500.0, 90.0, 0.0, 2.0, 0.0]),
        worst=np.array([180.0, 170.0, 140.0, 2.0, 200.0]),
        alone=np.array([250.0, 300.0, 400.0, 0.0, 500.0]),
    )


def test_accounts(compared: Compared) -> None:
    nan = np.nan
    np.testing.assert_allclose(compared.ratio, [0.8, 1.02, 1.5, nan, nan])
    np.testing.assert_allclose(compared.ratio_low, [80 / 110, 102 / 110, 150 / 110, nan, nan])
    np.testing.assert_allclose(compared.ratio_high, [80 / 90, 102 / 90, 150 / 90, nan, nan])
    np.testing.assert_allclose(compared.exceed_probability, [0.025, 0.009, 0.0, 0.001, nan])
    np.testing.assert_allclose(compared.expected_shortfall_beyond, [20.0, 10.0, nan, 2.0, nan])
    np.testing.assert_allclose(compared.worst_shortfall, [100.0, 68.0, 0.0, 2.0, nan])
    np.testing.assert_allclose(compared.beyond_error, [1, 0, 1, 0, nan])  # VaR of the fourth: -15 .. 5
    assert compared.scans.worst_scenario.tolist() == [13, 1, 16, 0, 0]  # none where no point loses, or none is known
    assert compared.under.tolist() == [True, False, False, False, False]
    assert compared.over.tolist() == [False, False, True, False, False]
    for r, k in enumerate((25, 9, 0, 1)):
        low, high = stats.binomtest(k, N).proportion_ci(0.95, method="exact")
        assert compared.exceed_low[r] == pytest.approx(low, rel=1e-9)
        assert compared.exceed_high[r] == pytest.approx(high, rel=1e-9)


def test_a_lower_end_that_is_not_positive_leaves_the_ratio_without_an_upper_one() -> None:
    var = estimate("var", [5.0], 10.0)
    found = compare(
        Scans.of("x", np.array([6.0])), var, estimate("es", [7.0], 1.0), scenarios=N, count=np.array([3]),
        excess=np.array([1.0]), worst=np.array([7.0]),
    )  # fmt: skip
    assert found.ratio[0] == 1.2
    assert found.ratio_low[0] == 0.4
    assert np.isnan(found.ratio_high[0])


def test_the_interval_of_a_negative_ratio_is_the_right_way_round() -> None:
    var = estimate("var", [100.0, 5.0], 10.0)
    found = compare(
        Scans.of("x", np.array([-50.0, -50.0])), var, estimate("es", [120.0, 7.0], 1.0), scenarios=N,
        count=np.array([3, 3]), excess=np.ones(2), worst=np.full(2, 7.0),
    )  # fmt: skip
    np.testing.assert_allclose(found.ratio, [-0.5, -10.0])
    np.testing.assert_allclose(found.ratio_low, [-50 / 90, np.nan])  # VaR of the second: -5 .. 15
    np.testing.assert_allclose(found.ratio_high, [-50 / 110, -50 / 15])


def test_the_order_of_accounts_and_what_is_said_of_them(compared: Compared) -> None:
    assert compared.order.tolist() == [0, 1, 3, 2, 4]
    said = [compared.verdict(r) for r in range(5)]
    assert said == ["below VaR", "within error", "above VaR", "within error", ""]
    tied = replace(compared, exceed_probability=np.zeros(5))
    assert tied.order.tolist() == [0, 1, 2, 3, 4]
    assert replace(tied, ratio=np.array([3.0, 1.0, np.nan, 2.0, 0.5])).order.tolist() == [4, 1, 3, 0, 2]


def test_one_sided_intervals_leave_open_what_they_do_not_tell() -> None:
    var = estimate("var", [100.0, 100.0], 10.0)
    var = replace(var, low=np.full(2, np.nan))
    found = compare(
        Scans.of("x", np.array([80.0, 130.0])), var, estimate("es", [110.0, 110.0], 1.0), scenarios=N,
        count=np.array([3, 3]), excess=np.ones(2), worst=np.full(2, 120.0),
    )  # fmt: skip
    np.testing.assert_array_equal(found.beyond_error, [np.nan, 1.0])
    assert np.isnan(found.ratio_high).all()


def test_levels_must_be_the_same() -> None:
    with pytest.raises(SettingError, match=r"VaR is at level 0.99 .* and ES at 0.95"):
        compare(
            Scans.of("x", np.ones(1)), estimate("var", [1.0], 0.1), estimate("es", [1.0], 0.1, 0.95), scenarios=N,
            count=np.zeros(1, dtype=int), excess=np.zeros(1), worst=np.zeros(1),
        )  # fmt: skip


def test_groups(compared: Compared) -> None:
    worth = np.array([1.0, 2.0, 1.0, 1.0, 1.0])
    every, a, b = summarised(compared, ["a", "a", "b", "", "b"], worth)[:3]
    assert [every.kind, a.kind, b.kind] == ["*", "a", "b"]
    assert (every.accounts, every.covered, every.under, every.over) == (4, 3, 1, 1)
    assert every.coverage == pytest.approx(1 - (0.025 + 0.009 + 0.0 + 0.001) / 4)
    assert every.coverage_low is not None
    assert every.coverage_high is not None
    assert every.coverage_low < every.coverage < every.coverage_high
    assert (every.scan, every.var, every.es) == (80 + 204 + 150, 100 + 200 + 100 - 5, 120 + 240 + 120 - 4)
    assert every.under_amount == 20  # of the first
    assert every.over_amount == 4 + 50 + 5
    assert every.ratio == 1.02
    assert every.netting_scan == pytest.approx((160 + 408 + 450) / 434)
    assert every.netting_var == pytest.approx((250 + 600 + 400) / 395)
    assert (a.accounts, b.accounts, a.ratio) == (2, 1, pytest.approx(0.91))
    assert b.netting_var == 4.0
    assert (b.rank, b.rank_low) == (None, None)
    assert len(summarised(compared, ["a"] * 5)) == 1


def test_nothing_in_common() -> None:
    none = np.full(2, np.nan)
    found = compare(
        Scans.of("x", none), estimate("var", [1.0, 2.0], 0.1), estimate("es", [2.0, 3.0], 0.1), scenarios=N,
        count=np.zeros(2, dtype=int), excess=np.zeros(2), worst=np.ones(2),
    )  # fmt: skip
    group = summarised(found, ["", ""])[0]
    assert (group.accounts, group.coverage, group.ratio, group.rank, group.scan) == (0, None, None, None, 0.0)


@pytest.mark.parametrize("confidence", [0.9, 0.99])
def test_clopper_pearson_is_scipys(confidence: float) -> None:
    for n in (1, 20, 5_000):
        for k in {0, 1, n // 100, n // 2, n - 1, n}:
            ends = clopper_pearson(k, n, confidence)
            want = stats.binomtest(k, n).proportion_ci(confidence, method="exact")
            np.testing.assert_allclose(ends, (want.low, want.high), rtol=1e-9, atol=1e-300)
    with pytest.raises(SettingError, match="confidence has 1"):
        clopper_pearson(1, 2, 1.0)


def test_clopper_pearson_covers_at_least_as_often_as_it_says() -> None:
    n, p = 300, 0.01
    k = np.arange(n + 1)
    low, high = clopper_pearson(k, n, 0.95)
    covers = stats.binom(n, p).pmf(k)[(low <= p) & (p <= high)].sum()
    assert 0.95 <= covers <= 0.995


def test_spearman() -> None:
    generator = np.random.default_rng(1)
    x = generator.normal(size=200)
    y = np.round(x + generator.normal(size=200), 1)  # with ties
    value, low, high = spearman(x, y, 0.95)
    assert value == pytest.approx(stats.spearmanr(x, y).statistic, abs=1e-12)
    assert low < value < high
    assert spearman(x, np.exp(x), 0.95) == (1.0, 1.0, 1.0)
    assert np.isnan(spearman(x, np.ones(200), 0.95)).all()
    assert np.isnan(spearman([1.0], [2.0], 0.95)).all()


def test_the_interval_of_spearman_covers() -> None:
    """Normal pairs: the population value is 6/pi asin(rho / 2)."""
    rho, repetitions, n = 0.6, 1_500, 40
    truth = 6 / np.pi * np.arcsin(rho / 2)
    generator = np.random.default_rng(7)
    pairs = generator.multivariate_normal([0, 0], [[1, rho], [rho, 1]], size=(repetitions, n))
    covered = 0
    for each in pairs:
        _, low, high = spearman(each[:, 0], each[:, 1], 0.95)
        covered += low <= truth <= high
    assert abs(covered / repetitions - 0.95) <= 0.01 + 3.5 * np.sqrt(0.95 * 0.05 / repetitions)


def test_alone() -> None:
    generator = np.random.default_rng(3)
    loss, quantity = generator.normal(size=(6, 16)), generator.normal(size=(4, 6)) * (generator.random((4, 6)) < 0.6)
    want = [sum(max(0.0, max(q * each)) for q, each in zip(row, loss, strict=True)) for row in quantity]
    sides = [np.array([max(0.0, max(sign * each)) for each in loss]) for sign in (1.0, -1.0)]
    np.testing.assert_allclose(alone_scans(*sides, sparse.csr_array(quantity)), want, rtol=1e-12)


# ---- what both sides must share


def test_one_basis() -> None:
    day = Basis(1 / 365, 1 / 365, ("USD", "EUR"))
    check_basis("x", day, Basis(1 / 365 * (1 + 1e-12), 1 / 365, ("USD", "EUR")), ["a", "b"])
    with pytest.raises(SettingError, match=r"time decay is 0 days there and 1 day here \(take horizon\.decay=false\)"):
        check_basis("x", replace(day, decay=0.0), day, ["a", "b"])
    with pytest.raises(SettingError) as error:
        check_basis("x", Basis(2 / 365, 2 / 365, ("EUR", "EUR")), day, ["a", "b"])
    for said in ("horizon is 2 days there and 1 day here", "time decay is 2 days", "'a' is EUR there and USD here"):
        assert said in str(error.value)
    with pytest.raises(SettingError) as error:
        check_basis("x", Basis(np.nan, np.nan, day.currency), day, ["a", "b"])
    for said in (
        "the horizon is not known there and 1 day here (give scan.days, the days of moves that the ranges are of)",
        "the time decay is not known there and 1 day here (give scan.lookahead",
    ):
        assert said in str(error.value)
    many = Basis(1 / 365, 1 / 365, ("USD",) * 9)
    with pytest.raises(SettingError, match="that of 4 more differs, too"):
        check_basis("x", replace(many, currency=("EUR",) * 9), many, list("abcdefghi"))


# ---- which ranges would do


def test_ranges_are_solved_for_every_kind() -> None:
    """Exponential losses: P(L > m) = exp(-m / s), so the multiple is s ln(1 / (1 - a)) over the margin."""
    size, given = np.array([1.0, 1.0, 3.0, 3.0]), np.array([2.0, 2.0, 4.0, 4.0])
    calls = []

    def probability(threshold: np.ndarray) -> np.ndarray:
        calls.append(threshold.shape)
        return np.exp(-threshold / size[:, None])

    found = sensitivity(
        "x",
        lambda price, volatility: given * price * (0.5 + 0.5 * volatility),
        probability,
        list("aabb"),
        0.99,
        passes=4,
    )
    by = {(each.axis, each.kind): each for each in found}
    assert len(calls) == 5
    assert len(by) == 6
    for kind, s, m in (("a", 1.0, 2.0), ("b", 3.0, 4.0)):
        price = by["price", kind]
        assert price.multiple == pytest.approx(s * log(100) / m, rel=1e-4)
        assert price.low is not None
        assert price.high is not None
        assert price.coverage_low < 0.99 <= price.coverage_high
        assert price.high / price.low < 1.001
        assert by["volatility", kind].multiple == pytest.approx(2 * s * log(100) / m - 1, rel=1e-4)
    m = by["price", "*"].multiple
    assert m is not None
    assert 1 - np.exp(-given * m / size).mean() == pytest.approx(0.99, abs=1e-6)


def test_where_there_is_no_such_range_it_is_said() -> None:
    def found(f: Callable[[float, float], Floats], chance: Callable[[Floats], Floats]) -> str:
        return sensitivity("x", f, chance, ["", ""], 0.99)[0].reason

    def exponential(t: np.ndarray) -> np.ndarray:
        return np.exp(-t)

    assert "8 times the range covers 55.067 % only" in found(lambda p, v: np.full(2, 0.1 * p), exponential)
    assert "0.125 times the range covers 99.995 % already" in found(lambda p, v: np.full(2, 80.0 * p), exponential)
    assert "whatever the multiple" in found(lambda p, v: np.full(2, 3.0), exponential)
    assert "less with wider ranges" in found(lambda p, v: np.full(2, 4.0 / p), exponential)
    missing = sensitivity("x", lambda p, v: np.full(2, np.nan), lambda t: t, ["", ""], 0.99)
    assert missing[0].reason == "no account is known on both sides"
    assert missing[0].multiple is None


# ---- margins from elsewhere


def csv(**columns: list[object]) -> Columns:
    made = Columns.of("margins.csv", **columns)
    return replace(made, unit="line", lines=np.arange(2, 2 + len(made)))


def test_margins_from_elsewhere() -> None:
    table = csv(
        account=["a", "b", "house", "b", "a"], margin=["1", "2", "9", "0", "4"], engine=["x", "x", "x", "y", "y"],
        basis=["risk", "", "risk", "requirement", "requirement"],
    )  # fmt: skip
    x, y = read_margins(table, ["a", "b"], ["house", "*"])
    assert (x.engine, x.margin.tolist(), x.requirement.tolist()) == ("x", [1.0, 2.0], [False, False])
    assert (y.engine, y.margin.tolist(), y.requirement.tolist()) == ("y", [4.0, 0.0], [True, True])
    scans, said = y.scans(np.array([-1.5, 3.0]))
    np.testing.assert_array_equal(scans.scan, [2.5, np.nan])
    assert "1 accounts have a requirement of 0" in said
    assert x.scans()[1] == "x: no horizon_days are given, and its margins are taken to be of the run's horizon"
    scans, said = y.scans(np.array([-9.5, 3.0]))
    assert scans.scan[0] == -5.5
    assert "1 accounts have a margin before net option value that is negative, and so is its ratio" in said
    with pytest.raises(SettingError, match="the margins of y are requirements"):
        y.scans()
    assert read_margins(csv(account=["a"], margin=[1.0]), ["a"])[0].engine == "external"


def test_everything_wrong_with_margins_is_listed_at_once() -> None:
    table = csv(
        account=["a", "zz", "a", "", "b", "c", "d", "e"],
        margin=["1", "2", "3", "4", "-5", "inf", "", "six"],
        basis=["risk"] * 7 + ["wrong"],
    )
    with pytest.raises(InputError) as error:
        read_margins(table, list("abcdefg"))
    assert error.value.problems == (
        "line 3: account 'zz' is not in the book: correct it, or leave the line out",
        "line 4: account 'a' of engine 'external' is in line 2 already: keep one of them",
        "line 5: account is missing: write the name of one",
        "line 6: margin of account 'b' -5 is negative: give a number of at least 0",
        "line 7: margin of account 'c' inf is not finite: give a number of at least 0",
        "line 8: margin of account 'd' is missing: give a number of at least 0",
        "line 9: margin 'six' of account 'e' is not a number such as 1000 or -2.5e-3",
        "line 9: basis 'wrong' of account 'e' is not one of risk, requirement",
        "account 'f' has no margin of engine 'external': add a line for it",
        "account 'g' has no margin of engine 'external': add a line for it",
    )
    with pytest.raises(InputError, match="column 'margin' is missing"):
        read_margins(csv(account=["a"]), ["a"])
    with pytest.raises(InputError, match="account 'a' has no margin of engine 'external'"):
        read_margins(csv(account=[], margin=[]), ["a"])


DAY = Basis(1 / 365, 1 / 365, ("USD", "EUR"))


def test_what_margins_are_stated_on() -> None:
    table = csv(
        account=["a", "b", "a", "b", "*"], margin=["1", "2", "3", "4", "9"], engine=["x", "x", "y", "y", "y"],
        currency=["USD", "", "USD", "USD", "JPY"], horizon_days=["", "1", "", "", ""],
    )  # fmt: skip
    x, y = read_margins(table, ["a", "b"], ["*"])
    assert x.basis(DAY) == DAY
    assert x.scans()[1] == ""
    check_basis("x", x.basis(DAY), DAY, ["a", "b"])
    with pytest.raises(SettingError, match=r"x and .* horizon is 1 day there and 2 days here \(take horizon.days=1"):
        check_basis("x", x.basis(DAY), replace(DAY, horizon=2 / 365), ["a", "b"])
    with pytest.raises(SettingError, match=r"y and .* the currency of account 'b' is USD there and EUR here\. State"):
        check_basis("y", y.basis(DAY), DAY, ["a", "b"])
    with pytest.raises(InputError) as error:
        read_margins(table, ["a", "b"], ["*"], simulated=DAY)
    assert error.value.problems == (
        "line 5: currency of account 'b' is USD here and EUR in the book: convert the margin",
    )


def test_all_that_is_stated_wrongly_is_listed_with_its_lines() -> None:
    table = csv(
        account=["a", "b", "a", "b", "a", "b", "a"], margin=["1"] * 7, engine=["x", "x", "y", "y", "z", "z", "scan"],
        currency=["EUR", "EUR", "", "", "", "", ""], horizon_days=["2", "2", "1", "1.5", "-1", "inf", "one"],
    )  # fmt: skip
    with pytest.raises(InputError) as error:
        read_margins(table, ["a", "b"], taken=("scan",), simulated=DAY)
    assert error.value.problems == (
        "line 2: currency of account 'a' is EUR here and USD in the book: convert the margin",
        "line 2: horizon_days of engine 'x' is 2 here and 1 in the run: bring margins of that, or take horizon.days=2",
        "line 3: horizon_days of engine 'x' is 2 here and 1 in the run: bring margins of that, or take horizon.days=2",
        "line 5: horizon_days of engine 'y' is 1.5 here and 1 in line 4: give one number for an engine",
        "line 6: horizon_days of engine 'z' is -1: give a number of days that is positive",
        "line 7: horizon_days of engine 'z' is inf: give a number of days that is positive",
        "line 8: horizon_days 'one' of account 'a' is not a number such as 1000 or -2.5e-3",
        "line 8: engine 'scan' has the name of another: give it one of its own",
        "account 'b' has no margin of engine 'scan': add a line for it",
    )


CELLS = st.one_of(
    st.sampled_from(["a", "b", "", " a ", "*", "risk", "requirement", "1", "-1", "1e999", "nan", "0", "2.5", "1_0"]),
    st.text(max_size=5), st.floats(), st.none(), st.integers(),
)  # fmt: skip


OPTIONAL = ("engine", "basis", "currency", "horizon_days")


def read_or_refused(table: Columns) -> None:
    try:
        found = read_margins(table, ["a", "b"], ["*"], taken=("1",), simulated=DAY)
    except InputError:
        return
    for each in found:
        assert len(each.margin) == 2
        assert (each.margin >= 0).all()
        each.scans(np.zeros(2))
        check_basis(each.engine, each.basis(DAY), DAY, ["a", "b"])


@settings(max_examples=many(300), deadline=None)
@given(st.lists(st.tuples(*[CELLS] * 6), max_size=5), st.sets(st.sampled_from([*OPTIONAL, "x"])))
def test_any_cells_are_read_or_refused(rows: list[tuple[object, ...]], names: set[str]) -> None:
    columns = {name: at for at, name in enumerate(("account", "margin", *OPTIONAL))}
    read_or_refused(
        Columns.from_mapping("t", {n: [row[columns.get(n, 3)] for row in rows] for n in ("account", "margin", *names)})
    )


LINES = st.lists(st.lists(CELLS.map(str), max_size=6).map(",".join), max_size=4).map("\n".join)
HEADS = st.sampled_from(
    [b"account,margin\n", b"account,margin,engine,basis,currency,horizon_days\n", b"\xef\xbb\xbf", b""]
)


@settings(max_examples=many(300), deadline=None)
@given(HEADS, st.one_of(st.binary(max_size=60), LINES.map(lambda said: said.encode("utf-8", "surrogatepass"))))
def test_any_bytes_are_read_or_refused(head: bytes, rest: bytes) -> None:
    with TemporaryDirectory() as folder:
        path = Path(folder, "margins.csv")
        path.write_bytes(head + rest)
        try:
            table = read_table(path)
        except InputError:
            return
        read_or_refused(table)


def test_requirements_are_one_kind_of_margin() -> None:
    table = External("x", np.array([1.0]), np.array([False]))
    assert table.scans(np.array([5.0]))[0].scan.tolist() == [1.0]
