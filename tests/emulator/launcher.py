"""The kernels of a GPU, thread by thread on the host: the launcher that tests give to the real driver."""

from __future__ import annotations

import ctypes
import subprocess
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from mcvar.engines.grid import STRIP, grid
from mcvar.engines.host import buffer_of
from mcvar.engines.kernels import UNITS, defines, source_folder
from mcvar.engines.launcher import PNL, STEP, TAIL, Buffer
from mcvar.precision import Precision

FLAGS = (
    "-x",
    "c++",
    "-std=c++17",
    "-O1",
    "-ffp-contract=off",
    "-fno-math-errno",
    "-fPIC",
    "-shared",
    "-fno-gnu-unique",
)
ORDERS = {"forward": 0, "reversed": 1, "shuffled": 2}


def build(folder: Path, precision: Precision, compiler: str = "g++", extra: tuple[str, ...] = ()) -> Path:
    """Compile all .cu files, the very text that a GPU gets, over the emulation."""
    source = folder / f"{precision.value}.cpp"
    lines = [f'#include "{unit}"' for unit in UNITS] + [f"EMULATED({stage})" for stage in (*STEP, *PNL, *TAIL)]
    source.write_text("\n".join(lines) + "\n")
    library = source.with_suffix(".so")
    header = Path(__file__).with_name("cuda_on_host.h")
    command = [
        compiler, *FLAGS, *extra, "-include", str(header), f"-I{source_folder()}", "-DMCVAR_DEVICE",
        *defines(precision), str(source), "-o", str(library),
    ]  # fmt: skip
    subprocess.run(command, check=True, capture_output=True, text=True)
    return library


class EmulatorLauncher:
    """See `mcvar.engines.launcher.Launcher`."""

    name = "emulator"
    step: tuple[str, ...] = STEP
    path: tuple[str, ...] = ()
    pnl: tuple[str, ...] = PNL
    grain = STRIP
    width = STRIP

    def __init__(self, library: Path, precision: Precision, order: str = "forward", chunk: int = 64) -> None:
        self.precision, self.chunk, self.order = precision, chunk, ORDERS[order]
        self.tile = 256 // precision.real.itemsize
        self.binary = library
        self._binary = ctypes.CDLL(str(library))
        self._binary.emulator_error.restype = ctypes.c_char_p
        self.launched: set[str] = set()

    def held(self, width: int) -> int:
        return width

    def upload(self, array: NDArray[Any]) -> Buffer:
        return buffer_of(np.frombuffer(array.tobytes(), dtype=np.uint8).copy())

    def empty(self, nbytes: int) -> Buffer:
        return buffer_of(np.full(max(nbytes, 1), 0xFF, dtype=np.uint8))  # NaN, so that what nobody wrote is seen

    def download(self, buffer: Buffer, shape: tuple[int, ...], dtype: Any) -> NDArray[Any]:
        size = int(np.prod(shape)) * np.dtype(dtype).itemsize
        return buffer.array[:size].view(dtype).reshape(shape).copy()

    def launch(self, stage: str, plan: NDArray[Any], work: NDArray[Any], start: int, stop: int) -> None:
        self.launched.add(stage)
        shape = grid(stage, plan, work, start, stop, self.precision)
        failed = getattr(self._binary, f"emulate_{stage}")(
            ctypes.c_void_p(plan.ctypes.data), ctypes.c_void_p(work.ctypes.data), ctypes.c_int64(start),
            ctypes.c_int64(stop), shape.x, shape.y, shape.threads, ctypes.c_int64(shape.shared), self.order,
            ctypes.c_uint64(len(self.launched)),
        )  # fmt: skip
        if failed:
            raise RuntimeError(self._binary.emulator_error().decode())

    def free_bytes(self) -> int:
        return 10**9
