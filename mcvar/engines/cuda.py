"""Where the cuda engine runs: the kernels compiled for a GPU by CuPy. The only file that imports it."""

from __future__ import annotations

import logging
import time
from typing import Any

import numpy as np
from numpy.typing import NDArray

from mcvar.engines.grid import STRIP, grid
from mcvar.engines.kernels import device_options, device_source
from mcvar.engines.launcher import PNL, STEP, TAIL, Buffer
from mcvar.errors import CapacityError, SettingError
from mcvar.precision import Precision

_log = logging.getLogger(__name__)
_OLDEST = 75  # compute capability x 10
_INSTALL = "install mcvar[cuda13] or mcvar[cuda12], as the driver is"
_KEEP = 0.03  # of the memory, for the modules and the driver


class NoSuchDevice(SettingError):
    """A number that no GPU has: an error even where another engine would do."""


class CudaLauncher:
    """See `Launcher`: stages run in one stream of one GPU, in the order of their launch.

    Parameters
    ----------
    precision : Precision
    device : int
        Number of the GPU.

    Raises
    ------
    SettingError
        No CuPy, no GPU, a driver that is too old for it, or a GPU that is too old for the kernels.
    """

    name = "cuda"
    step: tuple[str, ...] = STEP
    path: tuple[str, ...] = ()
    pnl: tuple[str, ...] = PNL
    grain = STRIP
    width = 16_384

    def __init__(self, precision: Precision = Precision.fp64, device: int = 0) -> None:
        self.precision = precision
        self._cupy = _usable(device)
        self._device = self._cupy.cuda.Device(device)
        self.tile = 256 // precision.real.itemsize
        with self._device:
            start = time.perf_counter()
            options = device_options(precision)
            try:
                module = self._cupy.RawModule(code=device_source(), options=options, backend="nvrtc")
                self._stages = {name: module.get_function(f"mcvar_{name}") for name in (*STEP, *PNL, *TAIL)}
            except (RuntimeError, self._cupy.cuda.compiler.CompileException) as error:
                first = str(error).splitlines()[0] if str(error) else type(error).__name__
                raise SettingError(
                    f"engine=cuda cannot compile its kernels ({first}): {_INSTALL}, which brings the compiler, "
                    "or take engine=native"
                ) from error
            self.compile_seconds = time.perf_counter() - start
            properties = self._cupy.cuda.runtime.getDeviceProperties(device)
        self.device_name = properties["name"].decode()
        shared = int(properties["sharedMemPerBlockOptin"])
        self.chunk = shared // (2 * 256) // 32 * 32  # two buffers of 256 bytes an instrument
        for stage in ("add_up", "sort"):
            self._stages[stage].max_dynamic_shared_size_bytes = shared - self._stages[stage].shared_size_bytes
        _log.info("%s, kernels ready in %.2f s", self.device_name, self.compile_seconds)

    def held(self, width: int) -> int:
        """See `Launcher.held`."""
        return width

    def upload(self, array: NDArray[Any]) -> Buffer:
        """See `Launcher.upload`."""
        held = self.empty(array.nbytes)
        if array.nbytes:
            with self._device:
                held.array.set(np.frombuffer(array.tobytes(), dtype=np.uint8))
        return held

    def empty(self, nbytes: int) -> Buffer:
        """See `Launcher.empty`."""
        with self._device:
            try:
                array = self._cupy.empty(max(nbytes, 1), dtype=np.uint8)
                return Buffer(array, int(array.data.ptr), int(array.nbytes))
            except self._cupy.cuda.memory.OutOfMemoryError as error:
                raise CapacityError(
                    f"{self.device_name} has {self.free_bytes() / 1e9:.2f} GB free, not the {nbytes / 1e9:.2f} GB that "
                    "the run asks for now: something else took memory since it was planned. Lower executor.memory_gb"
                ) from error

    def download(self, buffer: Buffer, shape: tuple[int, ...], dtype: Any) -> NDArray[Any]:
        """See `Launcher.download`."""
        size = int(np.prod(shape)) * np.dtype(dtype).itemsize
        with self._device:
            return np.array(buffer.array[:size].get().view(dtype).reshape(shape))

    def launch(self, stage: str, plan: NDArray[Any], work: NDArray[Any], start: int, stop: int) -> None:
        """See `Launcher.launch`."""
        shape = grid(stage, plan, work, start, stop, self.precision)
        arguments = (plan, work, np.int64(start), np.int64(stop))  # CuPy passes arrays of one record by value
        with self._device:
            self._stages[stage]((shape.x, shape.y), (shape.threads,), arguments, shared_mem=shape.shared)

    def free_bytes(self) -> int:
        """See `Launcher.free_bytes`."""
        with self._device:
            free, total = self._cupy.cuda.runtime.memGetInfo()
            cached = self._cupy.get_default_memory_pool().free_bytes()
        return max(int(free + cached - _KEEP * total), 0)


def _usable(device: int) -> Any:
    try:
        import cupy
    except ImportError as error:
        raise SettingError(f"engine=cuda needs CuPy ({error}): {_INSTALL}, or take engine=native") from error
    try:
        count = cupy.cuda.runtime.getDeviceCount()
    except cupy.cuda.runtime.CUDARuntimeError as error:
        raise SettingError(
            f"engine=cuda finds no usable GPU ({error}): check `nvidia-smi`; where the driver is older than CUDA "
            f"{cupy.cuda.runtime.runtimeGetVersion() // 1000}, update it or {_INSTALL}; or take engine=native"
        ) from error
    if not 0 <= device < count:
        raise NoSuchDevice(f"engine.device is {device}, but there are {count} GPUs, numbered from 0")
    capability = int(cupy.cuda.Device(device).compute_capability)
    if capability < _OLDEST:
        raise SettingError(
            f"GPU {device} has compute capability {capability / 10:g}: the kernels need {_OLDEST / 10:g}. "
            "Take engine=native"
        )
    return cupy
