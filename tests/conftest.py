import csv
import os
import shutil
import sys
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from mcvar import book, market
from mcvar.book import Book
from mcvar.columns import Columns
from mcvar.correlation import given, positive
from mcvar.engines import HostLauncher, Launcher, choose, host
from mcvar.engines.cuda import CudaLauncher
from mcvar.errors import SettingError
from mcvar.market import Market
from mcvar.precision import Precision

sys.path.insert(0, str(Path(__file__).parent))
import books
import worth
from emulator import launcher as emulated

Row = Mapping[str, Any]
# test_sanitized.py runs tests again with this set.
SANITIZERS = (
    ("-O1", "-fsanitize=address,undefined", "-fno-sanitize-recover=all") if os.environ.get("MCVAR_SANITIZED") else ()
)
host.FLAGS = (*host.FLAGS, *SANITIZERS)
SHARED = Path(__file__).parents[2] / "shared"


def table(source: str, rows: Sequence[Row]) -> Columns:
    names = list(dict.fromkeys(name for row in rows for name in row))
    return Columns.from_mapping(source, {name: [row.get(name, "") for row in rows] for name in names})


# The factories are session fixtures: they keep no state, and hypothesis refuses fixtures made anew for each test.


@pytest.fixture(scope="session")
def make_market() -> Callable[..., Market]:
    """Factors are rows of the factor table; kind defaults to price and volatility to 0.20."""

    def make(
        factors: Sequence[Row], *, correlation: Any = None, currency: str = "USD", valuation: str = "2026-01-02"
    ) -> Market:
        rows = [{"kind": "price", "volatility": 0.20, **row} for row in factors]
        read, volatility = market.read_factors(table("factors", rows), currency=currency)
        matrix = np.eye(len(rows)) if correlation is None else correlation
        return market.build(
            factors=read,
            volatility=volatility,
            estimate=positive(given(matrix)),
            valuation=np.datetime64(valuation, "us"),
            currency=currency,
        )

    return make


@pytest.fixture(scope="session")
def make_book() -> Callable[..., Book]:
    """Instruments are rows; `years` stands for the expiry. Positions are (account, instrument, quantity)."""

    def make(
        market: Market,
        instruments: Sequence[Row],
        positions: Sequence[tuple[str, str, float]],
        accounts: Sequence[Row] | None = None,
    ) -> Book:
        rows = []
        for row in instruments:
            terms = dict(row)
            if years := terms.pop("years", None):
                micros = round(years * 365 * 86400e6)
                terms["expiry"] = str(market.valuation + np.timedelta64(micros, "us"))
            rows.append(terms)
        held = Columns.of(
            "positions",
            account=[p[0] for p in positions],
            instrument=[p[1] for p in positions],
            quantity=[p[2] for p in positions],
        )
        listed = None if accounts is None else table("accounts", accounts)
        return book.resolve(table("instruments", rows), held, market, listed)

    return make


@pytest.fixture(scope="session")
def shared() -> Path:
    """The folder of reference data beside the repository; without it the tests on it say that they did not run."""
    if not SHARED.is_dir():
        pytest.skip(f"no reference data: {SHARED} is not there")
    return SHARED


@pytest.fixture(scope="session")
def cases(shared: Path) -> Callable[[str], list[dict[str, str]]]:
    """Rows of one file of published reference values."""

    def read(name: str) -> list[dict[str, str]]:
        with (shared / "cases" / name).open(newline="", encoding="utf-8") as file:
            return list(csv.DictReader(file))

    return read


@pytest.fixture(scope="session")
def every_market(make_market: Callable[..., Market]) -> Market:
    return books.every_factor(make_market)


@pytest.fixture(scope="session")
def every_book(every_market: Market, make_book: Callable[..., Book]) -> Book:
    return books.every_kind(every_market, make_book)


@pytest.fixture
def run(monkeypatch: pytest.MonkeyPatch) -> Callable[..., int]:
    """`mcvar` with arguments; returns the exit code."""

    from mcvar.cli import main  # here: a GPU node without Hydra runs the tests of the core

    def call(*arguments: str) -> int:
        monkeypatch.setattr(sys, "argv", ["mcvar", *arguments])
        with pytest.raises(SystemExit) as stop:
            main()
        assert isinstance(stop.value.code, int)
        return stop.value.code

    return call


def _compiler() -> bool:
    return bool(shutil.which("g++") or shutil.which("clang++"))


@pytest.fixture(scope="session")
def launcher(tmp_path_factory: pytest.TempPathFactory) -> Callable[..., Launcher]:
    """Launchers by name: native, cuda, or the emulated GPU with an order of its threads."""
    built: dict[Precision, Path] = {}

    def make(where: str, precision: Precision = Precision.fp64, order: str = "forward", chunk: int = 64) -> Launcher:
        if where == "cuda":
            return CudaLauncher(precision)
        if not _compiler():
            pytest.skip("no C++ compiler: the kernels cannot be built for the host")
        if where == "native":
            return HostLauncher(precision)
        if precision not in built:
            built[precision] = emulated.build(tmp_path_factory.mktemp("emulated"), precision, extra=SANITIZERS)
        return emulated.EmulatorLauncher(built[precision], precision, order, chunk)

    return make


@pytest.fixture(params=["numpy", "native"])
def price(
    request: pytest.FixtureRequest, make_market: Callable[..., Market], launcher: Callable[..., Launcher]
) -> worth.Price:
    """Contracts on one price in simulated scenarios."""
    return worth.make_price(make_market, launcher, request.param)


def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    """Tests of a GPU say that they did not run where there is none."""
    marked = [item for item in items if item.get_closest_marker("gpu")]
    if marked:
        try:
            choose("cuda")
        except SettingError as error:
            for item in marked:
                item.add_marker(pytest.mark.skip(reason=str(error)))
