"""One file from the network onto the disk: whole and verified, or not there at all.

The bytes go to a temporary file beside the destination, are checked, and only then get the final
name by an atomic rename. Whatever breaks in between (the connection, the disk, the process) leaves
nothing under that name, and two processes that fetch the same file do not disturb each other.
"""

from __future__ import annotations

import socket
import ssl
import sys
import time
from collections.abc import Callable, Iterator
from contextlib import ExitStack
from http import HTTPStatus
from pathlib import Path
from typing import BinaryIO

import pooch
import requests
from rich.console import Console
from rich.progress import BarColumn, DownloadColumn, Progress, TextColumn, TimeRemainingColumn
from urllib3.exceptions import IncompleteRead

from sonotype.core.errors import SonotypeError, WeightsError
from sonotype.core.io import atomic, file_sha256, parts_of

TIMEOUT: tuple[float, float] = (10.0, 30.0)
"""Seconds to wait for a connection, and for the next bytes on it."""

ATTEMPTS = 3
BACK_OFF = 0.5
"""Seconds before the second attempt; doubled before every further one."""

CHUNK = 64 * 1024

STALE = 24 * 3600.0
"""Seconds without a write after which a temporary file is what a killed process left behind."""


class _AttemptError(Exception):
    """Why one attempt failed, and whether another one may go better."""

    def __init__(self, cause: str, *, passing: bool = False) -> None:
        super().__init__(cause)
        self.cause = cause
        self.passing = passing


def fetch(
    address: str,
    destination: Path,
    *,
    size: int | None = None,
    sha256: str | None = None,
    sha256_prefix: str | None = None,
    progress: bool = False,
    advice: str = "",
    error: Callable[[str], SonotypeError] = WeightsError,
) -> Path:
    """Download a file, check it, and only then put it in its place.

    A file already there is replaced, so ask first whether it is needed. Server errors (5xx),
    connections that break or stall and truncated answers are tried again up to ``ATTEMPTS`` times;
    a missing file or a wrong checksum is not.

    Args:
        address: where the file is published, over HTTP or HTTPS.
        destination: the file to write; its folder is made where it is missing.
        size: expected size in bytes, where known.
        sha256: expected hex digest, where known.
        sha256_prefix: expected first hex digits of the digest, where only those are known.
        progress: draw a bar on standard error while that is a terminal.
        advice: what to add to an error, after the place to put the file by hand.
        error: makes the error to raise from its text.

    Returns:
        ``destination``.

    Raises:
        SonotypeError: as made by ``error``; one sentence with the address, the cause and where to
            put the file by hand.

    """
    try:
        _prepare_folder(destination)
        for attempt in range(ATTEMPTS):
            try:
                _attempt(address, destination, size, sha256, sha256_prefix, progress)
                break
            except _AttemptError as fault:
                if not fault.passing or attempt == ATTEMPTS - 1:
                    raise
                time.sleep(BACK_OFF * 2**attempt)
    except _AttemptError as fault:
        raise error(
            f"{address} could not be downloaded: {fault.cause}; to do it by hand, "
            f"save the file as {destination}{advice}"
        ) from fault
    return destination


def content_fault(
    path: Path,
    *,
    size: int | None = None,
    sha256: str | None = None,
    sha256_prefix: str | None = None,
) -> str | None:
    """Say how a file differs from the published one; ``None`` where nothing known contradicts it.

    Reads the whole file where a digest is known.

    Raises:
        OSError: the file cannot be read.

    """
    found = path.stat().st_size
    if size is not None and found != size:
        return f"it has {found:,} bytes where {size:,} were expected"
    if sha256 is None and sha256_prefix is None:
        return None
    digest = file_sha256(path)
    if sha256 is not None and digest != sha256:
        return f"its sha256 is {digest} where {sha256} was expected"
    if sha256_prefix is not None and not digest.startswith(sha256_prefix):
        return f"its sha256 is {digest} where one that begins with {sha256_prefix} was expected"
    return None


def _prepare_folder(destination: Path) -> None:
    """Make the folder, and sweep out what killed processes left of earlier downloads."""
    try:
        destination.parent.mkdir(parents=True, exist_ok=True)
        for part in parts_of(destination):
            if time.time() - part.stat().st_mtime > STALE:
                part.unlink()
    except FileNotFoundError:
        return  # another process swept the same file first
    except OSError as error:
        raise _unwritable(destination, error) from error


def _attempt(
    address: str,
    destination: Path,
    size: int | None,
    sha256: str | None,
    sha256_prefix: str | None,
    progress: bool,
) -> None:
    try:
        with atomic(destination) as part:
            with part.open("xb") as stream:
                _receive(address, stream, size, destination.name if progress else None)
            cause = content_fault(part, size=size, sha256=sha256, sha256_prefix=sha256_prefix)
            if cause is not None:
                raise _AttemptError(f"the address gave another file, {cause}")
    except OSError as error:
        raise _unwritable(destination, error) from error


