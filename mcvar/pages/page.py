"""Pages that stand alone: HTML with its style inside, no script, nothing from a network, light or dark as is liked."""

from __future__ import annotations

from collections.abc import Sequence
from html import escape
from math import floor, isfinite, log10

NONE = "–"
LETTERS = 40  # of a name that are shown, at most
_POLICY = "default-src 'none'; style-src 'unsafe-inline'; img-src data:"  # a browser that follows it fetches nothing
STYLE = """
:root { color-scheme: light dark; --ground: #ffffff; --card: #f5f6f8; --ink: #1b2430; --soft: #566173; --line: #d5dae1;
  --bar: #9fb3cc; --var: #1257c4; --band: #1257c433; --es: #b4430a; --scan: #0b7a4b; --bad: #b3261e;
  --k0: #1257c4; --k1: #c2500a; --k2: #0b7a4b; --k3: #8a2ba8; --k4: #8a6d00; --k5: #c02657; --k6: #0d7490;
  --k7: #5b6470; }
@media (prefers-color-scheme: dark) { :root { --ground: #12161c; --card: #1b212a; --ink: #e7ebf0; --soft: #a3aebc;
  --line: #38424f; --bar: #4b5f7a; --var: #6ba6ff; --band: #6ba6ff3d; --es: #ff9a5c; --scan: #4fd39a; --bad: #ff8a80;
  --k0: #6ba6ff; --k1: #ff9a5c; --k2: #4fd39a; --k3: #d79bf0; --k4: #e3c34d; --k5: #ff8fb1; --k6: #5fd0ea;
  --k7: #b5bec9; } }
* { box-sizing: border-box; }
body { margin: 0; background: var(--ground); color: var(--ink); line-height: 1.5;
  font: 16px/1.5 system-ui, "Segoe UI", Roboto, "Helvetica Neue", "DejaVu Sans", sans-serif; }
main { max-width: 78rem; margin: 0 auto; padding: 1.5rem 1.25rem 4rem; }
h1 { font-size: 1.75rem; line-height: 1.25; margin: 0.5rem 0 0.25rem; }
h2 { font-size: 1.3rem; margin: 2.5rem 0 0.5rem; padding-top: 0.75rem; border-top: 1px solid var(--line); }
h3 { font-size: 1.05rem; margin: 1.75rem 0 0.4rem; }
p, ul { max-width: 46rem; margin: 0.4rem 0; } li { margin: 0.3rem 0; }
h1, h2, h3, p, li, figcaption, .tile { overflow-wrap: anywhere; }
.soft { color: var(--soft); } .small { font-size: 0.875rem; } .bad { color: var(--bad); font-weight: 600; }
.tiles { display: grid; grid-template-columns: repeat(4, 1fr); gap: 0.75rem;
  margin: 1.25rem 0; }
.tile { background: var(--card); border-radius: 0.5rem; padding: 0.75rem 0.9rem; }
.tile b { display: block; font-size: 1.35rem; line-height: 1.3; font-variant-numeric: tabular-nums; }
.tile span { color: var(--soft); font-size: 0.85rem; display: block; line-height: 1.35; }
.wide { overflow-x: auto; }
.pair { display: grid; grid-template-columns: repeat(auto-fit, minmax(27rem, 1fr)); gap: 1.25rem; }
@media (max-width: 50rem) { .tiles { grid-template-columns: repeat(2, 1fr); } .wide svg { min-width: 36rem; } }
@media (max-width: 34rem) { .pair { grid-template-columns: 1fr; } }
figure { margin: 0.75rem 0; } figcaption { color: var(--soft); font-size: 0.875rem; max-width: 46rem; }
svg { display: block; width: 100%; height: auto; } svg text { fill: var(--ink); font-size: 13px; }
svg text { paint-order: stroke; stroke: var(--ground); stroke-width: 3px; }
svg .soft { fill: var(--soft); } svg .axis { stroke: var(--line); stroke-width: 1; fill: none; }
table { border-collapse: collapse; font-size: 0.875rem; margin: 0.5rem 0; font-variant-numeric: tabular-nums; }
th, td { padding: 0.3rem 0.4rem; text-align: right; white-space: nowrap; border-bottom: 1px solid var(--line); }
th { color: var(--soft); font-weight: 600; vertical-align: bottom; white-space: normal; }
td { vertical-align: top; } td.name, th.name { text-align: left; }
td.name, td.name .soft { max-width: 10.5rem; overflow: hidden; text-overflow: ellipsis; }
tbody tr:hover { background: var(--card); } td .soft { font-size: 0.8rem; display: block; }
@media print { main { max-width: none; } h2 { break-after: avoid; } figure, tr { break-inside: avoid; } }
"""


