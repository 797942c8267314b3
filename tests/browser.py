"""Pages in Chromium, for tests; they are skipped where playwright or Chromium is missing."""

from __future__ import annotations

import shutil
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import pytest

CHROMIUM = shutil.which("chromium") or "/usr/bin/chromium"
FLAGS = ("--no-sandbox", "--autoplay-policy=no-user-gesture-required", "--mute-audio")

OVERLAPS = """() => {
  // Pairs of texts whose boxes overlap, and texts that are cut, among what is visible.
  const visible = (element) => element.checkVisibility({checkVisibilityCSS: true})
    && !element.closest("[hidden], dialog:not([open]), details:not([open]) > :not(summary)");
  const inside = (a, b) => a.contains(b) || b.contains(a);
  const scrolls = (element) => /auto|scroll/.test(getComputedStyle(element).overflowY);
  const shown = (parent, box) => {
    let {top, bottom} = box;
    for (let one = parent; one !== document.body; one = one.parentElement) if (scrolls(one)) {
      const frame = one.getBoundingClientRect();
      [top, bottom] = [Math.max(top, frame.top), Math.min(bottom, frame.bottom)];
    }
    return {left: box.left, right: box.right, width: box.width, top, bottom, height: bottom - top};
  };
  const found = [];
  const texts = [];
  const walker = document.createTreeWalker(document.body, NodeFilter.SHOW_TEXT);
  while (walker.nextNode()) {
    const node = walker.currentNode, parent = node.parentElement;
    if (!node.data.trim() || !visible(parent)) continue;
    if (parent.closest("script, style, .skip, .visually-hidden, nav")) continue;
    const range = document.createRange();
    range.selectNodeContents(node);
    for (const rect of range.getClientRects()) {
      const box = shown(parent, rect);
      const text = node.data.trim().slice(0, 40);
      if (box.width > 1 && box.height > 1) texts.push({parent, box, text});
    }
  }
  texts.sort((a, b) => a.box.top - b.box.top);
  texts.forEach((one, n) => {
    for (let m = n + 1; m < texts.length && texts[m].box.top < one.box.bottom - 2; m++) {
      const other = texts[m];
      if (inside(one.parent, other.parent)) continue;
      const scrolled = one.parent.closest(".scroll") ?? other.parent.closest(".scroll");
      if (scrolled) {
        // Sticky headings lie over the cells that are scrolled away.
        if ([one, other].some(({parent}) => parent.closest("th[scope=row], .corner"))) continue;
        const frame = scrolled.getBoundingClientRect();
        const hidden = ({box}) => box.left > frame.right || box.right < frame.left;
        if ([one, other].some(hidden)) continue;
      }
      const a = one.box, b = other.box;
      const width = Math.min(a.right, b.right) - Math.max(a.left, b.left);
      const height = Math.min(a.bottom, b.bottom) - Math.max(a.top, b.top);
      if (width > 2 && height > 4) found.push(`${one.text} | ${other.text}`);
    }
    const cell = one.parent.closest("td, th, button, dt, dd, h1, h2, h3, span, p");
    const hides = cell && getComputedStyle(cell).overflowX === "hidden";
    if (hides && cell.scrollWidth > cell.clientWidth + 1) found.push(`cut: ${one.text}`);
    const chart = one.parent.closest("svg");
    if (chart) {
      const frame = chart.getBoundingClientRect();
      const {left, right, bottom} = one.box;
      const outside = Math.max(frame.left - left, right - frame.right, bottom - frame.bottom);
      if (outside > 12) found.push(`outside of the chart: ${one.text}`);
    }
  });
  return found;
}"""


LUMINANCE = """(text) => {
  const [r, g, b] = text.match(/[\\d.]+/g).map((x) => x / 255)
    .map((x) => x <= 0.03928 ? x / 12.92 : ((x + 0.055) / 1.055) ** 2.4);
  return 0.2126 * r + 0.7152 * g + 0.0722 * b;
}"""

