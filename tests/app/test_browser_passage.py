"""From an empty folder to a live detector in a browser, with files and with the microphone."""

from __future__ import annotations

import shlex
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import numpy as np
import pytest

pytest.importorskip("fastapi", reason="needs sonotype[app]")

from app_browser import Server, card, expect, page_at, served, sounds_of, top_label, until
from safetensors.numpy import load_file

from sonotype.cli.main import run

MOST_SECONDS = 60


@pytest.fixture(scope="module")
def empty_server(tmp_path_factory: pytest.TempPathFactory, browser: Any) -> Iterator[Server]:
    with served(tmp_path_factory.mktemp("empty") / "pond") as server:
        yield server


def record(page: Any, label: str, seconds: float) -> None:
    """Record a sound into a class.

    Chromium plays the file from its start for each recording: two of the same length can be equal,
    and an equal sound is not stored twice.
    """
    press = card(page, label).get_by_test_id("class-record")
    before = card(page, label).get_by_test_id("clip").count()
    press.click()
    expect(press).to_have_attribute("aria-pressed", "true")
    page.wait_for_timeout(1000 * seconds)
    press.click()
    expect(press).to_have_text("Record")
    expect(card(page, label).get_by_test_id("clip")).to_have_count(before + 1)


def test_from_an_empty_folder_to_a_live_detector(
    browser: Any, empty_server: Server, tmp_path: Path
) -> None:
    began = time.monotonic()
    with page_at(browser, empty_server) as opened:
        page = opened.page
        assert not empty_server.project.exists(), "nothing is made before something is saved"
        expect(page.get_by_test_id("steps")).to_be_visible()
        expect(page.get_by_test_id("train-reason")).to_contain_text("not possible yet")
        for label in ("beep", "hum"):
            page.get_by_test_id("class-add-name").fill(label)
            page.get_by_test_id("class-add").click()
            expect(card(page, label)).to_be_visible()
        card(page, "hum").get_by_test_id("class-file").set_input_files(sounds_of("hum"))
        expect(card(page, "hum").get_by_test_id("class-count")).to_contain_text("5 sounds")
        for number in range(5):
            record(page, "beep", 1.1 + 0.2 * number)
        expect(card(page, "beep").get_by_test_id("class-count")).to_contain_text("5 sounds")
        expect(page.get_by_test_id("advice")).to_contain_text("enough sounds")
        page.get_by_test_id("train").click()
        result = page.get_by_test_id("train-result")
        expect(result, MOST_SECONDS).to_be_visible()
        expect(result).to_contain_text("new sounds, ")
        page.get_by_test_id("result-live").click()
        expect(page.get_by_test_id("tab-live")).to_have_attribute("aria-selected", "true")
        page.get_by_test_id("live-start").click()
        until(page, lambda: top_label(page, "live-bars") == "beep")
        seconds = time.monotonic() - began
        # The beeps follow each other without a pause: the end of the sound ends the event.
        page.get_by_test_id("live-start").click()
        expect(page.get_by_test_id("live-event").first).to_contain_text("beep")
        expect(page.get_by_test_id("live-start")).to_have_text("Start")
        command = page.get_by_test_id("command").text_content()
        print(f"from an empty folder to a live detector: {seconds:.1f} s")  # noqa: T201
        assert seconds < MOST_SECONDS
    check_equal_weights(empty_server.project, command, tmp_path)


def check_equal_weights(project: Path, command: str, folder: Path) -> None:
    """The command that the page shows makes the same model."""
    program, *arguments = shlex.split(command)
    assert (program, arguments[:2], arguments[-2]) == ("sonotype", ["train", str(project)], "--out")
    run([*arguments[:-1], str(folder / "run")])
    own = load_file(project / ".sonotype" / "runs" / "0001" / "model.safetensors")
    expected = load_file(folder / "run" / "model.safetensors")
    assert own.keys() == expected.keys()
    for name, weights in expected.items():
        np.testing.assert_array_equal(own[name], weights, err_msg=name)
