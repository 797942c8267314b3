"""Try in a browser: answers, explanations, recordings, events, corrections."""

from __future__ import annotations

import io
import re
from functools import cache
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import soundfile

pytest.importorskip("fastapi", reason="needs sonotype[app]")

from app_browser import (
    BACKGROUND,
    Server,
    add_sound,
    expect,
    page_at,
    samples_of,
    top_label,
    until,
    until_said,
    wav,
)  # fmt: skip
from training_data import RATE

from sonotype.data.annotations.label_file import read_label_file

PIXELS = "document.getElementById('try-spectrogram').toDataURL()"
PICTURE_CAME = """performance.getEntriesByType("resource")
  .some(({ name, responseEnd }) => /sounds.*picture[?]/.test(name) && responseEnd > 0)"""
MINUTES = 10
EVENTS = [(20.0 + 28.0 * n, "beep" if n % 3 else "hum") for n in range(20)]
"""Start in seconds and class of the events in the long recording, of 2 s each."""


def pixels(page: Any) -> str:
    """The picture of the spectrogram."""
    page.wait_for_timeout(80)
    return str(page.evaluate(PIXELS))


def drawn(page: Any) -> str:
    """The same, after all of it has come."""
    until(page, lambda: page.evaluate(PICTURE_CAME))
    last, now = "", pixels(page)
    while now != last:
        page.wait_for_timeout(120)
        last, now = now, pixels(page)
    return now


def seconds_of(page: Any) -> float:
    """The shown position."""
    return float(page.get_by_test_id("try-spectrogram").get_attribute("aria-valuenow"))


def drag(page: Any, start: float, end: float) -> None:
    """Drag over parts of the width of the spectrogram."""
    box = page.get_by_test_id("try-spectrogram").bounding_box()
    middle = box["y"] + 80
    page.mouse.move(box["x"] + start * box["width"], middle)
    page.mouse.down()
    page.mouse.move(box["x"] + (start + end) / 2 * box["width"], middle)
    page.mouse.move(box["x"] + end * box["width"], middle)
    page.mouse.up()


def test_an_answer_an_explanation_and_playback(browser: Any, trained_server: Server) -> None:
    with page_at(browser, trained_server, "try", model="run-0001") as opened:
        page = opened.page
        add_sound(page, "a beep.wav", wav(samples_of("beep", 31)))
        assert top_label(page, "try-bars") == "beep"
        plain = drawn(page)
        page.get_by_test_id("try-overlay").check()
        expect(page.get_by_test_id("try-explained")).to_contain_text("With the coloured parts")
        coloured = drawn(page)
        assert coloured != plain
        page.get_by_test_id("try-bars").get_by_role("button", name="hum").click()
        expect(page.get_by_test_id("try-explained")).to_contain_text("hum: ")
        expect(page.get_by_test_id("try-branch")).to_be_hidden()
        page.get_by_test_id("try-overlay").uncheck()
        until(page, lambda: pixels(page) == plain)
        page.get_by_test_id("try-play").click()
        until(page, lambda: seconds_of(page) > 0.2)
        until(page, lambda: page.get_by_test_id("try-play").inner_text() == "Play")


def test_the_views_of_a_model_with_two_branches(browser: Any, trained_server: Server) -> None:
    with page_at(browser, trained_server, "try", model="file-0") as opened:
        page = opened.page
        add_sound(page, "a.wav", wav(samples_of("beep", 31)))
        page.get_by_test_id("try-overlay").check()
        branch = page.get_by_test_id("try-branch")
        expect(branch).to_be_visible()
        assert branch.locator("option").count() == 2
        first = drawn(page)
        branch.select_option(index=1)
        until(page, lambda: pixels(page) != first)


def test_a_recorded_sound_is_classified(browser: Any, trained_server: Server) -> None:
    with page_at(browser, trained_server, "try", model="run-0001") as opened:
        page = opened.page
        page.get_by_test_id("try-record").click()
        expect(page.get_by_test_id("try-record")).to_contain_text(
            re.compile(r"Stop \(([2-9]|\d\d) s\)")
        )
        expect(page.get_by_test_id("try-level")).to_be_visible()
        page.get_by_test_id("try-record").click()
        expect(page.get_by_test_id("try-name")).to_contain_text("Recording ")
        until(page, lambda: top_label(page, "try-bars") == "beep")
        expect(page.get_by_test_id("try-record")).to_have_text("Record")
        expect(page.get_by_test_id("try-level")).to_be_hidden()


@cache
def long_recording() -> bytes:
    """Quiet noise with beeps and hums."""
    samples = np.random.default_rng(9).normal(0, 0.005, MINUTES * 60 * RATE).astype(np.float32)
    for number, (start, label) in enumerate(EVENTS):
        first = round(start * RATE)
        sound = np.concatenate([samples_of(label, 40 + number)] * 2)
        samples[first : first + len(sound)] += sound
    return wav(samples)


