"""Each limit has its status, and the service answers others meanwhile."""

from __future__ import annotations

import functools
import io
import socket
import threading
import time
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any

import httpx
import numpy as np
import pytest
import soundfile
from serving import HeldEngine, assert_problem, held_classifier, running
from sound_files import encoded, flac_count, noise, tone, wav

from sonotype.inference.load import load
from sonotype.serve import bodies
from sonotype.serve.protocol import TimedProtocol


@pytest.fixture(scope="module")
def strict(onnx_model: Path) -> Iterator[httpx.Client]:
    """A service with small limits."""
    limits = {"max_body": 0.3, "max_seconds": 90.0, "max_files": 3, "body_timeout": 1.0}
    with running(load(onnx_model), **limits) as client:
        yield client


def answer_to(client: httpx.Client, request: bytes, timeout: float = 15) -> bytes:
    """The bytes that the server sends until it closes the connection."""
    with connection(client) as link:
        link.settimeout(timeout)
        link.sendall(request)
        return read_all(link)


def connection(client: httpx.Client) -> socket.socket:
    return socket.create_connection(("127.0.0.1", client.base_url.port), timeout=10)


def read_all(link: socket.socket) -> bytes:
    found = b""
    while part := link.recv(65_536):
        found += part
    return found


@functools.cache
def flac_of_silence(seconds: int) -> bytes:
    buffer = io.BytesIO()
    with soundfile.SoundFile(buffer, "w", 44_100, 1, format="FLAC") as file:
        for _ in range(seconds):
            file.write(np.zeros(44_100, np.int16))
    return buffer.getvalue()


@pytest.mark.parametrize("declared", [True, False])
def test_a_large_body_is_refused_while_it_is_read(strict: httpx.Client, declared: bool) -> None:
    sent = 0

    def chunks() -> Iterator[bytes]:
        nonlocal sent
        for _ in range(40):
            sent += 50_000
            yield bytes(50_000)

    content: Any = bytes(2_000_000) if declared else chunks()
    values = assert_problem(strict.post("/v1/classify", content=content), "body-too-large")
    assert "300000" in values["detail"]
    files = {"f": ("a.wav", bytes(400_000))}
    assert_problem(strict.post("/v1/classify", files=files), "body-too-large")


def test_a_body_without_an_end_is_refused(strict: httpx.Client) -> None:
    def endless() -> Iterator[bytes]:
        while True:
            yield bytes(10_000)

    begin = time.monotonic()
    answer = strict.post("/v1/classify", content=endless())
    assert_problem(answer, "body-too-large")
    assert answer.headers["connection"] == "close"
    assert time.monotonic() - begin < 8


def test_a_client_that_sends_slowly_is_cut(strict: httpx.Client) -> None:
    head = b"POST /v1/classify HTTP/1.1\r\nHost: localhost\r\nContent-Length: 100000\r\n\r\n"
    with connection(strict) as link:
        begin = time.monotonic()
        link.sendall(head)
        stop = threading.Event()

        def drip() -> None:
            while not stop.wait(0.1):
                try:
                    link.sendall(b"x")
                except OSError:
                    return

        thread = threading.Thread(target=drip)
        thread.start()
        try:
            answer = link.recv(65_536)
            while b"}" not in answer and (part := link.recv(65_536)):
                answer += part
        finally:
            stop.set()
            thread.join()
        assert answer.startswith(b"HTTP/1.1 408")
        assert b"/problems/request-too-slow" in answer
        assert 0.5 < time.monotonic() - begin < 6
    assert strict.get("/healthz").status_code == 200


