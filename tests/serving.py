"""A service in a thread of the test process, and a network that waits for permission to run."""

from __future__ import annotations

import threading
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import httpx

from sonotype.inference.classifier import Classifier
from sonotype.inference.load import load
from sonotype.serve.app import create_app
from sonotype.serve.server import listen, server_of
from sonotype.serve.service import Service
from sonotype.serve.settings import ServeSettings


class HeldEngine:
    """The engine of a model, which waits for :attr:`go` before it runs clips."""

    def __init__(self, engine: Any) -> None:
        self._engine = engine
        self.go = threading.Event()
        self.started = threading.Event()
        self.batches: list[int] = []

    def __getattr__(self, name: str) -> Any:
        return getattr(self._engine, name)

    def __call__(self, waveforms: Any) -> Any:
        self.batches.append(len(waveforms))
        self.started.set()
        assert self.go.wait(30)
        return self._engine(waveforms)


def held_classifier(model: Path) -> tuple[Classifier, HeldEngine]:
    classifier = load(model)
    engine = HeldEngine(classifier.engine)
    return Classifier(engine, classifier.card), engine  # type: ignore[arg-type]


@contextmanager
def running(
    classifier: Classifier, *, keys: tuple[str, ...] = (), **options: Any
) -> Iterator[httpx.Client]:
    """A client of a service that runs meanwhile; ``client.base_url`` is its address."""
    settings = ServeSettings(**{"port": 0, "threads": 2, "batch_wait": 0.0} | options)
    service = Service(classifier, settings, "0" * 64)
    app = create_app(service, keys)
    listener = listen(settings)
    server = server_of(app, settings)
    thread = threading.Thread(target=server.run, args=([listener],))
    thread.start()
    try:
        end = time.monotonic() + 20
        while not server.started and time.monotonic() < end:
            time.sleep(0.01)
        address = f"http://127.0.0.1:{listener.getsockname()[1]}"
        with httpx.Client(base_url=address, timeout=30, trust_env=False) as client:
            client.app = app  # type: ignore[attr-defined]
            yield client
    finally:
        server.should_exit = True
        thread.join(30)
    assert not thread.is_alive()


def assert_problem(answer: httpx.Response, name: str) -> dict[str, Any]:
    """Check a problem document against its kind, and that it gives nothing away."""
    from sonotype.serve.problems import PROBLEMS

    kind = PROBLEMS[name]
    assert answer.headers["content-type"] == "application/problem+json", answer.text
    values: dict[str, Any] = answer.json()
    assert values["type"] == f"/problems/{name}", values
    assert (answer.status_code, values["status"]) == (kind.status, kind.status)
    assert values["title"] == kind.title
    assert values["detail"]
    assert ("retry-after" in answer.headers) == kind.retry
    for hidden in ("Traceback", "site-packages", "/tmp/", "/home/", ".py", str(Path.cwd())):
        assert hidden not in answer.text
    return values
