"""The page when it is closed during a training, and when the program is stopped and started."""

from __future__ import annotations

import shutil
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

pytest.importorskip("fastapi", reason="needs sonotype[app]")

from app_browser import Server, card, expect, page_at, start_server, stop_server, until

GONE = ("Failed to load resource", "WebSocket connection")


@pytest.fixture
def servers(tmp_path: Path, browser: Any, trained: Path) -> Iterator[list[Server]]:
    """The server that runs is the last one."""
    shutil.copytree(trained, tmp_path / trained.name)
    started = [start_server(tmp_path / trained.name)]
    yield started
    stop_server(started[-1])


def test_a_training_outlives_the_page_and_the_page_outlives_the_program(
    browser: Any, servers: list[Server]
) -> None:
    [server] = servers
    with page_at(browser, server) as opened:
        opened.page.get_by_test_id("train").click()
        expect(opened.page.get_by_test_id("train-progress")).to_be_visible()
        expect(opened.page.get_by_test_id("train-result")).to_contain_text("Made from 15 sounds")
        assert len(server.get("/api/state")["runs"]) == 1
    with page_at(browser, server, expected=GONE) as opened:
        page = opened.page
        expect(page.get_by_test_id("runs").get_by_test_id("run"), 60).to_have_count(2)
        expect(page.get_by_test_id("model-select")).to_have_value("run-0002")
        until(page, lambda: server.get("/api/state")["training"]["state"] == "done")
        page.get_by_test_id("class-add-name").fill("half a na")
        stop_server(server)
        connection = page.get_by_test_id("connection")
        expect(connection).to_contain_text("start `sonotype app` again")
        page.get_by_test_id("class-add-name").press("Enter")
        expect(page.get_by_test_id("error")).to_contain_text("start `sonotype app` again")
        expect(page.get_by_test_id("class-add-name")).to_have_value("half a na")
        servers.append(start_server(server.project, port=server.port))
        expect(connection).to_be_hidden()
        expect(card(page, "beep").get_by_test_id("clip")).to_have_count(5)
        expect(page.get_by_test_id("class-add-name")).to_have_value("half a na")
        page.get_by_test_id("class-add").click()
        expect(card(page, "half a na")).to_be_visible()
        expect(page.get_by_test_id("model-select")).to_have_value("run-0002")
