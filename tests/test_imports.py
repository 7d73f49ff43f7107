"""Who may import whom: the direction of the rooms, and what a bare GPU node must not need."""

from __future__ import annotations

import ast
import subprocess
import sys
import tomllib
from pathlib import Path

import pytest

import mcvar

ROOT = Path(next(iter(mcvar.__path__)))
FILES = sorted(ROOT.rglob("*.py"))

# Each room may import the rooms before it, and itself.
ORDER = [
    {"errors"}, {"columns", "philox", "shocks", "watched"}, {"pricing", "sampling"}, {"history", "correlation"},
    {"estimators"},
    {"market"}, {"currencies", "pillars", "instruments"}, {"draft"}, {"families", "dividends", "quotes"},
    {"term_checks"}, {"terms"}, {"book"}, {"models"},
    {"scenarios", "precision"}, {"engines", "moments", "backtest"}, {"tail"}, {"intervals"},
    {"measures", "provenance"}, {"until"}, {"shards", "sweep", "reduction"}, {"memory", "rescreen", "scan"}, {"jobs"},
    {"settings", "fit"}, {"config"}, {"schemes", "limits"}, {"io", "regime"}, {"building"}, {"build"},
    {"report", "export"}, {"api"}, {"finished", "scanners"}, {"reports"}, {"pages"}, {"render"}, {"plots"}, {"cli"},
]  # fmt: skip
RANK = {room: rank for rank, rooms in enumerate(ORDER) for room in rooms}
# Half of the core makes P&L, the other half reads it; they meet in shards.
P_AND_L = {
    "sampling",
    "pricing",
    "market",
    "shocks",
    "watched",
    "currencies",
    "pillars",
    "instruments",
    "draft",
    "families",
    "dividends",
    "quotes",
    "term_checks",
    "terms",
    "book",
    "models",
    "scenarios",
    "precision",
    "engines",
}
READERS = {"tail", "moments", "intervals", "measures", "until", "backtest"}
MEETING = {"shards", "sweep", "reduction", "rescreen", "scan", "memory", "jobs"}
CORE = (
    P_AND_L | READERS | MEETING | {"errors", "philox", "columns", "history", "correlation", "estimators", "provenance"}
)
OUTSIDE = {"numpy", "scipy"} | set(sys.stdlib_module_names)


def room(path: Path) -> str:
    return path.relative_to(ROOT).with_suffix("").parts[0]


def imported(path: Path) -> set[str]:
    names: set[str] = set()
    for node in ast.walk(ast.parse(path.read_text())):
        if isinstance(node, ast.Import):
            names |= {alias.name for alias in node.names}
        elif isinstance(node, ast.ImportFrom) and node.module:
            names |= {f"{node.module}.{alias.name}" for alias in node.names}
    return names


def rooms_of(path: Path) -> set[str]:
    parts = {tuple(name.split(".")) for name in imported(path) if name.startswith("mcvar.")}
    return {name[1] for name in parts if len(name) > 1 and name[1] in RANK} - {room(path)}


@pytest.mark.parametrize("path", [f for f in FILES if room(f) != "__init__"], ids=lambda p: str(p.relative_to(ROOT)))
def test_imports_go_one_way(path: Path) -> None:
    above = {other for other in rooms_of(path) if RANK[other] >= RANK[room(path)]}
    assert not above, f"{path.name} imports {above}"


@pytest.mark.parametrize("path", [f for f in FILES if room(f) in CORE], ids=lambda p: str(p.relative_to(ROOT)))
def test_the_core_needs_numpy_and_scipy_only(path: Path) -> None:
    optional = {
        "shards": {"threadpoolctl"},
        "estimators": {"sklearn"},
        "engines": {"cupy"} if path.name == "cuda.py" else set(),
    }
    allowed = OUTSIDE | {"mcvar"} | optional.get(room(path), set())
    assert {name.split(".")[0] for name in imported(path)} <= allowed


def test_cupy_is_imported_only_when_a_gpu_is_asked_for() -> None:
    script = "import sys, mcvar.api, mcvar.engines.cuda; assert 'cupy' not in sys.modules"
    subprocess.run([sys.executable, "-c", script], check=True, timeout=60)


def test_every_room_is_installed() -> None:
    listed = tomllib.loads((Path(__file__).parents[1] / "pyproject.toml").read_text())["tool"]["setuptools"]["packages"]
    rooms = {".".join(("mcvar", *path.parent.relative_to(ROOT).parts)) for path in FILES}
    assert rooms | {"mcvar.configs", "mcvar.kernels"} == set(listed)


def test_the_halves_do_not_hear_of_each_other() -> None:
    for path in FILES:
        if room(path) in P_AND_L:
            assert not rooms_of(path) & READERS, path
        if room(path) in READERS:
            assert not rooms_of(path) & P_AND_L, path


def test_only_the_command_line_knows_hydra() -> None:
    for path in FILES:
        if {name.split(".")[0] for name in imported(path)} & {"hydra", "omegaconf"}:
            assert room(path) == "cli"


def test_a_bare_node_can_run_engines() -> None:
    """Without Hydra, rich, arch, pyarrow, matplotlib and threadpoolctl the core imports and simulates."""
    script = """
import sys
for name in ("hydra", "omegaconf", "rich", "arch", "pandas", "pyarrow", "matplotlib", "threadpoolctl", "cupy",
             "sklearn"):
    sys.modules[name] = None
import numpy as np
from mcvar import book, correlation, market
from mcvar.columns import Columns
from mcvar.engines import Reference
from mcvar.jobs import var
from mcvar.memory import plan
from mcvar.models import Gaussian
from mcvar.scenarios import Simulated
factors, volatility = market.read_factors(
    Columns.of("f", factor=["A"], kind=["price"], level=[100.0], volatility=[0.2]))
m = market.build(factors=factors, volatility=volatility, estimate=correlation.constant(1, 0.0),
                 valuation=np.datetime64("2026-01-02", "us"), currency="USD")
b = book.resolve(Columns.of("i", instrument=["S"], kind=["spot"], underlying=["A"]),
                 Columns.of("p", account=["X"], instrument=["S"], quantity=[1.0]), m)
s = Simulated(Gaussian().law(m, 1 / 365, np.zeros(1)), 5000)
p = plan(rows=2, instruments=1, count=5000, levels=[0.99], confidence=0.95)
r = var.run(m, b, s, decay=1 / 365, levels=[0.99], confidence=0.95, plan=p)
assert r.estimates[0].value[0] > 0
from mcvar.sweep import sweep
from mcvar.rescreen import Rescreened
from mcvar.provenance import provenance
provenance()
"""
    done = subprocess.run([sys.executable, "-c", script], capture_output=True, text=True, check=False, timeout=120)
    assert done.returncode == 0, done.stderr
