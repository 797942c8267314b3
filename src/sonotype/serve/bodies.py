"""Read the sounds in the body of a request, within limits of size and time."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator
from typing import NamedTuple

from fastapi import Request
from starlette.datastructures import UploadFile
from starlette.formparsers import MultiPartException, MultiPartParser
from starlette.requests import ClientDisconnect

from sonotype.core.text import counted, printable
from sonotype.serve.gate import Lease
from sonotype.serve.problems import ProblemError
from sonotype.serve.settings import ServeSettings

STALL_SECONDS = 5.0
"""Longest pause of a client that sends a body."""
NAME_LENGTH = 200
"""Characters of the name of a file that an answer repeats."""
MULTIPART = "multipart/form-data"
SOUND_TYPES = ("audio/", "video/", "application/octet-stream", "application/ogg")


class Upload(NamedTuple):
    """A sound in a request: its name in the answer, and the bytes of the file."""

    name: str
    content: bytes


async def read_uploads(request: Request, settings: ServeSettings, lease: Lease) -> list[Upload]:
    """The sounds of a request, from a form or from its whole body.

    Args:
        request: whose body was not read yet.
        settings: with the limits.
        lease: counts the bytes.

    Raises:
        ProblemError: too large, too slow, not well-formed, without a sound, or of another type.
        ClientDisconnect: the client closed the connection.
    """
    header = request.headers.get("content-type", "")
    kind = header.partition(";")[0].strip().lower()
    if kind and kind != MULTIPART and not kind.startswith(SOUND_TYPES):
        raise ProblemError(
            "unsupported-media-type",
            f"send a sound as audio/* or application/octet-stream, or sounds as {MULTIPART}",
        )
    _check_declared(request, settings)
    chunks = _chunks(request, settings, lease)
    if kind != MULTIPART:
        body = bytearray()
        async for chunk in chunks:
            body += chunk
        if not body:
            raise ProblemError("bad-request", "the body is empty; send the bytes of a sound file")
        return [Upload("sound", bytes(body))]
    uploads = await _read_form(request, settings, chunks)
    if not uploads:
        raise ProblemError(
            "bad-request", "the form has no file; send each sound as a field with a file name"
        )
    if len(uploads) > settings.max_files:
        raise _too_many_files(settings)
    return uploads


def safe_name(name: str, number: int) -> str:
    """The last part of a file name, printable and not too long; any text may arrive as a name."""
    last = name.replace("\\", "/").rpartition("/")[2]
    text = printable(last.encode("utf-8", "replace").decode("utf-8"))[:NAME_LENGTH].strip()
    return text if text.strip(".") else f"sound {number}"


def _check_declared(request: Request, settings: ServeSettings) -> None:
    declared = request.headers.get("content-length", "")
    if declared.isdecimal() and int(declared[:20]) > settings.body_bytes:
        raise _too_large(settings)


async def _chunks(request: Request, settings: ServeSettings, lease: Lease) -> AsyncIterator[bytes]:
    """The body piece by piece; what a client says about its length does not matter."""
    loop, size = asyncio.get_running_loop(), 0
    end = loop.time() + settings.body_timeout
    while True:
        try:
            remaining = min(end - loop.time(), STALL_SECONDS)
            message = await asyncio.wait_for(request.receive(), max(remaining, 0))
        except TimeoutError:
            raise ProblemError(
                "request-too-slow",
                f"the body must be complete after {settings.body_timeout:g} s, without a pause of "
                f"{STALL_SECONDS:g} s; {size} bytes arrived",
            ) from None
        if message["type"] == "http.disconnect":
            raise ClientDisconnect
        chunk = message.get("body", b"")
        size += len(chunk)
        if size > settings.body_bytes:
            raise _too_large(settings)
        lease.add(len(chunk))
        if chunk:
            yield chunk
        if not message.get("more_body"):
            return


class _MemoryParser(MultiPartParser):
    """Keeps files in memory: the size of the body is limited, and no disk is needed."""

    spool_max_size = 1 << 62


async def _read_form(
    request: Request, settings: ServeSettings, chunks: AsyncIterator[bytes]
) -> list[Upload]:
    parser = _MemoryParser(
        request.headers, chunks,  # type: ignore[arg-type] # any iterator works
        max_files=settings.max_files + 1, max_fields=settings.max_files,
    )  # fmt: skip
    try:
        form = await parser.parse()
    except MultiPartException as error:
        if error.message.startswith("Too many files"):
            raise _too_many_files(settings) from None
        raise ProblemError("bad-request", f"the form is not valid: {error.message}") from None
    except (ValueError, KeyError, UnicodeError):
        raise ProblemError("bad-request", "the form is not valid") from None
    files = [value for _, value in form.multi_items() if isinstance(value, UploadFile)]
    uploads = []
    for number, file in enumerate(files, start=1):
        uploads.append(Upload(safe_name(file.filename or "", number), await file.read()))
        await file.close()
    return uploads


def _too_large(settings: ServeSettings) -> ProblemError:
    return ProblemError("body-too-large", f"a body may have {settings.body_bytes} bytes at most")


def _too_many_files(settings: ServeSettings) -> ProblemError:
    most = counted(settings.max_files, "sound")
    return ProblemError("too-many-files", f"a request may have {most} at most")
