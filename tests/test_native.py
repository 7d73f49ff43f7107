"""The host build of the kernels: the same bits of draws, the same P&L as the reference to 1e-12 of gross value."""

from __future__ import annotations

import ctypes
import os
import shutil
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from numpy.typing import NDArray

from mcvar.book import Book
from mcvar.engines import Native, Reference, choose, kernels
from mcvar.errors import McvarError, SettingError
from mcvar.market import Market
from mcvar.models import Gaussian, StudentT
from mcvar.philox import Stream, normals
from mcvar.scenarios import Explicit, Simulated

Floats = NDArray[np.float64]
pytestmark = pytest.mark.skipif(
    not (shutil.which("g++") or shutil.which("clang++")), reason="no C++ compiler: the host build cannot be tested"
)


@pytest.fixture(scope="module")
def market(make_market: Callable[..., Market]) -> Market:
    factors = [
        {"factor": "XYZ", "level": 100.0, "volatility": 0.4},
        {"factor": "BTC", "level": 60_000.0, "volatility": 0.7},
        {"factor": "EUR", "level": 1.1, "volatility": 0.1},
        {"factor": "SIM", "level": 50.0, "volatility": 0.5, "shock": "simple"},
        {"factor": "OIL", "level": 2.0, "volatility": 30.0, "shock": "absolute"},
        {"factor": "XYZ-V1", "kind": "vol", "underlying": "XYZ", "tenor": 0.1, "level": 0.4, "volatility": 1.0},
        {"factor": "XYZ-V2", "kind": "vol", "underlying": "XYZ", "tenor": 1.0, "level": 0.3, "volatility": 0.5},
        {"factor": "USD-R", "kind": "rate", "tenor": 0.5, "level": 0.03, "volatility": 0.01, "currency": "USD"},
        {"factor": "XYZ-C", "kind": "carry", "underlying": "XYZ", "tenor": 0.5, "level": 0.01, "volatility": 0.01},
    ]
    matrix = np.full((9, 9), 0.2)
    np.fill_diagonal(matrix, 1.0)
    return make_market(factors, correlation=matrix)


@pytest.fixture(scope="module")
def book(market: Market, make_book: Callable[..., Book]) -> Book:
    """Every kind, settlement and style; empty, one-position and full rows; rows in their own currency."""
    rows: list[dict[str, Any]] = [
        {"instrument": "cash-eur", "kind": "cash", "settlement_currency": "EUR"},
        *({"instrument": f"spot-{u}", "kind": "spot", "underlying": u} for u in ("XYZ", "EUR", "SIM", "OIL")),
        *(
            {"instrument": f"fut-{u}-{y}", "kind": "future", "underlying": u, "years": y, "carry": 0.02}
            for u in ("XYZ", "OIL")
            for y in (0.01, 0.5)
        ),
        {"instrument": "fut-btc", "kind": "future", "underlying": "BTC", "years": 0.25, "settlement": "inverse"},
        {"instrument": "perp", "kind": "perpetual", "underlying": "BTC", "settlement": "inverse", "funding": 0.1},
    ]
    for u, strikes in (("XYZ", (60, 100, 101, 150)), ("BTC", (40e3, 60e3, 1e5)), ("SIM", (45, 55)), ("OIL", (0.5, 3))):
        for k in strikes:
            for t in ("call", "put"):
                for y in (0.01, 0.3, 2.0):  # the first expires inside the horizon
                    terms = {"kind": "option", "underlying": u, "strike": k, "option_type": t, "years": y, "rate": 0.03}
                    name = f"{u}-{k}-{t}-{y}"
                    rows.append({**terms, "instrument": name, "volatility": 0.5})
                    if u == "BTC":
                        rows.append({**terms, "instrument": "inv-" + name, "volatility": 0.6, "settlement": "inverse"})
                    if u == "XYZ":
                        rows.append({**terms, "instrument": "fs-" + name, "premium_style": "futures"})
                        rows.append({**terms, "instrument": "v0-" + name, "volatility": 0.0, "multiplier": 10})
    generator = np.random.default_rng(2)
    positions = [
        ("all", str(row["instrument"]), float(q)) for row, q in zip(rows, generator.normal(size=len(rows)), strict=True)
    ]
    positions += [
        ("one", "XYZ-100-put-0.3", -3.0),
        ("zero", "spot-XYZ", 0.0),
        ("coins", "inv-BTC-60000.0-call-0.3", 5.0),
    ]
    positions += [("coins", "perp", -1e5), ("euros", "spot-XYZ", 7.0), ("euros", "fut-XYZ-0.5", 2.0)]
    accounts = [
        {"account": "all", "parent": "house"}, {"account": "one", "parent": "house"}, {"account": "zero"},
        {"account": "coins", "currency": "BTC"}, {"account": "euros", "currency": "EUR", "parent": "house"},
    ]  # fmt: skip
    return make_book(market, rows, positions, accounts)


@pytest.mark.parametrize("model", [Gaussian(), StudentT(dof=4)], ids=["gaussian", "student_t"])
def test_pnl_is_the_references(market: Market, book: Book, model: Any) -> None:
    scenarios = Simulated(model.law(market, 10 / 365, np.zeros(9)), 10_000, seed=2**63 + 3)
    native, reference = Native(market, book, scenarios, 10 / 365), Reference(market, book, scenarios, 10 / 365)
    gross = abs(book.quantity) @ np.abs(reference.value_0) + abs(book.quantity) @ _notional(market, book)
    worth = np.array([1.0, 1.0, 1.0, 60_000.0, 1.1, 1.0, 1.0])
    error = np.abs(native.pnl(0, 10_000) - reference.pnl(0, 10_000)) * worth[:, None]
    assert (error <= 1e-12 * gross[:, None]).all()
    assert native.settling == reference.settling > 0


