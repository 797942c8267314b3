"""Damaged, silent and strangely named files in a browser: one error each, the others are stored."""

from __future__ import annotations

import io
from typing import Any

import av
import numpy as np
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
    until_said,
    upload,
    wav,
)  # fmt: skip
from training_data import RATE

MARKUP = "🐸 <img src=x onerror=alert(1)>.wav"
SAFE = "🐸 _img src=x onerror=alert(1)_.wav"
"""Its name in a project: some systems have no such characters in names."""
TEXT = "text <img src=x onerror=alert(2)>.wav"
CUT, SILENT = "cut.wav", "silent.wav"


def film() -> bytes:
    """A video without sound."""
    buffer = io.BytesIO()
    with av.open(buffer, "w", format="mp4") as container:
        stream = container.add_stream("mpeg4", rate=5)
        stream.width, stream.height, stream.pix_fmt = 64, 64, "yuv420p"
        for number in range(5):
            picture = np.full((64, 64, 3), 40 * number, np.uint8)
            container.mux(stream.encode(av.VideoFrame.from_ndarray(picture, format="rgb24")))
        container.mux(stream.encode())
    return buffer.getvalue()


def files() -> tuple[list[dict[str, Any]], list[dict[str, Any]]]:
    """Files that are refused, and files that are stored."""
    refused = [
        upload("empty.wav", b""),
        upload(TEXT, b"this is no sound\n" * 40),
        upload("film.mp4", film()),
    ]
    stored = [
        upload(CUT, wav(samples_of("hum", 60))[: RATE + 44]),
        upload(SILENT, wav(np.zeros(RATE, np.float32))),
        upload(MARKUP, wav(samples_of("hum", 61))),
    ]
    return refused, stored


REASONS = {"empty.wav": "is empty", TEXT: "not a readable sound", "film.mp4": "sound track"}


def test_a_class_refuses_what_cannot_be_read(browser: Any, trained_server: Server) -> None:
    refused, stored = files()
    with page_at(browser, trained_server, expected=(REFUSED,)) as opened:
        page = opened.page
        page.get_by_test_id("class-add-name").fill("frog")
        page.get_by_test_id("class-add").click()
        frog = card(page, "frog")
        mixed = [file for pair in zip(refused, stored, strict=True) for file in pair]
        frog.get_by_test_id("class-file").set_input_files(mixed)
        expect(frog.get_by_test_id("class-upload-text")).to_have_text("3 sounds stored, 3 refused.")
        box = frog.get_by_test_id("class-refused")
        expect(box).to_contain_text("3 files could not be stored")
        texts = box.locator("li").all_inner_texts()
        assert len(texts) == 3
        for text, (name, reason) in zip(texts, REASONS.items(), strict=True):
            assert name in text
            assert reason in text
        names = frog.get_by_test_id("clip-name").all_text_contents()
        assert sorted(names) == sorted([CUT, SILENT, SAFE])
        assert page.locator("img[src=x]").count() == 0
        for name in (CUT, SILENT):
            clip = frog.get_by_test_id("clip").filter(has_text=name)
            expect(clip.locator(".finding")).to_be_visible()
        frog.get_by_role("button", name=f"Play {SAFE}").click()
        until_said(page, f"Stop {SAFE}")
        page.get_by_test_id("class-delete").nth(classes(page).index("frog")).click()
        frog.get_by_test_id("class-delete-yes").click()
        expect(frog).to_have_count(0)
        kept = sorted(
            path.name for path in trained_server.project.rglob(".sonotype/trash/*/frog/*")
        )
        assert kept == sorted([CUT, SILENT, SAFE])


def classes(page: Any) -> list[str]:
    return list(page.get_by_test_id("class-name").all_inner_texts())


def test_try_tells_each_file_that_cannot_be_read(browser: Any, trained_server: Server) -> None:
    refused, stored = files()
    with page_at(browser, trained_server, "try", expected=(REFUSED,), model="run-0001") as opened:
        page = opened.page
        before = page.get_by_test_id("try-sound-item").count()
        page.get_by_test_id("try-file").set_input_files([*refused, *stored])
        expect(page.get_by_test_id("try-sound-item")).to_have_count(before + 3)
        error = page.get_by_test_id("error")
        for name, reason in REASONS.items():
            expect(error).to_contain_text(name)
            expect(error).to_contain_text(reason)
        page.get_by_test_id("error-dismiss").click()
        expect(error).to_be_hidden()
        notes = {CUT: "truncated", SILENT: "silent", MARKUP: ""}
        for name, note in notes.items():
            page.get_by_test_id("try-sound-item").get_by_text(name).click()
            expect(page.get_by_test_id("try-name")).to_have_text(name)
            expect(page.get_by_test_id("try-note")).to_contain_text(note)
            expect(page.get_by_test_id("try-clip")).to_contain_text("Of the part")
        assert page.locator("img[src=x]").count() == 0


HARDWARE = """navigator.mediaDevices.getUserMedia = () =>
  Promise.reject(new DOMException("Requested device not found", "NotFoundError"))"""


@pytest.mark.parametrize(
    ("options", "text"),
    [({"permissions": []}, "does not allow the microphone"),
     ({"script": HARDWARE}, "No microphone was found")],
    ids=["refused", "missing"],
)  # fmt: skip
def test_a_page_without_a_microphone_works_on(
    browser: Any, trained_server: Server, options: dict[str, Any], text: str
) -> None:
    with page_at(browser, trained_server, model="run-0001", **options) as opened:
        page = opened.page
        error = page.get_by_test_id("error")
        record = card(page, "beep").get_by_test_id("class-record")
        for tab, press in (("build", record), ("try", page.get_by_test_id("try-record"))):
            page.get_by_test_id(f"tab-{tab}").click()
            press.click()
            expect(error).to_contain_text(text)
            expect(press).to_have_text("Record")
            expect(press).to_have_attribute("aria-pressed", "false")
            page.get_by_test_id("error-dismiss").click()
            expect(error).to_be_hidden()
        page.get_by_test_id("tab-live").click()
        page.get_by_test_id("live-start").click()
        expect(page.get_by_test_id("live-problem")).to_contain_text(text)
        expect(page.get_by_test_id("live-start")).to_have_text("Start")
        page.get_by_test_id("tab-try").click()
        add_sound(page, "after.wav", wav(samples_of("beep", 62)))