def test_events_of_a_long_recording(browser: Any, trained_server: Server, tmp_path: Path) -> None:
    with page_at(browser, trained_server, "try", model="run-0001") as opened:
        page = opened.page
        add_sound(page, "night.wav", long_recording())
        empty = drawn(page)
        page.get_by_test_id("try-detect").click()
        expect(page.get_by_test_id("try-events-count"), 60).to_contain_text(
            "found with the threshold of the model"
        )
        rows = page.get_by_test_id("try-event")
        found = [found_event(row) for row in rows.all_inner_texts()]
        assert [label for _, _, label in found] == [label for _, label in EVENTS]
        for (start, end, _), (true, _) in zip(found, EVENTS, strict=True):
            assert true < (start + end) / 2 < true + 2
        chips = page.get_by_test_id("try-timeline").get_by_role("button")
        assert sorted(chips.all_inner_texts()) == ["beep 13", "hum 7"]
        assert drawn(page) != empty, "the events are drawn below the spectrogram"
        check_labels(page, found, tmp_path)
        chips.filter(has_text="hum").click()
        expect(rows).to_have_count(13)
        rows.nth(3).click()
        until_said(page, "Pause")
        chosen = [one for one in found if one[2] == "beep"][3]
        expect(page.get_by_test_id("try-range")).to_contain_text("Selected")
        assert chosen[0] - 0.1 <= seconds_of(page) <= chosen[1] + 0.3
        until(page, lambda: page.get_by_test_id("try-play").inner_text() == "Play")
        assert seconds_of(page) == pytest.approx(chosen[1], abs=0.3)
        keep_a_part(page, trained_server)


def found_event(text: str) -> tuple[float, float, str]:
    """Start, end and class in a row of the list."""
    times, label, _ = text.split("\n")
    start, end = (seconds(part) for part in times.split(" – "))
    return start, end, label


def seconds(text: str) -> float:
    """A time as the page writes it: ``12.3 s`` or ``1:02.3``."""
    minutes, _, rest = text.removesuffix(" s").rpartition(":")
    return 60 * float(minutes or 0) + float(rest)


def check_labels(page: Any, found: list[tuple[float, float, str]], folder: Path) -> None:
    """Each format that can be downloaded is read by the program."""
    for kind in ("audacity", "raven", "csv"):
        page.get_by_test_id("try-labels-format").select_option(kind)
        with page.expect_download() as waiting:
            page.get_by_test_id("try-labels").click()
        path = folder / waiting.value.suggested_filename
        waiting.value.save_as(path)
        assert path.name.startswith("night")
        read = [(one.start, one.end, one.row.label) for one in read_label_file(path).entries]
        assert read == [
            (pytest.approx(a, abs=0.1), pytest.approx(b, abs=0.1), c) for a, b, c in found
        ]


def keep_a_part(page: Any, server: Server) -> None:
    """Drag over a part, and keep it in a class."""
    page.get_by_test_id("try-play").scroll_into_view_if_needed()
    drag(page, 0.5, 0.6)
    page.get_by_test_id("try-zoom").click()
    drag(page, 0.4, 0.45)
    start, end = page.get_by_test_id("try-range").inner_text().split(" (")[0][9:].split(" to ")
    length = seconds(end) - seconds(start)
    assert 1 < length < 6
    page.get_by_test_id("try-correct-class").fill(BACKGROUND)
    keep = page.get_by_test_id("try-keep")
    expect(keep).to_contain_text("Keep the selection")
    keep.click()
    expect(page.get_by_test_id("try-kept")).to_contain_text(f"Kept in {BACKGROUND} as night_")
    newest = server.get(f"/api/classes/{BACKGROUND}/clips")[0]
    samples, rate = soundfile.read(server.project / BACKGROUND / newest["file"], dtype="int16")
    assert len(samples) / rate == pytest.approx(length, abs=0.03)
    whole, _ = soundfile.read(io.BytesIO(long_recording()), dtype="int16")
    first = float(newest["file"].removeprefix("night_").split("-")[0])
    assert first == pytest.approx(seconds(start), abs=0.02)
    near = range(round((first - 0.001) * RATE), round((first + 0.001) * RATE))  # the name has ms
    assert any(np.array_equal(samples, whole[at : at + len(samples)]) for at in near)


def test_a_correction_and_a_new_training(browser: Any, trained_server: Server) -> None:
    with page_at(browser, trained_server, "try", model="run-0001") as opened:
        page = opened.page
        add_sound(page, "corrected.wav", wav(samples_of("beep", 33)))
        page.get_by_test_id("try-correct-class").fill("beep")
        page.get_by_test_id("try-keep").click()
        expect(page.get_by_test_id("try-kept")).to_have_text("Kept in beep as corrected.wav.")
        page.get_by_test_id("try-retrain").click()
        expect(page.get_by_test_id("try-retrain-progress")).to_be_visible()
        comparison = page.get_by_test_id("try-comparison")
        expect(comparison, 60).to_contain_text("Before and after")
        expect(comparison).to_contain_text("Of 10 sounds that both runs were scored on")
        table = comparison.get_by_role("table", name="Answer for corrected.wav")
        rows = [row.split("\t")[:2] for row in table.locator("tbody tr").all_inner_texts()]
        assert rows == [["Before", "beep"], ["After", "beep"]]
        newest = trained_server.get("/api/state")["runs"][0]["id"]
        expect(page.get_by_test_id("model-select")).to_have_value(f"run-{newest}")
        expect(page.get_by_test_id("try-clip")).to_contain_text(f"by Run {int(newest)}")
