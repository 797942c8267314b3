"""The routes of sounds and of live sound in a server of the test process."""

from __future__ import annotations

import threading
import time
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import httpx
import uvicorn
from fastapi import FastAPI

from sonotype.app import routes_live, routes_sounds
from sonotype.app.project import Project
from sonotype.app.state import State
from sonotype.app.tray import Tray
from sonotype.inference.classifier import Classifier
from sonotype.serve.errors import handle_errors
from sonotype.serve.metrics import Metrics
from sonotype.serve.problems import ProblemError


class SomeModels:
    """Models by id."""

    def __init__(self, classifiers: Mapping[str, Classifier]) -> None:
        self._classifiers = classifiers

    def classifier(self, model: str) -> Classifier:
        if model not in self._classifiers:
            raise ProblemError("not-found", f"There is no model {model}: choose another one.")
        return self._classifiers[model]


@contextmanager
def sounds_app(folder: Path, classifiers: Mapping[str, Classifier]) -> Iterator[httpx.Client]:
    """A client of a server with an empty tray and a project in ``folder``.

    ``client.context`` has the parts of the server.
    """
    context: Any = SimpleNamespace(
        project=Project(folder / "project"),
        state=State(),
        models=SomeModels(classifiers),
        tray=Tray(folder / "tray"),
    )
    app = FastAPI()
    handle_errors(app, Metrics())
    app.include_router(routes_sounds.router(context))
    app.include_router(routes_live.router(context))
    config = uvicorn.Config(app, port=0, log_config=None, ws="websockets-sansio")
    server = uvicorn.Server(config)
    thread = threading.Thread(target=server.run)
    thread.start()
    try:
        end = time.monotonic() + 20
        while not server.started and time.monotonic() < end:
            time.sleep(0.01)
        port = server.servers[0].sockets[0].getsockname()[1]
        address = f"http://127.0.0.1:{port}"
        with httpx.Client(base_url=address, timeout=120, trust_env=False) as client:
            client.context = context  # type: ignore[attr-defined]
            yield client
    finally:
        context.state.close()
        server.should_exit = True
        thread.join(30)
        context.tray.close()
        context.project.close()
    assert not thread.is_alive()


def upload(client: httpx.Client, name: str, content: bytes) -> dict[str, Any]:
    """Add a sound; its JSON values."""
    answer = client.post("/api/sounds", params={"name": name}, content=content)
    assert answer.status_code == 201, answer.text
    values: dict[str, Any] = answer.json()
    return values
