"""The routes of the project, as a page uses them."""

from __future__ import annotations

import errno
import json
import socket
import threading
import time
from pathlib import Path
from typing import Any

import httpx
import pytest
from app.page_host import page_of, sound

from sonotype.app import page_server
from sonotype.app.context import AppContext
from sonotype.app.stored_file import StoredFile


def upload(page: httpx.Client, label: str, name: str, content: bytes) -> httpx.Response:
    return page.post(f"/api/classes/{label}/clips", params={"name": name}, content=content)


def problem_of(answer: httpx.Response) -> tuple[int, str]:
    assert answer.headers["content-type"] == "application/problem+json"
    return answer.status_code, answer.json()["type"].rpartition("/")[2]


def test_a_project_from_its_first_class_to_the_trash(page: httpx.Client, tmp_path: Path) -> None:
    content = sound(tmp_path / "a.wav").read_bytes()
    assert page.post("/api/classes", json={"name": "🐓 é"}).status_code == 201
    answer = upload(page, "🐓 é", "../x.wav", content)
    assert answer.status_code == 201
    assert (answer.json()["file"], answer.json()["stored"]) == ("x.wav", True)
    assert upload(page, "🐓 é", "y.wav", content).json()["stored"] is False
    assert [one["file"] for one in page.get("/api/classes/🐓 é/clips").json()] == ["x.wav"]
    page.post("/api/classes", json={"name": "cat"})
    answer = page.post("/api/classes/🐓 é/clips/x.wav/move", json={"to": "cat"})
    assert answer.json()["class"] == "cat"
    audio = page.get("/api/classes/cat/clips/x.wav/audio", headers={"range": "bytes=0-3"})
    assert (audio.status_code, audio.content) == (206, b"RIFF")
    assert page.get("/api/classes/cat/clips/x.wav/picture").content.startswith(b"\x89PNG")
    assert page.patch("/api/classes/cat", json={"name": "dog"}).json()["name"] == "dog"
    assert page.put("/api/project", json={"backbone": "mn04"}).json()["backbone"] == "mn04"
    state = page.get("/api/state").json()["project"]
    assert state["classes"] == [
        {"name": "dog", "clips": 1, "seconds": 0.5, "negative": False},
        {"name": "🐓 é", "clips": 0, "seconds": 0, "negative": False},
    ]
    assert page.delete("/api/classes/dog/clips/x.wav").status_code == 204
    assert problem_of(page.delete("/api/classes/dog/clips/x.wav")) == (404, "gone")
    assert page.delete("/api/classes/dog").status_code == 204
    assert page.get("/api/findings").status_code == 200


@pytest.mark.parametrize(
    ("name", "content", "wanted"),
    [
        ("x.txt", b"text", (415, "unsupported-media-type")),
        ("x.wav", b"text", (422, "unreadable-sound")),
        ("x.wav", b"", (422, "unreadable-sound")),
    ],
)
def test_what_is_no_sound_is_not_stored(
    page: httpx.Client, name: str, content: bytes, wanted: tuple[int, str]
) -> None:
    page.post("/api/classes", json={"name": "dog"})
    assert problem_of(upload(page, "dog", name, content)) == wanted
    assert page.get("/api/classes/dog/clips").json() == []


