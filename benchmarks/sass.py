"""Instructions of the two hot loops as compiled for a GPU, and the ceilings that they set; needs no GPU.

    python benchmarks/sass.py [--arch sm_90] [--json FILE]

Compiles as production does (CuPy's NVRTC, with its options), disassembles, and counts what the processor issues
for one option in one scenario of stage `value`, and for one position in one scenario of stage `add_up` in chunks.
The ceilings are an H200's and count pipes only: no latency, no memory. Needs CuPy, and nvdisasm from the wheel
nvidia-cuda-nvdisasm or a CUDA toolkit. Prints one JSON object.

What is counted: of the basic blocks on a cycle the one with the most multiply-adds, and the shortest way from it
around to itself. For `value` that block is the formula of a live option, so the way goes round once for each option
and leaves out whatever an option can do without: the formula of options without time, twins, slow cases. A loop that
the compiler unrolled is divided by the options that it stores. For `add_up` the block belongs to a loop over
positions, of which one round does `positions`; what does not fill a round runs through other, slower code.
Predicated instructions count in full: they are issued whether or not they do anything.
"""

from __future__ import annotations

import argparse
import heapq
import json
import re
import shutil
import subprocess
import tempfile
import warnings
from collections import Counter
from collections.abc import Sequence
from dataclasses import asdict, dataclass
from importlib.metadata import PackageNotFoundError, files
from pathlib import Path
from typing import Any

from mcvar.engines.kernels import device_options, device_source, sources_digest
from mcvar.precision import Precision

PRECISIONS = (Precision.fp64, Precision.fp32)

# What cupy.RawModule(backend="nvrtc") adds to the options that it is given, besides -arch=sm_XX (CuPy 13.4 to 14.2,
# cupy/cuda/compiler.py: _compile_with_cache_cuda and what it calls). CuPy 13 also adds the folder of CUDA's headers
# if a wheel has them; the kernels include none.
CUPY_OPTIONS = ("-ftz=true", "--device-as-default-execution-space")

# An H200: lanes that a pipe serves in a clock on one multiprocessor (CUDA C++ Programming Guide, throughput of
# arithmetic instructions, compute capability 9.0), "issue" being four warps and "shared" 32 banks of 4 bytes.
DEVICE_ARCH, CLOCKS = "sm_90", 132 * 1.98e9
LANES_A_CLOCK = {"issue": 128, "fp64": 64, "special": 16, "integer": 64, "shared": 32}

# The integer pipe, which has all others, also moves, and compares and selects floats.
_PIPES = {
    kind: pipe
    for pipe, kinds in {
        "fp64": "DADD DMUL DFMA DSETP DMNMX",
        "fp32": "FADD FMUL FFMA FADD2 FMUL2 FFMA2 HADD2 HMUL2 HFMA2",
        "special": "MUFU F2F F2I I2F FRND",
        "memory": "LD LDC LDG LDGSTS LDL LDS LDSM ST STG STL STS ATOM ATOMG ATOMS RED REDG",
        "control": "BAR BRA BREAK BRX BSSY BSYNC CALL DEPBAR ENDCOLLECTIVE EXIT JMP LDGDEPBAR NOP RET WARPSYNC YIELD",
    }.items()
    for kind in kinds.split()
}
_ENDS = ("BRA", "BRX", "EXIT", "JMP", "RET")  # nothing follows, unless on a condition


@dataclass(frozen=True)
class Build:
    """A compiled module; `log` is what the compilers said, of ptxas also the resources."""

    cubin: bytes
    ptx: str
    log: str


@dataclass(frozen=True)
class Resources:
    """What ptxas gave to a kernel; bytes of stack, bytes of spilled registers stored and loaded."""

    registers: int
    stack: int
    spilled: int


def compile_module(precision: Precision, arch: str, source: str | None = None) -> Build:
    """Compile what production compiles, or another source with the same options.

    Through NVRTC itself, because CuPy's compiler asks the driver which GPU there is.

    Raises
    ------
    RuntimeError
        It does not compile.
    """
    nvrtc = _nvrtc()
    options = (*device_options(precision), *CUPY_OPTIONS, f"-arch={arch}", "--ptxas-options=-v")
    program = nvrtc.createProgram(device_source() if source is None else source, "mcvar.cu", (), ())
    try:
        nvrtc.compileProgram(program, options)
        ptx = nvrtc.getPTX(program)
        return Build(
            nvrtc.getCUBIN(program) + b"\0",  # CuPy cuts off the last byte, as if it ended a string
            ptx.decode() if isinstance(ptx, bytes) else ptx,
            nvrtc.getProgramLog(program).strip(" \0\n"),
        )
    except nvrtc.NVRTCError as error:
        raise RuntimeError(f"{arch} {precision.value}: {error}\n{nvrtc.getProgramLog(program)}") from error
    finally:
        nvrtc.destroyProgram(program)


