"""Requests to ``sonotype app``: uploads, and what is done with uploaded sounds."""

from __future__ import annotations

import asyncio
import json
from contextlib import suppress
from pathlib import Path
from random import Random
from typing import Any

from fuzzing.case import Case, Edge
from fuzzing.edges.http import FORM, case_of, send
from fuzzing.http_parts import SOUND
from fuzzing.mutate import odd_text

SOUND_PATHS = tuple(
    f"/api/sounds/ID/{name}"
    for name in ("audio", "picture", "keep", "classify", "detect", "labels")
)
PATHS = (
    "/api/sounds", "/api/sounds", "/api/sounds", "/api/sounds/ID", *SOUND_PATHS,
    "/api/sounds/..%2f..%2fx/audio", "/api/project", "/api/clips", "/api/classes", "/api/state",
    "/api/uploads", "/", "/static/..%2f..%2fpyproject.toml", "/api/clips/..%2f..%2fx",
)  # fmt: skip
NAMES = [
    "name",
    "model",
    "start",
    "end",
    "width",
    "height",
    "threshold",
    "format",
    "class",
    "label",
]


def _prepare(folder: Path) -> tuple[Any, asyncio.AbstractEventLoop]:
    from types import SimpleNamespace

    from small_models import write_model

    import sonotype
    from sonotype.app.application import create_app
    from sonotype.app.context import AppContext
    from sonotype.app.findings import Findings
    from sonotype.app.project import Project
    from sonotype.app.state import State
    from sonotype.app.tray import Tray
    from sonotype.serve.problems import ProblemError

    model = write_model(folder / "model.safetensors", width=0.01, card={"unknown_threshold": None})
    classifier = sonotype.load(model)

    def chosen(name: str) -> Any:
        if name != "m":
            raise ProblemError("not-found", "There is no such model: choose another one.")
        return classifier

    project, state = Project(folder / "project"), State()
    project.open()
    nothing: Any = SimpleNamespace(values=lambda: None, open=lambda: None, close=lambda: None)
    models: Any = SimpleNamespace(values=list, classifier=chosen)
    context = AppContext(project, state, models, nothing, Tray(folder / "tray"), Findings(project))
    found = (create_app(context), asyncio.new_event_loop())
    for path in ("/api/sounds?name=a.wav", *SOUND_PATHS):
        values = {"path": f"{path}?model=m", "headers": [["host", "127.0.0.1:8000"]], "sizes": []}
        for method in ("GET", "POST"):
            _run(found, Case(method, {"body": SOUND}, values), folder)
    return found


def _make(_: Any, rng: Random) -> Case:
    kind = rng.choice(("audio/wav", "audio/wav", "application/json", FORM))
    case = case_of(PATHS, NAMES, kind, rng)
    path = case.values["path"]
    if "ID" in path and rng.random() < 0.7 and "model=" not in path:
        path += ("&" if "?" in path else "?") + "model=m"
    if rng.random() < 0.1:
        path = path.replace("ID", odd_text(rng).encode("ascii", "replace").decode())
    return Case(case.call, case.files, {**case.values, "path": path})


def _run(state: tuple[Any, asyncio.AbstractEventLoop], case: Case, folder: Path) -> None:
    values, identity = case.values, ""
    if "ID" in values["path"]:  # upload the sound, then ask for something about it
        headers = [["host", "127.0.0.1:8000"], ["content-type", "audio/wav"]]
        upload = {"path": "/api/sounds?name=a.wav", "headers": headers, "sizes": []}
        answer = send(state, Case("POST", {"body": SOUND}, upload))
        with suppress(ValueError, KeyError, TypeError):
            identity = json.loads(answer)["id"]
        path = values["path"].replace("ID", identity or "none")
        case = Case(case.call, case.files, {**values, "path": path})
    send(state, case)
    if identity:
        headers = [["host", "127.0.0.1:8000"]]
        removal = {"path": f"/api/sounds/{identity}", "headers": headers, "sizes": []}
        send(state, Case("DELETE", {"body": b""}, removal))


EDGE = Edge("app", _prepare, _make, _run)
