"""Two people at once, and a person without a mouse, in a browser."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

import pytest

pytest.importorskip("fastapi", reason="needs sonotype[app]")

from app_browser import (
    PICTURES,
    Server,
    card,
    expect,
    page_at,
    samples_of,
    served,
    sounds_of,
    top_label,
    until,
    until_said,
    upload,
    wav,
)  # fmt: skip

FOCUS = """() => {
  // The element with the focus, and whether a person sees that it has the focus.
  const element = document.activeElement;
  const box = element.getBoundingClientRect();
  const outlined = (one) => {
    const style = one && getComputedStyle(one);
    return style && style.outlineStyle !== "none" && parseFloat(style.outlineWidth) >= 2;
  };
  const shown = box.bottom > 0 && box.top < innerHeight && box.right > 0 && box.left < innerWidth;
  return {
    name: element.dataset.testid ?? element.id,
    card: element.closest("[data-testid=class-card]")?.getAttribute("aria-label") ?? "",
    text: element.textContent.trim().slice(0, 40),
    body: element === document.body,
    visible: shown && Boolean(outlined(element) || outlined(element.closest(".file"))),
  };
}"""


def test_two_people_work_on_one_project(browser: Any, trained_server: Server) -> None:
    with (
        page_at(browser, trained_server, model="run-0001") as one,
        page_at(browser, trained_server, model="run-0001") as other,
    ):
        name = other.page.get_by_test_id("class-add-name")
        name.fill("not yet sent")
        name.evaluate("(input) => input.setSelectionRange(3, 6)")
        one.page.get_by_test_id("class-add-name").fill("heron")
        one.page.get_by_test_id("class-add").click()
        expect(card(other.page, "heron")).to_be_visible()
        card(one.page, "heron").get_by_test_id("class-file").set_input_files(
            sounds_of("hum", 1, 70)
        )
        expect(card(other.page, "heron").get_by_test_id("clip")).to_have_count(1)
        expect(name).to_be_focused()
        expect(name).to_have_value("not yet sent")
        assert name.evaluate("(input) => [input.selectionStart, input.selectionEnd]") == [3, 6]
        for person, label in ((one, "beep"), (other, "hum")):
            person.page.get_by_test_id("tab-try").click()
            files = [upload(f"of {label}.wav", wav(samples_of(label, 71)))]
            person.page.get_by_test_id("try-file").set_input_files(files)
        for person, label in ((one, "beep"), (other, "hum")):
            expect(person.page.get_by_test_id("try-name")).to_have_text(f"of {label}.wav")
            until(person.page, lambda p=person, w=label: top_label(p.page, "try-bars") == w)
        one.page.get_by_test_id("tab-build").click()
        until(one.page, lambda: one.page.evaluate(PICTURES))
        card(one.page, "heron").get_by_test_id("class-delete").click()
        card(one.page, "heron").get_by_test_id("class-delete-yes").click()
        expect(card(other.page, "heron")).to_have_count(0)
        assert "heron" not in [c["name"] for c in project_classes(trained_server)]


def project_classes(server: Server) -> list[dict[str, Any]]:
    found: list[dict[str, Any]] = server.get("/api/state")["project"]["classes"]
    return found


@pytest.fixture(scope="module")
def empty_server(tmp_path_factory: pytest.TempPathFactory, browser: Any) -> Iterator[Server]:
    with served(tmp_path_factory.mktemp("keys") / "keys") as server:
        yield server


def focus(page: Any) -> dict[str, Any]:
    """What has the focus; it is seen, and is not lost."""
    found: dict[str, Any] = page.evaluate(FOCUS)
    assert not found["body"]
    assert found["visible"], found
    return found


def tab_to(page: Any, name: str, label: str = "", key: str = "Tab") -> None:
    """Press Tab until an element has the focus."""
    seen = []
    for _ in range(80):
        page.keyboard.press(key)
        found = focus(page)
        if found["name"] == name and label in ("", found["card"]):
            return
        seen.append(found["name"])
    raise AssertionError(f"{name} was not reached: {seen}")


def test_a_project_is_made_with_the_keyboard_alone(browser: Any, empty_server: Server) -> None:
    with page_at(browser, empty_server) as opened:
        page = opened.page
        page.keyboard.press("Tab")
        assert focus(page)["text"] == "Skip to the content"
        walk_tabs(page)
        tab_to(page, "class-add-name")
        for label in ("beep", "hum"):
            page.keyboard.type(label)
            page.keyboard.press("Enter")
            expect(card(page, label)).to_be_visible()
            expect(page.get_by_test_id("class-add-name")).to_have_value("")
            assert focus(page)["name"] == "class-add-name"
        for label in ("hum", "beep"):
            tab_to(page, "class-file", label, "Shift+Tab")
            card(page, label).get_by_test_id("class-file").set_input_files(sounds_of(label))
            expect(card(page, label).get_by_test_id("class-count")).to_contain_text("5 sounds")
            assert focus(page)["name"] == "class-file"
        play_move_and_rename(page)
        tab_to(page, "train")
        page.keyboard.press("Enter")
        expect(page.get_by_test_id("train-progress")).to_be_visible()
        tab_to(page, "train-cancel")
        expect(page.get_by_test_id("train-result"), 60).to_be_visible()
        expect(page.get_by_test_id("train-cancel")).to_be_hidden()
        focus(page)
        tab_to(page, "result-try")
        page.keyboard.press("Enter")
        assert focus(page)["name"] == "tab-try"
        select_on_the_spectrogram(page)


def walk_tabs(page: Any) -> None:
    """Arrow keys choose a tab, and its panel is shown."""
    tab_to(page, "tab-build")
    for key, name in (("ArrowRight", "live"), ("ArrowRight", "try"), ("ArrowRight", "build"),
                      ("ArrowLeft", "try"), ("End", "live"), ("Home", "try"),
                      ("ArrowRight", "build")):  # fmt: skip
        page.keyboard.press(key)
        assert focus(page)["name"] == f"tab-{name}"
        expect(page.locator(f"#panel-{name}")).to_be_visible()


def play_move_and_rename(page: Any) -> None:
    """A sound is played, moved to another class and back; a class is renamed."""
    first = card(page, "beep").get_by_test_id("clip-name").first.inner_text()
    for source, target in (("beep", "hum"), ("hum", "beep")):
        clip = card(page, source).get_by_test_id("clip").filter(has_text=first)
        until(page, lambda: page.evaluate(PICTURES))  # the address of one that is moved is gone
        clip.get_by_test_id("clip-play").focus()
        page.keyboard.press("Enter")
        until_said(page, f"Stop {first}")
        tab_to(page, "clip-move-open", source)
        page.keyboard.press("Space")
        assert focus(page)["name"] == "clip-move"
        page.keyboard.press("Escape")
        assert focus(page)["name"] == "clip-move-open"
        page.keyboard.press("Enter")
        tab_to(page, "clip-move-to", source)
        page.keyboard.press("Enter")
        expect(card(page, target).get_by_test_id("clip")).to_have_count(6 if target == "hum" else 5)
        expect(clip).to_have_count(0)
        assert focus(page)["card"] == source
    tab_to(page, "class-rename", "hum", "Shift+Tab")
    page.keyboard.press("Enter")
    page.keyboard.type("drone")
    page.keyboard.press("Enter")
    expect(card(page, "drone")).to_be_visible()  # may come before the answer, which moves the focus
    expect(card(page, "drone").get_by_test_id("class-name")).to_be_focused()
    focus(page)


def select_on_the_spectrogram(page: Any) -> None:
    """A part is selected, classified, played and cleared by keys."""
    tab_to(page, "try-file")
    page.get_by_test_id("try-file").set_input_files([upload("a.wav", wav(samples_of("beep", 75)))])
    expect(page.get_by_test_id("try-name")).to_have_text("a.wav")
    assert focus(page)["name"] == "try-file"
    tab_to(page, "try-spectrogram")
    canvas = page.get_by_test_id("try-spectrogram")
    for _ in range(20):
        page.keyboard.press("ArrowRight")
    for _ in range(30):
        page.keyboard.press("Shift+ArrowRight")
    expect(canvas).to_have_attribute(
        "aria-valuetext", "0.50 s of 1.00 s; selected from 0.20 s to 0.50 s"
    )
    expect(page.get_by_test_id("try-range")).to_contain_text("0.20 s to 0.50 s")
    page.keyboard.press("Space")
    until_said(page, "Pause")
    expect(page.get_by_test_id("try-play")).to_have_text("Play")
    tab_to(page, "try-zoom")
    page.keyboard.press("Enter")
    expect(page.get_by_test_id("try-zoom-out")).to_be_visible()
    tab_to(page, "try-zoom-out")
    page.keyboard.press("Enter")
    assert focus(page)["name"] == "try-spectrogram"
    page.keyboard.press("Escape")
    expect(canvas).not_to_have_attribute("aria-valuetext", "selected")
    expect(page.get_by_test_id("try-range")).to_have_text("")
    tab_to(page, "bar")
    page.keyboard.press("Enter")
    expect(page.get_by_test_id("try-overlay")).to_be_checked()
    tab_to(page, "try-correct-class")
    page.keyboard.type("beep")
    page.keyboard.press("Enter")
    expect(page.get_by_test_id("try-kept")).to_contain_text("Kept in beep")
    assert focus(page)["name"] == "try-correct-class"