def page(title: str, body: Sequence[str]) -> str:
    """A whole document.

    Parameters
    ----------
    title : str
        As text; of the window.
    body : sequence of str
        HTML.

    Examples
    --------
    >>> page("A < B", ["<p>x</p>"]).splitlines()[:2]
    ['<!DOCTYPE html>', '<html lang="en">']
    """
    head = [
        "<!DOCTYPE html>", '<html lang="en">', "<head>", '<meta charset="utf-8">',
        f'<meta http-equiv="Content-Security-Policy" content="{_POLICY}">',
        '<meta name="viewport" content="width=device-width, initial-scale=1">',
        '<meta name="color-scheme" content="light dark">', '<link rel="icon" href="data:,">',
        f"<title>{escape(title)}</title>", f"<style>{STYLE}</style>", "</head>", "<body>", "<main>",
    ]  # fmt: skip
    return "\n".join([*head, *body, "</main>", "</body>", "</html>", ""])


def table(heads: Sequence[str], rows: Sequence[Sequence[str]], *, names: int = 1, caption: str = "") -> str:
    """A table of cells that are HTML; the first `names` columns are text, all others numbers.

    Examples
    --------
    >>> table(["a", "b"], [["x", "1"]]).count("<td")
    2
    """

    def cells(tag: str, values: Sequence[str]) -> str:
        said = [f'<{tag} class="name">' if at < names else f"<{tag}>" for at in range(len(values))]
        return "<tr>" + "".join(f"{each}{value}</{tag}>" for each, value in zip(said, values, strict=True)) + "</tr>"

    body = "\n".join(cells("td", row) for row in rows)
    under = f'<p class="soft small">{caption}</p>' if caption else ""
    head = cells("th", heads).replace("<th", '<th scope="col"')
    return f'<div class="wide"><table><thead>{head}</thead>\n<tbody>{body}</tbody></table></div>{under}'


def tiles(items: Sequence[tuple[str, str]]) -> str:
    """Numbers with what they are, both HTML."""
    return (
        '<div class="tiles">'
        + "".join(f'<div class="tile"><b>{n}</b><span>{s}</span></div>' for n, s in items)
        + "</div>"
    )


def printable(said: str) -> str:
    r"""Text on one line, without control characters and marks that turn the direction of reading.

    Examples
    --------
    >>> printable("two\nlines\x1b[1m")
    'two lines�[1m'
    """
    return "".join(
        each if each.isprintable() else " " if each.isspace() else "\N{REPLACEMENT CHARACTER}" for each in said
    )


def name(said: str) -> str:
    """A name that somebody gave, such as of an account, as HTML: cut where it is long, and whole in its title.

    Examples
    --------
    >>> name("A&B")
    '<bdi>A&amp;B</bdi>'
    """
    said = printable(said)
    whole = f' title="{escape(said)}"' if len(said) > LETTERS // 2 else ""  # a narrow column may cut it, too
    return f"<bdi{whole}>{escape(shortened(said))}</bdi>"


def shortened(said: str, letters: int = LETTERS) -> str:
    """Text of so many letters at most, of which the last is an ellipsis where some are left out.

    Examples
    --------
    >>> shortened("abcdef", 6), shortened("abcdef", 5)
    ('abcdef', 'abcd…')
    """
    return said if len(said) <= letters else said[: letters - 1] + "…"


def number(value: float | None, digits: int = 4) -> str:
    """For people: thousands apart, and so many digits, but never fewer than those before the point.

    Examples
    --------
    >>> number(1234567.8), number(0.012345), number(-12.5), number(None), number(0.0)
    ('1,234,568', '0.01235', '-12.50', '–', '0')
    """
    if value is None or not isfinite(value):
        return NONE
    if value == 0:
        return "0"
    after = digits - 1 - floor(log10(abs(value)))
    return f"{value:,.{min(max(after, 0), 12)}f}"


def percent(value: float | None, digits: int = 3) -> str:
    """A probability in per cent.

    Examples
    --------
    >>> percent(0.01234), percent(0.98766), percent(None)
    ('1.23 %', '98.8 %', '–')
    """
    return NONE if value is None or not isfinite(value) else f"{number(100 * value, digits)} %"


def span(low: float | None, high: float | None, digits: int = 4) -> str:
    """An interval, beside its value; nothing where it has no ends."""
    if all(end is None or not isfinite(end) for end in (low, high)):
        return ""
    return f' <span class="soft">{number(low, digits)} .. {number(high, digits)}</span>'


def share(low: float | None, high: float | None, digits: int = 3) -> str:
    """The interval of a probability, in per cent.

    Examples
    --------
    >>> share(0.01, 0.02)
    ' <span class="soft">1.00 .. 2.00 %</span>'
    """
    if low is None or high is None or not (isfinite(low) and isfinite(high)):
        return ""
    return f' <span class="soft">{number(100 * low, digits)} .. {number(100 * high, digits)} %</span>'
