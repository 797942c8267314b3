"""The page of a comparison in Chromium: it fits phones, loads nothing, and no texts overlap."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from browser import chromium, open_page, overlaps
from heads import predicted
from run_folders import write_run_folder

from sonotype.core.types import Head
from sonotype.report.compare import compare_runs
from sonotype.report.compare_page import comparison_page

CLASSES = tuple(f"class_{number:02}_with_a_long_name" for number in range(30))


@pytest.fixture(scope="module")
def browser() -> Iterator[Any]:
    with chromium() as found:
        yield found


@pytest.fixture(scope="module")
def page(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Six runs on 300 clips, of which one has other clips than the first."""
    folder = tmp_path_factory.mktemp("runs")
    generator = np.random.default_rng(0)
    folders = []
    for number in range(6):
        true = np.arange(300 if number < 5 else 90) % 30
        wrong = generator.random(len(true)) < 0.05 + 0.05 * number
        found = np.where(wrong, generator.integers(0, 30, len(true)), true)
        paths = [f"a/long/folder/of/clips/recording_{index:04}.wav" for index in range(len(true))]
        proba = 0.9 * np.eye(30)[found] + 0.1 / 30
        predictions = predicted((Head("category", CLASSES),), [true], [proba], paths)
        name = folder / f"a_run_with_a_long_name_{number}"
        folders.append(write_run_folder(name, predictions, seconds=60, seed=number))
    out = folder / "page.html"
    out.write_text(comparison_page(compare_runs(folders)), encoding="utf-8")
    return out


@pytest.mark.parametrize("width", [400, 1400])
def test_the_page_fits_and_loads_nothing(browser: Any, page: Path, width: int) -> None:
    opened = open_page(browser, page, width)
    assert opened.width <= width
    assert opened.requests == []
    assert opened.errors == []
    assert overlaps(opened) == []


def test_intervals_show_their_numbers_on_focus(browser: Any, page: Path) -> None:
    opened = open_page(browser, page, 1400).page
    first = opened.locator("svg.interval").first
    first.focus()
    assert opened.locator("#tip").text_content() == first.get_attribute("aria-label")
    assert "macro precision" in first.get_attribute("aria-label")
