"""Files that are dropped onto a class, and sentences of the page; the server is in this process."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from browser import chromium

pytest.importorskip("fastapi", reason="needs sonotype[app]")

from app.page_host import context_of, page_of, sound
from app_browser import REFUSED, Server, card, expect, page_at

FILES = """(files) => {
  const moved = new DataTransfer();
  for (const { name, bytes } of files) moved.items.add(new File([new Uint8Array(bytes)], name));
  return moved;
}"""


@pytest.fixture(scope="module")
def opened(tmp_path_factory: pytest.TempPathFactory) -> Iterator[tuple[Any, Path]]:
    """The page of a project with the class dog, and the folder of the project."""
    folder = tmp_path_factory.mktemp("drop")
    with chromium() as browser:
        context = context_of(folder / "meadow", folder / "tray")
        context.project.add_class("dog")
        context.project.add_class("cat")
        with page_of(context) as client:
            process: Any = None
            server = Server(context.project.folder, str(client.base_url).rstrip("/"), process)
            with page_at(browser, server, expected=(REFUSED,)) as page:
                yield page.page, context.project.folder


def dropped(page: Any, target: Any, files: list[tuple[str, bytes]]) -> None:
    """Drop files onto an element, as the browser does after a person drags them from a folder."""
    values = [{"name": name, "bytes": list(content)} for name, content in files]
    moved = page.evaluate_handle(FILES, values)
    for kind in ("dragenter", "dragover", "drop"):
        target.dispatch_event(kind, {"dataTransfer": moved})


def test_files_are_dropped_onto_a_class(opened: tuple[Any, Path], tmp_path: Path) -> None:
    page, project = opened
    contents = [sound(tmp_path / f"{seed}.wav", seed).read_bytes() for seed in range(2)]
    dog = card(page, "dog")
    files = [("a.wav", contents[0]), ("no sound.wav", b"text"), ("b 🐕.wav", contents[1])]
    dropped(page, dog.get_by_test_id("class-drop"), files)
    expect(dog.get_by_test_id("class-upload-text")).to_have_text("2 sounds stored, 1 refused.")
    expect(dog.get_by_test_id("clip")).to_have_count(2)
    expect(dog.get_by_test_id("class-refused")).to_contain_text("no sound.wav")
    stored = {path.name: path.read_bytes() for path in (project / "dog").iterdir()}
    assert stored == {"a.wav": contents[0], "b 🐕.wav": contents[1]}


def test_a_file_that_is_dropped_beside_a_class_does_not_replace_the_page(
    opened: tuple[Any, Path],
) -> None:
    page, project = opened
    address, before = page.url, sorted((project / "cat").iterdir())
    dropped(page, page.locator("h1, header").first, [("x.wav", b"text")])
    assert page.url == address
    assert sorted((project / "cat").iterdir()) == before


def test_a_sound_that_is_too_long_says_what_to_do(opened: tuple[Any, Path], tmp_path: Path) -> None:
    page, _ = opened
    cat = card(page, "cat")
    content = sound(tmp_path / "long.wav", 3, seconds=61).read_bytes()
    cat.get_by_test_id("class-file").set_input_files(
        [{"name": "long.wav", "mimeType": "audio/wav", "buffer": content}]
    )
    expect(cat.locator(".finding")).to_contain_text("drag over the spectrogram")
    found = page.get_by_test_id("finding").filter(has_text="Too long to be checked")
    expect(found).to_contain_text("Cut from a recording")


SENTENCES = [
    ((0.96, 0.9, 0.99), "Of new sounds, about 96 % would be recognised (90 to 99 %)."),
    ((0.85, 0.701, 0.921), "Of new sounds, about 85 % would be recognised (70 to 93 %)."),
    ((0.996, 0.9, 1), "Of new sounds, about 99 % would be recognised (90 to 100 %)."),
    ((0.004, 0, 0.1), "Of new sounds, about 1 % would be recognised (0 to 10 %)."),
    ((1, 0.69, 1), "Each tested sound was recognised; of new sounds, 69 to 100 % would be."),
    ((0, 0, 0.31), "No tested sound was recognised; of new sounds, 0 to 31 % would be."),
]


def test_the_accuracy_in_words_is_not_rounded_to_something_else(opened: tuple[Any, Path]) -> None:
    page, _ = opened
    for (value, low, high), sentence in SENTENCES:
        script = """async (values) => (await import("/page/words.js")).accuracySentence(values)"""
        found = page.evaluate(script, {"value": value, "low": low, "high": high})
        assert found == sentence


def test_runs_and_names_are_in_the_order_of_the_program(opened: tuple[Any, Path]) -> None:
    page, _ = opened
    script = """async (ids) => ids.sort((await import("/page/words.js")).compareRuns)"""
    ids = ["run-10000", "run-9999", "run-0002", "run-0010"]
    assert page.evaluate(script, ids) == ["run-0002", "run-0010", "run-9999", "run-10000"]
    script = """async (names) => names.sort((await import("/page/words.js")).compareTexts)"""
    names = ["b.wav", "B.wav", "ä.wav", "a.wav", "a (2).wav"]
    assert page.evaluate(script, names) == sorted(names)
