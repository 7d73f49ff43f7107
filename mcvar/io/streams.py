"""Files read piece by piece: plain or gzipped bytes, and one way in which reading them fails."""

from __future__ import annotations

import gzip
import zlib
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import IO, cast

from mcvar.errors import InputError


@contextmanager
def bytes_of(path: str | Path) -> Iterator[IO[bytes]]:
    """The bytes of a file, unpacked if they are gzipped.

    Raises
    ------
    InputError
        A file that is not there, cannot be read, or ends in the middle of its compression.
    """
    path = Path(path)
    try:
        if not path.is_file():
            what = "is a folder, not a file" if path.is_dir() else "does not exist, or is not a regular file"
            raise InputError(str(path), [f"the file {what}: check the path (relative paths start at {Path.cwd()})"])
        with path.open("rb") as raw:
            packed = raw.read(2) == b"\x1f\x8b"
            raw.seek(0)
            if packed:
                with gzip.open(raw) as unpacked:
                    yield cast(IO[bytes], unpacked)
            else:
                yield raw
    except (OSError, EOFError, zlib.error, ValueError) as error:
        reason = next(iter(str(error).splitlines()), type(error).__name__)[:120]
        raise InputError(str(path), [f"cannot be read ({reason}): check that the file is complete"]) from error
