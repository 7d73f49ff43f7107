"""What can go wrong, and how it is said.

::

    McvarError              every error a user can mend; the command line exits with code 2
    ├── InputError          files and tables: all bad rows of one table at once
    ├── SettingError        a setting that is wrong or does not go with another
    └── CapacityError       more memory, or a longer tail, than the run can have

Every message names the thing, its value, where it stands, and the remedy.
"""

from __future__ import annotations

from collections.abc import Sequence

SHOWN = 20  # bad rows written out in full; the rest are counted


class McvarError(Exception):
    """An error that the user can mend."""


class SettingError(McvarError):
    """A setting is wrong, or does not go with another."""


class CapacityError(McvarError):
    """The run needs more memory, or a longer tail, than it can have."""


class InputError(McvarError):
    """A table that cannot be used; lists every bad row.

    Parameters
    ----------
    source : str
        The file (or the name of the table in memory).
    problems : sequence of str
        One line for each bad row: where it stands, the value, the remedy.

    Examples
    --------
    >>> print(InputError("positions.csv", ["line 4: quantity nan is not finite"]))
    positions.csv: 1 problem
      line 4: quantity nan is not finite
    """

    def __init__(self, source: str, problems: Sequence[str]) -> None:
        self.source = source
        self.problems = tuple(problems)
        count = len(self.problems)
        lines = [f"{source}: {count} problem{'s' if count != 1 else ''}"]
        lines += [f"  {problem}" for problem in self.problems[:SHOWN]]
        if count > SHOWN:
            lines.append(f"  ... and {count - SHOWN} more")
        super().__init__("\n".join(lines))
