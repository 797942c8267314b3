"""Classes on the page that are renamed and deleted, in a browser."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

pytest.importorskip("fastapi", reason="needs sonotype[app]")

from app_browser import (
    PICTURES,
    REFUSED,
    Server,
    card,
    expect,
    page_at,
    served,
    sounds_of,
    until,
)  # fmt: skip

HOLD = """
const plain = window.fetch;
const rules = new Map();
const waiting = new Map();
window.asked = [];
window.hold = (method, end) => rules.set(method, end);
window.release = (method) => {
  rules.delete(method);
  (waiting.get(method) ?? []).splice(0).forEach((go) => go());
};
window.fetch = async (address, options) => {
  const method = options?.method ?? "GET";
  const path = decodeURIComponent(new URL(address, location).pathname);
  window.asked.push(`${method} ${path}`);
  if (rules.has(method) && path.endsWith(rules.get(method))) {
    await new Promise((go) => waiting.set(method, [...(waiting.get(method) ?? []), go]));
  }
  return plain(address, options);
};
"""
"""``hold(method, end)`` keeps back requests to addresses with an end until ``release(method)``."""
LATE_STATES = """
window.late = [];
window.takeStates = () => window.late.splice(0).forEach((take) => take());
const listen = EventSource.prototype.addEventListener;
EventSource.prototype.addEventListener = function (kind, take) {
  const later = (event) => (window.holdStates ? window.late.push(() => take(event)) : take(event));
  listen.call(this, kind, kind === "message" ? later : take);
};
"""
"""From ``holdStates = true`` on, states come at ``takeStates()``."""
LATEST = 1000
"""Milliseconds until a list that the page put off is asked for, and a refusal is in the console."""


@pytest.fixture
def empty_server(tmp_path: Path, browser: Any) -> Iterator[Server]:
    with served(tmp_path / "classes") as server:
        yield server


def add_class(page: Any, name: str, sounds: int = 1) -> None:
    """A class with some sounds, whose pictures have arrived."""
    page.get_by_test_id("class-add-name").fill(name)
    page.get_by_test_id("class-add").click()
    expect(card(page, name).get_by_test_id("class-delete")).to_be_visible()  # no prepared card
    if sounds:
        add_sounds(page, name, 0, sounds)


def add_sounds(page: Any, name: str, before: int, sounds: int = 1) -> None:
    files = sounds_of("hum", sounds, 90 + before)
    card(page, name).get_by_test_id("class-file").set_input_files(files)
    expect(card(page, name).get_by_test_id("clip")).to_have_count(min(before + sounds, 6))
    until(page, lambda: page.evaluate(PICTURES))


def type_new_name(page: Any, name: str, new: str) -> None:
    card(page, name).get_by_test_id("class-rename").click()
    card(page, name).get_by_test_id("class-rename-name").fill(new)


def delete_class(page: Any, name: str) -> None:
    card(page, name).get_by_test_id("class-delete").click()
    card(page, name).get_by_test_id("class-delete-yes").click()


def asked(page: Any, what: str) -> int:
    """How often the page has sent a request, or holds it."""
    return list(page.evaluate("window.asked")).count(what)


def hold_a_list(page: Any, name: str) -> None:
    """The list of a class with one sound is asked for after a second one, and kept back."""
    page.evaluate("hold('GET', '/clips')")
    before = asked(page, f"GET /api/classes/{name}/clips")
    add_sounds(page, name, 1)
    until(page, lambda: asked(page, f"GET /api/classes/{name}/clips") > before)


def no_error(page: Any) -> None:
    page.wait_for_timeout(LATEST)
    expect(page.get_by_test_id("error")).to_have_text("")


def test_lists_that_are_late_find_a_renamed_class(browser: Any, empty_server: Server) -> None:
    with page_at(browser, empty_server, script=HOLD) as opened:
        page = opened.page
        add_class(page, "first")
        hold_a_list(page, "first")
        type_new_name(page, "first", "second")
        page.keyboard.press("Enter")
        expect(card(page, "second").get_by_test_id("class-name")).to_be_focused()
        page.evaluate("release('GET')")
        no_error(page)
        expect(card(page, "second").get_by_test_id("clip")).to_have_count(2)


def test_no_list_of_a_class_that_is_being_deleted(browser: Any, empty_server: Server) -> None:
    with page_at(browser, empty_server, script=HOLD) as opened:
        page = opened.page
        add_class(page, "first")
        hold_a_list(page, "first")
        page.evaluate("hold('DELETE', '')")
        delete_class(page, "first")
        until(page, lambda: asked(page, "DELETE /api/classes/first") == 1)
        before = asked(page, "GET /api/classes/first/clips")
        card(page, "first").get_by_test_id("class-delete-yes").click()
        add_sounds(page, "first", 2)  # the page asks for the list after this, as a rule
        page.wait_for_timeout(LATEST)
        assert asked(page, "GET /api/classes/first/clips") == before
        assert asked(page, "DELETE /api/classes/first") == 1
        page.evaluate("release('DELETE')")
        expect(card(page, "first")).to_have_count(0)
        page.evaluate("release('GET')")
        no_error(page)


def test_a_deletion_that_fails_leaves_a_class_that_works(
    browser: Any, empty_server: Server
) -> None:
    with page_at(browser, empty_server, script=HOLD) as opened:
        page = opened.page
        add_class(page, "first")
        page.route("**/api/classes/first", lambda route: route.abort())
        delete_class(page, "first")
        expect(page.get_by_test_id("error")).to_contain_text("does not answer")
        page.unroute("**/api/classes/first")
        before = asked(page, "GET /api/classes/first/clips")
        add_sounds(page, "first", 1)
        until(page, lambda: asked(page, "GET /api/classes/first/clips") > before)
        card(page, "first").get_by_test_id("class-delete-yes").click()
        expect(card(page, "first")).to_have_count(0)
        opened.errors[:] = [text for text in opened.errors if "ERR_FAILED" not in text]


def test_the_last_background_becomes_a_prepared_card(browser: Any, empty_server: Server) -> None:
    """The card stays, and is that of no class."""
    with page_at(browser, empty_server, expected=(REFUSED,), script=HOLD) as opened:
        page = opened.page
        add_class(page, "first")
        add_class(page, "background")
        delete_class(page, "background")
        background = card(page, "background")
        expect(background.get_by_test_id("class-count")).to_contain_text("No sounds yet")
        expect(background.get_by_test_id("class-delete-yes")).to_be_hidden()
        expect(background.get_by_test_id("clip")).to_have_count(0)
        before = asked(page, "GET /api/classes/background/clips")
        no_error(page)
        type_new_name(page, "background", "test")
        page.keyboard.press("Enter")
        expect(page.get_by_test_id("error")).not_to_have_text("")
        page.wait_for_timeout(LATEST)
        assert asked(page, "GET /api/classes/background/clips") == before
        page.get_by_test_id("error-dismiss").click()
        background.get_by_role("button", name="Cancel").click()
        add_sounds(page, "background", 0)
        until(page, lambda: asked(page, "GET /api/classes/background/clips") > before)
        no_error(page)
        refused = [text.split()[-1] for text in opened.errors if text.startswith(REFUSED)]
        assert refused == [f"{empty_server.address}/api/classes"]


def test_two_tabs_make_the_class_of_a_prepared_card(browser: Any, empty_server: Server) -> None:
    with page_at(browser, empty_server, expected=(REFUSED,), script=HOLD) as opened:
        page = opened.page
        page.evaluate("hold('POST', '/classes')")
        files = sounds_of("hum", 1, 90)
        card(page, "background").get_by_test_id("class-file").set_input_files(files)
        until(page, lambda: asked(page, "POST /api/classes") == 1)
        (empty_server.project / "background").mkdir(parents=True)
        page.evaluate("release('POST')")
        expect(card(page, "background").get_by_test_id("clip")).to_have_count(1)
        expect(card(page, "background").get_by_test_id("class-refused")).to_be_hidden()
        no_error(page)


def test_a_name_that_becomes_another_keeps_the_card(browser: Any, empty_server: Server) -> None:
    """The name of a folder cannot contain every character."""
    with page_at(browser, empty_server) as opened:
        page = opened.page
        for name in ("first", "other"):
            add_class(page, name)
        card(page, "first").evaluate("(card) => (card.dataset.mark = 'same')")
        type_new_name(page, "first", "a/b")
        page.keyboard.press("Enter")
        renamed = page.get_by_test_id("class-card").first
        expect(renamed.get_by_test_id("class-name")).not_to_have_text("first")
        expect(renamed.get_by_test_id("class-name")).to_be_focused()
        assert renamed.get_attribute("data-mark") == "same"
        expect(renamed.get_by_test_id("clip")).to_have_count(1)
        no_error(page)


@pytest.mark.parametrize("pause", [0, 50, 300])
def test_enter_that_is_pressed_twice_is_one_change(
    browser: Any, empty_server: Server, pause: int
) -> None:
    with page_at(browser, empty_server, script=HOLD) as opened:
        page = opened.page
        add_class(page, "first")
        if not pause:
            page.evaluate("hold('PATCH', '')")
        type_new_name(page, "first", "second")
        page.keyboard.press("Enter")
        page.wait_for_timeout(pause)
        page.keyboard.press("Enter")
        until(page, lambda: asked(page, "PATCH /api/classes/first") > 0)
        page.evaluate("release('PATCH')")
        title = card(page, "second").get_by_test_id("class-name")
        expect(title).to_be_focused()
        no_error(page)
        assert asked(page, "PATCH /api/classes/first") == 1
        expect(title).to_be_focused()
        expect(card(page, "second").get_by_test_id("class-rename-name")).to_be_hidden()


def test_sounds_that_arrive_while_a_class_is_renamed(browser: Any, empty_server: Server) -> None:
    with page_at(browser, empty_server) as opened:
        page = opened.page
        files = sounds_of("hum", 30, 90)
        card(page, "my sound").get_by_test_id("class-file").set_input_files(files)
        expect(card(page, "my sound").get_by_test_id("clip")).not_to_have_count(0)
        for old, new in (("my sound", "first"), ("first", "second")):
            type_new_name(page, old, new)
            page.keyboard.press("Enter")
            expect(card(page, new)).to_be_visible()
        expect(card(page, "second").get_by_test_id("class-upload-text")).to_have_text(
            "30 sounds stored."
        )
        expect(card(page, "second").get_by_test_id("class-count")).to_contain_text("30 sounds")
        no_error(page)


def test_changes_that_follow_before_the_state_comes(browser: Any, empty_server: Server) -> None:
    with page_at(browser, empty_server, script=LATE_STATES) as opened:
        page = opened.page
        for name in ("other", "first"):
            add_class(page, name)
        page.evaluate("window.holdStates = true")
        for old, new in (("first", "a/b"), ("a_b", "third")):
            type_new_name(page, old, new)
            page.keyboard.press("Enter")
            expect(card(page, new.replace("/", "_")).get_by_test_id("class-name")).to_be_focused()
            no_error(page)
        delete_class(page, "third")
        expect(page.get_by_test_id("status")).to_contain_text("The class third was deleted")
        expect(card(page, "third").get_by_test_id("clip")).to_have_count(0)
        expect(page.get_by_test_id("class-name").first).to_be_focused()
        page.evaluate("(window.holdStates = false), takeStates()")
        expect(card(page, "third")).to_have_count(0)
        no_error(page)


def test_a_slow_change_takes_nothing_from_a_person(browser: Any, empty_server: Server) -> None:
    with page_at(browser, empty_server, script=HOLD) as opened:
        page = opened.page
        for name in ("first", "other"):
            add_class(page, name, sounds=0)
        name = page.get_by_test_id("class-add-name")
        page.evaluate("hold('PATCH', '')")
        type_new_name(page, "first", "second")
        page.keyboard.press("Enter")
        page.keyboard.type("lost")  # the name that was sent stays
        expect(card(page, "first").get_by_test_id("class-rename-name")).to_have_value("second")
        page.keyboard.press("Escape")
        expect(card(page, "first").get_by_test_id("class-rename-name")).to_be_visible()
        name.focus()
        page.evaluate("release('PATCH')")
        expect(card(page, "second").get_by_test_id("class-rename")).to_be_visible()
        expect(name).to_be_focused()
        page.evaluate("hold('DELETE', '')")
        delete_class(page, "second")
        name.focus()
        page.keyboard.type("heron")
        page.evaluate("release('DELETE')")
        expect(card(page, "second")).to_have_count(0)
        expect(page.get_by_test_id("status")).to_contain_text("The class second was deleted")
        expect(name).to_be_focused()
        expect(name).to_have_value("heron")
