"""``/api/sounds``: add sounds, look at them, classify, explain and search them, keep parts."""

from __future__ import annotations

import asyncio
import math
import shutil
from collections.abc import AsyncIterator, Callable, Iterator, Mapping
from importlib import import_module
from pathlib import Path
from types import ModuleType
from typing import TYPE_CHECKING, Annotated, Any, TypeVar
from urllib.parse import quote

from fastapi import APIRouter, Query, Request, Response
from fastapi.responses import StreamingResponse
from pydantic import BaseModel, Field
from starlette.concurrency import run_in_threadpool

from sonotype.app.clip_files import ClipFile
from sonotype.app.clip_values import clip_values
from sonotype.app.context import AppContext
from sonotype.app.cuts import cut, cut_name
from sonotype.app.pictures import TALLEST, WIDEST, picture
from sonotype.app.playback import WAV, media_type, write_playable
from sonotype.app.stored_file import StoredFile
from sonotype.app.tray import Sound, not_written
from sonotype.app.uploads import body_of, declared_size
from sonotype.core.errors import AudioError, SonotypeError
from sonotype.core.json_text import json_text
from sonotype.serve.bodies import safe_name
from sonotype.serve.json_response import json_response
from sonotype.serve.problems import ProblemError

if TYPE_CHECKING:
    from sonotype.inference.classifier import Classifier

MOST_SECONDS = 1e9
"""Of the ends of a picture; no sound is that long."""
NDJSON = "application/x-ndjson"

Result = TypeVar("Result")
Model = Annotated[str, Query()]
Start = Annotated[float | None, Query()]
Threshold = Annotated[float | None, Query(ge=0, le=1)]


class Kept(BaseModel):
    """Where a sound, or a part of it, is kept."""

    label: str = Field(alias="class")
    start: float | None = None
    end: float | None = None


def router(context: AppContext) -> APIRouter:
    """The routes of uploaded sounds."""
    routes = APIRouter(prefix="/api/sounds")
    _files(routes, context)
    _results(routes, context)
    return routes


def _files(routes: APIRouter, context: AppContext) -> None:
    tray = context.tray

    @routes.post("", status_code=201)
    async def add(request: Request, name: str = "") -> Response:
        sound = await tray.receive(safe_name(name, 1), body_of(request), declared_size(request))
        return json_response(sound.values(), 201)

    @routes.get("")
    def sounds() -> Response:
        return json_response([sound.values() for sound in tray.sounds()])

    @routes.delete("/{identity}", status_code=204)
    def remove(identity: str) -> Response:
        tray.remove(identity)
        return Response(status_code=204)

    @routes.get("/{identity}/audio")
    async def audio(identity: str) -> Response:
        path, kind = await _with(context, identity, _playable)
        return StoredFile(path, media_type=kind, content_disposition_type="inline")

    @routes.get("/{identity}/picture")
    async def show(
        identity: str,
        start: float = 0.0,
        end: float | None = None,
        width: Annotated[int, Query(ge=1, le=WIDEST)] = 800,
        height: Annotated[int, Query(ge=1, le=TALLEST)] = 160,
    ) -> Response:
        with tray.using(identity) as sound:
            stop = sound.facts.seconds if end is None else end
            if not -MOST_SECONDS <= start < stop <= MOST_SECONDS:
                raise ProblemError("invalid-parameter", "end must be after start, in seconds")
            try:
                # Without the shield a client that goes away would cancel it for all.
                overview = await asyncio.shield(asyncio.wrap_future(tray.overview(sound)))
            except (SonotypeError, OSError, MemoryError) as error:
                raise failure(error, sound.name) from None
            size = (width, height)
            content = await run_in_threadpool(picture, overview, start, stop, size)
        return Response(content, media_type="image/png")

    @routes.post("/{identity}/keep", status_code=201)
    async def keep(identity: str, wanted: Kept) -> Response:
        clip, stored = await _with(context, identity, lambda sound: _keep(context, sound, wanted))
        values = await run_in_threadpool(clip_values, clip, context.findings)
        if stored:
            context.state.changed()
        return json_response({**values, "stored": stored}, 201)


def _results(routes: APIRouter, context: AppContext) -> None:
    @routes.post("/{identity}/classify")
    async def classify(identity: str, model: Model, start: Start = None) -> Response:
        def work(sound: Sound) -> dict[str, Any]:
            found = _analysis().classify(context.models.classifier(model), sound, start)
            return {"model": model, **found}

        return json_response(await _with(context, identity, work))

    @routes.get("/{identity}/explanation")
    async def explanation(
        identity: str, model: Model, label: str = "", start: Start = None
    ) -> Response:
        def work(sound: Sound) -> dict[str, Any]:
            found = _analysis().explain(context.models.classifier(model), sound, label, start)
            return {**found}

        return json_response(await _with(context, identity, work))

    @routes.post("/{identity}/detect")
    async def detect(identity: str, model: Model, threshold: Threshold = None) -> Response:
        classifier = await run_in_threadpool(context.models.classifier, model)
        with context.tray.using(identity):
            pass  # a sound that is not there is a problem, not a stream
        await run_in_threadpool(_analysis)
        lines = _detect(context, identity, classifier, (model, threshold))
        return StreamingResponse(lines, media_type=NDJSON)

    @routes.get("/{identity}/labels")
    async def labels(
        identity: str,
        model: Model,
        label_format: Annotated[str, Query(alias="format")] = "audacity",
        threshold: Threshold = None,
    ) -> Response:
        name, text = await _with(
            context,
            identity,
            lambda sound: _analysis().label_text(sound, model, label_format, threshold),
        )
        kind = "text/csv" if label_format == "csv" else "text/plain"
        return Response(
            text.encode("utf-8", "backslashreplace"),
            media_type=f"{kind}; charset=utf-8",
            headers={"content-disposition": attachment(name)},
        )


