"""The page of a comparison: sound HTML that asks nothing of a network, and what a real browser makes of it."""

from __future__ import annotations

import json
import os
import re
import shutil
import subprocess
import xml.etree.ElementTree as ET
from dataclasses import replace
from html import unescape
from html.parser import HTMLParser
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import scanned
from matplotlib.image import imread

from mcvar import config as c
from mcvar.jobs.compare import Simulation
from mcvar.pages.comparison import comparison_page, save
from mcvar.pages.pictures import coverage, distribution, scatter
from mcvar.pages.svg import Scale, mark
from mcvar.reports.comparison import ComparisonReport, compare_run, telling

NAMES = ("chromium", "chromium-browser", "google-chrome", "google-chrome-stable", "chrome")
ODD = 'a<b>&"x" {y}'  # an account's name is text, whatever is in it
STRANGE = ("k" * 200, '"quoted" <script>alert(1)</script>', "\u4e2d\u6587" * 100, "W" * 200, "two\nlines\x1b[31m\u202e")
VOID = {"meta", "link", "br"}
PROBE = """<script>
const overflows = [...document.querySelectorAll('svg')].flatMap(svg => {
  const box = svg.getBoundingClientRect();
  return [...svg.querySelectorAll('text')].filter(text => {
    const own = text.getBoundingClientRect();
    return own.left < box.left - 1 || own.right > box.right + 1 || own.top < box.top - 1 || own.bottom > box.bottom + 1;
  }).map(text => text.textContent);
});
const overlaps = [...document.querySelectorAll('svg')].flatMap(svg => {
  const boxes = [...svg.querySelectorAll('text')].map(text => [text.textContent, text.getBoundingClientRect()]);
  return boxes.flatMap(([said, a], i) => boxes.slice(i + 1).filter(([, b]) =>
    a.left < b.right - 1 && b.left < a.right - 1 && a.top < b.bottom - 3 && b.top < a.bottom - 3
  ).map(([other]) => said + ' / ' + other));
});
const style = getComputedStyle(document.body);
const pre = document.createElement('pre');
pre.id = 'probe';
pre.textContent = JSON.stringify({
  width: innerWidth, scroll: document.documentElement.scrollWidth, overflows, overlaps,
  svgs: document.querySelectorAll('svg').length, rows: document.querySelectorAll('tbody tr').length,
  headings: [...document.querySelectorAll('h1, h2')].map(h => h.textContent), ground: style.backgroundColor,
  ink: style.color, resources: performance.getEntriesByType('resource').map(r => r.name),
  empty: [...document.querySelectorAll('svg')].filter(svg => svg.getBoundingClientRect().height < 50).length,
  wide: [...document.querySelectorAll('.wide')].map(each => each.scrollWidth - each.clientWidth),
  mark: getComputedStyle(document.querySelector('svg circle')).fill,
});
document.body.append(pre);
</script></body>"""


@pytest.fixture(scope="module")
def sample() -> tuple[Simulation, dict[str, Any], float]:
    return scanned.finished(
        c.Config(book=c.SampleBook(accounts=28), scenarios=c.SimulatedScenarios(count=4_096),
                 executor=c.ExecutorConfig(workers=2))
    )  # fmt: skip


@pytest.fixture(scope="module")
def report(sample: tuple[Simulation, dict[str, Any], float]) -> ComparisonReport:
    run, record, horizon = sample
    engine = scanned.scanned(run, horizon)
    found = compare_run(
        run, [engine.scans()], [scanned.basis(run, horizon)], horizon=horizon, level=0.99, record=record,
        ranges=[lambda price, volatility: engine.margins(price, volatility)[0]], name="a book of <28>",
        notes=["<said>"],
    )  # fmt: skip
    return replace(found, account=(ODD, *found.account[1:]))


@pytest.fixture(scope="module")
def strange(sample: tuple[Simulation, dict[str, Any], float]) -> ComparisonReport:
    """Names of 200 letters, in several scripts and with what is markup elsewhere; two engines, two currencies."""
    run, record, horizon = sample
    kinds, book = [*STRANGE, ""], run.book
    own = tuple(f"{at} {kinds[at % len(kinds)]}" for at in range(book.accounts))
    run = replace(run, book=replace(
        book, row=(*own, *book.row[book.accounts :]),
        kind=(*(kinds[at % len(kinds)] for at in range(book.accounts)), *book.kind[book.accounts :]),
    ))  # fmt: skip
    scans = scanned.scanned(run, horizon).scans("E" * 200)
    sides = [scans, replace(scans, engine="other " * 40, scan=1.5 * scans.scan)]
    found = compare_run(
        run, sides, [scanned.basis(run, horizon)] * 2, horizon=horizon, level=0.99, record=record,
        netting=False,
    )  # fmt: skip
    return replace(found, currency=("BTC", *found.currency[1:]))


