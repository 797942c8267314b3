"""Requests to ``sonotype serve``."""

from __future__ import annotations

import asyncio
from pathlib import Path
from random import Random
from typing import Any

from fuzzing.asgi import request
from fuzzing.case import Case, Edge, FindError
from fuzzing.http_parts import BOUNDARY, TYPES, body, chunks, cut, headers, query
from fuzzing.mutate import odd_text

FORM = f"multipart/form-data; boundary={BOUNDARY}"
PATHS = (
    "/v1/classify", "/v1/classify", "/v1/classify", "/v1/detect", "/v1/detect", "/v1/model",
    "/healthz", "/metrics", "/problems/x", "/openapi.json", "/v1/stream", "/..%2f..%2fetc/passwd",
)  # fmt: skip
NAMES = ["top", "threshold", "class"]


def _prepare(folder: Path) -> tuple[Any, asyncio.AbstractEventLoop]:
    from small_models import write_model

    import sonotype
    from sonotype.serve.app import create_app
    from sonotype.serve.service import Service
    from sonotype.serve.settings import ServeSettings

    model = write_model(folder / "model.safetensors", width=0.01, card={"unknown_threshold": None})
    settings = ServeSettings(threads=1, batch_wait=0.0, max_body=0.2, max_seconds=30)
    service = Service(sonotype.load(model), settings, "0" * 64)
    service.start()
    state = (create_app(service), asyncio.new_event_loop())
    for path in ("/v1/classify", "/v1/detect"):
        content = body("audio/wav", Random(1))
        case = Case("POST", {"body": content}, {
            "path": path, "headers": [["content-type", "audio/wav"]], "sizes": [],
        })  # fmt: skip
        _run(state, case, folder)
    return state


def _make(_: Any, rng: Random) -> Case:
    kind = rng.choice((FORM, FORM, "audio/wav", "audio/wav", rng.choice(TYPES)))
    return case_of(PATHS, NAMES, kind, rng)


def case_of(paths: tuple[str, ...], names: list[str], kind: str, rng: Random) -> Case:
    """A request to one of some paths."""
    content = body(kind, rng)
    path = rng.choice(paths) + query(names, rng)
    if rng.random() < 0.03:
        path = "/" + odd_text(rng).encode("ascii", "replace").decode()
    method = rng.choice(("POST", "POST", "POST", "GET", "GET", "DELETE", "PUT", "HEAD", "X"))
    found = [[name.decode("latin-1"), value.decode("latin-1")]
             for name, value in headers(kind, len(content), rng)]  # fmt: skip
    values = {"path": path, "headers": found, "sizes": chunks(content, rng)}
    return Case(method, {"body": content}, values)


def _run(state: tuple[Any, asyncio.AbstractEventLoop], case: Case, folder: Path) -> None:
    send(state, case)


def send(state: tuple[Any, asyncio.AbstractEventLoop], case: Case) -> bytes:
    """Send a request; its answer is neither an error of the program nor names its files."""
    app, loop = state
    values = case.values
    given = [(name.encode("latin-1"), value.encode("latin-1")) for name, value in values["headers"]]
    pieces = cut(case.files["body"], values["sizes"])
    path = values["path"].encode("ascii", "replace")
    status, answer = loop.run_until_complete(request(app, case.call, path, given, pieces))
    if status == 500 or not 200 <= status < 600:
        raise FindError("answer", f"status {status}: {answer!r:.300}")
    for hidden in (b"Traceback", b"site-packages", b"/tmp/", b"/home/"):
        stated = case.files["body"] + path + b"/tmp/" * (b'"project": {"folder"' in answer)
        if hidden in answer and hidden not in stated:
            raise FindError("answer", f"{hidden!r} in the answer: {answer!r:.300}")
    return answer


EDGE = Edge("http", _prepare, _make, _run)
