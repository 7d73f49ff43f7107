"""The kernels as NVRTC compiles them for GPUs, without one: remarks, registers, spills, instructions of hot loops."""

from __future__ import annotations

import os
import re
import shutil
import sys
import warnings
from collections.abc import Callable, Iterator
from concurrent.futures import Future, ThreadPoolExecutor
from pathlib import Path
from typing import Any

import pytest

from mcvar.engines import kernels
from mcvar.engines.grid import grid
from mcvar.engines.kernels import UNITS, device_options, device_source
from mcvar.engines.launcher import CONTRACTS, PNL, STEP, TAIL
from mcvar.precision import Precision

sys.path.insert(0, str(Path(__file__).parents[1] / "benchmarks"))
import sass

STAGES = (*STEP, *PNL, *TAIL)
ARCHS = ("sm_75", "sm_80", "sm_90", "sm_100")
SIZES = {
    "law": {"drivers": 2},
    "factors": 1,
    "groups": 1,
    "rows": 1,
    "segments": 512,
    "chunk": 64,
    "windows": 1,
    "family_begin": [1] * (len(CONTRACTS) + 1),
}  # of a plan
# Bytes of a thread's own arrays, indexed as it runs: lanes taken in turn, quadrature nodes, exercise boundaries.
ARRAYS = {f"mcvar_{name}": 640 for name in ("digital", "barrier", "asian")} | {"mcvar_american": 4096}
Get = Callable[[Precision, str], sass.Build]

everywhere = pytest.mark.parametrize(
    ("precision", "arch"), [(precision, arch) for arch in ARCHS for precision in sass.PRECISIONS]
)


@pytest.fixture(scope="module")
def nvrtc() -> Any:
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")  # CuPy's remarks on where CUDA is
        module = pytest.importorskip("cupy.cuda", reason="no CuPy: nothing compiles for GPUs").nvrtc
        try:
            module.getVersion()
        except Exception as error:  # of several types, by CuPy's version
            pytest.skip(f"CuPy finds no NVRTC: pip install nvidia-cuda-nvrtc ({error})")
    return module


@pytest.fixture(scope="module")
def build(nvrtc: Any) -> Iterator[Get]:
    """Modules as production compiles them: each once, several at a time."""
    known = {f"sm_{arch}" for arch in nvrtc.getSupportedArchs()}
    made: dict[tuple[Precision, str], Future[sass.Build]] = {}
    with ThreadPoolExecutor(min(os.cpu_count() or 1, 8)) as pool:

        def get(precision: Precision, arch: str) -> sass.Build:
            if not made:
                todo = [(each, other) for other in ARCHS if other in known for each in sass.PRECISIONS]
                made.update({each: pool.submit(sass.compile_module, *each) for each in todo})
            if arch not in known:
                pytest.skip(f"{sass.compiler_version()} does not know {arch}")
            return made[precision, arch].result()

        yield get
        pool.shutdown(cancel_futures=True)


@everywhere
def test_compiles_without_a_remark(build: Get, precision: Precision, arch: str) -> None:
    log = build(precision, arch).log
    assert [line for line in log.splitlines() if line.strip() and not re.match(r"ptxas (info {4}:| +\.)", line)] == []


