"""Repetitions that are kept on disk, so that a calibration that breaks off goes on where it was."""

from __future__ import annotations

import json
import os
import zipfile
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np

from mcvar.errors import InputError, SettingError
from mcvar.jobs.repeat import ARRAYS, Case, Repeated, Repeater
from mcvar.shards import Progress

BATCH = 2**20  # scenarios of a file, about
MOST = 25  # repetitions of a file
SHOWN = 5  # differences that an error names
_COMMON, _OWN = "common", "own"


@dataclass(frozen=True)
class Pieces:
    """A folder of repetitions, some of one case in each file, and what decides their numbers.

    Parameters
    ----------
    folder : Path or None
        None: nothing is kept.
    common : mapping
        What decides all of them, as JSON can hold it.
    own : mapping of str to mapping
        What else decides those of a scheme.

    Examples
    --------
    >>> import tempfile
    >>> numbers = Repeated(*np.zeros((4, 3, 1, 2, 5)), seconds=np.ones((3, 1)))
    >>> with tempfile.TemporaryDirectory() as folder:
    ...     kept = Pieces(Path(folder) / "repetitions", {"model": "gaussian"}, {"plain": {}})
    ...     kept.write("plain", "plain-4096-0", numbers)
    ...     kept.read("plain-4096-0").number, kept.read("plain-4096-25")
    (3, None)
    """

    folder: Path | None
    common: Mapping[str, Any]
    own: Mapping[str, Mapping[str, Any]]

    def check(self) -> int:
        """Refuse a folder with repetitions of anything else; returns the number of files that there are.

        Raises
        ------
        SettingError
            What decides them differs; the message says in what.
        InputError
            A file that cannot be read.
        """
        if self.folder is None or not self.folder.is_dir():
            return 0
        paths = sorted(self.folder.glob("*.npz"))
        for path in paths:
            with _opened(path) as file:
                scheme, described = str(file["scheme"]), json.loads(str(file["described"]))
                for key in (*ARRAYS, "seconds"):
                    _ = file[key]  # damage anywhere is found before anything runs
            own = described[_OWN]
            now = json.loads(json.dumps({**self.common, scheme: self.own.get(scheme, own)}))
            differing = list(_differing({**described[_COMMON], scheme: own}, now, ""))
            if differing:
                more = len(differing) - SHOWN
                said = "; ".join(differing[:SHOWN]) + (f"; and {more} more" if more > 0 else "")
                raise SettingError(
                    f"{self.folder} has repetitions of another calibration ({path.name}): {said}. Restore what "
                    f"differs, give another folder by hydra.run.dir, or remove {self.folder}"
                )
        return len(paths)

    def read(self, name: str) -> Repeated | None:
        """What a file holds, if it is there."""
        if self.folder is None or not (path := self.folder / f"{name}.npz").is_file():
            return None
        with _opened(path) as file:
            return Repeated(*(file[key] for key in (*ARRAYS, "seconds")))

    def write(self, scheme: str, name: str, found: Repeated) -> None:
        """Write a file, or write it anew; it is there whole or not at all."""
        if self.folder is None:
            return
        self.folder.mkdir(parents=True, exist_ok=True)
        described = json.dumps({_COMMON: self.common, _OWN: self.own[scheme]}, sort_keys=True)
        arrays = {key: getattr(found, key) for key in (*ARRAYS, "seconds")}
        part = self.folder / f".{name}.{os.getpid()}"
        try:
            with part.open("wb") as file:
                np.savez(file, scheme=np.array(scheme), described=np.array(described), **arrays)
            part.replace(self.folder / f"{name}.npz")
        finally:
            part.unlink(missing_ok=True)


def repetitions(
    repeater: Repeater, case: Case, number: int, seed: int, kept: Pieces, progress: Progress | None = None
) -> Repeated:
    """Runs of a case with seeds `seed`, `seed` + 1, ... (mod 2**64): those that are kept, and the others.

    Parameters
    ----------
    kept : Pieces
        Gets what is run, some repetitions at once.
    progress : callable, optional
        Called with the number of scenarios done since the last call.
    """
    batch, parts = max(1, min(MOST, BATCH // case.count)), []
    for first in range(0, number, batch):
        wanted, name = min(batch, number - first), f"{case.scheme}-{case.count}-{first}"
        found = kept.read(name)
        there = 0 if found is None else found.number
        if there < wanted:
            seeds = [(seed + first + k) % 2**64 for k in range(there, wanted)]
            more = repeater.run(case, seeds, progress)
            found = more if found is None else Repeated.joined([found, more])
            kept.write(case.scheme, name, found)
        assert found is not None
        parts.append(found.head(wanted))
    return Repeated.joined(parts)


@contextmanager
def _opened(path: Path) -> Iterator[Mapping[str, Any]]:
    """The arrays of a file; what is wrong with them is an error that names it."""
    try:
        with path.open("rb") as raw, np.load(raw, allow_pickle=False) as file:
            yield file
    except (OSError, ValueError, KeyError, EOFError, zipfile.BadZipFile) as error:
        said = f"these repetitions cannot be read ({error}): remove the file, and they are made again"
        raise InputError(str(path), [said]) from error


def _differing(then: object, now: object, name: str) -> Iterator[str]:
    """What differs, by its name.

    Examples
    --------
    >>> list(_differing({"model": {"dof": 4, "steps": 1}}, {"model": {"dof": 5, "steps": 1}}, ""))
    ['model.dof was 4 and is 5']
    """
    if isinstance(then, Mapping) and isinstance(now, Mapping):
        for key in sorted({*then, *now}):
            yield from _differing(then.get(key), now.get(key), f"{name}.{key}" if name else key)
    elif then != now:
        yield f"{name} was {json.dumps(then)} and is {json.dumps(now)}"
