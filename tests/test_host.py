"""The native engine's library: compiled once, or an error that says what to do; which engine is chosen."""

from __future__ import annotations

import builtins
import logging
import os
import shutil
import subprocess
import sys
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from mcvar.engines import Device, HostLauncher, choose, host
from mcvar.engines.cuda import CudaLauncher
from mcvar.errors import CapacityError, SettingError
from mcvar.models import Gaussian
from mcvar.precision import Precision
from mcvar.scenarios import Simulated
from mcvar.sweep import sweep

pytestmark = pytest.mark.skipif(
    not (shutil.which("g++") or shutil.which("clang++")), reason="no C++ compiler: the host build cannot be tested"
)


def program(path: Path, text: str) -> str:
    """A file that can be run as a compiler."""
    path.write_text(text)
    path.chmod(0o755)
    return str(path)


def test_no_compiler_a_broken_one_and_a_folder_without_rights(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    monkeypatch.setattr(host, "host_library", host.host_library.__wrapped__)
    monkeypatch.setenv("MCVAR_CACHE", str(tmp_path / "cache"))
    monkeypatch.setenv("CXX", "no-such-compiler")
    with pytest.raises(
        SettingError, match=r"needs a C\+\+ compiler, and 'no-such-compiler' of .* CXX is not a program.*engine=numpy"
    ):
        host.host_library()
    monkeypatch.setenv("CXX", program(tmp_path / "broken", "#!/bin/sh\necho 'error: too old' >&2\nexit 1\n"))
    with pytest.raises(SettingError, match="too old"):
        host.host_library()
    assert list((tmp_path / "cache").iterdir()) == []
    (tmp_path / "file").write_text("")
    monkeypatch.delenv("CXX")
    monkeypatch.setenv("MCVAR_CACHE", str(tmp_path / "file" / "cache"))
    with pytest.raises(SettingError, match="MCVAR_CACHE"):
        host.host_library()


def test_processes_that_race_find_one_whole_library(tmp_path: Path) -> None:
    script = "from mcvar.engines.host import host_library; print(host_library().mcvar_tile())"
    environment = {**os.environ, "MCVAR_CACHE": str(tmp_path)}
    running = [
        subprocess.Popen([sys.executable, "-c", script], env=environment, stdout=subprocess.PIPE, text=True)
        for _ in range(3)
    ]
    assert [process.communicate(timeout=120)[0].strip() for process in running] == ["32"] * 3
    assert [path.suffix for path in tmp_path.iterdir()] == [".so"]


def test_a_wrong_cxx_a_home_that_is_not_there_and_a_library_that_does_not_load(
    monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    monkeypatch.setattr(host, "host_library", host.host_library.__wrapped__)
    monkeypatch.setenv("MCVAR_CACHE", str(tmp_path / "cache"))
    monkeypatch.setenv("CXX", 'g++ "')
    with pytest.raises(SettingError, match=r"CXX is 'g\+\+ \"': No closing quotation"):
        host.host_library()
    monkeypatch.setenv("CXX", program(tmp_path / "text", "no program"))
    with pytest.raises(SettingError, match=r"does not run \(Exec format error\).*CXX"):
        host.host_library()
    monkeypatch.setenv(
        "CXX", program(tmp_path / "empty", '#!/bin/sh\nwhile [ "$1" != -o ]; do shift || exit 0; done; : >"$2"\n')
    )
    with pytest.raises(SettingError, match=r"cannot be loaded.*MCVAR_CACHE"):
        host.host_library()
    assert list((tmp_path / "cache").iterdir()) == []  # it did not get into the cache
    monkeypatch.setenv("CXX", program(tmp_path / "silent", "#!/bin/sh\nexit 7\n"))
    with pytest.raises(SettingError, match="no output, exit status 7"):
        host.host_library()

    monkeypatch.setenv("CXX", program(tmp_path / "latin", "#!/bin/sh\nprintf 'gcc \\351\\n' >&2\nexit 1\n"))
    with pytest.raises(SettingError, match=r"cannot compile the kernels"):
        host.host_library()
    monkeypatch.setenv("CXX", "g++")
    monkeypatch.setenv("MCVAR_CACHE", str(tmp_path / ("long" * 100)))
    with pytest.raises(SettingError, match=r"cannot be written to.*MCVAR_CACHE"):
        host.host_library()
    monkeypatch.setenv("MCVAR_CACHE", str(tmp_path / "cache"))

    def nowhere() -> Path:
        raise RuntimeError("Could not determine home directory.")

    monkeypatch.delenv("CXX")
    monkeypatch.setattr(Path, "home", nowhere)
    monkeypatch.delenv("XDG_CACHE_HOME", raising=False)
    assert host.host_library().mcvar_tile() > 0  # the named folder will do
    monkeypatch.delenv("MCVAR_CACHE")
    with pytest.raises(SettingError, match=r"no home folder.*MCVAR_CACHE"):
        host.host_library()


def test_a_compiler_without_openmp_gives_one_thread(
    monkeypatch: pytest.MonkeyPatch, tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    compiler = tmp_path / "no-openmp"
    compiler.write_text('#!/bin/sh\ncase "$*" in *"-fopenmp "*) echo no libgomp >&2; exit 1;; esac\nexec g++ "$@"\n')
    compiler.chmod(0o755)
    monkeypatch.setattr(host, "host_library", host.host_library.__wrapped__)
    monkeypatch.setenv("MCVAR_CACHE", str(tmp_path / "cache"))
    monkeypatch.setenv("CXX", str(compiler))
    with caplog.at_level(logging.WARNING):
        assert host.host_library().mcvar_tile() > 0
    assert "one thread" in caplog.text
    caplog.clear()
    monkeypatch.setenv("CXX", "/bin/false")
    with pytest.raises(SettingError, match="cannot compile"):
        host.host_library()
    assert "one thread" not in caplog.text


def test_native_never_falls_back_and_auto_decides_once(monkeypatch: pytest.MonkeyPatch) -> None:
    assert choose("numpy").launcher is None
    assert isinstance(choose("native").launcher, HostLauncher)
    mixed = choose("native", Precision.mixed)
    assert mixed.launcher is not None
    assert mixed.exact is not None
    assert (mixed.launcher.precision, mixed.exact.precision) == (Precision.fp32, Precision.fp64)

    def none(*_: Any) -> None:
        raise SettingError("not here")

    monkeypatch.setattr(CudaLauncher, "__init__", none)
    assert choose("auto").name == "native"
    monkeypatch.setattr(HostLauncher, "__init__", none)
    assert choose("auto").name == "numpy"
    for name in ("native", "cuda"):
        with pytest.raises(SettingError, match="not here"):
            choose(name)


def test_numpy_has_one_precision() -> None:
    with pytest.raises(SettingError, match=r"engine=numpy is fp64 only.*take native or cuda"):
        choose("numpy", Precision.fp32)


def test_cuda_without_cupy_says_what_to_install(monkeypatch: pytest.MonkeyPatch) -> None:
    found = builtins.__import__

    def without(name: str, *rest: Any, **more: Any) -> Any:
        if name == "cupy":
            raise ImportError("No module named 'cupy'")
        return found(name, *rest, **more)

    monkeypatch.setattr(builtins, "__import__", without)
    with pytest.raises(SettingError, match=r"engine=cuda needs CuPy.*mcvar\[cuda13\].*engine=native"):
        choose("cuda")


class _Runtime:
    """As much of CuPy as is asked before anything runs."""

    class CUDARuntimeError(Exception):
        pass

    class _Device:
        def __init__(self, number: int) -> None:
            self.compute_capability = "70"

    def __init__(self, count: int | None) -> None:
        self.cuda = self.runtime = self
        self.count, self.Device = count, self._Device

    def getDeviceCount(self) -> int:
        if self.count is None:
            raise self.CUDARuntimeError("driver version is insufficient for CUDA runtime version")
        return self.count

    def runtimeGetVersion(self) -> int:
        return 13000


def test_a_driver_a_number_or_a_gpu_that_will_not_do(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(sys.modules, "cupy", _Runtime(None))
    with pytest.raises(SettingError, match=r"no usable GPU \(driver version is insufficient.*older than CUDA 13"):
        choose("cuda")
    monkeypatch.setitem(sys.modules, "cupy", _Runtime(1))
    with pytest.raises(SettingError, match=r"engine.device is 3, but there are 1 GPUs"):
        choose("cuda", device=3)
    with pytest.raises(SettingError, match=r"compute capability 7: the kernels need 7.5"):
        choose("cuda", device=0)


def test_memory_that_is_not_there_is_an_error_with_a_remedy() -> None:
    with pytest.raises(CapacityError, match=r"1000000.00 GB.*lower executor.memory_gb"):
        HostLauncher().empty(10**15)


@pytest.mark.parametrize("threads", [1, 3])
def test_any_number_of_threads_gives_the_same_bits(threads: int, every_market: Any, every_book: Any) -> None:
    scenarios = Simulated(Gaussian().law(every_market, 0.1, np.zeros(9)), 3_000)
    one, more = (
        Device(every_market, every_book, scenarios, 0.01, launcher=HostLauncher(threads=n)) for n in (1, threads)
    )
    assert np.array_equal(one.pnl(0, 3_000), more.pnl(0, 3_000))
    a, b = (sweep(engine, 3_000, [(1, 40)]) for engine in (one, more))
    assert np.array_equal(a[0].head(40).loss, b[0].head(40).loss)
    assert np.array_equal(a[1].m4, b[1].m4)
