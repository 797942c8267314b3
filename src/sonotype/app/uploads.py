"""Write the body of a request into a file on the disk of the project."""

from __future__ import annotations

import shutil
from collections.abc import AsyncIterator
from pathlib import Path

from starlette.concurrency import run_in_threadpool

from sonotype.serve.problems import ProblemError

LARGEST = 4_000_000_000
"""Bytes of a file."""
SPARE = 100_000_000
"""Bytes of the disk that an upload leaves free."""
AT_ONCE = 1 << 20
"""Bytes that are written at once."""
FULL = "The disk is full, and nothing was stored. Free some space, then try again."


async def write_upload(chunks: AsyncIterator[bytes], target: Path, declared: int) -> None:
    """Write an upload into a new file.

    Args:
        chunks: its bytes.
        target: the caller removes it after an error.
        declared: number of bytes that the client announced; 0 if it did not.

    Raises:
        ProblemError: ``body-too-large``, ``storage-full``, ``unreadable-sound`` if empty.
        OSError: of the disk.
    """
    _check_size(declared)
    if shutil.disk_usage(target.parent).free < declared + SPARE:
        raise ProblemError("storage-full", FULL)
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
        raise ProblemError("unreadable-sound", "The file is empty. Choose another one.")


def _check_size(size: int) -> None:
    if size > LARGEST:
        raise ProblemError(
            "body-too-large", f"A file may have {LARGEST / 1e9:g} GB at most. Cut the recording."
        )
