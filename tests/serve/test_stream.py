"""A stream finds the events of a file with the same samples, within its limits."""

from __future__ import annotations

import json
import time
from concurrent.futures import ThreadPoolExecutor
from contextlib import ExitStack, suppress
from pathlib import Path
from typing import Any

import httpx
import numpy as np
import pytest
import soundfile
from serving import running
from websockets.exceptions import (
    ConnectionClosed,
    ConnectionClosedError,
    ConnectionClosedOK,
    InvalidStatus,
)
from websockets.sync.client import ClientConnection, connect

from sonotype.detect.detect_options import DetectOptions
from sonotype.detect.detector import Detector, open_detector
from sonotype.detect.writers.event_rows import rounded, score_text
from sonotype.inference.load import load
from sonotype.serve import stream


def opened(client: httpx.Client, query: str = "", **options: Any) -> ClientConnection:
    address = str(client.base_url).replace("http", "ws").rstrip("/") + "/v1/stream" + query
    return connect(address, proxy=None, **options)


def messages(socket: ClientConnection) -> list[dict[str, Any]]:
    """All messages until the server closes the stream."""
    found = []
    try:
        while True:
            found.append(json.loads(socket.recv(timeout=20)))
    except (ConnectionClosedOK, ConnectionClosedError):
        return found


def as_wav(path: Path) -> tuple[bytes, int, np.ndarray]:
    samples, rate = soundfile.read(path, dtype="int16")
    out = path.with_name("stream.wav")
    soundfile.write(out, samples, rate, subtype="PCM_16")
    return out.read_bytes(), rate, samples


@pytest.mark.parametrize("cut", [999, 64_000, 10**9])
@pytest.mark.parametrize("raw", [True, False])
def test_the_events_are_those_of_the_file(
    client: httpx.Client, onnx_model: Path, sounds: dict[str, Path], cut: int, raw: bool
) -> None:
    content, rate, samples = as_wav(sounds["night.flac"])
    query = "?threshold=0.3"
    if raw:
        content, query = samples.astype("<i2").tobytes(), f"{query}&rate={rate}"
    with opened(client, query) as socket:
        for first in range(0, len(content), cut):
            socket.send(content[first : first + cut])
        socket.send("end")
        found = messages(socket)
    detector = open_detector([onnx_model], DetectOptions(threshold=("0.3",)))
    expected = detector.detect(sounds["night.flac"])
    events = [one for one in found if one["message"] == "event"]
    assert len(events) == len(expected.events) > 0
    for one, event in zip(
        sorted(events, key=lambda one: (one["start"], one["end"], one["label"])),
        expected.events, strict=True,
    ):  # fmt: skip
        assert (one["start"], one["end"]) == (rounded(event.start), rounded(event.end))
        assert one["label"] == event.label
        assert one["score"] == pytest.approx(float(score_text(event.score)), abs=1e-5)
    seconds = len(samples) / rate
    assert found[-1] == {"message": "end", "seconds": rounded(seconds), "events": len(events)}
    progress = [one["seconds"] for one in found if one["message"] == "progress"]
    assert progress == sorted(progress)
    assert progress[-1] == pytest.approx(seconds)


@pytest.mark.parametrize(
    ("query", "sent", "problem"),
    [
        ("", [b"\0" * 100], "invalid-parameter"),
        ("", [b"RIFF\0\0\0\0WAVEfmt " + b"\xff" * 40], "unreadable-sound"),
        ("?rate=8000", ["stop"], "bad-request"),
        ("?rate=8000", ["end"], "unreadable-sound"),
    ],
)
def test_a_problem_ends_the_stream(
    client: httpx.Client, query: str, sent: list[str | bytes], problem: str
) -> None:
    with opened(client, query) as socket:
        for message in sent:
            socket.send(message)
        if sent[-1] != "stop":
            socket.send("end")
        found = messages(socket)
    assert found[-1]["message"] == "problem"
    assert found[-1]["type"] == f"/problems/{problem}"
    assert "Traceback" not in str(found)
    assert socket.protocol.close_code == 1008


@pytest.mark.parametrize(
    ("error", "problem"),
    [
        (MemoryError("/secret"), "not-enough-memory"),
        (RuntimeError("/secret: out of memory"), "not-enough-memory"),
        (RuntimeError("/secret"), "internal-error"),
    ],
)
def test_a_fault_of_the_service_ends_the_stream_and_tells_nothing(
    client: httpx.Client, monkeypatch: pytest.MonkeyPatch, error: Exception, problem: str
) -> None:
    def fail(*_: object) -> None:
        raise error

    monkeypatch.setattr(Detector, "steps", fail)
    with opened(client, "?rate=8000") as socket:
        socket.send(b"\0" * 1000)
        socket.send("end")
        [found] = messages(socket)
    assert found["type"] == f"/problems/{problem}"
    assert "secret" not in str(found)
    assert socket.protocol.close_code == 1011