def compiler_version() -> str:
    """The run-time compiler's."""
    return "NVRTC {}.{}".format(*_nvrtc().getVersion())


def _nvrtc() -> Any:
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")  # CuPy's remarks on where CUDA is
        from cupy.cuda import nvrtc
    return nvrtc


def resources(log: str) -> dict[str, Resources]:
    """Registers and spills of each kernel."""
    found = re.findall(
        r"entry function '(\w+)'.*?(\d+) bytes stack frame, (\d+) bytes spill stores, (\d+) bytes spill loads"
        r".*?Used (\d+) registers",
        log,
        re.DOTALL,
    )
    return {name: Resources(int(used), int(stack), int(out) + int(back)) for name, stack, out, back, used in found}


def bounds(ptx: str) -> dict[str, tuple[int, int]]:
    """Launch bounds of each kernel, threads a block and blocks, with all macros resolved; 0 if not stated."""
    kernels = re.findall(r"\.entry (\w+)\([^)]*\)([^{]*)\{", ptx)
    stated = {name: dict(re.findall(r"\.(maxntid|minnctapersm) (\d+)", text)) for name, text in kernels}
    return {name: (int(each.get("maxntid", 0)), int(each.get("minnctapersm", 0))) for name, each in stated.items()}


@dataclass(frozen=True)
class Instruction:
    """One instruction of the machine: its name with modifiers, and where it leads if it is a branch."""

    name: str
    conditional: bool
    label: str

    @property
    def kind(self) -> str:
        """The name without modifiers."""
        return self.name.split(".")[0]

    @property
    def pipe(self) -> str:
        """Which part of the processor runs it."""
        return _PIPES.get(self.kind, "uniform" if self.kind.startswith("U") else "integer")

    @property
    def size(self) -> int:
        """Bytes that a lane reads or writes."""
        bits = re.search(r"\.[US]?(8|16|64|128)(?:\.|$)", self.name)
        return int(bits[1]) // 8 if bits else 4

    @property
    def multiply_adds(self) -> int:
        """Of one lane."""
        return {"FFMA": 1, "DFMA": 1, "FFMA2": 2}.get(self.kind, 0)


Block = list[Instruction]


@dataclass(frozen=True)
class Kernel:
    """Basic blocks in the order of the code, and which may follow each."""

    blocks: list[Block]
    following: list[list[int]]

    def round_trip(self, start: int) -> Block | None:
        """The fewest instructions from the head of a block around to it again; None if it is on no cycle."""
        done: set[int] = set()
        queue: list[tuple[int, int, tuple[int, ...]]] = [(len(self.blocks[start]), start, (start,))]
        while queue:
            length, block, way = heapq.heappop(queue)
            if block in done:
                continue
            done.add(block)
            if start in self.following[block]:  # nothing is added by going there: the shortest of all
                return [each for number in way for each in self.blocks[number]]
            for after in self.following[block]:
                heapq.heappush(queue, (length + len(self.blocks[after]), after, (*way, after)))
        return None


def disassembler() -> str | None:
    """Where nvdisasm is: in its wheel, else on PATH."""
    try:
        for file in files("nvidia-cuda-nvdisasm") or ():
            if file.stem == "nvdisasm" and Path(str(file.locate())).is_file():
                return str(file.locate())
    except PackageNotFoundError:
        pass
    return shutil.which("nvdisasm")


def disassemble(cubin: bytes, tool: str) -> dict[str, Kernel]:
    """The kernels of a module."""
    with tempfile.TemporaryDirectory() as folder:
        file = Path(folder) / "mcvar.cubin"
        file.write_bytes(cubin)
        return read_listing(subprocess.run([tool, "-c", str(file)], check=True, capture_output=True, text=True).stdout)


def read_listing(listing: str) -> dict[str, Kernel]:
    """The kernels of what nvdisasm printed."""
    parts = re.split(r"^\.text\.(\w+):$", listing, flags=re.MULTILINE)
    return {name: _kernel(code) for name, code in zip(parts[1::2], parts[2::2], strict=True)}


# A label, or: /*0160*/ @!P0 BRA P1, `(.L_x_12) ;
_LINE = re.compile(
    r"^(\.L\w+):|/\*[0-9a-f]{4,}\*/ +(@\S+ +)?([A-Z][A-Z0-9_.]*)([^;`\n]*)(?:`\((\.L\w+)\))?", re.MULTILINE
)


def _kernel(code: str) -> Kernel:
    blocks: list[Block] = [[]]
    starts: dict[str, int] = {}
    for label, predicate, name, operands, target in _LINE.findall(code):
        if label or (blocks[-1] and blocks[-1][-1].kind in _ENDS):
            blocks.append([])
        if label:
            starts[label] = len(blocks) - 1
        else:
            branch = name.startswith("BRA")
            conditional = bool(predicate) or (branch and bool(operands.strip()))  # BRA P1, `(...) is conditional, too
            blocks[-1].append(Instruction(name, conditional, target if branch else ""))
    following = []
    for number, block in enumerate(blocks):
        last = block[-1] if block else None
        falls = last is None or last.kind not in _ENDS or last.conditional
        after = [number + 1] if falls and number + 1 < len(blocks) else []
        following.append([*after, starts[last.label]] if last is not None and last.label else after)
    return Kernel(blocks, following)


