"""Where the native engine runs: the kernels compiled by the system's C++ compiler for this processor."""

from __future__ import annotations

import ctypes
import hashlib
import logging
import os
import platform
import shlex
import shutil
import subprocess
import tempfile
from functools import cache
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from mcvar.engines.kernels import defines, source_folder, sources_digest
from mcvar.engines.launcher import TAIL, Buffer
from mcvar.engines.layout import PLAN, WORK
from mcvar.errors import CapacityError, SettingError
from mcvar.precision import Precision

_log = logging.getLogger(__name__)
FLAGS = (
    "-std=c++17", "-O3", "-march=native", "-mprefer-vector-width=512", "-ffp-contract=off", "-fno-math-errno",
    "-fno-trapping-math", "-shared", "-fPIC",
)  # fmt: skip
_BLOCKS = 16  # of scenarios that a thread does before it waits for the others
_THREADS, _ONE_THREAD = "-fopenmp", "-fopenmp-simd"


def buffer_of(array: NDArray[np.uint8]) -> Buffer:
    """Memory of this process."""
    return Buffer(array, int(array.ctypes.data), array.nbytes)


class HostLauncher:
    """See `Launcher`: stages run on threads of this process and are done when they return.

    Parameters
    ----------
    precision : Precision
    threads : int
        0: one a core.
    """

    name = "native"
    step: tuple[str, ...] = ()
    path: tuple[str, ...] = ("path",)
    pnl: tuple[str, ...] = ("pnl",)
    chunk = 0

    def __init__(self, precision: Precision = Precision.fp64, threads: int = 0) -> None:
        self.precision = precision
        self._library = host_library(precision)
        self._threads = min(threads or cores(), 4 * cores())
        self.tile = int(self._library.mcvar_tile())
        self.grain = self.tile
        self.width = _BLOCKS * self.tile * self._threads
        self._stages = {name: getattr(self._library, f"mcvar_{name}") for name in (*self.path, *self.pnl, *TAIL)}

    def held(self, width: int) -> int:
        """See `Launcher.held`: each thread has the values of the block that it is at."""
        return self.tile * self._threads

    def upload(self, array: NDArray[Any]) -> Buffer:
        """See `Launcher.upload`."""
        return buffer_of(np.frombuffer(array.tobytes(), dtype=np.uint8).copy())

    def empty(self, nbytes: int) -> Buffer:
        """See `Launcher.empty`."""
        try:
            return buffer_of(np.empty(max(nbytes, 1), dtype=np.uint8))
        except MemoryError as error:
            raise CapacityError(
                f"no {nbytes / 1e9:.2f} GB of memory for the kernels: lower executor.memory_gb or scenarios.count"
            ) from error

    def download(self, buffer: Buffer, shape: tuple[int, ...], dtype: Any) -> NDArray[Any]:
        """See `Launcher.download`."""
        size = int(np.prod(shape)) * np.dtype(dtype).itemsize
        return np.array(buffer.array[:size].view(dtype).reshape(shape))

    def launch(self, stage: str, plan: NDArray[Any], work: NDArray[Any], start: int, stop: int) -> None:
        """See `Launcher.launch`."""
        self._library.mcvar_threads(self._threads)
        self._stages[stage](
            ctypes.c_void_p(plan.ctypes.data), ctypes.c_void_p(work.ctypes.data),
            ctypes.c_int64(start), ctypes.c_int64(stop),
        )  # fmt: skip

    def free_bytes(self) -> int:
        """See `Launcher.free_bytes`."""
        return free_memory()


def cores() -> int:
    """Cores that this process may use."""
    return len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count() or 1


def free_memory() -> int:
    """Bytes available on this machine; 4 GB where the system does not say."""
    try:
        for line in Path("/proc/meminfo").read_text().splitlines():
            if line.startswith("MemAvailable:"):
                return int(line.split()[1]) * 1024
    except OSError:
        pass
    return 4 * 10**9


