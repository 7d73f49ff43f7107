"""What made a result: versions, kernels, machine. Part of the core, so that a bare node has it."""

from __future__ import annotations

import datetime as dt
import platform
from importlib.metadata import PackageNotFoundError, version
from pathlib import Path
from typing import Any

from mcvar import __version__
from mcvar.engines.kernels import sources_digest


def provenance() -> dict[str, Any]:
    """Versions and machine of this run."""
    return {
        "mcvar": __version__,
        "created": dt.datetime.now(dt.UTC).isoformat(timespec="seconds"),
        "versions": {"python": platform.python_version(), **{name: _version(name) for name in ("numpy", "scipy")}},
        "kernels_sha256": sources_digest(),
        "machine": {"system": platform.platform(), "processor": _processor()},
    }


def _version(package: str) -> str:
    try:
        return version(package)
    except PackageNotFoundError:
        return "unknown"


def _processor() -> str:
    try:
        for line in Path("/proc/cpuinfo").read_text().splitlines():
            if line.startswith("model name"):
                return line.split(":", 1)[1].strip()
    except OSError:
        pass
    return platform.processor() or platform.machine()
