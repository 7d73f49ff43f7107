"""The stages, native and emulated, under AddressSanitizer and UBSan: no access out of bounds, nothing undefined."""

from __future__ import annotations

import os
import shutil
import subprocess
import sys
from pathlib import Path

import pytest

TESTS = Path(__file__).parent


@pytest.mark.skipif(not shutil.which("g++"), reason="no g++: its sanitizers are used")
def test_sanitizers_find_nothing(tmp_path: Path) -> None:
    runtime = subprocess.run(["g++", "-print-file-name=libasan.so"], capture_output=True, text=True, check=True).stdout
    if not Path(runtime.strip()).is_absolute():
        pytest.skip("g++ came without its AddressSanitizer library")
    environment = {
        **os.environ,
        "LD_PRELOAD": runtime.strip(),
        "ASAN_OPTIONS": "detect_leaks=0",  # Python keeps much until it ends
        "MCVAR_SANITIZED": "1",
        "MCVAR_CACHE": str(tmp_path),
        "CXX": "g++",
    }
    chosen = "(native or forward or chunks) and not cuda and not shuffled"
    command = [sys.executable, "-m", "pytest", str(TESTS / "test_device.py"), "-k", chosen, "-p", "no:cacheprovider"]
    done = subprocess.run(command, env=environment, capture_output=True, text=True, check=False, cwd=TESTS.parent)
    assert done.returncode == 0, done.stdout[-5000:] + done.stderr[-5000:]
    assert " passed" in done.stdout or "100%" in done.stdout
    assert len(list(tmp_path.glob("host-*.so"))) == 2  # the library under test was built for this run
