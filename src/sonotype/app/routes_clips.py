"""Addresses of the sounds of a class."""

from __future__ import annotations

import hashlib
from collections.abc import Callable
from typing import Annotated, TypeVar

from fastapi import APIRouter, Body, Query, Request, Response
from fastapi.concurrency import contextmanager_in_threadpool
from starlette.concurrency import run_in_threadpool

from sonotype.app.clip_files import ClipFile
from sonotype.app.clip_names import check_suffix
from sonotype.app.clip_values import clip_values
from sonotype.app.context import AppContext
from sonotype.app.disk import writing
from sonotype.app.kept import Kept
from sonotype.app.pictures import thumbnail
from sonotype.app.playable_copies import PlayableCopies
from sonotype.app.playback import WAV, media_type
from sonotype.app.project import Project
from sonotype.app.sound_files import examine
from sonotype.app.stored_file import StoredFile, reading
from sonotype.app.uploads import body_of, declared_size, write_upload
from sonotype.core.cpu import available_cpus
from sonotype.core.errors import AudioError
from sonotype.core.prefetch import prefetch
from sonotype.core.text import printable
from sonotype.serve.json_response import json_response
from sonotype.serve.problems import ProblemError

T = TypeVar("T")

KEPT_PICTURES = 1000
"""Thumbnails in memory, of a few kB each."""
WIDEST, TALLEST = 1000, 400
"""Pixels of a thumbnail."""


def clip_routes(context: AppContext) -> APIRouter:
    """The addresses of clips of the server's project."""
    routes = APIRouter(prefix="/classes/{label}/clips")
    _add_changes(routes, context)
    _add_contents(routes, context)
    return routes


def _add_changes(routes: APIRouter, context: AppContext) -> None:
    project, state, findings = context.project, context.state, context.findings

    @routes.get("")
    def clips(label: str) -> Response:
        found, learnt = project.clips(label), project.learnt_seconds()
        values = prefetch(
            lambda clip: clip_values(clip, findings, learnt), found, threads=available_cpus()
        )
        return json_response(list(values))

    @routes.post("")
    async def add(label: str, name: Annotated[str, Query(max_length=1000)], request: Request) -> (
        Response
    ):  # fmt: skip
        check_suffix(name)
        await run_in_threadpool(project.class_folder, label)
        size = declared_size(request)
        async with contextmanager_in_threadpool(project.incoming(name)) as path:
            with writing(project.folder):
                await write_upload(body_of(request), path, printable(name), size)
            facts = await run_in_threadpool(examine, path, printable(name), whole=False)
            clip, stored = await run_in_threadpool(
                project.store, label, name, path, facts.seconds, new_class=False
            )
        values = await run_in_threadpool(clip_values, clip, findings)
        if stored:
            state.changed()
        return json_response({**values, "stored": stored}, 201)

    @routes.delete("/{file}", status_code=204)
    def remove(label: str, file: str) -> Response:
        project.trash(label, file)
        state.changed()
        return Response(status_code=204)

    @routes.post("/{file}/move")
    def move(label: str, file: str, to: Annotated[str, Body(embed=True)]) -> Response:
        clip = project.move(label, file, to)
        state.changed()
        return json_response(clip_values(clip, findings))


def _add_contents(routes: APIRouter, context: AppContext) -> None:
    project, pictures = context.project, Kept[str, bytes](KEPT_PICTURES)
    copies = PlayableCopies(lambda: context.tray.folder)

    @routes.get("/{file}/audio")
    def audio(label: str, file: str) -> Response:
        def response(clip: ClipFile) -> Response:
            with reading():
                kind = media_type(clip.path)
            if kind:
                return StoredFile(clip.path, media_type=kind)
            with writing(context.tray.folder):  # not in the project, which is kept as it is
                return StoredFile(copies.of(clip.path, _key(clip)), media_type=WAV)

        return _from_clip(project, label, file, response)

    @routes.get("/{file}/picture")
    def picture(
        label: str,
        file: str,
        width: Annotated[int, Query(ge=1, le=WIDEST)] = 160,
        height: Annotated[int, Query(ge=1, le=TALLEST)] = 48,
    ) -> Response:
        def content(clip: ClipFile) -> bytes:
            key = f"{_key(clip)} {width} {height}"
            return pictures.get(key, lambda: thumbnail(clip.path, width, height))

        return Response(_from_clip(project, label, file, content), media_type="image/png")


def _key(clip: ClipFile) -> str:
    """A text that changes with the path and the content of a clip."""
    return hashlib.sha256(repr((str(clip.path), clip.stamp)).encode()).hexdigest()[:24]


def _from_clip(project: Project, label: str, file: str, read: Callable[[ClipFile], T]) -> T:
    """What is read of a clip; again if its class is renamed meanwhile.

    Raises:
        ProblemError: ``unreadable-sound``, ``gone``, or of the reading.
    """
    clip = project.clip(label, file)
    while True:
        try:
            return read(clip)
        except (AudioError, ProblemError) as error:
            before, clip = clip, project.clip(label, file)
            if clip.path != before.path:
                continue
            if isinstance(error, AudioError):
                raise _unreadable(clip, error) from None
            raise


def _unreadable(clip: ClipFile, error: AudioError) -> ProblemError:
    return ProblemError("unreadable-sound", f"{clip.file} cannot be played: {error.cause}.")
