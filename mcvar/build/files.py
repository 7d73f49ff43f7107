"""Files that a run reads, remembered with their digests."""

from __future__ import annotations

from dataclasses import dataclass, field
from pathlib import Path

from mcvar.columns import Columns
from mcvar.errors import SettingError
from mcvar.io.tables import digest, read_table


@dataclass
class Files:
    """Reads tables and remembers what was read."""

    seen: dict[str, str] = field(default_factory=dict)

    def table(self, path: str, setting: str) -> Columns:
        """Read the table that a setting names."""
        return read_table(self.note(path, setting))

    def note(self, path: str, setting: str) -> str:
        """Remember a file; returns its path. A setting without a path is an error."""
        if not path:
            raise SettingError(f"{setting} is not set: give the file, {setting}=PATH")
        if Path(path).is_file():
            self.seen[path] = digest(path)
        return path
