"""A local web server that misbehaves on request, and small weights published on it."""

from __future__ import annotations

import hashlib
import threading
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from dataclasses import dataclass, field
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path

import pytest

from sonotype.modelfile.weights_registry import WeightsEntry


@dataclass(frozen=True)
class Answer:
    """One HTTP answer; ``announced`` is its Content-Length where that is not the truth."""

    body: bytes = b""
    status: int = 200
    announced: int | None = None
    pause: float = 0.0
    """Seconds between the headers and the body."""


@dataclass
class Server:
    """Gives the answers of a path one after the other, the last one again and again."""

    base: str
    answers: dict[str, list[Answer]] = field(default_factory=dict)
    asked: list[str] = field(default_factory=list)
    closing: threading.Event = field(default_factory=threading.Event)

    def publish(self, name: str, *answers: Answer) -> str:
        self.answers[f"/{name}"] = list(answers)
        return f"{self.base}/{name}"

    def next_answer(self, path: str) -> Answer:
        self.asked.append(path)
        left = self.answers.get(path, [Answer(status=404)])
        return left.pop(0) if len(left) > 1 else left[0]


@contextmanager
def serve() -> Iterator[Server]:
    class Handler(BaseHTTPRequestHandler):
        def do_GET(self) -> None:
            answer = server.next_answer(self.path)
            with suppress(ConnectionError):  # the client may have given up
                self.send_response(answer.status)
                length = len(answer.body) if answer.announced is None else answer.announced
                self.send_header("Content-Length", str(length))
                self.end_headers()
                self.wfile.flush()
                server.closing.wait(answer.pause)
                self.wfile.write(answer.body)

        def log_message(self, *_: object) -> None:
            pass

    with ThreadingHTTPServer(("127.0.0.1", 0), Handler) as listener:
        server = Server(f"http://127.0.0.1:{listener.server_port}")
        thread = threading.Thread(target=listener.serve_forever, args=(0.01,))
        thread.start()
        try:
            yield server
        finally:
            server.closing.set()
            listener.shutdown()
            thread.join()


def make_hasty(monkeypatch: pytest.MonkeyPatch) -> None:
    """No pause before a retry, short time-outs, no proxy between the test and its server."""
    monkeypatch.setattr("pooch.core.time.sleep", lambda _: None)
    monkeypatch.setattr("sonotype.core.download.TIMEOUT", (2.0, 2.0))
    monkeypatch.setenv("NO_PROXY", "*")


CONTENT = b"the weights of a very small network" * 100


def stand_in(address: str, **changes: object) -> WeightsEntry:
    """Weights ``tiny`` whose file ``tiny.pt`` holds ``CONTENT``."""
    fields: dict[str, object] = {
        "name": "tiny",
        "file": "tiny.pt",
        "address": address,
        "size": len(CONTENT),
        "parameters": 1_200_000,
        "sha256": hashlib.sha256(CONTENT).hexdigest(),
        "licence": "MIT",
        "citation": "Tester (2020).",
    }
    return WeightsEntry(**{**fields, **changes})  # type: ignore[arg-type]


def use_registry(monkeypatch: pytest.MonkeyPatch, cache: Path, *entries: WeightsEntry) -> None:
    """Put these weights in place of the registry, and the cache into this folder."""
    monkeypatch.setattr("sonotype.modelfile.weights_registry.WEIGHTS", entries)
    monkeypatch.setattr("sonotype.modelfile.weights_cache.cache_folder", lambda: cache)
    monkeypatch.delenv("SONOTYPE_WEIGHTS", raising=False)
