"""The parts of american.py at small sizes: each checks itself before it times anything."""

from __future__ import annotations

import json
import shutil
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest

SCRIPT = str(Path(__file__).with_name("american.py"))
pytestmark = pytest.mark.skipif(
    not (shutil.which("g++") or shutil.which("clang++")), reason="no C++ compiler: the kernels cannot be built"
)


def outcome(*arguments: str) -> dict[str, Any]:
    done = subprocess.run([sys.executable, SCRIPT, *arguments], check=True, capture_output=True, text=True)
    found: dict[str, Any] = json.loads(done.stdout)
    return found


def test_exact_solutions_and_tables() -> None:
    pytest.importorskip("QuantLib", reason="QuantLib is not installed")
    found = outcome("--contracts", "16", "--options", "60", "--scenarios", "2048", "--repeat", "1")
    solvers = found["exact_on_one_core"]["solvers"]
    for name, bound in (("kernel", 1e-12), ("numpy", 1e-12)):
        for scheme in ("accurate", "fast"):
            mine, theirs = (solvers[each + scheme] for each in (f"mcvar {name} ", "quantlib QdFp "))
            assert bound < mine["largest_error_of_strike"] < theirs["largest_error_of_strike"]
    assert 0 < found["revaluation"]["largest_error_of_strike"] < 1e-6
    assert 0 < found["revaluation"]["by_table"] <= 60
    assert all(each["revaluations_per_second"] > 0 for each in found["revaluation"]["by_engine"].values())


def test_the_whole_job() -> None:
    job = outcome("--job", "--options", "40", "--scenarios", "2048", "--accounts", "10")["job"]
    assert job["by_table"] > 0
    assert 0 < job["largest_error_of_strike"] < 1e-6
    assert job["peak_memory_gb"] < 2
    assert job["options"] == 40