@everywhere
def test_no_kernel_spills_and_all_fit_their_launch_bounds(build: Get, precision: Precision, arch: str) -> None:
    made = build(precision, arch)
    bounds, resources = sass.bounds(made.ptx), sass.resources(made.log)
    assert set(resources) == set(bounds)
    for name, (threads, blocks) in bounds.items():
        assert threads > 0 and blocks > 0, f"{name} does not state both launch bounds"  # noqa: PT018
        allowed = min(255, 65_536 // (threads * blocks) // 8 * 8)  # registers are given out by eights
        held = resources[name]
        assert (held.registers <= allowed, held.spilled) == (True, 0), f"{name}: {held}, of {allowed}"
        assert held.stack <= ARRAYS.get(name, 0), f"{name}: {held}"


@pytest.mark.parametrize("precision", sass.PRECISIONS)
def test_every_stage_is_a_kernel_that_allows_the_threads_of_its_grid(build: Get, precision: Precision) -> None:
    bounds = sass.bounds(build(precision, "sm_90").ptx)
    assert set(bounds) == {f"mcvar_{stage}" for stage in STAGES}
    plan: Any = SIZES
    for stage in STAGES:
        assert grid(stage, plan, plan, 0, 1024, precision).threads <= bounds[f"mcvar_{stage}"][0]


@pytest.mark.parametrize("unit", UNITS)
def test_a_unit_compiles_alone(nvrtc: Any, unit: str) -> None:
    made = sass.compile_module(Precision.fp64, "sm_80", f'#include "{unit}"\n')
    assert sass.bounds(made.ptx)


def test_cupy_adds_the_options_that_are_tested(nvrtc: Any, monkeypatch: pytest.MonkeyPatch) -> None:
    from cupy.cuda import compiler

    class Asked(Exception):
        pass

    class Program:
        def __init__(self, *_: Any, **__: Any) -> None: ...

        def compile(self, options: tuple[str, ...], *_: Any) -> None:
            raise Asked(options)

    by_arch = compiler._get_arch_for_options_for_nvrtc.__wrapped__  # without its memory for each GPU: there is none
    monkeypatch.setattr(compiler, "_get_arch_for_options_for_nvrtc", by_arch)
    monkeypatch.setattr(compiler, "_preprocess", lambda *_: "")
    monkeypatch.setattr(compiler, "_NVRTCProgram", Program)
    monkeypatch.setenv("CUPY_CACHE_IN_MEMORY", "1")
    given = device_options(Precision.fp64)
    with pytest.raises(Asked) as asked:
        compiler._compile_module_with_cache(device_source(), given, arch="90", backend="nvrtc")
    added = [option for option in asked.value.args[0] if option not in given and not option.startswith("-I")]
    assert sorted(added) == sorted((*sass.CUPY_OPTIONS, "-arch=sm_90"))


def test_digest_is_of_the_headers_too(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    folder = shutil.copytree(kernels.source_folder(), tmp_path / "kernels")
    before = device_options(Precision.fp64)
    assert any(kernels.sources_digest().startswith(option.removeprefix("-DMCVAR_DIGEST=")) for option in before)
    monkeypatch.setattr(kernels, "source_folder", lambda: folder)
    same = kernels.sources_digest()
    with (folder / "black.cuh").open("a") as header:
        header.write("\n")
    changed = kernels.sources_digest()
    assert same != changed
    assert f"-DMCVAR_DIGEST={changed[:16]}" in device_options(Precision.fp64)


LISTING = """
.text.mcvar_value:
        /*0000*/              @P0 EXIT ;
.L_x_0:
        /*0010*/                   LDG.E.128 R24, desc[UR4][R24.64] ;
        /*0020*/              @P1 BRA `(.L_x_1) ;
        /*0030*/                   FMUL.FTZ R25, R60, R25 ;
        /*0040*/                   BRA `(.L_x_2) ;
.L_x_1:
        /*0050*/                   MUFU.EX2 R57, R25 ;
        /*0060*/                   FFMA.FTZ R25, R16, R49.reuse, -R25 ;
        /*0070*/                   BRA P1, `(.L_x_2) ;
        /*0080*/                   CALL.REL.NOINC `($slow) ;
.L_x_2:
        /*0090*/                   STG.E.128 desc[UR4][R48.64], R24 ;
        /*00a0*/              @!P0 BRA `(.L_x_4) ;
.L_x_3:
        /*00b0*/                   FFMA.FTZ R25, R16, R49.reuse, -R25 ;
        /*00c0*/                   STG.E.128 desc[UR4][R48.64], R24 ;
        /*00d0*/              @!P0 BRA `(.L_x_3) ;
.L_x_4:
        /*00e0*/                   ISETP.GE.AND P0, PT, R52, R25, PT ;
        /*00f0*/              @!P0 BRA `(.L_x_0) ;
        /*0100*/                   EXIT ;
"""


def test_the_loop_of_options_has_no_twins_and_no_slow_case() -> None:
    found = sass.hot_loop(sass.read_listing(LISTING)["mcvar_value"], "MUFU")
    assert " ".join(each.kind for each in found) == "MUFU FFMA BRA STG BRA ISETP BRA LDG BRA"
    assert [each.pipe for each in found[:2]] == ["special", "fp32"]
    assert found[3].size == 16


@pytest.fixture(scope="module")
def counts(build: Get) -> Callable[[Precision], dict[str, Any]]:
    tool = sass.disassembler()
    if tool is None:
        pytest.skip("no nvdisasm: pip install nvidia-cuda-nvdisasm")

    def get(precision: Precision) -> dict[str, Any]:
        loops = sass.disassemble(build(precision, "sm_90").cubin, tool)
        return {
            "option": sass.per_option(loops["mcvar_value"], precision)["lanes"],
            "position": sass.per_position(loops["mcvar_add_up"], precision)["lanes"],
        }

    return get


def test_instructions_of_the_hot_loops_fp32(counts: Callable[[Precision], dict[str, Any]]) -> None:
    found = counts(Precision.fp32)
    assert found["option"]["issue"] <= 40
    assert found["option"].get("fp64", 0) == 0
    assert found["position"]["shared"] == 1  # one read for the two scenarios of a lane


def test_instructions_of_the_hot_loops_fp64(counts: Callable[[Precision], dict[str, Any]]) -> None:
    found = counts(Precision.fp64)
    assert found["option"]["fp64"] <= 80
    assert found["position"]["shared"] == 2
