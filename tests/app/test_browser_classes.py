"""Classes on the page that are renamed and deleted, in a browser."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

pytest.importorskip("fastapi", reason="needs sonotype[app]")

from app_browser import PICTURES, Server, card, expect, page_at, served, sounds_of, until

SLOW_LISTS = """
const plain = window.fetch;
window.fetch = async (address, options) => {
  const list = String(address).endsWith("/clips") && (options?.method ?? "GET") === "GET";
  if (list) await new Promise((done) => setTimeout(done, 500));
  return plain(address, options);
};
"""
"""Lists of sounds are asked for late, as from a busy computer."""
HELD_CHANGES = """
const plain = window.fetch;
window.changes = [];
let held = false;
const later = [];
window.release = () => {
  held = false;
  later.splice(0).forEach((go) => go());
};
window.fetch = async (address, options) => {
  const method = options?.method ?? "GET";
  const change = method === "PATCH" || method === "DELETE";
  if (change) {
    window.changes.push(method);
    held = true;
  }
  const list = method === "GET" && String(address).endsWith("/clips");
  if (held && (change || list)) await new Promise((done) => later.push(done));
  if (list && window.changes.length) await new Promise((done) => setTimeout(done, 200));
  return plain(address, options);
};
"""
"""A change is sent at ``release()``, and lists that were asked for meanwhile right after it."""
LONGEST_CHANGE = 2000
"""Milliseconds after a change when the page asks for the sounds again, whatever has come."""


@pytest.fixture
def empty_server(tmp_path: Path, browser: Any) -> Iterator[Server]:
    with served(tmp_path / "classes") as server:
        yield server


def add_class(page: Any, name: str) -> None:
    """A class with one sound, whose picture has arrived."""
    page.get_by_test_id("class-add-name").fill(name)
    page.get_by_test_id("class-add").click()
    card(page, name).get_by_test_id("class-file").set_input_files(sounds_of("hum", 1, 90))
    expect(card(page, name).get_by_test_id("clip")).to_have_count(1)
    until(page, lambda: page.evaluate(PICTURES))


def type_new_name(page: Any, name: str, new: str) -> None:
    card(page, name).get_by_test_id("class-rename").click()
    card(page, name).get_by_test_id("class-rename-name").fill(new)


def test_a_class_is_renamed_and_deleted_right_after_a_change(
    browser: Any, empty_server: Server
) -> None:
    """Its sounds are not asked for under a name that it has no more."""
    with page_at(browser, empty_server, script=SLOW_LISTS) as opened:
        page = opened.page
        page.get_by_test_id("class-add-name").fill("quick 0")
        page.get_by_test_id("class-add").click()
        for number in range(3):
            one = card(page, f"quick {number}")
            one.get_by_test_id("class-file").set_input_files(sounds_of("hum", 1, 90 + number))
            expect(one.get_by_test_id("clip")).to_have_count(number + 1)
            until(page, lambda: page.evaluate(PICTURES))
            one.get_by_test_id("class-rename").click()
            one.get_by_test_id("class-rename-name").fill(f"quick {number + 1}")
            page.keyboard.press("Enter")
            expect(card(page, f"quick {number + 1}").get_by_test_id("clip")).to_have_count(
                number + 1
            )
        one = card(page, "quick 3")
        one.get_by_test_id("class-file").set_input_files(sounds_of("hum", 1, 99))
        expect(one.get_by_test_id("clip")).to_have_count(4)
        until(page, lambda: page.evaluate(PICTURES))
        one.get_by_test_id("class-delete").click()
        one.get_by_test_id("class-delete-yes").click()
        expect(one).to_have_count(0)
        page.wait_for_timeout(600)  # longer than a request for clips is put off
        expect(page.get_by_test_id("error")).to_have_text("")


def test_a_class_is_deleted_slowly_soon_after_it_got_its_name(
    browser: Any, empty_server: Server
) -> None:
    """What waits for the end of the first change does not take the second for ended."""
    with page_at(browser, empty_server, script=HELD_CHANGES) as opened:
        page = opened.page
        add_class(page, "first")
        type_new_name(page, "first", "second")
        page.keyboard.press("Enter")
        until(page, lambda: page.evaluate("window.changes.length === 1"))
        page.evaluate("release()")
        expect(card(page, "second").get_by_test_id("class-rename")).to_be_focused()
        card(page, "second").get_by_test_id("class-delete").click()
        card(page, "second").get_by_test_id("class-delete-yes").click()
        until(page, lambda: page.evaluate("window.changes.length === 2"))
        page.wait_for_timeout(LONGEST_CHANGE + 500)
        page.evaluate("release()")
        expect(card(page, "second")).to_have_count(0)
        page.wait_for_timeout(500)  # a refused request is in the console by then
        expect(page.get_by_test_id("error")).to_have_text("")


def test_a_new_name_that_is_sent_twice_is_one_change(browser: Any, empty_server: Server) -> None:
    with page_at(browser, empty_server, script=HELD_CHANGES) as opened:
        page = opened.page
        add_class(page, "first")
        type_new_name(page, "first", "second")
        page.keyboard.press("Enter")
        page.keyboard.press("Enter")
        until(page, lambda: page.evaluate("window.changes.length > 0"))
        page.wait_for_timeout(300)  # a second change is sent by then
        assert page.evaluate("window.changes") == ["PATCH"]
        page.evaluate("release()")
        expect(card(page, "second").get_by_test_id("class-rename")).to_be_focused()
        expect(page.get_by_test_id("error")).to_have_text("")
