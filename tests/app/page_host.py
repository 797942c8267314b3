"""The page of a project, served in a thread of the test process; no training, no models."""

from __future__ import annotations

import threading
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import httpx
import numpy as np
import soundfile

from sonotype.app.application import create_app
from sonotype.app.context import AppContext
from sonotype.app.findings import Findings
from sonotype.app.page_server import PageProtocol
from sonotype.app.project import Project
from sonotype.app.state import State
from sonotype.app.tray import Tray
from sonotype.serve.server import listen, server_of
from sonotype.serve.settings import ServeSettings


def sound(path: Path, seed: int = 0, seconds: float = 0.5) -> Path:
    """Write a WAV file of noise."""
    path.parent.mkdir(parents=True, exist_ok=True)
    samples = np.random.default_rng(seed).normal(0, 0.1, round(seconds * 8000))
    soundfile.write(path, samples, 8000)
    return path


def context_of(folder: Path, scratch: Path) -> AppContext:
    """A context whose training and models are empty."""
    project, state = Project(folder), State()
    project.open()
    training: Any = SimpleNamespace(values=lambda: None, open=lambda: None, close=lambda: None)
    models: Any = SimpleNamespace(values=list)
    return AppContext(project, state, models, training, Tray(scratch), Findings(project))


@contextmanager
def page_of(context: AppContext, key: str = "") -> Iterator[httpx.Client]:
    """A client of the page."""
    settings = ServeSettings(port=0, timeout=1, body_timeout=1)
    listener = listen(settings)
    server = server_of(create_app(context, key), settings, PageProtocol)
    thread = threading.Thread(target=server.run, args=([listener],))
    thread.start()
    try:
        end = time.monotonic() + 20
        while not server.started and time.monotonic() < end:
            time.sleep(0.01)
        address = f"http://127.0.0.1:{listener.getsockname()[1]}"
        with httpx.Client(base_url=address, timeout=30, trust_env=False) as client:
            yield client
    finally:
        server.should_exit = True
        thread.join(30)
    assert not thread.is_alive()