def _analysis() -> ModuleType:
    """The module that classifies and searches, imported at the first use: it takes seconds."""
    return import_module("sonotype.app.analysis")


async def _with(context: AppContext, identity: str, work: Callable[[Sound], Result]) -> Result:
    """Do the work on a sound in a thread; its errors become problems."""

    def run() -> Result:
        with context.tray.using(identity) as sound:
            try:
                return work(sound)
            except (SonotypeError, OSError, MemoryError) as error:
                raise failure(error, sound.name) from None

    return await run_in_threadpool(run)


async def _detect(
    context: AppContext, identity: str, classifier: Classifier, wanted: tuple[str, float | None]
) -> AsyncIterator[bytes]:
    """The lines of a detection; it stops when the client or the server ends."""
    model, threshold = wanted
    gone = False
    try:
        with context.tray.using(identity) as sound:
            lines = _analysis().detect(
                classifier, model, sound, threshold, lambda: gone or context.state.closed
            )
            try:
                while (values := await run_in_threadpool(_next, lines, sound.name)) is not None:
                    yield _line(values)
            finally:
                gone = True
                lines.close()
    except ProblemError as problem:  # removed since the request was looked at
        yield _line(_failed(problem))


def _line(values: Mapping[str, Any]) -> bytes:
    return (json_text(values, ensure_ascii=False) + "\n").encode()


def _failed(problem: ProblemError) -> dict[str, Any]:
    """The last line of a detection that failed, since the answer has begun."""
    return {"kind": "end", "events": 0, "error": problem.detail}


def _next(lines: Iterator[Mapping[str, Any]], name: str) -> Mapping[str, Any] | None:
    """The next line; an error is the last line, since the answer has begun."""
    try:
        return next(lines, None)
    except (SonotypeError, OSError, MemoryError) as error:
        return _failed(failure(error, name))


def failure(error: Exception, name: str) -> ProblemError:
    """What the person learns of an error on a sound."""
    if isinstance(error, AudioError):
        return ProblemError("unreadable-sound", f"{name} {error.cause}.")
    if isinstance(error, SonotypeError):
        return ProblemError("not-possible", str(error))
    if isinstance(error, MemoryError):
        detail = "This computer has not enough memory. Close other programs and try again."
        return ProblemError("not-possible", detail)
    assert isinstance(error, OSError)  # noqa: S101 (for mypy)
    if isinstance(error, FileNotFoundError):  # such as by a program that empties the folder
        detail = f"A file of {name} was removed by another program. Add the sound again."
        return ProblemError("gone", detail)
    return not_written(error)


def _keep(context: AppContext, sound: Sound, wanted: Kept) -> tuple[ClipFile, bool]:
    """Store a sound, or a part of it, in a class."""
    start, end = wanted.start, wanted.end
    if start is None and end is None:
        name = sound.name
        if not Path(name).suffix and sound.path.suffix:
            name += sound.path.suffix
        with context.project.incoming(name) as path:
            shutil.copyfile(sound.path, path)
            return context.project.store(wanted.label, name, path, sound.facts.seconds)
    first, last = start or 0.0, sound.facts.seconds if end is None else end
    if not 0 <= first < last < math.inf:
        raise ProblemError("invalid-parameter", "end must be after start, both in seconds")
    last = min(last, sound.facts.seconds)
    name = cut_name(sound.name, first, last)
    with context.project.incoming(name) as path:
        cut(sound.path, path, first, last)
        return context.project.store(wanted.label, name, path)


def _playable(sound: Sound) -> tuple[Path, str]:
    """The file that a browser plays, and its media type."""
    if kind := media_type(sound.path):
        return sound.path, kind
    with sound.lock:
        target = sound.path.with_name(f"{sound.id}.play.wav")
        if not target.exists():
            write_playable(sound.path, target)
    return target, WAV


def attachment(name: str) -> str:
    """The header ``Content-Disposition`` of a download, for any name (RFC 5987)."""
    plain = "".join(char if (char.isascii() and char.isalnum()) or char in "._-" else "_"
                    for char in name)  # fmt: skip
    return f"attachment; filename=\"{plain}\"; filename*=UTF-8''{quote(name, safe='')}"
