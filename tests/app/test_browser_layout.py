"""The layout of the page in narrow and wide windows, dark and light."""

from __future__ import annotations

from typing import Any

import pytest

pytest.importorskip("fastapi", reason="needs sonotype[app]")

from app_browser import (
    REFUSED,
    Server,
    add_sound,
    card,
    expect,
    page_at,
    samples_of,
    top_label,
    until,
    upload,
    wav,
)  # fmt: skip
from browser import Opened, low_contrast, overlaps

LONG = "a very long name of a sound without any sense " + "x" * 60 + ".wav"
LOOKS = [(400, "light"), (400, "dark"), (1400, "light"), (1400, "dark")]


def check(opened: Opened) -> None:
    """Nothing scrolls to the side, no texts overlap, and all have contrast."""
    opened.page.wait_for_timeout(100)
    assert opened.width == opened.page.viewport_size["width"]
    assert overlaps(opened) == []
    assert low_contrast(opened) == []


@pytest.mark.parametrize(("width", "scheme"), LOOKS)
def test_every_tab_fits(browser: Any, trained_server: Server, width: int, scheme: str) -> None:
    options = {"viewport": {"width": width, "height": 900}, "color_scheme": scheme}
    with page_at(
        browser, trained_server, "try", expected=(REFUSED,), model="run-0001",
        reduced_motion="reduce", **options,
    ) as opened:  # fmt: skip
        page = opened.page
        check(opened)
        add_sound(page, LONG, wav(samples_of("beep", 80)))
        page.get_by_test_id("try-overlay").check()
        expect(page.get_by_test_id("try-explained")).to_contain_text("With the coloured parts")
        page.get_by_test_id("try-spectrogram").focus()
        for _ in range(10):
            page.keyboard.press("Shift+ArrowRight")
        page.get_by_test_id("try-file").set_input_files([upload("no sound.wav", b"text")])
        expect(page.get_by_test_id("error")).to_contain_text("no sound.wav")
        check(opened)
        page.get_by_test_id("tab-build").click()
        build(page)
        check(opened)
        page.get_by_test_id("tab-live").click()
        check(opened)
        page.get_by_test_id("live-start").click()
        until(page, lambda: top_label(page, "live-bars") == "beep")
        check(opened)


def build(page: Any) -> None:
    """Open what is closed in Build: forms, a question, details, a list of refused files."""
    expect(card(page, "hum").get_by_test_id("clip")).not_to_have_count(0)
    card(page, "hum").get_by_test_id("class-file").set_input_files([upload(LONG, b"text")])
    expect(card(page, "hum").get_by_test_id("class-refused")).to_be_visible()
    card(page, "hum").get_by_test_id("class-rename").click()
    card(page, "beep").get_by_test_id("class-delete").click()
    card(page, "beep").get_by_test_id("clip-move-open").first.click()
    page.get_by_text("The same on a command line").click()
    expect(page.get_by_test_id("findings")).not_to_contain_text("Checking")


def test_low_contrast_and_overlaps_are_noticed(browser: Any, trained_server: Server) -> None:
    with page_at(browser, trained_server) as opened:
        expect(card(opened.page, "hum").get_by_test_id("clip")).not_to_have_count(0)
        assert low_contrast(opened) + overlaps(opened) == []
        for change in ("color = '#888'", "marginTop = '-2em'"):
            opened.page.evaluate(
                f"for (const one of document.querySelectorAll('.count')) one.style.{change}"
            )
        assert low_contrast(opened) != []
        assert overlaps(opened) != []