class Balanced(HTMLParser):
    """Every element is closed in its turn."""

    def __init__(self) -> None:
        super().__init__()
        self.open: list[str] = []
        self.seen: list[tuple[str, dict[str, str | None]]] = []

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        self.seen.append((tag, dict(attrs)))
        if tag not in VOID:
            self.open.append(tag)

    def handle_startendtag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        self.seen.append((tag, dict(attrs)))

    def handle_endtag(self, tag: str) -> None:
        assert self.open.pop() == tag


def test_the_page_is_sound_and_stands_alone(report: ComparisonReport, tmp_path: Path) -> None:
    save(report, tmp_path / "page.html")
    page = (tmp_path / "page.html").read_text(encoding="utf-8")
    parser = Balanced()
    parser.feed(page)
    assert not parser.open
    assert not {tag for tag, _ in parser.seen} & {"script", "img", "iframe", "object", "form", "base"}
    links = [value for _, attributes in parser.seen for key, value in attributes.items() if key in ("href", "src")]
    assert links == ["data:,"]
    assert not re.search(r"https?:|url\(|@import|\son\w+=", page)
    assert any(str(a.get("content")).startswith("default-src 'none'") for tag, a in parser.seen if tag == "meta")
    for picture in re.findall(r"<svg.*?</svg>", page, re.DOTALL):
        ET.fromstring(picture)
    assert "a&lt;b&gt;&amp;" in page
    assert "<b>&" not in page
    assert "<said>" not in page
    assert "nan" not in re.sub(r"<[^>]*>", "", page).lower().replace("finance", "")


def test_the_page_says_what_was_compared_and_found(report: ComparisonReport) -> None:
    page = comparison_page(report)
    title = re.search(r"<title>(.*?)</title>", page)
    assert title
    assert unescape(title[1]) == "Margins beside Monte Carlo: span16 of a book of <28>, 2018-12-28"
    found, text = report.comparisons[0], unescape(re.sub(r"<[^>]*>", "", page))
    group = found.groups[0]
    assert f"margin is below VaR by more than its error for {group.under} accounts" in text
    assert page.count("<tr>") == 8 + 8 + 28 + 3  # kinds, ranges, accounts, and their heads
    for name in report.account[1:]:
        assert name in text
    heads = re.findall(r"<th[^>]*>(.*?)</th>", page)
    assert {"margin, USD", "margin is", "margin / VaR", "margin nets"} <= set(heads)
    assert [head for head in heads if "scan" in head] == ["price scan range", "volatility scan range"]


def test_pictures_place_what_they_say(report: ComparisonReport) -> None:
    found = report.comparisons[0]
    picture, left_out = scatter(report, found.compared)
    points = re.findall(r"<title>(.*?)</title>", picture)
    positive = (found.compared.var.value > 0) & (found.compared.scans.scan > 0)
    assert len(points) == positive.sum()
    assert bool(left_out) == (not positive.all())
    bars = re.findall(r'<rect x="([\d.]+)" y="[\d.]+" width="([\d.]+)"', coverage(found.groups))
    assert len(bars) == len(found.groups)
    misses = np.array([1 - (group.coverage or 0) for group in found.groups])
    widths = np.array([float(width) for _, width in bars])
    np.testing.assert_allclose(widths / widths.max(), misses / misses.max(), atol=0.01)
    r = next(iter(report.drawn))
    assert f"exceeded in {100 * found.compared.exceed_probability[r]:.3g}"[:16] in distribution(report, r, [found])