@cache
def host_library(precision: Precision = Precision.fp64) -> ctypes.CDLL:
    """The kernels compiled by the system's C++ compiler for this processor, from the cache if they are there.

    The cache folder is `MCVAR_CACHE`, else `mcvar` in `XDG_CACHE_HOME` or `~/.cache`. A library is
    compiled under a temporary name and then renamed, so that processes that race each find a whole
    one; none is ever overwritten, as a loaded library that changes crashes.

    Raises
    ------
    SettingError
        No compiler, one that fails, or a folder that cannot be written to.
    """
    compiler = _compiler()
    folder = _cache_folder()
    flags = (*FLAGS, *defines(precision))
    parts = (sources_digest(), _version(compiler), " ".join(flags), _processor_features())
    path = folder / f"host-{hashlib.sha256(chr(0).join(parts).encode()).hexdigest()[:24]}.so"
    if not os.path.exists(path):  # noqa: PTH110 - it says no, rather than raise, where the folder cannot be looked into
        _compile(compiler, flags, path)
    return _load(path)


def _compiler() -> list[str]:
    asked = os.environ.get("CXX", "")
    try:
        command = shlex.split(asked) or [shutil.which("g++") or shutil.which("clang++") or ""]
    except ValueError as error:
        raise SettingError(f"the environment variable CXX is {asked!r}: {error}. Name a C++ compiler") from error
    if not shutil.which(command[0]):
        found = f"{command[0]!r} of the environment variable CXX is not a program" if asked else "there is none"
        raise SettingError(
            f"engine=native needs a C++ compiler, and {found}: install g++ or clang++, or name one in the environment "
            "variable CXX, or take engine=numpy"
        )
    return command


def _version(compiler: list[str]) -> str:
    try:
        return subprocess.run(
            [*compiler, "--version"], capture_output=True, text=True, errors="replace", check=False
        ).stdout
    except OSError as error:
        raise SettingError(
            f"the C++ compiler {shlex.join(compiler)} does not run ({error.strerror}): name another in the environment "
            "variable CXX, or take engine=numpy"
        ) from error


def _cache_folder() -> Path:
    named = os.environ.get("MCVAR_CACHE")
    if named:
        return Path(named)
    try:
        return Path(os.environ.get("XDG_CACHE_HOME") or Path.home() / ".cache") / "mcvar"
    except RuntimeError as error:
        raise SettingError(
            "there is no home folder to keep compiled kernels in: name a folder in the environment variable MCVAR_CACHE"
        ) from error


def _load(path: Path) -> ctypes.CDLL:
    try:
        library = ctypes.CDLL(str(path))
        for size in (library.mcvar_plan_bytes, library.mcvar_work_bytes, library.mcvar_tile):
            size.restype = ctypes.c_int64
    except (OSError, AttributeError) as error:
        raise SettingError(
            f"the compiled kernels {path} cannot be loaded ({error}): name another folder in the environment variable "
            "MCVAR_CACHE, one that may hold programs, or another compiler in CXX"
        ) from error
    if (library.mcvar_plan_bytes(), library.mcvar_work_bytes()) != (PLAN.itemsize, WORK.itemsize):
        raise SettingError("the kernels have another plan than this version of mcvar: reinstall it")
    return library


def _compile(compiler: list[str], flags: tuple[str, ...], path: Path) -> None:
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
        for threads in (_THREADS, _ONE_THREAD):
            command = [*compiler, *flags, threads, str(source_folder() / "host.cpp"), "-o", name]
            done = subprocess.run(command, capture_output=True, text=True, errors="replace", check=False)
            if done.returncode == 0:
                break
        else:
            said = "\n".join(done.stderr.splitlines()[:5]) or f"no output, exit status {done.returncode}"
            raise SettingError(
                f"{shlex.join(compiler)} cannot compile the kernels (C++17 is needed):\n{said}\n"
                "name another compiler in the environment variable CXX, or take engine=numpy"
            )
        if threads is _ONE_THREAD:
            _log.warning("%s has no OpenMP: engine=native will run on one thread", compiler[0])
        _load(Path(name))  # what cannot be loaded must not get into the cache
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