def test_a_full_disk_stores_nothing(
    page: httpx.Client, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    page.post("/api/classes", json={"name": "dog"})
    monkeypatch.setattr("sonotype.app.uploads.SPARE", 1 << 62)
    answer = upload(page, "dog", "x.wav", sound(tmp_path / "a.wav").read_bytes())
    assert problem_of(answer) == (507, "storage-full")
    assert page.get("/api/classes/dog/clips").json() == []


def test_the_findings_name_class_and_file(page: httpx.Client, context: AppContext) -> None:
    folder = context.project.folder
    for label in ("dog", "cat"):
        sound(folder / label / "same.wav", 1)
    (folder / "dog" / "bad.wav").write_bytes(b"no sound")
    found = {one["kind"]: one for one in page.get("/api/findings").json()}
    assert [(one["class"], one["file"]) for one in found["unreadable"]["places"]] == [
        ("dog", "bad.wav")]  # fmt: skip
    copies = found["copies_under_two_labels"]["places"]
    assert sorted((one["class"], one["file"]) for one in copies) == [
        ("cat", "same.wav"), ("dog", "same.wav")]  # fmt: skip
    assert all(one["advice"] and "--" not in one["advice"] for one in found.values())
    assert "bad.wav" in page.get("/api/state").json()["project"]["advice"]


def test_two_tabs_see_each_change(page: httpx.Client, context: AppContext) -> None:
    seen: list[list[int]] = [[], []]
    first = threading.Barrier(3)

    def listen(number: int) -> None:
        with page.stream("GET", "/api/changes") as answer:
            for line in answer.iter_lines():
                if line.startswith("data: "):
                    values: dict[str, Any] = json.loads(line.removeprefix("data: "))
                    seen[number].append(len(values["project"]["classes"]))
                    if len(seen[number]) == 1:
                        first.wait(20)
                    if seen[number][-1] == 2:
                        return

    tabs = [threading.Thread(target=listen, args=(number,)) for number in range(2)]
    for tab in tabs:
        tab.start()
    first.wait(20)
    page.post("/api/classes", json={"name": "dog"})
    end = time.monotonic() + 20
    while any(some[-1] != 1 for some in seen):
        assert time.monotonic() < end
        time.sleep(0.01)
    (context.project.folder / "cat").mkdir()  # by another program
    for tab in tabs:
        tab.join(20)
    assert seen == [[0, 1, 2], [0, 1, 2]]


@pytest.mark.parametrize(
    "headers",
    [
        {"host": "evil.example"},
        {"origin": "http://evil.example"},
        {"sec-fetch-site": "cross-site"},
    ],
)
def test_pages_of_other_sites_are_refused(page: httpx.Client, headers: dict[str, str]) -> None:
    for method, path in (
        ("GET", "/api/state"),
        ("POST", "/api/classes"),
        ("DELETE", "/api/classes/x"),
    ):
        answer = page.request(method, path, headers=headers)
        assert problem_of(answer) == (403, "forbidden-origin")


def test_answers_have_the_headers_of_security(page: httpx.Client) -> None:
    for path in ("/api/state", "/api/nothing"):
        headers = page.get(path).headers
        assert headers["content-security-policy"].startswith("default-src 'self'; ")
        assert "unsafe" not in headers["content-security-policy"]
        assert headers["cache-control"] == "no-store"
        assert headers["x-content-type-options"].startswith("nosniff")
        assert headers["referrer-policy"] == "no-referrer"


def test_a_key_is_needed_once(context: AppContext) -> None:
    with page_of(context, key="k" * 22) as page:
        assert problem_of(page.get("/api/state")) == (401, "key-required")
        assert problem_of(page.get("/", params={"key": "wrong"})) == (401, "key-required")
        assert problem_of(page.get("/api/state", params={"key": "k" * 22})) == (401, "key-required")
        cookie = page.get("/", params={"key": "k" * 22}).headers["set-cookie"]
        assert "HttpOnly; SameSite=Strict" in cookie
        assert page.get("/api/state").status_code == 200
        answer = page.get("/api/state", headers={"origin": "http://evil.example"})
        assert problem_of(answer) == (403, "forbidden-origin")


def test_a_browser_without_the_key_gets_a_page_that_says_what_to_do(context: AppContext) -> None:
    browser = {"accept": "text/html,application/xhtml+xml;q=0.9,*/*;q=0.8"}
    with page_of(context, key="k" * 22) as page:
        for path in ("/", "/?key=wrong", "/api/runs/0001/report"):
            answer = page.get(path, headers=browser)
            assert answer.status_code == 401
            assert answer.headers["content-type"].startswith("text/html")
            assert answer.headers["content-security-policy"].startswith("default-src 'self'; ")
            assert "address that sonotype app printed in the terminal" in answer.text
            assert "kkkk" not in answer.text
        assert problem_of(page.get("/api/state", headers={"accept": "application/json"})) == (
            401, "key-required")  # fmt: skip
        assert problem_of(page.post("/api/classes", headers=browser)) == (401, "key-required")
        assert page.get("/", params={"key": "k" * 22}, headers=browser).status_code == 200
    with page_of(context) as page:
        answer = page.get("/", headers=browser | {"host": "evil.example<b>"})
        assert answer.status_code == 403
        assert answer.headers["content-type"].startswith("text/html")
        assert "<b>" not in answer.text


class Route:
    """A datagram socket; sending is an error."""

    found: str | None = "192.168.3.7"

    def __init__(self, family: int, kind: int) -> None:
        assert kind == socket.SOCK_DGRAM

    def __enter__(self) -> Route:
        return self

    def __exit__(self, *_: object) -> None:
        pass

    def connect(self, target: tuple[str, int]) -> None:
        assert target[0] in page_server.ELSEWHERE.values()
        if self.found is None:
            raise OSError(errno.ENETUNREACH, "no network")

    def getsockname(self) -> tuple[str | None, int]:
        return self.found, 0


@pytest.mark.parametrize("host", page_server.ALL_NETWORKS)
@pytest.mark.parametrize("found", ["192.168.3.7", "127.0.0.1", "0.0.0.0", None])
def test_the_address_of_a_server_for_all_networks_is_one_that_others_can_open(
    monkeypatch: pytest.MonkeyPatch, host: str, found: str | None
) -> None:
    with page_server.listener_at("127.0.0.1", 0) as listener:
        monkeypatch.setattr(Route, "found", found)
        monkeypatch.setattr(page_server.socket, "socket", Route)
        monkeypatch.setattr(page_server.socket, "gethostname", lambda: "laptop")
        name = found if found == "192.168.3.7" else "laptop"
        port = listener.getsockname()[1]
        assert page_server.address(listener, host, "k") == f"http://{name}:{port}/?key=k"
        assert page_server.address(listener, "127.0.0.1", "") == f"http://127.0.0.1:{port}/"


def test_copies_of_clips_for_the_browser_are_few(
    page: httpx.Client, context: AppContext, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("sonotype.app.playable_copies.MOST_COPIES", 2)
    folder = context.project.folder / "dog"
    for number in range(4):
        path = sound(folder / f"{number}.aiff", number)
        before = {found.name for found in context.tray.folder.iterdir()}
        for _ in range(2):
            audio = page.get(f"/api/classes/dog/clips/{path.name}/audio")
            assert audio.headers["content-type"] == "audio/wav"
            assert audio.content.startswith(b"RIFF")
    after = {found.name for found in context.tray.folder.iterdir()}
    assert len(after) == 2
    assert len(after - before) == 1


@pytest.mark.parametrize("headers", [{}, {"range": "bytes=0-3"}, {"range": "bytes=0-3,8-11"}])
@pytest.mark.parametrize("moment", ["before it is found", "before it is opened"])
def test_a_sound_that_vanishes_before_it_is_played_is_gone(
    page: httpx.Client,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    moment: str,
    headers: dict[str, str],
) -> None:
    page.post("/api/classes", json={"name": "dog"})
    upload(page, "dog", "x.wav", sound(tmp_path / "a.wav").read_bytes())
    found = StoredFile.set_stat_headers

    def made(path: Path) -> str:
        if moment == "before it is found":
            path.unlink()
        return "audio/wav"

    def vanishes(self: StoredFile, facts: Any) -> None:
        found(self, facts)
        Path(self.path).unlink()

    monkeypatch.setattr("sonotype.app.routes_clips.media_type", made)
    if moment == "before it is opened":
        monkeypatch.setattr(StoredFile, "set_stat_headers", vanishes)
    answer = page.get("/api/classes/dog/clips/x.wav/audio", headers=headers)
    assert problem_of(answer) == (404, "gone")
    assert "accept-ranges" not in answer.headers


def test_a_sound_that_cannot_be_opened_is_a_problem(
    page: httpx.Client, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    page.post("/api/classes", json={"name": "dog"})
    upload(page, "dog", "x.wav", sound(tmp_path / "a.wav").read_bytes())

    async def refused(*_: Any, **__: Any) -> None:
        raise PermissionError(errno.EACCES, "Permission denied")

    monkeypatch.setattr("anyio.open_file", refused)
    answer = page.get("/api/classes/dog/clips/x.wav/audio")
    assert problem_of(answer) == (422, "not-possible")
    assert answer.json()["detail"] == "The file cannot be read: Permission denied."
