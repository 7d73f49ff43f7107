"""As much of CuPy as the launcher uses, over the emulation: so that its lines run where there is no GPU.

It refuses what CuPy refuses: kernel arguments that are neither arrays of one record nor scalars, more
shared memory than the kernel was allowed, more memory than there is.
"""

from __future__ import annotations

import ctypes
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import numpy as np


class OutOfMemoryError(Exception):
    """As of cupy.cuda.memory."""


class CompileException(Exception):
    """As of cupy.cuda.compiler."""


class Array:
    """Bytes on the device."""

    def __init__(self, held: Any) -> None:
        self.held, self.nbytes = held, held.nbytes
        self.data = SimpleNamespace(ptr=held.ctypes.data)

    def __getitem__(self, part: slice) -> Array:
        return Array(self.held[part])

    def set(self, array: Any) -> None:
        """Copy from the host."""
        assert array.dtype == np.uint8
        self.held[:] = array

    def get(self) -> Any:
        """Copy to the host."""
        return self.held.copy()


class Kernel:
    """A compiled entry point."""

    shared_size_bytes = 0
    max_dynamic_shared_size_bytes = 48 * 1024

    def __init__(self, library: ctypes.CDLL, stage: str) -> None:
        self.binary, self.stage = library, stage

    def __call__(
        self, grid: tuple[int, ...], block: tuple[int, ...], args: tuple[Any, ...], *, shared_mem: int
    ) -> None:
        plan, work, start, stop = args
        for record in (plan, work):
            assert isinstance(record, np.ndarray)  # numpy.void is refused
            assert record.size == 1
        assert type(start) is type(stop) is np.int64
        assert shared_mem <= self.max_dynamic_shared_size_bytes
        assert max(grid[1:]) <= 65_535
        failed = getattr(self.binary, f"emulate_{self.stage}")(
            ctypes.c_void_p(plan.ctypes.data), ctypes.c_void_p(work.ctypes.data), ctypes.c_int64(start),
            ctypes.c_int64(stop), *grid, *block, ctypes.c_int64(shared_mem), 2, ctypes.c_uint64(1),
        )  # fmt: skip
        assert not failed, self.binary.emulator_error()


class FakeCupy:
    """The module `cupy` with one GPU of so many bytes."""

    def __init__(
        self, library: Path, memory: int = 10**9, shared: int = 232_448, broken: Exception | None = None
    ) -> None:
        self.broken = broken
        self._binary = ctypes.CDLL(str(library))
        self.free = memory
        runtime = SimpleNamespace(
            CUDARuntimeError=RuntimeError,
            getDeviceCount=lambda: 1,
            getDeviceProperties=lambda _: {"name": b"Emulated", "sharedMemPerBlockOptin": shared},
            memGetInfo=lambda: (self.free, memory),
        )
        self.cuda = SimpleNamespace(
            Device=_Device,
            runtime=runtime,
            memory=SimpleNamespace(OutOfMemoryError=OutOfMemoryError),
            compiler=SimpleNamespace(CompileException=CompileException),
        )
        self.compiled: list[dict[str, Any]] = []

    def RawModule(self, **arguments: Any) -> Any:
        """A compiled module."""
        if self.broken is not None:
            raise self.broken
        self.compiled.append(arguments)
        return SimpleNamespace(get_function=lambda name: Kernel(self._binary, name.removeprefix("mcvar_")))

    def empty(self, size: int, dtype: Any) -> Array:
        """Memory with NaN in it."""
        if size > self.free:
            raise OutOfMemoryError
        return Array(np.full(size, 0xFF, dtype=dtype))

    def get_default_memory_pool(self) -> Any:
        """A pool that keeps nothing."""
        return SimpleNamespace(free_bytes=lambda: 0)


class _Device:
    compute_capability = "90"

    def __init__(self, number: int = 0) -> None:
        assert number == 0

    def synchronize(self) -> None:
        """Wait for what was launched."""

    def __enter__(self) -> None: ...

    def __exit__(self, *_: object) -> None: ...
