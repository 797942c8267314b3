"""Addresses of the project: its state, classes, clips and findings."""

from __future__ import annotations

import asyncio
import time
from collections.abc import AsyncIterator
from contextlib import suppress
from typing import Annotated

from fastapi import APIRouter, Body, Request, Response
from fastapi.responses import StreamingResponse

from sonotype.app.context import AppContext
from sonotype.app.needs import BACKBONES
from sonotype.app.project import Project
from sonotype.app.routes_clips import clip_routes
from sonotype.app.snapshot import Values, class_values, snapshot, snapshot_text
from sonotype.serve.json_response import json_response
from sonotype.serve.problems import ProblemError

LEAST_PAUSE = 0.2
"""Seconds between two events of a page."""
LOOK_AGAIN = 2.0
"""Seconds after which the folder is looked at for changes by other programs."""
MOST_FAILURES = 5
"""Looks at a project in a row that may fail."""
BEAT = 15.0
"""Seconds without an event after which a comment shows that the connection is open."""

Text = Annotated[str, Body(embed=True, max_length=1000)]


def router(context: AppContext) -> APIRouter:
    """The addresses of the project."""
    routes = APIRouter(prefix="/api")
    _add_state(routes, context)
    _add_classes(routes, context)
    routes.include_router(clip_routes(context))

    @routes.get("/findings")
    def all_findings() -> Response:
        return json_response(context.findings.of_project())

    return routes


def _add_state(routes: APIRouter, context: AppContext) -> None:
    project, state = context.project, context.state

    @routes.get("/state")
    def current() -> Response:
        return json_response(snapshot(context))

    @routes.get("/changes")
    async def changes(request: Request) -> Response:
        return StreamingResponse(_events(context, request), media_type="text/event-stream")

    @routes.put("/project")
    def change_project(backbone: Text) -> Response:
        if backbone not in BACKBONES:
            known = ", ".join(BACKBONES)
            raise ProblemError("invalid-parameter", f"backbone: choose one of {known}.")
        project.set_backbone(backbone)
        state.changed()
        return json_response(snapshot(context)["project"])


def _add_classes(routes: APIRouter, context: AppContext) -> None:
    project, state = context.project, context.state

    @routes.post("/classes")
    def add_class(name: Text) -> Response:
        label = project.add_class(name)
        state.changed()
        return json_response(_class(project, label), 201)

    @routes.patch("/classes/{label}")
    def rename_class(label: str, name: Text) -> Response:
        new = project.rename_class(label, name)
        state.changed()
        return json_response(_class(project, new))

    @routes.delete("/classes/{label}", status_code=204)
    def remove_class(label: str) -> Response:
        project.remove_class(label)
        state.changed()
        return Response(status_code=204)


def _class(project: Project, label: str) -> Values:
    """The values of a class, without sounds if it was removed meanwhile."""
    with suppress(ProblemError):
        return class_values(label, project.clips(label))
    return class_values(label, [])


async def _events(context: AppContext, request: Request) -> AsyncIterator[bytes]:
    """Server-sent events: the snapshot at once, and after each change."""
    state, sent, last, failures = context.state, "", time.monotonic(), 0
    while not state.closed and not await request.is_disconnected():
        version = state.version
        try:
            text, plain = await asyncio.to_thread(snapshot_text, context)
            failures = 0
        except (OSError, ProblemError):  # the folder changes at this moment: look again
            text, plain, failures = "", sent, failures + 1
            if failures == MOST_FAILURES:
                return  # the page asks for the state, and shows what is wrong
        if plain != sent:
            sent, last = plain, time.monotonic()
            yield b"data: " + text.encode("utf-8", "backslashreplace") + b"\n\n"
        elif time.monotonic() - last >= BEAT:
            last = time.monotonic()
            yield b": still here\n\n"
        await asyncio.sleep(LEAST_PAUSE)
        await state.wait(version, LOOK_AGAIN)
