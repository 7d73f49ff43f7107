"""XML read piece by piece: records are handed over as they end, and what surrounds them is forgotten.

Nothing outside the text is ever read. A document type declaration is refused before anything in it can act, and with it
every entity and external reference, since only there can they be declared. Depth, the text of an element, the elements
of a record and the length of a tag are bounded, so that a hostile file costs no more memory than an honest one.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, field
from pathlib import Path
from typing import IO
from xml.parsers import expat

from mcvar.errors import InputError

_CHUNK = 1 << 16  # bytes
_DEPTH, _TEXT, _PARTS, _TAG, _HEAD = 64, 10_000, 10_000, 1 << 20, 200
_FORM = "give PC-SPAN XML without one"


@dataclass(slots=True)
class Element:
    """An element with children: the text of those that are leaves, the others, and mcvar's own note in it."""

    tag: str
    line: int
    leaves: list[tuple[str, str]] = field(default_factory=list)
    parts: list[Element] = field(default_factory=list)
    note: str = ""

    def text(self, tag: str, default: str = "") -> str:
        """The text of the first leaf of that name."""
        for name, text in self.leaves:
            if name == tag:
                return text
        return default

    def texts(self, tag: str) -> list[str]:
        """The text of all leaves of that name."""
        return [text for name, text in self.leaves if name == tag]

    def all(self, tag: str) -> list[Element]:
        """The children of that name that are no leaves."""
        return [part for part in self.parts if part.tag == tag]


def stream(
    file: IO[bytes],
    path: str | Path,
    containers: frozenset[str],
    record: Callable[[Element, list[Element]], None],
    target: str,
) -> None:
    """Read a document.

    Parameters
    ----------
    file : binary file
    path : str or Path
        For messages.
    containers : frozenset of str
        Elements that hold records and containers; of these only leaves are kept, at most 200, and notes.
    record : function
        Called with each other element that has children and stands in a container, and with the containers around it.
    target : str
        Processing instructions with this target are notes: the last one in an element is its `note`.

    Raises
    ------
    InputError
        What is not well-formed, declares a document type, or exceeds a bound, with its line.
    """
    parser = expat.ParserCreate()
    parser.buffer_text = True
    stack: list[Element] = []  # the open elements that have children or are containers
    leaf: tuple[str, int] | None = None  # the open element below them, and its line
    around = parts = 0  # containers on the stack; elements of the record
    text: list[str] = []
    length = 0

    def stop(what: str) -> None:
        raise InputError(str(path), [f"line {parser.CurrentLineNumber}: {what}"])

    def doctype(name: str, system: str | None, public: str | None, internal: int) -> None:
        where = f" that points to '{(system or public or '')[:60]}'" if system or public else ""
        stop(f"a document type declaration (DOCTYPE {name[:60]}){where} is refused: {_FORM}")

    def entity(name: str, *_: object) -> None:
        stop(f"an entity declaration (ENTITY {name[:60]}) is refused: {_FORM}")

    def external(context: str | None, base: str | None, system: str | None, public: str | None) -> int:
        stop(f"an external reference to '{(system or public or '')[:60]}' is refused: {_FORM}")
        return 0

    def start(tag: str, attributes: dict[str, str]) -> None:
        nonlocal leaf, around, parts, length
        if leaf:
            stack.append(Element(*leaf))
            if len(stack) > _DEPTH:
                stop(f"elements stand more than {_DEPTH} deep in each other")
        if len(stack) > around:
            parts += 1
            if parts > _PARTS:
                stop(f"a {stack[around].tag} of more than {_PARTS} elements")
        leaf = (tag, parser.CurrentLineNumber)
        if tag in containers and len(stack) == around:
            stack.append(Element(*leaf))
            leaf, around = None, around + 1
            if around > _DEPTH:
                stop(f"elements stand more than {_DEPTH} deep in each other")
        text.clear()
        length = 0

    def characters(data: str) -> None:
        nonlocal length
        length += len(data)
        if length > _TEXT:
            stop(f"a text is longer than {_TEXT} characters")
        text.append(data)

    def end(tag: str) -> None:
        nonlocal leaf, around, parts
        if leaf:
            leaf = None
            leaves = stack[-1].leaves if stack else []
            if len(stack) > around or len(leaves) < _HEAD:
                leaves.append((tag, "".join(text).strip()))
        elif len(stack) == around:
            stack.pop()
            around -= 1
        else:
            element = stack.pop()
            if len(stack) > around:
                stack[-1].parts.append(element)
            else:
                parts = 0
                record(element, stack)
        text.clear()

    def instruction(name: str, data: str) -> None:
        nonlocal leaf
        if name != target:
            return
        if len(data) > _TEXT:
            stop(f"a note is longer than {_TEXT} characters")
        if leaf:
            stack.append(Element(*leaf))
            leaf = None
        if stack:
            stack[-1].note = data

    parser.StartDoctypeDeclHandler = doctype
    parser.EntityDeclHandler = entity
    parser.ExternalEntityRefHandler = external
    parser.StartElementHandler = start
    parser.EndElementHandler = end
    parser.CharacterDataHandler = characters
    parser.ProcessingInstructionHandler = instruction
    try:
        fed = 0
        while chunk := file.read(_CHUNK):
            parser.Parse(chunk, False)
            fed += len(chunk)
            if fed - parser.CurrentByteIndex > _TAG + _CHUNK:
                stop("a tag or comment is longer than 1 MiB")
        parser.Parse(b"", True)
    except (expat.ExpatError, ValueError, LookupError) as error:
        reason = next(iter(str(error).splitlines()), type(error).__name__)[:120]
        raise InputError(
            str(path), [f"line {parser.CurrentLineNumber}: not well-formed XML ({reason}): check that it is complete"]
        ) from error
