"""Download one file: complete and verified under its name, or not there at all."""

from __future__ import annotations

import sys
import time
from collections.abc import Callable, Iterator
from contextlib import ExitStack
from functools import partial
from pathlib import Path
from typing import Any

import pooch

from sonotype.core.errors import SonotypeError, WeightsError
from sonotype.core.io import atomic, file_sha256
from sonotype.core.scratch import scratch_folder

TIMEOUT: tuple[float, float] = (10.0, 30.0)
"""Seconds to wait for a connection, and for the next bytes on it."""

RETRIES = 2
CHUNK, SMALL_CHUNK = 65_536, 2048
"""Bytes that are read at once: at most, and exactly with versions of urllib3 that wait for them."""
MOST = 2_000_000_000
"""Bytes of the largest file whose size is not known."""
SLACK = 1_000_000
"""Bytes beyond a known size that are read, so that an error can name the size of a wrong file."""
SLOWEST, PATIENCE = 1000.0, 60.0
"""A connection that gives fewer bytes a second than this is ended after this many seconds."""
SCRATCH = ".download-"
"""Start of the names of temporary folders."""


def fetch(
    address: str,
    destination: Path,
    *,
    size: int | None = None,
    sha256: str | None = None,
    progress: bool = False,
    advice: str = "",
    error: Callable[[str], SonotypeError] = WeightsError,
) -> Path:
    """Download a file with pooch, verify it, and give it its name by an atomic rename.

    A file of that name is replaced. Network errors are retried; a wrong file is not.

    Args:
        address: URL, HTTP or HTTPS.
        destination: the file to write; missing folders are made.
        size: expected size in bytes, if known.
        sha256: expected hex digest, or its first digits, if known.
        progress: draw a bar on standard error if it is a terminal.
        advice: text to append to an error.
        error: makes the exception from its text.

    Raises:
        SonotypeError: from ``error``; names the address, the cause and where to put the file.
    """
    try:
        destination.parent.mkdir(parents=True, exist_ok=True)
        with (
            atomic(destination) as part,
            scratch_folder(destination.parent, SCRATCH) as folder,
        ):
            most = MOST if size is None else size + SLACK
            downloaded = _retrieve(address, folder / destination.name, most, progress)
            if issue := content_issue(downloaded, size, sha256):
                raise ValueError(f"the address gave another file, {issue}")
            downloaded.replace(part)
    except (OSError, ValueError) as failure:  # the errors of requests are OSErrors
        raise error(
            f"{address} could not be downloaded: {_cause(failure)}; to do it by hand, "
            f"save the file as {destination}{advice}"
        ) from failure
    return destination


def content_issue(path: Path, size: int | None, sha256: str | None) -> str | None:
    """How a file differs from the published one; ``None`` if nothing known differs.

    Raises:
        OSError: the file cannot be read.
    """
    found = path.stat().st_size
    if size is not None and found != size:
        return f"it has {found:,} bytes where {size:,} were expected"
    if sha256 is not None and not (digest := file_sha256(path)).startswith(sha256):
        return f"its sha256 is {digest} where {sha256} was expected"
    return None


def _retrieve(address: str, path: Path, most: int, progress: bool) -> Path:
    pooch.get_logger().setLevel("ERROR")  # retries are not reported
    names = {"registry": {path.name: None}, "urls": {path.name: address}}
    cache = pooch.create(path.parent, base_url="", retry_if_failed=RETRIES, **names)
    with ExitStack() as responses:

        def watch(response: Any, *_: object, **__: object) -> None:
            responses.callback(response.close)  # pooch does not close it after an error
            encoding = response.headers.get("Content-Encoding", "identity")
            if encoding != "identity":
                raise OSError(f"it comes with the encoding {encoding}, which was not asked for")
            size = SMALL_CHUNK
            if can_read_what_arrived(response.raw):
                response.raw.stream, size = partial(_arriving, response.raw), CHUNK
            chunks = partial(response.iter_content, chunk_size=size)
            response.iter_content = lambda **_: _bounded(chunks, most)

        downloader = pooch.HTTPDownloader(
            progressbar=progress and sys.stderr.isatty(),
            timeout=TIMEOUT,
            headers={"Accept-Encoding": "identity"},  # so that Content-Length is the file's length
            hooks={"response": watch},
        )
        return Path(cache.fetch(path.name, downloader=downloader))


def can_read_what_arrived(raw: Any) -> bool:
    """Whether this version of urllib3, which has made the response, has a method for it."""
    return hasattr(raw, "read1")


def _arriving(raw: Any, size: int, **options: Any) -> Iterator[bytes]:
    """The content of a response as it arrives, at most some bytes at once.

    The method of urllib3 waits for the last of these bytes; a slow server would not be noticed.
    """
    while chunk := raw.read1(size, **options):
        yield chunk


def _bounded(chunks: Callable[[], Iterator[bytes]], most: int) -> Iterator[bytes]:
    """The chunks of a response, while there are not too many bytes, and they come fast enough.

    Raises:
        OSError: which pooch does not take for a reason to try again.
    """
    received, begin = 0, time.monotonic()
    for chunk in chunks():
        received += len(chunk)
        if received > most:
            raise OSError(f"the address gave another file, of more than {most:,} bytes")
        seconds = time.monotonic() - begin
        if seconds > PATIENCE and received < seconds * SLOWEST:
            raise OSError(f"it gave {received:,} bytes in {seconds:.0f} s, which is too slow")
        yield chunk


def _cause(failure: BaseException) -> str:
    """The HTTP status, else the innermost error of the chain, in a few words.

    An error of the disk is the cause itself: a step that failed before it was expected to.
    """
    response = getattr(failure, "response", None)
    if response is not None:
        return f"HTTP {response.status_code} ({response.reason})"
    disk = isinstance(failure, OSError) and failure.filename is not None
    while not disk and (inner := failure.__cause__ or failure.__context__):
        failure = inner
    return str(getattr(failure, "strerror", None) or " ".join(str(failure).split()))