@pytest.mark.parametrize(
    ("query", "status"),
    [
        ("?rate=10", 422),
        ("?rate=99999999999999", 422),
        ("?rate=x", 422),
        ("?format=mp3", 422),
        ("?channels=0", 422),
        ("?threshold=nan", 422),
        ("?class=unicorn", 422),
    ],
)
def test_invalid_options_refuse_the_handshake(
    client: httpx.Client, query: str, status: int
) -> None:
    with pytest.raises(InvalidStatus) as refused, opened(client, query):
        pass
    answer = refused.value.response
    assert answer.status_code == status
    assert json.loads(answer.body or b"")["type"] == "/problems/invalid-parameter"


def test_a_page_of_another_site_may_not_open_a_stream(client: httpx.Client) -> None:
    with pytest.raises(InvalidStatus) as refused, opened(client, origin="http://evil.example"):
        pass
    assert refused.value.response.status_code == 403
    own = str(client.base_url).rstrip("/")
    with opened(client, "?rate=8000", origin=own) as socket:
        socket.send("end")


def test_keys_places_and_length(onnx_model: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    key = "a key of enough characters"
    headers = {"authorization": f"Bearer {key}"}
    monkeypatch.setattr(stream, "IDLE_SECONDS", 0.3)
    with running(load(onnx_model), keys=(key,), max_streams=1, max_stream_seconds=2) as client:
        with pytest.raises(InvalidStatus) as refused, opened(client):
            pass
        assert refused.value.response.status_code == 401
        with opened(client, "?rate=8000", additional_headers=headers) as socket:
            with (
                pytest.raises(InvalidStatus) as refused,
                opened(client, additional_headers=headers),
            ):
                pass
            assert refused.value.response.status_code == 429
            assert refused.value.response.headers["retry-after"]
            assert messages(socket)[-1]["type"] == "/problems/request-too-slow"
        with opened(client, "?rate=8000", additional_headers=headers) as socket:
            socket.send(bytes(2 * 8000 * 3))
            assert messages(socket)[-1]["type"] == "/problems/sound-too-long"


@pytest.mark.parametrize("message", [b"", b"\0\0"])
def test_messages_without_sound_keep_no_place(
    client: httpx.Client, monkeypatch: pytest.MonkeyPatch, message: bytes
) -> None:
    monkeypatch.setattr(stream, "IDLE_SECONDS", 0.5)
    with opened(client, "?rate=8000") as socket:
        begin = time.monotonic()
        with suppress(ConnectionClosed):
            while time.monotonic() - begin < 10:
                socket.send(message)
                time.sleep(0.05)
        assert time.monotonic() - begin < 5
        assert messages(socket)[-1]["type"] == "/problems/request-too-slow"


def test_slow_sound_ends_with_the_longest_stream(onnx_model: Path) -> None:
    with (
        running(load(onnx_model), max_stream_seconds=1) as client,
        opened(client, "?rate=48000") as socket,
    ):
        begin = time.monotonic()
        with suppress(ConnectionClosed):
            while time.monotonic() - begin < 10:
                socket.send(bytes(2000))
                time.sleep(0.1)
        assert messages(socket)[-1]["type"] == "/problems/sound-too-long"


@pytest.mark.parametrize("ended", [True, False])
def test_the_end_of_the_service_loses_no_sound(onnx_model: Path, ended: bool) -> None:
    with ThreadPoolExecutor(1) as pool, ExitStack() as stack:
        with running(load(onnx_model)) as client:
            socket = stack.enter_context(opened(client, "?rate=8000"))
            for _ in range(20):
                socket.send(bytes(2 * 8000))
            if ended:
                socket.send("end")
            job = pool.submit(messages, socket)
        found = job.result()
    assert found[-1]["message"] == "end"
    assert found[-1]["seconds"] == 20
    assert socket.protocol.close_code == (1000 if ended else 1012)


def test_a_client_that_goes_away_frees_its_place(client: httpx.Client) -> None:
    def streams() -> float:
        text = client.get("/metrics").text
        [line] = [line for line in text.splitlines() if line.startswith("sonotype_streams ")]
        return float(line.split()[-1])

    with opened(client, "?rate=8000") as socket:
        socket.send(bytes(16_000))
        assert streams() >= 1
        socket.socket.close()
    end = time.monotonic() + 10
    while streams() and time.monotonic() < end:
        time.sleep(0.05)
    assert streams() == 0
