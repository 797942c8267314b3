"""The routes of sounds and of live sound in a server of the test process."""

from __future__ import annotations

import json
import threading
import time
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import httpx
import numpy as np
import uvicorn
from fastapi import FastAPI
from sound_files import encoded, noise, tone

from sonotype.app import routes_live, routes_sounds
from sonotype.app.findings import Findings
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
    project = Project(folder / "project")
    context: Any = SimpleNamespace(
        project=project,
        findings=Findings(project),
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


def changing(seconds: float, rate: int = 16_000) -> np.ndarray:
    """A sound of parts of a second."""
    parts = [
        tone(1, 200 + 300 * (n % 7), rate) if n % 2 else noise(1, n, rate, 0.1)
        for n in range(round(seconds))
    ]
    return np.concatenate(parts)


def wav(samples: np.ndarray, rate: int = 16_000, **options: Any) -> bytes:
    """A WAV file."""
    return encoded(samples, rate, format="WAV", **options)


def files_of(client: httpx.Client) -> list[str]:
    """Names of the files in the tray of a server."""
    folder: Path = client.context.tray._folder  # type: ignore[attr-defined]
    return sorted(path.name for path in folder.glob("*")) if folder.exists() else []


def lines_of(answer: httpx.Response) -> list[dict[str, Any]]:
    """The values of an answer of JSON lines."""
    return [json.loads(line) for line in answer.text.splitlines()]


def problem(answer: httpx.Response, status: int, kind: str) -> str:
    """The sentence of a problem document of a status and a kind."""
    values = answer.json()
    assert (answer.status_code, values["type"]) == (status, f"/problems/{kind}"), values
    return str(values["detail"])


def wait_for(condition: Any, seconds: float = 20.0) -> None:
    """Wait until a condition holds."""
    end = time.monotonic() + seconds
    while not condition():
        assert time.monotonic() < end
        time.sleep(0.02)