def hot_loop(kernel: Kernel, holds: str) -> Block:
    """One round of the loop around the most multiply-adds in a block that also holds an instruction of a kind.

    Raises
    ------
    ValueError
        There is no such loop.
    """
    able = [n for n, block in enumerate(kernel.blocks) if any(each.kind == holds for each in block)]
    weight = {n: sum(each.multiply_adds for each in kernel.blocks[n]) for n in able}
    for n in sorted(able, key=lambda n: -weight[n]):
        if weight[n] and (found := kernel.round_trip(n)):
            return found
    raise ValueError(f"no loop with multiply-adds and {holds}")


def per_option(kernel: Kernel, precision: Precision) -> dict[str, Any]:
    """What stage `value` issues for an option in a scenario.

    Raises
    ------
    ValueError
        The loop that was found does not look like that of options.
    """
    lanes = 16 // precision.real.itemsize  # scenarios of a thread
    found = hot_loop(kernel, "MUFU")
    options = sum(each.kind == "STG" and each.size == 16 for each in found)  # the values of each are one store
    special = sum(each.kind == "MUFU" for each in found)
    if not options or special % (options * lanes):
        raise ValueError(f"{special} special functions for {options} options: some other loop, or a part of theirs")
    return {"options": options, **_costs(found, options * lanes)}


def per_position(kernel: Kernel, precision: Precision) -> dict[str, Any]:
    """What stage `add_up`, in chunks, issues for a position in a scenario; `shared` is words, by the time they take.

    Raises
    ------
    ValueError
        No loop adds up what shared memory holds.
    """
    lanes = 8 // precision.real.itemsize  # scenarios whose sums a lane holds
    found = hot_loop(kernel, "LDS")
    cells = sum(each.multiply_adds for each in found)
    costs = _costs(found, cells)
    # Lanes are 8 bytes apart: where each reads 4 of them, two lanes meet on a bank, and it takes as long as reading 8.
    words = sum(max(each.size, 8) for each in found if each.kind == "LDS") / 4 / cells
    return {"positions": cells // lanes, **costs, "lanes": {**costs["lanes"], "shared": words}}


def _costs(found: Sequence[Instruction], cells: int) -> dict[str, Any]:
    pipes = {pipe: count / cells for pipe, count in Counter(each.pipe for each in found).most_common()}
    kinds = {kind: count / cells for kind, count in Counter(each.kind for each in found).most_common()}
    return {"lanes": {"issue": len(found) / cells, **pipes}, "kinds": kinds}


def ceilings(lanes: dict[str, float]) -> dict[str, float]:
    """How many an H200 does in a second, by what limits it."""
    return {pipe: CLOCKS * LANES_A_CLOCK[pipe] / used for pipe, used in lanes.items() if pipe in LANES_A_CLOCK and used}


def count(precision: Precision, arch: str, tool: str) -> dict[str, Any]:
    """Resources of all kernels, and the cost of the hot loops."""
    build = compile_module(precision, arch)
    kernels = disassemble(build.cubin, tool)
    loops = {
        "option": per_option(kernels["mcvar_value"], precision),
        "position": per_position(kernels["mcvar_add_up"], precision),
    }
    if arch == DEVICE_ARCH:
        for loop in loops.values():
            loop["ceiling_per_s"] = ceilings(loop["lanes"])
    sizes = {name: sum(map(len, kernel.blocks)) for name, kernel in kernels.items()}
    held = {name: {**asdict(each), "instructions": sizes[name]} for name, each in resources(build.log).items()}
    return {**loops, "kernels": held}


def main(arguments: Sequence[str] | None = None) -> None:
    """See the module's docstring."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--arch", default=DEVICE_ARCH, help="sm_75, sm_80, sm_90, ...; ceilings only for sm_90")
    parser.add_argument("--json", type=Path, metavar="FILE", help="also keep the result")
    options = parser.parse_args(arguments)
    tool = disassembler()
    if tool is None:
        parser.exit(1, "no nvdisasm: pip install nvidia-cuda-nvdisasm\n")
    version = subprocess.run([tool, "--version"], check=True, capture_output=True, text=True).stdout
    result = {
        "kernels_sha256": sources_digest(),
        "compiler": compiler_version(),
        "disassembler": version.strip().splitlines()[-1],
        "arch": options.arch,
        **{precision.value: count(precision, options.arch, tool) for precision in PRECISIONS},
    }
    text = json.dumps(result, indent=2)
    print(text)
    if options.json:
        options.json.write_text(text + "\n")


if __name__ == "__main__":
    main()
