"""The page in Chromium: layout, hover, click, sounds and keyboard."""

from __future__ import annotations

import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from browser import LUMINANCE, chromium, open_page, overlaps
from hostile_labels import UNBROKEN

from sonotype.report.collect import ReportOptions
from sonotype.report.run_report import write_run_report

WIDTHS = (400, 1400)


@pytest.fixture(scope="module")
def browser() -> Iterator[Any]:
    with chromium() as started:
        yield started


@pytest.fixture(scope="module")
def pages(
    tmp_path_factory: pytest.TempPathFactory,
    two_levels: Path, hostile: Path, windows: Path, unscored: Path,
) -> dict[str, Path]:  # fmt: skip
    folder = tmp_path_factory.mktemp("pages")
    runs = {"levels": two_levels, "hostile": hostile, "windows": windows, "unscored": unscored}
    options = ReportOptions(doctor=False, examples=4)
    return {
        name: write_run_report(run, folder / f"{name}.html", options) for name, run in runs.items()
    }


@pytest.mark.parametrize("width", WIDTHS)
@pytest.mark.parametrize("name", ["levels", "hostile", "windows", "unscored"])
def test_the_layout_has_no_overlaps_and_the_page_loads_nothing(
    browser: Any, pages: dict[str, Path], name: str, width: int
) -> None:
    opened = open_page(browser, pages[name], width)
    assert opened.width == width, "the page does not scroll to the side"
    assert overlaps(opened) == []
    assert (opened.requests, opened.errors) == ([], [])
    assert opened.seconds < 2
    assert opened.page.evaluate("document.title").endswith("report of a sound classifier")


def test_overlapping_texts_are_noticed(browser: Any, pages: dict[str, Path]) -> None:
    opened = open_page(browser, pages["levels"], 1400)
    opened.page.evaluate("document.querySelector('#data p, #data dd').style.marginTop = '-1.5em'")
    assert overlaps(opened) != []


@pytest.mark.parametrize("dark", [False, True])
def test_texts_have_contrast(browser: Any, pages: dict[str, Path], dark: bool) -> None:
    page = open_page(browser, pages["levels"], 1400, dark=dark).page
    ratio = page.evaluate(
        """() => {
          const luminance = LUMINANCE;
          const probe = document.createElement("i");
          document.body.append(probe);
          const value = (name) => {
            probe.style.color = `var(${name})`;
            return luminance(getComputedStyle(probe).color);
          };
          const [light, dark] = ["--text", "--muted", "--link", "--error", "--warn", "--bad-text"]
            .map((name) => [value(name), value("--card")].sort((a, b) => b - a))
            .map(([a, b]) => (a + 0.05) / (b + 0.05))
            .reduce(([low], ratio) => [Math.min(low, ratio), 0], [99, 0]);
          return light;
        }""".replace("LUMINANCE", LUMINANCE)
    )
    assert ratio >= 4.5


def test_hover_and_click_on_the_matrix(browser: Any, pages: dict[str, Path]) -> None:
    page = open_page(browser, pages["levels"], 1400).page
    cell = page.locator("table.matrix[data-level=event] td.wrong").first
    cell.hover()
    tip = page.locator("#tip")
    assert tip.is_visible()
    text = tip.inner_text()
    assert "taken for" in text
    assert f": {cell.inner_text()} of " in text
    assert page.locator("th.on").count() == 2
    cell.click()
    dialog = page.locator("dialog[open]")
    heading = dialog.locator("h2").inner_text()
    assert text.startswith(heading)
    shown = dialog.locator(".clip, ol li").count()
    assert shown == int(cell.inner_text())
    page.keyboard.press("Escape")
    assert page.locator("dialog[open]").count() == 0
    right = page.locator("table.matrix[data-level=event] td.right").first
    right.click()
    assert "recognised" in page.locator("dialog[open] h2").inner_text()


def test_the_matrix_is_one_stop_of_the_tab_key(browser: Any, pages: dict[str, Path]) -> None:
    page = open_page(browser, pages["levels"], 1400).page
    matrix = "table.matrix[data-level=event]"
    assert page.locator(f"{matrix} [tabindex='0']").count() == 1
    page.locator(f"{matrix} td[tabindex='0']").focus()
    place = "[document.activeElement.parentElement.rowIndex, document.activeElement.cellIndex]"
    row, column = page.evaluate(place)
    page.keyboard.press("ArrowDown" if row == 1 else "ArrowUp")
    assert page.evaluate(place) == [2 if row == 1 else row - 1, column]
    page.locator(f"{matrix} td.right").first.focus()
    page.evaluate(f"document.querySelector('{matrix} td.wrong').focus()")
    page.keyboard.press("Enter")
    assert page.locator("dialog[open]").count() == 1


def test_the_values_of_a_chart_are_read_with_the_keyboard(
    browser: Any, pages: dict[str, Path]
) -> None:
    page = open_page(browser, pages["levels"], 400).page
    for chart in page.locator("svg.chart").all():
        assert chart.locator("[tabindex='0']").count() == 1
    dots = page.locator("#trust svg.chart circle")
    assert dots.count() > 1
    dots.first.focus()
    page.keyboard.press("ArrowRight")
    tip = page.locator("#tip")
    assert tip.is_visible()
    assert tip.inner_text() == dots.nth(1).get_attribute("data-tip")


