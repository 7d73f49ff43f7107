#!/usr/bin/env bash
# Everything that needs a GPU, from a source tree on a bare node: python3 with numpy, scipy, cupy and pytest, the CUDA tools.
#
#     benchmarks/gpu.sh [RESULT.json]
#
# Tests against the reference, memory and race checks of a small run, then the headline measurement and that of American options.
set -euo pipefail
cd "$(dirname "$0")/.."
export PYTHONPATH=$PWD PYTHONUNBUFFERED=1
result=${1:-benchmarks/results/gpu.json}

echo "== tests"
python3 -m pytest -o addopts="--import-mode=importlib -q" -p no:cacheprovider -m gpu tests/test_device.py

echo "== memory and races"
if command -v compute-sanitizer >/dev/null; then
    for tool in memcheck racecheck; do
        compute-sanitizer --tool "$tool" --error-exitcode 1 python3 benchmarks/small_run.py
    done
else
    echo "compute-sanitizer is not installed: not checked"
fi

echo "== headline"
python3 benchmarks/gpu.py --json "$result"

echo "== American options from tables"
python3 benchmarks/american.py --job --engine cuda --json "${result%.json}-american.json"