def _receive(address: str, stream: BinaryIO, size: int | None, label: str | None) -> None:
    """Write the body of one answer; network faults become ``_AttemptError``."""
    with ExitStack() as stack:

        def close_later(response: requests.Response, *_: object, **__: object) -> None:
            stack.callback(response.close)

        meter = _Meter(stack, label)
        downloader = pooch.HTTPDownloader(
            progressbar=meter,
            chunk_size=CHUNK,
            timeout=TIMEOUT,
            # Without compression the announced length is that of the file.
            headers={"Accept-Encoding": "identity"},
            hooks={"response": close_later},
        )
        try:
            downloader(address, stream, None)
        except requests.RequestException as error:  # before OSError, of which it is one
            raise _network_fault(error) from error
        except ValueError as error:
            raise _AttemptError(f"the answer makes no sense ({error})") from error
        received = stream.tell()
        if received < (meter.total or size or 0):
            raise _truncated(received, meter.total or size or 0)


class _Meter:
    """The progress bar object that pooch asks for: notes the announced length, may draw a bar."""

    def __init__(self, stack: ExitStack, label: str | None) -> None:
        self._total = 0
        self._bar: Progress | None = None
        if label is not None and sys.stderr.isatty():
            self._bar = stack.enter_context(_bar())
            self._task = self._bar.add_task(label, total=None)

    @property
    def total(self) -> int:
        """The length in bytes that the server announced; 0 for none."""
        return self._total

    @total.setter
    def total(self, value: int) -> None:
        self._total = value
        if self._bar is not None:
            self._bar.update(self._task, total=value or None)

    def update(self, count: int) -> None:
        if self._bar is not None:
            self._bar.advance(self._task, count)

    def reset(self) -> None:
        if self._bar is not None:
            self._bar.update(self._task, completed=0)

    def close(self) -> None:
        """Nothing: the exit stack ends the bar, also after a fault."""


def _bar() -> Progress:
    return Progress(
        TextColumn("{task.description}"),
        BarColumn(),
        DownloadColumn(),
        TimeRemainingColumn(),
        console=Console(stderr=True),
    )


def _network_fault(error: requests.RequestException) -> _AttemptError:
    """Name the innermost known reason of a failed request, and whether it may pass."""
    if isinstance(error, requests.HTTPError):
        return _status_fault(error.response.status_code)
    reasons = list(_reasons(error))
    for reason in reasons:
        if isinstance(reason, IncompleteRead) and isinstance(reason.partial, int):
            return _truncated(reason.partial, reason.partial + (reason.expected or 0))
        if isinstance(reason, socket.gaierror):
            return _AttemptError("no network, or the name of the server is not known", passing=True)
        if isinstance(reason, ssl.SSLCertVerificationError):
            return _AttemptError(
                f"the server's certificate was not accepted ({reason.verify_message})"
            )
        if isinstance(reason, ConnectionRefusedError):
            return _AttemptError("the server refused the connection", passing=True)
        if isinstance(reason, (TimeoutError, requests.Timeout)):
            return _AttemptError("the server did not answer in time", passing=True)
    if isinstance(error, (requests.ConnectionError, requests.exceptions.ChunkedEncodingError)):
        innermost = getattr(reasons[-1], "strerror", None) or reasons[-1]
        return _AttemptError(f"no connection, or a broken one ({innermost})", passing=True)
    return _AttemptError(f"{type(error).__name__}: {error}")


def _status_fault(status: int) -> _AttemptError:
    name = HTTPStatus(status).phrase if status in set(HTTPStatus) else "not a known status"
    passing = status >= HTTPStatus.INTERNAL_SERVER_ERROR or status in (
        HTTPStatus.REQUEST_TIMEOUT,
        HTTPStatus.TOO_MANY_REQUESTS,
    )
    return _AttemptError(f"HTTP {status} ({name})", passing=passing)


def _truncated(received: int, expected: int) -> _AttemptError:
    cause = f"the connection ended after {received:,} of {expected:,} bytes"
    return _AttemptError(cause, passing=True)


def _unwritable(destination: Path, error: OSError) -> _AttemptError:
    return _AttemptError(f"{destination} cannot be written ({error.strerror or error})")


def _reasons(error: BaseException) -> Iterator[BaseException]:
    """Yield the error and what led to it, from the outside in."""
    reason: BaseException | None = error
    while reason is not None:
        yield reason
        reason = reason.__cause__ or reason.__context__
