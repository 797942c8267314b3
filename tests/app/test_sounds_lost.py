"""Uploaded sounds through HTTP: full disks, clients that go away, several people at once."""

from __future__ import annotations

import errno
import io
import json
import shutil
import socket
import threading
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any
from urllib.parse import urlsplit

import httpx
import pytest
from sound_files import noise

pytest.importorskip("fastapi", reason="needs sonotype[app]")

from sounds_app import changing, files_of, lines_of, problem, sounds_app, upload, wait_for, wav

from sonotype.app import tray as tray_module
from sonotype.app.tray import Tray
from sonotype.inference.classifier import Classifier
from sonotype.inference.load import load


def test_a_full_disk_leaves_nothing(client: httpx.Client, monkeypatch: pytest.MonkeyPatch) -> None:
    usage = shutil.disk_usage("/")
    with monkeypatch.context() as patch:
        patch.setattr(tray_module.shutil, "disk_usage", lambda _: usage._replace(free=1000))
        answer = client.post("/api/sounds?name=a.wav", content=wav(changing(1)))
        assert "disk is full" in problem(answer, 507, "storage-full")

    class Full(io.FileIO):
        def write(self, _: Any) -> int:
            raise OSError(errno.ENOSPC, "No space left on device")

    def opened(path: Path, mode: str = "r", *rest: Any, **more: Any) -> Any:
        return Full(path, "x") if mode == "xb" else plain(path, mode, *rest, **more)

    plain = Path.open
    with monkeypatch.context() as patch:
        patch.setattr(Path, "open", opened)
        answer = client.post("/api/sounds?name=a.wav", content=wav(changing(1)))
        problem(answer, 507, "storage-full")
    assert files_of(client) == []
    upload(client, "a.wav", wav(changing(1)))


def test_too_large_a_file_is_refused(client: httpx.Client, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("sonotype.app.uploads.LARGEST", 10_000)
    for content in (wav(changing(1)), iter([wav(changing(1))])):  # with and without a length
        answer = client.post("/api/sounds?name=a.wav", content=content)
        problem(answer, 413, "body-too-large")
    assert files_of(client) == []


def test_an_upload_whose_client_goes_away_leaves_nothing(client: httpx.Client) -> None:
    address = urlsplit(str(client.base_url))
    with socket.create_connection((str(address.hostname), address.port or 0)) as connection:
        head = "POST /api/sounds?name=a.wav HTTP/1.1\r\nHost: x\r\nContent-Length: 4000000\r\n\r\n"
        connection.sendall(head.encode() + wav(changing(60))[:1_500_000])
        wait_for(lambda: len(files_of(client)) == 1)
    wait_for(lambda: files_of(client) == [])
    assert client.get("/api/sounds").json() == []


class HeldEngine:
    """Runs a model when it may."""

    side_by_side = False

    def __init__(self, engine: Any) -> None:
        self._engine = engine
        self.go, self.started = threading.Event(), threading.Event()

    def __getattr__(self, name: str) -> Any:
        return getattr(self._engine, name)

    def __call__(self, waveforms: Any) -> Any:
        return self._engine(waveforms)

    def windows(self, pieces: Any, *rest: Any) -> Any:
        def held() -> Any:
            for piece in pieces:
                self.started.set()
                assert self.go.wait(30)
                yield piece

        return self._engine.windows(held(), *rest)


@pytest.fixture
def held(tmp_path: Path, model: Path) -> Iterator[tuple[httpx.Client, HeldEngine]]:
    loaded = load(model)
    engine = HeldEngine(loaded.engine)
    slow = Classifier(engine, loaded.card)  # type: ignore[arg-type]
    with sounds_app(tmp_path, {"m": loaded, "slow": slow}) as client:
        try:
            yield client, engine
        finally:
            engine.go.set()


def test_a_sound_that_is_removed_while_it_is_searched(
    held: tuple[httpx.Client, HeldEngine],
) -> None:
    client, engine = held
    sound = upload(client, "a.wav", wav(changing(60)))
    with ThreadPoolExecutor(1) as pool:
        running = pool.submit(client.post, f"/api/sounds/{sound['id']}/detect?model=slow")
        assert engine.started.wait(20)
        assert client.delete(f"/api/sounds/{sound['id']}").status_code == 204
        assert client.get("/api/sounds").json() == []
        assert any(name.endswith(".wav") for name in files_of(client))
        # Others are served meanwhile, with another model and with the same one.
        other = upload(client, "b.wav", wav(changing(2)))
        for name in ("m", "slow"):
            answer = client.post(f"/api/sounds/{other['id']}/classify?model={name}")
            assert answer.status_code == 200
        engine.go.set()
        lines = lines_of(running.result(60))
    assert lines[-1]["kind"] == "end"
    assert "removed" in lines[-1]["error"]
    wait_for(lambda: not any(name.startswith(sound["id"]) for name in files_of(client)))


def test_a_search_ends_when_its_client_goes_away(held: tuple[httpx.Client, HeldEngine]) -> None:
    client, engine = held
    sound = upload(client, "a.wav", wav(changing(600, 8000), 8000))
    with client.stream("POST", f"/api/sounds/{sound['id']}/detect?model=slow") as answer:
        assert next(answer.iter_lines())
        assert engine.started.wait(20)
    engine.go.set()
    tray = client.context.tray  # type: ignore[attr-defined]
    [entry] = tray.sounds()
    wait_for(lambda: entry.users == 0)
    assert not entry.detections


def test_several_people_get_their_own_results(client: httpx.Client) -> None:
    contents = [wav(changing(12)), wav(noise(12, 5, 16_000))]
    sounds = [upload(client, f"{n}.wav", content) for n, content in enumerate(contents)]

    def work(sound: dict[str, Any]) -> list[Any]:
        base = f"/api/sounds/{sound['id']}"
        explained = client.get(f"{base}/explanation?model=m").json()
        lines = lines_of(client.post(f"{base}/detect?model=m&threshold=0.3"))
        return [
            client.post(f"{base}/classify?model=m").json()["levels"],
            explained["kept_probability"],
            [line for line in lines if line["kind"] != "progress"],
        ]

    alone = [work(sound) for sound in sounds]
    assert alone[0] != alone[1]
    with ThreadPoolExecutor(4) as pool:
        together = list(pool.map(work, [*sounds, *sounds]))
    assert together == [*alone, *alone]


def test_a_sound_that_is_removed_before_its_detection_begins(
    client: httpx.Client, monkeypatch: pytest.MonkeyPatch
) -> None:
    one = upload(client, "a.wav", wav(changing(1)))
    tray, using = client.context.tray, Tray.using  # type: ignore[attr-defined]
    calls = []

    def removed(self: Tray, identity: str) -> Any:
        calls.append(identity)
        if len(calls) == 2:  # the first call is that of the route, the second one of the stream
            tray.remove(identity)
        return using(self, identity)

    monkeypatch.setattr(Tray, "using", removed)
    answer = client.post(f"/api/sounds/{one['id']}/detect?model=m")
    assert answer.status_code == 200
    assert [json.loads(line) for line in answer.text.splitlines()] == [
        {"kind": "end", "events": 0, "error": "This sound was removed. Add it again."}
    ]
