"""Write the body of a request into a file on the disk of the project."""

from __future__ import annotations

import asyncio
import shutil
from collections.abc import AsyncIterator
from pathlib import Path

from starlette.concurrency import run_in_threadpool
from starlette.requests import ClientDisconnect, Request

from sonotype.app.disk import DISK_IS_FULL
from sonotype.serve.problems import ProblemError

LARGEST = 4_000_000_000
"""Bytes of a file."""
SPARE = 100_000_000
"""Bytes of the disk that an upload leaves free."""
AT_ONCE = 1 << 20
"""Bytes that are written at once."""
STALL_SECONDS = 60.0
"""Longest pause of a client that uploads a sound."""


async def write_upload(
    chunks: AsyncIterator[bytes], target: Path, name: str, declared: int
) -> None:
    """Write an upload into a new file.

    Args:
        chunks: its bytes.
        target: the caller removes it after an error.
        name: of the upload, for messages.
        declared: number of bytes that the client announced; 0 if it did not.

    Raises:
        ProblemError: ``body-too-large``, ``storage-full``, ``unreadable-sound`` if empty.
        OSError: of the disk.
    """
    _check_size(declared)
    if shutil.disk_usage(target.parent).free < declared + SPARE:
        raise ProblemError("storage-full", DISK_IS_FULL)
    size, waiting = 0, bytearray()
    with target.open("xb") as file:
        async for chunk in chunks:
            waiting += chunk
            size += len(chunk)
            _check_size(size)
            if len(waiting) >= AT_ONCE:
                await run_in_threadpool(file.write, bytes(waiting))
                waiting.clear()
        await run_in_threadpool(file.write, bytes(waiting))
    if not size:
        raise ProblemError("unreadable-sound", f"{name} is empty. Choose another file.")


def _check_size(size: int) -> None:
    if size > LARGEST:
        raise ProblemError(
            "body-too-large", f"A file may have {LARGEST / 1e9:g} GB at most. Cut the recording."
        )


def declared_size(request: Request) -> int:
    """The number of bytes that a client announces; 0 if it does not."""
    declared = request.headers.get("content-length", "")
    return int(declared[:20]) if declared.isdecimal() else 0


async def body_of(request: Request) -> AsyncIterator[bytes]:
    """The body of a request piece by piece.

    Raises:
        ProblemError: the client sends nothing for too long.
        ClientDisconnect: the client is gone.
    """
    while True:
        try:
            message = await asyncio.wait_for(request.receive(), STALL_SECONDS)
        except TimeoutError:
            detail = f"No bytes of the file came for {STALL_SECONDS:g} s. Add the sound again."
            raise ProblemError("request-too-slow", detail) from None
        if message["type"] == "http.disconnect":
            raise ClientDisconnect
        if chunk := message.get("body", b""):
            yield chunk
        if not message.get("more_body"):
            return
