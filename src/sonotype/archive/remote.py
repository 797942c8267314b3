"""Files behind addresses such as ``s3://bucket/night.wav``, through fsspec.

The settings of a storage, such as its endpoint and its credentials, come from where its own library
looks for them: environment variables, or the configuration of fsspec.
"""

from __future__ import annotations

import io
import re
import tempfile
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path, PurePosixPath
from typing import Any, TypeVar
from urllib.parse import unquote, urlsplit

from sonotype.audio.decode import Samples
from sonotype.audio.headers.file_bytes import FileBytes
from sonotype.audio.headers.wav import WavInfo, find_wavs
from sonotype.core.errors import AudioError, MissingExtraError, OptionsError

SCHEME = re.compile(r"([a-z][a-z0-9+.-]+):/{1,2}(?=[^/])", re.IGNORECASE)
"""``Path`` makes one slash of two."""
WEB = ("http", "https")
SMALL = 32 << 20
"""Bytes of a file that is kept in memory; a larger one becomes a temporary file."""
RANGE = 4 << 20
"""Bytes that are fetched at once of a large file."""
PAUSE = 0.5
"""Seconds before a failed read is repeated; twice as long each time."""
_FINAL = (FileNotFoundError, PermissionError, IsADirectoryError, NotImplementedError)
"""Errors that a second try does not change."""
_GONE = (404, 410)
"""HTTP statuses of a file that does not exist."""
_BUSY = (408, 425, 429)
"""HTTP statuses after which a request is repeated; the others from 400 to 499 are final."""

Result = TypeVar("Result")


def address_of(path: str | Path) -> str | None:
    """An address with both of its slashes and a scheme in lower case.

    ``None`` for a path of this machine.
    """
    text = str(path)
    found = SCHEME.match(text)
    if found is None or found[1].lower() == "file":
        return None
    return f"{found[1].lower()}://{text[found.end() :]}"


def is_web(address: str) -> bool:
    """Whether an address is one of the web."""
    return address.partition(":")[0] in WEB


def filesystem(address: str) -> tuple[Any, str]:
    """The file system of an address, and the path in it.

    Raises:
        MissingExtraError: fsspec, or its part for this storage, is not installed.
        OptionsError: an unknown kind of address.
    """
    try:
        import fsspec
    except ImportError as error:
        raise MissingExtraError(f"reading {address}", "remote") from error
    try:
        system, path = fsspec.core.url_to_fs(address)
    except ImportError as error:
        scheme = address.partition(":")[0]
        if scheme in (*WEB, "s3", "gs", "gcs"):
            raise MissingExtraError(f"reading {address}", "remote") from error
        raise OptionsError(f"{address}: cannot be read here ({error})") from error
    except ValueError as error:
        raise OptionsError(
            f"{address}: {error}; use a path, or an address such as s3://bucket/folder"
        ) from error
    return system, path


def name_in(address: str) -> PurePosixPath:
    """The path in an address, without the query of a web address, for suffixes and names."""
    if is_web(address):
        return PurePosixPath(unquote(urlsplit(address).path))
    return PurePosixPath("/", address.partition("://")[2])


def repeated(function: Callable[[], Result], name: str, retries: int) -> Result:
    """The result of a read, which is repeated after an error of the storage.

    Raises:
        AudioError: the last try failed.
    """
    for failures in range(retries + 1):
        try:
            return function()
        except (MissingExtraError, OptionsError):
            raise
        except Exception as error:  # each storage has errors of its own
            origin = _origin(error, name)
            if _says_missing(origin):
                raise AudioError(name, "does not exist") from origin
            if _is_final(origin) or failures == retries:
                cause = " ".join(str(origin).split()) or type(origin).__name__
                raise AudioError(name, f"cannot be read: {cause}") from origin
            time.sleep(PAUSE * 2**failures)
    raise AssertionError("retries is at least 0")


def is_missing(error: AudioError) -> bool:
    """Whether an error of :func:`repeated` says that a file does not exist.

    It may exist after any other error.
    """
    return error.__cause__ is not None and _says_missing(error.__cause__)


def _origin(error: BaseException, name: str) -> BaseException:
    """The error of a request: fsspec makes a ``FileNotFoundError`` of all those of the web."""
    hidden = is_web(name) and isinstance(error, FileNotFoundError) and error.__cause__
    return error.__cause__ or error if hidden else error


def _status(error: BaseException) -> int | None:
    """The HTTP status in an error; ``None`` if there is none."""
    status = getattr(error, "status", None)
    return status if isinstance(status, int) else None


def _says_missing(error: BaseException) -> bool:
    return isinstance(error, FileNotFoundError | NotADirectoryError) or _status(error) in _GONE


def _is_final(error: BaseException) -> bool:
    status = _status(error)
    if status is not None:
        return 400 <= status < 500 and status not in _BUSY
    return isinstance(error, _FINAL)


@contextmanager
def fetched(address: str, size: int, retries: int) -> Iterator[Path | bytes]:
    """A whole file: its bytes, or a temporary file, which is removed at the end.

    Raises:
        AudioError: it cannot be read.
    """
    if 0 <= size <= SMALL:
        yield repeated(lambda: _all(address), address, retries)
        return
    with tempfile.TemporaryDirectory(prefix="sonotype-") as folder:
        path = Path(folder, f"sound{name_in(address).suffix}")
        repeated(lambda: _download(address, path), address, retries)
        yield path


def _all(address: str) -> bytes:
    system, path = filesystem(address)
    return bytes(system.cat_file(path))


def _download(address: str, path: Path) -> None:
    system, source = filesystem(address)
    system.get_file(source, str(path))


def wav_of(address: str) -> WavInfo | None:
    """Where the samples of a WAV file are, if ranges of it can be decoded by themselves.

    Only the header, and what follows the samples, are read. ``None`` for another format, for a
    damaged file, and for a storage that has no ranges.
    """
    system, path = filesystem(address)
    try:
        with system.open(path, "rb", block_size=1 << 16, cache_type="bytes") as stream:
            wavs = find_wavs(FileBytes(stream))
        if wavs and len(system.cat_file(path, start=0, end=4)) != 4:
            return None
    except ValueError:  # of fsspec: a web server without ranges
        return None
    if len(wavs) != 1:
        return None
    [wav] = wavs
    usual = wav.plain and not wav.damage and wav.sample_rate > 0 and wav.size >= wav.block
    return wav if usual else None


def wav_blocks(address: str, wav: WavInfo, retries: int, start: int) -> Iterator[Samples]:
    """The mono samples of a WAV file from one on; only these are fetched.

    Raises:
        AudioError: it cannot be read.
    """
    import soundfile

    from sonotype.audio.decoders.decoder import mono

    system, path = filesystem(address)
    most = max(RANGE // wav.block, 1) * wav.block
    position = start * wav.block
    while position < wav.size:
        end = min(position + most, wav.size)

        def fetch(first: int = wav.start + position, last: int = wav.start + end) -> bytes:
            return bytes(system.cat_file(path, start=first, end=last))

        content = repeated(fetch, address, retries)
        if len(content) != end - position:
            raise AudioError(address, f"has other bytes than before, from {position} on")
        file = io.BytesIO(wav.with_samples(content))
        frames, _ = soundfile.read(file, dtype="float32", always_2d=True)
        yield mono(frames)
        position = end
