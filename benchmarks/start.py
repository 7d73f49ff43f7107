"""How long an engine takes from nothing to compiled kernels: with an empty cache, and with a full one.

    python benchmarks/start.py [--engine native|cuda] [--json FILE]

Each start is a process of its own; its imports are counted. Prints one JSON object.
"""

from __future__ import annotations

import argparse
import json
import os
import subprocess
import sys
import tempfile
from pathlib import Path

from mcvar.provenance import provenance

START = """
import time
start = time.perf_counter()
from mcvar.engines import choose
from mcvar.precision import Precision
choose("{}", Precision.{})
print(time.perf_counter() - start)
"""


def starts(engine: str) -> dict[str, float]:
    """Seconds of a cold and a warm start in each precision."""
    found = {}
    for precision in ("fp64", "fp32"):
        with tempfile.TemporaryDirectory() as cache:
            environment = {**os.environ, "CUPY_CACHE_DIR": cache, "MCVAR_CACHE": cache}
            for start in ("cold", "warm"):
                command = [sys.executable, "-c", START.format(engine, precision)]
                done = subprocess.run(command, env=environment, check=True, capture_output=True, text=True)
                found[f"{start}_{precision}_seconds"] = round(float(done.stdout), 2)
    return found


def main() -> None:
    """Measure, print."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0] if __doc__ else "")
    parser.add_argument("--engine", choices=("native", "cuda"), default="native")
    parser.add_argument("--json", type=Path)
    arguments = parser.parse_args()
    text = json.dumps({**provenance(), "engine": arguments.engine, "start": starts(arguments.engine)}, indent=2)
    print(text)
    if arguments.json:
        arguments.json.write_text(text + "\n")


if __name__ == "__main__":
    main()
