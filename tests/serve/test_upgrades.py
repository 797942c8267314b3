"""Upgrades that open no stream are refused at once and cannot disturb the service."""

from __future__ import annotations

import asyncio
import socket
import time
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager, suppress
from pathlib import Path

import httpx
import pytest
from serving import assert_problem, held_classifier, running

from sonotype.inference.load import load
from sonotype.serve import stream
from sonotype.serve.socket_protocol import StreamProtocol, close_or_abort

UPGRADE = "Host: localhost\r\nUpgrade: websocket\r\nConnection: Upgrade\r\n"
KEY = "Sec-WebSocket-Key: dGhlIHNhbXBsZSBub25jZQ==\r\n"
VERSION = "Sec-WebSocket-Version: 13\r\n"


@contextmanager
def sent(client: httpx.Client, request: str) -> Iterator[socket.socket]:
    with socket.create_connection(("127.0.0.1", client.base_url.port), timeout=5) as link:
        link.sendall(request.encode("latin-1"))
        yield link


def read_all(link: socket.socket) -> bytes:
    found = b""
    while part := link.recv(65_536):
        found += part
    return found


@pytest.mark.parametrize(
    ("request_text", "status", "kind"),
    [
        (f"POST /v1/stream HTTP/1.1\r\nContent-Length: 2\r\n{UPGRADE}{KEY}{VERSION}\r\nxx", 405,
         "method-not-allowed"),
        (f"GET /v1/stream HTTP/1.1\r\nContent-Length: 2\r\n{UPGRADE}{KEY}{VERSION}\r\nxx", 400,
         "bad-request"),
        (f"GET /v1/stream HTTP/1.1\r\nTransfer-Encoding: chunked\r\n{UPGRADE}{KEY}{VERSION}\r\n",
         400, "bad-request"),
        (f"GET /v1/stream HTTP/1.1\r\n{UPGRADE}{VERSION}\r\n", 400, "bad-request"),
        (f"GET /v1/stream HTTP/1.1\r\n{UPGRADE}{KEY}\r\n", 400, "bad-request"),
        (f"GET /v1/stream HTTP/1.1\r\n{UPGRADE}{KEY}{VERSION}" + "A: b\r\n" * 300 + "\r\n", 400,
         "bad-request"),
        (f"GET /v1/stream HTTP/1.1\r\n{UPGRADE}{KEY}{VERSION}A: " + "b" * 9000 + "\r\n\r\n", 400,
         "bad-request"),
        (f"GET /nope HTTP/1.1\r\n{UPGRADE}{KEY}{VERSION}\r\n", 404, "not-found"),
    ],
)  # fmt: skip
def test_bad_upgrades_have_a_problem_document(
    client: httpx.Client, request_text: str, status: int, kind: str
) -> None:
    with sent(client, request_text) as link:
        answer = read_all(link)
    assert answer.startswith(f"HTTP/1.1 {status} ".encode()), answer
    assert b"application/problem+json" in answer
    assert f'"/problems/{kind}"'.encode() in answer


def test_accepted_requests_are_finished_after_bad_upgrades(
    onnx_model: Path, sounds: dict[str, Path]
) -> None:
    classifier, engine = held_classifier(onnx_model)
    content = sounds["dog.wav"].read_bytes()
    bad = f"POST /x HTTP/1.1\r\nContent-Length: 2\r\n{UPGRADE}{KEY}{VERSION}\r\nxx"
    with ThreadPoolExecutor(2) as pool:
        with running(classifier, threads=1) as client, sent(client, bad):
            port = client.base_url.port
            job = pool.submit(httpx.post, f"http://127.0.0.1:{port}/v1/classify", content=content)
            assert engine.started.wait(10)
            pool.submit(lambda: time.sleep(0.3) or engine.go.set())
        assert job.result().status_code == 200


def test_a_handshake_without_an_answer_is_cut(
    onnx_model: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    async def hang(*_: object) -> None:
        await stream.asyncio.sleep(3)

    monkeypatch.setattr(StreamProtocol, "handshake_seconds", 0.3)
    monkeypatch.setattr(stream, "run_stream", hang)
    request = f"GET /v1/stream?rate=8000 HTTP/1.1\r\n{UPGRADE}{KEY}{VERSION}\r\n"
    with running(load(onnx_model)) as client, sent(client, request) as link:
        begin = time.monotonic()
        with suppress(ConnectionError):
            assert read_all(link) == b""
        assert time.monotonic() - begin < 2


def test_a_refused_stream_writes_no_line(
    client: httpx.Client, caplog: pytest.LogCaptureFixture
) -> None:
    request = f"GET /v1/stream?rate=1 HTTP/1.1\r\n{UPGRADE}{KEY}{VERSION}\r\n"
    with caplog.at_level("WARNING"), sent(client, request) as link:
        assert read_all(link).startswith(b"HTTP/1.1 422")
        time.sleep(0.2)
    assert not caplog.records


def test_pages_of_other_sites_are_refused(client: httpx.Client, sounds: dict[str, Path]) -> None:
    content = sounds["dog.wav"].read_bytes()
    renamed = {"host": "evil.example", "origin": "http://evil.example"}
    for headers in (renamed, {"origin": "http://evil.example"}, {"origin": "null"}):
        answer = client.post("/v1/classify", content=content, headers=headers)
        assert_problem(answer, "forbidden-origin")
    assert_problem(client.get("/v1/model", headers=renamed), "forbidden-origin")
    own = {"origin": str(client.base_url).rstrip("/")}
    assert client.post("/v1/classify", content=content, headers=own).status_code == 200
    evil = UPGRADE.replace("localhost", "evil.example") + "Origin: http://evil.example\r\n"
    request = f"GET /v1/stream?rate=8000 HTTP/1.1\r\n{evil}{KEY}{VERSION}\r\n"
    with sent(client, request) as link:
        assert read_all(link).startswith(b"HTTP/1.1 403")


def test_a_connection_that_cannot_be_closed_is_aborted_and_logged(
    caplog: pytest.LogCaptureFixture,
) -> None:
    aborted: list[bool] = []

    class Transport(asyncio.WriteTransport):
        def abort(self) -> None:
            aborted.append(True)

    def fail() -> None:
        raise AssertionError("odd state")

    close_or_abort(fail, Transport())
    assert aborted == [True]
    assert "odd state" in caplog.text