def test_a_cut_list_of_clips_says_so(browser: Any, pages: dict[str, Path]) -> None:
    page = open_page(browser, pages["levels"], 400).page
    cell = page.locator("table.matrix[data-level=event] td.right").first
    key = cell.get_attribute("data-c")
    cell.click()
    assert not page.locator("dialog .limit").is_visible()
    page.keyboard.press("Escape")
    page.evaluate(f"found.levels.event.totals[{key}] = 230")
    cell.click()
    assert page.locator("dialog .limit").inner_text().endswith(" of 230.")


def test_the_order_of_the_focus_is_that_of_the_page(browser: Any, pages: dict[str, Path]) -> None:
    page = open_page(browser, pages["levels"], 400).page
    places = []
    for _ in range(60):
        page.keyboard.press("Tab")
        places.append(
            page.evaluate(
                """() => {
                  const element = document.activeElement;
                  if (element === document.body) return null;
                  const all = [...document.querySelectorAll("*")];
                  return [all.indexOf(element), element.textContent.trim().slice(0, 20)];
                }"""
            )
        )
        if places[-1] is None:
            break
    stops = [place for place in places if place is not None]
    assert stops[0][1] == "Skip to the content"
    order = [index for index, _ in stops]
    assert order == sorted(order)
    assert len(stops) > 20


def wait_for(page: Any, expression: str) -> None:
    """Wait until an expression is true; playwright's own waiting needs eval, which is forbidden."""
    deadline = time.monotonic() + 10
    while not page.evaluate(expression):
        assert time.monotonic() < deadline, expression
        page.wait_for_timeout(20)


def test_sounds_play(browser: Any, pages: dict[str, Path]) -> None:
    page = open_page(browser, pages["levels"], 1400).page
    sound = "document.querySelector('#mistakes audio')"
    page.evaluate(f"{sound}.play()")
    wait_for(page, f"{sound}.currentTime > 0.1")
    assert page.locator("#mistakes .cursor").first.is_visible()
    button = page.locator("button.play").first
    button.click()
    wait_for(page, "document.querySelector('button.play + audio').currentTime > 0.05")
    assert page.evaluate(f"{sound}.paused"), "one sound at a time"
    seconds = page.evaluate(f"{sound}.duration")
    assert seconds == pytest.approx(1.0, abs=0.15)


def test_the_importance_can_be_shown(browser: Any, pages: dict[str, Path]) -> None:
    page = open_page(browser, pages["levels"], 400).page
    card = page.locator("#mistakes .clip").first
    assert not card.locator(".importance").is_visible()
    card.locator(".toggle").click()
    assert card.locator(".importance").is_visible()
    assert "delivered model" in card.locator(".explained").inner_text()
    assert "for the marked part alone" in card.locator(".explained").inner_text()
    width = card.locator(".importance").bounding_box()["width"]
    assert width == card.locator(".base").bounding_box()["width"]
    card.locator(".toggle").click()
    assert not card.locator(".importance").is_visible()
    page.locator("#all-importance").click()
    pressed = page.locator("#mistakes .toggle[aria-pressed=true]").count()
    assert pressed == page.locator("#mistakes .toggle").count() > 1


def test_tables_are_sorted(browser: Any, pages: dict[str, Path]) -> None:
    page = open_page(browser, pages["levels"], 1400).page
    table = page.locator("table.sortable").nth(1)
    heading = table.locator("th", has_text="trained")
    heading.locator("button").click()
    cells = table.locator("tbody tr td:nth-child(7)")
    assert heading.get_attribute("aria-sort") == "ascending"
    assert cells.all_inner_texts() == ["4", "5", "5", "6"]
    heading.locator("button").press("Enter")
    assert cells.all_inner_texts() == ["6", "5", "5", "4"]


def test_missed_windows_are_listed(browser: Any, pages: dict[str, Path]) -> None:
    page = open_page(browser, pages["windows"], 400).page
    dialog = page.locator("dialog[open]")
    for button in page.locator("#classes [data-open]").all():
        button.click()
        assert dialog.locator(".clip, ol li").count() == int(button.inner_text())
        kind, label = dialog.locator("h2").inner_text().split(": ")
        for heading in dialog.locator(".clip h3").all_inner_texts():
            assert label in heading
            assert ("missed" in heading) == (kind == "Missed")
        page.keyboard.press("Escape")
    page.locator("#classes [data-open]").first.click()
    box = dialog.bounding_box()
    assert box["x"] >= 0
    assert box["x"] + box["width"] <= 400


def test_the_hostile_page_runs_no_foreign_script(browser: Any, pages: dict[str, Path]) -> None:
    opened = open_page(browser, pages["hostile"], 1400)
    alerts: list[str] = []
    opened.page.on("dialog", lambda dialog: (alerts.append(dialog.message), dialog.dismiss()))
    for cell in opened.page.locator("td.wrong, td.right").all()[:4]:
        cell.hover()
        cell.click()
        opened.page.keyboard.press("Escape")
    assert (alerts, opened.errors) == ([], [])
    assert opened.page.locator("img[src='x']").count() == 0
    opened.page.locator(f".matrix tr:has(> th[data-name={UNBROKEN}]) td.right").hover()
    assert opened.page.locator("#tip").inner_text().startswith(f"{UNBROKEN}: ")