def test_accounts_in_several_currencies_are_one_picture(report: ComparisonReport) -> None:
    found, coins = report.comparisons[0].compared, np.where(np.arange(28) % 3 == 1, 50_000.0, 1.0)
    ends = {name: getattr(found.var, name) / coins for name in ("value", "stderr", "low", "high")}
    scans = replace(found.scans, scan=found.scans.scan / coins)
    foreign = replace(found, var=replace(found.var, **ends), scans=scans)
    currency = tuple("BTC" if coin > 1 else "USD" for coin in coins)
    picture = scatter(replace(report, worth=coins, currency=currency), foreign)[0]
    assert points(picture) == pytest.approx(points(scatter(report, found)[0]), abs=0.02)
    assert "Monte Carlo VaR 99 %, USD" in picture
    assert telling(foreign, 8, coins) == telling(found, 8)
    assert telling(foreign, 8) != telling(found, 8)
    whole = replace(report, currency=currency, comparisons=(replace(report.comparisons[0], compared=foreign),))
    assert comparison_page(whole).count('<td class="name">BTC</td>') == 9
    assert "currency</th>" not in comparison_page(report)


def points(picture: str) -> list[float]:
    places = re.findall(r'<(?:circle cx="([-\d.]+)" cy="([-\d.]+)"|polygon points="([-\d.]+),([-\d.]+))', picture)
    return [float(each) for place in places for each in place if each]


def test_names_are_text_of_a_length_that_fits(strange: ComparisonReport) -> None:
    page = comparison_page(strange)
    parser = Balanced()
    parser.feed(page)
    assert not parser.open
    assert not {tag for tag, _ in parser.seen} & {"script", "b&"}
    for picture in re.findall(r"<svg.*?</svg>", page, re.DOTALL):
        ET.fromstring(picture)
    said = re.sub(r"<title>.*?</title>|<[^>]*>", "", page)
    assert max(map(len, re.findall(r"k+|W+|E+", said))) <= 40
    assert {"k" * 200, "W" * 200} <= {attributes.get("title") for _, attributes in parser.seen}
    assert "two lines\ufffd[31m\ufffd" in page
    assert not re.search("[\x00-\x09\x0b-\x1f\u202a-\u202e]", page)


def test_accounts_without_anything_to_draw(report: ComparisonReport) -> None:
    found = report.comparisons[0].compared
    none = replace(found, scans=replace(found.scans, scan=np.zeros(len(found.scans.scan))))
    picture, said = scatter(report, none)
    assert picture == ""
    assert said == "28 accounts without a positive VaR and margin are not on it"
    assert coverage([]) == ""
    still = replace(report, drawn={0: np.zeros(100)})
    assert "svg" in distribution(still, 0, report.comparisons)


def test_many_accounts_are_thinned_out(report: ComparisonReport) -> None:
    found, times = report.comparisons[0].compared, 200
    var = replace(found.var, **{k: np.tile(getattr(found.var, k), times) for k in ("value", "stderr", "low", "high")})
    fields = {k: np.tile(v, times) for k, v in vars(found).items() if isinstance(v, np.ndarray)}
    scans = replace(found.scans, scan=np.tile(found.scans.scan, times))
    many = replace(found, var=var, scans=scans, **fields)
    tiled = {name: getattr(report, name) * times for name in ("account", "kind", "currency")}
    picture, said = scatter(replace(report, **tiled, worth=np.tile(report.worth, times)), many)
    assert 1_000 < picture.count("<title>") <= 2_000
    assert "2,000 of " in said


def test_scales() -> None:
    scale = Scale(10.0, 1000.0, 0.0, 100.0, log=True)
    assert [scale(value) for value in (1.0, 10.0, 100.0, 1e9)] == [0.0, 0.0, 50.0, 100.0]
    assert Scale(2.0, 7.0, 0, 1, log=True).ticks() == [2.0, 5.0]
    assert len(Scale(1.0, 1e14, 0, 1, log=True).ticks()) <= 8
    assert Scale(-0.3, 0.3, 0, 1).ticks() == pytest.approx([-0.3, -0.2, -0.1, 0.0, 0.1, 0.2, 0.3])
    assert len({mark(0, 0, series) for series in range(16)}) == 16


# ---- in a real browser


@pytest.fixture(scope="module")
def browser() -> str:
    found = os.environ.get("MCVAR_BROWSER") or next(filter(None, map(shutil.which, NAMES)), None)
    if not found:
        pytest.skip("no browser: apt-get install chromium, or set MCVAR_BROWSER to one of its kind")
    return found


