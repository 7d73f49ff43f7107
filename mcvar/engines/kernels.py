"""The kernels: where their sources are, which they are, and the host build of them."""

from __future__ import annotations

import ctypes
import hashlib
import os
import platform
import shlex
import shutil
import subprocess
import tempfile
from functools import cache
from importlib.util import find_spec
from pathlib import Path

from mcvar.errors import SettingError

FLAGS = (
    "-std=c++17", "-O3", "-march=native", "-ffp-contract=off", "-fno-math-errno", "-fno-trapping-math",
    "-fopenmp-simd", "-shared", "-fPIC",
)  # fmt: skip


def source_folder() -> Path:
    """The folder of the kernel sources: the installed package `mcvar.kernels`, else `kernels/` of the source tree.

    A node that runs from a source tree by PYTHONPATH alone has no such package.

    Raises
    ------
    FileNotFoundError
        If neither is there.
    """
    spec = find_spec("mcvar.kernels")
    if spec is not None and spec.submodule_search_locations:
        return Path(next(iter(spec.submodule_search_locations)))
    tree = Path(__file__).parents[2] / "kernels"
    if not tree.is_dir():
        raise FileNotFoundError(f"no kernel sources: mcvar.kernels is not installed and {tree} does not exist")
    return tree


def sources_digest() -> str:
    """SHA-256 over the names and contents of all kernel sources."""
    digest = hashlib.sha256()
    for path in sorted(source_folder().iterdir()):
        if path.suffix in (".cuh", ".cu", ".cpp"):
            digest.update(path.name.encode() + b"\0" + path.read_bytes())
    return digest.hexdigest()


@cache
def host_library() -> ctypes.CDLL:
    """The kernels compiled by the system's C++ compiler for this processor, from the cache if they are there.

    The cache folder is `MCVAR_CACHE`, else `mcvar` in `XDG_CACHE_HOME` or `~/.cache`. A library is
    compiled under a temporary name and then renamed, so that processes that race each find a whole
    one; none is ever overwritten, as a loaded library that changes crashes.

    Raises
    ------
    SettingError
        No compiler, one that fails, or a folder that cannot be written to.
    """
    compiler = shlex.split(os.environ.get("CXX", "")) or [shutil.which("g++") or shutil.which("clang++") or ""]
    if not shutil.which(compiler[0]):
        raise SettingError(
            "engine=native needs a C++ compiler: install g++ or clang++, or name one in the environment variable CXX, "
            "or take engine=numpy"
        )
    default = Path(os.environ.get("XDG_CACHE_HOME") or Path.home() / ".cache") / "mcvar"
    folder = Path(os.environ.get("MCVAR_CACHE") or default)
    about = subprocess.run([*compiler, "--version"], capture_output=True, text=True, check=False).stdout
    parts = (sources_digest(), about, " ".join(FLAGS), _processor_features())
    path = folder / f"host-{hashlib.sha256(chr(0).join(parts).encode()).hexdigest()[:24]}.so"
    if not path.exists():
        _compile(compiler, path)
    return ctypes.CDLL(str(path))


def _compile(compiler: list[str], path: Path) -> None:
    try:
        path.parent.mkdir(parents=True, exist_ok=True)
        handle, name = tempfile.mkstemp(suffix=".so", dir=path.parent)
    except OSError as error:
        raise SettingError(
            f"the folder {path.parent} for compiled kernels cannot be written to ({error.strerror}): name another "
            "in the environment variable MCVAR_CACHE, or take engine=numpy"
        ) from error
    os.close(handle)
    try:
        command = [*compiler, *FLAGS, str(source_folder() / "host.cpp"), "-o", name]
        done = subprocess.run(command, capture_output=True, text=True, check=False)
        if done.returncode != 0:
            first = "\n".join(done.stderr.splitlines()[:5])
            raise SettingError(
                f"{compiler[0]} cannot compile the kernels (C++17 is needed):\n{first}\n"
                "name another compiler in the environment variable CXX, or take engine=numpy"
            )
        Path(name).replace(path)
    finally:
        Path(name).unlink(missing_ok=True)


def _processor_features() -> str:
    """What -march=native depends on, so that a cache shared between machines is safe."""
    try:
        lines = Path("/proc/cpuinfo").read_text().splitlines()
        return next(line for line in lines if line.startswith(("flags", "Features")))
    except (OSError, StopIteration):
        return platform.processor() + platform.machine()
