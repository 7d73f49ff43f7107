"""Kernel headers built into a little library for the host, so that a formula can be called on arrays."""

from __future__ import annotations

import ctypes
import shutil
import subprocess
from pathlib import Path

import pytest

COMPILER = shutil.which("g++") or shutil.which("clang++")
needs_compiler = pytest.mark.skipif(
    COMPILER is None, reason="no C++ compiler: the kernels cannot be built for the host"
)
KERNELS = Path(__file__).parents[1] / "kernels"
FLAGS = ["-std=c++17", "-march=native", "-ffp-contract=off", "-fno-math-errno", "-fno-trapping-math"]
FLAGS += ["-fopenmp-simd", "-shared", "-fPIC", "-Wall", "-Wextra", "-Werror"]


def build(folder: Path, source: str, optimise: str = "-O2") -> ctypes.CDLL:
    """Compile and load a source that includes headers of the kernels."""
    (folder / "source.cpp").write_text(source)
    command = [str(COMPILER), *FLAGS, optimise, f"-I{KERNELS}", "source.cpp", "-o", "library.so"]
    done = subprocess.run(command, cwd=folder, capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stderr
    return ctypes.CDLL(str(folder / "library.so"))
