"""The folder of tables that docs/span_files.md shows, and what it says that it gives."""

from __future__ import annotations

import re
import shlex
from pathlib import Path
from textwrap import dedent

import pytest

from mcvar import cli

TEXT = (Path(__file__).parents[1] / "docs" / "span_files.md").read_text(encoding="utf-8")


def test_the_folder_for_arrays_of_ones_own(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    Path("house").mkdir()
    tables = re.findall(r"    cat > (\w+)\.csv <<END\n(.*?)    END\n", TEXT, re.DOTALL)
    assert {name for name, _ in tables} == {"commodities", "tiers", "spreads"}
    for name, rows in tables:
        Path("house", f"{name}.csv").write_text(dedent(rows))
    shown = re.search(r"&& (mcvar job=scan .*)\n\n.*\n\n    (.*)\n    (.*)\n", TEXT)
    assert shown is not None
    monkeypatch.setattr("sys.argv", [*shlex.split(shown[1]), "hydra.run.dir=out"])
    with pytest.raises(SystemExit) as ended:
        cli.main()
    assert ended.value.code == 0
    steps = [line.strip() for line in Path("out/breakdown.txt").read_text().splitlines()]
    assert shown[2] in steps
    assert shown[3] in steps
