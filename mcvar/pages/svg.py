"""Pictures as SVG text: scales, axes and marks, coloured by the style of the page that they stand in."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from html import escape
from math import ceil, floor, inf, log10
from unicodedata import east_asian_width

from mcvar.pages.page import printable

SHAPES = 4


@dataclass(frozen=True)
class Scale:
    """Numbers [low, high] on pixels [start, stop]; high is more than low, and positive both where `log`.

    Examples
    --------
    >>> Scale(1.0, 100.0, 0.0, 200.0, log=True)(10.0)
    100.0
    """

    low: float
    high: float
    start: float
    stop: float
    log: bool = False

    def __call__(self, value: float) -> float:
        """The pixel of a number, inside the scale."""
        value = min(max(value, self.low), self.high)
        if self.log:
            part = log10(value / self.low) / log10(self.high / self.low)
        else:
            part = (value - self.low) / (self.high - self.low)
        return round(self.start + part * (self.stop - self.start), 2)

    def ticks(self, most: int = 6) -> list[float]:
        """Round numbers on the scale.

        Examples
        --------
        >>> Scale(0.0, 7.0, 0, 1).ticks(), Scale(2.0, 3000.0, 0, 1, log=True).ticks()
        ([0.0, 2.0, 4.0, 6.0], [10.0, 100.0, 1000.0])
        """
        if self.log:
            decades = range(ceil(log10(self.low) - 1e-9), floor(log10(self.high) + 1e-9) + 1)
            found = [10.0**power for power in decades]
            if len(found) > most:
                return found[:: -(-len(found) // most)]
            if len(found) < 2:
                powers = range(floor(log10(self.low)), ceil(log10(self.high)) + 1)
                found = [m * 10.0**power for power in powers for m in (1, 2, 5)]
                return [each for each in found if self.low <= each <= self.high]
            return found
        rough = (self.high - self.low) / most
        power = 10.0 ** floor(log10(rough))
        step = next(m * power for m in (1, 2, 5, 10) if m * power >= rough)
        return [k * step for k in range(ceil(self.low / step - 1e-9), floor(self.high / step + 1e-9) + 1)]


def svg(width: int, height: int, label: str, parts: Sequence[str]) -> str:
    """A picture; `label` says what it shows to those who do not see it."""
    return (
        f'<svg viewBox="0 0 {width} {height}" role="img" aria-label="{escape(printable(label))}" '
        f'style="max-width:{width}px">' + "\n".join(parts) + "</svg>"
    )


def text(
    x: float, y: float, said: str, *, anchor: str = "start", soft: bool = False, turn: bool = False, room: float = inf
) -> str:
    """Text at a point, in so many pixels; `turn`: reading upwards."""
    said = printable(said)
    shown = cut(said, room)
    whole = f"<title>{escape(said)}</title>" if shown != said else ""
    how = ' class="soft"' if soft else ""
    how += f' transform="rotate(-90 {x:g} {y:g})"' if turn else ""
    return f'<text x="{x:g}" y="{y:g}" text-anchor="{anchor}"{how}>{whole}{escape(shown)}</text>'


def breadth(said: str) -> float:
    """Pixels that text takes at most, about: what a letter takes differs by font.

    Examples
    --------
    >>> breadth("Mill"), breadth("\u4e2d\u6587")
    (38.0, 28.0)
    """
    wide = sum(each in "mwMW@%…" or east_asian_width(each) in "WF" for each in said)
    capitals = sum(each.isupper() and each not in "MW" for each in said)
    return 14.0 * wide + 10.0 * capitals + 8.0 * (len(said) - wide - capitals)


def cut(said: str, room: float) -> str:
    """Text in so many pixels, an ellipsis at its end where it is longer.

    Examples
    --------
    >>> cut("covered", 56.0), cut("covered calls", 56.0)
    ('covered', 'cover…')
    """
    if breadth(said) <= room:
        return said
    while said and breadth(said) + 14.0 > room:
        said = said[:-1]
    return said + "…"


def line(x1: float, y1: float, x2: float, y2: float, colour: str, *, width: float = 1.0, dash: str = "") -> str:
    """A line in one of the page's colours."""
    dashed = f' stroke-dasharray="{dash}"' if dash else ""
    ends = f'x1="{x1:g}" y1="{y1:g}" x2="{x2:g}" y2="{y2:g}"'
    return f'<line {ends} stroke="var(--{colour})" stroke-width="{width:g}"{dashed}/>'


def box(x: float, y: float, width: float, height: float, colour: str) -> str:
    """A filled rectangle."""
    size = f'width="{max(round(width, 2), 0):g}" height="{max(round(height, 2), 0):g}"'
    return f'<rect x="{x:g}" y="{y:g}" {size} fill="var(--{colour})"/>'


def mark(x: float, y: float, series: int, title: str = "", size: float = 4.0) -> str:
    """A point of a series: its colour, and its shape, for those who do not tell the colours apart."""
    colour = f'fill="var(--k{series % 8})" fill-opacity="0.75"'
    said = f"<title>{escape(printable(title))}</title>" if title else ""
    r = size
    match (series + series // 8) % SHAPES:
        case 0:
            return f'<circle cx="{x:g}" cy="{y:g}" r="{r:g}" {colour}>{said}</circle>'
        case 1:
            return f'<rect x="{x - r:g}" y="{y - r:g}" width="{2 * r:g}" height="{2 * r:g}" {colour}>{said}</rect>'
        case 2:
            points = f"{x:g},{y - 1.3 * r:g} {x + 1.2 * r:g},{y + r:g} {x - 1.2 * r:g},{y + r:g}"
        case _:
            points = f"{x:g},{y - 1.4 * r:g} {x + 1.4 * r:g},{y:g} {x:g},{y + 1.4 * r:g} {x - 1.4 * r:g},{y:g}"
    return f'<polygon points="{points}" {colour}>{said}</polygon>'


def axes(x: Scale, y: Scale, x_name: str, y_name: str, shown: Sequence[Sequence[str]] = ((), ())) -> list[str]:
    """Frame, ticks and names; `shown`: the words of the ticks, where they are not `short` numbers."""
    left, right, bottom, top = x.start, x.stop, y.start, y.stop
    parts = [f'<path class="axis" d="M{left:g} {top:g}V{bottom:g}H{right:g}"/>']
    ticks = x.ticks(), y.ticks()
    words = [list(given) or [short(tick) for tick in at] for given, at in zip(shown, ticks, strict=True)]
    for tick, said in zip(ticks[0], words[0], strict=True):
        parts += [line(x(tick), bottom, x(tick), bottom + 5, "line"), text(x(tick), bottom + 20, said, anchor="middle")]
    for tick, said in zip(ticks[1], words[1], strict=True):
        parts += [line(left - 5, y(tick), left, y(tick), "line"), text(left - 9, y(tick) + 4.5, said, anchor="end")]
    parts.append(text((left + right) / 2, bottom + 42, x_name, anchor="middle", soft=True))
    if y_name:
        parts.append(text(16, (top + bottom) / 2, y_name, anchor="middle", soft=True, turn=True))
    return parts


def short(value: float) -> str:
    """A number on an axis.

    Examples
    --------
    >>> [short(each) for each in (0, 0.25, 1500, -2e6, 1e10, 1e15, 1e-7)]
    ['0', '0.25', '1.5k', '-2M', '10bn', '1e+15', '1e-07']
    """
    size = abs(value)
    for unit, name in ((1e9, "bn"), (1e6, "M"), (1e3, "k")):
        if unit <= size < 1e13:
            return f"{value / unit:g}{name}"
    return f"{value:g}"