def test_given_moves_at_the_edges(market: Market, book: Book) -> None:
    moves = np.zeros((7, 9))
    moves[1, :5] = [-3.0, -2.0, -0.5, -1.5, -5.0]  # simple floored at 0, absolute below 0
    moves[2, :5] = [2.0, 1.5, 0.5, 3.0, 40.0]
    moves[3, 5:7] = [3.0, 2.0]
    moves[4, 5:7] = [-5.0, -4.0]
    moves[5, 7:] = [0.2, -0.2]
    moves[6] = 0.3
    native, reference = (e(market, book, Explicit.of(moves), 10 / 365) for e in (Native, Reference))
    gross = abs(book.quantity) @ np.abs(reference.value_0) + abs(book.quantity) @ _notional(market, book)
    error = np.abs(native.pnl(0, 7) - reference.pnl(0, 7)) * np.array([1, 1, 1, 60_000.0, 1.1, 1, 1])[:, None]
    assert (error <= 1e-12 * gross[:, None]).all()


def test_any_start_and_stop_give_the_same_bits(market: Market, book: Book) -> None:
    native = Native(market, book, Simulated(StudentT().law(market, 0.1, np.zeros(9)), 5_000), 0.01)
    whole = native.pnl(0, 5_000)
    for start, stop in ((0, 1), (1, 65), (1000, 3001), (4999, 5000)):
        assert np.array_equal(native.pnl(start, stop), whole[:, start:stop])


def test_a_move_beyond_all_prices_is_an_error(market: Market, book: Book) -> None:
    moves = np.zeros((1, 9))
    moves[0, 0] = 800.0
    with pytest.raises(McvarError, match=r"is (inf|nan|-inf) in scenario 0"):
        Native(market, book, Explicit.of(moves), 0.0).pnl(0, 1)


def test_normals_have_the_references_bits() -> None:
    library, pointer = kernels.host_library(), ctypes.c_void_p
    for seed, start, block, stream in ((1, 0, 0, 0), (2**64 - 1, 2**32 - 300_000, 7, 0), (5, 123, 0, 1)):
        count = 600_000
        even, odd = np.empty(count), np.empty(count)
        library.mcvar_normals(
            ctypes.c_uint64(seed), ctypes.c_int64(start), ctypes.c_int64(start + count), ctypes.c_int64(block),
            ctypes.c_uint32(stream << 24), pointer(even.ctypes.data), pointer(odd.ctypes.data),
        )  # fmt: skip
        want = normals(seed, start, start + count, 2 * block + 2, stream=Stream(stream))[2 * block :]
        assert np.array_equal(np.stack([even, odd]).view(np.int64), want.view(np.int64))


def test_no_compiler_a_broken_one_and_a_folder_without_rights(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    monkeypatch.setattr(kernels, "host_library", kernels.host_library.__wrapped__)
    monkeypatch.setenv("MCVAR_CACHE", str(tmp_path / "cache"))
    monkeypatch.setenv("CXX", "no-such-compiler")
    with pytest.raises(SettingError, match=r"needs a C\+\+ compiler.*engine=numpy"):
        kernels.host_library()
    broken = tmp_path / "broken"
    broken.write_text("#!/bin/sh\necho 'error: too old' >&2\nexit 1\n")
    broken.chmod(0o755)
    monkeypatch.setenv("CXX", str(broken))
    with pytest.raises(SettingError, match="too old"):
        kernels.host_library()
    assert list((tmp_path / "cache").iterdir()) == []
    (tmp_path / "file").write_text("")
    monkeypatch.delenv("CXX")
    monkeypatch.setenv("MCVAR_CACHE", str(tmp_path / "file" / "cache"))
    with pytest.raises(SettingError, match="MCVAR_CACHE"):
        kernels.host_library()


def test_processes_that_race_find_one_whole_library(tmp_path: Path) -> None:
    script = "from mcvar.engines.kernels import host_library; print(host_library().mcvar_block())"
    environment = {**os.environ, "MCVAR_CACHE": str(tmp_path)}
    running = [
        subprocess.Popen([sys.executable, "-c", script], env=environment, stdout=subprocess.PIPE, text=True)
        for _ in range(3)
    ]
    assert [process.communicate(timeout=120)[0].strip() for process in running] == ["64"] * 3
    assert [path.suffix for path in tmp_path.iterdir()] == [".so"]


def test_auto_decides_once_and_native_never_falls_back(monkeypatch: pytest.MonkeyPatch) -> None:
    assert choose("auto") == ("native", Native)
    assert choose("numpy") == ("numpy", Reference)

    def none() -> None:
        raise SettingError("no compiler")

    monkeypatch.setattr("mcvar.engines.host_library", none)
    assert choose("auto") == ("numpy", Reference)
    with pytest.raises(SettingError, match="no compiler"):
        choose("native")


def _notional(market: Market, book: Book) -> Floats:
    """What an instrument without a value today is judged against: the forward it is on, in the reporting currency."""
    level = market.factors.level[np.maximum(book.instruments.underlying, 0)]
    return (
        np.where(book.instruments.margined, np.where(book.instruments.inverse, 1.0, level), 0.0)
        * book.instruments.multiplier
    )
