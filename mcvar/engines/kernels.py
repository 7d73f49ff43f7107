"""The sources of the kernels: where they are, which they are, what a device compiles."""

from __future__ import annotations

import hashlib
from importlib.util import find_spec
from pathlib import Path

from mcvar.precision import Precision

UNITS = ("moves.cu", "value.cu", "contracts.cu", "add_up.cu", "tail.cu")


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


def device_source() -> str:
    """What a device compiles: all stages in one module."""
    return "".join(f'#include "{unit}"\n' for unit in UNITS)


def defines(precision: Precision) -> tuple[str, ...]:
    """Compiler options that choose the precision."""
    return ("-DREAL=float", "-DMCVAR_FLOAT") if precision is Precision.fp32 else ("-DREAL=double",)


def device_options(precision: Precision) -> tuple[str, ...]:
    """Options of the run-time compiler.

    The digest is among them because caches of compiled modules do not look into included files.
    """
    return (
        "-std=c++17", f"-I{source_folder()}", "-DMCVAR_DEVICE", f"-DMCVAR_DIGEST={sources_digest()[:16]}",
        *defines(precision),
    )  # fmt: skip