def test_a_pause_in_a_body_is_cut(onnx_model: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(bodies, "STALL_SECONDS", 0.2)
    request = b"POST /v1/detect HTTP/1.1\r\nHost: localhost\r\nContent-Length: 9\r\n\r\nabc"
    with running(load(onnx_model)) as client:
        begin = time.monotonic()
        assert answer_to(client, request).startswith(b"HTTP/1.1 408")
        assert time.monotonic() - begin < 5


@pytest.mark.parametrize("begin", [b"", b"GET /healthz HTTP/1.1\r\nHost: localhost\r\nX-A: "])
@pytest.mark.parametrize("kept", [True, False])
def test_slow_headers_are_cut(
    client: httpx.Client, monkeypatch: pytest.MonkeyPatch, begin: bytes, kept: bool
) -> None:
    monkeypatch.setattr(TimedProtocol, "header_seconds", 0.4)
    with connection(client) as link:
        if kept:  # the second request of a connection
            link.sendall(b"GET /healthz HTTP/1.1\r\nHost: localhost\r\n\r\n")
            answer = b""
            while b'"ok"}' not in answer:
                piece = link.recv(65_536)
                assert piece, answer
                answer += piece
            begin = begin or b"G"
        start = time.monotonic()
        for byte in (begin[:1], begin[1:]):
            link.sendall(byte)
        answer = b""
        with_drip = time.monotonic() + 3
        link.settimeout(0.05)
        while time.monotonic() < with_drip and b"\r\n\r\n" not in answer:
            try:
                answer += link.recv(65_536)
            except TimeoutError:
                if begin:
                    link.sendall(b"y")
        assert answer.startswith(b"HTTP/1.1 408"), answer
        assert time.monotonic() - start < 2
    assert client.get("/healthz").status_code == 200


def test_hundreds_of_slow_clients_do_not_stop_the_service(
    client: httpx.Client, sounds: dict[str, Path]
) -> None:
    head = b"POST /v1/classify HTTP/1.1\r\nHost: localhost\r\nContent-Length: 100000\r\n\r\nx"
    links = [connection(client) for _ in range(200)]
    try:
        for link in links:
            link.sendall(head)
        answer = client.post("/v1/classify", content=sounds["dog.wav"].read_bytes())
        assert answer.status_code == 200
    finally:
        for link in links:
            link.close()


def test_too_many_connections_are_refused(
    client: httpx.Client, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(TimedProtocol, "max_connections", 0)
    with connection(client) as link:
        assert read_all(link).startswith(b"HTTP/1.1 503")


def test_what_is_not_http_has_a_problem_document(client: httpx.Client) -> None:
    answer = answer_to(client, b"\x16\x03\x01 hello\r\n\r\n")
    assert answer.startswith(b"HTTP/1.1 400")
    assert b"application/problem+json" in answer


@pytest.mark.parametrize("route", ["/v1/classify", "/v1/detect"])
def test_a_long_sound_is_refused(strict: httpx.Client, route: str) -> None:
    content = encoded(tone(100, 300, 8000), 8000, format="OGG", subtype="VORBIS")
    assert len(content) < 300_000
    values = assert_problem(strict.post(route, content=content), "sound-too-long")
    assert "90 s" in values["detail"]


@pytest.mark.parametrize("route", ["/v1/classify", "/v1/detect"])
@pytest.mark.parametrize("kind", ["flac", "flac without a count", "flac with a wrong count"])
def test_a_small_file_with_hours_of_silence_is_refused(
    onnx_model: Path, client: httpx.Client, route: str, kind: str
) -> None:
    """A zip bomb of sound: 20 minutes of silence in 0.2 MB."""
    content = flac_of_silence(1200)
    assert len(content) < 200_000
    if kind != "flac":
        content = flac_count(content, 44_100 if "wrong" in kind else 0)
    begin = time.monotonic()
    answer = client.post(route, content=content)
    assert_problem(answer, "sound-expands-too-much")
    assert time.monotonic() - begin < 10


def test_a_short_silence_is_no_bomb(client: httpx.Client) -> None:
    answer = client.post("/v1/classify", content=flac_of_silence(20))
    assert answer.status_code == 200
    assert answer.json()["results"][0]["file_seconds"] == 20


def test_a_low_rate_does_not_become_hours(client: httpx.Client) -> None:
    content = bytearray(wav(noise(5)))
    content[24:28] = (1).to_bytes(4, "little")  # a sample each second
    for route in ("/v1/classify", "/v1/detect"):
        answer = client.post(route, content=bytes(content))
        assert "1000 Hz" in assert_problem(answer, "unreadable-sound")["detail"]


def test_a_long_sound_does_not_cost_the_answers_to_the_others(
    strict: httpx.Client, sounds: dict[str, Path]
) -> None:
    long = encoded(tone(100, 300, 8000), 8000, format="OGG", subtype="VORBIS")
    files = [("f", ("long.ogg", long)), ("f", ("dog.wav", sounds["dog.wav"].read_bytes()))]
    found = strict.post("/v1/classify", files=files).json()["results"]
    assert [one["problem"] for one in found] == ["/problems/sound-too-long", None]
    assert_problem(strict.post("/v1/classify", files=files[:1] * 2), "sound-too-long")


def test_too_many_files(strict: httpx.Client) -> None:
    for count in (4, 5, 50):
        files = [("f", (f"{number}.wav", b"x")) for number in range(count)]
        assert_problem(strict.post("/v1/classify", files=files), "too-many-files")


@pytest.mark.parametrize(
    ("kind", "body", "problem"),
    [
        ("audio/wav", b"", "bad-request"),
        ("multipart/form-data", b"--b\r\n", "bad-request"),
        ("multipart/form-data; boundary=b", b"no form", "bad-request"),
        ("multipart/form-data; boundary=b", b"", "bad-request"),
        ("multipart/form-data; boundary=b; charset=\xff", b"--b\r\nX: y\r\n\r\n", "bad-request"),
        ("multipart/form-data; boundary=b",
         b'--b\r\nContent-Disposition: form-data; name="top"\r\n\r\n5\r\n--b--\r\n', "bad-request"),
        ("multipart/form-data; boundary=b",
         b'--b\r\nContent-Disposition: form-data; name="f"; filename="' + b"x" * 9000 +
         b'"\r\n\r\n5\r\n--b--\r\n', "bad-request"),
        ("multipart/form-data; boundary=" + "b" * 500, b"--b\r\n", "bad-request"),
        ("text/plain", b"x", "unsupported-media-type"),
        ("application/json", b"{}", "unsupported-media-type"),
    ],
)  # fmt: skip
def test_bodies_that_are_no_sounds(
    client: httpx.Client, kind: str, body: bytes, problem: str
) -> None:
    headers = {"content-type": kind.encode("latin-1")}
    assert_problem(client.post("/v1/classify", content=body, headers=headers), problem)  # type: ignore[arg-type]


@pytest.fixture
def held(onnx_model: Path) -> Iterator[tuple[httpx.Client, HeldEngine]]:
    """A service with two places whose network waits."""
    classifier, engine = held_classifier(onnx_model)
    with running(classifier, max_requests=2, timeout=20, threads=1) as client:
        try:
            yield client, engine
        finally:
            engine.go.set()


def test_a_busy_service_refuses_at_once(
    held: tuple[httpx.Client, HeldEngine], sounds: dict[str, Path]
) -> None:
    client, engine = held
    content = sounds["dog.wav"].read_bytes()
    with ThreadPoolExecutor(2) as pool:
        accepted = [pool.submit(client.post, "/v1/classify", content=content) for _ in range(2)]
        wait_for(lambda: metric(client, "sonotype_requests_at_work") == 2)
        begin = time.monotonic()
        for route in ("/v1/classify", "/v1/detect"):
            refused = client.post(route, content=content)
            assert_problem(refused, "too-many-requests")
            assert int(refused.headers["retry-after"]) >= 1
        assert time.monotonic() - begin < 3, "nothing waits in a queue"
        assert client.get("/healthz").status_code == client.get("/readyz").status_code == 200
        engine.go.set()
        assert [one.result().status_code for one in accepted] == [200, 200]
    wait_for(lambda: metric(client, "sonotype_requests_at_work") == 0)
    assert client.post("/v1/classify", content=content).status_code == 200
    assert metric(client, "sonotype_body_bytes") == 0


def test_bodies_of_all_requests_share_a_limit(onnx_model: Path, sounds: dict[str, Path]) -> None:
    """Slow clients take no place, and their bodies cannot fill the memory."""
    head = b"POST /v1/classify HTTP/1.1\r\nHost: localhost\r\nContent-Length: 95000\r\n\r\n"
    content = sounds["dog.wav"].read_bytes()
    with running(load(onnx_model), max_requests=1, max_body=0.1) as client:
        with connection(client) as slow:
            slow.sendall(head + bytes(94_000))
            wait_for(lambda: metric(client, "sonotype_body_bytes") == 94_000)
            assert metric(client, "sonotype_requests_at_work") == 0
            assert_problem(client.post("/v1/classify", content=content), "too-many-requests")
        wait_for(lambda: metric(client, "sonotype_body_bytes") == 0)
        assert client.post("/v1/classify", content=content).status_code == 200


def test_a_request_that_takes_too_long_is_given_up(
    onnx_model: Path, sounds: dict[str, Path]
) -> None:
    classifier, engine = held_classifier(onnx_model)
    content = sounds["dog.wav"].read_bytes()
    with running(classifier, max_requests=1, timeout=0.3, threads=1) as client:
        try:
            answer = client.post("/v1/classify", content=content)
            assert_problem(answer, "took-too-long")
            # Its thread cannot be ended: the place is free only when it is done.
            assert_problem(client.post("/v1/classify", content=content), "too-many-requests")
        finally:
            engine.go.set()
        wait_for(lambda: metric(client, "sonotype_requests_at_work") == 0)
        assert client.post("/v1/classify", content=content).status_code == 200


def test_clips_of_different_requests_become_a_batch(
    onnx_model: Path, sounds: dict[str, Path]
) -> None:
    classifier, engine = held_classifier(onnx_model)
    content = sounds["dog.wav"].read_bytes()
    with (
        running(classifier, max_requests=8, threads=1, batch_size=4) as client,
        ThreadPoolExecutor(7) as pool,
    ):
        sent = [pool.submit(client.post, "/v1/classify", content=content) for _ in range(7)]
        assert engine.started.wait(10)
        wait_for(lambda: metric(client, "sonotype_clips_waiting") == 7 - engine.batches[0])
        engine.go.set()
        found = [one.result().json()["results"][0]["event_probability"] for one in sent]
    assert max(engine.batches) == 4
    assert sum(engine.batches) == 7
    assert np.ptp(found) < 1e-5


def test_a_client_that_goes_away_costs_no_place(
    client: httpx.Client,
) -> None:
    head = b"POST /v1/classify HTTP/1.1\r\nHost: localhost\r\nContent-Length: 100000\r\n\r\nabc"
    with connection(client) as link:
        link.sendall(head)
        wait_for(lambda: metric(client, "sonotype_body_bytes") == 3)
    wait_for(lambda: metric(client, "sonotype_body_bytes") == 0)


def wait_for(condition: Any, seconds: float = 10) -> None:
    end = time.monotonic() + seconds
    while not condition():
        assert time.monotonic() < end
        time.sleep(0.02)


def metric(client: httpx.Client, name: str) -> float:
    text = client.get("/metrics").text
    [line] = [line for line in text.splitlines() if line.startswith(f"{name} ")]
    return float(line.split()[-1])