LOW_CONTRAST = """() => {
  // Texts whose contrast with the plain colours behind them is below that of WCAG AA.
  const luminance = LUMINANCE;
  const parts = (colour) => {
    const numbers = colour.match(/[\\d.]+/g).map(Number);
    return numbers.length > 3 ? numbers : [...numbers.slice(0, 3), 1];
  };
  const over = (top, below) => [0, 1, 2].map((n) => top[n] * top[3] + below[n] * (1 - top[3]));
  const behind = (element) => {
    const layers = [];
    for (let one = element; one; one = one.parentElement) {
      const layer = parts(getComputedStyle(one).backgroundColor);
      if (layer[3] > 0) layers.push(layer);
      if (layer[3] === 1) break;
    }
    return layers.reduceRight((below, layer) => over(layer, below), [255, 255, 255]);
  };
  const text = (colour) => `rgb(${colour.join(",")})`;
  const found = [];
  const walker = document.createTreeWalker(document.body, NodeFilter.SHOW_TEXT);
  while (walker.nextNode()) {
    const node = walker.currentNode, parent = node.parentElement;
    if (!node.data.trim() || parent.closest("script, style, noscript, option")) continue;
    if (parent.closest(".skip, .visually-hidden")) continue;
    if (!parent.checkVisibility({checkVisibilityCSS: true})) continue;
    if (parent.closest("[disabled], [aria-disabled=true]")) continue;
    const style = getComputedStyle(parent);
    const ground = behind(parent);
    const pair = [text(over(parts(style.color), ground)), text(ground)].map(luminance);
    const ratio = (Math.max(...pair) + 0.05) / (Math.min(...pair) + 0.05);
    const size = parseFloat(style.fontSize), bold = Number(style.fontWeight) >= 700;
    const least = size >= 24 || (bold && size >= 18.66) ? 3 : 4.5;
    if (ratio < least) found.push(`${ratio.toFixed(2)}: ${node.data.trim().slice(0, 40)}`);
  }
  return found;
}""".replace("LUMINANCE", LUMINANCE)


@dataclass
class Opened:
    """A page that is open, and what it has done.

    Attributes:
        page: of playwright.
        requests: URLs that the page asked for, except for data URIs and the page itself.
        errors: of its scripts, and messages in the console.
        seconds: from the start of the navigation to the end of the load event.
    """

    page: Any
    requests: list[str] = field(default_factory=list)
    errors: list[str] = field(default_factory=list)

    @property
    def seconds(self) -> float:
        entry = "performance.getEntriesByType('navigation')[0].loadEventEnd"
        return float(self.page.evaluate(entry)) / 1000

    @property
    def width(self) -> int:
        """Of the content, which is larger than that of the window if the page overflows."""
        return int(self.page.evaluate("document.documentElement.scrollWidth"))


def require_chromium() -> Any:
    """The module of playwright; the test is skipped without it or without Chromium."""
    playwright = pytest.importorskip("playwright.sync_api", reason="playwright is not installed")
    if not Path(CHROMIUM).exists():
        pytest.skip("Chromium is not installed")
    return playwright


@contextmanager
def chromium(*flags: str) -> Iterator[Any]:
    """A browser; the test is skipped without one.

    Args:
        flags: of its command line, besides the usual ones.
    """
    with require_chromium().sync_playwright() as started:
        browser = started.chromium.launch(executable_path=CHROMIUM, args=[*FLAGS, *flags])
        yield browser
        browser.close()


def open_page(browser: Any, path: Path | str, width: int, *, dark: bool = False) -> Opened:
    """Open a file, or an address, in a window of a width in pixels."""
    scheme = "dark" if dark else "light"
    context = browser.new_context(
        viewport={"width": width, "height": 900}, color_scheme=scheme, reduced_motion="reduce"
    )
    opened = Opened(context.new_page())
    address = path if isinstance(path, str) else path.resolve().as_uri()

    def asked(request: Any) -> None:
        if not request.url.startswith("data:") and request.url.partition("#")[0] != address:
            opened.requests.append(request.url)

    opened.page.on("request", asked)
    opened.page.on("console", lambda message: opened.errors.append(message.text))
    opened.page.on("pageerror", lambda error: opened.errors.append(str(error)))
    opened.page.goto(address)
    return opened


def overlaps(opened: Opened) -> list[str]:
    """Texts that overlap, are cut, or lie outside of their chart."""
    found: list[str] = opened.page.evaluate(OVERLAPS)
    return found


def low_contrast(opened: Opened) -> list[str]:
    """Visible texts whose contrast is below 4.5, or 3 where they are large."""
    found: list[str] = opened.page.evaluate(LOW_CONTRAST)
    return found