def opened(browser: str, page: Path, *arguments: str, width: int = 1280, dark: bool = False) -> tuple[str, str]:
    """What a headless browser prints, and what its console says; it reaches nothing but the file."""
    command = [
        browser, "--headless=new", "--no-sandbox", "--disable-gpu", "--no-first-run", "--disable-extensions",
        "--disable-dev-shm-usage", "--hide-scrollbars", "--host-resolver-rules=MAP * ~NOTFOUND",
        "--enable-logging=stderr", f"--user-data-dir={page.parent / 'profile'}", f"--window-size={width},1800",
        "--virtual-time-budget=2000",
        f"--blink-settings=preferredColorScheme={0 if dark else 1}", *arguments, page.as_uri(),
    ]  # fmt: skip
    done = subprocess.run(command, capture_output=True, text=True, timeout=120, check=False)
    assert done.returncode == 0, done.stderr[-2000:]
    return done.stdout, "\n".join(line for line in done.stderr.splitlines() if "CONSOLE" in line)


def probed(browser: str, report: ComparisonReport, folder: Path, **how: Any) -> dict[str, Any]:
    page = re.sub(r"<meta http-equiv[^>]*>", "", comparison_page(report)).replace("</body>", PROBE)
    (folder / "probed.html").write_text(page, encoding="utf-8")
    printed, said = opened(browser, folder / "probed.html", "--dump-dom", **how)
    assert not said
    found = re.search(r'<pre id="probe">(.*?)</pre>', printed, re.DOTALL)
    assert found, printed[-500:]
    return dict(json.loads(unescape(found[1])))


@pytest.mark.parametrize(("width", "dark"), [(1280, False), (1280, True), (520, False)])
def test_a_browser_lays_it_out(browser: str, report: ComparisonReport, tmp_path: Path, width: int, dark: bool) -> None:
    found = probed(browser, report, tmp_path, width=width, dark=dark)
    assert found["scroll"] <= found["width"]  # nothing makes the page wider than the window
    assert (found["overflows"], found["overlaps"], found["empty"]) == ([], [], 0)
    assert found["svgs"] == 2 + len(report.drawn)
    assert found["rows"] == 8 + 8 + 28
    assert found["resources"] == []
    for heading in (
        "What it says", "Margin over VaR", "Coverage by kind of book", "Which scan ranges would do",
        "Distributions of losses", "Where the two differ by construction", "Accounts", "Method",
    ):  # fmt: skip
        assert heading in found["headings"]
    ground, ink, mark_ = (luminance(found[name]) for name in ("ground", "ink", "mark"))
    assert (ground < ink) == dark
    assert contrast(ground, ink) >= 7  # WCAG 2, AAA
    assert contrast(ground, mark_) >= 3


@pytest.mark.parametrize("width", [1200, 520])
def test_a_browser_has_room_for_any_names(browser: str, strange: ComparisonReport, tmp_path: Path, width: int) -> None:
    found = probed(browser, strange, tmp_path, width=width)
    assert found["scroll"] <= found["width"]
    assert (found["overflows"], found["overlaps"], found["empty"]) == ([], [], 0)
    assert width < 1200 or max(found["wide"]) == 0  # nor is a table or a picture wider than its place


def test_a_browser_paints_it_without_a_word(browser: str, report: ComparisonReport, tmp_path: Path) -> None:
    save(report, tmp_path / "page.html")
    _, said = opened(browser, tmp_path / "page.html", f"--screenshot={tmp_path / 'page.png'}")
    assert not said
    pixels = imread(tmp_path / "page.png")
    assert pixels.shape[:2] == (1800, 1280)
    assert 0.01 < (pixels[..., :3].mean(axis=2) < 0.5).mean() < 0.4  # ink on the ground
    flat = np.round(pixels[..., :3] * 255).astype(int).reshape(-1, 3)
    assert len(np.unique(flat @ [1, 256, 65_536])) > 100  # and colours


def luminance(colour: str) -> float:
    """Relative, as WCAG 2 defines it."""
    red, green, blue = (int(part) / 255 for part in re.findall(r"\d+", colour)[:3])
    parts = [u / 12.92 if u <= 0.04045 else ((u + 0.055) / 1.055) ** 2.4 for u in (red, green, blue)]
    return 0.2126 * parts[0] + 0.7152 * parts[1] + 0.0722 * parts[2]


def contrast(a: float, b: float) -> float:
    return (max(a, b) + 0.05) / (min(a, b) + 0.05)
