"""Where the kernel sources are, and which they are."""

from __future__ import annotations

import hashlib
from importlib.util import find_spec
from pathlib import Path


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
