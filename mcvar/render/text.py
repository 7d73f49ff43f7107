"""Text of others on a terminal."""

from __future__ import annotations

from rich.text import Text

from mcvar.pages.page import printable


def name(said: str) -> Text:
    """A name that somebody gave: markup in it is no markup, and it makes room for numbers where there is little.

    Examples
    --------
    >>> name("[bold]A").plain, name("A").overflow
    ('[bold]A', 'ellipsis')
    """
    return Text(printable(said), overflow="ellipsis", no_wrap=True)
